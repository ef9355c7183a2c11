"""A remote document: shared, refreshed ahead, kept through an outage. An hour here is an hour of the injected clock."""

from __future__ import annotations

import gzip
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import pytest
from anyio.lowlevel import checkpoint
from fakes import Clock
from fault_server import Answer, FaultServer, document, drip, endless, fault_server, hang, reset, text, truncate

from asgi_bearer.errors import VerifierUnavailable
from asgi_bearer.remote.discovery import read_document
from asgi_bearer.remote.document import Fetched, Freshness, RemoteDocument, boottime, max_age
from asgi_bearer.remote.http import FetchError, Limits, Request, fetch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

pytestmark = pytest.mark.anyio


class Provider:
    """What is fetched: a value with headers, a failure, or (with `gate`) nothing yet. It keeps how it was asked."""

    def __init__(self, value: str | None = "one", **headers: str) -> None:
        self.value = value
        self.headers: Mapping[str, str] = {name.replace("_", "-"): text for name, text in headers.items()}
        self.failure: BaseException | None = None
        self.gate: anyio.Event | None = None
        self.asked: list[tuple[dict[str, str], bool]] = []
        self.ended = 0

    async def __call__(self, *, since: Mapping[str, str], forced: bool) -> Fetched[str]:
        self.asked.append((dict(since), forced))
        answer = Fetched(value=self.value, headers=self.headers)
        try:
            if self.gate is not None:
                await self.gate.wait()
            if self.failure is not None:
                raise self.failure
        finally:
            self.ended += 1
        return answer


def remote(fetch: Any, clock: Clock, freshness: Freshness | None = None, jitter: float = 1.0) -> RemoteDocument[Any]:
    def uniform(low: float, high: float) -> float:
        return min(max(jitter, low), high)

    options = freshness or Freshness()
    return RemoteDocument("the document", fetch, options, same=str.__eq__, monotonic=clock, uniform=uniform)


async def settle() -> None:
    """Let what runs detached go on until it waits for the world."""
    await anyio.wait_all_tasks_blocked()


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


# Fresh


async def test_nothing_is_fetched_before_somebody_asks_and_then_it_is_there(clock: Clock) -> None:
    provider = Provider(etag="1")
    held = remote(provider, clock)
    assert held.peek() is None
    assert provider.asked == []

    snapshot = await held.get()
    assert (snapshot.value, snapshot.generation, snapshot.fetched_at) == ("one", 1, 1000.0)
    assert held.peek() is snapshot
    assert await held.get() is snapshot
    assert provider.asked == [({}, False)]


async def test_j1_a_thousand_cold_requests_make_one_fetch(clock: Clock) -> None:
    provider = Provider()
    provider.gate = anyio.Event()
    held = remote(provider, clock)
    values = []

    async def ask() -> None:
        values.append((await held.get()).value)

    async with anyio.create_task_group() as group:
        for _ in range(1000):
            group.start_soon(ask)
        await settle()
        provider.gate.set()
    assert (len(provider.asked), values) == (1, 1000 * ["one"])


@pytest.mark.parametrize(
    ("cache_control", "fresh"),
    [
        pytest.param(None, 300, id="nothing said"),
        pytest.param("max-age=600", 600, id="as stated"),
        pytest.param("max-age=15", 60, id="raised to the least"),
        pytest.param("max-age=0", 60, id="zero"),
        pytest.param("max-age=86400", 3600, id="lowered to the most"),
        pytest.param("max-age=" + 5000 * "9", 3600, id="beyond all numbers"),
        pytest.param('public, Max-Age="600", must-revalidate', 600, id="among others, quoted"),
        pytest.param("max-age=600, max-age=60", 600, id="twice: the first"),
        pytest.param("no-store", 300, id="no-store"),
        pytest.param("max-age=-5", 300, id="negative"),
        pytest.param("max-age=1.5", 300, id="with a fraction"),
        pytest.param("max-age", 300, id="without a value"),
        pytest.param("s-maxage=600", 300, id="of shared caches"),
    ],
)
async def test_ks9_a_document_is_fresh_for_its_max_age_within_bounds(
    clock: Clock, cache_control: str | None, fresh: float
) -> None:
    provider = Provider(**({} if cache_control is None else {"cache_control": cache_control}))
    held = remote(provider, clock)
    await held.get()

    # A refresh begins at four fifths.
    clock.advance(0.8 * fresh - 0.01)
    held.peek()
    await settle()
    assert len(provider.asked) == 1
    clock.advance(0.02)
    held.peek()
    await settle()
    assert len(provider.asked) == 2


