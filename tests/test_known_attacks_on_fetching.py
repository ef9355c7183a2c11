"""Known vulnerabilities of what fetches keys, metadata and verdicts, by their names; each is an attack that fails here.

CVE-2025-43859 (h11) and CVE-2024-45809 (Envoy) are of HTTP parsers and proxies; endless and false lengths are tested in
`remote/test_http.py` on real sockets.
"""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from fakes import Clock, Echo, bearer, call, client_for, http_scope

from asgi_bearer import BearerMiddleware, IntrospectionTokenVerifier, JWTVerifier, RemoteKeySet, VerifierUnavailable
from asgi_bearer.keys.jose import SigningKey
from asgi_bearer.remote.discovery import Discovery
from asgi_bearer.remote.http import FetchError

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.anyio

ISSUER, API, KEYS = "https://idp.example", "https://api.example", "https://idp.example/keys"
KEY, OTHER = SigningKey.generate("ES256"), SigningKey.generate("ES256")


class Web(httpx2.AsyncBaseTransport):
    """A network of one function, which keeps what it was asked."""

    def __init__(self, answer: Callable[[httpx2.Request], httpx2.Response]) -> None:
        self.answer = answer
        self.requests: list[httpx2.Request] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        return self.answer(request)


def document(*members: Any) -> Callable[[httpx2.Request], httpx2.Response]:
    return lambda _: httpx2.Response(200, json={"keys": list(members)})


def token(clock: Clock, key: SigningKey = KEY, kid: str = "k") -> str:
    return key.sign({"kid": kid}, {"iss": ISSUER, "aud": API, "exp": clock.now + 10**6})


def protected(keys: RemoteKeySet, clock: Clock) -> httpx2.AsyncClient:
    return client_for(BearerMiddleware(Echo(), JWTVerifier(keys=keys, issuer=ISSUER, audience=API, clock=clock)))


FORBIDDEN = ["file:///etc/passwd", "ftp://idp.example/keys", "data:application/json,{}", "http://169.254.169.254/keys"]


@pytest.mark.parametrize("url", FORBIDDEN)
def test_cve_2026_48522_pyjwt_no_other_scheme_is_configured(url: str) -> None:
    with pytest.raises(ValueError, match="https"):
        RemoteKeySet(url)


@pytest.mark.parametrize("url", [*FORBIDDEN, "http://127.0.0.1:8500/v1/kv", 7, None])
async def test_cve_2026_41413_istio_no_other_place_is_named_by_metadata(url: object) -> None:
    web = Web(lambda _: httpx2.Response(200, json={"issuer": ISSUER, "jwks_uri": url}))

    with pytest.raises(FetchError):
        await Discovery(ISSUER, transport=web).endpoint("jwks_uri")
    assert {request.url.host for request in web.requests} == {"idp.example"}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_cve_2026_102267_pyjwt_a_redirect_is_not_followed(status: int) -> None:
    web = Web(lambda _: httpx2.Response(status, headers={"location": "https://evil.example/keys"}))

    with pytest.raises(VerifierUnavailable):
        await RemoteKeySet(KEYS, transport=web).find("k", "ES256")
    assert [str(request.url) for request in web.requests] == [KEYS]


async def test_cve_2026_48524_pyjwt_unknown_kids_cost_two_fetches_and_a_failed_one_takes_no_key() -> None:
    clock = Clock()
    web = Web(document(KEY.public_jwk("k")))
    async with protected(RemoteKeySet(KEYS, transport=web, monotonic=clock), clock) as client:
        first = await client.get("/", headers=bearer(token(clock)))
        web.answer = lambda _: httpx2.Response(500)
        flood = [await client.get("/", headers=bearer(token(clock, OTHER, f"x{number}"))) for number in range(100)]
        last = await client.get("/", headers=bearer(token(clock)))

    assert (first.status_code, last.status_code) == (200, 200)
    assert {response.status_code for response in flood} == {503}
    assert len(web.requests) == 2


BAD_MEMBERS = {
    "CVE-2026-102274 a malformed RSA key": {"kty": "RSA", "n": "!!", "e": "AQAB"},
    "CVE-2026-102275 a private key whose public part is another's": {
        **SigningKey.generate("Ed25519").public_jwk("k"),
        "d": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    },
    "no object": "key",
}


@pytest.mark.parametrize("member", BAD_MEMBERS.values(), ids=BAD_MEMBERS)
async def test_one_bad_member_does_not_take_the_others_along(member: object) -> None:
    keys = RemoteKeySet(KEYS, transport=Web(document(member, KEY.public_jwk("k"))))

    assert [key.kid for key in await keys.find("k", "ES256")] == ["k"]
    assert not await keys.find("k", "Ed25519")


async def test_cve_2025_22149_jwkset_a_removed_key_is_gone_with_the_next_fetch() -> None:
    clock = Clock()
    web = Web(document(KEY.public_jwk("k")))
    async with protected(RemoteKeySet(KEYS, transport=web, monotonic=clock), clock) as client:
        before = await client.get("/", headers=bearer(token(clock)))
        web.answer = document(OTHER.public_jwk("new"))
        clock.advance(20)
        new = await client.get("/", headers=bearer(token(clock, OTHER, "new")))
        removed = await client.get("/", headers=bearer(token(clock)))

    assert (before.status_code, new.status_code, removed.status_code) == (200, 200, 401)


async def test_cve_2025_64527_envoy_two_authorization_lines_while_keys_fail_are_a_400() -> None:
    web = Web(lambda _: httpx2.Response(500))
    verifier = JWTVerifier(keys=RemoteKeySet(KEYS, transport=web), issuer=ISSUER, audience=API)
    line = (b"authorization", b"Bearer " + token(Clock()).encode())

    sent = await call(BearerMiddleware(Echo(), verifier), http_scope(line, line))

    assert sent[0]["status"] == 400
    assert web.requests == []


async def test_cve_2026_21441_urllib3_a_compressed_answer_is_not_unpacked() -> None:
    bomb = gzip.compress(json.dumps({"keys": [KEY.public_jwk("k")], "padding": " " * 10**6}).encode())
    web = Web(lambda _: httpx2.Response(200, headers={"content-encoding": "gzip"}, stream=httpx2.ByteStream(bomb)))
    keys = RemoteKeySet(KEYS, transport=web)

    with pytest.raises(VerifierUnavailable):
        await keys.find("k", "ES256")
    assert "compressed" in str(keys.status().last_error)
    assert web.requests[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("status", [302, 307])
async def test_cve_2026_115563_cve_2026_116685_mcp_credentials_go_to_the_configured_endpoint_alone(status: int) -> None:
    web = Web(lambda _: httpx2.Response(status, headers={"location": "https://evil.example/introspect"}))
    verifier = IntrospectionTokenVerifier(
        introspection_endpoint=f"{ISSUER}/introspect",
        client_id="rs",
        client_secret="a-secret",
        server_url=API,
        transport=web,
    )

    with pytest.raises(VerifierUnavailable):
        await verifier.verify_token("opaque")
    assert [str(request.url) for request in web.requests] == [f"{ISSUER}/introspect"]
