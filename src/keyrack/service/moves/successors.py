"""A successor in the place of a wrapped key: made and verified, kept and compared, switched to, and then only the old
standard key deleted.

The switch is one commit: the object, the old standard key as a leftover, the journal. A crash before it leaves the old
as it was, and at most a standard key that no object has, which the next run takes up; a crash after it leaves a
leftover.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from keyrack.domain.errors import CryptographicFailure, PermissionDenied
from keyrack.domain.instances import Instance, WrappingKey
from keyrack.domain.lifecycle import DESTROYED_STATES
from keyrack.ports.catalog import Catalog, CatalogUnavailable, Conflict, InstanceChanged, Leftover, Unit
from keyrack.ports.key_manager import KeyManager, KeyManagerRefused
from keyrack.service.care.leftovers import Leftovers
from keyrack.service.moves.walk import ATTEMPTS, current
from keyrack.service.office.administration import Administration
from keyrack.service.office.refusals import Refused
from keyrack.service.vault.blob import Blob
from keyrack.service.vault.envelope import Sealed, Vault
from keyrack.service.vault.standard_keys import PREFIX, unique_identifier_of
from keyrack.service.vault.standing import Revoked, confirm


class Overtaken(Refused):
    """Another command has changed meanwhile where the keys of the instance are wrapped or kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What wrapping anew stands on; ``clock`` answers milliseconds since 1970."""

    catalog: Catalog
    vault: Vault
    key_managers: Mapping[str, KeyManager]
    administration: Administration
    """Acts in the name of whoever wants it done."""
    clock: Callable[[], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What takes the place of wrapped keys, and why."""

    action: str
    """As the journal names it."""
    why: str
    """What the leftover says of the old standard key."""
    make: Callable[[Instance, Sealed], Awaitable[bytes]]
    """The new wrapped key, which was opened and compared already."""
    fits: Callable[[Instance, Blob], bool]
    """Whether an authentic wrapped key of the same object is what :attr:`make` would make."""
    stored: bool
    """The successor is kept in the key manager as well."""
    former_stays: bool = False
    """The old standard key stays where it is, and nobody remembers it."""
    detail: Mapping[str, str | int] = field(default_factory=dict)
    """For the journal."""


