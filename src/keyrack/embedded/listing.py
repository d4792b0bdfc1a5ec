"""Lists of keys: pages, searches and totals of what the caller may see."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from keyrack.embedded.call import Call
from keyrack.embedded.conditions import Condition, every, state_in
from keyrack.embedded.errors import KeyNotFound, KeySearchTooBroad, KeystoreDamaged, Unauthorised
from keyrack.embedded.house import House
from keyrack.embedded.iam.rights import Right
from keyrack.embedded.instances import DEFAULT_RING, KeyManagerInstance
from keyrack.embedded.keys import Key, KeyState
from keyrack.embedded.search import Query, Searched
from keyrack.embedded.store.reading import Reading

MOST_SEARCHED = 5000
"""How many keys a search looks through."""
_FEW = 1000
"""Keys that are sorted sooner than all keys of an instance are looked through."""


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list."""

    keys: Sequence[Key]
    searched: Searched | None = None
    incomplete: bool = False
    """The key that was looked up is all there is: there are too many keys to search."""


def page(house: House, call: Call, query: Query) -> Page:
    """The keys that the caller may list, as far as the query asks for them; never with a payload in clear.

    Raises :class:`KeySearchTooBroad` for a search through more than 5,000 keys that looks up none of them.
    """
    now = house.now
    with house.reading() as reading:
        seen = visible(reading, call, Right.LIST)
        if query.search is None:
            return Page(_keys(reading, seen, _space(seen, query, now), query, now))
        return _searched(reading, seen, query, query.search, now)


def total(house: House, call: Call, query: Query) -> int:
    """How many keys a list would have, whatever its limit is; a search does not count."""
    with house.reading() as reading:
        space = _space(visible(reading, call, Right.HEAD), query, house.now)
        return reading.count(space.text, space.parameters)


def standard_names(house: House, call: Call, prefix: str, after: str, limit: int) -> list[tuple[str, str]]:
    """Identifiers and names of active standard keys whose names begin so, by identifier, from behind ``after`` on."""
    with house.reading() as reading:
        kind = [Condition("extractable = 1"), state_in([KeyState.ACTIVE], house.now), Condition("id > ?", (after,))]
        named = _named(reading, call.instance, prefix)
        seen = visible(reading, call, Right.LIST)
        wanted = every([seen.condition, *kind, named])
        keys = seen.shown(reading.select(wanted.text, wanted.parameters, limit=limit))
    return [(key.identifier, key.name) for key in keys]


@dataclass(frozen=True, slots=True)
class Visible:
    """Which keys a caller may list: those of an instance, or of some of its key rings."""

    instance: str
    rings: tuple[str, ...] | None = None
    """``None``: all of them."""

    @property
    def condition(self) -> Condition:
        """For these keys."""
        if self.rings is None:
            return Condition("instance = ?", (self.instance,))
        among = ", ".join("?" * len(self.rings))
        return Condition(f"instance = ? AND ring IN ({among})", (self.instance, *self.rings))

    def shown(self, keys: list[Key]) -> list[Key]:
        """The keys, if each is one of these: an index that was changed may lead to others. The records are true."""
        for key in keys:
            if key.instance != self.instance or (self.rings is not None and key.ring not in self.rings):
                raise KeystoreDamaged("an index of the database was changed: restore it from a backup")
        return keys


def visible(reading: Reading, call: Call, right: Right) -> Visible:
    """The keys over which the caller has a right by a grant over the instance or over their key ring.

    A grant over one key lists nothing, as in Key Protect. Raises :class:`Unauthorised` where no key can be listed.
    """
    instance = reading.instance(call.instance)
    if call.ring is not None:
        reading.allow(call, right, ring=call.ring)
        instance.require_ring(call.ring)
        return Visible(call.instance, (call.ring,))
    try:
        reading.allow(call, right)
    except Unauthorised:
        rings = _rings(reading, call, right, instance)
        if not rings:
            raise
        return Visible(call.instance, rings)
    return Visible(call.instance)


def _rings(reading: Reading, call: Call, right: Right, instance: KeyManagerInstance) -> tuple[str, ...]:
    def may(ring: str) -> bool:
        try:
            reading.allow(call, right, ring=ring)
        except Unauthorised:
            return False
        return True

    return tuple(filter(may, (DEFAULT_RING, *(ring.identifier for ring in instance.rings))))


def _searched(reading: Reading, seen: Visible, query: Query, searched: Searched, now: int) -> Page:
    space = _space(seen, query, now)
    first = _looked_up(reading, seen, searched, space)
    if reading.count(space.text, space.parameters, most=MOST_SEARCHED + 1) > MOST_SEARCHED:
        if not first:
            raise KeySearchTooBroad(
                f"There are more than {MOST_SEARCHED} keys to search: narrow them with `state`, `extractable` or a key "
                "ring",
                target=("query_param", "search"),
            )
        return Page(first[query.offset :], searched, incomplete=True)
    others = [space, searched.condition(seen.instance), *(Condition("id != ?", (key.identifier,)) for key in first)]
    if query.offset == 0:
        rest = replace(query, limit=query.limit - len(first))
        return Page([*first, *_keys(reading, seen, every(others), rest, now)], searched)
    rest = replace(query, offset=query.offset - len(first))
    return Page(_keys(reading, seen, every(others), rest, now), searched)


def _looked_up(reading: Reading, seen: Visible, searched: Searched, space: Condition) -> list[Key]:
    """The one key that the search names, if it names one that may be listed; it comes before what matches besides."""
    if searched.lookup is None:
        return []
    try:
        key = reading.key(seen.instance, searched.lookup)
    except KeyNotFound:
        return []
    found = every([space, Condition("id = ?", (key.identifier,))])
    return seen.shown(reading.select(found.text, found.parameters))


def _keys(reading: Reading, seen: Visible, condition: Condition, query: Query, now: int) -> list[Key]:
    # The inner query needs the index alone, also where it sorts or skips many; the outer one reads a page of rows.
    order = query.order(now)
    page_of = f"id IN (SELECT id FROM keys WHERE {condition.text} ORDER BY {order} LIMIT ? OFFSET ?)"
    found = reading.select(page_of, (*condition.parameters, query.limit, query.offset), order=order)
    return seen.shown(found)


def _space(seen: Visible, query: Query, now: int) -> Condition:
    """The keys that the caller may list, as far as the query asks for them, without its search."""
    return every([seen.condition, *query.conditions(now)])


def _named(reading: Reading, instance: str, prefix: str) -> Condition:
    """The name begins so: by the index of names where it tells few, and else not, since pages go by identifier."""
    names = "SELECT rowid FROM keys WHERE instance = ? AND name >= ? AND name < ?"
    bounds = (instance, prefix, prefix + "\U0010ffff")
    if reading.count(f"rowid IN ({names} LIMIT {_FEW + 1})", bounds) <= _FEW:
        return Condition(f"rowid IN ({names})", bounds)
    return Condition("+name >= ? AND +name < ?", bounds[1:])
