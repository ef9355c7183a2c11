"""Which Authorization headers carry Bearer credentials, which carry none, and which nobody can read."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from asgi_bearer.errors import InvalidRequest, InvalidToken, Reason
from asgi_bearer.rules.credentials import MAX_TOKEN_BYTES, read_credentials

PROPERTY = settings(derandomize=True, deadline=None, max_examples=300)

Header = tuple[bytes, bytes]


def authorization(*values: bytes) -> list[Header]:
    return [(b"host", b"api.example"), *((b"authorization", value) for value in values), (b"accept", b"*/*")]


@pytest.mark.parametrize(
    ("value", "token"),
    [
        pytest.param(b"Bearer abc", "abc", id="EX1 the scheme as registered"),
        pytest.param(b"bearer abc", "abc", id="EX1 the scheme in lower case"),
        pytest.param(b"BEARER abc", "abc", id="EX1 the scheme in upper case"),
        pytest.param(b"bEaReR abc", "abc", id="EX1 the scheme in mixed case"),
        pytest.param(b"Bearer    abc", "abc", id="EX2 several spaces"),
        pytest.param(b"Bearer AZaz09-._~+/", "AZaz09-._~+/", id="EX3 every character of b64token"),
        pytest.param(b"Bearer eyJ.eyJ.sig_-", "eyJ.eyJ.sig_-", id="EX3 a compact JWS"),
        pytest.param(b"Bearer abc==", "abc==", id="EX4 equals signs at the end"),
        pytest.param(b"Bearer XX==", "XX==", id="EX4 a token of one letter and equals signs"),
        pytest.param(b"Bearer abc=====", "abc=====", id="EX4 as many equals signs as one likes"),
        pytest.param(b"  Bearer abc", "abc", id="EX9 spaces around the value"),
        pytest.param(b"\tBearer abc\t", "abc", id="EX9 tabs around the value"),
        pytest.param(b"Bearer abc \t ", "abc", id="EX9 both behind the value"),
        pytest.param(b"Bearer " + b"a" * MAX_TOKEN_BYTES, "a" * MAX_TOKEN_BYTES, id="EX10 the longest token"),
    ],
)
def test_one_well_formed_token_is_taken_as_it_was_sent(value: bytes, token: str) -> None:
    assert read_credentials(authorization(value)) == token


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(b"authorization", id="EX15 as ASGI says"),
        pytest.param(b"Authorization", id="EX15 as written by hand"),
        pytest.param(b"AUTHORIZATION", id="EX15 in upper case"),
    ],
)
def test_the_headers_name_is_compared_in_any_case(name: bytes) -> None:
    assert read_credentials([(name, b"Bearer abc")]) == "abc"


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([[b"authorization", b"Bearer abc"]], id="EX15 lists"),
        pytest.param(((b"authorization", b"Bearer abc"),), id="EX15 tuples"),
        pytest.param(iter([iter([b"authorization", b"Bearer abc"])]), id="EX15 iterators that end"),
    ],
)
def test_headers_are_any_iterable_of_pairs(headers: list[list[bytes]]) -> None:
    assert read_credentials(headers) == "abc"


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([], id="W1 no header at all"),
        pytest.param(authorization(), id="W1 other headers only"),
        pytest.param(authorization(b""), id="W1 an empty value"),
        pytest.param(authorization(b" \t "), id="W1 a blank value"),
        pytest.param(authorization(b"Basic dXNlcjpwYXNz"), id="W2 Basic"),
        pytest.param(authorization(b"Negotiate abc"), id="W2 Negotiate"),
        pytest.param(authorization(b"DPoP abc"), id="W2 DPoP"),
        pytest.param(authorization(b"Bearerabc"), id="W2 a scheme that begins with Bearer"),
        pytest.param(authorization(b"BearerX abc"), id="W2 a scheme that begins with Bearer, with credentials"),
        pytest.param(authorization(b"Bearer-Token abc"), id="W2 a scheme that begins with Bearer and a dash"),
        pytest.param(authorization(b"Bear er abc"), id="W2 half a scheme"),
        pytest.param(authorization(b"abc"), id="W2 a token without a scheme"),
        pytest.param(authorization(b"\xff\xfe"), id="W2 bytes that are no scheme"),
        pytest.param([(b"proxy-authorization", b"Bearer abc")], id="EX16 Proxy-Authorization"),
        pytest.param([(b"x-access-token", b"abc")], id="EX16 X-Access-Token"),
        pytest.param([(b"cookie", b"access_token=abc")], id="EX16 cookies"),
        pytest.param([(b"x-forwarded-authorization", b"Bearer abc")], id="EX16 X-Forwarded-Authorization"),
        pytest.param([(b"authorization_", b"Bearer abc")], id="AS11 a name with an underscore"),
        pytest.param([(b"http-authorizat", b"Bearer abc")], id="EX16 another name of about that length"),
        pytest.param([(b"authorisation", b"Bearer abc")], id="EX16 another name of just that length"),
    ],
)
def test_what_is_no_bearer_credential_is_no_credential(headers: list[Header]) -> None:
    assert read_credentials(headers) is None


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"Bearer", id="EX5 the scheme alone"),
        pytest.param(b"bearer", id="EX5 the scheme alone in lower case"),
        pytest.param(b"Bearer ", id="EX5 the scheme and a space"),
        pytest.param(b"Bearer   \t", id="EX5 the scheme and blanks"),
        pytest.param(b"Bearer\tabc", id="EX2 a tab between"),
        pytest.param(b"Bearer \tabc", id="EX2 a space and a tab between"),
        pytest.param(b"Bearer\nabc", id="EX2 a line feed between"),
        pytest.param(b"Bearer\x00abc", id="EX8 NUL between"),
        pytest.param(b"Bearer\xa0abc", id="EX8 a no-break space between"),
        pytest.param(b"Bearer=abc", id="EX11 an equals sign between"),
        pytest.param(b"Bearer,", id="EX7 a comma for a token"),
        pytest.param(b'Bearer"abc"', id="EX11 a quote between"),
        pytest.param(b"Bearer abc\n", id="EX3 a line feed behind"),
        pytest.param(b"Bearer abc\r\n", id="EX3 a line's end behind"),
        pytest.param(b"Bearer abc\x0b", id="EX9 a vertical tab behind, which is no blank"),
        pytest.param(b"Bearer a=b", id="EX4 an equals sign within"),
        pytest.param(b"Bearer =a", id="EX4 an equals sign in front"),
        pytest.param(b"Bearer =", id="EX4 an equals sign alone"),
        pytest.param(b"Bearer ====", id="EX4 equals signs alone"),
        pytest.param(b"Bearer a b", id="W4 two tokens"),
        pytest.param(b"Bearer Bearer abc", id="W4 the scheme twice"),
        pytest.param(b"Bearer abc, Bearer def", id="EX7 two lines folded by a proxy"),
        pytest.param(b"Bearer abc,Bearer def", id="EX7 two lines folded without a space"),
        pytest.param(b"Bearer abc, Basic dXNlcg==", id="EX7 folded with another scheme"),
        pytest.param(b"Bearer a\x00b", id="EX8 NUL within"),
        pytest.param(b"Bearer a\x7fb", id="EX8 DEL within"),
        pytest.param(b"Bearer a\xe9b", id="EX8 a byte of Latin-1 within"),
        pytest.param(b"Bearer \xc3\xa9", id="EX8 UTF-8"),
        pytest.param(b"Bearer \xff", id="EX8 no text at all"),
        pytest.param(b'Bearer realm="x"', id="EX11 an auth-param"),
        pytest.param(b"Bearer token=abc", id="EX11 a token by name"),
        pytest.param(b"Bearer <abc>", id="EX3 brackets"),
        pytest.param(b"Bearer {abc}", id="EX3 braces"),
        pytest.param(b"Bearer abc%3D", id="EX3 percent-encoding"),
        pytest.param(b"Bearer abc;", id="EX3 a semicolon"),
    ],
)
def test_what_is_bearer_but_no_token_is_an_invalid_request(value: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_credentials(authorization(value))

    assert caught.value.args == ()
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "values",
    [
        pytest.param((b"Bearer abc", b"Bearer def"), id="EX6 two tokens"),
        pytest.param((b"Bearer abc", b"Bearer abc"), id="EX17 one token twice"),
        pytest.param((b"Basic dXNlcg==", b"Bearer abc"), id="EX6 another scheme first"),
        pytest.param((b"Bearer abc", b"Basic dXNlcg=="), id="EX6 another scheme last"),
        pytest.param((b"", b"Bearer abc"), id="EX6 an empty one first"),
        pytest.param((b"Bearer abc", b""), id="EX6 an empty one last"),
    ],
)
def test_several_authorization_lines_are_an_invalid_request(values: tuple[bytes, ...]) -> None:
    with pytest.raises(InvalidRequest):
        read_credentials(authorization(*values))


def test_several_lines_are_seen_whatever_the_case_of_their_names() -> None:
    with pytest.raises(InvalidRequest):
        read_credentials([(b"Authorization", b"Bearer abc"), (b"authorization", b"Bearer abc")])


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(b"a" * (MAX_TOKEN_BYTES + 1), id="EX10 one byte too many"),
        pytest.param(b"." * 1_000_000, id="EX10 a million dots"),
        pytest.param(b"\xff" * (MAX_TOKEN_BYTES + 1), id="EX10 looked at before the grammar"),
    ],
)
def test_a_token_that_is_too_long_is_refused_by_its_length(token: bytes) -> None:
    with pytest.raises(InvalidToken) as caught:
        read_credentials(authorization(b"Bearer " + token))

    assert caught.value.reason is Reason.too_large
    assert caught.value.__context__ is None


@PROPERTY
@given(st.binary() | st.binary().map(lambda rest: b"Bearer" + rest) | st.binary().map(lambda rest: b"Bearer " + rest))
@example(b"Bearer " + b"a" * MAX_TOKEN_BYTES + b"\x00")
def test_whatever_the_bytes_nothing_else_comes_out(value: bytes) -> None:
    found = outcome(value)

    if isinstance(found, str):
        sent = value.strip(b" \t")
        assert sent[:6].lower() == b"bearer"
        assert sent[6:].lstrip(b" ") == found.encode("ascii")
    elif isinstance(found, InvalidToken):
        assert found.reason is Reason.too_large


def outcome(value: bytes) -> str | InvalidRequest | InvalidToken | None:
    try:
        return read_credentials(authorization(value))
    except (InvalidRequest, InvalidToken) as error:
        return error


@pytest.mark.parametrize("filler", [b" ", b"=", b"a", b"\t", b",", b"Bearer "], ids=repr)
def test_a_megabyte_of_anything_costs_no_time(filler: bytes) -> None:
    started = time.process_time()

    for _ in range(10):
        assert isinstance(
            outcome(b"Bearer " + filler * (1_000_000 // len(filler)) + b"!"), InvalidRequest | InvalidToken
        )

    assert time.process_time() - started < 1.0
