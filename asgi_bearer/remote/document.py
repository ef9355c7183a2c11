"""A remote document: fetched once for all, refreshed ahead of time, kept in an outage (RFC 9111, in part). Floor 2.

The rules: reading takes no lock and no await; a document that is there is served whatever happens to its refresh, until
`max_stale`; a forced fetch (somebody asks for what the document does not have) has a budget of its own, and neither
budget spends the other's; both count attempts; only a usable answer replaces the document, and an older one never does.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from asgi_bearer.errors import VerifierUnavailable
from asgi_bearer.remote.flight import Flights, stops_the_loop, wait_for
from asgi_bearer.remote.http import FetchError
from asgi_bearer.rules import options

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from asgi_bearer.remote.flight import Flight

T = TypeVar("T")

MAX_RETRY_AFTER = 300.0
_REFRESH, _FORCED = "refresh", "forced"
_BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)

_logger = logging.getLogger("asgi_bearer")


def boottime() -> float:
    """Return seconds on a clock that nobody sets and that goes on while the machine is suspended."""
    return time.monotonic() if _BOOTTIME is None else time.clock_gettime(_BOOTTIME)


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """How long a document is good, and what may be spent on it. All in seconds but `max_waiters`.

    - `fresh` (300): how long, where the answer has no `Cache-Control: max-age`; else that, within `min_fresh` (60) and
      `max_fresh` (3600). A refresh begins at four fifths of it, give or take a tenth.
    - `max_stale` (86400): how long after the last success it is still served while it is not refreshed: because it
      cannot be, or because nobody asked for it; the request that finds it old is served and starts the refresh.
    - `cooldown` (10): between two forced fetches.
    - `max_backoff` (60): the longest pause after failures, which starts at 1 and doubles.
    - `wait` (2): how long a request waits for a fetch.
    - `max_waiters` (4096): how many may wait for the first document; `max_forced_waiters` (256): for a forced fetch.
    """

    fresh: float = 300.0
    min_fresh: float = 60.0
    max_fresh: float = 3600.0
    max_stale: float = 86400.0
    cooldown: float = 10.0
    max_backoff: float = 60.0
    wait: float = 2.0
    max_waiters: int = 4096
    max_forced_waiters: int = 256

    def __post_init__(self) -> None:
        for name in ("min_fresh", "max_stale", "cooldown", "wait"):
            options.seconds(name, getattr(self, name))
        for name in ("fresh", "max_fresh"):
            options.seconds(name, getattr(self, name), least=self.min_fresh)
        options.seconds("max_backoff", self.max_backoff, least=1.0)
        for name in ("max_waiters", "max_forced_waiters"):
            options.count(name, getattr(self, name), least=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched(Generic[T]):
    """What a fetch brought: a parsed document with its headers, or, with `value` None, that it is unchanged."""

    value: T | None
    headers: Mapping[str, str]


class Fetch(Protocol[T]):
    """How a document is fetched.

    `since` holds the headers of the one we have; `forced` asks caches on the way to step aside.
    """

    async def __call__(self, *, since: Mapping[str, str], forced: bool) -> Fetched[T]:
        """Return what was fetched; raise `FetchError` where the answer cannot be used."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot(Generic[T]):
    """A document as it was fetched. `generation` counts the documents that differed from the one before."""

    value: T
    headers: Mapping[str, str]
    generation: int
    fetched_at: float
    refresh_at: float
    stale_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How a remote document is, for readiness endpoints. Ages and pauses in seconds.

    `age` is None before the first success; the document may be served for `serves_for` more (0 where there is none);
    `failures` counts those since the last success; `last_error` is for operators.
    """

    age: float | None
    serves_for: float
    failures: int
    next_attempt_in: float
    generation: int
    last_error: str | None


class RemoteDocument(Generic[T]):
    """A document somewhere else, held in memory.

    `what` names it in messages; `fetch` gets it; `same` tells whether two documents mean the same; `told` is called
    after each attempt, with the status before it ended; `monotonic` and `uniform` are the clock and the source of
    jitter.
    """

    def __init__(
        self,
        what: str,
        fetch: Fetch[T],
        freshness: Freshness,
        *,
        same: Callable[[T, T], bool],
        told: Callable[[Status], None] = lambda _before: None,
        monotonic: Callable[[], float] = boottime,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._what = what
        self._fetch = fetch
        self._freshness = freshness
        self._same = same
        self._told = told
        self._monotonic = monotonic
        self._uniform = uniform
        self._snapshot: Snapshot[T] | None = None
        self._due_at = -1.0
        self._forced_after = -1.0
        self._forced_number = 0
        self._swap = threading.Lock()
        self._failures = 0
        self._last_error: str | None = None
        self._attempts = 0
        self._newest = 0
        self._flights: Flights[bool] = Flights()

    def peek(self) -> Snapshot[T] | None:
        """Return the document, or None where there is none that may be served. It starts a refresh that is due."""
        now = self._monotonic()
        snapshot = self._snapshot
        if now < self._due_at or snapshot is None:
            return snapshot if snapshot is not None and now < snapshot.stale_at else None
        self._launch(forced=False)
        return snapshot if now < snapshot.stale_at else None

    async def get(self, *, wait: float | None = None) -> Snapshot[T]:
        """Return the document, and wait for the first one, for `wait` seconds instead of the usual.

        Raises `VerifierUnavailable` where none can be served.
        """
        snapshot = self.peek()
        if snapshot is not None:
            return snapshot
        flight = self._flights.under_way(_REFRESH)
        if flight is None:
            self._require_due()
            flight = self._launch(forced=False)
        seconds = self._freshness.wait if wait is None else wait
        if await wait_for(flight, seconds=seconds, max_waiters=self._freshness.max_waiters):
            return self._require_snapshot()
        raise self._unavailable(self._due_at)

    async def renew(self) -> Snapshot[T]:
        """Return the document as it is now, for somebody who misses something in it.

        At most one fetch within `cooldown`. In between the answer is at once: the document, where the last attempt
        brought one, else `VerifierUnavailable`.
        """
        # Not a refresh that is under way: it may have begun before what is missed was there, or be answered by a cache.
        flight = self._flights.under_way(_FORCED)
        if flight is None:
            if self._monotonic() < self._forced_after:
                # Under way in another event loop, or ended with it: neither do we know.
                if self._failures or self._newest < self._forced_number:
                    raise self._unavailable(self._forced_after)
                return self._require_snapshot()
            flight = self._launch(forced=True)
        if await wait_for(flight, seconds=self._freshness.wait, max_waiters=self._freshness.max_forced_waiters):
            return self._require_snapshot()
        raise self._unavailable(self._forced_after)

    def restore(self, value: T, headers: Mapping[str, str], *, age: float) -> bool:
        """Begin with what was fetched `age` seconds ago; a refresh is due all the same. False where it is too old."""
        now = self._monotonic()
        snapshot = self._taken(value, headers, generation=1, at=now - age)
        if now < snapshot.stale_at:
            self._snapshot = snapshot
        return self._snapshot is snapshot

    def held(self) -> Snapshot[T] | None:
        """Return the document, even one that may not be served any more. It starts nothing."""
        return self._snapshot

    def status(self) -> Status:
        """Return how the document is."""
        now = self._monotonic()
        snapshot = self._snapshot
        return Status(
            age=None if snapshot is None else now - snapshot.fetched_at,
            serves_for=0.0 if snapshot is None else max(0.0, snapshot.stale_at - now),
            failures=self._failures,
            next_attempt_in=max(0.0, self._due_at - now),
            generation=0 if snapshot is None else snapshot.generation,
            last_error=self._last_error,
        )

    def _launch(self, *, forced: bool) -> Flight[bool]:
        if forced:
            # At the start, not at the end: an attempt that never ends counts as well.
            self._forced_after = self._monotonic() + self._freshness.cooldown
            self._forced_number = self._attempts + 1
        return self._flights.launch(_FORCED if forced else _REFRESH, lambda: self._attempt(forced=forced))

    async def _attempt(self, *, forced: bool) -> bool:
        """Fetch the document; tell whether that brought one."""
        since = self._snapshot
        self._attempts += 1
        number = self._attempts
        if forced:
            self._forced_number = number
        try:
            fetched = await self._fetch(since={} if since is None else since.headers, forced=forced)
            self._succeed(since, fetched, number)
        except FetchError as error:
            self._fail(str(error), error.retry_after or 0.0, forced=forced)
            return False
        except BaseException as error:
            if not stops_the_loop(error):
                self._fail(type(error).__name__, 0.0, forced=forced)
            raise
        return True

    def _succeed(self, since: Snapshot[T] | None, fetched: Fetched[T], number: int) -> None:
        value, headers = fetched.value, fetched.headers
        if value is None:
            if since is None:
                raise FetchError("the answer says 'not modified', and nothing was there to be modified")
            # RFC 9111 section 4.3.4: the headers of a 304 update those of the document.
            value, headers = since.value, {**since.headers, **headers}
        # Attempts of several event loops may end at once: no generation is that of two documents, no older one is last.
        with self._swap:
            if number < self._newest:
                return
            self._newest = number
            before, old = self.status(), self._snapshot
            generation = 1 if old is None else old.generation + 1
            if old is not None and self._same(old.value, value):
                # The very same objects, so that what was derived from them stays good.
                value, generation = old.value, old.generation
            self._snapshot = self._taken(value, headers, generation=generation, at=self._monotonic())
            self._failures, self._last_error, self._due_at = 0, None, self._snapshot.refresh_at
        self._told(before)

    def _taken(self, value: T, headers: Mapping[str, str], *, generation: int, at: float) -> Snapshot[T]:
        fresh = self._fresh_for(headers)
        return Snapshot(
            value=value,
            headers=headers,
            generation=generation,
            fetched_at=at,
            refresh_at=at + 0.8 * fresh * self._uniform(0.9, 1.1),
            stale_at=at + max(self._freshness.max_stale, fresh),
        )

    def _fail(self, why: str, retry_after: float, *, forced: bool) -> None:
        before = self.status()
        _logger.warning("%s cannot be fetched: %s", self._what, why)
        now = self._monotonic()
        self._failures += 1
        self._last_error = why
        if not forced:
            pause = min(self._freshness.max_backoff, 2.0 ** min(self._failures - 1, 16)) * self._uniform(0.5, 1.0)
            self._due_at = now + pause
        # RFC 9110 section 10.2.3, within reason; it is the server that asks, so it holds for both budgets.
        until = now + min(retry_after, MAX_RETRY_AFTER)
        self._due_at, self._forced_after = max(self._due_at, until), max(self._forced_after, until)
        self._told(before)

    def _fresh_for(self, headers: Mapping[str, str]) -> float:
        stated = max_age(headers)
        wanted = self._freshness.fresh if stated is None else stated
        return min(max(wanted, self._freshness.min_fresh), self._freshness.max_fresh)

    def _require_due(self) -> None:
        if self._failures and self._monotonic() < self._due_at:
            raise self._unavailable(self._due_at)

    def _require_snapshot(self) -> Snapshot[T]:
        snapshot = self._snapshot
        if snapshot is None or self._monotonic() >= snapshot.stale_at:
            raise self._unavailable(self._due_at)
        return snapshot

    def _unavailable(self, until: float) -> VerifierUnavailable:
        message = f"{self._what} cannot be had: {self._last_error or 'no attempt has ended'}"
        return VerifierUnavailable(message, max(1.0, until - self._monotonic()))


def max_age(headers: Mapping[str, str]) -> float | None:
    """Return the max-age of Cache-Control in seconds (RFC 9111 section 5.2.2.1), None where there is none to read."""
    for directive in headers.get("cache-control", "").split(","):
        name, _, value = directive.strip().partition("=")
        digits = value.strip('"')
        if name.lower() == "max-age" and digits.isdecimal():
            return float(digits)
    return None
