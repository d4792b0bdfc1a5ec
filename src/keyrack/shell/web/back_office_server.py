"""The serving process's end of the back office: a Unix socket for its own user, few verbs, all of it bounded."""

import asyncio
import json
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from keyrack.ports.back_office import BackOffice, OnBehalf
from keyrack.ports.catalog import CatalogUnavailable
from keyrack.ports.key_manager import KeyManagerFailed
from keyrack.service.office.refusals import Refused
from keyrack.shell.web.line import LONGEST_ANSWER, LONGEST_REQUEST, short, socket_of, told_of, user_of

log = logging.getLogger(__name__)

HEARING: Final = 5.0
"""Seconds for a request's line to come, and for an answer's to be taken."""
DOING: Final = 60.0
"""Seconds for what is asked."""
AT_ONCE: Final = 16
"""Requests that are worked on at one time."""
CONNECTIONS: Final = 64
"""Connections at one time; one more is closed."""

Verb = Callable[[BackOffice, Mapping[str, Any]], Awaitable[Any]]


async def _key_managers(desk: BackOffice, asked: Mapping[str, Any]) -> Any:
    return [asdict(each) for each in await desk.key_managers()]


async def _root_keys(desk: BackOffice, asked: Mapping[str, Any]) -> Any:
    return [asdict(each) for each in await desk.root_keys(str(asked["key_manager"]))]


async def _act(desk: BackOffice, asked: Mapping[str, Any]) -> Any:
    who = OnBehalf(token=str(asked["token"]), address=str(asked["address"]), correlation=str(asked["correlation"]))
    return await desk.act(who, str(asked["act"]), dict(asked["arguments"]))


async def _health(desk: BackOffice, asked: Mapping[str, Any]) -> Any:
    return [asdict(each) for each in await desk.health()]


async def _metrics(desk: BackOffice, asked: Mapping[str, Any]) -> Any:
    return await desk.metrics()


VERBS: Final[Mapping[str, Verb]] = {
    "key_managers": _key_managers,
    "root_keys": _root_keys,
    "act": _act,
    "health": _health,
    "metrics": _metrics,
}


@asynccontextmanager
async def back_office(directory: Path, worker: int, desk: BackOffice) -> AsyncIterator[None]:
    """Answer at the socket of this process in the run directory, as long as the block lasts.

    Where there can be no socket the block runs without one: the administration API lacks it, and KMIP does not.
    """
    place = socket_of(directory, worker)
    try:
        server = await _Server(desk).start(place)
    except OSError as error:
        log.error("no back office", extra={"socket": str(place), "why": error.strerror or str(error)})
        yield
        return
    try:
        yield
    finally:
        await server.stop()
        place.unlink(missing_ok=True)


class _Server:
    def __init__(self, desk: BackOffice) -> None:
        self._desk = desk
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server

    async def start(self, place: Path) -> "_Server":
        place.parent.mkdir(mode=0o755, exist_ok=True)
        place.unlink(missing_ok=True)  # of a process that was killed
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with short(place) as name:
                sock.bind(name)
            # Nobody can connect before it listens, so there is no moment at which others could.
            place.chmod(0o600)
            self._server = await asyncio.start_unix_server(self._met, sock=sock, limit=LONGEST_REQUEST)
        except BaseException:
            sock.close()
            raise
        return self

    async def stop(self) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client, who may be anybody; whatever it does, KMIP goes on."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            user = user_of(writer.get_extra_info("socket"))
            if user not in (os.geteuid(), 0):
                log.warning("user %d may not use the back office: only the server's own user and root", user)
            elif len(self._tasks) <= CONNECTIONS:
                await self._conversation(reader, writer)
        except (OSError, TimeoutError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
            log.debug("a conversation of the back office broke off", extra={"why": type(error).__name__})
        except Exception as error:  # what it holds may be a token
            log.error("a conversation of the back office failed", extra={"why": type(error).__name__})
        finally:
            self._tasks.discard(task)
            writer.transport.abort() if writer.transport.get_write_buffer_size() else writer.close()

    async def _conversation(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(HEARING):
            line = await reader.readuntil(b"\n")
        asked = json.loads(line)
        del line
        answer = json.dumps(await self._answer(asked)).encode() + b"\n"
        if len(answer) > LONGEST_ANSWER:
            answer = json.dumps({"failed": "the answer is too long"}).encode() + b"\n"
        writer.write(answer)
        async with asyncio.timeout(HEARING):
            await writer.drain()

    async def _answer(self, asked: Any) -> Mapping[str, Any]:
        verb = VERBS.get(str(asked.get("verb"))) if isinstance(asked, dict) else None
        if verb is None:
            return {"failed": "there is no such verb"}
        try:
            async with asyncio.timeout(DOING), self._turns:
                return {"answer": await verb(self._desk, asked)}
        except (Refused, KeyManagerFailed, CatalogUnavailable, TimeoutError) as error:
            return told_of(error)
        except (KeyError, TypeError, AttributeError) as error:
            log.warning("the back office did not understand", extra={"why": type(error).__name__})
            return {"failed": "it was not understood"}
        except Exception as error:
            log.error("the back office failed", extra={"verb": asked.get("verb"), "why": type(error).__name__})
            log.debug("the fault", exc_info=error)
            return told_of(error)
