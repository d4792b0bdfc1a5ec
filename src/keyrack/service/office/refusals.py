"""What an administrator's act is refused with; each text says what happened, why, and what to do instead."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from keyrack.domain.approvals import Approval


class Refused(Exception):
    """An administrative act that was not done; nothing has changed."""

    code: ClassVar[str] = "refused"
    """What programs know it by; it never changes. REST shows it as the problem's type."""

    def __init__(self, told: str, *, field: str = "", hint: str = "") -> None:
        """``told``: for people. ``field``: which part of the request it is about. ``hint``: what to do, where ``told``
        does not say it."""
        super().__init__(f"{told}; {hint}" if hint else told)
        self.told = told
        self.hint = hint
        self.field = field

    @property
    def more(self) -> Mapping[str, Any]:
        """What a program may want to know of it beside the words."""
        return {}


class NotThere(Refused):
    """What was named is not there, or not any more, or not for whoever asks: that looks alike."""

    code = "not-found"


class Forbidden(Refused):
    """Whoever asks may see it, and not do this."""

    code = "forbidden"


class Unauthenticated(Refused):
    """Nobody is logged in with what was shown, or not any more."""

    code = "unauthenticated"


class NotRecognised(Refused):
    """Name, password, or what else should have proved who it is, was not right; which of them is never said."""

    code = "not-recognised"


class ProofNeeded(Refused):
    """The act may stop machines, or change who may what: whoever asks has to prove again to be there."""

    code = "proof-needed"


class TooManyAttempts(Refused):
    """There were too many wrong attempts, or there are too many at once: nothing was looked at."""

    code = "too-many-attempts"

    def __init__(self, told: str, *, wait: int) -> None:
        """``wait``: seconds after which to try again."""
        super().__init__(told)
        self.wait = wait

    @property
    def more(self) -> Mapping[str, Any]:
        """When to try again."""
        return {"retry_after": self.wait}


class Unusable(Refused):
    """What was handed over cannot be used."""

    code = "unusable"


class NameTaken(Refused):
    """Another one has the name."""

    code = "name-taken"


class CertificateThere(Refused):
    """The instance has this certificate already."""

    code = "certificate-there"


class CertificateElsewhere(Refused):
    """Another instance has this certificate."""

    code = "certificate-elsewhere"


class LimitReached(Refused):
    """There are as many as there may be."""

    code = "limit-reached"


class WrongStatus(Refused):
    """The instance is not where it could be done."""

    code = "wrong-status"


class ChangedMeanwhile(Refused):
    """It is not as whoever asks has seen it."""

    code = "changed-meanwhile"


class StillHanging(Refused):
    """Something else hangs on it, and nothing is destroyed with it."""

    code = "still-in-use"

    def __init__(self, told: str, hanging: Sequence[str], *, hint: str = "") -> None:
        """``hanging``: each thing that is in the way, for people."""
        super().__init__(told, hint=hint)
        self.hanging = tuple(hanging)

    @property
    def more(self) -> Mapping[str, Any]:
        """What is in the way."""
        return {"hanging": list(self.hanging)}


class ConfirmationNeeded(Refused):
    """The act may stop machines: whoever asks has to say that it is meant."""

    code = "confirmation-needed"

    def __init__(self, told: str, confirmation: str, impact: Mapping[str, Any]) -> None:
        """``confirmation``: the words to repeat. ``impact``: what the act may stop, as JSON has it."""
        super().__init__(told, field="confirmation", hint=f"to confirm it, repeat the words {confirmation!r}")
        self.confirmation = confirmation
        self.impact = impact

    @property
    def more(self) -> Mapping[str, Any]:
        """The words to repeat, and what may stop."""
        return {"confirmation": self.confirmation, "impact": dict(self.impact)}


class SecondPersonNeeded(Refused):
    """The act was asked for, is written down, and waits for a second person."""

    code = "second-person-needed"

    def __init__(self, told: str, approval: Approval) -> None:
        """``approval``: what waits."""
        super().__init__(told)
        self.approval = approval

    @property
    def more(self) -> Mapping[str, Any]:
        """What to agree to."""
        return {"approval": self.approval.identifier, "expires_at": self.approval.expires_at}


class WrongState(Refused):
    """The key's state, or what is left of it, does not allow the act."""

    code = "wrong-state"


class TooEarly(Refused):
    """It can be done, and not yet."""

    code = "too-early"


class ApprovalOver(Refused):
    """What was asked for does not wait any more: it was done, withdrawn, or has expired."""

    code = "approval-over"


class SamePerson(Refused):
    """Whoever agrees is the one who has asked, or may be."""

    code = "same-person"
