"""Secrets: public keys in every form they travel in are refused, and what is random is taken."""

from __future__ import annotations

import base64
import hmac
import json
import random
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from key_material import certificate, integer, okp_jwk, private_pem, private_rsa, public_pem, rsa_jwk

from asgi_bearer.keys.jose import secret_key
from asgi_bearer.keys.secret import import_secret, public_key_form

repeatable = settings(derandomize=True, deadline=None)

RSA = private_rsa().public_key()
P256, P384, P521 = (ec.derive_private_key(7, curve) for curve in (ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()))
EDWARDS = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
GOLDILOCKS = ed448.Ed448PrivateKey.from_private_bytes(bytes(range(57)))
MODULUS = RSA.public_numbers().n
JWK = rsa_jwk(MODULUS, kid="k", use="sig", alg="RS256")
SPKI, PKCS1, OPENSSH = PublicFormat.SubjectPublicKeyInfo, PublicFormat.PKCS1, PublicFormat.OpenSSH


def pem_forms() -> dict[str, str | bytes]:
    """What becomes of a PEM on its way through editors, environments and templates."""
    pems = {
        "SPKI": public_pem(private_rsa()),
        "PKCS1": public_pem(private_rsa(), PKCS1),
        "certificate": certificate(RSA).decode(),
        "SPKI of P-256": public_pem(P256),
        "SPKI of Ed25519": public_pem(EDWARDS),
        "private key": private_pem(private_rsa()),
    }
    forms: dict[str, str | bytes] = {}
    for name, pem in pems.items():
        body = "".join(line for line in pem.splitlines() if "-----" not in line)
        forms |= {
            name: pem,
            f"{name} as bytes": pem.encode(),
            f"{name} with CRLF": pem.replace("\n", "\r\n"),
            f"{name} with CR": pem.replace("\n", "\r"),
            f"{name} without line breaks": pem.replace("\n", ""),
            f"{name} with spaces for line breaks": pem.replace("\n", " "),
            f"{name} with line breaks written out": pem.replace("\n", "\\n"),
            f"{name} with white space around": f" \t\n{pem}\n\n ",
            f"{name} with junk before": f"key: {pem}",
            f"{name} in quotes": json.dumps(pem),
            f"{name} with a byte order mark": b"\xef\xbb\xbf" + pem.encode(),
            f"{name} in UTF-16": pem.encode("utf-16"),
            f"{name} in UTF-16 without a mark": pem.encode("utf-16-be"),
            f"{name} in UTF-32": pem.encode("utf-32"),
            f"{name} in lower case": pem.lower(),
            f"{name} in base64": base64.b64encode(pem.encode()),
            f"{name}: body alone": body,
            f"{name}: body in lines": "\n".join(body[at : at + 64] for at in range(0, len(body), 64)) + "\n",
            f"{name}: body in base64url": body.translate(str.maketrans("+/", "-_", "=")),
            f"{name}: body in UTF-16": body.encode("utf-16"),
            f"{name}: body with a byte order mark": b"\xef\xbb\xbf" + body.encode(),
            f"{name}: DER": base64.b64decode(body),
            f"{name}: DER and a line feed": base64.b64decode(body) + b"\n",
            f"{name}: DER in hexadecimal": base64.b64decode(body).hex(),
        }
    return forms


def point(private: ec.EllipticCurvePrivateKey, form: PublicFormat) -> bytes:
    return private.public_key().public_bytes(Encoding.X962, form)


