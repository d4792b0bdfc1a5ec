"""The names of an object for its wrapped key, so that either copy alone tells people and a rebuild what the key is."""

import json

from keyrack.domain.objects import Indexed, ManagedObject
from keyrack.service.blob import MOST_DESCRIPTION

_LONGEST_VALUE = 255


def describe(managed: ManagedObject) -> bytes:
    """Names, object groups and custom texts as JSON; what does not fit into 2,048 bytes is left out, longest list last.

    It is what the object was called when it was made; later changes are in the catalog alone.
    """
    kept: dict[str, list[str]] = {}
    for name, instances in sorted(managed.attributes.items(), key=lambda item: (item[0] != "Name", item[0])):
        texts = [text for each in instances if (text := _text(name, each)) is not None]
        if texts and len(_json({**kept, name: texts})) <= MOST_DESCRIPTION:
            kept[name] = texts
    return _json(kept) if kept else b""


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
