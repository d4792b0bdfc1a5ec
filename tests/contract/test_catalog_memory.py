"""The catalog in memory keeps the contract."""

import pytest

from keyrack.adapters.memory import MemoryCatalog
from keyrack.testing.catalog_contract import CatalogContract


class TestMemoryCatalog(CatalogContract):
    """The whole suite over :class:`MemoryCatalog`."""

    @pytest.fixture
    def catalog(self) -> MemoryCatalog:
        """An empty one."""
        return MemoryCatalog()
