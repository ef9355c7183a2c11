"""Quart, on trio Quart-Trio, with the door around its `asgi_app`."""

from typing import Any

from frameworks.apps.common import DOOR, Arrivals, ASGIApp, Postbox, callers
from quart import Quart, request, websocket
from quart_trio import QuartTrio

from asgi_bearer import BearerMiddleware, TokenVerifier, get_access_token, scopes
from asgi_bearer.integrations.quart import init_app, requires


def build(verifier: TokenVerifier, arrivals: list[str]) -> ASGIApp:
    return _build(Quart(__name__), verifier, arrivals)


def build_on_trio(verifier: TokenVerifier, arrivals: list[str]) -> ASGIApp:
    return _build(QuartTrio(__name__), verifier, arrivals)


def _build(app: Any, verifier: TokenVerifier, arrivals: list[str]) -> ASGIApp:
    app.asgi_app = BearerMiddleware(Arrivals(app.asgi_app, arrivals), verifier, **DOOR)
    init_app(app)
    _add_routes(app)
    _add_background(app, Postbox())
    asgi_app: ASGIApp = app
    return asgi_app


def _add_routes(app: Quart) -> None:
    @app.get("/health")
    @app.get("/whoami")
    async def whoami() -> dict[str, Any]:
        return callers(request.scope)

    @app.get("/sync")
    def whoami_in_a_thread() -> dict[str, Any]:
        return callers(request.scope)

    @app.post("/echo")
    async def echo() -> str | bytes:
        return await request.get_data()

    @app.get("/sensitive")
    async def sensitive() -> dict[str, Any]:
        token = get_access_token()
        assert token is not None
        token.require_scopes("data:read_sensitive")
        return callers(request.scope)

    @app.get("/guarded")
    @app.get("/health/guarded")
    @requires("data:read_sensitive")
    async def guarded() -> dict[str, Any]:
        return callers(request.scope)

    @app.get("/guarded/sync")
    @requires(scopes("data:read_sensitive"))
    def guarded_in_a_thread() -> dict[str, Any]:
        return callers(request.scope)

    @app.websocket("/ws/guarded")
    @requires("data:read_sensitive")
    async def guarded_websocket() -> None:
        await websocket.accept()

    @app.websocket("/ws")
    async def talk() -> None:
        await websocket.send_json(callers(websocket.scope))
        while True:
            await websocket.send(await websocket.receive())


def _add_background(app: Quart, postbox: Postbox) -> None:
    @app.post("/background")
    async def post_background() -> dict[str, Any]:
        postbox.expect()
        app.add_background_task(postbox.put)
        return {}

    @app.get("/background")
    async def get_background() -> dict[str, Any]:
        return await postbox.take() or {}
