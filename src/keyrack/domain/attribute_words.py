"""Attributes in words for people: titles for numbers, times for seconds, digits for bytes. Never material."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from keyrack.domain.moments import rfc3339
from keyrack.domain.objects import ManagedObject
from keyrack.spec.attributes import ATTRIBUTES
from keyrack.spec.enumerations import CryptographicUsageMask
from keyrack.spec.types import CustomValue, DateTime


def in_words(managed: ManagedObject) -> Mapping[str, Sequence[str]]:
    """Every attribute of an object, by name, each of its instances as a text."""
    return {name: [_told(name, each.value) for each in held] for name, held in sorted(managed.attributes.items())}


def algorithm_of(managed: ManagedObject) -> str | None:
    """As ``AES-256``; ``None`` where none is known."""
    algorithm, length = managed.value("Cryptographic Algorithm"), managed.value("Cryptographic Length")
    if algorithm is None:
        return None
    title = getattr(algorithm, "title", None)
    named = title if isinstance(title, str) else hex(algorithm)
    return f"{named}-{length}" if length else named


def _told(name: str, value: Any) -> str:
    if isinstance(value, CustomValue):
        return _plain(value.value)
    if name == "Cryptographic Usage Mask":
        return ", ".join(_words(mask.name) for mask in CryptographicUsageMask if value & mask) or "none"
    if name in ATTRIBUTES and ATTRIBUTES[name].type == DateTime:
        return rfc3339(value)
    return _plain(value)


def _plain(value: Any) -> str:
    if isinstance(value, bytes | bytearray):
        return value.hex()
    if isinstance(title := getattr(value, "title", None), str):
        return title
    if is_dataclass(value):
        parts = ((each.name, getattr(value, each.name)) for each in fields(value))
        return ", ".join(f"{name.replace('_', ' ')} {_plain(part)}" for name, part in parts if part is not None)
    return str(value)


def _words(name: str | None) -> str:
    return (name or "").replace("_", " ").title()
