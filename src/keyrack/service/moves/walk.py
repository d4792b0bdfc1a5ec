"""A walk over everything that an instance has sealed: each thing is looked at, acted on where it is due, and counted.

Nothing but the things themselves says how far a walk has come: broken off anywhere, the same walk goes on from there,
beside a server that serves and beside another walk.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from keyrack.domain.errors import GeneralFailure, KmipError
from keyrack.domain.instances import Instance, WrappingKey
from keyrack.ports.catalog import Catalog, CatalogUnavailable, Conflict
from keyrack.ports.key_manager import KeyManagerRefused, KeyManagerUnavailable, Reason
from keyrack.service.vault.envelope import Sealed

PAGE: Final = 200
"""Objects that are read at a time."""
ATTEMPTS: Final = 8
"""How often one thing is decided anew, when a client's change came first or the catalog could not commit."""
MOST_IN_A_ROW: Final = 16
"""Failures of the key manager or the catalog, with nothing else between them, that end a walk."""
_NOT_ONE_KEYS: Final = {Reason.IDENTITY, Reason.PERMISSION, Reason.NETWORK, Reason.POLICY, Reason.STATE}
"""Reasons of a refusal that the next key would hear as well."""
COMMIT_AGAIN_AFTER: Final = 0.25
"""Seconds, when the catalog could not commit."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a walk is. Things that are new meanwhile make ``total`` grow."""

    done: int
    """Things that were looked at, whatever came of it."""
    changed: int
    failed: int
    total: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a walk has come to."""

    done: int = 0
    changed: int = 0
    failures: Sequence[tuple[str, str]] = ()
    """Unique Identifiers of what could not be done, each with why, for people."""
    stopped: bool = False
    """It gave up after so many failures in a row, and has not looked at everything."""


Due = Callable[[Sealed], bool]
"""Whether there is something to do; raises ``KmipError`` where the wrapped key itself is not as it should be."""
Act = Callable[[Sealed], Awaitable[bool]]
"""Does it, commits it, and answers whether anything changed. It raises ``Conflict`` to be asked again with what is
there by then, and ``KmipError`` or the key manager's two failures for what is told of this one thing."""
Report = Callable[[Progress], None]


def always(thing: Sealed) -> bool:
    """Everything is due."""
    return True


def silently(progress: Progress) -> None:
    """Nobody is told."""


async def walk(
    catalog: Catalog,
    instance: Instance,
    act: Act,
    *,
    due: Due = always,
    report: Report = silently,
    rate: float | None = None,
    concurrency: int = 8,
) -> Outcome:
    """Look at the wrapping key of the instance and at each object that has key material, and act on what is due.

    At most ``rate`` acts are begun in a second, and ``concurrency`` are under way at once. Cancelled, it begins nothing
    more and lets those end that are under way.
    """
    return await _Walk(catalog, instance, _Doing(act, due, report), rate).run(concurrency)


async def still_due(catalog: Catalog, instance: Instance, due: Due) -> Sequence[tuple[str, str]]:
    """What is due of the instance just now, by Unique Identifier, with why it could not be told where that is so."""
    found = []
    async for thing in things(catalog, instance):
        try:
            if due(thing):
                found.append((thing.unique_identifier, ""))
        except KmipError as error:
            found.append((thing.unique_identifier, str(error)))
    return found


async def things(catalog: Catalog, instance: Instance) -> AsyncIterator[Sealed]:
    """The wrapping key, then every object that has key material, in the order of creation; new ones at the end."""
    async for thing in _everything(catalog, instance):
        if thing.sealed is not None:
            yield thing


async def _everything(catalog: Catalog, instance: Instance) -> AsyncIterator[Sealed]:
    wrapping_key = await catalog.wrapping_key(instance.identifier)
    if wrapping_key is not None:
        yield wrapping_key
    after = ""
    while page := await catalog.objects(instance.identifier, after, PAGE):
        after = page[-1].unique_identifier
        for managed in page:
            yield managed


async def current(catalog: Catalog, thing: Sealed) -> Sealed | None:
    """The thing as it is now; ``None`` where it is gone, or has no key material any more."""
    if isinstance(thing, WrappingKey):
        return await catalog.wrapping_key(thing.instance)
    found = await catalog.load(thing.instance, thing.unique_identifier)
    return found if found is not None and found.sealed is not None else None


@dataclass(frozen=True, slots=True)
class _Doing:
    act: Act
    due: Due
    report: Report


