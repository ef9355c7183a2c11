"""Verdicts by token, bounded in number and holding no token. Floor 4.

The rules: the key is a hash with a random prefix of this cache's own, so that nothing in it can be matched with a token
from outside, and no two verifiers ever share a verdict; whoever takes an entry out checks whether it still holds; a
race between threads counts as a miss.
"""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

V = TypeVar("V")

MAX_TOKEN_LENGTH = 8 * 1024


class TokenCache(Generic[V]):
    """The last `size` verdicts that were asked for; 0 keeps none. `random_bytes` is the source of the prefix."""

    def __init__(self, size: int, *, random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        # Not cachetools' LRUCache: a hit is two calls of C here, and a dozen of Python there.
        self._entries: OrderedDict[bytes, V] = OrderedDict()
        self._size = size
        self._prefix = hashlib.sha256(random_bytes(32))

    def key(self, token: str) -> bytes:
        """Return the name of `token` in this cache."""
        digest = self._prefix.copy()
        digest.update(token.encode("utf-8", "surrogatepass"))
        return digest.digest()

    def get(self, key: bytes) -> V | None:
        """Return the entry, or None."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        try:
            self._entries.move_to_end(key)
        except KeyError:
            return None
        return entry

    def put(self, key: bytes, entry: V, token: str) -> None:
        """Keep `entry`, unless the token is so long that it was made to fill the cache's time, not its room."""
        if not self._size or len(token) > MAX_TOKEN_LENGTH:
            return
        self._entries[key] = entry
        if len(self._entries) > self._size:
            with suppress(KeyError):  # other threads have emptied it meanwhile
                self._entries.popitem(last=False)

    def drop(self, key: bytes) -> None:
        """Forget the entry, at once."""
        self._entries.pop(key, None)
