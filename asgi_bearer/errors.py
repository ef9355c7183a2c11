"""What can go wrong with a request's credentials: the error tree and its reasons (RFC 6750 section 3.1). Floor 0.

    BearerError                      status  error in the challenge
    ├── MissingToken                 401     none (RFC 6750 section 3.1: no error without credentials)
    ├── InvalidRequest               400     invalid_request
    ├── InvalidToken                 401     invalid_token
    ├── InsufficientScope            403     insufficient_scope
    ├── InsufficientAuthentication   401     insufficient_user_authentication (RFC 9470)
    └── VerifierUnavailable          503     temporarily_unavailable (in the body only; there is no challenge)

The rule of this module: the client learns `description`, one fixed sentence per class; `str(error)` is for operators
and never holds a token, a secret or the value of a claim.
"""

from __future__ import annotations

import math
import re
from contextvars import ContextVar
from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from starlette.exceptions import HTTPException

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from asgi_bearer.access_token import AccessToken

# RFC 6750 section 3: scope-token = 1*( %x21 / %x23-5B / %x5D-7E )
_SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")


class Reason(StrEnum):
    """Why a token was refused: for logs and events, never for the client (unless `expose_reason=True`)."""

    malformed = "malformed"
    unsupported_algorithm = "unsupported_algorithm"
    unknown_key = "unknown_key"
    signature = "signature"
    expired = "expired"
    not_yet_valid = "not_yet_valid"
    issuer = "issuer"
    audience = "audience"
    token_type = "token_type"  # noqa: S105  # a word, no secret
    missing_claim = "missing_claim"
    claim_type = "claim_type"
    inactive = "inactive"
    revoked = "revoked"
    binding = "binding"
    too_large = "too_large"


class Gate(Protocol):
    """What a door says to those behind it (`asgi_bearer.gate`)."""

    def headers(self, error: BearerError) -> Mapping[str, str]:
        """Return the headers that belong to `error`."""
        ...

    def require(self, token: AccessToken, requirement: Any) -> None:
        """Raise what the client is to see, unless `token` meets `requirement`."""
        ...

    def needed(self, token: AccessToken, requirement: Any) -> tuple[str, ...]:
        """Return the scopes that a challenge names for `requirement`."""
        ...


class Door(NamedTuple):
    """What the door leaves in the context for the length of one call of the app."""

    access_token: AccessToken | None
    gate: Gate


current_door: ContextVar[Door | None] = ContextVar("asgi_bearer.current_door", default=None)


class BearerError(HTTPException):
    """A request that its credentials do not carry.

    Raised by strategies, checks and handlers. Starlette, FastAPI and Litestar answer it as they answer any
    `HTTPException`; `headers` then come from the door the request passed through, challenge included.
    """

    status_code: int = 401
    error: str | None = None
    description: str = "Authentication is required."
    reason: Reason | None = None

    def __init__(self, *args: object) -> None:
        # Not HTTPException.__init__: it would store headers, and ours depend on the door that is asked.
        Exception.__init__(self, *args)
        self.detail: str = self.description
        self._gate: Gate | None = None

    def keep(self, gate: Gate) -> None:
        """Remember the door that this passed on its way out, unless it passed one before."""
        self._gate = self._gate or gate

    @property
    def headers(self) -> Mapping[str, str]:  # type: ignore[override]  # read from the door, so never set
        """The response headers this error asks for: the challenge of the current door, and `Cache-Control`."""
        door = current_door.get()
        gate = self._gate or (None if door is None else door.gate)
        if gate is not None:
            return gate.headers(self)
        # RFC 9110 section 15.5.2: a 401 carries a challenge, and outside of a door only the scheme is known.
        challenge = {"www-authenticate": 'Bearer realm="api"'} if self.status_code == HTTPStatus.UNAUTHORIZED else {}
        return {**challenge, "cache-control": "no-store"}

    def __str__(self) -> str:
        """Say what happened, for operators."""
        return f"{self.status_code} {self.reason or self.error or 'missing token'}"

    def __repr__(self) -> str:
        """Show the class and what happened."""
        return f"{type(self).__name__}({self})"


