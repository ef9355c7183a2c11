"""What every application behind a door answers, wherever it runs: one table of requests, one of websockets.

The applications are those of `apps/`, each behind the door of `apps/common.py`; `{good}` and the like stand for tokens.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar

# The year 2100: a token outlives every run of the tests, and the handler is to show just this.
EXP = 4102444800

ALL = ("starlette", "fastapi", "quart", "litestar", "django", "bare")
# They answer an HTTPException of Starlette, and so the errors of this package; Quart and Django by the integrations.
KNOW_OUR_ERRORS = ("starlette", "fastapi", "quart", "litestar", "django")
HAVE_REQUEST_AUTH = ("starlette", "fastapi", "litestar")
HAVE_WEBSOCKETS = ("starlette", "fastapi", "quart", "litestar", "bare")
# Their ways to guard a handler are in `asgi_bearer.integrations`.
HAVE_GUARDS = ("starlette", "fastapi", "quart", "litestar", "django")
HAVE_WEBSOCKET_GUARDS = ("starlette", "fastapi", "quart", "litestar")
HAVE_BACKGROUND_TASKS = ("starlette", "fastapi", "quart", "litestar")


class Place(NamedTuple):
    """Where a request goes: an application, and what runs it."""

    host: str
    app: str


class Reply(NamedTuple):
    """An answer over HTTP. The names of the headers are in lower case."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for found, value in self.headers if found == name]


class Client(Protocol):
    """Calls the applications, in process or over sockets."""

    def request(
        self, method: str, path: str, headers: Sequence[tuple[str, str]] = (), content: bytes = b""
    ) -> Reply: ...

    def talk(self, path: str, headers: Sequence[tuple[str, str]], text: str) -> tuple[str, str]:
        """Open a websocket; return what came first, and what came as an answer to `text`."""
        ...

    def knock(self, path: str, headers: Sequence[tuple[str, str]]) -> Reply:
        """Open a websocket that is refused; return the HTTP response it was refused with."""
        ...


class Refusal(NamedTuple):
    """An answer of the door."""

    status: int
    challenge: str
    error: str
    description: str


_BARE = 'Bearer realm="frameworks", scope="read"'
_NOT_ACCEPTED = "The access token was not accepted."
_LACKS = "The access token lacks a permission that this request needs."
_MALFORMED = "The credentials are malformed: send one Authorization header with one Bearer token."

NOBODY = Refusal(401, _BARE, "unauthorized", "Authentication is required.")
UNREADABLE = Refusal(
    400, f'{_BARE}, error="invalid_request", error_description="{_MALFORMED}"', "invalid_request", _MALFORMED
)
NOT_ACCEPTED = Refusal(
    401, f'{_BARE}, error="invalid_token", error_description="{_NOT_ACCEPTED}"', "invalid_token", _NOT_ACCEPTED
)
LACKS_READ = Refusal(
    403, f'{_BARE}, error="insufficient_scope", error_description="{_LACKS}"', "insufficient_scope", _LACKS
)
# The challenge when a handler asks for more: everything that the request needs, at once.
LACKS_SENSITIVE = (
    'Bearer realm="frameworks", scope="read data:read_sensitive", '
    f'error="insufficient_scope", error_description="{_LACKS}"'
)


def caller(*scopes: str) -> dict[str, Any]:
    return {"client_id": "app", "scopes": list(scopes), "expires_at": "2100-01-01T00:00:00+00:00"}


def told_twice(who: dict[str, Any] | None) -> dict[str, Any]:
    return {"scope_auth": who, "get_access_token": who}


READER = caller("read")
SENSITIVE_READER = caller("read", "data:read_sensitive")


class Passing(NamedTuple):
    """A request that comes to the application, and what the application answers. `answer` None: not looked at."""

    name: str
    path: str
    authorization: str | None = "Bearer {good}"
    answer: Any = None
    status: int = 200
    challenge: str | None = None
    method: str = "GET"
    content: bytes = b""
    apps: Sequence[str] = ALL


