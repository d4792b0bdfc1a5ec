"""KMIP adapters: the instances of one key manager, as Key Protect's ``kmip_adapters`` speak of them.

An adapter is an instance and nothing beside it; what is done here and what is done with ``keyrack instance`` is the
same. Where a name is looked for, an identifier does as well.
"""

import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from keyrack.domain import lifecycle
from keyrack.domain.instances import ClientCertificate, Instance, InstanceStatus, Storage
from keyrack.ports.catalog import Catalog, Listed
from keyrack.ports.key_manager import KeyManager
from keyrack.service.office import admissions
from keyrack.service.office.administration import Administration, Administrator, NotThere
from keyrack.service.office.installing import install
from keyrack.service.office.removal import destroy_key, remove_instance
from keyrack.spec.enumerations import State

MOST_ADAPTERS = 200
"""Of one key manager instance."""
MOST_CERTIFICATES = 200
"""Of one adapter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rooms:
    """What the adapters of a deployment are kept in; ``clock`` answers milliseconds since 1970."""

    catalog: Catalog
    key_managers: Mapping[str, KeyManager]
    clock: Callable[[], int]
    forget: Callable[[str], None] = lambda unique_identifier: None
    """Lets go of a destroyed key's plaintext, where this process holds any."""


class Adapters:
    """The adapters of one key manager, for one administrator. Raises the kinds of ``administration.Refused``."""

    def __init__(self, rooms: Rooms, key_manager: str, administrator: Administrator) -> None:
        """``key_manager`` is the name that instances bear."""
        self._rooms = rooms
        self._key_manager = key_manager
        self._administration = Administration(rooms.catalog, rooms.key_managers, administrator, rooms.clock)

    @property
    def now(self) -> int:
        """The time, in seconds since 1970."""
        return self._rooms.clock() // 1000

    async def all(self, root_key: str | None = None) -> Sequence[Instance]:
        """Every adapter by name, or those that use a root key."""
        return await _instances(self._rooms.catalog, self._key_manager, root_key)

    async def adapter(self, name: str) -> Instance:
        """One adapter; raises :class:`NotThere`, for another key manager's as for one that never was."""
        known = await self.all()
        found = [each for each in known if each.identifier == name] or [each for each in known if each.name == name]
        if not found:
            raise NotThere(f"there is no KMIP adapter {name!r}")
        return found[0]

    async def create(self, name: str, root_key: str, *, description: str = "") -> Instance:
        """Make an adapter that is usable at once; its keys show in the key manager as standard keys.

        Name and root key were looked at before. Raises ``NameTaken`` and ``LimitReached``.
        """
        made = Instance(
            identifier=str(uuid.uuid4()),
            name=name,
            description=description,
            status=InstanceStatus.INSTALLED,
            key_manager=self._key_manager,
            root_key=root_key,
            storage=Storage.KEY_MANAGER,
            created_at=self.now,
        )
        return await install(self._administration, made, most=MOST_ADAPTERS)

    async def remove(self, adapter: Instance) -> None:
        """Remove an adapter, see :func:`keyrack.service.office.removal.remove_instance`."""
        await remove_instance(self._administration, self._rooms.catalog, self._rooms.key_managers, adapter)

    async def certificates(self, adapter: Instance) -> Sequence[ClientCertificate]:
        """The certificates in force, oldest first."""
        return await self._rooms.catalog.certificates(adapter.identifier)

    async def certificate(self, adapter: Instance, name: str) -> ClientCertificate:
        """One of them; raises :class:`NotThere`."""
        held = await self.certificates(adapter)
        found = [each for each in held if each.identifier == name] or [each for each in held if each.name == name]
        if not found:
            raise NotThere(f"the KMIP adapter {adapter.name!r} has no certificate {name!r}")
        return found[0]

    async def add_certificate(self, certificate: ClientCertificate) -> ClientCertificate:
        """Let a certificate use all keys of its adapter; raises what ``Administration.add_certificate`` does."""
        mine = {each.identifier for each in await self.all()}
        return await admissions.add(self._administration, certificate, most=MOST_CERTIFICATES, mine=mine)

    async def remove_certificate(self, certificate: ClientCertificate) -> None:
        """Let a certificate use nothing from now on."""
        await self._administration.remove_certificate(certificate)

    async def objects(
        self, adapter: Instance, states: Collection[State], *, limit: int, offset: int
    ) -> Sequence[Listed]:
        """One page of the adapter's objects in these states, oldest first, each in the state that it is in now."""
        now = self.now
        found = await self._rooms.catalog.listing(adapter.identifier, states, now, limit=limit, offset=offset)
        return [_current(each, now) for each in found]

    async def count_objects(self, adapter: Instance, states: Collection[State]) -> int:
        """How many there are in these states."""
        return await self._rooms.catalog.count_listing(adapter.identifier, states, self.now)

    async def object(self, adapter: Instance, unique_identifier: str) -> Listed:
        """One object in the state that it is in now; raises :class:`NotThere`."""
        found = await self._rooms.catalog.listed(adapter.identifier, unique_identifier)
        if found is None:
            raise NotThere(f"the KMIP adapter {adapter.name!r} has no object {unique_identifier!r}")
        return _current(found, self.now)

    async def destroy(self, adapter: Instance, unique_identifier: str, *, force: bool = False) -> None:
        """Destroy an object, see :func:`keyrack.service.office.removal.destroy_key`."""
        catalog = self._rooms.catalog
        await destroy_key(self._administration, catalog, adapter, unique_identifier, now=self.now, force=force)
        self._rooms.forget(unique_identifier)


async def adapters_using(catalog: Catalog, key_manager: str, root_key: str) -> Sequence[str]:
    """The names of the adapters whose clients would be cut off if this root key went."""
    return [each.name for each in await _instances(catalog, key_manager, root_key)]


async def _instances(catalog: Catalog, key_manager: str, root_key: str | None) -> Sequence[Instance]:
    return [
        each
        for each in await catalog.instances()
        if each.key_manager == key_manager and root_key in (None, each.root_key)
    ]


def _current(listed: Listed, now: int) -> Listed:
    managed = lifecycle.tick(listed.managed, now)
    return listed if managed is listed.managed else replace(listed, managed=managed)
