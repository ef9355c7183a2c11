"""No token and no secret in any log record, exception, repr, event or warning, whichever way a request goes."""

from __future__ import annotations

import logging
import traceback
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from fakes import Echo, call, http_scope
from leaks import Watch, watched_logs

from asgi_bearer import (
    BearerMiddleware,
    IntrospectionTokenVerifier,
    JWTVerifier,
    RSAKeyPair,
    StaticTokenVerifier,
)
from asgi_bearer.keys.jose import SigningKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from asgi_bearer import TokenVerifier
    from asgi_bearer.events import Event

pytestmark = pytest.mark.filterwarnings("ignore:IntrospectionTokenVerifier has no server_url")

KEY = SigningKey.generate("ES256")
ISSUER, AUDIENCE = "https://idp.example", "https://api.example"
GOOD = {"iss": ISSUER, "aud": AUDIENCE, "sub": "subject-looked-for", "exp": 4_000_000_000, "scope": "read"}
CLIENT_SECRET = "client-secret-looked-for"
HMAC_SECRET = "hmac-secret-looked-for-and-long-enough-for-it"
OPAQUE = "opaque-token-looked-for"
OTHER = SigningKey.generate("ES256")


def sign(key: SigningKey = KEY, header: dict[str, Any] | None = None, **claims: Any) -> str:
    return key.sign({"typ": "at+jwt", **(header or {})}, {**GOOD, **claims})


TOKENS = {
    "good": sign(),
    "without scope": sign(scope=""),
    "expired": sign(exp=1),
    "not yet valid": sign(nbf=3_999_999_999),
    "another issuer": sign(iss="https://evil.example"),
    "another audience": sign(aud="x"),
    "mistyped": sign(sub=1),
    "another type": sign(header={"typ": "dpop+jwt"}),
    "critical": sign(header={"crit": ["x"]}),
    "another algorithm": sign(header={"alg": "RS256"}),
    "bound": sign(cnf={"jkt": "x"}),
    "forged": sign(OTHER),
    "cut": sign()[:-2],
    "opaque": OPAQUE,
    "too long": OPAQUE * 1_000,
    "malformed": OPAQUE + "{}",
    "twice": OPAQUE + " " + OPAQUE,
}


class Broken:
    """Has a bug, and quotes the token in it."""

    async def verify_token(self, token: str) -> None:
        message = f"at {token}"
        raise RuntimeError(message)


