"""What constructors say to options that cannot be meant: each sentence names the option and what to write instead."""

from __future__ import annotations

import math
import re
import warnings
from typing import Any

import pytest

from asgi_bearer.rules import options
from asgi_bearer.rules.options import InsecureConfigurationWarning

NO_URL = "u must be an https URL such as 'https://idp.example.com/path', without user, password or fragment"
NO_HTTP = "u must be https: http is for localhost, or for allow_insecure_http=True within a trusted network"


def exactly(sentence: str) -> str:
    return f"^{re.escape(sentence)}$"


# --- text, texts, optional_texts


def test_a_text_is_returned_as_it_is() -> None:
    assert options.text("issuer", "https://idp.example") == "https://idp.example"


@pytest.mark.parametrize(("value", "kind"), [(None, "NoneType"), (b"x", "bytes"), (1, "int"), (["x"], "list")])
def test_a_text_of_another_type_is_a_type_error(value: object, kind: str) -> None:
    with pytest.raises(TypeError, match=exactly(f"issuer is a str, not {kind}")):
        options.text("issuer", value)


def test_an_empty_text_is_a_value_error() -> None:
    with pytest.raises(ValueError, match=exactly("issuer is empty: write a value, or leave the option out")):
        options.text("issuer", "")


@pytest.mark.parametrize(
    ("value", "found"),
    [
        pytest.param("a b", ("a b",), id="one str, whole"),
        pytest.param(["a", "b"], ("a", "b"), id="a list"),
        pytest.param(("a",), ("a",), id="a tuple"),
        pytest.param(iter(["a", "b"]), ("a", "b"), id="an iterator"),
        pytest.param({"a"}, ("a",), id="a set"),
    ],
)
def test_texts_are_one_or_a_sequence(value: object, found: tuple[str, ...]) -> None:
    assert options.texts("audience", value) == found
    assert options.optional_texts("audience", found) == found


def test_optional_texts_may_be_left_out() -> None:
    assert options.optional_texts("audience", None) == ()


@pytest.mark.parametrize(
    ("value", "kind"),
    [(None, "NoneType"), (b"x", "bytes"), (bytearray(b"x"), "bytearray"), (1, "int"), ({"a": 1}, "dict")],
)
def test_texts_of_another_type_are_a_type_error(value: object, kind: str) -> None:
    with pytest.raises(TypeError, match=exactly(f"audience is a str or a sequence of str, not {kind}")):
        options.texts("audience", value)


@pytest.mark.parametrize(("item", "kind"), [(None, "NoneType"), (b"x", "bytes"), (1, "int")])
def test_an_item_of_texts_of_another_type_is_a_type_error(item: object, kind: str) -> None:
    with pytest.raises(TypeError, match=exactly(f"each item of audience is a str, not {kind}")):
        options.texts("audience", ["a", item])


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        pytest.param(
            "", "audience is empty: write a value, or leave the option out", id="CL5 an empty str is not no audience"
        ),
        pytest.param(
            [],
            "audience is an empty sequence: name at least one, or leave the option out",
            id="CL5 an empty list is not no audience",
        ),
        pytest.param(
            ["a", ""],
            "each item of audience is empty: write a value, or leave the option out",
            id="CL5 an empty str among others",
        ),
    ],
)
@pytest.mark.parametrize("check", [options.texts, options.optional_texts], ids=["texts", "optional_texts"])
def test_texts_that_are_empty_are_a_value_error(check: Any, value: object, sentence: str) -> None:
    with pytest.raises(ValueError, match=exactly(sentence)):
        check("audience", value)


# --- scopes


@pytest.mark.parametrize(
    ("value", "found"),
    [
        pytest.param(None, (), id="None is no scope"),
        pytest.param([], (), id="an empty list is no scope"),
        pytest.param(("read", "data:write"), ("read", "data:write"), id="a tuple"),
        pytest.param(["read", "read"], ("read",), id="each once"),
        pytest.param(
            ["!#[]~https://api.example/read"], ("!#[]~https://api.example/read",), id="every kind of character"
        ),
    ],
)
def test_scopes_are_a_sequence(value: object, found: tuple[str, ...]) -> None:
    assert options.scopes("required_scopes", value) == found


@pytest.mark.parametrize(
    ("value", "instead"), [("read write", "['read', 'write']"), ("read", "['read']"), ("", "['read']")]
)
def test_scopes_in_one_str_are_a_type_error_that_shows_the_list(value: str, instead: str) -> None:
    sentence = f"required_scopes is a sequence of scopes, not a str: write {instead}"

    with pytest.raises(TypeError, match=exactly(sentence)):
        options.scopes("required_scopes", value)


