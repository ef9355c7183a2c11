"""Presets, each against tokens and metadata in the shape that the provider documents; every id in them is invented."""

from __future__ import annotations

import inspect
import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import httpx2
import pytest
from fakes import Clock

from asgi_bearer import InsufficientScope, InvalidToken, Reason, StaticKeySet, VerifierUnavailable
from asgi_bearer.integrations import presets
from asgi_bearer.keys.jose import SigningAlgorithm, SigningKey

if TYPE_CHECKING:
    from asgi_bearer import JWTVerifier

pytestmark = pytest.mark.anyio

FOLDER = Path(__file__).parent / "providers"
PROVIDERS: dict[str, dict[str, Any]] = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.iterdir())}
TOKENS = [(name, kind) for name, provider in PROVIDERS.items() for kind in provider["tokens"]]
REFUSED = [(name, kind) for name, provider in PROVIDERS.items() for kind in provider["refused"]]
# Where the audience stands that is no `aud`
AUDIENCE_CLAIMS = {"clerk": "azp", "cognito": "client_id"}


class Web(httpx2.AsyncBaseTransport):
    """Serves JSON documents by URL and nothing else, and keeps what it was asked for."""

    def __init__(self, documents: dict[str, Any]) -> None:
        self.documents = documents
        self.asked: list[str] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(str(request.url))
        document = self.documents.get(str(request.url))
        status, body = (404, b"") if document is None else (200, json.dumps(document).encode())
        return httpx2.Response(status, stream=httpx2.ByteStream(body))


@cache
def signing_key(algorithm: SigningAlgorithm) -> SigningKey:
    return SigningKey.generate(algorithm)


def key_of(provider: dict[str, Any]) -> SigningKey:
    return signing_key(provider["jwk"].get("alg", "RS256"))


def jwks_of(provider: dict[str, Any]) -> dict[str, Any]:
    """Return the provider's key set, its members as the provider writes them."""
    public = key_of(provider).public_jwk("key-1")
    material = {name: value for name, value in public.items() if name not in {"alg", "use"}}
    return {"keys": [{**material, **provider["jwk"]}]}


def web_of(provider: dict[str, Any]) -> Web:
    places = {place["url"]: place["document"] for place in provider["discovery"]}
    uris = {document["jwks_uri"]: jwks_of(provider) for document in places.values()}
    return Web({**places, **uris})


def verifier_of(name: str, **options: Any) -> JWTVerifier:
    """Return the preset's verifier, with the provider's keys given, so that nothing is fetched."""
    provider = PROVIDERS[name]
    options = {"keys": StaticKeySet(jwks_of(provider)), "clock": Clock(), **provider["arguments"], **options}
    return cast("JWTVerifier", getattr(presets, provider["preset"])(**options))


def sign(name: str, kind: str, **changes: Any) -> str:
    """Return the provider's token of that kind; a claim that is changed to None is left out."""
    provider = PROVIDERS[name]
    recorded = provider["tokens"].get(kind) or provider["refused"][kind]
    claims = {claim: value for claim, value in {**recorded["claims"], **changes}.items() if value is not None}
    return key_of(provider).sign(recorded["header"], claims)


async def reason_for(verifier: JWTVerifier, token: str) -> str:
    with pytest.raises(InvalidToken) as caught:
        await verifier.verify_token(token)
    assert caught.value.reason is not None
    return caught.value.reason.name


def audience_claim(name: str) -> str:
    return AUDIENCE_CLAIMS.get(name, "aud")


def test_there_is_an_example_for_every_preset() -> None:
    public = [name for name, value in vars(presets).items() if inspect.isfunction(value) and name[0] != "_"]
    here = [name for name in public if getattr(presets, name).__module__ == presets.__name__]
    assert sorted(here) == sorted(provider["preset"] for provider in PROVIDERS.values())


@pytest.mark.parametrize("name", PROVIDERS)
def test_the_docstring_names_the_page_that_the_facts_are_from(name: str) -> None:
    text = inspect.getdoc(getattr(presets, PROVIDERS[name]["preset"])) or ""
    assert any(f'"{page}"' in text for page in PROVIDERS[name]["pages"])


