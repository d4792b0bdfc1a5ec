"""Keeps a database up with the log that its node shares with others, and tells how old what it has may be."""

import logging
import sqlite3
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from keyrack.domain.secret import Secret
from keyrack.embedded.errors import (
    ChangeUnsettled,
    KeystoreBehind,
    KeystoreDiverged,
    KeystoreError,
    Overtaken,
)
from keyrack.embedded.root_keys.keystore import Keystore
from keyrack.embedded.root_keys.sealing import Sealing
from keyrack.embedded.store.change_log import KEPT, Change, ChangeLog, ChangeSeal, Line
from keyrack.embedded.store.replay import replay
from keyrack.embedded.store.unit import Unit

if TYPE_CHECKING:
    from keyrack.embedded.store.database import Database

log = logging.getLogger(__name__)

SHARED: Final = "shared by nodes"
"""The name of the sealed value that says so: who opens a copy without its log changes nothing in it."""
POLL: Final = 0.25
"""Seconds between two looks at the log, where nothing tells of a new line."""
SHORTEST: Final = 0.02
"""Seconds between two looks, however much is told: a catalog tells of all that changes in it."""
STALE: Final = 1.0
"""Seconds after which what was not compared with the log counts no more."""
PAGE: Final = 100
"""Lines that are read together."""
FORGET_EVERY: Final = 500
"""Changes of this node's between two cuts of the log."""


class Following:
    """One database and its log. Thread-safe; a thread of its own looks for what others do."""

    def __init__(self, database: "Database", keystore: Keystore, shared: ChangeLog) -> None:
        """``shared`` becomes this object's; :meth:`begin` before anything else."""
        self._database = database
        self._log = shared
        self._seal = ChangeSeal(keystore, shared.key_manager)
        with keystore.derived("shared by nodes") as key, Secret(bytearray(shared.key_manager.encode())) as name:
            self._mark = Sealing(key).seal(name, SHARED)
        self._looking = threading.Lock()
        self._looked = -STALE
        """When the log was last known to say nothing that the database does not have, on the monotonic clock."""
        self._why: KeystoreError | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="key-manager-following", daemon=True)

    def begin(self) -> None:
        """Find where the log stands beside the database, and catch up; where there is no log yet, begin it."""
        while not self._joined():
            pass
        self._database.look_whether_shared()  # Another process of this node may have begun the log.
        self.catch_up()
        self._thread.start()

    def restart(self) -> None:
        """Have the log begin anew at the database as it is, whatever it says: by an administrator's word."""
        self._database.share(self._mark)
        line = self._first_line()
        self._log.restart(line.revision, line.text)

    def catch_up(self) -> None:
        """Make here what other nodes have made; raises ``LogUnavailable``, ``KeystoreDiverged`` and others."""
        asked = time.monotonic()
        with self._looking:
            if self._looked >= asked and self._why is None:
                return  # Whoever was before us has begun to look after we asked.
            try:
                began = self._caught_up()
            except KeystoreError as error:
                self._failed(error)
                raise
            if self._why is not None:
                log.info("the key manager follows its log again", extra={"key_manager": self._log.key_manager})
            self._looked, self._why = began, None

    def require_fresh(self) -> None:
        """Return when the log was looked at a moment ago; raises :class:`KeystoreBehind`, or why it cannot be."""
        why = self._why
        if isinstance(why, KeystoreDiverged):
            raise why
        behind = time.monotonic() - self._looked
        if behind > STALE:
            raise KeystoreBehind(
                f"this node has not seen for {behind:.1f} s what other nodes have changed in the key manager"
                + (f": {why}" if why is not None else "")
            )

    def publish(self, unit: Unit) -> None:
        """Put what the unit has done into the log; raises ``Overtaken`` where another node was first, and others."""
        acts = tuple((str(act), *told) for act, *told in unit.acts)
        line = self._seal.write(Change(unit.revision, unit.came_to, unit.comes_to, acts))
        try:
            self._log.append(line.revision, line.text)
        except (Overtaken, ChangeUnsettled):
            # An answer that was lost on its way may have made this a second attempt of our own.
            if not self._is_there(line):
                raise
        if line.revision % FORGET_EVERY == 0:
            self._forget(line.revision - KEPT)

    def close(self) -> None:
        """Let go of the log."""
        self._over.set()
        self._log.close()
        if self._thread.ident is not None:
            self._thread.join()

    def _caught_up(self) -> float:
        """When the look at the log began after which the database has all of it."""
        while True:
            began = time.monotonic()
            lines = self._log.since(self._database.standing()[0], PAGE)
            self._replay(lines)
            if len(lines) < PAGE:
                return began

    def _joined(self) -> bool:
        """Whether the database stands in the log; what keeps it from that is raised, or mended for another look."""
        revision, comes_to = self._database.standing()
        lines = self._log.since(revision - 1, 1)
        if not lines:
            newest = self._log.since(0, 1)
            if newest:
                raise KeystoreDiverged(
                    f"this node's key manager is at change {revision}, and the log in the catalog ends before that: "
                    "the catalog was restored from a backup; take this node's database for the newest with 'keyrack "
                    "key-manager accept', or give it another's with 'keyrack node refresh'"
                )
            return self._began()
        if lines[0].revision > revision:
            raise _outrun(revision, lines[0].revision)
        if self._seal.read(lines[0]).after != comes_to:
            raise KeystoreDiverged(
                f"this node's key manager is at change {revision} with other records than the nodes that share the "
                "log in the catalog: it is no copy of theirs; give it one with 'keyrack node refresh'"
            )
        return True

    def _began(self) -> bool:
        """Begin the log where the database is, unless another node does so at this moment."""
        self._database.share(self._mark)
        line = self._first_line()
        try:
            self._log.append(line.revision, line.text)
        except Overtaken:
            return False
        return True

    def _first_line(self) -> Line:
        revision, comes_to = self._database.standing()
        return self._seal.write(Change(revision, comes_to, comes_to))

    def _replay(self, lines: Sequence[Line]) -> None:
        for line in lines:
            with self._database.unit(published=True) as unit:
                if line.revision < unit.revision:
                    continue  # Another process of this node was faster.
                if line.revision > unit.revision:
                    raise _outrun(unit.revision - 1, line.revision)
                replay(unit, self._seal.read(line))

    def _is_there(self, line: Line) -> bool:
        try:
            return list(self._log.since(line.revision - 1, 1)) == [line]
        except KeystoreError:
            return False

    def _forget(self, through: int) -> None:
        """Cut the log; that it stays longer than it need be is no reason to fail."""
        try:
            if through > 0:
                self._log.forget(through)
        except KeystoreError as error:
            log.warning("the log of key manager %s is not cut: %s", self._log.key_manager, error)

    def _follow(self) -> None:
        while not self._over.wait(SHORTEST):
            self._log.news(POLL)
            try:
                if not self._over.is_set():
                    self.catch_up()
            except KeystoreError:
                continue  # It is noted, and whoever reads is told.
            except (sqlite3.Error, OSError) as error:
                log.warning("the log of key manager %s is not followed: %s", self._log.key_manager, error)

    def _failed(self, error: KeystoreError) -> None:
        if str(error) != str(self._why) and not self._over.is_set():
            log.warning("the log of key manager %s is not followed: %s", self._log.key_manager, error)
        self._why = error


def _outrun(at: int, first: int) -> KeystoreDiverged:
    return KeystoreDiverged(
        f"this node's key manager is at change {at}, and the next one that the log in the catalog still has is "
        f"{first}: give it a whole copy with 'keyrack node refresh'"
    )
