"""What holds of introspection whatever happens: many requests, floods, outages, revocations (I1 to I8)."""

from __future__ import annotations

import gc
import secrets
import threading
from typing import TYPE_CHECKING, Any, cast

import anyio
import httpx2
import pytest
from asking import ACTIVE, API, NOW, SECRET, TOKEN, Endpoint, Remembering, opened, verifier
from fakes import Echo, call, http_scope

from asgi_bearer import BearerMiddleware, InvalidToken, Reason, SignedResponse, VerifierUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from leaks import Watch

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore:IntrospectionTokenVerifier has no server_url")]


@pytest.fixture(autouse=True)
def _watch_the_credentials(watch: Watch) -> None:
    watch.secrets |= {TOKEN, SECRET}


async def settled() -> None:
    """Let attempts that nobody waits for come to their end."""
    await anyio.wait_all_tasks_blocked()


async def unavailable(it: Remembering, token: str = TOKEN) -> VerifierUnavailable:
    with pytest.raises(VerifierUnavailable) as caught:
        await it.verifier.verify_token(token)
    return caught.value


# I1, one call for many


async def test_i1_requests_that_share_a_call_are_each_held_to_their_own_doors_scopes() -> None:
    endpoint = Endpoint()
    endpoint.gate = anyio.Event()
    asking = verifier(endpoint)
    doors = [BearerMiddleware(Echo(), asking, required_scopes=scopes) for scopes in (["read"], ["delete"], [])]
    statuses: list[int] = []

    async def one(door: BearerMiddleware) -> None:
        sent = await call(door, http_scope((b"authorization", f"Bearer {TOKEN}".encode())))
        statuses.append(sent[0]["status"])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(opened, endpoint)
        for door in doors * 10:
            tasks.start_soon(one, door)

    assert len(endpoint.asked) == 1
    assert (statuses.count(200), statuses.count(403)) == (20, 10)


async def test_i1_waiters_may_all_leave_and_the_answer_is_there_for_the_next() -> None:
    it = Remembering()
    it.endpoint.gate = anyio.Event()

    for _ in range(3):
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(it.verifier.verify_token, TOKEN)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
    it.endpoint.gate.set()

    assert (await it.verifier.verify_token(TOKEN)).subject == "alice"
    assert len(it.endpoint.asked) == 1


# I2, when a revocation is seen


async def test_i2_a_revoked_token_is_refused_after_cache_ttl_at_the_latest() -> None:
    it = Remembering()
    await it.asks()
    it.endpoint.answer = {"active": False}

    it.advance(29.9)
    assert not await it.asks()
    it.advance(0.1)

    for _ in range(3):
        assert await reason(it) == Reason.inactive


async def reason(it: Remembering, token: str = TOKEN) -> Reason | None:
    with pytest.raises(InvalidToken) as caught:
        await it.verifier.verify_token(token)
    return caught.value.reason


async def test_i2_a_token_in_use_is_asked_about_ahead_of_time_and_nobody_waits_for_it() -> None:
    it = Remembering()
    for _ in range(3):
        await it.asks()
    it.advance(24)
    it.endpoint.gate = anyio.Event()

    for _ in range(3):  # one question for all of them
        assert (await it.verifier.verify_token(TOKEN)).subject == "alice"
    await settled()
    assert len(it.endpoint.asked) == 2
    it.endpoint.gate.set()
    await settled()
    it.advance(29.9)
    await it.verifier.verify_token(TOKEN)

    assert len(it.endpoint.asked) == 2


async def test_i2_what_is_asked_ahead_of_time_ends_a_revoked_token_at_once() -> None:
    it = Remembering()
    for _ in range(3):
        await it.asks()
    it.endpoint.answer = {"active": False}
    it.advance(24)

    await it.verifier.verify_token(TOKEN)
    await settled()

    assert await reason(it) == Reason.inactive
    assert len(it.endpoint.asked) == 2


@pytest.mark.parametrize(("hits", "asked"), [(0, 1), (1, 2)])
async def test_a_token_used_once_is_not_asked_about_ahead_of_time(hits: int, asked: int) -> None:
    it = Remembering()
    for _ in range(1 + hits):
        await it.asks()
    it.advance(24)

    await it.verifier.verify_token(TOKEN)
    await settled()

    assert len(it.endpoint.asked) == asked


