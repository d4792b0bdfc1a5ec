"""Makes a backup of a deployment whose catalog is SQLite, while servers write: one file, whole or not at all.

First the exported checkpoints are read, then the catalog, then the key managers: whatever an earlier part tells of, a
later one has.
"""

import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from keyrack.adapters.catalogs.sqlite import copying
from keyrack.adapters.catalogs.sqlite.catalog import SqliteCatalog
from keyrack.embedded.store.database import anchor_path, database_path
from keyrack.service.moves.walk import Progress, Report, silently
from keyrack.shell.backups import archive
from keyrack.shell.backups.manifest import (
    CATALOG,
    CHANGES,
    CHECKPOINTS,
    CONFIGURATION,
    SIGNING_KEY,
    BadBackup,
    Manifest,
)
from keyrack.shell.config.whole import Config

_ATTEMPTS: Final = 60
"""Seconds by which a name may move that is taken."""


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that was made, and read back."""

    path: Path
    manifest: Manifest
    size: int
    removed: Sequence[Path] = ()
    """Older ones that it took the place of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is wanted."""

    config: Config
    file: Path
    """The configuration's."""
    out: Path | None = None
    """A file, or a directory that is there; ``None``: the configured one."""
    keep: int | None = None
    """How many are kept where this one goes."""
    copying: Report = field(default=silently, repr=False)
    writing: Report = field(default=silently, repr=False)
    reading: Report = field(default=silently, repr=False)


def make(order: Order) -> Made:
    """Copy, write, read back; in a thread. Raises :class:`BadBackup`, ``OSError``, ``sqlite3.Error``."""
    config = order.config
    catalog = config.catalog_path
    if catalog is None:
        raise BadBackup(
            "the catalog is PostgreSQL, which has backups of its own: docs/backup.md tells how a base backup and its "
            "archive are made, and put back"
        )
    if not catalog.is_file():
        raise BadBackup(f"there is no catalog {catalog}: nothing was backed up")
    at = int(time.time())
    target = _target(order, at)
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    archive.forget_partial(target.parent)
    with _beside(target.parent) as room, archive.written(target) as writing:
        told = _fill(order, catalog, room, writing, at)
        writing.close(told)
    made = _read_back(order, target)
    removed = _forget(target, config.deployment.id, order.keep) if order.keep else []
    return Made(target, made, target.stat().st_size, removed)


def _target(order: Order, at: int) -> Path:
    config, out = order.config, order.out
    directory = config.path(config.backup.directory) if out is None else out
    if out is not None and not out.is_dir():
        return out.absolute()
    names = [archive.name_of(config.deployment.id, at + late) for late in range(_ATTEMPTS)]
    # Behind the last one, whatever the clock says: the order of names is that in which they go.
    last = max((path.name for path in _ours(directory, config.deployment.id)), default="")
    return directory / next((name for name in names if name > last), names[0])


@contextmanager
def _beside(directory: Path) -> Iterator[Path]:
    """A private place for copies that are on their way into the archive."""
    room = Path(tempfile.mkdtemp(prefix=".", suffix=".copies", dir=directory))
    try:
        yield room
    finally:
        shutil.rmtree(room, ignore_errors=True)


def _fill(order: Order, catalog: Path, room: Path, writing: archive.Writing, at: int) -> Manifest:
    """Every part, and what is told of them."""
    config = order.config
    journal = config.journal
    exported = config.path(journal.checkpoint_file)
    for name, path in ((CHECKPOINTS, exported), (CHANGES, config.path(journal.changes_file))):
        if path.is_file():
            writing.add(name, path)
    copy = room / "catalog.db"
    copying.copy(catalog, copy, partial(_pages, order.copying))
    databases = [*_key_managers(config, room, writing)]
    count = _counter(order.writing, copy.stat().st_size + sum(each[1].stat().st_size for each in databases))
    schema = copying.schema_of(copy)
    told = asyncio.run(_told(copy))
    writing.add(CATALOG, copy, "", count)
    for name, source, where in databases:
        writing.add(name, source, where, count)
    writing.add(CONFIGURATION, order.file)
    for path in _public(config):
        writing.add(f"tls/{path.name}", path, _relative(config, path))
    if public := _public_key(config.path(journal.signing_key)):
        writing.add_bytes(SIGNING_KEY, public)
    return Manifest(
        deployment=config.deployment.id,
        at=at,
        version=version("keyrack"),
        schema=schema,
        left_out=[_relative(config, path) or str(path) for path in secrets_of(config) if path.exists()],
        parts=writing.parts,
        **told,
    )


