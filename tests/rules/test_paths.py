"""Which requests are public, and which only look as if they were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from asgi_bearer.rules.paths import PathRules, Ruling, possible_paths, whole_path
from asgi_bearer.rules.requirements import Requirement, scopes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


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
        pytest.param("/api/", "/api", "/", id="the root and a slash"),
    ],
)
def test_what_counts_is_the_path_that_the_application_routes(raw_path: str, root_path: str | None, routed: str) -> None:
    scope = {"path": raw_path, "raw_path": raw_path.encode(), "root_path": root_path}

    assert possible_paths(scope) == (routed,)


@pytest.mark.parametrize(
    ("path", "raw_path", "routed"),
    [
        pytest.param(
            "/api/health", b"/api/api/health", ("/api/health", "/health"), id="a framework took the root off already"
        ),
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


@pytest.mark.parametrize(
    ("path", "root_path", "possible"),
    [
        pytest.param("/api", "/api", ("", "/"), id="the root itself"),
        pytest.param("/apihealth", "/api", ("/apihealth", "/health"), id="a longer name"),
        pytest.param("/api/health", "/api/", ("/api/health", "/health"), id="a root with a slash behind"),
        pytest.param("/x/api/health", "/api", ("/x/api/health", "/health"), id="the root in the middle"),
        pytest.param("/api/api/health", "/api", ("/api/health",), id="the root twice"),
        pytest.param("/api/health", "api", ("/api/health", "/health"), id="a root without its slash"),
        pytest.param("/health", "/", ("/health",), id="a root that is none"),
        pytest.param("http://x/admin", "", ("http://x/admin", "/admin"), id="absolute form"),
        pytest.param("http://[/admin?a#b", "", ("http://[/admin?a#b", "/admin"), id="odd absolute form"),
        pytest.param("x:/admin", "", ("x:/admin", "/admin"), id="a scheme alone"),
        pytest.param("admin", "", ("admin", "/admin"), id="without its slash"),
        pytest.param("*", "", ("*", "/*"), id="of OPTIONS *"),
        pytest.param("", "", ("", "/"), id="nothing"),
    ],
)
def test_all_that_some_application_may_route_is_possible(path: str, root_path: str, possible: tuple[str, ...]) -> None:
    assert possible_paths({"path": path, "raw_path": path.encode(), "root_path": root_path}) == possible


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


# Patterns


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("/docs/**", "/docs"),
        ("/docs/**", "/docs/"),
        ("/docs/**", "/docs/a"),
        ("/docs/**", "/docs/a/b.css"),
        ("/docs/**", "/docs/a b/c+d@e"),
        ("/docs/**", "/docs/.hidden/...x"),
        ("/**", "/"),
        ("/**", "/a/b"),
        ("/users/*/avatar", "/users/5/avatar"),
        ("/users/*", "/users/a.b"),
        ("/*/b/**", "/a/b/c/d"),
    ],
)
def test_wildcards_stand_for_whole_segments(pattern: str, path: str) -> None:
    assert public(pattern).find(http(path)).is_public


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("/docs/**", "/docsx"),
        ("/docs/**", "/doc"),
        ("/docs/**", "/x/docs/a"),
        ("/docs/**", "//docs/a"),
        ("/docs/**", "/docs//a"),
        ("/docs/**", "/docs//"),
        ("/docs/**", "/docs/./a"),
        ("/docs/**", "/docs/../admin"),
        ("/docs/**", "/docs/.."),
        ("/docs/**", "/docs/a/.."),
        ("/docs/**", "/docs/..;/admin"),
        ("/docs/**", "/docs/a;x=1"),
        ("/docs/**", "/docs/%2e%2e/admin"),
        ("/docs/**", "/docs/a%2fb"),
        ("/docs/**", "/docs\\..\\admin"),
        ("/docs/**", "/docs/a\\b"),
        ("/docs/**", "/docs/a?b"),
        ("/docs/**", "/docs/a#b"),
        ("/docs/**", "/docs/a\x00"),
        ("/docs/**", "/docs/a\n"),
        ("/docs/**", "/DOCS/a"),
        ("/docs/**", "/docs."),
        ("/docs/**", "/docs;x/a"),
        ("/docs/**", ""),
        ("/users/*", "/users"),
        ("/users/*", "/users/"),
        ("/users/*", "/users/a/b"),
        ("/users/*", "/users/.."),
        ("/users/*/avatar", "/users//avatar"),
        ("/users/*/avatar", "/users/5/avatar/"),
    ],
)
def test_as9_nothing_gets_public_that_was_not_named(pattern: str, path: str) -> None:
    assert not public(pattern).find(http(path)).is_public


@pytest.mark.parametrize(
    ("pattern", "method", "is_public"),
    [
        ("GET /docs/**", "GET", True),
        ("GET /docs/**", "HEAD", True),
        ("GET /docs/**", "POST", False),
        ("GET /docs/**", "get", False),
        ("GET /docs/**", "OPTIONS", False),
        ("HEAD /docs/**", "GET", False),
        ("POST /docs/a", "POST", True),
        ("POST /docs/a", "GET", False),
        ("/docs/a", "DELETE", True),
    ],
)
def test_a_method_is_heeded(pattern: str, method: str, is_public: bool) -> None:
    assert public(pattern).find(http("/docs/a", method)).is_public is is_public


READ, WRITE, ADMIN, OTHER = (scopes(name) for name in ("read", "write", "admin", "other"))


def asked(rules: Mapping[str, Requirement], path: str, method: str = "GET", public: Sequence[str] = ()) -> Any:
    """Return what is asked for on `path`: "public", or the requirements."""
    ruling = PathRules(public, rules).find(http(path, method))
    return "public" if ruling.is_public else list(ruling.requirements)


@pytest.mark.parametrize(
    ("rules", "path", "expected"),
    [
        ({"/admin/**": ADMIN}, "/admin", [ADMIN]),
        ({"/admin/**": ADMIN}, "/admin/x/y", [ADMIN]),
        ({"/admin/**": ADMIN}, "/other", []),
        ({"/a": READ, "/**": OTHER}, "/a", [READ]),
        ({"/**": OTHER, "/a/**": READ, "/a/b/**": WRITE, "/a/b/c": ADMIN}, "/a/b/c", [ADMIN]),
        ({"/**": OTHER, "/a/**": READ, "/a/b/**": WRITE, "/a/b/c": ADMIN}, "/a/b/d", [WRITE]),
        ({"/**": OTHER, "/a/**": READ, "/a/b/**": WRITE, "/a/b/c": ADMIN}, "/a/c", [READ]),
        ({"/**": OTHER, "/a/**": READ, "/a/b/**": WRITE, "/a/b/c": ADMIN}, "/", [OTHER]),
        ({"/a/*/c": READ, "/a/b/**": WRITE}, "/a/b/c", [WRITE]),
        ({"/a/*/c": READ, "/a/b/**": WRITE}, "/a/x/c", [READ]),
        ({"/a/*": READ, "/a/**": WRITE}, "/a/x", [READ]),
        ({"/a/*": READ, "/a/**": WRITE}, "/a/x/y", [WRITE]),
    ],
)
def test_the_most_specific_rule_counts_wherever_it_stands(
    rules: dict[str, Requirement], path: str, expected: list[Requirement]
) -> None:
    assert asked(rules, path) == expected
    assert asked(dict(reversed(rules.items())), path) == expected


@pytest.mark.parametrize(
    ("method", "expected"), [("GET", [READ]), ("HEAD", [READ]), ("POST", [WRITE]), ("DELETE", [OTHER])]
)
def test_a_rule_for_a_method_comes_before_one_for_all(method: str, expected: list[Requirement]) -> None:
    rules = {"/items": OTHER, "GET /items": READ, "POST /items": WRITE}

    assert asked(rules, "/items", method) == expected
    assert asked({name + "/**": rule for name, rule in rules.items()}, "/items/5", method) == expected


def test_a_path_by_name_comes_before_a_wildcard_with_a_method() -> None:
    assert asked({"/a/b": READ, "GET /a/**": WRITE}, "/a/b") == [READ]


SPELLINGS = [
    "/admin", "/admin/", "//admin", "/admin//", "/./admin", "/admin/.", "/x/../admin", "/admin/x/..", "/ADMIN",
    "/Admin", "/%61dmin", "/%2561dmin", "/admin%2f", "/%2fadmin", "/admin;x=1", "/;x/admin", "/x/..;/admin", "\\admin",
    "/\\admin", "/admin.", "/admin ", "/admin\x00", "/admin%00.png", "/\uff41dmin", "/x/%2e%2e/admin",
    "/admin\\", "/../admin",
]  # fmt: skip


@pytest.mark.parametrize("path", SPELLINGS, ids=ascii)
def test_as9_a_rule_holds_for_every_spelling_that_some_application_might_take_for_its_path(path: str) -> None:
    assert asked({"/admin": ADMIN}, path) == [ADMIN]
    assert asked({"/Admin/**": ADMIN, "/**": OTHER}, path)[-1:] == [ADMIN]


def test_as9_a_spelling_of_a_protected_path_meets_both_rules() -> None:
    assert asked({"/api/**": READ, "/api/admin/**": ADMIN}, "/api/x/../admin/y") == [READ, ADMIN]


@pytest.mark.parametrize("method", ["delete", "Delete", "DELETE"])
def test_a_rule_for_a_method_holds_in_every_case_of_it(method: str) -> None:
    assert asked({"DELETE /items/*": ADMIN, "/items/**": READ}, "/items/1", method) == [ADMIN]


@pytest.mark.parametrize(
    ("rules", "path"),
    [
        # Applications take some of the usual steps and leave others: Litestar merges slashes, and nothing else.
        ({"/admin/**": ADMIN}, "//admin/../b"),
        ({"/admin/**": ADMIN}, "/admin/../b"),
        ({"/admin/**": ADMIN}, "//ADMIN/../b"),
        ({"/admin/**": ADMIN}, "//admin;x/../b"),
        ({"/admin/**": ADMIN}, "//%61dmin/../b"),
        ({"/files/**": ADMIN}, "//files/../x"),
        ({"/files/**": ADMIN}, "//files/x/../../secret"),
        ({"/users/*": ADMIN, "/users/me": READ}, "/users/ME"),
        ({"/users/*": ADMIN, "/users/me": READ}, "/users/ME/"),
        ({"/users/*": ADMIN, "/users/me": READ}, "//users/ME"),
        ({"/users/*": ADMIN, "/users/me": READ}, "/users/me;42/"),
        ({"/users/*": ADMIN, "/users/me": READ}, "/users/me%2f"),
        ({"/users/*/keys": ADMIN}, "//users/../keys"),
        ({"/users/*/keys": ADMIN}, "/users/./keys"),
        ({"/users/*/keys": ADMIN}, "/users/;42/keys"),
        ({"/users/*/keys": ADMIN}, "/users/ /keys"),
        ({"/users/*/keys": ADMIN}, "/users//keys"),
        ({"/users/*/keys": ADMIN}, "/users/%2e%2e/keys"),
        ({"/users/*/keys": ADMIN}, "/users/1/keys\n"),
        ({"/admin": ADMIN}, "/admin\n"),
        ({"/admin": ADMIN}, "//Admin/\n"),
        ({"/admin": ADMIN}, "/admin%0A"),
        ({"/admin": ADMIN}, "http://x/admin"),
        ({"/admin": ADMIN}, "HTTP://x//admin;a"),
        ({"/users/*/keys": ADMIN}, "/users/\x00x/keys"),
        ({"/users/me/**": ADMIN}, "/users/me/%s" % ("%2e./" * 20)),
    ],
)
def test_as9_a_rule_holds_whichever_steps_an_application_takes_and_leaves(
    rules: dict[str, Requirement], path: str
) -> None:
    assert ADMIN in asked(rules, path)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/users/JohnDoe", [READ]),
        ("/users/JohnDoe/", [OTHER, READ]),
        ("/users/john.doe@example.com", [READ]),
        ("/users/a b", [READ]),
        ("/users/\u00e9t\u00e9", [READ]),
        ("/users/me", [WRITE]),
        ("/users/me/", [OTHER, WRITE]),
        ("/other/X", [OTHER]),
    ],
    ids=ascii,
)
def test_no_more_is_asked_for_on_ordinary_paths(path: str, expected: list[Requirement]) -> None:
    assert asked({"/**": OTHER, "/users/*": READ, "/users/me": WRITE}, path) == expected


def test_a_line_feed_behind_a_protected_path_under_a_public_one_makes_it_no_public_one() -> None:
    rules = PathRules(["/files/**"], {"/files/secret": ADMIN})

    assert rules.find(http("/files/secret\n")) == Ruling(is_public=False, requirements=(ADMIN,))


def test_an_odd_path_that_is_long_is_taken_for_every_protected_one() -> None:
    rules = {"/admin": ADMIN, "/items/**": READ}

    assert asked(rules, "/x//" + "a" * 2000) == [ADMIN, READ]
    assert asked(rules, "/x/" + "a" * 2000) == []
    assert asked(rules, "/items/" + "A" * 2000) == [READ]
    assert asked(rules, "/docs//" + "a" * 2000, public=["/docs/**"]) == [ADMIN, READ]


def test_a_long_path_of_accents_takes_no_longer_than_its_letters() -> None:
    # Their normal form as a whole would take minutes.
    assert asked({"/admin": ADMIN}, "/" + "\u0315\u0316" * 500_000) == []


@pytest.mark.parametrize(("path", "expected"), [("/api/admin/x", [ADMIN]), ("/admin/x", [ADMIN]), ("/api/x", [])])
def test_a_root_that_the_application_takes_off_by_itself_is_taken_off_for_rules(path: str, expected: Any) -> None:
    rules = PathRules(["/api/docs/**"], {"/admin/**": ADMIN, "/docs/b": READ})

    assert list(rules.find(http(path), ["/api"]).requirements) == expected
    assert rules.find(http("/api/docs/a"), ["/api"]).is_public
    assert list(rules.find(http("/api/docs/b"), ["/api"]).requirements) == [READ]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/docs/a", "public"),
        ("/docs/private/a", [ADMIN]),
        ("/docs/PRIVATE/a", [ADMIN]),
        ("/docs/private;x/a", [OTHER, ADMIN]),
        ("/docs/x/../private", [OTHER, ADMIN]),
        ("/docs/x/../a", [OTHER]),
        ("/other", [OTHER]),
        ("/health", "public"),
        ("/health/", [OTHER]),
    ],
)
def test_what_is_public_and_what_a_rule_protects_is_told_by_the_more_specific_of_the_two(
    path: str, expected: Any
) -> None:
    rules = {"/**": OTHER, "/docs/private/**": ADMIN}

    assert asked(rules, path, public=["/docs/**", "/health"]) == expected


def test_a_public_path_within_a_protected_one_is_public() -> None:
    assert asked({"/admin/**": ADMIN}, "/admin/login", public=["/admin/login"]) == "public"


@pytest.mark.parametrize(
    ("patterns", "rules", "expected"),
    [
        ((), {"GET /chat": READ}, [READ]),
        ((), {"/chat": READ}, [READ]),
        ((), {"POST /chat": READ}, []),
        (("/chat",), None, "public"),
        (("/**",), None, "public"),
        (("GET /chat",), None, []),
        (("GET /**",), {"/chat": READ}, [READ]),
    ],
)
def test_a_websocket_begins_as_a_get_and_is_public_only_where_no_method_is_named(
    patterns: Sequence[str], rules: Any, expected: Any
) -> None:
    ruling = PathRules(patterns, rules).find({"type": "websocket", "path": "/chat"})

    assert ("public" if ruling.is_public else list(ruling.requirements)) == expected


def test_where_two_paths_may_be_meant_the_rules_of_both_hold() -> None:
    rules = PathRules(["/api/x"], {"/x": READ, "/api/**": WRITE})

    assert list(rules.find(http("/api/x", root_path="/api")).requirements) == [READ]
    assert list(rules.find(http("/api/y", root_path="/api")).requirements) == [WRITE]


def test_rules_are_measured_below_the_mount() -> None:
    rules = PathRules([], {"/x": READ})

    assert list(rules.find(http("/api/x", raw_path=b"/api/x", root_path="/api")).requirements) == [READ]


@pytest.mark.parametrize(
    ("path", "root_path", "whole"),
    [
        ("/a", "", "/a"),
        ("/a", None, "/a"),
        ("/api/a", "/api", "/api/a"),
        ("/a", "/api", "/api/a"),
        ("/api", "/api", "/api"),
    ],
)
def test_the_whole_path_has_the_mount_before_it(path: str, root_path: Any, whole: str) -> None:
    assert whole_path({"path": path, "root_path": root_path}) == whole


def test_a_requirement_that_is_compared_in_its_own_way_is_not_asked_to() -> None:
    class Strange(Requirement):
        __hash__ = None  # type: ignore[assignment]

        def __eq__(self, other: object) -> bool:
            raise AssertionError

        def __bool__(self) -> bool:
            return False

    strange = Strange()

    assert PathRules([], {"/a": strange}).find(http("/a/")).requirements[0] is strange


@pytest.mark.parametrize(
    "pattern", ["/a**", "/**/b", "/a*/b", "/*a", "/a/***", "get /a", "GET  /a", "GET/a", "GET", " /a"]
)
def test_a_pattern_that_cannot_be_meant_is_a_value_error(pattern: str) -> None:
    for patterns, rules in (([pattern], None), ([], {pattern: READ})):
        with pytest.raises(ValueError, match=r"is no path: write it decoded"):
            PathRules(patterns, rules)


@pytest.mark.parametrize(
    ("patterns", "rules", "kind", "sentence"),
    [
        (
            (),
            [("/a", READ)],
            TypeError,
            "rules maps paths to requirements: write {'/admin/**': scopes('admin')}, not list",
        ),
        ((), {"/a": "admin"}, TypeError, "rules['/a'] is a requirement, not str: write scopes('admin')"),
        ((), {5: READ}, TypeError, "each path of rules is a str, not int"),
        (("/a",), {"/a": READ}, ValueError, "'/a' is in public and in rules: leave it in one of them"),
        (("GET /a/**",), {"GET /a/**": READ}, ValueError, "'GET /a/**' is in public and in rules"),
    ],
)
def test_rules_that_cannot_be_meant_are_said_at_construction(
    patterns: Sequence[str], rules: Any, kind: type[Exception], sentence: str
) -> None:
    with pytest.raises(kind) as caught:
        PathRules(patterns, rules)

    assert sentence in str(caught.value)


def test_the_same_public_path_twice_is_one() -> None:
    assert public("/a", "/a").find(http("/a")).is_public
