"""Customers look after their key managers, and take from Keyrack what it relies on; and clients try what is left."""

import asyncio
from collections.abc import Sequence
from random import Random

from keyrack.testing.simulation.asks import short
from keyrack.testing.simulation.clients import Client, get
from keyrack.testing.simulation.invariants import REVOKED_WITHIN
from keyrack.testing.simulation.key_manager import House
from keyrack.testing.simulation.node import TERMS
from keyrack.testing.simulation.world import World


class Customers:
    """Of every key manager."""

    def __init__(self, world: World, clients: Sequence[Client], random: Random) -> None:
        """``random`` is theirs."""
        self.world = world
        self.clients = clients
        self.random = random

    async def act(self) -> None:
        """Do something in a key manager."""
        house = self.random.choice([each for each in self.world.houses if each.roots])
        root_key = self.random.choice(house.roots)
        if root_key in house.gone:
            return
        if house.denied_since(root_key) is not None:
            if self.random.random() < 0.4:
                house.allow(root_key, self.world.loop.time())
                self.world.note(f"{house.name}: root key {short(root_key)} is enabled")
            return
        drawn = self.random.random()
        if drawn < 0.3:
            await self._deny(house, root_key)
        elif drawn < 0.5:
            house.now(lambda inner: inner.rotate_root_key(root_key))
            self.world.note(f"{house.name}: root key {short(root_key)} is rotated")
        elif drawn < 0.8 and house.standard_keys:
            key = self.random.choice(list(house.standard_keys.values()))
            house.take(key, self.world.loop.time())
            self.world.note(f"{house.name}: standard key of {short(key.name.removeprefix('vmware_kmip_'))} is taken")
        elif house.taken:
            key = self.random.choice(house.taken)
            house.give_back(key)
            self.world.note(f"{house.name}: standard key of {short(key.name.removeprefix('vmware_kmip_'))} is back")

    async def _deny(self, house: House, root_key: str) -> None:
        """Disable it, or delete it for good; perhaps while nobody reaches the key manager; then try every node."""
        for_good = self.random.random() < 0.1
        roads = [node.key_manager_roads[house.name] for node in self.world.nodes] if self.random.random() < 0.5 else []
        house.deny(root_key, self.world.loop.time(), for_good=for_good)
        told = "deleted for good" if for_good else "disabled"
        self.world.note(f"{house.name}: root key {short(root_key)} is {told}{', and cut off' if roads else ''}")
        for road in roads:
            road.cut = True
        await self._try(root_key)
        self.world.leap(TERMS.outage_grace + 1 if roads else REVOKED_WITHIN + 1)
        await self._try(root_key)
        for road in roads:
            road.cut = False

    async def _try(self, root_key: str) -> None:
        meant = [
            each for each in self.clients if each.tenant.instance.root_key == root_key and each.may and each.some()
        ]
        if meant:
            client = self.random.choice(meant)
            uid = client.some() or ""
            await asyncio.gather(*(client.ask(get(uid), node=node) for node in self.world.nodes))
