"""What the application sees of its caller: `scope["auth"]`, `scope["user"]` and `get_access_token()`."""

from __future__ import annotations

from typing import Any

import anyio
import anyio.to_thread
import pytest
from fakes import Echo, call, http_scope

from asgi_bearer import (
    AccessToken,
    Anonymous,
    BearerMiddleware,
    InsufficientScope,
    StaticTokenVerifier,
    get_access_token,
)

READER = "a-token-of-the-reader"
TOKENS = {READER: {"client_id": "app", "scopes": ["read"], "sub": "alice", "name": "Alice"}}
GOOD = (b"authorization", b"Bearer " + READER.encode())
BASIC = (b"authorization", b"Basic YTpi")


def guarded(app: Any, **options: Any) -> BearerMiddleware:
    return BearerMiddleware(app, StaticTokenVerifier(TOKENS), **options)


def status(sent: list[dict[str, Any]]) -> int:
    code: int = sent[0]["status"]
    return code


async def test_the_app_sees_the_token_and_the_user_in_its_scope() -> None:
    app = Echo()

    await call(guarded(app), http_scope(GOOD))

    token, user = app.scopes[0]["auth"], app.scopes[0]["user"]
    assert isinstance(token, AccessToken)
    assert (token.token, token.client_id, token.scopes, token.subject) == (READER, "app", ("read",), "alice")
    assert (user.is_authenticated, user.identity, user.display_name) == (True, "alice", "Alice")
    assert user.access_token is token


@pytest.mark.parametrize(
    ("headers", "options"),
    [
        pytest.param((GOOD,), {}, id="a good token"),
        pytest.param((), {"optional": True}, id="an optional door"),
        pytest.param((), {"public": ["/"]}, id="a public path"),
    ],
)
async def test_the_incoming_scope_is_copied_and_never_changed(headers: Any, options: dict[str, Any]) -> None:
    app, state = Echo(), {"database": 1}
    scope = http_scope(*headers, state=state, auth="an outer one", user="an outer one")
    before = dict(scope)

    await call(guarded(app, **options), scope)

    assert scope == before
    assert app.scopes[0] is not scope
    assert app.scopes[0]["state"] is state
    assert state == {"database": 1}
    assert {**app.scopes[0], "auth": "an outer one", "user": "an outer one"} == scope


async def test_the_context_holds_the_token_within_the_call_and_nothing_before_and_after() -> None:
    seen: list[AccessToken | None] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(get_access_token())
        seen.append(await anyio.to_thread.run_sync(get_access_token))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(note_token)

    async def note_token() -> None:
        seen.append(get_access_token())

    assert get_access_token() is None
    await call(guarded(app), http_scope(GOOD))

    assert [token and token.subject for token in seen] == ["alice", "alice", "alice"]
    assert get_access_token() is None


async def test_the_context_is_reset_when_the_app_raises_and_its_exception_passes_untouched() -> None:
    failure = RuntimeError("the application's own")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise failure

    with pytest.raises(RuntimeError) as caught:
        await call(guarded(app), http_scope(GOOD))

    assert caught.value is failure
    assert get_access_token() is None


async def test_a_bearer_error_that_leaves_a_raw_application_is_not_answered_by_the_door() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["auth"].require_scopes("delete")

    with pytest.raises(InsufficientScope):
        await call(guarded(app), http_scope(GOOD))


async def test_requests_at_the_same_time_each_see_their_own_token() -> None:
    tokens = {f"a-token-of-{name}": {"client_id": name} for name in ("alice", "bob", "carol")}
    seen: dict[str, str] = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await anyio.lowlevel.checkpoint()
        token = get_access_token()
        assert token is not None
        seen[scope["path"]] = token.client_id

    door = BearerMiddleware(app, StaticTokenVerifier(tokens))
    async with anyio.create_task_group() as tasks:
        for token in tokens:
            name = token.removeprefix("a-token-of-")
            tasks.start_soon(call, door, http_scope((b"authorization", f"Bearer {token}".encode()), path=f"/{name}"))

    assert seen == {"/alice": "alice", "/bob": "bob", "/carol": "carol"}


