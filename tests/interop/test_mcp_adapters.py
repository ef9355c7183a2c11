"""Strategies as verifiers of FastMCP and of the MCP SDK, and servers that `protect` makes applications of."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from interop.mcp_peers import (
    MAKES,
    Meeting,
    ask_who,
    begin,
    headers,
    http_client,
    listen,
    make_fastmcp,
    make_sdk,
    running,
    send,
)
from starlette.applications import Starlette
from starlette.routing import Mount

from asgi_bearer import AccessToken, JWTVerifier, VerifierUnavailable
from asgi_bearer.integrations.mcp import as_token_verifier, get_access_token, protect
from asgi_bearer.testing import Issuer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx2

pytestmark = pytest.mark.usefixtures("mcp_packages")

RESOURCE = "https://mcp.example/mcp"
ISSUER = Issuer("https://idp.example/", audience=RESOURCE)


def strategy(**options: Any) -> JWTVerifier:
    return JWTVerifier(jwks=ISSUER.jwks, issuer=ISSUER.url, audience=RESOURCE, **options)


class Unavailable:
    """Knows nothing, and says so."""

    audiences = (RESOURCE,)

    async def verify_token(self, token: str) -> AccessToken:
        raise VerifierUnavailable("the provider is down")


class TellsTheCaller:
    """What a tool says of its caller, by the framework's own function."""

    def __init__(self, get_theirs: Callable[[], Any]) -> None:
        self._get_theirs = get_theirs

    async def __call__(self) -> str:
        token = self._get_theirs()
        return json.dumps([token.subject, token.client_id, token.scopes, token.resource, token.claims["iss"]])


def fastmcp_with(verifier: Any) -> Any:
    """Return the application of a FastMCP server with our strategy as its auth."""
    from fastmcp import FastMCP  # noqa: PLC0415  # there in this folder's environment alone
    from fastmcp.server.dependencies import get_access_token as get_theirs  # noqa: PLC0415

    server = FastMCP("adapted", auth=as_token_verifier(verifier))
    server.tool(TellsTheCaller(get_theirs).__call__, name="who")
    return server.http_app()


def sdk_with(verifier: Any) -> Any:
    """Return the application of an SDK server with our strategy as its token verifier."""
    from mcp.server.auth.middleware.auth_context import get_access_token as get_theirs  # noqa: PLC0415
    from mcp.server.auth.settings import AuthSettings  # noqa: PLC0415
    from mcp.server.mcpserver import MCPServer  # noqa: PLC0415

    auth: Any = AuthSettings.model_validate(
        {"issuer_url": ISSUER.url, "resource_server_url": RESOURCE, "validate_token_resource": True}
    )
    server: Any = MCPServer("adapted", auth=auth, token_verifier=as_token_verifier(verifier, resource=RESOURCE))
    server.tool(name="who")(TellsTheCaller(get_theirs).__call__)
    return server.streamable_http_app()


ADAPTED = [pytest.param(fastmcp_with, id="FastMCP"), pytest.param(sdk_with, id="MCP SDK")]


@contextmanager
def client_of(app: Any) -> Iterator[httpx2.Client]:
    listener, origin = listen()
    with running(app, listener), http_client(origin) as client:
        yield client


@pytest.mark.parametrize("adapted", ADAPTED)
def test_a_tool_sees_the_caller_that_our_strategy_verified(adapted: Any) -> None:
    token = ISSUER.token(sub="alice", scopes=["read"], claims={"nested": {"roles": ["a"]}})

    with client_of(adapted(strategy())) as client:
        seen = ask_who(client, token, begin(client, token))

    assert seen == ["alice", "dev-client", ["read"], RESOURCE, ISSUER.url]


@pytest.mark.parametrize("adapted", ADAPTED)
@pytest.mark.parametrize(
    "token",
    [
        pytest.param(ISSUER.token(expired=True), id="expired"),
        pytest.param(ISSUER.token(audience="https://other.example"), id="another audience"),
        pytest.param(ISSUER.token(claims={"cnf": {"jkt": "x"}}), id="bound to a key"),
    ],
)
def test_a_token_that_our_strategy_refuses_is_a_401(adapted: Any, token: str) -> None:
    with client_of(adapted(strategy())) as client:
        assert send(client, token, "tools/list").status_code == 401


@pytest.mark.parametrize("adapted", ADAPTED)
def test_a_strategy_that_cannot_know_is_never_a_401(adapted: Any) -> None:
    with client_of(adapted(Unavailable())) as client:
        answer = send(client, "a-token", "tools/list")

    assert answer.status_code == 500
    assert "www-authenticate" not in answer.headers


def test_fastmcp_learns_the_scopes_of_the_strategy() -> None:
    assert as_token_verifier(strategy(required_scopes=["read"])).required_scopes == ["read"]


async def test_the_sdk_alone_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    # What the import machinery takes for a package that is not there
    monkeypatch.setitem(sys.modules, "fastmcp.server.auth", None)
    from mcp.server.auth.provider import AccessToken as SDKToken  # noqa: PLC0415

    found = await as_token_verifier(strategy()).verify_token(ISSUER.token(sub="alice"))

    assert type(found) is SDKToken
    assert (found.subject, found.resource) == ("alice", RESOURCE)


