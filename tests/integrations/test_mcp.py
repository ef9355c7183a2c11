"""`protect` and its kin without an MCP package: any ASGI application does. The real ones are in tests/interop."""

from __future__ import annotations

import inspect
import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from fakes import Echo, call, http_scope, websocket_scope

import asgi_bearer
from asgi_bearer import (
    AccessToken,
    Anonymous,
    BearerMiddleware,
    InsecureConfigurationWarning,
    InsufficientScope,
    InvalidToken,
    ProtectedResource,
    Reason,
    StaticTokenVerifier,
    VerifierUnavailable,
    scopes,
)
from asgi_bearer.integrations.mcp import DoorOptions, as_token_verifier, get_access_token, protect

if TYPE_CHECKING:
    from collections.abc import Mapping

RESOURCE = "https://mcp.example/mcp"
ISSUER = "https://idp.example/"
WELL_KNOWN = "/.well-known/oauth-protected-resource"


def token_of(text: str, **known: Any) -> AccessToken:
    subject, _, _ = text.partition("-")
    return AccessToken(token=text, **{"client_id": "app", "subject": subject, "scopes": ["tools"], **known})


class Verifier:
    """Takes alice's two tokens and mallory's, and one that names nobody."""

    issuers = (ISSUER,)
    audiences = (RESOURCE,)
    required_scopes: tuple[str, ...] = ()

    def __init__(self) -> None:
        texts = ("alice-1", "alice-2", "mallory-1")
        self.found: Mapping[str, AccessToken] = {
            **{text: token_of(text) for text in texts},
            "nobody-1": token_of("nobody-1", client_id="", subject=None),
            "nobody-2": token_of("nobody-2", client_id="", subject=None),
        }

    async def verify_token(self, token: str) -> AccessToken:
        if token not in self.found:
            raise InvalidToken(Reason.inactive)
        return self.found[token]


class Sessions(Echo):
    """Begins a session where none is named; otherwise answers, by `status`, in the one that is."""

    def __init__(self, status: int = 200) -> None:
        super().__init__()
        self.status = status
        self.begun = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        headers = []
        if not any(name == b"mcp-session-id" for name, _ in scope["headers"]):
            self.begun += 1
            headers.append((b"Mcp-Session-Id", b"session-%d" % self.begun))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


def protected(app: Any, **options: Any) -> Any:
    return protect(app, Verifier(), **{"resource": RESOURCE, **options})


async def ask(app: Any, token: str | None = None, *sessions: str, method: str = "POST", path: str = "/mcp") -> Any:
    """Send a request; return the status, the headers and the body of its answer."""
    headers = [(b"Mcp-Session-Id", session.encode()) for session in sessions]
    if token is not None:
        headers.append((b"authorization", b"Bearer " + token.encode()))
    start, body = await call(app, http_scope(*headers, method=method, path=path))
    return SimpleNamespace(status=start["status"], headers=dict(start["headers"]), body=body["body"])


# Sessions


async def test_a_session_belongs_to_the_caller_that_began_it_and_any_of_its_tokens() -> None:
    app = protected(Sessions())

    await ask(app, "alice-1")

    assert (await ask(app, "alice-1", "session-1")).status == 200
    assert (await ask(app, "alice-2", "session-1")).status == 200
    assert (await ask(app, "mallory-1", "session-1")).status == 404


async def test_a_session_of_another_is_answered_like_one_that_nobody_began() -> None:
    app = protected(sessions := Sessions())
    await ask(app, "alice-1")

    stolen, invented = await ask(app, "mallory-1", "session-1"), await ask(app, "mallory-1", "invented")

    assert (stolen.status, stolen.body, stolen.headers) == (invented.status, invented.body, invented.headers)
    assert json.loads(stolen.body) == {
        "jsonrpc": "2.0",
        "id": None,
        "error": {"code": -32600, "message": "Session not found"},
    }
    assert stolen.headers[b"content-type"] == b"application/json"
    assert stolen.headers[b"content-length"] == str(len(stolen.body)).encode()
    assert len(sessions.scopes) == 1


async def test_a_request_that_names_two_sessions_must_own_both() -> None:
    app = protected(Sessions())
    await ask(app, "alice-1")
    await ask(app, "mallory-1")

    assert (await ask(app, "mallory-1", "session-2")).status == 200
    assert (await ask(app, "mallory-1", "session-2", "session-1")).status == 404
    assert (await ask(app, "mallory-1", "session-1", "session-2")).status == 404


