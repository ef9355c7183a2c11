"""Bounded HTTP requests: a total deadline, a cap on the body, no redirects, cookies, credentials or proxies. Floor 2.

The rule of this module: requests go through an httpx2 transport and not through a client, so that what we do not want
of a client (following redirects, keeping cookies, reading the environment) is not there to be switched on by mistake.
"""

from __future__ import annotations

import os
import ssl
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, cast

import anyio
import anyio.to_thread
import httpx2

from asgi_bearer.remote.per_loop import held_by_this_loop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

Transport: TypeAlias = httpx2.AsyncBaseTransport

_MAX_CONNECTIONS = 64
# Less than the 5 s after which servers close what is idle (uvicorn, Node, hyper): else a request meets a closing door.
_KEEPALIVE = 3.0


def require_transport(transport: object) -> Transport | None:
    """Return `transport`, an httpx2 transport or None; raise `TypeError` for anything else."""
    is_object = not isinstance(transport, type)
    if transport is None or (is_object and callable(getattr(transport, "handle_async_request", None))):
        return cast("Transport | None", transport)
    what = type(transport).__name__ if is_object else "a class"
    message = f"transport is an httpx2 transport such as httpx2.AsyncHTTPTransport(), not {what}"
    raise TypeError(message)


class FetchError(Exception):
    """A request had no usable answer. The message is for operators and holds nothing of the body.

    `status` is that of the answer, None where there was none; `retry_after` is in seconds.
    """

    def __init__(self, message: str, *, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class NoConnectionError(FetchError):
    """No connection of a pool came free in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request to be sent. Its headers and body may hold our own credentials, so they are not in the repr."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)


class Response(NamedTuple):
    """An answer, read to its end. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        """Show nothing of what was answered: it may be about a token."""
        return f"Response({self.status})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a request may cost: `timeout` in seconds for all of it, body included; `connect` in seconds; `max_bytes`."""

    timeout: float
    max_bytes: int
    connect: float = 2.0


async def fetch(request: Request, limits: Limits, transport: Transport | None = None) -> Response:
    """Send one request over a connection of its own (or the given transport) and read the whole answer.

    Raises `FetchError`. It follows no redirect: a 3xx is an answer like any other.
    """
    if transport is not None:
        return await _exchange(transport, request, limits)
    async with _open(await _ssl_context(request.url)) as own:
        return await _exchange(own, request, limits)


class _OpenPool(NamedTuple):
    """A pool, and what it was opened for."""

    pid: int
    context: ssl.SSLContext
    transport: httpx2.AsyncBaseTransport


class Pool:
    """Kept-alive connections to one server: a pool for each event loop, and a new one after a fork or in trouble.

    `transport` takes its place where it is given; `ssl_context` is for https where the usual one will not do;
    `max_connections` is more than are needed at once.
    """

    def __init__(
        self,
        transport: Transport | None = None,
        ssl_context: ssl.SSLContext | None = None,
        *,
        max_connections: int = _MAX_CONNECTIONS,
    ) -> None:
        self._given = transport
        self._context = ssl_context
        self._max_connections = max_connections

    async def fetch(self, request: Request, limits: Limits) -> Response:
        """Send one request over the pool and read the whole answer. Raises `FetchError`."""
        transport = self._given or await self._open(request.url)
        try:
            return await _exchange(transport, request, limits)
        except NoConnectionError:
            # More connections than are ever used at once, and none is free: they are lost, and a new pool has others.
            await self.aclose()
            raise

    async def _open(self, url: str) -> httpx2.AsyncBaseTransport:
        context = await _ssl_context(url, self._context)
        # No await from here on, so that two requests cannot both open one.
        pools = held_by_this_loop()
        pool: _OpenPool | None = pools.get(self)
        if pool is None or pool.pid != os.getpid() or pool.context is not context:
            pool = pools[self] = _OpenPool(os.getpid(), context, _open(context, self._max_connections))
        return pool.transport

    async def aclose(self) -> None:
        """Close the connections of this event loop; the next request opens new ones."""
        pool: _OpenPool | None = held_by_this_loop().pop(self, None)
        if pool is not None:
            await pool.transport.aclose()


async def _exchange(transport: httpx2.AsyncBaseTransport, request: Request, limits: Limits) -> Response:
    failure = FetchError
    try:
        with anyio.fail_after(limits.timeout):
            async with _answer(transport, request, limits) as answer:
                return await _read(answer, limits.max_bytes)
    except TimeoutError:
        message = f"no answer within {limits.timeout:g} s"
    except httpx2.PoolTimeout:
        failure, message = NoConnectionError, "no connection came free"
    except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, OSError, UnicodeError) as error:
        message = f"the request failed ({type(error).__name__})"
    # Raised outside of the handler: the original error holds the request, and the request our credentials.
    raise failure(message)


