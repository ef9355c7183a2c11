"""FastAPI, with the door added by `add_middleware`."""

from typing import Annotated, Any

from fastapi import BackgroundTasks, Depends, FastAPI, Request, Response, Security, WebSocket
from frameworks.apps.common import DOOR, Arrivals, ASGIApp, Postbox, callers, own_names

from asgi_bearer import AccessToken, BearerMiddleware, TokenVerifier, get_access_token, scopes
from asgi_bearer.integrations.fastapi import BearerAuth

auth = BearerAuth()
SensitiveReader = Annotated[AccessToken, Security(auth, scopes=["data:read_sensitive"])]


def build(verifier: TokenVerifier, arrivals: list[str]) -> ASGIApp:
    app = FastAPI(openapi_url=None)
    app.add_middleware(Arrivals, notes=arrivals)
    # What is added last is the outermost.
    app.add_middleware(BearerMiddleware, verifier=verifier, **DOOR)
    _add_routes(app)
    _add_guarded_routes(app)
    _add_background(app, Postbox())
    return app


def _add_routes(app: FastAPI) -> None:
    @app.get("/health")
    @app.get("/whoami")
    async def whoami(request: Request) -> dict[str, Any]:
        return callers(request.scope)

    @app.get("/sync")
    def whoami_in_a_thread(request: Request) -> dict[str, Any]:
        return callers(request.scope)

    @app.post("/echo")
    async def echo(request: Request) -> Response:
        return Response(await request.body())

    @app.get("/sensitive")
    def sensitive(request: Request) -> dict[str, Any]:
        token = get_access_token()
        assert token is not None
        token.require_scopes("data:read_sensitive")
        return callers(request.scope)

    @app.get("/own")
    async def own(request: Request) -> dict[str, Any]:
        return own_names(request)

    @app.websocket("/ws")
    async def talk(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_json(callers(websocket.scope))
        async for text in websocket.iter_text():
            await websocket.send_text(text)


def _add_guarded_routes(app: FastAPI) -> None:
    @app.get("/guarded")
    async def guarded(request: Request, token: SensitiveReader) -> dict[str, Any]:
        assert token is request.auth
        return callers(request.scope)

    @app.get("/guarded/sync", dependencies=[Depends(auth.require(scopes("data:read_sensitive")))])
    def guarded_in_a_thread(request: Request) -> dict[str, Any]:
        return callers(request.scope)

    @app.get("/health/guarded")
    async def guarded_public_path(request: Request, token: Annotated[AccessToken, Depends(auth)]) -> dict[str, Any]:
        return callers(request.scope)

    @app.websocket("/ws/guarded")
    async def guarded_websocket(websocket: WebSocket, token: SensitiveReader) -> None:
        await websocket.accept()


def _add_background(app: FastAPI, postbox: Postbox) -> None:
    @app.post("/background")
    async def post_background(tasks: BackgroundTasks) -> dict[str, Any]:
        postbox.expect()
        tasks.add_task(postbox.put)
        return {}

    @app.get("/background")
    async def get_background() -> dict[str, Any] | None:
        return await postbox.take()
