"""Dual control: acts that two people must want, and how one waits for the other."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

WINDOW: Final = 7 * 86_400
"""Seconds that a first agreement waits for the second."""
_FACES: Final = ("local-user-", "person-")
"""What an initiator begins with that is somebody; the name of the account, or of the person, follows."""


class ApprovalState(StrEnum):
    """Where a wish stands."""

    WAITING = "waiting"
    DONE = "done"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Wisher:
    """Who wants an act: as the journal names an initiator, and who that is in the catalog."""

    initiator: str
    person: str = ""
    """Identifier of the person; empty for an account of the machine."""

    def is_same_as(self, other: "Wisher") -> bool:
        """Whether both may be one human being: one person however often logged in, and the account of their name."""
        if self.person and self.person == other.person:
            return True
        return somebody(self.initiator) == somebody(other.initiator)


def somebody(initiator: str) -> str:
    """Who an initiator is, whichever face it comes by: the account of a person's name is taken for that person."""
    for face in _FACES:
        if initiator.startswith(face):
            return initiator.removeprefix(face).casefold()
    return initiator


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """An act that one person has asked for and another must agree to, word for word the same act."""

    identifier: str
    act: str
    """The journal's name of the act, for example ``"key.purge"``."""
    instance: str
    target: str
    arguments: Mapping[str, str | int] = field(default_factory=dict)
    """What else the act was asked with, and what it was decided on; agreed to as it stands."""
    why: str = ""
    asked_by: str
    """As the journal names an initiator."""
    asked_person: str = ""
    """Identifier of the person; empty for an account of the machine."""
    asked_at: int
    expires_at: int
    agreed_by: str = ""
    agreed_at: int | None = None
    withdrawn_by: str = ""
    withdrawn_at: int | None = None

    @property
    def wisher(self) -> Wisher:
        """Who has asked."""
        return Wisher(self.asked_by, self.asked_person)

    def state(self, now: int) -> ApprovalState:
        """Where it stands at ``now``, in seconds since 1970."""
        if self.agreed_at is not None:
            return ApprovalState.DONE
        if self.withdrawn_at is not None:
            return ApprovalState.WITHDRAWN
        return ApprovalState.EXPIRED if now >= self.expires_at else ApprovalState.WAITING
