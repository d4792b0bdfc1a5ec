"""Who may do what: Key Protect's roles and the actions of IAM, as one table. What is not in it is denied."""

from collections.abc import Mapping
from enum import StrEnum


class Right(StrEnum):
    """An action of IAM, by the name that Key Protect gives it."""

    LIST = "kms.secrets.list"
    HEAD = "kms.secrets.head"
    READ_METADATA = "kms.secrets-metadata.read"
    LIST_VERSIONS = "kms.secrets-key-versions.list"
    LIST_RINGS = "kms.key-rings.list"
    LIST_REGISTRATIONS = "kms.registrations.list"
    WRAP = "kms.secrets.wrap"
    UNWRAP = "kms.secrets.unwrap"
    REWRAP = "kms.secrets.rewrap"
    READ = "kms.secrets.read"
    CREATE = "kms.secrets.create"
    ROTATE = "kms.secrets.rotate"
    CREATE_IMPORT_TOKEN = "kms.import-token.create"
    READ_IMPORT_TOKEN = "kms.import-token.read"
    CREATE_ALIAS = "kms.secrets-alias.create"
    DELETE_ALIAS = "kms.secrets-alias.delete"
    CREATE_RING = "kms.key-rings.create"
    SET_FOR_DELETION = "kms.secrets.setkeyfordeletion"
    UNSET_FOR_DELETION = "kms.secrets.unsetkeyfordeletion"
    SYNC = "kms.secrets-event.ack"
    DELETE = "kms.secrets.delete"
    DISABLE = "kms.secrets.disable"
    ENABLE = "kms.secrets.enable"
    RESTORE = "kms.secrets.restore"
    PATCH = "kms.secrets.patch"
    DELETE_RING = "kms.key-rings.delete"
    READ_POLICIES = "kms.policies.read"
    WRITE_POLICIES = "kms.policies.write"
    READ_INSTANCE_POLICIES = "kms.instance-policies.read"
    WRITE_INSTANCE_POLICIES = "kms.instance-policies.write"
    CREATE_WITH_OVERRIDES = "kms.secrets-with-policy-overrides.create"
    PURGE = "kms.secrets.purge"
    LIST_KMIP = "kms.kmip-management.list"
    READ_KMIP = "kms.kmip-management.read"
    CREATE_KMIP = "kms.kmip-management.create"
    DELETE_KMIP = "kms.kmip-management.delete"


class Role(StrEnum):
    """A role that a service ID is granted."""

    READER = "Reader"
    READER_PLUS = "ReaderPlus"
    WRITER = "Writer"
    MANAGER = "Manager"
    KMIP_ADAPTER_MANAGER = "KmipAdapterManager"
    KEY_PURGE = "KeyPurge"


_READER = frozenset(
    {
        Right.LIST,
        Right.HEAD,
        Right.READ_METADATA,
        Right.LIST_VERSIONS,
        Right.LIST_RINGS,
        Right.LIST_REGISTRATIONS,
        Right.WRAP,
        Right.UNWRAP,
        Right.REWRAP,
    }
)
_READER_PLUS = _READER | {Right.READ}
_WRITER = _READER_PLUS | {
    Right.CREATE,
    Right.ROTATE,
    Right.CREATE_IMPORT_TOKEN,
    Right.READ_IMPORT_TOKEN,
    Right.CREATE_ALIAS,
    Right.DELETE_ALIAS,
    Right.CREATE_RING,
    Right.SET_FOR_DELETION,
    Right.UNSET_FOR_DELETION,
    Right.SYNC,
}
_KMIP = frozenset({Right.LIST_KMIP, Right.READ_KMIP, Right.CREATE_KMIP, Right.DELETE_KMIP})
_MANAGER = (
    _WRITER
    | _KMIP
    | {
        Right.DELETE,
        Right.DISABLE,
        Right.ENABLE,
        Right.RESTORE,
        Right.PATCH,
        Right.DELETE_RING,
        Right.READ_POLICIES,
        Right.WRITE_POLICIES,
        Right.READ_INSTANCE_POLICIES,
        Right.WRITE_INSTANCE_POLICIES,
        Right.CREATE_WITH_OVERRIDES,
    }
)

MATRIX: Mapping[Role, frozenset[Right]] = {
    Role.READER: _READER,
    Role.READER_PLUS: _READER_PLUS,
    Role.WRITER: _WRITER,
    Role.MANAGER: _MANAGER,
    Role.KMIP_ADAPTER_MANAGER: _KMIP | {Right.LIST, Right.HEAD, Right.LIST_RINGS},
    Role.KEY_PURGE: frozenset({Right.PURGE}),
}
"""The rights of each role; purging is nobody's but KeyPurge's."""

WHOLE_INSTANCE = frozenset(
    {
        Right.LIST_RINGS,
        Right.CREATE_RING,
        Right.DELETE_RING,
        Right.CREATE_IMPORT_TOKEN,
        Right.READ_IMPORT_TOKEN,
        Right.READ_INSTANCE_POLICIES,
        Right.WRITE_INSTANCE_POLICIES,
        *_KMIP,
    }
)
"""Rights that mean the instance as a whole: only a grant over the whole instance gives them."""
