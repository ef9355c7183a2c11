"""Keys: what is imported and with which algorithm, what is refused, and which signatures hold."""

from __future__ import annotations

import base64
from contextlib import suppress
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa, utils, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from key_material import certificate, integer, okp_jwk, private_pem, private_rsa, public_pem, rsa_jwk, signing_key
from vectors import signatures

from asgi_bearer.keys.compact import CompactReader, decode_segment
from asgi_bearer.keys.edwards import ED448, ED25519
from asgi_bearer.keys.jose import (
    ASYMMETRIC_ALGORITHMS,
    Key,
    PublishedSecretError,
    SigningAlgorithm,
    SigningKey,
    UnusableKeyError,
    import_jwk,
    import_pem,
    secret_key,
)

repeatable = settings(derandomize=True, deadline=None)
CLAIMS = {"sub": "alice"}
ALGORITHMS: tuple[SigningAlgorithm, ...] = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA", "Ed25519", "Ed448"),
)


def holds(key: Key, token: str) -> bool:
    compact = CompactReader().read(token)
    return compact.header.alg in key.algorithms and key.verify(compact.signing_input, compact.signature)


# Vectors of the standards


@pytest.mark.parametrize("example", signatures.EXAMPLES, ids=lambda example: example.name)
def test_the_signed_examples_of_the_standards_hold(example: signatures.Example) -> None:
    assert holds(import_jwk(example.jwk), example.token)


@pytest.mark.parametrize("example", signatures.EXAMPLES, ids=lambda example: example.name)
def test_the_signed_examples_of_the_standards_do_not_hold_for_another_payload(example: signatures.Example) -> None:
    header, _, signature = example.parts

    assert not holds(import_jwk(example.jwk), f"{header}.e30.{signature}")


@pytest.mark.parametrize(
    ("example", "secret"),
    [
        pytest.param(signatures.RFC7515_A1, signatures.RFC7515_A1_SECRET, id="RFC 7515 A.1"),
        pytest.param(signatures.RFC7520_4_4, signatures.RFC7520_4_4_SECRET, id="RFC 7520 4.4"),
    ],
)
def test_the_hmac_examples_of_the_standards_hold(example: signatures.Example, secret: str) -> None:
    assert holds(secret_key(decode_segment(secret.encode()), "HS256"), example.token)


@pytest.mark.parametrize(
    ("jwk", "thumbprint"),
    [
        pytest.param(signatures.RFC7638_JWK, signatures.RFC7638_THUMBPRINT, id="RFC 7638 3.1"),
        pytest.param(signatures.RFC8037_JWK, signatures.RFC8037_THUMBPRINT, id="RFC 8037 A.3"),
    ],
)
def test_thumbprints_are_those_of_the_standards(jwk: dict[str, Any], thumbprint: str) -> None:
    assert import_jwk(jwk).thumbprint == thumbprint


# One key, one algorithm


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_key_verifies_what_it_signed_and_nothing_else(algorithm: SigningAlgorithm) -> None:
    signer = signing_key(algorithm)
    key = import_jwk(signer.public_jwk("k"))
    token = signer.sign({}, CLAIMS)
    body, _, signature = token.rpartition(".")

    assert holds(key, token)
    assert not key.verify(b"another", decode_segment(signature.encode()))
    assert not key.verify(body.encode(), b"")
    assert not key.verify(body.encode(), bytes(len(decode_segment(signature.encode()))))
    assert not key.verify(body.encode(), decode_segment(signature.encode()) + b"\0")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_key_is_the_same_from_pem_and_from_jwk(algorithm: SigningAlgorithm) -> None:
    signer = signing_key(algorithm)
    from_jwk, from_pem = import_jwk(signer.public_jwk("k")), import_pem(signer.public_pem, [algorithm])

    assert (from_jwk.kid, from_pem.kid) == ("k", None)
    assert from_jwk.algorithms == from_pem.algorithms
    assert from_jwk.thumbprint == from_pem.thumbprint == signer.thumbprint
    assert holds(from_pem, signer.sign({}, CLAIMS))


