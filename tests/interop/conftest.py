"""Runs real, foreign authorization servers on loopback for the tests of this folder.

Each is installed by its own means and described in a module of its own here; `interop.foreign` says what happens on a
machine that lacks one.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

pytest.register_assert_rewrite("interop.calling", "interop.mcp_peers")

from interop.credentials import Credentials, make_credentials  # noqa: E402  # after the line above
from interop.django_server import DjangoServer, run_django  # noqa: E402
from interop.glewlwyd import Glewlwyd, StartGlewlwyd, find_glewlwyd, run_glewlwyd  # noqa: E402
from interop.mcp_peers import find_packages  # noqa: E402
from interop.oidc_provider import (  # noqa: E402
    AuthorizationServer,
    StartServer,
    cache_folder,
    find_node,
    install_modules,
    run_oidc_provider,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def credentials(tmp_path_factory: pytest.TempPathFactory) -> Credentials:
    """Give the keys and certificates of the clients that may introspect."""
    return make_credentials(tmp_path_factory.mktemp("credentials"))


@pytest.fixture(scope="session")
def node_modules(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder in which npm has installed what `package.json` names."""
    _, npm = find_node()
    return install_modules(npm, cache_folder(request.config, tmp_path_factory))


@pytest.fixture(scope="session")
def start_authorization_server(node_modules: Path, credentials: Credentials) -> StartServer:
    """Give what starts a server of its own, for a test that stops it."""
    node, _ = find_node()
    return partial(run_oidc_provider, node, node_modules, credentials)


@pytest.fixture(scope="session")
def authorization_server(start_authorization_server: StartServer) -> Iterator[AuthorizationServer]:
    """Give the one server that all tests of the session share."""
    with start_authorization_server() as server:
        yield server


@pytest.fixture(scope="session")
def start_glewlwyd() -> StartGlewlwyd:
    """Give what starts a server of its own, for a test that stops it."""
    return partial(run_glewlwyd, find_glewlwyd())


@pytest.fixture(scope="session")
def glewlwyd(start_glewlwyd: StartGlewlwyd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Glewlwyd]:
    """Give the one server that all tests of the session share."""
    with start_glewlwyd(tmp_path_factory.mktemp("glewlwyd")) as server:
        yield server


@pytest.fixture(scope="session")
def django_server() -> Iterator[DjangoServer]:
    """Give the one site that all tests of the session share."""
    with run_django() as server:
        yield server


@pytest.fixture(scope="session")
def django_server_without_metadata() -> Iterator[DjangoServer]:
    """Give a site that has the document of OpenID Connect alone."""
    with run_django(metadata=False) as server:
        yield server


@pytest.fixture(scope="session")
def mcp_packages() -> None:
    """Let a test run where the packages of MCP are there."""
    find_packages()
