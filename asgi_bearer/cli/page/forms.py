"""What the page sends: a token to be made, a request to be sent on; read field by field. Floor 7.

The rules: JSON as `rules/strict_json.py` takes it; every field that is wrong is told of at once, each in one sentence;
what is not known is wrong, too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from asgi_bearer.rules import options
from asgi_bearer.rules.strict_json import NotStrictJSONError, parse_object

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from asgi_bearer.testing.issuer import Issuer

MAX_BYTES = 64 * 1024
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
# RFC 3986 section 3.3; a query may follow. What would be escaped or taken out on the way is not what was written.
_TARGET = re.compile(r"/[!$-;=?-_a-z|~]*")
_DOTS = re.compile(r"/\.\.?(?=[/?]|\Z)")
# RFC 9110 section 5.5, less what is obsolete
_FIELD_VALUE = re.compile(r"[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?")


class WrongForm(ValueError):
    """The form cannot be meant. `errors` has a sentence for each field that is wrong; that of the whole is ""."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__("the form is wrong")
        self.errors = errors


class Call(NamedTuple):
    """A request to the application: `authorization` is the header's value, None for no such header."""

    method: str
    path: str
    authorization: str | None

    def __repr__(self) -> str:
        """Show where it goes, and no credentials."""
        return f"Call({self.method})"


def make_token(issuer: Issuer, body: bytes) -> str:
    """Return the token that the form `body` asks `issuer` for; raise `WrongForm`.

    A text that is left out is the issuer's default, an empty one is a claim that the token does not have. `claims` is
    JSON as text, so that no number changes on the way, and comes last. `tampered` changes the signature, `revoked`
    takes the token back at once.
    """
    form = _read(body, _TOKEN_FIELDS)
    known = {"typ", "expires_in", "expired"} & form.keys()
    claims = {name: form[field] for field, name in _CLAIMS.items() if field in form} | form.get("claims", {})
    arguments = {name: form[name] for name in known} | {"claims": claims}
    if form.get("format") == "opaque":
        arguments.pop("typ", None)
        token = issuer.opaque_token(**arguments)
    else:
        token = issuer.token(**arguments)
    if form.get("revoked"):
        issuer.revoke(token)
    return _tamper(token) if form.get("tampered") else token


def read_call(body: bytes) -> Call:
    """Return the request that the form `body` asks for; raise `WrongForm`."""
    form = _read(body, _CALL_FIELDS)
    return Call(form.get("method", "GET"), form.get("path", "/"), form.get("authorization"))


def _read(body: bytes, fields: Mapping[str, Callable[[str, object], Any]]) -> dict[str, Any]:
    try:
        form = parse_object(body, max_bytes=MAX_BYTES)
    except NotStrictJSONError as error:
        raise WrongForm({"": f"the form is no JSON object that can be read: {error}"}) from None
    read: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for name, value in form.items():
        try:
            read[name] = fields.get(name, _unknown)(name, value)
        except (TypeError, ValueError) as error:
            errors[name] = str(error)
    if errors:
        raise WrongForm(errors)
    return read


def _unknown(name: str, _: object) -> None:
    message = f"there is no field {name!r} here"
    raise ValueError(message)


def _text(name: str, value: object) -> str | None:
    # Not by its truth: 0 and False are wrong, and not empty.
    return options.text(name, value) if value != "" else None


def _scopes(name: str, value: object) -> str | None:
    text = _text(name, value)
    return " ".join(options.scopes(name, (text or "").split())) or None


def _audience(name: str, value: object) -> str | list[str] | None:
    audiences = (_text(name, value) or "").split()
    return audiences if len(audiences) > 1 else next(iter(audiences), None)


def _lifetime(name: str, value: object) -> float:
    return options.seconds(name, value, least=1.0)


def _json(name: str, value: object) -> dict[str, Any]:
    text = _text(name, value) or "{}"
    try:
        return parse_object(text.encode(), max_bytes=MAX_BYTES)
    except NotStrictJSONError as error:
        why = str(error)
    message = f'{name} is a JSON object such as {{"role": "editor"}}; this is not: {why}'
    raise ValueError(message)


def _method(name: str, value: object) -> str:
    return options.choice(name, value, _METHODS)


def _path(name: str, value: object) -> str:
    path = options.text(name, value)
    if not _TARGET.fullmatch(path) or _DOTS.search(path.partition("?")[0]):
        message = f"{name} starts with / and is written as in a URL, without spaces, # and segments of dots"
        raise ValueError(message)
    return path


def _authorization(name: str, value: object) -> str | None:
    if value is None:
        return None
    header = options.text(name, value)
    if not _FIELD_VALUE.fullmatch(header):
        message = f"{name} is one line of ASCII, without spaces around it"
        raise ValueError(message)
    return header


def _tamper(token: str) -> str:
    start, dot, signature = token.rpartition(".")
    return f"{start}{dot}{'B' if signature.startswith('A') else 'A'}{signature[1:]}"


_CLAIMS = {"sub": "sub", "client_id": "client_id", "scopes": "scope", "audience": "aud"}
_TOKEN_FIELDS: dict[str, Callable[[str, object], Any]] = {
    "format": lambda name, value: options.choice(name, value, ("jwt", "opaque")),
    "sub": _text,
    "client_id": _text,
    "scopes": _scopes,
    "audience": _audience,
    "expires_in": _lifetime,
    "expired": options.flag,
    "typ": _text,
    "claims": _json,
    "tampered": options.flag,
    "revoked": options.flag,
}
_CALL_FIELDS: dict[str, Callable[[str, object], Any]] = {
    "method": _method,
    "path": _path,
    "authorization": _authorization,
}
