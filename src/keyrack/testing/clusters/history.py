"""What clients of several endpoints asked and were told, attempt by attempt, on one clock.

Times are of ``time.monotonic()``, in seconds, which all processes of one machine share.
"""

import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path


class Kind(StrEnum):
    """What was asked for."""

    CREATE = "create"
    """Of a key whose bytes the server makes, or the client brings."""
    ACTIVATE = "activate"
    GET = "get"
    LOCATE = "locate"
    """By the key's own name."""
    REVOKE = "revoke"
    DESTROY = "destroy"
    BAR = "bar"
    """An administrator shuts the client ``key`` out: its certificate is removed, or its instance sealed."""
    ADMIT = "admit"
    """And lets it in again."""


class Outcome(StrEnum):
    """How an attempt ended."""

    DONE = "done"
    GONE = "gone"
    """The key is told to be destroyed, or is not found by its name, as what is destroyed is not."""
    ABSENT = "absent"
    """The key is told not to be there, and never to have been."""
    REPEATED = "repeated"
    """Refused because it is done already; an attempt before it, of the same client, was not answered."""
    REFUSED = "refused"
    """For any other reason."""
    UNKNOWN = "unknown"
    """Not answered, or answered that it cannot be told: it may have happened, now or later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One attempt."""

    client: str
    kind: Kind
    key: str
    """The key's identifier; of ``BAR`` and ``ADMIT`` the client's name; empty for a Create that made none."""
    node: str
    invoked: float
    answered: float
    outcome: Outcome
    digest: str = ""
    """Of a Get, or of a key that the client brought: SHA-256 of the bytes, hexadecimal."""
    told: str = ""
    """What a refusal said."""
    last: bool = True
    """Whether no attempt at another endpoint followed."""

    @property
    def failed(self) -> bool:
        """Whether the client was left without what it wanted, after every attempt."""
        return self.last and self.outcome in (Outcome.REFUSED, Outcome.UNKNOWN)


@dataclass(slots=True)
class History:
    """Events in the order of their answers; any thread may add some."""

    events: list[Event] = field(default_factory=list)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def add(self, event: Event) -> Event:
        """Note it; the event itself."""
        with self._turn:
            self.events.append(event)
        return event

    def __iter__(self) -> Iterator[Event]:
        with self._turn:
            return iter(tuple(self.events))

    def acknowledged(self) -> Sequence[str]:
        """Every key whose Create was answered."""
        return [each.key for each in self if each.kind is Kind.CREATE and each.outcome is Outcome.DONE]

    def write(self, path: Path) -> None:
        """A line of JSON for each event."""
        path.write_text("".join(json.dumps(asdict(each)) + "\n" for each in self), encoding="utf-8")


def read(path: Path) -> History:
    """What :meth:`History.write` has written."""
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return History([Event(**{**row, "kind": Kind(row["kind"]), "outcome": Outcome(row["outcome"])}) for row in rows])
