"""What has to hold whenever a node answers: I1 to I10 of the security design, from the ledger and the journal.

- I1 an acknowledged Create: Get gives the same bytes, until the key is destroyed or withheld
- I2 never bytes that are not the key's
- I3 no effect on another instance
- I4 the journal tells of it, durably, before anything leaves
- I5 what is destroyed, withheld or sealed is never served, nor kept in memory
- I6 nothing succeeds for a certificate that was removed
- I7 nothing is served later than the bound after the key manager has denied the root key
- I8 only steps of the lifecycle that there are; versions only grow
- I9 nothing is destroyed but by those who may, two where two are needed; nothing that is needed is deleted
- I10 at rest, each standard key is one row's, or is listed as nobody's
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from keyrack.adapters.catalogs.sqlite.at_once import at_once
from keyrack.spec.enumerations import Operation, ResultReason
from keyrack.testing.simulation.asks import Answer, Ask, Item, short
from keyrack.testing.simulation.node import TERMS, WINDOWS, Node
from keyrack.testing.simulation.replay import Broken, Key, Told
from keyrack.testing.simulation.world import Tenant, World

REVOKED_WITHIN: Final = TERMS.lease + TERMS.probe_timeout
"""Seconds after which nothing is served of a denied root key, where the key manager answers."""
MOST_SKEW: Final = 200.0
"""Seconds by which the time of day of any two nodes may differ."""
LETS_GO_WITHIN: Final = 20.0
"""Seconds after which no node that reaches the catalog has a destroyed key in memory."""


def tenant_of(world: World, instance: str) -> Tenant:
    """By the identifier of the instance."""
    return next(each for each in world.tenants if each.identifier == instance)


def look(world: World) -> None:
    """Take in what was committed, and compare what was touched with the rows of the catalog."""
    touched: dict[str, None] = {}
    for told in world.read_journal():
        touched[told.target] = None
        _asked_for(world, told)
    for uid in touched:
        if (key := world.replay.keys.get(uid)) is not None:
            _compared(world, key)


def _compared(world: World, key: Key) -> None:
    """The row says the same as the journal, and its version grows (I8)."""
    row = at_once(world.observer.load(key.instance, key.uid))
    if row is None:
        world.fail(Broken("I1", f"{short(key.uid)} is lost from the catalog"))
        return
    if row.version < key.version:
        world.fail(Broken("I8", f"{short(key.uid)} goes back from version {key.version} to {row.version}"))
    key.version = row.version
    if row.state is not key.state:
        world.fail(Broken("I8", f"{short(key.uid)} is {row.state.name}, and the journal says {key.state.name}"))
    if (row.sealed is None) != key.purged:
        world.fail(Broken("I9", f"{short(key.uid)}: purged: {key.purged}, material there: {row.sealed is not None}"))
    if key.doubtful:
        key.withheld, key.doubtful = row.withheld_at is not None, False
    if (row.withheld_at is not None) != key.withheld and not key.purged:
        world.fail(Broken("I8", f"{short(key.uid)}: withheld since {row.withheld_at}, the journal says {key.withheld}"))


def _asked_for(world: World, told: Told) -> None:
    """Whatever happens, somebody has asked for it (I3, I9)."""
    if told.outcome != "success":
        return
    if told.fingerprint:
        ask = world.asks.get(told.correlation)
        if ask is None and told.action == "standard-key.intent":
            return
        if ask is None or ask.fingerprint != told.fingerprint or ask.instance != told.instance:
            world.fail(Broken("I3", f"nobody has asked for {told}"))
            return
        meant = [each for each in ask.items if each.operation.title == told.action]
        if not any(each.uid in {None, told.target} or each.operation is Operation.LOCATE for each in meant):
            world.fail(Broken("I3", f"{ask.told()} has not asked for {told}"))
    elif told.action in {"key.destroy", "key.purge"}:
        _ended(world, told)
    elif told.action == "key.withhold":
        _withheld(world, told)


def _withheld(world: World, told: Told) -> None:
    house = tenant_of(world, told.instance).house
    identifier = str(told.detail.get("standard_key", ""))
    if identifier not in house.ever_taken and told.target not in world.damaged:
        world.fail(Broken("I1", f"{short(told.target)} is withheld, and its standard key was never deleted"))


def _ended(world: World, told: Told) -> None:
    """A key is destroyed or purged: by one person who has begun it, by two where two are needed, or when it is due."""
    key = world.replay.keys.get(told.target)
    if key is None:
        world.fail(Broken("I9", f"{told.action} of a key that nobody has made"))
        return
    if told.initiator == "keyrack":
        age = world.loop.time() - key.destroyed_at
        if told.action != "key.purge" or age < WINDOWS.destroyed - MOST_SKEW:
            world.fail(Broken("I9", f"{short(key.uid)} is purged {age:.0f} s after its destruction, by nobody"))
        return
    begun = [act for act in world.acts if act.who == told.initiator and act.kind == told.action]
    asked = [act for act in begun if act.subject == key.uid]
    agreed = [act for act in world.acts if act.who == told.initiator and act.kind == "approval.agree"]
    approval = str(told.detail.get("approval", ""))
    wisher, act = world.replay.wished.get(approval, ("", ""))
    by_two = any(each.subject == approval for each in agreed) and wisher not in {"", told.initiator}
    if not asked and not by_two:
        world.fail(Broken("I9", f"{told.initiator} has not set out to do {told}"))
    tenant = tenant_of(world, key.instance)
    if tenant.instance.dual_control_at is None or by_two and act == told.action:
        return
    fetched = any(place <= max((each.floor for each in asked), default=0) for place in key.gets)
    if told.action == "key.purge" or fetched:
        world.fail(Broken("I9", f"{told.action} of {short(key.uid)} by {told.initiator} alone"))


def released(world: World, node: Node, ask: Ask, answers: Sequence[Answer]) -> None:
    """An answer leaves a node."""
    look(world)
    told = world.replay.by_correlation.get(ask.correlation, [])
    kept = Counter((each.action, each.target) for each in told if each.outcome == "success" and each.place > ask.floor)
    for item, answer in zip(ask.items, answers, strict=False):
        if answer.ok:
            _journaled(world, ask, item, answer, kept)
            if item.operation is Operation.GET:
                _served(world, node, ask, answer)
            elif item.operation is Operation.LOCATE:
                _located(world, ask, answer)
            elif item.operation is Operation.CREATE and answer.uid:
                _made(world, ask, answer.uid)
        else:
            _refused(world, ask, item, answer)


def _journaled(world: World, ask: Ask, item: Item, answer: Answer, kept: Counter[tuple[str, str]]) -> None:
    target = "" if item.operation is Operation.LOCATE else answer.uid or item.uid or ""
    title = item.operation.title
    found = sum(n for (action, _), n in kept.items() if action == title) if not target else kept[title, target]
    if not found:
        world.fail(Broken("I4", f"{ask.told()}: nothing in the journal tells of {title} {short(target)}"))
    if target:
        kept[title, target] -= 1


def _made(world: World, ask: Ask, uid: str) -> None:
    key = world.replay.keys.get(uid)
    row = at_once(world.observer.load(ask.instance, uid))
    if key is None or row is None or row.sealed is None:
        world.fail(Broken("I1", f"{ask.told()}: {short(uid)} is acknowledged, and not in the catalog"))
        return
    tenant = tenant_of(world, ask.instance)
    if row.standard_key is not None and row.standard_key not in tenant.house.ever_taken:
        kept = tenant.house.standard_keys.get(row.standard_key)
        if kept is None or (kept.payload != row.sealed and uid not in world.damaged):
            world.fail(Broken("I1", f"{ask.told()}: the key manager has another copy of {short(uid)} than the catalog"))


def _served(world: World, node: Node, ask: Ask, answer: Answer) -> None:
    uid = answer.uid or ""
    key = world.replay.keys.get(uid)
    if key is None or key.instance != ask.instance:
        world.fail(Broken("I3", f"{ask.told()} is given {short(uid)}, which is not its instance's"))
        return
    if answer.material != world.randomness.minted.get(uid):
        world.fail(Broken("I2", f"{ask.told()} is given other bytes than {short(uid)} has"))
    tenant = tenant_of(world, ask.instance)
    since = tenant.house.denied_since(tenant.instance.root_key)
    if since is None:
        return
    road = node.key_manager_roads[tenant.house.name]
    answered = not road.cut and not any(at > since - TERMS.lease for at in road.unanswered_at)
    bound = REVOKED_WITHIN if answered else TERMS.outage_grace
    if ask.began - since > bound:
        world.fail(Broken("I7", f"{ask.told()} is given a key {ask.began - since:.1f} s after its root key was denied"))


def _located(world: World, ask: Ask, answer: Answer) -> None:
    """Everything that was there before the question, and is there still; nothing that is another's, or gone."""
    found = set(answer.found)
    for uid in answer.found:
        key = world.replay.keys.get(uid)
        if key is None or key.instance != ask.instance:
            world.fail(Broken("I3", f"{ask.told()} finds {short(uid)}, which is not its instance's"))
    for key in world.replay.keys.values():
        there = key.created <= ask.floor and not key.is_gone and key.came_back <= ask.floor
        if key.instance == ask.instance and there and key.uid not in found:
            world.fail(Broken("I1", f"{ask.told()} does not find {short(key.uid)}"))


