"""Secrets for HMAC: refused where they are too short, or somebody's public key. Floor 3.

RFC 7518 section 3.2, RFC 8725 section 3.1. A public key used as a secret is a secret that everybody knows: the oldest
forgery there is. So the forms in which public keys travel are refused: text, bytes, and the digits of them.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from contextlib import suppress
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import ec

from asgi_bearer.keys.edwards import ED448, ED25519

if TYPE_CHECKING:
    from collections.abc import Iterator

HASH_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}

_PEM = re.compile(rb"-{2,}begin|(?:public|private)key-{2,}|begincertificate")
_SSH = re.compile(rb"(?:ssh-|ecdsa-sha2-|sk-)[a-z0-9@.-]+\s+AAAA")
_SSH_BLOB = re.compile(rb"\x00\x00\x00.(?:ssh-|ecdsa-sha2-|sk-)", re.DOTALL)
# A member's name in JSON, in JSON within JSON, or in what Python writes for a dict
_JWK = re.compile(rb"""kty\\*["']""")
# What no random bytes hold: the names of RSA, EC and Edwards keys (RFC 3279, RFC 8410), which are in every certificate
# and SubjectPublicKeyInfo, and the start of an RSAPublicKey or RSAPrivateKey (RFC 8017 appendix A.1)
_DER = re.compile(
    rb"\x2a\x86\x48\x86\xf7\x0d\x01\x01|\x2a\x86\x48\xce\x3d|\x30\x05\x06\x03\x2b\x65[\x6e-\x71]"
    rb"|\x30(?:\x81.|\x82..)(?:\x02\x01\x00)?\x02(?:\x81.|\x82..)\x00[\x80-\xff]",
    re.DOTALL,
)
_BYTE_ORDER_MARK = re.compile(rb"\A(?:\xef\xbb\xbf|\xff\xfe|\xfe\xff)")
# What stands between the digits of a key, or before them: line breaks; what openssl writes
_BESIDE_DIGITS = re.compile(rb"[\s:]+|\A\s*(?:modulus=)?(?:0x)?", re.IGNORECASE)
_MODULUS_BYTES = frozenset({256, 384, 512, 768, 1024})
_SMALL_FACTORS = math.factorial(2000)
_MAX_DECIMAL_DIGITS = 2467  # of 8192 bits
_CURVES: tuple[ec.EllipticCurve, ...] = (ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1())


def import_secret(secret: str | bytes, algorithm: str, *, name: str = "secret") -> bytes:
    """Return the bytes of an HMAC secret, or raise `ValueError` or `TypeError` with what to write instead of `name`.

    A raw key has no mark, so some random secrets look like one: of 32 random bytes one in sixteen (an Ed25519 key), of
    33, 49 or 67 one in 256 (a point, compressed), of 256, 384, 512, 768 or 1024 one in 27 (an RSA modulus). Random text
    of 32 bytes (hexadecimal or base64) is always taken: it is how secrets are made. So an Ed25519 key written that way
    is NOT found out.
    """
    if not isinstance(secret, str | bytes):
        message = f"{name} is a str or bytes, not {type(secret).__name__}"
        raise TypeError(message)
    data = _encode(secret, name) if isinstance(secret, str) else secret
    least = HASH_BYTES[algorithm]
    if len(data) < least:
        # RFC 7518 section 3.2
        message = f"{name} is shorter than the hash of {algorithm}: use at least {least} random bytes, not {len(data)}"
        raise ValueError(message)
    form = public_key_form(data)
    if form is not None:
        message = (
            f"{name} is {form}: pass a public key as public_key= or jwks=, and as {name}= only what nobody else knows"
        )
        raise ValueError(message)
    return data


def _encode(secret: str, name: str) -> bytes:
    try:
        return secret.encode("utf-8")
    except UnicodeEncodeError:
        pass
    # Raised outside of the handler: the codec's error holds the secret.
    message = f"{name} is no text (it has lone surrogates, as os.environ makes of bytes): pass it as bytes"
    raise ValueError(message)


def public_key_form(data: bytes) -> str | None:
    """Return in which form `data` is a key that others know, or None."""
    for reading in _readings(data):
        form = _text_form(reading) or _binary_form(reading)
        if form is not None:
            return form
    if _is_edwards_key(data):
        return (
            "what may be an Ed25519 or Ed448 public key (if it is 32 random bytes all the same, append a zero byte: "
            "the HMAC stays the same)"
        )
    return None


def _readings(data: bytes) -> Iterator[bytes]:
    """Give `data`, and what it may stand for: plain text, base64, base64url, hexadecimal or decimal digits."""
    yield data
    text = _BYTE_ORDER_MARK.sub(b"", data, count=1)
    if 3 * text.count(0) > len(text):  # UTF-16, UTF-32
        text = text.replace(b"\0", b"")
    yield text
    digits = _BESIDE_DIGITS.sub(b"", text)
    for decode in (_from_base64, binascii.unhexlify):
        with suppress(ValueError):
            yield decode(digits)
    if digits.isdigit() and len(digits) <= _MAX_DECIMAL_DIGITS:
        number = int(digits)
        yield number.to_bytes((number.bit_length() + 7) // 8, "big")


def _from_base64(digits: bytes) -> bytes:
    """Decode base64 in either alphabet, padded or not; strictly, since most random bytes hold some letters."""
    letters = digits.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
    return base64.b64decode(letters + b"=" * (-len(letters) % 4), validate=True)


def _text_form(data: bytes) -> str | None:
    if _PEM.search(re.sub(rb"\s+", b"", data).lower()):
        return "a key or certificate in PEM"
    if _SSH.search(data):
        return "an SSH public key"
    return "a JSON Web Key" if _JWK.search(data) or _is_json(data) else None


def _is_json(data: bytes) -> bool:
    """Any JSON at all: no secret is written so, and a key may be nested in it."""
    try:
        return isinstance(json.loads(data), dict | list)
    except (ValueError, RecursionError):
        return False


def _binary_form(data: bytes) -> str | None:
    if _SSH_BLOB.match(data):
        return "an SSH public key"
    if _DER.search(data):
        return "a public key or certificate in DER"
    if _is_modulus(data.lstrip(b"\0")):
        return "what may be the modulus of an RSA key"
    if any(_is_point(data, curve) for curve in _CURVES):
        return "a point of an elliptic curve"
    return None


def _is_modulus(data: bytes) -> bool:
    """Tell whether `data` is a number of full length without a small factor, as moduli are and few random numbers."""
    full = len(data) in _MODULUS_BYTES and data[0] & 0x80
    return bool(full) and math.gcd(int.from_bytes(data, "big"), _SMALL_FACTORS) == 1


def _is_point(data: bytes, curve: ec.EllipticCurve) -> bool:
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(curve, data)
    except ValueError:
        return False
    return True


def _is_edwards_key(data: bytes) -> bool:
    points = ((curve, curve.decode(data)) for curve in (ED25519, ED448))
    return any(point is not None and curve.is_in_prime_subgroup(point) for curve, point in points)
