"""Attributes as JSON: every type of the standard comes back as it went."""

import json
import types
from dataclasses import fields, is_dataclass
from enum import Enum, IntFlag
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyrack.adapters.catalogs.encoding import GLANCE, MANY_LOOKS, StoredAttributes, encode_attributes, glance
from keyrack.domain.objects import Indexed
from keyrack.spec.attributes import ATTRIBUTES
from keyrack.spec.enumerations import CryptographicAlgorithm, NameType
from keyrack.spec.structures import Name, UsageLimits
from keyrack.spec.types import CustomValue, ItemType

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
PLAIN: dict[type, st.SearchStrategy[Any]] = {
    int: st.integers(-(2**63), 2**63 - 1),
    bool: st.booleans(),
    str: texts,
    bytes: st.binary(max_size=40),
    types.NoneType: st.none(),
}
CUSTOM = {
    ItemType.STRUCTURE: st.binary(max_size=40),
    ItemType.INTEGER: st.integers(-(2**31), 2**31 - 1),
    ItemType.LONG_INTEGER: st.integers(-(2**63), 2**63 - 1),
    ItemType.BIG_INTEGER: st.integers() | st.just(-(10**5000)),
    ItemType.ENUMERATION: st.integers(0, 2**32 - 1),
    ItemType.BOOLEAN: st.booleans(),
    ItemType.TEXT_STRING: texts,
    ItemType.BYTE_STRING: st.binary(max_size=40),
    ItemType.DATE_TIME: st.integers(-(2**63), 2**63 - 1),
    ItemType.INTERVAL: st.integers(0, 2**32 - 1),
}


def values(declared: Any) -> st.SearchStrategy[Any]:
    """Values of a declared type, vendor's numbers among the enumerations."""
    origin = get_origin(declared)
    if origin is Annotated:
        return values(get_args(declared)[0])
    if origin in {Union, types.UnionType}:
        # "Word | int": a number that is a word of the standard comes back as the word, so no plain one is drawn.
        kinds = get_args(declared)
        worded = any(isinstance(each, type) and issubclass(each, Enum) for each in kinds)
        return st.one_of([values(each) for each in kinds if not (worded and each is int)])
    if origin is tuple:
        return st.lists(values(get_args(declared)[0]), max_size=3).map(tuple)
    return structures(declared) if is_dataclass(declared) else scalars(declared)


def structures(declared: Any) -> st.SearchStrategy[Any]:
    """Structures with any of their fields."""
    hints = get_type_hints(declared, include_extras=True)
    return st.builds(declared, **{each.name: values(hints[each.name]) for each in fields(declared)})


def scalars(declared: type) -> st.SearchStrategy[Any]:
    """Values of one item; a mask is any 32 bits, an enumeration may be a vendor's."""
    if issubclass(declared, IntFlag):
        return st.integers(0, 2**31 - 1)
    if issubclass(declared, Enum):
        return st.sampled_from(list(declared)) | st.integers(0x80000000, 0xFFFFFFFF)
    return PLAIN[declared]


def custom_values() -> st.SearchStrategy[CustomValue]:
    """Custom values of every item type."""
    return st.one_of([st.builds(CustomValue, st.just(kind), held) for kind, held in CUSTOM.items()])


custom_names = st.builds(str.__add__, st.sampled_from(["x-", "y-"]), texts)


@st.composite
def attributes(draw: st.DrawFn) -> dict[str, tuple[Indexed, ...]]:
    """Some attributes of the standard, some custom ones, each with an instance or two."""
    names = draw(st.lists(st.sampled_from(sorted(ATTRIBUTES)) | custom_names, unique=True, max_size=12))
    drawn = {}
    for name in names:
        kind = custom_values() if name[1] == "-" else values(ATTRIBUTES[name].type)
        instances = draw(st.lists(kind, min_size=1, max_size=2))
        drawn[name] = tuple(Indexed(3 * n, value) for n, value in enumerate(instances))
    return drawn


def alike(one: Any, other: Any) -> bool:
    """Equal, and of the same types all the way down."""
    if type(one) is not type(other) or one != other:
        return False
    if is_dataclass(one):
        return all(alike(getattr(one, each.name), getattr(other, each.name)) for each in fields(one))
    if isinstance(one, tuple):
        return all(alike(*pair) for pair in zip(one, other, strict=True))
    return True


