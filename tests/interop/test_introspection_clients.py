"""A certified authorization server knows this one by every way to authenticate, and signs and encrypts what it says.

RFC 6749 section 2.3, RFC 7523, RFC 8705 and RFC 9701, spoken with npm's `oidc-provider` over loopback. What it does not
know, it refuses us, and no caller is blamed for that.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import anyio.to_thread
import httpx2
import pytest
from fakes import Clock
from interop.calling import ask, assert_refused, assert_unavailable, door, get
from interop.credentials import ASSERTION_ALGORITHMS, JWT_SECRET, RESPONSE_ALGORITHMS, RESPONSE_ENCRYPTIONS
from interop.foreign import AWKWARD_SECRET
from key_material import private_pem, private_rsa, signing_key

from asgi_bearer import (
    BearerToken,
    ClientSecretBasic,
    ClientSecretJWT,
    ClientSecretPost,
    IntrospectionTokenVerifier,
    NoClientAuth,
    PrivateKeyJWT,
    RemoteKeySet,
    SignedResponse,
    StaticKeySet,
    TLSClientAuth,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from interop.credentials import Credentials
    from interop.oidc_provider import AuthorizationServer, StartServer

    from asgi_bearer import ClientAuth
    from asgi_bearer.keys.jose import SigningAlgorithm

pytestmark = pytest.mark.anyio

API = "https://opaque.example/api"
THE_KEY = "the-key-of-the-client"


def private_key_jwt(known: SigningAlgorithm, **options: Any) -> Callable[[Credentials], ClientAuth]:
    """Return what makes the client that is known by that algorithm."""
    client_id = f"rs-{known}"
    return lambda own: PrivateKeyJWT(client_id, own.private_keys[client_id], **{"algorithm": known} | options)


def by_certificate(client_id: str, certificate: str | None) -> Callable[[Credentials], ClientAuth]:
    """Return what makes a client that shows `certificate`, or none."""
    return lambda own: TLSClientAuth(client_id, own.ssl_context(certificate))


async def no_token() -> str:
    """Return a token that nobody issued."""
    return "never-issued"


WAYS: dict[str, Callable[[Credentials], ClientAuth]] = {
    "client_secret_basic": lambda own: ClientSecretBasic("rs", AWKWARD_SECRET),
    "client_secret_post": lambda own: ClientSecretPost("rs-post", AWKWARD_SECRET),
    "client_secret_jwt": lambda own: ClientSecretJWT("rs-jwt", JWT_SECRET),
    **{f"private_key_jwt-{algorithm}": private_key_jwt(algorithm) for algorithm in ASSERTION_ALGORITHMS},
    "private_key_jwt-named": private_key_jwt("ES256", kid=THE_KEY),
    "tls_client_auth": by_certificate("rs-tls", "rs-tls"),
    "self_signed_tls_client_auth": by_certificate("rs-self-signed", "rs-self-signed"),
}
WRONG_WAYS: dict[str, Callable[[Credentials], ClientAuth]] = {
    "client_secret_basic-not-encoded": lambda own: ClientSecretBasic("rs", AWKWARD_SECRET, encoding="raw"),
    "client_secret_basic-of-nobody": lambda own: ClientSecretBasic("nobody", AWKWARD_SECRET),
    "client_secret_post-wrong": lambda own: ClientSecretPost("rs-post", "not-the-secret"),
    "client_secret_post-where-jwt-is-known": lambda own: ClientSecretPost("rs-jwt", JWT_SECRET),
    "client_secret_jwt-wrong": lambda own: ClientSecretJWT("rs-jwt", "not-the-secret-but-long-enough-for-it"),
    "client_secret_jwt-for-another": lambda own: ClientSecretJWT(
        "rs-jwt", JWT_SECRET, audience="https://other.example"
    ),
    "private_key_jwt-by-another-key": lambda own: PrivateKeyJWT("rs-RS256", private_pem(private_rsa())),
    "private_key_jwt-by-another-algorithm": private_key_jwt("RS256", algorithm="PS256"),
    "private_key_jwt-by-another-name": private_key_jwt("ES256", kid="another-key"),
    "private_key_jwt-for-another": private_key_jwt("ES256", audience="https://other.example"),
    "tls_client_auth-without-certificate": by_certificate("rs-tls", None),
    "tls_client_auth-by-another-name": by_certificate("rs-tls", "nobody"),
    "tls_client_auth-by-another-authority": by_certificate("rs-tls", "false-rs-tls"),
    "tls_client_auth-self-signed": by_certificate("rs-tls", "rs-self-signed"),
    "self_signed_tls_client_auth-without-certificate": by_certificate("rs-self-signed", None),
    "self_signed_tls_client_auth-by-another": by_certificate("rs-self-signed", "rs-tls"),
    "bearer-token": lambda own: BearerToken(no_token),
    "none": lambda own: NoClientAuth("rs"),
}


def table(ways: dict[str, Any]) -> pytest.MarkDecorator:
    """Return the parameters of a test that has a row for each way."""
    return pytest.mark.parametrize("client_auth", list(ways.values()), ids=list(ways))


# --- who we are ------------------------------------------------------------------------------------------------------


@table(WAYS)
async def test_this_server_knows_us_by(
    authorization_server: AuthorizationServer,
    credentials: Credentials,
    client_auth: Callable[[Credentials], ClientAuth],
) -> None:
    verifier = verifier_of(authorization_server, client_auth(credentials))

    answer = await ask(verifier, authorization_server.token(API, scope="read write"))

    assert answer.status_code == 200
    assert answer.json() == all_that_is_said(authorization_server)


@table(WRONG_WAYS)
@pytest.mark.filterwarnings("ignore:NoClientAuth asks")
async def test_who_it_does_not_take_us_for_is_no_fault_of_the_caller(
    authorization_server: AuthorizationServer,
    credentials: Credentials,
    client_auth: Callable[[Credentials], ClientAuth],
    caplog: pytest.LogCaptureFixture,
) -> None:
    verifier = verifier_of(authorization_server, client_auth(credentials))

    answer = await ask(verifier, authorization_server.token(API))

    assert_unavailable(answer)
    assert "the introspection endpoint refuses this server (40" in caplog.text


async def test_the_endpoint_for_certificates_can_be_named(
    authorization_server: AuthorizationServer, credentials: Credentials
) -> None:
    verifier = verifier_of(
        authorization_server,
        by_certificate("rs-tls", "rs-tls")(credentials),
        introspection_endpoint=authorization_server.mtls_introspection_endpoint,
    )

    answer = await ask(verifier, authorization_server.token(API))

    assert answer.status_code == 200


@pytest.mark.parametrize("way", ["client_secret_basic", "tls_client_auth"])
async def test_a_server_for_which_no_authority_that_we_trust_vouches_is_told_nothing(
    authorization_server: AuthorizationServer, credentials: Credentials, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    context = ssl.create_default_context()
    context.load_cert_chain(credentials.folder / "rs-tls.pem")
    client_auth = TLSClientAuth("rs-tls", context) if way == "tls_client_auth" else WAYS[way](credentials)
    endpoint = authorization_server.mtls_introspection_endpoint
    verifier = verifier_of(authorization_server, client_auth, introspection_endpoint=endpoint)

    answer = await ask(verifier, authorization_server.token(API))

    assert_unavailable(answer)
    assert "the request failed (ConnectError)" in caplog.text


class Replaying(httpx2.AsyncBaseTransport):
    """Sends the first question again in place of every later one, as somebody would who overheard it."""

    def __init__(self) -> None:
        self._network = httpx2.AsyncHTTPTransport(trust_env=False)
        self._first: bytes | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "POST":
            self._first = self._first or request.content
            headers = {"content-type": request.headers["content-type"]}
            request = httpx2.Request("POST", request.url, headers=headers, content=self._first)
        return await self._network.handle_async_request(request)

    async def aclose(self) -> None:
        await self._network.aclose()


@pytest.mark.parametrize("way", ["client_secret_jwt", "private_key_jwt-ES256"])
async def test_an_assertion_that_is_used_twice_is_refused_us(
    authorization_server: AuthorizationServer, credentials: Credentials, way: str
) -> None:
    async with Replaying() as transport:
        verifier = verifier_of(authorization_server, WAYS[way](credentials), transport=transport, cache_ttl=0)
        async with door(verifier) as client:
            first = await get(client, authorization_server.token(API))
            second = await get(client, authorization_server.token(API))

    assert first.status_code == 200
    assert_unavailable(second)


@pytest.mark.parametrize("way", ["client_secret_jwt", "private_key_jwt-ES256"])
async def test_every_question_has_an_assertion_of_its_own(
    authorization_server: AuthorizationServer, credentials: Credentials, way: str
) -> None:
    token = authorization_server.token(API)

    async with door(verifier_of(authorization_server, WAYS[way](credentials), cache_ttl=0)) as client:
        answers = [await get(client, token) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 200]


async def test_no_hint_of_the_kind_of_token_is_needed(authorization_server: AuthorizationServer) -> None:
    verifier = verifier_of(authorization_server, ClientSecretBasic("rs", AWKWARD_SECRET), token_type_hint=None)

    answer = await ask(verifier, authorization_server.token(API))

    assert answer.status_code == 200


# --- answers that are signed -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", RESPONSE_ALGORITHMS)
async def test_a_signed_answer_says_what_a_plain_one_does(
    authorization_server: AuthorizationServer, algorithm: str
) -> None:
    verifier = signed_verifier(authorization_server, algorithm)

    answer = await ask(verifier, authorization_server.token(API, scope="read write"))

    assert answer.status_code == 200
    assert answer.json() == all_that_is_said(authorization_server)


async def test_by_default_an_answer_is_signed_with_rs256(authorization_server: AuthorizationServer) -> None:
    client_auth = ClientSecretBasic("rs-signed-RS256", AWKWARD_SECRET)

    answer = await ask(verifier_of(authorization_server, client_auth, response="jwt"), authorization_server.token(API))

    assert answer.status_code == 200


async def test_the_keys_of_signed_answers_can_be_named(authorization_server: AuthorizationServer) -> None:
    keys = RemoteKeySet(authorization_server.jwks_uri)
    endpoint = authorization_server.introspection_endpoint
    verifier = signed_verifier(authorization_server, "ES256", {"keys": keys}, introspection_endpoint=endpoint)

    answer = await ask(verifier, authorization_server.token(API))

    assert answer.status_code == 200


async def test_a_signed_refusal_is_a_refusal(authorization_server: AuthorizationServer) -> None:
    answer = await ask(signed_verifier(authorization_server, "ES256"), "never-issued")

    assert_refused(answer, reason="inactive")


async def test_an_answer_by_an_algorithm_that_was_not_agreed_on_is_no_verdict(
    authorization_server: AuthorizationServer,
) -> None:
    verifier = signed_verifier(authorization_server, "ES256", {"algorithm": "RS256"})

    answer = await ask(verifier, authorization_server.token(API))

    assert_unavailable(answer)


async def test_an_answer_by_a_key_that_is_not_the_servers_is_no_verdict(
    authorization_server: AuthorizationServer,
) -> None:
    another = StaticKeySet({"keys": [signing_key("ES256").public_jwk("another")]})
    verifier = signed_verifier(authorization_server, "ES256", {"keys": another})

    answer = await ask(verifier, authorization_server.token(API))

    assert_unavailable(answer)


async def test_answers_go_on_being_understood_when_the_server_changes_its_keys(
    start_authorization_server: StartServer,
) -> None:
    monotonic = Clock(1000.0)
    with start_authorization_server() as server:
        keys = RemoteKeySet(server.jwks_uri, monotonic=monotonic)
        async with door(signed_verifier(server, "ES256", {"keys": keys}, cache_ttl=0)) as client:
            before = await get(client, server.token(API))
            await anyio.to_thread.run_sync(server.command, "rotate")
            monotonic.advance(10)  # the cooldown
            after = await get(client, server.token(API))

    assert [before.status_code, after.status_code] == [200, 200]


# --- answers that are encrypted --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("management", "encryption"), RESPONSE_ENCRYPTIONS)
async def test_an_encrypted_answer_says_what_a_plain_one_does(
    authorization_server: AuthorizationServer, credentials: Credentials, management: str, encryption: str
) -> None:
    verifier = encrypted_verifier(authorization_server, credentials, f"rs-{management}-{encryption}")

    answer = await ask(verifier, authorization_server.token(API, scope="read write"))

    assert answer.status_code == 200
    assert answer.json() == all_that_is_said(authorization_server)


async def test_an_encrypted_refusal_is_a_refusal(
    authorization_server: AuthorizationServer, credentials: Credentials
) -> None:
    answer = await ask(encrypted_verifier(authorization_server, credentials, "rs-ECDH-ES-A256GCM"), "never-issued")

    assert_refused(answer, reason="inactive")


@pytest.mark.parametrize(
    ("client_id", "options"),
    [
        pytest.param("rs-ECDH-ES-A256GCM", {"decryption_key": signing_key("ES256").private_pem}, id="for-another-key"),
        pytest.param(
            "rs-RSA-OAEP-256-A256GCM", {"decryption_key": private_pem(private_rsa(3072))}, id="RSA-for-another"
        ),
        pytest.param("rs-ECDH-ES-A256GCM", {"decryption_key": None}, id="to-who-cannot-read-it"),
        pytest.param("rs-signed-RS256", {"decryption_key": signing_key("ES256").private_pem}, id="not-encrypted"),
    ],
)
async def test_an_answer_that_cannot_be_read_as_agreed_is_no_verdict(
    authorization_server: AuthorizationServer, client_id: str, options: dict[str, Any]
) -> None:
    response = SignedResponse(**options)
    verifier = verifier_of(authorization_server, ClientSecretBasic(client_id, AWKWARD_SECRET), response=response)

    answer = await ask(verifier, authorization_server.token(API))

    assert_unavailable(answer)


async def test_who_is_answered_in_secret_alone_cannot_ask_for_json(authorization_server: AuthorizationServer) -> None:
    verifier = verifier_of(authorization_server, ClientSecretBasic("rs-ECDH-ES-A256GCM", AWKWARD_SECRET))

    answer = await ask(verifier, authorization_server.token(API))

    assert_unavailable(answer)


# --- what is remembered, and for how long ----------------------------------------------------------------------------


@pytest.fixture(params=["json", "jwt"])
def response(request: pytest.FixtureRequest) -> str:
    """Run a test with plain answers and with signed ones."""
    kind: str = request.param
    return kind


async def test_a_revocation_is_seen_at_once_where_nothing_is_remembered(
    authorization_server: AuthorizationServer, response: str
) -> None:
    token = authorization_server.token(API)

    async with door(remembering_verifier(authorization_server, response, cache_ttl=0)) as client:
        before = await get(client, token)
        authorization_server.revoke(token)
        after = await get(client, token)

    assert before.status_code == 200
    assert_refused(after, reason="inactive")


async def test_a_revocation_is_seen_when_the_answer_is_too_old(
    authorization_server: AuthorizationServer, response: str
) -> None:
    token = authorization_server.token(API)
    monotonic = Clock(1000.0)
    verifier = remembering_verifier(authorization_server, response, cache_ttl=30.0, monotonic=monotonic)

    async with door(verifier) as client:
        before = await get(client, token)
        authorization_server.revoke(token)
        monotonic.advance(29)
        remembered = await get(client, token)
        monotonic.advance(1)
        after = await get(client, token)

    assert [before.status_code, remembered.status_code] == [200, 200]
    assert_refused(after, reason="inactive")


async def test_a_revocation_that_we_are_told_of_is_seen_at_once(
    authorization_server: AuthorizationServer, response: str
) -> None:
    token = authorization_server.token(API)
    verifier = remembering_verifier(authorization_server, response)

    async with door(verifier) as client:
        before = await get(client, token)
        authorization_server.revoke(token)
        verifier.forget(token)
        after = await get(client, token)

    assert before.status_code == 200
    assert_refused(after, reason="inactive")


# --- a server that comes and goes ------------------------------------------------------------------------------------


async def test_a_server_that_is_down_refuses_nobody_and_is_asked_again_when_it_is_up(
    start_authorization_server: StartServer, response: str, tmp_path: Path
) -> None:
    keys = tmp_path / "keys.json"
    with start_authorization_server(keys=keys) as server:
        token = server.token(API)
        async with door(remembering_verifier(server, response, cache_ttl=0)) as client:
            before = await get(client, token)
            server.stop()
            meanwhile = await get(client, token)
            with start_authorization_server(port=urlsplit(server.issuer).port or 0, keys=keys) as again:
                after = await get(client, again.token(API))
                lost = await get(client, token)

    assert [before.status_code, after.status_code] == [200, 200]
    assert_unavailable(meanwhile)
    # This server keeps its tokens in memory, so a token of before is none any more.
    assert_refused(lost, reason="inactive")


async def test_what_a_server_said_before_it_went_down_counts_for_so_long(
    start_authorization_server: StartServer,
) -> None:
    monotonic = Clock(1000.0)
    with start_authorization_server() as server:
        token = server.token(API)
        verifier = remembering_verifier(server, "json", cache_ttl=30.0, stale_if_error=60.0, monotonic=monotonic)
        async with door(verifier) as client:
            before = await get(client, token)
            server.stop()
            monotonic.advance(89)
            stale = await get(client, token)
            monotonic.advance(2)
            after = await get(client, token)

    assert [before.status_code, stale.status_code] == [200, 200]
    assert_unavailable(after)


# --- our side --------------------------------------------------------------------------------------------------------


def verifier_of(server: AuthorizationServer, client_auth: ClientAuth, **options: Any) -> IntrospectionTokenVerifier:
    """Make a verifier that finds `server` by its metadata, unless `options` say otherwise."""
    defaults: dict[str, Any] = {"issuer": server.issuer, "server_url": API, "client_auth": client_auth}
    return IntrospectionTokenVerifier(**defaults | options)


def signed_verifier(
    server: AuthorizationServer, algorithm: str, agreed: dict[str, Any] | None = None, **options: Any
) -> IntrospectionTokenVerifier:
    """Make a verifier whose answers are signed with `algorithm`, and that expects this but for what is `agreed`."""
    client_auth = ClientSecretBasic(f"rs-signed-{algorithm}", AWKWARD_SECRET)
    expected = SignedResponse(**{"algorithm": algorithm} | (agreed or {}))
    return verifier_of(server, client_auth, response=expected, **options)


def encrypted_verifier(
    server: AuthorizationServer, credentials: Credentials, client_id: str
) -> IntrospectionTokenVerifier:
    """Make a verifier whose answers are encrypted for its key."""
    response = SignedResponse(decryption_key=credentials.private_keys[client_id])
    return verifier_of(server, ClientSecretBasic(client_id, AWKWARD_SECRET), response=response)


def remembering_verifier(server: AuthorizationServer, response: str, **options: Any) -> IntrospectionTokenVerifier:
    """Make a verifier of plain or signed answers."""
    return verifier_of(server, ClientSecretBasic("rs-signed-RS256", AWKWARD_SECRET), response=response, **options)


def all_that_is_said(server: AuthorizationServer) -> dict[str, Any]:
    """Return what the handler gets to know of a token with the scopes `read` and `write`."""
    return {
        "client_id": "app",
        "subject": None,
        "scopes": ["read", "write"],
        "issuer": server.issuer,
        "audience": [API],
        "expires": True,
    }
