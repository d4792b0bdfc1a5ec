"""The journal kept in a real catalog: checkpoints, roll-backs, cuts, and edits of the file that are all found."""

import asyncio
import json
import random
import shutil
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import pytest

from keyrack.adapters.catalogs.sqlite.catalog import SqliteCatalog
from keyrack.adapters.journals.checkpoint_file import CheckpointFile
from keyrack.adapters.journals.signing import SigningKey, load_or_make
from keyrack.domain.journal import Entry
from keyrack.domain.journal_chain import link
from keyrack.ports.catalog import Unit
from keyrack.ports.journal import JournalChanges, JournalQuery, SinkState
from keyrack.service.journal.exported import Exported
from keyrack.service.journal.exporting import Order, export
from keyrack.service.journal.notary import ForeignKey, Notary, RolledBack
from keyrack.service.journal.proof import Proved
from keyrack.service.journal.retention import DAY, Retention
from keyrack.service.journal.verification import Evidence, proved
from keyrack.service.office.administration import Administration, Administrator
from keyrack.service.office.refusals import Refused

BEGUN = 1_800_000_000_000


@dataclass(slots=True)
class Ground:
    """A catalog in a file, what signs over it, and a clock that goes on with each entry."""

    directory: Path
    key: SigningKey
    catalog: SqliteCatalog
    others: list[SqliteCatalog] = field(default_factory=list)
    now: int = BEGUN

    @property
    def exported(self) -> CheckpointFile:
        """Where checkpoints go."""
        return CheckpointFile(self.directory / "checkpoints.jsonl")

    def notary(self, key: SigningKey | None = None) -> Notary:
        """Signs with the deployment's key, or another."""
        return Notary(self.catalog, key or self.key, self.exported, deployment="tests", clock=lambda: self.now)

    def retention(self, *sinks: str) -> Retention:
        """Cuts, with these sinks configured."""
        return Retention(self.catalog, self.notary(), sinks, clock=lambda: self.now)

    async def write(self, count: int, *, step: int = 1000) -> None:
        """So many entries, in all chains by turns."""
        for number in range(count):
            self.now += step
            entry = Entry(at=self.now, action="Get", outcome="success", initiator="x", address="y", target=f"k{number}")
            await [self.catalog, *self.others][number % (1 + len(self.others))].commit(Unit(entries=(entry,)))

    async def verdict(self, catalog: SqliteCatalog | None = None) -> Proved:
        """Everything looked at, with the key pinned and the exported file."""
        evidence = Evidence(exported=self.exported.all, pins=[self.key.public])
        return await proved(catalog or self.catalog, evidence)


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncIterator[Ground]:
    """With two chains."""
    path = tmp_path / "c.db"
    made = Ground(tmp_path, load_or_make(tmp_path / "signing.key"), SqliteCatalog(path, "kmip-0"))
    made.others.append(SqliteCatalog(path, "kmip-1"))
    yield made
    for catalog in (made.catalog, *made.others):
        await catalog.close()


async def test_a_checkpoint_is_signed_when_it_is_due(ground: Ground) -> None:
    """After a minute, after a thousand records, and not while nothing has happened."""
    notary = ground.notary()
    await ground.write(3)
    first = await notary.round()
    again = await notary.round()
    await ground.write(1)
    early = await notary.round()
    ground.now += 60_000
    due = await notary.round()
    idle = await notary.round()

    assert first is not None
    assert due is not None
    assert (again, early, idle) == (None, None, None)
    assert [each.number for each in ground.exported.all()] == [1, 2]
    found = await ground.verdict()
    assert (found.flaws, found.checkpoints, found.records, found.unvouched) == ((), 2, 4, 0)


async def test_a_key_is_private_and_made_once(tmp_path: Path) -> None:
    """Mode 0600 whatever the mask; two who make it at once have the same."""
    path = tmp_path / "journal" / "signing.key"
    keys = await asyncio.gather(*(asyncio.to_thread(load_or_make, path) for _ in range(8)))

    assert len({key.public for key in keys}) == 1
    assert path.stat().st_mode & 0o777 == 0o600
    assert keys[0].public[:16] in repr(keys[0])


async def test_checkpoints_and_cuts_are_never_changed(ground: Ground) -> None:
    """The database itself refuses, and records go only up to a recorded cut."""
    await ground.write(4)
    await ground.notary().make()
    with sqlite3.connect(ground.directory / "c.db") as database:
        for statement in (
            "UPDATE journal_checkpoint SET text = ''",
            "DELETE FROM journal_checkpoint",
            "DELETE FROM journal WHERE number = 1",
            "UPDATE journal SET text = ''",
        ):
            with pytest.raises(sqlite3.IntegrityError, match="is never"):
                database.execute(statement)


