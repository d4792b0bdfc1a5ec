"""Checks that bytes are TTLV, whatever they mean: for custom structures, vendor extensions, transparent keys."""

from struct import Struct
from typing import Final

from keyrack.spec.types import ItemType
from keyrack.wire.errors import Malformed
from keyrack.wire.scalars import FIXED, PADDING, not_boolean, not_eightfold, not_zero

DEPTH: Final = 16
"""How deep structures may stand in each other where no declaration bounds them."""

Buffer = bytes | bytearray | memoryview

_head = Struct(">II").unpack_from


def check_items(buffer: Buffer, pos: int, end: int, depth: int = DEPTH) -> None:
    """Raise ``Malformed`` unless whole items, and only these, stand between ``pos`` and ``end``."""
    while pos < end:
        pos = check_item(buffer, pos, end, depth)


def check_item(buffer: Buffer, pos: int, end: int, depth: int = DEPTH) -> int:
    """Raise ``Malformed`` unless an item begins at ``pos`` and ends before ``end``; return where it ends."""
    if end - pos < 8 or end > len(buffer):
        raise Malformed(f"the bytes end inside an item at byte {pos}")
    label: int
    size: int
    label, size = _head(buffer, pos)
    stop = pos + 8 + size
    after = stop + (-size & 7)
    if after > end:
        raise Malformed(f"the item at byte {pos} reaches over the end at byte {end}")
    if not 1 <= label & 0xFF <= len(ItemType):
        raise Malformed(f"the item at byte {pos} has no known item type")
    item_type = ItemType(label & 0xFF)
    if size != FIXED.get(item_type, size):
        raise Malformed(f"the {item_type.title} at byte {pos} has a wrong length")
    if item_type is ItemType.STRUCTURE:
        if not depth:
            raise Malformed(f"structures stand more than {DEPTH} deep in each other at byte {pos}")
        check_items(buffer, pos + 8, stop, depth - 1)
    if after != stop and buffer[stop:after] != PADDING[size & 7]:
        raise not_zero(pos)
    _check_value(buffer, pos, stop, item_type)
    return after


def _check_value(buffer: Buffer, pos: int, stop: int, item_type: ItemType) -> None:
    if item_type is ItemType.BOOLEAN and bytes(buffer[pos + 8 : stop]) not in (bytes(8), bytes(7) + b"\x01"):
        raise not_boolean(pos)
    if item_type in (ItemType.BIG_INTEGER, ItemType.STRUCTURE) and (stop - pos) & 7:
        raise not_eightfold(pos)
    if item_type is ItemType.BIG_INTEGER and stop == pos + 8:
        raise not_eightfold(pos)
    if item_type is ItemType.TEXT_STRING:
        try:
            str(buffer[pos + 8 : stop], "utf-8")
        except UnicodeDecodeError as error:
            raise Malformed(f"the Text String at byte {pos} is not UTF-8") from error
