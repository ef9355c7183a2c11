"""Requests per second through uvicorn, as a share of the same app unprotected.

One worker (httptools, uvloop) is pinned to the first core, wrk to the second. All servers run all the time and only
one has work, so that the rounds can alternate between them; each share is of its own round. Beside it stands the share
by the server's CPU time per request, which other processes disturb less.
"""

# ruff: noqa: PLC0415  # FastAPI may be missing

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
import urllib.request
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks import report
from benchmarks.peers import bare, fastmcp, ours
from benchmarks.report import Bar
from benchmarks.tokens import Batch, issued

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from multiprocessing.context import SpawnProcess

    from asgi_bearer.middleware import ASGIApp

TOKENS = 500
CONNECTIONS = 32
SMALL_CACHE = 100
CACHE = 4096

BARE = "raw ASGI app"
SEEN = "raw ASGI app, asgi-bearer, seen"
EVICTING = "raw ASGI app, asgi-bearer, never seen"
NEVER_SEEN = "raw ASGI app, asgi-bearer, never seen, cache off"
FASTMCP = "raw ASGI app, FastMCP"
FASTAPI = "FastAPI handler"
FASTAPI_SEEN = "FastAPI handler, asgi-bearer, seen"

_WRK_SCRIPT = """
local requests, count = {}, 0
init = function(arguments)
  for token in io.lines(arguments[1]) do
    count = count + 1
    requests[count] = wrk.format("GET", "/orders", { Authorization = "Bearer " .. token })
  end
end
local turn = 0
request = function()
  turn = turn % count + 1
  return requests[turn]
end
done = function(summary)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  local line = '\\n{"requests": %d, "microseconds": %d, "failed": %d}\\n'
  io.write(string.format(line, summary.requests, summary.duration, failed))
end
"""


class Rate(NamedTuple):
    """Requests per second, and per second of the server's CPU time."""

    per_second: float
    per_cpu_second: float


class Server(NamedTuple):
    """A uvicorn that runs, and where."""

    pid: int
    port: int


def _fastapi() -> ASGIApp:
    from fastapi import FastAPI

    app = FastAPI()

    @app.get("/orders")
    async def orders() -> dict[str, str]:
        return {"orders": "none"}

    return app


CONTESTANTS: dict[str, Callable[[Batch], ASGIApp]] = {
    BARE: lambda _: bare,
    SEEN: lambda batch: ours(bare, batch, cache_size=CACHE),
    EVICTING: lambda batch: ours(bare, batch, cache_size=SMALL_CACHE),
    NEVER_SEEN: lambda batch: ours(bare, batch, cache_size=0),
    FASTMCP: lambda batch: fastmcp(bare, batch),
    FASTAPI: lambda _: _fastapi(),
    FASTAPI_SEEN: lambda batch: ours(_fastapi(), batch, cache_size=CACHE),
}


def run(rounds: int, seconds: int) -> None:
    """Measure, print, and write the results."""
    if shutil.which("wrk") is None or len(os.sched_getaffinity(0)) < 2:
        raise SystemExit("the server benchmark needs wrk (a package of that name in Debian) and two cores")
    machine = report.describe_machine()
    report.print_machine(machine)
    print(f"{TOKENS} RS256 tokens in turn, {CONNECTIONS} connections, median of {rounds} rounds of {seconds} s\n")
    rates = _measure(rounds, seconds)
    shares = {name: _shares(name, rates) for name in rates}
    _print(rates, shares)
    bars = _bars(shares)
    report.print_bars(bars)
    how = {"tokens": TOKENS, "algorithm": "RS256", "connections": CONNECTIONS, "rounds": rounds, "seconds": seconds}
    figures = {name: _as_json(rates[name], shares[name]) for name in rates}
    report.write_figures("server", {"machine": machine, "how": how, "contestants": figures}, bars)


def _measure(rounds: int, seconds: int) -> dict[str, list[Rate]]:
    rates: dict[str, list[Rate]] = {}
    with issued("RS256", TOKENS) as batch, tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        script, tokens = Path(folder, "rotate.lua"), Path(folder, "tokens.txt")
        script.write_text(_WRK_SCRIPT, encoding="ascii")
        tokens.write_text("\n".join(batch.tokens), encoding="ascii")
        servers = {}
        for name in CONTESTANTS:
            try:
                servers[name] = stack.enter_context(_running(name, batch))
            except ChildProcessError:
                print(f"{name}: left out, it did not start")
        for server in servers.values():
            _load(server, script, tokens, 1)
        for _ in range(rounds):
            for name, server in servers.items():
                rates.setdefault(name, []).append(_load(server, script, tokens, seconds))
    return rates


