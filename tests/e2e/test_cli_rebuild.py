"""Drills of disasters with real processes: a lost catalog, lost standard keys, a lost configuration, what is told."""

import asyncio
import json
import os
import pty
import re
import shutil
import sqlite3
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from keyrack.adapters.key_managers.embedded import EmbeddedKeyManager
from keyrack.embedded import lifecycle
from keyrack.embedded.call import KEYRACK, Call
from keyrack.shell.config.whole import load
from keyrack.shell.office import open_key_manager
from keyrack.spec.enumerations import CryptographicAlgorithm, NameType, ObjectType, Operation
from keyrack.spec.tags import Tag
from keyrack.testing.certificates import Identity, client
from keyrack.testing.client import Client
from keyrack.testing.ledger import material
from keyrack.testing.process import Deployment
from keyrack.testing.ttlv import Item, enumeration, integer, structure, text
from keyrack.testing.vcenter import VCenter, esxi_host, virtual_machine

pytestmark = pytest.mark.sqlite("a catalog is lost and made anew as a file")

NO_WAITS = "\n[key_managers.embedded.waits]\nstate_change_seconds = 0\nrotate_seconds = 0\n"
HOST, MACHINE = esxi_host("esxi-01.example.com"), virtual_machine("vm-01")


@dataclass(slots=True)
class Site:
    """A deployment with one instance ``prod`` that keeps its keys in the key manager, and its client."""

    deployment: Deployment
    client: Identity
    context: ssl.SSLContext
    key: str = ""
    bytes_: bytes = b""
    address: tuple[str, int] = ("", 0)
    vcenter: VCenter | None = None

    @property
    def catalog(self) -> Path:
        return self.deployment.directory / "catalog.db"

    def serve(self) -> Client:
        """Start, and connect."""
        self.address = self.deployment.start()
        return Client(self.address, self.context)

    def furnish(self) -> None:
        """A virtual machine of a pretended vCenter, and a key with a Name; then the server stops."""
        with self.serve() as talking:
            self.vcenter = VCenter(self.address, self.context)
            self.vcenter.encrypt(MACHINE, HOST)
            self.key = talking.ask(Operation.CREATE, *create("disk-7")).string(Tag.UNIQUE_IDENTIFIER)
            talking.ask(Operation.ACTIVATE, uid(self.key))
            self.bytes_ = material(talking.ask(Operation.GET, uid(self.key)))
        self.deployment.stop()

    def lose_the_catalog(self) -> None:
        for path in self.catalog.parent.glob("catalog.db*"):
            path.unlink()

    def admit(self, instance: str) -> None:
        """Let the client in again."""
        self.deployment.add_client(instance, self.client)

    def assert_served(self) -> None:
        """As before, to the pretended vCenter and to the other client."""
        with self.serve() as talking:
            assert material(talking.ask(Operation.GET, uid(self.key))) == self.bytes_
            found = talking.ask(Operation.LOCATE, attribute("Name", name("disk-7")))
            assert found.string(Tag.UNIQUE_IDENTIFIER) == self.key
            assert self.vcenter is not None
            again = VCenter(self.address, self.context)
            again._keys = self.vcenter._keys
            again.boot(HOST, [MACHINE])
            again.encrypt(virtual_machine("vm-02"), HOST)
        self.deployment.stop()

    def standard_key(self) -> str:
        with closing(sqlite3.connect(self.catalog)) as catalog:
            statement = "SELECT standard_key FROM object WHERE identifier = ?"
            return str(catalog.execute(statement, (self.key,)).fetchone()[0])

    def revoke(self) -> None:
        """Delete the key's standard key in the key manager, as its owner does."""
        manager = open_key_manager(load(self.deployment.configuration), "embedded")
        assert isinstance(manager, EmbeddedKeyManager)
        try:
            lifecycle.delete(manager.house, Call(caller=KEYRACK, instance=manager.instance), self.standard_key())
        finally:
            asyncio.run(manager.close())

    def fails(self, *words: str) -> tuple[int, str]:
        """Exit code and everything that a command says."""
        done = self.deployment.run(*words, check=False)
        return done.returncode, done.stdout + done.stderr


def uid(identifier: str) -> Item:
    return text(Tag.UNIQUE_IDENTIFIER, identifier)


def attribute(title: str, value: Item) -> Item:
    return structure(Tag.ATTRIBUTE, text(Tag.ATTRIBUTE_NAME, title), value)


def name(value: str) -> Item:
    kind = enumeration(Tag.NAME_TYPE, NameType.UNINTERPRETED_TEXT_STRING)
    return structure(Tag.ATTRIBUTE_VALUE, text(Tag.NAME_VALUE, value), kind)


