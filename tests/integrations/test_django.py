"""Django's middleware and decorator: the token on the request, who is let in, and what everybody else is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import pytest
from asgiref.sync import iscoroutinefunction
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.test.utils import override_settings
from django.urls import include, path
from django.utils.decorators import method_decorator
from django.views import View
from frameworks.apps import django as site
from integrations.asked import (
    ASKED,
    CASES,
    DOOR,
    LACKS_WRITE,
    READER,
    UNMEANT,
    WRITER,
    Case,
    assert_answered,
    headers_of,
)
from starlette.testclient import TestClient

from asgi_bearer import BearerMiddleware, VerifierUnavailable, get_access_token
from asgi_bearer.integrations.django import AccessTokenMiddleware, requires

if TYPE_CHECKING:
    from collections.abc import Iterator

OURS = "asgi_bearer.integrations.django.AccessTokenMiddleware"
Mode = Literal["async", "sync"]


def sync_only(get_response: Any) -> Any:
    """Stand in the list of middleware as one that Django has to run in a thread, with all that is below it."""

    def middleware(request: HttpRequest) -> Any:
        return get_response(request)

    return middleware


def caller(request: Any, **captured: int) -> HttpResponse:
    token = request.access_token
    assert token is get_access_token()
    return HttpResponse("nobody" if token is None else f"{token.client_id}{captured or ''}")


async def caller_async(request: Any, **captured: int) -> HttpResponse:
    return caller(request, **captured)


def raising(request: Any) -> HttpResponse:
    request.access_token.require_scopes("read", "write")
    return HttpResponse("let in")


async def raising_async(request: Any) -> HttpResponse:
    return raising(request)


def unavailable(_: Any) -> HttpResponse:
    raise VerifierUnavailable("down", 7)


def broken(_: Any) -> HttpResponse:
    raise LookupError("a bug")


@method_decorator(requires("read", "write"), name="dispatch")
class Books(View):  # type: ignore[misc]
    def get(self, request: Any, **captured: int) -> HttpResponse:
        return caller(request, **captured)


@method_decorator(requires("read", "write"), name="dispatch")
class BooksAsync(View):  # type: ignore[misc]
    async def get(self, request: Any, **captured: int) -> HttpResponse:
        return caller(request, **captured)


class BooksByMethod(View):  # type: ignore[misc]
    @method_decorator(requires("read", "write"))  # type: ignore[untyped-decorator]
    def get(self, request: Any) -> HttpResponse:
        return caller(request)


class BooksByMethodAsync(View):  # type: ignore[misc]
    @method_decorator(requires("read", "write"))  # type: ignore[untyped-decorator]
    async def get(self, request: Any) -> HttpResponse:
        return caller(request)


class Plain(View):  # type: ignore[misc]
    async def get(self, request: Any) -> HttpResponse:
        return caller(request)


@method_decorator(requires("read"), name="dispatch")
class Both(View):  # type: ignore[misc]
    @method_decorator(requires("write"))  # type: ignore[untyped-decorator]
    def get(self, request: Any) -> HttpResponse:
        return caller(request)


CLASSES = ("Both", "Books", "BooksAsync", "BooksByMethod", "BooksByMethodAsync", "Plain")
urlpatterns: list[Any] = [
    *(path(f"sync{where}", requires(*asked)(caller)) for where, asked in ASKED.items()),
    *(path(f"async{where}", requires(*asked)(caller_async)) for where, asked in ASKED.items()),
    path("open", caller),
    path("open-guarded", requires("read")(caller)),
    path("raising", raising),
    path("raising-async", raising_async),
    path("unavailable", unavailable),
    path("broken", broken),
    path("whoami", caller),
    path("class/Both", Both.as_view()),
    path("class/Books", Books.as_view()),
    path("class/BooksAsync", BooksAsync.as_view()),
    path("class/BooksByMethod", BooksByMethod.as_view()),
    path("class/BooksByMethodAsync", BooksByMethodAsync.as_view()),
    path("class/Plain", requires("read", "write")(Plain.as_view())),
    path("outer/", include([path("inner/<int:number>", requires("write")(caller))])),
]


@pytest.fixture(autouse=True, params=["async", "sync"], ids=["async stack", "sync stack"])
def _stack(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run on each of Django's two stacks, with views of this module."""
    middleware = [OURS] if request.param == "async" else [f"{__name__}.sync_only", OURS]
    site.configure()
    with override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=middleware):
        yield


def client(*, door: bool = True, **options: Any) -> TestClient:
    handler: Any = ASGIHandler()
    app = BearerMiddleware(handler, **{**DOOR, "public": ["/open", "/sync/open", "/async/open"], **options})
    return TestClient(app if door else handler, raise_server_exceptions=False)


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_decorator_lets_in_who_meets_the_requirement(mode: Mode, case: Case) -> None:
    reply = client().get(f"/{mode}{case.path}", headers=headers_of(case))

    assert_answered(reply, case)
    if case.challenge is not None:
        assert reply.headers["content-type"] == "application/json"
        assert set(reply.json()) == {"error", "error_description"}


