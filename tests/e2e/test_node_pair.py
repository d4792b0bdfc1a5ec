"""Two nodes of one deployment, made as a person makes them: what is made on one is had from the other at once."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from keyrack.spec.enumerations import Operation
from keyrack.spec.tags import Tag
from keyrack.testing.certificates import Identity, client, client_context
from keyrack.testing.client import Client
from keyrack.testing.postgres_catalogs import Fresh
from keyrack.testing.process import Deployment
from keyrack.testing.streams import Writer
from keyrack.testing.ttlv import Item, text

SOON = 1.0
"""Seconds within which a root key that is disabled on one node opens nothing on any."""
NO_WAITS = "\n[key_managers.embedded.waits]\nstate_change_seconds = 0\nrotate_seconds = 0\npurge_seconds = 0\n"


@dataclass
class Node:
    """One endpoint that serves."""

    deployment: Deployment
    authority: bytes
    address: tuple[str, int]

    def connect(self, who: Identity) -> Client:
        return Client(self.address, client_context(who, [self.authority]))


@dataclass
class Pair:
    """Both, and a client of the instance ``prod``, which keeps its keys in the key manager too."""

    one: Node
    two: Node
    who: Identity

    @contextmanager
    def writers(self) -> Iterator[tuple[Writer, Writer]]:
        with self.one.connect(self.who) as first, self.two.connect(self.who) as second:
            yield Writer(first, "prod", "first"), Writer(second, "prod", "second")


@pytest.fixture
def pair(postgres: Fresh, tmp_path: Path) -> Iterator[Pair]:
    first = Deployment(directory=tmp_path / "one").initialise()
    first._name_catalog(postgres.url)
    text_ = first.configuration.read_text().replace("[deployment]", '[deployment]\nnode = "node-1"')
    first.configuration.write_text(text_ + NO_WAITS)
    who = client(first.authority, "prod")
    first.run("instance", "create", "prod", "--storage", "key_manager")
    first.add_client("prod", who)
    second = joined(first, tmp_path)
    deployments = (first, first.authority.pem), (second, (second.directory / "tls/ca.pem").read_bytes())
    one, two = (Node(each, authority, each.start()) for each, authority in deployments)
    yield Pair(one, two, who)
    for node in (one, two):
        node.deployment.stop()


def joined(first: Deployment, directory: Path) -> Deployment:
    """The second node, by an invitation of the first."""
    passphrase = directory / "passphrase"
    passphrase.write_text("a passphrase that is long\n")
    invitation = directory / "node-2.keyrack"
    sealed = ("--passphrase-file", str(passphrase))
    first.run("node", "invite", "node-2", "--name", "kms2.example.com", "--out", str(invitation), *sealed)
    second = Deployment(directory=directory / "two")
    second.run("node", "join", str(invitation), "--directory", str(second.directory), *sealed, configured=False)
    return second


def waited(true: Callable[[], bool]) -> float:
    began = time.monotonic()
    while not true():
        if time.monotonic() - began > 5 * SOON:
            return float("inf")
        time.sleep(0.005)
    return time.monotonic() - began


def _refused(asking: Client, uid: Item) -> bool:
    return not asking.try_(Operation.GET, uid).ok


def test_two_nodes_are_one_key_manager(pair: Pair) -> None:
    """Keys go to and fro, the root key is rotated and disabled on one node, and one node is killed."""
    with pair.writers() as (one, two):
        for maker, other in (one, two), (two, one):
            for _ in range(10):
                other.get(maker.create())
        listed = pair.two.deployment.read("root-key", "list")
        (root,) = (each["identifier"] for each in listed)
        pair.two.deployment.run("root-key", "rotate", root)
        for maker, other in (one, two), (two, one):
            for _ in range(5):
                other.get(maker.create())
        promise = one.create()
        two.get(promise)

        pair.one.deployment.run("root-key", "disable", root, "--yes", "prod root key")
        uid = text(Tag.UNIQUE_IDENTIFIER, promise.uid)
        for refuses in (one, two):
            assert waited(partial(_refused, refuses.client, uid)) < SOON
        pair.two.deployment.run("root-key", "enable", root)
        assert waited(lambda: not _refused(one.client, uid)) < 5 * SOON

    pair.one.deployment.stop()
    with pair.two.connect(pair.who) as alone:
        writer = Writer(alone, "prod", "third")
        writer.get(writer.create())
        writer.get(promise)
