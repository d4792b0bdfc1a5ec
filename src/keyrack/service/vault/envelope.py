"""The vault: seals key material under an instance's customer root key, and opens it for whom the desk has authorised.

Every key is bound to its owner twice: by the strings that the key manager authenticates, and by a hash of the same that
stands inside the wrapped plaintext. A ciphertext that was moved to another object, instance or root key does not open,
even in a key manager that ignores the first (ADR 5).
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial

from keyrack.domain.errors import CryptographicFailure, InvalidField, PermissionDenied
from keyrack.domain.instances import Hierarchy, Home, Instance, Storage, WrappingKey
from keyrack.domain.objects import ManagedObject
from keyrack.domain.secret import SYSTEM, Randomness, Secret
from keyrack.ports.key_manager import KeyManager, KeyManagerRefused, KeyManagerUnavailable
from keyrack.service.vault import standard_keys, standing
from keyrack.service.vault.blob import Blob, Header, SealContext
from keyrack.service.vault.cache import Cache, Entry
from keyrack.service.vault.description import describe
from keyrack.service.vault.generation import generate
from keyrack.service.vault.homes import Homes, refused, unanswered
from keyrack.service.vault.lease import Lease, Terms
from keyrack.service.vault.presence import Presence
from keyrack.service.vault.sealing import Integrity
from keyrack.service.vault.single_flight import SingleFlight
from keyrack.service.vault.wrapping import Wrapping
from keyrack.spec.enumerations import CryptographicAlgorithm, ObjectType
from keyrack.spec.types import Vanishing

__all__ = ["SealContext", "Sealed", "Vault", "steady_clock"]

steady_clock: Callable[[], float] = (
    partial(time.clock_gettime, time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic
)
"""Seconds that never go backwards and, where the system can, go on while it is suspended: no lease outlives that."""

Sealed = ManagedObject | WrappingKey
"""What the vault opens: both tell whose they are, the wrapped key, its copy in the key manager, and their version."""

WRAPPING_KEY = 32
"""Bytes of the wrapping key of an instance of two levels."""


async def _none(instance: str) -> WrappingKey | None:
    return None


class Vault:
    """Seals and opens. It raises ``domain.errors`` alone: ``CryptographicFailure`` where a key does not open or its
    key manager refuses, ``GeneralFailure`` where the key manager does not answer, ``InvalidField`` for what cannot be
    sealed, ``PermissionDenied`` for what is withheld.

    A secret that it hands out stays the vault's: callers neither wipe nor keep it.
    """

    def __init__(
        self,
        key_managers: Mapping[str, KeyManager],
        integrity_root: Secret,
        deployment: str,
        clock: Callable[[], float] = steady_clock,
        *,
        terms: Mapping[str, Terms] | None = None,
        wrapping_keys: Callable[[str], Awaitable[WrappingKey | None]] = _none,
        entry_seconds: float = 8 * 3600,
        most_entries: int = 200_000,
        most_bytes: int = 64 * 2**20,
        randomness: Randomness = SYSTEM,
    ) -> None:
        """``integrity_root`` becomes the vault's; ``clock`` is steady seconds, not the time of day.

        ``terms`` by the configured name of a key manager; ``wrapping_keys`` answers an instance's as it is now. With
        ``most_entries`` 0 nothing is kept in memory, and each Get is an unwrap.
        """
        self._homes = Homes(key_managers, clock, terms or {}, self._denied)
        self.wrapping = Wrapping(self._homes, Integrity(integrity_root, deployment), deployment, randomness)
        self._deployment, self._randomness = deployment, randomness
        self._clock = clock
        self._wrapping_keys = wrapping_keys
        self._entry_seconds = entry_seconds
        self._cache = Cache(most_entries=most_entries, most_bytes=most_bytes)
        self.kept, self.lease_ages = self._cache.__len__, self._homes.ages
        self.presence = Presence(clock)
        self._opening: SingleFlight[Secret] = SingleFlight()
        self._purges = 0
        self._shut: Mapping[str, str] = {}

    async def seal_new(self, instance: Instance, context: SealContext, material: Secret) -> bytes:
        """Wrap, unwrap and compare, and answer the blob; the material stays the caller's."""
        self._refuse_shut(instance)
        began = self._clock()
        async with self._within(instance.home, self._homes.terms(instance.key_manager).sealing):
            under, lease = await self._under(instance), self._homes.lease(await self._root_of(instance))
            sealed = await self.wrapping.seal(instance, context, material, under)
        if under is None:
            lease.proved(began)
        copy = Secret(Vanishing(material.reveal()))
        self._keep(instance, context.unique_identifier, sealed, copy, lease)
        return sealed

    async def seal_wrapping_key(self, instance: Instance, unique_identifier: str, created_at: int) -> WrappingKey:
        """A new wrapping key for an instance of two levels, wrapped and verified; nobody keeps it yet."""
        context = SealContext(
            unique_identifier=unique_identifier,
            object_type=int(ObjectType.SYMMETRIC_KEY),
            created_at=created_at,
            algorithm=int(CryptographicAlgorithm.AES),
            length=8 * WRAPPING_KEY,
        )
        with generate(WRAPPING_KEY, self._randomness) as material:
            sealed = await self.wrapping.seal(instance, context, material)
        return WrappingKey(
            unique_identifier=unique_identifier, instance=instance.identifier, created_at=created_at, sealed=sealed
        )

    async def store(self, instance: Instance, blob: bytes, uid: str) -> str | None:
        """Keep the blob as a standard key where the instance's storage says so; answer its identifier, or ``None``."""
        return None if instance.storage is Storage.CATALOG else await self.put(instance.home, blob, uid)

    async def put(self, home: Home, blob: bytes, uid: str) -> str:
        """Keep the blob as a standard key ``vmware_kmip_<uid>`` in the home's key manager and answer its identifier.

        It was read back and compared when this returns.
        """
        if len(blob) > standard_keys.LARGEST:
            raise InvalidField(
                f"wrapped, the object has {len(blob)} bytes, and the instance's key manager keeps at most"
                f" {standard_keys.LARGEST}: use an instance whose storage is catalog"
            )
        try:
            return await self._homes.asked(home, standard_keys.put(self._homes.manager(home.key_manager), uid, blob))
        except standard_keys.NotKept as error:
            raise CryptographicFailure(str(error)) from error

    async def stored(self, instance: Instance, managed: ManagedObject) -> str | None:
        """The identifier of the standard key that keeps the object's blob, whoever put it there; ``None`` without."""
        if managed.standard_key is not None or managed.sealed is None:
            return managed.standard_key
        home = self.home_of(instance, managed)
        manager = self._homes.manager(home.key_manager)
        return await self._homes.asked(home, standard_keys.find(manager, managed.unique_identifier, managed.sealed))

    async def discard(self, instance: Instance, managed: ManagedObject) -> None:
        """Delete the object's standard key, if it has one, and let go of its plaintext."""
        self.forget(managed.unique_identifier)
        if managed.standard_key is not None:
            home = self.home_of(instance, managed)
            manager = self._homes.manager(home.key_manager)
            await self._homes.asked(home, manager.delete_standard_key(managed.standard_key))

    def cached(self, instance: Instance, managed: Sealed) -> Secret | None:
        """The material, if it is at hand and may be served just now: the way of nearly every Get."""
        uid = managed.unique_identifier
        entry = self._cache.get(uid)
        if entry is None or entry.instance != instance.identifier or managed.sealed is None:
            return None
        now, lease = self._clock(), entry.lease
        if now >= lease.until or now >= entry.until or hashlib.sha256(managed.sealed).digest() != entry.digest:
            return None
        if len(entry.secret) != entry.size:
            return None  # Somebody has wiped what was not theirs: unwrap anew rather than serve an empty key.
        if now >= lease.renew_at:
            lease.renew_soon()
        self._cache.used(uid)
        return entry.secret

    async def open(self, instance: Instance, object: Sealed) -> Secret:  # noqa: A002 - the standard's word
        """The material, from memory under a valid lease, else unwrapped and checked; one unwrap serves all who wait."""
        if object.withheld_at is not None:
            raise PermissionDenied("its standard key was deleted in the key manager: restore it there")
        self._refuse_shut(instance)
        if (secret := await self.warm(instance, object)) is not None:
            return secret
        if object.sealed is None:
            raise CryptographicFailure("the object has no key material any more: it was destroyed")
        key = (instance.identifier, object.unique_identifier, hashlib.sha256(object.sealed).digest())
        return await self._opening.join(key, partial(self._unwrap, instance, object))

    async def warm(self, instance: Instance, managed: Sealed) -> Secret | None:
        """The material, if it is in memory, under a lease that is renewed if need be; nothing is unwrapped for it."""
        secret = self.cached(instance, managed)
        if secret is None and (entry := self._recognised(instance, managed)) is not None:
            await self._homes.asked(instance.home, entry.lease.hold())
            secret = self.cached(instance, managed)
        return secret

    def _recognised(self, instance: Instance, managed: Sealed) -> Entry | None:
        """What is in memory of this very key: a rewrap, in whatever process, has changed the blob and not the key."""
        entry = self._cache.get(managed.unique_identifier) if managed.sealed is not None else None
        if entry is not None and entry.digest != (digest := hashlib.sha256(managed.sealed or b"").digest()):
            if entry.key != self._checked(instance, managed)[0].key:
                return None
            entry.digest = digest
        return entry

    async def verify(self, instance: Instance, managed: Sealed) -> None:
        """Return if the object's wrapped key is authentic, its own, and opens; nothing is kept in memory."""
        blob, home = self._checked(instance, managed)
        (await self._homes.asked(home, self._material(instance, blob, home))).wipe()

    async def assure(self, instance: Instance, managed: Sealed) -> None:
        """Return if the object's standard key stands, asked just now; raises ``Revoked`` where it was deleted there."""
        await standing.assure(self._homes, self.wrapping, managed, *self._checked(instance, managed))

    async def rewrap(self, instance: Instance, managed: Sealed) -> bytes:
        """A new blob for the same key under the newest version of its root key, opened and compared already.

        Under a wrapping key there is nothing to rewrap: the blob is answered as it is.
        """
        blob, home = self._checked(instance, managed)
        if blob.header.two_level:
            return blob.authenticated + blob.mac
        return await self.wrapping.rewrap(home, instance.identifier, blob)

    async def reseal(self, instance: Instance, managed: Sealed) -> bytes:
        """A new blob for the same key at the instance's home; it is opened where it was, and verified where it is."""
        blob, home = self._checked(instance, managed)
        under = await self._under(instance) if blob.header.two_level else None
        with await self._homes.asked(home, self._material(instance, blob, home)) as material:
            return await self.wrapping.seal(instance, blob.header.context, material, under)

    def home_of(self, instance: Instance, managed: Sealed) -> Home:
        """Where the object is wrapped and its copy lies: the instance's home, or the one that it comes from."""
        return self._checked(instance, managed)[1]

    def wrapped_by(self, instance: Instance, managed: Sealed) -> str | None:
        """The version of the root key that has wrapped it; ``None`` under a wrapping key, which is never rotated."""
        blob = self._checked(instance, managed)[0]
        return None if blob.header.two_level else blob.wrapped_by

    def forget(self, unique_identifier: str) -> None:
        """Let go of one object's plaintext: it was destroyed, or is withheld."""
        self._purges += 1
        self._cache.drop(unique_identifier)
        self.presence.suspect(unique_identifier)

    def purge(self, instance_id: str | None = None, root_key: str | None = None) -> None:
        """Let go, at once, of the plaintext of an instance, or under a root key, or of all."""
        self._purges += 1
        leases = {id(lease) for lease in self._homes.leases(root_key)}
        self._cache.drop_where(lambda entry: instance_id in (None, entry.instance) and id(entry.lease) in leases)

    def shut(self, instances: Mapping[str, str]) -> None:
        """Open and keep nothing of these instances, until told otherwise: why, by their identifiers.

        Their plaintext is let go of at once, and what is being unwrapped just now is not kept.
        """
        fresh, self._shut = instances.keys() - self._shut.keys(), dict(instances)
        for identifier in fresh:
            self.purge(identifier)

    def close(self) -> None:
        """Forget everything; the vault is of no use afterwards."""
        self.purge()
        self.wrapping.close()

    async def _unwrap(self, instance: Instance, managed: Sealed) -> Secret:
        blob, home = self._checked(instance, managed)
        purges = self._purges
        async with self._within(home, self._homes.terms(home.key_manager).opening):
            await self._assure_standard_key(instance, managed, blob, home)
            two_level = blob.header.two_level
            lease = self._homes.lease(await self._root_of(instance) if two_level else home)
            material = await self._proving(lease, home, self._material(instance, blob, home), prove=not two_level)
        if purges == self._purges and managed.sealed is not None:
            self._keep(instance, managed.unique_identifier, managed.sealed, material, lease)
        return material

    async def _proving(self, lease: Lease, home: Home, opening: Awaitable[Secret], *, prove: bool) -> Secret:
        """What ``opening`` gives; with ``prove`` that proves the root key. A refusal ends the lease until a probe."""
        began = self._clock()
        try:
            material = await opening
        except KeyManagerRefused as error:
            # Is it this ciphertext alone, or the root key? Nothing is served until a probe has told.
            lease.deny()
            await self._homes.asked(home, lease.hold())
            raise refused(f"the key does not open: {error}", error) from error
        except KeyManagerUnavailable as error:
            raise unanswered(home, error) from error
        if prove:
            lease.proved(began)
        return material

    async def _material(self, instance: Instance, blob: Blob, home: Home) -> Secret:
        under = await self._under(instance) if blob.header.two_level else None
        if under and under[0] != blob.header.root_key:
            raise CryptographicFailure("the wrapped key belongs to another wrapping key than its instance has")
        return await self.wrapping.open(home, blob, under)

    async def _under(self, instance: Instance) -> tuple[str, Secret] | None:
        """The open wrapping key of an instance of two levels, with its identifier; ``None`` for a direct instance."""
        if instance.hierarchy is Hierarchy.DIRECT:
            return None
        wrapping_key = await self._wrapping_key(instance)
        try:
            return wrapping_key.unique_identifier, await self.open(instance, wrapping_key)
        except CryptographicFailure:
            newer = await self._wrapping_key(instance)
            if newer == wrapping_key:
                raise
            return newer.unique_identifier, await self.open(instance, newer)  # It was wrapped anew meanwhile.

    async def _wrapping_key(self, instance: Instance) -> WrappingKey:
        wrapping_key = await self._wrapping_keys(instance.identifier)
        if wrapping_key is None:
            raise CryptographicFailure(
                "the instance has lost its wrapping key: 'keyrack verify' tells what can be done"
            )
        return wrapping_key

    async def _root_of(self, instance: Instance) -> Home:
        """The root key that new keys of the instance hang on: that of its wrapping key, where it has one."""
        if instance.hierarchy is Hierarchy.DIRECT:
            return instance.home
        return self.home_of(instance, await self._wrapping_key(instance))

    async def _assure_standard_key(self, instance: Instance, managed: Sealed, blob: Blob, home: Home) -> None:
        """Raise unless the standard key is there and holds the same key: one that was deleted there is revoked here."""
        uid = managed.unique_identifier
        if managed.standard_key is None:
            return
        if self.presence.assured(instance.identifier, uid, blob.header.context.created_at):
            return
        try:
            await standing.assure(self._homes, self.wrapping, managed, blob, home)
        except CryptographicFailure:
            self.forget(uid)
            raise

    def _checked(self, instance: Instance, managed: Sealed) -> tuple[Blob, Home]:
        """The object's blob, authentic and about this very object, instance, deployment and home; and that home."""
        blob = self.wrapping.verified(instance.identifier, managed.sealed)
        header = blob.header
        told = (header.deployment, header.instance, header.context.unique_identifier)
        home = _home(instance, header)
        if told != (self._deployment, instance.identifier, managed.unique_identifier) or home is None:
            raise CryptographicFailure("the wrapped key belongs to another object, instance or root key")
        return blob, home

    def _refuse_shut(self, instance: Instance) -> None:
        if (why := self._shut.get(instance.identifier)) is not None:
            raise PermissionDenied(why)

    def _keep(self, instance: Instance, unique_identifier: str, sealed: bytes, material: Secret, lease: Lease) -> None:
        if instance.identifier in self._shut:
            return
        entry = Entry(
            secret=material,
            instance=instance.identifier,
            sealed=sealed,
            lease=lease,
            until=self._clock() + self._entry_seconds,
        )
        self._cache.put(unique_identifier, entry)

    def _denied(self, lease: Lease) -> None:
        self._purges += 1
        self._cache.drop_where(lambda entry: entry.lease is lease)

    @asynccontextmanager
    async def _within(self, home: Home, seconds: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError as error:
            raise unanswered(home, error) from error


def _home(instance: Instance, header: Header) -> Home | None:
    """The home of a blob with this header: the instance's, or the one that its keys come from; else ``None``."""
    homes = [instance.home] if instance.former is None else [instance.home, instance.former]
    if header.two_level and instance.hierarchy is Hierarchy.DIRECT:
        return None
    if not header.two_level:
        homes = [home for home in homes if home.root_key == header.root_key]
    # Its name matters while there are two: the copy of a key lies in the key manager that the key was wrapped in.
    return next((home for home in homes if home.key_manager == header.provider), homes[0] if homes else None)


def context_of(managed: ManagedObject) -> SealContext:
    """What a wrapped key says about the object that it belongs to."""
    form = managed.form
    return SealContext(
        unique_identifier=managed.unique_identifier,
        object_type=int(managed.object_type),
        created_at=managed.value("Initial Date") or 0,
        key_format_type=int(form.key_format_type or 0),
        key_compression_type=form.key_compression_type or 0,
        subtype=form.subtype or 0,
        registered_wrapped=form.wrapped,
        algorithm=int(managed.value("Cryptographic Algorithm") or 0),
        length=managed.value("Cryptographic Length") or 0,
        usage_mask=int(managed.value("Cryptographic Usage Mask") or 0),
        description=describe(managed),
    )
