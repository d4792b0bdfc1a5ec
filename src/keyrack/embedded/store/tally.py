"""What all records of the database come to: a row that is taken away, or put back as it was before, shows.

A row's MAC alone says that keyrack has written it once, not that it is the last one. So each change keeps the exclusive
or over a keyed hash of every row's MAC. It is kept sealed: whoever saw it before and after a change would learn that
row's share, and could choose old rows whose shares cancel each other.
"""

import hashlib
import hmac
import sqlite3
from collections.abc import Iterator
from typing import TypeVar

from keyrack.domain.secret import Secret
from keyrack.embedded.errors import KeystoreDamaged
from keyrack.embedded.root_keys.keystore import Keystore
from keyrack.embedded.root_keys.sealing import Sealing

T = TypeVar("T")

_LENGTH = 32
_WITH_MAC = ("keys", "instances", "service_ids")


class Tally:
    """Counts, seals and opens with keys of the keystore; thread-safe."""

    def __init__(self, keystore: Keystore) -> None:
        self._key = keystore.derived("tally shares")
        with keystore.derived("tally") as key:
            self._sealing = Sealing(key)

    def share(self, mac: bytes) -> int:
        """What a row with this MAC adds, and what it takes away when it goes."""
        return int.from_bytes(hmac.digest(self._key.reveal(), mac, hashlib.sha256), "big")

    def share_of_value(self, name: str, value: bytes) -> int:
        """The same for a sealed value, which has no MAC."""
        return self.share(b"sealed value\0" + name.encode() + b"\0" + value)

    def seal(self, count: int, revision: int) -> bytes:
        """The count of a revision, for ``meta``."""
        with Secret(bytearray(count.to_bytes(_LENGTH, "big"))) as told:
            return self._sealing.seal(told, f"tally {revision}")

    def open(self, sealed: bytes, revision: int) -> int:
        """The reverse; raises :class:`KeystoreDamaged`."""
        with self._sealing.open(sealed, f"tally {revision}", "tally of the database") as told:
            return int.from_bytes(told.reveal(), "big")

    def of(self, connection: sqlite3.Connection) -> int:
        """Count every row; a hundred thousand take about a second."""
        count = 0
        for share in self._shares(connection):
            count ^= share
        return count

    def _shares(self, connection: sqlite3.Connection) -> Iterator[int]:
        for table in _WITH_MAC:
            for (mac,) in connection.execute(f"SELECT mac FROM {table}"):
                yield self.share(_of_kind(mac, bytes))
        for name, value in connection.execute("SELECT name, value FROM sealed_values"):
            yield self.share_of_value(_of_kind(name, str), _of_kind(value, bytes))


def _of_kind(cell: T, kind: type[T]) -> T:
    if type(cell) is not kind:
        raise KeystoreDamaged("a row of the database was changed: restore it from a backup")
    return cell
