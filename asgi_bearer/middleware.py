"""The door: raw ASGI middleware that lets in what its verifier vouches for (RFC 6750, RFC 9110 section 11). Floor 5.

The rules: the incoming scope is copied and never changed; the body is never read; exceptions of the app pass untouched,
since only authentication stands in the `try`; a verifier's bug is a 500 and lets nobody in.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, cast

from asgi_bearer import door_options
from asgi_bearer.access_token import AccessToken, Anonymous, AnonymousUser, BearerUser, fingerprint
from asgi_bearer.errors import (
    BearerError,
    Door,
    InvalidRequest,
    InvalidToken,
    MissingToken,
    Reason,
    VerifierUnavailable,
    current_door,
)
from asgi_bearer.events import Accepted, Event, Listeners, Rejected, Unavailable
from asgi_bearer.gate import Gate
from asgi_bearer.lifetime import Term, ended_in_time
from asgi_bearer.protected_resource import WELL_KNOWN
from asgi_bearer.rules import options
from asgi_bearer.rules.challenge import Answer, Body, Challenger, close_code, require_body
from asgi_bearer.rules.credentials import read_credentials, read_subprotocol
from asgi_bearer.rules.inside import find_cors, inner_roots
from asgi_bearer.rules.paths import PROTECTED, PUBLIC, PathRules, Ruling, possible_paths, whole_path
from asgi_bearer.rules.requirements import is_granted, scopes
from asgi_bearer.subprotocol import without_token

if TYPE_CHECKING:
    from asgi_bearer.access_token import TokenVerifier
    from asgi_bearer.events import Listener
    from asgi_bearer.protected_resource import ProtectedResource
    from asgi_bearer.rules.requirements import Requirement

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
# Any, since each framework has its own names for the three, and they are not one another's subtypes.
ASGIApp: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]

_logger = logging.getLogger("asgi_bearer")

# A NamedTuple's own constructor takes twice as long, and there is a Door for every request.
_new_tuple = tuple.__new__
_ANONYMOUS = Anonymous()
_NOBODY = AnonymousUser()


class Check(Protocol):
    """A further step after verification: revocation, proof of possession, a rule of one's own.

    A check that proves members of the token's `cnf` names them in `confirms`; a bound token whose binding no check
    proves is refused.
    """

    async def check(self, token: AccessToken, scope: Scope) -> None:
        """Raise a `BearerError` where the request is not to come in. `scope` is the request's, to be read only."""
        ...


class BearerMiddleware:
    """Protects an ASGI application: requests and websockets come in with a good Bearer token, or not at all.

    - `app`: the application. `verifier`: a `TokenVerifier`, such as `JWTVerifier`.
    - `required_scopes`: the scopes every caller must have, beside the verifier's own.
    - `optional`: lets requests without Bearer credentials in as `Anonymous`; a wrong token is a 401 all the same.
    - `public`: paths as the application routes them, on which credentials are not looked at: "/health", "GET /docs/**".
    - `rules`: what callers must have on which path: {"/admin/**": scopes("admin")}. Of several patterns that fit the
      most specific counts. "*" is one segment, "/**" at the end everything below and the path itself. A prefix that
      the application takes off without saying so (Django's FORCE_SCRIPT_NAME) needs rules of its own.
    - `checks`: objects with `async check(token, scope)`, in the order in which they are asked.
    - `resource`: what this server says of itself (RFC 9728): a `ProtectedResource`, or several whose paths tell which
      is meant. It is served to everybody, and challenges name it.
    - `scope_satisfies`: a function (granted scopes, required scope) -> bool for hierarchies of scopes, in the place of
      membership; for `required_scopes`, `rules` and `require()`, not for the verifier's own scopes.
    - `render`: a function that writes the bodies of refusals, such as `problem_json`: it takes the `BearerError` and
      returns a media type and bytes. Status and challenge are the door's, and so is the body where it fails.
    - `close_at_expiry`: ends what goes on when its token ends: websockets (3000), streams of events, and other answers
      of unknown length, which are broken off. `recheck_every`: seconds after which what goes on has its token verified
      again; None (the default) never does. Where it cannot be known, it goes on.
    - `websocket_subprotocol`: such as "bearer": takes the tokens of browsers, which cannot set headers for websockets,
      from `new WebSocket(url, ["bearer", token])`. The token must not hold "/" or "=", as no JWT does.
    - `realm`: names the protected space in challenges; printable ASCII without quotes and backslashes.
    - `expose_reason`: puts the reason of a refusal into error_description. For development: it helps attackers, too.
    - `on_event`: called with a value of `asgi_bearer.events`; what it raises is logged and changes nothing. The
      verifier hears of it by `observe(on_event)`, where it has that, and so tells of its keys.
    - `preflights`: "pass" lets requests that look like a browser's CORS preflight through to the application, without a
      caller. "refuse" holds them to what every other is held to: where CORS is handled around the door, or not at all,
      and a view answers every method alike.
    - `prefetch`: what becomes of the application's start when the verifier cannot fetch its keys: "warn" says so in the
      log, and the application starts; "require" lets it fail, before the application hears of it; "off" fetches nothing
      then. It needs a server that speaks ASGI's lifespan; without one, the first token fetches the keys.
    - `clock`: the wall clock, in epoch seconds; used for verifiers that leave the expiry to their caller.

    The handler finds the token in `scope["auth"]`, in `scope["user"].access_token` and by `get_access_token()`; where
    there is no caller, they hold `Anonymous`, None and None.
    Requests that a browser sends ahead of another origin's (CORS preflights) pass, and see `Anonymous`. What handles
    CORS goes around the door: where the application does it itself, the log warns at the start. At the end of the
    application the verifier closes its connections; where that fails, the log says so.

    It does NOT look for tokens in the query, the body, cookies or other headers. Raises `ValueError` or `TypeError` for
    options that cannot be meant.
    """

    def __init__(
        self,
        app: ASGIApp,
        verifier: TokenVerifier,
        *,
        required_scopes: Iterable[str] = (),
        optional: bool = False,
        public: Iterable[str] = (),
        rules: Mapping[str, Requirement] | None = None,
        checks: Iterable[Check] = (),
        resource: ProtectedResource | Sequence[ProtectedResource] | None = None,
        realm: str = "api",
        scope_satisfies: Callable[[Sequence[str], str], bool] = is_granted,
        expose_reason: bool = False,
        on_event: Listener | None = None,
        render: Callable[[BearerError], tuple[str, bytes]] | None = None,
        close_at_expiry: bool = False,
        recheck_every: float | None = None,
        websocket_subprotocol: str | None = None,
        preflights: Literal["pass", "refuse"] = "pass",
        prefetch: Literal["warn", "require", "off"] = "warn",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.app: ASGIApp = door_options.application(app)
        self._verifier = door_options.verifier(verifier)
        self._required_scopes = options.scopes("required_scopes", required_scopes)
        self._optional = options.flag("optional", optional)
        self._paths = PathRules(public, rules)
        self._has_paths = bool(self._paths)
        self._inner_roots: tuple[str, ...] | None = None
        self._checks = door_options.checks(checks)
        self._confirmed = frozenset(
            name
            for check in self._checks
            for name in options.optional_texts("confirms of a check", getattr(check, "confirms", None) or None)
        )
        verifiers_own = options.scopes("verifier.required_scopes", getattr(verifier, "required_scopes", None))
        self._clock = options.function("clock", clock)
        self._render = None if render is None else options.function("render", render)
        self._resources = door_options.resources(resource)
        write = partial(
            Challenger,
            realm=realm,
            scopes=tuple(dict.fromkeys((*self._required_scopes, *verifiers_own))),
            expose_reason=options.flag("expose_reason", expose_reason),
        )
        covers = options.function("scope_satisfies", scope_satisfies)
        self._gate = Gate(write(), self._clock, covers, self._rendered)
        self._gates = {
            one: Gate(write(resource_metadata=one.metadata_url), self._clock, covers, self._rendered)
            for one in self._resources
        }
        self._required = scopes(*self._required_scopes) if self._required_scopes else None
        self._on_event = None if on_event is None else options.function("on_event", on_event)
        self._listeners = Listeners()
        if self._on_event is not None:
            self._listeners.add(self._on_event)
            _observe(verifier, self._on_event)
        self._close_at_expiry = options.flag("close_at_expiry", close_at_expiry)
        self._recheck_every = (
            None if recheck_every is None else options.seconds("recheck_every", recheck_every, least=1.0)
        )
        self._subprotocol = door_options.subprotocol(websocket_subprotocol)
        self._wraps_app = bool(close_at_expiry or recheck_every or websocket_subprotocol)
        self._has_steps = bool(self._checks or self._required_scopes or on_event is not None)
        self._preflights = options.choice("preflights", preflights, ("pass", "refuse")) == "pass"
        self._prefetch = options.choice("prefetch", prefetch, ("warn", "require", "off"))

    @classmethod
    def from_env(cls, app: ASGIApp, **others: Any) -> BearerMiddleware:
        """Return a door whose verifier and options the environment describes: ASGI_BEARER_ISSUER, _AUDIENCE and so on.

        `asgi_bearer.integrations.settings` lists the variables; it needs the extra `settings`. `others` are options of
        the door, and come before what the environment says. Raises `ValueError`, which names the variable.
        """
        # By its name: the door does not know its guests.
        settings = import_module("asgi_bearer.integrations.settings")
        return cls(app, **{**settings.door_options(), **others})

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Handle one connection, as ASGI says."""
        if scope["type"] not in {"http", "websocket"} or (self._resources and self._asks_for_metadata(scope)):
            await self._pass(scope, receive, send)
            return
        if type(scope["headers"]) is not list:
            # ASGI: any iterable, so also one that can be read once only, and the application reads it, too.
            scope = {**scope, "headers": list(scope["headers"])}
        gate = self._nearest_gate(scope) if self._resources else self._gate
        token = text = None
        try:
            ruling = self._ruling(scope) if self._has_paths or scope.get("method") == "OPTIONS" else PROTECTED
            text = self._read_token(scope, ruling)
            if text is not None:
                token = await self._verifier.verify_token(text)
                if type(token) is not AccessToken:
                    token = self._adopt(token, text)
                if self._has_steps or ruling.requirements or token.is_bound:
                    await self._take_steps(token, text, scope, gate, ruling)
            app = self._wrapped(scope, token, text, gate, ruling) if self._wraps_app else self.app
        except BearerError as error:
            self._tell_refusal(error, text)
            await self._refuse(error, gate, scope, receive, send)
            return
        except Exception as error:
            # Without its text and its traceback: what it was raised about may be the token.
            _logger.error("the verifier or a check failed with %s: this is a 500", type(error).__name__)  # noqa: TRY400
            raise
        if token is None:
            scope = {**scope, "auth": _ANONYMOUS, "user": _NOBODY}
        else:
            scope = {**scope, "auth": token, "user": BearerUser(token)}
        reset = current_door.set(_new_tuple(Door, (token, gate)))
        try:
            await app(scope, receive, send)
        except BearerError as error:
            # Who answers it may stand around this door, and is to answer in its words.
            error.keep(gate)
            raise
        finally:
            current_door.reset(reset)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand through what carries no credentials; at the ends of a lifespan, let the verifier start and close."""
        if scope["type"] == "http":
            await cast("ProtectedResource", self._asks_for_metadata(scope))(scope, receive, send)
            return
        if scope["type"] != "lifespan":
            await self.app(scope, receive, send)
            return
        startup = [await receive()]
        self._look_for_cors()
        failure = None if self._prefetch == "off" else await self._let_verifier("prefetch")
        if failure is not None and self._prefetch == "require":
            await self._let_verifier("aclose")
            await send({"type": "lifespan.startup.failed", "message": failure})
            return

        async def receive_from_startup() -> Message:
            return startup.pop() if startup else await receive()

        async def send_after_close(message: Message) -> None:
            if message["type"] in {"lifespan.shutdown.complete", "lifespan.shutdown.failed"}:
                await self._let_verifier("aclose")
            await send(message)

        await self.app(scope, receive_from_startup, send_after_close)

    def _look_for_cors(self) -> None:
        advice = find_cors(self.app)
        if advice is not None:
            _logger.warning(
                "CORS is handled behind the door: browsers cannot read its 401, 403 and 503, which so lack "
                "Access-Control-Allow-Origin: %s",
                advice,
            )

    async def _let_verifier(self, name: str) -> str | None:
        """Call an optional method of the verifier; return why it failed, without what may hold a secret."""
        method = getattr(self._verifier, name, None)
        if method is None:
            return None
        try:
            await method()
        except VerifierUnavailable as error:
            failure = f"the verifier's {name} failed: {error.message}"
            _logger.warning("%s", failure)
        except Exception as error:  # noqa: BLE001  # the application ends all the same, and starts unless told otherwise
            failure = f"the verifier's {name} failed with {type(error).__name__}"
            _logger.error("%s", failure)  # noqa: TRY400  # without its text
        else:
            return None
        return failure

    def _ruling(self, scope: Scope) -> Ruling:
        if self._preflights and scope["type"] == "http" and scope["method"] == "OPTIONS" and _is_preflight(scope):
            return PUBLIC
        if self._inner_roots is None:
            # Not at construction: what is mounted may come later.
            self._inner_roots = tuple(dict.fromkeys(inner_roots(self.app)))
        return self._paths.find(scope, self._inner_roots)

    def _asks_for_metadata(self, scope: Scope) -> ProtectedResource | None:
        if scope["type"] != "http" or WELL_KNOWN not in scope["path"]:
            return None
        query: bytes = scope.get("query_string", b"")
        # Below a mount, too: the well-known path stands at the host's root, wherever the server puts us.
        paths = {scope["path"], *possible_paths(scope)}
        return next((one for one in self._resources if any(one.is_at(path, query) for path in paths)), None)

    def _nearest_gate(self, scope: Scope) -> Gate:
        resources = self._resources
        if len(resources) == 1:
            return self._gates[resources[0]]
        path = whole_path(scope)
        return next((self._gates[one] for one in resources if one.contains(path)), self._gate)

    def _read_token(self, scope: Scope, ruling: Ruling) -> str | None:
        """Return the token as it was sent, or None where none came and none need come."""
        if ruling.is_public:
            return None
        text = read_credentials(scope["headers"])
        if self._subprotocol is not None and scope["type"] == "websocket":
            text = _one_of(text, read_subprotocol(scope.get("subprotocols") or (), self._subprotocol))
        if text is None and (ruling.requirements or not self._optional):
            raise MissingToken
        return text

    async def _refuse(self, error: BearerError, gate: Gate, scope: Scope, receive: Receive, send: Send) -> None:
        answer = gate.answer(error)
        with suppress(OSError):  # the client has gone
            await _send_refusal(scope, receive, send, answer)

    def _rendered(self, error: BearerError) -> Body | None:
        if self._render is None:
            return None
        try:
            return require_body(self._render(error))
        except Exception as failure:  # noqa: BLE001  # a refusal stays one, in our own words
            _logger.error("render failed with %s: the body is the usual one", type(failure).__name__)  # noqa: TRY400
            return None

    def _wrapped(
        self, scope: Scope, token: AccessToken | None, text: str | None, gate: Gate, ruling: Ruling
    ) -> ASGIApp:
        app = self.app
        if self._subprotocol is not None and scope["type"] == "websocket":
            app = without_token(app, self._subprotocol)
        if token is None or text is None or not (self._close_at_expiry or self._recheck_every):
            return app
        end = token.expires_at if self._close_at_expiry else None
        term = Term(
            end=None if end is None else end.timestamp(),
            clock=self._clock,
            every=self._recheck_every,
            is_still_good=partial(self._is_still_good, text, scope, gate, ruling),
        )
        return ended_in_time(app, term)

    async def _is_still_good(self, text: str, scope: Scope, gate: Gate, ruling: Ruling) -> bool:
        try:
            token = await self._verifier.verify_token(text)
            await self._judge(self._adopt(token, text), scope, gate, ruling)
        except BearerError as error:
            self._tell_refusal(error, text)
            # Where it cannot be known, what was good goes on: an outage is no revocation.
            return isinstance(error, VerifierUnavailable)
        except Exception as error:  # noqa: BLE001  # a bug lets nobody stay in
            _logger.error("the verifier or a check failed with %s: the connection ends", type(error).__name__)  # noqa: TRY400
            return False
        return True

    async def _take_steps(self, token: AccessToken, text: str, scope: Scope, gate: Gate, ruling: Ruling) -> None:
        """Judge a verified token by what else this door insists on, and tell of it. Most doors need not come here."""
        await self._judge(token, scope, gate, ruling)
        if self._on_event is not None:
            self._listeners.tell(Accepted(token_id=fingerprint(text), principal_key=token.principal_key))

    async def _judge(self, token: AccessToken, scope: Scope, gate: Gate, ruling: Ruling) -> None:
        if token.is_bound:
            self._require_confirmation(token.claims["cnf"])
        for check in self._checks:
            await check.check(token, scope)
        if self._required is not None:
            gate.require(token, self._required)
        for requirement in ruling.requirements:
            gate.require(token, requirement)

    def _adopt(self, found: object, text: str) -> AccessToken:
        """Take what the verifier returned: our kind of token, None, or that of an MCP verifier."""
        if isinstance(found, AccessToken):
            return found
        if found is None:
            raise InvalidToken(Reason.inactive)
        return _adopt_foreign(found, text, self._clock())

    def _require_confirmation(self, cnf: object) -> None:
        """RFC 7800 section 3.1: who cannot prove the binding must not take the token for a bearer's."""
        if not isinstance(cnf, dict) or not cnf or not self._confirmed.issuperset(cnf):
            raise InvalidToken(Reason.binding)

    def _tell_refusal(self, error: BearerError, text: str | None) -> None:
        token_id = None if text is None else fingerprint(text)
        if isinstance(error, VerifierUnavailable):
            _logger.warning("token %s cannot be verified: %s", token_id, error.message, extra={"token_id": token_id})
            event: Event = Unavailable(message=error.message, retry_after=error.retry_after, token_id=token_id)
        else:
            fields = {"token_id": token_id, "status": error.status_code, "reason": error.reason}
            _logger.info("refused: %s%s", error, "" if token_id is None else f", token {token_id}", extra=fields)
            event = Rejected(status=error.status_code, error=error.error, reason=error.reason, token_id=token_id)
        self._listeners.tell(event)


def _observe(verifier: TokenVerifier, listener: Listener) -> None:
    observe = getattr(verifier, "observe", None)
    if observe is not None:
        observe(listener)


def _one_of(in_header: str | None, offered: str | None) -> str | None:
    if in_header is not None and offered is not None:
        # RFC 6750 section 2: one way at a time
        raise InvalidRequest
    return in_header if offered is None else offered


def _is_preflight(scope: Scope) -> bool:
    """Fetch standard, section 3.2.2: OPTIONS with both headers. Browsers send no credentials with it."""
    names = {bytes(name).lower() for name, _ in scope["headers"]}
    return b"origin" in names and b"access-control-request-method" in names


def _adopt_foreign(found: Any, text: str, now: float) -> AccessToken:
    """Read the token of an MCP verifier, which gives the expiry in epoch seconds and leaves it to its caller."""
    if not hasattr(found, "expires_at"):
        message = (
            f"verify_token returns an AccessToken or raises InvalidToken: it returned {door_options.kind_of(found)}"
        )
        raise TypeError(message)
    expires_at = found.expires_at
    if expires_at is not None and now >= expires_at:
        raise InvalidToken(Reason.expired)
    claims = getattr(found, "claims", None) or {}
    return AccessToken(
        token=text,
        client_id=found.client_id,
        scopes=found.scopes,
        expires_at=None if expires_at is None else datetime.fromtimestamp(expires_at, UTC),
        subject=getattr(found, "subject", None) or claims.get("sub"),
        issuer=claims.get("iss"),
        claims=claims,
    )


async def _send_refusal(scope: Scope, receive: Receive, send: Send, answer: Answer) -> None:
    if scope["type"] == "http":
        body = b"" if scope["method"] == "HEAD" else answer.body
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
        await send({"type": "http.response.body", "body": body})
        return
    if (await receive())["type"] != "websocket.connect":
        return
    if "websocket.http.response" in (scope.get("extensions") or {}):
        await send({"type": "websocket.http.response.start", "status": answer.status, "headers": answer.headers})
        await send({"type": "websocket.http.response.body", "body": answer.body})
    else:
        await send({"type": "websocket.close", "code": close_code(answer.status)})