@pytest.mark.parametrize(("value", "kind"), [(1, "int"), (b"read", "bytes"), ({"read": 1}, "dict"), (True, "bool")])
def test_scopes_of_another_type_are_a_type_error(value: object, kind: str) -> None:
    with pytest.raises(TypeError, match=exactly(f"required_scopes is a sequence of scopes, not {kind}")):
        options.scopes("required_scopes", value)


def test_a_scope_of_another_type_is_a_type_error() -> None:
    with pytest.raises(TypeError, match=exactly("each scope of required_scopes is a str, not int")):
        options.scopes("required_scopes", ["read", 1])


@pytest.mark.parametrize("scope", ["", "a b", 'a"b', "a\\b", "é", "a\n", "a\x7f"], ids=repr)
def test_ch7_a_scope_that_no_challenge_can_hold_is_a_value_error(scope: str) -> None:
    sentence = (
        f"required_scopes: {scope!r} is not a scope: "
        "write visible ASCII characters other than space, quote and backslash"
    )

    with pytest.raises(ValueError, match=exactly(sentence)):
        options.scopes("required_scopes", [scope])


# --- seconds, count


@pytest.mark.parametrize("value", [0, 0.0, 30, 30.5, 1e308])
def test_seconds_are_a_finite_number(value: float) -> None:
    found = options.seconds("leeway", value)

    assert found == value
    assert type(found) is float


@pytest.mark.parametrize("value", [1.0, 300.0])
def test_the_bounds_of_seconds_are_within_them(value: float) -> None:
    assert options.seconds("leeway", value, least=1.0, most=300.0) == value


@pytest.mark.parametrize(("value", "kind"), [(None, "NoneType"), ("30", "str"), (True, "bool"), ([30], "list")])
def test_seconds_of_another_type_are_a_type_error(value: object, kind: str) -> None:
    with pytest.raises(TypeError, match=exactly(f"leeway is a number of seconds, not {kind}")):
        options.seconds("leeway", value)


@pytest.mark.parametrize(
    ("value", "bounds", "sentence"),
    [
        pytest.param(-1, {}, "leeway is a number of seconds, 0 or more, not -1", id="CL8 negative"),
        pytest.param(-0.001, {}, "leeway is a number of seconds, 0 or more, not -0.001", id="CL8 a little negative"),
        pytest.param(math.inf, {}, "leeway is a number of seconds, 0 or more, not inf", id="CL8 infinite"),
        pytest.param(math.nan, {}, "leeway is a number of seconds, 0 or more, not nan", id="CL8 NaN"),
        pytest.param(10**400, {}, f"leeway is a number of seconds, 0 or more, not {10**400}", id="CL8 no float"),
        pytest.param(
            301, {"most": 300.0}, "leeway is a number of seconds, from 0 to 300, not 301", id="CL8 more than the most"
        ),
        pytest.param(
            math.inf,
            {"most": 300.0},
            "leeway is a number of seconds, from 0 to 300, not inf",
            id="CL8 infinite, bounded",
        ),
        pytest.param(
            0, {"least": 0.001}, "leeway is a number of seconds, 0.001 or more, not 0", id="less than the least"
        ),
    ],
)
def test_seconds_out_of_bounds_are_a_value_error(value: float, bounds: dict[str, float], sentence: str) -> None:
    with pytest.raises(ValueError, match=exactly(sentence)):
        options.seconds("leeway", value, **bounds)


def test_a_count_is_a_whole_number() -> None:
    assert options.count("cache_size", 0) == 0
    assert options.count("cache_size", 4096) == 4096


@pytest.mark.parametrize(("value", "kind"), [(None, "NoneType"), (1.0, "float"), (True, "bool"), ("1", "str")])
def test_a_count_of_another_type_is_a_type_error(value: object, kind: str) -> None:
    with pytest.raises(TypeError, match=exactly(f"cache_size is a whole number, not {kind}")):
        options.count("cache_size", value)


@pytest.mark.parametrize(("value", "least"), [(-1, 0), (0, 1)])
def test_a_count_below_the_least_is_a_value_error(value: int, least: int) -> None:
    with pytest.raises(ValueError, match=exactly(f"cache_size is {least} or more, not {value}")):
        options.count("cache_size", value, least=least)


# --- flag, choice, function


