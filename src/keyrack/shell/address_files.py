"""Where a listener is to be reached: in a file that is there as long as the listener is."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def told_in(file: Path, address: str) -> Iterator[None]:
    """Tell an address in a file as long as the block lasts; its directory is made where it is missing."""
    file.parent.mkdir(mode=0o755, exist_ok=True)
    # Written beside and renamed: whoever waits for the file never reads half of it.
    beside = file.with_suffix(".new")
    beside.write_text(address + "\n", encoding="ascii")
    beside.replace(file)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)
