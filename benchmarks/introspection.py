"""What opaque tokens cost who waits, this process, and the introspection endpoint; beside FastMCP's verifier.

All ask the same endpoint, in one run, one contestant at a time; who begins changes from round to round. Rates and
milliseconds are medians of the rounds. A call is a request that arrived at the endpoint. FastMCP with its defaults
takes its turn in the first round only: each of its requests costs tens of milliseconds of CPU.
"""

# ruff: noqa: PLC0415  # FastMCP may be missing

from __future__ import annotations

import asyncio
import gc
import logging
import secrets
import time
from contextlib import asynccontextmanager
from functools import partial
from itertools import islice, repeat
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from asgi_bearer import BearerMiddleware, IntrospectionTokenVerifier
from benchmarks import report
from benchmarks.endpoint import CLIENT_ID, CLIENT_SECRET, GOOD, Endpoint, endpoint
from benchmarks.peers import bare, fastmcp_stack
from benchmarks.report import Bar
from benchmarks.tokens import AUDIENCE
from benchmarks.traffic import (
    FLOOD_AT_ONCE,
    FLOOD_RATE,
    Watched,
    drive,
    flooded,
    percentile,
    receive,
    scope_of,
    settled,
    status,
    watch,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence

    from asgi_bearer.middleware import ASGIApp, Message, Scope

OURS = "asgi-bearer"
FASTMCP = "FastMCP"
FASTMCP_TUNED = "FastMCP, shared client and cache"

# Seconds that a far endpoint takes for an answer
FAR = 0.05
# Seconds for which a good token is remembered: our default
TTL = 30
HOT_REQUESTS = 10_000
DISTINCT = 10_000
DISTINCT_FAR = 3_000
GARBAGE = 10_000
AT_ONCE = 16
AT_ONCE_FAR = 100
# Seconds of one contestant in one round; who is not through by then is judged by what it did.
TURN = 5.0
_TURN_HOT = 2.0
_BASELINE = 1.5
# Those with a good token: how many, and the seconds that each thinks between two requests
WATCHERS = 8
_PAUSE = 0.016
_PAUSE_OF_NEW = 0.1
_HIT_TOKENS = 400
_HIT_ROUNDS = 15

AT_ONCE_CALLS = "calls, 100 requests at once with one token"
IN_TURN_CALLS = "calls, 100 requests in turn with one token"
BAD_CALLS = "calls, 100 requests in turn with one bad token"
HIT = "remembered token: us of CPU above the bare app"
FLOOD = "remembered token in a flood"
FLOOD_NEW = "new token in a flood"
FLOOD_ASKED = "token asked for each time, in a flood"


class Guard(NamedTuple):
    """The bare app behind a verifier, and what closes its connections."""

    app: ASGIApp
    aclose: Callable[[], Awaitable[None]]


Make: TypeAlias = "Callable[[str, bool], Guard]"


def ours(url: str, remembers: bool) -> Guard:  # noqa: FBT001  # as Make has it
    logging.getLogger("asgi_bearer").setLevel(logging.CRITICAL)
    verifier = IntrospectionTokenVerifier(
        introspection_endpoint=url,
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        server_url=AUDIENCE,
        cache_ttl=TTL if remembers else 0,
    )
    return Guard(BearerMiddleware(bare, verifier), verifier.aclose)


def fastmcp(url: str, remembers: bool) -> Guard:  # noqa: ARG001, FBT001  # it never does, by default
    return Guard(fastmcp_stack(bare, _fastmcp_verifier(url)), _nothing)


def fastmcp_tuned(url: str, remembers: bool) -> Guard:  # noqa: FBT001  # as Make has it
    import httpx2

    # The timeout that it gives a client of its own
    client = httpx2.AsyncClient(timeout=10)
    verifier = _fastmcp_verifier(url, http_client=client, cache_ttl_seconds=TTL if remembers else None)
    return Guard(fastmcp_stack(bare, verifier), client.aclose)


def _fastmcp_verifier(url: str, **options: Any) -> Any:
    from fastmcp.server.auth.providers.introspection import IntrospectionTokenVerifier as FastMCPVerifier

    logging.getLogger("fastmcp").setLevel(logging.CRITICAL)
    return FastMCPVerifier(
        introspection_url=url, client_id=CLIENT_ID, client_secret=CLIENT_SECRET, audience=AUDIENCE, **options
    )


async def _nothing() -> None:
    """Close nothing: each request has closed its own."""


CONTESTANTS: dict[str, Make] = {OURS: ours, FASTMCP: fastmcp, FASTMCP_TUNED: fastmcp_tuned}


class Bench:
    """The endpoint, the contestants, and the figures: for each row and contestant, one of each round."""

    def __init__(self, running: Endpoint, contestants: Mapping[str, Make], rounds: int) -> None:
        self.endpoint = running
        self.rounds = rounds
        self.contestants = contestants
        # The most that the endpoint had to do, as a share of one core
        self.busiest = 0.0
        self._rows: dict[str, dict[str, list[float]]] = {}

    def add(self, name: str, row: str, value: float) -> None:
        self._rows.setdefault(row, {}).setdefault(name, []).append(value)

    def figures(self) -> dict[str, dict[str, float]]:
        """Return the medians of the rounds."""
        return {
            name: {row: float(f"{median(found[name]):.4g}") for row, found in self._rows.items() if name in found}
            for name in self.contestants
        }

    @asynccontextmanager
    async def guards(self, url: str = "", *, remembers: bool = True) -> AsyncIterator[dict[str, ASGIApp]]:
        """Yield the protected apps, with verifiers that are new."""
        guards = {name: make(url or self.endpoint.url, remembers) for name, make in self.contestants.items()}
        # What was imported, by FastMCP above all, is not looked at again by the collector while others are measured.
        gc.collect()
        gc.freeze()
        yield {name: guard.app for name, guard in guards.items()}
        for guard in guards.values():
            await guard.aclose()

    async def turns(self, apps: Mapping[str, ASGIApp]) -> AsyncIterator[tuple[str, ASGIApp]]:
        names = list(apps)
        for number in range(self.rounds):
            first = number % len(names)
            for name in (*names[first:], *names[:first]):
                if number == 0 or name != FASTMCP:
                    gc.collect()
                    yield name, apps[name]
                    await settled()


async def calls(bench: Bench) -> None:
    async with bench.guards() as apps:
        for name, app in apps.items():
            for row, delay, at_once, token in (
                (AT_ONCE_CALLS, FAR, 100, good()),
                (IN_TURN_CALLS, 0.0, 1, good()),
                (BAD_CALLS, 0.0, 1, garbage()),
            ):
                bench.endpoint.order(delay=delay)
                load = await drive(app, repeat(token, 100), at_once=at_once, turn=60)
                bench.add(name, row, bench.endpoint.order().calls)
                _require({*load.statuses} == {401 if row == BAD_CALLS else 200}, name, load.statuses)


async def hot(bench: Bench, *, delay: float) -> None:
    sent = [good()] * HOT_REQUESTS
    await _load(bench, f"one token{_far(delay)}", lambda: sent, delay=delay, at_once=AT_ONCE, turn=_TURN_HOT)


async def distinct(bench: Bench, *, delay: float) -> None:
    share = (DISTINCT_FAR if delay else DISTINCT) // bench.rounds + 1
    at_once = AT_ONCE_FAR if delay else AT_ONCE
    row = f"distinct tokens{_far(delay)}"
    await _load(bench, row, lambda: [good() for _ in range(share)], delay=delay, at_once=at_once, turn=TURN)


async def _load(
    bench: Bench, row: str, tokens: Callable[[], Sequence[str]], *, delay: float, at_once: int, turn: float
) -> None:
    async with bench.guards() as apps:
        async for name, app in bench.turns(apps):
            sent = tokens()
            bench.endpoint.order(delay=delay)
            load = await drive(app, sent, at_once=at_once, turn=turn)
            counts = bench.endpoint.order()
            answered = len(load.spent)
            bench.busiest = max(bench.busiest, counts.cpu * load.rate / answered)
            _require({*load.statuses} <= {200, 503}, name, load.statuses)
            bench.add(name, f"{row}: requests in a round", answered)
            bench.add(name, f"{row}: requests/s", load.rate)
            bench.add(name, f"{row}: p50 ms", percentile(load.spent, 0.5))
            bench.add(name, f"{row}: p99 ms", percentile(load.spent, 0.99))
            bench.add(name, f"{row}: ms of CPU for each", load.cpu / answered * 1000)
            bench.add(name, f"{row}: calls for each", counts.calls / answered)
            bench.add(name, f"{row}: % answered 503", 100 * load.statuses[503] / answered)


async def flood(bench: Bench, *, remembers: bool) -> None:
    row = FLOOD if remembers else FLOOD_ASKED
    async with bench.guards(remembers=remembers) as apps:
        if remembers:
            # By default, it never does.
            apps.pop(FASTMCP, None)
        async for name, app in bench.turns(apps):
            tokens = repeat(good())
            bench.endpoint.order(delay=FAR)
            for token in islice(tokens, 2):
                _require(await status(app, scope_of(token)) == 200, name, "refused a good token")
            known = partial(watch, app, tokens, clients=WATCHERS, pause=_PAUSE)
            new = partial(watch, app, iter(good, ""), clients=1, pause=_PAUSE_OF_NEW)
            before = await known(seconds=_BASELINE)
            bench.endpoint.order(delay=FAR)
            began, seconds = time.perf_counter(), GARBAGE / FLOOD_RATE / bench.rounds
            async with flooded(app, iter(garbage, "")) as statuses:
                during, of_new = await asyncio.gather(known(seconds=seconds), new(seconds=seconds))
                seconds = time.perf_counter() - began
                answered, full, counts = statuses.total(), statuses[503], bench.endpoint.order(delay=FAR)
            _require({*statuses} <= {401, 503}, name, statuses)
            _compare(bench, name, row, before, during)
            bench.add(name, f"{row}: garbage answered a second", answered / seconds)
            bench.add(name, f"{row}: % of it 503", 100 * full / max(1, answered))
            bench.add(name, f"{row}: calls a second", counts.calls / seconds)
            bench.add(name, f"{row}: most calls at once", counts.most_at_once)
            if remembers == (name != FASTMCP):
                bench.add(name, f"{FLOOD_NEW}: p50 ms", percentile(of_new.in_app, 0.5))
                bench.add(name, f"{FLOOD_NEW}: % not answered 200", of_new.refused)


def _compare(bench: Bench, name: str, row: str, before: Watched, during: Watched) -> None:
    p99_before, p99 = percentile(before.in_app, 0.99), percentile(during.in_app, 0.99)
    bench.add(name, f"{row}: p50 ms before", percentile(before.in_app, 0.5))
    bench.add(name, f"{row}: p50 ms", percentile(during.in_app, 0.5))
    bench.add(name, f"{row}: p99 ms before", p99_before)
    bench.add(name, f"{row}: p99 ms", p99)
    bench.add(name, f"{row}: p99, x before", p99 / p99_before)
    bench.add(name, f"{row}: p99 ms with the loop's delay, before", percentile(before.with_loop, 0.99))
    bench.add(name, f"{row}: p99 ms with the loop's delay", percentile(during.with_loop, 0.99))
    bench.add(name, f"{row}: % of good requests not answered 200", during.refused)


async def down(bench: Bench) -> None:
    for what, url, answer in (
        ("gone", bench.endpoint.nobody, 200),
        ("answers 500", bench.endpoint.url, 500),
    ):
        async with bench.guards(url) as apps:
            for name, app in apps.items():
                bench.endpoint.order(status=answer)
                load = await drive(app, [good() for _ in range(100)], at_once=1, turn=60)
                bench.add(name, f"endpoint {what}: % of good answered 401", load.statuses[401])
                bench.add(name, f"endpoint {what}: % of good answered 503", load.statuses[503])
                if answer != 200:
                    bench.add(name, f"endpoint {what}: calls, 100 good tokens", bench.endpoint.order().calls)


async def hit(bench: Bench) -> None:
    """CPU time of this thread, so that other processes disturb little; compared with the bare app of the same round."""
    tokens = [good() for _ in range(_HIT_TOKENS)]
    scopes = [scope_of(token) for token in tokens]
    bench.endpoint.order()
    async with bench.guards() as guarded:
        apps = {"bare": bare, **guarded}
        apps.pop(FASTMCP, None)
        for app in apps.values():
            await drive(app, tokens, at_once=AT_ONCE, turn=60)
        await settled()
        names = [*apps]
        for number in range(_HIT_ROUNDS):
            first = number % len(names)
            spent = {name: await _time(apps[name], scopes) for name in (*names[first:], *names[:first])}
            for name in guarded:
                if name in spent:
                    bench.add(name, HIT, (spent[name] - spent["bare"]) / _HIT_TOKENS * 1e6)
        _require(bench.endpoint.order().calls == _HIT_TOKENS * (len(apps) - 1), "a contestant", "did not remember")


async def _time(app: ASGIApp, scopes: Iterable[Scope]) -> float:
    start = time.thread_time()
    for scope in scopes:
        # A scope of its own for each request: some write into it.
        await app({**scope}, receive, _send)
    return time.thread_time() - start


async def _send(message: Message) -> None:
    """Take the answer, as fast as can be."""


def good() -> str:
    return GOOD + secrets.token_urlsafe(24)


def garbage() -> str:
    return secrets.token_urlsafe(28)


def _far(delay: float) -> str:
    return f", endpoint takes {delay * 1000:.0f} ms" if delay else ""


def _require(condition: bool, name: str, found: object) -> None:  # noqa: FBT001  # reads like assert
    """See that what is measured verifies."""
    if not condition:
        raise RuntimeError(f"{name}: {found}")


async def _measure(bench: Bench) -> float:
    """Measure all; return the requests per second that the driver manages with the bare app."""
    await calls(bench)
    bare_rate = (await drive(bare, [good()] * HOT_REQUESTS, at_once=AT_ONCE, turn=_TURN_HOT)).rate
    await hot(bench, delay=0.0)
    await distinct(bench, delay=0.0)
    await hot(bench, delay=FAR)
    await distinct(bench, delay=FAR)
    await flood(bench, remembers=True)
    await flood(bench, remembers=False)
    await down(bench)
    await hit(bench)
    return bare_rate


def run(rounds: int) -> None:
    """Measure, print, and write the results."""
    machine = report.describe_machine()
    report.print_machine(machine)
    with endpoint() as running:
        bench = Bench(running, _contestants_here(running.url), rounds)
        bare_rate = asyncio.run(_measure(bench))
    # So long did other processes have its core: what they take is in every millisecond of the table.
    ran, waited = _on_and_off_core()
    figures = bench.figures()
    print(_table(figures))
    bars = _bars(figures[OURS])
    report.print_bars(bars)
    how = {
        "rounds": rounds,
        "tokens": f"one: {HOT_REQUESTS} requests a round, {AT_ONCE} at once; distinct: {DISTINCT} in all, "
        f"{AT_ONCE} at once; at {FAR * 1000:.0f} ms {DISTINCT_FAR}, {AT_ONCE_FAR} at once; at most {TURN:g} s a round",
        "flood": f"{GARBAGE} garbage tokens in all, {FLOOD_RATE} a second, {FLOOD_AT_ONCE} unanswered at most, beside "
        f"{WATCHERS} clients with a good token; the endpoint takes {FAR * 1000:.0f} ms",
        "bare app, requests per second of the same driver": round(bare_rate),
        "endpoint, at most of one core": round(bench.busiest, 2),
        "% of its time on a core that this process waited for one": round(100 * waited / ran, 1),
    }
    for name, value in how.items():
        print(f"{name}: {value}")
    print()
    report.write_figures("introspection", {"machine": machine, "how": how, "contestants": figures}, bars)


def _on_and_off_core() -> tuple[int, int]:
    """Nanoseconds: the first two fields of proc(5)'s schedstat."""
    ran, waited, _ = Path("/proc/thread-self/schedstat").read_text(encoding="ascii").split()
    return int(ran), int(waited)


def _contestants_here(url: str) -> dict[str, Make]:
    """Return those that are installed; say which are not."""
    here = {}
    for name, make in CONTESTANTS.items():
        try:
            make(url, True)  # noqa: FBT003  # as Make has it
        except ImportError as error:
            print(f"{name}: left out, {error.name} is not installed")
        else:
            here[name] = make
    return here


def _table(figures: Mapping[str, Mapping[str, float]]) -> str:
    """Return the figures in Markdown."""
    lines = [f"| | {' | '.join(figures)} |", f"|---|{'---:|' * len(figures)}"]
    for row in figures[OURS]:
        cells = (f"{found[row]:,g}" if row in found else "" for found in figures.values())
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _bars(found: Mapping[str, float]) -> list[Bar]:
    most = {
        AT_ONCE_CALLS: (1, ""),
        IN_TURN_CALLS: (1, ""),
        BAD_CALLS: (1, ""),
        f"{FLOOD}: p99, x before": (2, "x"),
        f"{FLOOD_ASKED}: p99, x before": (2, "x"),
        f"{FLOOD}: most calls at once": (48, ""),
        f"{FLOOD_ASKED}: most calls at once": (48, ""),
        "endpoint gone: % of good answered 401": (0, "%"),
        "endpoint answers 500: % of good answered 401": (0, "%"),
        HIT: (8, " us"),
    }
    return [Bar(row, found[row], bound, unit=unit) for row, (bound, unit) in most.items()]