def test_max_age_is_none_without_cache_control() -> None:
    assert max_age({}) is None


@pytest.mark.parametrize(("jitter", "after"), [(0.0, 0.72 * 300), (2.0, 0.88 * 300)], ids=["earliest", "latest"])
async def test_the_refresh_is_spread_by_a_tenth_so_that_workers_do_not_ask_together(
    clock: Clock, jitter: float, after: float
) -> None:
    held = remote(Provider(), clock, jitter=jitter)
    await held.get()

    assert held.status().next_attempt_in == pytest.approx(after)


async def test_during_a_refresh_the_document_is_served_without_waiting(clock: Clock) -> None:
    provider = Provider()
    held = remote(provider, clock)
    first = await held.get()
    clock.advance(250)
    provider.gate, provider.value = anyio.Event(), "two"

    with anyio.CancelScope() as scope:
        scope.cancel()  # nothing below may wait
        for _ in range(100):
            assert await held.get() is first
            assert held.peek() is first
    await settle()
    assert len(provider.asked) == 2
    provider.gate.set()
    await settle()
    assert (await held.get()).value == "two"


async def test_the_generation_counts_the_documents_that_differ(clock: Clock) -> None:
    provider = Provider()
    held = remote(provider, clock)
    first = await held.get()
    for value, generation in (("one", 1), ("two", 2), ("two", 2), ("one", 3)):
        provider.value = "".join(value)
        clock.advance(300)
        held.peek()
        await settle()
        snapshot = held.peek()
        assert snapshot is not None
        assert (snapshot.value, snapshot.generation) == (value, generation)
    assert first.generation == 1


async def test_j12_not_modified_keeps_the_very_objects_and_the_generation_and_extends_freshness(clock: Clock) -> None:
    provider = Provider(str(b"one", "ascii"), etag="1", cache_control="max-age=60")
    held = remote(provider, clock)
    first = await held.get()
    clock.advance(60)
    provider.value, provider.headers = None, {"cache-control": "max-age=600"}
    held.peek()
    await settle()

    second = await held.get()
    assert provider.asked[1] == ({"etag": "1", "cache-control": "max-age=60"}, False)
    assert second.value is first.value
    assert (second.generation, second.fetched_at) == (1, 1060.0)
    assert second.headers == {"etag": "1", "cache-control": "max-age=600"}
    assert held.status().next_attempt_in == pytest.approx(480)


async def test_the_headers_of_a_whole_answer_replace_those_of_the_one_before(clock: Clock) -> None:
    provider = Provider("one", etag="1", cache_control="max-age=60")
    held = remote(provider, clock)
    first = await held.get()
    clock.advance(60)
    provider.value, provider.headers = str(b"one", "ascii"), {"last-modified": "today"}
    held.peek()
    await settle()

    second = await held.get()
    assert (second.headers, second.generation) == ({"last-modified": "today"}, 1)
    # It means the same, so what was derived from the first stays good.
    assert second.value is first.value


async def test_not_modified_where_nothing_was_is_a_failure(clock: Clock) -> None:
    held = remote(Provider(None), clock)

    with pytest.raises(VerifierUnavailable, match="the document cannot be had: the answer says 'not modified'"):
        await held.get()


# Failing


async def test_a_failed_first_fetch_is_unavailable_and_asked_again_after_a_pause(clock: Clock) -> None:
    provider = Provider()
    provider.failure = FetchError("the answer is 500")
    held = remote(provider, clock)
    for _ in range(3):
        with pytest.raises(VerifierUnavailable, match="the document cannot be had: the answer is 500") as caught:
            await held.get()
        assert caught.value.retry_after == 1
    assert len(provider.asked) == 1

    clock.advance(1)
    provider.failure = None
    assert (await held.get()).value == "one"


async def test_the_pauses_double_up_to_a_minute_with_jitter(clock: Clock) -> None:
    provider = Provider()
    provider.failure = FetchError("the answer is 500")
    pauses = {}
    for jitter in (0.0, 1.0):
        held = remote(provider, clock, jitter=jitter)
        pauses[jitter] = [await _pause_after_failing(held, clock) for _ in range(8)]

    assert pauses == {1.0: [1, 2, 4, 8, 16, 32, 60, 60], 0.0: [0.5, 1, 2, 4, 8, 16, 30, 30]}


