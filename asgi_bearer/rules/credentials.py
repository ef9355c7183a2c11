"""From the request's headers to its Bearer token (RFC 9110 section 11, RFC 6750 section 2.1). Floor 1.

The rules: one Authorization line or none; the scheme in any case; one or more spaces; one b64token, looked at as bytes.
Query, body, cookies, trailers and other headers are never a place for a token (OAuth 2.1 section 5.2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgi_bearer.errors import InvalidRequest, InvalidToken, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_TOKEN_BYTES = 16 * 1024

# RFC 6750 section 2.1: b64token = 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="
_B64TOKEN = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/"
_USUAL = (b"Bearer ", b"bearer ")
# RFC 9110 section 5.6.2: what else a scheme's name may be made of
_TCHAR = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~")
_SCHEME = b"bearer"


def read_credentials(headers: Iterable[Iterable[bytes]]) -> str | None:
    """Return the Bearer token, or None where there is none or credentials of another scheme.

    Raises `InvalidRequest` where they cannot be read or stand there twice, `InvalidToken` where the token is longer
    than 16 KiB. It does not look into the token.
    """
    value = None
    for name, field in headers:
        # ASGI says that names come in lower case, and does not see to it.
        if len(name) == 13 and name.lower() == b"authorization":  # noqa: PLR2004  # the length first: it is cheaper
            if value is not None:
                # RFC 9110 section 5.3: a singleton field. To take the first or the last is to choose whom to believe.
                raise InvalidRequest
            value = field
    return None if value is None else _read_value(value)


def _read_value(value: bytes) -> str | None:
    # As nearly every client writes it; what follows the `if` gives these the same answer, and all the others theirs.
    token = value[7:]
    if value[:7] in _USUAL and token and len(token) <= MAX_TOKEN_BYTES and not token.translate(None, _B64TOKEN):
        return token.decode("ascii")
    value = value.strip(b" \t")
    if value[:6].lower() != _SCHEME:
        return None
    token = value[6:]
    if token[:1] != b" ":
        # "Bearer" alone, or with something that neither parts it from a token nor makes it another scheme's name
        if token and token[0] in _TCHAR:
            return None
        raise InvalidRequest
    token = token.lstrip(b" ")
    if len(token) > MAX_TOKEN_BYTES:
        raise InvalidToken(Reason.too_large)
    if not is_b64token(token):
        raise InvalidRequest
    return token.decode("ascii")


def read_subprotocol(offered: Iterable[str], marker: str) -> str | None:
    """Return the token that stands behind `marker` among the subprotocols that a websocket offers, or None.

    Raises as `read_credentials` does.
    """
    names = list(offered)
    if marker not in names:
        return None
    place = names.index(marker)
    token = names[place + 1] if place + 1 < len(names) else ""
    if len(token) > MAX_TOKEN_BYTES:
        raise InvalidToken(Reason.too_large)
    if marker in names[place + 1 :] or not is_token(token):
        raise InvalidRequest
    return token


def is_token(text: str) -> bool:
    """Tell whether `text` can be sent as a Bearer token."""
    return text.isascii() and is_b64token(text.encode("ascii"))


def is_b64token(token: bytes) -> bool:
    """Tell whether `token` is written as Bearer tokens are (RFC 6750 section 2.1)."""
    body = token.rstrip(b"=")
    return bool(body) and not body.translate(None, _B64TOKEN)
