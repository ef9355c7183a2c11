"""The steps after verification: checks, the binding of a token (`cnf`), and the door's own scopes, in this order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from fakes import Echo, call, http_scope

from asgi_bearer import (
    AccessToken,
    BearerMiddleware,
    InsufficientAuthentication,
    InsufficientScope,
    InvalidToken,
    Reason,
    VerifierUnavailable,
)
from asgi_bearer.events import Event, Rejected

if TYPE_CHECKING:
    from asgi_bearer import BearerError

GOOD = (b"authorization", b"Bearer a-token")


class Verifier:
    """Vouches for a token with these claims."""

    def __init__(self, **claims: Any) -> None:
        self._claims = claims

    async def verify_token(self, token: str) -> AccessToken:
        return AccessToken(token=token, client_id="app", scopes=("read",), claims=self._claims)


class Check:
    """Notes that it was asked, and raises `refusal` if it has one."""

    def __init__(self, name: str, journal: list[str], refusal: BearerError | None = None) -> None:
        self._name = name
        self._journal = journal
        self._refusal = refusal

    async def check(self, token: AccessToken, scope: Any) -> None:
        self._journal.append(f"{self._name} {token.client_id} {scope['path']}")
        if self._refusal is not None:
            raise self._refusal


class Confirms:
    """A check that proves members of `cnf`."""

    def __init__(self, *names: str) -> None:
        self.confirms = names

    async def check(self, token: AccessToken, scope: Any) -> None:
        return None


async def test_checks_are_asked_in_order_with_the_token_and_the_scope_until_one_refuses() -> None:
    journal: list[str] = []
    checks = [Check("first", journal), Check("second", journal, InvalidToken(Reason.revoked)), Check("third", journal)]
    app = Echo()

    sent = await call(BearerMiddleware(app, Verifier(), checks=checks), http_scope(GOOD, path="/x"))

    assert journal == ["first app /x", "second app /x"]
    assert sent[0]["status"] == 401
    assert app.scopes == []


async def test_who_passes_every_check_comes_in() -> None:
    journal: list[str] = []
    checks = (Check(name, journal) for name in ("first", "second"))

    sent = await call(BearerMiddleware(Echo(), Verifier(), checks=checks), http_scope(GOOD))

    assert journal == ["first app /", "second app /"]
    assert sent[0]["status"] == 200


@pytest.mark.parametrize(
    ("refusal", "status", "header"),
    [
        pytest.param(
            InsufficientAuthentication(["phr", "phrh"], max_age=300),
            401,
            (
                b"www-authenticate",
                (
                    b'Bearer realm="api", scope="read", error="insufficient_user_authentication", '
                    b'error_description="This request needs a stronger or more recent authentication.", '
                    b'acr_values="phr phrh", max_age="300"'
                ),
            ),
            id="a stronger login",
        ),
        pytest.param(
            InsufficientScope(["delete"]),
            403,
            (
                b"www-authenticate",
                (
                    b'Bearer realm="api", scope="read delete", error="insufficient_scope", '
                    b'error_description="The access token lacks a permission that this request needs."'
                ),
            ),
            id="another scope",
        ),
        pytest.param(VerifierUnavailable("the store is down", 5), 503, (b"retry-after", b"5"), id="a store is down"),
    ],
)
async def test_a_checks_refusal_is_answered_like_a_verifiers(
    refusal: BearerError, status: int, header: tuple[bytes, bytes]
) -> None:
    door = BearerMiddleware(Echo(), Verifier(), checks=[Check("it", [], refusal)], required_scopes=["read"])

    sent = await call(door, http_scope(GOOD))

    assert sent[0]["status"] == status
    assert sent[0]["headers"][:2] == [header, (b"cache-control", b"no-store")]


async def test_a_checks_bug_lets_nobody_in() -> None:
    class Broken:
        async def check(self, token: AccessToken, scope: Any) -> None:
            raise ZeroDivisionError

    app = Echo()

    with pytest.raises(ZeroDivisionError):
        await call(BearerMiddleware(app, Verifier(), checks=[Broken()]), http_scope(GOOD))

    assert app.scopes == []


BOUND = [
    pytest.param({"jkt": "x"}, [], 401, id="nobody proves it"),
    pytest.param({"jkt": "x"}, [Confirms()], 401, id="a check that proves nothing"),
    pytest.param({"jkt": "x"}, [Confirms("x5t#S256")], 401, id="a check for another binding"),
    pytest.param({"jkt": "x"}, [Confirms("jkt")], 200, id="a check for it"),
    pytest.param({"jkt": "x", "x5t#S256": "y"}, [Confirms("jkt")], 401, id="two bindings, one is proved"),
    pytest.param({"jkt": "x", "x5t#S256": "y"}, [Confirms("jkt", "x5t#S256")], 200, id="one check for both"),
    pytest.param({"jkt": "x", "x5t#S256": "y"}, [Confirms("jkt"), Confirms("x5t#S256")], 200, id="two checks"),
    pytest.param({"jkt": "x", "osc": "y"}, [Confirms("jkt")], 401, id="a member that nobody knows"),
    pytest.param({}, [Confirms("jkt")], 401, id="empty"),
    pytest.param(None, [Confirms("jkt")], 401, id="null"),
    pytest.param("jkt", [Confirms("jkt")], 401, id="a string"),
    pytest.param(["jkt"], [Confirms("jkt")], 401, id="an array"),
]


@pytest.mark.parametrize(("cnf", "checks", "status"), BOUND)
async def test_a_bound_token_is_taken_only_where_checks_prove_every_member(cnf: Any, checks: Any, status: int) -> None:
    events: list[Event] = []
    door = BearerMiddleware(Echo(), Verifier(cnf=cnf), checks=checks, on_event=events.append)

    sent = await call(door, http_scope(GOOD))

    assert sent[0]["status"] == status
    assert (isinstance(events[0], Rejected) and events[0].reason == Reason.binding) is (status == 401)


async def test_a_check_may_name_the_one_member_it_proves_as_a_string() -> None:
    check = Confirms()
    check.confirms = "jkt"  # type: ignore[assignment]  # one string, as in other options

    sent = await call(BearerMiddleware(Echo(), Verifier(cnf={"jkt": "x"}), checks=[check]), http_scope(GOOD))

    assert sent[0]["status"] == 200


@pytest.mark.parametrize(
    ("cnf", "refusal", "status"),
    [
        pytest.param(
            {"cnf": {"jkt": "x"}}, InsufficientAuthentication(["phr"]), b'error="invalid_token"', id="binding"
        ),
        pytest.param({}, InsufficientAuthentication(["phr"]), b'error="insufficient_user', id="then checks"),
        pytest.param({}, None, b'error="insufficient_scope"', id="then scopes"),
    ],
)
async def test_the_binding_comes_first_then_the_checks_then_the_scopes(
    cnf: dict[str, Any], refusal: BearerError | None, status: bytes
) -> None:
    checks = [Check("it", [], refusal)]
    door = BearerMiddleware(Echo(), Verifier(**cnf), checks=checks, required_scopes=["write"])

    sent = await call(door, http_scope(GOOD))

    assert status in dict(sent[0]["headers"])[b"www-authenticate"]


async def test_a_missing_scope_names_the_doors_scopes_and_then_the_verifiers() -> None:
    class Demanding(Verifier):
        required_scopes = ("profile", "write")

        async def verify_token(self, token: str) -> AccessToken:
            raise InsufficientScope(self.required_scopes)

    door = BearerMiddleware(Echo(), Demanding(), required_scopes=["write", "read"])

    sent = await call(door, http_scope(GOOD))

    assert sent[0]["status"] == 403
    assert b'scope="write read profile"' in dict(sent[0]["headers"])[b"www-authenticate"]
