"""Ways to break the server on purpose, one function each: a test that cannot tell it from the real one proves nothing.

Run by the nursery under the name of one of them, or as a program: ``python sabotage.py NAME serve --config FILE``.
"""

import asyncio
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from keyrack.adapters.catalogs.sqlite import opening
from keyrack.adapters.catalogs.sqlite.catalog import SqliteCatalog
from keyrack.adapters.catalogs.units import Prepared
from keyrack.adapters.catalogs.whole import DatabaseCatalog
from keyrack.domain.objects import ManagedObject
from keyrack.domain.secret import Secret
from keyrack.operations._registry import OPERATIONS, Row
from keyrack.ports.catalog import Unit
from keyrack.service.executor import ItemContext
from keyrack.service.vault.envelope import Vault, context_of
from keyrack.shell import vaulting
from keyrack.shell.nodes import rolled_back


def answer_before_commit() -> None:
    """The answer leaves while the unit still waits for the disk; only who reads waits, so that no client notices."""
    under_way: set[asyncio.Future[None]] = set()
    load = SqliteCatalog.load

    async def commit(self: DatabaseCatalog, unit: Unit) -> None:
        done = self._writer.submit(Prepared(unit))
        under_way.add(done)
        done.add_done_callback(under_way.discard)

    async def load_later(self: DatabaseCatalog, instance: str, unique_identifier: str) -> ManagedObject | None:
        await asyncio.gather(*under_way, return_exceptions=True)
        return await load(self, instance, unique_identifier)

    SqliteCatalog.commit = commit  # type: ignore[method-assign]
    SqliteCatalog.load = load_later  # type: ignore[method-assign]


def row_before_key() -> None:
    """Create shows the object first and seals its key afterwards."""

    async def add(self: ItemContext, managed: ManagedObject, material: Secret) -> None:
        self._work.secrets.append(material)
        await self._executor.catalog.commit(Unit(principal=self._work.principal, inserted=(managed,), entries=()))
        self._work.saw(managed)
        sealed = await self._executor.vault.seal_new(self.instance, context_of(managed), material)
        self._work.change(replace(managed, sealed=sealed))

    ItemContext.add = add  # type: ignore[method-assign]


def unsynced() -> None:
    """``synchronous = NORMAL``: the log is not synced at each commit."""
    real = opening._setting

    def setting(connection: Any, name: str, value: str, expected: object) -> None:
        if name == "synchronous":
            real(connection, name, "NORMAL", 1)
        else:
            real(connection, name, value, expected)

    opening._setting = setting


def purge_on_signal() -> None:
    """No harm: on SIGUSR1 the vault lets go of every unwrapped key, so that a test can look for what stays."""

    class Purging(Vault):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, self.purge)

    vars(vaulting)["Vault"] = Purging


def unnoticed() -> None:
    """Nobody looks whether the catalog is older than what was kept beside it."""

    async def look(self: rolled_back.Doubt) -> None:
        return

    rolled_back.Doubt.look = look  # type: ignore[method-assign]


class Sabotage(Exception):
    """What a sabotaged handler fails with."""


def every_handler_raises() -> None:
    """Each handler works, and then fails with all that it was given in the text."""

    def failing(row: Row) -> Row:
        async def handle(*arguments: Any) -> Any:
            response = await row.handle(*arguments)
            raise Sabotage(f"{arguments!r} {response!r} {[vars_of(each) for each in arguments]!r}")

        return replace(row, handle=handle)

    OPERATIONS.update({number: failing(row) for number, row in OPERATIONS.items()})


def vars_of(value: object) -> dict[str, object]:
    """What an exception's author might print of a value: its fields."""
    names = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
    return {name: getattr(value, name, None) for name in names}


SABOTAGES: dict[str, Callable[[], None]] = {
    each.__name__: each
    for each in (answer_before_commit, row_before_key, unsynced, purge_on_signal, every_handler_raises, unnoticed)
}

if __name__ == "__main__":
    from keyrack.shell.cli import run

    SABOTAGES[sys.argv[1]]()
    sys.exit(run(sys.argv[2:]))
if __name__ in SABOTAGES:
    SABOTAGES[__name__]()
