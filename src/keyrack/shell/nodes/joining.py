"""Makes a node of an invitation: its directory, proved against the catalog that it is to share, or nothing."""

import os
import shutil
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from keyrack.embedded import files
from keyrack.embedded.root_keys import keystore as keystores
from keyrack.embedded.store.database import anchor_path, database_path
from keyrack.ports.cluster import Node
from keyrack.ports.whole_catalog import WholeCatalog
from keyrack.shell import pki
from keyrack.shell.catalogs import open_catalog
from keyrack.shell.config.whole import Config, load
from keyrack.shell.nodes.change_logs import log_of
from keyrack.shell.nodes.invitations import BadInvitation, Invitation
from keyrack.shell.nodes.inviting import configured
from keyrack.shell.office import open_house_of
from keyrack.shell.sealed.openers import AskPassphrase, out_of_hand

ALIVE: Final = 60
"""Seconds since it last wrote, for which a node counts as one that lives."""
CHAIN: Final = "administration"
"""Under which a command journals."""


class CannotJoin(Exception):
    """This machine does not become a node; nothing was made. The text says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """A node that was made."""

    config: Path
    directory: Path
    unproved: dict[str, str]
    """Embedded key managers that could not be opened here and now, and why: they are when the server starts."""
    missing: list[str]
    """Files that the configuration names elsewhere, and that are not on this machine."""


def taken(nodes: "list[Node]", name: str, now: float) -> Node | None:
    """The node that lives under this name."""
    return next((each for each in nodes if each.name == name and now - each.seen_at < ALIVE), None)


async def join(invitation: Invitation, directory: Path, file: Path, ask: AskPassphrase | None) -> Joined:
    """Make the node; whatever fails, nothing half-made stays. Raises :class:`CannotJoin`, ``ConfigError`` and others.

    ``file``: where its configuration is to be.
    """
    made = sorted(invitation.files)
    there = [path for path in (file, *(directory / name for name in made)) if path.exists()]
    if there:
        raise CannotJoin(f"{there[0]} is there already, and nothing is ever overwritten; use another --directory")
    stood = directory.is_dir()
    try:
        _write(invitation, directory, file)
        config = load(file)
        await _require_catalog(invitation, config)
        unproved = _proved(invitation, config, ask)
    except BaseException:
        file.unlink(missing_ok=True)
        for name in made:
            (directory / name).unlink(missing_ok=True)
        if not stood:
            shutil.rmtree(directory, ignore_errors=True)
        raise
    missing = [path for path in invitation.elsewhere if not Path(path).exists()]
    return Joined(config=file, directory=directory, unproved=unproved, missing=missing)


async def refresh(invitation: Invitation, config: Config, ask: AskPassphrase | None) -> dict[str, Path]:
    """Give a node that is there the key managers of an invitation for it; where its own databases were put.

    Raises :class:`CannotJoin`, and then nothing was changed.
    """
    _require_same(invitation, config)
    await _require_catalog(invitation, config, again=True)
    kept: dict[str, Path] = {}
    for name in invitation.key_managers:
        database = database_path(config.path(config.embedded[name].keystore))
        kept[name] = _replaced(database, *_copy_of(invitation, config, name))
    _proved(invitation, config, ask)
    return kept


def _write(invitation: Invitation, directory: Path, file: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    file.parent.mkdir(parents=True, exist_ok=True)
    for name, content in invitation.files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        pki.write_private(path, content)
    text = configured(invitation.configuration, node=invitation.node, directory=directory, beside=file)
    pki.write_private(file, text.encode())


async def _require_catalog(invitation: Invitation, config: Config, *, again: bool = False) -> None:
    """Return when the catalog answers, is that deployment's, and has nobody of this name."""
    if config.catalog_path is not None:
        raise CannotJoin("the catalog of the invitation is a SQLite file, which no other machine can share")
    catalog = await open_catalog(config, CHAIN)
    try:
        await _require_ours(invitation, catalog)
        other = taken(list(await catalog.nodes()), invitation.node, time.time())
        if other is not None and not again:
            raise CannotJoin(
                f"a node {other.name!r} serves already, at {other.address or 'no address'}; have an invitation made "
                "for another name, or stop that node first"
            )
    finally:
        await catalog.close()


async def _require_ours(invitation: Invitation, catalog: WholeCatalog) -> None:
    whose = await catalog.deployment()
    if whose != invitation.deployment:
        raise CannotJoin(
            f"the invitation is of deployment {invitation.deployment!r}, and the catalog that it names "
            + (f"is of {whose!r}" if whose is not None else "is nobody's yet")
            + ": have another invitation made, where the first node serves from this catalog"
        )


def _proved(invitation: Invitation, config: Config, ask: AskPassphrase | None) -> dict[str, str]:
    """Open each embedded key manager and have it follow the log; those that cannot be opened by a command, and why."""
    unproved = {}
    for name, copied in invitation.key_managers.items():
        why = out_of_hand(config, name)
        if why and ask is None:
            unproved[name] = why
            _require_in_log(config, name, copied.revision)
            continue
        house = open_house_of(config, name, ask)
        house.close()
    return unproved


def _require_in_log(config: Config, name: str, revision: int) -> None:
    log = log_of(config, name)
    assert log is not None
    with closing(log):
        lines = log.since(revision - 1, 1)
    if not lines or lines[0].revision != revision:
        raise CannotJoin(
            f"the key manager {name!r} has changed too often since the invitation was made: have another one made"
        )


def _require_same(invitation: Invitation, config: Config) -> None:
    ours = config.deployment
    if (invitation.deployment, invitation.node) != (ours.id, ours.node):
        raise CannotJoin(
            f"the invitation is for node {invitation.node!r} of deployment {invitation.deployment!r}, and this is "
            f"{ours.node!r} of {ours.id!r}: have one made with 'keyrack node invite {ours.node} --again'"
        )
    for name, copied in invitation.key_managers.items():
        table = config.embedded.get(name)
        identifier = keystores.look(config.path(table.keystore)).identifier if table is not None else None
        if identifier != copied.keystore:
            raise CannotJoin(f"the key manager {name!r} of the invitation is not the one that this node has")


def _copy_of(invitation: Invitation, config: Config, name: str) -> tuple[bytes, bytes]:
    """Database and anchor, where the first node had them: all nodes have one configuration."""
    database = database_path(config.embedded[name].keystore)
    try:
        return invitation.files[str(database)], invitation.files[str(anchor_path(database))]
    except KeyError:
        raise BadInvitation(
            f"the invitation has the key manager {name!r} in another place than this node's configuration"
        ) from None


def _replaced(database: Path, content: bytes, anchor: bytes) -> Path:
    """Put the copy in the place of the database; where that one is now."""
    kept = database.with_name(f"{database.name}.before-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
    os.link(database, kept)
    for ending in ("-wal", "-shm"):
        beside = database.with_name(database.name + ending)
        if beside.exists():
            # What it holds belongs to the file from before, and would spoil the new one.
            os.rename(beside, kept.with_name(kept.name + ending))
    files.replace(database, content)
    files.replace(anchor_path(database), anchor)
    return kept
