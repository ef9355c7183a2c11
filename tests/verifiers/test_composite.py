"""ChainVerifier and MultiIssuerVerifier: who is asked about a token, and that nobody else ever is."""

from __future__ import annotations

import base64
import contextvars
import functools
import json
import logging
import threading
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest
from contract import VerifierContract
from fakes import Clock, Echo, bearer, client_for

from asgi_bearer import (
    AccessToken,
    BearerMiddleware,
    ChainVerifier,
    InsufficientScope,
    InvalidToken,
    JWTVerifier,
    MultiIssuerVerifier,
    Reason,
    StaticTokenVerifier,
    VerifierUnavailable,
)
from asgi_bearer.keys.jose import SigningKey

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asgi_bearer import TokenVerifier

NOW = 1_800_000_000
A, B, C = "https://a.example/", "https://b.example/", "https://c.example/"
AUDIENCE = "https://api.example"
KEYS = {issuer: SigningKey.generate("ES256") for issuer in (A, B, C)}
OPAQUE = "an-opaque-token"
CLAIMS: dict[str, Any] = {
    "aud": AUDIENCE,
    "sub": "alice",
    "client_id": "app",
    "exp": NOW + 1_000_000,
    "iat": NOW,
    "scope": "read write",
}
# Every issuer uses the same kid: it names a key within one issuer's set alone.
KID = "k"


def sign(issuer: object, key: SigningKey | None = None, **claims: Any) -> str:
    """Sign with the key of `issuer`, or with `key`."""
    signer = KEYS[str(issuer)] if key is None else key
    return signer.sign({"typ": "at+jwt", "kid": KID}, {"iss": issuer, **CLAIMS, **claims})


def unsigned(payload: object, header: str = '{"alg":"ES256"}') -> str:
    """Write what any stranger can write: a token with a signature of nothing."""
    body = payload if isinstance(payload, str) else json.dumps(payload)
    parts = (header.encode(), body.encode(), b"no signature")
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def jwt(issuer: str, /, **options: Any) -> JWTVerifier:
    jwks = {"keys": [KEYS[issuer].public_jwk(KID)]}
    return JWTVerifier(**{"issuer": issuer, "audience": AUDIENCE, "jwks": jwks, "clock": Clock(NOW), **options})


class Strategy:
    """Says yes to everything, or what it is told to; it keeps what it was asked."""

    def __init__(self, answer: Any = "yes", **attributes: Any) -> None:
        self.asked: list[str] = []
        self.answer = answer
        self.__dict__.update(attributes)

    async def verify_token(self, token: str) -> AccessToken | None:
        self.asked.append(token)
        if isinstance(self.answer, Exception):
            raise self.answer
        return None if self.answer is None else AccessToken(token=token, client_id=self.answer)


class Odd(Strategy):
    """As a container of somebody's may be: not hashable, equal to everything, and false."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return True

    def __bool__(self) -> bool:
        return False


class Directory:
    """An application's table of tenants: `resolve`, which keeps what it was asked, and waits or fails."""

    def __init__(self, **tenants: Any) -> None:
        self.tenants: dict[str, Any] = tenants
        self.asked: list[str] = []
        self.gate: anyio.Event | None = None
        self.failure: BaseException | None = None
        self.most_at_once = self._at_once = 0

    async def __call__(self, issuer: str) -> Any:
        self.asked.append(issuer)
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            if self.gate is not None:
                await self.gate.wait()
            if self.failure is not None:
                raise self.failure
            return self.tenants.get(issuer)
        finally:
            self._at_once -= 1


def directory(*issuers: str) -> Directory:
    return Directory(**{issuer: jwt(issuer) for issuer in issuers})


async def reason_of(verifier: TokenVerifier, token: str) -> Reason | None:
    with pytest.raises(InvalidToken) as caught:
        await verifier.verify_token(token)
    return caught.value.reason


async def landed() -> None:
    """Let the tasks that nobody waits for go on."""
    for _ in range(20):
        await anyio.lowlevel.checkpoint()


async def results(run: Callable[[Any], Awaitable[Any]], arguments: list[Any]) -> list[Any]:
    """Call all at once; return what each returned or raised."""
    found: list[Any] = [None] * len(arguments)

    async def one(place: int, argument: Any) -> None:
        try:
            found[place] = await run(argument)
        except Exception as error:  # noqa: BLE001  # looked at by the test
            found[place] = error

    async with anyio.create_task_group() as group:
        for place, argument in enumerate(arguments):
            group.start_soon(one, place, argument)
    return found


class TestContractOfChains(VerifierContract):
    good = sign(A)
    refused = sign(A, exp=NOW - 60)

    def make(self, **options: Any) -> ChainVerifier:
        return ChainVerifier({"jwt": jwt(A, **options)})


class TestContractOfSeveralIssuers(VerifierContract):
    good = sign(A)
    refused = sign(A, exp=NOW - 60)

    def make(self, **options: Any) -> MultiIssuerVerifier:
        return MultiIssuerVerifier([jwt(A, **options), jwt(B, **options)])


# ChainVerifier


