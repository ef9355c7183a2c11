"""One question to the introspection endpoint, and its answer (RFC 7662 section 2). Floor 4.

The rules: a question goes to the configured server alone, with one way of showing who asks; an answer that is none is a
`FetchError`, which says nothing of the token.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import anyio

from asgi_bearer.errors import VerifierUnavailable
from asgi_bearer.remote.discovery import Discovery
from asgi_bearer.remote.http import FetchError, Limits, Pool, Request, Response

if TYPE_CHECKING:
    from collections.abc import Callable

    from asgi_bearer.remote.http import Transport
    from asgi_bearer.verifiers.client_auth import Authentication, ClientAuth
    from asgi_bearer.verifiers.introspection_answer import Answers

_logger = logging.getLogger("asgi_bearer")

_MAX_BYTES = 256 * 1024
# RFC 6750 section 3.1 wants 401 for a token that has ended; django-oauth-toolkit says 403.
_REFUSES_OUR_TOKEN = frozenset({401, 403})
# Our own credentials or request are wrong: that says nothing about the token.
_REFUSES_US = frozenset({400, 401, 403})
_GONE = frozenset({404, 410})
_GONE_BEFORE_REDISCOVERY = 3
_NAME = "introspection_endpoint"
_QUIET = 60.0


class IntrospectionEndpoint:
    """The endpoint at `address`, or in the metadata of a `Discovery`.

    `auth` shows it who we are; `answers` is the kind of answer to ask for; `hint` the token_type_hint; `timeout` in
    seconds for all of a question; `most_at_once` how many there may be at a time; `clock` the wall clock.
    """

    def __init__(
        self,
        address: str | Discovery,
        auth: ClientAuth,
        answers: Answers,
        *,
        issuer: str | None,
        hint: str | None,
        timeout: float,
        most_at_once: int,
        transport: Transport | None,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._address = address
        self._auth = auth
        self._by_certificate = getattr(auth, "ssl_context", None) is not None
        self._answers = answers
        self._issuer = issuer
        self._hint = hint
        self._limits = Limits(timeout=timeout, max_bytes=_MAX_BYTES)
        self._clock = clock
        self._monotonic = monotonic
        self._quiet_until = -math.inf
        # Twice what is used at once: a connection that is being closed counts, too.
        self._pool = Pool(transport, getattr(auth, "ssl_context", None), max_connections=2 * most_at_once)
        self._gone = 0

    async def introspect(self, token: str) -> dict[str, Any]:
        """Return what is said of `token`; `active` in it is true or false. Raises `FetchError`."""
        # Finding the endpoint, our own token and the keys of the answer included.
        with anyio.move_on_after(self._limits.timeout):
            return await self._introspect(token)
        raise FetchError(f"no answer within {self._limits.timeout:g} s")

    async def _introspect(self, token: str) -> dict[str, Any]:
        url = await self._url()
        asked = self._clock()
        authentication = await self._authentication()
        response = await self._post(url, token, authentication)
        if response.status in _REFUSES_OUR_TOKEN and self._may_renew(authentication):
            response = await self._post(url, token, await self._authentication())
        self._gone = self._gone + 1 if response.status in _GONE else 0
        if response.status in _REFUSES_US:
            self._say_refused(response.status)
        return await self._answers.read(response, asked=asked)

    async def prefetch(self) -> None:
        """Find the endpoint ahead of the first question. Raises `VerifierUnavailable`."""
        if isinstance(self._address, Discovery):
            await self._address.prefetch()

    async def aclose(self) -> None:
        """Close the connections of this event loop."""
        await self._pool.aclose()

    async def _url(self) -> str:
        address = self._address
        if isinstance(address, str):
            return address
        if self._gone >= _GONE_BEFORE_REDISCOVERY:
            # It may have moved.
            self._gone = 0
            await address.renew()
        if not self._by_certificate:
            return await address.endpoint(_NAME)
        url = await address.mtls_endpoint(_NAME)
        if not url.lower().startswith("https:"):
            raise FetchError("the introspection endpoint is not https, and so no place for a client certificate")
        return url

    async def _authentication(self) -> Authentication:
        try:
            return await self._auth.authenticate(self._issuer)
        except VerifierUnavailable as error:
            raise FetchError(error.message, retry_after=error.retry_after) from None

    def _say_refused(self, status: int) -> None:
        now = self._monotonic()
        # Once in a while: an odd token may be the cause, and whoever has one has many.
        if now >= self._quiet_until:
            self._quiet_until = now + _QUIET
            what = "the introspection endpoint refuses this server (%d): check client_id, client_secret and client_auth"
            _logger.error(what, status)

    def _may_renew(self, authentication: Authentication) -> bool:
        renew = getattr(self._auth, "renew", None)
        return renew is not None and bool(renew(authentication))

    async def _post(self, url: str, token: str, authentication: Authentication) -> Response:
        request = introspection_request(url, token, authentication, accept=self._answers.accept, hint=self._hint)
        return await self._pool.fetch(request, self._limits)


def introspection_request(
    url: str, token: str, authentication: Authentication, *, accept: str, hint: str | None
) -> Request:
    """Return the request of RFC 7662 section 2.1 for `token`."""
    form = {"token": token, **({} if hint is None else {"token_type_hint": hint}), **authentication.form}
    headers = {"accept": accept, "content-type": "application/x-www-form-urlencoded", **authentication.headers}
    return Request(method="POST", url=url, headers=headers, body=urlencode(form).encode("ascii"))
