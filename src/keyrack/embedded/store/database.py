"""The key manager's database: one SQLite file beside the keystore, read in snapshots and changed in units.

Many threads may read at once; one at a time changes. Durable when a unit returns.

Where nodes share the key manager each has such a file. A change is in their log before it is committed here, so that
what a crash cuts in two is made up for by reading the log (``store.following``).
"""

import hmac
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from keyrack.embedded.errors import (
    ChangeUnsettled,
    KeystoreDamaged,
    KeystoreDiverged,
    KeystoreExists,
    KeystoreMissing,
    KeystoreRolledBack,
)
from keyrack.embedded.root_keys.keystore import Keystore
from keyrack.embedded.store.anchor import Anchor
from keyrack.embedded.store.change_log import ChangeLog
from keyrack.embedded.store.following import SHARED, Following
from keyrack.embedded.store.reading import JournalEnd, Reading
from keyrack.embedded.store.rows import Rows
from keyrack.embedded.store.schema import FORMAT, TABLES
from keyrack.embedded.store.tally import Tally
from keyrack.embedded.store.unit import EMPTY, Meta, Unit

_META = "revision, journal_end, journal_hash, tally"
ALONE = b"alone"
"""Sealed value of a database that has left the others it shared a log with."""
WAIT = 5.0
"""Seconds for which a change waits for another process's."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A database as it was at a moment, with its anchor."""

    revision: int
    content: bytes = field(repr=False)
    anchor: bytes = field(repr=False)


