"""Makes wrapped keys and opens them, call by call: the checks of a vault without its memory."""

from keyrack.domain.errors import CryptographicFailure, GeneralFailure, InvalidField
from keyrack.domain.instances import Home, Instance
from keyrack.domain.secret import SYSTEM, Randomness, Secret
from keyrack.ports.key_manager import Wrapped
from keyrack.service.vault import blob as blobs
from keyrack.service.vault import sealing
from keyrack.service.vault.blob import MOST_MATERIAL, Blob, Header, Malformed, SealContext
from keyrack.service.vault.homes import Homes
from keyrack.service.vault.sealing import Integrity, NotOpened


class Wrapping:
    """Wraps under a home's root key, or under a wrapping key that is open already (``under``)."""

    def __init__(self, homes: Homes, integrity: Integrity, deployment: str, randomness: Randomness = SYSTEM) -> None:
        """``integrity`` authenticates the blobs of this deployment; ``randomness`` is for data keys and nonces."""
        self._randomness = randomness
        self._homes = homes
        self._integrity = integrity
        self._deployment = deployment

    async def seal(
        self, instance: Instance, context: SealContext, material: Secret, under: tuple[str, Secret] | None = None
    ) -> bytes:
        """Wrap at the instance's home, unwrap and compare, and answer the blob; the material stays the caller's.

        ``under`` is the wrapping key of an instance of two levels, with its Unique Identifier.
        """
        if len(material) > MOST_MATERIAL:
            raise InvalidField(
                f"an object of {len(material)} bytes is longer than {MOST_MATERIAL}, the most that is kept"
            )
        home = instance.home
        header = Header(
            provider=home.key_manager,
            deployment=self._deployment,
            instance=instance.identifier,
            root_key=under[0] if under else home.root_key,
            context=context,
            enciphered=len(material) > sealing.DIRECT,
            two_level=under is not None,
            bound=under is not None or await self._homes.binds(home),
        )
        try:
            encoded = header.encode()
        except Malformed as error:
            raise InvalidField(f"the object cannot be sealed: {error}") from error
        plaintext, body = sealing.enclose(material, encoded, self._randomness)
        with plaintext:
            if under:
                ciphertext = sealing.wrap_under(under[1], plaintext, encoded, self._randomness)
                wrapped = Wrapped(ciphertext, under[0])
            else:
                wrapped = await self._verified_wrap(home, plaintext, header)
        check_value = sealing.check_value(material, blobs.context_hash(encoded))
        sealed = self.authenticated(instance.identifier, encoded, wrapped, body, check_value)
        if under:
            (await self.open(home, blobs.parse(sealed), under)).wipe()
        return sealed

    async def open(self, home: Home, blob: Blob, under: tuple[str, Secret] | None = None) -> Secret:
        """The material of an authentic blob, checked against hash and key check value.

        Raises ``KeyManagerRefused`` and ``KeyManagerUnavailable`` as they come, ``CryptographicFailure`` where what was
        unwrapped is not what the blob says.
        """
        try:
            if under:
                with sealing.unwrap_under(under[1], blob) as plaintext:
                    return sealing.disclose(plaintext, blob)
            manager = self._homes.manager(home.key_manager)
            unwrapped = await manager.unwrap(blob.header.root_key, blob.wrapped, blob.header.aad())
            with unwrapped.plaintext:
                return sealing.disclose(unwrapped.plaintext, blob)
        except NotOpened as error:
            raise CryptographicFailure(f"the key does not open: {error}") from error

    async def rewrap(self, home: Home, instance: str, blob: Blob) -> bytes:
        """A new blob for the same key under the newest version of the root key, opened and compared already."""
        manager, root_key, aad = self._homes.manager(home.key_manager), blob.header.root_key, blob.header.aad()
        wrapped = await self._homes.asked(home, manager.rewrap(root_key, blob.wrapped, aad))
        unwrapped = await self._homes.asked(home, manager.unwrap(root_key, wrapped.ciphertext, aad))
        with unwrapped.plaintext:
            try:
                sealing.disclose(unwrapped.plaintext, blob)  # Hash and key check value of before: it is the same key.
            except NotOpened as error:
                raise CryptographicFailure(f"the rewrapped key does not open: {error}") from error
        return self.authenticated(instance, blob.header.encode(), wrapped, blob.body, blob.check_value)

    def verified(self, instance: str, sealed: bytes | None) -> Blob:
        """The blob, taken apart, and authentic for this instance; raises ``CryptographicFailure``."""
        if sealed is None:
            raise CryptographicFailure("the object has no key material any more: it was destroyed")
        try:
            blob = blobs.parse(sealed)
            self._integrity.check(instance, blob)
        except (Malformed, NotOpened) as error:
            raise CryptographicFailure(f"the wrapped key cannot be used: {error}") from error
        return blob

    def is_authentic(self, blob: Blob) -> bool:
        """Whether this deployment's integrity root has authenticated the blob, for the instance that it names."""
        try:
            self._integrity.check(blob.header.instance, blob)
        except NotOpened:
            return False
        return blob.header.deployment == self._deployment

    def authenticated(self, instance: str, header: bytes, wrapped: Wrapped, body: bytes, check_value: bytes) -> bytes:
        """The whole blob, with the MAC of the instance."""
        try:
            octets = blobs.unauthenticated(header, wrapped.version, wrapped.ciphertext, body, check_value)
        except Malformed as error:
            raise GeneralFailure(f"the key manager's answer cannot be kept: {error}") from error
        return octets + self._integrity.mac(instance, octets)

    def authenticated_anew(self, blob: Blob) -> bytes:
        """The blob with a MAC of this deployment's integrity root: for one that was opened and found true."""
        return blob.authenticated + self._integrity.mac(blob.header.instance, blob.authenticated)

    def close(self) -> None:
        """Forget the integrity root."""
        self._integrity.wipe()

    async def _verified_wrap(self, home: Home, plaintext: Secret, header: Header) -> Wrapped:
        manager, aad = self._homes.manager(home.key_manager), header.aad()
        wrapped = await self._homes.asked(home, manager.wrap(home.root_key, plaintext, aad))
        unwrapped = await self._homes.asked(home, manager.unwrap(home.root_key, wrapped.ciphertext, aad))
        with unwrapped.plaintext:
            if not unwrapped.plaintext.matches(plaintext):
                raise CryptographicFailure("the key manager does not give back what it was given to wrap")
        return wrapped
