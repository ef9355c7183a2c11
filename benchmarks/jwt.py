"""What verification costs above the bare app, and how many times the raw signature check that is.

In each round every contestant handles the same tokens once, in turn; who begins changes from round to round. What is
counted is the CPU time of this thread, so that other processes disturb little; what is reported is the median of the
rounds, and their quartiles.
"""

from __future__ import annotations

import asyncio
import base64
import gc
import hashlib
import hmac
import time
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any, NamedTuple

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from benchmarks import chart, report
from benchmarks.peers import bare, ours, protect_by_peers
from benchmarks.report import Bar
from benchmarks.tokens import Batch, issued
from benchmarks.traffic import receive, scope_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from asgi_bearer.middleware import ASGIApp, Message, Scope

TOKENS = 400
# A fourth of the tokens: taken in turn, each has left the cache when it comes again.
SMALL_CACHE = 100
CACHE = 4096

RAW = "raw signature check"
SEEN = "asgi-bearer, seen"
NEVER_SEEN = "asgi-bearer, never seen, cache off"
EVICTING = "asgi-bearer, never seen"
FASTMCP = "FastMCP"


class Figure(NamedTuple):
    """Microseconds above the bare app, and the ratio to the raw check: the median of the rounds, and the quartiles."""

    us: float
    us_low: float
    us_high: float
    ratio: float


def run(algorithms: Sequence[str], rounds: int) -> None:
    """Measure, print, and write the results."""
    machine = report.describe_machine()
    report.print_machine(machine)
    print(f"{TOKENS} tokens in turn, median of {rounds} interleaved rounds, CPU time above the bare app\n")
    figures = {algorithm: _measure_algorithm(algorithm, rounds) for algorithm in algorithms}
    bars = _bars(figures["RS256"]) if "RS256" in figures else []
    report.print_bars(bars)
    how = {"tokens": TOKENS, "rounds": rounds, "statistic": "median of rounds, CPU microseconds above the bare app"}
    rounded = {algorithm: _as_json(contestants) for algorithm, contestants in figures.items()}
    report.write_figures("jwt", {"machine": machine, "how": how, "algorithms": rounded}, bars)
    chart.draw(
        {algorithm: {name: figure.us for name, figure in found.items()} for algorithm, found in figures.items()},
        machine,
    )


def _as_json(contestants: Mapping[str, Figure]) -> dict[str, dict[str, float]]:
    return {
        name: {field: round(value, 3) for field, value in figure._asdict().items()}
        for name, figure in contestants.items()
    }


def _measure_algorithm(algorithm: str, rounds: int) -> dict[str, Figure]:
    with issued(algorithm, TOKENS) as batch:
        return asyncio.run(_measure(batch, rounds))


async def _measure(batch: Batch, rounds: int) -> dict[str, Figure]:
    apps = {
        "bare": bare,
        SEEN: ours(bare, batch, cache_size=CACHE),
        NEVER_SEEN: ours(bare, batch, cache_size=0),
        EVICTING: ours(bare, batch, cache_size=SMALL_CACHE),
        **protect_by_peers(bare, batch),
    }
    scopes = [scope_of(token) for token in batch.tokens]
    for name, app in apps.items():
        await _require_right_answers(name, app, scopes)
    raw_check, signed = _raw(batch)
    names = [RAW, *apps]
    times: dict[str, list[float]] = {name: [] for name in names}
    # What was imported is not looked at again by the collector, which runs as it does in a server.
    gc.collect()
    gc.freeze()
    for number in range(rounds):
        first = number % len(names)
        for name in (*names[first:], *names[:first]):
            spent = _time_raw(raw_check, signed) if name == RAW else await _time(apps[name], scopes)
            times[name].append(spent / TOKENS * 1e6)
    figures = _figures(times)
    _print(batch.algorithm, median(times["bare"]), figures)
    return figures


async def _time(app: ASGIApp, scopes: Sequence[Scope]) -> float:
    start = time.thread_time()
    for scope in scopes:
        # A scope of its own for each request: some write into it.
        await app({**scope}, receive, _send)
    return time.thread_time() - start


