"""The journal's room put together from the configuration: its signing key, its notary, its sinks, and their gate."""

import asyncio
import contextlib
import fcntl
import logging
import os
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from keyrack.adapters.journals.changes_file import ChangesFile
from keyrack.adapters.journals.checkpoint_file import CheckpointFile
from keyrack.adapters.journals.signing import SigningKey, UnusableSigningKey, load_or_make
from keyrack.domain.secret import Secret
from keyrack.ports.catalog import CatalogUnavailable
from keyrack.ports.sinks import Sink, SinkUnavailable
from keyrack.service.journal.changes import Following
from keyrack.service.journal.copying import Copying
from keyrack.service.journal.forwarding import Forwarder, Route
from keyrack.service.journal.gate import RequiredSinks
from keyrack.service.journal.naming import Naming
from keyrack.service.journal.notary import ForeignKey, Notary, RolledBack
from keyrack.service.journal.retention import Retention
from keyrack.shell.config.journal import AnySink, JsonLinesSink, SyslogSink, WebhookSink
from keyrack.shell.config.problems import ConfigError, Problem
from keyrack.shell.config.whole import Config
from keyrack.shell.duties import Duty
from keyrack.shell.nodes.leaders import while_leading

if TYPE_CHECKING:
    from keyrack.ports.whole_catalog import WholeCatalog

log = logging.getLogger(__name__)

RETENTION_EVERY: Final = 3600.0
"""Seconds between two looks for what retention has ended."""
NOTARY: Final = "notary"
FORWARDING: Final = "forwarding"
"""Names of jobs."""
STAND_BACK: Final = 20.0
"""Seconds for which a node that cannot sign leaves it to others."""
_LOCK_LOOK: Final = 0.5
_LONGEST_SECRET: Final = 4096


