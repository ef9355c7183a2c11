"""One request: what it costs at most, what it never does, and what becomes of bad answers. On real sockets."""

from __future__ import annotations

import gzip
import os
import ssl
import subprocess
import sys
from typing import TYPE_CHECKING

import anyio
import httpx2
import pytest
from fault_server import (
    Answer,
    FaultServer,
    close,
    document,
    drip,
    endless,
    fault_server,
    hang,
    keep_alive,
    no_http,
    reset,
    text,
    truncate,
)
from key_material import certificate, private_pem, private_rsa

from asgi_bearer.remote.http import FetchError, Limits, NoConnectionError, Pool, Request, Response, fetch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.anyio

LIMITS = Limits(timeout=5.0, max_bytes=1000)
# Long enough for an answer on loopback to begin, and short enough to be waited for.
IMPATIENT = Limits(timeout=0.05, max_bytes=1000)


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with fault_server(document({"answer": 42}, etag='"1"')) as server:
        yield server


@pytest.fixture
def kept_alive() -> Iterator[FaultServer]:
    with fault_server(keep_alive) as server:
        yield server


def get(server: FaultServer, **headers: str) -> Request:
    return Request(method="GET", url=server.origin + "/document", headers=headers)


async def test_an_answer_is_status_headers_and_body(server: FaultServer) -> None:
    response = await fetch(get(server), LIMITS)

    assert (response.status, response.body) == (200, b'{"answer": 42}')
    assert response.headers["etag"] == '"1"'


async def test_ks2_a_request_carries_what_was_asked_for_and_no_cookie_and_no_credentials(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The environment of the process is read by many an HTTP client, not by this one.
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    server.answer = text(200, b"", **{"set-cookie": "session=1"})
    await fetch(get(server, accept="application/json"), LIMITS)
    await fetch(get(server, accept="application/json"), LIMITS)

    assert server.connections == 2
    for request in server.requests:
        assert (request.method, request.path) == ("GET", "/document")
        assert set(request.headers) == {"host", "accept", "accept-encoding", "user-agent"}
        assert request.headers["accept-encoding"] == "identity"
        assert request.headers["user-agent"] == "asgi-bearer"


async def test_ks1_a_redirect_is_an_answer_and_not_followed(server: FaultServer) -> None:
    server.answer = text(302, b"", location=server.origin + "/elsewhere")

    assert (await fetch(get(server), LIMITS)).status == 302
    assert [request.path for request in server.requests] == ["/document"]


@pytest.mark.parametrize(
    ("answer", "why", "status"),
    [
        pytest.param(reset, "the request failed", None, id="reset within the body"),
        pytest.param(truncate, "the request failed", None, id="truncated"),
        pytest.param(close, "the request failed", None, id="hung up"),
        pytest.param(no_http, "the request failed", None, id="another protocol"),
        pytest.param(text(200, b"x" * 1001), "longer than 1000 bytes", 200, id="a byte too long"),
        pytest.param(text(404, b"x" * 10_000_000), "longer than 1000 bytes", 404, id="ten megabytes"),
        pytest.param(endless, "longer than 1000 bytes", 200, id="without end"),
        pytest.param(
            text(200, gzip.compress(bytes(100_000)), **{"content-encoding": "gzip"}), "compressed", 200, id="gzip"
        ),
    ],
)
async def test_ks2_an_answer_that_cannot_be_used_is_a_fetch_error(
    server: FaultServer, answer: Answer, why: str, status: int | None
) -> None:
    server.answer = answer

    with pytest.raises(FetchError, match=why) as caught:
        await fetch(get(server), LIMITS)
    assert caught.value.status == status


async def test_an_answer_of_just_the_allowed_length_is_read(server: FaultServer) -> None:
    server.answer = text(200, b"x" * 1000, **{"content-encoding": "Identity"})

    assert len((await fetch(get(server), LIMITS)).body) == 1000


@pytest.mark.parametrize("answer", [hang, drip], ids=["hangs", "drips"])
async def test_ks2_the_deadline_is_for_all_of_the_answer(server: FaultServer, answer: Answer) -> None:
    server.answer = answer

    with anyio.fail_after(5), pytest.raises(FetchError, match=r"no answer within 0\.05 s"):
        await fetch(get(server), IMPATIENT)


async def test_a_refused_connection_is_a_fetch_error(server: FaultServer) -> None:
    server.refuse()

    with pytest.raises(FetchError, match="the request failed"):
        await fetch(get(server), LIMITS)


@pytest.mark.parametrize(
    "url", ["http://" + "a" * 64 + ".localhost/", "http://[::1/"], ids=["a label too long", "half an address"]
)
async def test_a_url_that_cannot_be_reached_is_a_fetch_error(url: str) -> None:
    with pytest.raises(FetchError, match="the request failed"):
        await fetch(Request(method="GET", url=url), LIMITS)


async def test_an_error_holds_nothing_of_the_request(server: FaultServer) -> None:
    server.answer = close
    request = Request(
        method="POST", url=server.origin, headers={"authorization": "Basic c2VjcmV0"}, body=b"token=secret"
    )

    with pytest.raises(FetchError) as caught:
        await fetch(request, LIMITS)
    assert caught.value.__context__ is None
    assert "secret" not in repr(request)
    assert "c2VjcmV0" not in repr(request)


def test_the_repr_of_a_response_shows_nothing_of_it() -> None:
    assert repr(Response(200, {"etag": "alice"}, b'{"sub":"alice"}')) == "Response(200)"


async def test_a_body_is_sent(server: FaultServer) -> None:
    response = await fetch(Request(method="POST", url=server.origin + "/introspect", body=b"token=t"), LIMITS)

    assert response.status == 200
    assert server.requests[0].headers["content-length"] == "7"


async def test_a_given_transport_is_used_and_left_open() -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, content=request.url.path.encode(), request=request)

    transport = httpx2.MockTransport(answer)
    response = await fetch(Request(method="GET", url="https://idp.example/a"), LIMITS, transport)

    assert response.body == b"/a"
    assert (await Pool(transport).fetch(Request(method="GET", url="https://idp.example/b"), LIMITS)).body == b"/b"


