"""Several strategies behind one door, chosen by the token's shape or its issuer (RFC 8725 section 3.8). Floor 4.

The rules: what is read from a token that nobody has verified only chooses among what was configured; the choice is made
once, the chosen strategy verifies everything again, and its answer is final; a token that is malformed, or whose issuer
nobody knows, is refused before any request is made for it.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import anyio

from asgi_bearer.errors import InvalidToken, Reason, VerifierUnavailable
from asgi_bearer.keys.compact import MAX_PAYLOAD_BYTES, Compact, CompactReader, parse_json
from asgi_bearer.remote.document import boottime
from asgi_bearer.rules import options
from asgi_bearer.verifiers.tenants import Recent, Tenants, answers_for, is_strategy, kind_of, observe

if TYPE_CHECKING:
    from asgi_bearer.access_token import AccessToken, TokenVerifier
    from asgi_bearer.events import Listener
    from asgi_bearer.verifiers.tenants import Resolve

# RFC 6750 section 2.1: what a token is written with, and so what it may begin with
_PREFIX = re.compile(r"[A-Za-z0-9\-._~+/]+")
_ROUTES = 4096
_MISSING = object()


class ChainVerifier:
    """Asks the strategy that goes with the token's shape.

    `verifiers` is a dict: "jwt" for signed tokens in compact form (three parts), "opaque" for everything else, and any
    other key is a prefix such as "ghp_", which comes first (the longest that fits). What has no strategy is refused.

    `required_scopes` are those that all strategies have, for the challenge; each checks its own. It does NOT look into
    tokens, and never asks a second strategy. Raises `ValueError` or `TypeError` at construction.
    """

    def __init__(self, verifiers: Mapping[str, TokenVerifier]) -> None:
        if not isinstance(verifiers, Mapping):
            message = (
                f"verifiers is a dict of strategies, {{'jwt': ..., 'opaque': ...}}, not {type(verifiers).__name__}"
            )
            raise TypeError(message)
        if not verifiers:
            message = "verifiers is empty: write {'jwt': JWTVerifier(...), 'opaque': ...}, or prefixes of tokens"
            raise ValueError(message)
        found = {_shape(shape): _strategy(f"verifiers[{shape!r}]", one) for shape, one in verifiers.items()}
        self._all = _distinct(found.values())
        self.required_scopes: tuple[str, ...] = _common_scopes(self._all)
        self.audiences: tuple[str, ...] | None = _audiences(self._all)
        self._jwt, self._opaque = found.pop("jwt", None), found.pop("opaque", None)
        self._by_prefix = sorted(found.items(), key=lambda item: len(item[0]), reverse=True)

    async def verify_token(self, token: str) -> AccessToken | None:
        """Return what the chosen strategy returns. Raises what it raises, and `InvalidToken` where none is chosen."""
        verifier = self._choose(token)
        if verifier is None:
            raise InvalidToken(Reason.malformed)
        return await verifier.verify_token(token)

    async def prefetch(self) -> None:
        """Let every strategy prefetch, all at once. Raises `VerifierUnavailable` at the end where one could not."""
        await _call_each("prefetch", self._all)

    def observe(self, listener: Listener) -> None:
        """Let every strategy tell `listener` what becomes of its keys."""
        for verifier in self._all:
            observe(verifier, listener)

    async def aclose(self) -> None:
        """Close what the strategies keep open, each of them even where another fails."""
        await _call_each("aclose", self._all)

    def _choose(self, token: str) -> TokenVerifier | None:
        for prefix, verifier in self._by_prefix:
            if token.startswith(prefix):
                return verifier
        return self._jwt if _is_compact(token) else self._opaque


class MultiIssuerVerifier:
    """Asks the strategy of the issuer that the token names, each with keys of its own.

    - `verifiers`: `JWTVerifier`s with an `issuer` each, or a dict of strategies by issuer.
    - `opaque`: the strategy for tokens that are not of three parts; without it they are refused.
    - `resolve`: `async (issuer) -> TokenVerifier | None`, for issuers that are known at run time only. It must answer
      None unless the issuer is one of its tenants: it is asked about whatever a stranger writes into a token, though
      only about visible ASCII, 2048 characters at most, and never for a malformed token. While nothing has changed it
      should return the same object as before: the tenant's keys are in it.
    - `resolve_ttl`: seconds (300, at least 1) for which its answer counts; it is asked again ahead of that, in the
      background. None counts for 5 seconds. While it fails, what it answered before counts, for a day at most.
    - `resolve_timeout`: seconds (5) that it may take. `max_tenants`: how many of its verifiers are remembered (1024),
      apart from refusals; at most 64 new issuers are asked about at once.
    - `monotonic`: seconds on a clock that nobody sets.

    `resolve` runs in a task of its own, outside of the request and its context variables, once for all who wait. Where
    it raises `InvalidToken`, that is None; anything else it raises, or taking too long, is `VerifierUnavailable`; an
    answer of another type is a bug, and a `TypeError` for the request.

    `iss` is compared character by character, and the chosen strategy verifies everything again; one that does not check
    `iss` must have keys that no other issuer has. With `resolve` there are no `required_scopes` for the challenge: what
    every caller needs belongs to the door's. It does NOT ask a second strategy, whatever the first one says. Raises
    `ValueError` or `TypeError` at construction.
    """

    def __init__(
        self,
        verifiers: Sequence[TokenVerifier] | Mapping[str, TokenVerifier],
        *,
        opaque: TokenVerifier | None = None,
        resolve: Resolve | None = None,
        resolve_ttl: float = 300.0,
        resolve_timeout: float = 5.0,
        max_tenants: int = 1024,
        monotonic: Callable[[], float] = boottime,
    ) -> None:
        self._by_issuer = _by_issuer(verifiers)
        if not self._by_issuer and resolve is None:
            message = "verifiers is empty: name at least one JWTVerifier(issuer=...), or write resolve="
            raise ValueError(message)
        self._opaque = None if opaque is None else _strategy("opaque", opaque)
        self._tenants = Tenants(
            None if resolve is None else options.async_function("resolve", resolve),
            ttl=options.seconds("resolve_ttl", resolve_ttl, least=1.0),
            timeout=options.seconds("resolve_timeout", resolve_timeout, least=0.001),
            size=options.count("max_tenants", max_tenants, least=1),
            monotonic=options.function("monotonic", monotonic),
        )
        self._reader = CompactReader()
        self._routes: Recent[int, str] = Recent(_ROUTES)
        others = () if self._opaque is None else (self._opaque,)
        self._configured = _distinct((*self._by_issuer.values(), *others))
        self.required_scopes: tuple[str, ...] = () if resolve is not None else _common_scopes(self._configured)
        audiences = _audiences(self._configured)
        # What `resolve` returns may compare others, or none.
        self.audiences: tuple[str, ...] | None = None if resolve is not None else audiences

    async def verify_token(self, token: str) -> AccessToken | None:
        """Return what the issuer's strategy returns. Raises what it raises, and `InvalidToken` where none is chosen."""
        if self._opaque is not None and not _is_compact(token):
            return await self._opaque.verify_token(token)
        # Python's own hash is enough to remember a choice: whoever is chosen verifies the token on every request.
        key = hash(token)
        issuer = self._routes.get(key)
        if issuer is not None:
            return await (await self._find(issuer)).verify_token(token)
        compact = self._reader.read(token)
        issuer = _unverified_issuer(compact)
        verified = await (await self._find(issuer)).verify_token(token)
        if verified is not None:
            # Not before: a token that is refused must not push good ones out.
            self._reader.remember(compact)
            self._routes.put(key, issuer)
        return verified

    async def prefetch(self) -> None:
        """Let every configured strategy prefetch, all at once. Raises `VerifierUnavailable` as `ChainVerifier` does."""
        await _call_each("prefetch", self._configured)

    def observe(self, listener: Listener) -> None:
        """Let every strategy tell `listener` what becomes of its keys, those that `resolve` returns included."""
        for verifier in self._configured:
            observe(verifier, listener)
        self._tenants.observe(listener)

    async def aclose(self) -> None:
        """Close what the strategies keep open, those that `resolve` returned and that are remembered included."""
        await _call_each("aclose", _distinct((*self._configured, *self._tenants.verifiers())))

    async def _find(self, issuer: str) -> TokenVerifier:
        verifier = self._by_issuer.get(issuer)
        return await self._tenants.find(issuer) if verifier is None else verifier