async def test_where_a_token_names_nobody_a_session_belongs_to_the_token() -> None:
    app = protected(Sessions())
    await ask(app, "nobody-1")

    assert (await ask(app, "nobody-1", "session-1")).status == 200
    assert (await ask(app, "nobody-2", "session-1")).status == 404


async def test_a_session_that_its_caller_ended_is_gone() -> None:
    app = protected(Sessions())
    await ask(app, "alice-1")

    assert (await ask(app, "alice-1", "session-1", method="DELETE")).status == 200
    assert (await ask(app, "alice-1", "session-1")).status == 404


async def test_a_session_that_the_server_would_not_end_goes_on() -> None:
    app = protected(sessions := Sessions())
    await ask(app, "alice-1")
    sessions.status = 405
    assert (await ask(app, "alice-1", "session-1", method="DELETE")).status == 405
    sessions.status = 200

    assert (await ask(app, "alice-1", "session-1")).status == 200


async def test_what_was_refused_began_no_session() -> None:
    app = protected(Sessions(400))

    assert (await ask(app, "alice-1")).status == 400
    assert (await ask(app, "alice-1", "session-1")).status == 404


async def test_a_server_that_names_a_session_again_gives_it_to_nobody_else() -> None:
    app = protected(sessions := Sessions())
    await ask(app, "alice-1")
    sessions.begun = 0  # the same id once more, for mallory

    await ask(app, "mallory-1")

    assert (await ask(app, "mallory-1", "session-1")).status == 404
    assert (await ask(app, "alice-1", "session-1")).status == 200


async def test_a_refused_session_is_logged_without_the_token(caplog: pytest.LogCaptureFixture, watch: Any) -> None:
    watch.secrets.add("mallory-1")
    app = protected(Sessions())

    with caplog.at_level(logging.INFO, "asgi_bearer"):
        await ask(app, "mallory-1", "session-1")

    assert "refused: 404 no session of this caller, token " in caplog.text


async def test_a_public_path_has_no_caller_and_no_session_of_one() -> None:
    app = protected(sessions := Sessions(), public=["/health"])
    await ask(app, "alice-1")

    assert (await ask(app, path="/health")).status == 200
    assert isinstance(sessions.scopes[-1]["auth"], Anonymous)
    assert (await ask(app, None, "session-1", path="/health")).status == 404


async def test_websockets_and_the_lifespan_reach_the_application() -> None:
    kinds = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        kinds.append(scope["type"])

    server = protected(app, prefetch="off")
    await call(server, {"type": "lifespan"}, {"type": "lifespan.startup"})
    await call(server, websocket_scope((b"authorization", b"Bearer alice-1")))

    assert kinds == ["lifespan", "websocket"]


# Challenges and metadata


async def test_refusals_name_the_scopes_and_the_metadata() -> None:
    app = protected(Echo(), scopes=iter(["tools", "more"]))

    missing, lacking = await ask(app), await ask(app, "alice-1")

    named = f'scope="tools more", resource_metadata="https://mcp.example{WELL_KNOWN}/mcp"'.split(", ")
    assert missing.status == 401
    assert set(named) <= set(missing.headers[b"www-authenticate"].decode().split(", "))
    assert lacking.status == 403
    assert set(named) <= set(lacking.headers[b"www-authenticate"].decode().split(", "))
    assert b'error="insufficient_scope"' in lacking.headers[b"www-authenticate"]


@pytest.mark.parametrize("path", [f"{WELL_KNOWN}/mcp", WELL_KNOWN])
async def test_the_document_is_served_below_the_path_and_at_the_root(path: str) -> None:
    verifier = Verifier()
    verifier.required_scopes = ("own",)
    app = protect(Echo(), verifier, resource=RESOURCE, scopes=["tools"], rules={"/admin": scopes("admin")})

    answer = await ask(app, method="GET", path=path)

    assert answer.status == 200
    assert json.loads(answer.body) == {
        "resource": RESOURCE,
        "authorization_servers": [ISSUER],
        "scopes_supported": ["tools", "own", "admin"],
        "bearer_methods_supported": ["header"],
    }


async def test_a_resource_without_a_path_has_its_document_at_the_root_once() -> None:
    app = protected(Echo(), resource="https://mcp.example")

    assert json.loads((await ask(app, method="GET", path=WELL_KNOWN)).body)["resource"] == "https://mcp.example"
    assert (await ask(app, method="GET", path=f"{WELL_KNOWN}/mcp")).status == 401


async def test_scheme_and_host_of_the_resource_are_put_into_lower_case_and_nothing_else_is() -> None:
    app = protected(Echo(), resource="HTTPS://MCP.Example:8443/Path%2Fa/?q=A")

    answer = await ask(app)

    assert f"https://mcp.example:8443{WELL_KNOWN}/Path%2Fa/?q=A".encode() in answer.headers[b"www-authenticate"]


