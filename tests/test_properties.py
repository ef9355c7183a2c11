"""What holds for every token: good ones have one spelling, all others are refused, and nothing is an error.

The good tokens are those that RFC 7515 gives as examples, and one of Ed25519 made of a fixed key, whose signatures are
the same every time: so a failure is the same every time, too.
"""

from __future__ import annotations

import base64
import hmac
import json
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from fakes import Clock
from hypothesis import example, given, settings
from hypothesis import strategies as st
from key_material import private_pem
from vectors import signatures

from asgi_bearer import AccessToken, InsecureConfigurationWarning, InvalidToken, JWTVerifier, Reason
from asgi_bearer.keys.compact import Compact, CompactReader, decode_segment, read_header
from asgi_bearer.keys.jose import SigningKey, encode_segment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hypothesis.strategies import SearchStrategy

repeatable = settings(derandomize=True, deadline=None, database=None)

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
# The examples of RFC 7515 end in 2011.
EXP = 1300819380
NOW = EXP - 60
ED = SigningKey.from_pem(private_pem(ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))), "Ed25519")
A2, A3 = signatures.EXAMPLES[:2]
SECRET = base64.urlsafe_b64decode(signatures.RFC7515_A1_SECRET + "==")
OPTIONS: dict[str, dict[str, Any]] = {
    "RS256": {"jwks": {"keys": [A2.jwk]}},
    "ES256": {"jwks": {"keys": [A3.jwk]}},
    "Ed25519": {"public_key": ED.public_pem},
    "HS256": {"secret": SECRET},
}
TOKENS = {
    "RS256": A2.token,
    "ES256": A3.token,
    "Ed25519": ED.sign({}, {"iss": "joe", "exp": EXP, "sub": "alice"}),
    "HS256": signatures.RFC7515_A1.token,
}
every_algorithm = pytest.mark.parametrize("algorithm", TOKENS)