@pytest.mark.parametrize("value", [True, False])
def test_a_flag_is_a_bool(value: bool) -> None:
    assert options.flag("optional", value) is value


@pytest.mark.parametrize(
    ("value", "kind"), [(None, "NoneType"), (1, "int"), (0, "int"), ("false", "str"), ([], "list")]
)
def test_a_flag_of_another_type_is_a_type_error(value: object, kind: str) -> None:
    with pytest.raises(TypeError, match=exactly(f"optional is True or False, not {kind}")):
        options.flag("optional", value)


def test_a_choice_is_one_of_the_names() -> None:
    assert options.choice("profile", "lax", ("lax", "rfc9068")) == "lax"


@pytest.mark.parametrize("value", [None, 1, b"lax", ["lax"]], ids=repr)
def test_a_choice_of_another_type_is_a_type_error(value: object) -> None:
    with pytest.raises(TypeError, match=exactly(f"profile is one of 'lax', 'rfc9068', not {value!r}")):
        options.choice("profile", value, ("lax", "rfc9068"))


@pytest.mark.parametrize("value", ["", "LAX", "la", "lax "])
def test_a_choice_of_another_name_is_a_value_error(value: str) -> None:
    with pytest.raises(ValueError, match=exactly(f"profile is one of 'lax', 'rfc9068', not {value!r}")):
        options.choice("profile", value, ("lax", "rfc9068"))


def test_a_function_is_returned_as_it_is() -> None:
    assert options.function("clock", math.floor) is math.floor


@pytest.mark.parametrize(("value", "kind"), [(None, "NoneType"), (1_800_000_000, "int"), ("time", "str")])
def test_what_cannot_be_called_is_a_type_error(value: object, kind: str) -> None:
    with pytest.raises(TypeError, match=exactly(f"clock is a function, not {kind}")):
        options.function("clock", value)


# --- url, issuer


@pytest.mark.parametrize(
    "url",
    [
        "https://idp.example",
        "https://idp.example/",
        "https://idp.example:8443/a/b?c=d&e=%20",
        "HTTPS://IDP.example/jwks",
        "https://[2001:db8::1]/jwks",
        "https://192.0.2.1/jwks",
        "https://idp.example/a@b",
        "http://localhost/jwks",
        "http://LOCALHOST:8080/jwks",
        "http://127.0.0.1:8080/jwks",
        "http://127.9.9.9/jwks",
        "http://[::1]:8080/jwks",
    ],
)
def test_https_and_loopback_urls_are_taken_as_they_are(url: str) -> None:
    assert options.url("u", url) == url


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("", id="empty"),
        pytest.param("idp.example/jwks", id="no scheme"),
        pytest.param("//idp.example/jwks", id="no scheme but slashes"),
        pytest.param("/jwks", id="a path"),
        pytest.param("https://", id="no host"),
        pytest.param("https:///jwks", id="an empty host"),
        pytest.param("https:idp.example", id="no slashes"),
        pytest.param("https://:443/jwks", id="a port alone"),
        pytest.param("file:///etc/passwd", id="B5 file"),
        pytest.param("ftp://idp.example/jwks", id="B5 ftp"),
        pytest.param("data:application/json,{}", id="B5 data"),
        pytest.param("javascript:alert(1)", id="B5 javascript"),
        pytest.param("https://user@idp.example/jwks", id="a user"),
        pytest.param("https://user:password@idp.example/jwks", id="a user and a password"),
        pytest.param("https://@idp.example/jwks", id="an empty user"),
        pytest.param("https://idp.example/jwks#keys", id="a fragment"),
        pytest.param("https://idp.example/jwks#", id="an empty fragment"),
        pytest.param("https://idp.example:0/jwks", id="port 0"),
        pytest.param("https://idp.example:65536/jwks", id="a port too great"),
        pytest.param("https://idp.example:https/jwks", id="a port by name"),
        pytest.param("https://[::1/jwks", id="half a bracket"),
        pytest.param("https://[idp.example]/jwks", id="a name in brackets"),
        pytest.param(" https://idp.example/jwks", id="a space in front"),
        pytest.param("https://idp.example/jwks\n", id="a line feed behind"),
        pytest.param("https://idp.example/\r\nx: y", id="a line's end within"),
        pytest.param("ht\ntps://idp.example/jwks", id="a line feed in the scheme"),
        pytest.param("https://idp.example\\@evil.example/jwks", id="a backslash"),
        pytest.param("https://idp.example/{tenant}", id="a template"),
        pytest.param("https://idp.example/a b", id="a space within"),
        pytest.param("https://idp.example/<x>", id="angle brackets"),
        pytest.param("https://idp.example/é", id="no ASCII in the path"),
        pytest.param("https://idé.example/", id="no ASCII in the host"),
        pytest.param("https://idp.example/\x00", id="NUL"),
    ],
)
def test_what_is_no_absolute_url_is_a_value_error(url: str) -> None:
    with pytest.raises(ValueError, match=r"^u (must be an https URL such as|is empty: write a value)") as caught:
        options.url("u", url)

    assert str(caught.value) in {NO_URL, "u is empty: write a value, or leave the option out"}


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("http://idp.example/jwks", id="KS1 a name"),
        pytest.param("http://192.0.2.1/jwks", id="KS1 an address"),
        pytest.param("http://10.0.0.1/jwks", id="KS1 a private address"),
        pytest.param("http://0.0.0.0/jwks", id="KS1 every address"),
        pytest.param("http://localhost.evil.example/jwks", id="KS1 a name that begins with localhost"),
        pytest.param("http://127.0.0.1.evil.example/jwks", id="KS1 a name that begins with an address"),
        pytest.param("http://127.1/jwks", id="KS1 an address in short"),
        pytest.param("http://2130706433/jwks", id="KS1 an address as a number"),
    ],
)
def test_plain_http_is_for_loopback_or_for_those_who_say_so(url: str) -> None:
    with pytest.raises(ValueError, match=exactly(NO_HTTP)):
        options.url("u", url)

    assert options.url("u", url, allow_insecure_http=True) == url


