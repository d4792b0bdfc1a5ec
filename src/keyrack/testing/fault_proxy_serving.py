"""The fault proxy on its event loop: it takes connections, keeps the rules, and records what was asked."""

import asyncio
import contextlib
import hashlib
import secrets
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Self

from keyrack.testing.certificates import Identity, authority, server
from keyrack.testing.fault_proxy_exchange import ENDED, RESET, Connection, Ends
from keyrack.testing.fault_proxy_http import LONGEST_HEAD, Message
from keyrack.testing.fault_proxy_rules import Fault, Rule, Rules, Seen
from keyrack.testing.key_protect import Address

BACKLOG: Final = 512
HANDSHAKE: Final = 10.0
"""Seconds for a TLS handshake."""


class Proxy:
    """A proxy on a running event loop; an asynchronous context manager. All of it belongs to that loop."""

    def __init__(self, target: Address, directory: Path, chance: Callable[[], float]) -> None:
        """Stand in front of ``target``; ``chance`` gives numbers from 0 to 1."""
        self.seen: dict[int, Seen] = {}
        self._target = target
        self._directory = directory
        self._chance = chance
        self._rules = Rules((), chance)
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._opened: dict[int, Ends] = {}
        self._kept: list[Ends] = []
        self._taken = self._asked = 0

    async def __aenter__(self) -> Self:
        self._directory.mkdir(parents=True, exist_ok=True)
        # Two authorities of one name in one file would be taken for one another.
        trusted = authority(f"fault proxy {secrets.token_hex(4)}")
        told = self._directory / "fault-proxy-authority.pem"
        told.write_bytes(trusted.pem)
        self._trusted = self._context("trusted", server(trusted))
        self._untrusted = self._context("untrusted", server(authority("nobody knows it")))
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        self._listening.setblocking(False)
        self.address = Address("127.0.0.1", self._listening.getsockname()[1], told)
        self._accepting = asyncio.create_task(self._accept())
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = [self._accepting, *self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for ends in self._kept:
            ends.writer.close()
        self._listening.close()

    def _context(self, name: str, identity: Identity) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(*identity.write(self._directory, f"fault-proxy-{name}"))
        return context

    def set(self, rules: Sequence[Rule]) -> None:
        """Put rules in the place of those before."""
        self._rules = Rules(rules, self._chance)
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        rule = self._rules.of_connections()
        if rule is not None and rule.fault is not Fault.BLACK_HOLE:
            for client in self._opened.values():
                client.reset()

    async def lifted(self, rule: Rule) -> None:
        """Wait until the rule is not in force any more."""
        while rule in self._rules.rules:
            await self._changed.wait()

    def strike(self, request: Message, connection: int) -> tuple[list[Rule], int]:
        """Record a request; the rules that strike it, and its number."""
        path, _, query = request.target.partition("?")
        token = hashlib.sha256(request.headers.get("authorization", "").encode()).hexdigest()
        deaf = self._rules.of_connections()
        struck = [deaf] if deaf else self._rules.strike(request.method, path, token)
        self._asked += 1
        self.seen[self._asked] = Seen(
            number=self._asked,
            at=time.monotonic(),
            connection=connection,
            method=request.method,
            path=path,
            query=query,
            fault=struck[-1].fault if struck else None,
        )
        return struck, self._asked

    def note(self, number: int, **changes: Any) -> None:
        """What has become of a request: fields of :class:`Seen`."""
        if number in self.seen:
            self.seen[number] = replace(self.seen[number], **changes)

    @asynccontextmanager
    async def behind(self) -> AsyncIterator[Ends]:
        """A connection to the key manager, kept for the next request if this one ends well."""
        ends = self._kept.pop() if self._kept else None
        if ends is None or ends.reader.at_eof() or ends.writer.is_closing():
            to = self._target
            ends = Ends(*await asyncio.open_connection(to.host, to.port, ssl=to.context, limit=LONGEST_HEAD))
        try:
            yield ends
        except BaseException:
            ends.writer.close()
            raise
        self._kept.append(ends)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            sock, _ = await loop.sock_accept(self._listening)
            # The event loop does this only for sockets that say that they speak TCP, which accepted ones do not.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._taken += 1
            task = asyncio.create_task(self._serve(sock, self._taken))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, sock: socket.socket, number: int) -> None:
        with contextlib.suppress(*ENDED):
            client = await self._shaken(sock)
            self._opened[number] = client
            connection = Connection(self, client, number)
            try:
                while await connection.exchange():
                    pass
            finally:
                del self._opened[number]
                connection.close()

    async def _shaken(self, sock: socket.socket) -> Ends:
        """The connection after its handshake, or after what the rules do to connections."""
        try:
            rule = await self._rule_of_connections()
            if rule is not None and rule.fault is Fault.NO_CONNECTION:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                raise ConnectionResetError
        except BaseException:
            sock.close()
            raise
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=LONGEST_HEAD)
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await loop.connect_accepted_socket(
            lambda: protocol,
            sock,
            ssl=self._trusted if rule is None else self._untrusted,
            ssl_handshake_timeout=HANDSHAKE,
        )
        return Ends(reader, asyncio.StreamWriter(transport, protocol, reader, loop))

    async def _rule_of_connections(self) -> Rule | None:
        """What strikes a new connection, once no black hole swallows it."""
        rule = self._rules.of_connections()
        while rule is not None and rule.fault is Fault.BLACK_HOLE:
            await self.lifted(rule)
            rule = self._rules.of_connections()
        return rule
