"""One key manager on several nodes: what one node changes the others have, whatever happens to the log between them."""

import base64
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from keyrack.domain.secret import Secret
from keyrack.embedded import actions, creation, lifecycle, rotation
from keyrack.embedded.errors import (
    ChangeUnsettled,
    KeyActionInvalidState,
    KeyNotFound,
    KeystoreBehind,
    KeystoreDiverged,
    KeystoreRolledBack,
    LogUnavailable,
    Overtaken,
    Refusal,
)
from keyrack.embedded.house import House
from keyrack.embedded.iam.rights import Role
from keyrack.embedded.keys import Key, KeyState
from keyrack.embedded.store import following
from keyrack.embedded.store.change_log import ChangeSeal, Line
from keyrack.embedded.store.database import Database, database_path
from keyrack.testing.key_houses import a_call, a_caller, a_copy, a_house, opened_again
from keyrack.testing.shared_logs import NodesLog, SharedLog
from keyrack.testing.some_keys import a_root_key, journal_of, kept

SOON = 1.0
"""Seconds within which a change counts on every node."""


@dataclass
class Nodes:
    """Two nodes, of which the second was copied from the first, and what they share."""

    directory: Path
    shared: SharedLog
    one: House
    two: House
    logs: tuple[NodesLog, NodesLog]

    @property
    def both(self) -> tuple[House, House]:
        return self.one, self.two

    def again(self, number: int) -> House:
        """One of the nodes after a restart."""
        return opened_again(self.directory / ("one", "two")[number], log=self.shared.of_a_node())


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    made = two_nodes(tmp_path)
    yield made
    for house in made.both:
        house.close()


def two_nodes(directory: Path) -> Nodes:
    (directory / "one").mkdir()
    a_house(directory / "one").close()
    shared = SharedLog()
    opened_again(directory / "one", log=shared.of_a_node()).close()
    a_copy(directory / "one", directory / "two")
    logs = shared.of_a_node(), shared.of_a_node()
    one = opened_again(directory / "one", log=logs[0])
    return Nodes(directory, shared, one, opened_again(directory / "two", log=logs[1]), logs)


def state(house: House) -> tuple[int, str]:
    """Change and tally: two databases with the same have the same records."""
    return house.database.standing()


def soon(true: Callable[[], bool]) -> bool:
    """Whether it becomes true within the time that is promised."""
    over = time.monotonic() + SOON
    while not true():
        if time.monotonic() > over:
            return False
        time.sleep(0.005)
    return True


def there(house: House, key: Key) -> bool:
    try:
        return bool(kept(house, key))
    except (KeyNotFound, KeystoreBehind):
        return False


# What one does counts on the other.


def test_what_one_node_does_counts_on_the_other_within_a_second(nodes: Nodes) -> None:
    """A root key is made here, used there, rotated there, disabled here, deleted there."""
    key = creation.create(nodes.one, a_call(), creation.NewKey(name="root", extractable=False))
    assert soon(lambda: there(nodes.two, key))
    with Secret(bytearray(b"a wrapped key")) as plaintext:
        wrapped = actions.wrap(nodes.two, a_call(), key.identifier, plaintext)
    rotated = rotation.rotate(nodes.two, a_call(), key.identifier)
    assert soon(lambda: kept(nodes.one, key) == rotated)
    with actions.unwrap(nodes.one, a_call(), key.identifier, wrapped.ciphertext).plaintext as opened:
        assert b"a wrapped key" == bytes(opened.reveal())

    lifecycle.disable(nodes.one, a_call(), key.identifier)
    assert soon(lambda: kept(nodes.two, key).state is KeyState.SUSPENDED)
    with pytest.raises(KeyActionInvalidState):
        actions.unwrap(nodes.two, a_call(), key.identifier, wrapped.ciphertext)
    lifecycle.delete(nodes.two, a_call(), key.identifier)
    assert soon(lambda: kept(nodes.one, key).state is KeyState.DESTROYED)
    assert state(nodes.one) == state(nodes.two)


