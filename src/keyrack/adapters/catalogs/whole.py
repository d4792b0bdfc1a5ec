"""The catalog's own reads and its commit, over whichever database: what a subclass adds is how it is reached."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol

from keyrack.adapters.catalogs import queries
from keyrack.adapters.catalogs.administering import certificate_of, instance_of
from keyrack.adapters.catalogs.admissions import AdmissionReads, admitted
from keyrack.adapters.catalogs.answers import AnswerReads
from keyrack.adapters.catalogs.cluster import ClusterReads
from keyrack.adapters.catalogs.indexing import UNIQUE_IDENTIFIER, index_name, index_text
from keyrack.adapters.catalogs.journaling import HEADS, JournalReads
from keyrack.adapters.catalogs.key_affairs import KeyReads
from keyrack.adapters.catalogs.people import PeopleReads
from keyrack.adapters.catalogs.reading import Row, first
from keyrack.adapters.catalogs.remembering import leftover_of, validation_of, wrapping_key_of
from keyrack.adapters.catalogs.rows import managed_of
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

_STATE: Final = 3
"""Where the state stands in ``queries.OBJECT_COLUMNS``."""


class Commits(Protocol):
    """The one of a process that writes."""

    def submit(self, unit: Prepared) -> "asyncio.Future[None]":
        """Put a unit into the next transaction; the future is done when it is durable, or holds why it is not."""
        ...


class DatabaseCatalog(PeopleReads, AdmissionReads, KeyReads, JournalReads, AnswerReads, ClusterReads):
    """``ports.WholeCatalog`` but for what is each database's own."""

    gate: Gate | None = None
    """Where a sink is required: what every unit with entries has to pass."""
    before: Callable[[Unit], None] | None = None
    """Raises for a unit that has to wait until others are committed."""
    _versions: Versions
    _writer: Commits

    async def commit(self, unit: Unit) -> None:
        """Durable when it returns; where a sink is required, in the sink too."""
        if self.before is not None:
            self.before(unit)
        if self.gate is None or not unit.entries:
            await self._writer.submit(Prepared(unit))
            return
        await self.gate.check()
        await self._writer.submit(Prepared(unit))
        await self.gate.passed()

    async def authorise(self, fingerprint: str, admittance: Admittance | None = None) -> Principal:
        """The principal of a certificate in force, of an installed instance."""
        read = self._fresh
        principal = Principal(fingerprint=fingerprint, instance="")
        found = first(await read(queries.AUTHORISE, (fingerprint,)))
        if found is None and admittance is not None:
            instance, anchor, number = admittance.instance, admittance.authority, admittance.number
            principal = replace(principal, instance=instance, authority=anchor, trust=number)
            found = await admitted(read, principal)
        if found is None:
            raise NotAuthorised("the certificate is not, or no longer, one of an installed instance")
        return replace(principal, instance=found[0])

    async def load(self, instance: str, unique_identifier: str) -> ManagedObject | None:
        """One object; its attributes are parsed when somebody looks at them."""
        row = first(await self._fresh(queries.LOAD, (unique_identifier, instance)))
        return None if row is None else self._loaded(row)

    def _loaded(self, row: Row) -> ManagedObject:
        """The object of a row of ``queries.LOAD``, whose version is known from now on."""
        *columns, changes = row
        managed = managed_of(columns)
        self._versions.learn(changes, managed.unique_identifier, managed.instance, managed.version)
        return managed

    async def objects(self, instance: str, after: str = "", limit: int = 500) -> Sequence[ManagedObject]:
        """One page, in the order of creation."""
        rows = await self._read(queries.PAGE, (instance, after, instance, limit))
        return [managed_of(row) for row in rows]

    async def listing(
        self, instance: str, states: Collection[State], now: int, *, limit: int = 100, offset: int = 0
    ) -> Sequence[Listed]:
        """One page, from the index of instances and Initial Dates."""
        parameters = (instance, now, now, now, *map(int, states), limit, offset)
        rows = await self._read(queries.listing(len(states)), parameters)
        return await self._listed(instance, rows)

    async def count_listing(self, instance: str, states: Collection[State], now: int) -> int:
        """Reads every row of the instance."""
        parameters = (instance, now, now, now, *map(int, states))
        return int(first(await self._read(queries.count_listing(len(states)), parameters))[0])

    async def listed(self, instance: str, unique_identifier: str) -> Listed | None:
        """One object, with its authors."""
        rows = await self._read(queries.LISTED, (unique_identifier, instance))
        return next(iter(await self._listed(instance, rows)), None)

    async def _listed(self, instance: str, rows: Sequence[tuple[Any, ...]]) -> list[Listed]:
        """Who has let the certificates in that are named is read once for all rows."""
        admissions = await self._read(queries.ADMISSIONS, (instance,)) if rows else ()
        admitted: dict[str, str] = dict(admissions)

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
        return int(first(await self._read(queries.COUNT, (instance,)))[0])

    async def living(self, instance: str) -> int:
        """Counted by the database's own triggers."""
        row = first(await self._fresh(queries.LIVING, (instance,)))
        return int(row[0]) if row else 0

    async def stored_blob(self, instance: str, unique_identifier: str) -> bytes | None:
        """Through the reading connection, which sees only what was committed."""
        row = first(await self._read(queries.SEALED, (unique_identifier, instance)))
        return row[0] if row else None

    async def intents(self) -> Sequence[ManagedObject]:
        """In the order they were recorded."""
        return [managed_of(row) for row in await self._read(queries.INTENTS)]

    async def instances(self) -> Sequence[Instance]:
        """All instances, by name."""
        return [instance_of(row) for row in await self._read(queries.INSTANCES)]

    async def wrapping_key(self, instance: str) -> WrappingKey | None:
        """By its instance."""
        row = first(await self._read(queries.WRAPPING_KEY, (instance,)))
        return wrapping_key_of(row) if row else None

    async def leftovers(self, instance: str | None = None) -> Sequence[Leftover]:
        """Oldest first."""
        if instance is None:
            rows = await self._read(queries.LEFTOVERS)
        else:
            rows = await self._read(queries.LEFTOVERS_OF, (instance,))
        return [leftover_of(row) for row in rows]

    async def validations(self) -> Mapping[str, Validation]:
        """One for each instance that was looked at."""
        found = [validation_of(row) for row in await self._read(queries.VALIDATIONS)]
        return {each.instance: each for each in found}

    async def certificates(self, instance: str | None = None) -> Sequence[ClientCertificate]:
        """Certificates in force, oldest first."""
        if instance is None:
            rows = await self._read(queries.CERTIFICATES)
        else:
            rows = await self._read(queries.CERTIFICATES_OF, (instance,))
        return [certificate_of(row) for row in rows]

    async def generation(self) -> int:
        """The counter that the database's own triggers keep."""
        return int(first(await self._read(queries.GENERATION))[0])

    async def journal(self, after: int = 0, limit: int = 500) -> Sequence[JournalRecord]:
        """Records in the order they were written."""
        (settled,) = first(await self._read(queries.SETTLED))
        rows = await self._read(queries.JOURNAL, (after, settled, limit))
        return [
            JournalRecord(chain=chain, sequence=sequence, text=text, hash=digest, number=number)
            for number, chain, sequence, text, digest in rows
        ]

    async def journal_heads(self) -> Mapping[str, int]:
        """From the index of chains and sequences; a chain that was cut off whole still has its end."""
        return {chain: sequence for chain, sequence, _ in await self._read(HEADS)}


def searching(instance: str, candidates: Candidates) -> tuple[str, list[Any]]:
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
