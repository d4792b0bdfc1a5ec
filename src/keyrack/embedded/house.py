"""The embedded key manager as one object: keystore, database, keepers, clock, and the waits that it imposes."""

import random
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self, TypeVar

from keyrack.domain.journal import Entry
from keyrack.embedded.call import Call
from keyrack.embedded.errors import KeeperUnavailable, KeystoreBehind, KeystoreError, Overtaken, Refusal
from keyrack.embedded.payloads import Payloads
from keyrack.embedded.root_keys.keystore import Keystore
from keyrack.embedded.root_keys.port import Keeper
from keyrack.embedded.root_keys.software import SoftwareKeeper
from keyrack.embedded.root_keys.unlock import Recovered, Unlock
from keyrack.embedded.store.change_log import ChangeLog
from keyrack.embedded.store.database import Database, database_path
from keyrack.embedded.store.reading import Reading
from keyrack.embedded.store.unit import Unit

T = TypeVar("T")
DAY = 86_400
TURNS: Final = 20
"""How often an act is begun anew because another node was first."""
LONGEST_TURN: Final = 0.1
"""Seconds that it lets the other one have at most, before it begins anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """The least and the longest times between acts, in seconds; the defaults are Key Protect's."""

    state_change: int = 30
    """Before an enable or a restore."""
    rotate: int = 3600
    sync: int = 3600
    """Before the resources of a key are told again, after the last time or the last change of its lifecycle."""
    purge: int = 4 * 3600
    """Before a deleted key may be purged by a person."""
    restore: int = 30 * DAY
    """For which a deleted key can be restored."""
    purge_schedule: int = 90 * DAY
    """After which a deleted key is purged for good."""
    dual_authorisation: int = 7 * DAY
    """For which a key stays set for deletion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """What every use case works with. Thread-safe."""

    keystore: Keystore
    database: Database
    keepers: Mapping[str, Keeper]
    """By the name that is noted beside each version."""
    keeper: str
    """The name of the keeper in which new material is made."""
    payloads: Payloads
    waits: Waits = field(default_factory=Waits)
    clock: Callable[[], float] = time.time

    @classmethod
    def create(cls, path: Path, unlock: Unlock, clock: Callable[[], float] = time.time) -> Self:
        """Make a keystore at ``path`` and its database; raises ``KeystoreError``."""
        keystore = Keystore.create(path, unlock, at=int(clock()))
        return cls._with(keystore, Database.create(database_path(path), keystore), None, Waits(), clock)

    @classmethod
    def open(
        cls,
        path: Path,
        unlock: Unlock | Recovered,
        *,
        hsm: Keeper | None = None,
        waits: Waits | None = None,
        clock: Callable[[], float] = time.time,
        log: ChangeLog | None = None,
    ) -> Self:
        """Open the keystore at ``path`` and its database; raises ``KeystoreError``, whose text says what to do.

        With ``hsm`` new material is made there; what the software keeps goes on working. With ``log``, which becomes
        the house's, other nodes have the same key manager, and what one does the others do as well.
        """
        try:
            keystore = Keystore.open(path, unlock)
            database = Database.open(database_path(path), keystore, log)
        except BaseException:
            if log is not None:
                log.close()
            raise
        return cls._with(keystore, database, hsm, waits or Waits(), clock)

    @classmethod
    def _with(
        cls, keystore: Keystore, database: Database, hsm: Keeper | None, waits: Waits, clock: Callable[[], float]
    ) -> Self:
        software = SoftwareKeeper(keystore)
        keepers: dict[str, Keeper] = {software.name: software}
        if hsm is not None:
            keepers[hsm.name] = hsm
        return cls(
            keystore=keystore,
            database=database,
            keepers=keepers,
            keeper=(hsm or software).name,
            payloads=Payloads(keystore),
            waits=waits,
            clock=clock,
        )

    @property
    def now(self) -> int:
        """The time, in seconds since 1970."""
        return int(self.clock())

    def keeper_of(self, name: str) -> Keeper:
        """The keeper of this name; raises :class:`KeeperUnavailable` where the configuration has none."""
        keeper = self.keepers.get(name)
        if keeper is None:
            raise KeeperUnavailable(
                f"a root key is kept by {name!r}, which is not configured: put the table 'hsm' of this key manager back"
            )
        return keeper

    def reading(self) -> AbstractContextManager[Reading]:
        """One snapshot of the database."""
        return self.database.reading()

    @contextmanager
    def change(self, call: Call, action: str, target: str = "") -> Iterator[Unit]:
        """One change of the database with its journal entry, committed when the block ends.

        ``action`` is the event's name in IBM's audit events (``kms.secrets.create``), ``target`` the key's identifier
        where it is known before; a block that knows more calls ``unit.note`` itself and gives no action.
        """
        with self.database.change() as unit:
            yield unit
            if action and call.journaled:
                unit.note(self.entry(call, action, target))

    @contextmanager
    def noting(self, call: Call, action: str, target: str = "") -> Iterator[Unit]:
        """The journal entry of what changes no record; the block may look at the database once more and refuse.

        It waits for no other node: a journal holds, beside the changes of all, what was used on its own node.
        """
        with self.database.noting() as unit:
            yield unit
            if call.journaled:
                unit.note(self.entry(call, action, target))

    def settled(self, act: Callable[[], T]) -> T:
        """What ``act`` gives, decided on what every node has done: it may be begun more than once, and may wait.

        A refusal may be of a moment ago: another node has just made the key, or enabled it. So it counts once the log
        was looked at after it. An act that another node overtakes has changed nothing, and is begun anew.
        """
        looked = not self.database.followed
        for turn in range(1, TURNS):
            try:
                return act()
            except Overtaken:
                time.sleep(random.uniform(0, LONGEST_TURN * turn / TURNS))  # noqa: S311 - nothing secret
            except (Refusal, KeystoreBehind):
                if looked:
                    raise
                self.database.follow()
                looked = True
        return act()

    def entry(self, call: Call, action: str, target: str = "", outcome: str = "success", **detail: str | int) -> Entry:
        """A record for the journal."""
        told = {"correlation": call.correlation, **detail} if call.correlation else detail
        return Entry(
            at=int(self.clock() * 1000),
            action=action,
            outcome=outcome,
            initiator=call.caller.identity,
            address=call.address,
            instance=call.instance,
            target=target,
            detail=told,
        )

    def note_refused(self, call: Call, action: str, target: str, refusal: Refusal) -> None:
        """Write down that a request was refused, and why; nothing else of it is kept."""
        with self.database.noting() as unit:
            unit.note(self.entry(call, action, target, refusal.code, status=refusal.status))

    def probe(self) -> None:
        """Return when database and keeper work just now; raises ``KeystoreError``."""
        try:
            with self.database.reading():
                pass
        except sqlite3.Error as error:
            raise KeystoreError(f"the key manager's database fails: {error}") from error
        self.keeper_of(self.keeper).probe()

    def close(self) -> None:
        """Let go of the files and of the token, and forget the keys."""
        self.database.close()
        for keeper in self.keepers.values():
            keeper.close()
        self.payloads.close()
        self.keystore.close()
