"""The development issuer: what it issues, what our own verifiers say to it, and how its endpoints answer."""

from __future__ import annotations

import base64
import json
import logging
from typing import Any
from urllib.parse import quote_plus

import anyio
import httpx2
import pytest
from fakes import Clock

import asgi_bearer.testing
from asgi_bearer import (
    AccessToken,
    IntrospectionTokenVerifier,
    InvalidToken,
    JWTVerifier,
    Reason,
    RemoteKeySet,
    VerifierUnavailable,
)
from asgi_bearer.remote.discovery import Discovery
from asgi_bearer.testing import Issuer

pytestmark = pytest.mark.anyio

URL = "http://127.0.0.1:9000"
AUDIENCE = "https://api.example"
# Characters that client_secret_basic must form-encode (RFC 6749 section 2.3.1)
SECRET = "s3cr:et%20+é"
FORM = {"content-type": "application/x-www-form-urlencoded"}


def make_issuer(**options: Any) -> Issuer:
    defaults: dict[str, Any] = {
        "algorithm": "ES256",
        "clients": {"app": SECRET, "other:app": "0ther"},
        "audience": AUDIENCE,
        "clock": Clock(),
    }
    return Issuer(**{"url": URL, **defaults, **options})


async def refusal(verifier: JWTVerifier, token: str) -> Reason | None:
    with pytest.raises(InvalidToken) as caught:
        await verifier.verify_token(token)
    return caught.value.reason


class TestItsTroubles:
    @pytest.mark.parametrize("keep_old", [True, False])
    async def test_a_key_that_takes_anothers_place_is_found_and_the_other_is_there_while_it_is_kept(
        self, keep_old: bool
    ) -> None:
        issuer = make_issuer()
        old_token, (old,) = issuer.token(), issuer.jwks["keys"]

        new_kid = issuer.rotate(keep_old=keep_old)

        verifier = jwt_verifier(issuer)
        assert (await verifier.verify_token(issuer.token())).subject == "dev-user"
        kids = [key["kid"] for key in issuer.jwks["keys"]]
        assert kids == ([old["kid"], new_kid] if keep_old else [new_kid])
        if keep_old:
            assert (await verifier.verify_token(old_token)).subject == "dev-user"
            issuer.remove_key(old["kid"])
        assert await refusal(jwt_verifier(issuer), old_token) == Reason.unknown_key

    def test_a_key_that_is_not_there_cannot_be_removed(self) -> None:
        with pytest.raises(ValueError, match="there is no key 'x' in jwks"):
            make_issuer().remove_key("x")

    async def test_while_it_is_down_nothing_can_be_known_and_then_it_can(self) -> None:
        issuer = make_issuer()
        issuer.down()
        with pytest.raises(VerifierUnavailable):
            await jwt_verifier(issuer).verify_token(issuer.token())

        issuer.up()

        assert (await jwt_verifier(issuer).verify_token(issuer.token())).subject == "dev-user"

    async def test_while_it_hangs_nobody_is_answered_and_then_everybody(self) -> None:
        issuer, answered = make_issuer(), list[int]()

        async def ask() -> None:
            async with client_of(issuer) as client:
                answered.append((await client.get("/jwks")).status_code)

        issuer.hang()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            assert answered == []
            issuer.up()

        assert answered == [200]

    async def test_it_may_be_slow(self) -> None:
        issuer = make_issuer()
        issuer.slow(60)
        with anyio.move_on_after(0.05) as waiting:
            async with client_of(issuer) as client:
                await client.get("/jwks")
        assert waiting.cancelled_caught

        issuer.slow(0)
        async with client_of(issuer) as client:
            assert (await client.get("/jwks")).status_code == 200

    async def test_it_counts_what_it_is_asked(self) -> None:
        issuer = make_issuer()
        verifier = jwt_verifier(issuer)

        for _ in range(3):
            await verifier.verify_token(issuer.token())

        assert issuer.requests == {"/.well-known/oauth-authorization-server": 1, "/jwks": 1}
        with pytest.raises(TypeError):
            issuer.requests["/jwks"] = 0  # type: ignore[index]


