"""What happened, as values: what `on_event=` is called with. Floor 0.

The rule of this module: an event never holds a token; it names one by the first 8 hex digits of its SHA-256.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from asgi_bearer.errors import Reason


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


Event: TypeAlias = Accepted | Rejected | Unavailable
