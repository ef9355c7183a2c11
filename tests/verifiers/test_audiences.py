"""What the strategies say of the audiences that they compare: for those who must not take tokens of other APIs."""

from __future__ import annotations

from typing import Any

import pytest

from asgi_bearer import (
    ChainVerifier,
    InsecureConfigurationWarning,
    IntrospectionTokenVerifier,
    JWTVerifier,
    MultiIssuerVerifier,
    StaticTokenVerifier,
)

SECRET = "a secret of thirty-two characters"


def signed(audience: Any, issuer: str = "https://idp.example/") -> JWTVerifier:
    return JWTVerifier(secret=SECRET, issuer=issuer, audience=audience)


def opaque(**options: Any) -> IntrospectionTokenVerifier:
    return IntrospectionTokenVerifier(
        introspection_endpoint="https://idp.example/introspect", client_id="rs", client_secret="rs-secret", **options
    )


def silent() -> StaticTokenVerifier:
    return StaticTokenVerifier({"dev-token": {"client_id": "me"}})


async def find_no_tenant(issuer: str) -> None:
    return None


@pytest.mark.parametrize("verifier", [signed(["a", "b"]), opaque(audience=["b", "a"])], ids=["signed", "opaque"])
def test_a_strategy_names_what_it_compares(verifier: Any) -> None:
    assert sorted(verifier.audiences) == ["a", "b"]


def test_the_servers_own_url_is_compared_unless_there_is_an_audience() -> None:
    assert opaque(server_url="https://api.example").audiences == ("https://api.example",)
    assert opaque(server_url="https://api.example", audience="a").audiences == ("a",)


def test_a_strategy_that_compares_none_names_none() -> None:
    with pytest.warns(InsecureConfigurationWarning):
        assert signed(None).audiences == ()
    with pytest.warns(InsecureConfigurationWarning):
        assert opaque().audiences == ()


@pytest.mark.parametrize(
    "of_two",
    [
        lambda one, two: ChainVerifier({"jwt": one, "opaque": two}),
        lambda one, two: MultiIssuerVerifier([one], opaque=two),
    ],
    ids=["ChainVerifier", "MultiIssuerVerifier"],
)
def test_several_strategies_name_what_each_of_them_compares(of_two: Any) -> None:
    with pytest.warns(InsecureConfigurationWarning):
        none = opaque()

    assert of_two(signed(["a", "b"]), opaque(audience=["b", "c"])).audiences == ("a", "b", "c")
    assert of_two(signed("a"), none).audiences == ()
    assert of_two(signed("a"), silent()).audiences is None


def test_what_tenants_compare_cannot_be_told_beforehand() -> None:
    assert MultiIssuerVerifier([signed("a")], resolve=find_no_tenant).audiences is None
    assert MultiIssuerVerifier([], resolve=find_no_tenant).audiences is None
