"""The codec: straight-line functions, generated once for each structure and protocol version, at their first use.

For each class two functions are written as source text, compiled, and registered in ``linecache``, so that tracebacks
and debuggers show them. An element that is newer than the version does not occur in that version's functions: it is
never written, and is refused when it comes.
"""

import linecache
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import cache
from itertools import count
from struct import error as StructError
from typing import Annotated, Any, Final, TypeVar

from keyrack.spec.tags import Tag
from keyrack.spec.types import ItemType
from keyrack.spec.versions import VERSIONS, ProtocolVersion
from keyrack.wire import scalars
from keyrack.wire.declare import SPECIAL, STRUCTURES, Choice, FieldPlan, fields_of, plan_field, structure
from keyrack.wire.errors import Malformed, Unexpected, WireError
from keyrack.wire.refusals import refuse

__all__ = [
    "DECODERS",
    "ENCODERS",
    "STRUCTURES",
    "decode",
    "decode_content",
    "encode",
    "fill",
    "item_codec",
    "structure",
    "structure_check",
    "structure_head",
    "write_item",
]

T = TypeVar("T")

Buffer = bytes | bytearray | memoryview
Late = list[tuple[int, bytearray]]
"""Places in a message that secrets go to once it has its final size."""
Encoder = Callable[[bytearray, Late, Any, bytes], None]
"""Appends one structure to the array; the last argument is its header: tag, type, and a length of zero."""
Decoder = Callable[[Buffer, int, int], Any]
"""Reads the content of one structure, which stands between the two places, whole."""

Lines = list[str]


class _Encoders(dict[type, Encoder]):
    """The encoders of one protocol version, each made when it is first asked for."""

    def __init__(self, version: ProtocolVersion) -> None:
        super().__init__()
        self._version = version

    def __missing__(self, cls: type) -> Encoder:
        if cls in SPECIAL:
            made: Encoder = SPECIAL[cls](self._version)[0]
        else:
            scope: dict[str, Any] = {
                **scalars.BASE_SCOPE, "encoders": self, "version": self._version, "cannot_say": _cannot_say,
            }  # fmt: skip
            body = _encode_body(fields_of(_declared(cls)), self._version, scope)
            made = compile_function(f"{cls.__qualname__} {self._version} encode", "out, late, value, head", body, scope)
        self[cls] = made
        return made


class _Decoders(dict[type, Decoder]):
    """The decoders of one protocol version, each made when it is first asked for."""

    def __init__(self, version: ProtocolVersion) -> None:
        super().__init__()
        self._version = version

    def __missing__(self, cls: type) -> Decoder:
        if cls in SPECIAL:
            made: Decoder = SPECIAL[cls](self._version)[1]
        else:
            scope: dict[str, Any] = {**scalars.BASE_SCOPE, "decoders": self, "refuse": refuse, "cls": cls}
            body = _decode_body(_declared(cls), self._version, scope)
            made = compile_function(f"{cls.__qualname__} {self._version} decode", "buf, pos, end", body, scope)
        self[cls] = made
        return made


ENCODERS: Final = {version: _Encoders(version) for version in VERSIONS}
"""By protocol version and class: for code that writes structures inside others."""
DECODERS: Final = {version: _Decoders(version) for version in VERSIONS}
"""By protocol version and class: for code that reads structures inside others."""


def encode(value: Any, version: ProtocolVersion, tag: Tag | None = None) -> bytearray:
    """One structure as TTLV, under ``tag`` or its class's own.

    Optional elements that are newer than ``version``, or hold an enumeration's value that is newer, are left out; a
    required one raises ``Unexpected``, as does a value that its item type cannot hold.
    """
    out = bytearray()
    late: Late = []
    write_item(out, late, value, version, tag or type(value).TAG)
    fill(out, late)
    return out


def write_item(out: bytearray, late: Late, value: Any, version: ProtocolVersion, tag: Tag) -> None:
    """Append one structure; the caller calls :func:`fill` when the message is complete."""
    try:
        ENCODERS[version][type(value)](out, late, value, structure_head(tag))
    except WRONG_VALUE as error:
        raise wrong_value(tag) from error


WRONG_VALUE: Final = (StructError, OverflowError, AttributeError, UnicodeEncodeError, TypeError)
"""What encoders raise for a value that is not of its element's type: to be translated by :func:`wrong_value`."""


def wrong_value(tag: Tag) -> WireError:
    """A value inside the structure ``tag`` cannot be written."""
    return Unexpected(f"{tag.title}: a value is not of the type that its element needs")


def fill(out: bytearray, late: Late) -> None:
    """Put the secrets in their places: the message has its final size and does not move any more."""
    for place, secret in late:
        out[place : place + len(secret)] = secret


