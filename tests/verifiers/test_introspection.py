"""IntrospectionTokenVerifier: what it asks, which answers it believes, and how long it remembers them (RFC 7662)."""

from __future__ import annotations

import base64
import json
import logging
import socket
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import httpx2
import pytest
from asking import (
    ABSENT,
    ACTIVE,
    API,
    ENDPOINT,
    ISSUER,
    NOW,
    SECRET,
    TOKEN,
    Endpoint,
    Remembering,
    answering,
    opened,
    reason_of,
    together,
    verifier,
    why_unavailable,
)
from contract import VerifierContract
from fakes import Clock

from asgi_bearer import (
    BearerToken,
    InsecureConfigurationWarning,
    InsufficientScope,
    IntrospectionTokenVerifier,
    InvalidToken,
    Reason,
    VerifierUnavailable,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from leaks import Watch

pytestmark = pytest.mark.filterwarnings("ignore:IntrospectionTokenVerifier has no server_url")


@pytest.fixture(autouse=True)
def _watch_the_credentials(watch: Watch) -> None:
    watch.secrets |= {TOKEN, SECRET}


class TestContract(VerifierContract):
    good = TOKEN
    refused = "an-opaque-token-of-nobody"

    def make(self, **options: Any) -> IntrospectionTokenVerifier:
        return verifier(Endpoint(lambda asked: ACTIVE if asked.token == TOKEN else {"active": False}), **options)


# What is asked


async def test_the_endpoint_is_asked_by_a_form_in_a_post() -> None:
    endpoint = Endpoint()

    token = await verifier(endpoint).verify_token(TOKEN)

    (asked,) = endpoint.asked
    assert (asked.method, asked.url) == ("POST", ENDPOINT)
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
    assert asked.headers["accept"] == "application/json"
    assert asked.headers["accept-encoding"] == "identity"
    assert "cookie" not in asked.headers
    assert asked.form == [("token", TOKEN), ("token_type_hint", "access_token")]
    assert token.principal_key == (None, "alice", "app")
    assert (token.scopes, token.expires_at) == (("read", "write"), datetime.fromtimestamp(NOW + 600, UTC))


CREDENTIALS = [
    pytest.param("rs", "secret", "rs:secret", id="plain"),
    pytest.param("https://api.example", "s", "https%3A%2F%2Fapi.example:s", id="a URL for a client_id"),
    pytest.param("a:b", "c:d", "a%3Ab:c%3Ad", id="colons"),
    pytest.param("a+b", "c d", "a%2Bb:c+d", id="plus and space"),
    pytest.param("a%41", "100%", "a%2541:100%25", id="percent signs"),
    pytest.param("Zo\u00eb", "\u65e5\u672c", "Zo%C3%AB:%E6%97%A5%E6%9C%AC", id="beyond ASCII"),
    pytest.param("a&b=c", 'q"\\', "a%26b%3Dc:q%22%5C", id="what forms and headers are made of"),
]


@pytest.mark.parametrize(("client_id", "secret", "pair"), CREDENTIALS)
async def test_client_secret_basic_sends_both_parts_form_encoded(client_id: str, secret: str, pair: str) -> None:
    endpoint = Endpoint()

    await verifier(endpoint, client_id=client_id, client_secret=secret).verify_token(TOKEN)

    scheme, _, encoded = endpoint.asked[0].headers["authorization"].partition(" ")
    assert (scheme, base64.b64decode(encoded).decode("ascii")) == ("Basic", pair)
    assert {name for name, _ in endpoint.asked[0].form} == {"token", "token_type_hint"}


@pytest.mark.parametrize(("client_id", "secret", "pair"), CREDENTIALS)
async def test_client_secret_post_sends_both_parts_in_the_form_alone(client_id: str, secret: str, pair: str) -> None:
    endpoint = Endpoint()
    post = verifier(endpoint, client_id=client_id, client_secret=secret, client_auth="client_secret_post")

    await post.verify_token(TOKEN)

    assert endpoint.asked[0].form[2:] == [("client_id", client_id), ("client_secret", secret)]
    assert "authorization" not in endpoint.asked[0].headers


async def test_a_token_of_every_character_that_tokens_have_arrives_as_it_is() -> None:
    token, endpoint = "az-AZ.09_~+/==", Endpoint()

    await verifier(endpoint).verify_token(token)

    assert endpoint.asked[0].token == token


async def test_the_endpoint_may_be_found_in_the_issuers_metadata() -> None:
    inner = answering(iss=ISSUER)

    async def server(scope: Any, receive: Any, send: Any) -> None:
        if scope["method"] == "POST":
            await inner(scope, receive, send)
        else:
            metadata = Endpoint({"issuer": ISSUER, "introspection_endpoint": f"{ISSUER}/found"})
            looked_in.append(scope["path"])
            await metadata(scope, receive, send)

    looked_in: list[str] = []
    discovering = verifier(server, introspection_endpoint=None, issuer=ISSUER)

    for token in (TOKEN, "another-token"):
        assert (await discovering.verify_token(token)).issuer == ISSUER

    assert [asked.url for asked in inner.asked] == [f"{ISSUER}/found"] * 2
    assert looked_in == ["/.well-known/oauth-authorization-server"]


async def test_metadata_without_the_endpoint_are_unavailable() -> None:
    error = await why_unavailable(Endpoint({"issuer": ISSUER}), introspection_endpoint=None, issuer=ISSUER)

    assert error.message == f"introspection: the metadata of {ISSUER} has no usable introspection_endpoint"


# Which answers are answers

NO_ANSWERS = [
    pytest.param({**ACTIVE, "active": "true"}, id="active is a string"),
    pytest.param({**ACTIVE, "active": 1}, id="active is a number"),
    pytest.param({**ACTIVE, "active": {}}, id="active is an object"),
    pytest.param({**ACTIVE, "active": None}, id="active is null"),
    pytest.param({"sub": "alice"}, id="no active"),
    pytest.param([ACTIVE], id="an array"),
    pytest.param(b"", id="nothing"),
    pytest.param(b"<html>", id="HTML"),
    pytest.param(b'{"active":true,"active":false}', id="active twice"),
    pytest.param(b'{"active":true,"exp":NaN}', id="NaN"),
    pytest.param(b'{"active":true,"exp":1e999}', id="a number that overflows"),
    pytest.param(json.dumps(ACTIVE).encode("utf-16"), id="UTF-16"),
    pytest.param(b'{"active":true,"a":' + b"[" * 50 + b"]" * 50 + b"}", id="too deep"),
    pytest.param(b'{"active":true,"a":"' + b"a" * 300_000 + b'"}', id="too long"),
]


@pytest.mark.parametrize("answer", NO_ANSWERS)
async def test_an_answer_that_is_none_is_unavailable_and_remembered_for_no_more_than_a_second(answer: Any) -> None:
    it = Remembering()
    it.endpoint.answer = answer

    for _ in range(2):
        with pytest.raises(VerifierUnavailable, match="introspection: "):
            await it.verifier.verify_token(TOKEN)
    it.endpoint.answer = ACTIVE
    it.advance(1)

    assert (await it.verifier.verify_token(TOKEN)).subject == "alice"
    assert len(it.endpoint.asked) == 2


@pytest.mark.parametrize("status", [201, 204, 301, 302, 307, 400, 401, 403, 404, 429, 500, 502, 503])
async def test_another_status_than_200_is_unavailable_whatever_the_body_says(status: int) -> None:
    for body in (ACTIVE, {"active": False}):
        endpoint = Endpoint(body, status=status, headers={"location": "https://evil.example/"})

        error = await why_unavailable(endpoint)

        assert error.message == f"introspection: the answer is {status}"
        assert [asked.url for asked in endpoint.asked] == [ENDPOINT]


@pytest.mark.parametrize(("status", "loud"), [(400, True), (401, True), (403, True), (404, False), (500, False)])
async def test_an_endpoint_that_refuses_this_server_is_an_error_in_the_log(
    status: int, loud: bool, caplog: pytest.LogCaptureFixture
) -> None:
    await why_unavailable(Endpoint(status=status))

    line = f"refuses this server ({status}): check client_id, client_secret and client_auth"
    assert any(record.levelno == logging.ERROR and line in record.message for record in caplog.records) is loud


async def test_that_it_refuses_this_server_is_said_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    monotonic = Clock(0)
    it = verifier(Endpoint(status=400), monotonic=monotonic)

    for number, seconds in enumerate([0, 0, 30, 29, 1, 59]):
        monotonic.advance(seconds)
        with pytest.raises(VerifierUnavailable):
            await it.verify_token(f"token-{number}")

    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "the introspection endpoint refuses this server (400)"
    ] * 2


