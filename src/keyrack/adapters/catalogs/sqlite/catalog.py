"""The catalog in one SQLite file: reads on the loop's thread, writes by group commit, other processes welcome."""

import asyncio
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from keyrack.adapters.catalogs import queries
from keyrack.adapters.catalogs.administering import certificate_of, instance_of
from keyrack.adapters.catalogs.admissions import AdmissionReads, admitted
from keyrack.adapters.catalogs.answers import AnswerReads
from keyrack.adapters.catalogs.cluster import ClusterReads
from keyrack.adapters.catalogs.indexing import UNIQUE_IDENTIFIER, index_name, index_text
from keyrack.adapters.catalogs.journaling import HEADS, JournalReads
from keyrack.adapters.catalogs.key_affairs import KeyReads
from keyrack.adapters.catalogs.people import PeopleReads
from keyrack.adapters.catalogs.reading import translated, unreadable
from keyrack.adapters.catalogs.remembering import leftover_of, validation_of, wrapping_key_of
from keyrack.adapters.catalogs.rows import managed_of
from keyrack.adapters.catalogs.sqlite.checkpoint import CHECKPOINT_WAIT, Checkpointer
from keyrack.adapters.catalogs.sqlite.opening import READ_WAIT, connect, prepare
from keyrack.adapters.catalogs.sqlite.writer import DEADLINE, Writer
from keyrack.adapters.catalogs.units import Prepared, Versions
from keyrack.domain.instances import Admittance, ClientCertificate, Instance, Principal, WrappingKey
from keyrack.domain.lifecycle import DESTROYED_STATES
from keyrack.domain.objects import ManagedObject
from keyrack.ports.catalog import (
    CERTIFICATE_ID,
    Author,
    Candidates,
    JournalRecord,
    Leftover,
    Listed,
    NotAuthorised,
    Unit,
    Validation,
)
from keyrack.ports.sinks import Gate
from keyrack.spec.enumerations import State

AT_ONCE: Final = 200
"""Objects that a search reads before it lets the loop breathe."""

SEARCHES_KEPT: Final = 4
"""Connections that stay open for searches; each long search has one of its own, because it holds a snapshot."""

_STATE: Final = 3
"""Where the state stands in ``queries.OBJECT_COLUMNS``."""


