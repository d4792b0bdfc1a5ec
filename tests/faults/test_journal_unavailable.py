"""No record, no key: whatever keeps the journal from being written, or from being where it has to be, over real TLS.

The server is never restarted: what is mended is served again at once.
"""

import json
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from keyrack.testing.certificates import client
from keyrack.testing.client import Client, Refused
from keyrack.testing.ledger import Promise
from keyrack.testing.process import Deployment
from keyrack.testing.receivers import Webhook, pem, webhook_receiver
from keyrack.testing.streams import Writer

DEADLINE = 0.5
"""Seconds that a required sink is waited for in these tests."""
WITHIN = 5.0
TRIES = 20

SPOILERS = {
    "the table is gone": ("ALTER TABLE journal RENAME TO gone", "ALTER TABLE gone RENAME TO journal"),
    "a trigger refuses": (
        "CREATE TRIGGER full BEFORE INSERT ON journal BEGIN SELECT RAISE (ABORT, 'nothing is written'); END",
        "DROP TRIGGER full",
    ),
    "the table has lost a column": (
        "ALTER TABLE journal RENAME COLUMN hash TO lost",
        "ALTER TABLE journal RENAME COLUMN lost TO hash",
    ),
}


def a_deployment(directory: Path, tables: str = "") -> tuple[Deployment, Callable[[tuple[str, int]], Writer]]:
    """With one instance; who makes a client of it that is connected."""
    environment = {"KEYRACK_API__ENABLED": "false"}
    deployment = Deployment(directory=directory / "d", environment=environment).initialise()
    with deployment.configuration.open("a") as file:
        file.write(tables)
    identity = client(deployment.authority, "a")
    deployment.add_client("a", identity, create=True)
    context = deployment.context(identity)
    return deployment, lambda address: Writer(Client(address, context), "a", "journal")


def released(writer: Writer, promise: Promise, tries: int = TRIES) -> int:
    """How many of so many Gets hand the key out."""
    given, told = 0, set()
    for _ in range(tries):
        try:
            writer.get(promise)
            given += 1
        except Refused as refusal:
            told.add(" ".join(refusal.answer.message.split()[:2]))
    assert told <= {"the catalog", "the journal"}
    return given


def recovers(writer: Writer, promise: Promise) -> bool:
    """Whether the key is handed out again in time."""
    until = time.monotonic() + WITHIN
    while time.monotonic() < until:
        if released(writer, promise, 1):
            return True
        time.sleep(0.02)
    return False


def executed(deployment: Deployment, *statements: str) -> None:
    """By somebody at the database's file."""
    with sqlite3.connect(deployment.directory / "catalog.db", timeout=10) as database:
        for statement in statements:
            database.execute(statement)


def records(deployment: Deployment) -> list[tuple[str, int, str]]:
    """Chain, sequence and action of every record."""
    with sqlite3.connect(deployment.directory / "catalog.db", timeout=10) as database:
        rows = database.execute("SELECT chain, sequence, text FROM journal ORDER BY number").fetchall()
    return [(chain, sequence, json.loads(text)["action"]) for chain, sequence, text in rows]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Deployment, Writer]]:
    """A server without sinks."""
    deployment, connect = a_deployment(tmp_path_factory.mktemp("journal"))
    writer = connect(deployment.start())
    yield deployment, writer
    writer.client.close()
    deployment.stop()


@pytest.mark.parametrize("spoiler", SPOILERS)
def test_without_a_journal_no_key_is_released(served: tuple[Deployment, Writer], spoiler: str) -> None:
    """Not one of twenty, though the key lies in memory; and no key is made. Then again, without a restart."""
    deployment, writer = served
    promise = writer.create()
    spoil, mend = SPOILERS[spoiler]
    executed(deployment, spoil)
    try:
        given = released(writer, promise)
        with pytest.raises(Refused):
            writer.create()
    finally:
        executed(deployment, mend)

    assert given == 0
    assert recovers(writer, promise)


@dataclass(slots=True)
class Required:
    """A deployment whose webhook has to have each entry, and that has a file besides."""

    deployment: Deployment
    connect: Callable[[tuple[str, int]], Writer]
    hook: Webhook
    file: Path


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Required]:
    """It serves when a test starts it; one for all tests of this file."""
    directory = tmp_path_factory.mktemp("required")
    keys, file = pem(directory), directory / "sink.jsonl"
    with webhook_receiver(keys.context) as hook:
        tables = f"""
[journal.sinks.siem]
type = "webhook"
url = "{hook.url}"
ca_file = "{keys.ca_file}"
required = true
deadline_seconds = {DEADLINE}

[journal.sinks.file]
type = "json_lines"
file = "{file}"
sync = false
"""
        deployment, connect = a_deployment(directory, tables)
        yield Required(deployment, connect, hook, file)


