"""Handing the journal on to sinks: what is written is read, made into events and given to each, in order.

The catalog is the truth. How far a sink has got stands in the catalog too, and moves only when the sink has taken what
it was given: whatever ends this process, nothing is left out, and what is given twice is told by chain and sequence.
One process of a deployment forwards for all.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from keyrack.domain import cadf
from keyrack.domain.cadf import Names
from keyrack.domain.checkpoints import SignedCheckpoint
from keyrack.ports.catalog import CatalogUnavailable, Unit
from keyrack.ports.journal import JournalBook, JournalChanges, SinkState
from keyrack.ports.sinks import Outgoing, Sink, SinkUnavailable
from keyrack.service.journal.book import Book
from keyrack.service.journal.naming import Naming, entry_of, outgoing

log = logging.getLogger(__name__)

BATCH: Final = 500
"""Records that a sink is given at a time."""
LOOK: Final = 0.25
"""Seconds between two looks for what was written."""
LOOK_REQUIRED: Final = 0.004
"""The same where somebody waits for it."""
FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 30.0
LONGEST_PAUSE_REQUIRED: Final = 2.0
"""Seconds until a sink that took nothing is tried again; doubled each time."""
CHECKPOINTS: Final = "checkpoints"
"""The chain that a checkpoint's event names."""


@dataclass(frozen=True, slots=True)
class Route:
    """A sink, and how it is treated."""

    sink: Sink
    required: bool = False
    """Whether nothing is handed out before it has the entry."""
    deadline: float = 2.0
    """Seconds for which anybody waits for it. One that nobody waits for gets five times as long."""


class Forwarder:
    """Gives every sink what it has not yet."""

    def __init__(self, catalog: Book, routes: Mapping[str, Route], naming: Naming, *, clock: Callable[[], int]) -> None:
        """``clock`` is milliseconds since 1970."""
        self._catalog = catalog
        self.routes = routes
        self._naming = naming
        self._clock = clock

    async def watch(self) -> None:
        """Forward to all, for ever."""
        await asyncio.gather(*(self._watch(name) for name in self.routes))

    async def _watch(self, name: str) -> None:
        required = self.routes[name].required
        pause = FIRST_PAUSE
        while True:
            try:
                moved = await self.round(name)
                pause = FIRST_PAUSE
                if not moved:
                    await asyncio.sleep(LOOK_REQUIRED if required else LOOK)
            except SinkUnavailable as error:
                await asyncio.sleep(max(pause, min(error.retry_after, 10 * LONGEST_PAUSE)))
                pause = min(2 * pause, LONGEST_PAUSE_REQUIRED if required else LONGEST_PAUSE)
            except CatalogUnavailable as error:
                log.warning("forwarding to %s is put off: %s", name, error)
                await asyncio.sleep(pause)
            except Exception:
                log.exception("forwarding to %s failed", name)
                await asyncio.sleep(pause)

    async def round(self, name: str) -> bool:
        """Give one sink one batch; whether there was any. Raises :class:`SinkUnavailable`, which is written down."""
        state = (await self._catalog.sinks()).get(name, SinkState())
        batch, after = await self._batch(state)
        if not batch:
            if state.trouble and state.number:
                await self._keep(name, replace(state, at=self._clock(), trouble="", since=0))
            return False
        route = self.routes[name]
        try:
            async with asyncio.timeout(route.deadline if route.required else 5 * route.deadline):
                await route.sink.take(batch)
        except TimeoutError:
            error = SinkUnavailable(f"it has not answered within {route.deadline:g} s")
            await self._trouble(name, state, error)
            raise error from None
        except SinkUnavailable as error:
            await self._trouble(name, state, error)
            raise
        if state.trouble:
            log.info("the sink takes entries again", extra={"sink": name})
        await self._keep(name, replace(after, at=self._clock(), trouble="", since=0))
        return True

    async def _batch(self, state: SinkState) -> tuple[Sequence[Outgoing], SinkState]:
        """What comes next, and where the sink is when it has taken it. A checkpoint comes behind all it covers."""
        records = await self._catalog.journal(state.number, BATCH)
        number = records[-1].number if records else state.number
        if records:
            names = await self._naming.now()
            batch = [outgoing(record, names) for record in records]
        else:
            names, batch = Names(), []
        last = state.checkpoint
        if len(records) < BATCH:
            for signed in await self._catalog.checkpoints(state.checkpoint, BATCH):
                if signed.statement.through > number:
                    break
                batch.append(checkpoint_event(signed, names))
                last = signed.number
        return batch, replace(state, number=number, checkpoint=last)

    async def _trouble(self, name: str, state: SinkState, error: SinkUnavailable) -> None:
        if state.trouble != str(error):
            log.error("a sink takes nothing: %s", error, extra={"sink": name})
            now = self._clock()
            await self._keep(name, replace(state, at=now, trouble=str(error), since=state.since or now))

    async def _keep(self, name: str, state: SinkState) -> None:
        # Also of a catalog that is rolled back: where a sink is required, nobody is served before it has the entry.
        await self._catalog.commit(Unit(entries=(), journal=JournalChanges(sinks={name: state}), recovers=True))

    async def close(self) -> None:
        """Let go of all sinks."""
        for route in self.routes.values():
            await route.sink.close()