def create(title: str) -> tuple[Item, Item]:
    held = structure(
        Tag.TEMPLATE_ATTRIBUTE,
        attribute("Cryptographic Algorithm", enumeration(Tag.ATTRIBUTE_VALUE, CryptographicAlgorithm.AES)),
        attribute("Cryptographic Length", integer(Tag.ATTRIBUTE_VALUE, 256)),
        attribute("Cryptographic Usage Mask", integer(Tag.ATTRIBUTE_VALUE, 12)),
        attribute("Name", name(title)),
    )
    return enumeration(Tag.OBJECT_TYPE, ObjectType.SYMMETRIC_KEY), held


def made(directory: Path, *options: str) -> Site:
    deployment = Deployment(directory=directory).initialise()
    with deployment.configuration.open("a") as configuration:
        configuration.write(NO_WAITS)
    identity = client(deployment.authority, "vcenter")
    deployment.run("instance", "create", "prod", "--storage", "key_manager", *options)
    site = Site(deployment, identity, deployment.context(identity))
    site.admit("prod")
    return site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    found = made(tmp_path / "k")
    found.furnish()
    yield found
    found.deployment.stop()


@pytest.mark.parametrize("hierarchy", ["direct", pytest.param("two-level", marks=pytest.mark.slow)])
def test_a_lost_catalog_comes_back_from_the_key_manager_alone(tmp_path: Path, hierarchy: str) -> None:
    """The certificates are added anew, and then every key is served byte for byte, by identifier and by name."""
    site = made(tmp_path / "k", "--hierarchy", hierarchy)
    site.furnish()
    (before,) = site.deployment.read("instance", "list")
    site.lose_the_catalog()

    tried = site.deployment.read("rebuild", "--from-key-manager", "--dry-run")
    assert (tried["keys"], site.catalog.exists()) == (3, False)
    told = site.deployment.run("rebuild", "--from-key-manager", "--instance-name", "prod").stdout

    assert f"prod, made again on root key {before['root_key']} of embedded: 3 keys entered" in told
    assert "Each key is in the state that was kept beside the catalog" in told
    assert f"keyrack cert add prod FILE --config {site.deployment.configuration}" in told
    (after,) = site.deployment.read("instance", "list")
    same = ("identifier", "name", "key_manager", "root_key", "storage")
    assert {field: before[field] for field in same} == {field: after[field] for field in same}
    assert site.deployment.read("rebuild", "--from-key-manager")["keys"] == 0
    site.admit("prod")
    site.assert_served()
    assert site.deployment.read("verify")["well"] is True
    shown = site.deployment.read("key", "show", "prod", site.key)
    assert (shown["state"], shown["name"]) == ("Active", "disk-7")
    with closing(sqlite3.connect(site.catalog)) as catalog:
        actions = [json.loads(line)["action"] for (line,) in catalog.execute("SELECT text FROM journal")]
    assert {"instance.rebuild", "key.rebuild"} <= set(actions)


def test_a_server_that_serves_from_a_catalog_that_was_taken_away_has_it_still(site: Site) -> None:
    site.serve().close()
    site.lose_the_catalog()

    code, told = site.fails("rebuild", "--from-key-manager")

    assert code == 1
    assert "has all that was in it until it stops" in told
    assert not site.catalog.exists()


def test_a_catalog_that_lacks_a_key_gets_it_while_the_server_serves(site: Site) -> None:
    """As after the restoration of an older backup."""
    with closing(sqlite3.connect(site.catalog)) as catalog, catalog:
        catalog.execute("DELETE FROM attribute")
        catalog.execute("DELETE FROM object WHERE identifier = ?", (site.key,))
    code, told = site.fails("verify", "--quick")
    assert code == 3
    assert "standard key that nobody has: lost" in told
    assert "keyrack rebuild --from-key-manager" in told

    with site.serve():
        rebuilt = site.deployment.read("rebuild", "--from-key-manager")
        assert (rebuilt["keys"], rebuilt["there"]) == (1, 2)
    site.deployment.stop()

    site.assert_served()


