"""The example of an MCP server in the documentation runs as it is written, on other addresses."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from interop.mcp_peers import begin, http_client, listen, read_result, running, send

from asgi_bearer.testing import Issuer

pytestmark = pytest.mark.usefixtures("mcp_packages")

PAGE = Path(__file__).parents[2] / "docs" / "pages" / "frameworks" / "mcp.md"


def example() -> str:
    """Return the code of the server, which is the page's first."""
    return str(re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)[0])


def test_the_server_of_the_page_serves_its_caller() -> None:
    (issuing, issuer_url), (listener, origin) = listen(), listen()
    issuer = Issuer(issuer_url, audience=f"{origin}/mcp")
    code = example().replace("https://idp.example.com/", issuer_url).replace("https://mcp.example.com", origin)
    module: dict[str, Any] = {"__name__": "page"}
    exec(compile(code, PAGE, "exec"), module)  # noqa: S102  # our own example

    good = issuer.token(sub="alice", scopes=["notes:read"])
    with running(issuer, issuing), running(module["app"], listener), http_client(origin) as client:
        session = begin(client, good)
        called = send(client, good, "tools/call", session=session, name="whoami", arguments={})
        refused = send(client, None, "tools/list")
        lacking = send(client, issuer.token(sub="alice"), "tools/list")
        metadata = client.get("/.well-known/oauth-protected-resource/mcp")

    assert read_result(called) == "alice, who may notes:read"
    assert (refused.status_code, lacking.status_code) == (401, 403)
    assert json.loads(metadata.text)["authorization_servers"] == [issuer_url]
