"""The page of `asgi-bearer dev` in Debian's Chromium: by keyboard, in light and dark, narrow, and under attack."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from interop.chromium import Tab, driving

import asgi_bearer

if TYPE_CHECKING:
    from collections.abc import Iterator

REBOUND = "rebound.example"
MARKUP = "<img src=x onerror=document.title='run'>"
HOSTILE = """
MARKUP = b"<img src=x onerror=document.title='run'>"

async def app(scope, receive, send):
    assert scope["type"] == "http"
    challenge = b'Bearer realm="' + MARKUP + b'", error="' + MARKUP + b'", x="y", (' + MARKUP
    headers = [(b"www-authenticate", challenge), (b"location", b"javascript:document.title='run'"), (b"x-a", MARKUP)]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": MARKUP + "\\u202e\\u0007 \\u2066".encode()})
"""
FOCUSABLE = "button, input, select, textarea, a[href], pre[tabindex], summary"


class Dev:
    """A running `asgi-bearer dev`: the address of its page, and what it logs."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        assert process.stdout is not None
        line = next(line for line in process.stdout if " in a browser: " in line)
        self.url = line.split()[1]
        self.stop = process.terminate
        self.wait = process.wait
        self._log = log

    @property
    def log(self) -> str:
        """What stands on its standard error by now."""
        return self._log.read_text()


@contextlib.contextmanager
def developing(folder: Path, *arguments: str) -> Iterator[Dev]:
    """Run the command in `folder` for the length of a block."""
    command = [sys.executable, "-c", "from asgi_bearer.cli import main; main()", "dev", *arguments]
    root = str(Path(asgi_bearer.__file__).parents[1])
    log = folder / "dev.log"
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [*command, "--port", "0", "--issuer-port", "0"],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": root},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        try:
            yield Dev(process, log)
        finally:
            process.terminate()
            process.communicate()


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    with developing(tmp_path_factory.mktemp("dev")) as dev:
        yield dev


@pytest.fixture(scope="module")
def browser() -> Iterator[Tab]:
    # A name that leads to loopback, as DNS rebinding makes one.
    with driving(f"--host-resolver-rules=MAP {REBOUND} 127.0.0.1") as tab:
        yield tab


@pytest.fixture
def tab(browser: Tab, dev: Dev) -> Iterator[Tab]:
    """Show the page; whatever a test does there, the browser has nothing to complain of and asks nobody else."""
    browser.look(scheme="light", width=1280)
    browser.open(dev.url)
    browser.requests.clear()
    browser.complaints.clear()
    yield browser
    token = browser.tell("document.getElementById('token').value")
    assert browser.complaints == []
    assert [url for url in browser.requests if not url.startswith(dev.url)] == []
    assert [url for url in browser.requests if "?" in url or "#" in url or (token and token in url)] == []
    assert "eyJ" not in dev.log


def press_preset(tab: Tab, label: str, status: int) -> None:
    tab.tab_to(label)
    tab.press("Enter")
    until_answered(tab, status)


def until_answered(tab: Tab, status: int) -> None:
    tab.until(f"document.getElementById('summary').innerText.startsWith('{status} ')")


class TestKeyboard:
    def test_tab_leads_through_everything_in_the_order_in_which_it_stands(self, tab: Tab) -> None:
        press_preset(tab, "No token", 401)
        # Begin above everything, as somebody does who has just come.
        tab.tell("document.querySelector('h1').setAttribute('tabindex', '-1')")
        tab.tell("document.querySelector('h1').focus()")
        expected = tab.tell(
            f"[...document.querySelectorAll('{FOCUSABLE}')].filter((each) => each.checkVisibility())"
            ".map((each) => each.id || each.innerText)"
        )
        forwards, backwards = [], []
        for _ in expected:
            tab.press("Tab")
            forwards.append(tab.focused())
        for _ in expected:
            backwards.append(tab.focused())
            tab.press("Tab", shift=True)

        assert forwards == expected
        assert backwards == expected[::-1]
        assert {"format", "claims", "tampered", "path", "token"} <= set(forwards)

    def test_one_press_shows_an_answer_with_each_of_its_lines_explained(self, tab: Tab) -> None:
        press_preset(tab, "Expired", 401)

        assert tab.text("#summary") == "401 Unauthorized invalid_token GET /items"
        assert tab.text("#lines li:nth-child(4)").startswith('error="invalid_token"')
        assert "The reason: the token has ended" in tab.text("#lines")
        assert tab.tell("document.querySelector('#lines a').href").startswith("https://www.rfc-editor.org/rfc/rfc9110#")
        assert "ended 10 minutes ago" in tab.text("#decoded")
        assert json.loads(tab.text("#body"))["error"] == "invalid_token"

    @pytest.mark.parametrize(
        ("label", "status"), [("Opaque token", 200), ("No token", 401), ("Two words", 400), ("Missing scope", 403)]
    )
    def test_the_other_presets_do_so_too(self, tab: Tab, label: str, status: int) -> None:
        press_preset(tab, label, status)

        assert tab.tell("document.querySelectorAll('#lines li').length") > 0

    def test_a_token_is_made_and_used_without_a_mouse(self, tab: Tab) -> None:
        tab.tab_to("sub")
        tab.write("alice")
        tab.press("Enter")
        tab.until("document.getElementById('token-said').innerText")
        assert '"alice"' in tab.text("#decoded")

        tab.tab_to("path")
        tab.write("/me")
        tab.tab_to("token")
        tab.press("Enter")
        until_answered(tab, 200)

        assert json.loads(tab.text("#body"))["subject"] == "alice"

    def test_the_last_press_is_the_one_that_is_answered(self, tab: Tab) -> None:
        tab.tell("for (const at of [0, 5, 2]) document.querySelectorAll('#presets button')[at].click()")
        until_answered(tab, 401)

        assert "invalid_token" not in tab.text("#summary")
        assert tab.tell("document.getElementById('credentials').value") == "none"

    def test_a_header_of_one_s_own_has_a_field_when_it_is_chosen(self, tab: Tab) -> None:
        assert not tab.tell("document.getElementById('authorization').checkVisibility()")
        tab.tab_to("credentials")
        tab.press("ArrowDown", times=2)
        tab.tab_to("authorization")
        tab.write("Basic eDp5")
        tab.press("Enter")
        until_answered(tab, 401)

        assert "error=" not in tab.text("#lines")


