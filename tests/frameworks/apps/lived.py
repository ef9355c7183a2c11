"""What goes on for longer than its token: events, a download, and a websocket, behind a door that ends them.

The servers import `app`. The token's life is the clock's: it ends a moment after the door was opened to it.
"""

import os
import time
from typing import Any

import anyio

from asgi_bearer import BearerMiddleware, StaticTokenVerifier, get_access_token

EXP = 1_800_000_000
LIFE = 0.3

_began: dict[str, float] = {}


def _clock() -> float:
    """Count from the moment at which the connection of this path was opened."""
    return EXP - LIFE + time.monotonic() - _began.get("opened", time.monotonic())


async def _application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await _live(receive, send)
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await _go_on(send, "websocket.send", "text", "tick")
    elif scope["path"] == "/":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
        await send({"type": "http.response.body", "body": os.environ.get("LIVED_PAGE", "").encode()})
    else:
        kind = b"text/event-stream" if scope["path"] == "/events" else b"application/octet-stream"
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
        await _go_on(send, "http.response.body", "body", b"data: tick\n\n", more_body=True)


async def _live(receive: Any, send: Any) -> None:
    for stage in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{stage}.complete"})


async def _go_on(send: Any, kind: str, name: str, content: Any, **members: Any) -> None:
    token = get_access_token()
    assert token is not None
    while True:
        await send({"type": kind, name: content, **members})
        await anyio.sleep(0.05)


_door = BearerMiddleware(
    _application,
    StaticTokenVerifier(
        {os.environ.get("LIVED_TOKEN", "none"): {"client_id": "app", "expires_at": EXP}}, clock=lambda: 0
    ),
    close_at_expiry=True,
    websocket_subprotocol="bearer",
    public=["/"],
    clock=_clock,
)


async def app(scope: Any, receive: Any, send: Any) -> None:
    _began["opened"] = time.monotonic()
    await _door(scope, receive, send)
