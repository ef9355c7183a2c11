"""MCP servers as protected resources: a door, and sessions that stay their caller's; FastMCP and the MCP SDK. Floor 6.

MCP specification, "Authorization" and "Transports", up to revision 2026-07-28 (which has no sessions any more); RFC
9728, RFC 8707. The rules: every request is authorised, also within a session; a session belongs to who began it; a
token is taken only if it was issued for this server. `mcp` and `fastmcp` are imported where one of them is there, and
an application of another make needs neither.
"""

from __future__ import annotations

import inspect
import json
import logging
import sys
from collections.abc import Mapping
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, TypedDict
from urllib.parse import urlsplit

from cachetools import LRUCache

from asgi_bearer.access_token import AccessToken, fingerprint
from asgi_bearer.access_token import get_access_token as get_token_of_context
from asgi_bearer.errors import BearerError, InvalidToken, Reason, VerifierUnavailable
from asgi_bearer.middleware import BearerMiddleware
from asgi_bearer.protected_resource import ProtectedResource
from asgi_bearer.rules import options as checks
from asgi_bearer.rules.paths import possible_paths

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Unpack

    from asgi_bearer.access_token import TokenVerifier
    from asgi_bearer.events import Listener
    from asgi_bearer.middleware import ASGIApp, Check, Message, Receive, Scope, Send
    from asgi_bearer.rules.requirements import Requirement

_logger = logging.getLogger("asgi_bearer")

_SESSION_ID = b"mcp-session-id"
_MOST_SESSIONS = 100_000
_ERROR = 400
# JSON-RPC 2.0 section 5.1, in the words of the SDKs for a session that they do not know
_NOT_FOUND = json.dumps(
    {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "Session not found"}}
).encode("ascii")


class DoorOptions(TypedDict, total=False):
    """The options of `BearerMiddleware` that `protect` hands on: all but those that MCP decides."""

    public: Iterable[str]
    rules: Mapping[str, Requirement] | None
    checks: Iterable[Check]
    realm: str
    scope_satisfies: Callable[[Sequence[str], str], bool]
    expose_reason: bool
    on_event: Listener | None
    render: Callable[[BearerError], tuple[str, bytes]] | None
    close_at_expiry: bool
    recheck_every: float | None
    websocket_subprotocol: str | None
    preflights: Literal["pass", "refuse"]
    prefetch: Literal["warn", "require", "off"]
    clock: Callable[[], float]


def protect(
    app: Any,
    verifier: TokenVerifier,
    *,
    resource: str | ProtectedResource,
    authorization_servers: str | Sequence[str] | None = None,
    scopes: Iterable[str] = (),
    **options: Unpack[DoorOptions],
) -> ASGIApp:
    """Return an ASGI application that lets authorised MCP clients alone reach `app`.

    - `app`: a server of FastMCP or of the MCP SDK, which is then asked for its streamable HTTP application with its own
      defaults; or an ASGI application, where these will not do: `mcp.http_app(stateless_http=True)`.
    - `verifier`: a strategy that compares the audience: the token must have been issued for this server (MCP
      specification, "Token Audience Binding and Validation"). One that compares none is refused; one that does not say
      (by `audiences`, a sequence of str) gives an `InsecureConfigurationWarning`.
    - `resource`: the server's canonical URL (RFC 8707 section 2), such as "https://api.example.com/mcp"; scheme and
      host are put into lower case. Or a `ProtectedResource`, where more is to be said in its document.
    - `authorization_servers`: the issuers where clients get tokens; by default those that the verifier compares.
    - `scopes`: what every caller must have, beside the verifier's own. "offline_access" is none of a resource's.
    - all others: see `BearerMiddleware`. Not `optional`: every request is authorised.

    Challenges name `resource_metadata` and the scopes; the document is served below the well-known path with the
    resource's own path behind it, and at the root of it, too. A session, which `Mcp-Session-Id` names, belongs to the
    `principal_key` that began it here: to anybody else, also with a good token, it is not found (404), and so it is
    when another process began it. A new token of the same caller goes on with it. Where the token names neither subject
    nor client, that token alone goes on.

    Tools find the caller by `get_access_token()`; those of FastMCP and of the SDK work, too, since `scope["user"]` is
    the SDK's `AuthenticatedUser` where the SDK is installed. The lifespan of `app` runs in the application's.

    It does NOT keep apart what an event store of the SDK holds: one must look events up within their session, as
    FastMCP's does, or `Last-Event-ID` reads what others were sent. It remembers the 100,000 sessions used last, whoever
    began them. It does NOT answer CORS preflights: put a CORS middleware around what it returns. It does NOT bind the
    sessions of the older HTTP+SSE transport, whose ids stand in the query: the SDK does that. It does NOT pass the
    token on, and no tool should: it was issued for this server. Raises `ValueError` or `TypeError` for arguments that
    cannot be meant.
    """
    if "optional" in options:
        raise TypeError("protect takes no optional: an MCP server authorises every request")
    audiences = _audiences(verifier)
    _require_audience(audiences)
    if audiences is None:
        checks.warn_insecure(
            f"protect cannot see that {type(verifier).__name__} compares the audience, as MCP demands: if it does, "
            "give it an attribute audiences with what it compares aud with"
        )
    required = checks.scopes("scopes", scopes)
    every = _all_scopes(required, verifier, options.get("rules"))
    document = _document(resource, authorization_servers, verifier, every)
    guarded = _guard(_as_asgi(app, document))
    door = BearerMiddleware(guarded, verifier, required_scopes=required, resource=document, **options)
    return _with_document_at_root(door, document)


