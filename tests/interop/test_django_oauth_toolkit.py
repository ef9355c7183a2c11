"""PyPI's `django-oauth-toolkit` explains tokens to us: little, in plain JSON, and with 403 for who may not ask.

Each habit is looked at where it matters, so that a release that gives it up is noticed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from fakes import Clock
from interop.calling import ask, assert_refused, assert_unavailable, door, get
from interop.django_server import SECRETS

from asgi_bearer import (
    BearerToken,
    ClientCredentials,
    ClientSecretBasic,
    ClientSecretPost,
    IntrospectionTokenVerifier,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from interop.django_server import DjangoServer

pytestmark = pytest.mark.anyio

API = "https://api.example"
SOURCES = [
    pytest.param(lambda server: {"issuer": server.issuer}, id="discovery"),
    pytest.param(
        lambda server: {"issuer": None, "introspection_endpoint": server.introspection_endpoint}, id="endpoint"
    ),
]
OURS = [
    pytest.param(lambda server: ClientSecretBasic("rs", SECRETS["rs"]), id="client_secret_basic"),
    pytest.param(lambda server: ClientSecretPost("rs", SECRETS["rs"]), id="client_secret_post"),
    pytest.param(lambda server: BearerToken(our_token(server, "introspection")), id="a-token-of-ours"),
    pytest.param(
        lambda server: ClientCredentials("rs", SECRETS["rs"], issuer=server.issuer, scopes=["introspection"]),
        id="a-token-that-is-fetched",
    ),
]
NOT_OURS = [
    pytest.param(lambda server: ClientSecretBasic("rs", "not-the-secret"), id="client_secret_basic"),
    pytest.param(lambda server: ClientSecretBasic("rs", SECRETS["rs"], encoding="raw"), id="not-encoded"),
    pytest.param(lambda server: ClientSecretPost("rs", "not-the-secret"), id="client_secret_post"),
    pytest.param(lambda server: BearerToken(garbage), id="no-token"),
    pytest.param(lambda server: BearerToken(our_token(server, "read")), id="a-token-without-the-scope"),
    pytest.param(
        lambda server: ClientCredentials("rs", "not-the-secret", token_endpoint=server.token_endpoint),
        id="no-token-to-be-fetched",
    ),
]


@pytest.mark.parametrize("source", SOURCES)
async def test_a_token_reaches_the_handler_with_the_little_that_its_server_says(
    django_server: DjangoServer, source: Callable[[DjangoServer], dict[str, Any]]
) -> None:
    token = django_server.token(scope="read write")
    said = django_server.introspect(token).json()
    assert said.keys() == {"active", "scope", "exp", "client_id"}

    answer = await ask(verifier(django_server, **source(django_server)), token)

    assert answer.status_code == 200
    assert answer.json() == {
        "client_id": "app",
        "subject": None,
        "scopes": ["read", "write"],
        "issuer": None,
        "audience": [],
        "expires": True,
    }


async def test_a_user_has_a_name_and_is_no_subject(django_server: DjangoServer) -> None:
    token = django_server.token_of_alice()
    said = django_server.introspect(token).json()
    assert said["username"] == "alice"
    assert "sub" not in said

    answer = await ask(verifier(django_server), token)

    assert answer.status_code == 200
    assert [answer.json()["client_id"], answer.json()["subject"]] == ["portal", None]


async def test_a_token_for_a_resource_is_for_this_one_alone(django_server: DjangoServer) -> None:
    token = django_server.token(resource=API)

    ours = await ask(verifier(django_server), token)
    another = await ask(verifier(django_server, server_url="https://another.example"), token)

    assert ours.json()["audience"] == [API]
    assert_refused(another, reason="audience")


async def test_a_token_for_no_resource_is_refused_where_an_audience_is_demanded(django_server: DjangoServer) -> None:
    answer = await ask(verifier(django_server, audience=API), django_server.token())

    assert_refused(answer, reason="missing_claim")


@pytest.mark.parametrize("client_auth", OURS)
async def test_this_server_knows_us_by(django_server: DjangoServer, client_auth: Callable[[DjangoServer], Any]) -> None:
    answer = await ask(verifier(django_server, client_auth=client_auth(django_server)), django_server.token())

    assert answer.status_code == 200


@pytest.mark.parametrize("client_auth", NOT_OURS)
async def test_our_own_wrong_credentials_are_not_blamed_on_the_caller(
    django_server: DjangoServer, client_auth: Callable[[DjangoServer], Any]
) -> None:
    answer = await ask(verifier(django_server, client_auth=client_auth(django_server)), django_server.token())

    assert_unavailable(answer)


async def test_a_token_of_ours_that_has_ended_is_replaced(django_server: DjangoServer) -> None:
    client_auth = ClientCredentials("rs", SECRETS["rs"], issuer=django_server.issuer, scopes=["introspection"])

    async with door(verifier(django_server, client_auth=client_auth)) as client:
        before = await get(client, django_server.token())
        django_server.expire()  # which this server tells us by 403
        after = await get(client, django_server.token())

    assert [before.status_code, after.status_code] == [200, 200]


# --- tokens that are refused -----------------------------------------------------------------------------------------


async def test_a_token_that_the_server_never_issued_is_refused(django_server: DjangoServer) -> None:
    answer = await ask(verifier(django_server), "never-issued")

    assert_refused(answer, reason="inactive")


async def test_a_revoked_token_is_refused(django_server: DjangoServer) -> None:
    token = django_server.token()

    async with door(verifier(django_server, cache_ttl=0)) as client:
        before = await get(client, token)
        django_server.revoke(token)
        after = await get(client, token)

    assert before.status_code == 200
    assert_refused(after, reason="inactive")


async def test_a_token_that_has_ended_at_the_server_is_refused(django_server: DjangoServer) -> None:
    token = django_server.token()
    django_server.expire()

    answer = await ask(verifier(django_server), token)

    assert_refused(answer, reason="inactive")


async def test_the_end_that_the_server_names_is_checked_here_too(django_server: DjangoServer) -> None:
    token = django_server.token()
    clock = Clock(django_server.introspect(token).json()["exp"] + 31)

    answer = await ask(verifier(django_server, leeway=30.0, clock=clock), token)

    assert_refused(answer, reason="expired")


async def test_a_token_without_the_scope_is_told_which_one_it_needs(django_server: DjangoServer) -> None:
    answer = await ask(verifier(django_server, required_scopes=["write"]), django_server.token(scope="read"))

    assert answer.status_code == 403
    assert 'scope="write"' in answer.headers["www-authenticate"]


# --- what is not the caller's fault ----------------------------------------------------------------------------------


async def test_an_answer_in_json_is_no_verdict_where_a_signed_one_was_asked_for(django_server: DjangoServer) -> None:
    token = django_server.token()
    said = django_server.introspect(token, accept="application/token-introspection+jwt")
    assert said.headers["content-type"] == "application/json"

    answer = await ask(verifier(django_server, response="jwt"), token)

    assert_unavailable(answer)


async def test_metadata_without_an_introspection_endpoint_are_no_verdict(
    django_server_without_metadata: DjangoServer,
) -> None:
    server = django_server_without_metadata
    url = f"{server.issuer}/.well-known/openid-configuration"
    assert "introspection_endpoint" not in httpx2.get(url, trust_env=False).raise_for_status().json()

    found = await ask(verifier(server), server.token())
    named = await ask(verifier(server, introspection_endpoint=server.introspection_endpoint), server.token())

    assert_unavailable(found)
    assert named.status_code == 200


async def test_a_trailing_slash_is_part_of_the_endpoint(django_server: DjangoServer) -> None:
    endpoint = django_server.introspection_endpoint.rstrip("/")

    answer = await ask(verifier(django_server, introspection_endpoint=endpoint), django_server.token())

    assert_unavailable(answer)


# --- our side --------------------------------------------------------------------------------------------------------


def verifier(server: DjangoServer, **options: Any) -> IntrospectionTokenVerifier:
    """Make a verifier that asks `server` as the client `rs`, and what `options` say otherwise."""
    client_auth = ClientSecretBasic("rs", SECRETS["rs"])
    defaults: dict[str, Any] = {"issuer": server.issuer, "server_url": API, "client_auth": client_auth}
    return IntrospectionTokenVerifier(**defaults | options)


def our_token(server: DjangoServer, scope: str) -> Any:
    """Return what fetches a token for ourselves."""

    async def source() -> str:
        return server.token(client_id="rs", scope=scope)

    return source


async def garbage() -> str:
    """Return a token that nobody issued."""
    return "never-issued"
