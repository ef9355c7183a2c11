"""The compact form: what is read, and that everything else is malformed, whatever a stranger sends."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_bearer.errors import InvalidToken, Reason
from asgi_bearer.keys.compact import CompactReader, Header, decode_segment, read_header

SIGNATURE = "c2ln"
PAYLOAD = "e30"
repeatable = settings(derandomize=True, deadline=None)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def segment(data: bytes | str) -> str:
    raw = data.encode() if isinstance(data, str) else data
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def token(header: bytes | str | dict[str, Any], payload: str = PAYLOAD, signature: str = SIGNATURE) -> str:
    text = json.dumps(header) if isinstance(header, dict) else header
    return f"{segment(text)}.{payload}.{signature}"


def assert_malformed(text: str) -> None:
    with pytest.raises(InvalidToken) as caught:
        CompactReader().read(text)
    assert caught.value.reason is Reason.malformed
    # The decoder's own error holds the text of the token.
    assert caught.value.__context__ is None


def test_a_token_is_taken_apart_into_header_payload_signing_input_and_signature() -> None:
    compact = CompactReader().read(token({"alg": "ES256", "kid": "k1", "typ": "at+jwt"}, segment('{"a":1}')))

    assert compact.header == Header(alg="ES256", kid="k1", typ="at+jwt")
    assert compact.payload == b'{"a":1}'
    assert compact.signature == b"sig"
    assert (
        compact.signing_input.decode() == token({"alg": "ES256", "kid": "k1", "typ": "at+jwt"}, segment('{"a":1}'))[:-5]
    )


def test_the_repr_of_a_token_taken_apart_shows_nothing_of_it() -> None:
    compact = CompactReader().read(token({"alg": "ES256", "kid": "kid-of-the-key"}, segment('{"sub":"alice"}')))

    assert repr(compact) == "Compact(...)"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("..", id="three empty parts"),
        pytest.param("...", id="four empty parts"),
        pytest.param("abc", id="one part"),
        pytest.param("e30.e30", id="two parts"),
        pytest.param(token({"alg": "RS256"}) + ".", id="four parts"),
        pytest.param(token({"alg": "RSA-OAEP", "enc": "A256GCM"}) + ".e30.e30", id="five parts: encrypted"),
        pytest.param("." * 1_000_000, id="a million dots"),
        pytest.param("a" * 1_000_000, id="a million letters"),
        pytest.param(json.dumps({"payload": "e30", "signatures": []}), id="JSON serialization"),
        pytest.param(token({"alg": "RS256"}).replace(".", "\N{FULLWIDTH FULL STOP}"), id="not ASCII"),
        pytest.param("\udc80..", id="a lone surrogate"),
        pytest.param(" " + token({"alg": "RS256"}), id="a space before"),
        pytest.param(token({"alg": "RS256"}) + "\n", id="a line feed after"),
        pytest.param(token({"alg": "RS256"}) + "\0", id="NUL after"),
        pytest.param(token({"alg": "RS256"}, signature="c2ln="), id="padding"),
        pytest.param(token({"alg": "RS256"}, signature="c2l+"), id="plus"),
        pytest.param(token({"alg": "RS256"}, signature="c2l/"), id="slash"),
        pytest.param(token({"alg": "RS256"}, signature="c2l!"), id="what is in no alphabet"),
        pytest.param(token({"alg": "RS256"}, signature="c2lnA"), id="a length that no bytes have"),
        pytest.param(token({"alg": "RS256"}, signature="c2l"), id="set trailing bits in three characters"),
        pytest.param(token({"alg": "RS256"}, signature="cx"), id="set trailing bits in two characters"),
        pytest.param(token({"alg": "RS256"}, payload="e3 0"), id="a space in the payload"),
    ],
)
def test_what_is_no_compact_form_is_malformed(text: str) -> None:
    assert_malformed(text)


HEADERS_REFUSED = {
    "an array": '["alg"]',
    "a string": '"alg"',
    "a number": "1",
    "null": "null",
    "nothing": "",
    "not JSON": "{alg:RS256}",
    "two objects": '{"alg":"RS256"}{}',
    "a byte order mark": b"\xef\xbb\xbf" + b'{"alg":"RS256"}',
    "UTF-16": '{"alg":"RS256"}'.encode("utf-16"),
    "UTF-16 without a mark": '{"alg":"RS256"}'.encode("utf-16-le"),
    "UTF-32": '{"alg":"RS256"}'.encode("utf-32"),
    "Latin-1": b'{"alg":"RS256","x":"\xe9"}',
    "a name twice": '{"alg":"RS256","alg":"none"}',
    "a name twice, once escaped": '{"alg":"RS256","\\u0061lg":"none"}',
    "a name twice, deep inside": '{"alg":"RS256","x":{"a":1,"a":2}}',
    "no alg": "{}",
    "alg in capitals": '{"ALG":"RS256"}',
    "alg empty": '{"alg":""}',
    "alg null": '{"alg":null}',
    "alg a number": '{"alg":256}',
    "alg an array": '{"alg":["RS256"]}',
    "alg an object": '{"alg":{}}',
    "kid null": '{"alg":"RS256","kid":null}',
    "kid a number": '{"alg":"RS256","kid":1}',
    "kid an array": '{"alg":"RS256","kid":["a"]}',
    "kid too long": '{"alg":"RS256","kid":"' + 1025 * "k" + '"}',
    "kid a lone surrogate": '{"alg":"RS256","kid":"\\ud800"}',
    "typ null": '{"alg":"RS256","typ":null}',
    "typ a number": '{"alg":"RS256","typ":1}',
    "crit empty": '{"alg":"RS256","crit":[]}',
    "crit a registered name": '{"alg":"RS256","crit":["alg"]}',
    "crit with what is there": '{"alg":"RS256","crit":["exp"],"exp":1}',
    "crit twice the same": '{"alg":"RS256","crit":["x","x"],"x":1}',
    "crit a number": '{"alg":"RS256","crit":5}',
    "crit null": '{"alg":"RS256","crit":null}',
    "crit of arrays": '{"alg":"RS256","crit":[["a"]]}',
    "b64 false": '{"alg":"RS256","b64":false,"crit":["b64"]}',
    "b64 without crit": '{"alg":"RS256","b64":false}',
    "b64 true": '{"alg":"RS256","b64":true}',
    "zip": '{"alg":"RS256","zip":"DEF"}',
    "enc": '{"alg":"RS256","enc":"A128GCM"}',
    "cty": '{"alg":"RS256","cty":"JWT"}',
    "cty null": '{"alg":"RS256","cty":null}',
    "NaN": '{"alg":"RS256","x":NaN}',
    "a number that overflows": '{"alg":"RS256","x":1e999}',
    "an endless integer": '{"alg":"RS256","x":' + 5000 * "9" + "}",
    "nested too deep": '{"alg":"RS256","x":' + 2000 * "[" + 2000 * "]" + "}",
    "brackets that never close": 4000 * "[",
    "too long": '{"alg":"RS256","x":"' + 8192 * "x" + '"}',
}


@pytest.mark.parametrize("header", [pytest.param(header, id=name) for name, header in HEADERS_REFUSED.items()])
def test_a_header_that_breaks_a_rule_makes_the_token_malformed(header: bytes | str) -> None:
    assert_malformed(token(header))


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param({"nonce": "AQABAAAAAA"}, id="nonce of Entra ID"),
        pytest.param({"x5t": "thumb", "x5t#S256": "thumb"}, id="certificate thumbprints"),
        pytest.param({"jku": "https://evil.example/jwks"}, id="jku"),
        pytest.param({"x5u": "https://evil.example/cert"}, id="x5u"),
        pytest.param({"jwk": {"kty": "oct", "k": "AAAA"}}, id="jwk"),
        pytest.param({"x5c": 5, "jku": [], "x5u": None, "jwk": "text"}, id="jwk, jku, x5c, x5u of wrong types"),
        pytest.param({"signer": "arn", "client": "c", "exp": 1}, id="what load balancers add"),
    ],
)
def test_parameters_that_are_not_ours_are_ignored_and_name_no_key(extra: dict[str, Any]) -> None:
    compact = CompactReader().read(token({"alg": "RS256", "kid": "k", **extra}))

    assert compact.header == Header(alg="RS256", kid="k", typ=None)


@pytest.mark.parametrize(
    "kid", ["", "../../dev/null", "' OR 1=1 --", "a\0b", "https://evil.example/key", 1024 * "k", "ключ"]
)
def test_a_kid_is_any_string_and_only_a_string(kid: str) -> None:
    assert read_header(json.dumps({"alg": "RS256", "kid": kid}).encode()).kid == kid


@pytest.mark.parametrize(
    ("typ", "read"),
    [
        ("JWT", "jwt"),
        ("at+JWT", "at+jwt"),
        ("application/at+jwt", "at+jwt"),
        ("APPLICATION/AT+JWT", "at+jwt"),
        ("application/a/b", "application/a/b"),
        ("application/application/at+jwt", "application/application/at+jwt"),
        ("text/at+jwt", "text/at+jwt"),
        ("", ""),
    ],
)
def test_typ_is_compared_without_case_and_without_application_where_no_other_slash_is(typ: str, read: str) -> None:
    assert read_header(json.dumps({"alg": "RS256", "typ": typ}).encode()).typ == read


@pytest.mark.parametrize("length", range(70))
def test_every_length_of_bytes_is_read_from_its_one_canonical_form(length: int) -> None:
    data = bytes(range(200, 200 + 56))[:length] + bytes(max(0, length - 56))

    assert decode_segment(segment(data).encode()) == data


@repeatable
@given(st.binary(max_size=60))
def test_no_other_text_stands_for_the_same_bytes(data: bytes) -> None:
    canonical = segment(data)
    for last in ALPHABET if canonical else "":
        other = canonical[:-1] + last
        try:
            decoded = decode_segment(other.encode())
        except InvalidToken:
            continue
        assert (decoded == data) == (other == canonical)


def test_a_remembered_header_is_not_parsed_again_and_others_still_are() -> None:
    reader = CompactReader(memory=1)
    first = reader.read(token({"alg": "RS256", "kid": "first"}))
    reader.remember(first)
    second = reader.read(token({"alg": "RS256", "kid": "second"}))
    reader.remember(second)

    assert reader.read(token({"alg": "RS256", "kid": "first"})).header is first.header
    assert reader.read(token({"alg": "RS256", "kid": "second"})).header == second.header
    assert reader.read(token({"alg": "RS256", "kid": "second"})).header is not second.header


def test_a_header_is_not_remembered_before_its_signature_held() -> None:
    reader = CompactReader()

    assert reader.read(token({"alg": "RS256"})).header is not reader.read(token({"alg": "RS256"})).header


def read_or_refuse(text: str) -> None:
    refusal = None
    try:
        CompactReader().read(text)
    except InvalidToken as error:
        refusal = error.reason
    assert refusal in {None, Reason.malformed}


@repeatable
@given(st.text(max_size=200))
def test_any_text_is_read_or_malformed(text: str) -> None:
    read_or_refuse(text)


@repeatable
@given(st.lists(st.text(ALPHABET + "=.", max_size=40), min_size=3, max_size=3))
def test_any_three_parts_are_read_or_malformed(parts: list[str]) -> None:
    read_or_refuse(".".join(parts))


@repeatable
@given(st.binary(max_size=200))
def test_any_bytes_as_header_are_read_or_malformed(header: bytes) -> None:
    read_or_refuse(token(header))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=4), children, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(["alg", "kid", "typ", "crit", "b64", "zip", "enc", "cty", "jwk", "jku", "x5c", "x5u", "Alg"])


@repeatable
@given(st.dictionaries(NAMES, JSON | st.sampled_from(["RS256", "none", "JWT"]), max_size=6))
def test_any_header_object_is_read_or_malformed(header: dict[str, Any]) -> None:
    read_or_refuse(token(header))


@repeatable
@given(st.data())
def test_a_good_token_with_one_byte_changed_is_read_or_malformed(data: st.DataObject) -> None:
    good = token({"alg": "RS256", "kid": "k", "typ": "JWT"}, segment('{"sub":"a"}'))
    place = data.draw(st.integers(0, len(good) - 1))
    read_or_refuse(good[:place] + data.draw(st.characters()) + good[place + 1 :])


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda size: "." * size, id="dots"),
        pytest.param(lambda size: "A" * size + "..", id="header"),
        pytest.param(lambda size: token('{"alg":"RS256","x":"' + size * "\\" + '"}'), id="backslashes"),
        pytest.param(lambda size: token(size * '{"a":'), id="nesting"),
        pytest.param(lambda size: token(size * '"'), id="quotes"),
        pytest.param(lambda size: token({"alg": "RS256"}, payload="A" * size), id="payload"),
        pytest.param(lambda size: token({"alg": "RS256"}, signature="A" * size), id="signature"),
        pytest.param(lambda size: token({"alg": "RS256"}, signature="!" * size), id="wrong characters"),
    ],
)
def test_a_token_of_a_megabyte_costs_milliseconds(make: Any) -> None:
    text = make(1_000_000)
    best = min(_seconds(text) for _ in range(3))

    # A quadratic reader would need minutes; a linear one needs about a millisecond.
    assert best < 0.25


def _seconds(text: str) -> float:
    started = time.perf_counter()
    read_or_refuse(text)
    return time.perf_counter() - started