def _spoil(database: sqlite3.Connection, chance: random.Random, covered: int) -> str:
    """One change of the file by somebody who has dropped the triggers; what it was."""
    number = chance.randint(1, covered)
    chain, sequence, text = database.execute(
        "SELECT chain, sequence, text FROM journal WHERE number = ?", (number,)
    ).fetchone()
    kind = chance.choice(("edit", "remove", "insert", "swap", "truncate", "recompute", "checkpoint"))
    if kind == "edit":
        database.execute("UPDATE journal SET text = replace(text, 'Get', 'Git') WHERE number = ?", (number,))
    elif kind == "remove":
        database.execute("DELETE FROM journal WHERE number = ?", (number,))
    elif kind == "insert":
        database.execute("UPDATE journal SET number = -number - 1 WHERE number > ?", (number,))
        database.execute("UPDATE journal SET number = -number WHERE number < 0")
        database.execute(
            "INSERT INTO journal (number, chain, sequence, text, hash) VALUES (?, 'forged', 1, ?, ?)",
            (number + 1, text, link(bytes(32), text)),
        )
    elif kind == "swap":
        other = number % covered + 1
        for old, new in ((number, -1), (other, number), (-1, other)):
            database.execute("UPDATE journal SET number = ? WHERE number = ?", (new, old))
    elif kind == "truncate":
        database.execute("DELETE FROM journal WHERE number >= ?", (number,))
    elif kind == "recompute":
        _recompute(database, chain, sequence)
    else:
        database.execute("UPDATE journal_checkpoint SET text = replace(text, '1', '2') WHERE number = 1")
    return kind


def _recompute(database: sqlite3.Connection, chain: str, sequence: int) -> None:
    """A text changed, and every hash of its chain from there on computed anew."""
    (before,) = database.execute(
        "SELECT coalesce((SELECT hash FROM journal WHERE chain = ? AND sequence = ?), ?)",
        (chain, sequence - 1, bytes(32)),
    ).fetchone()
    rows = database.execute(
        "SELECT number, text FROM journal WHERE chain = ? AND sequence >= ? ORDER BY sequence", (chain, sequence)
    ).fetchall()
    for position, (number, text) in enumerate(rows):
        told = text.replace("success", "failure") if position == 0 else text
        before = link(before, told)
        database.execute("UPDATE journal SET text = ?, hash = ? WHERE number = ?", (told, before, number))


async def test_hundreds_of_edits_of_the_file_are_all_found(ground: Ground, tmp_path: Path) -> None:
    """By somebody with the database's file, who drops the triggers first."""
    for _ in range(3):
        await ground.write(10)
        await ground.notary().make()
    await ground.write(3)
    with sqlite3.connect(ground.directory / "c.db") as database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {name}")
        database.commit()
        database.execute("VACUUM INTO ?", (str(tmp_path / "whole.db"),))
    chance = random.Random(1)
    missed: list[str] = []
    spoilt = tmp_path / "spoilt.db"
    for _ in range(300):
        shutil.copy(tmp_path / "whole.db", spoilt)
        database = sqlite3.connect(spoilt)
        kind = _spoil(database, chance, 30)
        database.commit()
        database.close()
        catalog = SqliteCatalog(spoilt, "reader")
        if not (await ground.verdict(catalog)).flaws:
            missed.append(kind)
        await catalog.close()
        for left in (spoilt, spoilt.with_name("spoilt.db-wal"), spoilt.with_name("spoilt.db-shm")):
            left.unlink(missing_ok=True)

    assert missed == []
    assert (await ground.verdict()).flaws == ()


async def test_a_catalog_put_back_is_told_and_signed_over_by_nobody(ground: Ground) -> None:
    """Until an administrator accepts it, which is a checkpoint of its own; then all is well again, and remembered."""
    await ground.write(5)
    await ground.notary().make()
    await ground.catalog.close()
    await ground.others.pop().close()
    shutil.copy(ground.directory / "c.db", ground.directory / "backup.db")
    ground.catalog = SqliteCatalog(ground.directory / "c.db", "kmip-0")
    await ground.write(5)
    await ground.notary().make()
    await ground.catalog.close()
    shutil.copy(ground.directory / "backup.db", ground.directory / "c.db")
    ground.catalog = SqliteCatalog(ground.directory / "c.db", "kmip-0")

    found = await ground.verdict()
    with pytest.raises(RolledBack, match="the last checkpoint that was exported is 2, the catalog's is 1"):
        await ground.notary().make()
    with pytest.raises(RolledBack):
        await ground.notary().round()
    accepted = await ground.notary().make(accepted_by="local-user-test")
    await ground.write(2)
    await ground.notary().make()
    after = await ground.verdict()

    assert ["older than what was exported" in flaw.what for flaw in found.flaws] == [True]
    assert accepted.statement.abandons is not None
    assert after.flaws == ()
    assert ["accepted by local-user-test" in remark for remark in after.remarks] == [True]


