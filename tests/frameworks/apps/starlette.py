"""Starlette, with the door as its middleware."""

from frameworks.apps.common import DOOR, Arrivals, ASGIApp, Postbox, callers, own_names
from starlette.applications import Starlette
from starlette.authentication import requires
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from asgi_bearer import AccessToken, BearerMiddleware, TokenVerifier, scopes
from asgi_bearer.integrations import starlette as integration


def build(verifier: TokenVerifier, arrivals: list[str]) -> ASGIApp:
    postbox = Postbox()

    async def post_background(_: Request) -> Response:
        postbox.expect()
        return JSONResponse({}, background=BackgroundTask(postbox.put))

    async def get_background(_: Request) -> Response:
        return JSONResponse(await postbox.take())

    return Starlette(
        routes=[
            Route("/health", whoami),
            Route("/whoami", whoami),
            Route("/sync", whoami_in_a_thread),
            Route("/echo", echo, methods=["POST"]),
            Route("/sensitive", sensitive),
            Route("/own", own),
            Route("/requires/read", requires_read),
            Route("/requires/admin", requires_admin),
            Route("/guarded", guarded),
            Route("/guarded/sync", guarded_in_a_thread),
            Route("/health/guarded", guarded),
            WebSocketRoute("/ws/guarded", guarded_websocket),
            Route("/background", post_background, methods=["POST"]),
            Route("/background", get_background),
            WebSocketRoute("/ws", talk),
        ],
        middleware=[Middleware(BearerMiddleware, verifier, **DOOR), Middleware(Arrivals, arrivals)],
    )


async def whoami(request: Request) -> Response:
    return JSONResponse(callers(request.scope))


def whoami_in_a_thread(request: Request) -> Response:
    return JSONResponse(callers(request.scope))


async def echo(request: Request) -> Response:
    return Response(await request.body())


async def sensitive(request: Request) -> Response:
    token: AccessToken = request.auth
    token.require_scopes("data:read_sensitive")
    return JSONResponse(callers(request.scope))


async def own(request: Request) -> Response:
    return JSONResponse(own_names(request))


@requires("read")
async def requires_read(request: Request) -> Response:
    return JSONResponse(callers(request.scope))


@requires("admin")
async def requires_admin(request: Request) -> Response:
    return JSONResponse(callers(request.scope))


@integration.requires("data:read_sensitive")
async def guarded(request: Request) -> Response:
    return JSONResponse(callers(request.scope))


@integration.requires(scopes("data:read_sensitive"))
def guarded_in_a_thread(request: Request) -> Response:
    return JSONResponse(callers(request.scope))


@integration.requires("data:read_sensitive")
async def guarded_websocket(websocket: WebSocket) -> None:
    await websocket.accept()


async def talk(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_json(callers(websocket.scope))
    async for text in websocket.iter_text():
        await websocket.send_text(text)
