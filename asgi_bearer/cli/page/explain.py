"""What an answer means: its status line, its challenge and what tells clients when to come back. Floor 7.

RFC 9110 sections 10.2.3, 11 and 15; RFC 6750 section 3; RFC 9470 section 3; RFC 9728 section 5.1; RFC 9449 sections 7.1
and 8. The rules: every function is input -> output; what is not known is said to be so; what stands in the answer is
quoted as data and never followed.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

from asgi_bearer.cli.page.challenges import NoChallengeError, read_challenges
from asgi_bearer.errors import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asgi_bearer.cli.page.challenges import Challenge

_REASON = re.compile(r"Reason: (\w+)\.")
_UNAUTHORIZED, _FORBIDDEN, _UNAVAILABLE = 401, 403, 503


class Line(NamedTuple):
    """A piece of the answer as it stands there, what it means, what to do next, and where that is written."""

    text: str
    means: str
    then: str = ""
    source: str = ""


def explain_answer(status: int, headers: Mapping[str, str]) -> list[Line]:
    """Return the lines of an answer that are about access, each explained. Names of headers are in lower case."""
    challenge = headers.get("www-authenticate")
    lines = [_status(status, challenged=challenge is not None)]
    if challenge is not None:
        lines += _challenge_field(challenge)
    lines += [Line(f"{_spelled(name)}: {headers[name]}", *said) for name, said in _HEADERS.items() if name in headers]
    return lines


def _status(status: int, *, challenged: bool) -> Line:
    text = f"HTTP {status} {_phrase(status)}".rstrip()
    if (status, challenged) in _STATUSES:
        return Line(text, *_STATUSES[status, challenged])
    return Line(text, *_CLASSES.get(status // 100, _NO_STATUS))


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _challenge_field(value: str) -> list[Line]:
    try:
        challenges = read_challenges(value)
    except NoChallengeError as error:
        means = f"This cannot be read as a challenge: {error}."
        then = "A client sees no challenge here. Whatever writes this header must be mended."
        return [Line(f"WWW-Authenticate: {value}", means, then, "RFC 9110 section 11.6.1")]
    return [line for challenge in challenges for line in _challenge(challenge)]


def _challenge(challenge: Challenge) -> list[Line]:
    scheme = _SCHEMES.get(challenge.scheme.lower(), _OTHER_SCHEME)
    lines = [Line(f"WWW-Authenticate: {challenge.scheme}", *scheme)]
    if challenge.token68 is not None:
        lines.append(Line(challenge.token68, "Data of the scheme itself.", "", "RFC 9110 section 11.2"))
    seen: set[str] = set()
    for name, value in challenge.parameters:
        text = f'{name}="{value}"'
        lines.append(Line(text, *_REPEATED) if name in seen else Line(text, *_parameter(name, value)))
        seen.add(name)
    return lines


def _parameter(name: str, value: str) -> tuple[str, ...]:
    if name == "error":
        return _ERRORS.get(value, _OTHER_ERROR)
    if name == "error_description" and (reason := _reason(value)) is not None:
        return _REASONS[reason]
    return _PARAMETERS.get(name, _OTHER_PARAMETER)


def _reason(description: str) -> Reason | None:
    """Return what a door with `expose_reason=True` says."""
    found = _REASON.search(description)
    return Reason(found[1]) if found and found[1] in set(Reason) else None


def _spelled(name: str) -> str:
    """Return a header's name as the standards write it."""
    return {"dpop-nonce": "DPoP-Nonce"}.get(name, name.title())


_STATUSES: dict[tuple[int, bool], tuple[str, ...]] = {
    (400, True): (
        "The credentials cannot be read, so nobody looked at a token.",
        "Send one Authorization header: Bearer, one space, one token.",
        "RFC 6750 section 3.1",
    ),
    (_UNAUTHORIZED, True): (
        "The server does not know who is calling. The door refused the request, or the application did so likewise.",
        "Send a token, or another one: the challenge below says what is missing.",
        "RFC 9110 section 15.5.2",
    ),
    (_UNAUTHORIZED, False): (
        "The server does not know who is calling, and does not say how to tell it: a 401 must carry a challenge.",
        "Whoever writes this answer must add WWW-Authenticate. The door of asgi-bearer always does.",
        "RFC 9110 section 15.5.2",
    ),
    (_FORBIDDEN, True): (
        "The caller is known, and may not do this with this token.",
        "Ask for a token with more scopes. The same token again gets the same answer.",
        "RFC 6750 section 3.1",
    ),
    (_FORBIDDEN, False): (
        "The request was understood and refused. There is no challenge, so this is the application's own decision.",
        "No other token of the same caller is promised to help.",
        "RFC 9110 section 15.5.4",
    ),
    (404, False): (
        "The door let the request in, and the application has nothing at this path.",
        "Look at the path; the credentials are not what is wrong.",
        "RFC 9110 section 15.5.5",
    ),
    (405, False): (
        "The door let the request in, and the application does not take this method here.",
        "Choose another method.",
        "RFC 9110 section 15.5.6",
    ),
    (429, False): ("Too many requests in too short a time.", "Wait, then ask again.", "RFC 6585 section 4"),
    (_UNAVAILABLE, False): (
        "The server cannot tell at the moment whether the token is good. It does not say that the token is bad.",
        "Keep the token, and ask again after the time that Retry-After gives.",
        "RFC 9110 section 15.6.4",
    ),
}
"""By the status, and whether there is a challenge."""

