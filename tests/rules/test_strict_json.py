"""What we take for JSON when a stranger sends it, and what we do not."""

from __future__ import annotations

import json
import math
import time
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from asgi_bearer.rules.strict_json import MAX_DEPTH, NotStrictJSONError, parse_object

PROPERTY = settings(derandomize=True, deadline=None, max_examples=500)
LIMIT = 64 * 1024


def parse(data: bytes) -> dict[str, Any]:
    return parse_object(data, max_bytes=LIMIT)


def nested(depth: int, *, opening: bytes = b"[", closing: bytes = b"]") -> bytes:
    """Return an object in which `depth` brackets are open at once."""
    return b'{"a":' + opening * (depth - 1) + b"0" + closing * (depth - 1) + b"}"


@pytest.mark.parametrize(
    ("data", "value"),
    [
        pytest.param(b"{}", {}, id="an empty object"),
        pytest.param(b' \t\r\n{"a" : 1}\n', {"a": 1}, id="white space around"),
        pytest.param(
            b'{"a":[true,false,null,"b",1.5,-2e3]}', {"a": [True, False, None, "b", 1.5, -2000.0]}, id="every kind"
        ),
        pytest.param('{"é":"😀"}'.encode(), {"é": "😀"}, id="UTF-8"),
        pytest.param(rb'{"a":"\ud83d\ude00"}', {"a": "😀"}, id="a pair of surrogates"),
        pytest.param(rb'{"a":"\"\\\/\b\f\n\r\t\u0000"}', {"a": '"\\/\b\f\n\r\t\x00'}, id="every escape"),
        pytest.param(rb'{"a":"\\ud800"}', {"a": r"\ud800"}, id="an escaped backslash before a u"),
        pytest.param(b'{"Alg":1,"alg":2,"ALG":3}', {"Alg": 1, "alg": 2, "ALG": 3}, id="B2 names differ by case"),
        pytest.param(b'{"a":{"b":1},"c":{"b":2}}', {"a": {"b": 1}, "c": {"b": 2}}, id="one name in two objects"),
        pytest.param(b'{"a":' + b"9" * 20 + b"}", {"a": int("9" * 20)}, id="JW22 20 digits"),
        pytest.param(b'{"a":-' + b"9" * 20 + b"}", {"a": -int("9" * 20)}, id="JW22 20 digits and a sign"),
        pytest.param(b'{"a":1e308}', {"a": 1e308}, id="a great number"),
        pytest.param(b'{"a":1e-999}', {"a": 0.0}, id="a number too small to matter"),
        pytest.param(b'{"a":"' + b"[{" * 999 + b'"}', {"a": "[{" * 999}, id="brackets in a string"),
        pytest.param(
            rb'{"a":"\"' + b"[{" * 999 + b'"}', {"a": '"' + "[{" * 999}, id="brackets behind an escaped quote"
        ),
        pytest.param(b'{"a":[' + b"[],{}," * 99 + b"0]}", {"a": [*[[], {}] * 99, 0]}, id="many brackets side by side"),
    ],
)
def test_a_plain_object_is_read(data: bytes, value: dict[str, Any]) -> None:
    assert parse(data) == value


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")], ids=["JW22 arrays", "JW22 objects"])
def test_the_deepest_nesting_is_read_and_one_level_more_is_not(opening: bytes, closing: bytes) -> None:
    beside = b'{"b":[[],[]],' + nested(MAX_DEPTH, opening=opening, closing=closing)[1:]

    assert list(parse(beside)) == ["b", "a"]
    with pytest.raises(NotStrictJSONError, match=r"^nested deeper than 16$"):
        parse(nested(MAX_DEPTH + 1, opening=opening, closing=closing))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        pytest.param(b"[1]", "not an object", id="B3 an array"),
        pytest.param(b'"str"', "not an object", id="B3 a string"),
        pytest.param(b"1", "not an object", id="B3 a number"),
        pytest.param(b"null", "not an object", id="B3 null"),
        pytest.param(b"true", "not an object", id="B3 true"),
        pytest.param(b"", "not JSON in UTF-8", id="nothing"),
        pytest.param(b"{", "not JSON in UTF-8", id="half an object"),
        pytest.param(b'{"a":1,}', "not JSON in UTF-8", id="a comma too many"),
        pytest.param(b"{'a':1}", "not JSON in UTF-8", id="single quotes"),
        pytest.param(b'{"a":1}{', "not JSON in UTF-8", id="more behind the object"),
        pytest.param(b'{"a":1}\x00', "not JSON in UTF-8", id="NUL behind the object"),
        pytest.param(b'{"a":"\n"}', "not JSON in UTF-8", id="a control character in a string"),
        pytest.param(b'{"a":01}', "not JSON in UTF-8", id="a zero in front"),
        pytest.param(b'{"a":+1}', "not JSON in UTF-8", id="a plus sign"),
        pytest.param(rb'{"a":"\x41"}', "not JSON in UTF-8", id="an escape that JSON has not"),
        pytest.param(b'{"a":1}//', "not JSON in UTF-8", id="a comment"),
        pytest.param(b"\xef\xbb\xbf{}", "not JSON in UTF-8", id="JW3 a byte order mark"),
        pytest.param('{"a":1}'.encode("utf-16"), "not JSON in UTF-8", id="JW3 UTF-16"),
        pytest.param('{"a":1}'.encode("utf-16-le"), "not JSON in UTF-8", id="JW3 UTF-16 without a mark"),
        pytest.param('{"a":1}'.encode("utf-32"), "not JSON in UTF-8", id="JW3 UTF-32"),
        pytest.param(b'{"a":"\xe9"}', "not JSON in UTF-8", id="JW22 Latin-1"),
        pytest.param(b'{"a":"\xed\xa0\x80"}', "not JSON in UTF-8", id="JW22 a surrogate as bytes"),
        pytest.param(b'{"a":"\xc0\xaf"}', "not JSON in UTF-8", id="JW22 an overlong form"),
        pytest.param(rb'{"a":"\ud800"}', "a lone surrogate", id="JW22 a lone surrogate"),
        pytest.param(rb'{"a":["\udfff"]}', "a lone surrogate", id="JW22 a lone surrogate within"),
        pytest.param(rb'{"\udc00":1}', "a lone surrogate", id="JW22 a lone surrogate in a name"),
        pytest.param(rb'{"a":"\ude00\ud83d"}', "a lone surrogate", id="JW22 a pair the wrong way round"),
        pytest.param(b'{"a":1,"a":2}', "a name stands twice", id="JW4 a name twice"),
        pytest.param(b'{"a":1,"a":1}', "a name stands twice", id="JW4 a name twice with one value"),
        pytest.param(b'{"a":{"b":1,"b":2}}', "a name stands twice", id="JW4 a name twice within"),
        pytest.param(rb'{"alg":1,"\u0061lg":2}', "a name stands twice", id="B2 a name twice, once escaped"),
        pytest.param(b'{"a":NaN}', "NaN or Infinity", id="JW22 NaN"),
        pytest.param(b'{"a":Infinity}', "NaN or Infinity", id="JW22 Infinity"),
        pytest.param(b'{"a":-Infinity}', "NaN or Infinity", id="JW22 -Infinity"),
        pytest.param(b'{"a":1e999}', "a number that overflows", id="JW22 1e999"),
        pytest.param(b'{"a":-1e999}', "a number that overflows", id="JW22 -1e999"),
        pytest.param(b'{"a":' + b"9" * 21 + b"}", "an integer of more than 20 digits", id="JW22 21 digits"),
        pytest.param(b'{"a":-' + b"9" * 21 + b"}", "an integer of more than 20 digits", id="JW22 21 digits and a sign"),
        pytest.param(b'{"a":' + b"9" * 5000 + b"}", "an integer of more than 20 digits", id="JW22 5000 digits"),
        pytest.param(b"[" * LIMIT, "nested deeper than 16", id="B4 brackets without an end"),
        pytest.param(b'{"a":' * 12_000, "nested deeper than 16", id="B4 objects without an end"),
        pytest.param(b'{"a":"' + b"a" * LIMIT + b'"}', "longer than 65536 bytes", id="JW22 64 KiB and more"),
    ],
)
def test_anything_else_is_refused_with_why_and_without_a_quotation(data: bytes, why: str) -> None:
    with pytest.raises(NotStrictJSONError) as caught:
        parse(data)

    assert str(caught.value) == why
    # The decoder's own error holds the whole text, and loggers print the errors that led to an error.
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


