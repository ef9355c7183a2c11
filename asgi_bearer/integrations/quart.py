"""For Quart: a decorator that asks the door for more, and answers to our errors, which Quart does not know. Floor 6.

The rule of this module: nothing is verified here. `BearerMiddleware` does that, around `app.asgi_app`, and its clock,
its reading of scopes and its challenges count.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec

from quart import Response, current_app, has_websocket_context, request, websocket

from asgi_bearer.errors import BearerError
from asgi_bearer.gate import answer, read_requirement, require_also
from asgi_bearer.rules.challenge import close_code

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from quart import Quart

    from asgi_bearer.rules.requirements import Requirement

P = ParamSpec("P")


def requires(
    *wanted: str | Iterable[str] | Requirement,
) -> Callable[[Callable[P, Any]], Callable[P, Awaitable[Any]]]:
    """Return a decorator for views and websockets, async or not, that lets in who meets the requirement.

    It takes scopes, sequences of scopes, and requirements such as `role("admin") | scopes("admin")`; all must be met.
    It stands below the route, right above the function; in class-based views in `decorators`. Everybody else gets the
    door's status, challenge, `Cache-Control` and a JSON body: 401 where nobody came with a token, else what the
    requirement says (403, or 401 for a stronger login: RFC 6750 section 3.1, RFC 9470). A websocket is refused before
    it is accepted, by the same answer where the server can send one, else by closing with 3000 or 3003.

    It does NOT verify tokens: without a `BearerMiddleware` it raises `RuntimeError`, a 500. What the view itself raises
    is left to `init_app`. Raises `ValueError` or `TypeError` at once for what cannot be meant.
    """
    requirement = read_requirement("requires", wanted)

    def decorate(view: Callable[P, Any]) -> Callable[P, Awaitable[Any]]:
        if not callable(view) or isinstance(view, type):
            raise TypeError(
                "requires decorates a function: in a class-based view write decorators = [requires('read')], and below "
                "@app.get(...) write @requires('read')"
            )

        @wraps(view)
        async def guarded(*args: P.args, **kwargs: P.kwargs) -> Any:
            try:
                require_also(requirement, (websocket if has_websocket_context() else request).scope)
            except BearerError as error:
                return await _refuse(error)
            return await current_app.ensure_async(view)(*args, **kwargs)

        return guarded

    return decorate


def init_app(app: Quart) -> None:
    """Let `app` answer each `BearerError` that leaves a handler as its door does: status, challenge, JSON body.

    Without it Quart answers 500 to `token.require_scopes("admin")` in a view. An error handler of the application's own
    for `BearerError`, registered later, takes its place. Websockets are refused as `requires` does; one that was
    accepted before is closed. It does NOT verify tokens.
    """
    app.register_error_handler(BearerError, _refuse)


async def _refuse(error: BearerError) -> Any:
    if has_websocket_context() and "websocket.http.response" not in (websocket.scope.get("extensions") or {}):
        await websocket.close(close_code(error.status_code))
        return None
    refusal = answer(error)
    headers = {name.decode("ascii"): value.decode("ascii") for name, value in refusal.headers}
    return Response(refusal.body, refusal.status, headers)
