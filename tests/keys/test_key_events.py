"""What operators hear of keys: that they were fetched, grow old, cannot be had, or are asked for in vain."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from fakes import Clock, Echo
from fault_server import FaultServer, document, fault_server, text
from key_material import signing_key

from asgi_bearer import BearerMiddleware, ChainVerifier, JWTVerifier, MultiIssuerVerifier, StaticKeySet
from asgi_bearer.errors import InvalidToken, VerifierUnavailable
from asgi_bearer.events import Event, KeysRefreshed, KeysStale, KeysUnavailable, UnknownKey
from asgi_bearer.keys.key_set import RemoteKeySet
from asgi_bearer.remote.document import Freshness

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.anyio

ISSUER, AUDIENCE = "https://idp.example", "https://api.example"


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with fault_server(jwks("a")) as server:
        yield server


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


def jwks(*kids: str) -> Any:
    return document({"keys": [signing_key("ES256", ord(kid) - ord("a")).public_jwk(kid) for kid in kids]})


def remote(server: FaultServer, clock: Clock, **options: Any) -> RemoteKeySet:
    return RemoteKeySet(server.origin + "/jwks?key=s3cret", monotonic=clock, **options)


def source_of(server: FaultServer) -> str:
    return server.origin + "/jwks?" + hashlib.sha256(b"key=s3cret").hexdigest()[:8]


async def until(happened: Callable[[], bool]) -> None:
    """Wait for what runs detached: a fetch on real sockets."""
    with anyio.fail_after(10):
        while not happened():  # noqa: ASYNC110  # what happens, happens on sockets
            await anyio.sleep(0.0005)


async def refreshed(keys: RemoteKeySet, events: list[Event]) -> Event:
    """Start the refresh that is due; return the event it ends with."""
    told = len(events)
    keys.current()
    await until(lambda: len(events) > told)
    return events[-1]


async def test_a_day_in_the_life_of_keys(server: FaultServer, clock: Clock) -> None:
    events: list[Event] = []
    source = source_of(server)
    keys = remote(server, clock, on_event=events.append, freshness=Freshness(max_stale=3600))
    await keys.prefetch()
    assert events == [KeysRefreshed(source=source, generation=1, keys=1, age=None, failures=0)]

    server.answer = text(500, b"")
    clock.advance(300)
    stale = await refreshed(keys, events)
    why = "the answer is 500"
    assert stale == KeysStale(source=source, message=why, age=300, serves_for=3300, failures=1)

    clock.advance(3300)
    gone = await refreshed(keys, events)
    assert isinstance(gone, KeysUnavailable)
    assert (gone.source, gone.message, gone.age, gone.failures) == (source, why, 3600, 2)
    assert 0 < gone.retry_after <= 2

    server.answer = jwks("a", "b")
    clock.advance(60)
    back = await refreshed(keys, events)
    assert back == KeysRefreshed(source=source, generation=2, keys=2, age=3660, failures=2)
    assert len(events) == 4


async def test_a_first_fetch_that_fails_is_told_too(server: FaultServer, clock: Clock) -> None:
    events: list[Event] = []
    server.answer = text(503, b"", retry_after="30")
    with pytest.raises(VerifierUnavailable):
        await remote(server, clock, on_event=events.append).prefetch()

    gone = KeysUnavailable(source=source_of(server), message="the answer is 503", age=None, retry_after=30, failures=1)
    assert events == [gone]


async def test_keys_that_nobody_has_are_told_once_per_cooldown_with_their_count(
    server: FaultServer, clock: Clock
) -> None:
    events: list[Event] = []
    keys = remote(server, clock)
    await keys.prefetch()
    keys.observe(events.append)
    for number in range(1000):
        await keys.find(f"random-{number}", "ES256")
    clock.advance(10)
    await keys.find("random", "ES256")

    unknown = [event for event in events if isinstance(event, UnknownKey)]
    assert [(event.count, event.age) for event in unknown] == [(1, 0), (1000, 0)]
    assert len(events) == 4  # and the two fetches


async def test_a_key_that_is_found_after_all_is_told_as_a_fetch_alone(server: FaultServer, clock: Clock) -> None:
    events: list[Event] = []
    keys = remote(server, clock)
    await keys.prefetch()
    keys.observe(events.append)
    server.answer = jwks("a", "b")
    await keys.find("b", "ES256")

    assert [type(event) for event in events] == [KeysRefreshed]


async def test_a_listener_that_fails_changes_nothing_and_the_others_are_told(
    server: FaultServer, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(event: Event) -> None:
        message = "it shows its-own-secret"
        raise RuntimeError(message)

    events: list[Event] = []
    keys = remote(server, clock, on_event=fail)
    keys.observe(events.append)
    keys.observe(events.append)
    await keys.prefetch()

    assert len(events) == 1
    assert "on_event failed with RuntimeError" in caplog.text
    assert "its-own-secret" not in caplog.text


def token(kid: str) -> str:
    return signing_key("ES256").sign({"kid": kid, "typ": "at+jwt"}, {"iss": ISSUER})


def jwt(keys: RemoteKeySet) -> JWTVerifier:
    return JWTVerifier(keys=keys, issuer=ISSUER, audience=AUDIENCE)


STRATEGIES: dict[str, Callable[[JWTVerifier], Any]] = {
    "JWTVerifier": lambda jwt: jwt,
    "ChainVerifier": lambda jwt: ChainVerifier({"jwt": jwt, "team_": Bare()}),
    "MultiIssuerVerifier": lambda jwt: MultiIssuerVerifier([jwt]),
    "a tenant": lambda jwt: MultiIssuerVerifier([], resolve=lambda _: answered(jwt)),
}


class Bare:
    async def verify_token(self, token: str) -> None:
        return None


async def answered(verifier: JWTVerifier) -> JWTVerifier:
    return verifier


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_the_door_hears_of_the_keys_of_its_strategy(server: FaultServer, clock: Clock, strategy: str) -> None:
    events: list[Event] = []
    verifier = STRATEGIES[strategy](jwt(remote(server, clock)))
    BearerMiddleware(Echo(), verifier, on_event=events.append)
    BearerMiddleware(Echo(), verifier, on_event=events.append)
    with pytest.raises(InvalidToken):
        await verifier.verify_token(token("nobody's"))

    assert [type(event) for event in events] == [KeysRefreshed, KeysRefreshed, UnknownKey]
    assert "s3cret" not in repr(events)


async def test_keys_that_are_not_fetched_have_nothing_to_tell() -> None:
    events: list[Event] = []
    keys = StaticKeySet({"keys": [signing_key("ES256").public_jwk("a")]})
    verifier = JWTVerifier(keys=keys, issuer=ISSUER, audience=AUDIENCE)
    BearerMiddleware(Echo(), verifier, on_event=events.append)
    with pytest.raises(InvalidToken):
        await verifier.verify_token(token("nobody's"))

    assert events == []
