"""One connection of a fault proxy: its requests, and what befalls them."""

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from keyrack.testing import fault_proxy_http as http
from keyrack.testing.fault_proxy_http import CANNED, Message, NoMessage
from keyrack.testing.fault_proxy_rules import Fault, Rule

if TYPE_CHECKING:
    from keyrack.testing.fault_proxy_serving import Proxy

RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER without time: closing sends RST."""
ENDED: Final = (OSError, EOFError, ValueError, NoMessage, asyncio.LimitOverrunError)
"""What ends a connection: somebody is gone, or speaks no HTTP."""
_PIECE: Final = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
T = TypeVar("T")


@dataclass(slots=True)
class Ends:
    """The two directions of one connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, octets: bytes) -> None:
        """Write them all."""
        self.writer.write(octets)
        await self.writer.drain()

    def reset(self) -> None:
        """Close with RST."""
        sock = self.writer.get_extra_info("socket")
        if sock is not None:  # Else the client was quicker.
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.writer.transport.abort()


@dataclass(slots=True)
class Turn:
    """One request on its way."""

    request: Message
    number: int
    rule: Rule | None = None
    """What ends it."""
    skew: float | None = None


class Connection:
    """A client's connection."""

    def __init__(self, proxy: "Proxy", client: Ends, number: int) -> None:
        """Of ``proxy``, with nothing asked yet."""
        self._proxy = proxy
        self._client = client
        self._number = number

    def close(self) -> None:
        """Close it."""
        self._client.writer.close()

    async def exchange(self) -> bool:
        """One request and what becomes of it; whether another may follow. Raises what is in :data:`ENDED`."""
        request = await http.read(self._client.reader)
        rules, number = self._proxy.strike(request, self._number)
        turn = Turn(request, number)
        for rule in rules:
            if rule.fault is Fault.LATENCY:
                await self._while_there(asyncio.sleep(rule.seconds))
            elif rule.fault is Fault.SKEWED_CLOCK:
                turn.skew = rule.seconds
            elif rule.fault is Fault.AAD_IGNORED:
                turn.request = http.without_aad(turn.request)
            else:
                turn.rule = rule
        act = Connection._pass_on if turn.rule is None else _ACTS.get(turn.rule.fault, Connection._canned)
        return await act(self, turn) and request.lasts

    async def _forwarded(self, turn: Turn) -> Message:
        """What the key manager answers."""
        async with self._proxy.behind() as behind:
            await behind.send(turn.request.written())
            self._proxy.note(turn.number, forwarded=True)
            answer = await http.read(behind.reader, answers=turn.request.method)
            self._proxy.note(turn.number, done=True)
            if not answer.lasts:
                behind.writer.close()
        return answer if turn.skew is None else http.skewed(answer, turn.skew, time.time())

    async def _answer(self, turn: Turn, answer: Message) -> bool:
        self._proxy.note(turn.number, status=answer.status)
        await self._client.send(answer.written())
        return answer.lasts

    async def _while_there(self, act: Awaitable[T]) -> T:
        """What ``act`` gives; raises :class:`NoMessage` if the client leaves before."""
        acting = asyncio.ensure_future(act)
        listening = asyncio.ensure_future(self._client.reader.read(1))
        try:
            await asyncio.wait((acting, listening), return_when=asyncio.FIRST_COMPLETED)
            if not acting.done():
                raise NoMessage
            return acting.result()
        finally:
            for task in (acting, listening):
                task.cancel()
            await asyncio.gather(acting, listening, return_exceptions=True)

    async def _pass_on(self, turn: Turn) -> bool:
        return await self._answer(turn, await self._forwarded(turn))

    async def _canned(self, turn: Turn) -> bool:
        rule = _rule(turn)
        return await self._answer(turn, CANNED[rule.fault].message(rule, time.time()))

    async def _aad_refused(self, turn: Turn) -> bool:
        return await (self._canned(turn) if http.has_aad(turn.request) else self._pass_on(turn))

    async def _hang(self, turn: Turn) -> bool:
        await self._while_there(self._proxy.lifted(_rule(turn)))
        return await self._pass_on(turn)

    async def _answer_held(self, turn: Turn) -> bool:
        answer = await self._forwarded(turn)
        await self._while_there(self._proxy.lifted(_rule(turn)))
        return await self._answer(turn, answer)

    async def _reset_before(self, turn: Turn) -> bool:
        self._client.reset()
        return False

    async def _reset_after(self, turn: Turn) -> bool:
        await self._forwarded(turn)
        self._client.reset()
        return False

    async def _answer_lost(self, turn: Turn) -> bool:
        await self._forwarded(turn)
        return False

    async def _late(self, turn: Turn) -> bool:
        await asyncio.sleep(_rule(turn).seconds)
        await self._forwarded(turn)
        return False

    async def _half_answer(self, turn: Turn) -> bool:
        answer = await self._forwarded(turn)
        written, head = answer.written(), len(answer.head())
        await self._client.send(written[: (head + len(written)) // 2 if answer.body else head // 2])
        return False

    async def _drip(self, turn: Turn) -> bool:
        answer = await self._forwarded(turn)
        await self._while_there(self._dripping(answer.written(), _rule(turn).seconds))
        self._proxy.note(turn.number, status=answer.status)
        return answer.lasts

    async def _dripping(self, octets: bytes, seconds: float) -> None:
        for octet in octets:
            if self._client.writer.is_closing():
                raise NoMessage
            await self._client.send(bytes([octet]))
            await asyncio.sleep(seconds)

    async def _endless(self, turn: Turn) -> bool:
        head = Message("HTTP/1.1 200 OK", {"content-type": "application/json"}).head()
        await self._client.send(head[:-2] + b"transfer-encoding: chunked\r\n\r\n")
        while not self._client.writer.is_closing():
            await self._client.send(_PIECE)
            # A connection that is gone takes everything at once, and says so only if the loop gets its turn.
            await asyncio.sleep(0)
        return False


def _rule(turn: Turn) -> Rule:
    assert turn.rule is not None
    return turn.rule


_ACTS: Final[Mapping[Fault, Callable[[Connection, Turn], Awaitable[bool]]]] = {
    Fault.HANG: Connection._hang,
    Fault.BLACK_HOLE: Connection._hang,
    Fault.NO_CONNECTION: Connection._reset_before,
    Fault.UNTRUSTED: Connection._reset_before,
    Fault.RESET_BEFORE: Connection._reset_before,
    Fault.RESET_AFTER: Connection._reset_after,
    Fault.ANSWER_LOST: Connection._answer_lost,
    Fault.ANSWER_HELD: Connection._answer_held,
    Fault.LATE: Connection._late,
    Fault.HALF_ANSWER: Connection._half_answer,
    Fault.DRIP: Connection._drip,
    Fault.ENDLESS: Connection._endless,
    Fault.AAD_REFUSED: Connection._aad_refused,
}
"""What is done to a request; the other faults answer it with something canned."""
