"""Commands that wrap keys anew, killed with SIGKILL at random moments beside a server under load, and run again.

Whatever was acknowledged is there, byte for byte, at every moment; and when the last command has gone through, each key
has one standard key, the one that the catalog names, and nothing else is left in the key manager.
"""

import asyncio
import os
import random
import sqlite3
import ssl
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from keyrack.service.vault.standard_keys import PREFIX, name_of
from keyrack.shell.config.whole import load
from keyrack.shell.office import open_key_manager
from keyrack.testing.certificates import client
from keyrack.testing.client import Client
from keyrack.testing.ledger import broken
from keyrack.testing.nursery import Nursery
from keyrack.testing.process import Deployment
from keyrack.testing.streams import Streams, Writer, batch, boot, bury

LONGER = ("storage", "move")
"""Acts for the long form: they move keys by the same steps."""
PHASES = 4
"""In each phase keys go one way: some commands are killed, and one goes through."""
LIFE = (0.0, 0.15)
"""Seconds from the first thing that a command has written to its kill."""
IDLE = 3.0
"""Seconds after which a command that writes nothing has nothing left to do, or never will."""
KEYS = 60
"""Keys that are there when the first command begins."""
REST = 0.15
"""Seconds that a client rests between two keys."""
NO_WAITS = "\n[key_managers.embedded.waits]\nstate_change_seconds = 0\nrotate_seconds = 0\npurge_seconds = 0\n"


@dataclass(slots=True)
class Ground:
    """A deployment with an instance whose keys are standard keys, and a second root key."""

    deployment: Deployment
    context: ssl.SSLContext
    chance: random.Random
    root_keys: tuple[str, str]

    @classmethod
    def begin(cls, directory: Path) -> "Ground":
        seed = os.environ.get("KEYRACK_TEST_SEED") or str(random.SystemRandom().randrange(2**32))
        print(f"KEYRACK_TEST_SEED={seed}")  # noqa: T201 - pytest shows it where the test fails
        deployment = Deployment(directory=directory / "k").initialise()
        with deployment.configuration.open("a") as configuration:
            configuration.write(NO_WAITS)
        first = deployment.read("instance", "create", "b", "--storage", "key_manager")["root_key"]
        second = deployment.read("root-key", "create", "another")["identifier"]
        identity = client(deployment.authority, "b")
        deployment.add_client("b", identity)
        return cls(deployment, deployment.context(identity), random.Random(seed), (first, second))

    def words(self, act: str, phase: int) -> tuple[str, ...]:
        """The command of a phase."""
        if act == "rewrap":
            return "root-key", "rewrap", "b"
        if act == "storage":
            return "instance", "storage", "set", "b", ("catalog", "key_manager")[phase % 2]
        return "instance", "change-root-key", "b", "--root-key", self.root_keys[(phase + 1) % 2]

    def kills(self, nursery: Nursery, words: tuple[str, ...]) -> int:
        """Kill a command in the middle of its work; how much it has written into the journal."""
        before, mover = self.written(), nursery.run(self.deployment, *words)
        until = time.monotonic() + IDLE
        while self.written() == before and time.monotonic() < until:
            time.sleep(0.002)
        time.sleep(self.chance.uniform(*LIFE))
        mover.close()
        return self.written() - before

    def written(self) -> int:
        """How much the commands have written into the journal."""
        with closing(sqlite3.connect(self.deployment.directory / "catalog.db")) as catalog:
            (count,) = catalog.execute("SELECT count(*) FROM journal WHERE chain = 'administration'").fetchone()
        return int(count)

    def problems(self) -> list[str]:
        """What is not as it should be of catalog and key manager, when nobody works any more."""
        with closing(sqlite3.connect(self.deployment.directory / "catalog.db")) as catalog:
            rows = catalog.execute(f"SELECT identifier, standard_key, sealed FROM object WHERE {_OWNS_ONE}").fetchall()
            kept = {uid: (standard_key, sealed) for uid, standard_key, sealed in rows}
            (leftovers,) = catalog.execute("SELECT count(*) FROM leftover").fetchone()
            (moving,) = catalog.execute("SELECT count(*) FROM instance WHERE former_root_key IS NOT NULL").fetchone()
        listed = asyncio.run(_standard_keys(self.deployment))
        names = Counter(name for name, _ in listed.values())
        found = [f"{name} is there {count} times" for name, count in names.items() if count > 1]
        found += [f"{name} is nobody's" for name in names if name.removeprefix(PREFIX) not in kept]
        found += [
            f"the copies of {uid} are not one"
            for uid, (standard_key, sealed) in kept.items()
            if listed.get(standard_key) != (name_of(uid), sealed)
        ]
        return found + [f"{leftovers} leftovers"] * bool(leftovers) + ["it moves still"] * bool(moving)


# No standard key is made for an object that was destroyed before.
_OWNS_ONE = "standard_key IS NOT NULL OR state NOT IN (5, 6)"


async def _standard_keys(deployment: Deployment) -> dict[str, tuple[str, bytes]]:
    manager = open_key_manager(load(deployment.configuration), "embedded")
    try:
        listed = [each async for each in manager.list_standard_keys(PREFIX)]
        return {
            each.identifier: (each.name, (await manager.get_standard_key(each.identifier)).payload) for each in listed
        }
    finally:
        await manager.close()


def resting(flow: Callable[[Writer], None]) -> Callable[[Writer], None]:
    """The same, and then a rest."""

    def act(writer: Writer) -> None:
        flow(writer)
        time.sleep(REST)

    return act


@pytest.mark.parametrize("kills", [1, pytest.param(5, marks=pytest.mark.slow)])
@pytest.mark.parametrize("act", ["rewrap", *(pytest.param(each, marks=pytest.mark.slow) for each in LONGER)])
def test_no_key_is_lost_or_doubled_when_the_mover_is_killed(tmp_path: Path, act: str, kills: int) -> None:
    """Kills in four phases, beside clients that make, activate, fetch and destroy keys, none of which is refused."""
    ground = Ground.begin(tmp_path)
    deployment, contexts = ground.deployment, {"b": ground.context}
    with Nursery() as nursery:
        server = nursery.serve(deployment)
        try:
            with Client(server.address(), ground.context) as making:
                first = Writer(making, "b", "load")
                for _ in range(KEYS):
                    first.all_at_once()
            flows = [resting(flow) for flow in (boot, batch, bury)]
            streams = Streams(address=server.address(), contexts=contexts, group="load", number=3, flows=flows)
            written: list[int] = []
            with streams:
                for phase in range(PHASES):
                    if act == "rewrap":
                        deployment.run("root-key", "rotate", ground.root_keys[0])
                    for _ in range(kills):
                        written.append(ground.kills(nursery, ground.words(act, phase)))
                    deployment.run(*ground.words(act, phase))
            assert [] == streams.failures
            promises = [*first.promises, *streams.promises()]
        finally:
            server.close()
        again = nursery.serve(deployment)
        try:
            with Client(again.address(), ground.context, timeout=60) as asking:
                assert [] == broken(asking, promises, "load")
        finally:
            again.close()
    print(f"{len(promises)} acknowledged keys; written by the killed: {written}")  # noqa: T201
    assert [] == ground.problems()
    # Half of them have to hit a command at its work.
    assert sum(count > 0 for count in written) >= PHASES * kills // 2
