"""Care through real processes: what is rotated, disabled, deleted or sealed behind a server's back, and who tells."""

import asyncio
import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from keyrack.adapters.key_managers.embedded import EmbeddedKeyManager
from keyrack.embedded import lifecycle
from keyrack.embedded.call import KEYRACK, Call
from keyrack.embedded.house import House
from keyrack.service.vault.standard_keys import name_of
from keyrack.shell.config.whole import load
from keyrack.shell.office import open_key_manager
from keyrack.spec.enumerations import Operation, ResultReason
from keyrack.spec.tags import Tag
from keyrack.testing.acts import Keeper, creates
from keyrack.testing.canaries import in_memory
from keyrack.testing.catalogs import executed
from keyrack.testing.certificates import client
from keyrack.testing.client import Client, ConnectionEnded
from keyrack.testing.key_manager_process import KeyManagerProcess, key_manager_process
from keyrack.testing.ledger import material
from keyrack.testing.process import Deployment
from keyrack.testing.ttlv import text

pytestmark = pytest.mark.waits

ROUND = 10
"""Seconds between two rounds of care, the least that can be configured."""
PATIENCE = 3 * ROUND
NO_WAITS = "\n[key_managers.embedded.waits]\nstate_change_seconds = 0\nrotate_seconds = 0\n"
QUICK = f"\n[key_managers.embedded.lease]\nexistence_seconds = {ROUND}\n"
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="the server keeps its memory private; only root may look")


@dataclass(slots=True)
class Served:
    """A running server, a client of its instance ``b``, whose keys are standard keys, and those keys."""

    deployment: Deployment
    address: tuple[str, int]
    keeper: Keeper
    keys: list[str] = field(default_factory=list)

    def make(self) -> str:
        """A new key; its Unique Identifier."""
        before = set(self.listed())
        creates(self.keeper)
        (made,) = set(self.listed()) - before
        self.keys.append(made)
        return made

    def listed(self) -> list[str]:
        """The keys of the instance."""
        return [uid for (uid,) in self.read("SELECT identifier FROM object")]

    def read(self, statement: str) -> list[Any]:
        """Rows of the catalog, past everybody: a command for each look would take longer than what is waited for."""
        return executed(self.deployment.catalog, statement)

    def found(self, column: str) -> Any:
        """What the last look at instance ``b`` has shown; ``None`` before there was one."""
        of_b = "WHERE instance = (SELECT identifier FROM instance WHERE name = 'b')"
        rows = self.read(f"SELECT {column} FROM validation {of_b}")
        return rows[0][0] if rows else None

    def journal(self, action: str) -> list[dict[str, Any]]:
        """The entries of one action."""
        entries = [json.loads(line) for (line,) in self.read("SELECT text FROM journal ORDER BY number")]
        return [each for each in entries if each["action"] == action]

    def get(self, uid: str) -> bytes:
        """Get, which must succeed."""
        return material(self.keeper.client.ask(Operation.GET, text(Tag.UNIQUE_IDENTIFIER, uid)))

    def refused(self, uid: str) -> str:
        """How a Get is refused; empty where it is not."""
        return self.keeper.client.try_(Operation.GET, text(Tag.UNIQUE_IDENTIFIER, uid)).message

    def shown(self) -> dict[str, Any]:
        """The instance, as 'instance show' has it."""
        return dict(self.deployment.read("instance", "show", "b"))

    def finding(self, what: str, *words: str) -> dict[str, Any]:
        """The worst that the doctor finds of something, with all the words in what is told."""
        found = json.loads(self.deployment.run("doctor", "--json", check=False).stdout)["findings"]
        return next(each for each in found if each["what"] == what and all(word in each["told"] for word in words))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """With a round of care every ten seconds, and a key manager without waits; each test makes keys of its own."""
    with serving(tmp_path_factory.mktemp("served")) as running:
        yield running


class serving:  # noqa: N801 - reads as a function
    """A server as long as the block lasts; ``environment`` of its processes."""

    def __init__(self, directory: Path, **environment: str) -> None:
        self._deployment = Deployment(directory=directory / "k", environment=environment)

    def __enter__(self) -> Served:
        deployment = self._deployment.initialise()
        with deployment.configuration.open("a") as configuration:
            configuration.write(NO_WAITS + QUICK)
        contexts = deployment.furnish()
        address = deployment.start()
        talking = Client(address, contexts["b"])
        return Served(deployment, address, Keeper(talking, lambda: Client(address, contexts["b"])))

    def __exit__(self, *error: object) -> None:
        self._deployment.stop()


