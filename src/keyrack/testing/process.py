"""A real ``keyrack serve`` in a process of its own, on loopback and a free port, and the CLI beside it.

For tests and measurements that must meet the program as its users do: configured by files, asked over TLS, ended by
signals. One :class:`Deployment` is one directory; it may serve many times, one process after the other.
"""

import atexit
import functools
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keyrack.spec.versions import V1_4, ProtocolVersion
from keyrack.testing.catalogs import copy_of, over_postgres, url_of
from keyrack.testing.certificates import Algorithm, Identity, authority, client, client_context, server
from keyrack.testing.client import Client

READY_WITHIN = 20.0
"""Seconds that a server may take to say that it is ready; a loaded test machine is slow."""


_WITHOUT_API = {"KEYRACK_API__ENABLED": "false", "KEYRACK_API__PORT": "0"}
"""Who does not test the administration API does not wait for its process; ``environment`` switches it on."""


class DidNotStart(AssertionError):
    """The server ended, or said nothing, instead of getting ready; the text is the end of its log."""


class CommandFailed(AssertionError):
    """A command of the CLI ended with another exit code than 0."""


@dataclass(slots=True, kw_only=True)
class Deployment:
    """A directory that ``keyrack init`` made, with the server certificate that the tests trust.

    ``command`` is what starts the CLI; a test of the test may put another program there. ``wrapper`` is put before
    ``keyrack serve`` alone, to run it under something else.
    """

    directory: Path
    algorithm: Algorithm = Algorithm.EC_P256
    environment: Mapping[str, str] = field(default_factory=dict)
    command: Sequence[str] = (sys.executable, "-m", "keyrack")
    wrapper: Sequence[str] = ()
    authority: Identity = field(default_factory=authority)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def configuration(self) -> Path:
        """The configuration file."""
        return self.directory / "keyrack.toml"

    @property
    def log(self) -> Path:
        """What the server wrote on standard output and error, over all its runs."""
        return self.directory / "serve.log"

    def initialise(self, *options: str) -> "Deployment":
        """``keyrack init``, and then a server certificate of the tests' own authority in the place of the one made."""
        with self._elsewhere():
            self.run("init", "--directory", str(self.directory), "--yes", *options, configured=False)
        pair = server(self.authority, algorithm=self.algorithm)
        (self.directory / "tls" / "server.pem").write_bytes(pair.pem)
        (self.directory / "tls" / "server.key").write_bytes(pair.key_pem)
        return self

    @property
    def catalog(self) -> Path:
        """The file of the catalog; over PostgreSQL, the name of its database to :mod:`keyrack.testing.catalogs`."""
        return self.directory / "catalog.db"

    @contextmanager
    def _elsewhere(self) -> Iterator[None]:
        """Where PostgreSQL is chosen, what is made within has its catalog there."""
        if not over_postgres():
            yield
            return
        given, url = self.environment, url_of(self.catalog)
        self.environment = {**given, "KEYRACK_CATALOG__URL": url}
        try:
            yield
        finally:
            self.environment = given
        self._name_catalog(url)

    def _name_catalog(self, url: str) -> None:
        text = re.sub(
            r'^url = "(sqlite|postgresql)://.*"$', f'url = "{url}"', self.configuration.read_text(), flags=re.M
        )
        self.configuration.write_text(text)
        self.catalog.unlink(missing_ok=True)

    def copied(self, directory: Path, environment: Mapping[str, str]) -> "Deployment":
        """The same deployment elsewhere, where another environment may be; this one must not serve."""
        shutil.copytree(self.directory, directory, dirs_exist_ok=True)
        copy = Deployment(
            directory=directory, algorithm=self.algorithm, environment=environment, authority=self.authority
        )
        text = copy.configuration.read_text()
        copy.configuration.write_text(text.replace(str(self.directory), str(directory)))
        if over_postgres():
            copy._name_catalog(copy_of(self.catalog, copy.catalog))
        return copy

    def run(self, *words: str, configured: bool = True, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command of the CLI to its end; raises :class:`CommandFailed` unless ``check`` is off."""
        options = ["--config", str(self.configuration)] if configured else []
        done = subprocess.run(
            [*self.command, *words, *options],
            env=self.served_environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        if check and done.returncode:
            raise CommandFailed(f"keyrack {' '.join(words)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def read(self, *words: str) -> Any:
        """Run a command with ``--json``; its answer."""
        return json.loads(self.run(*words, "--json").stdout)

    def add_client(self, instance: str, identity: Identity, *, create: bool = False) -> None:
        """Trust a client's certificate for an instance, which is made first if told so."""
        if create:
            self.run("instance", "create", instance)
        path = self.directory / f"client-{identity.fingerprint[:16]}.pem"
        path.write_bytes(identity.pem)
        self.run("cert", "add", instance, str(path))

    def furnish(self) -> dict[str, ssl.SSLContext]:
        """Two instances: ``a`` keeps its keys in the catalog, ``b`` in the key manager too; a client's context each."""
        contexts = {}
        for name, storage in (("a", "catalog"), ("b", "key_manager")):
            identity = client(self.authority, name)
            self.run("instance", "create", name, "--storage", storage)
            self.add_client(name, identity)
            contexts[name] = self.context(identity)
        return contexts

    def context(self, identity: Identity | None, tls: ssl.TLSVersion | None = None) -> ssl.SSLContext:
        """A TLS context of a client that presents ``identity`` and trusts the server."""
        return client_context(identity, [self.authority.pem], tls=tls)

    def start(self) -> tuple[str, int]:
        """Serve; the address, once it is ready. Raises :class:`DidNotStart`."""
        self.forget_address()
        with self.log.open("ab") as log:
            self.process = process = subprocess.Popen(
                [*self.wrapper, *self.command, "serve", "--config", str(self.configuration)],
                env=self.served_environment(),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        try:
            return self.await_address(lambda: process.poll() is None)
        except DidNotStart:
            self.stop(signal.SIGKILL)
            raise

    @property
    def _told(self) -> Path:
        return self.directory / "run" / "kmip.address"

    def forget_address(self) -> None:
        """Take away what a server that was killed has left of its address."""
        self._told.unlink(missing_ok=True)

    def await_address(self, alive: Callable[[], bool]) -> tuple[str, int]:
        """The address, once a server that was just started is ready. Raises :class:`DidNotStart`."""
        until = time.monotonic() + READY_WITHIN
        while time.monotonic() < until and alive():
            if self._told.exists() and (text := self._told.read_text().strip()):
                host, _, port = text.rpartition(":")
                return host.strip("[]"), int(port)
            time.sleep(0.002)
        raise DidNotStart(self.log.read_text(errors="replace")[-4000:] or "it said nothing")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int | None:
        """End the server with a signal and wait for it; its exit code, or ``None`` if it was not running."""
        process, self.process = self.process, None
        if process is None:
            return None
        process.send_signal(how)
        try:
            return process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise

    def served_environment(self) -> dict[str, str]:
        """The environment of its processes: this one's without ``KEYRACK_…``, with loopback and a free port."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("KEYRACK_")}
        return {
            **kept,
            "KEYRACK_KMIP__PORT": "0",
            "KEYRACK_KMIP__HOST": "127.0.0.1",
            **_WITHOUT_API,
            **self.environment,
        }


@dataclass(slots=True, kw_only=True)
class Served:
    """A running server, and a client that it knows: what a test needs to begin a conversation."""

    address: tuple[str, int]
    authority: Identity
    client: Identity
    directory: Path
    deployment: Deployment | None = None
    """``None`` where some other server stands in."""

    def context(self, identity: Identity | None = None, tls: ssl.TLSVersion | None = None) -> ssl.SSLContext:
        """A client context for the known client, or for another identity."""
        return client_context(identity or self.client, [self.authority.pem], tls=tls)

    def connect(
        self,
        version: ProtocolVersion = V1_4,
        *,
        identity: Identity | None = None,
        tls: ssl.TLSVersion | None = None,
    ) -> Client:
        """A connection of the known client, or of another identity."""
        return Client(self.address, self.context(identity, tls), version=version)

    def files(self) -> tuple[Path, Path, Path]:
        """Paths of the authority's certificate, the client's certificate and its key, for clients that want files."""
        authority_path = self.directory / "authority.pem"
        authority_path.write_bytes(self.authority.pem)
        return (authority_path, *self.client.write(self.directory, "known-client"))


def deployed(directory: Path, environment: Mapping[str, str]) -> Deployment:
    """A deployment as ``keyrack init`` makes one: the copy of one that is made once in this process."""
    made, _ = _model("")
    return made.copied(directory, environment)


@functools.cache
def _model(instance: str) -> tuple[Deployment, Identity]:
    """A deployment with a client of this instance, if any; each command that makes it costs a second."""
    directory = Path(tempfile.mkdtemp(prefix="keyrack-model-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    deployment = Deployment(directory=directory / "d").initialise()
    identity = client(deployment.authority)
    if instance:
        deployment.add_client(instance, identity, create=True)
    return deployment, identity


def serve(directory: Path, *, instance: str = "tests", environment: Mapping[str, str] | None = None) -> Served:
    """Serve a deployment with one instance and one client; all of them are copies of one."""
    model, identity = _model(instance)
    deployment = model.copied(directory, environment or {})
    return Served(
        address=deployment.start(),
        authority=deployment.authority,
        client=identity,
        directory=directory,
        deployment=deployment,
    )
