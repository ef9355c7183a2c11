"""Quart's decorator and error handler: who is let in, and what everybody else is answered."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from fakes import call, websocket_scope
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
from quart import Blueprint, Quart, Response, websocket
from quart.views import MethodView
from quart_trio import QuartTrio
from starlette.testclient import TestClient, WebSocketDenialResponse

from asgi_bearer import (
    BearerError,
    BearerMiddleware,
    InsufficientScope,
    InvalidRequest,
    VerifierUnavailable,
    get_access_token,
    problem_json,
)
from asgi_bearer.integrations.quart import init_app, requires

Backend = Literal["asyncio", "trio"]
LACKS = "The access token lacks a permission that this request needs."


@pytest.fixture(params=["asyncio", "trio"])
def backend(request: pytest.FixtureRequest) -> Backend:
    chosen: Backend = request.param
    return chosen


def caller() -> str:
    token = get_access_token()
    assert token is not None
    return token.client_id


async def caller_async() -> str:
    return caller()


def empty(backend: Backend = "asyncio", *, door: bool = True) -> Any:
    app = QuartTrio(__name__) if backend == "trio" else Quart(__name__)
    if door:
        app.asgi_app = BearerMiddleware(app.asgi_app, **DOOR)  # type: ignore[method-assign]
    return app


@pytest.mark.parametrize("view", [caller, caller_async], ids=["sync view in a thread", "async view"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_decorator_lets_in_who_meets_the_requirement(backend: Backend, case: Case, view: Any) -> None:
    app = empty(backend)
    app.add_url_rule(case.path, "view", requires(*ASKED[case.path])(view))

    reply = TestClient(app, backend=backend).get(case.path, headers=headers_of(case))

    assert_answered(reply, case)
    if case.challenge is not None:
        assert reply.headers["content-type"] == "application/json"
        assert set(reply.json()) == {"error", "error_description"}


def test_views_of_nested_blueprints_and_classes_are_guarded(backend: Backend) -> None:
    inner, outer = Blueprint("inner", __name__, url_prefix="/inner"), Blueprint("outer", __name__, url_prefix="/outer")

    @inner.get("/<int:number>")
    @requires("write")
    async def book(number: int) -> str:
        return str(number)

    class Books(MethodView):
        decorators = [requires("write")]  # noqa: RUF012  # as Quart has it

        async def get(self, number: int) -> str:
            return str(number)

    inner.add_url_rule("/class/<int:number>", view_func=Books.as_view("books"))
    outer.register_blueprint(inner)
    app = empty(backend)
    app.register_blueprint(outer)
    client = TestClient(app, backend=backend)

    for path in ("/outer/inner/7", "/outer/inner/class/7"):
        assert client.get(path).status_code == 401
        assert client.get(path, headers={"authorization": f"Bearer {READER}"}).status_code == 403
        assert client.get(path, headers={"authorization": f"Bearer {WRITER}"}).text == "7"


@pytest.mark.parametrize("view", [caller, caller_async], ids=["sync view", "async view"])
def test_a_challenge_names_the_scopes_of_all_decorators_that_were_passed(backend: Backend, view: Any) -> None:
    app = empty(backend)
    app.add_url_rule("/", "view", requires("read")(requires("write")(view)))
    client = TestClient(app, backend=backend)

    refused = client.get("/", headers={"authorization": f"Bearer {READER}"})

    assert_answered(refused, Case("/", READER, 403, LACKS_WRITE))
    assert client.get("/", headers={"authorization": f"Bearer {WRITER}"}).text == "writer"


def test_without_a_door_nobody_is_let_in(backend: Backend, caplog: pytest.LogCaptureFixture) -> None:
    app = empty(backend, door=False)
    init_app(app)
    app.add_url_rule("/", "view", requires("read")(caller))

    reply = TestClient(app, backend=backend).get("/", headers={"authorization": f"Bearer {WRITER}"})

    assert reply.status_code == 500
    assert "www-authenticate" not in reply.headers
    assert "write app = BearerMiddleware(app, verifier)" in caplog.text


@pytest.mark.parametrize(("asked", "kind", "sentence"), UNMEANT.values(), ids=UNMEANT)
def test_what_cannot_be_meant_is_refused_at_once(asked: tuple[Any, ...], kind: type[Exception], sentence: str) -> None:
    with pytest.raises(kind, match=sentence):
        requires(*asked)


@pytest.mark.parametrize("target", [MethodView, "/path"], ids=["a class", "no function"])
def test_what_cannot_be_decorated_is_refused_at_once(target: Any) -> None:
    with pytest.raises(TypeError, match=r"write decorators = \[requires\('read'\)\]"):
        requires("read")(target)


def test_the_name_of_the_view_is_kept() -> None:
    assert requires("read")(caller).__name__ == "caller"


RAISED = {
    "scope": (lambda: _require("write"), 403, {"www-authenticate": LACKS_WRITE.replace("read write", "write")}),
    "unavailable": (lambda: _raise(VerifierUnavailable("down", 7)), 503, {"retry-after": "7"}),
}


def _require(*scopes: str) -> None:
    token = get_access_token()
    assert token is not None
    token.require_scopes(*scopes)


def _raise(error: Exception) -> None:
    raise error


@pytest.mark.parametrize("is_async", [True, False], ids=["async view", "sync view"])
@pytest.mark.parametrize(("act", "status", "headers"), RAISED.values(), ids=RAISED)
def test_with_init_app_an_error_that_leaves_a_view_gets_the_doors_answer(
    backend: Backend, act: Any, status: int, headers: dict[str, str], is_async: bool
) -> None:
    app = empty(backend)
    init_app(app)

    async def view_async() -> None:
        act()

    app.add_url_rule("/", "view", view_async if is_async else act)

    reply = TestClient(app, backend=backend).get("/", headers={"authorization": f"Bearer {READER}"})

    assert reply.status_code == status
    told = {name: reply.headers[name] for name in ("www-authenticate", "retry-after") if name in reply.headers}
    assert told == headers
    assert reply.headers["cache-control"] == "no-store"
    assert "down" not in reply.text


def test_without_a_door_an_error_that_leaves_a_view_has_the_usual_challenge(backend: Backend) -> None:
    app = empty(backend, door=False)
    init_app(app)
    app.add_url_rule("/", "view", lambda: _raise(InsufficientScope("write")))

    reply = TestClient(app, backend=backend).get("/")

    assert reply.status_code == 403
    assert reply.headers["www-authenticate"] == LACKS_WRITE.replace("books", "api").replace("read write", "write")
    assert reply.headers["cache-control"] == "no-store"


def test_an_error_handler_of_the_applications_own_takes_the_place_of_ours(backend: Backend) -> None:
    app = empty(backend)
    init_app(app)

    async def answer(error: BearerError) -> Response:
        return Response("own", error.status_code, dict(error.headers))

    app.register_error_handler(BearerError, answer)
    app.add_url_rule("/", "view", lambda: _require("write"))

    reply = TestClient(app, backend=backend).get("/", headers={"authorization": f"Bearer {READER}"})

    assert reply.status_code == 403
    assert reply.text == "own"


def test_the_doors_own_bodies_are_those_of_the_decorator(backend: Backend) -> None:
    app = empty(backend, door=False)
    app.asgi_app = BearerMiddleware(app.asgi_app, **DOOR, render=problem_json)
    app.add_url_rule("/", "view", requires("write")(caller))

    reply = TestClient(app, backend=backend).get("/", headers={"authorization": f"Bearer {READER}"})

    assert reply.status_code == 403
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["status"] == 403


# Websockets


def talking(backend: Backend, *, door: bool = True) -> Any:
    app: Quart = empty(backend, door=door)
    init_app(app)

    @app.websocket("/guarded")
    @requires("read", "write")
    async def guarded() -> None:
        await websocket.send(caller())

    @app.websocket("/raising")
    async def raising() -> None:
        _require("read", "write")

    @app.websocket("/malformed")
    async def malformed() -> None:
        raise InvalidRequest

    return app


@pytest.mark.parametrize("path", ["/guarded", "/raising"])
def test_a_refused_websocket_gets_the_doors_answer(backend: Backend, path: str) -> None:
    client = TestClient(talking(backend), backend=backend)

    with (
        pytest.raises(WebSocketDenialResponse) as denied,
        client.websocket_connect(path, headers={"authorization": f"Bearer {READER}"}),
    ):
        pass

    assert_answered(denied.value, Case(path, READER, 403, LACKS_WRITE))
    assert denied.value.json() == {"error": "insufficient_scope", "error_description": LACKS}


def test_a_websocket_without_a_door_is_refused(backend: Backend) -> None:
    client = TestClient(talking(backend, door=False), backend=backend)

    with (
        pytest.raises(WebSocketDenialResponse) as denied,
        client.websocket_connect("/guarded", headers={"authorization": f"Bearer {WRITER}"}),
    ):
        pass

    assert denied.value.status_code == 500


@pytest.mark.parametrize("path", ["/guarded"])
def test_a_websocket_that_meets_the_requirement_talks(backend: Backend, path: str) -> None:
    client = TestClient(talking(backend), backend=backend)

    with client.websocket_connect(path, headers={"authorization": f"Bearer {WRITER}"}) as session:
        assert session.receive_text() == "writer"


@pytest.mark.parametrize(
    ("path", "token", "code"),
    [("/guarded", READER, 3003), ("/guarded", None, 3000), ("/malformed", READER, 1008)],
    ids=["a scope is missing", "nobody", "policy"],
)
async def test_a_server_without_denial_responses_is_told_to_close(
    anyio_backend: Backend, path: str, token: str | None, code: int
) -> None:
    app = talking(anyio_backend)
    lines = [] if token is None else [(b"authorization", f"Bearer {token}".encode())]
    scope = websocket_scope(
        *lines, path=path, root_path="", query_string=b"", scheme="ws", subprotocols=[], extensions={}, asgi={}
    )

    sent = await call(app, scope, {"type": "websocket.connect"}, {"type": "websocket.disconnect"})

    assert [(message["type"], message["code"]) for message in sent] == [("websocket.close", code)]