async def test_a_question_ahead_of_time_that_fails_is_put_again_after_a_second_and_harms_nobody() -> None:
    it = Remembering()
    for _ in range(3):
        await it.asks()
    it.endpoint.status = 500
    it.advance(24)

    for _ in range(3):
        await it.verifier.verify_token(TOKEN)
        await settled()
    assert len(it.endpoint.asked) == 2
    it.advance(1)
    await it.verifier.verify_token(TOKEN)
    await settled()

    assert len(it.endpoint.asked) == 3


async def test_a_question_ahead_of_time_is_not_put_where_it_would_have_to_wait_for_a_closed_lane() -> None:
    it = Remembering()
    for _ in range(3):
        await it.asks()
    await it.asks("another")
    it.endpoint.status = 500
    it.advance(24)
    for _ in range(8):  # by the fifth the lane is closed
        await it.verifier.verify_token(TOKEN)
        await settled()
        it.advance(1)
        if it.monotonic.now >= 30:
            break

    assert len(it.endpoint.asked) <= 2 + 5
    assert (await unavailable(it)).message.startswith("introspection: ")


async def test_forgetting_a_token_makes_the_next_request_ask() -> None:
    it = Remembering()
    await it.asks()
    await it.asks("a-token-of-nobody")

    it.verifier.forget(TOKEN)
    it.verifier.forget("a-token-of-nobody")
    it.verifier.forget("a-token-never-seen")

    assert await it.asks()
    assert await it.asks("a-token-of-nobody")


async def test_forgetting_ends_a_failure_that_is_remembered() -> None:
    it = Remembering()
    it.endpoint.status = 500
    await unavailable(it)
    it.endpoint.status = 200

    it.verifier.forget(TOKEN)

    assert (await it.verifier.verify_token(TOKEN)).subject == "alice"


@pytest.mark.parametrize("old", [ACTIVE, {"active": False}], ids=["active", "inactive"])
async def test_an_answer_on_its_way_is_for_nobody_who_comes_after_the_token_was_forgotten(old: dict[str, Any]) -> None:
    it = Remembering()
    new = {"active": False} if old["active"] else ACTIVE
    it.endpoint.answer = lambda asked: old if asked is it.endpoint.asked[0] else new
    it.endpoint.gate = anyio.Event()
    outcomes: dict[str, str] = {}

    async def ask(who: str) -> None:
        try:
            outcomes[who] = str((await it.verifier.verify_token(TOKEN)).subject)
        except InvalidToken as error:
            outcomes[who] = str(error.reason)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, "before")
        await settled()
        it.verifier.forget(TOKEN)
        tasks.start_soon(ask, "after")
        await settled()
        it.endpoint.gate.set()

    told = {"active": "alice", "inactive": "inactive"}
    first, second = ("active", "inactive") if old["active"] else ("inactive", "active")
    assert outcomes == {"before": told[first], "after": told[second]}
    await ask("later")
    assert outcomes["later"] == told[second]


class Overtaken(Remembering):
    """A verifier whose first question is held up, so that a second one about the same token overtakes it."""

    def __init__(self, first: Any, second: Any, **options: Any) -> None:
        super().__init__(**options)
        self.first, self.second = first, second
        self.endpoint.answer = lambda asked: self.first if asked is self.endpoint.asked[0] else self.second
        self.outcomes: list[str] = []

    async def ask(self, token: str = TOKEN) -> None:
        try:
            self.outcomes.append(str((await self.verifier.verify_token(token)).subject))
        except InvalidToken as error:
            self.outcomes.append(str(error.reason))
        except VerifierUnavailable:
            self.outcomes.append("unavailable")

    async def go(self, meanwhile: Callable[[], Any]) -> None:
        """Ask, do `meanwhile`, ask again and have the answer, and only then let the first answer come."""
        gate = self.endpoint.gate = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.ask)
            await settled()
            self.endpoint.gate = None
            meanwhile()
            await self.ask()
            gate.set()