# Kept-alive connections


async def test_a_pool_keeps_its_connection_for_the_next_request(kept_alive: FaultServer) -> None:
    pool = Pool()
    for _ in range(3):
        assert (await pool.fetch(get(kept_alive), LIMITS)).body == b"kept"

    assert (kept_alive.connections, len(kept_alive.requests)) == (1, 3)
    await pool.aclose()
    await pool.fetch(get(kept_alive), LIMITS)
    assert kept_alive.connections == 2
    await pool.aclose()


async def test_closing_a_pool_that_was_never_used_does_nothing() -> None:
    await Pool().aclose()


async def test_a_pool_survives_answers_that_never_come(server: FaultServer) -> None:
    pool = Pool()
    server.answer = hang
    for _ in range(3):
        with pytest.raises(FetchError, match="no answer"):
            await pool.fetch(get(server), IMPATIENT)
    server.answer = text(200, b"well")

    assert (await pool.fetch(get(server), LIMITS)).body == b"well"
    await pool.aclose()


async def test_a_pool_without_a_free_connection_is_told_from_a_slow_server_and_replaced(server: FaultServer) -> None:
    server.answer = hang
    pool = Pool(max_connections=2)
    limits = Limits(timeout=5.0, connect=0.02, max_bytes=1000)

    async with anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(_failing, pool, get(server), limits)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(NoConnectionError, match="no connection came free"):
            await pool.fetch(get(server), limits)
        # The lost ones are closed with their pool, and the next request has a new one.
        server.answer = text(200, b"well")
        assert (await pool.fetch(get(server), limits)).body == b"well"

    await pool.aclose()


async def _failing(pool: Pool, request: Request, limits: Limits) -> None:
    with pytest.raises(FetchError):
        await pool.fetch(request, limits)


async def test_requests_that_are_cancelled_cost_the_pool_no_connection(server: FaultServer) -> None:
    pool = Pool(max_connections=4)
    for _ in range(10):
        server.answer = hang
        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(pool.fetch, get(server), LIMITS)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
    server.answer = text(200, b"well")

    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(pool.fetch, get(server), LIMITS)
    assert (await pool.fetch(get(server), LIMITS)).body == b"well"
    await pool.aclose()


