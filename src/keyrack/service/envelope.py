"""The vault: seals key material under an instance's customer root key, and opens it for whom the desk has authorised.

Every key is bound to its owner twice: by the strings that the key manager authenticates, and by a hash of the same that
stands inside the wrapped plaintext. A ciphertext that was moved to another object, instance or root key does not open,
even in a key manager that ignores the first (ADR 5).
"""

import hashlib
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TypeVar

from keyrack.domain.errors import CryptographicFailure, GeneralFailure, InvalidField
from keyrack.domain.instances import Instance, Storage
from keyrack.domain.objects import ManagedObject
from keyrack.domain.secret import Secret
from keyrack.ports.key_manager import KeyManager, KeyManagerRefused, KeyManagerUnavailable, Unwrapped, Wrapped
from keyrack.service import blob as blobs
from keyrack.service import sealing, standard_keys
from keyrack.service.blob import MOST_MATERIAL, Blob, Header, Malformed, SealContext
from keyrack.service.cache import Cache, Entry
from keyrack.service.description import describe
from keyrack.service.lease import Lease, Terms
from keyrack.service.sealing import Integrity, NotOpened
from keyrack.service.single_flight import SingleFlight
from keyrack.service.standard_keys import NotKept
from keyrack.spec.types import Vanishing

T = TypeVar("T")

__all__ = ["SealContext", "Vault", "steady_clock"]

