"""Debian's `glewlwyd` explains tokens to us: JSON with its own habits, and answers of an older draft of RFC 9701.

Each habit is looked at where it matters, so that a release that gives it up is noticed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx2
import pytest
from fakes import Clock
from interop.calling import ask, assert_refused, assert_unavailable, door, get
from interop.glewlwyd import API, LIFETIME, SECRETS
from key_material import signing_key

from asgi_bearer import (
    BearerToken,
    ClientCredentials,
    ClientSecretBasic,
    ClientSecretJWT,
    ClientSecretPost,
    IntrospectionTokenVerifier,
    PrivateKeyJWT,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from interop.glewlwyd import Glewlwyd, StartGlewlwyd

pytestmark = pytest.mark.anyio

KEY = signing_key("ES256").private_pem
AN_ANSWER_AS_JWT = "application/token-introspection+jwt"
OURS = [
    pytest.param(lambda server: ClientSecretBasic("rs", SECRETS["rs"]), id="client_secret_basic"),
    pytest.param(lambda server: ClientSecretPost("rs", SECRETS["rs"]), id="client_secret_post"),
    pytest.param(lambda server: BearerToken(our_token(server, "introspect")), id="a-token-of-ours"),
    pytest.param(
        lambda server: ClientCredentials("rs", SECRETS["rs"], issuer=server.issuer(), scopes=["introspect"]),
        id="a-token-that-is-fetched",
    ),
    # This server takes what stands in the header for the secret, whatever RFC 6749 section 2.3.1 says.
    pytest.param(
        lambda server: ClientSecretBasic("rs-awkward", SECRETS["rs-awkward"], encoding="raw"),
        id="client_secret_basic-not-encoded",
    ),
    pytest.param(
        lambda server: ClientSecretPost("rs-awkward", SECRETS["rs-awkward"]), id="client_secret_post-to-be-encoded"
    ),
    # An assertion is for the endpoint here, as the metadata write it, and not for the issuer.
    pytest.param(
        lambda server: ClientSecretJWT("rs-jwt", SECRETS["rs-jwt"], audience=server.introspection_endpoint),
        id="client_secret_jwt-for-the-endpoint",
    ),
    pytest.param(
        lambda server: PrivateKeyJWT("rs-key", KEY, algorithm="ES256", audience=server.introspection_endpoint),
        id="private_key_jwt-for-the-endpoint",
    ),
]
NOT_OURS = [
    pytest.param(lambda server: ClientSecretBasic("rs", "not-the-secret"), id="client_secret_basic"),
    pytest.param(lambda server: ClientSecretPost("rs", "not-the-secret"), id="client_secret_post"),
    pytest.param(
        lambda server: ClientSecretBasic("rs-awkward", SECRETS["rs-awkward"]), id="client_secret_basic-encoded"
    ),
    pytest.param(lambda server: ClientSecretJWT("rs-jwt", SECRETS["rs-jwt"]), id="client_secret_jwt-for-the-issuer"),
    pytest.param(lambda server: PrivateKeyJWT("rs-key", KEY, algorithm="ES256"), id="private_key_jwt-for-the-issuer"),
    pytest.param(lambda server: BearerToken(garbage), id="no-token"),
    pytest.param(lambda server: BearerToken(our_token(server, "read", "app")), id="a-token-without-the-scope"),
    pytest.param(
        lambda server: ClientCredentials("rs", "not-the-secret", issuer=server.issuer()), id="no-token-to-be-fetched"
    ),
]


async def test_a_token_reaches_the_handler_with_all_that_its_server_says(glewlwyd: Glewlwyd) -> None:
    token = glewlwyd.token(scope="read write", resource=API)
    said = glewlwyd.introspect(token).json()
    assert said["token_type"] == "bearer"
    assert said.keys().isdisjoint({"sub", "iss"})

    answer = await ask(verifier(glewlwyd), token)

    assert answer.status_code == 200
    assert answer.json() == {
        "client_id": "app",
        "subject": None,
        "scopes": ["read", "write"],
        "issuer": None,
        "audience": [API],
        "expires": True,
    }


@pytest.mark.parametrize("client_auth", OURS)
async def test_this_server_knows_us_by(glewlwyd: Glewlwyd, client_auth: Callable[[Glewlwyd], Any]) -> None:
    answer = await ask(verifier(glewlwyd, client_auth=client_auth(glewlwyd)), glewlwyd.token(resource=API))

    assert answer.status_code == 200


@pytest.mark.parametrize("client_auth", NOT_OURS)
async def test_our_own_wrong_credentials_are_not_blamed_on_the_caller(
    glewlwyd: Glewlwyd, client_auth: Callable[[Glewlwyd], Any]
) -> None:
    answer = await ask(verifier(glewlwyd, client_auth=client_auth(glewlwyd)), glewlwyd.token(resource=API))

    assert_unavailable(answer)


async def test_a_token_of_ours_that_has_ended_is_replaced(glewlwyd: Glewlwyd) -> None:
    client_auth = ClientCredentials("rs", SECRETS["rs"], issuer=glewlwyd.issuer(), scopes=["introspect"])

    async with door(verifier(glewlwyd, client_auth=client_auth)) as client:
        before = await get(client, glewlwyd.token(resource=API))
        glewlwyd.expire()
        after = await get(client, glewlwyd.token(resource=API))

    assert [before.status_code, after.status_code] == [200, 200]


# --- tokens that are refused -----------------------------------------------------------------------------------------


async def test_a_token_without_a_resource_is_for_its_scopes_and_not_for_us(glewlwyd: Glewlwyd) -> None:
    token = glewlwyd.token(scope="read write")
    assert glewlwyd.introspect(token).json()["aud"] == "read write"

    answer = await ask(verifier(glewlwyd), token)

    assert_refused(answer, reason="audience")


async def test_a_token_that_the_server_never_issued_is_refused(glewlwyd: Glewlwyd) -> None:
    answer = await ask(verifier(glewlwyd), "never-issued")

    assert_refused(answer, reason="inactive")


async def test_a_revoked_token_is_refused(glewlwyd: Glewlwyd) -> None:
    token = glewlwyd.token(resource=API)

    async with door(verifier(glewlwyd, cache_ttl=0)) as client:
        before = await get(client, token)
        glewlwyd.revoke(token)
        after = await get(client, token)

    assert before.status_code == 200
    assert_refused(after, reason="inactive")


async def test_a_token_that_has_ended_at_the_server_is_refused(glewlwyd: Glewlwyd) -> None:
    token = glewlwyd.token(resource=API)
    glewlwyd.expire()

    answer = await ask(verifier(glewlwyd), token)

    assert_refused(answer, reason="inactive")


async def test_the_end_that_the_server_names_is_checked_here_too(glewlwyd: Glewlwyd) -> None:
    token = glewlwyd.token(resource=API)
    clock = Clock(glewlwyd.introspect(token).json()["iat"] + LIFETIME + 31)

    answer = await ask(verifier(glewlwyd, leeway=30.0, clock=clock), token)

    assert_refused(answer, reason="expired")


async def test_a_token_without_the_scope_is_told_which_one_it_needs(glewlwyd: Glewlwyd) -> None:
    answer = await ask(verifier(glewlwyd, required_scopes=["write"]), glewlwyd.token(scope="read", resource=API))

    assert answer.status_code == 403
    assert 'scope="write"' in answer.headers["www-authenticate"]


async def test_where_tokens_are_explained_to_their_owner_alone_all_of_others_are_inactive(glewlwyd: Glewlwyd) -> None:
    token = glewlwyd.token("owners", resource=API)

    owner = await ask(verifier(glewlwyd, "owners", client_auth=ClientSecretBasic("app", SECRETS["app"])), token)
    another = await ask(verifier(glewlwyd, "owners"), token)

    assert owner.status_code == 200
    assert_refused(another, reason="inactive")


# --- metadata --------------------------------------------------------------------------------------------------------


async def test_endpoints_with_a_double_slash_are_taken_as_they_stand(glewlwyd: Glewlwyd) -> None:
    endpoint = glewlwyd.introspection_endpoint
    assert metadata(glewlwyd, "open")["introspection_endpoint"] == endpoint

    answer = await ask(verifier(glewlwyd, issuer=None, introspection_endpoint=endpoint), glewlwyd.token(resource=API))

    assert answer.status_code == 200


async def test_metadata_without_an_introspection_endpoint_are_no_verdict(glewlwyd: Glewlwyd) -> None:
    assert "introspection_endpoint" not in metadata(glewlwyd, "silent")

    answer = await ask(verifier(glewlwyd, "silent"), glewlwyd.token("silent", resource=API))

    assert_unavailable(answer)


# --- an older draft of RFC 9701 --------------------------------------------------------------------------------------


async def test_a_signed_answer_for_another_than_us_is_no_verdict(glewlwyd: Glewlwyd) -> None:
    # In the draft, its `aud` is that of the token; in RFC 9701 section 5 it is the client that asked.
    answer = await ask(verifier(glewlwyd, response="jwt"), glewlwyd.token(resource=API))

    assert_unavailable(answer)


async def test_a_signed_answer_is_taken_where_our_client_is_named_as_we_are(glewlwyd: Glewlwyd) -> None:
    client_auth = ClientSecretPost(API, SECRETS[API])

    answer = await ask(
        verifier(glewlwyd, response="jwt", client_auth=client_auth), glewlwyd.token(scope="read write", resource=API)
    )

    assert answer.status_code == 200
    assert answer.json() == {
        "client_id": "app",
        "subject": None,
        "scopes": ["read", "write"],
        "issuer": glewlwyd.issuer(),  # said twice here, and not at all in JSON
        "audience": [API],
        "expires": True,
    }


async def test_a_server_that_signs_no_refusals_has_given_no_verdict(glewlwyd: Glewlwyd) -> None:
    with pytest.raises(httpx2.HTTPStatusError, match="400"):
        glewlwyd.introspect("never-issued", accept=AN_ANSWER_AS_JWT)

    answer = await ask(
        verifier(glewlwyd, response="jwt", client_auth=ClientSecretPost(API, SECRETS[API])), "never-issued"
    )

    assert_unavailable(answer)


# --- a server that comes and goes ------------------------------------------------------------------------------------


async def test_a_server_that_was_away_explains_the_same_tokens_again(
    start_glewlwyd: StartGlewlwyd, tmp_path: Path
) -> None:
    with start_glewlwyd(tmp_path) as server:
        token = server.token(resource=API)
        async with door(verifier(server, cache_ttl=0)) as client:
            before = await get(client, token)
            server.stop()
            meanwhile = await get(client, token)
            with start_glewlwyd(tmp_path, port=urlsplit(server.url).port or 0):
                after = await get(client, token)

    assert [before.status_code, after.status_code] == [200, 200]
    assert_unavailable(meanwhile)


# --- our side --------------------------------------------------------------------------------------------------------


def verifier(server: Glewlwyd, name: str = "open", /, **options: Any) -> IntrospectionTokenVerifier:
    """Make a verifier that asks an issuer of `server` as the client `rs`, and what `options` say otherwise."""
    defaults: dict[str, Any] = {
        "issuer": server.issuer(name),
        "server_url": API,
        "client_auth": ClientSecretBasic("rs", SECRETS["rs"]),
    }
    return IntrospectionTokenVerifier(**defaults | options)


def our_token(server: Glewlwyd, scope: str, client_id: str = "rs") -> Any:
    """Return what fetches a token for ourselves."""

    async def source() -> str:
        return server.token(client_id=client_id, scope=scope)

    return source


async def garbage() -> str:
    """Return a token that nobody issued."""
    return "never-issued"


def metadata(server: Glewlwyd, issuer: str) -> dict[str, Any]:
    """Return the metadata of an issuer."""
    url = f"{server.issuer(issuer)}/.well-known/openid-configuration"
    found: dict[str, Any] = httpx2.get(url, trust_env=False).raise_for_status().json()
    return found
