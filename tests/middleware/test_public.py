"""Who need not show a token: public paths, character by character, and the preflights of browsers."""

from __future__ import annotations

from typing import Any

import pytest
from fakes import Echo, call, http_scope, websocket_scope

from asgi_bearer import BearerMiddleware, StaticTokenVerifier


class Deny:
    """A verifier that must not be asked."""

    async def verify_token(self, token: str) -> None:
        pytest.fail("credentials were looked at")


def guarded(app: Any, *public: str) -> BearerMiddleware:
    return BearerMiddleware(app, Deny(), public=public)


ORIGIN = (b"origin", b"https://page.example")
METHOD = (b"access-control-request-method", b"POST")


@pytest.mark.parametrize("value", [b"Bearer abc", b"Bearer", b"Basic YTpi"])
async def test_credentials_are_not_looked_at_on_a_public_path(value: bytes) -> None:
    sent = await call(guarded(Echo(), "/health"), http_scope((b"authorization", value), path="/health"))

    assert (sent[0]["status"], sent[1]["body"]) == (200, b"null")


async def test_a_public_path_is_public_for_websockets_too() -> None:
    app = Echo()

    await call(guarded(app, "/events"), websocket_scope(path="/events"))

    assert len(app.scopes) == 1


@pytest.mark.parametrize(
    "path",
    [
        "/", "", "health", "/healt", "/healthz", "/health/", "/health/x", "//health", "/health//", "/./health",
        "/x/../health", "/health/..", "/%68ealth", "/health%00", "/health\x00", "/HEALTH", "/Health", "/health;x",
        "/health;/../admin", "/health?x", "/health#", "/health.", "/health ", " /health", "/health\\", "\\health",
        "/health%2f", "/health%2e", "/\u212aealth", "/hea\u200blth", "/api/health", "*", "http://h/health",
    ],
)  # fmt: skip
async def test_a_path_that_is_not_the_public_one_in_every_character_is_protected(path: str) -> None:
    app = Echo()

    sent = await call(guarded(app, "/health"), http_scope(path=path))

    assert sent[0]["status"] == 401
    assert app.scopes == []


@pytest.mark.parametrize(
    ("path", "root_path", "expected"),
    [
        pytest.param("/api/health", "/api", 200, id="mounted"),
        pytest.param("/api/health", "/api/", 401, id="a mount that ends in a slash is none"),
        pytest.param("/health", "/api", 200, id="a server that leaves the mount out"),
        pytest.param("/health", "", 200, id="not mounted"),
        pytest.param("/health", None, 200, id="no mount at all"),
        pytest.param("/apihealth", "/api", 401, id="not below the mount"),
        pytest.param("/api/api/health", "/api", 401, id="the mount twice"),
        pytest.param("/api//health", "/api", 401, id="two slashes"),
        pytest.param("/api", "/api", 401, id="the mount itself"),
    ],
)
async def test_a_public_path_is_the_one_that_the_application_routes(path: str, root_path: Any, expected: int) -> None:
    sent = await call(guarded(Echo(), "/health"), http_scope(path=path, root_path=root_path))

    assert sent[0]["status"] == expected


@pytest.mark.parametrize("host", [b"health", b"x/health", b"evil.example/health?", b"/health#"])
async def test_the_host_header_makes_nothing_public(host: bytes) -> None:
    sent = await call(guarded(Echo(), "/health"), http_scope((b"host", host), path="/admin"))

    assert sent[0]["status"] == 401


@pytest.mark.parametrize(
    ("method", "headers", "expected"),
    [
        pytest.param("OPTIONS", (ORIGIN, METHOD), 200, id="a preflight"),
        pytest.param("OPTIONS", ((b"Origin", b"x"), (b"Access-Control-Request-Method", b"GET")), 200, id="any case"),
        pytest.param("OPTIONS", (), 401, id="a plain OPTIONS"),
        pytest.param("OPTIONS", (ORIGIN,), 401, id="no method is asked for"),
        pytest.param("OPTIONS", (METHOD,), 401, id="no origin"),
        pytest.param("options", (ORIGIN, METHOD), 401, id="a method in lower case is another"),
        pytest.param("GET", (ORIGIN, METHOD), 401, id="a GET dressed up"),
    ],
)
async def test_a_preflight_passes_without_credentials_and_nothing_else_does(
    method: str, headers: tuple[tuple[bytes, bytes], ...], expected: int
) -> None:
    sent = await call(guarded(Echo()), http_scope(*headers, method=method))

    assert sent[0]["status"] == expected


async def test_a_websocket_that_looks_like_a_preflight_is_none() -> None:
    scope = websocket_scope(ORIGIN, METHOD, method="OPTIONS")

    sent = await call(guarded(Echo()), scope, {"type": "websocket.connect"})

    assert sent == [{"type": "websocket.close", "code": 3000}]


async def test_the_caller_of_a_preflight_is_nobody_even_with_a_good_token() -> None:
    app = Echo()
    door = BearerMiddleware(app, StaticTokenVerifier({"a-token": {"client_id": "app"}}))
    authorization = (b"authorization", b"Bearer a-token")

    sent = await call(door, http_scope(ORIGIN, METHOD, authorization, method="OPTIONS"))

    assert sent[1]["body"] == b"null"
    assert not app.scopes[0]["auth"]
