"""Entries that wait on this machine for their journal, a line each, synced."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from keyrack.adapters.journals.durable import sync_directory
from keyrack.domain.journal import Entry, read


class SpoolFile:
    """Implements ``service.stale.Spool``. A line that a crash has cut short belongs to no answer: it is passed over."""

    def __init__(self, path: Path) -> None:
        """Of this file; it is made, private, with the first entry."""
        self.path = path

    def append(self, entries: Sequence[Entry]) -> None:
        """Durable when it returns; raises ``OSError``."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        there = self.path.exists()
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            torn = size and os.pread(descriptor, 1, size - 1) != b"\n"
            lines = "".join(json.dumps(asdict(each), sort_keys=True) + "\n" for each in entries)
            data = (("\n" if torn else "") + lines).encode()
            if os.write(descriptor, data) != len(data):
                os.ftruncate(descriptor, size)
                raise OSError(28, "no room for what is handed out", str(self.path))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if not there:
            sync_directory(self.path.parent)

    def entries(self) -> Sequence[Entry]:
        """All of them, in their order; raises ``OSError``."""
        try:
            lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return []
        found = []
        for line in lines:
            try:
                found.append(read(line))
            except ValueError:
                continue
        return found

    def clear(self) -> None:
        """Durable when it returns; raises ``OSError``."""
        self.path.unlink(missing_ok=True)
        sync_directory(self.path.parent)
