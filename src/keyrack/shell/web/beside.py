"""What a serving process does for the administration API: its back office, and in the first one the web process."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from keyrack.service.people.door import Ends
from keyrack.shell.web.back_office_server import back_office
from keyrack.shell.web.condition import WorkerCondition
from keyrack.shell.web.desk import BackOfficeDesk
from keyrack.shell.web.keeping import web_process

if TYPE_CHECKING:
    from keyrack.shell.assemble import House


def desk_of(house: "House", worker: int = 0) -> BackOfficeDesk:
    """The back office over a house's rooms."""
    api = house.config.api
    return BackOfficeDesk(
        catalog=house.catalog,
        managers=house.key_managers,
        types={name: table.type for name, table in house.config.key_managers.items()},
        condition=WorkerCondition(
            worker, house.catalog, house.key_managers, lambda: house.server.listening, doubt=house.doubt.now
        ),
        vault=house.vault,
        config=house.config,
        metrics_text=lambda: house.metrics(f"kmip-{worker}"),
        rewraps=house.rewraps,
        ends=Ends(idle=api.session_minutes * 60, longest=api.session_hours * 3600),
    )


@asynccontextmanager
async def administered(house: "House", worker: int, file: Path | None) -> AsyncIterator[Callable[[], None]]:
    """As long as the block lasts; answers how the web process is told to read its certificate again.

    ``file`` is the configuration; ``None`` starts no web process.
    """
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(back_office(house.config.run_directory, worker, desk_of(house, worker)))
        if worker == 0 and house.config.api.start and file is not None:
            keeper = await stack.enter_async_context(web_process(house.config, file))
            yield keeper.reload
        else:
            yield lambda: None
