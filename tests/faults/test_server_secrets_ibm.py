"""Keys that went through IBM's API are never found where they must not be, in a real server: memory, log, files.

The log is at debug level throughout. The same searches find what is there, before it is let go of.
"""

import os
import signal
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from keyrack.spec.enumerations import Operation, QueryFunction
from keyrack.spec.tags import Tag
from keyrack.testing.acts import ACTS, Keeper, creates
from keyrack.testing.canaries import in_files, in_memory, in_text, written_forms
from keyrack.testing.certificates import client
from keyrack.testing.client import Client
from keyrack.testing.key_manager_process import KeyManagerProcess, key_manager_process
from keyrack.testing.nursery import Child, Nursery
from keyrack.testing.process import Deployment
from keyrack.testing.ttlv import enumeration

PREPARATIONS = Path(__file__).parent / "sabotage.py"
TIMES = 1
"""How often each act is done before memory is searched."""
HIERARCHIES = ["direct", "two-level"]
EACH = ["direct", pytest.param("two-level", marks=pytest.mark.slow)]
SEALED_WITHIN = 3.0
"""Seconds after which no process has anything left of an instance that was sealed."""
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="the server keeps its memory private; only root may look")


@dataclass(slots=True)
class House:
    """A running server on ``key_protect``, and a client of each instance."""

    deployment: Deployment
    child: Child
    address: tuple[str, int]
    contexts: dict[str, ssl.SSLContext]
    api_key: bytes

    def keeper(self, hierarchy: str) -> Keeper:
        """A client of the instance of that hierarchy, which has just come."""
        return Keeper(self.connect(hierarchy), lambda: self.connect(hierarchy))

    def connect(self, hierarchy: str) -> Client:
        return Client(self.address, self.contexts[hierarchy])

    def purge(self, keeper: Keeper) -> None:
        """Make the server let go of every unwrapped key."""
        os.kill(self.child.pid, signal.SIGUSR1)
        time.sleep(0.1)
        keeper.client.ask(Operation.QUERY, enumeration(Tag.QUERY_FUNCTION, QueryFunction.QUERY_SERVER_INFORMATION))

    def left(self, canaries: list[bytes]) -> int:
        """How many pieces of keys are in the server's memory, as they are or as the base64 that they travel in."""
        forms = [written_forms(each)[f"base64+{shift}"] for each in canaries for shift in range(3)]
        return sum(in_memory([*canaries, *forms], self.child.pid).values())


@pytest.fixture(scope="module")
def ibm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeyManagerProcess]:
    """What plays IBM, in a process of its own: what it remembers is not looked for."""
    with key_manager_process(tmp_path_factory.mktemp("ibm")) as running:
        yield running


@pytest.fixture(scope="module")
def house(ibm: KeyManagerProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A server that purges when it gets a signal, with an instance of each hierarchy."""
    directory = tmp_path_factory.mktemp("secrets")
    api_key = directory / "api.key"
    api_key.touch(mode=0o600)
    api_key.write_text(ibm.new_api_key("keyrack", "Manager"))
    settings = {"ANSWER_SECONDS": "10", "WRITE_SECONDS": "20"}
    environment = {f"KEYRACK_KEY_MANAGERS__IBM__{name}": value for name, value in settings.items()}
    deployment = Deployment(
        directory=directory / "deployment", environment={"KEYRACK_LOG__LEVEL": "debug", **environment}
    ).initialise(
        *("--key-manager", "key-protect", "--url", ibm.address.url, "--iam-url", ibm.address.url),
        *("--kms-instance", ibm.instance, "--api-key-file", str(api_key), "--ca-bundle", str(ibm.address.authority)),
    )
    root_key = ibm.deployment.read("root-key", "create", "vmware")["identifier"]
    contexts = {}
    for hierarchy in HIERARCHIES:
        deployment.run("instance", "create", hierarchy, "--root-key", root_key, "--hierarchy", hierarchy)
        identity = client(deployment.authority, hierarchy)
        deployment.add_client(hierarchy, identity)
        contexts[hierarchy] = deployment.context(identity)
    with Nursery((PREPARATIONS, "purge_on_signal")) as nursery:
        child = nursery.serve(deployment)
        try:
            yield House(deployment, child, child.address(), contexts, api_key.read_bytes())
        finally:
            child.close()


@root_only
@pytest.mark.parametrize("hierarchy", EACH)
def test_after_a_purge_no_key_is_left_in_memory(house: House, hierarchy: str) -> None:
    """Wrapped, verified, unwrapped anew by every way that keys take: nothing stays in buffers of HTTP, TLS or JSON."""
    keeper = house.keeper(hierarchy)
    for act in ACTS.values():
        for _ in range(TIMES):
            act(keeper)
    canaries = list(keeper.canaries)
    before = house.left(canaries)

    house.purge(keeper)

    after = house.left(canaries)
    print(hierarchy, "before:", before, "after:", after)  # noqa: T201
    assert before >= TIMES, "the control"
    assert 0 == after
    assert 0 == house.left([house.api_key])


def test_no_key_is_in_any_file(house: House) -> None:
    """Nor the API key, but for the file that has it: catalog, journal, log at debug level, what commands print."""
    canaries = []
    for hierarchy in HIERARCHIES:
        keeper = house.keeper(hierarchy)
        for act in ACTS.values():
            act(keeper)
        canaries += keeper.canaries
    words = (["key", "list", "direct"], ["audit", "list"], ["doctor", "--json"], ["verify", "--json"], ["status"])
    told = [house.deployment.run(*each, check=False) for each in words]
    text = "".join(each.stdout + each.stderr for each in told)

    assert "instance" in text
    assert [] == in_files([*canaries, house.api_key], house.deployment.directory)
    assert [] == in_text([*canaries, house.api_key], text)


@root_only
@pytest.mark.parametrize("hierarchy", EACH)
def test_after_a_seal_no_key_is_left_in_memory(house: House, hierarchy: str) -> None:
    """Nobody has to ask for it: the seal is enough."""
    keeper = house.keeper(hierarchy)
    for _ in range(TIMES):
        creates(keeper)
    canaries = list(keeper.canaries)
    assert house.left(canaries) >= TIMES, "the control"

    house.deployment.run("instance", "seal", hierarchy, "--confirm", hierarchy)
    until = time.monotonic() + SEALED_WITHIN
    while (after := house.left(canaries)) and time.monotonic() < until:
        time.sleep(0.1)
    house.deployment.run("instance", "unseal", hierarchy, "--yes")

    assert 0 == after
