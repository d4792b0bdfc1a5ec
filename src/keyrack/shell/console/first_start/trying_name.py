"""The first step tried out: what the server is called, where it listens, and where everything lies."""

import asyncio
import contextlib
import errno
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from keyrack.ports.key_manager import Verdict
from keyrack.service.office.refusals import Refused
from keyrack.shell import planning
from keyrack.shell.console.first_start.desk import EVERYWHERE, Desk, is_loopback
from keyrack.shell.console.first_start.plans import plan_of_name
from keyrack.shell.console.first_start.tried import Tried, failed, refused, remark, well
from keyrack.shell.console.words import mark
from keyrack.shell.diagnosis import LEAST_ROOM
from keyrack.shell.kmip.server import bound

PATIENCE: Final = 3.0
"""Seconds in which a name has to resolve."""
NAMES, NAME, DIRECTORY = mark("Names"), mark("Deployment"), mark("Directory")
KMIP, CONSOLE = mark("KMIP"), mark("Console")
_SOCKETS: Final[Mapping[int, str]] = {
    errno.EADDRINUSE: mark("something else listens on port %(port)s already; stop it, or choose another port"),
    errno.EADDRNOTAVAIL: mark("%(host)s is not an address of this machine; 0.0.0.0 listens on all of them"),
    errno.EACCES: mark("port %(port)s is kept for others: this process may use those from 1024 on"),
}


async def try_name(desk: Desk) -> Sequence[Tried]:
    """Names that resolve, free ports, and a directory that can be written."""
    found = [*_names_that_cannot_be(desk), *_place(desk)]
    if not any(each.field == "names" for each in found):
        found += await _resolved(planning.listed(desk.draft["names"]))
    return [*found, *_listeners(desk)]


def _names_that_cannot_be(desk: Desk) -> Iterator[Tried]:
    names = planning.listed(desk.draft["names"])
    if not names:
        yield failed(NAMES, mark("the server needs a name or an address that clients call it by"), "names")
    try:
        planning.check_names(names)
    except Refused as error:
        yield refused(NAMES, error)
    try:
        planning.check_deployment(desk.draft["deployment"])
    except Refused as error:
        yield refused(NAME, error)


async def _resolved(names: Sequence[str]) -> Sequence[Tried]:
    return await asyncio.gather(*(_resolve(name) for name in names))


async def _resolve(name: str) -> Tried:
    try:
        async with asyncio.timeout(PATIENCE):
            found = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError, UnicodeError):
        told = mark("%(name)s does not resolve here: clients that call the server so need it in their DNS")
        return remark(NAMES, told, name=name)
    addresses = sorted({str(each[4][0]) for each in found})
    if not any(map(_is_own, addresses)):
        told = mark("%(name)s resolves to %(addresses)s, which is no address of this machine")
        return remark(NAMES, told, name=name, addresses=", ".join(addresses))
    told = mark("%(name)s resolves to %(addresses)s")
    return well(NAMES, told, name=name, addresses=", ".join(addresses))


def _is_own(address: str) -> bool:
    with contextlib.suppress(OSError):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address.partition("%")[0], 0))
            return True
    return False


def _place(desk: Desk) -> Iterator[Tried]:
    directory = desk.draft.directory
    if not directory.is_absolute():
        yield failed(DIRECTORY, mark("it has to be a whole path, which begins with /"), "directory")
        return
    if taken := plan_of_name(desk).taken():
        told = mark("%(path)s is there already, and nothing is ever overwritten; name another directory")
        yield failed(DIRECTORY, told, "directory", values={"path": taken[0]})
        return
    for place in (directory, desk.config_for(directory).parent):
        if (wrong := unwritable(place)) is not None:
            yield wrong
            return
    if (free := shutil.disk_usage(nearest(directory)).free) < LEAST_ROOM:
        told = mark("%(path)s can be written, and only %(free)s MiB are free there: make room")
        yield remark(DIRECTORY, told, path=directory, free=free // 2**20)
        return
    yield well(DIRECTORY, mark("%(path)s can be written"), path=directory)


def nearest(path: Path) -> Path:
    """The directory itself, or the nearest one above it that is there."""
    return next(each for each in (path, *path.parents) if each.exists())


def unwritable(place: Path) -> Tried | None:
    """What keeps from writing in a directory that may have to be made; ``None``: nothing."""
    there = nearest(place)
    values = {"path": there}
    if not there.is_dir():
        return failed(DIRECTORY, mark("%(path)s is no directory"), "directory", values=values)
    try:
        # A file without a name: whatever happens, nothing of it stays.
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"keyrack")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        told = mark("%(path)s cannot be written: %(why)s; choose another, or begin as the user that owns it")
        return failed(DIRECTORY, told, "directory", values={**values, "why": why})
    return None


def _listeners(desk: Desk) -> Iterator[Tried]:
    yield _listener(desk, KMIP, "host", "port")
    console = _listener(desk, CONSOLE, "api_host", "api_port")
    if desk.draft["api_port"] == desk.draft["port"]:
        told = mark("KMIP and the console cannot share port %(port)s; choose another for one of them")
        yield failed(CONSOLE, told, "api_port", values={"port": desk.draft["port"]})
        return
    yield console
    if console.verdict is not Verdict.FAILED and is_loopback(desk.draft["api_host"]) and not desk.asked.is_local:
        yield remark(CONSOLE, mark("only this machine will reach the console, and you may be at another one"))


def _listener(desk: Desk, what: str, host_at: str, port_at: str) -> Tried:
    host = desk.draft[host_at]
    try:
        planning.check_host(host, host_at)
    except Refused as error:
        return refused(what, error)
    try:
        port = planning.port_of(desk.draft[port_at])
    except Refused as error:
        return refused(what, error, port_at)
    if port == 0:
        return failed(what, mark("clients need a port that stays the same; choose one from 1 to 65535"), port_at)
    shown = {"host": host, "port": port}
    if port == desk.port and (host == desk.asked.host or host in EVERYWHERE or desk.asked.host in EVERYWHERE):
        return well(what, mark("port %(port)s is this wizard's own, and free when it ends"), **shown)
    try:
        bound(host, port).close()
    except OSError as error:
        told = _SOCKETS.get(error.errno or 0, mark("it cannot listen there: %(why)s"))
        at = host_at if error.errno == errno.EADDRNOTAVAIL or isinstance(error, socket.gaierror) else port_at
        return failed(what, told, at, values={**shown, "why": (error.strerror or str(error)).lower()})
    return well(what, mark("port %(port)s of %(host)s is free"), **shown)
