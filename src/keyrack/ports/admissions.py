"""The part of the catalog that knows trusted authorities, and certificates that knocked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from keyrack.domain.instances import SeenCertificate, TrustedAuthority


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpiryAlarm:
    """It was said that a certificate comes to its end."""

    fingerprint: str
    days: int
    """The threshold, of ``service.office.expiry.EXPIRY_ALARMS``."""
    at: int
    """When it was said, in seconds since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionChanges:
    """What a unit changes of who is let in, beside pinned certificates."""

    authorities: Sequence[TrustedAuthority] = ()
    """Authorities to trust; one that the instance trusts already, or a name that is taken, raises ``AlreadyThere``.
    They count against the instance's quota of certificates."""
    removed_authorities: Sequence[tuple[str, str]] = ()
    """Instance and fingerprint of each that is trusted no more."""
    barred: Sequence[tuple[str, str]] = ()
    """Instance and fingerprint of client certificates that no authority lets in any more."""
    unbarred: Sequence[tuple[str, str]] = ()
    seen: Sequence[SeenCertificate] = ()
    """Certificates that knocked: their ``count`` is added to what is known, of the last 500 seen."""
    forgotten: Sequence[str] = ()
    """Fingerprints to strike off that list."""
    alarms: Sequence[ExpiryAlarm] = ()
    """Alarms that were raised; one that was raised before raises ``AlreadyThere``."""

    @property
    def of_trust(self) -> bool:
        """Whether it changes who is let in; what was only seen does not."""
        return bool(self.authorities or self.removed_authorities or self.barred or self.unbarred)


class Admissions(Protocol):
    """Reads of certificates that knocked, beside what the catalog itself has to know of authorities."""

    async def seen_certificates(self) -> Sequence[SeenCertificate]:
        """Certificates that knocked and are not trusted, the last one first."""
        ...

    async def admitted_certificates(self, instance: str | None = None) -> Sequence[SeenCertificate]:
        """Certificates that an authority let in which is still trusted, the last one first; barred and pinned ones
        are not among them."""
        ...

    async def last_uses(self, instance: str, after: int = 0) -> tuple[Mapping[str, int], int]:
        """When each client certificate last asked for something with success, in milliseconds since 1970, from the
        journal's records behind the number ``after``; and the number to go on after next time."""
        ...

    async def expiry_alarms(self) -> Sequence[ExpiryAlarm]:
        """The alarms that were raised about certificates that are still trusted, and about others."""
        ...
