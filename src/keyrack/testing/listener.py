"""The KMIP listener on a loop in a thread of its own, before a desk of the test's choice: to test the door itself."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from keyrack.domain.instances import Admittance, TrustedAuthority
from keyrack.service.identity import Peer
from keyrack.shell.kmip.anchors import Anchors
from keyrack.shell.kmip.connection import Desk
from keyrack.shell.kmip.limits import Limits
from keyrack.shell.kmip.server import KmipServer, bound
from keyrack.shell.kmip.tls import Authorities, Outdated, TlsSettings, Trust
from keyrack.testing.certificates import Algorithm, Identity
from keyrack.testing.certificates import server as server_identity

T = TypeVar("T")

PATIENCE = 10.0
"""Seconds that a test waits for something before it fails."""


class Pins:
    """Trusts a set of fingerprints that tests may change at any time."""

    def __init__(self, *identities: Identity) -> None:
        """Trust these certificates."""
        self.fingerprints = {each.fingerprint for each in identities}

    def known(self, fingerprint: str) -> bool:
        """Whether it is one of them."""
        return fingerprint in self.fingerprints


class Trusting:
    """Trusts authorities for instances, as they stand now; tests may change :attr:`anchors` at any time."""

    def __init__(self, *authorities: TrustedAuthority, barred: Sequence[tuple[str, str]] = ()) -> None:
        """Trust these, except for the leaves that are barred from instances."""
        self.anchors = Anchors(authorities, barred)

    def any(self) -> bool:
        """Whether there is one."""
        return bool(self.anchors)

    def admit(self, fingerprint: str, leaf: bytes, sent: Sequence[bytes]) -> Admittance:
        """As ``shell.anchors`` judges."""
        return self.anchors.admit(fingerprint, leaf, sent)


def trusted(identity: Identity, instance: str = "one", *, number: int = 1, **patterns: str) -> TrustedAuthority:
    """Trust of one instance in an authority; ``patterns``: ``subject_pattern`` and ``san_pattern``."""
    certificate = identity.certificate
    return TrustedAuthority(
        fingerprint=identity.fingerprint,
        instance=instance,
        name=f"authority {number}",
        subject=certificate.subject.rfc4514_string(),
        not_before=int(certificate.not_valid_before_utc.timestamp()),
        not_after=int(certificate.not_valid_after_utc.timestamp()),
        der=identity.der,
        added_at=0,
        number=number,
        **patterns,
    )


class EchoDesk:
    """Answers each message with itself, and remembers who asked."""

    def __init__(self) -> None:
        """Answer at once; clear :attr:`open` to keep requests waiting."""
        self.peers: list[Peer] = []
        self.answers: list[bytearray] = []
        """The very arrays that were handed out."""
        self.open = asyncio.Event()
        self.open.set()
        self.under_way = 0
        self.most_under_way = 0

    async def answer(self, frame: bytes, peer: Peer) -> bytearray | None:
        """The message itself."""
        self.peers.append(peer)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await self.open.wait()
        finally:
            self.under_way -= 1
        self.answers.append(bytearray(frame))
        return self.answers[-1]


class Listener:
    """A running listener. Its server belongs to the loop's thread: reach it with :meth:`call` and :meth:`run`."""

    def __init__(self, server: KmipServer, identity: Identity, loop: asyncio.AbstractEventLoop) -> None:
        """Made by :func:`listening`."""
        self.server = server
        self.identity = identity
        self._loop = loop

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return self.server.addresses[0]

    def call(self, act: Callable[..., T], *arguments: Any) -> T:
        """Call a plain function on the loop's thread."""

        async def acting() -> T:
            return act(*arguments)

        return self.run(acting())

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(PATIENCE)

    def count(self, name: str) -> int:
        """One of the server's counts."""
        return self.call(lambda: self.server.counts[name])

    def eventually(self, condition: Callable[[], bool]) -> bool:
        """Whether a condition, asked on the loop's thread, comes true within some seconds."""

        async def waiting() -> bool:
            for _ in range(int(PATIENCE / 2 / 0.01)):
                if condition():
                    return True
                await asyncio.sleep(0.01)
            return condition()

        return self.run(waiting())


@contextlib.contextmanager
def listening(
    directory: Path,
    trust: Trust,
    desk: Desk | None = None,
    *,
    limits: Limits | None = None,
    algorithm: Algorithm = Algorithm.EC_P256,
    outdated: Outdated = Outdated.WARN,
    legacy_rsa_kx: bool = False,
    host: str = "127.0.0.1",
    authorities: Authorities | None = None,
    sabotage: Iterable[Callable[[KmipServer], None]] = (),
) -> Iterator[Listener]:
    """A listener on a free port of a loopback address; its PEM files go to ``directory``.

    ``sabotage``: done to the server before it starts, to show that a test notices when a protection is taken out.
    """
    identity = server_identity(None, algorithm=algorithm)
    certificate, key = identity.write(directory, "server")
    settings = TlsSettings(certificate=certificate, key=key, outdated=outdated, legacy_rsa_kx=legacy_rsa_kx)
    server = KmipServer(desk or EchoDesk(), trust, settings, limits, authorities)
    for act in sabotage:
        act(server)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="listener", daemon=True)
    thread.start()
    listener = Listener(server, identity, loop)
    try:
        listener.run(server.start(bound(host, 0)))
        yield listener
        listener.run(server.stop(1.0))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE)
        loop.close()
