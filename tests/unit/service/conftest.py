"""A house without a disk, and its clients, for the tests of the desk."""

import pytest

from keyrack.spec.versions import VERSIONS
from keyrack.testing.conversation import (
    Client,
)
from keyrack.testing.house import House, memory_house


@pytest.fixture
async def house() -> House:
    """A house with the instances ``a`` and ``b``."""
    built = memory_house()
    await built.admit("a")
    await built.admit("b")
    return built


@pytest.fixture
def client(house: House) -> Client:
    """A client of ``a`` that speaks 1.4."""
    return Client(house)


@pytest.fixture(params=VERSIONS, ids=str)
def each(request: pytest.FixtureRequest, house: House) -> Client:
    """A client of ``a`` in every version."""
    return Client(house, request.param)
