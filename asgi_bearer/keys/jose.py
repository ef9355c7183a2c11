"""Keys for JSON Web Signatures: checked once when imported, then bound to one algorithm. Floor 3.

RFC 7517 (keys), RFC 7518 (algorithms), RFC 8037 and RFC 9864 (Edwards curves).

The rules: one key, one algorithm (RFC 8725 section 3.1); a key that is weak, private, symmetric, for another use or not
written canonically is no key; joserfc's algorithm models do the signature, on keys that were checked here.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from cryptography.x509 import load_pem_x509_certificate
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from asgi_bearer.errors import InvalidToken
from asgi_bearer.keys.compact import MAX_KID, decode_segment
from asgi_bearer.keys.edwards import ED448, ED25519
from asgi_bearer.keys.secret import HASH_BYTES, import_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

PublicKey: TypeAlias = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey
PrivateKey: TypeAlias = (
    rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey
)

# What each kind of key can do, its default first (RFC 7518 section 3.1, RFC 8037 section 3.1, RFC 9864 section 2.2)
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES: dict[str, tuple[str, ec.EllipticCurve]] = {
    "P-256": ("ES256", ec.SECP256R1()),
    "P-384": ("ES384", ec.SECP384R1()),
    "P-521": ("ES512", ec.SECP521R1()),
}
_CURVE_NAMES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
_EDWARDS = {"Ed25519": ED25519, "Ed448": ED448}
# One algorithm with two names: RFC 8037 called it EdDSA for both curves, RFC 9864 by the curve
_EDDSA = "EdDSA"

ASYMMETRIC_ALGORITHMS = (*_RSA, "ES256", "ES384", "ES512", _EDDSA, "Ed25519", "Ed448")
SECRET_ALGORITHMS = tuple(HASH_BYTES)

_MIN_RSA_BITS, _MAX_RSA_BITS = 2048, 8192
_MIN_EXPONENT, _MAX_EXPONENT = 65537, 2**32
# CVE-2017-15361: modulo every small prime, the moduli of one maker's chips are powers of 65537. These are the primes
# for which that says something; a good modulus looks so once in 2^28.
_ROCA = tuple(
    (prime, powers)
    for prime in range(3, 168)
    if all(prime % factor for factor in range(2, prime))
    for powers in [frozenset(pow(65537, power, prime) for power in range(prime - 1))]
    if len(powers) < prime - 1
)
_PRIVATE_MEMBERS = ("d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv")


class UnusableKeyError(ValueError):
    """A key that is not used for verification. The message says why, and shows nothing of the key."""


class PublishedSecretError(UnusableKeyError):
    """A key with members that only its owner may know: it is not used, and its owner should hear of it."""

    def __init__(self) -> None:
        super().__init__("the key is not used: it has private or symmetric members")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Key:
    """A key that verifies.

    `algorithms` are the header's `alg` values it stands for: one algorithm, which for EdDSA has two names. `thumbprint`
    is that of RFC 7638. `verify(signing_input, signature)` tells whether the signature holds.
    """

    kid: str | None
    algorithms: frozenset[str]
    thumbprint: str
    verify: Callable[[bytes, bytes], bool]


def import_pem(pem: str | bytes, algorithms: Sequence[str] = ()) -> Key:
    """Return the key of a PEM: a public key (SPKI or PKCS#1) or a certificate, of which only the key counts.

    `algorithms` narrows what it may be used with. Raises `UnusableKeyError`.
    """
    if not isinstance(pem, str | bytes):
        message = f"public_key is PEM as str or bytes, not {type(pem).__name__}"
        raise TypeError(message)
    data = pem.encode("utf-8", "replace") if isinstance(pem, str) else pem
    return _bind(_load_pem(data), None, None, algorithms)


def _load_pem(data: bytes) -> object:
    if b"PRIVATE KEY" in data:
        message = "public_key holds a private key: pass the public one, and keep this one from servers that only verify"
        raise UnusableKeyError(message)
    try:
        if b"BEGIN CERTIFICATE" in data:
            return load_pem_x509_certificate(data).public_key()
        return load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        pass
    message = "public_key is no PEM: write the text from '-----BEGIN PUBLIC KEY-----' to its end, with its line breaks"
    raise UnusableKeyError(message)


def import_jwk(jwk: object, algorithms: Sequence[str] = ()) -> Key:
    """Return the key of a JWK (RFC 7517 section 4). Certificates in it are not looked at. Raises `UnusableKeyError`."""
    if not isinstance(jwk, dict):
        raise _unusable("not an object")
    _check_members(jwk)
    return _bind(_load_jwk(jwk), jwk.get("kid"), jwk.get("alg"), algorithms)


def _check_members(jwk: dict[str, Any]) -> None:
    for name in ("kty", "use", "alg", "kid"):
        if name in jwk and not isinstance(jwk[name], str):
            raise _unusable(f"{name} is not a string")
    if len(jwk.get("kid", "")) > MAX_KID:
        raise _unusable(f"kid is longer than {MAX_KID}")
    if any(name in jwk for name in _PRIVATE_MEMBERS):
        # RFC 7517 section 9.2: whoever publishes these has given the key away.
        raise PublishedSecretError
    if jwk.get("use", "sig") != "sig":
        raise _unusable("its use is not sig")
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise _unusable("its key_ops do not have verify")
    if "use" in jwk and any(operation not in ("sign", "verify") for operation in operations):
        # RFC 7517 section 4.3: the two together must be consistent. (A tuple: an operation may be of any type.)
        raise _unusable("its use and key_ops contradict each other")


def _load_jwk(jwk: dict[str, Any]) -> PublicKey:
    kind, curve = jwk.get("kty"), jwk.get("crv")
    if kind == "RSA":
        return _load_rsa(_integer(jwk, "n"), _integer(jwk, "e"))
    if kind == "EC" and isinstance(curve, str) and curve in _CURVES:
        return _load_ec(jwk, _CURVES[curve][1])
    if kind == "OKP" and curve in ("Ed25519", "Ed448"):
        x = _member(jwk, "x")
        edwards = ed25519.Ed25519PublicKey if curve == "Ed25519" else ed448.Ed448PublicKey
        return _load(lambda: edwards.from_public_bytes(x))
    raise _unusable("its kty or crv is not one we verify with")


def _load_rsa(modulus: int, exponent: int) -> PublicKey:
    _check_rsa(modulus, exponent)
    return _load(rsa.RSAPublicNumbers(exponent, modulus).public_key)


def _load_ec(jwk: dict[str, Any], curve: ec.EllipticCurve) -> PublicKey:
    size = (curve.key_size + 7) // 8
    x, y = _member(jwk, "x"), _member(jwk, "y")
    if len(x) != size or len(y) != size:
        # RFC 7518 section 6.2.1.2: full length, or one key would have several thumbprints.
        raise _unusable("its coordinates do not have the curve's length")
    numbers = ec.EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), curve)
    return _load(numbers.public_key)


def _load(load: Callable[[], PublicKey]) -> PublicKey:
    try:
        return load()
    except (ValueError, UnsupportedAlgorithm):
        pass
    raise _unusable("its numbers are not those of a public key")


def _integer(jwk: dict[str, Any], name: str) -> int:
    data = _member(jwk, name)
    if data[0] == 0:
        # RFC 7518 section 6.3.1: the shortest form
        raise _unusable(f"{name} is not written canonically")
    return int.from_bytes(data, "big")


def _member(jwk: dict[str, Any], name: str) -> bytes:
    value = jwk.get(name)
    data = b""
    if isinstance(value, str) and value.isascii():
        try:
            data = decode_segment(value.encode("ascii"))
        except InvalidToken:
            data = b""
    if not data:
        raise _unusable(f"{name} is not base64url")
    return data


def _bind(public: object, kid: str | None, alg: str | None, algorithms: Sequence[str]) -> Key:
    """Join a checked key and its one algorithm."""
    fitting = check_strength(public)
    algorithm = _choose(fitting, alg, algorithms)
    jwk = _joserfc_key(cast("PublicKey", public))
    return Key(
        kid=kid,
        algorithms=_same_algorithm(algorithm, fitting),
        thumbprint=jwk.thumbprint(),
        verify=_verification(algorithm, jwk),
    )


def check_strength(public: object) -> tuple[str, ...]:
    """Return the algorithms that `public` can sign with; raise `UnusableKeyError` where it is weak."""
    if isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        _check_rsa(numbers.n, numbers.e)
        return _RSA
    if isinstance(public, ec.EllipticCurvePublicKey) and public.curve.name in _CURVE_NAMES:
        return (_CURVES[_CURVE_NAMES[public.curve.name]][0],)
    if isinstance(public, ed25519.Ed25519PublicKey):
        return _check_edwards("Ed25519", public)
    if isinstance(public, ed448.Ed448PublicKey):
        return _check_edwards("Ed448", public)
    raise _unusable("its kind is not one we verify with: use RSA, P-256, P-384, P-521, Ed25519 or Ed448")


def _check_rsa(modulus: int, exponent: int) -> None:
    if not _MIN_RSA_BITS <= modulus.bit_length() <= _MAX_RSA_BITS or not modulus & 1:
        # RFC 7518 section 3.3: 2048 bits or more. The upper bound keeps one key from costing seconds.
        raise _unusable(f"its modulus is not an odd number of {_MIN_RSA_BITS} to {_MAX_RSA_BITS} bits")
    if not _MIN_EXPONENT <= exponent < _MAX_EXPONENT or not exponent & 1:
        raise _unusable(f"its exponent is not an odd number from {_MIN_EXPONENT} to 2^32")
    if all(modulus % prime in powers for prime, powers in _ROCA):
        raise _unusable("its modulus can be factored (ROCA, CVE-2017-15361)")


def _check_edwards(name: str, public: ed25519.Ed25519PublicKey | ed448.Ed448PublicKey) -> tuple[str, ...]:
    curve = _EDWARDS[name]
    point = curve.decode(public.public_bytes_raw())
    if point is None or curve.has_small_order(point):
        raise _unusable("it is no point that only one can sign for")
    return (_EDDSA, name)


def _choose(fitting: tuple[str, ...], alg: str | None, algorithms: Sequence[str]) -> str:
    if alg is not None:
        if alg not in fitting:
            raise _unusable("its alg is not one it can do, or not one we verify")
        if algorithms and _same_algorithm(alg, fitting).isdisjoint(algorithms):
            raise _unusable("its alg is not among the configured ones")
        return alg
    if not algorithms:
        return fitting[0]
    for algorithm in algorithms:
        if algorithm in fitting:
            return algorithm
    raise _unusable(f"it cannot do {' or '.join(algorithms)}, but {' or '.join(fitting)}")


def _same_algorithm(alg: str, fitting: tuple[str, ...]) -> frozenset[str]:
    """Return the names of one algorithm. RFC 9864 section 2.2: EdDSA of an Ed25519 key and Ed25519 are the same."""
    return frozenset(fitting) if _EDDSA in fitting else frozenset({alg})


def with_other_names(algorithms: Sequence[str]) -> Sequence[str]:
    """Return the header's `alg` values that `algorithms` stand for: EdDSA and the names of its curves are one."""
    if _EDDSA in algorithms:
        return (*algorithms, *_EDWARDS)
    return (*algorithms, _EDDSA) if any(name in _EDWARDS for name in algorithms) else algorithms


def _joserfc_key(key: PublicKey | PrivateKey) -> RSAKey | ECKey | OKPKey:
    # From the key and not from its JWK: so the thumbprint is that of the canonical form.
    if isinstance(key, rsa.RSAPublicKey | rsa.RSAPrivateKey):
        return RSAKey.import_key(key)
    if isinstance(key, ec.EllipticCurvePublicKey | ec.EllipticCurvePrivateKey):
        return ECKey.import_key(key)
    return OKPKey.import_key(key)


class _Bound:
    """What joserfc's models ask of a key, found once: its own look-ups cost as much as a hash on every request."""

    __slots__ = ("curve_key_size", "get_op_key")

    def __init__(self, key: RSAKey | ECKey | OKPKey | OctKey) -> None:
        native = key.get_op_key("verify")
        self.get_op_key = lambda _operation: native
        self.curve_key_size = getattr(key, "curve_key_size", 0)


def _verification(algorithm: str, key: RSAKey | ECKey | OKPKey | OctKey) -> Callable[[bytes, bytes], bool]:
    if isinstance(key, RSAKey):
        return _rsa_verification(algorithm, key)
    verify, bound = JWSRegistry.algorithms[algorithm].verify, _Bound(key)
    return lambda signing_input, signature: verify(signing_input, signature, bound)


def _rsa_verification(algorithm: str, key: RSAKey) -> Callable[[bytes, bytes], bool]:
    """Bind what joserfc's model would look up and make anew for every signature."""
    model = cast("Any", JWSRegistry.algorithms[algorithm])
    verify, padding, digest = key.public_key.verify, model.padding, model.hash_alg()

    def holds(signing_input: bytes, signature: bytes) -> bool:
        try:
            verify(signature, signing_input, padding, digest)
        except InvalidSignature:
            return False
        return True

    return holds


def secret_key(secret: str | bytes, algorithm: str) -> Key:
    """Return the key of an HMAC secret, or raise `ValueError` where it is no secret (see `keys.secret`)."""
    key = OctKey.import_key(import_secret(secret, algorithm))
    return Key(
        kid=None, algorithms=frozenset({algorithm}), thumbprint=key.thumbprint(), verify=_verification(algorithm, key)
    )


def _unusable(why: str) -> UnusableKeyError:
    return UnusableKeyError(f"the key is not used: {why}")


SigningAlgorithm: TypeAlias = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519", "Ed448"
]