def test_text_of_just_the_greatest_length_is_read() -> None:
    data = b'{"a":"' + b"a" * 92 + b'"}'

    assert parse_object(data, max_bytes=100) == {"a": "a" * 92}
    with pytest.raises(NotStrictJSONError, match=r"^longer than 99 bytes$"):
        parse_object(data, max_bytes=99)


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**19), 10**19)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('abc"\\{[é', max_size=5), inner, max_size=4),
    max_leaves=20,
)
# Text that is nearly JSON goes further into the parser than bytes of any kind
NEARLY_JSON = st.lists(
    st.sampled_from(
        [
            "{",
            "}",
            "[",
            "]",
            '"',
            ":",
            ",",
            "\\",
            "\\u",
            "d800",
            "e",
            "E",
            "1",
            "-",
            ".",
            "0",
            "NaN",
            "null",
            " ",
            "a",
            "é",
        ]
    )
).map(lambda parts: "".join(parts).encode())


@PROPERTY
@given(st.binary() | NEARLY_JSON | NEARLY_JSON.map(lambda inner: b'{"a":' + inner + b"}"))
@example(b'{"a":' + b"[" * 100_000)
@example(b'{"a":"' + b"\\" * 60_000)
@example(b'"' * LIMIT)
def test_whatever_the_bytes_nothing_else_comes_out(data: bytes) -> None:
    try:
        value = parse(data)
    except NotStrictJSONError:
        return

    assert type(value) is dict
    assert json.loads(data) == value


