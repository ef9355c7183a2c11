"""The compact form of a signed token, taken apart strictly (RFC 7515 section 7.1, RFC 8725 section 3). Floor 3.

The rules: three parts of canonical base64url; a header that is a JSON object with `alg`, without `crit`, `b64`, `zip`,
`enc` or `cty`; parameters we do not know are ignored, and none ever names a key by itself (`jwk`, `jku`, `x5c`, `x5u`).
"""

from __future__ import annotations

import binascii
from typing import Any, NamedTuple

from asgi_bearer.errors import InvalidToken, Reason
from asgi_bearer.rules.strict_json import NotStrictJSONError, parse_object

MAX_HEADER_BYTES = 8 * 1024
MAX_PAYLOAD_BYTES = 64 * 1024
MAX_KID = 1024

# base64url to base64; what only base64 has turns into something that neither has
_TO_BASE64 = bytes.maketrans(b"-_+/=", b"+/!!!")
_PADDING = (b"", b"", b"==", b"=")
# RFC 4648 section 3.5: the last character of a group of two or three whose unused bits are zero
_CANONICAL_END = (frozenset[int](), frozenset[int](), frozenset(b"AQgw"), frozenset(b"AEIMQUYcgkosw048"))
# RFC 7515 section 4.1.11: we understand no extension, so `crit` is refused whatever it says. RFC 7797 section 7: no b64
# in a JWT. RFC 7519 section 5.2: cty means a nested token. zip and enc are of JWE.
_REFUSED_PARAMETERS = ("crit", "b64", "zip", "enc", "cty")


class Header(NamedTuple):
    """The protected header, as far as it matters here. `typ` is in lower case, without "application/"."""

    alg: str
    kid: str | None
    typ: str | None


class Compact(NamedTuple):
    """A token taken apart; `payload` has not been looked into, and nothing has been verified."""

    header: Header
    protected: bytes
    payload: bytes
    signing_input: bytes
    signature: bytes

    def __repr__(self) -> str:
        """Show nothing of the token."""
        return "Compact(...)"


class CompactReader:
    """Takes tokens apart, and remembers headers it was told to remember: an issuer writes very few of them."""

    def __init__(self, *, memory: int = 64) -> None:
        self._memory = memory
        self._headers: dict[bytes, Header] = {}

    def read(self, token: str) -> Compact:
        """Return the parts of `token`; raise `InvalidToken` (malformed) unless it is a signed token in compact form."""
        if not token.isascii():
            raise InvalidToken(Reason.malformed)
        data = token.encode("ascii")
        if data.count(b".") != 2:  # noqa: PLR2004  # before any split: a token of dots must cost nothing
            raise InvalidToken(Reason.malformed)
        signing_input, _, signature = data.rpartition(b".")
        protected, _, payload = signing_input.partition(b".")
        header = self._headers.get(protected)
        if header is None:
            header = read_header(decode_segment(protected))
        return Compact(header, protected, decode_segment(payload), signing_input, decode_segment(signature))

    def remember(self, compact: Compact) -> None:
        """Remember the header of a token whose signature held."""
        if compact.protected not in self._headers and len(self._headers) < self._memory:
            self._headers[compact.protected] = compact.header


def decode_segment(segment: bytes) -> bytes:
    """Return the bytes that canonical base64url stands for (RFC 7515 section 2), or raise `InvalidToken`."""
    rest = len(segment) % 4
    if not rest or segment[-1] in _CANONICAL_END[rest]:
        try:
            return binascii.a2b_base64(segment.translate(_TO_BASE64) + _PADDING[rest], strict_mode=True)
        except binascii.Error:
            pass
    raise InvalidToken(Reason.malformed)


def read_header(data: bytes) -> Header:
    """Return the header that `data` is, or raise `InvalidToken`."""
    parameters = parse_json(data, MAX_HEADER_BYTES)
    if any(name in parameters for name in _REFUSED_PARAMETERS):
        raise InvalidToken(Reason.malformed)
    alg, kid, typ = (parameters.get(name, "") for name in ("alg", "kid", "typ"))
    if not (isinstance(alg, str) and isinstance(kid, str) and isinstance(typ, str)) or not alg or len(kid) > MAX_KID:
        raise InvalidToken(Reason.malformed)
    return Header(alg, parameters.get("kid"), _media_type(parameters.get("typ")))


def _media_type(typ: str | None) -> str | None:
    """RFC 7515 section 4.1.9: "application/" may be left out where no other slash is there; case does not matter."""
    if typ is None:
        return None
    short = typ.lower().removeprefix("application/")
    return typ.lower() if "/" in short else short


def parse_json(data: bytes, max_bytes: int) -> dict[str, Any]:
    """Return a strict JSON object from within a token; raise `InvalidToken` for anything else."""
    try:
        return parse_object(data, max_bytes=max_bytes)
    except NotStrictJSONError:
        pass
    raise InvalidToken(Reason.malformed)
