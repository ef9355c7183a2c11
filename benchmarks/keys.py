"""What becomes of good requests, and of the provider, when keys are cold, asked for in vain, rotated, or cannot be had.

Every contestant goes through the same faults at the same provider on loopback, in this process, in one run. An hour of
outage is an hour of a simulated clock with a request in each of its seconds; milliseconds are real ones.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from contextlib import suppress
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING, Any, NamedTuple

import anyio

from benchmarks import report
from benchmarks.key_sources import Clock, Provider, Status, provider, sources_here, token
from benchmarks.report import Bar

if TYPE_CHECKING:
    from collections.abc import Callable

HOUR = 3600
OURS = "asgi-bearer"
_PATIENCE = 5.0


class Case(NamedTuple):
    """A contestant that is new, before a provider that is new."""

    provider: Provider
    clock: Clock
    status: Status
    make: Callable[[], Status]
    fresh: float


async def cold(case: Case) -> dict[str, float]:
    case.provider.fault = "slow"
    tokens = [token(number=number) for number in range(1000)]
    answers = await asyncio.gather(*(case.status(one) for one in tokens))
    return {"fetches, 1,000 cold requests": case.provider.fetches, "of them refused": _refused(answers)}


async def outage(case: Case) -> dict[str, float]:
    good = token()
    await case.status(good)
    case.clock.now += case.fresh
    case.provider.fault, case.provider.fetches = "500", 0
    answers = []
    for _ in range(HOUR):
        case.clock.now += 1
        answers.append(await case.status(good))
        await _settled()
    fetches, refused = case.provider.fetches, _refused(answers)
    hours = next((second for second, answer in enumerate(answers) if answer != 200), HOUR) / HOUR
    while not refused and hours < 48:
        case.clock.now += 600
        hours += 1 / 6
        refused = await case.status(good) != 200
        await _settled()
    return {
        "good requests refused in 1 h of outage": _refused(answers),
        "of these with a 401": answers.count(401),
        "fetches in that hour": fetches,
        "h of outage until a good request is refused": hours,
    }


async def strangers(case: Case, *, fault: str) -> dict[str, float]:
    await case.status(token())
    case.clock.now += 60
    case.provider.fault, case.provider.fetches = fault, 0
    answers: Counter[int] = Counter()
    for number in range(10_000):
        case.clock.now += 0.001
        answers[await case.status(token_of_nobody(number))] += 1
    where = "provider down" if fault else "provider up"
    return {f"fetches, 10,000 unknown kids in 10 s, {where}": case.provider.fetches}


async def hanging(case: Case) -> dict[str, float]:
    good = [token(number=number) for number in range(500)]
    for one in good:
        await case.status(one)
    before = await _p99(case, good)
    case.clock.now += 60
    case.provider.fault = "hang"
    flood = [asyncio.ensure_future(case.status(token_of_nobody(number))) for number in range(500)]
    await asyncio.sleep(0.1)
    during = await _p99(case, good)
    case.provider.released.set()
    for task in flood:
        task.cancel()
    await asyncio.gather(*flood, return_exceptions=True)
    return {"ms added to the p99 of good requests while it hangs": max(0.0, during - before)}


async def cancelled(case: Case) -> dict[str, float]:
    case.provider.fault = "slow"
    leader, *others = [asyncio.ensure_future(case.status(token(number=number))) for number in range(100)]
    await asyncio.sleep(0.05)
    leader.cancel()
    answers = await asyncio.gather(*others, return_exceptions=True)
    return {"% of the others that succeed when the leader is cancelled": 100 * answers.count(200) / len(others)}


async def rotated(case: Case, *, flood: bool) -> dict[str, float]:
    await case.status(token())
    case.clock.now += 60
    if flood:
        await case.status(token_of_nobody(0))
    case.provider.kids = ["a", "b"]
    published = case.clock.now
    new = token("b")
    while await case.status(new) != 200 and case.clock.now < published + HOUR:
        case.clock.now += 0.5
        if flood:
            await case.status(token_of_nobody(int(case.clock.now * 10)))
    return {f"s until a new key is taken, {'under a flood' if flood else 'idle'}": case.clock.now - published}


async def removed(case: Case) -> dict[str, float]:
    case.provider.kids = ["a", "b"]
    kept, gone = token("a"), token("b")
    for one in (kept, gone, kept, gone):
        await case.status(one)
    case.provider.kids = ["a"]
    since, fetches = case.clock.now, case.provider.fetches
    while case.provider.fetches == fetches:
        case.clock.now += 5
        await case.status(kept)
        await _settled()
    waited = case.clock.now - since
    accepted = 0
    while await case.status(gone) == 200 and accepted < 100:
        accepted += 1
    return {"s until a removed key is noticed": waited, "requests it is good for after that": accepted}


async def churn(case: Case) -> dict[str, float]:
    await _settled()
    before = _open_sockets()
    case.provider.fault = "hang"
    for _ in range(20):
        tasks = [asyncio.ensure_future(case.status(token(number=number))) for number in range(5)]
        await asyncio.sleep(0.02)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        case.clock.now += 61
    case.provider.fault = ""
    case.provider.released.set()
    await _settled()
    case.clock.now += 61
    answer = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(_PATIENCE):
            answer = await case.status(token())
    await _settled()
    return {
        "sockets more, 100 cancelled requests later": max(0, _open_sockets() - before),
        "good requests refused after that": int(answer != 200),
    }


async def recovery(case: Case) -> dict[str, float]:
    workers = [case.make() for _ in range(50)]
    good = token()
    await asyncio.gather(*(status(good) for status in workers))
    case.clock.now += case.fresh
    case.provider.fault = "500"
    highest = 0
    for second in range(150 + 90):
        if second == 150:
            case.provider.fault = ""
        case.clock.now += 1
        before = case.provider.fetches
        await asyncio.gather(*(status(good) for status in workers))
        await _settled()
        if second >= 150:
            highest = max(highest, case.provider.fetches - before)
    return {"fetches in one second after an outage, 50 workers": highest}


def loops(case: Case) -> dict[str, float]:
    """Count what works of: three asyncio loops in turn, trio, two loops at once in threads, a forked child."""
    passed = 0
    for number, backend in enumerate(("asyncio", "asyncio", "asyncio", "trio")):
        _publish(case, f"key-{number}")
        passed += _works(case, backend)
    case.clock.now += case.fresh + 60
    results: list[bool] = []
    threads = [Thread(target=lambda: results.append(_works(case, "asyncio")), daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * _PATIENCE)
    passed += results == [True, True]
    passed += _works_in_child(case)
    return {"of 6 event loops and forks that work": passed}


def _publish(case: Case, kid: str) -> None:
    """Publish a new key, so that whoever gets a token of it has to fetch, and may."""
    case.provider.kids = [kid]
    case.clock.now += case.fresh + 60


def _works(case: Case, backend: str) -> bool:
    good = token(case.provider.kids[0])

    async def main() -> bool:
        with anyio.move_on_after(_PATIENCE):
            return await case.status(good) == 200
        return False

    try:
        return anyio.run(main, backend=backend)
    except Exception:  # noqa: BLE001  # whatever it is, it does not work
        return False


def _works_in_child(case: Case) -> bool:
    _publish(case, "key-of-the-child")
    token("key-of-the-child")  # made here, so that both processes have the same
    child = os.fork()
    if child == 0:
        os._exit(0 if _works(case, "asyncio") else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


ROWS: list[Callable[[Case], Any]] = [
    cold,
    outage,
    partial(strangers, fault=""),
    partial(strangers, fault="500"),
    hanging,
    cancelled,
    partial(rotated, flood=False),
    partial(rotated, flood=True),
    removed,
    churn,
    recovery,
    loops,
]


def token_of_nobody(number: int) -> str:
    return token(f"nobody-{number}", number, signed_by="nobody")


def _refused(answers: list[int]) -> int:
    return sum(answer != 200 for answer in answers)


async def _settled() -> None:
    """Wait until nothing runs in the background: a fetch, above all."""
    deadline = time.monotonic() + _PATIENCE
    await asyncio.sleep(0)
    while len(asyncio.all_tasks()) > 1 and time.monotonic() < deadline:  # noqa: ASYNC110  # tasks of others
        await asyncio.sleep(0.0005)


async def _p99(case: Case, good: list[str]) -> float:
    """Return the 99th percentile in ms; what takes more than 3 s counts as 3 s, and is not tried for ever."""
    spent: list[float] = []
    deadline = time.monotonic() + 2 * _PATIENCE
    for one in good:
        began = time.perf_counter()
        with anyio.move_on_after(3):
            await case.status(one)
        spent.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(0)
        if time.monotonic() > deadline:
            break
    return sorted(spent)[int(0.99 * (len(spent) - 1))]


def _open_sockets() -> int:
    count = 0
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208  # names are enough
        with suppress(OSError):
            count += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")  # noqa: PTH115
    return count


def run() -> None:
    """Measure, print, and write the results."""
    machine = report.describe_machine()
    report.print_machine(machine)
    contestants = sources_here()
    figures = {name: _measure(make, fresh) for name, (make, fresh) in contestants.items()}
    print(_table(figures))
    bars = _bars(figures[OURS])
    report.print_bars(bars)
    report.write_figures("keys", {"machine": machine, "contestants": figures}, bars)


def _measure(make: Callable[[str, Clock], Status], fresh: float) -> dict[str, float]:
    figures: dict[str, float] = {}
    for row in ROWS:
        with provider() as running:
            clock = Clock()
            new = partial(make, running.jwks_uri, clock)
            case = Case(running, clock, new(), new, fresh)
            figures |= row(case) if row is loops else asyncio.run(row(case))
    return {name: round(value, 2) for name, value in figures.items()}


def _table(figures: dict[str, dict[str, float]]) -> str:
    """Return the figures in Markdown."""
    lines = [f"| | {' | '.join(figures)} |", f"|---|{'---:|' * len(figures)}"]
    for row in figures[OURS]:
        cells = " | ".join(f"{figures[name][row]:,g}" for name in figures)
        lines.append(f"| {row} | {cells} |")
    return "\n".join(lines) + "\n"


def _bars(found: dict[str, float]) -> list[Bar]:
    most = {
        "fetches, 1,000 cold requests": 1,
        "good requests refused in 1 h of outage": 0,
        "fetches in that hour": 130,
        "fetches, 10,000 unknown kids in 10 s, provider up": 2,
        "fetches, 10,000 unknown kids in 10 s, provider down": 2,
        "ms added to the p99 of good requests while it hangs": 1,
        "s until a new key is taken, under a flood": 10,
        "requests it is good for after that": 0,
        "sockets more, 100 cancelled requests later": 0,
        "fetches in one second after an outage, 50 workers": 10,
    }
    least = {
        "% of the others that succeed when the leader is cancelled": 100,
        "of 6 event loops and forks that work": 6,
    }
    return [
        *(Bar(name, found[name], bound, unit="") for name, bound in most.items()),
        *(Bar(name, found[name], bound, at_least=True, unit="") for name, bound in least.items()),
    ]
