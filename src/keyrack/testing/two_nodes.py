"""Two real nodes of one deployment over one PostgreSQL database, each with its own directory and its own way there.

Lighter than :mod:`keyrack.testing.clusters`: one database server, the embedded key manager, and ways that can be cut.
"""

import atexit
import itertools
import shutil
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from keyrack.spec.enumerations import CryptographicAlgorithm, Operation
from keyrack.spec.tags import Tag
from keyrack.testing.certificates import Identity, client
from keyrack.testing.client import Client
from keyrack.testing.clusters.node import listens
from keyrack.testing.clusters.way import State
from keyrack.testing.clusters.ways import Ways
from keyrack.testing.ledger import material
from keyrack.testing.postgres import SERVER, Cluster, free_port
from keyrack.testing.postgres_catalogs import TEMPLATE
from keyrack.testing.process import Deployment
from keyrack.testing.ttlv import Item, enumeration, integer, structure, text

INSTANCE: Final = "vmware"
_numbers = itertools.count(1)
_models: dict[int, tuple[Deployment, Identity, str]] = {}


@dataclass(slots=True, kw_only=True)
class NodeOfTwo:
    """One of them; ``name`` is its name in the catalog, and that of its way to the database."""

    name: str
    deployment: Deployment
    port: int
    ways: Ways

    def start(self) -> None:
        """Serve."""
        self.deployment.start()

    def become(self, state: State) -> None:
        """Change its way to the database."""
        self.ways.become(state, self.name)

    def connect(self, context: ssl.SSLContext) -> Client:
        """A client of it."""
        return Client(("127.0.0.1", self.port), context)

    def await_listening(self, wanted: bool, within: float) -> float:
        """Until its port answers, or refuses; seconds that it took. Raises :class:`TimeoutError`."""
        return awaited(lambda: listens(self.port) is wanted, within)

    def logged(self) -> str:
        """What it has said so far."""
        return self.deployment.log.read_text(errors="replace")


@dataclass(slots=True, kw_only=True)
class TwoNodes:
    """Both, and a client that an instance knows."""

    a: NodeOfTwo
    b: NodeOfTwo
    identity: Identity
    context: ssl.SSLContext
    database: str
    """Its name."""

    @property
    def both(self) -> tuple[NodeOfTwo, NodeOfTwo]:
        """In their order."""
        return self.a, self.b

    def start(self) -> None:
        """Serve with both."""
        for each in self.both:
            each.start()


@contextmanager
def two_nodes(
    directory: Path, cluster: Cluster, ways: Ways, environment: Mapping[str, str] | None = None
) -> Iterator[TwoNodes]:
    """Made, not started, over a database of their own in ``cluster``. Ended afterwards, and the database removed."""
    model, identity, template = _model(cluster)
    database = cluster.database(f"nodes{next(_numbers)}", template)
    nodes = []
    for number in (1, 2):
        name, own = f"node-{number}", free_port()
        way = ways.add(name, ("127.0.0.1", cluster.port))
        deployment = model.copied(directory / name, {})
        deployment.environment = {
            **(environment or {}),
            "KEYRACK_CATALOG__URL": f"postgresql://{SERVER}@127.0.0.1:{way[1]}/{database}?sslmode=disable",
            "KEYRACK_DEPLOYMENT__NODE": name,
            "KEYRACK_KMIP__PORT": str(own),
        }
        nodes.append(NodeOfTwo(name=name, deployment=deployment, port=own, ways=ways))
    context = model.context(identity)
    made = TwoNodes(a=nodes[0], b=nodes[1], identity=identity, context=context, database=database)
    try:
        yield made
    finally:
        for each in made.both:
            each.become(State.OPEN)
        for each in made.both:
            each.deployment.stop()
        cluster.sql(f'DROP DATABASE "{database}" WITH (FORCE)')


def _model(cluster: Cluster) -> tuple[Deployment, Identity, str]:
    """A deployment with a client of one instance, made once for each server; and its database, to be copied."""
    if cluster.port not in _models:
        _models[cluster.port] = _made(cluster)
    return _models[cluster.port]


def _made(cluster: Cluster) -> tuple[Deployment, Identity, str]:
    directory = Path(tempfile.mkdtemp(prefix="keyrack-two-nodes-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    database = cluster.database(f"two_nodes_{cluster.port}", TEMPLATE)
    environment = {"KEYRACK_CATALOG__URL": cluster.url(SERVER, database)}
    deployment = Deployment(directory=directory / "d", environment=environment).initialise()
    identity = client(deployment.authority, INSTANCE)
    deployment.add_client(INSTANCE, identity, create=True)
    return deployment, identity, database


def awaited(condition: Callable[[], bool], within: float) -> float:
    """Seconds until it came true; raises :class:`TimeoutError`."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > within:
            raise TimeoutError(f"not so within {within} s")
        time.sleep(0.005)
    return time.monotonic() - began


def created(talking: Client) -> str:
    """The identifier of a new AES key."""
    attributes = (
        _attribute("Cryptographic Algorithm", enumeration(Tag.ATTRIBUTE_VALUE, CryptographicAlgorithm.AES)),
        _attribute("Cryptographic Length", integer(Tag.ATTRIBUTE_VALUE, 256)),
        _attribute("Cryptographic Usage Mask", integer(Tag.ATTRIBUTE_VALUE, 12)),
    )
    made = talking.ask(
        Operation.CREATE, enumeration(Tag.OBJECT_TYPE, 2), structure(Tag.TEMPLATE_ATTRIBUTE, *attributes)
    )
    return made.string(Tag.UNIQUE_IDENTIFIER)


def got(talking: Client, identifier: str) -> bytes:
    """The key."""
    return material(talking.ask(Operation.GET, text(Tag.UNIQUE_IDENTIFIER, identifier)))


def _attribute(name: str, value: Item) -> Item:
    return structure(Tag.ATTRIBUTE, text(Tag.ATTRIBUTE_NAME, name), value)