class TestErrors:
    """What the server refuses is an error in the browser's console, too: these tests expect it there."""

    def test_a_wrong_field_is_told_of_beside_it_and_has_the_focus(self, tab: Tab) -> None:
        tab.tab_to("scopes")
        tab.write('a"b')
        tab.tab_to("claims")
        tab.write("[1]")
        tab.tab_to("expired")
        tab.press("Enter")
        tab.until("document.querySelector('[aria-invalid]')")

        assert tab.focused() == "scopes"
        wrong = tab.tell("[...document.querySelectorAll('[aria-invalid]')].map((each) => each.id)")
        assert wrong == ["scopes", "claims"]
        assert "this is not: not an object" in tab.text("#claims-error")
        assert tab.tell("document.getElementById('claims').getAttribute('aria-describedby')") == "claims-error"
        assert [text for text in tab.complaints if "400" not in text] == []
        tab.complaints.clear()

        tab.write("a b")
        tab.tab_to("claims")
        tab.write("{}")
        tab.tab_to("expired")
        tab.press("Enter")
        tab.until("document.getElementById('token-said').innerText")
        assert not tab.tell("document.querySelector('[aria-invalid]')")

    def test_a_server_that_has_ended_is_said_to_be_gone(self, browser: Tab, tmp_path: Path) -> None:
        with developing(tmp_path) as gone:
            browser.open(gone.url)
            gone.stop()
            gone.wait()
            browser.tab_to("Good token")
            browser.press("Enter")
            browser.until("document.getElementById('call-form-error').innerText")

        assert "does not answer" in browser.text("#call-form-error")


class TestLooks:
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("width", [1280, 360])
    @pytest.mark.parametrize("label", [None, "Missing scope"])
    def test_axe_finds_no_barrier(
        self, tab: Tab, node_modules: Path, scheme: str, width: int, label: str | None
    ) -> None:
        tab.look(scheme=scheme, width=width)
        if label is not None:
            press_preset(tab, label, 403)
        tab.tell((node_modules / "node_modules/axe-core/axe.min.js").read_text())
        result = tab.tell("axe.run()")

        barriers = {each["id"]: [node["html"] for node in each["nodes"]] for each in result["violations"]}
        assert barriers == {}
        assert "color-contrast" in {each["id"] for each in result["passes"]}

    def test_each_scheme_has_its_own_ground(self, tab: Tab) -> None:
        grounds = []
        for scheme in ("light", "dark"):
            tab.look(scheme=scheme, width=1280)
            grounds.append(tab.tell("getComputedStyle(document.body).backgroundColor"))

        assert grounds == ["rgb(244, 246, 249)", "rgb(14, 19, 26)"]

    @pytest.mark.parametrize("label", ["Good token", "Wrong audience"])
    def test_a_narrow_window_scrolls_in_one_direction_alone(self, tab: Tab, label: str) -> None:
        tab.look(scheme="light", width=360)
        press_preset(tab, label, 200 if label == "Good token" else 401)

        assert tab.tell("document.documentElement.scrollWidth <= document.documentElement.clientWidth")

    def test_every_field_and_button_has_a_name_for_those_who_cannot_see_it(self, tab: Tab) -> None:
        press_preset(tab, "Good token", 200)
        nodes = tab.do("Accessibility.getFullAXTree")["nodes"]

        roles = {"button", "textbox", "combobox", "checkbox", "spinbutton", "link"}
        named = [(node["role"]["value"], node["name"]["value"]) for node in nodes if node["role"]["value"] in roles]
        assert len(named) > 25
        assert all(name.strip() for _, name in named)


