"""The catalog in memory keeps the contract."""

import pytest

from keyrack.adapters.memory import MemoryCatalog
from keyrack.testing.administration_contract import AdministrationContract
from keyrack.testing.care_contract import CareContract
from keyrack.testing.catalog_contract import CatalogContract


class TestMemoryCatalog(CareContract, AdministrationContract, CatalogContract):
    """All suites over :class:`MemoryCatalog`."""

    @pytest.fixture
    def catalog(self) -> MemoryCatalog:
        """An empty one."""
        return MemoryCatalog()
