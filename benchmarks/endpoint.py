"""An introspection endpoint on loopback, in a process of its own: fast, counted, and as slow or broken as it is told.

It knows good tokens by their first letters, so that there may be any number of them. It speaks as much HTTP/1.1 as an
HTTP client needs, and ends with the process that started it.
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.tokens import AUDIENCE, ISSUER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

GOOD = "good-"
CLIENT_ID = "api"
CLIENT_SECRET = "the secret of the api"
# Whatever becomes of the benchmark, the endpoint does not outlive this.
_LONGEST = 900.0


class Orders(NamedTuple):
    """How the endpoint is to answer: after `delay` seconds, with `status`."""

    delay: float = 0.0
    status: int = 200


class Counts(NamedTuple):
    """What happened since the orders before: calls, the most of them at once, and the endpoint's seconds of CPU."""

    calls: int
    most_at_once: int
    cpu: float


class Endpoint(NamedTuple):
    """An endpoint that runs; at `nobody`, every connection is refused."""

    url: str
    nobody: str
    pipe: Connection

    def order(self, *, delay: float = 0.0, status: int = 200) -> Counts:
        """Give orders; return the counts since the orders before."""
        self.pipe.send(Orders(delay, status))
        counts: Counts = self.pipe.recv()
        return counts


@contextmanager
def endpoint() -> Iterator[Endpoint]:
    """Run an endpoint for the length of a block."""
    context = get_context("spawn")
    here, there = context.Pipe()
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener, socket.socket() as closed, here:
        # Bound, so that nobody else gets the port, but not listening.
        closed.bind(("127.0.0.1", 0))
        process = context.Process(target=_serve, args=(listener, there), daemon=True)
        process.start()
        there.close()
        try:
            port, nobody = listener.getsockname()[1], closed.getsockname()[1]
            yield Endpoint(f"http://127.0.0.1:{port}/introspect", f"http://127.0.0.1:{nobody}/introspect", here)
        finally:
            process.terminate()
            process.join()


def _serve(listener: socket.socket, pipe: Connection) -> None:
    asyncio.run(_run(listener, pipe))


async def _run(listener: socket.socket, pipe: Connection) -> None:
    loop, ended, state = asyncio.get_running_loop(), asyncio.Event(), _State()

    def obey() -> None:
        try:
            state.orders = pipe.recv()
            pipe.send(state.counts())
        except (EOFError, OSError):
            ended.set()

    loop.add_reader(pipe.fileno(), obey)
    loop.call_later(_LONGEST, ended.set)
    server = await loop.create_server(lambda: _Connection(state), sock=listener)
    await ended.wait()
    server.close()


@dataclass(slots=True)
class _State:
    orders: Orders = field(default_factory=Orders)
    calls: int = 0
    at_once: int = 0
    most_at_once: int = 0
    cpu: float = field(default_factory=time.process_time)

    def counts(self) -> Counts:
        """Return the counts, and begin anew."""
        now = time.process_time()
        counts = Counts(self.calls, self.most_at_once, now - self.cpu)
        self.calls, self.most_at_once, self.cpu = 0, self.at_once, now
        return counts


class _Connection(asyncio.Protocol):
    """Takes a request, answers, takes the next."""

    def __init__(self, state: _State) -> None:
        self._state = state
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]  # TCP

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, blank, body = bytes(self._received).partition(b"\r\n\r\n")
        headers = head.lower()
        if not blank or len(body) < int(headers.partition(b"content-length:")[2].partition(b"\r\n")[0]):
            return
        self._received.clear()
        state = self._state
        state.calls += 1
        state.at_once += 1
        state.most_at_once = max(state.most_at_once, state.at_once)
        authenticated = b"authorization: basic " in headers
        answer = _answer(body, state.orders.status if authenticated else 401)
        if state.orders.delay:
            asyncio.get_running_loop().call_later(state.orders.delay, self._send, answer)
        else:
            self._send(answer)

    def _send(self, answer: bytes) -> None:
        self._state.at_once -= 1
        if not self._transport.is_closing():
            self._transport.write(answer)


def _answer(body: bytes, status: int) -> bytes:
    if status != 200:
        return _http(status, b'{"error":"whatever"}')
    token = body.partition(b"token=")[2].partition(b"&")[0]
    return _ACTIVE if token.startswith(GOOD.encode("ascii")) else _INACTIVE


def _http(status: int, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status} Whatever\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode("ascii") + body


def _active() -> bytes:
    now = int(time.time())
    claims = {
        "active": True,
        "iss": ISSUER,
        "sub": "248289761001",
        "aud": AUDIENCE,
        "client_id": "s6BhdRkqt3",
        "scope": "openid profile orders:read orders:write",
        "token_type": "Bearer",
        "iat": now,
        "exp": now + 24 * 3600,
    }
    return _http(200, json.dumps(claims).encode("ascii"))


_ACTIVE = _active()
_INACTIVE = _http(200, b'{"active":false}')
