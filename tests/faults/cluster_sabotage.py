"""Ways to break nodes over PostgreSQL on purpose, one function each; run by the nursery under the name of one of them.

A test of several nodes that cannot tell these from real ones proves nothing.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from keyrack.adapters.catalogs.postgres import connecting, opening
from keyrack.adapters.catalogs.postgres.writer import Writer
from keyrack.ports.catalog import CatalogUnavailable
from keyrack.shell.nodes.fencing import Fence


def unsynchronised() -> None:
    """``synchronous_commit = off``, and nobody looks at start."""
    vars(connecting)["SETTINGS"] = {**connecting.SETTINGS, "synchronous_commit": "off"}
    vars(opening)["DURABLE"] = ("off",)


def unfenced() -> None:
    """The door stays open, whatever becomes of the database."""

    async def guard(self: Fence) -> None:
        await asyncio.Event().wait()

    Fence._guard = guard  # type: ignore[method-assign]


def released_before_commit() -> None:
    """Answers leave once the statements were taken, and before the commit: the journal may never hear of them."""
    submit = Writer.submit
    under_way: set[asyncio.Future[None]] = set()

    def submitted(self: Writer, unit: Any) -> "asyncio.Future[None]":
        kept = submit(self, unit)
        under_way.add(kept)
        kept.add_done_callback(_heard)
        kept.add_done_callback(under_way.discard)
        early: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        early.set_result(None)
        return early

    Writer.submit = submitted  # type: ignore[method-assign]


def _heard(kept: "asyncio.Future[None]") -> None:
    with suppress(CatalogUnavailable, asyncio.CancelledError):
        kept.exception()


SABOTAGES: dict[str, Callable[[], None]] = {
    each.__name__: each for each in (unsynchronised, unfenced, released_before_commit)
}

if __name__ in SABOTAGES:
    SABOTAGES[__name__]()
