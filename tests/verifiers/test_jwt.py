"""JWTVerifier: which tokens are good, the reason where one is not, and what is remembered of the good ones."""

from __future__ import annotations

import base64
import gc
import hashlib
import hmac
import json
import threading
import warnings
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from contract import VerifierContract
from fakes import Clock

from asgi_bearer import (
    InsecureConfigurationWarning,
    InsufficientScope,
    InvalidToken,
    JWTVerifier,
    Reason,
    RemoteKeySet,
    StaticKeySet,
    VerifierUnavailable,
)
from asgi_bearer.keys.jose import Key, SigningKey, encode_segment, import_jwk

if TYPE_CHECKING:
    from collections.abc import Sequence

NOW = 1_800_000_000
ISSUER, AUDIENCE = "https://idp.example/", "https://api.example"
KEY, OTHER = SigningKey.generate("ES256"), SigningKey.generate("ES256")
RSA = SigningKey.generate("RS256")
SECRET = "a secret of some length for HMAC, thirty-two bytes and more"
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "sub": "alice",
    "client_id": "app",
    "exp": NOW + 600,
    "iat": NOW,
    "jti": "1",
    "scope": "read write",
}
ABSENT = object()


def verifier(**options: Any) -> JWTVerifier:
    defaults: dict[str, Any] = {"issuer": ISSUER, "audience": AUDIENCE, "clock": Clock(NOW)}
    if not {"public_key", "jwks_uri", "jwks", "secret", "keys"} & set(options):
        defaults["jwks"] = {"keys": [KEY.public_jwk("k")]}
    return JWTVerifier(**{**defaults, **options})


def without_checks(**options: Any) -> JWTVerifier:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InsecureConfigurationWarning)
        return verifier(**{"issuer": None, "audience": None, **options})


def sign(claims: dict[str, Any] | None = None, header: dict[str, Any] | None = None, key: SigningKey = KEY) -> str:
    """Sign the usual claims and header with changes; what is ABSENT is left out."""
    payload = {**CLAIMS, **(claims or {})}
    parameters = {"typ": "at+jwt", "kid": "k", **(header or {})}
    return key.sign(
        {name: value for name, value in parameters.items() if value is not ABSENT},
        {name: value for name, value in payload.items() if value is not ABSENT},
    )


def sign_raw(payload: bytes) -> str:
    """Sign bytes as they are."""
    head, _, _ = sign().partition(".")
    signing_input = f"{head}.{encode_segment(payload).decode()}".encode()
    from joserfc.jws import JWSRegistry  # noqa: PLC0415  # the one test that signs what no issuer would

    signature = JWSRegistry.algorithms["ES256"].sign(signing_input, KEY._key)  # noqa: SLF001
    return f"{signing_input.decode()}.{encode_segment(signature).decode()}"


async def reason_of(token: str, **options: Any) -> Reason | None:
    with pytest.raises(InvalidToken) as caught:
        await verifier(**options).verify_token(token)
    return caught.value.reason


class TestContract(VerifierContract):
    good = sign()
    refused = sign({"exp": NOW - 60})

    def make(self, **options: Any) -> JWTVerifier:
        return verifier(**options)


async def test_a_good_token_shows_what_its_claims_say() -> None:
    token = await verifier().verify_token(sign({"aud": [AUDIENCE, "https://other.example"], "roles": ["a"]}))

    assert token.principal_key == (ISSUER, "alice", "app")
    assert token.audience == (AUDIENCE, "https://other.example")
    assert token.expires_at == datetime.fromtimestamp(NOW + 600, UTC)
    assert token.claims["roles"] == ("a",)
    assert json.loads(json.dumps(token.claims))["jti"] == "1"


# Sources of keys


@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"])
async def test_an_rsa_key_in_pem_does_the_algorithm_that_is_named(algorithm: Any) -> None:
    key = SigningKey.from_pem(RSA.private_pem, algorithm)

    token = await verifier(public_key=RSA.public_pem, algorithm=algorithm).verify_token(sign(key=key))

    assert token.subject == "alice"


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "ES512", "EdDSA", "Ed25519", "Ed448"])
async def test_a_key_of_a_curve_needs_no_algorithm(algorithm: Any) -> None:
    key = SigningKey.generate(algorithm)

    token = await verifier(public_key=key.public_pem.encode()).verify_token(sign(key=key))

    assert token.subject == "alice"


@pytest.mark.parametrize(
    ("named", "written"), [("EdDSA", "Ed25519"), ("Ed25519", "EdDSA"), ("Ed448", "EdDSA"), ("EdDSA", "Ed448")]
)
async def test_rfc_9864_both_names_of_an_edwards_algorithm_are_one(named: Any, written: Any) -> None:
    key = SigningKey.generate("Ed448" if "Ed448" in {named, written} else "Ed25519")
    token = sign(key=key, header={"alg": written})

    assert (await verifier(public_key=key.public_pem, algorithm=named).verify_token(token)).subject == "alice"


