"""Client assertions: a signed statement of who we are, for one request (RFC 7523 sections 2.2 and 3). Floor 4.

The rules: for one server, by its issuer; fresh each time, and good for a minute at most; the key never leaves us.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Literal, TypeAlias

from asgi_bearer.keys.jose import ASYMMETRIC_ALGORITHMS, SECRET_ALGORITHMS, SigningKey, SigningSecret
from asgi_bearer.rules import options
from asgi_bearer.verifiers.client_auth import Authentication

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from asgi_bearer.keys.jose import SigningAlgorithm

SecretAlgorithm: TypeAlias = Literal["HS256", "HS384", "HS512"]

_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_MEDIA_TYPE = "client-authentication+jwt"
_LONGEST = 60.0


class Assertion:
    """A signed statement of who we are, made anew for each request (RFC 7523 sections 2.2 and 3)."""

    def __init__(
        self,
        client_id: str,
        key: SigningKey | SigningSecret,
        header: Mapping[str, str | None],
        *,
        audience: str | None,
        lifetime: float,
        clock: Callable[[], float],
        random_text: Callable[[], str],
    ) -> None:
        self.client_id: str = options.credential("client_id", client_id)
        self.audience: str | None = None if audience is None else options.text("audience", audience)
        self._key = key
        self._header = {name: options.text(name, value) for name, value in header.items() if value is not None}
        self._lifetime = options.seconds("lifetime", lifetime, least=1.0, most=_LONGEST)
        self._clock = options.function("clock", clock)
        self._random_text = options.function("random_text", random_text)

    async def authenticate(self, issuer: str | None) -> Authentication:
        """Return the members of the form, with an assertion that is good for this one request."""
        now = int(self._clock())
        claims = {
            "iss": self.client_id,
            "sub": self.client_id,
            # CVE-2025-27370: one string, the server's issuer, so that no other server can use what we sent to it.
            "aud": self.audience or issuer,
            "jti": self._random_text(),
            "iat": now,
            "exp": now + int(self._lifetime),
        }
        assertion = self._key.sign(dict(self._header), claims)
        form = {
            "client_id": self.client_id,
            "client_assertion_type": _ASSERTION_TYPE,
            "client_assertion": assertion,
        }
        return Authentication(form=form)

    def __repr__(self) -> str:
        """Show who, not what."""
        return f"{type(self).__name__}({self.client_id!r}, {self._key.algorithm})"


def _random_text() -> str:
    return secrets.token_urlsafe(16)


class ClientSecretJWT(Assertion):
    """`client_secret_jwt`: an assertion made with the secret, which itself is never sent (RFC 7523, HMAC).

    - `algorithm`: "HS256" (default), "HS384" or "HS512"; the secret is as long as its hash at least (RFC 7518 section
      3.2).
    - `audience`: whom it is for, where that is not the verifier's `issuer`.
    - `lifetime`: seconds (60, which is the most) for which it is good.
    - `typ`: the header's; None for servers that choke on it.
    - `clock`: the wall clock; `random_text`: where its `jti` comes from.
    """

    def __init__(
        self,
        client_id: str,
        client_secret: str,
        *,
        algorithm: SecretAlgorithm = "HS256",
        audience: str | None = None,
        lifetime: float = 60.0,
        typ: str | None = _MEDIA_TYPE,
        clock: Callable[[], float] = time.time,
        random_text: Callable[[], str] = _random_text,
    ) -> None:
        key = SigningSecret(client_secret, options.choice("algorithm", algorithm, SECRET_ALGORITHMS))
        options.credential("client_secret", client_secret)
        super().__init__(
            client_id,
            key,
            {"typ": typ},
            audience=audience,
            lifetime=lifetime,
            clock=clock,
            random_text=random_text,
        )


class PrivateKeyJWT(Assertion):
    """`private_key_jwt`: an assertion made with a private key, whose public half the server knows (RFC 7523).

    - `private_key`: PEM without a password. `kid`: how the server names it, where it has several of ours.
    - `algorithm`: the one that is registered, "RS256" by default; the key must be able to do it.
    - the others are those of `ClientSecretJWT`.
    """

    def __init__(
        self,
        client_id: str,
        private_key: str,
        *,
        algorithm: SigningAlgorithm = "RS256",
        kid: str | None = None,
        audience: str | None = None,
        lifetime: float = 60.0,
        typ: str | None = _MEDIA_TYPE,
        clock: Callable[[], float] = time.time,
        random_text: Callable[[], str] = _random_text,
    ) -> None:
        options.choice("algorithm", algorithm, ASYMMETRIC_ALGORITHMS)
        super().__init__(
            client_id,
            SigningKey.from_pem(private_key, algorithm),
            {"typ": typ, "kid": kid},
            audience=audience,
            lifetime=lifetime,
            clock=clock,
            random_text=random_text,
        )
