"""Unwrapped keys in memory: bounded, the least used go first, and each is overwritten when nobody holds it any more.

The cache hands out its own secrets, in :class:`~keyrack.spec.types.Vanishing` arrays. Were it to wipe what it drops,
an answer that is being written at that moment would carry zeros for a key. So it lets go, and whoever holds last,
wipes: at once where nobody else holds.
"""

from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256

from keyrack.domain.secret import Secret
from keyrack.service.vault.blob import parse
from keyrack.service.vault.lease import Lease


class Entry:
    """One unwrapped key, and what must be true for serving it."""

    __slots__ = ("digest", "instance", "key", "lease", "secret", "size", "until")

    def __init__(self, *, secret: Secret, instance: str, sealed: bytes, lease: Lease, until: float) -> None:
        self.secret = secret
        self.size = len(secret)
        self.instance = instance
        self.digest = sha256(sealed).digest()
        """SHA-256 of the blob that it was unwrapped from, or of one that was rewrapped since."""
        self.key = parse(sealed).key
        self.lease = lease
        self.until = until
        """Clock time from which it is unwrapped anew, whatever the lease says."""


class Cache:
    """Entries by the object's Unique Identifier."""

    __slots__ = ("_entries", "_most_bytes", "_most_entries", "_size")

    def __init__(self, *, most_entries: int, most_bytes: int) -> None:
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._most_entries = most_entries
        self._most_bytes = most_bytes
        self._size = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, unique_identifier: str) -> Entry | None:
        """The entry, whether or not it may be served."""
        return self._entries.get(unique_identifier)

    def used(self, unique_identifier: str) -> None:
        """Note that the entry was served."""
        self._entries.move_to_end(unique_identifier)

    def put(self, unique_identifier: str, entry: Entry) -> None:
        """Keep an entry, in the place of an older one, and let go of the least used where there are too many."""
        self.drop(unique_identifier)
        self._entries[unique_identifier] = entry
        self._size += entry.size
        while len(self._entries) > self._most_entries or self._size > self._most_bytes:
            self._size -= self._entries.popitem(last=False)[1].size

    def drop(self, unique_identifier: str) -> None:
        """Let go of one, if it is there."""
        entry = self._entries.pop(unique_identifier, None)
        if entry is not None:
            self._size -= entry.size

    def drop_where(self, chosen: Callable[[Entry], bool]) -> None:
        """Let go of all that are chosen."""
        for unique_identifier in [key for key, entry in self._entries.items() if chosen(entry)]:
            self.drop(unique_identifier)
