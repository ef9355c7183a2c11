"""Opaque tokens: the authorization server is asked, and its answer is read strictly (RFC 7662). Floor 4.

The rules: only a 200 with a JSON object whose `active` is true or false is an answer, everything else is "we cannot
know"; what it says is checked again here, its times on every hit of the cache; many requests with one token make one
call; refusals are kept apart, so that garbage cannot push good tokens out.
"""

from __future__ import annotations

import base64
import logging
import time
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import quote_plus, urlencode

from asgi_bearer.access_token import AccessToken, Verdict
from asgi_bearer.errors import InsufficientScope, InvalidToken, Reason, VerifierUnavailable
from asgi_bearer.remote.discovery import Discovery, read_document
from asgi_bearer.remote.document import boottime
from asgi_bearer.remote.flight import Flights, wait_for
from asgi_bearer.remote.http import FetchError, Limits, Pool, Request, require_transport
from asgi_bearer.rules import options
from asgi_bearer.rules.claims import ClaimRules, Lifetime, check_claims, check_kind, read_verdict
from asgi_bearer.verifiers.token_cache import TokenCache

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from asgi_bearer.remote.http import Transport

_logger = logging.getLogger("asgi_bearer")

_MAX_BYTES = 256 * 1024
_MAX_WAITERS = 1024
_NEGATIVE_ENTRIES = 1024
_CLIENT_AUTH = ("client_secret_basic", "client_secret_post")


class _Known(NamedTuple):
    """What is remembered of an active token, and until when on the monotonic clock."""

    verdict: Verdict
    lifetime: Lifetime
    until: float