async def test_an_rsa_key_is_for_rs256_unless_said_otherwise() -> None:
    good = sign(key=RSA)
    other = sign(key=SigningKey.from_pem(RSA.private_pem, "PS256"))

    assert (await verifier(public_key=RSA.public_pem).verify_token(good)).subject == "alice"
    assert await reason_of(other, public_key=RSA.public_pem) == Reason.unknown_key


@pytest.mark.parametrize("kid", ["anything", ABSENT])
async def test_a_key_in_pem_has_no_name_and_the_tokens_kid_is_ignored(kid: Any) -> None:
    token = await verifier(public_key=[OTHER.public_pem, KEY.public_pem]).verify_token(sign(header={"kid": kid}))

    assert token.subject == "alice"


@pytest.mark.parametrize(("algorithm", "digest"), [(None, "sha256"), ("HS256", "sha256"), ("HS512", "sha512")])
@pytest.mark.parametrize("kind", [str, str.encode])
async def test_a_secret_verifies_hmac(algorithm: str | None, digest: str, kind: Any) -> None:
    secret = SECRET + " and sixty-four for the longest"
    signing_input = b".".join(
        encode_segment(json.dumps(part).encode()) for part in ({"alg": algorithm or "HS256", "typ": "JWT"}, CLAIMS)
    )
    mac = encode_segment(hmac.digest(secret.encode(), signing_input, digest))
    good = (signing_input + b"." + mac).decode()
    own = verifier(secret=kind(secret), algorithm=algorithm)

    assert (await own.verify_token(good)).subject == "alice"
    with pytest.raises(InvalidToken) as caught:
        await own.verify_token(good[:-4] + "AAAA")
    assert caught.value.reason == Reason.signature


async def test_a_key_set_of_ones_own_is_asked_with_the_tokens_kid_and_algorithm() -> None:
    keys = Ring(KEY)

    await verifier(keys=keys).verify_token(sign())

    assert keys.asked == [("k", "ES256")]


async def test_a_public_key_is_never_an_hmac_secret() -> None:
    signing_input = b".".join(
        encode_segment(json.dumps(part).encode()) for part in ({"alg": "HS256", "kid": "k"}, CLAIMS)
    )
    mac = encode_segment(hmac.digest(KEY.public_pem.encode(), signing_input, hashlib.sha256))

    assert await reason_of((signing_input + b"." + mac).decode()) == Reason.unsupported_algorithm
    assert await reason_of((signing_input + b"." + mac).decode(), public_key=KEY.public_pem) == (
        Reason.unsupported_algorithm
    )


async def test_keys_that_the_token_brings_along_are_not_looked_at() -> None:
    header = {"jwk": OTHER.public_jwk("k"), "jku": "https://evil.example/jwks", "x5c": ["AAAA"], "nonce": "x"}

    assert (await verifier().verify_token(sign(header=header))).subject == "alice"
    assert await reason_of(sign(header=header, key=OTHER)) == Reason.signature


async def test_what_cannot_be_fetched_is_unavailable_and_not_refused() -> None:
    keys = Ring(KEY, failure=VerifierUnavailable("the key set cannot be had", 3))

    with pytest.raises(VerifierUnavailable) as caught:
        await verifier(keys=keys).verify_token(sign())

    assert caught.value.retry_after == 3


async def test_prefetch_is_the_key_sets() -> None:
    class Fetching(Ring):
        fetched = 0

        async def prefetch(self) -> None:
            self.fetched += 1

    keys = Fetching(KEY)
    await verifier(keys=keys).prefetch()
    await verifier().prefetch()

    assert keys.fetched == 1


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"jwks_uri": "https://idp.example/jwks"}, id="jwks_uri"),
        pytest.param({"jwks_uri": "http://127.0.0.1:1/jwks"}, id="http on loopback"),
        pytest.param({"jwks_uri": "http://idp.internal/jwks", "allow_insecure_http": True}, id="http that is meant"),
        pytest.param({"issuer": "https://idp.example/", "audience": "a"}, id="discovery"),
        pytest.param({"issuer": ["https://idp.example/"], "audience": "a", "algorithm": "ES256"}, id="one in a list"),
    ],
)
def test_no_constructor_fetches_anything(options: dict[str, Any]) -> None:
    JWTVerifier(**{"issuer": ISSUER, "audience": AUDIENCE, **options})


# The order of the reasons

ORDER: list[tuple[Reason, dict[str, Any]]] = [
    (Reason.malformed, {"crit": ["x"]}),
    (Reason.token_type, {"typ": "dpop+jwt"}),
    (Reason.unsupported_algorithm, {"alg": "RS384"}),
    (Reason.unknown_key, {"kid": "unknown"}),
    (Reason.signature, {}),
]


