"""What the integrations are asked in their tests: the door's callers, and what each of them is to be answered."""

from __future__ import annotations

from typing import Any, NamedTuple

from asgi_bearer import StaticTokenVerifier, acr, any_scope, role, scopes

READER, WRITER, ADMIN = "a-token-of-the-reader", "a-token-of-the-writer", "a-token-of-the-admin"
# The options of the door; "/open" is public.
DOOR: dict[str, Any] = {
    "verifier": StaticTokenVerifier(
        {
            READER: {"client_id": "reader", "scopes": ["read"]},
            WRITER: {"client_id": "writer", "scopes": ["read", "write"], "acr": "gold"},
            ADMIN: {"client_id": "admin", "scopes": ["all"], "roles": ["admin"]},
        }
    ),
    "realm": "books",
    "optional": True,
    "public": ["/open"],
    # A hierarchy, to see that the door's own reading of scopes counts.
    "scope_satisfies": lambda granted, required: "all" in granted or required in granted,
}
NOBODY = 'Bearer realm="books"'
LACKS_WRITE = (
    'Bearer realm="books", scope="read write", error="insufficient_scope", '
    'error_description="The access token lacks a permission that this request needs."'
)
TOO_WEAK = (
    'Bearer realm="books", error="insufficient_user_authentication", '
    'error_description="This request needs a stronger or more recent authentication.", acr_values="gold"'
)


class Case(NamedTuple):
    """A request to a view that asks for something, and the answer: `challenge` None lets it in."""

    path: str
    token: str | None
    status: int = 200
    challenge: str | None = None


# What the views at these paths ask for
ASKED: dict[str, tuple[Any, ...]] = {
    "/scopes": ("read", "write"),
    "/list": (["read"], scopes("write")),
    "/open": ("read",),
    "/requirement": (role("admin") | scopes("read", "write"),),
    "/step-up": (any_scope("read") & acr("gold"),),
}
CASES = {
    "scopes are there": Case("/scopes", WRITER),
    "scopes are there by the door's own reading": Case("/scopes", ADMIN),
    "a scope is missing, and all are named": Case("/scopes", READER, 403, LACKS_WRITE),
    "a list and a requirement are there": Case("/list", WRITER),
    "of a list and a requirement one is missing": Case("/list", READER, 403, LACKS_WRITE),
    "nobody came to an optional door": Case("/scopes", None, 401, NOBODY),
    "nobody came to a public path": Case("/open", None, 401, NOBODY),
    "nobody is looked at on a public path": Case("/open", READER, 401, NOBODY),
    "one side of a requirement holds": Case("/requirement", ADMIN),
    "no side of a requirement holds": Case("/requirement", READER, 403, LACKS_WRITE),
    "the login is too weak": Case("/step-up", READER, 401, TOO_WEAK),
    "the login is strong enough": Case("/step-up", WRITER),
}


def headers_of(case: Case) -> dict[str, str]:
    return {} if case.token is None else {"authorization": f"Bearer {case.token}"}


def assert_answered(reply: Any, case: Case) -> None:
    """Look at status, challenge and `Cache-Control` of `reply`."""
    assert reply.status_code == case.status
    assert reply.headers.get("www-authenticate") == case.challenge
    assert reply.headers.get("cache-control") == (None if case.challenge is None else "no-store")
    for token in (READER, WRITER, ADMIN):
        assert token not in reply.text


# What nobody can mean, and what the sentence says to write
UNMEANT: dict[str, tuple[tuple[Any, ...], type[Exception], str]] = {
    "nothing": ((), ValueError, r"requires asks for nothing: write requires\('read'\)"),
    "the function itself": ((lambda: None,), TypeError, r"takes scopes and requirements, not function: write req"),
    "a number": (("read", 403), TypeError, "requires takes scopes and requirements, not int"),
    "two scopes in one": (("read write",), ValueError, "'read write' is not a scope"),
    "an empty scope": (("",), ValueError, "'' is not a scope"),
    "an empty list": (([],), ValueError, "scopes asks for nothing"),
}
