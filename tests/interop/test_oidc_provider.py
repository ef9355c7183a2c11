"""A foreign, certified authorization server and our resource server understand each other, and fail as they should.

RFC 6750, RFC 7662, RFC 7009, RFC 8414, RFC 8707 and RFC 9068, spoken with npm's `oidc-provider` over loopback. The
answers stated here are those of the door.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
import uvicorn
from fakes import Clock
from interop.calling import ask, assert_refused, assert_unavailable, door, get, say_who_calls

from asgi_bearer import BearerMiddleware, IntrospectionTokenVerifier, JWTVerifier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from interop.oidc_provider import AuthorizationServer, StartServer
    from starlette.types import ASGIApp

    from asgi_bearer import TokenVerifier

pytestmark = pytest.mark.anyio

JWT_API = "https://jwt.example/api"
OPAQUE_API = "https://opaque.example/api"
LIFETIME = 600
"""Seconds that the authorization server gives every access token."""

ALGORITHMS = [
    pytest.param("https://jwt.example/api", None, id="RS256-unnamed"),
    pytest.param("https://jwt.example/api", "RS256", id="RS256"),
    pytest.param("https://ps256.jwt.example/api", "PS256", id="PS256"),
    pytest.param("https://es256.jwt.example/api", None, id="ES256-unnamed"),
    pytest.param("https://es256.jwt.example/api", "ES256", id="ES256"),
    pytest.param("https://es384.jwt.example/api", None, id="ES384-unnamed"),
    pytest.param("https://eddsa.jwt.example/api", None, id="EdDSA-unnamed"),
    pytest.param("https://eddsa.jwt.example/api", "EdDSA", id="EdDSA"),
    pytest.param("https://ed25519.jwt.example/api", None, id="Ed25519-unnamed"),
    pytest.param("https://ed25519.jwt.example/api", "Ed25519", id="Ed25519"),
]
KEY_SOURCES = [
    pytest.param(lambda server: {}, id="discovery"),
    pytest.param(lambda server: {"jwks_uri": server.jwks_uri}, id="jwks_uri"),
]
CLIENT_AUTHENTICATIONS = [
    pytest.param("rs", "client_secret_basic", id="client_secret_basic"),
    pytest.param("rs-post", "client_secret_post", id="client_secret_post"),
]
INTROSPECTION_SOURCES = [
    pytest.param(lambda server: {"issuer": server.issuer}, id="discovery"),
    pytest.param(lambda server: {"introspection_endpoint": server.introspection_endpoint}, id="endpoint"),
]
VERIFIERS = [
    pytest.param(lambda server: (jwt_verifier(server), JWT_API), id="jwt"),
    pytest.param(lambda server: (introspection_verifier(server), OPAQUE_API), id="introspection"),
]


# --- tokens that say everything themselves ---------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["lax", "rfc9068"])
@pytest.mark.parametrize("key_source", KEY_SOURCES)
async def test_a_jwt_access_token_reaches_the_handler_with_all_that_it_says(
    authorization_server: AuthorizationServer, key_source: Callable[[AuthorizationServer], dict[str, Any]], profile: str
) -> None:
    verifier = jwt_verifier(authorization_server, profile=profile, **key_source(authorization_server))

    answer = await ask(verifier, authorization_server.token(JWT_API, scope="read write"))

    assert answer.status_code == 200
    assert answer.json() == {
        "client_id": "app",
        "subject": "app",
        "scopes": ["read", "write"],
        "issuer": authorization_server.issuer,
        "audience": [JWT_API],
        "expires": True,
    }


@pytest.mark.parametrize(("resource", "algorithm"), ALGORITHMS)
async def test_a_jwt_access_token_is_verified_with_the_algorithm_of_its_resource(
    authorization_server: AuthorizationServer, resource: str, algorithm: str | None
) -> None:
    verifier = jwt_verifier(authorization_server, audience=resource, algorithm=algorithm)

    answer = await ask(verifier, authorization_server.token(resource))

    assert answer.status_code == 200
    assert answer.json()["audience"] == [resource]


@pytest.mark.parametrize(
    ("resource", "algorithm"),
    [
        pytest.param("https://ps256.jwt.example/api", None, id="PS256-where-an-RSA-key-means-RS256"),
        pytest.param("https://jwt.example/api", "PS256", id="RS256-where-PS256-was-chosen"),
        pytest.param("https://es256.jwt.example/api", "RS256", id="ES256-where-RS256-was-named"),
        pytest.param("https://eddsa.jwt.example/api", "ES256", id="EdDSA-where-ES256-was-named"),
    ],
)
async def test_a_good_signature_of_an_algorithm_that_was_not_chosen_is_refused(
    authorization_server: AuthorizationServer, resource: str, algorithm: str | None
) -> None:
    verifier = jwt_verifier(authorization_server, audience=resource, algorithm=algorithm)

    answer = await ask(verifier, authorization_server.token(resource))

    assert_refused(answer)


async def test_a_jwt_for_another_audience_is_refused(authorization_server: AuthorizationServer) -> None:
    verifier = jwt_verifier(authorization_server, audience="https://another.example/api")

    answer = await ask(verifier, authorization_server.token(JWT_API))

    assert_refused(answer, reason="audience")


async def test_a_jwt_of_another_issuer_is_refused(authorization_server: AuthorizationServer) -> None:
    jwks_uri = authorization_server.jwks_uri
    verifier = JWTVerifier(issuer="https://another.example", audience=JWT_API, jwks_uri=jwks_uri)

    answer = await ask(verifier, authorization_server.token(JWT_API))

    assert_refused(answer, reason="issuer")


async def test_a_jwt_ends_when_its_lifetime_and_the_leeway_are_over(authorization_server: AuthorizationServer) -> None:
    token = authorization_server.token(JWT_API)
    verifier = jwt_verifier(authorization_server, leeway=30.0, clock=lambda: time.time() + LIFETIME + 31)

    answer = await ask(verifier, token)

    assert_refused(answer, reason="expired")


async def test_a_jwt_with_a_changed_signature_is_refused(authorization_server: AuthorizationServer) -> None:
    signing_input, _, signature = authorization_server.token(JWT_API).rpartition(".")
    changed = ("B" if signature.startswith("A") else "A") + signature[1:]

    answer = await ask(jwt_verifier(authorization_server), f"{signing_input}.{changed}")

    assert_refused(answer, reason="signature")


async def test_a_jwt_signed_by_another_server_is_refused(
    authorization_server: AuthorizationServer, start_authorization_server: StartServer
) -> None:
    with start_authorization_server() as another:
        token = another.token(JWT_API)

    answer = await ask(jwt_verifier(authorization_server), token)

    assert_refused(answer)


async def test_an_opaque_token_is_no_jwt(authorization_server: AuthorizationServer) -> None:
    answer = await ask(jwt_verifier(authorization_server), authorization_server.token(OPAQUE_API))

    assert_refused(answer, reason="malformed")


# --- tokens that only their server can explain -----------------------------------------------------------------------


@pytest.mark.parametrize("source", INTROSPECTION_SOURCES)
@pytest.mark.parametrize(("client_id", "client_auth"), CLIENT_AUTHENTICATIONS)
async def test_an_opaque_access_token_reaches_the_handler_with_all_that_its_server_says(
    authorization_server: AuthorizationServer,
    source: Callable[[AuthorizationServer], dict[str, Any]],
    client_id: str,
    client_auth: Any,
) -> None:
    verifier = IntrospectionTokenVerifier(
        **source(authorization_server),
        client_id=client_id,
        client_secret=authorization_server.secrets[client_id],
        client_auth=client_auth,
        server_url=OPAQUE_API,
    )

    answer = await ask(verifier, authorization_server.token(OPAQUE_API, scope="read write"))

    assert answer.status_code == 200
    assert answer.json() == {
        "client_id": "app",
        "subject": None,  # this server names no subject where the client acts for itself
        "scopes": ["read", "write"],
        "issuer": authorization_server.issuer,
        "audience": [OPAQUE_API],
        "expires": True,
    }


@pytest.mark.parametrize("option", ["server_url", "audience"])
async def test_an_opaque_token_for_another_audience_is_refused(
    authorization_server: AuthorizationServer, option: str
) -> None:
    verifier = introspection_verifier(authorization_server, **{option: "https://another.example/api"})

    answer = await ask(verifier, authorization_server.token(OPAQUE_API))

    assert_refused(answer, reason="audience")


async def test_a_named_audience_stands_in_for_our_own_url(authorization_server: AuthorizationServer) -> None:
    verifier = introspection_verifier(
        authorization_server, server_url="https://our.example/api", audience=["https://other.example/api", OPAQUE_API]
    )

    answer = await ask(verifier, authorization_server.token(OPAQUE_API))

    assert answer.status_code == 200


@pytest.mark.parametrize("token", ["never-issued", "A" * 43], ids=["of-another-shape", "of-its-shape"])
async def test_a_token_that_the_server_never_issued_is_refused(
    authorization_server: AuthorizationServer, token: str
) -> None:
    answer = await ask(introspection_verifier(authorization_server), token)

    assert_refused(answer, reason="inactive")


async def test_a_token_that_the_server_will_not_explain_to_us_is_refused(
    authorization_server: AuthorizationServer,
) -> None:
    verifier = introspection_verifier(
        authorization_server, client_id="stranger", client_secret=authorization_server.secrets["stranger"]
    )

    answer = await ask(verifier, authorization_server.token(OPAQUE_API))

    assert_refused(answer, reason="inactive")


async def test_the_end_that_the_server_names_is_checked_here_too(authorization_server: AuthorizationServer) -> None:
    token = authorization_server.token(OPAQUE_API)
    verifier = introspection_verifier(authorization_server, leeway=30.0, clock=lambda: time.time() + LIFETIME + 31)

    answer = await ask(verifier, token)

    assert_refused(answer, reason="expired")


async def test_a_revoked_token_is_refused_at_once_where_nothing_is_cached(
    authorization_server: AuthorizationServer,
) -> None:
    token = authorization_server.token(OPAQUE_API)

    async with door(introspection_verifier(authorization_server, cache_ttl=0)) as client:
        before = await get(client, token)
        authorization_server.revoke(token)
        after = await get(client, token)

    assert before.status_code == 200
    assert_refused(after, reason="inactive")


async def test_a_revoked_token_is_refused_when_the_cached_verdict_is_too_old(
    authorization_server: AuthorizationServer,
) -> None:
    token = authorization_server.token(OPAQUE_API)
    monotonic = Clock(1000.0)

    async with door(introspection_verifier(authorization_server, cache_ttl=30.0, monotonic=monotonic)) as client:
        before = await get(client, token)
        authorization_server.revoke(token)
        monotonic.advance(29.0)
        cached = await get(client, token)
        monotonic.advance(2.0)
        after = await get(client, token)

    assert [before.status_code, cached.status_code] == [200, 200]
    assert_refused(after, reason="inactive")


# --- scopes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make_verifier", VERIFIERS)
async def test_a_token_without_the_scope_is_told_which_one_it_needs(
    authorization_server: AuthorizationServer,
    make_verifier: Callable[[AuthorizationServer], tuple[TokenVerifier, str]],
) -> None:
    verifier, resource = make_verifier(authorization_server)

    answer = await ask(verifier, authorization_server.token(resource, scope="read"), required_scopes=["read", "write"])

    assert answer.status_code == 403
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
    assert 'scope="read write"' in answer.headers["www-authenticate"]


# --- what is not the caller's fault ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("client_id", "client_auth"), CLIENT_AUTHENTICATIONS)
async def test_our_own_wrong_secret_is_not_blamed_on_the_caller(
    authorization_server: AuthorizationServer, client_id: str, client_auth: Any
) -> None:
    verifier = introspection_verifier(
        authorization_server, client_id=client_id, client_secret="not-the-secret", client_auth=client_auth
    )

    answer = await ask(verifier, authorization_server.token(OPAQUE_API))

    assert_unavailable(answer)


async def test_an_error_of_the_introspection_endpoint_is_no_verdict(authorization_server: AuthorizationServer) -> None:
    # This server answers 400 unsupported_token_type to every JWT, be it its own.
    answer = await ask(introspection_verifier(authorization_server), authorization_server.token(JWT_API))

    assert_unavailable(answer)


@pytest.mark.parametrize("make_verifier", VERIFIERS)
async def test_a_server_that_cannot_be_reached_is_not_blamed_on_the_caller(
    start_authorization_server: StartServer,
    make_verifier: Callable[[AuthorizationServer], tuple[TokenVerifier, str]],
) -> None:
    with start_authorization_server() as server:
        verifier, resource = make_verifier(server)
        token = server.token(resource)
        server.stop()

        answer = await ask(verifier, token)

    assert_unavailable(answer)


async def test_a_jwt_never_seen_is_verified_after_its_server_is_gone(start_authorization_server: StartServer) -> None:
    with start_authorization_server() as server:
        first, second = server.token(JWT_API), server.token(JWT_API)
        async with door(jwt_verifier(server)) as client:
            before = await get(client, first)
            server.stop()
            after = await get(client, second)

    assert [before.status_code, after.status_code] == [200, 200]


async def test_an_opaque_token_cannot_be_verified_after_its_server_is_gone(
    start_authorization_server: StartServer,
) -> None:
    with start_authorization_server() as server:
        token = server.token(OPAQUE_API)
        async with door(introspection_verifier(server, cache_ttl=0)) as client:
            before = await get(client, token)
            server.stop()
            after = await get(client, token)

    assert before.status_code == 200
    assert_unavailable(after)


# --- over a real socket ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make_verifier", VERIFIERS)
def test_a_token_passes_through_a_real_server(
    authorization_server: AuthorizationServer,
    make_verifier: Callable[[AuthorizationServer], tuple[TokenVerifier, str]],
) -> None:
    verifier, resource = make_verifier(authorization_server)
    token = authorization_server.token(resource)

    with (
        serve(BearerMiddleware(say_who_calls, verifier)) as url,
        httpx2.Client(base_url=url, trust_env=False) as client,
    ):
        without = client.get("/")
        with_token = client.get("/", headers={"Authorization": f"Bearer {token}"})

    assert without.status_code == 401
    assert with_token.status_code == 200
    assert with_token.json()["audience"] == [resource]


# --- our side ---------------------------------------------------------------------------------------------------------


def jwt_verifier(server: AuthorizationServer, **options: Any) -> JWTVerifier:
    """Make a verifier that knows two facts of `server`'s tokens, and what `options` say otherwise."""
    return JWTVerifier(**{"issuer": server.issuer, "audience": JWT_API} | options)


def introspection_verifier(server: AuthorizationServer, **options: Any) -> IntrospectionTokenVerifier:
    """Make a verifier that asks `server` as the client `rs`, and what `options` say otherwise."""
    client = {"client_id": "rs", "client_secret": server.secrets["rs"]}
    return IntrospectionTokenVerifier(**{"issuer": server.issuer, "server_url": OPAQUE_API} | client | options)


@contextmanager
def serve(app: ASGIApp) -> Iterator[str]:
    """Run uvicorn in a thread on a free port of loopback, and give its URL."""
    # The socket listens before the server runs, so that nobody has to wait: an early connection stays in its backlog.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, http="h11", ws="none", lifespan="on", log_config=None))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
