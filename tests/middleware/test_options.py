"""The door's constructor: what cannot be meant is refused with a sentence that says what to write instead."""

from __future__ import annotations

from typing import Any

import pytest
from fakes import Echo

from asgi_bearer import BearerMiddleware, StaticTokenVerifier

VERIFIER = StaticTokenVerifier({"a-token": {"client_id": "app"}})


class Allow:
    async def check(self, token: Any, scope: Any) -> None:
        return None


class Confirming(Allow):
    def __init__(self, confirms: Any) -> None:
        self.confirms = confirms


class WithScopes:
    def __init__(self, required_scopes: Any) -> None:
        self.required_scopes = required_scopes

    async def verify_token(self, token: str) -> None:
        return None


async def awaits_events(event: object) -> None: ...


A_VERIFIER = r"verifier is an object with async verify_token\(token\), such as JWTVerifier\(\.\.\.\), not "
A_CHECK = r"check\(token, scope\), not "

WRONG_TYPES = [
    pytest.param(
        {"app": None}, "app is an ASGI application, not NoneType: write BearerMiddleware\\(app, verifier\\)", id="app"
    ),
    pytest.param({"verifier": None}, A_VERIFIER + "NoneType", id="no verifier"),
    pytest.param({"verifier": "a-token"}, A_VERIFIER + "str", id="a token for a verifier"),
    pytest.param({"verifier": WithScopes}, A_VERIFIER + "the class WithScopes", id="a class for a verifier"),
    pytest.param({"verifier": WithScopes("read")}, "verifier.required_scopes is a sequence of scopes", id="its scopes"),
    pytest.param({"required_scopes": "read"}, "required_scopes is a sequence of scopes, not a str", id="one scope"),
    pytest.param({"required_scopes": 1}, "required_scopes is a .*sequence.*, not int", id="scopes"),
    pytest.param({"required_scopes": [1]}, "each scope of required_scopes is a str, not int", id="a scope"),
    pytest.param({"optional": 1}, "optional is True or False, not int", id="optional"),
    pytest.param({"public": "/health"}, "public is a sequence of paths", id="one path"),
    pytest.param({"public": 1}, "public is a sequence of paths", id="public"),
    pytest.param({"public": [1]}, "each path of public is a str, not int", id="a path"),
    pytest.param({"checks": Allow()}, "checks is a sequence of objects with .*" + A_CHECK + "Allow", id="one check"),
    pytest.param({"checks": [None]}, "each of checks is an object .*" + A_CHECK + "NoneType", id="a check"),
    pytest.param({"checks": [Allow]}, "each of checks is an object .*" + A_CHECK + "the class Allow", id="its class"),
    pytest.param({"checks": [Confirming(1)]}, "confirms of a check is a .*, not int", id="confirms"),
    pytest.param({"realm": None}, "realm is a str, not NoneType", id="realm"),
    pytest.param({"expose_reason": "no"}, "expose_reason is True or False, not str", id="expose_reason"),
    pytest.param({"on_event": "print"}, "on_event is a function, not str", id="on_event"),
    pytest.param({"on_event": awaits_events}, "on_event is a plain function", id="async on_event"),
    pytest.param({"clock": 0}, "clock is a function, not int", id="clock"),
    pytest.param({"prefetch": True}, "prefetch is one of 'warn', 'require', 'off', not True", id="prefetch"),
]
WRONG_VALUES = [
    pytest.param({"required_scopes": ["read write"]}, "required_scopes: 'read write' is not a scope", id="two in one"),
    pytest.param({"required_scopes": ['a"b']}, "required_scopes: .* is not a scope", id="a scope with a quote"),
    pytest.param({"verifier": WithScopes(["a b"])}, "verifier.required_scopes: 'a b' is not a scope", id="its scopes"),
    pytest.param({"public": ["health"]}, "public: 'health' is no path", id="a path without its slash"),
    pytest.param({"public": ["/docs*"]}, r"public: '/docs\*' is no path", id="a wildcard within a segment"),
    pytest.param({"realm": ""}, "realm is printable ASCII without quotes and backslashes", id="an empty realm"),
    pytest.param({"realm": 'a"b'}, "realm is printable ASCII without quotes and backslashes", id="a quote"),
    pytest.param({"realm": "a\r\nset-cookie: b"}, "realm is printable ASCII without quotes", id="a line break"),
    pytest.param({"realm": "Zoë"}, "realm is printable ASCII without quotes and backslashes", id="not ASCII"),
    pytest.param({"prefetch": "no"}, "prefetch is one of 'warn', 'require', 'off', not 'no'", id="a word"),
    pytest.param({"checks": [Confirming([""])]}, "each item of confirms of a check is empty", id="an empty name"),
]


@pytest.mark.parametrize(("options", "sentence"), WRONG_TYPES)
def test_an_option_of_the_wrong_type_is_a_type_error_that_names_it(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(TypeError, match=sentence):
        BearerMiddleware(**{"app": Echo(), "verifier": VERIFIER, **options})


@pytest.mark.parametrize(("options", "sentence"), WRONG_VALUES)
def test_an_option_that_cannot_be_meant_is_a_value_error_that_names_it(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        BearerMiddleware(**{"app": Echo(), "verifier": VERIFIER, **options})


def test_everything_after_the_verifier_is_keyword_only() -> None:
    with pytest.raises(TypeError, match="positional"):
        BearerMiddleware(Echo(), VERIFIER, ["read"])  # type: ignore[call-arg]
