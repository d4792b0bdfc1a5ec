"""Administrators of the simulated world, over the real use cases of the office."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from keyrack.ports.catalog import CatalogUnavailable
from keyrack.service.office import approvals, key_acts, seals
from keyrack.service.office.acts import acts
from keyrack.service.office.administration import Administration
from keyrack.service.office.refusals import ConfirmationNeeded, Refused, SecondPersonNeeded
from keyrack.testing.simulation.asks import Act, short
from keyrack.testing.simulation.invariants import look
from keyrack.testing.simulation.node import WINDOWS, Crashed, Node
from keyrack.testing.simulation.replay import Broken
from keyrack.testing.simulation.world import Somebody, Tenant, World

Does = Callable[[Administration, Node, str | None], Awaitable[Any]]
"""An act in a node, with the words that confirm it, if any."""
WAITS = 30.0


class Administrators:
    """All three people."""

    def __init__(self, world: World, random: Random) -> None:
        """``random`` is theirs."""
        self.world = world
        self.random = random

    async def act(self) -> None:
        """Somebody does something."""
        tenant = self.random.choice(self.world.tenants)
        chosen = self.random.choice(
            (
                self.certificate,
                self.certificate,
                self.seal,
                self.destroy,
                self.destroy,
                self.purge,
                self.recover,
                self.end,
            )
        )
        await chosen(self.random.choice(self.world.people), tenant)

    async def certificate(self, who: Somebody, tenant: Tenant) -> None:
        """Remove a client certificate, or add one."""
        certificate = self.random.choice(tenant.certificates)
        if certificate.fingerprint not in self.world.replay.certificates:

            async def add(office: Administration, node: Node, words: str | None) -> None:
                await office.add_certificate(certificate)

            await self.do(who, "certificate.add", certificate.fingerprint, add)
        elif sum(each.fingerprint in self.world.replay.certificates for each in tenant.certificates) > 1:

            async def remove(office: Administration, node: Node, words: str | None) -> None:
                await office.remove_certificate(certificate)

            await self.do(who, "certificate.remove", certificate.fingerprint, remove)

    async def seal(self, who: Somebody, tenant: Tenant) -> None:
        """Seal an instance for a while."""

        async def seal(office: Administration, node: Node, words: str | None) -> None:
            await seals.seal(office, node.catalog, tenant.instance.name, confirmation=words)

        await self.do(who, "instance.seal", tenant.identifier, seal)
        await asyncio.sleep(self.random.uniform(0, 5))
        await self.unseal(who, tenant)

    async def unseal(self, who: Somebody, tenant: Tenant) -> None:
        """Unseal it."""

        async def unseal(office: Administration, node: Node, words: str | None) -> None:
            await seals.unseal(office, tenant.instance.name)

        await self.do(who, "instance.unseal", tenant.identifier, unseal)

    async def destroy(self, who: Somebody, tenant: Tenant) -> None:
        """Destroy a key that is not in use any more."""
        uid = self._some(tenant, gone=False)
        if uid is not None:

            async def destroy(office: Administration, node: Node, words: str | None) -> None:
                await key_acts.destroy(
                    office, node.catalog, tenant.instance, [uid], windows=WINDOWS, confirmation=words
                )

            await self.do(who, "key.destroy", uid, destroy)

    async def purge(self, who: Somebody, tenant: Tenant) -> None:
        """Purge a destroyed key before its time."""
        uid = self._some(tenant, gone=True)
        if uid is not None:

            async def purge(office: Administration, node: Node, words: str | None) -> None:
                await key_acts.purge(office, node.catalog, tenant.instance, [uid], windows=WINDOWS, confirmation=words)

            await self.do(who, "key.purge", uid, purge)

    async def recover(self, who: Somebody, tenant: Tenant) -> None:
        """Take a destruction back."""
        uid = self._some(tenant, gone=True)
        if uid is not None:

            async def recover(office: Administration, node: Node, words: str | None) -> None:
                await key_acts.recover(office, node.catalog, tenant.instance, [uid])

            await self.do(who, "key.recover", uid, recover)

    async def end(self, who: Somebody, tenant: Tenant) -> None:
        """Deactivate a key, or take that back, or mark it as compromised."""
        uid = self._some(tenant, gone=False)
        if uid is None:
            return
        kind = self.random.choice(("key.deactivate", "key.deactivate", "key.compromise", "key.reactivate"))

        async def end(office: Administration, node: Node, words: str | None) -> None:
            if kind == "key.reactivate":
                await key_acts.restore(office, node.catalog, tenant.instance, [uid])
                return
            verb = key_acts.deactivate if kind == "key.deactivate" else key_acts.compromise
            await verb(office, node.catalog, tenant.instance, [uid], confirmation=words)

        await self.do(who, kind, uid, end)

    def _some(self, tenant: Tenant, *, gone: bool) -> str | None:
        keys = self.world.replay.keys
        meant = [uid for uid in tenant.known if uid in keys and keys[uid].is_gone == gone and not keys[uid].purged]
        return self.random.choice(meant) if meant else None

    async def do(self, who: Somebody, kind: str, subject: str, does: Does) -> None:
        """Do it in some node; type the words where they are asked for; find a second person where one is needed."""
        world = self.world
        node = self.random.choice(world.nodes)
        if not node.up:
            return
        look(world)
        act = Act(
            number=world.number(),
            who=who.person.initiator,
            kind=kind,
            subject=subject,
            node=node.name,
            began=world.loop.time(),
            floor=world.replay.length,
        )
        world.acts.append(act)
        try:
            async with asyncio.timeout(WAITS):
                await node.do(self._confirmed(node, who, does))
            act.outcome = "done"
        except (Crashed, TimeoutError, CatalogUnavailable) as error:
            act.outcome = f"unknown: {type(error).__name__}"
        except SecondPersonNeeded as error:
            act.outcome = f"waits: {short(error.approval.identifier)}"
            world.note(act.told())
            await self._agreed(who, error.approval.identifier)
            return
        except Refused as error:
            act.outcome = f"refused: {type(error).__name__}"
        except Exception as error:  # noqa: BLE001 - an act is done, refused, or not to be known
            world.fail(Broken("I9", f"{act.told()}: it raises {error!r}"))
        look(world)
        world.note(act.told())

    async def _confirmed(self, node: Node, who: Somebody, does: Does) -> None:
        office = node.office(who)
        try:
            await does(office, node, None)
        except ConfirmationNeeded as asked:
            await does(office, node, asked.confirmation)

    async def _agreed(self, asked: Somebody, approval: str) -> None:
        """Somebody agrees: often another person, sometimes who has asked."""
        await asyncio.sleep(self.random.expovariate(0.5))
        agrees = self.random.choice(self.world.people)

        async def agree(office: Administration, node: Node, words: str | None) -> None:
            await approvals.agree(office, node.catalog, approval, acts(WINDOWS), confirmation=words)

        await self.do(agrees, "approval.agree", approval, agree)
