"""What the tests with frameworks share: the tokens, and how the one suite is spread over its places."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from asgi_bearer import RSAKeyPair

pytest.register_assert_rewrite("frameworks.behaviour")

from frameworks.apps.common import AUDIENCE, ISSUER  # noqa: E402  # after the rewriting is asked for
from frameworks.behaviour import EXP  # noqa: E402  # after the rewriting is asked for


@pytest.fixture(autouse=True)
def _client_is_quiet() -> Iterator[None]:
    """Keep the tests' own client from logging the URLs it asks for: one row has a token there, to see it ignored."""
    logger = logging.getLogger("httpx2")
    level = logger.level
    logger.setLevel(logging.WARNING)
    yield
    logger.setLevel(level)


@pytest.fixture(scope="session")
def key_pair() -> RSAKeyPair:
    return RSAKeyPair.generate()


@pytest.fixture(scope="session")
def tokens(key_pair: RSAKeyPair) -> Mapping[str, str]:
    """Give the tokens by the names that the tables use."""

    def create(pair: RSAKeyPair = key_pair, *, scopes: Sequence[str] = ("read",), **claims: Any) -> str:
        own = {"client_id": "app", "name": "Ada", "exp": EXP, **claims}
        return pair.create_token(subject="ada", issuer=ISSUER, audience=AUDIENCE, scopes=scopes, additional_claims=own)

    return {
        "good": create(),
        "sensitive": create(scopes=["read", "data:read_sensitive"]),
        "scopeless": create(scopes=["write"]),
        "forged": create(RSAKeyPair.generate()),
        "expired": create(iat=1_000_000_000, exp=1_000_003_600),
        "elsewhere": create(aud="https://another-api.example.com"),
    }


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test of the suite for every row of its table, at every place whose application the row names."""
    table = getattr(metafunc.function, "table", None)
    if table is None or metafunc.cls is None:
        return
    pairs = [(place, row) for row in table for place in metafunc.cls.places if place.app in row.apps]
    ids = ["-".join(filter(None, (place.host, place.app, row.name))) for place, row in pairs]
    if "row" in metafunc.fixturenames:
        metafunc.parametrize(("place", "row"), pairs, ids=ids)
    else:
        metafunc.parametrize("place", [place for place, _ in pairs], ids=ids)
