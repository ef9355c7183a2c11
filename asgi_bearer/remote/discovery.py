"""An authorization server's metadata, found from its issuer (RFC 8414, OpenID Connect Discovery section 4). Floor 2.

The rules: the document's `issuer` is the configured one, character by character; its endpoints are https URLs; what it
says never widens what was configured.
"""

from __future__ import annotations

from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from asgi_bearer.errors import VerifierUnavailable
from asgi_bearer.remote.document import MAX_RETRY_AFTER, Fetched, Freshness, RemoteDocument, boottime
from asgi_bearer.remote.http import FetchError, Limits, Request, Response, fetch, require_transport
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
    """The metadata of `issuer`, for attempts that need an endpoint of it."""

    def __init__(
        self,
        issuer: str,
        *,
        allow_insecure_http: bool = False,
        transport: Transport | None = None,
        monotonic: Callable[[], float] = boottime,
    ) -> None:
        self.issuer: str = options.issuer("issuer", issuer, allow_insecure_http=allow_insecure_http)
        self._allow_insecure_http = allow_insecure_http
        self._transport = require_transport(transport)
        self._document = RemoteDocument(
            f"the metadata of {issuer}",
            self._fetch,
            Freshness(fresh=3600.0, wait=3 * LIMITS.timeout),
            same=dict.__eq__,
            monotonic=monotonic,
        )

    async def endpoint(self, name: str) -> str:
        """Return the URL that the metadata has under `name`, such as "jwks_uri"; raise `FetchError` without one."""
        return self._usable(name, (await self._metadata()).get(name))

    async def mtls_endpoint(self, name: str) -> str:
        """Return the URL for clients that authenticate by their certificate (RFC 8705 section 5).

        That is the one of `mtls_endpoint_aliases`, where the metadata has one there, else that of `endpoint`.
        """
        metadata = await self._metadata()
        aliases = metadata.get("mtls_endpoint_aliases")
        alias = aliases.get(name) if isinstance(aliases, dict) else None
        return self._usable(name, metadata.get(name) if alias is None else alias)

    async def prefetch(self) -> None:
        """Read the metadata if it is not there yet. Raises `VerifierUnavailable`."""
        await self._document.get()

    async def _metadata(self) -> dict[str, Any]:
        try:
            return (await self._document.get()).value
        except VerifierUnavailable as error:
            raise FetchError(error.message, retry_after=error.retry_after) from None

    def _usable(self, name: str, value: object) -> str:
        try:
            address = options.url(name, value, allow_insecure_http=self._allow_insecure_http)
        except (TypeError, ValueError):
            raise FetchError(f"the metadata of {self.issuer} has no usable {name}") from None
        plain = not address.lower().startswith("https:") and self.issuer.lower().startswith("https:")
        if plain and not self._allow_insecure_http:
            # Plain http is for loopback, and a provider elsewhere has nothing to say about ours.
            raise FetchError(f"the {name} of {self.issuer} is not https")
        return address

    async def renew(self) -> None:
        """Read the metadata again, within the budget of forced fetches: something in it may have moved.

        Where that fails, what was read before stays.
        """
        with suppress(VerifierUnavailable):
            await self._document.renew()

    async def _fetch(self, *, since: Mapping[str, str], forced: bool) -> Fetched[dict[str, Any]]:
        del since, forced  # three places to look in, so a conditional request has no one to go to
        refusals: list[str] = []
        retry_after = 0.0
        for url in metadata_urls(self.issuer):
            request = Request(method="GET", url=url, headers={"accept": "application/json"})
            try:
                response = await fetch(request, LIMITS, self._transport)
                return Fetched(value=self._read(response), headers=response.headers)
            except FetchError as error:
                refusals.append(f"{url}: {error}")
                retry_after = max(retry_after, error.retry_after or 0.0)
                if error.status is None:
                    # Nobody answers there, and the other places are on the same host.
                    break
        raise FetchError("; ".join(refusals), retry_after=retry_after)

    def _read(self, response: Response) -> dict[str, Any]:
        metadata = read_document(response)
        if metadata.get("issuer") != self.issuer:
            # RFC 8414 section 3.3: identical, or not used
            raise FetchError("the document is that of another issuer", status=response.status)
        return metadata


def read_document(response: Response, *, max_bytes: int = MAX_DOCUMENT_BYTES) -> dict[str, Any]:
    """Return the JSON object that a 200 holds; raise `FetchError` for anything else."""
    require_success(response)
    try:
        return parse_object(response.body, max_bytes=max_bytes)
    except NotStrictJSONError as error:
        raise FetchError(f"the document cannot be read: {error}", status=response.status) from None


def require_success(response: Response) -> None:
    """Raise `FetchError` unless the answer is a 200."""
    if response.status != 200:  # noqa: PLR2004
        retry_after = _retry_after(response.headers)
        raise FetchError(f"the answer is {response.status}", status=response.status, retry_after=retry_after)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """RFC 9110 section 10.2.3: seconds, or a date; how far off that is, the server's own Date tells."""
    value = headers.get("retry-after", "")
    if value.isdecimal():
        return min(float(value), MAX_RETRY_AFTER)
    try:
        pause = parsedate_to_datetime(value) - parsedate_to_datetime(headers.get("date", ""))
    except (TypeError, ValueError, OverflowError):
        return None
    return min(max(0.0, pause.total_seconds()), MAX_RETRY_AFTER)
