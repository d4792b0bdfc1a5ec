"""Standard keys with names of Keyrack's that no object, leftover or intent has: what they are, and what to do."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from keyrack.ports.catalog import Catalog
from keyrack.service.copies import Copy, Label
from keyrack.service.envelope import Vault
from keyrack.service.recovered import is_wrapping_key


class Strange(StrEnum):
    """What a standard key may be that nobody has."""

    FORMER = "former"
    """A copy of an object that has another one by now, or is destroyed."""
    LOST = "lost"
    """The key of an object, or of an instance, that the catalog does not have."""
    DEPLOYMENT = "another deployment"
    CHANGED = "changed"
    """It is damaged, or says that it is this deployment's, and its MAC does not."""
    OTHER = "not a wrapped key"


ADVICE: Mapping[Strange, str] = {
    Strange.FORMER: "nothing needs it: delete it in the key manager when you like",
    Strange.LOST: "'keyrack rebuild --from-key-manager' enters it into the catalog",
    Strange.DEPLOYMENT: "leave it to that deployment, or take it over with 'keyrack instance adopt'",
    Strange.CHANGED: "it was changed, or another integrity root has authenticated it: see docs/disaster.md",
    Strange.OTHER: "Keyrack leaves it alone; IBM's own KMIP for VMware gives the same names",
}
"""What to do about each."""

HARMLESS = frozenset({Strange.FORMER, Strange.DEPLOYMENT, Strange.OTHER})
"""With these alone the copies agree."""


@dataclass(frozen=True, slots=True)
class Stranger:
    """One of them."""

    label: Label
    kind: Strange
    told: str
    """Whose it is, as far as it says so."""


def unreadable(copy: Copy) -> Stranger:
    """The stranger that a copy is which is no wrapped key."""
    return Stranger(copy.label, Strange.CHANGED if copy.damaged else Strange.OTHER, "")


def stranger(copy: Copy, kind: Strange) -> Stranger:
    """The stranger that a copy is which is a wrapped key."""
    if copy.blob is None:
        return unreadable(copy)
    header = copy.blob.header
    return Stranger(copy.label, kind, f"of instance {header.instance} of deployment {header.deployment}")


async def recognised(catalog: Catalog, vault: Vault, deployment: str, copy: Copy) -> Stranger | None:
    """What a copy is that is not in the catalog's books; ``None`` where it has come into them meanwhile."""
    blob = copy.blob
    if blob is None:
        return unreadable(copy)
    header = blob.header
    if header.deployment != deployment:
        return stranger(copy, Strange.DEPLOYMENT)
    if not vault.wrapping.is_authentic(blob):
        return stranger(copy, Strange.CHANGED)
    if is_wrapping_key(blob):
        wrapping_key = await catalog.wrapping_key(header.instance)
        return _compared(copy, wrapping_key.standard_key if wrapping_key else None, there=wrapping_key is not None)
    managed = await catalog.load(header.instance, copy.unique_identifier)
    return _compared(copy, managed.standard_key if managed else None, there=managed is not None)


def _compared(copy: Copy, standard_key: str | None, *, there: bool) -> Stranger | None:
    if standard_key == copy.label.identifier:
        return None
    return stranger(copy, Strange.FORMER if there else Strange.LOST)
