"""``serve``: the house with its listener, in one process or several, from the first look at the files to the end."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from keyrack.ports.catalog import CatalogUnavailable
from keyrack.service.vault.generation import check_health
from keyrack.shell.address_files import told_in
from keyrack.shell.assemble import House, open_house
from keyrack.shell.config.problems import ConfigError
from keyrack.shell.config.whole import ADDRESS_FILE, Config
from keyrack.shell.duties import Duty, kept
from keyrack.shell.kmip.server import bound
from keyrack.shell.kmip.workers import FOR_GOOD, Worker, run_workers
from keyrack.shell.kmip.workers import serve as serve_worker
from keyrack.shell.nodes.fencing import Fence, fence_of
from keyrack.shell.nodes.identity import NotAlone, belong, node_token, present
from keyrack.shell.nodes.jobs import duties_of_node, jobs_of
from keyrack.shell.pki import fingerprint_of_file
from keyrack.shell.private_memory import keep_memory_private
from keyrack.shell.sealed.asked import AskedOnce
from keyrack.shell.sealed.openers import AskPassphrase
from keyrack.shell.sealed.unsealing import StillSealed
from keyrack.shell.server_pair import ServerPair
from keyrack.shell.service_manager import notify

if TYPE_CHECKING:
    from keyrack.shell.rest.serving import Open

log = logging.getLogger(__name__)

GRACE = 5.0
"""Seconds that requests under way may take once the server is told to stop."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A server that serves: where, and with which certificate."""

    host: str
    port: int
    fingerprint: str
    """SHA-256 of the server's certificate."""
    certificates: int
    """Client certificates in force."""
    key_manager_api: str | None = None
    """Host and port of the key manager's API, where it is served beside KMIP."""
    administration_api: str | None = None
    """Host and port where its process is told to listen; ``run/api.address`` tells once it does."""

    @property
    def address(self) -> str:
        """Host and port as one text; an IPv6 address stands in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def serve(
    config: Config, ready: Callable[[Ready], None], ask: AskPassphrase | None = None, *, file: Path | None = None
) -> int:
    """Serve with as many processes as configured until SIGTERM or SIGINT; the exit code.

    Before that the server is sealed, where the configuration says so, until a person has brought what opens it.
    ``ready`` is called in the first process once it takes connections. ``file`` is where the configuration comes from,
    for the web process, which reads it for itself; ``None`` starts none. Raises what keeps a server from starting.
    """
    keep_memory_private()
    check_health()
    with AskedOnce(ask) as once:
        try:
            once.unseal(config)
        except StillSealed as told:
            log.info("%s", told)
            return 0
        # Before the processes part, so that a person is asked once and not by each of them.
        once.ask_all(config)
        kmip = config.kmip
        ServerPair(config.path(kmip.certificate), config.path(kmip.key)).finish()
        with node_token(config) as token:
            return run_workers(
                lambda worker: _run(_Start(config, ready, once.answers, file, token), worker),
                host=kmip.host,
                port=kmip.port,
                count=kmip.workers,
                waits=config.catalog_path is not None,
            )


@dataclass(frozen=True, slots=True)
class _Start:
    """What each process starts with."""

    config: Config
    ready: Callable[[Ready], None]
    ask: AskPassphrase | None
    file: Path | None
    token: str
    """Of this node; see ``identity``."""


def _run(start: _Start, worker: Worker) -> int:
    """One process's work. Where it is one of several, nobody above it could tell what it raises."""
    try:
        return asyncio.run(_work(start, worker))
    except (ConfigError, CatalogUnavailable) as error:
        if worker.lifeline is None:
            raise
        log.error("worker %d cannot start: %s", worker.index, error)
        return FOR_GOOD if isinstance(error, NotAlone) else 1


