"""The command `asgi-bearer`: real servers on loopback, in this process and in one of its own."""

from __future__ import annotations

import errno
import logging
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import httpx2
import pytest
from fakes import bearer, client_for

import asgi_bearer
from asgi_bearer import BearerMiddleware, StaticTokenVerifier
from asgi_bearer.cli import main, sample
from asgi_bearer.cli.serving import listen, serve

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMAND = [sys.executable, "-c", "from asgi_bearer.cli import main; main()"]
SECONDS = 60.0
NEEDS_CURL = pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl on this machine")
SHAPE_OF_A_CURL_LINE = re.compile(r"^curl -i (-H 'Authorization: Bearer [\w.-]+' )?http://127\.0\.0\.1:\d+/\w*$")

ANSWER = """
async def app(scope, receive, send):
    assert scope["type"] == "http"  # no lifespan here
    await send({{"type": "http.response.start", "status": {status}, "headers": {headers}}})
    await send({{"type": "http.response.body", "body": b"hello"}})
"""
LIFESPAN = """
import signal

async def app(scope, receive, send):
    assert scope["type"] == "lifespan"
    await receive()
    {at_startup}
    await send({{"type": "lifespan.startup.complete"}})
    await receive()
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to stand in, and an import path that a test may change."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the command in this process; give its exit code, output and errors."""

    def run(*arguments: str) -> tuple[Any, str, str]:
        with pytest.raises(SystemExit) as end:
            main(arguments)
        return (end.value.code, *capsys.readouterr())

    return run


def write_app(folder: Path, name: str, text: str = ANSWER, **values: object) -> str:
    """Write a module, and return the MODULE:APP for its app. Names differ, since modules are imported once."""
    folder.joinpath(f"{name}.py").write_text(text.format(**{"status": 200, "headers": [], **values}))
    return f"{name}:app"


def rows(output: str) -> list[list[str]]:
    """Return the rows of a table whose cells stand two spaces apart or more."""
    return [cells for line in output.splitlines() if len(cells := re.split(r" {2,}", line.strip())) == 5]


class TestCheck:
    def test_the_sample_answers_everything_as_expected(self, run: Any, caplog: pytest.LogCaptureFixture) -> None:
        code, output, _ = run("dev", "--check")

        assert code == 0
        assert rows(output) == [
            ["GET /", "no token, public", "200", "200", "ok"],
            ["GET /items", "no token", "401 challenge", "401 challenge", "ok"],
            ["GET /items", "good token", "200", "200", "ok"],
            ["GET /items", "good opaque token", "200", "200", "ok"],
            ["GET /items", "expired token", "401 invalid_token expired", "401 invalid_token expired", "ok"],
            ["GET /items", "wrong audience", "401 invalid_token audience", "401 invalid_token audience", "ok"],
            ["GET /items", "revoked opaque token", "401 invalid_token inactive", "401 invalid_token inactive", "ok"],
            ["GET /admin", "no scope admin", "403 insufficient_scope", "403 insufficient_scope", "ok"],
        ]
        assert "FOR DEVELOPMENT ONLY" in output
        assert "8 of 8 as expected" in output
        assert "eyJ" not in output + caplog.text

    def test_an_application_of_one_s_own_is_checked_at_its_root(self, run: Any, folder: Path) -> None:
        target = write_app(folder, "mine", status=404)

        code, output, _ = run("dev", target, "--check", "--scope", "read", "--scope", "write", "--scope", "read")

        assert code == 0
        refused = "403 insufficient_scope"
        assert target in output
        assert rows(output)[0] == ["GET /", "no token", "401 challenge", "401 challenge", "ok"]
        assert rows(output)[1] == ["GET /", "good token", "the application's answer", "404", "ok"]
        assert rows(output)[6] == ["GET /", "no scope read", refused, refused, "ok"]
        assert len(rows(output)) == 7

    def test_without_a_scope_there_is_none_to_be_missing(self, run: Any, folder: Path) -> None:
        _, output, _ = run("dev", write_app(folder, "scopeless"), "--check")

        assert [row[1] for row in rows(output)][2:] == [
            "good opaque token",
            "expired token",
            "wrong audience",
            "revoked opaque token",
        ]

    @pytest.mark.parametrize(
        ("name", "answer", "got"),
        [
            ("fails", {"status": 500}, "500"),
            (
                "refuses",
                {"status": 401, "headers": [(b"www-authenticate", b'Bearer error="x"')]},
                '401 Bearer error="x"',
            ),
            (
                "compresses",
                {"headers": [(b"content-encoding", b"gzip")]},
                "the answer is compressed, which was not asked for",
            ),
        ],
        ids=["error", "challenge of its own", "unreadable"],
    )
    def test_an_application_that_does_not_welcome_good_tokens_fails_the_check(
        self, run: Any, folder: Path, name: str, answer: dict[str, Any], got: str
    ) -> None:
        code, output, _ = run("dev", write_app(folder, name, **answer), "--check")

        assert code == 1
        assert [row[1] for row in rows(output) if row[4] == "FAILED"] == ["good token", "good opaque token"]
        assert f"good opaque token\n  expected: the application's answer\n  got:      {got}\n" in output
        assert "4 of 6 as expected" in output

    def test_a_check_that_a_signal_ends_has_not_passed(self, run: Any, folder: Path) -> None:
        target = write_app(folder, "ends", LIFESPAN, at_startup="signal.raise_signal(signal.SIGTERM)")

        code, output, _ = run("dev", target, "--check")

        assert (code, output) == (1, "")


