"""Key managers of the simulated world: one house for each, a road from each node, and what their customer does there.

The house remembers, for the invariants, what was refused since when, and who has deleted what.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol

from keyrack.adapters.catalogs.sqlite.at_once import at_once
from keyrack.adapters.key_managers.memory import MemoryKeyManager
from keyrack.domain.secret import Randomness, Secret
from keyrack.ports.key_manager import KeyManagerUnavailable, Reason, RootKey, StandardKey, Unwrapped, Wrapped
from keyrack.testing.simulation.catalog import for_ever
from keyrack.testing.simulation.weather import Fate, Weather, fate_of

UNANSWERED = {Fate.OVERLOADED: Reason.OVERLOADED, Fate.FAILING: Reason.FAILING}
LONGEST_HANG = 12.0
LATEST = 90.0
"""Seconds after which a call that was under way may still arrive."""


class Surroundings(Protocol):
    """What houses and roads need to know of the world."""

    weather: Weather

    def crash(self, node: str, why: str) -> None:
        """End a node, now."""
        ...

    def soon(self, seconds: float, act: Callable[[], object]) -> None:
        """Do something later, whatever becomes of whoever asks."""
        ...

    def deleting(self, house: "House", key: StandardKey) -> None:
        """Keyrack is about to delete a standard key."""
        ...


@dataclass(slots=True)
class House:
    """A key manager, and the truth about it."""

    name: str
    inner: MemoryKeyManager
    world: Surroundings
    denied: dict[str, list[tuple[float, float | None]]] = field(default_factory=dict)
    """By root key: from when to when it was refused."""
    taken: list[StandardKey] = field(default_factory=list)
    """What the customer has deleted, and not restored."""
    ever_taken: dict[str, float] = field(default_factory=dict)
    """Standard keys that the customer has ever deleted, and when it did last."""
    garbled: set[str] = field(default_factory=set)
    """Standard keys whose payload was changed behind everybody's back."""
    roots: list[str] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)
    """Root keys that were deleted for good."""

    def now(self, act: Callable[[MemoryKeyManager], Coroutine[Any, Any, Any]]) -> Any:
        """What the key manager answers at once; raises ``KeyManagerRefused``."""
        return at_once(act(self.inner))

    @property
    def standard_keys(self) -> dict[str, StandardKey]:
        """Everything that it keeps."""
        return self.inner._standard_keys

    def deny(self, root_key: str, at: float, *, for_good: bool = False) -> None:
        """The customer disables, or deletes, a root key."""
        if for_good:
            self.now(lambda inner: inner.delete_root_key(root_key))
            self.gone.add(root_key)
        else:
            self.now(lambda inner: inner.disable_root_key(root_key))
        spans = self.denied.setdefault(root_key, [])
        if not spans or spans[-1][1] is not None:
            spans.append((at, None))

    def allow(self, root_key: str, at: float) -> None:
        """The customer enables it again."""
        self.now(lambda inner: inner.enable_root_key(root_key))
        since, _ = self.denied[root_key][-1]
        self.denied[root_key][-1] = (since, at)

    def denied_since(self, root_key: str) -> float | None:
        """Since when it has been refused without a break; ``None`` where it is not."""
        spans = self.denied.get(root_key)
        return spans[-1][0] if spans and spans[-1][1] is None else None

    def take(self, key: StandardKey, at: float) -> None:
        """The customer deletes a standard key."""
        self.now(lambda inner: inner.delete_standard_key(key.identifier))
        self.taken.append(key)
        self.ever_taken[key.identifier] = at

    def give_back(self, key: StandardKey) -> None:
        """The customer restores it."""
        self.taken.remove(key)
        self.inner.restore_standard_key(key)