class Successors:
    """Puts successors in the place of the wrapped keys of one instance; any number of them may do so at once."""

    def __init__(self, ground: Ground, instance: Instance, change: Change) -> None:
        """``instance`` as it is in the catalog."""
        self.instance = instance
        self._ground = ground
        self._change = change
        self._leftovers = Leftovers(ground.catalog, ground.key_managers, lambda: ground.clock() / 1000)
        self._listed: defaultdict[str, list[str]] = defaultdict(list)

    async def look(self) -> None:
        """List the standard keys that may be successors which were put and never switched to.

        Raises the key manager's two failures.
        """
        if not self._change.stored:
            return
        forgotten = {each.standard_key for each in await self._ground.catalog.leftovers(self.instance.identifier)}
        async for key in self._manager.list_standard_keys(PREFIX):
            unique_identifier = unique_identifier_of(key.name)
            if unique_identifier is not None and key.identifier not in forgotten:
                self._listed[unique_identifier].append(key.identifier)

    async def succeed(self, thing: Sealed) -> bool:
        """Put a successor in the place of one wrapped key.

        Raises ``Conflict`` where another change of the thing came first, :class:`Overtaken`, ``PermissionDenied`` for
        what is withheld, and what the vault and the key manager raise.
        """
        gone = await self._is_gone(thing)
        stored = self._change.stored and not gone
        found = await self._put_before(thing) if stored else None
        sealed, standard_key = found or await self._made(thing, stored=stored)
        leftover = self._leftover(thing, standard_key)
        fields = {"sealed": sealed, "standard_key": standard_key, "withheld_at": thing.withheld_at if gone else None}
        await self._switch(thing, fields, leftover)
        if leftover is not None:
            await self._delete(leftover)
        return True

    async def delete_leftovers(self) -> int:
        """Try once more to delete what the instance has left behind; how many standard keys stay."""
        for leftover in await self._ground.catalog.leftovers(self.instance.identifier):
            await self._delete(leftover)
        return len(await self._ground.catalog.leftovers(self.instance.identifier))

    @property
    def _manager(self) -> KeyManager:
        return self._ground.key_managers[self.instance.key_manager]

    async def _is_gone(self, thing: Sealed) -> bool:
        """Whether a destroyed object has lost its standard key. A living one is withheld then, and stays as it is."""
        try:
            await self._ground.vault.assure(self.instance, thing)
        except Revoked as error:
            home = self._ground.vault.home_of(self.instance, thing)
            await confirm(self._ground.key_managers[home.key_manager], home)
            if not isinstance(thing, WrappingKey) and thing.state in DESTROYED_STATES:
                return True
            if thing.withheld_at is None:
                await self._withhold(thing, error)
            raise PermissionDenied(
                "its standard key was deleted in the key manager: restore it there, or destroy the object"
            ) from error
        return False

    async def _withhold(self, thing: Sealed, error: Revoked) -> None:
        changes = self._changed(thing.changed(withheld_at=self._ground.clock() // 1000))
        if isinstance(thing, WrappingKey):
            # Every process looks then, and lets go of the instance's plaintext.
            changes["touched"] = self._ground.administration.touched(thing.instance)
        await self._commit(
            "key.withhold", thing, {"standard_key": thing.standard_key or "", "cause": error.cause}, **changes
        )
        self._ground.vault.forget(thing.unique_identifier)

    async def _put_before(self, thing: Sealed) -> tuple[bytes, str] | None:
        """A successor that was put already and never switched to: to put another would leave this one for ever."""
        for identifier in self._listed.get(thing.unique_identifier, ()):
            if identifier == thing.standard_key:
                continue
            try:
                payload = (await self._manager.get_standard_key(identifier)).payload
            except KeyManagerRefused:
                continue
            if await self._is_successor(thing, payload):
                return payload, identifier
        return None

    async def _is_successor(self, thing: Sealed, payload: bytes) -> bool:
        vault, identifier = self._ground.vault, self.instance.identifier
        try:
            blob, own = [vault.wrapping.verified(identifier, each) for each in (payload, thing.sealed)]
            if blob.header.context != own.header.context or not self._change.fits(self.instance, blob):
                return False
            await vault.verify(self.instance, replace(thing, sealed=payload))
        except CryptographicFailure:
            return False
        return True

    async def _made(self, thing: Sealed, *, stored: bool) -> tuple[bytes, str | None]:
        sealed = await self._change.make(self.instance, thing)
        if not stored:
            return sealed, None
        standard_key = await self._ground.vault.put(self.instance.home, sealed, thing.unique_identifier)
        # Where it does not come to the switch, the next attempt finds it.
        self._listed[thing.unique_identifier].append(standard_key)
        return sealed, standard_key

    def _leftover(self, thing: Sealed, standard_key: str | None) -> Leftover | None:
        if thing.standard_key in {None, standard_key} or self._change.former_stays:
            return None
        home = self._ground.vault.home_of(self.instance, thing)
        return self._remembered(thing, home.key_manager, thing.standard_key or "", self._change.why)

    def _remembered(self, thing: Sealed, key_manager: str, standard_key: str, why: str) -> Leftover:
        return Leftover(
            key_manager=key_manager,
            standard_key=standard_key,
            instance=thing.instance,
            unique_identifier=thing.unique_identifier,
            why=why,
            at=self._ground.clock() // 1000,
        )

    async def _switch(self, thing: Sealed, fields: Mapping[str, Any], leftover: Leftover | None) -> None:
        """Commit the successor, also where a client has changed what has nothing to do with it."""
        found: Sealed | None = thing
        leftovers = (leftover,) if leftover else ()
        for _ in range(ATTEMPTS):
            if found is None or _wrapped(found) != _wrapped(thing):
                break
            try:
                await self._commit(
                    self._change.action,
                    thing,
                    self._change.detail,
                    seen_instances=(self.instance,),
                    leftovers=leftovers,
                    **self._changed(found.changed(**fields)),
                )
                return
            except InstanceChanged:
                if not await self._is_instance_as_before():
                    await self._undo(thing, found, fields["standard_key"])
                    raise Overtaken(
                        f"another command has changed where the keys of instance {self.instance.name!r} are kept; "
                        "this one has stopped, and what it has done stays"
                    ) from None
            except Conflict:
                found = await current(self._ground.catalog, thing)
        await self._undo(thing, found, fields["standard_key"])
        raise Conflict("another change came first")

    async def _is_instance_as_before(self) -> bool:
        """Whether the instance is as it was in what concerns its wrapped keys; what else has changed counts now."""
        instances = await self._ground.catalog.instances()
        found = next((each for each in instances if each.identifier == self.instance.identifier), None)
        if found is None or _place(found) != _place(self.instance):
            return False
        self.instance = found
        return True

    async def _undo(self, thing: Sealed, found: Sealed | None, standard_key: str | None) -> None:
        """Remember and delete a successor that was put in vain, unless another walk has switched to it."""
        if standard_key is None:
            return
        leftover = self._remembered(thing, self.instance.key_manager, standard_key, "undone")
        while found is None or found.standard_key != standard_key:
            # No walk takes it up meanwhile: whoever has loaded the object before this is refused at the commit.
            seen = {} if found is None or isinstance(found, WrappingKey) else {found.unique_identifier: found.version}
            try:
                await self._ground.catalog.commit(Unit(entries=(), seen=seen, leftovers=(leftover,)))
            except Conflict:
                found = await current(self._ground.catalog, thing)
                continue
            self._listed[thing.unique_identifier].remove(standard_key)
            await self._delete(leftover)
            return

    async def _delete(self, leftover: Leftover) -> None:
        with suppress(CatalogUnavailable):  # It stays remembered.
            await self._leftovers.delete(leftover)

    async def _commit(self, action: str, thing: Sealed, detail: Mapping[str, str | int], **changes: Any) -> None:
        await self._ground.administration.commit(action, thing.instance, thing.unique_identifier, detail, **changes)

    @staticmethod
    def _changed(thing: Sealed) -> dict[str, Any]:
        return {"wrapping_keys": (thing,)} if isinstance(thing, WrappingKey) else {"updated": (thing,)}


def _wrapped(thing: Sealed) -> tuple[object, ...]:
    """What a successor was made of; everything else of an object a client may change meanwhile."""
    return thing.sealed, thing.standard_key, thing.withheld_at


def _place(instance: Instance) -> tuple[object, ...]:
    return instance.home, instance.former, instance.storage, instance.hierarchy
