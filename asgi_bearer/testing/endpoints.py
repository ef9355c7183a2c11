"""The endpoints of the development issuer: forms in, JSON out, and errors as the standards name them. Floor 6.

RFC 6749 sections 2.3.1, 3.2, 4.4 and 5; RFC 7009 section 2; RFC 7662 section 2; RFC 8414 sections 2 and 3; RFC 8707
section 2. The rules: a parameter stands once or not at all, an empty one is none; the client is known before anything
is answered; no answer quotes the request.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, unquote_plus, urlsplit

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from asgi_bearer.errors import require_scope_token
from asgi_bearer.remote.discovery import metadata_urls

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from starlette.requests import Request

    from asgi_bearer.testing.issuer import Issuer

_MAX_BODY_BYTES = 64 * 1024
_MAX_FIELDS = 100
_FORM = "application/x-www-form-urlencoded"
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
# RFC 8707 section 2, RFC 8693 section 2.1: these two may stand more than once
_REPEATABLE = frozenset({"resource", "audience"})
_CLIENT_AUTH = ["client_secret_basic", "client_secret_post"]
_TOKEN_SECONDS = 3600
# RFC 6749 section 5.1
_NO_STORE = {"cache-control": "no-store", "pragma": "no-cache"}


class OAuthError(Exception):
    """An error of RFC 6749 section 5.2. `description` is a constant, and `status` what it is answered with."""

    def __init__(self, error: str, description: str, *, status: int = 400) -> None:
        super().__init__(error)
        self.error = error
        self.description = description
        self.status = status


def routes(issuer: Issuer) -> list[Route]:
    """Return what `issuer` serves, each at the path that its metadata say."""
    document, base = metadata(issuer), unquote(urlsplit(issuer.url).path).rstrip("/")

    async def show_metadata(_: Request) -> JSONResponse:
        return JSONResponse(document)

    async def show_keys(_: Request) -> JSONResponse:
        return JSONResponse(issuer.jwks)

    well_known = (unquote(urlsplit(url).path) for url in metadata_urls(issuer.url))
    forms = {"/token": grant, "/introspect": introspect, "/revoke": revoke}
    return [
        *(Route(path, show_metadata) for path in well_known),
        Route(f"{base}/jwks", show_keys),
        *(
            Route(f"{base}{path}", _endpoint(issuer, answer), methods=["POST"], max_body_size=_MAX_BODY_BYTES)
            for path, answer in forms.items()
        ),
    ]


def metadata(issuer: Issuer) -> dict[str, Any]:
    """Return the metadata of RFC 8414 section 2, with what OpenID Connect Discovery section 3 demands beside it.

    There is no authorization endpoint, since no grant that is supported uses one.
    """
    base = issuer.url.rstrip("/")
    return {
        "issuer": issuer.url,
        "jwks_uri": f"{base}/jwks",
        "token_endpoint": f"{base}/token",
        "token_endpoint_auth_methods_supported": _CLIENT_AUTH,
        "introspection_endpoint": f"{base}/introspect",
        "introspection_endpoint_auth_methods_supported": _CLIENT_AUTH,
        "revocation_endpoint": f"{base}/revoke",
        "revocation_endpoint_auth_methods_supported": _CLIENT_AUTH,
        "grant_types_supported": ["client_credentials"],
        "response_types_supported": ["none"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [issuer.algorithm],
    }


def _endpoint(
    issuer: Issuer, answer: Callable[[Issuer, str, Form], Response]
) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint that gives `answer` to clients it knows."""

    async def endpoint(request: Request) -> Response:
        body = await request.body()
        try:
            form = Form.read(request.headers.get("content-type", ""), body)
            client_id = authenticate(request.headers.getlist("authorization"), form, issuer.clients)
            response = answer(issuer, client_id, form)
        except OAuthError as error:
            response = _refuse(error)
        response.headers.update(_NO_STORE)
        return response

    return endpoint


def _refuse(error: OAuthError) -> JSONResponse:
    # RFC 6749 section 5.2: a 401 names the scheme by which a client can authenticate
    headers = {"www-authenticate": 'Basic realm="issuer", charset="UTF-8"'} if error.status == 401 else {}  # noqa: PLR2004
    return JSONResponse(
        {"error": error.error, "error_description": error.description}, status_code=error.status, headers=headers
    )


