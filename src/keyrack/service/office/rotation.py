"""A client certificate is replaced without a gap: the new one is added, used, and only then the old one removed.

Where a rotation stands is read from the certificates and from their last uses: it can be left and taken up at any time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from keyrack.domain.instances import ClientCertificate


class Step(StrEnum):
    """What is to be done next."""

    ADD = "add"
    """There is one certificate, or none: the new one has to be handed over."""
    WAIT = "wait"
    """The new one is in force, and nobody has used it yet."""
    REMOVE = "remove"
    """The new one is in use; the old ones can go."""


@dataclass(frozen=True, slots=True)
class Used:
    """A certificate, and when it was last used."""

    certificate: ClientCertificate
    last_use: int | None
    """Seconds since 1970; ``None``: never, as far as the journal tells."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """Where the rotation of an instance's certificate stands."""

    step: Step
    new: Used | None
    """The certificate that was added last, where there is an older one."""
    old: Sequence[Used]

    @property
    def still_used(self) -> Sequence[Used]:
        """Old ones that somebody has used after the new one was first needed: something has not changed over yet."""
        if self.new is None or self.new.last_use is None:
            return ()
        return [each for each in self.old if each.last_use is not None and each.last_use > self.new.last_use]


def standing(certificates: Sequence[ClientCertificate], last_uses: Mapping[str, int]) -> Rotation:
    """Where it stands; ``last_uses``: milliseconds since 1970, by fingerprint."""
    held = sorted(certificates, key=lambda each: (each.added_at, each.not_after, each.fingerprint))
    used = [Used(each, _seconds(last_uses.get(each.fingerprint))) for each in held]
    if len(used) < 2:
        return Rotation(Step.ADD, None, used)
    *old, new = used
    # One that was here before and has come back counts as new only from its return.
    if new.last_use is None or new.last_use < new.certificate.added_at:
        return Rotation(Step.WAIT, new, old)
    return Rotation(Step.REMOVE, new, old)


def _seconds(milliseconds: int | None) -> int | None:
    return None if milliseconds is None else milliseconds // 1000
