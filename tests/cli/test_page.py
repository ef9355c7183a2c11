"""The page of `asgi-bearer dev`: what it serves, to whom, and what it sends on."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from itertools import product
from typing import TYPE_CHECKING, Any

import anyio
import httpx2
import pytest
from fakes import Echo, bearer

from asgi_bearer.cli import sample
from asgi_bearer.cli.door import protect, verifier_of
from asgi_bearer.cli.page.app import Page, Protected
from asgi_bearer.cli.serving import address, listen, serve
from asgi_bearer.testing import Issuer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from leaks import Watch

HOST = "127.0.0.1:9000"
HOME = f"http://{HOST}"
STATIC = files("asgi_bearer.cli.page").joinpath("static")
HTML = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
OURS = {"origin": HOME, "sec-fetch-site": "same-origin"}
PROTECTED = Protected(name="mine", url="http://127.0.0.1:8000", scopes=("read", "write"), paths=("/a", "/b"))


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer(HOME, clients={"app": "secret"})


def visitor(issuer: Issuer, protected: Protected = PROTECTED, host: str = HOST) -> httpx2.AsyncClient:
    """Return who calls the page in process."""
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(Page(issuer, protected)), base_url=f"http://{host}")


@pytest.mark.anyio
class TestFiles:
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    async def test_the_root_is_a_page_for_who_asks_for_one(self, issuer: Issuer, method: str) -> None:
        async with visitor(issuer) as client:
            answer = await client.request(method, "/", headers=HTML)

        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert method == "HEAD" or answer.text.startswith("<!doctype html>")

    async def test_for_programs_the_issuer_is_as_without_the_page(self, issuer: Issuer) -> None:
        asked = [("GET", "/"), ("POST", "/"), ("GET", "/jwks"), ("POST", "/token"), ("GET", "/page")]
        asked += [("GET", "/.well-known/openid-configuration"), ("GET", "/nothing")]
        plain = httpx2.AsyncClient(transport=httpx2.ASGITransport(issuer), base_url=HOME)
        async with visitor(issuer) as client, plain:
            for method, path in asked:
                answers = [await each.request(method, path, headers={"origin": "null"}) for each in (client, plain)]

                assert answers[0].status_code == answers[1].status_code
                assert answers[0].content == answers[1].content
                assert answers[0].headers == answers[1].headers

    async def test_everything_that_the_page_loads_is_a_file_of_its_own(self, issuer: Issuer) -> None:
        names = re.findall(r'(?:href|src|from )="?([^"]+)"', STATIC.joinpath("index.html").read_text())
        names += re.findall(r'from "([^"]+)"', STATIC.joinpath("page.js").read_text())
        async with visitor(issuer) as client:
            answers = [await client.get(name) for name in names]

        assert set(names) == {"/page/icon.svg", "/page/page.css", "/page/page.js", "/page/decode.js"}
        assert {answer.status_code for answer in answers} == {200}
        assert {answer.headers["content-type"].split(";")[0] for answer in answers} == {
            "image/svg+xml",
            "text/css",
            "text/javascript",
        }

    @pytest.mark.parametrize("name", ["index.html", "app.py", "static/page.js", "../app.py", "%2e%2e/app.py", ""])
    async def test_there_are_no_other_files(self, issuer: Issuer, name: str) -> None:
        async with visitor(issuer) as client:
            assert (await client.get(f"/page/{name}")).status_code == 404

    @pytest.mark.parametrize(
        ("method", "path", "host"),
        [
            ("GET", "/", HOST),
            ("GET", "/page/page.js", HOST),
            ("GET", "/page/setup", HOST),
            ("GET", "/page/x", HOST),
            ("GET", "/", "localhost:9000"),
            ("POST", "/page/token", HOST),
            ("PUT", "/page/setup", HOST),
        ],
    )
    async def test_each_answer_keeps_the_browser_to_our_own_files(
        self, issuer: Issuer, method: str, path: str, host: str
    ) -> None:
        async with visitor(issuer, host=host) as client:
            headers = (await client.request(method, path, headers=HTML)).headers

        policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
        assert {name for name, value in policy.items() if value == "'self'"} == {
            "script-src",
            "style-src",
            "connect-src",
            "img-src",
        }
        assert {name for name, value in policy.items() if value == "'none'"} == {
            "default-src",
            "form-action",
            "base-uri",
            "frame-ancestors",
            "trusted-types",
        }
        assert policy["require-trusted-types-for"] == "'script'"
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["cross-origin-resource-policy"] == "same-origin"

    def test_nothing_in_the_page_is_inline_and_nothing_is_put_in_as_markup(self) -> None:
        page = STATIC.joinpath("index.html").read_text()
        scripts = STATIC.joinpath("page.js").read_text() + STATIC.joinpath("decode.js").read_text()

        assert not re.search(
            r"\son\w+=|\sstyle=|<style|<script(?! type=\"module\" src=)|javascript:|tabindex=\"[^0]", page
        )
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|new Function|https?://(?!www\.rfc-editor)",
            scripts,
        )

    async def test_the_page_learns_what_it_shows_and_no_secret(self, issuer: Issuer) -> None:
        async with visitor(issuer) as client:
            answer = await client.get("/page/setup")

        setup = answer.json()
        assert setup["issuer"] == HOME
        assert setup["application"] == {
            "name": "mine",
            "url": "http://127.0.0.1:8000",
            "scopes": ["read", "write"],
            "paths": ["/a", "/b"],
        }
        assert setup["token"]["client_id"] == "app"
        assert setup["token"]["scopes"] == "read write"
        assert "secret" not in answer.text


COLOURS = {
    "light": dict(re.findall(r"--([\w-]+): (#\w{6});", STATIC.joinpath("page.css").read_text().split("@media", 1)[0])),
    "dark": dict(re.findall(r"--([\w-]+): (#\w{6});", STATIC.joinpath("page.css").read_text().split("@media", 1)[1])),
}
TEXTS = [
    *product(["ink", "soft", "accent", "good", "bad"], ["ground", "panel"]),
    *product(["ink", "soft", "accent"], ["field", "code", "accent-tint"]),
    *[("care", "care-tint"), ("good", "good-tint"), ("bad", "bad-tint"), ("accent-ink", "accent")],
]


@pytest.mark.parametrize("scheme", COLOURS)
def test_every_text_has_enough_contrast(scheme: str) -> None:
    colours = COLOURS[scheme]

    poor = [(text, ground) for text, ground in TEXTS if contrast(colours[text], colours[ground]) < 4.5]
    # WCAG 2.2 section 1.4.11: what tells that something is a field, and where the focus is
    poor += [(edge, "panel") for edge in ("edge", "accent") if contrast(colours[edge], colours["panel"]) < 3]

    assert COLOURS["light"].keys() == COLOURS["dark"].keys()
    assert poor == []


def contrast(*colours: str) -> float:
    """WCAG 2.2, "contrast ratio"."""
    darker, lighter = sorted(map(luminance, colours))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    """WCAG 2.2, "relative luminance"."""
    shares = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return sum(weight * share for weight, share in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.anyio
class TestWhoMayAsk:
    @pytest.mark.parametrize("path", ["/", "/page/setup", "/page/page.js", "/page/token"])
    @pytest.mark.parametrize(
        "host", ["evil.example", "evil.example:9000", "localhost:9000", "127.0.0.1", "127.0.0.1:9001", "[::1]:9000"]
    )
    async def test_under_another_name_there_is_no_page(self, issuer: Issuer, path: str, host: str) -> None:
        async with visitor(issuer, host=host) as client:
            answers = [
                await client.get(path, headers=HTML),
                await client.post("/page/token", json={}, headers={"origin": f"http://{host}"}),
            ]

        assert [answer.status_code for answer in answers] == [421, 421]
        assert f"{HOME}/" in answers[0].text

    @pytest.mark.parametrize("hosts", [[], [HOST, "evil.example"], [HOST, HOST], [f"{HOST} "]])
    async def test_so_it_is_with_none_or_two(self, issuer: Issuer, hosts: list[str]) -> None:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        scope = {"type": "http", "method": "GET", "path": "/page/setup", "query_string": b"", "root_path": ""}
        headers = [(b"host", host.encode()) for host in hosts]
        await Page(issuer, PROTECTED)({**scope, "headers": headers}, receive, send)

        assert sent[0]["status"] == 421

    async def test_the_port_of_http_itself_is_left_out_as_browsers_do(self) -> None:
        async with visitor(Issuer("http://127.0.0.1:80"), host="127.0.0.1") as client:
            page = await client.get("/", headers=HTML)
            token = await client.post("/page/token", json={}, headers={"origin": "http://127.0.0.1"})

        assert (page.status_code, token.status_code) == (200, 200)

    @pytest.mark.parametrize("path", ["/page/token", "/page/call"])
    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            pytest.param({}, 403, id="no origin"),
            pytest.param({"origin": "null"}, 403, id="a page in a sandbox"),
            pytest.param({"origin": "https://evil.example"}, 403, id="another site"),
            pytest.param({"origin": "http://127.0.0.1:8000"}, 403, id="the application itself"),
            pytest.param({"origin": f"https://{HOST}"}, 403, id="another scheme"),
            pytest.param({"origin": f"{HOME}.evil.example"}, 403, id="a longer name"),
            pytest.param({**OURS, "sec-fetch-site": "same-site"}, 403, id="another port"),
            pytest.param({**OURS, "sec-fetch-site": "cross-site"}, 403, id="the browser says so"),
            pytest.param({**OURS, "content-type": "text/plain"}, 415, id="a form's media type"),
            pytest.param({**OURS, "content-type": "application/x-www-form-urlencoded"}, 415, id="a form"),
        ],
    )
    async def test_only_the_page_itself_is_given_tokens(
        self, issuer: Issuer, path: str, headers: dict[str, str], status: int
    ) -> None:
        async with visitor(issuer) as client:
            answer = await client.post(path, content=b"{}", headers={"content-type": "application/json", **headers})

        assert answer.status_code == status
        assert "token" not in answer.text
        assert not [name for name in answer.headers if name.startswith("access-control-")]

    async def test_a_preflight_is_refused(self, issuer: Issuer) -> None:
        headers = {"origin": "https://evil.example", "access-control-request-method": "POST"}
        async with visitor(issuer) as client:
            answer = await client.options("/page/token", headers=headers)

        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers

    @pytest.mark.parametrize("path", ["/page/token", "/page/call"])
    async def test_a_token_cannot_be_asked_for_in_a_url(self, issuer: Issuer, path: str) -> None:
        async with visitor(issuer) as client:
            answer = await client.get(f"{path}?sub=alice", headers={**HTML, **OURS})

        assert answer.status_code == 405

    @pytest.mark.parametrize("path", ["/page/token", "/page/call"])
    async def test_too_long_a_form_is_not_read(self, issuer: Issuer, path: str) -> None:
        async with visitor(issuer) as client:
            answer = await client.post(path, json={"claims": "x" * 70_000}, headers=OURS)

        assert answer.status_code == 413

    @pytest.mark.parametrize("path", ["/page/token", "/page/call"])
    async def test_a_visitor_who_leaves_early_is_no_fault(self, issuer: Issuer, path: str) -> None:
        async def leave() -> Any:
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            pytest.fail("nobody is there")

        headers = [(name.encode(), value.encode()) for name, value in {**OURS, "host": HOST}.items()]
        scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "root_path": ""}
        headers.append((b"content-type", b"application/json"))

        await Page(issuer, PROTECTED)({**scope, "headers": headers}, leave, send)

    async def test_websockets_are_the_issuer_s(self, issuer: Issuer) -> None:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message["type"])

        async def receive() -> Any:
            return {"type": "websocket.connect"}

        scope = {"type": "websocket", "path": "/page/setup", "headers": [], "query_string": b"", "root_path": ""}
        await Page(issuer, PROTECTED)(scope, receive, send)

        assert sent == ["websocket.close"]


@pytest.mark.anyio
class TestToken:
    async def test_the_page_is_given_what_its_form_says(self, issuer: Issuer) -> None:
        async with visitor(issuer) as client:
            answer = await client.post("/page/token", json={"format": "opaque", "sub": "alice"}, headers=OURS)

        assert answer.status_code == 200
        assert issuer.introspect(answer.json()["token"])["sub"] == "alice"

    @pytest.mark.parametrize("path", ["/page/token", "/page/call"])
    async def test_it_is_told_which_field_is_wrong(self, issuer: Issuer, path: str) -> None:
        async with visitor(issuer) as client:
            answer = await client.post(path, json={"colour": "red"}, headers=OURS)

        assert answer.status_code == 400
        assert answer.json() == {"errors": {"colour": "there is no field 'colour' here"}}


async def shout(scope: Any, receive: Any, send: Any) -> None:
    """Answer as the query says: with a redirect, too much, no text, or not at all."""
    how = scope["query_string"]
    bodies = {b"long": b"x" * 300_000, b"binary": b"\xff\x00"}
    location = f"http://{HOST}/elsewhere".encode()
    headers = {
        b"redirect": [(b"location", location)],
        b"two": [(b"www-authenticate", b"A"), (b"www-authenticate", b"B")],
    }
    if how == b"silent":
        raise ConnectionAbortedError
    status = 302 if how == b"redirect" else 200
    await send({"type": "http.response.start", "status": status, "headers": headers.get(how, [])})
    body = f"{scope['method']} {scope['raw_path'].decode()}".encode()
    await send({"type": "http.response.body", "body": bodies.get(how, body)})


Post = "Callable[[str, dict[str, Any]], Awaitable[httpx2.Response]]"


def on_stage(play: Callable[[Any], Awaitable[Any]], app: Any = None) -> None:
    """Serve the page and an application (the sample behind its door by default) on sockets, and run `play`."""
    with listen(0, "--port") as at, listen(0, "--issuer-port") as issuer_at:
        issuer = Issuer(address(issuer_at), audience=address(at))
        verifier = verifier_of(issuer, address(at))
        door = app or protect(sample.app, verifier, public=sample.PUBLIC)
        page = Page(issuer, Protected(name="it", url=address(at), scopes=sample.SCOPES, paths=sample.PATHS))

        async def main() -> bool:
            headers = {"origin": issuer.url}
            async with httpx2.AsyncClient(base_url=issuer.url, headers=headers, trust_env=False) as client:
                await play(client)
            return True

        assert serve([(page, issuer_at), (door, at)], main, verifier.aclose)


class TestCall:
    def test_each_preset_shows_what_it_says(self, watch: Watch) -> None:
        shown: dict[str, str] = {}

        async def press_each(client: Any) -> None:
            setup = (await client.get("/page/setup")).json()
            for preset in setup["presets"]:
                authorization = preset["authorization"]
                if preset["token"] is not None:
                    form = {**setup["token"], **preset["token"]}
                    authorization = f"Bearer {(await client.post('/page/token', json=form)).json()['token']}"
                    watch.secrets.add(authorization.split()[1])
                called = {"method": "GET", "path": setup["application"]["paths"][0], "authorization": authorization}
                answer = (await client.post("/page/call", json=called)).json()
                challenge = dict(answer["headers"]).get("www-authenticate", "")
                told = re.findall(r'error="(\w+)"|Reason: (\w+)', challenge)
                shown[preset["label"]] = " ".join([str(answer["status"]), *("".join(each) for each in told)])

        on_stage(press_each)

        assert shown == {
            "Good token": "200",
            "Opaque token": "200",
            "No token": "401",
            "Two words": "400 invalid_request",
            "Garbage": "401 invalid_token malformed",
            "Expired": "401 invalid_token expired",
            "Tampered": "401 invalid_token signature",
            "Wrong audience": "401 invalid_token audience",
            "Revoked": "401 invalid_token inactive",
            "Missing scope": "403 insufficient_scope",
        }

    def test_the_answer_is_shown_as_it_came_and_explained(self) -> None:
        async def call(client: Any) -> None:
            answer = (await client.post("/page/call", json={"path": "/items"})).json()

            assert answer["status"] == 401
            assert ["www-authenticate", 'Bearer realm="api"'] in answer["headers"]
            assert json.loads(answer["body"])["error"] == "unauthorized"
            assert answer["size"] == len(answer["body"])
            assert [line["text"] for line in answer["lines"]] == [
                "HTTP 401 Unauthorized",
                "WWW-Authenticate: Bearer",
                'realm="api"',
                "Cache-Control: no-store",
            ]
            assert answer["lines"][0].keys() == {"text", "means", "then", "source"}

        on_stage(call)

    @pytest.mark.parametrize(
        "path", ["//evil.example/x", "/@evil.example", "/:80@evil.example/", "/http://evil.example/"]
    )
    def test_no_path_leads_to_another_server(self, path: str) -> None:
        async def call(client: Any) -> None:
            answer = await client.post("/page/call", json={"path": path, "method": "PUT"})

            assert answer.json()["body"] == f"PUT {path}"

        on_stage(call, shout)

    def test_a_redirect_is_shown_and_not_followed(self) -> None:
        async def call(client: Any) -> None:
            answer = (await client.post("/page/call", json={"path": "/?redirect"})).json()

            assert answer["status"] == 302
            assert answer["lines"][-1]["text"] == f"Location: http://{HOST}/elsewhere"

        on_stage(call, shout)

    def test_two_challenge_headers_are_two_challenges(self) -> None:
        async def call(client: Any) -> None:
            answer = (await client.post("/page/call", json={"path": "/?two"})).json()

            assert [line["text"] for line in answer["lines"][1:]] == ["WWW-Authenticate: A", "WWW-Authenticate: B"]

        on_stage(call, shout)

    def test_a_body_that_is_no_text_is_its_size(self) -> None:
        async def call(client: Any) -> None:
            answer = (await client.post("/page/call", json={"path": "/?binary"})).json()

            assert (answer["body"], answer["size"]) == (None, 2)

        on_stage(call, shout)

    @pytest.mark.parametrize(("how", "why"), [("long", "longer than 262144 bytes"), ("silent", "500")])
    def test_an_answer_that_cannot_be_shown_is_said_to_be_none(self, how: str, why: str) -> None:
        async def call(client: Any) -> None:
            answer = await client.post("/page/call", json={"path": f"/?{how}"})

            assert why in answer.text

        on_stage(call, shout)

    def test_an_application_that_is_not_there_is_said_to_be_away(self) -> None:
        with listen(0, "--port") as gone:
            url = address(gone)

        async def call() -> httpx2.Response:
            async with visitor(Issuer(HOME), Protected(name="gone", url=url)) as client:
                return await client.post("/page/call", json={}, headers=OURS)

        answer = anyio.run(call)

        assert answer.status_code == 502
        assert "the application gave no answer" in answer.json()["errors"][""]

    def test_the_token_reaches_the_application_and_the_page_alone(self, watch: Watch) -> None:
        echo = Echo()
        watch.secrets.add("hidden-token")

        async def call(client: Any) -> None:
            header = bearer("hidden-token")["authorization"]
            answer = await client.post("/page/call", json={"path": "/x", "authorization": header})

            assert "hidden-token" not in answer.text
            assert "hidden-token" not in str(answer.request.url)

        on_stage(call, echo)

        (scope,) = [scope for scope in echo.scopes if scope["type"] == "http"]
        assert (b"authorization", b"Bearer hidden-token") in scope["headers"]
        assert b"origin" not in dict(scope["headers"])


def test_an_application_without_scopes_has_none_to_be_missing() -> None:
    async def read_labels() -> list[str]:
        async with visitor(Issuer(HOME), Protected(name="mine", url="http://127.0.0.1:8000")) as client:
            return [preset["label"] for preset in (await client.get("/page/setup")).json()["presets"]]

    labels = anyio.run(read_labels)

    assert "Good token" in labels
    assert "Missing scope" not in labels
