"""The real client of FastMCP before a server behind `protect`: from the first 401 to a tool, given the URL alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from interop.mcp_peers import MAKES, Peer, Seen, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.usefixtures("mcp_packages")

METADATA = "/.well-known/oauth-protected-resource/mcp"


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Run on asyncio alone: FastMCP's client does."""
    return "asyncio"


@pytest.fixture(scope="module", params=MAKES)
def peer(request: pytest.FixtureRequest) -> Iterator[Peer]:
    with serving(request.param) as peer:
        yield peer


def credentials_of(peer: Peer, *, scopes: list[str] | None = None) -> Any:
    from fastmcp.client.auth import ClientCredentialsOAuthProvider  # noqa: PLC0415

    client_id, secret = next(iter(peer.issuer.clients.items()))
    return ClientCredentialsOAuthProvider(
        client_id=client_id, client_secret=secret, issuer=peer.issuer.url, scopes=scopes
    )


def client_of(peer: Peer, mode: Any, auth: Any) -> Any:
    from fastmcp import Client  # noqa: PLC0415  # there in this folder's environment alone

    peer.meeting.announce(1)
    peer.journal.requests.clear()
    return Client(peer.url, auth=auth, mode=mode)


async def ask_who(client: Any) -> Any:
    answer = await client.call_tool("who", {})
    return json.loads(answer.content[0].text)


@pytest.mark.parametrize(
    ("mode", "revision"),
    [
        pytest.param("auto", "2026-07-28", id="without sessions"),
        pytest.param("legacy", "2025-11-25", id="with a session"),
    ],
)
async def test_the_client_finds_the_issuer_by_the_challenge_and_calls_a_tool(
    peer: Peer, mode: str, revision: str
) -> None:
    async with client_of(peer, mode, credentials_of(peer)) as client:
        ours, core, theirs = await ask_who(client)
        assert client.protocol_version == revision

    assert ours[0] == "dev-client"
    assert ours == core == theirs
    refused, discovery, retried, *others = peer.journal.requests
    assert refused == Seen("POST", "/mcp", has_token=False, status=401)
    # The challenge named it: nothing was tried out.
    assert discovery == Seen("GET", METADATA, has_token=False, status=200)
    assert retried == Seen("POST", "/mcp", has_token=True, status=200)
    assert others
    assert all(request.has_token for request in others)


async def test_the_client_asks_for_what_the_403_says_and_comes_in(peer: Peer) -> None:
    auth = credentials_of(peer, scopes=["other"])
    with pytest.raises(Exception, match="error response"):
        await client_of(peer, "legacy", auth).__aenter__()
    assert [request.status for request in peer.journal.requests] == [401, 200, 403]

    # With a token already, it steps up within one request.
    async with client_of(peer, "legacy", auth) as client:
        ours, *_ = await ask_who(client)

    assert ours[0] == "dev-client"
    assert [request.status for request in peer.journal.requests][:2] == [403, 200]


async def test_a_client_with_a_token_for_another_server_does_not_come_in(peer: Peer) -> None:
    elsewhere = peer.token("alice", audience="https://other.example/mcp")

    with pytest.raises(Exception, match="error response"):
        await client_of(peer, "legacy", elsewhere).__aenter__()

    assert {request.status for request in peer.journal.requests} == {401}
