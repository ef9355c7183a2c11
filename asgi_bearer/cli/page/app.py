"""The page's server, in front of the development issuer: its files, and what they ask for. Floor 7.

The rules: who can reach the page can have any token, so it answers under its own address alone (no DNS name that
somebody turns to loopback), and takes orders from its own page alone (no other site's page). Tokens travel in bodies,
never in a URL. What the page loads comes from here, and nothing in it is run that is not a file of ours.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, Router

from asgi_bearer.cli.page.explain import explain_answer
from asgi_bearer.cli.page.forms import MAX_BYTES, WrongForm, make_token, read_call
from asgi_bearer.cli.page.presets import presets
from asgi_bearer.remote import http

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.types import Message, Receive, Scope, Send

    from asgi_bearer.testing.issuer import Issuer

_LIMITS = http.Limits(timeout=10.0, max_bytes=256 * 1024)
_BELOW = "/page/"
_INDEX = "index.html"
_FILES = {
    _INDEX: "text/html",
    "decode.js": "text/javascript",
    "icon.svg": "image/svg+xml",
    "page.css": "text/css",
    "page.js": "text/javascript",
}
# form-action 'none': where the script did not run, no browser puts the form, and the token in it, into a URL.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; form-action 'none'; "
    "base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": _POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Protected:
    """The application that the page calls: `paths` are there to try, and the first of them asks for `scopes`."""

    name: str
    url: str
    scopes: Sequence[str] = ()
    paths: Sequence[str] = ("/",)


class Page:
    """The issuer, with a page for people at its root, and what that page needs below `/page/`.

    It calls the application at `protected.url` and no other server. What is not the page's goes to `issuer`.
    """

    def __init__(self, issuer: Issuer, protected: Protected) -> None:
        self._issuer = issuer
        self._protected = protected
        # RFC 9110 section 4.2.3: browsers leave the port out where it is the scheme's own.
        self._host = urlsplit(issuer.url).netloc.removesuffix(":80")
        folder = files(__package__).joinpath("static")
        self._files = {name: folder.joinpath(name).read_bytes() for name in _FILES}
        self._site = Router(
            routes=[
                Route("/", self._show_index),
                Route(f"{_BELOW}setup", self._show_setup),
                Route(f"{_BELOW}token", self._make_token, methods=["POST"], max_body_size=MAX_BYTES),
                Route(f"{_BELOW}call", self._call, methods=["POST"], max_body_size=MAX_BYTES),
                *(Route(f"{_BELOW}{name}", self._show_file) for name in _FILES if name != _INDEX),
            ],
            redirect_slashes=False,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, as ASGI says."""
        if scope["type"] != "http" or not _is_for_page(scope):
            await self._issuer(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(raw=message["headers"]).update(_HEADERS)
            await send(message)

        app = self._refuse(scope) or self._site
        with suppress(ClientDisconnect):
            await app(scope, receive, send_guarded)

    def _refuse(self, scope: Scope) -> Response | None:
        """Return the answer to a request that this page did not send; None for all others."""
        headers = Headers(scope=scope)
        address = f"http://{self._host}"
        # A name that leads to loopback (DNS rebinding) is the browser's origin for somebody else's page.
        if headers.getlist("host") != [self._host]:
            return PlainTextResponse(f"This page is at {address}/ and under no other name.", 421)
        if scope["method"] in {"GET", "HEAD"}:
            return None
        # Every browser sends Origin with a POST, and no page can change it, or have it left out.
        if headers.getlist("origin") != [address] or headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return PlainTextResponse("Only the page itself may ask for this.", 403)
        if headers.get("content-type") != "application/json":
            return PlainTextResponse("The body is to be application/json.", 415)
        return None

    async def _show_index(self, _: Request) -> Response:
        return self._file(_INDEX)

    async def _show_file(self, request: Request) -> Response:
        return self._file(request.url.path.removeprefix(_BELOW))

    def _file(self, name: str) -> Response:
        return Response(self._files[name], media_type=_FILES[name])

    async def _show_setup(self, _: Request) -> Response:
        protected = self._protected
        token = {
            "format": "jwt",
            "sub": "dev-user",
            "client_id": next(iter(self._issuer.clients)),
            "scopes": " ".join(protected.scopes),
            "audience": protected.url,
            "expires_in": 3600,
            "typ": "at+jwt",
            "claims": "",
            "expired": False,
            "tampered": False,
            "revoked": False,
        }
        return JSONResponse(
            {
                "issuer": self._issuer.url,
                "application": asdict(protected),
                "token": token,
                "presets": [asdict(preset) for preset in presets(protected.scopes)],
            }
        )

    async def _make_token(self, request: Request) -> Response:
        try:
            return JSONResponse({"token": make_token(self._issuer, await request.body())})
        except WrongForm as wrong:
            return JSONResponse({"errors": wrong.errors}, 400)

    async def _call(self, request: Request) -> Response:
        try:
            call = read_call(await request.body())
        except WrongForm as wrong:
            return JSONResponse({"errors": wrong.errors}, 400)
        headers = {} if call.authorization is None else {"authorization": call.authorization}
        asked = http.Request(method=call.method, url=f"{self._protected.url}{call.path}", headers=headers)
        try:
            answer = await http.fetch(asked, _LIMITS)
        except http.FetchError as error:
            return JSONResponse({"errors": {"": f"the application gave no answer that can be shown: {error}"}}, 502)
        return JSONResponse(_shown(answer))


def _is_for_page(scope: Scope) -> bool:
    if scope["path"].startswith(_BELOW):
        return True
    # Programs that ask for the root of the issuer get from it what they always got.
    is_read = scope["path"] == "/" and scope["method"] in {"GET", "HEAD"}
    return is_read and "text/html" in Headers(scope=scope).get("accept", "")


def _shown(answer: http.Response) -> dict[str, Any]:
    """Return what the page shows of an answer: a body that is no text as its size alone."""
    try:
        body = answer.body.decode()
    except UnicodeDecodeError:
        body = None
    lines = [line._asdict() for line in explain_answer(answer.status, answer.headers)]
    headers = list(answer.headers.items())
    return {"status": answer.status, "headers": headers, "body": body, "size": len(answer.body), "lines": lines}