@pytest.mark.parametrize(
    ("token", "asked"),
    [
        pytest.param("a.b.c", "jwt", id="three parts"),
        pytest.param("..", "jwt", id="three empty parts"),
        pytest.param("abc", "opaque", id="one part"),
        pytest.param("a.b", "opaque", id="two parts"),
        pytest.param("a.b.c.d.e", "opaque", id="five parts"),
        pytest.param("", "opaque", id="nothing"),
        pytest.param("ghp_abc", "ghp_", id="a prefix"),
        pytest.param("ghp_a.b.c", "ghp_", id="a prefix and three parts"),
        pytest.param("ghp_pat_abc", "ghp_pat_", id="the longer one of two prefixes"),
        pytest.param("GHP_abc", "opaque", id="a prefix in another case"),
        pytest.param("xghp_abc", "opaque", id="a prefix that is none"),
        pytest.param("jwt", "opaque", id="the name of a shape"),
    ],
)
async def test_the_shape_of_a_token_says_who_is_asked(token: str, asked: str) -> None:
    strategies = {shape: Strategy(shape) for shape in ("opaque", "ghp_", "jwt", "ghp_pat_")}

    found = await ChainVerifier(strategies).verify_token(token)

    assert found is not None
    assert found.client_id == asked
    assert [shape for shape, strategy in strategies.items() if strategy.asked] == [asked]


@pytest.mark.parametrize(
    ("shape", "token"), [("jwt", OPAQUE), ("jwt", "a.b"), ("opaque", "a.b.c"), ("ghp_", OPAQUE), ("ghp_", "a.b.c")]
)
async def test_a_shape_that_has_no_strategy_is_refused_and_nobody_is_asked(shape: str, token: str) -> None:
    strategy = Strategy()

    assert await reason_of(ChainVerifier({shape: strategy}), token) is Reason.malformed
    assert strategy.asked == []


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(InvalidToken(Reason.signature), id="a signature that does not hold"),
        pytest.param(InvalidToken(Reason.unknown_key), id="a key that is not there"),
        pytest.param(InsufficientScope(["read"]), id="a scope that lacks"),
        pytest.param(VerifierUnavailable("down"), id="an outage"),
        pytest.param(LookupError("a bug"), id="a bug"),
    ],
)
@pytest.mark.parametrize("of_chain", [True, False], ids=["chain", "issuers"])
async def test_what_the_chosen_strategy_raises_is_final(answer: Exception, of_chain: bool) -> None:
    chosen, others = Strategy(answer), [Strategy(), Strategy()]
    verifier: TokenVerifier
    if of_chain:
        verifier = ChainVerifier({"jwt": chosen, "opaque": others[0], "ghp_": others[1]})
    else:
        verifier = MultiIssuerVerifier({A: chosen, B: others[0]}, opaque=others[1], resolve=directory(A, C))

    for _ in range(2):
        with pytest.raises(type(answer)) as caught:
            await verifier.verify_token(sign(A))
        assert caught.value is answer

    assert [other.asked for other in others] == [[], []]
    assert len(chosen.asked) == 2


async def test_a_chain_may_hold_several_issuers() -> None:
    chain = ChainVerifier({"jwt": MultiIssuerVerifier([jwt(A), jwt(B)]), "ghp_": Strategy("robot")})

    subjects = [await chain.verify_token(token) for token in (sign(A), sign(B), "ghp_1")]

    assert [token and token.client_id for token in subjects] == ["app", "app", "robot"]
    assert await reason_of(chain, sign(C)) is Reason.issuer