@pytest.mark.parametrize(("name", "kind"), TOKENS)
async def test_takes_a_token_of_the_provider_with_the_keys_that_its_metadata_names(name: str, kind: str) -> None:
    provider, expected = PROVIDERS[name], PROVIDERS[name]["tokens"][kind]
    web = web_of(provider)

    verifier = getattr(presets, provider["preset"])(**provider["arguments"], transport=web, clock=Clock())
    token = await verifier.verify_token(sign(name, kind))

    assert (token.client_id, list(token.scopes), token.subject) == (
        expected["client_id"],
        expected["scopes"],
        expected["subject"],
    )
    assert token.issuer == expected["claims"]["iss"]
    assert web.asked[-1] == provider["discovery"][0]["document"]["jwks_uri"]


@pytest.mark.parametrize("name", PROVIDERS)
async def test_asks_nobody_before_the_first_token(name: str) -> None:
    provider = PROVIDERS[name]
    web = web_of(provider)
    getattr(presets, provider["preset"])(**provider["arguments"], transport=web)
    assert web.asked == []


@pytest.mark.parametrize("name", PROVIDERS)
async def test_the_issuer_is_spelled_as_in_the_metadata(name: str) -> None:
    issuer = PROVIDERS[name]["discovery"][0]["document"]["issuer"]
    kind = next(iter(PROVIDERS[name]["tokens"]))
    other = issuer.removesuffix("/") if issuer.endswith("/") else f"{issuer}/"

    token = await verifier_of(name).verify_token(sign(name, kind, iss=issuer))

    assert token.issuer == issuer
    assert await reason_for(verifier_of(name), sign(name, kind, iss=other)) == "issuer"


async def test_metadata_of_another_issuer_is_not_used() -> None:
    provider = PROVIDERS["auth0"]
    web = web_of(provider)
    (place,) = provider["discovery"]
    web.documents[place["url"]] = {**place["document"], "issuer": "https://example.eu.auth0.com"}
    verifier = presets.auth0(**provider["arguments"], transport=web, clock=Clock())
    with pytest.raises(VerifierUnavailable):
        await verifier.verify_token(sign("auth0", "Auth0 profile"))


@pytest.mark.parametrize("name", ["supabase", "clerk", "cloudflare_access", "entra"])
async def test_needs_no_metadata_where_the_address_of_the_keys_is_documented(name: str) -> None:
    provider = PROVIDERS[name]
    uri = provider["discovery"][0]["document"]["jwks_uri"]
    web = Web({uri: jwks_of(provider)})
    verifier = getattr(presets, provider["preset"])(**provider["arguments"], transport=web, clock=Clock())
    await verifier.verify_token(sign(name, next(iter(provider["tokens"]))))
    assert web.asked == [uri]


@pytest.mark.parametrize(("name", "kind"), TOKENS)
@pytest.mark.parametrize(
    ("claim", "value", "reason"),
    [
        pytest.param("audience", "https://other.example.com", "audience", id="for another API"),
        pytest.param("audience", None, "missing_claim", id="for nobody"),
        pytest.param("iss", "https://idp.example.net", "issuer", id="of another issuer"),
        pytest.param("iss", None, "missing_claim", id="of nobody"),
        pytest.param("exp", None, "missing_claim", id="without an end"),
        pytest.param("exp", 1_799_999_000, "expired", id="that has ended"),
    ],
)
async def test_refuses_a_token(name: str, kind: str, claim: str, value: Any, reason: str) -> None:
    changes: dict[str, Any] = {audience_claim(name) if claim == "audience" else claim: value}
    if claim == "exp":
        changes.update(iat=None, nbf=None)
    assert await reason_for(verifier_of(name), sign(name, kind, **changes)) == reason


@pytest.mark.parametrize(("name", "kind"), REFUSED)
async def test_refuses_what_the_provider_issues_for_another_purpose(name: str, kind: str) -> None:
    assert await reason_for(verifier_of(name), sign(name, kind)) == PROVIDERS[name]["refused"][kind]["reason"]


