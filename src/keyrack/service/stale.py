"""Serving stale: for a bounded time a node that is cut off from the catalog gives out keys that it has in memory.

Only where the configuration says so. A client whose certificate was pinned when the catalog was last seen may Get what
it, or another client of its instance, has got before; each Get is written to a synced file of this machine first. All
else is refused. What was removed meanwhile counts when the time is over, or the catalog is back, whichever is first.
When it is back, what stands in the file enters the journal before anything else of this process.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import fields, replace
from secrets import token_hex
from typing import Any, Final, Protocol, cast

from keyrack.domain.errors import GeneralFailure
from keyrack.domain.instances import Admittance, Instance, Principal
from keyrack.domain.journal import Entry
from keyrack.domain.objects import ManagedObject
from keyrack.domain.secret import Secret
from keyrack.ports.catalog import Catalog, CatalogUnavailable, NotAuthorised, Unit
from keyrack.service.batch import Desk
from keyrack.service.identity import Peer
from keyrack.service.vault.envelope import Vault, steady_clock

log = logging.getLogger(__name__)

MARK: Final = "stale"
"""What the detail of such an entry has besides: a word for the outage and a number, which tell one that came twice."""
MOST_KNOWN: Final = 50_000
"""Objects that are remembered as they were seen last."""
BATCH: Final = 200
_HARMLESS: Final = frozenset({"entries", "principal", "seen", "seen_instances", "recovers"})
_CHANGES: Final = [each.name for each in fields(Unit) if each.name not in _HARMLESS]


class Spool(Protocol):
    """A file of this machine."""

    def append(self, entries: Sequence[Entry]) -> None:
        """Durable when it returns; raises ``OSError``."""
        ...

    def entries(self) -> Sequence[Entry]:
        """All of them, in their order; raises ``OSError``."""
        ...

    def clear(self) -> None:
        """Durable when it returns; raises ``OSError``."""
        ...


class Known(Protocol):
    """What was last seen of who is let in."""

    @property
    def owners(self) -> Mapping[str, str]:
        """Identifiers of instances by the fingerprints of certificates that are pinned for them and in force."""
        ...

    @property
    def serving(self) -> Mapping[str, Instance]:
        """Instances that serve, by identifier."""
        ...


class Stale:
    """One process's part. It is asked in the place of the desk while it is :attr:`active`."""

    def __init__(
        self,
        desk: Desk,
        vault: Vault,
        known: Known,
        spool: Spool,
        *,
        seconds: float,
        clock: Callable[[], float] = steady_clock,
    ) -> None:
        """Stand in for ``desk`` for at most so many ``seconds`` since the catalog was last heard of."""
        self._desk, self._vault, self._known, self._spool = desk, vault, known, spool
        self._seconds, self._clock = seconds, clock
        self._heard = clock()
        self._objects: OrderedDict[str, ManagedObject] = OrderedDict()
        self._turn = asyncio.Lock()
        self._waiting = True
        """Whether there may be entries that are not in the journal yet: of a process that has died, too."""
        self._entering: Unit | None = None
        self._outage, self._count = "", 0
        self._stand_in: Desk | None = None
        if seconds:
            desk.executor.noting = self.note

    @property
    def active(self) -> bool:
        """Whether it stands in just now."""
        return self._stand_in is not None

    @property
    def over(self) -> bool:
        """Whether the time is over."""
        return self._clock() - self._heard >= self._seconds

    def heard(self) -> None:
        """The catalog answers."""
        self._heard = self._clock()

    def note(self, managed: ManagedObject) -> None:
        """Remember an object that is being opened for a client."""
        self._objects[managed.unique_identifier] = managed
        self._objects.move_to_end(managed.unique_identifier)
        while len(self._objects) > MOST_KNOWN:
            self._objects.popitem(last=False)

    def begin(self) -> None:
        """Stand in from now on."""
        self._outage, self._count = token_hex(4), 0
        catalog, vault = _Remembered(self), _Warm(self._vault)
        # All that a Get asks of them is there; whatever else is asked is refused.
        self._stand_in = Desk(cast(Catalog, catalog), cast(Vault, vault), meter=self._desk.meter)

    def end(self) -> None:
        """Stand in no more."""
        self._stand_in = None

    async def answer(self, frame: bytes, peer: Peer) -> bytearray | None:
        """As the desk does, or in its place."""
        return await (self._stand_in or self._desk).answer(frame, peer)

    # What the stand-in asks ------------------------------------------------------------------------------------------

    def principal(self, fingerprint: str) -> Principal:
        """Raises ``NotAuthorised``."""
        instance = self._known.owners.get(fingerprint)
        if instance is None or instance not in self._known.serving:
            raise NotAuthorised("the certificate was not pinned for an instance when the catalog was last seen")
        return Principal(fingerprint=fingerprint, instance=instance)

    def instances(self) -> Sequence[Instance]:
        """As they were seen last."""
        return list(self._known.serving.values())

    def object(self, instance: str, unique_identifier: str) -> ManagedObject:
        """As it was seen last; raises ``CatalogUnavailable``."""
        managed = self._objects.get(unique_identifier)
        if managed is None or managed.instance != instance:
            raise CatalogUnavailable("the catalog cannot be reached, and the object is not known here")
        return managed

    async def keep(self, unit: Unit) -> None:
        """Write down what is about to be handed out; raises ``CatalogUnavailable`` for anything but a Get in time."""
        gets = bool(unit.entries) and all(each.action == "Get" and each.outcome == "success" for each in unit.entries)
        if not gets or unit.principal is None or any(getattr(unit, name) for name in _CHANGES):
            raise CatalogUnavailable("the catalog cannot be reached")
        async with self._turn:
            # Asked within the turn: what is written after the end of the time, or after the catalog is back, is not.
            if not self.active or self.over:
                raise CatalogUnavailable("the catalog cannot be reached, and the time without it is over")
            self._waiting = True
            marked = []
            for entry in unit.entries:
                self._count += 1
                marked.append(replace(entry, detail={**entry.detail, MARK: f"{self._outage}-{self._count}"}))
            try:
                await asyncio.to_thread(self._spool.append, marked)
            except OSError as error:
                raise CatalogUnavailable(f"what is handed out without the catalog cannot be kept: {error}") from error

    # Back ------------------------------------------------------------------------------------------------------------

    def check(self, unit: Unit) -> None:
        """Raise ``CatalogUnavailable`` for a unit that would stand in the journal before what was handed out stale."""
        if self._waiting and unit.entries and unit is not self._entering:
            raise CatalogUnavailable("what was handed out without the catalog enters the journal first")

    async def enter(self, commit: Callable[[Unit], Awaitable[None]]) -> int:
        """Bring what stands in the file into the journal; how many entries. Raises ``CatalogUnavailable``.

        What was brought in and not yet cleared, when a process dies just then, comes a second time under the same mark.
        """
        self.end()
        async with self._turn:
            if not self._waiting:
                return 0
            try:
                entries = await asyncio.to_thread(self._spool.entries)
                for begin in range(0, len(entries), BATCH):
                    self._entering = Unit(entries=entries[begin : begin + BATCH])
                    await commit(self._entering)
                if entries:
                    await asyncio.to_thread(self._spool.clear)
            except OSError as error:
                raise CatalogUnavailable(f"what was handed out without the catalog cannot be read: {error}") from error
            finally:
                self._entering = None
            self._waiting = False
        if entries:
            log.warning("what was handed out without the catalog is in the journal", extra={"entries": len(entries)})
        return len(entries)


class _Remembered:
    """What a Get asks of a catalog, from memory."""

    def __init__(self, stale: Stale) -> None:
        self._stale = stale

    async def authorise(self, fingerprint: str, admittance: Admittance | None = None) -> Principal:
        return self._stale.principal(fingerprint)

    async def instances(self) -> Sequence[Instance]:
        return self._stale.instances()

    async def load(self, instance: str, unique_identifier: str) -> ManagedObject:
        return self._stale.object(instance, unique_identifier)

    async def commit(self, unit: Unit) -> None:
        await self._stale.keep(unit)

    def __getattr__(self, name: str) -> Any:
        async def refused(*_: Any, **__: Any) -> Any:
            raise CatalogUnavailable("the catalog cannot be reached")

        return refused


class _Warm:
    """What a Get asks of a vault, which opens nothing that is not open."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self.cached, self.forget = vault.cached, vault.forget

    async def open(self, instance: Instance, managed: ManagedObject) -> Secret:
        secret = await self._vault.warm(instance, managed)
        if secret is None:
            raise GeneralFailure("the catalog cannot be reached, and the key is not in memory here")
        return secret
