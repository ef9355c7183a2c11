"""Attacks that other libraries of this kind fell for, by their CVE: each one is tried here, on a request, at the door.

This is the index; what the rules are in full stands in the tests of each module. A number behind a name such as
"GHSA-..." is an advisory's, a year alone is that of a report without one. What follows concerns no resource server, or
none without a store of its own, and so has no test here:

- CVE-2026-41707 (DPoP proofs replayed), CVE-2026-22751 (one-time login tokens): nothing is kept here to be used once.
- CVE-2025-68158, PYSEC-2026-25 (authlib): the state of an OAuth client's logins.
- CVE-2026-22747 (Spring): names in client certificates, which are not looked at.
- OpenFGA, Oxia, OliveTin, telemeter, nats-jwt, Casdoor, Flux, Fleet, MinIO, ZITADEL: servers whose mistakes are tried
  on ours; the rest of their advisories is about what else they do.
"""

from __future__ import annotations

import base64
import hmac
import json
import math
import os
import re
import sys
import time
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import anyio
import anyio.lowlevel
import httpx2
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fakes import Clock, Echo, call, http_scope
from key_material import certificate, integer, okp_jwk, private_pem, private_rsa, public_pem, rsa_jwk

from asgi_bearer import (
    BearerMiddleware,
    InsecureConfigurationWarning,
    IntrospectionTokenVerifier,
    JWTVerifier,
    Reason,
    RemoteKeySet,
    StaticTokenVerifier,
)
from asgi_bearer.events import Accepted, Rejected, Unavailable
from asgi_bearer.keys.jose import SigningAlgorithm, SigningKey, encode_segment

if TYPE_CHECKING:
    from leaks import Watch

    from asgi_bearer import TokenVerifier
    from asgi_bearer.events import Event

pytestmark = pytest.mark.filterwarnings("ignore:IntrospectionTokenVerifier has no server_url")

NOW = 1_800_000_000
ISSUER, AUDIENCE, EVIL = "https://idp.example/", "https://api.example", "https://evil.example/"
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "sub": "alice",
    "client_id": "app",
    "iat": NOW - 60,
    "exp": NOW + 600,
    "jti": "1",
    "scope": "read",
}
ABSENT = object()
SECRET = b"a secret that has as many bytes as the longest of the hashes, SHA-512"

RSA_KEY = private_rsa()
EC_KEY = ec.derive_private_key(7, ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
RSA = SigningKey.from_pem(private_pem(RSA_KEY))
EC = SigningKey.from_pem(private_pem(EC_KEY), "ES256")
ED = SigningKey.from_pem(private_pem(ED_KEY), "Ed25519")
ATTACKER = SigningKey.generate("ES256")
JWKS = {"keys": [RSA.public_jwk("rsa"), EC.public_jwk("ec"), ED.public_jwk("ed")]}
# The order of P-256
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


class Answer(NamedTuple):
    """What a request was answered, and the reason that operators read."""

    status: int
    reason: Reason | None = None


LET_IN, BAD_REQUEST = Answer(200), Answer(400)


async def ask(verifier: TokenVerifier, token: str | bytes, **options: Any) -> Answer:
    """Send one request with `token` through a door."""
    events: list[Event] = []
    door = BearerMiddleware(Echo(), verifier, on_event=events.append, **options)
    value = b"Bearer " + (token.encode("ascii") if isinstance(token, str) else token)

    sent = await call(door, http_scope((b"authorization", value)))

    (event,) = (event for event in events if isinstance(event, Accepted | Rejected | Unavailable))
    return Answer(sent[0]["status"], event.reason if isinstance(event, Rejected) else None)


def refused(reason: Reason) -> Answer:
    return Answer(401, reason)


def jwt(**options: Any) -> JWTVerifier:
    """Return a verifier of the three keys, or of the source that is named."""
    defaults: dict[str, Any] = {"issuer": ISSUER, "audience": AUDIENCE, "clock": Clock(NOW)}
    if not {"public_key", "jwks", "secret", "keys"} & set(options):
        defaults["jwks"] = JWKS
    return JWTVerifier(**{**defaults, **options})


def claims(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in {**CLAIMS, **changes}.items() if value is not ABSENT}


def sign(key: SigningKey = EC, header: dict[str, Any] | None = None, **changes: Any) -> str:
    """Sign the usual claims, with changes."""
    kid = {"RS": "rsa", "ES": "ec", "Ed": "ed"}[key.algorithm[:2]]
    return key.sign({"typ": "at+jwt", "kid": kid, **(header or {})}, claims(**changes))


def encode(part: bytes | dict[str, Any]) -> bytes:
    return encode_segment(part if isinstance(part, bytes) else json.dumps(part).encode())


def join(header: bytes | dict[str, Any], payload: bytes | dict[str, Any], signature: bytes = b"") -> bytes:
    return b".".join([encode(header), encode(payload), encode(signature)])


def mac(
    header: bytes | dict[str, Any] = b'{"alg":"HS256"}',
    payload: bytes | dict[str, Any] = CLAIMS,
    secret: bytes = SECRET,
    digest: str = "sha256",
) -> bytes:
    """Return a token with a good HMAC, whatever its header and payload are."""
    signing_input = encode(header) + b"." + encode(payload)
    return signing_input + b"." + encode(hmac.digest(secret, signing_input, digest))


def rows(table: dict[str, Any]) -> list[Any]:
    """Return the rows of a table by their names, for parametrize."""
    return [pytest.param(*(row if isinstance(row, tuple) else (row,)), id=name) for name, row in table.items()]


@pytest.fixture(autouse=True)
def _watch_the_credentials(watch: Watch) -> None:
    watch.secrets |= {OPAQUE, OWN_SECRET, SECRET.decode()}


@pytest.mark.parametrize("key", [RSA, EC, ED], ids=["RS256", "ES256", "Ed25519"])
async def test_honest_tokens_are_let_in_or_nothing_here_would_mean_anything(key: SigningKey) -> None:
    assert await ask(jwt(), sign(key)) == LET_IN
    assert await ask(jwt(public_key=key.public_pem), sign(key)) == LET_IN
    assert await ask(jwt(secret=SECRET), mac()) == LET_IN


# B1: algorithm and key confusion

SPKI_PEM, PKCS1_PEM = public_pem(RSA_KEY).encode(), public_pem(RSA_KEY, PublicFormat.PKCS1).encode()
SPKI_DER = RSA_KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
MODULUS = RSA_KEY.public_key().public_numbers().n
JWK = rsa_jwk(MODULUS, kid="rsa")
OPENSSH = (Encoding.OpenSSH, PublicFormat.OpenSSH)
PUBLIC_KEYS_AS_SECRETS = {
    "CVE-2015-9235 jsonwebtoken: a public key in PEM": SPKI_PEM,
    "CVE-2016-10555 jwt-simple: of P-256, in PEM": public_pem(EC_KEY).encode(),
    "CVE-2016-1000223 node-jws: of Ed25519, in PEM": public_pem(ED_KEY).encode(),
    "CVE-2017-11424 PyJWT: PKCS1 in PEM": PKCS1_PEM,
    "CVE-2022-29217 PyJWT: in the form of SSH": EC_KEY.public_key().public_bytes(*OPENSSH),
    "CVE-2022-29217 PyJWT: PKCS1 in DER": RSA_KEY.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1),
    "CVE-2024-33663 python-jose: of Ed25519, in the form of SSH": ED_KEY.public_key().public_bytes(*OPENSSH),
    "CVE-2024-37568 authlib: a certificate in PEM": certificate(RSA_KEY.public_key()),
    "CVE-2023-48223 fast-jwt: PKCS1 in PEM with CRLF": PKCS1_PEM.replace(b"\n", b"\r\n"),
    "CVE-2026-34950 fast-jwt: white space before PEM": b"\n \t" + SPKI_PEM,
    "CVE-2026-22817 Hono: a key set": json.dumps({"keys": [JWK]}).encode(),
    "CVE-2026-22818 Hono: the modulus as in the key set": JWK["n"].encode(),
    "CVE-2026-85394 python-jose: DER": SPKI_DER,
    "CVE-2026-85394 python-jose: a certificate in DER": certificate(RSA_KEY.public_key(), Encoding.DER),
    "CVE-2026-102268 GHSA-ffc3-869f-jxw9 PyJWT: CRLF": SPKI_PEM.replace(b"\n", b"\r\n"),
    "CVE-2026-102268 GHSA-ffc3-869f-jxw9 PyJWT: white space behind": SPKI_PEM + b" \n\n",
    "CVE-2026-102268 GHSA-ffc3-869f-jxw9 PyJWT: a byte order mark": b"\xef\xbb\xbf" + SPKI_PEM,
    "CVE-2026-102268 GHSA-ffc3-869f-jxw9 PyJWT: junk before": b"key: " + SPKI_PEM,
    "CVE-2026-102268 GHSA-ffc3-869f-jxw9 PyJWT: no line breaks": SPKI_PEM.replace(b"\n", b""),
    "CVE-2026-102273 PyJWT: a JWK within JSON": json.dumps({"idp": {"key": JWK}}).encode(),
    "PyJWT 2.13: a JWK": json.dumps(JWK).encode(),
    "GHSA-4rr6-gf59-ggw5 namshi/jose: the lines of a PEM": b"".join(SPKI_PEM.splitlines()[1:-1]),
    "MinIO 2026: the modulus": MODULUS.to_bytes(256, "big"),
    "of the same kind: a point of P-256": EC_KEY.public_key().public_bytes(
        Encoding.X962, PublicFormat.UncompressedPoint
    ),
    "of the same kind: a JWK of Ed25519": json.dumps(
        okp_jwk("Ed25519", ED_KEY.public_key().public_bytes_raw())
    ).encode(),
    "of the same kind: raw Ed25519": ED_KEY.public_key().public_bytes_raw(),
}


