"""What happened, as values: what `on_event=` is called with. Floor 0.

The rules of this module: an event never holds a token; it names one by the first 8 hex digits of its SHA-256; who is
told of an event changes nothing by failing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from asgi_bearer.errors import Reason

_logger = logging.getLogger("asgi_bearer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A request came in with a good token."""

    token_id: str
    # (issuer, subject, client_id): for an audit trail, so it is there, but not in the repr.
    principal_key: tuple[str | None, str | None, str] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A request was answered with a 400, 401 or 403 by the door."""

    status: int
    error: str | None
    reason: Reason | None
    token_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unavailable:
    """A request was answered with a 503: the verifier could not know. `message` is for operators."""

    message: str
    retry_after: float
    token_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysRefreshed:
    """A key set was fetched, and `keys` of its members are used.

    `source` is its URL, with a fingerprint for the query, or the issuer. `generation` is another than before where the
    keys have changed. `age` is how old, in seconds, the keys had become by then (None: they are the first), and
    `failures` how many attempts had failed meanwhile.
    """

    source: str
    generation: int
    keys: int
    age: float | None
    failures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysStale:
    """A key set could not be fetched, and the keys from before go on serving: for `serves_for` seconds more.

    `age` is theirs, in seconds; `failures` counts the attempts since they were fetched; `message` is for operators.
    """

    source: str
    message: str
    age: float
    serves_for: float
    failures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysUnavailable:
    """A key set could not be fetched, and there are no keys to serve with: tokens are answered with a 503.

    `age` is that of the keys that are too old, None where there never were any; the next attempt is in `retry_after`
    seconds at the earliest; `message` is for operators.
    """

    source: str
    message: str
    age: float | None
    retry_after: float
    failures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownKey:
    """Tokens named a key that the set, fetched for their sake, does not have: `count` since the last such event.

    There is one such event per cooldown, however many tokens come. `age` is that of the set, in seconds.
    """

    source: str
    count: int
    age: float


Event: TypeAlias = Accepted | Rejected | Unavailable | KeysRefreshed | KeysStale | KeysUnavailable | UnknownKey
Listener: TypeAlias = Callable[[Event], None]


class Listeners:
    """Who is told. Each is told once of each event, however often it was added."""

    def __init__(self) -> None:
        self._listeners: tuple[Listener, ...] = ()

    def add(self, listener: Listener) -> None:
        """Tell `listener` from now on."""
        if listener not in self._listeners:
            self._listeners = (*self._listeners, listener)

    def tell(self, event: Event) -> None:
        """Call every listener; one that fails is logged, by the kind of its error alone."""
        for listener in self._listeners:
            try:
                listener(event)
            except Exception as error:  # noqa: BLE001  # its failure is not ours
                _logger.error("on_event failed with %s", type(error).__name__)  # noqa: TRY400  # without its text
