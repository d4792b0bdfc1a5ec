"""The part of the catalog that this room works with."""

from typing import Protocol

from keyrack.ports.catalog import Unit
from keyrack.ports.people import PeopleBook


class Register(PeopleBook, Protocol):
    """Reads of people, and commits."""

    async def commit(self, unit: Unit) -> None:
        """As ``ports.Catalog`` does it."""
        ...
