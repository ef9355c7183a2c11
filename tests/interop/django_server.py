"""PyPI's `django-oauth-toolkit` in a small Django site, run as a process of its own."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

from interop.foreign import AWKWARD_SECRET, cannot_run, post, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx2

PROGRAM = Path(__file__).with_name("django_site.py")
SECRETS = {client_id: f"{client_id}-{AWKWARD_SECRET}" for client_id in ("app", "portal", "rs")}
GRANTS = {"app": "client-credentials", "portal": "password", "rs": "client-credentials"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DjangoServer:
    """A running site, and what its clients `app`, `portal` and `rs` need to know; its one user is alice."""

    url: str
    stop: Callable[[], None] = field(repr=False)
    expire: Callable[[], None] = field(repr=False)
    """Lets the lifetime of every access token that there is pass."""

    @property
    def issuer(self) -> str:
        """The issuer, as its metadata name it."""
        return f"{self.url}/o"

    @property
    def introspection_endpoint(self) -> str:
        """Where a resource server asks about a token (RFC 7662)."""
        return f"{self.url}/o/introspect/"

    @property
    def token_endpoint(self) -> str:
        """Where a client gets its tokens."""
        return f"{self.url}/o/token/"

    def token(self, *, client_id: str = "app", scope: str = "read", **form: str) -> str:
        """Get an access token by client_credentials (RFC 6749 section 4.4.2)."""
        return self._token(client_id, {"grant_type": "client_credentials", "scope": scope} | form)

    def token_of_alice(self) -> str:
        """Get an access token for the user by `portal`, which knows her password (RFC 6749 section 4.3.2)."""
        form = {"grant_type": "password", "username": "alice", "password": "the-password-of-alice", "scope": "read"}
        return self._token("portal", form)

    def revoke(self, token: str, *, client_id: str = "app") -> None:
        """Revoke `token` as the client that owns it (RFC 7009 section 2.1)."""
        self._post("revoke_token/", client_id, {"token": token})

    def introspect(self, token: str, *, accept: str = "application/json") -> httpx2.Response:
        """Ask about `token` as the client `rs` would, to see what the server really says."""
        return self._post("introspect/", "rs", {"token": token}, accept=accept)

    def _token(self, client_id: str, form: dict[str, str]) -> str:
        token: str = self._post("token/", client_id, form).json()["access_token"]
        return token

    def _post(
        self, path: str, client_id: str, form: dict[str, str], *, accept: str = "application/json"
    ) -> httpx2.Response:
        return post(f"{self.url}/o/{path}", form, (client_id, quote_plus(SECRETS[client_id])), accept=accept)


@contextlib.contextmanager
def run_django(*, metadata: bool = True) -> Iterator[DjangoServer]:
    """Run a site for the length of a block; it has the document of RFC 8414 or does not."""
    if importlib.util.find_spec("oauth2_provider") is None:
        cannot_run("django-oauth-toolkit is not installed (the dependency group `interop`)")
    clients: dict[str, dict[str, Any]] = {
        client_id: {"client_secret": secret, "authorization_grant_type": GRANTS[client_id]}
        for client_id, secret in SECRETS.items()
    }
    with tempfile.TemporaryDirectory() as folder:
        program = [sys.executable, str(PROGRAM), folder, *(["metadata"] if metadata else [])]
        with serving(program, {}) as served:
            served.write_line(json.dumps(clients))
            url = served.read_line()["url"]
            yield DjangoServer(url=url, stop=served.stop, expire=lambda: served.command("expire"))