def test_a_change_is_decided_on_what_the_other_node_has_just_done(nodes: Nodes) -> None:
    """Even where nothing was told: each change begins with a look at the log."""
    key = a_root_key(nodes.one)
    nodes.two.database.follow()
    lifecycle.disable(nodes.one, a_call(), key.identifier)

    with pytest.raises(KeyActionInvalidState):
        lifecycle.disable(nodes.two, a_call(), key.identifier)


def test_a_refusal_counts_once_the_log_was_looked_at(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that was made on the other node a moment ago is there for whoever asks here now."""
    stand_still(nodes, monkeypatch)
    key = a_root_key(nodes.one)

    def wrap() -> actions.WrapAnswer:
        return actions.wrap(nodes.two, a_call(), key.identifier, None)

    with pytest.raises(Refusal):
        wrap()

    assert nodes.two.settled(wrap).version == key.newest.identifier
    with pytest.raises(KeyNotFound):
        nodes.two.settled(lambda: actions.wrap(nodes.two, a_call(), "no-such-key", None))


def stand_still(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on a node looks at the log when it must, and not by itself; what it has counts for a minute."""
    monkeypatch.setattr(following, "STALE", 60.0)
    monkeypatch.setattr(following, "POLL", 60.0)
    for log in nodes.logs:
        log.blind = True
    with nodes.shared.changed:
        nodes.shared.changed.notify_all()
    time.sleep(0.05)


def test_every_kind_of_record_reaches_the_other_node(nodes: Nodes) -> None:
    caller = a_caller(nodes.one, Role.MANAGER)
    with nodes.two.database.change() as unit:
        assert caller.service_id is not None
        assert unit.service_id(caller.service_id) is not None
        unit.put_sealed_value("a name", b"a value")
        unit.remove_service_id(caller.service_id)
    key = a_root_key(nodes.one)
    with nodes.one.database.change() as unit:
        assert b"a value" == unit.sealed_value("a name")
        assert not unit.service_ids()
        unit.remove_key(key)
    nodes.two.database.follow()

    assert state(nodes.one) == state(nodes.two)
    for house in nodes.both:
        house.database.verify()


def test_a_refused_change_is_told_to_nobody(nodes: Nodes) -> None:
    before = dict(nodes.shared.lines)

    def act() -> None:
        with nodes.one.database.change() as unit:
            unit.put_sealed_value("a name", b"a value")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        act()

    assert before == nodes.shared.lines


def test_who_comes_second_has_changed_nothing_and_begins_anew(nodes: Nodes) -> None:
    """Between its look at the log and its line another node's change is put."""

    def act() -> None:
        with nodes.two.database.change() as unit:
            unit.put_sealed_value("count", bytes([(unit.sealed_value("count") or b"\0")[0] + 1]))

    def other() -> None:
        with nodes.one.database.change() as unit:
            unit.put_sealed_value("count", b"\x07")

    nodes.logs[1].before_append = other
    with pytest.raises(Overtaken):
        act()
    nodes.logs[1].before_append = other
    nodes.two.settled(act)

    nodes.one.database.follow()
    for house in nodes.both:
        with house.reading() as reading:
            assert b"\x08" == reading.sealed_value("count")


def test_two_nodes_count_together_and_lose_nothing(nodes: Nodes) -> None:
    """Each in a thread of its own, as fast as it goes."""

    def count(house: House) -> None:
        def act() -> None:
            with house.database.change() as unit:
                said = int.from_bytes(unit.sealed_value("count") or b"", "big")
                unit.put_sealed_value("count", (said + 1).to_bytes(4, "big"))

        for _ in range(25):
            house.settled(act)

    threads = [threading.Thread(target=count, args=(house,)) for house in nodes.both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for house in nodes.both:
        house.database.follow()
        with house.reading() as reading:
            assert 50 == int.from_bytes(reading.sealed_value("count") or b"", "big")


# Journals.


def test_what_only_notes_waits_for_no_log_and_stays_on_its_node(nodes: Nodes) -> None:
    """A wrap is written down where it was asked for; the act of a person on every node."""
    key = a_root_key(nodes.one)
    nodes.two.database.follow()
    appends, revision = nodes.logs[1].appends, state(nodes.two)[0]
    actions.wrap(nodes.two, a_call(), key.identifier, None)
    assert (appends, revision) == (nodes.logs[1].appends, state(nodes.two)[0])
    lifecycle.disable(nodes.two, a_call(), key.identifier)
    nodes.one.database.follow()

    of_one, of_two = ([entry["action"] for entry in journal_of(house)] for house in nodes.both)
    assert "kms.secrets.wrap" in of_two
    assert "kms.secrets.wrap" not in of_one
    assert "kms.secrets.disable" == of_one[-1] == of_two[-1]


def test_a_journal_that_is_put_back_on_one_node_is_noticed(nodes: Nodes) -> None:
    """The anchor counts a node's own notes, too, though they make no change."""
    key = a_root_key(nodes.one)
    path = database_path(nodes.directory / "two" / "keystore")
    nodes.two.database.follow()
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(":memory:")) as target:
        source.backup(target)
        older = target.serialize()
    actions.wrap(nodes.two, a_call(), key.identifier, None)
    nodes.two.close()
    path.write_bytes(older)

    with pytest.raises(KeystoreRolledBack):
        nodes.again(1)


# Crashes and lost answers.


class Crash(Exception):
    """The process is gone here; what was not durable is lost."""


def crash() -> None:
    raise Crash


@pytest.mark.parametrize("place", ["before the line", "after the line"])
def test_a_crash_around_the_line_leaves_all_or_nothing(nodes: Nodes, place: str) -> None:
    if place == "before the line":
        nodes.logs[0].before_append = crash
    else:
        nodes.logs[0].after_append = crash
    with pytest.raises(Crash):
        a_root_key(nodes.one)
    nodes.one.close()
    nodes.one = nodes.again(0)
    nodes.two.database.follow()

    for house in nodes.both:
        with house.reading() as reading:
            assert (place == "after the line") == bool(reading.select("1 = 1", ()))
    assert state(nodes.one) == state(nodes.two)


def test_an_answer_that_was_lost_is_found_in_the_log(nodes: Nodes) -> None:
    """It is this node's own line, so the change is made, once."""
    nodes.logs[0].lost_answers = 1
    key = a_root_key(nodes.one)

    assert there(nodes.one, key)
    nodes.two.database.follow()
    assert state(nodes.one) == state(nodes.two)


def test_a_change_that_nobody_can_tell_of_is_known_later(nodes: Nodes) -> None:
    nodes.logs[0].lost_answers = 1

    def cut() -> None:
        nodes.logs[0].cut = True

    nodes.logs[0].after_append = cut
    with pytest.raises(ChangeUnsettled):
        a_root_key(nodes.one)
    nodes.logs[0].cut = False
    nodes.one.database.follow()

    with nodes.one.reading() as reading:
        assert 1 == len(reading.select("1 = 1", ()))


def test_material_of_a_change_that_may_be_made_is_not_destroyed(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an HSM that nodes share it would be gone under the other node's hands."""
    destroyed: list[object] = []
    keeper = nodes.one.keepers[nodes.one.keeper]
    monkeypatch.setattr(type(keeper), "destroy", lambda *told: destroyed.append(told))

    def cut() -> None:
        nodes.logs[0].cut = True

    nodes.logs[0].lost_answers, nodes.logs[0].after_append = 1, cut
    with pytest.raises(ChangeUnsettled):
        creation.create(nodes.one, a_call(), creation.NewKey(name="root", extractable=False))
    assert not destroyed

    nodes.logs[0].cut, nodes.logs[0].lost_answers, nodes.logs[0].late = False, 0, 1
    with pytest.raises(ChangeUnsettled):
        creation.create(nodes.one, a_call(), creation.NewKey(name="root", extractable=False))
    assert not destroyed
    nodes.logs[0].after_append = crash
    with pytest.raises(Crash):
        creation.create(nodes.one, a_call(), creation.NewKey(name="root", extractable=False))
    assert not destroyed
    nodes.logs[0].before_append = crash
    with pytest.raises(Crash):
        creation.create(nodes.one, a_call(), creation.NewKey(name="root", extractable=False))
    assert destroyed


def test_a_database_that_cannot_commit_what_is_in_the_log_makes_up_for_it(nodes: Nodes) -> None:
    """The disk is full between the two: whoever asked is told that nobody knows, and the node reads it in the log."""
    path = database_path(nodes.directory / "one" / "keystore")
    made = nodes.one.database._commit_published

    def full(connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA query_only = ON")
        connection.execute("ROLLBACK")
        connection.execute("PRAGMA query_only = OFF")
        made(connection)

    nodes.one.database._commit_published = full  # type: ignore[method-assign]
    with pytest.raises(ChangeUnsettled):
        a_root_key(nodes.one)
    nodes.one.database._commit_published = made  # type: ignore[method-assign]
    nodes.one.database.follow()

    with nodes.one.reading() as reading:
        assert 1 == len(reading.select("1 = 1", ()))
    assert path.exists()


# A node that sees nothing.


def test_a_node_that_sees_nothing_for_a_second_decides_nothing(nodes: Nodes) -> None:
    """What it has may be over: the other node may have disabled every key meanwhile."""
    key = a_root_key(nodes.one)
    nodes.two.database.follow()
    nodes.logs[1].cut = True
    with pytest.raises(LogUnavailable):
        a_root_key(nodes.two)
    time.sleep(SOON + 0.1)

    with pytest.raises(KeystoreBehind, match="has not seen"):
        kept(nodes.two, key)
    with pytest.raises(KeystoreBehind), nodes.two.database.noting():
        pass
    with pytest.raises(LogUnavailable):
        nodes.two.settled(lambda: kept(nodes.two, key))
    lifecycle.disable(nodes.one, a_call(), key.identifier)
    nodes.logs[1].cut = False
    assert nodes.two.settled(lambda: kept(nodes.two, key)).state is KeyState.SUSPENDED
    assert there(nodes.one, key)


# Whoever writes to the catalog has no keystore.


def forged(nodes: Nodes, revision: int) -> str:
    """As somebody makes it who knows the form, and has another keystore."""
    elsewhere = nodes.directory / "elsewhere"
    elsewhere.mkdir()
    other = a_house(elsewhere)
    change = ChangeSeal(nodes.one.keystore, "embedded").read(Line(revision, nodes.shared.lines[revision]))
    line = ChangeSeal(other.keystore, "embedded").write(change)
    other.close()
    return line.text


def flipped(nodes: Nodes, revision: int) -> str:
    text = nodes.shared.lines[revision]
    return text[:40] + ("A" if text[40] != "A" else "B") + text[41:]


def of_another_key_manager(nodes: Nodes, revision: int) -> str:
    change = ChangeSeal(nodes.one.keystore, "embedded").read(Line(revision, nodes.shared.lines[revision]))
    return ChangeSeal(nodes.one.keystore, "another").write(change).text


def the_one_before(nodes: Nodes, revision: int) -> str:
    return nodes.shared.lines[revision - 1]


def nothing(nodes: Nodes, revision: int) -> str:
    return ""


@pytest.mark.parametrize("forge", [forged, flipped, of_another_key_manager, the_one_before, nothing])
def test_a_line_that_no_node_has_written_is_refused(
    nodes: Nodes, forge: Callable[[Nodes, int], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key manager of that node stops, and goes on once the log is as it was."""
    stand_still(nodes, monkeypatch)
    key = a_root_key(nodes.one)
    nodes.two.database.follow()
    lifecycle.disable(nodes.one, a_call(), key.identifier)
    last = max(nodes.shared.lines)
    right, nodes.shared.lines[last] = nodes.shared.lines[last], forge(nodes, last)
    before = state(nodes.two)

    with pytest.raises(KeystoreDiverged):
        nodes.two.database.follow()
    assert before == state(nodes.two)
    with pytest.raises(KeystoreDiverged):
        kept(nodes.two, key)
    with pytest.raises(KeystoreDiverged):
        a_root_key(nodes.two)

    nodes.shared.lines[last] = right
    nodes.two.database.follow()
    assert KeyState.SUSPENDED is kept(nodes.two, key).state


def test_lines_that_change_places_are_refused(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_still(nodes, monkeypatch)
    for _ in range(2):
        a_root_key(nodes.one)
    lines, last = nodes.shared.lines, max(nodes.shared.lines)
    lines[last], lines[last - 1] = lines[last - 1], lines[last]

    with pytest.raises(KeystoreDiverged, match="was moved"):
        nodes.two.database.follow()


def test_a_line_that_is_taken_away_is_noticed(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the middle: the next one does not follow. From the end: whoever writes next has no line before his."""
    stand_still(nodes, monkeypatch)
    for _ in range(3):
        a_root_key(nodes.one)
    lines, last = nodes.shared.lines, max(nodes.shared.lines)
    middle = lines.pop(last - 1)
    with pytest.raises(KeystoreDiverged, match="the next one that the log"):
        nodes.two.database.follow()

    lines[last - 1] = middle
    nodes.two.database.follow()
    lines.pop(last)
    with pytest.raises(KeystoreDiverged):
        a_root_key(nodes.one)
    nodes.two.close()
    with pytest.raises(KeystoreDiverged, match="keyrack key-manager accept"):
        nodes.again(1)


def test_a_line_of_another_history_is_refused(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The catalog goes back, both nodes go on from different places: each line is right, and follows nothing here."""
    stand_still(nodes, monkeypatch)
    a_root_key(nodes.one)
    taken = nodes.shared.lines.pop(max(nodes.shared.lines))
    a_root_key(nodes.two)
    a_root_key(nodes.two)
    assert taken not in nodes.shared.lines.values()

    with pytest.raises(KeystoreDiverged, match="other records"):
        nodes.one.database.follow()


@pytest.mark.parametrize(
    "fault",
    [
        {"before": "0" * 64},
        {"after": "0" * 64},
        {"acts": ()},
        {"acts": (("drop table", "keys"),)},
        {"acts": (("put key",),)},
        {"acts": (("put key", "{}"),)},
        {"acts": (("remove key", "no-such-key"),)},
        {"acts": (("note", "{}"),)},
        {"form": 2},
        {"revision": 1},
    ],
    ids=str,
)
def test_a_change_that_does_not_fit_is_not_made(
    nodes: Nodes, fault: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though a node of this keystore has written it: a newer one, or one with other records."""
    stand_still(nodes, monkeypatch)
    a_root_key(nodes.one)
    last, before = max(nodes.shared.lines), state(nodes.two)
    seal = ChangeSeal(nodes.one.keystore, "embedded")
    change = replace(seal.read(Line(last, nodes.shared.lines[last])), **fault)  # type: ignore[arg-type]
    nodes.shared.lines[last] = seal.write(change).text

    with pytest.raises(KeystoreDiverged):
        nodes.two.database.follow()
    assert before == state(nodes.two)
    nodes.two.database.verify()


def test_a_line_that_is_played_again_does_nothing(nodes: Nodes) -> None:
    key = a_root_key(nodes.one)
    lifecycle.disable(nodes.one, a_call(), key.identifier)
    nodes.two.database.follow()
    at = state(nodes.two)
    lines = [Line(*each) for each in sorted(nodes.shared.lines.items())]
    assert nodes.two.database._following is not None

    nodes.two.database._following._replay(lines)

    assert at == state(nodes.two)


def test_the_log_tells_nobody_a_name(nodes: Nodes) -> None:
    """Not what a root key is called, nor whose API key it is."""
    creation.create(nodes.one, a_call(), creation.NewKey(name="a telling name", extractable=False))
    a_caller(nodes.one, Role.MANAGER)
    everything = b"".join(base64.b64decode(text) for text in nodes.shared.lines.values())
    assert b"telling" not in everything
    assert b"ServiceId" not in everything


# Copies, and being left behind.


def test_a_copy_from_before_catches_up(nodes: Nodes) -> None:
    nodes.two.close()
    key = a_root_key(nodes.one)
    lifecycle.disable(nodes.one, a_call(), key.identifier)
    nodes.two = nodes.again(1)

    assert KeyState.SUSPENDED is kept(nodes.two, key).state


def test_the_log_is_cut_and_who_is_behind_it_needs_a_copy(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "KEPT", 10)
    monkeypatch.setattr(following, "FORGET_EVERY", 5)
    nodes.two.close()
    for _ in range(25):
        a_root_key(nodes.one)

    assert 10 <= len(nodes.shared.lines) < 20
    with pytest.raises(KeystoreDiverged, match="keyrack node refresh"):
        nodes.again(1)
    nodes.one.close()
    nodes.one = nodes.again(0)


def test_a_database_that_is_no_copy_does_not_join(tmp_path: Path, nodes: Nodes) -> None:
    """Of the same keystore, and changed before it was shared."""
    nodes.one.close()
    stranger = a_copy(nodes.directory / "one", tmp_path / "stranger")
    alone = opened_again(stranger)
    with alone.database.unit(published=True) as unit:
        unit.put_sealed_value("a name", b"a value")
    alone.close()
    nodes.one = nodes.again(0)
    a_root_key(nodes.one)

    with pytest.raises(KeystoreDiverged, match="no copy of theirs"):
        opened_again(stranger, log=nodes.shared.of_a_node())


def test_a_copy_without_its_log_changes_nothing(nodes: Nodes) -> None:
    """Somebody has named a SQLite catalog again, and forgotten the other node."""
    key = a_root_key(nodes.one)
    nodes.one.close()
    nodes.one = opened_again(nodes.directory / "one")

    assert there(nodes.one, key)
    actions.wrap(nodes.one, a_call(), key.identifier, None)
    with pytest.raises(KeystoreDiverged, match="keyrack key-manager accept"):
        lifecycle.disable(nodes.one, a_call(), key.identifier)


def test_an_administrator_may_leave_the_others(nodes: Nodes) -> None:
    key = a_root_key(nodes.one)
    Database.accept(database_path(nodes.directory / "one" / "keystore"), nodes.one.keystore)
    nodes.one.close()
    nodes.one = opened_again(nodes.directory / "one")

    lifecycle.disable(nodes.one, a_call(), key.identifier)


def test_an_administrator_may_have_the_log_begin_anew(nodes: Nodes) -> None:
    """The catalog came back from a backup, and is behind the nodes: one of them counts."""
    key = a_root_key(nodes.one)
    nodes.two.database.follow()
    nodes.one.close()
    nodes.shared.lines.pop(max(nodes.shared.lines))
    with pytest.raises(KeystoreDiverged):
        nodes.again(0)

    keystore = nodes.two.keystore
    Database.accept(database_path(nodes.directory / "one" / "keystore"), keystore, nodes.shared.of_a_node())
    nodes.one = nodes.again(0)

    lifecycle.disable(nodes.one, a_call(), key.identifier)
    nodes.two.database.follow()
    assert state(nodes.one) == state(nodes.two)


def test_two_processes_of_one_node_begin_the_log_together(tmp_path: Path) -> None:
    """And see one another's changes in the file and in the log, once."""
    a_house(tmp_path).close()
    shared = SharedLog()
    houses: list[House] = []
    threads = [
        threading.Thread(target=lambda: houses.append(opened_again(tmp_path, log=shared.of_a_node()))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 4 == len(houses)
    assert 1 == len(shared.lines)
    key = a_root_key(houses[0])
    lifecycle.disable(houses[1], a_call(), key.identifier)
    assert KeyState.SUSPENDED is kept(houses[2], key).state
    for house in houses:
        house.close()