@pytest.mark.parametrize(
    ("algorithm", "names"),
    [
        ("RS256", {"RS256"}),
        ("ES256", {"ES256"}),
        ("ES384", {"ES384"}),
        ("ES512", {"ES512"}),
        ("EdDSA", {"EdDSA", "Ed25519"}),
        ("Ed25519", {"EdDSA", "Ed25519"}),
        ("Ed448", {"EdDSA", "Ed448"}),
    ],
)
def test_a_key_that_names_no_algorithm_has_the_one_of_its_kind(algorithm: SigningAlgorithm, names: set[str]) -> None:
    jwk = signing_key(algorithm).public_jwk("k")
    del jwk["alg"]

    assert import_jwk(jwk).algorithms == names


@pytest.mark.parametrize("stated", ["EdDSA", "Ed25519", None])
@pytest.mark.parametrize("configured", [(), ("EdDSA",), ("Ed25519",), ("RS256", "Ed25519")])
@pytest.mark.parametrize("header", ["EdDSA", "Ed25519"])
def test_eddsa_and_ed25519_are_one_algorithm(stated: str | None, configured: tuple[str, ...], header: str) -> None:
    signer = signing_key("Ed25519")
    jwk = {name: value for name, value in signer.public_jwk("k").items() if name != "alg"}
    key = import_jwk({**jwk, "alg": stated} if stated else jwk, configured)

    assert holds(key, signer.sign({"alg": header}, CLAIMS))


@pytest.mark.parametrize(
    ("stated", "configured", "chosen"),
    [
        pytest.param(None, (), "RS256", id="nothing said: RS256"),
        pytest.param("PS384", (), "PS384", id="the key's own"),
        pytest.param("RS512", ("RS256", "RS512"), "RS512", id="the key's own, among the configured"),
        pytest.param(None, ("ES256", "PS256", "RS256"), "PS256", id="the first configured that fits"),
    ],
)
def test_an_rsa_key_has_exactly_one_algorithm(stated: str | None, configured: tuple[str, ...], chosen: str) -> None:
    jwk = rsa_jwk(private_rsa().public_key().public_numbers().n)
    key = import_jwk({**jwk, "alg": stated} if stated else jwk, configured)

    assert key.algorithms == {chosen}


def test_a_key_for_rs512_does_not_verify_rs256_nor_the_other_way_round() -> None:
    # CVE-2026-48526: the allow-list was checked on the header, and the signature verified by the key's own alg.
    signer = SigningKey.from_pem(private_pem(private_rsa()), "RS512")
    token = signer.sign({"alg": "RS256"}, CLAIMS)

    assert not holds(import_jwk({**signer.public_jwk("k")}), token)
    assert not holds(import_jwk({**signer.public_jwk("k"), "alg": "RS256"}), token)


def test_a_signature_with_another_length_of_salt_is_no_pss_signature_of_rfc7518() -> None:
    key = import_pem(public_pem(private_rsa()), ["PS256"])
    scheme = padding.PSS(padding.MGF1(hashes.SHA256()), 20)

    assert not key.verify(b"signed", private_rsa().sign(b"signed", scheme, hashes.SHA256()))


_N256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def _ecdsa_signatures() -> dict[str, bytes]:
    private = ec.derive_private_key(7, ec.SECP256R1())
    der = private.sign(b"signed", ec.ECDSA(hashes.SHA256()))
    r, s = utils.decode_dss_signature(der)
    right = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    zero, order = bytes(32), _N256.to_bytes(32, "big")
    return {
        "DER": der,
        "r and s zero": zero + zero,
        "r zero": zero + right[32:],
        "s zero": right[:32] + zero,
        "r and s the order": order + order,
        "s plus the order": right[:32] + ((s + _N256) % 2**256).to_bytes(32, "big"),
        "halves exchanged": right[32:] + right[:32],
        "a byte more": right + b"\0",
        "a byte less": right[:-1],
        "33 bytes each": b"\0" + right[:32] + b"\0" + right[32:],
        "16 KiB": right * 256,
    }


