"""Tokens that are written down beforehand: for development and tests. Floor 4.

The rule of this module: only digests are kept, and every one of them is compared in constant time, so that how long an
answer takes tells nothing about the tokens.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import re
import time
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from asgi_bearer.access_token import AccessToken, ReadOnlyDict, Verdict, freeze
from asgi_bearer.errors import InsufficientScope, InvalidToken, Reason
from asgi_bearer.rules import options
from asgi_bearer.rules.claims import LAST_SECOND

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_logger = logging.getLogger("asgi_bearer")

_B64TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")


class StaticTokenVerifier:
    """Takes the tokens of a dict: for development and tests, which it says in the log once.

    `tokens` is {token: {"client_id": ..., "scopes": [...], "sub": ..., "expires_at": ...}}; `client_id` must be there,
    `expires_at` is epoch seconds or an aware datetime, and whatever else is there becomes a claim, so JSON must be able
    to hold it. `required_scopes`: the token must have all of them. `clock`: the wall clock, in epoch seconds.

    It does NOT know issuers or audiences, and there is no leeway. Raises `ValueError` or `TypeError` at construction.
    """

    def __init__(
        self,
        tokens: Mapping[str, Mapping[str, Any]],
        *,
        required_scopes: Sequence[str] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not isinstance(tokens, Mapping):
            message = f"tokens is a dict of tokens, {{'my-token': {{'client_id': 'app'}}}}, not {type(tokens).__name__}"
            raise TypeError(message)
        if not tokens:
            message = "tokens is empty: nobody could come in"
            raise ValueError(message)
        self._entries = [(_digest(_require_token(token)), _read_entry(entry)) for token, entry in tokens.items()]
        self.required_scopes: tuple[str, ...] = options.scopes("required_scopes", required_scopes)
        self._clock = options.function("clock", clock)
        _logger.warning("StaticTokenVerifier is for development and tests: its tokens stand in the configuration")

    async def verify_token(self, token: str) -> AccessToken:
        """Return the token's entry. Raises `InvalidToken` or `InsufficientScope`."""
        verdict = self._find(_digest(token))
        if verdict is None:
            raise InvalidToken(Reason.inactive)
        if verdict.expires_at is not None and self._clock() >= verdict.expires_at:
            raise InvalidToken(Reason.expired)
        if not set(self.required_scopes) <= set(verdict.scopes):
            raise InsufficientScope(self.required_scopes)
        return AccessToken.from_verdict(token, verdict)

    def _find(self, digest: bytes) -> Verdict | None:
        found = None
        for known, verdict in self._entries:
            # No early exit: the place of a token in the dict would show in the time.
            if hmac.compare_digest(known, digest):
                found = verdict
        return found


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _require_token(token: object) -> str:
    """Refuse what no request can carry: the door would turn it away before it is looked up."""
    text = options.text("each token of tokens", token)
    if not _B64TOKEN.fullmatch(text):
        message = "each token of tokens is letters, digits and -._~+/, with = at its end only (RFC 6750 section 2.1)"
        raise ValueError(message)
    return text


def _read_entry(entry: object) -> Verdict:
    if not isinstance(entry, Mapping):
        kind = type(entry).__name__
        message = f"each token's entry is a dict such as {{'client_id': 'app', 'scopes': ['read']}}, not {kind}"
        raise TypeError(message)
    members = dict(entry)
    if "client_id" not in members:
        message = "each token's entry has a client_id: write {'client_id': 'app', ...}"
        raise ValueError(message)
    if "scope" in members:
        message = "each token's entry has its scopes as a sequence: write {'scopes': ['read'], ...}, and no scope"
        raise ValueError(message)
    client_id = options.text("client_id", members.pop("client_id"))
    scopes = options.scopes("scopes", members.pop("scopes", None))
    subject = members.pop("sub", None)
    if subject is not None:
        options.text("sub", subject)
    expires_at = _read_expiry(members.pop("expires_at", None))
    return Verdict(
        client_id=client_id,
        scopes=scopes,
        expires_at=expires_at,
        subject=subject,
        issuer=None,
        audience=(),
        claims=_claims(client_id, scopes, subject, members),
        is_bound="cnf" in members,
    )


def _claims(client_id: str, scopes: tuple[str, ...], subject: str | None, others: dict[str, Any]) -> ReadOnlyDict:
    claims = {"client_id": client_id, "scope": " ".join(scopes), **others}
    if subject is not None:
        claims["sub"] = subject
    for name, value in claims.items():
        _require_json(name, value)
    frozen: ReadOnlyDict = freeze(claims)
    return frozen


def _require_json(name: object, value: object) -> None:
    options.text("the name of each claim", name)
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        message = f"{name} is not something that JSON can hold: write str, numbers, lists, dicts, True, False or None"
        raise ValueError(message) from None


def _read_expiry(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, datetime):
        if value.tzinfo is None:
            message = "expires_at must be aware: write datetime(..., tzinfo=UTC), or epoch seconds"
            raise ValueError(message)
        return value.timestamp()
    if isinstance(value, bool) or not isinstance(value, int | float):
        message = f"expires_at is epoch seconds or an aware datetime, not {type(value).__name__}"
        raise TypeError(message)
    if not 0 <= value <= LAST_SECOND:
        message = f"expires_at is epoch seconds between 1970 and 9999, not {value!r}"
        raise ValueError(message)
    return value
