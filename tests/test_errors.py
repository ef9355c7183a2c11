"""The errors: what each says to the client, what to operators, and what it takes."""

from __future__ import annotations

import copy
import math
import pickle
import re
from contextvars import copy_context
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from starlette.exceptions import HTTPException

from asgi_bearer.errors import (
    BearerError,
    Door,
    InsufficientAuthentication,
    InsufficientScope,
    InvalidRequest,
    InvalidToken,
    MissingToken,
    Reason,
    VerifierUnavailable,
    current_door,
    require_scope_token,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

ERRORS = [
    pytest.param(BearerError(), 401, None, "401 missing token", id="BearerError"),
    pytest.param(MissingToken(), 401, None, "401 missing token", id="MissingToken"),
    pytest.param(InvalidRequest(), 400, "invalid_request", "400 invalid_request", id="InvalidRequest"),
    pytest.param(InvalidToken(Reason.audience), 401, "invalid_token", "401 audience", id="InvalidToken"),
    pytest.param(
        InsufficientScope(["data:read"]), 403, "insufficient_scope", "403 insufficient_scope", id="InsufficientScope"
    ),
    pytest.param(
        InsufficientAuthentication(["gold"], 60),
        401,
        "insufficient_user_authentication",
        "401 insufficient_user_authentication",
        id="InsufficientAuthentication",
    ),
    pytest.param(
        VerifierUnavailable("jwks: HTTP 500"),
        503,
        "temporarily_unavailable",
        "503 jwks: HTTP 500",
        id="VerifierUnavailable",
    ),
]


@pytest.mark.parametrize(("error", "status", "code", "text"), ERRORS)
def test_an_error_is_an_http_exception_that_knows_its_answer(
    error: BearerError, status: int, code: str | None, text: str
) -> None:
    assert isinstance(error, HTTPException)
    assert isinstance(error, BearerError)
    assert error.status_code == status
    assert error.error == code
    assert error.detail == error.description
    assert str(error) == text
    assert repr(error) == f"{type(error).__name__}({text})"


def test_the_reasons_are_those_of_the_public_interface() -> None:
    assert [reason.value for reason in Reason] == [
        "malformed",
        "unsupported_algorithm",
        "unknown_key",
        "signature",
        "expired",
        "not_yet_valid",
        "issuer",
        "audience",
        "token_type",
        "missing_claim",
        "claim_type",
        "inactive",
        "revoked",
        "binding",
        "too_large",
    ]
    assert [reason.name for reason in Reason] == [reason.value for reason in Reason]


@pytest.mark.parametrize("reason", list(Reason), ids=str)
def test_an_invalid_token_has_its_reason_and_one_sentence_for_all(reason: Reason) -> None:
    error = InvalidToken(reason)

    assert error.reason is reason
    assert str(error) == f"401 {reason.value}"
    assert error.detail == "The access token was not accepted."


def test_a_reason_may_be_given_by_its_name() -> None:
    assert InvalidToken("revoked").reason is Reason.revoked  # type: ignore[arg-type]  # what a StrEnum allows


@pytest.mark.parametrize("reason", ["because", "", None, 1], ids=repr)
def test_a_reason_of_ones_own_is_a_value_error(reason: Reason) -> None:
    with pytest.raises(ValueError, match=r"is not a valid Reason$"):
        InvalidToken(reason)


# --- headers


def through_door(error: BearerError, headers: Mapping[str, str]) -> tuple[Mapping[str, str], list[BearerError]]:
    """Return the headers of `error` inside of a door that answers `headers`, and what that door was asked about."""
    asked: list[BearerError] = []

    def answer(error: BearerError) -> Mapping[str, str]:
        asked.append(error)
        return headers

    def inside() -> Mapping[str, str]:
        current_door.set(Door(None, cast("Any", SimpleNamespace(headers=answer))))
        return error.headers

    return copy_context().run(inside), asked


@pytest.mark.parametrize(("error", "status", "code", "text"), ERRORS)
def test_inside_of_a_door_the_headers_are_the_doors(
    error: BearerError, status: int, code: str | None, text: str
) -> None:
    headers, asked = through_door(error, {"www-authenticate": 'Bearer realm="orders"'})

    assert headers == {"www-authenticate": 'Bearer realm="orders"'}
    assert asked == [error]


@pytest.mark.parametrize(("error", "status", "code", "text"), ERRORS)
def test_outside_of_a_door_a_401_still_has_a_challenge(
    error: BearerError, status: int, code: str | None, text: str
) -> None:
    challenge = {"www-authenticate": 'Bearer realm="api"'} if status == 401 else {}

    assert current_door.get() is None
    assert error.headers == {**challenge, "cache-control": "no-store"}


def test_headers_cannot_be_set() -> None:
    with pytest.raises(AttributeError):
        MissingToken().headers = {"www-authenticate": "Basic"}  # type: ignore[misc]


# --- what they take


@pytest.mark.parametrize(
    ("required", "scopes"),
    [
        pytest.param((), (), id="none"),
        pytest.param(["read", "write"], ("read", "write"), id="a list"),
        pytest.param(iter(("read",)), ("read",), id="an iterator"),
        pytest.param("read", ("read",), id="one in a str"),
        pytest.param("read data:write", ("read", "data:write"), id="several in a str"),
    ],
)
def test_insufficient_scope_names_what_is_required(required: Any, scopes: tuple[str, ...]) -> None:
    assert InsufficientScope(required).required == scopes


@pytest.mark.parametrize(
    ("given", "acr_values"),
    [
        pytest.param((), (), id="none"),
        pytest.param(["gold", "silver"], ("gold", "silver"), id="a list"),
        pytest.param("urn:mace:incommon:iap:silver", ("urn:mace:incommon:iap:silver",), id="one in a str"),
        pytest.param("gold silver", ("gold", "silver"), id="several in a str"),
    ],
)
def test_insufficient_authentication_names_what_is_acceptable(given: Any, acr_values: tuple[str, ...]) -> None:
    error = InsufficientAuthentication(given, max_age=300)

    assert error.acr_values == acr_values
    assert error.max_age == 300


BAD_TOKENS = [
    pytest.param([""], "''", id="empty"),
    pytest.param("", "''", id="an empty str"),
    pytest.param("a  b", "''", id="two spaces"),
    pytest.param(["a b"], "'a b'", id="CH7 a space"),
    pytest.param(['a"b'], "'a\"b'", id="CH7 a quote"),
    pytest.param(["a\\b"], "'a\\\\b'", id="CH7 a backslash"),
    pytest.param(["a\r\nb"], "'a\\r\\nb'", id="CH8 a line's end"),
    pytest.param(["a\n"], "'a\\n'", id="CH8 a line feed at the end"),
    pytest.param(["é"], "'é'", id="CH7 no ASCII"),
    pytest.param(["read", 1], "1", id="a number"),
    pytest.param([None], "None", id="None within"),
    pytest.param(b"read", "114", id="bytes"),
]


@pytest.mark.parametrize(("given", "shown"), BAD_TOKENS)
def test_a_scope_that_no_challenge_can_hold_is_a_value_error(given: Any, shown: str) -> None:
    sentence = f"{shown} is not a scope: write visible ASCII characters other than space, quote and backslash"

    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        InsufficientScope(given)


@pytest.mark.parametrize(("given", "shown"), BAD_TOKENS)
def test_an_acr_value_that_no_challenge_can_hold_is_a_value_error(given: Any, shown: str) -> None:
    sentence = f"{shown} is not an acr value: write visible ASCII characters other than space, quote and backslash"

    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        InsufficientAuthentication(given)


@pytest.mark.parametrize("max_age", [-1, 1.5, True, "300", math.inf], ids=repr)
def test_su1_a_max_age_that_is_no_whole_number_is_a_value_error(max_age: int) -> None:
    with pytest.raises(ValueError, match=r"^max_age is a number of seconds: a whole number, 0 or more$"):
        InsufficientAuthentication(max_age=max_age)


def test_unavailable_asks_to_come_back_in_a_second_unless_told_otherwise() -> None:
    assert VerifierUnavailable("down").retry_after == 1
    assert VerifierUnavailable("down", retry_after=12.5).retry_after == 12.5


@pytest.mark.parametrize("retry_after", [-1, math.inf, math.nan, None, "5"], ids=repr)
def test_a_retry_after_that_is_no_time_is_a_value_error(retry_after: float) -> None:
    with pytest.raises(ValueError, match=r"^retry_after is a number of seconds: 0 or more, and finite$"):
        VerifierUnavailable("down", retry_after)


@pytest.mark.parametrize("value", ["read", "!", "a#[]~", "https://api.example/read"])
def test_a_scope_of_rfc_6750_passes(value: str) -> None:
    require_scope_token(value)


@pytest.mark.parametrize(("error", "status", "code", "text"), ERRORS)
@pytest.mark.parametrize("carry", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))], ids=["copy", "pickle"])  # noqa: S301
def test_an_error_can_be_carried_to_another_place(
    carry: Any, error: BearerError, status: int, code: str | None, text: str
) -> None:
    carried = carry(error)

    assert type(carried) is type(error)
    assert str(carried) == text
    assert vars(carried) == vars(error)
