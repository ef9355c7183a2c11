"""Checking of constructor options, in one voice: what is wrong, and what to write instead. Floor 1.

The rule of this module: a wrong type is a `TypeError`, a wrong value a `ValueError`, and the sentence names the option.
"""

from __future__ import annotations

import ipaddress
import re
import sys
import warnings
from collections.abc import Iterable
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import SplitResult, urlsplit

from asgi_bearer.errors import require_scope_token

if TYPE_CHECKING:
    from collections.abc import Sequence


F = TypeVar("F")

_GREATEST = sys.float_info.max
_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile("[\x00-\x1f\x7f]")
# RFC 3986 section 2: what a URL is written with, less the "#" before a fragment
_URL = re.compile(r"[A-Za-z0-9\-._~:/?\[\]@!$&'()*+,;=%]+")


class InsecureConfigurationWarning(UserWarning):
    """A verifier was configured to check less than it should: no audience, no issuer, or no exp demanded."""


def warn_insecure(message: str) -> None:
    """Warn whoever called the public constructor that called this."""
    warnings.warn(message, InsecureConfigurationWarning, stacklevel=3)


def text(name: str, value: object) -> str:
    """Return `value`, a non-empty str that UTF-8 can write."""
    if not isinstance(value, str):
        message = f"{name} is a str, not {type(value).__name__}"
        raise TypeError(message)
    if not value:
        message = f"{name} is empty: write a value, or leave the option out"
        raise ValueError(message)
    if _SURROGATE.search(value):
        message = f"{name} is no text (it has lone surrogates, as os.environ makes of bytes): decode it as UTF-8"
        raise ValueError(message)
    return value


def credential(name: str, value: object) -> str:
    """Return `value`, a client_id or client_secret: text without control characters (RFC 6749 appendix A)."""
    found = text(name, value)
    if _CONTROL.search(found):
        message = f"{name} has a line break or another control character: read it from its file with .strip()"
        raise ValueError(message)
    return found


def texts(name: str, value: object) -> tuple[str, ...]:
    """Return one str, or a sequence of them, as a non-empty tuple."""
    if isinstance(value, str):
        return (text(name, value),)
    items = _sequence(name, value, "a str or a sequence of str")
    if not items:
        message = f"{name} is an empty sequence: name at least one, or leave the option out"
        raise ValueError(message)
    return tuple(text(f"each item of {name}", item) for item in items)


def audiences(name: str, value: object) -> tuple[str, ...]:
    """Return what `optional_texts` does; an audience is one identifier, so neither a list in a str nor a pattern."""
    return tuple(_one_audience(name, audience) for audience in optional_texts(name, value))


def audience(name: str, value: object) -> str:
    """Return `value`, one audience."""
    return _one_audience(name, text(name, value))


def _one_audience(name: str, value: str) -> str:
    if value == "*" or value != "".join(value.split()):
        message = f"{name} is compared character by character, and {value!r} is no audience: write ['first', 'second']"
        raise ValueError(message)
    return value


def optional_texts(name: str, value: object) -> tuple[str, ...]:
    """Return what `texts` does, or an empty tuple for None."""
    return () if value is None else texts(name, value)


def scopes(name: str, value: object) -> tuple[str, ...]:
    """Return a sequence of scopes (RFC 6750 section 3) as a tuple; None is no scope."""
    if value is None:
        return ()
    if isinstance(value, str):
        message = f"{name} is a sequence of scopes, not a str: write {value.split() or ['read']!r}"
        raise TypeError(message)
    found = tuple(_sequence(name, value, "a sequence of scopes"))
    for scope in found:
        if not isinstance(scope, str):
            message = f"each scope of {name} is a str, not {type(scope).__name__}"
            raise TypeError(message)
        try:
            require_scope_token(scope)
        except ValueError as error:
            message = f"{name}: {error}"
            raise ValueError(message) from None
    return tuple(dict.fromkeys(found))


