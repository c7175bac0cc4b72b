"""TLS of the members and their clients: every node derives the same authority from the cluster key.

Who has the key can issue itself a certificate, so to trust the authority is to trust the key. Each node makes its own
leaf (client and server: etcd's gateway is a client of its own server), whose subject has no common name, which etcd's
gateway would not bear once it has users. The authority's private key is in no file.
"""

import contextlib
import os
import ssl
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from failoverd.config.machine import canonical
from failoverd.errors import StartupError

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of the group of P-256 (FIPS 186-4, section D.1.2.3)."""
SCALAR_BYTES = 48
"""128 bits more than the order has, so that taking the remainder favours no key (FIPS 186-4, section B.4.1)."""
LIFE = timedelta(days=90)
RENEW_BEFORE = timedelta(days=30)
BEGIN = datetime(1970, 1, 1, tzinfo=UTC)
"""A machine whose clock is behind, or was never set, is no reason to lose the coordinator."""
END = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""No well-defined expiration date (RFC 5280, section 4.1.2.5)."""
MODE = 0o600
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def authority_key(key: bytes, cluster: str) -> ec.EllipticCurvePrivateKey:
    """By HKDF (RFC 5869) from the cluster key and the cluster's name: the same on every node."""
    derive = HKDF(hashes.SHA256(), SCALAR_BYTES, salt=b"failoverd", info=f"etcd authority 1 {cluster}".encode())
    return ec.derive_private_key(int.from_bytes(derive.derive(key)) % (ORDER - 1) + 1, ec.SECP256R1())


class Certificates:
    """The files of one node."""

    def __init__(
        self, key: bytes, *, cluster: str, node: str, names: Iterable[str], ca_file: Path, pem_file: Path
    ) -> None:
        """``names``: every address by which the node is reached; the loopback's are added."""
        self._key = authority_key(key, cluster)
        self._issuer = _subject(("failoverd", f"authority of cluster {cluster}"))
        self._subject = _subject(("failoverd", f"node {node} of cluster {cluster}"))
        self._names = tuple(dict.fromkeys([*names, *LOOPBACK]))
        self.ca_file, self.pem_file = ca_file, pem_file
        self._ends = BEGIN
        self._context: ssl.SSLContext | None = None

    def renew(self, wall: str) -> bool:
        """Make what is missing or ends before long (``wall``: RFC 3339); whether anything was made. A new daemon makes
        everything anew. Raises ``OSError``."""
        now = datetime.fromisoformat(wall)
        if now + RENEW_BEFORE < self._ends and self.pem_file.exists() and self.ca_file.exists():
            return False
        ends = now + LIFE
        self.ca_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace(self.ca_file, self._authority().public_bytes(serialization.Encoding.PEM))
        replace(self.pem_file, self._leaf(ends))
        self._ends = ends
        if self._context is not None:
            self._context.load_cert_chain(self.pem_file)
        return True

    def client_context(self) -> ssl.SSLContext:
        """For our own questions; renewed in place. Raises ``StartupError``."""
        if self._context is None:
            try:
                self._context = ssl.create_default_context(cafile=str(self.ca_file))
                self._context.load_cert_chain(self.pem_file)
            except OSError as error:  # ssl.SSLError among them
                raise StartupError(f"the certificates in {self.ca_file.parent} cannot be used: {error}") from error
        return self._context

    def server_context(self) -> ssl.SSLContext:
        """For what answers in the member's place before it runs."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_verify_locations(cafile=str(self.ca_file))
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(self.pem_file)
        return context

    def _authority(self) -> x509.Certificate:
        own = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        return (
            self._builder(self._issuer, self._key.public_key(), END)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(authority=True), critical=True)
            .add_extension(own, critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def _leaf(self, ends: datetime) -> bytes:
        key = ec.generate_private_key(ec.SECP256R1())
        purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        made = (
            self._builder(self._subject, key.public_key(), ends)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
            .add_extension(x509.SubjectAlternativeName([_name(name) for name in self._names]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return made.public_bytes(serialization.Encoding.PEM) + private

    def _builder(
        self, subject: x509.Name, public: ec.EllipticCurvePublicKey, ends: datetime
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._issuer)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(BEGIN)
            .not_valid_after(ends.replace(microsecond=0))
        )


def _subject(parts: tuple[str, str]) -> x509.Name:
    kinds = (NameOID.ORGANIZATION_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME)
    # 64 characters are X.520's upper bound of both.
    return x509.Name([x509.NameAttribute(kind, part[:64]) for kind, part in zip(kinds, parts, strict=True)])


def _name(text: str) -> x509.GeneralName:
    numeric = canonical(text)
    return x509.DNSName(text) if numeric is None else x509.IPAddress(ip_address(numeric))


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def replace(path: Path, content: bytes) -> None:
    """Whole or not at all, readable by its owner alone. Raises ``OSError``."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, MODE)
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), MODE)
            file.write(content)
        beside.replace(path)
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