@pytest.mark.parametrize("headers", [(), (BASIC,)], ids=["no credentials", "another scheme"])
async def test_an_optional_door_lets_who_has_no_bearer_credentials_in_as_anonymous(headers: Any) -> None:
    app = Echo()

    sent = await call(guarded(app, optional=True), http_scope(*headers, auth="stale", user="stale"))

    assert (status(sent), sent[1]["body"]) == (200, b"null")
    assert isinstance(app.scopes[0]["auth"], Anonymous)
    assert app.scopes[0]["auth"].scopes == ()
    assert not app.scopes[0]["auth"]
    user = app.scopes[0]["user"]
    assert (user.is_authenticated, user.identity, user.display_name, user.access_token) == (False, "", "", None)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(b"Bearer a-token-of-nobody", 401, id="a wrong token"),
        pytest.param(b"Bearer", 400, id="no token"),
        pytest.param(b"Bearer " + READER.encode(), 200, id="a good token"),
    ],
)
async def test_an_optional_door_judges_the_credentials_that_are_there(value: bytes, expected: int) -> None:
    sent = await call(guarded(Echo(), optional=True), http_scope((b"authorization", value)))

    assert status(sent) == expected


async def test_a_public_path_of_an_inner_door_shows_nobody_whoever_came_through_the_outer_one() -> None:
    app = Echo()
    inner = guarded(app, public=["/health"])

    sent = await call(guarded(inner), http_scope(GOOD, path="/health"))

    assert (status(sent), sent[1]["body"]) == (200, b"null")
    assert isinstance(app.scopes[0]["auth"], Anonymous)
    assert not app.scopes[0]["user"].is_authenticated


async def test_an_inner_door_gives_the_outer_ones_token_back_when_it_is_done() -> None:
    seen = []
    inner = guarded(Echo(), public=["/health"])

    async def between(scope: Any, receive: Any, send: Any) -> None:
        await inner(scope, receive, send)
        seen.append(get_access_token())

    await call(guarded(between), http_scope(GOOD, path="/health"))

    assert [token and token.subject for token in seen] == ["alice"]


async def test_the_body_is_never_read() -> None:
    async def receive() -> Any:
        pytest.fail("the door asked for the body")

    async def send(message: Any) -> None:
        sent.append(message)

    sent: list[dict[str, Any]] = []

    await guarded(Echo())(http_scope(method="POST"), receive, send)
    await guarded(Echo())(http_scope(GOOD, method="POST"), receive, send)

    assert [message["status"] for message in sent if "status" in message] == [401, 200]


@pytest.mark.parametrize("message", [OSError("gone"), ConnectionResetError("gone")], ids=["OSError", "a reset"])
async def test_a_client_that_is_gone_before_its_refusal_is_no_error(message: OSError) -> None:
    async def send(_: Any) -> None:
        raise message

    await guarded(Echo())(http_scope(), None, send)  # nothing is received


async def test_what_the_app_meets_when_its_client_is_gone_is_the_apps() -> None:
    async def send(_: Any) -> None:
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await guarded(Echo())(http_scope(GOOD), None, send)  # nothing is received


@pytest.mark.parametrize("version", ["1.0", "1.1", "2", "3"])
async def test_every_version_of_http_is_gated_alike(version: str) -> None:
    assert status(await call(guarded(Echo()), http_scope(http_version=version))) == 401
    assert status(await call(guarded(Echo()), http_scope(GOOD, http_version=version))) == 200


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([[b"Authorization", GOOD[1]]], id="a name in upper case, pairs as lists"),
        pytest.param({GOOD[0]: GOOD[1]}.items(), id="a view"),
    ],
)
async def test_headers_are_whatever_asgi_calls_headers(headers: Any) -> None:
    sent = await call(guarded(Echo()), {**http_scope(), "headers": headers})

    assert status(sent) == 200


@pytest.mark.parametrize(
    "scope",
    [
        pytest.param(http_scope((b"authorization_", GOOD[1])), id="an underscore at the end"),
        pytest.param(http_scope((b"proxy-authorization", GOOD[1])), id="Proxy-Authorization"),
        pytest.param(http_scope((b"x-access-token", READER.encode())), id="X-Access-Token"),
        pytest.param(http_scope((b"cookie", b"access_token=" + READER.encode())), id="a cookie"),
        pytest.param(http_scope(query_string=b"access_token=" + READER.encode()), id="the query"),
        pytest.param(http_scope((b"sec-websocket-protocol", b"bearer, " + READER.encode())), id="a subprotocol"),
    ],
)
async def test_a_token_anywhere_else_is_no_credentials(scope: dict[str, Any]) -> None:
    sent = await call(guarded(Echo()), scope)

    assert status(sent) == 401
    assert (b"www-authenticate", b'Bearer realm="api"') in sent[0]["headers"]
