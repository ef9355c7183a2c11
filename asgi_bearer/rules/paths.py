"""Which paths are public, and which ask for more: compared with the path that the application routes. Floor 1.

The rules: a path is public only as it is named, character by character, so `/health/`, `//health`, `/HEALTH` and
`/health;x` are not `/health`; what a rule protects, it protects in every spelling that some application might take for
it; of several patterns the most specific counts, wherever it stands.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote

from asgi_bearer.rules.requirements import Requirement, require_requirement

_PATTERN = re.compile(r"(?:(?P<method>[A-Z]+) )?(?P<path>/[^?#%{}\\\x00-\x20\x7f]*)")
# Nothing in it that one application reads as another path than the next: encoded, empty, dotted or parametrised parts
_PLAIN = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[^/?#%;\\\x00-\x1f\x7f]+)*/?")
# What no spelling could change, but for the slash at its end
_ORDINARY = re.compile(r"(?:/[a-z0-9_~-]+(?:\.[a-z0-9_~-]+)*)*/?")
_ORIGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?://[^/?#]*)?")
_MOST_ENCODINGS = 3
# An odd path that is longer is taken for every path that a rule protects.
_LONGEST_ODD = 1024


class Ruling(NamedTuple):
    """What holds for one request: whether credentials are looked at, and what the caller must have then."""

    is_public: bool
    requirements: tuple[Requirement, ...] = ()


PUBLIC, PROTECTED = Ruling(is_public=True), Ruling(is_public=False)


class PathRules:
    """What holds on which path: `public` is a sequence of patterns, `rules` a mapping of patterns to requirements.

    A pattern is a path, decoded ("/health"); in it "*" stands for one segment, and "/**" at its end for all below and
    the path itself. "GET /docs/**" holds for that method (GET for HEAD, too). A rule for GET holds for websockets,
    which begin as one; a public pattern with a method does not. Falsy where there is none.
    """

    def __init__(self, public: Iterable[str], rules: Mapping[str, Requirement] | None) -> None:
        named = [*_public(public), *_rules(rules)]
        _require_distinct(named)
        protecting = [pattern for pattern in named if pattern.requirement is not None]
        self._as_named = _Table(named)
        self._protecting = _Table(protecting, empty_segments=True)
        self._folded = _Table([pattern.folded() for pattern in protecting], empty_segments=True)
        self._all = _distinct(pattern.requirement for pattern in protecting)
        self._is_empty = not named

    def __bool__(self) -> bool:
        """Tell whether anything is said of any path."""
        return not self._is_empty

    def find(self, scope: Mapping[str, Any], inner_roots: Collection[str] = ()) -> Ruling:
        """Return what holds for this request beside what holds for every other.

        `inner_roots` are those that applications take off by themselves: rules hold below them, too.
        """
        methods, paths = _methods(scope), possible_paths(scope)
        ruling = self._find(paths[0], methods, scope)
        if len(paths) == 1 and not inner_roots:
            return ruling
        below = [path[len(root) :] for root in inner_roots for path in paths if path.startswith(f"{root}/")]
        more = [self._find(path, methods, scope) for path in (*paths[1:], *below)]
        requirements = _distinct(one for other in (ruling, *more) for one in other.requirements)
        if not more or (len(paths) == 1 and not requirements):
            return ruling
        # Where it cannot be told which of several paths is meant, none is public.
        return Ruling(is_public=False, requirements=requirements)

    def _find(self, path: str, methods: tuple[str, ...], scope: Mapping[str, Any]) -> Ruling:
        if self._all and len(path) > _LONGEST_ODD and not _PLAIN.fullmatch(path):
            return Ruling(is_public=False, requirements=self._all)
        named = self._as_named.find(path, methods)
        others = self._find_others(path, methods) if self._all else []
        if named is not None and named.requirement is None:
            is_overruled = any(other.rank() < named.rank() for other in others)
            if named.is_for(path, scope) and not is_overruled:
                return PUBLIC
            named = None
        elif named is None and not others:
            return PROTECTED
        found = others if named is None else [named, *others]
        return Ruling(is_public=False, requirements=_distinct(pattern.requirement for pattern in found))

    def _find_others(self, path: str, methods: tuple[str, ...]) -> list[_Pattern]:
        """Return the rules for the other spellings of `path`, each the most specific for one of them."""
        stripped = path.rstrip("/") or "/"
        if _PLAIN.fullmatch(path):
            spelled = [(self._folded, stripped if _ORDINARY.fullmatch(path) else _fold(stripped))]
            if stripped != path:
                spelled.append((self._protecting, stripped))
        else:
            spellings = _spellings(path)
            spelled = [(self._protecting, spelling) for spelling in spellings]
            spelled += [(self._folded, spelling) for spelling in dict.fromkeys(map(_fold, spellings))]
        found = (table.find(spelling, methods) for table, spelling in spelled)
        return [pattern for pattern in found if pattern is not None]


def _distinct(requirements: Iterable[Requirement | None]) -> tuple[Requirement, ...]:
    # By what they are and not by what they say: those of users may be compared in ways of their own.
    return tuple({id(found): found for found in requirements if found is not None}.values())


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
        # With a slash at its end or without: the path that is looked up has none.
        return self._replace(segments=tuple(segments[:-1] if len(segments) > 1 and not segments[-1] else segments))

    def regex(self, *, empty_segments: bool) -> re.Pattern[str]:
        parts = {"*": "/[^/]*" if empty_segments else "/[^/]+", "**": "(?:/.*)?"}
        return re.compile(
            "".join(parts.get(segment) or "/" + re.escape(segment) for segment in self.segments), re.DOTALL
        )

    def rank(self) -> tuple[tuple[int, ...], bool]:
        """Return what sorts the more specific first: a segment by name, then any, then all; then with a method."""
        return tuple({"*": 1, "**": 2}.get(segment, 0) for segment in self.segments), not self.method

    def is_for(self, path: str, scope: Mapping[str, Any]) -> bool:
        """Tell whether a public pattern that describes this request means it, too."""
        if self.method and (scope["type"] == "websocket" or not scope["method"].isupper()):
            return False
        return self.is_literal or _PLAIN.fullmatch(path) is not None


class _Table:
    """Patterns to look a path up in: those without wildcards by the path, the others one after the other.

    With `empty_segments` a "*" takes a segment that is empty, too.
    """

    def __init__(self, patterns: Iterable[_Pattern], *, empty_segments: bool = False) -> None:
        self._literal: dict[tuple[str, str], _Pattern] = {}
        wild: list[_Pattern] = []
        for pattern in patterns:
            if not pattern.is_literal:
                wild.append(pattern)
            else:
                self._literal.setdefault((pattern.method, pattern.path), pattern)
        self._wild = [
            (pattern.regex(empty_segments=empty_segments), pattern) for pattern in sorted(wild, key=_Pattern.rank)
        ]

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
    # Some applications take "delete" for DELETE, and some servers hand it on. HEAD is answered as GET is.
    method: str = "GET" if scope["type"] == "websocket" else scope["method"].upper()
    return ("HEAD", "GET", "") if method == "HEAD" else (method, "")


def possible_paths(scope: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the path that the application routes, or all that it may be, the likeliest first."""
    path: str = scope["path"]
    root: str = scope.get("root_path") or ""
    found = [path]
    if root and root in path:
        # Litestar takes off what stands before the root, too, wherever it stands.
        found = [*_below_root(path, root, scope.get("raw_path")), "/" + path.split(root, 1)[1].lstrip("/")]
    if not path.startswith("/"):
        # RFC 9112 section 3.2.2: a target in absolute form, which some servers hand on, and Quart takes apart.
        found.append("/" + re.split(r"[?#]", _ORIGIN.sub("", path, count=1), maxsplit=1)[0].lstrip("/"))
    return tuple(dict.fromkeys(found))