def test_a_deployment_whose_configuration_is_lost_is_told_its_name_or_gives_its_keys_away(site: Site) -> None:
    """Under another name it is another deployment; the ways out are told, and both lead to the keys."""
    configuration = site.deployment.configuration
    original = configuration.read_text()
    (old,) = re.findall(r'^id = "(.+?)"', original, re.MULTILINE)
    (instance,) = site.deployment.read("instance", "list")
    kept = site.catalog.with_suffix(".kept")
    shutil.copy(site.catalog, kept)
    site.lose_the_catalog()
    configuration.write_text(original.replace(f'id = "{old}"', 'id = "another-name"'))

    code, told = site.fails("rebuild", "--from-key-manager")

    assert code == 1
    assert f"{old} (3 keys)" in told
    assert "[deployment]" in told
    assert "keyrack instance adopt" in told
    # To take them over: an instance of its own on the same root key.
    site.deployment.run("instance", "create", "new", "--storage", "key_manager", "--root-key", instance["root_key"])
    assert site.deployment.read("instance", "adopt", "new", "--dry-run")["keys"] == 3
    adopted = site.deployment.run("instance", "adopt", "new", "--from-deployment", old).stdout
    assert "3 keys taken over" in adopted
    assert "keyrack cert add new FILE" in adopted
    site.admit("new")
    site.assert_served()
    found = site.deployment.read("verify")
    assert (found["well"], [each["kind"] for each in found["strangers"]]) == (True, ["another deployment"] * 3)
    # And the name put back, the old one is rebuilt, beside keys that are another deployment's now.
    site.lose_the_catalog()
    configuration.write_text(original)
    assert site.deployment.read("rebuild", "--from-key-manager")["keys"] == 3
    assert kept.exists()


def test_verify_tells_what_is_wrong_and_what_to_do(site: Site) -> None:
    assert "Every key agrees and opens." in site.deployment.run("verify").stdout
    site.revoke()

    code, told = site.fails("verify", "prod")
    found = json.loads(site.deployment.run("verify", "--quick", "--json", check=False).stdout)

    assert code == 3
    assert "✗ 1 key missing in the key manager" in told
    assert f"prod  {site.key}" in told
    assert "keyrack rebuild --from-catalog prod" in told
    (flaw,) = found["disagreements"]
    assert (flaw["unique_identifier"], flaw["flaw"]) == (site.key, "missing in the key manager")
    assert (found["keys"], found["agree"]) == (3, 2)


def test_a_revoked_key_is_put_again_only_once_somebody_has_agreed(site: Site) -> None:
    site.revoke()
    unasked = site.fails("rebuild", "--from-catalog", "prod")
    wrong = typed(site, "test")
    dry = site.deployment.read("rebuild", "--from-catalog", "prod", "--dry-run")
    assert unasked[0] == 2
    assert "say --yes to put them again. Nothing was changed" in unasked[1]
    assert wrong[0] == 1
    assert "nothing was changed" in wrong[1]
    assert [(each["unique_identifier"], each["revoked"]) for each in dry["due"]] == [(site.key, True)]

    code, told = typed(site, "prod")

    assert code == 0
    assert "was deleted in the key manager. Whoever did it has revoked these keys" in told
    assert "1 standard key put again" in told
    assert site.deployment.read("verify")["well"] is True
    site.assert_served()
    site.revoke()
    assert site.deployment.read("rebuild", "--from-catalog", "prod", "--yes")["put"] == 1
    assert "Every standard key of prod is there." in site.deployment.run("rebuild", "--from-catalog", "prod").stdout


def typed(site: Site, answer: str) -> tuple[int, str]:
    """Exit code and what is said to a person who types this."""
    terminal, line = pty.openpty()
    with os.fdopen(terminal, "wb", buffering=0) as keyboard, os.fdopen(line, "rb", buffering=0) as stdin:
        keyboard.write(f"{answer}\n".encode())
        done = subprocess.run(
            [
                *site.deployment.command,
                "rebuild",
                "--from-catalog",
                "prod",
                "--config",
                str(site.deployment.configuration),
            ],
            stdin=stdin,
            env=site.deployment.served_environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    return done.returncode, done.stdout + done.stderr


def test_a_spoilt_catalog_is_mended_from_the_key_manager(site: Site) -> None:
    with closing(sqlite3.connect(site.catalog)) as catalog, catalog:
        catalog.execute("UPDATE object SET sealed = substr(sealed, 1, 100) WHERE identifier = ?", (site.key,))
    code, told = site.fails("verify")
    assert code == 3
    assert "1 key spoilt in the catalog" in told

    assert "prod: 1 key mended" in site.deployment.run("rebuild", "--from-key-manager", "--repair").stdout

    assert site.deployment.read("verify")["well"] is True
    site.assert_served()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "say either --from-key-manager, or --from-catalog INSTANCE"),
        (("--from-key-manager", "--from-catalog", "prod"), "say either"),
        (("--from-catalog", "prod", "--quick"), "--quick goes with --from-key-manager"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_opened(
    tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    done = Deployment(directory=tmp_path).run("rebuild", *words, configured=False, check=False)

    assert done.returncode == 2
    assert told in done.stderr
