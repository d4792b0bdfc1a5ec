"""How far the database has come, told outside of it: an older copy that is put back is noticed.

Two slots in one small file, written in turn, each with its MAC. They are not synced: after a power loss the anchor may
be behind the database, never ahead of it, and behind is no alarm.
"""

import fcntl
import hashlib
import hmac
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from keyrack.domain.secret import Secret
from keyrack.embedded import files
from keyrack.embedded.errors import KeystoreRolledBack

_SLOT = 512
"""Bytes between the slots: a sector, so that a torn write spoils one of them."""
_MAC = 32
_RECORD = struct.Struct(f">Q{_MAC}s")


class Anchor:
    """The file of one database; processes may share it. May raise ``OSError``."""

    def __init__(self, path: Path, key: Secret) -> None:
        """``key`` authenticates the slots and stays this object's."""
        self._path = path
        self.key = key

    @classmethod
    def create(cls, path: Path, key: Secret) -> "Anchor":
        """Make the file for an empty database; raises ``FileExistsError``."""
        anchor = cls(path, key)
        files.create(path, b"".join(anchor._slot(0).ljust(_SLOT, b"\0") for _ in range(2)))
        return anchor

    def revision(self) -> int:
        """The newest revision that was noted; :class:`KeystoreRolledBack` where no slot can be believed."""
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            content = b""
        found = self._newest(content)
        if found is None:
            raise KeystoreRolledBack(
                f"{self._path} is missing or was changed, so nobody can tell whether the database is the newest one: "
                "if it is, tell so with 'keyrack key-manager accept'"
            )
        return found

    def note(self, revision: int) -> None:
        """Remember that the database has come as far as ``revision``; never goes back."""
        with self._locked() as descriptor:
            newest = self._newest(os.pread(descriptor, 2 * _SLOT, 0))
            if newest is None or revision > newest:
                os.pwrite(descriptor, self._slot(revision), revision % 2 * _SLOT)

    def accept(self, revision: int) -> None:
        """Begin anew at ``revision``: an administrator has put an older database back on purpose."""
        self._path.unlink(missing_ok=True)
        files.create(self._path, self.written(revision))

    def written(self, revision: int) -> bytes:
        """The file of a database that is at ``revision``."""
        return self._slot(revision).ljust(_SLOT, b"\0") * 2

    @contextmanager
    def _locked(self) -> Iterator[int]:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, files.PRIVATE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)

    def _newest(self, content: bytes) -> int | None:
        slots = (content[start : start + _RECORD.size] for start in (0, _SLOT))
        told = (_RECORD.unpack(slot)[0] for slot in slots if len(slot) == _RECORD.size and self._believed(slot))
        return max(told, default=None)

    def _believed(self, slot: bytes) -> bool:
        revision, _ = _RECORD.unpack(slot)
        return hmac.compare_digest(slot, self._slot(revision))

    def _slot(self, revision: int) -> bytes:
        mac = hmac.digest(self.key.reveal(), b"revision" + struct.pack(">Q", revision), hashlib.sha256)
        return _RECORD.pack(revision, mac)