def _audiences(verifier: object) -> tuple[str, ...] | None:
    """Return what `verifier` compares aud with, or None where it does not say; FastMCP's say so in `audience`."""
    for name in ("audiences", "audience"):
        if hasattr(verifier, name):
            found = getattr(verifier, name)
            return None if found is None and name == "audiences" else checks.optional_texts(name, found or None)
    return None


def _require_audience(audiences: tuple[str, ...] | None) -> None:
    if audiences == ():
        raise ValueError(
            "the verifier compares no audience, so tokens issued for other servers would come in: write audience= with "
            "what the issuer puts into aud for this server, usually its URL"
        )


def _all_scopes(
    required: tuple[str, ...], verifier: object, rules: Mapping[str, Requirement] | None
) -> tuple[str, ...]:
    """Return all that clients may need to ask for."""
    own = checks.scopes("verifier.required_scopes", getattr(verifier, "required_scopes", None))
    # What is no mapping of requirements is the door's to refuse.
    of_paths = [scope for rule in dict(rules or {}).values() for scope in getattr(rule, "scopes", ())]
    found = tuple(dict.fromkeys((*required, *own, *of_paths)))
    if "offline_access" in found:
        raise ValueError("scopes: 'offline_access' is a matter between a client and its issuer: leave it out")
    return found


def _document(
    resource: str | ProtectedResource,
    authorization_servers: str | Sequence[str] | None,
    verifier: object,
    scopes: tuple[str, ...],
) -> ProtectedResource:
    if isinstance(resource, ProtectedResource):
        if authorization_servers is not None:
            raise ValueError("resource names its authorization_servers already: leave the argument out")
        return resource
    issuers = getattr(verifier, "issuers", ()) if authorization_servers is None else authorization_servers
    if authorization_servers is None and not issuers:
        raise ValueError(
            "clients must learn where to get a token, and this verifier names no issuer: write "
            "authorization_servers=['https://idp.example.com/']"
        )
    return ProtectedResource(_canonical(resource), authorization_servers=issuers, scopes_supported=scopes)


def _canonical(resource: str) -> str:
    """RFC 3986 section 6.2.2.1: scheme and host are the same in any case, and those who compare strings need one."""
    address = checks.url("resource", resource)
    parts = urlsplit(address)
    # Put in the place of what was written: `geturl` would change more.
    return f"{parts.scheme}://{parts.netloc.lower()}{address[len(parts.scheme) + 3 + len(parts.netloc) :]}"


def _as_asgi(app: Any, document: ProtectedResource) -> ASGIApp:
    """Return the streamable HTTP application of a server; an ASGI application is one already."""
    host = urlsplit(document.resource).hostname or ""
    # Both guard against DNS rebinding by a list of hosts, which holds loopback alone unless they are told of another.
    if callable(getattr(app, "http_app", None)):
        _require_no_auth(getattr(app, "auth", None))
        return _call_with(app.http_app, allowed_hosts=None if checks.is_loopback(host) else [host])
    if callable(getattr(app, "streamable_http_app", None)):
        _require_no_auth(getattr(getattr(app, "settings", None), "auth", None))
        return _call_with(app.streamable_http_app, host=host)
    if not callable(app):
        message = f"app is an MCP server or an ASGI application, not {type(app).__name__}: write protect(mcp, verifier)"
        raise TypeError(message)
    _require_no_auth(getattr(getattr(app, "state", None), "fastmcp_auth", None))
    found: ASGIApp = app
    return found


