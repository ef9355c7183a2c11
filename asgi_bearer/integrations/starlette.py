"""Starlette's ways to authenticate, with the right answers: `requires`, a backend (RFC 6750 section 3). Floor 6.

The rule of this module: a door does the verifying and the judging; what is here only finds the door that the request
came through, and raises what Starlette turns into the door's answer.
"""

from __future__ import annotations

import functools
import inspect
import time
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from starlette.authentication import AuthCredentials, AuthenticationBackend, AuthenticationError, BaseUser
from starlette.exceptions import HTTPException, WebSocketException
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketState

from asgi_bearer.errors import BearerError, current_door
from asgi_bearer.gate import judge, judge_also, nearest_door, read_requirement
from asgi_bearer.middleware import BearerMiddleware
from asgi_bearer.rules.challenge import close_code
from asgi_bearer.rules.requirements import Requirement, is_granted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from asgi_bearer.access_token import AccessToken, TokenVerifier
    from asgi_bearer.errors import Door
    from asgi_bearer.events import Listener
    from asgi_bearer.middleware import Check, Receive, Scope, Send

P = ParamSpec("P")
R = TypeVar("R")


def requires(*wanted: str | Iterable[str] | Requirement) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Guard an endpoint: `@requires("data:read")`, in the place of the decorator of `starlette.authentication`.

    `wanted`: scopes, sequences of scopes, and requirements (`any_scope(...)`, `claim(...)`, `acr(...)`); every one of
    them must be met. The endpoint is a function or a method, async or not, for a request or a websocket; one that is
    handed neither of the two, such as one that endpoints call, is guarded behind `BearerMiddleware` alone.

    It checks what the caller of this request may do. It does NOT verify the token: `BearerMiddleware` does, or
    `BearerBackend`. Answers are the door's (RFC 6750 section 3.1): 401 for nobody, 403 insufficient_scope with all
    scopes that are needed, 401 insufficient_user_authentication for a login that is too weak or too old (RFC 9470). A
    websocket is refused before it is accepted by the same answer, or closed (3000, 3003) where the server cannot send
    one, or it was accepted already. There is no `status_code=` and no `redirect=`: whoever calls an API is answered.

    Raises `TypeError` or `ValueError` where nothing that can be meant is asked for, and, when called, `RuntimeError`
    where neither of the two is around the application: nobody gets in then.
    """
    requirement = read_requirement("requires", wanted)

    def decorate(endpoint: Callable[P, R]) -> Callable[P, R]:
        if isinstance(endpoint, type) or not callable(endpoint):
            raise TypeError("requires decorates functions and methods, not classes: write it above async def get(...)")
        if not _is_async(endpoint):

            @functools.wraps(endpoint)
            def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
                admit(_connection(*args, **kwargs), requirement)
                return endpoint(*args, **kwargs)

            return guarded

        @functools.wraps(endpoint)
        async def guarded_async(*args: P.args, **kwargs: P.kwargs) -> Any:
            admit(_connection(*args, **kwargs), requirement)
            return await cast("Callable[P, Any]", endpoint)(*args, **kwargs)

        return cast("Callable[P, R]", guarded_async)

    return decorate


def _is_async(endpoint: Callable[..., Any]) -> bool:
    called = getattr(endpoint, "__call__", None)  # noqa: B004  # an object whose call is async, not whether there is one
    return inspect.iscoroutinefunction(endpoint) or inspect.iscoroutinefunction(called)


def _connection(*args: object, **kwargs: object) -> HTTPConnection | None:
    return next((value for value in (*args, *kwargs.values()) if isinstance(value, HTTPConnection)), None)


def admit(connection: HTTPConnection | None, requirement: Requirement | None) -> AccessToken:
    """Return the caller's token, if there is one and it meets `requirement` (None: any token will do).

    Raises what Starlette answers as the door would: a `BearerError`, or what stands for one.
    """
    door = door_of(connection)
    try:
        return judge(door, requirement) if connection is None else judge_also(door, requirement, connection.scope)
    except BearerError as error:
        raise _answerable(error, door, connection) from None


def door_of(connection: HTTPConnection | None) -> Door:
    """Return what the door left for this connection, be it in the context or in Starlette's credentials."""
    auth = None if connection is None else connection.scope.get("auth")
    return auth.door if isinstance(auth, BearerCredentials) else nearest_door()


