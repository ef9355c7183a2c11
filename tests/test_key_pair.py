"""RSAKeyPair and KeyPair: tokens for development and tests, as an issuer would write them."""

from __future__ import annotations

import base64
import dataclasses
import json
from typing import TYPE_CHECKING, Any, cast

import pytest
from fakes import Clock

from asgi_bearer import InvalidToken, JWTVerifier, Reason, RSAKeyPair
from asgi_bearer.testing import KeyPair

if TYPE_CHECKING:
    from asgi_bearer.keys.jose import SigningAlgorithm

NOW = 1_800_000_000
PAIR = RSAKeyPair.generate()
ISSUER, AUDIENCE = "https://idp.example", "https://api.example"


def parts_of(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    head, payload, _ = token.split(".")
    header, claims = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in (head, payload))
    return header, claims


def verifier(pair: RSAKeyPair = PAIR) -> JWTVerifier:
    return JWTVerifier(public_key=pair.public_key, issuer=ISSUER, audience=AUDIENCE, clock=Clock(NOW))


async def test_what_the_private_key_signs_the_public_key_verifies() -> None:
    token = PAIR.create_token(
        subject="alice", issuer=ISSUER, audience=AUDIENCE, scopes=["read", "write"], clock=Clock(NOW)
    )

    found = await verifier().verify_token(token)

    assert (found.subject, found.scopes, found.audience) == ("alice", ("read", "write"), (AUDIENCE,))


async def test_another_pairs_token_is_refused() -> None:
    token = RSAKeyPair.generate().create_token(issuer=ISSUER, audience=AUDIENCE, clock=Clock(NOW))

    with pytest.raises(InvalidToken) as caught:
        await verifier().verify_token(token)
    assert caught.value.reason == Reason.signature


def test_a_token_says_no_more_than_it_was_told() -> None:
    header, claims = parts_of(PAIR.create_token(clock=Clock(NOW)))

    assert header == {"alg": "RS256", "typ": "JWT"}
    assert claims == {"sub": "test-user", "iat": NOW, "exp": NOW + 3600}


def test_a_token_says_everything_that_it_was_told() -> None:
    header, claims = parts_of(
        PAIR.create_token(
            subject="alice",
            issuer=ISSUER,
            audience=("a", "b"),
            scopes=("read", "write"),
            expires_in_seconds=60,
            additional_claims={"client_id": "app", "sub": "bob"},
            kid="k",
            clock=Clock(NOW + 0.9),
        )
    )

    assert header == {"alg": "RS256", "typ": "JWT", "kid": "k"}
    assert claims == {
        "sub": "bob",
        "iat": NOW,
        "exp": NOW + 60,
        "iss": ISSUER,
        "aud": ["a", "b"],
        "scope": "read write",
        "client_id": "app",
    }


@pytest.mark.parametrize("seconds", [0, -1, -3600])
async def test_a_token_that_has_ended_was_issued_before_it_ended(seconds: int) -> None:
    token = PAIR.create_token(issuer=ISSUER, audience=AUDIENCE, expires_in_seconds=seconds, clock=Clock(NOW))
    _, claims = parts_of(token)

    assert claims["iat"] < claims["exp"] == NOW + seconds
    strict = JWTVerifier(public_key=PAIR.public_key, issuer=ISSUER, audience=AUDIENCE, leeway=0, clock=Clock(NOW))
    with pytest.raises(InvalidToken) as caught:
        await strict.verify_token(token)
    assert caught.value.reason == Reason.expired


@pytest.mark.parametrize(
    ("scopes", "error", "sentence"),
    [
        pytest.param("read", TypeError, "scopes is a sequence of scopes, not a str", id="a str"),
        pytest.param([1], TypeError, "each scope of scopes is a str, not int", id="a number"),
        pytest.param(["a b"], ValueError, "scopes: 'a b' is not a scope", id="two in one"),
    ],
)
def test_scopes_are_a_sequence_of_scopes(scopes: Any, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        PAIR.create_token(scopes=scopes)


@pytest.mark.parametrize("algorithm", ["RS256", "PS384", "ES256", "ES512", "Ed25519", "Ed448"])
async def test_every_algorithm_has_its_pair(algorithm: SigningAlgorithm) -> None:
    pair = KeyPair.generate(algorithm)

    token = pair.create_token(issuer=ISSUER, audience=AUDIENCE, scopes=["read"])

    verifier = JWTVerifier(public_key=pair.public_key, algorithm=algorithm, issuer=ISSUER, audience=AUDIENCE)
    assert (await verifier.verify_token(token)).scopes == ("read",)
    assert pair.algorithm == algorithm
    assert pair.private_key not in repr(pair)


def test_an_algorithm_without_a_pair_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="algorithm is one of 'RS256'"):
        KeyPair.generate(cast("Any", "HS256"))


def test_the_private_key_is_in_no_repr_and_cannot_be_exchanged() -> None:
    assert "PRIVATE" in PAIR.private_key
    assert "PRIVATE" not in repr(PAIR)
    assert "BEGIN PUBLIC KEY" in repr(PAIR)
    with pytest.raises(dataclasses.FrozenInstanceError):
        PAIR.private_key = "another"  # type: ignore[misc]


def test_a_pair_of_keys_that_exist_is_written_by_name() -> None:
    assert RSAKeyPair(public_key=PAIR.public_key, private_key=PAIR.private_key) == PAIR
    with pytest.raises(TypeError):
        RSAKeyPair(PAIR.private_key, PAIR.public_key)  # type: ignore[call-arg]