@pytest.mark.parametrize("backends", [("asyncio", "asyncio", "asyncio"), ("asyncio", "trio", "asyncio")], ids="-".join)
def test_a_pool_has_connections_of_its_own_for_each_event_loop(
    kept_alive: FaultServer, backends: tuple[str, ...]
) -> None:
    pool = Pool()

    async def use() -> None:
        await pool.fetch(get(kept_alive), LIMITS)
        await pool.fetch(get(kept_alive), LIMITS)
        await pool.aclose()

    for backend in backends:
        anyio.run(use, backend=backend)
    assert (kept_alive.connections, len(kept_alive.requests)) == (3, 6)


_FORK = """
import asyncio, os, sys
from asgi_bearer.remote.http import Limits, Pool, Request
request, limits, pool = Request(method="GET", url=sys.argv[1]), Limits(timeout=5.0, max_bytes=1000), Pool()
loop = asyncio.new_event_loop()
def use():
    return loop.run_until_complete(pool.fetch(request, limits)).body == b"kept"
used, child = use(), os.fork()
if child == 0:
    os._exit(0 if use() else 1)
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
sys.stdout.write(repr((used, code, use())))
sys.stdout.flush()
os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_j11_a_child_process_does_not_use_the_connections_of_its_parent(kept_alive: FaultServer) -> None:
    command = [sys.executable, "-c", _FORK, kept_alive.origin]
    done = subprocess.run(command, check=True, timeout=30, capture_output=True, text=True)

    assert done.stdout == "(True, 0, True)"
    assert (kept_alive.connections, len(kept_alive.requests)) == (2, 3)


# TLS


@pytest.fixture
def over_tls(tmp_path: Path) -> Iterator[FaultServer]:
    """A server whose certificate, in a file named "certificate", is signed by nobody but itself."""
    (tmp_path / "certificate").write_bytes(certificate(private_rsa().public_key(), years=100))
    (tmp_path / "key").write_text(private_pem(private_rsa()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate", tmp_path / "key")
    with fault_server(text(200, b"kept"), context) as server:
        yield server


@pytest.mark.parametrize("scheme", ["https", "HTTPS"])
async def test_a_certificate_of_nobody_we_trust_is_refused(over_tls: FaultServer, scheme: str) -> None:
    url = over_tls.origin.replace("https", scheme)

    with pytest.raises(FetchError, match=r"the request failed \(ConnectError\)"):
        await fetch(Request(method="GET", url=url), LIMITS)
    assert over_tls.requests == []


async def test_a_pool_shows_the_certificate_of_the_context_that_it_is_given(tmp_path: Path) -> None:
    (tmp_path / "certificate").write_bytes(certificate(private_rsa().public_key(), years=100))
    (tmp_path / "key").write_text(private_pem(private_rsa()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate", tmp_path / "key")
    context.load_verify_locations(tmp_path / "certificate")
    context.verify_mode = ssl.CERT_REQUIRED
    with_certificate = ssl.create_default_context(cafile=str(tmp_path / "certificate"))
    without = ssl.create_default_context(cafile=str(tmp_path / "certificate"))
    with_certificate.load_cert_chain(tmp_path / "certificate", tmp_path / "key")

    with fault_server(text(200, b"you are known"), context) as server:
        pools = Pool(ssl_context=with_certificate), Pool(ssl_context=without)
        assert (await pools[0].fetch(get(server), LIMITS)).body == b"you are known"
        with pytest.raises(FetchError):
            await pools[1].fetch(get(server), LIMITS)
        for pool in pools:
            await pool.aclose()


_TRUSTING = """
import anyio, sys
from asgi_bearer.remote.http import Limits, Request, fetch
answer = anyio.run(fetch, Request(method="GET", url=sys.argv[1]), Limits(timeout=5.0, max_bytes=1000))
sys.stdout.write(answer.body.decode())
"""


@pytest.mark.parametrize("scheme", ["https", "HTTPS"])
def test_a_certificate_that_the_system_trusts_is_taken(over_tls: FaultServer, tmp_path: Path, scheme: str) -> None:
    # The system's certificates are read once in a process, so this one starts with others.
    trusting = {**os.environ, "SSL_CERT_FILE": str(tmp_path / "certificate")}
    command = [sys.executable, "-c", _TRUSTING, over_tls.origin.replace("https", scheme)]
    done = subprocess.run(command, check=True, timeout=30, capture_output=True, text=True, env=trusting)

    assert done.stdout == "kept"
