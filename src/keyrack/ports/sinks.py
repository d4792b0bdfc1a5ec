"""Where the journal is handed on to: sinks, which take events in order, and the gate of those that are required."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from keyrack.ports.catalog import CatalogUnavailable, OutcomeUnknown


class SinkUnavailable(Exception):
    """A sink has not taken what it was given; what it was given may be given to it again."""

    def __init__(self, told: str, *, retry_after: float = 0.0) -> None:
        """``told``: why, for people. ``retry_after``: seconds that the sink wants to be left alone."""
        super().__init__(told)
        self.retry_after = retry_after


class SinkBehind(CatalogUnavailable):
    """A required sink takes nothing now: nothing is done that it would have to be told of."""


class SinkLate(OutcomeUnknown):
    """It is done and written down, and a required sink has not taken it in time: nothing of it is handed out."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One event on its way."""

    event: Mapping[str, Any]
    """As ``domain.cadf`` makes it; what is not of JSON is not in it."""
    chain: str
    """The record's chain, or ``"checkpoints"``; with ``sequence`` what a reader tells duplicates by."""
    sequence: int
    at: int
    """Milliseconds since 1970."""


class Sink(Protocol):
    """Takes events. What it has returned from is safe with it, as far as its kind allows."""

    async def take(self, events: Sequence[Outgoing]) -> None:
        """Take all of them, in order; raises :class:`SinkUnavailable`, and then perhaps has taken some."""
        ...

    async def close(self) -> None:
        """Let go of files and connections."""
        ...


class Gate(Protocol):
    """What every entry has to pass where a sink is required."""

    async def check(self) -> None:
        """Before anything is written: raise :class:`SinkBehind` while a required sink is known to take nothing."""
        ...

    async def passed(self) -> None:
        """Return when every required sink has what was written; raises :class:`SinkLate` where that takes too long."""
        ...
