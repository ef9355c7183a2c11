"""Runs a real, foreign authorization server on loopback for the tests of this folder.

The server is npm's `oidc-provider`, pinned in `package.json` and installed by npm itself into a cache that no commit
sees. A machine without Node skips these tests with the reason; ASGI_BEARER_REQUIRE_INTEROP=1, as in CI, turns that
reason into a failure. A server that is installed and does not start is always a failure.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import select
import shutil
import subprocess
import tempfile
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn, Protocol

import httpx2
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).parent
REQUIRED = "ASGI_BEARER_REQUIRE_INTEROP"
OLDEST_NODE = (20, 12)
"""The first release with the `crypto.hash` that oidc-provider calls."""
INSTALL_SECONDS = 300.0
READY_SECONDS = 60.0
STOP_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationServer:
    """A running authorization server, and what its clients `app`, `rs`, `rs-post` and `stranger` need to know."""

    issuer: str
    secrets: dict[str, str] = field(repr=False)
    stop: Callable[[], None] = field(repr=False)
    command: Callable[[str], None] = field(repr=False)
    """Does "rotate" (sign with new keys, publish the old ones too) or "retire" (publish the newest alone)."""

    @property
    def jwks_uri(self) -> str:
        """Where the server publishes its keys."""
        return f"{self.issuer}/jwks"

    @property
    def introspection_endpoint(self) -> str:
        """Where a resource server asks about a token (RFC 7662)."""
        return f"{self.issuer}/token/introspection"

    def token(self, resource: str, *, scope: str = "read") -> str:
        """Get an access token for `resource` as the client `app` (RFC 6749 section 4.4.2, RFC 8707 section 2)."""
        form = {"grant_type": "client_credentials", "resource": resource, "scope": scope}
        token: str = self._post_as_app("/token", form).json()["access_token"]
        return token

    def revoke(self, token: str) -> None:
        """Revoke `token` as the client `app`, which owns it (RFC 7009 section 2.1)."""
        self._post_as_app("/token/revocation", {"token": token})

    def _post_as_app(self, path: str, form: dict[str, str]) -> httpx2.Response:
        # No character of this client's credentials is changed by the form-encoding of RFC 6749 section 2.3.1.
        credentials = ("app", self.secrets["app"])
        answer = httpx2.post(self.issuer + path, data=form, auth=credentials, trust_env=False)
        return answer.raise_for_status()


class StartServer(Protocol):
    """Starts a server, on `port` or a free one, with the keys in the file `keys`, written where there is none."""

    def __call__(self, *, port: int = 0, keys: Path | None = None) -> AbstractContextManager[AuthorizationServer]:
        """Run the server for the length of a block."""
        ...


@pytest.fixture(scope="session")
def start_authorization_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> StartServer:
    """Give what starts a server of its own, for a test that stops it."""
    node, npm = _find_node()
    cache = _cache_folder(request.config, tmp_path_factory)
    modules = _install_modules(npm, cache)
    return partial(_run_server, node, modules)


@pytest.fixture(scope="session")
def authorization_server(start_authorization_server: StartServer) -> Iterator[AuthorizationServer]:
    """Give the one server that all tests of the session share."""
    with start_authorization_server() as server:
        yield server


def _find_node() -> tuple[str, str]:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        _cannot_run("node and npm are not on PATH")
    version = subprocess.run([node, "--version"], check=True, capture_output=True, text=True).stdout.strip()
    if tuple(int(part) for part in version.removeprefix("v").split(".")[:2]) < OLDEST_NODE:
        _cannot_run(f"oidc-provider needs Node {'.'.join(map(str, OLDEST_NODE))} or newer, this is {version}")
    return node, npm


def _cannot_run(reason: str) -> NoReturn:
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{REQUIRED}=1, and {reason}", pytrace=False)
    pytest.skip(f"no foreign authorization server: {reason}")


def _cache_folder(config: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Choose a folder of ours that outlives the run: tox's, else pytest's cache, else only this run's."""
    if tox_folder := os.environ.get("TOX_ENV_DIR"):
        return Path(tox_folder)
    if cache := getattr(config, "cache", None):  # absent under `-p no:cacheprovider`
        folder: Path = cache.mkdir("asgi-bearer-interop")
        return folder
    return tmp_path_factory.mktemp("asgi-bearer-interop")


def _install_modules(npm: str, cache: Path) -> Path:
    manifest = (HERE / "package.json").read_bytes()
    modules = cache / f"npm-{hashlib.sha256(manifest).hexdigest()[:12]}"
    if modules.is_dir():
        return modules
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        unfinished = Path(scratch, "modules")
        unfinished.mkdir()
        (unfinished / "package.json").write_bytes(manifest)
        _npm_install(npm, unfinished)
        # Renamed when whole, so that an interrupted installation is never taken for one.
        try:
            unfinished.rename(modules)
        except OSError:
            if not modules.is_dir():  # else another run was faster, and installed the same
                raise
    return modules


def _npm_install(npm: str, folder: Path) -> None:
    options = ["--no-audit", "--no-fund", "--no-save", "--no-package-lock", "--ignore-scripts", "--loglevel=error"]
    command = [npm, "install", *options, "--prefix", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder, timeout=INSTALL_SECONDS)
    except subprocess.TimeoutExpired:
        _cannot_run(f"npm install took more than {INSTALL_SECONDS:.0f} s")
    except subprocess.CalledProcessError as error:
        _cannot_run(f"npm install failed with exit code {error.returncode}:\n{error.stderr}")


@contextlib.contextmanager
def _run_server(node: str, modules: Path, *, port: int = 0, keys: Path | None = None) -> Iterator[AuthorizationServer]:
    environment = os.environ | {
        "OIDC_PROVIDER_MODULES": str(modules),
        "OIDC_PROVIDER_PORT": str(port),
        "OIDC_PROVIDER_KEYS": "" if keys is None else str(keys),
    }

    def command(word: str) -> None:
        assert process.stdin is not None
        process.stdin.write(f"{word}\n".encode())
        process.stdin.flush()
        assert _read_line(process, errors) == {"done": word}

    # Standard error goes to a file: a pipe that nobody reads would fill up and stop the server.
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            [node, str(HERE / "authorization_server.mjs")],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
        ) as process,
    ):
        try:
            ready = _read_line(process, errors)
            yield AuthorizationServer(
                issuer=ready["issuer"], secrets=ready["secrets"], stop=lambda: _stop(process), command=command
            )
        finally:
            _stop(process)


def _read_line(process: subprocess.Popen[bytes], errors: IO[str]) -> dict[str, Any]:
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], READY_SECONDS)
    line = process.stdout.readline() if readable else b""
    if line:
        answer: dict[str, Any] = json.loads(line)
        return answer
    _stop(process)
    errors.seek(0)
    pytest.fail(f"the authorization server did not answer (exit code {process.returncode}):\n{errors.read()}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Stop the server and wait until it is gone.

    Its standard input is closed, and it ends: `node` may be a wrapper, and a signal would reach the wrapper alone.
    """
    assert process.stdin is not None
    process.stdin.close()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