def decode(cls: type[T], buffer: Buffer, version: ProtocolVersion, tag: Tag | None = None) -> T:
    """Read one structure, which is the whole of ``buffer``; raises a ``WireError`` if it is anything else."""
    tag = tag or cls.TAG  # type: ignore[attr-defined]
    end = len(buffer)
    if end < 8 or end & 7:
        raise Malformed(f"{tag.title}: {end} bytes are no TTLV item")
    found = int.from_bytes(buffer[:8], "big")
    if found != structure_check(tag) << 32 | end - 8:
        raise refuse(tag.title, buffer, 0, end, tag.title)
    return decode_content(cls, buffer, version, 8, end)


def decode_content(cls: type[T], buffer: Buffer, version: ProtocolVersion, pos: int = 0, end: int | None = None) -> T:
    """Read the content of one structure, without its header; raises a ``WireError`` that knows the version."""
    try:
        value: T = DECODERS[version][cls](buffer, pos, len(buffer) if end is None else end)
    except WireError as error:
        error.version = version
        raise
    except WRONG_BYTES as error:
        raise wrong_bytes(cls, error, version) from error
    return value


WRONG_BYTES: Final = (UnicodeDecodeError, StructError, IndexError, OverflowError)
"""What decoders raise beside ``WireError``: to be translated by :func:`wrong_bytes`."""


def wrong_bytes(cls: type, error: Exception, version: ProtocolVersion) -> WireError:
    """The bytes of a ``cls`` cannot be read."""
    text = "a Text String is not UTF-8" if isinstance(error, UnicodeDecodeError) else "the bytes end inside an item"
    refusal = Malformed(f"{cls.__name__}: {text}")
    refusal.version = version
    return refusal


def structure_check(tag: Tag) -> int:
    """Tag and type of a structure, as they are compared."""
    return tag << 8 | ItemType.STRUCTURE


@cache
def structure_head(tag: Tag) -> bytes:
    """The header of a structure whose length is still to come."""
    return (structure_check(tag) << 32).to_bytes(8, "big")


def item_codec(
    owner: str, hint: Any, tag: Tag, version: ProtocolVersion
) -> tuple[Callable[[bytearray, Late, Any], None], Decoder]:
    """Writer (``out, late, value``) and reader (``buf, pos, end``) of one item alone, as attributes need them.

    ``owner`` is what errors name.
    """
    (choice,) = plan_field(tag.title, "", Annotated[hint, tag]).choices
    scope: dict[str, Any] = {
        **scalars.BASE_SCOPE, "encoders": ENCODERS[version], "decoders": DECODERS[version], "version": version,
        "refuse": refuse, "cannot_say": _cannot_say, "item_type": choice.item_type,
    }  # fmt: skip
    name = f"{owner} {version}"
    writer = compile_function(f"{name} write", "out, late, value", scalars.write(choice, "value", scope), scope)
    body = [
        *PEEK,
        f"if {scalars.condition(choice)}:",
        *_indent(scalars.read(choice, "value", scope)),
        "    if pos == end: return value",
        f"raise refuse({owner!r}, buf, pos, end, {choice.tag.title!r}, item_type)",
    ]
    return writer, compile_function(f"{name} read", "buf, pos, end", body, scope)


# --- the functions' text ---

PEEK: Final = ["h = peek(buf, pos)[0] if pos < end else 0"]


def _decode_body(cls: type, version: ProtocolVersion, scope: dict[str, Any]) -> Lines:
    plans = fields_of(cls)
    known = [plan for plan in plans if plan.since <= version]
    lines = list(PEEK) if known else []
    for plan in known:
        lines += DECODE[plan.presence](cls.__name__, plan, version, scope)
    lines += [f"v_{plan.name} = {() if plan.presence == 'repeated' else None}" for plan in plans if plan not in known]
    return [
        *lines,
        f"if pos != end: raise refuse({cls.__name__!r}, buf, pos, end)",
        *_construct(cls, [plan.name for plan in plans], scope),
    ]


def maker(cls: type[T]) -> Callable[..., T]:
    """A fast way to make values of a class whose codec is written by hand: all fields, in order, by position."""
    names = [field.name for field in fields(_declared(cls))]
    scope: dict[str, Any] = {"cls": cls}
    parameters = ", ".join(f"v_{name}" for name in names)
    return compile_function(f"{cls.__qualname__} make", parameters, _construct(cls, names, scope), scope)


def _construct(cls: type, names: list[str], scope: dict[str, Any]) -> Lines:
    """Make the frozen value.

    The constructor of a frozen class sets each field through ``object.__setattr__``: half of the time of a decode. So
    the fields are set on an unfrozen twin of the same layout, which then becomes the value. A class that has more to
    its making than its fields is made by its constructor.
    """
    if cls.__bases__ != (object,) or hasattr(cls, "__post_init__") or not names:
        return [f"return cls({', '.join(f'{name}=v_{name}' for name in names)})"]
    scope["twin"] = type("Twin", (), {"__slots__": tuple(names)})
    scope["new"] = object.__new__
    return [
        "made = new(twin)",
        *(f"made.{name} = v_{name}" for name in names),
        "made.__class__ = cls",
        "return made",
    ]


