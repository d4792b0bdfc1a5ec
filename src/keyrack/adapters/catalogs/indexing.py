"""Which attributes Locate finds through an index, and the text under which each value stands in it."""

from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any, Final

from keyrack.domain.objects import ManagedObject
from keyrack.spec.attributes import is_custom
from keyrack.spec.types import CustomValue

_LONGEST = 200


def _field(name: str) -> Callable[[Any], Any]:
    return lambda value: value if isinstance(value, str) else getattr(value, name)


_TEXT_OF: Final[Mapping[str, Callable[[Any], Any]]] = {
    "Name": _field("name_value"),
    "Object Group": lambda value: value,
    "Application Specific Information": _field("application_data"),
    "Link": _field("linked_object_identifier"),
    "Alternative Name": _field("alternative_name_value"),
}

UNIQUE_IDENTIFIER: Final = "Unique Identifier"

INDEXED: Final = frozenset({UNIQUE_IDENTIFIER, *_TEXT_OF})
"""Attributes whose equality the catalog can search by; also every custom attribute (``x-``, ``y-``) with a text value.

Of a structure it is the text that tells objects apart: Name Value, Application Data, Linked Object Identifier,
Alternative Name Value. ``Candidates.equal`` may hold the structure, the custom value, or that text.
"""


def index_text(name: str, value: Any) -> str | None:
    """The text that a value stands under; ``None`` if this value cannot be searched by.

    A long value stands under its beginning and its hash, so that the index stays small and equality stays exact.
    """
    if is_custom(name):
        text = value.value if isinstance(value, CustomValue) else value
    else:
        read = _TEXT_OF.get(name)
        text = read(value) if read else None
    if not isinstance(text, str):
        return None
    if len(text) <= _LONGEST:
        return text
    return f"{text[: _LONGEST - 64]}{sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"


def index_name(name: str) -> str:
    """The name that an attribute's rows stand under; a custom attribute's may be as long as a client likes."""
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 64]}{sha256(name.encode()).hexdigest()}"


def index_rows(managed: ManagedObject) -> list[tuple[str, str]]:
    """The (name, text) pairs that an object is found by, without repetition."""
    rows: dict[tuple[str, str], None] = {}
    for name, instances in managed.attributes.items():
        if name in _TEXT_OF or is_custom(name):
            for _, value in instances:
                text = index_text(name, value)
                if text is not None:
                    rows[index_name(name), text] = None
    return list(rows)