def _refused(world: World, ask: Ask, item: Item, answer: Answer) -> None:
    """A key that is there is not denied to be there."""
    in_force = world.replay.certificates.get(ask.fingerprint) == ask.instance
    all_along = in_force and world.replay.let_in.get(ask.fingerprint, 0) <= ask.floor
    if answer.reason == ResultReason.AUTHENTICATION_NOT_SUCCESSFUL and all_along:
        world.fail(Broken("I1", f"{ask.told()} is refused, and its certificate is in force"))
    key = world.replay.keys.get(item.uid or "")
    if key is None or key.instance != ask.instance or key.created > ask.floor:
        return
    if answer.reason == ResultReason.ITEM_NOT_FOUND:
        world.fail(Broken("I1", f"{ask.told()} is told that {short(key.uid)} does not exist"))
    there = not key.is_gone and key.came_back <= ask.floor
    if item.operation is Operation.GET and answer.reason == ResultReason.ILLEGAL_OPERATION and there:
        world.fail(Broken("I1", f"{ask.told()} is told that {short(key.uid)} was destroyed"))


def remembered(world: World) -> None:
    """No node keeps in memory what was destroyed a while ago (I5)."""
    now = world.loop.time()
    for node in world.nodes:
        cut = node.road.cut or node.process.held is not None
        if not node.up or cut or node.troubled_at > now - LETS_GO_WITHIN:
            continue
        for key in world.replay.keys.values():
            if key.is_gone and key.destroyed_at < now - LETS_GO_WITHIN and node.vault._cache.get(key.uid) is not None:
                world.fail(Broken("I5", f"{node.name} keeps {short(key.uid)} in memory, which was destroyed"))
