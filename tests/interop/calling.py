"""The protected application of these tests, how it is asked, and the answers of its door."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import httpx2
from starlette.types import Message

from asgi_bearer import BearerMiddleware, get_access_token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import ASGIApp, Receive, Scope, Send

    from asgi_bearer import TokenVerifier


async def say_who_calls(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with what the door knows of the caller: the whole application behind it."""
    if scope["type"] == "lifespan":
        for phase in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{phase}.complete"})
        return
    token = get_access_token()
    assert token is not None
    assert scope["auth"] is token
    said = {
        "client_id": token.client_id,
        "subject": token.subject,
        "scopes": token.scopes,
        "issuer": token.issuer,
        "audience": token.audience,
        "expires": token.expires_at is not None,
    }
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(said).encode()})


async def ask(verifier: TokenVerifier, token: str, **options: Any) -> httpx2.Response:
    """Send one request with `token` to an application behind a door of its own."""
    async with door(verifier, **options) as client:
        return await get(client, token)


async def get(client: httpx2.AsyncClient, token: str) -> httpx2.Response:
    """Send one request with `token`."""
    return await client.get("/", headers={"Authorization": f"Bearer {token}"})


@asynccontextmanager
async def door(verifier: TokenVerifier, **options: Any) -> AsyncIterator[httpx2.AsyncClient]:
    """Put a door before the application, start it up, and give a client that calls it in process."""
    app = BearerMiddleware(say_who_calls, verifier, expose_reason=True, **options)
    transport = httpx2.ASGITransport(app=app)
    async with (
        lifespan(app),
        httpx2.AsyncClient(transport=transport, base_url="http://api.example", trust_env=False) as client,
    ):
        yield client


@asynccontextmanager
async def lifespan(app: ASGIApp) -> AsyncIterator[None]:
    """Start an application up and shut it down, as a server does."""
    to_app, app_receives = anyio.create_memory_object_stream[Message](1)
    app_sends, from_app = anyio.create_memory_object_stream[Message](1)

    async def run() -> None:
        await app({"type": "lifespan", "asgi": {"version": "3.0"}}, app_receives.receive, app_sends.send)

    async def pass_phase(phase: str) -> None:
        await to_app.send({"type": f"lifespan.{phase}"})
        assert await from_app.receive() == {"type": f"lifespan.{phase}.complete"}

    with to_app, app_receives, app_sends, from_app:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            await pass_phase("startup")
            yield
            await pass_phase("shutdown")


def assert_refused(answer: httpx2.Response, *, reason: str | None = None) -> None:
    """Check that the token was refused, and for `reason` where only one fits."""
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    if reason is not None:
        assert f"Reason: {reason}." in answer.json()["error_description"]


def assert_unavailable(answer: httpx2.Response) -> None:
    """Check that the caller may come back with the same token: a 401 would make it throw the token away."""
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert "www-authenticate" not in answer.headers
