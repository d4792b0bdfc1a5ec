"""A random KMIP client of each tenant: every operation, with its own, foreign, absent and destroyed identifiers."""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from keyrack.operations._registry import OPERATIONS
from keyrack.spec.enumerations import (
    BatchErrorContinuationOption,
    BlockCipherMode,
    CryptographicUsageMask,
    LinkType,
    Operation,
    ResultReason,
    ResultStatus,
    RevocationReasonCode,
    State,
    WrappingMethod,
)
from keyrack.spec.structures import CryptographicParameters, Link
from keyrack.spec.types import CustomValue, ItemType
from keyrack.spec.versions import V1_4, VERSIONS
from keyrack.testing import conversation as say
from keyrack.testing.house import frame_of, read_items
from keyrack.testing.tenancy import KmipClient, Tenant, World
from keyrack.testing.tenancy_calls import guarded
from keyrack.testing.tenancy_verdict import Broken
from keyrack.wire.messages import ResponseBatchItem
from keyrack.wire.objects import EncryptionKeyInformation, KeyWrappingSpecification

CONTINUE, STOP, UNDO = BatchErrorContinuationOption
_UUID: Final = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TIME: Final = re.compile(rb"\x42\x00\x92\x09\x00\x00\x00\x08.{8}", re.DOTALL)
MAKING: Final = frozenset({Operation.CREATE, Operation.REGISTER})
ABSENT: Final = "00000000-0000-4000-8000-000000000000"


@dataclass(slots=True)
class Said:
    """One batch item, and what the model knows of it."""

    operation: int
    payload: Any
    uid: str | None = None
    """What it names; ``None``: nothing, or the ID Placeholder."""
    name: str = ""
    """A name that it gives, which other tenants give as well."""
    foreign: tuple[str, ...] = ()
    """Everything foreign in it, also where it is no target."""
    fails: bool = False
    """Whether it must fail, for whichever reason: it needs a key that is not there."""


