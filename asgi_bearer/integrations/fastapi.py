"""Dependencies that tell FastAPI who calls, and OpenAPI what callers need (OpenAPI 3.1 section 4.8.27). Floor 6.

The rules: nothing is verified here, since the door around the application has done so; where there is no door, nobody
gets in; the scopes that a dependency asks for stand in the document.
"""

# Not `from __future__ import annotations`: FastAPI reads the annotations of dependencies at run time.

import re
from collections.abc import Awaitable, Callable, Mapping
from copy import deepcopy
from typing import Annotated, Any, TypeAlias

from fastapi import Security
from fastapi.openapi.models import (
    HTTPBearer,
    OAuth2,
    OAuthFlowAuthorizationCode,
    OAuthFlows,
    OpenIdConnect,
)
from fastapi.openapi.models import SecurityBase as SecurityScheme
from fastapi.requests import HTTPConnection
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase

from asgi_bearer.access_token import AccessToken
from asgi_bearer.integrations.starlette import admit, door_of
from asgi_bearer.rules import options, requirements
from asgi_bearer.rules.requirements import Requirement

Dependency: TypeAlias = Callable[..., Awaitable[AccessToken]]

# OpenAPI 3.1 section 4.8.7: how the names of components are spelled
_COMPONENT = re.compile(r"[A-Za-z0-9._-]+")


class _Documented(SecurityBase):
    """A dependency in the document's words: `model` is the scheme, `scheme_name` its name there."""

    def __init__(self, model: SecurityScheme, scheme_name: str) -> None:
        self.model: SecurityScheme = model
        self.scheme_name: str = scheme_name


class _Scheme(_Documented):
    """There for the document alone: it lets everybody through."""

    async def __call__(self) -> None:
        """Ask for nothing."""


class _Optional(_Documented):
    """What `BearerAuth.optional` is."""

    async def __call__(self, connection: HTTPConnection, security_scopes: SecurityScopes) -> AccessToken | None:
        """Return the caller's token, or None for nobody."""
        if door_of(connection).access_token is None:
            return None
        return admit(connection, _needed(security_scopes))


class _OfObjectsAlone:
    """The signature of a class whose objects are dependencies, and which is none itself."""

    def __get__(self, instance: object, owner: type[object] | None = None) -> object:
        if instance is not None:
            raise AttributeError("__signature__")
        # Security(BearerAuth): FastAPI would make one for each request, and hand it over as the caller.
        raise TypeError("BearerAuth is made once, ahead of requests: write auth = BearerAuth(), and Security(auth)")


