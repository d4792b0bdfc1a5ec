"""Rewraps, changes of the storage and moves as an administrator does them, beside a server and through IBM's API."""

import json
import signal
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from keyrack.spec.enumerations import Operation
from keyrack.spec.tags import Tag
from keyrack.testing.catalogs import executed
from keyrack.testing.certificates import client
from keyrack.testing.client import Client
from keyrack.testing.key_manager_process import KeyManagerProcess, key_manager_process
from keyrack.testing.process import Deployment
from keyrack.testing.streams import Writer
from keyrack.testing.ttlv import text

KEYS = 6
NO_WAITS = "\n[key_managers.embedded.waits]\nstate_change_seconds = 0\nrotate_seconds = 0\npurge_seconds = 0\n"


@dataclass(frozen=True, slots=True)
class Ibm:
    """What plays IBM, with a root key."""

    running: KeyManagerProcess
    root_key: str
    api_key: Path

    def configuration(self) -> str:
        """The tables of a deployment that has it as ``kp``."""
        url = self.running.address.url
        return "\n".join(
            (
                "",
                "[key_managers.kp]",
                'type = "key_protect"',
                f'url = "{url}"',
                f'instance = "{self.running.instance}"',
                f'ca_bundle = "{self.running.address.authority}"',
                "[key_managers.kp.iam]",
                f'url = "{url}"',
                f'api_key_file = "{self.api_key}"',
                "",
            )
        )

    def standard_keys(self) -> set[str]:
        """The objects that have a standard key there."""
        address = self.running.address
        headers = {
            "Authorization": f"Bearer {address.login(self.api_key.read_text().strip())}",
            "Bluemix-Instance": self.running.instance,
        }
        told = address.ask("GET", "/api/v2/keys?extractable=true", headers=headers).json
        return {each["name"].removeprefix("vmware_kmip_") for each in told.get("resources", [])}


@pytest.fixture(scope="module")
def ibm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ibm]:
    directory = tmp_path_factory.mktemp("ibm")
    waits = {"STATE_CHANGE_SECONDS": "0", "ROTATE_SECONDS": "0"}
    environment = {f"KEYRACK_KEY_MANAGERS__EMBEDDED__WAITS__{name}": value for name, value in waits.items()}
    with key_manager_process(directory / "key-manager", **environment) as running:
        api_key = directory / "api.key"
        api_key.touch(mode=0o600)
        api_key.write_text(running.new_api_key("keyrack", "Manager") + "\n")
        yield Ibm(running, running.deployment.read("root-key", "create", "vmware")["identifier"], api_key)


@dataclass(slots=True)
class World:
    """A server, a client of the instance ``prod``, and its keys."""

    deployment: Deployment
    context: ssl.SSLContext
    address: tuple[str, int]
    writer: Writer

    def fill(self, count: int = KEYS) -> None:
        for _ in range(count):
            self.writer.create()

    def all_open(self) -> None:
        """Every key is what it was, also for a server that was just started."""
        for promise in self.writer.promises:
            self.writer.get(promise)
        self.deployment.stop(signal.SIGKILL)
        self.address = self.deployment.start()
        self.writer.client = Client(self.address, self.context)
        for promise in self.writer.promises:
            self.writer.get(promise)

    @property
    def keys(self) -> set[str]:
        return {promise.uid for promise in self.writer.promises}

    def command(self, *words: str, code: int = 0) -> tuple[Any, str]:
        """Run a command for machines; its answer, and what was told on standard error."""
        done = self.deployment.run(*words, "--json", check=False)
        assert (code, False) == (done.returncode, "Traceback" in done.stdout + done.stderr), done.stderr
        return (json.loads(done.stdout) if done.stdout else None), done.stderr.strip()

    def said(self, *words: str, code: int = 0) -> str:
        """Run a command for people; what it says."""
        done = self.deployment.run(*words, check=False)
        assert code == done.returncode, done.stderr
        return done.stdout + done.stderr

    def rows(self, statement: str) -> list[Any]:
        return executed(self.deployment.catalog, statement)