@pytest.mark.parametrize("form", rows(PUBLIC_KEYS_AS_SECRETS))
@pytest.mark.parametrize("algorithm", [None, "HS256"])
def test_a_public_key_is_no_secret(form: bytes, algorithm: str | None) -> None:
    with pytest.raises(ValueError, match=r"secret is .*: pass a public key as public_key= or jwks="):
        jwt(secret=form, algorithm=algorithm)


@pytest.mark.parametrize("form", rows(PUBLIC_KEYS_AS_SECRETS))
async def test_what_was_signed_with_a_public_key_as_a_secret_is_refused(form: bytes) -> None:
    for kid in ("rsa", "ec", "ed"):
        token = mac({"alg": "HS256", "typ": "at+jwt", "kid": kid}, secret=form)

        assert await ask(jwt(), token) == refused(Reason.unsupported_algorithm)
        assert await ask(jwt(public_key=SPKI_PEM), token) == refused(Reason.unsupported_algorithm)


def rsa(algorithm: SigningAlgorithm) -> SigningKey:
    return SigningKey.from_pem(private_pem(RSA_KEY), algorithm)


MIXED = [RSA.public_jwk("rs256"), rsa("RS512").public_jwk("rs512"), {**JWK, "kid": "no alg"}, EC.public_jwk("ec")]
OCT = {"kty": "oct", "k": encode_segment(SECRET).decode(), "alg": "HS256", "kid": "oct"}
CONFUSED = {
    "CVE-2026-48523 GHSA-jq35-7prp-9v3f PyJWT: RS256 in the header, a key for RS512": (
        sign(rsa("RS512"), {"alg": "RS256", "kid": "rs512"}),
        Reason.unknown_key,
    ),
    "CVE-2026-48523 GHSA-jq35-7prp-9v3f PyJWT: RS512, where RS256 is allowed": (
        sign(rsa("RS512"), {"kid": "rs512"}),
        Reason.unsupported_algorithm,
    ),
    "CVE-2026-22817 Hono: the header chooses for a key without alg": (
        sign(rsa("RS384"), {"kid": "no alg"}),
        Reason.unsupported_algorithm,
    ),
    "CVE-2026-22818 Hono: the header calls RS512 RS256": (
        sign(rsa("RS512"), {"alg": "RS256", "kid": "no alg"}),
        Reason.signature,
    ),
    "CVE-2022-23541 jsonwebtoken: RS256 by the name of an EC key": (sign(RSA, {"kid": "ec"}), Reason.unknown_key),
    "CVE-2022-23539 jsonwebtoken: ES256 by the name of an RSA key": (sign(EC, {"kid": "rs256"}), Reason.unknown_key),
    "CVE-2020-28042 ServiceStack: ES256 in the header, signed by RSA": (
        sign(RSA, {"alg": "ES256", "kid": "ec"}),
        Reason.signature,
    ),
    "Wycheproof: a symmetric key among others": (mac({"alg": "HS256", "kid": "oct"}), Reason.unsupported_algorithm),
    "Wycheproof: RS256 by the name of a symmetric key": (sign(RSA, {"kid": "oct"}), Reason.unknown_key),
}


@pytest.mark.parametrize(("token", "reason"), rows(CONFUSED))
async def test_a_key_is_for_one_algorithm_whatever_the_header_says(token: str, reason: Reason) -> None:
    mixed = jwt(jwks={"keys": [*MIXED, OCT]}, algorithm=["RS256", "ES256"])

    assert await ask(mixed, sign(RSA, {"kid": "rs256"})) == await ask(mixed, sign(EC)) == LET_IN
    assert await ask(mixed, token) == refused(reason)


SIGNATURE = base64.urlsafe_b64decode(sign(RSA).split(".")[2] + "==")
UNSIGNED = {
    **{
        f"CVE-2022-23540 jsonwebtoken: {alg}": (join({"alg": alg}, CLAIMS), Reason.unsupported_algorithm)
        for alg in ("none", "None", "NONE", "nOnE", "none ", "null", "HS256", "RS256\0", "rs256")
    },
    "CVE-2026-28802 GHSA-7wc2-qxgw-g8gg authlib: none, and a signature": (
        join({"alg": "none"}, CLAIMS, b"x"),
        Reason.unsupported_algorithm,
    ),
    "CVE-2026-28802 GHSA-7wc2-qxgw-g8gg authlib: none, and a good signature of another": (
        join({"alg": "none", "kid": "rsa"}, CLAIMS, SIGNATURE),
        Reason.unsupported_algorithm,
    ),
    "CVE-2026-107720 fast-jwt: no signature": (join({"alg": "RS256", "kid": "rsa"}, CLAIMS), Reason.signature),
    "CVE-2026-107720 fast-jwt: an HMAC with no key": (mac(secret=b""), Reason.unsupported_algorithm),
    "CVE-2026-107720 fast-jwt: no alg": (join({"typ": "JWT"}, CLAIMS), Reason.malformed),
    "CVE-2016-1000223 node-jws: alg is null": (join({"alg": None}, CLAIMS), Reason.malformed),
    "CVE-2016-1000223 node-jws: alg is empty": (join({"alg": ""}, CLAIMS), Reason.malformed),
    "CVE-2016-1000223 node-jws: alg is false": (join({"alg": False}, CLAIMS), Reason.malformed),
    "CVE-2016-1000223 node-jws: alg is an array": (join({"alg": ["none"]}, CLAIMS), Reason.malformed),
    "CVE-2020-28042 ServiceStack: a short signature": (
        join({"alg": "RS256", "kid": "rsa"}, CLAIMS, SIGNATURE[:1]),
        Reason.signature,
    ),
    "CVE-2020-28042 ServiceStack: two parts": (sign(RSA).rpartition(".")[0], Reason.malformed),
    "CVE-2022-39227 python-jwt: the signature of other claims": (
        join({"alg": "RS256", "kid": "rsa", "typ": "at+jwt"}, claims(sub="root"), SIGNATURE),
        Reason.signature,
    ),
}


@pytest.mark.parametrize(("token", "reason"), rows(UNSIGNED))
async def test_a_token_that_nobody_signed_is_refused(token: str | bytes, reason: Reason) -> None:
    assert await ask(jwt(), token) == refused(reason)


EMPTY_KEYS = {
    "CVE-2026-49852 GHSA-gg9x-qcx2-xmrh joserfc: nothing": (b"", "sha256", "HS256"),
    "CVE-2026-114616 GHSA-8m4g-j4wp-wgcg authlib: nothing, HS512": (b"", "sha512", "HS512"),
    "CVE-2026-102266 GHSA-9j54-fg26-wv3r PyJWT: zeros": (bytes(64), "sha384", "HS384"),
    "CVE-2026-120459 python-jose: None as text": (b"None", "sha256", "HS256"),
    "CVE-2026-45363 ruby-jwt: null as text": (b"null", "sha256", "HS256"),
    "CVE-2025-45768 PyJWT: a weak secret": (b"secret", "sha256", "HS256"),
    "CVE-2025-65945 GHSA-869p-cjfg-cm3x node-jws: the name of the key": (b"ec", "sha256", "HS256"),
}


@pytest.mark.parametrize(("secret", "digest", "algorithm"), rows(EMPTY_KEYS))
async def test_a_mac_with_a_key_that_anybody_can_guess_is_refused(secret: bytes, digest: str, algorithm: str) -> None:
    header = {"alg": algorithm, "kid": "ec"}
    own = jwt(secret=SECRET, algorithm=algorithm)

    assert await ask(own, mac(header, digest=digest)) == LET_IN
    assert await ask(own, mac(header, secret=secret, digest=digest)) == refused(Reason.signature)