def other_forms() -> dict[str, str | bytes]:
    text, ssh = json.dumps(JWK), RSA.public_bytes(Encoding.OpenSSH, OPENSSH)
    modulus = MODULUS.to_bytes(256, "big")
    raw = EDWARDS.public_key().public_bytes_raw()
    return {
        "SSH": ssh,
        "SSH of P-256": P256.public_key().public_bytes(Encoding.OpenSSH, OPENSSH),
        "SSH of Ed25519": EDWARDS.public_key().public_bytes(Encoding.OpenSSH, OPENSSH),
        "SSH in authorized_keys": b'command="ls",no-pty ' + ssh + b" alice@example",
        "SSH with a byte order mark": b"\xef\xbb\xbf" + ssh,
        "SSH in UTF-16": ssh.decode().encode("utf-16"),
        "SSH: body alone": ssh.split()[1],
        "SSH: body decoded": base64.b64decode(ssh.split()[1]),
        "SSH, RFC 4716": b"---- BEGIN SSH2 PUBLIC KEY ----\n" + ssh.split()[1] + b"\n---- END SSH2 PUBLIC KEY ----",
        "JWK": text,
        "JWK, indented": json.dumps(JWK, indent=2),
        "JWK with white space around": f"\n {text} \n",
        "JWK with junk before": f"key={text}",
        "JWK as Python writes it": str(JWK),
        "JWK in a string": json.dumps(text),
        "JWK with a byte order mark": b"\xef\xbb\xbf" + text.encode(),
        "JWK in UTF-16": text.encode("utf-16"),
        "JWK in base64": base64.b64encode(text.encode()),
        "JWK in base64url": base64.urlsafe_b64encode(text.encode()).rstrip(b"="),
        "JWK without kty": json.dumps({"n": JWK["n"], "e": JWK["e"]}),
        "JWK of Ed25519": json.dumps(okp_jwk("Ed25519", raw)),
        "JWKS": json.dumps({"keys": [JWK]}),
        "array of JWKs": json.dumps([JWK]),
        "nested JWK": json.dumps({"idp": {"signing": {"jwk": JWK}}}),
        "modulus of a JWK": integer(MODULUS),
        "modulus in base64": base64.b64encode(modulus),
        "modulus in base64, with a leading zero": base64.b64encode(b"\0" + modulus),
        "modulus in hexadecimal": modulus.hex(),
        "modulus as openssl -modulus writes it": f"Modulus={modulus.hex().upper()}\n",
        "modulus as openssl -text writes it": ":\n    ".join(["00", *(f"{byte:02x}" for byte in modulus)]),
        "modulus in hexadecimal, 0x": hex(MODULUS),
        "modulus in decimal": str(MODULUS),
        "modulus raw": modulus,
        "point of P-256": point(P256, PublicFormat.UncompressedPoint),
        "point of P-384": point(P384, PublicFormat.UncompressedPoint),
        "point of P-521": point(P521, PublicFormat.UncompressedPoint),
        "point of P-256, compressed": point(P256, PublicFormat.CompressedPoint),
        "point of P-256 in hexadecimal": point(P256, PublicFormat.UncompressedPoint).hex(),
        "point of P-256 in base64": base64.b64encode(point(P256, PublicFormat.UncompressedPoint)),
        "raw Ed25519": raw,
        "raw Ed448": GOLDILOCKS.public_key().public_bytes_raw(),
        "RSAPrivateKey in DER": private_rsa().private_bytes(
            Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption()
        ),
    }


FORMS = {**pem_forms(), **other_forms()}


@pytest.mark.parametrize("name", FORMS)
def test_a_key_that_others_know_is_no_secret_in_any_form(name: str) -> None:
    with pytest.raises(ValueError, match=r"secret is .*: pass a public key as public_key= or jwks=") as caught:
        import_secret(FORMS[name], "HS256")
    text = FORMS[name]
    assert (text if isinstance(text, str) else repr(text)[2:-1])[:60] not in str(caught.value)


def test_brackets_beyond_reason_are_no_key_and_no_error() -> None:
    assert public_key_form(b"[" * 100_000) is None


