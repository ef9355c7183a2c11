"""Debian's Chromium, without a window: shown a page, or driven through its DevTools protocol as a person would."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from typing import IO, TYPE_CHECKING, Any, cast

import pytest
from interop.foreign import cannot_run
from websockets.sync.client import ClientConnection, connect

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 60.0
_LISTENING = "DevTools listening on "
# Key: its virtual key code (Windows'), and the text it writes
_KEYS = {"Tab": (9, ""), "Enter": (13, "\r"), "ArrowDown": (40, "")}
_SHIFT = 8
_UNTIL = """new Promise((done) => {
  const look = () => { if (CONDITION) { watch.disconnect(); done(true) } }
  const watch = new MutationObserver(look)
  watch.observe(document, {subtree: true, childList: true, attributes: true, characterData: true})
  look()
})"""


def find_chromium() -> str:
    """Return the program."""
    chromium = shutil.which("chromium")
    if chromium is None:
        cannot_run("chromium is not on PATH: apt-get install chromium")
    return chromium


@contextlib.contextmanager
def browsing(*arguments: str, stderr: int = subprocess.DEVNULL) -> Iterator[subprocess.Popen[str]]:
    """Run a browser with a profile of its own for the length of a block."""
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    options += ["--disable-background-networking", "--no-proxy-server"]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [find_chromium(), *options, f"--user-data-dir={profile}", *arguments]
        # A session of its own, so that all its processes end with it.
        browser = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            text=True,
            start_new_session=True,
        )
        try:
            yield browser
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(browser.pid, signal.SIGKILL)
            browser.wait()


@contextlib.contextmanager
def driving(*arguments: str) -> Iterator[Tab]:
    """Run a browser for the length of a block; yield an empty tab of it."""
    with browsing("--remote-debugging-port=0", *arguments, stderr=subprocess.PIPE) as browser:
        errors = cast("IO[str]", browser.stderr)
        address = next((line for line in errors if line.startswith(_LISTENING)), None)
        if address is None:
            pytest.fail("chromium ended before it listened")
        # A pipe that nobody reads would fill up and stop the browser. It ends with the browser, and so does this.
        threading.Thread(target=_read_to_the_end, args=(errors,)).start()
        with connect(address.removeprefix(_LISTENING).strip(), max_size=None, proxy=None) as connection:
            yield Tab(connection)


def _read_to_the_end(errors: IO[str]) -> None:
    with errors:
        errors.read()


class Tab:
    """One tab: `requests` are the URLs that it asked for, `complaints` what its console says of errors and policy."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._number = self._loads = 0
        self._session: str | None = None
        self.requests: list[str] = []
        self.complaints: list[str] = []
        target = self.do("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.do("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Accessibility"):
            self.do(f"{domain}.enable")
        self.do("Emulation.setFocusEmulationEnabled", enabled=True)

    def do(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Give the browser a command, and return its result."""
        self._number += 1
        command = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            command["sessionId"] = self._session
        self._connection.send(json.dumps(command))
        while True:
            message = self._receive()
            if message.get("id") == self._number:
                assert "error" not in message, f"{method}: {message['error']}"
                result: dict[str, Any] = message["result"]
                return result
            self._hear(message)

    def _receive(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self._connection.recv(timeout=SECONDS))
        return message

    def _hear(self, message: dict[str, Any]) -> None:
        match message:
            case {"method": "Page.loadEventFired"}:
                self._loads += 1
            case {"method": "Network.requestWillBeSent", "params": {"request": {"url": url}}}:
                self.requests.append(url)
            case {"method": "Log.entryAdded", "params": {"entry": {"level": "error" | "warning", "text": text}}}:
                self.complaints.append(text)
            case {"method": "Runtime.exceptionThrown", "params": {"exceptionDetails": details}}:
                self.complaints.append(str(details))
            case {"method": "Runtime.consoleAPICalled", "params": {"type": "error" | "warning", "args": told}}:
                self.complaints.append(str(told))
            case _:
                pass

    def open(self, url: str) -> None:
        """Show a page, and wait until it says that it is ready."""
        self.go(url)
        self.until("document.documentElement.dataset.ready")

    def go(self, url: str) -> None:
        """Show a page, and wait until all of it is there."""
        before = self._loads
        self.do("Page.navigate", url=url)
        while self._loads == before:
            self._hear(self._receive())

    def wait_for_complaint(self, word: str) -> None:
        """Wait until the browser's console has said something with that word in it."""
        while not any(word in text for text in self.complaints):
            self._hear(self._receive())

    def tell(self, expression: str) -> Any:
        """Return the value of an expression, awaited where it is a promise."""
        told = self.do("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in told, f"{expression}: {told['exceptionDetails']}"
        return told["result"].get("value")

    def until(self, condition: str) -> None:
        """Wait until a condition holds; it is looked at whenever the document changes."""
        self.tell(_UNTIL.replace("CONDITION", condition))

    def text(self, selector: str) -> str:
        """Return the text that an element shows."""
        shown: str = self.tell(f"document.querySelector({json.dumps(selector)}).innerText")
        return shown

    def press(self, key: str, *, shift: bool = False, times: int = 1) -> None:
        """Press a key."""
        code, text = _KEYS[key]
        for _ in range(times):
            common = {"key": key, "windowsVirtualKeyCode": code, "modifiers": _SHIFT if shift else 0}
            self.do("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **common)
            self.do("Input.dispatchKeyEvent", type="keyUp", **common)

    def write(self, text: str) -> None:
        """Write into what has the focus, in the place of what stands there."""
        self.do("Input.dispatchKeyEvent", type="rawKeyDown", key="a", commands=["selectAll"])
        self.do("Input.insertText", text=text)

    def focused(self) -> str:
        """Return the id of the element that has the focus, or its text where it has none."""
        name: str = self.tell("document.activeElement.id || document.activeElement.innerText")
        return name

    def tab_to(self, name: str) -> None:
        """Press Tab until the element of that id or text has the focus."""
        for _ in range(100):
            if self.focused().startswith(name):
                return
            self.press("Tab")
        pytest.fail(f"no Tab leads to {name}")

    def look(self, *, scheme: str, width: int, height: int = 900) -> None:
        """See the page in a window of that size, in the colour scheme "light" or "dark"."""
        self.do("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        features = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self.do("Emulation.setEmulatedMedia", features=features)
