"""Which claims make a good access token, and by which name each bad set is refused."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import pytest

from asgi_bearer.errors import InvalidToken, Reason
from asgi_bearer.rules.claims import (
    RFC9068_CLAIMS,
    ClaimRules,
    Lifetime,
    check_claims,
    check_kind,
    check_typ,
    find_claim,
    read_audience,
    read_verdict,
)

if TYPE_CHECKING:
    from asgi_bearer.rules.claims import Profile

NOW = 1_800_000_000
ISSUER = "https://idp.example/tenant"
API = "https://api.example"
GOOD: dict[str, Any] = {
    "iss": ISSUER,
    "sub": "user-1",
    "aud": API,
    "client_id": "app",
    "exp": NOW + 600,
    "iat": NOW - 60,
    "jti": "id-1",
    "scope": "read write",
}
RULES = ClaimRules(
    issuers=frozenset({ISSUER}), audiences=frozenset({API}), leeway=30.0, required_claims=("exp", "iss", "aud")
)
ANYTHING = ClaimRules(issuers=frozenset(), audiences=frozenset(), leeway=0.0)


def refusal(claims: dict[str, Any], rules: ClaimRules = RULES) -> Reason | None:
    """Return why `claims` are refused, None where they are not."""
    try:
        check_claims(claims, rules, NOW)
        read_verdict(claims, rules.scope_claims)
    except InvalidToken as error:
        return error.reason
    return None


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in GOOD.items() if key != name}


# --- typ


@pytest.mark.parametrize(
    ("profile", "typ"),
    [
        pytest.param("rfc9068", "at+jwt", id="CL1 at+jwt"),
        pytest.param("lax", "at+jwt", id="JW24 lax at+jwt"),
        pytest.param("lax", "jwt", id="JW24 lax jwt"),
        pytest.param("lax", None, id="JW24 lax none"),
    ],
)
def test_the_typ_of_an_access_token_is_taken(profile: Profile, typ: str | None) -> None:
    check_typ(typ, profile)


@pytest.mark.parametrize(
    ("profile", "typ"),
    [
        pytest.param("rfc9068", None, id="CL1 none"),
        pytest.param("rfc9068", "", id="CL1 empty"),
        pytest.param("rfc9068", "jwt", id="CL1 jwt"),
        *(
            pytest.param(profile, typ, id=f"JW24 JW29 {profile} {typ or 'empty'}")
            for profile in ("lax", "rfc9068")
            for typ in (
                "at",
                "at+jwt ",
                "at+jwt\x00",
                "application/x/at+jwt",
                "logout+jwt",
                "dpop+jwt",
                "id_token",
                "secevent+jwt",
                "statuslist+jwt",
                "oauth-authz-req+jwt",
                "token-introspection+jwt",
                "client-authentication+jwt",
                "oauth-id-jag+jwt",
                "jose",
            )
        ),
        pytest.param("lax", "", id="JW24 lax empty"),
    ],
)
def test_any_other_typ_is_another_kind_of_token(profile: Profile, typ: str | None) -> None:
    with pytest.raises(InvalidToken) as caught:
        check_typ(typ, profile)

    assert caught.value.reason is Reason.token_type


# --- kind


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({}, id="nothing said"),
        pytest.param({"typ": "Bearer"}, id="Keycloak's access token"),
        pytest.param({"typ": "DPoP"}, id="Keycloak's bound access token"),
        pytest.param({"token_use": "access"}, id="Cognito's access token"),
        pytest.param({"nonce": "n", "scope": "read"}, id="a nonce beside scope"),
        pytest.param({"nonce": "n", "scp": "read"}, id="a nonce beside scp"),
        pytest.param({"nonce": "n", "client_id": "app"}, id="a nonce beside client_id"),
    ],
)
def test_what_may_be_an_access_token_is_taken_for_one(claims: dict[str, Any]) -> None:
    check_kind(claims)


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({"at_hash": "x"}, id="JW29 an ID token by at_hash"),
        pytest.param({"c_hash": "x"}, id="JW29 an ID token by c_hash"),
        pytest.param({"at_hash": None}, id="JW29 at_hash whatever it says"),
        pytest.param({"nonce": "n", "sub": "user-1"}, id="JW29 an ID token by nonce"),
        pytest.param({"events": {"http://schemas.openid.net/event/backchannel-logout": {}}}, id="JW29 a logout token"),
        pytest.param({"typ": "ID"}, id="JW29 Keycloak's ID token"),
        pytest.param({"typ": "Refresh"}, id="JW29 Keycloak's refresh token"),
        pytest.param({"typ": "Offline"}, id="JW29 Keycloak's offline token"),
        pytest.param({"typ": "Logout"}, id="JW29 Keycloak's logout token"),
        pytest.param({"token_use": "id"}, id="JW29 Cognito's ID token"),
        pytest.param({"token_use": "ID"}, id="JW29 in any case"),
        pytest.param({"token_use": "refresh_token"}, id="JW29 a refresh token"),
        pytest.param({"token_use": "access", "typ": "ID"}, id="B3 one claim cannot relax another"),
        pytest.param({"scope": "read", "at_hash": "x"}, id="B3 scope does not relax at_hash"),
        pytest.param({"typ": 1}, id="a typ that is no str"),
        pytest.param({"typ": ["Bearer"]}, id="a typ that is a list"),
        pytest.param({"token_use": None}, id="a token_use of null"),
    ],
)
def test_what_is_plainly_another_kind_of_token_is_refused(claims: dict[str, Any]) -> None:
    with pytest.raises(InvalidToken) as caught:
        check_kind(claims)

    assert caught.value.reason is Reason.token_type


# --- claims


def test_good_claims_are_good_until_they_end() -> None:
    assert check_claims(GOOD, RULES, NOW) == Lifetime(start=NOW - 90, end=NOW + 630)


@pytest.mark.parametrize("name", RULES.required_claims)
def test_a_claim_that_is_required_must_be_there(name: str) -> None:
    assert refusal(without(name)) is Reason.missing_claim


@pytest.mark.parametrize("name", RFC9068_CLAIMS)
def test_cl2_every_claim_of_rfc_9068_can_be_required(name: str) -> None:
    rules = dataclasses.replace(RULES, required_claims=RFC9068_CLAIMS)

    assert refusal(GOOD, rules) is None
    assert refusal(without(name), rules) is Reason.missing_claim


@pytest.mark.parametrize("name", ["iss", "aud", "exp", "sub", "client_id", "iat", "jti"])
def test_a_claim_that_is_not_required_may_be_left_out(name: str) -> None:
    assert refusal(without(name), dataclasses.replace(RULES, required_claims=())) is None


@pytest.mark.parametrize("name", ["iss", "sub", "jti", "client_id"])
@pytest.mark.parametrize(
    "value",
    [None, 1, True, 1.5, "", [], ["x"], [ISSUER], {"x": 1}],
    ids=["null", "int", "bool", "float", "empty", "empty list", "list", "list of the issuer", "object"],
)
def test_cl2_cl9_a_name_is_a_str_that_is_not_empty(name: str, value: object) -> None:
    assert refusal({**GOOD, name: value}) is Reason.claim_type


@pytest.mark.parametrize("name", ["iss", "sub", "jti", "exp", "nbf", "iat"])
def test_a_claim_has_its_type_even_where_nothing_is_configured(name: str) -> None:
    assert refusal({name: {"$ne": None}}, ANYTHING) is Reason.claim_type


@pytest.mark.parametrize(
    "issuer",
    [
        pytest.param("https://idp.example/tenant/", id="CL3 a slash behind"),
        pytest.param("https://idp.example/Tenant", id="CL3 another case"),
        pytest.param("HTTPS://idp.example/tenant", id="CL3 the scheme in upper case"),
        pytest.param("https://idp.example:443/tenant", id="CL3 the default port"),
        pytest.param("https://idp.example/%74enant", id="CL3 percent-encoded"),
        pytest.param("https://idp.example/ten", id="CL3 the beginning of it"),
        pytest.param("https://idp.example/tenant2", id="CL3 more than it"),
        pytest.param(" https://idp.example/tenant", id="CL3 a space in front"),
        pytest.param("https://idp.example/tenant\n", id="CL3 a line feed behind"),
        pytest.param("http://idp.example/tenant", id="CL3 without TLS"),
        pytest.param("https://evil.example", id="CL3 another issuer"),
    ],
)
def test_the_issuer_is_equal_by_every_character_or_another_one(issuer: str) -> None:
    assert refusal({**GOOD, "iss": issuer}) is Reason.issuer


def test_any_of_several_issuers_is_taken() -> None:
    rules = dataclasses.replace(RULES, issuers=frozenset({ISSUER, "https://other.example"}))

    assert refusal(GOOD, rules) is None
    assert refusal({**GOOD, "iss": "https://other.example"}, rules) is None


@pytest.mark.parametrize(
    "audience",
    [
        pytest.param(API, id="CL4 a str"),
        pytest.param([API], id="CL4 a list"),
        pytest.param(["https://other.example", API], id="CL4 a list with others"),
    ],
)
def test_an_audience_that_names_this_api_is_taken(audience: object) -> None:
    assert refusal({**GOOD, "aud": audience}) is None


@pytest.mark.parametrize(
    ("audience", "reason"),
    [
        pytest.param("https://other.example", Reason.audience, id="CL4 another API"),
        pytest.param(["https://other.example"], Reason.audience, id="CL4 a list of others"),
        pytest.param("https://api.example/", Reason.audience, id="CL15 a slash behind"),
        pytest.param("https://api", Reason.audience, id="CL4 the beginning of it"),
        pytest.param("https://api.example https://other.example", Reason.audience, id="CL4 parted by a space"),
        pytest.param("*", Reason.audience, id="CL4 a wildcard"),
        pytest.param([], Reason.claim_type, id="B3 an empty list"),
        pytest.param("", Reason.claim_type, id="B3 empty"),
        pytest.param(None, Reason.claim_type, id="CL4 null"),
        pytest.param(1, Reason.claim_type, id="CL4 a number"),
        pytest.param(True, Reason.claim_type, id="CL4 true"),
        pytest.param({API: True}, Reason.claim_type, id="CL4 an object"),
        pytest.param([API, 1], Reason.claim_type, id="C1.7 a list with a number"),
        pytest.param([API, None], Reason.claim_type, id="C1.7 a list with null"),
        pytest.param([API, ""], Reason.claim_type, id="C1.7 a list with an empty str"),
        pytest.param([[API]], Reason.claim_type, id="C1.7 a list in a list"),
    ],
)
def test_any_other_audience_is_refused(audience: object, reason: Reason) -> None:
    assert refusal({**GOOD, "aud": audience}) is reason


@pytest.mark.parametrize("audience", [[], "", 1, {API: True}], ids=repr)
def test_an_audience_has_its_type_even_where_none_is_configured(audience: object) -> None:
    assert refusal({**GOOD, "aud": audience}, ANYTHING) is Reason.claim_type


def test_where_nothing_is_configured_any_issuer_and_audience_is_taken() -> None:
    assert refusal({"iss": "https://any.example", "aud": ["any"]}, ANYTHING) is None


def test_the_audience_may_stand_in_another_claim() -> None:
    rules = dataclasses.replace(
        RULES, audiences=frozenset({"app"}), audience_claim="client_id", required_claims=("client_id",)
    )

    assert refusal(without("aud"), rules) is None
    assert refusal({**without("aud"), "client_id": "other"}, rules) is Reason.audience
    assert refusal(without("client_id"), rules) is Reason.missing_claim


def test_no_claim_relaxes_a_check() -> None:
    extras = {"cnf": {}, "nonce_supported": False, "aud_ignored": True, "exp_optional": True}

    assert refusal({**GOOD, **extras, "iss": "https://evil.example"}) is Reason.issuer
    assert refusal({**GOOD, **extras, "exp": NOW - 31}) is Reason.expired


# --- time


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        pytest.param({"exp": NOW + 1}, None, id="CL6 about to end"),
        pytest.param({"exp": NOW}, None, id="CL6 ends now, within the leeway"),
        pytest.param({"exp": NOW - 29}, None, id="CL6 the last second of the leeway"),
        pytest.param({"exp": NOW - 30}, Reason.expired, id="CL6 the leeway is over"),
        pytest.param({"exp": NOW - 29.5}, None, id="CL6 a fraction within the leeway"),
        pytest.param({"exp": 0, "iat": 0}, Reason.expired, id="CL6 1970"),
        pytest.param({"exp": 253402300799}, None, id="CL6 the last second of 9999"),
        pytest.param({"nbf": NOW + 30}, None, id="CL7 nbf within the leeway"),
        pytest.param({"nbf": NOW + 31}, Reason.not_yet_valid, id="CL7 nbf in the future"),
        pytest.param({"nbf": NOW - 1000}, None, id="CL7 nbf in the past"),
        pytest.param({"iat": NOW + 30}, None, id="CL7 iat within the leeway"),
        pytest.param({"iat": NOW + 31}, Reason.not_yet_valid, id="CL7 iat in the future"),
        pytest.param({"nbf": NOW - 10, "iat": NOW + 31}, Reason.not_yet_valid, id="CL7 nbf does not excuse iat"),
        pytest.param({"iat": NOW + 600}, Reason.expired, id="CL7 ends when it was issued"),
        pytest.param({"iat": NOW + 601}, Reason.expired, id="CL7 ended before it was issued"),
    ],
)
def test_a_token_is_good_from_its_start_to_its_end(claims: dict[str, Any], reason: Reason | None) -> None:
    assert refusal({**GOOD, **claims}) is reason


def test_b3_no_leeway_is_none() -> None:
    rules = dataclasses.replace(RULES, leeway=0.0)

    assert refusal({**GOOD, "exp": NOW + 1}, rules) is None
    assert refusal({**GOOD, "exp": NOW}, rules) is Reason.expired
    assert refusal({**GOOD, "nbf": NOW}, rules) is None
    assert refusal({**GOOD, "nbf": NOW + 1}, rules) is Reason.not_yet_valid


def test_without_dates_a_token_has_neither_start_nor_end() -> None:
    assert check_claims({}, ANYTHING, NOW) == Lifetime(-math.inf, math.inf)


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize(
    "value",
    [
        pytest.param(None, id="null"),
        pytest.param(True, id="true"),
        pytest.param(False, id="false"),
        pytest.param(str(NOW + 600), id="a str"),
        pytest.param("", id="an empty str"),
        pytest.param([NOW + 600], id="a list"),
        pytest.param({}, id="an object"),
        pytest.param(math.nan, id="NaN"),
        pytest.param(math.inf, id="Infinity"),
        pytest.param(-math.inf, id="-Infinity"),
        pytest.param(-1, id="before 1970"),
        pytest.param(-0.5, id="half a second before 1970"),
        pytest.param(253402300800, id="after 9999"),
        pytest.param(1e308, id="1e308"),
        pytest.param(10**19, id="20 digits"),
    ],
)
def test_cl6_cl7_a_date_is_a_number_that_a_datetime_can_hold(name: str, value: object) -> None:
    assert refusal({**GOOD, name: value}) is Reason.claim_type


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        pytest.param({"aud": "x", "iss": "x", "exp": 1, "iat": 0, "sub": 1}, Reason.claim_type, id="types first"),
        pytest.param({"aud": "x", "iss": "x", "exp": 1, "iat": 0}, Reason.expired, id="then time"),
        pytest.param({"aud": "x", "iss": "x"}, Reason.issuer, id="then the issuer"),
        pytest.param({"aud": "x", "scope": 1}, Reason.audience, id="then the audience"),
        pytest.param({"scope": 1}, Reason.claim_type, id="scopes last"),
    ],
)
def test_the_first_check_that_fails_is_the_reason(claims: dict[str, Any], reason: Reason) -> None:
    assert refusal({**GOOD, **claims}) is reason


@pytest.mark.parametrize("claims", [{"exp": "soon"}, {"iss": 1}, {"aud": [1]}, {"exp": 10**30}], ids=repr)
def test_a_refusal_quotes_no_claim_and_follows_no_other_error(claims: dict[str, Any]) -> None:
    with pytest.raises(InvalidToken) as caught:
        check_claims(claims, ANYTHING, NOW)

    assert str(caught.value) == "401 claim_type"
    assert caught.value.args == (Reason.claim_type,)
    assert caught.value.__context__ is None


# --- what the handler sees


def test_the_verdict_holds_what_the_claims_say() -> None:
    verdict = read_verdict({**GOOD, "aud": [API, "other"]}, ("scope",))

    assert verdict.client_id == "app"
    assert verdict.scopes == ("read", "write")
    assert verdict.expires_at == NOW + 600
    assert verdict.subject == "user-1"
    assert verdict.issuer == ISSUER
    assert verdict.audience == (API, "other")
    assert verdict.claims == {**GOOD, "aud": (API, "other")}


def test_the_verdict_of_no_claims_is_empty() -> None:
    verdict = read_verdict({}, ("scope",))

    assert verdict == ("", (), None, None, None, (), {}, False)


def test_cl12_cl14_claims_nobody_asked_for_are_kept_and_cannot_be_changed() -> None:
    given = {**GOOD, "act": {"sub": "service"}, "roles": [{"name": "admin"}]}

    claims = read_verdict(given, ("scope",)).claims

    assert claims["act"] == {"sub": "service"}
    with pytest.raises(TypeError, match="read-only"):
        claims["roles"][0]["name"] = "root"
    given["act"]["sub"] = "somebody else"
    assert claims["act"] == {"sub": "service"}


@pytest.mark.parametrize(
    ("claims", "client"),
    [
        pytest.param({"client_id": "a", "azp": "b", "cid": "c", "appid": "d", "sub": "e"}, "a", id="client_id"),
        pytest.param({"azp": "b", "cid": "c", "appid": "d", "sub": "e"}, "b", id="azp"),
        pytest.param({"cid": "c", "appid": "d", "sub": "e"}, "c", id="cid"),
        pytest.param({"appid": "d", "sub": "e"}, "d", id="appid"),
        pytest.param({"sub": "e"}, "e", id="sub"),
        pytest.param({}, "", id="none"),
    ],
)
def test_the_client_is_the_first_claim_that_names_one(claims: dict[str, Any], client: str) -> None:
    assert read_verdict(claims, ("scope",)).client_id == client


@pytest.mark.parametrize("name", ["client_id", "azp", "cid", "appid"])
@pytest.mark.parametrize("value", [None, 1, "", ["app"]], ids=["null", "int", "empty", "list"])
def test_a_client_that_is_no_name_is_refused_rather_than_passed_over(name: str, value: object) -> None:
    assert refusal({name: value, "sub": "user-1"}, ANYTHING) is Reason.claim_type


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        pytest.param({"scope": "read write"}, ("read", "write"), id="CL10 a str"),
        pytest.param({"scp": "read write"}, ("read", "write"), id="CL10 scp as a str"),
        pytest.param({"scp": ["read", "write"]}, ("read", "write"), id="CL10 scp as a list"),
        pytest.param({"scope": ["read", "write"]}, ("read", "write"), id="CL10 scope as a list"),
        pytest.param({"scope": "read", "scp": ["write", "read"]}, ("read", "write"), id="CL10 both"),
        pytest.param({"scope": "read", "scp": "write"}, ("read", "write"), id="CL10 both, as strings"),
        pytest.param({"scope": "  read   write "}, ("read", "write"), id="CL10 more spaces than one"),
        pytest.param({"scope": "read read"}, ("read",), id="CL10 a scope twice"),
        pytest.param({"scope": "read\twrite"}, ("read\twrite",), id="CL10 a tab parts nothing"),
        pytest.param({"scope": "read,write"}, ("read,write",), id="CL10 a comma parts nothing"),
        pytest.param({"scp": ["read write"]}, ("read write",), id="CL10 an item of a list is one scope"),
        pytest.param({"scp": ["", "read"]}, ("read",), id="CL10 an empty item is none"),
        pytest.param({"scope": ""}, (), id="CL10 empty"),
        pytest.param({"scope": "   "}, (), id="CL10 blank"),
        pytest.param({"scp": []}, (), id="CL10 an empty list"),
        pytest.param({"scope": None}, (), id="CL10 null grants nothing"),
        pytest.param({}, (), id="CL10 none"),
    ],
)
def test_scopes_are_read_from_every_claim_that_has_them(claims: dict[str, Any], scopes: tuple[str, ...]) -> None:
    assert read_verdict(claims, ("scope", "scp")).scopes == scopes


@pytest.mark.parametrize(
    "value",
    [1, 0, True, False, 1.5, {"read": True}, {}, ["read", 1], ["read", None], [["read"]], [{"scope": "read"}]],
    ids=repr,
)
@pytest.mark.parametrize("name", ["scope", "scp"])
def test_cl10_scopes_of_another_type_are_refused(name: str, value: object) -> None:
    assert refusal({**GOOD, name: value}) is Reason.claim_type


@pytest.mark.parametrize(
    ("path", "scopes"),
    [
        pytest.param("realm_access.roles", ("admin", "user"), id="CL11 dots lead into objects"),
        pytest.param("https://example.com/roles", ("owner",), id="CL11 a name with dots"),
        pytest.param("realm_access.groups", (), id="CL11 a member that is not there"),
        pytest.param("realm_access.roles.0", (), id="CL11 nothing is found in a list"),
        pytest.param("sub.roles", (), id="CL11 nothing is found in a str"),
        pytest.param("nowhere.roles", (), id="CL11 an object that is not there"),
        pytest.param("nowhere", (), id="CL11 a claim that is not there"),
    ],
)
def test_scopes_can_be_read_from_within(path: str, scopes: tuple[str, ...]) -> None:
    claims = {"sub": "u", "realm_access": {"roles": ["admin", "user"]}, "https://example.com/roles": "owner"}

    assert read_verdict(claims, (path,)).scopes == scopes


def test_a_claim_by_its_whole_name_comes_before_a_path() -> None:
    assert find_claim({"a.b": 1, "a": {"b": 2}}, "a.b") == 1
    assert find_claim({"a": {"b": 2}}, "a.b") == 2
    assert find_claim({"a": {"b.c": 3}}, "a.b.c") is None


def test_the_audience_of_no_claim_is_empty() -> None:
    assert read_audience({}) == ()
