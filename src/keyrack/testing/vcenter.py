"""A pretended vCenter: it encrypts virtual machines, reboots hosts and polls, with the frames that a real one sends.

The order of connections and requests is that of a vCenter 7.0.3 on the wire: one connection for each task, Discover
Versions first on each, bare TLS connections between them, Get before Activate, one Get Attributes for each attribute,
vendor attributes in batches of three, several connections for the same key at once. A test holds the frames against the
capture byte for byte. Key material is compared by its digest and not kept.
"""

import hashlib
import ssl
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from keyrack.spec.enumerations import State
from keyrack.spec.tags import Tag
from keyrack.spec.versions import V1_1
from keyrack.testing import vcenter_frames as frames
from keyrack.testing.client import Answer, Client, ConnectionEnded, ProtocolViolation, answers

PRODUCT = (("x-Product_Version", "7.0.3 build-19480866"), ("x-Vendor", "VMware, Inc."), ("x-Product", "VMware vSphere"))
"""What vCenter first writes on each key."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A virtual machine or an ESXi host, as vCenter names it on its key."""

    name: str
    component: str
    identifier: str

    @property
    def attributes(self) -> tuple[tuple[str, str], ...]:
        """The three attributes that tell whose key it is."""
        return (("x-Identifier", self.identifier), ("x-Component", self.component), ("x-Name", self.name))


def virtual_machine(name: str) -> Machine:
    """A virtual machine with an identifier made from its name."""
    return Machine(name, "Virtual Machine", str(uuid.uuid5(uuid.NAMESPACE_DNS, f"vm.{name}")))


def esxi_host(name: str) -> Machine:
    """An ESXi host with an identifier made from its name."""
    return Machine(name, "ESXi Server", str(uuid.uuid5(uuid.NAMESPACE_DNS, f"host.{name}")))


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that vCenter did: in milliseconds, over so many connections and requests, and what went wrong if so."""

    what: str
    milliseconds: float
    connections: int
    requests: int
    problem: str | None = None

    @property
    def ok(self) -> bool:
        """Whether all of it was answered as vCenter needs it."""
        return self.problem is None


@dataclass(frozen=True, slots=True)
class HeldKey:
    """What vCenter remembers of a key: whose it is, its identifier, and the SHA-256 of its material."""

    machine: Machine
    identifier: str
    digest: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Report:
    """How the conversation went."""

    steps: tuple[Step, ...]
    keys: tuple[HeldKey, ...]

    @property
    def ok(self) -> bool:
        """Whether every step went well."""
        return all(step.ok for step in self.steps)


class Failed(Exception):
    """The server's answer would have stopped vCenter."""


