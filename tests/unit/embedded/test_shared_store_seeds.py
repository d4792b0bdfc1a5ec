"""Three nodes, one key manager, and whatever may happen between them, drawn from a seed: nothing is lost or made up."""

import random
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from keyrack.embedded.errors import ChangeUnsettled, KeystoreBehind, LogUnavailable, Overtaken
from keyrack.embedded.house import House
from keyrack.embedded.store import following
from keyrack.testing.key_houses import a_copy, a_house, opened_again
from keyrack.testing.shared_logs import NodesLog, SharedLog

STEPS = 30
NODES = ("one", "two", "three")


class Crash(Exception):
    """The process ends here."""


@dataclass
class World:
    """What the nodes have, and what they have told those who asked."""

    seed: int
    directory: Path
    shared: SharedLog = field(default_factory=SharedLog)
    houses: list[House] = field(default_factory=list)
    logs: list[NodesLog] = field(default_factory=list)
    made: set[str] = field(default_factory=set)
    """Acknowledged."""
    refused: set[str] = field(default_factory=set)
    """Told that nothing was kept."""

    def __post_init__(self) -> None:
        self.draw = random.Random(self.seed)
        (self.directory / NODES[0]).mkdir()
        a_house(self.directory / NODES[0]).close()
        opened_again(self.directory / NODES[0], log=self.shared.of_a_node()).close()
        for name in NODES[1:]:
            a_copy(self.directory / NODES[0], self.directory / name)
        for name in NODES:
            self.logs.append(self._a_log())
            self.houses.append(opened_again(self.directory / name, log=self.logs[-1]))

    def _a_log(self) -> NodesLog:
        log = self.shared.of_a_node()
        log.blind = self.draw.random() < 0.5
        return log

    def restart(self, node: int) -> None:
        self.houses[node].close()
        self.logs[node] = self._a_log()
        self.houses[node] = opened_again(self.directory / NODES[node], log=self.logs[node])

    def step(self, number: int) -> None:
        node = self.draw.randrange(len(NODES))
        log = self.logs[node]
        fault = self.draw.choice(["none"] * 4 + ["before", "after", "lost", "lost and cut", "cut", "overtaken"])
        if fault == "before":
            log.before_append = _crash
        elif fault in ("after", "lost and cut"):
            log.after_append = _crash if fault == "after" else partial(setattr, log, "cut", True)
        elif fault == "overtaken":
            other = (node + 1) % len(NODES)
            log.before_append = partial(self._change, other, f"{number} of another")
        log.lost_answers = int(fault.startswith("lost"))
        log.cut = fault == "cut"
        crashed = self.change(node, f"{number}")
        log.before_append = log.after_append = None
        log.lost_answers, log.cut = 0, False
        if crashed or self.draw.random() < 0.1:
            self.restart(node)

    def change(self, node: int, name: str) -> bool:
        """Put a value under a name of its own, and note it; whether the process crashed."""
        house = self.houses[node]
        try:
            with house.database.change() as unit:
                unit.put_sealed_value(name, self.draw.randbytes(20))
                if self.draw.random() < 0.5:
                    unit.put_sealed_value("the same", self.draw.randbytes(20))
        except (Overtaken, LogUnavailable, KeystoreBehind):
            self.refused.add(name)
        except ChangeUnsettled:
            return False
        except Crash:
            return True
        else:
            self.made.add(name)
        return False

    def _change(self, node: int, name: str) -> None:
        self.change(node, name)

    def settle(self) -> None:
        for house in self.houses:
            house.database.follow()
        first, *others = [house.database.standing() for house in self.houses]
        assert all(first == each for each in others)
        for house in self.houses:
            house.database.verify()
            with house.reading() as reading:
                there = {name for name in self.made | self.refused if reading.sealed_value(name) is not None}
            assert there == self.made
            house.close()


def _crash() -> None:
    raise Crash


def lived(seed: int, directory: Path) -> None:
    directory.mkdir()
    world = World(seed, directory)
    for number in range(STEPS):
        world.step(number)
    world.settle()


@pytest.mark.parametrize("seed", range(12))
def test_nothing_is_lost_or_made_up(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was acknowledged is on every node, what was refused on none, and all have the same."""
    monkeypatch.setattr(following, "FORGET_EVERY", 7)
    lived(seed, tmp_path / "world")


@pytest.mark.slow
def test_nothing_is_lost_or_made_up_in_many_worlds(tmp_path: Path) -> None:
    for seed in range(12, 400):
        lived(seed, tmp_path / f"{seed}")
