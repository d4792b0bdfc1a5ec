"""One unit inside the open transaction: its checks first, then its writes, through the writer's connection."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from json import loads
from json.encoder import encode_basestring_ascii as quoted
from typing import Any, Final

from keyrack.adapters.catalogs import admissions, answers, cluster, journaling, key_affairs, people, queries
from keyrack.adapters.catalogs.administering import administer, check_administration, check_seen
from keyrack.adapters.catalogs.encoding import encode_attributes, glance
from keyrack.adapters.catalogs.indexing import index_rows, index_text
from keyrack.adapters.catalogs.quotas import check_quotas
from keyrack.adapters.catalogs.reading import Execute, first
from keyrack.adapters.catalogs.remembering import remember
from keyrack.domain.instances import Principal
from keyrack.domain.journal_chain import canonical
from keyrack.domain.lifecycle import DESTROYED_STATES, STATELESS
from keyrack.domain.objects import ManagedObject
from keyrack.ports.catalog import AlreadyThere, Conflict, InstanceSealed, NotAuthorised, RollbackMode, Unit

ROOMS: Final = (people, admissions, key_affairs, journaling, answers, cluster)
"""The parts of the catalog that look after their own tables: ``concerns``, ``check`` and ``write`` of each."""


class Row:
    """A managed object made ready for the database, before any transaction is open."""

    __slots__ = ("columns", "dates", "indexed", "managed", "rows")

    def __init__(self, managed: ManagedObject) -> None:
        """Encode; raises ``TypeError`` for what is no attribute."""
        self.managed = managed
        self.rows = index_rows(managed)
        self.indexed = f"[{','.join([f'[{quoted(name)},{quoted(text)}]' for name, text in self.rows])}]"
        form = managed.form
        self.columns: tuple[Any, ...] = (
            form.key_format_type,
            form.key_compression_type,
            form.subtype,
            form.wrapped,
            glance(managed.attributes),
            encode_attributes(managed.attributes),
            self.indexed,
            managed.sealed,
            managed.standard_key,
            managed.withheld_at,
        )
        # The dates that make a state in time; an object without State has none such.
        stateless = managed.object_type in STATELESS
        self.dates = (
            None if stateless else managed.value("Activation Date"),
            None if stateless else managed.value("Deactivation Date"),
        )


class Prepared:
    """A unit whose texts are written already, so that the transaction holds the lock for statements alone."""

    __slots__ = (
        "administers",
        "bare",
        "changes",
        "initiator",
        "inserted",
        "intents",
        "names",
        "principal",
        "remembers",
        "rooms",
        "seen",
        "settled",
        "texts",
        "unit",
        "updated",
    )

    def __init__(self, unit: Unit) -> None:
        """Encode everything of ``unit``."""
        self.texts = [canonical(entry) for entry in unit.entries]
        self.principal = unit.principal
        self.seen = unit.seen
        self.administers = bool(
            unit.instances
            or unit.certificates
            or unit.removed_certificates
            or unit.touched
            or unit.unused
            or unit.removed_instances
            or unit.bare
            or unit.reachable
            or unit.wrapping_keys
        )
        self.remembers = bool(unit.leftovers or unit.cleared or unit.validations)
        self.unit = unit
        # Most units are a request's, whose records are all: what is none of it is not asked room by room.
        others = unit.people or unit.admissions or unit.key_affairs or unit.journal or unit.answers or unit.cluster
        self.rooms = [] if others is None else [room for room in ROOMS if room.concerns(unit)]
        self.changes = bool(
            unit.inserted or unit.updated or unit.intents or unit.settled or self.administers or self.rooms
        )
        self.bare = not (self.changes or self.remembers or unit.actor is not None or unit.seen_instances)
        self.inserted: Sequence[Row] = ()
        self.updated: Sequence[Row] = ()
        if not self.changes:
            return
        self.inserted = [Row(managed) for managed in unit.inserted] if unit.inserted else ()
        self.updated = [Row(managed) for managed in unit.updated] if unit.updated else ()
        self.names = unit.new_names
        self.intents = [Row(managed) for managed in unit.intents] if unit.intents else ()
        self.settled = unit.settled
        self.initiator = unit.initiator


class Versions:
    """Versions that were read while the database's count of changes stood at one number."""

    __slots__ = ("count", "held")

    def __init__(self) -> None:
        """Know nothing."""
        self.count = -1
        self.held: dict[str, tuple[str, int]] = {}

    def learn(self, count: int, unique_identifier: str, instance: str, version: int) -> None:
        """One object's instance and version, read together with the count of changes."""
        if count != self.count or len(self.held) >= KNOWN_AT_MOST:
            self.held.clear()
            self.count = count
        self.held[unique_identifier] = instance, version


KNOWN_AT_MOST: Final = 20_000


