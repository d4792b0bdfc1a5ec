"""Believes a row of the database once its MAC is proved, and remembers for a while which ones it has believed.

What is remembered is the row whole, with where it stands, its text and its MAC: the same bytes need no second proof,
and a row in which one bit is another is looked at anew. The rows themselves are read from the database each time.
"""

import hashlib
import hmac
from functools import lru_cache
from typing import Any, TypeVar

from keyrack.domain.secret import Secret
from keyrack.embedded.errors import KeystoreDamaged
from keyrack.embedded.store.codec import decode

T = TypeVar("T")

MOST_REMEMBERED = 2048
"""Records, of some 4 KiB each."""


class Rows:
    """Authenticates the records of one database. Thread-safe."""

    def __init__(self, key: Secret) -> None:
        """``key`` becomes this object's."""
        self._key = key
        # ``typed``: a flipped bit may make another type of a number, and 5 and 5.0 would be one to a dictionary.
        self._remembered = lru_cache(MOST_REMEMBERED, typed=True)(self.believed)

    def mac(self, table: str, identifier: str, revision: int, text: str) -> bytes:
        """HMAC-SHA256 over where a record stands, the change that has written it, and its text."""
        return self.mac_of(f"{table}\0{identifier}\0{revision}\0{text}")

    def mac_of(self, said: str) -> bytes:
        """HMAC-SHA256 over what is said; it begins with a word that nothing else begins with."""
        return hmac.digest(self._key.reveal(), said.encode("utf-8", "surrogatepass"), hashlib.sha256)

    def believed(self, table: str, kind: type[T], *row: Any) -> T:
        """The record of a row: identifier, revision, text and MAC.

        Raises :class:`KeystoreDamaged` unless keyrack has written it, and for this place.
        """
        identifier, revision, text, mac = row
        # A flipped bit may make a number of a text or of bytes, even in a table that is strict.
        of_kind = [type(cell) for cell in row] == [str, int, str, bytes]
        if not of_kind or not hmac.compare_digest(mac, self.mac(table, identifier, revision, text)):
            raise KeystoreDamaged(f"a row of {table} was changed: restore the database from a backup")
        record = decode(kind, text)
        if getattr(record, "identifier") != identifier:  # noqa: B009 - every kind has one
            raise KeystoreDamaged(f"a row of {table} stands in another's place: restore the database from a backup")
        return record

    def remembered(self, table: str, kind: type[T], *row: Any) -> T:
        """The same, for what is asked for again and again: lists would only push out what is."""
        record: T = self._remembered(table, kind, *row)  # type: ignore[arg-type]
        return record

    def forget(self) -> None:
        """Let go of what is remembered."""
        self._remembered.cache_clear()
