"""Changes in a file of their own beside the checkpoints: a record of the journal a line, synced, and never edited.

Where an administrator has gone on with an older catalog, a line says behind which record all others are given up.
"""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from keyrack.adapters.journals.durable import sync_directory
from keyrack.ports.journal import JournalRecord

LARGEST: Final = 128 * 2**20
"""Bytes; then the file is put aside as ``.1``, in the place of the one before, and a new one begins."""
_TAIL: Final = 64 * 1024


class ChangesFile:
    """Appends, and reads. A line that a crash has cut short does not count."""

    def __init__(self, path: Path, deployment: str = "", *, largest: int = LARGEST) -> None:
        """Of this file; it is made, private, when there is something to keep. One of another deployment's says nothing
        here, and is put aside when there is something to keep."""
        self.path = path
        self._deployment = deployment
        self._largest = largest

    @property
    def before(self) -> Path:
        """The one that was put aside."""
        return self.path.with_name(f"{self.path.name}.1")

    def append(self, records: Sequence[JournalRecord]) -> None:
        """Durable when it returns; raises ``OSError``."""
        self._append([_line(each) for each in records])

    def give_up(self, through: int, by: str, at: int) -> None:
        """Records behind this number are none of the journal's any more; ``at`` is milliseconds since 1970."""
        self._append([_text({"given_up": {"through": through, "by": by, "at": at}})])

    def _append(self, lines: Sequence[str]) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._put_aside()
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            torn = size and os.pread(descriptor, 1, size - 1) != b"\n"
            begin = "\n" if torn else "" if size else _text({"deployment": self._deployment})
            data = (begin + "".join(lines)).encode()
            if os.write(descriptor, data) != len(data):
                os.ftruncate(descriptor, size)
                raise OSError(28, "no room for what was changed", str(self.path))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if not size:
            sync_directory(self.path.parent)

    def _put_aside(self) -> None:
        for path in (self.before, self.path):
            if path.exists() and not self._is_ours(path):
                path.replace(path.with_name(f"{path.name}.of-another"))
        if self.path.exists() and self.path.stat().st_size > self._largest:
            self.path.replace(self.before)

    def _is_ours(self, path: Path) -> bool:
        """Whether it is of this deployment; one that does not say whose it is, is."""
        try:
            with path.open(encoding="utf-8", errors="replace") as file:
                told = json.loads(file.readline())
            return told.get("deployment", self._deployment) in {"", self._deployment} or not self._deployment
        except (FileNotFoundError, ValueError, AttributeError):
            return True

    def last(self) -> int:
        """The number of the last record that counts; 0 where there is none. Raises ``OSError``."""
        return self.last_record()[0]

    def last_record(self) -> tuple[int, bytes]:
        """The same with the record's hash, which is empty where the records behind it were given up."""
        for path in (self.path, self.before):
            if self._is_ours(path) and (found := _last_of(path)) is not None:
                return found
        return 0, b""

    def lines(self) -> Iterator[str]:
        """Every line, oldest first. Raises ``OSError``."""
        for path in (self.before, self.path):
            if path.exists() and self._is_ours(path):
                with path.open(encoding="utf-8", errors="replace") as file:
                    yield from file


def _last_of(path: Path) -> tuple[int, bytes] | None:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            length = min(size, _TAIL)
            while True:
                file.seek(size - length)
                lines = file.read(length).decode("utf-8", errors="replace").splitlines()
                for line in reversed(lines if length == size else lines[1:]):
                    if (found := _place_of(line)) is not None:
                        return found
                if length == size:
                    return None
                length = min(size, length * 8)
    except FileNotFoundError:
        return None


def _place_of(line: str) -> tuple[int, bytes] | None:
    try:
        told = json.loads(line)
        if "given_up" in told:
            return int(told["given_up"]["through"]), b""
        return int(told["number"]), bytes.fromhex(told["hash"])
    except (ValueError, KeyError, TypeError):
        return None


def _line(record: JournalRecord) -> str:
    place = {"chain": record.chain, "sequence": record.sequence, "number": record.number, "hash": record.hash.hex()}
    return _text({**place, "record": record.text})


def _text(told: dict[str, Any]) -> str:
    return json.dumps(told, separators=(",", ":"), ensure_ascii=True) + "\n"
