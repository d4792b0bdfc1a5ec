"""Service IDs, their API keys and their grants, as the database keeps them."""

from dataclasses import dataclass

from keyrack.embedded.iam.rights import MATRIX, WHOLE_INSTANCE, Right, Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A role over an instance, over one of its key rings, or over one key."""

    role: Role
    instance: str | None = None
    """``None``: every key manager instance of the deployment."""
    ring: str | None = None
    key: str | None = None

    def gives(self, right: Right, instance: str, ring: str | None, key: str | None) -> bool:
        """Whether it gives ``right`` over a key, over a ring (``key`` is ``None``), or over the instance."""
        if right not in MATRIX[self.role] or self.instance not in (None, instance):
            return False
        if right in WHOLE_INSTANCE:
            return self.ring is None and self.key is None
        return self.ring in (None, ring) and self.key in (None, key)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """An API key without the key: its keyed hash. Times are seconds since 1970."""

    identifier: str
    name: str
    hash: bytes
    created_at: int
    created_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceId:
    """An identity of a program: what a token speaks for."""

    identifier: str
    """``ServiceId-<uuid>``; in journals and records ``iam-ServiceId-<uuid>``."""
    name: str
    description: str = ""
    created_at: int
    created_by: str
    grants: tuple[Grant, ...] = ()
    api_keys: tuple[ApiKey, ...] = ()

    @property
    def iam_id(self) -> str:
        """Who it is in a token, in ``createdBy`` and in the journal."""
        return f"iam-{self.identifier}"

    def belongs_to(self, instance: str) -> bool:
        """Whether any grant is about this key manager instance, or about something in it."""
        return any(grant.instance in (None, instance) for grant in self.grants)

    def may(self, right: Right, instance: str, ring: str | None = None, key: str | None = None) -> bool:
        """Whether any grant gives the right; nothing else does."""
        return any(grant.gives(right, instance, ring, key) for grant in self.grants)