@pytest.mark.parametrize("name", _ecdsa_signatures())
def test_an_ecdsa_signature_is_two_numbers_of_full_length_within_the_order(name: str) -> None:
    key = import_pem(public_pem(ec.derive_private_key(7, ec.SECP256R1())))

    assert key.verify(b"signed", _ecdsa_signatures()[name]) is False


def test_an_ed25519_signature_whose_s_is_not_below_the_order_does_not_hold() -> None:
    private = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    key = import_pem(public_pem(private))
    right = private.sign(b"signed")
    s = int.from_bytes(right[32:], "little") + ED25519.order

    assert key.verify(b"signed", right)
    assert not key.verify(b"signed", right[:32] + s.to_bytes(32, "little"))


@pytest.mark.parametrize("algorithm", [*ALGORITHMS, "HS256"])
@repeatable
@given(signature=st.binary(max_size=600))
def test_any_bytes_as_signature_are_answered_with_no(algorithm: Any, signature: bytes) -> None:
    key = secret_key(b"s" * 40, "HS256") if algorithm == "HS256" else import_jwk(signing_key(algorithm).public_jwk("k"))

    assert key.verify(b"signed", signature) is False


# Import of PEM


@pytest.mark.parametrize("as_bytes", [False, True], ids=["str", "bytes"])
@pytest.mark.parametrize(
    "pem",
    [
        pytest.param(public_pem(private_rsa()), id="SPKI"),
        pytest.param(public_pem(private_rsa(), PublicFormat.PKCS1), id="PKCS1"),
        pytest.param(public_pem(private_rsa()).replace("\n", "\r\n"), id="CRLF"),
        pytest.param("\n  " + public_pem(private_rsa()) + "\n", id="space around"),
        pytest.param(certificate(private_rsa().public_key()).decode(), id="certificate"),
    ],
)
def test_a_pem_may_be_a_public_key_or_a_certificate(pem: str, as_bytes: bool) -> None:
    key = import_pem(pem.encode() if as_bytes else pem)

    assert key.algorithms == {"RS256"}
    assert key.thumbprint == import_jwk(rsa_jwk(private_rsa().public_key().public_numbers().n)).thumbprint


def _refused_pems() -> dict[str, tuple[str | bytes, str]]:
    no_pem = "public_key is no PEM"
    return {
        "nothing": ("", no_pem),
        "text": ("secret", no_pem),
        "lone surrogates": ("\udc80", no_pem),
        "without its line breaks": (public_pem(private_rsa()).replace("\n", " ")[:60], no_pem),
        "cut off": (public_pem(private_rsa())[:200], no_pem),
        "DER": (private_rsa().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo), no_pem),
        "a corrupt certificate": ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", no_pem),
        "a private key": (private_pem(private_rsa()), "private key"),
        "a private key with a password": (private_pem(private_rsa(), b"pw"), "private key"),
        "RSA of 1024 bits": (public_pem(rsa.generate_private_key(65537, 1024)), "2048 to 8192 bits"),  # noqa: S505  # to be refused
        "an exponent of 3": (public_pem(private_rsa(2048, 3)), "its exponent"),
        "P-224": (public_pem(ec.derive_private_key(7, ec.SECP224R1())), "its kind"),
        "secp256k1": (public_pem(ec.derive_private_key(7, ec.SECP256K1())), "its kind"),
        "X25519": (public_pem(x25519.X25519PrivateKey.from_private_bytes(bytes(32))), "its kind"),
        "DSA": (public_pem(dsa.generate_private_key(1024)), "its kind"),  # noqa: S505  # to be refused
    }


@pytest.mark.parametrize("name", _refused_pems())
def test_a_pem_that_is_no_key_for_signatures_is_refused_with_what_is_wrong(name: str) -> None:
    pem, why = _refused_pems()[name]

    with pytest.raises(UnusableKeyError, match=why):
        import_pem(pem)


def test_a_pem_that_does_not_fit_the_configured_algorithm_is_refused() -> None:
    with pytest.raises(UnusableKeyError, match="cannot do ES256 or EdDSA"):
        import_pem(public_pem(private_rsa()), ["ES256", "EdDSA"])


def test_a_pem_is_text_or_bytes() -> None:
    with pytest.raises(TypeError, match="PEM as str or bytes, not int"):
        import_pem(5)  # type: ignore[arg-type]


