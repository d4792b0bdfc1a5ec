"""A sealed start: the server waits on a Unix socket until a person has brought what opens its keystores.

One message each way. The server greets with a line of JSON that says what is sealed; the client sends a passphrase or
shares, raw and with their lengths before them, so that they stay in memory that can be wiped; the server answers with
another line. Only the server's own user and root get that far.
"""

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from keyrack.domain.secret import Secret, wipe
from keyrack.embedded.errors import KeystoreError
from keyrack.embedded.root_keys import keystore, shares
from keyrack.embedded.root_keys.unlock import Passphrase, Recovered
from keyrack.shell.config.problems import ConfigError, Problem
from keyrack.shell.config.whole import Config
from keyrack.shell.sealed.openers import LONGEST_LINE, exchanged

log = logging.getLogger(__name__)

SOCKET: Final = "unseal"
"""Name of the socket in the run directory; it is there as long as the server is sealed."""
PAUSE: Final = 1.0
"""Seconds before a wrong attempt is answered."""
MOST_ATTEMPTS: Final = 5
"""Attempts in one :data:`WINDOW` of seconds: each costs 256 MiB and most of a second."""
WINDOW: Final = 60.0
PATIENCE: Final = 10.0
"""Seconds in which a client says what it has to say, and in which the server answers besides deriving."""
_ENDING: Final = (signal.SIGTERM, signal.SIGINT)
_HEAD: Final = struct.Struct("!BBB")  # kind, length of the name, number of parts
_PART: Final = struct.Struct("!H")
_PASSPHRASE, _SHARES = 1, 2
_PEER: Final = struct.Struct("3i")  # struct ucred of Linux: process, user, group

Exchange = Callable[[Passphrase | Recovered], Recovered]
"""Tries what opens a keystore, wipes it and answers the keystore's key; raises ``KeystoreError``."""


class StillSealed(Exception):
    """The server was told to end before its keystores were open."""


class SealTrouble(Exception):
    """Nobody waits to be unsealed, or one cannot talk with who does; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A keystore that is sealed."""

    key_manager: str
    keystore: str
    """The keystore's identifier, as its shares name it."""
    exchange: Exchange


def sealed_of(config: Config) -> list[Waiting]:
    """The keystores that a person opens after each start; raises :class:`ConfigError` for those that are not there."""
    found: list[Waiting] = []
    problems: list[Problem] = []
    for name, table in config.embedded.items():
        path = config.path(table.keystore)
        try:
            if table.unlock.unseal:
                found.append(Waiting(name, keystore.look(path).identifier, partial(exchanged, path)))
        except (KeystoreError, OSError) as error:
            problems.append(
                Problem(
                    where=f"key_managers.{name}.keystore",
                    what="it cannot be unsealed",
                    why=str(error),
                    instead="correct the path, or put the file back",
                )
            )
    if problems:
        raise ConfigError(problems)
    return found


