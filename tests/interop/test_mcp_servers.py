"""Real servers of FastMCP and of the MCP SDK behind `protect`: callers, sessions, refusals, metadata."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from interop.mcp_peers import MAKES, Peer, ask_who, begin, end, headers, http_client, send, serving
from starlette.middleware.cors import CORSMiddleware

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx2

pytestmark = pytest.mark.usefixtures("mcp_packages")

ORIGIN = "http://localhost:6274"
"""That of the MCP inspector, a client in a browser."""


@pytest.fixture(scope="module", params=MAKES)
def peer(request: pytest.FixtureRequest) -> Iterator[Peer]:
    with serving(request.param) as peer:
        yield peer


@pytest.fixture
def client(peer: Peer) -> Iterator[httpx2.Client]:
    peer.meeting.announce(1)
    with http_client(peer.origin) as client:
        yield client


def challenge(answer: httpx2.Response) -> dict[str, str]:
    scheme, _, attributes = answer.headers["www-authenticate"].partition(" ")
    assert scheme == "Bearer"
    return dict(part.replace('"', "").split("=", 1) for part in attributes.split(", "))


def test_a_tool_reads_its_caller_by_our_function_the_cores_and_the_frameworks(peer: Peer, client: Any) -> None:
    token = peer.token("alice", "a")

    assert ask_who(client, token, begin(client, token)) == [["alice", "a"]] * 3


def test_two_callers_at_once_are_each_seen_as_themselves(peer: Peer, client: Any) -> None:
    callers = [("alice", "a"), ("bob", "b"), ("carol", "c")]
    tokens = [peer.token(*caller) for caller in callers]
    sessions = [begin(client, token) for token in tokens]
    peer.meeting.announce(len(callers))

    with ThreadPoolExecutor(len(callers)) as pool:
        answers = pool.map(lambda call: ask_who(client, *call), zip(tokens, sessions, strict=True))

    assert list(answers) == [[list(caller)] * 3 for caller in callers]


def test_a_session_goes_on_with_a_new_token_and_its_tools_see_the_new_one(peer: Peer, client: Any) -> None:
    first, second = peer.token("alice", "first"), peer.token("alice", "second")
    session = begin(client, first)

    seen = [ask_who(client, token, session) for token in (first, second, first)]

    assert seen == [[["alice", jti]] * 3 for jti in ("first", "second", "first")]


def test_two_tokens_of_one_session_at_once_are_each_seen(peer: Peer, client: Any) -> None:
    tokens = [peer.token("alice", "first"), peer.token("alice", "second")]
    session = begin(client, tokens[0])
    peer.meeting.announce(2)

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda token: ask_who(client, token, session), tokens))

    assert answers == [[["alice", "first"]] * 3, [["alice", "second"]] * 3]


@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
def test_a_session_of_another_caller_is_not_found(peer: Peer, client: Any, method: str) -> None:
    alice, mallory = peer.token("alice", "a"), peer.token("mallory", "m")
    session = begin(client, alice)

    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"} if method == "POST" else None
    answer = client.request(method, "/mcp", json=body, headers=headers(mallory, session))

    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == "Session not found"
    assert ask_who(client, alice, session)[0] == ["alice", "a"]


def test_the_same_subject_through_another_client_is_another_caller(peer: Peer, client: Any) -> None:
    session = begin(client, peer.token("alice"))

    answer = send(client, peer.token("alice", client_id="another-app"), "tools/list", session=session)

    assert answer.status_code == 404


def test_who_ends_a_session_ends_it_for_good(peer: Peer, client: Any) -> None:
    alice = peer.token("alice")
    session = begin(client, alice)

    assert end(client, alice, session).status_code == 200
    assert send(client, alice, "tools/list", session=session).status_code == 404


@pytest.mark.parametrize("bad", ["none", "expired", "another audience"])
def test_every_request_of_a_session_is_authorised(peer: Peer, client: Any, bad: str) -> None:
    session = begin(client, peer.token("alice"))
    token = {
        "none": None,
        "expired": peer.token("alice", expired=True),
        "another audience": peer.token("alice", audience="https://other.example/mcp"),
    }[bad]

    answer = send(client, token, "tools/list", session=session)

    assert answer.status_code == 401
    found = challenge(answer)
    assert found.get("error") == (None if token is None else "invalid_token")
    assert found["scope"] == "tools"
    assert found["resource_metadata"] == f"{peer.origin}/.well-known/oauth-protected-resource/mcp"


def test_a_missing_scope_is_a_403_that_says_what_to_ask_for_and_where(peer: Peer, client: Any) -> None:
    answer = send(client, peer.token("alice", scopes=("other",)), "tools/list")

    assert answer.status_code == 403
    found = challenge(answer)
    assert found["error"] == "insufficient_scope"
    assert found["scope"] == "tools"
    assert found["resource_metadata"] == f"{peer.origin}/.well-known/oauth-protected-resource/mcp"


@pytest.mark.parametrize("suffix", ["/mcp", ""], ids=["with the path", "at the root"])
def test_the_metadata_is_where_clients_look_for_it(peer: Peer, client: Any, suffix: str) -> None:
    answer = client.get(f"/.well-known/oauth-protected-resource{suffix}")

    assert answer.status_code == 200
    assert answer.json() == {
        "resource": peer.url,
        "authorization_servers": [peer.issuer.url],
        "scopes_supported": ["tools"],
        "bearer_methods_supported": ["header"],
    }


@pytest.mark.parametrize("suffix", ["/mcp", ""], ids=["with the path", "at the root"])
def test_a_browser_may_read_the_metadata(client: Any, suffix: str) -> None:
    asked = {
        "origin": ORIGIN,
        "access-control-request-method": "GET",
        "access-control-request-headers": "mcp-protocol-version",
    }

    preflight = client.options(f"/.well-known/oauth-protected-resource{suffix}", headers=asked)

    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert preflight.headers["access-control-allow-headers"] == "*"


@pytest.mark.parametrize("make", MAKES)
def test_a_client_in_a_browser_comes_in_through_a_cors_middleware(make: Any) -> None:
    def with_cors(app: Any) -> Any:
        return CORSMiddleware(
            app,
            allow_origins=[ORIGIN],
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "MCP-Protocol-Version", "Mcp-Session-Id"],
            expose_headers=["Mcp-Session-Id", "WWW-Authenticate"],
        )

    asked = {
        "origin": ORIGIN,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,mcp-protocol-version,mcp-session-id",
    }
    with serving(make, with_cors) as peer, http_client(peer.origin) as client:
        preflight = client.options("/mcp", headers=asked)
        refusal = client.post("/mcp", json={}, headers={**headers(None), "origin": ORIGIN})
        client.headers["origin"] = ORIGIN
        session = begin(client, peer.token("alice"))

    assert preflight.status_code == 200
    assert "mcp-protocol-version" in preflight.headers["access-control-allow-headers"].lower()
    assert (refusal.status_code, refusal.headers["access-control-allow-origin"]) == (401, ORIGIN)
    assert "WWW-Authenticate" in refusal.headers["access-control-expose-headers"]
    assert session
