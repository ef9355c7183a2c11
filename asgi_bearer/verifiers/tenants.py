"""Issuers that are known at run time only: the application is asked about them, once for many requests. Floor 4.

The rules: whom it vouched for and whom it did not are remembered apart, so that garbage pushes no tenant out; a request
waits for the answer about a stranger alone; while the application cannot answer, what it answered before counts.
"""

from __future__ import annotations

import inspect
import logging
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeAlias, TypeGuard, TypeVar

import anyio
from anyio.lowlevel import RunVar

from asgi_bearer.errors import InvalidToken, Reason, VerifierUnavailable
from asgi_bearer.remote.flight import Flight, Flights, wait_for

if TYPE_CHECKING:
    from asgi_bearer.access_token import TokenVerifier
    from asgi_bearer.events import Listener

Resolve: TypeAlias = Callable[[str], Awaitable["TokenVerifier | None"]]
K = TypeVar("K")
V = TypeVar("V")

_logger = logging.getLogger("asgi_bearer")

# RFC 7519 section 2, StringOrURI: an issuer is a URI or a name. Blanks and control characters reach no database.
_ASKABLE = re.compile(r"[\x21-\x7e]{1,2048}")
_REFUSALS = 1024
_MAX_WAITERS = 4096
_MAX_STRANGERS = 64
_MAX_STALE = 86400.0
_PAUSE_AFTER_NO = 5.0
_PAUSE_AFTER_FAILURE = 1.0
_PAUSE_OF_RENEWAL = 10.0