def _answerable(error: BearerError, door: Door, connection: HTTPConnection | None) -> Exception:
    if isinstance(connection, WebSocket) and not _takes_response(connection):
        return WebSocketException(close_code(error.status_code))
    if door is current_door.get():
        return error
    # No door is around the handler of this error, so it would not find its headers.
    return HTTPException(error.status_code, error.detail, dict(door.gate.headers(error)))


def _takes_response(websocket: WebSocket) -> bool:
    """Tell whether an HTTP response may still be sent. Starlette sends it without asking."""
    offered = "websocket.http.response" in (websocket.scope.get("extensions") or {})
    return offered and websocket.application_state is WebSocketState.CONNECTING


class BearerCredentials(AuthCredentials):
    """What `request.auth` holds behind `BearerBackend`: `scopes`, and `access_token`, None where nobody came."""

    def __init__(self, door: Door) -> None:
        super().__init__(None if door.access_token is None else door.access_token.scopes)
        self.door: Door = door

    @property
    def access_token(self) -> AccessToken | None:
        """The verified token."""
        return self.door.access_token


class BearerBackend(AuthenticationBackend):
    """Verifies Bearer tokens for those who keep Starlette's `AuthenticationMiddleware`.

    `AuthenticationMiddleware(app, backend=BearerBackend(verifier), on_error=BearerBackend.on_error)`

    - `verifier`: a `TokenVerifier`, such as `JWTVerifier`. `required_scopes`, `checks`, `realm`, `scope_satisfies`,
      `expose_reason`, `on_event` and `clock` are those of `BearerMiddleware`, and have its defaults.

    Who comes without credentials comes in as nobody: `requires` refuses them. Who comes with a token that is not good
    is refused, as `BearerMiddleware(optional=True)` does it. `request.auth` is a `BearerCredentials`, `request.user`
    has `identity`, `display_name` and `access_token`.

    It does NOT do, and `BearerMiddleware` does: set `get_access_token()` and `asgi_bearer.require`; give the challenge
    to what handlers raise themselves (`request.auth.access_token.require_scopes`); know public paths, `rules` and RFC
    9728 metadata; answer a websocket (Starlette closes it with 1000); fetch keys at the start, and call the verifier's
    `aclose()` at the end. Without `on_error`, Starlette answers every refusal with a 400 that has no challenge. Its own
    `requires` answers 403 without a challenge, and to nobody, too: use the one of this module.

    Raises `ValueError` or `TypeError` for options that cannot be meant.
    """

    def __init__(
        self,
        verifier: TokenVerifier,
        *,
        required_scopes: Iterable[str] = (),
        checks: Iterable[Check] = (),
        realm: str = "api",
        scope_satisfies: Callable[[Sequence[str], str], bool] = is_granted,
        expose_reason: bool = False,
        on_event: Listener | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._door = BearerMiddleware(
            _report,
            verifier,
            optional=True,
            required_scopes=required_scopes,
            checks=checks,
            realm=realm,
            scope_satisfies=scope_satisfies,
            expose_reason=expose_reason,
            on_event=on_event,
            clock=clock,
        )

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, BaseUser]:
        """Return who calls; raise an `AuthenticationError` that `on_error` can answer where they are refused."""
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        # To the door a websocket is a request here, so that its answer is a response. The body is never asked for.
        await self._door({**conn.scope, "type": "http", "method": conn.scope.get("method", "GET")}, None, send)
        if sent[0]["type"] == _CAME_IN:
            return BearerCredentials(sent[0]["door"]), sent[0]["user"]
        raise _Refused(sent[0]["status"], sent[0]["headers"], sent[1]["body"])

    @staticmethod
    def on_error(conn: HTTPConnection, error: Exception) -> Response:
        """Return the answer to a refusal: status, challenge, `Cache-Control` and body of the door.

        What other backends raise is answered as Starlette does.
        """
        if not isinstance(error, _Refused):
            return AuthenticationMiddleware.default_on_error(conn, error)
        response = Response(error.body, error.status)
        response.raw_headers = error.headers
        return response


_CAME_IN = "asgi_bearer.came_in"


async def _report(scope: Scope, _: Receive, send: Send) -> None:
    """Stand behind the door in the place of an application, and hand back what it let in."""
    await send({"type": _CAME_IN, "door": current_door.get(), "user": scope["user"]})


class _Refused(AuthenticationError):
    def __init__(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        # What the client reads where nobody gave `on_error`.
        super().__init__("The credentials were not accepted.")
        self.status = status
        self.headers = headers
        self.body = body