class KmipGame:
    """Plays messages, and holds the answers against the model."""

    def __init__(self, world: World) -> None:
        """In this world."""
        self.world = world
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.asked = 0
        self._numbers = 0

    async def step(self) -> None:
        """One message, and its twin for what is not there."""
        dice = self.world.dice
        for each in self.world.clients:
            self.world.settle(each)
        trusted = [each for each in self.world.clients if each.trusted]
        lately = [each for each in self.world.clients if each.identity.fingerprint in self.world.lately]
        others = lately if lately and dice.random() < 0.5 else self.world.clients  # noqa: PLR2004 - as often as not
        who = dice.choice(trusted if dice.random() < (0.6 if lately else 0.93) and trusted else others)
        size = dice.choice([1, 1, 1, 2, 3])
        said = [self._item(who.tenant, in_batch=number > 0) for number in range(size)]
        option = dice.choice([None, STOP, CONTINUE, UNDO]) if size > 1 else None
        version = dice.choice(VERSIONS) if dice.random() < 0.4 else V1_4
        try:
            frame = frame_of(
                [(each.operation, each.payload) for each in said],
                version=version,
                batch_error_continuation_option=option,
            )
        except (ValueError, TypeError):
            return  # The version has no word for it.
        if who.trusted:
            # Its own journal tells what it has asked for.
            self.world.own(who.tenant, *(uid for each in said for uid in each.foreign))
        answer = await self._say(frame, who)
        told = f"{who.tenant.name}: {[(each.operation, each.payload) for each in said]} {option} {version}"
        try:
            self._judge(who, said, frame, answer)
            serves = answer is not None and who.trusted and not who.tenant.off
            if serves and any(each.foreign for each in said) and all(map(_repeatable, said)):
                assert answer is not None
                await self._twin(who, said, frame, answer)
        except Broken as error:
            raise Broken(f"{error}\n  said by a client of {told}\n  answer: {answer!r}") from None

    async def _say(self, frame: bytes, who: KmipClient) -> bytes | None:
        self.asked += 1
        return await self.world.doors.kmip(frame, who)

    # What must be ---------------------------------------------------------------------------------------------------

    def _judge(self, who: KmipClient, said: list[Said], frame: bytes, answer: bytes | None) -> None:
        if answer is None:
            if who.trusted and not who.tenant.off:
                raise Broken("the connection was closed")
            self.outcomes["closed", ""] += 1
            return
        tenant, items = who.tenant, read_items(answer)
        self._learn(tenant, said, items)
        for each, item in zip(said, items, strict=False):
            self.outcomes[_title(each.operation), str(item.result_reason or item.result_status)] += 1
            self._judge_item(who, each, item)
        seen = {tenant.identifier} if who.trusted else set[str]()
        if leaked := self.world.canaries.leaked(answer, lambda owner: owner in seen, _words(frame)):
            raise Broken(f"the answer gives away {leaked}")
        if len(said) == 1:
            self._judge_name(who, said[0], items[0])

    @staticmethod
    def _judge_item(who: KmipClient, said: Said, item: ResponseBatchItem) -> None:
        good = item.result_status == ResultStatus.SUCCESS
        if not who.trusted:
            if item.result_reason != ResultReason.AUTHENTICATION_NOT_SUCCESSFUL:
                raise Broken(f"a stranger was told {item.result_reason!r}")
            return
        tenant = who.tenant
        if said.fails and good:
            raise Broken("it was wrapped under a key that is not the tenant's")
        if said.uid is not None and said.uid not in tenant.keys:
            if good:
                raise Broken(f"{said.uid} is not the tenant's, and was served")
            undone = item.result_status == ResultStatus.OPERATION_UNDONE
            since = OPERATIONS[said.operation].operation.since
            newer = item.result_reason in {ResultReason.OPERATION_NOT_SUPPORTED, ResultReason.INVALID_FIELD}
            if not (tenant.off or undone or item.result_reason == ResultReason.ITEM_NOT_FOUND or (newer and since)):
                raise Broken(f"{said.uid} is not the tenant's, and {item.result_reason!r} says more than not found")
        if good and item.operation == Operation.LOCATE:
            strange = set(item.response_payload.unique_identifier) - set(tenant.keys)  # type: ignore[union-attr]
            if strange:
                raise Broken(f"Locate found {strange}")

    @staticmethod
    def _judge_name(who: KmipClient, said: Said, item: ResponseBatchItem) -> None:
        """A name that only others have is free."""
        if not said.name or not who.trusted or who.tenant.off:
            return
        taken = said.name in who.tenant.names
        who.tenant.names.add(said.name)
        if not taken and item.result_status != ResultStatus.SUCCESS:
            raise Broken(f"the name {said.name!r} is not taken in this instance: {item.result_message}")

    def _learn(self, tenant: Tenant, said: list[Said], items: list[ResponseBatchItem]) -> None:
        for each, item in zip(said, items, strict=False):
            if each.name and len(said) > 1:
                tenant.names.add(each.name)
            if item.result_status == ResultStatus.SUCCESS and each.operation in MAKING:
                made = str(item.response_payload.unique_identifier)  # type: ignore[union-attr]
                tenant.keys.append(made)
                self.world.own(tenant, made)

    async def _twin(self, who: KmipClient, said: list[Said], frame: bytes, answer: bytes) -> None:
        """What is foreign is answered as what is absent, byte for byte."""
        others = {uid: self.world.absent(uid) for each in said for uid in each.foreign}
        twin = frame
        for uid, other in others.items():
            twin = twin.replace(uid.encode(), other.encode())
        absent = await self._say(twin, who)
        if absent is None or _masked(answer, others) != _masked(absent, {other: "" for other in others.values()}):
            raise Broken(f"foreign and absent differ: {absent!r}")
        self.outcomes["twin", ""] += 1

    # What is said ---------------------------------------------------------------------------------------------------

    def _item(self, tenant: Tenant, *, in_batch: bool) -> Said:
        dice = self.world.dice
        row = dice.choice(list(OPERATIONS.values()))
        if dice.random() < 0.12 or len(tenant.keys) < 3:  # noqa: PLR2004 - something to play with
            row = OPERATIONS[dice.choice(sorted(MAKING))]
        if not row.targeted:
            return self._untargeted(row.operation, tenant)
        uid = None if in_batch and dice.random() < 0.5 else self._uid(tenant)
        foreign = (uid,) if uid is not None and uid not in tenant.keys and uid in self._everybodys() else ()
        build = _TARGETED.get(row.operation)
        if build is not None:
            operation, payload = build(self, tenant, uid)
        else:
            operation, payload = row.operation, row.request(unique_identifier=uid)
        said = Said(operation, payload, uid, foreign=foreign)
        if row.operation == Operation.GET and dice.random() < 0.2:
            return self._wrapped(said, tenant)
        return said

    def _everybodys(self) -> set[str]:
        return {key for each in self.world.tenants for key in each.keys[-40:]}

    def _uid(self, tenant: Tenant) -> str:
        """The tenant's own, another's that is not guarded, or nobody's."""
        dice = self.world.dice
        pick = dice.random()
        if pick < 0.6 and tenant.keys:
            return dice.choice(tenant.keys[-25:] if dice.random() < 0.8 else tenant.keys)
        other = dice.choice([each for each in self.world.tenants if each is not tenant])
        known = [each for each in other.keys[-40:] if not guarded(each)]
        return dice.choice(known) if pick < 0.88 and known else self.world.absent(ABSENT)

    def _untargeted(self, operation: Operation, tenant: Tenant) -> Said:
        build = _UNTARGETED.get(operation)
        if build is None:
            return Said(operation, OPERATIONS[operation].request())
        return build(self, tenant)

    def given(self, tenant: Tenant) -> tuple[dict[str, Any], str]:
        """Attributes of something new, and its name where it has one."""
        dice = self.world.dice
        self._numbers += 1
        given: dict[str, Any] = {
            "x-Name": CustomValue(ItemType.TEXT_STRING, f"vm {tenant.marker} {self._numbers}"),
            "x-Product": CustomValue(ItemType.TEXT_STRING, "VMware vSphere"),
        }
        shared = f"shared {dice.randrange(4000)}" if dice.random() < 0.5 else ""
        if shared:
            given["Name"] = say.name(shared)
        return given, shared

    def made(self, tenant: Tenant) -> Said:
        """Create."""
        given, name = self.given(tenant)
        return Said(*say.create(given), name=name)

    def registered(self, tenant: Tenant) -> Said:
        """Register a key or a secret whose material tells whose it is."""
        given, name = self.given(tenant)
        material = tenant.marker.encode().ljust(16, b".") + self.world.dice.randbytes(16)
        build = self.world.dice.choice([say.register_key, say.register_password])
        return Said(*build(material[:32], {**given, "Cryptographic Usage Mask": say.ENCRYPT | say.WRAP}), name=name)

    def located(self, tenant: Tenant) -> Said:
        """Locate: everything, or by what others have."""
        dice, other = self.world.dice, self.world.dice.choice(self.world.tenants)
        uid = dice.choice([each for each in other.keys[-40:] if not guarded(each)] or [ABSENT])
        wanted: dict[str, Any] = dice.choice(
            [
                {},
                {"State": dice.choice(list(State))},
                {"Name": say.name(f"shared {dice.randrange(4000)}")},
                {
                    "x-Name": CustomValue(
                        ItemType.TEXT_STRING, f"vm {other.marker} {dice.randrange(1, self._numbers + 2)}"
                    )
                },
                {"Unique Identifier": uid},
                {"Link": Link(link_type=LinkType.PREVIOUS_LINK, linked_object_identifier=uid)},
            ]
        )
        foreign = (uid,) if other is not tenant and uid != ABSENT and _has(wanted, uid) else ()
        limit = dice.choice([None, 1, 3])
        return Said(*say.locate(wanted, maximum_items=limit), foreign=foreign)

    def _wrapped(self, said: Said, tenant: Tenant) -> Said:
        """A Get that is to be wrapped under another key, which may be a foreign one."""
        kek = self._uid(tenant)
        said.payload = say.get(
            said.uid,
            key_wrapping_specification=KeyWrappingSpecification(
                wrapping_method=WrappingMethod.ENCRYPT,
                encryption_key_information=EncryptionKeyInformation(
                    unique_identifier=kek,
                    cryptographic_parameters=CryptographicParameters(block_cipher_mode=BlockCipherMode.NISTKEYWRAP),
                ),
            ),
        )[1]
        if kek not in tenant.keys:
            said.foreign += (kek,) if kek in self._everybodys() else ()
            said.fails = True
        return said