class SigningKey:
    """A private key that signs with one algorithm: our own, or one of the testing kit's issuers."""

    def __init__(self, key: RSAKey | ECKey | OKPKey, algorithm: SigningAlgorithm) -> None:
        self._key = key
        self.algorithm = algorithm

    @classmethod
    def generate(cls, algorithm: SigningAlgorithm = "RS256") -> SigningKey:
        """Return a new key that fits `algorithm`; an RSA key has 2048 bits."""
        if algorithm in _RSA:
            return cls(RSAKey.generate_key(2048), algorithm)
        for curve, (name, _) in _CURVES.items():
            if name == algorithm:
                return cls(ECKey.generate_key(cast("Any", curve)), algorithm)
        return cls(OKPKey.generate_key("Ed448" if algorithm == "Ed448" else "Ed25519"), algorithm)

    @classmethod
    def from_pem(cls, pem: str, algorithm: SigningAlgorithm = "RS256") -> SigningKey:
        """Return the key of a private PEM without a password; raise `ValueError` where it is none or does not fit."""
        private = load_private_pem(pem)
        if algorithm not in check_strength(private.public_key()):
            raise _unusable(f"it cannot do {algorithm}")
        return cls(_joserfc_key(cast("PrivateKey", private)), algorithm)

    @property
    def public_pem(self) -> str:
        """The public key in PEM (SPKI)."""
        return self._key.as_pem(private=False).decode()

    @property
    def private_pem(self) -> str:
        """The private key in PEM (PKCS#8, without a password)."""
        return self._key.as_pem(private=True).decode()

    @property
    def thumbprint(self) -> str:
        """The thumbprint of RFC 7638."""
        return self._key.thumbprint()

    def public_jwk(self, kid: str) -> dict[str, Any]:
        """Return the public key as a JWK for signatures."""
        return {**self._key.as_dict(private=False), "kid": kid, "alg": self.algorithm, "use": "sig"}

    def sign(self, header: dict[str, Any], payload: dict[str, Any]) -> str:
        """Return a compact JWS of `payload`; `header` may lack `alg`. Nothing is checked: tests need bad tokens."""
        return _sign(self.algorithm, self._key, header, payload)

    def __repr__(self) -> str:
        """Show what it is, not what it holds."""
        return f"SigningKey({self.algorithm}, {self.thumbprint})"


