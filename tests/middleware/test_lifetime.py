"""Streams and websockets that outlive their token: when they end, and how the client is told (LL1 to LL3)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from fakes import Clock, Echo, call, http_scope, websocket_scope

from asgi_bearer import (
    AccessToken,
    BearerMiddleware,
    InvalidToken,
    Reason,
    VerifierUnavailable,
    get_access_token,
    scopes,
)
from asgi_bearer.events import Accepted, Rejected
from asgi_bearer.lifetime import Term, ended_in_time

if TYPE_CHECKING:
    from collections.abc import Callable

    from leaks import Watch

pytestmark = pytest.mark.anyio

NOW = 1_800_000_000
TOKEN = "a-token-of-alice"
BEARER = (b"authorization", f"Bearer {TOKEN}".encode())
CONNECT = {"type": "websocket.connect"}
EVENTS = [(b"Content-Type", b"text/event-stream; charset=utf-8")]


@pytest.fixture(autouse=True)
def _watch_the_token(watch: Watch) -> None:
    watch.secrets |= {TOKEN}


class Verifier:
    """Says what it is told to, and how often it was asked."""

    def __init__(self, end: float | None = NOW) -> None:
        self.end = end
        self.failure: Exception | None = None
        self.asked = 0

    async def verify_token(self, token: str) -> AccessToken:
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        end = None if self.end is None else datetime.fromtimestamp(self.end, UTC)
        return AccessToken(token=token, client_id="app", expires_at=end, scopes=["read"])


class Time:
    """Both clocks of a term, and its sleep: nobody waits."""

    def __init__(self) -> None:
        self.wall, self.monotonic = Clock(NOW), Clock(0)
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        await anyio.lowlevel.checkpoint()
        self.slept.append(seconds)
        self.wall.advance(seconds)
        self.monotonic.advance(seconds)

    def term(self, end: float | None, every: float | None = None, is_still_good: Any = None) -> Term:
        return Term(
            end=end,
            clock=self.wall,
            every=every,
            is_still_good=is_still_good,
            sleep=self.sleep,
            monotonic=self.monotonic,
        )


def good_for(looks: int, seen: list[float], time: Time) -> Callable[[], Any]:
    async def is_still_good() -> bool:
        seen.append(time.monotonic.now)
        return len(seen) <= looks

    return is_still_good


async def test_a_term_ends_when_the_token_does() -> None:
    time = Time()

    await time.term(NOW + 100).run()

    assert time.slept == [100]


async def test_a_term_that_is_over_ends_at_once() -> None:
    time = Time()

    await time.term(NOW - 5).run()

    assert time.slept == [0]


async def test_ll3_a_far_end_is_waited_for_in_parts() -> None:
    time = Time()

    await time.term(NOW + 3 * 3600 + 1).run()

    assert time.slept == [3600, 3600, 3600, 1]


async def test_a_wall_clock_that_is_set_back_is_heeded() -> None:
    time = Time()
    sleep = time.sleep

    async def set_back(seconds: float) -> None:
        await sleep(seconds)
        if len(time.slept) == 1:
            time.wall.advance(-40)

    term = time.term(NOW + 100)
    await Term(end=term.end, clock=time.wall, every=None, is_still_good=term.is_still_good, sleep=set_back).run()

    assert time.slept == [100, 40]


async def test_ll2_a_token_is_looked_at_again_and_again_until_it_is_good_no_longer() -> None:
    time, seen = Time(), list[float]()

    await time.term(None, 30, good_for(3, seen, time)).run()

    assert seen == [30, 60, 90, 120]


async def test_ll2_it_ends_when_the_token_does_though_it_was_good_at_every_look() -> None:
    time, seen = Time(), list[float]()

    await time.term(NOW + 100, 30, good_for(99, seen, time)).run()

    assert seen == [30, 60, 90]
    assert sum(time.slept) == 100


# The door


class Streaming:
    """An application that sends what it is told to, and then goes on until it is ended, or returns."""

    def __init__(self, *messages: dict[str, Any], then: Any = None) -> None:
        self.messages = messages
        self.then = then or anyio.sleep_forever
        self.callers: list[AccessToken | None] = []
        self.ended_by: str | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            for message in self.messages:
                await send(message)
            self.callers.append(get_access_token())
            await self.then()
            self.ended_by = "itself"
        except anyio.get_cancelled_exc_class():
            self.ended_by = "the door"
            raise


def start(*headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http.response.start", "status": 200, "headers": list(headers)}


def body(content: bytes = b"a", *, more: bool = True) -> dict[str, Any]:
    return {"type": "http.response.body", "body": content, "more_body": more}


ACCEPT = {"type": "websocket.accept"}
SENT = {"type": "websocket.send", "text": "a"}
ENDED = {"type": "websocket.close", "code": 3000, "reason": "the token has ended"}


def door(app: Any, verifier: Verifier | None = None, **options: Any) -> BearerMiddleware:
    return BearerMiddleware(app, verifier or Verifier(), **{"close_at_expiry": True, "clock": Clock(NOW), **options})


async def send_all(app: Any, scope: dict[str, Any]) -> list[dict[str, Any]]:
    with anyio.fail_after(5):
        return await call(app, scope, CONNECT)


async def test_ll1_a_websocket_is_closed_with_3000() -> None:
    app = Streaming(ACCEPT, SENT)

    sent = await send_all(door(app), websocket_scope(BEARER))

    assert sent == [ACCEPT, SENT, ENDED]
    assert app.ended_by == "the door"
    assert [caller is not None for caller in app.callers] == [True]


async def test_ll1_a_stream_of_events_comes_to_its_end() -> None:
    sent = await send_all(door(Streaming(start(*EVENTS), body())), http_scope(BEARER))

    assert sent == [start(*EVENTS), body(), body(b"", more=False)]


async def test_ll1_a_stream_of_events_that_waits_for_its_first_one_comes_to_its_end_too() -> None:
    sent = await send_all(door(Streaming(start(*EVENTS))), http_scope(BEARER))

    assert sent == [start(*EVENTS), body(b"", more=False)]


async def test_ll1_another_answer_of_unknown_length_is_broken_off_so_that_its_client_can_tell() -> None:
    app = Streaming(start((b"content-type", b"application/zip")), body())

    sent = await send_all(door(app), http_scope(BEARER))

    assert sent == list(app.messages)
    assert app.ended_by == "the door"


async def returns() -> None:
    """Come to an end."""
    await anyio.wait_all_tasks_blocked()


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param((start(), body(more=False)), id="an answer at once"),
        pytest.param((start((b"Content-Length", b"2")), body(), body(more=False)), id="of known length"),
        pytest.param((start(), {"type": "http.response.body"}), id="an empty one"),
        pytest.param((), id="none yet"),
        pytest.param((start(),), id="the start of one"),
    ],
)
async def test_what_is_no_stream_is_not_ended(messages: tuple[dict[str, Any], ...]) -> None:
    app = Streaming(*messages, then=returns)

    sent = await send_all(door(app), http_scope(BEARER))

    assert sent == list(messages)
    assert app.ended_by == "itself"


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param(({"type": "websocket.close", "code": 1000},), id="closed at once"),
        pytest.param((ACCEPT, {"type": "websocket.close", "code": 1000}), id="accepted and closed"),
        pytest.param(
            ({"type": "websocket.http.response.start", "status": 403}, {"type": "websocket.http.response.body"}),
            id="refused by the application",
        ),
    ],
)
async def test_a_websocket_that_the_application_has_closed_is_not_closed_again(
    messages: tuple[dict[str, Any], ...],
) -> None:
    sent = await send_all(door(Streaming(*messages, then=returns)), websocket_scope(BEARER))

    assert sent == list(messages)


async def test_a_stream_that_came_to_its_end_while_its_token_did_is_not_ended_twice() -> None:
    async def last() -> None:
        await anyio.wait_all_tasks_blocked()

    app = Streaming(start(*EVENTS), body(), body(more=False), then=last)

    assert await send_all(door(app), http_scope(BEARER)) == list(app.messages)


@pytest.mark.parametrize("end", [None, NOW + 1e9])
async def test_a_stream_goes_on_while_its_token_does(end: float | None) -> None:
    app = Streaming(start(*EVENTS), body(), then=returns)

    sent = await send_all(door(app, Verifier(end)), http_scope(BEARER))

    assert sent == list(app.messages)
    assert app.ended_by == "itself"


@pytest.mark.parametrize("options", [{"close_at_expiry": False}, {"public": ["/"]}, {"optional": True}])
async def test_where_it_was_not_asked_for_or_nobody_came_nothing_is_ended(options: dict[str, Any]) -> None:
    app = Streaming(start(*EVENTS), body(), then=returns)
    headers = () if "optional" in options else (BEARER,)

    await send_all(door(app, **options), http_scope(*headers))

    assert app.ended_by == "itself"


async def test_what_the_application_raises_passes_untouched() -> None:
    error = ValueError("its own")

    async def fails() -> None:
        raise error

    with pytest.raises(ValueError, match="its own") as caught:
        await send_all(door(Streaming(start(*EVENTS), body(), then=fails)), http_scope(BEARER))
    assert caught.value is error


async def test_an_application_that_answers_its_end_with_an_error_has_it_raised_and_the_client_is_told() -> None:
    async def turns_it() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            raise ValueError

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return CONNECT

    with pytest.raises(ValueError):  # noqa: PT011  # it says nothing
        await door(Streaming(ACCEPT, then=turns_it))(websocket_scope(BEARER), receive, send)
    assert sent == [ACCEPT, ENDED]


async def test_a_client_that_has_gone_by_then_is_no_error() -> None:
    async def send(message: Any) -> None:
        if message["type"] == "websocket.close":
            raise OSError

    async def receive() -> Any:
        return CONNECT

    app = Streaming(ACCEPT)
    with anyio.fail_after(5):
        await door(app)(websocket_scope(BEARER), receive, send)
    assert app.ended_by == "the door"


async def test_a_client_that_does_not_read_gets_no_endless_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asgi_bearer.lifetime._LAST_WORD", 0.05)

    async def send(message: Any) -> None:
        if message["type"] == "websocket.close":
            await anyio.sleep_forever()

    async def receive() -> Any:
        return CONNECT

    with anyio.fail_after(5):
        await door(Streaming(ACCEPT))(websocket_scope(BEARER), receive, send)


async def test_who_is_cancelled_from_outside_is_cancelled() -> None:
    app, verifier = Streaming(ACCEPT), Verifier(None)
    with anyio.move_on_after(0.01) as scope:
        await call(door(app, verifier), websocket_scope(BEARER), CONNECT)

    assert scope.cancelled_caught
    assert app.ended_by == "the door"


async def test_ll1_work_that_follows_a_finished_stream_is_the_applications_own() -> None:
    app = Streaming(start(*EVENTS), body(), body(more=False), then=lambda: anyio.sleep(0.05))

    assert await send_all(door(app), http_scope(BEARER)) == list(app.messages)
    assert app.ended_by == "itself"


@pytest.mark.parametrize("kind", ["websocket", "http"])
async def test_ll1_what_a_client_left_is_cleaned_up_in_peace_and_gets_no_last_word(kind: str) -> None:
    done: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        assert (await receive())["type"] == f"{kind}.disconnect"
        for message in [ACCEPT] if kind == "websocket" else [start(*EVENTS), body()]:
            await send(message)
        await anyio.sleep(0.05)
        done.append("cleaned up")

    scope = websocket_scope(BEARER) if kind == "websocket" else http_scope(BEARER)
    with anyio.fail_after(5):
        sent = await call(door(app), scope, {"type": f"{kind}.connect"}, {"type": f"{kind}.disconnect"})

    assert done == ["cleaned up"]
    assert sent in ([ACCEPT], [start(*EVENTS), body()])


# Looking again


async def test_ll2_a_verifier_that_hangs_keeps_nothing_open_for_longer_than_its_token() -> None:
    time = Time()

    async def is_still_good() -> bool:
        time.wall.advance(0.97)
        await anyio.sleep_forever()
        return True

    with anyio.fail_after(5):
        await time.term(NOW + 31, 30, is_still_good).run()

    assert time.wall.now >= NOW + 31


async def term_of(guarded: BearerMiddleware, monkeypatch: pytest.MonkeyPatch) -> Term:
    """Return what the door sets for a connection that comes in."""
    found: list[Term] = []

    def keep(app: Any, term: Term) -> Any:
        found.append(term)
        return app

    monkeypatch.setattr("asgi_bearer.middleware.ended_in_time", keep)
    await call(guarded, http_scope(BEARER, path="/a"))
    (term,) = found
    return term


@pytest.mark.parametrize(
    ("failure", "goes_on"),
    [
        (None, True),
        (InvalidToken(Reason.revoked), False),
        (VerifierUnavailable("down"), True),
        (RuntimeError(TOKEN), False),
    ],
    ids=repr,
)
async def test_ll2_a_look_asks_the_verifier_again(
    failure: Exception | None, goes_on: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    verifier, events = Verifier(), list[Any]()
    guarded = door(Echo(), verifier, close_at_expiry=False, recheck_every=30, on_event=events.append)
    term = await term_of(guarded, monkeypatch)
    verifier.failure = failure

    assert (term.end, term.every) == (None, 30)
    assert await term.is_still_good() is goes_on

    assert verifier.asked == 2
    assert [type(event) for event in events if isinstance(event, Accepted | Rejected)] == [
        Accepted,
        *([Rejected] if isinstance(failure, InvalidToken) else []),
    ]


async def test_ll2_a_look_asks_for_all_that_the_door_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    class Revocable:
        is_revoked = False

        async def check(self, token: AccessToken, scope: Any) -> None:
            assert scope["path"] == "/a"
            if self.is_revoked:
                raise InvalidToken(Reason.revoked)

    check = Revocable()
    guarded = door(Echo(), checks=[check], recheck_every=30, rules={"/a": scopes("read")})
    term = await term_of(guarded, monkeypatch)

    assert await term.is_still_good()
    check.is_revoked = True
    assert not await term.is_still_good()


async def test_ll2_a_websocket_whose_token_is_good_no_longer_is_closed() -> None:
    async def is_still_good() -> bool:
        return False

    time = Time()
    app = ended_in_time(Streaming(ACCEPT), time.term(None, 30, is_still_good))

    assert await send_all(app, websocket_scope()) == [ACCEPT, ENDED]


@pytest.mark.parametrize(
    ("options", "kind", "sentence"),
    [
        ({"close_at_expiry": 1}, TypeError, "close_at_expiry is True or False, not int"),
        ({"recheck_every": 0}, ValueError, "recheck_every is a number of seconds, 1 or more, not 0"),
        ({"recheck_every": "30"}, TypeError, "recheck_every is a number of seconds, not str"),
    ],
    ids=repr,
)
def test_what_cannot_be_meant_is_said_at_construction(options: Any, kind: type[Exception], sentence: str) -> None:
    with pytest.raises(kind, match=sentence):
        door(Echo(), **options)