async def _work(start: _Start, worker: Worker) -> int:
    first = worker.index == 0
    async with contextlib.AsyncExitStack() as stack:
        house = await stack.enter_async_context(open_house(start.config, start.ask, worker=worker.index))
        await belong(start.config, house.catalog)
        if first:
            where = worker.listener.getsockname()[:2]
            await stack.enter_async_context(present(start.config, house.catalog, start.token, where))
        fence = fence_of(
            start.config,
            house.catalog,
            house.server,
            house.look_again,
            stale=house.stale,
            process=f"kmip-{worker.index}",
        )
        await stack.enter_async_context(_watching(house, chores=first, file=start.file, fence=fence))
        api = await stack.enter_async_context(_beside(house)) if first else None
        web = await stack.enter_async_context(_administered(house, worker.index, start.file))

        def begun() -> None:
            if first:
                start.ready(stack.enter_context(_announced(house, api)))
                notify("READY=1")

        reloads = (web,) if api is None else (api.reload, web)
        over = fence.outdated if fence is not None else None
        await serve_worker(house.server, worker, grace=GRACE, ready=begun, reloads=reloads, over=over)
    log.info("stopped", extra={"worker": worker.index})
    return FOR_GOOD if over is not None and over.is_set() else 0


@asynccontextmanager
async def listening(house: House) -> AsyncIterator[Ready]:
    """The house with its listener open, within a program that does other things as well."""
    await house.server.start(bound(house.config.kmip.host, house.config.kmip.port))
    try:
        async with _watching(house), _beside(house) as api:
            with _announced(house, api) as ready:
                yield ready
    finally:
        await house.server.stop(GRACE)


@asynccontextmanager
async def _watching(
    house: House, *, chores: bool = True, file: Path | None = None, fence: Fence | None = None
) -> AsyncIterator[None]:
    """Keep trust fresh, and do what falls to this process of what one does for all; ``chores``: it is the first one."""
    duties: list[Duty] = [house.watch_trust, house.watch_withdrawals, house.watch_seals, house.watch_endings]
    duties += [house.hear, house.doorkeeping.note_seen, house.watch_certificate, house.doubt.watch]
    if chores:
        duties += duties_of_node(house)
    if chores or house.config.catalog_path is None:
        duties += jobs_of(house, file)
    if fence is not None:
        duties.append(fence.watch)
    house.doorkeeping.open()
    tasks = [asyncio.create_task(kept(duty)) for duty in duties]
    try:
        yield
    finally:
        house.doorkeeping.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def _beside(house: House) -> AsyncIterator["Open | None"]:
    """The key manager's API beside KMIP, in one process of the deployment, where the configuration wants it."""
    if not house.config.key_manager_api.enabled:
        yield None
        return
    # Who does not want it does not wait for it to be loaded.
    from keyrack.shell.rest.key_manager_api import key_manager_api  # noqa: PLC0415

    async with key_manager_api(house.config, house.key_managers, house.catalog, forget=house.vault.forget) as api:
        yield api


@asynccontextmanager
async def _administered(house: House, worker: int, file: Path | None) -> AsyncIterator[Callable[[], None]]:
    """What the administration API needs of a serving process, where the configuration wants it; see ``shell/web``."""
    if not house.config.api.enabled:
        yield lambda: None
        return
    from keyrack.shell.web.beside import administered  # noqa: PLC0415

    async with administered(house, worker, file) as reload:
        yield reload


def _administration(config: Config) -> str | None:
    table = config.api
    if not (table.enabled and table.start):
        return None
    return f"[{table.host}]:{table.port}" if ":" in table.host else f"{table.host}:{table.port}"


@contextmanager
def _announced(house: House, api: "Open | None") -> Iterator[Ready]:
    """Tell the address, in the log and in a file that is there as long as the listener is."""
    host, port = house.server.addresses[0]
    certificate = house.config.path(house.config.kmip.certificate)
    ready = Ready(
        host,
        port,
        fingerprint_of_file(certificate),
        len(house.trusted),
        api.address if api else None,
        _administration(house.config),
    )
    log.info("listening", extra={"address": ready.address, "server_certificate": ready.fingerprint})
    with told_in(house.config.run_directory / ADDRESS_FILE, ready.address):
        yield ready
