"""What all tests share: the event loops that they run on, and the watch for credentials in the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from leaks import Watch, watched_logs

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(params=["asyncio", "trio"], scope="session")
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run each test that awaits once on asyncio and once on trio."""
    backend: str = request.param
    return backend


@pytest.fixture(autouse=True)
def watch() -> Iterator[Watch]:
    """Fail every test in which a log record shows a signed token, or what the test adds to `secrets`."""
    watch = Watch()
    with watched_logs(watch):
        yield watch
    assert watch.leaks == []
