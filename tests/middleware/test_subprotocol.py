"""Tokens of browsers: as a subprotocol of a websocket, where that was asked for (RFC 6455 section 1.9)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from fakes import call, http_scope, websocket_scope

from asgi_bearer import BearerMiddleware, StaticTokenVerifier, get_access_token
from asgi_bearer.rules.credentials import MAX_TOKEN_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from leaks import Watch

pytestmark = pytest.mark.anyio

TOKEN = "aaa.bbb-ccc_ddd"
CONNECT = {"type": "websocket.connect"}
DENIAL: dict[str, Any] = {"websocket.http.response": {}}


@pytest.fixture(autouse=True)
def _watch_the_token(watch: Watch) -> None:
    watch.secrets |= {TOKEN}


class Socket:
    """Accepts with `chosen`, where there is one, and says who came and what was offered."""

    def __init__(self, **chosen: Any) -> None:
        self.chosen = chosen

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        caller = get_access_token()
        await send({"type": "websocket.accept", **self.chosen})
        told = {"caller": caller and caller.client_id, "offered": scope.get("subprotocols")}
        await send({"type": "websocket.send", "text": json.dumps(told)})


def door(app: Any = None, **options: Any) -> BearerMiddleware:
    verifier = StaticTokenVerifier({TOKEN: {"client_id": "app"}})
    return BearerMiddleware(app or Socket(), verifier, **{"websocket_subprotocol": "bearer", **options})


async def open_socket(
    guarded: Any, offered: Sequence[str] | None, *headers: tuple[bytes, bytes]
) -> list[dict[str, Any]]:
    scope = websocket_scope(*headers, extensions=DENIAL)
    if offered is not None:
        scope["subprotocols"] = list(offered)
    return await call(guarded, scope, CONNECT)


async def told(guarded: Any, offered: Sequence[str]) -> tuple[Any, dict[str, Any]]:
    accept, sent = await open_socket(guarded, offered)
    return accept.get("subprotocol"), json.loads(sent["text"])


@pytest.mark.parametrize(
    ("offered", "left"),
    [
        (["bearer", TOKEN], []),
        (["bearer", TOKEN, "chat"], ["chat"]),
        (["chat", "bearer", TOKEN, "other"], ["chat", "other"]),
    ],
)
async def test_as6_the_token_behind_the_marker_lets_in_and_the_application_sees_neither(
    offered: list[str], left: list[str]
) -> None:
    assert await told(door(), offered) == ("bearer", {"caller": "app", "offered": left})


@pytest.mark.parametrize(("chosen", "answered"), [({"subprotocol": "chat"}, "chat"), ({"subprotocol": None}, "bearer")])
async def test_as6_what_the_application_chooses_is_answered_else_the_marker(chosen: Any, answered: str) -> None:
    assert (await told(door(Socket(**chosen)), ["bearer", TOKEN, "chat"]))[0] == answered


@pytest.mark.parametrize(
    ("offered", "status"),
    [
        (None, 401),
        ([], 401),
        ([TOKEN], 401),
        (["Bearer", TOKEN], 401),
        (["chat"], 401),
        (["bearer", "wrong"], 401),
        (["bearer", "a" * (MAX_TOKEN_BYTES + 1)], 401),
        (["bearer"], 400),
        ([TOKEN, "bearer"], 400),
        (["bearer", ""], 400),
        (["bearer", "a b"], 400),
        (["bearer", "\u00e9"], 400),
        (["bearer", "="], 400),
        (["bearer", TOKEN, "bearer"], 400),
        (["bearer", "bearer"], 400),
    ],
)
async def test_as6_anything_else_is_refused(offered: list[str] | None, status: int) -> None:
    sent = await open_socket(door(), offered)

    assert (sent[0]["type"], sent[0]["status"]) == ("websocket.http.response.start", status)


async def test_as6_one_way_at_a_time() -> None:
    header = (b"authorization", f"Bearer {TOKEN}".encode())

    assert (await open_socket(door(), ["bearer", TOKEN], header))[0]["status"] == 400
    assert (await open_socket(door(), ["chat"], header))[0]["type"] == "websocket.accept"


async def test_as6_it_is_a_way_only_where_it_was_asked_for() -> None:
    assert (await open_socket(door(websocket_subprotocol=None), ["bearer", TOKEN]))[0]["status"] == 401


async def test_as6_it_is_no_way_for_requests() -> None:
    header = (b"sec-websocket-protocol", f"bearer, {TOKEN}".encode())

    assert (await call(door(), http_scope(header, subprotocols=["bearer", TOKEN])))[0]["status"] == 401


@pytest.mark.parametrize("options", [{"public": ["/"]}, {"optional": True}])
async def test_a_browser_gets_its_answer_where_nobody_looks_at_tokens_or_none_is_there(options: dict[str, Any]) -> None:
    is_public = "public" in options
    offered = ["bearer", "whatever"] if is_public else ["chat"]

    answered, seen = await told(door(**options), offered)

    assert answered == ("bearer" if is_public else None)
    assert seen == {"caller": None, "offered": [] if is_public else ["chat"]}


async def test_a_wrong_token_on_an_optional_door_is_refused() -> None:
    assert (await open_socket(door(optional=True), ["bearer", "wrong"]))[0]["status"] == 401


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("", ValueError),
        ("a b", ValueError),
        ("a,b", ValueError),
        ("\u00e9", ValueError),
        (5, TypeError),
        (True, TypeError),
    ],
)
def test_a_name_that_no_subprotocol_can_have_is_said_at_construction(name: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="websocket_subprotocol is the name of a subprotocol, such as 'bearer', not "):
        door(websocket_subprotocol=name)
