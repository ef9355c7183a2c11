"""Opaque tokens: the authorization server is asked, and its answer is read strictly (RFC 7662). Floor 4.

The rules: what cannot be a token is not asked about; many requests with one token make one call; what is answered is
checked again here, its times on every hit; refusals are kept apart, and new tokens have a lane of their own, so that
garbage neither pushes good tokens out nor stands in their way; a server that cannot be asked refuses nobody.
"""

from __future__ import annotations

import time
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from cachetools import LRUCache

from asgi_bearer.access_token import AccessToken, Verdict
from asgi_bearer.errors import InsufficientScope, InvalidToken, Reason, VerifierUnavailable
from asgi_bearer.remote.discovery import Discovery
from asgi_bearer.remote.document import boottime
from asgi_bearer.remote.flight import Flight, Flights, wait_for
from asgi_bearer.remote.http import FetchError, require_transport
from asgi_bearer.remote.lane import BusyError, Lane
from asgi_bearer.rules import options
from asgi_bearer.rules.claims import ClaimRules, Lifetime, check_claims, check_kind, read_verdict
from asgi_bearer.rules.credentials import MAX_TOKEN_BYTES, is_token
from asgi_bearer.verifiers.client_assertion import Assertion
from asgi_bearer.verifiers.client_auth import ClientAuth, NoClientAuth, require_client_auth
from asgi_bearer.verifiers.introspection_answer import Answers, PlainAnswers, SignedResponse
from asgi_bearer.verifiers.introspection_endpoint import IntrospectionEndpoint
from asgi_bearer.verifiers.token_cache import TokenCache

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asgi_bearer.events import Listener
    from asgi_bearer.remote.http import Transport

_MAX_WAITERS = 1024
_SMALL_CACHE = 1024
_ERROR_TTL = 1.0
_REFRESH_AT = 0.8
_HITS_BEFORE_REFRESH = 2
_QUEUE_SECONDS = 1.0
_LONGEST_STALE = 60.0
_MAX_QUESTIONS = 4096
# What says that a server can answer nobody. All else it may answer because of this one token: it is up.
_ANSWERS_NOBODY = frozenset({401, 429})
_SERVER_ERROR = 500


class _Known:
    """What is remembered of an active token, until when on the monotonic clock, and how often it was used."""

    __slots__ = ("hits", "lifetime", "refresh_at", "until", "verdict")

    def __init__(self, verdict: Verdict, lifetime: Lifetime, until: float, refresh_at: float) -> None:
        self.verdict = verdict
        self.lifetime = lifetime
        self.until = until
        self.refresh_at = refresh_at
        self.hits = 0


class _Question:
    """That a token is being asked about, and since when on the monotonic clock.

    Only the newest question about a token may be remembered, and none that was under way when it was forgotten.
    """

    __slots__ = ("asked",)

    def __init__(self, asked: float) -> None:
        self.asked = asked


class _Failed(NamedTuple):
    """Why a token could not be asked about a moment ago. Not the error itself: its traceback leads to the token."""

    message: str
    retry_after: float
    until: float


_Outcome: TypeAlias = _Known | InvalidToken | FetchError


