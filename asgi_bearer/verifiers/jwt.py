"""Signed tokens (RFC 7519, RFC 9068): verified with the issuer's keys, remembered while they are good. Floor 4.

The order is fixed: structure, typ and alg, key, signature, payload, claims, scopes; the first that fails is the reason.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from asgi_bearer.access_token import AccessToken, Verdict
from asgi_bearer.errors import InsufficientScope, InvalidToken, Reason
from asgi_bearer.keys.compact import MAX_PAYLOAD_BYTES, Compact, CompactReader, parse_json
from asgi_bearer.keys.jose import (
    ASYMMETRIC_ALGORITHMS,
    SECRET_ALGORITHMS,
    Key,
    import_pem,
    secret_key,
    with_other_names,
)
from asgi_bearer.keys.key_set import (
    KeySet,
    RemoteKeySet,
    StaticKeySet,
    find_newer_signer,
    find_signer,
    observe_keys,
    prefetch_keys,
    require_key_set,
)
from asgi_bearer.remote.discovery import Discovery
from asgi_bearer.rules import options
from asgi_bearer.rules.claims import (
    PROFILES,
    RFC9068_CLAIMS,
    ClaimRules,
    check_claims,
    check_kind,
    check_typ,
    read_verdict,
)
from asgi_bearer.verifiers.token_cache import TokenCache

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from asgi_bearer.events import Listener
    from asgi_bearer.rules.claims import Profile

_SOURCES = ("public_key", "jwks_uri", "jwks", "secret", "keys")


# What is remembered of a good token: the verdict, from when and until when it counts, the thumbprint of the key that it
# rests on, and the generation of the keys. No NamedTuple: it is made for each new token, taken apart for each seen one.
_Entry: TypeAlias = tuple[Verdict, float, float, str, int | None]


class JWTVerifier:
    """Verifies JWT access tokens.

    Exactly one source of keys:

    - `public_key`: PEM (public key or certificate) as str or bytes, or a sequence of them. The token's `kid` is
      ignored.
    - `jwks`: a JWK Set as a dict.
    - `jwks_uri`: the https URL of one; fetched once, refreshed ahead of time, kept through an outage.
    - `secret`: an HMAC secret, as long as the hash at least (32 bytes for HS256). A public key is refused.
    - `keys`: any `KeySet`; `RemoteKeySet` is where the options of the fetching live. It has its own `algorithm=`.
    - none of these, and one `issuer`: the keys are found through its metadata (RFC 8414, OpenID Connect Discovery).

    What is checked:

    - `issuer`: `iss` must be this, or one of these, character by character. `audience`: `aud` must name this, or one of
      these. Leaving one out is possible, and warns (`InsecureConfigurationWarning`).
    - `algorithm`: str or a sequence; narrows the algorithms. An RSA key that names none is used with the first that
      fits, RS256 by default; `secret` takes one of HS256 (default), HS384, HS512.
    - `required_scopes`: the token must have all of them (`InsufficientScope`).
    - `leeway`: seconds (30, at most 300) by which clocks may differ, for exp, nbf and iat.
    - `profile`: "lax" takes what most providers issue and refuses ID, refresh and logout tokens; "rfc9068" demands
      `typ: at+jwt` and every claim of RFC 9068 section 2.2, and an issuer and an audience to compare them with.
    - `required_claims`: claims that must be there, in place of ("exp",). Leaving exp out is possible, and warns.
    - `scope_claims`: where scopes are read from, all that are there; dots lead into objects ("realm_access.roles").
    - `audience_claim`: where the audience stands, for issuers whose access tokens have no aud (Amazon Cognito:
      client_id).
    - `cache_size`: how many good tokens are remembered (4096; 0 for none), for `cache_ttl` seconds (300) at most, and
      never past their exp, their key, or what the key set may still be trusted for.
    - `allow_insecure_http`: takes http URLs other than loopback. `clock`: the wall clock, in epoch seconds.

    It does NOT check whether a token was revoked, nor `cnf`: the door refuses bound tokens unless a check proves them.
    By itself it makes no request before the first token; `BearerMiddleware` fetches the keys when the application
    starts, where the server speaks of that (lifespan).
    Raises `ValueError` or `TypeError` for options that cannot be meant.
    """

    def __init__(
        self,
        *,
        public_key: str | bytes | Sequence[str | bytes] | None = None,
        jwks_uri: str | None = None,
        jwks: Mapping[str, Any] | None = None,
        secret: str | bytes | None = None,
        keys: KeySet | None = None,
        issuer: str | Sequence[str] | None = None,
        audience: str | Sequence[str] | None = None,
        algorithm: str | Sequence[str] | None = None,
        required_scopes: Sequence[str] | None = None,
        leeway: float = 30.0,
        profile: Profile = "lax",
        required_claims: Sequence[str] = ("exp",),
        scope_claims: Sequence[str] = ("scope", "scp"),
        audience_claim: str = "aud",
        cache_size: int = 4096,
        cache_ttl: float = 300.0,
        allow_insecure_http: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        sources = dict(zip(_SOURCES, (public_key, jwks_uri, jwks, secret, keys), strict=True))
        self.issuers: tuple[str, ...] = options.optional_texts("issuer", issuer)
        self.audiences: tuple[str, ...] = options.audiences("audience", audience)
        self.required_scopes: tuple[str, ...] = options.scopes("required_scopes", required_scopes)
        self._profile = cast("Profile", options.choice("profile", profile, PROFILES))
        self._algorithms = _algorithms(algorithm, secret=secret is not None)
        allow = options.flag("allow_insecure_http", allow_insecure_http)
        narrowed = () if algorithm is None else self._algorithms
        self._keys = _key_set(sources, self.issuers, narrowed, allow_insecure_http=allow)
        self._accepted = frozenset(with_other_names(self._algorithms))
        self._rules = ClaimRules(
            issuers=frozenset(self.issuers),
            audiences=frozenset(self.audiences),
            leeway=options.seconds("leeway", leeway, most=300.0),
            audience_claim=options.text("audience_claim", audience_claim),
            required_claims=_required(
                required_claims, self._profile, self.issuers, self.audiences and (audience_claim,)
            ),
            scope_claims=options.texts("scope_claims", scope_claims),
        )
        size = options.count("cache_size", cache_size)
        self._cache: TokenCache[_Entry] | None = TokenCache(size) if size else None
        self._cache_ttl = options.seconds("cache_ttl", cache_ttl)
        self._clock = options.function("clock", clock)
        self._reader = CompactReader()
        if "exp" not in self._rules.required_claims:
            options.warn_insecure("JWTVerifier does not demand exp: some tokens never end; add it to required_claims=")
        if not self.audiences:
            options.warn_insecure("JWTVerifier has no audience: it takes tokens issued for other APIs; write audience=")
        if not self.issuers:
            options.warn_insecure("JWTVerifier has no issuer: it takes whatever its keys have signed; write issuer=")

    async def verify_token(self, token: str) -> AccessToken:
        """Return the verified token. Raises `InvalidToken`, `InsufficientScope` or `VerifierUnavailable`."""
        if not token.isascii():
            raise InvalidToken(Reason.malformed)
        cache = self._cache
        if cache is None:
            verdict = (await self._verify(token))[0]
        else:
            key = cache.key(token)
            entry = cache.get(key)
            if entry is None or not self._still_holds(cache, key, entry, token):
                entry = await self._verify(token)
                cache.put(key, entry, token)
            verdict = entry[0]
        for scope in self.required_scopes:
            if scope not in verdict.scopes:
                raise InsufficientScope(self.required_scopes)
        return AccessToken.from_verdict(token, verdict)

    async def prefetch(self) -> None:
        """Fetch the keys ahead of the first token, where they are fetched. Raises `VerifierUnavailable`."""
        await prefetch_keys(self._keys)

    def observe(self, listener: Listener) -> None:
        """Tell `listener` what becomes of the keys, where they are fetched."""
        observe_keys(self._keys, listener)

    def _still_holds(self, cache: TokenCache[_Entry], key: bytes, entry: _Entry, token: str) -> bool:
        verdict, start, end, thumbprint, known = entry
        if not start <= self._clock() < end:
            return False
        generation = self._keys.current()
        if generation is None:
            return False
        if generation != known:
            if not self._keys.holds(thumbprint):
                # A key that is gone takes its tokens along, at once.
                return False
            cache.put(key, (verdict, start, end, thumbprint, generation), token)
        return True

    async def _verify(self, token: str) -> _Entry:
        compact = self._reader.read(token)
        check_typ(compact.header.typ, self._profile)
        if compact.header.alg not in self._accepted:
            raise InvalidToken(Reason.unsupported_algorithm)
        # Before the keys are found: a set that changes meanwhile then makes the entry be looked at again.
        generation = self._keys.current()
        keys = await self._keys.find(compact.header.kid, compact.header.alg)
        key = find_signer(compact, keys) or await self._find_newer(compact, keys)
        self._reader.remember(compact)
        claims = parse_json(compact.payload, MAX_PAYLOAD_BYTES)
        check_kind(claims)
        # Now, and not when the request came: it may have waited for the keys.
        now = self._clock()
        lifetime = check_claims(claims, self._rules, now)
        verdict = read_verdict(claims, self._rules.scope_claims)
        # From now on and no earlier, so that a clock set back does not make a verdict live longer than `cache_ttl`.
        end = min(lifetime.end, now + self._cache_ttl)
        return verdict, now, end, key.thumbprint, generation

    async def _find_newer(self, compact: Compact, keys: Sequence[Key]) -> Key:
        if not keys:
            raise InvalidToken(Reason.unknown_key)
        key = await find_newer_signer(compact, self._keys)
        if key is None:
            raise InvalidToken(Reason.signature)
        return key


def _algorithms(algorithm: str | Sequence[str] | None, *, secret: bool) -> tuple[str, ...]:
    """Return the algorithms to take. HMAC and signatures never mix (RFC 8725 section 3.1), and "none" is none."""
    if algorithm is None:
        return SECRET_ALGORITHMS[:1] if secret else ASYMMETRIC_ALGORITHMS
    named = options.texts("algorithm", algorithm)
    possible = SECRET_ALGORITHMS if secret else ASYMMETRIC_ALGORITHMS
    for name in named:
        if name not in possible:
            with_what = "a secret" if secret else "public keys"
            message = f"algorithm {name!r} does not go with {with_what}: write one of {', '.join(possible)}"
            if name in SECRET_ALGORITHMS:
                message += "; HMAC goes with secret="
            raise ValueError(message)
    if secret and len(named) > 1:
        message = "a secret is for one algorithm: write algorithm='HS256', 'HS384' or 'HS512'"
        raise ValueError(message)
    return named


def _key_set(
    sources: dict[str, Any], issuers: tuple[str, ...], algorithms: tuple[str, ...], *, allow_insecure_http: bool
) -> KeySet:
    given = [name for name, value in sources.items() if value is not None]
    if len(given) > 1:
        message = f"JWTVerifier takes one source of keys, not {' and '.join(given)}: write one of them"
        raise ValueError(message)
    if not given:
        return _discovered(issuers, algorithms, allow_insecure_http=allow_insecure_http)
    value = sources[given[0]]
    if given[0] == "public_key":
        return _pem_keys(value, algorithms)
    if given[0] == "jwks_uri":
        return RemoteKeySet(value, algorithm=algorithms or None, allow_insecure_http=allow_insecure_http)
    if given[0] == "jwks":
        if not isinstance(value, dict):
            message = f"jwks is a JWK Set as a dict, {{'keys': [...]}}, not {type(value).__name__}"
            raise TypeError(message)
        return StaticKeySet(value, algorithm=algorithms or None)
    if given[0] == "secret":
        return StaticKeySet([secret_key(value, algorithms[0] if algorithms else SECRET_ALGORITHMS[0])])
    return require_key_set(value)


def _discovered(issuers: tuple[str, ...], algorithms: tuple[str, ...], *, allow_insecure_http: bool) -> KeySet:
    if len(issuers) != 1:
        message = (
            "JWTVerifier needs keys: write one issuer= to find them, or public_key, jwks, jwks_uri, secret or keys; "
            "for several issuers, MultiIssuerVerifier([JWTVerifier(issuer=...), ...])"
        )
        raise ValueError(message)
    discovery = Discovery(issuers[0], allow_insecure_http=allow_insecure_http)
    return RemoteKeySet(discovery, algorithm=algorithms or None, allow_insecure_http=allow_insecure_http)


def _pem_keys(pems: object, algorithms: tuple[str, ...]) -> KeySet:
    if isinstance(pems, str | bytes):
        pems = [pems]
    if not isinstance(pems, list | tuple):
        message = f"public_key is PEM as str or bytes, or a sequence of them, not {type(pems).__name__}"
        raise TypeError(message)
    if not pems:
        message = "public_key is an empty sequence: name at least one key"
        raise ValueError(message)
    return StaticKeySet([import_pem(pem, algorithms) for pem in pems])


def _required(
    required_claims: Sequence[str],
    profile: Profile,
    issuers: tuple[str, ...],
    audience: tuple[str, ...],
) -> tuple[str, ...]:
    if profile == "rfc9068" and not (issuers and audience):
        message = "profile='rfc9068' compares iss and aud (RFC 9068 section 4): write issuer= and audience="
        raise ValueError(message)
    nothing = isinstance(required_claims, list | tuple) and not required_claims
    named = () if nothing else options.texts("required_claims", required_claims)
    by_profile = RFC9068_CLAIMS if profile == "rfc9068" else ()
    by_options = (*(("iss",) if issuers else ()), *audience)
    return tuple(dict.fromkeys((*by_profile, *named, *by_options)))
