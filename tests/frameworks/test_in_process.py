"""The suite in one process, on asyncio and on trio; and how a door goes together with mounts, CORS and streams."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import anyio
import pytest
from fakes import Clock, bearer, websocket_scope
from frameworks.apps import dispatcher
from frameworks.apps.common import DOOR, ASGIApp, callers, jwt_verifier
from frameworks.apps.litestar import AnyRequest, own, sensitive
from frameworks.behaviour import (
    HAVE_WEBSOCKETS,
    LACKS_SENSITIVE,
    NOBODY,
    READER,
    Behaviour,
    Client,
    ForApps,
    Place,
    Reply,
    arrivals,
    over,
    told_twice,
)
from litestar import Litestar, get
from litestar.middleware import DefineMiddleware
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

from asgi_bearer import BearerMiddleware, JWTVerifier, RSAKeyPair, get_access_token

Backend = Literal["asyncio", "trio"]


class InProcess:
    """Calls the applications without a socket."""

    def __init__(self, client: TestClient) -> None:
        self._client = client

    def request(self, method: str, path: str, headers: Sequence[tuple[str, str]] = (), content: bytes = b"") -> Reply:
        reply = self._client.request(method, path, headers=list(headers), content=content, follow_redirects=False)
        return Reply(reply.status_code, reply.headers.multi_items(), reply.content)

    def talk(self, path: str, headers: Sequence[tuple[str, str]], text: str) -> tuple[str, str]:
        assert self._client.portal is not None
        return self._client.portal.call(_talk, self._client.app, path, headers, text)

    def knock(self, path: str, headers: Sequence[tuple[str, str]]) -> Reply:
        with (
            pytest.raises(WebSocketDenialResponse) as denied,
            self._client.websocket_connect(path, headers=dict(headers)),
        ):
            pass
        reply = denied.value
        return Reply(reply.status_code, reply.headers.multi_items(), reply.content)


async def _talk(app: ASGIApp, path: str, headers: Sequence[tuple[str, str]], text: str) -> tuple[str, str]:
    """Open a websocket, and close it when an answer to `text` has come.

    The application is awaited to its own end: the session of Starlette's client cancels it while it still cleans up.
    """
    script = iter([{"type": "websocket.connect"}, {"type": "websocket.receive", "text": text}])
    sent: list[Any] = []
    answered = anyio.Event()

    async def receive() -> Any:
        if message := next(script, None):
            return message
        await answered.wait()
        return {"type": "websocket.disconnect", "code": 1000}

    async def send(message: Any) -> None:
        sent.append(message)
        if [each["type"] for each in sent] == ["websocket.accept", "websocket.send", "websocket.send"]:
            answered.set()

    lines = [(name.encode(), value.encode()) for name, value in headers]
    scope = websocket_scope(*lines, path=path, root_path="", query_string=b"", scheme="ws", asgi={"version": "3.0"})
    with anyio.fail_after(10):
        await app({**scope, "subprotocols": [], "extensions": {}}, receive, send)
    return sent[1]["text"], sent[2]["text"]


@pytest.fixture(scope="session")
def in_process(key_pair: RSAKeyPair) -> Iterator[Callable[[Backend], TestClient]]:
    """Give what calls all applications on an event loop; it is started when it is first asked for."""
    running: dict[Backend, TestClient] = {}
    with contextlib.ExitStack() as stack:

        def get(backend: Backend) -> TestClient:
            if backend not in running:
                app = dispatcher.build(jwt_verifier(key_pair.public_key), backend)
                client = TestClient(app, backend=backend, raise_server_exceptions=False)
                running[backend] = stack.enter_context(client)
            return running[backend]

        yield get


class TestInProcess(Behaviour):
    places: ClassVar = [Place(backend, app) for backend, apps in dispatcher.APPS.items() for app in apps]

    @pytest.fixture
    def client(self, place: Place, in_process: Callable[[str], TestClient]) -> Client:
        return InProcess(in_process(place.host))

    @over([ForApps("", HAVE_WEBSOCKETS)])
    def test_without_the_denial_response_a_websocket_is_closed_before_it_is_accepted(
        self, client: Client, place: Place, in_process: Callable[[str], TestClient]
    ) -> None:
        before = arrivals(client, place)

        with (
            pytest.raises(WebSocketDisconnect) as closed,
            in_process(place.host).websocket_connect(f"/no-denial/{place.app}/ws"),
        ):
            pass

        assert closed.value.code == 3000  # Unauthorized, by IANA's registry of close codes
        assert arrivals(client, place) == before


@pytest.fixture(params=["asyncio", "trio"])
def backend(request: pytest.FixtureRequest) -> Backend:
    chosen: Backend = request.param
    return chosen


async def whoami(request: Request) -> Response:
    return JSONResponse(callers(request.scope))


def test_from_a_key_pair_to_a_handler_that_asks_for_a_scope(backend: Backend) -> None:
    clock = Clock()
    key_pair = RSAKeyPair.generate()
    verifier = JWTVerifier(
        public_key=key_pair.public_key, issuer="https://dev.example.com", audience="my-server", clock=clock
    )

    async def sensitive(request: Request) -> Response:
        token = get_access_token()
        assert token is not None
        token.require_scopes("data:read_sensitive")
        assert token.expires_at is not None
        return JSONResponse([token.client_id, token.scopes, token.expires_at.timestamp()])

    app = BearerMiddleware(Starlette(routes=[Route("/sensitive", sensitive)]), verifier)
    client = TestClient(app, backend=backend)

    def call(*scopes: str) -> Any:
        token = key_pair.create_token(
            subject="dev-user",
            issuer="https://dev.example.com",
            audience="my-server",
            scopes=scopes,
            clock=clock,
        )
        return client.get("/sensitive", headers=bearer(token))

    let_in = call("read", "data:read_sensitive")
    refused = call("read")

    assert let_in.status_code == 200
    assert let_in.json() == ["dev-user", ["read", "data:read_sensitive"], clock.now + 3600]
    assert refused.status_code == 403
    assert refused.headers["www-authenticate"] == (
        'Bearer realm="api", scope="data:read_sensitive", error="insufficient_scope", '
        'error_description="The access token lacks a permission that this request needs."'
    )


@pytest.mark.parametrize("root_path", ["", "/proxy"], ids=["at the root", "behind a proxy's prefix"])
def test_a_door_inside_a_mount_knows_its_public_paths(
    backend: Backend, root_path: str, key_pair: RSAKeyPair, tokens: Mapping[str, str]
) -> None:
    inner = Starlette(routes=[Route("/health", whoami), Route("/api/health", whoami), Route("/whoami", whoami)])
    door = BearerMiddleware(inner, jwt_verifier(key_pair.public_key), **DOOR)
    app = Starlette(routes=[Mount("/api", door), Route("/health", lambda _: Response("outside"))])
    client = TestClient(app, backend=backend, root_path=root_path)

    assert client.get(f"{root_path}/health").text == "outside"
    assert client.get(f"{root_path}/api/health").json() == told_twice(None)
    assert client.get(f"{root_path}/api/whoami").status_code == 401
    assert client.get(f"{root_path}/api/whoami", headers=bearer(tokens["good"])).json() == told_twice(READER)
    # "/api/health" of the mounted application is not its "/health".
    assert client.get(f"{root_path}/api/api/health").status_code == 401


def cors(**more: Any) -> dict[str, Any]:
    return {"allow_origins": ["https://app.example.com"], "allow_headers": ["Authorization"], **more}


PREFLIGHT = {
    "origin": "https://app.example.com",
    "access-control-request-method": "GET",
    "access-control-request-headers": "authorization",
}


def test_with_cors_outside_of_the_door_a_browser_may_read_the_refusal(
    backend: Backend, key_pair: RSAKeyPair, tokens: Mapping[str, str]
) -> None:
    door = Middleware(BearerMiddleware, jwt_verifier(key_pair.public_key), **DOOR)
    outside = Middleware(CORSMiddleware, **cors(expose_headers=["WWW-Authenticate"]))
    app = Starlette(routes=[Route("/whoami", whoami)], middleware=[outside, door])
    client = TestClient(app, backend=backend, headers={"origin": "https://app.example.com"})

    refused = client.get("/whoami")
    let_in = client.get("/whoami", headers=bearer(tokens["good"]))

    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == NOBODY.challenge
    for reply in (refused, let_in):
        assert reply.headers["access-control-allow-origin"] == "https://app.example.com"
        assert reply.headers["access-control-expose-headers"] == "WWW-Authenticate"
    assert let_in.json() == told_twice(READER)


@pytest.mark.parametrize("order", ["cors outside", "door outside"])
def test_a_preflight_is_answered_whichever_of_cors_and_door_is_outside(
    backend: Backend, order: str, key_pair: RSAKeyPair
) -> None:
    door = Middleware(BearerMiddleware, jwt_verifier(key_pair.public_key), **DOOR)
    middleware = [Middleware(CORSMiddleware, **cors()), door]
    if order == "door outside":
        middleware.reverse()
    app = Starlette(routes=[Route("/whoami", whoami)], middleware=middleware)

    reply = TestClient(app, backend=backend).options("/whoami", headers=PREFLIGHT)

    assert reply.status_code == 200
    assert reply.headers["access-control-allow-origin"] == "https://app.example.com"
    assert "authorization" in reply.headers["access-control-allow-headers"].lower()


def test_options_without_the_preflight_headers_is_refused(backend: Backend, key_pair: RSAKeyPair) -> None:
    app = BearerMiddleware(Starlette(), jwt_verifier(key_pair.public_key), **DOOR)

    reply = TestClient(app, backend=backend).options("/whoami", headers={"origin": "https://app.example.com"})

    assert reply.status_code == 401


@pytest.mark.anyio
async def test_a_streaming_response_passes_message_by_message(key_pair: RSAKeyPair, tokens: Mapping[str, str]) -> None:
    async def stream(_: Request) -> Response:
        async def chunks() -> Any:
            for chunk in (b"first", b"second"):
                yield chunk

        return StreamingResponse(chunks(), headers={"x-own": "kept"})

    app = Starlette(routes=[Route("/stream", stream)])
    door = BearerMiddleware(app, jwt_verifier(key_pair.public_key), **DOOR)

    bare = await messages_of(app, tokens["good"])
    guarded = await messages_of(door, tokens["good"])

    assert guarded == bare
    assert [message.get("body") for message in guarded] == [None, b"first", b"second", b""]


async def messages_of(app: Any, token: str) -> list[dict[str, Any]]:
    """Return what `app` sends in answer to a GET of `/stream`."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    headers = [(name.encode(), value.encode()) for name, value in bearer(token).items()]
    scope = {"type": "http", "asgi": {"version": "3.0", "spec_version": "2.4"}, "method": "GET", "headers": headers}
    await app({**scope, "path": "/stream", "root_path": "", "query_string": b""}, receive, send)
    return sent


