"""Making keys: generated, imported, or imported under an import token, with the policies of their instance."""

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from keyrack.domain.secret import Secret, randomize
from keyrack.embedded.alias_rules import require_room
from keyrack.embedded.call import Call
from keyrack.embedded.errors import BadBody, KeyCreateImportAccess
from keyrack.embedded.house import House
from keyrack.embedded.iam.rights import Right
from keyrack.embedded.import_tokens import EncryptedImport, opened
from keyrack.embedded.instances import DEFAULT_RING, KeyManagerInstance, PolicyType
from keyrack.embedded.keys import Alias, Key, PolicyRecord, RotationPolicy
from keyrack.embedded.new_keys import NewKey, check, check_rotation
from keyrack.embedded.new_versions import new_version
from keyrack.embedded.store.reading import Reading

__all__ = ["EncryptedImport", "NewKey", "create", "create_with_overrides", "put_standard_keys"]

GENERATED = 32
"""Bytes of a payload that the key manager makes."""


@dataclass(frozen=True, slots=True)
class _Way:
    """One of the ways to make a key."""

    right: Right
    policies: Callable[[Key, KeyManagerInstance], Key]
    """Gives a new key of an instance its policies."""


def create(house: House, call: Call, wanted: NewKey) -> Key:
    """Make a key in the key ring that the call names, with the policies of the instance.

    Raises :class:`BadBody`, :class:`InvalidField`, :class:`KeyExpired`, :class:`KeyRingNotFound`, :class:`AliasTaken`,
    :class:`AliasQuota`, :class:`KeyCreateImportAccess`, and what :func:`import_tokens.opened` raises.
    """
    if wanted.dual_auth_delete is not None or wanted.rotation is not None:
        raise BadBody("Policies are given with keys_with_policy_overrides, or to a key that is there")
    return _created(house, call, wanted, _Way(Right.CREATE, policies_of_the_instance))


def create_with_overrides(house: House, call: Call, wanted: NewKey) -> Key:
    """Make a key with the policies that are ``wanted`` and no others, whatever those of the instance are."""
    if wanted.rotation is not None:
        check_rotation(wanted.rotation, extractable=wanted.extractable, imported=wanted.payload is not None)

    def as_wanted(key: Key, instance: KeyManagerInstance) -> Key:
        return _with_policies(key, wanted.dual_auth_delete, wanted.rotation)

    return _created(house, call, wanted, _Way(Right.CREATE_WITH_OVERRIDES, as_wanted))


def put_standard_keys(house: House, call: Call, keys: Sequence[tuple[str, bytes]]) -> list[str]:
    """Import standard keys by name and payload, all in one change; their identifiers, in the same order."""
    drafts = [_imported(house, call, name, payload) for name, payload in keys]
    with house.change(call, "") as unit:
        _require_allowed(unit, call, _ANY_IMPORT, Right.CREATE)
        instance = unit.instance(call.instance)
        for draft in drafts:
            unit.put_key(policies_of_the_instance(draft, instance))
            if call.journaled:
                unit.note(house.entry(call, Right.CREATE.value, draft.identifier))
    return [draft.identifier for draft in drafts]


def policies_of_the_instance(key: Key, instance: KeyManagerInstance) -> Key:
    """The new key with the policies that its instance gives to keys of its kind."""
    found = instance.enabled(PolicyType.ROTATION)
    months = found.attributes.get("interval_month") if found is not None else None
    rotation = None
    if isinstance(months, int) and not key.extractable and not key.imported:
        rotation = RotationPolicy(enabled=True, months=months)
    dual_auth_delete = True if instance.enabled(PolicyType.DUAL_AUTH_DELETE) else None
    return _with_policies(key, dual_auth_delete, rotation)


def _created(house: House, call: Call, wanted: NewKey, way: _Way) -> Key:
    check(wanted, house.now)
    draft = _draft(house, call, wanted)
    with _clear_payload(house, call, wanted, way.right) as payload:
        if wanted.extractable:
            return _put(house, call, wanted, way, _with_payload(house, draft, payload))
        with new_version(house, draft.instance, draft.identifier, payload) as version:
            return _put(house, call, wanted, way, replace(draft, versions=(version,)))


