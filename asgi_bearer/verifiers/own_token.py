"""An access token of our own, with which we ask about those of others (RFC 7662 section 2.1). Floor 4.

The rules: got once for all requests that need it, in a task of its own; used until it is refused or about to end.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Literal

import anyio

from asgi_bearer.errors import VerifierUnavailable
from asgi_bearer.remote.discovery import Discovery
from asgi_bearer.remote.document import boottime
from asgi_bearer.remote.flight import Flights, wait_for
from asgi_bearer.remote.http import FetchError, require_transport
from asgi_bearer.remote.token_endpoint import OwnToken, client_credentials
from asgi_bearer.rules import options
from asgi_bearer.rules.credentials import is_token
from asgi_bearer.verifiers.client_auth import Authentication, with_secret

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from asgi_bearer.remote.http import Transport

_SECONDS = 10.0
_MAX_WAITERS = 1024
_BETWEEN_RENEWALS = 1.0


class _HeldToken(ABC):
    """A token of our own that is got once for all who need it (see `remote.flight`)."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._flights: Flights[Authentication | FetchError] = Flights()
        self._authentication: Authentication | None = None
        self._until = 0.0
        self._next_renewal = -math.inf

    @abstractmethod
    async def _get(self) -> OwnToken:
        """Return a new one. Raises `FetchError`."""

    async def authenticate(self, issuer: str | None) -> Authentication:
        """Return the header. Raises `VerifierUnavailable` where there is no token to be had."""
        del issuer
        held = self._authentication
        if held is not None and self._monotonic() < self._until:
            return held
        flight = self._flights.launch("token", self._attempt)
        outcome = await wait_for(flight, seconds=_SECONDS, max_waiters=_MAX_WAITERS)
        if isinstance(outcome, FetchError):
            raise VerifierUnavailable(str(outcome), outcome.retry_after or 1)
        return outcome

    def renew(self, authentication: Authentication) -> bool:
        """Let go of the token that was refused, and tell whether another one is worth a try: one a second is."""
        if self._authentication is not authentication:
            # Another request has got a new one by now, or is getting it.
            return True
        now = self._monotonic()
        if now < self._next_renewal:
            # It is not the token that is wrong with us: a third one would be refused, too.
            return False
        self._next_renewal = now + _BETWEEN_RENEWALS
        self._authentication = None
        return True

    async def _attempt(self) -> Authentication | FetchError:
        asked = self._monotonic()
        got: OwnToken | None = None
        try:
            # In a task of its own, nobody else's deadline ends it.
            with anyio.move_on_after(_SECONDS):
                got = await self._get()
        except FetchError as error:
            return error.with_traceback(None)
        if got is None:
            return FetchError(f"no token of our own within {_SECONDS:g} s")
        self._until = math.inf if got.seconds is None else asked + 0.9 * got.seconds
        self._authentication = Authentication(headers={"authorization": f"Bearer {got.token}"})
        return self._authentication


class BearerToken(_HeldToken):
    """An access token of our own (RFC 7662 section 2.1, RFC 6750).

    `source` is `async () -> str`. It is asked once for all requests; what it returns is used until the server answers
    401 or 403, and then it is asked again, once for each request that was refused. `client_id`: ours, where the
    server's answers must name it (`response="jwt"`).
    """

    def __init__(self, source: Callable[[], Awaitable[str]], *, client_id: str | None = None) -> None:
        super().__init__(boottime)
        self.client_id: str | None = None if client_id is None else options.credential("client_id", client_id)
        self._source = options.async_function("source", source)

    async def _get(self) -> OwnToken:
        token = await self._source()
        if not isinstance(token, str) or not is_token(token):
            # It goes into a header.
            raise FetchError("the source of our own token returned none that can be sent")
        return OwnToken(token, None)


class ClientCredentials(_HeldToken):
    """An access token of our own, got by the client_credentials grant (RFC 6749 section 4.4).

    - `client_id`, `client_secret`: ours, sent by `client_auth`: "client_secret_basic" or "client_secret_post".
    - `token_endpoint`: its https URL; or `issuer`, in whose metadata it is found.
    - `scopes`: what to ask for, such as ["introspection"].
    - `allow_insecure_http`: takes http URLs other than loopback. `transport`: an httpx2 transport.
    - `monotonic`: seconds on a clock that nobody sets.

    The token is used for nine tenths of its life, and until the server answers 401 or 403; then another one is fetched.
    """

    def __init__(
        self,
        client_id: str,
        client_secret: str,
        *,
        token_endpoint: str | None = None,
        issuer: str | None = None,
        scopes: Sequence[str] = (),
        client_auth: Literal["client_secret_basic", "client_secret_post"] = "client_secret_basic",
        allow_insecure_http: bool = False,
        transport: Transport | None = None,
        monotonic: Callable[[], float] = boottime,
    ) -> None:
        super().__init__(options.function("monotonic", monotonic))
        self.client_id: str = options.credential("client_id", client_id)
        self._auth = with_secret(client_auth, client_id, client_secret)
        self._endpoint = _token_endpoint(token_endpoint, issuer, transport, allow_insecure_http=allow_insecure_http)
        self._scopes = options.scopes("scopes", scopes)
        self._transport = require_transport(transport)

    async def _get(self) -> OwnToken:
        endpoint = self._endpoint
        if isinstance(endpoint, Discovery):
            endpoint = await endpoint.endpoint("token_endpoint")
        ours = await self._auth.authenticate(None)
        return await client_credentials(
            endpoint, headers=ours.headers, form=ours.form, scopes=self._scopes, transport=self._transport
        )

    def __repr__(self) -> str:
        """Show who, not what."""
        return f"ClientCredentials({self.client_id!r})"


def _token_endpoint(
    endpoint: str | None, issuer: str | None, transport: Transport | None, *, allow_insecure_http: bool
) -> str | Discovery:
    allow = options.flag("allow_insecure_http", allow_insecure_http)
    if (endpoint is None) == (issuer is None):
        raise ValueError(
            "ClientCredentials needs token_endpoint='https://...', or issuer= to find it: write one of them"
        )
    if endpoint is not None:
        return options.url("token_endpoint", endpoint, allow_insecure_http=allow)
    return Discovery(issuer or "", allow_insecure_http=allow, transport=transport)
