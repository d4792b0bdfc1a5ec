"""Another node, from the user's end: invited on the first, joined on a second directory, over a real PostgreSQL."""

import asyncio
import io
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from keyrack.domain.secret import Secret
from keyrack.embedded import creation, lifecycle
from keyrack.embedded.call import KEYRACK, Call
from keyrack.embedded.keys import KeyState
from keyrack.embedded.root_keys.unlock import LEAST_MEMORY, KeyFile, Passphrase
from keyrack.embedded.store import following
from keyrack.embedded.tenancy import instances
from keyrack.ports.catalog import Unit
from keyrack.ports.cluster import ClusterChanges, Node
from keyrack.service.office.administration import Administrator
from keyrack.shell import deployment, pki
from keyrack.shell.catalogs import open_catalog
from keyrack.shell.cli import run
from keyrack.shell.config.problems import ConfigError
from keyrack.shell.config.whole import Config, load
from keyrack.shell.deployment import Plan
from keyrack.shell.nodes import invitations
from keyrack.shell.nodes.invitations import BadInvitation, Copied, Invitation
from keyrack.shell.nodes.inviting import configured
from keyrack.shell.office import open_house_of
from keyrack.testing.postgres_catalogs import Fresh

PASSPHRASE = "a passphrase that is long"
SECRET_FILE = "secret words of an unlock that others read"


@dataclass
class Machine:
    """Where one node is, and where commands are typed."""

    directory: Path
    capsys: pytest.CaptureFixture[str]

    @property
    def file(self) -> Path:
        return self.directory / "keyrack.toml"

    @property
    def config(self) -> Config:
        return load(self.file, {})

    def keyrack(self, *words: str | Path, code: int = 0) -> str:
        """What the command says: its answer, or why it fails."""
        got = run([str(word) for word in words])
        told = self.capsys.readouterr()
        assert code == got, told.err
        return told.err if code else told.out


@pytest.fixture
def passphrase(tmp_path: Path) -> Path:
    file = tmp_path / "passphrase"
    file.write_text(f"{PASSPHRASE}\n")
    file.chmod(0o600)
    return file


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """As dear as the least that is allowed, and nobody at a terminal."""
    monkeypatch.setattr("keyrack.embedded.root_keys.unlock.MEMORY", LEAST_MEMORY)
    monkeypatch.setattr("keyrack.shell.nodes.inviting._server_key", lambda: pki.make_key("ec-p256"))
    prepare = Passphrase.prepare
    monkeypatch.setattr(Passphrase, "prepare", lambda self: {**prepare(self), "memory_kib": LEAST_MEMORY})
    monkeypatch.setattr(sys, "stdin", io.StringIO())


@pytest.fixture
def first(tmp_path: Path, postgres: Fresh, capsys: pytest.CaptureFixture[str]) -> Machine:
    """The first node, whose catalog is in PostgreSQL."""
    machine = Machine(tmp_path / "first", capsys)
    made(machine.directory)
    text = machine.file.read_text().replace("sqlite:///catalog.db", postgres.url)
    machine.file.write_text(text.replace("[deployment]", '[deployment]\nnode = "node-1"'))
    (machine.directory / "catalog.db").unlink()
    return machine


def made(directory: Path) -> None:
    plan = Plan(
        deployment="keyrack-1",
        directory=directory,
        config=directory / "keyrack.toml",
        names=["kms1.example.com"],
        host="127.0.0.1",
        port=0,
        key_manager=deployment.embedded_tables('{ key_file = "keystore.key" }'),
        opener=KeyFile(directory / "keystore.key"),
        authority_key="ec-p256",
        by=Administrator("local-user-test"),
    )
    deployment.make(plan, lambda: pki.make_key("ec-p256"))


