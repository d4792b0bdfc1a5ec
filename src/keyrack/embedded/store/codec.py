"""Frozen records as canonical JSON, by their annotations: one text for each value, and one value for each text."""

import base64
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from json import JSONDecoder, JSONEncoder
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from keyrack.embedded.errors import KeystoreDamaged

T = TypeVar("T")
Converter = Callable[[Any], Any]
Maker = Callable[[Any], Converter]
"""Gives the converter of an annotation."""

_parsed = JSONDecoder().decode
_written = JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def encode(record: Any) -> str:
    """The JSON of a record of a frozen dataclass; a field that has its default is left out."""
    return _written(_encoder(type(record))(record))


def decode(kind: type[T], text: str) -> T:
    """The record that :func:`encode` has written; :class:`KeystoreDamaged` for any other text."""
    try:
        record: T = _decoder(kind)(_parsed(text))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise KeystoreDamaged(
            f"a record of {kind.__name__} is not one that this version writes: update keyrack, or restore a backup"
        ) from None
    return record


def _encoder_of(kind: Any) -> Converter:
    shape, inner = _shape(kind)
    return _ENCODERS[shape](_encoder, kind, inner)


def _decoder_of(kind: Any) -> Converter:
    shape, inner = _shape(kind)
    return _DECODERS[shape](_decoder, kind, inner)


_encoder: Maker = cache(_encoder_of)
_decoder: Maker = cache(_decoder_of)


def _shape(kind: Any) -> tuple[str, tuple[Any, ...]]:
    """What an annotation is, and the annotations inside it. A union but ``X | None`` holds JSON values as they are."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        kinds = tuple(each for each in inner if each is not types.NoneType)
        return ("optional", kinds) if len(kinds) == 1 else ("json", ())
    if origin in (tuple, Mapping):
        return ("tuple" if origin is tuple else "mapping"), inner
    if is_dataclass(kind):
        return "record", ()
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "enumeration", ()
    return ("bytes" if kind is bytes else "json"), ()


def _record_encoder(of: Maker, kind: Any, inner: tuple[Any, ...]) -> Converter:
    hints = get_type_hints(kind)
    parts = [(each.name, _default(each), of(hints[each.name])) for each in fields(kind)]

    def encoded(record: Any) -> dict[str, Any]:
        told = ((name, default, convert, getattr(record, name)) for name, default, convert in parts)
        return {name: convert(value) for name, default, convert, value in told if value != default}

    return encoded


def _record_decoder(of: Maker, kind: Any, inner: tuple[Any, ...]) -> Converter:
    hints = get_type_hints(kind)
    converters = {each.name: of(hints[each.name]) for each in fields(kind) if _shape(hints[each.name])[0] != "json"}

    def decoded(told: dict[str, Any]) -> Any:
        for name in converters.keys() & told.keys():
            told[name] = converters[name](told[name])
        return kind(**told)

    return decoded


def _default(field: Any) -> Any:
    if field.default is not MISSING:
        return field.default
    return field.default_factory() if field.default_factory is not MISSING else MISSING


def _optional(of: Maker, kind: Any, inner: tuple[Any, ...]) -> Converter:
    convert = of(inner[0])
    return lambda value: None if value is None else convert(value)


def _mapping(of: Maker, kind: Any, inner: tuple[Any, ...]) -> Converter:
    name_of, value_of = of(inner[0]), of(inner[1])
    return lambda mapping: {name_of(name): value_of(value) for name, value in mapping.items()}


def _list(of: Maker, kind: Any, inner: tuple[Any, ...]) -> Converter:
    one = of(inner[0])
    return lambda values: [one(value) for value in values]


def _tuple(of: Maker, kind: Any, inner: tuple[Any, ...]) -> Converter:
    one = of(inner[0])
    return lambda values: tuple(one(value) for value in values)


def _text(octets: bytes) -> str:
    return base64.b64encode(octets).decode("ascii")


def _octets(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


_ENCODERS: Mapping[str, Callable[[Maker, Any, tuple[Any, ...]], Converter]] = {
    "record": _record_encoder,
    "optional": _optional,
    "mapping": _mapping,
    "tuple": _list,
    "enumeration": lambda of, kind, inner: lambda value: value.value,
    "bytes": lambda of, kind, inner: _text,
    "json": lambda of, kind, inner: lambda value: value,
}
_DECODERS: Mapping[str, Callable[[Maker, Any, tuple[Any, ...]], Converter]] = {
    "record": _record_decoder,
    "optional": _optional,
    "mapping": _mapping,
    "tuple": _tuple,
    "enumeration": lambda of, kind, inner: kind,
    "bytes": lambda of, kind, inner: _octets,
    "json": lambda of, kind, inner: lambda value: value,
}
