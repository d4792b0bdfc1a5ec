"""Moves a running installation's catalog from SQLite into PostgreSQL, so that at no moment two of them take changes.

1. The database is claimed: no server starts there. Everything is copied while servers go on over SQLite, and copied
   again what has changed meanwhile.
2. The SQLite file is frozen: from then on it takes no change from anybody.
3. The rest is copied, and all of it compared. Only then is the claim replaced by the deployment's name.

Broken off between 2 and 3, nobody serves, and the same command goes on. Before the end, it can be given up.
"""

import contextlib
import secrets
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import asyncpg

from keyrack.adapters.catalogs.moving.copying import Copying, Known
from keyrack.adapters.catalogs.moving.rows import Different
from keyrack.adapters.catalogs.moving.source import Source
from keyrack.adapters.catalogs.moving.target import Target, claim_of, token_in
from keyrack.adapters.catalogs.postgres import opening
from keyrack.adapters.catalogs.postgres.catalog import PostgresCatalog
from keyrack.adapters.catalogs.postgres.connecting import Place
from keyrack.adapters.catalogs.postgres.refusals import LOST
from keyrack.adapters.catalogs.sqlite.catalog import SqliteCatalog
from keyrack.adapters.catalogs.sqlite.moved import Moved, freeze, thaw
from keyrack.adapters.catalogs.sqlite.opening import connect
from keyrack.domain.journal import Entry
from keyrack.ports.catalog import CatalogUnavailable, Unit
from keyrack.ports.journal import JournalQuery
from keyrack.service.journal.verification import Evidence, proved
from keyrack.service.moves.walk import Progress, Report, silently
from keyrack.service.office.administration import Administrator
from keyrack.shell.config.whole import Config

ACTION: Final = "catalog.move"
"""What the journal calls it."""
PASSES: Final = 4
"""Most passes while servers go on, each of which has less to do than the one before it."""
FEW: Final = 2_000
"""Rows of one pass after which the rest is left to the last step."""
_WAIT: Final = 5.0


class NotMoved(Exception):
    """The catalog stays where it is, or is on its way; the text says which, why, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is wanted."""

    config: Config
    place: Place
    standby: opening.Standby
    administrator: Administrator
    copying: Report = field(default=silently, repr=False)
    finishing: Report = field(default=silently, repr=False)
    clock: Callable[[], float] = time.monotonic

    @property
    def deployment(self) -> str:
        """Its name."""
        return self.config.deployment.id

    @property
    def source(self) -> Path:
        """The SQLite file."""
        path = self.config.catalog_path
        if path is None:
            raise NotMoved("the catalog is in PostgreSQL already: there is nothing to be moved")
        if not path.is_file():
            raise NotMoved(f"{path} is not there: there is nothing to be moved")
        return path


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What has come of it."""

    tables: Mapping[str, Known]
    written: int = 0
    """Rows."""
    records: int = 0
    """Of the journal, whose chains were walked in PostgreSQL."""
    pause: float = 0.0
    """Seconds for which nobody could change anything, until the new database was the deployment's."""
    before: bool = False
    """It was moved already; only what follows it was left to do."""
    flaws: int = 0
    """Of the journal, which it had in SQLite already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What would be moved."""

    tables: Mapping[str, int]
    goes_on: bool
    """Whether a move is under way already."""


async def forecast(order: Order) -> Forecast:
    """Look whether it can be done, and at what there is; nothing is written. Raises as :func:`move`."""
    async with _sides(order) as (source, target):
        begun = await _begun(order, source, target)
        with source.moment():
            tables = await target.tables()
            for each in tables:
                source.check(each)
            return Forecast(tables={each.name: source.count(each) for each in tables}, goes_on=begun != "")


async def move(order: Order) -> Done:
    """Do it, or go on with it. Raises :class:`NotMoved`, ``Different``, ``CatalogUnavailable`` and ``sqlite3.Error``;
    then servers go on over SQLite, unless the text says otherwise."""
    try:
        async with _sides(order) as (source, target):
            return await _moved(order, source, target)
    except (*LOST, asyncpg.PostgresError) as error:
        raise CatalogUnavailable(
            f"PostgreSQL at {order.place.shown} does not answer as it should: {error or type(error).__name__}; say the "
            "same again, which goes on where this has ended"
        ) from error


async def abandon(order: Order) -> None:
    """Give it up: SQLite takes changes again, and the database is of no use. Raises :class:`NotMoved` where it was
    done to the end."""
    async with _sides(order) as (source, target):
        holder = await target.holder() or ""
        if holder == order.deployment:
            raise NotMoved("it was moved to the end, and servers may have written there: see 'The way back' in docs")
        claim = claim_of(order.deployment, token_in(holder, order.deployment))
        frozen = source.moved()
        if frozen is not None and claim_of(order.deployment, frozen.token) != claim:
            raise NotMoved(f"SQLite is on its way to {frozen.place}, and not to this database: say --to that one")
        # First nobody can end it there any more, then it goes on here.
        if not await target.rename(claim, f"given up: {claim}"):
            raise NotMoved("the database has changed hands at this moment: look again")
    _on(order.source, thaw)


