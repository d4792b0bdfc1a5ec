"""What several nodes share of one key manager: the log of its changes, and how one change is written in it.

Whoever can write the log has no keystore: a line is sealed under a key of it, and bound to key manager, keystore and
number. It says what is put and removed, never a statement, so that a replay does what the first node did and no more.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from keyrack.domain.secret import Secret
from keyrack.embedded.errors import KeystoreDamaged, KeystoreDiverged
from keyrack.embedded.root_keys.keystore import Keystore
from keyrack.embedded.root_keys.sealing import Sealing
from keyrack.embedded.store.codec import decode, encode

FORM: Final = 1
"""Of what is sealed. A node that finds a higher one is older than the node that has written it."""
KEPT: Final = 10_000
"""Changes that the log keeps; a node that is further behind needs a whole copy of the database."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the log."""

    revision: int
    """The change that it makes; each is one more than the last."""
    text: str


class ChangeLog(Protocol):
    """The log of one key manager. Thread-safe; every call may wait. Raises ``LogUnavailable``."""

    @property
    def key_manager(self) -> str:
        """The name that the key manager has in the configuration of every node."""
        ...

    def append(self, revision: int, text: str) -> None:
        """Durable when it returns, behind the line before it.

        Raises ``Overtaken`` where there is such a line already, ``KeystoreDiverged`` where the one before it is
        missing, and ``ChangeUnsettled`` where nobody knows whether it was kept.
        """
        ...

    def since(self, revision: int, limit: int = 100) -> Sequence[Line]:
        """The lines behind ``revision``, in order."""
        ...

    def forget(self, through: int) -> None:
        """Take out the lines up to and with this one."""
        ...

    def restart(self, revision: int, text: str) -> None:
        """In the place of every line there is, by an administrator's word: also while a restored catalog takes nothing
        else."""
        ...

    def news(self, seconds: float) -> None:
        """Return after so many seconds, or at once when there may be a new line."""
        ...

    def close(self) -> None:
        """Let go of it; whoever waits is let go too."""
        ...


@dataclass(frozen=True, slots=True)
class Change:
    """What one line says once it is opened."""

    revision: int
    before: str
    """What all records came to before it (:mod:`keyrack.embedded.store.tally`), in hexadecimal digits."""
    after: str
    """And what they come to after it."""
    acts: tuple[tuple[str, ...], ...] = ()
    """Words of ``store.replay``, each with what it is about; none where the log begins at this revision."""
    form: int = FORM


class ChangeSeal:
    """Seals and opens the lines of one key manager; thread-safe."""

    def __init__(self, keystore: Keystore, key_manager: str) -> None:
        """The keystore is not needed any more once this has returned."""
        self._bound = f"change of {key_manager} in {keystore.identifier}"
        with keystore.derived("change log") as key:
            self._sealing = Sealing(key)

    def write(self, change: Change) -> Line:
        """The line of a change."""
        with Secret(bytearray(encode(change).encode())) as said:
            return Line(change.revision, base64.b64encode(self._sealing.seal(said, self._purpose(change))).decode())

    def read(self, line: Line) -> Change:
        """The change of a line; raises :class:`KeystoreDiverged` for one that no node of this keystore has written."""
        try:
            sealed = base64.b64decode(line.text, validate=True)
            with self._sealing.open(sealed, self._purpose(line), "line") as said:
                change = decode(Change, said.reveal().decode())
        except (ValueError, KeystoreDamaged):
            raise KeystoreDiverged(
                f"line {line.revision} of the key manager's log in the catalog was changed, was moved, or is of "
                "another keystore or a newer version of keyrack: update this node, or look who writes to the catalog"
            ) from None
        if change.form != FORM or change.revision != line.revision:
            raise KeystoreDiverged(
                f"change {line.revision} of the key manager was made by a newer version of keyrack: update this node"
            )
        return change

    def _purpose(self, numbered: Change | Line) -> str:
        return f"{self._bound} {numbered.revision}"
