"""What gives a tenant away: planted wherever a tenant can have something of its own, and looked for in every answer."""

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from typing import Final

_TOKENS: Final = re.compile(
    rb"cnry[0-9a-f]{12}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{8,}|198\.51\.100\.[0-9]+"
)
_CURSORS: Final = re.compile(rb"[A-Za-z0-9_-]{24,}")
_SHORT: Final = 8
"""Characters of an identifier by which people are told of it."""


def marker(number: int) -> str:
    """A word that only one tenant has; it is put into names, subjects, descriptions and material."""
    return f"cnry{number:012x}"


class Canaries:
    """Whose each word is. What two tenants have gives neither away to the other."""

    def __init__(self) -> None:
        """Nobody has anything."""
        self._owners: dict[bytes, set[str]] = {}
        self._short: dict[bytes, set[bytes]] = {}

    def plant(self, owner: str, *told: str) -> None:
        """These are the tenant's: identifiers, fingerprints, markers, addresses."""
        for each in told:
            word = each.lower().encode()
            self._owners.setdefault(word, set()).add(owner)
            if not word.startswith(b"cnry"):
                self._short.setdefault(word[:_SHORT], set()).add(word)

    def leaked(self, answer: bytes, sees: Callable[[str], bool], sent: bytes = b"") -> list[str]:
        """What stands in an answer and is of nobody whom the caller ``sees``; what the caller has ``sent`` is known."""
        said = sent.lower()
        return [
            f"{word.decode()} of {sorted(owners)}"
            for word, owners in self._found(answer)
            if not any(sees(each) for each in owners) and word not in said
        ]

    def _found(self, answer: bytes) -> Iterator[tuple[bytes, set[str]]]:
        for text in (answer, *_cursors(answer)):
            for word in set(_TOKENS.findall(text.lower())):
                if (owners := self._owners.get(word)) is not None:
                    yield word, owners
                elif len(word) < 36:  # noqa: PLR2004 - shorter than a whole identifier: perhaps the beginning of one
                    for whole in self._short.get(word[:_SHORT], ()):
                        if whole.startswith(word):
                            yield word, self._owners[whole]


def _cursors(answer: bytes) -> Iterator[bytes]:
    """What cursors say."""
    if b'"next":"' not in answer:
        return
    for word in _CURSORS.findall(answer.partition(b'"next":"')[2]):
        try:
            yield base64.urlsafe_b64decode(word + b"=" * (-len(word) % 4))
        except (binascii.Error, ValueError):
            continue