def _call_with(build: Callable[..., ASGIApp], **arguments: object) -> ASGIApp:
    """Call `build` with those of `arguments` that it knows: earlier versions take them elsewhere."""
    known = inspect.signature(build).parameters
    return build(**{name: value for name, value in arguments.items() if name in known})


def _require_no_auth(auth: object) -> None:
    if auth is not None:
        raise ValueError("app has an auth of its own, and one request has one door: leave out auth= where it is made")


def _with_document_at_root(app: ASGIApp, document: ProtectedResource) -> ASGIApp:
    """MCP specification, "Protected Resource Metadata Discovery": who finds nothing below the path looks there."""
    root = document.metadata_path.removesuffix(document.path)

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        is_root = scope["type"] == "http" and root in {scope["path"], *possible_paths(scope)}
        await (document if is_root else app)(scope, receive, send)

    return serve


def _guard(app: ASGIApp) -> ASGIApp:
    try:
        from mcp.server.auth.middleware.auth_context import AuthContextMiddleware  # noqa: PLC0415  # a guest
        from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser  # noqa: PLC0415
        from mcp.server.auth.provider import AccessToken as SDKToken  # noqa: PLC0415
    except ImportError:
        return _Sessions(app, None)

    def user(token: AccessToken) -> object:
        return AuthenticatedUser(_translated(token, SDKToken, _first_audience(token)))

    return _Sessions(AuthContextMiddleware(app), user)


_Principal = tuple[str | None, ...] | None


class _Sessions:
    """Lets a session's own caller alone into it, and tells the SDK who calls, if there is an SDK."""

    def __init__(self, app: ASGIApp, user: Callable[[AccessToken], object] | None) -> None:
        self._app = app
        self._user = user
        # The least recently used go first. A session that is forgotten is not found: it never becomes everybody's.
        self._owners: LRUCache[bytes, _Principal] = LRUCache(_MOST_SESSIONS)
        self._lock = Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        token = scope["auth"] if isinstance(scope["auth"], AccessToken) else None
        principal = _principal(token)
        named = [bytes(value) for name, value in scope["headers"] if bytes(name).lower() == _SESSION_ID]
        if not all(self._belongs(session, principal) for session in named):
            _logger.info("refused: 404 no session of this caller, token %s", token and fingerprint(token.token))
            await _say_not_found(send)
            return
        if token is not None and self._user is not None:
            scope = {**scope, "user": self._user(token)}

        async def send_and_learn(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] < _ERROR:
                self._learn(scope["method"], named, message.get("headers", ()), principal)
            await send(message)

        await self._app(scope, receive, send_and_learn)

    def _belongs(self, session: bytes, principal: _Principal) -> bool:
        with self._lock:
            return session in self._owners and self._owners[session] == principal

    def _learn(self, method: str, named: list[bytes], headers: Any, principal: _Principal) -> None:
        with self._lock:
            if method == "DELETE":
                # MCP specification, "Session Management": the client has ended it.
                for session in named:
                    self._owners.pop(session, None)
                return
            for name, value in headers:
                if bytes(name).lower() == _SESSION_ID:
                    self._owners.setdefault(bytes(value), principal)


def _principal(token: AccessToken | None) -> _Principal:
    if token is None:
        return None
    if not token.subject and not token.client_id:
        # Nothing tells two callers of this issuer apart, other than the token.
        return (*token.principal_key, fingerprint(token.token))
    return token.principal_key


async def _say_not_found(send: Send) -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(_NOT_FOUND)).encode("ascii")),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": 404, "headers": headers})
    await send({"type": "http.response.body", "body": _NOT_FOUND})


def get_access_token() -> AccessToken | None:
    """Return the verified token of the MCP request that is being handled, or None outside of one.

    For tools, resources and prompts behind `protect`. A session lives longer than a token, and before version 2 of the
    SDK its tasks see the context of the request that began it, where `asgi_bearer.get_access_token()` and
    `asgi_bearer.require` find the first token. So the request that brought the message is asked, where the framework
    tells which one that is. It checks nothing: the door did, and `require_scopes` of the token asks for more.
    """
    request = _handled_request()
    if request is None:
        return get_token_of_context()
    token = request.scope.get("auth")
    return token if isinstance(token, AccessToken) else None


