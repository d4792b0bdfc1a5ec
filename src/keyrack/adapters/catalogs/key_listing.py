"""Listings of keys for administrators: filtered, sorted and paged in the database, fit for a hundred thousand."""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from keyrack.adapters.catalogs.keys_by_fetch import is_quick, walked
from keyrack.adapters.catalogs.keys_by_name import Walk, label_of
from keyrack.adapters.catalogs.queries import OBJECT_COLUMNS, STATE_NOW
from keyrack.adapters.catalogs.reading import Execute, Reads, Row, first
from keyrack.adapters.catalogs.rows import managed_of
from keyrack.domain.objects import ManagedObject
from keyrack.ports.key_affairs import Fetch, Holding, KeyFilter, KeyOrder, KeyPage, KeyRow, WrongCursor
from keyrack.spec.enumerations import State

_OBJECT: Final = ", ".join(f"object.{column.strip()}" for column in OBJECT_COLUMNS.split(","))
_ROW: Final = (
    f"{_OBJECT}, object.created_by, object.changed_by, object.destroyed_by,"
    " fetch.unique_identifier, fetch.at, fetch.initiator, fetch.address, fetch.count"
)
_WITH_FETCH: Final = "LEFT JOIN fetch ON fetch.unique_identifier = object.identifier"
_LABELS: Final = "SELECT object FROM attribute WHERE instance = ? AND name IN ({}) AND value LIKE ? ESCAPE '\\'"
_LABELLED: Final = "SELECT object FROM attribute WHERE instance = ? AND name = 'x-Product'"
ROWS: Final = f"SELECT {_ROW} FROM object {_WITH_FETCH} WHERE object.instance = ? AND object.identifier IN "
DESTROYED: Final = f"""
    SELECT {OBJECT_COLUMNS} FROM object
    WHERE state IN (5, 6) AND (sealed IS NOT NULL OR standard_key IS NOT NULL) AND identifier > ?
    ORDER BY identifier LIMIT ?"""
COUNTS: Final = "SELECT instance, state, count(*) FROM object GROUP BY instance, state"
HOLDINGS: Final = """
    SELECT instance.identifier, coalesce(living.objects, 0),
        (SELECT count(*) FROM certificate WHERE certificate.instance = instance.identifier),
        (SELECT count(*) FROM authority WHERE authority.instance = instance.identifier), fetched.at
    FROM instance LEFT JOIN living ON living.instance = instance.identifier
    LEFT JOIN (SELECT fetch.instance AS instance, max(fetch.at) AS at FROM fetch GROUP BY fetch.instance) AS fetched
        ON fetched.instance = instance.identifier"""
BY_STATE: Final = f"SELECT {STATE_NOW} AS now, count(*) FROM object WHERE instance = ? GROUP BY 1"
ADMITTED: Final = "SELECT added_by FROM admission WHERE instance = ? AND fingerprint = ?"

_KEYS: Final = {
    KeyOrder.CREATED: "object.initial_date",
    KeyOrder.FETCHED: "coalesce(fetch.at, 0)",
}
_AT_ONCE: Final = 500
_BESIDE: Final = 8
"""Columns of a row behind those of the object itself."""


