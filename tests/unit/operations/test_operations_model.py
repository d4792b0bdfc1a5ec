"""A random client against a model, two instances side by side.

Each step picks an instance, a version, one operation or a batch of them, and a target that may be the other instance's
or nobody's. After each step the answer must be what the model says, reason for reason.
"""

import os
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from keyrack.spec.enumerations import (
    BatchErrorContinuationOption,
    ResultReason,
    ResultStatus,
    State,
    UsageLimitsUnit,
)
from keyrack.spec.structures import UsageLimits
from keyrack.spec.types import CustomValue, ItemType
from keyrack.spec.versions import VERSIONS
from keyrack.testing import conversation as say
from keyrack.testing.conversation import Item
from keyrack.testing.house import frame_of, memory_house, read_items
from keyrack.testing.model import (
    DENIED,
    HELD,
    ILLEGAL,
    INVALID,
    KEY,
    NOT_FOUND,
    OPAQUE,
    REVOKED,
    SECRET,
    Model,
    Refusal,
)

STEPS = int(os.environ.get("KEYRACK_MODEL_STEPS", "2000"))
"""Steps of one walk."""
WALKS = 5
CONTINUE, STOP, UNDO = BatchErrorContinuationOption
WORDS = ["red", "green", "blue", "black"]


# --- the same steps for the server ---


def value(title: str, word: Any) -> Any:
    """A model's word as an attribute's value."""
    if title == "Name":
        return say.name(word)
    if title == "x-Note":
        return CustomValue(ItemType.TEXT_STRING, word)
    if title == "Usage Limits":
        return UsageLimits(usage_limits_total=int(word), usage_limits_unit=UsageLimitsUnit.OBJECT)
    return int(word) if title == "Initial Date" else word


def word(title: str, held: Any) -> Any:
    """An attribute's value as a model's word."""
    if title == "Usage Limits":
        return held.usage_limits_total, held.usage_limits_count
    if title == "x-Note":
        return held.value
    return held.name_value if title == "Name" else held


SHOWN = ("Unique Identifier", "State", "Initial Date", "Last Change Date", "Fresh", "Usage Limits", *HELD)
REGISTERED = {KEY: say.register_key, SECRET: say.register_password, OPAQUE: say.register_opaque}


SAID: dict[str, Callable[..., Item]] = {
    "create": lambda given: say.create(_values(given)),
    "register": lambda kind, material, given: REGISTERED[kind](material, _values(given)),
    "get_attributes": lambda uid: say.get_attributes(uid, *SHOWN),
    "add_attribute": lambda uid, title, new: say.add_attribute(uid, title, value(title, new)),
    "modify_attribute": lambda uid, title, new, index: say.modify_attribute(uid, title, value(title, new), index),
    "locate": lambda wanted, most: say.locate(_values(wanted), maximum_items=most),
    "check": lambda uid, mask: say.check(uid, cryptographic_usage_mask=mask),
}
"""How a step is said to the server, where it is not said as to the model."""


def request(step: tuple[Any, ...]) -> Item:
    """The batch item of a step."""
    verb, *arguments = step
    saying: Callable[..., Item] = SAID.get(verb) or getattr(say, verb)
    return saying(*arguments)


def _values(given: dict[str, Any]) -> dict[str, Any]:
    return {title: value(title, each) for title, each in given.items()}


def compare(verb: str, expected: Any, payload: Any) -> None:
    """That an answer says what the model says; a material that only the server knew is learnt."""
    if verb == "locate":
        assert expected == list(payload.unique_identifier)
    elif verb == "get":
        uid, thing = expected
        held = payload.object
        material = held.opaque_data_value if thing.kind == OPAQUE else held.key_block.key_value.key_material
        thing.material = thing.material or bytes(material)
        assert (uid, thing.material) == (payload.unique_identifier, bytes(material))
    elif verb == "get_attributes":
        found: dict[str, list[Any]] = {}
        for each in payload.attribute:
            said = (each.attribute_index or 0, word(each.attribute_name, each.attribute_value))
            found.setdefault(each.attribute_name, []).append(said)
        assert expected == (payload.unique_identifier, found)
    elif verb == "obtain_lease":
        assert (*expected, 3600) == (payload.unique_identifier, payload.last_change_date, payload.lease_time)
    else:
        assert expected == payload.unique_identifier


# --- the walk ---


