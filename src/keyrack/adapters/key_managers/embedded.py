"""The embedded key manager as a ``KeyManager``, called within the process."""

import asyncio
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from keyrack.adapters.key_managers._grouped import Grouped
from keyrack.domain.secret import Secret
from keyrack.embedded.actions import Actions
from keyrack.embedded.errors import KeystoreError, Refusal
from keyrack.embedded.keys import Action, RootKeyRecord
from keyrack.embedded.root_keys.software import SoftwareKeystore
from keyrack.embedded.root_keys.unlock import Unlock
from keyrack.embedded.store import StandardKeys
from keyrack.ports.key_manager import (
    KeyManagerRefused,
    KeyManagerUnavailable,
    RootKey,
    StandardKey,
    Unwrapped,
    Wrapped,
)

T = TypeVar("T")


class EmbeddedKeyManager:
    """Implements ``ports.key_manager.KeyManager`` and ``RootKeyAdministration`` over ``keyrack.embedded``.

    Root keys are used on the calling thread, in microseconds. What waits for a disk runs in one thread of its own.
    """

    def __init__(
        self, keystore: SoftwareKeystore, standard_keys: StandardKeys, clock: Callable[[], float] = time.time
    ) -> None:
        self._keystore = keystore
        self._actions = Actions(keystore)
        self._standard_keys = standard_keys
        self._clock = clock
        self._disk = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embedded-key-manager")
        self._puts: Grouped[tuple[str, bytes], str] = Grouped(self._put_all)

    @classmethod
    def create(cls, path: Path, unlock: Unlock, clock: Callable[[], float] = time.time) -> Self:
        """Make a keystore at ``path``, and beside it the file of standard keys; raises ``KeystoreError``."""
        keystore = SoftwareKeystore.create(path, unlock, at=int(clock()))
        return cls(keystore, StandardKeys(standard_keys_path(path)), clock)

    @classmethod
    def open(cls, path: Path, unlock: Unlock, clock: Callable[[], float] = time.time) -> Self:
        """Open the keystore at ``path``; raises ``KeystoreError``, whose text says what to do."""
        keystore = SoftwareKeystore.open(path, unlock)
        return cls(keystore, StandardKeys(standard_keys_path(path)), clock)

    def integrity_root(self) -> Secret:
        """The deployment's integrity root, for the vault; the caller wipes it."""
        return self._keystore.integrity_root()

    async def describe_root_key(self, root_key: str) -> RootKey:
        """The root key as it is now."""
        with _TRANSLATED:
            return _described(self._keystore.get(root_key))

    async def list_root_keys(self) -> Sequence[RootKey]:
        """Every root key, oldest first."""
        with _TRANSLATED:
            return [_described(record) for record in self._keystore.all()]

    async def create_root_key(self, name: str) -> RootKey:
        """A new active root key, durable when this returns."""
        return _described(await self._on_disk(lambda: self._keystore.create_root_key(name, at=self._now())))

    async def rotate_root_key(self, root_key: str) -> RootKey:
        """Give the root key another version."""
        return _described(await self._on_disk(lambda: self._keystore.rotate(root_key, at=self._now())))

    async def disable_root_key(self, root_key: str) -> None:
        """Suspend the root key: every key under it is refused from now on."""
        await self._on_disk(lambda: self._keystore.change(root_key, Action.DISABLE))

    async def enable_root_key(self, root_key: str) -> None:
        """Make a suspended root key active again."""
        await self._on_disk(lambda: self._keystore.change(root_key, Action.ENABLE))

    async def delete_root_key(self, root_key: str) -> None:
        """Delete the root key: every key under it is lost."""
        await self._on_disk(lambda: self._keystore.change(root_key, Action.DELETE))

    async def wrap(self, root_key: str, plaintext: Secret, aad: Sequence[str]) -> Wrapped:
        """Wrap with the newest version."""
        with _TRANSLATED:
            return self._actions.wrap(root_key, plaintext, aad)

    async def unwrap(self, root_key: str, ciphertext: bytes, aad: Sequence[str]) -> Unwrapped:
        """Unwrap what any version has wrapped."""
        with _TRANSLATED:
            return self._actions.unwrap(root_key, ciphertext, aad)

    async def rewrap(self, root_key: str, ciphertext: bytes, aad: Sequence[str]) -> Wrapped:
        """The same plaintext under the newest version."""
        with _TRANSLATED:
            return self._actions.rewrap(root_key, ciphertext, aad)

    async def put_standard_key(self, name: str, payload: bytes) -> str:
        """Keep a standard key; those that are put at the same time share one transaction."""
        return await self._puts.add((name, payload))

    async def get_standard_key(self, identifier: str) -> StandardKey:
        """The standard key with its payload."""
        record = await self._on_disk(lambda: self._standard_keys.get(identifier))
        return StandardKey(record.identifier, record.name, record.payload)

    async def list_standard_keys(self, prefix: str) -> AsyncIterator[StandardKey]:
        """All standard keys whose names begin with ``prefix``, without payload."""
        after = ""
        while page := await self._on_disk(partial(self._standard_keys.page, prefix, after)):
            for record in page:
                yield StandardKey(record.identifier, record.name, b"")
            after = page[-1].identifier

    async def delete_standard_key(self, identifier: str) -> None:
        """Delete one, if it is there."""
        await self._on_disk(lambda: self._standard_keys.delete(identifier, at=self._now()))

    async def probe(self, root_key: str) -> None:
        """Wrap and unwrap a random value."""
        with _TRANSLATED, Secret(bytearray(os.urandom(16))) as canary:
            wrapped = self._actions.wrap(root_key, canary, _PROBE)
            with self._actions.unwrap(root_key, wrapped.ciphertext, _PROBE).plaintext as opened:
                if not canary.matches(opened):
                    raise KeyManagerUnavailable("the root key does not give back what it has wrapped")

    async def close(self) -> None:
        """Finish what is under way, let go of the files and forget the keys."""
        await asyncio.get_running_loop().run_in_executor(self._disk, self._standard_keys.close)
        self._disk.shutdown()
        self._keystore.close()

    def _now(self) -> int:
        return int(self._clock())

    async def _put_all(self, keys: Sequence[tuple[str, bytes]]) -> Sequence[str]:
        return await self._on_disk(lambda: self._standard_keys.put(keys, at=self._now()))

    async def _on_disk(self, act: Callable[[], T]) -> T:
        with _TRANSLATED:
            return await asyncio.get_running_loop().run_in_executor(self._disk, act)


class _Translated:
    """Makes foreign errors the port's two, keeping the cause. One object serves all: it holds nothing."""

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Refusal):
            raise KeyManagerRefused(str(error)) from error
        if isinstance(error, KeystoreError | OSError | sqlite3.Error):
            raise KeyManagerUnavailable(f"the embedded key manager's store fails: {error}") from error


_TRANSLATED = _Translated()
_PROBE = ("keyrack probe",)


def standard_keys_path(keystore: Path) -> Path:
    """The file of standard keys that belongs to a keystore."""
    return keystore.with_name(f"{keystore.name}-standard-keys.db")


def _described(record: RootKeyRecord) -> RootKey:
    return RootKey(record.identifier, record.name, int(record.state), record.newest.identifier, record.created_at)
