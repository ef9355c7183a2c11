"""Where keys come from: given once, or fetched and kept (RFC 7517 section 5). Floor 3.

The rules: a member that cannot be used is passed over, and the others serve (RFC 7517 section 5); symmetric and private
members are never used; `kid` is a name to look up and nothing else; a key that is gone takes its cached verdicts along.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

from asgi_bearer.access_token import fingerprint
from asgi_bearer.events import KeysRefreshed, KeysStale, KeysUnavailable, Listeners, UnknownKey
from asgi_bearer.keys import snapshot as snapshots
from asgi_bearer.keys.jose import ASYMMETRIC_ALGORITHMS, Key, PublishedSecretError, UnusableKeyError, import_jwk
from asgi_bearer.remote.discovery import MAX_DOCUMENT_BYTES, Discovery, read_document
from asgi_bearer.remote.document import Fetched, Freshness, RemoteDocument, Status, boottime
from asgi_bearer.remote.http import FetchError, Limits, Request, fetch, require_transport
from asgi_bearer.rules import options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from asgi_bearer.events import Listener
    from asgi_bearer.keys.compact import Compact
    from asgi_bearer.remote.http import Transport

MAX_KEYS = 128
_MAX_TRIES = 4
_GONE = frozenset({404, 410})
_CONDITIONS = {"etag": "if-none-match", "last-modified": "if-modified-since"}
_GONE_BEFORE_REDISCOVERY = 3
# No header's name (RFC 9113 section 8.3): which URL answered, as a hash
_FROM = ":url"

_logger = logging.getLogger("asgi_bearer")


class KeySet(Protocol):
    """A source of keys. Another source (a file, a KMS) is an object with these three methods.

    It may also have `async prefetch()`, called at the application's start-up, and `observe(listener)`, which hands it
    the door's `on_event`.
    """

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


def require_key_set(keys: object) -> KeySet:
    """Return `keys`, which has the methods of a `KeySet`; raise `TypeError` for anything else."""
    methods = ("find", "current", "holds")
    if isinstance(keys, type) or not all(callable(getattr(keys, name, None)) for name in methods):
        kind = type(keys).__name__
        message = f"keys is a KeySet (RemoteKeySet, StaticKeySet, or what has find, current and holds), not {kind}"
        raise TypeError(message)
    return cast("KeySet", keys)


async def prefetch_keys(keys: KeySet) -> None:
    """Fetch `keys` ahead of the first token, where they are fetched. Raises `VerifierUnavailable`."""
    prefetch = getattr(keys, "prefetch", None)
    if prefetch is not None:
        await prefetch()


def observe_keys(keys: KeySet, listener: Listener) -> None:
    """Tell `listener` what becomes of `keys`, where they are fetched."""
    observe = getattr(keys, "observe", None)
    if observe is not None:
        observe(listener)


def find_signer(compact: Compact, keys: Sequence[Key]) -> Key | None:
    """Return the one of `keys` whose signature it is."""
    for key in keys:
        if key.verify(compact.signing_input, compact.signature):
            return key
    return None


async def find_newer_signer(compact: Compact, keys: KeySet) -> Key | None:
    """Ask `keys` for what it may have by now, where it has a way of that, and return the one whose signature it is."""
    find_again = getattr(keys, "find_again", None)
    return (
        None if find_again is None else find_signer(compact, await find_again(compact.header.kid, compact.header.alg))
    )


_NAMELESS = frozenset({None})


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The usable keys of one set, and as what they were published, where they were."""

    by_header: Mapping[tuple[str | None, str], tuple[Key, ...]]
    kids: frozenset[str | None]
    all: tuple[Key, ...]
    thumbprints: frozenset[str]
    jwks: tuple[Mapping[str, Any], ...] = ()

    def find(self, kid: str | None, alg: str) -> Sequence[Key]:
        """Return the keys of that name, or all where no name is given, that do that algorithm; four at most."""
        # Where no key has a name (PEM, a secret, some providers), a token's kid cannot tell one from another.
        return self.by_header.get((None if self.kids == _NAMELESS else kid, alg), ())

    @classmethod
    def of(cls, keys: Iterable[Key], jwks: Iterable[Mapping[str, Any]] = ()) -> Keys:
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
            jwks=tuple(jwks),
        )


