"""What can be wrong with bytes: the only exceptions that leave ``keyrack.wire``."""

from keyrack.spec.versions import ProtocolVersion


class WireError(ValueError):
    """Bytes that are no message, or a value that cannot be written.

    The text names the structure, the tag and the place, never a value. ``version`` is the protocol version of the
    message where it could be read, so that the answer can be made in it, else ``None``.
    """

    version: ProtocolVersion | None = None
    tag: int | None = None
    """The tag of the element that should not be where it is; ``None`` where it is not one element that is wrong."""


class Malformed(WireError):
    """Not TTLV (KMIP 1.4, 9.1): a length, a type, a padding or an encoding is wrong."""


class Unexpected(WireError):
    """Well-formed TTLV that is not the structure it should be: an element is missing, repeated, foreign or too new."""


class UnknownAttribute(Unexpected):
    """An Attribute Name that the protocol version does not know, and that is no custom attribute's."""


class UnsupportedVersion(WireError):
    """A message of another protocol version than 1.0 to 1.4; ``version`` is the one that was asked for."""

    def __init__(self, version: ProtocolVersion) -> None:
        """Remember what was asked."""
        super().__init__(f"protocol version {version} is not one of 1.0 to 1.4")
        self.version: ProtocolVersion = version