class IntrospectionTokenVerifier:
    """Verifies tokens by asking the authorization server's introspection endpoint.

    - `introspection_endpoint`: its https URL; or `issuer` alone, in whose metadata it is found. With `issuer`, an
      answer that has `iss` must have this one.
    - `client_id`, `client_secret`: this server's own credentials there, sent by `client_auth`: "client_secret_basic"
      (both parts form-encoded, RFC 6749 section 2.3.1) or "client_secret_post".
    - `server_url`: this server's own URL (its resource identifier, RFC 8707): an answer that has `aud` must name it.
      `audience`, str or a sequence, takes its place and demands `aud`.
    - `required_scopes`: the token must have all of them. `leeway`: seconds (30, at most 300) for exp, nbf and iat.
    - `cache_ttl`: seconds (30) for which "active" is remembered, never past exp: so long a revocation may go unnoticed.
      0 asks on every request. `negative_ttl`: seconds (5) for "inactive". `cache_size`: how many active tokens (10000).
    - `timeout`: seconds (3) for the whole answer. `allow_insecure_http`: takes http URLs other than loopback.
    - `transport`: an httpx2 transport, where the default (TLS verified, no proxy) will not do.
    - `clock`: the wall clock; `monotonic`: seconds on a clock that nobody sets.

    A server that is down, slow, or refuses our own credentials is `VerifierUnavailable`, never a refused token. It does
    NOT check `cnf`: the door does. No constructor asks anybody; it raises `ValueError` or `TypeError`.
    """

    def __init__(
        self,
        *,
        introspection_endpoint: str | None = None,
        issuer: str | None = None,
        client_id: str | None = None,
        client_secret: str | None = None,
        server_url: str | None = None,
        client_auth: Literal["client_secret_basic", "client_secret_post"] = "client_secret_basic",
        audience: str | Sequence[str] | None = None,
        required_scopes: Sequence[str] | None = None,
        leeway: float = 30.0,
        cache_ttl: float = 30.0,
        negative_ttl: float = 5.0,
        cache_size: int = 10_000,
        timeout: float = 3.0,
        allow_insecure_http: bool = False,
        transport: Transport | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = boottime,
    ) -> None:
        allow = options.flag("allow_insecure_http", allow_insecure_http)
        require_transport(transport)
        self._endpoint = _endpoint(introspection_endpoint, issuer, transport, allow_insecure_http=allow)
        self._client = _client(client_id, client_secret, client_auth)
        self._rules = _rules(issuer, server_url, audience, options.seconds("leeway", leeway, most=300.0))
        self.required_scopes: tuple[str, ...] = options.scopes("required_scopes", required_scopes)
        self._cache_ttl = options.seconds("cache_ttl", cache_ttl)
        self._negative_ttl = options.seconds("negative_ttl", negative_ttl)
        self._active: TokenCache[_Known] = TokenCache(options.count("cache_size", cache_size))
        self._inactive: TokenCache[float] = TokenCache(_NEGATIVE_ENTRIES)
        self._limits = Limits(timeout=options.seconds("timeout", timeout, least=0.001), max_bytes=_MAX_BYTES)
        self._clock = options.function("clock", clock)
        self._monotonic = options.function("monotonic", monotonic)
        if not self._rules.audiences:
            options.warn_insecure(
                "IntrospectionTokenVerifier has no server_url and no audience: it takes tokens issued for other APIs; "
                "write server_url="
            )
        self._pool = Pool(transport)
        self._flights: Flights[_Known | InvalidToken | FetchError] = Flights()

    async def verify_token(self, token: str) -> AccessToken:
        """Return the verified token. Raises `InvalidToken`, `InsufficientScope` or `VerifierUnavailable`."""
        key = self._active.key(token)
        known = self._remembered(key) or await self._ask(key, token)
        # On every hit: the token may have ended since the answer came.
        known.lifetime.require(self._clock())
        if not set(self.required_scopes) <= set(known.verdict.scopes):
            raise InsufficientScope(self.required_scopes)
        return AccessToken.from_verdict(token, known.verdict)

    async def aclose(self) -> None:
        """Close the connections of this event loop; a later request opens new ones."""
        await self._pool.aclose()

    def _remembered(self, key: bytes) -> _Known | None:
        now = self._monotonic()
        known = self._active.get(key)
        if known is not None and now < known.until:
            return known
        refused_until = self._inactive.get(key)
        if refused_until is not None and now < refused_until:
            raise InvalidToken(Reason.inactive)
        return None

    async def _ask(self, key: bytes, token: str) -> _Known:
        # With cache_ttl=0 every request has an answer of its own: a shared one could be older than a revocation.
        flight_key: Hashable = key if self._cache_ttl else object()
        flight = self._flights.launch(flight_key, lambda: self._attempt(key, token))
        outcome = await wait_for(flight, seconds=self._limits.timeout + 1.0, max_waiters=_MAX_WAITERS)
        if isinstance(outcome, FetchError):
            message = f"introspection: {outcome}"
            raise VerifierUnavailable(message, outcome.retry_after or 1)
        if isinstance(outcome, InvalidToken):
            # A fresh one: an exception raised in many tasks would gather the tracebacks of them all.
            raise InvalidToken(outcome.reason or Reason.inactive)
        return outcome

    async def _attempt(self, key: bytes, token: str) -> _Known | InvalidToken | FetchError:
        """Ask, and remember the answer even where nobody waits for it any more."""
        asked = self._monotonic()
        try:
            claims = await self._introspect(token)
            if not claims["active"]:
                self._inactive.put(key, self._monotonic() + self._negative_ttl, token)
                return InvalidToken(Reason.inactive)
            # From the question on: what it says may be as old as that.
            known = self._read(claims, until=asked + self._cache_ttl)
        except (FetchError, InvalidToken) as error:
            return error
        if self._cache_ttl:
            self._active.put(key, known, token)
        return known

    async def _introspect(self, token: str) -> dict[str, Any]:
        endpoint = self._endpoint
        if isinstance(endpoint, Discovery):
            endpoint = await endpoint.endpoint("introspection_endpoint")
        response = await self._pool.fetch(introspection_request(endpoint, token, self._client), self._limits)
        if response.status in {400, 401, 403}:
            # Our own credentials or request are wrong: that says nothing about the token.
            what = "the introspection endpoint refuses this server (%d): check client_id, client_secret and client_auth"
            _logger.error(what, response.status)
        answer = read_document(response)
        if not isinstance(answer.get("active"), bool):
            message = "the answer's active is not true or false (RFC 7662 section 2.2)"
            raise FetchError(message)
        return answer

    def _read(self, claims: dict[str, Any], *, until: float) -> _Known:
        token_type = claims.get("token_type", "Bearer")
        if not isinstance(token_type, str) or token_type.lower() not in {"bearer", "dpop"}:
            raise InvalidToken(Reason.token_type)
        if token_type.lower() == "dpop" and "cnf" not in claims:
            # RFC 9449 section 7.1: bound to a key that the answer does not name
            raise InvalidToken(Reason.binding)
        # Some endpoints answer for ID and refresh tokens as well.
        check_kind(claims)
        lifetime = check_claims(claims, self._rules, self._clock())
        verdict = read_verdict(claims, self._rules.scope_claims)
        return _Known(verdict, lifetime, until)


