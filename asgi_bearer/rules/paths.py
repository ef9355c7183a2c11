"""Which paths are public: compared with the path that the application routes, character by character. Floor 1.

The rule of this module: nothing is decoded, collapsed or folded, so `/health/`, `//health`, `/HEALTH` and `/health;x`
are not `/health`: a path that no rule names is protected.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

_PLAIN = re.compile(r"/[^?#%*{}\\\x00-\x20\x7f]*")


class PublicPaths:
    """A set of paths; `public` is a sequence of them. Falsy when there is none."""

    def __init__(self, public: Iterable[str]) -> None:
        if isinstance(public, str | bytes) or not isinstance(public, Iterable):
            message = f"public is a sequence of paths: write ['/health'], not {public!r}"
            raise TypeError(message)
        self._paths = frozenset(_path(path) for path in public)

    def __bool__(self) -> bool:
        """Tell whether any path is public."""
        return bool(self._paths)

    def contain(self, scope: Mapping[str, Any]) -> bool:
        """Tell whether the request's routed path is one of them."""
        return routed_path(scope) in self._paths


def routed_path(scope: Mapping[str, Any]) -> str | None:
    """Return the path that the application routes: what is left of `path` when `root_path` is taken off.

    ASGI, HTTP connection scope. Frameworks differ in whether a mount's part is still in `path`, so a path that begins
    with the root is measured by `raw_path`, which is the whole one everywhere. None where that does not tell.
    """
    path: str = scope["path"]
    root: str = scope.get("root_path") or ""
    if not root or not (path == root or path.startswith(f"{root}/")):
        return path
    raw: bytes | None = scope.get("raw_path")
    whole = None if raw is None else unquote(raw.decode("latin-1"))
    if whole == path:
        return path[len(root) :]
    return path if whole == root + path else None


def _path(path: object) -> str:
    if not isinstance(path, str):
        message = f"each path of public is a str, not {type(path).__name__}"
        raise TypeError(message)
    if not _PLAIN.fullmatch(path) or "//" in path or "/./" in f"{path}/" or "/../" in f"{path}/":
        message = (
            f"public: {path!r} is no plain path: write it decoded, as in '/health', without wildcards or parameters"
        )
        raise ValueError(message)
    return path
