"""Enters an object that was made again from its wrapped key into the catalog, and overwrites nothing there."""

from collections.abc import Collection, Mapping
from dataclasses import replace

from keyrack.domain import attributes
from keyrack.domain.errors import IllegalOperation
from keyrack.domain.instances import Instance
from keyrack.domain.objects import Indexed, ManagedObject
from keyrack.ports.catalog import AlreadyThere, Candidates, Catalog, Conflict, InstanceChanged
from keyrack.service.office.administration import Administration
from keyrack.spec.structures import Name


def names_of(managed: ManagedObject) -> Collection[str]:
    """The Name Values of an object."""
    return [each.value.name_value for each in managed.attributes.get("Name", ())]


def without_names(managed: ManagedObject, taken: Collection[str]) -> ManagedObject:
    """The object without those of its names."""
    values = [each.value for each in managed.attributes.get("Name", ()) if each.value.name_value not in taken]
    kept = {name: held for name, held in managed.attributes.items() if name != "Name"}
    if values:
        kept["Name"] = tuple(Indexed(index, value) for index, value in enumerate(values))
    return replace(managed, attributes=kept)


async def enter(
    catalog: Catalog,
    administration: Administration,
    action: str,
    managed: ManagedObject,
    detail: Mapping[str, str | int],
    *,
    sealed_for: Instance | None = None,
) -> Collection[str]:
    """Insert the object with its entry in the journal, and answer those of its names that another object bears by now.

    Those it does not get. Raises ``IllegalOperation`` where an object of this Unique Identifier is there already, and
    where the instance that it was ``sealed_for`` is not so any more.
    """
    seen = (sealed_for,) if sealed_for else ()
    taken: Collection[str] = ()
    for _ in range(len(names_of(managed)) + 1):
        entered = without_names(managed, taken) if taken else managed
        try:
            await administration.commit(
                action,
                managed.instance,
                managed.unique_identifier,
                detail,
                seen={managed.unique_identifier: 0},
                inserted=(entered,),
                new_names=tuple(names_of(entered)),
                seen_instances=seen,
            )
            return taken
        except InstanceChanged:
            raise IllegalOperation(
                "its instance was changed by another command meanwhile: run this one again"
            ) from None
        except Conflict:
            raise IllegalOperation("the catalog has an object of this Unique Identifier already") from None
        except AlreadyThere:
            taken = await _taken(catalog, managed)
    raise IllegalOperation("its names are being given and taken by many at once: try again")


async def _taken(catalog: Catalog, managed: ManagedObject) -> Collection[str]:
    taken = []
    for each in managed.attributes.get("Name", ()):
        assert isinstance(each.value, Name)
        bearers = await catalog.search(managed.instance, Candidates(equal=(("Name", each.value),)))
        if any(attributes.bears_name(bearer, each.value.name_value) for bearer in bearers):
            taken.append(each.value.name_value)
    return taken
