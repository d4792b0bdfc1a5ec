"""Duties of a process, which go on for ever: one that fails is told of and begun again, and never missing in silence.

A process that no longer looks for seals, changed certificates or what is to be purged would go on serving, and nobody
would know.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final

from keyrack.shell.faults import fault

log = logging.getLogger(__name__)

SHORTEST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 60.0
"""Seconds before a duty that failed is begun again: twice as long each time, unless it went well for long enough."""

Duty = Callable[[], Coroutine[Any, Any, None]]


async def kept(duty: Duty) -> None:
    """Do a duty until it is done, which most never are; whatever it raises, it is begun again after a pause."""
    pause = SHORTEST_PAUSE
    while True:
        began = time.monotonic()
        try:
            return await duty()
        except Exception as error:  # it stands between a fault of ours and a process that serves without its duties
            if time.monotonic() - began > LONGEST_PAUSE:
                pause = SHORTEST_PAUSE
            told = {"duty": duty.__qualname__, "seconds": pause, **fault(error)}
            log.error("a duty failed, and is begun again", extra=told)
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)
