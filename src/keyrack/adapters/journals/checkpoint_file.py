"""Checkpoints in a file of their own, a line each, synced: what shows that the catalog was put back to an older one."""

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from keyrack.adapters.journals.durable import sync_directory
from keyrack.domain.checkpoints import SignedCheckpoint, as_line, of_line

_TAIL: Final = 64 * 1024
"""Bytes at the end that are looked at for the last line; more where one is longer."""


class CheckpointFile:
    """Appends, and reads. A line that a crash has cut short does not count, and is closed before the next."""

    def __init__(self, path: Path) -> None:
        """Of this file; it is made, private, when the first checkpoint is appended."""
        self.path = path

    def append(self, signed: SignedCheckpoint) -> None:
        """Durable when it returns; raises ``OSError``. One that stands there already, lately, is not written again."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        there = self.path.exists()
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            # Who signs and who copies may be two processes.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            size = os.fstat(descriptor).st_size
            tail = os.pread(descriptor, _TAIL, max(0, size - _TAIL))
            line = as_line(signed) + "\n"
            if line.encode() in tail:
                return
            line = ("\n" if tail and not tail.endswith(b"\n") else "") + line
            if os.write(descriptor, line.encode()) != len(line):
                os.ftruncate(descriptor, size)
                raise OSError(28, "no room for a whole checkpoint", str(self.path))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if not there:
            sync_directory(self.path.parent)

    def last(self) -> SignedCheckpoint | None:
        """The last checkpoint; its signature is not looked at. Raises ``OSError``."""
        try:
            with self.path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                length = min(size, _TAIL)
                while True:
                    file.seek(size - length)
                    lines = file.read(length).decode("utf-8", errors="replace").splitlines()
                    for line in reversed(lines if length == size else lines[1:]):
                        if (found := _readable(line)) is not None:
                            return found
                    if length == size:
                        return None
                    length = min(size, length * 8)
        except FileNotFoundError:
            return None

    def all(self) -> Iterator[SignedCheckpoint]:
        """Every checkpoint, in order; lines that are none are passed over. Raises ``OSError``."""
        with self.path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                if (found := _readable(line)) is not None:
                    yield found


def _readable(line: str) -> SignedCheckpoint | None:
    try:
        return of_line(line)
    except ValueError:
        return None
