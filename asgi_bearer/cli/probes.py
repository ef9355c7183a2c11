"""The requests that show what the door does: as `curl` lines with their answers, and made for real. Floor 7."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from asgi_bearer.cli.door import REALM
from asgi_bearer.errors import BearerError, InsufficientScope, InvalidToken, MissingToken, Reason
from asgi_bearer.remote.http import FetchError, Limits, Request, fetch
from asgi_bearer.rules.challenge import Challenger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asgi_bearer.testing.issuer import Issuer

_LIMITS = Limits(timeout=10.0, max_bytes=1024 * 1024)
_TOKEN_SECONDS = 24 * 3600
_ERROR = re.compile(r'error="(\w+)"')
_REASON = re.compile(r"Reason: (\w+)\.")


class Answer(NamedTuple):
    """What a request was, or is to be, answered with. A status of None: what the application likes, but no failure."""

    status: int | None
    challenge: str | None = None

    def __str__(self) -> str:
        """Say it in one line: the challenge as its error and reason."""
        status = "the application's answer" if self.status is None else str(self.status)
        challenge = self.challenge or ""
        details = [found[1] for found in (_ERROR.search(challenge), _REASON.search(challenge)) if found]
        return " ".join([status, *(details or (["challenge"] if challenge else []))])

    def in_full(self) -> str:
        """Say it with the whole challenge."""
        return str(self) if self.challenge is None else f"{self.status} {self.challenge}"

    def allows(self, got: Answer) -> bool:
        """Tell whether `got` is what was expected."""
        if self.status is None:
            return got.challenge is None and got.status is not None and got.status < 500  # noqa: PLR2004
        return got == self


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One request with a GET, and the answer it must have."""

    name: str
    url: str
    token: str | None = field(repr=False)
    expected: Answer

    def curl(self) -> str:
        """Return the request as a line for the shell."""
        credentials = [] if self.token is None else ["-H", f"Authorization: Bearer {self.token}"]
        return shlex.join(["curl", "-i", *credentials, self.url])

    async def ask(self) -> Answer:
        """Make the request over a connection of its own. Raises `FetchError` where nothing answers."""
        headers = {} if self.token is None else {"authorization": f"Bearer {self.token}"}
        response = await fetch(Request(method="GET", url=self.url, headers=headers), _LIMITS)
        return Answer(response.status, response.headers.get("www-authenticate"))


class Outcome(NamedTuple):
    """A probe, and what it got: an answer, or why there was none."""

    probe: Probe
    got: Answer | str

    @property
    def passed(self) -> bool:
        """Whether the answer is the one that was expected."""
        return isinstance(self.got, Answer) and self.probe.expected.allows(self.got)


async def ask_all(probes: Sequence[Probe]) -> list[Outcome]:
    """Make the requests, one after the other."""
    outcomes: list[Outcome] = []
    for probe in probes:
        try:
            outcomes.append(Outcome(probe, await probe.ask()))
        except FetchError as error:
            outcomes.append(Outcome(probe, str(error)))
    return outcomes


class Probes:
    """Makes the probes of one door, with tokens of `issuer` that are good for a day.

    `url` is where the application is, which is the tokens' audience, too; `scopes` are those that its door demands.
    """

    def __init__(self, issuer: Issuer, url: str, scopes: Sequence[str] = ()) -> None:
        self._issuer = issuer
        self._url = url
        self._scopes = tuple(scopes)
        self._challenger = Challenger(realm=REALM, scopes=self._scopes, expose_reason=True)

    def of_sample(self, scopes: Sequence[str]) -> list[Probe]:
        """Return what shows the sample application, whose `/items` needs `scopes`."""
        granted = (*self._scopes, *scopes)
        return [
            self._probe("no token, public", "/", None, Answer(200)),
            *self._of_door("/items", granted, Answer(200)),
            self._probe("no scope admin", "/admin", self._jwt(granted), self._refused(InsufficientScope("admin"))),
        ]

    def of_application(self) -> list[Probe]:
        """Return what shows any application: of its own answers nothing is known."""
        probes = self._of_door("/", self._scopes, Answer(None))
        if self._scopes:
            refused = self._refused(InsufficientScope(self._scopes))
            probes.append(self._probe(f"no scope {self._scopes[0]}", "/", self._jwt(self._scopes[1:]), refused))
        return probes

    def _of_door(self, path: str, scopes: Sequence[str], welcome: Answer) -> list[Probe]:
        expired = self._issuer.token(scopes=scopes, audience=self._url, expired=True)
        elsewhere = self._issuer.token(scopes=scopes, audience="https://other.example", expires_in=_TOKEN_SECONDS)
        revoked = self._opaque(scopes)
        self._issuer.revoke(revoked)
        return [
            self._probe("no token", path, None, self._refused(MissingToken())),
            self._probe("good token", path, self._jwt(scopes), welcome),
            self._probe("good opaque token", path, self._opaque(scopes), welcome),
            self._probe("expired token", path, expired, self._refused(InvalidToken(Reason.expired))),
            self._probe("wrong audience", path, elsewhere, self._refused(InvalidToken(Reason.audience))),
            self._probe("revoked opaque token", path, revoked, self._refused(InvalidToken(Reason.inactive))),
        ]

    def _probe(self, name: str, path: str, token: str | None, expected: Answer) -> Probe:
        return Probe(name=name, url=f"{self._url}{path}", token=token, expected=expected)

    def _refused(self, error: BearerError) -> Answer:
        return Answer(error.status_code, self._challenger.headers(error)["www-authenticate"])

    def _jwt(self, scopes: Sequence[str]) -> str:
        return self._issuer.token(scopes=scopes, audience=self._url, expires_in=_TOKEN_SECONDS)

    def _opaque(self, scopes: Sequence[str]) -> str:
        return self._issuer.opaque_token(scopes=scopes, audience=self._url, expires_in=_TOKEN_SECONDS)
