"""How this server shows an authorization server who it is: what is sent, and what is not (CA1 to CA8)."""

from __future__ import annotations

import base64
import json
import ssl
from typing import TYPE_CHECKING, Any, cast

import httpx2
import pytest
from asking import ISSUER, NOW, SECRET, TOKEN, Endpoint, answering, verifier, why_unavailable
from fakes import Clock
from key_material import private_pem, private_rsa, signing_key

from asgi_bearer import (
    Authentication,
    ClientAuth,
    ClientSecretBasic,
    ClientSecretJWT,
    ClientSecretPost,
    InsecureConfigurationWarning,
    InvalidToken,
    JWTVerifier,
    NoClientAuth,
    PrivateKeyJWT,
    TLSClientAuth,
    VerifierUnavailable,
)
from asgi_bearer.keys.compact import CompactReader
from asgi_bearer.keys.jose import import_pem

if TYPE_CHECKING:
    from leaks import Watch

    from asgi_bearer.keys.jose import SigningAlgorithm

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore:IntrospectionTokenVerifier has no server_url")]

# Every character that the form-encoding of RFC 6749 section 2.3.1 changes, and some beyond ASCII
AWKWARD = 'p:a+s s%41&=/?~"\\\u00e9\u65e5'
LONG_SECRET = "a secret that is longer than the hash of every algorithm that it is used with, by far"
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@pytest.fixture(autouse=True)
def _watch_the_credentials(watch: Watch) -> None:
    watch.secrets |= {TOKEN, SECRET, AWKWARD, LONG_SECRET}


async def sent_by(auth: ClientAuth, **options: Any) -> tuple[dict[str, str], dict[str, str]]:
    """Return the headers and the form of a question, without what every question has."""
    endpoint = Endpoint()
    await verifier(endpoint, client_auth=auth, issuer=ISSUER, **options).verify_token(TOKEN)
    (asked,) = endpoint.asked
    form = dict(asked.form)
    assert len(form) == len(asked.form)
    assert form.pop("token") == TOKEN
    assert form.pop("token_type_hint") == "access_token"
    return asked.headers, form


# Secrets


@pytest.mark.parametrize(
    ("client_id", "secret", "encoding", "pair"),
    [
        ("rs", "secret", "form", "rs:secret"),
        ("a:b", AWKWARD, "form", "a%3Ab:p%3Aa%2Bs+s%2541%26%3D%2F%3F~%22%5C%C3%A9%E6%97%A5"),
        ("rs", AWKWARD, "raw", f"rs:{AWKWARD}"),
    ],
)
async def test_ca1_client_secret_basic_form_encodes_unless_told_not_to(
    client_id: str, secret: str, encoding: Any, pair: str
) -> None:
    headers, form = await sent_by(ClientSecretBasic(client_id, secret, encoding=encoding))

    assert form == {}
    scheme, _, encoded = headers["authorization"].partition(" ")
    assert (scheme, base64.b64decode(encoded).decode()) == ("Basic", pair)


async def test_ca2_client_secret_post_is_in_the_form_alone() -> None:
    headers, form = await sent_by(ClientSecretPost("rs", AWKWARD))

    assert form == {"client_id": "rs", "client_secret": AWKWARD}
    assert "authorization" not in headers


@pytest.mark.parametrize("name", ["client_secret_basic", "client_secret_post"])
async def test_a_name_stands_for_the_object_of_that_name(name: Any) -> None:
    by_name, by_object = Endpoint(), Endpoint()
    auth = (ClientSecretBasic if name == "client_secret_basic" else ClientSecretPost)("rs", SECRET)

    await verifier(by_name, client_auth=name).verify_token(TOKEN)
    await verifier(by_object, client_auth=auth).verify_token(TOKEN)

    assert by_name.asked[0].form == by_object.asked[0].form
    assert by_name.asked[0].headers == by_object.asked[0].headers