@dataclass
class Walk:
    """Chooses steps, plays them on both sides, and compares."""

    dice: random.Random
    models: dict[str, Model] = field(default_factory=lambda: {"a": Model(), "b": Model()})
    outcomes: Counter[Any] = field(default_factory=Counter)

    def step(self, who: str, *, in_batch: bool) -> tuple[Any, ...]:
        """One step, at random."""
        dice, now = self.dice, self.models[who].now
        title = dice.choice(["Name", "Object Group", "x-Note", "Contact Information", "Usage Limits", "Initial Date"])
        new = str(dice.randrange(1, 20)) if title in ("Usage Limits", "Initial Date") else self.word(title)
        index = dice.choice([None, None, None, 0, 1, 2])
        uid = None if in_batch and dice.random() < 0.4 else self.someone(who)
        kind = dice.choice([KEY, SECRET, OPAQUE])
        wanted = dice.choice(
            [{}, {"State": dice.choice(list(State))}, {"Object Type": kind}, {"Name": self.word("Name")}]
            + [{"Object Group": self.word("Object Group"), "State": dice.choice(list(State))}]
        )
        dates = {} if kind == OPAQUE else self.dates(now)
        return dice.choices(
            [
                ("create", self.given() | self.dates(now) | self.limits()),
                ("register", kind, dice.randbytes(32), self.given() | dates),
                ("get", uid),
                ("get_attributes", uid),
                ("add_attribute", uid, title, new),
                ("modify_attribute", uid, title, new, index),
                ("delete_attribute", uid, title, index),
                ("locate", wanted, dice.choice([None, None, 1, 3])),
                ("check", uid, dice.choice([4, 8])),
                ("obtain_lease", uid),
                ("get_usage_allocation", uid, dice.randrange(6)),
                ("activate", uid),
                ("revoke", uid, dice.choice(list(REVOKED))),
                ("destroy", uid),
            ],
            weights=[3, 3, 6, 8, 10, 6, 6, 5, 4, 4, 7, 5, 4, 3],
        )[0]

    def word(self, title: str) -> str:
        """A value; of names there are more, so that most are free."""
        return f"{self.dice.choice(WORDS)} {self.dice.randrange(12)}" if title == "Name" else self.dice.choice(WORDS)

    def given(self) -> dict[str, Any]:
        """Attributes of a new object."""
        titles = [each for each in ("Name", "Object Group", "x-Note") if self.dice.random() < 0.4]
        return {title: self.word(title) for title in titles}

    def dates(self, now: int) -> dict[str, int]:
        """Sometimes when it is to begin and to end; not always in a good order."""
        dice = self.dice
        return {
            title: now + dice.randrange(-5, 40)
            for title in ("Activation Date", "Deactivation Date")
            if dice.random() < 0.25
        }

    def limits(self) -> dict[str, Any]:
        """Sometimes how often a key may be used."""
        return {"Usage Limits": str(self.dice.randrange(1, 20))} if self.dice.random() < 0.4 else {}

    def someone(self, who: str) -> str:
        """Mostly one of the last objects of the instance, now and then the other's, or nobody."""
        other = "b" if who == "a" else "a"
        owner = self.dice.choices([who, other, None], weights=[8, 1, 1])[0]
        known = list(self.models[owner].things) if owner else []
        return self.dice.choice(known[-12:]) if known else "00000000-0000-4000-8000-000000000000"

    def expect(self, who: str, steps: list[tuple[Any, ...]], option: Any) -> list[Any]:
        """What the model answers to each item: a reason, or what the answer says; ``None`` for one that is undone."""
        model = self.models[who]
        model.placeholder = None
        model.undo.clear()
        expected: list[Any] = []
        for step in steps:
            placeholder = model.placeholder
            try:
                expected.append(model.play(step))
            except Refusal as refusal:
                expected.append(refusal.reason)
                model.rewind()
                model.placeholder = placeholder
                if option == UNDO:
                    return [None] * (len(expected) - 1) + [refusal.reason]
                if option in (None, STOP):
                    break
            if option != UNDO:
                model.undo.clear()
        return expected

    def settle(self, who: str, steps: list[tuple[Any, ...]], expected: list[Any], items: list[Any]) -> None:
        """Compare item for item; new objects get the identifiers that the server gave."""
        model, names = self.models[who], dict[str, str]()
        assert len(expected) == len(items), (steps, expected, items)
        for (verb, *_), said, item in zip(steps, expected, items, strict=False):
            outcome = item.result_reason or item.result_status
            self.outcomes[verb, outcome] += 1
            if said is None:
                assert ResultStatus.OPERATION_UNDONE == item.result_status
            elif isinstance(said, ResultReason):
                assert said == item.result_reason, (verb, steps, item)
            else:
                assert ResultStatus.SUCCESS == item.result_status, (steps, item)
                if verb in ("create", "register"):
                    names[said] = item.response_payload.unique_identifier
                compare(verb, _renamed(said, names), item.response_payload)
        model.things = {names.get(uid, uid): thing for uid, thing in model.things.items()}


