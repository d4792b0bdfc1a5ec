"""Aliases: other names of keys, unique in their instance."""

from dataclasses import replace

from keyrack.embedded.alias_rules import check_alias, require_room
from keyrack.embedded.call import Call
from keyrack.embedded.errors import AliasNotFound
from keyrack.embedded.house import House
from keyrack.embedded.iam.rights import Right
from keyrack.embedded.key_changes import changed
from keyrack.embedded.keys import Action, Alias, Key
from keyrack.embedded.store.unit import Unit


def create_alias(house: House, call: Call, name: str, alias: str) -> Alias:
    """Give a key that is not deleted one more name.

    Raises ``InvalidField`` for what cannot be one, ``AliasTaken``, and ``AliasQuota`` where the key or the instance
    has as many as it may.
    """
    made = Alias(name=alias, created_at=house.now, created_by=call.caller.identity)

    def named(unit: Unit, key: Key) -> Key:
        check_alias(alias)
        key.allow(Action.DELETE, house.now)
        require_room(unit, call.instance, [alias], has=len(key.aliases))
        return replace(key, aliases=(*key.aliases, made), updated_at=house.now)

    changed(house, call, name, Right.CREATE_ALIAS, named, alias=alias)
    return made


def delete_alias(house: House, call: Call, name: str, alias: str) -> None:
    """Take an alias from a key, also from one that is deleted: another key may have it then.

    Raises :class:`AliasNotFound`.
    """

    def unnamed(unit: Unit, key: Key) -> Key:
        left = tuple(each for each in key.aliases if each.name != alias)
        if len(left) == len(key.aliases):
            raise AliasNotFound(f"The key {key.identifier} has no alias {alias!r}", target=("field", "alias"))
        return replace(key, aliases=left, updated_at=house.now)

    changed(house, call, name, Right.DELETE_ALIAS, unnamed, alias=alias)
