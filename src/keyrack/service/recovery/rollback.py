"""Rollback mode: how a catalog that was put back to an older one is recognised, and what holds meanwhile.

From its beginning on nothing of the catalog changes (``ports.catalog.RollbackMode``), but for what is done again
because it was done after the copy. Keys are handed out as long as nobody has reason to doubt them: where destroyed keys
are missing that no record names, any key may be one of them, and none is.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from keyrack.domain.checkpoints import SignedCheckpoint, Statement
from keyrack.domain.journal import Entry
from keyrack.domain.lifecycle import DESTROYED_STATES
from keyrack.ports.catalog import Unit
from keyrack.ports.cluster import ClusterChanges, Rollback
from keyrack.ports.journal import JournalQuery
from keyrack.ports.whole_catalog import WholeCatalog
from keyrack.service.journal.naming import entry_of
from keyrack.service.journal.notary import missing_since
from keyrack.service.journal.signatures import is_signed
from keyrack.service.recovery.applying import Applied, Applying, gone_of
from keyrack.service.recovery.later import Happened, Later, kept_of, later

RESTORED: Final = "backup.restore"
"""The act that begins it; its detail ``through`` tells where the copy's journal ends."""
COMMAND: Final = "keyrack backup agree"
"""The command that ends it."""
DOUBT: Final = (
    "the catalog was restored from a copy, keys were destroyed after it, and no record tells which: none is handed out "
    f"until an administrator has said '{COMMAND}'"
)
_SLACK: Final = 60
_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was kept beside the catalog."""

    deployment: str
    """Whose catalog it is held against: what another deployment has left there says nothing of it."""
    exported: SignedCheckpoint | None
    """The last checkpoint that was exported."""
    changes: tuple[int, bytes]
    """Number and hash of the last change that was kept; 0: none. No hash: all behind the number was given up."""
    lines: Callable[[], Iterable[str]]
    """Lines of every journal that was kept."""

    @property
    def statement(self) -> Statement | None:
        """What was exported, where its signature holds: nothing else in the file is a reason to stop serving."""
        exported = self.exported
        try:
            found = exported.statement if exported is not None else None
        except ValueError:
            return None
        if exported is None or found is None or not is_signed(exported, found.key):
            return None
        return found if found.deployment == self.deployment else None


@dataclass(frozen=True, slots=True)
class Settled:
    """How a catalog in rollback mode stands."""

    through: int
    """Number of the last change that is in the copy as well."""
    later: Later
    applied: Applied
    doubt: str = ""
    """Why no key is handed out; empty where nothing speaks against any that is still there."""


async def older(catalog: WholeCatalog, evidence: Evidence) -> str:
    """What the catalog lacks of what was kept beside it; empty where it lacks nothing."""
    exported = evidence.exported
    if exported is not None and evidence.statement is not None:
        last = await catalog.last_checkpoint()
        if (last is None or last.hash != exported.hash) and (missing := await missing_since(catalog, exported)):
            return missing
    number, digest = evidence.changes
    if digest and not await _has(catalog, number, digest):
        return f"changes were kept up to record {number}, and its journal does not have that one"
    return ""


async def _has(catalog: WholeCatalog, number: int, digest: bytes) -> bool:
    """Whether the journal has this very record, or had it before its retention ended.

    Numbers alone would not tell: those of a database that was restored may leap, and be given again.
    """
    found = await catalog.journal(number - 1, 1)
    if found and (found[0].number, found[0].hash) == (number, digest):
        return True
    cut = max((each.checkpoint for each in await catalog.cuts()), default=0)
    signed = await catalog.checkpoints(cut - 1, 1) if cut else ()
    return bool(signed) and number <= signed[0].statement.through


async def fork_of(catalog: WholeCatalog, kept: Sequence[Happened]) -> int | None:
    """The number of the last change that was kept and that the catalog has; ``None`` where none was kept.

    What comes behind it was kept and the catalog lacks it: of a history that goes on, each beginning is in it.
    """
    if not kept:
        return None
    low, high = 0, len(kept)
    while low < high:
        middle = (low + high) // 2
        if await _has(catalog, kept[middle].number, kept[middle].hash):
            low = middle + 1
        else:
            high = middle
    return kept[low - 1].number if low else 0


async def begin(catalog: WholeCatalog, why: str, *, by: str, clock: Callable[[], int]) -> bool:
    """Let nothing change from now on; ``False`` where that is so already. ``clock`` is milliseconds since 1970."""
    if await catalog.rollback() is not None:
        return False
    now = clock()
    entry = Entry(
        at=now,
        action=RESTORED,
        outcome="success",
        initiator=by,
        address="local",
        detail={"through": await catalog.journal_end(), "why": why[:200]},
    )
    changes = ClusterChanges(rollback=Rollback(at=now // 1000, why=why))
    await catalog.commit(Unit(entries=(entry,), cluster=changes, recovers=True))
    return True


async def end_of(catalog: WholeCatalog, rollback: Rollback) -> int:
    """Where the journal of the copy ended when it was noticed; behind it stand this mode's own records."""
    found = await catalog.find(JournalQuery(actions=(RESTORED,), since=(rollback.at - _SLACK) * 1000), limit=20)
    # Two processes that have noticed it at once have both written it down: the earlier one counts.
    ends = [entry_of(each).detail.get("through") for each in found.records]
    return min((end for end in ends if isinstance(end, int)), default=await catalog.journal_end())


async def settle(
    catalog: WholeCatalog, rollback: Rollback, evidence: Evidence, *, by: str, clock: Callable[[], int]
) -> Settled:
    """Do again what is known, and find out whether it is all; raises ``CatalogUnavailable`` and ``OSError``."""
    kept = kept_of(evidence.lines())
    fork = await fork_of(catalog, kept)
    through = await end_of(catalog, rollback) if fork is None else fork
    found = later(kept, through)
    applied = await Applying(catalog, found, clock=clock, initiator=by).run()
    return Settled(through, found, applied, "" if await accounted(catalog, found, evidence) else DOUBT)


async def accounted(catalog: WholeCatalog, found: Later, evidence: Evidence) -> bool:
    """Whether all that was destroyed by the last checkpoint is so here, or known to be by what was kept."""
    statement = evidence.statement
    return statement is None or await accounts_for(catalog, found, statement)


async def accounts_for(catalog: WholeCatalog, found: Later, statement: Statement) -> bool:
    """Whether what is destroyed here, or elsewhere by the records, is what the checkpoint has signed, or more.

    Records reach further than the last checkpoint: keys that were destroyed after it are none that it could know.
    """
    seen = await catalog.survey(await catalog.journal_end())
    if seen.destroyed_digest.hex() == statement.destroyed_digest:
        return True
    known = {uid async for uid in _destroyed(catalog)} | set(gone_of(found))
    after = {uid for uid, happened in found.destroyed.items() if happened.number > statement.through}
    return _digest(known - after) == statement.destroyed_digest


async def _destroyed(catalog: WholeCatalog) -> AsyncIterator[str]:
    for instance in await catalog.instances():
        after = ""
        while page := await catalog.objects(instance.identifier, after, _PAGE):
            for managed in page:
                if managed.state in DESTROYED_STATES:
                    yield managed.unique_identifier
            after = page[-1].unique_identifier


def _digest(uids: Iterable[str]) -> str:
    digest = sha256()
    for uid in sorted(uids):
        digest.update(f"{uid}\n".encode())
    return digest.hexdigest()