class Unsealing:
    """Waits for people, who open each sealed keystore with its passphrase or with shares."""

    def __init__(
        self,
        place: Path,
        waiting: Sequence[Waiting],
        *,
        pause: float = PAUSE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``place`` is the socket's path; ``clock`` gives seconds."""
        self._place = place
        self._waiting: dict[str, Waiting] = {each.key_manager: each for each in waiting}
        self._opened: dict[str, Recovered] = {}
        self._attempts: deque[float] = deque()
        self._pause = pause
        self._clock = clock
        self._all_open = asyncio.Event()
        self._stopped = asyncio.Event()

    def wait(self) -> Mapping[str, Recovered]:
        """The keys of the keystores by key manager, once all are open; they are the caller's to wipe.

        Raises :class:`StillSealed` after SIGTERM or SIGINT, ``OSError`` where there can be no socket, and
        :class:`SealTrouble` where another server waits already.
        """
        try:
            try:
                asyncio.run(self._wait())
            finally:
                # One that came since ``_wait`` has stopped listening ends the process now, as it would have before.
                if threading.current_thread() is threading.main_thread():
                    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
        except BaseException:
            for key in self._opened.values():
                key.wipe()
            raise
        return self._opened

    async def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        # Only the main thread hears signals; elsewhere, whoever runs the thread ends it.
        with contextlib.suppress(ValueError, RuntimeError):
            for number in _ENDING:
                loop.add_signal_handler(number, self._stopped.set)
            loop.add_signal_handler(signal.SIGHUP, lambda: None)  # there is nothing to read again yet
        with _listening(self._place) as listener:
            accepting = loop.create_task(self._accept(listener))
            ends = [loop.create_task(event.wait()) for event in (self._all_open, self._stopped)]
            await asyncio.wait([accepting, *ends], return_when=asyncio.FIRST_COMPLETED)
            if accepting.done():
                accepting.result()
        if threading.current_thread() is threading.main_thread():
            # What comes from here on waits for the default handlers: a loop that is closing would swallow it. What has
            # come before is heard once the loop has looked.
            signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
            await asyncio.sleep(0.001)
        if self._stopped.is_set() or not self._all_open.is_set():
            raise StillSealed("stopped while sealed")

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        trying = asyncio.Lock()
        async with asyncio.TaskGroup() as conversations:
            while True:
                client, _ = await loop.sock_accept(listener)
                conversations.create_task(self._converse(client, trying))

    async def _converse(self, client: socket.socket, trying: asyncio.Lock) -> None:
        """One client, who may be anybody; whatever it does, the wait goes on."""
        with client:
            client.setblocking(False)
            user = _user_of(client)
            if user not in (os.geteuid(), 0):
                log.warning("user %d may not unseal: only the server's own user and root", user)
                return
            try:
                await self._answer(client, trying)
            except (OSError, TimeoutError, EOFError, ValueError) as error:
                log.debug("an attempt to unseal broke off: %s", error)
            except Exception as error:  # not what it holds: that may be a passphrase
                log.error("an attempt to unseal failed: unexpected %s", type(error).__name__)

    async def _answer(self, client: socket.socket, trying: asyncio.Lock) -> None:
        sealed = [{"key_manager": each.key_manager, "keystore": each.keystore} for each in self._waiting.values()]
        await _within(_say(client, {"sealed": sealed}))
        name, kind, parts = await _within(_hear(client))
        try:
            async with trying:
                outcome, told = await self._attempt(name, kind, parts)
        finally:
            for part in parts:
                wipe(part)
        log.log(logging.INFO if outcome == "right" else logging.WARNING, "unsealing %s: %s: %s", name, outcome, told)
        if outcome != "right":
            await asyncio.sleep(self._pause)
        with contextlib.suppress(OSError, TimeoutError):
            await _within(_say(client, {"outcome": outcome, "told": told, "sealed": list(self._waiting)}))
        if not self._waiting:
            self._all_open.set()

    async def _attempt(self, name: str, kind: int, parts: Sequence[bytearray]) -> tuple[str, str]:
        waiting = self._waiting.get(name)
        if waiting is None:
            return "open", f"the keystore {name!r} is not sealed"
        if (left := self._seconds_to_wait()) > 0:
            return "too many", f"{MOST_ATTEMPTS} attempts in a minute are the most; try again in {left:.0f} seconds"
        self._attempts.append(self._clock())
        try:
            answer = _answer_of(kind, parts)
            self._opened[name] = await asyncio.to_thread(waiting.exchange, answer)
        except KeystoreError as error:
            return "wrong", str(error)
        except OSError as error:
            return "wrong", f"the keystore cannot be read: {error.strerror}"
        del self._waiting[name]
        return "right", f"the keystore {name!r} is open"

    def _seconds_to_wait(self) -> float:
        now = self._clock()
        while self._attempts and now - self._attempts[0] >= WINDOW:
            self._attempts.popleft()
        return self._attempts[0] + WINDOW - now if len(self._attempts) >= MOST_ATTEMPTS else 0.0


def _answer_of(kind: int, parts: Sequence[bytearray]) -> Passphrase | Recovered:
    if kind == _PASSPHRASE:
        return Passphrase(Secret(bytearray(parts[0])))
    read: list[shares.Share] = []
    try:
        for number, part in enumerate(parts, 1):
            read.append(shares.read(part, f"the share that was given as number {number}"))
        return Recovered(shares.combine(read))
    finally:
        for share in read:
            share.body.wipe()


# The line ---------------------------------------------------------------------------------------------------------


@contextmanager
def _listening(place: Path) -> Iterator[socket.socket]:
    place.parent.mkdir(mode=0o755, exist_ok=True)
    _clear(place)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(place))
        try:
            # Nobody can connect before it listens, so there is no moment at which others could.
            place.chmod(0o600)
            listener.setblocking(False)
            listener.listen(128)
            yield listener
        finally:
            place.unlink(missing_ok=True)