def _sequence(name: str, value: object, what: str) -> list[Any]:
    if isinstance(value, bytes | bytearray | dict) or not isinstance(value, Iterable):
        message = f"{name} is {what}, not {type(value).__name__}"
        raise TypeError(message)
    return list(value)


def seconds(name: str, value: object, *, least: float = 0.0, most: float = _GREATEST) -> float:
    """Return a finite number of seconds between `least` and `most`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        message = f"{name} is a number of seconds, not {type(value).__name__}"
        raise TypeError(message)
    if not least <= value <= most:  # so neither infinite nor NaN, nor an int that no float can hold
        bounds = f"{least:g} or more" if most == _GREATEST else f"from {least:g} to {most:g}"
        message = f"{name} is a number of seconds, {bounds}, not {value!r}"
        raise ValueError(message)
    return float(value)


def count(name: str, value: object, *, least: int = 0) -> int:
    """Return a whole number that is `least` or more."""
    if isinstance(value, bool) or not isinstance(value, int):
        message = f"{name} is a whole number, not {type(value).__name__}"
        raise TypeError(message)
    if value < least:
        message = f"{name} is {least} or more, not {value}"
        raise ValueError(message)
    return value


def flag(name: str, value: object) -> bool:
    """Return a bool; nothing else stands for one."""
    if not isinstance(value, bool):
        message = f"{name} is True or False, not {type(value).__name__}"
        raise TypeError(message)
    return value


def choice(name: str, value: object, among: Sequence[str]) -> str:
    """Return `value`, one of `among`."""
    message = f"{name} is one of {', '.join(map(repr, among))}, not {value!r}"
    if not isinstance(value, str):
        raise TypeError(message)
    if value not in among:
        raise ValueError(message)
    return value


def function(name: str, value: F) -> F:
    """Return `value`, something that can be called, and that has its answer ready."""
    found = async_function(name, value)
    if iscoroutinefunction(found) or iscoroutinefunction(getattr(found, "__call__", None)):  # noqa: B004  # not whether
        message = f"{name} is a plain function: write def, not async def"
        raise TypeError(message)
    return found


def async_function(name: str, value: F) -> F:
    """Return `value`, something that can be called and awaited."""
    if not callable(value):
        message = f"{name} is a function, not {type(value).__name__}"
        raise TypeError(message)
    return value


def url(name: str, value: object, *, allow_insecure_http: bool = False) -> str:
    """Return an absolute https URL without user, password or fragment.

    Plain http is taken for loopback hosts, and for others where `allow_insecure_http` says that this is meant.
    """
    address = text(name, value)
    parts = _split(name, address)
    if parts.scheme == "http" and not (allow_insecure_http or is_loopback(parts.hostname or "")):
        message = (
            f"{name} must be https: http is for localhost, or for allow_insecure_http=True within a trusted network"
        )
        raise ValueError(message)
    return address


def issuer(name: str, value: object, *, allow_insecure_http: bool = False) -> str:
    """Return an issuer identifier to discover metadata from: an https URL without query (RFC 8414 section 2)."""
    address = url(name, value, allow_insecure_http=allow_insecure_http)
    if "?" in address:
        message = f"{name} is an issuer identifier and has no query: write it as the provider's metadata does"
        raise ValueError(message)
    if "/.well-known/" in address:
        message = f"{name} is what stands before /.well-known: write 'https://idp.example.com/'"
        raise ValueError(message)
    return address


def _split(name: str, address: str) -> SplitResult:
    message = f"{name} must be an https URL such as 'https://idp.example.com/path', without user, password or fragment"
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        raise ValueError(message) from None
    bracketed = re.fullmatch(r"\[[^\[\]]+\](?::\d+)?", parts.netloc) if "[" in parts.netloc else True
    absolute = bracketed and parts.scheme in {"https", "http"} and parts.hostname and port != 0
    if not absolute or "@" in parts.netloc or not _URL.fullmatch(address):
        raise ValueError(message)
    return parts


def is_loopback(host: str) -> bool:
    """Tell whether `host` is this machine: localhost, 127.0.0.0/8 or ::1."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
