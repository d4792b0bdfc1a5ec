"""Rotation of root keys: one more version, which wraps from now on; the ones before go on unwrapping."""

from collections.abc import Callable
from dataclasses import replace

from keyrack.domain.secret import Secret
from keyrack.embedded.call import Call
from keyrack.embedded.errors import (
    InvalidQueryParam,
    KeyCreateImportAccess,
    KeyPayloadRequired,
    KeyRotationNotPermitted,
)
from keyrack.embedded.house import House
from keyrack.embedded.iam.rights import Right
from keyrack.embedded.import_tokens import EncryptedImport, opened
from keyrack.embedded.instances import PolicyType
from keyrack.embedded.key_changes import changed
from keyrack.embedded.keys import Action, Key
from keyrack.embedded.new_versions import check_material, new_version
from keyrack.embedded.store.reading import Reading
from keyrack.embedded.store.unit import Unit

Condition = Callable[[Reading, Key], None]
"""What must hold besides the law of rotation, also when the version is written down; raises a refusal."""


def rotate(
    house: House, call: Call, name: str, material: Secret | None = None, encrypted: EncryptedImport | None = None
) -> Key:
    """Give a root key a new version, once an hour at most; its expiration stays.

    Material is made for a key that was generated; an imported one needs ``material``, of 16, 24 or 32 bytes, or the
    payload that was enciphered for the import token where ``encrypted`` is given. The caller wipes it.
    Raises :class:`KeyPayloadRequired` where it misses and :class:`InvalidQueryParam` where it is not wanted,
    :class:`KeyRotationNotPermitted`, and :class:`KeyCreateImportAccess` where the instance wants an import token.
    """

    def right_material(reading: Reading, key: Key) -> None:
        _require_material(reading, key, material, encrypted)

    with house.reading() as reading:
        key = reading.key_for(call, name, Right.ROTATE)
        _require_rotatable(house, key)
        right_material(reading, key)
        plain = None
        if material is not None and encrypted is not None:
            plain = opened(house, reading, call, bytes(material.reveal()), encrypted)
        elif material is not None:
            check_material(material)
    if plain is None:
        return _rotated(house, call, key, material, right_material)
    with plain:
        return _rotated(house, call, key, plain, right_material)


def rotate_generated(house: House, call: Call, key: Key, condition: Condition) -> Key:
    """Rotate a generated root key if ``condition`` holds still when it is written down: for the schedule."""
    _require_rotatable(house, key)
    return _rotated(house, call, key, None, condition)


def _rotated(house: House, call: Call, key: Key, material: Secret | None, condition: Condition) -> Key:
    with new_version(house, key.instance, key.identifier, material) as version:

        def rotated(unit: Unit, found: Key) -> Key:
            _require_rotatable(house, found)
            condition(unit, found)
            now = house.now
            return replace(found, versions=(*found.versions, version), rotated_at=now, updated_at=now)

        return changed(house, call, key.identifier, Right.ROTATE, rotated, version=version.identifier)


def _require_rotatable(house: House, key: Key) -> None:
    key.allow(Action.ROTATE, house.now)
    if key.rotated_at is not None and house.now - key.rotated_at < house.waits.rotate:
        raise KeyRotationNotPermitted(
            "This root key has been rotated within the last hour: Only one 'rotate' action per hour is permitted"
        )


def _require_material(reading: Reading, key: Key, material: Secret | None, encrypted: EncryptedImport | None) -> None:
    if not key.imported:
        if material is not None or encrypted is not None:
            raise InvalidQueryParam(
                "The key material is made by the key manager: a payload can be provided only if key is imported",
                target=("field", "payload"),
            )
        return
    if material is None:
        raise KeyPayloadRequired(
            "This root key was created with user-supplied key material: Key material is required to perform a "
            "'rotate' action",
            target=("field", "payload"),
        )
    policy = reading.instance(key.instance).enabled(PolicyType.KEY_CREATE_IMPORT_ACCESS)
    if policy is not None and policy.attributes.get("enforce_token") and encrypted is None:
        raise KeyCreateImportAccess(
            "KeyCreateImportAccess instance policy does not allow this action: this instance takes key material "
            "that was encrypted with an import token only"
        )
