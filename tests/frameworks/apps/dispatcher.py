"""All applications in one: the first segment of the path names the application, as a mount does."""

import json
from collections.abc import Mapping

import anyio
from anyio.abc import TaskStatus
from frameworks.apps import bare, django, fastapi, litestar, quart, starlette
from frameworks.apps.common import ASGIApp, Receive, Scope, Send

from asgi_bearer import TokenVerifier

_BUILDERS = {
    "starlette": starlette.build,
    "fastapi": fastapi.build,
    "quart": quart.build,
    "litestar": litestar.build,
    "django": django.build,
    "bare": bare.build,
}
# Django awaits asyncio's primitives. Quart does, too, and has a sister that does not.
_ON_TRIO = {name: builder for name, builder in _BUILDERS.items() if name != "django"} | {"quart": quart.build_on_trio}

APPS = {"asyncio": tuple(_BUILDERS), "trio": tuple(_ON_TRIO)}


def build(verifier: TokenVerifier, backend: str) -> "Dispatcher":
    """Return every application that runs on `backend`, each behind a door of its own."""
    builders = _ON_TRIO if backend == "trio" else _BUILDERS
    arrivals: dict[str, list[str]] = {name: [] for name in builders}
    return Dispatcher({name: build_app(verifier, arrivals[name]) for name, build_app in builders.items()}, arrivals)


class Dispatcher:
    """Beside the applications it has two paths of its own.

    - `/arrivals` tells who came through which door.
    - `/no-denial/...` is the same as `...` on a server that cannot answer a websocket with an HTTP response.
    """

    def __init__(self, apps: Mapping[str, ASGIApp], arrivals: Mapping[str, list[str]]) -> None:
        self._apps = apps
        self._arrivals = arrivals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
            return
        root = scope.get("root_path", "")
        name = scope["path"][len(root) :].split("/")[1]
        if name == "arrivals":
            await self._tell_arrivals(send)
            return
        scope = {**scope, "root_path": f"{root}/{name}"}
        if name == "no-denial":
            extensions = {key: value for key, value in scope["extensions"].items() if key != "websocket.http.response"}
            await self({**scope, "extensions": extensions}, receive, send)
        else:
            await self._apps[name](scope, receive, send)

    async def _tell_arrivals(self, send: Send) -> None:
        body = json.dumps(self._arrivals).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        lives = [_Life(app, scope) for app in self._apps.values()]
        async with anyio.create_task_group() as group:
            await receive()
            for life in lives:
                await group.start(life.run)
            await send({"type": "lifespan.startup.complete"})
            await receive()
            for life in lives:
                life.end.set()
        await send({"type": "lifespan.shutdown.complete"})


class _Life:
    """The lifespan of one of the applications; one that knows of none has none."""

    def __init__(self, app: ASGIApp, scope: Scope) -> None:
        self._app = app
        self._scope: Scope = {**scope, "state": {}}
        self._started = False
        self.end = anyio.Event()

    async def run(self, *, task_status: TaskStatus[None]) -> None:
        async def receive() -> dict[str, str]:
            if not self._started:
                return {"type": "lifespan.startup"}
            await self.end.wait()
            return {"type": "lifespan.shutdown"}

        async def send(message: Mapping[str, str]) -> None:
            if message["type"] == "lifespan.startup.complete":
                self._started = True
                task_status.started()
            elif message["type"].endswith("failed"):
                raise RuntimeError(message)

        try:
            await self._app(self._scope, receive, send)
        except ValueError:
            # Django's word for a scope that it does not know
            if self._started:
                raise
            task_status.started()