def test_a_door_around_litestar_stands_before_its_router_too(
    backend: Backend, key_pair: RSAKeyPair, tokens: Mapping[str, str]
) -> None:
    app: Any = Litestar([own, sensitive], openapi_config=None, logging_config=None)
    client = TestClient(BearerMiddleware(app, jwt_verifier(key_pair.public_key), **DOOR), backend=backend)

    unknown_path = client.get("/nowhere")
    reader = client.get("/own", headers=bearer(tokens["good"]))
    refused = client.get("/sensitive", headers=bearer(tokens["good"]))

    assert unknown_path.status_code == 401
    assert reader.json()["auth"] == READER
    assert refused.status_code == 403
    assert refused.headers["www-authenticate"] == LACKS_SENSITIVE


def test_a_litestar_route_that_begins_like_its_mount_is_not_taken_for_a_public_path(
    backend: Backend, key_pair: RSAKeyPair
) -> None:
    @get(["/health", "/api/health"])
    async def health(request: AnyRequest) -> dict[str, Any]:
        return callers(request.scope)

    door: Any = BearerMiddleware
    middleware = DefineMiddleware(door, verifier=jwt_verifier(key_pair.public_key), **DOOR)
    app: Any = Litestar([health], middleware=[middleware], openapi_config=None, logging_config=None)
    client = TestClient(app, backend=backend, root_path="/api")

    assert client.get("/api/health").status_code == 200
    # Litestar has taken the mount's "/api" off already: what is left is the route "/api/health".
    assert client.get("/api/api/health").status_code == 401
