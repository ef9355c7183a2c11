"""Where keys come from: given once, or fetched and kept (RFC 7517 section 5). Floor 3.

The rules: a member that cannot be used is passed over, and the others serve (RFC 7517 section 5); symmetric and private
members are never used; `kid` is a name to look up and nothing else; a key that is gone takes its cached verdicts along.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, Protocol

from asgi_bearer.keys.jose import ASYMMETRIC_ALGORITHMS, Key, PublishedSecretError, UnusableKeyError, import_jwk
from asgi_bearer.remote.discovery import LIMITS, Discovery, read_document
from asgi_bearer.remote.document import Fetched, Freshness, RemoteDocument, Status, boottime
from asgi_bearer.remote.http import FetchError, Request, fetch
from asgi_bearer.rules import options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from asgi_bearer.remote.http import Transport

MAX_KEYS = 128
_MAX_TRIES = 4
_GONE = frozenset({404, 410})
_CONDITIONS = {"etag": "if-none-match", "last-modified": "if-modified-since"}
_GONE_BEFORE_REDISCOVERY = 3

_logger = logging.getLogger("asgi_bearer")


class KeySet(Protocol):
    """A source of keys. Another source (a file, a KMS) is an object with these three methods."""

    async def find(self, kid: str | None, alg: str) -> Sequence[Key]:
        """Return the keys that a token with this header may be signed with: few, or none.

        Raises `VerifierUnavailable` when it cannot know.
        """
        ...

    def current(self) -> int | None:
        """Return the generation of the keys, a number that changes when they do; None when none may be trusted now."""
        ...

    def holds(self, thumbprint: str) -> bool:
        """Tell whether the key with that RFC 7638 thumbprint is still in the set."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The usable keys of one set."""

    by_header: Mapping[tuple[str | None, str], tuple[Key, ...]]
    kids: frozenset[str | None]
    all: tuple[Key, ...]
    thumbprints: frozenset[str]

    def find(self, kid: str | None, alg: str) -> Sequence[Key]:
        """Return the keys of that name, or all where no name is given, that do that algorithm; four at most."""
        return self.by_header.get((kid, alg), ())

    @classmethod
    def of(cls, keys: Iterable[Key]) -> Keys:
        """Index `keys`; several may have one kid."""
        found = tuple(keys)
        by_header: dict[tuple[str | None, str], tuple[Key, ...]] = {}
        for key in found:
            for header in product({key.kid, None}, key.algorithms):
                # RFC 7515 section 4.1.4: kid is optional. A few keys are tried, and not as many as somebody publishes.
                by_header[header] = (*by_header.get(header, ()), key)[:_MAX_TRIES]
        return cls(
            by_header=by_header,
            kids=frozenset(key.kid for key in found),
            all=found,
            thumbprints=frozenset(key.thumbprint for key in found),
        )


def read_key_set(jwks: object, algorithms: Sequence[str]) -> Keys:
    """Return the usable keys of a JWK Set; raise `UnusableKeyError` where it is none or has none."""
    members = jwks.get("keys") if isinstance(jwks, dict) else None
    if not isinstance(members, list):
        message = "a JWK Set is an object with an array named keys"
        raise UnusableKeyError(message)
    usable, refusals, level = [], set(), logging.INFO
    for member in members[:MAX_KEYS]:
        try:
            usable.append(import_jwk(member, algorithms))
        except PublishedSecretError as error:
            refusals.add(str(error))
            level = logging.WARNING
        except UnusableKeyError as error:
            refusals.add(str(error))
    why = "; ".join(sorted(refusals))
    if not usable:
        message = f"the JWK Set has no key to verify with{': ' if why else ''}{why}"
        raise UnusableKeyError(message)
    if why:
        _logger.log(
            level, "%d of %d members of a JWK Set are not used: %s", len(members) - len(usable), len(members), why
        )
    return Keys.of(usable)


class StaticKeySet:
    """Keys that are given once: a JWK Set as a dict, or keys.

    `algorithm` narrows which algorithms are taken. Raises `ValueError` where no key can be used.
    """

    def __init__(
        self, jwks: Mapping[str, Any] | Sequence[Key], *, algorithm: str | Sequence[str] | None = None
    ) -> None:
        if isinstance(jwks, dict):
            self._keys = read_key_set(jwks, _asymmetric(algorithm))
        else:
            self._keys = _given(jwks)
            if algorithm is not None:
                raise ValueError("algorithm= narrows a JWK Set: a key that is given has its algorithm already")
        # A key given as PEM or as a secret has no name, so a token's kid cannot tell it from another.
        self._nameless = all(key.kid is None for key in self._keys.all)

    async def find(self, kid: str | None, alg: str) -> Sequence[Key]:
        """Return the keys for that header; where no key has a name, `kid` is ignored."""
        return self._keys.find(None if self._nameless else kid, alg)

    def current(self) -> int | None:
        """Return 0: these keys do not change."""
        return 0

    def holds(self, thumbprint: str) -> bool:
        """Tell whether the key is in the set."""
        return thumbprint in self._keys.thumbprints


