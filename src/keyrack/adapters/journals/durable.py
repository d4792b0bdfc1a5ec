"""What makes the names of files durable."""

import os
from pathlib import Path


def sync_directory(directory: Path) -> None:
    """Return when the names in it are on the disk too; raises ``OSError``."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