@pytest.mark.parametrize("rank", range(len(ORDER)), ids=[str(reason) for reason, _ in ORDER])
async def test_the_first_fault_of_the_header_is_the_reason_whatever_else_is_wrong(rank: int) -> None:
    faults: dict[str, Any] = {}
    for _, header in ORDER[rank:]:
        faults |= header
    token = sign({"exp": NOW - 600, "iss": "x"}, faults, OTHER)

    assert await reason_of(token, algorithm=["ES256", "RS256"]) == ORDER[rank][0]


CLAIM_FAULTS: list[tuple[Reason, dict[str, Any]]] = [
    (Reason.token_type, {"events": {}}),
    (Reason.missing_claim, {"sub": ABSENT}),
    (Reason.claim_type, {"jti": 1}),
    (Reason.expired, {"exp": NOW - 60, "iat": NOW - 90}),
    (Reason.issuer, {"iss": "https://evil.example/"}),
    (Reason.audience, {"aud": "https://other.example"}),
]


@pytest.mark.parametrize("rank", range(len(CLAIM_FAULTS)), ids=[str(reason) for reason, _ in CLAIM_FAULTS])
async def test_the_first_fault_of_the_claims_is_the_reason_whatever_else_is_wrong(rank: int) -> None:
    faults: dict[str, Any] = {}
    for _, claims in CLAIM_FAULTS[rank:]:
        faults |= claims

    found = await reason_of(sign(faults), required_claims=["exp", "sub"], required_scopes=["delete"])

    assert found == CLAIM_FAULTS[rank][0]


@pytest.mark.parametrize(
    "payload",
    [b"", b"[]", b'"text"', b"1", b"null", b"\xff", b'{"a":1,"a":2}', b'{"exp":NaN}', b'{"a":' * 20_000, b"[" * 90_000],
    ids=["nothing", "array", "string", "number", "null", "not UTF-8", "a name twice", "NaN", "too deep", "too long"],
)
async def test_a_signed_payload_that_is_no_strict_json_object_is_malformed(payload: bytes) -> None:
    assert await reason_of(sign_raw(payload)) == Reason.malformed


async def test_a_changed_payload_or_signature_is_refused() -> None:
    head, payload, signature = sign().split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    forged = encode_segment(json.dumps({**claims, "sub": "mallory"}).encode()).decode()

    assert await reason_of(f"{head}.{forged}.{signature}") == Reason.signature
    assert await reason_of(f"{head}.{payload}.{sign({'sub': 'bob'}).split('.')[2]}") == Reason.signature
    assert await reason_of(f"{head}.{payload}.") == Reason.signature


# Kinds of tokens

TYP = [
    ("at+jwt", True, True),
    ("AT+JWT", True, True),
    ("application/at+jwt", True, True),
    ("Application/AT+JWT", True, True),
    (ABSENT, True, False),
    ("JWT", True, False),
    ("jwt", True, False),
    ("application/jwt", True, False),
    ("", False, False),
    ("at+jwt ", False, False),
    ("text/at+jwt", False, False),
    ("id_token+jwt", False, False),
    ("logout+jwt", False, False),
    ("dpop+jwt", False, False),
    ("secevent+jwt", False, False),
    ("token-introspection+jwt", False, False),
    ("client-authentication+jwt", False, False),
]


@pytest.mark.parametrize("profile", ["lax", "rfc9068"])
@pytest.mark.parametrize(("typ", "lax", "strict"), TYP, ids=lambda value: "absent" if value is ABSENT else str(value))
async def test_each_profile_takes_its_types_and_no_other(profile: str, typ: Any, lax: bool, strict: bool) -> None:
    token = sign(header={"typ": typ})

    if lax if profile == "lax" else strict:
        assert (await verifier(profile=profile).verify_token(token)).subject == "alice"
    else:
        assert await reason_of(token, profile=profile) == Reason.token_type


@pytest.mark.parametrize("profile", ["lax", "rfc9068"])
@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({"at_hash": "x"}, id="an ID token"),
        pytest.param({"c_hash": "x"}, id="an ID token of the hybrid flow"),
        pytest.param({"events": {"http://schemas.openid.net/event/backchannel-logout": {}}}, id="a logout token"),
        pytest.param({"typ": "ID"}, id="an ID token of Keycloak"),
        pytest.param({"typ": "Refresh"}, id="a refresh token of Keycloak"),
        pytest.param({"typ": "Offline"}, id="an offline token of Keycloak"),
        pytest.param({"token_use": "id"}, id="an ID token of Cognito"),
        pytest.param({"token_use": 1}, id="a kind that is no string"),
        pytest.param({"nonce": "n", "scope": ABSENT, "client_id": ABSENT, "azp": "app"}, id="a nonce and no scope"),
    ],
)
async def test_what_is_plainly_no_access_token_is_refused(profile: str, claims: dict[str, Any]) -> None:
    assert await reason_of(sign(claims), profile=profile) == Reason.token_type


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({"typ": "Bearer"}, id="Keycloak"),
        pytest.param({"token_use": "access"}, id="Cognito"),
        pytest.param({"nonce": "n"}, id="a nonce beside a scope"),
        pytest.param({"act": {"sub": "x"}, "may_act": {"sub": "y"}, "unknown": [1, {"a": None}]}, id="claims unknown"),
    ],
)
async def test_what_providers_add_to_access_tokens_is_taken(claims: dict[str, Any]) -> None:
    assert (await verifier().verify_token(sign(claims))).subject == "alice"


