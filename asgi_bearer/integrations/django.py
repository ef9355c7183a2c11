"""For Django under ASGI: the token on the request, answers to our errors, and a decorator for views. Floor 6.

The rule of this module: nothing is verified here. `BearerMiddleware` does that, around `get_asgi_application()`, and
its clock, its reading of scopes and its challenges count. `request.user` is Django's, and is left alone.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpResponse

from asgi_bearer.errors import BearerError, current_door
from asgi_bearer.gate import answer, read_requirement, require_also

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from asgi_bearer.rules.requirements import Requirement


class AccessTokenMiddleware:
    """Django middleware: `MIDDLEWARE = [..., "asgi_bearer.integrations.django.AccessTokenMiddleware"]`.

    - `request.access_token` is the verified `AccessToken`, or None where no caller was asked for or came.
    - A `BearerError` that a view raises, as `token.require_scopes("admin")` does, becomes the door's answer: status,
      challenge (RFC 6750 section 3), `Cache-Control` and a JSON body.

    It runs in async and in sync stacks, and stands anywhere in the list. It does NOT verify tokens, and does NOT touch
    `request.user`. Raises `RuntimeError`, a 500, where no `BearerMiddleware` is around Django: nobody has looked at
    credentials then, and so it is no place to go on as if nobody had come.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        self._get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: Any) -> Any:
        """Return the response to `request`, or what is to be awaited for it."""
        door = current_door.get()
        if door is None:
            raise RuntimeError(
                "no BearerMiddleware is around Django: write application = BearerMiddleware(get_asgi_application(), "
                "verifier) in asgi.py, and serve that"
            )
        request.access_token = door.access_token
        return self._get_response(request)

    def process_exception(self, _: Any, error: Exception) -> HttpResponse | None:
        """Answer our errors, and leave all others to Django."""
        return _response(error) if isinstance(error, BearerError) else None


def requires(*wanted: str | Iterable[str] | Requirement) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator for views, async or not, that lets in who meets the requirement.

    It takes scopes, sequences of scopes, and requirements such as `role("admin") | scopes("admin")`; all must be met.
    Class-based views: `@method_decorator(requires("read"), name="dispatch")`, or `requires("read")(Items.as_view())`.
    Everybody else gets the door's status, challenge, `Cache-Control` and a JSON body: 401 where nobody came with a
    token, else what the requirement says (403, or 401 for a stronger login: RFC 6750 section 3.1, RFC 9470).

    It does NOT verify tokens: without a `BearerMiddleware` it raises `RuntimeError`, a 500. What the view itself raises
    is left to `AccessTokenMiddleware`. Raises `ValueError` or `TypeError` at once for what cannot be meant.
    """
    requirement = read_requirement("requires", wanted)

    def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
        if not callable(view) or isinstance(view, type):
            raise TypeError(
                "requires decorates a function: above a class write "
                "@method_decorator(requires('read'), name='dispatch')"
            )
        if _is_awaited(view):

            @wraps(view)
            async def guarded_async(request: Any, *args: Any, **kwargs: Any) -> Any:
                refusal = _refusal(request, requirement)
                return await view(request, *args, **kwargs) if refusal is None else refusal

            return guarded_async

        @wraps(view)
        def guarded(request: Any, *args: Any, **kwargs: Any) -> Any:
            refusal = _refusal(request, requirement)
            return view(request, *args, **kwargs) if refusal is None else refusal

        return guarded

    return decorate


def _is_awaited(view: Any) -> bool:
    """Tell whether Django awaits what `view` returns: `dispatch` of an async class-based view is a plain function."""
    method = getattr(view, "func", view)  # method_decorator wraps it into a partial
    return iscoroutinefunction(view) or getattr(getattr(method, "__self__", None), "view_is_async", False) is True


def _refusal(request: Any, requirement: Requirement) -> HttpResponse | None:
    try:
        # Requests of Django's own test client have no scope.
        require_also(requirement, getattr(request, "scope", {}))
    except BearerError as error:
        return _response(error)
    return None


def _response(error: BearerError) -> HttpResponse:
    refusal = answer(error)
    headers = {name.decode("ascii"): value.decode("ascii") for name, value in refusal.headers}
    return HttpResponse(refusal.body, status=refusal.status, headers=headers)
