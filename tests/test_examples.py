"""Every Python example of the README and of the docstrings runs as it is written."""

import logging
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

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

README = Path(__file__).parents[1] / "README.md"
PACKAGE = Path(asgi_bearer.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))


def name_of(module: Path) -> str:
    return module.relative_to(PACKAGE).as_posix()


def evaluate(document: Document) -> None:
    """Run the examples from top to bottom: a later one may build on an earlier one."""
    for example in document.examples():
        example.evaluate()


def count(document: Iterable[object]) -> int:
    return sum(1 for _ in document)


@pytest.fixture
def _django_is_new() -> Iterator[None]:
    """Let the example configure Django, which knows one configuration a process, and give back that of other tests."""
    configured = settings._wrapped  # noqa: SLF001  # there is no other way to do it twice
    settings._wrapped = empty  # noqa: SLF001  # as above
    yield
    settings._wrapped = configured  # noqa: SLF001  # as above


@pytest.mark.usefixtures("_django_is_new")
def test_the_examples_of_the_readme_run_as_they_are_written(monkeypatch: pytest.MonkeyPatch, watch: Watch) -> None:
    document = Document.parse(str(README), PythonCodeBlockParser(), SkipParser())
    module = ModuleType("readme")
    # Frameworks look up in its module what a handler's annotations mean.
    monkeypatch.setitem(sys.modules, module.__name__, module)
    document.namespace = vars(module)
    # Litestar and Django would put handlers of their own in the place of the watch.
    monkeypatch.setattr("logging.config.dictConfig", lambda _: None)

    assert count(document.examples()) > 0
    evaluate(document)
    assert watch in logging.getLogger().handlers


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_the_examples_in_the_docstrings_run_as_they_are_written(module: Path) -> None:
    document = PythonDocStringDocument.parse(str(module), DocTestParser(), RestCodeBlockParser())

    evaluate(document)
