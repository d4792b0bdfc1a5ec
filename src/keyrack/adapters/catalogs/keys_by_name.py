"""The order of names: keys found by walking through the index of attributes, and no further than a page needs.

A key stands under what vCenter called it (``x-Name``), else under its Name, else under nothing; an empty one counts as
none.
"""

from collections.abc import Sequence
from typing import Any, Final

from keyrack.adapters.catalogs.indexing import index_rows
from keyrack.adapters.catalogs.reading import Execute, Row
from keyrack.domain.objects import ManagedObject

CALLED: Final = "x-Name"
NAME: Final = "Name"


def label_of(managed: ManagedObject) -> str:
    """What a key stands under."""
    rows = index_rows(managed)
    called = [value for name, value in rows if name == CALLED and value]
    names = [value for name, value in rows if name == NAME and value]
    return max(called) if called else min(names, default="")


class Walk:
    """Where keys of an instance that fulfil some conditions stand, in the order of names."""

    def __init__(
        self, read: Execute, instance: str, conditions: tuple[str, Sequence[Any]], *, fetches: str, descending: bool
    ) -> None:
        """``conditions`` are SQL and its parameters; ``fetches`` joins what they speak of."""
        self._read = read
        self._instance = instance
        self._text, self._parameters = conditions
        self._fetches = fetches
        self._way, self._beyond = ("DESC", "<") if descending else ("ASC", ">")

    async def places(self, last: tuple[str, int] | None, limit: int) -> Sequence[Row]:
        """So many, behind the last one: each its number, and what it stands under. One with several names comes
        several times."""
        parts = (self._named, self._nameless) if self._way == "DESC" else (self._nameless, self._named)
        found: list[Row] = []
        for part in parts:
            if len(found) < limit:
                found += await part(last, limit - len(found))
        return found

    async def _named(self, last: tuple[str, int] | None, limit: int) -> Sequence[Row]:
        if last is not None and not last[0]:
            if self._way == "DESC":
                return ()
            last = None  # Who has no name came before.
        called = self._under(CALLED, last, "", ())
        name = self._under(NAME, last, f"AND attribute.object NOT IN ({_have(CALLED)})", (self._instance,))
        sql = f"""
            SELECT place, sorted FROM ({called[0]} UNION ALL {name[0]}) AS named
                ORDER BY sorted {self._way}, place {self._way} LIMIT ?"""
        return await self._read(sql, (*called[1], *name[1], limit))

    def _under(
        self, name: str, last: tuple[str, int] | None, without: str, excluded: Sequence[Any]
    ) -> tuple[str, Sequence[Any]]:
        behind = "" if last is None else f"AND (attribute.value, attribute.object) {self._beyond} (?, ?)"
        # Forced to begin with the attribute: its index has the order that is wanted.
        sql = f"""
            SELECT attribute.object AS place, attribute.value AS sorted FROM attribute CROSS JOIN object {self._fetches}
                WHERE attribute.instance = ? AND attribute.name = '{name}' AND attribute.value > '' {behind} {without}
                    AND object.number = attribute.object AND {self._text}"""
        return sql, (self._instance, *(last or ()), *excluded, *self._parameters)

    async def _nameless(self, last: tuple[str, int] | None, limit: int) -> Sequence[Row]:
        if last is not None and last[0]:
            if self._way == "ASC":
                return ()
            last = None
        behind = "" if last is None else f"AND object.number {self._beyond} ?"
        sql = f"""
            SELECT object.number AS place, '' AS sorted FROM object {self._fetches}
                WHERE {self._text} {behind} AND object.number NOT IN ({_have(CALLED, NAME)})
                ORDER BY object.number {self._way} LIMIT ?"""
        return await self._read(sql, (*self._parameters, *((last[1],) if last else ()), self._instance, limit))


def _have(*names: str) -> str:
    told = ", ".join(f"'{name}'" for name in names)
    return f"SELECT object FROM attribute WHERE instance = ? AND name IN ({told}) AND value > ''"
