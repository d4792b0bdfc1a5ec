"""The key manager's journal, walked: whatever is changed, removed, inserted, moved, cut off or computed anew shows."""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from keyrack.domain.journal_chain import genesis, link
from keyrack.embedded.errors import KeystoreDamaged
from keyrack.embedded.house import House
from keyrack.embedded.store.database import database_path
from keyrack.embedded.store.unit import CHAIN
from keyrack.service.journal.chain import Flaw, Verdict
from keyrack.shell import journals
from keyrack.testing.key_houses import a_call, a_house

RECORDS = 6
Edit = Callable[[sqlite3.Connection], None]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A key manager in whose journal six acts stand."""
    made = a_house(tmp_path)
    for number in range(RECORDS):
        act(made, number)
    yield made
    made.close()


def act(house: House, number: int) -> None:
    with house.change(a_call(), "kms.secrets.create", f"key {number}"):
        pass


def edited(house: House, directory: Path, edit: Edit) -> Verdict:
    """What a walk finds after somebody has written to the file with SQLite alone."""
    with sqlite3.connect(database_path(directory / "keystore")) as database:
        edit(database)
    return journals.verify("embedded", house)


def anew(database: sqlite3.Connection) -> None:
    """Compute every hash of the chain again, as whoever knows how it is made can."""
    previous = genesis(CHAIN)
    for number, text in database.execute("SELECT number, text FROM journal ORDER BY number").fetchall():
        previous = link(previous, text)
        database.execute("UPDATE journal SET hash = ? WHERE number = ?", (previous, number))


def test_a_journal_that_nobody_touched_is_sound(house: House) -> None:
    """One chain, whose head is its last record; its name says whose it is."""
    verdict = journals.verify("embedded", house)

    assert (verdict.records, verdict.flaws) == (RECORDS, ())
    assert [(head.chain, head.sequence) for head in verdict.heads] == [("key-manager/embedded", RECORDS)]


def test_an_empty_journal_is_sound(tmp_path: Path) -> None:
    """Before the first act."""
    house = a_house(tmp_path)

    assert journals.verify("embedded", house) == Verdict(0, ())


def change(database: sqlite3.Connection) -> None:
    database.execute("UPDATE journal SET text = replace(text, 'key 2', 'key 9') WHERE number = 3")


def remove(database: sqlite3.Connection) -> None:
    database.execute("DELETE FROM journal WHERE number = 3")


def cut_off(database: sqlite3.Connection) -> None:
    database.execute("DELETE FROM journal WHERE number > 4")


def empty(database: sqlite3.Connection) -> None:
    database.execute("DELETE FROM journal")


def insert(database: sqlite3.Connection) -> None:
    """Between two others, which makes room."""
    for number in range(RECORDS, 3, -1):
        database.execute("UPDATE journal SET number = ? WHERE number = ?", (number + 1, number))
    database.execute("INSERT INTO journal SELECT 4, text, hash FROM journal WHERE number = 3")


def insert_behind(database: sqlite3.Connection) -> None:
    database.execute("INSERT INTO journal SELECT 7, text, hash FROM journal WHERE number = 3")


def swap(database: sqlite3.Connection) -> None:
    for source, target in ((2, 99), (3, 2), (99, 3)):
        database.execute("UPDATE journal SET number = ? WHERE number = ?", (target, source))


def other_kind(database: sqlite3.Connection) -> None:
    """A table without types, in which text stands where bytes should."""
    database.executescript(
        "CREATE TABLE loose AS SELECT number, text, hex(hash) AS hash FROM journal;"
        "DROP TABLE journal; ALTER TABLE loose RENAME TO journal"
    )


def no_table(database: sqlite3.Connection) -> None:
    database.execute("DROP TABLE journal")


EDITS = (change, remove, cut_off, empty, insert, insert_behind, swap)


@pytest.mark.parametrize("edit", [*EDITS, other_kind, no_table])
def test_every_edit_shows(house: House, tmp_path: Path, edit: Edit) -> None:
    """Whatever was done to the file."""
    assert edited(house, tmp_path, edit).flaws


@pytest.mark.parametrize("edit", EDITS)
def test_a_chain_that_was_computed_anew_shows(house: House, tmp_path: Path, edit: Edit) -> None:
    """Each link follows the one before it then; only the end under the MAC tells."""

    def carefully(database: sqlite3.Connection) -> None:
        edit(database)
        numbered = database.execute("SELECT number FROM journal ORDER BY number").fetchall()
        for place, (number,) in enumerate(numbered, start=1):
            database.execute("UPDATE journal SET number = ? WHERE number = ?", (place, number))
        anew(database)

    assert edited(house, tmp_path, carefully).flaws


def test_a_flaw_names_its_place(house: House, tmp_path: Path) -> None:
    """One edit is told once."""
    assert edited(house, tmp_path, change).flaws == (
        Flaw(
            "key-manager/embedded",
            3,
            "the hash does not follow: this record, or one before it, is not as it was written",
        ),
    )


def test_a_cut_end_shows_for_ever(house: House, tmp_path: Path) -> None:
    """The next record takes its number behind what was cut off, and so the gap stays."""
    edited(house, tmp_path, cut_off)

    act(house, RECORDS)

    assert [flaw.sequence for flaw in journals.verify("embedded", house).flaws] == [7, 7]


def test_nothing_is_written_over_a_record_of_somebody_else(house: House, tmp_path: Path) -> None:
    """And then nothing is done either: no record, no act."""
    edited(house, tmp_path, insert_behind)

    with pytest.raises(KeystoreDamaged, match="a record 7 that keyrack has not written"):
        act(house, RECORDS)


def test_the_end_cannot_be_set_back(house: House, tmp_path: Path) -> None:
    """It stands under the MAC of the database: whoever corrects it has no database any more."""

    def set_back(database: sqlite3.Connection) -> None:
        cut_off(database)
        database.execute("UPDATE meta SET journal_end = 4, journal_hash = (SELECT hash FROM journal WHERE number = 4)")

    with pytest.raises(KeystoreDamaged):
        edited(house, tmp_path, set_back)


def test_heads_that_were_kept_are_compared_too(house: House) -> None:
    """Those of this chain alone."""
    (head,) = journals.verify("embedded", house).heads
    act(house, RECORDS)
    stranger = type(head)("kmip-0", 99, b"")

    assert journals.verify("embedded", house, [head, stranger]).flaws == ()
    assert journals.verify("embedded", house, [type(head)(head.chain, 99, b"")]).flaws


def test_what_was_undone_leaves_no_record(house: House) -> None:
    """Neither in the journal nor in its end."""

    def fail() -> None:
        with house.change(a_call(), "kms.secrets.create"):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert journals.verify("embedded", house).records == RECORDS
    assert journals.verify("embedded", house).flaws == ()


def test_long_journals_are_walked_page_by_page(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is lost between two pages."""
    monkeypatch.setattr(journals, "PAGE", 4)

    assert journals.verify("embedded", house).records == RECORDS
