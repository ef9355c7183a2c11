"""MCP servers of two makes on loopback, behind `protect`, and the requests that clients of MCP make."""

from __future__ import annotations

import importlib.util
import itertools
import json
import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio
import httpx2
import pytest
import uvicorn
from interop.foreign import cannot_run
from starlette.responses import JSONResponse

from asgi_bearer import JWTVerifier
from asgi_bearer import get_access_token as get_core_token
from asgi_bearer.integrations.mcp import get_access_token, protect
from asgi_bearer.testing import Issuer
from asgi_bearer.testing.endpoints import metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STARTS_WITHIN = 60.0
PROTOCOL = "2025-11-25"
"""The last revision with sessions."""

_IDS = itertools.count(1)


def find_packages() -> None:
    """Skip the test where a package of MCP is missing, or fail it where nothing may be skipped."""
    for package in ("mcp", "fastmcp"):
        if importlib.util.find_spec(package) is None:
            cannot_run(f"there is no {package}: install the dependency group interop")


@contextmanager
def running(app: Any, listener: socket.socket) -> Iterator[None]:
    """Serve `app` by uvicorn in a thread, from its start-up to its shutdown."""
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on", ws="none"))
    # The tests of uvicorn stop it so, too: signals belong to the main thread.
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    started = threading.Event()
    startup = server.startup

    async def tell_started(*args: Any, **options: Any) -> None:
        await startup(*args, **options)
        started.set()

    server.startup = tell_started  # type: ignore[method-assign]  # this server's alone
    thread.start()
    try:
        assert started.wait(STARTS_WITHIN)
        yield
    finally:
        server.should_exit = True
        thread.join(STARTS_WITHIN)
        assert not thread.is_alive()


def listen() -> tuple[socket.socket, str]:
    """Return a listening socket of loopback, and its URL."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    return listener, f"http://127.0.0.1:{listener.getsockname()[1]}"


@dataclass(slots=True)
class Seen:
    """A request that came to the server, before any door."""

    method: str
    path: str
    has_token: bool
    status: int = 0


@dataclass
class Journal:
    """Puts down every request that comes to `app`, and the status of its answer."""

    app: Any
    requests: list[Seen] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        seen = Seen(scope["method"], scope["path"], any(name == b"authorization" for name, _ in scope["headers"]))
        self.requests.append(seen)

        async def send_and_note(message: Any) -> None:
            seen.status = message.get("status", seen.status)
            await send(message)

        await self.app(scope, receive, send_and_note)


class WithAuthorizationEndpoint:
    """The issuer, with metadata that the clients of MCP read: they insist on an authorization endpoint."""

    def __init__(self, issuer: Issuer) -> None:
        self._issuer = issuer

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] == "/.well-known/oauth-authorization-server":
            document = {**metadata(self._issuer), "authorization_endpoint": f"{self._issuer.url}/authorize"}
            await JSONResponse(document)(scope, receive, send)
        else:
            await self._issuer(scope, receive, send)


class Meeting:
    """Holds those who come to it until as many are there as were announced."""

    def __init__(self) -> None:
        self._missing = 1
        self._complete: anyio.Event | None = None

    def announce(self, number: int) -> None:
        self._missing = number
        self._complete = None

    async def wait(self) -> None:
        self._complete = self._complete or anyio.Event()
        self._missing -= 1
        if self._missing <= 0:
            self._complete.set()
        with anyio.fail_after(STARTS_WITHIN):
            await self._complete.wait()


def describe(token: Any) -> list[Any] | None:
    """Say whose token it is, and which of theirs: the claim jti."""
    return None if token is None else [token.subject, token.claims["jti"]]


def make_fastmcp(meeting: Meeting) -> Any:
    """Return a server of FastMCP whose one tool says who calls, three times: by ours, by the core's, by FastMCP's."""
    from fastmcp import FastMCP  # noqa: PLC0415  # there in this folder's environment alone
    from fastmcp.server.dependencies import get_access_token as get_theirs  # noqa: PLC0415

    async def who() -> str:
        await meeting.wait()
        return json.dumps([describe(get_access_token()), describe(get_core_token()), describe(get_theirs())])

    server: Any = FastMCP("who")
    server.tool(who)
    return server


def make_sdk(meeting: Meeting) -> Any:
    """Return a server of the MCP SDK with the same tool; its third answer is by the SDK's function."""
    from mcp.server.auth.middleware.auth_context import get_access_token as get_theirs  # noqa: PLC0415
    from mcp.server.mcpserver import MCPServer  # noqa: PLC0415

    async def who() -> str:
        await meeting.wait()
        return json.dumps([describe(get_access_token()), describe(get_core_token()), describe(get_theirs())])

    server: Any = MCPServer("who")
    server.tool()(who)
    return server


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A running server and its issuer."""

    url: str
    """The MCP endpoint, and the resource's identifier."""
    origin: str
    issuer: Issuer
    journal: Journal
    meeting: Meeting

    def token(self, sub: str, jti: str = "1", *, scopes: tuple[str, ...] = ("tools",), **others: Any) -> str:
        """Return a good token of `sub`, unless `others` make it a bad one."""
        return self.issuer.token(sub=sub, scopes=scopes, claims={"jti": jti}, **others)


