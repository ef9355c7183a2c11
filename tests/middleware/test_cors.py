"""CORS and the door: what a browser may read if CORS is outside, and the warning where it is not."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal

import pytest
from fastapi import FastAPI
from litestar import Litestar
from litestar.config.cors import CORSConfig
from litestar.middleware import DefineMiddleware
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from asgi_bearer import AccessToken, BearerMiddleware, VerifierUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

Backend = Literal["asyncio", "trio"]
READER, UNKNOWN = "a-token-of-the-reader", "a-token-that-cannot-be-known"
ORIGIN = "https://app.example.com"
CORS: dict[str, Any] = {
    "allow_origins": [ORIGIN],
    "allow_headers": ["Authorization"],
    "expose_headers": ["WWW-Authenticate"],
}
WARNING = "CORS is handled behind the door"


class Verifier:
    """Knows one token, and cannot know another."""

    async def verify_token(self, token: str) -> AccessToken:
        if token == UNKNOWN:
            raise VerifierUnavailable("down", 7)
        assert token == READER
        return AccessToken(token=token, client_id="reader", scopes=["read"])


def door(app: Any) -> BearerMiddleware:
    return BearerMiddleware(app, Verifier())


DOOR = Middleware(BearerMiddleware, Verifier())


@pytest.fixture(params=["asyncio", "trio"])
def backend(request: pytest.FixtureRequest) -> Backend:
    chosen: Backend = request.param
    return chosen


async def books(request: Any) -> JSONResponse:
    request.auth.require_scopes("read")
    return JSONResponse([])


async def orders(request: Any) -> JSONResponse:
    request.auth.require_scopes("write")
    return JSONResponse([])


ROUTES = [Route("/books", books), Route("/orders", orders)]


def starlette(*middleware: Middleware) -> Starlette:
    return Starlette(routes=ROUTES, middleware=middleware)


def fastapi(*middleware: Any) -> FastAPI:
    """Return an application to which these were added, the innermost first."""
    app = FastAPI()
    for one in middleware:
        app.add_middleware(one.cls, *one.args, **one.kwargs)
    return app


def litestar(*, door_inside: bool = False, cors: bool = True) -> Any:
    bearer: Any = BearerMiddleware
    return Litestar(
        [],
        middleware=[DefineMiddleware(bearer, verifier=Verifier())] if door_inside else [],
        cors_config=CORSConfig(allow_origins=[ORIGIN]) if cors else None,
        openapi_config=None,
        logging_config=None,
    )


class OwnCORS(CORSMiddleware):
    """One that an application has made its own."""


def around(app: Any, kind: type[CORSMiddleware] = CORSMiddleware) -> CORSMiddleware:
    return kind(app, **CORS)


RIGHT: dict[str, Callable[[], Any]] = {
    "around the door": lambda: around(door(starlette())),
    "before the door in Starlette": lambda: starlette(Middleware(CORSMiddleware, **CORS), DOOR),
    "added after the door in FastAPI": lambda: fastapi(DOOR, Middleware(CORSMiddleware, **CORS)),
    "Starlette around a mounted door": lambda: Starlette(
        routes=[Mount("/api", door(starlette()))], middleware=[Middleware(CORSMiddleware, **CORS)]
    ),
    "other middleware behind the door": lambda: around(door(starlette(Middleware(GZipMiddleware)))),
    "Litestar, door among its middleware": lambda: litestar(door_inside=True),
    "no CORS in Starlette": lambda: door(starlette()),
    "no CORS in FastAPI": lambda: door(fastapi()),
    "no CORS in Litestar": lambda: door(litestar(cors=False)),
}
WRONG: dict[str, Callable[[], Any]] = {
    "directly behind the door": lambda: door(around(starlette())),
    "some middleware deeper": lambda: door(GZipMiddleware(GZipMiddleware(around(starlette())))),
    "a subclass": lambda: door(around(starlette(), OwnCORS)),
    "after the door in Starlette": lambda: starlette(DOOR, Middleware(CORSMiddleware, **CORS)),
    "in Starlette, door around it": lambda: door(starlette(Middleware(GZipMiddleware), Middleware(OwnCORS, **CORS))),
    "added before the door in FastAPI": lambda: fastapi(Middleware(CORSMiddleware, **CORS), DOOR),
    "in FastAPI, door around it": lambda: door(fastapi(Middleware(CORSMiddleware, **CORS))),
    "in FastAPI, deeper": lambda: door(GZipMiddleware(fastapi(Middleware(CORSMiddleware, **CORS)))),
    "in Litestar, door around it": lambda: door(litestar()),
}


def warnings_at_start(app: Any, backend: Backend, caplog: pytest.LogCaptureFixture) -> list[str]:
    with caplog.at_level(logging.WARNING, "asgi_bearer"), TestClient(app, backend=backend):
        pass
    return [record.getMessage() for record in caplog.records if record.name == "asgi_bearer"]


@pytest.mark.parametrize("build", WRONG.values(), ids=WRONG)
def test_cors_behind_the_door_is_warned_of_once_at_the_start(
    build: Any, backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    (warning,) = warnings_at_start(build(), backend, caplog)

    assert warning.startswith(WARNING)
    assert "write CORSMiddleware(BearerMiddleware(app, verifier), ...)" in warning


@pytest.mark.parametrize("build", RIGHT.values(), ids=RIGHT)
def test_of_any_other_order_there_is_no_warning(build: Any, backend: Backend, caplog: pytest.LogCaptureFixture) -> None:
    assert warnings_at_start(build(), backend, caplog) == []


class Lifespan:
    """An application that starts and ends, and whose attributes are not what one hopes for."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        for phase in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{phase}.complete"})