def jwt(header: Any, payload: Any, signature: str = "c2ln") -> str:
    pieces = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)]
    return ".".join([*(base64.urlsafe_b64encode(piece).rstrip(b"=").decode() for piece in pieces), signature])


def decode(tab: Tab, token: str, now: float = 1000) -> Any:
    return tab.tell(f'import("/page/decode.js").then(({{ decode }}) => decode({json.dumps(token)}, {now}))')


class TestDecoding:
    @pytest.mark.parametrize(
        ("token", "sentence"),
        [
            pytest.param("  \n", "There is no token yet.", id="nothing"),
            pytest.param("abc", "An opaque token", id="no dots"),
            pytest.param("a.b", "An opaque token", id="one dot"),
            pytest.param("..", "An opaque token", id="dots alone"),
            pytest.param("<b>.x.y", "An opaque token", id="markup"),
            pytest.param("x" * 65537, "longer than 65536 characters", id="huge"),
            pytest.param("a.b.c", "its header is not base64url", id="half a byte"),
            pytest.param("e30.e3*.c2ln", "its payload is not base64url", id="no base64url"),
            pytest.param("e30=.e30.c2ln", "An opaque token", id="padding"),
            pytest.param(jwt({}, {}, "a.b"), "An opaque token", id="four parts"),
            pytest.param(jwt(b"\xff", {}), "its header is not UTF-8", id="no UTF-8"),
            pytest.param(jwt(b"{", {}), "its header is not JSON", id="no JSON"),
            pytest.param(jwt({}, b"\xef\xbb\xbf{}"), "its payload is not JSON", id="a byte order mark"),
            pytest.param(jwt({}, []), "its payload is no JSON object", id="a list"),
            pytest.param(jwt({}, b"null"), "its payload is no JSON object", id="null"),
            pytest.param(jwt({}, b'{"a":' + b"[" * 20000 + b"]" * 20000 + b"}"), "nested too deep", id="deep"),
            pytest.param(jwt({}, {}, "*"), "its signature is not base64url", id="no signature"),
            pytest.param(jwt({}, {}, ""), "a signature of 0 bytes", id="an empty signature"),
            pytest.param(jwt({}, {}), "a signature of 3 bytes that was not looked at", id="a good one"),
            pytest.param("e30.a.b.c.d", "An encrypted token", id="encrypted"),
            pytest.param("e3.a.b.c.d", "its header is not JSON", id="nothing encrypted"),
        ],
    )
    def test_a_sentence_says_what_it_is(self, tab: Tab, token: str, sentence: str) -> None:
        assert sentence in decode(tab, token)["sentence"]

    @pytest.mark.parametrize(
        ("claim", "value", "shown", "means"),
        [
            ("exp", 1060, "1060", "ends in 60 seconds: 1970-01-01 00:17:40 UTC"),
            ("exp", 1000, "1000", "ended in 0 seconds"),
            ("exp", 10000, "10000", "ends in 3 hours"),
            ("exp", -1e6, "-1000000.0", "ended 12 days ago"),
            ("exp", 1e300, "1e+300", "ends at no date there is"),
            ("exp", "soon", '"soon"', ""),
            ("nbf", 0, "0", "holds from 17 minutes ago"),
            ("iat", 400.5, "400.5", "issued 10 minutes ago: 1970-01-01 00:06:40 UTC"),
            ("aud", ["a", "b"], '["a","b"]', "whom it is for"),
            ("id", 12345678901234567890, "12345678901234567890", ""),
            ("__proto__", {"x": 1}, '{"x":1}', ""),
            ("constructor", True, "true", ""),
            ("na\u202eme", "a\u0000\u2066\u200b", '"a\\u0000\\u{2066}\\u{200b}"', ""),
            ("\u05d0", "\u05d0", '"\u05d0"', ""),
        ],
    )
    def test_each_claim_is_shown_as_it_stands_there(
        self, tab: Tab, claim: str, value: Any, shown: str, means: str
    ) -> None:
        (member,) = decode(tab, jwt({"alg": "RS256"}, {claim: value}))["parts"][1]["members"]

        assert member["name"] == claim.replace("\u202e", "\\u{202e}")
        assert member["value"] == shown
        assert member["means"].startswith(means)
        assert bool(member["means"]) == bool(means)

    def test_a_pasted_token_is_decoded_and_sent_nowhere(self, tab: Tab) -> None:
        tab.tab_to("token")
        tab.write(jwt({"alg": "none", MARKUP: MARKUP}, {"sub": MARKUP}))
        tab.until("document.querySelector('#decoded dl')")

        assert f'"{MARKUP}"' in tab.text("#decoded")
        assert tab.tell("document.querySelectorAll('#decoded img').length") == 0
        assert tab.requests == []


