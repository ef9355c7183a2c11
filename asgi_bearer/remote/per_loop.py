"""What belongs to one event loop, such as its connections, and goes with its owner or with the loop. Floor 2.

One variable for all of it, since an event loop keeps every variable that was ever set in it for as long as it lives.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from anyio.lowlevel import RunVar

_held: RunVar[WeakKeyDictionary[Any, Any] | None] = RunVar("asgi_bearer.per_loop", None)


def held_by_this_loop() -> WeakKeyDictionary[Any, Any]:
    """Return what the running event loop holds, by owner."""
    held = _held.get()
    if held is None:
        held = WeakKeyDictionary()
        _held.set(held)
    return held