# Import of JWKs


EC_PUBLIC = ec.derive_private_key(7, ec.SECP256R1()).public_key().public_numbers()
EC_JWK = {"kty": "EC", "crv": "P-256", "x": integer(EC_PUBLIC.x, 32), "y": integer(EC_PUBLIC.y, 32)}
RSA_JWK = rsa_jwk(private_rsa().public_key().public_numbers().n)
MODULUS = private_rsa().public_key().public_numbers().n


@pytest.mark.parametrize(
    "members",
    [
        pytest.param({}, id="the least"),
        pytest.param({"use": "sig"}, id="use sig"),
        pytest.param({"key_ops": ["verify"]}, id="key_ops verify"),
        pytest.param({"key_ops": ["sign", "verify"], "use": "sig"}, id="both, consistent"),
        pytest.param({"x5c": ["not", 1], "x5t": 5, "x5u": None}, id="certificates are not looked at"),
        pytest.param({"kid": 1024 * "k"}, id="a long kid"),
        pytest.param({"ext": True, "anything": {}}, id="other members"),
    ],
)
def test_a_jwk_for_verification_is_imported(members: dict[str, Any]) -> None:
    assert import_jwk({**EC_JWK, **members}).algorithms == {"ES256"}


REFUSED_JWKS: dict[str, tuple[object, str]] = {
    "null": (None, "not an object"),
    "a list": ([EC_JWK], "not an object"),
    "text": ("{}", "not an object"),
    "empty": ({}, "kty or crv"),
    "kty missing": ({**EC_JWK, "kty": "none"}, "kty or crv"),
    "kty a number": ({**EC_JWK, "kty": 1}, "kty is not a string"),
    "kty an array": ({**EC_JWK, "kty": ["EC"]}, "kty is not a string"),
    "kty oct": ({"kty": "oct", "k": "c2VjcmV0"}, "private or symmetric"),
    "kty oct without k": ({"kty": "oct"}, "kty or crv"),
    "kty of tomorrow": ({"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA"}, "kty or crv"),
    "an unknown curve": ({**EC_JWK, "crv": "secp256k1"}, "kty or crv"),
    "crv an array": ({**EC_JWK, "crv": ["P-256"]}, "kty or crv"),
    "crv an array, of OKP": ({"kty": "OKP", "crv": ["Ed25519"], "x": "AAAA"}, "kty or crv"),
    "X25519": (okp_jwk("X25519", bytes(range(32))), "kty or crv"),
    "kid a number": ({**EC_JWK, "kid": 5}, "kid is not a string"),
    "kid null": ({**EC_JWK, "kid": None}, "kid is not a string"),
    "kid too long": ({**EC_JWK, "kid": 1025 * "k"}, "kid is longer"),
    "alg a number": ({**EC_JWK, "alg": 256}, "alg is not a string"),
    "alg null": ({**EC_JWK, "alg": None}, "alg is not a string"),
    "alg none": ({**EC_JWK, "alg": "none"}, "its alg"),
    "alg of another kind": ({**EC_JWK, "alg": "RS256"}, "its alg"),
    "alg of another curve": ({**EC_JWK, "alg": "ES384"}, "its alg"),
    "alg for encryption": ({**RSA_JWK, "alg": "RSA-OAEP"}, "its alg"),
    "alg of HMAC": ({**RSA_JWK, "alg": "HS256"}, "its alg"),
    "use enc": ({**EC_JWK, "use": "enc"}, "its use"),
    "use tls": ({**EC_JWK, "use": "tls"}, "its use"),
    "use an array": ({**EC_JWK, "use": ["sig"]}, "use is not a string"),
    "key_ops for encryption": ({**EC_JWK, "key_ops": ["encrypt"]}, "key_ops do not"),
    "key_ops empty": ({**EC_JWK, "key_ops": []}, "key_ops do not"),
    "key_ops text": ({**EC_JWK, "key_ops": "verify"}, "key_ops do not"),
    "key_ops null": ({**EC_JWK, "key_ops": None}, "key_ops do not"),
    "key_ops at odds with use": ({**EC_JWK, "use": "sig", "key_ops": ["verify", "wrapKey"]}, "contradict"),
    "key_ops of objects": ({**EC_JWK, "use": "sig", "key_ops": ["verify", {}]}, "contradict"),
    **{
        f"with {name}": ({**EC_JWK, name: "AAAA"}, "private or symmetric")
        for name in ("d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv")
    },
    "d null": ({**EC_JWK, "d": None}, "private or symmetric"),
    "n missing": ({"kty": "RSA", "e": "AQAB"}, "n is not base64url"),
    "n a number": ({**RSA_JWK, "n": 5}, "n is not base64url"),
    "n empty": ({**RSA_JWK, "n": ""}, "n is not base64url"),
    "n in base64": ({**RSA_JWK, "n": base64.b64encode(b"\xff" * 256).decode()}, "n is not base64url"),
    "n not ASCII": ({**RSA_JWK, "n": "ключ"}, "n is not base64url"),
    "n with a leading zero": ({**RSA_JWK, "n": integer(MODULUS, 257)}, "n is not written canonically"),
    "e with a leading zero": ({**RSA_JWK, "e": integer(65537, 4)}, "e is not written canonically"),
    "n of 1024 bits": (rsa_jwk(2**1023 + 1), "2048 to 8192 bits"),
    "n of 2047 bits": (rsa_jwk(2**2046 + 1), "2048 to 8192 bits"),
    "n of 8193 bits": (rsa_jwk(2**8192 + 1), "2048 to 8192 bits"),
    "n of 262144 bits": (rsa_jwk(2**262143 + 1), "2048 to 8192 bits"),
    "n even": (rsa_jwk(MODULUS + 1), "odd"),
    "e of 1": (rsa_jwk(MODULUS, 1), "exponent"),
    "e of 3": (rsa_jwk(MODULUS, 3), "exponent"),
    "e even": (rsa_jwk(MODULUS, 65538), "exponent"),
    "e of 33 bits": (rsa_jwk(MODULUS, 2**32 + 1), "exponent"),
    "x missing": ({"kty": "EC", "crv": "P-256", "y": EC_JWK["y"]}, "x is not base64url"),
    "x of 31 bytes": ({**EC_JWK, "x": integer(EC_PUBLIC.x >> 8, 31)}, "curve's length"),
    "x of 33 bytes": ({**EC_JWK, "x": integer(EC_PUBLIC.x, 33)}, "curve's length"),
    "y of 31 bytes": ({**EC_JWK, "y": integer(EC_PUBLIC.y >> 8, 31)}, "curve's length"),
    "a point that is not on the curve": ({**EC_JWK, "y": integer(EC_PUBLIC.y ^ 1, 32)}, "not those of a public key"),
    "a point of another curve": ({**EC_JWK, "crv": "P-384"}, "curve's length"),
    "the origin": ({**EC_JWK, "x": integer(0, 32), "y": integer(0, 32)}, "not those of a public key"),
    "Ed25519 of 31 bytes": (okp_jwk("Ed25519", bytes(range(31))), "not those of a public key"),
    "Ed25519 of 57 bytes": (okp_jwk("Ed25519", bytes(range(57))), "not those of a public key"),
    "Ed448 of 32 bytes": (okp_jwk("Ed448", bytes(range(32))), "not those of a public key"),
    "Ed25519 without x": ({"kty": "OKP", "crv": "Ed25519"}, "x is not base64url"),
    "Ed25519 with alg Ed448": ({**signatures.RFC8037_JWK, "alg": "Ed448"}, "its alg"),
}


