"""Key manager instances: the tenants of the embedded key manager, which nothing but an administrator makes."""

import uuid

from keyrack.embedded.administration import require_administrator, require_name
from keyrack.embedded.call import Call, Caller
from keyrack.embedded.errors import Contradiction, InvalidField, InvalidInstance
from keyrack.embedded.house import House
from keyrack.embedded.instances import KeyManagerInstance

SHORTEST_NAME, LONGEST_NAME = 2, 90
DEFAULT_NAME = "default"
"""The name of the first instance, which is made with the keystore."""
MOST_INSTANCES = 1000


def create_instance(house: House, caller: Caller, name: str, identifier: str | None = None) -> KeyManagerInstance:
    """Make an instance, empty, with its default key ring; ``identifier`` is a UUID, a new one without it.

    Raises :class:`InvalidField`, and :class:`Contradiction` where another instance has the name or the identifier.
    """
    require_administrator(caller)
    require_name("the name of a key manager instance", name, SHORTEST_NAME, LONGEST_NAME)
    made = KeyManagerInstance(
        identifier=_uuid(identifier or str(uuid.uuid4())),
        name=name,
        created_at=house.now,
        created_by=caller.identity,
    )
    with house.database.change() as unit:
        there = unit.instances()
        if any(name == each.name for each in there):
            raise Contradiction(f"there is a key manager instance {name!r} already: choose another name")
        if any(made.identifier == each.identifier for each in there):
            raise Contradiction(f"there is a key manager instance {made.identifier} already: choose another identifier")
        if len(there) >= MOST_INSTANCES:
            raise Contradiction(f"there are {MOST_INSTANCES} key manager instances already, and no more are possible")
        unit.put_instance(made)
        unit.note(house.entry(Call(caller=caller, instance=made.identifier), "kms.instance.create", name=name))
    return made


def instances(house: House) -> list[KeyManagerInstance]:
    """Every instance, oldest first."""
    with house.reading() as reading:
        return reading.instances()


def instance_named(house: House, name: str) -> KeyManagerInstance:
    """The instance of this name or identifier; raises :class:`InvalidInstance`, which tells the names there are."""
    known = instances(house)
    for each in known:
        if name in (each.name, each.identifier):
            return each
    names = ", ".join(each.name for each in known[:10])
    raise InvalidInstance(
        f"there is no key manager instance {name!r}" + (f": use one of {names}" if names else ": create one first")
    )


def _uuid(text: str) -> str:
    try:
        canonical = str(uuid.UUID(text))
    except ValueError:
        canonical = ""
    if canonical != text:
        raise InvalidField(
            "the identifier of a key manager instance is a UUID in lower case, with its hyphens", target=("field", "id")
        )
    return text
