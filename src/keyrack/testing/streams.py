"""Load that remembers: threads that make, change and destroy keys until the server dies, and write a ledger of it."""

import os
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Self

from keyrack.spec.enumerations import (
    CryptographicAlgorithm,
    KeyFormatType,
    ObjectType,
    Operation,
    RevocationReasonCode,
    State,
)
from keyrack.spec.tags import Tag
from keyrack.testing.client import Ask, Client, ConnectionEnded
from keyrack.testing.ledger import Promise, material
from keyrack.testing.ttlv import Item, enumeration, integer, octets, structure, text

ENCRYPT_AND_DECRYPT = 12


@dataclass(slots=True)
class Writer:
    """One client of one instance, and the promises that it was given."""

    client: Client
    instance: str
    group: str
    promises: list[Promise] = field(default_factory=list)

    def create(self) -> Promise:
        """Create and Get."""
        payload = self.client.ask(Operation.CREATE, *_template(self.group, *_AES_256))
        promise = self._noted(payload)
        self.get(promise)
        return promise

    def register(self) -> Promise:
        """Register bytes of our own: acknowledged with the answer."""
        given = os.urandom(32)
        payload = self.client.ask(Operation.REGISTER, *_template(self.group, _MASK), _symmetric_key(given))
        promise = self._noted(payload)
        promise.material = given
        return promise

    def all_at_once(self) -> Promise:
        """Create, Activate and Get in one message, by the ID Placeholder."""
        asks = [Ask(Operation.CREATE, _template(self.group, *_AES_256)), Ask(Operation.ACTIVATE), Ask(Operation.GET)]
        answers = self.client.batch(*asks)
        assert all(answer.ok for answer in answers), [answer.message for answer in answers]
        promise = self._noted(answers[0].payload)
        promise.changed_to(State.ACTIVE)
        promise.shown(material(answers[2].payload))
        return promise

    def get(self, promise: Promise) -> None:
        """Get."""
        promise.shown(material(self.client.ask(Operation.GET, _uid(promise))))

    def activate(self, promise: Promise) -> None:
        """Activate."""
        promise.changes_to(State.ACTIVE)
        self.client.ask(Operation.ACTIVATE, _uid(promise))
        promise.changed_to(State.ACTIVE)

    def destroy(self, promise: Promise) -> None:
        """Destroy a key that was never active."""
        promise.changes_to(State.DESTROYED)
        self.client.ask(Operation.DESTROY, _uid(promise))
        promise.changed_to(State.DESTROYED)

    def revoke(self, promise: Promise) -> None:
        """Revoke an active key: it is Deactivated."""
        promise.changes_to(State.DEACTIVATED)
        reason = enumeration(Tag.REVOCATION_REASON_CODE, RevocationReasonCode.CESSATION_OF_OPERATION)
        self.client.ask(Operation.REVOKE, _uid(promise), structure(Tag.REVOCATION_REASON, reason))
        promise.changed_to(State.DEACTIVATED)

    def _noted(self, payload: Item) -> Promise:
        promise = Promise(payload.string(Tag.UNIQUE_IDENTIFIER), self.instance, self.group)
        self.promises.append(promise)
        return promise


def boot(writer: Writer) -> None:
    """What a vCenter does: Create, Get, Activate, and Get again as a host does."""
    promise = writer.create()
    writer.activate(promise)
    writer.get(promise)


def batch(writer: Writer) -> None:
    """A whole key in one message."""
    writer.all_at_once()


def bring(writer: Writer) -> None:
    """Register and Activate."""
    writer.activate(writer.register())


def bury(writer: Writer) -> None:
    """Of two keys, one is destroyed and one deactivated."""
    writer.destroy(writer.create())
    kept = writer.register()
    writer.activate(kept)
    writer.revoke(kept)


FLOWS: Sequence[Callable[[Writer], None]] = (boot, batch, bring, bury)


@dataclass(slots=True, kw_only=True)
class Streams:
    """Threads that ask without rest, each with a connection of its own; a context manager.

    ``contexts``: for each instance by name, a client's TLS context. ``group`` is the Object Group of all that is made.
    """

    address: tuple[str, int]
    contexts: dict[str, ssl.SSLContext]
    group: str
    number: int = 6
    flows: Sequence[Callable[[Writer], None]] = FLOWS
    writers: list[Writer] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)
    """What ended a thread, other than the end of its connection."""
    _threads: list[threading.Thread] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        homes = cycle(self.contexts.items())
        for first in range(self.number):
            name, context = next(homes)
            thread = threading.Thread(target=self._ask, args=(name, context, first), daemon=True)
            self._threads.append(thread)
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(15)
        assert not any(thread.is_alive() for thread in self._threads), "a stream hangs"

    def promises(self) -> Iterator[Promise]:
        """All that was promised so far."""
        for writer in self.writers:
            yield from writer.promises

    def _ask(self, name: str, context: ssl.SSLContext, first: int) -> None:
        try:
            with Client(self.address, context) as client:
                writer = Writer(client, name, self.group)
                self.writers.append(writer)
                while not self._stop.is_set():
                    self.flows[first % len(self.flows)](writer)
                    first += 1
        except (OSError, ConnectionEnded):
            pass  # the server was killed
        except BaseException as error:  # noqa: BLE001 - told to whoever judges the run
            self.failures.append(error)


def _uid(promise: Promise) -> Item:
    return text(Tag.UNIQUE_IDENTIFIER, promise.uid)


def _attribute(name: str, value: Item) -> Item:
    return structure(Tag.ATTRIBUTE, text(Tag.ATTRIBUTE_NAME, name), value)


_MASK = _attribute("Cryptographic Usage Mask", integer(Tag.ATTRIBUTE_VALUE, ENCRYPT_AND_DECRYPT))
_AES_256 = (
    _attribute("Cryptographic Algorithm", enumeration(Tag.ATTRIBUTE_VALUE, CryptographicAlgorithm.AES)),
    _attribute("Cryptographic Length", integer(Tag.ATTRIBUTE_VALUE, 256)),
    _MASK,
)


def _template(group: str, *attributes: Item) -> tuple[Item, Item]:
    grouped = _attribute("Object Group", text(Tag.ATTRIBUTE_VALUE, group))
    return (
        enumeration(Tag.OBJECT_TYPE, ObjectType.SYMMETRIC_KEY),
        structure(Tag.TEMPLATE_ATTRIBUTE, *attributes, grouped),
    )


def _symmetric_key(given: bytes) -> Item:
    block = structure(
        Tag.KEY_BLOCK,
        enumeration(Tag.KEY_FORMAT_TYPE, KeyFormatType.RAW),
        structure(Tag.KEY_VALUE, octets(Tag.KEY_MATERIAL, given)),
        enumeration(Tag.CRYPTOGRAPHIC_ALGORITHM, CryptographicAlgorithm.AES),
        integer(Tag.CRYPTOGRAPHIC_LENGTH, 8 * len(given)),
    )
    return structure(Tag.SYMMETRIC_KEY, block)
