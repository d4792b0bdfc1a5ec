"""Certificates that are not pinned and knocked: whose they say they are, and how often, for an administrator.

What has come in is handed over in batches (:meth:`Strangers.take`), so that no handshake ever writes into the catalog.
"""

from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from cryptography import x509

from keyrack.domain.instances import Admittance, SeenCertificate

LONGEST_SUBJECT: Final = 200
"""Characters of a subject that are kept."""
LONGEST_REASON: Final = 200
LARGEST_DER: Final = 16 * 1024
"""Bytes of a certificate that is kept whole; of a larger one only its fingerprint and subject are."""
MOST_PENDING: Final = 512
PENDING_OF_ADDRESS: Final = 64
"""Different certificates that are kept between two batches, of all addresses and of one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stranger:
    """A client certificate that was offered and refused."""

    fingerprint: str
    """SHA-256 of its DER form in hexadecimal."""
    subject: str
    """As the certificate says, or empty where that cannot be read. Nothing in it is proved."""
    count: int
    """How often it was refused."""


class Strangers:
    """Remembers the last ``capacity`` certificates that were refused, each once, and what is still to be written."""

    def __init__(self, capacity: int = 256) -> None:
        """``capacity``: how many certificates are remembered at the most."""
        self._capacity = capacity
        self._seen: OrderedDict[str, Stranger] = OrderedDict()
        self._pending: dict[str, SeenCertificate] = {}
        self._of_address: Counter[str] = Counter()

    def remember(
        self, fingerprint: str, der: bytes, *, address: str = "", reason: str = "not trusted", at: int = 0
    ) -> Stranger:
        """Count one more refusal of a certificate and give what is known of it; ``at``: seconds since 1970."""
        known = self._seen.pop(fingerprint, None)
        if known is None:
            stranger = Stranger(fingerprint=fingerprint, subject=subject_of(der), count=1)
        else:
            stranger = replace(known, count=known.count + 1)
        self._seen[fingerprint] = stranger
        if len(self._seen) > self._capacity:
            self._seen.popitem(last=False)
        self._note(fingerprint, der, stranger.subject, address, reason=reason[:LONGEST_REASON], at=at)
        return stranger

    def admitted(self, fingerprint: str, der: bytes, admittance: Admittance, *, address: str, at: int) -> None:
        """It was let in by an authority."""
        self._seen.pop(fingerprint, None)
        pending = self._pending.get(fingerprint)
        subject = pending.subject if pending else subject_of(der)
        self._note(fingerprint, der, subject, address, at=at, admittance=admittance)

    def forget(self, fingerprint: str) -> None:
        """It is pinned now."""
        self._seen.pop(fingerprint, None)

    def all(self) -> tuple[Stranger, ...]:
        """Those that were refused, the last seen first."""
        return tuple(reversed(self._seen.values()))

    def take(self) -> Sequence[SeenCertificate]:
        """What came in since this was asked last; whoever asks keeps it from now on."""
        taken = tuple(self._pending.values())
        self._pending.clear()
        self._of_address.clear()
        return taken

    def _note(
        self,
        fingerprint: str,
        der: bytes,
        subject: str,
        address: str,
        *,
        at: int,
        reason: str = "",
        admittance: Admittance | None = None,
    ) -> None:
        before = self._pending.get(fingerprint)
        if before is None:
            if len(self._pending) >= MOST_PENDING or self._of_address[address] >= PENDING_OF_ADDRESS:
                return
            self._of_address[address] += 1
        self._pending[fingerprint] = SeenCertificate(
            fingerprint=fingerprint,
            der=der if len(der) <= LARGEST_DER else b"",
            subject=subject,
            address=address,
            reason=reason,
            first_at=before.first_at if before else at,
            last_at=at,
            count=before.count + 1 if before else 1,
            instance=admittance.instance if admittance else "",
            authority=admittance.authority if admittance else "",
        )


def subject_of(der: bytes) -> str:
    """The subject for people, without control characters, or an empty text where the certificate is too odd."""
    try:
        subject = x509.load_der_x509_certificate(der).subject.rfc4514_string()
    except Exception:  # what a stranger sends may break a parser in any way, and it is only for display
        return ""
    return "".join(letter if letter.isprintable() else "?" for letter in subject[:LONGEST_SUBJECT])
