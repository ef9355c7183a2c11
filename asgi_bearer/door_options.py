"""What a door's options must be, and what to write where one is not: said when the door is made. Floor 4.

The rule of this module: a door that was made is one that works; no request finds out that an option was wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeVar

from asgi_bearer.protected_resource import ProtectedResource

T = TypeVar("T")


def application(app: T) -> T:
    """Return `app`, which can be called and is no verifier."""
    if not callable(app) or callable(getattr(app, "verify_token", None)):
        message = f"app is an ASGI application, not {kind_of(app)}: write BearerMiddleware(app, verifier)"
        raise TypeError(message)
    return app


def verifier(verifier: T) -> T:
    """Return `verifier`, an object that has `verify_token`."""
    if isinstance(verifier, type) or not callable(getattr(verifier, "verify_token", None)):
        message = (
            f"verifier is an object with async verify_token(token), such as JWTVerifier(...), not {kind_of(verifier)}"
        )
        raise TypeError(message)
    return verifier


def checks(checks: Iterable[T]) -> tuple[T, ...]:
    """Return `checks`, objects that have `check`."""
    if not isinstance(checks, Iterable):
        message = f"checks is a sequence of objects with async check(token, scope), not {kind_of(checks)}"
        raise TypeError(message)
    found = tuple(checks)
    for check in found:
        if isinstance(check, type) or not callable(getattr(check, "check", None)):
            message = f"each of checks is an object with async check(token, scope), not {kind_of(check)}"
            raise TypeError(message)
    return found


def resources(resource: object) -> tuple[ProtectedResource, ...]:
    """Return the resources that `resource` is, those with the longest paths first: they are the nearest."""
    found = () if resource is None else (resource,) if isinstance(resource, ProtectedResource) else resource
    if isinstance(found, str) or not isinstance(found, Iterable):
        message = f"resource is a ProtectedResource: write ProtectedResource('https://...', ...), not {kind_of(found)}"
        raise TypeError(message)
    named = tuple(found)
    for one in named:
        if not isinstance(one, ProtectedResource):
            message = f"each of resource is a ProtectedResource, not {kind_of(one)}"
            raise TypeError(message)
    if len({one.metadata_url for one in named}) < len(named):
        raise ValueError("resource: two of them have the same metadata_url: give each its own path")
    return tuple(sorted(named, key=lambda one: -len(one.path)))


def subprotocol(name: str | None) -> str | None:
    """Return `name`, one that a subprotocol can have."""
    if name is None:
        return None
    # RFC 6455 section 11.3.4: a token of RFC 9110, as a scheme is
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name):
        message = f"websocket_subprotocol is the name of a subprotocol, such as 'bearer', not {name!r}"
        raise TypeError(message) if not isinstance(name, str) else ValueError(message)
    return name


def kind_of(value: object) -> str:
    """Name the kind of `value`, for a sentence about it."""
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