def checkpoint_event(signed: SignedCheckpoint, names: Names) -> Outgoing:
    """A checkpoint as sinks take it: whoever keeps them can prove the journal with nothing else."""
    event = {
        "eventTime": cadf.instant(signed.at),
        "action": "vmware-solutions.kmip-journal.checkpoint",
        "outcome": "success",
        "severity": "normal",
        "message": "Keyrack: sign checkpoint of journal",
        "correlationId": "",
        "saveServiceCopy": True,
        "dataEvent": False,
        "initiator": {"id": "keyrack", "name": "keyrack", "typeURI": "service/security/account/user"},
        "target": {"id": str(signed.number), "name": "", "typeURI": "kmip/journal"},
        "observer": {"name": "Keyrack", "id": names.deployment},
        "reason": {"reasonCode": 200, "reasonType": "OK"},
        "responseData": {"checkpoint": signed.text, "signature": signed.signature.hex()},
        "journal": {"chain": CHECKPOINTS, "sequence": signed.number, "hash": signed.hash.hex()},
    }
    return Outgoing(event, CHECKPOINTS, signed.number, signed.at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """How far a sink is behind: for health, metrics and whoever asks."""

    name: str
    required: bool
    behind: int
    """Records that it has not taken."""
    seconds: float
    """How old the oldest of them is; 0 where there is none."""
    taken_at: int
    """When its state was last written down, in milliseconds since 1970; 0: never."""
    trouble: str
    since: int


async def lags(catalog: Book, required: Mapping[str, bool], now: int) -> Sequence[Lag]:
    """Of each configured sink, and whether it is ``required``; ``now`` is milliseconds since 1970."""
    end, states = await catalog.journal_end(), await catalog.sinks()
    told = []
    for name, must in required.items():
        state = states.get(name, SinkState())
        behind = max(0, end - state.number)
        waiting = await catalog.journal(state.number, 1) if behind else ()
        told.append(
            Lag(
                name=name,
                required=must,
                behind=behind,
                seconds=max(0, now - entry_of(waiting[0]).at) / 1000 if waiting else 0.0,
                taken_at=state.at,
                trouble=state.trouble,
                since=state.since,
            )
        )
    return told


async def taken_by_all(catalog: JournalBook, configured: Sequence[str]) -> int | None:
    """The number of the last record that every configured sink has; ``None`` where there is no sink."""
    states = await catalog.sinks()
    return min((states.get(name, SinkState()).number for name in configured), default=None)
