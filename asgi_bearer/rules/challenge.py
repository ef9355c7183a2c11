"""From an error to its answer: status, WWW-Authenticate, body (RFC 6750 section 3, RFC 9470 section 3). Floor 1.

The rules: every 401 carries a challenge with a realm; each attribute stands at most once, always quoted, and never with
a backslash, since clients do not unescape; without credentials there is no error; the sentences are constants, so
nothing of the request gets into the answer.
"""

from __future__ import annotations

import json
import math
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple, cast

from asgi_bearer.errors import BearerError, InsufficientAuthentication, InsufficientScope, VerifierUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

# RFC 6750 section 3 allows these in error_description; we hold every attribute to them.
_QUOTABLE = re.compile(r"[\x20\x21\x23-\x5b\x5d-\x7e]+")
# IANA WebSocket Close Code Number Registry: 3000 Unauthorized, 3003 Forbidden, 1013 Try Again Later, 1008 policy
_CLOSE_CODES = {401: 3000, 403: 3003, 503: 1013}


class Answer(NamedTuple):
    """A response to be sent: the headers as ASGI wants them."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Body(NamedTuple):
    """What stands in a response: its media type, and its bytes."""

    media_type: str
    content: bytes


def problem_json(error: BearerError) -> Body:
    """Return `error` as problem details (RFC 9457): for `BearerMiddleware(render=problem_json)`."""
    status = HTTPStatus(error.status_code)
    members = {"type": "about:blank", "title": status.phrase, "status": status.value, "detail": error.description}
    if error.error is not None:
        members["error"] = error.error
    return Body("application/problem+json", json.dumps(members).encode("ascii"))


def close_code(status: int) -> int:
    """Return the code that closes a websocket which cannot be answered with `status`."""
    return _CLOSE_CODES.get(status, 1008)


def require_body(body: object) -> Body:
    """Return `body`, a media type and bytes; raise `TypeError` or `ValueError` for anything else."""
    # What cannot be taken apart is a TypeError.
    media_type, content = cast("tuple[object, bytes]", body)
    return Body(require_quotable("media type", media_type), bytes(memoryview(content)))


class Challenger:
    """Writes the answers of one door.

    `realm` names the protected space; `scopes` are those every request needs; `expose_reason` puts the reason's name
    into error_description, for development; `resource_metadata` is the URL of the metadata of RFC 9728.
    """

    def __init__(
        self, *, realm: str, scopes: tuple[str, ...], expose_reason: bool, resource_metadata: str | None = None
    ) -> None:
        self._realm = require_quotable("realm", realm)
        self._scopes = scopes
        self._expose_reason = expose_reason
        self._resource_metadata = resource_metadata

    def answer(self, error: BearerError, body: Body | None = None) -> Answer:
        """Return the response to `error`; `body` is somebody else's, and changes nothing of status and challenge."""
        media_type, content = body or self._body(error)
        headers = [(name.encode("ascii"), value.encode("ascii")) for name, value in self.headers(error).items()]
        length = str(len(content)).encode("ascii")
        headers += [(b"content-type", media_type.encode("ascii")), (b"content-length", length)]
        return Answer(error.status_code, headers, content)

    def _body(self, error: BearerError) -> Body:
        members = {"error": error.error or "unauthorized", "error_description": self._description(error)}
        return Body("application/json", json.dumps(members).encode("ascii"))

    def headers(self, error: BearerError) -> Mapping[str, str]:
        """Return the headers that belong to `error`, whoever writes the body."""
        if isinstance(error, VerifierUnavailable):
            return {"retry-after": str(max(1, math.ceil(error.retry_after))), "cache-control": "no-store"}
        return {"www-authenticate": self._challenge(error), "cache-control": "no-store"}

    def _challenge(self, error: BearerError) -> str:
        attributes = {"realm": self._realm}
        scopes = self._scopes
        if isinstance(error, InsufficientScope):
            # Everything this request needs, at once: a client asks for just what it reads here.
            scopes = tuple(dict.fromkeys((*scopes, *error.required)))
        if scopes:
            attributes["scope"] = " ".join(scopes)
        if error.error is not None:
            attributes["error"] = error.error
            attributes["error_description"] = self._description(error)
        if isinstance(error, InsufficientAuthentication):
            attributes |= _step_up(error)
        if self._resource_metadata is not None:
            # RFC 9728 section 5.1
            attributes["resource_metadata"] = self._resource_metadata
        # Looked at once more where it is written: an error class of somebody else's must not be able to add a header.
        return "Bearer " + ", ".join(f'{name}="{require_quotable(name, value)}"' for name, value in attributes.items())

    def _description(self, error: BearerError) -> str:
        if self._expose_reason and error.reason is not None:
            return f"{error.description} Reason: {error.reason}."
        return error.description


def _step_up(error: InsufficientAuthentication) -> dict[str, str]:
    attributes = {}
    if error.acr_values:
        attributes["acr_values"] = " ".join(error.acr_values)
    if error.max_age is not None:
        attributes["max_age"] = str(error.max_age)
    return attributes


def require_quotable(name: str, value: object) -> str:
    """Return `value`, or raise `ValueError` where it cannot stand between quotes in a header without an escape."""
    if not isinstance(value, str):
        message = f"{name} is a str, not {type(value).__name__}"
        raise TypeError(message)
    if not _QUOTABLE.fullmatch(value):
        message = f"{name} is printable ASCII without quotes and backslashes, not {value!r}"
        raise ValueError(message)
    return value