@pytest.mark.parametrize(("algorithm", "least"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
def test_a_secret_is_as_long_as_the_hash_at_least(algorithm: str, least: int) -> None:
    assert import_secret("ж" * (least // 2), algorithm) == ("ж" * (least // 2)).encode()
    with pytest.raises(ValueError, match=f"at least {least} random bytes, not {least - 1}"):
        import_secret(b"s" * (least - 1), algorithm)


@pytest.mark.parametrize("secret", ["", b""], ids=["str", "bytes"])
def test_an_empty_secret_is_refused(secret: str | bytes) -> None:
    with pytest.raises(ValueError, match="at least 32 random bytes, not 0"):
        import_secret(secret, "HS256")


@pytest.mark.parametrize("secret", [None, 5, bytearray(40), ["secret"]])
def test_a_secret_is_text_or_bytes(secret: Any) -> None:
    with pytest.raises(TypeError, match="secret is a str or bytes, not"):
        import_secret(secret, "HS256")


def test_text_that_is_bytes_in_disguise_is_refused_and_not_shown() -> None:
    with pytest.raises(ValueError, match="pass it as bytes") as caught:
        import_secret("swordfish" * 5 + "\udcff", "HS256")
    assert caught.value.__context__ is None
    assert "swordfish" not in str(caught.value)


# Random secrets. Of so many the share that is refused differs from the documented one by chance, and little.

RANDOM = 500


def refused(make: Any) -> float:
    source = random.Random(20261123)  # noqa: S311  # the same in every run
    return sum(public_key_form(make(source)) is not None for _ in range(RANDOM)) / RANDOM


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda source: source.randbytes(32).hex().encode(), id="32 bytes in hexadecimal"),
        pytest.param(lambda source: base64.b64encode(source.randbytes(32)), id="32 bytes in base64"),
        pytest.param(lambda source: base64.urlsafe_b64encode(source.randbytes(32)).rstrip(b"="), id="token_urlsafe"),
        pytest.param(lambda source: base64.b64encode(source.randbytes(48)), id="48 bytes in base64"),
        pytest.param(lambda source: base64.b64encode(source.randbytes(64)), id="64 bytes in base64"),
        pytest.param(lambda source: source.randbytes(48), id="48 bytes"),
        pytest.param(lambda source: source.randbytes(64), id="64 bytes"),
        pytest.param(lambda source: source.randbytes(128), id="128 bytes"),
        pytest.param(lambda source: str(source.getrandbits(256)).encode(), id="decimal digits"),
        pytest.param(lambda source: bytes(source.choices(range(33, 127), k=40)), id="a password"),
    ],
)
def test_random_secrets_as_they_are_commonly_made_are_taken(make: Any) -> None:
    assert refused(make) == 0


@pytest.mark.parametrize(
    ("length", "one_in"),
    [(32, 16), (33, 256), (49, 256), (67, 1024), (256, 27)],
)
def test_of_random_bytes_as_long_as_a_raw_key_the_documented_share_is_refused(length: int, one_in: int) -> None:
    share = refused(lambda source: source.randbytes(length))

    assert share < 2 / one_in


def test_a_random_secret_that_looks_like_a_key_is_taken_with_a_zero_byte_and_makes_the_same_hmac() -> None:
    looks_like_a_key = EDWARDS.public_key().public_bytes_raw()
    secret = import_secret(looks_like_a_key + b"\0", "HS256")

    assert hmac.digest(secret, b"signed", "sha256") == hmac.digest(looks_like_a_key, b"signed", "sha256")


@repeatable
@given(st.text(st.characters(min_codepoint=97, max_codepoint=122), min_size=32, max_size=64))
def test_words_are_secrets(words: str) -> None:
    assert import_secret(words, "HS256") == words.encode()


@repeatable
@given(st.binary(max_size=300))
def test_any_bytes_are_a_secret_or_a_known_form(data: bytes) -> None:
    form = public_key_form(data)

    assert form is None or form.startswith(("a ", "an ", "what "))


def test_the_key_of_a_secret_has_one_algorithm_and_no_name() -> None:
    key = secret_key("s" * 48, "HS384")

    assert key.kid is None
    assert key.algorithms == {"HS384"}
    assert key.verify(b"signed", hmac.digest(b"s" * 48, b"signed", "sha384"))
    assert not key.verify(b"signed", hmac.digest(b"s" * 48, b"signed", "sha256"))
    assert "s" * 48 not in repr(key)
