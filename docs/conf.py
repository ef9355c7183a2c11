"""How the documentation is built: Sphinx, pages in Markdown (MyST), the theme Furo; nothing is fetched.

`sphinx-build -W --keep-going -c docs docs/pages FOLDER`, as `tox -e docs` does; a broken link is an error then.
"""

import re

import asgi_bearer

project = "asgi-bearer"
author = "the asgi-bearer authors"
version = release = asgi_bearer.__version__
html_title = "asgi-bearer"

extensions = ["myst_parser", "sphinx.ext.autodoc"]
source_suffix = {".md": "markdown"}

# Headings are anchors, so that links to them are checked.
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["calm.css"]
html_copy_source = False
html_show_sphinx = False
pygments_style = "tango"
pygments_dark_style = "github-dark"
highlight_language = "none"

autodoc_default_options = {"members": True, "show-inheritance": False}
autodoc_member_order = "groupwise"
autodoc_class_signature = "mixed"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
add_module_names = False
python_maximum_signature_line_length = 88

_CODE = re.compile(r"`([^`]+)`")
_NAME = re.compile(r"[A-Za-z][\w.]*")
_MARKUP = re.compile(r"([*|\\]|_\b)")


def read_docstring(_app: object, _kind: str, _name: str, _found: object, _options: object, lines: list[str]) -> None:
    """Read a docstring as it is written: paragraphs, lists with dashes, and `code` between single backticks."""
    parts = _CODE.split("\n".join(lines))
    parts[::2] = [_MARKUP.sub(r"\\\1", text) for text in parts[::2]]
    parts[1::2] = [f":py:obj:`{code}`" if _NAME.fullmatch(code) else f"``{code}``" for code in parts[1::2]]
    # A role ends before what is no letter: the s of "`kid`s" is parted from it.
    parts[2::2] = [f"\\ {text}" if text[:1].isalnum() else text for text in parts[2::2]]
    lines[:] = "".join(parts).split("\n")


def setup(app: object) -> None:
    """Let docstrings be read as this package writes them."""
    app.connect("autodoc-process-docstring", read_docstring)  # type: ignore[attr-defined]  # Sphinx's application
