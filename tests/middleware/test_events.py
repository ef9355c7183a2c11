"""What operators see: one event and one line for each refusal, with a reason, and never with a credential."""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING, Any

import pytest
from fakes import Echo, call, http_scope

from asgi_bearer import BearerMiddleware, InvalidToken, Reason, StaticTokenVerifier, VerifierUnavailable
from asgi_bearer.events import Accepted, Event, Rejected, Unavailable

if TYPE_CHECKING:
    from leaks import Watch

READER = "a-token-of-the-reader"
READER_ID = hashlib.sha256(READER.encode()).hexdigest()[:8]


class Raises:
    """A verifier that raises."""

    def __init__(self, failure: Exception) -> None:
        self._failure = failure

    async def verify_token(self, token: str) -> None:
        raise self._failure


@pytest.fixture(autouse=True)
def _watch_the_token(watch: Watch) -> None:
    watch.secrets.add(READER)


def static() -> StaticTokenVerifier:
    return StaticTokenVerifier({READER: {"client_id": "app", "sub": "alice", "scopes": ["read"]}})


def with_token(token: str = READER) -> dict[str, Any]:
    return http_scope((b"authorization", b"Bearer " + token.encode()))


EVENTS = [
    pytest.param(
        static(),
        with_token(),
        Accepted(token_id=READER_ID, principal_key=(None, "alice", "app")),
        None,
        id="accepted",
    ),
    pytest.param(
        static(),
        http_scope(),
        Rejected(status=401, error=None, reason=None, token_id=None),
        "refused: 401 missing token",
        id="no token",
    ),
    pytest.param(
        static(),
        http_scope((b"authorization", b"Bearer")),
        Rejected(status=400, error="invalid_request", reason=None, token_id=None),
        "refused: 400 invalid_request",
        id="malformed credentials",
    ),
    pytest.param(
        static(),
        with_token("a" * 20_000),
        Rejected(status=401, error="invalid_token", reason=Reason.too_large, token_id=None),
        "refused: 401 too_large",
        id="an endless token",
    ),
    pytest.param(
        Raises(InvalidToken(Reason.signature)),
        with_token(),
        Rejected(status=401, error="invalid_token", reason=Reason.signature, token_id=READER_ID),
        f"refused: 401 signature, token {READER_ID}",
        id="a refused token",
    ),
    pytest.param(
        Raises(VerifierUnavailable("the key set cannot be had", 7)),
        with_token(),
        Unavailable(message="the key set cannot be had", retry_after=7, token_id=READER_ID),
        f"token {READER_ID} cannot be verified: the key set cannot be had",
        id="nobody knows",
    ),
]


@pytest.mark.parametrize(("verifier", "scope", "event", "line"), EVENTS)
async def test_each_request_is_one_event_and_each_refusal_one_line(
    verifier: Any, scope: dict[str, Any], event: Event, line: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    events: list[Event] = []
    caplog.set_level(logging.INFO, "asgi_bearer")
    caplog.clear()

    await call(BearerMiddleware(Echo(), verifier, on_event=events.append), scope)

    assert events == [event]
    assert [record.message for record in caplog.records] == ([] if line is None else [line])
    assert READER not in repr(events)


async def test_a_refusal_s_line_carries_its_fields_for_structured_logs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "asgi_bearer")

    await call(BearerMiddleware(Echo(), Raises(InvalidToken(Reason.expired))), with_token())

    fields = vars(caplog.records[0])
    assert (fields["token_id"], fields["status"], fields["reason"]) == (READER_ID, 401, Reason.expired)


async def test_nobody_is_told_of_a_request_whose_credentials_are_not_looked_at() -> None:
    events: list[Event] = []

    await call(BearerMiddleware(Echo(), static(), public=["/"], on_event=events.append), with_token())
    await call(BearerMiddleware(Echo(), static(), optional=True, on_event=events.append), http_scope())

    assert events == []


@pytest.mark.parametrize(("scope", "status"), [(with_token(), 200), (http_scope(), 401)], ids=["accepted", "refused"])
async def test_a_listener_that_fails_changes_nothing_and_is_logged_without_its_text(
    scope: dict[str, Any], status: int, caplog: pytest.LogCaptureFixture
) -> None:
    def on_event(event: Event) -> None:
        message = f"it broke at {READER}"
        raise RuntimeError(message)

    sent = await call(BearerMiddleware(Echo(), static(), on_event=on_event), scope)

    assert sent[0]["status"] == status
    assert "on_event failed with RuntimeError" in caplog.text


async def test_a_bug_of_the_verifier_is_logged_by_its_kind_alone(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(LookupError):
        await call(BearerMiddleware(Echo(), Raises(LookupError(READER))), with_token())

    assert [record.message for record in caplog.records] == [
        "the verifier or a check failed with LookupError: this is a 500"
    ]
    assert caplog.records[0].exc_info is None


async def test_the_client_reads_the_reason_only_where_that_was_asked_for() -> None:
    verifier = Raises(InvalidToken(Reason.audience))

    hidden = await call(BearerMiddleware(Echo(), verifier), with_token())
    shown = await call(BearerMiddleware(Echo(), verifier, expose_reason=True), with_token())

    assert b"audience" not in repr(hidden).encode()
    challenge = dict(shown[0]["headers"])[b"www-authenticate"]
    assert challenge.endswith(b'error_description="The access token was not accepted. Reason: audience."')
    assert b"Reason: audience." in shown[1]["body"]


async def test_every_reason_gives_the_client_the_same_answer() -> None:
    answers = [await call(BearerMiddleware(Echo(), Raises(InvalidToken(reason))), with_token()) for reason in Reason]

    assert all(answer == answers[0] for answer in answers)
