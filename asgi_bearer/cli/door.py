"""The door of the development server: takes the development issuer's tokens, signed and opaque. Floor 7."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgi_bearer.middleware import BearerMiddleware
from asgi_bearer.verifiers.composite import ChainVerifier
from asgi_bearer.verifiers.introspection import IntrospectionTokenVerifier
from asgi_bearer.verifiers.jwt import JWTVerifier

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asgi_bearer.middleware import ASGIApp
    from asgi_bearer.testing.issuer import Issuer

REALM = "api"


def verifier_of(issuer: Issuer, resource: str) -> ChainVerifier:
    """Return the strategy for tokens of `issuer` whose audience is `resource`: all is found over the network."""
    client_id, client_secret = next(iter(issuer.clients.items()))
    # Nothing is remembered of opaque tokens, so that who revokes one sees it at once.
    opaque = IntrospectionTokenVerifier(
        issuer=issuer.url, client_id=client_id, client_secret=client_secret, server_url=resource, cache_ttl=0
    )
    return ChainVerifier({"jwt": JWTVerifier(issuer=issuer.url, audience=resource), "opaque": opaque})


def protect(
    app: ASGIApp, verifier: ChainVerifier, *, scopes: Sequence[str] = (), public: Sequence[str] = ()
) -> BearerMiddleware:
    """Return `app` behind a door whose refusals name their reason, as they do not in production."""
    return BearerMiddleware(app, verifier, required_scopes=scopes, public=public, realm=REALM, expose_reason=True)
