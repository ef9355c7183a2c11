"""Events are values: they can be compared, not changed, and their reprs show no principal."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from asgi_bearer.errors import Reason
from asgi_bearer.events import (
    Accepted,
    Event,
    KeysRefreshed,
    KeysStale,
    KeysUnavailable,
    Rejected,
    Unavailable,
    UnknownKey,
)

EVENTS = [
    pytest.param(
        Accepted(token_id="930bbdc5", principal_key=("https://idp.example", "user-1", "app")),
        "Accepted(token_id='930bbdc5')",
        id="Accepted",
    ),
    pytest.param(
        Rejected(status=401, error="invalid_token", reason=Reason.expired, token_id="930bbdc5"),
        "Rejected(status=401, error='invalid_token', reason=<Reason.expired: 'expired'>, token_id='930bbdc5')",
        id="Rejected",
    ),
    pytest.param(
        Unavailable(message="jwks: HTTP 500", retry_after=1.0, token_id=None),
        "Unavailable(message='jwks: HTTP 500', retry_after=1.0, token_id=None)",
        id="Unavailable",
    ),
    pytest.param(
        KeysRefreshed(source="https://idp.example/jwks", generation=2, keys=3, age=240.0, failures=0),
        "KeysRefreshed(source='https://idp.example/jwks', generation=2, keys=3, age=240.0, failures=0)",
        id="KeysRefreshed",
    ),
    pytest.param(
        KeysStale(source="https://idp.example", message="500", age=300.0, serves_for=86100.0, failures=1),
        "KeysStale(source='https://idp.example', message='500', age=300.0, serves_for=86100.0, failures=1)",
        id="KeysStale",
    ),
    pytest.param(
        KeysUnavailable(source="https://idp.example", message="500", age=None, retry_after=1.0, failures=1),
        "KeysUnavailable(source='https://idp.example', message='500', age=None, retry_after=1.0, failures=1)",
        id="KeysUnavailable",
    ),
    pytest.param(
        UnknownKey(source="https://idp.example", count=17, age=10.0),
        "UnknownKey(source='https://idp.example', count=17, age=10.0)",
        id="UnknownKey",
    ),
]


@pytest.mark.parametrize(("event", "shown"), EVENTS)
def test_an_event_shows_what_happened_and_to_nobody_by_name(event: Event, shown: str) -> None:
    assert repr(event) == shown


@pytest.mark.parametrize(("event", "shown"), EVENTS)
def test_an_event_cannot_be_changed_and_is_equal_to_its_like(event: Event, shown: str) -> None:
    name = dataclasses.fields(event)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(event, name, "x")

    other: Any = {name: "other"}
    assert dataclasses.replace(event) == event
    assert dataclasses.replace(event, **other) != event


def test_an_accepted_event_has_its_principal_for_the_audit_trail() -> None:
    event = Accepted(token_id="930bbdc5", principal_key=("https://idp.example", "user-1", "app"))

    assert event.principal_key == ("https://idp.example", "user-1", "app")
