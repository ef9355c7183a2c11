"""Debian's `glewlwyd`, a plain process with a configuration, a database and keys of its own in a temporary folder."""

from __future__ import annotations

import contextlib
import shutil
import socket
import sqlite3
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import httpx2
import pytest
from interop.credentials import JWT_SECRET
from interop.foreign import AWKWARD_SECRET, READY_SECONDS, cannot_run, post, wait_for_end
from key_material import private_pem, private_rsa, public_pem, signing_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

MODULES = Path("/usr/lib/glewlwyd")
SCHEMA = Path("/usr/share/dbconfig-common/data/glewlwyd/install/sqlite3")
"""The tables, and the administrator `admin` with the password `password`, as Debian's package brings them."""
API = "https://api.example"
LIFETIME = 600
"""Seconds that the server gives every access token."""

CONFIGURATION = """
port = {port}
bind_address = "127.0.0.1"
external_url = "http://127.0.0.1:{port}/"
api_prefix = "api"
log_mode = "console"
log_level = "WARNING"
cookie_secure = 0
session_key = "SESSION"
session_expiration = 3600
admin_scope = "g_admin"
profile_scope = "g_profile"
hash_algorithm = "SHA512"
user_module_path = "{modules}/user"
client_module_path = "{modules}/client"
user_auth_scheme_module_path = "{modules}/scheme"
plugin_module_path = "{modules}/plugin"
database = {{ type = "sqlite3"; path = "{folder}/database"; }};
"""

SECRETS = {
    "app": "the-secret-of-the-app",
    "rs": "the-secret-of-the-rs",
    "rs-awkward": AWKWARD_SECRET,
    "rs-jwt": JWT_SECRET,
    API: AWKWARD_SECRET,
}
WITH_SECRET = ["client_secret_basic", "client_secret_post"]
CLIENTS: dict[str, dict[str, Any]] = {
    "app": {"token_endpoint_auth_method": WITH_SECRET, "scope": ["read", "write"]},
    "rs": {"token_endpoint_auth_method": WITH_SECRET, "scope": ["introspect"]},
    "rs-awkward": {"token_endpoint_auth_method": WITH_SECRET},
    "rs-jwt": {"token_endpoint_auth_method": ["client_secret_jwt"]},
    "rs-key": {"token_endpoint_auth_method": ["private_key_jwt"], "pubkey": signing_key("ES256").public_pem},
    # The draft's name for a resource server, where RFC 9701 has its client id.
    API: {"token_endpoint_auth_method": WITH_SECRET},
}

