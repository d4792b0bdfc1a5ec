"""What is measured, and the figures to reach, each as a ratio of one run."""

from collections.abc import Sequence
from dataclasses import dataclass

CONNECTIONS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One kind of work: the load generator's mode for it, the floor's if that is another, and whether it names keys."""

    name: str
    mode: Sequence[str]
    floor_mode: Sequence[str] | None = None
    keys: bool
    floor_limit: float
    """Server CPU of one operation, as a multiple of the floor's, that is to be reached."""
    pykmip_limit: float | None = None
    """The same as a fraction of PyKMIP's."""

    def arguments(self, server: str) -> Sequence[str]:
        """The mode for a server."""
        return self.floor_mode if server == "floor" and self.floor_mode else self.mode


CASES = (
    Case(name="handshake", mode=["handshake"], keys=False, floor_limit=0.65),
    Case(
        name="connect, Discover Versions, Get",
        mode=["cold-get", "--discover"],
        # The floor's way is one request shorter: what is asked of Keyrack is harder by that.
        floor_mode=["cold-get"],
        keys=True,
        floor_limit=0.8,
    ),
    Case(name="Get", mode=["get"], keys=True, floor_limit=12, pykmip_limit=1 / 35),
    Case(
        name="Create, Activate, Get",
        mode=["create", "--flow", "create,activate,get"],
        keys=False,
        floor_limit=4,
        pykmip_limit=1 / 35,
    ),
)

STORM_GETS, STORM_CONNECTS = 500, 150
STORM_P99_MILLISECONDS = 4.0
SIZE_LIMIT = 1.10
"""CPU with many keys over CPU with few."""