async def test_a_resource_of_ones_own_is_taken_as_it_is() -> None:
    resource = ProtectedResource(RESOURCE, authorization_servers="https://other.example/", resource_name="Tools")
    app = protected(Echo(), resource=resource)

    assert json.loads((await ask(app, method="GET", path=WELL_KNOWN)).body) == dict(resource.document)


async def test_authorization_servers_may_be_others_than_the_verifiers_issuers() -> None:
    app = protected(Echo(), authorization_servers=["https://front.example/"])

    document = json.loads((await ask(app, method="GET", path=WELL_KNOWN)).body)

    assert document["authorization_servers"] == ["https://front.example/"]


# What cannot be meant


class Auth:
    """An MCP server that has an auth of its own, or an application of one."""

    def __init__(self, kind: str) -> None:
        self.auth = "auth"
        self.settings = SimpleNamespace(auth="auth")
        if kind != "application":
            setattr(self, kind, Echo)
        else:
            self.state = SimpleNamespace(fastmcp_auth="auth")

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


@pytest.mark.parametrize("kind", ["http_app", "streamable_http_app", "application"])
def test_an_auth_of_its_own_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="auth of its own"):
        protected(Auth(kind))


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        pytest.param({"optional": True}, TypeError, "authorises every request", id="optional"),
        pytest.param({"scopes": ["offline_access"]}, ValueError, "offline_access", id="offline_access"),
        pytest.param({"scopes": "tools"}, TypeError, "sequence of scopes", id="scopes"),
        pytest.param({"resource": "http://mcp.example"}, ValueError, "must be https", id="http"),
        pytest.param({"resource": 1}, TypeError, "resource is a str", id="resource"),
        pytest.param({"authorization_servers": []}, ValueError, "empty sequence", id="no server"),
        pytest.param({"rules": ["/a"]}, TypeError, "rules maps paths", id="rules"),
        pytest.param(
            {"resource": ProtectedResource(RESOURCE, authorization_servers=ISSUER), "authorization_servers": ISSUER},
            ValueError,
            "leave the argument out",
            id="servers twice",
        ),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options: Any, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        protected(Echo(), **options)


def test_every_option_of_the_door_that_mcp_does_not_decide_is_handed_on() -> None:
    decided = {"self", "app", "verifier", "required_scopes", "resource", "optional"}

    assert DoorOptions.__optional_keys__ == set(inspect.signature(BearerMiddleware.__init__).parameters) - decided


def test_offline_access_of_the_verifier_is_refused_too() -> None:
    verifier = Verifier()
    verifier.required_scopes = ("offline_access",)
    resource = ProtectedResource(RESOURCE, authorization_servers=ISSUER)

    with pytest.raises(ValueError, match="offline_access"):
        protect(Echo(), verifier, resource=resource)


def test_what_is_neither_a_server_nor_an_application_is_refused() -> None:
    with pytest.raises(TypeError, match=r"MCP server or an ASGI application, not str"):
        protected("mcp")


def test_a_verifier_that_names_no_issuer_needs_authorization_servers() -> None:
    verifier = SimpleNamespace(verify_token=Verifier().verify_token, audiences=(RESOURCE,))

    with pytest.raises(ValueError, match="write authorization_servers="):
        protect(Echo(), verifier, resource=RESOURCE)


@pytest.mark.parametrize("known", [{"audiences": ()}, {"audience": None}, {"audience": ""}], ids=str)
def test_a_verifier_that_compares_no_audience_is_refused(known: dict[str, Any]) -> None:
    verifier = SimpleNamespace(verify_token=Verifier().verify_token, issuers=(ISSUER,), **known)

    with pytest.raises(ValueError, match="compares no audience"):
        protect(Echo(), verifier, resource=RESOURCE)


@pytest.mark.parametrize(
    "known", [{"audience": RESOURCE}, {"audience": [RESOURCE]}, {"audiences": [RESOURCE]}], ids=str
)
def test_a_verifier_says_what_audience_it_compares_by_either_name(known: dict[str, Any]) -> None:
    verifier = SimpleNamespace(verify_token=Verifier().verify_token, issuers=(ISSUER,), **known)

    assert callable(protect(Echo(), verifier, resource=RESOURCE))


