"""Reading WWW-Authenticate: what RFC 9110 section 11.6.1 allows, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_bearer.cli.page.challenges import Challenge, NoChallengeError, read_challenges
from asgi_bearer.errors import (
    InsufficientAuthentication,
    InsufficientScope,
    InvalidRequest,
    InvalidToken,
    MissingToken,
    Reason,
)
from asgi_bearer.rules.challenge import Challenger


@pytest.mark.parametrize(
    ("value", "challenges"),
    [
        pytest.param("Bearer", [("Bearer", [], None)], id="a scheme alone"),
        pytest.param("Bearer   ", [("Bearer", [], None)], id="spaces after it"),
        pytest.param('Bearer realm="api"', [("Bearer", [("realm", "api")], None)], id="a parameter"),
        pytest.param("Bearer realm=api", [("Bearer", [("realm", "api")], None)], id="a token as value"),
        pytest.param('Bearer REALM = "api"', [("Bearer", [("realm", "api")], None)], id="spaces and capitals"),
        pytest.param('Bearer a="1", b="2" ,c=3', [("Bearer", [("a", "1"), ("b", "2"), ("c", "3")], None)], id="three"),
        pytest.param('Bearer a="x, y=z"', [("Bearer", [("a", "x, y=z")], None)], id="a comma within quotes"),
        pytest.param(r'Bearer a="say \"hi\" \\"', [("Bearer", [("a", r'say "hi" \ '[:-1])], None)], id="escapes"),
        pytest.param('Bearer a=""', [("Bearer", [("a", "")], None)], id="an empty value"),
        pytest.param('Bearer a="1", a="2"', [("Bearer", [("a", "1"), ("a", "2")], None)], id="a repeated one stays"),
        pytest.param("Negotiate YWJj==", [("Negotiate", [], "YWJj==")], id="token68"),
        pytest.param("Negotiate a=", [("Negotiate", [], "a=")], id="token68 that looks like a parameter"),
        pytest.param(
            'Basic realm="x", DPoP algs="ES256", Bearer',
            [("Basic", [("realm", "x")], None), ("DPoP", [("algs", "ES256")], None), ("Bearer", [], None)],
            id="several challenges",
        ),
        pytest.param("Negotiate abc, Bearer", [("Negotiate", [], "abc"), ("Bearer", [], None)], id="after token68"),
        pytest.param(", ,Bearer a=1,, b=2,", [("Bearer", [("a", "1"), ("b", "2")], None)], id="empty elements"),
        pytest.param('Bearer a="é\u202e"', [("Bearer", [("a", "é\u202e")], None)], id="obsolete text"),
    ],
)
def test_a_list_of_challenges_is_read(
    value: str, challenges: list[tuple[str, list[tuple[str, str]], str | None]]
) -> None:
    assert read_challenges(value) == [Challenge(*challenge) for challenge in challenges]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        pytest.param("", "''", id="nothing"),
        pytest.param(" , ", "' , '", id="commas"),
        pytest.param('a="b"', "'a=\"b\"'", id="a parameter without a scheme"),
        pytest.param("Negotiate abc, a=b", "'a=b'", id="a parameter after token68"),
        pytest.param('Bearer c, Bearer a="b', "' Bearer a=\"b'", id="no closing quote"),
        pytest.param('Bearer a="b\\', "'Bearer a=\"b", id="an escape at the end"),
        pytest.param('Bearer a="b" c="d"', '\'a="b" c="d"\'', id="no comma"),
        pytest.param('Bearer a="\x07"', "'Bearer a=\"\\x07\"'", id="a control character"),
        pytest.param('Bearer a="b\n"', "'Bearer a=\"b\\n\"'", id="a line break"),
        pytest.param("Bearer\n", "'Bearer\\n'", id="a line break after the scheme"),
        pytest.param("(comment)", "'(comment)'", id="no token"),
        pytest.param("Bearer " + "(" * 100, f"'{'(' * 40}'", id="quoted in part"),
    ],
)
def test_what_is_no_challenge_is_said_with_where_it_ends(value: str, found: str) -> None:
    with pytest.raises(NoChallengeError) as refusal:
        read_challenges(value)

    assert str(refusal.value).startswith(f"there is {found}")


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("Bearer " + 'a="b",' * 20_000, id="many parameters"),
        pytest.param("Bearer," * 20_000, id="many challenges"),
        pytest.param('Bearer a="' + "\\" * 100_000, id="escapes without an end"),
        pytest.param('"' * 100_001, id="quotes"),
        pytest.param("Bearer " + "=" * 100_000, id="signs of equality"),
        pytest.param("Bearer a" + " " * 100_000 + "b", id="spaces"),
        pytest.param("," * 100_000, id="commas"),
    ],
)
def test_a_long_value_takes_no_longer_than_its_length(value: str) -> None:
    # Quadratic, each of them would take minutes, and the run would not end.
    try:
        challenges = read_challenges(value)
    except NoChallengeError:
        challenges = []

    assert len(challenges) in {0, 1, 20_000}


NAMES = st.from_regex(r"[a-z_]{1,10}", fullmatch=True)
VALUES = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=20)


@given(st.lists(st.tuples(NAMES, st.lists(st.tuples(NAMES, VALUES), max_size=4)), min_size=1, max_size=3))
def test_what_is_written_by_the_grammar_is_read_back(challenges: list[tuple[str, list[tuple[str, str]]]]) -> None:
    written = ", ".join(f"{scheme} {', '.join(map(parameter, parameters))}" for scheme, parameters in challenges)

    assert read_challenges(written) == [Challenge(scheme, parameters) for scheme, parameters in challenges]


def parameter(pair: tuple[str, str]) -> str:
    name, value = pair
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'{name}="{escaped}"'


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(value: str) -> None:
    try:
        challenges = read_challenges(value)
    except NoChallengeError:
        return

    assert challenges


@pytest.mark.parametrize(
    "error",
    [
        MissingToken(),
        InvalidRequest(),
        InvalidToken(Reason.expired),
        InsufficientScope("a b"),
        InsufficientAuthentication("x y", 60),
    ],
)
def test_each_challenge_of_the_door_is_read_as_one(error: MissingToken) -> None:
    door = Challenger(realm="api", scopes=("a",), expose_reason=True, resource_metadata="https://a.example/x")

    (challenge,) = read_challenges(door.headers(error)["www-authenticate"])

    assert challenge.scheme == "Bearer"
    assert {"realm", "resource_metadata"} <= dict(challenge.parameters).keys()
