"""The notary: signs checkpoints over the journal, keeps them in the catalog, and exports them.

One process of a deployment does it for all, each minute or each thousand records; a command may do it too. Where the
catalog turns out to be older than what was exported, nothing is signed until an administrator has accepted it: a
checkpoint over an older journal would vouch for what somebody has taken back.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final, Protocol

from keyrack.domain.checkpoints import Abandoned, JournalCut, SignedCheckpoint, Statement, signed_as
from keyrack.domain.journal import Entry
from keyrack.domain.people import Actor
from keyrack.ports.catalog import CatalogUnavailable, Conflict, Unit
from keyrack.ports.cluster import ClusterBook, ClusterChanges
from keyrack.ports.journal import JournalBook, JournalChanges, Signer, Survey
from keyrack.service.journal.book import Book
from keyrack.service.journal.signatures import is_signed

log = logging.getLogger(__name__)

IDLE: Final = 3600.0
"""Seconds after which a checkpoint is signed even where nothing has happened: that nothing has, is vouched for too."""
ATTEMPTS: Final = 5
_LOOK: Final = 1.0


class RolledBack(Exception):
    """The catalog is older than a checkpoint that was exported; the text says what is missing."""


class ForeignKey(Exception):
    """The last checkpoint names another key than the one that is there."""


class NotaryCatalog(Book, ClusterBook, Protocol):
    """What it needs of the catalog."""


class Exported(Protocol):
    """Where checkpoints are kept beside the catalog."""

    def append(self, signed: SignedCheckpoint) -> None:
        """Durable when it returns; raises ``OSError``."""
        ...

    def last(self) -> SignedCheckpoint | None:
        """The last one; raises ``OSError``."""
        ...


async def missing_since(catalog: JournalBook, exported: SignedCheckpoint | None) -> str:
    """What the catalog lacks of a checkpoint that was exported; empty where it lacks nothing.

    The ends of the chains decide, and the checkpoint itself: a catalog put back to an older one has neither.
    """
    if exported is None:
        return ""
    try:
        statement = exported.statement
    except ValueError as error:
        return f"the exported checkpoint {exported.number} cannot be read: {error}"
    if not is_signed(exported, statement.key):
        return f"the exported checkpoint {exported.number} bears no signature of the key that it names"
    return await _missing(catalog, exported, statement)


async def _missing(catalog: JournalBook, exported: SignedCheckpoint, statement: Statement) -> str:
    kept = await catalog.checkpoints(statement.number - 1, 1)
    if not kept or kept[0].number != statement.number:
        last = _number(await catalog.last_checkpoint())
        return f"the last checkpoint that was exported is {statement.number}, the catalog's is {last}"
    if kept[0].hash != exported.hash:
        return f"checkpoint {statement.number} of the catalog is another one than was exported"
    heads = {head.chain: head.sequence for head in (await catalog.survey(statement.through)).heads}
    gone = [head for head in statement.heads if heads.get(head.chain, 0) < head.sequence]
    told = ", ".join(f"{head.chain} at {head.sequence}, now {heads.get(head.chain, 0)}" for head in gone)
    return f"checkpoint {statement.number} has seen chains further than they are: {told}" if gone else ""


def _refuse_shortened(before: Statement, seen: Survey) -> None:
    """Nothing is signed over chains that end earlier than they did: they are evidence."""
    ends = {head.chain: head.sequence for head in seen.heads}
    for head in before.heads:
        if ends.get(head.chain, 0) < head.sequence:
            raise RolledBack(
                f"chain {head.chain} ends at {ends.get(head.chain, 0)}, and checkpoint {before.number} has seen it at "
                f"{head.sequence}: somebody has removed records; 'keyrack audit verify' tells which"
            )


def _number(signed: SignedCheckpoint | None) -> int:
    return signed.number if signed is not None else 0


class Notary:
    """Signs what the catalog's journal has come to."""

    def __init__(
        self,
        catalog: NotaryCatalog,
        signer: Signer,
        exported: Exported,
        *,
        deployment: str,
        clock: Callable[[], int],
        seconds: float = 60.0,
        records: int = 1000,
        renew: Callable[[], Awaitable[Signer]] | None = None,
    ) -> None:
        """``seconds`` and ``records`` between two checkpoints at most; ``clock`` is milliseconds since 1970.

        ``renew`` reads the key again, where the last checkpoint names another: a command may have changed it.
        """
        self._renew = renew
        self._catalog = catalog
        self._signer = signer
        self._exported = exported
        self._deployment = deployment
        self._clock = clock
        self._seconds = seconds
        self._records = records
        self._told = ""

    @property
    def exported(self) -> Exported:
        """Where its checkpoints go."""
        return self._exported

    async def watch(self, leave: tuple[type[Exception], ...] = ()) -> None:
        """Sign when it is due, for ever; first of all see whether the catalog is as old as what was exported.

        ``leave``: what is raised instead of waited for, because somebody else may do better.
        """
        try:
            if missing := await missing_since(self._catalog, await asyncio.to_thread(self._exported.last)):
                self._tell(f"the catalog is older than what was exported: {missing}")
        except (CatalogUnavailable, OSError) as error:
            self._tell(str(error))
        while True:
            try:
                await self.round()
                self._told = ""
            except leave:
                raise
            except (RolledBack, ForeignKey, CatalogUnavailable, OSError) as error:
                self._tell(str(error))
            except Exception:
                log.exception("no checkpoint of the journal was made")
            await asyncio.sleep(_LOOK)

    def _tell(self, why: str) -> None:
        """Once for each trouble: it comes round every second."""
        if why != self._told:
            self._told = why
            log.error("no checkpoint of the journal is signed: %s", why)

    async def round(self) -> SignedCheckpoint | None:
        """Sign where it is due; what was made, if anything. Raises what :meth:`make` raises.

        Nothing is due in rollback mode: what was exported is what the catalog is held against.
        """
        if await self._catalog.rollback() is not None:
            return None
        last = await self._catalog.last_checkpoint()
        behind = await self._catalog.journal_end() - (last.statement.through if last is not None else 0)
        age = (self._clock() - last.at) / 1000 if last is not None else self._seconds
        due = behind >= self._records or (behind > 0 and not 0 <= age < self._seconds) or not 0 <= age < IDLE
        if due and (behind > 0 or last is not None):
            return await self.make()
        if last is not None:
            await self._check(last)
        return None

    async def make(
        self,
        *,
        entries: Sequence[Entry] = (),
        cuts: Sequence[JournalCut] = (),
        successor: str = "",
        accepted_by: str = "",
        lost: bool = False,
        actor: Actor | None = None,
        ends_rollback: bool = False,
    ) -> SignedCheckpoint:
        """Sign a checkpoint now, with what is said besides in the same transaction; ``accepted_by``: who accepts a
        catalog that is older than what was exported. ``lost``: the key before this one is lost. ``ends_rollback``: the
        catalog may change again from then on.

        Raises :class:`RolledBack`, :class:`ForeignKey`, ``CatalogUnavailable``; ``Conflict`` where others are always
        first, or a cut is not as it was.
        """
        for attempt in range(ATTEMPTS):
            last = await self._catalog.last_checkpoint()
            newest = await asyncio.to_thread(self._exported.last)
            abandons = await self._abandoned(newest, accepted_by)
            if abandons is None:
                await self._check(last)
            if not lost:
                await self._check_key(last)
            signed = await self._signed(last, cuts, successor, abandons)
            journal = JournalChanges(checkpoints=(signed,), cuts=cuts)
            unit = Unit(entries=entries, journal=journal, actor=actor, recovers=ends_rollback)
            if ends_rollback:
                unit.cluster = ClusterChanges(rollback_over=True)
            try:
                await self._catalog.commit(unit)
            except Conflict:
                if attempt == ATTEMPTS - 1:
                    raise
                continue
            await asyncio.to_thread(self._exported.append, signed)
            return signed
        raise Conflict("other checkpoints always came first")

    async def _abandoned(self, newest: SignedCheckpoint | None, accepted_by: str) -> Abandoned | None:
        """What is given up with an older catalog that ``accepted_by`` accepts."""
        if not accepted_by or newest is None or not await missing_since(self._catalog, newest):
            return None
        return Abandoned(number=newest.number, hash=newest.hash.hex(), by=accepted_by)

    async def _check(self, last: SignedCheckpoint | None) -> None:
        """Raise :class:`RolledBack` where the catalog is older than the export; else export what it has not yet."""
        newest = await asyncio.to_thread(self._exported.last)
        same = newest is not None and last is not None and newest.hash == last.hash
        missing = "" if same else await missing_since(self._catalog, newest)
        if missing:
            raise RolledBack(
                f"the catalog is older than what was exported: {missing}; find out who put it back. 'keyrack serve' "
                "keeps it unchanged then, and 'keyrack backup agree' goes on with it"
            )
        number = _number(newest)
        while number < _number(last):
            for signed in await self._catalog.checkpoints(number):
                await asyncio.to_thread(self._exported.append, signed)
                number = signed.number

    async def _check_key(self, last: SignedCheckpoint | None) -> None:
        if last is None:
            return
        statement = last.statement
        named = statement.successor or statement.key
        if self._signer.public != named and self._renew is not None:
            self._signer = await self._renew()
        if self._signer.public != named:
            raise ForeignKey(
                "the last checkpoint names another signing key than the one in the deployment's directory; put the "
                "file back from a backup, or make another with 'keyrack audit key --lost'"
            )

    async def _signed(
        self,
        last: SignedCheckpoint | None,
        cuts: Sequence[JournalCut],
        successor: str,
        abandons: Abandoned | None,
    ) -> SignedCheckpoint:
        before = last.statement if last is not None else None
        after = before.through if before is not None else 0
        seen = await self._catalog.survey(after)
        if before is not None:
            _refuse_shortened(before, seen)
        statement = Statement(
            deployment=self._deployment,
            number=_number(last) + 1,
            at=self._clock(),
            previous=last.hash.hex() if last is not None else "",
            key=self._signer.public,
            after=after,
            through=seen.through,
            records=seen.records,
            digest=seen.digest.hex(),
            heads=seen.heads,
            keys=seen.keys,
            destroyed=seen.destroyed,
            destroyed_digest=seen.destroyed_digest.hex(),
            cuts=tuple(replace(cut) for cut in cuts),
            successor=successor,
            abandons=abandons,
        )
        return signed_as(statement, self._signer.sign(statement.text))