@pytest.fixture
def second(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Machine:
    return Machine(tmp_path / "second", capsys)


@pytest.fixture
def invited(first: Machine, passphrase: Path, tmp_path: Path) -> Path:
    """An invitation for node-2."""
    return invite(first, passphrase, tmp_path / "node-2.keyrack")


def invite(first: Machine, passphrase: Path, out: Path, *more: str) -> Path:
    words = ("--name", "kms2.example.com", "--out", out, "--passphrase-file", passphrase, "-c", first.file)
    first.keyrack("node", "invite", "node-2", *words, *more)
    return out


def join(second: Machine, invitation: Path, passphrase: Path, *more: str | Path, code: int = 0) -> str:
    words = (invitation, "--directory", second.directory, "--passphrase-file", passphrase, *more)
    return second.keyrack("node", "join", *words, code=code)


async def alive(config: Config, name: str, *, ago: int = 0) -> None:
    """A node of this name has written into the catalog."""
    at = int(time.time()) - ago
    node = Node(name=name, token=name, version="1", schema=10, address="kms:5696", started_at=at, seen_at=at)
    catalog = await open_catalog(config, "test")
    await catalog.commit(Unit(entries=(), cluster=ClusterChanges(pulse=node)))
    await catalog.close()


def test_another_node_has_the_same_key_manager(
    first: Machine, second: Machine, invited: Path, passphrase: Path
) -> None:
    """Its own certificate and name, everything else is the first one's; what one of them does the other does."""
    told = join(second, invited, passphrase)

    assert "This is node node-2 of keyrack-1" in told
    assert "second server of the key provider" in told
    assert "node-2" == second.config.deployment.node
    same = first.config.model_copy(update={"deployment": second.config.deployment})
    assert same == second.config
    server = pki.read_authority(second.directory / "tls/server.pem", second.directory / "tls/server.key")
    assert pki.spaced(server.fingerprint) in told
    assert server.fingerprint != pki.fingerprint_of_file(first.directory / "tls/server.pem")
    assert not (second.directory / "tls/ca.key").exists()
    one, two = open_house_of(first.config), open_house_of(second.config)
    call = Call(caller=KEYRACK, instance=instances(one)[0].identifier)
    key = creation.create(one, call, creation.NewKey(name="root", extractable=False))
    lifecycle.disable(two, call, key.identifier)
    one.database.follow()
    with one.reading() as reading:
        assert KeyState.SUSPENDED is reading.key(call.instance, key.identifier).state
    one.close()
    two.close()


def test_every_file_of_a_node_is_its_owners_alone(second: Machine, invited: Path, passphrase: Path) -> None:
    join(second, invited, passphrase)

    assert 0o600 == invited.stat().st_mode & 0o777
    for path in second.directory.rglob("*"):
        assert not path.stat().st_mode & 0o077, path


def test_both_acts_are_in_the_journal(first: Machine, second: Machine, invited: Path, passphrase: Path) -> None:
    join(second, invited, passphrase)

    told = json.loads(first.keyrack("audit", "list", "--json", "-c", first.file))
    text = json.dumps(told)
    assert "node.invite" in text or "kmip-node.invite" in text
    assert "node.join" in text or "kmip-node.join" in text


@pytest.mark.parametrize("words", [["node-2"], ["node-2", "--name", "a b"], ["Node 2", "--name", "kms2"]])
def test_an_invitation_needs_names(first: Machine, passphrase: Path, words: list[str]) -> None:
    first.keyrack("node", "invite", *words, "--passphrase-file", passphrase, "-c", first.file, code=2)


def test_a_short_passphrase_is_refused(first: Machine, passphrase: Path, tmp_path: Path) -> None:
    passphrase.write_text("short\n")
    words = ("--name", "kms2", "--out", tmp_path / "it", "--passphrase-file", passphrase, "-c", first.file)

    assert "too short" in first.keyrack("node", "invite", "node-2", *words, code=2)
    assert not (tmp_path / "it").exists()


def test_a_sqlite_catalog_is_for_one_machine(tmp_path: Path, passphrase: Path, second: Machine) -> None:
    """The command names the one that moves it."""
    made(second.directory)
    words = ("node", "invite", "node-2", "--name", "kms2", "--passphrase-file", passphrase, "-c", second.file)

    assert "keyrack migrate-catalog --to postgresql://" in second.keyrack(*words, code=1)


def test_a_name_that_is_taken_is_refused(first: Machine, second: Machine, passphrase: Path, tmp_path: Path) -> None:
    """On the first node and on the new one; the name of one that is dead for a minute is free."""
    words = ("--name", "kms2", "--passphrase-file", passphrase, "-c", first.file)
    assert "already" in first.keyrack("node", "invite", "node-1", *words, code=1)
    invited = invite(first, passphrase, tmp_path / "early.keyrack")
    asyncio.run(alive(first.config, "node-2"))
    assert "already" in first.keyrack("node", "invite", "node-2", *words, code=1)
    assert "serves already, at kms:5696" in join(second, invited, passphrase, code=1)
    assert not second.directory.exists()

    asyncio.run(alive(first.config, "node-2", ago=90))
    join(second, invited, passphrase)


def test_a_wrong_passphrase_opens_nothing(second: Machine, invited: Path, passphrase: Path) -> None:
    passphrase.write_text("another passphrase, as long\n")

    assert "the passphrase is not the one" in join(second, invited, passphrase, code=1)
    assert not second.directory.exists()


def test_what_is_there_is_never_overwritten(second: Machine, invited: Path, passphrase: Path) -> None:
    second.directory.mkdir()
    mine = second.directory / "keystore"
    mine.write_text("mine")

    assert "is there already" in join(second, invited, passphrase, code=1)
    assert "mine" == mine.read_text()
    assert [mine] == list(second.directory.iterdir())


def test_a_catalog_of_another_deployment_is_refused(
    first: Machine, second: Machine, invited: Path, passphrase: Path, postgres: Fresh
) -> None:
    """The database behind the address was made anew for somebody else."""
    postgres.cluster.sql("UPDATE deployment SET identifier = 'another'", database=postgres.name)

    assert "'another'" in join(second, invited, passphrase, code=2)
    assert not second.directory.exists()


def test_a_catalog_that_is_away_is_told_of(
    second: Machine, invited: Path, passphrase: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEYRACK_CATALOG__URL", "postgresql://keyrack@127.0.0.1:1/keyrack?sslmode=disable")

    assert "127.0.0.1:1/keyrack" in join(second, invited, passphrase, code=1)
    assert not second.directory.exists()


def test_an_invitation_that_is_too_old_is_refused(
    first: Machine, second: Machine, invited: Path, passphrase: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log does not reach back to its copy."""
    monkeypatch.setattr(following, "KEPT", 2)
    monkeypatch.setattr(following, "FORGET_EVERY", 1)
    house = open_house_of(first.config)
    call = Call(caller=KEYRACK, instance=instances(house)[0].identifier)
    for _ in range(6):
        creation.create(house, call, creation.NewKey(name="root", extractable=False))
    house.close()

    assert "the next one that the log" in join(second, invited, passphrase, code=2)
    assert not second.directory.exists()


def test_a_node_that_fell_behind_is_given_a_copy(
    first: Machine,
    second: Machine,
    invited: Path,
    passphrase: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    join(second, invited, passphrase)
    monkeypatch.setattr(following, "KEPT", 2)
    monkeypatch.setattr(following, "FORGET_EVERY", 1)
    house = open_house_of(first.config)
    call = Call(caller=KEYRACK, instance=instances(house)[0].identifier)
    for _ in range(6):
        key = creation.create(house, call, creation.NewKey(name="root", extractable=False))
    house.close()
    with pytest.raises(ConfigError, match="keyrack node refresh"):
        open_house_of(second.config)
    copy = invite(first, passphrase, invited.with_name("again.keyrack"), "--again")

    told = second.keyrack("node", "refresh", copy, "--passphrase-file", passphrase, "-c", second.file)

    assert ".before-" in told
    house = open_house_of(second.config)
    with house.reading() as reading:
        assert key == reading.key(call.instance, key.identifier)
    house.close()
    other = ("node", "refresh", copy, "--passphrase-file", passphrase, "-c", first.file)
    assert "is for node 'node-2'" in first.keyrack(*other, code=1)


def test_nodes_are_listed(first: Machine) -> None:
    asyncio.run(alive(first.config, "node-1"))
    asyncio.run(alive(first.config, "node-2", ago=30))

    lines = first.keyrack("node", "list", "-c", first.file).splitlines()
    assert ["node-1", "kms:5696"] == lines[1].split()[:2]
    assert "s ago" in lines[2]
    told = json.loads(first.keyrack("node", "list", "--json", "-c", first.file))
    assert ["node-1", "node-2"] == [each["name"] for each in told]
    assert told[1]["seconds_since_seen"] >= 30


def test_what_lies_elsewhere_is_named(first: Machine, second: Machine, passphrase: Path, tmp_path: Path) -> None:
    """A file outside of the directory is not taken along, and one in it is."""
    outside = tmp_path / "elsewhere.pem"
    outside.write_text("a bundle")
    inside = first.directory / "secret"
    inside.write_text(SECRET_FILE)
    sinks = f"""
[journal.sinks.siem]
type = "webhook"
url = "https://siem.example.com/"
ca_file = "{outside}"
secret_file = "secret"
"""
    first.file.write_text(first.file.read_text() + sinks)
    invited = invite(first, passphrase, tmp_path / "it")
    outside.unlink()
    run(["node", "join", str(invited), "-d", str(second.directory), "--passphrase-file", str(passphrase)])

    told = second.capsys.readouterr()
    assert f"the configuration names {outside}" in told.err
    assert SECRET_FILE == (second.directory / "secret").read_text()
    assert SECRET_FILE.encode() not in invited.read_bytes()


# The file.


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "it.keyrack"
    invitations.write(AN_INVITATION, a_passphrase(), path)
    return path


AN_INVITATION = Invitation(
    deployment="keyrack-1",
    node="node-2",
    made_at=1_800_000_000,
    names=["kms2"],
    fingerprint="ab" * 32,
    key_managers={"embedded": Copied(keystore="0b7d1c7e-6a53-4f6b-9f0e-2f1d3a5c7e91", revision=7)},
    elsewhere=["/etc/ssl/bundle.pem"],
    configuration='[deployment]\nid = "keyrack-1"\n',
    files={"keystore": b"sealed", "tls/server.key": b"\0\xff"},
)


def a_passphrase(text: str = PASSPHRASE) -> Passphrase:
    return Passphrase(Secret(bytearray(text.encode())), memory=LEAST_MEMORY)


def test_an_invitation_says_what_was_put_into_it(file: Path) -> None:
    assert AN_INVITATION == invitations.read(file, a_passphrase())


def test_an_invitation_shows_nothing_without_its_passphrase(file: Path) -> None:
    content = file.read_bytes()
    for secret in (b"kms2", b"bundle", b"sealed", b"tls/server.key", b"0b7d1c7e"):
        assert secret not in content


def test_each_part_of_an_invitation_counts(file: Path) -> None:
    """A byte of the first line, of the header, of the nonce, of the middle, of the end; and a cut."""
    content = file.read_bytes()
    header = content.index(b"\n", len(invitations.MAGIC)) + 1
    places = [0, len(invitations.MAGIC), content.index(b"node-2"), content.index(b"check") + 10, header]
    for place in [*places, header + 20, len(content) // 2, len(content) - 1]:
        changed = bytearray(content)
        changed[place] ^= 1
        file.write_bytes(changed)
        with pytest.raises(BadInvitation):
            invitations.read(file, a_passphrase())
    for length in (0, 10, header, len(content) - 1):
        file.write_bytes(content[:length])
        with pytest.raises(BadInvitation):
            invitations.read(file, a_passphrase())


def test_a_file_that_asks_for_all_memory_is_refused(file: Path) -> None:
    """It may come from anywhere."""
    content = file.read_bytes().replace(f'"memory_kib":{LEAST_MEMORY}'.encode(), b'"memory_kib":999999999')
    file.write_bytes(content)

    with pytest.raises(BadInvitation):
        invitations.read(file, a_passphrase())


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/../../b", ""])
def test_no_invitation_writes_outside_of_its_directory(file: Path, name: str) -> None:
    file.unlink()
    invitations.write(replace(AN_INVITATION, files={name: b"x"}), a_passphrase(), file)

    with pytest.raises(BadInvitation):
        invitations.read(file, a_passphrase())


@pytest.mark.parametrize(
    "change", [lambda text: text.replace("[deployment]", ""), lambda text: text.replace('id = "', 'id = "x')]
)
def test_a_configuration_that_cannot_be_another_nodes(tmp_path: Path, change: Callable[[str], str]) -> None:
    """It is found out on the first node."""
    text = 'deployment = { id = "keyrack-1" }\n[key_managers.e]\ntype = "embedded"\nunlock = { unseal = true }\n'
    with pytest.raises(ConfigError, match="table of its own"):
        configured(change(text), node="node-2", directory=tmp_path, beside=tmp_path / "keyrack.toml")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "head",
    [
        '[deployment]\nid = "keyrack-1"\n',
        '[deployment]   # whose\nid = "keyrack-1"\nnode = "node-1"\ndirectory = "."\n\n',
        '# first\n[kmip]\nport = 1\n[deployment]\n  directory = "/x"\n  id = "keyrack-1"\n',
    ],
)
def test_a_configuration_of_another_node(tmp_path: Path, head: str) -> None:
    text = head + '[key_managers.e]\ntype = "embedded"\nunlock = { unseal = true }\n'
    (tmp_path / "it.toml").write_text(
        configured(text, node="node-2", directory=tmp_path / "there", beside=tmp_path / "keyrack.toml")
    )
    config = load(tmp_path / "it.toml", {})

    assert ("node-2", "keyrack-1", tmp_path / "there") == (
        config.deployment.node,
        config.deployment.id,
        config.directory,
    )
    assert [tmp_path / "it.toml"] == list(tmp_path.iterdir())
