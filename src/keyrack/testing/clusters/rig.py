"""All of it: a primary with its standby, a key manager that is reached over the network, and two nodes.

Between each node and each PostgreSQL server, each node and the key manager, and each node and its clients there is a
way that can be cut, unless ``cuttable`` is off, for those who measure.
"""

import asyncio
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from keyrack.adapters.catalogs.postgres.connecting import Place, connect
from keyrack.adapters.catalogs.postgres.migrator import grant, migrate
from keyrack.testing.certificates import Identity, client
from keyrack.testing.clusters.node import Node, configured
from keyrack.testing.clusters.pair import Pair, pair
from keyrack.testing.clusters.way import State
from keyrack.testing.clusters.ways import Ways, ways
from keyrack.testing.key_manager_process import KeyManagerProcess, key_manager_process
from keyrack.testing.nursery import Nursery
from keyrack.testing.postgres import OWNER, SERVER, free_port
from keyrack.testing.process import Deployment

INSTANCE: Final = "vmware"
NODES: Final = ("node-1", "node-2")
_PATIENT: Final = {
    # Of a machine that does a hundred other things; a key manager that is cut off refuses at once.
    "KEYRACK_KEY_MANAGERS__IBM__CONNECT_SECONDS": "3",
    "KEYRACK_KEY_MANAGERS__IBM__ANSWER_SECONDS": "4",
    "KEYRACK_KEY_MANAGERS__IBM__WRITE_SECONDS": "8",
}


@dataclass(slots=True, kw_only=True)
class Rig:
    """Everything runs but the nodes, which :meth:`start` starts."""

    directory: Path
    pair: Pair
    ways: Ways
    key_manager: KeyManagerProcess
    nodes: Sequence[Node]
    root_key: str
    _contexts: dict[str, ssl.SSLContext] = field(default_factory=dict)
    _identities: dict[str, Identity] = field(default_factory=dict)

    @property
    def deployment(self) -> Deployment:
        """Where an administrator's commands run: on the first node."""
        return self.nodes[0].deployment

    def start(self) -> None:
        """Start both nodes, and wait until they serve."""
        for each in self.nodes:
            each.begin()
        for each in self.nodes:
            each.await_ready()

    def new_instance(self, name: str, *clients: str, hierarchy: str = "direct") -> None:
        """Make an instance, and let clients of these names in."""
        self.deployment.run("instance", "create", name, "--root-key", self.root_key, "--hierarchy", hierarchy)
        for each in clients:
            self.admit(name, each)

    def admit(self, instance: str, name: str) -> None:
        """Let a client in, with the certificate of before if it had one."""
        if name not in self._identities:
            self._identities[name] = client(self.deployment.authority, name)
            self._contexts[name] = self.deployment.context(self._identities[name])
        self.deployment.add_client(instance, self._identities[name])

    def lend(self, name: str, *others: str) -> None:
        """Let others come with the certificate of a client that was let in, as the hosts of one cluster do."""
        for each in others:
            self._identities[each], self._contexts[each] = self._identities[name], self._contexts[name]

    def identity(self, name: str) -> Identity:
        """Certificate and key of a client that was let in."""
        return self._identities[name]

    def fingerprint(self, name: str) -> str:
        """Of the certificate of a client that was let in."""
        return self._identities[name].fingerprint

    def context(self, name: str) -> ssl.SSLContext:
        """Of a client that was let in."""
        return self._contexts[name]

    def part_servers(self) -> None:
        """Cut the standby from the primary, until :meth:`join_servers`."""
        self.ways.become(State.CUT, *self._between)

    def join_servers(self) -> None:
        """Let them reach each other again."""
        self.ways.become(State.OPEN, *self._between)

    @property
    def _between(self) -> Sequence[str]:
        return [f"standby {each.port}" for each in (self.pair.a, self.pair.b)]

    @contextmanager
    def broken(self, preparation: tuple[Path, str]) -> Iterator[None]:
        """Nodes that were broken on purpose (see ``nursery``) serve in their place, as long as the block lasts."""
        honest = [each.nursery for each in self.nodes]
        self.stop()
        with Nursery(preparation) as nursery:
            for each in self.nodes:
                each.nursery = nursery
            try:
                self.start()
                yield
            finally:
                self.stop()
                self._take_as_it_is()
                for node, before in zip(self.nodes, honest, strict=True):
                    node.nursery = before

    def _take_as_it_is(self) -> None:
        """Forget whatever shows that the catalog has lost something: it would be read-only from now on, rightly."""
        for node in self.nodes:
            for each in (node.deployment.directory / "journal").glob("*.jsonl"):
                each.unlink()
        self.pair.primary.sql("UPDATE generation SET rollback_at = NULL, rollback_why = ''", database="keyrack")

    def stop(self) -> None:
        """Kill the nodes."""
        for each in self.nodes:
            each.kill()