@pytest.mark.parametrize("known", [{}, {"audiences": None}], ids=str)
def test_a_verifier_that_does_not_say_gives_a_warning_at_the_callers_line(known: dict[str, Any]) -> None:
    verifier = SimpleNamespace(verify_token=Verifier().verify_token, issuers=(ISSUER,), **known)

    with pytest.warns(InsecureConfigurationWarning, match="SimpleNamespace compares the audience") as found:
        protect(Echo(), verifier, resource=RESOURCE)

    assert found[0].filename == __file__


def test_tokens_that_are_written_down_compare_no_audience() -> None:
    verifier = StaticTokenVerifier({"dev-token": {"client_id": "me"}})

    with pytest.warns(InsecureConfigurationWarning, match="StaticTokenVerifier"):
        protect(Echo(), verifier, resource=RESOURCE, authorization_servers=ISSUER)


# Servers, as far as they are known by their methods


class Server:
    """Has the one method of a make of MCP servers, and remembers how it was called."""

    def __init__(self, method: str, *, takes: bool = True) -> None:
        self.app = Echo()
        self.given: dict[str, Any] = {}
        setattr(self, method, self._build if takes else lambda: self.app)

    def _build(self, *, host: str = "127.0.0.1", allowed_hosts: list[str] | None = None) -> Echo:
        self.given = {"host": host, "allowed_hosts": allowed_hosts}
        return self.app


@pytest.mark.parametrize(
    ("method", "resource", "given"),
    [
        ("http_app", RESOURCE, {"host": "127.0.0.1", "allowed_hosts": ["mcp.example"]}),
        ("http_app", "http://localhost:8000/mcp", {"host": "127.0.0.1", "allowed_hosts": None}),
        ("streamable_http_app", RESOURCE, {"host": "mcp.example", "allowed_hosts": None}),
        ("streamable_http_app", "http://127.0.0.1:8000/mcp", {"host": "127.0.0.1", "allowed_hosts": None}),
    ],
)
async def test_a_server_is_told_its_host(method: str, resource: str, given: dict[str, Any]) -> None:
    server = Server(method)

    answer = await ask(protected(server, resource=resource), "alice-1")

    assert (answer.status, server.given) == (200, given)


@pytest.mark.parametrize("method", ["http_app", "streamable_http_app"])
async def test_a_server_of_an_earlier_version_is_asked_for_its_application_alone(method: str) -> None:
    assert (await ask(protected(Server(method, takes=False)), "alice-1")).status == 200


# The caller, within a tool


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let a package be loaded, or not, by its module and what is in it."""
    for name in ("fastmcp.server.dependencies", "mcp.server.lowlevel.server"):
        monkeypatch.delitem(sys.modules, name, raising=False)

    def load(name: str, **members: Any) -> None:
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(**members))

    return load


def request_of(auth: Any) -> Any:
    return SimpleNamespace(scope={"auth": auth})


async def token_seen(auth: Any = None) -> Any:
    """Return what `get_access_token` says behind a door that let alice in."""
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(get_access_token())
        await Echo()(scope, receive, send)

    await ask(protected(app), "alice-1")
    return seen[0]


async def test_without_a_package_the_caller_is_the_doors(loaded: Any) -> None:
    seen = await token_seen()

    assert seen.token == "alice-1"


async def test_outside_of_a_request_nobody_calls(loaded: Any) -> None:
    assert get_access_token() is None
    assert asgi_bearer.get_access_token() is None


async def test_fastmcp_says_which_request_is_handled(loaded: Any) -> None:
    loaded("fastmcp.server.dependencies", get_http_request=lambda: request_of(token_of("alice-2")))

    assert (await token_seen()).token == "alice-2"


async def test_where_fastmcp_handles_no_request_the_caller_is_the_doors(loaded: Any) -> None:
    def get_http_request() -> Any:
        raise RuntimeError("No active HTTP request found.")

    loaded("fastmcp.server.dependencies", get_http_request=get_http_request)

    assert (await token_seen()).token == "alice-1"


async def test_an_sdk_with_a_context_of_its_own_says_which_request_is_handled(loaded: Any) -> None:
    context: ContextVar[Any] = ContextVar("request_ctx")
    loaded("mcp.server.lowlevel.server", request_ctx=context)
    assert (await token_seen()).token == "alice-1"

    reset = context.set(SimpleNamespace(request=request_of(token_of("alice-2"))))
    assert (await token_seen()).token == "alice-2"
    context.reset(reset)


async def test_an_sdk_without_a_context_of_its_own_leaves_it_to_ours(loaded: Any) -> None:
    loaded("mcp.server.lowlevel.server")

    assert (await token_seen()).token == "alice-1"


async def test_a_request_without_a_caller_has_none_whoever_called_before(loaded: Any) -> None:
    loaded("fastmcp.server.dependencies", get_http_request=lambda: request_of(Anonymous()))

    assert await token_seen() is None


# Strategies as verifiers of an MCP server


class SDKToken:
    """Stands for the SDK's token: it shows what it was made of."""

    def __init__(self, **known: Any) -> None:
        self.known = known


