"""A house and its clients, for the tests of the verbs."""

import pytest

from keyrack.spec.versions import VERSIONS, ProtocolVersion
from keyrack.testing.conversation import Client
from keyrack.testing.house import House, memory_house


@pytest.fixture
async def house() -> House:
    """A house with the instances ``a`` and ``b``, a client each."""
    built = memory_house()
    await built.admit("a")
    await built.admit("b")
    return built


@pytest.fixture
def client(house: House) -> Client:
    """A client of instance ``a`` that speaks 1.4."""
    return Client(house)


@pytest.fixture(params=VERSIONS, ids=str)
def version(request: pytest.FixtureRequest) -> ProtocolVersion:
    """Every protocol version, one after the other."""
    found: ProtocolVersion = request.param
    return found


@pytest.fixture
def each(house: House, version: ProtocolVersion) -> Client:
    """A client of instance ``a`` in every protocol version."""
    return Client(house, version)
