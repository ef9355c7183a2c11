"""What an introspection endpoint answered: plain JSON, or signed and perhaps encrypted (RFC 7662, RFC 9701). Floor 4.

The rules: only what is certainly an answer is one, and everything else is "we cannot know"; whoever asked for a signed
answer takes no other (there is no way down); a signed answer is for us, of just now, and no access token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from asgi_bearer.errors import InvalidToken, VerifierUnavailable
from asgi_bearer.keys.compact import MAX_PAYLOAD_BYTES, Compact, CompactReader, parse_json
from asgi_bearer.keys.jose import ASYMMETRIC_ALGORITHMS, with_other_names
from asgi_bearer.keys.jwe import DecryptionKey
from asgi_bearer.keys.key_set import (
    RemoteKeySet,
    find_newer_signer,
    find_signer,
    observe_keys,
    prefetch_keys,
    require_key_set,
)
from asgi_bearer.remote.discovery import Discovery, read_document, require_success
from asgi_bearer.remote.http import FetchError
from asgi_bearer.rules import options
from asgi_bearer.rules.claims import ClaimRules, check_claims, read_audience

if TYPE_CHECKING:
    from collections.abc import Callable

    from asgi_bearer.events import Listener
    from asgi_bearer.keys.key_set import KeySet
    from asgi_bearer.remote.http import Response, Transport

_MEDIA_TYPE = "application/token-introspection+jwt"
_TYP = "token-introspection+jwt"
_ANSWERED = 200


class Answers(Protocol):
    """A kind of answer: what to ask for (`accept`), and how to read it."""

    accept: str

    async def read(self, response: Response, *, asked: float) -> dict[str, Any]:
        """Return what is said of the token, `active` being true or false; raise `FetchError` where nothing is said.

        `asked` is when the request was sent, in epoch seconds.
        """
        ...

    async def prefetch(self) -> None:
        """Fetch what reading needs. Raises `VerifierUnavailable`."""
        ...

    def observe(self, listener: Listener) -> None:
        """Tell `listener` what becomes of the keys, where there are any."""
        ...


class PlainAnswers:
    """JSON, to be trusted as far as the connection is (RFC 7662 section 2.2)."""

    accept = "application/json"

    async def read(self, response: Response, *, asked: float) -> dict[str, Any]:
        """Return the document."""
        del asked
        return _require_verdict(read_document(response))

    async def prefetch(self) -> None:
        """Fetch nothing: there is nothing that it needs."""

    def observe(self, listener: Listener) -> None:
        """Tell nothing: there are no keys."""


class SignedResponse:
    """What `response="jwt"` asks for, and more of it (RFC 9701).

    - `algorithm`: what our client's `introspection_signed_response_alg` says, "RS256" by default; no other is taken.
    - `keys`: a `KeySet`, where the issuer's metadata does not lead to the keys.
    - `decryption_key`: PEM of a private RSA (RSA-OAEP, RSA-OAEP-256) or EC (ECDH-ES) key without a password, where our
      client's `introspection_encrypted_response_alg` asks for answers that are encrypted; no others are taken then.

    Raises `ValueError` or `TypeError` for what cannot be meant.
    """

    def __init__(
        self, *, algorithm: str = "RS256", keys: KeySet | None = None, decryption_key: str | None = None
    ) -> None:
        self._algorithm = options.choice("algorithm", algorithm, ASYMMETRIC_ALGORITHMS)
        self._keys = None if keys is None else require_key_set(keys)
        self._decryption_key = None if decryption_key is None else DecryptionKey(decryption_key)

    def answers(
        self,
        source: str | Discovery,
        issuer: str,
        client_id: str,
        *,
        leeway: float,
        allow_insecure_http: bool,
        transport: Transport | None,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> SignedAnswers:
        """Return what reads such answers from `issuer` to `client_id`; `source` may be its metadata."""
        keys = self._keys
        if keys is None:
            if isinstance(source, str):
                source = Discovery(
                    issuer, allow_insecure_http=allow_insecure_http, transport=transport, monotonic=monotonic
                )
            keys = RemoteKeySet(
                source, algorithm=self._algorithm, transport=transport, monotonic=monotonic, clock=clock
            )
        # RFC 9701 section 5: each of the three is required.
        rules = ClaimRules(
            issuers=frozenset({issuer}), audiences=frozenset(), leeway=leeway, required_claims=("iss", "aud", "iat")
        )
        return SignedAnswers(
            keys, rules, client_id, algorithm=self._algorithm, decryption_key=self._decryption_key, clock=clock
        )


class SignedAnswers:
    """JSON in a signed token, and with `decryption_key` in one that is encrypted to us (RFC 9701 section 5).

    `rules` hold the issuer and the leeway; `client_id` is whom the answer must be for; `algorithm` the one registered
    for us; `clock` the wall clock. It does NOT tell one token's answer from another's: that is the connection's part.
    """

    accept = _MEDIA_TYPE

    def __init__(
        self,
        keys: KeySet,
        rules: ClaimRules,
        client_id: str,
        *,
        algorithm: str,
        decryption_key: DecryptionKey | None,
        clock: Callable[[], float],
    ) -> None:
        self._keys = keys
        self._rules = rules
        self._client_id = client_id
        self._algorithms = frozenset(with_other_names((algorithm,)))
        self._decryption_key = decryption_key
        self._clock = clock
        self._reader = CompactReader()

    async def read(self, response: Response, *, asked: float) -> dict[str, Any]:
        """Return the member token_introspection of the verified answer."""
        require_success(response)
        if response.headers.get("content-type", "").partition(";")[0].strip().lower() != _MEDIA_TYPE:
            # RFC 9701 section 8.1: plain JSON in its place would be a way around the signature.
            raise _none("the answer is not signed, and a signed one was asked for")
        try:
            compact = self._reader.read(self._decrypted(response.body))
            await self._verify(compact)
            claims = parse_json(compact.payload, MAX_PAYLOAD_BYTES)
            self._check(claims, asked)
        except InvalidToken as error:
            raise _none(f"the signed answer does not hold: {error.reason}") from None
        except VerifierUnavailable as error:
            raise FetchError(error.message, status=_ANSWERED, retry_after=error.retry_after) from None
        said = claims.get("token_introspection")
        return _require_verdict(said if isinstance(said, dict) else {})

    async def prefetch(self) -> None:
        """Fetch the keys, where they are fetched. Raises `VerifierUnavailable`."""
        await prefetch_keys(self._keys)

    def observe(self, listener: Listener) -> None:
        """Tell `listener` what becomes of the keys, where they are fetched."""
        observe_keys(self._keys, listener)

    def _decrypted(self, body: bytes) -> str:
        text = body.decode("utf-8", "replace").strip()
        if self._decryption_key is None:
            return text
        signed = self._decryption_key.decrypt(text)
        if signed is None:
            raise _none("the answer is not encrypted to the decryption_key, or not in a way that is taken")
        return signed

    async def _verify(self, compact: Compact) -> None:
        header = compact.header
        if header.typ != _TYP:
            # RFC 9701 section 5: else an access token could stand for an answer.
            raise _none("the answer's typ is not token-introspection+jwt")
        if header.alg not in self._algorithms:
            raise _none("the answer is not signed with SignedResponse(algorithm=)")
        keys = await self._keys.find(header.kid, header.alg)
        if not (find_signer(compact, keys) or await find_newer_signer(compact, self._keys)):
            raise _none("the answer's signature does not hold")
        self._reader.remember(compact)

    def _check(self, claims: dict[str, Any], asked: float) -> None:
        check_claims(claims, self._rules, self._clock())
        if self._client_id not in read_audience(claims):
            raise _none("the answer is for another client: its aud does not name our client_id")
        if claims["iat"] < asked - self._rules.leeway:
            raise _none("the answer is older than the question")
        if "sub" in claims or "exp" in claims:
            # RFC 9701 section 5: they would make it look like the token that it is about.
            raise _none("the answer has sub or exp beside token_introspection")


def _require_verdict(said: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(said.get("active"), bool):
        raise _none("the answer's active is not true or false (RFC 7662 section 2.2)")
    return said


def _none(message: str) -> FetchError:
    """Return the error for an answer that says nothing; its status tells that there was one."""
    return FetchError(message, status=_ANSWERED)
