"""The installed package is the one that the wheel ships: its files, its version, its public names."""

import os
import sysconfig
from importlib.metadata import distribution, version
from pathlib import Path

import pytest

import asgi_bearer

HERE = Path(asgi_bearer.__file__).parent

WHEEL_ONLY = pytest.mark.skipif(
    os.environ.get("ASGI_BEARER_TEST_WHEEL") != "1", reason="the working tree is tested, not the wheel"
)


@WHEEL_ONLY
def test_the_tests_import_the_installed_wheel_and_not_the_working_tree() -> None:
    assert HERE.parent == Path(sysconfig.get_path("purelib"))


@WHEEL_ONLY
def test_the_wheel_ships_the_package_and_nothing_else() -> None:
    files = distribution("asgi-bearer").files or []

    folders = {file.parts[0] for file in files if file.parts[0] != ".." and not file.parts[0].endswith(".dist-info")}

    assert folders == {"asgi_bearer"}


def test_the_version_is_the_one_that_the_metadata_say() -> None:
    assert asgi_bearer.__version__ == version("asgi-bearer")


def test_type_checkers_are_told_that_the_package_is_typed() -> None:
    assert (HERE / "py.typed").is_file()


def test_the_public_names_are_sorted_and_named_once() -> None:
    assert list(asgi_bearer.__all__) == sorted(set(asgi_bearer.__all__))


@pytest.mark.parametrize("name", asgi_bearer.__all__)
def test_every_public_name_exists(name: str) -> None:
    assert hasattr(asgi_bearer, name)
