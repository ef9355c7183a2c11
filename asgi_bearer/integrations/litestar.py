"""For Litestar: a guard that asks the door for more, and a plugin that refuses websockets in its words. Floor 6.

The rule of this module: nothing is verified here. `BearerMiddleware` does that, around the application or in its
middleware, and its clock, its reading of scopes and its challenges count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from litestar.enums import ScopeType
from litestar.exceptions import WebSocketException
from litestar.plugins import InitPlugin

from asgi_bearer.errors import BearerError
from asgi_bearer.gate import answer, read_requirement, require_also
from asgi_bearer.rules.challenge import close_code

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from litestar.config.app import AppConfig
    from litestar.connection import ASGIConnection
    from litestar.handlers import BaseRouteHandler
    from litestar.types import ASGIApp, Message, Receive, Scope, Send

    from asgi_bearer.rules.challenge import Answer
    from asgi_bearer.rules.requirements import Requirement

_REFUSALS = "asgi_bearer.refusals"


def requires(
    *wanted: str | Iterable[str] | Requirement,
) -> Callable[[ASGIConnection[Any, Any, Any, Any], BaseRouteHandler], Awaitable[None]]:
    """Return a guard: `guards=[requires("items:read")]` on a handler, controller, router or the application.

    It takes scopes, sequences of scopes, and requirements such as `role("admin") | scopes("admin")`; all must be met.
    Where nobody came with a token it raises `MissingToken` (401), else what the requirement says (`InsufficientScope`,
    403; `InsufficientAuthentication`, 401: RFC 6750 section 3.1, RFC 9470). Litestar answers with the door's status,
    challenge and `Cache-Control`, and a body of its own. A websocket is closed with 3000 or 3003 before it is
    accepted, or refused by an HTTP response where `BearerPlugin` is there and the server can send one.

    It does NOT verify tokens: without a `BearerMiddleware` it raises `RuntimeError`, a 500. Raises `ValueError` or
    `TypeError` at once for what cannot be meant.
    """
    requirement = read_requirement("requires", wanted)

    async def guard(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        try:
            require_also(requirement, connection.scope)
        except BearerError as error:
            if connection.scope["type"] != ScopeType.WEBSOCKET:
                raise
            # Of our errors Litestar knows how to close a websocket for none.
            raise _Refused(detail=error.description, code=close_code(error.status_code)) from error

    return guard


class _Refused(WebSocketException):
    """A guard's refusal of a websocket; its cause is our error."""


class BearerPlugin(InitPlugin):
    """Lets refusals of websockets be the door's: `Litestar(..., plugins=[BearerPlugin()])`.

    Litestar closes a websocket whose guard or handler raises, and most clients then see a 403 without a challenge. With
    this plugin a `BearerError` is answered as the door answers: before the websocket is accepted by an HTTP response
    with status and `WWW-Authenticate`, where the server can send one; else by closing with 3000, 3003, 1013 or 1008.

    It does NOT verify tokens, and changes nothing of HTTP, where Litestar answers our errors by itself.
    """

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Add the two parts: one that notes an error where it is raised, and one that answers it."""
        app_config.after_exception.append(_note_refusal)
        app_config.middleware.append(_WebSocketRefusals)
        return app_config


async def _note_refusal(error: Exception, scope: Scope) -> None:
    """Keep the answer to `error` while its door is still there to be asked."""
    cause = error.__cause__ if isinstance(error, _Refused) else error
    refusals = cast("dict[str, Any]", scope).get(_REFUSALS)
    if refusals is not None and isinstance(cause, BearerError):
        refusals.append((answer(cause), close_code(cause.status_code)))


class _WebSocketRefusals:
    """Stands between Litestar's routes and the server; sends the noted answer in the place of Litestar's close."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.WEBSOCKET:
            await self.app(scope, receive, send)
            return
        refusals: list[tuple[Answer, int]] = []
        accepted = False

        async def send_refusal(message: Message) -> None:
            nonlocal accepted
            accepted = accepted or message["type"] == "websocket.accept"
            if message["type"] != "websocket.close" or not refusals:
                await send(message)
                return
            refusal, code = refusals[-1]
            if accepted or "websocket.http.response" not in (scope.get("extensions") or {}):
                await send(cast("Message", {"type": "websocket.close", "code": code, "reason": ""}))
                return
            start = {"type": "websocket.http.response.start", "status": refusal.status, "headers": refusal.headers}
            await send(cast("Message", start))
            await send(cast("Message", {"type": "websocket.http.response.body", "body": refusal.body}))

        # The list, and not what is in it, goes down: middleware below may copy the scope.
        await self.app(cast("Scope", {**scope, _REFUSALS: refusals}), receive, send_refusal)
