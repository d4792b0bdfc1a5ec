"""The key managers of a deployment by the names that instances bear: ``embedded``, ``embedded/<instance>``, ``kp``."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from keyrack.adapters.key_managers.embedded import EmbeddedKeyManager
from keyrack.ports.key_manager import KeyManager

SEPARATOR = "/"


class Configured(KeyManager, Protocol):
    """A key manager that stands in the configuration: it is opened, and has to be closed."""

    async def close(self) -> None:
        """Let go of files, connections and secrets."""
        ...


class KeyManagers(Mapping[str, Configured]):
    """A key manager by its configured name; behind a slash, one of an embedded one's key manager instances (a UUID).

    Iterating gives the configured names alone. The first key manager instance of each embedded one, the one that
    ``keyrack init`` has made, is meant by the name without a slash.
    """

    def __init__(self, configured: Mapping[str, Configured]) -> None:
        self._configured = configured
        self._views: dict[str, EmbeddedKeyManager] = {}
        self._watch: Callable[[str, Configured], None] | None = None

    def watch(self, watch: Callable[[str, Configured], None]) -> None:
        """Have ``watch`` see each key manager with its name, now and whenever another one is viewed."""
        self._watch = watch
        for name, manager in self._configured.items():
            watch(name, manager)

    def __getitem__(self, name: str) -> Configured:
        configured, _, instance = name.partition(SEPARATOR)
        first = self._configured[configured]
        if not instance:
            return first
        if not isinstance(first, EmbeddedKeyManager):
            raise KeyError(name)
        if instance == first.instance:
            return first
        if name not in self._views:
            self._views[name] = first.other(instance)
            if self._watch is not None:
                self._watch(name, self._views[name])
        return self._views[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._configured)

    def __len__(self) -> int:
        return len(self._configured)

    def embedded(self) -> Mapping[str, EmbeddedKeyManager]:
        """The embedded ones by their configured names: those that have a house of their own."""
        return {name: each for name, each in self._configured.items() if isinstance(each, EmbeddedKeyManager)}

    async def close(self) -> None:
        """Close them all; one that does not close in peace keeps none of the others open."""
        ends = await asyncio.gather(*(each.close() for each in self._configured.values()), return_exceptions=True)
        for end in ends:
            if isinstance(end, BaseException):
                raise end


def name_for(configured: str, first: EmbeddedKeyManager, instance: str) -> str:
    """What a Keyrack instance bears as its key manager, for a key manager instance of an embedded one."""
    return configured if instance == first.instance else f"{configured}{SEPARATOR}{instance}"
