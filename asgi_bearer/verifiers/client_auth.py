"""How this server shows an authorization server who it is: by a secret or a certificate (RFC 6749, RFC 8705). Floor 4.

The rules: one way at a time; what is sent goes to the configured server alone; no repr shows a secret.
"""

from __future__ import annotations

import base64
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, cast
from urllib.parse import quote_plus

from asgi_bearer.rules import options

if TYPE_CHECKING:
    from collections.abc import Mapping


# The names of RFC 7591 section 2 and RFC 8705 section 2
_OBJECTS = {
    "client_secret_jwt": "ClientSecretJWT(...)",
    "private_key_jwt": "PrivateKeyJWT(...)",
    "tls_client_auth": "TLSClientAuth(...)",
    "self_signed_tls_client_auth": "TLSClientAuth(...)",
    "none": "NoClientAuth()",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Authentication:
    """What is added to one request: headers, members of its form, or neither."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    form: Mapping[str, str] = field(default_factory=dict, repr=False)


class ClientAuth(Protocol):
    """A way to authenticate: an object with this method.

    It may also have `client_id`, `ssl_context` (with which https connections are made) and `renew(authentication)`,
    which is called after a 401 or 403 and tells whether it is worth asking once more.
    """

    async def authenticate(self, issuer: str | None) -> Authentication:
        """Return what shows who we are to the authorization server `issuer` (None where that is not configured).

        Raises `VerifierUnavailable` where it cannot.
        """
        ...


class ClientSecretBasic:
    """`client_secret_basic`: the secret in the Authorization header (RFC 6749 section 2.3.1).

    `encoding` is "form", as the RFC says: both parts are form-encoded first; or "raw", for servers that do not decode
    them, which cannot tell a colon in the client_id from the one behind it.
    """

    def __init__(self, client_id: str, client_secret: str, *, encoding: Literal["form", "raw"] = "form") -> None:
        self.client_id: str = options.credential("client_id", client_id)
        secret = options.credential("client_secret", client_secret)
        if options.choice("encoding", encoding, ("form", "raw")) == "raw":
            if ":" in client_id:
                raise ValueError("client_id has a colon, which ends it where encoding='raw': write encoding='form'")
            pair = f"{client_id}:{secret}".encode()
        else:
            pair = f"{quote_plus(client_id)}:{quote_plus(secret)}".encode("ascii")
        header = "Basic " + base64.b64encode(pair).decode("ascii")
        self._authentication = Authentication(headers={"authorization": header})

    async def authenticate(self, issuer: str | None) -> Authentication:
        """Return the header."""
        del issuer
        return self._authentication

    def __repr__(self) -> str:
        """Show who, not what."""
        return f"ClientSecretBasic({self.client_id!r})"


class ClientSecretPost:
    """`client_secret_post`: the secret in the form (RFC 6749 section 2.3.1), for servers that take nothing better."""

    def __init__(self, client_id: str, client_secret: str) -> None:
        self.client_id: str = options.credential("client_id", client_id)
        form = {"client_id": client_id, "client_secret": options.credential("client_secret", client_secret)}
        self._authentication = Authentication(form=form)

    async def authenticate(self, issuer: str | None) -> Authentication:
        """Return the members of the form."""
        del issuer
        return self._authentication

    def __repr__(self) -> str:
        """Show who, not what."""
        return f"ClientSecretPost({self.client_id!r})"


class TLSClientAuth:
    """`tls_client_auth` and `self_signed_tls_client_auth`: our certificate is the proof (RFC 8705 section 2).

    The two differ in what the server knows of us, not in what is sent. `ssl_context` holds the certificate:

        context = ssl.create_default_context()
        context.load_cert_chain("client.pem", "client.key")

    It must verify the server. The endpoint must be https; where it is found in metadata, `mtls_endpoint_aliases` come
    first (section 5). With a `transport` of one's own the certificate is the transport's.
    """

    def __init__(self, client_id: str, ssl_context: ssl.SSLContext) -> None:
        self.client_id: str = options.credential("client_id", client_id)
        if not isinstance(ssl_context, ssl.SSLContext):
            message = f"ssl_context is an ssl.SSLContext that holds the certificate, not {type(ssl_context).__name__}"
            raise TypeError(message)
        verifies = ssl_context.verify_mode == ssl.CERT_REQUIRED and ssl_context.check_hostname
        if not verifies or ssl_context.protocol == ssl.PROTOCOL_TLS_SERVER:
            raise ValueError("ssl_context does not verify the server: write ssl.create_default_context()")
        self.ssl_context: ssl.SSLContext = ssl_context
        self._authentication = Authentication(form={"client_id": client_id})

    async def authenticate(self, issuer: str | None) -> Authentication:
        """Return the client_id: RFC 8705 section 2, it says whose certificate this should be."""
        del issuer
        return self._authentication

    def __repr__(self) -> str:
        """Show who."""
        return f"TLSClientAuth({self.client_id!r})"


class NoClientAuth:
    """No authentication at all, for endpoints that answer everybody, which RFC 7662 section 2.1 forbids.

    `client_id`: ours, where the endpoint wants to know whom it answers, or answers must name it (`response="jwt"`).
    """

    def __init__(self, client_id: str | None = None) -> None:
        self.client_id: str | None = None if client_id is None else options.credential("client_id", client_id)
        self._authentication = Authentication(form={} if client_id is None else {"client_id": client_id})

    async def authenticate(self, issuer: str | None) -> Authentication:
        """Return the client_id, or nothing."""
        del issuer
        return self._authentication


def require_client_auth(client_auth: object, client_id: object, client_secret: object) -> ClientAuth:
    """Return the way of authenticating of that name, or that object, which has the credentials itself."""
    if isinstance(client_auth, str):
        if client_auth in _OBJECTS:
            message = f"client_auth={client_auth!r} takes an object: write client_auth={_OBJECTS[client_auth]}"
            raise ValueError(message)
        return with_secret(client_auth, client_id, client_secret)
    if isinstance(client_auth, type) or not callable(getattr(client_auth, "authenticate", None)):
        message = (
            "client_auth is 'client_secret_basic', 'client_secret_post', or an object such as PrivateKeyJWT(...), "
            f"not {getattr(client_auth, '__name__', type(client_auth).__name__)}"
        )
        raise TypeError(message)
    if client_id is not None or client_secret is not None:
        raise ValueError("client_id and client_secret belong into the object that is client_auth: write them there")
    return cast("ClientAuth", client_auth)


def with_secret(method: object, client_id: object, client_secret: object) -> ClientSecretBasic | ClientSecretPost:
    """Return the way of authenticating of that name."""
    name = options.choice("client_auth", method, ("client_secret_basic", "client_secret_post"))
    if client_id is None or client_secret is None:
        # RFC 7662 section 2.1
        message = f"{name} needs client_id= and client_secret=: the endpoint answers nobody it does not know"
        raise ValueError(message)
    kind = ClientSecretBasic if name == "client_secret_basic" else ClientSecretPost
    return kind(cast("str", client_id), cast("str", client_secret))
