"""What attacks on the package itself have taught: bounds that slipped, outages that were taken for refusals."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import anyio
import httpx2
import pytest
from fakes import Clock, Echo, bearer, call, client_for, http_scope

from asgi_bearer import (
    BearerMiddleware,
    IntrospectionTokenVerifier,
    JWTVerifier,
    RemoteKeySet,
    StaticKeySet,
    StaticTokenVerifier,
    VerifierUnavailable,
)
from asgi_bearer.keys.jose import SigningKey
from asgi_bearer.remote.discovery import Discovery
from asgi_bearer.remote.document import Fetched, Freshness, RemoteDocument
from asgi_bearer.remote.http import FetchError
from asgi_bearer.rules import options

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

pytestmark = pytest.mark.anyio

ISSUER, API = "https://idp.example", "https://api.example"
OLD, NEW = SigningKey.generate("ES256"), SigningKey.generate("ES256")


class Web(httpx2.AsyncBaseTransport):
    """A network of one function."""

    def __init__(self, answer: Callable[[httpx2.Request], Awaitable[httpx2.Response]]) -> None:
        self.answer = answer
        self.requests: list[httpx2.Request] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        return await self.answer(request)


def token(key: SigningKey, kid: str, clock: Clock, **claims: Any) -> str:
    payload = {"iss": ISSUER, "aud": API, "exp": clock.now + 10**6, **claims}
    return key.sign({"kid": kid, "typ": "at+jwt"}, payload)


def jwks(*keys: tuple[str, SigningKey]) -> dict[str, Any]:
    return {"keys": [key.public_jwk(kid) for kid, key in keys]}


async def test_rfc_9110_8_8_3_a_validator_is_for_the_url_that_gave_it() -> None:
    clock, place = Clock(), ["old"]

    async def answer(request: httpx2.Request) -> httpx2.Response:
        if "well-known" in str(request.url):
            return httpx2.Response(200, json={"issuer": ISSUER, "jwks_uri": f"{ISSUER}/{place[0]}"})
        if request.headers.get("if-none-match") == '"1"':
            return httpx2.Response(304)
        key = OLD if str(request.url).endswith("old") else NEW
        return httpx2.Response(200, json=jwks(("k", key)), headers={"etag": '"1"'})

    web = Web(answer)
    keys = RemoteKeySet(Discovery(ISSUER, transport=web, monotonic=clock), transport=web, monotonic=clock)
    door = BearerMiddleware(Echo(), JWTVerifier(keys=keys, issuer=ISSUER, audience=API, clock=clock))
    async with client_for(door) as client:
        before = await client.get("/", headers=bearer(token(OLD, "k", clock)))
        place[0] = "new"
        # An hour for the metadata, then the same for the keys; each refresh is begun by a request and not waited for.
        for _ in range(3):
            clock.advance(3700)
            await client.get("/", headers=bearer(token(OLD, "k", clock)))
            await anyio.wait_all_tasks_blocked()
        after = [(await client.get("/", headers=bearer(token(key, "k", clock)))).status_code for key in (OLD, NEW)]

    assert before.status_code == 200
    assert after == [401, 200]


@pytest.mark.parametrize("value", ["9" * 400, "31536000", "Fri, 31 Dec 9999 23:59:59 GMT"])
async def test_a_retry_after_without_measure_is_a_503_of_five_minutes_at_most(value: str) -> None:
    async def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(503, headers={"retry-after": value, "date": "Fri, 01 Jan 2027 00:00:00 GMT"})

    verifier = IntrospectionTokenVerifier(
        introspection_endpoint=f"{ISSUER}/introspect",
        client_id="rs",
        client_secret="a-secret",
        server_url=API,
        transport=Web(answer),
    )
    async with client_for(BearerMiddleware(Echo(), verifier)) as client:
        response = await client.get("/", headers=bearer("opaque"))

    assert (response.status_code, response.headers["retry-after"]) == (503, "300")


def document(fetch: Any, clock: Clock) -> RemoteDocument[str]:
    return RemoteDocument("a document", fetch, Freshness(), same=str.__eq__, monotonic=clock, uniform=lambda _, b: b)


def test_a_forced_fetch_that_ended_with_its_event_loop_is_no_answer() -> None:
    clock, fetches = Clock(), []

    async def fetch(**_: Any) -> Fetched[str]:
        fetches.append(1)
        if len(fetches) == 2:
            await anyio.sleep_forever()
        return Fetched(value="keys", headers={})

    subject = document(fetch, clock)

    async def first() -> None:
        await subject.get()
        with anyio.move_on_after(0.05):
            await subject.renew()

    anyio.run(first)
    with pytest.raises(VerifierUnavailable):
        anyio.run(subject.renew)

    clock.advance(11)
    assert anyio.run(subject.renew).value == "keys"


def test_of_two_event_loops_the_older_answer_never_comes_last() -> None:
    """An older attempt stops between looking and swapping; the newer one must not slip in there."""
    clock = Clock()
    old_is_comparing, new_has_ended = threading.Event(), threading.Event()
    answers = iter(["first", "older", "newer"])

    def same(_: str, value: str) -> bool:
        if value == "older":
            old_is_comparing.set()
            new_has_ended.wait(0.2)
        return False

    async def fetch(**_: Any) -> Fetched[str]:
        return Fetched(value=next(answers), headers={})

    subject = RemoteDocument("a document", fetch, Freshness(cooldown=0.0), same=same, monotonic=clock)
    anyio.run(subject.get)

    older = threading.Thread(target=anyio.run, args=(subject.renew,))
    older.start()
    old_is_comparing.wait(5)
    newer = anyio.run(subject.renew)
    new_has_ended.set()
    older.join()

    kept = subject.peek()
    assert kept is not None
    assert (newer.value, kept.value, kept.generation) == ("newer", "newer", 3)


async def test_what_introspection_says_counts_from_the_question() -> None:
    clock, active = Clock(), [True]

    async def answer(_: httpx2.Request) -> httpx2.Response:
        said = active[0]
        clock.advance(2.5)
        return httpx2.Response(200, json={"active": said, "aud": API})

    verifier = IntrospectionTokenVerifier(
        introspection_endpoint=f"{ISSUER}/introspect",
        client_id="rs",
        client_secret="a-secret",
        server_url=API,
        cache_ttl=3,
        transport=Web(answer),
        clock=clock,
        monotonic=clock,
    )
    async with client_for(BearerMiddleware(Echo(), verifier)) as client:
        first = await client.get("/", headers=bearer("opaque"))
        active[0] = False
        clock.advance(1)
        later = await client.get("/", headers=bearer("opaque"))

    assert (first.status_code, later.status_code) == (200, 401)


async def test_a_token_that_ends_while_the_keys_are_fetched_has_ended() -> None:
    clock = Clock()

    async def answer(_: httpx2.Request) -> httpx2.Response:
        clock.advance(2)
        return httpx2.Response(200, json=jwks(("k", OLD)))

    keys = RemoteKeySet(f"{ISSUER}/keys", transport=Web(answer))
    verifier = JWTVerifier(keys=keys, issuer=ISSUER, audience=API, leeway=0, clock=clock)
    async with client_for(BearerMiddleware(Echo(), verifier)) as client:
        response = await client.get("/", headers=bearer(token(OLD, "k", clock, exp=clock.now + 1)))

    assert response.status_code == 401


@pytest.mark.parametrize("claims", [None, "", 0, False], ids=repr)
def test_what_names_no_claims_is_not_taken_for_none_required(claims: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"^required_claims is "):
        JWTVerifier(jwks=jwks(("k", OLD)), issuer=ISSUER, audience=API, required_claims=claims)


@pytest.mark.parametrize(
    ("issuer", "allowed", "taken"),
    [
        pytest.param(ISSUER, False, False, id="an issuer elsewhere"),
        pytest.param(ISSUER, True, True, id="an issuer elsewhere, and plain http is meant"),
        pytest.param("http://127.0.0.1:9000", False, True, id="an issuer on loopback"),
    ],
)
async def test_md4_an_https_issuer_has_no_plain_http_on_our_loopback(issuer: str, allowed: bool, taken: bool) -> None:
    async def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json={"issuer": issuer, "jwks_uri": "http://127.0.0.1:8081/keys"})

    discovery = Discovery(issuer, allow_insecure_http=allowed, transport=Web(answer))

    if taken:
        assert await discovery.endpoint("jwks_uri") == "http://127.0.0.1:8081/keys"
    else:
        with pytest.raises(FetchError, match="is not https"):
            await discovery.endpoint("jwks_uri")


@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
async def test_ex15_headers_that_can_be_read_once_are_read_by_the_app_too(method: str) -> None:
    app = Echo()
    door = BearerMiddleware(app, StaticTokenVerifier({"good": {"client_id": "app"}}), optional=True)
    headers = [(b"authorization", b"Bearer good"), (b"origin", b"https://app.example")]

    await call(door, http_scope(method=method) | {"headers": iter(headers)})
    sent = await call(door, http_scope(method=method) | {"headers": iter([(b"authorization", b"Bearer bad")])})

    assert app.scopes[0]["auth"].client_id == "app"
    assert app.scopes[0]["headers"] == headers
    assert sent[0]["status"] == 401


@pytest.mark.parametrize("host", ["[::1]evil.example", "[::1].evil.example", "[::1]:80evil"])
def test_brackets_with_something_behind_are_no_loopback(host: str) -> None:
    with pytest.raises(ValueError, match="must be an https URL"):
        options.url("url", f"http://{host}/")


async def test_jw10_one_key_under_two_algorithms_serves_the_first() -> None:
    key = SigningKey.generate("RS256")
    both = [{**key.public_jwk("one")}, {**key.public_jwk("two"), "alg": "PS256"}]
    keys = StaticKeySet({"keys": both})

    assert [found.kid for found in await keys.find(None, "RS256")] == ["one"]
    assert not await keys.find(None, "PS256")
    assert not await keys.find("two", "RS256")


async def test_a_fetched_set_without_names_ignores_kid_as_a_given_one_does() -> None:
    nameless = [{name: value for name, value in OLD.public_jwk("k").items() if name != "kid"}]

    async def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json={"keys": nameless})

    web = Web(answer)
    for keys in (StaticKeySet({"keys": nameless}), RemoteKeySet(f"{ISSUER}/keys", transport=web)):
        assert len(await keys.find("anything", "ES256")) == 1
    assert len(web.requests) == 1


@pytest.mark.parametrize("kind", [RemoteKeySet, Discovery])
def test_a_transport_that_is_none_is_found_out_at_construction(kind: Any) -> None:
    with pytest.raises(TypeError, match=r"^transport is an httpx2 transport such as .*, not str$"):
        kind(ISSUER, transport="https")


@pytest.mark.parametrize("name", ["client_id", "client_secret"])
def test_credentials_that_cannot_be_sent_are_found_out_at_construction(name: str) -> None:
    given: dict[str, Any] = {"client_id": "rs", "client_secret": "a-secret"} | {name: "caf\udce9"}

    with pytest.raises(ValueError, match=f"^{name} is no text"):
        IntrospectionTokenVerifier(introspection_endpoint=f"{ISSUER}/introspect", server_url=API, **given)
