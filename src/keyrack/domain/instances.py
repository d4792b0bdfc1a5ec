"""Instances and the certificates of their clients: who may use which keys."""

import hashlib
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any
from uuid import UUID


class Storage(StrEnum):
    """Where the wrapped keys of an instance are kept."""

    CATALOG = "catalog"
    """In the catalog alone."""
    KEY_MANAGER = "key_manager"
    """In the catalog and, as a standard key that the customer sees, in the key manager."""


class Hierarchy(StrEnum):
    """How many steps lead from the customer root key to a key."""

    DIRECT = "direct"
    """The root key wraps each key."""
    TWO_LEVEL = "two-level"
    """The root key wraps the instance's wrapping key, and that one wraps each key: one unwrap opens them all."""


@dataclass(frozen=True, slots=True)
class Home:
    """Where keys are wrapped: a key manager, by its configured name, and a customer root key in it."""

    key_manager: str
    root_key: str


class InstanceStatus(StrEnum):
    """The status of an instance, in IBM's words; ``domain.instance_status`` has the steps between them."""

    INSTALLING = "Installing"
    """It is being made: its name is taken, and its first root key is being proved."""
    INACTIVE = "Inactive"
    """It has no key manager yet, or was deactivated: nobody is served."""
    CONFIGURING = "Configuring"
    """Its root key is being proved, and nobody is served; or its keys move, and everybody is."""
    INSTALLED = "Installed"
    """Its clients are served."""
    REMOVING = "Removing"
    """It is being taken away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotas:
    """How much an instance may have and ask for; the defaults are beyond what a vCenter comes to by itself."""

    keys: int = 1_000_000
    """Objects that are not destroyed: 40,000 machines that get new keys twice a year leave 440,000 in five years."""
    certificates: int = 200
    """Client certificates and trusted authorities; a vCenter takes one for each key provider."""
    requests: int = 10_000
    """KMIP requests a second, over all its connections to one process: more than a process can answer. Hosts that
    start all at once ask thousands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A username and password that clients of the instance send beside their certificate (KMIP 1.4, 6.6)."""

    username: str
    password: str = field(repr=False)
    """Encoded argon2id hash."""
    required: bool = False
    """Whether a request without it is refused; one with a wrong one always is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A "KMIP for VMware instance": a tenant with one key manager, one customer root key, its certificates and keys."""

    identifier: str
    name: str
    status: InstanceStatus
    key_manager: str
    """Name of the key manager in the configuration; empty, as is ``root_key``, until it is configured."""
    root_key: str
    """Identifier of the customer root key in that key manager."""
    storage: Storage
    created_at: int
    """Seconds since 1970, UTC."""
    created_by: str = ""
    """Who made it, as the journal names an initiator; empty where nobody knows any more."""
    description: str = ""
    updated_at: int | None = None
    """When an administrator last changed it or its certificates; ``None``: never since it was made."""
    updated_by: str = ""
    hierarchy: Hierarchy = Hierarchy.DIRECT
    sealed_at: int | None = None
    """Since when an administrator keeps it sealed: no key of it is handed out. ``None``: it is not sealed."""
    former: Home | None = None
    """Where its keys come from while they move to ``key_manager`` and ``root_key``; ``None`` once all are there."""
    reason: str = ""
    """Why it has its status, for people; empty where nothing is to be said of it."""
    quotas: Quotas = Quotas()
    credential: Credential | None = None
    dual_control_at: int | None = None
    """Since when acts that end keys need two people; it is not taken back by one."""

    @property
    def home(self) -> Home:
        """Where its new keys are wrapped."""
        return Home(self.key_manager, self.root_key)

    @property
    def configured(self) -> bool:
        """Whether it has a key manager and a root key, that is, a home."""
        return bool(self.root_key)

    @property
    def serves(self) -> bool:
        """Whether its clients are served: it is installed, or its keys are just moving to another root key."""
        if self.status is InstanceStatus.CONFIGURING:
            return self.former is not None
        return self.status is InstanceStatus.INSTALLED

    def is_as(self, seen: "Instance") -> bool:
        """Whether both are the same in everything but who touched it last."""
        return replace(self, updated_at=seen.updated_at, updated_by=seen.updated_by) == seen


@dataclass(frozen=True, slots=True, kw_only=True)
class WrappingKey:
    """The wrapping key of an instance of two levels, wrapped by the customer root key; no client ever sees it."""

    unique_identifier: str
    instance: str
    created_at: int
    sealed: bytes = field(repr=False)
    """The wrapped blob of ``service.vault.envelope``."""
    standard_key: str | None = None
    """Identifier of the copy in the key manager, where the instance's storage is ``key_manager``."""
    withheld_at: int | None = None
    version: int = 1
    """Grows by one at each change; a write names the version it has seen."""

    def changed(self, **fields: Any) -> "WrappingKey":
        """A copy with other fields and the next version."""
        return replace(self, version=self.version + 1, **fields)


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
    added_by: str = ""
    """Who added it, as the journal names an initiator; empty where nobody knows any more."""
    name: str = ""
    """Unique in its instance; where none is given it is made of the fingerprint."""

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", f"kmip_cert_{self.fingerprint[:30]}")

    @property
    def identifier(self) -> str:
        """A UUID for those who name certificates so; it follows from the fingerprint, see :func:`identifier_of`."""
        return identifier_of(self.fingerprint)


def identifier_of(fingerprint: str) -> str:
    """The UUID of a client certificate: one that was removed long ago can still be named by it."""
    digest = hashlib.sha256(b"keyrack client certificate " + fingerprint.encode()).digest()
    return str(UUID(bytes=digest[:16], version=4))


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedAuthority:
    """A certificate authority whose clients are let in to an instance, where their names fit its patterns."""

    fingerprint: str
    """SHA-256 of its DER form, 64 lower-case hexadecimal digits; the anchor that a chain must end at."""
    instance: str
    name: str
    """Unique in its instance."""
    subject: str
    subject_pattern: str = ""
    """What the subject (RFC 4514) must be like, with ``*`` for any characters; empty: any subject."""
    san_pattern: str = ""
    """What one DNS name, address or mail address of the Subject Alternative Name must be like; empty: any, or none."""
    not_before: int
    not_after: int
    der: bytes
    added_at: int
    added_by: str = ""
    number: int = 0
    """Which act of trust this is; one that is taken back and given again is another one. 0: not kept yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admittance:
    """By which trusted authority a client is let in whose certificate is not pinned."""

    instance: str
    authority: str
    """Fingerprint of the anchor that its chain ends at."""
    number: int
    """The act of trust that it rests on, see :attr:`TrustedAuthority.number`."""
    since: int
    until: int
    """From when to when each certificate of its chain is valid, the anchor among them, in seconds since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenCertificate:
    """A client certificate that knocked and is not pinned; nothing that it says is proved, unless an authority let
    it in."""

    fingerprint: str
    der: bytes
    subject: str
    """Printable, at most 200 characters."""
    address: str
    """Where it came from last, without the port."""
    reason: str
    """Why it was not let in; empty where an authority did."""
    first_at: int
    last_at: int
    count: int
    instance: str = ""
    """The instance that an authority let it in to; empty for one that is seen and not trusted."""
    authority: str = ""
    """Fingerprint of that authority."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who asks: the certificate that TLS proved, and the instance that it means."""

    fingerprint: str
    instance: str
    authority: str | None = None
    """Fingerprint of the trusted authority that the certificate is let in by; ``None``: it is pinned itself."""
    trust: int = 0
    """The act of trust in that authority, see :attr:`TrustedAuthority.number`."""
