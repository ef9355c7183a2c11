"""Tokens of browsers, which cannot set headers for websockets: as a subprotocol (RFC 6455 section 1.9). Floor 4.

`new WebSocket(url, ["bearer", token])` offers two subprotocols, of which the second is the token. The rules: the
application sees neither; where it chooses none of its own, the first is answered, since browsers break off otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    ASGIApp = Callable[[Any, Any, Any], Awaitable[None]]


def without_token(app: ASGIApp, marker: str) -> ASGIApp:
    """Return `app` as websockets are to call it that offer `marker` and a token behind it."""

    async def call(scope: Any, receive: Any, send: Any) -> None:
        offered: list[str] = list(scope.get("subprotocols") or ())
        if marker not in offered:
            await app(scope, receive, send)
            return

        async def answer(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "websocket.accept" and not message.get("subprotocol"):
                message = {**message, "subprotocol": marker}
            await send(message)

        place = offered.index(marker)
        await app({**scope, "subprotocols": offered[:place] + offered[place + 2 :]}, receive, answer)

    return call