def soon(wanted: Callable[[], bool], within: float = PATIENCE) -> float:
    """Wait until it is so; how long that took."""
    began = time.monotonic()
    while not wanted():
        assert time.monotonic() - began < within, "it did not come to pass"
        time.sleep(0.05)
    return time.monotonic() - began


def behind_its_back(deployment: Deployment, uid: str, act: Callable[[House, Call, str], object]) -> None:
    """Do something to the standard key of an object, in the key manager's database and in this process."""
    manager = open_key_manager(load(deployment.configuration), "embedded")
    assert isinstance(manager, EmbeddedKeyManager)
    try:
        (row,) = executed(deployment.catalog, "SELECT standard_key FROM object WHERE identifier = ?", uid)
        act(manager.house, Call(caller=KEYRACK, instance=manager.instance), row[0])
    finally:
        asyncio.run(manager.close())


def test_a_standard_key_that_is_deleted_withholds_its_key_until_it_is_restored(served: Served) -> None:
    """Refused at once, withheld a round later; everybody says so, and what to do."""
    gone, there = served.make(), served.make()
    before = served.get(gone)

    behind_its_back(served.deployment, gone, lifecycle.delete)
    assert soon(lambda: bool(served.refused(gone))) < 2
    soon(lambda: served.found("withheld") == 1)

    assert "the object is withheld" in served.refused(gone)
    assert served.get(there)
    finding = served.finding("keys of b", "1 key is withheld")
    assert ("warning", "deleted", True) == (finding["level"], finding["cause"], "restore" in finding["act"])
    assert 1 == served.shown()["withheld"]
    assert [(gone, "keyrack")] == [(each["target"], each["initiator"]) for each in served.journal("key.withhold")]

    behind_its_back(served.deployment, gone, lifecycle.restore)
    soon(lambda: served.found("withheld") == 0)
    assert before == served.get(gone)


def test_a_rotated_root_key_is_noticed_and_its_keys_are_rewrapped(served: Served) -> None:
    """In the background, while everything is served; the old standard keys are deleted."""
    uids = [served.make() for _ in range(3)]
    before = [served.get(uid) for uid in uids]
    root_key = served.shown()["root_key"]
    soon(lambda: served.found("synced_at") is not None)

    served.deployment.run("root-key", "rotate", root_key)

    soon(lambda: set(uids) <= {each["target"] for each in served.journal("key.rewrap")})
    soon(lambda: served.found("behind") == 0)
    assert before == [served.get(uid) for uid in uids]
    shown = served.shown()
    assert (0, 0) == (shown["standard_keys_to_delete"], shown["behind_a_rotation"])
    (noticed,) = [each for each in served.journal("instance.validate") if "behind" in each["detail"]]
    assert ("success", len(served.listed())) == (noticed["outcome"], noticed["detail"]["behind"])


def test_a_disabled_root_key_is_told_with_its_cause_and_what_mends_it(served: Served) -> None:
    """By 'status' and by 'doctor', which look themselves; the journal has the Get that was refused, and why."""
    uid = served.make()
    root_key = served.shown()["root_key"]
    served.deployment.run("root-key", "disable", root_key, "--yes", "b root key")
    soon(lambda: bool(served.refused(uid)), within=2)

    status = served.deployment.run("status", check=False)
    doctor = served.deployment.run("doctor", check=False)
    told = json.loads(served.deployment.run("doctor", "--json", check=False).stdout)

    assert (3, 3) == (status.returncode, doctor.returncode)
    levels = [each["level"] for each in told["findings"]]
    assert sorted(levels, key=["failed", "warning", "ok"].index) == levels, "the worst comes first"
    finding = served.finding("root key of b")
    assert f"'keyrack root-key enable {root_key}' brings them back" == finding["act"]
    assert finding["act"] in status.stdout
    assert finding["act"] in doctor.stdout
    failures = [(each["outcome"], each["cause"].partition(":")[0]) for each in told["failures"]]
    assert ("Cryptographic Failure", "state") in failures
    soon(lambda: served.found("reason") == "state")

    served.deployment.run("root-key", "enable", root_key)
    soon(lambda: not served.refused(uid), within=5)
    soon(lambda: served.found("reason") == "")


# --- seals ---


class Asking(threading.Thread):
    """A client that asks for one key as fast as it can, and remembers when it got it last."""

    def __init__(self, keeper: Keeper, uid: str) -> None:
        super().__init__(daemon=True)
        self.client, self.uid = keeper.again(), uid
        self.last, self.got, self.refusals = 0.0, 0, set[tuple[object, str]]()
        self.over = threading.Event()
        self.start()

    def run(self) -> None:
        while not self.over.is_set():
            try:
                answer = self.client.try_(Operation.GET, text(Tag.UNIQUE_IDENTIFIER, self.uid))
            except (ConnectionEnded, OSError):
                return
            if answer.ok:
                self.last, self.got = time.monotonic(), self.got + 1
            else:
                self.refusals.add((answer.reason, re.sub(r"since \S+:", "since:", answer.message)))


