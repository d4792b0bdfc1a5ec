"""Checkpoints in the background: what the log holds goes into the database while requests are answered.

SQLite would do it inside every thousandth commit, and that commit would take ten times as long as the others.
"""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Final

log = logging.getLogger(__name__)

EVERY: Final = 2_000
"""Journal records written between two checkpoints: some thousand pages of the log."""

RETRY: Final = 1.0
"""Seconds after a failed checkpoint until the next: a log that grows on meanwhile could itself fill the disk."""
CHECKPOINT_WAIT: Final = 5.0
"""Seconds that a checkpoint waits for the transaction under way."""


class Checkpointer:
    """Counts what is written, and now and then empties the log in a thread with a connection of its own."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        """``connect`` opens a connection to the same database."""
        self._connect = connect
        self._written = 0
        self._not_before = 0.0
        self._thread: threading.Thread | None = None

    def wrote(self, records: int) -> None:
        """So many more records, and what they tell of, are in the log."""
        self._written += records
        if self._written < EVERY or time.monotonic() < self._not_before:
            return
        if self._thread is None or not self._thread.is_alive():
            self._written = 0
            self._thread = threading.Thread(target=self._run, name="catalog-checkpoint", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        try:
            connection = self._connect()
            try:
                # Most of it without a lock; then, for a moment under the lock, the rest, so that the log begins anew.
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
                connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
            finally:
                connection.close()
        except sqlite3.Error as error:
            # The log grows on and nothing is lost; what is written from the next second on tries again.
            log.warning("the catalog's log could not be emptied: %s", error)
            self._not_before = time.monotonic() + RETRY
            self._written = EVERY

    def close(self) -> None:
        """Wait for a checkpoint under way."""
        if self._thread is not None:
            self._thread.join()