@pytest.fixture
def sdk(loaded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the SDK be there, and FastMCP not."""
    # What the import machinery takes for a package that is not there
    monkeypatch.setitem(sys.modules, "fastmcp", None)
    monkeypatch.setitem(sys.modules, "fastmcp.server.auth", None)
    for name in ("mcp", "mcp.server", "mcp.server.auth"):
        loaded(name, __path__=[])
    loaded("mcp.server.auth.provider", AccessToken=SDKToken)


class Gives:
    """A strategy with one answer."""

    def __init__(self, found: Any, **known: Any) -> None:
        self._found = found
        vars(self).update(known)

    async def verify_token(self, token: str) -> Any:
        if isinstance(self._found, Exception):
            raise self._found
        return self._found


@pytest.mark.usefixtures("sdk")
async def test_what_is_known_of_the_caller_is_said_in_the_sdks_words() -> None:
    token = AccessToken(
        token="a-token",
        client_id="app",
        scopes=["read"],
        expires_at=datetime.fromtimestamp(1_800_000_000.5, UTC),
        subject="alice",
        issuer=ISSUER,
        audience=[RESOURCE, "https://other.example"],
        claims={"sub": "alice", "roles": ["a", {"b": ["c"]}]},
    )

    found = await as_token_verifier(Gives(token)).verify_token("a-token")

    assert found.known == {
        "token": "a-token",
        "client_id": "app",
        "scopes": ["read"],
        "expires_at": 1_800_000_000,
        "resource": RESOURCE,
        "subject": "alice",
        "claims": {"iss": ISSUER, "sub": "alice", "roles": ["a", {"b": ["c"]}]},
    }
    assert type(found.known["claims"]["roles"]) is list
    assert type(found.known["claims"]["roles"][1]) is dict


@pytest.mark.usefixtures("sdk")
async def test_what_is_not_known_of_the_caller_is_none() -> None:
    found = await as_token_verifier(Gives(AccessToken(token="a-token", client_id="app"))).verify_token("a-token")

    unknown = ("expires_at", "resource", "subject")
    assert [found.known[name] for name in unknown] == [None, None, None]
    assert found.known["claims"] == {}


@pytest.mark.usefixtures("sdk")
async def test_a_resource_stands_for_the_audience_that_the_strategy_compared() -> None:
    strategy = Gives(token_of("alice-1", audience=["api"]), audiences=("api",))

    found = await as_token_verifier(strategy, resource="HTTPS://MCP.example/mcp").verify_token("alice-1")

    assert found.known["resource"] == RESOURCE


@pytest.mark.parametrize("known", [{"audiences": ()}, {"audience": None}], ids=str)
def test_a_resource_stands_for_no_audience_that_nobody_compared(known: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="compares no audience"):
        as_token_verifier(Gives(None, **known), resource=RESOURCE)


@pytest.mark.usefixtures("sdk")
@pytest.mark.parametrize(
    "found",
    [
        pytest.param(None, id="None"),
        pytest.param(InvalidToken(Reason.expired), id="InvalidToken"),
        pytest.param(InsufficientScope(["read"]), id="InsufficientScope"),
        pytest.param(token_of("alice-1", claims={"cnf": {"jkt": "x"}}), id="bound to a key"),
    ],
)
async def test_every_no_is_none(found: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "asgi_bearer"):
        assert await as_token_verifier(Gives(found)).verify_token("alice-1") is None

    assert "refused: 40" in caplog.text
    assert "alice-1" not in caplog.text


@pytest.mark.usefixtures("sdk")
async def test_we_cannot_know_is_raised_and_never_a_no(caplog: pytest.LogCaptureFixture) -> None:
    verifier = as_token_verifier(Gives(VerifierUnavailable("the provider is down")))

    with pytest.raises(VerifierUnavailable):
        await verifier.verify_token("alice-1")

    assert "cannot be verified: the provider is down" in caplog.text
    assert "alice-1" not in caplog.text


@pytest.mark.parametrize("strategy", [None, Verifier, "verifier"], ids=["None", "a class", "a str"])
def test_what_is_no_strategy_is_refused(strategy: Any) -> None:
    with pytest.raises(TypeError, match="strategy is an object with async verify_token"):
        as_token_verifier(strategy)
