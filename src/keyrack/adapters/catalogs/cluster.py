"""Deployment, nodes and reports in the database: rows and values, what a unit does with them, and reads."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from keyrack.adapters.catalogs.reading import Execute, Reads, first
from keyrack.ports.catalog import AlreadyThere, Conflict, Unit
from keyrack.ports.cluster import ClusterChanges, KeyManagerChange, Node, Report, Rollback

_DEPLOYMENT: Final = "SELECT identifier FROM deployment"
_BELONG: Final = "INSERT INTO deployment (only_row, identifier) VALUES (1, ?) ON CONFLICT (only_row) DO NOTHING"
_ROLLBACK: Final = "SELECT rollback_at, rollback_why FROM generation WHERE rollback_at IS NOT NULL"
_SET_ROLLBACK: Final = "UPDATE generation SET rollback_at = ?, rollback_why = ?"
_NODE = "name, token, version, schema, address, started_at, seen_at"
_NODES: Final = f"SELECT {_NODE} FROM node ORDER BY name"
_OTHER: Final = "SELECT 1 FROM node WHERE name = ? AND token <> ? AND seen_at > ?"
_PULSE: Final = f"""
    INSERT INTO node ({_NODE}) VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (name) DO UPDATE SET token = excluded.token, version = excluded.version, schema = excluded.schema,
        address = excluded.address, started_at = excluded.started_at, seen_at = excluded.seen_at"""
_LEAVE: Final = "DELETE FROM node WHERE token = ?"
_REPORT = "kind, at, good, told, keys"
_REPORTS: Final = f"SELECT {_REPORT} FROM report"
_PUT_REPORT: Final = f"""
    INSERT INTO report ({_REPORT}) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (kind) DO UPDATE SET at = excluded.at, good = excluded.good, told = excluded.told,
        keys = excluded.keys"""
_CHANGE = "key_manager, revision, at, text"
_CHANGES: Final = f"""
    SELECT {_CHANGE} FROM key_manager_change WHERE key_manager = ? AND revision > ? ORDER BY revision LIMIT ?"""
_LAST_CHANGE: Final = "SELECT max(revision) FROM key_manager_change WHERE key_manager = ?"
_FORGET_CHANGES: Final = "DELETE FROM key_manager_change WHERE key_manager = ? AND revision <= ?"
_ADD_CHANGE: Final = f"INSERT INTO key_manager_change ({_CHANGE}) VALUES (?, ?, ?, ?)"


def concerns(unit: Unit) -> bool:
    """Whether the unit changes anything here."""
    return unit.cluster is not None


async def check(execute: Execute, unit: Unit) -> None:
    """Raise ``AlreadyThere`` or ``Conflict`` where the database as it is now does not allow the unit."""
    changes = unit.cluster or ClusterChanges()
    if changes.deployment is not None:
        held = first(await execute(_DEPLOYMENT))
        if held is not None and held[0] != changes.deployment:
            raise AlreadyThere(f"the catalog belongs to deployment {held[0]!r}")
    node = changes.pulse
    if node is not None and first(await execute(_OTHER, (node.name, node.token, changes.alone_since))):
        raise AlreadyThere(f"another node {node.name!r} serves from the catalog")
    for change in changes.key_manager_changes:
        (last,) = first(await execute(_LAST_CHANGE, (change.key_manager,)))
        if last is not None and changes.key_manager_changes_forgotten.get(change.key_manager, -1) >= last:
            continue  # It begins anew.
        if last is not None and change.revision <= last:
            raise AlreadyThere(f"key manager {change.key_manager!r} is at change {last} already")
        if last is not None and change.revision != last + 1:
            raise Conflict(f"key manager {change.key_manager!r} is at change {last} only")


async def write(execute: Execute, unit: Unit) -> None:
    """Write what :func:`check` has allowed."""
    changes = unit.cluster or ClusterChanges()
    if changes.deployment is not None:
        await execute(_BELONG, (changes.deployment,))
    if changes.rollback is not None:
        await execute(_SET_ROLLBACK, (changes.rollback.at, changes.rollback.why))
    if changes.rollback_over:
        await execute(_SET_ROLLBACK, (None, ""))
    if (node := changes.pulse) is not None:
        columns = (node.name, node.token, node.version, node.schema, node.address, node.started_at, node.seen_at)
        await execute(_PULSE, columns)
    if changes.left is not None:
        await execute(_LEAVE, (changes.left,))
    if (report := changes.report) is not None:
        await execute(_PUT_REPORT, (report.kind, report.at, int(report.good), report.told, report.keys))
    for key_manager, revision in changes.key_manager_changes_forgotten.items():
        await execute(_FORGET_CHANGES, (key_manager, revision))
    for change in changes.key_manager_changes:
        await execute(_ADD_CHANGE, (change.key_manager, change.revision, change.at, change.text))


class ClusterReads(Reads):
    """``ports.cluster.ClusterBook`` over SQLite."""

    async def deployment(self) -> str | None:
        """As it was first written down."""
        row = first(await self._read(_DEPLOYMENT))
        return row[0] if row else None

    async def rollback(self) -> Rollback | None:
        """From the row that every transaction reads first."""
        row = first(await self._read(_ROLLBACK))
        return Rollback(at=row[0], why=row[1]) if row else None

    async def nodes(self) -> Sequence[Node]:
        """By name."""
        return [_node_of(row) for row in await self._read(_NODES)]

    async def reports(self) -> Mapping[str, Report]:
        """By kind."""
        found = [_report_of(row) for row in await self._read(_REPORTS)]
        return {each.kind: each for each in found}

    async def key_manager_changes(self, key_manager: str, after: int, limit: int = 100) -> Sequence[KeyManagerChange]:
        """In order."""
        rows = await self._read(_CHANGES, (key_manager, after, limit))
        return [
            KeyManagerChange(key_manager=name, revision=revision, at=at, text=text) for name, revision, at, text in rows
        ]


def _node_of(row: Sequence[Any]) -> Node:
    name, token, version, schema, address, started_at, seen_at = row
    return Node(
        name=name,
        token=token,
        version=version,
        schema=schema,
        address=address,
        started_at=started_at,
        seen_at=seen_at,
    )


def _report_of(row: Sequence[Any]) -> Report:
    kind, at, good, told, keys = row
    return Report(kind=kind, at=at, good=bool(good), told=told, keys=keys)
