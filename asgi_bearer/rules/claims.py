"""What we insist on in a set of claims, now given (RFC 7519 section 4.1, RFC 9068 sections 2.2 and 4). Floor 1.

The rules: a claim that is there has its type, whatever else is configured; nothing in a token can relax a check; issuer
and audience are equal to the configured ones character by character; a bound token (`cnf`) is the door's to judge.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, TypeAlias

from asgi_bearer.access_token import ReadOnlyDict, Verdict, freeze
from asgi_bearer.errors import InvalidToken, Reason

Profile: TypeAlias = Literal["lax", "rfc9068"]
PROFILES: tuple[Profile, ...] = ("lax", "rfc9068")

# RFC 9068 section 2.2
RFC9068_CLAIMS = ("iss", "exp", "aud", "sub", "client_id", "iat", "jti")
# RFC 9068 section 4; "lax" also takes what most providers issue (RFC 7519 section 5.1)
_TYP = {"rfc9068": frozenset({"at+jwt"}), "lax": frozenset({None, "jwt", "at+jwt"})}
# OpenID Connect Core section 2, OpenID Connect Back-Channel Logout section 2.4, RFC 8417: claims of other kinds of tokens
_FOREIGN_CLAIMS = ("at_hash", "c_hash", "events")
# What Keycloak ("typ") and Cognito ("token_use") write into the payload of tokens that are no access tokens
_FOREIGN_KINDS = frozenset({"id", "id_token", "refresh", "refresh_token", "offline", "logout", "logout_token"})
_CLIENT_CLAIMS = ("client_id", "azp", "cid", "appid", "sub")
_STRINGS = ("iss", "sub", "jti")
# The last second that a datetime can hold
_LAST_SECOND = 253402300799


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRules:
    """What one verifier insists on.

    `issuers` and `audiences`: where the claim is there, it must name one of these; an empty set is not checked. What must
    be there stands in `required_claims`. `leeway` is in seconds.
    """

    issuers: frozenset[str]
    audiences: frozenset[str]
    leeway: float
    required_claims: tuple[str, ...] = ()
    scope_claims: tuple[str, ...] = ("scope", "scp")


class Lifetime(NamedTuple):
    """When a token is good, leeway included: from `start` on, and before `end`, in epoch seconds."""

    start: float
    end: float

    def require(self, now: float) -> None:
        """Raise `InvalidToken` unless the token is good at `now`."""
        if now >= self.end:
            raise InvalidToken(Reason.expired)
        if now < self.start:
            raise InvalidToken(Reason.not_yet_valid)


def check_typ(typ: str | None, profile: Profile) -> None:
    """Raise `InvalidToken` unless the header says that this is an access token (RFC 9068 section 4, RFC 8725 section 3.11).

    `typ` is in lower case and without "application/".
    """
    if typ not in _TYP[profile]:
        raise InvalidToken(Reason.token_type)


def check_kind(claims: dict[str, Any]) -> None:
    """Raise `InvalidToken` where the claims are plainly those of another kind of token (RFC 8725 section 3.12)."""
    if any(name in claims for name in _FOREIGN_CLAIMS):
        raise InvalidToken(Reason.token_type)
    for name in ("typ", "token_use"):
        kind = claims.get(name)
        if kind is not None and (not isinstance(kind, str) or kind.lower() in _FOREIGN_KINDS):
            raise InvalidToken(Reason.token_type)
    if "nonce" in claims and not any(name in claims for name in ("scope", "scp", "client_id")):
        raise InvalidToken(Reason.token_type)


def check_claims(claims: dict[str, Any], rules: ClaimRules, now: float) -> Lifetime:
    """Return when the token is good, or raise `InvalidToken` where a claim is missing, mistyped or not as configured.

    It does not check `typ`, the kind of token, `cnf`, or scopes.
    """
    for name in rules.required_claims:
        if name not in claims:
            raise InvalidToken(Reason.missing_claim)
    for name in _STRINGS:
        if name in claims:
            _text(claims[name])
    lifetime = _lifetime(claims, rules.leeway)
    lifetime.require(now)
    if rules.issuers and "iss" in claims and claims["iss"] not in rules.issuers:
        raise InvalidToken(Reason.issuer)
    named = read_audience(claims)
    if rules.audiences and named and rules.audiences.isdisjoint(named):
        raise InvalidToken(Reason.audience)
    return lifetime


def _lifetime(claims: dict[str, Any], leeway: float) -> Lifetime:
    expires, starts, issued = (_date(claims, name) for name in ("exp", "nbf", "iat"))
    if expires is not None and issued is not None and expires <= issued:
        raise InvalidToken(Reason.expired)
    start = max(-math.inf if starts is None else starts, -math.inf if issued is None else issued)
    return Lifetime(start - leeway, math.inf if expires is None else expires + leeway)


def _date(claims: dict[str, Any], name: str) -> float | None:
    """RFC 7519 section 2, NumericDate; a bool is an int to Python, and not to us."""
    if name not in claims:
        return None
    value = claims[name]
    if type(value) not in {int, float} or not 0 <= value <= _LAST_SECOND:
        raise InvalidToken(Reason.claim_type)
    return value  # type: ignore[no-any-return]


def read_audience(claims: dict[str, Any]) -> tuple[str, ...]:
    """Return the claim aud as a tuple: a str, or a list of them that is not empty (RFC 7519 section 4.1.3)."""
    if "aud" not in claims:
        return ()
    value = claims["aud"]
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list) or not items:
        raise InvalidToken(Reason.claim_type)
    return tuple([_text(item) for item in items])


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise InvalidToken(Reason.claim_type)
    return value


def read_verdict(claims: dict[str, Any], scope_claims: tuple[str, ...]) -> Verdict:
    """Return what an `AccessToken` shows of checked claims; raise `InvalidToken` where scopes or client are mistyped."""
    expires = claims.get("exp")
    return Verdict(
        client_id=_read_client(claims),
        scopes=_read_scopes(claims, scope_claims),
        expires_at=None if expires is None else datetime.fromtimestamp(expires, UTC),
        subject=claims.get("sub"),
        issuer=claims.get("iss"),
        audience=read_audience(claims),
        claims=ReadOnlyDict({name: freeze(value) for name, value in claims.items()}),
    )


def _read_client(claims: dict[str, Any]) -> str:
    for name in _CLIENT_CLAIMS:
        if name in claims:
            return _text(claims[name])
    return ""


def _read_scopes(claims: dict[str, Any], scope_claims: tuple[str, ...]) -> tuple[str, ...]:
    found: list[str] = []
    for path in scope_claims:
        value = find_claim(claims, path)
        # RFC 8693 section 4.2: a string in which spaces part them. A list is what several providers send.
        items = value.split(" ") if isinstance(value, str) else value
        if items is not None:
            if not isinstance(items, list):
                raise InvalidToken(Reason.claim_type)
            found += [_scope(item) for item in items if item != ""]
    return tuple(dict.fromkeys(found))


def _scope(item: object) -> str:
    if not isinstance(item, str):
        raise InvalidToken(Reason.claim_type)
    return item


def find_claim(claims: dict[str, Any], path: str) -> Any:
    """Return the claim of that name, or the one that the dots of `path` lead to; None where there is none.

    The whole path is tried as a name first: names with dots are common ("https://example.com/roles").
    """
    if path in claims:
        return claims[path]
    value: Any = claims
    for name in path.split("."):
        if not isinstance(value, dict) or name not in value:
            return None
        value = value[name]
    return value
