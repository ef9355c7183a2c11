"""Which paths are public, and which ask for more: compared with the path that the application routes. Floor 1.

The rules: a path is public only as it is named, character by character, so `/health/`, `//health`, `/HEALTH` and
`/health;x` are not `/health`; what a rule protects, it protects in every spelling that some application might take for
it; of several patterns the most specific counts, wherever it stands.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote

from asgi_bearer.rules.requirements import Requirement, require_requirement

_PATTERN = re.compile(r"(?:(?P<method>[A-Z]+) )?(?P<path>/[^?#%{}\\\x00-\x20\x7f]*)")
# Nothing in it that one application reads as another path than the next: encoded, empty, dotted or parametrised parts
_PLAIN = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[^/?#%;\\\x00-\x1f\x7f]+)*/?")
# What no spelling could change
_FOLDED = re.compile(r"(?:/[a-z0-9_~-]+(?:\.[a-z0-9_~-]+)*)*/?")
_MOST_ENCODINGS = 3


class Ruling(NamedTuple):
    """What holds for one request: whether credentials are looked at, and what the caller must have then."""

    is_public: bool
    requirements: tuple[Requirement, ...] = ()


_PUBLIC, _PROTECTED = Ruling(is_public=True), Ruling(is_public=False)


class PathRules:
    """What holds on which path: `public` is a sequence of patterns, `rules` a mapping of patterns to requirements.

    A pattern is a path, decoded ("/health"); in it "*" stands for one segment, and "/**" at its end for all below and
    the path itself. "GET /docs/**" holds for that method (GET for HEAD, too). A rule for GET holds for websockets,
    which begin as one; a public pattern with a method does not. Falsy where there is none.
    """

    def __init__(self, public: Iterable[str], rules: Mapping[str, Requirement] | None) -> None:
        named = [*_public(public), *_rules(rules)]
        _require_distinct(named)
        self._as_named = _Table(named)
        protecting = [pattern.folded() for pattern in named if pattern.requirement is not None]
        self._folded = _Table(protecting) if protecting else None
        self._is_empty = not named

    def __bool__(self) -> bool:
        """Tell whether anything is said of any path."""
        return not self._is_empty

    def find(self, scope: Mapping[str, Any]) -> Ruling:
        """Return what holds for this request beside what holds for every other."""
        methods, paths = _methods(scope), possible_paths(scope)
        if len(paths) == 1:
            return self._find(paths[0], methods, scope["type"])
        found = [self._find(path, methods, scope["type"]) for path in paths]
        # Where it cannot be told which of several paths is meant, none is public.
        return Ruling(is_public=False, requirements=_joined(found))

    def _find(self, path: str, methods: tuple[str, ...], kind: str) -> Ruling:
        named = self._as_named.find(path, methods)
        folded = None if self._folded is None else self._folded.find(_fold(path), methods)
        if named is not None and named.requirement is None:
            is_overruled = folded is not None and folded.rank() < named.rank()
            if named.is_for(path, kind) and not is_overruled:
                return _PUBLIC
            named = None
        if named is folded is None:
            return _PROTECTED
        requirements = [
            found.requirement for found in (named, folded) if found is not None and found.requirement is not None
        ]
        return Ruling(is_public=False, requirements=_distinct(requirements))


def _joined(found: Iterable[Ruling]) -> tuple[Requirement, ...]:
    return _distinct(requirement for ruling in found for requirement in ruling.requirements)


def _distinct(requirements: Iterable[Requirement]) -> tuple[Requirement, ...]:
    # By what they are and not by what they say: those of users may be compared in ways of their own.
    return tuple({id(requirement): requirement for requirement in requirements}.values())


class _Pattern(NamedTuple):
    """What holds for a method, or for all ("" then), and for the paths that these segments describe: None is public."""

    method: str
    segments: tuple[str, ...]
    requirement: Requirement | None

    @property
    def is_literal(self) -> bool:
        return "*" not in self.segments and "**" not in self.segments

    @property
    def path(self) -> str:
        return "/" + "/".join(self.segments)

    def folded(self) -> _Pattern:
        """Return the pattern for paths that are folded."""
        wildcards = {"*", "**"}
        segments = [segment if segment in wildcards else _fold_segment(segment) for segment in self.segments]
        return self._replace(segments=tuple(segment for segment in segments if segment) or ("",))

    def regex(self) -> re.Pattern[str]:
        parts = {"*": "/[^/]+", "**": "(?:/.*)?"}
        return re.compile(
            "".join(parts.get(segment) or "/" + re.escape(segment) for segment in self.segments), re.DOTALL
        )

    def rank(self) -> tuple[tuple[int, ...], bool]:
        """Return what sorts the more specific first: a segment by name, then any, then all; then with a method."""
        return tuple({"*": 1, "**": 2}.get(segment, 0) for segment in self.segments), not self.method

    def is_for(self, path: str, kind: str) -> bool:
        """Tell whether a public pattern that describes this request means it, too."""
        if kind == "websocket" and self.method:
            return False
        return self.is_literal or _PLAIN.fullmatch(path) is not None


class _Table:
    """Patterns to look a path up in: those without wildcards by the path, the others one after the other."""

    def __init__(self, patterns: Iterable[_Pattern]) -> None:
        self._literal: dict[tuple[str, str], _Pattern] = {}
        wild: list[_Pattern] = []
        for pattern in patterns:
            if not pattern.is_literal:
                wild.append(pattern)
            else:
                self._literal.setdefault((pattern.method, pattern.path), pattern)
        self._wild = [(pattern.regex(), pattern) for pattern in sorted(wild, key=_Pattern.rank)]

    def find(self, path: str, methods: tuple[str, ...]) -> _Pattern | None:
        for method in methods:
            found = self._literal.get((method, path))
            if found is not None:
                return found
        for regex, pattern in self._wild:
            if pattern.method in methods and regex.fullmatch(path):
                return pattern
        return None


def _methods(scope: Mapping[str, Any]) -> tuple[str, ...]:
    method: str = "GET" if scope["type"] == "websocket" else scope["method"]
    # Applications answer HEAD by what they have for GET.
    return ("HEAD", "GET", "") if method == "HEAD" else (method, "")


def possible_paths(scope: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the path that the application routes: what is left of `path` when `root_path` is taken off.

    ASGI, HTTP connection scope. Frameworks differ in whether a mount's part is still in `path`, so a path that begins
    with the root is measured by `raw_path`, which is the whole one everywhere. Both where that does not tell.
    """
    path: str = scope["path"]
    root: str = scope.get("root_path") or ""
    if not root or not (path == root or path.startswith(f"{root}/")):
        return (path,)
    raw: bytes | None = scope.get("raw_path")
    whole = None if raw is None else unquote(raw.decode("latin-1"))
    if whole == path:
        return (path[len(root) :],)
    return (path,) if whole == root + path else (path, path[len(root) :])