@pytest.mark.parametrize(("name", "kind"), TOKENS)
async def test_refuses_a_token_that_somebody_else_signed(name: str, kind: str) -> None:
    stranger = SigningKey.generate("ES256")
    recorded = PROVIDERS[name]["tokens"][kind]
    verifier = verifier_of(name, keys=StaticKeySet({"keys": [stranger.public_jwk("key-1")]}), algorithm="ES256")
    foreign = SigningKey.generate("ES256").sign(recorded["header"], recorded["claims"])
    assert await reason_for(verifier, foreign) == "signature"


@pytest.mark.parametrize("name", PROVIDERS)
async def test_hands_the_options_on_to_the_verifier(name: str) -> None:
    kind, clock = next(iter(PROVIDERS[name]["tokens"])), Clock()
    token = sign(name, kind)

    strict = verifier_of(name, required_scopes=["no:such"], leeway=0, cache_size=0, cache_ttl=0, clock=clock)
    assert strict.required_scopes == ("no:such",)
    with pytest.raises(InsufficientScope):
        await strict.verify_token(token)
    clock.now = PROVIDERS[name]["tokens"][kind]["claims"]["exp"]
    assert await reason_for(strict, token) == "expired"


async def test_required_claims_come_on_top_of_what_the_preset_demands() -> None:
    verifier = verifier_of("cognito", required_claims=["username"])
    assert await reason_for(verifier, sign("cognito", "user", exp=None)) == "missing_claim"
    assert await reason_for(verifier, sign("cognito", "user", username=None)) == "missing_claim"
    assert await reason_for(verifier, sign("cognito", "without token_use")) == "missing_claim"


async def test_no_further_required_claims_leave_those_of_the_preset() -> None:
    verifier = verifier_of("firebase", required_claims=())
    assert await reason_for(verifier, sign("firebase", "user", exp=None)) == "missing_claim"
    assert await reason_for(verifier, sign("firebase", "user", auth_time=None)) == "missing_claim"


@pytest.mark.parametrize(
    ("name", "kind", "claims", "scopes"),
    [
        pytest.param("auth0", "Auth0 profile", ["scope"], ("openid", "profile", "read:patients"), id="Auth0, no RBAC"),
        pytest.param(
            "keycloak",
            "user",
            ["scope", "realm_access.roles", "resource_access.orders-api.roles"],
            ("openid", "orders:read", "email", "offline_access", "default-roles-shop", "clerk"),
            id="Keycloak, with roles",
        ),
        pytest.param("cognito", "user", ["cognito:groups"], ("admins",), id="Cognito, groups"),
        pytest.param("entra", "v2.0, user", ["scp"], ("Orders.Read", "Orders.Write"), id="Entra, delegated"),
    ],
)
async def test_scopes_can_be_read_from_other_claims(name: str, kind: str, claims: list[str], scopes: Any) -> None:
    assert (await verifier_of(name, scope_claims=claims).verify_token(sign(name, kind))).scopes == scopes


async def test_the_algorithm_can_be_narrowed() -> None:
    verifier = verifier_of("auth0", algorithm="PS256")
    assert await reason_for(verifier, sign("auth0", "Auth0 profile")) == "unsupported_algorithm"


async def test_the_algorithm_is_that_of_fetched_keys_that_name_none() -> None:
    provider, key = PROVIDERS["entra"], signing_key("PS256")
    public = {name: value for name, value in key.public_jwk("key-1").items() if name != "alg"}
    web = Web({provider["discovery"][0]["document"]["jwks_uri"]: {"keys": [public]}})
    verifier = presets.entra(**provider["arguments"], algorithm="PS256", transport=web, clock=Clock())
    recorded = provider["tokens"]["v2.0, user"]
    assert (await verifier.verify_token(key.sign(recorded["header"], recorded["claims"]))).scopes


async def test_the_strict_profile_fits_a_provider_that_follows_it() -> None:
    verifier = verifier_of("auth0", profile="rfc9068")
    await verifier.verify_token(sign("auth0", "RFC 9068 profile"))
    assert await reason_for(verifier, sign("auth0", "Auth0 profile")) == "token_type"