def _handled_request() -> Any:
    # Who handles a message has loaded these; so nothing is imported for those who have not.
    fastmcp = sys.modules.get("fastmcp.server.dependencies")
    if fastmcp is not None:
        try:
            return fastmcp.get_http_request()
        except RuntimeError:  # FastMCP's way to say that there is none
            pass
    # The SDK before version 2; since then each message is handled in the context of the request that brought it.
    request_context = getattr(sys.modules.get("mcp.server.lowlevel.server"), "request_ctx", None)
    current = None if request_context is None else request_context.get(None)
    return None if current is None else current.request


def as_token_verifier(strategy: TokenVerifier, *, resource: str | None = None) -> Any:
    """Return `strategy` as a `token_verifier` of the MCP SDK and an `auth` of FastMCP: where `protect` is not wanted.

    - `strategy`: one of this library's, or of your own.
    - `resource`: the server's URL, as the SDK's `resource_server_url` has it. The SDK compares it with the token's
      resource, which issuers may name otherwise in aud; given, it stands for whatever audience the strategy has
      compared, so one that compares none is refused. By default it is the first audience of the token.

    What it returns is FastMCP's `TokenVerifier` where FastMCP is installed, else an object with `verify_token` alone. A
    token that is refused, for its scopes too, is None, since these servers know no other no: they answer 401. A token
    that is bound to a key is refused, because nobody there asks for the proof. `VerifierUnavailable` is raised, never
    swallowed: both servers make it a 500, which keeps clients from throwing good tokens away; `protect` answers 503 and
    Retry-After.

    It does NOT serve metadata, bind sessions or close the strategy: `protect` does. Raises `TypeError` or `ValueError`
    for arguments that cannot be meant, and `ImportError` where neither package is installed.
    """
    if not callable(getattr(strategy, "verify_token", None)) or isinstance(strategy, type):
        message = f"strategy is an object with async verify_token(token), not {type(strategy).__name__}"
        raise TypeError(message)
    if resource is not None:
        _require_audience(_audiences(strategy))
    canonical = None if resource is None else _canonical(resource)
    try:
        from fastmcp.server.auth import AccessToken as FastMCPToken  # noqa: PLC0415  # a guest
        from fastmcp.server.auth import TokenVerifier as FastMCPVerifier  # noqa: PLC0415
    except ImportError:
        from mcp.server.auth.provider import AccessToken as SDKToken  # noqa: PLC0415

        return _Adapter(strategy, canonical, SDKToken)
    adapter = _Adapter(strategy, canonical, FastMCPToken)

    class Verifier(FastMCPVerifier):  # type: ignore[misc, unused-ignore]  # Any where FastMCP is not installed
        async def verify_token(self, token: str) -> Any:
            return await adapter.verify_token(token)

    return Verifier(required_scopes=list(getattr(strategy, "required_scopes", None) or ()))


class _Adapter:
    """A strategy with the answers of an MCP verifier: a token of the kind `make` makes, or None."""

    def __init__(self, strategy: TokenVerifier, resource: str | None, make: Callable[..., Any]) -> None:
        self._strategy = strategy
        self._resource = resource
        self._make = make

    async def verify_token(self, token: str) -> Any:
        try:
            found = await self._strategy.verify_token(token)
            if found is None:
                raise InvalidToken(Reason.inactive)
            if found.is_bound:
                raise InvalidToken(Reason.binding)
        except VerifierUnavailable as error:
            _logger.warning("token %s cannot be verified: %s", fingerprint(token), error.message)
            raise
        except BearerError as error:
            _logger.info("refused: %s, token %s", error, fingerprint(token))
            return None
        return _translated(found, self._make, self._resource or _first_audience(found))


def _first_audience(token: AccessToken) -> str | None:
    return token.audience[0] if token.audience else None


def _translated(token: AccessToken, make: Callable[..., Any], resource: str | None) -> Any:
    """Return what is known of the caller in the SDK's words, whose claims are plain JSON."""
    issuer = {} if token.issuer is None else {"iss": token.issuer}
    return make(
        token=token.token,
        client_id=token.client_id,
        scopes=list(token.scopes),
        expires_at=None if token.expires_at is None else int(token.expires_at.timestamp()),
        resource=resource,
        subject=token.subject,
        claims={**issuer, **_thawed(token.claims)},
    )


def _thawed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _thawed(member) for name, member in value.items()}
    return [_thawed(item) for item in value] if isinstance(value, tuple) else value
