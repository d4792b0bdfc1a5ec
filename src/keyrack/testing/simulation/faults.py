"""What the world does to nodes, roads, clocks and disks."""

from random import Random
from typing import Final

from keyrack.testing.simulation.asks import short
from keyrack.testing.simulation.catalog import Road
from keyrack.testing.simulation.key_manager import KeyManagerRoad
from keyrack.testing.simulation.node import Node
from keyrack.testing.simulation.world import World

LEAPS: Final = (10.0, 20.0, 40.0, 70.0, 130.0, 300.0)
"""Seconds that pass at once."""
MOST_SKEW: Final = 90.0


class Faults:
    """Whatever strikes between two steps."""

    def __init__(self, world: World, random: Random) -> None:
        """``random`` is chance's own."""
        self.world = world
        self.random = random

    def strike(self) -> None:
        """Perhaps one of each kind."""
        weather, random = self.world.weather, self.random
        for share, fault in (
            (weather.crash, self._crash),
            (weather.pause, self._pause),
            (weather.cut, self._cut),
            (weather.skew, self._skew),
            (weather.leap, self._leap),
            (weather.flip, self._flip),
            (weather.swap, self._swap),
        ):
            if share and random.random() < share:
                fault()

    def _node(self) -> Node:
        return self.random.choice(self.world.nodes)

    def _crash(self) -> None:
        """Now, or in the middle of what begins now."""
        name = self._node().name
        self.world.soon(self.random.choice((0.0, self.random.expovariate(50))), lambda: self._end(name))

    def _end(self, name: str) -> None:
        if not self.world.is_at_rest:
            self.world.crash(name, "at any moment")

    def _pause(self) -> None:
        node = self._node()
        process = node.process
        if not node.up or process.held is not None:
            return
        process.held = []
        seconds = self.random.choice((0.5, 3.0, 30.0))
        self.world.note(f"{node.name} is paused for {seconds} s")

        def resume() -> None:
            if process.held is not None:
                node.troubled_at = self.world.loop.time()
                self.world.loop.resume(process)

        self.world.soon(seconds, resume)

    def _cut(self) -> None:
        node = self._node()
        roads: list[tuple[Road | KeyManagerRoad, str]] = [(node.road, "the catalog")]
        roads += [(road, name) for name, road in node.key_manager_roads.items()]
        road, where = self.random.choice(roads)
        if road.cut:
            return
        road.cut = True
        seconds = self.random.choice((2.0, 10.0, 40.0, 200.0))
        self.world.note(f"{node.name} is cut from {where} for {seconds} s")

        def heal() -> None:
            road.cut = False
            node.troubled_at = self.world.loop.time()

        self.world.soon(seconds, heal)

    def _skew(self) -> None:
        node = self._node()
        node.skew = self.random.uniform(-MOST_SKEW, MOST_SKEW)
        self.world.note(f"the clock of {node.name} is set to {node.skew:+.1f} s")

    def _leap(self) -> None:
        seconds = self.random.choice(LEAPS)
        self.world.note(f"{seconds} s pass")
        self.world.leap(seconds)

    def _flip(self) -> None:
        """One bit of one copy of a key."""
        tenant = self.random.choice(self.world.tenants)
        if not tenant.known:
            return
        uid = self.random.choice(tenant.known)
        stored = self._stored(uid)
        if stored is None:
            return
        sealed, standard_key = stored
        kept = tenant.house.standard_keys.get(standard_key or "")
        if kept is not None and self.random.random() < 0.5:
            tenant.house.inner.replace_standard_key(kept.identifier, self._flipped(kept.payload))
        else:
            self.world.raw.execute("UPDATE object SET sealed = ? WHERE identifier = ?", (self._flipped(sealed), uid))
        self.world.damaged.add(uid)
        self.world.note(f"a bit of {short(uid)} flips")

    def _swap(self) -> None:
        """The wrapped keys of two objects change places, as a disk may write to the wrong block."""
        known = [uid for tenant in self.world.tenants for uid in tenant.known]
        if len(known) < 2:
            return
        first, second = self.random.sample(known, 2)
        stored = self._stored(first), self._stored(second)
        if stored[0] is None or stored[1] is None:
            return
        for uid, (sealed, standard_key) in ((first, stored[1]), (second, stored[0])):
            self.world.raw.execute(
                "UPDATE object SET sealed = ?, standard_key = ? WHERE identifier = ?", (sealed, standard_key, uid)
            )
            self.world.damaged.add(uid)
        self.world.note(f"{short(first)} and {short(second)} change places")

    def _stored(self, uid: str) -> tuple[bytes, str | None] | None:
        row = self.world.raw.execute("SELECT sealed, standard_key FROM object WHERE identifier = ?", (uid,)).fetchone()
        return row if row is not None and row[0] is not None else None

    def _flipped(self, octets: bytes) -> bytes:
        changed = bytearray(octets)
        changed[self.random.randrange(len(changed))] ^= 1 << self.random.randrange(8)
        return bytes(changed)
