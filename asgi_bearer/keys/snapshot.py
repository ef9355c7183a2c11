"""A fetched key set as text, for the process that comes after this one (RFC 7517 section 5). Floor 3.

The rules: public members alone are written; what is read counts from when it was fetched and from the same source, or
not at all; the keys in it are then checked like those of an answer.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from asgi_bearer.rules.strict_json import parse_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# RFC 7517 section 4, RFC 7518 section 6, RFC 8037 section 2: no certificates, and nothing unknown
_PUBLIC_MEMBERS = ("kty", "kid", "alg", "use", "key_ops", "crv", "x", "y", "n", "e")
# What the next request and the freshness of the answer need (RFC 9111 sections 4.3.1 and 5.2.2)
_HEADERS = ("etag", "last-modified", "cache-control", ":url")
# The clock of the machine that wrote it may be a little ahead of ours.
_CLOCK_SKEW = 60.0


class Restored(NamedTuple):
    """What a snapshot holds: a JWK Set that nobody has checked yet, headers of its answer, its age in seconds."""

    jwks: Mapping[str, Any]
    headers: Mapping[str, str]
    age: float


def write(source: str, jwks: Iterable[Mapping[str, Any]], headers: Mapping[str, str], *, fetched_at: float) -> str:
    """Return the snapshot of a set that was fetched from `source` at `fetched_at`, in epoch seconds."""
    document = {
        "source": source,
        "fetched_at": fetched_at,
        "headers": {name: headers[name] for name in _HEADERS if name in headers},
        "keys": [{name: jwk[name] for name in _PUBLIC_MEMBERS if name in jwk} for jwk in jwks],
    }
    return json.dumps(document)


def read(text: str, source: str, *, now: float, max_bytes: int) -> Restored:
    """Return what `text` holds of `source`; raise `ValueError`, which quotes nothing, where it cannot be used."""
    document = parse_object(text.encode("utf-8", "replace"), max_bytes=max_bytes)
    if document.get("source") != source:
        raise ValueError("it is that of another source")
    fetched_at, headers = document.get("fetched_at"), document.get("headers")
    if isinstance(fetched_at, bool) or not isinstance(fetched_at, int | float) or fetched_at > now + _CLOCK_SKEW:
        raise ValueError("it does not say when it was fetched, or says a time to come")
    if not isinstance(headers, dict) or any(not isinstance(value, str) for value in headers.values()):
        raise ValueError("it has no headers to read")
    return Restored({"keys": document.get("keys")}, headers, max(0.0, now - fetched_at))
