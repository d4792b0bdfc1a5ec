"""``keyrack key`` and ``keyrack approval`` beside a running server: what they say, and what stays in its memory."""

import asyncio
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from keyrack.ports.catalog import Unit
from keyrack.shell.cli import run
from keyrack.spec.enumerations import Operation, ResultReason
from keyrack.spec.tags import Tag
from keyrack.testing.acts import Keeper, creates
from keyrack.testing.canaries import in_memory
from keyrack.testing.catalogs import catalog_at
from keyrack.testing.client import Client
from keyrack.testing.ledger import material
from keyrack.testing.process import Deployment
from keyrack.testing.ttlv import text
from keyrack.testing.vcenter import VCenter

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="the server keeps its memory private; only root may look")
AT_ONCE = 1.0
"""Seconds within which every process has let go of what was ended in another."""


@dataclass(slots=True)
class Site:
    """A server of two processes; instance ``a`` keeps its keys in the catalog, ``b`` in the key manager too."""

    deployment: Deployment
    keeper: Keeper
    vcenter: Client
    """A client of ``a``."""

    @property
    def pids(self) -> list[int]:
        """The serving processes."""
        assert self.deployment.process is not None
        pid = self.deployment.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
        return [pid, *map(int, children)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("keys")
    environment = {"KEYRACK_KMIP__WORKERS": "2", "KEYRACK_KEYS__PURGE_HOURS": "0"}
    deployment = Deployment(directory=directory / "deployment", environment=environment)
    contexts = deployment.initialise().furnish()
    address = deployment.start()
    try:
        report = VCenter(address, contexts["a"]).play(virtual_machines=3, hosts=1)
        assert report.ok
        with Client(address, contexts["b"]) as client, Client(address, contexts["a"]) as vcenter:
            yield Site(deployment, Keeper(client, lambda: Client(address, contexts["b"])), vcenter)
    finally:
        deployment.stop()


@dataclass(slots=True)
class Commands:
    """Runs commands in this process, beside the server's: each costs milliseconds."""

    site: Site
    capture: pytest.CaptureFixture[str]

    def told(self, *words: str) -> tuple[int, str, str]:
        """Exit code, answer, and what was told beside it."""
        code = run([*words, "--config", str(self.site.deployment.configuration)])
        answer, beside = self.capture.readouterr()
        assert "Traceback" not in answer + beside
        return code, answer, beside

    def done(self, *words: str) -> str:
        """The answer of a command that must go well."""
        code, answer, beside = self.told(*words)
        assert code == 0, beside
        return answer

    def read(self, *words: str) -> Any:
        """The same as JSON."""
        return json.loads(self.done(*words, "--json"))


@pytest.fixture
def keyrack(site: Site, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Commands:
    for name, value in site.deployment.environment.items():
        monkeypatch.setenv(name, value)
    return Commands(site, capfd)


def test_keys_are_listed_filtered_and_shown(keyrack: Commands) -> None:
    """By what vCenter called them, with their last fetches; --json says it all."""
    read = keyrack.read
    every = read("key", "list", "a")
    assert {"vm-01", "vm-02", "vm-03", "esxi-01.example.com"} == {row["name"] for row in every}
    (machine,) = read("key", "list", "a", "--name", "VM-02", "--state", "active", "--fetched-since", "1h")
    assert ("Virtual Machine", "Active") == (machine["component"], machine["state"])
    assert machine["fetches"] > 0
    assert [] == read("key", "list", "a", "--never-fetched")
    first = read("key", "list", "a", "--limit", "1", "--sort", "name", "--descending")
    second = read("key", "list", "a", "--limit", "3", "--sort", "name", "--descending", "--cursor", first["next"])
    assert ["vm-03", "vm-02", "vm-01", "esxi-01.example.com"] == [row["name"] for row in first["keys"] + second["keys"]]
    assert second["next"] is None
    listed = keyrack.done("key", "list", "a", "--component", "esxi").splitlines()
    assert 2 == len(listed)

    shown = read("key", "show", "a", machine["unique_identifier"][:8])

    assert ("VMware vSphere", "VMware, Inc.", "7.0.3 build-19480866") == (
        shown["product"],
        shown["vendor"],
        shown["product_version"],
    )
    assert shown["made_by"].startswith("CertificateID-")
    assert shown["last_fetch_from"].startswith("127.0.0.1:")
    assert {"key_manager", "root_key", "root_key_version", "wrapping_key"} == set(shown["wrapped_under"])
    text = keyrack.done("key", "show", "a", machine["unique_identifier"])
    for part in ("wrapped under", "Activation Date", "x-Name", "last fetch from"):
        assert part in text


def test_what_may_stop_a_machine_is_shown_and_asked_for(keyrack: Commands) -> None:
    """A script that says nothing, or the wrong thing, changes nothing."""
    (key,) = [row["unique_identifier"] for row in keyrack.read("key", "list", "a", "--name", "vm-01")]

    code, _, said = keyrack.told("key", "deactivate", "a", key)
    assert code == 2
    for part in ("vm-01", "Virtual Machine", "1 virtual machine; 1 fetched within 400 days", "say --confirm vm-01"):
        assert part in said
    assert 2 == keyrack.told("key", "deactivate", "a", key, "--yes")[0]
    assert (1, "", "keyrack: the confirmation is not 'vm-01'; nothing was changed\n") == keyrack.told(
        "key", "deactivate", "a", key, "--yes", "--confirm", "vm-02"
    )
    assert "Active" == keyrack.read("key", "show", "a", key)["state"]

    assert "Deactivated: 1 key." in keyrack.done("key", "deactivate", "a", key, "--confirm", "vm-01")
    (row,) = keyrack.read("key", "restore", "a", key, "--why", "it was a mistake")
    assert "Active" == row["state"]


def test_a_client_meets_each_act_at_its_next_request(site: Site, keyrack: Commands) -> None:
    """On the connection that is open: destroyed it gets nothing, recovered it gets the same material again."""
    (row,) = keyrack.read("key", "list", "a", "--name", "vm-03")
    key = row["unique_identifier"]

    def got() -> bytes | int | None:
        answer = site.vcenter.try_(Operation.GET, text(Tag.UNIQUE_IDENTIFIER, key))
        return material(answer.payload) if answer.ok else answer.reason

    before = got()
    assert isinstance(before, bytes)
    words = ("--confirm", "vm-03")
    keyrack.done("key", "deactivate", "a", key, *words)
    assert before == got()
    keyrack.done("key", "destroy", "a", key, *words)
    assert ResultReason.ILLEGAL_OPERATION == got()
    keyrack.done("key", "recover", "a", key)
    assert before == got()
    keyrack.done("key", "restore", "a", key)
    keyrack.done("key", "deactivate", "a", key, *words)
    keyrack.done("key", "destroy", "a", key, *words)
    refused = site.vcenter.try_(Operation.GET, text(Tag.UNIQUE_IDENTIFIER, key))
    keyrack.done("key", "purge", "a", key, *words)
    purged = site.vcenter.try_(Operation.GET, text(Tag.UNIQUE_IDENTIFIER, key))
    assert (refused.status, refused.reason, refused.message) == (purged.status, purged.reason, purged.message)


def test_two_keys_at_once_are_confirmed_once(keyrack: Commands) -> None:
    keys = [row["unique_identifier"] for row in keyrack.read("key", "list", "a", "--name", "vm-0")][:2]

    rows = keyrack.read("key", "deactivate", "a", *keys, "--yes", "--confirm", "2 keys")
    assert ["Deactivated"] * 2 == [row["state"] for row in rows]
    keyrack.done("key", "restore", "a", *keys)


@root_only
def test_a_key_that_is_destroyed_and_purged_is_in_no_memory_any_more(site: Site, keyrack: Commands) -> None:
    """It was in the memory of a process; a second after the command it is in none, and nobody gets it any more."""
    for _ in range(3):
        creates(site.keeper)
    identifiers = [row["unique_identifier"] for row in keyrack.read("key", "list", "b")]
    canaries = site.keeper.canaries
    before = sum(sum(in_memory(canaries, pid).values()) for pid in site.pids)
    assert before >= 3

    words = ("--yes", "--confirm", "3 keys")
    keyrack.done("key", "destroy", "b", *identifiers, *words)
    time.sleep(AT_ONCE)

    assert [0] * len(site.pids) == [sum(in_memory(canaries, pid).values()) for pid in site.pids]
    rows = keyrack.read("key", "list", "b", "--recoverable")
    assert set(identifiers) <= {row["unique_identifier"] for row in rows}
    keyrack.done("key", "purge", "b", *identifiers, *words)
    time.sleep(AT_ONCE)
    assert [0] * len(site.pids) == [sum(in_memory(canaries, pid).values()) for pid in site.pids]
    code, _, said = keyrack.told("key", "recover", "b", identifiers[0])
    assert (1, True) == (code, "it was purged" in said)
    shown = keyrack.read("key", "show", "b", identifiers[0])
    assert (True, None, None, None) == (
        shown["purged"],
        shown["purge_at"],
        shown["wrapped_under"],
        shown["standard_key"],
    )


def test_what_needs_two_waits_for_the_second(site: Site, keyrack: Commands) -> None:
    """Asked for, listed, shown; who has asked cannot agree, and can withdraw."""
    assert [] == keyrack.read("approval", "list", "--all")
    creates(site.keeper)
    key = keyrack.read("key", "list", "b", "--descending")[0]["unique_identifier"]
    asyncio.run(_under_dual_control(site.deployment.directory / "catalog.db", "b"))
    words = ("key", "destroy", "b", key, "--confirm", key[:8], "--why", "it is old")

    code, answer, _ = keyrack.told(*words, "--json")
    assert code == 1
    approval = json.loads(answer)["waits_for_a_second_person"]["approval"]
    code, _, said = keyrack.told(*words)
    assert (1, True) == (code, f"another person agrees with 'keyrack approval agree {approval[:8]}'" in said)
    (waiting,) = keyrack.read("approval", "list")
    assert (approval, "waiting", [key], "b", "it is old") == (
        waiting["identifier"],
        waiting["state"],
        waiting["keys"],
        waiting["instance"],
        waiting["why"],
    )
    assert approval[:8] in keyrack.done("approval", "list")
    assert "Pre-Active" == keyrack.read("key", "show", "b", key)["state"]
    code, _, said = keyrack.told("approval", "agree", approval[:8], "--yes", "--confirm", key[:8])
    assert (1, True) == (code, "a second person has to agree" in said)
    assert 2 == keyrack.told("approval", "agree", approval, "--yes")[0]

    assert "Withdrawn; nothing was done:" in keyrack.done("approval", "withdraw", approval)

    assert "withdrawn" == keyrack.read("approval", "show", approval[:8])["state"]
    assert [] == keyrack.read("approval", "list")
    for act in ("agree", "withdraw"):
        code, _, said = keyrack.told("approval", act, approval)
        assert (1, True) == (code, "was withdrawn; nothing was done" in said)
    assert "no approval 'ffff'" in keyrack.told("approval", "show", "ffff")[2]


async def _under_dual_control(path: Path, name: str) -> None:
    catalog = await catalog_at(path, "tests")
    (found,) = [each for each in await catalog.instances() if each.name == name]
    await catalog.commit(Unit(entries=(), instances=(replace(found, dual_control_at=1),)))
    await catalog.close()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("list", "a", "--state", "nope"), "'nope' is not a state; use one of: pre-active, active"),
        (("list", "a", "--type", "nope"), "'nope' is not a type of object; use one of: certificate"),
        (("list", "a", "--created-since", "soon"), "'soon' is not a time; write for example 2026-08-01"),
        (("list", "a", "--cursor", "nope"), "the cursor cannot be used: it is not a cursor of this listing"),
        (("show", "a", "0000"), "no key of 'a' begins with '0000'; see 'keyrack key list a'"),
        (("purge", "a", "0000", "--confirm", "x"), "no key of 'a' begins with '0000'"),
        (("deactivate", "a", "0000", "--reason", "nope"), "'nope' is not a reason; use one of: unspecified"),
    ],
)
def test_a_mistake_is_a_line(keyrack: Commands, words: tuple[str, ...], line: str) -> None:
    code, _, said = keyrack.told("key", *words)
    assert (True, 1) == (code in {1, 2}, said.count("\n"))
    assert line in said
