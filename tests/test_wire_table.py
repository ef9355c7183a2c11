"""The wire table: what the door answers to whom, byte by byte, by HTTP and by websocket (RFC 6750, RFC 9110)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from fakes import Echo, call, http_scope, websocket_scope

from asgi_bearer import BearerMiddleware, InvalidToken, Reason, StaticTokenVerifier, VerifierUnavailable

if TYPE_CHECKING:
    from leaks import Watch

READER = "a-token-of-the-reader"
WRITER = "a-token-of-the-writer"
UNKNOWABLE = "a-token-that-cannot-be-verified"
EXPLOSIVE = "a-token-that-finds-a-bug"
EXPIRED = "a-token-that-has-expired"


class Verifier:
    """A strategy that answers in every way there is."""

    required_scopes = ("profile",)

    def __init__(self) -> None:
        entries = {
            READER: {"client_id": "app", "scopes": ["read", "profile"]},
            WRITER: {"client_id": "app", "scopes": ["write", "profile"]},
        }
        self._known = StaticTokenVerifier(entries)

    async def verify_token(self, token: str) -> Any:
        if token == UNKNOWABLE:
            message = "the key set cannot be had"
            raise VerifierUnavailable(message, retry_after=7.2)
        if token == EXPLOSIVE:
            message = f"a bug at {token}"
            raise RuntimeError(message)
        if token == EXPIRED:
            raise InvalidToken(Reason.expired)
        return await self._known.verify_token(token)


SCOPES = b'Bearer realm="api", scope="read profile"'
NO_CREDENTIALS = SCOPES
INVALID_REQUEST = (
    SCOPES + b', error="invalid_request", '
    b'error_description="The credentials are malformed: send one Authorization header with one Bearer token."'
)
INVALID_TOKEN = SCOPES + b', error="invalid_token", error_description="The access token was not accepted."'
INSUFFICIENT_SCOPE = (
    SCOPES + b', error="insufficient_scope", '
    b'error_description="The access token lacks a permission that this request needs."'
)


class Row(NamedTuple):
    """A situation, and its answer: the close code is for websockets that cannot be answered by HTTP."""

    id: str
    values: tuple[bytes, ...]
    status: int
    challenge: bytes | None
    error: str
    close: int


ROWS = [
    Row("W1 no Authorization", (), 401, NO_CREDENTIALS, "unauthorized", 3000),
    Row("W2 Basic", (b"Basic YTpi",), 401, NO_CREDENTIALS, "unauthorized", 3000),
    Row("W2 Negotiate", (b"Negotiate YTpi",), 401, NO_CREDENTIALS, "unauthorized", 3000),
    Row("W2 an unknown scheme", (b"Bearerish abc",), 401, NO_CREDENTIALS, "unauthorized", 3000),
    Row("W4 the scheme alone", (b"Bearer",), 400, INVALID_REQUEST, "invalid_request", 1008),
    Row("W4 the scheme and a space", (b"Bearer ",), 400, INVALID_REQUEST, "invalid_request", 1008),
    Row("W4 no b64token", (b"Bearer a{b}",), 400, INVALID_REQUEST, "invalid_request", 1008),
    Row("W4 padding within", (b"Bearer a=b",), 400, INVALID_REQUEST, "invalid_request", 1008),
    Row("W4 two tokens", (b"Bearer abc def",), 400, INVALID_REQUEST, "invalid_request", 1008),
    Row("W4 two credentials in one line", (b"Bearer abc, Bearer def",), 400, INVALID_REQUEST, "invalid_request", 1008),
    Row("W4 a tab between", (b"Bearer\tabc",), 400, INVALID_REQUEST, "invalid_request", 1008),
    Row("W4 obs-text", (b"Bearer abc\xe9",), 400, INVALID_REQUEST, "invalid_request", 1008),
    Row("W4 a NUL", (b"Bearer abc\x00",), 400, INVALID_REQUEST, "invalid_request", 1008),
    Row("W4 auth-params", (b'Bearer realm="x"',), 400, INVALID_REQUEST, "invalid_request", 1008),
    Row("W5 two lines", (b"Bearer abc", b"Bearer def"), 400, INVALID_REQUEST, "invalid_request", 1008),
    Row("W5 one line twice", (b"Bearer " + READER.encode(),) * 2, 400, INVALID_REQUEST, "invalid_request", 1008),
    Row("W5 two schemes", (b"Basic YTpi", b"Bearer abc"), 400, INVALID_REQUEST, "invalid_request", 1008),
    Row("W6 an unknown token", (b"Bearer abc",), 401, INVALID_TOKEN, "invalid_token", 3000),
    Row("W6 an expired token", (b"Bearer " + EXPIRED.encode(),), 401, INVALID_TOKEN, "invalid_token", 3000),
    Row("W6 an endless token", (b"Bearer " + b"a" * 16_385,), 401, INVALID_TOKEN, "invalid_token", 3000),
    Row("W7 a missing scope", (b"Bearer " + WRITER.encode(),), 403, INSUFFICIENT_SCOPE, "insufficient_scope", 3003),
    Row("W14 nobody knows", (b"Bearer " + UNKNOWABLE.encode(),), 503, None, "temporarily_unavailable", 1013),
]
DESCRIPTIONS = {
    "unauthorized": "Authentication is required.",
    "invalid_request": "The credentials are malformed: send one Authorization header with one Bearer token.",
    "invalid_token": "The access token was not accepted.",
    "insufficient_scope": "The access token lacks a permission that this request needs.",
    "temporarily_unavailable": "Access tokens cannot be verified at the moment; try again later.",
}
KINDS = ["GET", "HEAD", "websocket with denial response", "websocket"]


@pytest.fixture(autouse=True)
def _watch_the_tokens(watch: Watch) -> None:
    watch.secrets |= {READER, WRITER, UNKNOWABLE, EXPLOSIVE, EXPIRED}


def guarded(app: Any) -> BearerMiddleware:
    return BearerMiddleware(app, Verifier(), required_scopes=["read"])


def scope_of(kind: str, values: tuple[bytes, ...]) -> dict[str, Any]:
    headers = [(b"authorization", value) for value in values]
    if kind in {"GET", "HEAD"}:
        return http_scope(*headers, method=kind)
    scope = websocket_scope(*headers)
    return {**scope, "extensions": {"websocket.http.response": {}}} if "denial" in kind else scope


def refusal(kind: str, row: Row) -> list[dict[str, Any]]:
    if kind == "websocket":
        return [{"type": "websocket.close", "code": row.close}]
    body = json.dumps({"error": row.error, "error_description": DESCRIPTIONS[row.error]}).encode()
    first = (b"retry-after", b"8") if row.challenge is None else (b"www-authenticate", row.challenge)
    headers = [
        first,
        (b"cache-control", b"no-store"),
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    prefix = "http" if kind in {"GET", "HEAD"} else "websocket.http"
    return [
        {"type": f"{prefix}.response.start", "status": row.status, "headers": headers},
        {"type": f"{prefix}.response.body", "body": b"" if kind == "HEAD" else body},
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
async def test_who_is_refused_gets_the_answer_of_the_table_and_never_reaches_the_app(row: Row, kind: str) -> None:
    app = Echo()
    incoming = [{"type": "websocket.connect"}] if "websocket" in kind else []

    sent = await call(guarded(app), scope_of(kind, row.values), *incoming)

    assert sent == refusal(kind, row)
    assert app.scopes == []


@pytest.mark.parametrize("kind", KINDS)
async def test_w15_a_bug_of_the_verifier_is_raised_for_the_server_and_nobody_comes_in(kind: str) -> None:
    app = Echo()

    with pytest.raises(RuntimeError, match="a bug at"):
        await call(guarded(app), scope_of(kind, (b"Bearer " + EXPLOSIVE.encode(),)), {"type": "websocket.connect"})

    assert app.scopes == []


async def test_w16_a_good_token_gets_the_answer_of_the_app_untouched() -> None:
    scope = scope_of("GET", (b"Bearer " + READER.encode(),))

    sent = await call(guarded(Echo()), scope)

    body = b'{"client_id": "app", "scopes": ["read", "profile"], "sub": null}'
    headers = [(b"content-type", b"application/json"), (b"content-length", b"64")]
    assert sent == [
        {"type": "http.response.start", "status": 200, "headers": headers},
        {"type": "http.response.body", "body": body},
    ]


async def test_w17_a_preflight_reaches_the_app_without_credentials() -> None:
    scope = http_scope(
        (b"origin", b"https://page.example"), (b"access-control-request-method", b"GET"), method="OPTIONS"
    )

    sent = await call(guarded(Echo()), scope)

    assert (sent[0]["status"], sent[1]["body"]) == (200, b"null")


@pytest.mark.parametrize("kind", ["websocket with denial response", "websocket"])
async def test_w18_w19_a_websocket_with_a_good_token_is_the_apps_from_its_first_message_on(kind: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert await receive() == {"type": "websocket.connect"}
        await send({"type": "websocket.accept"})

    sent = await call(guarded(app), scope_of(kind, (b"Bearer " + READER.encode(),)), {"type": "websocket.connect"})

    assert sent == [{"type": "websocket.accept"}]


async def test_a_websocket_that_is_gone_before_it_is_refused_gets_no_answer() -> None:
    sent = await call(guarded(Echo()), scope_of("websocket", ()), {"type": "websocket.disconnect", "code": 1006})

    assert sent == []