@contextmanager
def serving(make: Callable[[Meeting], Any], wrap: Callable[[Any], Any] = lambda app: app) -> Iterator[Peer]:
    """Run a server that `make` makes behind `protect`, and `wrap` around it, beside an issuer."""
    listener, origin = listen()
    issuing, issuer_url = listen()
    url = f"{origin}/mcp"
    issuer, meeting = Issuer(issuer_url, audience=url), Meeting()
    door = protect(make(meeting), JWTVerifier(issuer=issuer_url, audience=url), resource=url, scopes=["tools"])
    journal = Journal(wrap(door))
    with running(WithAuthorizationEndpoint(issuer), issuing), running(journal, listener):
        yield Peer(url=url, origin=origin, issuer=issuer, journal=journal, meeting=meeting)


@contextmanager
def http_client(base_url: str) -> Iterator[httpx2.Client]:
    """Give a client of plain HTTP that trusts nobody: all is on loopback."""
    with httpx2.Client(base_url=base_url, trust_env=False, verify=False) as client:
        yield client


def send(
    client: httpx2.Client, token: str | None, method: str, *, session: str | None = None, **params: Any
) -> httpx2.Response:
    """Send one message of MCP, as a request of its own."""
    message: dict[str, Any] = {"jsonrpc": "2.0", "method": method, "params": params}
    if not method.startswith("notifications/"):
        message["id"] = next(_IDS)
    return client.post("/mcp", json=message, headers=headers(token, session))


def headers(token: str | None, session: str | None = None) -> dict[str, str]:
    """Return what a client sends along."""
    found = {"accept": "application/json, text/event-stream", "mcp-protocol-version": PROTOCOL}
    if token is not None:
        found["authorization"] = f"Bearer {token}"
    if session is not None:
        found["mcp-session-id"] = session
    return found


def begin(client: httpx2.Client, token: str) -> str:
    """Begin a session; return its id."""
    info = {"name": "test", "version": "1"}
    answer = send(client, token, "initialize", protocolVersion=PROTOCOL, capabilities={}, clientInfo=info)
    assert answer.status_code == 200, answer.text
    session: str = answer.headers["mcp-session-id"]
    assert send(client, token, "notifications/initialized", session=session).status_code == 202
    return session


def ask_who(client: httpx2.Client, token: str, session: str | None) -> Any:
    """Call the tool; return its three answers."""
    return json.loads(read_result(send(client, token, "tools/call", session=session, name="who", arguments={})))


def read_result(answer: httpx2.Response) -> str:
    """Return the text of a tool's result."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    data = [line.removeprefix("data:") for line in answer.text.splitlines() if line.startswith("data:")]
    result = json.loads(data[-1])["result"]
    assert not result.get("isError"), result
    text: str = result["content"][0]["text"]
    return text


def end(client: httpx2.Client, token: str, session: str) -> httpx2.Response:
    """End a session."""
    return client.delete("/mcp", headers=headers(token, session))


MAKES = [
    pytest.param(make_fastmcp, id="FastMCP"),
    pytest.param(make_sdk, id="MCP SDK"),
]
