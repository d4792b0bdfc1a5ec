"""What a page tells of a client certificate: where it is from, what is odd about it, how long it lasts, who used it."""

import asyncio
import contextlib
import warnings
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Final
from weakref import WeakKeyDictionary

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from keyrack.domain.instances import ClientCertificate
from keyrack.ports.whole_catalog import WholeCatalog
from keyrack.service.office.certificates import alarm_due, days_left, key_of, printable, says_authority
from keyrack.service.office.material import UnusableCertificate
from keyrack.shell.config.whole import Config
from keyrack.shell.console.words import mark

PATIENCE: Final = 0.2
"""Seconds that a page waits for last uses; they are read from the journal, and it may be long."""
MOST_KEPT: Final = 500
"""Instances whose last uses are kept."""


class Way(Enum):
    """By which of vCenter's four ways a certificate has come, as far as it shows that itself."""

    OWN = ("vCenter Certificate", mark("made by the client itself"))
    SIGNED = ("New Certificate Signing Request (CSR)", mark("its signing request was signed here"))
    ISSUED = ("KMS certificate and private key", mark("made here, with its key"))
    OTHER = ("", mark("signed by another authority"))

    def __init__(self, label: str, told: str) -> None:
        """``label``: what vSphere calls it, empty where it has no word for it."""
        self.label = label
        self.told = told


class Oddity(StrEnum):
    """What is odd about a certificate; a page says it in words."""

    EXPIRED = "expired"
    EARLY = "early"
    AUTHORITY = "authority"
    SERVER = "server"
    WEAK = "weak"
    NAMELESS = "nameless"


HINDERS: Final = frozenset({Oddity.EXPIRED, Oddity.EARLY, Oddity.WEAK})
"""What should be changed; the rest is only good to know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A certificate, for people."""

    certificate: ClientCertificate
    way: Way
    issuer: str
    serial: str
    key: str
    names: Sequence[str]
    sha1: str
    """In hexadecimal: what some dialogs show in the place of SHA-256."""
    pem: str
    days: int
    """Left; negative once it has expired."""
    alarm: int | None
    """Which of 90, 30, 7 and 0 days is reached."""
    oddities: Sequence[Oddity]


def looked(certificate: ClientCertificate, at: int, authority: x509.Certificate | None = None) -> Look:
    """``at``: seconds since 1970; ``authority``: the deployment's own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = x509.load_der_x509_certificate(certificate.der)
        return Look(
            certificate=certificate,
            way=way_of(found, authority),
            issuer=printable(found.issuer.rfc4514_string()),
            serial=f"{found.serial_number:X}",
            key=_key(found),
            names=_names(found),
            sha1=found.fingerprint(hashes.SHA1()).hex(),  # noqa: S303 - for comparing with what others show
            pem=found.public_bytes(serialization.Encoding.PEM).decode(),
            days=days_left(certificate, at),
            alarm=alarm_due(certificate, at),
            oddities=oddities_of(found, certificate, at),
        )


def way_of(found: x509.Certificate, authority: x509.Certificate | None) -> Way:
    """A pair that is made here has a subject of our making; what a request asks for has another."""
    if authority is not None and found.issuer == authority.subject and _signed_by(found, authority):
        ours = [each.value for each in found.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
        return Way.ISSUED if ours == ["Keyrack"] and len(list(found.subject)) == 2 else Way.SIGNED
    return Way.OWN if found.issuer == found.subject else Way.OTHER


def oddities_of(found: x509.Certificate, certificate: ClientCertificate, at: int) -> Sequence[Oddity]:
    """In the order of their weight."""
    hash_of = _hash(found)
    seen = {
        Oddity.EXPIRED: certificate.not_after < at,
        Oddity.EARLY: certificate.not_before > at,
        Oddity.WEAK: hash_of in {"sha1", "md5"},
        Oddity.AUTHORITY: says_authority(found),
        Oddity.SERVER: not _for_clients(found),
        Oddity.NAMELESS: not certificate.subject,
    }
    return [oddity for oddity, there in seen.items() if there]


def own_authority(config: Config) -> x509.Certificate | None:
    """The certificate of the deployment's own authority; ``None`` where it cannot be read."""
    path = config.directory / "tls/ca.pem"
    with contextlib.suppress(OSError, ValueError):
        return _read(path, path.stat().st_mtime_ns)
    return None


@lru_cache(maxsize=8)
def _read(path: Path, changed: int) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def _signed_by(found: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        found.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _key(found: x509.Certificate) -> str:
    try:
        return key_of(found)
    except (UnusableCertificate, ValueError):
        return "–"


def _names(found: x509.Certificate) -> Sequence[str]:
    try:
        held = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return ()
    return [printable(str(each.value))[:200] for each in held][:20]


def _hash(found: x509.Certificate) -> str:
    try:
        algorithm = found.signature_hash_algorithm
    except Exception:  # UnsupportedAlgorithm and the like: then nothing is said of it
        return ""
    return algorithm.name if algorithm is not None else ""


def _for_clients(found: x509.Certificate) -> bool:
    try:
        usages = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return True
    return ExtendedKeyUsageOID.CLIENT_AUTH in usages or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usages


# Last uses --------------------------------------------------------------------------------------------------------


class Uses:
    """When each certificate was used last: the journal is read whole once for each instance, then only what is new."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._known: OrderedDict[str, tuple[Mapping[str, int], int]] = OrderedDict()
        self._reading: dict[str, asyncio.Task[Mapping[str, int]]] = {}

    async def of(self, catalog: WholeCatalog, instance: str, patience: float = PATIENCE) -> Mapping[str, int] | None:
        """Seconds since 1970 by fingerprint; ``None`` where reading takes longer than that: it goes on meanwhile.

        Whoever asks has made sure that the asker may see the instance's certificates.
        """
        task = self._reading.get(instance)
        if task is None or task.done():
            task = self._reading[instance] = asyncio.create_task(self._read(catalog, instance))
        try:
            return await asyncio.wait_for(asyncio.shield(task), patience)
        except TimeoutError:
            return None

    async def _read(self, catalog: WholeCatalog, instance: str) -> Mapping[str, int]:
        known, after = self._known.get(instance, ({}, 0))
        fresh, after = await catalog.last_uses(instance, after)
        merged = {**known, **{fingerprint: at // 1000 for fingerprint, at in fresh.items()}}
        self._known[instance] = merged, after
        self._known.move_to_end(instance)
        while len(self._known) > MOST_KEPT:
            gone, _ = self._known.popitem(last=False)
            self._reading.pop(gone, None)
        return merged


_USES: WeakKeyDictionary[WholeCatalog, Uses] = WeakKeyDictionary()


def uses_in(catalog: WholeCatalog) -> Uses:
    """Those of this catalog, kept as long as it is open."""
    return _USES.setdefault(catalog, Uses())