@contextmanager
def _running(name: str, batch: Batch) -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        process = get_context("spawn").Process(target=_serve, args=(name, batch, listener), daemon=True)
        process.start()
        port = listener.getsockname()[1]
        try:
            _require_answer(process, port, batch.tokens[0])
            yield Server(process.pid or 0, port)
        finally:
            process.terminate()
            process.join()


def _serve(name: str, batch: Batch, listener: socket.socket) -> None:
    import uvicorn

    core = min(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    config = uvicorn.Config(
        CONTESTANTS[name](batch), http="httptools", loop="uvloop", log_level="error", access_log=False, lifespan="off"
    )
    uvicorn.Server(config).run(sockets=[listener])


def _require_answer(process: SpawnProcess, port: int, token: str) -> None:
    """Wait until the server lets a good token in. The listener queues the request until the server is there."""
    url = f"http://127.0.0.1:{port}/orders"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(100):
        try:
            opener.open(request, timeout=0.3).close()
        except TimeoutError:
            if not process.is_alive():
                raise ChildProcessError(process.name) from None
        else:
            return
    raise ChildProcessError(process.name)


def _load(server: Server, script: Path, tokens: Path, seconds: int) -> Rate:
    core = max(os.sched_getaffinity(0))
    command = ["taskset", "-c", str(core), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(script)]
    command += [f"http://127.0.0.1:{server.port}/", "--", str(tokens)]
    before = _cpu_seconds(server.pid)
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    spent = _cpu_seconds(server.pid) - before
    result: dict[str, int] = json.loads(output.strip().rpartition("\n")[2])
    if result["failed"]:
        raise RuntimeError(f"{result['failed']} requests failed")
    return Rate(result["requests"] / result["microseconds"] * 1e6, result["requests"] / spent)


def _cpu_seconds(pid: int) -> float:
    """What the process has used, user and system: fields 14 and 15 of proc(5)'s stat; a name may hold spaces."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _shares(name: str, rates: Mapping[str, Sequence[Rate]]) -> list[Rate]:
    """Return, for each round, the share of what the unprotected app did in it."""
    unprotected = rates[FASTAPI if name.startswith(FASTAPI) else BARE]
    return [
        Rate(one.per_second / base.per_second, one.per_cpu_second / base.per_cpu_second)
        for one, base in zip(rates[name], unprotected, strict=True)
    ]


def _middle(rates: Sequence[Rate]) -> Rate:
    return Rate(median(rate.per_second for rate in rates), median(rate.per_cpu_second for rate in rates))


def _print(rates: Mapping[str, Sequence[Rate]], shares: Mapping[str, Sequence[Rate]]) -> None:
    print(f"{'':<50}{'req/s':>8} {'share':>7} {'lowest-highest':>15} {'per CPU s':>10} {'share':>7}")
    for name, found in rates.items():
        rate, share = _middle(found), _middle(shares[name])
        of_rounds = [one.per_second for one in shares[name]]
        spread = f"{min(of_rounds):.1%}-{max(of_rounds):.1%}"
        print(
            f"{name:<50}{rate.per_second:8.0f} {share.per_second:7.1%} {spread:>15} "
            f"{rate.per_cpu_second:10.0f} {share.per_cpu_second:7.1%}"
        )
    print()


def _as_json(rates: Sequence[Rate], shares: Sequence[Rate]) -> dict[str, Any]:
    rate, share = _middle(rates), _middle(shares)
    return {
        "requests_per_second": round(rate.per_second),
        "share": round(share.per_second, 3),
        "shares": [round(one.per_second, 3) for one in shares],
        "share_by_cpu_time": round(share.per_cpu_second, 3),
    }


def _bars(shares: Mapping[str, Sequence[Rate]]) -> list[Bar]:
    bounds = {SEEN: 75, EVICTING: 38, NEVER_SEEN: 38, FASTAPI_SEEN: 95}
    return [
        Bar(f"{name}: of the unprotected", _middle(shares[name]).per_second * 100, bound, at_least=True, unit="%")
        for name, bound in bounds.items()
        if name in shares
    ]