@pytest.mark.parametrize("make", MAKES)
@pytest.mark.parametrize("host", ["mcp.example", "mcp.example:443"])
def test_a_server_takes_requests_for_the_host_of_its_canonical_url(make: Any, host: str) -> None:
    app = protect(make(Meeting()), strategy(), resource="HTTPS://MCP.Example/mcp")
    token = ISSUER.token(sub="alice")

    with client_of(app) as client:
        client.headers["host"] = host
        begin(client, token)
        refusal = send(client, None, "tools/list")

    assert 'resource_metadata="https://mcp.example/.well-known/' in refusal.headers["www-authenticate"]


@pytest.mark.parametrize("make", MAKES)
def test_a_server_that_guards_itself_is_not_guarded_twice(make: Any) -> None:
    from mcp.server.auth.settings import AuthSettings  # noqa: PLC0415

    server = make(Meeting())
    if make is make_fastmcp:
        server.auth = as_token_verifier(strategy())
    else:
        server.settings.auth = AuthSettings.model_validate({"issuer_url": ISSUER.url, "resource_server_url": None})

    with pytest.raises(ValueError, match="auth of its own"):
        protect(server, strategy(), resource=RESOURCE)


def test_an_application_of_a_server_that_guards_itself_is_not_guarded_twice() -> None:
    with pytest.raises(ValueError, match="auth of its own"):
        protect(fastmcp_with(strategy()), strategy(), resource=RESOURCE)


@pytest.mark.parametrize("make", MAKES)
@pytest.mark.parametrize("stateless", [True, False], ids=["stateless", "stateful"])
def test_an_application_with_options_of_ones_own_is_protected_as_it_is(make: Any, *, stateless: bool) -> None:
    server = make(Meeting())
    build = server.http_app if make is make_fastmcp else server.streamable_http_app
    token = ISSUER.token(sub="alice", claims={"jti": "a"})

    with client_of(protect(build(stateless_http=stateless), strategy(), resource=RESOURCE)) as client:
        session = None if stateless else begin(client, token)
        seen = ask_who(client, token, session)
        refused = send(client, None, "tools/list")

    assert seen == [["alice", "a"]] * 3
    assert refused.status_code == 401


def test_a_mounted_server_lives_by_the_lifespan_of_the_application_around_it() -> None:
    inner = make_fastmcp(Meeting()).http_app()
    outer = Starlette(
        routes=[Mount("/", protect(inner, strategy(), resource="http://localhost/mcp"))], lifespan=inner.lifespan
    )
    token = ISSUER.token(sub="alice", claims={"jti": "a"})

    with client_of(outer) as client:
        seen = ask_who(client, token, begin(client, token))
        documents = [client.get(f"/.well-known/oauth-protected-resource{suffix}") for suffix in ("", "/mcp")]

    assert seen[0] == ["alice", "a"]
    assert [document.json()["resource"] for document in documents] == ["http://localhost/mcp"] * 2


@pytest.mark.parametrize("make", MAKES)
def test_a_session_of_the_older_transport_stays_its_callers_too(make: Any) -> None:
    server = make(Meeting())
    app = server.http_app(transport="sse") if make is make_fastmcp else server.sse_app()
    alice, mallory = ISSUER.token(sub="alice"), ISSUER.token(sub="mallory")
    message = {"jsonrpc": "2.0", "method": "notifications/initialized"}

    with (
        client_of(protect(app, strategy(), resource=RESOURCE)) as client,
        client.stream("GET", "/sse", headers=headers(alice)) as stream,
    ):
        # Kept, since the stream, and the session with it, would end with what reads it.
        lines = stream.iter_lines()
        place = next(line for line in lines if line.startswith("data:")).removeprefix("data:").strip()
        stolen, own, nobodys = (
            client.post(place, json=message, headers=headers(token)) for token in (mallory, alice, None)
        )

    assert "session_id=" in place
    assert (stolen.status_code, own.status_code, nobodys.status_code) == (404, 202, 401)


def test_verifiers_of_fastmcp_are_strategies_that_say_what_audience_they_compare() -> None:
    from fastmcp.server.auth.providers.jwt import JWTVerifier as FastMCPVerifier  # noqa: PLC0415
    from fastmcp.server.auth.providers.jwt import RSAKeyPair  # noqa: PLC0415

    pair = RSAKeyPair.generate()
    with_audience: Any = FastMCPVerifier(public_key=pair.public_key, issuer=ISSUER.url, audience=RESOURCE)
    without: Any = FastMCPVerifier(public_key=pair.public_key, issuer=ISSUER.url)
    token = pair.create_token(subject="alice", issuer=ISSUER.url, audience=RESOURCE, additional_claims={"jti": "a"})

    app = protect(make_sdk(Meeting()), with_audience, resource=RESOURCE, authorization_servers=ISSUER.url)
    with client_of(app) as client:
        client.headers["host"] = "mcp.example"
        assert ask_who(client, token, begin(client, token)) == [["alice", "a"]] * 3
    with pytest.raises(ValueError, match="compares no audience"):
        protect(make_sdk(Meeting()), without, resource=RESOURCE, authorization_servers=ISSUER.url)


def test_nobody_calls_where_no_request_is_handled() -> None:
    assert get_access_token() is None
