"""The application that `asgi-bearer dev` protects when it is given none. Floor 7."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request

PUBLIC = ("/",)
SCOPES = ("items:read",)
"""What `/items` asks for."""
PATHS = ("/items", "/me", "/admin", "/")
"""What there is, that with `SCOPES` first."""


async def show_index(_: Request) -> JSONResponse:
    """Say what there is; the door lets everybody in here."""
    return JSONResponse({"/": "public", "/me": "any good token", "/items": "scope items:read", "/admin": "scope admin"})


async def show_caller(request: Request) -> JSONResponse:
    """Say who is calling."""
    token = request.auth
    return JSONResponse({"subject": token.subject, "client_id": token.client_id, "scopes": token.scopes})


async def list_items(request: Request) -> JSONResponse:
    """Show items to whoever may read them."""
    request.auth.require_scopes(*SCOPES)
    return JSONResponse(["apple", "pear"])


async def administer(request: Request) -> JSONResponse:
    """Do what only an administrator may."""
    request.auth.require_scopes("admin")
    return JSONResponse({"done": True})


app: Starlette = Starlette(
    routes=[
        Route("/", show_index),
        Route("/me", show_caller),
        Route("/items", list_items),
        Route("/admin", administer),
    ]
)