async def test_nothing_is_signed_over_a_chain_that_was_shortened(ground: Ground) -> None:
    """Somebody has removed the last records, and left the checkpoints: they are evidence, and stay it."""
    await ground.write(6)
    await ground.notary().make()
    with sqlite3.connect(ground.directory / "c.db") as database:
        database.execute("DROP TRIGGER journal_is_not_shortened")
        database.execute("DELETE FROM journal WHERE number > 4")

    with pytest.raises(RolledBack, match="somebody has removed records"):
        await ground.notary().make()


async def test_another_key_signs_only_when_it_was_named(ground: Ground) -> None:
    """A key that was put there signs nothing; a successor does; a new one for a lost one is told."""
    await ground.write(2)
    await ground.notary().make()
    successor, stranger = SigningKey.new(), SigningKey.new()
    with pytest.raises(ForeignKey):
        await ground.notary(stranger).make()
    await ground.notary().make(successor=successor.public)
    with pytest.raises(ForeignKey):
        await ground.notary().make()
    await ground.notary(successor).make()
    named = await ground.verdict()
    await ground.notary(stranger).make(lost=True)
    lost = await ground.verdict()

    assert named.flaws == ()
    assert ["signed by a key that the one before it does not name" in each.what for each in lost.flaws] == [True]


# --- retention ---


def _administration(ground: Ground) -> Administration:
    return Administration(ground.catalog, {}, Administrator("local-user-test"), lambda: ground.now)


async def _aged(ground: Ground) -> None:
    """Thirty old records under three checkpoints, then some new ones under a fourth."""
    for _ in range(3):
        await ground.write(10)
        await ground.notary().make()
    ground.now += 100 * DAY
    await ground.write(5)
    await ground.notary().make()


async def test_what_was_cut_stays_proved(ground: Ground) -> None:
    """The records are gone, the chains go on where they were, and the verification understands it."""
    await _aged(ground)

    done = await ground.retention().by_hand(_administration(ground), ground.now - 40 * DAY)
    await ground.write(4)
    found = await ground.verdict()

    assert (done.records, done.through, done.held_by) == (30, 3, "")
    assert [record.number for record in await ground.catalog.journal(0, 3)] == [31, 32, 33]
    assert found.flaws == ()
    assert ["30 records were cut, the last time by local-user-test up to checkpoint 3"] == list(found.remarks)
    (entry,) = (await ground.catalog.find(JournalQuery(actions=("journal.cut",)))).records
    assert '"records":30' in entry.text


async def test_a_chain_that_was_cut_whole_goes_on(ground: Ground) -> None:
    """Its next record follows the last one that is gone."""
    await _aged(ground)
    ground.now += 100 * DAY
    await ground.catalog.commit(Unit(entries=(Entry(at=1, action="Get", outcome="s", initiator="", address=""),)))
    await ground.notary().make()
    await ground.retention().by_rule(30)
    heads = await ground.catalog.journal_heads()
    other = SqliteCatalog(ground.directory / "c.db", "kmip-1")
    await other.commit(Unit(entries=(Entry(at=1, action="Get", outcome="s", initiator="", address=""),)))
    await other.close()

    assert (await ground.catalog.journal_heads())["kmip-1"] == heads["kmip-1"] + 1
    assert (await ground.verdict()).flaws == ()


async def test_only_what_all_have_is_cut(ground: Ground) -> None:
    """A sink that has not taken it, a checkpoint that was not exported, and thirty days stand in the way."""
    await _aged(ground)
    too_young = Refused
    with pytest.raises(too_young, match="less than 30 days"):
        await ground.retention().by_hand(_administration(ground), ground.now - 29 * DAY)
    held = await ground.retention("siem").by_rule(30)
    state = SinkState(number=12, at=1)
    await ground.catalog.commit(Unit(entries=(), journal=JournalChanges(sinks={"siem": state})))
    part = await ground.retention("siem").by_rule(30)

    assert (held.records, held.held_by) == (0, "a sink has not taken it")
    assert (part.records, part.held_by) == (10, "a sink has not taken it")
    assert (await ground.verdict()).flaws == ()


async def test_a_forged_cut_is_found(ground: Ground) -> None:
    """Rows that say that something was cut are believed only where a checkpoint has signed them."""
    await _aged(ground)
    doomed = await ground.catalog.doomed(1, 10)
    with sqlite3.connect(ground.directory / "c.db") as database:
        for cut in doomed:
            database.execute(
                "INSERT INTO journal_cut VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (1, cut.chain, cut.through, cut.hash, cut.records, cut.digest, 1, "local-user-nobody"),
            )
            database.execute("DELETE FROM journal WHERE chain = ? AND sequence <= ?", (cut.chain, cut.through))

    found = await ground.verdict()

    assert ["no checkpoint says so" in flaw.what for flaw in found.flaws] == [True] * len(doomed)