OFF_THE_CURVE = {**EC.public_jwk("ec"), "y": integer(1, 32)}
# A modulus as that chip made them: a power of 65537 modulo the product of the first 126 primes
_PRIMES = math.prod(prime for prime in range(2, 702) if all(prime % factor for factor in range(2, prime)))
ROCA = (1 << 2047) // _PRIMES * _PRIMES + _PRIMES + pow(65537, 123_456_789, _PRIMES)

MISCONFIGURED: dict[str, tuple[dict[str, Any], str]] = {
    "CVE-2017-15361 ROCA: a modulus that can be factored": (
        {"jwks": {"keys": [rsa_jwk(ROCA)]}},
        "its modulus can be factored",
    ),
    "CVE-2022-23540 jsonwebtoken: no algorithms": ({"algorithm": []}, "algorithm is an empty sequence"),
    "CVE-2022-23540 jsonwebtoken: an empty algorithm": ({"algorithm": ""}, "algorithm is empty"),
    "CVE-2022-23540 jsonwebtoken: none": ({"algorithm": "none"}, "'none' does not go with public keys"),
    "CVE-2026-28802 GHSA-7wc2-qxgw-g8gg authlib: none beside others": (
        {"algorithm": ["ES256", "none"]},
        "'none' does not go with public keys",
    ),
    "CVE-2026-28802 GHSA-7wc2-qxgw-g8gg authlib: none with a secret": (
        {"secret": SECRET, "algorithm": "none"},
        "'none' does not go with a secret",
    ),
    "CVE-2015-9235 jsonwebtoken: HS256 with a public key": (
        {"public_key": SPKI_PEM, "algorithm": ["RS256", "HS256"]},
        "'HS256' does not go with public keys",
    ),
    "CVE-2015-9235 jsonwebtoken: RS256 with a secret": (
        {"secret": SECRET, "algorithm": ["HS256", "RS256"]},
        "'RS256' does not go with a secret",
    ),
    "CVE-2026-107720 fast-jwt: an empty key": ({"public_key": ""}, "public_key is no PEM"),
    "CVE-2026-107720 fast-jwt: no key": ({"public_key": None, "issuer": None}, "needs keys"),
    "CVE-2026-107720 fast-jwt: no keys": ({"jwks": {"keys": []}}, "no key to verify with"),
    "CVE-2022-23541 jsonwebtoken: only a symmetric key": ({"jwks": {"keys": [OCT]}}, "no key to verify with"),
    "CVE-2022-23539 jsonwebtoken: RS256 with an EC key": (
        {"public_key": public_pem(EC_KEY), "algorithm": "RS256"},
        "it cannot do RS256",
    ),
    "CVE-2022-23529 (withdrawn) jsonwebtoken: an object for a secret": ({"secret": {"toString": 1}}, "secret is a str"),
    "CVE-2026-49852 GHSA-gg9x-qcx2-xmrh joserfc: an empty secret": ({"secret": ""}, "secret is shorter than"),
    "CVE-2026-114616 GHSA-8m4g-j4wp-wgcg authlib: empty bytes": ({"secret": b""}, "secret is shorter than"),
    "CVE-2026-102266 GHSA-9j54-fg26-wv3r PyJWT: a byte too short": ({"secret": "s" * 31}, "secret is shorter than"),
    "CVE-2026-120459 python-jose: short for HS384": (
        {"secret": "s" * 47, "algorithm": "HS384"},
        "secret is shorter than the hash of HS384",
    ),
    "CVE-2025-45768 PyJWT: short for HS512": (
        {"secret": "s" * 63, "algorithm": "HS512"},
        "secret is shorter than the hash of HS512",
    ),
    "CVE-2025-45768 PyJWT: RSA of 1024 bits": ({"public_key": public_pem(private_rsa(1024))}, "its modulus is not"),
    "CVE-2026-26007 GHSA-r6ph-v2qm-q3c2 cryptography: a binary curve": (
        {"jwks": {"keys": [{"kty": "EC", "crv": "K-233", "x": integer(1, 30), "y": integer(1, 30)}]}},
        "its kty or crv is not one we verify with",
    ),
    "CVE-2026-26007 GHSA-r6ph-v2qm-q3c2 cryptography: another curve in PEM": (
        {"public_key": public_pem(ec.derive_private_key(7, ec.SECP256K1()))},
        "its kind is not one we verify with",
    ),
    "CVE-2016-9121 go-jose: a point that is on no curve": (
        {"jwks": {"keys": [OFF_THE_CURVE]}},
        "its numbers are not those of a public key",
    ),
    "CVE-2026-114618 GHSA-fch4-3c6x-j4gc authlib: no audiences": ({"audience": []}, "audience is an empty sequence"),
    "CVE-2026-114618 GHSA-fch4-3c6x-j4gc authlib: an empty audience": ({"audience": ""}, "audience is empty"),
    "CVE-2026-114618 GHSA-fch4-3c6x-j4gc authlib: one of them empty": ({"audience": ["a", ""]}, "audience is empty"),
    "CVE-2026-22748 Spring: an empty issuer": ({"issuer": ""}, "issuer is empty"),
    "CVE-2026-35040 fast-jwt: a pattern for an issuer": ({"issuer": re.compile("idp", re.ASCII)}, "issuer is a str"),
    "CVE-2026-35041 fast-jwt: a pattern for an audience": ({"audience": [re.compile("(a+)+$")]}, "audience is a str"),
    "CVE-2026-107721 fast-jwt: endless leeway": ({"leeway": math.inf}, "leeway is a number of seconds"),
    "CVE-2026-107721 fast-jwt: leeway that is no number": ({"leeway": math.nan}, "leeway is a number of seconds"),
    "CVE-2026-107721 fast-jwt: leeway of a day": ({"leeway": 86400}, "leeway is a number of seconds, from 0 to 300"),
}


@pytest.mark.parametrize(("options", "sentence"), rows(MISCONFIGURED))
def test_a_configuration_that_lets_everybody_in_does_not_start(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises((ValueError, TypeError), match=sentence):
        jwt(**options)


ATTACKERS = {
    "CVE-2018-0114 node-jose: jwk": {"jwk": ATTACKER.public_jwk("ec")},
    "CVE-2026-27962 GHSA-wvwj-cvrp-7pv5 authlib: jwk by another name": {"jwk": ATTACKER.public_jwk("x"), "kid": "x"},
    "CVE-2018-0114 node-jose: jku": {"jku": f"{EVIL}jwks"},
    "CVE-2018-0114 node-jose: jku, the name unknown": {"jku": f"{EVIL}jwks", "kid": f"{EVIL}jwks"},
    "CVE-2018-0114 node-jose: x5u": {"x5u": f"{EVIL}certificate"},
    "CVE-2018-0114 node-jose: x5c": {
        "x5c": [base64.b64encode(certificate(EC_KEY.public_key(), Encoding.DER)).decode()]
    },
    "CVE-2018-0114 node-jose: all of them": {"jwk": ATTACKER.public_jwk("ec"), "jku": EVIL, "x5u": EVIL, "x5c": []},
}


@pytest.mark.parametrize("header", rows(ATTACKERS))
async def test_a_key_that_the_token_brings_along_is_neither_used_nor_fetched(header: dict[str, Any]) -> None:
    asked: list[str] = []

    async def server(scope: Any, receive: Any, send: Any) -> None:
        asked.append(f"{scope['scheme']}://{scope['server'][0]}{scope['path']}")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(JWKS).encode()})

    remote = jwt(keys=RemoteKeySet("https://idp.example/jwks", transport=httpx2.ASGITransport(server)))

    assert await ask(remote, sign(EC)) == LET_IN
    assert (await ask(remote, sign(ATTACKER, header))).status == 401
    assert set(asked) == {"https://idp.example/jwks"}


HEAD, PAYLOAD, SIG = sign(EC).split(".")
FORGED = encode(claims(sub="root")).decode()
GENERAL = {"payload": PAYLOAD, "signatures": [{"protected": HEAD, "signature": SIG}]}
NOT_COMPACT = {
    "CVE-2016-9122 go-jose: several signatures": (
        json.dumps({**GENERAL, "signatures": [{"protected": HEAD, "signature": "AA"}, *GENERAL["signatures"]]}),
        BAD_REQUEST,
    ),
    "CVE-2026-102946 GHSA-4pp3-559j-c5c2 joserfc: no signatures": (
        json.dumps({**GENERAL, "signatures": []}, separators=(",", ":")),
        BAD_REQUEST,
    ),
    "CVE-2026-102946 GHSA-4pp3-559j-c5c2 joserfc: in base64url": (
        encode({**GENERAL, "signatures": []}),
        refused(Reason.malformed),
    ),
    "CVE-2025-65945 GHSA-869p-cjfg-cm3x node-jws: flattened": (
        json.dumps({"payload": PAYLOAD, "protected": HEAD, "signature": SIG}, separators=(",", ":")),
        BAD_REQUEST,
    ),
    "CVE-2022-39227 python-jwt: JSON that is compact, too": (
        json.dumps({f"{HEAD}.{FORGED}.": 1, "payload": PAYLOAD, "protected": HEAD, "signature": SIG}),
        BAD_REQUEST,
    ),
    "CVE-2022-39227 python-jwt: a forged part between": (
        f"{HEAD}.{FORGED}.{PAYLOAD}.{SIG}",
        refused(Reason.malformed),
    ),
}