ISSUERS: dict[str, dict[str, Any]] = {
    # Explains every token to every client, and to who has a token with the scope `introspect`.
    "open": {
        "introspection-revocation-allowed": True,
        "introspection-revocation-allow-target-client": True,
        "introspection-revocation-auth-scope": ["introspect"],
    },
    # Explains a token to the client that it was issued to.
    "owners": {"introspection-revocation-allowed": True, "introspection-revocation-allow-target-client": True},
    # Explains nothing, and its metadata names no introspection endpoint.
    "silent": {"introspection-revocation-allowed": False},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Glewlwyd:
    """A running server of three issuers, and what its `CLIENTS` need to know."""

    url: str
    folder: Path
    stop: Callable[[], None] = field(repr=False)

    def issuer(self, name: str = "open") -> str:
        """Return one of `ISSUERS` by its full name."""
        return f"{self.url}/api/{name}"

    @property
    def introspection_endpoint(self) -> str:
        """Where the issuer `open` is asked about a token (RFC 7662), as its metadata write it: with a double slash."""
        return f"{self.url}//api/open/introspect"

    def token(self, issuer: str = "open", *, client_id: str = "app", scope: str = "read", **form: str) -> str:
        """Get an access token by client_credentials (RFC 6749 section 4.4.2)."""
        form |= {"grant_type": "client_credentials", "scope": scope}
        token: str = self._post(issuer, "token", client_id, form).json()["access_token"]
        return token

    def revoke(self, token: str, issuer: str = "open") -> None:
        """Revoke `token` as the client `app`, which owns it (RFC 7009 section 2.1)."""
        self._post(issuer, "revoke", "app", {"token": token})

    def expire(self) -> None:
        """Let the lifetime of every token that there is pass at the server, which keeps when it issued them."""
        with contextlib.closing(sqlite3.connect(self.folder / "database")) as database, database:
            database.execute("UPDATE gpo_access_token SET gpoa_issued_at = gpoa_issued_at - ?", (2 * LIFETIME,))

    def introspect(self, token: str, issuer: str = "open", *, accept: str = "application/json") -> httpx2.Response:
        """Ask about `token` as the client `rs` would, to see what the server really says."""
        return self._post(issuer, "introspect", "rs", {"token": token}, accept=accept)

    def _post(
        self, issuer: str, path: str, client_id: str, form: dict[str, str], *, accept: str = "application/json"
    ) -> httpx2.Response:
        return post(f"{self.issuer(issuer)}/{path}", form, (client_id, SECRETS[client_id]), accept=accept)


class StartGlewlwyd(Protocol):
    """Starts a server, on `port` or a free one, with what is in `folder`, filled where it is empty."""

    def __call__(self, folder: Path, *, port: int = 0) -> AbstractContextManager[Glewlwyd]:
        """Run the server for the length of a block."""
        ...


def find_glewlwyd() -> str:
    """Return the program."""
    program = shutil.which("glewlwyd")
    if program is None or not SCHEMA.is_file():
        cannot_run("glewlwyd is not installed (Debian's package of that name)")
    return program


@contextlib.contextmanager
def run_glewlwyd(program: str, folder: Path, *, port: int = 0) -> Iterator[Glewlwyd]:
    """Run the server for the length of a block."""
    port = port or _free_port()
    (folder / "configuration").write_text(CONFIGURATION.format(port=port, modules=MODULES, folder=folder))
    new = not (folder / "database").exists()
    if new:
        with contextlib.closing(sqlite3.connect(folder / "database")) as database:
            database.executescript(SCHEMA.read_text())
    with (
        tempfile.TemporaryFile("w+") as log,
        # It reads no standard input whose end could end it: so the kernel does, should the tests be killed.
        subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", program, "-c", str(folder / "configuration")], stdout=log, stderr=log
        ) as process,
    ):
        try:
            _wait_until_ready(process, port, log)
            url = f"http://127.0.0.1:{port}"
            if new:
                _set_up(url)
            yield Glewlwyd(url=url, folder=folder, stop=lambda: _stop(process))
        finally:
            _stop(process)


def _free_port() -> int:
    # The server takes no 0, and its port stands in its URLs.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Any) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.01)
    _stop(process)
    log.seek(0)
    pytest.fail(f"glewlwyd did not start (exit code {process.returncode}):\n{log.read()}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    wait_for_end(process)


def _set_up(url: str) -> None:
    """Make scopes, issuers and clients, by the administrator's API."""
    with httpx2.Client(base_url=f"{url}/api", trust_env=False) as admin:

        def make(path: str, **content: Any) -> None:
            answer = admin.post(path, json=content)
            assert answer.status_code == 200, answer.text

        make("/auth/", username="admin", password="password")
        for scope in ("read", "write", "introspect"):
            make("/scope/", name=scope, display_name=scope, description=scope, password_required=False, scheme={})
        for name, options in ISSUERS.items():
            parameters = _parameters(f"{url}/api/{name}") | options
            make("/mod/plugin/", module="oidc", name=name, display_name=name, enabled=True, parameters=parameters)
        for client_id, properties in CLIENTS.items():
            secret = {"client_secret": SECRETS[client_id]} if client_id in SECRETS else {}
            make(
                "/client/",
                client_id=client_id,
                name=client_id,
                confidential=True,
                enabled=True,
                authorization_type=["client_credentials"],
                **properties | secret,
            )


def _parameters(issuer: str) -> dict[str, Any]:
    return {
        "iss": issuer,
        "jwt-type": "rsa",
        "jwt-key-size": "256",
        "key": private_pem(private_rsa()),
        "cert": public_pem(private_rsa()),
        "access-token-duration": LIFETIME,
        "refresh-token-duration": LIFETIME,
        "code-duration": LIFETIME,
        "allow-non-oidc": True,
        "auth-type-client-enabled": True,
        "request-parameter-allow": True,
        "request-maximum-exp": LIFETIME,
        "client-pubkey-parameter": "pubkey",
        "resource-allowed": True,
        "resource-scope": {"read": [API], "write": [API]},
    }
