"""A server on loopback that answers as badly as it is told to: raw TCP, in a thread of its own."""

from __future__ import annotations

import json
import socket
import struct
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import anyio
import anyio.from_thread
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.tls import TLSListener

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from anyio.abc import Listener
    from anyio.from_thread import BlockingPortal

Answer: TypeAlias = "Callable[[Any, Request], Awaitable[None]]"

_BACKGROUND = "asyncio"


@dataclass(frozen=True)
class Request:
    """A request as it came in; names of headers are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]


def text(status: int, body: bytes, **headers: str) -> Answer:
    """Answer properly."""

    async def answer(stream: Any, _request: Request) -> None:
        await stream.send(_head(status, {"content-length": str(len(body)), **headers}) + body)

    return answer


def document(value: object, **headers: str) -> Answer:
    """Answer with JSON."""
    return text(200, json.dumps(value).encode(), **{"content-type": "application/json", **headers})


def by_path(answers: Mapping[str, Answer]) -> Answer:
    """Answer with what is at the path, else 404."""

    async def answer(stream: Any, request: Request) -> None:
        await answers.get(request.path, text(404, b"not here"))(stream, request)

    return answer


async def hang(_stream: Any, _request: Request) -> None:
    """Never answer."""
    await anyio.sleep_forever()


async def reset(stream: Any, _request: Request) -> None:
    """Begin a body, then reset the connection."""
    await stream.send(_head(200, {"content-length": "100000"}) + b'{"keys":')
    # Closing with a linger of zero seconds sends RST instead of FIN.
    raw = stream.extra(SocketAttribute.raw_socket)  # noqa: S610  # no query
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def truncate(stream: Any, _request: Request) -> None:
    """End the connection within the body."""
    await stream.send(_head(200, {"content-length": "100000"}) + b'{"keys":')


async def drip(stream: Any, _request: Request) -> None:
    """Send a byte every few milliseconds, for ever: no single read ever times out."""
    await stream.send(_head(200, {"content-length": "100000"}))
    while True:
        await stream.send(b" ")
        await anyio.sleep(0.002)


async def endless(stream: Any, _request: Request) -> None:
    """Send a body without length and without end."""
    await stream.send(_head(200, {}))
    while True:
        await stream.send(b" " * 65536)


async def no_http(stream: Any, _request: Request) -> None:
    """Answer in another protocol."""
    await stream.send(b"220 mail.example ESMTP\r\n")


async def close(_stream: Any, _request: Request) -> None:
    """Hang up."""


async def keep_alive(stream: Any, _request: Request) -> None:
    """Answer, and go on to the next request on the same connection."""
    await stream.send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nkept")
    raise _NextRequest


class _NextRequest(Exception):
    pass


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "connection: close", "", ""]).encode("latin-1")


class FaultServer:
    """What the server does (`answer`, changed at any time) and what it saw (`requests`, `connections`)."""

    def __init__(self, answer: Answer, tls: ssl.SSLContext | None = None) -> None:
        self.answer = answer
        self.requests: list[Request] = []
        self.connections = 0
        self.port = 0
        self._tls = tls
        self._portal: BlockingPortal | None = None
        self._serving: anyio.CancelScope | None = None

    @property
    def origin(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def start(self, portal: BlockingPortal) -> None:
        self._portal = portal
        _, self.port = portal.start_task(self._serve)

    def refuse(self) -> None:
        """Stop listening: from now on connections are refused."""
        assert self._portal is not None
        assert self._serving is not None
        self._portal.call(self._serving.cancel)
        self._portal.call(self._stopped.wait)

    async def _serve(self, *, task_status: anyio.abc.TaskStatus[int]) -> None:
        self._stopped = anyio.Event()
        listener: Listener[Any] = await anyio.create_tcp_listener(local_host="127.0.0.1")
        address = listener.extra(SocketAttribute.local_address)  # noqa: S610  # no query
        if self._tls is not None:
            listener = TLSListener(listener, self._tls, standard_compatible=False)
        with anyio.CancelScope() as self._serving:
            async with listener:
                task_status.started(int(address[1]))
                await listener.serve(self._handle)
        self._stopped.set()

    async def _handle(self, stream: Any) -> None:
        self.connections += 1
        async with stream:
            try:
                while await self._answered(stream):
                    pass
            except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
                pass  # the client has left

    async def _answered(self, stream: Any) -> bool:
        """Answer one request; tell whether there may be another."""
        request = await _read(stream)
        self.requests.append(request)
        try:
            await self.answer(stream, request)
        except _NextRequest:
            return True
        return False


async def _read(stream: SocketStream) -> Request:
    received = b""
    while b"\r\n\r\n" not in received:
        received += await stream.receive()
    first, *lines = received.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ")
    pairs = (line.partition(":") for line in lines)
    return Request(method, path, {name.lower(): value.strip() for name, _, value in pairs})


@contextmanager
def fault_server(answer: Answer, tls: ssl.SSLContext | None = None) -> Iterator[FaultServer]:
    """Run the server for the length of a block."""
    server = FaultServer(answer, tls)
    with anyio.from_thread.start_blocking_portal(_BACKGROUND) as portal:
        server.start(portal)
        try:
            yield server
        finally:
            server.refuse()