class SqliteCatalog(PeopleReads, AdmissionReads, KeyReads, JournalReads, AnswerReads, ClusterReads):
    """``ports.Catalog`` over SQLite in WAL mode with ``synchronous=FULL``.

    It belongs to one event loop at a time. Any number of processes may have the same file open.
    """

    def __init__(self, path: Path, chain: str = "local", *, deadline: float = DEADLINE) -> None:
        """Open the file, made and migrated if need be; journal under the name ``chain``, this process's own.

        Raises ``UnfitDatabase`` if the file or the place cannot be a catalog.
        """
        prepare(path)
        self._path = path
        self.gate: Gate | None = None
        """Where a sink is required: what every unit with entries has to pass."""
        self._reading = connect(path, wait=READ_WAIT)
        self._read = self._reading.cursor().execute
        self._searching: list[sqlite3.Connection] = []
        self._versions = Versions()
        checkpointer = Checkpointer(partial(connect, path, wait=CHECKPOINT_WAIT))
        self._writer = Writer(connect(path), chain, self._versions, checkpointer=checkpointer, deadline=deadline)

    @classmethod
    def create(cls, path: Path) -> None:
        """Make the file with its schema, or bring it up to date, and leave it closed."""
        prepare(path)

    async def authorise(self, fingerprint: str, admittance: Admittance | None = None) -> Principal:
        """The principal of a certificate in force, of an installed instance."""
        read = self._writer.read or self._read
        principal = Principal(fingerprint=fingerprint, instance="")
        with translated():
            found = read(queries.AUTHORISE, (fingerprint,)).fetchone()
            if found is None and admittance is not None:
                instance, anchor, number = admittance.instance, admittance.authority, admittance.number
                principal = replace(principal, instance=instance, authority=anchor, trust=number)
                found = admitted(read, principal)
        if found is None:
            raise NotAuthorised("the certificate is not, or no longer, one of an installed instance")
        return replace(principal, instance=found[0])

    async def load(self, instance: str, unique_identifier: str) -> ManagedObject | None:
        """One object; its attributes are parsed when somebody looks at them."""
        try:
            row = (self._writer.read or self._read)(queries.LOAD, (unique_identifier, instance)).fetchone()
        except sqlite3.Error as error:
            raise unreadable(error) from error
        if row is None:
            return None
        *columns, changes = row
        managed = managed_of(columns)
        self._versions.learn(changes, unique_identifier, instance, managed.version)
        return managed

    async def commit(self, unit: Unit) -> None:
        """Durable when it returns; where a sink is required, in the sink too."""
        if self.gate is None or not unit.entries:
            await self._writer.submit(Prepared(unit))
            return
        await self.gate.check()
        await self._writer.submit(Prepared(unit))
        await self.gate.passed()

    async def search(self, instance: str, candidates: Candidates) -> Sequence[ManagedObject]:
        """One snapshot; the loop breathes every :data:`AT_ONCE` objects."""
        sql, parameters = _search(instance, candidates)
        connection = self._searching.pop() if self._searching else connect(self._path, wait=READ_WAIT)
        found: list[ManagedObject] = []
        try:
            with translated():
                cursor = connection.execute(sql, parameters)
                while rows := cursor.fetchmany(AT_ONCE):
                    found += [managed_of(row) for row in rows]
                    if len(rows) == AT_ONCE:
                        await asyncio.sleep(0)
                cursor.close()
        except BaseException:
            connection.close()
            raise
        if len(self._searching) < SEARCHES_KEPT:
            self._searching.append(connection)
        else:
            connection.close()
        return found

    async def objects(self, instance: str, after: str = "", limit: int = 500) -> Sequence[ManagedObject]:
        """One page, in the order of creation."""
        with translated():
            rows = self._read(queries.PAGE, (instance, after, instance, limit)).fetchall()
        return [managed_of(row) for row in rows]

    async def listing(
        self, instance: str, states: Collection[State], now: int, *, limit: int = 100, offset: int = 0
    ) -> Sequence[Listed]:
        """One page, from the index of instances and Initial Dates."""
        parameters = (instance, now, now, now, *map(int, states), limit, offset)
        with translated():
            rows = self._read(queries.listing(len(states)), parameters).fetchall()
        return self._listed(instance, rows)

    async def count_listing(self, instance: str, states: Collection[State], now: int) -> int:
        """Reads every row of the instance."""
        parameters = (instance, now, now, now, *map(int, states))
        with translated():
            return int(self._read(queries.count_listing(len(states)), parameters).fetchone()[0])

    async def listed(self, instance: str, unique_identifier: str) -> Listed | None:
        """One object, with its authors."""
        with translated():
            rows = self._read(queries.LISTED, (unique_identifier, instance)).fetchall()
        return next(iter(self._listed(instance, rows)), None)

    def _listed(self, instance: str, rows: Sequence[tuple[Any, ...]]) -> list[Listed]:
        """Who has let the certificates in that are named is read once for all rows."""
        with translated():
            admitted = dict(self._read(queries.ADMISSIONS, (instance,)).fetchall()) if rows else {}

        def author(initiator: str) -> Author:
            return Author(initiator, admitted.get(initiator.removeprefix(CERTIFICATE_ID), ""))

        return [
            Listed(
                managed=managed_of(columns),
                created_by=author(created_by),
                changed_by=author(changed_by),
                destroyed_by=author(destroyed_by) if columns[_STATE] in DESTROYED_STATES else None,
            )
            for *columns, created_by, changed_by, destroyed_by in rows
        ]

    async def count(self, instance: str) -> int:
        """From the index alone."""
        with translated():
            return int(self._read(queries.COUNT, (instance,)).fetchone()[0])

    async def living(self, instance: str) -> int:
        """Counted by the database's own triggers."""
        try:
            row = (self._writer.read or self._read)(queries.LIVING, (instance,)).fetchone()
        except sqlite3.Error as error:
            raise unreadable(error) from error
        return int(row[0]) if row else 0

    async def stored_blob(self, instance: str, unique_identifier: str) -> bytes | None:
        """Through the reading connection, which sees only what was committed."""
        with translated():
            row = self._read(queries.SEALED, (unique_identifier, instance)).fetchone()
        return row[0] if row else None

    async def intents(self) -> Sequence[ManagedObject]:
        """In the order they were recorded."""
        with translated():
            return [managed_of(row) for row in self._read(queries.INTENTS).fetchall()]

    async def instances(self) -> Sequence[Instance]:
        """All instances, by name."""
        with translated():
            return [instance_of(row) for row in self._read(queries.INSTANCES).fetchall()]

    async def wrapping_key(self, instance: str) -> WrappingKey | None:
        """By its instance."""
        with translated():
            row = self._read(queries.WRAPPING_KEY, (instance,)).fetchone()
        return wrapping_key_of(row) if row else None

    async def leftovers(self, instance: str | None = None) -> Sequence[Leftover]:
        """Oldest first."""
        with translated():
            if instance is None:
                rows = self._read(queries.LEFTOVERS).fetchall()
            else:
                rows = self._read(queries.LEFTOVERS_OF, (instance,)).fetchall()
        return [leftover_of(row) for row in rows]

    async def validations(self) -> Mapping[str, Validation]:
        """One for each instance that was looked at."""
        with translated():
            found = [validation_of(row) for row in self._read(queries.VALIDATIONS).fetchall()]
        return {each.instance: each for each in found}

    async def certificates(self, instance: str | None = None) -> Sequence[ClientCertificate]:
        """Certificates in force, oldest first."""
        with translated():
            if instance is None:
                rows = self._read(queries.CERTIFICATES).fetchall()
            else:
                rows = self._read(queries.CERTIFICATES_OF, (instance,)).fetchall()
        return [certificate_of(row) for row in rows]

    async def generation(self) -> int:
        """The counter that the database's own triggers keep."""
        with translated():
            return int(self._read(queries.GENERATION).fetchone()[0])

    async def leads(self, job: str) -> bool:
        """Of one machine, the first process does every job; who calls this is the one."""
        return True

    async def news(self, seconds: float) -> None:
        """SQLite tells nobody what others commit: who waits here looks again."""
        await asyncio.sleep(seconds)

    async def journal(self, after: int = 0, limit: int = 500) -> Sequence[JournalRecord]:
        """Records in the order they were written."""
        with translated():
            rows = self._read(queries.JOURNAL, (after, limit)).fetchall()
        return [
            JournalRecord(chain=chain, sequence=sequence, text=text, hash=digest, number=number)
            for number, chain, sequence, text, digest in rows
        ]

    async def journal_heads(self) -> Mapping[str, int]:
        """From the index of chains and sequences; a chain that was cut off whole still has its end."""
        with translated():
            return {chain: sequence for chain, sequence, _ in self._read(HEADS).fetchall()}

    async def close(self) -> None:
        """Commit what waits, then close."""
        await self._writer.close()
        for connection in (self._reading, *self._searching):
            connection.close()


def _search(instance: str, candidates: Candidates) -> tuple[str, list[Any]]:
    """The statement and its parameters; what the catalog has no index for does not narrow."""
    columns: list[tuple[str, Any]] = []
    if candidates.object_type is not None:
        columns.append(("object_type", int(candidates.object_type)))
    if candidates.state is not None:
        columns.append(("state", int(candidates.state)))
    pairs: list[tuple[str, str]] = []
    for name, value in candidates.equal:
        if name == UNIQUE_IDENTIFIER:
            columns.append(("identifier", value))
        elif (text := index_text(name, value)) is not None:
            pairs.append((index_name(name), text))
    parameters: list[Any] = [each for name, text in pairs for each in (instance, name, text)]
    parameters += [instance, *(value for _, value in columns)]
    return queries.search([column for column, _ in columns], len(pairs)), parameters
