"""The names of an object for its wrapped key, so that either copy alone tells people and a rebuild what the key is."""

import json
from collections.abc import Mapping
from typing import Any

from keyrack.domain.attributes import MAX_INSTANCES
from keyrack.domain.objects import Attributes, Indexed, ManagedObject
from keyrack.service.vault.blob import MOST_DESCRIPTION
from keyrack.spec.enumerations import NameType
from keyrack.spec.structures import Name
from keyrack.spec.types import CustomValue, ItemType

_LONGEST_VALUE = 255
_GUARDS: Mapping[str, bool] = {"Sensitive": True, "Extractable": False}
"""What keeps material in: the value that restricts. A rebuild that did not know would hand out what must not leave."""


def describe(managed: ManagedObject) -> bytes:
    """What keeps the material in, names, object groups and custom texts, as JSON.

    What does not fit into 2,048 bytes is left out, longest list last. It is what the object was called when it was
    made; later changes are in the catalog alone.
    """
    kept = {name: [str(value).lower()] for name, value in _GUARDS.items() if managed.value(name) is value}
    for name, instances in sorted(managed.attributes.items(), key=lambda item: (item[0] != "Name", item[0])):
        texts = [text for each in instances if (text := _text(name, each)) is not None]
        if texts and len(_json({**kept, name: texts})) <= MOST_DESCRIPTION:
            kept[name] = texts
    return _json(kept) if kept else b""


def recall(description: bytes) -> Attributes:
    """The attributes that :func:`describe` has told of; of what it cannot have written, nothing.

    Names come back as uninterpreted text strings: their Name Type is not kept.
    """
    try:
        kept = json.loads(description or b"{}")
    except ValueError:
        return {}
    attributes: dict[str, tuple[Indexed, ...]] = {}
    for name, texts in kept.items() if isinstance(kept, dict) else ():
        told = [text for text in texts if isinstance(text, str)][:MAX_INSTANCES] if isinstance(texts, list) else []
        values = [value for text in told if (value := _value(name, text)) is not None]
        if values:
            attributes[name] = tuple(Indexed(index, value) for index, value in enumerate(values))
    return attributes


def _value(name: str, text: str) -> Any:
    if name in _GUARDS:
        return _GUARDS[name] if text == str(_GUARDS[name]).lower() else None
    if name == "Name":
        return Name(name_value=text, name_type=NameType.UNINTERPRETED_TEXT_STRING)
    if name == "Object Group":
        return text
    return CustomValue(ItemType.TEXT_STRING, text) if name.startswith(("x-", "y-")) else None


def _text(name: str, held: Indexed) -> str | None:
    if name == "Name":
        value = held.value.name_value
    elif name == "Object Group":
        value = held.value
    elif name.startswith(("x-", "y-")):
        value = held.value.value
    else:
        return None
    return value if isinstance(value, str) and len(value) <= _LONGEST_VALUE else None


def _json(kept: dict[str, list[str]]) -> bytes:
    return json.dumps(kept, ensure_ascii=False, separators=(",", ":")).encode()
