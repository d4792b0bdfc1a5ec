"""A word of the standard: a number, its title, and the first version that has it."""

from enum import IntEnum
from typing import Self

from keyrack.spec.versions import V1_0, ProtocolVersion


class Word(IntEnum):
    """Base of every enumeration of KMIP.

    A value compares as its number, so that a vendor's value (8XXXXXXX), which stays a plain ``int``, and a word of the
    standard live side by side.
    """

    title: str
    """As the standard prints it, for people: ``"Pre-Active"``."""
    since: ProtocolVersion
    """The first protocol version whose tables list it."""

    def __new__(cls, value: int, title: str = "", since: ProtocolVersion = V1_0) -> Self:
        """Make the member; written in the class body as ``NAME = value, title[, since]``."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.title = title
        member.since = since
        return member
