"""Strategies of others: an object with `verify_token` is enough; those written for MCP servers serve as they are."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from fakes import Clock, Echo, call, http_scope

from asgi_bearer import AccessToken, BearerMiddleware, Reason
from asgi_bearer.events import Event, Rejected

NOW = 1_800_000_000
GOOD = (b"authorization", b"Bearer a-token")


@dataclass
class ForeignToken:
    """What the verifiers of MCP servers return: the expiry is a number, and nobody has checked it."""

    client_id: str = "app"
    scopes: list[str] = field(default_factory=lambda: ["read"])
    expires_at: int | None = None


@dataclass
class ForeignTokenWithClaims(ForeignToken):
    """A richer one."""

    subject: str | None = None
    claims: dict[str, Any] | None = None


class Returns:
    """A verifier with one answer."""

    def __init__(self, found: Any) -> None:
        self._found = found

    async def verify_token(self, token: str) -> Any:
        return self._found


async def token_seen(found: Any) -> AccessToken:
    app = Echo()
    await call(BearerMiddleware(app, Returns(found), clock=Clock(NOW)), http_scope(GOOD))
    token = app.scopes[0]["auth"]
    assert type(token) is AccessToken
    return token


async def refusal(found: Any) -> Event:
    app, events = Echo(), list[Event]()
    await call(BearerMiddleware(app, Returns(found), clock=Clock(NOW), on_event=events.append), http_scope(GOOD))
    assert app.scopes == []
    return events[0]


async def test_a_foreign_token_becomes_ours() -> None:
    token = await token_seen(ForeignToken(expires_at=NOW + 1))

    assert token.token == "a-token"
    assert (token.client_id, token.scopes) == ("app", ("read",))
    assert token.expires_at == datetime.fromtimestamp(NOW + 1, UTC)
    assert token.principal_key == (None, None, "app")


async def test_a_foreign_token_may_have_no_end() -> None:
    assert (await token_seen(ForeignToken())).expires_at is None


@pytest.mark.parametrize(
    ("found", "principal"),
    [
        pytest.param(ForeignTokenWithClaims(subject="alice"), (None, "alice", "app"), id="a subject"),
        pytest.param(ForeignTokenWithClaims(claims={"sub": "alice", "iss": "i"}), ("i", "alice", "app"), id="claims"),
        pytest.param(ForeignTokenWithClaims(claims={}), (None, None, "app"), id="neither"),
    ],
)
async def test_who_the_caller_is_comes_from_the_foreign_tokens_subject_and_claims(found: Any, principal: Any) -> None:
    assert (await token_seen(found)).principal_key == principal


@pytest.mark.parametrize("expires_at", [NOW, NOW - 1, 0], ids=["now", "a second ago", "long ago"])
async def test_the_door_checks_the_expiry_that_foreign_verifiers_leave_to_it(expires_at: int) -> None:
    event = await refusal(ForeignToken(expires_at=expires_at))

    assert isinstance(event, Rejected)
    assert event.reason == Reason.expired


async def test_none_means_no() -> None:
    event = await refusal(None)

    assert isinstance(event, Rejected)
    assert (event.status, event.reason) == (401, Reason.inactive)


async def test_a_foreign_token_is_held_to_the_doors_scopes_and_to_its_binding() -> None:
    door = BearerMiddleware(Echo(), Returns(ForeignToken()), required_scopes=["write"])
    bound = BearerMiddleware(Echo(), Returns(ForeignTokenWithClaims(claims={"cnf": {"jkt": "x"}})))

    assert (await call(door, http_scope(GOOD)))[0]["status"] == 403
    assert (await call(bound, http_scope(GOOD)))[0]["status"] == 401


async def test_an_access_token_of_a_subclass_is_taken_as_it_is() -> None:
    class Mine(AccessToken):
        __slots__ = ()

    app, token = Echo(), Mine(token="a-token", client_id="app")

    await call(BearerMiddleware(app, Returns(token)), http_scope(GOOD))

    assert app.scopes[0]["auth"] is token


@pytest.mark.parametrize(
    "found", [True, "alice", {"client_id": "app"}, object()], ids=["True", "str", "dict", "object"]
)
async def test_what_is_no_token_at_all_is_a_bug_and_lets_nobody_in(found: Any) -> None:
    app = Echo()

    with pytest.raises(TypeError, match=f"it returned {type(found).__name__}$"):
        await call(BearerMiddleware(app, Returns(found)), http_scope(GOOD))

    assert app.scopes == []