_TARGETED: Final[Mapping[int, Callable[[KmipGame, Tenant, str | None], say.Item]]] = {
    Operation.GET: lambda game, tenant, uid: say.get(uid),
    Operation.GET_ATTRIBUTES: lambda game, tenant, uid: say.get_attributes(uid),
    Operation.GET_ATTRIBUTE_LIST: lambda game, tenant, uid: say.get_attribute_list(uid),
    Operation.ADD_ATTRIBUTE: lambda game, tenant, uid: say.add_attribute(
        uid, "x-Note", CustomValue(ItemType.TEXT_STRING, tenant.marker)
    ),
    Operation.MODIFY_ATTRIBUTE: lambda game, tenant, uid: say.modify_attribute(
        uid, "x-Name", CustomValue(ItemType.TEXT_STRING, f"vm {tenant.marker} again")
    ),
    Operation.DELETE_ATTRIBUTE: lambda game, tenant, uid: say.delete_attribute(uid, "x-Note"),
    Operation.ACTIVATE: lambda game, tenant, uid: say.activate(uid),
    Operation.REVOKE: lambda game, tenant, uid: say.revoke(
        uid, game.world.dice.choice([RevocationReasonCode.SUPERSEDED, RevocationReasonCode.KEY_COMPROMISE])
    ),
    Operation.DESTROY: lambda game, tenant, uid: say.destroy(uid),
    Operation.CHECK: lambda game, tenant, uid: say.check(
        uid, cryptographic_usage_mask=int(CryptographicUsageMask.ENCRYPT)
    ),
    Operation.OBTAIN_LEASE: lambda game, tenant, uid: say.obtain_lease(uid),
    Operation.GET_USAGE_ALLOCATION: lambda game, tenant, uid: say.get_usage_allocation(uid, 1),
}
"""By operation; one that is not here is asked with its Unique Identifier alone."""

_UNTARGETED: Final[Mapping[int, Callable[[KmipGame, Tenant], Said]]] = {
    Operation.CREATE: KmipGame.made,
    Operation.REGISTER: KmipGame.registered,
    Operation.LOCATE: KmipGame.located,
}


def _title(operation: int) -> str:
    return operation.title if isinstance(operation, Operation) else str(operation)


def _has(wanted: Mapping[str, Any], uid: str) -> bool:
    return any(uid in str(each) for each in wanted.values())


def _repeatable(said: Said) -> bool:
    """Whether saying it twice changes nothing that the answer tells."""
    return bool(said.foreign) or said.operation in {Operation.LOCATE, Operation.QUERY, Operation.DISCOVER_VERSIONS}


def _words(frame: bytes) -> bytes:
    return b" ".join(_UUID.findall(frame)) + b" " + b" ".join(re.findall(rb"cnry[0-9a-f]{12}", frame))


def _masked(answer: bytes, sent: Mapping[str, str]) -> bytes:
    text = _TIME.sub(b"", answer)
    for uid in sent:
        text = text.replace(uid.encode(), b"#" * 36)
    return text
