"""Fresh databases with Keyrack's schema for tests: one is made ready, the others are copies of it."""

import asyncio
import itertools
from dataclasses import dataclass, field

from keyrack.adapters.catalogs.postgres.catalog import PostgresCatalog
from keyrack.adapters.catalogs.postgres.connecting import Place, connect
from keyrack.adapters.catalogs.postgres.migrator import grant, migrate
from keyrack.testing.postgres import OWNER, SERVER, Cluster

TEMPLATE = "keyrack"
_numbers = itertools.count(1)


async def prepare(cluster: Cluster, database: str = TEMPLATE) -> None:
    """Make the schema, as its owner, and give the servers' role its rights."""
    connection = await connect(Place(cluster.url(OWNER, database), "prepare"))
    try:
        await migrate(connection)
        await grant(connection, SERVER)
    finally:
        await connection.close()


@dataclass(slots=True)
class Fresh:
    """One database, made when somebody asks for it."""

    cluster: Cluster
    name: str = field(default_factory=lambda: f"fresh{next(_numbers)}")
    made: bool = False

    @property
    def url(self) -> str:
        """As a server connects."""
        self.make()
        return self.cluster.url(SERVER, self.name)

    def make(self) -> None:
        """Copy the template."""
        if not self.made:
            self.made = True
            self.cluster.database(self.name, TEMPLATE)

    async def catalog(self, chain: str) -> PostgresCatalog:
        """The catalog in it, journaling under ``chain``."""
        await asyncio.to_thread(self.make)
        return await PostgresCatalog.open(Place(self.url, chain), chain)

    def drop(self) -> None:
        """Remove it, whoever is connected."""
        if self.made:
            self.cluster.sql(f'DROP DATABASE "{self.name}" WITH (FORCE)')
