"""What clients were told: every acknowledged key with its bytes and its state, to hold a server against after a crash.

A promise is made by a complete answer. What was asked and not answered before the crash may have happened or not:
the ledger allows both, and nothing else.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

from keyrack.spec.enumerations import BatchErrorContinuationOption, Operation, State
from keyrack.spec.tags import Tag
from keyrack.testing.client import Answer, Ask, Client
from keyrack.testing.ttlv import Item, enumeration, structure, text

MATERIAL = (Tag.KEY_BLOCK, Tag.KEY_VALUE, Tag.KEY_MATERIAL)
AT_ONCE = 50
"""Objects that are asked for in one message."""
T = TypeVar("T")
GONE = frozenset({State.DESTROYED, State.DESTROYED_COMPROMISED})


@dataclass(slots=True)
class Promise:
    """What the answers said about one object."""

    uid: str
    instance: str
    group: str
    """Its Object Group."""
    material: bytes | None = None
    """``None`` until a client has seen it."""
    states: set[State] = field(default_factory=lambda: {State.PRE_ACTIVE})
    """Each that the object may have: one, or two while a change is under way or was not answered."""
    at: float = field(default_factory=time.time)
    """When the answer was there that made the promise, in seconds since 1970."""
    gets: int = 0
    """How often a client was given the material."""

    def changes_to(self, state: State) -> None:
        """A change was asked for: it may happen from now on."""
        self.states.add(state)

    def changed_to(self, state: State) -> None:
        """The change was acknowledged: the object has this state and no other."""
        self.states = {state}

    def shown(self, material: bytes) -> None:
        """A Get has answered; raises :class:`AssertionError` if a Get before it has answered otherwise."""
        assert self.material in (None, material), f"{self.uid} had other bytes before"
        self.material = material
        self.gets += 1


def broken(client: Client, promises: Iterable[Promise], group: str | None = None) -> list[str]:
    """Ask about an instance's objects, of one Object Group or all; a sentence for each promise that is not kept.

    What Locate finds must be fetched, promised or not: that nothing is half-made is a promise to everybody.
    """
    states = {uid: state for state in State for uid in _located(client, state, group)}
    alive = [uid for uid, state in states.items() if state not in GONE]
    got = {uid: answer for some in _chunks(alive, AT_ONCE) for uid, answer in _fetched(client, some)}
    problems = [f"{uid} is found and not to be had: {got[uid].message}" for uid in alive if not got[uid].ok]
    for promise in promises:
        problems += _held(promise, states.get(promise.uid), got.get(promise.uid))
    return problems


def material(payload: Item) -> bytes:
    """The Key Material of a Get's answer about a symmetric key in the format Raw."""
    return payload.octets(Tag.SYMMETRIC_KEY, *MATERIAL)


_CONTINUE = enumeration(Tag.BATCH_ERROR_CONTINUATION_OPTION, BatchErrorContinuationOption.CONTINUE)


def _located(client: Client, state: State, group: str | None) -> list[str]:
    filters = [_attribute("State", enumeration(Tag.ATTRIBUTE_VALUE, state))]
    if group is not None:
        filters.append(_attribute("Object Group", text(Tag.ATTRIBUTE_VALUE, group)))
    found = client.ask(Operation.LOCATE, *filters)
    return [str(item.value) for item in found.all(Tag.UNIQUE_IDENTIFIER)]


def _fetched(client: Client, uids: Sequence[str]) -> Iterator[tuple[str, Answer]]:
    asks = [Ask(Operation.GET, (text(Tag.UNIQUE_IDENTIFIER, uid),)) for uid in uids]
    return zip(uids, client.batch(*asks, header=[_CONTINUE]), strict=True)


def _held(promise: Promise, state: State | None, got: Answer | None) -> Iterator[str]:
    if state is None:
        yield f"{promise.uid} is lost"
    elif state not in promise.states:
        yield f"{promise.uid} is {state.title}, and was said to be {[each.title for each in promise.states]}"
    elif got is not None and got.ok:
        if promise.material not in (None, material(got.payload)):
            yield f"{promise.uid} has other bytes than were acknowledged"
        else:
            promise.shown(material(got.payload))


def _attribute(name: str, value: Item) -> Item:
    return structure(Tag.ATTRIBUTE, text(Tag.ATTRIBUTE_NAME, name), value)


def _chunks(values: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(values)
    while some := list(islice(rest, size)):
        yield some
