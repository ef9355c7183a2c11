"""An access token of our own: got once, used until it is refused or about to end (CA6, RFC 6749 section 4.4)."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl

import anyio
import httpx2
import pytest
from asking import ACTIVE, ISSUER, SECRET, TOKEN, Endpoint, together, verifier, why_unavailable
from fakes import Clock

from asgi_bearer import BearerToken, ClientCredentials, VerifierUnavailable

if TYPE_CHECKING:
    from leaks import Watch

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore:IntrospectionTokenVerifier has no server_url")]

TOKEN_ENDPOINT = "https://idp.example/token"
OURS = "our-own-token"


@pytest.fixture(autouse=True)
def _watch_the_credentials(watch: Watch) -> None:
    watch.secrets |= {TOKEN, SECRET, OURS}


class Source:
    """Returns a new token each time, and holds everybody at its gate."""

    def __init__(self, answer: Any = None) -> None:
        self.answer = answer
        self.asked = 0
        self.gate: anyio.Event | None = None

    async def __call__(self) -> str:
        self.asked += 1
        if self.gate is not None:
            await self.gate.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return cast("str", f"{OURS}-{self.asked}" if self.answer is None else self.answer)


def accepting(*numbers: int, refusal: int = 401) -> Endpoint:
    """Return an endpoint that takes our tokens of these numbers, and answers `refusal` to all others."""

    class Choosy(Endpoint):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            shown = dict(scope["headers"]).get(b"authorization", b"").decode()
            self.status = 200 if shown in {f"Bearer {OURS}-{number}" for number in numbers} else refusal
            await super().__call__(scope, receive, send)

    return Choosy()


async def test_ca6_our_token_is_got_once_and_sent_with_every_question() -> None:
    source, endpoint = Source(), Endpoint()
    asking = verifier(endpoint, client_auth=BearerToken(source))

    for number in range(3):
        await asking.verify_token(f"{TOKEN}-{number}")

    assert source.asked == 1
    assert {asked.headers["authorization"] for asked in endpoint.asked} == {f"Bearer {OURS}-1"}


async def test_ca6_a_hundred_questions_at_once_get_one_token() -> None:
    source = Source()
    source.gate = anyio.Event()
    asking = verifier(Endpoint(), client_auth=BearerToken(source), new_at_once=100)
    numbers = iter(range(100))

    async def open_the_gate() -> None:
        await anyio.wait_all_tasks_blocked()
        assert source.gate is not None
        source.gate.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(open_the_gate)
        outcomes = await together(100, lambda: asking.verify_token(f"{TOKEN}-{next(numbers)}"))

    assert source.asked == 1
    assert {type(one).__name__ for one in outcomes} == {"AccessToken"}


@pytest.mark.parametrize("refusal", [401, 403])
async def test_ca6_a_refused_token_is_replaced_and_the_question_asked_once_more(refusal: int) -> None:
    source, endpoint = Source(), accepting(2, refusal=refusal)
    asking = verifier(endpoint, client_auth=BearerToken(source))

    assert (await asking.verify_token(TOKEN)).subject == "alice"

    assert source.asked == 2
    assert [asked.headers["authorization"] for asked in endpoint.asked] == [f"Bearer {OURS}-1", f"Bearer {OURS}-2"]


async def test_ca6_no_question_is_asked_a_third_time() -> None:
    source, endpoint = Source(), accepting()

    error = await why_unavailable(endpoint, client_auth=BearerToken(source))

    assert error.message == "introspection: the answer is 401"
    assert (source.asked, len(endpoint.asked)) == (2, 2)


async def test_a_server_that_refuses_every_token_of_ours_costs_one_renewal_a_second() -> None:
    source, endpoint = Source(), accepting()
    asking = verifier(endpoint, client_auth=BearerToken(source))

    for number in range(5):
        with pytest.raises(VerifierUnavailable):
            await asking.verify_token(f"{TOKEN}-{number}")

    assert source.asked == 2
    assert len(endpoint.asked) == 2 + 3 + 1


async def test_a_token_that_was_replaced_meanwhile_is_not_let_go() -> None:
    source = Source()
    auth = BearerToken(source)
    first = await auth.authenticate(None)

    assert auth.renew(first)
    second = await auth.authenticate(None)
    assert auth.renew(first)

    assert await auth.authenticate(None) is second
    assert source.asked == 2


@pytest.mark.parametrize("token", ["", "two words", "a\r\nx-evil: 1", "\u00e9", b"bytes", None, 5], ids=repr)
async def test_a_source_that_returns_no_token_is_unavailable(token: Any) -> None:
    source = Source()
    source.answer = token if token is not None else ()

    error = await why_unavailable(endpoint := Endpoint(), client_auth=BearerToken(source))

    assert error.message == "introspection: the source of our own token returned none that can be sent"
    assert endpoint.asked == []


async def test_a_source_that_raises_is_unavailable_and_its_text_is_not_shown() -> None:
    error = await why_unavailable(Endpoint(), client_auth=BearerToken(Source(RuntimeError(OURS))))

    assert error.message == "introspection: an attempt to reach the authorization server ended in RuntimeError"


async def test_a_source_that_hangs_is_given_up_and_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asgi_bearer.verifiers.own_token._SECONDS", 0.05)
    source = Source()
    source.gate = anyio.Event()
    asking = verifier(Endpoint(), client_auth=BearerToken(source), cache_ttl=0)

    with pytest.raises(VerifierUnavailable):
        await asking.verify_token(TOKEN)
    await anyio.wait_all_tasks_blocked()
    source.gate = None

    assert (await asking.verify_token(TOKEN)).subject == "alice"
    assert source.asked == 2


# The grant


class TokenEndpoint:
    """A token endpoint in process, and the introspection endpoint beside it."""

    def __init__(self, **members: Any) -> None:
        self.answer: Any = {"access_token": OURS, "token_type": "Bearer", **members}
        self.status = 200
        self.headers: dict[str, str] = {}
        self.asked: list[httpx2.Request] = []
        self.questions = 0
        self.transport = httpx2.MockTransport(self._handle)

    def _handle(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/introspect":
            self.questions += 1
            return httpx2.Response(200, json=ACTIVE)
        if request.method == "GET":
            return httpx2.Response(200, json={"issuer": ISSUER, "token_endpoint": TOKEN_ENDPOINT})
        self.asked.append(request)
        if isinstance(self.answer, bytes):
            return httpx2.Response(self.status, content=self.answer, headers=self.headers)
        return httpx2.Response(self.status, json=self.answer, headers=self.headers)

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.asked[-1].content.decode(), strict_parsing=True))


def credentials(server: TokenEndpoint, **options: Any) -> ClientCredentials:
    defaults: dict[str, Any] = {"token_endpoint": TOKEN_ENDPOINT, "transport": server.transport, "monotonic": Clock(0)}
    return ClientCredentials("rs", SECRET, **{**defaults, **options})


async def test_the_grant_is_asked_for_as_rfc6749_says() -> None:
    server = TokenEndpoint()

    shown = await credentials(server, scopes=["introspection", "other"]).authenticate(ISSUER)

    assert shown.headers == {"authorization": f"Bearer {OURS}"}
    assert shown.form == {}
    (request,) = server.asked
    assert (request.method, str(request.url)) == ("POST", TOKEN_ENDPOINT)
    assert server.form == {"grant_type": "client_credentials", "scope": "introspection other"}
    assert base64.b64decode(request.headers["authorization"].removeprefix("Basic ")).decode() == f"rs:{SECRET}"
    assert request.headers["accept-encoding"] == "identity"
    assert "cookie" not in request.headers


async def test_the_grant_may_be_asked_for_by_the_form_without_scopes() -> None:
    server = TokenEndpoint()
    auth = ClientCredentials(
        "r\u00e9s",
        "a+b&c",
        issuer=ISSUER,
        client_auth="client_secret_post",
        transport=server.transport,
    )

    await auth.authenticate(None)

    assert server.form == {"grant_type": "client_credentials", "client_id": "r\u00e9s", "client_secret": "a+b&c"}
    assert "authorization" not in server.asked[0].headers


@pytest.mark.parametrize(
    ("members", "seconds"),
    [
        pytest.param({"expires_in": 100}, 90.0, id="nine tenths of its life"),
        pytest.param({}, None, id="until it is refused, where it does not say"),
        pytest.param({"expires_in": 0}, None, id="no time at all"),
        pytest.param({"expires_in": True}, None, id="a bool"),
        pytest.param({"expires_in": 10**12}, None, id="for ever"),
    ],
)
async def test_our_token_is_used_for_its_time(members: dict[str, Any], seconds: float | None) -> None:
    server, clock = TokenEndpoint(**members), Clock(0)
    auth = credentials(server, monotonic=clock)

    await auth.authenticate(None)
    clock.advance(89.9 if seconds else 1e9)
    await auth.authenticate(None)
    assert len(server.asked) == 1
    clock.advance(0.1)
    await auth.authenticate(None)

    assert len(server.asked) == (2 if seconds else 1)


async def test_a_token_endpoint_that_names_a_time_is_given_it() -> None:
    server = TokenEndpoint()
    server.status, server.headers = 503, {"retry-after": "17"}

    error = await why_unavailable(None, transport=server.transport, client_auth=credentials(server))

    assert error.retry_after == 17


async def test_a_grant_whose_token_is_refused_is_asked_for_again() -> None:
    server = TokenEndpoint()
    auth = credentials(server)

    assert auth.renew(await auth.authenticate(None))
    await auth.authenticate(None)

    assert len(server.asked) == 2


NO_TOKENS: list[tuple[int, Any, str]] = [
    (400, {"error": "invalid_client", "error_description": SECRET}, "refuses this server (invalid_client): check"),
    (401, {"error": "invalid_scope"}, "refuses this server (invalid_scope)"),
    (200, {"error": ["x"]}, "refuses this server (an error)"),
    (400, {"error": "a\r\nb"}, "refuses this server (an error)"),
    (400, {"error_description": "x"}, "the token endpoint's answer is 400"),
    (401, b"<html>", "the token endpoint's answer is 401"),
    (400, b'{"error": "a", "error": "b"}', "the token endpoint's answer is 400"),
    (500, {"access_token": OURS, "token_type": "Bearer"}, "the answer is 500"),
    (503, {"error": "temporarily_unavailable"}, "the answer is 503"),
    (302, b"", "the answer is 302"),
    (201, {"access_token": OURS, "token_type": "Bearer"}, "the answer is 201"),
    (200, b"<html>", "the document cannot be read"),
    (200, [1], "the document cannot be read"),
    (200, b"\xff\xfe", "the document cannot be read"),
    (200, b'{"access_token": "a", "access_token": "b", "token_type": "Bearer"}', "the document cannot be read"),
    (200, b'{"access_token": "a", "token_type": "Bearer", "expires_in": NaN}', "the document cannot be read"),
    (200, {"token_type": "Bearer"}, "has no Bearer token for us"),
    (200, {"access_token": OURS}, "has no Bearer token for us"),
    (200, {"access_token": OURS, "token_type": "mac"}, "has no Bearer token for us"),
    (200, {"access_token": 5, "token_type": "Bearer"}, "has no Bearer token for us"),
    (200, {"access_token": "", "token_type": "Bearer"}, "'s token is none that can be sent"),
    (200, {"access_token": "a\r\nx: y", "token_type": "Bearer"}, "'s token is none that can be sent"),
    (200, {"access_token": "\u00e9", "token_type": "Bearer"}, "'s token is none that can be sent"),
    (200, {"access_token": "a" * 20_000, "token_type": "Bearer"}, "'s token is none that can be sent"),
    (200, {"access_token": OURS, "token_type": "Bearer", "expires_in": "soon"}, "has no token for us (ValueError)"),
    (200, {"access_token": OURS, "token_type": "Bearer", "expires_at": [1]}, "has no token for us (TypeError)"),
    (200, b" " * 70_000, "the answer is longer than 65536 bytes"),
]


@pytest.mark.parametrize(
    ("status", "answer", "why"), NO_TOKENS, ids=[f"{n} {row[2]}" for n, row in enumerate(NO_TOKENS)]
)
async def test_an_answer_without_a_token_for_us_is_unavailable(status: int, answer: Any, why: str) -> None:
    server = TokenEndpoint()
    server.status, server.answer = status, answer
    server.headers = {"location": "https://evil.example/", "set-cookie": "a=b"}

    error = await why_unavailable(None, transport=server.transport, client_auth=credentials(server))

    assert why in error.message
    assert SECRET not in error.message
    assert len(server.asked) == 1
    assert server.questions == 0


async def test_a_token_endpoint_that_metadata_do_not_name_is_unavailable() -> None:
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, json={"issuer": ISSUER}))
    auth = ClientCredentials("rs", SECRET, issuer=ISSUER, transport=transport)

    error = await why_unavailable(None, transport=transport, client_auth=auth)

    assert error.message == f"introspection: the metadata of {ISSUER} has no usable token_endpoint"


@pytest.mark.parametrize(
    ("options", "kind", "sentence"),
    [
        ({}, ValueError, "needs token_endpoint='https://...', or issuer= to find it: write one of them"),
        ({"token_endpoint": TOKEN_ENDPOINT, "issuer": ISSUER}, ValueError, "or issuer= to find it: write one of them"),
        ({"token_endpoint": "http://a.example"}, ValueError, "token_endpoint must be https"),
        ({"issuer": "http://a.example"}, ValueError, "issuer must be https"),
        ({"issuer": ISSUER, "scopes": "a"}, TypeError, "scopes is a sequence of scopes"),
        ({"issuer": ISSUER, "client_auth": "private_key_jwt"}, ValueError, "client_auth is one of"),
        ({"issuer": ISSUER, "transport": 5}, TypeError, "transport is an httpx2 transport"),
        ({"issuer": ISSUER, "monotonic": 5}, TypeError, "monotonic is a function, not int"),
    ],
)
def test_a_grant_that_cannot_be_meant_is_said_at_construction(
    options: dict[str, Any], kind: type[Exception], sentence: str
) -> None:
    with pytest.raises(kind, match=sentence):
        ClientCredentials("rs", SECRET, **options)


def test_other_things_that_cannot_be_meant_are_said_at_construction() -> None:
    with pytest.raises(ValueError, match="client_secret is empty"):
        ClientCredentials("rs", "", issuer=ISSUER)
    with pytest.raises(TypeError, match="source is a function, not str"):
        BearerToken(cast("Any", OURS))
    with pytest.raises(ValueError, match="client_id is empty"):
        BearerToken(Source(), client_id="")


def test_plain_http_elsewhere_must_be_meant() -> None:
    ClientCredentials("rs", SECRET, token_endpoint="http://idp.internal/token", allow_insecure_http=True)


async def test_no_repr_shows_a_token_or_a_secret() -> None:
    auth = credentials(TokenEndpoint(expires_in=5))
    shown = await auth.authenticate(None)

    assert repr(auth) == "ClientCredentials('rs')"
    assert OURS not in repr(shown)
    assert OURS not in repr(await auth._get())  # noqa: SLF001  # what authlib's answer becomes on the way