def read_key_set(jwks: object, algorithms: Sequence[str], max_keys: int = MAX_KEYS) -> Keys:
    """Return the usable keys of a JWK Set; raise `UnusableKeyError` where it is none or has none."""
    members = jwks.get("keys") if isinstance(jwks, dict) else None
    if not isinstance(members, list):
        message = "a JWK Set is an object with an array named keys: {'keys': [...]}"
        raise UnusableKeyError(message)
    usable: list[Key] = []
    published, refusals, level = [], set(), logging.INFO
    for member in members[:max_keys]:
        try:
            usable.append(_alone(import_jwk(member, algorithms), usable))
            published.append(member)
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
    return Keys.of(usable, published)


def _alone(key: Key, others: Sequence[Key]) -> Key:
    """Return `key`; RFC 8725 section 3.1: a key that is there already, for another algorithm, has one too many."""
    if any(other.thumbprint == key.thumbprint and other.algorithms != key.algorithms for other in others):
        raise UnusableKeyError("the key is not used: it is there already, for another algorithm")
    return key


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

    async def find(self, kid: str | None, alg: str) -> Sequence[Key]:
        """Return the keys for that header; where no key has a name, `kid` is ignored."""
        return self._keys.find(kid, alg)

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


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySetStatus(Status):
    """How a remote key set is. `kids` are the names of its keys; `last_success` is in epoch seconds, or None."""

    last_success: float | None
    kids: tuple[str, ...]


