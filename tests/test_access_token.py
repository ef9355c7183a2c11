"""The verified caller: what a handler reads, what nobody can change, and what no repr shows."""

from __future__ import annotations

import copy
import json
import pickle
import threading
from contextvars import copy_context
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, cast

import pytest

from asgi_bearer.access_token import (
    AccessToken,
    Anonymous,
    AnonymousUser,
    BearerUser,
    ReadOnlyDict,
    Verdict,
    fingerprint,
    freeze,
    get_access_token,
)
from asgi_bearer.errors import Door, InsufficientScope, MissingToken, current_door

if TYPE_CHECKING:
    from collections.abc import Callable

ENDS = datetime(2030, 1, 1, tzinfo=UTC)
CLAIMS: dict[str, Any] = {"email": "ada@example.com", "realm_access": {"roles": ["admin", {"x": [1]}]}}


def make_token(**changes: Any) -> AccessToken:
    facts: dict[str, Any] = {
        "token": "secret-token",
        "client_id": "app",
        "scopes": ["read", "write"],
        "expires_at": ENDS,
        "subject": "user-1",
        "issuer": "https://idp.example",
        "audience": ["https://api.example"],
        "claims": CLAIMS,
    }
    return AccessToken(**{**facts, **changes})


# --- facts


def test_a_token_tells_what_it_was_made_of() -> None:
    token = make_token()

    assert token.token == "secret-token"
    assert token.client_id == "app"
    assert token.scopes == ("read", "write")
    assert token.expires_at == ENDS
    assert token.subject == "user-1"
    assert token.issuer == "https://idp.example"
    assert token.audience == ("https://api.example",)
    assert token.claims["email"] == "ada@example.com"


def test_all_but_token_and_client_may_be_left_out() -> None:
    token = AccessToken(token="t", client_id="app")

    assert (token.scopes, token.expires_at, token.audience, token.claims) == ((), None, (), {})
    assert token.principal_key == (None, None, "app")


def test_a_token_with_a_cnf_is_bound_whatever_it_holds() -> None:
    def token(**claims: object) -> AccessToken:
        return AccessToken(token="t", client_id="app", claims=claims)

    assert token(cnf={"jkt": "x"}).is_bound
    assert token(cnf=None).is_bound
    assert not token(sub="alice").is_bound
    assert not AccessToken(token="t", client_id="app").is_bound


def test_a_verdict_and_a_token_make_an_access_token() -> None:
    claims = ReadOnlyDict({"a": 1})
    verdict = Verdict(
        "app", ("read",), ENDS.timestamp(), "user-1", "https://idp.example", ("api",), claims, is_bound=False
    )

    token = AccessToken.from_verdict("t", verdict)

    assert token == AccessToken(
        token="t",
        client_id="app",
        scopes=["read"],
        expires_at=ENDS,
        subject="user-1",
        issuer="https://idp.example",
        audience=["api"],
        claims={"a": 1},
    )


