"""The log that nodes share of an embedded key manager, in their catalog: a bridge from threads to an event loop.

The key manager is called in threads, and waits; a catalog belongs to one event loop. So a thread of its own has a loop
and a catalog of its own, with few connections. Only where the catalog is one that several nodes share: a SQLite file is
on one machine, whose processes share the key manager's database itself.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as Late
from typing import Any, Final, TypeVar

from keyrack.embedded.errors import ChangeUnsettled, KeystoreDiverged, LogUnavailable, Overtaken
from keyrack.embedded.store.change_log import Line
from keyrack.ports.catalog import AlreadyThere, CatalogUnavailable, Conflict, OutcomeUnknown, RollbackMode, Unit
from keyrack.ports.cluster import ClusterChanges, KeyManagerChange
from keyrack.ports.whole_catalog import WholeCatalog
from keyrack.shell.config.whole import Config

T = TypeVar("T")
OpenCatalog = Callable[[], Awaitable[WholeCatalog]]

PATIENCE: Final = 4.0
"""Seconds for one answer: less than other processes of this node wait for their turn at its database."""
OPENS_WITHIN: Final = 15.0
"""Seconds for the catalog to be opened, with each of its hosts tried."""
CHAIN: Final = "key-manager-log"
"""What this connection is called; nothing is written into a journal through it."""


def log_of(config: Config, key_manager: str) -> "CatalogLog | None":
    """The log of an embedded key manager of this configured name; ``None`` where no other node can have it."""
    if config.catalog_path is not None:
        return None
    from keyrack.shell.catalogs import open_catalog  # noqa: PLC0415 - of use to those alone who have several nodes

    return CatalogLog(key_manager, lambda: open_catalog(config, CHAIN))


class CatalogLog:
    """Implements ``embedded.store.change_log.ChangeLog`` over ``ports.cluster``."""

    def __init__(self, key_manager: str, open_catalog: OpenCatalog) -> None:
        """Open the catalog in a thread of this object's; raises what opening raises, and ``LogUnavailable``."""
        self.key_manager = key_manager
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._asking: set[asyncio.Task[Any] | None] = set()
        self._told = threading.Event()
        self._closed = False
        opened: Future[WholeCatalog] = Future()
        self._thread = threading.Thread(
            target=self._serve, args=(open_catalog, opened), name="key-manager-log", daemon=True
        )
        self._thread.start()
        try:
            self._catalog = opened.result(OPENS_WITHIN)
        except (CatalogUnavailable, Late) as error:
            self.close()
            raise LogUnavailable(f"the catalog, with the log that the nodes share, does not answer: {error}") from error
        except BaseException:
            self.close()
            raise

    def append(self, revision: int, text: str) -> None:
        """One unit, checked in its transaction against the line before it."""
        change = KeyManagerChange(key_manager=self.key_manager, revision=revision, at=int(time.time()), text=text)
        try:
            self._commit(ClusterChanges(key_manager_changes=(change,)))
        except AlreadyThere as error:
            raise Overtaken(
                "another node has changed the key manager at the same moment, and nothing was changed here: do it again"
            ) from error
        except Conflict as error:
            raise KeystoreDiverged(
                f"this node's key manager makes change {revision}, and the one before it is missing in the log that "
                f"the nodes share ({error}): the catalog was restored from a backup; see docs/nodes.md"
            ) from error

    def since(self, revision: int, limit: int = 100) -> Sequence[Line]:
        """From the primary."""
        found = self._answer(self._catalog.key_manager_changes(self.key_manager, revision, limit))
        return [Line(each.revision, each.text) for each in found]

    def forget(self, through: int) -> None:
        """In one unit of its own."""
        self._commit(ClusterChanges(key_manager_changes_forgotten={self.key_manager: through}))

    def restart(self, revision: int, text: str) -> None:
        """In one unit, which may be part of what ends rollback mode."""
        change = KeyManagerChange(key_manager=self.key_manager, revision=revision, at=int(time.time()), text=text)
        forgotten = {self.key_manager: _EVERY}
        changes = ClusterChanges(key_manager_changes=(change,), key_manager_changes_forgotten=forgotten)
        self._commit(changes, recovers=True)

    def news(self, seconds: float) -> None:
        """As the catalog hears of it, which may be of anything, and may have been since it was asked last."""
        self._told.wait(seconds)
        self._told.clear()

    def close(self) -> None:
        """End the thread, and with it whatever waits for an answer."""
        if not self._closed:
            self._closed = True
            self._told.set()
            with contextlib.suppress(RuntimeError):  # It has ended by itself: the catalog did not open.
                self._loop.call_soon_threadsafe(self._over.set)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _commit(self, changes: ClusterChanges, *, recovers: bool = False) -> None:
        unit = Unit(entries=(), cluster=changes, recovers=recovers)
        self._answer(self._catalog.commit(unit), unsettled=True)

    def _answer(self, work: Coroutine[Any, Any, T], *, unsettled: bool = False) -> T:
        """Wait for an answer; one that does not come in time is not waited for, ``unsettled`` if it had begun."""
        if self._closed:
            work.close()
            raise LogUnavailable("the log that the nodes share is closed")
        asked = asyncio.run_coroutine_threadsafe(self._asked(work), self._loop)
        try:
            return asked.result(PATIENCE)
        except RollbackMode as error:
            raise LogUnavailable(str(error)) from error
        except OutcomeUnknown as error:
            raise ChangeUnsettled(f"{_UNSETTLED}: {error}") from error
        except CatalogUnavailable as error:
            raise LogUnavailable(f"the log that the nodes share cannot be reached: {error}") from error
        except (Late, CancelledError) as error:
            asked.cancel()
            raise (
                ChangeUnsettled(_UNSETTLED)
                if unsettled
                else LogUnavailable("the log that the nodes share does not answer")
            ) from error

    async def _asked(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.current_task()
        self._asking.add(task)
        try:
            return await work
        finally:
            self._asking.discard(task)

    async def _hear(self, catalog: WholeCatalog) -> None:
        """One task for all who wait, since a catalog remembers what each task has heard."""
        while True:
            await catalog.news(_HEARS)
            self._told.set()

    def _serve(self, open_catalog: OpenCatalog, opened: "Future[WholeCatalog]") -> None:
        """The thread: a catalog in a loop, until it is over."""
        try:
            self._loop.run_until_complete(self._served(open_catalog, opened))
        finally:
            self._loop.close()

    async def _served(self, open_catalog: OpenCatalog, opened: "Future[WholeCatalog]") -> None:
        try:
            catalog = await open_catalog()
        except BaseException as error:  # noqa: BLE001 - whoever has begun this thread is told of it
            opened.set_exception(error)
            return
        opened.set_result(catalog)
        hearing = asyncio.create_task(self._hear(catalog))
        try:
            await self._over.wait()
        finally:
            hearing.cancel()
            for task in tuple(self._asking):
                if task is not None:
                    task.cancel()
            with contextlib.suppress(CatalogUnavailable):
                await catalog.close()


_HEARS: Final = 5.0
"""Seconds for which one wait for news lasts."""
_EVERY: Final = 2**62
"""More than any revision."""
_UNSETTLED: Final = (
    "the catalog has not said whether the change was kept: look at the key manager in a moment, before it is done again"
)
