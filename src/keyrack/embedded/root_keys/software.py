"""The software keystore: one file with the deployment's integrity root and its root keys, sealed under a master key.

Several processes may use one keystore: each looks at every use whether the file was replaced, so that a root key that
one of them disables is refused by all at once. Writers exclude each other with a lock.
"""

import hmac
import os
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keyrack.domain.secret import Secret, randomize
from keyrack.embedded import files
from keyrack.embedded.errors import (
    KeyNotFound,
    KeystoreDamaged,
    KeystoreExists,
    KeystoreLocked,
    KeystoreMissing,
    UnprocessableCiphertext,
)
from keyrack.embedded.keys import Action, KeyState, KeyVersion, RootKeyRecord
from keyrack.embedded.root_keys import document
from keyrack.embedded.root_keys.document import Document
from keyrack.embedded.root_keys.sealing import TAG, Sealing
from keyrack.embedded.root_keys.unlock import Unlock

ROOT_KEY = 32
"""Length of a root key in bytes: AES-256."""


class SoftwareKeystore:
    """Root keys in a sealed file; implements ``root_keys.port.RootKeys``.

    Its methods read or write a file and may raise ``OSError``; after :meth:`open`, only those that change something
    take longer than microseconds.
    """

    def __init__(self, path: Path, sealing: Sealing) -> None:
        self._path = path
        self._sealing = sealing
        self._file: BinaryIO | None = None
        self._stamp: tuple[int, int] | None = None
        self._ciphers: dict[str, AESGCM] = {}
        self._reading = threading.Lock()
        self._document: Document

    @classmethod
    def create(cls, path: Path, unlock: Unlock, *, at: int) -> Self:
        """Make a keystore with a new integrity root and no root keys; raises :class:`KeystoreExists`."""
        parameters = {"kind": unlock.kind, **unlock.prepare()}
        identifier = str(uuid.uuid4())
        with unlock.master_key(parameters) as master:
            sealing = Sealing.of(master, identifier)
        with _random_key() as integrity_root:
            first = Document(
                identifier=identifier,
                created_at=at,
                revision=1,
                unlock={**parameters, "check": sealing.check},
                integrity_root=sealing.seal(integrity_root, "integrity root"),
            )
        try:
            files.create(path, document.write(first, sealing.mac_key))
        except FileExistsError:
            raise KeystoreExists(f"there is a keystore {path} already: name another path, or remove it") from None
        keystore = cls(path, sealing)
        keystore._current()
        return keystore

    @classmethod
    def open(cls, path: Path, unlock: Unlock) -> Self:
        """Open a keystore; raises the ``KeystoreError`` that says what is wrong. A passphrase takes about 0.4 s."""
        found: list[Sealing] = []

        def mac_key(parameters: Mapping[str, Any], identifier: str) -> Secret:
            found.append(_sealing(unlock, parameters, identifier))
            return found[0].mac_key

        with _opened(path) as file:
            _read(path, file, mac_key)
        keystore = cls(path, found[0])
        keystore._current()
        return keystore

    def integrity_root(self) -> Secret:
        """The key that authenticates the deployment's records; the caller wipes it."""
        return self._sealing.open(self._current().integrity_root, "integrity root")

    def all(self) -> Sequence[RootKeyRecord]:
        """Every root key that was ever created, oldest first."""
        return tuple(self._current().root_keys.values())

    def get(self, identifier: str) -> RootKeyRecord:
        """The root key as it is now; raises :class:`KeyNotFound`."""
        return _found(self._current(), identifier)

    def create_root_key(self, name: str, *, at: int) -> RootKeyRecord:
        """A new active root key."""
        return self._change(lambda now: self._with_version(now, _new_record(name, at), at))

    def rotate(self, identifier: str, *, at: int) -> RootKeyRecord:
        """Give the root key another version, which wraps from now on."""

        def rotated(now: Document) -> tuple[Document, RootKeyRecord]:
            record = _found(now, identifier)
            record.allow(Action.ROTATE)
            return self._with_version(now, record, at)

        return self._change(rotated)

    def change(self, identifier: str, action: Action) -> RootKeyRecord:
        """Disable, enable or delete the root key."""

        def changed(now: Document) -> tuple[Document, RootKeyRecord]:
            return _with_record(now, _found(now, identifier).after(action))

        return self._change(changed)

    def encipher(self, version: str, nonce: bytes, plaintext: Secret, aad: bytes) -> bytes:
        """AES-256-GCM under one version of a root key: ciphertext and tag."""
        return self._cipher(version).encrypt(nonce, plaintext.reveal(), aad)

    def decipher(self, version: str, nonce: bytes, ciphertext: bytes, aad: bytes) -> Secret:
        """The reverse; raises :class:`UnprocessableCiphertext`."""
        buffer = Secret(bytearray(max(len(ciphertext) - TAG, 0)))
        try:
            self._cipher(version).decrypt_into(nonce, ciphertext, aad, buffer.reveal())
        except (InvalidTag, ValueError):
            buffer.wipe()  # GCM deciphers before it knows that the tag is wrong.
            raise UnprocessableCiphertext(
                "the ciphertext is another key's, was bound to other strings, or was changed"
            ) from None
        return buffer

    def close(self) -> None:
        """Forget every key; the object is of no use afterwards."""
        self._ciphers.clear()
        self._sealing.wipe()
        if self._file is not None:
            self._file.close()

    def _cipher(self, version: str) -> AESGCM:
        cipher = self._ciphers.get(version)
        if cipher is None:
            # The material lives on in OpenSSL's key schedule alone, which OpenSSL clears when the cipher goes.
            sealed = self._document.material.get(version)
            if sealed is None:
                raise KeyNotFound(f"there is no root key version {version}")
            with self._sealing.open(sealed, f"root key version {version}") as material:
                cipher = self._ciphers[version] = AESGCM(material.reveal())
        return cipher

    def _current(self) -> Document:
        """The document as it is in the file now: read again only after the file was replaced."""
        try:
            status = os.stat(self._path)
        except FileNotFoundError:
            raise KeystoreMissing(f"there is no keystore {self._path}: put it back, or correct the path") from None
        # The file that was read stays open, so that no other one can get its inode number.
        if (status.st_dev, status.st_ino) != self._stamp:
            with self._reading:
                self._reread()
        return self._document

    def _reread(self) -> None:
        file = _opened(self._path)
        try:
            read = _read(self._path, file, lambda parameters, identifier: self._sealing.mac_key)
        except BaseException:
            file.close()
            raise
        status = os.fstat(file.fileno())
        before, self._file = self._file, file
        self._document, self._stamp = read, (status.st_dev, status.st_ino)
        usable = {
            v.identifier for k in read.root_keys.values() if k.state is not KeyState.DESTROYED for v in k.versions
        }
        for version in self._ciphers.keys() - usable:
            del self._ciphers[version]
        if before is not None:
            before.close()

    def _change(self, make: Callable[[Document], tuple[Document, RootKeyRecord]]) -> RootKeyRecord:
        with files.locked(self._path):
            changed, record = make(self._current())
            changed = replace(changed, revision=changed.revision + 1)
            files.replace(self._path, document.write(changed, self._sealing.mac_key))
            self._current()
        return record

    def _with_version(self, now: Document, record: RootKeyRecord, at: int) -> tuple[Document, RootKeyRecord]:
        version = KeyVersion(identifier=str(uuid.uuid4()), created_at=at)
        with _random_key() as material:
            sealed = self._sealing.seal(material, f"root key version {version.identifier}")
        now = replace(now, material={**now.material, version.identifier: sealed})
        return _with_record(now, replace(record, versions=(*record.versions, version)))


