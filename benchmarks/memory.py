"""Resident memory while very many distinct tokens pass through a full cache, over the same app unprotected.

Each of the two runs in a process of its own, which makes the tokens while it goes (HS256: cheap to sign) and keeps
none.
"""

from __future__ import annotations

import asyncio
import gc
import os
import secrets
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks import report
from benchmarks.peers import bare, ours
from benchmarks.report import Bar
from benchmarks.tokens import Batch, hs256_tokens

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asgi_bearer.middleware import ASGIApp, Message

CACHE = 4096
# After so many tokens the cache has been full for long, and the allocator has found its size.
FULL = 4 * CACHE
_SAMPLES = 50
_MIB = 1024 * 1024


class Growth(NamedTuple):
    """Resident MiB above what there was before the first token: when the cache was full, at most, at the end."""

    when_full: float
    highest: float
    at_end: float


def run(count: int) -> None:
    """Measure, print, and write the results."""
    if count < 2 * FULL:
        raise SystemExit(f"--count is {2 * FULL} at least: the cache is to be full for half of it")
    machine = report.describe_machine()
    report.print_machine(machine)
    print(f"{count:,} distinct HS256 tokens through a cache of {CACHE:,}: resident MiB above the start\n")
    growths = {
        name: _in_own_process(cache_size, count) for name, cache_size in (("bare app", None), ("asgi-bearer", CACHE))
    }
    print(f"{'':<14}{'cache full':>12} {'highest':>10} {'at the end':>12}")
    for name, growth in growths.items():
        print(f"{name:<14}{growth.when_full:12.2f} {growth.highest:10.2f} {growth.at_end:12.2f}")
    print()
    base, protected = growths["bare app"], growths["asgi-bearer"]
    bars = [
        Bar("resident growth over the bare app", protected.highest - base.highest, 16, unit=" MiB"),
        Bar("resident growth after the cache is full", protected.highest - protected.when_full, 1, unit=" MiB"),
    ]
    report.print_bars(bars)
    figures = {
        name: {field: round(mib, 2) for field, mib in growth._asdict().items()} for name, growth in growths.items()
    }
    how = {"tokens": count, "cache_size": CACHE, "unit": "resident MiB above the start"}
    report.write_figures("memory", {"machine": machine, "how": how, "contestants": figures}, bars)


def _in_own_process(cache_size: int | None, count: int) -> Growth:
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(_grow, (cache_size, count))


def _grow(cache_size: int | None, count: int) -> Growth:
    secret = secrets.token_urlsafe(48)
    app = bare if cache_size is None else ours(bare, Batch("HS256", [], secret=secret), cache_size=cache_size)
    return asyncio.run(_pass(app, hs256_tokens(secret), count))


async def _pass(app: ASGIApp, tokens: Iterator[str], count: int) -> Growth:
    # The first few tokens bring in what is loaded once.
    await _handle(app, tokens, 100)
    gc.collect()
    start = _resident()
    await _handle(app, tokens, FULL)
    levels = [_resident() - start]
    for _ in range(_SAMPLES):
        await _handle(app, tokens, (count - FULL) // _SAMPLES)
        levels.append(_resident() - start)
    return Growth(levels[0], max(levels), levels[-1])


async def _handle(app: ASGIApp, tokens: Iterator[str], count: int) -> None:
    statuses = set()

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        statuses.add(message.get("status", 200))

    for token in islice(tokens, count):
        headers = [(b"host", b"api.example.com"), (b"authorization", b"Bearer " + token.encode("ascii"))]
        await app({"type": "http", "method": "GET", "path": "/orders", "headers": headers}, receive, send)
    if statuses != {200}:
        raise RuntimeError(f"good tokens were answered with {statuses}")


def _resident() -> float:
    """MiB of this process: the second field of proc(5)'s statm, in pages."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / _MIB
