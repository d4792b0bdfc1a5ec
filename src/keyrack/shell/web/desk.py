"""The back office itself, in a process that has key managers: what the line brings, and what tests ask directly."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from keyrack.adapters.key_managers.embedded import EmbeddedKeyManager
from keyrack.ports.back_office import KeyManagerTold, OnBehalf, RootKeyTold, WorkerHealth
from keyrack.ports.key_manager import KeyManager, RootKeyAdministration, TellsCondition
from keyrack.ports.whole_catalog import WholeCatalog
from keyrack.service.moves.rewraps import Rewraps
from keyrack.service.office.administration import Administration
from keyrack.service.office.keys import Windows
from keyrack.service.office.refusals import NotThere, Refused
from keyrack.service.people.door import USUAL, Ends, caller_of_token
from keyrack.service.vault.envelope import Vault
from keyrack.shell.config.whole import Config
from keyrack.shell.office import clock, windows_of
from keyrack.shell.web.acts import perform
from keyrack.shell.web.agreeing import Agreeing
from keyrack.shell.web.certificate_acts import FILE_ACTS
from keyrack.shell.web.condition import WorkerCondition
from keyrack.shell.web.root_key_acts import ROOT_KEY_ACTS, Ground, perform_on_root_key
from keyrack.shell.web.root_keys_told import root_keys_of

LISTING: Final = 20.0
"""Seconds that a key manager may take to list its root keys."""


@dataclass(slots=True, kw_only=True)
class BackOfficeDesk:
    """``ports.back_office.BackOffice`` over key managers that are here."""

    catalog: WholeCatalog
    managers: Mapping[str, KeyManager]
    types: Mapping[str, str]
    """The type of each configured key manager, by name."""
    condition: WorkerCondition
    vault: Vault | None = None
    config: Config | None = None
    """Where the deployment's files are; ``None``: acts that need them are not done here."""
    ends: Ends = USUAL
    """When log-ins are over."""
    metrics_text: Callable[[], str] = lambda: ""
    rewraps: Rewraps | None = None
    """``None``: no key is rewrapped here."""
    agreeing: Agreeing = field(init=False)

    def __post_init__(self) -> None:
        """Nobody has agreed to anything yet."""
        self.agreeing = Agreeing(self.catalog, windows_of(self.config) if self.config is not None else Windows())

    async def key_managers(self) -> Sequence[KeyManagerTold]:
        """Those that are configured."""
        return [self._told(name) for name in self.types]

    async def root_keys(self, key_manager: str) -> Sequence[RootKeyTold]:
        """Live."""
        if key_manager not in self.types:
            raise NotThere(f"no key manager {key_manager!r} is configured")
        manager = self.managers[key_manager]
        if isinstance(manager, EmbeddedKeyManager):
            view = manager
            async with asyncio.timeout(LISTING):
                return await view.administered(lambda house: root_keys_of(house, view.instance))
        if not isinstance(manager, RootKeyAdministration):
            raise Refused(f"key manager {key_manager!r} lists no root keys; name one of its own by its identifier")
        async with asyncio.timeout(LISTING):
            found = await manager.list_root_keys()
        return [
            RootKeyTold(
                identifier=each.identifier,
                name=each.name,
                state=each.state,
                version=each.version,
                created_at=each.created_at,
            )
            for each in found
        ]

    async def act(self, who: OnBehalf, act: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Authenticate again, authorise again, do it."""
        administrator = await caller_of_token(
            self.catalog,
            who.token,
            now=clock() // 1000,
            address=who.address,
            ends=self.ends,
            correlation=who.correlation,
        )
        administration = Administration(self.catalog, self.managers, administrator, clock, self.vault)
        if act == "approval.agree":
            return await self.agreeing.agree(administration, arguments)
        if act in ROOT_KEY_ACTS:
            return await perform_on_root_key(Ground(self.catalog, self.rewraps), administration, act, arguments)
        if act in FILE_ACTS and self.config is not None:
            return await FILE_ACTS[act](self.config, administration, arguments)
        return await perform(administration, act, arguments)

    async def health(self) -> Sequence[WorkerHealth]:
        """This process alone."""
        return [await self.condition.look()]

    async def metrics(self) -> str:
        """This process alone."""
        return self.metrics_text()

    def _told(self, name: str) -> KeyManagerTold:
        manager = self.managers[name]
        if not isinstance(manager, TellsCondition):
            return KeyManagerTold(name=name, type=self.types[name], healthy=True)
        seen = manager.condition()
        told = "it takes nothing new: the last attempts to keep something there failed" if seen.read_only else ""
        if seen.circuit != "closed":
            told = seen.last_failure or "its last calls failed, and it is asked seldom"
        return KeyManagerTold(name=name, type=self.types[name], healthy=not told, told=told)