@given(attributes())
def test_attributes_come_back_as_they_went(held: dict[str, tuple[Indexed, ...]]) -> None:
    """Names, order, indices, values and their types survive, with the glance and without it."""
    for stored in (StoredAttributes(encode_attributes(held)), StoredAttributes(encode_attributes(held), glance(held))):
        assert list(held) == list(stored)
        assert all(alike(held[name], stored[name]) for name in held)
        assert not any(name in stored for name in GLANCE if name not in held)


@given(attributes(), st.data())
def test_one_attribute_is_found_without_parsing_all(held: dict[str, tuple[Indexed, ...]], data: st.DataObject) -> None:
    """A look at single names, there or not, answers what the whole would answer."""
    stored = StoredAttributes(encode_attributes(held))
    wanted = data.draw(st.lists(st.sampled_from(sorted({*held, *ATTRIBUTES, "x-a", "name_value"})), max_size=10))

    assert [held.get(name) for name in wanted] == [stored.get(name) for name in wanted]


@given(attributes())
def test_the_text_is_json(held: dict[str, tuple[Indexed, ...]]) -> None:
    """Any reader of JSON reads it."""
    assert list(held) == list(json.loads(encode_attributes(held)))


def test_what_was_not_looked_at_is_written_back_as_it_is() -> None:
    """An object that is changed elsewhere keeps its attributes' text."""
    text = encode_attributes({"Comment": (Indexed(0, "as it is"),)})

    assert encode_attributes(StoredAttributes(text)) is text


@pytest.mark.parametrize(
    "name", ['x-"Comment', 'x-,"Comment', "x-\\", "x-\n", "x-é", "x-,", 'x-{"Comment":', "x-Comment", "x-", "x-\x00"]
)
def test_an_odd_name_is_not_mistaken_for_another(name: str) -> None:
    """A custom attribute whose name holds what the text is marked with hides nothing and invents nothing."""
    value = (Indexed(0, CustomValue(ItemType.TEXT_STRING, ',"Comment":[[0,"false"]]')),)
    stored = StoredAttributes(encode_attributes({name: value}))

    assert stored.get("Comment") is None
    assert stored.get(name) == value


def test_looking_often_parses_all_at_last() -> None:
    """The answers stay the same when the way to them changes."""
    held = {f"x-{n}": (Indexed(0, CustomValue(ItemType.INTEGER, n)),) for n in range(3 * MANY_LOOKS)}
    stored = StoredAttributes(encode_attributes(held))

    assert list(held.values()) == [stored[name] for name in held]


def test_a_missing_attribute_is_missing() -> None:
    """Like any mapping: no value, no membership, ``KeyError``."""
    stored = StoredAttributes(encode_attributes({"Comment": (Indexed(0, "here"),)}))

    assert "Description" not in stored
    assert "Comment" in stored
    assert len(stored) == 1
    with pytest.raises(KeyError):
        stored["Description"]


@pytest.mark.parametrize("held", [{"Nonsense": 1}, {"Comment": 1.5}, {"Comment": [1]}, {"Comment": {"a": 1}}])
def test_what_is_no_attribute_is_refused(held: dict[str, Any]) -> None:
    """A name that the standard has not, a value of no known type: told at once, not when it is read."""
    with pytest.raises(TypeError):
        encode_attributes({name: (Indexed(0, value),) for name, value in held.items()})


def test_the_format_stays_what_databases_hold() -> None:
    """Written databases are read by later versions: this text is a promise."""
    held = {
        "Cryptographic Algorithm": (Indexed(0, CryptographicAlgorithm.AES),),
        "Name": (
            Indexed(0, Name(name_value="a", name_type=NameType.URI)),
            Indexed(2, Name(name_value="b", name_type=9)),
        ),
        "Usage Limits": (Indexed(0, UsageLimits(usage_limits_total=5, usage_limits_unit=1)),),
        "x-bytes": (Indexed(0, CustomValue(ItemType.BYTE_STRING, b"\x00\xff")),),
        "y-big": (Indexed(0, CustomValue(ItemType.BIG_INTEGER, -256)),),
    }
    expected = (
        '{"Cryptographic Algorithm":[[0,3]],'
        '"Name":[[0,{"name_value":"a","name_type":2}],[2,{"name_value":"b","name_type":9}]],'
        '"Usage Limits":[[0,{"usage_limits_total":5,"usage_limits_unit":1}]],'
        '"x-bytes":[[0,[8,"00ff"]]],"y-big":[[0,[4,"-0x100"]]]}'
    )
    assert expected == encode_attributes(held)