@pytest.fixture
def world(ibm: Ibm, tmp_path: Path) -> Iterator[World]:
    deployment = Deployment(directory=tmp_path / "k").initialise()
    with deployment.configuration.open("a") as configuration:
        configuration.write(NO_WAITS + ibm.configuration())
    options = ("--key-manager", "embedded", "--storage", "key_manager")
    deployment.run("instance", "create", "prod", *options)
    identity = client(deployment.authority, "prod")
    deployment.add_client("prod", identity)
    context = deployment.context(identity)
    address = deployment.start()
    made = World(deployment, context, address, Writer(Client(address, context), "prod", "moves"))
    made.fill()
    yield made
    deployment.stop()


def root_key_of(world: World) -> str:
    return str(world.deployment.read("instance", "show", "prod")["root_key"])


def test_a_rotation_is_followed_by_a_rewrap(world: World) -> None:
    """Told beforehand, done, and then nothing is left to do."""
    world.deployment.run("root-key", "rotate", root_key_of(world), "--key-manager", "embedded")

    ((before,), _) = world.command("root-key", "rewrap", "--dry-run")
    assert (KEYS, KEYS, KEYS, []) == (
        before["keys"],
        before["behind"],
        before["standard_keys_to_make"],
        before["failures"],
    )
    ((done,), _) = world.command("root-key", "rewrap", "prod", "--rate", "100")

    assert (KEYS, 0, before["version"], False) == (
        done["rewrapped"],
        done["standard_keys_left"],
        done["version"],
        done["stopped"],
    )
    assert "prod: nothing to do" in world.said("root-key", "rewrap")
    world.all_open()


def test_an_instance_goes_to_ibm_and_comes_back(ibm: Ibm, world: World) -> None:
    """All its standard keys with it, what is made meanwhile too; the root key that it leaves may be deleted."""
    former, before = root_key_of(world), ibm.standard_keys()
    to_ibm = ("instance", "change-root-key", "prod", "--key-manager", "kp", "--root-key", ibm.root_key)

    (there, _) = world.command(*to_ibm)
    world.fill(2)

    assert ("kp", ibm.root_key, None, KEYS, []) == (
        there["key_manager"],
        there["root_key"],
        there["moving_from"],
        there["changed"],
        there["left"],
    )
    assert world.keys == ibm.standard_keys() - before
    world.all_open()
    assert "0 keys moved" in world.said(*to_ibm)
    (back, _) = world.command("instance", "change-root-key", "prod", "--key-manager", "embedded", "--root-key", former)

    assert (KEYS + 2, "embedded", former) == (back["changed"], back["key_manager"], back["root_key"])
    assert before == ibm.standard_keys()
    world.all_open()
    actions = [row[0] for row in world.rows("SELECT json_extract(text, '$.action') FROM journal")]
    assert (4, 2 * KEYS + 2) == (actions.count("instance.root-key"), actions.count("key.move"))


@pytest.mark.slow
def test_an_instance_goes_to_another_tenant_of_the_embedded_key_manager(world: World) -> None:
    """Which is named behind a slash."""
    tenant = world.deployment.read("key-manager", "instance", "create", "second")["identifier"]
    where = ("--key-manager", "embedded", "--instance", "second")
    root_key = world.deployment.read("root-key", "create", "theirs", *where)["identifier"]
    name = f"embedded/{tenant}"

    (moved, _) = world.command("instance", "change-root-key", "prod", "--key-manager", name, "--root-key", root_key)

    assert (name, root_key, KEYS) == (moved["key_manager"], moved["root_key"], moved["changed"])
    world.all_open()


def test_keys_leave_the_key_manager_and_come_back(ibm: Ibm, world: World) -> None:
    """At IBM, where the customer sees them."""
    before = ibm.standard_keys()
    world.command("instance", "change-root-key", "prod", "--key-manager", "kp", "--root-key", ibm.root_key)

    (out, _) = world.command("instance", "storage", "set", "prod", "catalog")
    world.fill(1)
    assert ("catalog", KEYS, before) == (out["storage"], out["changed"], ibm.standard_keys())
    world.all_open()
    said = world.said("instance", "storage", "set", "prod", "key_manager")

    assert f"{KEYS + 1} keys changed" in said
    assert world.keys == ibm.standard_keys() - before
    world.all_open()