@pytest.mark.parametrize("first", [ACTIVE, {"active": False}, b"<html>"], ids=["active", "inactive", "failed"])
@pytest.mark.parametrize("second", [ACTIVE, {"active": False}], ids=["active", "inactive"])
@pytest.mark.parametrize("meanwhile", ["forgotten", "a second passes"])
async def test_an_older_answer_never_takes_the_place_of_a_newer_one(first: Any, second: Any, meanwhile: str) -> None:
    it = Overtaken(first, second, cache_ttl=1)

    await it.go((lambda: it.verifier.forget(TOKEN)) if meanwhile == "forgotten" else (lambda: it.advance(1)))
    await it.ask()

    assert len(it.endpoint.asked) == 2
    assert it.outcomes[0] == it.outcomes[2] == ("alice" if second["active"] else "inactive")


async def test_a_question_that_was_forgotten_is_not_remembered_though_nobody_asked_again() -> None:
    it = Remembering()
    it.endpoint.gate = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(it.asks)
        await settled()
        it.verifier.forget(TOKEN)
        it.endpoint.gate.set()

    assert await it.asks()


async def test_forgetting_one_token_leaves_the_questions_about_others_alone() -> None:
    it = Remembering()
    it.endpoint.gate = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(it.asks)
        await settled()
        it.verifier.forget("another")
        tasks.start_soon(it.asks)
        await settled()
        it.endpoint.gate.set()

    assert not await it.asks()
    assert len(it.endpoint.asked) == 1


async def test_a_request_joins_no_question_that_is_older_than_answers_may_be() -> None:
    it = Remembering(cache_ttl=2)
    gate = it.endpoint.gate = anyio.Event()
    async with anyio.create_task_group() as tasks:
        for seconds in (0, 1.9, 0.1):
            it.advance(seconds)
            tasks.start_soon(it.asks)
            await settled()
        gate.set()

    assert len(it.endpoint.asked) == 2


# I3, what a flood can do


async def test_i3_a_flood_of_new_tokens_neither_delays_nor_evicts_known_ones_and_is_bounded() -> None:
    it = Remembering(cache_size=4)
    await it.asks()
    it.advance(31)  # known, and to be asked about again
    gate = it.endpoint.gate = anyio.Event()
    statuses: list[str] = []

    async def flood() -> None:
        with pytest.raises((InvalidToken, VerifierUnavailable)) as caught:
            await it.verifier.verify_token(secrets.token_urlsafe(16))
        statuses.append(caught.typename)

    async with anyio.create_task_group() as tasks:
        for _ in range(1000):
            tasks.start_soon(flood)
        await settled()
        assert len(it.endpoint.asked) == 1 + 16
        assert len(statuses) == 1000 - 16 - 256

        it.endpoint.gate = None  # the known token's question is answered at once
        with anyio.fail_after(5):
            assert await it.asks()
        gate.set()

    assert statuses.count("VerifierUnavailable") >= 1000 - 16 - 256
    assert not await it.asks()


async def test_i3_no_more_are_asked_at_once_than_both_lanes_have_places() -> None:
    it = Remembering(lambda asked: ACTIVE, known_at_once=3, new_at_once=2)
    known = [f"known-{number}" for number in range(10)]
    for token in known:
        await it.asks(token)
    it.advance(31)
    it.endpoint.gate = anyio.Event()
    tokens = iter([*known, *(f"new-{number}" for number in range(10))])

    async with anyio.create_task_group() as tasks:
        for token in tokens:
            tasks.start_soon(it.verifier.verify_token, token)
        await settled()
        under_way = len(it.endpoint.asked) - 10
        it.endpoint.gate.set()

    assert under_way == 3 + 2


async def test_i3_one_bad_token_sent_a_hundred_times_is_asked_about_once() -> None:
    it = Remembering()

    assert [await it.asks("a-token-of-nobody") for _ in range(100)].count(True) == 1


@pytest.mark.parametrize(
    "token",
    ["", "=", "two words", "a,b", 'a"b', "a\r\nb", "caf\u00e9", "\ud800", "a=b", "{}", "a" * 16_385],
    ids=lambda token: ascii(token)[:20],
)
async def test_in12_what_cannot_be_a_token_is_not_asked_about(token: str) -> None:
    it = Remembering(lambda asked: ACTIVE)

    assert await reason(it, token) == (Reason.too_large if len(token) > 100 else Reason.malformed)
    assert it.endpoint.asked == []


