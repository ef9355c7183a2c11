"""Verdicts by token, bounded in number and holding no token. Floor 4.

The rules: the key is a hash with a random prefix of this cache's own, so that nothing in it can be matched with a token
from outside, and no two verifiers ever share a verdict; whoever takes an entry out checks whether it still holds; a
race between threads counts as a miss.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Generic, TypeVar

from cachetools import LRUCache

if TYPE_CHECKING:
    from collections.abc import Callable

V = TypeVar("V")

MAX_TOKEN_LENGTH = 8 * 1024


class TokenCache(Generic[V]):
    """The last `size` verdicts that were asked for; 0 keeps none. `random_bytes` is the source of the prefix."""

    def __init__(self, size: int, *, random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        self._entries: LRUCache[bytes, V] = LRUCache(size)
        self._size = size
        self._prefix = hashlib.sha256(random_bytes(32))

    def key(self, token: str) -> bytes:
        """Return the name of `token` in this cache."""
        digest = self._prefix.copy()
        digest.update(token.encode("utf-8", "surrogatepass"))
        return digest.digest()

    def get(self, key: bytes) -> V | None:
        """Return the entry, or None."""
        entries = self._entries
        # Looked for first: most misses are tokens never seen, and a KeyError costs as much as the hash.
        if key not in entries:
            return None
        try:
            return entries[key]
        except KeyError:
            return None

    def put(self, key: bytes, entry: V, token: str) -> None:
        """Keep `entry`, unless the token is so long that it was made to fill the cache's time, not its room."""
        if not self._size or len(token) > MAX_TOKEN_LENGTH:
            return
        try:
            self._entries[key] = entry
        except (KeyError, RuntimeError):
            # Two threads at once can leave the entries and their order at odds, and then no entry gets in any more.
            self._entries = LRUCache(self._size)

    def drop(self, key: bytes) -> None:
        """Forget the entry, at once."""
        try:
            self._entries.pop(key, None)
        except (KeyError, RuntimeError):
            # As in `put`: what cannot be taken out alone goes with all the others.
            self._entries = LRUCache(self._size)