def _usable(plan: FieldPlan, version: ProtocolVersion) -> list[Choice]:
    return [choice for choice in plan.choices if choice.tag.since <= version]


def _ladder(plan: FieldPlan, into: str, version: ProtocolVersion, scope: dict[str, Any], after: Lines) -> Lines:
    lines: Lines = []
    for number, choice in enumerate(_usable(plan, version)):
        lines.append(f"{'elif' if number else 'if'} {scalars.condition(choice)}:")
        lines += _indent([*scalars.read(choice, into, scope), *after])
    return lines


def _decode_required(name: str, plan: FieldPlan, version: ProtocolVersion, scope: dict[str, Any]) -> Lines:
    lines = _ladder(plan, f"v_{plan.name}", version, scope, [])
    return [*lines, "else:", f"    raise refuse({name!r}, buf, pos, end, {plan.title!r})", *PEEK]


def _decode_optional(name: str, plan: FieldPlan, version: ProtocolVersion, scope: dict[str, Any]) -> Lines:
    return [*_ladder(plan, f"v_{plan.name}", version, scope, PEEK), "else:", f"    v_{plan.name} = None"]


def _decode_repeated(name: str, plan: FieldPlan, version: ProtocolVersion, scope: dict[str, Any]) -> Lines:
    after = [f"l_{plan.name}.append(one)", *PEEK]
    return [
        f"l_{plan.name} = []",
        "while True:",
        *_indent([*_ladder(plan, "one", version, scope, after), "else: break"]),
        f"v_{plan.name} = tuple(l_{plan.name})",
    ]


DECODE: Final = {"required": _decode_required, "optional": _decode_optional, "repeated": _decode_repeated}


def _encode_body(plans: tuple[FieldPlan, ...], version: ProtocolVersion, scope: dict[str, Any]) -> Lines:
    lines = ["out += head", "begin = len(out)"]
    for plan in plans:
        if plan.since <= version:
            lines += _encode_field(plan, version, scope)
    return [*lines, "put_I_into(out, begin - 4, len(out) - begin)"]


def _encode_field(plan: FieldPlan, version: ProtocolVersion, scope: dict[str, Any]) -> Lines:
    source = f"value.{plan.name}"
    if plan.presence == "repeated":
        return [f"for v in {source}:", *_indent(_encode_value(plan, version, scope))]
    if plan.presence == "optional":
        return [f"v = {source}", "if v is not None:", *_indent(_encode_value(plan, version, scope))]
    return [f"v = {source}", *_encode_value(plan, version, scope)]


def _encode_value(plan: FieldPlan, version: ProtocolVersion, scope: dict[str, Any]) -> Lines:
    """Write ``v``, in the form that its type chooses."""
    required = plan.presence == "required"
    if len(plan.choices) == 1:
        return scalars.write(plan.choices[0], "v", scope, required=required)
    lines = ["kind = type(v)"]
    for number, choice in enumerate(_usable(plan, version)):
        kinds = _named_types(scope, scalars.python_types(choice))
        lines.append(f"{'elif' if number else 'if'} {kinds}:")
        lines += _indent(scalars.write(choice, "v", scope, required=required))
    return [*lines, f"else: raise cannot_say({plan.title!r})"]


def _named_types(scope: dict[str, Any], kinds: tuple[type, ...]) -> str:
    tests = []
    for kind in kinds:
        name = f"type_{len(scope)}"
        scope[name] = kind
        # Who keeps a secret may keep it in an array of its own making: one that wipes itself, say.
        tests.append(f"isinstance(v, {name})" if kind is bytearray else f"kind is {name}")
    return " or ".join(tests)


def _cannot_say(title: str) -> WireError:
    return Unexpected(f"the value of {title} cannot be written in the protocol version of the message")


def _indent(lines: Lines) -> Lines:
    return [f"    {line}" for line in lines]


def _declared(cls: Any) -> Any:
    if not is_dataclass(cls):
        raise TypeError(f"{cls.__name__} is not declared with @structure")
    return cls


_serial = count(1)


def compile_function(title: str, parameters: str, body: Lines, scope: dict[str, Any]) -> Callable[..., Any]:
    """Make a function of source text that tracebacks can show."""
    text = f"def generated({parameters}):\n" + "\n".join(_indent(body)) + "\n"
    filename = f"<keyrack codec {next(_serial)}: {title}>"
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    exec(compile(text, filename, "exec"), scope)  # noqa: S102 - the text is made here, of declarations alone
    made: Callable[..., Any] = scope["generated"]
    return made
