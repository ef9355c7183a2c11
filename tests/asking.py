"""An introspection endpoint in process, verifiers that ask it, and clocks to turn: for the tests of RFC 7662."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import anyio
import httpx2
import pytest
from fakes import Clock

from asgi_bearer import IntrospectionTokenVerifier, InvalidToken, Reason, VerifierUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = 1_800_000_000
ENDPOINT, ISSUER, API = "https://idp.example/introspect", "https://idp.example", "https://api.example"
TOKEN, SECRET = "an-opaque-token-of-alice", "the-secret-of-this-server"
ACTIVE: dict[str, Any] = {
    "active": True,
    "client_id": "app",
    "sub": "alice",
    "scope": "read write",
    "exp": NOW + 600,
    "token_type": "Bearer",
}
ABSENT = object()


class Endpoint:
    """An introspection endpoint in process: it keeps what it was asked, and answers with `answer`."""

    def __init__(self, answer: Any = None, *, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.answer: Any = ACTIVE if answer is None else answer
        self.status = status
        self.headers = headers or {}
        self.asked: list[Asked] = []
        self.gate: anyio.Event | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        asked = Asked(scope, body)
        self.asked.append(asked)
        if self.gate is not None:
            await self.gate.wait()
        answer = self.answer(asked) if callable(self.answer) else self.answer
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        headers = [(name.encode(), value.encode()) for name, value in self.headers.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": content})


class Asked:
    """One request to the endpoint."""

    def __init__(self, scope: Any, body: bytes) -> None:
        self.method: str = scope["method"]
        self.url = f"{scope['scheme']}://{scope['server'][0]}{scope['path']}"
        self.headers: dict[str, str] = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.body = body
        self.form = parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True)

    @property
    def token(self) -> str:
        return dict(self.form)["token"]


def verifier(endpoint: Any, **options: Any) -> IntrospectionTokenVerifier:
    defaults: dict[str, Any] = {
        "introspection_endpoint": ENDPOINT,
        "client_id": "rs",
        "client_secret": SECRET,
        "transport": httpx2.ASGITransport(endpoint),
        "clock": Clock(NOW),
        "monotonic": Clock(0),
    }
    if not isinstance(options.get("client_auth", ""), str):  # an object, which has the credentials
        del defaults["client_id"], defaults["client_secret"]
    return IntrospectionTokenVerifier(**{**defaults, **options})


def answering(**members: Any) -> Endpoint:
    """Return an endpoint that answers as usual but for `members`; what is ABSENT is left out."""
    return Endpoint({name: value for name, value in {**ACTIVE, **members}.items() if value is not ABSENT})


async def reason_of(endpoint: Any, **options: Any) -> Reason | None:
    with pytest.raises(InvalidToken) as caught:
        await verifier(endpoint, **options).verify_token(TOKEN)
    return caught.value.reason


async def why_unavailable(endpoint: Any, **options: Any) -> VerifierUnavailable:
    with pytest.raises(VerifierUnavailable) as caught:
        await verifier(endpoint, **options).verify_token(TOKEN)
    return caught.value


class Remembering:
    """A verifier with its endpoint and clocks; `TOKEN` is active, every other token is not."""

    def __init__(self, answer: Any = None, **options: Any) -> None:
        self.endpoint = Endpoint(answer or (lambda asked: ACTIVE if asked.token == TOKEN else {"active": False}))
        self.clock, self.monotonic = Clock(NOW), Clock(0)
        self.verifier = verifier(self.endpoint, clock=self.clock, monotonic=self.monotonic, **options)

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.monotonic.advance(seconds)

    async def asks(self, token: str = TOKEN) -> bool:
        """Verify `token`, and tell whether the endpoint was asked."""
        asked = len(self.endpoint.asked)
        with suppress(InvalidToken):
            await self.verifier.verify_token(token)
        return len(self.endpoint.asked) > asked


async def together(count: int, work: Callable[[], Any]) -> list[Any]:
    """Run `work` `count` times at once, and return what each returned or raised."""
    outcomes: list[Any] = []

    async def one() -> None:
        try:
            outcomes.append(await work())
        except (InvalidToken, VerifierUnavailable) as error:
            outcomes.append(error)

    async with anyio.create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(one)
    return outcomes


async def opened(endpoint: Endpoint) -> None:
    """Let the gate of `endpoint` go up when everybody who can run has run."""
    await anyio.wait_all_tasks_blocked()
    assert endpoint.gate is not None
    endpoint.gate.set()
