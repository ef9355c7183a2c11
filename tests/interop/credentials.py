"""The keys and certificates of the clients that may introspect: what they hold, and what a server is told of them.

All of them are made for one run of the tests. The file that the server reads holds public keys and the server's own
certificate; the private keys of the clients stay here.
"""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from interop.foreign import AWKWARD_SECRET
from joserfc.jwk import ECKey, RSAKey
from key_material import private_pem, private_rsa, public_pem, signing_key

if TYPE_CHECKING:
    from pathlib import Path

    from asgi_bearer.keys.jose import SigningAlgorithm

ASSERTION_ALGORITHMS: tuple[SigningAlgorithm, ...] = ("RS256", "PS256", "ES256", "EdDSA", "Ed25519")
"""Those of the clients `rs-RS256`, `rs-PS256` and so on: private_key_jwt (RFC 7523 section 2.2)."""
RESPONSE_ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA", "Ed25519")
"""Those of the answers for the clients `rs-signed-RS256` and so on (RFC 9701 section 6)."""
RESPONSE_ENCRYPTIONS = (
    ("RSA-OAEP-256", "A128CBC-HS256"),
    ("RSA-OAEP-256", "A256GCM"),
    ("ECDH-ES", "A256GCM"),
)
"""Those of the answers for the clients `rs-RSA-OAEP-256-A256GCM` and so on."""
JWT_SECRET = AWKWARD_SECRET * 2
"""The secret of `rs-jwt`: a key for HS256 has at least 32 bytes (RFC 7518 section 3.2)."""
A_DAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Private keys by client id, and certificates by name: rs-tls, rs-self-signed, nobody, false-rs-tls."""

    folder: Path
    clients: list[dict[str, Any]] = field(repr=False)
    """The clients as a server registers them (RFC 7591 section 2)."""
    private_keys: dict[str, str] = field(repr=False)

    def ssl_context(self, certificate: str | None) -> ssl.SSLContext:
        """Return a context that trusts the server, and shows it `certificate` or none at all."""
        context = ssl.create_default_context(cafile=self.folder / "ca.pem")
        if certificate is not None:
            context.load_cert_chain(self.folder / f"{certificate}.pem")
        return context


def make_credentials(folder: Path) -> Credentials:
    """Make everything, and leave in `folder` what is read from files."""
    clients: list[dict[str, Any]] = [
        {"client_id": "rs-jwt", "client_secret": JWT_SECRET, "token_endpoint_auth_method": "client_secret_jwt"}
    ]
    private_keys = {}
    for algorithm in ASSERTION_ALGORITHMS:
        key = signing_key(algorithm)
        private_keys[f"rs-{algorithm}"] = key.private_pem
        clients.append(
            {
                "client_id": f"rs-{algorithm}",
                "token_endpoint_auth_method": "private_key_jwt",
                "token_endpoint_auth_signing_alg": algorithm,
                "jwks": {"keys": [key.public_jwk("the-key-of-the-client")]},
            }
        )
    clients += [
        {
            "client_id": f"rs-signed-{algorithm}",
            "client_secret": AWKWARD_SECRET,
            "introspection_signed_response_alg": algorithm,
        }
        for algorithm in RESPONSE_ALGORITHMS
    ]
    for management, encryption in RESPONSE_ENCRYPTIONS:
        client_id = f"rs-{management}-{encryption}"
        private = private_rsa() if management.startswith("RSA") else ec.generate_private_key(ec.SECP256R1())
        private_keys[client_id] = private_pem(private)
        clients.append(
            {
                "client_id": client_id,
                "client_secret": AWKWARD_SECRET,
                "introspection_encrypted_response_alg": management,
                "introspection_encrypted_response_enc": encryption,
                "jwks": {"keys": [_encryption_jwk(private, management)]},
            }
        )
    clients += _make_certificates(folder)
    return Credentials(folder=folder, clients=clients, private_keys=private_keys)


def _encryption_jwk(private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, algorithm: str) -> dict[str, Any]:
    kind = RSAKey if isinstance(private, rsa.RSAPrivateKey) else ECKey
    return {**kind.import_key(public_pem(private)).as_dict(private=False), "alg": algorithm, "use": "enc"}


def _make_certificates(folder: Path) -> list[dict[str, Any]]:
    """Make an authority, a server and the clients of RFC 8705 section 2; return these as the server knows them."""
    authority = _Party("the authority of the tests")
    authority.sign(authority, folder / "ca.pem")
    hosts = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    _Party("127.0.0.1").sign(authority, folder / "server.pem", hosts)
    _Party("rs-tls").sign(authority, folder / "rs-tls.pem")
    _Party("nobody").sign(authority, folder / "nobody.pem")
    # Named as a client that is known, by an authority that is not.
    _Party("rs-tls").sign(_Party("the authority of the tests"), folder / "false-rs-tls.pem")
    self_signed = _Party("rs-self-signed")
    certificate = self_signed.sign(self_signed, folder / "rs-self-signed.pem")
    encoded = base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()
    jwk = ECKey.import_key(public_pem(self_signed.key)).as_dict(private=False)
    return [
        {
            "client_id": "rs-tls",
            "token_endpoint_auth_method": "tls_client_auth",
            "tls_client_auth_subject_dn": "CN=rs-tls",
        },
        {
            "client_id": "rs-self-signed",
            "token_endpoint_auth_method": "self_signed_tls_client_auth",
            "jwks": {"keys": [{**jwk, "x5c": [encoded]}]},
        },
    ]


class _Party:
    """Someone with a key and a name."""

    def __init__(self, name: str) -> None:
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.key = ec.generate_private_key(ec.SECP256R1())

    def sign(self, issuer: _Party, path: Path, hosts: list[x509.GeneralName] | None = None) -> x509.Certificate:
        """Have `issuer` certify this party, and write the private key and the certificate to `path`."""
        now = dt.datetime.now(dt.UTC)
        public, authority = self.key.public_key(), issuer is self
        builder = (
            x509.CertificateBuilder(issuer.name, self.name, public, x509.random_serial_number())
            .not_valid_before(now - A_DAY)
            .not_valid_after(now + A_DAY)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(_usage(authority=authority), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False)
        )
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        certificate = builder.sign(issuer.key, hashes.SHA256())
        path.write_bytes(private_pem(self.key).encode() + certificate.public_bytes(Encoding.PEM))
        return certificate


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
