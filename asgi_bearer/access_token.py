"""The verified caller: `AccessToken`, its absence, and the contract of what verifies it. Floor 0.

The rule of this module: what a handler gets is immutable, so that one request cannot change what the next one sees, and
no repr shows the token or the value of a claim.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Protocol, Self

from asgi_bearer.errors import InsufficientScope, MissingToken, current_door

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class TokenVerifier(Protocol):
    """A strategy: one method that tells whether a token is good.

    It may also have `required_scopes` (named in challenges), `async prefetch()` (called at the application's start-up),
    `async aclose()` (at its shutdown), `observe(listener)` (called with the door's `on_event`, if there is one) and
    `audiences` (a sequence of what it compares aud with: empty for nothing, None for what cannot be told).
    """

    async def verify_token(self, token: str) -> AccessToken | None:
        """Return the verified token.

        Raises `InvalidToken` (or returns None) when the token is not to be accepted, `InsufficientScope` when it lacks
        a scope of the strategy's own, `VerifierUnavailable` when the answer cannot be known now. Any other exception is
        a bug and becomes a 500. It does not check what belongs to the request: the door does that.
        """
        ...


def fingerprint(token: str) -> str:
    """Name a token in logs and events: the first 8 hex digits of its SHA-256."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()[:8]


class ReadOnlyDict(dict[str, Any]):
    """A dict that cannot be changed; `json.dumps` takes it, and every copy of it is a plain dict."""

    __slots__ = ()

    def __new__(cls, members: Mapping[str, Any] = MappingProxyType({})) -> Self:  # noqa: D102
        self = super().__new__(cls)
        dict.update(self, members)
        return self

    def __init__(self, members: Mapping[str, Any] = MappingProxyType({})) -> None:
        """Do nothing: `dict.__init__` called a second time would change what is there."""

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        """Copy and pickle as a plain dict."""
        return dict, (dict(self),)

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        """Copy deeply into plain dicts."""
        from copy import deepcopy  # noqa: PLC0415  # seldom needed

        return {name: deepcopy(value, memo) for name, value in self.items()}


def _refuse(_self: ReadOnlyDict, *_: object, **__: object) -> NoReturn:
    message = "claims are read-only: dict(token.claims) is a copy that can be changed"
    raise TypeError(message)


for _name in ("__setitem__", "__delitem__", "__ior__", "clear", "pop", "popitem", "setdefault", "update"):
    setattr(ReadOnlyDict, _name, _refuse)


def freeze(value: Any) -> Any:
    """Return JSON data as read-only dicts and tuples, at every depth."""
    if isinstance(value, dict):
        # What `ReadOnlyDict(value)` does, without the calls of Python in between.
        frozen = dict.__new__(ReadOnlyDict)
        dict.update(frozen, value)
        if not _SCALARS.issuperset(map(type, value.values())):
            for name, member in value.items():
                if isinstance(member, _CONTAINERS):
                    dict.__setitem__(frozen, name, freeze(member))
        return frozen
    if isinstance(value, list | tuple):
        return tuple([freeze(item) for item in value])
    return value


_CONTAINERS = (dict, list, tuple)
_SCALARS = frozenset({str, int, float, bool, type(None)})


class Verdict(NamedTuple):
    """What a strategy found out about a token: all of an `AccessToken` but the token, so that a cache can hold it.

    `expires_at` is in epoch seconds: few handlers ask for it, so the datetime is made for those who do.
    """

    client_id: str
    scopes: tuple[str, ...]
    expires_at: float | None
    subject: str | None
    issuer: str | None
    audience: tuple[str, ...]
    claims: ReadOnlyDict
    is_bound: bool

    def __repr__(self) -> str:
        """Show no claim."""
        return f"Verdict(expires_at={self.expires_at}, scopes={len(self.scopes)})"


_NO_CLAIMS = ReadOnlyDict()


class AccessToken:
    """A verified access token and what is known of its caller. Immutable.

    - `token`: the token as received. It is a credential: do not log or store it.
    - `client_id`: the OAuth client, or "" where the issuer names none.
    - `scopes`: what was granted.
    - `expires_at`: an aware datetime in UTC, or None.
    - `subject`, `issuer`, `audience`: the claims sub, iss and aud.
    - `claims`: every claim, read-only at every depth; arrays are tuples. `json.dumps` takes it, a copy is a plain dict.
    """

    __slots__ = ("_token", "_verdict")
    _token: str
    _verdict: Verdict

    def __init__(
        self,
        *,
        token: str,
        client_id: str,
        scopes: Iterable[str] = (),
        expires_at: datetime | None = None,
        subject: str | None = None,
        issuer: str | None = None,
        audience: Iterable[str] = (),
        claims: Mapping[str, Any] | None = None,
    ) -> None:
        _require_text("token", token)
        _require_text("client_id", client_id)
        if isinstance(scopes, str) or isinstance(audience, str):
            message = "scopes and audience are sequences of str: write ('read', 'write')"
            raise TypeError(message)
        end = None if expires_at is None else _epoch(expires_at)
        frozen = freeze(dict(claims)) if claims else _NO_CLAIMS
        _set_token(self, token)
        verdict = Verdict(client_id, tuple(scopes), end, subject, issuer, tuple(audience), frozen, "cnf" in frozen)
        _set_verdict(self, verdict)

    @classmethod
    def from_verdict(cls, token: str, verdict: Verdict) -> AccessToken:
        """Join a token to what a strategy has found out about it (the way of the strategies; it copies nothing)."""
        self = _new(cls)
        _set_token(self, token)
        _set_verdict(self, verdict)
        return self

    @property
    def token(self) -> str:
        """The token as received: a credential."""
        return self._token

    @property
    def client_id(self) -> str:
        """The OAuth client the token was issued to, or "" where the issuer names none."""
        return self._verdict[0]

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes that were granted."""
        return self._verdict[1]

    @property
    def expires_at(self) -> datetime | None:
        """When the token ends (aware, UTC), or None where the issuer does not say."""
        end = self._verdict[2]
        return None if end is None else datetime.fromtimestamp(end, UTC)

    @property
    def subject(self) -> str | None:
        """The claim sub: whom the token is about, unique within its issuer."""
        return self._verdict[3]

    @property
    def issuer(self) -> str | None:
        """The claim iss."""
        return self._verdict[4]

    @property
    def audience(self) -> tuple[str, ...]:
        """The claim aud, always as a tuple."""
        return self._verdict[5]

    @property
    def claims(self) -> Mapping[str, Any]:
        """Every claim, read-only at every depth."""
        return self._verdict[6]

    @property
    def is_bound(self) -> bool:
        """Whether the token is bound to a key that its sender must prove to have (the claim cnf, RFC 7800)."""
        return self._verdict[7]

    @property
    def principal_key(self) -> tuple[str | None, str | None, str]:
        """Who the caller is, for session binding and rate limits: (issuer, subject, client_id)."""
        return (self.issuer, self.subject, self.client_id)

    def has_scopes(self, *scopes: str) -> bool:
        """Tell whether every one of `scopes` was granted; each must be there exactly as it is written."""
        granted = self.scopes
        return all(scope in granted for scope in scopes)

    def require_scopes(self, *scopes: str) -> None:
        """Raise `InsufficientScope`, which is a 403, unless every one of `scopes` was granted."""
        if not self.has_scopes(*scopes):
            raise InsufficientScope(scopes)

    def __repr__(self) -> str:
        """Show the token's 8 hex digits, when it ends, and how many scopes it has."""
        return f"AccessToken({fingerprint(self.token)}, expires_at={self.expires_at}, scopes={len(self.scopes)})"

    def __eq__(self, other: object) -> bool:
        """Compare the token and everything known of it."""
        if not isinstance(other, AccessToken):
            return NotImplemented
        return self._token == other._token and self._verdict == other._verdict

    def __hash__(self) -> int:
        """Hash by the token."""
        return hash(self._token)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        """Refuse: a verified token does not change."""
        message = f"an AccessToken is read-only: {name} cannot be set"
        raise AttributeError(message)

    def __delattr__(self, name: str) -> NoReturn:
        """Refuse: a verified token does not change."""
        message = f"an AccessToken is read-only: {name} cannot be deleted"
        raise AttributeError(message)

    def __copy__(self) -> AccessToken:
        """Return itself: it cannot change."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> AccessToken:
        """Return itself: it cannot change."""
        return self

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: it holds a credential."""
        message = "an AccessToken holds a credential and is not pickled: pass dict(token.claims) or token.principal_key"
        raise TypeError(message)


def _require_text(name: str, value: object) -> None:
    if not isinstance(value, str):
        message = f"{name} is a str, not {type(value).__name__}"
        raise TypeError(message)


def _epoch(moment: object) -> float:
    if not isinstance(moment, datetime):
        message = f"expires_at is a datetime, not {type(moment).__name__}: write datetime.fromtimestamp(seconds, UTC)"
        raise TypeError(message)
    if moment.tzinfo is None:
        message = "expires_at must be aware: write datetime(..., tzinfo=UTC)"
        raise ValueError(message)
    return moment.timestamp()


# The slots' own setters: `__setattr__` refuses, and on the hot path these are twice as fast as `object.__setattr__`.
_new = object.__new__
_set_token = AccessToken.__dict__["_token"].__set__
_set_verdict = AccessToken.__dict__["_verdict"].__set__


class Anonymous:
    """What `scope["auth"]` holds where no caller was asked for, or none came: falsy, and without scopes."""

    __slots__ = ()
    scopes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Be falsy, so that `if request.auth:` reads as it should."""
        return False

    def __repr__(self) -> str:
        """Show the name alone: there is nothing to know."""
        return "Anonymous()"

    def has_scopes(self, *scopes: str) -> bool:
        """Tell whether `scopes` is empty: nobody was granted anything."""
        return not scopes

    def require_scopes(self, *scopes: str) -> None:
        """Raise `MissingToken`, which is a 401, where any scope is asked for."""
        if scopes:
            raise MissingToken


class BearerUser:
    """What `scope["user"]` holds for a verified token: the names of Starlette's `request.user`, and the token."""

    __slots__ = ("access_token",)
    is_authenticated = True

    def __init__(self, access_token: AccessToken) -> None:
        self.access_token: AccessToken = access_token

    @property
    def identity(self) -> str:
        """The subject, or the client where the token has no subject. Unique within one issuer only."""
        return self.access_token.subject or self.access_token.client_id

    @property
    def display_name(self) -> str:
        """The claim name, or the identity: a name to show, not to decide on."""
        name = self.access_token.claims.get("name")
        return name if isinstance(name, str) else self.identity


class AnonymousUser:
    """What `scope["user"]` holds where no caller was asked for, or none came."""

    __slots__ = ()
    is_authenticated = False
    identity = ""
    display_name = ""
    access_token = None


def get_access_token() -> AccessToken | None:
    """Return the verified token of the request that is being handled, or None: outside of one, or anonymous in one.

    It works in everything the handler calls, in threads that anyio or asyncio start for it, and in tasks it starts.
    """
    door = current_door.get()
    return door.access_token if door is not None else None
