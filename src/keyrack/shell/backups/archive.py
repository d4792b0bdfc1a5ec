"""The one file of a backup: a ZIP archive of private mode whose last part is the manifest.

It is written beside its name, synced, and renamed: a file with the name of a backup is a whole one. The check sums of
ZIP find a flipped bit, and the manifest's digests what somebody has changed.
"""

import os
import shutil
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import IO, Final

from keyrack.adapters.journals.durable import sync_directory
from keyrack.shell.backups import manifest
from keyrack.shell.backups.manifest import BadBackup, Manifest, Part

ENDING: Final = ".backup"
PARTIAL: Final = ".part"
"""End of the name of a file that is still being written."""
_PIECE: Final = 1 << 20
_LEVEL: Final = 1
"""Of compression: texts of the journal shrink to a fifth, and wrapped keys do not shrink whatever is tried."""

Count = Callable[[int], None]
"""Is told how many bytes more are done."""


def name_of(deployment: str, at: int) -> str:
    """What a backup is called: in an order that is that of their times."""
    return f"keyrack-{deployment}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(at))}{ENDING}"


class Writing:
    """A backup that is being written."""

    def __init__(self, file: zipfile.ZipFile) -> None:
        """Into this archive."""
        self._file = file
        self.parts: list[Part] = []

    def add(self, name: str, source: Path, path: str = "", count: Count = lambda size: None) -> None:
        """A file, under this name; ``path`` is where it belongs in a deployment."""
        with source.open("rb") as reading:
            self._write(name, reading, path, count)

    def add_bytes(self, name: str, content: bytes, path: str = "") -> None:
        """A small file."""
        self.parts.append(Part(name=name, size=len(content), sha256=sha256(content).hexdigest(), path=path))
        self._file.writestr(_entry(name), content)

    def _write(self, name: str, reading: IO[bytes], path: str, count: Count) -> None:
        digest, size = sha256(), 0
        with self._file.open(_entry(name), "w", force_zip64=True) as writing:
            while piece := reading.read(_PIECE):
                digest.update(piece)
                size += len(piece)
                writing.write(piece)
                count(len(piece))
        self.parts.append(Part(name=name, size=size, sha256=digest.hexdigest(), path=path))

    def close(self, told: Manifest) -> None:
        """The manifest, last."""
        self._file.writestr(_entry(manifest.NAME), told.text)


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, time.gmtime()[:6])
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o600 << 16
    entry._compresslevel = _LEVEL  # type: ignore[attr-defined] # public from Python 3.13 on
    return entry


@contextmanager
def written(path: Path) -> Iterator[Writing]:
    """A new backup at ``path``, which is there once the block has ended well, whole and synced; else nothing is.

    Raises ``FileExistsError``, ``OSError``.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.exists():
        raise FileExistsError(17, "file exists", str(path))
    beside = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
    try:
        descriptor = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w+b") as raw:
            with zipfile.ZipFile(raw, "w", compression=zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as file:
                yield Writing(file)
            raw.flush()
            os.fsync(raw.fileno())
        os.link(beside, path)  # Unlike a rename it never takes the place of another.
    finally:
        beside.unlink(missing_ok=True)
    sync_directory(path.parent)


class Reading:
    """A backup that is there."""

    def __init__(self, path: Path, file: zipfile.ZipFile) -> None:
        """The archive at ``path``; raises :class:`BadBackup`."""
        self.path = path
        self._file = file
        try:
            self.manifest = manifest.read(file.read(manifest.NAME).decode())
        except BadBackup:
            raise
        except Exception as error:  # noqa: BLE001 - zlib's own is named nowhere
            raise BadBackup(f"{path} has no manifest that can be read: {error}") from None

    def flaws(self, count: Count = lambda size: None) -> list[str]:
        """What is not as the manifest says, part by part."""
        found = []
        named = {each.name for each in self.manifest.parts}
        for name in self._file.namelist():
            if name not in named and name != manifest.NAME:
                found.append(f"{name} is in it and not in its manifest: added")
        for part in self.manifest.parts:
            try:
                digest = self._digest(part, count)
            except KeyError:
                found.append(f"{part.name} is missing")
            except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError) as error:
                found.append(f"{part.name} cannot be read: {error}")
            except Exception as error:  # noqa: BLE001 - zlib's own is named nowhere
                found.append(f"{part.name} is damaged: {error}")
            else:
                if digest != part.sha256:
                    found.append(f"{part.name} is not as it was written: its SHA-256 is another one")
        return found

    def _digest(self, part: Part, count: Count) -> str:
        digest = sha256()
        with self._file.open(part.name) as reading:
            while piece := reading.read(_PIECE):
                digest.update(piece)
                count(len(piece))
        return digest.hexdigest()

    def extract(self, name: str, target: Path) -> None:
        """Write a part to a new private file, and sync it; raises :class:`BadBackup` where it is not as written.

        The file has its name once it is whole: half of a key manager's database would be taken for one that is there.
        """
        part = self.manifest.part(name)
        if part is None:
            raise BadBackup(f"{self.path} has no {name}")
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside = target.with_name(f".{target.name}.{os.getpid()}{PARTIAL}")
        try:
            self._extract(part, beside)
            os.link(beside, target)
        finally:
            beside.unlink(missing_ok=True)
        sync_directory(target.parent)

    def _extract(self, part: Part, target: Path) -> None:
        digest, name = sha256(), part.name
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as writing:
            try:
                with self._file.open(name) as reading:
                    while piece := reading.read(_PIECE):
                        digest.update(piece)
                        writing.write(piece)
            except Exception as error:  # noqa: BLE001 - zlib's own is named nowhere
                raise BadBackup(f"{name} of {self.path} is damaged: {error}") from None
            writing.flush()
            os.fsync(writing.fileno())
        if digest.hexdigest() != part.sha256:
            raise BadBackup(f"{name} of {self.path} is not as it was written: its SHA-256 is another one")

    def content(self, name: str) -> bytes:
        """A small part; empty where it is not there."""
        return self._file.read(name) if self.manifest.part(name) is not None else b""


@contextmanager
def opened(path: Path) -> Iterator[Reading]:
    """A backup; raises :class:`BadBackup` for what is none, ``OSError``."""
    try:
        file = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise BadBackup(f"{path} is no backup, or was cut off: {error}") from None
    with file:
        yield Reading(path, file)


def those_of(directory: Path) -> list[Path]:
    """Backups of a directory, in the order of their names: each deployment's oldest first."""
    if not directory.is_dir():
        return []
    return sorted(path for path in directory.iterdir() if path.name.endswith(ENDING) and path.name[0] != ".")


def forget_partial(directory: Path) -> None:
    """Take away what earlier runs have left half done, of processes that are gone."""
    for path in directory.glob(f".*{PARTIAL}") if directory.is_dir() else ():
        number = path.name.removesuffix(PARTIAL).rpartition(".")[2]
        if number.isdigit() and not Path(f"/proc/{number}").exists():
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