@pytest.mark.anyio
class TestSample:
    @pytest.mark.parametrize(
        ("path", "status", "answer"),
        [
            ("/me", 200, {"subject": "al", "client_id": "app", "scopes": ["admin"]}),
            ("/admin", 200, {"done": True}),
            ("/items", 403, None),
        ],
    )
    async def test_each_page_asks_for_what_it_says(self, path: str, status: int, answer: object) -> None:
        verifier = StaticTokenVerifier({"token": {"client_id": "app", "sub": "al", "scopes": ["admin"]}})
        async with client_for(BearerMiddleware(sample.app, verifier, public=sample.PUBLIC)) as client:
            index, page = await client.get("/"), await client.get(path, headers=bearer("token"))

        assert index.json().keys() == {"/", "/me", "/items", "/admin"}
        assert page.status_code == status
        assert answer is None or page.json() == answer


class TestWhatTheUserCanMend:
    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            pytest.param(["main"], "'main' is not MODULE:APP: write main:app", id="no colon"),
            pytest.param(["main:"], "'main:' is not MODULE:APP", id="no attribute named"),
            pytest.param([":app"], "':app' is not MODULE:APP", id="no module named"),
            pytest.param(["./main.py:app"], "'./main.py:app' is not MODULE:APP", id="a path"),
            pytest.param(
                ["no_such_module:app"], "there is no module no_such_module: run this in the folder", id="no module"
            ),
            pytest.param(["no_such.package:app"], "there is no module no_such.package", id="no package"),
            pytest.param(["json.nothing:app"], "there is no module json.nothing", id="no submodule"),
            pytest.param(["json:app"], "the module json has no app: write the name of the variable", id="no attribute"),
            pytest.param(["json:decoder.app"], "the module json has no decoder.app", id="no attribute below"),
            pytest.param(
                ["json:__name__"], "json:__name__ is no ASGI application, but a value of type str", id="no app"
            ),
            pytest.param(["--scope", "a b"], "--scope: 'a b' is not a scope", id="no scope"),
        ],
    )
    def test_is_said_in_one_sentence(self, run: Any, arguments: list[str], sentence: str) -> None:
        code, output, errors = run("dev", "--check", *arguments)

        # SystemExit with a text: Python prints it on stderr, and exits with 1.
        assert code.startswith(f"asgi-bearer: {sentence}")
        assert "\n" not in code
        assert (output, errors) == ("", "")

    @pytest.mark.parametrize("option", ["--port", "--issuer-port"])
    def test_a_taken_port_is_named_with_its_option(self, run: Any, option: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]

            code, output, _ = run("dev", "--check", option, str(port))

        assert code == (
            f"asgi-bearer: port {port} of 127.0.0.1 cannot be used ({os.strerror(errno.EADDRINUSE)}): "
            f"choose another one with {option}"
        )
        assert output == ""

    def test_an_application_that_does_not_start_is_said_to(
        self, run: Any, folder: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        failing = 'await send({{"type": "lifespan.startup.failed", "message": "no database"}})\n    return'
        target = write_app(folder, "broken", LIFESPAN, at_startup=failing.format())

        code, output, _ = run("dev", target, "--check")

        assert (code, output) == ("asgi-bearer: the application did not start: what it raised stands above", "")
        assert "no database" in caplog.text

    def test_what_the_module_itself_raises_is_left_to_its_author(self, folder: Path) -> None:
        folder.joinpath("imports.py").write_text("import nowhere_to_be_found\n")

        with pytest.raises(ModuleNotFoundError, match="nowhere_to_be_found"):
            main(["dev", "imports:app", "--check"])

    def test_an_error_without_a_name_passes_too(self, folder: Path) -> None:
        folder.joinpath("raises.py").write_text("raise ModuleNotFoundError('my own')\n")

        with pytest.raises(ModuleNotFoundError, match="my own"):
            main(["dev", "raises:app", "--check"])

    @pytest.mark.parametrize("missing", ["rich", "typer", "uvicorn"])
    def test_a_missing_extra_is_said_with_the_line_that_installs_it(
        self, run: Any, missing: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make_unimportable(missing, monkeypatch)

        code, _, _ = run("dev", "--check")

        assert code == "asgi-bearer: the command needs the extra `cli`: pip install 'asgi-bearer[cli]'"

    def test_any_other_module_that_is_missing_is_our_own_fault(self, monkeypatch: pytest.MonkeyPatch) -> None:
        make_unimportable("asgi_bearer.cli.door", monkeypatch)

        with pytest.raises(ModuleNotFoundError, match=r"asgi_bearer\.cli\.door"):
            main(["dev", "--check"])


def make_unimportable(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    forgotten = ("asgi_bearer.cli.commands", "asgi_bearer.cli.dev", "asgi_bearer.cli.serving", name)
    for loaded in [*sys.modules]:
        if loaded in forgotten or loaded.startswith(f"{name}."):
            monkeypatch.delitem(sys.modules, loaded)
    # Python's own way to say that a module is not there
    monkeypatch.setitem(sys.modules, name, None)


class TestHelp:
    def test_the_command_alone_shows_what_there_is(self, run: Any) -> None:
        code, output, _ = run()

        assert code in {0, 2}  # no command is wrong usage for newer releases of click
        assert "dev" in output

    def test_the_help_has_an_example(self, run: Any) -> None:
        code, output, _ = run("dev", "--help")

        assert code == 0
        assert "asgi-bearer dev main:app --scope read" in output
        assert "--issuer-port" in output

    @pytest.mark.parametrize("arguments", [["dev", "--port", "65536"], ["nothing"], ["dev", "a:b", "c:d"]])
    def test_wrong_usage_is_exit_code_2(self, run: Any, arguments: list[str]) -> None:
        assert run(*arguments)[0] == 2


class Closing:
    """What is called when all servers have ended."""

    done = False

    async def __call__(self) -> None:
        self.done = True


class TestSignals:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_signal_ends_what_runs_and_leaves_the_handlers_as_they_were(self, number: signal.Signals) -> None:
        before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]

        async def be_ended() -> str:
            signal.raise_signal(number)
            await anyio.sleep_forever()
            return "never"

        closing = Closing()

        assert serve([], be_ended, closing) is None
        assert closing.done
        assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before

    def test_an_open_stream_ends_too_and_without_a_traceback(self, caplog: pytest.LogCaptureFixture) -> None:
        listening = listen(0, "--port")

        async def be_ended_while_streaming() -> None:
            async with await anyio.connect_tcp(*listening.getsockname()) as connection:
                await connection.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
                await connection.receive()
                signal.raise_signal(signal.SIGINT)
                await anyio.sleep_forever()

        assert serve([(stream, listening)], be_ended_while_streaming, Closing()) is None
        assert [record.message for record in caplog.records] == [
            "Cancel 1 running task(s), timeout graceful shutdown exceeded"
        ]

    def test_ctrl_c_after_the_lines_were_printed_is_a_good_end(
        self, run: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        port = free_port()
        visitor = threading.Thread(target=visit_and_interrupt, args=(port,))
        visitor.start()
        with caplog.at_level(logging.INFO):
            code, output, _ = run("dev", "--port", str(port), "--issuer-port", "0")
        visitor.join()

        assert code == 0
        assert len(curl_lines(output)) == 8
        assert "refused: 401 missing token" in caplog.text


async def stream(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"tick", "more_body": True})
    await anyio.sleep_forever()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def visit_and_interrupt(port: int) -> None:
    """Make a request as soon as somebody listens, and press Ctrl-C when it is answered."""
    with connect(port) as connection:
        connection.sendall(b"GET /me HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        while connection.recv(4096):
            pass
    os.kill(os.getpid(), signal.SIGINT)


def connect(port: int) -> socket.socket:
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), SECONDS)
        except ConnectionRefusedError:
            os.sched_yield()


def curl_lines(output: str) -> list[str]:
    return [line for line in output.splitlines() if SHAPE_OF_A_CURL_LINE.match(line)]


@contextmanager
def started(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """Start the command in a process of its own; give it, and the lines it prints before it waits."""
    command = [*COMMAND, "dev", "--port", "0", "--issuer-port", "0", *arguments]
    # Where the working tree is tested, the command must find it from another folder.
    root = str(Path(asgi_bearer.__file__).parents[1])
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": root}
    ) as process:
        deadline = threading.Timer(SECONDS, process.kill)
        deadline.start()
        try:
            yield process, list(lines_of(process))
        finally:
            deadline.cancel()
            process.kill()


def lines_of(process: subprocess.Popen[str]) -> Iterator[str]:
    assert process.stdout is not None
    for line in process.stdout:
        yield line.rstrip("\n")
        if line.startswith("curl -i") and " scope " not in line and line.rstrip().endswith("/admin"):
            return


class TestProcess:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
    @NEEDS_CURL
    def test_the_printed_lines_work_as_they_stand_and_a_signal_ends_it_well(self, number: signal.Signals) -> None:
        with started() as (process, lines):
            got = [(name, ask_with_curl(line)) for name, line in named_curl_lines(lines)]
            process.send_signal(number)
            output, errors = process.communicate()

        assert [name for name, _ in got] == [
            "no token, public: 200",
            "no token: 401 challenge",
            "good token: 200",
            "good opaque token: 200",
            "expired token: 401 invalid_token expired",
            "wrong audience: 401 invalid_token audience",
            "revoked opaque token: 401 invalid_token inactive",
            "no scope admin: 403 insufficient_scope",
        ]
        assert [answer for _, answer in got] == [(name.split(": ")[1][:3], said(lines, name)) for name, _ in got]
        assert process.returncode == 0
        assert output == ""
        assert "Traceback" not in errors

    def test_a_token_from_the_printed_line_for_new_ones_is_good(self) -> None:
        with started() as (_, lines):
            (line,) = [line for line in lines if line.startswith("curl -s")]
            token = post_as_curl_does(line).json()["access_token"]
            public = next(line for line in lines if line.startswith("curl -i")).split()[-1]

            items = httpx2.get(f"{public}items", headers=bearer(token), trust_env=False)

        assert (items.status_code, items.json()) == (200, ["apple", "pear"])

    def test_the_printed_address_is_that_of_a_page(self) -> None:
        with started() as (_, lines):
            (line,) = [line for line in lines if " in a browser: " in line]
            answer = httpx2.get(line.split()[1], headers={"accept": "text/html"}, trust_env=False)

        assert answer.status_code == 200
        assert "<h1>asgi-bearer dev</h1>" in answer.text

    def test_a_taken_port_is_one_sentence_on_stderr_and_exit_code_1(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            with started("--port", port) as (process, lines):
                _, errors = process.communicate()

        assert process.returncode == 1
        assert lines == []
        assert errors.count("\n") == 1
        assert errors.startswith(f"asgi-bearer: port {port} of 127.0.0.1 cannot be used")

    def test_an_application_is_found_in_the_current_folder_and_sees_its_caller(self, folder: Path) -> None:
        write_app(folder, "local")

        with started("local:app", "--check") as (process, lines):
            process.communicate()

        assert process.returncode == 0
        assert lines[-1] == "6 of 6 as expected"


def named_curl_lines(lines: list[str]) -> list[tuple[str, str]]:
    """Return what each curl line shows, and the line."""
    name, named = "", []
    for line in lines:
        if line.startswith("# ") and not line.startswith("# WWW-"):
            name = line.removeprefix("# ")
        elif SHAPE_OF_A_CURL_LINE.match(line):
            named.append((name, line))
    return named


def said(lines: list[str], name: str) -> str:
    """Return the challenge that was printed for that line."""
    after = lines[lines.index(f"# {name}") + 1]
    return after.removeprefix("# WWW-Authenticate: ") if after.startswith("# WWW") else ""


def ask_with_curl(line: str) -> tuple[str, str]:
    """Do what the line says; return the answer's status and challenge."""
    done = subprocess.run([*shlex.split(line), "-s", "--noproxy", "*"], capture_output=True, text=True, check=True)
    status, *headers = done.stdout.partition("\n\n")[0].splitlines()
    challenge = [value for name, _, value in (line.partition(": ") for line in headers) if name == "www-authenticate"]
    return status.split()[1], "".join(challenge)


def post_as_curl_does(line: str) -> httpx2.Response:
    """Make the POST of a curl line that has -u, --data-urlencode and a URL."""
    words = shlex.split(line)
    fields = [after for before, after in pairwise(words) if before == "--data-urlencode"]
    client_id, secret = words[words.index("-u") + 1].split(":")
    form = dict(field.split("=", 1) for field in fields)
    return httpx2.post(words[-1], data=form, auth=(client_id, secret), trust_env=False)