class VCenter:
    """One vCenter with one key provider of one server.

    ``tell`` hears of each step when it is done.
    """

    def __init__(
        self, address: tuple[str, int], context: ssl.SSLContext, tell: Callable[[Step], None] | None = None
    ) -> None:
        self._address, self._context, self._tell = address, context, tell
        self._keys: dict[Machine, HeldKey] = {}
        self._steps: list[Step] = []
        self._connections = self._requests = 0

    def play(self, virtual_machines: int = 3, hosts: int = 2) -> Report:
        """Add the server, encrypt virtual machines spread over hosts, reboot every host, and poll; the report.

        A step that fails is reported and ends the conversation: without its keys vCenter has nothing more to do.
        """
        cluster = [esxi_host(f"esxi-{number:02}.example.com") for number in range(1, hosts + 1)]
        placed = [
            (virtual_machine(f"vm-{number:02}"), cluster[(number - 1) % hosts])
            for number in range(1, virtual_machines + 1)
        ]
        plan: list[tuple[str, Callable[[], None]]] = [("add the key provider and establish trust", self.establish)]
        for machine, host in placed:
            plan.append((f"encrypt {machine.name} on {host.name}", partial(self.encrypt, machine, host)))
        for host in cluster:
            its = [machine for machine, where in placed if where is host]
            plan.append((f"reboot {host.name}: fetch {1 + len(its)} keys again", partial(self.boot, host, its)))
        plan.append(("poll the key provider's health", self.poll))
        for what, act in plan:
            if not self._step(what, act):
                break
        return Report(tuple(self._steps), tuple(self._keys.values()))

    def _step(self, what: str, act: Callable[[], None]) -> bool:
        self._connections = self._requests = 0
        problem = None
        start = time.perf_counter()
        try:
            act()
        except (Failed, ProtocolViolation, ConnectionEnded, OSError, KeyError) as error:
            problem = f"{type(error).__name__}: {error}"
        elapsed = (time.perf_counter() - start) * 1000
        step = Step(what, elapsed, self._connections, self._requests, problem)
        self._steps.append(step)
        if self._tell:
            self._tell(step)
        return step.ok

    def establish(self) -> None:
        """What vCenter does when a server is added or trust completes."""
        self.probe()
        self.poll()
        with self._task() as client:
            self._exchange(client, frames.query_server())
        self.poll()

    def poll(self) -> None:
        """The health check, every 300 s: a bare connection, then two Discover Versions."""
        self.probe()
        with self._task() as client:
            self._exchange(client, frames.discover(frames.batch_id(1)))

    def probe(self) -> None:
        """A TLS connection without a word."""
        self._connections += 1
        Client(self._address, self._context, version=V1_1).close()

    def encrypt(self, machine: Machine, host: Machine) -> None:
        """Make and tag the virtual machine's key, and the host's if it has none yet."""
        key = self._create()
        if host in self._keys:
            self._tag(key, PRODUCT)
        else:
            # Both at once, as observed: the first tags of one key while the other key is being made.
            with self._task() as tagging, self._task() as making:
                host_key = self._created(self._exchange(making, frames.create()))
                self._write_tags(tagging, key, PRODUCT)
            self._keys[host] = HeldKey(host, host_key, self._fetch_and_activate(host_key))
            self._tag(host_key, PRODUCT)
            self._tag(host_key, host.attributes)
        self._keys[machine] = HeldKey(machine, key, self._fetch_and_activate(key))
        self._tag(key, machine.attributes)

    def boot(self, host: Machine, machines: list[Machine]) -> None:
        """A host lost its memory: fetch its key and those of its machines, and compare them with the first time."""
        self.probe()
        for held in [self._keys[each] for each in (host, *machines)]:
            with self._task() as client:
                digest = self._material(self._exchange(client, frames.get(held.identifier)))
                state = self._state(client, held.identifier)
            if digest != held.digest:
                raise Failed(f"the key of {held.machine.name} is not the one that was made")
            if state != State.ACTIVE:
                raise Failed(f"the key of {held.machine.name} is in state {state}, not Active")

    @contextmanager
    def _task(self) -> Iterator[Client]:
        self._connections += 1
        with Client(self._address, self._context, version=V1_1) as client:
            self._exchange(client, frames.discover())
            yield client

    def _exchange(self, client: Client, message: bytes) -> tuple[Answer, ...]:
        self._requests += 1
        version, got = answers(client.exchange(message))
        for answer in got:
            if not answer.ok:
                raise Failed(f"{answer.message or answer.reason!r}")
        if version != V1_1:
            raise Failed(f"asked in {V1_1}, answered in {version}")
        return got

    def _create(self) -> str:
        with self._task() as client:
            return self._created(self._exchange(client, frames.create()))

    def _created(self, got: tuple[Answer, ...]) -> str:
        return got[0].payload.string(Tag.UNIQUE_IDENTIFIER)

    def _fetch_and_activate(self, identifier: str) -> bytes:
        with self._task() as client:
            digest = self._material(self._exchange(client, frames.get(identifier)))
            if self._state(client, identifier) == State.PRE_ACTIVE:
                self._exchange(client, frames.activate(identifier))
        return digest

    def _material(self, got: tuple[Answer, ...]) -> bytes:
        path = (Tag.SYMMETRIC_KEY, Tag.KEY_BLOCK, Tag.KEY_VALUE, Tag.KEY_MATERIAL)
        return hashlib.sha256(got[0].payload.octets(*path)).digest()

    def _state(self, client: Client, identifier: str) -> int:
        got = self._exchange(client, frames.get_attribute(identifier, "State"))
        return got[0].payload.number(Tag.ATTRIBUTE, Tag.ATTRIBUTE_VALUE)

    def _tag(self, identifier: str, attributes: tuple[tuple[str, str], ...]) -> None:
        with self._task() as client:
            self._write_tags(client, identifier, attributes)

    def _write_tags(self, client: Client, identifier: str, attributes: tuple[tuple[str, str], ...]) -> None:
        for name, _ in attributes:
            self._exchange(client, frames.get_attribute(identifier, name))
        got = self._exchange(client, frames.add_attributes(identifier, attributes))
        if len(got) != len(attributes):
            raise Failed(f"{len(got)} answers to a batch of {len(attributes)}")
