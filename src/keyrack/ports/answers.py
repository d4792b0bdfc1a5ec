"""The part of the catalog that remembers what was answered, so that a repeated request is done once."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptAnswer:
    """A request under a key of its caller's, and how it was answered."""

    caller: str
    """Identifier of the person."""
    key: str
    """What the caller calls the request: its ``Idempotency-Key``."""
    fingerprint: bytes
    """SHA-256 of the request: another one under the same key is a mistake."""
    begun_at: int
    """Seconds since 1970."""
    status: int | None = None
    """HTTP status; ``None`` while it is under way, and where nobody knows how it ended."""
    headers: str = ""
    """JSON object of the headers that belong to the answer."""
    body: bytes | None = field(default=None, repr=False)
    """``None`` where it held a secret, and may not be shown again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerChanges:
    """What a unit changes here."""

    begun: Sequence[KeptAnswer] = ()
    """Requests to remember before they are done; one that is remembered already raises ``AlreadyThere``."""
    most: int | None = None
    """How many a caller of ``begun`` may then have; more raise ``TooMany``."""
    settled: Sequence[KeptAnswer] = ()
    """The same, with their answers."""
    released: Sequence[KeptAnswer] = ()
    """Requests of which nothing was done: they may come again."""
    forgotten_before: int | None = None
    """Forget what was begun before, in seconds since 1970."""
    pulse: tuple[str, int] | None = None
    """A process, by name, and the time: written to see that the catalog takes a commit."""


class AnswerBook(Protocol):
    """Reads of what was answered."""

    async def kept_answer(self, caller: str, key: str) -> KeptAnswer | None:
        """What is remembered of a request."""
        ...
