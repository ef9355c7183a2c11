"""Over real sockets: streams and websockets end with their token, and every server's client can tell how."""

import secrets
from collections.abc import Iterator
from functools import partial

import httpx2
import pytest
from serving import SERVERS, START_SECONDS, serving
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Subprotocol

TOKEN = f"token-{secrets.token_hex(8)}"
BEARER = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module", params=SERVERS)
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    with serving(request.param, "frameworks.apps.lived:app", {"LIVED_TOKEN": TOKEN}, [TOKEN]) as server:
        yield server.port
        # What was broken off on purpose may be said, and nothing else may have gone wrong.
        assert "Traceback" not in server.new_output()


@pytest.fixture
def client(port: int) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=START_SECONDS, trust_env=False) as client:
        yield client


def test_ll1_a_stream_of_events_comes_to_its_end(client: httpx2.Client) -> None:
    with client.stream("GET", "/events", headers=BEARER) as reply:
        content = b"".join(reply.iter_raw())

    assert reply.status_code == 200
    assert set(content.split(b"\n\n")) == {b"data: tick", b""}


def test_ll1_a_download_is_broken_off_so_that_nobody_takes_it_for_whole(client: httpx2.Client) -> None:
    with (
        client.stream("GET", "/download", headers=BEARER) as reply,
        pytest.raises(httpx2.RemoteProtocolError),
    ):
        for _ in reply.iter_raw():
            pass


@pytest.mark.parametrize("way", ["header", "subprotocol"])
def test_ll1_a_websocket_is_closed_with_3000(port: int, way: str) -> None:
    offered = [Subprotocol("bearer"), Subprotocol(TOKEN)] if way == "subprotocol" else None
    headers = BEARER if way == "header" else None
    with connect(
        f"ws://127.0.0.1:{port}/ws", additional_headers=headers, subprotocols=offered, proxy=None
    ) as websocket:
        assert websocket.subprotocol == ("bearer" if way == "subprotocol" else None)
        assert websocket.recv(timeout=10) == "tick"
        with pytest.raises(ConnectionClosed) as closed:
            list(iter(partial(websocket.recv, timeout=10), None))

    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (3000, "the token has ended")


def test_a_client_that_leaves_before_that_is_no_trouble(port: int, client: httpx2.Client) -> None:
    with client.stream("GET", "/events", headers=BEARER) as reply:
        assert next(reply.iter_raw()).startswith(b"data: tick")
    with connect(f"ws://127.0.0.1:{port}/ws", additional_headers=BEARER, proxy=None) as websocket:
        assert websocket.recv(timeout=10) == "tick"

    assert client.get("/events").status_code == 401
