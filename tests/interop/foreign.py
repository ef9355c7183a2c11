"""What all foreign servers of this folder share: a reason not to run, a pipe to talk through, and a sure end.

The tests of a server that a machine lacks are skipped with the reason; ASGI_BEARER_REQUIRE_INTEROP=1, as in CI, turns
that reason into a failure. A server that is there and does not start is always a failure.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import ssl
import subprocess
import tempfile
from typing import IO, TYPE_CHECKING, Any, NoReturn

import httpx2
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

REQUIRED = "ASGI_BEARER_REQUIRE_INTEROP"
READY_SECONDS = 60.0
STOP_SECONDS = 10.0

AWKWARD_SECRET = "p:a+ss% wo=r&d/?%41~"
"""Has what RFC 6749 section 2.3.1 asks to be form-encoded: who did not encode is refused by a server that decodes."""


def cannot_run(reason: str) -> NoReturn:
    """Skip the test, or fail it where nothing may be skipped."""
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{REQUIRED}=1, and {reason}", pytrace=False)
    pytest.skip(f"no foreign server: {reason}")


def post(
    url: str, form: Mapping[str, str], credentials: tuple[str, str], *, accept: str = "application/json"
) -> httpx2.Response:
    """Ask a server as one of its clients, with credentials that need no encoding or have theirs."""
    # Nobody is trusted: it is plain http, and reading the system's certificates takes its time.
    nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    headers = {"accept": accept}
    answer = httpx2.post(url, data=form, auth=credentials, headers=headers, verify=nobody, trust_env=False)
    return answer.raise_for_status()


class Served:
    """A server that says what it is in one JSON line, answers each line it reads with another, and ends with its input.

    Its standard error goes to a file: a pipe that nobody reads would fill up and stop the server.
    """

    def __init__(self, process: subprocess.Popen[bytes], errors: IO[str]) -> None:
        self._process = process
        self._errors = errors

    def command(self, words: str) -> None:
        """Have the server do something, and wait until it has."""
        self.write_line(words)
        assert self.read_line() == {"done": words}

    def write_line(self, line: str) -> None:
        """Write a line for the server to read."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        self._process.stdin.flush()

    def read_line(self) -> dict[str, Any]:
        """Read the next line of the server."""
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], READY_SECONDS)
        line = self._process.stdout.readline() if readable else b""
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        self.stop()
        self._errors.seek(0)
        pytest.fail(f"the server did not answer (exit code {self._process.returncode}):\n{self._errors.read()}")

    def stop(self) -> None:
        """Stop the server and wait until it is gone.

        Its standard input is closed, and it ends: the program may be a wrapper, and a signal would reach that alone.
        """
        assert self._process.stdin is not None
        self._process.stdin.close()
        wait_for_end(self._process)


@contextlib.contextmanager
def serving(program: Sequence[str], environment: Mapping[str, str]) -> Iterator[Served]:
    """Run a server for the length of a block."""
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            program,
            env=os.environ | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
        ) as process,
    ):
        served = Served(process, errors)
        try:
            yield served
        finally:
            served.stop()


def wait_for_end(process: subprocess.Popen[bytes]) -> None:
    """Wait until a process that was told to end has done so, and end it where it does not."""
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
