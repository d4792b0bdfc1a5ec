"""Opening the SQLite file: private, on a disk whose locks work, in WAL with every commit synced, or not at all."""

import os
import sqlite3
from pathlib import Path
from typing import Final

from keyrack.adapters.catalogs.sqlite.migrator import UnfitDatabase, migrate
from keyrack.adapters.catalogs.sqlite.moved import moved

OLDEST_SQLITE: Final = (3, 35, 0)
"""The first with ``RETURNING``."""
FULL: Final = 2
"""``PRAGMA synchronous``: the log is synced at each commit, so that a power cut takes back nothing acknowledged."""
READ_WAIT: Final = 0.25
"""Seconds that a read waits while another process recovers the log after a crash; reads wait for nothing else."""
CACHE_KIB: Final = 64 * 1024

_NETWORK_FILE_SYSTEMS: Final = frozenset({
    "9p", "afs", "ceph", "cifs", "davfs", "fuse.ceph", "fuse.glusterfs", "fuse.s3fs", "fuse.sshfs", "glusterfs",
    "lustre", "ncpfs", "nfs", "nfs4", "smb3", "smbfs",
})  # fmt: skip
_MOUNTS: Final = Path("/proc/self/mountinfo")


def prepare(path: Path) -> None:
    """Make the file if it is not there, readable for its owner alone, and bring its schema up to date.

    Raises :class:`UnfitDatabase`; ``OSError`` and ``sqlite3.Error`` are translated to it.
    """
    refuse_network(path)
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise UnfitDatabase(f"SQLite {sqlite3.sqlite_version} is too old; Keyrack needs 3.35 or newer")
    try:
        # SQLite gives its log and shared memory the mode of the file.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        path.chmod(0o600)
        connection = connect(path, wait=5.0)
        try:
            _refuse_moved(path, connection)
            migrate(connection)
        finally:
            connection.close()
    except (OSError, sqlite3.Error) as error:
        raise UnfitDatabase(
            f"the catalog {path} cannot be opened: {error}; check path, owner and free space"
        ) from error


def _refuse_moved(path: Path, connection: sqlite3.Connection) -> None:
    there = moved(connection)
    if there is not None:
        raise UnfitDatabase(
            f"the catalog {path} has moved to {there.place}: write that as catalog.url, or say 'keyrack "
            "migrate-catalog' again where it was broken off"
        )


def connect(path: Path, *, wait: float = 0.0) -> sqlite3.Connection:
    """A connection with the catalog's settings, read back; ``wait`` in seconds for another process's lock.

    It makes no file: a server whose file was taken away has all that was in it until it stops, and an empty one in its
    place would hide that. Memory-mapped reading stays off: it is no faster with this cache, and an I/O error would be a
    signal that kills.
    """
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=wait,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )
    try:
        _setting(connection, "journal_mode", "WAL", "wal")
        _setting(connection, "synchronous", "FULL", FULL)
        _setting(connection, "foreign_keys", "ON", 1)
        # On macOS a plain fsync leaves data in the drive's cache; elsewhere the setting means nothing.
        connection.execute("PRAGMA fullfsync = ON")
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        connection.execute("PRAGMA temp_store = MEMORY")
    except BaseException:
        connection.close()
        raise
    return connection


def _setting(connection: sqlite3.Connection, name: str, value: str, expected: object) -> None:
    connection.execute(f"PRAGMA {name} = {value}").fetchall()
    (found,) = connection.execute(f"PRAGMA {name}").fetchone()
    if found != expected:
        raise UnfitDatabase(
            f"SQLite answers {name} = {found}, not {value}: this file system cannot hold the catalog safely"
        )


def refuse_network(path: Path) -> None:
    """Raise :class:`UnfitDatabase` where the file would lie on another machine's disk."""
    kind = file_system(path)
    if kind in _NETWORK_FILE_SYSTEMS:
        raise UnfitDatabase(
            f"the catalog {path} would lie on {kind}, whose locks and syncs SQLite cannot trust; "
            "put it on a local disk, or use PostgreSQL for more than one machine"
        )


def file_system(path: Path, mounts_file: Path = _MOUNTS) -> str:
    """The kind of file system that holds ``path`` (``"ext4"``), or ``""`` where the system does not tell."""
    try:
        mounts = mounts_file.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return ""
    where = path.absolute().parent.resolve()
    found = (0, "")
    for mount in mounts:
        fields, _, rest = mount.partition(" - ")
        point = Path(fields.split()[4].replace("\\040", " "))
        if where.is_relative_to(point) and len(point.parts) >= found[0]:
            found = (len(point.parts), rest.split()[0])
    return found[1]
