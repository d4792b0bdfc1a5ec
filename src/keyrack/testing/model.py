"""A model of an instance for random tests: plain dictionaries that know nothing of the server's law.

It is the standard read a second time, and independently: nothing here may import ``keyrack.domain``, or one misreading
would hide on both sides.
"""

import copy
from dataclasses import dataclass, field
from typing import Any, Final

from keyrack.spec.enumerations import ObjectType, ResultReason, RevocationReasonCode, State
from keyrack.spec.versions import V1_0, V1_1, ProtocolVersion

PRE, ACTIVE, OFF, LEAKED, GONE, GONE_LEAKED = State
NOT_FOUND, DENIED = ResultReason.ITEM_NOT_FOUND, ResultReason.PERMISSION_DENIED
ILLEGAL, INVALID = ResultReason.ILLEGAL_OPERATION, ResultReason.INVALID_FIELD
KEY, SECRET, OPAQUE = ObjectType.SYMMETRIC_KEY, ObjectType.SECRET_DATA, ObjectType.OPAQUE_OBJECT

SEVERAL: Final = ("Name", "Object Group", "x-Note")
HELD: Final = (*SEVERAL, "Contact Information")
REVOKED: Final = {
    RevocationReasonCode.SUPERSEDED: {ACTIVE: OFF},
    RevocationReasonCode.KEY_COMPROMISE: {PRE: LEAKED, ACTIVE: LEAKED, OFF: LEAKED, GONE: GONE_LEAKED},
}
DESTROYED: Final = {PRE: GONE, OFF: GONE, LEAKED: GONE_LEAKED}


class Refusal(Exception):
    """The model says no."""

    def __init__(self, reason: ResultReason) -> None:
        super().__init__(reason)
        self.reason = reason


def need(condition: object, reason: ResultReason) -> None:
    """Go on, or refuse."""
    if not condition:
        raise Refusal(reason)


@dataclass
class Thing:
    """One object, as the model has it."""

    kind: ObjectType
    born: int
    changed: int
    state: State = PRE
    material: bytes | None = None
    mask: int = 0
    fresh: bool = True
    activation: int | None = None
    deactivation: int | None = None
    left: int | None = None
    total: int = 0
    held: dict[str, dict[int, str]] = field(default_factory=dict)

    def tick(self, now: int) -> None:
        """What the dates alone do."""
        if self.kind == OPAQUE:
            return
        for state, due, following in ((PRE, self.activation, ACTIVE), (ACTIVE, self.deactivation, OFF)):
            if self.state == state and due is not None and due <= now:
                self.state, self.changed = following, max(due, self.changed)