class BearerAuth(SecurityBase):
    """The caller as a dependency: `Annotated[AccessToken, Security(auth, scopes=["read"])]`, `auth = BearerAuth()`.

    `auth.optional` is the same for handlers that serve everybody: None for nobody, and the scopes checked where there
    is a token. `openapi_extra={"security": [{}]}` of such a route tells the document so.

    It checks that there is a caller, and that the token has the scopes of `Security`. It does NOT verify tokens: the
    `BearerMiddleware` around the application does, and clock, `scope_satisfies` and challenges are that door's. It
    serves requests and websockets, in parameters, and in `dependencies=[Security(auth)]` of routes, routers and
    applications.

    Answers are the door's (RFC 6750 section 3.1) with FastAPI's body: 401 for nobody, which is so on public paths of
    the door, too, and 403 insufficient_scope, which also names what dependencies before this one asked for. A
    websocket is refused before it is accepted by the same answer, or closed (3000, 3003) where the server cannot send
    one. Where no `BearerMiddleware` is around the application it raises `RuntimeError`: a 500, and nobody gets in.

    The options say what stands in the OpenAPI document, and change no check. By default that is HTTP's scheme bearer.

    - `issuer`: the issuer's URL. The document names its OpenID Connect metadata.
    - `authorization_url`, `token_url`: the issuer's endpoints. The document names OAuth's authorization code flow, so
      that Swagger's "Authorize" can log in. Give `FastAPI(swagger_ui_init_oauth={"clientId": "...",
      "usePkceWithAuthorizationCodeGrant": True})`, too (PKCE, RFC 7636), and let the door have the pages "/docs",
      "/docs/oauth2-redirect" and "/openapi.json" as `public`.
    - `scopes`: a dict of the scopes that clients may ask for in that flow, with a description of each.
    - `bearer_format`: what tokens look like, such as "JWT"; a hint in HTTP's scheme, None by default.
    - `scheme_name`: names the scheme in the document. Several in one application need a name each.
    - `description`: a text for it, in Markdown.
    - `allow_insecure_http`: takes http for hosts that are not loopback, in a trusted network.

    In tests, `app.dependency_overrides[auth] = lambda: AccessToken(token="t", client_id="me")` puts a caller there.
    `auth`, `auth.optional` and each result of `auth.require(...)` are keys of their own, so give that result a name.
    Nothing is checked then, scopes included. The door is not overridden: leave it out in such a test, or let
    `StaticTokenVerifier` make tokens for it, which tests what really happens.

    Raises `ValueError` or `TypeError` for options that cannot be meant.
    """

    __signature__: object = _OfObjectsAlone()

    def __init__(
        self,
        *,
        issuer: str | None = None,
        authorization_url: str | None = None,
        token_url: str | None = None,
        scopes: Mapping[str, str] | None = None,
        bearer_format: str | None = None,
        scheme_name: str = "BearerAuth",
        description: str | None = None,
        allow_insecure_http: bool = False,
    ) -> None:
        insecure = options.flag("allow_insecure_http", allow_insecure_http)
        about = None if description is None else options.text("description", description)
        has_flow = authorization_url is not None or token_url is not None
        _require_one_scheme(issuer=issuer, has_flow=has_flow, scopes=scopes, bearer_format=bearer_format)
        self.model: SecurityScheme
        if has_flow:
            self.model = _oauth2(authorization_url, token_url, scopes, about, insecure=insecure)
        elif issuer is not None:
            self.model = _open_id_connect(issuer, about, insecure=insecure)
        else:
            hint = None if bearer_format is None else options.text("bearer_format", bearer_format)
            self.model = HTTPBearer(bearerFormat=hint, description=about)
        self.scheme_name: str = _component("scheme_name", scheme_name)
        self.optional: _Optional = _Optional(self.model, self.scheme_name)
        self._scheme = _Scheme(self.model, self.scheme_name)

    async def __call__(self, connection: HTTPConnection, security_scopes: SecurityScopes) -> AccessToken:
        """Return the caller's token."""
        return admit(connection, _needed(security_scopes))

    def require(self, requirement: Requirement) -> Dependency:
        """Return a dependency that gives the caller's token, if it meets `requirement` and the scopes of `Security`.

        `Depends(auth.require(any_scope("read", "admin") & acr(max_age=300)))`, or `Security` for scopes on top. The
        document names every scope of the requirement; of what else it asks for, OpenAPI cannot tell. Its denials are
        those of the requirement: 403, or 401 for a login that is too weak or too old (RFC 9470). Raises `TypeError`
        for what is no requirement.
        """
        asked = requirements.require_requirement("requirement", requirement)
        scheme = Security(self._scheme, scopes=list(asked.scopes))

        async def required(
            connection: HTTPConnection, security_scopes: SecurityScopes, _documented: Annotated[None, scheme]
        ) -> AccessToken:
            more = _needed(security_scopes)
            return admit(connection, asked if more is None else asked & more)

        return required

    @property
    def responses(self) -> dict[int | str, dict[str, Any]]:
        """The refusals, for the document: `FastAPI(responses=auth.responses)`, or of a router or a route.

        A new dict each time. Bodies are those of a door without `render`.
        """
        return deepcopy(_RESPONSES)


