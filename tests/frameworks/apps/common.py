"""What the applications have in common: their door, and how they show who is calling."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

import anyio

from asgi_bearer import AccessToken, JWTVerifier, get_access_token

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

# Websockets echo until the client closes them: Hypercorn on trio ends when both sides close one at the same time.

ISSUER = "https://idp.example.com/"
AUDIENCE = "https://api.example.com"

# The options of every door here
DOOR: dict[str, Any] = {"required_scopes": ["read"], "public": ["/health", "/health/guarded"], "realm": "frameworks"}


def jwt_verifier(public_key: str) -> JWTVerifier:
    """Return the verifier of every door here."""
    return JWTVerifier(public_key=public_key, issuer=ISSUER, audience=AUDIENCE)


class Arrivals:
    """Stands right behind a door and notes every connection that came through it."""

    def __init__(self, app: ASGIApp, notes: list[str]) -> None:
        self.app = app
        self.notes = notes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            self.notes.append(scope["type"])
        await self.app(scope, receive, send)


def callers(scope: Any) -> dict[str, Any]:
    """Show the caller as both ways tell it."""
    return {"scope_auth": describe(scope["auth"]), "get_access_token": describe(get_access_token())}


def describe(token: AccessToken | None) -> dict[str, Any] | None:
    """Show a token without showing it; None for nobody, however nobody is written."""
    if not token:
        return None
    return {
        "client_id": token.client_id,
        "scopes": list(token.scopes),
        "expires_at": None if token.expires_at is None else token.expires_at.isoformat(),
    }


def own_names(request: Any) -> dict[str, Any]:
    """Show the caller by the names that Starlette and Litestar give it."""
    return {
        "auth": describe(request.auth),
        "is_authenticated": request.user.is_authenticated,
        "display_name": request.user.display_name,
        "identity": request.user.identity,
    }


class Postbox:
    """Where a background task leaves the caller it saw, and a later request waits for it."""

    def __init__(self) -> None:
        self._arrived = anyio.Event()
        self._caller: dict[str, Any] | None = None

    def expect(self) -> None:
        """Forget what was left before."""
        self._arrived = anyio.Event()

    async def put(self) -> None:
        """Leave the caller: this is the background task."""
        self._caller = describe(get_access_token())
        self._arrived.set()

    async def take(self) -> dict[str, Any] | None:
        """Wait for the task, and return the caller that it saw."""
        with anyio.fail_after(10):
            await self._arrived.wait()
        return self._caller