def verifier(example: str, **options: Any) -> JWTVerifier:
    """Return a verifier of the example's key; what the example says of its audience is nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InsecureConfigurationWarning)
        return JWTVerifier(**{**OPTIONS[example], "issuer": "joe", "clock": Clock(NOW), **options})


def verify(own: JWTVerifier, token: str) -> AccessToken | Reason | None:
    """Return the verified token, or why it is refused. With keys at hand nothing waits, so no event loop is needed."""
    try:
        own.verify_token(token).send(None)
    except StopIteration as stop:
        verified: AccessToken = stop.value
        return verified
    except InvalidToken as error:
        return error.reason
    raise AssertionError("verification waits for something")


def assert_refused(own: JWTVerifier, others: Iterable[str], good: str) -> None:
    """Refuse each of `others`, while the good token is remembered and stays good."""
    assert isinstance(verify(own, good), AccessToken)
    accepted = [other for other in others if other != good and not isinstance(verify(own, other), Reason)]
    assert accepted == []
    assert isinstance(verify(own, good), AccessToken)


# Every change of a good token


@every_algorithm
def test_no_other_letter_at_any_place_makes_a_good_token(algorithm: str) -> None:
    good = TOKENS[algorithm]
    others = (
        good[:at] + letter + good[at + 1 :]
        for at, old in enumerate(good)
        for letter in (
            old.swapcase(),
            LETTERS[LETTERS.find(old) ^ 1],
            LETTERS[LETTERS.find(old) ^ 32],
            *"A.=+ \0\u00e9",
        )
    )

    assert_refused(verifier(algorithm), others, good)


@pytest.mark.parametrize("algorithm", ["Ed25519", "HS256"])
def test_no_letter_of_the_alphabet_at_any_place_makes_a_good_token(algorithm: str) -> None:
    good = TOKENS[algorithm]

    assert_refused(
        verifier(algorithm),
        (good[:at] + letter + good[at + 1 :] for at in range(len(good)) for letter in LETTERS),
        good,
    )


@every_algorithm
def test_no_bit_of_the_signature_is_without_meaning(algorithm: str) -> None:
    head, _, encoded = TOKENS[algorithm].rpartition(".")
    signature = int.from_bytes(decode_segment(encoded.encode()), "big")
    size = len(decode_segment(encoded.encode()))

    assert_refused(
        verifier(algorithm),
        (f"{head}.{text((signature ^ (1 << bit)).to_bytes(size, 'big'))}" for bit in range(8 * size)),
        TOKENS[algorithm],
    )


@every_algorithm
def test_no_part_of_a_good_token_is_a_good_token(algorithm: str) -> None:
    good = TOKENS[algorithm]
    places = range(len(good) + 1)

    assert_refused(verifier(algorithm), (good[:at] for at in places), good)
    assert_refused(verifier(algorithm), (good[at:] for at in places), good)
    assert_refused(verifier(algorithm), (good[:at] + good[at + 1 :] for at in places), good)


@every_algorithm
@pytest.mark.parametrize("more", ["A", ".", "=", "-", " ", "\n", "\0", "\u00e9", ".AAAA"], ids=ascii)
def test_nothing_put_in_at_any_place_leaves_a_token_good(algorithm: str, more: str) -> None:
    good = TOKENS[algorithm]

    assert_refused(verifier(algorithm), (good[:at] + more + good[at:] for at in range(len(good) + 1)), good)


@every_algorithm
def test_no_length_of_anything_behind_a_token_or_before_it_leaves_it_good(algorithm: str) -> None:
    good = TOKENS[algorithm]
    lengths = range(1, len(good) + 1)

    for filler in ("A", "=", ".", "\0"):
        assert_refused(verifier(algorithm), (good + filler * length for length in lengths), good)
        assert_refused(verifier(algorithm), (filler * length + good for length in lengths), good)
    assert_refused(verifier(algorithm), (good + good[:length] for length in lengths), good)


@every_algorithm
def test_two_neighbours_that_change_places_make_another_token(algorithm: str) -> None:
    good = TOKENS[algorithm]

    assert_refused(
        verifier(algorithm),
        (good[:at] + good[at + 1] + good[at] + good[at + 2 :] for at in range(len(good) - 1)),
        good,
    )


@every_algorithm
def test_no_part_of_another_good_token_fits_into_a_good_token(algorithm: str) -> None:
    mine = TOKENS[algorithm].split(".")
    others = [token.split(".") for name, token in TOKENS.items() if name != algorithm]
    mixed = (
        ".".join([*mine[:at], other[at], *mine[at + 1 :]]) for other in others for at in range(3)
    )  # the payload of the three examples is one: that mixture is the good token itself

    assert_refused(verifier(algorithm), mixed, TOKENS[algorithm])


@repeatable
@given(name=st.sampled_from(sorted(TOKENS)), data=st.data())
def test_whatever_several_changes_make_of_a_good_token_is_refused(name: str, data: st.DataObject) -> None:
    good = other = TOKENS[name]
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(other)))
        end = data.draw(st.integers(start, min(len(other), start + 8)))
        other = other[:start] + data.draw(st.text(alphabet=LETTERS + ".=", max_size=8)) + other[end:]

    assert_refused(verifier(name), [other], good)


def test_the_other_signature_that_ecdsa_has_is_good_so_tokens_are_named_by_their_jti_and_not_by_their_text() -> None:
    head, _, encoded = A3.token.rpartition(".")
    signature = decode_segment(encoded.encode())
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    assert decode_dss_signature(encode_dss_signature(r, s)) == (r, s)
    other = f"{head}.{text(r.to_bytes(32, 'big') + (order - s).to_bytes(32, 'big'))}"
    own = verifier("ES256")

    first, second = verify(own, A3.token), verify(own, other)

    assert isinstance(first, AccessToken)
    assert isinstance(second, AccessToken)
    assert first.token != second.token
    assert first.claims == second.claims


# One spelling


def text(data: bytes) -> str:
    return encode_segment(data).decode()


def segments(*parts: bytes) -> str:
    return ".".join(map(text, parts))


def spellings(good: str) -> Iterator[str]:
    """Give what a lenient decoder takes for `good`: other unused bits, padding, white space, the other alphabet."""
    yield from (good[:-1] + letter for letter in LETTERS)
    yield from (good + "=" * count for count in range(1, 5))
    yield from (good[:at] + space + good[at:] for at in range(len(good) + 1) for space in " \t\r\n\v\f\0%")
    yield from (good.replace(*pair) for pair in ("-+", "_/", "+-", "/_"))


@pytest.mark.parametrize("size", [60, 61, 62])
@pytest.mark.parametrize("place", [1, 2], ids=["payload", "signature"])
def test_bytes_have_one_spelling_in_every_part(size: int, place: int) -> None:
    data = bytes(range(250 - size, 250))
    parts = [text(b'{"alg":"HS256"}'), text(data), text(data)]

    same = []
    for spelling in spellings(text(data)):
        parts[place] = spelling
        compact = read_or_none(".".join(parts))
        if compact is not None and (compact.payload, compact.signature)[place - 1] == data:
            same.append(spelling)

    # It is among the spellings itself, wherever a replacement changes nothing.
    assert set(same) == {text(data)}


@pytest.mark.parametrize(("algorithm", "digest"), [("HS256", "sha256"), ("HS384", "sha384"), ("HS512", "sha512")])
def test_a_signature_has_one_spelling(algorithm: str, digest: str) -> None:
    head, _, signature = mac(
        json.dumps({"alg": algorithm}).encode(), json.dumps(GOOD_CLAIMS).encode(), digest
    ).rpartition(".")

    assert_refused(
        verifier("HS256", algorithm=algorithm),
        (f"{head}.{spelling}" for spelling in spellings(signature)),
        f"{head}.{signature}",
    )


def read_or_none(token: str) -> Compact | None:
    """Return the parts of a token, or None where it is malformed."""
    try:
        return CompactReader().read(token)
    except InvalidToken as error:
        if error.reason is not Reason.malformed:
            raise
        return None


JSON: SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**19), 10**19) | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
HEADERS = st.fixed_dictionaries(
    {"alg": st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)},
    optional={"kid": st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40), "x": st.integers(0, 9)},
)


@repeatable
@given(header=HEADERS, payload=st.binary(max_size=200), signature=st.binary(max_size=80))
def test_what_is_written_is_read_again_as_it_was(header: dict[str, Any], payload: bytes, signature: bytes) -> None:
    token = segments(json.dumps(header).encode(), payload, signature)

    compact = CompactReader().read(token)

    assert (compact.header.alg, compact.header.kid) == (header["alg"], header.get("kid"))
    assert (compact.payload, compact.signature) == (payload, signature)
    assert compact.signing_input.decode() + "." + text(signature) == token


@repeatable
@given(payload=st.text(LETTERS, max_size=30), signature=st.text(LETTERS, max_size=30))
@example(payload="", signature="")
@example(payload="e30", signature="AA")
@example(payload="e30", signature="AB")
@example(payload="e31", signature="AA")
def test_exactly_what_would_be_written_in_that_way_is_read(payload: str, signature: str) -> None:
    compact = read_or_none(f"eyJhbGciOiJIUzI1NiJ9.{payload}.{signature}")

    assert (compact is not None) == (is_canonical(payload) and is_canonical(signature))


def is_canonical(segment: str) -> bool:
    """Decode as leniently as Python does, and see whether the same text comes out again."""
    try:
        return text(base64.urlsafe_b64decode(segment + "==")) == segment
    except ValueError:
        return False


# Headers and payloads that somebody else wrote: the signatures are good


def mac(header: bytes, payload: bytes, digest: str = "sha256") -> str:
    signing_input = segments(header, payload)
    return signing_input + "." + text(hmac.digest(SECRET, signing_input.encode(), digest))


GOOD_HEADER, GOOD_CLAIMS = {"alg": "HS256"}, {"iss": "joe", "exp": EXP, "aud": "api"}
HEADER_NAMES = st.sampled_from(["alg", "typ", "kid", "crit", "b64", "zip", "enc", "cty", "jwk", "Alg", "x"])
CLAIM_NAMES = st.sampled_from(
    [
        *(
            "iss",
            "aud",
            "exp",
            "nbf",
            "iat",
            "sub",
            "jti",
            "scope",
            "scp",
            "client_id",
            "azp",
            "cnf",
            "typ",
            "token_use",
        ),
        *("at_hash", "events", "nonce", "realm_access", "Exp", ""),
    ]
)
CLAIM_VALUES = JSON | st.sampled_from(["joe", "api", ["api"], EXP, NOW, NOW - 60, NOW + 60, "HS256", "read write"])
ANYTHING = JSON.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=80)
OWN = verifier("HS256", audience="api", scope_claims=("scope", "scp", "realm_access.roles"))


def test_the_unchanged_header_and_claims_are_good_or_the_next_tests_would_mean_nothing() -> None:
    token = mac(json.dumps(GOOD_HEADER).encode(), json.dumps(GOOD_CLAIMS).encode())

    assert isinstance(verify(OWN, token), AccessToken)


def assert_holds(found: AccessToken | Reason | None) -> None:
    """Look at an answer: a reason, or a token with everything that was configured."""
    if isinstance(found, AccessToken):
        assert found.issuer == "joe"
        assert "api" in found.audience
        assert found.expires_at is not None
        assert found.expires_at.timestamp() > NOW - 30
        assert all(isinstance(scope, str) and scope for scope in found.scopes)
        assert json.dumps(found.claims)
        assert "at_hash" not in found.claims
        assert "events" not in found.claims
    else:
        assert isinstance(found, Reason)


@repeatable
@given(header=ANYTHING, payload=ANYTHING)
def test_any_header_and_any_payload_are_refused_with_a_reason(header: bytes, payload: bytes) -> None:
    claims = json.dumps(GOOD_CLAIMS).encode()

    assert isinstance(verify(OWN, mac(header, claims)), Reason)
    assert isinstance(verify(OWN, mac(b'{"alg":"HS256"}', payload)), Reason)
    assert isinstance(verify(OWN, mac(header, payload)), Reason)


@repeatable
@given(changes=st.dictionaries(HEADER_NAMES, CLAIM_VALUES, min_size=1, max_size=4))
def test_any_parameter_of_a_header_is_answered_and_none_is_an_error(changes: dict[str, Any]) -> None:
    header = json.dumps({**GOOD_HEADER, **changes}).encode()

    found = verify(OWN, mac(header, json.dumps(GOOD_CLAIMS).encode()))

    assert_holds(found)
    if isinstance(found, AccessToken):
        assert read_header(header).alg == "HS256"
        assert not {"crit", "b64", "zip", "enc", "cty"} & set(changes)


@settings(repeatable, max_examples=400)
@given(changes=st.dictionaries(CLAIM_NAMES, CLAIM_VALUES, min_size=1, max_size=5), left_out=st.sets(CLAIM_NAMES))
def test_any_claims_are_answered_and_none_is_an_error(changes: dict[str, Any], left_out: set[str]) -> None:
    members = {**GOOD_CLAIMS, **changes}
    payload = json.dumps({name: value for name, value in members.items() if name not in left_out}).encode()

    found = verify(OWN, mac(b'{"alg":"HS256"}', payload))

    assert_holds(found)
    # Asked again, what was good comes out of the cache, and what was refused is refused.
    assert verify(OWN, mac(b'{"alg":"HS256"}', payload)) == found


@repeatable
@given(payload=st.text(max_size=80), cut=st.integers(0, 60))
def test_any_text_within_the_payload_is_refused_with_a_reason(payload: str, cut: int) -> None:
    good = json.dumps(GOOD_CLAIMS)
    broken = good[:cut] + payload + good[cut:]

    assert_holds(verify(OWN, mac(b'{"alg":"HS256"}', broken.encode("utf-8", "surrogatepass"))))


@repeatable
@given(token=st.text(max_size=200) | st.lists(ANYTHING.map(text), max_size=6).map(".".join))
def test_any_text_is_refused_with_a_reason(token: str) -> None:
    for own in VERIFIERS:
        assert isinstance(verify(own, token), Reason)


VERIFIERS = [verifier(algorithm) for algorithm in TOKENS]