@pytest.mark.parametrize(("token", "answer"), rows(NOT_COMPACT))
async def test_only_the_compact_form_is_a_token(token: str | bytes, answer: Answer) -> None:
    assert await ask(jwt(), f"{HEAD}.{PAYLOAD}.{SIG}") == LET_IN
    assert await ask(jwt(), token) == answer


def encrypt(header: dict[str, Any], plaintext: bytes) -> bytes:
    """Return a JWE (RSA-OAEP, A256GCM) to our public key: anybody can make one."""
    key, nonce = AESGCM.generate_key(256), os.urandom(12)
    oaep = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)  # noqa: S303  # RFC 7518 section 4.3
    protected = encode(header)
    sealed = AESGCM(key).encrypt(nonce, plaintext, protected)
    parts = (RSA_KEY.public_key().encrypt(key, oaep), nonce, sealed[:-16], sealed[-16:])
    return b".".join([protected, *map(encode, parts)])


OAEP = {"alg": "RSA-OAEP", "enc": "A256GCM"}
PBES2 = {"alg": "PBES2-HS256+A128KW", "enc": "A128CBC-HS256", "p2s": "AAAAAAAAAAA", "p2c": 2**31 - 1}
FIVE_PARTS = b".AAAA.AAAA.AAAA.AAAA"
ENCRYPTED = {
    "CVE-2026-29000 pac4j: an unsigned JWT": encrypt({**OAEP, "cty": "JWT"}, join({"alg": "none"}, CLAIMS)),
    "CVE-2022-3102 jwcrypto: claims": encrypt(OAEP, json.dumps(CLAIMS).encode()),
    "CVE-2023-51774 json-jwt: a JWT signed by the attacker": encrypt(OAEP, sign(ATTACKER).encode()),
    "CVE-2023-51774 json-jwt: a JWT that is good": encrypt(OAEP, sign(EC).encode()),
    "CVE-2023-51774 json-jwt: enc, signed": sign(EC, {"enc": "A256GCM"}).encode(),
    "CVE-2022-36083 panva: p2c": encode(PBES2) + FIVE_PARTS,
    "CVE-2023-6681 jwcrypto: p2c": encode({**PBES2, "p2c": 2**53}) + FIVE_PARTS,
    "CVE-2026-27932 joserfc: p2c": encode({**PBES2, "p2c": 10**19}) + FIVE_PARTS,
    "CVE-2023-49290 jwx: p2c": encode({**PBES2, "p2c": -1}) + FIVE_PARTS,
    "GHSA-2c7c-3mj9-8fqh go-jose: p2c": encode({**PBES2, "p2c": 10**40}) + FIVE_PARTS,
    "CVE-2023-52428 nimbus: p2c": encode({**PBES2, "p2c": 1e300}) + FIVE_PARTS,
    "GHSA-6qvw-249j-h44c jose4j: p2c": encode({**PBES2, "p2c": "9" * 100}) + FIVE_PARTS,
    "CVE-2024-28176 panva: zip": encrypt({**OAEP, "zip": "DEF"}, bytes(1_000)),
    "CVE-2024-28102 CVE-2026-39373 jwcrypto: zip": encode({"alg": "dir", "enc": "A128GCM", "zip": "DEF"}) + FIVE_PARTS,
    "CVE-2024-28180 go-jose: zip": encode({**PBES2, "zip": "DEF"}) + FIVE_PARTS,
    "CVE-2024-28122 jwx: zip, signed": sign(EC, {"zip": "DEF"}).encode(),
    "CVE-2024-33664 CVE-2024-29370 python-jose: zip": encode({**OAEP, "zip": "DEF"}) + b".AA.AA." + b"A" * 9_000 + b".",
    "CVE-2025-62706 GHSA-g7f3-828f-7h7m authlib: zip": encode({**OAEP, "zip": "GZ"}) + FIVE_PARTS,
    "CVE-2016-6298 jwcrypto: RSA1_5": encode({"alg": "RSA1_5", "enc": "A128CBC-HS256"}) + FIVE_PARTS,
    "CVE-2026-28490 authlib: RSA1_5": encode({"alg": "RSA1_5", "enc": "A256GCM"}) + FIVE_PARTS,
    "GHSA-rm8v-mxj3-5rmq jwx: RSA1_5": encode({"alg": "RSA1_5", "enc": "A256CBC-HS512"}) + FIVE_PARTS,
    "CVE-2016-9123 go-jose: CBC": encode({"alg": "dir", "enc": "A128CBC-HS256"}) + FIVE_PARTS,
    "CVE-2021-29443 CVE-2021-29444 panva: CBC": encode({**OAEP, "enc": "A128CBC-HS256"}) + FIVE_PARTS,
    "CVE-2021-29445 CVE-2021-29446 panva: CBC": encode({**OAEP, "enc": "A256CBC-HS512"}) + FIVE_PARTS,
    "CVE-2016-9121 go-jose: ECDH-ES on no curve": encode({"alg": "ECDH-ES", "enc": "A256GCM", "epk": OFF_THE_CURVE})
    + FIVE_PARTS,
}


@pytest.mark.parametrize("token", rows(ENCRYPTED))
async def test_an_encrypted_token_is_refused_and_nothing_is_computed_for_it(token: bytes) -> None:
    before = time.process_time()

    for verifier in (jwt(), jwt(secret=SECRET)):
        assert await ask(verifier, token) == refused(Reason.malformed)

    assert time.process_time() - before < 1


def pair(r: int, s: int) -> bytes:
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


PSYCHIC = {
    **{
        f"CVE-2022-21449 Java: r={name_r} s={name_s}": pair(r, s)
        for name_r, r in {"0": 0, "1": 1, "n": N}.items()
        for name_s, s in {"0": 0, "1": 1, "n": N}.items()
    },
    "CVE-2022-21449 Java: no length": b"",
    "CVE-2022-21449 Java: 0 in DER": bytes.fromhex("3006020100020100"),
    "HAProxy 2026: a long signature": bytes(9_000),
    "HAProxy 2026: a good one, and more": base64.urlsafe_b64decode(SIG + "==") + bytes(64),
}


@pytest.mark.parametrize("signature", rows(PSYCHIC))
async def test_numbers_that_hold_for_every_message_are_no_signature(signature: bytes) -> None:
    token = f"{HEAD}.{PAYLOAD}.".encode() + encode(signature)

    assert await ask(jwt(), token) == refused(Reason.signature)


async def test_haproxy_2026_a_signature_longer_than_all_tokens_is_not_looked_at() -> None:
    assert await ask(jwt(), f"{HEAD}.{PAYLOAD}.".encode() + encode(bytes(16_384))) == refused(Reason.too_large)


# B2: what headers mean. The signatures are good: what is refused is the header.

HEADERS: dict[str, tuple[bytes | dict[str, Any], Reason]] = {
    **{
        f"{name}: crit={json.dumps(crit)[:20]}": ({"alg": "HS256", "crit": crit, "x": 1}, Reason.malformed)
        for name, crit in {
            "CVE-2025-59420 GHSA-9ggr-2464-2j32 authlib": ["x"],
            "CVE-2025-59420 GHSA-9ggr-2464-2j32 authlib, empty": [],
            "CVE-2026-32597 GHSA-752w-5fwx-jx9f PyJWT": ["exp"],
            "CVE-2026-32597 GHSA-752w-5fwx-jx9f PyJWT, known": ["alg"],
            "CVE-2026-32597 GHSA-752w-5fwx-jx9f PyJWT, absent": ["absent"],
            "CVE-2026-35042 fast-jwt": "x",
            "CVE-2026-35042 fast-jwt, number": 5,
            "CVE-2026-35042 fast-jwt, null": None,
            "CVE-2026-35042 fast-jwt, nested": [["x"]],
            "python-jose 413": ["b64"],
            "python-jose 413, twice": ["x", "x"],
            "python-jose 413, false": False,
        }.items()
    },
    "CVE-2026-48525 GHSA-w7vc-732c-9m39 PyJWT: b64 is false": (
        {"alg": "HS256", "b64": False, "crit": ["b64"]},
        Reason.malformed,
    ),
    "CVE-2026-48525 GHSA-w7vc-732c-9m39 PyJWT: b64 is true": ({"alg": "HS256", "b64": True}, Reason.malformed),
    "CVE-2026-48990 GHSA-wphv-vfrh-23q5 joserfc: b64 without crit": ({"alg": "HS256", "b64": False}, Reason.malformed),
    "CVE-2026-27896 MCP Go SDK: Alg": (b'{"Alg":"HS256"}', Reason.malformed),
    "CVE-2026-27896 MCP Go SDK: ALG, and alg": (b'{"ALG":"HS256","alg":"none"}', Reason.unsupported_algorithm),
    "CVE-2026-27896 MCP Go SDK: Typ, and typ": (b'{"alg":"HS256","Typ":"at+jwt","typ":"dpop+jwt"}', Reason.token_type),
    "CVE-2020-26160 and parsers: alg twice": (b'{"alg":"none","alg":"HS256"}', Reason.malformed),
    "CVE-2020-26160 and parsers: alg twice, one escaped": (b'{"\\u0061lg":"none","alg":"HS256"}', Reason.malformed),
    "CVE-2020-26160 and parsers: crit within": (b'{"alg":"HS256","x":{"a":1,"a":2}}', Reason.malformed),
}


