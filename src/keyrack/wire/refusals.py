"""Says what is wrong with bytes that the generated functions did not recognise; slow, and only then."""

from keyrack.spec.tags import Tag
from keyrack.spec.types import ItemType
from keyrack.wire.errors import Malformed, Unexpected, WireError


def refuse(  # noqa: PLR0917 - called from generated lines
    owner: str,
    buffer: bytes | bytearray | memoryview,
    pos: int,
    end: int,
    wanted: str | None = None,
    item_type: ItemType | None = None,
) -> WireError:
    """The error for the item at ``pos`` inside ``owner``, where ``wanted`` (or the end) should be."""
    if pos > end:
        return Malformed(f"{owner}: an item reaches over the end at byte {end}")
    if pos == end:
        return Unexpected(f"{owner}: {wanted} is missing at byte {pos}")
    head = bytes(buffer[pos : pos + 8])
    if len(head) < 8:
        return Malformed(f"{owner}: the bytes end inside an item at byte {pos}")
    if not 1 <= head[3] <= len(ItemType):
        return Malformed(f"{owner}: the item at byte {pos} has no known item type")
    if pos + 8 + int.from_bytes(head[4:], "big") > min(end, len(buffer)):
        return Malformed(f"{owner}: the item at byte {pos} reaches over the end at byte {end}")
    tag = int.from_bytes(head[:3], "big")
    found = f"{title_of(tag)} ({ItemType(head[3]).title})"
    place = "nothing more" if wanted is None else wanted if item_type is None else f"{wanted} ({item_type.title})"
    error = Unexpected(f"{owner}: {found} at byte {pos}, where {place} should be")
    error.tag = tag
    return error


def title_of(tag: int) -> str:
    """The standard's name of a tag, or its number."""
    known = Tag._value2member_map_.get(tag)
    return known.title if isinstance(known, Tag) else f"tag {tag:06X}"
