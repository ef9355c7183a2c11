"""What can be seen of the application behind a door: CORS in the wrong place, roots that it takes off. Floor 1.

The rules: what is found is found by names, since no framework is imported; what cannot be looked at is nothing; and
nothing that an application's attributes do gets out of here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

# More than anybody stacks; it ends the walk where an attribute `app` leads in a circle.
_DEPTH = 64
_MOST_APPLICATIONS = 1000


def find_cors(app: object) -> str | None:
    """Return what to write instead, if `app`, around which a door stands, handles CORS itself; None if it does not.

    It looks down the attribute `app` from middleware to middleware, into `user_middleware` of Starlette and FastAPI,
    and at `cors_config` of Litestar. It does NOT see what other frameworks do in hooks of their own, nor what is
    mounted.
    """
    for _ in range(_DEPTH):
        if _is_cors(type(app)):
            return "write CORSMiddleware(BearerMiddleware(app, verifier), ...)"
        if any(_is_cors(_attribute(one, "cls")) for one in _listed(_attribute(app, "user_middleware"))):
            return (
                "take it out of the application and write CORSMiddleware(BearerMiddleware(app, verifier), ...), or put "
                "both into the application's middleware, CORSMiddleware before BearerMiddleware"
            )
        if _attribute(app, "cors_config") is not None:
            return (
                "leave out cors_config and write CORSMiddleware(BearerMiddleware(app, verifier), ...), or keep it and "
                "put the door into the application: middleware=[DefineMiddleware(BearerMiddleware, verifier=verifier)]"
            )
        app = _attribute(app, "app")
    return None


def inner_roots(app: object) -> Iterator[str]:
    """Yield each `root_path` that `app`, or what it wraps or mounts, puts into the scope itself, as FastAPI does."""
    waiting = [app]
    for _ in range(_MOST_APPLICATIONS):
        if not waiting:
            return
        one = waiting.pop()
        root = _attribute(one, "root_path")
        if isinstance(root, str) and root.rstrip("/"):
            yield root.rstrip("/")
        inner = _attribute(one, "app")
        waiting += [found for found in (inner, *_listed(_attribute(one, "routes"))) if found is not None]


def _is_cors(kind: Any) -> bool:
    return isinstance(kind, type) and any(one.__name__ == "CORSMiddleware" for one in kind.__mro__)


def _attribute(value: object, name: str) -> Any:
    try:
        return getattr(value, name, None)
    except Exception:  # noqa: BLE001  # somebody else's property; the application starts all the same
        return None


def _listed(value: object) -> list[Any]:
    try:
        return list(value) if isinstance(value, Iterable) else []
    except Exception:  # noqa: BLE001  # as above
        return []