class RemoteKeySet:
    """The JWK Set at a URL, fetched once for all requests and kept through the provider's outages.

    - `url`: https; http is taken for loopback, or with `allow_insecure_http=True`. An issuer's `Discovery` in its place
      finds the URL in the issuer's metadata.
    - `algorithm`: narrows which algorithms are taken.
    - `freshness`: see `Freshness`; every duration in seconds.
    - `timeout`: seconds that a fetch may take, body included (5); `prefetch` waits for its end. `connect_timeout`: of
      these, for the connection (2), which is tried twice.
    - `max_bytes`: of an answer (262144). `max_keys`: how many members of the set are read (128).
    - `on_empty`: an answer with no key at all, `{"keys": []}`, is "keep": a failure, and the keys from before go on
      serving; or "revoke": meant, and no token is good from then on.
    - `refetch_on_bad_signature`: fetches the set again when a signature does not hold, for providers that change a key
      and keep its `kid`. It spends the budget of unknown `kid`s, so anybody's forged token can delay a new key by it.
    - `snapshot`: what `snapshot()` returned in another process, to begin with. It is used as what was fetched then: no
      longer than `max_stale` from that time, and refreshed with the first token. One that is damaged, too old, or of
      another source is left alone, and the log says so: an application should start without it, too. Whoever can write
      it can issue tokens: keep it as safe as the configuration.
    - `on_event`: called with `KeysRefreshed`, `KeysStale`, `KeysUnavailable` and `UnknownKey`, as is the `on_event` of
      a door that this serves; what it raises is logged and changes nothing.
    - `transport`: an httpx2 transport, where the default (TLS verified, no proxy) will not do.
    - `monotonic`: seconds on a clock that nobody sets. `clock`: the wall clock, in epoch seconds, for snapshots.

    It makes no request before the first token. A key that the set no longer has is refused from the next fetch on; an
    unknown `kid` makes one fetch in `freshness.cooldown` seconds at most. It does NOT look into certificates
    (`x5c`).
    """

    def __init__(
        self,
        url: str | Discovery,
        *,
        algorithm: str | Sequence[str] | None = None,
        freshness: Freshness | None = None,
        timeout: float = 5.0,
        connect_timeout: float = 2.0,
        max_bytes: int = MAX_DOCUMENT_BYTES,
        max_keys: int = MAX_KEYS,
        on_empty: Literal["keep", "revoke"] = "keep",
        refetch_on_bad_signature: bool = False,
        snapshot: str | None = None,
        on_event: Listener | None = None,
        allow_insecure_http: bool = False,
        transport: Transport | None = None,
        monotonic: Callable[[], float] = boottime,
        clock: Callable[[], float] = time.time,
    ) -> None:
        allow = options.flag("allow_insecure_http", allow_insecure_http)
        self._source = url if isinstance(url, Discovery) else options.url("jwks_uri", url, allow_insecure_http=allow)
        self._name = _name_of(self._source)
        self._algorithms = _asymmetric(algorithm)
        if freshness is None:
            freshness = Freshness()
        elif not isinstance(freshness, Freshness):
            message = f"freshness is a Freshness, such as Freshness(cooldown=30), not {type(freshness).__name__}"
            raise TypeError(message)
        self._limits = Limits(
            timeout=options.seconds("timeout", timeout, least=0.001),
            connect=options.seconds("connect_timeout", connect_timeout, least=0.001),
            max_bytes=options.count("max_bytes", max_bytes, least=1),
        )
        self._max_keys = options.count("max_keys", max_keys, least=1)
        self._may_be_empty = options.choice("on_empty", on_empty, ("keep", "revoke")) == "revoke"
        self._refetches = options.flag("refetch_on_bad_signature", refetch_on_bad_signature)
        self._transport = require_transport(transport)
        self._monotonic = options.function("monotonic", monotonic)
        self._clock = options.function("clock", clock)
        self._gone = 0
        self._unknown = 0
        self._cooldown = freshness.cooldown
        self._unknown_told_until = -1.0
        self._listeners = Listeners()
        if on_event is not None:
            self._listeners.add(options.function("on_event", on_event))
        self._document: RemoteDocument[Keys] = RemoteDocument(
            "the key set", self._fetch, freshness, same=_same, told=self._tell_attempt, monotonic=self._monotonic
        )
        if snapshot is not None:
            self._restore(snapshot)

    async def find(self, kid: str | None, alg: str) -> Sequence[Key]:
        """Return the keys for that header. One that is not there may be new: then the set is fetched again."""
        snapshot = self._document.peek() or await self._document.get()
        keys = snapshot.value
        found = keys.find(kid, alg)
        if found or (kid is not None and kid in keys.kids):
            return found
        renewed = (await self._document.renew()).value
        found = renewed.find(kid, alg)
        if not found:
            self._tell_unknown()
        return found

    async def find_again(self, kid: str | None, alg: str) -> Sequence[Key]:
        """Return the keys for that header after those of `find` did not verify: none, unless told to fetch for that."""
        if not self._refetches:
            return ()
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
        # A little longer than the fetch may take, so that it is the fetch that says what was wrong.
        await self._document.get(wait=self._limits.timeout + 1.0)

    def observe(self, listener: Listener) -> None:
        """Tell `listener` from now on, beside `on_event`: the door calls this with its own."""
        self._listeners.add(listener)

    def status(self) -> KeySetStatus:
        """Return how the set is: its age, failures, when it is fetched next, and the names of its keys."""
        status, held = self._document.status(), self._document.held()
        return KeySetStatus(
            **asdict(status),
            last_success=None if status.age is None else self._clock() - status.age,
            kids=() if held is None else tuple(key.kid for key in held.value.all if key.kid is not None),
        )

    def snapshot(self) -> str | None:
        """Return the keys as JSON, for the `snapshot=` of the next process; None where none may be served.

        It holds public keys, when they were fetched, and what a conditional request needs.
        """
        held, status = self._document.held(), self.status()
        if held is None or status.last_success is None or not status.serves_for:
            return None
        return snapshots.write(self._name, held.value.jwks, held.headers, fetched_at=status.last_success)

    def _restore(self, text: str) -> None:
        """Begin with a snapshot, or say why not."""
        if not isinstance(text, str):
            message = f"snapshot is the str that snapshot() returned, not {type(text).__name__}"
            raise TypeError(message)
        try:
            restored = snapshots.read(text, self._name, now=self._clock(), max_bytes=2 * self._limits.max_bytes)
            if not self._document.restore(self._read_keys(restored.jwks), restored.headers, age=restored.age):
                raise ValueError("it is too old")  # noqa: TRY301  # one sentence for all that it may be
        except ValueError as error:
            _logger.warning("the snapshot of a key set is not used: %s", error)

    def _read_keys(self, document: Mapping[str, Any]) -> Keys:
        if self._may_be_empty and document.get("keys") == []:
            return Keys.of(())
        return read_key_set(document, self._algorithms, self._max_keys)

    def _tell_attempt(self, before: Status) -> None:
        held = self._document.held()
        keys = 0 if held is None else len(held.value.all)
        self._listeners.tell(_outcome(self._name, keys, before, self._document.status()))

    def _tell_unknown(self) -> None:
        """Tell of keys that nobody has, once per cooldown: strangers write into a token whatever they like."""
        self._unknown += 1
        now = self._monotonic()
        if now < self._unknown_told_until:
            return
        count, self._unknown, self._unknown_told_until = self._unknown, 0, now + self._cooldown
        self._listeners.tell(UnknownKey(source=self._name, count=count, age=self._document.status().age or 0.0))

    async def _fetch(self, *, since: Mapping[str, str], forced: bool) -> Fetched[Keys]:
        url = await self._url()
        # RFC 9110 section 8.8.3: a validator belongs to one resource, and metadata may name another one by now.
        request = _request(url, since if since.get(_FROM) == _digest(url) else {}, forced=forced)
        response = await fetch(request, self._limits, self._transport)
        self._gone = self._gone + 1 if response.status in _GONE else 0
        if response.status == 304:  # noqa: PLR2004
            return Fetched(value=None, headers=response.headers)
        document = read_document(response, max_bytes=self._limits.max_bytes)
        try:
            return Fetched(value=self._read_keys(document), headers={**response.headers, _FROM: _digest(url)})
        except UnusableKeyError as error:
            raise FetchError(str(error), status=response.status) from None

    async def _url(self) -> str:
        if isinstance(self._source, str):
            return self._source
        if self._gone >= _GONE_BEFORE_REDISCOVERY:
            # It may have moved.
            self._gone = 0
            await self._source.renew()
        return await self._source.endpoint("jwks_uri")