def whole_path(scope: Mapping[str, Any]) -> str:
    """Return the path that the client asked for, as far as the server tells: with `root_path` before it."""
    path: str = scope["path"]
    root: str = scope.get("root_path") or ""
    return path if path == root or path.startswith(f"{root}/") else root + path


def _fold(path: str) -> str:
    """Return the one spelling of all that some application might take for the same path."""
    if _FOLDED.fullmatch(path):
        return path.rstrip("/") or "/"
    for _ in range(_MOST_ENCODINGS):
        path = unquote(path)
    segments: list[str] = []
    for segment in path.replace("\\", "/").split("/"):
        name = _fold_segment(segment)
        if segment.partition(";")[0] == "..":
            del segments[-1:]
        elif name:
            segments.append(name)
    return "/" + "/".join(segments)


def _fold_segment(segment: str) -> str:
    name = unicodedata.normalize("NFKC", segment.partition(";")[0]).casefold()
    # Some file systems take no notice of what stands at the end, and C of what stands behind a zero.
    return name.partition("\0")[0].rstrip(". ")


def _public(public: Iterable[str]) -> list[_Pattern]:
    if isinstance(public, str | bytes) or not isinstance(public, Iterable):
        message = f"public is a sequence of paths: write ['/health'], not {public!r}"
        raise TypeError(message)
    return [_pattern("public", text, None) for text in public]


def _rules(rules: object) -> list[_Pattern]:
    if rules is None:
        return []
    if not isinstance(rules, Mapping):
        message = (
            f"rules maps paths to requirements: write {{'/admin/**': scopes('admin')}}, not {type(rules).__name__}"
        )
        raise TypeError(message)
    return [_pattern("rules", text, require_requirement(f"rules[{text!r}]", rule)) for text, rule in rules.items()]


def _require_distinct(patterns: Iterable[_Pattern]) -> None:
    known: dict[tuple[str, str], _Pattern] = {}
    for pattern in patterns:
        other = known.setdefault((pattern.method, pattern.path), pattern)
        if (other.requirement is None) != (pattern.requirement is None):
            message = (
                f"{f'{pattern.method} {pattern.path}'.strip()!r} is in public and in rules: leave it in one of them"
            )
            raise ValueError(message)


def _pattern(name: str, text: object, requirement: Requirement | None) -> _Pattern:
    if not isinstance(text, str):
        message = f"each path of {name} is a str, not {type(text).__name__}"
        raise TypeError(message)
    parts = _PATTERN.fullmatch(text)
    segments = () if parts is None else tuple(parts["path"][1:].split("/"))
    odd = {"", ".", ".."}.intersection(segments[:-1]) or segments[-1:] in {(".",), ("..",)}
    misplaced = "**" in segments[:-1] or any("*" in segment and segment not in {"*", "**"} for segment in segments)
    if parts is None or odd or misplaced:
        message = (
            f"{name}: {text!r} is no path: write it decoded, as in '/health', 'GET /docs/**' or '/users/*/keys'; "
            "* stands for one whole segment, and /** at the end for all below"
        )
        raise ValueError(message)
    return _Pattern(parts["method"] or "", segments, requirement)
