"""How soon a client certificate counts that an administrator adds over REST, and one that is removed no more."""

import contextlib
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.load import finish, start
from bench.outage_ground import Tenant, got
from bench.servers import CannotMeasure, free_port

from keyrack.domain.rights import Grant, Role
from keyrack.spec.enumerations import Operation
from keyrack.testing.certificates import Identity, client
from keyrack.testing.client import Client, ConnectionEnded
from keyrack.testing.web_process import WebProcess, web_process

RATE, KEYS = 200.0, 32
"""Gets a second of another client meanwhile, on eight connections, and how many keys there are."""
CONNECTIONS = 8
"""Of the client that is removed; the kernel spreads them over the processes."""
KNOCKS = 0.01
"""Seconds between two attempts of the client that is added."""
SETTLED = 0.3
"""Seconds for which it goes on knocking when the administrator has the answer, and asks before it is removed."""
PATIENCE = 10.0
LONGEST = 300.0
"""Seconds that the load generator lasts at the most."""


@dataclass(frozen=True, slots=True)
class Round:
    """One certificate, added and removed; seconds from the moment that the administrator's request is sent."""

    added_answer: float
    first_good: float
    last_refused: float
    """Where the last handshake that was refused began; 0 where none was."""
    removed_answer: float
    last_served: float
    """When the last key came."""
    closed: float
    """When the last of its connections was closed."""
    late: int
    """Keys that were asked for after the administrator had the answer, and came; and handshakes refused after it."""


@dataclass(slots=True)
class Knocking:
    """A client that tries to get in, again and again."""

    address: tuple[str, int]
    context: ssl.SSLContext
    good: list[float] = field(default_factory=list)
    """When each attempt had its answer."""
    refused: list[float] = field(default_factory=list)
    """When each attempt that came to nothing began."""
    over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Until it is over; in a thread of its own."""
        while not self.over.wait(KNOCKS):
            began = time.monotonic()
            try:
                with Client(self.address, self.context) as asking:
                    asking.ask(Operation.DISCOVER_VERSIONS)
                self.good.append(time.monotonic())
            except (OSError, ConnectionEnded):
                self.refused.append(began)


@dataclass(slots=True)
class Asking:
    """A client that asks for keys on its open connections, one after the other, until none is open."""

    connections: list[Client]
    uid: str
    served: list[tuple[float, float]] = field(default_factory=list)
    """When each key was asked for, and when it came."""
    ended: float = 0.0

    def run(self) -> None:
        """In a thread of its own."""
        while self.connections:
            for each in tuple(self.connections):
                asked = time.monotonic()
                try:
                    if got(each, self.uid).ok:
                        self.served.append((asked, time.monotonic()))
                except (OSError, ConnectionEnded):
                    each.close()
                    self.connections.remove(each)
        self.ended = time.monotonic()


@dataclass(slots=True)
class Ground:
    """A deployment under load, and who administers it."""

    web: WebProcess
    address: tuple[str, int]
    tenant: Tenant
    token: str
    load: "subprocess.Popen[str] | None" = None

    def loaded(self) -> None:
        """See to it that the load is under way; one that has ended must have ended well."""
        if self.load is not None and self.load.poll() is not None:
            finish(self.load, "load")
            self.load = None
        if self.load is None:
            self.load = start(self.tenant.load(self.address, self.tenant.uids, LONGEST, rate=RATE))

    def unloaded(self) -> None:
        """End it."""
        if self.load is not None:
            with contextlib.suppress(ProcessLookupError):
                self.load.terminate()
            self.load.communicate()

    def round(self, number: int) -> Round:
        """Add a certificate, use it, remove it."""
        self.loaded()
        identity = client(self.web.deployment.authority, f"passing by {number}")
        began, answered, knocking, etag = self._added(identity)
        asking, worker = self._asking(identity)
        time.sleep(SETTLED)
        removing = time.monotonic()
        self._ask("DELETE", f"/{identity.fingerprint}", 204, headers={"if-match": etag})
        removed = time.monotonic()
        worker.join(PATIENCE)
        if worker.is_alive() or not asking.served:
            raise CannotMeasure("bench: a removed client is not let go, or was never served")
        late = sum(asked > removed for asked, _ in asking.served) + sum(at > answered for at in knocking.refused)
        return Round(
            added_answer=answered - began,
            first_good=next(at for at in knocking.good if at > began) - began,
            last_refused=max(knocking.refused, default=began) - began,
            removed_answer=removed - removing,
            last_served=asking.served[-1][1] - removing,
            closed=asking.ended - removing,
            late=late,
        )

    def _added(self, identity: Identity) -> tuple[float, float, Knocking, str]:
        knocking = Knocking(self.address, self.web.deployment.context(identity))
        worker = threading.Thread(target=knocking.run, daemon=True)
        worker.start()
        time.sleep(5 * KNOCKS)
        began = time.monotonic()
        etag = self._ask("POST", "", 201, {"pem": identity.pem.decode()})
        answered = time.monotonic()
        while not knocking.good and time.monotonic() < answered + PATIENCE:
            time.sleep(KNOCKS)
        time.sleep(SETTLED)
        knocking.over.set()
        worker.join(PATIENCE)
        if not knocking.good:
            raise CannotMeasure("bench: a client that was added does not get in")
        return began, answered, knocking, etag

    def _asking(self, identity: Identity) -> tuple[Asking, threading.Thread]:
        context = self.web.deployment.context(identity)
        asking = Asking([Client(self.address, context) for _ in range(CONNECTIONS)], self.tenant.uids[0])
        worker = threading.Thread(target=asking.run, daemon=True)
        worker.start()
        return asking, worker

    def _ask(
        self, method: str, path: str, status: int, body: Any = None, *, headers: Mapping[str, str] | None = None
    ) -> str:
        """The ETag of the answer, if it has one."""
        told = self.web.ask(method, f"/api/v1/instances/bench/certificates{path}", self.token, body, headers=headers)
        if told.status != status:
            raise CannotMeasure(f"bench: {method}: {told.status} {told.body.decode(errors='replace')}")
        return told.headers.get("etag", "")


@contextmanager
def ground(work: Path, workers: int) -> Iterator[Ground]:
    """So many processes that serve, an instance with keys, and a load on them."""
    environment = {"KEYRACK_KMIP__WORKERS": str(workers), "KEYRACK_KMIP__PORT": str(free_port())}
    with web_process(work / f"workers-{workers}", **environment) as web:
        deployment = web.deployment
        deployment.run("instance", "create", "bench")
        identity = client(deployment.authority, "load")
        deployment.add_client("bench", identity)
        address = deployment.await_address(lambda: True)
        tenant = Tenant("bench", "embedded", "", identity, deployment)
        tenant.make(address, KEYS)
        token = web.person("administrator", Grant(Role.ADMINISTRATOR))
        on = Ground(web, address, tenant, token)
        try:
            yield on
        finally:
            on.unloaded()


def rounds(work: Path, workers: int, count: int) -> list[Round]:
    """So many, one after the other."""
    with ground(work, workers) as on:
        return [on.round(number) for number in range(count)]
