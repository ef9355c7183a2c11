"""The door in front of Starlette, FastAPI and Litestar: how it is put there, and what their handlers raise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import litestar
import litestar.middleware
import pytest
from fakes import Echo, bearer, client_for
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.routing import Route

from asgi_bearer import (
    BearerError,
    BearerMiddleware,
    InsufficientAuthentication,
    InsufficientScope,
    InvalidRequest,
    InvalidToken,
    MissingToken,
    Reason,
    StaticTokenVerifier,
    VerifierUnavailable,
    get_access_token,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

READER = "a-token-of-the-reader"
OPTIONS: dict[str, Any] = {
    "verifier": StaticTokenVerifier({READER: {"client_id": "app", "scopes": ["read"]}}),
    "required_scopes": ["read"],
    "realm": "books",
}


def starlette(handle: Callable[[], None]) -> Any:
    async def endpoint(request: Request) -> JSONResponse:
        handle()
        return JSONResponse({"client_id": request.auth.client_id, "name": request.user.display_name})

    return Starlette(routes=[Route("/", endpoint)], middleware=[Middleware(BearerMiddleware, **OPTIONS)])


def fastapi(handle: Callable[[], None]) -> Any:
    app = FastAPI()
    app.add_middleware(BearerMiddleware, **OPTIONS)

    @app.get("/")
    async def endpoint() -> dict[str, str]:
        return answer(handle)

    return app


def fastapi_in_a_thread(handle: Callable[[], None]) -> Any:
    app = FastAPI()
    app.add_middleware(BearerMiddleware, **OPTIONS)

    @app.get("/")
    def endpoint() -> dict[str, str]:
        return answer(handle)

    return app


def litestar_(handle: Callable[[], None]) -> Any:
    async def endpoint() -> dict[str, str]:
        return answer(handle)

    return litestar.Litestar(
        route_handlers=[litestar.get("/")(endpoint)],
        # Litestar types scopes and messages as its own TypedDicts.
        middleware=[litestar.middleware.DefineMiddleware(BearerMiddleware, **OPTIONS)],
    )


def answer(handle: Callable[[], None]) -> dict[str, str]:
    handle()
    token = get_access_token()
    assert token is not None
    return {"client_id": token.client_id, "name": token.client_id}


FRAMEWORKS = [starlette, fastapi, fastapi_in_a_thread, litestar_]
ERRORS = [MissingToken(), InvalidRequest(), InvalidToken(Reason.revoked), InsufficientScope(["read", "delete"])]
ERRORS += [InsufficientAuthentication(["phr"]), VerifierUnavailable("the store is down", 9)]


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_a_good_token_reaches_the_handler(framework: Any) -> None:
    async with client_for(framework(lambda: None)) as client:
        response = await client.get("/", headers=bearer(READER))

    assert (response.status_code, response.json()) == (200, {"client_id": "app", "name": "app"})


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_no_token_never_reaches_the_handler(framework: Any) -> None:
    async with client_for(framework(lambda: pytest.fail("the handler was reached"))) as client:
        response = await client.get("/")

    assert (response.status_code, response.headers["www-authenticate"]) == (401, 'Bearer realm="books", scope="read"')


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_what_a_handler_raises_is_answered_with_the_doors_status_and_headers(
    framework: Any, error: BearerError
) -> None:
    def handle() -> None:
        raise error

    class Raises:
        async def check(self, token: Any, scope: Any) -> None:
            raise error

    async with client_for(BearerMiddleware(Echo(), **OPTIONS, checks=[Raises()])) as client:
        expected = await client.get("/", headers=bearer(READER))
    async with client_for(framework(handle)) as client:
        response = await client.get("/", headers=bearer(READER))

    assert response.status_code == expected.status_code == error.status_code
    for name in ("www-authenticate", "retry-after", "cache-control"):
        assert response.headers.get_list(name) == expected.headers.get_list(name)
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_a_handler_that_needs_another_scope_asks_for_it_and_for_the_doors_own(framework: Any) -> None:
    def handle() -> None:
        token = get_access_token()
        assert token is not None
        token.require_scopes("data:read_sensitive")

    async with client_for(framework(handle)) as client:
        response = await client.get("/", headers=bearer(READER))

    assert response.status_code == 403
    assert response.headers["www-authenticate"] == (
        'Bearer realm="books", scope="read data:read_sensitive", error="insufficient_scope", '
        'error_description="The access token lacks a permission that this request needs."'
    )


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda app: BearerMiddleware(app, **OPTIONS), id="app first"),
        pytest.param(lambda app: BearerMiddleware(app=app, **OPTIONS), id="app by name"),
        pytest.param(lambda app: BearerMiddleware(app, OPTIONS["verifier"]), id="both in order"),
    ],
)
async def test_the_app_is_given_first_or_by_name(make: Any) -> None:
    app = Echo()

    async with client_for(make(app)) as client:
        response = await client.get("/", headers=bearer(READER))

    assert response.status_code == 200
    assert make(app).app is app
