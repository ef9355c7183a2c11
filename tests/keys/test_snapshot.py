"""A key set that outlives its process: what is written of it, and what of a text is believed."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from fakes import Clock
from fault_server import FaultServer, document, fault_server, text
from key_material import signing_key

from asgi_bearer.errors import VerifierUnavailable
from asgi_bearer.keys import snapshot
from asgi_bearer.keys.key_set import RemoteKeySet
from asgi_bearer.remote.discovery import Discovery
from asgi_bearer.remote.document import Freshness

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.anyio

FETCHED_AT = 1_800_000_000.0
DAY = 86_400.0


def jwk(kid: str = "a", **members: Any) -> dict[str, Any]:
    return {**signing_key("ES256").public_jwk(kid), **members}


GOOD = document({"keys": [jwk(x5c=["MIIB"], comment="hello")]}, etag='"v1"', set_cookie="session=s3cret")


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with fault_server(GOOD) as server:
        yield server


@pytest.fixture
def wall() -> Clock:
    return Clock(FETCHED_AT)


def remote(server: FaultServer, wall: Clock, text: str | None = None, **options: Any) -> RemoteKeySet:
    """Return the key set of a new process: its monotonic clock has begun anew."""
    return RemoteKeySet(server.origin + "/jwks", snapshot=text, clock=wall, monotonic=Clock(5.0), **options)


async def fetched(server: FaultServer, wall: Clock) -> str:
    keys = remote(server, wall)
    await keys.prefetch()
    text = keys.snapshot()
    assert text is not None
    return text


async def until(happened: Callable[[], bool]) -> None:
    """Wait for what runs detached: a fetch on real sockets."""
    with anyio.fail_after(10):
        while not happened():  # noqa: ASYNC110  # what happens, happens on sockets
            await anyio.sleep(0.0005)


async def test_a_snapshot_holds_public_members_the_time_and_the_validators_and_nothing_else(
    server: FaultServer, wall: Clock
) -> None:
    written = json.loads(await fetched(server, wall))

    assert written == {
        "source": server.origin + "/jwks",
        "fetched_at": FETCHED_AT,
        "headers": {"etag": '"v1"', ":url": hashlib.sha256(f"{server.origin}/jwks".encode()).hexdigest()},
        "keys": [jwk()],
    }


def test_what_is_read_is_what_was_written() -> None:
    text = snapshot.write("https://idp.example/jwks", [jwk()], {"etag": "1", "date": "today"}, fetched_at=1000.5)

    restored = snapshot.read(text, "https://idp.example/jwks", now=1060.5, max_bytes=10_000)

    assert restored == ({"keys": [jwk()]}, {"etag": "1"}, 60.0)


async def test_an_api_key_in_the_query_is_not_written(server: FaultServer, wall: Clock) -> None:
    keys = RemoteKeySet(server.origin + "/jwks?key=s3cret", clock=wall)
    await keys.prefetch()

    text = str(keys.snapshot())
    assert "s3cret" not in text
    assert RemoteKeySet(server.origin + "/jwks?key=s3cret", snapshot=text, clock=wall).status().kids == ("a",)
    assert RemoteKeySet(server.origin + "/jwks?key=other", snapshot=text, clock=wall).status().kids == ()


async def test_a_validator_that_no_header_can_hold_does_not_hinder_the_refresh(
    server: FaultServer, wall: Clock
) -> None:
    restored = {**json.loads(await fetched(server, wall)), "headers": {"etag": "a\r\nb: c"}}
    keys = remote(server, wall, json.dumps(restored))
    keys.current()
    await until(lambda: len(server.requests) == 2 and keys.status().next_attempt_in > 0)

    assert keys.status().failures == 0
    assert "if-none-match" not in server.requests[1].headers


async def test_a_restart_within_an_outage_loses_nothing(server: FaultServer, wall: Clock) -> None:
    text_of_keys = await fetched(server, wall)
    server.answer = text(500, b"")
    wall.advance(3600)
    keys = remote(server, wall, text_of_keys)

    await keys.prefetch()
    assert [key.kid for key in await keys.find("a", "ES256")] == ["a"]
    assert keys.holds(signing_key("ES256").thumbprint)
    await until(lambda: keys.status().failures == 1)
    status = keys.status()
    assert (status.age, status.last_success, status.serves_for) == (3600, FETCHED_AT, DAY - 3600)


async def test_a_restored_set_is_refreshed_at_once_by_a_conditional_request(server: FaultServer, wall: Clock) -> None:
    text_of_keys = await fetched(server, wall)
    server.answer = text(304, b"")
    wall.advance(10)
    keys = remote(server, wall, text_of_keys)

    assert keys.current() == 1
    await until(lambda: keys.status().age == 0)
    assert server.requests[1].headers["if-none-match"] == '"v1"'
    assert keys.current() == 1


async def test_a_key_that_is_gone_meanwhile_goes_with_that_refresh(server: FaultServer, wall: Clock) -> None:
    text_of_keys = await fetched(server, wall)
    server.answer = document({"keys": [signing_key("ES256", 1).public_jwk("b")]})
    keys = remote(server, wall, text_of_keys)
    wall.advance(1)
    keys.current()
    await until(lambda: keys.status().generation == 2)

    assert keys.status().kids == ("b",)
    assert not keys.holds(signing_key("ES256").thumbprint)


async def test_max_stale_counts_from_the_fetch_however_often_it_is_handed_on(server: FaultServer, wall: Clock) -> None:
    text_of_keys = await fetched(server, wall)
    server.refuse()
    for _ in range(3):
        wall.advance(DAY / 4)
        text_of_keys = remote(server, wall, text_of_keys).snapshot() or "lost"
    assert json.loads(text_of_keys)["fetched_at"] == FETCHED_AT

    wall.advance(DAY / 4 - 1)
    monotonic = Clock(5.0)
    keys = RemoteKeySet(server.origin + "/jwks", snapshot=text_of_keys, clock=wall, monotonic=monotonic)
    assert keys.current() == 1
    monotonic.advance(1)
    assert keys.current() is None
    assert keys.snapshot() is None
    with pytest.raises(VerifierUnavailable):
        await keys.find("a", "ES256")


async def test_the_snapshot_of_an_issuers_keys_is_that_issuers(server: FaultServer, wall: Clock) -> None:
    metadata = {"issuer": server.origin, "jwks_uri": server.origin + "/jwks", "keys": [jwk()]}
    server.answer = document(metadata)
    keys = RemoteKeySet(Discovery(server.origin), clock=wall)
    await keys.prefetch()
    server.refuse()

    restored = RemoteKeySet(Discovery(server.origin), snapshot=keys.snapshot(), clock=wall)
    assert restored.status().kids == ("a",)


async def test_a_set_emptied_on_purpose_stays_empty(server: FaultServer, wall: Clock) -> None:
    server.answer = document({"keys": []})
    keys = remote(server, wall, on_empty="revoke")
    await keys.prefetch()
    restored = remote(server, wall, keys.snapshot(), on_empty="revoke")

    assert restored.current() == 1
    assert not restored.holds(signing_key("ES256").thumbprint)


def test_where_nothing_was_fetched_there_is_no_snapshot() -> None:
    assert RemoteKeySet("https://idp.example/jwks").snapshot() is None


def written(**members: Any) -> str:
    document = {"source": "https://idp.example/jwks", "fetched_at": FETCHED_AT, "headers": {}, "keys": [jwk()]}
    return json.dumps({**document, **members})


def without(name: str) -> str:
    return json.dumps({member: value for member, value in json.loads(written()).items() if member != name})


UNUSABLE = [
    pytest.param("", "not JSON", id="an empty file"),
    pytest.param("no JSON", "not JSON", id="no JSON"),
    pytest.param("\ud800", "not JSON", id="a lone surrogate"),
    pytest.param("[]", "not an object", id="an array"),
    pytest.param(written()[:-10], "not JSON", id="cut off"),
    pytest.param(written(padding="x" * 600_000), "longer than", id="too long"),
    pytest.param(written(source="https://other.example/jwks"), "another source", id="of another URL"),
    pytest.param(without("source"), "another source", id="of nobody"),
    pytest.param(without("fetched_at"), "when it was fetched", id="without a time"),
    pytest.param(written(fetched_at="today"), "when it was fetched", id="a time in words"),
    pytest.param(written(fetched_at=True), "when it was fetched", id="a time that is true"),
    pytest.param(written(fetched_at=FETCHED_AT + 61), "a time to come", id="of tomorrow"),
    pytest.param(written(fetched_at=FETCHED_AT - DAY), "too old", id="as old as max_stale"),
    pytest.param(written(fetched_at=-(10**19)), "too old", id="before all clocks"),
    pytest.param(without("headers"), "no headers", id="without headers"),
    pytest.param(written(headers={"etag": 5}), "no headers", id="headers that are no text"),
    pytest.param(without("keys"), "a JWK Set is an object with an array", id="without keys"),
    pytest.param(written(keys=[]), "no key to verify with", id="no keys"),
    pytest.param(written(keys=[jwk(d="AAAA")]), "no key to verify with", id="a private key"),
    pytest.param(written(keys=[{"kty": "oct", "k": "c2VjcmV0"}]), "no key to verify with", id="a secret"),
]


@pytest.mark.parametrize(("damaged", "why"), UNUSABLE)
def test_a_snapshot_that_cannot_be_used_is_left_alone_and_the_log_says_why(
    wall: Clock, damaged: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    keys = RemoteKeySet("https://idp.example/jwks", snapshot=damaged, clock=wall, monotonic=Clock(5.0))

    assert keys.status().age is None
    record = caplog.records[-1]
    assert record.levelname == "WARNING"
    assert record.getMessage().startswith("the snapshot of a key set is not used: ")
    assert why in record.getMessage()


def test_a_writer_whose_clock_is_a_little_ahead_is_believed(wall: Clock) -> None:
    text = written(fetched_at=FETCHED_AT + 59)
    keys = RemoteKeySet("https://idp.example/jwks", snapshot=text, clock=wall, monotonic=Clock(5.0))

    assert keys.status().age == 0


def test_a_restored_set_is_narrowed_like_a_fetched_one(wall: Clock) -> None:
    options: dict[str, Any] = {"snapshot": written(), "clock": wall}

    assert RemoteKeySet("https://idp.example/jwks", algorithm="RS256", **options).status().age is None
    assert RemoteKeySet("https://idp.example/jwks", algorithm="ES256", **options).status().kids == ("a",)


def test_with_max_stale_zero_a_restored_set_serves_as_long_as_it_is_fresh(wall: Clock) -> None:
    def restored(age: float) -> RemoteKeySet:
        fetched = written(fetched_at=FETCHED_AT - age)
        return RemoteKeySet(
            "https://idp.example/jwks",
            snapshot=fetched,
            freshness=Freshness(max_stale=0),
            clock=wall,
            monotonic=Clock(5.0),
        )

    assert restored(299).status().serves_for == 1
    assert restored(300).status().age is None
