"""One attempt for many waiters, owned by nobody's request. Floor 2.

The rules: an attempt runs in a task of its own with an empty context, so that the end of the request that asked first
neither cancels nor colours it; who waits has a deadline of its own; when an attempt ends, however it ends, it is gone,
and the event loop lives on.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from contextvars import Context
from typing import TYPE_CHECKING, Generic, TypeVar

import anyio

from asgi_bearer.errors import VerifierUnavailable
from asgi_bearer.remote.per_loop import held_by_this_loop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Hashable

T = TypeVar("T")

_MANY = 64

_tasks: set[asyncio.Task[None]] = set()

_logger = logging.getLogger("asgi_bearer")


class Flight(Generic[T]):
    """One attempt under way."""

    def __init__(self) -> None:
        self.waiters: int = 0
        self.landed: anyio.Event = anyio.Event()
        self.result: T | None = None
        self.failure: BaseException | None = None


class Flights(Generic[T]):
    """The attempts under way, one at most for each key and event loop."""

    def under_way(self, key: Hashable) -> Flight[T] | None:
        """Return the attempt under way for `key`, if there is one."""
        return self._current().get(key)

    def launch(self, key: Hashable, attempt: Callable[[], Awaitable[T]]) -> Flight[T]:
        """Return the attempt under way for `key`, or start one. It does not wait."""
        flights = self._current()
        flight = flights.get(key)
        if flight is None:
            flight = flights[key] = Flight()
            _spawn(lambda: _fly(flights, key, flight, attempt))
        return flight

    def _current(self) -> dict[Hashable, Flight[T]]:
        flights: dict[Hashable, Flight[T]] = held_by_this_loop().setdefault(self, {})
        return flights


async def wait_for(flight: Flight[T], *, seconds: float, max_waiters: int) -> T:
    """Return what the attempt brings.

    Raises `VerifierUnavailable` when it has not ended after `seconds`, when it failed, and at once when `max_waiters`
    wait for it already.
    """
    if flight.waiters >= max_waiters:
        message = f"{max_waiters} requests wait for one answer already"
        raise VerifierUnavailable(message)
    flight.waiters += 1
    try:
        with anyio.move_on_after(seconds):
            await flight.landed.wait()
    finally:
        flight.waiters -= 1
    if flight.result is None:
        what = "took too long" if flight.failure is None else f"ended in {type(flight.failure).__name__}"
        message = f"an attempt to reach the authorization server {what}"
        raise VerifierUnavailable(message)
    return flight.result


async def _fly(
    flights: dict[Hashable, Flight[T]], key: Hashable, flight: Flight[T], attempt: Callable[[], Awaitable[T]]
) -> None:
    try:
        flight.result = await attempt()
    except GeneratorExit:
        # The event loop was closed under us: nobody is left to be told, and nothing to tell it with.
        raise
    except BaseException as error:
        flight.failure = error
        _land(flights, key, flight)
        if stops_the_loop(error):
            raise
        # Nobody above could handle it, and trio would end: the waiters are told.
        _logger.error("an attempt to reach the authorization server ended in %s", type(error).__name__)  # noqa: TRY400  # the text may hold anything
    else:
        _land(flights, key, flight)


def _land(flights: dict[Hashable, Flight[T]], key: Hashable, flight: Flight[T]) -> None:
    del flights[key]
    flight.landed.set()


def stops_the_loop(error: BaseException) -> bool:
    """Tell whether `error` is no failure of what was attempted, but the end of the task or of the process."""
    kinds = (anyio.get_cancelled_exc_class(), KeyboardInterrupt, SystemExit)
    # On trio, what is cancelled within a task group arrives as a group.
    return isinstance(error, kinds) or (isinstance(error, BaseExceptionGroup) and error.subgroup(kinds) is not None)


def _spawn(run: Callable[[], Coroutine[None, None, None]]) -> None:
    """Run in a task that belongs to the event loop, with nothing of the caller's context."""
    if _on_trio():
        import trio  # noqa: PLC0415  # there only where it is what runs us

        trio.lowlevel.spawn_system_task(run, context=Context())
        return
    if len(_tasks) > _MANY:
        # Tasks of an event loop that was closed under them never end.
        _tasks.difference_update([task for task in tuple(_tasks) if task.get_loop().is_closed()])
    task = asyncio.get_running_loop().create_task(run(), context=Context())
    _tasks.add(task)
    task.add_done_callback(_let_go)


def _let_go(task: asyncio.Task[None]) -> None:
    _tasks.discard(task)
    if not task.cancelled():
        # Looked at, so that asyncio does not say at some later time that nobody did: the waiters were told.
        task.exception()


def _on_trio() -> bool:
    # Another thread may be in the midst of the first import of it: then it is not what runs us.
    lowlevel = getattr(sys.modules.get("trio"), "lowlevel", None)
    return lowlevel is not None and bool(lowlevel.in_trio_task())
