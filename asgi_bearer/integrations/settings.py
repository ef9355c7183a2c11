"""A door out of the environment, for deployments: ASGI_BEARER_ISSUER, ASGI_BEARER_AUDIENCE and so on. Floor 6.

The rules: a variable that nobody knows is an error, since a misspelled one would leave a check out; secrets may stand
in files; a sentence about a wrong value names the variable, and shows no secret.
"""

from __future__ import annotations

import os
import re
from difflib import get_close_matches
from pathlib import Path  # noqa: TC003  # pydantic reads the annotations
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from asgi_bearer.verifiers.introspection import IntrospectionTokenVerifier
from asgi_bearer.verifiers.jwt import JWTVerifier

if TYPE_CHECKING:
    from asgi_bearer.access_token import TokenVerifier

PREFIX = "ASGI_BEARER_"
_Words = Annotated[tuple[str, ...] | None, NoDecode]
# What the door takes, the keys of JWTVerifier, and what makes it an IntrospectionTokenVerifier
_DOOR = ("optional", "public", "realm", "expose_reason", "close_at_expiry", "websocket_subprotocol", "prefetch")
_INTROSPECTION = ("introspection_endpoint", "client_id", "client_secret", "client_auth", "server_url", "negative_ttl")
_JWT = ("jwks_uri", "public_key", "secret", "algorithm", "profile")
_BOTH = ("issuer", "audience", "required_scopes", "leeway", "cache_ttl", "cache_size", "allow_insecure_http")
_IN_FILES = ("public_key", "secret", "client_secret")


class BearerSettings(BaseSettings):
    """What the environment says. Every variable is an option of the same name, in capitals behind ASGI_BEARER_.

    - of both verifiers: `issuer`, `audience`, `required_scopes` (spaces or commas part several), `leeway`, `cache_ttl`,
      `cache_size`, `allow_insecure_http`.
    - of `JWTVerifier`: `jwks_uri`, `public_key`, `secret`, `algorithm`, `profile`.
    - of `IntrospectionTokenVerifier`, which any of them chooses: `introspection_endpoint`, `client_id`,
      `client_secret`, `client_auth`, `server_url`, `negative_ttl`.
    - of the door: `optional`, `public` (commas part several), `realm`, `expose_reason`, `close_at_expiry`,
      `websocket_subprotocol`, `prefetch`.

    ASGI_BEARER_CLIENT_SECRET_FILE, ASGI_BEARER_SECRET_FILE and ASGI_BEARER_PUBLIC_KEY_FILE name files that hold them.
    """

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        env_prefix=PREFIX, hide_input_in_errors=True, frozen=True
    )

    issuer: str | None = None
    audience: _Words = None
    required_scopes: _Words = None
    leeway: float | None = None
    cache_ttl: float | None = None
    cache_size: int | None = None
    allow_insecure_http: bool | None = None
    jwks_uri: str | None = None
    public_key: str | None = Field(default=None, repr=False)
    public_key_file: Path | None = None
    secret: str | None = Field(default=None, repr=False)
    secret_file: Path | None = None
    algorithm: _Words = None
    profile: str | None = None
    introspection_endpoint: str | None = None
    client_id: str | None = None
    client_secret: str | None = Field(default=None, repr=False)
    client_secret_file: Path | None = None
    client_auth: str | None = None
    server_url: str | None = None
    negative_ttl: float | None = None
    optional: bool | None = None
    public: _Words = None
    realm: str | None = None
    expose_reason: bool | None = None
    close_at_expiry: bool | None = None
    websocket_subprotocol: str | None = None
    prefetch: Literal["warn", "require", "off"] | None = None

    @field_validator("audience", "required_scopes", "algorithm", mode="before")
    @classmethod
    def _split_words(cls, value: object) -> object:
        return tuple(filter(None, re.split(r"[\s,]+", value))) if isinstance(value, str) else value

    @field_validator("public", mode="before")
    @classmethod
    def _split_paths(cls, value: object) -> object:
        return tuple(filter(None, re.split(r"\s*,\s*", value.strip()))) if isinstance(value, str) else value


def door_options() -> dict[str, Any]:
    """Return the verifier and the other options of the door that the environment describes.

    Raises `ValueError` with a sentence that names the variable.
    """
    settings = _read()
    given = {name: value for name, value in settings.model_dump().items() if value is not None}
    for name in _IN_FILES:
        path = given.pop(f"{name}_file", None)
        if path is not None:
            if name in given:
                message = f"{PREFIX}{name.upper()} and {PREFIX}{name.upper()}_FILE are both set: leave one out"
                raise ValueError(message)
            given[name] = _content(name, path)
    return {"verifier": _verifier(given), **{name: given[name] for name in _DOOR if name in given}}


def _read() -> BearerSettings:
    known = [f"{PREFIX}{name.upper()}" for name in BearerSettings.model_fields]
    for name in os.environ:
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            near = get_close_matches(name.upper(), known, n=1)
            message = f"{name} is no setting{f': is {near[0]} meant?' if near else ''}"
            raise ValueError(message)
    try:
        return BearerSettings()
    except ValidationError as error:
        wrong = [f"{PREFIX}{str(one['loc'][0]).upper()}: {one['msg']}" for one in error.errors(include_input=False)]
    # Raised outside of the handler: pydantic's error holds the values.
    raise ValueError("; ".join(wrong))


def _content(name: str, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        message = f"{PREFIX}{name.upper()}_FILE: the file cannot be read ({type(error).__name__})"
    raise ValueError(message)


def _verifier(given: dict[str, Any]) -> TokenVerifier:
    asks = [name for name in _INTROSPECTION if name in given]
    checks = [name for name in _JWT if name in given]
    if asks and checks:
        names = " and ".join(f"{PREFIX}{name.upper()}" for name in (asks[0], checks[0]))
        message = (
            f"{names} are of two verifiers, one that asks the server and one that checks signatures: leave one out"
        )
        raise ValueError(message)
    if not given.keys() & {*_BOTH, *asks, *checks}:
        message = f"{PREFIX}ISSUER and {PREFIX}AUDIENCE are not set: they say whose tokens are taken, and for whom"
        raise ValueError(message)
    make: Any = IntrospectionTokenVerifier if asks else JWTVerifier
    options = {name: given[name] for name in (*_BOTH, *asks, *checks) if name in given}
    try:
        verifier: TokenVerifier = make(**options)
    except (ValueError, TypeError) as error:
        message = _with_variable(str(error), options)
    else:
        return verifier
    raise ValueError(message)


def _with_variable(sentence: str, options: dict[str, Any]) -> str:
    first = sentence.split(maxsplit=1)[0].rstrip(":")
    return f"{PREFIX}{first.upper()}: {sentence}" if first in options else f"{PREFIX}*: {sentence}"
