"""The second person's agreement to an act that needs a key manager: done in a serving process.

Moving an instance to another root key may take longer than a request waits. What was agreed to then goes on; where it
breaks off, 'keyrack instance change-root-key' goes on with it without asking again.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final

from keyrack.domain.approvals import Approval
from keyrack.service.office import approvals
from keyrack.service.office.acts import acts
from keyrack.service.office.administration import Administration
from keyrack.service.office.approvals import KeyCatalog
from keyrack.service.office.keys import Windows
from keyrack.shell.faults import fault
from keyrack.shell.web.acts import Arguments, text, text_or_none

log = logging.getLogger(__name__)

WAITS: Final = 40.0
"""Seconds for which whoever agrees waits until it is done: less than a request over the back office may take."""


class Agreeing:
    """Agreements of one serving process, and what is still being done of them."""

    def __init__(self, catalog: KeyCatalog, windows: Windows) -> None:
        """Nothing is agreed to yet; ``windows`` are the configured ones of destroyed keys."""
        self._catalog = catalog
        self._acts = acts(windows)
        self._going_on: set[asyncio.Task[Approval]] = set()

    async def agree(self, administration: Administration, arguments: Arguments) -> Mapping[str, Any]:
        """``approval`` and ``confirmation``; raises what ``approvals.agree`` does as long as somebody waits for it."""
        which, confirmation = text(arguments, "approval"), text_or_none(arguments, "confirmation")
        found = await approvals.approval(administration, self._catalog, which)
        doing = approvals.agree(administration, self._catalog, which, self._acts, confirmation=confirmation)
        task = asyncio.create_task(doing)
        self._going_on.add(task)
        try:
            done, _ = await asyncio.wait({task}, timeout=WAITS)
        finally:
            task.add_done_callback(self._ended)
        if done:
            task.result()
        return {"approval": found.identifier}

    def _ended(self, task: asyncio.Task[Approval]) -> None:
        """Whoever waited has heard of it; for the others it stands in the log."""
        self._going_on.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("what two people have agreed to was not done, or broke off", extra=fault(error))