@contextmanager
def rig(
    directory: Path,
    *,
    cuttable: bool = True,
    environment: Mapping[str, str] | None = None,
    settings: Mapping[str, str] | None = None,
    grounds: tuple[Path | None, Path | None] = (None, None),
    homes: tuple[Path | None, Path | None] = (None, None),
) -> Iterator[Rig]:
    """Everything, in ``directory``; ``environment`` is the nodes', ``settings`` are PostgreSQL's; ``grounds`` are
    directories for the two PostgreSQL servers, ``homes`` for the two nodes, to be other disks."""
    with ExitStack() as stack:
        manager = stack.enter_context(key_manager_process(directory / "key-manager"))
        leading = stack.enter_context(ways())

        def led(port: int) -> int:
            return leading.add(f"standby {port}", ("127.0.0.1", port))[1]

        servers = stack.enter_context(pair(settings, grounds=grounds, led=led if cuttable else None))
        asyncio.run(_schema(servers))
        nursery = stack.enter_context(Nursery())
        made = _Making(
            directory=directory,
            homes=[home or directory for home in homes],
            servers=servers,
            ways=leading if cuttable else None,
            manager=manager,
            nursery=nursery,
            environment=environment or {},
        )
        nodes = made.nodes()
        root_key = manager.deployment.read("root-key", "create", "vmware")["identifier"]
        built = Rig(
            directory=directory, pair=servers, ways=leading, key_manager=manager, nodes=nodes, root_key=root_key
        )
        try:
            yield built
        finally:
            built.stop()


async def _schema(servers: Pair) -> None:
    connection = await connect(Place(servers.primary.url(OWNER), "prepare"))
    try:
        await migrate(connection)
        await grant(connection, SERVER)
    finally:
        await connection.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Making:
    """What nodes are made of."""

    directory: Path
    homes: Sequence[Path]
    servers: Pair
    ways: Ways | None
    manager: KeyManagerProcess
    nursery: Nursery
    environment: Mapping[str, str]

    def nodes(self) -> Sequence[Node]:
        """Two directories of one deployment; the second is a copy of the first, but for what is each node's own."""
        api_key = self.directory / "api.key"
        api_key.touch(mode=0o600)
        api_key.write_text(self.manager.new_api_key("keyrack", "Manager"))
        url = self._led(f"{NODES[0]} key manager", (self.manager.address.host, self.manager.address.port))
        first = Deployment(directory=self.homes[0] / NODES[0]).initialise(
            *("--deployment", "cluster", "--key-manager", "key-protect", "--api-key-file", str(api_key)),
            *("--url", f"https://127.0.0.1:{url[1]}", "--iam-url", f"https://127.0.0.1:{url[1]}"),
            *("--kms-instance", self.manager.instance, "--ca-bundle", str(self.manager.address.authority)),
        )
        second = first.copied(self.homes[1] / NODES[1], {})
        other = self._led(f"{NODES[1]} key manager", (self.manager.address.host, self.manager.address.port))
        text = second.configuration.read_text().replace(f"https://127.0.0.1:{url[1]}", f"https://127.0.0.1:{other[1]}")
        second.configuration.write_text(text)
        return [self._node(name, each) for name, each in zip(NODES, (first, second), strict=True)]

    def _node(self, name: str, deployment: Deployment) -> Node:
        ports = [
            self._led(f"{name} {which}", ("127.0.0.1", server.port))[1]
            for which, server in (("a", self.servers.a), ("b", self.servers.b))
        ]
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
        configured(deployment, name, f"postgresql://{SERVER}@{hosts}/keyrack?sslmode=disable")
        port = free_port()
        deployment.environment = {**_PATIENT, **self.environment, "KEYRACK_KMIP__PORT": str(port)}
        address = self._led(f"{name} clients", ("127.0.0.1", port))
        return Node(name=name, deployment=deployment, nursery=self.nursery, port=port, address=address)

    def _led(self, name: str, target: tuple[str, int]) -> tuple[str, int]:
        return target if self.ways is None else self.ways.add(name, target)