class SigningSecret:
    """An HMAC secret that signs with one algorithm. Raises `ValueError` where it is no secret (see `keys.secret`)."""

    def __init__(self, client_secret: str, algorithm: str) -> None:
        self._key = OctKey.import_key(import_secret(client_secret, algorithm, name="client_secret"))
        self.algorithm = algorithm

    def sign(self, header: dict[str, Any], payload: dict[str, Any]) -> str:
        """Return a compact JWS of `payload`."""
        return _sign(self.algorithm, self._key, header, payload)

    def __repr__(self) -> str:
        """Show what it is, not what it holds."""
        return f"SigningSecret({self.algorithm})"


def _sign(algorithm: str, key: object, header: dict[str, Any], payload: dict[str, Any]) -> str:
    signing_input = b".".join([encode_segment(_json({"alg": algorithm, **header})), encode_segment(_json(payload))])
    signature = JWSRegistry.algorithms[algorithm].sign(signing_input, key)
    return b".".join([signing_input, encode_segment(signature)]).decode("ascii")


def load_private_pem(pem: object) -> PrivateKeyTypes:
    """Return the private key that `pem` is; raise `ValueError` where it is none, or has a password."""
    if not isinstance(pem, str):
        message = f"a private key is PEM as str, not {type(pem).__name__}"
        raise TypeError(message)
    try:
        return load_pem_private_key(pem.encode("utf-8", "replace"), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: it has a password
        pass
    raise _unusable("it is no private key in PEM, or it has a password")


def encode_segment(data: bytes) -> bytes:
    """Return base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode("utf-8")
