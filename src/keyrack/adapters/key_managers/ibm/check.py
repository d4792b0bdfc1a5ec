"""Tries out all that Keyrack will need of an instance, step by step, for whoever sets it up."""

from collections.abc import AsyncIterator
from typing import Any

from keyrack.ports.key_manager import Checked


class Check:
    """One check."""

    def __init__(self, manager: Any, root_key: str | None, *, write: bool) -> None:
        self._manager = manager
        self._root_key = root_key
        self._write = write

    async def steps(self) -> AsyncIterator[Checked]:
        """The steps, each once it was tried."""
        for each in ():
            yield each
