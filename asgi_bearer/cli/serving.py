"""Serves applications on loopback sockets, in one process and one event loop, until it is told to stop. Floor 7."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import uvicorn

from asgi_bearer.cli.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Sequence

    from anyio.abc import TaskStatus

T = TypeVar("T")

HOST = "127.0.0.1"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SECONDS_FOR_OPEN_REQUESTS = 2


def listen(port: int, option: str) -> socket.socket:
    """Return a socket that listens on `port` of loopback, 0 for a free one; raise `Failure`, which names `option`."""
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        reason = os.strerror(error.errno or 0)
    raise Failure(f"port {port} of {HOST} cannot be used ({reason}): choose another one with {option}")


def address(listening: socket.socket) -> str:
    """Return the URL at which the socket is reached."""
    return f"http://{HOST}:{listening.getsockname()[1]}"


def serve(
    apps: Sequence[tuple[Any, socket.socket]], main: Callable[[], Awaitable[T]], close: Callable[[], Awaitable[None]]
) -> T | None:
    """Serve each app on its socket, started in this order, while `main` runs; then `close`.

    Returns what `main` returns, or None where SIGINT or SIGTERM ended it. Requests then have two seconds to finish.
    Raises `Failure` where an application does not start.
    """
    log = logging.getLogger("uvicorn.error")
    log.addFilter(_is_worth_a_traceback)
    try:
        return anyio.run(_serve, apps, main, close)
    finally:
        log.removeFilter(_is_worth_a_traceback)


def _is_worth_a_traceback(record: logging.LogRecord) -> bool:
    """Tell whether this is no request that we ended ourselves: an open stream does not make Ctrl-C a fault."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


async def _serve(
    apps: Sequence[tuple[Any, socket.socket]], main: Callable[[], Awaitable[T]], close: Callable[[], Awaitable[None]]
) -> T | None:
    result = None
    servers = [_Server(app, listening) for app, listening in apps]
    async with anyio.create_task_group() as tasks:
        with _ended_by_signals():
            for server in servers:
                await tasks.start(server.run_until_told)
            if all(server.started for server in servers):
                result = await main()
        for server in servers:
            server.should_exit = True
    # Not left to the lifespan: an application that does not speak it would keep the connections open.
    await close()
    if any(server.refused for server in servers):
        raise Failure("the application did not start: what it raised stands above")
    return result


class _Server(uvicorn.Server):
    """A server that tells when it is ready, and leaves signals and the end of the process to its caller."""

    def __init__(self, app: Any, listening: socket.socket) -> None:
        # No access log: a query may hold what no log should.
        config = uvicorn.Config(
            app, interface="asgi3", log_config=None, timeout_graceful_shutdown=_SECONDS_FOR_OPEN_REQUESTS
        )
        super().__init__(config)
        self.refused = False
        self._listening = listening

    async def run_until_told(self, *, task_status: TaskStatus[None]) -> None:
        self._task_status = task_status
        try:
            await self.serve(sockets=[self._listening])
        except SystemExit:
            # The application's lifespan failed, and uvicorn would end the process here.
            self.refused = True
            task_status.started()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._task_status.started()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        # Of several servers in one process, only the last would hear them.
        yield


@contextmanager
def _ended_by_signals() -> Generator[None]:
    """Cancel the block at SIGINT or SIGTERM, and let what was there before hear a second one."""
    loop = asyncio.get_running_loop()
    with anyio.CancelScope() as block:

        def end(*_: object) -> None:
            loop.call_soon_threadsafe(block.cancel)

        before = {number: signal.signal(number, end) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