@dataclass
class Model:
    """One instance; its objects in the order of their making, under their identifiers."""

    now: int = 0
    version: ProtocolVersion = V1_0
    things: dict[str, Thing] = field(default_factory=dict)
    placeholder: str | None = None
    undo: dict[str, Thing | None] = field(default_factory=dict)
    """What was touched, as it was before; ``None`` for what was not there."""

    def rewind(self) -> None:
        """Back to how it was when ``undo`` was empty."""
        for uid, thing in self.undo.items():
            if thing is None:
                del self.things[uid]
            else:
                self.things[uid] = thing
        self.undo.clear()

    def play(self, step: tuple[Any, ...]) -> Any:
        """What a step answers; raises :class:`Refusal`."""
        for thing in self.things.values():
            thing.tick(self.now)
        verb, *arguments = step
        return getattr(self, verb)(*arguments)

    def target(self, uid: str | None) -> tuple[str, Thing]:
        """The object that is meant."""
        uid = self.placeholder if uid is None else uid
        need(uid in self.things, NOT_FOUND)
        uid = str(uid)
        self.undo.setdefault(uid, copy.deepcopy(self.things[uid]))
        return uid, self.things[uid]

    def taken(self, word: str, besides: Thing | None = None) -> bool:
        """Whether another object bears the name."""
        return any(
            word in thing.held.get("Name", {}).values()
            for thing in self.things.values()
            if thing is not besides and thing.state not in (GONE, GONE_LEAKED)
        )

    def create(self, given: dict[str, Any]) -> str:
        """A key."""
        return self._new(Thing(KEY, self.now, self.now, mask=12), given)

    def register(self, kind: ObjectType, material: bytes, given: dict[str, Any]) -> str:
        """A key, a secret or an opaque object."""
        mask = 12 if kind == KEY else 0
        return self._new(Thing(kind, self.now, self.now, material=material, mask=mask), given)

    def _new(self, thing: Thing, given: dict[str, Any]) -> str:
        for title, word in given.items():
            if title == "Activation Date":
                thing.activation = word
            elif title == "Deactivation Date":
                thing.deactivation = word
            elif title == "Usage Limits":
                thing.total = thing.left = int(word)
            else:
                need(title != "Name" or not self.taken(word), INVALID)
                thing.held[title] = {0: word}
        if thing.activation is not None and thing.deactivation is not None:
            need(thing.activation <= thing.deactivation, INVALID)
        thing.tick(self.now)
        self.placeholder = f"new {len(self.things)}"
        self.things[self.placeholder], self.undo[self.placeholder] = thing, None
        return self.placeholder

    def get(self, uid: str | None) -> Any:
        """The object whose material is handed out."""
        uid, thing = self.target(uid)
        need(thing.state not in (GONE, GONE_LEAKED), ILLEGAL)
        thing.fresh = False
        return uid, thing

    def get_attributes(self, uid: str | None) -> Any:
        """Some of its attributes."""
        uid, thing = self.target(uid)
        shown: dict[str, Any] = {title: sorted(words.items()) for title, words in thing.held.items() if words}
        shown |= {"Unique Identifier": [(0, uid)], "Initial Date": [(0, thing.born)]}
        shown |= {"Last Change Date": [(0, thing.changed)]}
        if thing.kind != OPAQUE:
            shown["State"] = [(0, thing.state)]
            if self.version >= V1_1:
                shown["Fresh"] = [(0, thing.fresh)]
        if thing.left is not None:
            shown["Usage Limits"] = [(0, (thing.total, thing.left))]
        return uid, shown

    def add_attribute(self, uid: str | None, title: str, word: str) -> str:
        """One more."""
        uid, thing = self.target(uid)
        need(title != "Initial Date", DENIED)
        if title == "Usage Limits":
            need(thing.kind == KEY, DENIED)
            need(thing.left is None, ILLEGAL)
            thing.total = thing.left = int(word)
        else:
            words = thing.held.setdefault(title, {})
            need(not words or title in SEVERAL, ILLEGAL)
            need(title != "Name" or not (self.taken(word, thing) or word in words.values()), ILLEGAL)
            words[max(words, default=-1) + 1] = word
        thing.changed = self.now
        return uid

    def modify_attribute(self, uid: str | None, title: str, word: str, index: int | None) -> str:
        """Another value."""
        uid, thing = self.target(uid)
        need(title != "Initial Date", DENIED)
        if title == "Usage Limits":
            need(thing.kind == KEY and thing.left is not None, INVALID)
            need(not index, NOT_FOUND)
            need(thing.left == thing.total, DENIED)
            thing.total = thing.left = int(word)
        else:
            words = thing.held.get(title, {})
            need(words, INVALID)
            need((index or 0) in words, NOT_FOUND)
            others = [value for number, value in words.items() if number != (index or 0)]
            need(title != "Name" or not (self.taken(word, thing) or word in others), ILLEGAL)
            words[index or 0] = word
        thing.changed = self.now
        return uid

    def delete_attribute(self, uid: str | None, title: str, index: int | None) -> str:
        """One less."""
        uid, thing = self.target(uid)
        words: dict[int, Any] = thing.held.get(title, {})
        if title == "Usage Limits":
            words = {} if thing.left is None else {0: thing.left}
        need(title == "Initial Date" or words, NOT_FOUND)
        need(title != "Initial Date", DENIED)
        if self.version == V1_0:
            need(index is not None or len(words) == 1, INVALID)
            need(index is None or title in SEVERAL, NOT_FOUND)
        need((index or 0) in words, NOT_FOUND)
        if title == "Usage Limits":
            need(thing.left == thing.total, DENIED)
            thing.left = None
        else:
            del words[index or 0]
        thing.changed = self.now
        return uid

    def locate(self, wanted: dict[str, Any], most: int | None) -> list[str]:
        """Newest first."""
        found = [
            uid
            for uid, thing in self.things.items()
            if ("State" in wanted or thing.state not in (GONE, GONE_LEAKED))
            and all(self._fits(thing, title, word) for title, word in wanted.items())
        ]
        found = sorted(reversed(found), key=lambda uid: -self.things[uid].born)[:most]
        self.placeholder = found[0] if len(found) == 1 else None
        return found

    @staticmethod
    def _fits(thing: Thing, title: str, word: Any) -> bool:
        if title == "State":
            return thing.kind != OPAQUE and thing.state == word
        if title == "Object Type":
            return bool(thing.kind == word)
        return word in thing.held.get(title, {}).values()

    def check(self, uid: str | None, mask: int) -> str:
        """Whether it may be used so: 4 protects, 8 reads."""
        uid, thing = self.target(uid)
        need(thing.kind != OPAQUE, ILLEGAL)
        need(thing.mask & mask, DENIED)
        need(thing.state in ((ACTIVE,) if mask == 4 else (ACTIVE, OFF, LEAKED)), DENIED)
        return uid

    def obtain_lease(self, uid: str | None) -> Any:
        """For an hour."""
        uid, thing = self.target(uid)
        need(thing.kind != OPAQUE and thing.state in (PRE, ACTIVE), DENIED)
        return uid, thing.changed

    def get_usage_allocation(self, uid: str | None, count: int) -> str:
        """Some of what is left."""
        uid, thing = self.target(uid)
        need(thing.left is not None and thing.state == ACTIVE, ILLEGAL)
        need(count <= (thing.left or 0), DENIED)
        thing.left, thing.changed = (thing.left or 0) - count, self.now
        return uid

    def activate(self, uid: str | None) -> str:
        """From Pre-Active."""
        uid, thing = self.target(uid)
        need(thing.kind != OPAQUE, ILLEGAL)
        over = thing.deactivation is not None and thing.deactivation <= self.now
        need(thing.state == PRE and not over, DENIED)
        thing.state, thing.activation, thing.changed = ACTIVE, self.now, self.now
        return uid

    def revoke(self, uid: str | None, code: RevocationReasonCode) -> str:
        """To Deactivated or Compromised; an opaque object only gets the reason."""
        uid, thing = self.target(uid)
        if thing.kind == OPAQUE and code == RevocationReasonCode.SUPERSEDED:
            need(thing.state not in (GONE, GONE_LEAKED), ILLEGAL)
        else:
            need(thing.state in REVOKED[code], ILLEGAL)
            if code == RevocationReasonCode.SUPERSEDED:
                thing.deactivation = self.now
            thing.state = REVOKED[code][thing.state]
        thing.changed = self.now
        return uid

    def destroy(self, uid: str | None) -> str:
        """For good."""
        uid, thing = self.target(uid)
        need(thing.state in DESTROYED, DENIED)
        thing.state, thing.changed = DESTROYED[thing.state], self.now
        return uid
