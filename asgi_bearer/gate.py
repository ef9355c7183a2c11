"""What a door leaves in the context for those behind it: its challenges, and its judgement of requirements. Floor 4.

The rule of this module: whoever asks for more than the door did (a handler, a framework's dependency) gets the door's
own answer: the same clock, the same reading of scopes, the same challenge.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from asgi_bearer.errors import InsufficientScope, MissingToken, current_door
from asgi_bearer.rules.challenge import Challenger
from asgi_bearer.rules.requirements import Circumstances, Requirement, require_requirement, scopes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from asgi_bearer.access_token import AccessToken
    from asgi_bearer.errors import BearerError, Door
    from asgi_bearer.rules.challenge import Answer, Body
    from asgi_bearer.rules.requirements import Covers

# What is said where no door is around the application.
_OUTSIDE = Challenger(realm="api", scopes=(), expose_reason=False)


class Gate:
    """What one door says of one resource: `challenger` writes it, `clock` and `covers` judge by.

    `render` writes the body of an answer, where the door has something to say to that.
    """

    def __init__(
        self,
        challenger: Challenger,
        clock: Callable[[], float],
        covers: Covers,
        render: Callable[[BearerError], Body | None] | None = None,
    ) -> None:
        self.challenger = challenger
        self._clock = clock
        self._covers = covers
        self._render = render

    def headers(self, error: BearerError) -> Mapping[str, str]:
        """Return the headers that belong to `error`, whoever writes the body."""
        return self.challenger.headers(error)

    def answer(self, error: BearerError) -> Answer:
        """Return the whole response to `error`."""
        return self.challenger.answer(error, None if self._render is None else self._render(error))

    def require(self, token: AccessToken, requirement: Requirement) -> None:
        """Raise what the client is to see, unless `token` meets `requirement`."""
        denial = requirement.denial(token, Circumstances(self._clock(), self._covers))
        if denial is not None:
            raise denial

    def needed(self, token: AccessToken, requirement: Requirement) -> tuple[str, ...]:
        """Return the scopes that a challenge names for `requirement`."""
        return requirement.needed(token, Circumstances(self._clock(), self._covers))


def require(requirement: Requirement) -> AccessToken:
    """Return the token of the request that is being handled, if it meets `requirement`: `require(scopes("admin"))`.

    Raises `MissingToken` (401) where nobody came with one, what the requirement says where it is not enough
    (`InsufficientScope`, 403; `InsufficientAuthentication`, 401), and `RuntimeError` where no `BearerMiddleware` is
    around the application, since nobody has looked at credentials then.
    """
    require_requirement("requirement", requirement)
    return judge(nearest_door(), requirement)


def nearest_door() -> Door:
    """Return the door that the request came through; raise `RuntimeError` where there is none."""
    door = current_door.get()
    if door is None:
        raise RuntimeError(
            "no BearerMiddleware is around this application: write app = BearerMiddleware(app, verifier)"
        )
    return door


def judge(door: Door, requirement: Requirement | None) -> AccessToken:
    """Return the token that came through `door`, if it meets `requirement`; None asks for any token."""
    if door.access_token is None:
        raise MissingToken
    if requirement is not None:
        door.gate.require(door.access_token, requirement)
    return door.access_token


# Where a scope holds what its caller has met so far, and at which door.
_MET = "asgi_bearer.met"
_MOST_MET = 64


def require_also(requirement: Requirement, scope: Any) -> AccessToken:
    """Do what `require` does, for guards of which one request may pass several; `scope` is the application's own copy.

    A client asks for just the scopes that it reads in a challenge. If that named the last guard's alone, the next token
    would lack those of the first ones.
    """
    return judge_also(nearest_door(), requirement, scope)


def judge_also(door: Door, requirement: Requirement | None, scope: Any) -> AccessToken:
    """Do what `judge` does, and name in a denial what this request has met before at this door."""
    at, met = scope.get(_MET, (None, ()))
    known: tuple[Requirement, ...] = met if at is door else ()
    try:
        token = judge(door, requirement)
    except InsufficientScope as error:
        raise _with_all(error, door, known) from None
    if requirement is not None and not any(one is requirement for one in known):
        scope[_MET] = (door, (*known, requirement)[-_MOST_MET:])
    return token


def _with_all(error: InsufficientScope, door: Door, known: Iterable[Requirement]) -> InsufficientScope:
    token = door.access_token
    needed = [name for one in known if token is not None for name in door.gate.needed(token, one)]
    return InsufficientScope(tuple(dict.fromkeys([*needed, *error.required])))


def read_requirement(name: str, wanted: Sequence[object]) -> Requirement:
    """Return what the function `name` was called with as one requirement: all of it must be met.

    Each of `wanted` is a scope, a sequence of scopes, or a requirement.
    """
    if not wanted:
        message = f"{name} asks for nothing: write {name}('read')"
        raise ValueError(message)
    return functools.reduce(Requirement.__and__, [_as_requirement(name, one) for one in wanted])


def _as_requirement(name: str, wanted: object) -> Requirement:
    if isinstance(wanted, Requirement):
        return wanted
    if isinstance(wanted, str):
        return scopes(wanted)
    if callable(wanted) or isinstance(wanted, bytes | dict) or not isinstance(wanted, Iterable):
        message = f"{name} takes scopes and requirements, not {type(wanted).__name__}: write {name}('read')"
        raise TypeError(message)
    return scopes(*wanted)


def answer(error: BearerError) -> Answer:
    """Return the current door's whole answer to `error`, for frameworks that do not know our errors by themselves."""
    door = current_door.get()
    if door is None or not isinstance(door.gate, Gate):
        return _OUTSIDE.answer(error)
    return door.gate.answer(error)