@PROPERTY
@given(
    st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), JSON_VALUES, max_size=5),
    st.booleans(),
)
def test_what_an_honest_issuer_writes_is_read_as_it_was_meant(claims: dict[str, Any], ascii_only: bool) -> None:
    data = json.dumps(claims, ensure_ascii=ascii_only).encode()

    if depth_of(claims) > MAX_DEPTH:
        with pytest.raises(NotStrictJSONError):
            parse(data)
    else:
        assert parse(data) == claims


def depth_of(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    return 0


@PROPERTY
@given(st.floats())
def test_no_number_that_is_none_comes_out(number: float) -> None:
    data = b'{"a":' + json.dumps(number).encode() + b"}"

    if math.isfinite(number):
        assert parse(data) == {"a": number}
    else:
        with pytest.raises(NotStrictJSONError):
            parse(data)


@pytest.mark.parametrize(
    "unit",
    [b'"', b"[", b"]", b"{", b"\\", b'\\"', b'"\\', b'{"', b'["', b'"[', b'[]"', b'{"a":', b"\xff", b"1", b"\\u", b" "],
    ids=repr,
)
def test_b4_a_megabyte_of_anything_is_refused_in_linear_time(unit: bytes) -> None:
    size = 1_000_000
    shapes = (
        unit * (size // len(unit)),
        b'{"a":"' + unit * (size // len(unit)),
        b"[" * 17 + unit * (size // len(unit)),
    )
    started = time.process_time()

    for data in shapes:
        with pytest.raises(NotStrictJSONError):
            parse_object(data, max_bytes=2 * size)

    # Quadratic time would be hours.
    assert time.process_time() - started < 5.0
