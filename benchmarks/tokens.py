"""The tokens every benchmark sends, and the keys to them: no two payloads alike (RFC 9068 section 2.2).

Public keys are published as a JWK Set by HTTP on the loopback interface, as an authorization server publishes them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from threading import Thread
from typing import TYPE_CHECKING, Any, NamedTuple

from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

if TYPE_CHECKING:
    from collections.abc import Iterator

ISSUER = "https://idp.example.com/"
AUDIENCE = "https://api.example.com"
KID = "2026-11"
ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA", "HS256")


class Batch(NamedTuple):
    """Tokens of one algorithm, and what they are verified with: a secret, or a public key in PEM and at a URL."""

    algorithm: str
    tokens: list[str]
    secret: str = ""
    public_key: str = ""
    jwks_uri: str = ""


@contextmanager
def issued(algorithm: str, count: int) -> Iterator[Batch]:
    """Issue `count` tokens that end in a day, and publish the new key to them (RSA: 2048 bits, EdDSA: Ed25519)."""
    if algorithm == "HS256":
        secret = secrets.token_urlsafe(48)
        yield Batch(algorithm, list(islice(hs256_tokens(secret), count)), secret=secret)
        return
    key = _generate(algorithm)
    header = {"alg": algorithm, "typ": "at+jwt", "kid": KID}
    now = int(time.time())
    tokens = [jwt.encode(header, _claims(number, now), key, algorithms=[algorithm]) for number in range(count)]
    public = {**key.as_dict(private=False), "kid": KID, "alg": algorithm, "use": "sig"}
    with _published({"keys": [public]}) as jwks_uri:
        yield Batch(algorithm, tokens, public_key=key.as_pem(private=False).decode(), jwks_uri=jwks_uri)


def hs256_tokens(secret: str) -> Iterator[str]:
    """Yield tokens without end. By hand, because a million of them should cost seconds."""
    key = OctKey.import_key(secret).raw_value
    header = _segment(b'{"alg":"HS256","typ":"at+jwt","kid":"%s"}' % KID.encode())
    now = int(time.time())
    number = 0
    while True:
        signing_input = header + b"." + _segment(json.dumps(_claims(number, now), separators=(",", ":")).encode())
        signature = hmac.digest(key, signing_input, hashlib.sha256)
        yield (signing_input + b"." + _segment(signature)).decode("ascii")
        number += 1


def _generate(algorithm: str) -> RSAKey | ECKey | OKPKey:
    if algorithm == "ES256":
        return ECKey.generate_key("P-256")
    if algorithm == "EdDSA":
        return OKPKey.generate_key("Ed25519")
    return RSAKey.generate_key(2048)


@contextmanager
def _published(jwks: dict[str, Any]) -> Iterator[str]:
    document = json.dumps(jwks).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "application/jwk-set+json")
            self.send_header("content-length", str(len(document)))
            self.end_headers()
            self.wfile.write(document)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/jwks.json"
        server.shutdown()
        thread.join()


def _claims(number: int, now: int) -> dict[str, object]:
    return {
        "iss": ISSUER,
        "sub": f"248289761001-{number:07}",
        "aud": AUDIENCE,
        "client_id": "s6BhdRkqt3",
        "scope": "openid profile orders:read orders:write",
        "iat": now,
        "exp": now + 24 * 3600,
        "jti": f"7c5ab1e0-3d2f-4f0e-9a55-{number:012x}",
    }


def _segment(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
