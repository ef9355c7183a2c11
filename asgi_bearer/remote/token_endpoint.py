"""An access token of our own, by the client_credentials grant (RFC 6749 section 4.4), through authlib. Floor 2.

The only importer of authlib. Its client makes the request and reads the answer; what it would do about connections,
redirects, cookies, deadlines and client authentication is done by us.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

import httpx2
from authlib.integrations.httpx_client import AsyncOAuth2Client, OAuthError

from asgi_bearer.remote.discovery import read_document
from asgi_bearer.remote.http import FetchError, Limits, Request, fetch
from asgi_bearer.rules.credentials import MAX_TOKEN_BYTES, is_token
from asgi_bearer.rules.strict_json import NotStrictJSONError, parse_object

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from asgi_bearer.remote.http import Response, Transport

_LIMITS = Limits(timeout=5.0, max_bytes=64 * 1024)
_LONGEST = 366 * 86400
_REFUSALS = frozenset({400, 401})


class OwnToken(NamedTuple):
    """An access token of ours, and for how many seconds it is good, where its issuer says so."""

    token: str
    seconds: float | None

    def __repr__(self) -> str:
        """Show nothing of it."""
        return f"OwnToken(seconds={self.seconds})"


async def client_credentials(
    endpoint: str,
    *,
    headers: Mapping[str, str],
    form: Mapping[str, str],
    scopes: Sequence[str],
    transport: Transport | None = None,
) -> OwnToken:
    """Return a new access token. `headers` and `form` authenticate us. Raises `FetchError`."""

    def authenticate(_client: object, _method: str, uri: str, sent: Any, body: Any) -> tuple[str, Any, str]:
        sent.update(headers)
        return uri, sent, "&".join([text for text in (_text(body), urlencode(form)) if text])

    client = AsyncOAuth2Client(
        token_endpoint_auth_method=authenticate,
        scope=" ".join(scopes) or None,
        transport=_Bounded(transport),
        trust_env=False,
    )
    try:
        async with client:
            return _read(await client.fetch_token(endpoint, grant_type="client_credentials"))
    except OAuthError as error:
        # RFC 6749 section 5.2. The code alone: its description may quote what we sent.
        message = f"the token endpoint refuses this server ({_code(error.error)}): check client_id and client_secret"
    except (httpx2.HTTPError, ValueError, TypeError) as error:
        message = f"the token endpoint has no token for us ({type(error).__name__})"
    raise FetchError(message)


class _Bounded(httpx2.AsyncBaseTransport):
    """Sends a request in our own way: with a total deadline, a cap on the answer, and no redirects."""

    def __init__(self, transport: Transport | None) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        names = ("accept", "authorization", "content-type")
        headers = {name: request.headers[name] for name in names if name in request.headers}
        body = await request.aread()
        ours = Request(method=request.method, url=str(request.url), headers=headers, body=body)
        answer = await fetch(ours, _LIMITS, self._transport)
        _require_readable(answer)
        return httpx2.Response(answer.status, headers=dict(answer.headers), content=answer.body)


def _require_readable(answer: Response) -> None:
    """Raise `FetchError` unless it is a token, or a refusal as RFC 6749 section 5.2 writes it: strictly read."""
    if answer.status not in _REFUSALS:
        read_document(answer)
        return
    try:
        parse_object(answer.body, max_bytes=_LIMITS.max_bytes)["error"]
    except (NotStrictJSONError, KeyError):
        raise FetchError(f"the token endpoint's answer is {answer.status}", status=answer.status) from None


def _text(body: str | bytes | None) -> str:
    return body.decode("ascii") if isinstance(body, bytes) else body or ""


def _read(answer: dict[str, Any]) -> OwnToken:
    token, kind, seconds = answer.get("access_token"), answer.get("token_type"), answer.get("expires_in")
    # RFC 6749 section 5.1: both are required, and this is sent on as a header.
    if not isinstance(token, str) or not isinstance(kind, str) or kind.lower() != "bearer":
        raise FetchError("the token endpoint has no Bearer token for us")
    if len(token) > MAX_TOKEN_BYTES or not is_token(token):
        raise FetchError("the token endpoint's token is none that can be sent")
    known = isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 < seconds <= _LONGEST
    return OwnToken(token, float(seconds) if known and seconds is not None else None)


def _code(error: object) -> str:
    return error if isinstance(error, str) and error.isascii() and error.replace("_", "").isalnum() else "an error"