@pytest.fixture
def required(prepared: Required) -> Iterator[Required]:
    """With a sink that takes everything; whatever a test leaves behind, the next one begins so."""
    yield prepared
    prepared.hook.hang, prepared.hook.status = False, 200
    prepared.deployment.stop()


def places(hook: Webhook) -> list[tuple[str, int]]:
    """Chain and sequence of what came, without checkpoints."""
    found = [(event["journal"]["chain"], event["journal"]["sequence"]) for event in hook.events]
    return [each for each in found if each[0] != "checkpoints"]


def test_a_command_waits_for_a_required_sink_too(required: Required) -> None:
    """With no server it hands on itself; where the sink takes nothing, nothing is done and it says why."""
    deployment, hook = required.deployment, required.hook
    before = places(hook)
    hook.status = 503
    refused = deployment.run("instance", "create", "late", check=False)
    again = deployment.run("instance", "create", "never", check=False)
    state = deployment.run("audit", "sinks", check=False)
    hook.status = 200
    deployment.run("instance", "create", "good")
    names = {each["name"] for each in deployment.read("instance", "list")}

    assert {chain for chain, _ in before} == {"administration"}
    assert (refused.returncode, again.returncode, state.returncode) == (1, 1, 1)
    assert "it is written in the journal, but the required sink 'siem' has not taken it" in refused.stderr
    assert "the sink 'siem' is required and takes no entries" in again.stderr
    assert "answers 503" in state.stdout
    assert ("good" in names, "never" in names) == (True, False)


def test_a_required_sink_has_the_entry_before_the_key_is_released(required: Required) -> None:
    """It is there when the client has its answer. Hung or failing, nothing is released, and nothing is begun either."""
    deployment, hook = required.deployment, required.hook
    writer = required.connect(deployment.start())
    promise = writer.create()
    told = [event["action"].rpartition(".")[2] for event in hook.events if event["dataEvent"]]
    hook.hang = True
    began = time.monotonic()
    first = released(writer, promise, 1)
    waited = time.monotonic() - began
    count = len(records(deployment))
    began = time.monotonic()
    hung = released(writer, promise)
    with pytest.raises(Refused, match="the journal does not reach a sink"):
        writer.create()
    at_once = time.monotonic() - began
    meanwhile = len(records(deployment))
    hook.hang, hook.status = False, 500
    failing = released(writer, promise)
    hook.status = 200
    back = recovers(writer, promise)
    written = [(chain, sequence) for chain, sequence, _ in records(deployment)]
    writer.client.close()
    deployment.stop()

    assert told[-2:] == ["create", "read"]
    assert (first, hung, failing, back) == (0, 0, 0, True)
    assert DEADLINE * 0.9 < waited < DEADLINE + 1.5
    assert at_once < 2.0
    assert meanwhile == count, "refused before anything was done"
    assert set(written) <= set(places(hook))


def test_nothing_is_missing_in_sinks_after_kills(required: Required) -> None:
    """Killed at once, again and again under load: each record is in each sink, each chain in its order."""
    deployment = required.deployment
    for round_ in range(3):
        writer = required.connect(deployment.start())
        until = time.monotonic() + 0.2 + 0.2 * round_
        while time.monotonic() < until:
            writer.create()
        deployment.stop(signal.SIGKILL)
        writer.client.close()
    deployment.start()
    until = time.monotonic() + 10
    while time.monotonic() < until and any(each["behind"] for each in deployment.read("audit", "sinks")):
        time.sleep(0.1)
    deployment.stop()
    written = [(chain, sequence) for chain, sequence, _ in records(deployment)]
    lines = [json.loads(line) for line in required.file.read_text().splitlines()]

    for events in (lines, required.hook.events):
        got = in_order(events)
        assert [each for each in written if each not in got] == []
    assert len(written) > 30


def in_order(events: Sequence[Mapping[str, Any]]) -> set[tuple[str, int]]:
    """Chain and sequence of each; none comes before the one that it follows."""
    seen: dict[str, int] = {}
    for event in events:
        chain, sequence = event["journal"]["chain"], event["journal"]["sequence"]
        assert chain == "checkpoints" or sequence <= seen.get(chain, 0) + 1
        seen[chain] = max(seen.get(chain, 0), sequence)
    return {(event["journal"]["chain"], event["journal"]["sequence"]) for event in events}
