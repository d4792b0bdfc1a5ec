"""An older catalog is put back, by a restore or behind our back: nobody gets again what was destroyed or removed.

Detected before the first client is served, read-only until it is accounted for, keys that were made later had back from
the key manager. Each promise has its control: the same play without the protection, in which it is broken.
"""

import shutil
import ssl
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from keyrack.spec.enumerations import CryptographicAlgorithm, ObjectType, Operation
from keyrack.spec.tags import Tag
from keyrack.testing.catalogs import over_postgres
from keyrack.testing.certificates import Identity, client
from keyrack.testing.client import Client, Refused
from keyrack.testing.ledger import material
from keyrack.testing.process import Deployment
from keyrack.testing.ttlv import Item, enumeration, integer, structure, text

pytestmark = pytest.mark.skipif(over_postgres(), reason="PostgreSQL has backups of its own: docs/backup.md")

SABOTAGE = Path(__file__).parent / "sabotage.py"
KEPT_WITHIN = 5.0
"""Seconds in which every change has reached the file beside the catalog."""


def create() -> tuple[Item, Item]:
    def attribute(title: str, value: Item) -> Item:
        return structure(Tag.ATTRIBUTE, text(Tag.ATTRIBUTE_NAME, title), value)

    return enumeration(Tag.OBJECT_TYPE, ObjectType.SYMMETRIC_KEY), structure(
        Tag.TEMPLATE_ATTRIBUTE,
        attribute("Cryptographic Algorithm", enumeration(Tag.ATTRIBUTE_VALUE, CryptographicAlgorithm.AES)),
        attribute("Cryptographic Length", integer(Tag.ATTRIBUTE_VALUE, 256)),
        attribute("Cryptographic Usage Mask", integer(Tag.ATTRIBUTE_VALUE, 12)),
    )


def uid(identifier: str) -> Item:
    return text(Tag.UNIQUE_IDENTIFIER, identifier)


@dataclass(slots=True)
class Play:
    """A deployment with two instances and a client of each, one more client, and what becomes of its keys."""

    deployment: Deployment
    contexts: dict[str, ssl.SSLContext]
    extra: Identity
    address: tuple[str, int] = ("", 0)
    kept: dict[str, str] = field(default_factory=dict)
    doomed: dict[str, str] = field(default_factory=dict)
    late: dict[str, str] = field(default_factory=dict)
    gone: str = ""
    """Made and destroyed after the copy."""
    bytes_: dict[str, bytes] = field(default_factory=dict)

    def serve(self) -> None:
        self.address = self.deployment.start()

    def ask(self, who: str, *said: Any) -> Item:
        with Client(self.address, self.contexts[who]) as talking:
            return talking.ask(*said)

    def make(self, who: str) -> str:
        made = self.ask(who, Operation.CREATE, *create()).string(Tag.UNIQUE_IDENTIFIER)
        self.bytes_[made] = material(self.ask(who, Operation.GET, uid(made)))
        return made

    def get(self, who: str, key: str) -> bytes | str:
        """The bytes, or the refusal."""
        try:
            return material(self.ask(who, Operation.GET, uid(key)))
        except Refused as error:
            return str(error)

    def before(self) -> None:
        self.kept = {who: self.make(who) for who in "ab"}
        self.doomed = {who: self.make(who) for who in "ab"}
        # Made and never fetched: its first Get notes that it was handed out, which is no reason to refuse it.
        fresh = self.ask("a", Operation.CREATE, *create()).string(Tag.UNIQUE_IDENTIFIER)
        self.kept["fresh"] = fresh

    def after(self) -> None:
        """What comes after the copy."""
        self.late = {who: self.make(who) for who in "ab"}
        self.gone = self.make("b")
        for who, key in (("a", self.doomed["a"]), ("b", self.doomed["b"]), ("b", self.gone)):
            self.ask(who, Operation.DESTROY, uid(key))
        self.deployment.run("cert", "remove", "a", self.extra.fingerprint[:16], "--yes")
        self.deployment.run("instance", "describe", "a", "told after the copy")
        self.wait(lambda: "instance.describe" in self.changes.read_text())
        self.deployment.run("audit", "checkpoint")

    @property
    def changes(self) -> Path:
        return self.deployment.directory / "journal" / "changes.jsonl"

    @property
    def catalog(self) -> Path:
        return self.deployment.directory / "catalog.db"

    @staticmethod
    def wait(told: Callable[[], bool]) -> None:
        until = time.monotonic() + KEPT_WITHIN
        while not told():
            assert time.monotonic() < until, "it was not kept in time"
            time.sleep(0.05)

    def put_back(self, copy: Path) -> None:
        for path in self.catalog.parent.glob("catalog.db*"):
            path.unlink()
        shutil.copy(copy, self.catalog)

    def agree(self, *words: str) -> Any:
        done = self.deployment.run("backup", "agree", *words, "--json", check=False)
        return done.returncode, done.stdout + done.stderr

    def assert_nothing_resurrected(self) -> None:
        for who in "ab":
            assert "destroyed" in str(self.get(who, self.doomed[who]))
        with pytest.raises((OSError, Refused)):
            self.ask("extra", Operation.GET, uid(self.kept["a"]))

    def assert_served(self) -> None:
        for who in "ab":
            assert self.get(who, self.kept[who]) == self.bytes_[self.kept[who]]
        assert len(self.get("a", self.kept["fresh"])) == 32

    def assert_read_only(self) -> None:
        with pytest.raises(Refused, match="keyrack backup agree"):
            self.ask("a", Operation.CREATE, *create())
        with pytest.raises(Refused, match="keyrack backup agree"):
            self.ask("a", Operation.DESTROY, uid(self.kept["a"]))
        done = self.deployment.run("instance", "create", "other", check=False)
        assert (done.returncode, "keyrack backup agree" in done.stderr) == (1, True)


