"""Which requests are public, and which only look as if they were."""

from __future__ import annotations

from typing import Any

import pytest

from asgi_bearer.rules.paths import PathRules, Ruling, possible_paths


def http(path: str, method: str = "GET", **members: Any) -> dict[str, Any]:
    return {"type": "http", "method": method, "path": path, **members}


def public(*patterns: str) -> PathRules:
    return PathRules(patterns, None)


PUBLIC = public("/health", "/.well-known/jwks.json", "/", "/café", "/docs/")


@pytest.mark.parametrize("path", ["/health", "/.well-known/jwks.json", "/", "/café", "/docs/"])
def test_a_path_is_public_as_it_is_written(path: str) -> None:
    assert PUBLIC.find(http(path)).is_public


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/health/", id="AS9 a slash behind"),
        pytest.param("//health", id="AS9 two slashes in front"),
        pytest.param("/./health", id="AS9 a dot in front"),
        pytest.param("/health/.", id="AS9 a dot behind"),
        pytest.param("/health.", id="AS9 a dot at the end"),
        pytest.param("/health/..", id="AS9 up from it"),
        pytest.param("/admin/../health", id="AS9 up to it"),
        pytest.param("/health/../admin", id="AS9 through it"),
        pytest.param("/%68ealth", id="AS9 percent-encoded"),
        pytest.param("/health%2f", id="AS9 a percent-encoded slash"),
        pytest.param("/%2e/health", id="AS9 a percent-encoded dot"),
        pytest.param("/HEALTH", id="AS9 in upper case"),
        pytest.param("/health;x=1", id="AS9 a path parameter"),
        pytest.param("/health?x", id="AS9 a question mark"),
        pytest.param("/health#x", id="AS9 a hash"),
        pytest.param("/health\x00", id="AS9 NUL"),
        pytest.param("/health ", id="AS9 a space"),
        pytest.param("/health\n", id="AS9 a line feed"),
        pytest.param("\\health", id="AS9 a backslash"),
        pytest.param("/healthy", id="AS9 a longer name"),
        pytest.param("/health/live", id="AS9 below it"),
        pytest.param("/api/health", id="AS9 below another"),
        pytest.param("health", id="AS9 without its slash"),
        pytest.param("/cafe\u0301", id="AS9 the same letters, composed otherwise"),
        pytest.param("/docs", id="AS9 without the slash behind"),
        pytest.param("", id="AS9 nothing"),
        pytest.param("*", id="AS9 of OPTIONS *"),
        pytest.param("http://api.example/health", id="AS9 in absolute form"),
    ],
)
def test_what_only_resembles_a_public_path_is_protected(path: str) -> None:
    assert PUBLIC.find(http(path)) == Ruling(is_public=False)


def test_neither_the_host_nor_the_query_nor_the_raw_path_decides() -> None:
    scope = http(
        "/admin",
        raw_path=b"/health",
        query_string=b"path=/health",
        headers=[
            (b"host", b"api.example/health?"),
            (b"x-forwarded-uri", b"/health"),
            (b"x-original-url", b"/health"),
        ],
    )

    assert not PUBLIC.find(scope).is_public


@pytest.mark.parametrize(
    ("raw_path", "root_path", "routed"),
    [
        pytest.param("/health", "", "/health", id="no root"),
        pytest.param("/health", None, "/health", id="a root of None"),
        pytest.param("/api/health", "/api", "/health", id="below the root"),
        pytest.param("/health", "/api", "/health", id="a server that leaves the root out"),
        pytest.param("/api", "/api", "", id="the root itself"),
        pytest.param("/api/", "/api", "/", id="the root and a slash"),
        pytest.param("/apihealth", "/api", "/apihealth", id="a longer name"),
        pytest.param("/api/health", "/api/", "/api/health", id="a root with a slash behind"),
        pytest.param("/x/api/health", "/api", "/x/api/health", id="the root in the middle"),
        pytest.param("/api/api/health", "/api", "/api/health", id="the root twice"),
    ],
)
def test_what_counts_is_the_path_that_the_application_routes(raw_path: str, root_path: str | None, routed: str) -> None:
    scope = {"path": raw_path, "raw_path": raw_path.encode(), "root_path": root_path}

    assert possible_paths(scope) == (routed,)


