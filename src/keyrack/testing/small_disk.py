"""A disk of a fixed size that can be filled: a tmpfs in a mount namespace of this process's own. Linux, as root.

The namespace is left for good: other processes do not see the disk, what this process starts does, and nothing of it
stays when this process ends.
"""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CLONE_NEWNS = 0x00020000
_MS_REC, _MS_PRIVATE = 0x4000, 1 << 18
_MNT_DETACH = 2
_STEP = 1 << 20

_libc = ctypes.CDLL(None, use_errno=True)


class CannotMount(OSError):
    """This process may not, or the system cannot; the text says why."""


class SmallDisk:
    """The disk. ``path`` is where it is mounted."""

    def __init__(self, path: Path) -> None:
        """Speak of what is mounted at ``path``."""
        self.path = path
        self._ballast = path / "ballast"

    def fill(self) -> None:
        """Use up every byte that is free now."""
        with self._ballast.open("ab", buffering=0) as ballast:
            size = _STEP
            while size:
                try:
                    if ballast.write(bytes(size)) < size:
                        raise OSError
                except OSError:
                    size //= 2

    def free(self) -> None:
        """Give all of it back."""
        self._ballast.unlink(missing_ok=True)

    @property
    def left(self) -> int:
        """Free bytes."""
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize


@contextmanager
def small_disk(path: Path, mebibytes: int) -> Iterator[SmallDisk]:
    """Mount one at ``path``; raises :class:`CannotMount`. The calling thread's later children see it."""
    path.mkdir()
    _call("unshare", _libc.unshare(_CLONE_NEWNS))
    _call("mount", _libc.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None))
    options = f"size={mebibytes}m,mode=700".encode()
    _call("mount", _libc.mount(b"keyrack-test", bytes(path), b"tmpfs", 0, options))
    try:
        yield SmallDisk(path)
    finally:
        _libc.umount2(bytes(path), _MNT_DETACH)


def _call(name: str, result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise CannotMount(number, f"{name}: {os.strerror(number)}")
