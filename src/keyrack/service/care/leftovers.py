"""Leftovers: standard keys that a key has had before it was wrapped anew, or purged; remembered until they are deleted.

These alone does Keyrack ever delete by itself. One whose deletion is refused, as the role Writer is, stays remembered.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from keyrack.domain.journal import Entry
from keyrack.ports.catalog import Catalog, Leftover, Unit
from keyrack.ports.key_manager import KeyManager, KeyManagerRefused, KeyManagerUnavailable
from keyrack.service.vault.homes import cause_of

log = logging.getLogger(__name__)

SETTLED: Final = 60
"""Seconds after which whoever switched away from a standard key has had the time to delete it; and who read the old
state of its key has answered."""
AGAIN_AFTER: Final = 3600.0
"""Seconds until a key manager that has refused a deletion is asked again: each refusal stands in its audit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleared:
    """What one round has done."""

    deleted: int = 0
    refused: int = 0
    """Key managers that have refused, in this round or within the last hour."""


class Leftovers:
    """Deletes them, in one process of the deployment; two of them do no harm."""

    def __init__(
        self, catalog: Catalog, key_managers: Mapping[str, KeyManager], clock: Callable[[], float] = time.time
    ) -> None:
        """``clock`` is seconds since 1970."""
        self._catalog = catalog
        self._key_managers = key_managers
        self._clock = clock
        self._refused: dict[str, float] = {}

    async def clear(self, configured: str | None = None) -> Cleared:
        """Delete what is old enough, in the key manager of this configured name or in all.

        A key manager that refuses or does not answer keeps its others for a later round. Raises ``CatalogUnavailable``.
        """
        now, deleted = self._clock(), 0
        resting = self._resting()
        for leftover in await self._catalog.leftovers():
            name = leftover.key_manager
            meant = configured in {None, name.partition("/")[0]}
            if not meant or name in resting or not leftover.at + SETTLED <= now:
                continue
            manager = self._key_managers.get(name)
            if manager is None or not await self._deleted(manager, leftover):
                resting.add(name)
            else:
                deleted += 1
        return Cleared(deleted=deleted, refused=len(resting & self._refused.keys()))

    async def delete(self, leftover: Leftover) -> bool:
        """Delete one now, unless its key manager has refused within the last hour; whether it is gone."""
        manager = self._key_managers.get(leftover.key_manager)
        if manager is None or leftover.key_manager in self._resting():
            return False
        return await self._deleted(manager, leftover)

    def _resting(self) -> set[str]:
        """Key managers that have refused not long ago."""
        now = self._clock()
        return {name for name, at in self._refused.items() if at <= now < at + AGAIN_AFTER}

    async def _deleted(self, manager: KeyManager, leftover: Leftover) -> bool:
        """Delete one and forget it; ``False`` where the key manager does not."""
        if await self._is_used(leftover):
            # Somebody has switched back to it: it is nobody's leftover any more.
            await self._catalog.commit(Unit(entries=(self._entry(leftover, "ended"),), cleared=(leftover,)))
            return True
        try:
            await manager.delete_standard_key(leftover.standard_key)
        except KeyManagerRefused as error:
            self._refused[leftover.key_manager] = self._clock()
            log.warning("key manager %s refuses to delete a standard key: %s", leftover.key_manager, error)
            await self._catalog.commit(Unit(entries=(self._entry(leftover, "refused", cause_of(error)),)))
            return False
        except KeyManagerUnavailable as error:
            log.warning("the deletion of standard keys of %s is put off: %s", leftover.key_manager, error)
            return False
        self._refused.pop(leftover.key_manager, None)
        await self._catalog.commit(Unit(entries=(self._entry(leftover, "success"),), cleared=(leftover,)))
        return True

    async def _is_used(self, leftover: Leftover) -> bool:
        managed = await self._catalog.load(leftover.instance, leftover.unique_identifier)
        wrapping_key = await self._catalog.wrapping_key(leftover.instance)
        used = {each.standard_key for each in (managed, wrapping_key) if each is not None}
        # Identifiers are a key manager's own; that two of them give the same is no reason to delete.
        return leftover.standard_key in used

    def _entry(self, leftover: Leftover, outcome: str, cause: str = "") -> Entry:
        detail: dict[str, str | int] = {
            "key_manager": leftover.key_manager,
            "standard_key": leftover.standard_key,
            "why": leftover.why,
        }
        return Entry(
            at=int(self._clock() * 1000),
            action="standard-key.delete",
            outcome=outcome,
            initiator="keyrack",
            address="local",
            instance=leftover.instance,
            target=leftover.unique_identifier,
            detail=detail | {"cause": cause} if cause else detail,
        )
