"""Captured conversations, read from ``vectors/`` and played again with the identifiers of today."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from keyrack.spec.enumerations import Operation
from keyrack.spec.tags import Tag
from keyrack.testing.client import Answer, Client, answers
from keyrack.testing.ttlv import Item, parse


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request: when it was sent, in seconds since the first of its capture, on which connection, and its bytes."""

    at: float
    connection: int
    request: bytes


@dataclass(frozen=True, slots=True)
class Capture:
    """A captured conversation: its exchanges in the order of time, over all its connections."""

    name: str
    exchanges: tuple[Exchange, ...]


@dataclass(frozen=True, slots=True)
class Played:
    """An exchange that was played again: what was sent, and what came back."""

    exchange: Exchange
    sent: bytes
    received: bytes
    answers: tuple[Answer, ...]

    @property
    def ok(self) -> bool:
        """Whether every batch item was answered, and with success."""
        asked = len(parse(self.sent).all(Tag.BATCH_ITEM))
        return asked == len(self.answers) and all(answer.ok for answer in self.answers)


def read(path: Path) -> tuple[Capture, ...]:
    """The captures in a file of ``vectors/``."""
    document = json.loads(path.read_text())
    return tuple(
        Capture(
            name=capture["name"],
            exchanges=tuple(
                sorted(
                    (
                        Exchange(exchange["at_s"], connection["connection"], bytes.fromhex(exchange["request"]))
                        for connection in capture["connections"]
                        for exchange in connection["exchanges"]
                    ),
                    key=lambda exchange: (exchange.at, exchange.connection),
                )
            ),
        )
        for capture in document["captures"]
    )


def substituted(item: Item, identifiers: Mapping[str, str]) -> Item:
    """The same item with every Unique Identifier replaced that the mapping knows."""
    if isinstance(item.value, tuple):
        return replace(item, value=tuple(substituted(part, identifiers) for part in item))
    if item.tag == Tag.UNIQUE_IDENTIFIER and isinstance(item.value, str):
        return replace(item, value=identifiers.get(item.value, item.value))
    return item


def replay(capture: Capture, connect: Callable[[], Client]) -> Iterator[Played]:
    """Play a capture as fast as the server answers, each captured connection on one of its own, interleaved as then.

    The server that was captured numbered its keys 1, 2, …: the n-th Create answered here takes the place of key n.
    """
    last = {exchange.connection: exchange for exchange in capture.exchanges}
    identifiers: dict[str, str] = {}
    connections: dict[int, Client] = {}
    try:
        for exchange in capture.exchanges:
            if exchange.connection not in connections:
                connections[exchange.connection] = connect()
            sent = substituted(parse(exchange.request), identifiers).encode()
            received = connections[exchange.connection].exchange(sent)
            _, got = answers(received)
            for answer in got:
                if answer.ok and answer.operation == Operation.CREATE:
                    identifiers[str(len(identifiers) + 1)] = answer.payload.string(Tag.UNIQUE_IDENTIFIER)
            yield Played(exchange, sent, received, got)
            if last[exchange.connection] is exchange:
                connections.pop(exchange.connection).close()
    finally:
        for client in connections.values():
            client.close()