async def _told(copy: Path) -> dict[str, Any]:
    """What the copy itself says: no count of a moment before or after."""
    catalog = SqliteCatalog(copy, "backup")
    try:
        last = await catalog.last_checkpoint()
        seen = await catalog.survey(last.statement.through if last is not None else 0)
        return {
            "keys": seen.keys,
            "destroyed": seen.destroyed,
            "instances": len(await catalog.instances()),
            "journal_end": seen.through,
            "heads": list(seen.heads),
            "checkpoint": last.number if last is not None else 0,
            "checkpoint_hash": last.hash.hex() if last is not None else "",
        }
    finally:
        await catalog.close()


def _key_managers(config: Config, room: Path, writing: archive.Writing) -> Iterator[tuple[str, Path, str]]:
    """Keystores, which are sealed, and the databases of embedded key managers: name, file, and where it belongs."""
    for name, table in config.embedded.items():
        keystore = config.path(table.keystore)
        database = database_path(keystore)
        if not keystore.is_file() or not database.is_file():
            continue
        relative = _relative(config, keystore)
        writing.add(f"key_managers/{name}/keystore", keystore, relative)
        anchor = anchor_path(database)
        if anchor.is_file():
            # Before the database: it must never be ahead of it.
            writing.add(f"key_managers/{name}/revision", anchor, _relative(config, anchor))
        copy = room / f"{name}.db"
        copying.copy(database, copy)
        yield f"key_managers/{name}/database", copy, _relative(config, database)


def _public(config: Config) -> list[Path]:
    """Certificates, of which everybody may have a copy."""
    named = [config.kmip.certificate, config.key_manager_api.certificate, config.api.certificate, Path("tls/ca.pem")]
    paths = dict.fromkeys(config.path(each) for each in named if each is not None)
    unlike: dict[str, Path] = {}
    for path in paths:
        if path.is_file():
            unlike.setdefault(path.name, path)
    return list(unlike.values())


def secrets_of(config: Config) -> list[Path]:
    """Files that hold a secret in clear: no backup has them, and somebody has to keep them apart from it."""
    named: list[Path | None] = [config.kmip.key, config.key_manager_api.key, config.api.key, Path("tls/ca.key")]
    named += [config.journal.signing_key]
    named += [config.integrity.key_file] if config.integrity is not None else []
    for table in config.embedded.values():
        named += [table.unlock.key_file, table.unlock.passphrase_file]
        named += [table.hsm.pin_file] if table.hsm is not None else []
    for other in config.of_ibm.values():
        named += [each.api_key_file for each in other.identities]
    return list(dict.fromkeys(config.path(each) for each in named if each is not None))


def _public_key(signing: Path) -> bytes:
    try:
        key = load_pem_private_key(signing.read_bytes(), None)
    except (OSError, ValueError, TypeError):
        return b""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _relative(config: Config, path: Path) -> str:
    """Where it belongs, below the deployment's directory; empty for what lies elsewhere, and is not put back."""
    try:
        return str(path.relative_to(config.directory))
    except ValueError:
        return ""


def _read_back(order: Order, path: Path) -> Manifest:
    """What the disk gives back is what was written, or the file is no backup."""
    with archive.opened(path) as reading:
        size = sum(each.size for each in reading.manifest.parts)
        if flaws := reading.flaws(_counter(order.reading, size)):
            path.unlink()
            raise BadBackup(f"what was written is not what the disk gives back: {flaws[0]}; look after {path.parent}")
        return reading.manifest


def _forget(made: Path, deployment: str, keep: int) -> list[Path]:
    """Remove the oldest of this deployment beyond so many; never the one that was made."""
    ours = [path for path in _ours(made.parent, deployment) if path != made]
    doomed = ours[: max(0, len(ours) + 1 - keep)]
    for path in doomed:
        path.unlink(missing_ok=True)
    return doomed


def _ours(directory: Path, deployment: str) -> list[Path]:
    begin = archive.name_of(deployment, 0).partition("1970")[0]
    return [path for path in archive.those_of(directory) if path.name.startswith(begin)]


def _pages(report: Report, done: int, total: int) -> None:
    report(Progress(done, 0, 0, total))


def _counter(report: Report, total: int) -> Callable[[int], None]:
    """In MiB: a bar of bytes has too many digits."""
    done = 0

    def count(size: int) -> None:
        nonlocal done
        done += size
        report(Progress(done >> 20, 0, 0, max(total, done) >> 20))

    return count