class Recent(Generic[K, V]):
    """The last `size` entries that were put in. Reading takes no lock and changes nothing."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        """Return the entry, or None."""
        return self._entries.get(key)

    def values(self) -> list[V]:
        """Return all entries."""
        return list(self._entries.values())

    def put(self, key: K, entry: V) -> None:
        """Keep `entry` as the newest one."""
        self.drop(key)
        self._entries[key] = entry
        if len(self._entries) > self._size:
            with suppress(KeyError):  # other threads have emptied it meanwhile
                self._entries.popitem(last=False)

    def drop(self, key: K) -> None:
        """Forget the entry, if there is one."""
        self._entries.pop(key, None)


class _Tenant(NamedTuple):
    """A verifier that `resolve` returned: when it did, when it is asked again, and until when its answer counts."""

    verifier: TokenVerifier
    since: float
    renew_at: float
    until: float


class _Refusal(NamedTuple):
    """What to raise for an issuer, a new one each time since tracebacks gather, and until when without asking again."""

    error: Callable[[], Exception]
    until: float


class Tenants:
    """The verifiers of issuers that `resolve` knows. The options are those of `MultiIssuerVerifier`, checked."""

    def __init__(
        self, resolve: Resolve | None, *, ttl: float, timeout: float, size: int, monotonic: Callable[[], float]
    ) -> None:
        self._resolve = resolve
        self._ttl = ttl
        self._timeout = timeout
        self._monotonic = monotonic
        self._known: Recent[str, _Tenant] = Recent(size)
        self._refused: Recent[str, _Refusal] = Recent(_REFUSALS)
        self._flights: Flights[_Tenant | _Refusal] = Flights()
        self._listeners: list[Listener] = []
        self._strangers: RunVar[set[str] | None] = RunVar("asgi_bearer.strangers", None)

    def observe(self, listener: Listener) -> None:
        """Let the verifiers that are returned from now on tell `listener` what becomes of their keys."""
        self._listeners.append(listener)

    def verifiers(self) -> list[TokenVerifier]:
        """Return those that are remembered."""
        return [tenant.verifier for tenant in self._known.values()]

    async def find(self, issuer: str) -> TokenVerifier:
        """Return the issuer's verifier. Raises `InvalidToken`, `VerifierUnavailable`, or `TypeError` for a bug."""
        resolve, now = self._resolve, self._monotonic()
        if resolve is None:
            raise _unknown_issuer()
        known = self._known.get(issuer)
        if known is not None and now < known.until:
            if now >= known.renew_at:
                self._launch(resolve, issuer, known)
            return known.verifier
        if not _ASKABLE.fullmatch(issuer):
            raise _unknown_issuer()
        outcome: _Tenant | _Refusal | None = self._refused.get(issuer)
        if outcome is None or now >= outcome.until:
            flight = self._launch(resolve, issuer, known)
            outcome = await wait_for(flight, seconds=self._timeout + 1.0, max_waiters=_MAX_WAITERS)
        if isinstance(outcome, _Refusal):
            raise outcome.error()
        return outcome.verifier

    def _launch(self, resolve: Resolve, issuer: str, known: _Tenant | None) -> Flight[_Tenant | _Refusal]:
        """Ask, or join who asks already. Not for every stranger at once: that would be a flood; tenants always may."""
        strangers = self._asked_about()
        if known is None and issuer not in strangers:
            if len(strangers) >= _MAX_STRANGERS:
                message = f"resolve is being asked about {_MAX_STRANGERS} new issuers already"
                raise VerifierUnavailable(message)
            strangers.add(issuer)
        return self._flights.launch(issuer, lambda: self._ask(resolve, issuer, strangers))

    def _asked_about(self) -> set[str]:
        """Return the strangers that are being asked about in this event loop; they are forgotten with it."""
        strangers = self._strangers.get()
        if strangers is None:
            strangers = set[str]()
            self._strangers.set(strangers)
        return strangers

    async def _ask(self, resolve: Resolve, issuer: str, strangers: set[str]) -> _Tenant | _Refusal:
        try:
            answer = resolve(issuer)
            if not inspect.isawaitable(answer):
                return self._blame(issuer, f"resolve is an async function, but it returned {kind_of(answer)}")
            with anyio.fail_after(self._timeout):
                found = await answer
            return self._read(issuer, found)
        except InvalidToken:
            return self._refuse(issuer, _unknown_issuer, _PAUSE_AFTER_NO)
        except VerifierUnavailable as error:
            return self._fail(issuer, error.message, error.retry_after)
        except Exception as error:  # noqa: BLE001  # a database that is down raises whatever its driver does
            return self._fail(issuer, f"resolve ended in {type(error).__name__}", _PAUSE_AFTER_FAILURE)
        finally:
            strangers.discard(issuer)

    def _read(self, issuer: str, verifier: object) -> _Tenant | _Refusal:
        if verifier is None:
            return self._refuse(issuer, _unknown_issuer, _PAUSE_AFTER_NO)
        if not is_strategy(verifier):
            return self._blame(issuer, f"resolve returned {kind_of(verifier)}: it returns a strategy, or None")
        if not answers_for(verifier, issuer):
            _logger.warning("resolve returned a verifier of another issuer than it was asked for: this counts as None")
            return self._refuse(issuer, _unknown_issuer, _PAUSE_AFTER_NO)
        for listener in self._listeners:
            observe(verifier, listener)
        now = self._monotonic()
        tenant = _Tenant(verifier, now, now + 0.8 * self._ttl, now + self._ttl)
        self._known.put(issuer, tenant)
        return tenant

    def _refuse(self, issuer: str, error: Callable[[], Exception], pause: float) -> _Refusal:
        self._known.drop(issuer)
        refusal = _Refusal(error, self._monotonic() + pause)
        self._refused.put(issuer, refusal)
        return refusal

    def _blame(self, issuer: str, message: str) -> _Refusal:
        """Nobody comes in by a bug."""
        return self._refuse(issuer, lambda: TypeError(message), _PAUSE_AFTER_FAILURE)

    def _fail(self, issuer: str, why: str, retry_after: float) -> _Tenant | _Refusal:
        """Keep to what was answered before, or say that we cannot know."""
        _logger.warning("whether an issuer is a tenant cannot be known: %s", why)
        now = self._monotonic()
        known = self._known.get(issuer)
        if known is None or now >= known.since + _MAX_STALE:
            return self._refuse(issuer, lambda: VerifierUnavailable(why, retry_after), _PAUSE_AFTER_FAILURE)
        # Asked again well before it ends, so that no request waits for a resolve that hangs.
        renew_at = now + _PAUSE_OF_RENEWAL
        until = max(known.until, renew_at + _PAUSE_OF_RENEWAL + self._timeout)
        kept = known._replace(renew_at=renew_at, until=until)
        self._known.put(issuer, kept)
        return kept


def _unknown_issuer() -> InvalidToken:
    return InvalidToken(Reason.issuer)


def is_strategy(value: object) -> TypeGuard[TokenVerifier]:
    """Tell whether `value` has what a `TokenVerifier` has."""
    return not isinstance(value, type) and callable(getattr(value, "verify_token", None))


def answers_for(verifier: TokenVerifier, issuer: str) -> bool:
    """Tell whether `verifier` takes tokens of `issuer`; one that does not say which it takes is believed to."""
    issuers = getattr(verifier, "issuers", ())
    return not issuers or issuer in issuers


def observe(verifier: TokenVerifier, listener: Listener) -> None:
    """Let `verifier` tell `listener` what becomes of its keys, if it can."""
    method = getattr(verifier, "observe", None)
    if method is not None:
        method(listener)


def kind_of(value: object) -> str:
    """Say what `value` is, for a message."""
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
