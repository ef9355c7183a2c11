"""Small stand-ins that tests pass in: a clock one can turn, and an app that shows what it was given."""

from __future__ import annotations

import json
from typing import Any

import httpx2

from asgi_bearer import get_access_token


class Clock:
    """A clock that stands still until it is told to go on; it serves as wall clock and as monotonic clock."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class Echo:
    """A bare ASGI application that answers 200 and says who is calling; it keeps the scopes it was called with."""

    def __init__(self) -> None:
        self.scopes: list[dict[str, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        token = get_access_token()
        caller = None if token is None else {"client_id": token.client_id, "scopes": token.scopes, "sub": token.subject}
        body = json.dumps(caller).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def client_for(app: Any) -> httpx2.AsyncClient:
    """Return a client that calls `app` in process."""
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://app.example")


def bearer(token: str) -> dict[str, str]:
    """Return the headers of a request with `token`."""
    return {"authorization": f"Bearer {token}"}


def http_scope(*headers: tuple[bytes, bytes], method: str = "GET", path: str = "/", **others: Any) -> dict[str, Any]:
    """Return the scope of a request, as a server hands it over."""
    raw_path = path.encode()
    return {"type": "http", "method": method, "path": path, "raw_path": raw_path, "headers": list(headers), **others}


def websocket_scope(*headers: tuple[bytes, bytes], path: str = "/", **others: Any) -> dict[str, Any]:
    """Return the scope of a websocket, as a server hands it over."""
    return {"type": "websocket", "path": path, "headers": list(headers), **others}


async def call(app: Any, scope: dict[str, Any], *incoming: dict[str, Any]) -> list[dict[str, Any]]:
    """Call `app` once; it receives `incoming` one by one. Return what it sent."""
    waiting, sent = list(incoming), []

    async def receive() -> dict[str, Any]:
        return waiting.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent
