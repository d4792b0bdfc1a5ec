"""The log that nodes share of an embedded key manager, in memory: with what a catalog may do to it, and an enemy."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from keyrack.embedded.errors import ChangeUnsettled, KeystoreDiverged, LogUnavailable, Overtaken
from keyrack.embedded.store.change_log import Line


@dataclass(slots=True)
class SharedLog:
    """The lines, as the catalog keeps them."""

    lines: dict[int, str] = field(default_factory=dict)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def of_a_node(self, key_manager: str = "embedded") -> "NodesLog":
        """The log as one node reaches it."""
        return NodesLog(self, key_manager)


@dataclass(slots=True)
class NodesLog:
    """Implements ``embedded.store.change_log.ChangeLog``; faults are set from outside."""

    shared: SharedLog
    key_manager: str = "embedded"
    cut: bool = False
    """Whether the catalog cannot be reached."""
    lost_answers: int = 0
    """How many of the next appends are kept, and not answered."""
    late: int = 0
    """How many of the next appends are neither answered nor kept yet: they are on their way."""
    before_append: Callable[[], None] | None = None
    """What happens just before the next append: another node's change, a crash."""
    after_append: Callable[[], None] | None = None
    """And just after it."""
    appends: int = 0
    looks: int = 0
    blind: bool = False
    """Whether nothing is told of new lines: then a node looks when it must."""
    closed: threading.Event = field(default_factory=threading.Event)

    def append(self, revision: int, text: str) -> None:
        """As a catalog does it."""
        self._reach()
        act, self.before_append = self.before_append, None
        if act is not None:
            act()
        if self.late:
            self.late -= 1
            raise ChangeUnsettled("there was no answer")
        with self.shared.changed:
            last = max(self.shared.lines, default=None)
            if last is not None and revision <= last:
                raise Overtaken(f"change {revision} is there already")
            if last is not None and revision != last + 1:
                raise KeystoreDiverged(f"the log ends at {last}")
            self.shared.lines[revision] = text
            self.appends += 1
            self.shared.changed.notify_all()
        act, self.after_append = self.after_append, None
        if act is not None:
            act()
        if self.lost_answers:
            self.lost_answers -= 1
            raise ChangeUnsettled("the answer was lost")

    def since(self, revision: int, limit: int = 100) -> Sequence[Line]:
        """In order."""
        self._reach()
        self.looks += 1
        with self.shared.changed:
            found = [Line(each, text) for each, text in sorted(self.shared.lines.items()) if each > revision]
        return found[:limit]

    def forget(self, through: int) -> None:
        """Without a trace."""
        self._reach()
        with self.shared.changed:
            for revision in [each for each in self.shared.lines if each <= through]:
                del self.shared.lines[revision]

    def restart(self, revision: int, text: str) -> None:
        """One line in the place of all."""
        self._reach()
        with self.shared.changed:
            self.shared.lines.clear()
            self.shared.lines[revision] = text

    def news(self, seconds: float) -> None:
        """Until another line is there."""
        if self.blind:
            self.closed.wait()
        with self.shared.changed:
            if not self.closed.is_set():
                self.shared.changed.wait(seconds)

    def close(self) -> None:
        """Let whoever waits go on."""
        self.closed.set()
        with self.shared.changed:
            self.shared.changed.notify_all()

    def _reach(self) -> None:
        if self.cut:
            raise LogUnavailable("the catalog cannot be reached")