class TestAttacks:
    def test_nothing_that_the_application_answers_becomes_part_of_the_page(self, browser: Tab, tmp_path: Path) -> None:
        (tmp_path / "hostile.py").write_text(HOSTILE)
        # Its own door would refuse: a good token leads past it.
        with developing(tmp_path, "hostile:app") as dev:
            browser.open(dev.url)
            browser.complaints.clear()
            browser.tell(f"document.getElementById('name').textContent = {json.dumps(MARKUP)}")
            press_preset(browser, "Good token", 403)

        assert f"x-a: {MARKUP}" in browser.tell("document.getElementById('headers').textContent")
        assert browser.text("#body") == MARKUP + "\\u{202e}\\u{7} \\u{2066}"
        assert "cannot be read as a challenge" in browser.text("#lines")
        assert browser.tell("document.querySelectorAll('main img').length") == 0
        assert browser.tell("[...document.links].every((each) => each.href.startsWith('https://www.rfc-editor.org/'))")
        assert browser.tell("document.title") == "asgi-bearer dev"
        assert browser.complaints == []

    @pytest.mark.parametrize(
        "attack",
        [
            f'document.body.innerHTML = "{MARKUP}"',
            "document.body.append(Object.assign(document.createElement('script'), { text: \"document.title='run'\" }))",
        ],
    )
    def test_the_browser_itself_would_not_run_it(self, browser: Tab, dev: Dev, attack: str) -> None:
        browser.open(dev.url)
        # In a timer of the page: what DevTools evaluates may do more.
        browser.tell(f"new Promise((done) => setTimeout(() => {{ try {{ {attack} }} catch {{}} done() }}))")

        assert browser.tell("document.title") == "asgi-bearer dev"
        assert browser.tell("document.querySelectorAll('main img').length") == 0
        browser.wait_for_complaint("Trusted")

    def test_a_name_that_leads_to_loopback_shows_no_page(self, browser: Tab, dev: Dev) -> None:
        port = dev.url.rstrip("/").rpartition(":")[2]
        with visiting(browser, f"http://{REBOUND}:{port}/"):
            assert browser.tell("document.body.innerText") == f"This page is at {dev.url} and under no other name."
            asked = "fetch('/page/token', {method: 'POST', headers: {'content-type': 'application/json'}, body: '{}'})"
            assert browser.tell(f"{asked}.then((answer) => answer.status)") == 421

    def test_another_page_on_this_machine_gets_no_token(self, browser: Tab, dev: Dev) -> None:
        before = dev.log
        with another_site() as site, visiting(browser, site):
            for path, mode in [("token", "cors"), ("token", "no-cors"), ("call", "no-cors"), ("setup", "cors")]:
                form = {"method": "POST", "body": '{"path": "/items"}', "headers": {"content-type": "text/plain"}}
                options = json.dumps({"mode": mode, **({} if path == "setup" else form)})
                asked = f"fetch('{dev.url}page/{path}', {options})"
                told = browser.tell(f"{asked}.then((answer) => answer.text(), () => 'refused')")

                assert told in {"refused", ""}
        # The door tells of every call that it refuses, and these have no token.
        assert dev.log == before

    def test_another_page_cannot_frame_it(self, browser: Tab, dev: Dev) -> None:
        with another_site() as site, visiting(browser, site):
            browser.complaints.clear()
            browser.tell(
                "new Promise((done) => document.body.append(Object.assign(document.createElement('iframe'),"
                f" {{ src: '{dev.url}', onload: done }})))"
            )

            browser.wait_for_complaint("frame-ancestors")

    def test_without_scripts_no_form_is_put_into_a_url(self, browser: Tab, dev: Dev) -> None:
        browser.do("Emulation.setScriptExecutionDisabled", value=True)
        try:
            with visiting(browser, dev.url):
                browser.requests.clear()
                browser.tab_to("sub")
                browser.write("alice")
                browser.press("Enter")

                browser.wait_for_complaint("form-action")
                assert browser.tell("location.href") == dev.url
                assert not [url for url in browser.requests if "alice" in url]
        finally:
            browser.do("Emulation.setScriptExecutionDisabled", value=False)


@contextlib.contextmanager
def visiting(tab: Tab, url: str) -> Iterator[None]:
    """Show a page that is not ours, for the length of a block."""
    tab.go(url)
    yield
    tab.go("about:blank")


@contextlib.contextmanager
def another_site() -> Iterator[str]:
    """Serve an empty page on a port of its own."""

    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>another</title><body>")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name in the base class
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()
