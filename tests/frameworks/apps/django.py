"""Django's ASGI handler, with the door around it. It speaks HTTP alone, and no lifespan."""

from typing import Any, cast

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpResponse, JsonResponse
from django.urls import path
from frameworks.apps.common import DOOR, Arrivals, ASGIApp, callers

from asgi_bearer import BearerMiddleware, TokenVerifier, get_access_token, scopes
from asgi_bearer.integrations.django import requires


def build(verifier: TokenVerifier, arrivals: list[str]) -> ASGIApp:
    configure()
    handler = cast("ASGIApp", get_asgi_application())
    return BearerMiddleware(Arrivals(handler, arrivals), verifier, **DOOR)


def configure() -> None:
    """Set Django up for this module; tests with other views override it."""
    if not settings.configured:
        settings.configure(
            ROOT_URLCONF=__name__,
            ALLOWED_HOSTS=["*"],
            SECRET_KEY="for the tests",
            LOGGING_CONFIG=None,
            MIDDLEWARE=["asgi_bearer.integrations.django.AccessTokenMiddleware"],
        )


async def whoami(request: ASGIRequest) -> HttpResponse:
    return JsonResponse(callers(request.scope))


def whoami_in_a_thread(request: ASGIRequest) -> HttpResponse:
    return JsonResponse(callers(request.scope))


async def echo(request: ASGIRequest) -> HttpResponse:
    return HttpResponse(request.body)


async def sensitive(request: ASGIRequest) -> HttpResponse:
    token = request.access_token
    assert token is get_access_token()
    assert token is not None
    token.require_scopes("data:read_sensitive")
    return JsonResponse(callers(request.scope))


@requires("data:read_sensitive")
async def guarded(request: ASGIRequest) -> HttpResponse:
    return JsonResponse(callers(request.scope))


@requires(scopes("data:read_sensitive"))
def guarded_in_a_thread(request: ASGIRequest) -> HttpResponse:
    return JsonResponse(callers(request.scope))


urlpatterns: list[Any] = [
    path("health", whoami),
    path("whoami", whoami),
    path("sync", whoami_in_a_thread),
    path("echo", echo),
    path("sensitive", sensitive),
    path("guarded", guarded),
    path("guarded/sync", guarded_in_a_thread),
    path("health/guarded", guarded),
]
