"""What every call of the API works with: the key manager, the bounds, and the threads that its use cases run in."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Concatenate, ParamSpec, TypeVar
from weakref import WeakValueDictionary

import anyio
import anyio.to_thread

from keyrack.embedded.call import Call
from keyrack.embedded.errors import TooManyRequests
from keyrack.embedded.house import House
from keyrack.service.office.adapters import Rooms, adapters_using
from keyrack.shell.rest.bounds import Bounds
from keyrack.shell.rest.floodgate import Floodgate, home

P = ParamSpec("P")
T = TypeVar("T")


class Slow(TooManyRequests):
    """Refused for coming too fast; ``wait`` seconds later there is room."""

    def __init__(self, message: str, wait: int) -> None:
        super().__init__(message)
        self.wait = wait


@dataclass(slots=True, kw_only=True)
class Premises:
    """One running API."""

    house: House
    bounds: Bounds = field(default_factory=Bounds)
    private: bool = True
    """Whether the listener stands in a private network, for the policy allowedNetwork."""
    url: str = ""
    """Where clients find the API, without a path: configured, else the address that is listened on."""
    port: int = 0
    """That is listened on."""
    region: str = "local"
    """In the names (CRNs) of resources."""
    rooms: Rooms | None = None
    """Where Keyrack's instances are kept, which are the KMIP adapters; ``None`` in a process without a catalog."""
    name_of: Callable[[str], str] = str
    """The name by which Keyrack's instances know a key manager instance, by its identifier."""
    addresses: Floodgate = field(init=False)
    callers: Floodgate = field(init=False)
    logins: Floodgate = field(init=False)
    refusals: Floodgate = field(init=False)
    refusals_in_all: Floodgate = field(init=False)
    long_work: asyncio.Semaphore = field(init=False, default_factory=lambda: asyncio.Semaphore(1))
    """For what takes a second: it leaves the other threads to those whose work takes milliseconds."""
    _threads: anyio.CapacityLimiter | None = field(init=False, default=None)
    _inside: int = field(init=False, default=0)
    _of_caller: Counter[str] = field(init=False, default_factory=Counter)
    _turns: WeakValueDictionary[str, asyncio.Lock] = field(init=False, default_factory=WeakValueDictionary)

    def __post_init__(self) -> None:
        """Set up the gates."""
        bounds = self.bounds
        self.addresses = Floodgate(bounds.per_address, time.monotonic)
        self.callers = Floodgate(bounds.per_caller, time.monotonic)
        self.logins = Floodgate(bounds.logins, time.monotonic)
        self.refusals = Floodgate(bounds.refusals, time.monotonic)
        self.refusals_in_all = Floodgate(bounds.refusals_in_all, time.monotonic)

    async def work(self, function: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """Run a function of the key manager in a thread; raises :class:`Slow` where too many wait already.

        It runs to its end even where the request is cancelled, so nothing that it uses may be wiped before.
        """
        if self._threads is None:
            self._threads = anyio.CapacityLimiter(self.bounds.workers)
        if self._inside >= self.bounds.workers + self.bounds.waiting:
            raise Slow("The key manager has as much to do as it can: try again in a second", 1)
        self._inside += 1
        try:
            return await anyio.to_thread.run_sync(partial(function, *arguments, **options), limiter=self._threads)
        finally:
            self._inside -= 1

    @contextmanager
    def guest(self, caller: str) -> Iterator[None]:
        """Count a request of this caller until its answer is out; raises :class:`Slow` where he has very many."""
        if self._of_caller[caller] >= self.bounds.of_one_caller:
            raise Slow("You have very many requests under way: wait for their answers", 1)
        self._of_caller[caller] += 1
        try:
            yield
        finally:
            self._of_caller[caller] -= 1
            if not self._of_caller[caller]:
                del self._of_caller[caller]

    def turn(self, caller: str) -> asyncio.Lock:
        """Of what takes so much time or memory that a caller gets one at a time, until its answer is out."""
        return self._turns.setdefault(caller, asyncio.Lock())

    async def act(
        self, use_case: Callable[Concatenate[House, Call, P], T], call: Call, *arguments: P.args, **options: P.kwargs
    ) -> T:
        """Run a use case for a call."""
        return await self.work(self.house.settled, partial(use_case, self.house, call, *arguments, **options))

    async def adapters_of(self, instance: str, key: str) -> Sequence[str]:
        """The names of the KMIP adapters that use a root key: deleting it would cut their clients off."""
        if self.rooms is None:
            return ()
        return await adapters_using(self.rooms.catalog, self.name_of(instance), key)

    def is_flood(self, address: str) -> bool:
        """Whether so much was refused to this address, or to all, that the journal takes no more of it now."""
        return bool(self.refusals.take(home(address)) or self.refusals_in_all.take(""))

    def slow_down(self, gate: Floodgate, name: str) -> None:
        """Return when ``name`` may come in; raises :class:`Slow`."""
        if wait := gate.take(name):
            raise Slow(f"Please wait {wait} seconds and try again", wait)
