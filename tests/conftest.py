"""What all tests share: the event loops that they run on."""

import pytest


@pytest.fixture(params=["asyncio", "trio"], scope="session")
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run each test that awaits once on asyncio and once on trio."""
    backend: str = request.param
    return backend
