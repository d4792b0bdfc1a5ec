"""Validation: is the root key of each instance usable just now, has it been rotated, and where not, why not.

One process of a deployment looks; what it has found stands in the catalog, where every process reads it.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from keyrack.domain.errors import KmipError
from keyrack.domain.instances import Home, Instance
from keyrack.domain.journal import Entry
from keyrack.ports.catalog import Catalog, CatalogUnavailable, Validation
from keyrack.ports.key_manager import KeyManager, KeyManagerFailed, Reason, TellsCondition
from keyrack.service.care.inventory import breathing, things
from keyrack.service.vault.envelope import Vault

log = logging.getLogger(__name__)

PATIENCE: Final = 10.0
"""Seconds for which a root key is looked at, before its key manager counts as one that does not answer."""
HEAR_EVERY: Final = 2.0
"""Seconds between two looks of a process at what was found out."""
BEYOND: Final = 30.0
"""Seconds for which a listing of standard keys counts when the next one is late."""
COUNTED_AT_ONCE: Final = 50
"""Wrapped keys that are verified, some 25 microseconds each, before the loop breathes."""
READ_ONLY: Final = "it unwraps and reads, and takes nothing new: the last attempts to keep something there failed"
UNLISTED: Final = "its standard keys could not be looked at"
"""What is told first where the root key is well, and the existence sync has failed."""
_LONGEST_TOLD: Final = 500
_WITHDRAWN: Final = frozenset(
    map(str, (Reason.STATE, Reason.DELETED, Reason.ABSENT, Reason.PERMISSION, Reason.NETWORK))
)
"""Reasons that only a key manager's own word has. ``IDENTITY`` is also said of a file that cannot be read here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one look at a root key has shown."""

    reason: str = ""
    """Empty where all is well; else a value of ``ports.key_manager.Reason``."""
    told: str = ""
    state: int | None = None
    """Key Protect's state of the root key; ``None`` where nobody said."""
    version: str = ""
    """The version that wraps now; empty where nobody said."""


async def look(manager: KeyManager | None, home: Home) -> Look:
    """Look at a root key now; what the key manager raises is in the answer. ``manager`` is that of ``home``."""
    if manager is None:
        return Look(reason=Reason.OTHER, told=f"the key manager {home.key_manager!r} is not configured")
    state, version = None, ""
    try:
        async with asyncio.timeout(PATIENCE):
            described = await manager.describe_root_key(home.root_key)
            state, version = described.state, described.version
            await manager.probe(home.root_key)
    except KeyManagerFailed as error:
        told = f"{error} ({error.code})" if error.code and error.code not in str(error) else str(error)
        return Look(reason=error.reason, told=told[:_LONGEST_TOLD], state=state, version=version)
    except TimeoutError:
        return Look(reason=Reason.UNREACHABLE, told=f"no answer within {PATIENCE:.0f} s", state=state, version=version)
    if isinstance(manager, TellsCondition) and manager.condition().read_only:
        return Look(reason=Reason.READ_ONLY, told=READ_ONLY, state=state, version=version)
    return Look(state=state, version=version)


def found(instance: Instance, seen: Look, before: Validation | None, at: int) -> Validation:
    """What the look means, after what was known ``before``; ``at`` is seconds since 1970.

    ``behind`` and what the existence sync has found are as before: others count them.
    """
    known = before or Validation(instance=instance.identifier, at=at, since=at, behind=0)
    return replace(
        known,
        at=at,
        since=known.since if known.reason == str(seen.reason) else at,
        reason=str(seen.reason),
        told=seen.told,
        root_key_state=known.root_key_state if seen.state is None else seen.state,
        root_key_version=seen.version or known.root_key_version,
    )


async def count_behind(catalog: Catalog, vault: Vault, instance: Instance, version: str) -> int:
    """How many keys at the instance's home are wrapped by another version of its root key than this one.

    Keys that still lie at the home that the instance moves from are not counted: moving them wraps them anew. The loop
    breathes meanwhile.
    """
    behind = 0
    async for thing in breathing(things(catalog, instance), COUNTED_AT_ONCE):
        if thing.sealed is None:
            continue
        try:
            if instance.former is None or vault.home_of(instance, thing) == instance.home:
                behind += vault.wrapped_by(instance, thing) not in {None, version}
        except KmipError:
            continue  # Its wrapped key is not as it should be: a verification tells.
    return behind


def entry(instance: Instance, validation: Validation, before: Validation | None) -> Entry | None:
    """What the journal keeps of it; ``None`` where it has come to the same as before."""
    rotated = before is not None and before.root_key_version not in {"", validation.root_key_version}
    same = before is not None and before.reason == validation.reason
    if (same or (before is None and not validation.reason)) and not rotated:
        return None
    detail: dict[str, str | int] = {"root_key": instance.root_key, "state": validation.root_key_state}
    if validation.told:
        detail["cause"] = f"{validation.reason}: {validation.told}"[:200]
    if rotated:
        detail |= {"version": validation.root_key_version, "behind": validation.behind}
    return Entry(
        at=validation.at * 1000,
        action="instance.validate",
        outcome=validation.reason or "success",
        initiator="keyrack",
        address="local",
        instance=instance.identifier,
        target=instance.root_key,
        detail=detail,
    )


class Heard:
    """One process's part: its vault is told what was found out, whoever has looked."""

    def __init__(
        self,
        catalog: Catalog,
        vault: Vault,
        every: Callable[[str], float],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``every``: seconds between two syncs of a key manager, by its name; ``clock`` is seconds since 1970."""
        self._catalog = catalog
        self._vault = vault
        self._every = every
        self._clock = clock
        self._told: dict[str, int] = {}
        self._withdrawn: dict[str, int] = {}

    async def look(self) -> None:
        """Tell what is new; raises ``CatalogUnavailable``."""
        validations = await self._catalog.validations()
        self._let_go(validations.values())
        fresh = {
            each.instance: each.synced_at
            for each in validations.values()
            if each.synced_at is not None and each.synced_at != self._told.get(each.instance)
        }
        if not fresh:
            return
        now = self._clock()
        for instance in await self._catalog.instances():
            synced_at = fresh.get(instance.identifier)
            if synced_at is None:
                continue
            self._told[instance.identifier] = synced_at
            age = now - synced_at
            holds = self._every(instance.key_manager) + BEYOND - age
            # One that seems to come from the future was written before the time of day was set back: it tells nothing.
            if age >= 0 and holds > 0:
                self._vault.presence.listed(instance.identifier, synced_at, age=age, holds=holds)

    def _let_go(self, validations: Iterable[Validation]) -> None:
        """Let go of what hangs on a root key that was refused to whoever has looked: a key manager that falls silent
        before it has told each process must not be bridged."""
        for each in validations:
            withdrawn = each.reason in _WITHDRAWN and not each.told.startswith(UNLISTED)
            if withdrawn and each.since != self._withdrawn.get(each.instance):
                self._vault.purge(each.instance)
                self._withdrawn[each.instance] = each.since

    async def watch(self) -> None:
        """Look for ever. While the catalog cannot be read, each key's standard key is asked for again soon."""
        while True:
            try:
                await self.look()
            except CatalogUnavailable as error:
                log.debug("validations are not looked at: %s", error)
            await self._catalog.news(HEAR_EVERY)


def every(seconds: Mapping[str, float]) -> Callable[[str], float]:
    """The seconds of a key manager, of whatever instance of it, from those by configured names; 60 where none says."""
    return lambda name: seconds.get(name.partition("/")[0], 60.0)
