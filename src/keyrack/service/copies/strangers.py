"""Standard keys with names of Keyrack's that no object, leftover or intent has: what they are, and what to do."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from keyrack.ports.catalog import Catalog
from keyrack.service.copies.copies import Copy, Label
from keyrack.service.vault.envelope import Sealed, Vault


class Strange(StrEnum):
    """What a standard key may be that nobody has."""

    FORMER = "former"
    """A copy of an object that has another one by now, in whatever condition."""
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
    deployment: str = ""
    """Whose it says that it is; empty for what is no wrapped key."""
    instance: str = ""


def unreadable(copy: Copy) -> Stranger:
    """The stranger that a copy is which is no wrapped key."""
    return Stranger(copy.label, Strange.CHANGED if copy.damaged else Strange.OTHER)


def stranger(copy: Copy, kind: Strange) -> Stranger:
    """The stranger that a copy is, and whose it says that it is."""
    if copy.blob is None:
        return Stranger(copy.label, kind)
    return Stranger(copy.label, kind, copy.blob.header.deployment, copy.blob.header.instance)


async def recognised(catalog: Catalog, vault: Vault, deployment: str, copy: Copy) -> Stranger | None:
    """What a copy is that is not in the catalog's books; ``None`` where it has come into them meanwhile.

    A copy of an object that has another one is not needed, whatever has become of it.
    """
    if copy.blob is not None and copy.blob.header.deployment != deployment:
        return stranger(copy, Strange.DEPLOYMENT)
    kept = await _kept(catalog, copy)
    if kept is not None:
        return None if kept.standard_key == copy.label.identifier else stranger(copy, Strange.FORMER)
    if copy.blob is None:
        return unreadable(copy)
    return stranger(copy, Strange.LOST if vault.wrapping.is_authentic(copy.blob) else Strange.CHANGED)


async def _kept(catalog: Catalog, copy: Copy) -> Sealed | None:
    """What the catalog has under the identifier that a copy says, or is named after."""
    instances = [each.identifier for each in await catalog.instances()]
    for instance in [copy.blob.header.instance] if copy.blob else instances if copy.damaged else []:
        wrapping_key = await catalog.wrapping_key(instance)
        if wrapping_key is not None and wrapping_key.unique_identifier == copy.unique_identifier:
            return wrapping_key
        managed = await catalog.load(instance, copy.unique_identifier)
        if managed is not None:
            return managed
    return None
