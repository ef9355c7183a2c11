"""What development and tests need: key pairs and an issuer. Never for production. Floor 6."""

from typing import TYPE_CHECKING

from asgi_bearer.testing.key_pair import KeyPair, RSAKeyPair

__all__ = ["Issuer", "KeyPair", "RSAKeyPair"]

if TYPE_CHECKING:
    from asgi_bearer.testing.issuer import Issuer
else:

    def __getattr__(name):  # noqa: ANN001, ANN202  # type checkers see the import above
        """Import the issuer when it is asked for: the package itself needs the key pair alone."""
        if name != "Issuer":
            message = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(message)
        from asgi_bearer.testing.issuer import Issuer  # noqa: PLC0415

        return Issuer