@pytest.mark.parametrize(("header", "reason"), rows(HEADERS))
async def test_a_header_that_asks_for_more_than_is_understood_is_refused(
    header: bytes | dict[str, Any], reason: Reason
) -> None:
    assert await ask(jwt(secret=SECRET), mac()) == LET_IN
    assert await ask(jwt(secret=SECRET), mac(header)) == refused(reason)


def detached(payload: bytes, between: bytes = b"") -> bytes:
    """Return a token of RFC 7797, whose payload is not encoded, or not there."""
    header = encode({"alg": "HS256", "b64": False, "crit": ["b64"]})
    return header + b"." + between + b"." + encode(hmac.digest(SECRET, header + b"." + payload, "sha256"))


UNENCODED = {
    "CVE-2026-48525 GHSA-w7vc-732c-9m39 PyJWT: detached": (detached(b""), refused(Reason.malformed)),
    "CVE-2026-48525 GHSA-w7vc-732c-9m39 PyJWT: detached claims": (
        detached(json.dumps(CLAIMS).encode()),
        refused(Reason.malformed),
    ),
    "CVE-2026-48990 GHSA-wphv-vfrh-23q5 joserfc: claims as they are": (
        detached(json.dumps(CLAIMS).encode(), json.dumps(CLAIMS).encode()),
        BAD_REQUEST,
    ),
    "CVE-2026-48990 GHSA-wphv-vfrh-23q5 joserfc: large": (
        detached(b"A" * 1_000_000, b"A" * 1_000_000),
        Reason.too_large,
    ),
}


@pytest.mark.parametrize(("token", "answer"), rows(UNENCODED))
async def test_a_payload_that_is_not_encoded_is_none(token: bytes, answer: Answer | Reason) -> None:
    assert await ask(jwt(secret=SECRET), token) == (refused(answer) if isinstance(answer, Reason) else answer)


KIDS = {
    "kid injection: a path to nothing": ("../../../../dev/null", Reason.unknown_key),
    "kid injection: a path of Windows": ("..\\..\\windows\\win.ini", Reason.unknown_key),
    "kid injection: a file": ("file:///dev/null", Reason.unknown_key),
    "kid injection: a URL": (f"{EVIL}jwks.json", Reason.unknown_key),
    "kid injection: SQL": ("x' UNION SELECT 'AAAA' --", Reason.unknown_key),
    "kid injection: SQL that is true": ("' OR '1'='1", Reason.unknown_key),
    "kid injection: a command": ("|/bin/sh -c id", Reason.unknown_key),
    "kid injection: a template": ("${jndi:ldap://evil.example/a}", Reason.unknown_key),
    "kid injection: NUL": ("ec\0", Reason.unknown_key),
    "kid injection: nothing": ("", Reason.unknown_key),
    "kid injection: another case": ("EC", Reason.unknown_key),
    "kid injection: an attribute": ("__class__", Reason.unknown_key),
    "kid injection: 1025 characters": ("k" * 1025, Reason.malformed),
    "kid injection: ten thousand characters": ("k" * 10_000, Reason.malformed),
    "kid injection: a lone surrogate": ("\ud800", Reason.malformed),
    "kid injection: null": (None, Reason.malformed),
    "kid injection: a number": (0, Reason.malformed),
    "kid injection: an array": (["ec"], Reason.malformed),
    "kid injection: an object": ({"$ne": None}, Reason.malformed),
}


@pytest.mark.parametrize(("kid", "reason"), rows(KIDS))
async def test_a_kid_is_a_name_to_look_up_and_nothing_else(kid: Any, reason: Reason) -> None:
    assert await ask(jwt(), sign(EC, {"kid": kid})) == refused(reason)
    # The secret that is in "/dev/null", and in the result of the SELECT
    for secret in (b"", b"AAAA"):
        guessed = mac({"alg": "HS256", "kid": kid}, secret=secret)
        assert (await ask(jwt(secret=SECRET), guessed)).status == 401


LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
# 64 bytes: four bits of the last letter are not used
OTHER_ENDS = [SIG[:-1] + LETTERS[(LETTERS.index(SIG[-1]) & 0x30) | bits] for bits in range(1, 16)]
MALLEATED = {
    **{
        f"CVE-2026-102269 PyJWT: the unused bits are {bits}": (f"{HEAD}.{PAYLOAD}.{end}", refused(Reason.malformed))
        for bits, end in enumerate(OTHER_ENDS, 1)
    },
    "CVE-2026-102269 PyJWT: one sign of padding": (f"{HEAD}.{PAYLOAD}.{SIG}=", refused(Reason.malformed)),
    "CVE-2026-102269 PyJWT: padding": (f"{HEAD}.{PAYLOAD}.{SIG}==", refused(Reason.malformed)),
    "CVE-2026-62995 GHSA-5jhw-7jv7-qcqq joserfc: a letter more": (
        f"{HEAD}.{PAYLOAD}.{SIG}A",
        refused(Reason.signature),
    ),
    "CVE-2026-62995 GHSA-5jhw-7jv7-qcqq joserfc: letters more": (
        f"{HEAD}.{PAYLOAD}.{SIG}AA",
        refused(Reason.signature),
    ),
    "CVE-2026-62995 GHSA-5jhw-7jv7-qcqq joserfc: padding within": (f"{HEAD}==.{PAYLOAD}.{SIG}", BAD_REQUEST),
    "CVE-2026-62995 GHSA-5jhw-7jv7-qcqq joserfc: the other alphabet": (
        f"{HEAD}.{PAYLOAD}.{SIG[:-2]}+/",
        refused(Reason.malformed),
    ),
    "CVE-2026-62995 GHSA-5jhw-7jv7-qcqq joserfc: a tilde": (f"{HEAD}.{PAYLOAD}.{SIG}~", refused(Reason.malformed)),
    "CVE-2026-62995 GHSA-5jhw-7jv7-qcqq joserfc: a space": (f"{HEAD}.{PAYLOAD}. {SIG}", BAD_REQUEST),
    "CVE-2026-62995 GHSA-5jhw-7jv7-qcqq joserfc: a line feed": (f"{HEAD}.{PAYLOAD}.{SIG}\n", BAD_REQUEST),
    "CVE-2026-62995 GHSA-5jhw-7jv7-qcqq joserfc: a NUL": (f"{HEAD}.{PAYLOAD}.{SIG}\0", BAD_REQUEST),
    "CVE-2026-62995 GHSA-5jhw-7jv7-qcqq joserfc: a fourth part": (
        f"{HEAD}.{PAYLOAD}.{SIG}.",
        refused(Reason.malformed),
    ),
}


@pytest.mark.parametrize(("token", "answer"), rows(MALLEATED))
async def test_a_token_has_one_spelling(token: str, answer: Answer) -> None:
    verifier = jwt()

    assert await ask(verifier, f"{HEAD}.{PAYLOAD}.{SIG}") == LET_IN
    assert await ask(verifier, token) == answer


# B3: claims. The signatures are good: what is refused is what they say.

