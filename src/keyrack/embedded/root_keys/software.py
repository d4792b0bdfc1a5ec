"""The keeper of root keys without an HSM: material sealed under a key of the keystore, and used in this process."""

import os
import threading
from collections import OrderedDict

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keyrack.domain.secret import Secret, randomize
from keyrack.embedded.errors import InvalidField, KeeperUnavailable, KeystoreDamaged, UnprocessableCiphertext
from keyrack.embedded.root_keys.binding import associated
from keyrack.embedded.root_keys.keystore import Keystore
from keyrack.embedded.root_keys.port import Enciphered, VersionName
from keyrack.embedded.root_keys.sealing import KEY, NONCE, TAG, Sealing

LENGTHS = (16, 24, 32)
"""Bytes of root key material that may be imported: AES-128, AES-192, AES-256."""
MOST_CACHED = 10_000
"""Versions whose ciphers stay in memory, the least used go first; some 1 KiB each."""


class SoftwareKeeper:
    """Implements ``root_keys.port.Keeper`` with AES-GCM and a random nonce of 96 bits.

    It keeps nothing itself: what it answers is the material, sealed under the keystore's key for material and bound to
    its version, and the database keeps that. So :meth:`take` is harmless when repeated, whatever the material is: each
    answer opens by itself, and the caller decides which one to keep. For the same reason :meth:`destroy` ends with the
    caller, who forgets what was kept.
    """

    name = "software"
    prompt = True

    def __init__(self, keystore: Keystore) -> None:
        """The keystore is not needed any more once this has returned."""
        with keystore.derived("material") as key:
            self._sealing: Sealing | None = Sealing(key)
        self._ciphers: OrderedDict[tuple[VersionName, bytes], AESGCM] = OrderedDict()
        self._using = threading.Lock()

    def generate(self, version: VersionName) -> bytes:
        """32 bytes of new material, sealed."""
        with Secret(bytearray(KEY)) as material:
            randomize(material.reveal())
            return self._open_sealing().seal(material, _purpose(version))

    def take(self, version: VersionName, material: Secret) -> bytes:
        """Imported material of 16, 24 or 32 bytes, sealed; raises :class:`InvalidField` for another length."""
        if len(material) not in LENGTHS:
            raise InvalidField("the material of a root key has 16, 24 or 32 bytes")
        return self._open_sealing().seal(material, _purpose(version))

    def encipher(self, version: VersionName, kept: bytes, plaintext: Secret, bound: bytes) -> Enciphered:
        """Encipher under the version's material."""
        iv = os.urandom(NONCE)
        return Enciphered(iv, self._cipher(version, kept).encrypt(iv, plaintext.reveal(), associated(version, bound)))

    def decipher(self, version: VersionName, kept: bytes, enciphered: Enciphered, bound: bytes) -> Secret:
        """The plaintext; raises :class:`UnprocessableCiphertext` and :class:`KeystoreDamaged`."""
        cipher = self._cipher(version, kept)
        buffer = Secret(bytearray(max(len(enciphered.ciphertext) - TAG, 0)))
        try:
            if len(enciphered.iv) != NONCE:
                raise ValueError
            cipher.decrypt_into(enciphered.iv, enciphered.ciphertext, associated(version, bound), buffer.reveal())
        except (InvalidTag, ValueError):
            buffer.wipe()  # GCM deciphers before it knows that the tag is wrong.
            raise UnprocessableCiphertext(
                "the ciphertext is another key's, was bound to other strings, or was changed"
            ) from None
        return buffer

    def material(self, version: VersionName, kept: bytes) -> Secret:
        """The material in clear, which the caller wipes: for another keeper to take. No HSM has this."""
        return self._open_sealing().open(kept, _purpose(version))

    def destroy(self, version: VersionName, kept: bytes) -> None:
        """Forget the version's cipher; harmless when repeated."""
        with self._using:
            self._ciphers.pop((version, kept), None)

    def probe(self) -> None:
        """Seal and open a random value."""
        with Secret(bytearray(KEY)) as canary:
            randomize(canary.reveal())
            sealing = self._open_sealing()
            with sealing.open(sealing.seal(canary, "probe"), "probe") as opened:
                if not canary.matches(opened):
                    raise KeeperUnavailable("the software keeper does not give back what it has sealed: restart")

    def close(self) -> None:
        """Forget every key; what is asked of it afterwards is refused."""
        with self._using:
            self._sealing = None
            self._ciphers.clear()

    def _open_sealing(self) -> Sealing:
        sealing = self._sealing
        if sealing is None:
            raise KeeperUnavailable("the keystore is closed: open it again")
        return sealing

    def _cipher(self, version: VersionName, kept: bytes) -> AESGCM:
        place = (version, kept)
        with self._using:
            cipher = self._ciphers.get(place)
            if cipher is not None:
                self._ciphers.move_to_end(place)
                return cipher
        with self._open_sealing().open(kept, _purpose(version)) as material:
            if len(material) not in LENGTHS:
                raise KeystoreDamaged(f"the {_purpose(version)} has no length that a key has")
            # The material lives on in OpenSSL's key schedule alone, which OpenSSL clears when the cipher goes.
            cipher = AESGCM(material.reveal())
        with self._using:
            if self._sealing is not None:
                self._ciphers[place] = cipher
                while len(self._ciphers) > MOST_CACHED:
                    self._ciphers.popitem(last=False)
        return cipher


def _purpose(version: VersionName) -> str:
    return f"root key version {version}"
