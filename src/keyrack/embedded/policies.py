"""Policies of keys and of instances, which managers set. What an instance's policies say counts for keys made later."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace

from keyrack.embedded.call import Call
from keyrack.embedded.errors import BadBody, Contradiction
from keyrack.embedded.house import House
from keyrack.embedded.iam.rights import Right
from keyrack.embedded.instances import InstancePolicy, PolicyType
from keyrack.embedded.key_changes import changed
from keyrack.embedded.keys import Action, Key, PolicyRecord, RotationPolicy
from keyrack.embedded.network import check_network, is_let_in
from keyrack.embedded.new_keys import check_rotation
from keyrack.embedded.policy_attributes import Attributes, Checked, checked
from keyrack.embedded.store.unit import Unit

__all__ = [
    "PoliciesSet",
    "check_network",
    "instance_policies",
    "key_policies",
    "set_instance_policies",
    "set_key_policies",
]


def key_policies(house: House, call: Call, name: str) -> Key:
    """The key, whose policies a manager may read; a deleted one as well."""
    with house.reading() as reading:
        return reading.key_for(call, name, Right.READ_POLICIES)


def set_key_policies(
    house: House, call: Call, name: str, *, dual_auth_delete: bool | None = None, rotation: RotationPolicy | None = None
) -> Key:
    """Set the policies that are given; the key with them.

    Raises :class:`Contradiction` where dual authorisation, once on, is to be switched off, ``KeyRootRequired`` for a
    rotation of a standard key, and ``InvalidField`` for one of an imported key, or of other than 1 to 12 months.
    """

    def with_policies(unit: Unit, key: Key) -> Key:
        key.allow(Action.DELETE, house.now)
        if dual_auth_delete is None and rotation is None:
            raise BadBody("Invalid body data was passed: it names neither of the policies dualAuthDelete and rotation")
        after = key if dual_auth_delete is None else _with_dual_authorisation(key, dual_auth_delete, call, house.now)
        after = after if rotation is None else _with_rotation(after, rotation, call, house.now)
        return replace(after, updated_at=house.now)

    named = {"dualAuthDelete": dual_auth_delete is not None, "rotation": rotation is not None}
    policies = ",".join(policy for policy, given in named.items() if given)
    return changed(house, call, name, Right.WRITE_POLICIES, with_policies, policies=policies)


def instance_policies(house: House, call: Call, which: PolicyType | None = None) -> Mapping[PolicyType, InstancePolicy]:
    """The policies that were ever set, or the one of this type; a manager of the whole instance may read them."""
    with house.reading() as reading:
        reading.allow(call, Right.READ_INSTANCE_POLICIES)
        policies = reading.instance(call.instance).policies
    return {kind: policy for kind, policy in policies.items() if which in (None, kind)}


@dataclass(frozen=True, slots=True, kw_only=True)
class PoliciesSet:
    """What an instance's policies are now."""

    policies: Mapping[PolicyType, InstancePolicy]
    locks_out: bool
    """Whether they keep out whoever has just set them. Key Protect lets one do that, and so does this; whoever works
    at the machine can always correct it, since a policy of networks does not concern him."""


def set_instance_policies(
    house: House, call: Call, wanted: Mapping[PolicyType, tuple[bool, Attributes]]
) -> PoliciesSet:
    """Set the policies that are given, each with whether it is enabled and its attributes; the others stay.

    Attributes are given if and only if a policy that has some is enabled; a disabled one forgets them. Raises
    :class:`BadBody` and :class:`InvalidField`, and then none is set.
    """
    with house.change(call, "") as unit:
        unit.allow(call, Right.WRITE_INSTANCE_POLICIES)
        if not wanted:
            raise BadBody("Invalid body data was passed: it names no policy")
        instance = unit.instance(call.instance)
        made = {
            kind: _instance_policy(
                instance.policies.get(kind), enabled, checked(kind, enabled, attributes), call, house.now
            )
            for kind, (enabled, attributes) in wanted.items()
        }
        after = replace(instance, policies={**instance.policies, **made})
        unit.put_instance(after)
        locks_out = call.caller.service_id is not None and not is_let_in(after, call)
        if call.journaled:
            told = {"policies": ",".join(made), "locksOut": str(locks_out).lower()}
            unit.note(house.entry(call, Right.WRITE_INSTANCE_POLICIES.value, **told))
    return PoliciesSet(policies=after.policies, locks_out=locks_out)


def _with_dual_authorisation(key: Key, enabled: bool, call: Call, now: int) -> Key:
    if key.dual_auth_delete and not enabled:
        raise Contradiction(
            "The dual authorization policy of a key cannot be switched off: two people delete this key from now on"
        )
    return replace(key, dual_auth_delete=enabled, dual_auth_record=_record(key.dual_auth_record, call, now))


def _with_rotation(key: Key, rotation: RotationPolicy, call: Call, now: int) -> Key:
    check_rotation(rotation, extractable=key.extractable, imported=key.imported)
    return replace(key, rotation=rotation, rotation_record=_record(key.rotation_record, call, now))


def _record(before: PolicyRecord | None, call: Call, now: int) -> PolicyRecord:
    who = call.caller.identity
    if before is not None:
        return replace(before, updated_at=now, updated_by=who)
    return PolicyRecord(identifier=str(uuid.uuid4()), created_at=now, created_by=who, updated_at=now, updated_by=who)


def _instance_policy(
    before: InstancePolicy | None, enabled: bool, attributes: Checked, call: Call, now: int
) -> InstancePolicy:
    who = call.caller.identity
    return InstancePolicy(
        enabled=enabled,
        attributes=attributes,
        created_at=now if before is None else before.created_at,
        created_by=who if before is None else before.created_by,
        updated_at=now,
        updated_by=who,
    )
