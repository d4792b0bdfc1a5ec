"""Power cuts, by the book: what a disk is bound to hold at any instant, worked out from the system calls of a server.

``strace`` writes down every write and every sync of the chosen files. Of what was written, only what a *completed*
sync covers is sure to survive; of the rest a power cut keeps any part, in sectors of 512 bytes. That a file
which was made or removed is there, or gone, is taken for granted.
"""

import os
import random
import re
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from keyrack.testing.process import Deployment

SECTOR = 512
_CALLS = "write,pwrite64,pwritev,pwritev2,ftruncate,fallocate,fsync,fdatasync,sync_file_range,unlink,rename,msync"
_DONE = re.compile(
    r"^(?P<thread>\d+) +(?P<at>[\d.]+) "
    r"(?P<call>\w+)\(\d+<(?P<file>[^>]*)>(?P<rest>.*)\) += (?P<result>-?\d+).*<[\d.]+>$"
)
_BEGUN = re.compile(r"^(?P<thread>\d+) +(?P<at>[\d.]+) (?P<rest>\w+\(.*?) *<unfinished \.\.\.>$")
_RESUMED = re.compile(r"^(?P<thread>\d+) +(?P<at>[\d.]+) <\.\.\. \w+ resumed>(?P<rest>.*)$")
_REMOVED = re.compile(r'^\d+ +(?P<at>[\d.]+) unlink\("(?P<file>[^"]*)"\) += 0 <[\d.]+>$')
_NOT_DONE = re.compile(r"\) += (-1 E\w+ .*<[\d.]+>|\?.*)$|<detached \.\.\.>$|\+\+\+$")
"""Failed, or never returned: the plug was pulled in the middle of it."""
_SYNCS = frozenset({"fsync", "fdatasync"})


def strace() -> str | None:
    """The program, if it is installed."""
    return shutil.which("strace")


def traced(files: Sequence[Path], trace: Path) -> tuple[str, ...]:
    """What to put before a command so that its writes to ``files`` are written down in ``trace``."""
    chosen = [word for file in files for word in ("-P", str(file))]
    return (strace() or "strace", "-f", "-qq", "-ttt", "-T", "-y", "-xx", "-s", "1000000", "-e", "signal=none",
            "-e", f"trace={_CALLS}", *chosen, "-o", str(trace))  # fmt: skip


def pull_the_plug(deployment: Deployment) -> None:
    """Kill a server that runs under ``strace``, which ends too then, its record complete; harmless when repeated."""
    tracer, deployment.process = deployment.process, None
    if tracer is not None:
        for child in Path(f"/proc/{tracer.pid}/task/{tracer.pid}/children").read_text().split():
            os.kill(int(child), signal.SIGKILL)
        tracer.wait(15)


@dataclass(frozen=True, slots=True)
class Call:
    """One system call, when it had returned, in seconds since 1970. A sync covers what was written when it began."""

    at: float
    file: str
    covers: int = 0
    """Of a sync: how many of the file's writes it makes durable, counted from the first."""
    offset: int | None = None
    """Of a write; ``None`` in a sync."""
    data: bytes = b""
    length: int | None = None
    """Of a truncation: the file's new length."""
    removed: bool = False


@dataclass(slots=True)
class File:
    """A file: what is sure to be there, and what was written since."""

    durable: bytearray
    pending: list[Call] = field(default_factory=list)
    synced: int = 0
    """How many writes are in ``durable``."""

    def sync(self, covers: int) -> None:
        """A sync has returned."""
        while self.synced < covers:
            _apply(self.durable, self.pending.pop(0))
            self.synced += 1

    def after_power_cut(self, chance: random.Random | None, share: float = 0.5) -> bytes:
        """What may be found: all that is durable, and by chance some sectors of the rest, about a ``share`` of them;
        without chance, none."""
        image = bytearray(self.durable)
        if chance is not None:
            parts = (part for call in self.pending for part in _sectors(call))
            for part in parts:
                if chance.random() < share:
                    _apply(image, part)
        return bytes(image)


