"""What development and tests need: key pairs and an issuer. Never for production. Floor 6."""

from asgi_bearer.testing.key_pair import RSAKeyPair

__all__ = ["RSAKeyPair"]
