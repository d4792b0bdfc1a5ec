"""Key managers by the names that instances bear, of two kinds."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from keyrack.adapters.key_managers.embedded import EmbeddedKeyManager
from keyrack.adapters.key_managers.memory import MemoryKeyManager
from keyrack.adapters.key_managers.registry import KeyManagers, name_for
from keyrack.testing.key_houses import INSTANCE, OTHER_INSTANCE, a_house, an_instance


class Elsewhere(MemoryKeyManager):
    """Stands for one at IBM."""

    def __init__(self, *, troubled: bool = False) -> None:
        super().__init__()
        self.closed = False
        self._troubled = troubled

    async def close(self) -> None:
        """Note it."""
        self.closed = True
        if self._troubled:
            raise OSError("it does not close")


@pytest.fixture
def here(tmp_path: Path) -> Iterator[EmbeddedKeyManager]:
    """An embedded one with two key manager instances."""
    house = a_house(tmp_path)
    an_instance(house, OTHER_INSTANCE)
    yield EmbeddedKeyManager(house, INSTANCE)
    house.close()


def test_a_name_with_a_slash_means_an_instance_of_an_embedded_one(here: EmbeddedKeyManager) -> None:
    """The first one is meant by the name alone, too."""
    managers = KeyManagers({"here": here, "kp": Elsewhere()})
    other = managers[f"here/{OTHER_INSTANCE}"]

    assert isinstance(other, EmbeddedKeyManager)
    assert (here, here, OTHER_INSTANCE) == (managers["here"], managers[f"here/{INSTANCE}"], other.instance)
    assert f"here/{OTHER_INSTANCE}" == name_for("here", here, OTHER_INSTANCE)


def test_one_at_ibm_is_one_instance(here: EmbeddedKeyManager) -> None:
    """A name with a slash behind it is nobody's."""
    managers = KeyManagers({"here": here, "kp": Elsewhere()})

    assert managers.get(f"kp/{OTHER_INSTANCE}") is None
    assert managers.get("nobody") is None


def test_the_embedded_ones_are_known_apart(here: EmbeddedKeyManager) -> None:
    """For what only they have: schedules, shares, an API."""
    managers = KeyManagers({"kp": Elsewhere(), "here": here})

    assert (["kp", "here"], {"here": here}) == (list(managers), managers.embedded())


async def test_all_are_closed_even_if_one_is_in_trouble() -> None:
    """And the trouble is told."""
    troubled, other = Elsewhere(troubled=True), Elsewhere()

    with pytest.raises(OSError, match="does not close"):
        await KeyManagers({"a": troubled, "b": other}).close()

    assert (True, True) == (troubled.closed, other.closed)