class Circle(Lifespan):
    @property
    def app(self) -> Circle:
        return self


class Raising(Lifespan):
    @property
    def app(self) -> Any:
        raise LookupError

    user_middleware = cors_config = app


class Odd(Lifespan):
    user_middleware = (None, "CORSMiddleware", object())
    cors_config = None


class NotIterable(Lifespan):
    user_middleware = 7


class Unreadable:
    def __iter__(self) -> Any:
        raise LookupError


class RaisingWhenRead(Lifespan):
    user_middleware = Unreadable()


@pytest.mark.parametrize("kind", [Circle, Raising, Odd, NotIterable, RaisingWhenRead])
def test_what_cannot_be_looked_at_starts_all_the_same(
    kind: type[Lifespan], backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    assert warnings_at_start(door(kind()), backend, caplog) == []


@pytest.mark.parametrize(
    "build",
    [RIGHT["around the door"], RIGHT["before the door in Starlette"]],
    ids=["around the door", "before the door in Starlette"],
)
@pytest.mark.parametrize(
    ("path", "token", "status"),
    [("/books", READER, 200), ("/books", None, 401), ("/orders", READER, 403), ("/books", UNKNOWN, 503)],
    ids=["200", "401", "403", "503"],
)
def test_with_cors_outside_a_browser_may_read_every_answer(
    build: Any, backend: Backend, path: str, token: str | None, status: int
) -> None:
    headers = {"origin": ORIGIN} | ({} if token is None else {"authorization": f"Bearer {token}"})

    reply = TestClient(build(), backend=backend).get(path, headers=headers)

    assert reply.status_code == status
    assert reply.headers["access-control-allow-origin"] == ORIGIN
    assert reply.headers["access-control-expose-headers"] == "WWW-Authenticate"
    assert ("www-authenticate" in reply.headers) == (status in {401, 403})


def test_with_cors_behind_the_door_a_browser_may_not_read_the_refusal(backend: Backend) -> None:
    reply = TestClient(WRONG["directly behind the door"](), backend=backend).get("/books", headers={"origin": ORIGIN})

    assert reply.status_code == 401
    assert "access-control-allow-origin" not in reply.headers


@pytest.mark.parametrize("build", [RIGHT["around the door"], WRONG["directly behind the door"]], ids=["right", "wrong"])
def test_preflights_pass_and_other_options_requests_do_not(build: Any, backend: Backend) -> None:
    client = TestClient(build(), backend=backend, headers={"origin": ORIGIN})
    asking = {"access-control-request-method": "GET", "access-control-request-headers": "authorization"}

    preflight = client.options("/books", headers=asking)
    plain = client.options("/books")

    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == ORIGIN
    assert "authorization" in preflight.headers["access-control-allow-headers"].lower()
    assert plain.status_code == 401