class _Walk:
    """One walk, and its counts."""

    def __init__(self, catalog: Catalog, instance: Instance, doing: _Doing, rate: float | None) -> None:
        self._catalog = catalog
        self._instance = instance
        self._doing = doing
        self._pause = 1 / rate if rate else 0.0
        self._next = 0.0
        self._ended = asyncio.Event()
        self._done = self._changed = self._total = self._in_a_row = 0
        self._failures: list[tuple[str, str]] = []

    async def run(self, concurrency: int) -> Outcome:
        identifier = self._instance.identifier
        self._total = await self._catalog.count(identifier) + bool(await self._catalog.wrapping_key(identifier))
        self._tell()
        waiting: asyncio.Queue[Sealed | None] = asyncio.Queue(concurrency)
        feeding = asyncio.create_task(self._feed(waiting, concurrency))
        workers = [asyncio.create_task(self._work(waiting)) for _ in range(concurrency)]
        try:
            await asyncio.wait([feeding, *workers], return_when=asyncio.FIRST_EXCEPTION)
        finally:
            # After a mistake or a cancellation, what is under way must not end half done.
            self._ended.set()
            feeding.cancel()
            _say_end(waiting, concurrency)
            await asyncio.wait([feeding, *workers])
        for mistake in [task.exception() for task in (*workers, feeding) if not task.cancelled()]:
            if mistake is not None:
                raise mistake
        return Outcome(self._done, self._changed, tuple(self._failures), self._in_a_row >= MOST_IN_A_ROW)

    async def _feed(self, waiting: "asyncio.Queue[Sealed | None]", workers: int) -> None:
        async for thing in _everything(self._catalog, self._instance):
            if self._ended.is_set():
                break
            await waiting.put(thing)
        for _ in range(workers):
            await waiting.put(None)

    async def _work(self, waiting: "asyncio.Queue[Sealed | None]") -> None:
        while (thing := await waiting.get()) is not None:
            if self._ended.is_set():
                continue
            try:
                changed = await self._settled(thing)
                if changed is None:
                    continue
                self._changed += changed
            except (KmipError, KeyManagerRefused, KeyManagerUnavailable, CatalogUnavailable) as error:
                self._failed(thing, error)
            self._done += 1
            self._tell()

    async def _settled(self, thing: Sealed) -> bool | None:
        """Decide and act, as often as another change comes first; whether it changed something.

        ``None`` where the walk has ended before its turn came.
        """
        found: Sealed | None = thing
        for attempt in range(1, ATTEMPTS + 1):
            if found is None or found.sealed is None or not self._doing.due(found):
                return False
            await self._pace()
            if self._ended.is_set():
                return None
            try:
                changed = await self._doing.act(found)
                self._in_a_row = 0
                return changed
            except Conflict:
                pass
            except CatalogUnavailable:
                # It may have been kept, or not: the thing itself tells.
                if attempt == ATTEMPTS:
                    raise
                await asyncio.sleep(COMMIT_AGAIN_AFTER)
            found = await current(self._catalog, found)
        raise GeneralFailure("it is being changed by many at once: try again")

    async def _pace(self) -> None:
        now = asyncio.get_running_loop().time()
        begin = max(now, self._next)
        self._next = begin + self._pause
        if begin > now:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), begin - now)

    def _failed(self, thing: Sealed, error: Exception) -> None:
        self._failures.append((thing.unique_identifier, str(error)))
        self._in_a_row = self._in_a_row + 1 if _concerns_all(error) else 0
        if self._in_a_row >= MOST_IN_A_ROW:
            self._ended.set()

    def _tell(self) -> None:
        self._total = max(self._total, self._done)
        self._doing.report(Progress(self._done, self._changed, len(self._failures), self._total))


def _say_end(waiting: "asyncio.Queue[Sealed | None]", workers: int) -> None:
    while not waiting.empty():
        waiting.get_nowait()
    for _ in range(workers):
        waiting.put_nowait(None)


def _concerns_all(error: Exception) -> bool:
    """Whether the failure is one of the key manager or the catalog, which the next key would meet as well."""
    said = error if isinstance(error, KeyManagerRefused) else error.__cause__
    if isinstance(said, KeyManagerRefused):
        return said.reason in _NOT_ONE_KEYS
    return isinstance(error, GeneralFailure | KeyManagerUnavailable | CatalogUnavailable)
