"""The PostgreSQL catalog keeps the contract, on a real server."""

from collections.abc import AsyncIterator

import pytest

from keyrack.adapters.catalogs.postgres.catalog import PostgresCatalog
from keyrack.testing.administration_contract import AdministrationContract
from keyrack.testing.care_contract import CareContract
from keyrack.testing.catalog_contract import CatalogContract
from keyrack.testing.people_contract import PeopleContract
from keyrack.testing.postgres import binaries
from keyrack.testing.postgres_catalogs import Fresh

pytestmark = pytest.mark.skipif(binaries() is None, reason="needs PostgreSQL")


class TestPostgresCatalog(PeopleContract, CareContract, AdministrationContract, CatalogContract):
    """All suites over :class:`PostgresCatalog`."""

    @pytest.fixture
    async def catalog(self, postgres: Fresh) -> AsyncIterator[PostgresCatalog]:
        """An empty one, in a database of its own."""
        catalog = await postgres.catalog("test")
        yield catalog
        await catalog.close()