class ListingReads(Reads):
    """The listings of ``ports.key_affairs.KeyBook``, over SQLite."""

    async def key_page(
        self,
        instance: str,
        wanted: KeyFilter,
        now: int,
        *,
        order: KeyOrder = KeyOrder.CREATED,
        descending: bool = False,
        cursor: str | None = None,
        limit: int = 100,
    ) -> KeyPage:
        """The page's places are found first, from narrow columns; then its rows are read."""
        way = "DESC" if descending else "ASC"
        last = None if cursor is None else _opened(cursor, order, descending)
        question = _conditions(instance, wanted, now)
        if order is KeyOrder.NAME:
            few = await self._few_by_name(question, descending) if wanted.prefix else None
            if few is None:
                rows = await self._by_name(instance, question, last, limit + 1, descending)
            else:
                behind = [row for row in few if last is None or _is_behind((row[1], row[0]), last, descending)]
                rows = behind[: limit + 1]
        elif order is KeyOrder.FETCHED and is_quick(wanted):
            told = (question.text, question.parameters)
            either = False if wanted.never_fetched else True if wanted.fetched_since is not None else None
            places = await walked(self._read, instance, told, last, limit + 1, descending, either=either)
            held = {row[0]: row[1:] for row in await self._rows_at([place for place, _ in places])}
            rows = [(place, at, *held[place]) for place, at in places if place in held]
        else:
            key = _KEYS[order]
            if last is not None:
                question.say(f"({key}, object.number) {'<' if descending else '>'} (?, ?)", *last)
            fetches = _WITH_FETCH if question.fetches or order is KeyOrder.FETCHED else ""
            found = (
                f"SELECT object.number AS place, {key} AS sorted FROM object {fetches}"
                f" WHERE {question.text} ORDER BY sorted {way}, place {way} LIMIT ?"
            )
            sql = (
                f"SELECT place, sorted, {_ROW} FROM ({found}) AS places JOIN object ON object.number = place"
                f" {_WITH_FETCH} ORDER BY sorted {way}, place {way}"
            )
            rows = await self._read(sql, (*question.parameters, limit + 1))
        more = len(rows) > limit
        rows = rows[:limit]
        following = _closed(order, descending, rows[-1][1], rows[-1][0]) if more else None
        back = _closed(order, not descending, rows[0][1], rows[0][0]) if rows else None
        return KeyPage(rows=[_row(row[2:]) for row in rows], next=following, back=back)

    async def _by_name(
        self, instance: str, question: "_Question", last: tuple[Any, int] | None, limit: int, descending: bool
    ) -> Sequence[Row]:
        """Rows behind the last one, with their places; an object with several names stands under one of them."""
        fetches = _WITH_FETCH if question.fetches else ""
        told = (question.text, question.parameters)
        walk = Walk(self._read, instance, told, fetches=fetches, descending=descending)
        rows: list[Row] = []
        while len(rows) < limit:
            places = await walk.places(last, asked := limit - len(rows))
            held = {row[0]: row[1:] for row in await self._rows_at([place for place, _ in places])}
            for place, label in places:
                if place in held and label_of(managed_of(held[place][:-_BESIDE])) == label:
                    rows.append((place, label, *held[place]))
            if len(places) < asked:
                break
            last = places[-1][1], places[-1][0]
        return rows

    async def _few_by_name(self, question: "_Question", descending: bool) -> list[Row] | None:
        """All of them in order, where a beginning of identifiers leaves few; ``None`` where they are many."""
        fetches = _WITH_FETCH if question.fetches else ""
        sql = f"SELECT object.number FROM object {fetches} WHERE {question.text} LIMIT ?"
        places = [row[0] for row in await self._read(sql, (*question.parameters, _AT_ONCE + 1))]
        if len(places) > _AT_ONCE:
            return None
        held = [(row[0], label_of(managed_of(row[1:-_BESIDE])), *row[1:]) for row in await self._rows_at(places)]
        return sorted(held, key=lambda row: (row[1], row[0]), reverse=descending)

    async def _rows_at(self, places: Sequence[int]) -> Sequence[Row]:
        sql = f"SELECT object.number, {_ROW} FROM object {_WITH_FETCH} WHERE object.number IN "
        rows: list[Row] = []
        for begin in range(0, len(places), _AT_ONCE):
            some = places[begin : begin + _AT_ONCE]
            rows += await self._read(f"{sql}({', '.join('?' * len(some))})", tuple(some))
        return rows

    async def count_keys(self, instance: str, wanted: KeyFilter, now: int) -> int:
        """Looks at every key that the indexes leave."""
        question = _conditions(instance, wanted, now)
        fetches = _WITH_FETCH if question.fetches else ""
        sql = f"SELECT count(*) FROM object {fetches} WHERE {question.text}"
        return int(first(await self._read(sql, tuple(question.parameters)))[0])

    async def count_by_state(self, instance: str, now: int) -> Mapping[State, int]:
        """Apart from requests: it looks at every key of the instance."""

        async def counted(execute: Execute) -> Mapping[State, int]:
            return {State(state): number for state, number in await execute(BY_STATE, (now, now, now, instance))}

        return await self._apart(counted)

    async def key_rows(self, instance: str, identifiers: Sequence[str]) -> Sequence[KeyRow]:
        """By the index of identifiers."""
        rows: list[tuple[Any, ...]] = []
        for begin in range(0, len(identifiers), _AT_ONCE):
            some = identifiers[begin : begin + _AT_ONCE]
            sql = f"{ROWS}({', '.join('?' * len(some))}) ORDER BY object.initial_date, object.number"
            rows += await self._read(sql, (instance, *some))
        return [_row(row) for row in rows]

    async def keys_by_state(self) -> Mapping[tuple[str, int], int]:
        """Apart from requests."""

        async def counted(execute: Execute) -> Mapping[tuple[str, int], int]:
            return {(instance, state): number for instance, state, number in await execute(COUNTS)}

        return await self._apart(counted)

    async def holdings(self) -> Mapping[str, Holding]:
        """Apart from requests: of last fetches each has a row, which is narrow."""

        async def counted(execute: Execute) -> Mapping[str, Holding]:
            return {
                instance: Holding(keys=keys, certificates=pinned, authorities=trusted, fetched_at=at)
                for instance, keys, pinned, trusted, at in await execute(HOLDINGS)
            }

        return await self._apart(counted)

    async def destroyed(self, after: str = "", limit: int = 100) -> Sequence[ManagedObject]:
        """By the index of what is destroyed."""
        return [managed_of(row) for row in await self._read(DESTROYED, (after, limit))]

    async def admitted_by(self, instance: str, fingerprint: str) -> str:
        """Certificates that are gone are still known."""
        found = first(await self._read(ADMITTED, (instance, fingerprint)))
        return str(found[0]) if found else ""


