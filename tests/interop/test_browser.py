"""The browser's side: a page in Debian's Chromium opens websockets with its token, and learns how they end."""

import contextlib
import json
import queue
import secrets
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from interop.chromium import browsing
from serving import serving

TOKEN = f"token-{secrets.token_hex(8)}"
SECONDS = 60
# It opens one websocket after the other, and says what became of each.
PAGE = """<!doctype html><meta charset="utf-8"><title>sockets</title><script>
const open = (offered) => new Promise((done) => {
  const told = {messages: 0}
  const socket = new WebSocket(`ws://${location.host}/ws`, offered)
  socket.onopen = () => { told.protocol = socket.protocol }
  socket.onmessage = () => { told.messages += 1 }
  socket.onclose = (end) => done({...told, code: end.code, reason: end.reason, clean: end.wasClean})
})
const events = async (headers) => {
  const reply = await fetch("/events", {headers})
  const text = reply.ok ? await reply.text() : ""
  return {status: reply.status, challenge: reply.headers.get("www-authenticate"), ticks: text.split("tick").length - 1}
}
const main = async () => ({
  good: await open(["bearer", "%(token)s"]),
  wrong: await open(["bearer", "wrong"]),
  none: await open([]),
  stream: await events({authorization: "Bearer %(token)s"}),
  refused: await events({}),
})
main().then((told) => fetch("%(ear)s", {method: "POST", mode: "no-cors", body: JSON.stringify(told)}))
</script>"""


@pytest.fixture(scope="module")
def told() -> Iterator[dict[str, Any]]:
    """Give what the page found out."""
    with listening() as (ear, heard):
        environment = {"LIVED_TOKEN": TOKEN, "LIVED_PAGE": PAGE % {"token": TOKEN, "ear": ear}}
        with (
            serving("uvicorn-httptools-websockets", "frameworks.apps.lived:app", environment, [TOKEN]) as server,
            browsing(f"http://127.0.0.1:{server.port}/"),
        ):
            yield json.loads(heard.get(timeout=SECONDS))


@contextlib.contextmanager
def listening() -> Iterator[tuple[str, queue.Queue[str]]]:
    """Yield a URL, and what is posted there."""
    heard: queue.Queue[str] = queue.Queue()

    class Ear(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.put(self.rfile.read(int(self.headers["content-length"])).decode())
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name in the base class
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Ear) as ear:
        thread = threading.Thread(target=ear.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{ear.server_port}/", heard
        finally:
            ear.shutdown()
            thread.join()


def test_as6_a_page_opens_a_websocket_with_its_token_and_has_the_marker_answered(told: dict[str, Any]) -> None:
    assert told["good"]["protocol"] == "bearer"
    assert told["good"]["messages"] > 0


def test_as7_a_page_is_told_that_its_token_has_ended(told: dict[str, Any]) -> None:
    assert (told["good"]["code"], told["good"]["reason"], told["good"]["clean"]) == (3000, "the token has ended", True)


@pytest.mark.parametrize("how", ["wrong", "none"])
def test_as5_without_a_good_token_no_websocket_opens(told: dict[str, Any], how: str) -> None:
    assert "protocol" not in told[how]
    # All that a page is told of a handshake that failed: RFC 6455 section 7.1.5
    assert (told[how]["messages"], told[how]["code"], told[how]["clean"]) == (0, 1006, False)


def test_ll1_a_page_reads_a_stream_of_events_to_its_end(told: dict[str, Any]) -> None:
    assert told["stream"]["status"] == 200
    assert told["stream"]["ticks"] > 0


def test_a_page_reads_the_challenge(told: dict[str, Any]) -> None:
    assert told["refused"] == {"status": 401, "challenge": 'Bearer realm="api"', "ticks": 0}
