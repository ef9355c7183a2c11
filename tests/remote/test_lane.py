"""Lane: how many ask at once, how many wait, and what a server that fails is spared."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from fakes import Clock

from asgi_bearer.remote.http import FetchError
from asgi_bearer.remote.lane import BusyError, Lane

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.anyio


class Server:
    """What is attempted: it holds everybody at its gate, and fails with `failure`."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.under_way = self.most_under_way = self.asked = 0
        self.gate = anyio.Event()
        self.gate.set()

    async def ask(self) -> str:
        self.asked += 1
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await self.gate.wait()
        finally:
            self.under_way -= 1
        if self.failure is not None:
            raise self.failure
        return "answer"


def lane(**options: Any) -> Lane:
    defaults: dict[str, Any] = {
        "places": 2,
        "longest": 10.0,
        "blamed": lambda error: error.status != 400,
        "monotonic": Clock(0),
        "uniform": lambda _low, high: high,
    }
    return Lane(**{**defaults, **options})


async def outcomes_of(count: int, work: Callable[[], Any], then: Callable[[], Any] = lambda: None) -> list[Any]:
    """Run `work` so many times at once, and `then` when nobody can go on; return what each returned or raised."""
    outcomes: list[Any] = []

    async def one() -> None:
        try:
            outcomes.append(await work())
        except FetchError as error:
            outcomes.append(error)

    async with anyio.create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(one)
        await anyio.wait_all_tasks_blocked()
        then()
    return outcomes


async def fail(of: Lane, times: int, failure: FetchError | None = None) -> None:
    server = Server(failure or FetchError("down"))
    for _ in range(times):
        with pytest.raises(FetchError):
            await of.run(server.ask)


async def refusal_of(of: Lane) -> BusyError:
    with pytest.raises(BusyError) as caught:
        await of.run(Server().ask)
    return caught.value


async def test_no_more_than_its_places_ask_at_once_and_the_others_wait_their_turn() -> None:
    it, server = lane(), Server()
    server.gate = anyio.Event()

    outcomes = await outcomes_of(10, lambda: it.run(server.ask), server.gate.set)

    assert outcomes == ["answer"] * 10
    assert server.most_under_way == 2


async def test_who_waits_too_long_for_a_place_is_told_so_and_was_not_asked_for() -> None:
    it, server = lane(places=1, wait=0.01), Server()
    server.gate = anyio.Event()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(it.run, server.ask)
        await anyio.wait_all_tasks_blocked()
        assert str(await refusal_of(it)) == "no place came free within 0.01 s"
        server.gate.set()

    assert server.asked == 1
    assert await it.run(server.ask) == "answer"


async def test_a_queue_that_is_full_refuses_at_once() -> None:
    it, server = lane(places=1, max_queue=3), Server()
    server.gate = anyio.Event()

    outcomes = await outcomes_of(10, lambda: it.run(server.ask), server.gate.set)

    assert outcomes.count("answer") == 4
    assert {str(one) for one in outcomes if one != "answer"} == {"3 requests wait to be asked for already"}
    it.require_room()


async def test_places_are_given_back_whatever_happens_to_who_had_them() -> None:
    it, server = lane(), Server()
    server.gate = anyio.Event()

    for _ in range(5):
        async with anyio.create_task_group() as tasks:
            for _ in range(4):  # two have places, two wait for them
                tasks.start_soon(it.run, server.ask)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
    with pytest.raises(RuntimeError):
        await it.run(Server(RuntimeError("a bug")).ask)
    server.gate.set()

    assert await outcomes_of(2, lambda: it.run(server.ask)) == ["answer", "answer"]


async def test_after_five_failures_in_a_row_it_closes_and_says_for_how_long() -> None:
    clock = Clock(0)
    it = lane(monotonic=clock)

    await fail(it, 4)
    it.require_room()
    await fail(it, 1)

    with pytest.raises(BusyError, match="it has failed several times in a row") as caught:
        it.require_room()
    assert caught.value.retry_after == 2.0
    clock.advance(1.5)
    assert (await refusal_of(it)).retry_after == 1.0


async def test_a_success_in_between_starts_the_count_again() -> None:
    it = lane()

    for _ in range(5):
        await fail(it, 4)
        await it.run(Server().ask)

    it.require_room()


ODD = FetchError("the token is odd", status=400)


async def test_an_answer_that_is_no_failure_of_the_server_is_an_answer() -> None:
    it = lane()

    for _ in range(5):
        await fail(it, 4)
        await fail(it, 1, ODD)

    it.require_room()


