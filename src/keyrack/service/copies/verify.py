"""Proves, key by key, that the two copies of every wrapped key are there, agree, and open.

It changes nothing, and what it opens it forgets. A server may serve meanwhile, and keys may come and go.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from typing import Final

from keyrack.domain.errors import CryptographicFailure
from keyrack.domain.instances import Home, Instance, Storage, WrappingKey
from keyrack.domain.lifecycle import DESTROYED_STATES
from keyrack.ports.catalog import Catalog, Leftover
from keyrack.ports.key_manager import KeyManager, KeyManagerRefused, KeyManagerUnavailable
from keyrack.service.copies.copies import Label, belonging, gather, labels
from keyrack.service.copies.strangers import HARMLESS, Stranger, recognised
from keyrack.service.moves.walk import Progress, Report, silently, walk
from keyrack.service.vault import blob as blobs
from keyrack.service.vault.blob import MAC, Blob, Malformed
from keyrack.service.vault.envelope import Sealed, Vault
from keyrack.service.vault.standing import GONE


class Flaw(StrEnum):
    """What can be wrong with a key."""

    CATALOG = "spoilt in the catalog"
    CLOSED = "does not open"
    MISSING = "missing in the key manager"
    WITHHELD = "withheld"
    RETURNED = "withheld, and its standard key is there"
    UNSTORED = "not kept in the key manager"
    GENERATION = "another generation in the key manager"
    MAC = "authenticated by another integrity root in the key manager"
    SPOILT = "spoilt in the key manager"
    FOREIGN = "another key in the key manager"
    UNREAD = "not looked at"


REPAIRABLE: Final = frozenset(
    {Flaw.MISSING, Flaw.WITHHELD, Flaw.UNSTORED, Flaw.GENERATION, Flaw.MAC, Flaw.SPOILT, Flaw.FOREIGN}
)
"""What a new standard key, made of the catalog's copy, mends."""

_PUT_AGAIN = "'keyrack rebuild --from-catalog {instance}' puts the catalog's copy there"
ADVICE: Final[Mapping[Flaw, str]] = {
    Flaw.CATALOG: "'keyrack rebuild --from-key-manager --repair' takes the key manager's copy, where that is well",
    Flaw.CLOSED: "'keyrack key-manager check' tells whether its root key is in order",
    Flaw.MISSING: f"who deleted it has revoked the key; if that was not meant, restore it there, or {_PUT_AGAIN}",
    Flaw.WITHHELD: f"its standard key was deleted; if that was not meant, restore it there, or {_PUT_AGAIN}",
    Flaw.RETURNED: "the server gives it again within a minute",
    Flaw.UNSTORED: _PUT_AGAIN,
    Flaw.GENERATION: _PUT_AGAIN,
    Flaw.MAC: _PUT_AGAIN,
    Flaw.SPOILT: _PUT_AGAIN,
    Flaw.FOREIGN: _PUT_AGAIN,
    Flaw.UNREAD: "run it again when the key manager answers",
}


