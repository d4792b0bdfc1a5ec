"""What a catalog in memory has of a cluster: itself."""

import asyncio

from keyrack.ports.cluster import Rollback


class Alone:
    """One process, which does every job and hears of nothing that it has not done itself."""

    async def leads(self, job: str) -> bool:
        """There is nobody else."""
        return True

    async def news(self, seconds: float) -> None:
        """There is nobody who could tell any."""
        await asyncio.sleep(seconds)

    async def rollback(self) -> Rollback | None:
        """It is lost with its process, and never restored."""
        return None