def _unverified_issuer(compact: Compact) -> str:
    issuer = parse_json(compact.payload, MAX_PAYLOAD_BYTES).get("iss", _MISSING)
    if issuer is _MISSING:
        raise InvalidToken(Reason.missing_claim)
    if not isinstance(issuer, str):
        raise InvalidToken(Reason.claim_type)
    return issuer


def _is_compact(token: str) -> bool:
    return token.count(".") == 2  # noqa: PLR2004  # RFC 7515 section 7.1


def _by_issuer(verifiers: Sequence[TokenVerifier] | Mapping[str, TokenVerifier]) -> dict[str, TokenVerifier]:
    if isinstance(verifiers, Mapping):
        return {
            options.text("each issuer of verifiers", name): _of_issuer(name, one) for name, one in verifiers.items()
        }
    if not isinstance(verifiers, list | tuple):
        message = f"verifiers is a list of JWTVerifier(issuer=...), or a dict by issuer, not {kind_of(verifiers)}"
        raise TypeError(message)
    found: dict[str, TokenVerifier] = {}
    for verifier in verifiers:
        for issuer in _issuers(verifier):
            if issuer in found:
                message = f"two verifiers have the issuer {issuer!r}: which one is to be asked?"
                raise ValueError(message)
            found[issuer] = verifier
    return found


