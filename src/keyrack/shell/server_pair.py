"""The listener's own certificate and key in their files: read, checked, and replaced whole.

Both files are replaced one after the other, each at once. A crash between the two leaves a certificate beside the key
that it does not fit, and the new one waiting under ``.next``: :func:`finish` completes that.
"""

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from keyrack.domain.secret import wipe
from keyrack.embedded.files import sync_directory
from keyrack.service.office.certificates import day, key_of, printable, says_authority
from keyrack.service.office.expiry import ServerCertificate
from keyrack.service.office.material import Kind, UnusableCertificate, certificates_in, kinds_of
from keyrack.shell import pki

NEXT: Final = ".next"
"""Behind the name of a file: what takes its place."""
BEFORE: Final = ".before"
"""Behind the name of a file: what it has taken the place of."""
PENDING: Final = ".request"
"""Behind the name of the key: the key of a request that waits for its certificate."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A server's certificate, for people."""

    fingerprint: str
    subject: str
    issuer: str
    names: Sequence[str]
    not_before: int
    not_after: int
    """Seconds since 1970."""
    key: str
    serial: int

    @property
    def lapsing(self) -> ServerCertificate:
        """What an expiry alarm needs of it."""
        return ServerCertificate(fingerprint=self.fingerprint, subject=self.subject, not_after=self.not_after)


@dataclass(frozen=True, slots=True)
class ServerPair:
    """Where the pair of a listener is."""

    certificate: Path
    key: Path

    def shown(self) -> Shown:
        """The certificate that is there; raises ``OSError`` and :class:`UnusableCertificate`."""
        return shown(certificates_in(self.certificate.read_bytes())[0])

    def lapsing(self) -> ServerCertificate | None:
        """What an expiry alarm needs of the certificate that is there; ``None`` where it cannot be read."""
        try:
            return self.shown().lapsing
        except (OSError, UnusableCertificate):
            return None

    def replace(self, certificate: bytes, key: bytearray, *, at: int) -> Shown:
        """Put a pair (PEM) in the place of the one that is there, which is kept aside; the key is wiped.

        Raises :class:`UnusableCertificate` for a pair that is of no use, and ``OSError``; then nothing was replaced.
        """
        try:
            new = checked(certificate, key, at=at)
            for path in (self.certificate, self.key):
                _keep_aside(path)
            _put(_beside(self.certificate, NEXT), certificate, 0o644, like=self.certificate)
            _put(_beside(self.key, NEXT), key, 0o600, like=self.key)
        finally:
            wipe(key)
        os.replace(_beside(self.key, NEXT), self.key)
        os.replace(_beside(self.certificate, NEXT), self.certificate)
        sync_directory(self.certificate.parent)
        return new

    def finish(self) -> bool:
        """Complete a replacement that a crash has cut in two; whether there was one."""
        key, certificate = _beside(self.key, NEXT), _beside(self.certificate, NEXT)
        if key.exists():  # the old pair is still whole: the new one never came to be
            key.unlink()
            certificate.unlink(missing_ok=True)
            return True
        if certificate.exists():
            os.replace(certificate, self.certificate)
            sync_directory(self.certificate.parent)
            return True
        return False

    def request(self, names: Sequence[str]) -> bytes:
        """A signing request (PEM) for a new key, which waits beside the old one until its certificate comes."""
        key = pki.make_key("rsa-2048")
        builder = x509.CertificateSigningRequestBuilder(
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
        ).add_extension(pki.alternative_names(names), critical=False)
        private = bytearray(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        try:
            _put(self.pending, private, 0o600, like=self.key)
        finally:
            wipe(private)
        return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    @property
    def pending(self) -> Path:
        """Where the key of a request waits."""
        return _beside(self.key, PENDING)


def checked(certificate: bytes, key: bytearray, *, at: int) -> Shown:
    """What a pair is that could be shown to clients; raises :class:`UnusableCertificate` for one that cannot."""
    chain = certificates_in(certificate)
    leaf = chain[0]
    private = _private_key(key)
    public = leaf.public_key()
    if not isinstance(public, rsa.RSAPublicKey | ec.EllipticCurvePublicKey) or private.public_key() != public:
        raise UnusableCertificate(
            "certificate and key do not belong together; hand over the key that the certificate was made for"
        )
    found = shown(leaf)
    if says_authority(leaf):
        raise UnusableCertificate(f"{found.subject} is a certificate authority; hand over a server's certificate")
    if found.not_after < at:
        raise UnusableCertificate(f"it expired on {day(found.not_after)}; hand over one that is valid")
    if found.not_before > at:
        raise UnusableCertificate(f"it is not valid before {day(found.not_before)}; replace it then")
    if not _is_for_servers(leaf):
        raise UnusableCertificate("its Extended Key Usage is not for servers; have one made for a TLS server")
    return found


def _private_key(key: bytearray) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
    kinds = kinds_of(key)
    if Kind.ENCRYPTED_KEY in kinds:
        raise UnusableCertificate(
            "the key is under a passphrase, and the server starts without a person; take it off: openssl pkey -in FILE"
        )
    try:
        found = serialization.load_pem_private_key(key, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        what = kinds[0].value if kinds else "no key"
        raise UnusableCertificate(
            f"in the place of the key there is {what}; hand over the private key in PEM (-----BEGIN PRIVATE KEY-----)"
        ) from None
    if not isinstance(found, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise UnusableCertificate("the key is neither RSA nor EC; make a pair with RSA-2048, which every vSphere takes")
    return found


def shown(leaf: x509.Certificate) -> Shown:
    """What a person should see of a server's certificate; raises :class:`UnusableCertificate` for a weak key."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            alternative = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            names = [str(each.value) for each in alternative]
        except x509.ExtensionNotFound:
            names = []
        return Shown(
            fingerprint=leaf.fingerprint(hashes.SHA256()).hex(),
            subject=printable(leaf.subject.rfc4514_string()),
            issuer=printable(leaf.issuer.rfc4514_string()),
            names=names,
            not_before=int(leaf.not_valid_before_utc.timestamp()),
            not_after=int(leaf.not_valid_after_utc.timestamp()),
            key=key_of(leaf),
            serial=leaf.serial_number,
        )


def _is_for_servers(leaf: x509.Certificate) -> bool:
    try:
        usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return ExtendedKeyUsageOID.SERVER_AUTH in usages or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usages


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _keep_aside(path: Path) -> None:
    """A second name of the file that is there; it is the same file, with its owner and mode."""
    aside = _beside(path, BEFORE)
    aside.unlink(missing_ok=True)
    if path.exists():
        os.link(path, aside)


def _put(path: Path, content: bytes | bytearray, mode: int, *, like: Path) -> None:
    """Write a new file; where root does it, for whoever owns the file that is there: the server has to read it."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        if os.geteuid() == 0 and like.exists():
            owner = like.stat()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def today(at: int) -> datetime:
    """The time, as certificates are made with it."""
    return datetime.fromtimestamp(at, UTC)