def answering(status: int, body: bytes) -> Any:
    async def endpoint(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": body})

    return endpoint


def introspecting(status: int, body: bytes, auth: Any = "client_secret_basic") -> IntrospectionTokenVerifier:
    return IntrospectionTokenVerifier(
        introspection_endpoint="https://idp.example/introspect",
        client_id="rs",
        client_secret=CLIENT_SECRET,
        client_auth=auth,
        transport=httpx2.ASGITransport(answering(status, body)),
    )


def unreachable() -> IntrospectionTokenVerifier:
    """Ask a port of this machine where nobody listens, over a real pool."""
    return IntrospectionTokenVerifier(
        introspection_endpoint="http://127.0.0.1:1/", client_id="rs", client_secret=CLIENT_SECRET
    )


VERIFIERS: dict[str, Callable[[], TokenVerifier]] = {
    "jwt": lambda: JWTVerifier(public_key=KEY.public_pem, issuer=ISSUER, audience=AUDIENCE),
    "secret": lambda: JWTVerifier(secret=HMAC_SECRET, issuer=ISSUER, audience=AUDIENCE),
    "static": lambda: StaticTokenVerifier({OPAQUE: {"client_id": "app", "scopes": ["read"]}}),
    "active": lambda: introspecting(200, b'{"active":true,"scope":"read","sub":"subject-looked-for"}'),
    "inactive": lambda: introspecting(200, b'{"active":false}', "client_secret_post"),
    "expired": lambda: introspecting(200, b'{"active":true,"exp":1}'),
    "refusing": lambda: introspecting(401, b""),
    "garbage": lambda: introspecting(200, OPAQUE.encode(), "client_secret_post"),
    "unreachable": unreachable,
}


def texts_of(error: BaseException) -> list[str]:
    """Return what is shown of an exception, and of those that it came from."""
    chain: list[BaseException] = []
    found: BaseException | None = error
    while found is not None:
        chain.append(found)
        found = found.__cause__ or found.__context__
    return [*traceback.format_exception(error), *(f"{each!s} {each!r} {each.args!r}" for each in chain)]


@pytest.mark.parametrize("name", VERIFIERS)
async def test_nothing_that_is_shown_of_a_request_holds_a_credential(name: str) -> None:
    watch, events = Watch(), list["Event"]()
    watch.secrets |= {*TOKENS.values(), CLIENT_SECRET, HMAC_SECRET, OPAQUE, "subject-looked-for"}

    with watched_logs(watch, everything=True), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        verifier = VERIFIERS[name]()
        door = BearerMiddleware(Echo(), verifier, required_scopes=["read"], on_event=events.append, expose_reason=True)
        for where, token in TOKENS.items():
            scope = http_scope((b"authorization", b"Bearer " + token.encode()))
            sent = await call(door, scope)
            if sent[0]["status"] != 200:
                watch.look(f"the answer to {where}", repr(sent))
            try:
                watch.look(f"the token of {where}", repr(await verifier.verify_token(token)))
            except Exception as error:  # noqa: BLE001  # every one is looked at
                watch.look(f"the exception at {where}", *texts_of(error))

    watch.look("an event", *map(repr, events), *map(str, events))
    watch.look("a warning", *(str(each.message) for each in warned))
    watch.look("a repr", repr(door), repr(verifier), *map(repr, vars(verifier).values()))
    assert watch.leaks == []
    assert len(events) == len(TOKENS)


async def test_what_the_door_logs_of_a_bug_that_quotes_the_token_does_not_quote_it() -> None:
    watch = Watch()
    watch.secrets.add(OPAQUE)

    with watched_logs(watch, everything=True), pytest.raises(RuntimeError, match=OPAQUE):
        await call(BearerMiddleware(Echo(), Broken()), http_scope((b"authorization", b"Bearer " + OPAQUE.encode())))

    assert watch.leaks == []


def test_no_refused_option_shows_a_secret() -> None:
    pair = RSAKeyPair.generate()
    watch = Watch()
    watch.secrets |= {"looked-for", pair.private_key, pair.private_key[100:150]}
    attempts: list[Callable[[], object]] = [
        lambda: JWTVerifier(secret="looked-for"),
        lambda: JWTVerifier(public_key=pair.private_key),
        lambda: JWTVerifier(public_key="looked-for"),
        lambda: StaticTokenVerifier({"looked-for ": {"client_id": "app"}}),
        lambda: StaticTokenVerifier({"looked-for": {}}),
        lambda: IntrospectionTokenVerifier(introspection_endpoint="/", client_id="rs", client_secret="looked-for"),
        lambda: IntrospectionTokenVerifier(introspection_endpoint="https://u:looked-for@idp.example/"),
    ]

    for attempt in attempts:
        with pytest.raises(ValueError, match=r".") as caught:
            attempt()
        watch.look(str(attempts.index(attempt)), str(caught.value), repr(caught.value), repr(caught.value.__context__))

    assert watch.leaks == []


# The watch itself


@contextmanager
def watched_by(watch: Watch) -> Iterator[logging.Logger]:
    """Give a logger whose records `watch` alone sees."""
    logger = logging.getLogger("watched_alone")
    logger.addHandler(watch)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    try:
        yield logger
    finally:
        logger.removeHandler(watch)


@pytest.mark.parametrize(
    "log",
    [
        pytest.param(lambda logger, text: logger.debug(text), id="the message"),
        pytest.param(lambda logger, text: logger.info("token %s", text), id="an argument"),
        pytest.param(lambda logger, text: logger.info("token %(t)s", {"t": text}), id="an argument by name"),
        pytest.param(lambda logger, text: logger.info("token", extra={"token": text}), id="an extra field"),
        pytest.param(lambda logger, text: logger.info("x", exc_info=ValueError(text)), id="an exception"),
    ],
)
@pytest.mark.parametrize("text", [sign(), "a-secret-that-was-registered"], ids=["a signed token", "a secret"])
def test_the_watch_sees_a_credential_wherever_a_record_holds_it(log: Any, text: str) -> None:
    watch = Watch()
    watch.secrets.add("a-secret-that-was-registered")

    with watched_by(watch) as logger:
        log(logger, text)

    assert len(watch.leaks) == 1


def test_the_watch_lets_other_records_be() -> None:
    watch = Watch()

    with watched_by(watch) as logger:
        logger.info("refused: %s, token %s", "401 expired", "0123abcd", extra={"status": 401})

    assert watch.leaks == []


def test_every_test_is_watched(watch: Watch) -> None:
    logging.getLogger("asgi_bearer").debug("%s", sign())

    assert len(watch.leaks) == 1
    watch.leaks.clear()
