"""Servers of ASGI applications in processes of their own, on loopback: for tests over real sockets."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

TESTS = Path(__file__).parent
START_SECONDS = 60.0
_STOP_SECONDS = 20.0
_UVICORN = ["--lifespan=on", "--no-access-log"]

# How to start each server; "{app}" is what it is to import, "{port}" where it is to listen.
SERVERS: dict[str, list[str]] = {
    "uvicorn-h11-wsproto": [
        *["uvicorn", "{app}", "--port={port}", "--http=h11", "--ws=wsproto", "--loop=asyncio"],
        *_UVICORN,
    ],
    "uvicorn-httptools-websockets": [
        *["uvicorn", "{app}", "--port={port}", "--http=httptools", "--ws=websockets-sansio"],
        *_UVICORN,
    ],
    "hypercorn-asyncio": ["hypercorn", "{app}", "--bind=127.0.0.1:{port}", "-w=0", "-k=asyncio"],
    "hypercorn-trio": ["hypercorn", "{app}", "--bind=127.0.0.1:{port}", "-w=0", "-k=trio"],
    "granian": ["granian", "{app}", "--port={port}", "--interface=asgi", "--workers=1", "--loop=asyncio"],
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


@contextlib.contextmanager
def serving(name: str, app: str, environment: Mapping[str, str], secrets: Iterable[str]) -> Iterator[Server]:
    """Run `app` on the server of that name, and look that it has written none of `secrets`."""
    port = reserve_port()
    path = os.pathsep.join(filter(None, (str(TESTS), os.environ.get("PYTHONPATH"))))
    with (
        # A file: a pipe that nobody reads would fill up and stop the server.
        tempfile.NamedTemporaryFile("w") as written,
        Path(written.name).open() as log,
        subprocess.Popen(
            [sys.executable, "-m", *_filled(SERVERS[name], app, port)],
            env={**os.environ, **environment, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            server = Server(port, process, log)
            server.wait_until_it_listens()
            yield server
        finally:
            _stop(process)
        everything = Path(written.name).read_text()
        assert [secret for secret in secrets if secret in everything] == [], f"{name} wrote a token"


def _filled(command: Sequence[str], app: str, port: int) -> list[str]:
    return [argument.format(app=app, port=port) for argument in command]


def reserve_port() -> int:
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
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
