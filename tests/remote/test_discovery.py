"""Metadata: where it is looked for, and what of it is believed. On real sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from fakes import Clock
from fault_server import Answer, FaultServer, by_path, close, document, fault_server, text

from asgi_bearer import IntrospectionTokenVerifier, InvalidToken, VerifierUnavailable
from asgi_bearer.remote.discovery import Discovery, metadata_urls, read_document
from asgi_bearer.remote.http import FetchError, Response

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.anyio

OAUTH = "/.well-known/oauth-authorization-server"
OPENID = "/.well-known/openid-configuration"


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with fault_server(text(404, b"not here")) as server:
        yield server


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


def metadata(server: FaultServer, path: str = "", **members: Any) -> Answer:
    issuer = server.origin + path
    return document({"issuer": issuer, "jwks_uri": issuer + "/jwks", **members})


@pytest.mark.parametrize(
    ("issuer", "urls"),
    [
        ("https://idp.example", [f"https://idp.example{OAUTH}", f"https://idp.example{OPENID}"]),
        ("https://idp.example/", [f"https://idp.example{OAUTH}", f"https://idp.example{OPENID}"]),
        (
            "https://idp.example:8443/realms/a",
            [
                f"https://idp.example:8443{OAUTH}/realms/a",
                f"https://idp.example:8443{OPENID}/realms/a",
                f"https://idp.example:8443/realms/a{OPENID}",
            ],
        ),
        (
            "https://idp.example/t1/",
            [
                f"https://idp.example{OAUTH}/t1",
                f"https://idp.example{OPENID}/t1",
                f"https://idp.example/t1{OPENID}",
            ],
        ),
    ],
)
def test_md1_metadata_is_looked_for_where_rfc8414_and_openid_connect_put_it(issuer: str, urls: list[str]) -> None:
    assert list(metadata_urls(issuer)) == urls


@pytest.mark.parametrize("path", ["", "/realms/a"])
@pytest.mark.parametrize("place", [0, 1, -1])
async def test_md1_the_first_place_that_has_it_is_taken(server: FaultServer, path: str, place: int) -> None:
    urls = metadata_urls(server.origin + path)
    at = urls[place].removeprefix(server.origin)
    server.answer = by_path({at: metadata(server, path)})

    assert await Discovery(server.origin + path).endpoint("jwks_uri") == server.origin + path + "/jwks"
    looked = [server.origin + request.path for request in server.requests]
    assert looked == list(urls[: urls.index(urls[place]) + 1])


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(text(200, b"<!doctype html>"), id="HTML for every path"),
        pytest.param(text(200, b"<!doctype html>" + 300_000 * b" "), id="long HTML for every path"),
        pytest.param(text(302, b"", location="/login"), id="a redirect to a login"),
        pytest.param(text(500, b""), id="500"),
        pytest.param(document({"issuer": "https://another.example"}), id="that of another issuer"),
    ],
)
async def test_a_place_with_something_else_is_passed_over(server: FaultServer, first: Answer) -> None:
    server.answer = by_path({OAUTH: first, OPENID: metadata(server)})

    assert await Discovery(server.origin).endpoint("jwks_uri") == server.origin + "/jwks"


async def test_where_nobody_answers_the_other_places_are_not_asked(server: FaultServer) -> None:
    server.answer = close

    with pytest.raises(FetchError, match="the request failed"):
        await Discovery(server.origin + "/realms/a").endpoint("jwks_uri")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "stated",
    [
        pytest.param(lambda issuer: issuer + "/", id="a slash more"),
        pytest.param(lambda issuer: issuer.upper(), id="upper case"),
        pytest.param(lambda issuer: issuer + "#", id="a fragment"),
        pytest.param(lambda issuer: issuer.replace("127.0.0.1", "127.1"), id="another way to write the host"),
        pytest.param(lambda issuer: [issuer], id="an array"),
        pytest.param(lambda _: "https://evil.example", id="another"),
        pytest.param(lambda _: None, id="null"),
    ],
)
async def test_md2_an_issuer_that_is_not_identical_is_another_issuer(server: FaultServer, stated: Any) -> None:
    server.answer = document({"issuer": stated(server.origin), "jwks_uri": server.origin + "/jwks"})

    with pytest.raises(FetchError, match="that of another issuer"):
        await Discovery(server.origin).endpoint("jwks_uri")


@pytest.mark.parametrize(
    "endpoint",
    [
        pytest.param("http://idp.example/jwks", id="http beyond this machine"),
        pytest.param("file:///etc/passwd", id="file"),
        pytest.param("ftp://idp.example/jwks", id="ftp"),
        pytest.param("data:application/json,{}", id="data"),
        pytest.param("/jwks", id="relative"),
        pytest.param("https://user:pw@idp.example/jwks", id="with a password"),
        pytest.param("https://idp.example/jwks#a", id="with a fragment"),
        pytest.param("", id="empty"),
        pytest.param(5, id="a number"),
        pytest.param(None, id="null"),
        pytest.param(["https://idp.example/jwks"], id="an array"),
    ],
)
async def test_md4_an_endpoint_that_is_no_https_url_is_not_used(server: FaultServer, endpoint: Any) -> None:
    server.answer = metadata(server, jwks_uri=endpoint)

    with pytest.raises(FetchError, match="has no usable jwks_uri") as caught:
        await Discovery(server.origin).endpoint("jwks_uri")
    assert "idp.example" not in str(caught.value)


async def test_an_endpoint_that_is_not_there_is_not_used(server: FaultServer) -> None:
    server.answer = metadata(server)

    with pytest.raises(FetchError, match="has no usable introspection_endpoint"):
        await Discovery(server.origin).endpoint("introspection_endpoint")


async def test_plain_http_is_taken_where_the_configuration_says_so(server: FaultServer) -> None:
    server.answer = metadata(server, jwks_uri="http://idp.internal/jwks")
    discovery = Discovery(server.origin, allow_insecure_http=True)

    assert await discovery.endpoint("jwks_uri") == "http://idp.internal/jwks"


@pytest.mark.parametrize(
    ("issuer", "error"),
    [
        ("http://idp.example", ValueError),
        ("https://idp.example?tenant=a", ValueError),
        ("https://idp.example#a", ValueError),
        ("idp.example", ValueError),
        ("", ValueError),
        (None, TypeError),
    ],
)
def test_md3_an_issuer_is_an_https_url_without_query_and_fragment(issuer: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="issuer"):
        Discovery(issuer)


@pytest.mark.parametrize(
    "said",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"introspection_endpoint_auth_methods_supported": ["none", "client_secret_post"]}, id="another"),
    ],
)
async def test_md5_how_we_authenticate_is_the_configurations_and_not_the_metadatas(
    server: FaultServer, said: dict[str, Any]
) -> None:
    found = metadata(server, introspection_endpoint=server.origin + "/introspect", **said)
    server.answer = by_path({OAUTH: found, "/introspect": document({"active": False})})
    verifier = IntrospectionTokenVerifier(
        issuer=server.origin, client_id="rs", client_secret="the-secret", server_url="https://api.example"
    )
    with pytest.raises(InvalidToken):
        await verifier.verify_token("opaque")

    assert server.requests[-1].path == "/introspect"
    assert server.requests[-1].headers["authorization"].startswith("Basic ")


ALIAS = "https://mtls.idp.example/introspect"


@pytest.mark.parametrize(
    ("aliases", "found"),
    [
        pytest.param({"introspection_endpoint": ALIAS}, ALIAS, id="the alias"),
        pytest.param({"token_endpoint": ALIAS}, "https://idp.example/introspect", id="aliases of others alone"),
        pytest.param({}, "https://idp.example/introspect", id="no alias"),
        pytest.param(None, "https://idp.example/introspect", id="null"),
        pytest.param([ALIAS], "https://idp.example/introspect", id="an array"),
    ],
)
async def test_md6_a_client_with_a_certificate_goes_to_the_alias_where_there_is_one(
    server: FaultServer, aliases: Any, found: str
) -> None:
    endpoint = "https://idp.example/introspect"
    server.answer = metadata(server, introspection_endpoint=endpoint, mtls_endpoint_aliases=aliases)
    discovery = Discovery(server.origin)

    assert await discovery.mtls_endpoint("introspection_endpoint") == found
    assert await discovery.endpoint("introspection_endpoint") == "https://idp.example/introspect"


@pytest.mark.parametrize(
    "alias", ["http://idp.example/introspect", "", 5, ["https://idp.example/introspect"]], ids=repr
)
async def test_md6_an_alias_that_is_no_https_url_is_not_used_and_nothing_takes_its_place(
    server: FaultServer, alias: Any
) -> None:
    aliases = {"introspection_endpoint": alias}
    server.answer = metadata(server, introspection_endpoint="https://a.example", mtls_endpoint_aliases=aliases)

    with pytest.raises(FetchError, match="has no usable introspection_endpoint"):
        await Discovery(server.origin).mtls_endpoint("introspection_endpoint")


async def test_an_introspection_endpoint_that_has_moved_is_found_again(server: FaultServer, clock: Clock) -> None:
    server.answer = by_path({OAUTH: metadata(server, introspection_endpoint=server.origin + "/old")})
    verifier = IntrospectionTokenVerifier(
        issuer=server.origin, client_id="rs", client_secret="the-secret", audience="api", monotonic=clock
    )

    for number in range(3):
        with pytest.raises(VerifierUnavailable, match="the answer is 404"):
            await verifier.verify_token(f"opaque-{number}")
    moved = metadata(server, introspection_endpoint=server.origin + "/new")
    server.answer = by_path({OAUTH: moved, "/new": document({"active": False})})

    with pytest.raises(InvalidToken):
        await verifier.verify_token("opaque")
    assert server.requests[-1].path == "/new"


async def test_the_endpoint_can_be_found_ahead_of_the_first_token(server: FaultServer) -> None:
    server.answer = metadata(server, introspection_endpoint=server.origin + "/introspect")
    options: dict[str, Any] = {"client_id": "rs", "client_secret": "the-secret", "audience": "api"}

    await IntrospectionTokenVerifier(issuer=server.origin, **options).prefetch()
    assert [request.path for request in server.requests] == [OAUTH]
    await IntrospectionTokenVerifier(introspection_endpoint="https://idp.example", **options).prefetch()
    assert len(server.requests) == 1


async def test_metadata_is_read_once_an_hour(server: FaultServer, clock: Clock) -> None:
    server.answer = metadata(server)
    discovery = Discovery(server.origin, monotonic=clock)
    for _ in range(27):
        await discovery.endpoint("jwks_uri")
        clock.advance(100)

    assert len(server.requests) == 1


async def test_when_something_has_moved_it_is_read_again_and_kept_where_that_fails(
    server: FaultServer, clock: Clock
) -> None:
    server.answer = metadata(server)
    discovery = Discovery(server.origin, monotonic=clock)
    await discovery.endpoint("jwks_uri")
    server.answer = text(500, b"")
    await discovery.renew()
    assert await discovery.endpoint("jwks_uri") == server.origin + "/jwks"

    clock.advance(10)
    server.answer = metadata(server, jwks_uri=server.origin + "/moved")
    await discovery.renew()
    assert await discovery.endpoint("jwks_uri") == server.origin + "/moved"


async def test_the_longest_retry_after_of_all_places_is_obeyed(server: FaultServer, clock: Clock) -> None:
    server.answer = by_path({OAUTH: text(429, b"", retry_after="120"), OPENID: text(503, b"", retry_after="5")})

    with pytest.raises(FetchError, match=r"the answer is 429; .*the answer is 503") as caught:
        await Discovery(server.origin, monotonic=clock).endpoint("jwks_uri")
    assert caught.value.retry_after == 120


@pytest.mark.parametrize(
    ("headers", "retry_after"),
    [
        pytest.param({}, None, id="none"),
        pytest.param({"retry-after": "7"}, 7, id="seconds"),
        pytest.param({"retry-after": "99999999999"}, 300, id="many seconds, which nobody means"),
        pytest.param({"retry-after": "-7"}, None, id="negative"),
        pytest.param({"retry-after": "soon"}, None, id="a word"),
        pytest.param(
            {"retry-after": "Wed, 21 Oct 2026 07:30:00 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 120, id="a date"
        ),
        pytest.param(
            {"retry-after": "Wed, 21 Oct 2026 07:00:00 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"},
            0,
            id="a past date",
        ),
        pytest.param(
            {"retry-after": "Wed, 21 Oct 2026 07:30:00 GMT"}, None, id="a date, and the server's is not known"
        ),
        pytest.param(
            {"retry-after": "Wed, 21 Oct 2026 07:30:00", "date": "Wed, 21 Oct 2026 07:28:00 GMT"},
            None,
            id="no time zone",
        ),
    ],
)
def test_retry_after_is_seconds_or_a_date(headers: dict[str, str], retry_after: float | None) -> None:
    with pytest.raises(FetchError, match="the answer is 503") as caught:
        read_document(Response(503, headers, b""))
    assert caught.value.retry_after == retry_after


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'{"a":1,"a":2}', b'{"a":NaN}', b"\xff{}", b"[" * 100_000])
def test_a_body_that_is_no_strict_json_object_is_not_read(body: bytes) -> None:
    with pytest.raises(FetchError, match="the document cannot be read") as caught:
        read_document(Response(200, {}, body))
    assert caught.value.status == 200
