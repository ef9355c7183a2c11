"""What a protected resource says of itself, so that clients find its authorization servers (RFC 9728). Floor 4.

The rules: everything in it was configured and nothing comes from a request (its Host header, above all); what is empty
is left out; it is served to everybody.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from asgi_bearer.rules import options

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WELL_KNOWN = "/.well-known/oauth-protected-resource"
# RFC 9728 section 2: what is written by parameters of their own, or by us
_MEMBERS = frozenset(
    {"resource", "authorization_servers", "scopes_supported", "bearer_methods_supported", "resource_name"}
)
_CORS = [(b"access-control-allow-origin", b"*")]
_METHODS = b"GET, HEAD, OPTIONS"


class ProtectedResource:
    """The metadata of one protected resource (RFC 9728), for `BearerMiddleware(resource=)`, or as an ASGI application.

    - `resource`: its identifier, an https URL such as "https://api.example.com/mcp": the audience of its tokens.
    - `authorization_servers`: the issuers whose tokens it takes, a str or a sequence.
    - `scopes_supported`: scopes that clients may ask for. Not "offline_access", which is no scope of a resource.
    - `resource_name`: what to show to people.
    - `members`: any others of section 2, as they are to be written: {"resource_documentation": "https://..."}, with
      those of languages ("resource_name#fr") and of extensions. Empty ones are left out (section 3.2).
    - `max_age`: seconds (3600) for which clients may keep the document.
    - `allow_insecure_http`: takes http URLs other than loopback.

    The document is served at `metadata_path`, the well-known part put in front of the resource's own path; challenges
    name `metadata_url`. It does NOT check anything in a token: the verifier's `audience` does. Raises `ValueError` or
    `TypeError`.
    """

    def __init__(
        self,
        resource: str,
        *,
        authorization_servers: str | Sequence[str],
        scopes_supported: Sequence[str] = (),
        resource_name: str | None = None,
        members: Mapping[str, Any] | None = None,
        max_age: int = 3600,
        allow_insecure_http: bool = False,
    ) -> None:
        allow = options.flag("allow_insecure_http", allow_insecure_http)
        self.resource: str = options.url("resource", resource, allow_insecure_http=allow)
        issuers = options.texts("authorization_servers", authorization_servers)
        for issuer in issuers:
            options.issuer("each of authorization_servers", issuer, allow_insecure_http=allow)
        self.document: Mapping[str, Any] = _document(
            self.resource,
            issuers,
            _resource_scopes(scopes_supported),
            None if resource_name is None else options.text("resource_name", resource_name),
            _more_members(members),
        )
        parts = urlsplit(self.resource)
        # RFC 9728 section 3.1: a slash that ends the host is no path.
        path = "" if parts.path == "/" else parts.path
        query = f"?{parts.query}" if parts.query else ""
        self.metadata_url: str = f"{parts.scheme}://{parts.netloc}{WELL_KNOWN}{path}{query}"
        self.metadata_path: str = WELL_KNOWN + unquote(path)
        self.path: str = unquote(path)
        self._query = parts.query.encode("ascii")
        self._body = _written(self.document)
        self._headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(self._body)).encode("ascii")),
            (b"cache-control", f"max-age={options.count('max_age', max_age)}".encode("ascii")),
            *_CORS,
        ]

    def is_at(self, path: str, query: bytes) -> bool:
        """Tell whether a request for `path` (decoded) and `query` is one for this document."""
        return path == self.metadata_path and (not self._query or query == self._query)

    def contains(self, path: str) -> bool:
        """Tell whether `path` is that of this resource, or below it."""
        return path == self.path or path.startswith(f"{self.path.removesuffix('/')}/")

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request with the document, whatever its path: as a route of an application around the door."""
        del receive
        method = scope["method"]
        if method == "OPTIONS":
            # The Fetch standard's preflight: what clients in browsers send along, such as MCP-Protocol-Version
            allowed = [(b"access-control-allow-methods", _METHODS), (b"access-control-allow-headers", b"*")]
            await _send(send, 204, [*_CORS, *allowed], b"")
        elif method in {"GET", "HEAD"}:
            await _send(send, 200, self._headers, self._body if method == "GET" else b"")
        else:
            await _send(send, 405, [(b"allow", _METHODS), (b"content-length", b"0")], b"")

    def __repr__(self) -> str:
        """Show which resource it is."""
        return f"ProtectedResource({self.resource!r})"


def _resource_scopes(scopes: Sequence[str]) -> tuple[str, ...]:
    found = options.scopes("scopes_supported", scopes)
    if "offline_access" in found:
        raise ValueError("scopes_supported: 'offline_access' is a matter between a client and its issuer: leave it out")
    return found


def _more_members(members: object) -> Mapping[str, Any]:
    if members is None:
        return {}
    if not isinstance(members, dict) or not all(isinstance(name, str) for name in members):
        message = f"members maps names to values: write {{'resource_documentation': 'https://...'}}, not {members!r}"
        raise TypeError(message)
    taken = sorted(_MEMBERS.intersection(members))
    if taken:
        message = f"members: {', '.join(taken)} is written by its own parameter, or always the same: leave it out"
        raise ValueError(message)
    algorithms = members.get("resource_signing_alg_values_supported") or ()
    if "none" in algorithms:
        # RFC 9728 section 2
        raise ValueError("members: resource_signing_alg_values_supported must not have 'none'")
    return members


def _document(
    resource: str,
    issuers: Sequence[str],
    scopes: Sequence[str],
    name: str | None,
    members: Mapping[str, Any],
) -> Mapping[str, Any]:
    found = {
        "resource": resource,
        "authorization_servers": list(issuers),
        "scopes_supported": list(scopes),
        # RFC 6750 section 2: a token is looked for in the header alone.
        "bearer_methods_supported": ["header"],
        "resource_name": name,
        **members,
    }
    # RFC 9728 section 3.2
    return {member: value for member, value in found.items() if value is not None and value not in ([], ())}


def _written(document: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(document, allow_nan=False).encode("ascii")
    except (TypeError, ValueError) as error:
        message = f"members cannot be written as JSON: {error}"
        raise ValueError(message) from None


async def _send(send: Any, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