def test_the_end_is_in_utc_whatever_zone_it_was_given_in() -> None:
    token = make_token(expires_at=datetime(2030, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))))

    assert token.expires_at == ENDS
    assert token.expires_at is not None
    assert token.expires_at.tzinfo is UTC


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        pytest.param({"token": None}, "^token is a str, not NoneType$", id="no token"),
        pytest.param({"token": b"t"}, "^token is a str, not bytes$", id="a token of bytes"),
        pytest.param({"client_id": None}, "^client_id is a str, not NoneType$", id="no client"),
        pytest.param({"client_id": 7}, "^client_id is a str, not int$", id="a client by number"),
        pytest.param(
            {"scopes": "read"}, r"^scopes and audience are sequences of str: write \('read', 'write'\)$", id="scopes"
        ),
        pytest.param({"audience": "api"}, r"^scopes and audience are sequences of str: write \(", id="audience"),
        pytest.param(
            {"expires_at": 1_900_000_000},
            r"^expires_at is a datetime, not int: write datetime.fromtimestamp\(seconds, UTC\)$",
            id="an end in epoch seconds",
        ),
    ],
)
def test_a_fact_of_another_type_is_a_type_error(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(TypeError, match=sentence):
        make_token(**changes)


def test_an_end_without_a_zone_is_a_value_error() -> None:
    with pytest.raises(ValueError, match=r"^expires_at must be aware: write datetime\(..., tzinfo=UTC\)$"):
        make_token(expires_at=datetime(2030, 1, 1))  # noqa: DTZ001  # the mistake


# --- scopes


@pytest.mark.parametrize(
    ("asked", "granted"),
    [
        pytest.param((), True, id="nothing"),
        pytest.param(("read",), True, id="one of them"),
        pytest.param(("write", "read"), True, id="all of them"),
        pytest.param(("read", "admin"), False, id="one that is missing"),
        pytest.param(("rea",), False, id="the beginning of one"),
        pytest.param(("READ",), False, id="another case"),
        pytest.param(("read write",), False, id="two in one str"),
        pytest.param(("",), False, id="empty"),
    ],
)
def test_a_scope_is_granted_exactly_or_not(asked: tuple[str, ...], granted: bool) -> None:
    assert make_token().has_scopes(*asked) is granted


def test_to_require_what_is_granted_raises_nothing() -> None:
    make_token().require_scopes("read", "write")


def test_to_require_more_names_all_that_is_required() -> None:
    with pytest.raises(InsufficientScope) as caught:
        make_token().require_scopes("read", "data:read_sensitive")

    assert caught.value.required == ("read", "data:read_sensitive")


# --- who it is


def test_mc6_the_principal_key_is_the_same_in_every_token_of_a_caller() -> None:
    first, second = make_token(token="a", scopes=["read"]), make_token(token="b", expires_at=None)

    assert first.principal_key == second.principal_key == ("https://idp.example", "user-1", "app")


@pytest.mark.parametrize(
    "changes",
    [{"issuer": "https://other.example"}, {"subject": "user-2"}, {"client_id": "other"}],
    ids=lambda c: next(iter(c)),
)
def test_b7_the_principal_keys_of_two_callers_differ(changes: dict[str, str]) -> None:
    assert make_token(**changes).principal_key != make_token().principal_key


# --- immutable


@pytest.mark.parametrize(
    "name", ["token", "client_id", "scopes", "expires_at", "subject", "issuer", "audience", "claims", "_token", "extra"]
)
def test_nothing_of_a_token_can_be_set_or_deleted(name: str) -> None:
    token = make_token()

    with pytest.raises(AttributeError, match=f"^an AccessToken is read-only: {name} cannot be set$"):
        setattr(token, name, "x")
    with pytest.raises(AttributeError, match=f"^an AccessToken is read-only: {name} cannot be deleted$"):
        delattr(token, name)
    assert token == make_token()


def test_cl12_the_claims_are_a_copy_of_what_was_given() -> None:
    given = copy.deepcopy(CLAIMS)
    token = make_token(claims=given)

    given["realm_access"]["roles"].append("root")

    assert token.claims["realm_access"]["roles"] == ("admin", {"x": (1,)})


def test_a_copy_of_a_token_is_the_token() -> None:
    token = make_token()

    assert copy.copy(token) is token
    assert copy.deepcopy([token])[0] is token


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_op3_a_token_is_not_pickled(protocol: int) -> None:
    with pytest.raises(
        TypeError, match=r"^an AccessToken holds a credential and is not pickled: pass dict\(token\.claims\)"
    ):
        pickle.dumps(make_token(), protocol)


def test_what_is_offered_instead_of_a_pickled_token_can_be_pickled() -> None:
    token = make_token()

    for value in (dict(token.claims), token.principal_key):
        assert pickle.loads(pickle.dumps(value)) == value  # noqa: S301


# --- equality


def test_tokens_with_the_same_facts_are_equal_and_hash_alike() -> None:
    assert make_token() == make_token()
    assert hash(make_token()) == hash(make_token())
    assert len({make_token(), make_token(), make_token(token="other")}) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"token": "other"},
        {"client_id": "other"},
        {"scopes": ["read"]},
        {"expires_at": None},
        {"subject": None},
        {"issuer": None},
        {"audience": []},
        {"claims": {}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_tokens_that_differ_in_a_fact_are_not_equal(changes: dict[str, Any]) -> None:
    assert make_token(**changes) != make_token()


def test_a_token_is_equal_to_no_str() -> None:
    assert make_token() != "secret-token"


# --- repr


def test_op2_a_repr_names_the_token_by_its_hash_and_shows_no_claim() -> None:
    token = make_token()

    # printf secret-token | sha256sum
    assert repr(token) == "AccessToken(930bbdc5, expires_at=2030-01-01 00:00:00+00:00, scopes=2)"
    assert str(token) == repr(token)


def test_op2_nothing_that_holds_a_token_shows_it_or_a_claim() -> None:
    token = make_token()
    verdict = Verdict("app", ("read", "write"), ENDS.timestamp(), "user-1", "idp", (), freeze(CLAIMS), is_bound=False)
    shown = f"{BearerUser(token)!r} {verdict!r} {Door(token, cast('Any', None))!r} {[token]!r}"

    assert repr(verdict) == "Verdict(expires_at=1893456000.0, scopes=2)"
    for secret in ("secret-token", "user-1", "ada@example.com", "idp.example", "admin"):
        assert secret not in shown


@pytest.mark.parametrize(
    ("token", "name"),
    [("", "e3b0c442"), ("abc", "ba7816bf"), ("\ud800", "91a681b9")],
    ids=["empty", "abc", "a lone surrogate"],
)
def test_a_fingerprint_is_the_beginning_of_the_sha_256(token: str, name: str) -> None:
    assert fingerprint(token) == name


# --- claims


MUTATORS: list[Any] = [
    pytest.param(lambda claims: claims.__setitem__("email", "x"), id="set an item"),
    pytest.param(lambda claims: claims.__delitem__("email"), id="delete an item"),
    pytest.param(lambda claims: claims.__ior__({"email": "x"}), id="|="),
    pytest.param(lambda claims: claims.clear(), id="clear"),
    pytest.param(lambda claims: claims.pop("email"), id="pop"),
    pytest.param(lambda claims: claims.pop("nothing", None), id="pop with a default"),
    pytest.param(lambda claims: claims.popitem(), id="popitem"),
    pytest.param(lambda claims: claims.setdefault("new", "x"), id="setdefault"),
    pytest.param(lambda claims: claims.update(email="x"), id="update by keyword"),
    pytest.param(lambda claims: claims.update({"email": "x"}), id="update by dict"),
]


@pytest.mark.parametrize("mutate", MUTATORS)
@pytest.mark.parametrize(
    "find",
    [lambda claims: claims, lambda claims: claims["realm_access"], lambda claims: claims["realm_access"]["roles"][1]],
    ids=["claims", "an object within", "an object in an array"],
)
def test_claims_cannot_be_changed_at_any_depth(find: Callable[[Any], Any], mutate: Callable[[Any], Any]) -> None:
    claims = make_token().claims

    with pytest.raises(TypeError, match=r"^claims are read-only: dict\(token.claims\) is a copy that can be changed$"):
        mutate(find(claims))

    assert json.loads(json.dumps(claims)) == CLAIMS


def test_every_mutator_of_dict_is_in_the_table_above() -> None:
    mutators = {name for name in vars(dict) if name not in READERS}

    assert {name for name in mutators if vars(ReadOnlyDict).get(name) is not vars(ReadOnlyDict)["clear"]} == set()


READERS = {
    *vars(object),
    *("__class_getitem__", "__contains__", "__getitem__", "__iter__", "__len__", "__or__", "__reversed__", "__ror__"),
    *("copy", "fromkeys", "get", "items", "keys", "values"),
}


def test_to_call_the_constructor_again_changes_nothing() -> None:
    claims = ReadOnlyDict({"a": 1})

    claims.__init__({"a": 2, "b": 3})  # type: ignore[misc]  # the mistake

    assert claims == {"a": 1}


def test_claims_have_no_attributes() -> None:
    with pytest.raises(AttributeError):
        ReadOnlyDict().extra = 1  # type: ignore[attr-defined]


def test_json_dumps_takes_claims_as_they_were() -> None:
    assert json.loads(json.dumps(make_token().claims)) == CLAIMS


@pytest.mark.parametrize(
    "make_copy",
    [
        pytest.param(dict, id="dict"),
        pytest.param(lambda claims: claims.copy(), id="its own copy"),
        pytest.param(copy.copy, id="copy.copy"),
        pytest.param(copy.deepcopy, id="copy.deepcopy"),
        pytest.param(lambda claims: pickle.loads(pickle.dumps(claims)), id="pickle"),  # noqa: S301
        pytest.param(lambda claims: claims | {}, id="|"),
        pytest.param(lambda claims: {} | claims, id="| from the right"),
        pytest.param(lambda claims: {**claims}, id="two stars"),
    ],
)
def test_a_copy_of_claims_is_a_plain_dict_that_can_be_changed(make_copy: Callable[[Any], Any]) -> None:
    claims = make_token().claims

    copied = make_copy(claims)
    assert copied == claims
    assert type(copied) is dict
    copied["email"] = "x"

    assert claims["email"] == "ada@example.com"


@pytest.mark.parametrize(
    "make_copy",
    [
        pytest.param(copy.deepcopy, id="copy.deepcopy"),
        pytest.param(lambda claims: pickle.loads(pickle.dumps(claims)), id="pickle"),  # noqa: S301
    ],
)
def test_a_deep_copy_of_claims_is_plain_within(make_copy: Callable[[Any], Any]) -> None:
    claims = make_token().claims

    copied = make_copy(claims)
    copied["realm_access"]["roles"][1]["x"] = "changed"

    assert type(copied["realm_access"]) is dict
    assert claims["realm_access"]["roles"][1]["x"] == (1,)


def test_freeze_leaves_what_cannot_change_as_it_is() -> None:
    assert freeze("a") == "a"
    assert freeze(None) is None
    assert freeze(([1], {"a": [2]})) == ((1,), {"a": (2,)})


# --- nobody, and the user


def test_the_anonymous_caller_is_falsy_and_has_no_scope() -> None:
    nobody = Anonymous()

    assert not nobody
    assert nobody.scopes == ()
    assert repr(nobody) == "Anonymous()"
    assert nobody.has_scopes()
    assert not nobody.has_scopes("read")


def test_to_require_a_scope_of_nobody_is_a_missing_token() -> None:
    Anonymous().require_scopes()

    with pytest.raises(MissingToken):
        Anonymous().require_scopes("read")


def test_a_token_is_truthy() -> None:
    assert bool(make_token(scopes=(), claims={})) is True


@pytest.mark.parametrize(
    ("changes", "identity", "display_name"),
    [
        pytest.param({}, "user-1", "user-1", id="the subject"),
        pytest.param({"subject": None}, "app", "app", id="the client without a subject"),
        pytest.param({"claims": {"name": "Ada"}}, "user-1", "Ada", id="the name to show"),
        pytest.param({"claims": {"name": ["Ada"]}}, "user-1", "user-1", id="a name that is no str"),
    ],
)
def test_the_user_is_called_by_what_the_token_says(changes: dict[str, Any], identity: str, display_name: str) -> None:
    token = make_token(**changes)

    user = BearerUser(token)

    assert user.is_authenticated
    assert user.access_token is token
    assert (user.identity, user.display_name) == (identity, display_name)


def test_the_anonymous_user_is_nobody() -> None:
    user = AnonymousUser()

    assert not user.is_authenticated
    assert (user.identity, user.display_name, user.access_token) == ("", "", None)


# --- the current request


def inside(token: AccessToken | None, call: Callable[[], Any]) -> Any:
    """Return what `call` returns inside of a door with `token`."""

    def run() -> Any:
        current_door.set(Door(token, cast("Any", None)))
        return call()

    return copy_context().run(run)


def test_outside_of_a_request_there_is_no_token() -> None:
    assert get_access_token() is None


def test_inside_of_a_request_the_token_is_found() -> None:
    token = make_token()

    assert inside(token, get_access_token) is token
    assert inside(None, get_access_token) is None
    assert get_access_token() is None


def test_an_inner_door_without_a_caller_hides_the_token_of_the_outer() -> None:
    assert inside(make_token(), lambda: inside(None, get_access_token)) is None


def test_a_thread_that_gets_the_context_finds_the_token() -> None:
    token = make_token()
    found: list[AccessToken | None] = []

    def in_thread() -> None:
        context = copy_context()
        thread = threading.Thread(target=context.run, args=(lambda: found.append(get_access_token()),))
        thread.start()
        thread.join()

    inside(token, in_thread)

    assert found == [token]
