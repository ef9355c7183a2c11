"""Streams and websockets that go on for longer than their token does (RFC 6455 section 7.4, IANA code 3000). Floor 4.

The rules: only what is a stream by then is ended, so no answer is cut short that was on its way; what the application
raises passes untouched; a client can tell an answer that was broken off from one that came to its end.
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    ASGIApp = Callable[[Any, Any, Any], Awaitable[None]]

# So that a clock that is set, or a machine that slept, is noticed.
_LONGEST_SLEEP = 3600.0
_LAST_WORD = 1.0
_UNAUTHORIZED = 3000


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """How long a connection may go on: until `end` (epoch seconds by `clock`), where that is a number.

    `is_still_good` is asked `every` so many seconds, where that is a number; False ends it at once. `sleep` and
    `monotonic` are the event loop's.
    """

    end: float | None
    clock: Callable[[], float]
    every: float | None
    is_still_good: Callable[[], Awaitable[bool]]
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    monotonic: Callable[[], float] = anyio.current_time

    async def run(self) -> None:
        """Return when it is over."""
        next_look = math.inf if self.every is None else self.monotonic() + self.every
        while True:
            left = math.inf if self.end is None else self.end - self.clock()
            await self.sleep(max(0.0, min(left, next_look - self.monotonic(), _LONGEST_SLEEP)))
            if self.end is not None and self.clock() >= self.end:
                return
            if self.every is not None and self.monotonic() >= next_look:
                is_good = True
                # A verifier that hangs keeps nothing open for longer than its token.
                with anyio.move_on_after(None if self.end is None else max(0.0, self.end - self.clock())):
                    is_good = await self.is_still_good()
                if not is_good:
                    return
                next_look = self.monotonic() + self.every


def ended_in_time(app: ASGIApp, term: Term) -> ASGIApp:
    """Return `app` with its streams ended when `term` is over.

    A stream is a websocket that was accepted, and an HTTP response of unknown length of which more is to come: one of
    events (text/event-stream) from its start, any other from its first part. A websocket is closed with 3000; a stream
    of events comes to its end, and anything else is broken off.
    """

    async def call(scope: Any, receive: Any, send: Any) -> None:
        stream = _Stream(scope["type"], send)
        failure: Exception | None = None

        async def watch() -> None:
            with stream.watch:
                await stream.has_begun.wait()
                await term.run()
                stream.is_too_old = True
                tasks.cancel_scope.cancel()

        async def receive_until_over() -> MutableMapping[str, Any]:
            message: MutableMapping[str, Any] = await receive()
            if message["type"] in {"http.disconnect", "websocket.disconnect"}:
                stream.finish()
            return message

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            try:
                await app(scope, receive_until_over, stream.send)
            except Exception as error:  # noqa: BLE001  # raised below: within the group it would become a group
                failure = error
            tasks.cancel_scope.cancel()
        await stream.end()
        if failure is not None:
            raise failure

    return call


class _Stream:
    """What the application sends, and whether it is a stream, and ended."""

    def __init__(self, kind: str, send: Callable[[Any], Awaitable[None]]) -> None:
        self._kind = kind
        self._send = send
        self._headers: dict[bytes, bytes] = {}
        self._is_over = False
        self.has_begun = anyio.Event()
        self.is_too_old = False
        self.watch = anyio.CancelScope()

    async def send(self, message: MutableMapping[str, Any]) -> None:
        kind = message["type"]
        if kind == "http.response.start":
            self._headers = {bytes(name).lower(): bytes(value) for name, value in message.get("headers") or ()}
        elif kind in {"websocket.close", "websocket.http.response.start"} or (
            kind == "http.response.body" and not message.get("more_body")
        ):
            self.finish()
        await self._send(message)
        if not self._is_over and (kind == "websocket.accept" or self._is_open_ended(kind)):
            self.has_begun.set()

    def finish(self) -> None:
        """Note that it is over: what the application does from here on is its own business."""
        self._is_over = True
        self.watch.cancel()

    def _is_open_ended(self, kind: str) -> bool:
        # A stream of events may wait for its first one; of anything else, more is known to come with its first part.
        has_begun = kind == "http.response.body" or (kind == "http.response.start" and self._is_of_events)
        return has_begun and b"content-length" not in self._headers

    @property
    def _is_of_events(self) -> bool:
        return self._headers.get(b"content-type", b"").lower().startswith(b"text/event-stream")

    async def end(self) -> None:
        """Tell the client, where it was us who ended it."""
        if not self.is_too_old or self._is_over:
            return
        # The client may have gone, or may not read any more.
        with suppress(OSError), anyio.move_on_after(_LAST_WORD):
            if self._kind == "websocket":
                await self._send({"type": "websocket.close", "code": _UNAUTHORIZED, "reason": "the token has ended"})
            elif self._is_of_events:
                await self._send({"type": "http.response.body", "body": b"", "more_body": False})
