"""Managed objects out of rows of the database."""

from collections.abc import Sequence
from typing import Any, Final

from keyrack.adapters.catalogs.encoding import StoredAttributes
from keyrack.domain.objects import Form, ManagedObject
from keyrack.spec.enumerations import KeyFormatType, ObjectType, State

_OBJECT_TYPES: Final = {int(each): each for each in ObjectType}
_STATES: Final = {int(each): each for each in State}
_KEY_FORMAT_TYPES: Final = {int(each): each for each in KeyFormatType}
_RAW: Final = Form(key_format_type=KeyFormatType.RAW)


def managed_of(row: Sequence[Any]) -> ManagedObject:
    """An object from a row of ``queries.OBJECT_COLUMNS``."""
    identifier, instance, object_type, state, version, key_format, compression, subtype, wrapped, *kept = row
    short, text, sealed, key, withheld = kept
    if key_format == KeyFormatType.RAW and compression is None and subtype is None and not wrapped:
        form = _RAW
    else:
        form = Form(
            key_format_type=_KEY_FORMAT_TYPES.get(key_format, key_format),
            key_compression_type=compression,
            subtype=subtype,
            wrapped=bool(wrapped),
        )
    return ManagedObject(
        unique_identifier=identifier,
        instance=instance,
        object_type=_OBJECT_TYPES[object_type],
        state=_STATES[state],
        attributes=StoredAttributes(text, short),
        form=form,
        sealed=sealed,
        standard_key=key,
        withheld_at=withheld,
        version=version,
    )
