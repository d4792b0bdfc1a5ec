"""vCenters and hosts: they make keys, label, activate, fetch and find them, and ask another node when one is silent."""

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Any, Final

from keyrack.domain.instances import ClientCertificate
from keyrack.service.identity import Peer
from keyrack.spec.enumerations import (
    BatchErrorContinuationOption,
    Operation,
    ResultStatus,
    RevocationReasonCode,
)
from keyrack.spec.types import CustomValue, ItemType
from keyrack.testing import conversation
from keyrack.testing.house import frame_of, read_items
from keyrack.testing.simulation.asks import Answer, Ask, Item
from keyrack.testing.simulation.invariants import look, released
from keyrack.testing.simulation.node import Crashed, Node
from keyrack.testing.simulation.replay import Broken
from keyrack.testing.simulation.world import Tenant, World

WAITS: Final = 15.0
"""Seconds after which a client gives up."""


def create() -> Item:
    """Make an AES-256 key, as vCenter does."""
    operation, payload = conversation.create()
    return Item(operation=operation, payload=payload)


def activate(uid: str | None) -> Item:
    """Activate."""
    operation, payload = conversation.activate(uid)
    return Item(operation=operation, uid=uid, payload=payload)


def label(uid: str | None, name: str, value: str) -> Item:
    """Say what the key is for."""
    operation, payload = conversation.add_attribute(uid, name, CustomValue(ItemType.TEXT_STRING, value))
    return Item(operation=operation, uid=uid, payload=payload)


def get(uid: str) -> Item:
    """Fetch."""
    operation, payload = conversation.get(uid)
    return Item(operation=operation, uid=uid, payload=payload)


def locate() -> Item:
    """Find everything."""
    operation, payload = conversation.locate()
    return Item(operation=operation, payload=payload)


def revoke(uid: str, *, compromise: bool) -> Item:
    """Deactivate, or mark as compromised."""
    code = RevocationReasonCode.KEY_COMPROMISE if compromise else RevocationReasonCode.CESSATION_OF_OPERATION
    operation, payload = conversation.revoke(uid, code)
    return Item(operation=operation, uid=uid, payload=payload, compromise=compromise)


def destroy(uid: str) -> Item:
    """Destroy."""
    operation, payload = conversation.destroy(uid)
    return Item(operation=operation, uid=uid, payload=payload)


