"""The catalog as the journal's keepers need it."""

from typing import Protocol

from keyrack.ports.catalog import Catalog
from keyrack.ports.journal import JournalBook
from keyrack.ports.key_affairs import KeyBook


class Book(Catalog, JournalBook, KeyBook, Protocol):
    """The catalog with its journal's checkpoints, cuts and sinks, and what is known of fetches."""
