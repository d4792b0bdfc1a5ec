"""Records of the key manager as the API tells them."""

import base64
from collections.abc import Mapping
from typing import Any, Final

from keyrack.domain.moments import rfc3339
from keyrack.domain.secret import Secret
from keyrack.embedded.iam.tokens import account_of
from keyrack.embedded.instances import ImportToken, InstancePolicy, KeyRing, PolicyType
from keyrack.embedded.keys import Alias, Key, KeyState, KeyVersion, PolicyRecord, Registration
from keyrack.embedded.lifecycle import deletion
from keyrack.shell.rest.key_protect.envelope import vendor
from keyrack.shell.rest.key_protect.premises import Premises

KEY: Final = vendor("key")
POLICY: Final = vendor("policy")
DEPRECATED: Final = "Deprecated"
_DELETED_BY_SOMEBODY: Final = 24
"""``nonactiveStateReason`` as IBM's examples have it for a deleted key."""


def instant(seconds: int) -> str:
    """A time as RFC 3339, UTC."""
    return rfc3339(seconds)


def text_of(octets: bytes) -> str:
    """Base64."""
    return base64.b64encode(octets).decode("ascii")


def crn(premises: Premises, instance: str, kind: str, identifier: str) -> str:
    """A Cloud Resource Name: region and account stand for this deployment."""
    account = account_of(premises.house)
    return f"crn:v1:bluemix:public:kms:{premises.region}:a/{account}:{instance}:{kind}:{identifier}"


def minimal_key(key: Key) -> dict[str, Any]:
    """The key's identifier alone."""
    return {"type": KEY, "id": key.identifier}


def new_key(premises: Premises, key: Key) -> dict[str, Any]:
    """A key as Key Protect tells a new one: without what it calls the whole representation."""
    state = key.state_at(premises.house.now)
    told: dict[str, Any] = {**minimal_key(key), "name": key.name}
    if key.aliases:
        told["aliases"] = [alias.name for alias in key.aliases]
    if key.description:
        told["description"] = key.description
    if key.tags:
        told["tags"] = list(key.tags)
    told["state"] = int(state)
    if key.expires_at is not None:
        told["expirationDate"] = instant(key.expires_at)
    return told | {
        "extractable": key.extractable,
        "crn": crn(premises, key.instance, "key", key.identifier),
        "imported": key.imported,
        "deleted": state is KeyState.DESTROYED,
    }


def whole_key(premises: Premises, key: Key, payload: Secret | None = None) -> dict[str, Any]:
    """Everything that is told of a key."""
    told = new_key(premises, key) | {
        "keyRingID": key.ring,
        "creationDate": instant(key.created_at),
        "createdBy": key.created_by,
        "algorithmType": DEPRECATED,
        "algorithmMetadata": {"bitLength": "256", "mode": DEPRECATED},
        "algorithmBitSize": 256,
        "algorithmMode": DEPRECATED,
        "lastUpdateDate": instant(key.updated_at),
        "dualAuthDelete": _dual_authorisation(premises, key),
    }
    if key.rotated_at is not None:
        told["lastRotateDate"] = instant(key.rotated_at)
    if key.versions:
        told["keyVersion"] = version(key.newest)
    if key.rotation is not None:
        told["rotation"] = {"enabled": key.rotation.enabled, "interval_month": key.rotation.months}
    if told["deleted"]:
        told |= _deletion(premises, key)
    if payload is not None:
        told["payload"] = payload
    return told


def version(told: KeyVersion) -> dict[str, Any]:
    """A version of a root key."""
    return {"id": told.identifier, "creationDate": instant(told.created_at)}


def alias(key: Key, told: Alias) -> dict[str, Any]:
    """An alias of a key."""
    return {
        "keyId": key.identifier,
        "alias": told.name,
        "createdBy": told.created_by,
        "creationDate": instant(told.created_at),
    }


