"""Notices that a pair of files is another one, whoever has replaced it: a renewed certificate wants nobody's signal."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

EVERY: Final = 0.25
"""Seconds between two looks at the files."""
HALF_WRITTEN: Final = 8
"""Looks after which a pair that does not fit together is no longer taken for one that is just being written."""


async def watch_files(
    files: Sequence[Path], reload: Callable[[], None], unfit: type[Exception] | tuple[type[Exception], ...]
) -> None:
    """Call ``reload`` whenever one of the files is another one, for ever; a pair of no use is told once.

    ``unfit`` is what ``reload`` raises of such a pair; it has to leave everything as it was then.
    """
    known, failures = _marks(files), 0
    while True:
        await asyncio.sleep(EVERY)
        marks = _marks(files)
        if marks == known and not 0 < failures < HALF_WRITTEN:
            continue
        failures = 0 if marks != known else failures
        known = marks
        try:
            reload()
        except unfit as error:
            # Two files cannot be replaced at one moment: the next look finds them both.
            failures += 1
            if failures == HALF_WRITTEN:
                log.error("the server's certificate stays the old one: %s", error)
        else:
            failures = 0
            log.info("the server's certificate is read again, for new connections")


def _marks(files: Sequence[Path]) -> tuple[tuple[int, int, int] | None, ...]:
    """What tells a file from the one that was there before; ``None`` where there is none."""
    marks: list[tuple[int, int, int] | None] = []
    for file in files:
        try:
            status = file.stat()
        except OSError:
            marks.append(None)
        else:
            marks.append((status.st_ino, status.st_mtime_ns, status.st_size))
    return tuple(marks)