DPOP_PROOF = {"jti": "1", "htm": "GET", "htu": AUDIENCE, "iat": NOW, "ath": "x"}
ASSERTION = {"iss": "app", "sub": "app", "aud": f"{ISSUER}token", "jti": "1", "exp": NOW + 60, "iat": NOW}
ID_TOKEN = {**CLAIMS, "aud": "app", "nonce": "n"}
LOGOUT = {**CLAIMS, "events": {"http://schemas.openid.net/event/backchannel-logout": {}}, "sid": "1"}
SAID: dict[str, tuple[dict[str, Any], Reason]] = {
    "CVE-2024-53861 PyJWT: a part of the issuer": (claims(iss="https://idp"), Reason.issuer),
    "CVE-2024-53861 PyJWT: a letter of the issuer": (claims(iss="/"), Reason.issuer),
    "CVE-2024-53861 PyJWT: the issuer, and more": (claims(iss=f"{ISSUER}evil"), Reason.issuer),
    "CVE-2024-53861 PyJWT: the issuer without its slash": (claims(iss=ISSUER[:-1]), Reason.issuer),
    "CVE-2024-53861 PyJWT: the issuer in capitals": (claims(iss=ISSUER.upper()), Reason.issuer),
    "CVE-2025-30144 fast-jwt: an array of issuers": (claims(iss=[EVIL, ISSUER]), Reason.claim_type),
    "CVE-2025-30144 fast-jwt: an array of the issuer": (claims(iss=[ISSUER]), Reason.claim_type),
    "CVE-2026-75509 GHSA-r74j-q665-7rpj joserfc: an array of sub": (claims(sub=["alice", "root"]), Reason.claim_type),
    "CVE-2026-75509 GHSA-r74j-q665-7rpj joserfc: an array of jti": (claims(jti=["1"]), Reason.claim_type),
    "CVE-2026-75509 GHSA-r74j-q665-7rpj joserfc: an object for iss": (claims(iss={ISSUER: 1}), Reason.claim_type),
    "telemeter: no issuer": (claims(iss=ABSENT), Reason.missing_claim),
    "telemeter: another issuer": (claims(iss=EVIL), Reason.issuer),
    "telemeter: Iss": (claims(iss=EVIL, Iss=ISSUER), Reason.issuer),
    "CVE-2020-26160 jwt-go: no audience in an array": (claims(aud=[]), Reason.claim_type),
    "CVE-2020-26160 jwt-go: an empty audience": (claims(aud=""), Reason.claim_type),
    "CVE-2020-26160 jwt-go: an array of empty ones": (claims(aud=[""]), Reason.claim_type),
    "CVE-2020-26160 jwt-go: ours among what is no text": (claims(aud=[AUDIENCE, None]), Reason.claim_type),
    "CVE-2020-26160 jwt-go: null": (claims(aud=None), Reason.claim_type),
    "CVE-2020-26160 jwt-go: another, and Aud": (claims(aud=EVIL, Aud=AUDIENCE), Reason.audience),
    "CVE-2026-114618 GHSA-fch4-3c6x-j4gc authlib: no audience": (claims(aud=ABSENT), Reason.missing_claim),
    "OpenFGA: another audience": (claims(aud=EVIL), Reason.audience),
    "Oxia: another audience in an array": (claims(aud=[EVIL]), Reason.audience),
    "OliveTin: a part of the audience": (claims(aud="https://api"), Reason.audience),
    "Argo CD: the audience, and more": (claims(aud=f"{AUDIENCE}.evil.example"), Reason.audience),
    "CVE-2026-55669 ZITADEL: audiences with spaces": (claims(aud=f"{EVIL} {AUDIENCE}"), Reason.audience),
    "CVE-2026-116684 GHSA-w4fh-qvv9-3v23 MCP Python SDK: another server's": (
        claims(aud="https://mcp.example/mcp"),
        Reason.audience,
    ),
    "GHSA-rvq5-wwqv-78pq MCP TypeScript SDK: a client's": (claims(aud="app"), Reason.audience),
    "CVE-2025-69196 GHSA-5h2m-4q8j-pqpj FastMCP: the issuer's own": (claims(aud=ISSUER), Reason.audience),
    "CVE-2026-44428 MCP registry: ours with a slash": (claims(aud=f"{AUDIENCE}/"), Reason.audience),
    "CVE-2026-25537 jsonwebtoken for Rust: nbf is text": (claims(nbf="4000000000"), Reason.claim_type),
    "CVE-2026-25537 jsonwebtoken for Rust: nbf is true": (claims(nbf=True), Reason.claim_type),
    "CVE-2026-25537 jsonwebtoken for Rust: nbf is null": (claims(nbf=None), Reason.claim_type),
    "CVE-2026-25537 jsonwebtoken for Rust: nbf is an array": (claims(nbf=[NOW]), Reason.claim_type),
    "CVE-2026-25537 jsonwebtoken for Rust: nbf is below 0": (claims(nbf=-1), Reason.claim_type),
    "CVE-2026-25537 jsonwebtoken for Rust: exp is text": (claims(exp="never"), Reason.claim_type),
    "CVE-2026-107721 fast-jwt: exp is endless": (claims(exp=1e300), Reason.claim_type),
    "GHSA-wxg7-w2v3-w38g ZITADEL: no exp, no iat": (claims(exp=ABSENT, iat=ABSENT), Reason.missing_claim),
    "GHSA-wxg7-w2v3-w38g ZITADEL: exp is null": (claims(exp=None), Reason.claim_type),
    "GHSA-wxg7-w2v3-w38g ZITADEL: issued tomorrow": (claims(iat=NOW + 86400, exp=NOW + 90000), Reason.not_yet_valid),
    "nats-jwt: exp is 0": (claims(exp=0, iat=ABSENT), Reason.expired),
    "nats-jwt: exp is over": (claims(exp=NOW - 31), Reason.expired),
    "CVE-2026-8922 Keycloak: not before tomorrow": (claims(nbf=NOW + 86400, exp=NOW + 90000), Reason.not_yet_valid),
    "CVE-2026-28498 authlib: at_hash of an unknown algorithm": (claims(at_hash="x"), Reason.token_type),
    "CVE-2026-114617 authlib: a claim that turns nonce off": (
        {
            **{name: ID_TOKEN[name] for name in ("iss", "sub", "nonce", "exp")},
            "aud": AUDIENCE,
            "nonce_supported": False,
        },
        Reason.token_type,
    ),
    "CVE-2026-114617 authlib: a claim that turns aud off": (claims(aud=EVIL, aud_supported=False), Reason.audience),
    "no claim relaxes a check: a binding": (claims(cnf={"jkt": "x"}), Reason.binding),
    "no claim relaxes a check: an empty binding": (claims(cnf={}), Reason.binding),
    "no claim relaxes a check: a binding that is null": (claims(cnf=None), Reason.binding),
    "Flux: no claims": ({}, Reason.missing_claim),
    "Flux: empty claims": (claims(iss="", sub=""), Reason.claim_type),
    "Casdoor: a token that is over is not active": (claims(iat=1, exp=2), Reason.expired),
    "token types: an ID token": (ID_TOKEN, Reason.audience),
    "token types: an ID token for us": (claims(at_hash="x", nonce="n"), Reason.token_type),
    "token types: an ID token of Cognito": (claims(token_use="id"), Reason.token_type),
    "token types: a refresh token of Keycloak": (claims(typ="Refresh"), Reason.token_type),
    "token types: a logout token": (LOGOUT, Reason.token_type),
    "token types: a DPoP proof": (DPOP_PROOF, Reason.missing_claim),
    "token types: a client's assertion": (ASSERTION, Reason.issuer),
}


@pytest.mark.parametrize(("said", "reason"), rows(SAID))
async def test_a_good_signature_under_the_wrong_claims_is_refused(said: dict[str, Any], reason: Reason) -> None:
    assert await ask(jwt(secret=SECRET), mac(payload=claims())) == LET_IN
    assert await ask(jwt(secret=SECRET), mac(payload=said)) == refused(reason)


TYPES = {
    "token types: a DPoP proof": "dpop+jwt",
    "token types: a logout token": "logout+jwt",
    "token types: a client's assertion": "client-authentication+jwt",
    "token types: a security event": "secevent+jwt",
    "token types: a signed introspection answer": "token-introspection+jwt",
    "token types: a request object": "oauth-authz-req+jwt",
    "token types: a verifiable credential": "vc+sd-jwt",
}


@pytest.mark.parametrize("typ", rows(TYPES))
async def test_a_type_that_is_no_access_tokens_is_refused_whatever_the_claims(typ: str) -> None:
    assert await ask(jwt(), sign(EC, {"typ": typ})) == refused(Reason.token_type)
    assert await ask(jwt(), sign(EC, {"typ": f"application/{typ}"})) == refused(Reason.token_type)