class MissingToken(BearerError):
    """The request has no Bearer credentials. Answer: 401, a challenge without an error (RFC 6750 section 3.1)."""


class InvalidRequest(BearerError):
    """The credentials cannot be read: malformed, or given more than once. Answer: 400 invalid_request."""

    status_code = 400
    error: str | None = "invalid_request"
    description = "The credentials are malformed: send one Authorization header with one Bearer token."


class InvalidToken(BearerError):
    """The token is not to be accepted. Answer: 401 invalid_token.

    `reason` says why to the log and to events; whatever the reason, the client reads the same sentence.
    """

    error: str | None = "invalid_token"
    description = "The access token was not accepted."

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason | None = Reason(reason)


class InsufficientScope(BearerError):
    """The token is good and lacks a scope. Answer: 403 insufficient_scope, naming every scope the request needs.

    `required` is a sequence of scopes, or one string in which spaces part them. A scope that RFC 6750 section 3 does
    not allow in a challenge is a `ValueError`.
    """

    status_code = 403
    error: str | None = "insufficient_scope"
    description = "The access token lacks a permission that this request needs."

    def __init__(self, required: str | Iterable[str] = ()) -> None:
        self.required: tuple[str, ...] = _tokens(required, "a scope")
        super().__init__(self.required)


class InsufficientAuthentication(BearerError):
    """The caller must log in again, stronger or more recently (RFC 9470). Answer: 401 insufficient_user_authentication.

    `acr_values` names the acceptable authentication contexts in order of preference: a sequence, or one string in which
    spaces part them. `max_age` is the greatest age of the login, in whole seconds. What a challenge cannot hold is a
    `ValueError`.
    """

    error: str | None = "insufficient_user_authentication"
    description = "This request needs a stronger or more recent authentication."

    def __init__(self, acr_values: str | Iterable[str] = (), max_age: int | None = None) -> None:
        self.acr_values: tuple[str, ...] = _tokens(acr_values, "an acr value")
        if max_age is not None and (not isinstance(max_age, int) or isinstance(max_age, bool) or max_age < 0):
            message = "max_age is a number of seconds: a whole number, 0 or more"
            raise ValueError(message)
        self.max_age: int | None = max_age
        super().__init__(self.acr_values, max_age)


class VerifierUnavailable(BearerError):
    """We cannot know whether the token is good: the fault is ours or the provider's. Answer: 503 with Retry-After.

    `message` is for the operator's log and never reaches the client; `retry_after` is in seconds, and a `ValueError`
    where it is negative or not finite.
    """

    status_code = 503
    error: str | None = "temporarily_unavailable"
    description = "Access tokens cannot be verified at the moment; try again later."

    def __init__(self, message: str, retry_after: float = 1) -> None:
        if not isinstance(retry_after, int | float) or not 0 <= retry_after < math.inf:
            sentence = "retry_after is a number of seconds: 0 or more, and finite"
            raise ValueError(sentence)
        super().__init__(message, retry_after)
        self.message = message
        self.retry_after = retry_after

    def __str__(self) -> str:
        """Say what happened, for operators."""
        return f"503 {self.message}"


def _tokens(values: str | Iterable[str], what: str) -> tuple[str, ...]:
    tokens = tuple(values.split(" ") if isinstance(values, str) else values)
    for token in tokens:
        require_scope_token(token, what)
    return tokens


def require_scope_token(value: object, what: str = "a scope") -> None:
    """Raise `ValueError` unless `value` may stand in a challenge's list that spaces part (RFC 6750 section 3)."""
    if not isinstance(value, str) or not _SCOPE_TOKEN.fullmatch(value):
        message = f"{value!r} is not {what}: write visible ASCII characters other than space, quote and backslash"
        raise ValueError(message)
