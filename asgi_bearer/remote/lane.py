"""How much of a server may be asked at once: places, a queue before them, and a pause after failures. Floor 2.

The rules: so many attempts at once, a queue that is bounded in length and time, and nobody waits for a server that has
failed several times in a row: after a pause a few attempts probe it, and the first answer opens it to everybody.
A few and not one: else whoever knows a request that it fails at could keep it closed with one request a pause.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, TypeVar

import anyio

from asgi_bearer.remote.document import boottime
from asgi_bearer.remote.http import FetchError
from asgi_bearer.remote.per_loop import held_by_this_loop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

_FAILURES = 5
_PROBES = 3
_MAX_PAUSE = 30.0


class BusyError(FetchError):
    """It was not asked: too many ask already, or it has failed too often. `retry_after` is in seconds."""


class Lane:
    """Attempts at one server that share places and fortune.

    - `places`: how many at once, in each event loop. `max_queue`: how many wait for a place. `wait`: seconds that they
      wait at most.
    - `longest`: how many seconds an attempt takes at most.
    - `blamed`: tells whether a `FetchError` is the server's failure; one that is not counts as an answer.
    - `monotonic` and `uniform` are the clock and the source of jitter.

    After five failures in a row the lane is closed: for 2 seconds, and twice as long each time three probes fail, up to
    30, less up to a quarter of it at random.
    """

    def __init__(
        self,
        *,
        places: int,
        max_queue: int = 256,
        wait: float = 1.0,
        longest: float,
        blamed: Callable[[FetchError], bool],
        monotonic: Callable[[], float] = boottime,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._places = places
        self._max_queue = max_queue
        self._wait = wait
        self._longest = longest
        self._blamed = blamed
        self._monotonic = monotonic
        self._uniform = uniform
        self._failures = 0
        self._closings = 0
        self._pauses = 0
        self._closed_until: float | None = None
        self._probes = 0
        self._probes_until = 0.0

    def require_room(self) -> None:
        """Raise `BusyError` where an attempt would be refused at once: then nothing need be begun for it."""
        self._require_open()
        if self._at_hand().statistics().tasks_waiting >= self._max_queue:
            raise BusyError(f"{self._max_queue} requests wait to be asked for already")

    async def run(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Return what `attempt` returns, in its turn. Raises what it raises, and `BusyError` where that never comes."""
        self.require_room()
        places = self._at_hand()
        try:
            places.acquire_nowait()
        except anyio.WouldBlock:
            await self._queue(places)
        try:
            # It may have been closed meanwhile.
            self._require_open()
            return await self._watched(attempt)
        finally:
            places.release()

    async def _queue(self, places: anyio.Semaphore) -> None:
        with anyio.move_on_after(self._wait) as waiting:
            await places.acquire()
        if waiting.cancelled_caught:
            raise BusyError(f"no place came free within {self._wait:g} s")

    async def _watched(self, attempt: Callable[[], Awaitable[T]]) -> T:
        closings = self._closings
        if self._closed_until is not None:
            # We got here, so its pause is over.
            self._count_probe()
        try:
            result = await attempt()
        except FetchError as error:
            if not self._blamed(error):
                self._open()
            elif closings == self._closings:
                # Those that were under way when it was closed tell nothing new.
                self._fail(error.retry_after or 0.0)
            raise
        self._open()
        return result

    def _count_probe(self) -> None:
        now = self._monotonic()
        if now >= self._probes_until:
            # Those before are over, be it without an outcome: cancelled, or with their event loop.
            self._probes = 0
            self._probes_until = now + self._longest
        self._probes += 1

    def _open(self) -> None:
        self._failures = self._pauses = 0
        self._closed_until = None

    def _fail(self, retry_after: float) -> None:
        self._failures += 1
        if self._failures < _FAILURES:
            return
        self._closings += 1
        # So that three more close it again.
        self._failures = _FAILURES - _PROBES
        self._probes_until = 0.0
        self._pauses = min(self._pauses + 1, 10)
        pause = min(_MAX_PAUSE, 2.0**self._pauses) * self._uniform(0.75, 1.0)
        # RFC 9110 section 10.2.3, within reason
        self._closed_until = self._monotonic() + max(pause, min(retry_after, _MAX_PAUSE))

    def _require_open(self) -> None:
        # Once, since other threads open it, too.
        closed_until = self._closed_until
        if closed_until is None:
            return
        now = self._monotonic()
        probed = self._probes >= _PROBES and now < self._probes_until
        if now < closed_until or probed:
            raise BusyError("it has failed several times in a row", retry_after=max(1.0, closed_until - now))

    def _at_hand(self) -> anyio.Semaphore:
        """Return the places of this event loop."""
        held = held_by_this_loop()
        places: anyio.Semaphore | None = held.get(self)
        if places is None:
            places = held[self] = anyio.Semaphore(self._places, fast_acquire=True)
        return places
