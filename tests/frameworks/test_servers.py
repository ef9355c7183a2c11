"""The suite over real sockets: every server in a process of its own, all applications in each."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import ClassVar

import httpx2
import pytest
from frameworks.apps.dispatcher import APPS
from frameworks.behaviour import (
    HAVE_WEBSOCKET_GUARDS,
    HAVE_WEBSOCKETS,
    Behaviour,
    Client,
    ForApps,
    Place,
    Reply,
    arrivals,
    over,
)
from serving import SERVERS, START_SECONDS, Server, serving
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from asgi_bearer import RSAKeyPair

# The event loop on which a server runs the applications. Django and Quart run on asyncio alone; on trio Quart's sister
# Quart-Trio takes its place, and there is no Django.
BACKENDS = {name: "trio" if name == "hypercorn-trio" else "asyncio" for name in SERVERS}


class OverSockets:
    """Calls the applications of one server."""

    def __init__(self, client: httpx2.Client, server: Server) -> None:
        self.http = client
        self.server = server

    def request(self, method: str, path: str, headers: Sequence[tuple[str, str]] = (), content: bytes = b"") -> Reply:
        reply = self.http.request(method, path, headers=list(headers), content=content)
        return Reply(reply.status_code, reply.headers.multi_items(), reply.content)

    def talk(self, path: str, headers: Sequence[tuple[str, str]], text: str) -> tuple[str, str]:
        with connect(self._websocket_url(path), additional_headers=headers, proxy=None) as websocket:
            first = websocket.recv(timeout=10, decode=True)
            websocket.send(text)
            return first, websocket.recv(timeout=10, decode=True)

    def knock(self, path: str, headers: Sequence[tuple[str, str]]) -> Reply:
        with (
            pytest.raises(InvalidStatus) as refused,
            connect(self._websocket_url(path), additional_headers=headers, proxy=None),
        ):
            pass
        response = refused.value.response
        lines = [(name.lower(), value) for name, value in response.headers.raw_items()]
        return Reply(response.status_code, lines, bytes(response.body or b""))

    def _websocket_url(self, path: str) -> str:
        return f"ws://127.0.0.1:{self.server.port}{path}"


@pytest.fixture(scope="session")
def serve(key_pair: RSAKeyPair, tokens: Mapping[str, str]) -> Iterator[Callable[[str], OverSockets]]:
    """Give what calls a server by its name; the server is started when it is first asked for, and stays."""
    running: dict[str, OverSockets] = {}
    with contextlib.ExitStack() as stack:

        def get(name: str) -> OverSockets:
            if name not in running:
                running[name] = stack.enter_context(_run(name, key_pair.public_key, tokens))
            return running[name]

        yield get


@contextlib.contextmanager
def _run(name: str, public_key: str, tokens: Mapping[str, str]) -> Iterator[OverSockets]:
    environment = {"FRAMEWORKS_PUBLIC_KEY": public_key, "FRAMEWORKS_BACKEND": BACKENDS[name]}
    with (
        serving(name, "frameworks.apps.served:app", environment, tokens.values()) as server,
        httpx2.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=START_SECONDS, trust_env=False) as client,
    ):
        yield OverSockets(client, server)


class TestServers(Behaviour):
    places: ClassVar = [Place(name, app) for name, backend in BACKENDS.items() for app in APPS[backend]]

    @pytest.fixture
    def client(self, place: Place, serve: Callable[[str], OverSockets]) -> Iterator[OverSockets]:
        client = serve(place.host)
        client.server.new_output()
        yield client
        # pytest shows it when the test has failed.
        sys.stderr.write(client.server.new_output())

    @over([ForApps("", HAVE_WEBSOCKETS)])
    def test_without_the_denial_response_a_websocket_is_refused_with_403(self, client: Client, place: Place) -> None:
        before = arrivals(client, place)

        reply = client.knock(f"/no-denial/{place.app}/ws", [])

        assert reply.status == 403
        assert arrivals(client, place) == before

    @over([ForApps("", HAVE_WEBSOCKET_GUARDS)])
    def test_without_the_denial_response_a_websocket_that_a_guard_refuses_is_not_accepted_either(
        self, client: Client, place: Place, tokens: Mapping[str, str]
    ) -> None:
        if place == Place("granian", "quart"):
            pytest.skip("Granian 2.8 ends where an application waits for messages after closing, as Quart 0.23 does")
        reply = client.knock(f"/no-denial/{place.app}/ws/guarded", [("authorization", f"Bearer {tokens['good']}")])

        assert reply.status == 403

    @over([ForApps("", ["bare"])])
    def test_a_streaming_response_reaches_the_client_while_it_is_made(
        self, client: OverSockets, tokens: Mapping[str, str]
    ) -> None:
        headers = {"authorization": f"Bearer {tokens['good']}"}

        with client.http.stream("GET", "/bare/stream", headers=headers) as reply:
            chunks = reply.iter_raw()
            first = next(chunks)
            # Only now does the application make the rest.
            released = client.http.get("/bare/release", headers=headers)
            rest = b"".join(chunks)

        assert released.status_code == 200
        assert (first, rest) == (b"first", b"second")