@dataclass(frozen=True, slots=True)
class Standing:
    """On what units stand that were decided already."""

    generation: int
    """The count of changes of authority, at which theirs was learnt."""
    known: int
    """The count of changes of objects at which all versions were learnt; -1: at none, and each has to be compared."""
    seen: Mapping[str, tuple[str | None, int]]
    """Instance, if it matters, and version of each object, by its identifier."""


class Application:
    """Applies prepared units through one connection.

    What it has learnt of authority stands for as long as the database's own count of such changes does, which is read
    in every transaction; versions likewise. So a request is decided on the database as it is now, which is asked once.
    """

    def __init__(self, execute: Execute, versions: Versions) -> None:
        """Write through ``execute``, whose transaction somebody else begins and ends."""
        self._execute = execute
        self._authority: dict[str, Principal] = {}
        """By fingerprint, as whom each certificate was last found to be in force."""
        self._versions = versions
        self._generation = -1
        self._changes = -1
        self._rollback = False

    def begin(self, generation: int, changes: int, rollback_at: int | None) -> None:
        """A transaction has begun, and sees these counts of changes, of authority and of objects, and rollback mode."""
        self._rollback = rollback_at is not None
        if generation != self._generation:
            self.forget()
            self._generation = generation
        self._changes = changes

    def forget(self) -> None:
        """What was learnt is no longer true, or was learnt in a transaction that has not happened."""
        self._authority.clear()
        self._generation = -1

    def standing(self, units: Sequence[Prepared]) -> "Standing | None":
        """What must still be so for these units to need no look of their own; ``None`` where one of them needs one.

        They are units of records alone, whose authority was learnt.
        """
        if self._generation == -1:
            return None
        versions, known = self._versions, self._versions.count
        seen: dict[str, tuple[str | None, int]] = {}
        for unit in units:
            principal = unit.principal
            if not unit.bare or (principal is not None and self._authority.get(principal.fingerprint) != principal):
                return None
            instance = None if principal is None else principal.instance
            for identifier, version in unit.seen.items():
                if version == 0 or seen.setdefault(identifier, (instance, version)) != (instance, version):
                    return None
                if versions.held.get(identifier) != (instance, version):
                    known = -1
        return Standing(self._generation, known, seen)

    def is_decided(self, unit: Prepared) -> bool:
        """Whether it is records alone, on what is known at the counts of this transaction: nothing is to be asked."""
        principal = unit.principal
        if not unit.bare or principal is None or self._versions.count != self._changes:
            return False
        learnt = self._authority.get(principal.fingerprint)
        if learnt is not principal and learnt != principal:
            return False
        held, instance = self._versions.held, principal.instance
        return all(version and held.get(identifier) == (instance, version) for identifier, version in unit.seen.items())

    async def apply(self, unit: Prepared) -> None:
        """Check and write; a check that fails raises before anything of the unit is written."""
        principal = unit.principal
        if principal is not None:
            learnt = self._authority.get(principal.fingerprint)
            if learnt is not principal and learnt != principal:
                await self._authorise(principal)
        if unit.unit.actor is not None:
            await people.check_actor(self._execute, unit.unit.actor)
        if unit.unit.seen_instances:
            await check_seen(self._execute, unit.unit.seen_instances)
        if unit.changes:
            await self._change(unit)
        elif unit.seen:
            await self._check_seen(unit.seen, principal)
        if unit.remembers:
            # No count of changes moves by it, and what was learnt stands.
            await remember(self._execute, unit.unit)

    async def _change(self, unit: Prepared) -> None:
        """Compare, then write what changes objects, instances and certificates."""
        self._refuse_rolled_back(unit)
        # From here on the count of this transaction's beginning says nothing any more.
        self._changes = -2
        found = await self._compare(unit)
        await self._check_intended(unit.unit.intended)
        await check_quotas(self._execute, unit.unit)
        for room in unit.rooms:
            await room.check(self._execute, unit.unit)
        if unit.administers:
            await check_administration(self._execute, unit.unit)
            self.forget()
            await administer(self._execute, unit.unit)
        for row in unit.intents:
            await self._intend(row, unit.initiator)
        for row in unit.inserted:
            await self._insert(row, unit.initiator)
        for row in unit.updated:
            await self._update(row, found, unit.initiator)
        for identifier in unit.settled:
            await self._execute(queries.SETTLE, (identifier,))
        if unit.unit.admissions is not None and unit.unit.admissions.of_trust:
            self.forget()
        for room in unit.rooms:
            await room.write(self._execute, unit.unit)

    async def _check_intended(self, identifiers: Sequence[str]) -> None:
        for identifier in identifiers:
            if not await self._execute(queries.INTENDED, (identifier,)):
                raise Conflict("what was intended was taken back meanwhile")

    def _refuse_rolled_back(self, unit: Prepared) -> None:
        if self._rollback and not unit.unit.recovers and unit.rooms != [cluster]:
            raise RollbackMode("the catalog was restored from a copy and is read-only: see 'keyrack backup agree'")

    async def _authorise(self, principal: Principal) -> None:
        if principal.authority is None:
            found = first(await self._execute(queries.AUTHORISE, (principal.fingerprint,)))
        else:
            found = await admissions.admitted(self._execute, principal)
        if found is None or found[0] != principal.instance:
            raise NotAuthorised("the certificate is not, or no longer, one of an installed instance")
        if found[1] is not None:
            raise InstanceSealed("the instance is sealed")
        self._authority[principal.fingerprint] = principal

    async def _check_seen(self, seen: Mapping[str, int], principal: Principal | None) -> None:
        """Nothing changes; all that was seen must still be so. Raises :class:`Conflict`."""
        known = self._versions.held if self._versions.count == self._changes else {}
        for identifier, version in seen.items():
            held = known.get(identifier)
            if held is None:
                row = first(await self._execute(queries.SEEN, (identifier,)))
                held = (row[1], row[2]) if row else ("", 0)
            if held[1] != version:
                raise Conflict("an object was changed meanwhile")
            if version and principal is not None and held[0] != principal.instance:
                raise Conflict("an object is another instance's")

    async def _compare(self, unit: Prepared) -> Mapping[str, tuple[int, str, int, str]]:
        """The rows of everything seen or updated; raises :class:`Conflict` where one is not as it was seen."""
        expected: dict[str, int] = {}
        for row in unit.updated:
            expected[row.managed.unique_identifier] = row.managed.version - 1
        expected.update(unit.seen)
        found = {}
        for identifier, version in expected.items():
            held = first(await self._execute(queries.SEEN, (identifier,)))
            if (held[2] if held else 0) != version:
                raise Conflict("an object was changed meanwhile")
            if held:
                if unit.principal is not None and held[1] != unit.principal.instance:
                    raise Conflict("an object is another instance's")
                found[identifier] = held
        for row in unit.updated:
            held = found.get(row.managed.unique_identifier)
            if held is None or held[1] != row.managed.instance:
                raise Conflict("an object to change is not there")
        for name in unit.names:
            await self._refuse_bearer(unit, name, found)
        return found

    async def _refuse_bearer(self, unit: Prepared, name: str, found: Mapping[str, tuple[int, str, int, str]]) -> None:
        for row in (*unit.inserted, *unit.updated):
            if ("Name", index_text("Name", name)) in row.rows:
                held = found.get(row.managed.unique_identifier)
                number = held[0] if held else 0
                value = index_text("Name", name)
                if first(await self._execute(queries.OTHER_BEARER, (row.managed.instance, value, number))):
                    raise AlreadyThere("another object of the instance bears this name")

    async def _intend(self, row: Row, initiator: str) -> None:
        managed = row.managed
        *form, text, _, sealed, standard_key, withheld_at = row.columns
        await self._execute(
            queries.PUT_INTENT,
            (
                managed.unique_identifier,
                managed.instance,
                managed.object_type,
                managed.state,
                managed.version,
                *form,
                text,
                sealed,
                standard_key,
                withheld_at,
                initiator,
            ),
        )

    async def _insert(self, row: Row, initiator: str) -> None:
        managed = row.managed
        inserted = await self._execute(
            queries.INSERT_OBJECT,
            (
                managed.unique_identifier,
                managed.instance,
                managed.object_type,
                managed.state,
                managed.version,
                managed.value("Initial Date") or 0,
                *row.columns,
                *row.dates,
                initiator,
                managed.unique_identifier,
                initiator,
            ),
        )
        (number,) = inserted[0]
        await self._execute(queries.SETTLE, (managed.unique_identifier,))
        for name, text in row.rows:
            await self._execute(queries.ADD_ATTRIBUTE, (managed.instance, name, text, number))

    async def _update(self, row: Row, found: Mapping[str, tuple[int, str, int, str]], initiator: str) -> None:
        managed = row.managed
        number, instance, version, indexed = found[managed.unique_identifier]
        destroyer = initiator if managed.state in DESTROYED_STATES else ""
        await self._execute(
            queries.UPDATE_OBJECT,
            (managed.state, managed.version, *row.columns, *row.dates, initiator, destroyer, number, version),
        )
        if indexed != row.indexed:
            await self._index(instance, number, [tuple(each) for each in loads(indexed)], row.rows)

    async def _index(self, instance: str, number: int, old: Sequence[Any], new: Sequence[Any]) -> None:
        for name, text in set(old) - set(new):
            await self._execute(queries.REMOVE_ATTRIBUTE, (instance, name, text, number))
        for name, text in set(new) - set(old):
            await self._execute(queries.ADD_ATTRIBUTE, (instance, name, text, number))
