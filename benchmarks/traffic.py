"""Requests to an application in this process, called as a server calls it: as many as can be, patient ones, a flood.

All of it runs on the event loop of the application, and in every kind no more than a bounded number is unanswered.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

    from asgi_bearer.middleware import ASGIApp, Message, Scope

# The flood: how many a second, and how many may be unanswered.
FLOOD_RATE = 1_000
FLOOD_AT_ONCE = 200
# Seconds; what takes longer counts as that.
_PATIENCE = 5.0


class Load(NamedTuple):
    """What became of the requests: seconds of each, from call to answer; statuses; how many a second; CPU seconds."""

    spent: list[float]
    statuses: Counter[int]
    rate: float
    cpu: float


async def drive(app: ASGIApp, tokens: Iterable[str], *, at_once: int, turn: float) -> Load:
    """Let each of `at_once` clients send one request after another, until the tokens or the `turn` seconds are over."""
    spent: list[float] = []
    statuses: Counter[int] = Counter()
    left = iter(tokens)
    began, cpu = time.perf_counter(), time.thread_time()

    async def client() -> None:
        for token in left:
            scope = scope_of(token)
            asked = time.perf_counter()
            answer = await status(app, scope)
            answered = time.perf_counter()
            statuses[answer] += 1
            spent.append(answered - asked)
            if answered - began > turn:
                return
            # The loop turns, as it does between the requests of a server.
            await asyncio.sleep(0)

    await asyncio.gather(*(client() for _ in range(at_once)))
    rate = len(spent) / (time.perf_counter() - began)
    return Load(spent, statuses, rate, time.thread_time() - cpu)


@dataclass(slots=True)
class Watched:
    """What patient clients saw: seconds from call to answer, and to the answer from when the request was due; 200s."""

    in_app: list[float] = field(default_factory=list)
    with_loop: list[float] = field(default_factory=list)
    good: int = 0

    @property
    def refused(self) -> float:
        """The share that was not answered 200, in percent."""
        return 100 - 100 * self.good / len(self.in_app)


async def watch(app: ASGIApp, tokens: Iterator[str], *, clients: int, pause: float, seconds: float) -> Watched:
    """Let each client send a request, think for `pause` seconds, send the next; they begin one after another."""
    seen = Watched()
    ends = time.perf_counter() + seconds

    async def client(first_pause: float) -> None:
        think = first_pause
        while (due := time.perf_counter() + think) < ends:
            await asyncio.sleep(think)
            scope = scope_of(next(tokens))
            answer = 0
            asked = time.perf_counter()
            with suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE):
                    answer = await status(app, scope)
            answered = time.perf_counter()
            seen.good += answer == 200
            seen.in_app.append(answered - asked)
            seen.with_loop.append(answered - due)
            think = pause

    await asyncio.gather(*(client(pause * number / clients) for number in range(clients)))
    return seen


@asynccontextmanager
async def flooded(app: ASGIApp, tokens: Iterator[str]) -> AsyncIterator[Counter[int]]:
    """Send, for the length of a block, what is due at `FLOOD_RATE`, with `FLOOD_AT_ONCE` unanswered at most.

    What it yields are the statuses so far.
    """
    statuses: Counter[int] = Counter()
    tasks: set[asyncio.Task[None]] = set()

    async def one(token: str) -> None:
        answer = await status(app, scope_of(token))
        statuses[answer] += 1

    async def send() -> None:
        began, sent = time.perf_counter(), 0
        while True:
            due = int((time.perf_counter() - began) * FLOOD_RATE) - sent
            for token in islice(tokens, max(0, min(due, FLOOD_AT_ONCE - len(tasks)))):
                task = asyncio.create_task(one(token))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                sent += 1
            await asyncio.sleep(0.001)

    sender = asyncio.create_task(send())
    try:
        yield statuses
    finally:
        sender.cancel()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=_PATIENCE)
            for task in late:
                task.cancel()


async def settled() -> None:
    """Wait until nothing runs in the background: calls of requests that have gone, above all."""
    deadline = time.monotonic() + _PATIENCE
    await asyncio.sleep(0)
    while len(asyncio.all_tasks()) > 1 and time.monotonic() < deadline:  # noqa: ASYNC110  # tasks of others
        await asyncio.sleep(0.005)


def percentile(spent: Sequence[float], share: float) -> float:
    """Return the percentile in milliseconds."""
    return sorted(spent)[int(share * (len(spent) - 1))] * 1000


async def status(app: ASGIApp, scope: Scope) -> int:
    answer = 0

    async def send(message: Message) -> None:
        nonlocal answer
        if message["type"] == "http.response.start":
            answer = message["status"]

    await app(scope, receive, send)
    return answer


async def receive() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


def scope_of(token: str) -> Scope:
    """What a server passes for a request of an ordinary client."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 54321),
        "scheme": "http",
        "method": "GET",
        "root_path": "",
        "path": "/orders",
        "raw_path": b"/orders",
        "query_string": b"",
        "headers": [
            (b"host", b"api.example.com"),
            (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"),
            (b"accept", b"application/json"),
            (b"accept-encoding", b"gzip, deflate, br"),
            (b"authorization", b"Bearer " + token.encode("ascii")),
            (b"connection", b"keep-alive"),
        ],
        "state": {},
    }
