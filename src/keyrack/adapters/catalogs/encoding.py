"""Attributes as JSON text and back, typed by the standard's table and bit for bit the same.

``{"Cryptographic Length": [[0, 256]], "Name": [[0, {"name_value": "a", "name_type": 1}]]}``: each instance is its
Attribute Index and its value. A structure is an object of its fields that are set, bytes are hexadecimal, an
enumeration is its number, a custom attribute's value is its item type and its value. Reading is lazy: most requests
look at a few attributes, or none.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum, IntFlag
from functools import cache, lru_cache
from json import JSONDecoder, loads
from json.encoder import encode_basestring_ascii as quoted
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Union, cast, get_args, get_origin, get_type_hints

from keyrack.domain.objects import Attributes, Indexed
from keyrack.spec.attributes import ATTRIBUTES, is_custom
from keyrack.spec.types import CustomValue, ItemType

Reader = Callable[[Any], Any]
"""Makes a typed value from what JSON holds."""
Writer = Callable[[Any], str]
"""Makes the JSON text of a value."""


def encode_attributes(attributes: Attributes) -> str:
    """The JSON text of an object's attributes; raises ``TypeError`` for a name or a value that is no attribute's."""
    if isinstance(attributes, StoredAttributes):
        return attributes.text
    texts = []
    for name, held in attributes.items():
        mark = _MARKS.get(name)
        if mark is None:
            if not is_custom(name):
                raise TypeError(f"{name!r} is no attribute of the standard, nor a custom one")
            mark = f"{quoted(name)}:["
        texts.append(f"{mark}{','.join([f'[{index},{_text(value)}]' for index, value in held])}]")
    return f"{{{','.join(texts)}}}"


GLANCE: Final[Mapping[str, int]] = {
    name: place
    for place, name in enumerate(
        (
            "Cryptographic Algorithm",
            "Cryptographic Length",
            "Activation Date",
            "Deactivation Date",
            "Fresh",
            "Sensitive",
            "Extractable",
            "Usage Limits",
        )
    )
}
"""Attributes that nearly every request looks at, with their places in the text of :func:`glance`."""


def glance(attributes: Attributes) -> str:
    """The attributes of :data:`GLANCE` that are numbers or flags, in short: ``"3,256,,,0,0,1,"``.

    Empty stands for none, ``?`` for one to look for in the JSON text.
    """
    if isinstance(attributes, StoredAttributes):
        return ",".join(attributes.at_a_glance)
    return ",".join([_at_a_glance(attributes.get(name)) for name in GLANCE])


def _at_a_glance(held: tuple[Indexed, ...] | None) -> str:
    if held is None:
        return ""
    if len(held) > 1 or held[0].index or not isinstance(held[0].value, int):
        return "?"
    return str(int(held[0].value))


class StoredAttributes(Mapping[str, tuple[Indexed, ...]]):
    """Attributes as they came from the database, parsed where somebody looks.

    A Get looks at what stands in the glance. Another name is searched in the text, and only its value is parsed; who
    wants more of them, or all, gets all parsed.
    """

    __slots__ = ("_looks", "_raw", "_typed", "at_a_glance", "text")

    def __init__(self, text: str, short: str | None = None) -> None:
        """Hold the JSON ``text`` that :func:`encode_attributes` wrote, and what :func:`glance` did."""
        self.text = text
        self.at_a_glance = UNSEEN if short is None else short.split(",")
        self._looks = 0
        self._raw: dict[str, Any] | None = None
        self._typed: dict[str, tuple[Indexed, ...]] = {}

    def __getitem__(self, name: str) -> tuple[Indexed, ...]:
        found = self.get(name)
        if found is None:
            raise KeyError(name)
        return cast(tuple[Indexed, ...], found)

    def get(self, name: str, default: Any = None) -> Any:
        """The instances of an attribute, or ``default``."""
        typed = self._typed.get(name)
        if typed is None:
            place = GLANCE.get(name)
            if place is not None:
                short = self.at_a_glance[place]
                if not short:
                    return default
                if short != "?":
                    typed = self._typed[name] = (Indexed(0, _GLANCED[name](int(short))),)
                    return typed
            held = self._look(name) if self._raw is None else self._raw.get(name)
            if held is None:
                return default
            read = reader(name)
            typed = self._typed[name] = tuple([Indexed(index, read(value)) for index, value in held])
        return typed

    def _look(self, name: str) -> Any:
        """What JSON holds under ``name``, or ``None``.

        In the text a name stands between ``{`` or ``,`` with a quote, and a quote with a colon. Nothing else looks so:
        a quote inside of a string has a backslash before it, and the fields of structures are named otherwise.
        """
        if name not in ATTRIBUTES and not is_custom(name):
            return None
        self._looks += 1
        if self._looks > MANY_LOOKS or not _stands_as_it_is(name):
            return self._parsed().get(name)
        mark = f'"{name}":'
        place = self.text.find(f",{mark}")
        if place < 0:
            if not self.text.startswith(mark, 1):
                return None
            place = 0
        return _scan(self.text, place + 1 + len(mark))[0]

    def __contains__(self, name: object) -> bool:
        return name in self._typed or (isinstance(name, str) and self.get(name) is not None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._parsed())

    def __len__(self) -> int:
        return len(self._parsed())

    def _parsed(self) -> dict[str, Any]:
        if self._raw is None:
            self._raw = loads(self.text)
        return self._raw


UNSEEN: Final = ["?"] * len(GLANCE)
MANY_LOOKS: Final = 6
"""Looks for single names that cost about as much as parsing all."""

_scan: Final = JSONDecoder().raw_decode


@lru_cache(1024)
def _stands_as_it_is(name: str) -> bool:
    return quoted(name) == f'"{name}"'


def reader(name: str) -> Reader:
    """How the values of an attribute are read; raises ``TypeError`` if the standard has no such name."""
    return _read_custom if is_custom(name) else _reader_of_word(name)


@cache
def _reader_of_word(name: str) -> Reader:
    word = ATTRIBUTES.get(name)
    if word is None:
        raise TypeError(f"{name!r} is no attribute of the standard, nor a custom one")
    return _reader_of(word.type)


def _reader_of(declared: Any) -> Reader:
    """The reader for a declared type: plain, an enumeration, bytes, a tuple of one, a structure."""
    origin = get_origin(declared)
    if origin is Annotated:
        return _reader_of(get_args(declared)[0])
    if origin in {Union, UnionType}:
        return _reader_of_union([each for each in get_args(declared) if each is not NoneType])
    if origin is tuple:
        read_item = _reader_of(get_args(declared)[0])
        return lambda held: tuple([read_item(each) for each in held])
    if is_dataclass(declared):
        return _reader_of_structure(declared)
    if issubclass(declared, Enum) and not issubclass(declared, IntFlag):
        return _reader_of_enumeration(declared)
    return bytes.fromhex if issubclass(declared, bytes) else _as_it_is


def _reader_of_union(alternatives: list[Any]) -> Reader:
    # "X | int": a word of the standard where there is one, else the vendor's number.
    chosen = [each for each in alternatives if each is not int] or alternatives
    if len(chosen) != 1:
        raise TypeError(f"cannot tell {alternatives} apart in JSON")
    return _reader_of(chosen[0])


def _reader_of_enumeration(enumeration: type[Enum]) -> Reader:
    members = {member.value: member for member in enumeration}
    return lambda number: members.get(number, number)


def _reader_of_structure(structure: Any) -> Reader:
    hints = get_type_hints(structure, include_extras=True)
    readers = {each.name: _reader_of(hints[each.name]) for each in fields(structure)}
    return lambda held: structure(**{name: readers[name](value) for name, value in held.items()})


def _as_it_is(value: Any) -> Any:
    return value


_HEXADECIMAL: Final[Mapping[int, Reader]] = {
    ItemType.STRUCTURE: bytes.fromhex,
    ItemType.BYTE_STRING: bytes.fromhex,
    # Python reads and writes no decimal number of more than 4,300 digits; a Big Integer may be longer.
    ItemType.BIG_INTEGER: lambda text: int(text, 16),
}
_ITEM_TYPES: Final = {int(each): each for each in ItemType}


def _read_custom(held: Any) -> CustomValue:
    item_type, value = held
    read = _HEXADECIMAL.get(item_type, _as_it_is)
    return CustomValue(_ITEM_TYPES[item_type], read(value))


def _write_custom(held: CustomValue) -> str:
    value: Any = hex(cast(int, held.value)) if held.item_type is ItemType.BIG_INTEGER else held.value
    return f"[{int(held.item_type)},{_text(value)}]"


_WRITERS: Final[dict[type, Writer]] = {
    int: int.__repr__,
    bool: lambda value: "true" if value else "false",
    str: quoted,
    bytes: lambda value: f'"{value.hex()}"',
    tuple: lambda value: f"[{','.join([_text(each) for each in value])}]",
    CustomValue: _write_custom,
}
"""By class; the structures and enumerations that are met join them."""


def _text(value: Any) -> str:
    """The JSON text of one value."""
    kind = value.__class__
    return (_WRITERS.get(kind) or _writer_of(kind))(value)


def _writer_of(kind: type) -> Writer:
    if is_dataclass(kind):
        writer = _writer_of_structure(kind)
    elif issubclass(kind, int):
        writer = int.__repr__
    else:
        raise TypeError(f"{kind.__name__} is no type of an attribute's value")
    _WRITERS[kind] = writer
    return writer


def _writer_of_structure(structure: Any) -> Writer:
    """The fields that are set; a repeated field is set even when it is empty."""
    marks = [(each.name, f'"{each.name}":') for each in fields(structure)]

    def write(value: Any) -> str:
        held = [(mark, getattr(value, name)) for name, mark in marks]
        return f"{{{','.join([mark + _text(each) for mark, each in held if each is not None])}}}"

    return write


_MARKS: Final = {name: f'"{name}":[' for name in ATTRIBUTES}

_GLANCED: Final[Mapping[str, Reader]] = {
    name: bool if ATTRIBUTES[name].type is bool else _reader_of_word(name) for name in GLANCE
}
"""Makes typed values from the numbers of a glance."""
