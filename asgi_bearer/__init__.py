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
from asgi_bearer.gate import require
from asgi_bearer.keys.key_set import KeySet, RemoteKeySet, StaticKeySet
from asgi_bearer.middleware import BearerMiddleware, Check
from asgi_bearer.protected_resource import ProtectedResource
from asgi_bearer.remote.document import Freshness
from asgi_bearer.rules.challenge import problem_json
from asgi_bearer.rules.options import InsecureConfigurationWarning
from asgi_bearer.rules.requirements import Requirement, acr, any_scope, claim, role, scopes
from asgi_bearer.testing.key_pair import RSAKeyPair
from asgi_bearer.verifiers.client_assertion import ClientSecretJWT, PrivateKeyJWT
from asgi_bearer.verifiers.client_auth import (
    Authentication,
    ClientAuth,
    ClientSecretBasic,
    ClientSecretPost,
    NoClientAuth,
    TLSClientAuth,
)
from asgi_bearer.verifiers.composite import ChainVerifier, MultiIssuerVerifier
from asgi_bearer.verifiers.introspection import IntrospectionTokenVerifier
from asgi_bearer.verifiers.introspection_answer import SignedResponse
from asgi_bearer.verifiers.jwt import JWTVerifier
from asgi_bearer.verifiers.own_token import BearerToken, ClientCredentials
from asgi_bearer.verifiers.static import StaticTokenVerifier

__version__ = "0.1.0"

__all__ = [
    "AccessToken",
    "Anonymous",
    "Authentication",
    "BearerError",
    "BearerMiddleware",
    "BearerToken",
    "ChainVerifier",
    "Check",
    "ClientAuth",
    "ClientCredentials",
    "ClientSecretBasic",
    "ClientSecretJWT",
    "ClientSecretPost",
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
    "NoClientAuth",
    "PrivateKeyJWT",
    "ProtectedResource",
    "RSAKeyPair",
    "Reason",
    "RemoteKeySet",
    "Requirement",
    "SignedResponse",
    "StaticKeySet",
    "StaticTokenVerifier",
    "TLSClientAuth",
    "TokenVerifier",
    "VerifierUnavailable",
    "acr",
    "any_scope",
    "claim",
    "get_access_token",
    "problem_json",
    "require",
    "role",
    "scopes",
]
