"""Proves that every key can be had back: from the catalog, from its key manager, and from each backup.

Each copy is opened for real and wiped at once. A copy in a backup that is the same bytes as one that has just opened
opens as well, and is not unwrapped again: a night's proof asks a key manager once for each key, however many backups
there are.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256

from keyrack.domain.errors import CryptographicFailure
from keyrack.domain.instances import Instance, WrappingKey
from keyrack.domain.lifecycle import DESTROYED_STATES
from keyrack.ports.catalog import Catalog
from keyrack.ports.cluster import PROOF
from keyrack.ports.cluster import Report as Told
from keyrack.ports.key_manager import KeyManager
from keyrack.service.copies.verify import copy_flaw
from keyrack.service.moves.walk import Progress, Report, silently, walk
from keyrack.service.vault.envelope import Sealed, Vault


@dataclass(frozen=True, slots=True)
class Unproved:
    """A copy that does not open, or is not as it should be."""

    where: str
    """``"catalog"``, ``"key manager"``, or a backup's name."""
    instance: str
    """Its name."""
    unique_identifier: str
    told: str


@dataclass(slots=True, kw_only=True)
class BackupProved:
    """What was found in one backup."""

    name: str
    at: int
    """Of which moment it is, in seconds since 1970; 0 where it cannot be read."""
    keys: int = 0
    """Keys that are not destroyed in it, wrapping keys among them."""
    opened: int = 0
    """Of them, opened just now."""
    same: int = 0
    """Of them, the same bytes as a copy that was opened just now."""
    outlived: int = 0
    """Of them, not to be opened any more, and destroyed or removed since."""
    flaws: Sequence[str] = ()
    """What is wrong with the file itself."""


@dataclass(slots=True, kw_only=True)
class Proved:
    """What it has come to."""

    keys: int = 0
    """Keys that are not destroyed, wrapping keys among them."""
    catalog: int = 0
    """Of them, opened from the catalog's copy."""
    key_manager: int = 0
    """Of them, with a copy in the key manager that is the same or opens, too."""
    alone: int = 0
    """Of them, kept in the catalog and its backups alone, as their instances say."""
    withheld: int = 0
    """Of them, revoked by whoever deleted their standard keys: not opened, whatever for."""
    destroyed: int = 0
    backups: list[BackupProved] = field(default_factory=list)
    failures: list[Unproved] = field(default_factory=list)
    stopped: bool = False
    """So much failed in a row that not every key was looked at."""

    @property
    def well(self) -> bool:
        """Whether every key opens, wherever it is kept."""
        return not (self.failures or self.stopped or any(each.flaws for each in self.backups))

    def report(self, at: int) -> Told:
        """What the catalog remembers of it; ``at`` is seconds since 1970."""
        backups = "no backup" if not self.backups else f"{len(self.backups)} backups"
        backups = "1 backup" if len(self.backups) == 1 else backups
        told = f"{self.catalog} of {self.keys} keys opened from the catalog, {self.key_manager} from key managers too"
        told += f"; {backups} looked at"
        if not self.well:
            spoilt = sum(bool(each.flaws) for each in self.backups)
            told += f"; {len(self.failures)} copies do not open, {spoilt} backups are spoilt"
            told += ", and not every key was looked at" if self.stopped else ""
        return Told(kind=PROOF, at=at, good=self.well, told=told, keys=self.catalog)


class Proving:
    """One proof over a deployment, and then over its backups one by one."""

    def __init__(self, catalog: Catalog, vault: Vault, key_managers: Mapping[str, KeyManager]) -> None:
        """Of this catalog, as it is now."""
        self._catalog = catalog
        self._vault = vault
        self._key_managers = key_managers
        self._opened: set[bytes] = set()
        self.found = Proved()

    async def living(self, *, report: Report = silently, rate: float | None = None) -> Proved:
        """Every key of the catalog, and its copy in the key manager; at most ``rate`` in a second."""
        begun = 0
        for instance in await self._catalog.instances():
            onwards = partial(_onwards, report, begun, len(self.found.failures))
            look = partial(self._look, instance)
            outcome = await walk(self._catalog, instance, look, report=onwards, rate=rate)
            self._failed("catalog", instance, outcome.failures)
            self.found.stopped |= outcome.stopped
            begun += outcome.done
        return self.found

    async def backup(
        self,
        told: BackupProved,
        catalog: Catalog,
        vault_for: Callable[[Catalog], Vault],
        *,
        report: Report = silently,
        rate: float | None = None,
    ) -> None:
        """Every key of the catalog of a backup; ``vault_for`` gives a vault over it, which is closed afterwards."""
        vault, begun = vault_for(catalog), 0
        try:
            for instance in await catalog.instances():
                onwards = partial(_onwards, report, begun, len(self.found.failures))
                look = partial(self._look_within, told, vault, instance)
                outcome = await walk(catalog, instance, look, report=onwards, rate=rate)
                self._failed(told.name, instance, outcome.failures)
                self.found.stopped |= outcome.stopped
                begun += outcome.done
        finally:
            vault.close()
        self.found.backups.append(told)

    async def _look(self, instance: Instance, thing: Sealed) -> bool:
        found = self.found
        if _is_destroyed(thing):
            found.destroyed += 1
            return True
        found.keys += 1
        if thing.withheld_at is not None:
            found.withheld += 1
            return True
        await self._vault.verify(instance, thing)
        found.catalog += 1
        self._opened.add(_digest(thing))
        flawed = await copy_flaw(self._vault, self._key_managers, instance, thing, self._vault.home_of(instance, thing))
        if flawed is None:
            found.key_manager += thing.standard_key is not None
            found.alone += thing.standard_key is None
        elif flawed.other:
            await self._vault.verify(instance, replace(thing, sealed=flawed.other))
            found.key_manager += 1
        else:
            self._failed("key manager", instance, [(thing.unique_identifier, flawed.told)])
        return True

    async def _look_within(self, told: BackupProved, vault: Vault, instance: Instance, thing: Sealed) -> bool:
        if _is_destroyed(thing) or thing.withheld_at is not None:
            return True
        told.keys += 1
        digest = _digest(thing)
        if digest in self._opened:
            told.same += 1
            return True
        try:
            await vault.verify(instance, thing)
        except CryptographicFailure:
            if await self._is_living(thing):
                raise
            told.outlived += 1
        else:
            told.opened += 1
            self._opened.add(digest)
        return True

    async def _is_living(self, thing: Sealed) -> bool:
        """Whether anybody may still want it: what was destroyed since, or went with its instance, may stay closed."""
        if isinstance(thing, WrappingKey):
            return any(each.identifier == thing.instance for each in await self._catalog.instances())
        found = await self._catalog.load(thing.instance, thing.unique_identifier)
        return found is not None and found.state not in DESTROYED_STATES

    def _failed(self, where: str, instance: Instance, failures: Sequence[tuple[str, str]]) -> None:
        self.found.failures += [Unproved(where, instance.name, uid, told) for uid, told in failures]


def _is_destroyed(thing: Sealed) -> bool:
    return not isinstance(thing, WrappingKey) and thing.state in DESTROYED_STATES


def _digest(thing: Sealed) -> bytes:
    # With its owner: the same bytes in another object's place are not that object's key.
    owner = f"{thing.instance}/{thing.unique_identifier}/".encode()
    return sha256(owner + (thing.sealed or b"")).digest()


def _onwards(report: Report, begun: int, failed: int, progress: Progress) -> None:
    """The progress over several instances, one after the other."""
    report(Progress(begun + progress.done, 0, failed + progress.failed, begun + progress.total))
