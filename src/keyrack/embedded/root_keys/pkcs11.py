"""The keeper of root keys in an HSM: keys are made inside, never leave, and are used through PKCS#11.

Each root key version is one AES key of the token, labelled ``keyrack <key>``, with the version's UUID as identifier.
"""

import hmac
import os
import uuid

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_unwrap_with_padding

from keyrack.domain.secret import Secret, randomize
from keyrack.embedded.errors import InvalidField, KeeperUnavailable, KeystoreDamaged, UnprocessableCiphertext
from keyrack.embedded.root_keys.binding import associated
from keyrack.embedded.root_keys.port import Enciphered, VersionName
from keyrack.embedded.root_keys.token_frames import Answer, Asked, Field, Heard
from keyrack.embedded.root_keys.token_line import Line, TokenSettings

__all__ = ["LONGEST", "Pkcs11Keeper", "TokenSettings"]

LONGEST = 32768
"""Bytes that may be enciphered at once; Key Protect takes 7,500."""
MATERIAL = (16, 24, 32)
_CANARY = 32


class Pkcs11Keeper:
    """Keeps root keys in one token; implements ``root_keys.port.Keeper``. The database keeps nothing of them.

    The token is first asked by the first call, and a lost one is found again by the next call after its return.
    """

    def __init__(self, settings: TokenSettings) -> None:
        self._settings = settings
        self._line = Line(settings)
        self._owner = os.getpid()

    @property
    def name(self) -> str:
        """What the database notes beside each version."""
        return "pkcs11"

    @property
    def prompt(self) -> bool:
        """It waits for another process, and maybe for a network."""
        return False

    def generate(self, version: VersionName) -> bytes:
        """Make an AES-256 key in the token; repeated, it finds the one that it has made."""
        self._done(Asked.GENERATE, version)
        return b""

    def take(self, version: VersionName, material: Secret) -> bytes:
        """Put imported material into the token, and see that what lies there is this material."""
        if len(material) not in MATERIAL:
            raise InvalidField("the material of a root key has 16, 24 or 32 bytes")
        self._done(Asked.TAKE, version, material.reveal())
        self._check_same(version, material)
        return b""

    def encipher(self, version: VersionName, kept: bytes, plaintext: Secret, bound: bytes) -> Enciphered:
        """AES-GCM, or AES key wrap with an empty nonce."""
        if len(plaintext) > LONGEST:
            raise InvalidField(f"a root key wraps at most {LONGEST} bytes")
        heard = self._done(Asked.ENCIPHER, version, associated(version, bound), plaintext.reveal())
        nonce, ciphertext = map(bytes, heard.fields)
        return Enciphered(nonce, ciphertext)

    def decipher(self, version: VersionName, kept: bytes, enciphered: Enciphered, bound: bytes) -> Secret:
        """The plaintext of either mechanism, whichever makes new keys now."""
        if len(enciphered.iv) + len(enciphered.ciphertext) > LONGEST + 64:
            raise UnprocessableCiphertext(_DOES_NOT_OPEN)
        heard = self._done(Asked.DECIPHER, version, associated(version, bound), enciphered.iv, enciphered.ciphertext)
        return Secret(heard.fields[0])

    def destroy(self, version: VersionName, kept: bytes) -> None:
        """Destroy the key in the token; copies of the token that its maker's tools have made keep it."""
        self._done(Asked.DESTROY, version)

    def probe(self) -> None:
        """Return when the token is there, and enciphers."""
        self._answer(Asked.PROBE)

    def close(self) -> None:
        """Log out and end the process; every later call raises ``KeeperUnavailable``."""
        self._line.close()

    def _done(self, word: Asked, version: VersionName, *fields: Field) -> Heard:
        label, identifier = f"keyrack {version.key}".encode(), uuid.UUID(version.version).bytes
        return self._answer(word, label, identifier, *fields)

    def _answer(self, word: Asked, *fields: Field) -> Heard:
        if self._owner != os.getpid():
            # After a fork two would ask on one line, and each would hear the other's answers.
            self._line.abandon()
            self._line, self._owner = Line(self._settings), os.getpid()
        heard = self._line.ask(word, *fields)
        if heard.word in (Answer.DONE, Answer.THERE):
            return heard
        token = self._settings.token
        if heard.word == Answer.UNPROCESSABLE:
            raise UnprocessableCiphertext(_DOES_NOT_OPEN)
        if heard.word == Answer.MISSING:
            raise KeystoreDamaged(
                f"the HSM token {token!r} was asked for a root key, and {heard.text()}: it was deleted there, or"
                " another token has this label. Restore the token, or correct 'token'"
            )
        raise KeeperUnavailable(f"the HSM token {token!r} refuses: {heard.text()}")

    def _check_same(self, version: VersionName, material: Secret) -> None:
        """Let the HSM encipher something that the material itself must open."""
        canary = bytearray(_CANARY)
        randomize(canary)
        with Secret(canary) as secret:
            enciphered = self.encipher(version, b"", secret, b"canary")
            if not _opens(enciphered, material, associated(version, b"canary"), bytes(canary)):
                raise KeystoreDamaged(
                    f"the HSM token {self._settings.token!r} has another key than the imported one for the root key"
                    f" {version.key}, version {version.version}"
                )


_DOES_NOT_OPEN = "the ciphertext is another key's, was bound to other strings, or was changed"


def _opens(enciphered: Enciphered, material: Secret, context: bytes, canary: bytes) -> bool:
    if enciphered.iv:
        try:
            opened = AESGCM(material.reveal()).decrypt(enciphered.iv, enciphered.ciphertext, context)
        except InvalidTag:
            return False
        return hmac.compare_digest(opened, canary)
    for unwrap in (aes_key_unwrap_with_padding, aes_key_unwrap):
        try:
            opened = unwrap(bytes(material.reveal()), enciphered.ciphertext)
        except (InvalidUnwrap, ValueError):
            continue
        return opened.startswith(canary)
    return False
