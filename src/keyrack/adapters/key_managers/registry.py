"""The key managers of a deployment by the names that instances bear: ``embedded``, or ``embedded/<instance>``."""

from collections.abc import Iterator, Mapping

from keyrack.adapters.key_managers.embedded import EmbeddedKeyManager

SEPARATOR = "/"


class KeyManagers(Mapping[str, EmbeddedKeyManager]):
    """A key manager by its configured name; behind a slash, one of its key manager instances (a UUID).

    Iterating gives the configured names alone. The first key manager instance of each, the one that ``keyrack init``
    has made, is meant by the name without a slash.
    """

    def __init__(self, configured: Mapping[str, EmbeddedKeyManager]) -> None:
        self._configured = configured
        self._views: dict[str, EmbeddedKeyManager] = {}

    def __getitem__(self, name: str) -> EmbeddedKeyManager:
        configured, _, instance = name.partition(SEPARATOR)
        first = self._configured[configured]
        if not instance or instance == first.instance:
            return first
        if name not in self._views:
            self._views[name] = first.other(instance)
        return self._views[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._configured)

    def __len__(self) -> int:
        return len(self._configured)


def name_for(configured: str, first: EmbeddedKeyManager, instance: str) -> str:
    """What a Keyrack instance bears as its key manager, for a key manager instance of an embedded one."""
    return configured if instance == first.instance else f"{configured}{SEPARATOR}{instance}"
