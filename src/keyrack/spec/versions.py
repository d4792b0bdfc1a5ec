"""The protocol versions that Keyrack speaks."""

from typing import Final, NamedTuple


class ProtocolVersion(NamedTuple):
    """Protocol Version (KMIP 1.4, 6.1): compares as the standard orders it, 1.0 before 1.4."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


V1_0: Final = ProtocolVersion(1, 0)
V1_1: Final = ProtocolVersion(1, 1)
V1_2: Final = ProtocolVersion(1, 2)
V1_3: Final = ProtocolVersion(1, 3)
V1_4: Final = ProtocolVersion(1, 4)

VERSIONS: Final = (V1_4, V1_3, V1_2, V1_1, V1_0)
"""Newest first, the order in which Discover Versions answers (KMIP 1.4, 4.26)."""