@pytest.mark.parametrize(
    "audience",
    [
        "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee",
        "api://aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee",
        "AAAAAAAA-BBBB-4CCC-8DDD-EEEEEEEEEEEE",
        ["aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee", "https://api.example.com"],
    ],
    ids=["client id", "App ID URI", "client id in upper case", "client id and another App ID URI"],
)
async def test_entra_takes_the_client_id_and_its_default_uri(audience: Any) -> None:
    verifier = verifier_of("entra", audience=audience)
    for kind in PROVIDERS["entra"]["tokens"]:
        await verifier.verify_token(sign("entra", kind))


async def test_entra_takes_an_app_id_uri_of_another_form_and_no_other() -> None:
    verifier = verifier_of("entra", audience="https://api.example.com")
    await verifier.verify_token(sign("entra", "v1.0, user", aud="https://api.example.com"))
    assert await reason_for(verifier, sign("entra", "v2.0, user")) == "audience"


async def test_okta_finds_another_authorization_server() -> None:
    issuer = "https://example.okta.com/oauth2/ausExample0000001"
    verifier = verifier_of("okta", authorization_server="ausExample0000001")
    assert (await verifier.verify_token(sign("okta", "user", iss=issuer))).issuer == issuer
    assert await reason_for(verifier, sign("okta", "user")) == "issuer"


async def test_several_app_clients_of_cognito_may_call() -> None:
    verifier = verifier_of("cognito", client_id=["1exampleclient00000000001", "1exampleclient00000000002"])
    await verifier.verify_token(sign("cognito", "user"))
    await verifier.verify_token(sign("cognito", "of another app client"))


@pytest.mark.parametrize("issuer", ["https://hydra.example.com", "https://hydra.example.com/"])
async def test_ory_compares_the_slash_at_the_end_of_the_issuer(issuer: str) -> None:
    verifier = verifier_of("ory", issuer=issuer)
    kind = "scopes as a list"
    await verifier.verify_token(sign("ory", kind, iss=issuer))
    other = issuer.removesuffix("/") if issuer.endswith("/") else f"{issuer}/"
    assert await reason_for(verifier, sign("ory", kind, iss=other)) == "issuer"


async def test_keycloak_can_be_under_a_path_and_within_a_trusted_network() -> None:
    issuer = "http://keycloak.internal:8080/auth/realms/shop"
    uri = f"{issuer}/protocol/openid-connect/certs"
    web = Web(
        {
            f"{issuer}/.well-known/openid-configuration": {"issuer": issuer, "jwks_uri": uri},
            uri: jwks_of(PROVIDERS["keycloak"]),
        }
    )
    url = "http://keycloak.internal:8080/auth"
    verifier = presets.keycloak(url, "shop", "orders-api", allow_insecure_http=True, transport=web, clock=Clock())
    assert (await verifier.verify_token(sign("keycloak", "user", iss=issuer))).issuer == issuer


UUID = "11111111-2222-4333-8444-555555555555"


