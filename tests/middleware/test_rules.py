"""What a door asks for beside a good token: rules by path, scopes that cover others, and `require` behind it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import pytest
from fakes import Clock, Echo, call, http_scope, websocket_scope
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Mount, Route

from asgi_bearer import (
    AccessToken,
    BearerError,
    BearerMiddleware,
    InsufficientScope,
    InvalidToken,
    MissingToken,
    Reason,
    StaticTokenVerifier,
    acr,
    any_scope,
    claim,
    problem_json,
    require,
    scopes,
)
from asgi_bearer.errors import Door
from asgi_bearer.events import Accepted, Rejected
from asgi_bearer.gate import Gate, judge_also
from asgi_bearer.rules.challenge import Body, Challenger
from asgi_bearer.rules.requirements import is_granted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from leaks import Watch

    from asgi_bearer.rules.requirements import Requirement

pytestmark = pytest.mark.anyio

NOW = 1_800_000_000
TOKENS: dict[str, dict[str, Any]] = {
    "reader": {"client_id": "app", "scopes": ["read"], "auth_time": NOW - 100},
    "admin": {"client_id": "app", "scopes": ["read", "admin"], "acr": "gold"},
}


@pytest.fixture(autouse=True)
def _watch_the_tokens(watch: Watch) -> None:
    watch.secrets |= {"token-of-reader", "token-of-admin"}


def door(app: Any = None, **options: Any) -> BearerMiddleware:
    verifier = StaticTokenVerifier({f"token-of-{name}": members for name, members in TOKENS.items()})
    return BearerMiddleware(app or Echo(), verifier, **{"clock": Clock(NOW), **options})


def bearing(name: str) -> tuple[tuple[bytes, bytes], ...]:
    return ((b"authorization", f"Bearer token-of-{name}".encode()),) if name else ()


async def answer(guarded: BearerMiddleware, caller: str = "", path: str = "/", **scope: Any) -> tuple[int, str]:
    sent = await call(guarded, http_scope(*bearing(caller), path=path, **scope))
    return sent[0]["status"], dict(sent[0]["headers"]).get(b"www-authenticate", b"").decode()


RULES = {"/admin/**": scopes("admin"), "POST /items": scopes("write"), "/safe": acr("gold", max_age=60)}


@pytest.mark.parametrize(
    ("caller", "path", "method", "status"),
    [
        ("reader", "/", "GET", 200),
        ("reader", "/admin", "GET", 403),
        ("admin", "/admin/x", "GET", 200),
        ("reader", "//admin/x", "GET", 403),
        ("admin", "//admin/x", "GET", 200),
        ("reader", "/items", "GET", 200),
        ("reader", "/items", "POST", 403),
        ("admin", "/safe", "GET", 401),
        ("", "/admin", "GET", 401),
    ],
)
async def test_rules_hold_for_verified_callers(caller: str, path: str, method: str, status: int) -> None:
    assert (await answer(door(rules=RULES), caller, path, method=method))[0] == status


async def test_the_challenge_names_what_the_door_and_the_rule_ask_for() -> None:
    guarded = door(rules=RULES, required_scopes=["read"])

    assert (await answer(guarded, "reader", "/admin"))[1] == (
        'Bearer realm="api", scope="read admin", error="insufficient_scope", '
        'error_description="The access token lacks a permission that this request needs."'
    )
    assert 'acr_values="gold", max_age="60"' in (await answer(guarded, "reader", "/safe"))[1]


async def test_a_rule_on_an_optional_door_asks_for_a_caller() -> None:
    guarded = door(rules=RULES, optional=True)

    assert (await answer(guarded, "", "/"))[0] == 200
    assert await answer(guarded, "", "/admin") == (401, 'Bearer realm="api"')


async def test_public_paths_and_rules_stand_side_by_side() -> None:
    app = Echo()
    guarded = door(app, public=["/docs/**"], rules={"/docs/private/**": scopes("admin")})

    assert (await answer(guarded, "", "/docs/a"))[0] == 200
    assert (await answer(guarded, "", "/docs/private/a"))[0] == 401
    assert (await answer(guarded, "reader", "/docs/private/a"))[0] == 403
    assert [scope["path"] for scope in app.scopes] == ["/docs/a"]


async def test_a_preflight_of_a_protected_path_passes() -> None:
    headers = ((b"origin", b"https://page.example"), (b"access-control-request-method", b"POST"))

    sent = await call(door(rules=RULES), http_scope(*headers, method="OPTIONS", path="/admin"))

    assert sent[0]["status"] == 200
    assert (await answer(door(rules=RULES), "reader", "/admin", method="OPTIONS"))[0] == 403


async def test_an_application_that_leads_in_a_circle_is_looked_at_for_a_while() -> None:
    class Circle(Echo):
        root_path = "/api/"

        @property
        def app(self) -> Any:
            return self

        @property
        def routes(self) -> Any:
            raise RuntimeError

    assert (await answer(door(Circle(), rules=RULES), "reader", "/api/admin"))[0] == 403
    assert (await answer(door(Circle(), rules=RULES), "reader", "/other"))[0] == 200


@pytest.mark.parametrize(("caller", "status"), [("", 401), ("reader", 403), ("admin", 200)])
async def test_a_door_may_hold_preflights_to_what_it_holds_others_to(caller: str, status: int) -> None:
    headers = ((b"origin", b"https://page.example"), (b"access-control-request-method", b"POST"), *bearing(caller))
    scope = http_scope(*headers, method="OPTIONS", path="/admin")

    sent = await call(door(rules=RULES, preflights="refuse"), scope)

    assert sent[0]["status"] == status


async def test_a_rule_holds_for_websockets() -> None:
    scope = websocket_scope(*bearing("reader"), path="/admin/live")

    sent = await call(door(rules=RULES), scope, {"type": "websocket.connect"})

    assert sent == [{"type": "websocket.close", "code": 3003}]


def alone(app: Any) -> Any:
    return app


def wrapped(app: Any) -> Any:
    return GZipMiddleware(app)


def mounted(app: Any) -> Any:
    return Starlette(routes=[Mount("/", app)])


@pytest.mark.parametrize(("path", "status"), [("/admin/x", 403), ("/api/admin/x", 403), ("/api/x", 200)])
@pytest.mark.parametrize("where", [alone, wrapped, mounted])
async def test_fastapis_root_path_is_no_way_around_a_rule(where: Any, path: str, status: int) -> None:
    app = FastAPI()
    app.root_path = "/api"  # as FastAPI(root_path=), which it advises against

    @app.get("/{rest:path}")
    async def anything(rest: str) -> str:
        return rest

    assert (await answer(door(where(app), rules=RULES), "reader", path, query_string=b""))[0] == status


async def test_the_events_tell_what_became_of_it() -> None:
    events: list[Any] = []
    guarded = door(rules=RULES, on_event=events.append)

    await answer(guarded, "reader", "/admin")
    await answer(guarded, "admin", "/admin")

    assert [type(event) for event in events] == [Rejected, Accepted]
    assert events[0].error == "insufficient_scope"


@pytest.mark.parametrize(("granted", "status"), [("read", 403), ("items", 200), ("items:read", 200)])
async def test_scopes_may_cover_others_wherever_the_door_judges(granted: str, status: int) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        require(scopes("items:read"))
        await Echo()(scope, receive, send)

    def covers(held: Sequence[str], required: str) -> bool:
        return required in held or required.partition(":")[0] in held

    verifier = StaticTokenVerifier({"token-of-reader": {"client_id": "app", "scopes": [granted]}})
    for options in ({"required_scopes": ["items:read"]}, {"rules": {"/**": any_scope("items:read")}}):
        guarded = BearerMiddleware(app, verifier, scope_satisfies=covers, **cast("Any", options))
        assert (await answer(guarded, "reader"))[0] == status


# require


@pytest.mark.parametrize(
    ("caller", "requirement", "error"),
    [
        ("reader", scopes("read"), None),
        ("reader", scopes("admin"), InsufficientScope),
        ("reader", acr(max_age=100), None),
        ("reader", claim("acr", "gold"), InsufficientScope),
        ("admin", claim("acr", "gold") & scopes("admin"), None),
        ("", scopes("read"), MissingToken),
    ],
    ids=repr,
)
async def test_a_handler_asks_for_more_and_gets_the_token(
    caller: str, requirement: Requirement, error: type[BearerError] | None
) -> None:
    found: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            found.append(require(requirement))
        except BearerError as raised:
            found.append(raised)
        await Echo()(scope, receive, send)

    await answer(door(app, optional=True), caller)

    if error is None:
        assert type(found[0]) is AccessToken
        assert found[0].token == f"token-of-{caller}"
    else:
        assert type(found[0]) is error


def test_where_there_is_no_door_nobody_comes_in() -> None:
    with pytest.raises(RuntimeError, match="no BearerMiddleware is around this application: write app = BearerMiddle"):
        require(scopes("read"))


async def test_what_is_asked_for_is_a_requirement() -> None:
    with pytest.raises(TypeError, match=r"requirement is a requirement, not str: write scopes\('read'\)"):
        require(cast("Any", "read"))


async def test_an_error_that_leaves_the_door_is_answered_in_its_words_wherever_that_happens() -> None:
    class Endpoint(HTTPEndpoint):
        async def get(self, request: Any) -> Any:
            require(scopes("admin"))

    verifier = StaticTokenVerifier({"token-of-reader": {"client_id": "app", "scopes": ["read"]}})
    inner = Middleware(BearerMiddleware, verifier=verifier, realm="inner", required_scopes=["read"])
    app = Starlette(routes=[Route("/", Endpoint, middleware=[inner])])

    for outer in (app, BearerMiddleware(app, verifier, realm="outer")):
        status, challenge = await answer(cast("Any", outer), "reader", query_string=b"")
        assert status == 403
        assert challenge.startswith('Bearer realm="inner", scope="read admin", error="insufficient_scope"')


def judged(*requirements: Requirement, **caller: Any) -> Any:
    """Ask for one after the other in one request, and return the last denial."""
    token = AccessToken(token="t", client_id="app", **caller)
    clock = Clock(NOW)
    gate = Gate(Challenger(realm="api", scopes=(), expose_reason=False), clock, is_granted)
    scope: dict[str, Any] = {}
    at = Door(token, gate)
    for requirement in requirements:
        try:
            judge_also(at, requirement, scope)
        except BearerError as error:
            return error
        clock.advance(400)
    return scope


def test_what_was_met_is_named_and_not_judged_again() -> None:
    denied = judged(acr(max_age=300), scopes("read"), scopes("admin"), scopes=["read"], claims={"auth_time": NOW})

    assert denied.required == ("read", "admin")
    assert type(judged(acr(max_age=300), scopes("read"), scopes=["read"], claims={"auth_time": NOW})) is dict


def test_what_is_asked_for_again_and_again_is_remembered_once() -> None:
    again = scopes("read")
    many = [scopes("read") for _ in range(1000)]

    for asked, most in (([again] * 2000, 1), (many, 64)):
        (met,) = judged(*asked, scopes=["read"]).values()
        assert len(met[1]) == most


# Bodies of one's own


@pytest.mark.parametrize(
    ("headers", "status", "expected"),
    [
        ((), 401, {"title": "Unauthorized", "detail": "Authentication is required."}),
        (bearing("nobody"), 401, {"title": "Unauthorized", "error": "invalid_token"}),
        (bearing("reader"), 403, {"title": "Forbidden", "error": "insufficient_scope"}),
        ((*bearing("reader"), *bearing("reader")), 400, {"title": "Bad Request", "error": "invalid_request"}),
    ],
)
async def test_problem_details_take_the_place_of_the_body_and_of_nothing_else(
    headers: Any, status: int, expected: dict[str, Any]
) -> None:
    usual, own = door(required_scopes=["admin"]), door(required_scopes=["admin"], render=problem_json)

    (start, body), (usual_start, _) = await call(own, http_scope(*headers)), await call(usual, http_scope(*headers))

    found = dict(start["headers"])
    told = json.loads(body["body"])
    assert start["status"] == usual_start["status"] == told["status"] == status
    assert found[b"content-type"] == b"application/problem+json"
    assert int(found[b"content-length"]) == len(body["body"])
    assert told.items() >= expected.items()
    assert told["type"] == "about:blank"
    for name in (b"www-authenticate", b"cache-control"):
        assert found[name] == dict(usual_start["headers"])[name]


async def test_a_body_of_ones_own_stands_in_the_refusal_of_a_websocket_too() -> None:
    scope = websocket_scope(extensions={"websocket.http.response": {}})

    sent = await call(door(render=lambda _: ("text/plain", b"no")), scope, {"type": "websocket.connect"})

    assert (sent[0]["status"], sent[1]["body"]) == (401, b"no")


def fails(_: BearerError) -> Any:
    message = "token-of-reader"
    raise RuntimeError(message)


@pytest.mark.parametrize(
    "render",
    [
        fails,
        lambda _: None,
        lambda _: "text",
        lambda _: ("text/plain", "no bytes"),
        lambda _: ("text/plain", None),
        lambda _: ("text/plain\r\nx: y", b""),
        lambda _: (b"text/plain", b""),
        lambda _: ("text/plain", b"", b""),
    ],
    ids=range(8),
)
async def test_a_body_that_cannot_be_written_is_the_usual_one(render: Any, caplog: pytest.LogCaptureFixture) -> None:
    usual, own = await call(door(), http_scope()), await call(door(render=render), http_scope())

    assert own == usual
    errors = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 1
    assert errors[0].startswith("render failed with ")


async def test_a_head_has_no_body_whoever_writes_it() -> None:
    sent = await call(door(render=lambda _: Body("text/plain", b"no")), http_scope(method="HEAD"))

    assert sent[1]["body"] == b""
    assert (b"content-length", b"2") in sent[0]["headers"]


async def test_an_error_of_ones_own_has_a_body_too() -> None:
    class Broke:
        async def check(self, token: AccessToken, scope: Any) -> None:
            raise InvalidToken(Reason.revoked)

    sent = await call(door(checks=[Broke()], render=problem_json), http_scope(*bearing("reader")))

    assert json.loads(sent[1]["body"])["detail"] == "The access token was not accepted."


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"rules": ["/a"]}, "rules maps paths to requirements"),
        ({"rules": {"/a": "admin"}}, r"rules\['/a'\] is a requirement, not str: write scopes\('admin'\)"),
        ({"render": "problem"}, "render is a function, not str"),
        ({"preflights": True}, "preflights is one of 'pass', 'refuse', not True"),
        ({"scope_satisfies": None}, "scope_satisfies is a function, not NoneType"),
    ],
)
def test_what_cannot_be_meant_is_a_type_error(options: Any, sentence: str) -> None:
    with pytest.raises(TypeError, match=sentence):
        door(**options)
