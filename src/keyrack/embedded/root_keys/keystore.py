"""The keystore: one file that holds one key, from which everything that the key manager protects derives its own.

The key is 32 random bytes, sealed under the master key of an unlock. Another unlock seals the same key again, so that
nothing else needs to be written anew.
"""

import hashlib
import hmac
import threading
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Self

from keyrack.domain.secret import Secret, randomize
from keyrack.embedded import files
from keyrack.embedded.errors import KeystoreDamaged, KeystoreExists, KeystoreLocked, KeystoreMissing
from keyrack.embedded.root_keys import document as form
from keyrack.embedded.root_keys.document import Document
from keyrack.embedded.root_keys.sealing import KEY, Sealing, derive
from keyrack.embedded.root_keys.unlock import Recovered, Unlock


class Keystore:
    """An open keystore; thread-safe. Wipe what it hands out, and :meth:`close` it."""

    def __init__(self, path: Path, document: Document, key: Secret) -> None:
        self._path = path
        self._document = document
        self._key = key
        # A key that is derived while another thread wipes would be a wrong key.
        self._using = threading.Lock()

    @classmethod
    def create(cls, path: Path, unlock: Unlock, *, at: int) -> Self:
        """Make a keystore with a new key; ``at`` is now, in seconds since 1970. Raises :class:`KeystoreExists`."""
        taken = KeystoreExists(f"there is a keystore {path} already: name another path, or remove it")
        if path.exists():
            raise taken
        key = Secret(bytearray(KEY))
        randomize(key.reveal())
        try:
            made = _sealed(Document(identifier=str(uuid.uuid4()), created_at=at, unlock={}), key, unlock)
            files.create(path, form.write(made))
        except BaseException as error:
            key.wipe()
            if isinstance(error, FileExistsError):
                raise taken from None
            raise
        return cls(path, made, key)

    @classmethod
    def open(cls, path: Path, unlock: Unlock | Recovered) -> Self:
        """Open a keystore; raises the ``KeystoreError`` that says what is wrong. A passphrase takes about 0.7 s."""
        document = look(path)
        try:
            return cls(path, document, _opened(document, unlock))
        except (KeystoreDamaged, KeystoreLocked) as error:
            raise type(error)(f"the keystore {path} does not open: {error}") from None

    @property
    def identifier(self) -> str:
        """Its UUID, for ever the same."""
        return self._document.identifier

    @property
    def kind(self) -> str:
        """The kind of the unlock that seals it."""
        return str(self._document.unlock["kind"])

    def derived(self, purpose: str) -> Secret:
        """The key for one purpose: always the same 32 bytes, which tell nothing of any other. The caller wipes it."""
        with self._using:
            self._check_open()
            return derive(self._key, self.identifier, f"keyrack keystore {purpose} v2")

    def key(self) -> Secret:
        """The keystore's own key, for shares of it and for another process of this server; the caller wipes it."""
        with self._using:
            self._check_open()
            return Secret(bytearray(self._key.reveal()))

    def change_unlock(self, unlock: Unlock, *, keep: Path | None = None) -> None:
        """Seal the key under another unlock, which is proved to open it before the file is replaced.

        The file from before is kept as ``keep``: it opens as it did. Raises ``KeystoreError`` and ``OSError``, and
        then the keystore is as it was.
        """
        with self.key() as key, files.locked(self._path):
            text = _text(self._path)
            if form.read(text) != self._document:
                raise KeystoreDamaged(f"the keystore {self._path} was replaced meanwhile: look which one it is")
            changed = _sealed(self._document, key, unlock)
            _opened(changed, unlock).wipe()
            if keep is not None:
                files.create(keep, text)
            files.replace(self._path, form.write(changed))
            self._document = changed

    def close(self) -> None:
        """Forget the key; harmless when repeated."""
        with self._using:
            self._key.wipe()

    def _check_open(self) -> None:
        if not len(self._key):
            raise KeystoreLocked(f"the keystore {self._path} is closed")


def look(path: Path) -> Document:
    """What a keystore says of itself before it is opened, and before anybody knows that it is true."""
    try:
        return form.read(_text(path))
    except KeystoreDamaged as error:
        raise KeystoreDamaged(f"the keystore {path} does not open: {error}") from None


def _sealed(document: Document, key: Secret, unlock: Unlock) -> Document:
    """The document with the key sealed in it under the unlock, with checks and MAC."""
    parameters = {"kind": unlock.kind, **unlock.prepare()}
    with unlock.master_key(parameters) as master:
        check = _check(master, document.identifier)
        open_one = replace(document, unlock={**parameters, "check": check}, sealed=b"", mac=b"")
        with derive(master, document.identifier, "keyrack unlock seal v2") as seal:
            sealed = replace(open_one, sealed=Sealing(seal).seal(key, open_one.header))
    return replace(sealed, mac=_mac(sealed, key))


def _opened(document: Document, unlock: Unlock | Recovered) -> Secret:
    """The keystore's key; the document is authenticated with it."""
    key = Secret(bytearray(unlock.key.reveal())) if isinstance(unlock, Recovered) else _unsealed(document, unlock)
    if not hmac.compare_digest(document.mac, _mac(document, key)):
        key.wipe()
        if isinstance(unlock, Recovered):
            raise KeystoreLocked("the shares do not give its key: one is another keystore's, or this file was changed")
        raise KeystoreDamaged("it was changed by something else than keyrack: restore it from a backup")
    return key


def _unsealed(document: Document, unlock: Unlock) -> Secret:
    parameters = document.unlock
    if parameters.get("kind") != unlock.kind:
        raise KeystoreLocked(f"it is sealed by {_called(parameters.get('kind'))}, and {_called(unlock.kind)} was given")
    with unlock.master_key(parameters) as master:
        # Tells a wrong passphrase from a damaged file, and nothing of the right one.
        noted = str(parameters.get("check")).encode(errors="replace")
        if not hmac.compare_digest(noted, _check(master, document.identifier).encode()):
            raise KeystoreLocked(f"the {unlock.kind} is not the one that seals it".replace("_", " "))
        with derive(master, document.identifier, "keyrack unlock seal v2") as seal:
            return Sealing(seal).open(document.sealed, document.header, "key in it")


def _called(kind: object) -> str:
    return "an HSM" if kind == "hsm" else f"a {kind}".replace("_", " ")


def _check(master: Secret, identifier: str) -> str:
    with derive(master, identifier, "keyrack unlock check v2") as key:
        return hmac.digest(key.reveal(), identifier.encode(), hashlib.sha256)[:16].hex()


def _mac(document: Document, key: Secret) -> bytes:
    # Under the keystore's own key, not the master key: shares alone authenticate the file too.
    with derive(key, document.identifier, "keyrack document mac v2") as mac:
        return hmac.digest(mac.reveal(), document.authenticated, hashlib.sha256)


def _text(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            text = file.read(form.LARGEST + 1)
    except FileNotFoundError:
        raise KeystoreMissing(f"there is no keystore {path}: make one with keyrack init, or correct the path") from None
    if len(text) > form.LARGEST:
        raise KeystoreDamaged(f"it is longer than {form.LARGEST} bytes: it is another file")
    return text
