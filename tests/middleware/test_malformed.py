"""No request, however malformed, gives a 500: whatever bytes the headers hold, the answer is 200, 400 or 401."""

from __future__ import annotations

from typing import Any

import pytest
from fakes import Echo, call, http_scope, websocket_scope
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_bearer import BearerMiddleware, JWTVerifier, StaticTokenVerifier
from asgi_bearer.keys.jose import SigningKey, encode_segment

REPEATABLE = settings(derandomize=True, deadline=None, database=None)
KEY = SigningKey.generate("ES256")
DOORS = {
    "static": BearerMiddleware(Echo(), StaticTokenVerifier({"a-token": {"client_id": "app"}})),
    "jwt": BearerMiddleware(
        Echo(),
        JWTVerifier(jwks={"keys": [KEY.public_jwk("k")]}, issuer="https://idp.example", audience="https://api.example"),
    ),
    "optional": BearerMiddleware(
        Echo(),
        JWTVerifier(public_key=KEY.public_pem, issuer="https://idp.example", audience="https://api.example"),
        optional=True,
        public=["/public"],
    ),
}

SEGMENT = st.one_of(
    st.binary(max_size=40), st.sampled_from([b'{"alg":"ES256"}', b'{"alg":"none"}', b"{}", b"[]", b"1"])
)
COMPACT = st.lists(SEGMENT.map(encode_segment), min_size=1, max_size=6).map(b".".join)
CREDENTIALS = st.one_of(
    st.binary(max_size=60),
    st.binary(max_size=60).map(b"Bearer ".__add__),
    COMPACT.map(b"bearer ".__add__),
    st.text(alphabet='Bearer \t=.,"a\0\u00e9', max_size=30).map(lambda text: text.encode("latin-1")),
    st.just(b"Bearer a-token"),
)
NAME = st.one_of(
    st.binary(max_size=20),
    st.sampled_from([b"authorization", b"Authorization", b"origin", b"access-control-request-method", b"host"]),
)
HEADERS = st.lists(st.tuples(NAME, CREDENTIALS), max_size=5)
METHOD = st.one_of(st.text(max_size=10), st.sampled_from(["GET", "HEAD", "OPTIONS", "POST"]))
PATH = st.one_of(st.text(max_size=20), st.just("/public"))


@pytest.mark.parametrize("name", sorted(DOORS))
@REPEATABLE
@given(headers=HEADERS, method=METHOD, path=PATH, root_path=st.text(max_size=5))
async def test_any_request_is_let_in_or_refused_and_never_an_error(
    name: str, headers: list[tuple[bytes, bytes]], method: str, path: str, root_path: str
) -> None:
    sent = await call(DOORS[name], http_scope(*headers, method=method, path=path, root_path=root_path))

    assert sent[0]["status"] in {200, 400, 401}
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]


@pytest.mark.parametrize("name", sorted(DOORS))
@REPEATABLE
@given(headers=HEADERS)
async def test_any_websocket_is_let_in_or_refused_and_never_an_error(
    name: str, headers: list[tuple[bytes, bytes]]
) -> None:
    scope = websocket_scope(*headers, extensions={"websocket.http.response": {}})

    sent = await call(DOORS[name], scope, {"type": "websocket.connect"})

    assert sent[0]["status"] in {200, 400, 401}


def dressed(payload: bytes, header: bytes = b'{"alg":"ES256","kid":"k"}') -> bytes:
    return b".".join(map(encode_segment, [header, payload, bytes(64)]))


@pytest.mark.parametrize("name", sorted(DOORS))
@pytest.mark.parametrize(
    "token",
    [
        pytest.param(b"." * 16_000, id="dots"),
        pytest.param(b"..", id="nothing in three parts"),
        pytest.param(b"a.b.c.d.e", id="five parts"),
        pytest.param(dressed(b"{}", b"[" * 5_000), id="a deep header"),
        pytest.param(dressed(b'{"a":' * 2_000), id="a deep payload"),
        pytest.param(dressed(b"{}", b'{"alg":"ES256","crit":5}'), id="crit is a number"),
        pytest.param(dressed(b"{}", b'{"alg":["ES256"]}'), id="alg is an array"),
        pytest.param(dressed(b"{}", b'"alg"'), id="the header is a string"),
        pytest.param(dressed(b"{}", b"null"), id="the header is null"),
        pytest.param(dressed(b"{}", b'{"alg":"none"}'), id="no algorithm"),
        pytest.param(dressed(b"{}", b'{"alg":"ES256","kid":"\\ud800"}'), id="a lone surrogate in kid"),
        pytest.param(dressed(b"{}", '{"alg":"ES256"}'.encode("utf-16")), id="UTF-16"),
        pytest.param(dressed(b'{"exp":1e999}'), id="a number that overflows"),
        pytest.param(dressed(b'{"exp":' + b"9" * 5_000 + b"}"), id="a number without end"),
    ],
)
async def test_a_hostile_token_is_a_refused_token(name: str, token: bytes) -> None:
    sent: list[dict[str, Any]] = await call(DOORS[name], http_scope((b"authorization", b"Bearer " + token)))

    assert sent[0]["status"] == 401