@dataclass(slots=True)
class Disk:
    """The chosen files, by path, at one instant."""

    files: dict[str, File]
    until: float = 0.0
    """Nothing is written before this time, in seconds since 1970: who was answered until then was promised it."""

    synced: bool = False
    """Whether the call was a sync, or the next one is: the boundaries at which what is durable changes."""

    def write(self, base: Path, copy: Path, chance: random.Random | None = None, share: float = 0.5) -> None:
        """Write what a power cut leaves below ``copy``, as it lay below ``base``."""
        for name, file in self.files.items():
            target = copy / Path(name).relative_to(base)
            target.write_bytes(file.after_power_cut(chance, share))


def disks(trace: Path, base: Mapping[Path, bytes]) -> Iterator[Disk]:
    """The disk after each call, in order, the same object each time. ``base``: the files before the server started."""
    calls = list(_calls(trace))
    disk = Disk({str(path): File(bytearray(content)) for path, content in base.items()})
    for number, call in enumerate(calls):
        file = disk.files.setdefault(call.file, File(bytearray()))
        if call.removed:
            file.durable, file.pending, file.synced = bytearray(), [], file.synced + len(file.pending)
        elif call.covers:
            file.sync(call.covers)
        elif call.offset is not None or call.length is not None:
            file.pending.append(call)
        following = calls[number + 1] if number + 1 < len(calls) else call
        disk.until = following.at
        disk.synced = bool(call.covers or following.covers)
        yield disk


def _calls(trace: Path) -> Iterator[Call]:
    written: dict[str, int] = {}
    begun: dict[str, tuple[str, int]] = {}
    for line in trace.read_text(encoding="ascii").splitlines():
        if start := _BEGUN.match(line):
            begun[start["thread"]] = (start["rest"], written.get(_name(start["rest"]), 0))
            continue
        whole, covers = line, None
        if resumed := _RESUMED.match(line):
            rest, covers = begun.pop(resumed["thread"])
            whole = f"{resumed['thread']} {resumed['at']} {rest}{resumed['rest']}"
        if _NOT_DONE.search(whole):
            continue
        if removed := _REMOVED.match(whole):
            yield Call(float(removed["at"]), _text(removed["file"]), removed=True)
            continue
        done = _DONE.match(whole)
        if done is None:
            raise NotImplementedError(f"not modelled: {whole[:200]}")
        name = _text(done["file"])
        call = _call(done, name, written.get(name, 0) if covers is None else covers)
        if call.offset is not None or call.length is not None:
            written[name] = written.get(name, 0) + 1
        yield call


def _call(done: re.Match[str], name: str, covers: int) -> Call:
    kind, at = done["call"], float(done["at"])
    if kind in _SYNCS:
        return Call(at, name, covers=covers)
    if kind == "ftruncate":
        return Call(at, name, length=int(done["rest"].lstrip(", ")))
    if kind == "pwrite64":
        _, data, *_, offset = done["rest"].split(", ")
        return Call(at, name, offset=int(offset), data=_octets(data.strip('"'))[: int(done["result"])])
    # What SQLite does not do today must not pass unseen tomorrow.
    raise NotImplementedError(f"not modelled: {kind} of {name}")


def _name(text: str) -> str:
    return _text(text.partition("<")[2].partition(">")[0])


def _text(escaped: str) -> str:
    return _octets(escaped).decode()


def _octets(escaped: str) -> bytes:
    return bytes.fromhex(escaped.replace("\\x", ""))


def _sectors(call: Call) -> Iterator[Call]:
    if call.offset is None:
        yield call
        return
    start, end = call.offset, call.offset + len(call.data)
    edges = [start, *range(start - start % SECTOR + SECTOR, end, SECTOR), end]
    for low, high in zip(edges, edges[1:], strict=False):
        yield Call(call.at, call.file, offset=low, data=call.data[low - start : high - start])


def _apply(image: bytearray, call: Call) -> None:
    if call.offset is None:
        assert call.length is not None
        del image[call.length :]
        image.extend(bytes(call.length - len(image)))
        return
    image.extend(bytes(max(0, call.offset - len(image))))
    image[call.offset : call.offset + len(call.data)] = call.data