def workers_of(process: int) -> list[int]:
    """The processes that a server has started."""
    return [int(each) for each in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


@root_only
def test_a_seal_counts_in_every_process_when_the_command_has_answered(tmp_path: Path) -> None:
    """Two workers under way; within a second no key is left in the memory of either. Unsealed, all is as before."""
    with serving(tmp_path, KEYRACK_KMIP__WORKERS="2") as served:
        uid = served.make()
        before = served.get(uid)
        assert served.deployment.process is not None
        workers = workers_of(served.deployment.process.pid)
        asking = [Asking(served.keeper, uid) for _ in range(8)]
        soon(lambda: all(in_memory([before], worker)[before] for worker in workers))

        done = served.deployment.run("instance", "seal", "b", "--confirm", "b")
        answered = time.monotonic()
        assert served.refused(uid), "and what its connection has still in its buffers is written over"
        time.sleep(max(0.0, answered + 1 - time.monotonic()))
        left = [in_memory([before], worker)[before] for worker in workers]
        for each in asking:
            each.over.set()
        for each in asking:
            each.join(5)
        late = max(each.last for each in asking) - answered
        print(f"the last key came {late:+.3f} s after the answer")  # noqa: T201

        assert "A running ESXi host keeps the keys" in done.stdout
        assert 2 == len(workers)
        assert late <= 0, "a key was handed out after the command had answered"
        assert [0, 0] == left, "a second after the answer a key is in memory"
        said = {refusal for each in asking for refusal in each.refusals}
        told = "the instance is sealed since: an administrator unseals it with 'keyrack instance unseal b'"
        assert {(ResultReason.PERMISSION_DENIED, told)} == said
        assert "sealed for" in served.finding("keys of b")["told"]
        served.deployment.run("instance", "unseal", "b", "--yes")
        soon(lambda: not served.refused(uid), within=2)
        assert before == served.get(uid)


def test_a_seal_wants_consent_and_is_repeated_without_harm(served: Served) -> None:
    asked = served.deployment.run("instance", "seal", "b", check=False)
    first, second = [served.deployment.read("instance", "seal", "b", "--confirm", "b") for _ in range(2)]
    opened, again = [served.deployment.read("instance", "unseal", "b", "--yes") for _ in range(2)]

    assert (2, True) == (asked.returncode, "say --confirm b if that is meant" in asked.stderr)
    assert [True, False, True, False] == [each["changed"] for each in (first, second, opened, again)]
    assert first["sealed_at"] == second["sealed_at"]
    assert opened["sealed_at"] is None


# --- doctor ---


def _without_times(told: str) -> str:
    return re.sub(r"[\d.]+ (ms|GiB)", "", told)


def test_the_doctor_needs_no_server_and_writes_nothing(tmp_path: Path) -> None:
    """Well, with a warning that the server does not run; a second look finds the same."""
    deployment = Deployment(directory=tmp_path / "k").initialise()
    deployment.furnish()
    files = {path: path.read_bytes() for path in deployment.directory.glob("*.db")}
    first, second = [deployment.run("doctor", check=False) for _ in range(2)]

    assert (0, 0) == (first.returncode, second.returncode)
    assert _without_times(first.stdout) == _without_times(second.stdout)
    assert "! listener" in first.stdout
    assert (
        "revocation counts within 35 s while the key manager answers, within 15 min while it does not" in first.stdout
    )
    assert files == {path: path.read_bytes() for path in deployment.directory.glob("*.db")}


def test_the_doctor_looks_at_a_configuration_that_does_not_load(tmp_path: Path) -> None:
    deployment = Deployment(directory=tmp_path / "k").initialise()
    deployment.configuration.write_text(deployment.configuration.read_text().replace("[kmip]", "[kmipp]"))

    done = deployment.run("doctor", "--json", check=False)

    found = json.loads(done.stdout)
    assert (3, False) == (done.returncode, found["healthy"])
    assert {("configuration", "failed")} == {(each["what"], each["level"]) for each in found["findings"]}
    assert "kmipp" in found["findings"][0]["told"]


@pytest.mark.sqlite("its file is gone")
def test_the_doctor_says_that_the_catalog_is_gone(tmp_path: Path) -> None:
    deployment = Deployment(directory=tmp_path / "k").initialise()
    (deployment.directory / "catalog.db").unlink()

    done = deployment.run("doctor", "--json", check=False)

    worst = json.loads(done.stdout)["findings"][0]
    assert (3, "catalog", "failed") == (done.returncode, worst["what"], worst["level"])


# --- through IBM's API ---


@dataclass(frozen=True, slots=True)
class Ibm:
    """What plays IBM, and what the customer has of it."""

    running: KeyManagerProcess
    root_key: str
    api_key: Path

    def ask(self, method: str, path: str) -> Any:
        """A request of the customer's own."""
        address = self.running.address
        token = address.login(self.api_key.read_text().strip())
        headers = {"Authorization": f"Bearer {token}", "Bluemix-Instance": self.running.instance}
        return address.ask(method, path, headers=headers)

    def standard_key(self, uid: str) -> str:
        """The identifier of the standard key of an object."""
        listed = self.ask("GET", "/api/v2/keys?extractable=true").json["resources"]
        (found,) = [each["id"] for each in listed if each["name"] == name_of(uid)]
        return str(found)


@pytest.fixture
def ibm(tmp_path: Path) -> Iterator[Ibm]:
    """A running key manager with a root key, and the API key of a Manager in a file."""
    with key_manager_process(
        tmp_path / "ibm",
        KEYRACK_KEY_MANAGERS__EMBEDDED__WAITS__STATE_CHANGE_SECONDS="0",
        KEYRACK_KEY_MANAGERS__EMBEDDED__WAITS__ROTATE_SECONDS="0",
    ) as running:
        api_key = tmp_path / "api.key"
        api_key.touch(mode=0o600)
        api_key.write_text(running.new_api_key("keyrack", "Manager") + "\n")
        yield Ibm(running, running.deployment.read("root-key", "create", "vmware")["identifier"], api_key)


@pytest.fixture
def at_ibm(ibm: Ibm, tmp_path: Path) -> Iterator[Served]:
    """A server whose key manager that is."""
    url = ibm.running.address.url
    options = [
        *("--key-manager", "key-protect", "--url", url, "--iam-url", url, "--kms-instance", ibm.running.instance),
        *("--api-key-file", str(ibm.api_key), "--ca-bundle", str(ibm.running.address.authority)),
    ]
    settings = {"LEASE__EXISTENCE_SECONDS": str(ROUND), "ANSWER_SECONDS": "10", "WRITE_SECONDS": "20"}
    environment = {f"KEYRACK_KEY_MANAGERS__IBM__{name}": value for name, value in settings.items()}
    deployment = Deployment(directory=tmp_path / "k", environment=environment).initialise(*options)
    deployment.run("instance", "create", "b", "--root-key", ibm.root_key)
    identity = client(deployment.authority, "b")
    deployment.add_client("b", identity)
    context = deployment.context(identity)
    address = deployment.start()
    try:
        yield Served(deployment, address, Keeper(Client(address, context), lambda: Client(address, context)))
    finally:
        deployment.stop()


def test_care_through_key_protect(ibm: Ibm, at_ibm: Served) -> None:
    """A standard key deleted and restored, the root key rotated, then disabled: each is noticed, told, and over."""
    served = at_ibm
    gone, there = served.make(), served.make()
    before = served.get(gone)
    standard_key = ibm.standard_key(gone)

    assert ibm.ask("DELETE", f"/api/v2/keys/{standard_key}").status in {200, 204}
    soon(lambda: served.found("withheld") == 1)
    assert "the object is withheld" in served.refused(gone)
    assert served.get(there)
    assert "Restore" in served.finding("keys of b", "withheld")["act"]
    assert 201 == ibm.ask("POST", f"/api/v2/keys/{standard_key}/restore").status
    soon(lambda: served.found("withheld") == 0)
    assert before == served.get(gone)

    assert ibm.ask("POST", f"/api/v2/keys/{ibm.root_key}/actions/rotate").status in {200, 204}
    soon(lambda: len(served.journal("key.rewrap")) == 2)
    assert before == served.get(gone)

    assert 204 == ibm.ask("POST", f"/api/v2/keys/{ibm.root_key}/actions/disable").status
    soon(lambda: served.found("reason") == "state")
    finding = served.finding("root key of b")
    assert ("failed", "state") == (finding["level"], finding["cause"])
    assert "the instance ▸ Keys" in finding["act"]
    soon(lambda: bool(served.refused(gone)), within=40)
    assert 204 == ibm.ask("POST", f"/api/v2/keys/{ibm.root_key}/actions/enable").status
    soon(lambda: served.found("reason") == "")
    assert before == served.get(gone)