@pytest.mark.parametrize("name", REFUSED_JWKS)
def test_a_jwk_that_breaks_a_rule_is_refused_with_what_is_wrong(name: str) -> None:
    jwk, why = REFUSED_JWKS[name]

    with pytest.raises(UnusableKeyError, match=why) as caught:
        import_jwk(jwk)
    assert isinstance(caught.value, PublishedSecretError) == ("private or symmetric" in why)


def test_a_jwk_whose_algorithm_is_not_configured_is_refused() -> None:
    with pytest.raises(UnusableKeyError, match="not among the configured"):
        import_jwk({**RSA_JWK, "alg": "RS512"}, ["RS256", "PS256"])


@pytest.mark.parametrize("bits", [2048, 8192])
def test_ks11_an_rsa_modulus_may_have_2048_to_8192_bits(bits: int) -> None:
    # Not a product of two primes, which nobody can tell: it is the size that counts.
    assert import_jwk(rsa_jwk(2**bits - 1)).algorithms == {"RS256"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=4), children, max_size=3),
    max_leaves=6,
)
MEMBERS = st.sampled_from(["kty", "crv", "x", "y", "n", "e", "use", "alg", "kid", "key_ops", "d", "k", "x5c"])


@pytest.mark.parametrize("jwk", [EC_JWK, RSA_JWK, signatures.RFC8037_JWK], ids=["EC", "RSA", "OKP"])
@repeatable
@given(changes=st.dictionaries(MEMBERS, JSON | st.sampled_from(["EC", "RSA", "OKP", "P-521", "sig"]), max_size=4))
def test_any_jwk_is_imported_or_unusable(jwk: dict[str, Any], changes: dict[str, Any]) -> None:
    with suppress(UnusableKeyError):
        import_jwk({**jwk, **changes})


