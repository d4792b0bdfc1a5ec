"""Looking keys up: single keys, payloads, versions and registrations; and lists, which are in a room of their own."""

from keyrack.domain.secret import Secret
from keyrack.embedded.call import Call
from keyrack.embedded.conditions import Condition, every
from keyrack.embedded.errors import InvalidQueryParam, KeyActionInvalidState, KeyRootRequired
from keyrack.embedded.house import House
from keyrack.embedded.iam.rights import Right
from keyrack.embedded.keys import Key, KeyState, KeyVersion, Registration
from keyrack.embedded.listing import Page, page, standard_names, total, visible
from keyrack.embedded.search import LIMIT, MOST, Query, Searched
from keyrack.embedded.store.reading import Reading

__all__ = [
    "Page",
    "Query",
    "Searched",
    "metadata",
    "page",
    "read",
    "registrations",
    "standard_names",
    "total",
    "versions",
]


def metadata(house: House, call: Call, name: str) -> Key:
    """The key of this identifier or alias, in whatever state."""
    with house.reading() as reading:
        return reading.key_for(call, name, Right.READ_METADATA)


def read(house: House, call: Call, name: str) -> tuple[Key, Secret | None]:
    """The key and, of a standard key that is not deleted, its payload, which the caller wipes.

    That the payload was handed out is in the journal before it is answered.
    """
    with house.reading() as reading:
        key = _readable(reading, call, name)
        if not key.payload or key.state is KeyState.DESTROYED:
            return key, None
        if not call.journaled:
            return key, house.payloads.open(key)
    payload = None
    try:
        with house.noting(call, Right.READ.value, key.identifier) as unit:
            key = _readable(unit, call, key.identifier)
            payload = None if key.state is KeyState.DESTROYED else house.payloads.open(key)
    except BaseException:
        if payload is not None:
            payload.wipe()
        raise
    return key, payload


def versions(
    house: House, call: Call, name: str, limit: int = LIMIT, offset: int = 0, *, all_states: bool = False
) -> tuple[list[KeyVersion], int]:
    """The versions of a root key, newest first, and how many there are; of an active one, unless ``all_states``."""
    _check_range(limit, offset)
    with house.reading() as reading:
        key = reading.key_for(call, name, Right.LIST_VERSIONS)
    if key.extractable:
        raise KeyRootRequired("Requested action can only be completed with a root key")
    state = key.state_at(house.now)
    if state is not KeyState.ACTIVE and not all_states:
        raise KeyActionInvalidState(
            f"Key is not in a valid state: it is {state.name.lower()}; its versions are listed with allKeyStates=true"
        )
    return list(reversed(key.versions))[offset : offset + limit], len(key.versions)


def registrations(
    house: House,
    call: Call,
    name: str | None = None,
    *,
    limit: int = LIMIT,
    offset: int = 0,
    resource: str | None = None,
    prevent_key_deletion: bool | None = None,
) -> tuple[list[tuple[Key, Registration]], int]:
    """The resources that a root key protects, or all that the caller may list, and how many there are.

    ``resource`` is a CRN in which ``*`` stands for a segment or ends one. Only services register resources, and none
    does so with this key manager: there are those that a migration has brought.
    """
    _check_range(limit, offset)
    with house.reading() as reading:
        if name is not None:
            keys = [reading.key_for(call, name, Right.LIST_REGISTRATIONS)]
        else:
            seen = visible(reading, call, Right.LIST_REGISTRATIONS)
            wanted = every([seen.condition, _REGISTERED])
            keys = seen.shown(reading.select(wanted.text, wanted.parameters))
    found = [
        (key, each)
        for key in keys
        for each in key.registrations
        if prevent_key_deletion in (None, each.prevent_key_deletion)
        and (resource is None or _is_of(each.resource, resource))
    ]
    return found[offset : offset + limit], len(found)


def _readable(reading: Reading, call: Call, name: str) -> Key:
    key = reading.key_for(call, name, Right.READ_METADATA)
    if key.extractable:
        reading.allow(call, Right.READ, ring=key.ring, key=key.identifier)
    return key


def _check_range(limit: int, offset: int) -> None:
    for name, number, least in (("limit", limit, 1), ("offset", offset, 0)):
        if not least <= number <= (MOST if name == "limit" else 10**15):
            raise InvalidQueryParam(f"The query parameter `{name}` is out of range", target=("query_param", name))


def _is_of(resource: str, query: str) -> bool:
    told, asked = resource.split(":"), query.split(":")
    return len(told) == len(asked) and all(map(_is_segment_of, told, asked))


def _is_segment_of(told: str, asked: str) -> bool:
    return told.startswith(asked[:-1]) if asked.endswith("*") else told == asked


_REGISTERED = Condition("extractable = 0 AND instr(record, '\"registrations\":[') > 0")
"""A record leaves out what is empty, and within a name the marks would be written otherwise."""