@pytest.mark.parametrize("claim", ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"])
async def test_rfc9068_demands_each_of_its_claims(claim: str) -> None:
    assert await reason_of(sign({claim: ABSENT}), profile="rfc9068", required_claims=()) == Reason.missing_claim


@pytest.mark.parametrize("claim", ["sub", "client_id", "iat", "jti", "scope"])
async def test_lax_demands_no_more_than_is_configured(claim: str) -> None:
    assert (await verifier().verify_token(sign({claim: ABSENT}))).issuer == ISSUER


@pytest.mark.parametrize("claim", ["exp", "iss", "aud"])
async def test_lax_demands_an_end_and_what_there_is_to_compare_with(claim: str) -> None:
    assert await reason_of(sign({claim: ABSENT})) == Reason.missing_claim


def test_not_to_demand_exp_is_possible_and_warns() -> None:
    with pytest.warns(InsecureConfigurationWarning, match="does not demand exp: some tokens never end; add it to"):
        verifier(required_claims=["sub"])


@pytest.mark.parametrize("audience", ["*", "https://a.example https://b.example", "a\tb", ["a", "b "]])
def test_what_can_be_no_audience_is_a_value_error(audience: Any) -> None:
    with pytest.raises(
        ValueError, match=r"^audience is compared character by character, and .* is no audience: write "
    ):
        verifier(audience=audience)


@pytest.mark.filterwarnings("ignore:JWTVerifier does not demand exp")
async def test_required_claims_say_what_else_must_be_there_and_may_leave_out_the_end() -> None:
    endless = sign({"exp": ABSENT})

    token = await verifier(required_claims=()).verify_token(endless)

    assert token.expires_at is None
    assert await reason_of(endless, required_claims="tenant") == Reason.missing_claim
    assert await reason_of(sign({"tenant": ABSENT}), required_claims=["exp", "tenant"]) == Reason.missing_claim


# Issuer and audience

IDENTIFIERS = [
    "https://idp.example", "https://idp.example//", "https://IDP.example/", "HTTPS://idp.example/", " https://idp.example/",
    "https://idp.example/x", "https://idp.example.evil/", "idp.example", "https://idp.example:443/", "*",
]  # fmt: skip


@pytest.mark.parametrize("issuer", IDENTIFIERS)
async def test_an_issuer_that_differs_in_one_character_is_another(issuer: str) -> None:
    assert await reason_of(sign({"iss": issuer})) == Reason.issuer


@pytest.mark.parametrize("issuer", [[ISSUER], {"a": ISSUER}, None, 1, True, ""], ids=repr)
async def test_an_issuer_that_is_no_text_is_refused(issuer: Any) -> None:
    assert await reason_of(sign({"iss": issuer})) == Reason.claim_type


async def test_one_of_several_issuers_will_do() -> None:
    several = verifier(issuer=["https://first.example", ISSUER])

    assert (await several.verify_token(sign())).issuer == ISSUER
    assert (await several.verify_token(sign({"iss": "https://first.example"}))).issuer == "https://first.example"
    with pytest.raises(InvalidToken):
        await several.verify_token(sign({"iss": "https://third.example"}))


@pytest.mark.parametrize(
    "audience",
    ["https://api.example/", "https://api.example x", "https://API.example", "https://api", ["https://other.example"]],
    ids=str,
)
async def test_an_audience_that_does_not_name_us_is_refused(audience: Any) -> None:
    assert await reason_of(sign({"aud": audience})) == Reason.audience


@pytest.mark.parametrize(
    "audience", [[], [1], [AUDIENCE, 1], [[AUDIENCE]], {"a": AUDIENCE}, 1, None, "", [""]], ids=repr
)
async def test_an_audience_that_is_no_text_or_list_of_texts_is_refused(audience: Any) -> None:
    assert await reason_of(sign({"aud": audience})) == Reason.claim_type
    with pytest.raises(InvalidToken):
        await without_checks().verify_token(sign({"aud": audience}))


async def test_one_of_several_audiences_will_do() -> None:
    several = verifier(audience=("https://old.example", AUDIENCE))

    assert (await several.verify_token(sign({"aud": ["x", "https://old.example"]}))).audience[0] == "x"


async def test_the_audience_may_stand_in_another_claim() -> None:
    cognito = verifier(audience="app", audience_claim="client_id")

    assert (await cognito.verify_token(sign({"aud": ABSENT}))).client_id == "app"
    with pytest.raises(InvalidToken) as other:
        await cognito.verify_token(sign({"aud": "app", "client_id": "another"}))
    with pytest.raises(InvalidToken) as missing:
        await cognito.verify_token(sign({"aud": "app", "client_id": ABSENT}))
    assert (other.value.reason, missing.value.reason) == (Reason.audience, Reason.missing_claim)


@pytest.mark.parametrize(("left_out", "named"), [("issuer", "no issuer"), ("audience", "no audience")])
def test_to_leave_out_issuer_or_audience_is_possible_and_warns_at_the_callers_line(left_out: str, named: str) -> None:
    options = {"issuer": ISSUER, "audience": AUDIENCE, "jwks": {"keys": [KEY.public_jwk("k")]}}
    del options[left_out]

    with pytest.warns(InsecureConfigurationWarning, match=named) as caught:
        JWTVerifier(**options)  # type: ignore[arg-type]

    assert [warning.filename for warning in caught] == [__file__]


async def test_without_issuer_and_audience_whatever_the_keys_signed_is_taken() -> None:
    token = await without_checks().verify_token(sign({"iss": "anyone", "aud": ABSENT}))

    assert (token.issuer, token.audience) == ("anyone", ())


# Times

TIMES = [
    pytest.param({"exp": NOW + 1}, None, id="it ends soon"),
    pytest.param({"exp": NOW - 29, "iat": NOW - 60}, None, id="it ended within the leeway"),
    pytest.param({"exp": NOW - 30, "iat": NOW - 60}, Reason.expired, id="it ended and the leeway is over"),
    pytest.param({"exp": NOW - 29.5, "iat": NOW - 60}, None, id="a fraction"),
    pytest.param({"nbf": NOW + 30}, None, id="it begins within the leeway"),
    pytest.param({"nbf": NOW + 31}, Reason.not_yet_valid, id="it begins later"),
    pytest.param({"iat": NOW + 30}, None, id="issued within the leeway"),
    pytest.param({"iat": NOW + 31}, Reason.not_yet_valid, id="issued in the future"),
    pytest.param({"exp": NOW + 5, "iat": NOW + 5}, Reason.expired, id="it ends as it is issued"),
    pytest.param({"exp": 253402300799}, None, id="the last second there is"),
]


@pytest.mark.parametrize(("claims", "reason"), TIMES)
async def test_a_token_is_good_in_its_time_give_or_take_the_leeway(claims: Any, reason: Reason | None) -> None:
    if reason is None:
        assert (await verifier().verify_token(sign(claims))).subject == "alice"
    else:
        assert await reason_of(sign(claims)) == reason


async def test_no_leeway_is_none() -> None:
    assert await reason_of(sign({"exp": NOW, "iat": NOW - 1}), leeway=0) == Reason.expired
    assert (await verifier(leeway=0).verify_token(sign({"exp": NOW + 1}))).subject == "alice"


@pytest.mark.parametrize("claim", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("value", [True, None, "1800000600", [NOW], {}, -1, 10**18, 1e308, 253402300800], ids=repr)
async def test_a_time_that_is_no_number_a_calendar_holds_is_refused(claim: str, value: Any) -> None:
    assert await reason_of(sign({claim: value})) == Reason.claim_type


# Subject, client, scopes


@pytest.mark.parametrize("claim", ["sub", "jti", "client_id"])
@pytest.mark.parametrize("value", [1, True, None, "", [], {}], ids=repr)
async def test_a_name_that_is_no_text_is_refused(claim: str, value: Any) -> None:
    assert await reason_of(sign({claim: value})) == Reason.claim_type


CLIENTS = [
    ({"client_id": "a", "azp": "b", "cid": "c", "appid": "d"}, "a"),
    ({"azp": "b", "cid": "c", "appid": "d"}, "b"),
    ({"cid": "c", "appid": "d"}, "c"),
    ({"appid": "d"}, "d"),
    ({}, "alice"),
    ({"sub": ABSENT}, ""),
]


@pytest.mark.parametrize(("claims", "client"), CLIENTS, ids=lambda value: str(value) if isinstance(value, str) else "")
async def test_the_client_is_the_first_claim_that_names_one(claims: dict[str, Any], client: str) -> None:
    token = await verifier().verify_token(sign({"client_id": ABSENT, **claims}))

    assert token.client_id == client


SCOPES = [
    ({"scope": "read write"}, ("read", "write")),
    ({"scope": " read  read "}, ("read",)),
    ({"scope": ""}, ()),
    ({"scope": ABSENT}, ()),
    ({"scope": ["read", "write"]}, ("read", "write")),
    ({"scope": ABSENT, "scp": "read"}, ("read",)),
    ({"scope": "read", "scp": ["write", "read"]}, ("read", "write")),
    ({"scope": None}, ()),
]


@pytest.mark.parametrize(("claims", "scopes"), SCOPES, ids=[str(number) for number in range(len(SCOPES))])
async def test_scopes_are_what_the_scope_claims_hold(claims: dict[str, Any], scopes: tuple[str, ...]) -> None:
    assert (await verifier().verify_token(sign(claims))).scopes == scopes


@pytest.mark.parametrize("value", [1, True, {}, [1], [None], {"read": True}], ids=repr)
async def test_scopes_of_another_type_are_refused(value: Any) -> None:
    assert await reason_of(sign({"scope": value})) == Reason.claim_type


async def test_scope_claims_say_where_to_look() -> None:
    own = verifier(scope_claims=["realm_access.roles", "https://example.com/roles"])

    token = await own.verify_token(sign({"realm_access": {"roles": ["admin"]}, "https://example.com/roles": "user"}))

    assert token.scopes == ("admin", "user")


# What is remembered


class Ring:
    """A key set whose keys can be exchanged."""

    def __init__(self, *keys: SigningKey, failure: Exception | None = None) -> None:
        self.asked: list[tuple[str | None, str]] = []
        self.generation: int | None = 1
        self.failure = failure
        self.exchange(*keys)

    def exchange(self, *keys: SigningKey) -> None:
        self._keys = [import_jwk(key.public_jwk("k")) for key in keys]

    async def find(self, kid: str | None, alg: str) -> Sequence[Key]:
        self.asked.append((kid, alg))
        if self.failure is not None:
            raise self.failure
        return self._keys

    def current(self) -> int | None:
        return self.generation

    def holds(self, thumbprint: str) -> bool:
        return any(key.thumbprint == thumbprint for key in self._keys)


class Remembering:
    """A verifier, its keys and its clock."""

    def __init__(self, **options: Any) -> None:
        self.keys, self.clock = Ring(KEY), Clock(NOW)
        self.verifier = verifier(keys=self.keys, clock=self.clock, **options)

    async def verified_anew(self, token: str) -> bool:
        """Verify `token`, and tell whether the keys were looked for."""
        asked = len(self.keys.asked)
        await self.verifier.verify_token(token)
        return len(self.keys.asked) > asked


async def test_a_good_token_is_verified_once() -> None:
    it, token = Remembering(), sign()

    assert [await it.verified_anew(token) for _ in range(3)] == [True, False, False]


@pytest.mark.parametrize("options", [{"cache_size": 0}, {"cache_ttl": 0}], ids=str)
async def test_without_a_cache_it_is_verified_every_time(options: dict[str, Any]) -> None:
    it, token = Remembering(**options), sign()

    assert [await it.verified_anew(token) for _ in range(3)] == [True, True, True]


async def test_a_token_is_forgotten_when_its_time_in_the_cache_is_over() -> None:
    it, token = Remembering(cache_ttl=100), sign()

    seen = [await it.verified_anew(token)]
    for seconds in (99, 1, 99):
        it.clock.advance(seconds)
        seen.append(await it.verified_anew(token))

    assert seen == [True, False, True, False]


async def test_the_token_that_was_used_longest_ago_gives_way() -> None:
    it = Remembering(cache_size=2)
    tokens = [sign({"jti": str(number)}) for number in range(3)]
    for token in tokens:
        await it.verified_anew(token)

    assert [await it.verified_anew(token) for token in reversed(tokens)] == [False, False, True]


async def test_a_remembered_token_ends_when_it_ends() -> None:
    it, token = Remembering(), sign({"exp": NOW + 10, "iat": ABSENT})
    await it.verified_anew(token)

    it.clock.advance(39)
    assert not await it.verified_anew(token)
    it.clock.advance(1)
    with pytest.raises(InvalidToken) as caught:
        await it.verifier.verify_token(token)
    assert caught.value.reason == Reason.expired


async def test_a_clock_that_is_set_back_makes_no_verdict_live_longer() -> None:
    it, token = Remembering(cache_ttl=100), sign({"iat": NOW - 3600})
    await it.verified_anew(token)

    it.clock.advance(-1800)

    assert await it.verified_anew(token)


async def test_a_clock_that_is_set_back_before_the_tokens_time_refuses_it() -> None:
    it, token = Remembering(), sign({"nbf": NOW})
    await it.verified_anew(token)

    it.clock.advance(-3600)

    with pytest.raises(InvalidToken) as caught:
        await it.verifier.verify_token(token)
    assert caught.value.reason == Reason.not_yet_valid


async def test_a_key_that_is_gone_takes_its_remembered_tokens_along_at_once() -> None:
    it, token = Remembering(), sign()
    await it.verified_anew(token)

    it.keys.exchange(OTHER)
    it.keys.generation = 2

    with pytest.raises(InvalidToken) as caught:
        await it.verifier.verify_token(token)
    assert caught.value.reason == Reason.signature


async def test_a_key_that_stays_keeps_its_remembered_tokens_when_others_come() -> None:
    it, token = Remembering(), sign()
    await it.verified_anew(token)

    it.keys.exchange(OTHER, KEY)
    it.keys.generation = 2

    assert [await it.verified_anew(token) for _ in range(2)] == [False, False]
    it.keys.exchange(OTHER)
    assert not await it.verified_anew(token)  # the generation says that nothing has changed
    it.keys.generation = 3
    with pytest.raises(InvalidToken):
        await it.verifier.verify_token(token)


async def test_keys_that_may_not_be_trusted_any_more_carry_no_remembered_token() -> None:
    it, token = Remembering(), sign()
    await it.verified_anew(token)

    it.keys.generation = None
    it.keys.failure = VerifierUnavailable("the keys are too old")

    with pytest.raises(VerifierUnavailable):
        await it.verifier.verify_token(token)


async def test_keys_that_were_not_there_before_the_first_token_are_looked_at_once_more() -> None:
    it, token = Remembering(), sign()
    it.keys.generation = None
    await it.verified_anew(token)

    it.keys.generation = 1

    assert [await it.verified_anew(token) for _ in range(2)] == [False, False]


async def test_a_refusal_is_never_remembered() -> None:
    it, token = Remembering(), sign({"nbf": NOW + 100})
    for _ in range(2):
        with pytest.raises(InvalidToken):
            await it.verifier.verify_token(token)
    assert len(it.keys.asked) == 2

    it.clock.advance(100)

    assert await it.verified_anew(token)


async def test_a_missing_scope_is_found_in_what_is_remembered_too() -> None:
    it, token = Remembering(required_scopes=["delete"]), sign()

    for _ in range(2):
        with pytest.raises(InsufficientScope):
            await it.verifier.verify_token(token)

    assert len(it.keys.asked) == 1


async def test_two_verifiers_never_share_a_verdict() -> None:
    first, second = verifier(), verifier(audience="https://other.example")
    token = sign()

    for _ in range(2):
        assert (await first.verify_token(token)).subject == "alice"
        with pytest.raises(InvalidToken) as caught:
            await second.verify_token(token)
        assert caught.value.reason == Reason.audience


async def test_the_cache_holds_no_token() -> None:
    it, token = Remembering(), sign({"jti": "looked-for"})
    await it.verified_anew(token)

    found = [text for text in reachable(it.verifier) if token in text]

    assert found == []
    assert "looked-for" in reachable(it.verifier)  # the verdict is there


def reachable(root: object) -> list[str]:
    """Return every text that can be reached from `root` but through modules, classes and functions."""
    seen, waiting, texts = set[int](), [root], list[str]()
    while waiting:
        found = waiting.pop()
        if id(found) in seen or isinstance(found, type | type(gc)) or hasattr(found, "__code__"):
            continue
        seen.add(id(found))
        if isinstance(found, str | bytes):
            texts.append(found if isinstance(found, str) else found.decode("latin-1"))
        waiting += gc.get_referents(found)
    return texts


def test_threads_with_event_loops_of_their_own_share_a_verifier() -> None:
    shared = verifier(cache_size=4)
    tokens = [sign({"sub": f"user-{number}"}) for number in range(12)]
    seen: list[set[str | None]] = []

    async def work(start: int) -> None:
        for step in range(60):
            number = (start + step) % len(tokens)
            assert (await shared.verify_token(tokens[number])).subject == f"user-{number}"
        seen.append({(await shared.verify_token(token)).subject for token in tokens})

    threads = [threading.Thread(target=anyio.run, args=(work, start)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert seen == [{f"user-{number}" for number in range(12)}] * 4


# Options

JWKS = {"keys": [KEY.public_jwk("k")]}
WRONG_TYPES: list[tuple[dict[str, Any], str]] = [
    ({"public_key": 1}, "public_key is PEM as str or bytes, or a sequence of them, not int"),
    ({"public_key": [1]}, "public_key is PEM as str or bytes, not int"),
    ({"jwks_uri": 1}, "jwks_uri is a str, not int"),
    ({"jwks": "{}"}, "jwks is a JWK Set as a dict, .* not str"),
    ({"jwks": []}, "jwks is a JWK Set as a dict, .* not list"),
    ({"secret": 1}, "secret is a str or bytes, not int"),
    ({"keys": JWKS}, "keys is a KeySet .* not dict"),
    ({"keys": StaticKeySet}, "keys is a KeySet .* not type"),
    ({"issuer": 1}, "issuer is a .*, not int"),
    ({"issuer": [1]}, "each item of issuer is a str, not int"),
    ({"audience": 1}, "audience is a .*, not int"),
    ({"audience": [AUDIENCE, None]}, "each item of audience is a str, not NoneType"),
    ({"algorithm": 1}, "algorithm is a .*, not int"),
    ({"leeway": "30"}, "leeway is a number of seconds, not str"),
    ({"leeway": True}, "leeway is a number of seconds, not bool"),
    ({"required_claims": 1}, "required_claims is a .*, not int"),
    ({"scope_claims": 1}, "scope_claims is a .*, not int"),
    ({"audience_claim": None}, "audience_claim is a str, not NoneType"),
    ({"cache_size": 1.5}, "cache_size is a whole number, not float"),
    ({"cache_ttl": None}, "cache_ttl is a number of seconds, not NoneType"),
    ({"allow_insecure_http": 1}, "allow_insecure_http is True or False, not int"),
]
WRONG_VALUES: list[tuple[dict[str, Any], str]] = [
    ({"public_key": ""}, "public_key is no PEM"),
    ({"public_key": []}, "public_key is an empty sequence"),
    ({"public_key": KEY.private_pem}, "public_key holds a private key"),
    ({"public_key": RSA.public_pem, "algorithm": "ES256"}, "it cannot do ES256"),
    ({"jwks_uri": "http://idp.example/jwks"}, "jwks_uri must be https"),
    ({"jwks_uri": "/jwks"}, "jwks_uri must be an .*https URL"),
    ({"jwks": {}}, "a JWK Set is an object with an array named keys"),
    ({"jwks": {"keys": []}}, "the JWK Set has no key to verify with"),
    ({"secret": "short"}, "secret is shorter than the hash of HS256"),
    ({"secret": KEY.public_pem}, "secret is a key or certificate in PEM"),
    ({"secret": SECRET, "algorithm": "RS256"}, "algorithm 'RS256' does not go with a secret: write one of HS256"),
    ({"secret": SECRET, "algorithm": ["HS256", "HS384"]}, "a secret is for one algorithm"),
    ({"secret": SECRET, "algorithm": "HS512"}, "secret is shorter than the hash of HS512"),
    ({"jwks": JWKS, "public_key": KEY.public_pem}, "takes one source of keys, not public_key and jwks"),
    ({"issuer": ""}, "issuer is empty"),
    ({"issuer": []}, "issuer is an empty sequence"),
    ({"audience": ""}, "audience is empty"),
    ({"audience": []}, "audience is an empty sequence"),
    ({"audience": [""]}, "each item of audience is empty"),
    ({"algorithm": []}, "algorithm is an empty sequence"),
    ({"algorithm": "none"}, "algorithm 'none' does not go with public keys"),
    ({"algorithm": "es256"}, "algorithm 'es256' does not go with public keys"),
    ({"algorithm": "HS256"}, "algorithm 'HS256' does not go with public keys"),
    ({"algorithm": ["ES256", "HS256"]}, "algorithm 'HS256' does not go with public keys"),
    ({"leeway": -1}, "leeway is a number of seconds, from 0 to 300, not -1"),
    ({"leeway": 301}, "leeway is a number of seconds, from 0 to 300, not 301"),
    ({"leeway": float("inf")}, "leeway is a number of seconds, from 0 to 300, not inf"),
    ({"leeway": float("nan")}, "leeway is a number of seconds, from 0 to 300, not nan"),
    ({"profile": "strict"}, "profile is one of 'lax', 'rfc9068', not 'strict'"),
    ({"profile": "rfc9068", "issuer": None}, "profile='rfc9068' compares iss and aud"),
    ({"profile": "rfc9068", "audience": None}, "profile='rfc9068' compares iss and aud"),
    ({"required_claims": [""]}, "each item of required_claims is empty"),
    ({"scope_claims": []}, "scope_claims is an empty sequence"),
    ({"audience_claim": ""}, "audience_claim is empty"),
    ({"cache_size": -1}, "cache_size is 0 or more, not -1"),
    ({"cache_ttl": -1}, "cache_ttl is a number of seconds, 0 or more, not -1"),
]


def named(rows: list[tuple[dict[str, Any], str]]) -> list[str]:
    """Return an id for each row: its place, and the options that are wrong."""
    return [f"{place} {' and '.join(options)}" for place, (options, _) in enumerate(rows)]


@pytest.mark.parametrize(("options", "sentence"), WRONG_TYPES, ids=named(WRONG_TYPES))
def test_an_option_of_the_wrong_type_is_a_type_error_that_names_it(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(TypeError, match=sentence):
        verifier(**options)


@pytest.mark.parametrize(("options", "sentence"), WRONG_VALUES, ids=named(WRONG_VALUES))
def test_an_option_that_cannot_be_meant_is_a_value_error_that_names_it(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        verifier(**options)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        pytest.param({}, "JWTVerifier needs keys", id="nothing"),
        pytest.param({"issuer": [ISSUER, "https://b.example"]}, "JWTVerifier needs keys", id="two to discover"),
        pytest.param({"issuer": "idp.example"}, "issuer must be an .*https URL", id="no URL to discover"),
        pytest.param({"issuer": "http://idp.example"}, "issuer must be https", id="http to discover"),
    ],
)
def test_without_keys_one_issuer_must_be_named_whose_metadata_can_be_found(options: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        JWTVerifier(**options)


def test_no_sentence_shows_the_secret() -> None:
    with pytest.raises(ValueError, match="secret") as caught:
        verifier(secret="looked-for")

    assert "looked-for" not in str(caught.value)


def test_a_remote_key_set_may_be_given_with_options_of_its_own() -> None:
    verifier(keys=RemoteKeySet("https://idp.example/jwks", algorithm="ES256"), algorithm="ES256")
