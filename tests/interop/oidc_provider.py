"""npm's `oidc-provider`, pinned in `package.json` and installed by npm itself into a cache that no commit sees."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from interop.foreign import cannot_run, post, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    import httpx2
    import pytest
    from interop.credentials import Credentials

HERE = Path(__file__).parent
OLDEST_NODE = (20, 12)
"""The first release with the `crypto.hash` that oidc-provider calls."""
INSTALL_SECONDS = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationServer:
    """A running authorization server, and what its clients `app`, `rs`, `rs-post` and `stranger` need to know.

    Its other clients are those of `interop.credentials`.
    """

    issuer: str
    mtls_introspection_endpoint: str
    """Where a client shows its certificate (RFC 8705 section 5)."""
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
        return post(self.issuer + path, form, ("app", self.secrets["app"]))


class StartServer(Protocol):
    """Starts a server, on `port` or a free one, with the keys in the file `keys`, written where there is none."""

    def __call__(self, *, port: int = 0, keys: Path | None = None) -> AbstractContextManager[AuthorizationServer]:
        """Run the server for the length of a block."""
        ...


@contextlib.contextmanager
def run_oidc_provider(
    node: str, modules: Path, credentials: Credentials, *, port: int = 0, keys: Path | None = None
) -> Iterator[AuthorizationServer]:
    """Run the server for the length of a block."""
    clients = credentials.folder / "clients.json"
    clients.write_text(json.dumps(credentials.clients))
    environment = {
        "OIDC_PROVIDER_MODULES": str(modules),
        "OIDC_PROVIDER_PORT": str(port),
        "OIDC_PROVIDER_KEYS": "" if keys is None else str(keys),
        "OIDC_PROVIDER_CLIENTS": str(clients),
        "OIDC_PROVIDER_CERTIFICATE": str(credentials.folder / "server.pem"),
        "OIDC_PROVIDER_CLIENT_CA": str(credentials.folder / "ca.pem"),
    }
    with serving([node, str(HERE / "authorization_server.mjs")], environment) as served:
        ready = served.read_line()
        yield AuthorizationServer(
            issuer=ready["issuer"],
            mtls_introspection_endpoint=ready["mtls_introspection_endpoint"],
            secrets=ready["secrets"],
            stop=served.stop,
            command=served.command,
        )


def find_node() -> tuple[str, str]:
    """Return the programs `node` and `npm`."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        cannot_run("node and npm are not on PATH")
    version = subprocess.run([node, "--version"], check=True, capture_output=True, text=True).stdout.strip()
    if tuple(int(part) for part in version.removeprefix("v").split(".")[:2]) < OLDEST_NODE:
        cannot_run(f"oidc-provider needs Node {'.'.join(map(str, OLDEST_NODE))} or newer, this is {version}")
    return node, npm


def cache_folder(config: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Choose a folder of ours that outlives the run: tox's, else pytest's cache, else only this run's."""
    if tox_folder := os.environ.get("TOX_ENV_DIR"):
        return Path(tox_folder)
    if cache := getattr(config, "cache", None):  # absent under `-p no:cacheprovider`
        folder: Path = cache.mkdir("asgi-bearer-interop")
        return folder
    return tmp_path_factory.mktemp("asgi-bearer-interop")


def install_modules(npm: str, cache: Path) -> Path:
    """Have npm install what `package.json` names, once for each manifest; return the folder."""
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
        cannot_run(f"npm install took more than {INSTALL_SECONDS:.0f} s")
    except subprocess.CalledProcessError as error:
        cannot_run(f"npm install failed with exit code {error.returncode}:\n{error.stderr}")
