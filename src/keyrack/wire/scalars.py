"""One small emitter for each item type: the source lines that read and write one item.

The lines stand in a function whose variables are ``buf`` (what is read), ``pos`` and ``end`` (where the structure's
content stands in it), ``h`` (the 8 bytes of the item's tag, type and length as one number), or ``out`` (what is
written) and ``late`` (places to be filled with secrets at the end). ``check`` is what ``h`` is compared with: the
whole header for items of fixed size, tag and type for others.
"""

from collections.abc import Callable, Mapping
from enum import IntFlag
from functools import partial
from struct import Struct
from typing import Any, Final

from keyrack.spec.types import ItemType, Vanishing
from keyrack.spec.versions import ProtocolVersion
from keyrack.spec.word import Word
from keyrack.wire.declare import Choice
from keyrack.wire.errors import Malformed, WireError

PADDING: Final = tuple(bytes(-length & 7) for length in range(8))
"""The zero bytes that follow a value, by its length modulo 8 (KMIP 1.4, 9.1.1.3)."""

FIXED: Final[Mapping[ItemType, int]] = {
    ItemType.INTEGER: 4,
    ItemType.ENUMERATION: 4,
    ItemType.INTERVAL: 4,
    ItemType.BOOLEAN: 8,
    ItemType.LONG_INTEGER: 8,
    ItemType.DATE_TIME: 8,
}
"""Length of the value of the items of fixed size (KMIP 1.4, 9.1.1.3)."""

Lines = list[str]


def not_zero(pos: int) -> WireError:
    """The padding after the item at ``pos`` is not zero."""
    return Malformed(f"the padding of the item at byte {pos} is not zero")


def not_boolean(pos: int) -> WireError:
    """The Boolean at ``pos`` is neither 0 nor 1."""
    return Malformed(f"the Boolean at byte {pos} is neither 0 nor 1")


def not_eightfold(pos: int) -> WireError:
    """The Big Integer at ``pos`` has no length, or one that is no multiple of 8."""
    return Malformed(f"the Big Integer at byte {pos} has a length that is no positive multiple of 8")


