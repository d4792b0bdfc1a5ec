"""What an administrator does with instances, certificates and keys, over the ports alone.

Every act is one unit of the catalog with its journal entry; a mistake raises :class:`Refused`, whose text says what
happened, why, and what to do instead.
"""

import re
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass

from keyrack.domain.instances import ClientCertificate, Instance, InstanceStatus, Storage
from keyrack.domain.journal import Entry
from keyrack.domain.objects import ManagedObject
from keyrack.ports.catalog import AlreadyThere, Candidates, Catalog, JournalRecord, Unit
from keyrack.ports.key_manager import KeyManager, KeyManagerRefused, RootKeyAdministration
from keyrack.spec.enumerations import State

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_ACTIVE_ROOT_KEY = 1


class Refused(Exception):
    """An administrative act that was not done; nothing has changed."""


@dataclass(frozen=True, slots=True)
class Administrator:
    """Who acts, as the journal names it."""

    initiator: str
    address: str = "local"


class Administration:
    """The use cases of an administrator; ``clock`` answers milliseconds since 1970."""

    def __init__(
        self,
        catalog: Catalog,
        key_managers: Mapping[str, KeyManager],
        administrator: Administrator,
        clock: Callable[[], int],
    ) -> None:
        """Work on this catalog, with these key managers by their configured names."""
        self._catalog = catalog
        self._key_managers = key_managers
        self._administrator = administrator
        self._clock = clock

    async def instances(self) -> Sequence[Instance]:
        """All instances, by name."""
        return await self._catalog.instances()

    async def instance(self, name: str) -> Instance:
        """The instance of this name or identifier."""
        known = await self._catalog.instances()
        for instance in known:
            if name in (instance.name, instance.identifier):
                return instance
        names = ", ".join(instance.name for instance in known)
        raise Refused(
            f"there is no instance {name!r}; "
            + (f"use one of: {names}" if names else f"create it with 'keyrack instance create {name}'")
        )

    async def create_instance(
        self,
        name: str,
        *,
        key_manager: str | None = None,
        root_key: str | None = None,
        storage: Storage = Storage.CATALOG,
    ) -> Instance:
        """Make an instance that is usable at once; without ``root_key`` the key manager makes a new one for it."""
        if not _NAME.fullmatch(name):
            raise Refused(
                f"{name!r} cannot be an instance's name; "
                "use letters, digits, '.', '_' and '-', a letter or digit first, at most 63 in all"
            )
        if any(name == instance.name for instance in await self._catalog.instances()):
            raise Refused(
                f"there is an instance {name!r} already; choose another name, or look at it with 'instance show'"
            )
        manager_name, manager = self._key_manager(key_manager)
        instance = Instance(
            identifier=str(uuid.uuid4()),
            name=name,
            status=InstanceStatus.INSTALLED,
            key_manager=manager_name,
            root_key=await self._root_key(manager_name, manager, root_key, name),
            storage=storage,
            created_at=self._clock() // 1000,
        )
        detail: dict[str, str | int] = {
            "name": name,
            "key_manager": manager_name,
            "root_key": instance.root_key,
            "storage": str(storage),
        }
        try:
            await self._commit(
                "instance.create", instance.identifier, instance.identifier, detail, instances=(instance,)
            )
        except AlreadyThere:
            raise Refused(f"there is an instance {name!r} already; choose another name") from None
        return instance

    def _key_manager(self, name: str | None) -> tuple[str, KeyManager]:
        known = ", ".join(self._key_managers)
        if name is None:
            if len(self._key_managers) != 1:
                raise Refused(f"there is more than one key manager ({known}); name one with --key-manager")
            name = next(iter(self._key_managers))
        if name not in self._key_managers:
            raise Refused(f"no key manager {name!r} is configured; use one of: {known}")
        return name, self._key_managers[name]

    async def _root_key(self, manager_name: str, manager: KeyManager, wanted: str | None, instance: str) -> str:
        if wanted is None:
            if not isinstance(manager, RootKeyAdministration):
                raise Refused(f"key manager {manager_name!r} makes no root keys; name one of its own with --root-key")
            made = await manager.create_root_key(instance)
            return made.identifier
        try:
            found = await manager.describe_root_key(wanted)
        except KeyManagerRefused as error:
            raise Refused(
                f"key manager {manager_name!r} has no root key {wanted!r} ({error}); leave --root-key out to make one"
            ) from None
        if found.state != _ACTIVE_ROOT_KEY:
            raise Refused(f"root key {wanted!r} is not active (state {found.state}); use an active one")
        return found.identifier

    async def certificates(self, instance: Instance | None = None) -> Sequence[ClientCertificate]:
        """The client certificates in force, of one instance or of all."""
        return await self._catalog.certificates(instance.identifier if instance else None)

    async def add_certificate(self, certificate: ClientCertificate) -> None:
        """Let a client certificate use all keys of its instance, from now on."""
        await self._refuse_duplicate(certificate)
        detail: dict[str, str | int] = {"subject": certificate.subject[:200], "not_after": certificate.not_after}
        try:
            await self._commit(
                "certificate.add", certificate.instance, certificate.fingerprint, detail, certificates=(certificate,)
            )
        except AlreadyThere:
            await self._refuse_duplicate(certificate)
            raise Refused("this certificate was added by someone else just now; look at 'keyrack cert list'") from None

    async def _refuse_duplicate(self, certificate: ClientCertificate) -> None:
        for held in await self._catalog.certificates():
            if held.fingerprint != certificate.fingerprint:
                continue
            if held.instance == certificate.instance:
                raise Refused("this certificate is in force for this instance already; nothing is to be done")
            owner = next(
                (i.name for i in await self._catalog.instances() if i.identifier == held.instance), held.instance
            )
            raise Refused(
                f"this certificate belongs to instance {owner!r}, and a certificate means one instance only; "
                f"make another, or remove it there first: keyrack cert remove {owner} {held.fingerprint[:16]}"
            )

    async def certificate(self, instance: Instance, prefix: str) -> ClientCertificate:
        """The one certificate of the instance whose fingerprint begins so; colons and case do not matter."""
        wanted = prefix.replace(":", "").lower()
        if len(wanted) < 4 or not re.fullmatch(r"[0-9a-f]+", wanted):
            raise Refused(f"{prefix!r} is not the beginning of a fingerprint; give at least 4 hexadecimal digits of it")
        held = await self._catalog.certificates(instance.identifier)
        found = [certificate for certificate in held if certificate.fingerprint.startswith(wanted)]
        if len(found) > 1:
            raise Refused(f"{len(found)} certificates begin with {prefix!r}; give more digits")
        if not found:
            raise Refused(
                f"instance {instance.name!r} has no certificate that begins with {prefix!r}; "
                f"see 'keyrack cert list {instance.name}'"
            )
        return found[0]

    async def remove_certificate(self, certificate: ClientCertificate) -> None:
        """Let a client certificate use nothing from now on, on open connections too."""
        await self._commit(
            "certificate.remove",
            certificate.instance,
            certificate.fingerprint,
            {"subject": certificate.subject[:200]},
            removed_certificates=(certificate.fingerprint,),
        )

    async def keys(self, instance: Instance, state: State | None = None) -> Sequence[ManagedObject]:
        """The managed objects of an instance, oldest first."""
        found = await self._catalog.search(instance.identifier, Candidates(state=state.value if state else None))
        return [managed for managed in found if state is None or managed.state == state]

    async def key(self, instance: Instance, prefix: str) -> ManagedObject:
        """The one object of the instance whose Unique Identifier is, or begins with, ``prefix``."""
        exact = await self._catalog.load(instance.identifier, prefix)
        if exact is not None:
            return exact
        found = [
            key for key in await self.keys(instance) if len(prefix) >= 4 and key.unique_identifier.startswith(prefix)
        ]
        if len(found) == 1:
            return found[0]
        told = f"{len(found)} keys of {instance.name!r} begin" if found else f"no key of {instance.name!r} begins"
        raise Refused(f"{told} with {prefix!r}; see 'keyrack key list {instance.name}'")

    async def last_fetches(self, instance: Instance) -> Mapping[str, int]:
        """When each key of the instance was last handed out, in seconds since 1970, by Unique Identifier."""
        fetched = await self._catalog.last_fetches(instance.identifier)
        return {target: at // 1000 for target, at in fetched.items()}

    async def journal(self) -> AsyncIterator[JournalRecord]:
        """The whole journal, in the order it was written."""
        read = 0
        while page := await self._catalog.journal(after=read):
            for record in page:
                yield record
            read = page[-1].number

    async def _commit(
        self,
        action: str,
        instance: str,
        target: str,
        detail: Mapping[str, str | int],
        *,
        instances: Sequence[Instance] = (),
        certificates: Sequence[ClientCertificate] = (),
        removed_certificates: Sequence[str] = (),
    ) -> None:
        entry = Entry(
            at=self._clock(),
            action=action,
            outcome="success",
            initiator=self._administrator.initiator,
            address=self._administrator.address,
            instance=instance,
            target=target,
            detail=detail,
        )
        await self._catalog.commit(
            Unit(
                entries=(entry,),
                instances=instances,
                certificates=certificates,
                removed_certificates=removed_certificates,
            )
        )