async def _pause_after_failing(held: RemoteDocument[Any], clock: Clock) -> float:
    with pytest.raises(VerifierUnavailable):
        await held.get()
    pause = held.status().next_attempt_in
    clock.advance(pause)
    return pause


@pytest.mark.parametrize(
    ("retry_after", "pause"),
    [(None, 1), (0.5, 1), (120.0, 120), (86400.0, 300), (float("inf"), 300)],
    ids=["none", "less than our pause", "two minutes", "a day: five minutes", "for ever: five minutes"],
)
async def test_retry_after_is_obeyed_within_reason(clock: Clock, retry_after: float | None, pause: float) -> None:
    provider = Provider()
    provider.failure = FetchError("the answer is 503", retry_after=retry_after)
    held = remote(provider, clock)

    with pytest.raises(VerifierUnavailable) as caught:
        await held.get()
    assert caught.value.retry_after == pause
    assert held.status().next_attempt_in == pause


async def test_retry_after_of_a_forced_fetch_holds_for_the_refresh_too(clock: Clock) -> None:
    provider = Provider()
    held = remote(provider, clock)
    await held.get()
    clock.advance(239)
    provider.failure = FetchError("the answer is 429", retry_after=100.0)
    with pytest.raises(VerifierUnavailable) as caught:
        await held.renew()
    assert caught.value.retry_after == 100

    clock.advance(99)
    held.peek()
    with pytest.raises(VerifierUnavailable):
        await held.renew()
    assert len(provider.asked) == 2
    clock.advance(1)
    held.peek()
    await settle()
    assert len(provider.asked) == 3


class UnlikeAnyError(BaseException):
    """What no `except Exception` catches."""


@pytest.mark.parametrize("error", [RuntimeError, MemoryError, UnlikeAnyError])
async def test_j10_a_fetch_that_breaks_is_a_failure_like_others_named_by_its_kind(
    clock: Clock, error: type[BaseException]
) -> None:
    provider = Provider()
    provider.failure = error("the text may hold anything")
    held = remote(provider, clock)
    with pytest.raises(VerifierUnavailable, match=f"ended in {error.__name__}"):
        await held.get()
    assert (held.status().failures, held.status().last_error) == (1, error.__name__)

    # After its pause, and not before, it is tried again.
    with pytest.raises(VerifierUnavailable, match=error.__name__):
        await held.get()
    assert len(provider.asked) == 1
    clock.advance(1)
    provider.failure = None
    assert (await held.get()).value == "one"


