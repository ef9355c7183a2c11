"""Key pairs that sign tokens, for development and tests. Floor 6."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from asgi_bearer.keys.jose import ASYMMETRIC_ALGORITHMS, SigningKey
from asgi_bearer.rules import options

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from asgi_bearer.keys.jose import SigningAlgorithm


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    """Two halves in PEM, and what they sign with."""

    public_key: str
    private_key: str = field(repr=False)
    algorithm: SigningAlgorithm = "RS256"

    def create_token(
        self,
        *,
        subject: str = "test-user",
        issuer: str | None = None,
        audience: str | Sequence[str] | None = None,
        scopes: Sequence[str] | None = None,
        expires_in_seconds: float = 3600,
        additional_claims: Mapping[str, Any] | None = None,
        kid: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> str:
        """Return a signed token that was issued now and ends in `expires_in_seconds` (negative: it has ended already).

        Claims that are None are left out; `additional_claims` come last and replace the others. Raises `TypeError` for
        scopes given as one string.
        """
        now = int(clock())
        # exp must come after iat in every token, so one that has ended was issued before that.
        claims: dict[str, Any] = {"sub": subject, "iat": min(now, now + int(expires_in_seconds) - 1)}
        claims["exp"] = now + int(expires_in_seconds)
        if issuer is not None:
            claims["iss"] = issuer
        if audience is not None:
            claims["aud"] = audience if isinstance(audience, str) else list(audience)
        if scopes is not None:
            claims["scope"] = " ".join(options.scopes("scopes", scopes))
        header = {"typ": "JWT"} if kid is None else {"typ": "JWT", "kid": kid}
        return SigningKey.from_pem(self.private_key, self.algorithm).sign(
            header, {**claims, **(additional_claims or {})}
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RSAKeyPair(_Pair):
    """An RSA key pair in PEM, 2048 bits. For development and tests: a real issuer keeps its private key to itself.

    `public_key` is what `JWTVerifier(public_key=...)` takes; `private_key` is not in the repr.
    """

    @classmethod
    def generate(cls) -> RSAKeyPair:
        """Return a new pair."""
        key = SigningKey.generate("RS256")
        return cls(public_key=key.public_pem, private_key=key.private_pem)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPair(_Pair):
    """A key pair in PEM that signs with `algorithm`. For development and tests, as `RSAKeyPair`."""

    @classmethod
    def generate(cls, algorithm: SigningAlgorithm = "RS256") -> KeyPair:
        """Return a new pair for "RS256" to "RS512", "PS256" to "PS512", "ES256" to "ES512", "Ed25519" or "Ed448"."""
        options.choice("algorithm", algorithm, ASYMMETRIC_ALGORITHMS)
        key = SigningKey.generate(algorithm)
        return cls(public_key=key.public_pem, private_key=key.private_pem, algorithm=algorithm)
