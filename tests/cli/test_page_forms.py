"""What the page sends, read field by field."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from fakes import Clock
from hypothesis import given
from hypothesis import strategies as st

from asgi_bearer.cli.page.forms import MAX_BYTES, Call, WrongForm, make_token, read_call
from asgi_bearer.testing import Issuer

NOW = 1_800_000_000


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer("http://127.0.0.1:9000", clients={"app": "secret"}, audience="http://api.example", clock=Clock(NOW))


def form(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def parts(token: str) -> list[dict[str, Any]]:
    return [json.loads(base64.urlsafe_b64decode(f"{part}==")) for part in token.split(".")[:2]]


def claims(token: str) -> dict[str, Any]:
    return parts(token)[1]


class TestToken:
    def test_nothing_but_defaults_is_what_the_issuer_makes(self, issuer: Issuer) -> None:
        header, content = parts(make_token(issuer, b"{}"))

        assert header["typ"] == "at+jwt"
        assert {name: content[name] for name in ("sub", "client_id", "aud", "exp")} == {
            "sub": "dev-user",
            "client_id": "app",
            "aud": "http://api.example",
            "exp": NOW + 3600,
        }

    def test_every_field_gets_into_the_token(self, issuer: Issuer) -> None:
        asked = form(
            format="jwt",
            sub="alice",
            client_id="web",
            scopes=" read  write read ",
            audience="https://a.example https://b.example",
            expires_in=60,
            expired=False,
            typ="JWT",
            claims='{"role": "editor", "big": 12345678901234567890}',
            tampered=False,
            revoked=False,
        )

        header, content = parts(make_token(issuer, asked))

        assert header["typ"] == "JWT"
        assert content["sub"] == "alice"
        assert content["client_id"] == "web"
        assert content["scope"] == "read write"
        assert content["aud"] == ["https://a.example", "https://b.example"]
        assert content["exp"] == NOW + 60
        assert content["role"] == "editor"
        assert content["big"] == 12345678901234567890

    @pytest.mark.parametrize(
        ("field", "claim"), [("sub", "sub"), ("client_id", "client_id"), ("scopes", "scope"), ("audience", "aud")]
    )
    def test_an_empty_field_is_a_claim_that_the_token_does_not_have(
        self, issuer: Issuer, field: str, claim: str
    ) -> None:
        assert claim not in claims(make_token(issuer, form(**{field: ""})))

    def test_an_empty_type_and_empty_claims_are_left_out_too(self, issuer: Issuer) -> None:
        assert "typ" not in parts(make_token(issuer, form(typ="", claims="")))[0]

    def test_claims_come_last(self, issuer: Issuer) -> None:
        content = claims(make_token(issuer, form(sub="alice", claims='{"sub": "bob", "iss": null}')))

        assert content["sub"] == "bob"
        assert "iss" not in content

    def test_an_opaque_token_is_known_to_the_issuer_alone(self, issuer: Issuer) -> None:
        token = make_token(issuer, form(format="opaque", sub="alice", typ="at+jwt"))

        assert "." not in token
        assert issuer.introspect(token)["sub"] == "alice"

    def test_an_expired_one_has_ended(self, issuer: Issuer) -> None:
        assert claims(make_token(issuer, form(expired=True)))["exp"] < NOW

    @pytest.mark.parametrize("kind", ["jwt", "opaque"])
    def test_a_revoked_one_is_inactive(self, issuer: Issuer, kind: str) -> None:
        active, revoked = (make_token(issuer, form(format=kind, revoked=value)) for value in (False, True))

        assert [issuer.introspect(token)["active"] for token in (active, revoked)] == [True, False]

    def test_a_tampered_one_differs_in_its_signature_alone(self, issuer: Issuer) -> None:
        tampered = [make_token(issuer, form(tampered=True, claims=json.dumps({"n": n}))) for n in range(3)]

        assert all(claims(token)["sub"] == "dev-user" for token in tampered)
        assert not any(issuer.introspect(token)["active"] for token in tampered)

    def test_a_tampered_opaque_one_is_nobody_s(self, issuer: Issuer) -> None:
        assert issuer.introspect(make_token(issuer, form(format="opaque", tampered=True))) == {"active": False}

    @pytest.mark.parametrize(
        ("field", "value", "sentence"),
        [
            ("format", "saml", "format is one of 'jwt', 'opaque', not 'saml'"),
            ("format", ["jwt"], "format is one of"),
            ("sub", 7, "sub is a str, not int"),
            ("sub", False, "sub is a str, not bool"),
            ("scopes", ["read"], "scopes is a str, not list"),
            ("scopes", 'a"b', "scopes: 'a\"b' is not a scope"),
            ("audience", 0, "audience is a str, not int"),
            ("typ", None, "typ is a str, not NoneType"),
            ("expires_in", "60", "expires_in is a number of seconds, not str"),
            ("expires_in", None, "expires_in is a number of seconds, not NoneType"),
            ("expires_in", 0, "expires_in is a number of seconds, 1 or more, not 0"),
            ("expired", 1, "expired is True or False, not int"),
            ("claims", "[1]", 'claims is a JSON object such as {"role": "editor"}; this is not: not an object'),
            ("claims", '{"a": 1, "a": 2}', "a name stands twice"),
            ("claims", "{" * 20, "nested deeper"),
            ("claims", {"a": 1}, "claims is a str, not dict"),
            ("role", "x", "there is no field 'role' here"),
        ],
    )
    def test_a_field_that_cannot_be_meant_is_named_in_a_sentence(
        self, issuer: Issuer, field: str, value: object, sentence: str
    ) -> None:
        with pytest.raises(WrongForm) as wrong:
            make_token(issuer, form(**{field: value}))

        assert list(wrong.value.errors) == [field]
        assert sentence in wrong.value.errors[field]
        assert str(wrong.value) == "the form is wrong"

    def test_all_wrong_fields_are_named_at_once(self, issuer: Issuer) -> None:
        with pytest.raises(WrongForm) as wrong:
            make_token(issuer, form(sub=1, typ="JWT", expires_in=-1))

        assert wrong.value.errors.keys() == {"sub", "expires_in"}

    @pytest.mark.parametrize(
        "body",
        [
            pytest.param(b"", id="nothing"),
            pytest.param(b"[]", id="no object"),
            pytest.param(b'{"sub": "\\ud800"}', id="half a character"),
            pytest.param(b"\xff{}", id="no UTF-8"),
            pytest.param(b'{"sub": "a", "sub": "b"}', id="a field twice"),
            pytest.param(b'{"expires_in": 1e999}', id="an endless number"),
            pytest.param(b"{" + b" " * MAX_BYTES + b"}", id="too much"),
            pytest.param(b'{"claims": ' + b"[" * 60_000, id="too deep"),
        ],
    )
    def test_what_is_no_form_is_said_to_be_none(self, issuer: Issuer, body: bytes) -> None:
        with pytest.raises(WrongForm) as wrong:
            make_token(issuer, body)

        assert wrong.value.errors[""].startswith("the form is no JSON object that can be read: ")

    @given(
        st.dictionaries(
            st.sampled_from(["format", "sub", "scopes", "audience", "expires_in", "typ", "claims", "expired", "x"]),
            st.none()
            | st.booleans()
            | st.integers(-(10**20), 10**19)
            | st.floats(allow_nan=False)
            | st.text(max_size=20),
        )
    )
    def test_any_form_makes_a_token_or_is_wrong(self, issuer: Issuer, fields: dict[str, Any]) -> None:
        errors: dict[str, str] = {}
        try:
            token = make_token(issuer, json.dumps(fields).encode())
        except WrongForm as wrong:
            token, errors = "", dict(wrong.errors)

        assert bool(token) != bool(errors)
        assert errors.keys() <= {"", *fields}


class TestCall:
    def test_nothing_but_defaults_asks_for_the_root_without_a_token(self) -> None:
        assert read_call(b"{}") == Call("GET", "/", None)

    def test_every_field_gets_into_the_call(self) -> None:
        call = read_call(form(method="DELETE", path="/items?x=1%20;&y", authorization="Bearer two words"))

        assert call == Call("DELETE", "/items?x=1%20;&y", "Bearer two words")
        assert "two" not in repr(call)

    @pytest.mark.parametrize(
        "path", ["//evil.example/", "/@evil.example", "/\\evil", "/%2e%2e/x", "/x?y=/../", "/...", "/.a"]
    )
    def test_strange_paths_are_sent_as_they_are(self, path: str) -> None:
        assert read_call(form(path=path)).path == path

    @pytest.mark.parametrize(
        "path",
        [
            *["", "items", "@evil.example/", ":80@evil.example/", "http://evil.example/", ".evil.example", "\\\\evil"],
            *["/a b", "/a#b", "/a\r\nhost: x", "/\u00e9", "/{id}", "/<", "/\x00", "/`"],
            *["/a/../b", "/..", "/./", "/.?x"],
        ],
    )
    def test_what_would_lead_elsewhere_or_be_changed_on_the_way_is_no_path(self, path: str) -> None:
        with pytest.raises(WrongForm) as wrong:
            read_call(form(path=path))

        assert wrong.value.errors["path"].startswith("path ")

    @pytest.mark.parametrize(
        "header", ["Bearer a\r\nx: y", "Bearer a\nb", " Bearer a", "Bearer a ", "Bearer \x00", "B\u00e9", ""]
    )
    def test_a_header_is_one_line_of_ascii(self, header: str) -> None:
        with pytest.raises(WrongForm) as wrong:
            read_call(form(authorization=header))

        assert wrong.value.errors.keys() == {"authorization"}
        assert "Bearer" not in wrong.value.errors["authorization"]

    @pytest.mark.parametrize(
        ("field", "value"), [("method", "CONNECT"), ("method", "get"), ("path", 1), ("authorization", 1), ("url", "x")]
    )
    def test_other_values_and_fields_are_wrong(self, field: str, value: object) -> None:
        with pytest.raises(WrongForm) as wrong:
            read_call(form(**{field: value}))

        assert wrong.value.errors.keys() == {field}
