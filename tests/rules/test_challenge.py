"""What the client reads: status, challenge and body of every refusal, byte by byte."""

from __future__ import annotations

import json
import re

import pytest

from asgi_bearer.errors import (
    BearerError,
    InsufficientAuthentication,
    InsufficientScope,
    InvalidRequest,
    InvalidToken,
    MissingToken,
    Reason,
    VerifierUnavailable,
)
from asgi_bearer.rules.challenge import Answer, Challenger, close_code

UNREADABLE = "The credentials are malformed: send one Authorization header with one Bearer token."
NOT_ACCEPTED = "The access token was not accepted."
NO_PERMISSION = "The access token lacks a permission that this request needs."
LOG_IN_AGAIN = "This request needs a stronger or more recent authentication."

REFUSALS = [
    pytest.param(MissingToken(), id="MissingToken"),
    pytest.param(InvalidRequest(), id="InvalidRequest"),
    pytest.param(InvalidToken(Reason.signature), id="InvalidToken"),
    pytest.param(InsufficientScope(["write"]), id="InsufficientScope"),
    pytest.param(InsufficientAuthentication(["silver", "gold"], 300), id="InsufficientAuthentication"),
]
ANSWERS = [*REFUSALS, pytest.param(VerifierUnavailable("the endpoint is down"), id="VerifierUnavailable")]


def challenger(*, realm: str = "api", scopes: tuple[str, ...] = (), expose_reason: bool = False) -> Challenger:
    return Challenger(realm=realm, scopes=scopes, expose_reason=expose_reason)


def attributes(challenge: str) -> list[tuple[str, str]]:
    scheme, _, rest = challenge.partition(" ")
    assert scheme == "Bearer"
    return re.findall(r'(?:^|, )([a-z_]+)="([^"\\]*)"', rest)


@pytest.mark.parametrize(
    ("error", "status", "challenge"),
    [
        pytest.param(MissingToken(), 401, 'Bearer realm="api"', id="W1 CH3 no credentials, no error"),
        pytest.param(
            InvalidRequest(),
            400,
            f'Bearer realm="api", error="invalid_request", error_description="{UNREADABLE}"',
            id="W4 malformed credentials",
        ),
        pytest.param(
            InvalidToken(Reason.expired),
            401,
            f'Bearer realm="api", error="invalid_token", error_description="{NOT_ACCEPTED}"',
            id="W6 a token that is not accepted",
        ),
        pytest.param(
            InsufficientScope(["read", "write"]),
            403,
            f'Bearer realm="api", scope="read write", error="insufficient_scope", error_description="{NO_PERMISSION}"',
            id="W7 missing scopes",
        ),
        pytest.param(
            InsufficientScope(),
            403,
            f'Bearer realm="api", error="insufficient_scope", error_description="{NO_PERMISSION}"',
            id="W7 a permission that is no scope",
        ),
        pytest.param(
            InsufficientAuthentication(["gold", "silver"], 300),
            401,
            'Bearer realm="api", error="insufficient_user_authentication", '
            f'error_description="{LOG_IN_AGAIN}", acr_values="gold silver", max_age="300"',
            id="W8 a stronger and fresher login",
        ),
        pytest.param(
            InsufficientAuthentication("phr"),
            401,
            'Bearer realm="api", error="insufficient_user_authentication", '
            f'error_description="{LOG_IN_AGAIN}", acr_values="phr"',
            id="W8 a stronger login",
        ),
        pytest.param(
            InsufficientAuthentication(max_age=0),
            401,
            'Bearer realm="api", error="insufficient_user_authentication", '
            f'error_description="{LOG_IN_AGAIN}", max_age="0"',
            id="W8 a login right now",
        ),
    ],
)
def test_each_error_has_its_status_and_its_challenge(error: BearerError, status: int, challenge: str) -> None:
    answer = challenger().answer(error)

    assert answer.status == status
    assert dict(answer.headers)[b"www-authenticate"] == challenge.encode()
    assert dict(answer.headers)[b"cache-control"] == b"no-store"


@pytest.mark.parametrize(
    ("error", "members"),
    [
        pytest.param(
            MissingToken(), {"error": "unauthorized", "error_description": "Authentication is required."}, id="W1"
        ),
        pytest.param(InvalidRequest(), {"error": "invalid_request", "error_description": UNREADABLE}, id="W4"),
        pytest.param(
            InvalidToken(Reason.issuer), {"error": "invalid_token", "error_description": NOT_ACCEPTED}, id="W6"
        ),
        pytest.param(
            InsufficientScope("write"), {"error": "insufficient_scope", "error_description": NO_PERMISSION}, id="W7"
        ),
        pytest.param(
            VerifierUnavailable("introspection: connect timeout"),
            {
                "error": "temporarily_unavailable",
                "error_description": "Access tokens cannot be verified at the moment; try again later.",
            },
            id="W14",
        ),
    ],
)
def test_the_body_is_a_small_json_object(error: BearerError, members: dict[str, str]) -> None:
    answer = challenger().answer(error)

    assert json.loads(answer.body) == members
    assert dict(answer.headers)[b"content-type"] == b"application/json"
    assert dict(answer.headers)[b"content-length"] == str(len(answer.body)).encode()


@pytest.mark.parametrize("error", REFUSALS)
def test_ch2_ch4_ch5_ch6_every_challenge_has_a_quoted_realm_and_each_attribute_once(error: BearerError) -> None:
    challenge = challenger(scopes=("read", "write")).headers(error)["www-authenticate"]

    found = attributes(challenge)
    assert found[0] == ("realm", "api")
    assert len(dict(found)) == len(found)
    assert "Bearer " + ", ".join(f'{name}="{value}"' for name, value in found) == challenge
    assert "\\" not in challenge


