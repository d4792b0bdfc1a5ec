"""The embedded key manager as a ``KeyManager``, called within the process: a view of one key manager instance."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from keyrack.adapters.key_managers._grouped import Grouped
from keyrack.adapters.key_managers._reasons import reason_of
from keyrack.domain.secret import Secret
from keyrack.embedded import actions, creation, lifecycle, lookup, tenancy
from keyrack.embedded.call import KEYRACK, Call
from keyrack.embedded.errors import KeyDeleted, KeyNotFound, KeystoreBehind, KeystoreError, Refusal
from keyrack.embedded.house import House
from keyrack.embedded.keys import Key, KeyState
from keyrack.embedded.root_keys.unlock import Unlock
from keyrack.ports.key_manager import (
    KeyManagerRefused,
    KeyManagerUnavailable,
    Reason,
    RootKey,
    StandardKey,
    Unwrapped,
    Withdrawn,
    Wrapped,
)

T = TypeVar("T")
PAGE = 500
"""Standard keys that are listed at a time."""


class EmbeddedKeyManager:
    """Implements ``ports.key_manager``: ``KeyManager``, ``RootKeyAdministration`` and ``TellsWithdrawals``.

    Root keys in software are used on the calling thread, in microseconds. What waits for a disk runs in one thread of
    its own, what waits for an HSM in another, and what reads a payload in a third.
    """

    def __init__(self, house: House, instance: str, lanes: "Lanes | None" = None) -> None:
        """View one instance of ``house``; views of the same house share their ``lanes``."""
        self.house = house
        self.instance = instance
        self._lanes = lanes or Lanes()
        self._quiet = Call(caller=KEYRACK, instance=instance, journaled=False)
        self._told = Call(caller=KEYRACK, instance=instance)
        self._puts: Grouped[tuple[str, bytes], str] = Grouped(self._put_all)

    @classmethod
    def create(cls, path: Path, unlock: Unlock, clock: Callable[[], float] = time.time) -> Self:
        """Make a keystore at ``path``, its database and its first instance; raises ``KeystoreError``."""
        house = House.create(path, unlock, clock)
        return cls(house, tenancy.create_instance(house, KEYRACK, tenancy.DEFAULT_NAME).identifier)

    @classmethod
    def open(cls, path: Path, unlock: Unlock, clock: Callable[[], float] = time.time) -> Self:
        """Open the keystore at ``path`` and view its first instance; raises ``KeystoreError``."""
        return cls.first_of(House.open(path, unlock, clock=clock))

    @classmethod
    def first_of(cls, house: House) -> Self:
        """View the first instance, the one that ``keyrack init`` has made."""
        return cls(house, tenancy.instances(house)[0].identifier)

    def other(self, instance: str) -> "EmbeddedKeyManager":
        """The view of another instance of the same house."""
        return EmbeddedKeyManager(self.house, instance, self._lanes)

    async def administered(self, act: Callable[[House], T], *, makes: bool = False) -> T:
        """What an administrator's act on the house gives, beside those that use it; ``makes``: it makes material, which
        may be an HSM's to do. Raises the port's two failures, with the refusal as their cause."""
        lane = self._lanes.token if makes else self._lanes.disk
        return await self._in(lane, lambda: act(self.house))

    def integrity_root(self) -> Secret:
        """The deployment's integrity root, for the vault; the caller wipes it."""
        return self.house.keystore.derived("integrity root")

    async def describe_root_key(self, root_key: str) -> RootKey:
        """The root key as it is now."""
        return await self._at_once(lambda: self._described(lookup.metadata(self.house, self._quiet, root_key)))

    async def list_root_keys(self) -> Sequence[RootKey]:
        """Every root key of the instance, oldest first."""
        return await self._on_disk(self._list_root_keys)

    async def create_root_key(self, name: str) -> RootKey:
        """A new active root key, durable when this returns."""
        wanted = creation.NewKey(name=name, extractable=False)
        return self._described(await self._on_token(lambda: creation.create(self.house, self._told, wanted)))

    async def rotate_root_key(self, root_key: str) -> RootKey:
        """Give the root key another version."""
        return self._described(await self._on_token(lambda: lifecycle.rotate(self.house, self._told, root_key)))

    async def disable_root_key(self, root_key: str) -> None:
        """Suspend the root key: every key under it is refused from now on."""
        await self._on_disk(lambda: lifecycle.disable(self.house, self._told, root_key))

    async def enable_root_key(self, root_key: str) -> None:
        """Make a suspended root key active again."""
        await self._on_disk(lambda: lifecycle.enable(self.house, self._told, root_key))

    async def delete_root_key(self, root_key: str) -> None:
        """Delete the root key: every key under it is refused, until it is restored."""
        await self._on_disk(lambda: lifecycle.delete(self.house, self._told, root_key))

    async def wrap(self, root_key: str, plaintext: Secret, aad: Sequence[str]) -> Wrapped:
        """Wrap with the newest version."""
        told = await self._quickly(lambda: actions.wrap(self.house, self._quiet, root_key, plaintext, aad))
        return Wrapped(told.ciphertext, told.version)

    async def unwrap(self, root_key: str, ciphertext: bytes, aad: Sequence[str]) -> Unwrapped:
        """Unwrap what any version has wrapped."""
        told = await self._quickly(lambda: actions.unwrap(self.house, self._quiet, root_key, ciphertext, aad))
        if told.rewrapped is None or told.rewrapped_version is None:
            return Unwrapped(told.plaintext, told.version)
        return Unwrapped(told.plaintext, told.version, Wrapped(told.rewrapped, told.rewrapped_version))

    async def rewrap(self, root_key: str, ciphertext: bytes, aad: Sequence[str]) -> Wrapped:
        """The same plaintext under the newest version."""
        told = await self._quickly(lambda: actions.rewrap(self.house, self._quiet, root_key, ciphertext, aad))
        return Wrapped(told.ciphertext, told.rewrapped_version)

    async def put_standard_key(self, name: str, payload: bytes) -> str:
        """Keep a standard key; those that are put at the same time share one transaction."""
        return await self._puts.add((name, payload))

    async def get_standard_key(self, identifier: str) -> StandardKey:
        """The standard key with its payload."""
        return await self._in(self._lanes.reading, lambda: self._get_standard_key(identifier))

    async def list_standard_keys(self, prefix: str) -> AsyncIterator[StandardKey]:
        """All standard keys whose names begin with ``prefix``, without payload."""
        after = ""
        # What another node has just put is missing in no list that begins now.
        await self._on_disk(self.house.database.follow)
        while page := await self._on_disk(partial(lookup.standard_names, self.house, self._quiet, prefix, after, PAGE)):
            for identifier, name in page:
                yield StandardKey(identifier, name, b"")
            after = page[-1][0]

    async def find_standard_keys(self, name: str) -> Sequence[StandardKey]:
        """The standard keys of exactly this name, without payload."""
        return [each async for each in self.list_standard_keys(name) if each.name == name]

    async def delete_standard_key(self, identifier: str) -> None:
        """Delete one, if it is there."""

        def delete() -> None:
            try:
                lifecycle.delete(self.house, self._told, identifier)
            except (KeyNotFound, KeyDeleted):
                return

        await self._on_disk(delete)

    async def probe(self, root_key: str) -> None:
        """Wrap and unwrap a random value; an expired root key passes."""
        await self._quickly(lambda: actions.prove(self.house, self._quiet, root_key))

    async def withdrawn(self, since: int | None) -> Withdrawn:
        """What was disabled or deleted in any instance of the house since a cursor."""
        return await self._quickly(lambda: self._withdrawn(since))

    async def close(self) -> None:
        """Finish what is under way, let go of the files and of the token, and forget the keys. Once for a house."""
        await self._lanes.close()
        self.house.close()

    def _list_root_keys(self) -> list[RootKey]:
        self.house.database.follow()
        with self.house.reading() as reading:
            keys = reading.select("instance = ? AND extractable = 0", (self.instance,), order="created_at, rowid")
        return [self._described(key) for key in keys]

    def _get_standard_key(self, identifier: str) -> StandardKey:
        key, payload = lookup.read(self.house, self._quiet, identifier)
        if payload is None:
            raise KeyNotFound(f"there is no standard key {identifier}")
        with payload:
            if key.state_at(self.house.now) is not KeyState.ACTIVE:
                raise KeyDeleted(f"the standard key {identifier} is not active: it was deleted, or has expired")
            return StandardKey(key.identifier, key.name, bytes(payload.reveal()))

    def _withdrawn(self, since: int | None) -> Withdrawn:
        with self.house.reading() as reading:
            if since is None or since >= reading.revision:
                return Withdrawn(reading.revision)
            told = reading.withdrawn(since)
        return Withdrawn(told.revision, told.root_keys, told.standard_keys)

    def _described(self, key: Key) -> RootKey:
        if key.extractable:
            raise KeyManagerRefused(f"{key.identifier} is a standard key, and a root key is needed", Reason.REQUEST)
        state = int(key.state_at(self.house.now))
        return RootKey(key.identifier, key.name, state, key.newest.identifier, key.created_at)

    async def _put_all(self, keys: Sequence[tuple[str, bytes]]) -> Sequence[str]:
        return await self._on_disk(lambda: creation.put_standard_keys(self.house, self._told, keys))

    async def _quickly(self, act: Callable[[], T]) -> T:
        """Here, where every keeper answers within microseconds; else in the token's lane."""
        if not all(keeper.prompt for keeper in self.house.keepers.values()):
            return await self._on_token(act)
        return await self._at_once(act)

    async def _at_once(self, act: Callable[[], T]) -> T:
        """Here; but a refusal that another node may have made untrue is looked at again where one may wait."""
        with _TRANSLATED:
            if not self.house.database.followed:
                return act()
            with suppress(Refusal, KeystoreBehind):
                return act()
        return await self._in(self._lanes.reading, act)

    async def _on_disk(self, act: Callable[[], T]) -> T:
        return await self._in(self._lanes.disk, act)

    async def _on_token(self, act: Callable[[], T]) -> T:
        return await self._in(self._lanes.token, act)

    async def _in(self, lane: ThreadPoolExecutor, act: Callable[[], T]) -> T:
        with _TRANSLATED:
            return await asyncio.get_running_loop().run_in_executor(lane, lambda: self.house.settled(act))


class Lanes:
    """The threads of one house: who waits for the disk does not wait behind an HSM, nor the other way round.

    And who only reads waits for neither: a host that boots must not wait until somebody's new key is written.
    """

    def __init__(self) -> None:
        self.reading = ThreadPoolExecutor(max_workers=1, thread_name_prefix="key-manager-reading")
        self.disk = ThreadPoolExecutor(max_workers=1, thread_name_prefix="key-manager-disk")
        self.token = ThreadPoolExecutor(max_workers=1, thread_name_prefix="key-manager-token")

    async def close(self) -> None:
        """Wait for what is under way."""
        for lane in (self.reading, self.disk, self.token):
            await asyncio.to_thread(lane.shutdown)


class _Translated:
    """Makes foreign errors the port's two, keeping the cause. One object serves all: it holds nothing."""

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Refusal):
            reason = reason_of(error.status, error.code)
            raise KeyManagerRefused(str(error), reason, code=f"{error.status} {error.code}") from error
        if isinstance(error, KeystoreError | OSError | sqlite3.Error):
            raise KeyManagerUnavailable(f"the embedded key manager fails: {error}", Reason.FAILING) from error


_TRANSLATED = _Translated()