@dataclass(frozen=True, slots=True)
class Flawed:
    """One key's flaw, and how it shows."""

    flaw: Flaw
    told: str
    other: bytes = field(default=b"", repr=False)
    """The key manager's copy, where it is the same key wrapped at another time."""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One key with which something is wrong."""

    instance: Instance
    unique_identifier: str
    flaw: Flaw
    told: str
    is_wrapping_key: bool = False

    @property
    def advice(self) -> str:
        """What to do about it."""
        return ADVICE[self.flaw].format(instance=self.instance.name)


@dataclass(slots=True, kw_only=True)
class Verified:
    """What was found."""

    quick: bool
    """Nothing was opened."""
    keys: int = 0
    """Looked at, wrapping keys among them."""
    agree: int = 0
    in_catalog_alone: int = 0
    """Of those that agree: their instance keeps no standard keys."""
    destroyed: int = 0
    """Destroyed objects, whose copies nobody needs."""
    disagreements: list[Disagreement] = field(default_factory=list)
    strangers: list[Stranger] = field(default_factory=list)
    leftovers: Sequence[Leftover] = ()
    stopped: bool = False
    """So much failed in a row that not every key was looked at."""

    @property
    def well(self) -> bool:
        """Whether every key has all its copies and opens, and no key lies about that the catalog lacks."""
        strange = [each for each in self.strangers if each.kind not in HARMLESS]
        return not (self.disagreements or strange or self.stopped)

    @property
    def flaws(self) -> Counter[Flaw]:
        """How many keys have each flaw."""
        return Counter(each.flaw for each in self.disagreements)


class Verification:
    """Looks at the keys of some instances, or of all."""

    def __init__(
        self,
        catalog: Catalog,
        vault: Vault,
        key_managers: Mapping[str, KeyManager],
        *,
        deployment: str,
        quick: bool = False,
    ) -> None:
        """With ``quick`` nothing is opened."""
        self._catalog = catalog
        self._vault = vault
        self._key_managers = key_managers
        self._deployment = deployment
        self._found = Verified(quick=quick)

    async def run(
        self, instances: Sequence[Instance], *, report: Report = silently, rate: float | None = None
    ) -> Verified:
        """Look at each key, at most ``rate`` in a second; then at what is left in the key managers.

        Raises the key manager's two failures where one does not even list its standard keys.
        """
        named = {home.key_manager for instance in instances for home in _homes(instance)}
        listed = await labels({name: manager for name in named if (manager := self._key_managers.get(name))})
        begun = Progress(0, 0, 0, 0)
        for instance in instances:
            outcome = await walk(
                self._catalog,
                instance,
                partial(self._look, instance),
                report=partial(_onwards, report, begun),
                rate=rate,
            )
            for unique_identifier, told in outcome.failures:
                self._disagree(instance, unique_identifier, Flawed(Flaw.UNREAD, told))
            self._found.stopped |= outcome.stopped
            begun = replace(begun, done=begun.done + outcome.done, failed=len(self._found.disagreements))
        self._found.leftovers = [each for each in await self._catalog.leftovers() if _is_of(each, instances)]
        await self._look_at_strangers(listed, {instance.identifier for instance in instances})
        return self._found

    async def _look(self, instance: Instance, thing: Sealed) -> bool:
        """Count what is found; ``True``, so that a walk takes only what could not be looked at for a failure."""
        flawed = await self._flawed(instance, thing)
        self._found.keys += 1
        if flawed is not None:
            self._disagree(instance, thing.unique_identifier, flawed, is_wrapping_key=isinstance(thing, WrappingKey))
        elif not isinstance(thing, WrappingKey) and thing.state in DESTROYED_STATES:
            self._found.destroyed += 1
        else:
            self._found.agree += 1
            self._found.in_catalog_alone += thing.standard_key is None
        return True

    async def _flawed(self, instance: Instance, thing: Sealed) -> Flawed | None:
        try:
            home = self._vault.home_of(instance, thing)
        except CryptographicFailure as error:
            return Flawed(Flaw.CATALOG, str(error))
        if not isinstance(thing, WrappingKey) and thing.state in DESTROYED_STATES:
            return None
        flawed = await copy_flaw(self._vault, self._key_managers, instance, thing, home)
        # What the customer has revoked is not opened, whatever for.
        if self._found.quick or thing.withheld_at is not None or (flawed and flawed.flaw is Flaw.MISSING):
            return flawed
        try:
            await self._vault.verify(instance, thing)
        except CryptographicFailure as error:
            return Flawed(Flaw.CLOSED, str(error))
        if flawed and flawed.other:
            try:
                await self._vault.verify(instance, replace(thing, sealed=flawed.other))
            except CryptographicFailure as error:
                return Flawed(Flaw.SPOILT, f"its standard key was wrapped at another time, and does not open: {error}")
        return flawed

    async def _look_at_strangers(self, listed: Sequence[Label], instances: Collection[str]) -> None:
        """Whatever was listed and is in no books, told by what it says of itself.

        Where not all instances were looked at, of these alone.
        """
        every = all(each.identifier in instances for each in await self._catalog.instances())
        known = await belonging(self._catalog)
        making = {intent.unique_identifier for intent in await self._catalog.intents()}
        unknown = [label for label in listed if label.identifier not in known and label.unique_identifier not in making]
        gathered = await gather(self._key_managers, unknown)
        for copy in gathered.copies:
            if not every and (copy.blob is None or copy.blob.header.instance not in instances):
                continue
            found = await recognised(self._catalog, self._vault, self._deployment, copy)
            if found is not None:
                self._found.strangers.append(found)
        self._found.stopped |= bool(gathered.failures)

    def _disagree(
        self, instance: Instance, unique_identifier: str, flawed: Flawed, *, is_wrapping_key: bool = False
    ) -> None:
        self._found.disagreements.append(
            Disagreement(instance, unique_identifier, flawed.flaw, flawed.told, is_wrapping_key)
        )


async def copy_flaw(
    vault: Vault, key_managers: Mapping[str, KeyManager], instance: Instance, thing: Sealed, home: Home
) -> Flawed | None:
    """What is wrong with the standard key of an authentic wrapped key, and how it shows; ``None`` where it is well.

    Raises ``KeyManagerUnavailable``, and ``KeyManagerRefused`` where it may not be read.
    """
    if thing.standard_key is None:
        return None if instance.storage is Storage.CATALOG else Flawed(Flaw.UNSTORED, "it has no standard key")
    try:
        payload = (await _manager(key_managers, home).get_standard_key(thing.standard_key)).payload
    except KeyManagerRefused as error:
        if error.reason not in GONE:
            raise
        return Flawed(Flaw.MISSING if thing.withheld_at is None else Flaw.WITHHELD, str(error))
    if thing.withheld_at is not None:
        return Flawed(Flaw.RETURNED, "its standard key was restored")
    return _compared(vault, thing, payload)


def _compared(vault: Vault, thing: Sealed, payload: bytes) -> Flawed | None:
    sealed = thing.sealed or b""
    if payload == sealed:
        return None
    if payload[:-MAC] == sealed[:-MAC]:
        return Flawed(Flaw.MAC, "the same key, with a MAC that is not this deployment's")
    try:
        mine, other = blobs.parse(sealed), blobs.parse(payload)
    except Malformed as error:
        return Flawed(Flaw.SPOILT, f"its standard key is not a wrapped key any more: {error}")
    if _owner(mine) != _owner(other):
        told = f"object {other.header.context.unique_identifier} of instance {other.header.instance}"
        return Flawed(Flaw.FOREIGN, f"its standard key is a copy of {told}")
    if not vault.wrapping.is_authentic(other):
        return Flawed(Flaw.SPOILT, "its standard key has a MAC that is not this deployment's: it was changed")
    return Flawed(Flaw.GENERATION, "the same key, wrapped at another time", payload)


def _owner(blob: Blob) -> Collection[str]:
    header = blob.header
    return header.deployment, header.instance, header.context.unique_identifier


def _manager(key_managers: Mapping[str, KeyManager], home: Home) -> KeyManager:
    manager = key_managers.get(home.key_manager)
    if manager is None:
        raise KeyManagerUnavailable(f"the key manager {home.key_manager} is not configured")
    return manager


def _homes(instance: Instance) -> Sequence[Home]:
    return [instance.home] if instance.former is None else [instance.home, instance.former]


def _is_of(leftover: Leftover, instances: Sequence[Instance]) -> bool:
    return any(leftover.instance == instance.identifier for instance in instances)


def _onwards(report: Report, begun: Progress, progress: Progress) -> None:
    """The progress over several instances, one after the other."""
    report(Progress(begun.done + progress.done, 0, begun.failed + progress.failed, begun.done + progress.total))
