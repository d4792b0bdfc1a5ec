"""All of a catalog's ports at once: what SQLite and PostgreSQL give, for those who put the rooms together."""

from typing import Protocol

from keyrack.ports.admissions import Admissions
from keyrack.ports.answers import AnswerBook
from keyrack.ports.catalog import Catalog
from keyrack.ports.cluster import ClusterBook
from keyrack.ports.journal import JournalBook
from keyrack.ports.key_affairs import KeyBook
from keyrack.ports.people import PeopleBook
from keyrack.ports.sinks import Gate


class WholeCatalog(PeopleBook, Admissions, KeyBook, JournalBook, AnswerBook, ClusterBook, Catalog, Protocol):
    """One database with every part."""

    gate: Gate | None
    """Where a sink is required: what every unit with entries has to pass."""
