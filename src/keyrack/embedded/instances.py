"""Key manager instances: what the header ``Bluemix-Instance`` names, with their key rings and policies."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from keyrack.embedded.errors import KeyRingNotFound

DEFAULT_RING = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRing:
    """A group of keys that rights can be scoped to. The default one is always there and has no record."""

    identifier: str
    created_at: int
    created_by: str


class PolicyType(StrEnum):
    """The types of instance policies, as Key Protect writes them."""

    ALLOWED_NETWORK = "allowedNetwork"
    DUAL_AUTH_DELETE = "dualAuthDelete"
    ALLOWED_IP = "allowedIP"
    KEY_CREATE_IMPORT_ACCESS = "keyCreateImportAccess"
    METRICS = "metrics"
    ROTATION = "rotation"


@dataclass(frozen=True, slots=True, kw_only=True)
class InstancePolicy:
    """One instance policy. ``attributes`` are those of its type, as Key Protect names them; all JSON values."""

    enabled: bool
    attributes: Mapping[str, bool | int | str | list[str]] = field(default_factory=dict)
    created_at: int
    created_by: str
    updated_at: int
    updated_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportToken:
    """The import token of an instance: a private RSA key, sealed, and what was agreed about its use."""

    sealed: bytes
    public: bytes
    """The public key, in PEM."""
    nonce: bytes
    created_at: int
    expires_at: int
    most_retrievals: int
    retrievals: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyManagerInstance:
    """A key manager instance: a tenant of the embedded key manager. Times are seconds since 1970."""

    identifier: str
    """A UUID, in lower case."""
    name: str
    created_at: int
    created_by: str
    rings: tuple[KeyRing, ...] = ()
    policies: Mapping[PolicyType, InstancePolicy] = field(default_factory=dict)
    import_token: ImportToken | None = None

    def require_ring(self, identifier: str) -> None:
        """Raise :class:`KeyRingNotFound` unless the ring is there."""
        if identifier != DEFAULT_RING and all(ring.identifier != identifier for ring in self.rings):
            raise KeyRingNotFound(f"there is no key ring {identifier!r} in this instance")

    def enabled(self, policy: PolicyType) -> InstancePolicy | None:
        """The policy if it is there and enabled."""
        found = self.policies.get(policy)
        return found if found is not None and found.enabled else None