@pytest.fixture
def play(tmp_path: Path) -> Play:
    deployment = Deployment(directory=tmp_path / "d").initialise()
    contexts = deployment.furnish()
    extra = client(deployment.authority, "extra")
    deployment.add_client("a", extra)
    return Play(deployment, {**contexts, "extra": deployment.context(extra)}, extra)


def copied(play: Play, to: Path) -> Path:
    """Serve, make keys, stop, and copy the file as anybody would."""
    play.serve()
    play.before()
    play.deployment.stop()
    shutil.copy(play.catalog, to)
    return to


def test_a_restore_brings_back_what_was_lost_and_nothing_that_was_destroyed(play: Play) -> None:
    """The whole way: back up while serving, restore, read-only, agree, and all is as it was acknowledged."""
    run = play.deployment.run
    play.serve()
    try:
        play.before()
        backup = play.deployment.read("backup", "create")["file"]
        play.after()
        refused = run("backup", "restore", backup, "--yes", check=False)
        assert (refused.returncode, "stop it" in refused.stderr) == (1, True)
    finally:
        play.deployment.stop()
    asked = run("backup", "restore", backup, check=False)
    assert (asked.returncode, "--yes" in asked.stderr) == (2, True)
    restored = play.deployment.read("backup", "restore", backup, "--yes")
    assert all(Path(each).exists() for each in restored["kept_aside"])
    assert len(restored["kept_aside"]) >= 1

    play.serve()
    try:
        play.assert_nothing_resurrected()
        play.assert_served()
        play.assert_read_only()
        assert "rolled back" in run("status", check=False).stdout
        code, told = play.agree()
        assert (code, "1 key and 1 act" in told) == (3, True)
        assert "restored" in run("doctor", check=False).stdout  # It goes on until somebody has said what is lost.
        code, told = play.agree("--accept-loss", "1 key and 1 act")
        assert (code, '"ended": true' in told) == (0, True)
        play.assert_nothing_resurrected()
        play.assert_served()
        assert play.get("b", play.late["b"]) == play.bytes_[play.late["b"]]
        assert "destroyed" in str(play.get("b", play.gone))
        play.make("a")
        verified = run("audit", "verify")
        assert "the catalog was put back to an older one" in verified.stdout
        run("recover", "prove", "--rate", "1000")
    finally:
        play.deployment.stop()
    play.serve()  # And it stays accounted for.
    play.make("a")
    play.deployment.stop()


