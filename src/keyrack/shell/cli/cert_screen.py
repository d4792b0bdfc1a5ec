"""What commands show of a certificate, and how they take one in."""

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from keyrack.shell.cli import screen

if TYPE_CHECKING:
    from keyrack.domain.instances import ClientCertificate, SeenCertificate
    from keyrack.service.office.certificates import Offered

LARGEST: Final = 1_048_576
"""Bytes of input that are read: a certificate has a few thousand."""
ALARMS: Final[Mapping[int | None, str]] = {
    None: "",
    90: "plan its successor",
    30: "rotate it soon",
    7: "rotate it now",
    0: "expired",
}
"""What each of ``EXPIRY_ALARMS`` calls for."""


def material_of(file: str, what: str = "certificate") -> bytes:
    """What a file holds, or standard input where it is ``"-"``."""
    if file == "-":
        if sys.stdin.isatty():
            screen.note(f"Paste the {what}, then press Ctrl-D:")
        return sys.stdin.buffer.read(LARGEST)
    with open(file, "rb") as opened:
        return opened.read(LARGEST)


def show(offered: "Offered") -> None:
    """What a person should see of a certificate before it counts."""
    from keyrack.shell.pki import spaced

    certificate = offered.certificate
    screen.pairs(
        [
            ("subject", certificate.subject or "(none)"),
            ("SHA-256", spaced(certificate.fingerprint)),
            ("valid", f"{screen.moment(certificate.not_before)} to {screen.moment(certificate.not_after)}"),
            ("key", offered.key),
        ]
    )
    for remark in offered.remarks:
        screen.warn(remark)


def certificate_json(certificate: "ClientCertificate", instance: str) -> dict[str, object]:
    """A pinned certificate as JSON."""
    return {
        "fingerprint": certificate.fingerprint,
        "instance": instance,
        "subject": certificate.subject,
        "not_before": screen.instant(certificate.not_before),
        "not_after": screen.instant(certificate.not_after),
        "added_at": screen.instant(certificate.added_at),
    }


def admitted_json(seen: "SeenCertificate", instance: str) -> dict[str, object]:
    """A certificate that an authority has let in, as JSON."""
    return {
        "fingerprint": seen.fingerprint,
        "instance": instance,
        "subject": seen.subject,
        "authority": seen.authority,
        "first_at": screen.instant(seen.first_at),
        "last_at": screen.instant(seen.last_at),
        "address": seen.address,
        "count": seen.count,
    }
