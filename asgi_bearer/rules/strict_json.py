"""JSON from strangers (RFC 8259, RFC 8725 section 3.7): one object, or a clear no. Floor 1.

The rules: UTF-8 without a byte order mark; no name twice in one object (RFC 7519 section 4 lets us refuse, so we do);
no NaN, Infinity or number that overflows; integers of 20 digits at most; no lone surrogate; a bounded depth, found
before anything recurses. Time is linear in the size of the text.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

MAX_DEPTH = 16
_MAX_DIGITS = 20
# As numbers: a byte is looked for many times as fast as a string of bytes.
_BRACKET, _BACKSLASH = b"[\\"

# A whole string (a string without its end runs to the end of the text, so that no text is scanned twice), or a bracket
_STRING_OR_BRACKET = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[\[{]|[\]}]', re.DOTALL)


class NotStrictJSONError(ValueError):
    """The text is not what we take for JSON. It says why, and quotes nothing."""


def parse_object(data: bytes, *, max_bytes: int) -> dict[str, Any]:
    """Return the JSON object that `data` is; raise `NotStrictJSONError` for anything else."""
    if len(data) > max_bytes:
        _refuse(f"longer than {max_bytes} bytes")
    # An object with nothing nested in it, as most are, is known by two searches; to count takes several times as long.
    if (_BRACKET in data or data.find(b"{", 1) > 0) and data.count(b"{") + data.count(b"[") > MAX_DEPTH:
        _require_depth(data)
    value, why = _decode(data)
    if why is not None:
        _refuse(why)
    if type(value) is not dict:
        _refuse("not an object")
    if _BACKSLASH in data and b"\\u" in data and _has_lone_surrogate(value):
        _refuse("a lone surrogate")
    return value


def _decode(data: bytes) -> tuple[Any, str | None]:
    """Return the value, or why there is none: raised from here, the decoder's error would follow with all the text."""
    try:
        # RFC 7515 section 4, RFC 8725 section 3.7: UTF-8 alone. json.loads would guess at UTF-16 and UTF-32.
        text = data.decode("utf-8").strip(" \t\n\r")  # RFC 8259 section 2: ws
        value, end = _DECODER.raw_decode(text)
        return value, None if end == len(text) else "not JSON in UTF-8"
    except NotStrictJSONError as error:
        return None, str(error)
    except ValueError:
        return None, "not JSON in UTF-8"


def _require_depth(data: bytes) -> None:
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(data):
        first = match[0][0]
        if first in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                _refuse(f"nested deeper than {MAX_DEPTH}")
        elif first in b"]}":
            depth -= 1


def _has_lone_surrogate(value: dict[str, Any]) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        _refuse("a name stands twice")
    return members


def _integer(digits: str) -> int:
    if len(digits) > _MAX_DIGITS and len(digits.removeprefix("-")) > _MAX_DIGITS:
        _refuse(f"an integer of more than {_MAX_DIGITS} digits")
    return int(digits)


def _number(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        _refuse("a number that overflows")
    return number


def _constant(_: str) -> NoReturn:
    _refuse("NaN or Infinity")


def _refuse(why: str) -> NoReturn:
    raise NotStrictJSONError(why)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=_integer, parse_float=_number, parse_constant=_constant
)