@dataclass(slots=True)
class _Question:
    """Conditions that must all hold, and their parameters in order."""

    text: str = ""
    parameters: list[Any] = field(default_factory=list)
    fetches: bool = False
    """Whether a condition is about fetches."""

    def say(self, condition: str, *parameters: Any) -> None:
        """One condition more."""
        self.text += f" AND {condition}" if self.text else condition
        self.parameters += parameters


def _conditions(instance: str, wanted: KeyFilter, now: int) -> _Question:
    question = _Question()
    # With the plus the index of instances is left alone: a beginning of an identifier narrows more.
    question.say("+object.instance = ?" if wanted.prefix else "object.instance = ?", instance)
    if wanted.states:
        marks = ", ".join("?" * len(wanted.states))
        question.say(f"{STATE_NOW} IN ({marks})", now, now, now, *sorted(map(int, wanted.states)))
    if wanted.object_type is not None:
        question.say("object.object_type = ?", int(wanted.object_type))
    if wanted.prefix:
        # Identifiers are lower-case hexadecimal digits and hyphens, all of which come before a tilde.
        question.say("object.identifier >= ? AND object.identifier < ?", wanted.prefix, f"{wanted.prefix}~")
    for condition, bound in (
        ("object.initial_date >= ?", wanted.created_since),
        ("object.initial_date < ?", wanted.created_before),
    ):
        if bound is not None:
            question.say(condition, bound)
    _say_labels(question, instance, wanted)
    _say_fetches(question, wanted)
    if wanted.withheld:
        question.say("object.withheld_at IS NOT NULL")
    if wanted.recoverable:
        question.say("object.state IN (5, 6) AND object.sealed IS NOT NULL")
    return question


def _say_labels(question: _Question, instance: str, wanted: KeyFilter) -> None:
    for names, part in (("'x-Name', 'x-Identifier', 'Name'", wanted.named), ("'x-Component'", wanted.component)):
        if part:
            question.say(f"object.number IN ({_LABELS.format(names)})", instance, f"%{_literal(part)}%")
    if wanted.unlabelled:
        question.say(f"object.number NOT IN ({_LABELLED})", instance)


def _say_fetches(question: _Question, wanted: KeyFilter) -> None:
    for condition, bound in (
        ("fetch.at >= ?", wanted.fetched_since),
        ("(fetch.at IS NULL OR fetch.at < ?)", wanted.not_fetched_since),
    ):
        if bound is not None:
            question.fetches = True
            question.say(condition, bound * 1000)
    if wanted.never_fetched:
        question.fetches = True
        question.say("fetch.at IS NULL")


def _literal(part: str) -> str:
    return part.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _closed(order: KeyOrder, descending: bool, key: str | int, number: int) -> str:
    told = json.dumps([str(order), descending, key, number], separators=(",", ":"))
    return base64.urlsafe_b64encode(told.encode()).decode().rstrip("=")


def _opened(cursor: str, order: KeyOrder, descending: bool) -> tuple[str | int, int]:
    try:
        told = json.loads(base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4)))
        was, way, key, number = told
    except (ValueError, binascii.Error, TypeError):
        raise WrongCursor("it is not a cursor of this listing") from None
    kind = str if order is KeyOrder.NAME else int
    fits = type(key) is kind and type(number) is int and not any(isinstance(n, int) and abs(n) >= 2**63 for n in told)
    if (was, way) != (str(order), descending) or not fits:
        raise WrongCursor("it is a cursor of another listing than this one")
    return key, number


def _is_behind(place: tuple[Any, int], last: tuple[Any, int], descending: bool) -> bool:
    return place < last if descending else place > last


def fetch_of(row: Sequence[Any]) -> Fetch:
    """The fetch of a row: identifier, time, initiator, address, count."""
    identifier, at, initiator, address, count = row
    return Fetch(unique_identifier=identifier, at=at, initiator=initiator, address=address, count=count)


def _row(row: Sequence[Any]) -> KeyRow:
    *columns, created_by, changed_by, destroyed_by = row[:-5]
    return KeyRow(
        managed=managed_of(columns),
        fetch=fetch_of(row[-5:]) if row[-5] is not None else None,
        created_by=created_by,
        changed_by=changed_by,
        destroyed_by=destroyed_by,
    )
