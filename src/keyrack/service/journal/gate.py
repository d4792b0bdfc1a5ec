"""The gate of required sinks: nothing is acknowledged, and no key handed out, before they have the entry.

An entry is written to the catalog first, whatever happens then. Where a sink does not take it in time, whoever waits is
refused as if the outcome were unknown; and from then on, until the sink has caught up, everything is refused before it
is begun, so that nothing half-done stays.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from keyrack.ports.journal import JournalBook, SinkState
from keyrack.ports.sinks import SinkBehind, SinkLate

_LOOK: Final = 0.002
_LONGEST_LOOK: Final = 0.02


class RequiredSinks:
    """``ports.sinks.Gate`` over what the catalog says of sinks, whichever process forwards to them."""

    def __init__(
        self,
        catalog: JournalBook,
        deadlines: Mapping[str, float],
        *,
        stand_in: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """``deadlines``: seconds, by the name of each required sink. ``stand_in`` forwards, where nobody else does."""
        self._catalog = catalog
        self._deadlines = deadlines
        self._late: dict[str, int] = {}
        self._stand_in = stand_in

    async def check(self) -> None:
        """One read of as many rows as there are sinks."""
        behind = self._behind(await self._catalog.sinks())
        if behind and self._stand_in is not None:
            await self._stand_in()
            behind = self._behind(await self._catalog.sinks())
        if behind:
            name, why = behind
            raise SinkBehind(
                f"the sink {name!r} is required and takes no entries ({why}): nothing is done that it would not be "
                "told of; see 'keyrack audit sinks'"
            )

    def _behind(self, states: Mapping[str, SinkState]) -> tuple[str, str] | None:
        for name in self._deadlines:
            state = states.get(name, SinkState())
            if state.trouble:
                return name, state.trouble
            if state.number < self._late.get(name, 0):
                return name, "it was too late last time"
            self._late.pop(name, None)
        return None

    async def passed(self) -> None:
        """Looks at what the forwarder writes down, every few milliseconds."""
        end, began, look = await self._catalog.journal_end(), time.monotonic(), _LOOK
        waiting = dict(self._deadlines)
        while True:
            if self._stand_in is not None:
                await self._stand_in()
            states = await self._catalog.sinks()
            waiting = {name: seconds for name, seconds in waiting.items() if not _has(states.get(name), end)}
            if not waiting:
                return
            for name, seconds in waiting.items():
                state = states.get(name, SinkState())
                if state.trouble or time.monotonic() - began >= seconds:
                    self._late[name] = end
                    raise SinkLate(
                        f"it is written in the journal, but the required sink {name!r} has not taken it "
                        f"({state.trouble or f'within {seconds:g} s'}): nothing of it is handed out; "
                        "see 'keyrack audit sinks'"
                    )
            await asyncio.sleep(look)
            look = min(2 * look, _LONGEST_LOOK)


def _has(state: SinkState | None, end: int) -> bool:
    return state is not None and state.number >= end
