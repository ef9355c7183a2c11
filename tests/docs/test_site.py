"""The site as it is built: nothing comes from elsewhere, links within it lead somewhere, every public name is there.

`tox -e docs` builds it and says where it is; it needs Sphinx, which the other environments do not have.
"""

from __future__ import annotations

import os
import re
import zlib
from functools import cache
from html.parser import HTMLParser
from importlib import import_module
from inspect import isclass, isfunction
from pathlib import Path
from pkgutil import iter_modules
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import pytest

import asgi_bearer
from asgi_bearer import integrations

if "ASGI_BEARER_SITE" not in os.environ:
    pytest.skip("the site is built by tox -e docs", allow_module_level=True)

SITE = Path(os.environ["ASGI_BEARER_SITE"]).resolve()
# What a browser fetches by itself
ASSETS = {
    "audio": "src",
    "embed": "src",
    "iframe": "src",
    "img": "src",
    "link": "href",
    "script": "src",
    "source": "src",
}
IN_STYLES = re.compile(r"@import\s+[\"']([^\"']+)|url\(\s*[\"']?([^\"')]+)")
MODULES = [
    "asgi_bearer.events",
    "asgi_bearer.testing",
    *(module.name for module in iter_modules(integrations.__path__, "asgi_bearer.integrations.")),
]


class Page(HTMLParser):
    """What a page fetches, what it links to, and what may be linked to in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.assets: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.anchors.add(given.get("id") or "")
        if tag in ASSETS and (address := given.get(ASSETS[tag])):
            self.assets.append(address)
        if tag == "a" and (address := given.get("href")):
            self.links.append(address)


class Target(NamedTuple):
    file: Path
    anchor: str


@cache
def read(file: Path) -> Page:
    return Page(file.read_text(encoding="utf-8"))


def pages() -> list[Path]:
    return sorted(SITE.rglob("*.html"))


def is_elsewhere(address: str) -> bool:
    parts = urlsplit(address)
    return parts.scheme not in {"", "data"} or bool(parts.netloc)


def target_of(page: Path, address: str) -> Target:
    parts = urlsplit(address)
    file = os.path.normpath(page.parent / unquote(parts.path)) if parts.path else page
    return Target(Path(file), unquote(parts.fragment))


def documented() -> set[str]:
    """Return the names that the reference has, out of the inventory that Sphinx writes for other sites."""
    lines = (SITE / "objects.inv").read_bytes().split(b"\n", 4)
    return {line.split(" ")[0] for line in zlib.decompress(lines[4]).decode("utf-8").splitlines()}


def public_names(module_name: str) -> set[str]:
    module = import_module(module_name)
    named = getattr(module, "__all__", None)
    if named is None:
        own = {name: value for name, value in vars(module).items() if not name.startswith("_")}
        named = [
            name
            for name, value in own.items()
            if (isclass(value) or isfunction(value)) and value.__module__ == module_name
        ]
    # What the package has, too, stands with the package.
    elsewhere = vars(asgi_bearer) if module is not asgi_bearer else {}
    return {f"{module_name}.{name}" for name in named if elsewhere.get(name) is not getattr(module, name)}


def test_there_is_a_site() -> None:
    assert SITE / "index.html" in pages()


def test_no_page_fetches_anything_from_elsewhere() -> None:
    assert [(page.name, address) for page in pages() for address in read(page).assets if is_elsewhere(address)] == []


def test_no_style_sheet_fetches_anything_from_elsewhere() -> None:
    styles = [style.read_text(encoding="utf-8") for style in SITE.rglob("*.css")]
    addresses = [address for style in styles for found in IN_STYLES.findall(style) for address in found if address]
    assert styles
    assert [address for address in addresses if is_elsewhere(address)] == []


def test_whatever_a_page_fetches_is_there() -> None:
    here = [(page, address) for page in pages() for address in read(page).assets if not address.startswith("data:")]
    assert here
    assert [address for page, address in here if not target_of(page, address).file.is_file()] == []


def test_every_link_within_the_site_leads_to_a_page_and_a_place_in_it() -> None:
    targets = {
        target_of(page, address) for page in pages() for address in read(page).links if not is_elsewhere(address)
    }
    assert targets
    assert [target for target in targets if not target.file.is_file()] == []
    assert [one for one in targets if one.anchor and one.anchor not in read(one.file).anchors] == []


@pytest.mark.parametrize("module", ["asgi_bearer", *MODULES])
def test_the_reference_has_every_public_name(module: str) -> None:
    names = public_names(module)
    assert names
    assert names - documented() == set()


def test_the_names_of_the_package_are_looked_for() -> None:
    assert "asgi_bearer.JWTVerifier" in public_names(asgi_bearer.__name__)