def _below_root(path: str, root: str, raw: bytes | None) -> tuple[str, ...]:
    """Return what is left of `path` when `root_path` is taken off.

    ASGI, HTTP connection scope. Frameworks differ in whether a mount's part is still in `path`, so a path that begins
    with the root is measured by `raw_path`, which is the whole one everywhere. Both where that does not tell.
    """
    if not (path == root or path.startswith(f"{root}/")):
        return (path,)
    whole = None if raw is None else unquote(raw.decode("latin-1"))
    if whole == path:
        return (path[len(root) :],)
    return (path,) if whole == root + path else (path, path[len(root) :])


def whole_path(scope: Mapping[str, Any]) -> str:
    """Return the path that the client asked for, as far as the server tells: with `root_path` before it."""
    path: str = scope["path"]
    root: str = scope.get("root_path") or ""
    return path if path == root or path.startswith(f"{root}/") else root + path


def _spellings(path: str) -> list[str]:
    """Return the paths that some application might take `path` for, whichever of the usual steps it takes.

    Each step is one that an application, or what stands before it, takes or leaves: decoding once more, cutting off
    a line feed or parameters, merging slashes, resolving dots.
    """
    found = [path]
    for step in (_decoded, _without_line_feed, _without_parameters, _merged, _resolved):
        found = list(dict.fromkeys([*found, *map(step, found)]))
    return found


def _decoded(path: str) -> str:
    for _ in range(_MOST_ENCODINGS):
        path = unquote(path)
    # For C, a text ends at its first zero.
    return path.replace("\\", "/").partition("\0")[0]


def _without_line_feed(path: str) -> str:
    # The "$" of a regular expression stands before it, too: Starlette routes "/admin\\n" as "/admin".
    return path.removesuffix("\n")


def _without_parameters(path: str) -> str:
    return "/".join([segment.partition(";")[0] for segment in path.split("/")])


def _merged(path: str) -> str:
    return "/" + "/".join([segment for segment in path.split("/") if segment])


def _resolved(path: str) -> str:
    """Take dots away as RFC 3986 section 5.2.4 does."""
    segments: list[str] = []
    for segment in path.split("/")[1:]:
        if segment == "..":
            del segments[-1:]
        elif segment != ".":
            segments.append(segment)
    return "/" + "/".join(segments)


def _fold(path: str) -> str:
    """Return `path` as one takes it that heeds neither case nor how letters are composed."""
    return "/".join(map(_fold_segment, path.split("/")))


def _fold_segment(segment: str) -> str:
    # Letter by letter: of a whole text with many accents the normal form takes a time that is quadratic.
    name = "".join([unicodedata.normalize("NFKD", letter) for letter in segment.casefold()]).casefold()
    # Some file systems take no notice of what stands at the end; of dots alone they do.
    return name.rstrip(". ") or name


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
