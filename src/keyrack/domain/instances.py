"""Instances and the certificates of their clients: who may use which keys."""

from dataclasses import dataclass
from enum import StrEnum


class Storage(StrEnum):
    """Where the wrapped keys of an instance are kept."""

    CATALOG = "catalog"
    """In the catalog alone."""
    KEY_MANAGER = "key_manager"
    """In the catalog and, as a standard key that the customer sees, in the key manager."""


class InstanceStatus(StrEnum):
    """The status of an instance, in IBM's words; only an installed one serves keys."""

    INSTALLING = "Installing"
    INACTIVE = "Inactive"
    CONFIGURING = "Configuring"
    INSTALLED = "Installed"
    REMOVING = "Removing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A "KMIP for VMware instance": a tenant with one key manager, one customer root key, its certificates and keys."""

    identifier: str
    name: str
    status: InstanceStatus
    key_manager: str
    """Name of the key manager in the configuration."""
    root_key: str
    """Identifier of the customer root key in that key manager."""
    storage: Storage
    created_at: int
    """Seconds since 1970, UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCertificate:
    """A client certificate that is trusted for one instance, pinned by the SHA-256 of its DER form."""

    fingerprint: str
    """64 lower-case hexadecimal digits; unique in the whole deployment."""
    instance: str
    subject: str
    """For people only; identity is the fingerprint."""
    not_before: int
    not_after: int
    der: bytes
    added_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who asks: the certificate that TLS proved, and the instance that it means."""

    fingerprint: str
    instance: str
