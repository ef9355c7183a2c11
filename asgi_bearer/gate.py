"""What a door leaves in the context for those behind it: its challenges, and its judgement of requirements. Floor 4.

The rule of this module: whoever asks for more than the door did (a handler, a framework's dependency) gets the door's
own answer: the same clock, the same reading of scopes, the same challenge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgi_bearer.errors import MissingToken, current_door
from asgi_bearer.rules.requirements import Circumstances, Requirement, require_requirement

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from asgi_bearer.access_token import AccessToken
    from asgi_bearer.errors import BearerError, Door
    from asgi_bearer.rules.challenge import Challenger
    from asgi_bearer.rules.requirements import Covers


class Gate:
    """What one door says of one resource: `challenger` writes it, `clock` and `covers` judge by."""

    def __init__(self, challenger: Challenger, clock: Callable[[], float], covers: Covers) -> None:
        self.challenger = challenger
        self._clock = clock
        self._covers = covers

    def headers(self, error: BearerError) -> Mapping[str, str]:
        """Return the headers that belong to `error`, whoever writes the body."""
        return self.challenger.headers(error)

    def require(self, token: AccessToken, requirement: Requirement) -> None:
        """Raise what the client is to see, unless `token` meets `requirement`."""
        denial = requirement.denial(token, Circumstances(self._clock(), self._covers))
        if denial is not None:
            raise denial


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