def _given(keys: object) -> Keys:
    if not isinstance(keys, Sequence) or not all(isinstance(key, Key) for key in keys) or isinstance(keys, str | bytes):
        message = f"jwks is a JWK Set as a dict, {{'keys': [...]}}, not {type(keys).__name__}"
        raise TypeError(message)
    if not keys:
        raise ValueError("jwks is an empty sequence: give one key at least")
    return Keys.of(keys)


class RemoteKeySet:
    """The JWK Set at a URL, fetched once for all requests and kept through the provider's outages.

    - `url`: https; http is taken for loopback, or with `allow_insecure_http=True`. An issuer's `Discovery` in its place
      finds the URL in the issuer's metadata.
    - `algorithm`: narrows which algorithms are taken.
    - `freshness`: see `Freshness`; every duration in seconds.
    - `transport`: an httpx2 transport, where the default (TLS verified, no proxy) will not do.
    - `monotonic`: seconds on a clock that nobody sets.

    It makes no request before the first token. A key that the set no longer has is refused from the next fetch on; an
    unknown `kid` makes one fetch in `freshness.cooldown` seconds at most. It does NOT look into certificates (`x5c`).
    """

    def __init__(
        self,
        url: str | Discovery,
        *,
        algorithm: str | Sequence[str] | None = None,
        freshness: Freshness | None = None,
        allow_insecure_http: bool = False,
        transport: Transport | None = None,
        monotonic: Callable[[], float] = boottime,
    ) -> None:
        allow = options.flag("allow_insecure_http", allow_insecure_http)
        self._source = url if isinstance(url, Discovery) else options.url("jwks_uri", url, allow_insecure_http=allow)
        self._algorithms = _asymmetric(algorithm)
        if freshness is not None and not isinstance(freshness, Freshness):
            message = f"freshness is a Freshness, such as Freshness(cooldown=30), not {type(freshness).__name__}"
            raise TypeError(message)
        self._transport = transport
        self._gone = 0
        self._document: RemoteDocument[Keys] = RemoteDocument(
            "the key set",
            self._fetch,
            Freshness() if freshness is None else freshness,
            same=_same,
            monotonic=options.function("monotonic", monotonic),
        )

    async def find(self, kid: str | None, alg: str) -> Sequence[Key]:
        """Return the keys for that header. One that is not there may be new: then the set is fetched again."""
        keys = (await self._document.get()).value
        found = keys.find(kid, alg)
        if found or (kid is not None and kid in keys.kids):
            return found
        return (await self._document.renew()).value.find(kid, alg)

    def current(self) -> int | None:
        """Return the generation of the keys; None when there are none, or they are older than `max_stale`."""
        snapshot = self._document.peek()
        return None if snapshot is None else snapshot.generation

    def holds(self, thumbprint: str) -> bool:
        """Tell whether the key is in the set as it was fetched last."""
        snapshot = self._document.peek()
        return snapshot is not None and thumbprint in snapshot.value.thumbprints

    async def prefetch(self) -> None:
        """Fetch the set if it is not there yet. Raises `VerifierUnavailable`."""
        await self._document.get()

    def status(self) -> Status:
        """Return how the set is: its age, failures, and when it is fetched next."""
        return self._document.status()

    async def _fetch(self, *, since: Mapping[str, str], forced: bool) -> Fetched[Keys]:
        response = await fetch(await self._request(since, forced=forced), LIMITS, self._transport)
        self._gone = self._gone + 1 if response.status in _GONE else 0
        if response.status == 304:  # noqa: PLR2004
            return Fetched(value=None, headers=response.headers)
        document = read_document(response)
        try:
            return Fetched(value=read_key_set(document, self._algorithms), headers=response.headers)
        except UnusableKeyError as error:
            raise FetchError(str(error), status=response.status) from None

    async def _request(self, since: Mapping[str, str], *, forced: bool) -> Request:
        # RFC 7517 section 8.5; RFC 9111 section 5.2.1.4: no-cache, where somebody has seen a newer key than we have.
        headers = {"accept": "application/jwk-set+json, application/json"}
        if forced:
            headers["cache-control"] = "no-cache"
        for name, condition in _CONDITIONS.items():
            # RFC 9110 section 5.5: bytes beyond ASCII cannot be sent back as they came.
            if name in since and since[name].isascii():
                headers[condition] = since[name]
        return Request(method="GET", url=await self._url(), headers=headers)

    async def _url(self) -> str:
        if isinstance(self._source, str):
            return self._source
        if self._gone >= _GONE_BEFORE_REDISCOVERY:
            # It may have moved.
            self._gone = 0
            await self._source.renew()
        return await self._source.endpoint("jwks_uri")


def _asymmetric(algorithm: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return the algorithms to narrow to: `none` is none, and HMAC has no public keys (RFC 8725 section 3.1)."""
    named = options.optional_texts("algorithm", algorithm)
    for name in named:
        if name not in ASYMMETRIC_ALGORITHMS:
            message = (
                f"algorithm {name!r} does not go with public keys: write one of {', '.join(ASYMMETRIC_ALGORITHMS)}"
            )
            raise ValueError(message)
    return named


def _same(one: Keys, other: Keys) -> bool:
    return [(key.kid, key.algorithms, key.thumbprint) for key in one.all] == [
        (key.kid, key.algorithms, key.thumbprint) for key in other.all
    ]
