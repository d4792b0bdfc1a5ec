"""Keys that the test knows are never found where they must not be: files, log, tracebacks, memory after a purge.

The log is at debug level throughout. Each search has its control: the same search finds what was planted.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from keyrack.spec.enumerations import Operation, QueryFunction
from keyrack.spec.tags import Tag
from keyrack.testing.acts import ACTS, Keeper
from keyrack.testing.canaries import in_files, in_memory, in_text, written_forms
from keyrack.testing.client import Client
from keyrack.testing.nursery import Child, Nursery
from keyrack.testing.process import Deployment
from keyrack.testing.ttlv import enumeration

PREPARATIONS = Path(__file__).parent / "sabotage.py"
TIMES = 5
"""How often each act is done before memory is searched."""
OPENING = {"creates", "registers", "registers_transparent", "gets_wrapped"}
"""Acts after which unwrapped keys are kept."""
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="the server keeps its memory private; only root may look")


@dataclass(slots=True)
class House:
    """A running server and a client that remembers."""

    deployment: Deployment
    child: Child
    keeper: Keeper

    def purge(self) -> None:
        """Make the server let go of every unwrapped key."""
        os.kill(self.child.pid, signal.SIGUSR1)
        time.sleep(0.1)
        self.keeper.client.ask(Operation.QUERY, enumeration(Tag.QUERY_FUNCTION, QueryFunction.QUERY_SERVER_INFORMATION))


@contextmanager
def house(directory: Path, preparation: str) -> Iterator[House]:
    """A server in a process that was prepared in the way of that name."""
    deployment = Deployment(directory=directory / "deployment", environment={"KEYRACK_LOG__LEVEL": "debug"})
    contexts = deployment.initialise().furnish()
    with Nursery((PREPARATIONS, preparation)) as nursery:
        child = nursery.serve(deployment)
        try:
            address = child.address()
            with Client(address, contexts["b"]) as client:
                yield House(deployment, child, Keeper(client, lambda: Client(address, contexts["b"])))
        finally:
            child.close()


@pytest.fixture(scope="module")
def purging(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A server that purges when it gets a signal."""
    with house(tmp_path_factory.mktemp("secrets"), "purge_on_signal") as running:
        yield running


@root_only
@pytest.mark.parametrize("act", ACTS)
def test_after_a_purge_no_key_is_left_in_memory(purging: House, act: str) -> None:
    """Nor is any that passed through: neither whole nor in part, in the memory of the very process that serves."""
    purging.keeper.canaries.clear()
    for _ in range(TIMES):
        ACTS[act](purging.keeper)
    canaries = list(purging.keeper.canaries)
    before = in_memory(canaries, purging.child.pid)

    purging.purge()

    after = in_memory(canaries, purging.child.pid)
    print(act, "before:", sorted(before.values()), "after:", sorted(after.values()))  # noqa: T201
    assert act not in OPENING or sum(before.values()) >= TIMES
    assert {} == {number: found for number, found in enumerate(after.values()) if found}


def test_no_key_is_in_any_file(purging: House) -> None:
    """All that the server and the commands wrote: catalog, journal, key manager, log, in any form of writing."""
    for act in ACTS.values():
        act(purging.keeper)
    told = [purging.deployment.run(*words).stdout for words in (["key", "list", "b"], ["audit", "list"])]

    assert [] == in_files(purging.keeper.canaries, purging.deployment.directory)
    assert [] == in_text(purging.keeper.canaries, "".join(told))


def test_no_traceback_shows_a_key(tmp_path: Path) -> None:
    """Every handler does its work and then fails, with all that it holds in the text of its exception."""
    with house(tmp_path, "every_handler_raises") as failing:
        for act in ACTS.values():
            try:
                act(failing.keeper)
            except (AssertionError, KeyError):
                continue  # nothing succeeds here
        log = failing.deployment.log.read_text()

        assert log.count("Sabotage") >= len(ACTS)
        assert [] == in_files(failing.keeper.canaries, failing.deployment.directory)


def test_the_search_finds_a_key_in_any_form(tmp_path: Path) -> None:
    """The control: each form of writing is found in a file."""
    secret = os.urandom(32)
    forms = written_forms(secret)
    for number, form in enumerate(forms.values()):
        (tmp_path / str(number)).write_bytes(b"before " + form + b" after")

    finds = in_files([secret], tmp_path)

    assert {str(number) for number in range(len(forms))} == {find.partition(": ")[0] for find in finds}
