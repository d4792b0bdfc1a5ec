"""What was asked, by whom, and what was answered: the ledger that the invariants are held against."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from keyrack.spec.enumerations import Operation, ResultReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One batch item."""

    operation: Operation
    uid: str | None = None
    """Unique Identifier; ``None`` where it is not known yet."""
    payload: Any = field(repr=False)
    compromise: bool = False
    """Of a Revoke."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a batch item came to."""

    ok: bool
    uid: str | None = None
    """Of what was made, or asked for."""
    found: tuple[str, ...] = ()
    """By a Locate."""
    material: bytes | None = field(default=None, repr=False)
    reason: ResultReason | int | None = None
    message: str = ""


@dataclass(slots=True, kw_only=True)
class Ask:
    """One request message of a client."""

    number: int
    who: str
    fingerprint: str
    instance: str
    node: str
    items: Sequence[Item]
    undo: bool = False
    began: float
    floor: int
    """How long the journal was when it was sent."""
    answers: Sequence[Answer] | None = None
    """``None`` until a node has answered."""
    heard: bool = False
    """Whether the client was told."""

    @property
    def correlation(self) -> str:
        """What the journal knows it by."""
        return f"ask-{self.number}"

    def told(self) -> str:
        """In a line, without a secret."""
        kinds = ", ".join(f"{each.operation.title} {short(each.uid)}".strip() for each in self.items)
        return f"{self.correlation} {self.who}@{self.node} {kinds}"


@dataclass(slots=True, kw_only=True)
class Act:
    """What an administrator has set out to do."""

    number: int
    who: str
    """As the journal names an initiator."""
    kind: str
    """The journal's name of it, or ``"approval.agree"``."""
    subject: str
    """Unique Identifier, fingerprint, instance or approval."""
    node: str
    began: float
    floor: int
    outcome: str = "unknown"
    """``"done"``, ``"refused: ..."``, ``"unknown"``, or what it waits for."""

    def told(self) -> str:
        """In a line."""
        return f"act-{self.number} {self.who}@{self.node} {self.kind} {short(self.subject)}: {self.outcome}"


def short(identifier: str | None) -> str:
    """The beginning of it."""
    return (identifier or "")[:8]
