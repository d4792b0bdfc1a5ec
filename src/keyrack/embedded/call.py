"""Who calls, for which key manager instance, from where: what every use case is given."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who acts."""

    identity: str
    """As records and journal name it: ``iam-ServiceId-<uuid>``, ``local-user-<name>``, or Keyrack itself."""
    service_id: str | None = None
    """The service ID whose grants count; ``None`` for an administrator at the machine, who may everything."""
    api_key: str | None = None
    """Identifier of the API key that the token was given for: once it is removed, the token counts no more."""


KEYRACK = Caller(identity="keyrack")
"""Keyrack itself: the KMIP server, and what the schedule does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request."""

    caller: Caller
    instance: str
    """The key manager instance, a UUID."""
    ring: str | None = None
    """The key ring that was named; ``None``: look in every one, create in the default one."""
    address: str = "local"
    """Source address, for the journal and the policy allowedIP."""
    private: bool = True
    """Whether it came over a private network, for the policy allowedNetwork."""
    correlation: str = ""
    journaled: bool = True
    """Whether the key manager's journal records it; what KMIP asks for, the catalog's journal has already."""
