"""The door of the development server: takes the development issuer's tokens, signed and opaque. Floor 7."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgi_bearer.middleware import BearerMiddleware
from asgi_bearer.verifiers.introspection import IntrospectionTokenVerifier
from asgi_bearer.verifiers.jwt import JWTVerifier

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asgi_bearer.access_token import AccessToken
    from asgi_bearer.middleware import ASGIApp
    from asgi_bearer.testing.issuer import Issuer

# RFC 7515 section 3.1: a compact JWS is three parts with two dots between them.
_DOTS_OF_A_JWT = 2

REALM = "api"


def protect(
    app: ASGIApp, issuer: Issuer, resource: str, *, scopes: Sequence[str] = (), public: Sequence[str] = ()
) -> BearerMiddleware:
    """Return `app` behind a door for tokens of `issuer` whose audience is `resource`.

    Everything is found over the network, as it is in production; refusals name their reason, as they do not there.
    """
    return BearerMiddleware(
        app, _ByShape(issuer, resource), required_scopes=scopes, public=public, realm=REALM, expose_reason=True
    )


class _ByShape:
    """Gives what looks like a JWT to one verifier and everything else to another."""

    def __init__(self, issuer: Issuer, resource: str) -> None:
        client_id, client_secret = next(iter(issuer.clients.items()))
        self._jwt = JWTVerifier(issuer=issuer.url, audience=resource)
        # Nothing is remembered, so that who revokes a token sees it at once.
        self._opaque = IntrospectionTokenVerifier(
            issuer=issuer.url, client_id=client_id, client_secret=client_secret, server_url=resource, cache_ttl=0
        )

    async def verify_token(self, token: str) -> AccessToken:
        verifier = self._jwt if token.count(".") == _DOTS_OF_A_JWT else self._opaque
        return await verifier.verify_token(token)

    async def prefetch(self) -> None:
        await self._jwt.prefetch()

    async def aclose(self) -> None:
        await self._opaque.aclose()