def _needed(security_scopes: SecurityScopes) -> Requirement | None:
    return requirements.scopes(*security_scopes.scopes) if security_scopes.scopes else None


def _require_one_scheme(*, issuer: object, has_flow: bool, scopes: object, bearer_format: object) -> None:
    if has_flow and issuer is not None:
        raise ValueError("issuer, or authorization_url and token_url: write one of the two, as the document has one")
    if scopes is not None and not has_flow:
        raise ValueError("scopes describes those of the authorization code flow: write authorization_url and token_url")
    if bearer_format is not None and (has_flow or issuer is not None):
        raise ValueError("bearer_format belongs to HTTP's scheme: leave it out beside issuer or authorization_url")


def _oauth2(
    authorization_url: object, token_url: object, scopes: object, description: str | None, *, insecure: bool
) -> OAuth2:
    if authorization_url is None or token_url is None:
        raise ValueError("authorization_url and token_url go together: write both")
    flow = OAuthFlowAuthorizationCode(
        authorizationUrl=options.url("authorization_url", authorization_url, allow_insecure_http=insecure),
        tokenUrl=options.url("token_url", token_url, allow_insecure_http=insecure),
        scopes=_described({} if scopes is None else scopes),
    )
    return OAuth2(flows=OAuthFlows(authorizationCode=flow), description=description)


def _described(scopes: object) -> dict[str, str]:
    if not isinstance(scopes, Mapping):
        message = f"scopes is a dict, not {type(scopes).__name__}: write {{'items:read': 'Read items'}}"
        raise TypeError(message)
    names = options.scopes("scopes", tuple(scopes))
    return {name: options.text(f"scopes: the description of {name}", scopes[name]) for name in names}


def _open_id_connect(issuer: object, description: str | None, *, insecure: bool) -> OpenIdConnect:
    # OpenID Connect Discovery section 4: a slash at the end is taken off before the path is put there.
    base = options.issuer("issuer", issuer, allow_insecure_http=insecure).removesuffix("/")
    return OpenIdConnect(openIdConnectUrl=f"{base}/.well-known/openid-configuration", description=description)


def _component(name: str, value: object) -> str:
    found = options.text(name, value)
    if not _COMPONENT.fullmatch(found):
        message = f"{name} is letters, digits, '.', '-' and '_', not {found!r}: write 'BearerAuth'"
        raise ValueError(message)
    return found


def _texts(title: str, *names: str) -> dict[str, Any]:
    return {
        "title": title,
        "type": "object",
        "properties": {name: {"type": "string"} for name in names},
        "required": list(names),
    }


_BY_DOOR = _texts("Refused by the door", "error", "error_description")
_BY_DEPENDENCY = _texts("Refused by a dependency", "detail")


def _response(description: str, header: str, meaning: str, *bodies: dict[str, Any]) -> dict[str, Any]:
    schema = bodies[0] if len(bodies) == 1 else {"anyOf": list(bodies)}
    return {
        "description": description,
        "headers": {
            header: {"description": meaning, "required": True, "schema": {"type": "string"}},
            "Cache-Control": {"required": True, "schema": {"type": "string", "const": "no-store"}},
        },
        "content": {"application/json": {"schema": schema}},
    }


_CHALLENGE = ("WWW-Authenticate", "The challenge (RFC 6750 section 3)")
_RESPONSES: dict[int | str, dict[str, Any]] = {
    400: _response("The credentials cannot be read", *_CHALLENGE, _BY_DOOR),
    401: _response("No credentials, or a token that is not accepted", *_CHALLENGE, _BY_DOOR, _BY_DEPENDENCY),
    403: _response("The token lacks a permission", *_CHALLENGE, _BY_DOOR, _BY_DEPENDENCY),
    503: _response("Tokens cannot be verified at the moment", "Retry-After", "Seconds to wait", _BY_DOOR),
}
