"""`BearerAuth`: what dependencies of FastAPI let in and answer, and what its document says of it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import pytest
from fakes import Clock, bearer, call, client_for, websocket_scope
from fastapi import APIRouter, Depends, FastAPI, Request, Security, WebSocket
from fastapi.exceptions import FastAPIError
from fastapi.openapi.models import OpenAPI
from starlette.middleware.authentication import AuthenticationMiddleware

from asgi_bearer import (
    AccessToken,
    BearerMiddleware,
    Requirement,
    StaticTokenVerifier,
    VerifierUnavailable,
    acr,
    any_scope,
    claim,
    scopes,
)
from asgi_bearer.integrations.fastapi import BearerAuth
from asgi_bearer.integrations.starlette import BearerBackend

NOW = 1_800_000_000
SNAPSHOT = Path(__file__).with_name("openapi.json")
TOKENS: dict[str, dict[str, Any]] = {
    "reader": {"client_id": "reader", "scopes": ["read"]},
    "writer": {"client_id": "writer", "scopes": ["read", "write"]},
    "admin": {"client_id": "admin", "scopes": ["admin"], "team": "blue"},
    "fresh": {"client_id": "fresh", "scopes": ["read"], "acr": "gold", "auth_time": NOW - 10},
}
LACKS = 'error="insufficient_scope", error_description="The access token lacks a permission that this request needs."'
STEP_UP = (
    'Bearer realm="api", error="insufficient_user_authentication", error_description="This request needs a stronger '
    'or more recent authentication.", acr_values="gold", max_age="60"'
)

auth = BearerAuth()
Caller: TypeAlias = Annotated[AccessToken, Security(auth)]
Reader: TypeAlias = Annotated[AccessToken, Security(auth, scopes=["read"])]
Writer: TypeAlias = Annotated[AccessToken, Security(auth, scopes=["read", "write"])]
Visitor: TypeAlias = Annotated[AccessToken | None, Security(auth.optional, scopes=["read"])]


def door(app: Any, **options: Any) -> BearerMiddleware:
    return BearerMiddleware(app, StaticTokenVerifier(TOKENS), **options)


async def get(app: Any, path: str, token: str | None = None, **options: Any) -> Any:
    """Call `app` behind a door."""
    async with client_for(door(app, **options)) as client:
        return await client.get(path, headers={} if token is None else bearer(token))


def app_for(dependency: Any) -> FastAPI:
    """Return an application whose one handler depends on `dependency`, and tells who calls."""
    app = FastAPI()

    @app.get("/")
    async def name(caller: Annotated[Any, dependency]) -> Any:
        return None if caller is None else caller.client_id

    return app


class TestCaller:
    async def test_the_handler_gets_the_token_that_the_door_verified(self) -> None:
        app = FastAPI()

        @app.get("/")
        async def endpoint(request: Request, caller: Caller) -> list[Any]:
            return [caller.client_id, caller is request.auth]

        reply = await get(app, "/", "reader")

        assert (reply.status_code, reply.json()) == (200, ["reader", True])

    @pytest.mark.parametrize(
        ("token", "status", "challenge"),
        [
            pytest.param("writer", 200, None, id="has the scopes"),
            pytest.param("reader", 403, f'Bearer realm="api", scope="read write", {LACKS}', id="lacks a scope"),
            pytest.param(None, 401, 'Bearer realm="api"', id="nobody"),
        ],
    )
    async def test_security_scopes_are_asked_for_all_at_once(
        self, token: str | None, status: int, challenge: str | None
    ) -> None:
        # On an optional door it is the dependency that answers nobody.
        reply = await get(app_for(Security(auth, scopes=["read", "write"])), "/", token, optional=True)

        assert (reply.status_code, reply.headers.get("www-authenticate")) == (status, challenge)
        assert reply.headers.get("cache-control") == (None if status == 200 else "no-store")

    @pytest.mark.parametrize("token", ["reader", "a token of nobody", None])
    async def test_a_public_path_lets_nobody_through_to_a_handler_that_wants_a_caller(self, token: str | None) -> None:
        reply = await get(app_for(Security(auth)), "/", token, public=["/"])

        assert (reply.status_code, reply.headers["www-authenticate"]) == (401, 'Bearer realm="api"')

    async def test_the_doors_reading_of_scopes_counts(self) -> None:
        def covers(granted: Any, required: str) -> bool:
            return required in granted or "admin" in granted

        app = app_for(Security(auth, scopes=["read", "write"]))

        by_admin = await get(app, "/", "admin", scope_satisfies=covers)
        by_reader = await get(app, "/", "reader", scope_satisfies=covers)

        assert (by_admin.status_code, by_reader.status_code) == (200, 403)

    async def test_challenges_are_the_doors(self) -> None:
        app = app_for(Security(auth, scopes=["write"]))

        reply = await get(app, "/", "reader", realm="books", required_scopes=["read"])

        assert reply.headers["www-authenticate"] == f'Bearer realm="books", scope="read write", {LACKS}'
        assert reply.json() == {"detail": "The access token lacks a permission that this request needs."}

    async def test_handlers_and_dependencies_that_run_in_threads_get_it_too(self) -> None:
        app = FastAPI()

        def client_id(caller: Reader) -> str:
            return caller.client_id

        @app.get("/")
        def endpoint(name: Annotated[str, Depends(client_id)], caller: Reader) -> list[str]:
            return [name, caller.client_id]

        let_in = await get(app, "/", "reader")
        refused = await get(app, "/", "admin")

        assert (let_in.status_code, let_in.json()) == (200, ["reader", "reader"])
        assert refused.status_code == 403

    async def test_scopes_that_cannot_be_meant_let_nobody_in(self) -> None:
        with pytest.raises(ValueError, match="'read write' is not a scope"):
            await get(app_for(Security(auth, scopes=["read write"])), "/", "writer")


class TestOptional:
    @pytest.mark.parametrize(
        ("token", "status", "answer"),
        [
            pytest.param(None, 200, None, id="nobody"),
            pytest.param("reader", 200, "reader", id="has the scope"),
            pytest.param(
                "admin",
                403,
                {"detail": "The access token lacks a permission that this request needs."},
                id="lacks the scope",
            ),
            pytest.param(
                "wrong",
                401,
                {"error": "invalid_token", "error_description": "The access token was not accepted."},
                id="a wrong token",
            ),
        ],
    )
    async def test_nobody_is_none_and_a_token_is_looked_at(self, token: str | None, status: int, answer: Any) -> None:
        reply = await get(app_for(Security(auth.optional, scopes=["read"])), "/", token, optional=True)

        assert (reply.status_code, reply.json()) == (status, answer)

    async def test_on_a_public_path_everybody_is_nobody(self) -> None:
        reply = await get(app_for(Depends(auth.optional)), "/", "reader", public=["/"])

        assert (reply.status_code, reply.json()) == (200, None)


class TestRequire:
    @pytest.mark.parametrize(
        ("requirement", "token", "status", "challenge"),
        [
            pytest.param(any_scope("write", "admin"), "admin", 200, None, id="any_scope"),
            pytest.param(
                any_scope("write", "admin"), "reader", 403, f'Bearer realm="api", scope="write", {LACKS}', id="no scope"
            ),
            pytest.param(claim("team", "blue"), "admin", 200, None, id="claim"),
            pytest.param(claim("team", "blue"), "reader", 403, f'Bearer realm="api", {LACKS}', id="another claim"),
            pytest.param(acr("gold", max_age=60), "fresh", 200, None, id="acr"),
            pytest.param(acr("gold", max_age=60), "reader", 401, STEP_UP, id="weak login"),
            pytest.param(scopes("read"), None, 401, 'Bearer realm="api"', id="nobody"),
        ],
    )
    async def test_any_requirement_is_a_dependency(
        self, requirement: Requirement, token: str | None, status: int, challenge: str | None
    ) -> None:
        app = app_for(Depends(auth.require(requirement)))

        reply = await get(app, "/", token, optional=True, clock=Clock(NOW))

        assert (reply.status_code, reply.headers.get("www-authenticate")) == (status, challenge)

    async def test_the_age_of_a_login_is_told_by_the_doors_clock(self) -> None:
        app = app_for(Depends(auth.require(acr(max_age=60))))

        replies = [await get(app, "/", "fresh", clock=Clock(NOW + seconds)) for seconds in (50, 51)]

        assert [reply.status_code for reply in replies] == [200, 401]

    @pytest.mark.parametrize(
        ("token", "status"), [("reader", 403), ("admin", 403), ("writer", 200)], ids=["one", "other", "both"]
    )
    async def test_it_goes_together_with_scopes_of_security(self, token: str, status: int) -> None:
        app = app_for(Security(auth.require(any_scope("write", "admin")), scopes=["read"]))

        reply = await get(app, "/", token)

        challenge = None if status == 200 else f'Bearer realm="api", scope="write read", {LACKS}'
        if token == "admin":
            challenge = f'Bearer realm="api", scope="admin read", {LACKS}'
        assert (reply.status_code, reply.headers.get("www-authenticate")) == (status, challenge)

    @pytest.mark.parametrize("wrong", ["admin", ["admin"], None, auth])
    def test_what_is_no_requirement_is_refused_when_it_is_written(self, wrong: Any) -> None:
        with pytest.raises(TypeError, match=r"requirement is a requirement, not \w+: write scopes\("):
            auth.require(wrong)


class TestPlaces:
    """Where dependencies may stand."""

    async def test_routers_and_routes_add_up(self) -> None:
        inner = APIRouter(prefix="/inner", dependencies=[Depends(auth.require(scopes("write")))])
        outer = APIRouter(prefix="/outer", dependencies=[Security(auth, scopes=["read"])])
        app = FastAPI()

        @inner.get("/")
        async def deep() -> str:
            return "deep"

        @outer.get("/")
        async def shallow() -> str:
            return "shallow"

        outer.include_router(inner)
        app.include_router(outer)

        found = {
            (path, token): (await get(app, path, token)).status_code
            for path in ("/outer/", "/outer/inner/")
            for token in ("reader", "writer", "admin")
        }

        assert found == {
            ("/outer/", "reader"): 200,
            ("/outer/", "writer"): 200,
            ("/outer/", "admin"): 403,
            ("/outer/inner/", "reader"): 403,
            ("/outer/inner/", "writer"): 200,
            ("/outer/inner/", "admin"): 403,
        }

    async def test_a_challenge_names_what_routers_asked_for_before_too(self) -> None:
        router = APIRouter(dependencies=[Security(auth, scopes=["read"]), Depends(auth)])
        app = FastAPI(dependencies=[Depends(auth.require(any_scope("admin", "read")))])

        @router.get("/", dependencies=[Depends(auth.require(scopes("write")))])
        async def endpoint() -> None:
            pytest.fail("the handler was reached")

        app.include_router(router)

        reply = await get(app, "/", "reader")

        assert reply.headers["www-authenticate"] == f'Bearer realm="api", scope="read write", {LACKS}'

    @pytest.mark.parametrize("inner", [Depends(auth), Depends(auth.require(scopes("read")))], ids=["auth", "require"])
    async def test_scopes_of_a_dependency_are_asked_of_the_caller_below_it(self, inner: Any) -> None:
        async def client_id(caller: Annotated[AccessToken, inner]) -> str:
            return caller.client_id

        app = FastAPI()

        @app.get("/")
        async def endpoint(name: Annotated[str, Security(client_id, scopes=["write"])]) -> str:
            return name

        found = [(await get(app, "/", token)).status_code for token in ("reader", "writer", "admin")]

        assert found == [403, 200, 403]
        (security,) = app.openapi()["paths"]["/"]["get"]["security"]
        assert security["BearerAuth"][0] == "write"

    async def test_it_works_behind_starlettes_middleware_too(self) -> None:
        app = app_for(Security(auth, scopes=["write"]))
        backend = BearerBackend(StaticTokenVerifier(TOKENS), realm="backend")
        behind = AuthenticationMiddleware(app, backend, BearerBackend.on_error)

        async with client_for(behind) as client:
            replies = [await client.get("/", headers=bearer(token)) for token in ("writer", "reader")]
            nobody = await client.get("/")

        assert [reply.status_code for reply in replies] == [200, 403]
        assert replies[1].headers["www-authenticate"] == f'Bearer realm="backend", scope="write", {LACKS}'
        assert (nobody.status_code, nobody.headers["www-authenticate"]) == (401, 'Bearer realm="backend"')

    async def test_an_application_may_ask_for_all_its_routes_and_websockets(self) -> None:
        app = FastAPI(dependencies=[Security(auth, scopes=["read"])])

        @app.get("/")
        async def endpoint() -> str:
            return "in"

        @app.websocket("/ws")
        async def talk(websocket: WebSocket) -> None:
            pytest.fail("the handler was reached")

        assert (await get(app, "/", "reader")).status_code == 200
        assert (await get(app, "/", "admin")).status_code == 403
        assert (await knock(door(app), "admin"))[0]["status"] == 403

    async def test_a_mounted_application_asks_the_door_around_the_whole(self) -> None:
        app = FastAPI()
        app.mount("/api", app_for(Security(auth, scopes=["write"])))

        assert (await get(app, "/api/", "writer")).json() == "writer"
        assert (await get(app, "/api/", "reader")).status_code == 403
        assert (await get(app, "/api/", public=["/api/"])).status_code == 401

    async def test_of_two_doors_the_inner_one_counts(self) -> None:
        app = FastAPI()
        app.mount("/api", door(app_for(Security(auth)), realm="inner", public=["/"]))

        reply = await get(app, "/api/", "reader", realm="outer")

        assert (reply.status_code, reply.headers["www-authenticate"]) == (401, 'Bearer realm="inner"')


DEPENDENCIES = [
    pytest.param(Security(auth), id="auth"),
    pytest.param(Security(auth.optional), id="optional"),
    pytest.param(Depends(auth.require(scopes("read"))), id="require"),
]


class TestNoDoor:
    @pytest.mark.parametrize("dependency", DEPENDENCIES)
    async def test_without_a_door_nobody_gets_in(self, dependency: Any) -> None:
        app = FastAPI()

        @app.get("/")
        async def endpoint(caller: Annotated[Any, dependency]) -> None:
            pytest.fail("the handler was reached")

        async with client_for(app) as client:
            with pytest.raises(RuntimeError, match="no BearerMiddleware is around this application: write app = "):
                await client.get("/", headers=bearer("reader"))

    @pytest.mark.parametrize("dependency", DEPENDENCIES)
    async def test_without_a_door_no_websocket_gets_in(self, dependency: Any) -> None:
        app = FastAPI()

        @app.websocket("/ws")
        async def talk(websocket: WebSocket, caller: Annotated[Any, dependency]) -> None:
            pytest.fail("the handler was reached")

        with pytest.raises(RuntimeError, match="no BearerMiddleware is around this application"):
            await knock(app, "reader")

    async def test_a_door_around_one_mounted_application_is_none_around_the_others(self) -> None:
        app = app_for(Security(auth))
        app.mount("/api", door(app_for(Security(auth))))

        async with client_for(app) as client:
            assert (await client.get("/api/", headers=bearer("reader"))).json() == "reader"
            with pytest.raises(RuntimeError, match="no BearerMiddleware"):
                await client.get("/", headers=bearer("reader"))

    def test_require_without_a_requirement_is_no_dependency(self) -> None:
        with pytest.raises(FastAPIError, match="Requirement"):
            app_for(Depends(auth.require))

    def test_the_class_in_the_place_of_an_object_is_refused_when_it_is_written(self) -> None:
        with pytest.raises(TypeError, match=r"write auth = BearerAuth\(\), and Security\(auth\)"):
            app_for(Security(BearerAuth))


async def knock(app: Any, token: str | None, *, can_deny: bool = True) -> list[dict[str, Any]]:
    """Open a websocket at /ws, and return what is sent."""
    headers = [] if token is None else [(b"authorization", f"Bearer {token}".encode())]
    extensions: dict[str, Any] = {"websocket.http.response": {}} if can_deny else {}
    scope = websocket_scope(*headers, path="/ws", query_string=b"", root_path="", extensions=extensions)
    return await call(app, scope, {"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000})


def talking(dependency: Any) -> FastAPI:
    app = FastAPI()

    @app.websocket("/ws")
    async def talk(websocket: WebSocket, caller: Annotated[Any, dependency]) -> None:
        await websocket.accept()
        await websocket.send_text(caller.client_id)

    return app


class TestWebsockets:
    async def test_the_handler_gets_the_token(self) -> None:
        sent = await knock(door(talking(Security(auth, scopes=["write"]))), "writer")

        assert [message["type"] for message in sent] == ["websocket.accept", "websocket.send"]
        assert sent[1]["text"] == "writer"

    @pytest.mark.parametrize(
        ("token", "status", "code", "challenge"),
        [
            pytest.param(None, 401, 3000, 'Bearer realm="api"', id="nobody"),
            pytest.param("reader", 403, 3003, f'Bearer realm="api", scope="write", {LACKS}', id="lacks the scope"),
        ],
    )
    @pytest.mark.parametrize(
        "dependency",
        [Security(auth, scopes=["write"]), Depends(auth.require(scopes("write")))],
        ids=["auth", "require"],
    )
    async def test_a_refusal_comes_before_it_is_accepted(
        self, dependency: Any, token: str | None, status: int, code: int, challenge: str
    ) -> None:
        app = door(talking(dependency), optional=True)

        denied = await knock(app, token)
        closed = await knock(app, token, can_deny=False)

        assert [message["type"] for message in denied] == [
            "websocket.http.response.start",
            "websocket.http.response.body",
        ]
        assert denied[0]["status"] == status
        headers = dict(denied[0]["headers"])
        assert (headers[b"www-authenticate"], headers[b"cache-control"]) == (challenge.encode(), b"no-store")
        assert closed == [{"type": "websocket.close", "code": code, "reason": ""}]

    async def test_a_websocket_that_another_dependency_has_accepted_is_closed(self) -> None:
        app = FastAPI()

        async def accepted(websocket: WebSocket) -> None:
            await websocket.accept()

        @app.websocket("/ws", dependencies=[Depends(accepted), Security(auth, scopes=["write"])])
        async def talk(websocket: WebSocket) -> None:
            pytest.fail("the handler was reached")

        sent = await knock(door(app), "reader")

        assert [message["type"] for message in sent] == ["websocket.accept", "websocket.close"]
        assert sent[1]["code"] == 3003


WRITE = auth.require(scopes("write"))
TESTER = AccessToken(token="t", client_id="tester")


class TestOverrides:
    @pytest.mark.parametrize(
        ("key", "dependency"),
        [
            pytest.param(auth, Security(auth, scopes=["read"]), id="auth"),
            pytest.param(auth.optional, Security(auth.optional, scopes=["read"]), id="optional"),
            pytest.param(WRITE, Security(WRITE, scopes=["read"]), id="require"),
        ],
    )
    async def test_a_test_may_put_its_own_caller_in_the_place_of_each(self, key: Any, dependency: Any) -> None:
        app = app_for(dependency)
        app.dependency_overrides[key] = lambda: TESTER

        async with client_for(app) as client:
            reply = await client.get("/")

        assert (reply.status_code, reply.json()) == (200, "tester")

    async def test_one_is_not_the_others(self) -> None:
        app = app_for(Depends(WRITE))
        app.dependency_overrides |= {auth: lambda: TESTER, auth.optional: lambda: TESTER}

        assert (await get(app, "/", "reader")).status_code == 403

    async def test_the_door_is_not_overridden(self) -> None:
        app = app_for(Depends(auth))
        app.dependency_overrides[auth] = lambda: TESTER

        assert (await get(app, "/")).status_code == 401
        assert (await get(app, "/", "reader")).json() == "tester"


def documented() -> FastAPI:
    """Return an application with every kind of scheme and of dependency."""
    flow = BearerAuth(
        authorization_url="https://idp.example.com/authorize?prompt=login",
        token_url="https://idp.example.com/token",
        scopes={"items:read": "Read items", "items:write": "Write items"},
        scheme_name="Login",
        description="By your *company* account.",
    )
    oidc = BearerAuth(issuer="https://idp.example.com/tenant/", scheme_name="OpenID")
    plain = BearerAuth(bearer_format="JWT")
    app = FastAPI(
        title="Items", responses=flow.responses, swagger_ui_init_oauth={"usePkceWithAuthorizationCodeGrant": True}
    )

    @app.get("/items")
    async def read_items(caller: Annotated[AccessToken, Security(flow, scopes=["items:read"])]) -> None: ...

    @app.post("/items", dependencies=[Security(flow.require(any_scope("items:write", "admin")), scopes=["items:read"])])
    async def write_items() -> None: ...

    @app.get("/news", openapi_extra={"security": [{}]})
    async def news(caller: Annotated[AccessToken | None, Security(flow.optional, scopes=["items:read"])]) -> None: ...

    @app.get("/profile")
    async def profile(caller: Annotated[AccessToken, Security(oidc, scopes=["profile"])]) -> None: ...

    @app.get("/whoami")
    async def whoami(caller: Annotated[AccessToken, Depends(plain)]) -> None: ...

    @app.get("/status")
    async def status() -> None: ...

    return app


PAGES = ["/docs", "/docs/oauth2-redirect", "/openapi.json"]


class TestDocument:
    async def test_the_document_is_the_one_that_was_looked_at(self) -> None:
        reply = await get(documented(), "/openapi.json", public=PAGES)

        assert reply.json() == json.loads(SNAPSHOT.read_text())

    def test_the_document_keeps_to_openapi(self) -> None:
        document = json.loads(SNAPSHOT.read_text())

        OpenAPI.model_validate(document)
        schemes = document["components"]["securitySchemes"]
        operations = [operation for path in document["paths"].values() for operation in path.values()]
        named = {name for operation in operations for one in operation.get("security", []) for name in one}
        assert named == set(schemes) == {"Login", "OpenID", "BearerAuth"}
        assert all(response["description"] for operation in operations for response in operation["responses"].values())

    def test_the_scopes_of_a_requirement_stand_at_the_operation_and_those_of_security_too(self) -> None:
        document = documented().openapi()

        found = {path: operations.get("get", {}).get("security") for path, operations in document["paths"].items()}

        assert document["paths"]["/items"]["post"]["security"] == [{"Login": ["items:read", "items:write", "admin"]}]
        assert found == {
            "/items": [{"Login": ["items:read"]}],
            "/news": [{"Login": ["items:read"]}, {}],
            "/profile": [{"OpenID": ["profile"]}],
            "/whoami": [{"BearerAuth": []}],
            "/status": None,
        }

    @pytest.mark.parametrize(
        ("options", "scheme"),
        [
            ({}, {"type": "http", "scheme": "bearer"}),
            ({"bearer_format": "JWT"}, {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}),
            (
                {"issuer": "https://idp.example.com", "description": "Ours"},
                {
                    "type": "openIdConnect",
                    "openIdConnectUrl": "https://idp.example.com/.well-known/openid-configuration",
                    "description": "Ours",
                },
            ),
            (
                {"issuer": "http://idp:8080/realms/a/", "allow_insecure_http": True},
                {
                    "type": "openIdConnect",
                    "openIdConnectUrl": "http://idp:8080/realms/a/.well-known/openid-configuration",
                },
            ),
            (
                {"authorization_url": "https://idp.example.com/a", "token_url": "https://idp.example.com/t"},
                {
                    "type": "oauth2",
                    "flows": {
                        "authorizationCode": {
                            "authorizationUrl": "https://idp.example.com/a",
                            "tokenUrl": "https://idp.example.com/t",
                            "scopes": {},
                        }
                    },
                },
            ),
        ],
        ids=["bearer", "bearer with a format", "issuer", "issuer in a trusted network", "flow"],
    )
    def test_the_options_tell_which_scheme_it_is(self, options: dict[str, Any], scheme: dict[str, Any]) -> None:
        document = app_for(Depends(BearerAuth(**options))).openapi()

        assert document["components"]["securitySchemes"] == {"BearerAuth": scheme}

    async def test_swagger_logs_in_with_pkce_on_pages_that_the_door_leaves_open(self) -> None:
        app = documented()

        pages = [await get(app, path, public=PAGES) for path in PAGES]

        assert [page.status_code for page in pages] == [200, 200, 200]
        assert '"usePkceWithAuthorizationCodeGrant": true' in pages[0].text
        assert "oauth2RedirectUrl: window.location.origin + '/docs/oauth2-redirect'" in pages[0].text
        flow = pages[2].json()["components"]["securitySchemes"]["Login"]["flows"]["authorizationCode"]
        assert flow["scopes"] == {"items:read": "Read items", "items:write": "Write items"}


class Down:
    """Verifies nothing: it cannot be asked."""

    async def verify_token(self, token: str) -> AccessToken:
        raise VerifierUnavailable("the provider is down")


@pytest.mark.parametrize(
    ("headers", "status", "make_door"),
    [
        pytest.param([("authorization", "Bearer a b")], 400, door, id="malformed"),
        pytest.param([], 401, door, id="nobody at the door"),
        pytest.param([], 401, lambda app: door(app, optional=True), id="nobody at the dependency"),
        pytest.param([("authorization", "Bearer wrong")], 401, door, id="wrong token"),
        pytest.param(
            [("authorization", "Bearer admin")], 403, lambda app: door(app, required_scopes=["read"]), id="door's scope"
        ),
        pytest.param([("authorization", "Bearer admin")], 403, door, id="dependency's scope"),
        pytest.param([("authorization", "Bearer a")], 503, lambda app: BearerMiddleware(app, Down()), id="unavailable"),
    ],
)
async def test_responses_document_what_is_answered(
    headers: list[tuple[str, str]], status: int, make_door: Callable[[Any], Any]
) -> None:
    documented = auth.responses[status]

    async with client_for(make_door(app_for(Security(auth, scopes=["read"])))) as client:
        reply = await client.get("/", headers=headers)

    assert reply.status_code == status
    assert set(documented["headers"]) <= {name.title().replace("Www", "WWW") for name in reply.headers}
    schema = documented["content"]["application/json"]["schema"]
    assert set(reply.json()) in [set(body["required"]) for body in schema.get("anyOf", [schema])]
    assert all(isinstance(value, str) for value in reply.json().values())


def test_responses_are_a_new_dict_each_time() -> None:
    auth.responses[401]["headers"].clear()

    assert set(auth.responses) == {400, 401, 403, 503}
    assert "WWW-Authenticate" in auth.responses[401]["headers"]


FLOW = {"authorization_url": "https://idp.example.com/a", "token_url": "https://idp.example.com/t"}


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"issuer": "idp.example.com"}, ValueError, "issuer must be an https URL such as"),
        ({"issuer": "http://idp.example.com"}, ValueError, "allow_insecure_http=True"),
        ({"issuer": ""}, ValueError, "issuer is empty"),
        ({"issuer": 1}, TypeError, "issuer is a str, not int"),
        ({"issuer": "https://a.example/.well-known/openid-configuration"}, ValueError, "before /.well-known"),
        ({"issuer": "https://idp.example.com", **FLOW}, ValueError, "write one of the two"),
        ({"authorization_url": FLOW["authorization_url"]}, ValueError, "go together: write both"),
        ({"token_url": FLOW["token_url"]}, ValueError, "go together: write both"),
        ({**FLOW, "token_url": "/token"}, ValueError, "token_url must be an https URL"),
        ({**FLOW, "authorization_url": "http://idp.example.com"}, ValueError, "authorization_url must be https"),
        ({"scopes": {"read": "Read"}}, ValueError, "write authorization_url and token_url"),
        ({**FLOW, "scopes": ["read"]}, TypeError, r"scopes is a dict, not list: write \{'items:read': 'Read items'\}"),
        ({**FLOW, "scopes": {"a b": "Read"}}, ValueError, "scopes: 'a b' is not a scope"),
        ({**FLOW, "scopes": {"read": None}}, TypeError, "the description of read is a str, not NoneType"),
        ({**FLOW, "bearer_format": "JWT"}, ValueError, "bearer_format belongs to HTTP's scheme"),
        ({"issuer": "https://idp.example.com", "bearer_format": "JWT"}, ValueError, "bearer_format belongs to"),
        ({"bearer_format": ""}, ValueError, "bearer_format is empty"),
        ({"description": 1}, TypeError, "description is a str, not int"),
        ({"scheme_name": "my scheme"}, ValueError, "write 'BearerAuth'"),
        ({"scheme_name": None}, TypeError, "scheme_name is a str, not NoneType"),
        ({"allow_insecure_http": 1}, TypeError, "allow_insecure_http is True or False, not int"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(
    options: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        BearerAuth(**options)
