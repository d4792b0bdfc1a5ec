"""Certificates that were seen and not trusted: whose they say they are, and how often, for whoever reads the log."""

from collections import OrderedDict
from dataclasses import dataclass, replace

from cryptography import x509

LONGEST_SUBJECT = 200
"""Characters of a subject that are kept."""


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
    """Remembers the last ``capacity`` certificates that were refused, each once."""

    def __init__(self, capacity: int = 256) -> None:
        """``capacity``: how many certificates are remembered at the most."""
        self._capacity = capacity
        self._seen: OrderedDict[str, Stranger] = OrderedDict()

    def remember(self, fingerprint: str, der: bytes) -> Stranger:
        """Count one more refusal of a certificate and give what is known of it."""
        known = self._seen.pop(fingerprint, None)
        if known is None:
            stranger = Stranger(fingerprint=fingerprint, subject=subject_of(der), count=1)
        else:
            stranger = replace(known, count=known.count + 1)
        self._seen[fingerprint] = stranger
        if len(self._seen) > self._capacity:
            self._seen.popitem(last=False)
        return stranger

    def forget(self, fingerprint: str) -> None:
        """It is trusted now."""
        self._seen.pop(fingerprint, None)

    def all(self) -> tuple[Stranger, ...]:
        """The last seen first."""
        return tuple(reversed(self._seen.values()))


def subject_of(der: bytes) -> str:
    """The subject for people, without control characters, or an empty text where the certificate is too odd."""
    try:
        subject = x509.load_der_x509_certificate(der).subject.rfc4514_string()
    except Exception:  # what a stranger sends may break a parser in any way, and it is only for display
        return ""
    return "".join(letter if letter.isprintable() else "?" for letter in subject[:LONGEST_SUBJECT])
