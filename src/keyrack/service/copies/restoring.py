"""Puts standard keys that are missing or spoilt into the key manager again, from the catalog's copies.

A standard key that is gone may be the customer's revocation: whoever calls this has asked. What it takes the place of
is left for deletion where it is certainly the same object's; what is spoilt or another's stays where it is.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from keyrack.domain.errors import CryptographicFailure, KmipError
from keyrack.domain.instances import Home, Instance, Storage, WrappingKey
from keyrack.domain.lifecycle import DESTROYED_STATES
from keyrack.ports.catalog import Catalog, Conflict, Leftover
from keyrack.ports.key_manager import KeyManager, KeyManagerFailed
from keyrack.service.copies.copies import gather, labels
from keyrack.service.copies.entering import names_of
from keyrack.service.copies.verify import REPAIRABLE, Flaw, Flawed, copy_flaw
from keyrack.service.moves.walk import Outcome, Report, silently, walk
from keyrack.service.office.administration import Administration
from keyrack.service.office.refusals import Refused
from keyrack.service.vault.envelope import Sealed, Vault

ACTION = "key.rebuild"


@dataclass(frozen=True, slots=True)
class Due:
    """A key whose standard key is to be put again."""

    thing: Sealed
    flawed: Flawed

    @property
    def revoked(self) -> bool:
        """Whether its standard key was deleted, by whomever: it may be meant so."""
        return self.flawed.flaw in {Flaw.MISSING, Flaw.WITHHELD}

    @property
    def born(self) -> int:
        """When it was made, in seconds since 1970."""
        thing = self.thing
        return thing.created_at if isinstance(thing, WrappingKey) else thing.value("Initial Date") or 0

    @property
    def name(self) -> str:
        """What its client calls it."""
        if isinstance(self.thing, WrappingKey):
            return "the wrapping key"
        return next(iter(names_of(self.thing)), "")


class Restoring:
    """The standard keys of one instance."""

    def __init__(
        self,
        catalog: Catalog,
        administration: Administration,
        vault: Vault,
        key_managers: Mapping[str, KeyManager],
        instance: Instance,
        *,
        clock: Callable[[], float],
    ) -> None:
        """``clock`` is seconds since 1970. Raises ``Refused`` for an instance that keeps no standard keys."""
        if instance.storage is Storage.CATALOG:
            raise Refused(
                f"instance {instance.name!r} keeps its wrapped keys in the catalog alone; "
                f"'keyrack instance storage set {instance.name} key_manager' keeps them in the key manager too"
            )
        self._catalog = catalog
        self._administration = administration
        self._vault = vault
        self._key_managers = key_managers
        self._instance = instance
        self._clock = clock
        self._kept: dict[tuple[str, bytes], str] = {}

    async def look(self, *, report: Report = silently, rate: float | None = None) -> tuple[Sequence[Due], Outcome]:
        """What is missing or spoilt, in the order of creation; the outcome tells what could not be looked at."""
        due: list[Due] = []
        spoilt: list[tuple[str, str]] = []

        async def act(thing: Sealed) -> bool:
            try:
                flawed = await self._flawed(thing)
            except CryptographicFailure as error:
                # The catalog's own copy: however many there are, the others are looked at.
                spoilt.append((thing.unique_identifier, str(error)))
                return True
            if flawed is not None:
                due.append(Due(thing, flawed))
            return True

        outcome = await walk(self._catalog, self._instance, act, report=report, rate=rate)
        return sorted(due, key=lambda each: each.born), replace(outcome, failures=(*outcome.failures, *spoilt))

    async def put_again(self, due: Sequence[Due], *, report: Report = silently, rate: float | None = None) -> Outcome:
        """Put what ``look`` has found, if it is still so, and give it again in the same commit that knows of it."""
        wanted = {each.thing.unique_identifier for each in due}
        await self._look_for_kept(wanted)
        before = await self._put_wrapping_key(wanted)
        outcome = await walk(
            self._catalog,
            self._instance,
            self._put,
            due=lambda thing: thing.unique_identifier in wanted,
            report=report,
            rate=rate,
        )
        return replace(outcome, changed=outcome.changed + before)

    async def _put_wrapping_key(self, wanted: set[str]) -> int:
        """Before the keys that lie under it, which open only once it is there; how many were put."""
        wrapping_key = await self._catalog.wrapping_key(self._instance.identifier)
        if wrapping_key is None or wrapping_key.unique_identifier not in wanted:
            return 0
        try:
            return int(await self._put(wrapping_key))
        except (KmipError, Conflict, KeyManagerFailed):
            return 0  # The walk comes to it once more, and tells.

    async def _flawed(self, thing: Sealed) -> Flawed | None:
        if not isinstance(thing, WrappingKey) and thing.state in DESTROYED_STATES:
            return None
        home = self._vault.home_of(self._instance, thing)
        flawed = await copy_flaw(self._vault, self._key_managers, self._instance, thing, home)
        return flawed if flawed and flawed.flaw in REPAIRABLE else None

    async def _look_for_kept(self, wanted: set[str]) -> None:
        """Standard keys that a run has put which was broken off before its commit: to put others would double them."""
        listed = [label for label in await labels(self._of_instance()) if label.unique_identifier in wanted]
        for copy in (await gather(self._key_managers, listed)).copies:
            self._kept[copy.label.key_manager, copy.payload] = copy.label.identifier

    def _of_instance(self) -> Mapping[str, KeyManager]:
        homes = [self._instance.home, *([self._instance.former] if self._instance.former else [])]
        return {home.key_manager: self._key_managers[home.key_manager] for home in homes}

    async def _put(self, thing: Sealed) -> bool:
        flawed = await self._flawed(thing)
        if flawed is None:
            return False
        # Nothing is put that would not be served: it is opened first.
        await self._vault.verify(self._instance, thing)
        home = self._vault.home_of(self._instance, thing)
        if thing.sealed is None:
            raise CryptographicFailure("it was destroyed meanwhile")
        uid = thing.unique_identifier
        standard_key = self._kept.get((home.key_manager, thing.sealed))
        if standard_key is None:
            standard_key = await self._vault.put(home, thing.sealed, uid)
            self._kept[home.key_manager, thing.sealed] = standard_key  # For the case that the commit comes to nothing.
        changed = thing.changed(standard_key=standard_key, withheld_at=None)
        detail = {"from": "catalog", "standard_key": standard_key, "why": str(flawed.flaw)}
        changes: dict[str, Any] = {"leftovers": self._leftovers(thing, home, flawed.flaw)}
        if isinstance(changed, WrappingKey):
            # The touch moves the generation: every process looks, and gives the instance's keys again.
            changes |= {"wrapping_keys": (changed,), "touched": self._administration.touched(thing.instance)}
        else:
            changes["updated"] = (changed,)
        await self._administration.commit(ACTION, thing.instance, uid, detail, **changes)
        self._vault.forget(uid)
        return True

    def _leftovers(self, thing: Sealed, home: Home, flaw: Flaw) -> Sequence[Leftover]:
        if flaw not in {Flaw.MAC, Flaw.GENERATION} or thing.standard_key is None:
            return ()
        former = Leftover(
            key_manager=home.key_manager,
            standard_key=thing.standard_key,
            instance=thing.instance,
            unique_identifier=thing.unique_identifier,
            why="restored",
            at=int(self._clock()),
        )
        return (former,)
