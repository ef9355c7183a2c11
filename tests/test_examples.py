"""Every Python example of the README, of the documentation and of the docstrings runs as it is written."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from unittest import SkipTest
from unittest.mock import patch

import pytest
from django.conf import settings
from django.utils.functional import empty
from leaks import Watch
from sybil import Document
from sybil.document import PythonDocStringDocument
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser
from sybil.parsers.rest import DocTestParser
from sybil.parsers.rest import PythonCodeBlockParser as RestCodeBlockParser

import asgi_bearer
from asgi_bearer.integrations.settings import PREFIX

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "pages").rglob("*.md"))]
PACKAGE = Path(asgi_bearer.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))


def name_of(file: Path) -> str:
    return file.relative_to(PACKAGE if file.is_relative_to(PACKAGE) else ROOT).as_posix()


def evaluate(document: Document) -> None:
    """Run the examples from top to bottom: a later one may build on an earlier one."""
    for example in document.examples():
        # What cannot run says so in the page, with its reason.
        with suppress(SkipTest):
            example.evaluate()


@pytest.fixture
def _environment() -> Iterator[None]:
    """Take away what tells the tests how to run, and give it back with whatever an example has changed."""
    with patch.dict(os.environ):
        for name in [name for name in os.environ if name.startswith(PREFIX)]:
            del os.environ[name]
        yield


@pytest.fixture
def _django_is_new() -> Iterator[None]:
    """Let the example configure Django, which knows one configuration a process, and give back that of other tests."""
    configured = settings._wrapped  # noqa: SLF001  # there is no other way to do it twice
    settings._wrapped = empty  # noqa: SLF001  # as above
    yield
    settings._wrapped = configured  # noqa: SLF001  # as above


@pytest.mark.usefixtures("_django_is_new", "_environment")
@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_examples_of_a_page_run_as_they_are_written(
    page: Path, monkeypatch: pytest.MonkeyPatch, watch: Watch
) -> None:
    document = Document.parse(str(page), PythonCodeBlockParser(), SkipParser())
    module = ModuleType("page")
    # Frameworks look up in its module what a handler's annotations mean.
    monkeypatch.setitem(sys.modules, module.__name__, module)
    document.namespace = vars(module)
    # Litestar and Django would put handlers of their own in the place of the watch.
    monkeypatch.setattr("logging.config.dictConfig", lambda _: None)

    evaluate(document)
    assert watch in logging.getLogger().handlers


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_the_examples_in_the_docstrings_run_as_they_are_written(module: Path) -> None:
    document = PythonDocStringDocument.parse(str(module), DocTestParser(), RestCodeBlockParser())

    evaluate(document)
