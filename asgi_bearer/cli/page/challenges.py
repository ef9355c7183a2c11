"""From a WWW-Authenticate value to the challenges in it (RFC 9110 sections 11.2, 11.6.1 and 5.6.1). Floor 7.

The rules: the grammar and nothing else, in time linear in the value's length; nothing is dropped, put right or guessed.
"""

from __future__ import annotations

import re
from typing import NamedTuple, NoReturn

# RFC 9110 section 5.6.2: token
_NAME = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
# RFC 9110 section 5.6.4: quoted-string
_QUOTED = r'"(?:[^"\\\x00-\x08\x0a-\x1f\x7f]++|\\[^\x00-\x08\x0a-\x1f\x7f])*+"'
# RFC 9110 section 11.2: auth-param = token BWS "=" BWS ( token / quoted-string )
_PARAMETER = re.compile(rf"({_NAME})[ \t]*+=[ \t]*+({_NAME}|{_QUOTED})")
_SCHEME = re.compile(rf"({_NAME})(?:\x20++|\Z)")
_TOKEN68 = re.compile(r"[A-Za-z0-9\-._~+/]++=*+")
# What stands between the commas of a list; a comma within quotes is none of them.
_ELEMENT = re.compile(rf'((?:[^",]++|{_QUOTED})*+)(,|\Z)')
_ESCAPED = re.compile(r"\\(.)")


class Challenge(NamedTuple):
    """One scheme, with its parameters as they stand there (repeated ones too), or its token68."""

    scheme: str
    parameters: list[tuple[str, str]]
    token68: str | None = None


class NoChallengeError(ValueError):
    """The value is not what RFC 9110 section 11.6.1 says. It says what stands where something else should."""


def read_challenges(value: str) -> list[Challenge]:
    """Return the challenges in `value`, several fields of that name joined by commas; raise `NoChallengeError`."""
    challenges: list[Challenge] = []
    for element in _elements(value):
        parameter = _PARAMETER.fullmatch(element)
        if parameter is None:
            challenges.append(_begin(element))
        elif not challenges or challenges[-1].token68 is not None:
            _refuse(element)
        else:
            challenges[-1].parameters.append(_read(parameter))
    if not challenges:
        _refuse(value)
    return challenges


def _elements(value: str) -> list[str]:
    elements, position, more = [], 0, ","
    while more:
        found = _ELEMENT.match(value, position)
        if found is None:
            _refuse(value[position:])
        element, more = found.groups()
        elements.append(element.strip(" \t"))
        position = found.end()
    # RFC 9110 section 5.6.1.2: a recipient takes empty elements, and ignores them.
    return [element for element in elements if element]


def _begin(element: str) -> Challenge:
    found = _SCHEME.match(element)
    if found is None:
        _refuse(element)
    scheme, rest = found[1], element[found.end() :]
    if not rest:
        return Challenge(scheme, [])
    if (parameter := _PARAMETER.fullmatch(rest)) is not None:
        return Challenge(scheme, [_read(parameter)])
    if not _TOKEN68.fullmatch(rest):
        _refuse(rest)
    return Challenge(scheme, [], rest)


def _read(parameter: re.Match[str]) -> tuple[str, str]:
    name, value = parameter.groups()
    # RFC 9110 section 11.2: names are compared without regard to case.
    return name.lower(), _ESCAPED.sub(r"\1", value[1:-1]) if value.startswith('"') else value


def _refuse(what: str) -> NoReturn:
    message = f"there is {what[:40]!r} where a scheme or name=value should stand"
    raise NoChallengeError(message)
