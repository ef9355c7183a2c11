"""An authorization server's metadata, found from its issuer (RFC 8414 section 3, OpenID Connect Discovery section 4). Floor 2.

The rules: the document's `issuer` is the configured one, character by character; its endpoints are https URLs; what it
says never widens what was configured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from asgi_bearer.errors import VerifierUnavailable
from asgi_bearer.remote.document import Fetched, Freshness, RemoteDocument, boottime
from asgi_bearer.remote.http import FetchError, Limits, Request, Response, fetch
from asgi_bearer.rules import options
from asgi_bearer.rules.strict_json import NotStrictJSONError, parse_object

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from asgi_bearer.remote.http import Transport

MAX_DOCUMENT_BYTES = 256 * 1024
LIMITS = Limits(timeout=5.0, max_bytes=MAX_DOCUMENT_BYTES)


def metadata_urls(issuer: str) -> tuple[str, ...]:
    """Return where the metadata of `issuer` may be, in the order in which to look.

    RFC 8414 section 3.1 inserts the well-known part between host and path; OpenID Connect appends it to the path.
    """
    parts = urlsplit(issuer)
    origin, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    found = (
        f"{origin}/.well-known/oauth-authorization-server{path}",
        f"{origin}/.well-known/openid-configuration{path}",
        f"{origin}{path}/.well-known/openid-configuration",
    )
    return tuple(dict.fromkeys(found))


class Discovery:
    """The metadata of one issuer, for attempts that need an endpoint of it."""

    def __init__(
        self,
        issuer: str,
        *,
        allow_insecure_http: bool = False,
        transport: Transport | None = None,
        monotonic: Callable[[], float] = boottime,
    ) -> None:
        self._issuer = options.issuer("issuer", issuer, allow_insecure_http=allow_insecure_http)
        self._allow_insecure_http = allow_insecure_http
        self._transport = transport
        self._document = RemoteDocument(
            f"the metadata of {issuer}",
            self._fetch,
            Freshness(fresh=3600.0, wait=3 * LIMITS.timeout),
            same=dict.__eq__,
            monotonic=monotonic,
        )

    async def endpoint(self, name: str) -> str:
        """Return the URL that the metadata has under `name`, such as "jwks_uri"; raise `FetchError` where there is none."""
        try:
            metadata = (await self._document.get()).value
            return options.url(name, metadata.get(name), allow_insecure_http=self._allow_insecure_http)
        except VerifierUnavailable as error:
            message = error.message
        except (TypeError, ValueError):
            message = f"the metadata of {self._issuer} has no usable {name}"
        raise FetchError(message)

    async def renew(self) -> None:
        """Read the metadata again, within the budget of forced fetches: something in it has moved."""
        await self._document.renew()

    async def _fetch(self, *, since: Mapping[str, str], forced: bool) -> Fetched[dict[str, Any]]:
        del since, forced  # three places to look in, so a conditional request has no one to go to
        refusals = []
        for url in metadata_urls(self._issuer):
            response = await fetch(Request(method="GET", url=url, headers={"accept": "application/json"}), LIMITS, self._transport)
            try:
                return Fetched(value=self._read(response), headers=response.headers)
            except FetchError as error:
                refusals.append(f"{url}: {error}")
        raise FetchError("; ".join(refusals))

    def _read(self, response: Response) -> dict[str, Any]:
        metadata = read_document(response)
        if metadata.get("issuer") != self._issuer:
            # RFC 8414 section 3.3: identical, or not used
            message = "the document is that of another issuer"
            raise FetchError(message, status=response.status)
        return metadata


def read_document(response: Response) -> dict[str, Any]:
    """Return the JSON object that a 200 holds; raise `FetchError` for anything else."""
    if response.status != 200:  # noqa: PLR2004
        message = f"the answer is {response.status}"
        raise FetchError(message, status=response.status, retry_after=_retry_after(response.headers))
    try:
        return parse_object(response.body, max_bytes=MAX_DOCUMENT_BYTES)
    except NotStrictJSONError as error:
        message = f"the document cannot be read: {error}"
    raise FetchError(message, status=response.status)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    value = headers.get("retry-after", "")
    return float(value) if value.isdecimal() and len(value) <= 6 else None  # noqa: PLR2004