def big_integer(value: int) -> bytes:
    """Two's complement, sign-extended to a multiple of 8 bytes (KMIP 1.4, 9.1.1.4)."""
    length = ((value if value >= 0 else ~value).bit_length() // 64 + 1) * 8
    return value.to_bytes(length, "big", signed=True)


BASE_SCOPE: Final[Mapping[str, Any]] = {
    "peek": Struct(">Q").unpack_from,
    "get_Q": Struct(">Q").unpack_from,
    "get_q": Struct(">q").unpack_from,
    "get_II": Struct(">II").unpack_from,
    "get_iI": Struct(">iI").unpack_from,
    "put_Q": Struct(">Q").pack,
    "put_QQ": Struct(">QQ").pack,
    "put_Qq": Struct(">Qq").pack,
    "put_QII": Struct(">QII").pack,
    "put_QiI": Struct(">QiI").pack,
    "put_I_into": Struct(">I").pack_into,
    "PADDING": PADDING,
    "Vanishing": Vanishing,
    "big_integer": big_integer,
    "from_bytes": int.from_bytes,
    "not_zero": not_zero,
    "not_boolean": not_boolean,
    "not_eightfold": not_eightfold,
}
"""What generated functions may name."""


def check(choice: Choice) -> int:
    """What identifies the item: the whole header where the length is fixed, else tag and type."""
    head = choice.tag << 8 | choice.item_type
    size = FIXED.get(choice.item_type)
    return head if size is None else head << 32 | size


def condition(choice: Choice) -> str:
    """The test that the header ``h`` is this item's."""
    return f"{'h' if choice.item_type in FIXED else 'h >> 32'} == 0x{check(choice):X}"


def read(choice: Choice, into: str, scope: dict[str, Any]) -> Lines:
    """Lines that read the value of the item at ``pos``, whose header is ``h``, and move ``pos`` behind it."""
    return READ[choice.item_type](choice, into, scope)


def write(choice: Choice, value: str, scope: dict[str, Any], *, required: bool = True) -> Lines:
    """Lines that append the item with ``value`` to ``out``.

    The value of an enumeration that is newer than the version is left out, unless the element is ``required``.
    """
    if issubclass(choice.python, Word):
        words = Words(choice, scope["version"])
        name = _named(scope, "words", words)
        if b"" in words.values() and required:
            return [f"data = {name}[{value}]", f"if not data: raise cannot_say({choice.tag.title!r})", "out += data"]
        return [f"out += {name}[{value}]"]
    return WRITE[choice.item_type](choice, value, scope)


class Words(dict[int, bytes]):
    """The items of an enumeration's values, made ahead; of a value that is newer than the version, nothing."""

    def __init__(self, choice: Choice, version: ProtocolVersion) -> None:
        """Make the items of every word of ``choice.python`` that ``version`` has."""
        members = [word for word in choice.python if isinstance(word, Word)]  # type: ignore[attr-defined]
        self._pack = partial(Struct(">QII").pack, check(choice))
        unknown = {int(word) for word in members if word.since > version and not choice.verbatim}
        super().__init__({int(word): b"" if word in unknown else self._pack(word, 0) for word in members})

    def __missing__(self, value: int) -> bytes:
        """A vendor's value: written as it is, and not remembered."""
        return self._pack(value, 0)


def _named(scope: dict[str, Any], prefix: str, value: Any) -> str:
    name = f"{prefix}_{len(scope)}"
    scope[name] = value
    return name


# --- reading ---


def _read_small(get: str) -> Callable[[Choice, str, dict[str, Any]], Lines]:
    def emit(choice: Choice, into: str, scope: dict[str, Any]) -> Lines:
        lines = [f"{into}, rest = {get}(buf, pos + 8)", "if rest: raise not_zero(pos)", "pos += 16"]
        if issubclass(choice.python, Word):
            # The dictionary that Enum itself keeps: an unknown value stays the number that came.
            member = _named(scope, "member", choice.python._value2member_map_.get)
            lines.append(f"{into} = {member}({into}, {into})")
        return lines

    return emit


def _read_large(choice: Choice, into: str, scope: dict[str, Any]) -> Lines:
    return [f"{into}, = get_q(buf, pos + 8)", "pos += 16"]


def _read_boolean(choice: Choice, into: str, scope: dict[str, Any]) -> Lines:
    return [
        f"{into}, = get_Q(buf, pos + 8)",
        f"if {into} > 1: raise not_boolean(pos)",
        f"{into} = {into} == 1",
        "pos += 16",
    ]


def _read_big_integer(choice: Choice, into: str, scope: dict[str, Any]) -> Lines:
    return [
        "size = h & 0xFFFFFFFF",
        "if not size or size & 7: raise not_eightfold(pos)",
        "stop = pos + 8 + size",
        f"{into} = from_bytes(buf[pos + 8:stop], 'big', signed=True)",
        "pos = stop",
    ]


def _read_string(expression: str) -> Callable[[Choice, str, dict[str, Any]], Lines]:
    def emit(choice: Choice, into: str, scope: dict[str, Any]) -> Lines:
        # A secret is copied once, from a view, so that no slice of it is left behind.
        source = "Vanishing(memoryview(buf)[pos + 8:stop])" if choice.python is bytearray else expression
        return [
            "size = h & 0xFFFFFFFF",
            "stop = pos + 8 + size",
            f"{into} = {source}",
            "if size & 7:",
            "    start = pos",
            "    pos = stop + (-size & 7)",
            "    if buf[stop:pos] != PADDING[size & 7]: raise not_zero(start)",
            "else: pos = stop",
        ]

    return emit


def _inner(scope: dict[str, Any], prefix: str, codecs: dict[type, Callable[..., Any]], cls: type) -> str:
    """A name for the function of an inner structure, which is made when it is first called: many never are."""

    def first(*arguments: Any) -> Any:
        scope[name] = codecs[cls]
        return scope[name](*arguments)

    name = _named(scope, prefix, first)
    return name


def _read_structure(choice: Choice, into: str, scope: dict[str, Any]) -> Lines:
    inner = _inner(scope, "read", scope["decoders"], choice.python)
    return ["stop = pos + 8 + (h & 0xFFFFFFFF)", f"{into} = {inner}(buf, pos + 8, stop)", "pos = stop"]


READ: Final[Mapping[ItemType, Callable[[Choice, str, dict[str, Any]], Lines]]] = {
    ItemType.STRUCTURE: _read_structure,
    ItemType.INTEGER: _read_small("get_iI"),
    ItemType.LONG_INTEGER: _read_large,
    ItemType.BIG_INTEGER: _read_big_integer,
    ItemType.ENUMERATION: _read_small("get_II"),
    ItemType.BOOLEAN: _read_boolean,
    ItemType.TEXT_STRING: _read_string("str(buf[pos + 8:stop], 'utf-8')"),
    ItemType.BYTE_STRING: _read_string("bytes(buf[pos + 8:stop])"),
    ItemType.DATE_TIME: _read_large,
    ItemType.INTERVAL: _read_small("get_II"),
}


# --- writing ---


def _write_small(put: str) -> Callable[[Choice, str, dict[str, Any]], Lines]:
    def emit(choice: Choice, value: str, scope: dict[str, Any]) -> Lines:
        return [f"out += {put}(0x{check(choice):X}, {value}, 0)"]

    return emit


def _write_large(choice: Choice, value: str, scope: dict[str, Any]) -> Lines:
    return [f"out += put_Qq(0x{check(choice):X}, {value})"]


def _write_boolean(choice: Choice, value: str, scope: dict[str, Any]) -> Lines:
    return [f"out += put_QQ(0x{check(choice):X}, 1 if {value} else 0)"]


def _write_bytes(expression: str) -> Callable[[Choice, str, dict[str, Any]], Lines]:
    def emit(choice: Choice, value: str, scope: dict[str, Any]) -> Lines:
        if choice.python is bytearray:
            return _write_secret(choice, value)
        return [
            f"data = {expression.format(value)}",
            "size = len(data)",
            f"out += put_Q(0x{check(choice) << 32:X} | size)",
            "out += data",
            "if size & 7: out += PADDING[size & 7]",
        ]

    return emit


def _write_secret(choice: Choice, value: str) -> Lines:
    # A growing bytearray is moved, and what it held stays behind in freed memory: so a secret's place is kept with
    # zeros, and filled when the message has its final size.
    return [
        f"size = len({value})",
        f"out += put_Q(0x{check(choice) << 32:X} | size)",
        f"late.append((len(out), {value}))",
        "out += bytes(size + 7 & -8)",
    ]


def _write_structure(choice: Choice, value: str, scope: dict[str, Any]) -> Lines:
    inner = _inner(scope, "write", scope["encoders"], choice.python)
    head = _named(scope, "head", (check(choice) << 32).to_bytes(8, "big"))
    return [f"{inner}(out, late, {value}, {head})"]


WRITE: Final[Mapping[ItemType, Callable[[Choice, str, dict[str, Any]], Lines]]] = {
    ItemType.STRUCTURE: _write_structure,
    ItemType.INTEGER: _write_small("put_QiI"),
    ItemType.LONG_INTEGER: _write_large,
    ItemType.BIG_INTEGER: _write_bytes("big_integer({})"),
    ItemType.ENUMERATION: _write_small("put_QII"),
    ItemType.BOOLEAN: _write_boolean,
    ItemType.TEXT_STRING: _write_bytes("{}.encode()"),
    ItemType.BYTE_STRING: _write_bytes("{}"),
    ItemType.DATE_TIME: _write_large,
    ItemType.INTERVAL: _write_small("put_QII"),
}


def python_types(choice: Choice) -> tuple[type, ...]:
    """The Python types of a value that this choice writes, for choices between scalars."""
    if issubclass(choice.python, Word | IntFlag):
        return (choice.python, int)
    return (choice.python,)