@pytest.mark.parametrize(
    ("verifiers", "error", "sentence"),
    [
        pytest.param([Strategy()], TypeError, "verifiers is a dict of strategies, .*, not list", id="a list"),
        pytest.param(None, TypeError, "verifiers is a dict of strategies, .*, not NoneType", id="None"),
        pytest.param({}, ValueError, "verifiers is empty: write", id="empty"),
        pytest.param({1: Strategy()}, TypeError, "each key of verifiers is a str, not int", id="a number as a key"),
        pytest.param({"": Strategy()}, ValueError, "each key of verifiers is empty", id="an empty prefix"),
        pytest.param({"gh p": Strategy()}, ValueError, "no token begins with 'gh p'", id="a blank in a prefix"),
        pytest.param({"jwt": None}, TypeError, r"verifiers\['jwt'\] is an object with .*, not NoneType", id="no one"),
        pytest.param({"jwt": JWTVerifier}, TypeError, "not the class JWTVerifier", id="a class"),
        pytest.param(
            {"jwt": Strategy(required_scopes="read")}, TypeError, "required_scopes of a", id="a str of scopes"
        ),
    ],
)
def test_a_chain_that_cannot_be_meant_is_refused(verifiers: Any, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        ChainVerifier(verifiers)


# MultiIssuerVerifier: configured issuers


async def test_every_issuer_has_keys_of_its_own() -> None:
    verifier = MultiIssuerVerifier([jwt(A), jwt(B)])

    tokens = [await verifier.verify_token(sign(issuer)) for issuer in (A, B, A, B)]

    assert [token and token.issuer for token in tokens] == [A, B, A, B]


async def test_a_token_signed_with_the_key_of_one_issuer_does_not_come_in_as_anothers() -> None:
    verifier = MultiIssuerVerifier([jwt(A), jwt(B)], resolve=directory(C))

    for named, signer in [(A, B), (B, A), (A, C), (C, A)]:
        assert await reason_of(verifier, sign(named, KEYS[signer])) is Reason.signature


async def test_a_strategy_that_compares_no_issuer_is_asked_about_its_own_alone() -> None:
    a, b = Strategy("of a"), Strategy("of b")
    verifier = MultiIssuerVerifier({A: a, B: b})

    await verifier.verify_token(unsigned({"iss": B}))

    assert (a.asked, len(b.asked)) == ([], 1)


@pytest.mark.parametrize(
    "issuer",
    [C, A[:-1], A + "/", A + " ", A.upper(), "https://A.example/", "", "a", A + "\0", A * 500, "\u0430" + A],
    ids=ascii,
)
async def test_an_issuer_that_is_not_spelled_as_configured_is_refused(issuer: str) -> None:
    strategy = Strategy()

    assert await reason_of(MultiIssuerVerifier({A: strategy}), unsigned({"iss": issuer})) is Reason.issuer
    assert strategy.asked == []


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        pytest.param(unsigned({}), Reason.missing_claim, id="none"),
        pytest.param(unsigned({"iss": None}), Reason.claim_type, id="null"),
        pytest.param(unsigned({"iss": [A]}), Reason.claim_type, id="a list"),
        pytest.param(unsigned({"iss": [A, B]}), Reason.claim_type, id="a list of two"),
        pytest.param(unsigned({"iss": {A: B}}), Reason.claim_type, id="an object"),
        pytest.param(unsigned({"iss": 1}), Reason.claim_type, id="a number"),
        pytest.param(unsigned({"iss": True}), Reason.claim_type, id="a boolean"),
        pytest.param(unsigned(f'{{"iss":"{A}","iss":"{B}"}}'), Reason.malformed, id="two"),
        pytest.param(unsigned(f'{{"iss":"{A}","\\u0069ss":"{B}"}}'), Reason.malformed, id="two, one of them escaped"),
        pytest.param(unsigned({"Iss": A, "ISS": A}), Reason.missing_claim, id="in another case"),
        pytest.param(unsigned('{"iss":"\\ud800"}'), Reason.malformed, id="a lone surrogate"),
        pytest.param(unsigned({"iss": A * 10_000}), Reason.malformed, id="longer than any payload may be"),
        pytest.param(unsigned([A]), Reason.malformed, id="a payload that is a list"),
        pytest.param(unsigned("{"), Reason.malformed, id="a payload that is no JSON"),
        pytest.param(unsigned({"iss": A}, '{"alg":1}'), Reason.malformed, id="a header that is none"),
        pytest.param(unsigned({"iss": A}, '{"alg":"ES256","crit":[]}'), Reason.malformed, id="crit"),
        pytest.param(unsigned({"iss": A}) + "!", Reason.malformed, id="a signature that is no base64url"),
        pytest.param(unsigned({"iss": A}) + ".a.b", Reason.malformed, id="five parts"),
        pytest.param("\u00e9.a.b", Reason.malformed, id="beyond ASCII"),
        pytest.param(OPAQUE, Reason.malformed, id="opaque, and nobody for it"),
    ],
)
async def test_what_names_no_issuer_is_refused_before_anybody_is_asked(token: str, reason: Reason) -> None:
    strategy, resolve = Strategy(), directory(A, B)

    assert await reason_of(MultiIssuerVerifier({A: strategy}, resolve=resolve), token) is reason
    assert (strategy.asked, resolve.asked) == ([], [])


async def test_opaque_tokens_go_to_their_strategy_and_signed_ones_never_do() -> None:
    opaque = StaticTokenVerifier({OPAQUE: {"client_id": "robot"}})
    verifier = MultiIssuerVerifier([jwt(A)], opaque=opaque)

    token = await verifier.verify_token(OPAQUE)

    assert token is not None
    assert token.client_id == "robot"
    assert await reason_of(verifier, OPAQUE + "x") is Reason.inactive
    assert await reason_of(verifier, sign(B)) is Reason.issuer
    assert await reason_of(verifier, "..") is Reason.malformed


@pytest.mark.parametrize("token", [OPAQUE, "", "a.b", "a.b.c.d", "a.b.c.d.e"], ids=ascii)
async def test_whatever_is_not_of_three_parts_counts_as_opaque(token: str) -> None:
    verifier = MultiIssuerVerifier([jwt(A)], opaque=Strategy("opaque"))

    found = await verifier.verify_token(token)

    assert found is not None
    assert found.client_id == "opaque"


async def test_a_verifier_of_several_issuers_serves_each_of_them() -> None:
    verifier = MultiIssuerVerifier([jwt(A, issuer=[A, C]), jwt(B)])

    token = await verifier.verify_token(sign(C, KEYS[A]))

    assert token is not None
    assert token.issuer == C


async def test_a_token_that_was_good_is_verified_again_every_time() -> None:
    clock = Clock(NOW)
    verifier = MultiIssuerVerifier([jwt(A, clock=clock), jwt(B)])
    token = sign(A, exp=NOW + 60)
    await verifier.verify_token(token)
    clock.advance(91)

    assert await reason_of(verifier, token) is Reason.expired


