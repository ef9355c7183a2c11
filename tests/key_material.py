"""Keys of all kinds, in the forms in which keys travel."""

from __future__ import annotations

import datetime as dt
import ipaddress
from functools import cache
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID

from asgi_bearer.keys.jose import SigningAlgorithm, SigningKey, encode_segment

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes, PrivateKeyTypes


@cache
def signing_key(algorithm: SigningAlgorithm, _number: int = 0) -> SigningKey:
    """Return a key; the same one every time, since making an RSA key takes long."""
    return SigningKey.generate(algorithm)


@cache
def private_rsa(bits: int = 2048, exponent: int = 65537) -> rsa.RSAPrivateKey:
    """Return an RSA key; the same one every time."""
    return rsa.generate_private_key(exponent, bits)


def integer(value: int, length: int | None = None) -> str:
    """Return `value` as a member of a JWK, in `length` bytes, or the fewest."""
    return encode_segment(value.to_bytes(length or (value.bit_length() + 7) // 8, "big")).decode()


def rsa_jwk(modulus: int, exponent: int = 65537, **members: Any) -> dict[str, Any]:
    """Return the JWK of an RSA key."""
    return {"kty": "RSA", "n": integer(modulus), "e": integer(exponent), **members}


def okp_jwk(curve: str, x: bytes, **members: Any) -> dict[str, Any]:
    """Return the JWK of an Edwards key."""
    return {"kty": "OKP", "crv": curve, "x": encode_segment(x).decode(), **members}


def public_pem(private: Any, form: PublicFormat = PublicFormat.SubjectPublicKeyInfo) -> str:
    """Return the public key of `private` in PEM."""
    return str(private.public_key().public_bytes(Encoding.PEM, form).decode())


def private_pem(private: PrivateKeyTypes, password: bytes | None = None) -> str:
    """Return `private` in PEM (PKCS#8)."""
    encryption = NoEncryption() if password is None else BestAvailableEncryption(password)
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption).decode()


def certificate(public: CertificatePublicKeyTypes, encoding: Encoding = Encoding.PEM, *, years: int = 1) -> bytes:
    """Return a certificate of `public` for this machine, valid for so many years from 2020 on."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "idp.example")])
    start = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    hosts = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    builder = x509.CertificateBuilder(name, name, public, 1, start, start.replace(year=2020 + years), [])
    builder = builder.add_extension(hosts, critical=False)
    return builder.sign(private_rsa(), hashes.SHA256()).public_bytes(encoding)
