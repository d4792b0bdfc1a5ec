"""Both catalogs keep what they promise about instances."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from keyrack.adapters.catalogs.sqlite.catalog import SqliteCatalog
from keyrack.adapters.memory import MemoryCatalog
from keyrack.testing.instance_contract import InstanceContract


class TestMemoryInstances(InstanceContract):
    """In memory."""

    @pytest.fixture
    def catalog(self) -> MemoryCatalog:
        """An empty one."""
        return MemoryCatalog()


class TestSqliteInstances(InstanceContract):
    """In a file."""

    @pytest.fixture
    async def catalog(self, tmp_path: Path) -> AsyncIterator[SqliteCatalog]:
        """An empty one."""
        catalog = SqliteCatalog(tmp_path / "catalog.db", "kmip-0")
        yield catalog
        await catalog.close()