@pytest.mark.parametrize("what", ["the metadata", "our own token", "the answer"])
async def test_the_timeout_is_for_all_of_a_question(what: str) -> None:
    async def hang(*_: Any) -> Any:
        await anyio.sleep_forever()

    class Slow(Endpoint):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            if what == "the answer" or scope["method"] == "GET":
                await hang()

    options: dict[str, dict[str, Any]] = {
        "the metadata": {"introspection_endpoint": None, "issuer": ISSUER},
        "our own token": {"client_auth": BearerToken(hang)},
        "the answer": {},
    }

    error = await why_unavailable(Slow(), timeout=0.05, **options[what])

    assert error.message == "introspection: no answer within 0.05 s"


@pytest.mark.parametrize("username", [5, None, ["alice"], {}], ids=repr)
async def test_in9_a_username_is_text(username: Any) -> None:
    assert await reason_of(answering(username=username)) == Reason.claim_type


@pytest.mark.parametrize(("header", "seconds"), [("120", 120), ("0", 1), ("soon", 1), (None, 1)])
async def test_the_endpoints_retry_after_is_passed_on(header: str | None, seconds: float) -> None:
    headers = {} if header is None else {"retry-after": header}

    assert (await why_unavailable(Endpoint(status=503, headers=headers))).retry_after == seconds


