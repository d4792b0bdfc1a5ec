"""A real ``keyrack serve`` with its web process, on loopback and free ports, and who asks it over HTTPS."""

import contextlib
import http.client
import json
import os
import signal
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keyrack.domain.instances import Instance
from keyrack.domain.rights import Grant
from keyrack.shell.config.whole import WEB_ADDRESS_FILE
from keyrack.testing import aside
from keyrack.testing.catalogs import catalog_at
from keyrack.testing.process import READY_WITHIN, Deployment, DidNotStart, deployed
from keyrack.testing.rest import Answer, person_in

WITH_API = {"KEYRACK_API__ENABLED": "true"}


@dataclass(slots=True)
class WebProcess:
    """A running deployment with its administration API."""

    deployment: Deployment
    authority: Path
    """The file of the authority that has issued the server's certificate."""
    tls: ssl.SSLContext = field(init=False)

    def __post_init__(self) -> None:
        """Trust the server."""
        self.tls = ssl.create_default_context(cafile=str(self.authority))

    @property
    def address(self) -> tuple[str, int]:
        """Host and port, once they are told; raises :class:`DidNotStart`."""
        told = self.deployment.directory / "run" / WEB_ADDRESS_FILE
        until = time.monotonic() + READY_WITHIN
        while time.monotonic() < until:
            with contextlib.suppress(FileNotFoundError):
                if text := told.read_text().strip():
                    host, _, port = text.rpartition(":")
                    return host.strip("[]"), int(port)
            time.sleep(0.02)
        raise DidNotStart(self.deployment.log.read_text(errors="replace")[-4000:] or "it said nothing")

    @property
    def pid(self) -> int:
        """Of the web process: the child that runs it."""
        assert self.deployment.process is not None
        until = time.monotonic() + READY_WITHIN
        while time.monotonic() < until:
            for pid in children_of(self.deployment.process.pid):
                with contextlib.suppress(OSError):
                    if b"keyrack.shell.web" in Path(f"/proc/{pid}/cmdline").read_bytes():
                        return pid
            time.sleep(0.02)
        raise DidNotStart("there is no web process")

    def person(self, name: str, *grants: Grant) -> str:
        """A person in the catalog, and an API key of theirs."""

        async def enter() -> str:
            catalog = await catalog_at(self.deployment.catalog, "tests")
            try:
                return await person_in(catalog, name, *grants)
            finally:
                await catalog.close()

        return aside.run(enter())

    def instances(self) -> list[Instance]:
        """Those in the catalog."""

        async def read() -> list[Instance]:
            catalog = await catalog_at(self.deployment.catalog, "tests")
            try:
                return list(await catalog.instances())
            finally:
                await catalog.close()

        return aside.run(read())

    def ask(
        self,
        method: str,
        path: str,
        token: str | None = None,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request on a connection of its own; ``body`` is sent as JSON."""
        connection = http.client.HTTPSConnection(*self.address, context=self.tls, timeout=30)
        sent = dict(headers or {})
        if token is not None:
            sent["authorization"] = f"Bearer {token}"
        octets = None if body is None else json.dumps(body).encode()
        if octets is not None:
            sent.setdefault("content-type", "application/json")
        try:
            connection.request(method, path, octets, sent)
            answer = connection.getresponse()
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()


@contextmanager
def web_process(directory: Path, *options: str, **environment: str) -> Iterator[WebProcess]:
    """``keyrack init`` with these options and a server that serves as long as the block lasts."""
    surroundings = {**WITH_API, **environment}
    if options:
        deployment = Deployment(directory=directory, environment=surroundings).initialise(*options)
    else:
        deployment = deployed(directory, surroundings)
    deployment.start()
    try:
        yield beside(deployment)
    finally:
        deployment.stop()


def beside(deployment: Deployment) -> WebProcess:
    """The web process of a deployment that is served."""
    authority = deployment.directory / "authority.pem"
    authority.write_bytes(deployment.authority.pem)
    return WebProcess(deployment, authority)


def children_of(pid: int) -> list[int]:
    """The processes that a process has started, and theirs."""
    found = []
    for each in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            for child in (each / "children").read_text().split():
                found += [int(child), *children_of(int(child))]
    return found


def is_there(pid: int) -> bool:
    """Whether a process runs still."""
    try:
        os.kill(pid, 0)
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False


def ended(pid: int, *, within: float = 10.0) -> bool:
    """Whether it ends within these seconds."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        if not is_there(pid):
            return True
        time.sleep(0.02)
    return False


def kill(pid: int) -> None:
    """At once."""
    os.kill(pid, signal.SIGKILL)