def _put(house: House, call: Call, wanted: NewKey, way: _Way, draft: Key) -> Key:
    with house.change(call, Right.CREATE.value, draft.identifier) as unit:
        _require_allowed(unit, call, wanted, way.right)
        key = way.policies(draft, unit.instance(call.instance))
        unit.put_key(key)
    return key


def _require_allowed(reading: Reading, call: Call, wanted: NewKey, right: Right) -> None:
    """Return when caller, key ring, aliases and the policy keyCreateImportAccess allow it.

    Asked before an HSM is bothered, and again in the transaction that makes the key.
    """
    ring = call.ring or DEFAULT_RING
    reading.allow(call, right, ring=ring)
    instance = reading.instance(call.instance)
    instance.require_ring(ring)
    _require_access(instance, wanted)
    require_room(reading, call.instance, wanted.aliases)


def _require_access(instance: KeyManagerInstance, wanted: NewKey) -> None:
    policy = instance.enabled(PolicyType.KEY_CREATE_IMPORT_ACCESS)
    if policy is None:
        return
    act = "create" if wanted.payload is None else "import"
    kind = "standard" if wanted.extractable else "root"
    if not policy.attributes.get(f"{act}_{kind}_key", True):
        raise KeyCreateImportAccess(f"The policy keyCreateImportAccess of this instance lets nobody {act} {kind} keys")
    if act == "import" and wanted.encrypted is None and policy.attributes.get("enforce_token", False):
        raise KeyCreateImportAccess(
            "The policy keyCreateImportAccess of this instance lets key material in under an import token alone"
        )


@contextmanager
def _clear_payload(house: House, call: Call, wanted: NewKey, right: Right) -> Iterator[Secret | None]:
    """The payload in clear, if any, once it is known that the caller may bring it; a decrypted one is wiped again."""
    with house.reading() as reading:
        _require_allowed(reading, call, wanted, right)
        if wanted.payload is None or wanted.encrypted is None:
            decrypted = None
        else:
            decrypted = opened(house, reading, call, bytes(wanted.payload.reveal()), wanted.encrypted)
    try:
        yield wanted.payload if decrypted is None else decrypted
    finally:
        if decrypted is not None:
            decrypted.wipe()


def _draft(house: House, call: Call, wanted: NewKey) -> Key:
    now, who = house.now, call.caller.identity
    return Key(
        identifier=str(uuid.uuid4()),
        instance=call.instance,
        ring=call.ring or DEFAULT_RING,
        name=wanted.name,
        description=wanted.description,
        tags=tuple(wanted.tags),
        extractable=wanted.extractable,
        imported=wanted.payload is not None,
        created_at=now,
        created_by=who,
        updated_at=now,
        state_changed_at=now,
        expires_at=wanted.expires_at,
        aliases=tuple(Alias(name=alias, created_at=now, created_by=who) for alias in wanted.aliases),
    )


def _imported(house: House, call: Call, name: str, payload: bytes) -> Key:
    with Secret(bytearray(payload)) as secret:
        wanted = NewKey(name=name, extractable=True, payload=secret)
        check(wanted, house.now)
        return _with_payload(house, _draft(house, call, wanted), secret)


def _with_payload(house: House, draft: Key, payload: Secret | None) -> Key:
    if payload is not None:
        return replace(draft, payload=house.payloads.seal(draft, payload))
    with Secret(bytearray(GENERATED)) as made:
        randomize(made.reveal())
        return replace(draft, payload=house.payloads.seal(draft, made))


def _with_policies(key: Key, dual_auth_delete: bool | None, rotation: RotationPolicy | None) -> Key:
    """The new key with policies; ``None`` sets none."""
    if dual_auth_delete is not None:
        key = replace(key, dual_auth_delete=dual_auth_delete, dual_auth_record=_record(key))
    if rotation is not None:
        key = replace(key, rotation=rotation, rotation_record=_record(key))
    return key


def _record(key: Key) -> PolicyRecord:
    return PolicyRecord(
        identifier=str(uuid.uuid4()),
        created_at=key.created_at,
        created_by=key.created_by,
        updated_at=key.created_at,
        updated_by=key.created_by,
    )


_ANY_IMPORT = NewKey(name="any", extractable=True, payload=Secret(bytearray(1)))
"""What the policy keyCreateImportAccess is asked about for many standard keys at once."""
