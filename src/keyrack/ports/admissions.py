"""The part of the catalog that knows trusted authorities, and certificates that knocked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from keyrack.domain.instances import SeenCertificate, TrustedAuthority


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionChanges:
    """What a unit changes of who is let in, beside pinned certificates."""

    authorities: Sequence[TrustedAuthority] = ()
    """Authorities to trust; one that the instance trusts already, or a name that is taken, raises ``AlreadyThere``."""
    removed_authorities: Sequence[tuple[str, str]] = ()
    """Instance and fingerprint of each that is trusted no more."""
    barred: Sequence[tuple[str, str]] = ()
    """Instance and fingerprint of client certificates that no authority lets in any more."""
    unbarred: Sequence[tuple[str, str]] = ()
    seen: Sequence[SeenCertificate] = ()
    """Certificates that knocked: their ``count`` is added to what is known, of the last 500 seen."""
    forgotten: Sequence[str] = ()
    """Fingerprints to strike off that list."""


class Admissions(Protocol):
    """Reads of authorities and of certificates that knocked."""

    async def authorities(self, instance: str | None = None) -> Sequence[TrustedAuthority]:
        """Trusted authorities, of one instance or of all, oldest first."""
        ...

    async def barred(self, instance: str | None = None) -> Sequence[tuple[str, str]]:
        """Instance and fingerprint of certificates that no authority lets in."""
        ...

    async def seen_certificates(self) -> Sequence[SeenCertificate]:
        """Certificates that knocked and are not trusted, the last one first."""
        ...