@pytest.mark.parametrize("error", REFUSALS)
def test_the_scopes_of_the_door_stand_in_every_challenge(error: BearerError) -> None:
    challenge = challenger(scopes=("read", "admin")).headers(error)["www-authenticate"]

    assert dict(attributes(challenge))["scope"].startswith("read admin")


def test_ch11_a_missing_scope_names_everything_that_the_request_needs_once() -> None:
    challenge = challenger(scopes=("read", "write")).headers(InsufficientScope(["write", "purge"]))["www-authenticate"]

    assert dict(attributes(challenge))["scope"] == "read write purge"


@pytest.mark.parametrize("error", ANSWERS)
def test_ch16_headers_are_lower_case_ascii_bytes_and_each_stands_once(error: BearerError) -> None:
    answer = challenger().answer(error)

    names = [name for name, _ in answer.headers]
    assert all(isinstance(part, bytes) and part.isascii() for header in answer.headers for part in header)
    assert names == [name.lower() for name in names]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("error", ANSWERS)
def test_ch9_the_sentences_hold_to_the_charset_and_name_no_parameter(error: BearerError) -> None:
    assert re.fullmatch(r"[\x20\x21\x23-\x5b\x5d-\x7e]+", error.description)
    assert not re.search(r"(scope|resource_metadata|error)\s*=", error.description)


def test_ch15_no_reason_can_be_told_from_another() -> None:
    answers = {(answer.status, *answer.headers, answer.body) for answer in map(refused_for, Reason)}

    assert len(answers) == 1


def refused_for(reason: Reason) -> Answer:
    return challenger().answer(InvalidToken(reason))


@pytest.mark.parametrize("reason", list(Reason), ids=str)
def test_in_development_the_description_ends_with_the_reasons_name(reason: Reason) -> None:
    answer = challenger(expose_reason=True).answer(InvalidToken(reason))

    sentence = f"{NOT_ACCEPTED} Reason: {reason.value}."
    assert json.loads(answer.body)["error_description"] == sentence
    assert f'error_description="{sentence}"'.encode() in dict(answer.headers)[b"www-authenticate"]


def test_in_development_an_error_without_a_reason_reads_as_ever() -> None:
    assert challenger(expose_reason=True).answer(InvalidRequest()) == challenger().answer(InvalidRequest())


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        pytest.param(1, b"1", id="as it is"),
        pytest.param(0, b"1", id="never now"),
        pytest.param(0.2, b"1", id="a part of a second counts as one"),
        pytest.param(29.01, b"30", id="rounded up"),
    ],
)
def test_w14_unavailable_is_503_with_retry_after_and_no_challenge(retry_after: float, seconds: bytes) -> None:
    answer = challenger(scopes=("read",)).answer(VerifierUnavailable("jwks: HTTP 500", retry_after))

    assert answer.status == 503
    assert dict(answer.headers)[b"retry-after"] == seconds
    assert dict(answer.headers)[b"cache-control"] == b"no-store"
    assert b"www-authenticate" not in dict(answer.headers)
    assert b"jwks" not in answer.body


def test_the_realm_is_the_doors() -> None:
    challenge = challenger(realm="Orders, EU (v2)").headers(MissingToken())["www-authenticate"]

    assert challenge == 'Bearer realm="Orders, EU (v2)"'


@pytest.mark.parametrize(
    "realm",
    [
        pytest.param("", id="CH2 empty"),
        pytest.param('a"b', id="CH6 a quote"),
        pytest.param("a\\b", id="CH6 a backslash"),
        pytest.param("a\r\nset-cookie: x=1", id="CH8 a line's end"),
        pytest.param("a\n", id="CH8 a line feed at the end"),
        pytest.param("a\tb", id="CH8 a tab"),
        pytest.param("a\x00b", id="CH8 NUL"),
        pytest.param("a\x7fb", id="CH8 DEL"),
        pytest.param("café", id="CH8 no ASCII"),
    ],
)
def test_a_realm_that_needs_an_escape_is_a_value_error(realm: str) -> None:
    with pytest.raises(ValueError, match=r"^realm is printable ASCII without quotes and backslashes, not "):
        challenger(realm=realm)


@pytest.mark.parametrize("realm", [None, 1, b"api", ["api"]], ids=repr)
def test_a_realm_that_is_no_str_is_a_type_error(realm: str) -> None:
    with pytest.raises(TypeError, match=rf"^realm is a str, not {type(realm).__name__}$"):
        challenger(realm=realm)


@pytest.mark.parametrize(
    "description",
    [
        pytest.param('say "please"', id="CH6 a quote"),
        pytest.param("a\\b", id="CH6 a backslash"),
        pytest.param("x\r\nset-cookie: admin=1", id="CH8 a header of its own"),
        pytest.param("bitte später", id="CH7 no ASCII"),
    ],
)
def test_ch8_an_error_class_of_somebody_else_cannot_write_outside_its_quotes(description: str) -> None:
    error = InvalidToken(Reason.revoked)
    error.description = description

    with pytest.raises(ValueError, match=r"^error_description is printable ASCII"):
        challenger().answer(error)


@pytest.mark.parametrize(("status", "code"), [(400, 1008), (401, 3000), (403, 3003), (503, 1013)])
def test_each_status_has_a_code_that_closes_a_websocket(status: int, code: int) -> None:
    assert close_code(status) == code
