"""What one process does for all that share a catalog: done where the catalog says so, and nowhere else for long."""

import asyncio
import logging
from typing import Final, Protocol

from keyrack.shell.duties import Duty

log = logging.getLogger(__name__)

LOOK_EVERY: Final = 1.0
"""Seconds between two questions who leads: so soon another process takes over, and this one stops."""


class Leads(Protocol):
    """What is needed of a catalog."""

    async def leads(self, job: str) -> bool:
        """See ``ports.catalog``."""
        ...


async def while_leading(catalog: Leads, job: str, duty: Duty) -> None:
    """Do a duty as long as this process leads ``job``, and begin it anew when it leads again; for ever.

    A duty that this process may do no more is cancelled where it stands: each of its steps is a transaction that
    compares what it has seen, so that the next leader goes on from there. Returns when the duty does, and raises what
    it raises.
    """
    while True:
        while not await catalog.leads(job):
            await asyncio.sleep(LOOK_EVERY)
        log.debug("this process leads", extra={"job": job})
        task = asyncio.create_task(duty())
        try:
            while not task.done() and await catalog.leads(job):
                await asyncio.wait({task}, timeout=LOOK_EVERY)
            if task.done():
                return task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        log.info("another process is to go on", extra={"job": job})


def led(catalog: Leads, job: str, duty: Duty) -> Duty:
    """The same as a duty, named as the job."""

    async def lead() -> None:
        await while_leading(catalog, job, duty)

    lead.__qualname__ = job
    return lead