def _time_raw(check: Callable[..., object], signed: Sequence[tuple[Any, ...]]) -> float:
    start = time.thread_time()
    for parts in signed:
        check(*parts)
    return time.thread_time() - start


async def _send(message: Message) -> None:
    """Take the answer, as fast as can be."""


async def _require_right_answers(name: str, app: ASGIApp, scopes: Sequence[Scope]) -> None:
    """See that what is measured verifies: every good token is let in, and one of another payload is not."""
    statuses = []

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    for scope in scopes:
        await app({**scope}, receive, send)
    if statuses != [200] * len(scopes):
        raise RuntimeError(f"{name} refused a good token")
    signatures = [dict(scope["headers"])[b"authorization"].decode().rpartition(".") for scope in scopes[:2]]
    await app(scope_of(signatures[0][0].removeprefix("Bearer ") + "." + signatures[1][2]), receive, send)
    if statuses[-1] != (200 if app is bare else 401):
        raise RuntimeError(f"{name} answered {statuses[-1]} to a token with another's signature")


def _raw(batch: Batch) -> tuple[Callable[..., object], list[tuple[Any, ...]]]:
    """Return the check that nobody can do without, and what it is called with for each token."""
    parts = [token.encode("ascii").rpartition(b".") for token in batch.tokens]
    signed = [(_decode(signature), signing_input) for signing_input, _, signature in parts]
    if batch.secret:
        secret = batch.secret.encode("ascii")
        return lambda signature, data: hmac.compare_digest(hmac.digest(secret, data, hashlib.sha256), signature), signed
    key, sha256 = load_pem_public_key(batch.public_key.encode("ascii")), hashes.SHA256()
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key.verify, signed
    if isinstance(key, ec.EllipticCurvePublicKey):
        algorithm = ec.ECDSA(sha256)
        return key.verify, [(_der(signature), data, algorithm) for signature, data in signed]
    if not isinstance(key, rsa.RSAPublicKey):
        raise TypeError(type(key).__name__)
    pad = padding.PSS(padding.MGF1(sha256), 32) if batch.algorithm == "PS256" else padding.PKCS1v15()
    return key.verify, [(signature, data, pad, sha256) for signature, data in signed]


def _decode(segment: bytes) -> bytes:
    return base64.urlsafe_b64decode(segment + b"=" * (-len(segment) % 4))


def _der(signature: bytes) -> bytes:
    r, s = signature[:32], signature[32:]
    return encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))


def _figures(times: Mapping[str, list[float]]) -> dict[str, Figure]:
    """Return each contestant's figure; it is compared with the bare app and the raw check of the same round."""
    figures = {}
    for name, spent in times.items():
        if name == "bare":
            continue
        above = spent if name == RAW else [one - base for one, base in zip(spent, times["bare"], strict=True)]
        low, _, high = quantiles(above, n=4)
        ratio = median(one / raw for one, raw in zip(above, times[RAW], strict=True))
        figures[name] = Figure(median(above), low, high, ratio)
    return figures


def _print(algorithm: str, bare_us: float, figures: Mapping[str, Figure]) -> None:
    print(f"{algorithm:<36}{'us':>9} {'quartiles':>17} {'ratio':>8}     (bare app: {bare_us:.2f} us)")
    for name, figure in figures.items():
        spread = f"{figure.us_low:.2f}-{figure.us_high:.2f}"
        print(f"  {name:<34}{figure.us:9.2f} {spread:>17} {figure.ratio:7.2f}x")
    print(flush=True)


def _bars(rs256: Mapping[str, Figure]) -> list[Bar]:
    bars = [
        Bar("RS256, never seen, cache off: of the raw check", rs256[NEVER_SEEN].ratio, 2.2),
        Bar("RS256, never seen, with eviction: of the raw check", rs256[EVICTING].ratio, 2.5),
        Bar("RS256, seen: of the raw check", rs256[SEEN].ratio, 0.25),
    ]
    if FASTMCP in rs256:
        bars += [
            Bar("RS256, never seen: faster than FastMCP", rs256[FASTMCP].us / rs256[EVICTING].us, 3, at_least=True),
            Bar("RS256, seen: faster than FastMCP", rs256[FASTMCP].us / rs256[SEEN].us, 25, at_least=True),
        ]
    return bars
