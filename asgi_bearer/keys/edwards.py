"""Points of Ed25519 and Ed448 (RFC 8032 section 5), to know keys that anybody can sign for. Floor 3.

cryptography takes any 32 or 57 bytes for a public key. With a point of small order, signatures can be made without the
private key; so a key is decoded here, once, when it is imported. Nothing here is secret: no need for constant time.
"""

from __future__ import annotations

from typing import NamedTuple


class Point(NamedTuple):
    """A point in affine coordinates."""

    x: int
    y: int


class Curve(NamedTuple):
    """The curve a·x² + y² = 1 + d·x²·y² over the field of `p`, its points `size` bytes long."""

    p: int
    a: int
    d: int
    order: int
    cofactor: int
    size: int

    def decode(self, data: bytes) -> Point | None:
        """Return the point that `data` encodes canonically (RFC 8032 sections 5.1.3 and 5.2.3), or None."""
        if len(data) != self.size:
            return None
        number = int.from_bytes(data, "little")
        sign, y = number >> (8 * self.size - 1), number & ((1 << (8 * self.size - 1)) - 1)
        if y >= self.p:
            return None
        # x² = (1 - y²) / (a - d·y²)
        square = (1 - y * y) * pow(self.a - self.d * y * y, -1, self.p) % self.p
        x = self._root(square)
        if x is None or (x == 0 and sign):
            return None
        return Point(self.p - x if x & 1 != sign else x, y)

    def has_small_order(self, point: Point) -> bool:
        """Tell whether `point` is one of the few whose multiples are few: no key, anybody can sign for it."""
        return self.multiply(self.cofactor, point) == _NEUTRAL

    def is_in_prime_subgroup(self, point: Point) -> bool:
        """Tell whether `point` is where honestly made public keys are: one in `cofactor` of all points."""
        return self.multiply(self.order, point) == _NEUTRAL

    def multiply(self, times: int, point: Point) -> Point:
        """Return `times` · `point`."""
        result = _NEUTRAL
        while times:
            if times & 1:
                result = self._add(result, point)
            point = self._add(point, point)
            times >>= 1
        return result

    def _add(self, one: Point, other: Point) -> Point:
        product = self.d * one.x * other.x * one.y * other.y % self.p
        x = (one.x * other.y + one.y * other.x) * pow(1 + product, -1, self.p)
        y = (one.y * other.y - self.a * one.x * other.x) * pow(1 - product, -1, self.p)
        return Point(x % self.p, y % self.p)

    def _root(self, square: int) -> int | None:
        if self.p % 8 == 5:  # noqa: PLR2004  # RFC 8032 section 5.1.3
            root = pow(square, (self.p + 3) // 8, self.p)
            if root * root % self.p != square:
                root = root * pow(2, (self.p - 1) // 4, self.p) % self.p
        else:  # p is 3 modulo 4: RFC 8032 section 5.2.3
            root = pow(square, (self.p + 1) // 4, self.p)
        return root if root * root % self.p == square else None


_NEUTRAL = Point(0, 1)

_P25519 = 2**255 - 19
ED25519 = Curve(
    p=_P25519,
    a=-1,
    d=-121665 * pow(121666, -1, _P25519) % _P25519,
    order=2**252 + 27742317777372353535851937790883648493,
    cofactor=8,
    size=32,
)
ED448 = Curve(
    p=2**448 - 2**224 - 1,
    a=1,
    d=-39081,
    order=2**446 - 13818066809895115352007386748515426880336692474882178609894547503885,
    cofactor=4,
    size=57,
)