def client_of(issuer: Issuer) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(issuer), base_url=URL)


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return make_issuer()


def jwt_verifier(issuer: Issuer, **options: Any) -> JWTVerifier:
    """Return a verifier that knows the issuer's URL alone, and reaches it in process."""
    transport = httpx2.ASGITransport(issuer)
    keys = RemoteKeySet(Discovery(issuer.url, transport=transport), transport=transport)
    return JWTVerifier(keys=keys, **{"issuer": issuer.url, "audience": AUDIENCE, "clock": Clock(), **options})


def introspection_verifier(issuer: Issuer, **options: Any) -> IntrospectionTokenVerifier:
    own = {"client_id": "app", "client_secret": SECRET, "server_url": AUDIENCE, "clock": Clock(), "cache_ttl": 0}
    return IntrospectionTokenVerifier(issuer=issuer.url, transport=httpx2.ASGITransport(issuer), **{**own, **options})


async def call(issuer: Issuer, method: str, url: str, **request: Any) -> httpx2.Response:
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(issuer), base_url=URL) as client:
        return await client.request(method, url, **request)


def basic(client_id: str = "app", secret: str = SECRET) -> dict[str, str]:
    return basic_of(f"{quote_plus(client_id)}:{quote_plus(secret)}".encode())


def basic_of(pair: bytes) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(pair).decode()}


def payload(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = json.loads(_decode(token.split(".")[1]))
    return claims


def header(token: str) -> dict[str, Any]:
    parameters: dict[str, Any] = json.loads(_decode(token.partition(".")[0]))
    return parameters


def _decode(segment: str) -> bytes:
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


class TestWhatVerifiersSay:
    @pytest.mark.parametrize("url", [URL, f"{URL}/", f"{URL}/tenant", "https://idp.example/a/b/"], ids=str)
    async def test_a_token_is_good_for_a_verifier_that_discovers_the_issuer(self, url: str) -> None:
        issuer = make_issuer(url=url)
        token = issuer.token(sub="alice", scopes=["read", "write"])

        verified = await jwt_verifier(issuer, profile="rfc9068").verify_token(token)

        assert (verified.subject, verified.client_id, verified.scopes) == ("alice", "app", ("read", "write"))
        assert (verified.issuer, verified.audience) == (url, (AUDIENCE,))

    @pytest.mark.parametrize("url", [URL, f"{URL}/", f"{URL}/tenant"], ids=str)
    @pytest.mark.parametrize("client_auth", ["client_secret_basic", "client_secret_post"])
    async def test_an_opaque_token_is_good_for_a_verifier_that_asks(self, url: str, client_auth: str) -> None:
        issuer = make_issuer(url=url)
        token = issuer.opaque_token(sub="alice", scopes=["read"], client_id="other:app")

        verified = await introspection_verifier(issuer, client_auth=client_auth).verify_token(token)

        assert (verified.subject, verified.client_id, verified.scopes) == ("alice", "other:app", ("read",))
        assert (verified.issuer, verified.audience) == (url, (AUDIENCE,))
        assert "." not in token

    @pytest.mark.parametrize("algorithm", ["RS256", "PS512", "ES256", "ES512", "EdDSA", "Ed25519"])
    async def test_every_kind_of_key_is_published_so_that_its_tokens_verify(self, algorithm: str) -> None:
        issuer = make_issuer(algorithm=algorithm)

        verified = await jwt_verifier(issuer).verify_token(issuer.token())

        assert verified.subject == "dev-user"

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            pytest.param({"expired": True}, Reason.expired, id="expired"),
            pytest.param({"audience": "https://other.example"}, Reason.audience, id="audience"),
            pytest.param({"claims": {"iss": "https://other.example"}}, Reason.issuer, id="issuer"),
            pytest.param({"claims": {"exp": None}}, Reason.missing_claim, id="claim left out"),
            pytest.param({"claims": {"exp": "soon"}}, Reason.claim_type, id="claim of another type"),
            pytest.param({"typ": "logout+jwt"}, Reason.token_type, id="typ"),
            pytest.param({"kid": "unknown"}, Reason.unknown_key, id="kid"),
        ],
    )
    async def test_tokens_that_were_made_wrong_are_refused_for_that(
        self, issuer: Issuer, arguments: dict[str, Any], reason: Reason
    ) -> None:
        with pytest.raises(InvalidToken) as refusal:
            await jwt_verifier(issuer, leeway=300).verify_token(issuer.token(**arguments))

        assert refusal.value.reason is reason

    @pytest.mark.parametrize("make", ["token", "opaque_token"])
    async def test_a_revoked_token_is_inactive_at_once(self, issuer: Issuer, make: str) -> None:
        token, verifier = getattr(issuer, make)(), introspection_verifier(issuer)
        assert isinstance(await verifier.verify_token(token), AccessToken)

        issuer.revoke(token)

        with pytest.raises(InvalidToken) as refusal:
            await verifier.verify_token(token)
        assert refusal.value.reason is Reason.inactive