PASSING = [
    Passing("good token", "/whoami", answer=told_twice(READER)),
    Passing("good token, sync handler in a thread", "/sync", answer=told_twice(READER)),
    Passing("scheme in capitals", "/whoami", "BEARER {good}", told_twice(READER)),
    Passing("body is left to the app", "/echo", answer={"a": 1}, method="POST", content=b'{"a": 1}'),
    Passing("public path, no token", "/health", None, told_twice(None)),
    Passing("public path, bad token", "/health", "Bearer {forged}", told_twice(None)),
    # Litestar routes it to "/health", and has said so in the scope when the door looks.
    Passing("public path as the router reads it", "/health/", None, told_twice(None), apps=("litestar",)),
    Passing("handler's scope is there", "/sensitive", "Bearer {sensitive}", told_twice(SENSITIVE_READER)),
    Passing("handler's scope is missing", "/sensitive", status=403, challenge=LACKS_SENSITIVE, apps=KNOW_OUR_ERRORS),
    Passing("an error that leaves the app is a 500", "/sensitive", status=500, apps=("bare",)),
    Passing(
        "the framework's own names",
        "/own",
        answer={"auth": READER, "is_authenticated": True, "display_name": "Ada", "identity": "ada"},
        apps=HAVE_REQUEST_AUTH,
    ),
    Passing("@requires of Starlette, scope is there", "/requires/read", answer=told_twice(READER), apps=("starlette",)),
    Passing("@requires of Starlette, scope is missing", "/requires/admin", status=403, apps=("starlette",)),
    Passing("guard, scope is there", "/guarded", "Bearer {sensitive}", told_twice(SENSITIVE_READER), apps=HAVE_GUARDS),
    Passing("guard, scope is missing", "/guarded", status=403, challenge=LACKS_SENSITIVE, apps=HAVE_GUARDS),
    Passing(
        "guard in a thread, scope is there",
        "/guarded/sync",
        "Bearer {sensitive}",
        told_twice(SENSITIVE_READER),
        apps=HAVE_GUARDS,
    ),
    Passing(
        "guard in a thread, scope is missing", "/guarded/sync", status=403, challenge=LACKS_SENSITIVE, apps=HAVE_GUARDS
    ),
    Passing("guard on a public path", "/health/guarded", status=401, challenge=_BARE, apps=HAVE_GUARDS),
]


class Refused(NamedTuple):
    """A request that never comes to the application, and what the door answers."""

    name: str
    authorization: Sequence[str]
    refusal: Refusal
    path: str = "/whoami"
    apps: Sequence[str] = ALL


REFUSED = [
    Refused("no token", (), NOBODY),
    Refused("another scheme", ("Basic YWxhZGRpbjpvcGVuc2VzYW1l",), NOBODY),
    Refused("token in the query", (), NOBODY, path="/whoami?access_token={good}"),
    Refused("opaque token", ("Bearer opaque",), NOT_ACCEPTED),
    Refused("signed by someone else", ("Bearer {forged}",), NOT_ACCEPTED),
    Refused("expired", ("Bearer {expired}",), NOT_ACCEPTED),
    Refused("for another audience", ("Bearer {elsewhere}",), NOT_ACCEPTED),
    Refused("missing scope", ("Bearer {scopeless}",), LACKS_READ),
    Refused("two tokens in one line", ("Bearer {good} {good}",), UNREADABLE),
    Refused("two lines", ("Bearer {good}", "Bearer {good}"), UNREADABLE),
    Refused("almost a public path", (), NOBODY, path="/health/", apps=tuple(app for app in ALL if app != "litestar")),
    Refused("a public path's name in the query", (), NOBODY, path="/whoami?/health"),
]

REFUSED_WEBSOCKETS = [
    Refused("no token", (), NOBODY, "/ws"),
    Refused("bad token", ("Bearer {forged}",), NOT_ACCEPTED, "/ws"),
    Refused("missing scope", ("Bearer {scopeless}",), LACKS_READ, "/ws"),
    Refused("malformed", ("Bearer {good} {good}",), UNREADABLE, "/ws"),
]


class ForApps(NamedTuple):
    """A row for a test that has one case only."""

    name: str
    apps: Sequence[str]


Test = TypeVar("Test", bound=Callable[..., None])


def over(table: Sequence[Any]) -> Callable[[Test], Test]:
    """Run the test for every row, at every place whose application the row names (`conftest.py` does so)."""

    def mark(test: Test) -> Test:
        test.table = table  # type: ignore[attr-defined]
        return test

    return mark


