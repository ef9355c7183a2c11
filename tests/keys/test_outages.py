"""What good requests see of an outage, a flood, a suspended machine, a fork: nothing. Through whole verifiers."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from fakes import Clock, Echo, bearer
from fault_server import FaultServer, by_path, document, fault_server, hang
from key_material import certificate, private_rsa, signing_key
from starlette.testclient import TestClient

from asgi_bearer import BearerMiddleware, JWTVerifier, Reason, StaticKeySet
from asgi_bearer.errors import InvalidToken, VerifierUnavailable
from asgi_bearer.keys.key_set import RemoteKeySet
from asgi_bearer.remote.discovery import Discovery
from asgi_bearer.remote.document import Fetched, Freshness, RemoteDocument, boottime
from asgi_bearer.remote.http import FetchError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Mapping

    from fault_server import Request

pytestmark = pytest.mark.anyio

ISSUER, AUDIENCE = "https://idp.example", "https://api.example"
NOW, DAY = 1_800_000_000.0, 86_400.0


def jwks(*kids: str) -> Any:
    return document({"keys": [signing_key("ES256", ord(kid) - ord("a")).public_jwk(kid) for kid in kids]})


def token(kid: str = "a", **claims: Any) -> str:
    key = signing_key("ES256", ord(kid[0]) - ord("a"))
    payload = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "iat": NOW, "exp": NOW + 3600, **claims}
    return key.sign({"kid": kid, "typ": "at+jwt"}, payload)


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with fault_server(jwks("a")) as server:
        yield server


@pytest.fixture
def monotonic() -> Clock:
    return Clock(1000.0)


@pytest.fixture
def wall() -> Clock:
    return Clock(NOW)


@pytest.fixture
def keys(server: FaultServer, monotonic: Clock) -> RemoteKeySet:
    return RemoteKeySet(server.origin + "/jwks", monotonic=monotonic)


@pytest.fixture
def verifier(keys: RemoteKeySet, wall: Clock) -> JWTVerifier:
    return JWTVerifier(keys=keys, issuer=ISSUER, audience=AUDIENCE, clock=wall)


async def until(happened: Callable[[], bool]) -> None:
    """Wait for what runs detached: a fetch on real sockets."""
    with anyio.fail_after(10):
        while not happened():  # noqa: ASYNC110  # what happens, happens on sockets
            await anyio.sleep(0.0005)


def without_waiting(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Return what the coroutine does, provided that it never gives the event loop a turn."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    finally:
        coroutine.close()
    pytest.fail("it waited")


async def test_j5_while_the_provider_hangs_under_a_flood_good_tokens_never_wait_and_few_requests_are_parked(
    server: FaultServer, keys: RemoteKeySet, verifier: JWTVerifier, monotonic: Clock
) -> None:
    await verifier.prefetch()
    server.answer = hang
    monotonic.advance(300)  # a refresh is due, and hangs too
    refused_at_once: list[str] = []

    async def stranger(number: int) -> None:
        try:
            await verifier.verify_token(token(f"zz{number}"))
        except VerifierUnavailable as error:
            refused_at_once.append(error.message)

    async with anyio.create_task_group() as group:
        for number in range(300):
            group.start_soon(stranger, number)
        await anyio.wait_all_tasks_blocked()
        for number in range(100):
            good = token(jti=str(number))  # never seen, then seen
            for _ in range(2):
                assert without_waiting(verifier.verify_token(good)).subject == "alice"
        parked = 300 - len(refused_at_once)
        group.cancel_scope.cancel()

    assert parked == 256
    assert set(refused_at_once) == {"256 requests wait for one answer already"}
    await until(lambda: server.connections == 3)  # the first one, the refresh, the one for strangers
    assert keys.status().age == 300


async def test_j8_tokens_of_a_removed_key_are_refused_after_the_next_fetch_though_they_were_remembered(
    server: FaultServer, keys: RemoteKeySet, verifier: JWTVerifier, monotonic: Clock
) -> None:
    server.answer = jwks("a", "b")
    kept, removed = token("a"), token("b")
    for _ in range(2):
        for good in (kept, removed):
            assert (await verifier.verify_token(good)).subject == "alice"
    server.answer = jwks("a")
    monotonic.advance(300)
    await verifier.verify_token(kept)
    await until(lambda: keys.status().age == 0)

    assert without_waiting(verifier.verify_token(kept)).subject == "alice"
    with pytest.raises(InvalidToken) as refused:
        await verifier.verify_token(removed)
    assert refused.value.reason is Reason.unknown_key


# Clocks that are set, and machines that sleep


@pytest.mark.parametrize("jump", [DAY, -DAY], ids=["a day ahead", "a day back"])
async def test_j13_a_wall_clock_that_is_set_ages_no_keys(
    server: FaultServer, keys: RemoteKeySet, verifier: JWTVerifier, wall: Clock, jump: float
) -> None:
    await verifier.prefetch()
    wall.advance(jump)

    good = token(iat=wall.now, exp=wall.now + 3600)
    assert without_waiting(verifier.verify_token(good)).subject == "alice"
    assert (keys.status().age, server.connections) == (0, 1)


@pytest.mark.parametrize(
    ("jump", "reason"), [(DAY, Reason.expired), (-DAY, Reason.not_yet_valid)], ids=["a day ahead", "a day back"]
)
async def test_j13_a_wall_clock_that_is_set_counts_for_tokens_remembered_ones_included(
    verifier: JWTVerifier, wall: Clock, jump: float, reason: Reason
) -> None:
    remembered = token(nbf=NOW)
    await verifier.verify_token(remembered)
    wall.advance(jump)

    with pytest.raises(InvalidToken) as refused:
        await verifier.verify_token(remembered)
    assert refused.value.reason is reason


async def test_j13_after_ten_minutes_of_suspension_keys_serve_at_once_and_are_refreshed(
    server: FaultServer, keys: RemoteKeySet, verifier: JWTVerifier, wall: Clock, monotonic: Clock
) -> None:
    await verifier.prefetch()
    wall.advance(600)
    monotonic.advance(600)

    assert without_waiting(verifier.verify_token(token())).subject == "alice"
    assert keys.status().age == 600
    await until(lambda: keys.status().age == 0)
    assert server.connections == 2


async def test_j13_a_token_that_ended_while_the_machine_was_suspended_is_refused(
    verifier: JWTVerifier, wall: Clock, monotonic: Clock
) -> None:
    remembered = token(exp=NOW + 300)
    await verifier.verify_token(remembered)
    wall.advance(600)
    monotonic.advance(600)

    with pytest.raises(InvalidToken):
        await verifier.verify_token(remembered)


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="this system has no clock that counts suspension")
def test_j13_the_default_clock_counts_suspension() -> None:
    before = time.clock_gettime(time.CLOCK_BOOTTIME)

    assert before <= boottime() <= time.clock_gettime(time.CLOCK_BOOTTIME)


# Fifty workers that started together


class Provider:
    """Fails until `recovers_at`; it notes when it was asked after that."""

    def __init__(self, clock: Clock, recovers_at: float) -> None:
        self._clock = clock
        self.recovers_at = recovers_at
        self.arrivals: list[float] = []

    async def __call__(self, *, since: Mapping[str, str], forced: bool) -> Fetched[str]:
        if since and self._clock.now < self.recovers_at:
            raise FetchError("the answer is 500")
        if since:
            self.arrivals.append(self._clock.now - self.recovers_at)
        return Fetched(value="keys", headers={"etag": "1"})


async def recover(workers: int, outage: float) -> list[float]:
    """Let `workers` live through an outage, always asked; return when after its end the provider heard of each."""
    clock, spread = Clock(0.0), random.Random(15)  # noqa: S311  # the jitter of a simulation
    provider = Provider(clock, outage)
    held = [
        RemoteDocument("it", provider, Freshness(), same=str.__eq__, monotonic=clock, uniform=spread.uniform)
        for _ in range(workers)
    ]
    for one in held:
        await one.get()
    while len(provider.arrivals) < workers:
        pauses = [one.status().next_attempt_in for one in held]
        clock.advance(min(pauses))
        held[pauses.index(min(pauses))].peek()
        await anyio.wait_all_tasks_blocked()
    return provider.arrivals


async def test_j15_after_an_outage_fifty_workers_come_back_within_a_minute_and_not_together() -> None:
    arrivals = await recover(50, outage=3600)

    assert max(arrivals) <= 60
    per_second = Counter(int(arrival) for arrival in arrivals)
    assert per_second[0] <= 5
    assert max(per_second.values()) <= 10
    # Pauses are of 30 to 60 seconds, so that for 30 seconds arrivals are even: chi squared, 5 degrees of freedom, 1 %.
    bins = [sum(1 for arrival in arrivals if low <= arrival < low + 5) for low in range(0, 30, 5)]
    even = sum(bins) / 6
    assert sum((count - even) ** 2 / even for count in bins) < 15.09


# Processes and threads

_FORK = """
import asyncio, os, sys, threading, warnings