class TestTokens:
    def test_a_token_has_the_claims_of_rfc_9068(self, issuer: Issuer) -> None:
        token = issuer.token(scopes=["read"], expires_in=60)

        claims = payload(token)

        now = int(Clock().now)
        assert claims.pop("jti")
        assert claims == {
            "iss": URL,
            "sub": "dev-user",
            "aud": AUDIENCE,
            "client_id": "app",
            "scope": "read",
            "iat": now,
            "exp": now + 60,
        }
        assert header(token) == {"alg": "ES256", "typ": "at+jwt", "kid": issuer.jwks["keys"][0]["kid"]}

    def test_no_scope_and_no_typ_are_left_out_and_two_audiences_are_a_list(self, issuer: Issuer) -> None:
        token = issuer.token(typ=None, audience=["https://a.example", "https://b.example"])

        assert "typ" not in header(token)
        assert "scope" not in payload(token)
        assert payload(token)["aud"] == ["https://a.example", "https://b.example"]

    def test_a_token_that_has_ended_did_so_long_ago_and_had_begun_before(self, issuer: Issuer) -> None:
        claims = payload(issuer.token(expired=True, expires_in=60))

        assert (claims["iat"], claims["exp"]) == (int(Clock().now) - 660, int(Clock().now) - 600)

    def test_identifiers_come_from_the_given_source(self) -> None:
        def zeros(size: int) -> bytes:
            return bytes(size)

        issuer = make_issuer(random_bytes=zeros, clients=None)

        assert issuer.clients == {"dev-client": "A" * 32}
        assert payload(issuer.token())["jti"] == "A" * 22
        assert issuer.opaque_token() == "A" * 43

    def test_tokens_and_secrets_differ_by_default(self) -> None:
        one, two = make_issuer(clients=None), make_issuer(clients=None)

        assert one.clients["dev-client"] != two.clients["dev-client"]
        assert one.opaque_token() != one.opaque_token()

    @pytest.mark.parametrize(
        ("claims", "active"),
        [
            pytest.param({}, True, id="now"),
            pytest.param({"exp": 0}, False, id="ended"),
            pytest.param({"nbf": Clock().now + 1}, False, id="not begun"),
            pytest.param({"nbf": Clock().now}, True, id="just begun"),
            pytest.param({"exp": "soon", "nbf": "then"}, True, id="dates that say nothing"),
        ],
    )
    def test_introspection_follows_the_token_s_own_dates(
        self, issuer: Issuer, claims: dict[str, Any], active: bool
    ) -> None:
        assert issuer.introspect(issuer.opaque_token(claims=claims))["active"] is active

    def test_a_token_ends_when_its_time_comes(self) -> None:
        clock = Clock()
        issuer = make_issuer(clock=clock)
        token = issuer.opaque_token(expires_in=60)

        clock.advance(59)
        assert issuer.introspect(token)["active"] is True
        clock.advance(1)
        assert issuer.introspect(token) == {"active": False}

    def test_the_issuer_says_in_the_log_what_it_is_for_and_shows_no_secret(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.INFO):
            issuer = make_issuer()
            token = issuer.token()

        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert "for development" in caplog.text
        assert repr(issuer) == f"Issuer('{URL}')"
        assert SECRET not in caplog.text
        assert token not in caplog.text

    def test_the_clients_cannot_be_changed_from_outside(self, issuer: Issuer) -> None:
        with pytest.raises(TypeError):
            issuer.clients["app"] = "changed"  # type: ignore[index]

    def test_the_package_offers_the_issuer_and_nothing_that_it_has_not(self) -> None:
        assert asgi_bearer.testing.Issuer is Issuer
        with pytest.raises(AttributeError, match="no attribute 'Server'"):
            asgi_bearer.testing.Server  # type: ignore[attr-defined]  # noqa: B018

    @pytest.mark.parametrize(
        ("options", "error", "sentence"),
        [
            pytest.param({"url": "http://idp.example"}, ValueError, "url must be https", id="url not https"),
            pytest.param({"url": f"{URL}?q=1"}, ValueError, "url is an issuer identifier", id="url with query"),
            pytest.param({"url": 9000}, TypeError, "url is a str", id="url no str"),
            pytest.param({"algorithm": "HS256"}, ValueError, "algorithm is one of 'RS256'", id="algorithm"),
            pytest.param({"algorithm": None}, TypeError, "algorithm is one of", id="algorithm no str"),
            pytest.param({"clients": {}}, ValueError, "clients is empty", id="no clients"),
            pytest.param({"clients": ["app"]}, TypeError, "clients is a dict", id="clients no dict"),
            pytest.param({"clients": 1}, TypeError, "clients is a dict .* not int", id="clients a number"),
            pytest.param({"clients": {"app": ""}}, ValueError, "each client_secret of clients", id="empty secret"),
            pytest.param({"clients": {"": "s"}}, ValueError, "each client_id of clients is empty", id="empty client"),
            pytest.param({"clients": {"app": 1}}, TypeError, "each client_secret of clients", id="secret no str"),
            pytest.param({"audience": ""}, ValueError, "audience is empty", id="empty audience"),
            pytest.param({"audience": 1}, TypeError, "audience is", id="audience no str"),
            pytest.param({"token_format": "saml"}, ValueError, "token_format is one of 'jwt', 'opaque'", id="format"),
            pytest.param({"token_format": 1}, TypeError, "token_format is one of", id="format no str"),
            pytest.param({"clock": 1}, TypeError, "clock is a function", id="clock"),
            pytest.param({"random_bytes": b"0"}, TypeError, "random_bytes is a function", id="random"),
        ],
    )
    def test_options_that_cannot_be_meant_are_refused(
        self, options: dict[str, Any], error: type[Exception], sentence: str
    ) -> None:
        with pytest.raises(error, match=sentence):
            make_issuer(**options)

    @pytest.mark.parametrize("make", ["token", "opaque_token"])
    @pytest.mark.parametrize(
        ("arguments", "error", "sentence"),
        [
            pytest.param({"sub": ""}, ValueError, "sub is empty", id="empty sub"),
            pytest.param({"client_id": 1}, TypeError, "client_id is a str", id="client_id"),
            pytest.param({"scopes": "read"}, TypeError, "scopes is a sequence", id="scopes as str"),
            pytest.param({"scopes": ['"']}, ValueError, "scopes", id="no scope"),
            pytest.param({"audience": []}, ValueError, "audience is an empty sequence", id="audience"),
            pytest.param(
                {"expires_in": 0}, ValueError, "expires_in is a number of seconds, 1 or more", id="expires_in"
            ),
            pytest.param({"expires_in": "1"}, TypeError, "expires_in is a number", id="expires_in as str"),
            pytest.param({"expired": 1}, TypeError, "expired is True or False", id="expired"),
        ],
    )
    def test_arguments_that_cannot_be_meant_are_refused(
        self, issuer: Issuer, make: str, arguments: dict[str, Any], error: type[Exception], sentence: str
    ) -> None:
        with pytest.raises(error, match=sentence):
            getattr(issuer, make)(**arguments)