async def test_each_failure_is_logged_without_a_traceback(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    provider = Provider()
    provider.failure = FetchError("the answer is 500")
    with pytest.raises(VerifierUnavailable):
        await remote(provider, clock).get()

    records = [record for record in caplog.records if record.name == "asgi_bearer"]
    assert [(record.levelname, record.getMessage(), record.exc_info) for record in records] == [
        ("WARNING", "the document cannot be fetched: the answer is 500", None)
    ]


async def test_who_waits_too_long_for_the_first_document_is_told_so_and_the_fetch_goes_on(clock: Clock) -> None:
    provider = Provider()
    provider.gate = anyio.Event()
    held = remote(provider, clock, Freshness(wait=0))
    with pytest.raises(VerifierUnavailable, match="took too long"):
        await held.get()
    await settle()
    provider.gate.set()
    await settle()

    assert (await held.get()).value == "one"
    assert len(provider.asked) == 1


@pytest.mark.parametrize("how", ["get", "renew"])
async def test_only_so_many_may_wait(clock: Clock, how: str) -> None:
    provider = Provider()
    held = remote(provider, clock, Freshness(max_waiters=3, max_forced_waiters=3))
    if how == "renew":
        await held.get()
    provider.gate = anyio.Event()
    ask = getattr(held, how)
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(ask)
        await settle()

        with pytest.raises(VerifierUnavailable, match="3 requests wait"):
            await ask()
        provider.gate.set()


# Stale


async def test_j4_ks9_a_document_is_served_until_max_stale_and_not_longer(clock: Clock) -> None:
    provider = Provider()
    held = remote(provider, clock, Freshness(max_stale=86400))
    first = await held.get()
    provider.failure = FetchError("the answer is 500")
    clock.advance(86399)
    assert await held.get() is first
    await settle()

    clock.advance(1)
    assert held.peek() is None
    with pytest.raises(VerifierUnavailable, match="the answer is 500"):
        await held.get()
    clock.advance(60)
    provider.failure = None
    assert (await held.get()).value == "one"


async def test_with_max_stale_zero_a_document_is_served_as_long_as_it_is_fresh(clock: Clock) -> None:
    provider = Provider()
    held = remote(provider, clock, Freshness(max_stale=0))
    await held.get()
    provider.failure = FetchError("the answer is 500")
    clock.advance(299)
    assert held.peek() is not None
    await settle()
    clock.advance(1)
    assert held.peek() is None


# Forced


async def test_a_forced_fetch_asks_caches_to_step_aside_and_brings_what_is_new(clock: Clock) -> None:
    provider = Provider(etag="1")
    held = remote(provider, clock)
    await held.get()
    provider.value = "two"

    assert (await held.renew()).value == "two"
    assert provider.asked == [({}, False), ({"etag": "1"}, True)]


async def test_j2_ten_thousand_who_miss_something_cost_one_fetch_per_cooldown(clock: Clock) -> None:
    provider = Provider()
    held = remote(provider, clock)
    await held.get()
    for _ in range(10_000):
        await held.renew()
        clock.advance(0.01)

    assert 1 + 10 <= len(provider.asked) <= 1 + 10 + 1


async def test_within_the_cooldown_after_a_failure_the_answer_is_that_we_do_not_know(clock: Clock) -> None:
    provider = Provider()
    held = remote(provider, clock)
    await held.get()
    provider.failure = FetchError("the answer is 500")
    for _ in range(3):
        with pytest.raises(VerifierUnavailable, match="the answer is 500") as caught:
            await held.renew()
        assert caught.value.retry_after == 10
    assert len(provider.asked) == 2
    # What is there is served all the same.
    assert (await held.get()).value == "one"


async def test_a_failed_forced_fetch_does_not_spend_the_budget_of_the_refresh(clock: Clock) -> None:
    provider = Provider()
    held = remote(provider, clock)
    await held.get()
    provider.failure = FetchError("the answer is 500")
    with pytest.raises(VerifierUnavailable):
        await held.renew()

    assert held.status().next_attempt_in == pytest.approx(240)


async def test_j9_an_exhausted_budget_of_forced_fetches_does_not_hinder_the_refresh(clock: Clock) -> None:
    provider = Provider()
    held = remote(provider, clock, Freshness(cooldown=100_000))
    await held.get()
    await held.renew()
    provider.value = "two"
    clock.advance(300)
    held.peek()
    await settle()

    assert (await held.renew()).value == "two"
    assert [forced for _, forced in provider.asked] == [False, True, False]


async def test_who_misses_something_during_a_refresh_gets_an_answer_to_a_later_question(clock: Clock) -> None:
    # The refresh may have been answered by a cache, or before the key was there.
    provider = Provider("old")
    held = remote(provider, clock)
    await held.get()
    clock.advance(250)
    provider.gate = refresh = anyio.Event()
    held.peek()
    await settle()
    provider.gate, provider.value = None, "new"

    assert (await held.renew()).value == "new"
    refresh.set()
    await settle()
    assert (await held.get()).value == "new"
    assert held.status().generation == 2


async def test_a_document_too_old_to_be_served_is_not_served_in_the_cooldown_either(clock: Clock) -> None:
    held = remote(Provider(), clock, Freshness(cooldown=1000, max_stale=0))
    await held.renew()
    clock.advance(301)

    with pytest.raises(VerifierUnavailable, match="no attempt has ended"):
        await held.renew()


# Cancelled, and several event loops


async def test_j6_ks10_a_request_that_is_cancelled_leaves_the_fetch_to_the_others(clock: Clock) -> None:
    provider = Provider()
    provider.gate = anyio.Event()
    held, values = remote(provider, clock), []

    async def follow() -> None:
        values.append((await held.get()).value)

    async with anyio.create_task_group() as group:
        with anyio.CancelScope() as scope:
            group.start_soon(follow)
            await settle()
            scope.cancel()
            await held.get()
        provider.gate.set()
    assert (values, len(provider.asked)) == (["one"], 1)


async def test_j11_what_another_event_loop_is_finding_out_is_not_known_yet(clock: Clock) -> None:
    provider = Provider()
    held = remote(provider, clock)
    await held.get()
    provider.gate, provider.value = anyio.Event(), "two"

    async with anyio.create_task_group() as group:
        group.start_soon(held.renew)
        await settle()
        with pytest.raises(VerifierUnavailable):
            await anyio.to_thread.run_sync(lambda: anyio.run(held.renew))
        provider.gate.set()
    assert (await held.renew()).value == "two"
    assert len(provider.asked) == 2


@pytest.mark.parametrize("backends", [("asyncio", "asyncio"), ("asyncio", "trio"), ("trio", "asyncio")], ids="-".join)
def test_j11_an_event_loop_that_ends_within_a_fetch_is_no_failure(clock: Clock, backends: tuple[str, str]) -> None:
    provider = Provider()
    held = remote(provider, clock, Freshness(wait=0))

    async def abandon() -> None:
        provider.gate = anyio.Event()
        with pytest.raises(VerifierUnavailable):
            await held.get()
        await settle()

    async def ask() -> str:
        provider.gate = None
        held.peek()
        with suppress(VerifierUnavailable):
            await held.get()
        await settle()
        return str((await held.get()).value)

    anyio.run(abandon, backend=backends[0])
    assert held.status().failures == 0
    assert anyio.run(ask, backend=backends[1]) == "one"


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_event_loop_that_ends_while_the_provider_hangs_ends_in_peace(
    server: FaultServer, clock: Clock, backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    fetch = RealFetch(server)
    held = remote(fetch, clock, Freshness(wait=0))
    server.answer = hang

    async def abandon() -> None:
        with pytest.raises(VerifierUnavailable):
            await held.get()
        with anyio.fail_after(10):
            while not server.requests:  # noqa: ASYNC110  # it comes over a socket
                await anyio.sleep(0.0005)

    anyio.run(abandon, backend=backend)
    assert (fetch.begun, fetch.ended, held.status().failures) == (1, 1, 0)
    assert [record for record in caplog.records if record.name == "asgi_bearer"] == []


async def test_the_status_says_how_the_document_is(clock: Clock) -> None:
    provider = Provider()
    held = remote(provider, clock)
    status = held.status()
    assert (status.age, status.failures, status.next_attempt_in, status.generation) == (None, 0, 0, 0)
    await held.get()
    clock.advance(250)
    provider.failure = FetchError("the answer is 500")
    held.peek()
    await settle()
    clock.advance(0.25)

    status = held.status()
    assert (status.age, status.failures, status.generation) == (250.25, 1, 1)
    assert (status.next_attempt_in, status.last_error) == (0.75, "the answer is 500")


def test_the_default_clock_goes_on() -> None:
    assert 0 < boottime() <= boottime()


@pytest.mark.parametrize(
    ("options", "error", "why"),
    [
        ({"fresh": 30.0}, ValueError, "fresh is a number of seconds, 60 or more"),
        ({"max_fresh": 30.0}, ValueError, "max_fresh is a number of seconds, 60 or more"),
        ({"min_fresh": -1.0}, ValueError, "min_fresh is a number of seconds, 0 or more"),
        ({"max_stale": None}, TypeError, "max_stale is a number of seconds, not NoneType"),
        ({"max_stale": float("inf")}, ValueError, "max_stale is a number of seconds, 0 or more"),
        ({"cooldown": "10"}, TypeError, "cooldown is a number of seconds, not str"),
        ({"wait": float("nan")}, ValueError, "wait is a number of seconds"),
        ({"max_backoff": 0.5}, ValueError, "max_backoff is a number of seconds, 1 or more"),
        ({"max_waiters": 0}, ValueError, "max_waiters is 1 or more"),
        ({"max_forced_waiters": 1.5}, TypeError, "max_forced_waiters is a whole number"),
    ],
    ids=lambda value: next(iter(value)) + repr(next(iter(value.values()))) if isinstance(value, dict) else "",
)
def test_a_freshness_that_cannot_be_meant_is_refused(options: Any, error: type[Exception], why: str) -> None:
    with pytest.raises(error, match=why):
        Freshness(**options)


# An hour of outage, on real sockets


GOOD = document({"value": "good"}, etag='"1"')

FAULTS: dict[str, Answer] = {
    "500": text(500, b"oops"),
    "reset within the body": reset,
    "truncated": truncate,
    "HTML": text(200, b"<!doctype html><title>Sign in</title>", **{"content-type": "text/html"}),
    "an empty answer": text(200, b""),
    "an array": document([]),
    "ten megabytes": text(200, b" " * 10_000_000),
    "without end": endless,
    "compressed": text(200, gzip.compress(b'{"value":"x"}'), **{"content-encoding": "gzip"}),
    "a redirect": text(302, b"", location="/elsewhere"),
    "a wrong content type and no JSON": text(200, b"v=1", **{"content-type": "application/x-www-form-urlencoded"}),
    "hanging": hang,
    "dripping": drip,
}


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with fault_server(GOOD) as server:
        yield server


class RealFetch:
    """Fetches from the server; `patience` is how long it may take, in real seconds."""

    def __init__(self, server: FaultServer) -> None:
        self._url = server.origin + "/document"
        self.patience = 5.0
        self.begun = 0
        self.ended = 0

    async def __call__(self, *, since: Mapping[str, str], forced: bool) -> Fetched[str]:
        self.begun += 1
        try:
            limits = Limits(timeout=self.patience, max_bytes=10_000)
            response = await fetch(Request(method="GET", url=self._url), limits)
            return Fetched(value=json.dumps(read_document(response)), headers=response.headers)
        finally:
            self.ended += 1


async def landed(fetch: RealFetch, begun: int) -> None:
    """Wait until the fetch that was started, if one was, has ended on its socket."""
    with anyio.fail_after(10):
        await checkpoint()
        while fetch.begun == begun or fetch.ended < fetch.begun:  # noqa: ASYNC110  # it ends on a socket
            await anyio.sleep(0.0005)


async def live_through(held: RemoteDocument[Any], fetch: RealFetch, clock: Clock, seconds: int) -> int:
    """Ask every second for `seconds`; return how often there was nothing to serve."""
    failed = 0
    for _ in range(seconds):
        clock.advance(1)
        due, begun = held.status().next_attempt_in == 0, fetch.begun
        failed += held.peek() is None
        if due:
            await landed(fetch, begun)
    return failed


@pytest.mark.parametrize("fault", [*FAULTS, "refused"])
async def test_j3_j4_in_an_hour_of_outage_no_request_fails_and_the_provider_is_spared(
    server: FaultServer, clock: Clock, fault: str
) -> None:
    fetch = RealFetch(server)
    held = remote(fetch, clock, Freshness(max_stale=5000), jitter=0.0)  # the shortest pauses
    first = await held.get()
    clock.advance(300)
    fetch.patience = 0.01 if fault in {"hanging", "dripping"} else 5.0
    server.refuse() if fault == "refused" else setattr(server, "answer", FAULTS[fault])

    assert await live_through(held, fetch, clock, 3600) == 0
    assert fetch.begun <= 130
    status = held.status()
    assert status.failures == fetch.begun - 1
    assert status.generation == first.generation

    # Beyond `max_stale` we do not know, and say so.
    clock.advance(1100)
    assert held.peek() is None
    with pytest.raises(VerifierUnavailable, match="the document cannot be had"):
        await held.get()


async def test_after_an_outage_the_document_is_fetched_within_a_minute(server: FaultServer, clock: Clock) -> None:
    fetch = RealFetch(server)
    held = remote(fetch, clock)
    await held.get()
    server.answer = FAULTS["500"]
    await live_through(held, fetch, clock, 1800)
    server.answer = document({"value": "new"})
    await live_through(held, fetch, clock, 61)

    snapshot = held.peek()
    assert snapshot is not None
    assert (snapshot.value, snapshot.generation) == ('{"value": "new"}', 2)
    assert held.status().failures == 0


async def test_j9_while_the_provider_hangs_and_the_budget_of_forced_fetches_is_spent_the_document_is_served(
    server: FaultServer, clock: Clock
) -> None:
    fetch = RealFetch(server)
    held = remote(fetch, clock, Freshness(wait=0))
    with suppress(VerifierUnavailable):
        await held.get()
    await landed(fetch, 0)
    first = held.peek()
    assert first is not None
    server.answer = hang
    fetch.patience = 0.05
    for _ in range(50):
        with pytest.raises(VerifierUnavailable):
            await held.renew()
        assert held.peek() is first
    assert fetch.begun == 2
    await landed(fetch, 1)