NO_CLAIMS_SET = {
    "CVE-2026-107723 fast-jwt: an array": json.dumps([CLAIMS]).encode(),
    "CVE-2026-107723 fast-jwt: an empty array": b"[]",
    "CVE-2026-107723 fast-jwt: text": b'"alice"',
    "CVE-2026-107723 fast-jwt: a number": b"1",
    "CVE-2026-107723 fast-jwt: null": b"null",
    "CVE-2026-107723 fast-jwt: true": b"true",
    "CVE-2026-107723 fast-jwt: nothing": b"",
    "CVE-2026-27896 MCP Go SDK: aud twice": json.dumps({**CLAIMS, "aud": EVIL}).encode()[:-1]
    + b',"aud":"%s"}' % AUDIENCE.encode(),
}


@pytest.mark.parametrize("payload", rows(NO_CLAIMS_SET))
async def test_a_payload_that_is_no_claims_set_is_refused(payload: bytes) -> None:
    assert await ask(jwt(secret=SECRET), mac(payload=payload)) == refused(Reason.malformed)


async def test_cve_2024_51744_golang_jwt_a_forged_token_that_is_expired_too_is_a_forged_one() -> None:
    assert await ask(jwt(), sign(ATTACKER, {"kid": "ec"}, exp=NOW - 600)) == refused(Reason.signature)
    assert await ask(jwt(), sign(EC, exp=NOW - 40)) == refused(Reason.expired)


async def test_fleet_a_token_whose_signature_nobody_looked_at_is_refused_behind_one_that_is_good() -> None:
    verifier = jwt()

    assert await ask(verifier, sign(EC)) == LET_IN
    assert await ask(verifier, sign(ATTACKER, {"kid": "ec"})) == refused(Reason.signature)


@pytest.mark.parametrize("pattern", ["https://idp.*", ".*", "https://idp.example/|", "(a+)+$"])
async def test_cve_2026_35040_cve_2026_35041_fast_jwt_what_is_configured_is_no_pattern(pattern: str) -> None:
    before = time.process_time()

    for _ in range(2):  # the same answer every time: a pattern with a state had another
        assert await ask(jwt(issuer=pattern), sign(EC)) == refused(Reason.issuer)
        assert await ask(jwt(audience=pattern), sign(EC)) == refused(Reason.audience)
        assert await ask(jwt(issuer=pattern), sign(EC, iss="a" * 9_000 + "!")) == refused(Reason.issuer)

    assert time.process_time() - before < 2


UNCHECKED = {
    "CVE-2026-55669 ZITADEL and others: no audience": ({"audience": None}, {"aud": EVIL}, "has no audience"),
    "CVE-2026-116684 GHSA-w4fh-qvv9-3v23 MCP Python SDK: no audience": ({"audience": None}, {}, "has no audience"),
    "CVE-2026-22748 Spring: no issuer": ({"issuer": None}, {"iss": EVIL}, "has no issuer"),
}


@pytest.mark.parametrize(("options", "said", "sentence"), rows(UNCHECKED))
async def test_to_check_less_is_never_silent(options: dict[str, Any], said: dict[str, Any], sentence: str) -> None:
    with pytest.warns(InsecureConfigurationWarning, match=sentence):
        unchecked = jwt(**options)

    assert await ask(unchecked, sign(EC, **said)) == LET_IN
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InsecureConfigurationWarning)
        strict = {"profile": "rfc9068"}
        with pytest.raises(ValueError, match="profile='rfc9068' compares iss and aud"):
            jwt(**options, **strict)


# B4: what parsers choke on. Each answer is a 400 or 401, never a 500, and takes no time to speak of.

DEEP = 5_000
HOSTILE: dict[str, tuple[bytes, int]] = {
    "CVE-2026-101917 PyJWT: a deep payload": (mac(payload=b'{"a":' * DEEP), 401),
    "CVE-2026-101918 PyJWT: a deep header": (join(b'{"alg":' * 1_000, CLAIMS), 401),
    "CVE-2026-102265 PyJWT: deep arrays that end": (mac(payload=b"[" * DEEP + b"]" * DEEP), 401),
    "CVE-2026-116586 go-jose: a deep claim": (mac(payload=b'{"a":' + b"[" * DEEP + b"]" * DEEP + b"}"), 401),
    "CVE-2025-53864 nimbus: a deep claim of objects": (
        mac(payload=b'{"a":' * 1_500 + b"1" + b"}" * 1_500),
        401,
    ),
    "CVE-2019-17195 nimbus: a header of nothing": (join(b"", CLAIMS), 401),
    "CVE-2019-17195 nimbus: a header of null": (join(b"null", CLAIMS), 401),
    "CVE-2019-17195 nimbus: a header of NaN": (join(b'{"alg":NaN}', CLAIMS), 401),
    "CVE-2026-116585 go-jose: parts of nothing": (b"..", 401),
    "CVE-2026-34986 go-jose: no signature, no payload": (encode({"alg": "HS256"}) + b"..", 401),
    "CVE-2024-21664 jwx: JSON without signatures": (b'{"payload":"e30"}', 400),
    "CVE-2023-50658 jose2go: bytes that are no text": (mac(payload=b"\xff\xfe" * 1_000), 401),
    "CVE-2025-63811 jose2go: a huge number": (mac(payload=b'{"exp":' + b"9" * 9_000 + b"}"), 401),
    "CVE-2025-63811 jose2go: a huge exponent": (mac(payload=b'{"exp":1e999999999}'), 401),
    "CVE-2025-27144 go-jose: a million dots": (b"." * 1_000_000, 401),
    "CVE-2025-30204 golang-jwt: sixteen thousand dots": (b"." * 16_000, 401),
    "CVE-2026-119284 GHSA-9pg5-8c7x-5hfx joserfc: dots behind a token": (sign(EC).encode() + b"." * 15_000, 401),
    "CVE-2025-61920 GHSA-pq5p-34cr-23v9 authlib: a megabyte of header": (
        join({"alg": "HS256", "x": "A" * 1_000_000}, CLAIMS),
        401,
    ),
    "CVE-2025-61920 GHSA-pq5p-34cr-23v9 authlib: a megabyte of signature": (
        join({"alg": "HS256"}, CLAIMS, bytes(1_000_000)),
        401,
    ),
    "CVE-2025-65015 GHSA-frfh-8v73-gjg4 joserfc: a megabyte of payload": (
        mac(payload={**CLAIMS, "x": "A" * 1_000_000}),
        401,
    ),
    "CVE-2022-39174 authlib: spaces": (b" " * 1_000_000 + b"!", 400),
    "CVE-2022-39175 authlib: spaces within": (b"a" + b" " * 1_000_000 + b"a", 401),
    "ReDoS: signs of padding": (b"=" * 1_000_000, 401),
    "ReDoS: signs of padding, and what is none": (b"a" + b"=" * 10_000 + b"a", 400),
    "ReDoS: auth-params without end": (b'realm="' + b"\\" * 15_000, 400),
    "ReDoS: quotes within the payload": (mac(payload=b'{"' + b'\\"' * 5_000), 401),
    "ReDoS: commas": (b"a," * 8_000, 400),
}


@pytest.mark.parametrize(("token", "status"), rows(HOSTILE))
async def test_whatever_is_sent_the_answer_comes_at_once(token: bytes, status: int, watch: Watch) -> None:
    # CVE-2025-65015: no exception, and so no record of the log, has the token in it.
    watch.secrets |= {
        text for text in (token[:60].decode("latin-1"), token[-60:].decode("latin-1")) if text.strip(" .=")
    }
    verifiers = (jwt(), jwt(secret=SECRET), static("a-token"), opaque(active=False)[0])
    before = time.process_time()

    answers = [await ask(verifier, token) for verifier in verifiers]

    # Milliseconds, in truth; what grew with the square of the length would take minutes.
    assert time.process_time() - before < 2
    assert {found.status for found in answers} == {status}


# The strategies beside signed tokens


def static(*tokens: str, **options: Any) -> StaticTokenVerifier:
    return StaticTokenVerifier({token: {"client_id": "app", "scopes": ["read"]} for token in tokens}, **options)


class Endpoint:
    """An introspection endpoint in process, which knows the tokens of `known` and counts who asks."""

    def __init__(self, known: dict[str, dict[str, Any]]) -> None:
        self.known = known
        self.asked: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        token = httpx2.QueryParams(body.decode())["token"]
        self.asked.append(token)
        await anyio.lowlevel.checkpoint()  # whoever asks at the same time is in between
        answer = {"active": True, **self.known[token]} if token in self.known else {"active": False}
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})


OPAQUE, OWN_SECRET = "an-opaque-token-of-alice", "the-secret-of-this-server"


def opaque(*, active: bool = True, **options: Any) -> tuple[IntrospectionTokenVerifier, Endpoint]:
    """Return a verifier, and the endpoint that it asks; `claims` is what that says of the one token."""
    said = {"client_id": "app", "sub": "alice", "scope": "read", "exp": NOW + 600, **options.pop("said", {})}
    endpoint = Endpoint({OPAQUE: said} if active else {})
    defaults: dict[str, Any] = {
        "introspection_endpoint": "https://idp.example/introspect",
        "client_id": "rs",
        "client_secret": OWN_SECRET,
        "transport": httpx2.ASGITransport(endpoint),
        "clock": Clock(NOW),
        "monotonic": Clock(0),
    }
    return IntrospectionTokenVerifier(**{**defaults, **options}), endpoint


