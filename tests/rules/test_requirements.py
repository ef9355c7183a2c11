"""Requirements: who meets them, and which challenge each failure gives (RFC 6750 section 3.1, RFC 9470)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from asgi_bearer import (
    AccessToken,
    BearerError,
    InsufficientAuthentication,
    InsufficientScope,
    InvalidToken,
    Reason,
    Requirement,
    acr,
    any_scope,
    claim,
    role,
    scopes,
)
from asgi_bearer.rules.requirements import Circumstances, require_requirement, scopes_of

if TYPE_CHECKING:
    from collections.abc import Sequence

NOW = 1_800_000_000


def token(*granted: str, **claims: Any) -> AccessToken:
    return AccessToken(token="t", client_id="app", scopes=granted, claims=claims)


def denial(requirement: Requirement, caller: AccessToken, **circumstances: Any) -> BearerError | None:
    return requirement.denial(caller, Circumstances(NOW, **circumstances))


def scopes_asked(requirement: Requirement, caller: AccessToken) -> tuple[str, ...]:
    error = denial(requirement, caller)
    assert isinstance(error, InsufficientScope)
    return error.required


READ = token("read")

MET: list[tuple[Requirement, AccessToken]] = [
    (scopes("read"), READ),
    (scopes("read", "write"), token("write", "x", "read")),
    (any_scope("read"), READ),
    (any_scope("write", "read"), READ),
    (claim("tenant", "a"), token(tenant="a")),
    (claim("groups", "a"), token(groups=["b", "a"])),
    (claim("level", 3), token(level=3)),
    (claim("ratio", 0.5), token(ratio=0.5)),
    (claim("admin", value=True), token(admin=True)),
    (claim("a.b", "c"), token(a={"b": "c"})),
    (claim("https://x.example/a", "c"), token(**{"https://x.example/a": "c"})),
    (role("editor"), token(roles=["viewer", "editor"])),
    (role("editor"), token(roles="editor")),
    (role("editor", path="realm_access.roles"), token(realm_access={"roles": ["editor"]})),
    (acr("gold", "silver"), token(acr="silver")),
    (acr(max_age=60), token(auth_time=NOW - 60)),
    (acr("gold", max_age=0), token(acr="gold", auth_time=NOW)),
    (scopes("read") & role("editor"), token("read", roles=["editor"])),
    (scopes("read") | role("editor"), READ),
    (scopes("read") | role("editor"), token(roles=["editor"])),
    (scopes("a") & scopes("b") & scopes("c"), token("a", "b", "c")),
    (scopes("a") & (scopes("b") | scopes("c")), token("a", "c")),
]


@pytest.mark.parametrize(("requirement", "caller"), MET, ids=[f"{n} {row[0]!r}" for n, row in enumerate(MET)])
def test_who_has_what_is_asked_for_meets_it(requirement: Requirement, caller: AccessToken) -> None:
    assert denial(requirement, caller) is None


UNMET: list[tuple[Requirement, AccessToken, tuple[str, ...]]] = [
    (scopes("write"), READ, ("write",)),
    (scopes("read", "write"), READ, ("read", "write")),
    (scopes("rea"), READ, ("rea",)),
    (scopes("READ"), READ, ("READ",)),
    (any_scope("write", "admin"), READ, ("write",)),
    (claim("tenant", "a"), READ, ()),
    (claim("tenant", "a"), token(tenant="A"), ()),
    (claim("tenant", "a"), token(tenant="a b"), ()),
    (claim("tenant", "a"), token(tenant={"a": 1}), ()),
    (claim("tenant", "a"), token(tenant=[["a"]]), ()),
    (claim("tenant", "a"), token(tenant=None), ()),
    (claim("admin", value=True), token(admin=1), ()),
    (claim("admin", value=True), token(admin="true"), ()),
    (claim("level", 1), token(level=True), ()),
    (claim("level", 1), token(level=1.0), ()),
    (claim("level", 1), token(level="1"), ()),
    (claim("a.b", "c"), token(a=["b"]), ()),
    (role("editor"), token(roles=["editors"]), ()),
    (role("editor", path="realm_access.roles"), token(roles=["editor"]), ()),
    (scopes("read") & scopes("write"), READ, ("read", "write")),
    (scopes("read") & role("editor"), READ, ("read",)),
    (scopes("write") & any_scope("a", "b"), token("b"), ("write", "b")),
    (scopes("write") & any_scope("a", "b"), READ, ("write", "a")),
    (any_scope("a", "b") & any_scope("c"), token("a"), ("a", "c")),
    (role("editor") | scopes("write"), READ, ("write",)),
    (scopes("write") | scopes("admin"), READ, ("write",)),
    (role("a") | role("b"), READ, ()),
    (scopes("x") & (role("editor") | scopes("write")), token("x"), ("x", "write")),
    (scopes("x") & (role("editor") | scopes("write")), token(roles=["editor"]), ("x",)),
]


@pytest.mark.parametrize(
    ("requirement", "caller", "asked"), UNMET, ids=[f"{n} {row[0]!r}" for n, row in enumerate(UNMET)]
)
def test_a_denial_names_all_scopes_that_the_request_needs(
    requirement: Requirement, caller: AccessToken, asked: tuple[str, ...]
) -> None:
    assert scopes_asked(requirement, caller) == asked


WEAK: list[tuple[Requirement, AccessToken]] = [
    (acr("gold"), READ),
    (acr("gold"), token(acr="silver")),
    (acr("gold"), token(acr=["gold"])),
    (acr("gold"), token(acr=5)),
    (acr("gold", max_age=60), token(acr="gold")),
    (acr("gold", max_age=60), token(auth_time=NOW)),
    (acr("gold", max_age=60), token(acr="gold", auth_time=NOW - 60.5)),
    (acr("gold", max_age=60), token(acr="gold", auth_time=str(NOW))),
    (acr("gold", max_age=60), token(acr="gold", auth_time=True)),
    (acr("gold", max_age=60), token(acr="gold", auth_time=None)),
    (scopes("write") & acr("gold", max_age=60), READ),
    (acr("gold", max_age=60) & scopes("write"), READ),
    (role("editor") | acr("gold", max_age=60), READ),
]


@pytest.mark.parametrize(("requirement", "caller"), WEAK, ids=[f"{n} {row[0]!r}" for n, row in enumerate(WEAK)])
def test_a_login_that_is_too_weak_or_too_old_is_asked_for_again_before_any_scope(
    requirement: Requirement, caller: AccessToken
) -> None:
    error = denial(requirement, caller)

    assert isinstance(error, InsufficientAuthentication)
    assert error.acr_values == ("gold",)
    assert error.max_age in {60, None}


def test_scopes_may_cover_others_where_the_door_says_so() -> None:
    def covers(granted: Sequence[str], required: str) -> bool:
        return any(required == scope or required.startswith(f"{scope}:") for scope in granted)

    caller = token("items")

    assert denial(scopes("items:read", "items"), caller, covers=covers) is None
    assert denial(any_scope("other", "items:read"), caller, covers=covers) is None
    assert isinstance(denial(scopes("itemsread"), caller, covers=covers), InsufficientScope)
    assert isinstance(denial(scopes("items:read"), caller), InsufficientScope)


class Weekday(Requirement):
    """One of somebody's own."""

    def __init__(self, error: BearerError) -> None:
        self.error = error

    def denial(self, token: AccessToken, circumstances: Circumstances) -> BearerError | None:
        del token
        return None if circumstances.now == 0 else self.error

    def __repr__(self) -> str:
        return "weekday()"


