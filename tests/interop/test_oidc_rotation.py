"""A foreign authorization server changes its keys, goes away and comes back, while requests run: nobody is refused."""

from __future__ import annotations

from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import httpx2
import pytest
from fakes import Clock, Echo, bearer

from asgi_bearer import BearerMiddleware, JWTVerifier, RemoteKeySet
from asgi_bearer.remote.discovery import Discovery

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from interop.oidc_provider import AuthorizationServer, StartServer

pytestmark = pytest.mark.anyio

API = "https://jwt.example/api"


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


class Caller:
    """Calls an application behind a door with all its tokens in turn, and counts the answers."""

    def __init__(self, server: AuthorizationServer, clock: Clock) -> None:
        self.keys = RemoteKeySet(Discovery(server.issuer, monotonic=clock), monotonic=clock)
        # Nothing is remembered of a token, so that each request needs the keys.
        verifier = JWTVerifier(keys=self.keys, issuer=server.issuer, audience=API, cache_size=0)
        transport = httpx2.ASGITransport(BearerMiddleware(Echo(), verifier))
        self._client = httpx2.AsyncClient(transport=transport, base_url="http://api.example", trust_env=False)
        self.tokens: list[str] = []
        self.answers: Counter[int] = Counter()

    async def get_token(self, server: AuthorizationServer) -> str:
        """Get another token, to be used from now on."""
        token = await anyio.to_thread.run_sync(server.token, API)
        self.tokens.append(token)
        return token

    async def call(self, token: str) -> int:
        status = (await self._client.get("/", headers=bearer(token))).status_code
        self.answers[status] += 1
        return status

    async def go_on(self) -> None:
        """Call without end."""
        while True:
            for token in tuple(self.tokens):
                await self.call(token)
            await anyio.sleep(0.001)

    @asynccontextmanager
    async def calling(self) -> AsyncIterator[None]:
        """Call for the length of a block."""
        async with self._client, anyio.create_task_group() as group:
            group.start_soon(self.go_on)
            yield
            group.cancel_scope.cancel()

    async def some_more(self, count: int = 20) -> None:
        """Wait until so many more answers have come."""
        wanted = self.answers.total() + count
        await until(lambda: self.answers.total() >= wanted)


async def until(happened: Callable[[], bool]) -> None:
    with anyio.fail_after(20):
        while not happened():  # noqa: ASYNC110  # what happens, happens in another process
            await anyio.sleep(0.001)


async def test_j7_while_the_provider_rotates_its_keys_no_good_token_is_refused(
    start_authorization_server: StartServer, clock: Clock
) -> None:
    with start_authorization_server() as server:
        caller = Caller(server, clock)
        first = newest = await caller.get_token(server)
        async with caller.calling():
            for rotation in range(1, 4):
                await caller.some_more()
                await anyio.to_thread.run_sync(server.command, "rotate")
                newest = await caller.get_token(server)
                await caller.some_more()
                assert caller.keys.status().generation == 1 + rotation
                clock.advance(10)  # the cooldown
            assert set(caller.answers) == {200}

            # With the old keys go their tokens, at the next fetch, and no others.
            caller.tokens = [newest]
            await anyio.to_thread.run_sync(server.command, "retire")
            clock.advance(3600)
            await until(lambda: caller.keys.status().generation == 5)
            await caller.some_more()
            assert set(caller.answers) == {200}
            assert await caller.call(first) == 401


async def test_while_the_provider_is_down_and_when_it_is_back_no_good_token_is_refused(
    start_authorization_server: StartServer, clock: Clock, tmp_path: Path
) -> None:
    keys = tmp_path / "keys.json"
    with start_authorization_server(keys=keys) as server:
        caller = Caller(server, clock)
        await caller.get_token(server)
        async with caller.calling():
            await caller.some_more()
            await anyio.to_thread.run_sync(server.stop)
            for minute in range(1, 61):
                clock.advance(60)
                await caller.some_more(1)
                if minute > 10:
                    await until(lambda: caller.keys.status().next_attempt_in > 0)
            status = caller.keys.status()
            assert status.age == 3600
            assert status.failures >= 30

            with start_authorization_server(port=urlsplit(server.issuer).port or 0, keys=keys) as again:
                await caller.get_token(again)
                clock.advance(60)
                await until(lambda: caller.keys.status().failures == 0)
                await caller.some_more()

    assert set(caller.answers) == {200}
    assert caller.keys.status().generation == 1