# --- exports ---


async def _lines(ground: Ground, query: JournalQuery, form: str = "cadf") -> list[str]:
    order = Order(query=query, deployment="tests", by="local-user-test", at=ground.now, form=form)
    return [line async for line in export(ground.catalog, order)]


@pytest.mark.parametrize("form", ["cadf", "raw"])
async def test_an_export_is_proved_without_the_deployment(ground: Ground, form: str) -> None:
    """All of it, a part, and behind a cut; the key pinned."""
    await _aged(ground)
    everything = await _lines(ground, JournalQuery(), form)
    part = await _lines(ground, JournalQuery(target="k3"), form)
    await ground.retention().by_rule(40)
    behind = await _lines(ground, JournalQuery(), form)
    late = await _lines(ground, JournalQuery(since=ground.now - 10_000), form)

    for lines in (everything, part, behind, late):
        found = Exported([ground.key.public], None).verified(lines)
        assert found.flaws == ()
        assert found.checkpoints >= 1
    assert sum("k3" in line for line in part) == 4
    assert not any("k4" in line for line in part)


async def test_every_edit_of_an_export_is_found(ground: Ground) -> None:
    """A changed letter anywhere, lines that are gone, added, swapped or cut off."""
    await _aged(ground)
    lines = await _lines(ground, JournalQuery(target="k3"))
    chance = random.Random(3)
    for _ in range(300):
        spoilt = list(lines)
        at = chance.randrange(1, len(spoilt))
        match chance.choice(("edit", "remove", "swap", "cut", "add")):
            case "edit":
                place = chance.randrange(len(spoilt[at]) - 1)
                spoilt[at] = f"{spoilt[at][:place]}~{spoilt[at][place + 1 :]}"
            case "remove":
                del spoilt[at]
            case "swap":
                other = at % (len(spoilt) - 1) + 1
                spoilt[at], spoilt[other] = spoilt[other], spoilt[at]
            case "cut":
                del spoilt[at:]
            case "add":
                spoilt.insert(at, spoilt[at])
        assert Exported([ground.key.public], None).verified(spoilt).flaws, spoilt[at]


async def test_an_event_that_says_other_than_its_record_is_found(ground: Ground) -> None:
    """By somebody who makes the file's end fit again."""
    await _aged(ground)
    lines = await _lines(ground, JournalQuery(target="k3"))
    at = next(number for number, line in enumerate(lines) if '"outcome":"success"' in line)
    spoilt = list(lines)
    spoilt[at] = spoilt[at].replace('"outcome":"success"', '"outcome":"failure"', 1)
    end = json.loads(spoilt[-1])
    end["end"]["digest"] = sha256("".join(spoilt[:-1]).encode()).hexdigest()
    spoilt[-1] = json.dumps(end) + "\n"

    (flaw,) = Exported([ground.key.public], None).verified(spoilt).flaws

    assert flaw.what == "the event says other than the record that it holds"


def _made_to_fit(lines: list[str], records: int) -> list[str]:
    """With an end that says what is there: no secret is needed for that."""
    end = {"end": {"records": records, "passed_over": 0, "digest": sha256("".join(lines).encode()).hexdigest()}}
    return [*lines, json.dumps(end, separators=(",", ":")) + "\n"]


async def test_records_that_nobody_has_signed_are_none_for_who_pins_a_key(ground: Ground) -> None:
    """Chains are computed by anybody: a file without checkpoints, or with a true base and nothing behind it, proves
    nothing of what it tells."""
    await _aged(ground)
    whole = await _lines(ground, JournalQuery(), "raw")
    heading, records = json.loads(whole[0]), [line for line in whole if '"record"' in line]
    first = next(json.loads(line) for line in whole if '"checkpoint"' in line)
    bare = _made_to_fit([whole[0], *records], len(records))
    behind = records[[*whole].index(next(line for line in whole if '"checkpoint"' in line)) - 1 :]
    based = _made_to_fit([json.dumps({**heading, "base": first}, separators=(",", ":")) + "\n", *behind], len(behind))
    empty = _made_to_fit([whole[0]], 0)

    for lines in (bare, based, empty):
        found = Exported([ground.key.public], None).verified(lines)
        assert [flaw.chain for flaw in found.flaws] == ["checkpoints"], found.flaws
    assert Exported([], None).verified(bare).flaws == ()


async def test_what_an_export_passes_over_is_told(ground: Ground) -> None:
    """Somebody may have passed over what was asked for."""
    await _aged(ground)
    part = Exported([ground.key.public], None).verified(await _lines(ground, JournalQuery(target="k3")))

    assert any("passed over" in remark for remark in part.remarks)
