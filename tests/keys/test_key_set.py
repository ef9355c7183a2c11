"""Key sets: which keys are tried for a token, and what becomes of them when the provider rotates or fails."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from fakes import Clock
from fault_server import Answer, FaultServer, by_path, document, fault_server, hang, text
from key_material import okp_jwk, signing_key

from asgi_bearer.errors import InvalidToken, VerifierUnavailable
from asgi_bearer.keys.jose import SigningKey, import_jwk, import_pem, secret_key
from asgi_bearer.keys.key_set import MAX_KEYS, RemoteKeySet, StaticKeySet
from asgi_bearer.remote.discovery import Discovery
from asgi_bearer.remote.document import Freshness
from asgi_bearer.verifiers.jwt import JWTVerifier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from asgi_bearer.keys.jose import Key

pytestmark = pytest.mark.anyio


def jwk(kid: str | None, number: int = 0, **members: Any) -> dict[str, Any]:
    public = {**signing_key("ES256", number).public_jwk("k"), "kid": kid, **members}
    return {name: value for name, value in public.items() if value is not None}


def thumbprint(number: int = 0) -> str:
    return signing_key("ES256", number).thumbprint


def names(keys: Sequence[Key]) -> list[str | None]:
    return [key.kid for key in keys]


SECRET_JWK = {"kty": "oct", "kid": "o", "k": "c2VjcmV0", "alg": "HS256"}
USELESS: dict[str, Any] = {
    "null": None,
    "a number": 5,
    "text": "key",
    "an array": [],
    "an empty object": {},
    "kty of tomorrow": {"kty": "AKP", "pub": "AAAA"},
    "an unknown curve": {"kty": "EC", "crv": "P-999", "x": "AA", "y": "AA"},
    "bad base64": jwk("a", x="!"),
    "members missing": {"kty": "RSA", "n": "AQAB"},
    "RSA of 512 bits": {"kty": "RSA", "n": "_" * 86, "e": "AQAB"},
    "for encryption": jwk("a", use="enc"),
    "key_ops of objects": jwk("a", key_ops=["verify", {}]),
    "small order": okp_jwk("Ed25519", bytes(32)),
    "symmetric": SECRET_JWK,
    "private": jwk("a", d="AAAA"),
}


# Static


@pytest.mark.parametrize("name", USELESS)
async def test_ks3_a_member_that_cannot_be_used_is_passed_over_and_the_others_serve(name: str) -> None:
    keys = StaticKeySet({"keys": [USELESS[name], jwk("good"), USELESS[name]]})

    assert names(await keys.find("good", "ES256")) == ["good"]
    assert not await keys.find("a", "ES256")
    assert not await keys.find("o", "HS256")


@pytest.mark.parametrize(
    ("useless", "level"),
    [("for encryption", logging.INFO), ("symmetric", logging.WARNING), ("private", logging.WARNING)],
)
def test_ks5_what_is_passed_over_is_logged_and_what_should_be_secret_loudly(
    useless: str, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    StaticKeySet({"keys": [USELESS[useless], jwk("good")]})

    record = caplog.records[-1]
    assert (record.name, record.levelno) == ("asgi_bearer", level)
    assert record.getMessage().startswith("1 of 2 members of a JWK Set are not used: the key is not used: ")
    assert "c2VjcmV0" not in record.getMessage()


@pytest.mark.parametrize(
    "jwks",
    [
        {},
        {"keys": None},
        {"keys": {}},
        {"keys": "x"},
        {"keys": []},
        {"Keys": [jwk("a")]},
        {"keys": [SECRET_JWK]},
        {"keys": [jwk("a", use="enc")]},
    ],
    ids=["empty", "null", "object", "text", "no member", "another name", "only a secret", "only for encryption"],
)
def test_a_set_without_a_key_to_verify_with_is_a_value_error(jwks: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="JWK Set"):
        StaticKeySet(jwks)


@pytest.mark.parametrize("keys", [None, "", "text", b"", 5, {1, 2}, [{"kty": "EC"}], [jwk("a")]], ids=repr)
def test_what_is_neither_a_set_nor_keys_is_a_type_error(keys: Any) -> None:
    with pytest.raises(TypeError, match="jwks is a JWK Set as a dict"):
        StaticKeySet(keys)


def test_a_sequence_of_no_keys_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="give one key at least"):
        StaticKeySet([])


def test_a_key_that_is_given_is_not_narrowed() -> None:
    with pytest.raises(ValueError, match="algorithm= narrows a JWK Set"):
        StaticKeySet([import_jwk(jwk("a"))], algorithm="ES256")


@pytest.mark.parametrize("algorithm", ["none", "NONE", "HS256", "RSA-OAEP", "rs256", ["RS256", "HS512"]], ids=repr)
def test_what_is_no_algorithm_of_public_keys_is_refused_at_construction(algorithm: Any) -> None:
    with pytest.raises(ValueError, match="does not go with public keys"):
        StaticKeySet({"keys": [jwk("a")]}, algorithm=algorithm)
    with pytest.raises(ValueError, match="does not go with public keys"):
        RemoteKeySet("https://idp.example/jwks", algorithm=algorithm)


async def test_algorithm_narrows_the_keys() -> None:
    keys = StaticKeySet({"keys": [jwk("e"), signing_key("Ed25519").public_jwk("d")]}, algorithm="EdDSA")

    assert names(await keys.find("d", "Ed25519")) == ["d"]
    assert not await keys.find("e", "ES256")


async def test_a_key_is_found_by_its_kid_and_for_its_algorithm_only() -> None:
    keys = StaticKeySet({"keys": [jwk("a"), jwk("b", 1)]})

    assert names(await keys.find("a", "ES256")) == ["a"]
    assert not await keys.find("a", "RS256")
    assert not await keys.find("c", "ES256")
    assert not await keys.find("", "ES256")


async def test_ks6_keys_with_the_same_kid_are_all_tried() -> None:
    keys = StaticKeySet({"keys": [jwk("a"), jwk("a", 1), signing_key("Ed25519").public_jwk("a")]})

    assert [key.thumbprint for key in await keys.find("a", "ES256")] == [thumbprint(), thumbprint(1)]


@pytest.mark.parametrize("count", [1, 4, 6])
async def test_ks7_without_a_kid_the_keys_that_fit_are_tried_four_at_most(count: int) -> None:
    members = [jwk(f"k{number}", number) for number in range(count)]
    keys = StaticKeySet({"keys": [signing_key("Ed25519").public_jwk("ed"), *members]})

    assert names(await keys.find(None, "ES256")) == [f"k{number}" for number in range(min(count, 4))]


async def test_ks11_of_a_set_without_end_only_the_first_members_are_read() -> None:
    keys = StaticKeySet({"keys": [jwk("a"), *(MAX_KEYS - 1) * [{}], jwk("beyond", 1)]})

    assert names(await keys.find("a", "ES256")) == ["a"]
    assert not await keys.find("beyond", "ES256")


@pytest.mark.parametrize("kid", [None, "whatever"])
async def test_keys_without_names_serve_whatever_the_kid(kid: str | None) -> None:
    from_pem = StaticKeySet([import_pem(signing_key("ES256").public_pem)])
    from_secret = StaticKeySet([secret_key("s" * 32, "HS256")])

    assert len(await from_pem.find(kid, "ES256")) == 1
    assert len(await from_secret.find(kid, "HS256")) == 1
    assert not await from_pem.find(kid, "HS256")


def test_a_static_set_does_not_change() -> None:
    keys = StaticKeySet({"keys": [jwk("a")]})

    assert keys.current() == 0
    assert keys.holds(thumbprint())
    assert not keys.holds(thumbprint(1))


# Remote


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with fault_server(jwks("a")) as server:
        yield server


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


def jwks(*kids: str, **headers: str) -> Answer:
    """A set of keys; the key named "a" is always the same one, and so on."""
    return document({"keys": [jwk(kid, ord(kid) - ord("a")) for kid in kids]}, **headers)


def remote(server: FaultServer, clock: Clock, **options: Any) -> RemoteKeySet:
    return RemoteKeySet(server.origin + "/jwks", monotonic=clock, **options)


async def until(happened: Callable[[], bool]) -> None:
    """Wait for what runs detached: a fetch on real sockets."""
    with anyio.fail_after(10):
        while not happened():  # noqa: ASYNC110  # what happens, happens on sockets
            await anyio.sleep(0.0005)


async def refreshed(keys: RemoteKeySet) -> None:
    """Ask, as a request does, and wait until the refresh that this started has ended."""
    failures = keys.status().failures
    keys.current()
    await until(lambda: keys.status().age == 0 or keys.status().failures > failures)


async def test_no_request_is_made_before_the_first_token(server: FaultServer, clock: Clock) -> None:
    keys = remote(server, clock)

    assert keys.current() is None
    assert not keys.holds(thumbprint())
    await checkpoint()
    assert server.connections == 0


async def test_the_first_token_fetches_the_set_and_the_next_ones_find_it(server: FaultServer, clock: Clock) -> None:
    keys = remote(server, clock)
    for _ in range(3):
        assert names(await keys.find("a", "ES256")) == ["a"]

    assert (keys.current(), keys.holds(thumbprint()), server.connections) == (1, True, 1)
    assert server.requests[0].headers["accept"] == "application/jwk-set+json, application/json"
    assert "cache-control" not in server.requests[0].headers


async def test_prefetch_fetches_the_set_once(server: FaultServer, clock: Clock) -> None:
    keys = remote(server, clock)
    await keys.prefetch()
    await keys.prefetch()

    assert server.connections == 1
    assert keys.status().generation == 1


async def test_j1_a_thousand_cold_tokens_make_one_request(server: FaultServer, clock: Clock) -> None:
    keys, found = remote(server, clock), []

    async def ask() -> None:
        found.append(len(await keys.find("a", "ES256")))

    async with anyio.create_task_group() as group:
        for _ in range(1000):
            group.start_soon(ask)
    assert (server.connections, found) == (1, 1000 * [1])


async def test_j7_the_first_token_with_a_new_key_is_verified(server: FaultServer, clock: Clock) -> None:
    keys = remote(server, clock)
    await keys.prefetch()
    server.answer = jwks("a", "b")

    assert names(await keys.find("b", "ES256")) == ["b"]
    assert server.requests[1].headers["cache-control"] == "no-cache"
    assert keys.current() == 2


async def test_j2_ks8_ten_thousand_unknown_kids_cost_one_request_per_cooldown(
    server: FaultServer, clock: Clock
) -> None:
    keys = remote(server, clock)
    await keys.prefetch()
    for number in range(10_000):
        assert not await keys.find(f"random-{number}", "ES256")
        clock.advance(0.002)  # 20 seconds in all

    assert 3 <= server.connections <= 1 + 2 + 1


async def test_j7_a_key_published_during_a_flood_is_found_after_the_cooldown(server: FaultServer, clock: Clock) -> None:
    keys = remote(server, clock)
    await keys.prefetch()
    await keys.find("random", "ES256")
    server.answer = jwks("a", "b")
    assert not await keys.find("b", "ES256")

    clock.advance(10)
    assert names(await keys.find("b", "ES256")) == ["b"]


async def test_j9_unknown_kids_while_the_provider_fails_are_not_known_and_known_ones_are_served(
    server: FaultServer, clock: Clock
) -> None:
    keys = remote(server, clock)
    await keys.prefetch()
    server.answer = text(500, b"")
    for number in range(100):
        with pytest.raises(VerifierUnavailable, match="the key set cannot be had: the answer is 500"):
            await keys.find(f"random-{number}", "ES256")
        assert names(await keys.find("a", "ES256")) == ["a"]
    assert server.connections == 2

    # The refresh fails as well, the budget for unknown kids is spent: the known key serves on.
    clock.advance(300)
    await refreshed(keys)
    assert names(await keys.find("a", "ES256")) == ["a"]


async def test_a_known_kid_with_another_algorithm_costs_no_request(server: FaultServer, clock: Clock) -> None:
    keys = remote(server, clock)
    for alg in ("RS256", "HS256", "none"):
        assert not await keys.find("a", alg)

    assert server.connections == 1


async def test_a_token_without_kid_tries_the_keys_that_fit(server: FaultServer, clock: Clock) -> None:
    server.answer = jwks("a", "b")

    assert names(await remote(server, clock).find(None, "ES256")) == ["a", "b"]


async def test_j8_a_removed_key_is_gone_with_the_next_fetch(server: FaultServer, clock: Clock) -> None:
    server.answer = jwks("a", "b")
    keys = remote(server, clock)
    await keys.prefetch()
    assert keys.holds(thumbprint(1))
    server.answer = jwks("a")
    clock.advance(300)
    await refreshed(keys)

    assert (keys.current(), keys.holds(thumbprint()), keys.holds(thumbprint(1))) == (2, True, False)
    assert not await keys.find("b", "ES256")


async def test_a_key_replaced_under_the_same_kid_is_another_key(server: FaultServer, clock: Clock) -> None:
    keys = remote(server, clock)
    await keys.prefetch()
    server.answer = document({"keys": [jwk("a", 1)]})
    clock.advance(300)
    await refreshed(keys)

    assert (keys.current(), keys.holds(thumbprint()), keys.holds(thumbprint(1))) == (2, False, True)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(document({}), id="an empty object"),
        pytest.param(document({"keys": None}), id="keys null"),
        pytest.param(document({"keys": []}), id="no keys"),
        pytest.param(document([jwk("b", 1)]), id="an array"),
        pytest.param(document({"keys": [SECRET_JWK]}), id="only a secret"),
        pytest.param(text(404, json.dumps({"keys": [jwk("b", 1)]}).encode()), id="404 with keys"),
        pytest.param(text(200, b'{"keys":[],"keys":[]}'), id="a name twice"),
        pytest.param(text(200, b"<html>"), id="HTML"),
        pytest.param(text(200, b" " * 300_000 + b"{}"), id="too long"),
    ],
)
async def test_ks4_an_answer_without_usable_keys_changes_nothing(
    server: FaultServer, clock: Clock, answer: Answer
) -> None:
    keys = remote(server, clock)
    await keys.prefetch()
    server.answer = answer
    clock.advance(300)
    await refreshed(keys)

    assert keys.status().failures == 1
    assert (keys.current(), names(await keys.find("a", "ES256"))) == (1, ["a"])


async def test_keys_in_another_content_type_are_read(server: FaultServer, clock: Clock) -> None:
    server.answer = document({"keys": [jwk("a")]}, **{"content-type": "text/plain"})

    assert names(await remote(server, clock).find("a", "ES256")) == ["a"]


async def test_j4_beyond_max_stale_nothing_is_known(server: FaultServer, clock: Clock) -> None:
    keys = remote(server, clock, freshness=Freshness(max_stale=3600))
    await keys.prefetch()
    server.answer = text(500, b"")
    clock.advance(3600)

    assert keys.current() is None
    assert not keys.holds(thumbprint())
    with pytest.raises(VerifierUnavailable):
        await keys.find("a", "ES256")


async def test_j12_a_refresh_is_conditional_and_not_modified_keeps_the_keys(server: FaultServer, clock: Clock) -> None:
    server.answer = jwks("a", etag='"v1"', last_modified="Wed, 21 Oct 2026 07:28:00 GMT")
    keys = remote(server, clock)
    first = await keys.find("a", "ES256")
    server.answer = text(304, b"", cache_control="max-age=600")
    clock.advance(300)
    await refreshed(keys)

    assert server.requests[1].headers["if-none-match"] == '"v1"'
    assert server.requests[1].headers["if-modified-since"] == "Wed, 21 Oct 2026 07:28:00 GMT"
    assert (await keys.find("a", "ES256"))[0] is first[0]
    status = keys.status()
    assert (status.generation, status.failures, status.age) == (1, 0, 0)
    assert status.next_attempt_in > 300


async def test_an_etag_beyond_ascii_does_not_hinder_the_refresh(server: FaultServer, clock: Clock) -> None:
    server.answer = jwks("a", etag='"clé"')
    keys = remote(server, clock)
    await keys.prefetch()
    clock.advance(300)
    await refreshed(keys)

    assert keys.status().failures == 0
    assert "if-none-match" not in server.requests[1].headers


@pytest.mark.parametrize(
    ("options", "answer", "why"),
    [
        pytest.param({"timeout": 0.05}, hang, "no answer within 0.05 s", id="timeout"),
        pytest.param({"max_bytes": 10}, document({"keys": [jwk("a")]}), "longer than 10 bytes", id="max_bytes"),
        pytest.param({"max_keys": 1}, document({"keys": [{}, jwk("a")]}), "no key to verify with", id="max_keys"),
    ],
)
async def test_what_a_fetch_may_cost_is_an_option(
    server: FaultServer, clock: Clock, options: dict[str, Any], answer: Answer, why: str
) -> None:
    server.answer = answer
    with pytest.raises(VerifierUnavailable, match=why):
        await remote(server, clock, **options).prefetch()


async def test_a_set_longer_than_the_default_is_read_where_max_bytes_says_so(server: FaultServer, clock: Clock) -> None:
    server.answer = document({"keys": [jwk("a")], "padding": "x" * 300_000})
    keys = remote(server, clock, max_bytes=400_000)

    assert names(await keys.find("a", "ES256")) == ["a"]


async def test_prefetch_waits_as_long_as_a_fetch_may_take_and_not_as_short_as_a_request(
    server: FaultServer, clock: Clock
) -> None:
    keys = remote(server, clock, freshness=Freshness(wait=0))
    await keys.prefetch()

    assert keys.current() == 1


@pytest.mark.parametrize(("on_empty", "generation", "serves"), [("keep", 1, True), ("revoke", 2, False)])
async def test_an_empty_set_is_a_failure_or_the_end_of_all_keys_as_configured(
    server: FaultServer, clock: Clock, on_empty: Any, generation: int, *, serves: bool
) -> None:
    keys = remote(server, clock, on_empty=on_empty)
    await keys.prefetch()
    server.answer = document({"keys": []})
    clock.advance(300)
    await refreshed(keys)

    assert (keys.current(), keys.holds(thumbprint())) == (generation, serves)
    assert (keys.status().failures == 0) is not serves


async def test_the_status_is_what_a_readiness_endpoint_needs(server: FaultServer, clock: Clock) -> None:
    wall = Clock(1_800_000_000.0)
    keys = RemoteKeySet(server.origin + "/jwks", monotonic=clock, clock=wall)
    status = keys.status()
    assert (status.age, status.serves_for, status.last_success, status.kids) == (None, 0, None, ())

    server.answer = document({"keys": [jwk("a"), jwk(None, 1), jwk("b", 2)]})
    await keys.prefetch()
    clock.advance(60)
    wall.advance(60)
    status = keys.status()
    assert (status.age, status.serves_for, status.last_success) == (60, 86340, 1_800_000_000.0)
    assert (status.failures, status.generation, status.last_error, status.kids) == (0, 1, None, ("a", "b"))
    assert 0 < status.next_attempt_in < 300


def metadata(server: FaultServer, jwks_path: str) -> Answer:
    return document({"issuer": server.origin, "jwks_uri": server.origin + jwks_path})


OPENID = "/.well-known/openid-configuration"


async def test_the_set_of_an_issuer_is_found_through_its_metadata(server: FaultServer, clock: Clock) -> None:
    server.answer = by_path({OPENID: metadata(server, "/keys"), "/keys": jwks("a")})
    keys = RemoteKeySet(Discovery(server.origin, monotonic=clock), monotonic=clock)

    assert names(await keys.find("a", "ES256")) == ["a"]


async def test_while_the_metadata_cannot_be_had_nothing_is_known(server: FaultServer, clock: Clock) -> None:
    server.answer = text(503, b"", retry_after="100")
    keys = RemoteKeySet(Discovery(server.origin, monotonic=clock), monotonic=clock)

    with pytest.raises(VerifierUnavailable, match="the answer is 503") as caught:
        await keys.find("a", "ES256")
    assert caught.value.retry_after == 100


@pytest.mark.parametrize("status", [404, 410])
async def test_after_three_times_not_found_the_metadata_is_read_again(
    server: FaultServer, clock: Clock, status: int
) -> None:
    here = {OPENID: metadata(server, "/old"), "/old": jwks("a")}
    server.answer = by_path(here)
    keys = RemoteKeySet(Discovery(server.origin, monotonic=clock), monotonic=clock)
    await keys.prefetch()
    server.answer = by_path({OPENID: metadata(server, "/new"), "/old": text(status, b""), "/new": jwks("a", "b")})
    for _ in range(3):
        clock.advance(300)
        await refreshed(keys)
    assert keys.status().failures == 3

    clock.advance(300)
    await refreshed(keys)
    assert keys.status().failures == 0
    assert keys.holds(thumbprint(1))


async def test_what_was_there_in_between_begins_the_count_anew(server: FaultServer, clock: Clock) -> None:
    there, gone = jwks("a", etag='"1"'), text(404, b"")
    answers = {OPENID: metadata(server, "/old"), "/old": there}
    server.answer = by_path(answers)
    keys = RemoteKeySet(Discovery(server.origin), monotonic=clock)
    await keys.prefetch()
    looked = len(server.requests)
    for answer in (gone, gone, text(304, b""), gone, gone, there, gone, gone, there):
        answers["/old"] = answer
        clock.advance(300)
        await refreshed(keys)

    assert [request.path for request in server.requests[looked:]] == 9 * ["/old"]


@pytest.mark.parametrize("backends", [("asyncio", "asyncio", "asyncio"), ("asyncio", "trio", "asyncio")], ids="-".join)
def test_j11_a_key_set_serves_one_event_loop_after_the_other(
    server: FaultServer, clock: Clock, backends: tuple[str, ...]
) -> None:
    keys = remote(server, clock)

    async def main() -> None:
        clock.advance(300)
        assert names(await keys.find("a", "ES256")) == ["a"]
        await until(lambda: keys.status().age == 0)

    for backend in backends:
        anyio.run(main, backend=backend)
    assert (server.connections, keys.status().failures) == (len(backends), 0)


@pytest.mark.parametrize(
    ("options", "error", "why"),
    [
        ({"url": "http://idp.example/jwks"}, ValueError, "jwks_uri must be https"),
        ({"url": "file:///jwks"}, ValueError, "jwks_uri must be an https URL"),
        ({"url": ""}, ValueError, "jwks_uri is empty"),
        ({"url": 5}, TypeError, "jwks_uri is a str, not int"),
        ({"algorithm": 5}, TypeError, "algorithm is "),
        ({"allow_insecure_http": 1}, TypeError, "allow_insecure_http is True or False"),
        ({"freshness": 300}, TypeError, "freshness is a Freshness"),
        ({"monotonic": 5}, TypeError, "monotonic is a function"),
        ({"clock": 5}, TypeError, "clock is a function"),
        ({"timeout": 0}, ValueError, "timeout is a number of seconds, 0.001 or more"),
        ({"connect_timeout": "2"}, TypeError, "connect_timeout is a number of seconds"),
        ({"max_bytes": 0}, ValueError, "max_bytes is 1 or more"),
        ({"max_keys": 1.5}, TypeError, "max_keys is a whole number"),
        ({"on_empty": "forget"}, ValueError, "on_empty is one of 'keep', 'revoke'"),
        ({"on_event": "print"}, TypeError, "on_event is a function"),
        ({"snapshot": b"{}"}, TypeError, "snapshot is the str that .* returned, not bytes"),
    ],
    ids=lambda value: repr(value) if isinstance(value, dict) else "",
)
def test_options_that_cannot_be_meant_are_refused_at_construction(
    options: dict[str, Any], error: type[Exception], why: str
) -> None:
    with pytest.raises(error, match=why):
        RemoteKeySet(**{"url": "https://idp.example/jwks", **options})


@pytest.mark.parametrize("url", ["http://127.0.0.1/jwks", "http://localhost:8080/jwks", "http://[::1]/jwks"])
def test_ks1_plain_http_is_taken_for_this_machine(url: str) -> None:
    assert RemoteKeySet(url).status().failures == 0


@pytest.mark.parametrize(
    ("refetches", "statuses", "fetches"),
    [(False, [200, 401, 401], 1), (True, [200, 200, 200], 2)],
    ids=["not", "asked"],
)
async def test_a_key_that_changed_behind_its_kid_is_found_where_that_is_asked_for(
    server: FaultServer, refetches: bool, statuses: list[int], fetches: int
) -> None:
    before, after = SigningKey.generate("ES256"), SigningKey.generate("ES256")
    server.answer = document({"keys": [before.public_jwk("a")]})
    keys = RemoteKeySet(server.origin + "/jwks", refetch_on_bad_signature=refetches)
    verifier = JWTVerifier(keys=keys, issuer="https://idp.example", audience="api", clock=lambda: 1_800_000_000.0)
    claims = {"iss": "https://idp.example", "aud": "api", "exp": 1_800_000_600}

    async def status(key: SigningKey, **more: Any) -> int:
        try:
            await verifier.verify_token(key.sign({"kid": "a"}, claims | more))
        except InvalidToken:
            return 401
        return 200

    first = await status(before)
    server.answer = document({"keys": [after.public_jwk("a")]})

    assert [first, await status(after), await status(after, jti="2")] == statuses
    # A forgery costs nothing within the cooldown.
    assert await status(SigningKey.generate("ES256")) == 401
    assert len(server.requests) == fetches
