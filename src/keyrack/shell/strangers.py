"""Certificates that were seen and not trusted: what an administrator asks for when a client cannot connect."""

from collections import OrderedDict
from collections.abc import Callable
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
    reason: str
    """Why it was refused, in words."""
    address: str
    """Where it came from last."""
    count: int
    first_seen: float
    """Seconds since 1970."""
    last_seen: float
    """Seconds since 1970."""


class Strangers:
    """Remembers the last ``capacity`` certificates that were refused, each once."""

    def __init__(self, clock: Callable[[], float], capacity: int = 256) -> None:
        """``clock`` gives seconds since 1970."""
        self._clock = clock
        self._capacity = capacity
        self._seen: OrderedDict[str, Stranger] = OrderedDict()

    def remember(self, *, fingerprint: str, der: bytes, reason: str, address: str) -> Stranger:
        """Count one more refusal of a certificate and give what is known of it."""
        now = self._clock()
        known = self._seen.pop(fingerprint, None)
        if known is None:
            stranger = Stranger(
                fingerprint=fingerprint,
                subject=subject_of(der),
                reason=reason,
                address=address,
                count=1,
                first_seen=now,
                last_seen=now,
            )
        else:
            stranger = replace(known, reason=reason, address=address, count=known.count + 1, last_seen=now)
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