@pytest.mark.parametrize("name", CLASSES)
def test_class_based_views_are_guarded(name: str) -> None:
    where = f"/class/{name}"

    assert client().get(where).status_code == 401
    assert_answered(
        client().get(where, headers={"authorization": f"Bearer {READER}"}), Case(where, READER, 403, LACKS_WRITE)
    )
    assert client().get(where, headers={"authorization": f"Bearer {WRITER}"}).text == "writer"


def test_a_view_below_an_include_is_guarded() -> None:
    assert client().get("/outer/inner/7").status_code == 401
    assert client().get("/outer/inner/7", headers={"authorization": f"Bearer {READER}"}).status_code == 403
    assert client().get("/outer/inner/7", headers={"authorization": f"Bearer {WRITER}"}).text == "writer{'number': 7}"


@pytest.mark.parametrize(
    ("where", "token", "who"),
    [("/whoami", READER, "reader"), ("/whoami", None, "nobody"), ("/open", READER, "nobody")],
    ids=["a caller", "nobody at an optional door", "a public path"],
)
def test_the_request_holds_the_token(where: str, token: str | None, who: str) -> None:
    assert client().get(where, headers=headers_of(Case(where, token))).text == who


@pytest.mark.parametrize("where", ["/raising", "/raising-async"])
def test_an_error_that_leaves_a_view_gets_the_doors_answer(where: str) -> None:
    refused = client().get(where, headers={"authorization": f"Bearer {READER}"})
    let_in = client().get(where, headers={"authorization": f"Bearer {WRITER}"})

    assert_answered(refused, Case(where, READER, 403, LACKS_WRITE))
    assert refused.json()["error"] == "insufficient_scope"
    assert let_in.text == "let in"


def test_what_cannot_be_known_is_a_503() -> None:
    reply = client().get("/unavailable")

    assert reply.status_code == 503
    assert reply.headers["retry-after"] == "7"
    assert "www-authenticate" not in reply.headers
    assert "down" not in reply.text


def test_other_errors_are_left_to_django() -> None:
    assert client().get("/broken", headers={"authorization": f"Bearer {READER}"}).status_code == 500


@pytest.mark.parametrize("where", ["/whoami", "/sync/scopes", "/async/scopes"])
def test_without_a_door_nobody_is_let_in(where: str, caplog: pytest.LogCaptureFixture) -> None:
    reply = client(door=False).get(where, headers={"authorization": f"Bearer {WRITER}"})

    assert reply.status_code == 500
    assert "www-authenticate" not in reply.headers
    assert "write application = BearerMiddleware(get_asgi_application(), verifier)" in caplog.text


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_without_middleware_and_door_the_decorator_lets_nobody_in(mode: Mode) -> None:
    with override_settings(MIDDLEWARE=[]):
        guarded = client().get(f"/{mode}/scopes", headers={"authorization": f"Bearer {READER}"})
        bare = client(door=False).get(f"/{mode}/scopes", headers={"authorization": f"Bearer {WRITER}"})

    assert_answered(guarded, Case("/scopes", READER, 403, LACKS_WRITE))
    assert bare.status_code == 500


def test_without_a_door_the_decorator_says_what_to_write() -> None:
    with pytest.raises(RuntimeError, match=r"write app = BearerMiddleware\(app, verifier\)"):
        requires("read")(caller)(RequestFactory().get("/"))


@pytest.mark.parametrize(("asked", "kind", "sentence"), UNMEANT.values(), ids=UNMEANT)
def test_what_cannot_be_meant_is_refused_at_once(asked: tuple[Any, ...], kind: type[Exception], sentence: str) -> None:
    with pytest.raises(kind, match=sentence):
        requires(*asked)


@pytest.mark.parametrize("target", [Books, "/path"], ids=["a class", "no function"])
def test_what_cannot_be_decorated_is_refused_at_once(target: Any) -> None:
    with pytest.raises(TypeError, match=r"@method_decorator\(requires\('read'\), name='dispatch'\)"):
        requires("read")(target)


def test_what_django_wrote_onto_a_view_is_kept() -> None:
    def view(request: Any) -> HttpResponse:
        return caller(request)

    view.csrf_exempt = True  # type: ignore[attr-defined]

    assert requires("read")(view).csrf_exempt is True  # type: ignore[attr-defined]
    assert requires("read")(view).__name__ == "view"


def test_the_middleware_is_async_where_django_is() -> None:
    assert iscoroutinefunction(AccessTokenMiddleware(caller_async))
    assert not iscoroutinefunction(AccessTokenMiddleware(caller))


def test_the_user_of_the_request_is_left_alone() -> None:
    class Request:
        user = "somebody of Django's"

    request = Request()

    async def app(*_: Any) -> None:
        AccessTokenMiddleware(lambda _: None)(request)

    _run(BearerMiddleware(app, **DOOR))

    assert request.user == "somebody of Django's"
    assert request.access_token is None  # type: ignore[attr-defined]


def _run(app: Any) -> None:
    async def handler(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    assert TestClient(handler).get("/").status_code == 204
