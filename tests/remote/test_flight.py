"""One attempt for many: who waits, who leaves, and what is left behind."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import weakref
from contextvars import ContextVar, copy_context
from types import ModuleType
from typing import Any

import anyio
import pytest
import trio.testing
from anyio.lowlevel import checkpoint

from asgi_bearer.errors import VerifierUnavailable
from asgi_bearer.remote.flight import Flight, Flights, wait_for
from asgi_bearer.remote.per_loop import held_by_this_loop

pytestmark = pytest.mark.anyio

caller: ContextVar[str] = ContextVar("caller", default="nobody")


class Attempt:
    """Something that takes as long as it is told to, and counts how often it is begun."""

    def __init__(self, result: object = "answer") -> None:
        self.begun = 0
        self.ended = 0
        self.gate = anyio.Event()
        self.result = result

    async def at_once(self) -> str:
        self.gate.set()
        return str(await self())

    async def __call__(self) -> Any:
        self.begun += 1
        try:
            await self.gate.wait()
        finally:
            self.ended += 1
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result


async def wait(flight: Flight[Any]) -> Any:
    return await wait_for(flight, seconds=5, max_waiters=100)


async def test_a_hundred_who_ask_for_the_same_share_one_attempt() -> None:
    flights, attempt, results = Flights[str](), Attempt(), []

    async def ask() -> None:
        results.append(await wait(flights.launch("key", attempt)))

    async with anyio.create_task_group() as group:
        for _ in range(100):
            group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        attempt.gate.set()
    assert (attempt.begun, results) == (1, 100 * ["answer"])
    assert flights.under_way("key") is None


async def test_other_keys_and_other_flights_do_not_share() -> None:
    one, other, attempt = Flights[str](), Flights[str](), Attempt()
    flying = [one.launch("a", attempt), one.launch("b", attempt), other.launch("a", attempt)]
    attempt.gate.set()

    assert [await wait(flight) for flight in flying] == 3 * ["answer"]
    assert attempt.begun == 3


async def test_an_attempt_that_has_ended_is_followed_by_another() -> None:
    flights, attempt = Flights[str](), Attempt()
    attempt.gate.set()
    await wait(flights.launch("key", attempt))
    await wait(flights.launch("key", attempt))

    assert attempt.begun == 2


async def test_j6_the_leader_is_cancelled_by_its_scope_and_the_others_succeed() -> None:
    flights, attempt, results = Flights[str](), Attempt(), []

    async def ask() -> None:
        results.append(await wait(flights.launch("key", attempt)))

    async with anyio.create_task_group() as group:
        with anyio.CancelScope() as scope:
            flight = flights.launch("key", attempt)
            group.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
            await wait(flight)
        attempt.gate.set()
    assert (attempt.begun, results, flight.waiters) == (1, ["answer"], 0)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_j6_the_leader_is_cancelled_natively_and_the_others_succeed() -> None:
    flights, attempt = Flights[str](), Attempt()

    async def ask() -> Any:
        return await wait(flights.launch("key", attempt))

    leader, follower = asyncio.ensure_future(ask()), asyncio.ensure_future(ask())
    await anyio.wait_all_tasks_blocked()
    leader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leader
    attempt.gate.set()

    assert (await follower, attempt.begun) == ("answer", 1)


async def test_j6_all_who_waited_have_gone_and_the_attempt_ends_all_the_same() -> None:
    flights, attempt = Flights[str](), Attempt()
    with anyio.move_on_after(0):
        await wait(flights.launch("key", attempt))
    await anyio.wait_all_tasks_blocked()
    flight = flights.under_way("key")
    assert flight is not None
    assert flight.waiters == 0

    attempt.gate.set()
    assert await wait(flight) == "answer"
    assert flights.under_way("key") is None


async def test_j14_an_attempt_sees_nothing_of_the_context_of_who_asked() -> None:
    seen = []

    async def attempt() -> str:
        seen.append(caller.get())
        caller.set("attempt")
        return "answer"

    caller.set("alice")
    await wait(Flights[str]().launch("key", attempt))

    assert (seen, caller.get()) == (["nobody"], "alice")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_j14_an_attempt_sees_nothing_of_what_was_set_before_the_event_loop_began(backend: str) -> None:
    async def attempt() -> str:
        return caller.get()

    async def main() -> Any:
        return await wait(Flights[str]().launch("key", attempt))

    def within() -> Any:
        caller.set("alice")
        return run(main, backend)

    assert copy_context().run(within) == "nobody"


async def test_who_waits_has_a_deadline_of_its_own() -> None:
    flights, attempt = Flights[str](), Attempt()
    flight = flights.launch("key", attempt)

    with pytest.raises(VerifierUnavailable, match="took too long"):
        await wait_for(flight, seconds=0, max_waiters=1)
    assert flight.waiters == 0
    attempt.gate.set()
    assert await wait(flight) == "answer"


async def test_more_than_may_wait_are_answered_at_once() -> None:
    flights, attempt = Flights[str](), Attempt()
    flight = flights.launch("key", attempt)
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(wait, flight)
        await anyio.wait_all_tasks_blocked()

        with pytest.raises(VerifierUnavailable, match="3 requests wait for one answer already"):
            await wait_for(flight, seconds=5, max_waiters=3)
        attempt.gate.set()


class UnlikeAnyError(BaseException):
    """What no `except Exception` catches."""


@pytest.mark.parametrize("error", [RuntimeError, MemoryError, UnlikeAnyError])
async def test_j10_an_attempt_that_fails_is_reported_by_its_kind_and_the_event_loop_lives_on(
    error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    flights, attempt = Flights[str](), Attempt(error("the text may hold anything"))
    attempt.gate.set()
    flight = flights.launch("key", attempt)

    with pytest.raises(VerifierUnavailable, match=f"ended in {error.__name__}$"):
        await wait(flight)
    assert flights.under_way("key") is None
    assert [(record.levelno, record.getMessage()) for record in caplog.records if record.name == "asgi_bearer"] == [
        (logging.ERROR, f"an attempt to reach the authorization server ended in {error.__name__}")
    ]
    await checkpoint()


async def test_what_was_found_is_told_even_at_the_last_moment() -> None:
    flights, attempt = Flights[str](), Attempt()
    attempt.gate.set()
    flight = flights.launch("key", attempt)
    await flight.landed.wait()

    assert await wait_for(flight, seconds=0, max_waiters=1) == "answer"


# Event loops that come and go


def run(main: Any, backend: str) -> Any:
    return anyio.run(main, backend=backend)


async def test_an_event_loop_holds_nothing_of_owners_that_are_gone() -> None:
    for _ in range(100):
        await wait(Flights[str]().launch("key", Attempt().at_once))
    gc.collect()

    assert len(held_by_this_loop()) == 0


@pytest.mark.parametrize(
    "backends", [("asyncio", "asyncio", "asyncio"), ("asyncio", "trio", "asyncio"), ("trio", "trio")], ids="-".join
)
def test_j11_each_event_loop_has_its_own_attempt(backends: tuple[str, ...]) -> None:
    flights, begun = Flights[str](), []

    async def attempt() -> str:
        begun.append(1)
        return "answer"

    async def main() -> str:
        return str(await wait(flights.launch("key", attempt)))

    assert [run(main, backend) for backend in backends] == ["answer" for _ in backends]
    assert len(begun) == len(backends)


@pytest.mark.parametrize("backends", [("asyncio", "asyncio"), ("asyncio", "trio"), ("trio", "asyncio")], ids="-".join)
def test_an_event_loop_that_ends_within_an_attempt_ends_it_and_the_next_begins_anew(backends: tuple[str, str]) -> None:
    flights, ended = Flights[str](), []

    async def endless() -> str:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(1)
        raise AssertionError

    async def abandon() -> None:
        flights.launch("key", endless)
        await anyio.wait_all_tasks_blocked()

    async def answer() -> str:
        return "answer"

    async def main() -> str:
        return str(await wait(flights.launch("key", answer)))

    run(abandon, backends[0])
    assert ended == [1]
    assert run(main, backends[1]) == "answer"


def test_tasks_of_event_loops_that_were_closed_under_them_do_not_gather() -> None:
    flights: Flights[str] = Flights()

    attempts: list[weakref.ref[Attempt]] = []

    async def leave_one_behind() -> None:
        attempt = Attempt()
        attempts.append(weakref.ref(attempt))
        flights.launch("key", attempt)
        await asyncio.sleep(0)

    for _ in range(200):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(leave_one_behind())
        # Not as asyncio.run does, which would have cancelled it.
        loop.close()
    gc.collect()

    assert sum(attempt() is not None for attempt in attempts) <= 65


def test_no_task_is_left_behind() -> None:
    attempt_ran = []

    async def attempt() -> str:
        attempt_ran.append(1)
        return "answer"

    async def main() -> None:
        await wait(Flights[str]().launch("key", attempt))
        await checkpoint()
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())
    gc.collect()
    assert attempt_ran == [1]


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_no_system_task_is_left_behind() -> None:
    before = trio.lowlevel.current_statistics().tasks_living
    attempt = Attempt()
    attempt.gate.set()
    await wait(Flights[str]().launch("key", attempt))
    await trio.testing.wait_all_tasks_blocked()

    assert trio.lowlevel.current_statistics().tasks_living == before


def test_on_asyncio_an_attempt_is_made_while_another_thread_imports_trio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trio", ModuleType("trio"))
    attempt = Attempt()

    async def main() -> None:
        assert await wait(Flights[str]().launch("key", attempt.at_once)) == "answer"

    asyncio.run(main())
    assert attempt.ended == 1


def test_an_attempt_that_asks_the_process_to_end_is_obeyed(caplog: pytest.LogCaptureFixture) -> None:
    async def attempt() -> str:
        raise SystemExit(3)

    async def main() -> None:
        await wait(Flights[str]().launch("key", attempt))

    with pytest.raises(SystemExit):
        asyncio.run(main())
    gc.collect()
    assert caplog.records == []