def _renamed(said: Any, names: dict[str, str]) -> Any:
    """With the identifiers that the server gave to what was new."""
    if isinstance(said, str):
        return names.get(said, said)
    if isinstance(said, list):
        return [names.get(uid, uid) for uid in said]
    uid, rest = said
    uid = names.get(uid, uid)
    return (uid, rest | {"Unique Identifier": [(0, uid)]}) if isinstance(rest, dict) else (uid, rest)


async def test_a_random_client_agrees_with_the_model() -> None:
    """10,000 steps of two instances: neither ever sees the other, and foreign and absent identifiers answer alike."""
    outcomes: Counter[Any] = Counter()
    for seed in range(WALKS):
        walk = Walk(random.Random(seed))
        await _go(walk)
        outcomes += walk.outcomes

    assert EVERY - outcomes.keys() == set()


async def _go(walk: Walk) -> None:
    """One walk, in a house of its own."""
    house, dice = memory_house(), walk.dice
    for who in walk.models:
        await house.admit(who)
    for _ in range(STEPS):
        who, version = dice.choice("ab"), dice.choice(VERSIONS)
        size = dice.choice([1, 1, 1, 2, 3])
        option = dice.choice([None, STOP, CONTINUE, UNDO]) if size > 1 else None
        house.clock.now += dice.choice([0, 0, 1, 7])
        for each, model in walk.models.items():
            walk.models[each] = replace(model, now=int(house.clock()), version=version)
        steps = [walk.step(who, in_batch=size > 1) for _ in range(size)]
        expected = walk.expect(who, steps, option)
        frame = frame_of([request(step) for step in steps], version=version, batch_error_continuation_option=option)
        answer = await house.said(frame, who, version)
        walk.settle(who, steps, expected, read_items(answer))
        if size == 1:
            foreign = walk.models["b" if who == "a" else "a"].things
            for uid in (each for each in list(foreign)[-12:] if each.encode() in frame):
                absent = frame.replace(uid.encode(), b"ffffffff-ffff-4fff-8fff-ffffffffffff")
                assert answer == await house.said(absent, who, version)
                walk.outcomes["foreign", NOT_FOUND] += 1


EVERY = (
    {
        ("foreign", NOT_FOUND),
        ("create", ResultStatus.SUCCESS),
        ("create", INVALID),
        ("create", ResultStatus.OPERATION_UNDONE),
        ("register", ResultStatus.SUCCESS),
        ("register", INVALID),
        ("get", ILLEGAL),
        ("get_attributes", NOT_FOUND),
        ("add_attribute", DENIED),
        ("add_attribute", ILLEGAL),
        ("modify_attribute", DENIED),
        ("modify_attribute", ILLEGAL),
        ("modify_attribute", INVALID),
        ("modify_attribute", NOT_FOUND),
        ("delete_attribute", DENIED),
        ("delete_attribute", INVALID),
        ("check", ILLEGAL),
        ("check", DENIED),
        ("obtain_lease", DENIED),
        ("get_usage_allocation", ILLEGAL),
        ("get_usage_allocation", DENIED),
        ("activate", ILLEGAL),
        ("activate", DENIED),
        ("revoke", ILLEGAL),
        ("destroy", DENIED),
    }
    | {
        (verb, ResultStatus.SUCCESS)
        for verb in (
            "get",
            "get_attributes",
            "add_attribute",
            "modify_attribute",
            "delete_attribute",
            "locate",
            "check",
        )
    }
    | {
        (verb, ResultStatus.SUCCESS)
        for verb in ("obtain_lease", "get_usage_allocation", "activate", "revoke", "destroy")
    }
)
"""What the walks have surely come by, or they have proved nothing."""
