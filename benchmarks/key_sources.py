"""Where keys come from in the benchmark of outages: one provider with faults to switch on, and who asks it.

All run on one simulated clock. Ours and jwks-client take it as an option; in PyJWT and FastMCP the name `time` of the
modules that reckon with it is replaced, so that they see the same hour pass. Their timeouts, and the retries and the
circuit breaker of jwks-client's HTTP client, stay on real time.
"""

# ruff: noqa: PLC0415  # a peer may be missing

from __future__ import annotations

import importlib
import json
import logging
import time
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from types import SimpleNamespace
from typing import TYPE_CHECKING, TypeAlias

import anyio.to_thread

from asgi_bearer import BearerMiddleware, JWTVerifier, RemoteKeySet
from asgi_bearer.keys.jose import SigningKey
from benchmarks.peers import bare
from benchmarks.tokens import AUDIENCE, ISSUER

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from asgi_bearer.middleware import Message


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 100_000.0

    def __call__(self) -> float:
        return self.now


class Provider:
    """Publishes `kids` at `jwks_uri`; `fault` is "", "500", "slow" (0.1 s) or "hang" (until `release`)."""

    def __init__(self) -> None:
        self.kids = ["a"]
        self.fault = ""
        self.fetches = 0
        self.jwks_uri = ""
        self.released = Event()

    def answer(self) -> tuple[int, bytes]:
        self.fetches += 1
        fault, kids = self.fault, self.kids
        if fault == "hang":
            self.released.wait(60)
        elif fault == "slow":
            time.sleep(0.1)
        if fault == "500":
            return 500, b"oops"
        return 200, json.dumps({"keys": [key(kid).public_jwk(kid) for kid in kids]}).encode()


@contextmanager
def provider() -> Iterator[Provider]:
    """Run a provider on loopback for the length of a block."""
    running = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = running.answer()
            try:
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            except OSError:
                """Who asked has gone."""

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 1024

    with Server(("127.0.0.1", 0), Handler) as server:
        running.jwks_uri = f"http://127.0.0.1:{server.server_port}/jwks.json"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield running
        finally:
            running.released.set()
            server.shutdown()
            thread.join()


@cache
def key(kid: str) -> SigningKey:  # noqa: ARG001  # the cache keeps one for each
    return SigningKey.generate("RS256")


@cache
def token(kid: str = "a", number: int = 0, *, signed_by: str | None = None) -> str:
    """Return a good token of the key `kid`, the same every time; with `signed_by`, one that only names it."""
    now = int(time.time())
    payload = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "client_id": "app", "iat": now, "exp": now + 86_400}
    return key(signed_by or kid).sign({"kid": kid, "typ": "at+jwt"}, {**payload, "jti": str(number)})


Status: TypeAlias = "Callable[[str], Awaitable[int]]"


def ours(jwks_uri: str, clock: Clock) -> Status:
    """Ask the whole door, with its token cache."""
    logging.getLogger("asgi_bearer").setLevel(logging.CRITICAL)
    keys = RemoteKeySet(jwks_uri, monotonic=clock)
    app = BearerMiddleware(bare, JWTVerifier(keys=keys, issuer=ISSUER, audience=AUDIENCE))

    async def status(token: str) -> int:
        answers: list[int] = []

        async def receive() -> Message:
            return {"type": "http.request"}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                answers.append(message["status"])

        headers = [(b"authorization", b"Bearer " + token.encode())]
        await app({"type": "http", "method": "GET", "path": "/", "headers": headers}, receive, send)
        return answers[0]

    return status


def pyjwt(jwks_uri: str, clock: Clock) -> Status:
    """PyJWKClient in a worker thread, since it blocks; an error of PyJWT is a 401, as in its documentation."""
    import jwt

    _set_clock(clock, "jwt.jwks_client", "jwt.jwk_set_cache", "jwt.api_jwk")
    client = jwt.PyJWKClient(jwks_uri)

    def decode(token: str) -> int:
        try:
            jwt.decode(
                token,
                client.get_signing_key_from_jwt(token),
                algorithms=["RS256"],
                issuer=ISSUER,
                audience=AUDIENCE,
                options={"require": ["exp", "iss", "aud"]},
            )
        except jwt.PyJWTError:
            return 401
        return 200

    return lambda token: anyio.to_thread.run_sync(decode, token, abandon_on_cancel=True)


def fastmcp(jwks_uri: str, clock: Clock) -> Status:
    """FastMCP's verifier; None is a 401, as its middleware answers."""
    from fastmcp.server.auth.providers.jwt import JWTVerifier as FastMCPVerifier

    logging.getLogger("fastmcp").setLevel(logging.CRITICAL)
    _set_clock(clock, "fastmcp.server.auth.providers.jwt")
    verifier = FastMCPVerifier(jwks_uri=jwks_uri, issuer=ISSUER, audience=AUDIENCE, algorithm="RS256")

    async def status(token: str) -> int:
        return 401 if await verifier.verify_token(token) is None else 200

    return status


def jwks_client(jwks_uri: str, clock: Clock) -> Status:
    """jwks-client with its defaults; 401 and 503 as its FastAPI integration answers."""
    import jwt
    from jwks_client import JWKSClient, JWKSFetchError

    logging.getLogger("jwks_client").setLevel(logging.CRITICAL)
    logging.getLogger("httpware").setLevel(logging.CRITICAL)
    client = JWKSClient(jwks_uri, clock=clock)

    async def status(token: str) -> int:
        try:
            await client.decode(token, algorithms=["RS256"], issuer=ISSUER, audience=AUDIENCE)
        except JWKSFetchError:
            return 503
        except jwt.InvalidTokenError:
            return 401
        return 200

    return status


def _set_clock(clock: Clock, *modules: str) -> None:
    for name in modules:
        setattr(importlib.import_module(name), "time", SimpleNamespace(monotonic=clock, time=time.time))  # noqa: B010


# Who asks, and for how many seconds its keys are fresh
SOURCES: dict[str, tuple[Callable[[str, Clock], Status], float]] = {
    "asgi-bearer": (ours, 300.0),
    "PyJWT": (pyjwt, 300.0),
    "FastMCP": (fastmcp, 3600.0),
    "jwks-client": (jwks_client, 300.0),
}


def sources_here() -> dict[str, tuple[Callable[[str, Clock], Status], float]]:
    """Return those that are installed; say which are not."""
    here = {}
    for name, (make, fresh) in SOURCES.items():
        try:
            make("http://127.0.0.1:1/", Clock())
        except ImportError as error:
            print(f"{name}: left out, {error.name} is not installed")
        else:
            here[name] = (make, fresh)
    return here
