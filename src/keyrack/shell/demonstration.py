"""The demonstration: a whole deployment in a temporary directory, and a pretended vCenter that talks with it."""

import asyncio
import shutil
import signal
import socket
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from keyrack.domain.objects import ManagedObject
from keyrack.embedded.root_keys.unlock import KeyFile
from keyrack.service.office.administration import Administration, Administrator
from keyrack.service.office.certificates import read
from keyrack.shell import deployment, pki
from keyrack.shell.assemble import House, open_house
from keyrack.shell.config.whole import Config, load
from keyrack.shell.kmip.server import KMIP_PORT
from keyrack.shell.office import clock
from keyrack.shell.serving import Ready, listening
from keyrack.spec.enumerations import State
from keyrack.testing.vcenter import Step, VCenter

if TYPE_CHECKING:
    from keyrack.shell.demonstration_console import Way

Answer = TypeVar("Answer")

HOST: Final = "127.0.0.1"
INSTANCE: Final = "demo"
CONFIG: Final = "keyrack.toml"
CONSOLE_PORT: Final = 8443


@dataclass(slots=True, kw_only=True)
class Shown:
    """What there is to show once the listener is open, and what is added while the conversation goes on."""

    address: str
    fingerprint: str
    """SHA-256 of the server's certificate."""
    directory: Path
    ready: float
    """Seconds from :attr:`Demonstration.started` to the open listener."""
    steps: Sequence[Step] = ()
    keys: Sequence[ManagedObject] = ()
    fetched: Mapping[str, int] = field(default_factory=dict)
    """When each key was last handed out, in seconds since 1970."""
    problems: list[str] = field(default_factory=list)
    console: "Way | None" = None
    """How to get into the console, once it listens."""

    @property
    def config(self) -> Path:
        """The configuration, for commands that look at the demonstration."""
        return self.directory / CONFIG

    @property
    def client(self) -> tuple[Path, Path]:
        """The client's certificate and its key."""
        return self.directory / "client.pem", self.directory / "client.key"

    @property
    def ok(self) -> bool:
        """Whether all went well."""
        return bool(self.steps) and all(step.ok for step in self.steps) and not self.problems


class Audience(Protocol):
    """Who watches."""

    def ready(self, shown: Shown) -> None:
        """The listener is open, the conversation begins."""
        ...

    def step(self, step: Step) -> None:
        """One step of the conversation is done."""
        ...

    def over(self, shown: Shown) -> None:
        """The conversation is over."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstration:
    """What to show. ``directory`` is made and kept; without it a temporary one is wiped at the end."""

    directory: Path | None
    virtual_machines: int
    hosts: int
    port: int | None
    started: float
    """``time.monotonic()`` when the process began."""

    async def run(self, audience: Audience, *, stay: bool) -> Shown:
        """Play, tell, and with ``stay`` go on serving until SIGINT or SIGTERM."""
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        with _directory(self.directory) as directory, ThreadPoolExecutor(1) as aside:
            # By far the slowest part: OpenSSL looks for primes while the rest is made.
            server_key = aside.submit(deployment.server_key_of_own)
            config, made = _make(directory, self.port, server_key.result)
            async with open_house(config) as house:
                client = await _admit(house, made.authority, directory)
                async with listening(house) as ready:
                    shown = Shown(
                        address=ready.address,
                        fingerprint=ready.fingerprint,
                        directory=directory,
                        ready=time.monotonic() - self.started,
                    )
                    audience.ready(shown)
                    # Nobody waits for the console to be loaded before that.
                    from keyrack.shell.demonstration_console import console  # noqa: PLC0415

                    async with console(house, client, shown.config) as opening:
                        shown.steps = await self._play(ready, _context(made, shown), audience, stop)
                        await _look(house, client, shown, self.virtual_machines + self.hosts)
                        shown.console = await _unless(stop, opening)
                        await _see_console(shown, made, walk=not stay)
                        audience.over(shown)
                        if stay:
                            await stop.wait()
        return shown

    async def _play(
        self, ready: Ready, context: ssl.SSLContext, audience: Audience, stop: asyncio.Event
    ) -> Sequence[Step]:
        loop = asyncio.get_running_loop()

        def tell(step: Step) -> None:
            loop.call_soon_threadsafe(audience.step, step)

        vcenter = VCenter((ready.host, ready.port), context, tell)
        playing = asyncio.create_task(asyncio.to_thread(vcenter.play, self.virtual_machines, self.hosts))
        return (await _unless(stop, playing)).steps


async def _unless(stop: asyncio.Event, task: "asyncio.Task[Answer]") -> Answer:
    """What the task answers; raises ``KeyboardInterrupt`` where it is told to stop before."""
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((task, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if stop.is_set() and not task.done():
        raise KeyboardInterrupt
    return await task


@contextmanager
def _directory(kept: Path | None) -> Iterator[Path]:
    """The directory of the deployment; a temporary one is private, and gone whatever happens."""
    if kept is not None:
        kept.mkdir(parents=True, mode=0o700)
        yield kept.absolute()
        return
    directory = Path(tempfile.mkdtemp(prefix="keyrack-demo-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _make(
    directory: Path, port: int | None, server_key: Callable[[], pki.PrivateKey]
) -> tuple[Config, deployment.Made]:
    plan = deployment.Plan(
        deployment="demo",
        directory=directory,
        config=directory / CONFIG,
        names=("localhost", HOST),
        host=HOST,
        port=_free_port(KMIP_PORT) if port is None else port,
        api_port=_free_port(CONSOLE_PORT) if port is None else 0,
        log_level="warning",
        key_manager=deployment.embedded_tables('{ key_file = "keystore.key" }'),
        opener=KeyFile(directory / "keystore.key"),
        authority_key="ec-p256",
    )
    made = deployment.make(plan, server_key)
    return load(plan.config, environ={}), made


def _free_port(usual: int) -> int:
    """The usual port where nobody has it, else any."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, usual))
        except OSError:
            return 0
    return usual


