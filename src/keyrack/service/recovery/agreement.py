"""The end of rollback mode: everything after the copy is done again, had back, or named and given up.

What was destroyed or taken away stays so (``applying``). Keys that were made are entered anew from the key managers.
What is then still missing is listed, and gone on without only by somebody who says in words what is lost.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from keyrack.domain.checkpoints import Statement
from keyrack.domain.journal import Entry
from keyrack.domain.objects import ManagedObject
from keyrack.ports.catalog import Unit
from keyrack.ports.cluster import Rollback
from keyrack.ports.key_manager import KeyManager
from keyrack.ports.whole_catalog import WholeCatalog
from keyrack.service.copies.rebuild import Rebuild, Rebuilt, Wishes
from keyrack.service.journal.notary import Notary, missing_since
from keyrack.service.moves.walk import Report, silently
from keyrack.service.office.administration import Administration
from keyrack.service.office.refusals import Refused
from keyrack.service.recovery.applying import stepped
from keyrack.service.recovery.later import Happened, Later
from keyrack.service.recovery.rollback import Evidence, Settled, settle
from keyrack.service.vault.envelope import Vault

AGREED = "backup.agree"
NOTHING_KEPT = (
    "nothing that was kept beside the catalog reaches beyond the copy: whatever was done after it is unknown, also "
    "which keys were destroyed and which certificates removed"
)
KEY_LOST = (
    "the key that signs the journal's checkpoints is not there: put it back from where it is kept, or a new one is "
    "made that nothing vouches for"
)
UNTOLD = "records were written after the copy, and no file tells what they say: whatever was changed by them is unknown"
UNNAMED = "keys were destroyed after the copy, and no record tells which: they would be handed out again"


class LossNotAccepted(Refused):
    """Something cannot be accounted for, and nobody has said that it is given up."""

    code = "loss-not-accepted"

    def __init__(self, account: "Account") -> None:
        """Of this account."""
        super().__init__(
            f"{account.words} cannot be accounted for; nothing was given up",
            hint=f"say --accept-loss '{account.words}' if the deployment shall go on without",
        )
        self.account = account


@dataclass(slots=True, kw_only=True)
class Account:
    """What has become of everything after the copy."""

    rollback: Rollback
    settled: Settled
    through: int
    """Number of the last change that is in the copy as well."""
    rebuilt: Rebuilt = field(default_factory=Rebuilt)
    lost_keys: Sequence[tuple[str, Happened]] = ()
    """Unique Identifiers of keys that were made and are nowhere any more."""
    unknown: Sequence[str] = ()
    """What nobody knows, each in a sentence."""
    instances: Mapping[str, str] = field(default_factory=dict)
    """Names by identifier."""
    ended: bool = False

    @property
    def lost_acts(self) -> Sequence[Happened]:
        """What a person has to do again."""
        return self.settled.later.lost

    @property
    def words(self) -> str:
        """What is lost, as it has to be said; empty where nothing is."""
        told = []
        if self.lost_keys:
            told.append(f"{len(self.lost_keys)} key{'' if len(self.lost_keys) == 1 else 's'}")
        if self.lost_acts:
            told.append(f"{len(self.lost_acts)} act{'' if len(self.lost_acts) == 1 else 's'}")
        if self.unknown:
            told.append("what nobody knows")
        return " and ".join(", ".join(told).rsplit(", ", 1))


class _Recovering:
    """The catalog, for work that is part of ending rollback mode."""

    def __init__(self, catalog: WholeCatalog) -> None:
        self._catalog = catalog

    def __getattr__(self, name: str) -> Any:
        return getattr(self._catalog, name)

    async def commit(self, unit: Unit) -> None:
        unit.recovers = True
        await self._catalog.commit(unit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rooms:
    """What an agreement works with."""

    catalog: WholeCatalog
    administration: Administration
    vault: Vault
    key_managers: Mapping[str, KeyManager]
    """All that are searched for keys, by the names that instances bear."""
    notary: Notary
    deployment: str
    key_lost: bool = False
    """The notary signs with a key that was made just now, because the old one is not there."""
    clock: Callable[[], int]
    """Milliseconds since 1970."""


async def agree(
    rooms: Rooms,
    evidence: Evidence,
    *,
    words: str | None = None,
    reading: Report = silently,
    entering: Report = silently,
    rate: float | None = None,
) -> Account:
    """Account for everything, and end rollback mode; raises :class:`LossNotAccepted`, ``Refused`` where it is not on,
    and what key managers and the notary raise. Broken off, or refused, it is said again, and goes on from there."""
    catalog = rooms.catalog
    rollback = await catalog.rollback()
    if rollback is None:
        raise Refused("the catalog is not in rollback mode: there is nothing to agree to")
    who = rooms.administration.administrator.initiator
    settled = await settle(catalog, rollback, evidence, by=who, clock=rooms.clock)
    account = Account(rollback=rollback, settled=settled, through=settled.through)
    account.rebuilt = await _rebuilt(rooms, settled, reading, entering, rate)
    account.lost_keys = await _lost(catalog, settled)
    account.instances = {each.identifier: each.name for each in await catalog.instances()}
    account.unknown = [*([KEY_LOST] if rooms.key_lost else []), *await _unknown(catalog, evidence, account)]
    if account.words and words != account.words:
        raise LossNotAccepted(account)
    await rooms.notary.make(entries=[_entry(rooms, account)], accepted_by=who, ends_rollback=True, lost=rooms.key_lost)
    account.ended = True
    return account


async def _rebuilt(rooms: Rooms, settled: Settled, reading: Report, entering: Report, rate: float | None) -> Rebuilt:
    """Keys that the key managers have and the catalog lacks, in the state that the records tell."""
    catalog = cast(WholeCatalog, _Recovering(rooms.catalog))
    desk = rooms.administration
    administration = Administration(catalog, desk.key_managers, desk.administrator, rooms.clock, rooms.vault)
    wishes = known(settled.later, Wishes())
    work = Rebuild(catalog, administration, rooms.vault, rooms.key_managers, deployment=rooms.deployment, wishes=wishes)
    return await work.run(reading=reading, entering=entering, rate=rate)


def known(later: Later, wishes: Wishes) -> Wishes:
    """The same wishes, for keys in the state that the records tell, and without those that were purged."""

    def shape(managed: ManagedObject) -> ManagedObject:
        return replace(stepped(managed, later.steps.get(managed.unique_identifier, ())), version=1)

    return replace(wishes, without=frozenset(later.purged), shape=shape)


async def _lost(catalog: WholeCatalog, settled: Settled) -> Sequence[tuple[str, Happened]]:
    later, lost = settled.later, []
    instances = {each.identifier for each in await catalog.instances()}
    for uid, happened in later.made.items():
        instance = happened.entry.instance
        if uid in later.purged or uid in later.destroyed or instance in later.removed_instances:
            continue  # Nobody wants it back.
        if instance not in instances or await catalog.load(instance, uid) is None:
            lost.append((uid, happened))
    return lost


async def _unknown(catalog: WholeCatalog, evidence: Evidence, account: Account) -> Sequence[str]:
    """What neither records nor checkpoints tell, each in a sentence."""
    exported, statement, later = evidence.exported, evidence.statement, account.settled.later
    if exported is None or statement is None:
        return [NOTHING_KEPT]
    told = [UNNAMED] if account.settled.doubt else []
    if not (evidence.changes[0] or later.acts) and await missing_since(catalog, exported):
        told.append(UNTOLD)
    elif uncounted := await _uncounted(catalog, statement, account):
        told.append(f"{uncounted} more keys than any record names were there when the last checkpoint was signed")
    return told


async def _uncounted(catalog: WholeCatalog, statement: Statement, account: Account) -> int:
    """How many keys the last checkpoint has counted that are neither here nor named as lost, or as gone for good."""
    later = account.settled.later
    if later.removed_instances:
        return 0  # With an instance go objects that nobody counts any more.
    seen = await catalog.survey(await catalog.journal_end())
    gone = [uid for uid in later.made if uid in later.purged or uid in later.destroyed]
    absent = [uid for uid in gone if await catalog.load(later.made[uid].entry.instance, uid) is None]
    after = sum(each.number > statement.through for each in later.made.values())
    return max(0, statement.keys - (seen.keys + len(account.lost_keys) + len(absent) - after))


def _entry(rooms: Rooms, account: Account) -> Entry:
    counts: dict[str, str | int] = {
        "restored_at": account.rollback.at,
        "done_again": sum(account.settled.applied.told.values()),
        "keys_entered": account.rebuilt.keys,
    }
    if account.words:
        counts["given_up"] = account.words
    return rooms.administration.entry(AGREED, "", "", counts)