class IntrospectionTokenVerifier:
    """Verifies tokens by asking the authorization server's introspection endpoint.

    Whom to ask, and as whom:

    - `introspection_endpoint`: its https URL; or `issuer` alone, in whose metadata it is found. With `issuer`, an
      answer that has `iss` must have this one.
    - `client_id`, `client_secret`: this server's own credentials there, sent by `client_auth`: "client_secret_basic"
      (both parts form-encoded, RFC 6749 section 2.3.1) or "client_secret_post". Any other way is an object in
      `client_auth`, which holds the credentials: `ClientSecretBasic`, `PrivateKeyJWT`, `ClientSecretJWT`,
      `TLSClientAuth`, `BearerToken`, `ClientCredentials`, `NoClientAuth`, or one of your own (`ClientAuth`).
    - `token_type_hint`: "access_token"; None sends none.

    What the answer must say:

    - `server_url`: this server's own URL (its resource identifier, RFC 8707): an answer that has `aud` must name it.
      `audience`, str or a sequence, takes its place and demands `aud`.
    - `required_scopes`: the token must have all of them. `leeway`: seconds (30, at most 300) for exp, nbf and iat.
    - `response`: "json"; "jwt" asks for signed answers and takes no others (RFC 9701), and so does a `SignedResponse`,
      which says more of them. They need `issuer`.

    What is remembered:

    - `cache_ttl`: seconds (30) for which "active" is remembered, never past exp: so long a revocation may go unnoticed.
      0 asks on every request, but for tokens known to be inactive. A token in use is asked about again ahead of that,
      in the background. `cache_size`: how many active tokens (10000); 0 remembers none. Nothing is remembered of a
      token longer than 8 KiB.
    - `negative_ttl`: seconds (5) for "inactive". A failure is the answer to the same token for one second.
    - `stale_if_error`: seconds (0, at most 60) for which, after its time and never past exp, an answer goes on serving
      while the server cannot be asked. A revocation may go unnoticed for so much longer.

    What may be spent:

    - `accept`: a function that tells whether a text may be a token at all, such as `lambda token: len(token) == 40`.
      What it refuses costs no request.
    - `timeout`: seconds (3) for the whole answer. `known_at_once` (32), `new_at_once` (16): how many requests are made
      at once, in each event loop, for tokens that were active before, and for all others. Of each, 256 more wait for a
      second at most; beyond that it is `VerifierUnavailable`, as it is after five failures in a row, for 2 to 30
      seconds.
    - `allow_insecure_http`: takes http URLs other than loopback. `transport`: an httpx2 transport, where the default
      (TLS verified, no proxy) will not do.
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
        client_auth: Literal["client_secret_basic", "client_secret_post"] | ClientAuth = "client_secret_basic",
        audience: str | Sequence[str] | None = None,
        required_scopes: Sequence[str] | None = None,
        leeway: float = 30.0,
        cache_ttl: float = 30.0,
        negative_ttl: float = 5.0,
        cache_size: int = 10_000,
        stale_if_error: float = 0.0,
        accept: Callable[[str], bool] | None = None,
        token_type_hint: str | None = "access_token",  # noqa: S107  # a word, no secret
        response: Literal["json", "jwt"] | SignedResponse = "json",
        timeout: float = 3.0,
        known_at_once: int = 32,
        new_at_once: int = 16,
        allow_insecure_http: bool = False,
        transport: Transport | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = boottime,
    ) -> None:
        allow = options.flag("allow_insecure_http", allow_insecure_http)
        require_transport(transport)
        self._clock = options.function("clock", clock)
        self._monotonic = options.function("monotonic", monotonic)
        source = _source(introspection_endpoint, issuer, transport, allow_insecure_http=allow, monotonic=monotonic)
        auth = require_client_auth(client_auth, client_id, client_secret)
        _require_fit(auth, source, issuer)
        self._rules = _rules(issuer, server_url, audience, options.seconds("leeway", leeway, most=300.0))
        self.audiences: tuple[str, ...] = tuple(sorted(self._rules.audiences))
        self.required_scopes: tuple[str, ...] = options.scopes("required_scopes", required_scopes)
        self._cache_ttl = options.seconds("cache_ttl", cache_ttl)
        self._negative_ttl = options.seconds("negative_ttl", negative_ttl)
        self._stale_if_error = options.seconds("stale_if_error", stale_if_error, most=_LONGEST_STALE)
        self._active: TokenCache[_Known] = TokenCache(options.count("cache_size", cache_size))
        self._inactive: TokenCache[float] = TokenCache(_SMALL_CACHE)
        self._failed: TokenCache[_Failed] = TokenCache(_SMALL_CACHE)
        self._questions: LRUCache[bytes, _Question] = LRUCache(_MAX_QUESTIONS)
        # Of the questions, and of what is remembered of their answers; held on a miss alone, and never across an await.
        self._lock = Lock()
        self._accept = None if accept is None else options.function("accept", accept)
        self._timeout = options.seconds("timeout", timeout, least=0.001)
        self._known_lane = self._lane("known_at_once", known_at_once)
        self._new_lane = self._lane("new_at_once", new_at_once)
        self._flights: Flights[_Outcome] = Flights()
        self._answers = _answers(
            response,
            source,
            issuer,
            auth,
            leeway=self._rules.leeway,
            allow_insecure_http=allow,
            transport=transport,
            clock=clock,
            monotonic=monotonic,
        )
        self._endpoint = IntrospectionEndpoint(
            source,
            auth,
            self._answers,
            issuer=issuer,
            hint=None if token_type_hint is None else options.text("token_type_hint", token_type_hint),
            timeout=self._timeout,
            most_at_once=known_at_once + new_at_once,
            transport=transport,
            clock=clock,
            monotonic=monotonic,
        )
        if not self.audiences:
            options.warn_insecure(
                "IntrospectionTokenVerifier has no server_url and no audience: it takes tokens issued for other APIs; "
                "write server_url="
            )
        if isinstance(auth, NoClientAuth):
            options.warn_insecure(
                "NoClientAuth asks an endpoint that answers everybody, so that anybody can try out tokens there: RFC "
                "7662 section 2.1 demands authentication"
            )

    async def verify_token(self, token: str) -> AccessToken:
        """Return the verified token. Raises `InvalidToken`, `InsufficientScope` or `VerifierUnavailable`."""
        key = self._active.key(token)
        known = self._active.get(key)
        now = self._monotonic()
        if known is None or now >= known.until:
            known = await self._ask(key, token, self._new_lane if known is None else self._known_lane)
        else:
            known.hits += 1
            if now >= known.refresh_at and known.hits >= _HITS_BEFORE_REFRESH:
                self._refresh(key, token, known, now)
        # On every hit: the token may have ended since the answer came.
        known.lifetime.require(self._clock())
        verdict = known.verdict
        for scope in self.required_scopes:
            if scope not in verdict.scopes:
                raise InsufficientScope(self.required_scopes)
        return AccessToken.from_verdict(token, verdict)

    def forget(self, token: str) -> None:
        """Forget what was answered about `token`: the next request with it asks, and so sees a revocation at once.

        An answer that is on its way is not remembered, and is given to no request that comes after this.
        """
        key = self._active.key(token)
        with self._lock:
            self._questions.pop(key, None)
            for cache in (self._active, self._inactive, self._failed):
                cache.drop(key)

    async def prefetch(self) -> None:
        """Find the endpoint, and the keys of signed answers, ahead of the first token. Raises `VerifierUnavailable`."""
        await self._endpoint.prefetch()
        await self._answers.prefetch()

    def observe(self, listener: Listener) -> None:
        """Tell `listener` what becomes of the keys of signed answers."""
        self._answers.observe(listener)

    async def aclose(self) -> None:
        """Close the connections of this event loop; a later request opens new ones."""
        await self._endpoint.aclose()

    async def _ask(self, key: bytes, token: str, lane: Lane) -> _Known:
        """Return what the server says, or what it said, where that counts for as much."""
        self._require_askable(token)
        now = self._monotonic()
        refused_until = self._inactive.get(key)
        if refused_until is not None and now < refused_until:
            raise InvalidToken(Reason.inactive)
        try:
            failed = self._failed.get(key)
            if failed is not None and now < failed.until:
                raise VerifierUnavailable(failed.message, failed.retry_after)  # noqa: TRY301  # answered like a new one
            return await self._answer(key, token, lane)
        except VerifierUnavailable:
            known = self._active.get(key)
            if known is None or self._monotonic() >= known.until + self._stale_if_error:
                raise
            return known

    def _require_askable(self, token: str) -> None:
        # RFC 7662 section 4: who lets anything through is a tool for trying out tokens.
        if len(token) > MAX_TOKEN_BYTES:
            raise InvalidToken(Reason.too_large)
        if not is_token(token) or not (self._accept is None or self._accept(token)):
            raise InvalidToken(Reason.malformed)

    async def _answer(self, key: bytes, token: str, lane: Lane) -> _Known:
        try:
            flight = self._launch(key, token, lane)
            outcome = await wait_for(flight, seconds=_QUEUE_SECONDS + self._timeout + 1.0, max_waiters=_MAX_WAITERS)
        except BusyError as error:
            outcome = error
        if isinstance(outcome, FetchError):
            message = f"introspection: {outcome}"
            raise VerifierUnavailable(message, outcome.retry_after or 1)
        if isinstance(outcome, InvalidToken):
            # A fresh one: an exception raised in many tasks would gather the tracebacks of them all.
            raise InvalidToken(outcome.reason or Reason.inactive)
        return outcome

    def _refresh(self, key: bytes, token: str, known: _Known, now: float) -> None:
        """Ask ahead of time, and let nobody wait for it; where that cannot be, not again for a moment."""
        known.refresh_at = now + _ERROR_TTL
        with suppress(BusyError):
            self._launch(key, token, self._known_lane)

    def _launch(self, key: bytes, token: str, lane: Lane) -> Flight[_Outcome]:
        with self._lock:
            question = self._questions.get(key)
            if question is None or not self._may_join(key, question):
                lane.require_room()
                question = self._questions[key] = _Question(self._monotonic())
        return self._flights.launch((key, question), lambda: self._attempt(key, token, lane, question))

    def _may_join(self, key: bytes, question: _Question) -> bool:
        # Not one whose answer may be older than answers may be: with cache_ttl=0 every request has its own.
        is_young = self._monotonic() - question.asked < self._cache_ttl
        return is_young and self._flights.under_way((key, question)) is not None

    async def _attempt(self, key: bytes, token: str, lane: Lane, question: _Question) -> _Outcome:
        """Ask, and remember the answer even where nobody waits for it any more."""
        try:
            asked, claims = await lane.run(lambda: self._introspect(token))
            outcome: _Outcome = self._read(claims, asked)
        except (FetchError, InvalidToken) as error:
            # Its traceback leads to the token, and it may lie about for as long as somebody waits.
            outcome = error.with_traceback(None)
        with self._lock:
            if self._questions.get(key) is question:
                del self._questions[key]
                self._remember(key, token, outcome)
        return outcome

    def _remember(self, key: bytes, token: str, outcome: _Outcome) -> None:
        if isinstance(outcome, _Known):
            self._active.put(key, outcome, token)
        elif isinstance(outcome, InvalidToken):
            self._active.drop(key)
            if outcome.reason == Reason.inactive:
                self._inactive.put(key, self._monotonic() + self._negative_ttl, token)
        elif self._cache_ttl and not isinstance(outcome, BusyError):
            until = self._monotonic() + _ERROR_TTL
            self._failed.put(key, _Failed(f"introspection: {outcome}", outcome.retry_after or 1.0, until), token)

    async def _introspect(self, token: str) -> tuple[float, dict[str, Any]]:
        # The time of the question, since what is answered may be as old as that; not that of its queueing.
        return self._monotonic(), await self._endpoint.introspect(token)

    def _read(self, claims: dict[str, Any], asked: float) -> _Known:
        if not claims["active"]:
            raise InvalidToken(Reason.inactive)
        token_type = claims.get("token_type", "Bearer")
        if not isinstance(token_type, str) or token_type.lower() not in {"bearer", "dpop"}:
            raise InvalidToken(Reason.token_type)
        if token_type.lower() == "dpop" and "cnf" not in claims:
            # RFC 9449 section 7.1: bound to a key that the answer does not name
            raise InvalidToken(Reason.binding)
        if not isinstance(claims.get("username", ""), str):
            raise InvalidToken(Reason.claim_type)
        # Some endpoints answer for ID and refresh tokens as well.
        check_kind(claims)
        lifetime = check_claims(claims, self._rules, self._clock())
        verdict = read_verdict(claims, self._rules.scope_claims)
        return _Known(verdict, lifetime, asked + self._cache_ttl, asked + _REFRESH_AT * self._cache_ttl)

    def _lane(self, name: str, at_once: object) -> Lane:
        places = options.count(name, at_once, least=1)
        return Lane(
            places=places,
            wait=_QUEUE_SECONDS,
            longest=self._timeout,
            blamed=_answers_nobody,
            monotonic=self._monotonic,
        )


def _answers_nobody(error: FetchError) -> bool:
    return error.status is None or error.status >= _SERVER_ERROR or error.status in _ANSWERS_NOBODY


def _source(
    endpoint: str | None,
    issuer: str | None,
    transport: Transport | None,
    *,
    allow_insecure_http: bool,
    monotonic: Callable[[], float],
) -> str | Discovery:
    if issuer is not None:
        options.audience("issuer", issuer)
    if endpoint is not None:
        return options.url("introspection_endpoint", endpoint, allow_insecure_http=allow_insecure_http)
    if issuer is None:
        message = "IntrospectionTokenVerifier needs introspection_endpoint='https://...', or issuer= to find it"
        raise ValueError(message)
    return Discovery(issuer, allow_insecure_http=allow_insecure_http, transport=transport, monotonic=monotonic)


def _require_fit(auth: ClientAuth, source: str | Discovery, issuer: str | None) -> None:
    """Raise `ValueError` where the way of authenticating lacks something that is configured elsewhere."""
    if isinstance(auth, Assertion) and auth.audience is None and issuer is None:
        # RFC 7523 section 3: whom it is for
        message = f"{type(auth).__name__} is for one server: write issuer=, or audience= in {type(auth).__name__}(...)"
        raise ValueError(message)
    by_certificate = getattr(auth, "ssl_context", None) is not None
    if by_certificate and isinstance(source, str) and not source.lower().startswith("https:"):
        raise ValueError("introspection_endpoint must be https: a client certificate is shown in TLS alone")


def _answers(response: object, source: str | Discovery, issuer: str | None, auth: ClientAuth, **shared: Any) -> Answers:
    if isinstance(response, SignedResponse):
        signed = response
    elif response is SignedResponse:
        raise TypeError("response is an object, not the class: write response=SignedResponse(...)")
    elif options.choice("response", response, ("json", "jwt")) == "json":
        return PlainAnswers()
    else:
        signed = SignedResponse()
    client_id = getattr(auth, "client_id", None)
    if issuer is None or client_id is None:
        # RFC 9701 section 5: its iss and aud
        message = "signed answers are from one issuer to one client: write issuer=, and client_id= in client_auth"
        raise ValueError(message)
    return signed.answers(source, issuer, client_id, **shared)


def _rules(
    issuer: str | None, server_url: str | None, audience: str | Sequence[str] | None, leeway: float
) -> ClaimRules:
    audiences = options.audiences("audience", audience)
    own = () if server_url is None else (options.audience("server_url", server_url),)
    return ClaimRules(
        issuers=frozenset(() if issuer is None else (issuer,)),
        audiences=frozenset(audiences or own),
        leeway=leeway,
        required_claims=("aud",) if audiences else (),
    )