def clock() -> int:
    """The time, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def exported_of(config: Config) -> CheckpointFile:
    """Where checkpoints are exported to."""
    return CheckpointFile(config.path(config.journal.checkpoint_file))


def successor_path(config: Config) -> Path:
    """Where a new key waits until a checkpoint that names it is kept."""
    path = config.path(config.journal.signing_key)
    return path.with_name(path.name + ".next")


async def signing_key(config: Config, catalog: "WholeCatalog") -> SigningKey:
    """The key that signs checkpoints; one whose turn has come takes its place, and the first one is made.

    Raises :class:`ConfigError`, also where checkpoints are there and their key is not: a new one would vouch for what
    nobody knows.
    """
    path, waiting = config.path(config.journal.signing_key), successor_path(config)
    last = await catalog.last_checkpoint()
    try:
        with contextlib.suppress(FileNotFoundError):
            successor = SigningKey.load(waiting)
            if last is not None and last.statement.successor == successor.public:
                waiting.replace(path)
        if last is not None:
            return SigningKey.load(path)
        return load_or_make(path)
    except FileNotFoundError:
        why = f"{path} is not there, and checkpoints are"
    except UnusableSigningKey as error:
        why = str(error)
    except OSError as error:
        why = f"{path}: {(error.strerror or str(error)).lower()}"
    raise ConfigError(
        [
            Problem(
                where="journal.signing_key",
                what="checkpoints of the journal cannot be signed",
                why=why,
                instead="put it back from a backup, or make another with 'keyrack audit key --lost'",
            )
        ]
    )


async def notary_of(config: Config, catalog: "WholeCatalog") -> Notary:
    """The notary of the deployment; raises :class:`ConfigError` as :func:`signing_key` does."""
    return notary_with(config, catalog, await signing_key(config, catalog))


def notary_with(config: Config, catalog: "WholeCatalog", key: SigningKey) -> Notary:
    """A notary that signs with this key."""
    return Notary(
        catalog,
        key,
        exported_of(config),
        deployment=config.deployment.id,
        clock=clock,
        seconds=config.journal.checkpoint_seconds,
        records=config.journal.checkpoint_records,
        renew=lambda: signing_key(config, catalog),
    )


def retention_of(config: Config, catalog: "WholeCatalog", notary: Notary) -> Retention:
    """What cuts the journal."""
    return Retention(catalog, notary, list(config.journal.sinks), clock=clock)


def forwarder_of(config: Config, catalog: "WholeCatalog", *, required: bool = False) -> Forwarder:
    """What hands the journal on, to all sinks or to the required ones; raises :class:`ConfigError`."""
    routes = {
        name: Route(_sink(config, name, table), table.required, table.deadline_seconds)
        for name, table in config.journal.sinks.items()
        if table.required or not required
    }
    return Forwarder(catalog, routes, Naming(catalog, config.deployment.id), clock=clock)


def _sink(config: Config, name: str, table: AnySink) -> Sink:
    try:
        if isinstance(table, JsonLinesSink):
            return _json_lines(config, table)
        return _syslog(config, table) if isinstance(table, SyslogSink) else _webhook(config, table)
    except (OSError, ValueError) as error:
        told = f"{getattr(error, 'filename', None) or ''} {getattr(error, 'strerror', None) or error}".strip()
        problem = Problem(
            where=f"journal.sinks.{name}",
            what="it cannot be used",
            why=told,
            instead="correct it, or take the sink out of the configuration",
        )
        raise ConfigError([problem]) from None


def _json_lines(config: Config, table: JsonLinesSink) -> Sink:
    from keyrack.adapters.sinks.json_lines import JsonLines  # noqa: PLC0415 - who has no such sink loads none

    return JsonLines(config.path(table.file), sync=table.sync)


def _syslog(config: Config, table: SyslogSink) -> Sink:
    import socket  # noqa: PLC0415

    from keyrack.adapters.sinks.syslog import Receiver, Syslog  # noqa: PLC0415

    tls = None
    if table.transport == "tls":
        tls = _tls(config, table.ca_file)
        if table.certificate is not None and table.key is not None:
            tls.load_cert_chain(config.path(table.certificate), config.path(table.key))
    return Syslog(Receiver(host=table.host, port=table.port, tls=tls, host_name=socket.gethostname()))


def _webhook(config: Config, table: WebhookSink) -> Sink:
    from keyrack.adapters.sinks.webhook import Endpoint, Webhook  # noqa: PLC0415

    secret = _secret(config.path(table.secret_file)) if table.secret_file is not None else None
    timeout = table.deadline_seconds if table.required else 5 * table.deadline_seconds
    return Webhook(Endpoint(url=table.url, tls=_tls(config, table.ca_file), secret=secret, timeout=timeout))


def _tls(config: Config, authorities: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(config.path(authorities)) if authorities is not None else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _secret(path: Path) -> Secret:
    """The first line of a file that nobody else reads."""
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_mode & 0o077:
            raise ValueError(f"{path} can be read by others; 'chmod 600 {path}' corrects it")
        data = bytearray(file.read(_LONGEST_SECRET))
    line = data.partition(b"\n")[0].rstrip(b"\r")
    data[:] = bytes(len(data))
    if not line:
        raise ValueError(f"{path} is empty")
    return Secret(line)


def gate_of(config: Config, catalog: "WholeCatalog") -> RequiredSinks | None:
    """What every entry has to pass; ``None`` where no sink is required."""
    deadlines = {name: table.deadline_seconds for name, table in config.journal.sinks.items() if table.required}
    if not deadlines:
        return None
    return RequiredSinks(catalog, deadlines, stand_in=StandIn(config, catalog).forward)


@asynccontextmanager
async def forwarding(config: Config) -> AsyncIterator[bool]:
    """Whether this process may forward now: one does at a time. Ends with the process, however that ends."""
    config.run_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(config.run_directory / "forwarding.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


class StandIn:
    """Forwards to required sinks where no process does: a command, while nothing serves."""

    def __init__(self, config: Config, catalog: "WholeCatalog") -> None:
        """Nothing is opened before it is needed."""
        self._config = config
        self._catalog = catalog
        self._forwarder: Forwarder | None = None

    async def forward(self) -> None:
        """Everything that waits, if nobody else is at it. What is in the way is written down, and not raised."""
        async with forwarding(self._config) as ours:
            # Of several nodes it may be another one that forwards.
            if not ours or not await self._catalog.leads(FORWARDING):
                return
            if self._forwarder is None:
                self._forwarder = forwarder_of(self._config, self._catalog, required=True)
            for name in self._forwarder.routes:
                with contextlib.suppress(SinkUnavailable, CatalogUnavailable):
                    while await self._forwarder.round(name):
                        pass


def journal_jobs(config: Config, catalog: "WholeCatalog") -> list[Duty]:
    """Sign and cut, and hand on, each for ever: what one process does for all, as long as it leads."""

    async def sign() -> None:
        await _sign(config, catalog)

    async def forward() -> None:
        await while_leading(catalog, FORWARDING, lambda: _forward(config, catalog))

    return [sign, forward]


def journal_of_node(config: Config, catalog: "WholeCatalog") -> list[Duty]:
    """What each node keeps beside the catalog, so that it can tell an older one by itself."""

    async def copy() -> None:
        await Copying(catalog, exported_of(config)).watch()

    async def keep_changes() -> None:
        await Following(catalog, ChangesFile(config.path(config.journal.changes_file), config.deployment.id)).watch()

    # On one machine the process that signs is the one that exports.
    return [keep_changes] if config.catalog_path is not None else [keep_changes, copy]


async def _sign(config: Config, catalog: "WholeCatalog") -> None:
    """A node that has not the key leaves it to one that has."""
    while True:
        await _able_to_sign(config, catalog)
        try:
            await while_leading(catalog, NOTARY, lambda: _notarise(config, catalog))
        except* (ForeignKey, ConfigError, CatalogUnavailable) as errors:
            log.error("no checkpoint of the journal is signed here: %s", errors.exceptions[0])
        await asyncio.sleep(STAND_BACK)


async def _able_to_sign(config: Config, catalog: "WholeCatalog") -> None:
    """Return once this node has the key that signs, or nobody has signed yet; only a leader makes the first one."""
    told = ""
    while True:
        try:
            if await catalog.last_checkpoint() is not None:
                await signing_key(config, catalog)
            return
        except (ConfigError, CatalogUnavailable) as error:
            if str(error) != told:
                told = str(error)
                log.error("no checkpoint of the journal is signed here: %s", error)
            await asyncio.sleep(5.0)


async def _notarise(config: Config, catalog: "WholeCatalog") -> None:
    notary = await notary_of(config, catalog)
    leave = () if config.catalog_path is not None else (ForeignKey,)
    async with asyncio.TaskGroup() as both:
        both.create_task(notary.watch(leave))
        both.create_task(_cut(config, catalog, notary))


async def _cut(config: Config, catalog: "WholeCatalog", notary: Notary) -> None:
    days = config.journal.retention_days
    while days:
        try:
            done = await retention_of(config, catalog, notary).by_rule(days)
            if done.records:
                log.info("the journal was cut", extra={"records": done.records, "checkpoint": done.through})
        except (CatalogUnavailable, RolledBack, ForeignKey, OSError) as error:
            log.warning("cutting the journal is put off: %s", error)
        except Exception:
            log.exception("cutting the journal failed")
        await asyncio.sleep(RETENTION_EVERY)


async def _forward(config: Config, catalog: "WholeCatalog") -> None:
    if not config.journal.sinks:
        return
    forwarder = forwarder_of(config, catalog)
    try:
        while True:
            async with forwarding(config) as ours:
                if ours:
                    await forwarder.watch()
            await asyncio.sleep(_LOCK_LOOK)
    finally:
        await forwarder.close()


def required_of(config: Config) -> Mapping[str, bool]:
    """Every configured sink, and whether it is required."""
    return {name: table.required for name, table in config.journal.sinks.items()}
