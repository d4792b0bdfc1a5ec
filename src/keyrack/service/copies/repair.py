"""Mends wrapped keys that are spoilt in the catalog, from the key manager's copies; all else of the objects stays.

Where the integrity root was lost, nothing in the catalog is authentic any more. Then each key is opened, which proves
it by strings, hash and key check value, and authenticated anew.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from keyrack.domain.errors import CryptographicFailure
from keyrack.domain.instances import Instance, WrappingKey
from keyrack.ports.catalog import Catalog
from keyrack.ports.key_manager import KeyManager
from keyrack.service.copies.copies import Label, gather, labels
from keyrack.service.moves.walk import Outcome, Report, silently, things, walk
from keyrack.service.office.administration import Administration
from keyrack.service.vault import blob as blobs
from keyrack.service.vault.blob import Malformed
from keyrack.service.vault.envelope import Sealed, Vault

ACTION = "key.rebuild"


class Repair:
    """Of one instance."""

    def __init__(
        self,
        catalog: Catalog,
        administration: Administration,
        vault: Vault,
        key_managers: Mapping[str, KeyManager],
        instance: Instance,
        *,
        accepts_any_mac: bool = False,
        dry_run: bool = False,
    ) -> None:
        """With ``accepts_any_mac`` keys of another integrity root are authenticated anew."""
        self._catalog = catalog
        self._administration = administration
        self._vault = vault
        self._key_managers = key_managers
        self._instance = instance
        self._accepts_any_mac = accepts_any_mac
        self._dry_run = dry_run
        self._listed: dict[str, list[Label]] = {}

    async def run(self, *, report: Report = silently, rate: float | None = None) -> Outcome:
        """Mend what is spoilt. The outcome's ``changed`` counts it; raises the key manager's failures of a listing."""
        homes = [self._instance.home, *([self._instance.former] if self._instance.former else [])]
        managers = {home.key_manager: self._key_managers[home.key_manager] for home in homes}
        for label in await labels(managers):
            self._listed.setdefault(label.unique_identifier, []).append(label)
        before = await self._mend_wrapping_key()
        outcome = await walk(
            self._catalog,
            self._instance,
            self._mend,
            due=lambda thing: not self._is_well(thing),
            report=report,
            rate=rate,
        )
        return replace(outcome, changed=outcome.changed + before)

    async def _mend_wrapping_key(self) -> int:
        """Before everything that lies under it; how many were mended."""
        wrapping_key = await self._catalog.wrapping_key(self._instance.identifier)
        if wrapping_key is None or self._is_well(wrapping_key) or self._dry_run:
            return 0
        try:
            return int(await self._mend(wrapping_key))
        except CryptographicFailure:
            return 0  # The walk comes to it once more, and tells.

    def _is_well(self, thing: Sealed) -> bool:
        try:
            self._vault.home_of(self._instance, thing)
        except CryptographicFailure:
            return False
        return True

    async def _mend(self, thing: Sealed) -> bool:
        told: dict[str, None] = {}
        for sealed, standard_key in await self._candidates(thing):
            mended = replace(thing, sealed=sealed)
            try:
                await self._vault.verify(self._instance, mended)
            except CryptographicFailure as error:
                told[str(error)] = None
                continue
            if not self._dry_run:
                await self._commit(thing, sealed, standard_key)
            return True
        raise CryptographicFailure("no copy of it is well: " + ("; ".join(told) or "there is none"))

    async def _candidates(self, thing: Sealed) -> Sequence[tuple[bytes, str | None]]:
        """What may be its wrapped key, each with the standard key that it is kept as: first the catalog's own."""
        gathered = await gather(self._key_managers, self._listed.get(thing.unique_identifier, []))
        found = [(copy.payload, copy.label.identifier) for copy in gathered.copies]
        # Of several, the one that the object knows of.
        found.sort(key=lambda each: each[1] != thing.standard_key)
        own = [(thing.sealed, thing.standard_key)] if self._accepts_any_mac and thing.sealed else []
        return [(self._authentic(sealed), standard_key) for sealed, standard_key in (*own, *found)]

    def _authentic(self, sealed: bytes) -> bytes:
        """With a MAC of our own, if that is wanted; whether it is true is found out by opening it."""
        try:
            blob = blobs.parse(sealed)
        except Malformed:
            return sealed
        wrapping = self._vault.wrapping
        anew = self._accepts_any_mac and not wrapping.is_authentic(blob)
        return wrapping.authenticated_anew(blob) if anew else sealed

    async def _commit(self, thing: Sealed, sealed: bytes, standard_key: str | None) -> None:
        fields: dict[str, Any] = {"sealed": sealed, "standard_key": standard_key}
        changed = thing.changed(**fields)
        changes: dict[str, Any] = (
            {"wrapping_keys": (changed,)} if isinstance(changed, WrappingKey) else {"updated": (changed,)}
        )
        detail = {"from": "key manager", "standard_key": standard_key or ""}
        await self._administration.commit(ACTION, thing.instance, thing.unique_identifier, detail, **changes)
        self._vault.forget(thing.unique_identifier)


async def is_root_lost(catalog: Catalog, vault: Vault) -> bool:
    """Whether nothing in the catalog is authentic: the integrity root that made it is another one."""
    for instance in await catalog.instances():
        async for thing in things(catalog, instance):
            try:
                vault.wrapping.verified(instance.identifier, thing.sealed)
                return False
            except CryptographicFailure:
                continue
    return True
