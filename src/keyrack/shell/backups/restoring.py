"""Puts a backup back: the catalog always, and of everything else only what is not there.

The restored catalog is in rollback mode before it has its name: whatever ends this, no server ever serves from an older
catalog as if nothing had come after it. What it takes the place of is kept aside.
"""

import os
import re
import sqlite3
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from keyrack.adapters.catalogs.sqlite import copying
from keyrack.adapters.catalogs.sqlite.catalog import SqliteCatalog
from keyrack.adapters.journals.durable import sync_directory
from keyrack.domain.moments import rfc3339
from keyrack.service.health.findings import Level
from keyrack.service.office.administration import Administrator
from keyrack.service.recovery.rollback import begin
from keyrack.shell.backups import archive
from keyrack.shell.backups.archive import Reading
from keyrack.shell.backups.manifest import CATALOG, CONFIGURATION, BadBackup, Manifest
from keyrack.shell.config.whole import Config
from keyrack.shell.journal_room import clock
from keyrack.shell.probe import look_at_listener

_LOGS: Final = ("", "-wal", "-shm", "-journal")
"""Ends of the names of a SQLite database's files."""

_DIRECTORY: Final = re.compile(r"(?ms)(^\[deployment\](?:(?!^\[).)*?^[ \t]*directory[ \t]*=[ \t]*)[^\n]*")
"""What the table of the deployment says of its directory."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put back."""

    manifest: Manifest
    catalog: Path
    aside: Sequence[Path]
    """Files of the catalog that was there."""
    files: Sequence[Path]
    """What was not there, and is again."""
    kept: Sequence[Path]
    """What is there, and is another than in the backup: it stays."""


def is_there(config: Config) -> bool:
    """Whether there is a catalog that would be put aside."""
    return config.catalog_path is not None and config.catalog_path.exists()


def refuse_served(config: Config) -> None:
    """Raise :class:`BadBackup` while anybody has the catalog open, or serves from one that was taken away."""
    if config.catalog_path is None:
        raise BadBackup("the catalog is PostgreSQL: docs/backup.md tells how it is put back")
    if look_at_listener(config).level is not Level.FAILED:
        raise BadBackup("a server of this deployment runs: stop it, then restore; nothing was changed")
    if copying.is_open(config.catalog_path):
        raise BadBackup(
            f"another program has {config.catalog_path} open: stop servers and commands, then restore; nothing was "
            "changed"
        )


async def restore(config: Config, path: Path, by: Administrator) -> Restored:
    """Put back what was verified before; nobody serves. Raises :class:`BadBackup`, ``OSError``."""
    refuse_served(config)
    target = config.catalog_path
    assert target is not None
    with archive.opened(path) as backup:
        told = backup.manifest
        if told.deployment != config.deployment.id:
            raise BadBackup(
                f"it is a backup of deployment {told.deployment!r}, and this is {config.deployment.id!r}: its keys "
                "would not open here"
            )
        fresh = target.with_name(f".{target.name}.restored")
        _remove(fresh)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        backup.extract(CATALOG, fresh)
        await _roll_back(fresh, path, told, by)
        # It has taken a while. Who has begun to serve meanwhile would acknowledge what goes into the file put aside.
        refuse_served(config)
        files, kept = _fill(config, backup)
        aside = _put_in_place(fresh, target)
    return Restored(told, target, aside, files, kept)


async def _roll_back(fresh: Path, path: Path, told: Manifest, by: Administrator) -> None:
    """Nothing of it may change before what came after it is accounted for; and one file holds it all."""
    catalog = SqliteCatalog(fresh, "administration")
    try:
        why = f"restored from {path.name}, the catalog as it was at {rfc3339(told.at)}"
        if not await begin(catalog, why, by=by.initiator, clock=clock):
            raise BadBackup("the backup was made of a catalog in rollback mode: take another one")
    finally:
        await catalog.close()
    connection = sqlite3.connect(fresh)
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        connection.close()
    for end in _LOGS[1:]:
        fresh.with_name(fresh.name + end).unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _put_in_place(fresh: Path, target: Path) -> list[Path]:
    """The restored file gets the name; what had it is kept beside."""
    # The log goes first: without its database nobody takes it for another's.
    aside = _put_aside(target, reversed(_LOGS))
    fresh.replace(target)
    sync_directory(target.parent)
    return aside


def _put_logs_aside(target: Path) -> None:
    """What is left of a database that is gone: SQLite would write it into the one that comes in its place."""
    _put_aside(target, _LOGS[1:])


def _put_aside(target: Path, ends: Iterable[str]) -> list[Path]:
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    aside = []
    for end in ends:
        there = target.with_name(target.name + end)
        if there.exists():
            kept = target.with_name(f"{target.name}.before-{stamp}{end}")
            there.replace(kept)
            aside.append(kept)
    return aside


def _fill(config: Config, backup: Reading) -> tuple[list[Path], list[Path]]:
    """Everything else that has a place and is not there: a keystore that is there may have root keys of later."""
    files, kept = [], []
    for part in backup.manifest.parts:
        if not part.path:
            continue
        target = config.directory / part.path
        if not target.resolve().is_relative_to(config.directory.resolve()):
            raise BadBackup(f"{part.name} says that it belongs to {part.path!r}, outside of the deployment")
        if target.exists():
            kept.append(target)
        else:
            _put_logs_aside(target)
            backup.extract(part.name, target)
            files.append(target)
    return files, kept


def write_configuration(path: Path, directory: Path) -> Path:
    """The configuration of a backup in an empty place, where the deployment is to live from now on; its path."""
    with archive.opened(path) as backup:
        text = backup.content(CONFIGURATION).decode()
        if not text:
            raise BadBackup(f"{path} has no configuration")
        file = directory / "keyrack.toml"
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        moved = _DIRECTORY.sub(r'\g<1>"."', text, count=1)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as writing:
            writing.write(moved)
        return file


def _remove(path: Path) -> None:
    for end in _LOGS:
        path.with_name(path.name + end).unlink(missing_ok=True)