async def test_what_accept_refuses_is_not_asked_about() -> None:
    it = Remembering(lambda asked: ACTIVE, accept=lambda token: token.startswith("at_"))

    assert await reason(it, "garbage") == Reason.malformed
    assert it.endpoint.asked == []
    assert await it.asks("at_1")


async def test_an_accept_that_fails_is_a_bug_and_lets_nobody_in() -> None:
    def accept(_token: str) -> bool:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await Remembering(accept=accept).verifier.verify_token(TOKEN)


# I4, what an outage can do


async def test_i4_an_endpoint_that_is_down_refuses_nobody_and_is_asked_less_than_once_a_second() -> None:
    it = Remembering()
    it.endpoint.status = 500
    statuses = set()

    for number in range(6000):
        it.advance(0.01)
        error = await unavailable(it, f"token-{number}")
        statuses.add(error.status_code)
        assert 1 <= error.retry_after <= 30

    assert statuses == {503}
    assert len(it.endpoint.asked) <= 5 + 60


async def test_i4_when_the_endpoint_is_back_it_is_asked_after_the_pause() -> None:
    it = Remembering()
    it.endpoint.status = 500
    for number in range(5):
        await unavailable(it, f"token-{number}")
    it.endpoint.status = 200

    assert (await unavailable(it)).message == "introspection: it has failed several times in a row"
    it.advance(2)

    assert (await it.verifier.verify_token(TOKEN)).subject == "alice"
    assert await it.asks("another")


@pytest.mark.parametrize("status", [200, 302, 400, 403, 404, 406, 413, 414, 418])
async def test_i4_what_an_endpoint_says_of_one_token_does_not_close_it_to_others(status: int) -> None:
    it = Remembering(lambda asked: ACTIVE if asked.token == TOKEN else {"active": "an odd token"})
    it.endpoint.status = status
    for number in range(10):
        await unavailable(it, f"token-{number}")
    it.endpoint.status = 200

    assert (await it.verifier.verify_token(TOKEN)).subject == "alice"


@pytest.mark.parametrize("status", [401, 429, 500, 502, 503, 504])
async def test_i4_an_endpoint_that_answers_nobody_is_left_alone(status: int) -> None:
    it = Remembering()
    it.endpoint.status = status

    for number in range(20):
        await unavailable(it, f"token-{number}")

    assert len(it.endpoint.asked) == 5


async def test_i4_one_token_at_which_the_endpoint_fails_cannot_keep_it_closed_alone() -> None:
    it = Remembering()
    it.endpoint.status = 500
    for number in range(5):
        await unavailable(it, f"token-{number}")

    it.advance(2)
    await unavailable(it, "poison")
    it.endpoint.status = 200

    assert (await it.verifier.verify_token(TOKEN)).subject == "alice"


async def test_i4_garbage_that_makes_the_endpoint_fail_does_not_close_it_to_known_tokens() -> None:
    it = Remembering()
    await it.asks()
    it.endpoint.status = 500
    for number in range(10):
        await unavailable(it, f"token-{number}")
    it.endpoint.status = 200
    it.advance(30.5)

    it.endpoint.answer = ACTIVE
    assert (await it.verifier.verify_token(TOKEN)).subject == "alice"


async def test_i4_by_default_nothing_outlives_its_time_in_an_outage() -> None:
    it = Remembering()
    await it.asks()
    it.endpoint.status = 500
    it.advance(30)

    assert (await unavailable(it)).message == "introspection: the answer is 500"


async def test_stale_if_error_lets_an_answer_serve_so_much_longer_in_an_outage() -> None:
    it = Remembering(stale_if_error=60)
    await it.asks()
    it.endpoint.status = 500

    for _ in range(9):
        it.advance(9.9)
        assert (await it.verifier.verify_token(TOKEN)).subject == "alice"
    it.advance(0.9)

    await unavailable(it)