class _Client(NamedTuple):
    """This server's own credentials, and how they are sent."""

    client_id: str
    secret: str
    method: str

    def __repr__(self) -> str:
        """Show who, not what."""
        return f"_Client({self.client_id!r}, {self.method})"


def introspection_request(endpoint: str, token: str, client: _Client) -> Request:
    """Return the request of RFC 7662 section 2.1 for `token`."""
    form = {"token": token, "token_type_hint": "access_token"}
    headers = {"accept": "application/json", "content-type": "application/x-www-form-urlencoded"}
    if client.method == "client_secret_post":
        form |= {"client_id": client.client_id, "client_secret": client.secret}
    else:
        # RFC 6749 section 2.3.1: each part form-encoded first, or a colon or a percent sign in it reads as another one
        pair = f"{quote_plus(client.client_id)}:{quote_plus(client.secret)}"
        headers["authorization"] = "Basic " + base64.b64encode(pair.encode("ascii")).decode("ascii")
    return Request(method="POST", url=endpoint, headers=headers, body=urlencode(form).encode("ascii"))


def _endpoint(
    endpoint: str | None, issuer: str | None, transport: Transport | None, *, allow_insecure_http: bool
) -> str | Discovery:
    if endpoint is not None:
        return options.url("introspection_endpoint", endpoint, allow_insecure_http=allow_insecure_http)
    if issuer is None:
        message = "IntrospectionTokenVerifier needs introspection_endpoint='https://...', or issuer= to find it"
        raise ValueError(message)
    return Discovery(issuer, allow_insecure_http=allow_insecure_http, transport=transport)


def _client(client_id: str | None, client_secret: str | None, client_auth: str) -> _Client:
    method = options.choice("client_auth", client_auth, _CLIENT_AUTH)
    if client_id is None or client_secret is None:
        # RFC 7662 section 2.1
        message = f"{method} needs client_id= and client_secret=: the endpoint answers nobody it does not know"
        raise ValueError(message)
    for name, value in (("client_id", client_id), ("client_secret", client_secret)):
        if any("\ud800" <= character <= "\udfff" for character in options.text(name, value)):
            message = f"{name} is no text (it has lone surrogates, as os.environ makes of bytes): decode it as UTF-8"
            raise ValueError(message)
    return _Client(client_id, client_secret, method)


def _rules(
    issuer: str | None, server_url: str | None, audience: str | Sequence[str] | None, leeway: float
) -> ClaimRules:
    audiences = options.audiences("audience", audience)
    own = () if server_url is None else (options.text("server_url", server_url),)
    return ClaimRules(
        issuers=frozenset(() if issuer is None else (options.text("issuer", issuer),)),
        audiences=frozenset(audiences or own),
        leeway=leeway,
        required_claims=("aud",) if audiences else (),
    )
