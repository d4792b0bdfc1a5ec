"""Clients that go on asking whatever they are answered: for tests of a server whose disk fails it."""

import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from keyrack.spec.enumerations import ResultReason
from keyrack.testing.client import Client, Refused
from keyrack.testing.ledger import Promise, broken
from keyrack.testing.streams import Writer

PAUSE = 0.005
"""Seconds between two requests of one client, so that a small disk lasts."""


@dataclass(slots=True)
class Patient:
    """Takes a refusal for an answer, and notes how long each answer took; times on the monotonic clock, in seconds."""

    writer: Writer
    slowest: float = 0.0
    refused: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    """Whatever was neither success nor a refusal in the right words."""
    made_at: float = 0.0
    """When it was last given a new key."""
    refused_at: float = 0.0

    def run(self, stop: threading.Event) -> None:
        """Create, Get and Register in turn, until told to stop."""
        try:
            while not stop.is_set():
                if self._try("Create", self.writer.create) or self._try("Register", self.writer.register):
                    self.made_at = time.monotonic()
                if self.writer.promises:
                    self._try("Get", lambda: self.writer.get(self.writer.promises[0]))
        except (OSError, AssertionError) as error:
            self.problems.append(f"{type(error).__name__}: {error}")

    def _try(self, what: str, ask: Callable[[], object]) -> bool:
        began = time.monotonic()
        try:
            ask()
        except Refused as refusal:
            self.refused[what] += 1
            self.refused_at = time.monotonic()
            if refusal.answer.reason != ResultReason.GENERAL_FAILURE:
                self.problems.append(f"{what}: {refusal}")
            return False
        finally:
            self.slowest = max(self.slowest, time.monotonic() - began)
            time.sleep(PAUSE)
        return True


class Patients:
    """Two of them for each instance, each in a thread of its own; a context manager."""

    def __init__(self, address: tuple[str, int], contexts: Mapping[str, ssl.SSLContext]) -> None:
        """Connect; ``contexts`` are clients' TLS contexts by their instance."""
        self._contexts = contexts
        self._stop = threading.Event()
        self.all = [
            Patient(Writer(Client(address, context), name, "patient"))
            for name, context in contexts.items()
            for _ in range(2)
        ]
        self._threads = [threading.Thread(target=each.run, args=(self._stop,), daemon=True) for each in self.all]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(15)
        for each in self.all:
            each.writer.client.close()

    @property
    def promises(self) -> list[Promise]:
        """All that they were promised."""
        return [promise for each in self.all for promise in each.writer.promises]

    @property
    def problems(self) -> list[str]:
        """All their problems."""
        return [problem for each in self.all for problem in each.problems]

    @property
    def refused(self) -> Counter[str]:
        """How often what was refused."""
        return sum((each.refused for each in self.all), Counter())

    @property
    def slowest(self) -> float:
        """Seconds of the longest answer."""
        return max(each.slowest for each in self.all)

    def broken(self, address: tuple[str, int]) -> list[str]:
        """Hold a server against all that was promised."""
        problems = []
        for name, context in self._contexts.items():
            with Client(address, context, timeout=60) as asking:
                problems += broken(asking, [promise for promise in self.promises if promise.instance == name])
        return problems
