"""What an answer means: every line that the door can write is explained, and every other one without a failure."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_bearer.cli.page.explain import Line, explain_answer
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
from asgi_bearer.rules.challenge import Challenger

UNKNOWN = "this page does not know"
DOOR = Challenger(realm="api", scopes=("read",), expose_reason=True, resource_metadata="https://a.example/x")


def explained(status: int, challenge: str | None = None, **others: str) -> dict[str, Line]:
    headers = {} if challenge is None else {"www-authenticate": challenge}
    lines = explain_answer(status, headers | {name.replace("_", "-"): value for name, value in others.items()})
    return {line.text: line for line in lines}


@pytest.mark.parametrize(
    "error",
    [
        MissingToken(),
        InvalidRequest(),
        *map(InvalidToken, Reason),
        InsufficientScope("write"),
        InsufficientAuthentication("urn:gold", 300),
        VerifierUnavailable("down", 5),
    ],
    ids=str,
)
def test_every_line_of_every_answer_of_the_door_is_known(error: BearerError) -> None:
    headers = DOOR.headers(error)

    lines = explain_answer(error.status_code, headers)

    assert not [line for line in lines if UNKNOWN in line.means or not line.means]
    shown = " ".join(line.text for line in lines)
    assert all(value in shown for value in re.findall(r'\w+="[^"]*"', headers.get("www-authenticate", "")))
    assert "Cache-Control: no-store" in shown


def test_each_reason_is_explained_in_words_of_its_own() -> None:
    lines = [explain_answer(401, DOOR.headers(InvalidToken(reason))) for reason in Reason]

    described = [line for answer in lines for line in answer if line.text.startswith("error_description")]

    assert len({line.means for line in described}) == len(Reason)
    assert all(line.then for line in described)


@pytest.mark.parametrize(
    ("status", "challenge", "means", "source"),
    [
        (200, None, "The door let the request in", "RFC 9110 section 15.3"),
        (103, None, "An interim answer", "RFC 9110 section 15.2"),
        (302, None, "does not follow", "RFC 9110 section 15.4"),
        (400, None, "reasons that this status does not tell", "RFC 9110 section 15.5"),
        (400, 'Bearer error="invalid_request"', "cannot be read", "RFC 6750 section 3.1"),
        (401, None, "must carry a challenge", "RFC 9110 section 15.5.2"),
        (401, "Bearer", "does not know who is calling", "RFC 9110 section 15.5.2"),
        (403, None, "the application's own decision", "RFC 9110 section 15.5.4"),
        (403, "Bearer", "may not do this with this token", "RFC 6750 section 3.1"),
        (404, None, "nothing at this path", "RFC 9110 section 15.5.5"),
        (404, "Bearer", "reasons that this status does not tell", "RFC 9110 section 15.5"),
        (405, None, "does not take this method", "RFC 9110 section 15.5.6"),
        (429, None, "Too many requests", "RFC 6585 section 4"),
        (500, None, "says nothing about the token", "RFC 9110 section 15.6"),
        (503, None, "does not say that the token is bad", "RFC 9110 section 15.6.4"),
        (999, None, "no status", "RFC 9110 section 15"),
    ],
)
def test_the_status_comes_first(status: int, challenge: str | None, means: str, source: str) -> None:
    first, *_ = explained(status, challenge).values()

    assert first.text.startswith(f"HTTP {status}")
    assert means in first.means
    assert first.source == source


@pytest.mark.parametrize(
    ("challenge", "text", "means"),
    [
        ("DPoP", "WWW-Authenticate: DPoP", "bound to a key"),
        ('DPoP algs="ES256"', 'algs="ES256"', "What a proof may be signed with"),
        ('DPoP error="use_dpop_nonce"', 'error="use_dpop_nonce"', "The server wants its nonce"),
        ('DPoP error="invalid_dpop_proof"', 'error="invalid_dpop_proof"', "does not fit"),
        ('Basic realm="x"', "WWW-Authenticate: Basic", "a name and a password"),
        ("Negotiate YWJj", "WWW-Authenticate: Negotiate", UNKNOWN),
        ("Negotiate YWJj", "YWJj", "Data of the scheme"),
        ('Bearer error="own"', 'error="own"', UNKNOWN),
        ('Bearer error_description="too bad"', 'error_description="too bad"', "The error in words"),
        ('Bearer error_description="Reason: x."', 'error_description="Reason: x."', "The error in words"),
        ('Bearer error_uri="https://x"', 'error_uri="https://x"', "A page with more"),
        ('Bearer colour="red"', 'colour="red"', UNKNOWN),
        ('Bearer realm="a', 'WWW-Authenticate: Bearer realm="a', "cannot be read as a challenge"),
    ],
)
def test_a_challenge_of_others_is_explained_as_far_as_it_is_known(challenge: str, text: str, means: str) -> None:
    assert means in explained(401, challenge)[text].means


def test_a_repeated_parameter_is_a_fault_and_both_are_shown() -> None:
    lines = explain_answer(401, {"www-authenticate": 'Bearer realm="a", realm="b"'})

    assert [line.text for line in lines[2:]] == ['realm="a"', 'realm="b"']
    assert "a second time" in lines[3].means


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("retry_after", "Retry-After: 1"),
        ("dpop_nonce", "DPoP-Nonce: 1"),
        ("cache_control", "Cache-Control: 1"),
        ("location", "Location: 1"),
    ],
)
def test_headers_about_access_are_explained_and_others_are_not(name: str, text: str) -> None:
    lines = explained(503, **{name: "1", "server": "x"})

    assert list(lines) == ["HTTP 503 Service Unavailable", text]
    assert lines[text].means


@given(
    st.integers(100, 999),
    st.dictionaries(st.sampled_from(["www-authenticate", "retry-after", "location", "x"]), st.text(max_size=80)),
)
def test_any_answer_is_explained_and_each_source_is_a_section_of_an_rfc(status: int, headers: dict[str, str]) -> None:
    lines = explain_answer(status, headers)

    assert all(line.means for line in lines)
    assert all(re.fullmatch(r"(RFC \d+ section \d+(\.\d+)*)?", line.source) for line in lines)
