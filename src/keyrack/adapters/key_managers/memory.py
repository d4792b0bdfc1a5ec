"""A key manager in memory, for tests and demonstrations of what goes wrong: it fails in the ways it is told to."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keyrack.domain.secret import SYSTEM, Randomness, Secret
from keyrack.ports.key_manager import (
    KeyManagerRefused,
    KeyManagerUnavailable,
    Reason,
    RootKey,
    StandardKey,
    Unwrapped,
    Wrapped,
)

_ACTIVE, _SUSPENDED, _DESTROYED = 1, 2, 5
_NONCE = 12
_TAG = 16


class Fault(Enum):
    """How a call fails."""

    REFUSE = auto()
    """The key manager says no."""
    UNAVAILABLE = auto()
    """The call does not arrive."""
    LOSE_ANSWER = auto()
    """The call is done, and its answer is lost."""


@dataclass(slots=True)
class _Kept:
    described: RootKey
    materials: list[tuple[str, bytes]] = field(default_factory=list)


class MemoryKeyManager:
    """Implements ``KeyManager`` and ``RootKeyAdministration`` with nothing but dictionaries.

    ``binds_aad=False`` makes it a provider that ignores the strings it is given, as some do.
    """

    def __init__(self, *, binds_aad: bool = True, randomness: Randomness = SYSTEM) -> None:
        """Begin empty, and failing nowhere."""
        self._randomness = randomness
        self._binds_aad = binds_aad
        self._root_keys: dict[str, _Kept] = {}
        self._standard_keys: dict[str, StandardKey] = {}
        self._faults: defaultdict[str, list[Fault]] = defaultdict(list)
        self.down: Fault | None = None
        """Every call fails in this way until it is ``None`` again."""
        self.delay = 0.0
        """Seconds that every call takes."""
        self.calls: Counter[str] = Counter()
        """How often each method was called."""

    def fail(self, method: str, fault: Fault, times: int = 1) -> None:
        """Let the next ``times`` calls of ``method`` fail."""
        self._faults[method] += [fault] * times

    async def describe_root_key(self, root_key: str) -> RootKey:
        """As it is now."""
        async with self._call("describe_root_key"):
            return self._kept(root_key).described

    async def list_root_keys(self) -> Sequence[RootKey]:
        """All of them, in the order of their creation."""
        async with self._call("list_root_keys"):
            return [kept.described for kept in self._root_keys.values()]

    async def create_root_key(self, name: str, material: bytes | None = None) -> RootKey:
        """A new one; two with the same ``material`` open each other's ciphertexts, as imported keys do."""
        async with self._call("create_root_key"):
            identifier = self._randomness.identifier()
            self._root_keys[identifier] = _Kept(RootKey(identifier, name, _ACTIVE, "", 0))
            return self._add_version(identifier, material or self._randomness.octets(32))

    async def rotate_root_key(self, root_key: str) -> RootKey:
        """Add a version."""
        async with self._call("rotate_root_key"):
            self._usable(root_key)
            return self._add_version(root_key, self._randomness.octets(32))

    async def disable_root_key(self, root_key: str) -> None:
        """Suspend it."""
        async with self._call("disable_root_key"):
            self._usable(root_key)
            self._set_state(root_key, _SUSPENDED)

    async def enable_root_key(self, root_key: str) -> None:
        """Activate it again."""
        async with self._call("enable_root_key"):
            if self._kept(root_key).described.state != _SUSPENDED:
                raise KeyManagerRefused(f"the root key {root_key} is not suspended")
            self._set_state(root_key, _ACTIVE)

    async def delete_root_key(self, root_key: str) -> None:
        """Delete it."""
        async with self._call("delete_root_key"):
            if self._kept(root_key).described.state == _DESTROYED:
                raise KeyManagerRefused(f"the root key {root_key} has been deleted")
            self._set_state(root_key, _DESTROYED)

    async def wrap(self, root_key: str, plaintext: Secret, aad: Sequence[str]) -> Wrapped:
        """Wrap with the newest version."""
        async with self._call("wrap"):
            return self._wrap(self._usable(root_key), plaintext, aad)

    async def unwrap(self, root_key: str, ciphertext: bytes, aad: Sequence[str]) -> Unwrapped:
        """Unwrap with whatever version it is."""
        async with self._call("unwrap"):
            kept = self._usable(root_key)
            version, plaintext = self._open(kept, ciphertext, aad)
            newest = version == kept.described.version
            return Unwrapped(plaintext, version, None if newest else self._wrap(kept, plaintext, aad))

    async def rewrap(self, root_key: str, ciphertext: bytes, aad: Sequence[str]) -> Wrapped:
        """Under the newest version."""
        async with self._call("rewrap"):
            kept = self._usable(root_key)
            return self._wrap(kept, self._open(kept, ciphertext, aad)[1], aad)

    async def put_standard_key(self, name: str, payload: bytes) -> str:
        """Keep it."""
        async with self._call("put_standard_key"):
            if len(payload) > 7500:
                raise KeyManagerRefused("the payload of a standard key has at most 7500 bytes", Reason.REQUEST)
            identifier = self._randomness.identifier()
            self._standard_keys[identifier] = StandardKey(identifier, name, bytes(payload))
            return identifier

    async def get_standard_key(self, identifier: str) -> StandardKey:
        """With its payload."""
        async with self._call("get_standard_key"):
            if identifier not in self._standard_keys:
                raise KeyManagerRefused(f"there is no standard key {identifier}", Reason.ABSENT)
            return self._standard_keys[identifier]

    async def list_standard_keys(self, prefix: str) -> AsyncIterator[StandardKey]:
        """Those that are there when the listing begins."""
        async with self._call("list_standard_keys"):
            found = [replace(key, payload=b"") for key in self._standard_keys.values() if key.name.startswith(prefix)]
        for key in found:
            yield key

    async def find_standard_keys(self, name: str) -> Sequence[StandardKey]:
        """Those of exactly this name."""
        async with self._call("find_standard_keys"):
            return [replace(key, payload=b"") for key in self._standard_keys.values() if key.name == name]

    async def delete_standard_key(self, identifier: str) -> None:
        """Delete one, if it is there."""
        async with self._call("delete_standard_key"):
            self._standard_keys.pop(identifier, None)

    async def probe(self, root_key: str) -> None:
        """Return when the root key is usable."""
        async with self._call("probe"):
            self._usable(root_key)

    def replace_standard_key(self, identifier: str, payload: bytes) -> None:
        """Change a payload behind everybody's back."""
        self._standard_keys[identifier] = replace(self._standard_keys[identifier], payload=payload)

    def restore_standard_key(self, key: StandardKey) -> None:
        """Bring one back that was deleted, under its old identifier, as an administrator does in time."""
        self._standard_keys[key.identifier] = key

    @asynccontextmanager
    async def _call(self, method: str) -> AsyncIterator[None]:
        self.calls[method] += 1
        fault = self.down or (self._faults[method].pop(0) if self._faults[method] else None)
        if self.delay:
            await asyncio.sleep(self.delay)
        if fault is Fault.REFUSE:
            raise KeyManagerRefused(f"{method} is refused, as told")
        if fault is Fault.UNAVAILABLE:
            raise KeyManagerUnavailable(f"{method} does not arrive, as told", Reason.UNREACHABLE)
        yield
        if fault is Fault.LOSE_ANSWER:
            raise KeyManagerUnavailable(f"the answer of {method} is lost, as told", Reason.UNREACHABLE)

    def _kept(self, root_key: str) -> _Kept:
        if root_key not in self._root_keys:
            raise KeyManagerRefused(f"there is no root key {root_key}", Reason.ABSENT)
        return self._root_keys[root_key]

    def _usable(self, root_key: str) -> _Kept:
        kept = self._kept(root_key)
        if kept.described.state != _ACTIVE:
            raise KeyManagerRefused(f"the root key {root_key} is in state {kept.described.state}", Reason.STATE)
        return kept

    def _add_version(self, root_key: str, material: bytes) -> RootKey:
        kept = self._root_keys[root_key]
        version = self._randomness.identifier()
        kept.materials.append((version, material))
        kept.described = replace(kept.described, version=version)
        return kept.described

    def _set_state(self, root_key: str, state: int) -> None:
        kept = self._root_keys[root_key]
        kept.described = replace(kept.described, state=state)

    def _wrap(self, kept: _Kept, plaintext: Secret, aad: Sequence[str]) -> Wrapped:
        version, material = kept.materials[-1]
        nonce = self._randomness.octets(_NONCE)
        sealed = AESGCM(material).encrypt(nonce, plaintext.reveal(), self._bound(aad))
        return Wrapped(nonce + sealed, version)

    def _open(self, kept: _Kept, ciphertext: bytes, aad: Sequence[str]) -> tuple[str, Secret]:
        for version, material in reversed(kept.materials):
            buffer = bytearray(max(len(ciphertext) - _NONCE - _TAG, 0))
            try:
                nonce, sealed = ciphertext[:_NONCE], ciphertext[_NONCE:]
                AESGCM(material).decrypt_into(nonce, sealed, self._bound(aad), buffer)
            except (InvalidTag, ValueError):
                continue
            return version, Secret(buffer)
        raise KeyManagerRefused(
            "the ciphertext is another key's, was bound to other strings, or was changed", Reason.CIPHERTEXT
        )

    def _bound(self, aad: Sequence[str]) -> bytes:
        if len(aad) > 126 or any(len(string) > 255 for string in aad):
            raise KeyManagerRefused("at most 126 strings of 255 characters can be bound to a ciphertext")
        return repr(list(aad)).encode() if self._binds_aad else b""
