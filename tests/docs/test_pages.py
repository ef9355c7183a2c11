"""What the pages say that no example runs: other languages parse, tables agree with the code, skips have a reason."""

from __future__ import annotations

import ast
import inspect
import json
import re
import subprocess
import tomllib
from configparser import ConfigParser
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

import asgi_bearer
from asgi_bearer.integrations import presets
from asgi_bearer.integrations.fastapi import BearerAuth
from asgi_bearer.integrations.settings import PREFIX, BearerSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "pages").rglob("*.md"))
PROVIDERS = Path(__file__).parents[1] / "integrations" / "providers"

FENCE = re.compile(r"^```(?P<language>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
# A table of the options of the class or function that the comment above it names
OPTIONS = re.compile(r"^<!-- options: (?P<name>[\w.]+) -->\n\n(?P<rows>(?:\|.*\n)+)", re.MULTILINE)
VARIABLES = re.compile(r"^<!-- variables -->\n\n(?P<rows>(?:\|.*\n)+)", re.MULTILINE)
SKIP = re.compile(r"<!-- skip: (?P<arguments>.*?) -->")
CODE = re.compile(r"`([^`]+)`")
FILE = re.compile(r"`((?:[a-z_]+/)*[a-z_]+\.py)`")
LINK = re.compile(r"\]\((?!https?:)(?P<path>[^)#\s]*)(?:#(?P<anchor>[^)\s]+))?\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


class Table(NamedTuple):
    page: str
    name: str
    rows: list[list[str]]


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def rows_of(text: str) -> list[list[str]]:
    """Return the cells of a table's body."""
    lines = [line.strip().strip("|") for line in text.strip().splitlines()[2:]]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)] for line in lines]


def tables() -> Iterator[Table]:
    for page in PAGES:
        for found in OPTIONS.finditer(page.read_text(encoding="utf-8")):
            yield Table(name_of(page), found["name"], rows_of(found["rows"]))


def parse_shell(text: str) -> None:
    # On its input, not as an argument: a test names the command, the page says what stands in it.
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)


PARSERS: dict[str, Callable[[str], Any]] = {
    "python": ast.parse,
    "sh": parse_shell,
    "json": json.loads,
    "toml": tomllib.loads,
    "ini": lambda text: ConfigParser(interpolation=None).read_string(text),
}
# Answers, log lines, fragments of configurations: only read. What has braces is Sphinx's, and its build's to check.
READ_ONLY = {"text", "http", "nginx"}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_is_of_a_language_that_can_be_checked_and_parses(page: Path) -> None:
    for block in FENCE.finditer(page.read_text(encoding="utf-8")):
        language = block["language"].strip()
        if language not in READ_ONLY and not language.startswith("{"):
            assert language in PARSERS, f"nothing here knows how to check {language!r}"
            PARSERS[language](block["text"])


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_what_is_not_run_says_why(page: Path) -> None:
    for skip in SKIP.findall(page.read_text(encoding="utf-8")):
        assert re.fullmatch(r'next "[^"]{10,}"', skip), skip


def test_the_readme_leads_to_files_and_headings_that_are_there() -> None:
    readme = ROOT / "README.md"
    links = list(LINK.finditer(readme.read_text(encoding="utf-8")))

    assert links
    for link in links:
        target = ROOT / link["path"] if link["path"] else readme
        assert target.is_file(), link[0]
        assert not link["anchor"] or link["anchor"] in anchors(target), link[0]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_files_of_the_project_that_a_page_names_are_there(page: Path) -> None:
    places = (ROOT, Path(asgi_bearer.__file__).parent)
    for name in FILE.findall(page.read_text(encoding="utf-8")):
        assert any((place / name).is_file() for place in places), name


