"""Threads and connections to one host: at most so many calls at work and so many waiting, and one more is refused.

A thread is the price of an answer that is read into memory of our own; a node makes a handful of calls a minute. The
threads are daemons: one that hangs in a lookup of a name, which has no deadline of its own, holds up no end.
"""

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from keyrack.adapters.key_managers.ibm.exchange import Exchange, Request, Stale
from keyrack.adapters.key_managers.ibm.reading import Answer
from keyrack.adapters.key_managers.ibm.wire import Clock, Route
from keyrack.ports.key_manager import KeyManagerUnavailable, Reason

IDLE: Final = 50.0
"""Seconds for which a connection is kept without being used: less than servers and firewalls keep theirs."""
FRESH: Final = 2.0
"""The same for a request that may not be sent twice."""
GRACE: Final = 0.1
"""Seconds by which a thread may be late with telling that the time is over."""


class NotAsked(KeyManagerUnavailable):
    """The call was not made."""


@dataclass(slots=True)
class _Order:
    request: Request
    until: float
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Answer]"

    def deliver(self, answer: Answer | None, error: BaseException | None) -> None:
        """Hand over the outcome from a thread; an answer that nobody waits for any more is wiped."""
        try:
            self.loop.call_soon_threadsafe(self._settle, answer, error)
        except RuntimeError:  # the loop is closed
            if answer is not None:
                answer.wipe()

    def _settle(self, answer: Answer | None, error: BaseException | None) -> None:
        if self.future.done():
            if answer is not None:
                answer.wipe()
        elif answer is not None:
            self.future.set_result(answer)
        elif error is not None:
            self.future.set_exception(error)


class Pool:
    """Asks one host; safe to be used from several event loops, one after the other."""

    def __init__(
        self, name: str, route: Route, *, connections: int, waiting: int, clock: Clock = time.monotonic
    ) -> None:
        """Nothing is started before the first request."""
        self._name = name
        self._route = route
        self._connections = connections
        self._most = connections + waiting
        self._clock = clock
        self._lock = threading.Lock()
        self._orders: queue.SimpleQueue[_Order | None] = queue.SimpleQueue()
        self._kept: list[Exchange] = []
        self._threads = 0
        self._under_way = 0
        self._closed = False

    async def ask(self, request: Request, until: float) -> Answer:
        """The answer, which the caller wipes, before ``until`` on the clock; raises :class:`KeyManagerUnavailable`.

        Raises :class:`NotAsked` where too many requests are under way already.
        """
        loop = asyncio.get_running_loop()
        order = _Order(request, until, loop, loop.create_future())
        self._admit()
        self._orders.put(order)
        try:
            async with asyncio.timeout(max(until - self._clock(), 0) + GRACE):
                return await order.future
        except TimeoutError:
            told = f"{self._route.origin} does not answer in time ({request.method})"
            raise KeyManagerUnavailable(told, Reason.UNREACHABLE) from None

    def close(self) -> None:
        """End the threads once they have done what is under way, and close all connections that are not used."""
        with self._lock:
            self._closed = True
            ending, self._threads = self._threads, 0
        for _ in range(ending):
            self._orders.put(None)
        self._drop_kept()

    def _admit(self) -> None:
        """Count the request and see to it that a thread will take it."""
        with self._lock:
            if self._closed:
                raise NotAsked(f"the client of {self._name} is closed", Reason.OTHER)
            if self._under_way >= self._most:
                told = f"{self._under_way} requests to {self._name} are under way already, as many as may be"
                raise NotAsked(told, Reason.OVERLOADED)
            self._under_way += 1
            if self._threads < min(self._under_way, self._connections):
                self._threads += 1
                threading.Thread(target=self._work, name=f"{self._name}-{self._threads}", daemon=True).start()

    def _work(self) -> None:
        while (order := self._orders.get()) is not None:
            answer, error = None, None
            try:
                answer = self._answer(order)
            except Exception as failure:
                error = failure
            with self._lock:
                self._under_way -= 1
            order.deliver(answer, error)
            del order, answer, error  # This thread may wait for long, and holds on to nothing.

    def _answer(self, order: _Order) -> Answer:
        if order.future.cancelled() or self._clock() >= order.until:
            raise NotAsked(f"no connection to {self._route.origin} was free in time", Reason.OVERLOADED)
        with contextlib.suppress(Stale):
            if (kept := self._take(FRESH if not order.request.harmless else IDLE)) is not None:
                return self._asked(kept, order)
        new = Exchange(self._route, self._clock)
        new.open(order.until)
        return self._asked(new, order)

    def _asked(self, exchange: Exchange, order: _Order) -> Answer:
        try:
            answer = exchange.ask(order.request, order.until)
        except KeyManagerUnavailable as error:
            if isinstance(error.__cause__, TimeoutError):
                # A firewall that forgets connections says nothing: the next call shall not wait for it too.
                self._drop_kept()
            raise
        if answer.stays:
            self._keep(exchange)
        return answer

    def _take(self, idle: float) -> Exchange | None:
        """The connection that was used last, if it was not too long ago and is still open."""
        for exchange in self._all_kept():
            if self._clock() - exchange.used_at < idle and exchange.is_quiet():
                return exchange
            exchange.close()
        return None

    def _all_kept(self) -> Iterator[Exchange]:
        while True:
            with self._lock:
                if not self._kept:
                    return
                exchange = self._kept.pop()
            yield exchange

    def _keep(self, exchange: Exchange) -> None:
        with self._lock:
            if not self._closed:
                self._kept.append(exchange)
                return
        exchange.close()

    def _drop_kept(self) -> None:
        for exchange in self._all_kept():
            exchange.close()
