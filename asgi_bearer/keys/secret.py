"""Secrets for HMAC: refused where they are too short, or somebody's public key (RFC 7518 section 3.2, RFC 8725 section 3.1). Floor 3.

A public key used as a secret is a secret that everybody knows: the oldest forgery there is. So every form in which public
keys travel is refused, as text, as bytes, and as the base64 of them.
"""

from __future__ import annotations

import base64
import binascii
import json
import re

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key
from cryptography.x509 import load_der_x509_certificate

from asgi_bearer.keys.edwards import ED448, ED25519, Curve

HASH_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}

_PEM = re.compile(rb"-{2,}begin|(?:public|private)key-{2,}|begincertificate")
_SSH = re.compile(rb"(?:^|\s)(?:ssh-|ecdsa-sha2-|sk-)[a-z0-9@.-]+\s+AAAA")
_SSH_BLOB = re.compile(rb"\x00\x00\x00.(?:ssh-|ecdsa-sha2-|sk-)", re.DOTALL)
_MODULUS_BYTES = frozenset({256, 384, 512, 768, 1024})
_CURVES: tuple[ec.EllipticCurve, ...] = (ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1())


def import_secret(secret: str | bytes, algorithm: str) -> bytes:
    """Return the bytes of an HMAC secret, or raise `ValueError` or `TypeError` with what to write instead."""
    if not isinstance(secret, str | bytes):
        message = f"secret is a str or bytes, not {type(secret).__name__}"
        raise TypeError(message)
    data = secret.encode("utf-8") if isinstance(secret, str) else secret
    least = HASH_BYTES[algorithm]
    if len(data) < least:
        # RFC 7518 section 3.2
        message = f"secret is shorter than the hash of {algorithm}: use at least {least} random bytes, not {len(data)}"
        raise ValueError(message)
    form = public_key_form(data)
    if form is not None:
        message = f"secret is {form}: pass a public key as public_key= or jwks=, and as secret= only what nobody else knows"
        raise ValueError(message)
    return data


def public_key_form(data: bytes) -> str | None:
    """Return in which form `data` is a key that others know, or None."""
    squeezed = re.sub(rb"[\s\x00]+", b"", data)
    if _PEM.search(squeezed.lower()):
        return "a key or certificate in PEM"
    if _SSH.search(data.replace(b"\x00", b"")):
        return "an SSH public key"
    if _is_jwk(data):
        return "a JSON Web Key"
    for candidate in (data, *_decoded(squeezed)):
        form = _binary_form(candidate)
        if form is not None:
            return form
    return None


def _is_jwk(data: bytes) -> bool:
    """Any JSON at all: no secret is written so, and a key may be nested in it. `json.loads` knows UTF-8, 16 and 32."""
    try:
        return isinstance(json.loads(data.strip()), dict | list)
    except (ValueError, RecursionError):
        return False


def _decoded(text: bytes) -> list[bytes]:
    """Return what `text` may stand for: in base64, base64url, hexadecimal or decimal digits."""
    found = []
    padded = text.rstrip(b"=") + b"=" * (-len(text.rstrip(b"=")) % 4)
    for decode in (base64.standard_b64decode, base64.urlsafe_b64decode, binascii.unhexlify):
        try:
            found.append(decode(text if decode is binascii.unhexlify else padded))
        except ValueError:
            continue
    if text.isdigit() and len(text) < 4096:  # noqa: PLR2004  # the digits of 8192 bits are 2467
        number = int(text)
        found.append(number.to_bytes((number.bit_length() + 7) // 8, "big"))
    return found


def _binary_form(data: bytes) -> str | None:
    if _SSH_BLOB.match(data):
        return "an SSH public key"
    if _is_der(data):
        return "a public key or certificate in DER"
    if len(data) in _MODULUS_BYTES and data[0] & 0x80 and data[-1] & 1:
        return "what may be the modulus of an RSA key"
    if any(_is_point(data, curve) for curve in _CURVES):
        return "a point of an elliptic curve"
    if _is_edwards_key(data, ED25519) or _is_edwards_key(data, ED448):
        return "what may be an Ed25519 or Ed448 public key (if it is random all the same, append a zero byte: HMAC stays the same)"
    return None


def _is_der(data: bytes) -> bool:
    for load in (load_der_public_key, load_der_x509_certificate):
        try:
            load(data)
        except Exception:  # noqa: BLE001, S112  # whatever it is that cryptography does not like, it is not a key to it
            continue
        return True
    return False


def _is_point(data: bytes, curve: ec.EllipticCurve) -> bool:
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(curve, data)
    except ValueError:
        return False
    return True


def _is_edwards_key(data: bytes, curve: Curve) -> bool:
    point = curve.decode(data)
    return point is not None and curve.is_in_prime_subgroup(point)