def anchors(page: Path) -> set[str]:
    """Return the anchors that the headings of a page have, where it is read in the repository."""
    headings = HEADING.findall(page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_options_stand_in_tables() -> None:
    assert {table.name for table in tables()} >= {
        "BearerMiddleware",
        "JWTVerifier",
        "IntrospectionTokenVerifier",
        "MultiIssuerVerifier",
        "RemoteKeySet",
        "Freshness",
    }


@pytest.mark.parametrize("table", list(tables()), ids=lambda table: f"{table.page}: {table.name}")
def test_a_table_has_every_option_with_its_default(table: Table) -> None:
    written = dict(pair for row in table.rows for pair in zip(CODE.findall(row[0]), defaults(row[1]), strict=True))
    parameters = inspect.signature(find(table.name)).parameters.values()
    expected = {one.name: shown(one.default) for one in parameters if one.kind is one.KEYWORD_ONLY}

    assert written == expected


def find(name: str) -> Any:
    module, _, member = name.rpartition(".")
    return getattr(import_module(f"asgi_bearer.{module}") if module else asgi_bearer, member)


def defaults(cell: str) -> list[Any]:
    """Read what a cell shows: values, or the name of a function."""
    return [read(code) for code in CODE.findall(cell)]


def read(code: str) -> Any:
    try:
        return ast.literal_eval(code)
    except (ValueError, SyntaxError):
        return code


def shown(default: Any) -> Any:
    if default is inspect.Parameter.empty:
        return "required"
    return default.__name__ if inspect.isroutine(default) else default


def test_the_signature_of_bearer_auth_is_written_as_it_is() -> None:
    text = (ROOT / "docs" / "pages" / "reference" / "fastapi.md").read_text(encoding="utf-8")
    written = re.search(r"autoclass:: BearerAuth\((.+)\)", text)
    assert written is not None

    parsed = ast.parse(f"def signature({written[1]}): ...").body[0]
    assert isinstance(parsed, ast.FunctionDef)
    named = dict(zip(parsed.args.kwonlyargs, parsed.args.kw_defaults, strict=True))

    # Of the constructor, since the class refuses to tell: FastAPI would take it for a dependency.
    parameters = list(inspect.signature(BearerAuth.__init__).parameters.values())[1:]
    assert {one.arg: default and ast.literal_eval(default) for one, default in named.items()} == {
        one.name: one.default for one in parameters
    }


def test_the_table_of_variables_has_every_setting() -> None:
    text = (ROOT / "docs" / "pages" / "settings.md").read_text(encoding="utf-8")
    found = VARIABLES.search(text)
    assert found is not None

    named = [name for row in rows_of(found["rows"]) for name in CODE.findall(row[0])]

    assert sorted(named) == sorted(f"{PREFIX}{name.upper()}" for name in BearerSettings.model_fields)


@pytest.mark.parametrize("record", sorted(PROVIDERS.iterdir()), ids=lambda record: record.stem)
def test_the_page_of_a_provider_shows_its_preset_with_the_shape_of_its_tokens(record: Path) -> None:
    provider = json.loads(record.read_text(encoding="utf-8"))
    page = ROOT / "docs" / "pages" / "providers" / f"{record.stem}.md"
    text = (page if page.exists() else page.with_name("others.md")).read_text(encoding="utf-8")
    shapes = [json.loads(found["text"]) for found in FENCE.finditer(text) if found["language"] == "json"]

    assert any(token["claims"] in shapes for token in provider["tokens"].values())
    made = {ast.unparse(node) for node in ast.walk(python_of(text)) if is_call_of(node, provider["preset"])}
    assert made == {call_of(provider)}


def python_of(text: str) -> ast.Module:
    return ast.parse("\n".join(found["text"] for found in FENCE.finditer(text) if found["language"] == "python"))


def is_call_of(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


def call_of(provider: dict[str, Any]) -> str:
    """Write the call with which the recorded tokens are tested: what comes first by position, and audience by name."""
    given: dict[str, Any] = provider["arguments"]
    named = {"audience", "client_id", "authorized_parties"}
    arguments = [repr(value) if name not in named else f"{name}={value!r}" for name, value in given.items()]
    call = f"{provider['preset']}({', '.join(arguments)})"
    # As Python sees it, and not as it happens to be quoted
    inspect.signature(getattr(presets, provider["preset"])).bind(**given)
    return ast.unparse(ast.parse(call, mode="eval"))