@pytest.mark.parametrize(
    ("path", "raw_path", "routed"),
    [
        pytest.param("/api/health", b"/api/api/health", ("/api/health",), id="a framework took the root off already"),
        pytest.param("/api/hea lth", b"/api/hea%20lth", ("/hea lth",), id="an encoded path"),
        pytest.param("/api/health", None, ("/api/health", "/health"), id="a server that sends no raw_path"),
        pytest.param("/api/health", b"/other/health", ("/api/health", "/health"), id="a raw_path of something else"),
        pytest.param("/api/health", b"/api/health/", ("/api/health", "/health"), id="a path that was tidied up"),
        pytest.param("/api/\ufffd", b"/api/\xff", ("/api/\ufffd", "/\ufffd"), id="bytes that are no text"),
    ],
)
def test_a_path_that_begins_with_the_root_is_measured_by_the_raw_one(
    path: str, raw_path: bytes | None, routed: tuple[str, ...]
) -> None:
    assert possible_paths({"path": path, "raw_path": raw_path, "root_path": "/api"}) == routed


def test_a_path_that_cannot_be_told_is_not_public() -> None:
    assert not public("/health", "/api/health").find(http("/api/health", root_path="/api")).is_public


def test_a_scope_without_a_root_is_routed_by_its_path() -> None:
    assert possible_paths({"path": "/health"}) == ("/health",)


def test_the_root_itself_is_not_taken_for_a_public_path_of_its_name() -> None:
    assert not public("/api").find(http("/api", root_path="/api")).is_public


def test_no_path_is_falsy_and_contains_nothing() -> None:
    nothing = PathRules([], {})

    assert not nothing
    assert nothing.find(http("/")) == Ruling(is_public=False)
    assert PUBLIC


@pytest.mark.parametrize("public", ["/health", b"/health", None, 1], ids=repr)
def test_paths_that_are_no_sequence_are_a_type_error(public: Any) -> None:
    with pytest.raises(TypeError, match=r"^public is a sequence of paths: write \['/health'\], not "):
        PathRules(public, None)


@pytest.mark.parametrize(("path", "kind"), [(b"/health", "bytes"), (None, "NoneType"), (1, "int")])
def test_a_path_that_is_no_str_is_a_type_error(path: Any, kind: str) -> None:
    with pytest.raises(TypeError, match=f"^each path of public is a str, not {kind}$"):
        PathRules([path], None)


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("", id="empty"),
        pytest.param("health", id="without its slash"),
        pytest.param("/health*", id="a wildcard"),
        pytest.param("/items/{id}", id="a parameter"),
        pytest.param("/health?x=1", id="a query"),
        pytest.param("/health#top", id="a fragment"),
        pytest.param("/caf%C3%A9", id="percent-encoded"),
        pytest.param("//health", id="two slashes"),
        pytest.param("/a/./b", id="a dot within"),
        pytest.param("/a/../b", id="two dots within"),
        pytest.param("/.", id="a dot at the end"),
        pytest.param("/a/..", id="two dots at the end"),
        pytest.param("/a b", id="a space"),
        pytest.param("/a\\b", id="a backslash"),
        pytest.param("/health\n", id="a line feed at the end"),
        pytest.param("https://api.example/health", id="a URL"),
    ],
)
def test_a_path_that_cannot_be_meant_is_a_value_error(path: str) -> None:
    with pytest.raises(
        ValueError, match=r"^public: .* is no path: write it decoded, as in '/health', 'GET /docs/\*\*' or "
    ):
        PathRules([path], None)