def test_what_stays_behind_is_listed_and_a_third_root_key_has_to_wait(world: World) -> None:
    """A key was revoked in the key manager: it stays revoked, the others have moved, and the exit code says so."""
    former = root_key_of(world)
    second, third = [world.deployment.read("root-key", "create", name)["identifier"] for name in ("second", "third")]
    revoked = world.writer.promises[2].uid
    ((standard_key,),) = world.rows(f"SELECT standard_key FROM object WHERE identifier = '{revoked}'")
    _delete_standard_key(world.deployment, standard_key)

    (moved, _) = world.command("instance", "change-root-key", "prod", "--root-key", second, code=3)
    told = world.said("instance", "change-root-key", "prod", "--root-key", third, code=1)
    shown = world.deployment.read("instance", "show", "prod")

    assert [revoked] == [each["key"] for each in moved["left"]]
    assert "restore it there" in moved["left"][0]["why"]
    assert f"from root key {former}" in told
    assert {"key_manager": "embedded", "root_key": former} == shown["moving_from"]
    assert not world.writer.client.try_(Operation.GET, text(Tag.UNIQUE_IDENTIFIER, revoked)).ok
    again = world.said("instance", "change-root-key", "prod", "--root-key", second, code=3)
    assert "Every key opens as it did before" in again
    assert revoked in again


def _delete_standard_key(deployment: Deployment, identifier: str) -> None:
    import asyncio

    from keyrack.shell.config.whole import load
    from keyrack.shell.office import open_key_manager

    async def act() -> None:
        manager = open_key_manager(load(deployment.configuration), "embedded")
        try:
            await manager.delete_standard_key(identifier)
        finally:
            await manager.close()

    asyncio.run(act())


def test_what_is_refused_changes_nothing(world: World) -> None:
    """With words that help."""
    before = world.deployment.read("instance", "show", "prod")
    for words, told in {
        ("instance", "change-root-key", "prod", "--root-key", "nowhere"): "no root key 'nowhere'",
        ("instance", "change-root-key", "prod", "--root-key", "x", "--key-manager", "none"): "no key manager 'none'",
        ("instance", "change-root-key", "nobody", "--root-key", "x"): "no instance 'nobody'",
        ("root-key", "rewrap", "nobody"): "no instance 'nobody'",
    }.items():
        assert told in world.said(*words, code=1)
    assert before == world.deployment.read("instance", "show", "prod")


def test_a_command_that_is_broken_off_says_that_nothing_is_lost(world: World) -> None:
    """With Ctrl-C; the same command goes on."""
    root_key = world.deployment.read("root-key", "create", "second")["identifier"]
    words = ("instance", "change-root-key", "prod", "--root-key", root_key)
    process = subprocess.Popen(
        [*world.deployment.command, *words, "--rate", "0.5", "--config", str(world.deployment.configuration)],
        env=world.deployment.served_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 20
    moved = "SELECT count(*) FROM journal WHERE json_extract(text, '$.action') = 'key.move'"
    while world.rows(moved) == [(0,)] and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)

    assert 130 == process.returncode
    assert "the same command goes on from there" in told
    world.all_open()
    (done, _) = world.command(*words)
    assert 0 < done["changed"] < KEYS
    world.all_open()


@pytest.mark.slow
def test_a_process_that_serves_rewraps_by_itself(ibm: Ibm, tmp_path: Path) -> None:
    """It finds out about the rotation at its next look, and all keys are under the newest version soon after."""
    deployment = Deployment(directory=tmp_path / "k").initialise()
    lease = "\n[key_managers.embedded.lease]\nexistence_seconds = 10\n"
    with deployment.configuration.open("a") as configuration:
        configuration.write(NO_WAITS + lease)
    contexts = deployment.furnish()
    address = deployment.start()
    try:
        world = World(deployment, contexts["b"], address, Writer(Client(address, contexts["b"]), "b", "moves"))
        world.fill()
        ((root_key,),) = world.rows("SELECT root_key FROM instance WHERE name = 'b'")
        deployment.run("root-key", "rotate", root_key)
        until = time.monotonic() + 60
        rewrapped = "SELECT count(*) FROM journal WHERE json_extract(text, '$.action') = 'key.rewrap'"
        while world.rows(rewrapped) != [(KEYS,)] and time.monotonic() < until:
            time.sleep(0.2)

        assert "b: nothing to do" in world.said("root-key", "rewrap", "b")
        world.all_open()
    finally:
        deployment.stop()