def _request(url: str, since: Mapping[str, str], *, forced: bool) -> Request:
    # RFC 7517 section 8.5; RFC 9111 section 5.2.1.4: no-cache, where somebody has seen a newer key than we have.
    headers = {"accept": "application/jwk-set+json, application/json"}
    if forced:
        headers["cache-control"] = "no-cache"
    for name, condition in _CONDITIONS.items():
        # RFC 9110 section 5.5: bytes beyond ASCII cannot be sent back as they came, nor what a snapshot made up.
        if name in since and since[name].isascii() and since[name].isprintable():
            headers[condition] = since[name]
    return Request(method="GET", url=url, headers=headers)


def _digest(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()


def _name_of(source: str | Discovery) -> str:
    """Name a source in events and snapshots. A query might hold an API key, so that a fingerprint stands for it."""
    if isinstance(source, Discovery):
        return source.issuer
    address, _, query = source.partition("?")
    return f"{address}?{fingerprint(query)}" if query else address


def _outcome(source: str, keys: int, before: Status, after: Status) -> KeysRefreshed | KeysStale | KeysUnavailable:
    """Return the event of an attempt, which the status after it tells apart."""
    age, failures = after.age, after.failures
    if not failures:
        return KeysRefreshed(
            source=source, generation=after.generation, keys=keys, age=before.age, failures=before.failures
        )
    message = str(after.last_error)
    if age is not None and after.serves_for:
        return KeysStale(source=source, message=message, age=age, serves_for=after.serves_for, failures=failures)
    return KeysUnavailable(
        source=source, message=message, age=age, retry_after=after.next_attempt_in, failures=failures
    )


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