# Edwards curves


def _small_order_encodings() -> dict[str, bytes]:
    """The points of order 1, 2, 4 and 8 of Ed25519 in all encodings that decoders were seen to take."""
    p = ED25519.p
    y8 = _y_of_order_8()
    canonical = {"order 1": 1, "order 2": p - 1, "order 4": 0, "order 8": y8, "order 8, negative": p - y8}
    numbers = {**canonical, "order 4, y = p": p, "order 1, y = p + 1": p + 1}
    return {
        f"{name}, sign {sign}": (y | sign << 255).to_bytes(32, "little")
        for name, y in numbers.items()
        for sign in (0, 1)
    }


def _y_of_order_8() -> int:
    """Doubling a point of order 8 gives one of order 4, whose y is 0; so y² = -x², and -x² + y² = 1 + d·x²·y²."""
    p, d = ED25519.p, ED25519.d
    # 2y² = 1 - d·y⁴, so y² = (-1 ± sqrt(1 + d)) / d
    root = _square_root(1 + d)
    for sign in (1, -1):
        square = (-1 + sign * root) * pow(d, -1, p) % p
        if pow(square, (p - 1) // 2, p) == 1:
            return _square_root(square)
    raise AssertionError


def _square_root(square: int) -> int:
    p = ED25519.p
    root = pow(square, (p + 3) // 8, p)
    return root if (root * root - square) % p == 0 else root * pow(2, (p - 1) // 4, p) % p


@pytest.mark.parametrize("name", _small_order_encodings())
def test_an_ed25519_key_of_small_order_is_refused_in_every_encoding(name: str) -> None:
    with pytest.raises(UnusableKeyError, match="only one can sign for"):
        import_jwk(okp_jwk("Ed25519", _small_order_encodings()[name]))


def test_the_points_of_order_8_are_what_they_are_called() -> None:
    point = ED25519.decode(_y_of_order_8().to_bytes(32, "little"))

    assert point is not None
    assert ED25519.multiply(8, point) == (0, 1)
    assert ED25519.multiply(4, point) != (0, 1)


@pytest.mark.parametrize("sign", [0, 1])
@pytest.mark.parametrize(
    "y",
    [
        pytest.param(1, id="order 1"),
        pytest.param(ED448.p - 1, id="order 2"),
        pytest.param(0, id="order 4"),
        pytest.param(ED448.p, id="order 4, y = p"),
        pytest.param(ED448.p + 1, id="order 1, y = p + 1"),
    ],
)
def test_an_ed448_key_of_small_order_is_refused_in_every_encoding(y: int, sign: int) -> None:
    with pytest.raises(UnusableKeyError, match="only one can sign for"):
        import_jwk(okp_jwk("Ed448", (y | sign << 455).to_bytes(57, "little")))


@pytest.mark.parametrize(("curve", "size", "top"), [("Ed25519", 32, 255), ("Ed448", 57, 455)])
def test_a_y_that_is_not_below_p_or_not_of_a_point_is_refused(curve: str, size: int, top: int) -> None:
    p = {"Ed25519": ED25519.p, "Ed448": ED448.p}[curve]
    # 2 and 7 are no y of a point of the one curve, or of the other
    for y in (p + 2, p + 18, 2**top - 1, 2, 7):
        try:
            import_jwk(okp_jwk(curve, y.to_bytes(size, "little")))
        except UnusableKeyError:
            continue
        assert y < p


@pytest.mark.parametrize(
    ("private", "curve"),
    [
        pytest.param(ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32))), ED25519, id="Ed25519"),
        pytest.param(ed448.Ed448PrivateKey.from_private_bytes(bytes(range(57))), ED448, id="Ed448"),
    ],
)
def test_honest_keys_lie_in_the_prime_subgroup_and_points_of_small_order_do_not(private: Any, curve: Any) -> None:
    point = curve.decode(private.public_key().public_bytes_raw())

    assert curve.is_in_prime_subgroup(point)
    assert not curve.has_small_order(point)
    assert not curve.is_in_prime_subgroup(curve.decode((curve.p - 1).to_bytes(curve.size, "little")))