async def test_after_the_pause_three_probes_go_and_a_success_lets_everybody_in() -> None:
    clock = Clock(0)
    it, server = lane(places=5, monotonic=clock), Server()
    await fail(it, 5)
    clock.advance(2)
    server.gate = anyio.Event()

    outcomes = await outcomes_of(5, lambda: it.run(server.ask), server.gate.set)

    assert server.asked == 3
    assert outcomes.count("answer") == 3
    assert await outcomes_of(5, lambda: it.run(server.ask)) == ["answer"] * 5


@pytest.mark.parametrize("answer", [None, ODD], ids=["a success", "no failure of the server"])
async def test_one_probe_that_fails_does_not_close_it_to_the_next(answer: FetchError | None) -> None:
    clock = Clock(0)
    it = lane(monotonic=clock)
    await fail(it, 5)
    clock.advance(2)

    await fail(it, 2)
    if answer is None:
        await it.run(Server().ask)
    else:
        await fail(it, 1, answer)

    await fail(it, 4)
    it.require_room()


async def test_three_probes_that_fail_double_the_pause_up_to_half_a_minute() -> None:
    clock, pauses = Clock(0), []
    it = lane(monotonic=clock)
    await fail(it, 5)

    for _ in range(12):
        pauses.append((await refusal_of(it)).retry_after)
        clock.advance(pauses[-1] or 0)
        await fail(it, 3)

    assert pauses == [2, 4, 8, 16, 30, *[30] * 7]
    clock.advance(30)
    await it.run(Server().ask)
    await fail(it, 5)
    assert (await refusal_of(it)).retry_after == 2


async def test_pauses_differ_by_up_to_a_quarter() -> None:
    asked: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        asked.append((low, high))
        return low

    it = lane(uniform=uniform)
    await fail(it, 5)

    assert (await refusal_of(it)).retry_after == 1.5
    assert asked == [(0.75, 1.0)]


@pytest.mark.parametrize(("retry_after", "pause"), [(1.0, 2.0), (20.0, 20.0), (300.0, 30.0)])
async def test_the_servers_own_retry_after_counts_within_reason(retry_after: float, pause: float) -> None:
    it = lane()

    await fail(it, 5, FetchError("down", status=503, retry_after=retry_after))

    assert (await refusal_of(it)).retry_after == pause


async def test_failures_that_were_under_way_when_it_closed_make_no_pause_longer() -> None:
    it, server = lane(places=20), Server(FetchError("down"))
    server.gate = anyio.Event()

    await outcomes_of(20, lambda: it.run(server.ask), server.gate.set)

    assert (await refusal_of(it)).retry_after == 2


async def test_who_had_waited_for_a_place_is_refused_when_it_closed_meanwhile() -> None:
    it, server = lane(places=1), Server(FetchError("down"))
    await fail(it, 4)
    server.gate = anyio.Event()

    outcomes = await outcomes_of(3, lambda: it.run(server.ask), server.gate.set)

    assert server.asked == 1
    assert [type(one) for one in outcomes] == [FetchError, BusyError, BusyError]


@pytest.mark.parametrize("end", ["cancelled", "a bug"])
async def test_probes_that_have_no_outcome_are_in_the_way_no_longer_than_they_could_have_taken(end: str) -> None:
    clock = Clock(0)
    it = lane(places=3, longest=4.0, monotonic=clock)
    await fail(it, 5)
    clock.advance(2)
    for _ in range(3):
        if end == "cancelled":
            server = Server()
            server.gate = anyio.Event()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(it.run, server.ask)
                await anyio.wait_all_tasks_blocked()
                tasks.cancel_scope.cancel()
        else:
            with pytest.raises(RuntimeError):
                await it.run(Server(RuntimeError("a bug")).ask)

    assert (await refusal_of(it)).retry_after == 1.0
    clock.advance(4)
    assert await it.run(Server().ask) == "answer"


def test_probes_that_ended_with_their_event_loop_are_in_the_way_of_none_in_another() -> None:
    clock = Clock(0)
    it = lane(places=3, longest=4.0, monotonic=clock)

    async def probe_and_leave() -> None:
        server = Server()
        server.gate = anyio.Event()
        probes = [asyncio.ensure_future(it.run(server.ask)) for _ in range(3)]
        await anyio.wait_all_tasks_blocked()
        assert server.asked == len(probes)

    async def answer() -> str:
        return "answer"

    anyio.run(fail, it, 5)
    clock.advance(2)
    anyio.run(probe_and_leave)
    clock.advance(4)
    assert anyio.run(it.run, answer) == "answer"


def test_each_event_loop_has_places_of_its_own() -> None:
    it = lane(places=1)

    async def answer() -> str:
        return "answer"

    for backend in ("asyncio", "trio", "asyncio"):
        assert anyio.run(it.run, answer, backend=backend) == "answer"