_CLASSES: dict[int, tuple[str, ...]] = {
    1: ("An interim answer: the final one is still to come.", "", "RFC 9110 section 15.2"),
    2: (
        "The door let the request in, and the application answered. On a public path it looked at no credentials.",
        "",
        "RFC 9110 section 15.3",
    ),
    3: (
        "The application sends the client elsewhere. This page does not follow.",
        "Do not send the token to another host only because an answer says so.",
        "RFC 9110 section 15.4",
    ),
    4: (
        "The request was refused, for reasons that this status does not tell.",
        "Read the body, and the challenge if there is one.",
        "RFC 9110 section 15.5",
    ),
    5: (
        "The server failed. This says nothing about the token.",
        "Read the server's log: the reason is there, and not here.",
        "RFC 9110 section 15.6",
    ),
}
_NO_STATUS = ("This is no status that HTTP knows.", "", "RFC 9110 section 15")

_SCHEMES: dict[str, tuple[str, ...]] = {
    "bearer": (
        "How to authenticate: with a token in the header Authorization: Bearer.",
        "Whoever holds the token may use it, so keep it out of URLs and logs.",
        "RFC 6750 section 3",
    ),
    "dpop": (
        "How to authenticate: with a token that is bound to a key, and a proof made with that key for this request.",
        "Send Authorization: DPoP with the token, and the proof in the header DPoP.",
        "RFC 9449 section 7.1",
    ),
    "basic": (
        "How to authenticate: with a name and a password. This is not the door of asgi-bearer.",
        "",
        "RFC 7617 section 2",
    ),
}
_OTHER_SCHEME = ("A way to authenticate that this page does not know.", "", "RFC 9110 section 11.1")

_PARAMETERS: dict[str, tuple[str, ...]] = {
    "realm": ("A name for what is protected here: people read it, programs do not.", "", "RFC 9110 section 11.5"),
    "scope": (
        "The scopes that this request needs, all of them.",
        "Ask for a token with exactly these.",
        "RFC 6750 section 3",
    ),
    "error_description": (
        "The error in words, for the developer. Users are not to be shown it.",
        "",
        "RFC 6750 section 3",
    ),
    "error_uri": ("A page with more about the error, for people.", "", "RFC 6750 section 3"),
    "resource_metadata": (
        "Where this server describes itself: which authorization servers it trusts, and which scopes there are.",
        "A client fetches it, and learns there where to get a token.",
        "RFC 9728 section 5.1",
    ),
    "acr_values": (
        "The ways to log in that are strong enough here, the best one first.",
        "Send the user to log in again, with this as acr_values.",
        "RFC 9470 section 3",
    ),
    "max_age": (
        "The user must have logged in within the last so many seconds.",
        "Send the user to log in again, with this as max_age.",
        "RFC 9470 section 3",
    ),
    "algs": ("What a proof may be signed with.", "Sign the proof with one of these.", "RFC 9449 section 7.1"),
}
_OTHER_PARAMETER = ("A parameter that this page does not know. Clients pass it over.", "", "RFC 6750 section 3")
_REPEATED = (
    "This parameter stands here a second time, which no challenge may do. Clients differ in which one they believe.",
    "Whoever writes this header must be mended.",
    "RFC 9110 section 11.2",
)