async def _moved(order: Order, source: Source, target: Target) -> Done:
    token = await _begun(order, source, target)
    if token == _OVER:
        await _tell(order)
        return Done(tables={}, before=True)
    frozen = source.moved()
    if not token:
        token = secrets.token_hex(8)
        await target.claim(claim_of(order.deployment, token))
    copying = Copying(source, target, _reporting(order.copying))
    written = 0
    for _ in range(PASSES):
        walked = await copying.walk()
        written += walked.written
        if frozen is not None or walked.written < FEW:
            break
    records, flaws = await _proved(order)
    begun = order.clock()
    if frozen is None:
        _on(order.source, lambda connection: freeze(connection, Moved(order.place.url, token)))
    last = Copying(source, target, _reporting(order.finishing))
    last.take_over(copying)
    try:
        walked = await last.walk()
        _belongs(source, token, order)
    except BaseException:
        # Nothing has come of it: who serves goes on at once, and whoever says it again begins with what is copied.
        held = source.moved()
        if held is not None and held.token == token:
            with contextlib.suppress(sqlite3.Error):
                _on(order.source, thaw)
        raise
    await _finish(order, target, token)
    pause = order.clock() - begun
    await _tell(order)
    return Done(tables=walked.known, written=written + walked.written, records=records, pause=pause, flaws=flaws)


async def _finish(order: Order, target: Target, token: str) -> None:
    """The moment at which the database becomes the deployment's."""
    try:
        mine = await target.rename(claim_of(order.deployment, token), order.deployment)
    except (*LOST, asyncpg.PostgresError) as error:
        raise NotMoved(
            f"PostgreSQL has not said whether it has taken over ({error or type(error).__name__}). SQLite takes no "
            "change meanwhile: say the same again, which finds out"
        ) from error
    if not mine:
        raise NotMoved("the database has changed hands at this moment, and SQLite takes no change: say the same again")


_OVER: Final = "over"


async def _begun(order: Order, source: Source, target: Target) -> str:
    """The token of the move that is under way; empty: none is, and :data:`_OVER`: it was done. Raises
    :class:`NotMoved` where it cannot be done at all."""
    holder, frozen = await target.holder(), source.moved()
    if holder is None:
        if frozen is not None:
            raise NotMoved(f"SQLite is on its way to {frozen.place}: say --to that, or --abandon")
        if await target.used():
            raise NotMoved("the database holds something already: move into one that was just prepared")
        return ""
    if holder == order.deployment:
        last = source.last_record()
        if frozen is not None and (last is None or await target.has_record(*last)):
            return _OVER
        raise NotMoved(f"the database is deployment {holder!r} already, and of another catalog: prepare another one")
    token = token_in(holder, order.deployment)
    if frozen is not None and frozen.token != token:
        raise NotMoved(f"SQLite is on its way to {frozen.place}, and not to this database: say --to that, or --abandon")
    return token


def _belongs(source: Source, token: str, order: Order) -> None:
    """It is this move that has frozen the file: of two at once, one comes second."""
    frozen = source.moved()
    if frozen is None or frozen.token != token:
        raise NotMoved(f"another command moves {order.source} at the same time: let that one go on")


async def _proved(order: Order) -> tuple[int, int]:
    """Walk the journal's chains where they were copied to; how many records, and flaws that it had before."""
    catalog = await PostgresCatalog.open(order.place, ACTION)
    try:
        found = await proved(catalog, Evidence())
    finally:
        await catalog.close()
    if not found.flaws:
        return found.records, 0
    path = order.source
    if _frozen(path):
        return found.records, len(found.flaws)
    origin = SqliteCatalog(path, ACTION)
    try:
        held = await proved(origin, Evidence())
    finally:
        await origin.close()
    if {str(each) for each in found.flaws} - {str(each) for each in held.flaws}:
        raise Different(
            "the journal's chains do not hold in PostgreSQL, and do in SQLite: make the database anew, and move into it"
        )
    return found.records, len(found.flaws)


async def _tell(order: Order) -> None:
    """The first record in the new place, where it is not there yet."""
    chain = f"{order.config.deployment.node}/administration"
    catalog = await PostgresCatalog.open(order.place, chain)
    who = order.administrator
    entry = Entry(
        at=time.time_ns() // 1_000_000,
        action=ACTION,
        outcome="success",
        initiator=who.initiator,
        address=who.address,
        detail={"from": "SQLite", "to": order.place.shown[:200]},
    )
    try:
        if not (await catalog.find(JournalQuery(actions=(ACTION,)), limit=1)).records:
            await catalog.commit(Unit(entries=(entry,)))
    finally:
        await catalog.close()


@contextlib.asynccontextmanager
async def _sides(order: Order) -> AsyncIterator[tuple[Source, Target]]:
    """Both databases; raises where PostgreSQL is not fit, or another command moves into it."""
    await opening.check(order.place, order.standby, moves=True)
    # It holds no transaction open for long, but may wait long for a statement.
    connection = await opening.connected(replace(order.place, name=f"{order.place.name} {ACTION}"))
    source = None
    try:
        target = Target(connection)
        if not await target.alone():
            raise NotMoved("another 'keyrack migrate-catalog' moves into this database: let that one go on")
        source = Source(order.source)
        yield source, target
    finally:
        if source is not None:
            source.close()
        connection.terminate()


def _on(path: Path, act: Callable[[sqlite3.Connection], None]) -> None:
    connection = connect(path, wait=_WAIT)
    try:
        act(connection)
    finally:
        connection.close()


def _frozen(path: Path) -> bool:
    source = Source(path)
    try:
        return source.moved() is not None
    finally:
        source.close()


def _reporting(report: Report) -> Callable[[int, int], None]:
    return lambda done, total: report(Progress(done, 0, 0, total))