async def test_a_compressed_answer_is_unavailable() -> None:
    error = await why_unavailable(Endpoint(headers={"content-encoding": "gzip"}))

    assert error.message == "introspection: the answer is compressed, which was not asked for"


@pytest.mark.parametrize("failure", [httpx2.ConnectError("no"), httpx2.ReadError("no"), OSError("no")], ids=repr)
async def test_an_endpoint_that_cannot_be_reached_is_unavailable(failure: Exception) -> None:
    class Broken(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            raise failure

    error = await why_unavailable(None, transport=Broken())

    assert error.message == f"introspection: the request failed ({type(failure).__name__})"
    assert error.__cause__ is error.__context__ is None


async def test_an_endpoint_that_does_not_answer_in_time_is_unavailable() -> None:
    class Hanging(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            await anyio.sleep_forever()
            raise AssertionError

    error = await why_unavailable(None, transport=Hanging(), timeout=0.001)

    assert error.message == "introspection: no answer within 0.001 s"


async def test_a_transport_that_breaks_in_its_own_way_is_unavailable_too() -> None:
    class Buggy(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            message = f"at {request.content!r}"
            raise RuntimeError(message)

    error = await why_unavailable(None, transport=Buggy())

    assert error.message == "an attempt to reach the authorization server ended in RuntimeError"


# What an answer must say


async def test_active_false_is_refused_whatever_else_it_says() -> None:
    assert await reason_of(answering(active=False)) == Reason.inactive


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        pytest.param({"exp": NOW - 30}, Reason.expired, id="it has ended"),
        pytest.param({"nbf": NOW + 31}, Reason.not_yet_valid, id="it has not begun"),
        pytest.param({"iat": NOW + 31}, Reason.not_yet_valid, id="issued in the future"),
        pytest.param({"exp": "1800000600"}, Reason.claim_type, id="exp is a string"),
        pytest.param({"exp": True}, Reason.claim_type, id="exp is a bool"),
        pytest.param({"iat": None}, Reason.claim_type, id="iat is null"),
        pytest.param({"client_id": 1}, Reason.claim_type, id="client_id is a number"),
        pytest.param({"sub": ["alice"]}, Reason.claim_type, id="sub is an array"),
        pytest.param({"jti": 1}, Reason.claim_type, id="jti is a number"),
        pytest.param({"scope": 1}, Reason.claim_type, id="scope is a number"),
        pytest.param({"aud": []}, Reason.claim_type, id="aud is empty"),
        pytest.param({"aud": [1]}, Reason.claim_type, id="aud has a number"),
        pytest.param({"iss": "https://evil.example"}, Reason.issuer, id="another issuer"),
        pytest.param({"iss": ISSUER + "/"}, Reason.issuer, id="an issuer with a slash more"),
        pytest.param({"aud": "https://other.example"}, Reason.audience, id="another audience"),
        pytest.param({"token_type": "refresh_token"}, Reason.token_type, id="a refresh token"),
        pytest.param({"token_type": "N_A"}, Reason.token_type, id="no access token"),
        pytest.param({"token_type": "mac"}, Reason.token_type, id="a MAC token"),
        pytest.param({"token_type": None}, Reason.token_type, id="token_type is null"),
        pytest.param({"token_type": 1}, Reason.token_type, id="token_type is a number"),
        pytest.param({"token_use": "refresh_token"}, Reason.token_type, id="a refresh token of Hydra"),
        pytest.param({"typ": "Refresh"}, Reason.token_type, id="a refresh token of Keycloak"),
        pytest.param({"token_type": "DPoP"}, Reason.binding, id="bound to a key that is not named"),
    ],
)
async def test_an_active_token_is_held_to_the_same_rules_as_others(members: Any, reason: Reason) -> None:
    endpoint = answering(**members)

    assert await reason_of(endpoint, issuer=ISSUER, server_url=API) == reason


@pytest.mark.parametrize(
    "members",
    [
        pytest.param({"exp": ABSENT}, id="without an end"),
        pytest.param({"exp": NOW - 29}, id="it ended within the leeway"),
        pytest.param({"token_type": ABSENT}, id="without a type"),
        pytest.param({"token_type": "bearer"}, id="a type in lower case"),
        pytest.param({"token_type": "DPoP", "cnf": {"jkt": "x"}}, id="bound: the door judges"),
        pytest.param({"iss": ISSUER, "aud": [API, "x"]}, id="issuer and audience as configured"),
        pytest.param({"scope": ["read", "write"]}, id="scopes as a list"),
        pytest.param({"unknown": {"a": [1, None]}, "username": "Alice"}, id="members unknown"),
    ],
)
async def test_what_an_answer_may_say_or_leave_out(members: dict[str, Any]) -> None:
    token = await verifier(answering(**members), issuer=ISSUER, server_url=API).verify_token(TOKEN)

    assert token.subject == "alice"


async def test_an_audience_that_is_configured_must_be_there_and_takes_the_place_of_the_servers_url() -> None:
    def asking(**members: Any) -> IntrospectionTokenVerifier:
        return verifier(answering(**members), server_url=API, audience=["books", "films"])

    assert (await asking(aud="films").verify_token(TOKEN)).audience == ("films",)
    for members, reason in (({}, Reason.missing_claim), ({"aud": API}, Reason.audience)):
        with pytest.raises(InvalidToken) as caught:
            await asking(**members).verify_token(TOKEN)
        assert caught.value.reason == reason


async def test_without_server_url_and_audience_any_audience_is_taken() -> None:
    assert (await verifier(answering(aud="anyone")).verify_token(TOKEN)).audience == ("anyone",)


# What is remembered


@pytest.mark.parametrize("token", [TOKEN, "a-token-of-nobody"], ids=["active", "inactive"])
@pytest.mark.parametrize(
    ("options", "ttl"),
    [({}, {"active": 30, "inactive": 5}), ({"cache_ttl": 7, "negative_ttl": 9}, {"active": 7, "inactive": 9})],
    ids=["defaults", "options"],
)
async def test_an_answer_is_remembered_for_its_time_and_not_longer(
    token: str, options: Any, ttl: dict[str, int]
) -> None:
    it = Remembering(**options)
    seconds = ttl["active" if token == TOKEN else "inactive"]

    assert [await it.asks(token), await it.asks(token)] == [True, False]
    it.advance(seconds - 0.5)
    assert not await it.asks(token)
    it.advance(0.5)
    assert [await it.asks(token), await it.asks(token)] == [True, False]


async def test_with_cache_ttl_0_every_request_asks() -> None:
    it = Remembering(cache_ttl=0)

    assert [await it.asks() for _ in range(3)] == [True] * 3


async def test_with_negative_ttl_0_an_inactive_token_is_asked_for_each_time() -> None:
    it = Remembering(negative_ttl=0)

    assert [await it.asks("a-token-of-nobody") for _ in range(3)] == [True] * 3


async def test_a_revocation_is_seen_when_the_memory_ends() -> None:
    it = Remembering()
    await it.asks()

    it.endpoint.answer = {"active": False}
    it.advance(29)
    assert (await it.verifier.verify_token(TOKEN)).subject == "alice"
    it.advance(1)

    with pytest.raises(InvalidToken):
        await it.verifier.verify_token(TOKEN)


async def test_what_is_remembered_ends_with_the_token_though_nobody_is_asked() -> None:
    it = Remembering({**ACTIVE, "exp": NOW + 10}, leeway=0)
    await it.asks()

    it.advance(9)
    assert (await it.verifier.verify_token(TOKEN)).subject == "alice"
    it.advance(1)
    with pytest.raises(InvalidToken) as caught:
        await it.verifier.verify_token(TOKEN)

    assert caught.value.reason == Reason.expired
    assert len(it.endpoint.asked) == 1


async def test_a_wall_clock_that_is_set_back_makes_no_memory_longer() -> None:
    it = Remembering()
    await it.asks()

    it.clock.advance(-3600)
    it.monotonic.advance(30)

    assert await it.asks()


async def test_a_missing_scope_is_found_in_what_is_remembered_too() -> None:
    it = Remembering(required_scopes=["delete"])

    for _ in range(2):
        with pytest.raises(InsufficientScope):
            await it.verifier.verify_token(TOKEN)

    assert len(it.endpoint.asked) == 1


async def test_garbage_does_not_push_good_tokens_out() -> None:
    it = Remembering(cache_size=1)
    await it.asks()

    for number in range(1_100):
        await it.asks(f"garbage-{number}")

    assert not await it.asks()
    assert [await it.asks("garbage-1099"), await it.asks("garbage-0")] == [False, True]


async def test_an_active_token_that_is_refused_for_what_it_says_is_asked_for_again() -> None:
    it = Remembering({**ACTIVE, "aud": "https://other.example"}, server_url=API)

    assert [await it.asks(), await it.asks()] == [True, True]


async def test_two_verifiers_never_share_an_answer() -> None:
    first, second = verifier(Endpoint()), verifier(Endpoint({"active": False}))

    for _ in range(2):
        assert (await first.verify_token(TOKEN)).subject == "alice"
        with pytest.raises(InvalidToken):
            await second.verify_token(TOKEN)


# Many at once


@pytest.mark.parametrize(
    ("answer", "status", "kind"),
    [
        pytest.param(ACTIVE, 200, "AccessToken", id="active"),
        pytest.param({"active": False}, 200, "InvalidToken", id="inactive"),
        pytest.param({**ACTIVE, "exp": 1}, 200, "InvalidToken", id="expired"),
        pytest.param({}, 500, "VerifierUnavailable", id="an error"),
    ],
)
async def test_a_hundred_requests_with_one_token_make_one_call(answer: Any, status: int, kind: str) -> None:
    endpoint = Endpoint(answer, status=status)
    endpoint.gate = anyio.Event()
    asking = verifier(endpoint)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(opened, endpoint)
        outcomes = await together(100, lambda: asking.verify_token(TOKEN))

    assert len(endpoint.asked) == 1
    assert [type(outcome).__name__ for outcome in outcomes] == [kind] * 100
    errors = [id(outcome) for outcome in outcomes if isinstance(outcome, Exception)]
    assert len(errors) == len(set(errors))


async def test_with_cache_ttl_0_requests_at_once_each_have_an_answer_of_their_own() -> None:
    endpoint = Endpoint()
    endpoint.gate = anyio.Event()
    asking = verifier(endpoint, cache_ttl=0)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(opened, endpoint)
        await together(10, lambda: asking.verify_token(TOKEN))

    assert len(endpoint.asked) == 10


async def test_the_request_that_asked_first_may_go_away_and_the_answer_is_remembered() -> None:
    endpoint = Endpoint()
    endpoint.gate = anyio.Event()
    asking = verifier(endpoint)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(asking.verify_token, TOKEN)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    endpoint.gate.set()

    assert (await asking.verify_token(TOKEN)).subject == "alice"
    assert len(endpoint.asked) == 1


# A real server


@pytest.fixture
def loopback() -> Iterator[str]:
    """Serve one introspection endpoint on loopback; it answers on kept-alive connections, and counts them."""
    listener = socket.create_server(("127.0.0.1", 0))
    body = json.dumps(ACTIVE).encode()
    response = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body

    def serve() -> None:
        try:
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=answer, args=(connection,), daemon=True).start()
        except OSError:
            return

    def answer(connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as reader:
            while (line := reader.readline()) not in (b"", b"\r\n"):
                length = 0
                while line not in (b"", b"\r\n"):
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                    line = reader.readline()
                reader.read(length)
                connection.sendall(response)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/introspect"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@pytest.fixture
async def over_a_socket(loopback: str) -> AsyncIterator[IntrospectionTokenVerifier]:
    own = IntrospectionTokenVerifier(
        introspection_endpoint=loopback, client_id="rs", client_secret=SECRET, clock=Clock(NOW), cache_ttl=0
    )
    yield own
    await own.aclose()


async def test_over_a_real_socket_and_again_after_closing(over_a_socket: IntrospectionTokenVerifier) -> None:
    assert (await over_a_socket.verify_token(TOKEN)).subject == "alice"
    assert (await over_a_socket.verify_token(TOKEN)).subject == "alice"

    await over_a_socket.aclose()

    assert (await over_a_socket.verify_token(TOKEN)).subject == "alice"


async def test_a_port_where_nobody_listens_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    error = await why_unavailable(None, introspection_endpoint=f"http://127.0.0.1:{port}/", transport=None)

    assert error.message == "introspection: the request failed (ConnectError)"


async def test_closing_what_was_never_used_is_nothing() -> None:
    await verifier(Endpoint()).aclose()


# Options

WRONG_TYPES: list[tuple[dict[str, Any], str]] = [
    ({"introspection_endpoint": 1}, "introspection_endpoint is a str, not int"),
    ({"issuer": 1}, "issuer is a str, not int"),
    ({"introspection_endpoint": None, "issuer": 1}, "issuer is a str, not int"),
    ({"client_id": 1}, "client_id is a str, not int"),
    ({"client_secret": b"x"}, "client_secret is a str, not bytes"),
    ({"server_url": 1}, "server_url is a str, not int"),
    ({"audience": 1}, "audience is a .*, not int"),
    ({"audience": [1]}, "each item of audience is a str, not int"),
    ({"leeway": "1"}, "leeway is a number of seconds, not str"),
    ({"cache_ttl": True}, "cache_ttl is a number of seconds, not bool"),
    ({"negative_ttl": None}, "negative_ttl is a number of seconds, not NoneType"),
    ({"cache_size": 1.0}, "cache_size is a whole number, not float"),
    ({"timeout": "3"}, "timeout is a number of seconds, not str"),
    ({"allow_insecure_http": "no"}, "allow_insecure_http is True or False, not str"),
    ({"transport": "http"}, "transport is an httpx2 transport such as .* not str"),
    ({"monotonic": 1}, "monotonic is a function, not int"),
]
WRONG_VALUES: list[tuple[dict[str, Any], str]] = [
    ({"introspection_endpoint": None}, "needs introspection_endpoint='https://...', or issuer= to find it"),
    ({"introspection_endpoint": ""}, "introspection_endpoint is empty"),
    ({"introspection_endpoint": "http://idp.example/x"}, "introspection_endpoint must be https"),
    ({"introspection_endpoint": "idp.example/x"}, "introspection_endpoint must be an .*https URL"),
    ({"introspection_endpoint": "https://u:p@idp.example/"}, "introspection_endpoint must be an .*https URL"),
    ({"introspection_endpoint": None, "issuer": "http://idp.example"}, "issuer must be https"),
    ({"issuer": ""}, "issuer is empty"),
    ({"client_id": None}, "client_secret_basic needs client_id= and client_secret="),
    ({"client_secret": None, "client_auth": "client_secret_post"}, "client_secret_post needs client_id="),
    ({"client_id": ""}, "client_id is empty"),
    ({"client_secret": ""}, "client_secret is empty"),
    ({"client_auth": "client_secret"}, "client_auth is one of 'client_secret_basic', 'client_secret_post', not 'cl"),
    ({"server_url": ""}, "server_url is empty"),
    ({"audience": ""}, "audience is empty"),
    ({"audience": []}, "audience is an empty sequence"),
    ({"leeway": -1}, "leeway is a number of seconds, from 0 to 300, not -1"),
    ({"leeway": 301}, "leeway is a number of seconds, from 0 to 300, not 301"),
    ({"cache_ttl": -1}, "cache_ttl is a number of seconds, 0 or more, not -1"),
    ({"cache_ttl": float("inf")}, "cache_ttl is a number of seconds, 0 or more, not inf"),
    ({"negative_ttl": -1}, "negative_ttl is a number of seconds, 0 or more, not -1"),
    ({"cache_size": -1}, "cache_size is 0 or more, not -1"),
    ({"timeout": 0}, "timeout is a number of seconds, 0.001 or more, not 0"),
]


def named(rows: list[tuple[dict[str, Any], str]]) -> list[str]:
    """Return an id for each row: its place, and the options that are wrong."""
    return [f"{place} {' and '.join(options)}" for place, (options, _) in enumerate(rows)]


@pytest.mark.parametrize(("options", "sentence"), WRONG_TYPES, ids=named(WRONG_TYPES))
def test_an_option_of_the_wrong_type_is_a_type_error_that_names_it(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(TypeError, match=sentence):
        verifier(Endpoint(), **options)


@pytest.mark.parametrize(("options", "sentence"), WRONG_VALUES, ids=named(WRONG_VALUES))
def test_an_option_that_cannot_be_meant_is_a_value_error_that_names_it(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        verifier(Endpoint(), **options)


@pytest.mark.parametrize("url", ["http://localhost:1/x", "http://[::1]:1/x", "http://127.0.0.9/x"])
def test_plain_http_is_for_loopback(url: str) -> None:
    verifier(Endpoint(), introspection_endpoint=url)


def test_plain_http_elsewhere_must_be_meant() -> None:
    verifier(Endpoint(), introspection_endpoint="http://idp.internal/x", allow_insecure_http=True)


def test_no_repr_shows_the_secret() -> None:
    asking = verifier(Endpoint())

    assert not [name for name, value in vars(asking).items() if SECRET in repr(value)]
    assert SECRET not in repr(asking)


@pytest.mark.filterwarnings("error")
def test_to_name_neither_server_url_nor_audience_is_possible_and_warns() -> None:
    options: dict[str, Any] = {
        "introspection_endpoint": "https://idp.example/introspect",
        "client_id": "rs",
        "client_secret": "secret",
    }

    with pytest.warns(InsecureConfigurationWarning, match="no server_url and no audience: it takes tokens issued for"):
        IntrospectionTokenVerifier(**options)
    IntrospectionTokenVerifier(**options, server_url="https://api.example")
    IntrospectionTokenVerifier(**options, audience="https://api.example")
