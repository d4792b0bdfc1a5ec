"""How far each serving process has come: which generation of the catalog it has taken, and which certificate it shows.

Each keeps one small file in the run directory, locked as long as it lives; whoever has changed something looks into
them and can say when it is in force. What a dead process has left is known by its lock being free.
"""

import asyncio
import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DIRECTORY: Final = "processes"
"""Under the run directory."""
PATIENCE: Final = 2.0
"""Seconds that a command waits at the most; a process takes a change within one."""
LOOK_EVERY: Final = 0.02


class Taken:
    """What this process tells; used as a context manager, it is heard of as long as the block lasts."""

    def __init__(self, run_directory: Path) -> None:
        """Tell in this directory, which is made where it is missing."""
        self._path = run_directory / DIRECTORY / f"{os.getpid()}.json"
        self._descriptor = -1
        self._told: dict[str, int | str] = {}

    def open(self) -> None:
        """Begin; raises ``OSError``."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Whoever can read a file can lock it: another user could make a dead process look alive, or keep one out.
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.tell()

    def tell(self, **what: int | str) -> None:
        """Tell more, or anew: ``generation`` and ``certificate``."""
        self._told |= what
        if self._descriptor < 0:
            return
        # One write of one length: whoever reads beside it sees the old words or the new.
        with contextlib.suppress(OSError):
            os.pwrite(self._descriptor, json.dumps(self._told).ljust(_LENGTH).encode("ascii"), 0)

    def close(self) -> None:
        """This process serves no more."""
        if self._descriptor >= 0:
            self._path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> "Taken":
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_LENGTH: Final = 512


@dataclass(frozen=True, slots=True)
class Progress:
    """One serving process."""

    pid: int
    generation: int
    certificate: str
    """SHA-256 of the server's certificate that it shows."""


@dataclass(frozen=True, slots=True)
class InForce:
    """In how many serving processes a change is in force, and after how long."""

    processes: int
    of: int
    seconds: float

    @property
    def everywhere(self) -> bool:
        """Whether no process is left that has not taken it."""
        return self.processes == self.of

    def told(self) -> str:
        """For people."""
        if not self.of:
            return "no server runs here: it counts as soon as one starts"
        so_far = f"in force on {self.processes} of {self.of} process{'' if self.of == 1 else 'es'}"
        return f"{so_far} after {self.seconds:.1f} s"

    def as_json(self) -> dict[str, object]:
        """For programs."""
        return {"processes": self.processes, "of": self.of, "seconds": round(self.seconds, 3)}


def serving(run_directory: Path) -> list[Progress]:
    """The processes that serve now."""
    found = []
    for path in sorted((run_directory / DIRECTORY).glob("*.json")):
        progress = _progress(path)
        if progress is not None:
            found.append(progress)
    return found


def _progress(path: Path) -> Progress | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return None  # nobody holds it: whoever did is dead
        told = json.loads(os.pread(descriptor, _LENGTH, 0) or b"{}")
        pid, generation = int(path.stem), int(told.get("generation", -1))
        return Progress(pid, generation, str(told.get("certificate", "")))
    except (OSError, ValueError):
        return None
    finally:
        os.close(descriptor)


async def in_force(
    run_directory: Path, has_taken: Callable[[Progress], bool], *, patience: float = PATIENCE
) -> InForce:
    """Wait until every serving process has taken a change, at most ``patience`` seconds."""
    began = time.monotonic()
    while True:
        found = serving(run_directory)
        taken = sum(has_taken(each) for each in found)
        passed = time.monotonic() - began
        if taken == len(found) or passed >= patience:
            return InForce(taken, len(found), passed)
        await asyncio.sleep(LOOK_EVERY)


def generation_taken(generation: int) -> Callable[[Progress], bool]:
    """Whether a process has taken the catalog's changes up to this generation."""
    return lambda progress: progress.generation >= generation


def certificate_shown(fingerprint: str) -> Callable[[Progress], bool]:
    """Whether a process shows the server's certificate of this fingerprint."""
    return lambda progress: progress.certificate == fingerprint
