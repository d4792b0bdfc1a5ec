"""The web process's end of the back office: one short conversation with a serving process for each question."""

import asyncio
import json
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from keyrack.ports.back_office import (
    BackOfficeUnavailable,
    KeyManagerTold,
    OnBehalf,
    RootKeyDetails,
    RootKeyTold,
    RootKeyVersion,
    Trial,
    WorkerHealth,
)
from keyrack.shell.web.line import LONGEST_ANSWER, SOCKETS, raise_told, short, user_of

CONNECTING: Final = 2.0
"""Seconds to reach a serving process."""
PATIENCE: Final = 65.0
"""Seconds for its answer: a little more than it gives itself."""
QUICK: Final = 15.0
"""Seconds for what it has at hand, or looks at within a few seconds."""
AT_ONCE: Final = 8
"""Questions under way at one time: the line must not become a flood's way into the serving processes."""


class BackOfficeLine:
    """``ports.back_office.BackOffice`` over the sockets in the run directory."""

    def __init__(self, directory: Path) -> None:
        """``directory`` is the run directory of the deployment."""
        self._directory = directory
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def key_managers(self) -> Sequence[KeyManagerTold]:
        """Of the first serving process that answers."""
        return [KeyManagerTold(**each) for each in await self._ask({"verb": "key_managers"}, QUICK)]

    async def root_keys(self, key_manager: str) -> Sequence[RootKeyTold]:
        """As its key manager lists them now."""
        found = await self._ask({"verb": "root_keys", "key_manager": key_manager}, PATIENCE)
        return [_root_key(each) for each in found]

    async def act(self, who: OnBehalf, act: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """By the first serving process that answers; it looks at the token and the rights again."""
        asked = {
            "verb": "act",
            "act": act,
            "arguments": dict(arguments),
            "token": who.token,
            "address": who.address,
            "correlation": who.correlation,
        }
        done: Mapping[str, Any] = await self._ask(asked, PATIENCE)
        return done

    async def health(self) -> Sequence[WorkerHealth]:
        """Of all that answer; a process that is there and silent is one that does not listen."""
        places = self._places()
        found = await asyncio.gather(*(self._health_of(each) for each in places))
        return sorted(found, key=lambda each: each.worker)

    async def metrics(self) -> str:
        """Of all that answer, one after the other."""
        told = await asyncio.gather(*(self._metrics_of(each) for each in self._places()))
        return "".join(told)

    async def _health_of(self, place: Path) -> WorkerHealth:
        number = int(place.stem.rpartition("-")[2])
        try:
            (found,) = await self._ask({"verb": "health"}, QUICK, place)
        except BackOfficeUnavailable:
            return WorkerHealth(worker=number, listening=False, committing=False, at=0)
        trials = [Trial(**each) for each in found.pop("trials")]
        return WorkerHealth(**found, trials=trials)

    async def _metrics_of(self, place: Path) -> str:
        try:
            return str(await self._ask({"verb": "metrics"}, QUICK, place))
        except BackOfficeUnavailable:
            return ""

    def _places(self) -> Sequence[Path]:
        found = [each for each in self._directory.glob(SOCKETS) if each.stem.rpartition("-")[2].isdecimal()]
        return sorted(found, key=lambda each: int(each.stem.rpartition("-")[2]))

    async def _ask(self, asked: Mapping[str, Any], patience: float, place: Path | None = None) -> Any:
        """The answer, or raise what was told; another process is asked only where the first one never heard it."""
        async with self._turns:
            for each in self._places() if place is None else (place,):
                try:
                    sock = await self._connected(each)
                except (OSError, TimeoutError):
                    continue
                told = await _conversation(sock, asked, patience)
                raise_told(told)
                return told["answer"]
        raise BackOfficeUnavailable("no serving process answers, and this needs one")

    async def _connected(self, place: Path) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            with short(place) as name:
                async with asyncio.timeout(CONNECTING):
                    await asyncio.get_running_loop().sock_connect(sock, name)
            if user_of(sock) not in (os.geteuid(), 0):
                raise PermissionError("another user's process listens there")
        except BaseException:
            sock.close()
            raise
        return sock


def _root_key(told: dict[str, Any]) -> RootKeyTold:
    if (details := told.pop("details")) is None:
        return RootKeyTold(**told)
    versions = [RootKeyVersion(**each) for each in details.pop("versions")]
    return RootKeyTold(**told, details=RootKeyDetails(**details, versions=versions))


async def _conversation(sock: socket.socket, asked: Mapping[str, Any], patience: float) -> Mapping[str, Any]:
    reader, writer = await asyncio.open_unix_connection(sock=sock, limit=LONGEST_ANSWER)
    try:
        async with asyncio.timeout(patience):
            writer.write(json.dumps(asked).encode() + b"\n")
            await writer.drain()
            told = json.loads(await reader.readuntil(b"\n"))
    except (OSError, TimeoutError, EOFError, ValueError, asyncio.LimitOverrunError):
        raise BackOfficeUnavailable(
            "the serving process broke off: it was done, or it was not; look before you try again"
        ) from None
    finally:
        writer.close()
    if not isinstance(told, dict):
        raise BackOfficeUnavailable("the serving process said nonsense")
    return told
