"""The door at the start and the end of the application: what the verifier may do there, and what it must not break."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from fakes import call

from asgi_bearer import BearerMiddleware, VerifierUnavailable, get_access_token

STARTUP, SHUTDOWN = {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}


class Verifier:
    """Notes what it is told to do, beside what the application does."""

    def __init__(self, journal: list[str], failure: Exception | None = None) -> None:
        self._journal = journal
        self._failure = failure

    async def verify_token(self, token: str) -> None:
        return None

    async def prefetch(self) -> None:
        self._journal.append("prefetch")
        if self._failure is not None:
            raise self._failure

    async def aclose(self) -> None:
        self._journal.append("aclose")
        if self._failure is not None:
            raise self._failure


class Application:
    """Takes part in the lifespan protocol, and notes it; `end` is what it says at the end."""

    def __init__(self, journal: list[str], end: str = "lifespan.shutdown.complete") -> None:
        self._journal = journal
        self._end = end
        self.scope: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scope = scope
        await receive()
        self._journal.append("startup")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._journal.append("shutdown")
        await send({"type": self._end})


@pytest.mark.parametrize("end", ["lifespan.shutdown.complete", "lifespan.shutdown.failed"])
async def test_the_verifier_fetches_before_the_app_starts_and_closes_after_it_has_ended(end: str) -> None:
    journal: list[str] = []
    app = Application(journal, end)
    scope = {"type": "lifespan", "state": {}}

    sent = await call(BearerMiddleware(app, Verifier(journal)), scope, STARTUP, SHUTDOWN)

    assert journal == ["prefetch", "startup", "shutdown", "aclose"]
    assert [message["type"] for message in sent] == ["lifespan.startup.complete", end]
    assert app.scope is scope
    assert scope == {"type": "lifespan", "state": {}}


@pytest.mark.parametrize(
    ("failure", "logged"),
    [
        pytest.param(VerifierUnavailable("the key set cannot be had"), "failed: the key set cannot be had", id="503"),
        pytest.param(RuntimeError("it shows its-own-secret"), "failed with RuntimeError", id="a bug"),
    ],
)
async def test_a_verifier_that_fails_there_is_logged_without_its_text_and_the_app_goes_on(
    failure: Exception, logged: str, caplog: pytest.LogCaptureFixture
) -> None:
    journal: list[str] = []
    caplog.set_level(logging.WARNING, "asgi_bearer")

    sent = await call(
        BearerMiddleware(Application(journal), Verifier(journal, failure)), {"type": "lifespan"}, STARTUP, SHUTDOWN
    )

    assert journal == ["prefetch", "startup", "shutdown", "aclose"]
    assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert [record.message for record in caplog.records] == [
        f"the verifier's prefetch {logged}",
        f"the verifier's aclose {logged}",
    ]
    assert "its-own-secret" not in caplog.text


FAILURES = [
    pytest.param(
        VerifierUnavailable("the key set cannot be had"),
        "the verifier's prefetch failed: the key set cannot be had",
        id="503",
    ),
    pytest.param(RuntimeError("its-own-secret"), "the verifier's prefetch failed with RuntimeError", id="a bug"),
]


@pytest.mark.parametrize(("failure", "message"), FAILURES)
async def test_where_the_keys_are_required_the_start_fails_without_them_and_the_app_never_hears_of_it(
    failure: Exception, message: str
) -> None:
    journal: list[str] = []
    app = Application(journal)

    door = BearerMiddleware(app, Verifier(journal, failure), prefetch="require")
    sent = await call(door, {"type": "lifespan"}, STARTUP)

    assert sent == [{"type": "lifespan.startup.failed", "message": message}]
    assert (journal, app.scope) == (["prefetch", "aclose"], None)


async def test_where_the_keys_are_required_and_there_the_app_starts() -> None:
    journal: list[str] = []
    door = BearerMiddleware(Application(journal), Verifier(journal), prefetch="require")

    sent = await call(door, {"type": "lifespan"}, STARTUP, SHUTDOWN)

    assert journal == ["prefetch", "startup", "shutdown", "aclose"]
    assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_with_prefetch_off_nothing_is_fetched_at_the_start() -> None:
    journal: list[str] = []
    door = BearerMiddleware(Application(journal), Verifier(journal), prefetch="off")

    await call(door, {"type": "lifespan"}, STARTUP, SHUTDOWN)

    assert journal == ["startup", "shutdown", "aclose"]


async def test_the_app_receives_its_start_as_the_server_sent_it() -> None:
    received = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        received.extend([await receive(), await receive()])

    await call(BearerMiddleware(app, Verifier([])), {"type": "lifespan"}, STARTUP, SHUTDOWN)

    assert received[0] is STARTUP
    assert received[1] is SHUTDOWN


async def test_a_verifier_without_a_start_and_an_end_is_left_alone() -> None:
    class Bare:
        async def verify_token(self, token: str) -> None:
            return None

    journal: list[str] = []

    await call(BearerMiddleware(Application(journal), Bare()), {"type": "lifespan"}, STARTUP, SHUTDOWN)

    assert journal == ["startup", "shutdown"]


async def test_an_app_that_knows_no_lifespan_says_so_to_the_server_itself_and_the_keys_are_there() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        message = "unsupported"
        raise ValueError(message)

    journal: list[str] = []

    with pytest.raises(ValueError, match="unsupported"):
        await call(BearerMiddleware(app, Verifier(journal)), {"type": "lifespan"}, STARTUP)

    assert journal == ["prefetch"]


async def test_a_connection_of_a_kind_that_the_door_does_not_know_is_the_apps_as_it_is() -> None:
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope, await receive(), get_access_token()))
        await send({"type": "mqtt.ack"})

    scope = {"type": "mqtt"}

    sent = await call(BearerMiddleware(app, Verifier([])), scope, {"type": "mqtt.publish"})

    assert seen == [(scope, {"type": "mqtt.publish"}, None)]
    assert seen[0][0] is scope
    assert sent == [{"type": "mqtt.ack"}]
