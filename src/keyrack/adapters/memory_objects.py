"""Objects in the catalog in memory: kept as a database keeps them, and looked for by what it would have an index of."""

from dataclasses import replace

from keyrack.adapters.catalogs.encoding import StoredAttributes, encode_attributes
from keyrack.adapters.catalogs.indexing import UNIQUE_IDENTIFIER, index_name, index_rows, index_text
from keyrack.domain.objects import ManagedObject
from keyrack.ports.catalog import Candidates


def stored(managed: ManagedObject) -> ManagedObject:
    """As a database would give it back: nobody can change it from outside."""
    return replace(managed, attributes=StoredAttributes(encode_attributes(managed.attributes)))


def bears(managed: ManagedObject, name: str) -> bool:
    """Whether an object has this Name."""
    return ("Name", index_text("Name", name)) in index_rows(managed)


def has_all(managed: ManagedObject, candidates: Candidates) -> bool:
    """Whether an object has every value that is looked for."""
    rows = index_rows(managed)
    for name, value in candidates.equal:
        if name == UNIQUE_IDENTIFIER:
            if value != managed.unique_identifier:
                return False
        elif (text := index_text(name, value)) is not None and (index_name(name), text) not in rows:
            return False
    return True