class Form:
    """The parameters of a request (RFC 6749 section 3.2): each once, except for those that may stand more often."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            self._values.setdefault(name, []).append(value)
        if any(len(values) > 1 for name, values in self._values.items() if name not in _REPEATABLE):
            raise OAuthError("invalid_request", "a parameter stands more than once")

    @classmethod
    def read(cls, content_type: str, body: bytes) -> Form:
        """Return the form that `body` is; raise `OAuthError` (invalid_request) for anything else."""
        if content_type.partition(";")[0].strip().lower() != _FORM:
            raise OAuthError("invalid_request", f"the body must be {_FORM}")
        try:
            pairs = _parse(body)
        except ValueError:
            # Raised outside of the handler: the original error quotes the body.
            pairs = None
        if pairs is None:
            raise OAuthError("invalid_request", f"the body is not {_FORM} in UTF-8")
        # RFC 6749 section 3.2: a parameter without a value counts as left out.
        return cls((name, value) for name, value in pairs if value)

    def get(self, name: str) -> str | None:
        """Return the parameter, or None."""
        return self._values.get(name, [None])[0]

    def require(self, name: str) -> str:
        """Return the parameter, or raise `OAuthError` (invalid_request)."""
        value = self.get(name)
        if value is None:
            raise OAuthError("invalid_request", f"the parameter {name} is missing")
        return value

    def all(self, name: str) -> list[str]:
        """Return every value of a parameter that may stand more than once."""
        return self._values.get(name, [])


def _parse(body: bytes) -> list[tuple[str, str]]:
    text = body.decode("ascii")
    if _BAD_ESCAPE.search(text):
        raise ValueError
    if not text:
        return []
    return parse_qsl(
        text, keep_blank_values=True, strict_parsing=True, encoding="utf-8", errors="strict", max_num_fields=_MAX_FIELDS
    )


def authenticate(authorization: list[str], form: Form, clients: Mapping[str, str]) -> str:
    """Return the client that authenticates, by client_secret_basic or client_secret_post (RFC 6749 section 2.3.1).

    Raises `OAuthError`: invalid_client where the credentials are missing, unreadable or wrong.
    """
    client_id, secret = _credentials(authorization, form)
    # Compared where there is no such client, too; an empty secret is no client's.
    right = hmac.compare_digest(_digest(secret), _digest(clients.get(client_id, "")))
    if not right or client_id not in clients:
        raise _invalid_client()
    return client_id


def _credentials(authorization: list[str], form: Form) -> tuple[str, str]:
    client_id, secret = form.get("client_id"), form.get("client_secret")
    if len(authorization) + (secret is not None) > 1:
        # RFC 6749 section 2.3: not more than one method in each request
        raise OAuthError("invalid_request", "the client authenticates in more than one way")
    if authorization:
        found = _read_basic(authorization[0])
        if client_id not in {None, found[0]}:
            raise OAuthError("invalid_request", "client_id is not the client that authenticates")
        return found
    if client_id is None or secret is None:
        raise _invalid_client()
    return client_id, secret


def _read_basic(value: str) -> tuple[str, str]:
    scheme, _, encoded = value.partition(" ")
    try:
        pair = base64.b64decode(encoded.strip(" "), validate=True).decode("ascii")
        # RFC 6749 section 2.3.1: both were form-encoded before they were joined.
        client_id, secret = (unquote_plus(part, errors="strict") for part in pair.split(":", 1))
    except ValueError:
        scheme = client_id = secret = ""
    if scheme.lower() != "basic":
        raise _invalid_client()
    return client_id, secret


def _invalid_client() -> OAuthError:
    return OAuthError("invalid_client", "the client is not known, or its credentials are wrong or missing", status=401)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8")).digest()


def grant(issuer: Issuer, client_id: str, form: Form) -> Response:
    """Issue a token to the client itself (RFC 6749 section 4.4).

    RFC 9068 section 2.2: where no user takes part, `sub` is the client. Which format: `token_format`, ours alone.
    """
    if form.require("grant_type") != "client_credentials":
        raise OAuthError("unsupported_grant_type", "grant_type must be client_credentials")
    scopes, audience = _read_scopes(form.get("scope")), _read_audience(form)
    token_format = form.get("token_format") or issuer.token_format
    if token_format not in {"jwt", "opaque"}:
        raise OAuthError("invalid_request", "token_format must be jwt or opaque")
    issue = issuer.opaque_token if token_format == "opaque" else issuer.token  # noqa: S105  # no password
    token = issue(
        sub=client_id, client_id=client_id, scopes=scopes, audience=audience or None, expires_in=_TOKEN_SECONDS
    )
    answer = {"access_token": token, "token_type": "Bearer", "expires_in": _TOKEN_SECONDS}
    return JSONResponse({**answer, "scope": " ".join(scopes)} if scopes else answer)


def _read_scopes(value: str | None) -> tuple[str, ...]:
    scopes = () if value is None else tuple(dict.fromkeys(value.split(" ")))
    if not all(_is_scope(scope) for scope in scopes):
        raise OAuthError("invalid_scope", "scope must be scopes with one space between them")
    return scopes


def _is_scope(value: str) -> bool:
    try:
        require_scope_token(value)
    except ValueError:
        return False
    return True


def _read_audience(form: Form) -> list[str]:
    resources = form.all("resource")
    if not all(_is_absolute(resource) for resource in resources):
        raise OAuthError("invalid_target", "resource must be an absolute URI without a fragment")
    return list(dict.fromkeys((*resources, *form.all("audience"))))


def _is_absolute(uri: str) -> bool:
    """RFC 8707 section 2, RFC 3986 section 4.3."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return False
    return bool(parts.scheme and (parts.netloc or parts.path)) and "#" not in uri


def introspect(issuer: Issuer, _: str, form: Form) -> Response:
    """Say what is known of a token (RFC 7662 section 2); the client may ask about any."""
    return JSONResponse(issuer.introspect(form.require("token")))


def revoke(issuer: Issuer, client_id: str, form: Form) -> Response:
    """Revoke a token of the client's own (RFC 7009 section 2.1); one that is not known is 200, too."""
    token = form.require("token")
    if issuer.introspect(token).get("client_id", client_id) != client_id:
        raise OAuthError("invalid_grant", "the token was issued to another client")
    issuer.revoke(token)
    return Response(status_code=200)