INTROSPECTED = {
    "CVE-2026-8922 Keycloak: not before tomorrow": ({"nbf": NOW + 86400, "exp": NOW + 90000}, Reason.not_yet_valid),
    "Casdoor: over": ({"exp": NOW - 60}, Reason.expired),
    "CVE-2026-55669 ZITADEL: another audience": ({"aud": EVIL}, Reason.audience),
    "CVE-2026-116684 GHSA-w4fh-qvv9-3v23 MCP Python SDK: another server": ({"aud": ["https://mcp"]}, Reason.audience),
    "CVE-2020-26160 jwt-go: no audience in an array": ({"aud": []}, Reason.claim_type),
    "CVE-2025-30144 fast-jwt: an array of issuers": ({"iss": [EVIL]}, Reason.claim_type),
    "CVE-2026-25537 jsonwebtoken for Rust: nbf is text": ({"nbf": "1"}, Reason.claim_type),
    "token types: an ID token": ({"at_hash": "x"}, Reason.token_type),
    "token types: a refresh token": ({"token_type": "refresh_token"}, Reason.token_type),
    "no claim relaxes a check: a binding": ({"cnf": {"x5t#S256": "x"}}, Reason.binding),
}


@pytest.mark.parametrize(("said", "reason"), rows(INTROSPECTED))
async def test_what_is_active_is_checked_all_the_same(said: dict[str, Any], reason: Reason) -> None:
    assert await ask(opaque(server_url=AUDIENCE)[0], OPAQUE) == LET_IN
    assert await ask(opaque(server_url=AUDIENCE, said=said)[0], OPAQUE) == refused(reason)


class Comparisons:
    """Counts comparisons in constant time, and nothing else: what time something takes is no test."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> Self:
        sys.setprofile(self._see)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _see(self, _frame: object, event: str, function: object) -> None:
        self.count += event == "c_call" and function is hmac.compare_digest


@pytest.mark.parametrize("tried", ["token-1", "token-2", "token-3", "token-", "t", "uoken-1", "another"])
async def test_cve_2024_42368_opentelemetry_every_token_is_compared_and_in_constant_time(tried: str) -> None:
    verifier = static("token-1", "token-2", "token-3")

    with Comparisons() as comparisons:
        answer = await ask(verifier, tried)

    assert comparisons.count == 3
    assert answer == (LET_IN if tried in {"token-1", "token-2", "token-3"} else refused(Reason.inactive))


@pytest.mark.parametrize("change", [0, 1, 31], ids="CVE-2016-7036 python-jose: byte {} is wrong".format)
async def test_a_mac_is_compared_in_constant_time(change: int) -> None:
    head, _, encoded = mac().rpartition(b".")
    wrong = bytearray(base64.urlsafe_b64decode(encoded + b"="))
    wrong[change] ^= 1
    verifier = jwt(secret=SECRET)

    with Comparisons() as comparisons:
        answer = await ask(verifier, head + b"." + encode(bytes(wrong)))

    assert (comparisons.count, answer) == (1, refused(Reason.signature))


# B6: what caches gave to the wrong one, or for too long


async def test_cve_2021_32701_ghsa_qvp4_rpmr_xwrr_oathkeeper_scopes_are_checked_on_every_hit() -> None:
    for verifier, token in ((opaque()[0], OPAQUE), (jwt(), sign(EC))):
        assert await ask(verifier, token, required_scopes=["read"]) == LET_IN
        assert (await ask(verifier, token, required_scopes=["write"])).status == 403


async def test_cve_2021_32701_ghsa_qvp4_rpmr_xwrr_oathkeeper_a_binding_is_checked_on_every_hit() -> None:
    class Proof:
        confirms = ("jkt",)

        async def check(self, token: Any, scope: Any) -> None:
            """Take any proof."""

    verifier, token = jwt(), sign(EC, cnf={"jkt": "x"})

    assert await ask(verifier, token, checks=[Proof()]) == LET_IN
    assert await ask(verifier, token) == refused(Reason.binding)


SHARED = {
    "CVE-2026-33496 GHSA-4mq7-pvjg-xp2r Oathkeeper: one after the other": False,
    "GHSA-84rm-mhfq-f476 Duende: at once": True,
    "CVE-2026-71326 Traefik: at once, in one flight": True,
}


@pytest.mark.parametrize("at_once", rows(SHARED))
@pytest.mark.parametrize("active_first", [True, False])
async def test_two_strategies_never_share_an_answer_about_one_token(at_once: bool, active_first: bool) -> None:
    (knows, known), (knows_not, unknown) = opaque(), opaque(active=False)
    answers: dict[int, list[Answer]] = {id(knows): [], id(knows_not): []}

    async def request(verifier: IntrospectionTokenVerifier) -> None:
        answers[id(verifier)].append(await ask(verifier, OPAQUE))

    both = [knows, knows_not] if active_first else [knows_not, knows]
    if at_once:
        async with anyio.create_task_group() as group:
            for verifier in both * 20:
                group.start_soon(request, verifier)
    else:
        for verifier in both * 3:
            await request(verifier)

    assert set(answers[id(knows)]) == {LET_IN}
    assert set(answers[id(knows_not)]) == {refused(Reason.inactive)}
    assert known.asked == unknown.asked == [OPAQUE]


async def test_cve_2026_35039_ghsa_rp9m_7r4c_75qg_fast_jwt_two_tokens_never_share_an_answer() -> None:
    verifier, tokens = jwt(), {name: sign(EC, sub=name) for name in ("alice", "bob")}

    for name in ("alice", "bob", "alice", "bob"):
        assert (await verifier.verify_token(tokens[name])).subject == name
    # What differs only in what is not verified, or behind where a careless key would end
    head, _, signature = tokens["alice"].rpartition(".")
    for forged in (f"{head}.", f"{head}.{'A' * len(signature)}", tokens["bob"].rpartition(".")[0] + "." + signature):
        assert await ask(verifier, forged) == refused(Reason.signature)


async def test_cve_2026_35039_ghsa_rp9m_7r4c_75qg_fast_jwt_two_issuers_never_share_an_answer() -> None:
    token = sign(EC)

    assert await ask(jwt(), token) == LET_IN
    assert await ask(jwt(issuer=EVIL), token) == refused(Reason.issuer)
    assert await ask(jwt(jwks={"keys": [ATTACKER.public_jwk("ec")]}), token) == refused(Reason.signature)


@pytest.mark.parametrize("changes", [{"iat": ABSENT}, {"iat": ABSENT, "nbf": NOW}, {}], ids=["no iat", "nbf", "iat"])
async def test_cve_2026_107719_ghsa_x937_hj6v_793p_fast_jwt_what_is_over_is_over_in_the_cache_too(
    changes: dict[str, Any],
) -> None:
    clock = Clock(NOW)
    signed = jwt(clock=clock, cache_ttl=86400), sign(EC, **changes)
    said = {name: value for name, value in changes.items() if value is not ABSENT}
    asked = opaque(clock=clock, cache_ttl=86400, said=said)[0], OPAQUE
    for verifier, token in (signed, asked):
        assert await ask(verifier, token) == await ask(verifier, token) == LET_IN

    clock.advance(631)

    for verifier, token in (signed, asked):
        assert await ask(verifier, token) == refused(Reason.expired)


TRUNCATED = {
    "CVE-2026-27840 ZITADEL: without its end": OPAQUE[:-1],
    "CVE-2026-27840 ZITADEL: its first half": OPAQUE[: len(OPAQUE) // 2],
    "CVE-2026-27840 ZITADEL: without its start": OPAQUE[1:],
    "CVE-2026-27840 ZITADEL: a letter": OPAQUE[:1],
    "CVE-2026-27840 ZITADEL: a letter more": OPAQUE + "a",
    "CVE-2026-27840 ZITADEL: padding": OPAQUE + "=",
    "CVE-2026-27840 ZITADEL: in capitals": OPAQUE.upper(),
    "CVE-2026-27840 ZITADEL: twice": OPAQUE * 2,
}


@pytest.mark.parametrize("token", rows(TRUNCATED))
async def test_a_part_of_a_token_is_another_token(token: str) -> None:
    verifier, endpoint = opaque()

    for strategy in (verifier, static(OPAQUE)):
        assert await ask(strategy, OPAQUE) == LET_IN
        assert await ask(strategy, token) == refused(Reason.inactive)
    assert endpoint.asked == [OPAQUE, token]