@pytest.mark.parametrize("url", ["ftp://idp.example/jwks", "file:///etc/passwd", "http://user@idp.example/"])
def test_allowing_http_allows_http_alone(url: str) -> None:
    with pytest.raises(ValueError, match=exactly(NO_URL)):
        options.url("u", url, allow_insecure_http=True)


@pytest.mark.parametrize(("value", "kind"), [(None, "NoneType"), (b"https://idp.example", "bytes"), (1, "int")])
@pytest.mark.parametrize("check", [options.url, options.issuer], ids=["url", "issuer"])
def test_a_url_of_another_type_is_a_type_error(check: Any, value: object, kind: str) -> None:
    with pytest.raises(TypeError, match=exactly(f"u is a str, not {kind}")):
        check("u", value)


@pytest.mark.parametrize("issuer", ["https://idp.example", "https://idp.example/tenant/", "http://localhost:8080"])
def test_an_issuer_is_such_a_url(issuer: str) -> None:
    assert options.issuer("issuer", issuer) == issuer


def test_an_issuer_over_http_is_for_those_who_say_so() -> None:
    assert options.issuer("u", "http://idp.internal", allow_insecure_http=True) == "http://idp.internal"
    with pytest.raises(ValueError, match=exactly(NO_HTTP)):
        options.issuer("u", "http://idp.internal")


def test_an_issuer_is_no_address_of_metadata() -> None:
    sentence = "issuer is what stands before /.well-known: write 'https://idp.example.com/'"

    with pytest.raises(ValueError, match=exactly(sentence)):
        options.issuer("issuer", "https://idp.example/.well-known/openid-configuration")


@pytest.mark.parametrize("issuer", ["https://idp.example/?tenant=1", "https://idp.example?"])
def test_md3_an_issuer_with_a_query_is_a_value_error(issuer: str) -> None:
    sentence = "issuer is an issuer identifier and has no query: write it as the provider's metadata does"

    with pytest.raises(ValueError, match=exactly(sentence)):
        options.issuer("issuer", issuer)


def test_md3_an_issuer_with_a_fragment_is_a_value_error() -> None:
    with pytest.raises(ValueError, match=exactly(NO_URL)):
        options.issuer("u", "https://idp.example/#x")


# --- warnings


def test_the_warning_points_at_the_line_that_called_the_constructor() -> None:
    def constructor() -> None:
        options.warn_insecure("no audience: write audience=")

    with warnings.catch_warnings(record=True, action="always") as caught:
        constructor()

    assert [(warning.category, str(warning.message)) for warning in caught] == [
        (InsecureConfigurationWarning, "no audience: write audience=")
    ]
    assert caught[0].filename == __file__
    assert (
        caught[0].lineno == test_the_warning_points_at_the_line_that_called_the_constructor.__code__.co_firstlineno + 5
    )
