"""The standard's names for people and for XML: of tags, and of the values of enumerations and masks."""

import re
from collections.abc import Mapping
from enum import IntFlag
from functools import cache
from types import MappingProxyType
from typing import Final

from keyrack.spec import enumerations
from keyrack.spec.attributes import ATTRIBUTES
from keyrack.spec.enumerations import HashingAlgorithm
from keyrack.spec.tags import Tag
from keyrack.spec.word import Word


def _plain(title: str) -> str:
    return re.sub(r"[^a-z0-9]", "", title.lower())


def _kinds(base: type) -> dict[int, type]:
    declared = [getattr(enumerations, name) for name in enumerations.__all__]
    by_name = {_plain(kind.__name__): kind for kind in declared if issubclass(kind, base)}
    return {int(tag): by_name[_plain(tag.title)] for tag in Tag if _plain(tag.title) in by_name}


ENUMERATIONS: Final[Mapping[int, type[Word]]] = MappingProxyType(
    {**_kinds(Word), int(Tag.MASK_GENERATOR_HASHING_ALGORITHM): HashingAlgorithm}
)
"""The enumeration that the values of a tag belong to."""
MASKS: Final[Mapping[int, type[IntFlag]]] = MappingProxyType(_kinds(IntFlag))
"""The mask that the values of a tag belong to."""


def tag_title(tag: int) -> str:
    """``"Unique Identifier"``, or the number of a tag that no version has: ``"0x540001"``."""
    known = Tag._value2member_map_.get(tag)
    return known.title if isinstance(known, Tag) else f"0x{tag:06X}"


def value_tag(tag: int, attribute: str | None) -> int:
    """The tag whose enumeration a value belongs to: that of an Attribute Value is its attribute's own."""
    word = ATTRIBUTES.get(attribute) if attribute is not None and tag == Tag.ATTRIBUTE_VALUE else None
    return tag if word is None else word.tag


def word_title(tag: int, value: int) -> str | None:
    """The title of an enumeration's value, where the standard has one."""
    kind = ENUMERATIONS.get(tag)
    known = None if kind is None else kind._value2member_map_.get(value)
    return known.title if isinstance(known, Word) else None


@cache
def xml_name(title: str) -> str:
    """A title as XML has it (KMIP Profiles 1.4, 5.4.1.1): ``X.509`` is ``X_509``, ``3DES`` is ``DES3``."""
    text = title.replace("(", " ").replace(")", " ")
    text = re.sub(r"(?<=[A-Za-z])\W(?=\d)", "_", text)
    words = re.sub(r"\W", " ", text).split()
    digits = re.match(r"\d*", words[0]).group() if words else ""  # type: ignore[union-attr]
    if digits:
        words[0] = words[0][len(digits) :] + digits
    return "".join(word[:1].upper() + word[1:] for word in words)


XML_TAGS: Final[Mapping[str, Tag]] = MappingProxyType({xml_name(tag.title): tag for tag in Tag})
"""The tags by their names in XML."""


@cache
def xml_words(kind: type[Word]) -> Mapping[str, int]:
    """The values of an enumeration by their names in XML."""
    return MappingProxyType({xml_name(word.title): int(word) for word in kind})


@cache
def xml_flags(kind: type[IntFlag]) -> Mapping[str, int]:
    """The flags of a mask by their names in XML: ``"MACGenerate"``."""
    return MappingProxyType({_flag_name(flag.name or ""): int(flag) for flag in kind})


def _flag_name(name: str) -> str:
    return "".join(part if part in {"MAC", "CRL"} else part.title() for part in name.split("_"))
