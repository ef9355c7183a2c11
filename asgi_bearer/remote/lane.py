"""How much of a server may be asked at once: places, a queue before them, and a pause after failures. Floor 2.

The rules: so many attempts at once, a queue that is bounded in length and time, and nobody waits for a server that has
failed several times in a row: after a pause one attempt probes it, and its outcome is everybody's.
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

_MAX_PAUSE = 30.0


class BusyError(FetchError):
    """It was not asked: too many ask already, or it has failed too often. `retry_after` is in seconds."""


class Lane:
    """Attempts at one server that share places and fortune.

    - `places`: how many at once, in each event loop. `max_queue`: how many wait for a place. `wait`: seconds that they
      wait at most.
    - `failures`: after so many in a row the lane is closed: for 2 seconds, and twice as long each time the probe fails,
      up to 30, less up to a quarter of it at random.
    - `blamed`: tells whether a `FetchError` says something of the server; one that does not counts for nothing.
    - `monotonic` and `uniform` are the clock and the source of jitter.
    """

    def __init__(
        self,
        *,
        places: int,
        max_queue: int = 256,
        wait: float = 1.0,
        failures: int = 5,
        blamed: Callable[[FetchError], bool],
        monotonic: Callable[[], float] = boottime,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._places = places
        self._max_queue = max_queue
        self._wait = wait
        self._most_failures = failures
        self._blamed = blamed
        self._monotonic = monotonic
        self._uniform = uniform
        self._failures = 0
        self._closings = 0
        self._pauses = 0
        self._closed_until: float | None = None
        self._probing = False

    def require_room(self) -> None:
        """Raise `BusyError` where an attempt would be refused at once: then nothing need be begun for it."""
        self._require_open()
        if self._at_hand().statistics().tasks_waiting >= self._max_queue:
            raise BusyError(f"{self._max_queue} requests wait to be asked for already")

    async def run(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Return what `attempt` returns, in its turn. Raises what it raises, and `BusyError` where that never comes."""
        self.require_room()
        places = self._at_hand()
        with anyio.move_on_after(self._wait) as waiting:
            await places.acquire()
        if waiting.cancelled_caught:
            raise BusyError(f"no place came free within {self._wait:g} s")
        try:
            # It may have been closed meanwhile.
            self._require_open()
            return await self._watched(attempt)
        finally:
            places.release()

    async def _watched(self, attempt: Callable[[], Awaitable[T]]) -> T:
        closings = self._closings
        # Where it is closed and we got here, its pause is over.
        is_probe = self._probing = self._closed_until is not None
        try:
            result = await attempt()
        except FetchError as error:
            # Those that were under way when it was closed tell nothing new.
            if self._blamed(error) and closings == self._closings:
                self._fail(error.retry_after or 0.0)
            raise
        finally:
            if is_probe:
                self._probing = False
        self._failures = self._pauses = 0
        self._closed_until = None
        return result

    def _fail(self, retry_after: float) -> None:
        self._failures += 1
        if self._failures < self._most_failures:
            return
        self._closings += 1
        self._pauses = min(self._pauses + 1, 10)
        pause = min(_MAX_PAUSE, 2.0**self._pauses) * self._uniform(0.75, 1.0)
        # RFC 9110 section 10.2.3, within reason
        self._closed_until = self._monotonic() + max(pause, min(retry_after, _MAX_PAUSE))

    def _require_open(self) -> None:
        if self._closed_until is None:
            return
        left = self._closed_until - self._monotonic()
        if left > 0 or self._probing:
            raise BusyError("it has failed several times in a row", retry_after=max(1.0, left))

    def _at_hand(self) -> anyio.Semaphore:
        """Return the places of this event loop."""
        held = held_by_this_loop()
        places: anyio.Semaphore | None = held.get(self)
        if places is None:
            places = held[self] = anyio.Semaphore(self._places, fast_acquire=True)
        return places
