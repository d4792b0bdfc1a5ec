"""Disks of a fixed size for servers and nodes, which can be filled. Linux, as root; see ``small_disk``."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from keyrack.testing.postgres import ACCOUNT
from keyrack.testing.small_disk import SmallDisk, small_disk

SERVER_SIZE: Final = 320
NODE_SIZE: Final = 16
"""Mebibytes."""


@dataclass(frozen=True, slots=True)
class Ground:
    """A disk for each PostgreSQL server, and one for the first node."""

    a: SmallDisk
    b: SmallDisk
    node: SmallDisk


@contextmanager
def ground() -> Iterator[Ground]:
    """Mount them; raises ``CannotMount``. What this thread starts afterwards sees them, and nobody else."""
    with ExitStack() as stack:
        base = Path(tempfile.mkdtemp(prefix="keyrack-ground-"))
        stack.callback(shutil.rmtree, base, ignore_errors=True)
        # PostgreSQL goes through it as another account.
        base.chmod(0o755)
        a, b = (stack.enter_context(small_disk(base / name, SERVER_SIZE)) for name in "ab")
        for each in (a, b):
            if os.geteuid() == 0:
                shutil.chown(each.path, ACCOUNT)
        yield Ground(a, b, stack.enter_context(small_disk(base / "node", NODE_SIZE)))