class KeyManagerRoad:
    """A node's ``KeyManager``: the house, at the end of a road that loses, repeats and delays."""

    def __init__(self, node: str, house: House, random: Random) -> None:
        """``random`` is this road's own."""
        self.node = node
        self.house = house
        self.random = random
        self.cut = False
        self.unanswered_at: list[float] = []
        """When calls were not answered, or wrongly."""

    async def describe_root_key(self, root_key: str) -> RootKey:
        """As it is."""
        found: RootKey = await self._call(lambda inner: inner.describe_root_key(root_key))
        return found

    async def wrap(self, root_key: str, plaintext: Secret, aad: Sequence[str]) -> Wrapped:
        """With the newest version."""
        copy = bytes(plaintext.reveal())
        strings = tuple(aad)
        wrapped: Wrapped = await self._call(
            lambda inner: inner.wrap(root_key, Secret(bytearray(copy)), strings),
            garble=lambda answer: Wrapped(_flipped(answer.ciphertext, self.random), answer.version),
        )
        return wrapped

    async def unwrap(self, root_key: str, ciphertext: bytes, aad: Sequence[str]) -> Unwrapped:
        """With whatever version."""
        strings = tuple(aad)
        found: Unwrapped = await self._call(
            lambda inner: inner.unwrap(root_key, ciphertext, strings),
            garble=lambda answer: Unwrapped(
                Secret(bytearray(_flipped(bytes(answer.plaintext.reveal()), self.random))), answer.version
            ),
        )
        return found

    async def rewrap(self, root_key: str, ciphertext: bytes, aad: Sequence[str]) -> Wrapped:
        """Under the newest version."""
        strings = tuple(aad)
        wrapped: Wrapped = await self._call(
            lambda inner: inner.rewrap(root_key, ciphertext, strings),
            garble=lambda answer: Wrapped(_flipped(answer.ciphertext, self.random), answer.version),
        )
        return wrapped

    async def put_standard_key(self, name: str, payload: bytes) -> str:
        """Kept, or something like it."""

        def garble(identifier: str) -> str:
            self.house.inner.replace_standard_key(identifier, _flipped(payload, self.random))
            return identifier

        found: str = await self._call(lambda inner: inner.put_standard_key(name, payload), garble=garble)
        return found

    async def get_standard_key(self, identifier: str) -> StandardKey:
        """With its payload."""
        found: StandardKey = await self._call(lambda inner: inner.get_standard_key(identifier))
        return found

    async def list_standard_keys(self, prefix: str) -> AsyncIterator[StandardKey]:
        """All, or, while a page is missed, nearly all."""
        listed: list[StandardKey] = await self._call(
            lambda inner: _all(inner, prefix), garble=lambda answer: answer[: len(answer) // 2]
        )
        for key in listed:
            yield key

    async def find_standard_keys(self, name: str) -> Sequence[StandardKey]:
        """Of this name."""
        found: Sequence[StandardKey] = await self._call(lambda inner: inner.find_standard_keys(name))
        return found

    async def delete_standard_key(self, identifier: str) -> None:
        """The world looks on."""

        async def delete(inner: MemoryKeyManager) -> None:
            if (key := self.house.standard_keys.get(identifier)) is not None:
                self.house.world.deleting(self.house, key)
            await inner.delete_standard_key(identifier)

        await self._call(delete)

    async def probe(self, root_key: str) -> None:
        """Whether it is usable."""
        await self._call(lambda inner: inner.probe(root_key))

    async def _call(
        self,
        act: Callable[[MemoryKeyManager], Coroutine[Any, Any, Any]],
        garble: Callable[[Any], Any] | None = None,
    ) -> Any:
        """Ask the house, as the weather lets it; raises the key manager's two failures."""
        world, random = self.house.world, self.random
        fate = fate_of(random, world.weather.calls)
        if fate is Fate.CRASH_BEFORE:
            world.crash(self.node, "before a call of a key manager")
            await for_ever()
        await self._travel()
        await self._not_now(fate, act)
        answer = self.house.now(act)
        if fate is Fate.TWICE:
            answer = self.house.now(act)
        if fate is Fate.CRASH_AFTER:
            world.crash(self.node, "after a call of a key manager")
            await for_ever()
        if fate in {Fate.ANSWER_LOST, Fate.HANGING}:
            await self._hang(Reason.UNREACHABLE)
        if fate is Fate.GARBLED and garble is not None:
            self._unanswered()
            answer = garble(answer)
        await self._travel()
        return answer

    async def _not_now(self, fate: Fate, act: Callable[[MemoryKeyManager], Coroutine[Any, Any, Any]]) -> None:
        """Return where the call arrives."""
        if fate in UNANSWERED:
            self._unanswered()
            raise KeyManagerUnavailable("it asks for patience, or fails", UNANSWERED[fate])
        if fate is Fate.LATE:
            # Most of what is late is so by seconds, and some by more than anybody waits.
            self.house.world.soon(min(LATEST, self.random.expovariate(0.1)), lambda: self._late(act))
        if fate in {Fate.LATE, Fate.LOST} or (fate is Fate.HANGING and self.random.random() < 0.5):
            await self._hang(Reason.UNREACHABLE)

    def _late(self, act: Callable[[MemoryKeyManager], Coroutine[Any, Any, Any]]) -> None:
        try:
            self.house.now(act)
        except Exception:  # noqa: BLE001 - nobody hears of it
            return

    async def _travel(self) -> None:
        random = self.random
        if self.cut:
            await self._hang(Reason.UNREACHABLE)
        drawn = random.random()
        if drawn < self.house.world.weather.slow:
            await asyncio.sleep(random.expovariate(10))
        else:
            await asyncio.sleep(0.002 + 0.01 * drawn)

    async def _hang(self, reason: Reason) -> None:
        self._unanswered()
        await asyncio.sleep(self.random.uniform(0.2, LONGEST_HANG))
        self._unanswered()
        raise KeyManagerUnavailable("nobody answers", reason)

    def _unanswered(self) -> None:
        self.unanswered_at.append(asyncio.get_running_loop().time())


async def _all(inner: MemoryKeyManager, prefix: str) -> list[StandardKey]:
    return [key async for key in inner.list_standard_keys(prefix)]


def _flipped(octets: bytes, random: Random) -> bytes:
    """The same but for one bit."""
    changed = bytearray(octets)
    if changed:
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def house_of(name: str, world: Surroundings, random: Random, *, binds: bool) -> House:
    """A new key manager; with ``binds`` it binds a ciphertext to its strings."""

    def fill(material: bytearray) -> None:
        material[:] = random.randbytes(len(material))

    return House(name, MemoryKeyManager(binds_aad=binds, randomness=Randomness(fill)), world)
