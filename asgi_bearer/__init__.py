"""Makes any ASGI application an OAuth 2.0 resource server: a door, a verifier, an `AccessToken` for the handler."""

from asgi_bearer.access_token import AccessToken, Anonymous, TokenVerifier, get_access_token
from asgi_bearer.errors import (
    BearerError,
    InsufficientAuthentication,
    InsufficientScope,
    InvalidRequest,
    InvalidToken,
    MissingToken,
    Reason,
    VerifierUnavailable,
)
from asgi_bearer.keys.key_set import KeySet, RemoteKeySet, StaticKeySet
from asgi_bearer.middleware import BearerMiddleware, Check
from asgi_bearer.remote.document import Freshness
from asgi_bearer.rules.options import InsecureConfigurationWarning
from asgi_bearer.testing.key_pair import RSAKeyPair
from asgi_bearer.verifiers.composite import ChainVerifier, MultiIssuerVerifier
from asgi_bearer.verifiers.introspection import IntrospectionTokenVerifier
from asgi_bearer.verifiers.jwt import JWTVerifier
from asgi_bearer.verifiers.static import StaticTokenVerifier

__version__ = "0.1.0"

__all__ = [
    "AccessToken",
    "Anonymous",
    "BearerError",
    "BearerMiddleware",
    "ChainVerifier",
    "Check",
    "Freshness",
    "InsecureConfigurationWarning",
    "InsufficientAuthentication",
    "InsufficientScope",
    "IntrospectionTokenVerifier",
    "InvalidRequest",
    "InvalidToken",
    "JWTVerifier",
    "KeySet",
    "MissingToken",
    "MultiIssuerVerifier",
    "RSAKeyPair",
    "Reason",
    "RemoteKeySet",
    "StaticKeySet",
    "StaticTokenVerifier",
    "TokenVerifier",
    "VerifierUnavailable",
    "get_access_token",
]