class TestMetadata:
    @pytest.mark.parametrize(
        ("url", "paths"),
        [
            (URL, ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"]),
            (
                f"{URL}/tenant/one",
                [
                    "/.well-known/oauth-authorization-server/tenant/one",
                    "/.well-known/openid-configuration/tenant/one",
                    "/tenant/one/.well-known/openid-configuration",
                ],
            ),
        ],
        ids=["root", "path"],
    )
    async def test_the_metadata_stands_at_every_well_known_place(self, url: str, paths: list[str]) -> None:
        issuer = make_issuer(url=url)

        answers = [await call(issuer, "GET", path) for path in paths]

        assert [answer.status_code for answer in answers] == [200] * len(paths)
        for answer in answers:
            assert answer.json() == {
                "issuer": url,
                "jwks_uri": f"{url}/jwks",
                "token_endpoint": f"{url}/token",
                "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
                "introspection_endpoint": f"{url}/introspect",
                "introspection_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
                "revocation_endpoint": f"{url}/revoke",
                "revocation_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
                "grant_types_supported": ["client_credentials"],
                "response_types_supported": ["none"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ES256"],
            }

    async def test_the_key_set_has_the_public_key_alone(self, issuer: Issuer) -> None:
        answer = await call(issuer, "GET", "/jwks")

        (key,) = answer.json()["keys"]
        assert set(key) == {"kty", "crv", "x", "y", "kid", "alg", "use"}
        assert (key["alg"], key["use"]) == ("ES256", "sig")

    @pytest.mark.parametrize(
        ("method", "path", "allowed"),
        [
            ("POST", "/jwks", {"GET", "HEAD"}),
            ("DELETE", "/.well-known/openid-configuration", {"GET", "HEAD"}),
            ("GET", "/token", {"POST"}),
            ("GET", "/introspect", {"POST"}),
            ("PUT", "/revoke", {"POST"}),
        ],
    )
    async def test_other_methods_are_405_and_the_answer_says_which_are_allowed(
        self, issuer: Issuer, method: str, path: str, allowed: set[str]
    ) -> None:
        answer = await call(issuer, method, path)

        assert answer.status_code == 405
        assert set(answer.headers["allow"].split(", ")) == allowed

    @pytest.mark.parametrize("path", ["/", "/token/", "/authorize", "/tenant/token"])
    async def test_other_paths_are_404(self, issuer: Issuer, path: str) -> None:
        assert (await call(issuer, "GET", path)).status_code == 404

    async def test_a_client_that_goes_away_is_no_error(self, issuer: Issuer) -> None:
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/token", "headers": [], "query_string": b""}
        await issuer(scope, receive, send)

        assert sent == []


class TestTokenEndpoint:
    async def test_a_client_gets_a_signed_token_for_itself(self, issuer: Issuer) -> None:
        form = {"grant_type": "client_credentials", "scope": "read write", "resource": AUDIENCE}

        answer = await call(issuer, "POST", "/token", data=form, headers=basic())

        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["pragma"] == "no-cache"
        body = answer.json()
        token = body.pop("access_token")
        assert body == {"token_type": "Bearer", "expires_in": 3600, "scope": "read write"}
        verified = await jwt_verifier(issuer, profile="rfc9068").verify_token(token)
        assert (verified.subject, verified.client_id, verified.scopes) == ("app", "app", ("read", "write"))

    @pytest.mark.parametrize(
        ("configured", "asked", "dots"),
        [
            ("jwt", {}, 2),
            ("opaque", {}, 0),
            ("jwt", {"token_format": "opaque"}, 0),
            ("opaque", {"token_format": "jwt"}, 2),
        ],
        ids=["jwt", "opaque", "opaque asked for", "jwt asked for"],
    )
    async def test_the_format_is_the_request_s_or_the_issuer_s(
        self, configured: str, asked: dict[str, str], dots: int
    ) -> None:
        issuer = make_issuer(token_format=configured)
        form = {"grant_type": "client_credentials", **asked}

        answer = await call(issuer, "POST", "/token", data=form, headers=basic())

        body = answer.json()
        assert body["access_token"].count(".") == dots
        assert "scope" not in body
        assert issuer.introspect(body["access_token"])["client_id"] == "app"

    @pytest.mark.parametrize(
        ("parameters", "audience"),
        [
            ("", AUDIENCE),
            ("&resource=", AUDIENCE),
            ("&audience=orders", "orders"),
            (
                "&resource=https://a.example&resource=https://b.example/x?y",
                ["https://a.example", "https://b.example/x?y"],
            ),
            ("&resource=urn:a&audience=b&audience=urn:a", ["urn:a", "b"]),
        ],
        ids=["none", "empty", "audience", "two resources", "both"],
    )
    async def test_the_audience_is_what_the_request_names_or_the_issuer_s_own(
        self, issuer: Issuer, parameters: str, audience: object
    ) -> None:
        body = f"grant_type=client_credentials{parameters}"

        answer = await call(issuer, "POST", "/token", content=body, headers={**FORM, **basic()})

        assert payload(answer.json()["access_token"])["aud"] == audience

    @pytest.mark.parametrize(
        ("body", "error", "sentence"),
        [
            pytest.param("", "invalid_request", "the parameter grant_type is missing", id="empty body"),
            pytest.param(
                "grant_type=", "invalid_request", "the parameter grant_type is missing", id="empty grant_type"
            ),
            pytest.param(
                "grant_type=password", "unsupported_grant_type", "must be client_credentials", id="other grant"
            ),
            pytest.param("CC&grant_type=password", "invalid_request", "more than once", id="grant_type twice"),
            pytest.param("CC&foo=1&foo=1", "invalid_request", "more than once", id="unknown parameter twice"),
            pytest.param("CC&scope=a%20%20b", "invalid_scope", "one space between", id="scope with two spaces"),
            pytest.param("CC&scope=%22", "invalid_scope", "one space between", id="scope with a quote"),
            pytest.param("CC&scope=%C3%A9", "invalid_scope", "one space between", id="scope not ASCII"),
            pytest.param("CC&resource=/path", "invalid_target", "absolute URI", id="resource not absolute"),
            pytest.param("CC&resource=https:", "invalid_target", "absolute URI", id="resource without anything"),
            pytest.param("CC&resource=http://[", "invalid_target", "absolute URI", id="resource no URI"),
            pytest.param("CC&resource=https://a%23b", "invalid_target", "absolute URI", id="resource with fragment"),
            pytest.param("CC&resource=urn:a&resource=b", "invalid_target", "absolute URI", id="second resource"),
            pytest.param("CC&token_format=saml", "invalid_request", "jwt or opaque", id="unknown format"),
            pytest.param("CC&scope", "invalid_request", "in UTF-8", id="no equals sign"),
            pytest.param("CC&scope=%zz", "invalid_request", "in UTF-8", id="bad escape"),
            pytest.param("CC&scope=%ff", "invalid_request", "in UTF-8", id="escape that is no UTF-8"),
            pytest.param("CC&scope=é", "invalid_request", "in UTF-8", id="raw UTF-8"),
            pytest.param("CC" + "&a=1" * 100, "invalid_request", "in UTF-8", id="too many parameters"),
        ],
    )
    async def test_requests_it_cannot_grant_are_refused_by_name(
        self, issuer: Issuer, body: str, error: str, sentence: str
    ) -> None:
        content = body.replace("CC", "grant_type=client_credentials").encode()

        answer = await call(issuer, "POST", "/token", content=content, headers={**FORM, **basic()})

        assert answer.status_code == 400
        assert answer.json()["error"] == error
        assert sentence in answer.json()["error_description"]
        assert answer.headers["cache-control"] == "no-store"
        assert "www-authenticate" not in answer.headers

    @pytest.mark.parametrize(
        ("content_type", "status"),
        [
            ("application/x-www-form-urlencoded", 200),
            ("Application/X-WWW-Form-URLEncoded ; charset=UTF-8", 200),
            ("application/json", 400),
            ("multipart/form-data; boundary=x", 400),
            ("", 400),
        ],
    )
    async def test_the_body_is_a_form_and_says_so(self, issuer: Issuer, content_type: str, status: int) -> None:
        headers = {"content-type": content_type, **basic()}

        answer = await call(issuer, "POST", "/token", content=b"grant_type=client_credentials", headers=headers)

        assert answer.status_code == status
        assert status == 200 or answer.json()["error"] == "invalid_request"

    @pytest.mark.parametrize("path", ["/token", "/introspect", "/revoke"])
    async def test_a_long_body_is_not_read(self, issuer: Issuer, path: str) -> None:
        answer = await call(issuer, "POST", path, content=b"a=" + b"b" * 65536, headers={**FORM, **basic()})

        assert answer.status_code == 413


ENDPOINTS = ["/token", "/introspect", "/revoke"]
BODY = "grant_type=client_credentials&token=unknown"


class TestClientAuthentication:
    @pytest.mark.parametrize("path", ENDPOINTS)
    @pytest.mark.parametrize(
        ("headers", "parameters"),
        [
            pytest.param(basic(), "", id="basic"),
            pytest.param(basic(), "&client_id=app", id="basic, named in the body, too"),
            pytest.param(basic("other:app", "0ther"), "", id="a colon in the client_id"),
            pytest.param({}, f"&client_id=app&client_secret={quote_plus(SECRET)}", id="post"),
            pytest.param({"authorization": basic()["authorization"].replace("Basic", "bASIC ")}, "", id="any case"),
        ],
    )
    async def test_the_right_credentials_open_every_endpoint(
        self, issuer: Issuer, path: str, headers: dict[str, str], parameters: str
    ) -> None:
        answer = await call(issuer, "POST", path, content=BODY + parameters, headers={**FORM, **headers})

        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"

    @pytest.mark.parametrize("path", ENDPOINTS)
    @pytest.mark.parametrize(
        ("headers", "parameters"),
        [
            pytest.param({}, "", id="none"),
            pytest.param({}, "&client_id=app", id="no secret"),
            pytest.param({}, "&client_secret=x", id="no client_id"),
            pytest.param({}, "&client_id=app&client_secret=wrong", id="wrong secret by post"),
            pytest.param({}, "&client_id=nobody&client_secret=x", id="unknown client by post"),
            pytest.param(basic(secret="wrong"), "", id="wrong secret"),
            pytest.param(basic(client_id="nobody"), "", id="unknown client"),
            pytest.param(basic(client_id="nobody", secret=""), "", id="unknown client, empty secret"),
            pytest.param(basic_of(f"app:{SECRET}".encode()), "", id="not form-encoded"),
            pytest.param(basic_of(b"app"), "", id="no colon"),
            pytest.param(basic_of(b"app:%ff"), "", id="no UTF-8"),
            pytest.param({"authorization": "Basic"}, "", id="scheme alone"),
            pytest.param({"authorization": "Basic !!!!"}, "", id="no base64"),
            pytest.param({"authorization": "Basic YQ"}, "", id="base64 cut off"),
            pytest.param({"authorization": "Bearer YTpi"}, "", id="another scheme"),
        ],
    )
    async def test_wrong_credentials_are_invalid_client_with_a_challenge(
        self, issuer: Issuer, path: str, headers: dict[str, str], parameters: str
    ) -> None:
        answer = await call(issuer, "POST", path, content=BODY + parameters, headers={**FORM, **headers})

        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == 'Basic realm="issuer", charset="UTF-8"'
        assert answer.headers["cache-control"] == "no-store"
        assert answer.json() == {
            "error": "invalid_client",
            "error_description": "the client is not known, or its credentials are wrong or missing",
        }

    @pytest.mark.parametrize("path", ENDPOINTS)
    @pytest.mark.parametrize(
        ("headers", "parameters"),
        [
            pytest.param([*basic().items()], "&client_id=app&client_secret=x", id="basic and post"),
            pytest.param([*basic().items(), *basic().items()], "", id="two headers"),
            pytest.param([*basic().items()], "&client_id=other:app", id="another client in the body"),
        ],
    )
    async def test_two_ways_at_once_are_an_invalid_request(
        self, issuer: Issuer, path: str, headers: list[tuple[str, str]], parameters: str
    ) -> None:
        answer = await call(issuer, "POST", path, content=BODY + parameters, headers=[*FORM.items(), *headers])

        assert answer.status_code == 400
        assert answer.json()["error"] == "invalid_request"


class TestIntrospectionEndpoint:
    async def test_an_active_token_is_described(self, issuer: Issuer) -> None:
        token = issuer.opaque_token(scopes=["read"], claims={"username": "al"})

        answer = await call(issuer, "POST", "/introspect", data={"token": token}, headers=basic("other:app", "0ther"))

        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"
        body = answer.json()
        assert body["active"] is True
        assert {name: body[name] for name in ("token_type", "client_id", "scope", "username", "aud", "iss")} == {
            "token_type": "Bearer",
            "client_id": "app",
            "scope": "read",
            "username": "al",
            "aud": AUDIENCE,
            "iss": URL,
        }

    @pytest.mark.parametrize("token", ["unknown", "é€", "a.b.c"])
    async def test_of_any_other_token_nothing_is_said(self, issuer: Issuer, token: str) -> None:
        answer = await call(issuer, "POST", "/introspect", data={"token": token}, headers=basic())

        assert (answer.status_code, answer.json()) == (200, {"active": False})

    @pytest.mark.parametrize("path", ["/introspect", "/revoke"])
    @pytest.mark.parametrize("form", ["", "token=", "token_type_hint=access_token"])
    async def test_a_request_without_a_token_is_invalid(self, issuer: Issuer, path: str, form: str) -> None:
        answer = await call(issuer, "POST", path, content=form, headers={**FORM, **basic()})

        assert answer.status_code == 400
        assert answer.json() == {
            "error": "invalid_request",
            "error_description": "the parameter token is missing",
        }


class TestRevocationEndpoint:
    @pytest.mark.parametrize("hint", [{}, {"token_type_hint": "access_token"}, {"token_type_hint": "strange"}])
    async def test_a_client_revokes_its_own_token_as_often_as_it_likes(
        self, issuer: Issuer, hint: dict[str, str]
    ) -> None:
        token = issuer.opaque_token()
        form = {"token": token, **hint}

        answers = [await call(issuer, "POST", "/revoke", data=form, headers=basic()) for _ in range(2)]

        assert [(answer.status_code, answer.content) for answer in answers] == [(200, b""), (200, b"")]
        assert issuer.introspect(token) == {"active": False}

    async def test_a_client_does_not_revoke_another_client_s_token(self, issuer: Issuer) -> None:
        token = issuer.opaque_token(client_id="other:app")

        answer = await call(issuer, "POST", "/revoke", data={"token": token}, headers=basic())

        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
        assert issuer.introspect(token)["active"] is True
