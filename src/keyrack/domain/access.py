"""Who may do what with an object, and when: permissions, states, usage masks, usage limits, leases.

A check returns nothing or raises; there is no boolean to forget.

- ``Permission``: what an operation needs of the client.
- ``check_release(managed, *, wrapped)``: may the material leave (Get, KMIP 1.4, 4.11)?
- ``check_usage(managed, needed, *, at=None)``: may the key be used so (mask, state, and with ``at`` its dates)?
- ``check_usage_limits(managed, count)``: is that much left of its Usage Limits?
- ``allocate(managed, count, *, at) -> ManagedObject``: Get Usage Allocation (KMIP 1.4, 4.18).
- ``spend(managed, *, octets, at) -> ManagedObject``: take one use of the key by the server from its Usage Limits.
- ``check_lease(managed)``: may a lease be given (Obtain Lease, KMIP 1.4, 4.17)?
- ``check(managed, ...)``: the operation Check (KMIP 1.4, 4.10).
"""

from collections.abc import Mapping
from dataclasses import replace
from enum import Enum
from typing import Final

from keyrack.domain.errors import IllegalOperation, NotExtractable, PermissionDenied, Sensitive, WrongState
from keyrack.domain.lifecycle import DESTROYED_STATES, STATELESS, setting, tick
from keyrack.domain.objects import ManagedObject
from keyrack.spec.enumerations import CryptographicUsageMask, State, UsageLimitsUnit
from keyrack.spec.structures import UsageLimits


class Permission(Enum):
    """What an operation needs; each certificate of an instance has them all, and the reference names them."""

    ASK = "ask"
    """About the server alone: Discover Versions, Query."""
    READ = "read"
    """Objects and attributes, and where they are."""
    CREATE = "create"
    """New objects."""
    CHANGE = "change"
    """Attributes and states."""
    DESTROY = "destroy"
    """For good."""


PROTECTING: Final = (
    CryptographicUsageMask.SIGN
    | CryptographicUsageMask.ENCRYPT
    | CryptographicUsageMask.WRAP_KEY
    | CryptographicUsageMask.MAC_GENERATE
    | CryptographicUsageMask.DERIVE_KEY
    | CryptographicUsageMask.CONTENT_COMMITMENT
    | CryptographicUsageMask.KEY_AGREEMENT
    | CryptographicUsageMask.CERTIFICATE_SIGN
    | CryptographicUsageMask.CRL_SIGN
    | CryptographicUsageMask.GENERATE_CRYPTOGRAM
    | CryptographicUsageMask.TRANSLATE_ENCRYPT
    | CryptographicUsageMask.TRANSLATE_WRAP
)
"""Uses that apply protection: for Active keys alone, and not after the Protect Stop Date (KMIP 1.4, 3.22 and 3.26)."""

USABLE: Final[Mapping[bool, frozenset[State]]] = {
    True: frozenset({State.ACTIVE}),
    False: frozenset({State.ACTIVE, State.DEACTIVATED, State.COMPROMISED}),
}
"""In which states a key protects (``True``), and in which it processes what was protected (KMIP 1.4, 3.22)."""


def check_release(managed: ManagedObject, *, wrapped: bool) -> None:
    """Whether Get may hand the material out, wrapped or in clear.

    In every state but the destroyed ones: a client must be able to read what it once wrote, and a vCenter gets a key
    before it activates it. Raises :class:`IllegalOperation` where only attributes are left (KMIP 1.4, 11.12),
    :class:`Sensitive`, :class:`NotExtractable`.
    """
    if managed.state in DESTROYED_STATES:
        raise IllegalOperation("the object has been destroyed: the server has only its attributes")
    if managed.value("Extractable") is False:
        raise NotExtractable("the object's Extractable attribute is False: it does not leave the server")
    if managed.value("Sensitive") is True and not wrapped:
        raise Sensitive("the object's Sensitive attribute is True: ask for it with a Key Wrapping Specification")


def check_usage(managed: ManagedObject, needed: CryptographicUsageMask, *, at: int | None = None) -> None:
    """Whether the key may be used in all the ways of ``needed``; with ``at``, at that time.

    Raises :class:`PermissionDenied`, :class:`WrongState` (which is one) where the state or a date forbids it.
    """
    held = CryptographicUsageMask(managed.value("Cryptographic Usage Mask") or 0)
    missing = needed & ~held
    if missing:
        raise PermissionDenied(f"the key's Cryptographic Usage Mask does not allow {_names(missing)}")
    protects = bool(needed & PROTECTING)
    if managed.state not in USABLE[protects]:
        raise WrongState(f"the key is {managed.state.title}: it cannot be used for {_names(needed)}")
    if at is not None:
        _check_dates(managed, protects=protects, at=at)


