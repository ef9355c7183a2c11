"""Litestar, with the door as its middleware.

There it stands behind the router: what has no route, or not for the method, is answered by Litestar, token or not.
"""

from typing import Any

from frameworks.apps.common import DOOR, Arrivals, ASGIApp, Postbox, callers, own_names
from litestar import Litestar, Request, Response, WebSocket, get, head, post, websocket
from litestar.background_tasks import BackgroundTask
from litestar.middleware import DefineMiddleware

from asgi_bearer import AccessToken, BearerMiddleware, TokenVerifier, scopes
from asgi_bearer.integrations.litestar import BearerPlugin, requires

AnyRequest = Request[Any, AccessToken, Any]
AnyWebSocket = WebSocket[Any, AccessToken, Any]


def build(verifier: TokenVerifier, arrivals: list[str]) -> ASGIApp:
    # Litestar's types name every key of a scope; ASGI's and ours do not.
    door: Any = BearerMiddleware
    notary: Any = Arrivals
    app: Any = Litestar(
        [whoami, head_whoami, whoami_in_a_thread, echo, sensitive, own, talk, *_GUARDED, *_background(Postbox())],
        middleware=[
            DefineMiddleware(door, verifier=verifier, **DOOR),
            DefineMiddleware(notary, notes=arrivals),
        ],
        plugins=[BearerPlugin()],
        openapi_config=None,
        logging_config=None,
    )
    asgi_app: ASGIApp = app
    return asgi_app


def _background(postbox: Postbox) -> list[Any]:
    @post("/background", status_code=200)
    async def post_background() -> Response[dict[str, Any]]:
        postbox.expect()
        return Response({}, background=BackgroundTask(postbox.put))

    @get("/background")
    async def get_background() -> dict[str, Any] | None:
        return await postbox.take()

    return [post_background, get_background]


@get(["/health", "/whoami"])
async def whoami(request: AnyRequest) -> dict[str, Any]:
    return callers(request.scope)


@head("/whoami")
async def head_whoami() -> None: ...


@get("/sync", sync_to_thread=True)
def whoami_in_a_thread(request: AnyRequest) -> dict[str, Any]:
    return callers(request.scope)


@post("/echo", status_code=200, media_type="application/octet-stream")
async def echo(request: AnyRequest) -> bytes:
    return await request.body()


@get("/sensitive")
async def sensitive(request: AnyRequest) -> dict[str, Any]:
    request.auth.require_scopes("data:read_sensitive")
    return callers(request.scope)


@get(["/guarded", "/health/guarded"], guards=[requires("data:read_sensitive")])
async def guarded(request: AnyRequest) -> dict[str, Any]:
    return callers(request.scope)


@get("/guarded/sync", sync_to_thread=True, guards=[requires(scopes("data:read_sensitive"))])
def guarded_in_a_thread(request: AnyRequest) -> dict[str, Any]:
    return callers(request.scope)


@get("/own")
async def own(request: AnyRequest) -> dict[str, Any]:
    return own_names(request)


@websocket("/ws")
async def talk(socket: AnyWebSocket) -> None:
    await socket.accept()
    await socket.send_json(callers(socket.scope))
    async for text in socket.iter_data("text"):
        await socket.send_text(text)


@websocket("/ws/guarded", guards=[requires("data:read_sensitive")])
async def guarded_websocket(socket: AnyWebSocket) -> None:
    await socket.accept()


_GUARDED = (guarded, guarded_in_a_thread, guarded_websocket)
