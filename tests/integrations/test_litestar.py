"""Litestar's guard and plugin: who is let in, what everybody else is answered, over HTTP and over websockets."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from fakes import call, http_scope, websocket_scope
from integrations.asked import (
    ASKED,
    CASES,
    DOOR,
    LACKS_WRITE,
    READER,
    UNMEANT,
    WRITER,
    Case,
    assert_answered,
    headers_of,
)
from litestar import Controller, Litestar, Request, Router, WebSocket, get, websocket
from litestar.exceptions import WebSocketException
from litestar.middleware import DefineMiddleware
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

from asgi_bearer import BearerMiddleware, InsufficientScope, InvalidRequest, MissingToken, get_access_token
from asgi_bearer.integrations.litestar import BearerPlugin, requires

Backend = Literal["asyncio", "trio"]
CLOSE_REASON_OF_403 = "The access token lacks a permission that this request needs."


@pytest.fixture(params=["asyncio", "trio"])
def backend(request: pytest.FixtureRequest) -> Backend:
    chosen: Backend = request.param
    return chosen


def handler(path: str) -> Any:
    @get(path, guards=[requires(*ASKED[path])])
    async def view() -> str:
        token = get_access_token()
        assert token is not None
        return token.client_id

    return view


def application(*more: Any, door: str = "outside", plugins: tuple[Any, ...] = (BearerPlugin(),)) -> Any:
    bearer: Any = BearerMiddleware
    middleware = [DefineMiddleware(bearer, **DOOR)] if door == "inside" else []
    handlers = [*map(handler, ASKED), *more]
    app: Any = Litestar(handlers, middleware=middleware, plugins=plugins, openapi_config=None, logging_config=None)
    return BearerMiddleware(app, **DOOR) if door == "outside" else app


@pytest.mark.parametrize("plugins", [(), (BearerPlugin(),)], ids=["without plugin", "with plugin"])
@pytest.mark.parametrize("door", ["outside", "inside"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_guard_lets_in_who_meets_the_requirement(
    backend: Backend, case: Case, door: str, plugins: tuple[Any, ...]
) -> None:
    client = TestClient(application(door=door, plugins=plugins), backend=backend)

    assert_answered(client.get(case.path, headers=headers_of(case)), case)


@pytest.mark.parametrize("place", ["controller", "router"])
def test_a_guard_of_a_controller_or_router_stands_before_all_its_handlers(backend: Backend, place: str) -> None:
    guards = [requires("write")]

    class Books(Controller):
        path = "/books"

        @get("/")
        async def read(self) -> str:
            return "read"

        @get("/sync", sync_to_thread=True)
        def read_in_a_thread(self) -> str:
            return "read"

    if place == "controller":
        Books.guards = guards
    nested = Router("/v1", route_handlers=[Books], guards=guards if place == "router" else [])
    client = TestClient(application(nested), backend=backend)

    for path in ("/v1/books", "/v1/books/sync"):
        assert client.get(path).status_code == 401
        assert client.get(path, headers={"authorization": f"Bearer {READER}"}).status_code == 403
        assert client.get(path, headers={"authorization": f"Bearer {WRITER}"}).text == "read"


def test_a_challenge_names_the_scopes_of_all_guards_that_were_passed(backend: Backend) -> None:
    @get("/", guards=[requires("write")])
    async def view() -> str:
        return "let in"

    router = Router("/v1", route_handlers=[view], guards=[requires("read")])
    client = TestClient(application(router), backend=backend)

    refused = client.get("/v1", headers={"authorization": f"Bearer {READER}"})

    assert_answered(refused, Case("/v1", READER, 403, LACKS_WRITE))
    assert client.get("/v1", headers={"authorization": f"Bearer {WRITER}"}).text == "let in"


def test_without_a_door_nobody_is_let_in(backend: Backend) -> None:
    client = TestClient(application(door="none"), backend=backend, raise_server_exceptions=False)

    reply = client.get("/scopes", headers={"authorization": f"Bearer {WRITER}"})

    assert reply.status_code == 500
    assert "www-authenticate" not in reply.headers


async def test_without_a_door_the_guard_says_what_to_write() -> None:
    guard: Any = requires("read")
    request: Any = Request(http_scope())  # type: ignore[arg-type]

    with pytest.raises(RuntimeError, match=r"write app = BearerMiddleware\(app, verifier\)"):
        await guard(request, None)


@pytest.mark.parametrize(("asked", "kind", "sentence"), UNMEANT.values(), ids=UNMEANT)
def test_what_cannot_be_meant_is_refused_at_once(asked: tuple[Any, ...], kind: type[Exception], sentence: str) -> None:
    with pytest.raises(kind, match=sentence):
        requires(*asked)


# Websockets


@websocket("/guarded", guards=[requires("read", "write")])
async def guarded(socket: WebSocket[Any, Any, Any]) -> None:
    await socket.accept()
    await socket.send_text("hello")
    await socket.close()


@websocket("/raising")
async def raising(socket: WebSocket[Any, Any, Any]) -> None:
    socket.auth.require_scopes("read", "write")


@websocket("/raising-late")
async def raising_late(socket: WebSocket[Any, Any, Any]) -> None:
    await socket.accept()
    socket.auth.require_scopes("read", "write")


@websocket("/malformed")
async def malformed(socket: WebSocket[Any, Any, Any]) -> None:
    del socket
    raise InvalidRequest


@websocket("/own")
async def own(socket: WebSocket[Any, Any, Any]) -> None:
    raise WebSocketException(detail="own", code=4000) from MissingToken()


TALKS = (guarded, raising, raising_late, malformed, own)


@pytest.mark.parametrize("door", ["outside", "inside"])
@pytest.mark.parametrize("path", ["/guarded", "/raising"])
def test_with_the_plugin_a_refused_websocket_gets_the_doors_answer(backend: Backend, path: str, door: str) -> None:
    client = TestClient(application(*TALKS, door=door), backend=backend)

    with (
        pytest.raises(WebSocketDenialResponse) as denied,
        client.websocket_connect(path, headers={"authorization": f"Bearer {READER}"}),
    ):
        pass

    assert_answered(denied.value, Case(path, READER, 403, LACKS_WRITE))
    assert denied.value.json() == {"error": "insufficient_scope", "error_description": CLOSE_REASON_OF_403}


def test_a_websocket_that_meets_the_requirement_talks(backend: Backend) -> None:
    client = TestClient(application(*TALKS), backend=backend)

    with client.websocket_connect("/guarded", headers={"authorization": f"Bearer {WRITER}"}) as session:
        assert session.receive_text() == "hello"


def test_a_websocket_that_was_accepted_is_closed_as_forbidden(backend: Backend) -> None:
    client = TestClient(application(*TALKS), backend=backend)

    with (
        client.websocket_connect("/raising-late", headers={"authorization": f"Bearer {READER}"}) as session,
        pytest.raises(WebSocketDisconnect) as closed,
    ):
        session.receive_text()

    assert closed.value.code == 3003


@pytest.mark.parametrize(
    ("path", "token", "plugins", "code", "reason"),
    [
        ("/guarded", READER, (BearerPlugin(),), 3003, ""),
        ("/guarded", None, (BearerPlugin(),), 3000, ""),
        ("/malformed", READER, (BearerPlugin(),), 1008, ""),
        ("/own", READER, (BearerPlugin(),), 4000, "own"),
        ("/guarded", READER, (), 3003, CLOSE_REASON_OF_403),
        ("/guarded", None, (), 3000, "Authentication is required."),
    ],
    ids=[
        "a scope is missing",
        "nobody",
        "policy",
        "a close of the application's own",
        "no plugin, 403",
        "no plugin, 401",
    ],
)
async def test_a_server_without_denial_responses_is_told_to_close(
    path: str, token: str | None, plugins: tuple[Any, ...], code: int, reason: str
) -> None:
    app = application(*TALKS, plugins=plugins)
    lines = [] if token is None else [(b"authorization", f"Bearer {token}".encode())]
    scope = websocket_scope(*lines, path=path, root_path="", query_string=b"", subprotocols=[], extensions={}, state={})

    sent = await call(app, scope, {"type": "websocket.connect"})

    assert sent == [{"type": "websocket.close", "code": code, "reason": reason}]


@get("/raising-http")
async def raising_http(request: Request[Any, Any, Any]) -> None:
    del request
    raise InsufficientScope("write")


def test_the_plugin_leaves_http_to_litestar(backend: Backend) -> None:
    with_plugin, without = (
        TestClient(application(raising_http, plugins=plugins), backend=backend).get(
            "/raising-http", headers={"authorization": f"Bearer {READER}"}
        )
        for plugins in ((BearerPlugin(),), ())
    )

    assert with_plugin.status_code == without.status_code == 403
    assert with_plugin.headers == without.headers
    assert with_plugin.content == without.content