class Behaviour:
    """The suite. Who inherits says where it runs, and has the fixture `client` for a place."""

    places: ClassVar[Sequence[Place]]

    @over(PASSING)
    def test_what_is_let_in_reaches_the_handler(
        self, client: Client, place: Place, row: Passing, tokens: Mapping[str, str]
    ) -> None:
        headers = [] if row.authorization is None else [("authorization", row.authorization.format_map(tokens))]

        reply = client.request(row.method, f"/{place.app}{row.path}", headers, row.content)

        assert reply.status == row.status
        assert reply.all("www-authenticate") == ([] if row.challenge is None else [row.challenge])
        assert reply.all("cache-control") == ([] if row.challenge is None else ["no-store"])
        if row.answer is not None:
            assert json.loads(reply.body) == row.answer

    @over(REFUSED)
    def test_what_is_refused_never_reaches_the_app(
        self, client: Client, place: Place, row: Refused, tokens: Mapping[str, str]
    ) -> None:
        before = arrivals(client, place)

        reply = client.request("GET", f"/{place.app}{row.path.format_map(tokens)}", _lines(row, tokens))

        _assert_refused(reply, row.refusal)
        assert json.loads(reply.body) == {"error": row.refusal.error, "error_description": row.refusal.description}
        assert arrivals(client, place) == before

    @over([ForApps("", ALL)])
    def test_head_is_refused_with_the_same_headers_and_no_body(self, client: Client, place: Place) -> None:
        get, head = (client.request(method, f"/{place.app}/whoami") for method in ("GET", "HEAD"))

        _assert_refused(head, NOBODY)
        assert head.body == b""
        assert head.all("content-length") == get.all("content-length") == [str(len(get.body))]

    @over(REFUSED_WEBSOCKETS)
    def test_a_refused_websocket_gets_the_same_answer_and_never_reaches_the_app(
        self, client: Client, place: Place, row: Refused, tokens: Mapping[str, str]
    ) -> None:
        before = arrivals(client, place)

        reply = client.knock(f"/{place.app}{row.path}", _lines(row, tokens))

        _assert_refused(reply, row.refusal)
        assert json.loads(reply.body) == {"error": row.refusal.error, "error_description": row.refusal.description}
        assert arrivals(client, place) == before

    @over([ForApps("", HAVE_WEBSOCKETS)])
    def test_a_websocket_with_a_good_token_talks_to_the_app(
        self, client: Client, place: Place, tokens: Mapping[str, str]
    ) -> None:
        headers = [("authorization", f"Bearer {tokens['good']}")]

        first, second = client.talk(f"/{place.app}/ws", headers, "hello")

        assert json.loads(first) == told_twice(READER)
        assert second == "hello"

    @over([ForApps("", HAVE_WEBSOCKET_GUARDS)])
    def test_a_websocket_that_a_guard_refuses_gets_its_answer_before_it_is_accepted(
        self, client: Client, place: Place, tokens: Mapping[str, str]
    ) -> None:
        reply = client.knock(f"/{place.app}/ws/guarded", [("authorization", f"Bearer {tokens['good']}")])

        assert reply.status == 403
        if place == Place("granian", "quart"):
            return  # Granian takes the body of a refusal in one message only, and Quart sends it in two.
        assert reply.all("www-authenticate") == [LACKS_SENSITIVE]
        assert reply.all("cache-control") == ["no-store"]

    @over([ForApps("", HAVE_BACKGROUND_TASKS)])
    def test_a_background_task_sees_the_caller_that_started_it(
        self, client: Client, place: Place, tokens: Mapping[str, str]
    ) -> None:
        starter = [("authorization", f"Bearer {tokens['sensitive']}")]
        reader = [("authorization", f"Bearer {tokens['good']}")]

        started = client.request("POST", f"/{place.app}/background", starter)
        seen = client.request("GET", f"/{place.app}/background", reader)

        assert started.status == 200
        assert json.loads(seen.body) == SENSITIVE_READER


def arrivals(client: Client, place: Place) -> list[str]:
    """Return what has come through the door of the application so far."""
    notes: list[str] = json.loads(client.request("GET", "/arrivals").body)[place.app]
    return notes


def _lines(row: Refused, tokens: Mapping[str, str]) -> list[tuple[str, str]]:
    return [("authorization", line.format_map(tokens)) for line in row.authorization]


def _assert_refused(reply: Reply, refusal: Refusal) -> None:
    assert reply.status == refusal.status
    assert reply.all("www-authenticate") == [refusal.challenge]
    assert reply.all("cache-control") == ["no-store"]
    assert reply.all("content-type") == ["application/json"]
