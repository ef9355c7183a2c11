"""The door under fuzzing, and how an input becomes a request: the first byte says which part of it the input is."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any

from asgi_bearer import BearerMiddleware, JWTVerifier

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

SECRET = b"%x" % 0xFEED_FACE_CAFE_BEEF_FEED_FACE_CAFE_BEEF_FEED_FACE
NOW = 1_800_000_000.0
HEADER = b'{"alg":"HS256","typ":"at+jwt"}'
CLAIMS = {
    "iss": "https://idp.example.com/",
    "aud": "https://api.example.com",
    "exp": NOW + 60,
    "sub": "alice",
    "scope": "read",
}
ALLOWED = frozenset({200, 400, 401, 403})


class UnexpectedAnswerError(Exception):
    """The door answered what it never should."""


async def _app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body"})


DOOR = BearerMiddleware(
    _app,
    JWTVerifier(
        secret=SECRET,
        issuer="https://idp.example.com/",
        audience="https://api.example.com",
        scope_claims=("scope", "scp", "realm_access.roles"),
        required_scopes=["read"],
        clock=lambda: NOW,
    ),
)


def answer_to(data: bytes) -> int:
    """Return the status that the door answers; raise `UnexpectedAnswerError` where that is none of the allowed ones."""
    statuses: list[int] = []

    async def send(message: Any) -> None:
        statuses.extend([message["status"]] if "status" in message else [])

    async def receive() -> Any:
        raise UnexpectedAnswerError("the door reads the body")

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"authorization", _value(data))]}
    _run(DOOR(scope, receive, send))
    if len(statuses) != 1 or statuses[0] not in ALLOWED:
        raise UnexpectedAnswerError(str(statuses))
    return statuses[0]


def _run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run to the end: with keys at hand nothing in the door has to wait."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise UnexpectedAnswerError("the door waits")


def _value(data: bytes) -> bytes:
    kind, rest = data[:1] or b"\0", data[1:]
    return _KINDS[kind[0] % len(_KINDS)](rest)


def _signed(header: bytes, payload: bytes) -> bytes:
    signing_input = b".".join([_encode(header), _encode(payload)])
    signature = hmac.new(SECRET, signing_input, hashlib.sha256).digest()
    return b"Bearer " + signing_input + b"." + _encode(signature)


def _encode(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _with_member(data: bytes) -> bytes:
    """A good payload, one member of which is the input as it is."""
    name, _, value = data.partition(b"=")
    good = json.dumps(CLAIMS).encode()
    return _signed(HEADER, good[:-1] + b', "' + name + b'": ' + value + b"}")


def _with_parameter(data: bytes) -> bytes:
    """A good header, one parameter of which is the input as it is."""
    name, _, value = data.partition(b"=")
    return _signed(HEADER[:-1] + b', "' + name + b'": ' + value + b"}", json.dumps(CLAIMS).encode())


_KINDS: tuple[Callable[[bytes], bytes], ...] = (
    lambda data: data,
    lambda data: b"Bearer " + data,
    lambda data: _signed(HEADER, data),
    lambda data: _signed(data, json.dumps(CLAIMS).encode()),
    _with_member,
    _with_parameter,
    lambda data: b"Bearer " + _encode(data[: len(data) // 2]) + b"." + _encode(data[len(data) // 2 :]) + b".c2ln",
)
