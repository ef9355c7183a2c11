"""A bare ASGI callable, with the door around it."""

import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import anyio
import anyio.to_thread
from frameworks.apps.common import DOOR, Arrivals, ASGIApp, Receive, Scope, Send, callers

from asgi_bearer import BearerMiddleware, TokenVerifier, get_access_token

Handler: TypeAlias = Callable[[Scope, Receive], Awaitable[Any]]


def build(verifier: TokenVerifier, arrivals: list[str]) -> ASGIApp:
    return BearerMiddleware(Arrivals(Bare(), arrivals), verifier, **DOOR)


class Bare:
    """Routes by hand; `/stream` sends its second half when `/release` was called."""

    def __init__(self) -> None:
        self._released = anyio.Event()
        self._handlers: dict[str, Handler] = {
            "/health": whoami,
            "/whoami": whoami,
            "/sync": whoami_in_a_thread,
            "/echo": echo,
            "/sensitive": sensitive,
            "/release": self._release,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "websocket":
            await _talk(scope, receive, send)
        elif (path := scope["path"].removeprefix(scope["root_path"])) == "/stream":
            await self._stream(send)
        else:
            await _answer(send, await self._handlers[path](scope, receive))

    async def _release(self, _: Scope, __: Receive) -> dict[str, Any]:
        self._released.set()
        return {}

    async def _stream(self, send: Send) -> None:
        self._released = anyio.Event()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        with anyio.fail_after(10):
            await self._released.wait()
        await send({"type": "http.response.body", "body": b"second", "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _answer(send: Send, content: Any) -> None:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def whoami(scope: Scope, _: Receive) -> dict[str, Any]:
    return callers(scope)


async def whoami_in_a_thread(scope: Scope, _: Receive) -> dict[str, Any]:
    return await anyio.to_thread.run_sync(callers, scope)


async def echo(_: Scope, receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def sensitive(scope: Scope, _: Receive) -> dict[str, Any]:
    token = get_access_token()
    assert token is not None
    token.require_scopes("data:read_sensitive")
    return callers(scope)


async def _talk(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": json.dumps(callers(scope))})
    while (heard := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": heard["text"]})
