"""A sink that is a syslog receiver: RFC 5424 messages, counted octets (RFC 5425), over TLS.

Syslog has no acknowledgement. A batch counts as taken when the receiver's TCP has confirmed every byte of it; and since
a receiver may end with confirmed bytes unread, what was sent last over a connection that broke is sent again over the
next. Duplicates are told by chain and sequence. That is why such a sink cannot be a required one.
"""

import array
import asyncio
import contextlib
import fcntl
import socket
import ssl
import termios
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from keyrack.domain.cadf import line
from keyrack.ports.sinks import Outgoing, SinkUnavailable

FACILITY: Final = 13
"""Log audit (RFC 5424, 6.2.1)."""
_SEVERITIES: Final[Mapping[str, int]] = {"critical": 2, "warning": 4, "normal": 6}
ENTERPRISE: Final = "keyrack@32473"
"""The structured data's name, under the number that RFC 5612 keeps for documents."""
_CONFIRMED_LOOK: Final = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """Where it is, and how it is spoken to."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    """``None`` speaks in clear, where the configuration says so in as many words."""
    host_name: str
    """Of this machine, as messages name it."""


class Syslog:
    """One connection, made when it is needed."""

    def __init__(self, receiver: Receiver) -> None:
        """Connect to nobody yet."""
        self._receiver = receiver
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._sent: bytes = b""
        self._open = 0

    async def take(self, events: Sequence[Outgoing]) -> None:
        """Write, and wait until the other side's TCP has everything."""
        data = b"".join(frame(message(each, self._receiver.host_name)) for each in events)
        try:
            writer, anew = await self._connected()
            if anew and self._sent:
                writer.write(self._sent)
            writer.write(data)
            await writer.drain()
            await self._confirmed(writer)
        except (OSError, ssl.SSLError, EOFError) as error:
            await self.close()
            raise SinkUnavailable(f"{self._where} is not reached: {_told(error)}") from None
        except BaseException:
            await self.close()
            raise
        self._sent = data

    @property
    def _where(self) -> str:
        return f"{self._receiver.host}:{self._receiver.port}"

    async def _connected(self) -> tuple[asyncio.StreamWriter, bool]:
        """The connection, and whether it is a new one."""
        if self._writer is not None and self._reader is not None:
            if not self._reader.at_eof() and not self._writer.is_closing():
                return self._writer, False
            await self.close()
        receiver = self._receiver
        name = receiver.host if receiver.tls is not None else None
        self._reader, self._writer = await asyncio.open_connection(
            receiver.host, receiver.port, ssl=receiver.tls, server_hostname=name
        )
        line_of_it: socket.socket = self._writer.get_extra_info("socket")
        line_of_it.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        line_of_it.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 10_000)
        return self._writer, True

    async def _confirmed(self, writer: asyncio.StreamWriter) -> None:
        """Until nothing waits in this process, nor in the kernel for the other side's acknowledgement."""
        line_of_it = writer.get_extra_info("socket")
        reader = self._reader
        while True:
            if writer.is_closing() or (reader is not None and reader.at_eof()):
                raise EOFError("the receiver has closed the connection")
            if writer.transport.get_write_buffer_size() == 0 and _unconfirmed(line_of_it.fileno()) == 0:
                return
            await asyncio.sleep(_CONFIRMED_LOOK)

    async def close(self) -> None:
        """Let go of the connection, without waiting for the other side's good-bye."""
        writer, self._writer, self._reader = self._writer, None, None
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError, ssl.SSLError, TimeoutError):
                async with asyncio.timeout(0.2):
                    await writer.wait_closed()


def _unconfirmed(descriptor: int) -> int:
    """Bytes in the kernel that the other side's TCP has not acknowledged."""
    count = array.array("i", [0])
    fcntl.ioctl(descriptor, termios.TIOCOUTQ, count)
    return count[0]


def _told(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    return str(getattr(error, "strerror", None) or error or type(error).__name__).lower()


def frame(text: bytes) -> bytes:
    """A message behind its count of octets (RFC 5425, 4.3)."""
    return b"%d %s" % (len(text), text)


def message(outgoing: Outgoing, host_name: str) -> bytes:
    """The message of an event: its severity, its time, a few fields as structured data, and the whole as JSON."""
    event = outgoing.event
    priority = FACILITY * 8 + _SEVERITIES.get(str(event["severity"]), 6)
    initiator: Mapping[str, Any] = event["initiator"]
    fields = {
        "chain": outgoing.chain,
        "sequence": str(outgoing.sequence),
        "outcome": str(event["outcome"]),
        "initiator": str(initiator["id"]),
        "target": str(event["target"]["id"]),
    }
    data = "".join(f' {name}="{_value(text)}"' for name, text in fields.items())
    name = str(event["action"]).rpartition("vmware-solutions.")[2]
    head = f"<{priority}>1 {event['eventTime']} {_word(host_name, 255)} keyrack - {_word(name, 32)}"
    return f"{head} [{ENTERPRISE}{data}] {line(event)}".encode("utf-8", errors="replace")


def _value(text: str) -> str:
    """A value of structured data (RFC 5424, 6.3.3), with every control character written out."""
    shown = "".join(each if each.isprintable() else f"\\u{ord(each):04x}" for each in text)
    return shown.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")


def _word(text: str, most: int) -> str:
    """What may stand in a field of the header: visible ASCII."""
    return "".join(each if "!" <= each <= "~" else "-" for each in text)[:most] or "-"
