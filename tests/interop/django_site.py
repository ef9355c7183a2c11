"""A Django site with django-oauth-toolkit on a free port of loopback; `interop.django_server` runs it as a program.

Its arguments are a folder for the database and, where the site shall have it, the word "metadata" for the document of
RFC 8414, which a site has to mount at its root. Its standard input is one JSON line that names the clients and their
secrets, then commands, one a line: "expire" ends the lifetime of every access token there is. Standard output carries
one JSON line when the server listens, naming it, and one after each command; everything else goes to standard error.
The server ends when its standard input does, so it cannot outlive the tests that started it.
"""

# ruff: noqa: PLC0415  # Django's modules can be imported when its settings are there, not before

from __future__ import annotations

import json
import sys
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import django
from django.conf import settings

LIFETIME = 600


def main(folder: Path, *, metadata: bool) -> None:
    """Serve until standard input ends."""
    configure(folder, metadata=metadata)
    fill(json.loads(sys.stdin.readline()))

    from django.core.handlers.wsgi import WSGIHandler
    from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler

    with ThreadedWSGIServer(("127.0.0.1", 0), WSGIRequestHandler) as server:
        server.set_app(WSGIHandler())
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        say(url=f"http://127.0.0.1:{server.server_port}")
        for line in sys.stdin:
            {"expire": expire}[line.strip()]()
            say(done=line.strip())
        server.shutdown()
        thread.join()


def configure(folder: Path, *, metadata: bool) -> None:
    """Set Django up, with the toolkit's usual place in a site: below /o/."""
    settings.configure(
        ALLOWED_HOSTS=["127.0.0.1"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": folder / "database"}},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        INSTALLED_APPS=[f"django.contrib.{app}" for app in ("contenttypes", "auth")] + ["oauth2_provider"],
        # The tables as they are now, without their history: seconds less.
        MIGRATION_MODULES=dict.fromkeys(("contenttypes", "auth", "oauth2_provider")),
        OAUTH2_PROVIDER={
            "ACCESS_TOKEN_EXPIRE_SECONDS": LIFETIME,
            "OIDC_ENABLED": True,
            "SCOPES": {"read": "read", "write": "write", "introspection": "ask about tokens"},
        },
        # Secrets are hashed: not for as long as it takes to be safe.
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        SECRET_KEY="the secret of a site that lives for a test",
        USE_TZ=True,
    )
    django.setup()

    from django.urls import include, path
    from oauth2_provider.urls import metadata_urlpatterns

    well_known = [path("", include((metadata_urlpatterns, "metadata")))] if metadata else []
    settings.ROOT_URLCONF = (path("o/", include("oauth2_provider.urls")), *well_known)


def fill(clients: dict[str, dict[str, Any]]) -> None:
    """Make the tables, the clients and the user alice."""
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from oauth2_provider.models import Application

    call_command("migrate", run_syncdb=True, verbosity=0)
    User.objects.create_user("alice", password="the-password-of-alice")
    for client_id, client in clients.items():
        Application.objects.create(client_id=client_id, client_type=Application.CLIENT_CONFIDENTIAL, **client)


def expire() -> None:
    """Let the lifetime of every access token pass."""
    from django.utils import timezone
    from oauth2_provider.models import AccessToken

    AccessToken.objects.update(expires=timezone.now() - timedelta(seconds=1))


def say(**what: Any) -> None:
    """Write one line for the tests."""
    sys.stdout.write(f"{json.dumps(what)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), metadata="metadata" in sys.argv[2:])