steady_clock: Callable[[], float] = (
    partial(time.clock_gettime, time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic
)
"""Seconds that never go backwards and, where the system can, go on while it is suspended: no lease outlives that."""


class Vault:
    """Seals and opens. It raises ``domain.errors`` alone: ``CryptographicFailure`` where a key does not open or its
    key manager refuses, ``GeneralFailure`` where the key manager does not answer, ``InvalidField`` for what cannot be
    sealed.

    A secret that it hands out stays the vault's: callers neither wipe nor keep it.
    """

    def __init__(
        self,
        key_managers: Mapping[str, KeyManager],
        integrity_root: Secret,
        deployment: str,
        clock: Callable[[], float] = steady_clock,
        lease_seconds: float = 30,
        *,
        probe_timeout: float = 5,
        outage_grace: float = 900,
        entry_seconds: float = 8 * 3600,
        most_entries: int = 200_000,
        most_bytes: int = 64 * 2**20,
    ) -> None:
        """``integrity_root`` becomes the vault's; ``clock`` is steady seconds, not the time of day."""
        self._key_managers = key_managers
        self._integrity = Integrity(integrity_root, deployment)
        self._deployment = deployment
        self._clock = clock
        self._terms = Terms(lease=lease_seconds, probe_timeout=probe_timeout, outage_grace=outage_grace)
        self._entry_seconds = entry_seconds
        self._cache = Cache(most_entries=most_entries, most_bytes=most_bytes)
        self._leases: dict[tuple[str, str], Lease] = {}
        self._opening: SingleFlight[Secret] = SingleFlight()
        self._purges = 0

    async def seal_new(self, instance: Instance, context: SealContext, material: Secret) -> bytes:
        """Wrap, unwrap and compare, and answer the blob; the material stays the caller's."""
        if len(material) > MOST_MATERIAL:
            raise InvalidField(
                f"an object of {len(material)} bytes is longer than {MOST_MATERIAL}, the most that is kept"
            )
        header = Header(
            provider=instance.key_manager,
            deployment=self._deployment,
            instance=instance.identifier,
            root_key=instance.root_key,
            context=context,
            enciphered=len(material) > sealing.DIRECT,
        )
        try:
            encoded = header.encode()
        except Malformed as error:
            raise InvalidField(f"the object cannot be sealed: {error}") from error
        plaintext, body = sealing.enclose(material, encoded)
        began = self._clock()
        with plaintext:
            wrapped = await self._verified_wrap(instance, plaintext, header)
        check_value = sealing.check_value(material, blobs.context_hash(encoded))
        sealed = self._authenticated(instance, encoded, wrapped, body, check_value)
        self._lease(instance).proved(began)
        copy = Secret(Vanishing(material.reveal()))
        self._keep(instance, context.unique_identifier, sealed, copy)
        return sealed

    async def store(self, instance: Instance, blob: bytes, uid: str) -> str | None:
        """Keep the blob as a standard key ``vmware_kmip_<uid>`` and answer its identifier.

        It was read back and compared when this returns. ``None`` where the instance's storage is the catalog alone.
        """
        if instance.storage is Storage.CATALOG:
            return None
        if len(blob) > standard_keys.LARGEST:
            raise InvalidField(
                f"wrapped, the object has {len(blob)} bytes, and the instance's key manager keeps at most"
                f" {standard_keys.LARGEST}: use an instance whose storage is catalog"
            )
        try:
            return await self._asked(instance, standard_keys.put(self._manager(instance), uid, blob))
        except NotKept as error:
            raise CryptographicFailure(str(error)) from error

    async def stored(self, instance: Instance, managed: ManagedObject) -> str | None:
        """The identifier of the standard key that keeps the object's blob, whoever put it there; ``None`` without."""
        if managed.standard_key is not None or managed.sealed is None:
            return managed.standard_key
        found = standard_keys.find(self._manager(instance), managed.unique_identifier, managed.sealed)
        return await self._asked(instance, found)

    async def discard(self, instance: Instance, managed: ManagedObject) -> None:
        """Delete the object's standard key, if it has one, and let go of its plaintext."""
        self.forget(managed.unique_identifier)
        if managed.standard_key is not None:
            await self._asked(instance, self._manager(instance).delete_standard_key(managed.standard_key))

    def cached(self, instance: Instance, managed: ManagedObject) -> Secret | None:
        """The material, if it is at hand and may be served just now: the way of nearly every Get."""
        uid = managed.unique_identifier
        entry = self._cache.get(uid)
        if entry is None or entry.instance != instance.identifier or managed.sealed is None:
            return None
        now = self._clock()
        lease = entry.lease
        if now >= lease.until or now >= entry.until or hashlib.sha256(managed.sealed).digest() != entry.digest:
            return None
        if len(entry.secret) != entry.size:
            return None  # Somebody has wiped what was not theirs: unwrap anew rather than serve an empty key.
        if now >= lease.renew_at:
            lease.renew_soon()
        self._cache.used(uid)
        return entry.secret

    async def open(self, instance: Instance, object: ManagedObject) -> Secret:  # noqa: A002 - the standard's word
        """The material, from memory under a valid lease, else unwrapped and checked; one unwrap serves all who wait."""
        secret = self.cached(instance, object)
        if secret is not None:
            return secret
        if object.sealed is None:
            raise CryptographicFailure("the object has no key material any more: it was destroyed")
        digest = hashlib.sha256(object.sealed).digest()
        entry = self._cache.get(object.unique_identifier)
        if entry is not None and entry.digest == digest:
            await self._hold(instance, entry.lease)
            secret = self.cached(instance, object)
            if secret is not None:
                return secret
        key = (instance.identifier, object.unique_identifier, digest)
        return await self._opening.join(key, partial(self._unwrap, instance, object))

    async def rewrap(self, instance: Instance, managed: ManagedObject) -> bytes:
        """A new blob for the same key under the newest version of the root key, opened and compared already."""
        before = self._checked(instance, managed)
        aad = before.header.aad()
        manager = self._manager(instance)
        wrapped = await self._asked(instance, manager.rewrap(instance.root_key, before.wrapped, aad))
        unwrapped = await self._asked(instance, manager.unwrap(instance.root_key, wrapped.ciphertext, aad))
        with unwrapped.plaintext:
            _disclosed(unwrapped, before)  # The hash and the key check value of before: it is the same key.
        return self._authenticated(instance, before.header.encode(), wrapped, before.body, before.check_value)

    def forget(self, unique_identifier: str) -> None:
        """Let go of one object's plaintext: it was destroyed, or is withheld."""
        self._purges += 1
        self._cache.drop(unique_identifier)

    def purge(self, instance_id: str | None = None, root_key: str | None = None) -> None:
        """Let go, at once, of the plaintext of an instance, or under a root key, or of all."""
        self._purges += 1
        leases = {id(lease) for (_, name), lease in self._leases.items() if root_key in (None, name)}
        self._cache.drop_where(lambda entry: instance_id in (None, entry.instance) and id(entry.lease) in leases)

    def close(self) -> None:
        """Forget everything; the vault is of no use afterwards."""
        self.purge()
        self._integrity.wipe()

    async def _unwrap(self, instance: Instance, managed: ManagedObject) -> Secret:
        blob = self._checked(instance, managed)
        purges = self._purges
        if managed.standard_key is not None and instance.storage is Storage.KEY_MANAGER:
            await self._compare_standard_key(instance, managed, managed.standard_key, blob)
        manager, lease, began = self._manager(instance), self._lease(instance), self._clock()
        try:
            unwrapped = await manager.unwrap(instance.root_key, blob.wrapped, blob.header.aad())
        except KeyManagerRefused as error:
            # Is it this ciphertext alone, or the root key? Nothing is served until a probe has told.
            lease.deny()
            await self._hold(instance, lease)
            raise CryptographicFailure(f"the key does not open: {error}") from error
        except KeyManagerUnavailable as error:
            raise _unanswered(instance) from error
        with unwrapped.plaintext:
            material = _disclosed(unwrapped, blob)
        lease.proved(began)
        if purges == self._purges and managed.sealed is not None:
            self._keep(instance, managed.unique_identifier, managed.sealed, material)
        return material

    async def _verified_wrap(self, instance: Instance, plaintext: Secret, header: Header) -> Wrapped:
        manager, aad = self._manager(instance), header.aad()
        wrapped = await self._asked(instance, manager.wrap(instance.root_key, plaintext, aad))
        unwrapped = await self._asked(instance, manager.unwrap(instance.root_key, wrapped.ciphertext, aad))
        with unwrapped.plaintext:
            if not unwrapped.plaintext.matches(plaintext):
                raise CryptographicFailure("the key manager does not give back what it was given to wrap")
        return wrapped

    async def _compare_standard_key(
        self, instance: Instance, managed: ManagedObject, identifier: str, blob: Blob
    ) -> None:
        """Raise unless the standard key is there and holds the same key: one that was deleted there is revoked here."""
        try:
            kept = await self._manager(instance).get_standard_key(identifier)
        except KeyManagerRefused as error:
            self.forget(managed.unique_identifier)
            raise CryptographicFailure(f"the key was revoked in the key manager: {error}") from error
        except KeyManagerUnavailable as error:
            raise _unanswered(instance) from error
        if kept.payload == managed.sealed:
            return
        other = self._verified(instance, kept.payload)
        # After a rewrap one copy may be a generation behind; what it is of must be the same.
        if (other.context_hash, other.check_value) != (blob.context_hash, blob.check_value):
            raise CryptographicFailure("the copy in the key manager is of another key than the one in the catalog")

    def _checked(self, instance: Instance, managed: ManagedObject) -> Blob:
        """The object's blob, authentic and about this very object, instance, deployment and root key."""
        if managed.sealed is None:
            raise CryptographicFailure("the object has no key material any more: it was destroyed")
        blob = self._verified(instance, managed.sealed)
        header = blob.header
        told = (header.deployment, header.instance, header.context.unique_identifier, header.root_key)
        if told != (self._deployment, instance.identifier, managed.unique_identifier, instance.root_key):
            raise CryptographicFailure("the wrapped key belongs to another object, instance or root key")
        return blob

    def _verified(self, instance: Instance, sealed: bytes) -> Blob:
        try:
            blob = blobs.parse(sealed)
            self._integrity.check(instance.identifier, blob)
        except (Malformed, NotOpened) as error:
            raise CryptographicFailure(f"the wrapped key cannot be used: {error}") from error
        return blob

    def _authenticated(
        self, instance: Instance, header: bytes, wrapped: Wrapped, body: bytes, check_value: bytes
    ) -> bytes:
        try:
            octets = blobs.unauthenticated(header, wrapped.version, wrapped.ciphertext, body, check_value)
        except Malformed as error:
            raise GeneralFailure(f"the key manager's answer cannot be kept: {error}") from error
        return octets + self._integrity.mac(instance.identifier, octets)

    def _keep(self, instance: Instance, unique_identifier: str, sealed: bytes, material: Secret) -> None:
        entry = Entry(
            secret=material,
            instance=instance.identifier,
            digest=hashlib.sha256(sealed).digest(),
            lease=self._lease(instance),
            until=self._clock() + self._entry_seconds,
        )
        self._cache.put(unique_identifier, entry)

    def _manager(self, instance: Instance) -> KeyManager:
        manager = self._key_managers.get(instance.key_manager)
        if manager is None:
            raise GeneralFailure(f"the key manager {instance.key_manager} of this instance is not configured")
        return manager

    def _lease(self, instance: Instance) -> Lease:
        name = (instance.key_manager, instance.root_key)
        lease = self._leases.get(name)
        if lease is None:
            probe = partial(self._manager(instance).probe, instance.root_key)
            lease = self._leases[name] = Lease(probe, partial(self._denied, name), self._clock, self._terms)
        return lease

    def _denied(self, name: tuple[str, str]) -> None:
        self._purges += 1
        lease = self._leases[name]
        self._cache.drop_where(lambda entry: entry.lease is lease)

    async def _hold(self, instance: Instance, lease: Lease) -> None:
        await self._asked(instance, lease.hold())

    async def _asked(self, instance: Instance, answer: Awaitable[T]) -> T:
        """What the key manager answers, with its two failures made the standard's."""
        try:
            return await answer
        except KeyManagerRefused as error:
            raise CryptographicFailure(f"the key manager {instance.key_manager} refuses: {error}") from error
        except KeyManagerUnavailable as error:
            raise _unanswered(instance) from error


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


def _disclosed(unwrapped: Unwrapped, blob: Blob) -> Secret:
    try:
        return sealing.disclose(unwrapped.plaintext, blob)
    except NotOpened as error:
        raise CryptographicFailure(f"the key does not open: {error}") from error


def _unanswered(instance: Instance) -> GeneralFailure:
    return GeneralFailure(f"the key manager {instance.key_manager} does not answer now: try again in a moment")