@asynccontextmanager
async def _answer(
    transport: httpx2.AsyncBaseTransport, request: Request, limits: Limits
) -> AsyncIterator[httpx2.Response]:
    connect = min(limits.connect, limits.timeout)
    # Before the deadline of the whole, so that a pool without a free connection can be told from a slow server.
    timeout = httpx2.Timeout(limits.timeout, connect=connect, pool=connect / 2).as_dict()
    # RFC 9110 section 12.5.3: identity, since a compressed body can be a thousand times what the cap allows.
    headers = {"accept-encoding": "identity", "user-agent": "asgi-bearer", **request.headers}
    sent = httpx2.Request(
        request.method, _read_url(request.url), headers=headers, content=request.body, extensions={"timeout": timeout}
    )
    answer = await transport.handle_async_request(sent)
    try:
        yield answer
    finally:
        # What was read to its end has closed itself.
        if not answer.is_closed:
            # Shielded, so that a deadline passed while reading costs the pool no connection; bounded all the same.
            with anyio.move_on_after(1, shield=True):
                await answer.aclose()


@lru_cache(maxsize=64)
def _read_url(url: str) -> httpx2.URL:
    # The same few for every request, and no small part of what one costs.
    return httpx2.URL(url)


async def _read(answer: httpx2.Response, max_bytes: int) -> Response:
    if answer.headers.get("content-encoding", "identity").lower() != "identity":
        raise FetchError("the answer is compressed, which was not asked for", status=answer.status_code)
    body = bytearray()
    with anyio.CancelScope() as scope:
        # Not aiter_raw: it cannot read the answer of a transport that has read it already. The encoding is identity.
        async for chunk in answer.aiter_bytes():
            body += chunk
            if len(body) > max_bytes:
                # Ended from within, at its next read, the transport closes its own iterators; left by us, it would not.
                scope.cancel()
    if len(body) > max_bytes:
        raise FetchError(f"the answer is longer than {max_bytes} bytes", status=answer.status_code)
    return Response(answer.status_code, {name.lower(): value for name, value in answer.headers.items()}, bytes(body))


def _open(context: ssl.SSLContext, max_connections: int = _MAX_CONNECTIONS) -> httpx2.AsyncBaseTransport:
    limits = httpx2.Limits(max_connections=max_connections, keepalive_expiry=_KEEPALIVE)
    # A retry is for a connection that could not be opened or had gone stale: nothing was sent by then.
    return httpx2.AsyncHTTPTransport(verify=context, trust_env=False, retries=1, limits=limits)


async def _ssl_context(url: str, given: ssl.SSLContext | None = None) -> ssl.SSLContext:
    if url.lower().startswith("http:"):
        return _empty_context()
    if given is not None:
        return given
    if not _verifying_context.cache_info().currsize:
        # Reading the system's certificates takes tens of milliseconds: once, and not on the event loop.
        await anyio.to_thread.run_sync(_verifying_context)
    return _verifying_context()


@lru_cache(maxsize=1)
def _verifying_context() -> ssl.SSLContext:
    return httpx2.create_ssl_context()


@lru_cache(maxsize=1)
def _empty_context() -> ssl.SSLContext:
    """Return a context that trusts nobody: for plain http, which has no use for it."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