async def test_stale_if_error_is_for_errors_alone() -> None:
    it = Remembering(stale_if_error=60)
    await it.asks()
    it.endpoint.answer = {"active": False}
    it.advance(30)

    assert await reason(it) == Reason.inactive
    it.endpoint.status = 500
    it.advance(5)

    await unavailable(it)


async def test_stale_if_error_never_outlives_exp() -> None:
    it = Remembering({**ACTIVE, "exp": NOW + 40}, stale_if_error=60, leeway=0)
    await it.asks()
    it.endpoint.status = 500

    it.advance(39)
    await it.verifier.verify_token(TOKEN)
    it.advance(1)

    assert await reason(it) == Reason.expired


async def test_stale_if_error_goes_with_cache_ttl_0() -> None:
    it = Remembering(stale_if_error=10, cache_ttl=0)
    assert [await it.asks(), await it.asks()] == [True, True]
    it.endpoint.status = 500

    it.advance(9)
    assert (await it.verifier.verify_token(TOKEN)).subject == "alice"
    it.advance(1)

    await unavailable(it)


async def test_with_cache_ttl_0_a_failure_is_not_remembered_either() -> None:
    it = Remembering(cache_ttl=0)
    it.endpoint.status = 500
    await unavailable(it)
    it.endpoint.status = 200

    assert (await it.verifier.verify_token(TOKEN)).subject == "alice"


async def test_a_failure_answers_the_same_token_for_a_second_with_the_same_words() -> None:
    it = Remembering()
    it.endpoint.status, it.endpoint.headers = 503, {"retry-after": "7"}

    errors = [await unavailable(it) for _ in range(3)]

    assert {(error.message, error.retry_after) for error in errors} == {("introspection: the answer is 503", 7)}
    assert len({id(error) for error in errors}) == 3
    assert len(it.endpoint.asked) == 1


# I5, two verifiers


@pytest.mark.parametrize("options", [{"server_url": API}, {"client_id": "rs2"}, {"audience": "books"}], ids=str)
async def test_i5_verifiers_share_neither_verdicts_nor_calls(options: dict[str, Any]) -> None:
    endpoint = Endpoint({**ACTIVE, "aud": [API, "books"]})
    endpoint.gate = anyio.Event()
    verifiers = [verifier(endpoint), verifier(endpoint, **options)]

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(opened, endpoint)
        for one in verifiers:
            tasks.start_soon(one.verify_token, TOKEN)
    for one in verifiers:
        await one.verify_token(TOKEN)

    assert len(endpoint.asked) == 2


# I6, nothing kept of a token


@pytest.mark.parametrize("fate", ["active", "inactive", "failed", "refused"])
async def test_i6_nothing_that_lives_on_holds_the_token(fate: str) -> None:
    token = "".join(["the-token-", secrets.token_urlsafe(24)])
    answers = {"active": ACTIVE, "inactive": {"active": False}, "failed": b"", "refused": {**ACTIVE, "exp": 1}}
    it = Remembering(lambda asked: answers[fate])

    for _ in range(2):
        with pytest.raises((InvalidToken, VerifierUnavailable)) if fate != "active" else _nothing():
            await it.verifier.verify_token(token)
    it.endpoint.asked.clear()
    await settled()
    gc.collect()

    held = [thing for thing in gc.get_objects() if _holds(thing, token)]
    assert [type(thing) for thing in held if thing is not locals() and not _is_of_this_test(thing)] == []


class _nothing:  # noqa: N801  # reads like a function
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def _holds(thing: object, token: str) -> bool:
    texts: list[Any] = []
    # By type(): isinstance() asks the object, and a lazy one of another package then begins to work.
    if issubclass(type(thing), dict):
        members = cast("dict[Any, Any]", thing)
        texts = [*dict.keys(members), *dict.values(members)]
    elif type(thing) in {list, tuple, set, frozenset}:
        texts = list(cast("list[Any]", thing))
    return any(
        (issubclass(type(text), str) and token in text) or (issubclass(type(text), bytes) and token.encode() in text)
        for text in texts
    )


def _is_of_this_test(thing: object) -> bool:
    return type(thing) is dict and "fate" in thing


