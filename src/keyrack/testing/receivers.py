"""Receivers of the journal, for tests of sinks: syslog over TLS, and a webhook that can be made to misbehave."""

import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from keyrack.testing.certificates import Identity, authority, server


@dataclass(slots=True)
class Pem:
    """A receiver's certificate, in files as a server wants them."""

    authority: Identity
    directory: Path
    ca_file: Path = field(init=False)
    context: ssl.SSLContext = field(init=False)

    def __post_init__(self) -> None:
        """Issue it for this machine."""
        pair = server(self.authority)
        certificate, key = pair.write(self.directory, "receiver")
        self.ca_file = self.directory / "receiver-ca.pem"
        self.ca_file.write_bytes(self.authority.pem)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate, key)


def pem(directory: Path) -> Pem:
    """Of an authority of its own."""
    return Pem(authority(), directory)


@dataclass(slots=True)
class SyslogReceiver:
    """What came, message by message, over all connections."""

    port: int = 0
    messages: list[str] = field(default_factory=list)
    connections: int = 0
    lines: list[socket.socket] = field(default_factory=list)
    listener: socket.socket | None = None
    reading: bool = True
    """Whether it reads; else it lets everything stand in its buffers."""

    def end(self) -> None:
        """Stop listening and cut off every connection, as a receiver that is ended."""
        for each in [*self.lines, *([self.listener] if self.listener else [])]:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self.lines.clear()
        self.listener = None


@contextmanager
def syslog_receiver(tls: ssl.SSLContext | None, port: int = 0) -> Iterator[SyslogReceiver]:
    """On loopback, on a free port or the one that is named."""
    receiver = SyslogReceiver()
    listener = socket.create_server(("127.0.0.1", port))
    receiver.listener, receiver.port = listener, listener.getsockname()[1]
    threading.Thread(target=_accept, args=(receiver, listener, tls), daemon=True).start()
    try:
        yield receiver
    finally:
        receiver.end()


def _accept(receiver: SyslogReceiver, listener: socket.socket, tls: ssl.SSLContext | None) -> None:
    with suppress(OSError):
        while True:
            line, _ = listener.accept()
            threading.Thread(target=_receive, args=(receiver, line, tls), daemon=True).start()


def _receive(receiver: SyslogReceiver, line: socket.socket, tls: ssl.SSLContext | None) -> None:
    with suppress(OSError, ssl.SSLError, ValueError):
        if tls is not None:
            line = tls.wrap_socket(line, server_side=True)
        receiver.connections += 1
        receiver.lines.append(line)
        with line, line.makefile("rb") as stream:
            while True:
                while not receiver.reading:
                    time.sleep(0.01)
                count = b""
                while (digit := stream.read(1)).isdigit():
                    count += digit
                if digit != b" " or not count:
                    return
                receiver.messages.append(stream.read(int(count)).decode())


@dataclass(slots=True)
class Webhook:
    """What came, and how it is answered from now on."""

    url: str = ""
    status: int = 200
    retry_after: str = ""
    hang: bool = False
    """Whether it takes a request and never answers it."""
    events: list[Mapping[str, Any]] = field(default_factory=list)
    """Of all requests that were answered well."""
    bodies: list[bytes] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    requests: int = 0
    over: bool = False


@contextmanager
def webhook_receiver(tls: ssl.SSLContext) -> Iterator[Webhook]:
    """On loopback, on a free port."""
    hook = Webhook()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            hook.requests += 1
            body = self.rfile.read(int(self.headers["Content-Length"]))
            while hook.hang and not hook.over:
                time.sleep(0.01)
            if 200 <= hook.status < 300:
                hook.bodies.append(body)
                hook.headers.append(dict(self.headers))
                hook.events += json.loads(body)["events"]
            self.send_response(hook.status)
            if hook.retry_after:
                self.send_header("Retry-After", hook.retry_after)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Clients that go away are no trouble."""

    served = Server(("127.0.0.1", 0), Handler)
    served.socket = tls.wrap_socket(served.socket, server_side=True, do_handshake_on_connect=False)
    hook.url = f"https://127.0.0.1:{served.server_address[1]}/events"
    threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield hook
    finally:
        hook.over = True
        served.shutdown()
        served.server_close()
