"""Frozen records as canonical JSON, by their annotations: one text for each value, and one value for each text."""

import base64
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from json import JSONEncoder
from json import loads as parse
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from keyrack.embedded.errors import KeystoreDamaged

T = TypeVar("T")
Converter = Callable[[Any], Any]

_written = JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def encode(record: Any) -> str:
    """The JSON of a record of a frozen dataclass; a field that has its default is left out."""
    return _written(_encoder(type(record))(record))


def decode(kind: type[T], text: str) -> T:
    """The record that :func:`encode` has written; :class:`KeystoreDamaged` for any other text."""
    try:
        record: T = _decoder(kind)(parse(text))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise KeystoreDamaged(
            f"a record of {kind.__name__} is not one that this version writes: update keyrack, or restore a backup"
        ) from None
    return record


@cache
def _encoder(kind: Any) -> Converter:
    if is_dataclass(kind):
        return _dataclass_encoder(kind)
    origin, inner = get_origin(kind), get_args(kind)
    if kind is bytes:
        return lambda value: base64.b64encode(value).decode()
    if isinstance(kind, type) and issubclass(kind, Enum):
        return lambda value: value.value
    if origin in (Union, types.UnionType):
        return _optional(_encoder, inner)
    if origin is tuple:
        one = _encoder(inner[0])
        return lambda values: [one(value) for value in values]
    if origin is Mapping:
        key, value_of = _encoder(inner[0]), _encoder(inner[1])
        return lambda mapping: {key(name): value_of(value) for name, value in mapping.items()}
    return _as_it_is


@cache
def _decoder(kind: Any) -> Converter:
    if is_dataclass(kind):
        return _dataclass_decoder(kind)
    origin, inner = get_origin(kind), get_args(kind)
    if kind is bytes:
        return lambda text: base64.b64decode(text, validate=True)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind
    if origin in (Union, types.UnionType):
        return _optional(_decoder, inner)
    if origin is tuple:
        one = _decoder(inner[0])
        return lambda values: tuple(one(value) for value in values)
    if origin is Mapping:
        key, value_of = _decoder(inner[0]), _decoder(inner[1])
        return lambda mapping: {key(name): value_of(value) for name, value in mapping.items()}
    return _as_it_is


def _dataclass_encoder(kind: Any) -> Converter:
    hints = get_type_hints(kind)
    parts = [(each.name, _default(each), _encoder(hints[each.name])) for each in fields(kind)]

    def encoded(record: Any) -> dict[str, Any]:
        told = ((name, default, convert, getattr(record, name)) for name, default, convert in parts)
        return {name: convert(value) for name, default, convert, value in told if value != default}

    return encoded


def _dataclass_decoder(kind: Any) -> Converter:
    hints = get_type_hints(kind)
    converters = {each.name: _decoder(hints[each.name]) for each in fields(kind)}
    return lambda told: kind(**{name: converters[name](value) for name, value in told.items()})


def _default(field: Any) -> Any:
    if field.default is not MISSING:
        return field.default
    return field.default_factory() if field.default_factory is not MISSING else MISSING


def _optional(of: Callable[[Any], Converter], inner: tuple[Any, ...]) -> Converter:
    """``X | None``; any other union holds JSON values as they are."""
    kinds = [kind for kind in inner if kind is not types.NoneType]
    if len(kinds) != 1:
        return _as_it_is
    convert = of(kinds[0])
    return lambda value: None if value is None else convert(value)


def _as_it_is(value: Any) -> Any:
    return value