def test_a_copy_that_is_put_back_behind_our_back_is_noticed_at_the_start(play: Play, tmp_path: Path) -> None:
    """Nobody is served what was destroyed, not even at once; where no record tells which it is, nothing at all."""
    copy = copied(play, tmp_path / "copy.db")
    play.serve()
    play.after()
    play.deployment.stop()
    play.put_back(copy)
    play.serve()
    try:
        play.assert_nothing_resurrected()
        play.assert_served()
        play.assert_read_only()
    finally:
        play.deployment.stop()

    # The same without the file that names what was destroyed; a checkpoint has counted it.
    play.put_back(copy)
    play.changes.unlink()
    play.serve()
    try:
        for who in "ab":
            assert "no record tells which" in str(play.get(who, play.kept[who]))
        code, told = play.agree()
        assert (code, "what nobody knows" in told) == (3, True)
    finally:
        play.deployment.stop()


def test_without_the_look_at_the_start_a_destroyed_key_is_served(play: Play, tmp_path: Path) -> None:
    """The control: what keeps destroyed keys destroyed, and the catalog unchanged, is that look."""
    copy = copied(play, tmp_path / "copy.db")
    play.serve()
    play.after()
    play.deployment.stop()
    play.put_back(copy)
    play.deployment.command = (sys.executable, str(SABOTAGE), "unnoticed")
    play.serve()
    try:
        assert play.get("a", play.doomed["a"]) == play.bytes_[play.doomed["a"]]
        play.make("a")
    finally:
        play.deployment.stop()


def test_a_rebuilt_catalog_does_not_bring_back_what_was_destroyed(play: Play) -> None:
    """The key manager says of each key that it is there; that it was destroyed was kept beside the catalog."""
    play.serve()
    play.before()
    play.ask("b", Operation.DESTROY, uid(play.doomed["b"]))
    play.deployment.stop()
    for path in play.catalog.parent.glob("catalog.db*"):
        path.unlink()

    rebuilt = play.deployment.read("rebuild", "--from-key-manager", "--instance-name", "b")
    assert (rebuilt["keys"], rebuilt["states_known"], rebuilt["rollback_mode"]) == (2, True, False)
    for path in play.deployment.directory.glob("client-*.pem"):
        if path.read_bytes() != play.extra.pem:
            play.deployment.run("cert", "add", "b", str(path))
    play.serve()
    try:
        assert "destroyed" in str(play.get("b", play.doomed["b"]))
        assert play.get("b", play.kept["b"]) == play.bytes_[play.kept["b"]]
        play.make("b")
    finally:
        play.deployment.stop()


@pytest.mark.slow
def test_a_thousand_acts_after_the_copy_are_accounted_for(play: Play, tmp_path: Path) -> None:
    """None of what was destroyed is served, and each key that was made is had back from the key manager to the byte."""
    copy = copied(play, tmp_path / "copy.db")
    play.serve()
    made, gone = [play.make("b") for _ in range(300)], [play.make("b") for _ in range(130)]
    for key in (*gone, play.doomed["a"], play.doomed["b"]):
        play.ask("b" if key != play.doomed["a"] else "a", Operation.DESTROY, uid(key))
    play.deployment.run("cert", "remove", "a", play.extra.fingerprint[:16], "--yes")
    play.deployment.stop()
    play.put_back(copy)
    play.serve()
    try:
        play.assert_nothing_resurrected()
        play.assert_read_only()
        code, told = play.agree()
        assert (code, '"keys_entered": 430' in told) == (0, True)
        assert [key for key in made if play.get("b", key) != play.bytes_[key]] == []
        assert [key for key in gone if "destroyed" not in str(play.get("b", key))] == []
        play.assert_nothing_resurrected()
    finally:
        play.deployment.stop()
