"""ProtectedResource: the metadata of RFC 9728, where it is served, and which challenge names it (PR1 to PR11)."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from fakes import Echo, call, http_scope, websocket_scope

from asgi_bearer import BearerMiddleware, ProtectedResource, StaticTokenVerifier

pytestmark = pytest.mark.anyio

ISSUER = "https://idp.example"
VERIFIER = StaticTokenVerifier({"a-token": {"client_id": "app", "scopes": ["read"]}})
WELL_KNOWN = "/.well-known/oauth-protected-resource"
GOOD = (b"authorization", b"Bearer a-token")


def resource(url: str = "https://api.example/mcp", **options: Any) -> ProtectedResource:
    return ProtectedResource(url, **{"authorization_servers": ISSUER, **options})


def door(*resources: ProtectedResource, app: Any = None, **options: Any) -> BearerMiddleware:
    return BearerMiddleware(app or Echo(), VERIFIER, resource=resources, **options)


async def challenge(guarded: Any, scope: dict[str, Any], status: int = 401) -> str:
    sent = await call(guarded, scope)
    assert sent[0]["status"] == status
    return str(dict(sent[0]["headers"])[b"www-authenticate"].decode())


# The document


def test_pr5_pr6_what_was_not_said_is_left_out() -> None:
    assert resource().document == {
        "resource": "https://api.example/mcp",
        "authorization_servers": [ISSUER],
        "bearer_methods_supported": ["header"],
    }


def test_pr6_all_that_was_said_is_there() -> None:
    members = {
        "jwks_uri": "https://api.example/keys",
        "resource_signing_alg_values_supported": ["RS256"],
        "resource_documentation": "https://api.example/docs",
        "resource_name#fr": "L'API",
        "tls_client_certificate_bound_access_tokens": True,
        "signed_metadata": "a.b.c",
        "dpop_signing_alg_values_supported": [],
        "resource_tos_uri": None,
        "x": {"a": [1]},
    }
    it = resource(
        authorization_servers=[ISSUER, "https://other.example/t"],
        scopes_supported=["read", "write"],
        resource_name="The API",
        members=members,
    )

    del members["dpop_signing_alg_values_supported"], members["resource_tos_uri"]
    assert it.document == {
        "resource": "https://api.example/mcp",
        "authorization_servers": [ISSUER, "https://other.example/t"],
        "scopes_supported": ["read", "write"],
        "bearer_methods_supported": ["header"],
        "resource_name": "The API",
        **members,
    }


@pytest.mark.parametrize(
    ("url", "metadata_url", "path"),
    [
        ("https://h.example", f"https://h.example{WELL_KNOWN}", WELL_KNOWN),
        ("https://h.example/", f"https://h.example{WELL_KNOWN}", WELL_KNOWN),
        ("https://h.example/a/b", f"https://h.example{WELL_KNOWN}/a/b", f"{WELL_KNOWN}/a/b"),
        ("https://h.example/a/", f"https://h.example{WELL_KNOWN}/a/", f"{WELL_KNOWN}/a/"),
        ("https://h.example/a?x=1", f"https://h.example{WELL_KNOWN}/a?x=1", f"{WELL_KNOWN}/a"),
        (
            "https://h.example:8443/caf%C3%A9",
            f"https://h.example:8443{WELL_KNOWN}/caf%C3%A9",
            f"{WELL_KNOWN}/caf\u00e9",
        ),
        ("http://localhost:8000/mcp", f"http://localhost:8000{WELL_KNOWN}/mcp", f"{WELL_KNOWN}/mcp"),
    ],
)
def test_pr2_the_well_known_part_stands_between_host_and_path(url: str, metadata_url: str, path: str) -> None:
    it = resource(url)

    assert (it.metadata_url, it.metadata_path) == (metadata_url, path)
    # PR4
    assert it.document["resource"] == it.resource == url
    assert repr(it) == f"ProtectedResource({url!r})"


# Where it is served


@pytest.mark.parametrize(
    "headers", [(), (GOOD,), ((b"authorization", b"Bearer wrong"),), ((b"host", b"evil.example"),)]
)
async def test_pr3_pr9_everybody_gets_the_same_document(headers: Any) -> None:
    app = Echo()
    it = resource(scopes_supported=["read"])

    sent = await call(door(it, app=app), http_scope(*headers, path=it.metadata_path))

    found = dict(sent[0]["headers"])
    assert sent[0]["status"] == 200
    assert json.loads(sent[1]["body"]) == it.document
    assert found[b"content-type"] == b"application/json"
    assert found[b"content-length"] == str(len(sent[1]["body"])).encode()
    assert found[b"access-control-allow-origin"] == b"*"
    # PR10
    assert found[b"cache-control"] == b"max-age=3600"
    assert app.scopes == []


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("OPTIONS", 204), ("POST", 405), ("DELETE", 405)])
async def test_pr3_other_methods_get_no_body(method: str, status: int) -> None:
    it = resource(max_age=0)

    sent = await call(door(it), http_scope(method=method, path=it.metadata_path))

    found = dict(sent[0]["headers"])
    assert (sent[0]["status"], sent[1]["body"]) == (status, b"")
    if method == "HEAD":
        assert int(found[b"content-length"]) > 0
        assert found[b"cache-control"] == b"max-age=0"
    else:
        key = b"access-control-allow-methods" if method == "OPTIONS" else b"allow"
        assert found[key] == b"GET, HEAD, OPTIONS"


@pytest.mark.parametrize(
    ("path", "root_path", "served"),
    [
        (f"{WELL_KNOWN}/mcp", "", True),
        (f"{WELL_KNOWN}/mcp", "/mcp", True),
        (f"/api{WELL_KNOWN}/mcp", "/api", True),
        (f"/api{WELL_KNOWN}/mcp", "", False),
        (f"{WELL_KNOWN}/mcp/", "", False),
        (f"{WELL_KNOWN}/other", "", False),
        (WELL_KNOWN, "", False),
        (f"{WELL_KNOWN}/MCP", "", False),
    ],
)
async def test_pr3_it_is_at_its_place_below_a_mount_too_and_nowhere_else(
    path: str, root_path: str, served: bool
) -> None:
    sent = await call(door(resource()), http_scope(path=path, root_path=root_path))

    assert sent[0]["status"] == (200 if served else 401)


@pytest.mark.parametrize(("query", "served"), [(b"x=1", True), (b"", False), (b"x=2", False)])
async def test_pr2_a_query_of_the_resource_tells_it_from_another(query: bytes, served: bool) -> None:
    it = resource("https://api.example/a?x=1")

    sent = await call(door(it), http_scope(path=it.metadata_path, query_string=query))

    assert sent[0]["status"] == (200 if served else 401)


async def test_a_query_that_nobody_wrote_changes_nothing() -> None:
    it = resource()

    sent = await call(door(it), http_scope(path=it.metadata_path, query_string=b"cache=no"))

    assert sent[0]["status"] == 200


async def test_it_is_a_route_of_its_own_where_the_door_does_not_stand_at_the_root() -> None:
    sent = await call(resource(), http_scope(path="/anything"))

    assert json.loads(sent[1]["body"])["resource"] == "https://api.example/mcp"


async def test_a_websocket_to_the_well_known_path_is_nothing_special() -> None:
    sent = await call(door(it := resource()), websocket_scope(path=it.metadata_path), {"type": "websocket.connect"})

    assert sent == [{"type": "websocket.close", "code": 3000}]


# Which challenge names it


async def test_every_challenge_names_it() -> None:
    guarded = door(resource(), required_scopes=["write"])
    metadata = f'resource_metadata="https://api.example{WELL_KNOWN}/mcp"'

    for status, headers in ((401, ()), (400, (GOOD, GOOD)), (403, (GOOD,)), (401, ((b"authorization", b"Bearer x"),))):
        for path in ("/mcp", "/other"):
            assert metadata in await challenge(guarded, http_scope(*headers, path=path), status)


@pytest.mark.parametrize("host", [b"evil.example", b"api.example\r\nx: y", b""])
async def test_pr9_the_host_header_changes_no_challenge(host: bytes) -> None:
    scope = http_scope((b"host", host), (b"x-forwarded-host", host), path="/mcp")

    assert f'resource_metadata="https://api.example{WELL_KNOWN}/mcp"' in await challenge(door(resource()), scope)


@pytest.mark.parametrize(
    ("path", "root_path", "named"),
    [
        ("/a", "", "/a"),
        ("/a/x", "", "/a"),
        ("/a/b", "", "/a/b"),
        ("/a/b/c", "", "/a/b"),
        ("/a/bc", "", "/a"),
        ("/ab", "", None),
        ("/", "", None),
        ("/b", "/a", "/a/b"),
        ("/a/b", "/a", "/a/b"),
    ],
)
async def test_pr11_of_several_resources_the_nearest_is_named(path: str, root_path: str, named: str | None) -> None:
    resources = [resource(f"https://api.example{own}") for own in ("/a", "/a/b", "/z")]
    for order in (resources, resources[::-1]):
        found = await challenge(door(*order), http_scope(path=path, root_path=root_path))

        metadata = "" if named is None else f', resource_metadata="https://api.example{WELL_KNOWN}{named}"'
        assert found == f'Bearer realm="api"{metadata}'


async def test_pr11_each_of_several_resources_has_its_document_and_one_at_the_root_takes_the_rest() -> None:
    root, below = resource("https://api.example/"), resource("https://api.example/mcp")
    guarded = door(root, below)

    for one in (root, below):
        sent = await call(guarded, http_scope(path=one.metadata_path))
        assert json.loads(sent[1]["body"])["resource"] == one.resource
    assert f'{WELL_KNOWN}"' in await challenge(guarded, http_scope(path="/x"))
    assert f'{WELL_KNOWN}/mcp"' in await challenge(guarded, http_scope(path="/mcp"))


# Options


WRONG: list[tuple[Any, type[Exception], str]] = [
    (lambda: resource("http://api.example"), ValueError, "resource must be https"),
    (lambda: resource("https://api.example/#a"), ValueError, "without user, password or fragment"),
    (lambda: resource("api.example"), ValueError, "resource must be an https URL"),
    (lambda: resource(cast("str", 5)), TypeError, "resource is a str, not int"),
    (lambda: resource(authorization_servers=[]), ValueError, "authorization_servers is an empty sequence"),
    (lambda: resource(authorization_servers=""), ValueError, "authorization_servers is empty"),
    (lambda: resource(authorization_servers="idp"), ValueError, "each of authorization_servers must be an https URL"),
    (lambda: resource(authorization_servers="http://idp.example"), ValueError, "must be https"),
    (lambda: resource(scopes_supported="read"), TypeError, "scopes_supported is a sequence of scopes, not a str"),
    (lambda: resource(scopes_supported=["a b"]), ValueError, "scopes_supported: 'a b' is not a scope"),
    (
        lambda: resource(scopes_supported=["offline_access"]),
        ValueError,
        "'offline_access' is a matter between a client",
    ),
    (lambda: resource(resource_name=""), ValueError, "resource_name is empty"),
    (lambda: resource(members=["a"]), TypeError, "members maps names to values"),
    (lambda: resource(members={1: "a"}), TypeError, "members maps names to values"),
    (lambda: resource(members={"resource": "x"}), ValueError, "members: resource is written by its own parameter"),
    (lambda: resource(members={"resource_signing_alg_values_supported": ["none"]}), ValueError, "must not have 'none'"),
    (lambda: resource(members={"a": {1, 2}}), ValueError, "members cannot be written as JSON"),
    (lambda: resource(members={"a": float("nan")}), ValueError, "members cannot be written as JSON"),
    (lambda: resource(max_age=-1), ValueError, "max_age is 0 or more"),
    (lambda: resource(allow_insecure_http=1), TypeError, "allow_insecure_http is True or False"),
    (
        lambda: BearerMiddleware(Echo(), VERIFIER, resource=cast("Any", "https://a")),
        TypeError,
        "write ProtectedResource(",
    ),
    (lambda: BearerMiddleware(Echo(), VERIFIER, resource=cast("Any", 5)), TypeError, "not int"),
    (lambda: door(cast("Any", "https://a")), TypeError, "each of resource is a ProtectedResource, not str"),
    (lambda: door(resource(), resource()), ValueError, "resource: two of them have the same metadata_url"),
]


@pytest.mark.parametrize(("make", "kind", "sentence"), WRONG, ids=[f"{n} {row[2]}" for n, row in enumerate(WRONG)])
def test_what_cannot_be_meant_is_said_at_construction(make: Any, kind: type[Exception], sentence: str) -> None:
    with pytest.raises(kind) as caught:
        make()

    assert sentence in str(caught.value)


def test_http_within_a_trusted_network_is_said_so() -> None:
    it = resource("http://api.internal", authorization_servers="http://idp.internal", allow_insecure_http=True)

    assert it.metadata_url == f"http://api.internal{WELL_KNOWN}"
