"""A node: a program with a catalog, a vault, a desk and its chores; it may crash at any moment and come back."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Final

from keyrack.domain.errors import KmipError
from keyrack.domain.instances import Instance
from keyrack.domain.people import Actor
from keyrack.domain.secret import Secret
from keyrack.ports.catalog import CatalogUnavailable
from keyrack.service.batch import Desk
from keyrack.service.care.care import Care
from keyrack.service.care.endings import Endings
from keyrack.service.care.purging import Purging
from keyrack.service.care.reconcile import reconcile
from keyrack.service.care.validation import Heard
from keyrack.service.identity import Peer
from keyrack.service.moves.rewrap import Rewrapped, rewrap_instance
from keyrack.service.office.administration import Administration, Administrator
from keyrack.service.office.keys import Windows
from keyrack.service.office.seals import Seals
from keyrack.service.vault.envelope import Vault
from keyrack.service.vault.lease import Terms
from keyrack.testing.simulation.catalog import NodeCatalog, Road
from keyrack.testing.simulation.key_manager import KeyManagerRoad
from keyrack.testing.simulation.loop import Process
from keyrack.testing.simulation.replay import Broken

if TYPE_CHECKING:
    from keyrack.testing.simulation.world import Somebody, World

TERMS: Final = Terms(outage_grace=120)
WINDOWS: Final = Windows(destroyed=900, purge=120)
CARE_EVERY: Final = 60.0
LOOK_EVERY: Final = 2.0
"""Seconds between two looks at what others have changed; a real node looks eight times as often."""
DEPLOYMENT: Final = "simulated"
INTEGRITY_ROOT: Final = b"integrity root" * 3


class Crashed(Exception):
    """The node died before it answered."""


class Node:
    """One node, through all its lives."""

    def __init__(self, name: str, world: "World", path: Path, random: Random) -> None:
        """It does nothing before :meth:`start`."""
        self.name = name
        self.world = world
        self.skew = 0.0
        """Seconds by which its time of day is wrong."""
        self.leads = False
        """Whether it does the chores that one node does for all."""
        self.lives = 0
        self.troubled_at = 0.0
        """When it last was started, cut off, paused, or slept with all the world."""
        self.process = Process(name)
        self.process.alive = False
        self.road = Road(name, world, random)
        self.key_manager_roads = {
            house.name: KeyManagerRoad(name, house, Random(random.random())) for house in world.houses
        }
        self.pending: dict[asyncio.Future[Any], None] = {}
        self._path = path
        self.catalog: NodeCatalog
        self.vault: Vault
        self.desk: Desk

    @property
    def up(self) -> bool:
        """Whether it answers."""
        return self.process.alive and self.lives > 0

    def clock(self) -> float:
        """The time of day as it sees it, in seconds since 1970."""
        return self.world.time_of_day() + self.skew

    def milliseconds(self) -> int:
        """The same, for administrators."""
        return int(self.clock() * 1000)

    def start(self) -> None:
        """Come to life, with nothing in memory."""
        world = self.world
        self.lives += 1
        self.troubled_at = world.loop.time()
        self.process = Process(self.name)
        self.catalog = NodeCatalog(self._path, f"{self.name}/kmip-0", self.road, world.time_of_day)
        self.vault = Vault(
            self.managers,
            Secret(bytearray(INTEGRITY_ROOT)),
            DEPLOYMENT,
            world.loop.time,
            terms={house.name: TERMS for house in world.houses},
            wrapping_keys=self.catalog.wrapping_key,
            entry_seconds=600,
            randomness=world.randomness,
        )
        self.desk = Desk(self.catalog, self.vault, clock=self.clock, randomness=world.randomness, ticks=world.loop.time)
        chores: list[Callable[[], Coroutine[Any, Any, None]]] = [self._look]
        if self.leads:
            chores += [self._care, self._reconcile, self._purge]
        for chore in chores:
            world.loop.begin(self.process, self._kept_up(self.process, chore))

    def crash(self) -> None:
        """Die."""
        self.process.alive = False
        self.world.buried.append((self.process, self.catalog, self.vault))
        self.catalog.drop()
        for reply in self.pending:
            if not reply.done():
                reply.set_exception(Crashed())
        self.pending.clear()

    @property
    def managers(self) -> Mapping[str, Any]:
        """The key managers as it sees them."""
        return self.key_manager_roads

    def answer(self, frame: bytes, peer: Peer, released: Callable[[bytes | None], None]) -> "asyncio.Future[Any]":
        """Begin to answer a request; ``released`` is called with the answer when it leaves the node."""

        async def answer() -> None:
            reply = await self.desk.answer(frame, peer)
            released(None if reply is None else bytes(reply))

        return self.do(answer())

    def do(self, work: Any) -> "asyncio.Future[Any]":
        """Begin something in the node; what it comes to, or :class:`Crashed`."""
        reply: asyncio.Future[Any] = self.world.loop.create_future()
        self.pending[reply] = None
        self.world.loop.begin(self.process, self._done(work, reply))
        return reply

    async def _done(self, work: Any, reply: "asyncio.Future[Any]") -> None:
        try:
            result = await work
        except Exception as error:  # noqa: BLE001 - it is told to who asked
            if not reply.done():
                reply.set_exception(error)
        else:
            if not reply.done():
                reply.set_result(result)
        finally:
            self.pending.pop(reply, None)

    def office(self, somebody: "Somebody") -> Administration:
        """What a person may do here."""
        actor = Actor(somebody.person.identifier, somebody.person.revision, session=somebody.session)
        administrator = Administrator(
            somebody.person.initiator, "192.0.2.9:1", grants=somebody.person.rights, actor=actor
        )
        return Administration(
            self.catalog,
            self.managers,
            administrator,
            self.milliseconds,
            self.vault,
            randomness=self.world.randomness,
        )

    async def _kept_up(self, process: Process, chore: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await chore()
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody does the chore any more
            if process.alive:
                self.world.fail(Broken("I0", f"{self.name}: {chore.__name__} ends: {error!r}"))

    async def _look(self) -> None:
        seals, endings = Seals(self.catalog, self.vault), Endings(self.catalog, self.vault)
        heard = Heard(self.catalog, self.vault, lambda name: CARE_EVERY, clock=self.clock)
        while True:
            for look in (seals.look, endings.look, heard.look):
                try:
                    await look()
                except CatalogUnavailable:
                    continue
            await asyncio.sleep(LOOK_EVERY)

    async def _care(self) -> None:
        async def rewrap(instance: Instance) -> Rewrapped:
            return await rewrap_instance(self.catalog, self.vault, instance, self.managers, clock=self.milliseconds)

        seconds = {house.name: CARE_EVERY for house in self.world.houses}
        await Care(self.catalog, self.managers, self.vault, seconds=seconds, rewrap=rewrap, clock=self.clock).watch()

    async def _reconcile(self) -> None:
        while True:
            try:
                await reconcile(self.catalog, self.vault, now=int(self.clock()))
            except (KmipError, CatalogUnavailable) as error:
                self.world.note(f"{self.name}: reconciling is put off: {type(error).__name__}")
            await asyncio.sleep(CARE_EVERY)

    async def _purge(self) -> None:
        await Purging(self.catalog, replace(WINDOWS), clock=self.clock, steady=self.world.loop.time, pace=0.01).watch()