async def _admit(house: House, authority: pki.Pair, directory: Path) -> Administration:
    """Make the instance and a client that may use it."""
    administration = Administration(house.catalog, house.key_managers, Administrator("local-user-demo"), clock)
    instance = await administration.create_instance(INSTANCE)
    pair = pki.issue_client(authority, "demo vCenter", now=datetime.now(UTC), key=pki.make_key("ec-p256"))
    pair.write(directory / "client.pem", directory / "client.key")
    offered = read(pair.certificate_pem, instance=instance.identifier, at=clock() // 1000)
    await administration.add_certificate(offered.certificate)
    await house.trusted.refresh()
    return administration


def _context(made: deployment.Made, shown: Shown) -> ssl.SSLContext:
    """The client's side of TLS: it pins the server's certificate, as vCenter does."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=made.server.certificate_pem.decode())
    context.load_cert_chain(*shown.client)
    return context


async def _look(house: House, administration: Administration, shown: Shown, expected: int) -> None:
    """See with the administrator's eyes whether the house holds what vCenter believes."""
    instance = await administration.instance(INSTANCE)
    shown.keys = await administration.keys(instance)
    fetches = await house.catalog.fetches(instance.identifier)
    shown.fetched = {identifier: fetch.at // 1000 for identifier, fetch in fetches.items()}
    if all(step.ok for step in shown.steps):
        if len(shown.keys) != expected:
            shown.problems.append(f"vCenter made {expected} keys, and the catalog holds {len(shown.keys)}")
        for key in shown.keys:
            if key.state is not State.ACTIVE:
                shown.problems.append(f"key {key.unique_identifier} is {key.state.title}, not Active")
            if key.unique_identifier not in shown.fetched:
                shown.problems.append(f"key {key.unique_identifier} was fetched, and the journal does not know")


async def _see_console(shown: Shown, made: deployment.Made, *, walk: bool) -> None:
    """See whether the console is there; with ``walk``, whether it lets somebody in by its link and shows what there
    is."""
    from keyrack.shell.demonstration_console import walked  # noqa: PLC0415

    wrong = "" if shown.console else "the console does not answer"
    if shown.console and walk:
        wrong = await asyncio.to_thread(walked, shown.console, made.server.certificate_pem.decode(), INSTANCE)
    if wrong:
        shown.problems.append(wrong)