def test_one_of_your_own_joins_the_others() -> None:
    requirement = scopes("read") & Weekday(InsufficientScope("workdays"))

    assert scopes_asked(requirement, READ) == ("read", "workdays")
    assert requirement.denial(READ, Circumstances(0)) is None
    assert repr(requirement) == "scopes('read') & weekday()"
    assert requirement.scopes == ("read",)
    refusal = InvalidToken(Reason.revoked)
    assert denial(scopes("write") & Weekday(refusal), READ) is refusal


@pytest.mark.parametrize(
    ("requirement", "text", "named"),
    [
        (scopes("a", "b", "a"), "scopes('a', 'b')", ("a", "b")),
        (any_scope("a", "b"), "any_scope('a', 'b')", ("a", "b")),
        (claim("a.b", value=True), "claim('a.b', True)", ()),
        (role("x"), "role('x', path='roles')", ()),
        (acr("gold", max_age=5), "acr('gold', max_age=5)", ()),
        (acr(max_age=5), "acr(max_age=5)", ()),
        (scopes("a") & any_scope("b", "a"), "scopes('a') & any_scope('b', 'a')", ("a", "b")),
        (scopes("a") | scopes("b") & role("x"), "scopes('a') | scopes('b') & role('x', path='roles')", ("a", "b")),
        ((scopes("a") | scopes("b")) & role("x"), "(scopes('a') | scopes('b')) & role('x', path='roles')", ("a", "b")),
    ],
    ids=repr,
)
def test_it_shows_itself_as_it_was_written_and_names_its_scopes(
    requirement: Requirement, text: str, named: tuple[str, ...]
) -> None:
    assert repr(requirement) == text
    assert requirement.scopes == scopes_of([requirement, requirement]) == named