# I7 and I8, what is remembered is checked, and cannot be changed


async def test_i7_a_token_that_ends_while_it_is_remembered_is_refused_at_exp_plus_leeway() -> None:
    it = Remembering({**ACTIVE, "exp": NOW + 5}, leeway=3)
    await it.asks()

    it.advance(7.9)
    assert not await it.asks()
    it.advance(0.1)

    assert await reason(it) == Reason.expired
    assert len(it.endpoint.asked) == 1


async def test_i8_what_one_handler_does_to_its_token_no_other_sees() -> None:
    it = Remembering({**ACTIVE, "groups": [{"name": "a"}]})
    token = await it.verifier.verify_token(TOKEN)
    copy = dict(token.claims)
    copy["sub"] = "mallory"
    for claims in (cast("dict[str, Any]", token.claims), token.claims["groups"][0]):
        with pytest.raises(TypeError):
            claims.update(name="b")

    again = await it.verifier.verify_token(TOKEN)

    assert again.subject == "alice"
    assert again.claims["groups"][0]["name"] == "a"


# Event loops and threads


def test_one_verifier_serves_event_loops_in_several_threads_at_once() -> None:
    endpoint = Endpoint(lambda asked: ACTIVE if asked.token.startswith("good") else {"active": False})
    asking = verifier(endpoint, required_scopes=["read"])
    wrong: list[object] = []

    async def work(seed: int) -> None:
        for number in range(50):
            token = f"{'good' if number % 2 else 'bad'}-{seed}-{number % 10}"
            try:
                verified = await asking.verify_token(token)
            except InvalidToken:
                verified = None
            if (verified is not None) != token.startswith("good"):
                wrong.append(token)
            if number % 7 == 0:
                asking.forget(token)

    def run(seed: int, backend: str) -> None:
        try:
            anyio.run(work, seed, backend=backend)
        except BaseException as error:  # noqa: BLE001  # whatever it is, the test fails
            wrong.append(error)

    threads = [threading.Thread(target=run, args=(seed % 2, ("asyncio", "trio")[seed % 2])) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []


# Options


@pytest.mark.parametrize(
    ("options", "kind", "sentence"),
    [
        ({"stale_if_error": 61}, ValueError, "stale_if_error is a number of seconds, from 0 to 60, not 61"),
        ({"stale_if_error": None}, TypeError, "stale_if_error is a number of seconds, not NoneType"),
        ({"accept": "at_"}, TypeError, "accept is a function, not str"),
        ({"accept": unavailable}, TypeError, "accept is a plain function: write def, not async def"),
        ({"accept": Endpoint()}, TypeError, "accept is a plain function: write def, not async def"),
        ({"clock": unavailable}, TypeError, "clock is a plain function: write def, not async def"),
        ({"server_url": "*"}, ValueError, "server_url is compared character by character, and '.' is no audience"),
        ({"server_url": f"{API} "}, ValueError, "server_url is compared character by character"),
        ({"server_url": [API]}, TypeError, "server_url is a str, not list"),
        ({"issuer": "https://idp.example\n"}, ValueError, "issuer is compared character by character"),
        ({"issuer": "\udcff"}, ValueError, "issuer is no text"),
        ({"transport": httpx2.AsyncHTTPTransport}, TypeError, "such as httpx2.AsyncHTTPTransport\\(\\), not a class"),
        ({"client_secret": "secret\n"}, ValueError, "client_secret has a line break .* with .strip\\(\\)"),
        ({"response": SignedResponse}, TypeError, "write response=SignedResponse\\(...\\)"),
        ({"known_at_once": 0}, ValueError, "known_at_once is 1 or more, not 0"),
        ({"new_at_once": 1.5}, TypeError, "new_at_once is a whole number, not float"),
        ({"token_type_hint": ""}, ValueError, "token_type_hint is empty"),
        ({"token_type_hint": 1}, TypeError, "token_type_hint is a str, not int"),
    ],
    ids=repr,
)
def test_what_cannot_be_meant_is_said_at_construction(
    options: dict[str, Any], kind: type[Exception], sentence: str
) -> None:
    with pytest.raises(kind, match=sentence):
        verifier(Endpoint(), **options)
