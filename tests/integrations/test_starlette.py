"""`requires` and `BearerBackend`: what endpoints of Starlette let in, and what they answer."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import pytest
from fakes import Clock, bearer, call, client_for, http_scope, websocket_scope
from fastapi import FastAPI
from fastapi import Request as FastAPIRequest
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, AuthenticationError, SimpleUser
from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute

from asgi_bearer import (
    AccessToken,
    BearerError,
    BearerMiddleware,
    InvalidToken,
    Reason,
    StaticTokenVerifier,
    VerifierUnavailable,
    acr,
    any_scope,
    claim,
    get_access_token,
    scopes,
)
from asgi_bearer.events import Accepted, Rejected
from asgi_bearer.integrations.starlette import BearerBackend, requires

if TYPE_CHECKING:
    from starlette.websockets import WebSocket

NOW = 1_800_000_000
TOKENS: dict[str, dict[str, Any]] = {
    "reader": {"client_id": "reader", "sub": "rita", "scopes": ["read"]},
    "writer": {"client_id": "writer", "scopes": ["read", "write"], "team": "blue"},
    "login": {"client_id": "login", "scopes": [], "auth_time": NOW},
    "bound": {"client_id": "bound", "scopes": ["read"], "cnf": {"jkt": "a thumbprint"}},
}
LACKS = 'error="insufficient_scope", error_description="The access token lacks a permission that this request needs."'
STEP_UP = (
    'Bearer realm="api", error="insufficient_user_authentication", error_description="This request needs a stronger '
    'or more recent authentication.", acr_values="gold"'
)


class Verifier:
    """Tells the tokens above apart, cannot know about "unknowable", and has a bug with "bug"."""

    def __init__(self) -> None:
        self._tokens = StaticTokenVerifier(TOKENS)

    async def verify_token(self, token: str) -> AccessToken | None:
        if token == "unknowable":
            raise VerifierUnavailable("the provider is down", 7)
        if token == "bug":
            raise KeyError(token)
        if token == "unwanted":
            return None
        return await self._tokens.verify_token(token)


def behind_door(*routes: Any, **options: Any) -> Any:
    return Starlette(
        routes=routes, middleware=[Middleware(BearerMiddleware, Verifier(), **{"optional": True, **options})]
    )


def behind_backend(*routes: Any, **options: Any) -> Any:
    backend = BearerBackend(Verifier(), **options)
    return Starlette(
        routes=routes,
        middleware=[Middleware(AuthenticationMiddleware, backend=backend, on_error=BearerBackend.on_error)],
    )


BOTH = pytest.mark.parametrize("behind", [behind_door, behind_backend])


def let_in(request: Request) -> Response:
    del request
    return JSONResponse("in")


async def get(app: Any, token: str | None = None, path: str = "/", method: str = "GET") -> Any:
    async with client_for(app) as client:
        return await client.request(method, path, headers={} if token is None else bearer(token))


class Object:
    """An endpoint that is an object with an async call."""

    async def __call__(self, request: Request) -> Response:
        return let_in(request)


class Methods(HTTPEndpoint):
    @requires("write")
    async def get(self, request: Request) -> Response:
        return let_in(request)


class SyncMethods(HTTPEndpoint):
    @requires("write")
    def get(self, request: Request) -> Response:
        return let_in(request)


def decorated(*wanted: Any) -> Route:
    @requires(*wanted)
    async def endpoint(request: Request) -> Response:
        return let_in(request)

    return Route("/", endpoint)


def decorated_sync(*wanted: Any) -> Route:
    @requires(*wanted)
    def endpoint(request: Request) -> Response:
        return let_in(request)

    return Route("/", endpoint)


def decorated_partial() -> Route:
    async def endpoint(request: Request, *, answer: str) -> Response:
        del request
        return JSONResponse(answer)

    return Route("/", requires("write")(functools.partial(endpoint, answer="in")))


def decorated_object() -> Route:
    return Route("/", requires("write")(Object()))


class TestRequires:
    @BOTH
    @pytest.mark.parametrize(
        "make",
        [
            pytest.param(lambda: decorated("write"), id="async"),
            pytest.param(lambda: decorated_sync("write"), id="sync"),
            pytest.param(lambda: Route("/", Methods), id="method"),
            pytest.param(lambda: Route("/", SyncMethods), id="sync method"),
            pytest.param(decorated_partial, id="partial"),
            pytest.param(decorated_object, id="object"),
        ],
    )
    @pytest.mark.parametrize(
        ("token", "status", "challenge"),
        [
            pytest.param(None, 401, 'Bearer realm="api"', id="nobody"),
            pytest.param("reader", 403, f'Bearer realm="api", scope="write", {LACKS}', id="lacks the scope"),
            pytest.param("writer", 200, None, id="has the scope"),
        ],
    )
    async def test_every_kind_of_endpoint_is_guarded(
        self, behind: Any, make: Any, token: str | None, status: int, challenge: str | None
    ) -> None:
        reply = await get(behind(make()), token)

        assert (reply.status_code, reply.headers.get("www-authenticate")) == (status, challenge)
        assert reply.headers.get("cache-control") == (None if status == 200 else "no-store")
        assert (reply.text == '"in"') is (status == 200)

    @BOTH
    @pytest.mark.parametrize(
        ("wanted", "token", "status", "challenge"),
        [
            pytest.param((["read", "write"],), "writer", 200, None, id="a list, all there"),
            pytest.param(
                (["read", "write"],), "reader", 403, f'Bearer realm="api", scope="read write", {LACKS}', id="a list"
            ),
            pytest.param(
                ("read", "write"), "reader", 403, f'Bearer realm="api", scope="read write", {LACKS}', id="several"
            ),
            pytest.param((any_scope("write", "read"),), "reader", 200, None, id="a requirement"),
            pytest.param(("read", claim("team", "blue")), "writer", 200, None, id="a scope and a requirement"),
            pytest.param(
                ("read", claim("team", "blue")),
                "reader",
                403,
                f'Bearer realm="api", scope="read", {LACKS}',
                id="a scope and a requirement that is not met",
            ),
            pytest.param(("read", acr("gold")), "reader", 401, STEP_UP, id="a stronger login"),
        ],
    )
    async def test_scopes_and_requirements_are_taken_together(
        self, behind: Any, wanted: Any, token: str, status: int, challenge: str | None
    ) -> None:
        reply = await get(behind(decorated(*wanted)), token)

        assert (reply.status_code, reply.headers.get("www-authenticate")) == (status, challenge)

    @BOTH
    async def test_realm_scopes_and_the_reading_of_scopes_are_the_doors(self, behind: Any) -> None:
        options = {
            "realm": "books",
            "required_scopes": ["read"],
            "scope_satisfies": lambda granted, required: required in granted or "read" in granted,
        }

        reply = await get(behind(decorated("write"), **options), "reader")
        stepped_up = await get(behind(decorated(acr("gold")), **options), "reader")

        assert reply.status_code == 200
        assert stepped_up.headers["www-authenticate"].startswith('Bearer realm="books", scope="read", error="insuff')

    @BOTH
    async def test_a_challenge_names_what_the_outer_of_two_asks_for_too(self, behind: Any) -> None:
        @requires("read")
        @requires("write")
        async def endpoint(request: Request) -> Response:
            return let_in(request)

        reader, nobody, writer = [await get(behind(Route("/", endpoint)), who) for who in ("reader", "login", "writer")]

        assert reader.headers["www-authenticate"] == f'Bearer realm="api", scope="read write", {LACKS}'
        assert nobody.headers["www-authenticate"] == f'Bearer realm="api", scope="read", {LACKS}'
        assert writer.status_code == 200

    async def test_what_was_met_at_one_door_is_not_asked_for_at_another(self) -> None:
        inner = behind_door(decorated("write"), realm="inner")

        @requires("read")
        async def endpoint(request: Request) -> Response:
            sent: list[Any] = []

            async def send(message: Any) -> None:
                sent.append(message)

            await inner(dict(request.scope), request.receive, send)
            return Response(status_code=sent[0]["status"], headers={"x-inner": str(dict(sent[0]["headers"]))})

        reply = await get(behind_door(Route("/", endpoint)), "reader")

        assert reply.status_code == 403
        assert 'realm="inner", scope="write", error' in reply.headers["x-inner"]

    async def test_a_function_that_is_handed_no_request_is_guarded_by_the_door(self) -> None:
        @requires("write")
        def shelf() -> str:
            return "in"

        async def endpoint(request: Request) -> Response:
            del request
            return JSONResponse(shelf())

        app = behind_door(Route("/", endpoint))

        assert [(await get(app, token)).status_code for token in ("reader", "writer", None)] == [403, 200, 401]

    @BOTH
    async def test_the_age_of_a_login_is_told_by_the_doors_clock(self, behind: Any) -> None:
        apps = [behind(decorated(acr(max_age=60)), clock=Clock(NOW + late)) for late in (60, 61)]

        assert [(await get(app, "login")).status_code for app in apps] == [200, 401]

    async def test_it_goes_with_fastapis_endpoints_too(self) -> None:
        app = FastAPI()

        async def endpoint(request: Any) -> str:
            del request
            return "in"

        endpoint.__annotations__["request"] = FastAPIRequest
        app.get("/")(requires("write")(endpoint))
        app.add_middleware(BearerMiddleware, verifier=Verifier())

        assert [(await get(app, token)).status_code for token in ("reader", "writer")] == [403, 200]

    async def test_an_endpoint_keeps_its_name(self) -> None:
        assert decorated("read").name == "endpoint"

    @pytest.mark.parametrize("make", [decorated, decorated_sync])
    async def test_without_a_door_nobody_gets_in(self, make: Any) -> None:
        app = Starlette(routes=[make("read")])

        with pytest.raises(RuntimeError, match="no BearerMiddleware is around this application: write app = "):
            await get(app, "reader")

    async def test_behind_another_backend_nobody_gets_in(self) -> None:
        class Everybody(AuthenticationBackend):
            async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, SimpleUser]:
                return AuthCredentials(["read"]), SimpleUser("somebody")

        app = AuthenticationMiddleware(Starlette(routes=[decorated("read")]), Everybody())

        with pytest.raises(RuntimeError, match="no BearerMiddleware"):
            await get(app, "reader")

    async def test_on_a_public_path_nobody_gets_in(self) -> None:
        reply = await get(behind_door(decorated("read"), public=["/"]), "reader")

        assert (reply.status_code, reply.headers["www-authenticate"]) == (401, 'Bearer realm="api"')

    async def test_a_handler_of_ones_own_may_write_the_body(self) -> None:
        async def write(request: Request, error: Exception) -> Response:
            assert isinstance(error, BearerError)
            return JSONResponse({"mine": str(error)}, error.status_code, error.headers)

        app = Starlette(routes=[decorated("write")], exception_handlers={BearerError: write})

        reply = await get(BearerMiddleware(app, Verifier()), "reader")

        assert reply.json() == {"mine": "403 insufficient_scope"}
        assert reply.headers["www-authenticate"] == f'Bearer realm="api", scope="write", {LACKS}'

    @pytest.mark.parametrize(
        ("wanted", "error", "sentence"),
        [
            ((), ValueError, r"requires asks for nothing: write requires\('read'\)"),
            (([],), ValueError, "scopes asks for nothing"),
            (("read write",), ValueError, "'read write' is not a scope"),
            (("read", 403), TypeError, "requires takes scopes and requirements, not int"),
            ((None,), TypeError, "not NoneType"),
            ((b"read",), TypeError, "not bytes"),
            (({"read": 1},), TypeError, "not dict"),
            (([scopes("read")],), TypeError, "each scope of scopes is a str, not _Scopes"),
            ((let_in,), TypeError, r"not function: write requires\('read'\)"),
        ],
    )
    def test_what_cannot_be_meant_is_refused_when_it_is_written(
        self, wanted: Any, error: type[Exception], sentence: str
    ) -> None:
        with pytest.raises(error, match=sentence):
            requires(*wanted)

    @pytest.mark.parametrize("endpoint", [Methods, "endpoint"])
    def test_classes_are_not_decorated(self, endpoint: Any) -> None:
        with pytest.raises(TypeError, match="requires decorates functions and methods, not classes"):
            requires("read")(endpoint)


async def knock(app: Any, token: str | None, *, extensions: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Open a websocket at /ws, and return what is sent."""
    headers = [] if token is None else [(b"authorization", f"Bearer {token}".encode())]
    scope = websocket_scope(*headers, path="/ws", query_string=b"", root_path="", extensions=extensions)
    return await call(app, scope, {"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000})


@requires("write")
async def talk(websocket: WebSocket) -> None:
    await websocket.accept()


class Talk(WebSocketEndpoint):
    @requires("write")
    async def on_connect(self, websocket: WebSocket) -> None:
        await websocket.accept()


async def accepted_before(websocket: WebSocket) -> None:
    await websocket.accept()
    await talk(websocket)


class TestRequiresOfWebsockets:
    @BOTH
    @pytest.mark.parametrize("endpoint", [talk, Talk], ids=["function", "method"])
    async def test_a_good_token_comes_in(self, behind: Any, endpoint: Any) -> None:
        sent = await knock(behind(WebSocketRoute("/ws", endpoint)), "writer", extensions=None)

        assert sent[0]["type"] == "websocket.accept"

    @BOTH
    @pytest.mark.parametrize("endpoint", [talk, Talk], ids=["function", "method"])
    @pytest.mark.parametrize(
        ("token", "refusal", "challenge"),
        [
            pytest.param(None, (401, 3000), 'Bearer realm="api"', id="nobody"),
            pytest.param("reader", (403, 3003), f'Bearer realm="api", scope="write", {LACKS}', id="lacks the scope"),
        ],
    )
    async def test_a_refusal_comes_before_it_is_accepted(
        self, behind: Any, endpoint: Any, token: str | None, refusal: tuple[int, int], challenge: str
    ) -> None:
        status, code = refusal
        app = behind(WebSocketRoute("/ws", endpoint))

        denied = await knock(app, token, extensions={"websocket.http.response": {}})
        closed = await knock(app, token, extensions={})
        closed_too = await knock(app, token, extensions=None)

        assert [message["type"] for message in denied] == [
            "websocket.http.response.start",
            "websocket.http.response.body",
        ]
        assert denied[0]["status"] == status
        headers = dict(denied[0]["headers"])
        assert (headers[b"www-authenticate"], headers[b"cache-control"]) == (challenge.encode(), b"no-store")
        assert closed == closed_too == [{"type": "websocket.close", "code": code, "reason": ""}]

    @BOTH
    async def test_one_that_was_accepted_is_closed(self, behind: Any) -> None:
        app = behind(WebSocketRoute("/ws", accepted_before))

        sent = await knock(app, "reader", extensions={"websocket.http.response": {}})

        assert [message["type"] for message in sent] == ["websocket.accept", "websocket.close"]
        assert sent[1]["code"] == 3003


def tell(request: Request) -> Response:
    token = request.auth.access_token
    facts = {
        "client_id": None if token is None else token.client_id,
        "scopes": request.auth.scopes,
        "user": [request.user.is_authenticated, request.user.identity, request.user.display_name],
        "same": request.user.access_token is token,
        "get_access_token": get_access_token(),
    }
    return JSONResponse(facts)


class TestBearerBackend:
    async def test_the_handler_gets_the_token_through_starlettes_names(self) -> None:
        reply = await get(behind_backend(Route("/", tell)), "reader")

        assert reply.json() == {
            "client_id": "reader",
            "scopes": ["read"],
            "user": [True, "rita", "rita"],
            "same": True,
            "get_access_token": None,
        }

    async def test_who_comes_without_credentials_is_nobody(self) -> None:
        reply = await get(behind_backend(Route("/", tell), required_scopes=["read"]))

        assert reply.json() == {
            "client_id": None,
            "scopes": [],
            "user": [False, "", ""],
            "same": True,
            "get_access_token": None,
        }

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    @pytest.mark.parametrize(
        ("authorization", "status"),
        [
            ("Bearer wrong", 401),
            ("Bearer unwanted", 401),
            ("Bearer bound", 401),
            ("Bearer a b", 400),
            ("Bearer writer", 403),
            ("Bearer unknowable", 503),
        ],
    )
    async def test_a_refusal_is_the_doors_byte_for_byte(self, method: str, authorization: str, status: int) -> None:
        options: dict[str, Any] = {"required_scopes": ["read", "admin"], "realm": "books", "expose_reason": True}
        scope = http_scope((b"authorization", authorization.encode()), method=method)

        expected = await call(behind_door(Route("/", tell), **options), scope)
        sent = await call(behind_backend(Route("/", tell), **options), scope)

        assert expected[0]["status"] == status
        assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
        assert (sent[0]["status"], sent[0]["headers"]) == (status, expected[0]["headers"])
        assert sent[1]["body"] == expected[1]["body"]

    async def test_checks_and_events_are_the_doors(self) -> None:
        events: list[Any] = []

        class Revoked:
            async def check(self, token: AccessToken, scope: Any) -> None:
                if token.client_id == "writer":
                    raise InvalidToken(Reason.revoked)

        app = behind_backend(Route("/", tell), checks=[Revoked()], on_event=events.append)

        statuses = [(await get(app, token)).status_code for token in ("reader", "writer")]

        assert statuses == [200, 401]
        assert [type(event) for event in events] == [Accepted, Rejected]

    async def test_a_websocket_with_a_wrong_token_is_closed(self) -> None:
        app = behind_backend(WebSocketRoute("/ws", talk))

        sent = await knock(app, "wrong", extensions={"websocket.http.response": {}})

        assert sent == [{"type": "websocket.close", "code": 1000}]

    async def test_a_bug_of_the_verifier_lets_nobody_in(self) -> None:
        with pytest.raises(KeyError):
            await get(behind_backend(Route("/", tell)), "bug")

    async def test_without_on_error_the_answer_is_starlettes_and_tells_nothing(self) -> None:
        app = AuthenticationMiddleware(Starlette(routes=[Route("/", tell)]), BearerBackend(Verifier()))

        reply = await get(app, "wrong")

        assert (reply.status_code, reply.text) == (400, "The credentials were not accepted.")

    async def test_what_another_backend_raises_is_answered_as_starlette_does(self) -> None:
        class Closed(BearerBackend):
            async def authenticate(self, conn: HTTPConnection) -> Any:
                raise AuthenticationError("closed on Sundays")

        backend = Closed(Verifier())
        app = AuthenticationMiddleware(Starlette(), backend, backend.on_error)

        reply = await get(app)

        assert (reply.status_code, reply.text) == (400, "closed on Sundays")

    async def test_nothing_of_a_caller_stays_for_the_next(self) -> None:
        # Both requests run in the same task.
        app = behind_backend(Route("/", tell))

        first = await get(app, "reader")
        second = await get(app)

        assert (first.json()["client_id"], second.json()["client_id"]) == ("reader", None)

    async def test_of_a_door_and_a_backend_the_inner_one_counts(self) -> None:
        inner_door = behind_backend(Mount("/in", behind_door(decorated("write"), realm="door")), realm="backend")
        inner_backend = behind_door(Mount("/in", behind_backend(decorated("write"), realm="backend")), realm="door")

        replies = [await get(app, "reader", "/in/") for app in (inner_door, inner_backend)]

        assert [reply.headers["www-authenticate"].split(",")[0] for reply in replies] == [
            'Bearer realm="door"',
            'Bearer realm="backend"',
        ]

    @pytest.mark.parametrize("token", ["reader", "wrong"])
    async def test_neither_credentials_nor_refusals_show_the_token(self, token: str) -> None:
        conn = HTTPConnection(http_scope((b"authorization", f"Bearer {token}".encode())))

        try:
            shown = repr(await BearerBackend(Verifier()).authenticate(conn))
        except AuthenticationError as error:
            shown = f"{error!r} {error} {error.__dict__}"

        assert ("BearerCredentials" in shown) is (token == "reader")
        assert token not in shown

    @pytest.mark.parametrize(
        ("options", "error", "sentence"),
        [
            ({"verifier": "secret"}, TypeError, "verifier is an object with async verify_token"),
            ({"required_scopes": "read"}, TypeError, "required_scopes is a sequence of scopes, not a str"),
            ({"realm": 'a "realm"'}, ValueError, "realm is printable ASCII"),
            ({"expose_reason": 1}, TypeError, "expose_reason is True or False"),
        ],
    )
    def test_options_that_cannot_be_meant_are_refused(
        self, options: dict[str, Any], error: type[Exception], sentence: str
    ) -> None:
        with pytest.raises(error, match=sentence):
            BearerBackend(**{"verifier": Verifier(), **options})
