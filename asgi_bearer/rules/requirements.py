"""Who may do what: requirements on a verified token, joined by & and |, and the denial that each gives. Floor 1.

The rules: a requirement is a value that looks at the token and the circumstances it is given, and at nothing else; what
it cannot find out is a denial; a denial names all that the request needs, since a client asks for just what it reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast

from asgi_bearer.errors import BearerError, InsufficientAuthentication, InsufficientScope
from asgi_bearer.rules import options
from asgi_bearer.rules.claims import find_claim

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from asgi_bearer.access_token import AccessToken

    Covers: TypeAlias = Callable[[Sequence[str], str], bool]


# Seconds by which the issuer's clock may be ahead: the greatest leeway that a verifier takes
_MOST_AHEAD = 300


def is_granted(granted: Sequence[str], required: str) -> bool:
    """Tell whether a scope was granted exactly as it is written: the rule where nobody has another."""
    return required in granted


class Circumstances(NamedTuple):
    """What a requirement is told beside the token: the time in epoch seconds, and which scopes cover which."""

    now: float
    covers: Covers = is_granted


class Requirement:
    """Something that a verified caller must have. Made by `scopes`, `any_scope`, `claim`, `role` and `acr`.

    `a & b` asks for both, `a | b` for one of them. Another one of your own is a subclass with `denial` and `__repr__`.
    """

    def denial(self, token: AccessToken, circumstances: Circumstances) -> BearerError | None:
        """Return why `token` is not enough, as the error that the client is to see, or None where it is."""
        raise NotImplementedError

    def needed(self, token: AccessToken, circumstances: Circumstances) -> tuple[str, ...]:
        """Return the scopes that a token like this one needs for it: those that a challenge names."""
        denial = self.denial(token, circumstances)
        return denial.required if isinstance(denial, InsufficientScope) else ()

    @property
    def scopes(self) -> tuple[str, ...]:
        """Every scope that it names, for documents: OpenAPI, RFC 9728."""
        return ()

    def __and__(self, other: object) -> Requirement:
        """Ask for both."""
        return _All(self, other) if isinstance(other, Requirement) else NotImplemented

    def __or__(self, other: object) -> Requirement:
        """Ask for one of the two."""
        return _Any(self, other) if isinstance(other, Requirement) else NotImplemented


def scopes(*names: str) -> Requirement:
    """Ask for every one of these scopes. Its denial is `InsufficientScope` (403), which names them all."""
    return _Scopes(_named("scopes", names))


def any_scope(*names: str) -> Requirement:
    """Ask for one of these scopes. Its denial is `InsufficientScope` (403), which names the first."""
    return _AnyScope(_named("any_scope", names))


def claim(path: str, value: str | float | bool) -> Requirement:  # noqa: FBT001  # the value of a claim, and no switch
    """Ask for a claim that is `value`, or an array with it. `path` is a name, or names with dots between.

    True is not 1, and "1" is not 1. Its denial is `InsufficientScope` (403) without a scope: no other token of this
    caller would do.
    """
    if not isinstance(value, str | int | float):
        message = f"claim: value is a str, a number or a bool, not {type(value).__name__}: join several by |"
        raise TypeError(message)
    return _Claim(options.text("claim: path", path), value)


def role(name: str, *, path: str = "roles") -> Requirement:
    """Ask for a role in the claim at `path`: "roles" (RFC 9068 section 2.2.3.1), "realm_access.roles" of Keycloak.

    Its denial is that of `claim`.
    """
    return _Role(options.text("role: path", path), options.text("role: name", name))


def acr(*values: str, max_age: int | None = None) -> Requirement:
    """Ask for a login of one of these authentication contexts (RFC 9470), and for one that is not too old.

    `values` are compared with the claim acr, in order of preference in the challenge; `max_age` (whole seconds) with
    auth_time: a token without it is denied. Its denial is `InsufficientAuthentication` (401), so that the client lets
    the user log in again.
    """
    if not values and max_age is None:
        raise ValueError("acr asks for nothing: write acr('urn:example:silver'), acr(max_age=300), or both")
    # It looks at what a challenge can hold.
    return _Acr(InsufficientAuthentication(values, max_age).acr_values, max_age)


def _named(function: str, names: tuple[str, ...]) -> tuple[str, ...]:
    if not names:
        message = f"{function} asks for nothing: write {function}('read')"
        raise ValueError(message)
    return options.scopes(function, names)


def require_requirement(name: str, value: object) -> Requirement:
    """Return `value`, a requirement; raise `TypeError` for anything else."""
    if not isinstance(value, Requirement):
        written = f"{value!r}" if isinstance(value, str) else "'read'"
        message = f"{name} is a requirement, not {type(value).__name__}: write scopes({written})"
        raise TypeError(message)
    return value


def scopes_of(requirements: Iterable[Requirement]) -> tuple[str, ...]:
    """Return every scope that `requirements` name, once."""
    return tuple(dict.fromkeys(scope for requirement in requirements for scope in requirement.scopes))


class _Scopes(Requirement):
    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names

    def denial(self, token: AccessToken, circumstances: Circumstances) -> BearerError | None:
        granted = token.scopes
        for name in self._names:
            if not circumstances.covers(granted, name):
                return InsufficientScope(self._names)
        return None

    def needed(self, token: AccessToken, circumstances: Circumstances) -> tuple[str, ...]:
        del token, circumstances
        return self._names

    @property
    def scopes(self) -> tuple[str, ...]:
        return self._names

    def __repr__(self) -> str:
        return f"scopes({_listed(self._names)})"


class _AnyScope(Requirement):
    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names

    def denial(self, token: AccessToken, circumstances: Circumstances) -> BearerError | None:
        if any(circumstances.covers(token.scopes, name) for name in self._names):
            return None
        return InsufficientScope(self._names[:1])

    def needed(self, token: AccessToken, circumstances: Circumstances) -> tuple[str, ...]:
        held = [name for name in self._names if circumstances.covers(token.scopes, name)]
        return (*held, *self._names)[:1]

    @property
    def scopes(self) -> tuple[str, ...]:
        return self._names

    def __repr__(self) -> str:
        return f"any_scope({_listed(self._names)})"


class _Claim(Requirement):
    def __init__(self, path: str, value: str | float | bool) -> None:  # noqa: FBT001  # as `claim` has it
        self._path = path
        self._value = value

    def denial(self, token: AccessToken, circumstances: Circumstances) -> BearerError | None:
        del circumstances
        found: Any = find_claim(cast("dict[str, Any]", token.claims), self._path)
        values = found if isinstance(found, tuple) else (found,)
        wanted = type(self._value)
        if any(type(value) is wanted and value == self._value for value in values):
            return None
        return InsufficientScope()

    def __repr__(self) -> str:
        return f"claim({self._path!r}, {self._value!r})"


class _Role(_Claim):
    def __repr__(self) -> str:
        return f"role({self._value!r}, path={self._path!r})"


class _Acr(Requirement):
    def __init__(self, values: tuple[str, ...], max_age: int | None) -> None:
        self._values = values
        self._max_age = max_age

    def denial(self, token: AccessToken, circumstances: Circumstances) -> BearerError | None:
        if self._is_strong(token) and self._is_recent(token, circumstances.now):
            return None
        return InsufficientAuthentication(self._values, self._max_age)

    def _is_strong(self, token: AccessToken) -> bool:
        return not self._values or token.claims.get("acr") in self._values

    def _is_recent(self, token: AccessToken, now: float) -> bool:
        if self._max_age is None:
            return True
        login: Any = token.claims.get("auth_time")
        return type(login) in {int, float} and -_MOST_AHEAD <= now - login <= self._max_age

    def __repr__(self) -> str:
        parts = [repr(value) for value in self._values]
        if self._max_age is not None:
            parts.append(f"max_age={self._max_age}")
        return f"acr({', '.join(parts)})"


class _All(Requirement):
    def __init__(self, *parts: Requirement) -> None:
        self._parts = parts

    def denial(self, token: AccessToken, circumstances: Circumstances) -> BearerError | None:
        denials = [part.denial(token, circumstances) for part in self._parts]
        for denial in denials:
            if denial is not None and not isinstance(denial, InsufficientScope):
                # The login first: the token that comes of it may have other scopes, and not the other way round.
                return denial
        if not any(denials):
            return None
        return InsufficientScope(self.needed(token, circumstances))

    def needed(self, token: AccessToken, circumstances: Circumstances) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for part in self._parts for name in part.needed(token, circumstances)))

    @property
    def scopes(self) -> tuple[str, ...]:
        return scopes_of(self._parts)

    def __repr__(self) -> str:
        return " & ".join(f"({part!r})" if isinstance(part, _Any) else repr(part) for part in self._parts)


class _Any(Requirement):
    def __init__(self, *parts: Requirement) -> None:
        self._parts = parts

    def denial(self, token: AccessToken, circumstances: Circumstances) -> BearerError | None:
        found = self._nearest(token, circumstances)
        return found[1]

    def needed(self, token: AccessToken, circumstances: Circumstances) -> tuple[str, ...]:
        return self._nearest(token, circumstances)[0].needed(token, circumstances)

    def _nearest(self, token: AccessToken, circumstances: Circumstances) -> tuple[Requirement, BearerError | None]:
        """Return the first alternative that holds, else the first that another token could meet, else the first."""
        found = [(part, part.denial(token, circumstances)) for part in self._parts]
        for part, denial in found:
            if denial is None:
                return part, None
        for part, denial in found:
            if not isinstance(denial, InsufficientScope) or denial.required:
                return part, denial
        return found[0]

    @property
    def scopes(self) -> tuple[str, ...]:
        return scopes_of(self._parts)

    def __repr__(self) -> str:
        return " | ".join(repr(part) for part in self._parts)


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(map(repr, names))
