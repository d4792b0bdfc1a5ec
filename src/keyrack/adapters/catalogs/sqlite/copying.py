"""Copies of a SQLite file that others write to: one moment of it, page by page; and what such a file is fit for."""

import fcntl
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

STEP: Final = 2_000
"""Pages that are copied at a time, 8 MB: between two steps others have the disk."""
PAUSE: Final = 0.002
"""Seconds between two steps."""
_SHARED: Final = (0x40000002, 510)
"""Where in the file SQLite keeps the locks of those that have it open."""

Copied = Callable[[int, int], None]
"""Is told how many pages are copied, and how many there are."""


def copy(source: Path, target: Path, report: Copied = lambda done, total: None) -> None:
    """Write what ``source`` holds at this moment into the new file ``target``, while others go on writing.

    One read transaction is held meanwhile: without it SQLite would begin anew at every commit of another process, and
    never end under load. Raises ``sqlite3.Error`` and ``OSError``.
    """
    reading = sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True, timeout=5.0, isolation_level=None)
    try:
        reading.execute("BEGIN")
        reading.execute("SELECT count(*) FROM sqlite_master").fetchone()
        writing = sqlite3.connect(target, isolation_level=None)
        try:
            # Whoever made the copy syncs it, whole; one that a crash has cut short is no copy.
            writing.execute("PRAGMA synchronous = OFF")
            reading.backup(writing, pages=STEP, progress=_telling(report), sleep=PAUSE)
            # A copy is one file: its log is written when somebody opens it as a catalog.
            writing.execute("PRAGMA journal_mode = DELETE").fetchall()
        finally:
            writing.close()
    finally:
        reading.close()


def _telling(report: Copied) -> Callable[[int, int, int], None]:
    def told(status: int, remaining: int, total: int) -> None:
        report(total - remaining, total)

    return told


def schema_of(path: Path) -> int:
    """The number of the schema that a catalog's file has; raises ``sqlite3.Error``."""
    connection = sqlite3.connect(path)
    try:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])
    finally:
        connection.close()


def flaws_of(path: Path) -> list[str]:
    """What SQLite finds wrong in a file, in its own words; empty where it is sound."""
    try:
        connection = sqlite3.connect(path)
        try:
            found = [row[0] for row in connection.execute("PRAGMA integrity_check(20)")]
            broken = connection.execute("PRAGMA foreign_key_check").fetchmany(5)
        finally:
            connection.close()
    except sqlite3.Error as error:
        return [str(error)]
    told = [each for each in found if each != "ok"]
    return told + [f"a row of {table} refers to one of {parent} that is not there" for table, _, parent, _ in broken]


def is_open(path: Path) -> bool:
    """Whether any process has the database open, by the locks that SQLite keeps; it may be damaged.

    Not for a process that has it open itself: closing any descriptor of a file gives up its locks.
    """
    start, length = _SHARED
    try:
        with path.open("rb+") as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, length, start)
            except BlockingIOError:
                return True
            return False
    except FileNotFoundError:
        return False
