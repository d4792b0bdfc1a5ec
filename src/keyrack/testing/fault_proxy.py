"""A reverse proxy that does harm on command: HTTPS on both sides, between a client and a key manager or its IAM.

    with fault_proxy(served.address, directory) as proxy:
        adapter = ...(url=proxy.address.url, ca_bundle=proxy.address.authority)
        proxy.set(Rule(fault=Fault.ANSWER_LOST, method="POST", path="/api/v2/keys", times=1))
        ...
        assert counted(proxy.seen(), "POST", "/api/v2/keys") == 2

It runs in a thread of its own; :mod:`keyrack.testing.fault_proxy_process` runs it in a process.
"""

import asyncio
import random
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from keyrack.testing.fault_proxy_rules import Rule, Seen
from keyrack.testing.fault_proxy_serving import Proxy
from keyrack.testing.key_protect import Address

PATIENCE: Final = 30.0
"""Seconds that a proxy may take to begin, to do what it is told, and to end."""
_POLL: Final = 0.005
T = TypeVar("T")


class FaultProxy(Protocol):
    """A running proxy, in a thread or in a process."""

    @property
    def address(self) -> Address:
        """Where it listens, and the authority of its certificate."""
        ...

    def set(self, *rules: Rule) -> None:
        """Put these rules in the place of those before; what hangs by a rule that is not among them goes on."""
        ...

    def seen(self) -> Sequence[Seen]:
        """Every request since the last :meth:`forget`, in the order of arrival."""
        ...

    def forget(self) -> None:
        """Begin to record anew."""
        ...


def await_seen(proxy: FaultProxy, wanted: Callable[[Sequence[Seen]], T | None], within: float = 10.0) -> T:
    """Wait until ``wanted`` finds something in what was seen, and answer it; raises :class:`TimeoutError`."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        if found := wanted(proxy.seen()):
            return found
        time.sleep(_POLL)
    raise TimeoutError(f"not seen within {within} s: {[(each.method, each.path) for each in proxy.seen()]}")


class _InThread:
    """A proxy and the loop that it runs on."""

    def __init__(self, proxy: Proxy, loop: asyncio.AbstractEventLoop, address: Address) -> None:
        self._proxy = proxy
        self._loop = loop
        self.address = address

    def set(self, *rules: Rule) -> None:
        self._do(self._set(rules))

    def seen(self) -> Sequence[Seen]:
        return self._do(self._seen())

    def forget(self) -> None:
        self._do(self._forget())

    async def _set(self, rules: Sequence[Rule]) -> None:
        self._proxy.set(rules)

    async def _seen(self) -> Sequence[Seen]:
        return tuple(self._proxy.seen.values())

    async def _forget(self) -> None:
        self._proxy.seen.clear()

    def _do(self, act: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(act, self._loop).result(PATIENCE)


class _OnThisLoop:
    """A proxy on the caller's own loop."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self.address = proxy.address

    def set(self, *rules: Rule) -> None:
        self._proxy.set(rules)

    def seen(self) -> Sequence[Seen]:
        return tuple(self._proxy.seen.values())

    def forget(self) -> None:
        self._proxy.seen.clear()


@asynccontextmanager
async def fault_proxy_on_loop(
    target: Address, directory: Path, *, seed: int | None = None
) -> AsyncIterator[FaultProxy]:
    """The same without a thread: cheaper where there are many, and useless where the loop is held up."""
    async with Proxy(target, directory, random.Random(seed).random) as proxy:
        yield _OnThisLoop(proxy)


@contextmanager
def fault_proxy(target: Address, directory: Path, *, seed: int | None = None) -> Iterator[FaultProxy]:
    """A proxy in front of ``target`` as long as the block lasts; its certificates are written into ``directory``.

    ``seed`` makes its chances repeatable.
    """
    begun = threading.Event()
    told: dict[str, Any] = {}

    async def serve() -> None:
        end = asyncio.Event()
        async with Proxy(target, directory, random.Random(seed).random) as proxy:
            told.update(proxy=proxy, loop=asyncio.get_running_loop(), end=end)
            begun.set()
            await end.wait()

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            told["error"] = error
        finally:
            begun.set()

    thread = threading.Thread(target=run, name="fault-proxy", daemon=True)
    thread.start()
    begun.wait(PATIENCE)
    if "proxy" not in told:
        raise AssertionError("the proxy does not begin") from told.get("error")
    try:
        yield _InThread(told["proxy"], told["loop"], told["proxy"].address)
    finally:
        told["loop"].call_soon_threadsafe(told["end"].set)
        thread.join(PATIENCE)
    if "error" in told:
        raise AssertionError("the proxy ended with an error") from told["error"]