def _sealing(unlock: Unlock, parameters: Mapping[str, Any], identifier: str) -> Sealing:
    if parameters.get("kind") != unlock.kind:
        raise KeystoreLocked(
            f"it is sealed by a {parameters.get('kind')}, and a {unlock.kind} was given".replace("_", " ")
        )
    with unlock.master_key(parameters) as master:
        sealing = Sealing.of(master, identifier)
    if not hmac.compare_digest(str(parameters.get("check")).encode(), sealing.check.encode()):
        raise KeystoreLocked(f"the {unlock.kind} is not the one that seals it".replace("_", " "))
    return sealing


def _read(path: Path, file: BinaryIO, mac_key: Callable[[Mapping[str, Any], str], Secret]) -> Document:
    try:
        text = file.read(document.LARGEST + 1)
        if len(text) > document.LARGEST:
            raise KeystoreDamaged(f"it is longer than {document.LARGEST} bytes: it is another file")
        return document.read(text, mac_key)
    except (KeystoreDamaged, KeystoreLocked) as error:
        raise type(error)(f"the keystore {path} does not open: {error}") from None


def _opened(path: Path) -> BinaryIO:
    try:
        return open(path, "rb")  # noqa: SIM115 - the keystore keeps it open
    except FileNotFoundError:
        raise KeystoreMissing(f"there is no keystore {path}: make one with keyrack init, or correct the path") from None


def _found(now: Document, identifier: str) -> RootKeyRecord:
    record = now.root_keys.get(identifier)
    if record is None:
        raise KeyNotFound(f"there is no root key {identifier}")
    return record


def _with_record(now: Document, record: RootKeyRecord) -> tuple[Document, RootKeyRecord]:
    return replace(now, root_keys={**now.root_keys, record.identifier: record}), record


def _new_record(name: str, at: int) -> RootKeyRecord:
    return RootKeyRecord(identifier=str(uuid.uuid4()), name=name, state=KeyState.ACTIVE, created_at=at, versions=())


def _random_key() -> Secret:
    material = bytearray(ROOT_KEY)
    randomize(material)
    return Secret(material)