@pytest.mark.parametrize(
    ("name", "changes", "says"),
    [
        *[
            pytest.param(name, {"domain": domain}, "host name", id=f"{name}: {why}")
            for name in ("auth0", "okta", "workos", "zitadel", "supabase", "clerk")
            for why, domain in {
                "scheme": "https://login.example.com",
                "slash": "login.example.com/",
                "port": "login.example.com:443",
                "user": "somebody@login.example.com",
                "upper case": "Login.Example.com",
                "no dot": "tenant",
                "line break": "login.example.com\n",
            }.items()
        ],
        *[
            pytest.param(name, {argument: ""}, f"{argument} is empty", id=f"{name}: no {argument}")
            for name, argument in {
                "auth0": "domain",
                "okta": "authorization_server",
                "keycloak": "realm",
                "entra": "tenant",
                "cognito": "user_pool",
                "firebase": "project",
                "ory": "issuer",
                "cloudflare_access": "team",
                "clerk": "authorized_parties",
                "google": "audience",
            }.items()
        ],
        pytest.param("auth0", {"audience": []}, "audience is an empty sequence", id="auth0: no audience"),
        pytest.param("auth0", {"algorithm": "HS256"}, "does not go with", id="auth0: algorithm of a secret"),
        pytest.param("auth0", {"leeway": -1}, "leeway", id="auth0: negative leeway"),
        pytest.param("okta", {"domain": "example-admin.okta.com"}, "leave out -admin", id="okta: console"),
        pytest.param("okta", {"authorization_server": "oauth2/default"}, "without slash", id="okta: path"),
        pytest.param("keycloak", {"url": "id.example.com"}, "https URL", id="keycloak: no scheme"),
        pytest.param("keycloak", {"url": "http://id.example.com"}, "must be https", id="keycloak: http"),
        pytest.param("keycloak", {"url": "https://id.example.com/"}, "leave it out", id="keycloak: slash"),
        pytest.param("keycloak", {"url": "https://id.example.com/realms/shop"}, "realm=", id="keycloak: issuer"),
        pytest.param("keycloak", {"realm": "shop/"}, "without slash", id="keycloak: realm with a slash"),
        pytest.param("entra", {"tenant": "common"}, "every tenant", id="entra: common"),
        pytest.param("entra", {"tenant": "organizations"}, "every tenant", id="entra: organizations"),
        pytest.param("entra", {"tenant": "consumers"}, "every tenant", id="entra: consumers"),
        pytest.param("entra", {"tenant": "example.onmicrosoft.com"}, "a UUID", id="entra: domain"),
        pytest.param("entra", {"tenant": "A" + UUID[1:]}, "lower case", id="entra: upper case"),
        pytest.param("entra", {"audience": ""}, "audience is empty", id="entra: no audience"),
        pytest.param("cognito", {"region": "EU (Frankfurt)"}, "AWS region", id="cognito: name of a region"),
        pytest.param("cognito", {"user_pool": "Example01"}, "eu-central-1_AbCdEf123", id="cognito: bare pool"),
        pytest.param("cognito", {"user_pool": "us-east-1_Example01"}, "another region", id="cognito: other region"),
        pytest.param("cognito", {"client_id": ""}, "client_id is empty", id="cognito: no client"),
        pytest.param("firebase", {"project": "123456789012"}, "not its number", id="firebase: number"),
        pytest.param("firebase", {"project": "My Shop"}, "not its number or name", id="firebase: name"),
        pytest.param("ory", {"issuer": "example.projects.oryapis.com"}, "https URL", id="ory: no scheme"),
        pytest.param("ory", {"issuer": "http://example.com"}, "must be https", id="ory: http"),
        pytest.param("clerk", {"authorized_parties": "app.example.com"}, "origin", id="clerk: host"),
        pytest.param(
            "clerk", {"authorized_parties": "https://app.example.com/"}, "origin", id="clerk: origin with a slash"
        ),
        pytest.param("cloudflare_access", {"team": "example.cloudflareaccess.com"}, "alone", id="cloudflare: domain"),
    ],
)
def test_says_at_construction_what_to_write_instead(name: str, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        verifier_of(name, **changes)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        pytest.param("auth0", {"domain": None}, id="no str for a domain"),
        pytest.param("auth0", {"audience": None}, id="no audience at all"),
        pytest.param("auth0", {"jwks": {"keys": []}, "issuer": "https://idp.example.com"}, id="another issuer"),
        pytest.param("auth0", {"keys": "https://idp.example.com/keys"}, id="no KeySet"),
        pytest.param("ory", {"allow_insecure_http": 1}, id="no bool for a flag"),
        pytest.param("auth0", {"required_scopes": "read"}, id="scopes in one str"),
        pytest.param("auth0", {"no_such_option": 1}, id="an option that there is not"),
    ],
)
def test_refuses_what_has_the_wrong_type(name: str, changes: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        verifier_of(name, **changes)


def test_reasons_in_the_examples_exist() -> None:
    named = {refused["reason"] for provider in PROVIDERS.values() for refused in provider["refused"].values()}
    assert named <= {reason.name for reason in Reason}
