"""Whose standard keys are known to be there, so that a Get need not ask: the existence sync has listed them."""

from collections.abc import Callable
from typing import Final

MOST_SUSPECTS: Final = 100_000


class Presence:
    """What the last listing of each instance's standard keys is good for.

    The listing withholds, in the catalog, every object whose standard key is gone. So an object that is not withheld
    and was made before a recent listing has its standard key still.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """``clock`` is steady seconds."""
        self._clock = clock
        self._listed: dict[str, tuple[int, float]] = {}
        self._suspects: dict[str, float] = {}

    def listed(self, instance: str, at: int, *, age: float, holds: float) -> None:
        """The listing that began ``at`` (seconds since 1970), ``age`` seconds ago, counts ``holds`` seconds more."""
        now = self._clock()
        self._listed[instance] = at, now + holds
        for unique_identifier in [each for each, since in self._suspects.items() if since <= now - age]:
            del self._suspects[unique_identifier]

    def suspect(self, unique_identifier: str) -> None:
        """Something happened to this one: until the next listing its standard key is asked for."""
        if len(self._suspects) >= MOST_SUSPECTS:
            self._suspects.clear()
            self._listed.clear()  # Nothing is known any more, and everything is asked for.
        self._suspects[unique_identifier] = self._clock()

    def assured(self, instance: str, unique_identifier: str, created_at: int) -> bool:
        """Whether the standard key of an object that was made ``created_at`` need not be asked for."""
        at, until = self._listed.get(instance, (0, 0.0))
        return created_at < at and self._clock() < until and unique_identifier not in self._suspects