def _clear(place: Path) -> None:
    """Take away the socket of a server that was killed."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(place))
        except FileNotFoundError:
            return
        except ConnectionRefusedError:
            place.unlink(missing_ok=True)
            return
    raise SealTrouble(f"another server of this deployment waits at {place} already: unseal that one, or stop it")


def _user_of(client: socket.socket) -> int:
    _, user, _ = _PEER.unpack(client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    return int(user)


async def _within(act: Awaitable[Any]) -> Any:
    return await asyncio.wait_for(act, PATIENCE)


async def _say(client: socket.socket, what: Mapping[str, object]) -> None:
    await asyncio.get_running_loop().sock_sendall(client, json.dumps(what).encode() + b"\n")


async def _hear(client: socket.socket) -> tuple[str, int, list[bytearray]]:
    """Name, kind and parts; the parts are the caller's to wipe."""
    kind, name, count = _HEAD.unpack(await _exactly(client, _HEAD.size))
    if kind not in (_PASSPHRASE, _SHARES) or not 1 <= count <= (1 if kind == _PASSPHRASE else shares.MOST):
        raise ValueError("nonsense")
    told = (await _exactly(client, name)).decode()
    parts: list[bytearray] = []
    try:
        for _ in range(count):
            (length,) = _PART.unpack(await _exactly(client, _PART.size))
            if length > LONGEST_LINE:
                raise ValueError("too long")
            parts.append(await _exactly(client, length))
    except BaseException:
        for part in parts:
            wipe(part)
        raise
    return told, kind, parts


async def _exactly(client: socket.socket, length: int) -> bytearray:
    buffer = bytearray(length)
    with memoryview(buffer) as room:
        filled = 0
        while filled < length:
            read = await asyncio.get_running_loop().sock_recv_into(client, room[filled:])
            if not read:
                raise EOFError("the client is gone")
            filled += read
    return buffer


# The client -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the server answers."""

    right: bool
    told: str
    sealed: Sequence[str]
    """Key managers that are sealed still."""


def look(place: Path) -> Mapping[str, str]:
    """Which keystores are sealed: their identifiers by key manager. Raises :class:`SealTrouble`."""
    with _connected(place) as (_, greeting):
        return {each["key_manager"]: each["keystore"] for each in greeting["sealed"]}


def sealed(place: Path) -> Sequence[str]:
    """Key managers whose keystores a server waits for just now; none where no server is sealed, as far as one sees."""
    try:
        return list(look(place))
    except SealTrouble:
        return ()


def bring_passphrase(place: Path, key_manager: str, passphrase: bytearray) -> Outcome:
    """Bring a passphrase, which stays the caller's. Raises :class:`SealTrouble`."""
    return _bring(place, key_manager, _PASSPHRASE, [passphrase])


def bring_shares(place: Path, key_manager: str, texts: Sequence[bytearray]) -> Outcome:
    """Bring shares, as their files are; they stay the caller's. Raises :class:`SealTrouble`."""
    return _bring(place, key_manager, _SHARES, texts)


def _bring(place: Path, key_manager: str, kind: int, parts: Sequence[bytearray]) -> Outcome:
    name = key_manager.encode()
    with _connected(place) as (server, _):
        try:
            server.sendall(_HEAD.pack(kind, len(name), len(parts)) + name)
            for part in parts:
                server.sendall(_PART.pack(len(part)))
                server.sendall(part)
            server.settimeout(PATIENCE + WINDOW)
            answer = _line(server)
        except (OSError, ValueError):
            raise SealTrouble("the server broke off: look into its log, then try again") from None
    return Outcome(answer["outcome"] in ("right", "open"), answer["told"], answer["sealed"])


@contextmanager
def _connected(place: Path) -> Iterator[tuple[socket.socket, Any]]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.settimeout(PATIENCE)
        try:
            server.connect(str(place))
            known = {0, os.geteuid(), place.parent.stat().st_uid}
            trusted = _user_of(server) in known
            greeting = _line(server)
        except (FileNotFoundError, ConnectionRefusedError):
            raise SealTrouble("no server waits to be unsealed; see 'keyrack status'") from None
        except PermissionError:
            raise SealTrouble(f"{place} is another user's: run it as the user that owns the deployment") from None
        except (OSError, ValueError):
            raise SealTrouble("the server that waits says nothing: are you its own user, or root?") from None
        if not trusted:
            raise SealTrouble(f"another user than the deployment's listens at {place}: nothing was sent to it")
        yield server, greeting


def _line(server: socket.socket) -> Any:
    text = bytearray()
    while not text.endswith(b"\n"):
        read = server.recv(4096)
        if not read:
            raise ValueError("the server is gone")
        text += read
    return json.loads(text)