def _of_issuer(issuer: str, verifier: TokenVerifier) -> TokenVerifier:
    if not answers_for(_strategy(f"verifiers[{issuer!r}]", verifier), issuer):
        message = f"verifiers[{issuer!r}] has another issuer: it would refuse every token that it is asked about"
        raise ValueError(message)
    return verifier


def _issuers(verifier: TokenVerifier) -> tuple[str, ...]:
    issuers: tuple[str, ...] = getattr(_strategy("each of verifiers", verifier), "issuers", ())
    if not issuers:
        message = "each of verifiers has an issuer: write JWTVerifier(issuer=...), or a dict of strategies by issuer"
        raise ValueError(message)
    return issuers


def _shape(shape: object) -> str:
    text = options.text("each key of verifiers", shape)
    if not _PREFIX.fullmatch(text):
        message = f"no token begins with {text!r}: write 'jwt', 'opaque', or letters, digits and -._~+/"
        raise ValueError(message)
    return text


def _strategy(name: str, verifier: TokenVerifier) -> TokenVerifier:
    if not is_strategy(verifier):
        message = (
            f"{name} is an object with async verify_token(token), such as JWTVerifier(...), not {kind_of(verifier)}"
        )
        raise TypeError(message)
    return verifier


def _distinct(verifiers: Iterable[TokenVerifier]) -> tuple[TokenVerifier, ...]:
    """Return each object once: a strategy may serve several issuers or shapes, and need not be hashable."""
    return tuple({id(verifier): verifier for verifier in verifiers}.values())


def _common_scopes(verifiers: Sequence[TokenVerifier]) -> tuple[str, ...]:
    """Return the scopes that every strategy requires: a challenge names no scope that some callers do not need."""
    name = "required_scopes of a strategy"
    required = [options.scopes(name, getattr(verifier, "required_scopes", None)) for verifier in verifiers]
    return tuple(scope for scope in (required[0] if required else ()) if all(scope in others for others in required))


def _audiences(verifiers: Sequence[TokenVerifier]) -> tuple[str, ...] | None:
    """Return what the strategies compare aud with: nothing where one compares nothing, None where one does not say."""
    found = [getattr(verifier, "audiences", None) for verifier in verifiers]
    if any(audiences is not None and not audiences for audiences in found):
        return ()
    if None in found:
        return None
    return tuple(dict.fromkeys(audience for audiences in found for audience in audiences or ()))


async def _call_each(method: str, verifiers: Iterable[TokenVerifier]) -> None:
    """Call an optional method of every strategy, all at once; when all are done raise what failed, a bug first."""
    unavailable: list[VerifierUnavailable] = []
    bugs: list[Exception] = []

    async def call(run: Callable[[], Awaitable[object]]) -> None:
        try:
            await run()
        except VerifierUnavailable as error:
            unavailable.append(error)
        except Exception as error:  # noqa: BLE001  # raised below
            bugs.append(error)

    async with anyio.create_task_group() as group:
        for verifier in verifiers:
            run = getattr(verifier, method, None)
            if run is not None:
                group.start_soon(call, run)
    if bugs:
        raise bugs[0]
    if unavailable:
        message = "; ".join(sorted(error.message for error in unavailable))
        raise VerifierUnavailable(message, max(error.retry_after for error in unavailable))
