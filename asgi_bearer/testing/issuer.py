"""A development authorization server, as an object and as an ASGI app (RFC 9068, RFC 7662, RFC 7009). Floor 6.

The rule of this module: what an issuer knows lives in the object and ends with it; it gives tokens to whoever asks, so
it is for development and tests, and says so in the log.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import secrets
import time
from collections import Counter
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, cast

import anyio
from cachetools import LRUCache
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Router

from asgi_bearer.keys.jose import ASYMMETRIC_ALGORITHMS, SigningAlgorithm, SigningKey
from asgi_bearer.rules import options
from asgi_bearer.testing.endpoints import routes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from starlette.types import Receive, Scope, Send

_logger = logging.getLogger("asgi_bearer")

TokenFormat = Literal["jwt", "opaque"]

# Beyond the greatest leeway that a verifier takes (300 s)
_LONG_AGO = 600
_REMEMBERED = 100_000
_LOOK_AGAIN = 0.01


async def _fail() -> bool:
    return False


class Issuer:
    """An authorization server for development and tests. NEVER for production: it grants every scope to every client.

    `await issuer(scope, receive, send)` serves, below the path of `url`: metadata (both well-known places), `/jwks`,
    `/token` (client_credentials; parameters scope, resource, audience, and token_format, "jwt" or "opaque"),
    `/introspect` and `/revoke`. The methods do the same without HTTP; `rotate` and `remove_key` change its keys, and
    `down`, `hang`, `slow` and `up` how it answers.

    - `url`: the issuer identifier, and where clients find it: https, or http on loopback.
    - `algorithm`: what it signs with ("RS256"); the key is made here, and ends with the object.
    - `clients`: {client_id: client_secret}; "dev-client" with a generated secret by default. See the property.
    - `audience`: str or a sequence: what tokens are for where the request names nothing.
    - `token_format`: "jwt" (default) or "opaque": what `/token` issues where the request does not say.
    - `clock`: the wall clock, in epoch seconds. `random_bytes`: the source of secrets and identifiers, not of the key.

    It does NOT ask users or limit scopes and audiences; every client may ask about every token; it remembers the last
    100 000 alone. Raises `ValueError` or `TypeError` for options that cannot be meant.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:9000",
        *,
        algorithm: SigningAlgorithm = "RS256",
        clients: Mapping[str, str] | None = None,
        audience: str | Sequence[str] = "http://127.0.0.1:8000",
        token_format: TokenFormat = "jwt",  # noqa: S107  # no password
        clock: Callable[[], float] = time.time,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.url: str = options.issuer("url", url)
        self.token_format: str = options.choice("token_format", token_format, ("jwt", "opaque"))
        self._audience = options.texts("audience", audience)
        self._clock = options.function("clock", clock)
        self._random_bytes = options.function("random_bytes", random_bytes)
        self._clients = _clients(clients, self._random_text)
        options.choice("algorithm", algorithm, ASYMMETRIC_ALGORITHMS)
        self.algorithm: SigningAlgorithm = algorithm
        self._key = SigningKey.generate(algorithm)
        self._published = {self._key.thumbprint: self._key}
        self._trouble: Callable[[], Awaitable[bool]] | None = None
        self._requests: Counter[str] = Counter()
        self._issued: LRUCache[bytes, dict[str, Any]] = LRUCache(_REMEMBERED)
        self._router = Router(routes(self), redirect_slashes=False)
        _logger.warning("Issuer %s is for development and tests: it gives tokens to whoever asks", url)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, as ASGI says."""
        if scope["type"] == "http":
            self._requests[scope["path"]] += 1
            if self._trouble is not None and not await self._trouble():
                await Response(status_code=503)(scope, receive, send)
                return
        with suppress(ClientDisconnect):
            await self._router(scope, receive, send)

    @property
    def clients(self) -> Mapping[str, str]:
        """The clients and their secrets."""
        return MappingProxyType(self._clients)

    @property
    def jwks(self) -> dict[str, Any]:
        """The public keys, as a JWK Set (RFC 7517 section 5)."""
        return {"keys": [key.public_jwk(kid) for kid, key in self._published.items()]}

    @property
    def requests(self) -> Mapping[str, int]:
        """How many requests came in, by path: what a client costs its issuer."""
        return MappingProxyType(self._requests)

    def rotate(self, *, keep_old: bool = True) -> str:
        """Sign with a new key from now on, and return its kid. Without `keep_old` no other key is published."""
        if not options.flag("keep_old", keep_old):
            self._published.clear()
        self._key = SigningKey.generate(self.algorithm)
        self._published[self._key.thumbprint] = self._key
        return self._key.thumbprint

    def remove_key(self, kid: str) -> None:
        """Publish the key of that name no longer; a name that nobody knows is a `ValueError`."""
        if self._published.pop(kid, None) is None:
            message = f"there is no key {kid!r} in jwks"
            raise ValueError(message)

    def down(self) -> None:
        """Answer every request with 503, until `up()`. The methods of this object go on."""
        self._trouble = _fail

    def hang(self) -> None:
        """Answer no request until `up()`; what was asked meanwhile is answered then."""

        async def wait() -> bool:
            while self._trouble is wait:  # noqa: ASYNC110  # no event: who calls `up()` may be in another event loop
                await anyio.sleep(_LOOK_AGAIN)
            return True

        self._trouble = wait

    def slow(self, seconds: float) -> None:
        """Answer every request after so many seconds, until `up()`."""
        delay = options.seconds("seconds", seconds)

        async def wait() -> bool:
            await anyio.sleep(delay)
            return True

        self._trouble = wait

    def up(self) -> None:
        """Answer as before."""
        self._trouble = None

    def token(
        self,
        *,
        sub: str = "dev-user",
        client_id: str | None = None,
        scopes: Sequence[str] = (),
        audience: str | Sequence[str] | None = None,
        expired: bool = False,
        expires_in: float = 3600,
        claims: Mapping[str, Any] | None = None,
        typ: str | None = "at+jwt",
        kid: str | None = None,
    ) -> str:
        """Return a signed token (RFC 9068), issued now and good for `expires_in` seconds.

        `client_id` is the issuer's first client by default, `audience` the issuer's own. `expired=True` makes one that
        ended ten minutes ago. `claims` come last and replace the others; one that is None is left out of the token.
        `typ` and `kid` stand in the header; None leaves `typ` out, and for `kid` means the key's own.

        Nothing keeps the claims from being wrong: that is what tests need. Raises `ValueError` or `TypeError` for
        arguments that cannot be meant.
        """
        content = self._claims(
            sub=sub,
            client_id=client_id,
            scopes=scopes,
            audience=audience,
            lifetime=_lifetime(expires_in, expired=expired),
            others=claims,
        )
        header = {"typ": typ, "kid": self._key.thumbprint if kid is None else kid}
        signed = self._key.sign({name: value for name, value in header.items() if value is not None}, content)
        return self._remember(signed, content)

    def opaque_token(
        self,
        *,
        sub: str = "dev-user",
        client_id: str | None = None,
        scopes: Sequence[str] = (),
        audience: str | Sequence[str] | None = None,
        expired: bool = False,
        expires_in: float = 3600,
        claims: Mapping[str, Any] | None = None,
    ) -> str:
        """Return a random token, about which only `/introspect` knows more. The arguments are those of `token`."""
        content = self._claims(
            sub=sub,
            client_id=client_id,
            scopes=scopes,
            audience=audience,
            lifetime=_lifetime(expires_in, expired=expired),
            others=claims,
        )
        return self._remember(self._random_text(32), content)

    def introspect(self, token: str) -> dict[str, Any]:
        """Return what `/introspect` answers (RFC 7662 section 2.2)."""
        claims = self._issued.get(_digest(token))
        if claims is None or not _holds(claims, self._clock()):
            # RFC 7662 section 2.2: nothing more about a token that is not active
            return {"active": False}
        return {"token_type": "Bearer", **claims, "active": True}

    def revoke(self, token: str) -> None:
        """Make `token` inactive; one that is not known stays so (RFC 7009 section 2.2).

        Who asks `/introspect` sees it at once. It does NOT reach those who verify a signed token by themselves.
        """
        self._issued.pop(_digest(token), None)

    def _claims(
        self,
        *,
        sub: str,
        client_id: str | None,
        scopes: Sequence[str],
        audience: str | Sequence[str] | None,
        lifetime: tuple[int, int],
        others: Mapping[str, Any] | None,
    ) -> dict[str, Any]:
        """RFC 9068 section 2.2: the claims of an access token."""
        now = int(self._clock())
        audiences = self._audience if audience is None else options.texts("audience", audience)
        claims = {
            "iss": self.url,
            "sub": options.text("sub", sub),
            "aud": audiences[0] if len(audiences) == 1 else list(audiences),
            "client_id": next(iter(self._clients)) if client_id is None else options.text("client_id", client_id),
            "scope": " ".join(options.scopes("scopes", scopes)) or None,
            "iat": now + lifetime[0],
            "exp": now + lifetime[1],
            "jti": self._random_text(16),
            **(others or {}),
        }
        return {name: value for name, value in claims.items() if value is not None}

    def _remember(self, token: str, claims: dict[str, Any]) -> str:
        self._issued[_digest(token)] = claims
        return token

    def _random_text(self, size: int) -> str:
        return base64.urlsafe_b64encode(self._random_bytes(size)).rstrip(b"=").decode("ascii")

    def __repr__(self) -> str:
        """Show who, and no secret."""
        return f"Issuer({self.url!r})"


def _clients(clients: Mapping[str, str] | None, random_text: Callable[[int], str]) -> dict[str, str]:
    if clients is None:
        return {"dev-client": random_text(24)}
    try:
        found = dict(clients)
    except (TypeError, ValueError):
        message = f"clients is a dict of client_id and client_secret, not {type(clients).__name__}"
        raise TypeError(message) from None
    if not found:
        message = "clients is empty: nobody could ask for a token; name one, or leave the option out"
        raise ValueError(message)
    for client_id, secret in found.items():
        options.text("each client_id of clients", client_id)
        options.text("each client_secret of clients", secret)
    return found


def _lifetime(expires_in: object, *, expired: bool) -> tuple[int, int]:
    """Return iat and exp, in seconds from now."""
    seconds = int(options.seconds("expires_in", expires_in, least=1.0))
    return (-_LONG_AGO - seconds, -_LONG_AGO) if options.flag("expired", expired) else (0, seconds)


def _holds(claims: Mapping[str, Any], now: float) -> bool:
    # Tests write what they like into these two: what is no number says nothing.
    expires, starts = (cast("Any", claims.get(name)) for name in ("exp", "nbf"))
    ended = isinstance(expires, int | float) and now >= expires
    begun = not isinstance(starts, int | float) or now >= starts
    return begun and not ended


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
