"""Signed answers: what is asked for, what is demanded, and that there is no way down (RFC 9701; SI1 to SI8)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import httpx2
import pytest
from asking import ACTIVE, API, ISSUER, NOW, SECRET, TOKEN
from fakes import Clock
from joserfc import jwe
from joserfc.jwk import RSAKey
from key_material import private_pem, private_rsa, signing_key

from asgi_bearer import (
    BearerToken,
    IntrospectionTokenVerifier,
    InvalidToken,
    JWTVerifier,
    RemoteKeySet,
    SignedResponse,
    StaticKeySet,
    VerifierUnavailable,
)
from asgi_bearer.events import KeysRefreshed

if TYPE_CHECKING:
    from leaks import Watch

    from asgi_bearer.events import Event
    from asgi_bearer.keys.jose import SigningAlgorithm, SigningKey

pytestmark = pytest.mark.anyio

MEDIA_TYPE = "application/token-introspection+jwt"
KEY = signing_key("RS256")
OUR_PEM = private_pem(private_rsa())
CLAIMS: dict[str, Any] = {"iss": ISSUER, "aud": "rs", "iat": NOW, "token_introspection": ACTIVE}
ABSENT = object()
FOR_ANOTHER = "the answer is for another client: its aud does not name our client_id"


@pytest.fixture(autouse=True)
def _watch_the_credentials(watch: Watch) -> None:
    watch.secrets |= {TOKEN, SECRET}


class Server:
    """An authorization server in process that signs its answers; what the fields say, it does."""

    def __init__(self, **claims: Any) -> None:
        self.claims = {name: value for name, value in {**CLAIMS, **claims}.items() if value is not ABSENT}
        self.header: dict[str, Any] = {"typ": "token-introspection+jwt", "kid": "k"}
        self.key: SigningKey = KEY
        self.published: SigningKey = KEY
        self.media_type = MEDIA_TYPE
        self.status = 200
        self.body: bytes | None = None
        self.asked: list[httpx2.Request] = []
        self.fetched: list[str] = []
        self.transport = httpx2.MockTransport(self._handle)

    @property
    def answer(self) -> str:
        return self.key.sign(self.header, self.claims)

    def _handle(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "POST":
            self.asked.append(request)
            body = self.answer.encode() if self.body is None else self.body
            return httpx2.Response(self.status, content=body, headers={"content-type": self.media_type})
        self.fetched.append(request.url.path)
        if request.url.path == "/keys":
            return httpx2.Response(200, json={"keys": [self.published.public_jwk("k")]})
        metadata = {"issuer": ISSUER, "introspection_endpoint": f"{ISSUER}/introspect", "jwks_uri": f"{ISSUER}/keys"}
        return httpx2.Response(200, json=metadata)


def verifier(server: Server, **options: Any) -> IntrospectionTokenVerifier:
    defaults: dict[str, Any] = {
        "issuer": ISSUER,
        "client_id": "rs",
        "client_secret": SECRET,
        "server_url": API,
        "response": "jwt",
        "transport": server.transport,
        "clock": Clock(NOW),
        "monotonic": Clock(0),
    }
    return IntrospectionTokenVerifier(**{**defaults, **options})


async def why_not(server: Server, **options: Any) -> str:
    """Return why the answer is none: whatever is wrong with it, that says nothing of the token."""
    with pytest.raises(VerifierUnavailable) as caught:
        await verifier(server, **options).verify_token(TOKEN)
    assert len(server.asked) == 1
    return caught.value.message.removeprefix("introspection: ")


async def test_si1_a_signed_answer_is_asked_for_and_read_with_the_issuers_keys() -> None:
    server = Server()

    token = await verifier(server).verify_token(TOKEN)

    assert (token.subject, token.scopes, token.client_id) == ("alice", ("read", "write"), "app")
    assert token.claims == ACTIVE
    (asked,) = server.asked
    assert asked.headers["accept"] == MEDIA_TYPE
    assert server.fetched == ["/.well-known/oauth-authorization-server", "/keys"]


@pytest.mark.parametrize("media_type", [MEDIA_TYPE, MEDIA_TYPE.upper(), f"{MEDIA_TYPE} ; charset=utf-8"])
async def test_si2_the_media_type_is_that_of_signed_answers(media_type: str) -> None:
    server = Server()
    server.media_type = media_type

    assert (await verifier(server).verify_token(TOKEN)).subject == "alice"


@pytest.mark.parametrize("media_type", ["application/json", "application/jwt", "text/plain", ""])
@pytest.mark.parametrize("body", [None, json.dumps(ACTIVE).encode(), b'{"active":false}'], ids=["signed", "yes", "no"])
async def test_si2_an_answer_of_another_media_type_is_none_whatever_it_says(media_type: str, body: Any) -> None:
    server = Server()
    server.media_type, server.body = media_type, body

    assert await why_not(server) == "the answer is not signed, and a signed one was asked for"


@pytest.mark.parametrize("body", [json.dumps(ACTIVE).encode(), b"", b"a.b.c", b"\xff", b"{}"], ids=repr)
async def test_si2_a_media_type_alone_makes_no_signed_answer(body: bytes) -> None:
    server = Server()
    server.body = body

    assert await why_not(server) == "the signed answer does not hold: malformed"


async def test_another_status_than_200_is_no_answer_though_it_is_signed() -> None:
    server = Server()
    server.status = 500

    assert await why_not(server) == "the answer is 500"


@pytest.mark.parametrize("typ", ["at+jwt", "JWT", "introspection+jwt", "token-introspection", None])
async def test_si3_the_header_says_what_it_is(typ: str | None) -> None:
    server = Server()
    server.header = {"kid": "k"} if typ is None else {"kid": "k", "typ": typ}

    assert await why_not(server) == "the answer's typ is not token-introspection+jwt"


@pytest.mark.parametrize("typ", ["application/token-introspection+jwt", "Token-Introspection+JWT"])
async def test_si3_the_headers_typ_may_be_written_in_full_and_in_any_case(typ: str) -> None:
    server = Server()
    server.header = {"kid": "k", "typ": typ}

    assert (await verifier(server).verify_token(TOKEN)).subject == "alice"


@pytest.mark.parametrize(
    "header", [{"crit": ["x"]}, {"b64": True}, {"zip": "DEF"}, {"cty": "JWT"}, {"kid": 5}], ids=repr
)
async def test_si3_the_rules_of_jws_hold(header: dict[str, Any]) -> None:
    server = Server()
    server.header |= header

    assert await why_not(server) == "the signed answer does not hold: malformed"


@pytest.mark.parametrize("algorithm", ["PS256", "ES256", "none", "HS256"])
async def test_si3_the_algorithm_is_the_registered_one(algorithm: str) -> None:
    server = Server()
    server.header["alg"] = algorithm

    assert await why_not(server) == "the answer is not signed with SignedResponse(algorithm=)"


@pytest.mark.parametrize("algorithm", ["PS256", "ES256", "EdDSA", "Ed25519"])
async def test_si3_another_algorithm_may_be_registered(algorithm: SigningAlgorithm) -> None:
    server = Server()
    server.key = signing_key(algorithm)
    keys = StaticKeySet({"keys": [server.key.public_jwk("k")]})
    response = SignedResponse(algorithm=algorithm, keys=keys)

    assert (await verifier(server, response=response).verify_token(TOKEN)).subject == "alice"
    assert server.fetched == ["/.well-known/oauth-authorization-server"]


async def test_si3_a_signature_of_somebody_else_is_none() -> None:
    server = Server()
    server.key = signing_key("RS256", 1)

    assert await why_not(server) == "the answer's signature does not hold"


async def test_si3_a_key_that_was_changed_behind_its_kid_is_fetched_again_where_that_is_meant() -> None:
    server = Server()
    server.key = signing_key("RS256", 1)
    keys = RemoteKeySet(f"{ISSUER}/keys", transport=server.transport, refetch_on_bad_signature=True)
    await keys.prefetch()
    server.published = server.key

    assert (await verifier(server, response=SignedResponse(keys=keys)).verify_token(TOKEN)).subject == "alice"


async def test_answers_that_do_not_hold_do_not_close_the_server_to_others() -> None:
    server = Server()
    asking = verifier(server)
    server.key = signing_key("RS256", 1)
    for number in range(10):
        with pytest.raises(VerifierUnavailable):
            await asking.verify_token(f"token-{number}")
    server.key = KEY

    assert (await asking.verify_token(TOKEN)).subject == "alice"


async def test_si3_a_key_that_nobody_has_signs_nothing() -> None:
    server = Server()
    server.header["kid"] = "unknown"

    assert await why_not(server) == "the answer's signature does not hold"


async def test_keys_that_cannot_be_had_are_unavailable() -> None:
    server = Server()
    inner = server.transport

    def handle(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(500) if request.url.path == "/keys" else inner.handle_request(request)

    server.transport = httpx2.MockTransport(handle)

    assert await why_not(server) == "the key set cannot be had: the answer is 500"


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        pytest.param({"iss": ABSENT}, "the signed answer does not hold: missing_claim", id="no iss"),
        pytest.param({"aud": ABSENT}, "the signed answer does not hold: missing_claim", id="no aud"),
        pytest.param({"iat": ABSENT}, "the signed answer does not hold: missing_claim", id="no iat"),
        pytest.param({"iss": f"{ISSUER}/"}, "the signed answer does not hold: issuer", id="another issuer"),
        pytest.param({"iss": [ISSUER]}, "the signed answer does not hold: claim_type", id="iss is an array"),
        pytest.param({"aud": "other"}, FOR_ANOTHER, id="aud"),
        pytest.param({"aud": ["rs2"]}, FOR_ANOTHER, id="auds"),
        pytest.param({"aud": 5}, "the signed answer does not hold: claim_type", id="aud is a number"),
        pytest.param({"iat": "now"}, "the signed answer does not hold: claim_type", id="iat is a string"),
        pytest.param({"iat": NOW + 31}, "the signed answer does not hold: not_yet_valid", id="iat in the future"),
        pytest.param({"iat": NOW - 31}, "the answer is older than the question", id="iat before the question"),
        pytest.param({"sub": "alice"}, "the answer has sub or exp beside token_introspection", id="sub beside it"),
        pytest.param({"exp": NOW + 60}, "the answer has sub or exp beside token_introspection", id="exp beside it"),
        *(
            pytest.param(
                {"token_introspection": said},
                "the answer's active is not true or false (RFC 7662 section 2.2)",
                id=f"it says {said!r}"[:40],
            )
            for said in (ABSENT, None, [], "active", {}, {"active": "true"}, {"active": 1})
        ),
        pytest.param(
            {"token_introspection": ABSENT, "active": True},
            "the answer's active is not true or false (RFC 7662 section 2.2)",
            id="active beside it",
        ),
    ],
)
async def test_si4_what_a_signed_answer_must_say(claims: dict[str, Any], why: str) -> None:
    assert await why_not(Server(**claims)) == why


@pytest.mark.parametrize(
    "claims",
    [{"aud": ["other", "rs"]}, {"iat": NOW - 30}, {"iat": NOW + 30}, {"iat": NOW + 0.5}, {"jti": "1", "nbf": NOW}],
    ids=repr,
)
async def test_si4_what_a_signed_answer_may_say(claims: dict[str, Any]) -> None:
    assert (await verifier(Server(**claims)).verify_token(TOKEN)).subject == "alice"


async def test_si5_an_answer_is_no_access_token_and_an_access_token_no_answer() -> None:
    server = Server(scope="read", exp=NOW + 600)
    jwts = JWTVerifier(public_key=KEY.public_pem, issuer=ISSUER, audience="rs", clock=Clock(NOW))

    with pytest.raises(InvalidToken, match="token_type"):
        await jwts.verify_token(server.answer)
    server.header["typ"] = "at+jwt"
    await jwts.verify_token(server.answer)
    assert await why_not(server) == "the answer's typ is not token-introspection+jwt"


async def test_si6_inactive_is_inactive_whatever_else_it_says() -> None:
    with pytest.raises(InvalidToken, match="inactive"):
        await verifier(Server(token_introspection={**ACTIVE, "active": False})).verify_token(TOKEN)


async def test_what_a_signed_answer_says_of_the_token_is_held_to_the_same_rules() -> None:
    with pytest.raises(InvalidToken, match="audience"):
        await verifier(Server(token_introspection={**ACTIVE, "aud": "https://other.example"})).verify_token(TOKEN)
    with pytest.raises(InvalidToken, match="expired"):
        await verifier(Server(token_introspection={**ACTIVE, "exp": 1})).verify_token(TOKEN)


async def test_si8_an_answer_from_before_cannot_be_played_again() -> None:
    server, clock = Server(), Clock(NOW)
    asking = verifier(server, clock=clock, cache_ttl=0)
    await asking.verify_token(TOKEN)

    clock.advance(31)

    with pytest.raises(VerifierUnavailable, match="older than the question"):
        await asking.verify_token(TOKEN)


# Encrypted, too


def encrypted(server: Server, *, enc: str = "A256GCM", pem: str = OUR_PEM) -> bytes:
    header = {"alg": "RSA-OAEP-256", "enc": enc, "cty": "JWT", "iss": ISSUER, "aud": "rs"}
    registry = jwe.JWERegistry(algorithms=["RSA-OAEP-256", enc], strict_check_header=False)
    return jwe.encrypt_compact(header, server.answer, RSAKey.import_key(pem), registry=registry).encode()


@pytest.mark.parametrize("enc", ["A128CBC-HS256", "A256GCM"])
async def test_si7_an_encrypted_answer_is_decrypted_and_then_verified(enc: str) -> None:
    server = Server()
    server.body = encrypted(server, enc=enc)

    token = await verifier(server, response=SignedResponse(decryption_key=OUR_PEM)).verify_token(TOKEN)

    assert token.subject == "alice"


async def test_si7_what_is_within_is_trusted_no_more_for_being_encrypted() -> None:
    server = Server()
    server.key = signing_key("RS256", 1)
    server.body = encrypted(server)

    why = await why_not(server, response=SignedResponse(decryption_key=OUR_PEM))

    assert why == "the answer's signature does not hold"


@pytest.mark.parametrize("form", ["signed alone", "to somebody else", "claims without a signature"])
async def test_si7_with_a_decryption_key_only_encrypted_and_signed_answers_are_answers(form: str) -> None:
    server = Server()
    if form == "to somebody else":
        server.body = encrypted(server, pem=private_pem(private_rsa(2056)))
    elif form == "claims without a signature":
        key = RSAKey.import_key(OUR_PEM)
        server.body = jwe.encrypt_compact({"alg": "RSA-OAEP", "enc": "A256GCM"}, json.dumps(CLAIMS), key).encode()

    why = await why_not(server, response=SignedResponse(decryption_key=OUR_PEM))

    assert why in {
        "the answer is not encrypted to the decryption_key, or not in a way that is taken",
        "the signed answer does not hold: malformed",
    }


async def test_si7_without_a_decryption_key_an_encrypted_answer_is_none() -> None:
    server = Server()
    server.body = encrypted(server)

    assert await why_not(server) == "the signed answer does not hold: malformed"


# Around it


async def test_prefetching_finds_the_endpoint_and_the_keys_and_the_keys_events_are_told() -> None:
    server = Server()
    events: list[Event] = []
    asking = verifier(server)
    asking.observe(events.append)

    await asking.prefetch()

    assert server.fetched == ["/.well-known/oauth-authorization-server", "/keys"]
    assert [type(event) for event in events] == [KeysRefreshed]
    await asking.verify_token(TOKEN)
    assert len(server.fetched) == 2


async def test_with_an_endpoint_of_ones_own_the_keys_are_still_found_through_the_issuer() -> None:
    server = Server()

    asking = verifier(server, introspection_endpoint="https://idp.example/elsewhere")

    assert (await asking.verify_token(TOKEN)).subject == "alice"
    assert server.asked[0].url.path == "/elsewhere"


@pytest.mark.parametrize(
    ("options", "kind", "sentence"),
    [
        ({"response": "xml"}, ValueError, "response is one of 'json', 'jwt', not 'xml'"),
        ({"response": True}, TypeError, "response is one of 'json', 'jwt', not True"),
        (
            {"issuer": None, "introspection_endpoint": "https://idp.example/x"},
            ValueError,
            "signed answers are from one issuer to one client: write issuer=, and client_id= in client_auth",
        ),
        (
            {"client_auth": BearerToken(cast("Any", len)), "client_id": None, "client_secret": None},
            ValueError,
            "signed answers are from one issuer to one client",
        ),
    ],
    ids=repr,
)
def test_what_cannot_be_meant_is_said_at_construction(
    options: dict[str, Any], kind: type[Exception], sentence: str
) -> None:
    with pytest.raises(kind, match=sentence):
        verifier(Server(), **options)


@pytest.mark.parametrize(
    ("options", "kind", "sentence"),
    [
        ({"algorithm": "HS256"}, ValueError, "algorithm is one of 'RS256'"),
        ({"algorithm": None}, TypeError, "algorithm is one of 'RS256'"),
        ({"keys": {"keys": []}}, TypeError, "keys is a KeySet"),
        ({"decryption_key": "no PEM"}, ValueError, "it is no private key in PEM"),
    ],
    ids=repr,
)
def test_a_signed_response_that_cannot_be_meant_is_said_at_construction(
    options: dict[str, Any], kind: type[Exception], sentence: str
) -> None:
    with pytest.raises(kind, match=sentence):
        SignedResponse(**options)


async def test_a_token_of_our_own_may_say_whom_answers_are_for() -> None:
    async def source() -> str:
        return "ours"

    auth = BearerToken(source, client_id="rs")

    asking = verifier(Server(), client_auth=auth, client_id=None, client_secret=None)

    assert (await asking.verify_token(TOKEN)).subject == "alice"