# Assertions


def opened(assertion: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and claims of an assertion."""
    protected = assertion.partition(".")[0]
    header = json.loads(base64.urlsafe_b64decode(protected + "=="))
    return header, json.loads(CompactReader().read(assertion).payload)


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "ES384", "EdDSA", "Ed25519"])
async def test_ca3_private_key_jwt_is_signed_for_one_server_and_one_minute(algorithm: SigningAlgorithm) -> None:
    key = signing_key(algorithm)
    auth = PrivateKeyJWT("rs", key.private_pem, algorithm=algorithm, kid="k1", clock=Clock(NOW + 0.9))

    headers, form = await sent_by(auth)

    assert "authorization" not in headers
    assertion = form.pop("client_assertion")
    assert form == {"client_id": "rs", "client_assertion_type": ASSERTION}
    header, claims = opened(assertion)
    assert header == {"alg": algorithm, "typ": "client-authentication+jwt", "kid": "k1"}
    jti = claims.pop("jti")
    assert len(jti) >= 22  # 128 bits
    # One string, and the issuer's: CVE-2025-27370, CVE-2025-27371
    assert claims == {"iss": "rs", "sub": "rs", "aud": ISSUER, "iat": NOW, "exp": NOW + 60}
    compact = CompactReader().read(assertion)
    assert import_pem(key.public_pem, [algorithm]).verify(compact.signing_input, compact.signature)


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
async def test_ca3_client_secret_jwt_proves_a_secret_that_it_does_not_send(algorithm: Any) -> None:
    auth = ClientSecretJWT("rs", LONG_SECRET, algorithm=algorithm, clock=Clock(NOW))

    _, form = await sent_by(auth)

    assertion = form["client_assertion"]
    header, claims = opened(assertion)
    assert header == {"alg": algorithm, "typ": "client-authentication+jwt"}
    assert (claims["iss"], claims["aud"]) == ("rs", ISSUER)
    server = JWTVerifier(
        secret=LONG_SECRET, algorithm=algorithm, issuer="rs", audience=ISSUER, clock=Clock(NOW), profile="lax"
    )
    with pytest.raises(InvalidToken, match="token_type"):  # and an assertion is no access token
        await server.verify_token(assertion)


async def test_ca3_each_question_has_an_assertion_of_its_own() -> None:
    endpoint = Endpoint()
    auth = PrivateKeyJWT("rs", signing_key("ES256").private_pem, algorithm="ES256")
    asking = verifier(endpoint, client_auth=auth, issuer=ISSUER)

    for number in range(3):
        await asking.verify_token(f"{TOKEN}-{number}")

    identities = {opened(dict(asked.form)["client_assertion"])[1]["jti"] for asked in endpoint.asked}
    assert len(identities) == 3


async def test_an_assertion_says_what_its_options_say() -> None:
    auth = ClientSecretJWT(
        "rs",
        LONG_SECRET,
        audience="https://idp.example/token",
        lifetime=5,
        typ=None,
        clock=Clock(NOW),
        random_text=lambda: "once",
    )

    _, form = await sent_by(auth)

    header, claims = opened(form["client_assertion"])
    assert header == {"alg": "HS256"}
    assert claims == {
        "iss": "rs",
        "sub": "rs",
        "aud": "https://idp.example/token",
        "jti": "once",
        "iat": NOW,
        "exp": NOW + 5,
    }


async def test_an_assertion_with_an_audience_needs_no_issuer() -> None:
    endpoint = Endpoint()
    auth = ClientSecretJWT("rs", LONG_SECRET, audience="https://idp.example")

    await verifier(endpoint, client_auth=auth).verify_token(TOKEN)

    assert opened(dict(endpoint.asked[0].form)["client_assertion"])[1]["aud"] == "https://idp.example"


def test_an_assertion_for_nobody_in_particular_is_a_value_error() -> None:
    sentence = r"ClientSecretJWT is for one server: write issuer=, or audience= in ClientSecretJWT\(...\)"
    with pytest.raises(ValueError, match=sentence):
        verifier(Endpoint(), client_auth=ClientSecretJWT("rs", LONG_SECRET))


# Certificates (the real handshake is in tests/interop)


async def test_ca5_a_certificate_comes_with_the_client_id_and_goes_where_metadata_have_a_place_for_it() -> None:
    inner = answering(iss=ISSUER)
    mtls = f"{ISSUER}:8443/introspect"

    async def server(scope: Any, receive: Any, send: Any) -> None:
        metadata = {
            "issuer": ISSUER,
            "introspection_endpoint": f"{ISSUER}/introspect",
            "mtls_endpoint_aliases": {"introspection_endpoint": mtls},
        }
        await (inner if scope["method"] == "POST" else Endpoint(metadata))(scope, receive, send)

    auth = TLSClientAuth("rs", ssl.create_default_context())
    asking = verifier(server, client_auth=auth, introspection_endpoint=None, issuer=ISSUER)

    await asking.verify_token(TOKEN)

    (asked,) = inner.asked
    assert ("client_id", "rs") in asked.form
    assert "authorization" not in asked.headers
    assert asked.headers["host"] == "idp.example:8443"


async def test_a_certificate_is_not_shown_to_an_endpoint_without_tls() -> None:
    issuer = "http://127.0.0.1:1"
    metadata = Endpoint({"issuer": issuer, "introspection_endpoint": f"{issuer}/introspect"})
    auth = TLSClientAuth("rs", ssl.create_default_context())

    error = await why_unavailable(metadata, client_auth=auth, introspection_endpoint=None, issuer=issuer)

    assert error.message == (
        "introspection: the introspection endpoint is not https, and so no place for a client certificate"
    )
    with pytest.raises(ValueError, match="introspection_endpoint must be https: a client certificate is shown in TLS"):
        verifier(metadata, client_auth=auth, introspection_endpoint=f"{issuer}/introspect")


def careless_context(change: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    if change == "trusts anybody":
        context.verify_mode = ssl.CERT_NONE
    return context


@pytest.mark.parametrize("change", ["takes any name", "trusts anybody"])
def test_a_context_that_does_not_verify_the_server_is_a_value_error(change: str) -> None:
    with pytest.raises(ValueError, match=r"ssl_context does not verify the server: write ssl.create_default_context"):
        TLSClientAuth("rs", careless_context(change))


# Nothing, and something else


async def test_ca7_no_authentication_must_be_named_and_warns() -> None:
    with pytest.warns(
        InsecureConfigurationWarning, match="NoClientAuth asks an endpoint that answers everybody"
    ) as seen:
        asking = verifier(endpoint := Endpoint(), client_auth=NoClientAuth())

    assert seen[0].filename.endswith("asking.py")
    await asking.verify_token(TOKEN)
    assert {name for name, _ in endpoint.asked[0].form} == {"token", "token_type_hint"}
    assert "authorization" not in endpoint.asked[0].headers


@pytest.mark.filterwarnings("ignore:NoClientAuth")
async def test_no_authentication_may_still_say_who_asks() -> None:
    _, form = await sent_by(NoClientAuth("rs"))

    assert form == {"client_id": "rs"}


async def test_a_way_of_ones_own_is_an_object_with_one_method() -> None:
    class ApiKey:
        async def authenticate(self, issuer: str | None) -> Authentication:
            return Authentication(headers={"x-api-key": f"for {issuer}"})

    headers, form = await sent_by(ApiKey())

    assert headers["x-api-key"] == f"for {ISSUER}"
    assert form == {}


async def test_a_way_that_cannot_authenticate_now_is_unavailable() -> None:
    class Sealed:
        async def authenticate(self, issuer: str | None) -> Authentication:
            message = "the key store is sealed"
            raise VerifierUnavailable(message, 7)

    error = await why_unavailable(Endpoint(), client_auth=Sealed())

    assert (error.message, error.retry_after) == ("introspection: the key store is sealed", 7)


async def test_a_401_is_final_for_a_way_that_has_nothing_else_to_show() -> None:
    endpoint = Endpoint(status=401)

    await why_unavailable(endpoint, client_auth=ClientSecretBasic("rs", SECRET))

    assert len(endpoint.asked) == 1


@pytest.mark.parametrize("hint", ["refresh_token", None])
async def test_in1_the_hint_is_what_it_is_told_to_be(hint: str | None) -> None:
    endpoint = Endpoint()

    await verifier(endpoint, token_type_hint=hint).verify_token(TOKEN)

    assert dict(endpoint.asked[0].form).get("token_type_hint") == hint


# Options and reprs


P256 = signing_key("ES256").private_pem


def serving_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.check_hostname, context.verify_mode = True, ssl.CERT_REQUIRED
    return context


WRONG: list[tuple[Any, type[Exception], str]] = [
    (lambda: ClientSecretBasic("", "s"), ValueError, "client_id is empty"),
    (lambda: ClientSecretBasic("rs", ""), ValueError, "client_secret is empty"),
    (lambda: ClientSecretBasic("rs", cast("str", b"s")), TypeError, "client_secret is a str, not bytes"),
    (lambda: ClientSecretBasic("a:b", "s", encoding="raw"), ValueError, "client_id has a colon, which ends it where"),
    (lambda: ClientSecretBasic("a", "s", encoding=cast("Any", 1)), TypeError, "encoding is one of 'form', 'raw'"),
    (lambda: ClientSecretPost("rs", "\udcff"), ValueError, "client_secret is no text"),
    (lambda: ClientSecretJWT("rs", "short"), ValueError, "client_secret is shorter than the hash of HS256"),
    (lambda: ClientSecretJWT("rs", LONG_SECRET + "\n"), ValueError, "client_secret has a line break"),
    (lambda: ClientSecretJWT("rs", cast("str", 5)), TypeError, "client_secret is a str or bytes, not int"),
    (lambda: ClientSecretBasic("rs", "s\n"), ValueError, "client_secret has a line break or another control character"),
    (lambda: ClientSecretPost("rs\r", "s"), ValueError, "client_id has a line break or another control character"),
    (lambda: ClientSecretJWT("rs", LONG_SECRET[:40], algorithm="HS512"), ValueError, "shorter than the hash of HS512"),
    (lambda: ClientSecretJWT("rs", LONG_SECRET, algorithm=cast("Any", "RS256")), ValueError, "algorithm is one of 'HS"),
    (
        lambda: ClientSecretJWT("rs", signing_key("ES256").public_pem),
        ValueError,
        "client_secret is a key or certificate in PEM",
    ),
    (lambda: ClientSecretJWT("rs", LONG_SECRET, audience=""), ValueError, "audience is empty"),
    (
        lambda: ClientSecretJWT("rs", LONG_SECRET, lifetime=61),
        ValueError,
        "lifetime is a number of seconds, from 1 to 60",
    ),
    (lambda: ClientSecretJWT("rs", LONG_SECRET, clock=cast("Any", 1)), TypeError, "clock is a function, not int"),
    (lambda: ClientSecretJWT("rs", LONG_SECRET, typ=cast("Any", 1)), TypeError, "typ is a str, not int"),
    (lambda: PrivateKeyJWT("rs", P256, algorithm=cast("Any", "HS256")), ValueError, "algorithm is one of 'RS256'"),
    (lambda: PrivateKeyJWT("rs", P256), ValueError, "it cannot do RS256"),
    (lambda: PrivateKeyJWT("rs", "no PEM"), ValueError, "it is no private key in PEM, or it has a password"),
    (lambda: PrivateKeyJWT("rs", cast("Any", b"PEM")), TypeError, "private key is PEM as str, not bytes"),
    (lambda: PrivateKeyJWT("rs", private_pem(private_rsa(1024))), ValueError, "number of 2048 to 8192 bits"),
    (lambda: PrivateKeyJWT("rs", P256, algorithm="ES256", kid=""), ValueError, "kid is empty"),
    (lambda: PrivateKeyJWT("rs", P256, algorithm="ES256", kid="\udcff"), ValueError, "kid is no text"),
    (lambda: PrivateKeyJWT("rs", P256, algorithm="ES256", audience="\udcff"), ValueError, "audience is no text"),
    (lambda: TLSClientAuth("rs", cast("Any", "client.pem")), TypeError, "ssl_context is an ssl.SSLContext that holds"),
    (lambda: TLSClientAuth("rs", serving_context()), ValueError, "ssl_context does not verify the server"),
    (lambda: TLSClientAuth("", ssl.create_default_context()), ValueError, "client_id is empty"),
    (lambda: NoClientAuth(""), ValueError, "client_id is empty"),
    (lambda: verifier(None, client_auth=NoClientAuth), TypeError, "client_auth is .* not NoClientAuth"),
    *(
        (lambda name=name: verifier(None, client_auth=name), ValueError, f"write client_auth={instead}")
        for name, instead in {
            "private_key_jwt": "PrivateKeyJWT",
            "client_secret_jwt": "ClientSecretJWT",
            "tls_client_auth": "TLSClientAuth",
            "self_signed_tls_client_auth": "TLSClientAuth",
            "none": "NoClientAuth",
        }.items()
    ),
    (lambda: verifier(None, client_auth=5), TypeError, "client_auth is .* not int"),
    (
        lambda: verifier(None, client_auth=ClientSecretPost("rs", "s"), client_id="rs"),
        ValueError,
        "client_id and client_secret belong into the object that is client_auth",
    ),
    (
        lambda: verifier(None, client_auth=ClientSecretPost("rs", "s"), client_secret="s"),
        ValueError,
        "client_id and client_secret belong into the object that is client_auth",
    ),
]


@pytest.mark.parametrize(("make", "kind", "sentence"), WRONG, ids=[f"{n} {row[2]}" for n, row in enumerate(WRONG)])
def test_what_cannot_be_meant_is_said_at_construction(make: Any, kind: type[Exception], sentence: str) -> None:
    with pytest.raises(kind, match=sentence):
        make()


@pytest.mark.parametrize(
    ("auth", "shown"),
    [
        (ClientSecretBasic("rs", AWKWARD), "ClientSecretBasic('rs')"),
        (ClientSecretPost("rs", AWKWARD), "ClientSecretPost('rs')"),
        (ClientSecretJWT("rs", LONG_SECRET), "ClientSecretJWT('rs', HS256)"),
        (PrivateKeyJWT("rs", P256, algorithm="ES256"), "PrivateKeyJWT('rs', ES256)"),
        (TLSClientAuth("rs", ssl.create_default_context()), "TLSClientAuth('rs')"),
        (Authentication(headers={"authorization": SECRET}, form={"client_secret": SECRET}), "Authentication()"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_ca8_a_repr_shows_who_and_not_what(auth: Any, shown: str) -> None:
    assert repr(auth) == shown
    assert not [value for value in vars(auth).values() if AWKWARD in repr(value)] if hasattr(auth, "__dict__") else True


async def test_ca8_what_goes_wrong_shows_no_secret() -> None:
    class Broken(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            message = f"at {request.headers} {request.content!r}"
            raise httpx2.ConnectError(message)

    for auth in (ClientSecretBasic("rs", SECRET), ClientSecretPost("rs", SECRET)):
        error = await why_unavailable(None, client_auth=auth, transport=Broken())

        assert error.message == "introspection: the request failed (ConnectError)"
        assert error.__context__ is None
