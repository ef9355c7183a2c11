"""DecryptionKey: what is decrypted, and what is left alone (RFC 7516, RFC 8725 section 3.2)."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from joserfc import jwe
from joserfc.jwk import ECKey, OctKey, RSAKey
from key_material import private_pem, private_rsa

from asgi_bearer.keys.jose import encode_segment
from asgi_bearer.keys.jwe import DecryptionKey

RSA_PEM = private_pem(private_rsa())
EC_PEM = private_pem(ec.generate_private_key(ec.SECP256R1()))
INNER = "aaa.bbb.ccc"


def encrypted(pem: str, alg: str, enc: str = "A256GCM", text: str | bytes = INNER, **header: Any) -> str:
    key: Any = RSAKey.import_key(pem) if alg.startswith("RSA") else ECKey.import_key(pem)
    registry = jwe.JWERegistry(algorithms=[alg, enc, "DEF"], strict_check_header=False)
    return jwe.encrypt_compact({"alg": alg, "enc": enc, **header}, text, key, registry=registry)


@pytest.mark.parametrize("enc", ["A128CBC-HS256", "A192CBC-HS384", "A256CBC-HS512", "A128GCM", "A192GCM", "A256GCM"])
@pytest.mark.parametrize(
    ("pem", "alg"),
    [
        (RSA_PEM, "RSA-OAEP"),
        (RSA_PEM, "RSA-OAEP-256"),
        (EC_PEM, "ECDH-ES"),
        (EC_PEM, "ECDH-ES+A128KW"),
        (EC_PEM, "ECDH-ES+A192KW"),
        (EC_PEM, "ECDH-ES+A256KW"),
    ],
    ids=lambda value: value if len(value) < 20 else "",
)
def test_what_is_encrypted_to_the_key_comes_out(pem: str, alg: str, enc: str) -> None:
    assert DecryptionKey(pem).decrypt(encrypted(pem, alg, enc)) == INNER


def test_a_header_that_repeats_claims_is_none_the_worse() -> None:
    token = encrypted(RSA_PEM, "RSA-OAEP-256", iss="https://idp.example", aud="rs", cty="JWT", kid="1")

    assert DecryptionKey(RSA_PEM).decrypt(token) == INNER


def test_it_may_be_as_long_as_an_answer_may_be() -> None:
    inner = "a" * 190_000

    assert DecryptionKey(RSA_PEM).decrypt(encrypted(RSA_PEM, "RSA-OAEP-256", text=inner, pad="a" * 4000)) == inner


def with_header(token: str, **members: Any) -> str:
    header = json.dumps({"alg": "RSA-OAEP-256", "enc": "A256GCM", **members}).encode()
    return ".".join([encode_segment(header).decode(), *token.split(".")[1:]])


GOOD = encrypted(RSA_PEM, "RSA-OAEP-256")


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("", id="nothing"),
        pytest.param(INNER, id="what is not encrypted"),
        pytest.param(GOOD + ".x", id="six parts"),
        pytest.param("." * 4, id="empty parts"),
        pytest.param("." * 100_000, id="dots"),
        pytest.param("\u00e9" + GOOD[1:], id="beyond ASCII"),
        pytest.param(GOOD[:-4] + "AAAA", id="another tag"),
        pytest.param(encrypted(private_pem(private_rsa(2056)), "RSA-OAEP-256"), id="for another key"),
        pytest.param(encrypted(EC_PEM, "ECDH-ES"), id="for another kind of key"),
        pytest.param(with_header(GOOD, alg="RSA1_5"), id="RSA1_5"),
        pytest.param(encrypted(RSA_PEM, "RSA-OAEP-256", zip="DEF"), id="compressed"),
        pytest.param(with_header(GOOD, crit=["x"], x=1), id="crit"),
        pytest.param(with_header(GOOD, alg=["RSA-OAEP-256"]), id="alg is an array"),
        pytest.param(with_header(GOOD, alg="none"), id="alg is none"),
        pytest.param(with_header(GOOD, enc="A128CBC"), id="enc is unknown"),
        pytest.param(with_header(GOOD, kid=5), id="kid is a number"),
        pytest.param(with_header(GOOD, pad="a" * 20_000), id="a header too long"),
        pytest.param(encrypted(RSA_PEM, "RSA-OAEP-256", text="\u00e9"), id="text beyond ASCII"),
        pytest.param(
            jwe.encrypt_compact({"alg": "dir", "enc": "A128GCM"}, INNER, OctKey.generate_key(128)), id="a shared key"
        ),
    ],
)
def test_anything_else_is_left_alone(token: str) -> None:
    assert DecryptionKey(RSA_PEM).decrypt(token) is None


@pytest.mark.parametrize("epk", [None, 5, {}, {"kty": "EC"}, {"kty": "RSA"}, [[]]], ids=repr)
def test_a_strange_ephemeral_key_is_left_alone(epk: Any) -> None:
    header = encode_segment(json.dumps({"alg": "ECDH-ES", "enc": "A256GCM", "epk": epk}).encode()).decode()

    assert DecryptionKey(EC_PEM).decrypt(f"{header}..AAAAAAAAAAAAAAAA.AAAA.AAAAAAAAAAAAAAAAAAAAAA") is None


@pytest.mark.parametrize(
    ("pem", "kind", "sentence"),
    [
        ("no PEM", ValueError, "it is no private key in PEM, or it has a password"),
        (private_pem(private_rsa(), b"password"), ValueError, "it is no private key in PEM, or it has a password"),
        (private_pem(private_rsa(1024)), ValueError, "its modulus is not an odd number of 2048 to 8192 bits"),
        (private_pem(ec.generate_private_key(ec.SECP256K1())), ValueError, "its kind is not one we verify with"),
        (private_pem(ed25519.Ed25519PrivateKey.generate()), ValueError, "nobody can encrypt to it"),
        (b"bytes", TypeError, "a private key is PEM as str, not bytes"),
        (None, TypeError, "a private key is PEM as str, not NoneType"),
    ],
    ids=["no PEM", "a password", "weak", "another curve", "Ed25519", "bytes", "None"],
)
def test_a_key_that_cannot_be_used_is_said_at_construction(pem: Any, kind: type[Exception], sentence: str) -> None:
    with pytest.raises(kind, match=sentence):
        DecryptionKey(cast("str", pem))


def test_the_repr_shows_nothing_of_it() -> None:
    assert repr(DecryptionKey(RSA_PEM)) == "DecryptionKey(RSA-OAEP, RSA-OAEP-256)"
