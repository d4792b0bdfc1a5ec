"""Carries a change of all wrapped keys of an instance through to its end, and finds out that nothing is left to do."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from keyrack.domain.errors import KmipError
from keyrack.domain.instances import Instance
from keyrack.domain.objects import ManagedObject
from keyrack.service.care.reconcile import SETTLED, reconcile
from keyrack.service.moves.successors import Ground, Successors
from keyrack.service.moves.walk import Due, Outcome, Report, silently, still_due, walk

log = logging.getLogger(__name__)

LOOK_AGAIN_AFTER: Final = 0.5
"""Seconds between two looks at what clients are just making."""
PATIENCE: Final = SETTLED + 15
"""Seconds for which what is just being made is waited for: by then it is made, or given up."""
ROUNDS: Final = 5
"""Walks, after each of which something else was due."""
MAKING: Final = "a client was just making it: run the same command again in a minute"
NOT_REACHED: Final = "it was not come to: run the same command again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """What came of it."""

    instance: Instance
    """As it is now."""
    outcome: Outcome
    left: Sequence[tuple[str, str]]
    """Unique Identifiers of what is still to be done, each with why; empty when all is done."""
    leftovers: int
    """Standard keys that nobody needs any more and that could not be deleted yet."""


async def complete(
    ground: Ground,
    successors: Successors,
    due: Due,
    *,
    concerns: Callable[[ManagedObject], bool],
    rate: float | None = None,
    report: Report = silently,
) -> Completed:
    """Walk until nothing is due, nor just being made that will be; failures end it.

    ``concerns`` tells of an object that a client is just making whether it will be due. Raises the key manager's two
    failures, ``CatalogUnavailable`` and ``Overtaken``.
    """
    catalog, outcome = ground.catalog, Outcome()
    left: Sequence[tuple[str, str]] = ()
    making: Sequence[str] = ()
    await successors.look()
    for _ in range(ROUNDS):
        walked = await walk(catalog, successors.instance, successors.succeed, due=due, report=report, rate=rate)
        outcome = Outcome(walked.done, outcome.changed + walked.changed, walked.failures, walked.stopped)
        making = () if walked.failures else await _awaited(ground, successors.instance, concerns)
        left = await still_due(catalog, successors.instance, due)
        if walked.failures or making or not left:
            break
    why = dict(outcome.failures)
    return Completed(
        instance=successors.instance,
        outcome=outcome,
        left=[
            *((identifier, why.get(identifier) or told or NOT_REACHED) for identifier, told in left),
            *((identifier, MAKING) for identifier in making),
        ],
        leftovers=await successors.delete_leftovers(),
    )


async def _awaited(ground: Ground, instance: Instance, concerns: Callable[[ManagedObject], bool]) -> Sequence[str]:
    """Wait for what clients are just making; the Unique Identifiers of what is not made after the longest patience."""
    until = asyncio.get_running_loop().time() + PATIENCE
    while making := await _made_just_now(ground, instance, concerns):
        if asyncio.get_running_loop().time() >= until:
            break
        await asyncio.sleep(LOOK_AGAIN_AFTER)
        try:
            # Whoever was making them may have crashed, and perhaps no server is there that would settle them.
            await reconcile(ground.catalog, ground.vault, now=ground.clock() // 1000)
        except KmipError as error:
            log.debug("what was being made is not settled: %s", error)
    return making


async def _made_just_now(
    ground: Ground, instance: Instance, concerns: Callable[[ManagedObject], bool]
) -> Sequence[str]:
    found = []
    for intent in await ground.catalog.intents():
        try:
            if intent.instance == instance.identifier and concerns(intent):
                found.append(intent.unique_identifier)
        except KmipError:
            continue  # Its wrapped key is not as it should be, and nobody can complete it.
    return found