@pytest.mark.parametrize("curve", [ED25519, ED448], ids=["Ed25519", "Ed448"])
@pytest.mark.parametrize("excess", [0, 1])
def test_a_y_of_p_or_more_is_no_encoding_of_a_point(curve: Any, excess: int) -> None:
    assert curve.decode(excess.to_bytes(curve.size, "little")) is not None
    assert curve.decode((curve.p + excess).to_bytes(curve.size, "little")) is None


@pytest.mark.parametrize("curve", [ED25519, ED448], ids=["Ed25519", "Ed448"])
@pytest.mark.parametrize("y", [1, -1])
def test_an_x_of_zero_has_no_sign(curve: Any, y: int) -> None:
    assert curve.decode((y % curve.p | 1 << (8 * curve.size - 1)).to_bytes(curve.size, "little")) is None


@pytest.mark.parametrize("curve", [ED25519, ED448], ids=["Ed25519", "Ed448"])
def test_bytes_of_another_length_are_no_point(curve: Any) -> None:
    assert curve.decode(bytes(curve.size + 1)) is None


# Signing, for the kit


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_signing_key_is_the_same_from_its_pem(algorithm: SigningAlgorithm) -> None:
    signer = signing_key(algorithm)
    again = SigningKey.from_pem(signer.private_pem, algorithm)

    assert again.thumbprint == signer.thumbprint
    assert holds(import_jwk(signer.public_jwk("k")), again.sign({}, CLAIMS))


@pytest.mark.parametrize(
    ("pem", "algorithm", "why"),
    [
        pytest.param("", "RS256", "no private key", id="nothing"),
        pytest.param("\udc80", "RS256", "no private key", id="lone surrogates"),
        pytest.param(public_pem(private_rsa()), "RS256", "no private key", id="a public key"),
        pytest.param(private_pem(private_rsa(), b"pw"), "RS256", "password", id="with a password"),
        pytest.param(private_pem(private_rsa()), "ES256", "cannot do ES256", id="another kind"),
        pytest.param(private_pem(dsa.generate_private_key(1024)), "RS256", "its kind", id="DSA"),  # noqa: S505  # to be refused
        pytest.param(private_pem(rsa.generate_private_key(65537, 1024)), "RS256", "2048", id="1024 bits"),  # noqa: S505  # to be refused
    ],
)
def test_what_is_no_signing_key_for_the_algorithm_is_a_value_error(pem: str, algorithm: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        SigningKey.from_pem(pem, algorithm)


def test_the_repr_of_a_signing_key_shows_no_private_part() -> None:
    signer = signing_key("ES256")

    assert repr(signer) == f"SigningKey(ES256, {signer.thumbprint})"


def test_the_algorithms_we_know_are_those_that_keys_can_sign_with() -> None:
    assert set(ASYMMETRIC_ALGORITHMS) == set(ALGORITHMS)
