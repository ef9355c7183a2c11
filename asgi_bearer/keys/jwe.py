"""Answers that are encrypted to us: a signed token within a JWE (RFC 7516, RFC 7519 section 5.2). Floor 3.

The rules: one private key, and the algorithms that go with it; no password-based, symmetric or PKCS#1 v1.5 ones, and no
compression. What comes out is no more trusted than before: its signature is still to be verified.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from joserfc.jwe import JWERegistry, decrypt_compact
from joserfc.jwk import ECKey, RSAKey

from asgi_bearer.errors import InvalidToken
from asgi_bearer.keys.compact import MAX_HEADER_BYTES, decode_segment, parse_json
from asgi_bearer.keys.jose import UnusableKeyError, check_strength, load_private_pem

# RFC 7518 section 4.1. Not RSA1_5: RFC 8725 section 3.2.
_RSA = ("RSA-OAEP", "RSA-OAEP-256")
_EC = ("ECDH-ES", "ECDH-ES+A128KW", "ECDH-ES+A192KW", "ECDH-ES+A256KW")
_CONTENT = ("A128CBC-HS256", "A192CBC-HS384", "A256CBC-HS512", "A128GCM", "A192GCM", "A256GCM")
_REFUSED_PARAMETERS = ("crit", "zip")


class DecryptionKey:
    """The private key to which somebody encrypts for us: PEM without a password, RSA (2048 bits or more) or EC.

    Raises `ValueError` or `TypeError` for any other. Its repr shows nothing of it.
    """

    def __init__(self, pem: str) -> None:
        private = load_private_pem(pem)
        check_strength(private.public_key())
        if isinstance(private, rsa.RSAPrivateKey):
            self._key: RSAKey | ECKey = RSAKey.import_key(private)
            self._algorithms: tuple[str, ...] = _RSA
        elif isinstance(private, ec.EllipticCurvePrivateKey):
            self._key, self._algorithms = ECKey.import_key(private), _EC
        else:
            raise UnusableKeyError("the key is not used: nobody can encrypt to it; use RSA, P-256, P-384 or P-521")

    def decrypt(self, token: str) -> str | None:
        """Return what the JWE holds, or None where it is none, is not for us, or uses what we do not take."""
        if token.count(".") != 4 or not self._takes(token.partition(".")[0]):  # noqa: PLR2004  # before any split
            return None
        # Headers may repeat claims (RFC 7519 section 5.3), so that those which joserfc does not know are let through.
        registry = JWERegistry(algorithms=(*self._algorithms, *_CONTENT), strict_check_header=False)
        registry.max_ciphertext_length = registry.max_protected_header_length = len(token)
        try:
            plaintext = decrypt_compact(token, self._key, registry=registry).plaintext
        except Exception:  # noqa: BLE001  # whatever joserfc says of bytes that somebody else wrote
            return None
        return None if plaintext is None or not plaintext.isascii() else plaintext.decode("ascii")

    def _takes(self, protected: str) -> bool:
        try:
            header = parse_json(decode_segment(protected.encode("ascii", "replace")), MAX_HEADER_BYTES)
        except InvalidToken:
            return False
        if any(name in header for name in _REFUSED_PARAMETERS):
            return False
        return header.get("alg") in self._algorithms and header.get("enc") in _CONTENT

    def __repr__(self) -> str:
        """Show what it is for, not what it holds."""
        return f"DecryptionKey({', '.join(self._algorithms)})"
