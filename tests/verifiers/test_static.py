"""StaticTokenVerifier: exact tokens, kept as digests, with an end that is checked each time."""

from __future__ import annotations

import json
import logging
import secrets
from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType
from typing import Any

import pytest
from contract import VerifierContract
from fakes import Clock

from asgi_bearer import InvalidToken, Reason, StaticTokenVerifier

READER = "a-token-of-the-reader"
ENTRY: dict[str, Any] = {"client_id": "app", "sub": "alice", "scopes": ["read", "write"]}


class TestContract(VerifierContract):
    good = READER
    refused = "a-token-of-nobody-here"

    def make(self, **options: Any) -> StaticTokenVerifier:
        return StaticTokenVerifier({READER: ENTRY}, **options)


async def test_what_else_an_entry_has_becomes_claims() -> None:
    verifier = StaticTokenVerifier({READER: {**ENTRY, "email": "alice@example.com", "roles": ["admin"]}})

    token = await verifier.verify_token(READER)

    assert json.loads(json.dumps(token.claims)) == {
        "client_id": "app",
        "sub": "alice",
        "scope": "read write",
        "email": "alice@example.com",
        "roles": ["admin"],
    }
    assert (token.issuer, token.audience, token.expires_at) == (None, (), None)


async def test_an_entry_with_a_cnf_is_bound() -> None:
    tokens: dict[str, dict[str, Any]] = {
        "bound": {"client_id": "app", "cnf": {"jkt": "x"}},
        "free": {"client_id": "app"},
    }
    verifier = StaticTokenVerifier(tokens)

    assert (await verifier.verify_token("bound")).is_bound
    assert not (await verifier.verify_token("free")).is_bound


async def test_an_entry_needs_a_client_and_nothing_else() -> None:
    token = await StaticTokenVerifier({READER: {"client_id": "app"}}).verify_token(READER)

    assert (token.client_id, token.scopes, token.subject, token.expires_at) == ("app", (), None, None)
    assert "sub" not in token.claims


async def test_each_token_has_its_own_entry() -> None:
    verifier = StaticTokenVerifier({f"token-{number}": {"client_id": f"app-{number}"} for number in range(5)})

    clients = [(await verifier.verify_token(f"token-{number}")).client_id for number in range(5)]

    assert clients == [f"app-{number}" for number in range(5)]


async def test_a_change_of_the_dict_afterwards_changes_nothing() -> None:
    entry = {"client_id": "app", "scopes": ["read"], "roles": ["user"]}
    tokens = {READER: entry}
    verifier = StaticTokenVerifier(tokens)

    entry["roles"].append("admin")  # type: ignore[attr-defined]
    entry["scopes"] = ["read", "delete"]
    tokens["another-token"] = entry

    token = await verifier.verify_token(READER)
    assert (token.scopes, token.claims["roles"]) == (("read",), ("user",))
    with pytest.raises(InvalidToken):
        await verifier.verify_token("another-token")


END = 1_800_000_100
PARIS = timezone(timedelta(hours=1))
ENDS = [
    pytest.param(END, id="epoch seconds"),
    pytest.param(float(END), id="epoch seconds with a fraction"),
    pytest.param(datetime.fromtimestamp(END, UTC), id="a datetime in UTC"),
    pytest.param(datetime.fromtimestamp(END, PARIS), id="a datetime elsewhere"),
]


@pytest.mark.parametrize("expires_at", ENDS)
async def test_a_token_is_good_until_its_end_and_refused_from_then_on(expires_at: Any) -> None:
    clock = Clock(END - 0.5)
    verifier = StaticTokenVerifier({READER: {**ENTRY, "expires_at": expires_at}}, clock=clock)

    token = await verifier.verify_token(READER)
    assert token.expires_at == datetime.fromtimestamp(END, UTC)
    assert token.expires_at.tzinfo is UTC

    clock.advance(0.5)
    with pytest.raises(InvalidToken) as caught:
        await verifier.verify_token(READER)
    assert caught.value.reason == Reason.expired


async def test_an_unknown_token_is_inactive() -> None:
    with pytest.raises(InvalidToken) as caught:
        await StaticTokenVerifier({READER: ENTRY}).verify_token("a-token-of-nobody-here")

    assert caught.value.reason == Reason.inactive


def test_it_says_once_that_it_is_for_development(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "asgi_bearer")

    StaticTokenVerifier({READER: ENTRY, "another-token": ENTRY})

    assert [record.message for record in caplog.records] == [
        "StaticTokenVerifier is for development and tests: its tokens stand in the configuration"
    ]