from asgi_bearer import Freshness, RemoteKeySet

warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn of forks beside threads
url, when = sys.argv[1:]
# Patient: the first fetch of a process imports the client, on a machine that may have other things to do.
keys = RemoteKeySet(url, freshness=Freshness(wait=25), timeout=25, connect_timeout=25)


def use(kid):
    async def find():
        return [key.kid for key in await keys.find(kid, "ES256")]

    return asyncio.run(find())


def fork(kid):
    child = os.fork()
    if child == 0:
        os._exit(0 if use(kid) == [kid] else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def fork_within_a_fetch():
    found = []
    thread = threading.Thread(target=lambda: found.extend(use("a")))
    thread.start()
    sys.stdin.readline()  # the fetch has arrived, and is not answered before that of the child has
    code = fork("a")
    thread.join()
    return found, code


if when == "before":
    print(fork("a"), use("a"))
elif when == "after":
    print(use("a"), fork("b"), use("a"))
else:
    print(*fork_within_a_fetch())
sys.stdout.flush()
os._exit(0)
"""


class InTurn:
    """Gives each request its own answer; the first one waits for the second, if it is told to."""

    def __init__(self, *answers: Any, first_waits: bool = False) -> None:
        self._answers = list(answers)
        self._second = anyio.Event()
        self._first_waits = first_waits

    async def __call__(self, stream: Any, request: Request) -> None:
        answer = self._answers.pop(0)
        if self._answers and self._first_waits:
            await self._second.wait()
        await answer(stream, request)
        if not self._answers:
            self._second.set()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize(
    ("when", "answers", "printed"),
    [
        pytest.param("before", lambda: InTurn(jwks("a"), jwks("a")), "0 ['a']", id="before the first use"),
        pytest.param("after", lambda: InTurn(jwks("a"), jwks("a", "b")), "['a'] 0 ['a']", id="after the first use"),
        pytest.param("within", lambda: InTurn(jwks("a"), jwks("a"), first_waits=True), "['a'] 0", id="within a fetch"),
    ],
)
def test_j11_a_child_process_fetches_for_itself(
    server: FaultServer, when: str, answers: Callable[[], InTurn], printed: str
) -> None:
    server.answer = answers()
    command = [sys.executable, "-c", _FORK, server.origin + "/jwks", when]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        if when == "within":
            wait_for_request(server)
        stdout, stderr = process.communicate("\n", timeout=30)

    assert (stdout, stderr) == (printed + "\n", "")
    assert server.connections == 2


def wait_for_request(server: FaultServer) -> None:
    ends = time.monotonic() + 30
    while not server.requests and time.monotonic() < ends:
        time.sleep(0.001)


def test_j11_threads_with_event_loops_of_their_own_share_a_key_set(server: FaultServer) -> None:
    verifier = JWTVerifier(jwks_uri=server.origin + "/jwks", issuer=ISSUER, audience=AUDIENCE, clock=Clock(NOW))
    app = BearerMiddleware(Echo(), verifier)
    answers: list[int] = []

    def call_three_times() -> None:
        client = TestClient(app)
        answers.extend(client.get("/", headers=bearer(token())).status_code for _ in range(3))

    threads = [threading.Thread(target=call_three_times) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert answers == 12 * [200]
    assert 1 <= server.connections <= 4


# What the keys and the metadata say beside the keys


def test_ks12_certificates_beside_a_key_are_not_looked_at() -> None:
    another = certificate(private_rsa().public_key(), years=100)
    jwk = {**signing_key("RS256").public_jwk("a"), "x5c": [another.hex()], "x5t": "AAAA", "x5u": "https://evil.example"}

    assert StaticKeySet({"keys": [jwk]}).holds(signing_key("RS256").thumbprint)


async def test_md7_algorithms_that_the_metadata_names_widen_nothing(server: FaultServer, wall: Clock) -> None:
    metadata = {
        "issuer": server.origin,
        "jwks_uri": server.origin + "/jwks",
        "id_token_signing_alg_values_supported": ["none", "HS256", "ES256"],
    }
    server.answer = by_path({"/.well-known/openid-configuration": document(metadata), "/jwks": jwks("a")})
    keys = RemoteKeySet(Discovery(server.origin), algorithm="RS256")
    verifier = JWTVerifier(keys=keys, algorithm="RS256", issuer=server.origin, audience=AUDIENCE, clock=wall)

    with pytest.raises(InvalidToken) as refused:
        await verifier.verify_token(token(iss=server.origin))
    assert refused.value.reason is Reason.unsupported_algorithm
