"""What a key manager keeps, beside what the catalog says that it keeps: the ground of existence sync and verification.

Everything here is read in slices, between which the loop breathes: ten thousand keys hold up nobody's request.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from keyrack.domain.errors import KmipError
from keyrack.domain.instances import Instance
from keyrack.ports.catalog import Catalog
from keyrack.ports.key_manager import KeyManager
from keyrack.service.vault.envelope import Sealed, Vault
from keyrack.service.vault.standard_keys import PREFIX, unique_identifier_of

SLICE: Final = 200
"""Objects, or listed keys, that are looked at before the loop breathes."""

Item = TypeVar("Item")


@dataclass(slots=True)
class Listing:
    """The standard keys of one key manager that are named as Keyrack names its own."""

    began: int
    """When the listing began, in seconds since 1970: what was made since may be missing."""
    unclaimed: dict[str, str] = field(default_factory=dict)
    """Those that nothing has claimed yet: the Unique Identifier that each is named after, by identifier."""

    def claim(self, thing: Sealed) -> bool:
        """Whether the thing's standard key is listed; nobody else can claim it any more."""
        return thing.standard_key is not None and self.unclaimed.pop(thing.standard_key, None) is not None


async def listed(manager: KeyManager, clock: Callable[[], float]) -> Listing:
    """List them once; ``clock`` is seconds since 1970. Raises the key manager's two failures."""
    listing = Listing(int(clock()))
    async for key in breathing(manager.list_standard_keys(PREFIX)):
        if (unique_identifier := unique_identifier_of(key.name)) is not None:
            listing.unclaimed[key.identifier] = unique_identifier
    return listing


async def things(catalog: Catalog, instance: Instance) -> AsyncIterator[Sealed]:
    """The instance's wrapping key, if it has one, and all its objects in the order of creation."""
    wrapping_key = await catalog.wrapping_key(instance.identifier)
    if wrapping_key is not None:
        yield wrapping_key
    after = ""
    while page := await catalog.objects(instance.identifier, after, SLICE):
        # The page took its time, and so will what is done with it.
        await asyncio.sleep(0)
        for managed in page:
            yield managed
        after = page[-1].unique_identifier
        await asyncio.sleep(0)


async def breathing(items: AsyncIterable[Item], every: int = SLICE) -> AsyncIterator[Item]:
    """The items; the loop gets its turn after ``every`` so many of them, however many are there at once."""
    seen = 0
    async for item in items:
        yield item
        seen += 1
        if seen % every == 0:
            await asyncio.sleep(0)


def managers_of(instance: Instance) -> Sequence[str]:
    """The key managers that have, or may have, standard keys of the instance: two while it moves between them."""
    former = instance.former
    if former is None or former.key_manager == instance.key_manager:
        return (instance.key_manager,)
    return (instance.key_manager, former.key_manager)


def manager_of(vault: Vault, instance: Instance, thing: Sealed) -> str | None:
    """The key manager that has the thing's standard key; ``None`` where its wrapped key does not tell."""
    managers = managers_of(instance)
    if len(managers) == 1:
        return managers[0]
    try:
        return vault.home_of(instance, thing).key_manager
    except KmipError:
        return None  # It is not as it should be: nobody gets it, and a verification tells.
