"""Verifiers for the tokens of well-known providers, from what their consoles show (RFC 7519, RFC 8414). Floor 6.

The rules: an issuer is spelled as the provider spells it, down to the slash at its end; every preset compares an issuer
and something that names this API; what would need a guess is refused at construction.

Every function takes the options of `JWTVerifier` beside its own (`VerifierOptions`), raises `ValueError` or `TypeError`
for arguments that cannot be meant, and makes no request before the first token. None of them knows whether a token was
revoked.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypedDict, cast

from asgi_bearer.errors import InvalidToken, Reason
from asgi_bearer.keys.key_set import RemoteKeySet
from asgi_bearer.remote.discovery import Discovery
from asgi_bearer.rules import options as checks
from asgi_bearer.verifiers.jwt import JWTVerifier

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Literal, Unpack

    from asgi_bearer.access_token import AccessToken
    from asgi_bearer.keys.key_set import KeySet
    from asgi_bearer.remote.http import Transport

_SCOPES = ("scope", "scp")
# RFC 1123 section 2.1; in lower case, because that is how issuers are spelled and compared
_HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z0-9]")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_SEGMENT = re.compile(r"[A-Za-z0-9._~-]+")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_POOL = re.compile(r"[a-z0-9-]+_[A-Za-z0-9]+")
_PROJECT = re.compile(r"[a-z][a-z0-9.:-]*[a-z0-9]")
# RFC 6454 section 6.2: a scheme, a host, a port, and nothing after it
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#@\s]+")


class _JWTOptions(TypedDict, total=False):
    """The options that presets hand to `JWTVerifier` as they are."""

    keys: KeySet | None
    algorithm: str | Sequence[str] | None
    required_scopes: Sequence[str] | None
    leeway: float
    profile: Literal["lax", "rfc9068"]
    required_claims: Sequence[str]
    scope_claims: Sequence[str]
    cache_size: int
    cache_ttl: float
    allow_insecure_http: bool
    clock: Callable[[], float]


class VerifierOptions(_JWTOptions, total=False):
    """The options of every preset: those of `JWTVerifier` that do not depend on the provider, and `transport`.

    - `keys`: a `KeySet` in place of the provider's own, which is fetched otherwise.
    - `transport`: an httpx2 transport to fetch it with, where the default (TLS verified, no proxy) will not do.
    - `required_claims`: comes on top of what the preset demands; ("exp",) by default.
    - `scope_claims`: replaces what the preset reads scopes from.
    - all others: see `JWTVerifier`.
    """

    transport: Transport | None


def auth0(domain: str, audience: str | Sequence[str], **options: Unpack[VerifierOptions]) -> JWTVerifier:
    """Return a verifier for Auth0 (its pages "Validate Access Tokens" and "Access Token Profiles").

    `domain`: the tenant's or a custom domain ("tenant.eu.auth0.com"). `audience`: the identifier of the API.

    Scopes are those of `scope` and of `permissions`, which is there when the API adds permissions to its tokens. Note
    that `permissions` lists all that the user may do, and `scope` what the client was granted:
    `scope_claims=("scope",)` looks at the latter alone. `profile="rfc9068"` fits an API with the profile of that name.
    Tokens asked for without an audience are opaque or encrypted, and refused.
    """
    issuer = f"https://{_host('domain', domain, 'tenant.eu.auth0.com')}/"
    return _verifier(issuer, audience, options, scope_claims=("scope", "permissions"))


def okta(
    domain: str,
    audience: str | Sequence[str],
    *,
    authorization_server: str = "default",
    **options: Unpack[VerifierOptions],
) -> JWTVerifier:
    """Return a verifier for a custom authorization server of Okta (its page "Validate access tokens").

    `domain`: the org's or a custom domain ("company.okta.com"). `audience`: that of the authorization server
    ("api://default"). `authorization_server`: its id; the one named "default" is a custom one, too.

    Scopes are those of `scp`. The org authorization server (no /oauth2/... in the issuer) is NOT supported: Okta
    reserves its access tokens for itself.
    """
    host = _host("domain", domain, "company.okta.com")
    if host.endswith(("-admin.okta.com", "-admin.oktapreview.com", "-admin.okta-emea.com")):
        message = "domain is that of Okta's console: leave out -admin"
        raise ValueError(message)
    server = _matching("authorization_server", authorization_server, _SEGMENT, "an id such as 'default', without slash")
    # An ID token names its client in aud alone.
    return _verifier(f"https://{host}/oauth2/{server}", audience, options, require=("cid",))


def keycloak(url: str, realm: str, audience: str | Sequence[str], **options: Unpack[VerifierOptions]) -> JWTVerifier:
    """Return a verifier for a realm of Keycloak (its pages "OpenID Connect endpoints" and "Audience support").

    `url`: where Keycloak is, as its users see it: "https://id.example.com", with /auth where it has that path. `realm`:
    its name. `audience`: what an audience mapper adds; a realm without one writes only "account", or no aud at all.

    Scopes are those of `scope`. Roles are none: `scope_claims=("scope", "realm_access.roles")` makes them. ID, refresh
    and logout tokens are told by the payload's `typ`.
    """
    base = checks.issuer("url", url, allow_insecure_http=options.get("allow_insecure_http", False))
    if base.endswith("/"):
        message = "url ends with a slash, and Keycloak's issuers have a single one there: leave it out"
        raise ValueError(message)
    if "/realms/" in base:
        message = "url is where Keycloak is: leave out /realms/... and write realm='...'"
        raise ValueError(message)
    name = _matching("realm", realm, _SEGMENT, "the realm's name, without slash or space")
    return _verifier(f"{base}/realms/{name}", audience, options)


def entra(tenant: str, audience: str | Sequence[str], **options: Unpack[VerifierOptions]) -> JWTVerifier:
    """Return a verifier for one tenant of Microsoft Entra (its pages "Access tokens", "Access token claims reference").

    `tenant`: the directory (tenant) id, a UUID. `audience`: the application (client) id of the API; a token may then
    name it as that, or as api://<id>. An App ID URI of another form is written beside it: [id,
    "https://api.contoso.com"].

    Takes v1.0 and v2.0 tokens, whose issuers differ; which of the two come is set in the API's registration. Scopes are
    those of `scp` (delegated) and of `roles` (application permissions, and the user's app roles: name them apart from
    scopes). ID tokens are refused, also where one registration is client and API at once: they name no client.

    It does NOT support tokens for Microsoft Graph (nobody else can verify them), several tenants ("common"), Azure AD
    B2C, External ID or national clouds, whose issuers are others.
    """
    if tenant in {"common", "organizations", "consumers"}:
        message = (
            f"tenant={tenant!r} stands for every tenant there is, and each would be trusted: write the id of yours,"
            " a UUID, and for several one verifier each"
        )
        raise ValueError(message)
    directory = _matching("tenant", tenant, _UUID, "the directory (tenant) id, a UUID in lower case, and no domain")
    login = f"https://login.microsoftonline.com/{directory}"
    return _verifier(
        (f"{login}/v2.0", f"https://sts.windows.net/{directory}/"),
        _entra_audiences(checks.texts("audience", audience)),
        options,
        # Both versions are signed with the same keys.
        jwks_uri=f"{login}/discovery/v2.0/keys",
        scope_claims=("scp", "roles"),
        kind=_EntraVerifier,
    )


def _entra_audiences(audiences: tuple[str, ...]) -> tuple[str, ...]:
    """Return `audiences`, each id both as it is (v2.0) and as the App ID URI that it has by default (v1.0)."""
    names = [item.removeprefix("api://").lower() for item in audiences]
    ids = [name for name in names if _UUID.fullmatch(name)]
    return tuple(dict.fromkeys([*audiences, *ids, *(f"api://{name}" for name in ids)]))


class _EntraVerifier(JWTVerifier):
    """Refuses ID tokens, which have the same `aud` as access tokens where the API signs users in itself.

    The client is in `azp` (v2.0) or `appid` (v1.0) of an access token, and in neither of an ID token.
    """

    async def verify_token(self, token: str) -> AccessToken:
        """Return the verified token. Raises `InvalidToken`, `InsufficientScope` or `VerifierUnavailable`."""
        verified = await super().verify_token(token)
        if "azp" not in verified.claims and "appid" not in verified.claims:
            raise InvalidToken(Reason.token_type)
        return verified


def cognito(
    region: str, user_pool: str, client_id: str | Sequence[str], **options: Unpack[VerifierOptions]
) -> JWTVerifier:
    """Return a verifier for a user pool of Cognito (its pages "Verifying JSON web tokens", "Access token").

    `region`: "eu-central-1". `user_pool`: its id ("eu-central-1_AbCdEf123"). `client_id`: the app clients that may
    call; Cognito's access tokens name them and, without resource binding, no `aud`, so `aud` is not looked at.

    Scopes are those of `scope`; groups (`cognito:groups`) are none. ID tokens are told by `token_use`, which must be
    there.
    """
    name = _matching("region", region, _LABEL, "an AWS region such as 'eu-central-1'")
    pool = _matching("user_pool", user_pool, _POOL, f"the user pool's id, such as '{name}_AbCdEf123'")
    if not pool.startswith(f"{name}_"):
        message = f"user_pool {pool!r} is in another region than {name!r}: write the region that it begins with"
        raise ValueError(message)
    issuer = f"https://cognito-idp.{name}.amazonaws.com/{pool}"
    return _verifier(
        issuer, checks.texts("client_id", client_id), options, audience_claim="client_id", require=("token_use",)
    )


def google(audience: str | Sequence[str], **options: Unpack[VerifierOptions]) -> JWTVerifier:
    """Return a verifier for the ID tokens of Google's service accounts (its page "Token types").

    `audience`: what services ask their tokens for, by custom the URL of this one. These are the tokens that Cloud Run,
    Cloud Scheduler, Pub/Sub and the like send as `Authorization: Bearer`.

    It does NOT say who may come in: every service account of every Google customer gets a token for any audience it
    asks for. Compare `subject`, or `claims["email"]` where `claims["email_verified"]` is true. There are no scopes.

    Google's access tokens are opaque, and nobody but Google can verify them. ID tokens of users that came with an
    access token (`at_hash`) or have a `nonce` were made for the client that signed the user in, and are refused.
    """
    return _verifier("https://accounts.google.com", audience, options)


def firebase(project: str, **options: Unpack[VerifierOptions]) -> JWTVerifier:
    """Return a verifier for Firebase Authentication (its page "Verify ID Tokens", on third-party JWT libraries).

    `project`: the project's id, which is no number.

    Takes what Firebase calls ID tokens: its client libraries hand out no others. It checks what that page lists, but
    for `auth_time`, which must be there and is not compared. Session cookies and custom tokens are refused. There are
    no scopes; custom claims are in `claims`.
    """
    name = _matching("project", project, _PROJECT, "the project's id such as 'my-app-1234', not its number or name")
    return _verifier(f"https://securetoken.google.com/{name}", name, options, require=("sub", "auth_time"))


def workos(domain: str, audience: str | Sequence[str], **options: Unpack[VerifierOptions]) -> JWTVerifier:
    """Return a verifier for WorkOS Connect, AuthKit as an authorization server (its page "Access token claims").

    `domain`: AuthKit's ("company.authkit.app", or a custom one). `audience`: the resource indicator of this API, or the
    environment's client id where none is configured and for machine-to-machine applications.

    Scopes are those of `scope`. ID tokens name no `client_id`, and are refused. It does NOT take the session tokens of
    AuthKit (issuer https://api.workos.com/...): they name no API.
    """
    issuer = f"https://{_host('domain', domain, 'company.authkit.app')}"
    return _verifier(issuer, audience, options, require=("client_id",))


def zitadel(domain: str, audience: str | Sequence[str], **options: Unpack[VerifierOptions]) -> JWTVerifier:
    """Return a verifier for ZITADEL (its pages "Claims in ZITADEL" and "Scopes in ZITADEL").

    `domain`: the instance's ("company.zitadel.cloud", or a custom one). `audience`: the project's id.

    Applications and service accounts must have JWT chosen as their token type: the default is opaque, for
    introspection. These tokens have no scopes; roles are objects, in `claims["urn:zitadel:iam:org:project:roles"]`. An
    ID token has the same audience, and is told by having no `jti`.
    """
    issuer = f"https://{_host('domain', domain, 'company.zitadel.cloud')}"
    return _verifier(issuer, audience, options, require=("jti",))


def ory(issuer: str, audience: str | Sequence[str], **options: Unpack[VerifierOptions]) -> JWTVerifier:
    """Return a verifier for Ory Network and Ory Hydra (its page "Opaque and JWT access tokens").

    `issuer`: "https://<slug>.projects.oryapis.com", or what `issuer` is in the server's metadata, whose slash at the
    end depends on how Hydra was configured. `audience`: one that the client asks for; otherwise the token names none.

    The strategy for access tokens must be jwt: the default is opaque, for introspection. Scopes are those of `scp` and
    `scope`. Own claims are in `claims["ext"]`. An ID token has no `client_id`, and is refused.
    """
    url = checks.issuer("issuer", issuer, allow_insecure_http=options.get("allow_insecure_http", False))
    return _verifier(url, audience, options, require=("client_id",))


def supabase(
    domain: str, audience: str | Sequence[str] = "authenticated", **options: Unpack[VerifierOptions]
) -> JWTVerifier:
    """Return a verifier for Supabase Auth (its pages "JWT Claims Reference" and "JWT Signing Keys").

    `domain`: the project's ("<ref>.supabase.co", or a custom one). `audience`: "authenticated" is what Supabase writes
    for every user that is signed in, so that the issuer alone tells projects apart.

    The project must sign with an asymmetric key: tokens under the old shared secret are refused, the anon and
    service_role keys among them. There are no scopes; `claims["role"]` is the database role. A user who signed in
    anonymously is "authenticated", too: see `claims["is_anonymous"]`.
    """
    issuer = f"https://{_host('domain', domain, 'abcdefghijklmnopqrst.supabase.co')}/auth/v1"
    # An ID token of Supabase as an OAuth server belongs to a client, and has no session.
    return _verifier(
        issuer, audience, options, jwks_uri=f"{issuer}/.well-known/jwks.json", require=("sub", "session_id")
    )


def clerk(domain: str, authorized_parties: str | Sequence[str], **options: Unpack[VerifierOptions]) -> JWTVerifier:
    """Return a verifier for the session tokens of Clerk (its pages "Session tokens", "Manual JWT verification").

    `domain`: that of the Frontend API ("clerk.example.com", "name-1.clerk.accounts.dev"). `authorized_parties`: the
    origins of the front ends whose users may call ("https://app.example.com"). Session tokens have no `aud`: `azp`
    stands in for it, and a token without is refused, although Clerk leaves it out where a browser sent no Origin.

    There are no scopes; the organization is in `claims["o"]`. OAuth access tokens of Clerk name neither an API nor an
    origin, and are refused.
    """
    issuer = f"https://{_host('domain', domain, 'clerk.example.com')}"
    parties = checks.texts("authorized_parties", authorized_parties)
    for party in parties:
        _matching(
            "each of authorized_parties", party, _ORIGIN, "an origin such as 'https://app.example.com', without path"
        )
    return _verifier(
        issuer,
        parties,
        options,
        jwks_uri=f"{issuer}/.well-known/jwks.json",
        audience_claim="azp",
        require=("sub", "sid"),
    )


def cloudflare_access(team: str, audience: str | Sequence[str], **options: Unpack[VerifierOptions]) -> JWTVerifier:
    """Return a verifier for application tokens of Cloudflare Access (its pages "Application token", "Validate JWTs").

    `team`: the team's name, the first part of its cloudflareaccess.com domain. `audience`: the AUD tag of the
    application.

    Cloudflare sends the token in the header `Cf-Access-Jwt-Assertion`, and `BearerMiddleware` reads `Authorization`:
    what stands in between has to hand it over. There are no scopes. The global session token has another audience, and
    is refused; so are tokens of Access service tokens, whose `sub` is empty.
    """
    name = _matching("team", team, _LABEL, "the team's name alone: 'company' of https://company.cloudflareaccess.com")
    issuer = f"https://{name}.cloudflareaccess.com"
    return _verifier(issuer, audience, options, jwks_uri=f"{issuer}/cdn-cgi/access/certs")


def _verifier(
    issuer: str | tuple[str, ...],
    audience: str | Sequence[str],
    options: VerifierOptions,
    *,
    jwks_uri: str | None = None,
    audience_claim: str = "aud",
    require: tuple[str, ...] = (),
    scope_claims: tuple[str, ...] = _SCOPES,
    kind: type[JWTVerifier] = JWTVerifier,
) -> JWTVerifier:
    """Return the verifier; its keys are those at `jwks_uri`, or where the issuer's metadata says."""
    keys = options.get("keys")
    if keys is None:
        keys = _remote_keys(jwks_uri, issuer, options)
    named = options.get("required_claims")
    chosen = {name: value for name, value in options.items() if name != "transport"}
    merged = {
        "scope_claims": scope_claims,
        **chosen,
        "keys": keys,
        # exp in every case: no provider leaves it out.
        "required_claims": ("exp", *require, *(checks.texts("required_claims", named) if named else ())),
    }
    return kind(
        issuer=issuer,
        audience=checks.texts("audience", audience),
        audience_claim=audience_claim,
        **cast("_JWTOptions", merged),
    )


def _remote_keys(jwks_uri: str | None, issuer: str | tuple[str, ...], options: VerifierOptions) -> RemoteKeySet:
    allow, transport = options.get("allow_insecure_http", False), options.get("transport")
    source = jwks_uri or Discovery(str(issuer), allow_insecure_http=allow, transport=transport)
    return RemoteKeySet(source, algorithm=options.get("algorithm"), transport=transport)


def _host(name: str, value: object, example: str) -> str:
    what = f"a host name in lower case without https://, port, path or slash, such as {example!r}"
    return _matching(name, value, _HOST, what)


def _matching(name: str, value: object, pattern: re.Pattern[str], what: str) -> str:
    given = checks.text(name, value)
    if not pattern.fullmatch(given):
        message = f"{name} is {what}, and not {given!r}"
        raise ValueError(message)
    return given