_ERRORS: dict[str, tuple[str, ...]] = {
    "invalid_request": (
        "The credentials are malformed, or there is more than one of them.",
        "Send one Authorization header with one token.",
        "RFC 6750 section 3.1",
    ),
    "invalid_token": (
        "The token is expired, revoked, meant for somebody else, or otherwise not good here.",
        "Get a new token, and try once more.",
        "RFC 6750 section 3.1",
    ),
    "insufficient_scope": (
        "The token is good, and does not allow enough.",
        "Ask for a token with the scopes that stand in scope.",
        "RFC 6750 section 3.1",
    ),
    "insufficient_user_authentication": (
        "The token is good, and the login behind it is too weak or too old.",
        "Send the user to log in again, as acr_values and max_age say.",
        "RFC 9470 section 3",
    ),
    "invalid_dpop_proof": (
        "The proof does not fit the request, the token or the key.",
        "Make a new proof for this very request.",
        "RFC 9449 section 7.1",
    ),
    "use_dpop_nonce": (
        "The server wants its nonce in the proof.",
        "Make a new proof with the nonce that stands in DPoP-Nonce.",
        "RFC 9449 section 9",
    ),
}
_OTHER_ERROR = ("An error that this page does not know.", "Read error_description, if there is one.", "")

_REASONS: dict[Reason, tuple[str, ...]] = {
    Reason.malformed: (
        "The reason: this is no token in the form that the door expects.",
        "Send the whole token, with nothing cut off and nothing added.",
        "RFC 7515 section 7.1",
    ),
    Reason.unsupported_algorithm: (
        "The reason: the token is signed in a way that the door does not take.",
        "Let the issuer sign with an algorithm of the keys it publishes; none is never one.",
        "RFC 8725 section 3.1",
    ),
    Reason.unknown_key: (
        "The reason: the issuer does not publish the key that signed this token.",
        "Get a new token: the key was retired, or the token is another issuer's.",
        "RFC 7515 section 4.1.4",
    ),
    Reason.signature: (
        "The reason: the signature does not fit what is signed. Somebody changed the token.",
        "Send the token as the issuer made it.",
        "RFC 7515 section 5.2",
    ),
    Reason.expired: (
        "The reason: the token has ended; exp is in the past.",
        "Get a new token. If it is new, compare the clocks.",
        "RFC 7519 section 4.1.4",
    ),
    Reason.not_yet_valid: (
        "The reason: the token does not hold yet; nbf or iat is in the future.",
        "Compare the clocks of the issuer and this server.",
        "RFC 7519 section 4.1.5",
    ),
    Reason.issuer: (
        "The reason: another issuer made this token than the door trusts.",
        "Compare iss with the door's issuer, character by character, the slash at the end too.",
        "RFC 7519 section 4.1.1",
    ),
    Reason.audience: (
        "The reason: the token is meant for another server.",
        "Ask the issuer for a token whose aud names this one.",
        "RFC 7519 section 4.1.3",
    ),
    Reason.token_type: (
        "The reason: this is another kind of token, such as an ID token.",
        "Send the access token. ID tokens are for the client alone.",
        "RFC 9068 section 4",
    ),
    Reason.missing_claim: (
        "The reason: the token lacks a claim that the door insists on, such as exp.",
        "Let the issuer put it in; the server's log names it.",
        "RFC 9068 section 2.2",
    ),
    Reason.claim_type: (
        "The reason: a claim is of a type that it must not be, such as exp as text.",
        "Let the issuer mend it; the server's log names it.",
        "RFC 7519 section 4.1",
    ),
    Reason.inactive: (
        "The reason: the issuer says that this token is not active. It has ended, was revoked, or never was.",
        "Get a new token.",
        "RFC 7662 section 2.2",
    ),
    Reason.revoked: ("The reason: the token was taken back.", "Get a new token.", "RFC 7009 section 2"),
    Reason.binding: (
        "The reason: the token is bound to a key or certificate, and the request does not prove that it has that.",
        "Send the proof (DPoP, mutual TLS), or let the door check for one.",
        "RFC 7800 section 3",
    ),
    Reason.too_large: (
        "The reason: the token is longer than the door takes.",
        "Let the issuer put less into it.",
        "",
    ),
}

_HEADERS: dict[str, tuple[str, ...]] = {
    "retry-after": (
        "When to ask again: after so many seconds, or at this date.",
        "Wait so long. The same token may well be good then.",
        "RFC 9110 section 10.2.3",
    ),
    "dpop-nonce": ("A nonce for the next proof.", "Put it into the proof as nonce.", "RFC 9449 section 8"),
    "cache-control": (
        "Who may store this answer, and for how long. no-store: nobody, so that no other caller is given it.",
        "",
        "RFC 9111 section 5.2",
    ),
    "location": ("Where the answer points to.", "This page does not go there.", "RFC 9110 section 10.2.2"),
}
