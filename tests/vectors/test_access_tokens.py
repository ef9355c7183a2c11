"""The access token of RFC 9068 section 3, signed with a key of ours, is one to its profile."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from fakes import Clock, Echo, bearer, client_for
from key_material import private_rsa, rsa_jwk
from vectors.access_tokens import RFC9068_CLAIMS, RFC9068_HEADER

from asgi_bearer import BearerMiddleware, InvalidToken, JWTVerifier, Reason
from asgi_bearer.keys.jose import encode_segment

ISSUED, EXPIRES = 1618354090, 1639528912


def sign(header: str, claims: str) -> str:
    """Sign the texts as they are."""
    signing_input = b".".join([encode_segment(header.encode()), encode_segment(claims.encode())])
    signature = private_rsa().sign(signing_input, PKCS1v15(), hashes.SHA256())
    return (signing_input + b"." + encode_segment(signature)).decode()


def verifier(now: float = ISSUED, **options: Any) -> JWTVerifier:
    defaults: dict[str, Any] = {
        "jwks": {"keys": [rsa_jwk(private_rsa().public_key().public_numbers().n, kid="RjEwOwOA", alg="RS256")]},
        "issuer": "https://authorization-server.example.com/",
        "audience": "https://rs.example.com/",
        "profile": "rfc9068",
        "clock": Clock(now),
    }
    return JWTVerifier(**{**defaults, **options})


EXAMPLE = sign(RFC9068_HEADER, RFC9068_CLAIMS)


async def test_the_example_is_read_as_it_is_meant() -> None:
    token = await verifier().verify_token(EXAMPLE)

    assert token.issuer == "https://authorization-server.example.com/"
    assert (token.subject, token.client_id) == ("5ba552d67", "s6BhdRkqt3")
    assert token.audience == ("https://rs.example.com/",)
    assert token.scopes == ("openid", "profile", "reademail")
    assert token.expires_at == datetime.fromtimestamp(EXPIRES, UTC)
    assert token.claims["jti"] == "dbe39bf3a3ba4238a513f51d6e1691c4"


async def test_the_example_comes_through_a_door_that_asks_for_its_scopes() -> None:
    door = BearerMiddleware(Echo(), verifier(required_scopes=["profile"]), required_scopes=["reademail"])

    async with client_for(door) as client:
        answer = await client.get("/", headers=bearer(EXAMPLE))

    assert (answer.status_code, answer.json()["sub"]) == (200, "5ba552d67")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        pytest.param({"now": EXPIRES + 30}, Reason.expired, id="when it is over"),
        pytest.param({"now": ISSUED - 31}, Reason.not_yet_valid, id="before it was issued"),
        pytest.param({"audience": "https://rs.example.com"}, Reason.audience, id="at another server"),
        pytest.param({"issuer": "https://authorization-server.example.com"}, Reason.issuer, id="of another issuer"),
        pytest.param({"algorithm": "RS256", "required_claims": ["acr"]}, Reason.missing_claim, id="lacking a claim"),
    ],
)
async def test_the_example_is_refused(options: dict[str, Any], reason: Reason) -> None:
    with pytest.raises(InvalidToken) as caught:
        await verifier(**options).verify_token(EXAMPLE)

    assert caught.value.reason is reason


@pytest.mark.parametrize(
    ("header", "claims", "reason"),
    [
        pytest.param(("at+JWT", "JWT"), ("", ""), Reason.token_type, id="of another type"),
        pytest.param(("", ""), ("client_id", "azp"), Reason.missing_claim, id="without client_id"),
        pytest.param(("", ""), ("jti", "JTI"), Reason.missing_claim, id="without jti"),
    ],
)
async def test_the_example_with_one_thing_changed_is_refused(
    header: tuple[str, str], claims: tuple[str, str], reason: Reason
) -> None:
    token = sign(RFC9068_HEADER.replace(*header), RFC9068_CLAIMS.replace(*claims))

    with pytest.raises(InvalidToken) as caught:
        await verifier().verify_token(token)

    assert caught.value.reason is reason
