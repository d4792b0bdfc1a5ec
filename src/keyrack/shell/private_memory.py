"""Keeps what a process has in memory from others, as far as the system lets it."""

import contextlib
import ctypes
import resource

_PR_SET_DUMPABLE = 4


def keep_memory_private() -> None:
    """No core file and no reading of this process's memory by other processes of the same user."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
