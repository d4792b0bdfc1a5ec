"""Managed objects: what an instance holds, as frozen values (KMIP 1.4, 2.2 and 3)."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from keyrack.spec.enumerations import KeyFormatType, ObjectType, State


class Indexed(NamedTuple):
    """One instance of an attribute: its Attribute Index and its value (KMIP 1.4, 2.1.1).

    ``value`` has the type that ``keyrack.spec.attributes`` names for the attribute: a plain ``int``, ``str``,
    ``bytes``, ``bool``, an enumeration, or a frozen structure of ``keyrack.spec.structures``; a custom attribute's is
    a ``keyrack.spec.types.CustomValue``.
    """

    index: int  # type: ignore[assignment] # the standard's word; tuple.index is never called
    value: Any


Attributes = Mapping[str, tuple[Indexed, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """In which form an object's material came and leaves again: what the standard keeps beside the attributes.

    It is public; the material itself is sealed.
    """

    key_format_type: KeyFormatType | int | None = None
    """Key Format Type of the key block (KMIP 1.4, 2.1.3); ``None`` for certificates and opaque objects."""
    key_compression_type: int | None = None
    subtype: int | None = None
    """Certificate Type, Secret Data Type or Opaque Data Type (KMIP 1.4, 2.2.1, 2.2.7, 2.2.8)."""
    wrapped: bool = False
    """The material is a key block that was registered wrapped; it leaves as it came (KMIP 1.4, 4.3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedObject:
    """A managed object of one instance.

    ``attributes`` maps an attribute's name, as the standard prints it, to its instances in the order of their indices;
    Unique Identifier, Object Type and State are fields of their own and never stand in it. A missing name means that
    the object has no such attribute.
    """

    unique_identifier: str
    """A lower-case UUID version 4, never used again."""
    instance: str
    """Identifier of the instance that owns it; nothing outside it ever sees the object."""
    object_type: ObjectType
    state: State
    attributes: Attributes = field(repr=False)
    form: Form = Form(key_format_type=KeyFormatType.RAW)
    sealed: bytes | None = field(default=None, repr=False)
    """The wrapped blob of ``service.vault.envelope``; ``None`` once destroyed for good."""
    standard_key: str | None = None
    """Identifier of the copy in the key manager, where the instance's storage is ``key_manager``."""
    withheld_at: int | None = None
    """Since when its standard key is gone from the key manager, in seconds since 1970; meanwhile nobody gets it."""
    version: int = 1
    """Grows by one at each change; a write names the version it has seen."""

    def value(self, name: str) -> Any:
        """The value of the first instance of an attribute, or ``None``."""
        held = self.attributes.get(name)
        return held[0].value if held else None

    def changed(self, **fields: Any) -> "ManagedObject":
        """A copy with other fields and the next version."""
        return replace(self, version=self.version + 1, **fields)
