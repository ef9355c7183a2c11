"""One raw ASGI app, and every way to protect it: ours, and what else there is. A peer that is not installed is missing.

All of them fetch the issuer's JWK Set, check signature, issuer, audience and expiry, and let in or answer 401.
"""

# ruff: noqa: PLC0415  # a peer may be missing

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from asgi_bearer import BearerMiddleware, JWTVerifier
from benchmarks.tokens import AUDIENCE, ISSUER, Batch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import HTTPConnection

    from asgi_bearer.middleware import ASGIApp, Receive, Scope, Send


async def bare(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001  # ASGI's three arguments
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})


def ours(app: ASGIApp, batch: Batch, *, cache_size: int) -> ASGIApp:
    key: Any = {"secret": batch.secret} if batch.secret else {"jwks_uri": batch.jwks_uri}
    return BearerMiddleware(
        app,
        JWTVerifier(**key, issuer=ISSUER, audience=AUDIENCE, algorithm=batch.algorithm, cache_size=cache_size),
    )


def fastmcp(app: ASGIApp, batch: Batch) -> ASGIApp:
    from fastmcp.server.auth.providers.jwt import JWTVerifier as FastMCPVerifier

    logging.getLogger("fastmcp").setLevel(logging.WARNING)
    key: Any = {"public_key": batch.secret} if batch.secret else {"jwks_uri": batch.jwks_uri}
    verifier = FastMCPVerifier(**key, issuer=ISSUER, audience=AUDIENCE, algorithm=batch.algorithm)
    return fastmcp_stack(app, verifier)


def fastmcp_stack(app: ASGIApp, verifier: Any) -> ASGIApp:
    """Protect as FastMCP's server protects its endpoint: the SDK's backend and context, and what answers 401."""
    from fastmcp.server.auth.middleware import RequireAuthMiddleware
    from mcp.server.auth.middleware.auth_context import AuthContextMiddleware
    from mcp.server.auth.middleware.bearer_auth import BearerAuthBackend
    from starlette.middleware.authentication import AuthenticationMiddleware

    guarded = AuthContextMiddleware(RequireAuthMiddleware(app, required_scopes=[]))
    return AuthenticationMiddleware(guarded, backend=BearerAuthBackend(verifier))


def starlette_pyjwt(app: ASGIApp, batch: Batch) -> ASGIApp:
    """Protect by Starlette's middleware and PyJWT, as its documentation decodes: with PyJWKClient."""
    import jwt

    find_key = jwt.PyJWKClient(batch.jwks_uri).get_signing_key_from_jwt if batch.jwks_uri else lambda _: batch.secret

    def decode(token: str) -> Mapping[str, Any]:
        claims: Mapping[str, Any] = jwt.decode(
            token,
            find_key(token),
            algorithms=[batch.algorithm],
            issuer=ISSUER,
            audience=AUDIENCE,
            options={"require": ["exp", "iss", "aud"]},
        )
        return claims

    return _starlette(app, decode, jwt.PyJWTError)


def starlette_joserfc(app: ASGIApp, batch: Batch) -> ASGIApp:
    """Protect by Starlette's middleware and joserfc: a KeySet fetched once, and its claims registry."""
    import httpx2
    from joserfc import jwk, jwt
    from joserfc.errors import JoseError

    key: Any = (
        jwk.import_key(batch.secret, "oct")
        if batch.secret
        else jwk.KeySet.import_key_set(httpx2.get(batch.jwks_uri, trust_env=False).json())
    )
    required = jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": ISSUER}, aud={"essential": True, "value": AUDIENCE}, exp={"essential": True}
    )

    def decode(token: str) -> Mapping[str, Any]:
        claims = jwt.decode(token, key, algorithms=[batch.algorithm]).claims
        required.validate(claims)
        return claims

    return _starlette(app, decode, JoseError)


def _starlette(app: ASGIApp, decode: Callable[[str], Mapping[str, Any]], error: type[Exception]) -> ASGIApp:
    from starlette.authentication import AuthCredentials, AuthenticationBackend, AuthenticationError, SimpleUser
    from starlette.middleware.authentication import AuthenticationMiddleware
    from starlette.responses import Response

    class Backend(AuthenticationBackend):
        async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, SimpleUser]:
            scheme, _, token = conn.headers.get("authorization", "").partition(" ")
            if scheme.lower() != "bearer":
                raise AuthenticationError("no credentials")
            try:
                claims = decode(token)
            except error as problem:
                raise AuthenticationError("invalid token") from problem
            return AuthCredentials(claims.get("scope", "").split()), SimpleUser(claims["sub"])

    def refuse(conn: HTTPConnection, problem: AuthenticationError) -> Response:  # noqa: ARG001
        return Response(str(problem), 401, {"www-authenticate": "Bearer"})

    return AuthenticationMiddleware(app, backend=Backend(), on_error=refuse)


PEERS: dict[str, Callable[[ASGIApp, Batch], ASGIApp]] = {
    "Starlette + joserfc": starlette_joserfc,
    "Starlette + PyJWT": starlette_pyjwt,
    "FastMCP": fastmcp,
}


def protect_by_peers(app: ASGIApp, batch: Batch) -> dict[str, ASGIApp]:
    """Return `app` protected by every peer that is here and takes the algorithm; say which are not."""
    protected = {}
    for name, protect in PEERS.items():
        try:
            protected[name] = protect(app, batch)
        except ImportError as error:
            print(f"{name}: left out, {error.name} is not installed")
        except (NotImplementedError, ValueError) as error:
            print(f"{name}: left out for {batch.algorithm}: {error}")
    return protected