class Database:
    """Raises ``KeystoreError`` where the file is not what was written, ``sqlite3.Error`` or ``OSError`` from below."""

    def __init__(self, path: Path, keystore: Keystore) -> None:
        """Take the keys of an open keystore; :meth:`create` and :meth:`open` are the ways in."""
        self._path = path
        self._keystore = keystore.identifier
        self._rows = Rows(keystore.derived("rows"))
        self._tally = Tally(keystore)
        self._anchor = Anchor(anchor_path(path), keystore.derived("anchor"))
        self._seen = 0
        self._writing = threading.Lock()
        self._lending = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._inode = (0, 0)
        """Device and inode of the file that the idle connections are to."""
        self._believed: tuple[tuple[Any, ...] | None, Meta] = (None, Meta(0, EMPTY, b""))
        """What the database last said of itself, as it was read and as it was understood."""
        self._shared = False
        self._following: Following | None = None

    @classmethod
    def create(cls, path: Path, keystore: Keystore) -> Self:
        """Make an empty database and its anchor; raises :class:`KeystoreExists`."""
        if path.exists():
            raise KeystoreExists(f"there is a database {path} already: name another keystore, or remove it")
        database = cls(path, keystore)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        with database._connection() as connection:
            connection.executescript(TABLES)
            connection.execute("INSERT INTO meta VALUES (1, ?, ?, 0, 0, x'', x'', x'')", (FORMAT, database._keystore))
            database._put_meta(connection, Meta(0, EMPTY, database._tally.seal(0, 0)))
        Anchor.create(anchor_path(path), database._anchor.key)
        return database

    @classmethod
    def open(cls, path: Path, keystore: Keystore, log: ChangeLog | None = None) -> Self:
        """Open it, and compare it with its anchor; raises :class:`KeystoreRolledBack` where it is an older copy.

        With ``log`` it is one of several, and closes that log. It has all that they have done when this returns;
        ``LogUnavailable`` and ``KeystoreDiverged`` where it cannot.
        """
        database = cls(path, keystore)
        if not path.is_file():
            raise KeystoreMissing(f"there is no database {path}: restore it from a backup, or correct the path")
        database._seen = database._anchor.revision()
        try:
            database.verify()
            if log is not None:
                database._following = Following(database, keystore, log)
                database._following.begin()
        except BaseException:
            database.close()
            raise
        return database

    @classmethod
    def accept(cls, path: Path, keystore: Keystore, log: ChangeLog | None = None) -> int:
        """Take the database as it is for the newest one, by an administrator's word; its revision.

        With ``log``, which is closed, the log of all nodes begins anew at it; without, it is nobody's but its own.
        """
        database = cls(path, keystore)
        following = None if log is None else Following(database, keystore, log)
        try:
            database.look_whether_shared()
            with database._connection() as connection:
                meta = database._meta(connection)
            database._anchor.accept(database._place(meta))
            if following is None:
                database.leave()
            else:
                following.restart()
        finally:
            if following is not None:
                following.close()
            database.close()
        return meta.revision

    def verify(self) -> None:
        """Return when every record is the one that was put last; raises :class:`KeystoreRolledBack` and others.

        Done when it is opened; of a hundred thousand keys it takes about a second.
        """
        self.look_whether_shared()
        with self._connection() as connection:
            connection.execute("BEGIN")
            try:
                meta = self._meta(connection)
                count = self._tally.of(connection)
            finally:
                connection.execute("ROLLBACK")
        if count != self._tally.open(meta.tally, meta.revision):
            raise KeystoreRolledBack(
                f"{self._path} does not have the records that were put last: a row is missing, or an older one was "
                "put in its place; restore it from a backup"
            )

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        """One snapshot; raises ``KeystoreBehind`` where others may have changed what it shows."""
        if self._following is not None:
            self._following.require_fresh()
        with self._connection() as connection:
            connection.execute("BEGIN")
            try:
                meta = self._meta(connection)
                yield Reading(connection, self._rows, meta.revision, meta.journal_end)
            finally:
                connection.execute("ROLLBACK")

    @contextmanager
    def change(self) -> Iterator[Unit]:
        """One change: committed when the block ends, undone when it raises.

        Where nodes share it, it raises ``Overtaken`` when another was first, ``LogUnavailable``, ``ChangeUnsettled``.
        """
        self.follow()
        with self.unit() as unit:
            yield unit

    @contextmanager
    def noting(self) -> Iterator[Unit]:
        """The same for a unit that reads and notes, and nothing else: it waits for no other node."""
        if self._following is not None:
            self._following.require_fresh()
        with self.unit() as unit:
            yield unit
            if self._shared and unit.changes_records:
                raise RuntimeError("a unit that was to note only has changed a record")

    def follow(self) -> None:
        """Do what the other nodes have done, if there are any; ``LogUnavailable`` where nobody can tell."""
        if self._following is not None:
            self._following.catch_up()

    @property
    def followed(self) -> bool:
        """Whether what is read here may be older than what another node has."""
        return self._following is not None

    def copy(self) -> Copy:
        """The database as it is now, for another node."""
        self.follow()
        with self._connection() as connection, closing(sqlite3.connect(":memory:")) as whole:
            connection.execute("BEGIN")
            try:
                meta = self._meta(connection)
                connection.backup(whole)
            finally:
                connection.execute("ROLLBACK")
            return Copy(meta.revision, whole.serialize(), self._anchor.written(self._place(meta)))

    @contextmanager
    def unit(self, *, published: bool = False) -> Iterator[Unit]:
        """A change of the database as it is here; ``published``: the log has it already."""
        with self._writing, self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                unit = Unit(connection, self._rows, self._meta(connection), self._tally, shared=self._shared)
                yield unit
                if unit.touched:
                    meta = unit.meta
                    self._put_meta(connection, meta)
                    if not published and self._publish(unit):
                        self._commit_published(connection)
                    else:
                        connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            if unit.touched:
                self._saw(self._place(meta))
                self._anchor.note(self._place(meta))

    def share(self, mark: bytes) -> None:
        """Make it one of several from now on; harmless when repeated."""
        with self.unit(published=True) as unit:
            if unit.sealed_value(SHARED) in (None, ALONE):
                unit.put_sealed_value(SHARED, mark)
        self.look_whether_shared()

    def leave(self) -> None:
        """Make it one for itself again: it was opened without the log that it shares with others."""
        if self._shared and self._following is None:
            with self.unit(published=True) as unit:
                unit.put_sealed_value(SHARED, ALONE)

    def _publish(self, unit: Unit) -> bool:
        """Put the unit into the log, where there is one; whether it is there now."""
        if not self._shared or not unit.changes_records:
            return False
        if self._following is None:
            raise KeystoreDiverged(
                f"{self._path} is one of several that share a log in a catalog, and without it nothing can be changed: "
                "name that catalog in the configuration, or leave the others with 'keyrack key-manager accept'"
            )
        self._following.publish(unit)
        return True

    def _commit_published(self, connection: sqlite3.Connection) -> None:
        try:
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise ChangeUnsettled(
                f"the change is made on every other node, and on this one once its database can be written: {error}"
            ) from error

    def look_whether_shared(self) -> None:
        """See whether it is one of several."""
        with self._connection() as connection:
            row = connection.execute("SELECT value FROM sealed_values WHERE name = ?", (SHARED,)).fetchone()
        self._shared = row is not None and row[0] != ALONE

    def standing(self) -> tuple[int, str]:
        """The revision, and what all records come to, whatever other nodes have: to be told to nobody else."""
        with self._connection() as connection:
            meta = self._meta(connection)
        return meta.revision, f"{self._tally.open(meta.tally, meta.revision):064x}"

    def _place(self, meta: Meta) -> int:
        """How far it has come, for the anchor. Of a database that is shared, notes of its own count no revision."""
        return meta.revision + (meta.journal_end.number if self._shared else 0)

    def close(self) -> None:
        """Let go of the file and of the log; nothing may be under way."""
        if self._following is not None:
            self._following.close()
        with self._lending:
            for connection in self._idle:
                connection.close()
            self._idle.clear()
        self._rows.forget()

    def _meta(self, connection: sqlite3.Connection) -> Meta:
        """What the database says of itself: believed, and not older than what was seen."""
        # Before the snapshot is taken: another thread may commit meanwhile, and nothing is older then.
        seen = self._seen
        row = connection.execute(f"SELECT format, keystore, {_META}, mac FROM meta").fetchone()
        before, meta = self._believed
        if row is None or row != before:  # The same bytes need no second proof.
            meta = self._proved(row)
            self._believed = (row, meta)
        place = self._place(meta)
        if place < seen:
            raise KeystoreRolledBack(
                f"{self._path} is at change {place}, and change {seen} was seen before: an older copy was put "
                "back; put the newest one back, or accept this one with 'keyrack key-manager accept'"
            )
        if place > seen:
            self._saw(place)  # What another process has changed counts as well.
        return meta

    def _proved(self, row: tuple[Any, ...] | None) -> Meta:
        if row is None or row[0] != FORMAT or row[1] != self._keystore:
            raise KeystoreDamaged(f"{self._path} does not belong to this keystore, or is of another version of keyrack")
        # A flipped bit may make text of a number or of bytes, even in a table that is strict.
        of_kind = [type(cell) for cell in row[2:]] == [int, int, bytes, bytes, bytes]
        meta = Meta(row[2], JournalEnd(*row[3:5]), row[5])
        if not of_kind or not hmac.compare_digest(row[6], self._meta_mac(meta)):
            raise KeystoreDamaged(f"{self._path} was changed by something else than keyrack: restore it from a backup")
        return meta

    def _saw(self, revision: int) -> None:
        with self._lending:
            self._seen = max(self._seen, revision)

    def _put_meta(self, connection: sqlite3.Connection, meta: Meta) -> None:
        told = (meta.revision, meta.journal_end.number, meta.journal_end.hash, meta.tally)
        connection.execute(f"UPDATE meta SET ({_META}, mac) = (?, ?, ?, ?, ?)", (*told, self._meta_mac(meta)))

    def _meta_mac(self, meta: Meta) -> bytes:
        end = meta.journal_end
        told = (FORMAT, self._keystore, meta.revision, end.number, end.hash.hex(), meta.tally.hex())
        return self._rows.mac_of("\0".join(map(str, ("meta", *told))))

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """A connection to the file as it stands at its path now: one that is idle, else a new one."""
        try:
            status = os.stat(self._path)
        except FileNotFoundError:
            raise KeystoreMissing(f"there is no database {self._path}: put it back, or correct the path") from None
        here = (status.st_dev, status.st_ino)
        stale: list[sqlite3.Connection] = []
        with self._lending:
            if here != self._inode:
                # A file that was replaced would be read on under its old inode.
                stale, self._idle, self._inode = self._idle, [], here
            connection = self._idle.pop() if self._idle else None
        for each in stale:
            each.close()
        try:
            connection = connection or self._opened()
            yield connection
        except UnicodeDecodeError:
            # Python reads SQLite's own words about a damaged schema as UTF-8, with the damage in them.
            raise KeystoreDamaged(f"{self._path} is damaged: restore it from a backup") from None
        finally:
            if connection is not None:
                self._give_back(connection, here)

    def _give_back(self, connection: sqlite3.Connection, inode: tuple[int, int]) -> None:
        with self._lending:
            if inode == self._inode:
                self._idle.append(connection)
                return
        connection.close()

    def _opened(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=WAIT, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA secure_delete = ON")
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.create_function("folded", 1, str.casefold, deterministic=True)
        except BaseException:
            connection.close()
            raise
        return connection


def anchor_path(database: Path) -> Path:
    """The file that tells how far the database has come."""
    return database.with_suffix(".revision")


def database_path(keystore: Path) -> Path:
    """The database that belongs to a keystore."""
    return keystore.with_name(f"{keystore.name}.db")
