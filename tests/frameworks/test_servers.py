"""The suite over real sockets: every server in a process of its own, all applications in each."""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, ClassVar

import httpx2
import pytest
from frameworks.apps.dispatcher import APPS
from frameworks.behaviour import HAVE_WEBSOCKETS, Behaviour, Client, ForApps, Place, Reply, arrivals, over
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from asgi_bearer import RSAKeyPair

TESTS = Path(__file__).parent.parent
START_SECONDS = 60.0
STOP_SECONDS = 20.0
SERVED = "frameworks.apps.served:app"
UVICORN = ["--lifespan=on", "--no-access-log"]

# How to start each server, and on which event loop it runs the applications. Django and Quart run on asyncio alone;
# on trio Quart's sister Quart-Trio takes its place, and there is no Django.
SERVERS: dict[str, tuple[str, list[str]]] = {
    "uvicorn-h11-wsproto": (
        "asyncio",
        ["uvicorn", SERVED, "--port={port}", "--http=h11", "--ws=wsproto", "--loop=asyncio", *UVICORN],
    ),
    "uvicorn-httptools-websockets": (
        "asyncio",
        ["uvicorn", SERVED, "--port={port}", "--http=httptools", "--ws=websockets-sansio", *UVICORN],
    ),
    "hypercorn-asyncio": ("asyncio", ["hypercorn", SERVED, "--bind=127.0.0.1:{port}", "-w=0", "-k=asyncio"]),
    "hypercorn-trio": ("trio", ["hypercorn", SERVED, "--bind=127.0.0.1:{port}", "-w=0", "-k=trio"]),
    "granian": ("asyncio", ["granian", SERVED, "--port={port}", "--interface=asgi", "--workers=1", "--loop=asyncio"]),
}


class Server:
    """A server that runs: its port, and what it has written so far."""

    def __init__(self, port: int, process: subprocess.Popen[bytes], log: IO[str]) -> None:
        self.port = port
        self._process = process
        self._log = log

    def wait_until_it_listens(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            # A connection to a closed port of loopback fails at once.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.05)
        pytest.fail(f"the server does not listen (exit code {self._process.poll()}):\n{self.new_output()}")

    def new_output(self) -> str:
        """Return what it has written since it was last asked."""
        return self._log.read()


class OverSockets:
    """Calls the applications of one server."""

    def __init__(self, client: httpx2.Client, server: Server) -> None:
        self.http = client
        self.server = server

    def request(self, method: str, path: str, headers: Sequence[tuple[str, str]] = (), content: bytes = b"") -> Reply:
        reply = self.http.request(method, path, headers=list(headers), content=content)
        return Reply(reply.status_code, reply.headers.multi_items(), reply.content)

    def talk(self, path: str, headers: Sequence[tuple[str, str]], text: str) -> tuple[str, str]:
        with connect(self._websocket_url(path), additional_headers=headers, proxy=None) as websocket:
            first = websocket.recv(timeout=10, decode=True)
            websocket.send(text)
            return first, websocket.recv(timeout=10, decode=True)

    def knock(self, path: str, headers: Sequence[tuple[str, str]]) -> Reply:
        with (
            pytest.raises(InvalidStatus) as refused,
            connect(self._websocket_url(path), additional_headers=headers, proxy=None),
        ):
            pass
        response = refused.value.response
        lines = [(name.lower(), value) for name, value in response.headers.raw_items()]
        return Reply(response.status_code, lines, bytes(response.body or b""))

    def _websocket_url(self, path: str) -> str:
        return f"ws://127.0.0.1:{self.server.port}{path}"


@pytest.fixture(scope="session")
def serve(key_pair: RSAKeyPair, tokens: Mapping[str, str]) -> Iterator[Callable[[str], OverSockets]]:
    """Give what calls a server by its name; the server is started when it is first asked for, and stays."""
    running: dict[str, OverSockets] = {}
    with contextlib.ExitStack() as stack:

        def get(name: str) -> OverSockets:
            if name not in running:
                running[name] = stack.enter_context(_run(name, key_pair.public_key, tokens))
            return running[name]

        yield get


@contextlib.contextmanager
def _run(name: str, public_key: str, tokens: Mapping[str, str]) -> Iterator[OverSockets]:
    backend, command = SERVERS[name]
    port = _reserve_port()
    environment = os.environ | {
        "FRAMEWORKS_PUBLIC_KEY": public_key,
        "FRAMEWORKS_BACKEND": backend,
        "PYTHONPATH": os.pathsep.join(filter(None, (str(TESTS), os.environ.get("PYTHONPATH")))),
    }
    with (
        # A file: a pipe that nobody reads would fill up and stop the server.
        tempfile.NamedTemporaryFile("w") as written,
        Path(written.name).open() as log,
        subprocess.Popen(
            [sys.executable, "-m", *(argument.format(port=port) for argument in command)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            server = Server(port, process, log)
            server.wait_until_it_listens()
            with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=START_SECONDS, trust_env=False) as client:
                yield OverSockets(client, server)
        finally:
            _stop(process)
        everything = Path(written.name).read_text()
        assert [token for token in tokens.values() if token in everything] == [], f"{name} wrote a token"


def _reserve_port() -> int:
    """Return a free port that the system gives to nobody else for a minute.

    A connection that this side closes first leaves the port waiting: servers, which ask for SO_REUSEADDR, can listen on
    it, and the system does not choose it for others.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = listener.accept()
            accepted.close()
            client.recv(1)
    return port


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class TestServers(Behaviour):
    places: ClassVar = [Place(name, app) for name, (backend, _) in SERVERS.items() for app in APPS[backend]]

    @pytest.fixture
    def client(self, place: Place, serve: Callable[[str], OverSockets]) -> Iterator[OverSockets]:
        client = serve(place.host)
        client.server.new_output()
        yield client
        # pytest shows it when the test has failed.
        sys.stderr.write(client.server.new_output())

    @over([ForApps("", HAVE_WEBSOCKETS)])
    def test_without_the_denial_response_a_websocket_is_refused_with_403(self, client: Client, place: Place) -> None:
        before = arrivals(client, place)

        reply = client.knock(f"/no-denial/{place.app}/ws", [])

        assert reply.status == 403
        assert arrivals(client, place) == before

    @over([ForApps("", ["bare"])])
    def test_a_streaming_response_reaches_the_client_while_it_is_made(
        self, client: OverSockets, tokens: Mapping[str, str]
    ) -> None:
        headers = {"authorization": f"Bearer {tokens['good']}"}

        with client.http.stream("GET", "/bare/stream", headers=headers) as reply:
            chunks = reply.iter_raw()
            first = next(chunks)
            # Only now does the application make the rest.
            released = client.http.get("/bare/release", headers=headers)
            rest = b"".join(chunks)

        assert released.status_code == 200
        assert (first, rest) == (b"first", b"second")