class Client:
    """Somebody with a client certificate."""

    def __init__(self, world: World, tenant: Tenant, certificate: ClientCertificate, random: Random) -> None:
        """``random`` is this client's own."""
        self.world = world
        self.tenant = tenant
        self.certificate = certificate
        self.random = random
        self.name = f"{tenant.identifier}/{certificate.name}"

    @property
    def may(self) -> bool:
        """Whether its certificate is in force."""
        return self.certificate.fingerprint in self.world.replay.certificates

    async def ask(self, *items: Item, node: Node | None = None, undo: bool = False) -> Sequence[Answer] | None:
        """Send one message to a node; ``None`` where nobody answers."""
        world = self.world
        node = node or self.random.choice(world.nodes)
        look(world)
        ask = Ask(
            number=world.number(),
            who=self.name,
            fingerprint=self.certificate.fingerprint,
            instance=self.tenant.identifier,
            node=node.name,
            items=items,
            undo=undo,
            began=world.loop.time(),
            floor=world.replay.length,
        )
        world.asks[ask.correlation] = ask
        try:
            async with asyncio.timeout(WAITS):
                await self._exchanged(ask, node)
        except (Crashed, TimeoutError, ConnectionError):
            ask.heard = False
        except Exception as error:  # noqa: BLE001 - the desk answers everything
            world.fail(Broken("I1", f"{ask.told()}: the desk raises {error!r}"))
        world.note(f"{ask.told()} -> {_result(ask)}")
        return ask.answers if ask.heard else None

    async def anywhere(self, *items: Item) -> Sequence[Answer] | None:
        """Ask one node, and the next where it is silent or fails."""
        nodes = self.random.sample(self.world.nodes, len(self.world.nodes))
        for node in [*nodes, nodes[0]][:2]:
            answers = await self.ask(*items, node=node)
            if answers is not None and all(each.ok for each in answers):
                return answers
        return None

    async def _exchanged(self, ask: Ask, node: Node) -> None:
        world, random = self.world, self.random
        await asyncio.sleep(random.expovariate(200))
        if not node.up:
            raise ConnectionError
        frame = frame_of(
            [(each.operation, each.payload) for each in ask.items],
            client_correlation_value=ask.correlation,
            batch_error_continuation_option=BatchErrorContinuationOption.UNDO if ask.undo else None,
        )
        peer = Peer(fingerprint=ask.fingerprint, address="192.0.2.1:4711", tls="TLSv1.3")

        def leaves(reply: bytes | None) -> None:
            if reply is None:
                world.fail(Broken("I1", f"{ask.told()}: the connection is closed"))
                return
            ask.answers = read(ask.items, reply)
            released(world, node, ask, ask.answers)

        await node.answer(frame, peer, leaves)
        if random.random() < world.weather.answers:
            raise ConnectionError
        await asyncio.sleep(random.expovariate(200))
        ask.heard = True

    # What clients do, in the shapes that vCenter has.

    async def new_key(self) -> None:
        """Make one, activate and label it, fetch it."""
        made = await self.anywhere(create())
        if made is None or (uid := made[0].uid) is None:
            return
        self.tenant.known.append(uid)
        if self.random.random() < 0.85:
            await self.anywhere(activate(uid))
        if self.random.random() < 0.5:
            await self.anywhere(label(uid, "x-Product", "VMware vSphere"))
        await self.anywhere(get(uid))

    async def new_key_at_once(self) -> None:
        """Make and activate one in a batch that happens whole or not at all."""
        answers = await self.ask(create(), activate(None), undo=True)
        if answers is not None and len(answers) == 2 and all(each.ok for each in answers):
            assert answers[0].uid is not None
            self.tenant.known.append(answers[0].uid)

    async def fetch(self) -> None:
        """Fetch a known key; hosts that start ask at once."""
        uid = self.some()
        if uid is not None:
            await asyncio.gather(*(self.ask(get(uid)) for _ in range(self.random.choice((1, 1, 2, 3)))))

    async def fetch_many(self) -> None:
        """Fetch several."""
        known = self.tenant.known
        for uid in self.random.sample(known, min(len(known), 4)):
            await self.anywhere(get(uid))

    async def find(self) -> None:
        """Locate."""
        await self.ask(locate())

    async def end(self) -> None:
        """Revoke or destroy a known key; sometimes two want it at once."""
        uid = self.some()
        if uid is None:
            return
        ends = [
            revoke(uid, compromise=False),
            revoke(uid, compromise=True),
            destroy(uid),
            activate(uid),
            label(uid, "x-Name", "db01"),
            get(uid),
        ]
        chosen = self.random.sample(ends, self.random.choice((1, 2, 2)))
        await asyncio.gather(*(self.ask(each) for each in chosen))

    async def pry(self) -> None:
        """Ask for what is another instance's."""
        others = [uid for each in self.world.tenants if each is not self.tenant for uid in each.known]
        if others:
            uid = self.random.choice(others)
            item = self.random.choice((get(uid), destroy(uid), activate(uid), revoke(uid, compromise=True)))
            await self.ask(item)

    def some(self) -> str | None:
        """A known key, more likely a new one."""
        known = self.tenant.known
        if not known:
            return None
        return known[-1 - min(int(self.random.expovariate(0.4)), len(known) - 1)]


def read(items: Sequence[Item], reply: bytes) -> Sequence[Answer]:
    """What a response message says."""
    return [_read(item, each) for item, each in zip(items, read_items(reply), strict=False)]


def _read(item: Item, given: Any) -> Answer:
    if given.result_status != ResultStatus.SUCCESS:
        return Answer(ok=False, uid=item.uid, reason=given.result_reason, message=given.result_message or "")
    payload = given.response_payload
    if item.operation is Operation.LOCATE:
        return Answer(ok=True, found=tuple(payload.unique_identifier))
    material = None
    if item.operation is Operation.GET:
        material = bytes(payload.object.key_block.key_value.key_material)
    return Answer(ok=True, uid=payload.unique_identifier, material=material)


def _result(ask: Ask) -> str:
    if ask.answers is None:
        return "nobody answers"
    results = ", ".join("ok" if each.ok else f"{_title(each.reason)}" for each in ask.answers)
    return results if ask.heard else f"{results} (and nobody hears it)"


def _title(reason: Any) -> str:
    return str(getattr(reason, "name", reason))
