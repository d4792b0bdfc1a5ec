"""The SQLite catalog keeps the contract."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from keyrack.adapters.catalogs.sqlite.catalog import SqliteCatalog
from keyrack.testing.administration_contract import AdministrationContract
from keyrack.testing.care_contract import CareContract
from keyrack.testing.catalog_contract import CatalogContract
from keyrack.testing.people_contract import PeopleContract


class TestSqliteCatalog(PeopleContract, CareContract, AdministrationContract, CatalogContract):
    """All suites over :class:`SqliteCatalog`."""

    @pytest.fixture
    async def catalog(self, tmp_path: Path) -> AsyncIterator[SqliteCatalog]:
        """An empty one, in a directory of its own."""
        catalog = SqliteCatalog(tmp_path / "catalog.db", "test")
        yield catalog
        await catalog.close()
