"""The deployment is made, aside from the pages that tell how far it is; broken off, nothing of it stays."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from keyrack.embedded.errors import KeystoreError
from keyrack.shell import deployment as room
from keyrack.shell.config.problems import ConfigError
from keyrack.shell.console.first_start.desk import Desk, certified
from keyrack.shell.console.first_start.plans import let_go, plan_of, protection_of
from keyrack.shell.console.troubles import TOLD, Trouble, trouble_of
from keyrack.shell.console.words import mark
from keyrack.shell.deployment import Made, Papers, Plan, Stage
from keyrack.shell.faults import fault

log = logging.getLogger(__name__)

STAGES: Final[Mapping[Stage, str]] = {
    Stage.KEY_MANAGER: mark("Keystore, or what wrapped keys are authenticated with"),
    Stage.CATALOG: mark("Catalog and the key that signs the journal"),
    Stage.CERTIFICATES: mark("Authority and server certificate"),
    Stage.CONFIGURATION: mark("Configuration"),
    Stage.PERSON: mark("First administrator, written into the journal"),
    Stage.INSTANCE: mark("First instance, with a root key that was proved"),
}
UNWATCHED: Final = 15.0
"""Seconds after which the server takes over where no browser has asked for the last page."""
NOTHING_STAYED: Final = mark("nothing of it was left behind; mend it, and create it again")


class Abandoned(Exception):
    """The wizard was ended meanwhile."""


@dataclass(slots=True)
class Making:
    """One attempt."""

    plan: Plan
    shown: Papers | None
    """What the deployment shows, where that is what the wizard shows already."""
    begun: list[Stage] = field(default_factory=list)
    made: Made | None = None
    trouble: Trouble | None = None
    task: asyncio.Task[None] | None = None
    stopped: bool = False

    @property
    def stages(self) -> list[Stage]:
        """Those that this plan has."""
        absent = {Stage.PERSON: self.plan.first_person is None, Stage.INSTANCE: self.plan.instance is None}
        return [each for each in STAGES if not absent.get(each, False)]

    @property
    def config(self) -> Path:
        """Where the configuration is once it is made."""
        return self.plan.config

    def reached(self, stage: Stage) -> None:
        """Go on to the next; raises :class:`Abandoned` where nobody wants it any more."""
        if self.stopped:
            raise Abandoned
        self.begun.append(stage)

    async def stop(self) -> None:
        """Break it off, and return when nothing of it is there."""
        self.stopped = True
        if self.task is not None:
            await asyncio.gather(self.task, return_exceptions=True)


def begin(desk: Desk) -> Making:
    """Begin to make what was typed; raises what keeps it from being a plan."""
    draft = desk.draft
    protection = None if draft.at_ibm else protection_of(draft, draft.directory)
    plan = plan_of(desk, protection)
    same = plan.deployment == desk.deployment and plan.certified == certified(desk.names)
    making = Making(plan, desk.papers if same else None)

    loop = asyncio.get_running_loop()

    async def make() -> None:
        try:
            made = await asyncio.to_thread(room.make, plan, shown=making.shown, stage=making.reached)
            making.made = made
            loop.call_later(UNWATCHED, desk.handover.set)
        except Abandoned:
            log.info("broken off")
        except Exception as error:
            making.trouble = _trouble(error)
        finally:
            for secret in (*plan.secrets.values(), *([plan.password] if plan.password else [])):
                secret.wipe()
            if protection is not None:
                await asyncio.to_thread(let_go, protection)

    making.task = loop.create_task(make())
    return making


def _trouble(error: Exception) -> Trouble:
    if isinstance(error, TOLD):
        told = trouble_of(error)
        return Trouble(code=told.code, told=told.told, hint=told.hint or NOTHING_STAYED)
    if isinstance(error, ConfigError | KeystoreError | OSError):
        return Trouble(code="unusable", told=str(error), hint=NOTHING_STAYED)
    log.error("unforeseen", extra=fault(error))
    return Trouble(code="internal", told=mark("something went wrong that nobody foresaw: the terminal tells more"))