async def test_it_keeps_digests_and_no_token() -> None:
    token = secrets.token_hex()
    verifier = StaticTokenVerifier({token: ENTRY})
    await verifier.verify_token(token)

    texts, waiting = [], [vars(verifier)]
    while waiting:
        found: Any = waiting.pop()
        if isinstance(found, dict):
            waiting += [*found, *found.values()]
        elif isinstance(found, list | tuple):
            waiting += found
        elif isinstance(found, str | bytes):
            texts.append(found)

    assert not [text for text in texts if text in (token, token.encode())]
    assert any(isinstance(text, bytes) and len(text) == 32 for text in texts)


def entry(**members: Any) -> dict[str, Any]:
    return {READER: {"client_id": "app", **members}}


@pytest.mark.parametrize(
    ("tokens", "sentence"),
    [
        pytest.param(None, "tokens is a dict of tokens, .* not NoneType", id="None"),
        pytest.param([READER], "tokens is a dict of tokens, .* not list", id="a list"),
        pytest.param({1: ENTRY}, "each token of tokens is a str, not int", id="a number for a token"),
        pytest.param({READER: "app"}, "each token's entry is a dict such as .* not str", id="a str for an entry"),
        pytest.param(entry(client_id=1), "client_id is a str, not int", id="client_id"),
        pytest.param(entry(client_id=None), "client_id is a str, not NoneType", id="no client_id"),
        pytest.param(entry(scopes="read"), "scopes is a sequence of scopes, not a str", id="scopes"),
        pytest.param(entry(sub=1), "sub is a str, not int", id="sub"),
        pytest.param(entry(expires_at="2030-01-01"), "expires_at is epoch seconds or an aware datetime", id="a date"),
        pytest.param(entry(expires_at=True), "expires_at is epoch seconds or an aware datetime, not bool", id="a bool"),
        pytest.param({READER: {"client_id": "app", 1: 2}}, "the name of each claim is a str, not int", id="a name"),
    ],
)
def test_a_configuration_of_the_wrong_type_is_a_type_error(tokens: Any, sentence: str) -> None:
    with pytest.raises(TypeError, match=sentence):
        StaticTokenVerifier(tokens)


@pytest.mark.parametrize(
    ("tokens", "sentence"),
    [
        pytest.param({}, "tokens is empty: nobody could come in", id="no token"),
        pytest.param({"": ENTRY}, "each token of tokens is empty", id="an empty token"),
        pytest.param({"my token": ENTRY}, "each token of tokens is letters, digits", id="a token with a space"),
        pytest.param({"a=b": ENTRY}, "each token of tokens is letters, digits", id="padding within"),
        pytest.param({"abc\n": ENTRY}, "each token of tokens is letters, digits", id="a line break"),
        pytest.param({"caf\u00e9": ENTRY}, "each token of tokens is letters, digits", id="not ASCII"),
        pytest.param({READER: {}}, "each token's entry has a client_id", id="no client"),
        pytest.param(entry(client_id=""), "client_id is empty", id="an empty client"),
        pytest.param(entry(scope="read"), r"write \{'scopes': \['read'\], ...\}, and no scope", id="scope"),
        pytest.param(entry(scopes=["a b"]), "scopes: 'a b' is not a scope", id="two scopes in one"),
        pytest.param(entry(sub=""), "sub is empty", id="an empty sub"),
        pytest.param(entry(expires_at=datetime(2030, 1, 1)), "expires_at must be aware", id="naive"),  # noqa: DTZ001
        pytest.param(entry(expires_at=-1), "expires_at is epoch seconds between 1970 and 9999", id="before 1970"),
        pytest.param(entry(expires_at=1e12), "expires_at is epoch seconds between 1970 and 9999", id="milliseconds"),
        pytest.param(entry(expires_at=float("nan")), "expires_at is epoch seconds between", id="NaN"),
        pytest.param(entry(roles={"admin"}), "roles is not something that JSON can hold", id="a set"),
        pytest.param(entry(weight=float("inf")), "weight is not something that JSON can hold", id="infinity"),
    ],
)
def test_a_configuration_that_cannot_be_meant_is_a_value_error(tokens: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as caught:
        StaticTokenVerifier(tokens)

    assert not [token for token in tokens if len(str(token)) > 1 and str(token) in str(caught.value)]


async def test_any_mapping_will_do() -> None:
    tokens = MappingProxyType({READER: MappingProxyType(ENTRY)})

    assert (await StaticTokenVerifier(tokens).verify_token(READER)).client_id == "app"