def _names(mask: CryptographicUsageMask) -> str:
    return ", ".join(each.name.replace("_", " ").title() for each in mask if each.name)


def _check_dates(managed: ManagedObject, *, protects: bool, at: int) -> None:
    start, stop = managed.value("Process Start Date"), managed.value("Protect Stop Date")
    if not protects and start is not None and at < start:
        raise WrongState("the key's Process Start Date has not been reached")
    if protects and stop is not None and stop <= at:
        raise WrongState("the key's Protect Stop Date has been reached: it only processes what was protected before")


def _left(limits: UsageLimits) -> int:
    return limits.usage_limits_total if limits.usage_limits_count is None else limits.usage_limits_count


def check_usage_limits(managed: ManagedObject, count: int) -> None:
    """Whether ``count`` units are left; a key without Usage Limits has no end. Raises :class:`PermissionDenied`."""
    limits: UsageLimits | None = managed.value("Usage Limits")
    if limits is not None and count > _left(limits):
        raise PermissionDenied("fewer units are left of the key's Usage Limits than were asked for")


def _without(managed: ManagedObject, limits: UsageLimits, count: int, at: int) -> ManagedObject:
    less = replace(limits, usage_limits_count=_left(limits) - count)
    return managed.changed(attributes=setting(managed.attributes, {"Usage Limits": less, "Last Change Date": at}))


def allocate(managed: ManagedObject, count: int, *, at: int) -> ManagedObject:
    """The key with ``count`` units given to the client: Get Usage Allocation (KMIP 1.4, 4.18).

    Raises :class:`IllegalOperation` for a key without Usage Limits or one that cannot protect now, and
    :class:`PermissionDenied` where too little is left (KMIP 1.4, 11.19).
    """
    managed = tick(managed, at)
    limits: UsageLimits | None = managed.value("Usage Limits")
    mask = CryptographicUsageMask(managed.value("Cryptographic Usage Mask") or 0)
    if limits is None:
        raise IllegalOperation("the object has no Usage Limits to allocate from")
    if managed.state is not State.ACTIVE or not mask & PROTECTING:
        raise IllegalOperation("the object is not able to be used for applying cryptographic protection now")
    if count < 0:
        raise PermissionDenied("a Usage Limits Count is not negative")
    _check_dates(managed, protects=True, at=at)
    check_usage_limits(managed, count)
    return _without(managed, limits, count, at)


def spend(managed: ManagedObject, *, octets: int, at: int) -> ManagedObject:
    """The key after the server has protected one object of ``octets`` bytes with it; an unlimited key stays the same.

    Raises :class:`PermissionDenied` where too little is left.
    """
    limits: UsageLimits | None = managed.value("Usage Limits")
    if limits is None:
        return managed
    count = octets if limits.usage_limits_unit == UsageLimitsUnit.BYTE else 1
    check_usage_limits(managed, count)
    return _without(managed, limits, count, at)


LEASABLE: Final = frozenset({State.PRE_ACTIVE, State.ACTIVE})
"""A lease says "use it that long without asking": not for what may no longer protect."""


def check_lease(managed: ManagedObject) -> None:
    """Whether a lease may be given; raises :class:`PermissionDenied` (KMIP 1.4, 11.18)."""
    if managed.object_type in STATELESS or managed.state not in LEASABLE:
        raise PermissionDenied(f"no lease is given for an object that is {managed.state.title}")


def check(
    managed: ManagedObject,
    *,
    usage_limits_count: int | None = None,
    cryptographic_usage_mask: CryptographicUsageMask | int | None = None,
    lease_time: int | None = None,
    at: int,
) -> None:
    """The operation Check: whether the client may use the object as it says (KMIP 1.4, 4.10).

    Raises :class:`IllegalOperation` for an object that is not used in cryptography, :class:`PermissionDenied` where an
    answer is no (KMIP 1.4, 11.11).
    """
    if managed.object_type in STATELESS:
        raise IllegalOperation(f"Check does not go with an object of the type {managed.object_type.title}")
    if cryptographic_usage_mask is not None:
        check_usage(managed, CryptographicUsageMask(cryptographic_usage_mask), at=at)
    if usage_limits_count is not None:
        check_usage_limits(managed, usage_limits_count)
    if lease_time is not None:
        check_lease(managed)
        if lease_time > (managed.value("Lease Time") or 0):
            raise PermissionDenied("the Lease Time is longer than a lease of this object is given for")
