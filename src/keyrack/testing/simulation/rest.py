"""The end of a run: everything is healed, time passes, and what then is there must be what was promised."""

import asyncio
from random import Random
from typing import Final

from keyrack.adapters.catalogs.sqlite.at_once import at_once
from keyrack.domain.instances import ClientCertificate, Storage, WrappingKey
from keyrack.domain.objects import ManagedObject
from keyrack.service.vault.standard_keys import PREFIX
from keyrack.testing.simulation.administrators import Administrators
from keyrack.testing.simulation.asks import short
from keyrack.testing.simulation.clients import Client, get, locate
from keyrack.testing.simulation.invariants import LETS_GO_WITHIN, look, remembered
from keyrack.testing.simulation.key_manager import House
from keyrack.testing.simulation.replay import Broken, Key
from keyrack.testing.simulation.weather import CALM
from keyrack.testing.simulation.world import Tenant, World

ROUNDS: Final = 4
"""Rounds of every chore: an intent is settled by the first, a stranger counted by the second."""
A_ROUND: Final = 62.0


async def heal(world: World, random: Random) -> None:
    """Nothing goes wrong any more; what was begun comes to its end."""
    world.weather, world.is_at_rest = CALM, True
    for node in world.nodes:
        node.road.cut = False
        node.skew = 0.0
        for road in node.key_manager_roads.values():
            road.cut = False
        if node.process.held is not None:
            world.loop.resume(node.process)
        world.restart(node)
    for house in world.houses:
        for root_key in house.roots:
            if house.denied_since(root_key) is not None and root_key not in house.gone:
                house.allow(root_key, world.loop.time())
    await asyncio.sleep(15)
    people = Administrators(world, random)
    for tenant in world.tenants:
        if tenant.identifier in world.replay.sealed:
            await people.unseal(world.people[0], tenant)
    for _ in range(ROUNDS):
        world.leap(A_ROUND)
        await asyncio.sleep(6)
    await asyncio.sleep(LETS_GO_WITHIN + 1)
    world.note("at rest")


async def check(world: World, random: Random) -> None:
    """I1 to I10 once more, for every key and every standard key."""
    look(world)
    remembered(world)
    for tenant in world.tenants:
        in_force = [each for each in tenant.certificates if each.fingerprint in world.replay.certificates]
        certificate = in_force[0] if in_force else await _let_in(world, tenant, random)
        client = Client(world, tenant, certificate, random)
        for node in world.nodes:
            await client.ask(locate(), node=node)
        for key in [each for each in world.replay.keys.values() if each.instance == tenant.identifier]:
            await _fetched(world, client, tenant, key)
    await _intents(world)
    for house in world.houses:
        _mapped(world, house)


async def _let_in(world: World, tenant: Tenant, random: Random) -> ClientCertificate:
    """Administrators have removed the last ones at once: one is added again."""
    people = Administrators(world, random)
    while not any(each.fingerprint in world.replay.certificates for each in tenant.certificates):
        await people.certificate(world.people[0], tenant)
    return next(each for each in tenant.certificates if each.fingerprint in world.replay.certificates)


async def _fetched(world: World, client: Client, tenant: Tenant, key: Key) -> None:
    """Each key is to be had, or is not, as it was promised."""
    answers = await client.ask(get(key.uid), node=client.random.choice(world.nodes))
    row = at_once(world.observer.load(key.instance, key.uid))
    assert row is not None
    above = at_once(world.observer.wrapping_key(key.instance))
    copies = {each.standard_key for each in (row, above) if each is not None}
    taken = any(each.identifier in copies for each in tenant.house.taken)
    dead = tenant.instance.root_key in tenant.house.gone
    given = answers is not None and answers[0].ok
    if given and (key.is_gone or taken or dead):
        invariant = "I5" if key.is_gone else "I7"
        world.fail(
            Broken(invariant, f"at rest, {short(key.uid)} is given: {key.state.name}, taken {taken}, dead {dead}")
        )
    expected = not (key.is_gone or taken or dead or key.uid in world.damaged)
    if expected and not given:
        told = answers[0].message if answers else "nobody answers"
        world.fail(Broken("I1", f"at rest, {short(key.uid)} ({key.state.name}) is not to be had: {told}"))


async def _intents(world: World) -> None:
    for intent in at_once(world.observer.intents()):
        world.fail(Broken("I10", f"at rest, {short(intent.unique_identifier)} is still intended"))


def _mapped(world: World, house: House) -> None:
    """I10: each standard key is one row's, a leftover, or counted as a stranger; each row's is there."""
    tenants = [each for each in world.tenants if each.house is house]
    rows: dict[str, ManagedObject | WrappingKey] = {
        row.unique_identifier: row
        for tenant in tenants
        for row in at_once(world.observer.objects(tenant.identifier, "", 10_000))
    }
    above = [at_once(world.observer.wrapping_key(tenant.identifier)) for tenant in tenants]
    rows |= {each.unique_identifier: each for each in above if each is not None}
    taken = {each.identifier for each in house.taken}
    for row in rows.values():
        if row.standard_key is not None and row.unique_identifier not in world.damaged:
            kept = house.standard_keys.get(row.standard_key)
            if kept is None and row.standard_key not in taken:
                world.fail(Broken("I10", f"the standard key of {short(row.unique_identifier)} is gone"))
            elif kept is not None and kept.payload != row.sealed:
                world.fail(Broken("I10", f"the standard key of {short(row.unique_identifier)} is another one"))
    mapped = {row.standard_key for row in rows.values()}
    leftovers = {each.standard_key for each in at_once(world.observer.leftovers())}
    strange = [key for key in house.standard_keys.values() if key.identifier not in mapped | leftovers]
    synced = [each for each in tenants if each.instance.storage is Storage.KEY_MANAGER]
    if not synced or house.gone:
        return
    validations = at_once(world.observer.validations())
    known = [validations[each.identifier] for each in synced if each.identifier in validations]
    if sum(each.strangers for each in known) != len(strange):
        names = ", ".join(short(key.name.removeprefix(PREFIX)) for key in strange)
        told = f"{len(strange)} standard keys of {house.name} are nobody's ({names}), and "
        world.fail(Broken("I10", told + f"{sum(each.strangers for each in known)} are listed so"))
