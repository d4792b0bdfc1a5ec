"""Whether the journal is as it was written: the last verification, the checkpoints, and how far sinks have got."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from keyrack.domain.checkpoints import SignedCheckpoint
from keyrack.domain.rights import Right
from keyrack.service.journal.forwarding import Lag, lags
from keyrack.service.journal.verified import UnderWay, Verified
from keyrack.shell.console.calls import Call
from keyrack.shell.rest.v1.journal import evidence_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is known of the journal's proof."""

    last: Verified | None
    under_way: UnderWay | None
    broken_off: str
    looking: bool
    """Whether the last one is still looked for."""
    since: int
    """Records that were written after the last verification."""
    checkpoint: SignedCheckpoint | None
    through: int
    """The number of the last record that it covers."""
    behind: int
    """Records that no checkpoint covers yet."""
    exported: SignedCheckpoint | None
    unexported: str
    """Why the exported checkpoints cannot be looked at; empty where they can."""
    file: str
    """Where checkpoints are exported to."""
    sinks: Sequence[Lag]

    @property
    def share(self) -> int:
        """How far the one under way has got, in hundredths."""
        return 100 * self.under_way.walked // max(1, self.under_way.in_all) if self.under_way else 0


async def standing(call: Call) -> Standing:
    """As it is now."""
    verifying, catalog = call.premises.verifying, call.catalog
    last, end = await verifying.last(catalog), await catalog.journal_end()
    checkpoint = await catalog.last_checkpoint()
    through = _through(checkpoint)
    exported, unexported, file = await _exported(call)
    config = call.premises.config
    required = {name: each.required for name, each in config.journal.sinks.items()} if config is not None else {}
    return Standing(
        last=last,
        under_way=verifying.under_way,
        broken_off=verifying.broken_off,
        looking=verifying.looking and last is None,
        since=max(0, end - last.through) if last is not None else end,
        checkpoint=checkpoint,
        through=through,
        behind=max(0, end - through),
        exported=exported,
        unexported=unexported,
        file=file,
        sinks=await lags(catalog, required, call.now * 1000),
    )


def _through(signed: SignedCheckpoint | None) -> int:
    try:
        return signed.statement.through if signed is not None else 0
    except ValueError:
        return 0  # It cannot be read; a verification tells of it.


async def _exported(call: Call) -> tuple[SignedCheckpoint | None, str, str]:
    """The last exported checkpoint, what is in the way, and the file."""
    from keyrack.shell.journal_room import exported_of  # noqa: PLC0415 - only where it is needed

    if (config := call.premises.config) is None:
        return None, "", ""
    file = exported_of(config)
    try:
        return await asyncio.to_thread(file.last), "", str(config.journal.checkpoint_file)
    except OSError as error:
        return None, (error.strerror or str(error)).lower(), str(config.journal.checkpoint_file)


def begin(call: Call) -> None:
    """Begin to verify; raises ``Forbidden``."""
    call.administration.require(Right.JOURNAL_VERIFY)
    call.premises.verifying.begin(call.administration, call.catalog, evidence_of(call.premises))
