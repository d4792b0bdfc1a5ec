"""What a connection asks of whoever watches its socket."""

from collections.abc import Callable
from typing import Final, Protocol

READ: Final = 1
"""There is something to read, or the other side is gone (EPOLLIN)."""
WRITE: Final = 4
"""There is room to write (EPOLLOUT)."""

Ready = Callable[[int], None]
"""Told what its socket is ready for: READ, WRITE, and what else the system reports (hang-up, error)."""


class Watch(Protocol):
    """A group of sockets that are watched, each for reading, writing or both."""

    def add(self, fd: int, what: int, ready: Ready) -> None:
        """Watch a socket that no group watches yet."""
        ...

    def change(self, fd: int, what: int) -> None:
        """Watch a socket of this group for something else."""
        ...

    def remove(self, fd: int) -> None:
        """Watch it no more; always before it is closed."""
        ...