async def test_a_token_that_is_refused_with_none_stays_refused_and_is_looked_at_anew() -> None:
    strategy = Strategy(None)
    verifier = MultiIssuerVerifier({A: strategy})
    token = unsigned({"iss": A})

    assert [await verifier.verify_token(token) for _ in range(2)] == [None, None]

    strategy.answer = "app"
    assert await verifier.verify_token(token) is not None


async def test_more_tokens_than_are_remembered_are_all_good() -> None:
    verifier = MultiIssuerVerifier({A: Strategy("a"), B: Strategy("b")})
    tokens = [(issuer[8], unsigned({"iss": issuer, "n": n})) for n in range(2_500) for issuer in (A, B)]

    for _ in range(2):
        for client_id, token in tokens:
            found = await verifier.verify_token(token)
            assert found is not None
            assert found.client_id == client_id


@pytest.mark.parametrize(
    ("verifiers", "options", "error", "sentence"),
    [
        pytest.param([], {}, ValueError, "verifiers is empty: name at least one", id="nobody"),
        pytest.param({}, {}, ValueError, "verifiers is empty: name at least one", id="nobody in a dict"),
        pytest.param(jwt(A), {}, TypeError, "verifiers is a list of .*, not JWTVerifier", id="one without a list"),
        pytest.param("abc", {}, TypeError, "verifiers is a list of .*, not str", id="a str"),
        pytest.param([jwt(A), jwt(A)], {}, ValueError, f"two verifiers have the issuer '{A}'", id="one issuer twice"),
        pytest.param([Strategy()], {}, ValueError, "each of verifiers has an issuer", id="without an issuer"),
        pytest.param([None], {}, TypeError, "each of verifiers is an object .*, not NoneType", id="no strategy"),
        pytest.param([JWTVerifier], {}, TypeError, "not the class JWTVerifier", id="a class"),
        pytest.param({1: Strategy()}, {}, TypeError, "each issuer of verifiers is a str", id="a number as issuer"),
        pytest.param({"": Strategy()}, {}, ValueError, "each issuer of verifiers is empty", id="an empty issuer"),
        pytest.param({A: jwt(B)}, {}, ValueError, "has another issuer", id="another issuer than the verifier's"),
        pytest.param({A: 1}, {}, TypeError, r"verifiers\['https.*, not int", id="a number as strategy"),
        pytest.param([jwt(A)], {"opaque": 1}, TypeError, "opaque is an object with .*, not int", id="opaque"),
        pytest.param([jwt(A)], {"resolve": 1}, TypeError, "resolve is a function, not int", id="resolve"),
        pytest.param([jwt(A)], {"resolve_ttl": 0}, ValueError, "resolve_ttl is .*1 or more", id="resolve_ttl"),
        pytest.param([jwt(A)], {"resolve_timeout": 0}, ValueError, "resolve_timeout is a number", id="timeout"),
        pytest.param([jwt(A)], {"max_tenants": 0}, ValueError, "max_tenants is 1 or more", id="max_tenants"),
        pytest.param([jwt(A)], {"monotonic": 0}, TypeError, "monotonic is a function", id="monotonic"),
        pytest.param({A: Strategy(required_scopes="a")}, {}, TypeError, "not a str: write", id="a str of scopes"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(
    verifiers: Any, options: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        MultiIssuerVerifier(verifiers, **options)


# MultiIssuerVerifier: issuers that are known at run time only


async def test_a_tenant_is_asked_for_once_and_a_configured_issuer_never() -> None:
    resolve = directory(B)
    verifier = MultiIssuerVerifier([jwt(A)], resolve=resolve)

    tokens = [await verifier.verify_token(sign(issuer)) for issuer in (A, B, B, A)]
    other = await verifier.verify_token(sign(B, sub="bob"))

    assert [token and token.issuer for token in tokens] == [A, B, B, A]
    assert other is not None
    assert resolve.asked == [B]


@pytest.mark.parametrize("answer", [None, InvalidToken(Reason.inactive), jwt(A)], ids=["None", "a no", "another's"])
async def test_an_issuer_that_is_no_tenant_is_refused_and_not_asked_for_again_for_five_seconds(answer: Any) -> None:
    resolve, clock = Directory(), Clock()
    if isinstance(answer, Exception):
        resolve.failure = answer
    else:
        resolve.tenants[C] = answer
    verifier = MultiIssuerVerifier([], resolve=resolve, monotonic=clock)

    assert [await reason_of(verifier, sign(C, sub=str(n))) for n in range(3)] == [Reason.issuer] * 3
    assert resolve.asked == [C]

    clock.advance(5)
    resolve.failure, resolve.tenants[C] = None, jwt(C)
    assert await verifier.verify_token(sign(C)) is not None


@pytest.mark.parametrize(
    "issuer", ["", " ", "a b", "a\n", "\0", "\u00e9", "x" * 2049, "'; drop table tenants; --\t"], ids=ascii
)
async def test_nobody_is_asked_about_what_is_no_issuer(issuer: str) -> None:
    resolve = directory(A)

    assert await reason_of(MultiIssuerVerifier([], resolve=resolve), unsigned({"iss": issuer})) is Reason.issuer
    assert resolve.asked == []


async def test_a_thousand_requests_for_one_tenant_ask_once() -> None:
    resolve = directory(A)
    resolve.gate = anyio.Event()
    verifier = MultiIssuerVerifier([], resolve=resolve)

    async with anyio.create_task_group() as group:
        group.start_soon(open_when_asked, resolve)
        found = await results(verifier.verify_token, [sign(A, sub=str(n)) for n in range(1000)])

    assert {token.issuer for token in found} == {A}
    assert resolve.asked == [A]


async def open_when_asked(resolve: Directory) -> None:
    while not resolve.asked:
        await anyio.lowlevel.checkpoint()
    await landed()
    assert resolve.gate is not None
    resolve.gate.set()


async def test_the_end_of_the_request_that_asked_first_harms_nobody() -> None:
    resolve = directory(A)
    resolve.gate = anyio.Event()
    verifier = MultiIssuerVerifier([], resolve=resolve)
    leader = anyio.CancelScope()

    async def lead() -> None:
        with leader:
            await verifier.verify_token(sign(A))

    async with anyio.create_task_group() as group:
        group.start_soon(lead)
        while not resolve.asked:
            await anyio.lowlevel.checkpoint()
        group.start_soon(open_when_asked, resolve)
        leader.cancel()
        found = await results(verifier.verify_token, [sign(A, sub=str(n)) for n in range(10)])

    assert leader.cancelled_caught
    assert [token.issuer for token in found] == [A] * 10
    assert resolve.asked == [A]


async def test_resolve_sees_nothing_of_the_request_that_asked_first() -> None:
    whose = contextvars.ContextVar("whose", default="nobody's")
    seen: list[str] = []

    async def resolve(issuer: str) -> TokenVerifier | None:
        seen.append(whose.get())
        return jwt(issuer)

    whose.set("alice's")
    await MultiIssuerVerifier([], resolve=resolve).verify_token(sign(A))

    assert seen == ["nobody's"]


@pytest.mark.parametrize("failure", [OSError("postgres://user:password@db"), TimeoutError(), KeyError(A)], ids=repr)
async def test_a_resolve_that_raises_is_an_outage_and_not_a_refusal(
    failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    resolve, clock = directory(A), Clock()
    resolve.failure = failure
    verifier = MultiIssuerVerifier([], resolve=resolve, monotonic=clock)

    for _ in range(3):
        with pytest.raises(VerifierUnavailable, match=f"resolve ended in {type(failure).__name__}"):
            await verifier.verify_token(sign(A))
    assert resolve.asked == [A]
    assert caplog.messages == [
        f"whether an issuer is a tenant cannot be known: resolve ended in {type(failure).__name__}"
    ]

    clock.advance(1)
    resolve.failure = None
    assert await verifier.verify_token(sign(A)) is not None


async def test_a_resolve_that_cannot_know_says_when_to_come_back() -> None:
    resolve = directory(A)
    resolve.failure = VerifierUnavailable("the table of tenants is being moved", 17)

    with pytest.raises(VerifierUnavailable, match="is being moved") as caught:
        await MultiIssuerVerifier([], resolve=resolve).verify_token(sign(A))

    assert caught.value.retry_after == 17
    assert caught.value is not resolve.failure


async def test_a_resolve_that_hangs_is_given_up_and_holds_nobody_after_that() -> None:
    resolve, clock = directory(A), Clock()
    resolve.gate = anyio.Event()
    verifier = MultiIssuerVerifier([], resolve=resolve, resolve_timeout=0.01, monotonic=clock)

    found = await results(verifier.verify_token, [sign(A, sub=str(n)) for n in range(5)])
    assert [str(error) for error in found] == ["503 resolve ended in TimeoutError"] * 5
    assert resolve.asked == [A]

    resolve.gate.set()
    clock.advance(1)
    assert await verifier.verify_token(sign(A)) is not None


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        pytest.param(True, "resolve returned bool: it returns a strategy, or None", id="a boolean"),
        pytest.param(False, "resolve returned bool: it returns a strategy, or None", id="a false boolean"),
        pytest.param(A, "resolve returned str: it returns a strategy, or None", id="a str"),
        pytest.param(JWTVerifier, "resolve returned the class JWTVerifier", id="a class"),
    ],
)
async def test_an_answer_of_the_wrong_type_is_a_bug_that_lets_nobody_in(answer: Any, sentence: str) -> None:
    verifier = MultiIssuerVerifier([], resolve=Directory(**{A: answer}))

    errors = await results(verifier.verify_token, [sign(A)] * 3)

    for error in errors:
        assert type(error) is TypeError
        assert sentence in str(error)
    assert len({id(error) for error in errors}) == 3


async def test_a_resolve_that_is_not_async_is_a_bug_that_lets_nobody_in() -> None:
    def resolve(issuer: str) -> TokenVerifier:
        return jwt(issuer)

    with pytest.raises(TypeError, match="resolve is an async function, but it returned JWTVerifier"):
        await MultiIssuerVerifier([], resolve=resolve).verify_token(sign(A))  # type: ignore[arg-type]


async def test_a_bug_in_resolve_is_a_500_at_the_door_and_an_outage_a_503() -> None:
    resolve = Directory(**{A: "no strategy"})
    door = BearerMiddleware(Echo(), MultiIssuerVerifier([], resolve=resolve))

    async with client_for(door) as client:
        with pytest.raises(TypeError):
            await client.get("/", headers=bearer(sign(A)))
        resolve.failure = OSError()
        answer = await client.get("/", headers=bearer(sign(B)))

    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"


@pytest.mark.parametrize(
    "wrap",
    [lambda resolve: resolve, functools.partial, lambda resolve: resolve.__call__],
    ids=["an object", "a partial", "a method"],
)
async def test_whatever_can_be_called_and_awaited_serves_as_resolve(wrap: Any) -> None:
    verifier = MultiIssuerVerifier([], resolve=wrap(directory(A)))

    assert await verifier.verify_token(sign(A)) is not None


# How long an answer of resolve counts


async def test_a_tenant_is_asked_for_again_ahead_of_time_while_requests_go_on() -> None:
    resolve, clock = directory(A), Clock()
    verifier = MultiIssuerVerifier([], resolve=resolve, resolve_ttl=100, monotonic=clock)
    await verifier.verify_token(sign(A))
    resolve.gate = anyio.Event()

    clock.advance(79)
    await verifier.verify_token(sign(A))
    assert resolve.asked == [A]

    clock.advance(1)
    for _ in range(10):
        assert await verifier.verify_token(sign(A)) is not None
        await landed()
    assert resolve.asked == [A, A]

    resolve.gate.set()
    await landed()
    clock.advance(79)
    await verifier.verify_token(sign(A))
    assert resolve.asked == [A, A]


async def test_a_tenant_that_is_gone_is_refused_when_its_time_is_over_its_good_tokens_included() -> None:
    resolve, clock = directory(A), Clock()
    verifier = MultiIssuerVerifier([], resolve=resolve, resolve_ttl=100, monotonic=clock)
    token = sign(A)
    await verifier.verify_token(token)
    del resolve.tenants[A]

    clock.advance(100)

    assert await reason_of(verifier, token) is Reason.issuer


async def test_a_tenant_found_to_be_gone_ahead_of_time_is_refused_from_then_on() -> None:
    resolve, clock = directory(A), Clock()
    verifier = MultiIssuerVerifier([], resolve=resolve, resolve_ttl=100, monotonic=clock)
    await verifier.verify_token(sign(A))
    del resolve.tenants[A]

    clock.advance(80)
    assert await verifier.verify_token(sign(A)) is not None
    await landed()

    assert await reason_of(verifier, sign(A)) is Reason.issuer


async def test_what_resolve_returns_later_takes_the_place_of_what_it_returned_before() -> None:
    resolve, clock = directory(A), Clock()
    verifier = MultiIssuerVerifier([], resolve=resolve, resolve_ttl=100, monotonic=clock)
    await verifier.verify_token(sign(A))
    resolve.tenants[A] = jwt(A, audience="https://other.example")

    clock.advance(100)

    assert await reason_of(verifier, sign(A)) is Reason.audience


async def test_in_an_outage_of_resolve_tenants_go_on_for_a_day_and_nobody_waits() -> None:
    resolve, clock = directory(A), Clock()
    verifier = MultiIssuerVerifier([], resolve=resolve, monotonic=clock)
    await verifier.verify_token(sign(A))
    resolve.failure = OSError()

    for _ in range(86_400 // 60 - 1):
        clock.advance(60)
        assert await verifier.verify_token(sign(A)) is not None
        await landed()
    assert len(resolve.asked) < 86_400 // 60 + 1

    clock.advance(300)
    with pytest.raises(VerifierUnavailable):
        await verifier.verify_token(sign(A))

    clock.advance(1)
    resolve.failure = None
    assert await verifier.verify_token(sign(A)) is not None


async def test_while_resolve_hangs_a_busy_tenants_requests_never_wait_for_it() -> None:
    resolve, clock = directory(A), Clock()
    verifier = MultiIssuerVerifier([], resolve=resolve, resolve_ttl=100, monotonic=clock)
    await verifier.verify_token(sign(A))
    resolve.gate, resolve.failure = anyio.Event(), OSError()

    for _ in range(300):
        clock.advance(1)
        with anyio.CancelScope() as scope:
            scope.deadline = anyio.current_time()  # whatever waits is cancelled at once
            assert await verifier.verify_token(sign(A)) is not None
        assert not scope.cancelled_caught
        if clock() % 5 == 0:  # it is given up five seconds after it was asked
            resolve.gate.set()
            await landed()
            resolve.gate = anyio.Event()
    resolve.gate.set()
    await landed()

    assert len(resolve.asked) > 10


async def test_an_answer_of_the_wrong_type_puts_a_tenant_out() -> None:
    resolve, clock = directory(A), Clock()
    verifier = MultiIssuerVerifier([], resolve=resolve, resolve_ttl=100, monotonic=clock)
    await verifier.verify_token(sign(A))
    resolve.tenants[A] = "no strategy"

    clock.advance(100)

    with pytest.raises(TypeError):
        await verifier.verify_token(sign(A))


# Floods


async def test_a_flood_of_invented_issuers_pushes_no_tenant_out_and_leaves_little_behind() -> None:
    resolve, clock = directory(A, B), Clock()
    verifier = MultiIssuerVerifier([], resolve=resolve, monotonic=clock)
    await verifier.verify_token(sign(A))
    await verifier.verify_token(sign(B))

    for number in range(5_000):
        with pytest.raises(InvalidToken):
            await verifier.verify_token(unsigned({"iss": f"https://invented-{number}.example"}))
    assert await verifier.verify_token(sign(A)) is not None
    assert await verifier.verify_token(sign(B)) is not None

    assert resolve.asked[:2] == [A, B]
    assert not {A, B} & set(resolve.asked[2:])
    first = "https://invented-0.example"
    assert await reason_of(verifier, unsigned({"iss": first})) is Reason.issuer
    assert resolve.asked[-1] == first  # forgotten long since: only the last ones are remembered


async def test_a_flood_at_once_asks_about_64_issuers_and_tells_the_others_to_come_back() -> None:
    resolve, clock = directory(A, B), Clock()
    verifier = MultiIssuerVerifier([], resolve=resolve, resolve_ttl=100, monotonic=clock)
    await verifier.verify_token(sign(A))
    resolve.gate = anyio.Event()
    clock.advance(100)  # A's answer has run out, so it must be asked for in the middle of the flood
    tokens = [unsigned({"iss": f"https://invented-{number}.example"}) for number in range(1_000)]

    async with anyio.create_task_group() as group:
        group.start_soon(open_when_asked, resolve)
        found = await results(verifier.verify_token, [*tokens, sign(B), sign(A)])

    *strangers, tenant = found
    assert isinstance(tenant, AccessToken)
    assert sum(isinstance(outcome, VerifierUnavailable) for outcome in strangers) == 1_001 - 64
    assert resolve.most_at_once == 64 + 1
    assert await verifier.verify_token(sign(B)) is not None


async def test_more_tenants_than_are_remembered_are_asked_for_again_the_oldest_first() -> None:
    resolve = directory(A, B, C)
    verifier = MultiIssuerVerifier([], resolve=resolve, max_tenants=2)

    for issuer in (A, B, C, B, C, A):
        assert await verifier.verify_token(sign(issuer)) is not None

    assert resolve.asked == [A, B, C, A]


def test_an_event_loop_that_ends_while_resolve_hangs_leaves_no_place_taken() -> None:
    resolve = directory(A)
    verifier = MultiIssuerVerifier([], resolve=resolve)

    async def give_up() -> None:
        resolve.gate = anyio.Event()
        async with anyio.create_task_group() as group:
            for number in range(64):
                group.start_soon(verifier.verify_token, unsigned({"iss": f"https://invented-{number}.example"}))
            while len(resolve.asked) < 64:
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()

    async def come_in() -> AccessToken | None:
        resolve.gate = None
        return await verifier.verify_token(sign(A))

    anyio.run(give_up)

    assert anyio.run(come_in) is not None


def test_threads_with_loops_of_their_own_share_what_was_resolved() -> None:
    resolve = directory(A, B, C)
    verifier = MultiIssuerVerifier([], resolve=resolve, max_tenants=2)
    failures: list[BaseException] = []

    async def work() -> None:
        for number in range(50):
            issuer = (A, B, C)[number % 3]
            token = await verifier.verify_token(sign(issuer, sub=str(number % 5)))
            assert token is not None
            assert token.issuer == issuer

    def run() -> None:
        try:
            anyio.run(work)
        except BaseException as error:  # noqa: BLE001  # told by the test
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []


# Challenges, start and end


@pytest.mark.parametrize(
    ("scopes", "common"),
    [
        pytest.param([["read"], ["read"]], ("read",), id="the same"),
        pytest.param([["write", "read"], ["read", "write"]], ("write", "read"), id="in another order"),
        pytest.param([["read", "a"], ["b", "read"]], ("read",), id="one in common"),
        pytest.param([["read"], []], (), id="none in one"),
        pytest.param([["read"], None], (), id="no attribute of use"),
    ],
)
def test_the_challenge_names_the_scopes_that_every_strategy_requires(
    scopes: list[Any], common: tuple[str, ...]
) -> None:
    first, second = (Strategy(required_scopes=required) for required in scopes)

    assert ChainVerifier({"jwt": first, "opaque": second}).required_scopes == common
    assert MultiIssuerVerifier({A: first, B: second}).required_scopes == common
    assert MultiIssuerVerifier({A: first}, opaque=second).required_scopes == common
    assert MultiIssuerVerifier({A: first}, resolve=directory(B)).required_scopes == ()


async def test_the_scopes_of_the_chosen_strategy_stand_in_its_own_refusal() -> None:
    resolve = Directory(**{C: jwt(C, required_scopes=["third"])})
    issuers = [jwt(A, required_scopes=["first"]), jwt(B, required_scopes=["second"])]
    door = BearerMiddleware(Echo(), MultiIssuerVerifier(issuers, resolve=resolve), required_scopes=["read"])

    async with client_for(door) as client:
        answers = [await client.get("/", headers=bearer(sign(issuer))) for issuer in (A, B, C)]

    assert [answer.status_code for answer in answers] == [403] * 3
    challenges = [answer.headers["www-authenticate"] for answer in answers]
    assert ['scope="read first"' in challenges[0], 'scope="read second"' in challenges[1]] == [True, True]
    assert 'scope="read third"' in challenges[2]


class Remote(Strategy):
    """A strategy that fetches at the start and closes at the end."""

    def __init__(self, failure: Exception | None = None) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.failure = failure

    async def prefetch(self) -> None:
        await self._call("prefetch")

    async def aclose(self) -> None:
        await self._call("aclose")

    async def _call(self, name: str) -> None:
        await anyio.lowlevel.checkpoint()
        self.calls.append(name)
        if self.failure is not None:
            raise self.failure


def both(*strategies: Any) -> list[Any]:
    """Return a chain and a verifier of several issuers with these strategies."""
    chain = ChainVerifier({f"{number}_": strategy for number, strategy in enumerate(strategies)})
    *signed, opaque = strategies
    return [chain, MultiIssuerVerifier(dict(zip((A, B, C), signed, strict=False)), opaque=opaque)]


@pytest.mark.parametrize("method", ["prefetch", "aclose"])
@pytest.mark.parametrize("which", [0, 1], ids=["chain", "issuers"])
async def test_every_strategy_starts_and_ends_once_wherever_it_stands(method: str, which: int) -> None:
    first, second = Remote(), Remote()
    verifier = both(first, Strategy(), first, second)[which]

    await getattr(verifier, method)()

    assert (first.calls, second.calls) == ([method], [method])


@pytest.mark.parametrize("method", ["prefetch", "aclose"])
@pytest.mark.parametrize("which", [0, 1], ids=["chain", "issuers"])
async def test_one_that_cannot_start_or_end_keeps_no_other_from_it(method: str, which: int) -> None:
    down = [Remote(VerifierUnavailable("one is down", 3)), Remote(VerifierUnavailable("another is down", 7))]
    good = [Remote(), Remote()]
    verifier = both(down[0], good[0], down[1], good[1])[which]

    with pytest.raises(VerifierUnavailable) as caught:
        await getattr(verifier, method)()

    assert caught.value.message == "another is down; one is down"
    assert caught.value.retry_after == 7
    assert [strategy.calls for strategy in good] == [[method]] * 2


@pytest.mark.parametrize("which", [0, 1], ids=["chain", "issuers"])
async def test_a_bug_at_the_start_is_told_before_an_outage_and_after_all_have_started(which: int) -> None:
    bug, good = LookupError("a bug"), Remote()
    verifier = both(Remote(VerifierUnavailable("down")), Remote(bug), good)[which]

    with pytest.raises(LookupError) as caught:
        await verifier.prefetch()

    assert caught.value is bug
    assert good.calls == ["prefetch"]


async def test_strategies_that_are_not_hashable_or_say_to_be_equal_are_told_apart() -> None:
    first, second = Odd("first"), Odd("second")
    closed: list[str] = []

    async def close(name: str) -> None:
        closed.append(name)

    first.aclose, second.aclose = (functools.partial(close, name) for name in ("first", "second"))  # type: ignore[attr-defined]

    for verifier in both(first, second):
        await verifier.aclose()

    assert sorted(closed) == ["first", "first", "second", "second"]


async def test_strategies_that_are_false_are_asked_all_the_same() -> None:
    configured, opaque, tenant = Odd("configured"), Odd("opaque"), Odd("tenant")
    verifier = MultiIssuerVerifier({A: configured}, opaque=opaque, resolve=Directory(**{B: tenant}))

    found = [await verifier.verify_token(token) for token in (sign(A), OPAQUE, sign(B), sign(B))]

    assert [token and token.client_id for token in found] == ["configured", "opaque", "tenant", "tenant"]
    assert await ChainVerifier({"jwt": configured}).verify_token(sign(A)) is not None


async def test_the_verifiers_of_tenants_are_closed_too_and_serve_again_afterwards() -> None:
    tenant = Remote()
    resolve = Directory(**{A: tenant, B: tenant})
    verifier = MultiIssuerVerifier([], resolve=resolve)
    for issuer in (A, B):
        await verifier.verify_token(unsigned({"iss": issuer}))

    await verifier.aclose()

    assert tenant.calls == ["aclose"]
    assert await verifier.verify_token(unsigned({"iss": A})) is not None
    assert resolve.asked == [A, B]


async def test_nothing_is_asked_of_anybody_before_the_first_token() -> None:
    remote, resolve = Remote(), directory(B)

    MultiIssuerVerifier({A: remote}, resolve=resolve)
    ChainVerifier({"jwt": remote})
    await landed()

    assert (remote.calls, remote.asked, resolve.asked) == ([], [], [])


async def test_no_issuer_that_a_stranger_wrote_stands_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    resolve = Directory(**{"https://stranger.example": jwt(A)})
    door = BearerMiddleware(Echo(), MultiIssuerVerifier([], resolve=resolve))

    async with client_for(door) as client:
        for failure in (None, OSError("https://stranger.example")):
            resolve.failure = failure
            for issuer in ("https://stranger.example", "https://stranger.example/2"):
                await client.get("/", headers=bearer(unsigned({"iss": issuer})))

    assert "refused" in caplog.text
    assert "stranger" not in caplog.text
