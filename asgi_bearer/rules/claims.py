"""What we insist on in a set of claims, now given (RFC 7519 section 4.1, RFC 9068 sections 2.2 and 4). Floor 1.

The rules: a claim that is there has its type, whatever else is configured; nothing in a token can relax a check; issuer
and audience are equal to the configured ones character by character; a bound token (`cnf`) is the door's to judge.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

from asgi_bearer.access_token import Verdict, freeze
from asgi_bearer.errors import InvalidToken, Reason

Profile: TypeAlias = Literal["lax", "rfc9068"]
PROFILES: tuple[Profile, ...] = ("lax", "rfc9068")

# RFC 9068 section 2.2
RFC9068_CLAIMS = ("iss", "exp", "aud", "sub", "client_id", "iat", "jti")
# RFC 9068 section 4; "lax" also takes what most providers issue (RFC 7519 section 5.1)
_TYP = {"rfc9068": frozenset({"at+jwt"}), "lax": frozenset({None, "jwt", "at+jwt"})}
# OpenID Connect Core section 2, OpenID Connect Back-Channel Logout section 2.4, RFC 8417: claims of other tokens
_FOREIGN_CLAIMS = frozenset({"at_hash", "c_hash", "events"})
# What Keycloak ("typ") and Cognito ("token_use") write into the payload of tokens that are no access tokens
_FOREIGN_KINDS = frozenset({"id", "id_token", "refresh", "refresh_token", "offline", "logout", "logout_token"})
_KIND_CLAIMS = ("typ", "token_use")
# Most tokens have none of what tells one kind from another
_TELLING_CLAIMS = _FOREIGN_CLAIMS.union(_KIND_CLAIMS, {"nonce"})
_CLIENT_CLAIMS = ("client_id", "azp", "cid", "appid", "sub")
_STRINGS = ("iss", "sub", "jti")
# The last second that a datetime can hold
LAST_SECOND = 253402300799


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRules:
    """What one verifier insists on.

    `issuers` and `audiences`: where the claim is there, it must name one of these; an empty set is not checked. What
    must be there stands in `required_claims`. `audience_claim` is where the audience stands, for issuers that leave
    `aud` out. `leeway` is in seconds.
    """

    issuers: frozenset[str]
    audiences: frozenset[str]
    leeway: float
    audience_claim: str = "aud"
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
    """Raise `InvalidToken` unless the header says that this is an access token.

    RFC 9068 section 4, RFC 8725 section 3.11. `typ` is in lower case and without "application/".
    """
    if typ not in _TYP[profile]:
        raise InvalidToken(Reason.token_type)


def check_kind(claims: dict[str, Any]) -> None:
    """Raise `InvalidToken` where the claims are plainly those of another kind of token (RFC 8725 section 3.12)."""
    if _TELLING_CLAIMS.isdisjoint(claims):
        return
    if not _FOREIGN_CLAIMS.isdisjoint(claims):
        raise InvalidToken(Reason.token_type)
    for name in _KIND_CLAIMS:
        if name in claims:
            kind = claims[name]
            if not isinstance(kind, str) or kind.lower() in _FOREIGN_KINDS:
                raise InvalidToken(Reason.token_type)
    if "nonce" in claims and not ("scope" in claims or "scp" in claims or "client_id" in claims):
        raise InvalidToken(Reason.token_type)


def check_claims(claims: dict[str, Any], rules: ClaimRules, now: float) -> Lifetime:
    """Return when the token is good, or raise `InvalidToken` where a claim is missing, mistyped or not as configured.

    It does not check `typ`, the kind of token, `cnf`, or scopes.
    """
    for name in rules.required_claims:
        if name not in claims:
            raise InvalidToken(Reason.missing_claim)
    for name in _STRINGS:
        if name in claims and (type(claims[name]) is not str or not claims[name]):
            raise InvalidToken(Reason.claim_type)
    lifetime = _lifetime(claims, rules.leeway)
    lifetime.require(now)
    if rules.issuers and "iss" in claims and claims["iss"] not in rules.issuers:
        raise InvalidToken(Reason.issuer)
    named = read_audience(claims, rules.audience_claim)
    if rules.audiences and named and rules.audiences.isdisjoint(named):
        raise InvalidToken(Reason.audience)
    return lifetime


def _lifetime(claims: dict[str, Any], leeway: float) -> Lifetime:
    start, end = -math.inf, math.inf
    if "iat" in claims:
        start = _date(claims["iat"])
    if "exp" in claims:
        end = _date(claims["exp"])
        if end <= start:
            # It ended before it was issued.
            raise InvalidToken(Reason.expired)
    if "nbf" in claims:
        start = max(start, _date(claims["nbf"]))
    return Lifetime(start - leeway, end + leeway)


def _date(value: object) -> float:
    """RFC 7519 section 2, NumericDate; a bool is an int to Python, and not to us."""
    if (type(value) is int or type(value) is float) and 0 <= value <= LAST_SECOND:
        return value
    raise InvalidToken(Reason.claim_type)


def read_audience(claims: dict[str, Any], name: str = "aud") -> tuple[str, ...]:
    """Return the claim, a str or a non-empty list of them (RFC 7519 section 4.1.3), as a tuple; () without it."""
    if name not in claims:
        return ()
    value = claims[name]
    if type(value) is str and value:
        return (value,)
    if isinstance(value, list) and value:
        return tuple([_text(item) for item in value])
    return (_text(value),)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise InvalidToken(Reason.claim_type)
    return value


def read_verdict(claims: dict[str, Any], scope_claims: tuple[str, ...]) -> Verdict:
    """Return what an `AccessToken` shows of checked claims; raise `InvalidToken` where scope or client is mistyped."""
    return Verdict(
        _read_client(claims),
        _read_scopes(claims, scope_claims),
        claims.get("exp"),
        claims.get("sub"),
        claims.get("iss"),
        read_audience(claims),
        freeze(claims),
        "cnf" in claims,
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
        if isinstance(value, str):
            # RFC 8693 section 4.2: a string in which spaces part them
            found += value.split(" ")
        elif isinstance(value, list):
            found += [_scope(item) for item in value]
        elif value is not None:
            raise InvalidToken(Reason.claim_type)
    granted = dict.fromkeys(found)
    granted.pop("", None)
    return tuple(granted)


def _scope(item: object) -> str:
    if not isinstance(item, str):
        raise InvalidToken(Reason.claim_type)
    return item


def find_claim(claims: dict[str, Any], path: str) -> Any:
    """Return the claim of that name, or the one that the dots of `path` lead to; None where there is none.

    The whole path is tried as a name first: names with dots are common ("https://example.com/roles").
    """
    if path in claims or "." not in path:
        return claims.get(path)
    value: Any = claims
    for name in path.split("."):
        if not isinstance(value, dict) or name not in value:
            return None
        value = value[name]
    return value