WRONG: list[tuple[Any, type[Exception], str]] = [
    (scopes, ValueError, "scopes asks for nothing: write scopes('read')"),
    (any_scope, ValueError, "any_scope asks for nothing"),
    (lambda: scopes("a b"), ValueError, "scopes: 'a b' is not a scope"),
    (lambda: scopes(""), ValueError, "scopes: '' is not a scope"),
    (lambda: scopes(cast("Any", ["a"])), TypeError, "each scope of scopes is a str, not list"),
    (lambda: claim("", 1), ValueError, "claim: path is empty"),
    (lambda: claim("a", cast("Any", None)), TypeError, "claim: value is a str, a number or a bool, not NoneType"),
    (lambda: claim("a", cast("Any", ["b"])), TypeError, "not list: join several by |"),
    (lambda: role(""), ValueError, "role: name is empty"),
    (lambda: role(cast("Any", 5)), TypeError, "role: name is a str, not int"),
    (lambda: role("a", path=cast("Any", 5)), TypeError, "role: path is a str, not int"),
    (acr, ValueError, "acr asks for nothing: write acr('urn:example:silver'), acr(max_age=300), or both"),
    (lambda: acr("a b"), ValueError, "'a b' is not an acr value"),
    (lambda: acr(max_age=-1), ValueError, "max_age is a number of seconds"),
    (lambda: acr(max_age=True), ValueError, "max_age is a number of seconds"),
    (lambda: scopes("a") & "b", TypeError, "unsupported operand"),
    (lambda: scopes("a") | None, TypeError, "unsupported operand"),
    (
        lambda: require_requirement("rules", "admin"),
        TypeError,
        "rules is a requirement, not str: write scopes('admin')",
    ),
    (lambda: require_requirement("rules", ["a"]), TypeError, "rules is a requirement, not list: write scopes('read')"),
    (lambda: Requirement().denial(READ, Circumstances(NOW)), NotImplementedError, ""),
]


@pytest.mark.parametrize(("make", "kind", "sentence"), WRONG, ids=[f"{n} {row[2]}" for n, row in enumerate(WRONG)])
def test_what_cannot_be_meant_is_said_at_once(make: Any, kind: type[Exception], sentence: str) -> None:
    with pytest.raises(kind) as caught:
        make()

    assert sentence in str(caught.value)
