"""A door out of the environment: every variable, files for secrets, and sentences that name what is wrong."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from fakes import Echo, call, http_scope

from asgi_bearer import BearerMiddleware, IntrospectionTokenVerifier, JWTVerifier, RSAKeyPair
from asgi_bearer.integrations.settings import BearerSettings, door_options

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from leaks import Watch

ISSUER, API = "https://idp.example", "https://api.example"
SECRET = "a-secret-of-this-server"
PAIR = RSAKeyPair.generate()
BASE = {"ISSUER": ISSUER, "AUDIENCE": API}


@pytest.fixture(autouse=True)
def _watch_the_secret(watch: Watch) -> None:
    watch.secrets |= {SECRET}


@pytest.fixture
def set_env(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    for name in list(os.environ):
        if name.startswith("ASGI_BEARER_"):
            monkeypatch.delenv(name)

    def set_env(**variables: Any) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(f"ASGI_BEARER_{name}", str(value))

    return set_env


async def status(door: BearerMiddleware, path: str = "/", token: str | None = None) -> tuple[int, str]:
    headers = () if token is None else ((b"authorization", f"Bearer {token}".encode()),)
    sent = await call(door, http_scope(*headers, path=path))
    return sent[0]["status"], dict(sent[0]["headers"]).get(b"www-authenticate", b"").decode()


@pytest.mark.anyio
async def test_two_facts_are_enough_and_every_other_option_is_heeded(set_env: Callable[..., None]) -> None:
    set_env(
        **BASE,
        PUBLIC_KEY=PAIR.public_key,
        REQUIRED_SCOPES="read write",
        LEEWAY=0,
        PUBLIC="/health, GET /docs/**",
        REALM="orders",
        EXPOSE_REASON="true",
    )
    door = BearerMiddleware.from_env(Echo())
    token = {scope: PAIR.create_token(issuer=ISSUER, audience=API, scopes=scope) for scope in (("read", "write"), ())}

    assert (await status(door))[1] == 'Bearer realm="orders", scope="read write"'
    assert (await status(door, token=token["read", "write"]))[0] == 200
    assert (await status(door, token=token[()]))[0] == 403
    assert (await status(door, "/health"))[0] == (await status(door, "/docs/a"))[0] == 200
    assert "Reason: malformed." in (await status(door, token="x"))[1]


@pytest.mark.anyio
async def test_what_is_written_in_code_comes_before_the_environment(set_env: Callable[..., None]) -> None:
    set_env(**BASE, REALM="orders")

    door = BearerMiddleware.from_env(Echo(), realm="other", required_scopes=["admin"])

    assert (await status(door))[1] == 'Bearer realm="other", scope="admin"'


@pytest.mark.parametrize(
    ("variables", "kind"),
    [
        ({}, JWTVerifier),
        ({"JWKS_URI": "https://idp.example/keys", "ALGORITHM": "ES256, RS256", "PROFILE": "rfc9068"}, JWTVerifier),
        ({"SECRET": "s" * 32, "ALGORITHM": "HS256"}, JWTVerifier),
        ({"CLIENT_ID": "rs", "CLIENT_SECRET": SECRET}, IntrospectionTokenVerifier),
        (
            {
                "INTROSPECTION_ENDPOINT": "http://idp.internal/introspect",
                "ALLOW_INSECURE_HTTP": "1",
                "CLIENT_ID": "rs",
                "CLIENT_SECRET": SECRET,
                "CLIENT_AUTH": "client_secret_post",
                "SERVER_URL": API,
                "NEGATIVE_TTL": 1,
                "CACHE_TTL": 0,
            },
            IntrospectionTokenVerifier,
        ),
    ],
    ids=range(5),
)
def test_the_variables_choose_the_verifier(
    variables: dict[str, Any], kind: type[object], set_env: Callable[..., None]
) -> None:
    set_env(**BASE, **variables)

    assert type(door_options()["verifier"]) is kind


@pytest.mark.anyio
async def test_secrets_may_stand_in_files(set_env: Callable[..., None], tmp_path: Path) -> None:
    key, secret = tmp_path / "key.pem", tmp_path / "secret"
    key.write_text(PAIR.public_key + "\n")
    secret.write_text(f"{SECRET}\n")

    set_env(**BASE, PUBLIC_KEY_FILE=key)
    token = PAIR.create_token(issuer=ISSUER, audience=API)
    assert (await status(BearerMiddleware.from_env(Echo()), token=token))[0] == 200


def test_a_secret_of_introspection_may_stand_in_a_file(set_env: Callable[..., None], tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\n")
    set_env(**BASE, CLIENT_ID="rs", CLIENT_SECRET_FILE=path)

    assert type(door_options()["verifier"]) is IntrospectionTokenVerifier


WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, "ASGI_BEARER_ISSUER and ASGI_BEARER_AUDIENCE are not set: they say whose tokens are taken, and for whom"),
    ({"REALM": "x"}, "ASGI_BEARER_ISSUER and ASGI_BEARER_AUDIENCE are not set"),
    ({**BASE, "AUDIANCE": API}, "ASGI_BEARER_AUDIANCE is no setting: is ASGI_BEARER_AUDIENCE meant?"),
    ({**BASE, "XYZZY": API}, "ASGI_BEARER_XYZZY is no setting"),
    ({**BASE, "LEEWAY": "soon"}, "ASGI_BEARER_LEEWAY: Input should be a valid number"),
    ({**BASE, "LEEWAY": "400"}, "ASGI_BEARER_LEEWAY: leeway is a number of seconds, from 0 to 300, not 400.0"),
    ({**BASE, "ISSUER": "http://idp.example"}, "ASGI_BEARER_ISSUER: issuer must be https"),
    ({**BASE, "ISSUER": ""}, "ASGI_BEARER_ISSUER: issuer is empty"),
    ({**BASE, "AUDIENCE": " "}, "ASGI_BEARER_AUDIENCE: audience is an empty sequence"),
    ({**BASE, "EXPOSE_REASON": "perhaps"}, "ASGI_BEARER_EXPOSE_REASON: Input should be a valid boolean"),
    ({**BASE, "PREFETCH": "later"}, "ASGI_BEARER_PREFETCH: Input should be 'warn', 'require' or 'off'"),
    ({**BASE, "PROFILE": "strict"}, "ASGI_BEARER_PROFILE: profile is one of"),
    ({**BASE, "SECRET": SECRET}, "ASGI_BEARER_SECRET: secret is shorter than the hash of HS256"),
    ({**BASE, "CLIENT_ID": "rs"}, "ASGI_BEARER_*: client_secret_basic needs client_id= and client_secret="),
    (
        {**BASE, "CLIENT_ID": "rs", "CLIENT_SECRET": f"{SECRET}\n"},
        "ASGI_BEARER_CLIENT_SECRET: client_secret has a line",
    ),
    (
        {**BASE, "CLIENT_ID": "rs", "JWKS_URI": "https://idp.example/keys"},
        "ASGI_BEARER_CLIENT_ID and ASGI_BEARER_JWKS_URI are of two verifiers",
    ),
    ({**BASE, "SECRET_FILE": "missing"}, "ASGI_BEARER_SECRET_FILE: the file cannot be read (FileNotFoundError)"),
    (
        {**BASE, "CLIENT_SECRET": SECRET, "CLIENT_SECRET_FILE": "missing"},
        "ASGI_BEARER_CLIENT_SECRET and ASGI_BEARER_CLIENT_SECRET_FILE are both set: leave one out",
    ),
]


@pytest.mark.parametrize(("variables", "sentence"), WRONG, ids=[f"{n} {row[1]}" for n, row in enumerate(WRONG)])
def test_a_wrong_value_names_its_variable_and_shows_no_secret(
    variables: dict[str, Any], sentence: str, set_env: Callable[..., None]
) -> None:
    set_env(**variables)

    with pytest.raises(ValueError, match="ASGI_BEARER_") as caught:
        door_options()

    assert sentence in str(caught.value)
    assert SECRET not in f"{caught.value} {caught.value!r}"
    assert caught.value.__cause__ is caught.value.__context__ is None


def test_settings_show_no_secret(set_env: Callable[..., None]) -> None:
    set_env(**BASE, CLIENT_SECRET=SECRET, SECRET=SECRET, PUBLIC_KEY=SECRET)

    assert SECRET not in f"{BearerSettings()} {BearerSettings()!r}"


def test_other_variables_are_none_of_our_business(
    set_env: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_env(**BASE)
    monkeypatch.setenv("ISSUER", "https://another.example")
    monkeypatch.setenv("ASGI_OTHER", "1")

    assert type(door_options()["verifier"]) is JWTVerifier