def ring(told: KeyRing | None) -> dict[str, Any]:
    """A key ring; ``None`` is the default one."""
    if told is None:
        return {"id": "default"}
    return {"id": told.identifier, "creationDate": instant(told.created_at), "createdBy": told.created_by}


def key_policies(premises: Premises, key: Key, kinds: set[str]) -> list[dict[str, Any]]:
    """The policies of these kinds that the key has."""
    told = []
    if "dualAuthDelete" in kinds and key.dual_auth_record is not None:
        what = {"dualAuthDelete": {"enabled": key.dual_auth_delete}}
        told.append(_key_policy(premises, key, key.dual_auth_record) | what)
    if "rotation" in kinds and key.rotation is not None and key.rotation_record is not None:
        how = {"rotation": {"enabled": key.rotation.enabled, "interval_month": key.rotation.months}}
        told.append(_key_policy(premises, key, key.rotation_record) | how)
    return told


def instance_policy(kind: PolicyType, policy: InstancePolicy) -> dict[str, Any]:
    """A policy of an instance."""
    data: dict[str, Any] = {"enabled": policy.enabled}
    if policy.attributes:
        data["attributes"] = dict(policy.attributes)
    return {
        "policy_type": kind.value,
        "policy_data": data,
        "creationDate": instant(policy.created_at),
        "createdBy": policy.created_by,
        "updatedBy": policy.updated_by,
        "lastUpdated": instant(policy.updated_at),
    }


def import_token(token: ImportToken) -> dict[str, Any]:
    """What was agreed about an import token."""
    return {
        "creationDate": instant(token.created_at),
        "expirationDate": instant(token.expires_at),
        "maxAllowedRetrievals": token.most_retrievals,
        "remainingRetrievals": max(token.most_retrievals - token.retrievals, 0),
    }


def registration(key: Key, told: Registration) -> dict[str, Any]:
    """A resource that a key protects."""
    newest = {"keyVersion": {"id": key.newest.identifier}} if key.versions else {}
    return {
        "keyId": key.identifier,
        "keyName": key.name,
        "resourceCrn": told.resource,
        "createdBy": told.created_by,
        "creationDate": instant(told.created_at),
        "updatedBy": told.created_by,
        "lastUpdated": instant(told.created_at),
        "description": told.description,
        "preventKeyDeletion": told.prevent_key_deletion,
        **newest,
    }


def _dual_authorisation(premises: Premises, key: Key) -> Mapping[str, Any]:
    if not key.dual_auth_delete:
        return {"enabled": False}
    first = key.set_for_deletion
    until = None if first is None else first.at + premises.house.waits.dual_authorisation
    if until is None or until <= premises.house.now:
        return {"enabled": True, "keySetForDeletion": False}
    return {"enabled": True, "keySetForDeletion": True, "authExpiration": instant(until)}


def _deletion(premises: Premises, key: Key) -> Mapping[str, Any]:
    told = deletion(premises.house.waits, key, premises.house.now)
    who = {"deletedBy": key.deleted_by} if key.deleted_by is not None else {}
    return who | {
        "nonactiveStateReason": _DELETED_BY_SOMEBODY,
        "deletionDate": instant(key.state_changed_at if key.deleted_at is None else key.deleted_at),
        "restoreAllowed": told.restore_allowed,
        "restoreExpirationDate": instant(told.restore_until),
        "purgeAllowed": told.purge_allowed,
        "purgeAllowedFrom": instant(told.purge_from),
        "purgeScheduledOn": instant(told.purge_on),
    }


def _key_policy(premises: Premises, key: Key, record: PolicyRecord) -> dict[str, Any]:
    return {
        "type": POLICY,
        "id": record.identifier,
        "crn": crn(premises, key.instance, "policy", record.identifier),
        "creationDate": instant(record.created_at),
        "createdBy": record.created_by,
        "lastUpdateDate": instant(record.updated_at),
        "updatedBy": record.updated_by,
    }
