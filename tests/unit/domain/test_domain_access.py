"""Who may use an object when (KMIP 1.4, 3.19, 3.21, 3.22, 4.10, 4.11, 4.17, 4.18, 11.11, 11.12, 11.18, 11.19)."""

from collections.abc import Callable
from typing import Any

import pytest

from keyrack.domain import access
from keyrack.domain.errors import IllegalOperation, KmipError, NotExtractable, PermissionDenied, Sensitive, WrongState
from keyrack.domain.objects import ManagedObject
from keyrack.spec.enumerations import CryptographicUsageMask, ObjectType, ResultReason, State, UsageLimitsUnit
from keyrack.spec.structures import UsageLimits

Made = Callable[..., ManagedObject]

NOW = 5_000
ENCRYPT, DECRYPT = CryptographicUsageMask.ENCRYPT, CryptographicUsageMask.DECRYPT
LIMITS = UsageLimits(usage_limits_total=1_000, usage_limits_count=500, usage_limits_unit=UsageLimitsUnit.BYTE)
OBJECTS = UsageLimits(usage_limits_total=2, usage_limits_unit=UsageLimitsUnit.OBJECT)


def allowed(check: Callable[..., Any], *arguments: Any, **named: Any) -> bool:
    try:
        check(*arguments, **named)
    except KmipError:
        return False
    return True


@pytest.mark.parametrize("state", State)
def test_material_leaves_in_every_state_until_it_is_destroyed(made: Made, state: State) -> None:
    """What was encrypted must stay readable; a destroyed object has attributes only (KMIP 1.4, 3.22 and 11.12)."""
    living = state not in (State.DESTROYED, State.DESTROYED_COMPROMISED)

    assert living == allowed(access.check_release, made(state=state), wrapped=False)


def test_a_destroyed_object_is_refused_as_one_of_attributes_only(made: Made) -> None:
    """Illegal Operation (KMIP 1.4, 11.12)."""
    with pytest.raises(IllegalOperation):
        access.check_release(made(state=State.DESTROYED), wrapped=False)


def test_a_sensitive_key_leaves_wrapped_alone(made: Made) -> None:
    """In clear, the reason is Sensitive (KMIP 1.4, 3.48 and 11.12)."""
    key = made({"Sensitive": True})

    access.check_release(key, wrapped=True)
    with pytest.raises(Sensitive):
        access.check_release(key, wrapped=False)


@pytest.mark.parametrize("wrapped", [True, False])
def test_a_key_that_is_not_extractable_does_not_leave_at_all(made: Made, wrapped: bool) -> None:
    """Wrapped or not, the reason is Not Extractable (KMIP 1.4, 3.50 and 11.12)."""
    with pytest.raises(NotExtractable):
        access.check_release(made({"Extractable": False}), wrapped=wrapped)


def test_a_use_that_the_mask_does_not_name_is_refused_by_name(made: Made) -> None:
    """The refusal says which use is missing (KMIP 1.4, 3.19)."""
    with pytest.raises(PermissionDenied, match="does not allow Wrap Key"):
        access.check_usage(made(state=State.ACTIVE), ENCRYPT | CryptographicUsageMask.WRAP_KEY)


def test_without_a_mask_nothing_is_allowed(made: Made) -> None:
    """A Cryptographic Usage Mask of 0 allows no use (KMIP 1.4, 3.19)."""
    with pytest.raises(PermissionDenied):
        access.check_usage(made({"Cryptographic Usage Mask": 0}, state=State.ACTIVE), DECRYPT)


@pytest.mark.parametrize(
    ("state", "protects", "processes"),
    [
        (State.PRE_ACTIVE, False, False),
        (State.ACTIVE, True, True),
        (State.DEACTIVATED, False, True),
        (State.COMPROMISED, False, True),
        (State.DESTROYED, False, False),
        (State.DESTROYED_COMPROMISED, False, False),
    ],
)
def test_states_decide_what_a_key_is_good_for(made: Made, state: State, protects: bool, processes: bool) -> None:
    """Active keys protect; deactivated and compromised ones still process (KMIP 1.4, 3.22)."""
    key = made(state=state)

    assert (protects, processes) == (
        allowed(access.check_usage, key, ENCRYPT),
        allowed(access.check_usage, key, DECRYPT),
    )


@pytest.mark.parametrize(
    ("start", "stop", "protects", "processes"),
    [(None, None, True, True), (NOW, NOW + 1, True, True), (NOW + 1, None, True, False), (None, NOW, False, True)],
)
def test_dates_decide_what_a_key_is_good_for(
    made: Made, start: int | None, stop: int | None, protects: bool, processes: bool
) -> None:
    """Process Start Date and Protect Stop Date bound the two uses (KMIP 1.4, 3.25 and 3.26)."""
    dates = {"Process Start Date": start, "Protect Stop Date": stop}
    key = made({title: date for title, date in dates.items() if date}, state=State.ACTIVE)

    assert (protects, processes) == (
        allowed(access.check_usage, key, ENCRYPT, at=NOW),
        allowed(access.check_usage, key, DECRYPT, at=NOW),
    )


def test_an_allocation_lowers_the_count(made: Made) -> None:
    """Get Usage Allocation takes from the count, not from the total (KMIP 1.4, 4.18)."""
    key = access.allocate(made({"Usage Limits": LIMITS}, state=State.ACTIVE), 500, at=NOW)

    limits = key.value("Usage Limits")
    assert (1_000, 0, NOW, 2) == (
        limits.usage_limits_total,
        limits.usage_limits_count,
        key.value("Last Change Date"),
        key.version,
    )


@pytest.mark.parametrize(
    ("attributes", "state", "count", "expected"),
    [
        ({"Usage Limits": LIMITS}, State.ACTIVE, 501, ResultReason.PERMISSION_DENIED),
        ({"Usage Limits": LIMITS}, State.ACTIVE, -1, ResultReason.PERMISSION_DENIED),
        ({}, State.ACTIVE, 1, ResultReason.ILLEGAL_OPERATION),
        ({"Usage Limits": LIMITS}, State.DEACTIVATED, 1, ResultReason.ILLEGAL_OPERATION),
        (
            {"Usage Limits": LIMITS, "Cryptographic Usage Mask": int(DECRYPT)},
            State.ACTIVE,
            1,
            ResultReason.ILLEGAL_OPERATION,
        ),
        (
            {"Usage Limits": LIMITS, "Protect Stop Date": NOW},
            State.ACTIVE,
            1,
            ResultReason.PERMISSION_DENIED,
        ),
    ],
)
def test_an_allocation_that_cannot_be_is_refused_for_its_own_reason(
    made: Made, attributes: dict[str, Any], state: State, count: int, expected: ResultReason
) -> None:
    """Too much, without limits, or a key that does not protect: KMIP 1.4, 11.19."""
    with pytest.raises(KmipError) as caught:
        access.allocate(made(attributes, state=state), count, at=NOW)

    assert expected == caught.value.reason


@pytest.mark.parametrize(("limits", "left"), [(LIMITS, 468), (OBJECTS, 1)])
def test_the_servers_own_use_counts_in_the_unit_of_the_limits(made: Made, limits: UsageLimits, left: int) -> None:
    """One wrapped key of 32 bytes is 32 bytes, or one object (KMIP 1.4, 3.21)."""
    key = access.spend(made({"Usage Limits": limits}), octets=32, at=NOW)

    assert left == key.value("Usage Limits").usage_limits_count


def test_a_key_without_limits_is_not_used_up(made: Made) -> None:
    """Nothing to count, nothing changed."""
    key = made()

    assert key is access.spend(key, octets=32, at=NOW)


def test_a_used_up_key_protects_no_more(made: Made) -> None:
    """The third object of two is refused (KMIP 1.4, 3.21)."""
    key = made({"Usage Limits": OBJECTS})
    for _ in range(2):
        key = access.spend(key, octets=32, at=NOW)

    with pytest.raises(PermissionDenied):
        access.spend(key, octets=32, at=NOW)


@pytest.mark.parametrize("state", State)
def test_leases_are_for_keys_that_may_be_used_from_now_on(made: Made, state: State) -> None:
    """Permission Denied for what is over (KMIP 1.4, 11.18)."""
    assert (state in (State.PRE_ACTIVE, State.ACTIVE)) == allowed(access.check_lease, made(state=state))


def test_check_allows_what_the_key_can_do(made: Made) -> None:
    """All three questions answered with yes (KMIP 1.4, 4.10)."""
    key = made({"Usage Limits": LIMITS, "Lease Time": 3_600}, state=State.ACTIVE)

    access.check(key, usage_limits_count=500, cryptographic_usage_mask=12, lease_time=3_600, at=NOW)


@pytest.mark.parametrize(
    "question", [{"usage_limits_count": 501}, {"cryptographic_usage_mask": 16}, {"lease_time": 3_601}]
)
def test_check_refuses_what_the_key_cannot_do(made: Made, question: dict[str, int]) -> None:
    """Permission Denied (KMIP 1.4, 11.11)."""
    key = made({"Usage Limits": LIMITS, "Lease Time": 3_600}, state=State.ACTIVE)

    with pytest.raises(PermissionDenied):
        access.check(key, **question, at=NOW)


def test_check_is_not_for_opaque_objects(made: Made) -> None:
    """They are not used in cryptography: Illegal Operation (KMIP 1.4, 11.11)."""
    with pytest.raises(IllegalOperation):
        access.check(made(object_type=ObjectType.OPAQUE_OBJECT), usage_limits_count=1, at=NOW)


def test_a_compromised_key_gets_no_lease_by_way_of_check(made: Made) -> None:
    """Check promises nothing that Obtain Lease would refuse (KMIP 1.4, 4.10)."""
    with pytest.raises(PermissionDenied):
        access.check(made({"Lease Time": 3_600}, state=State.COMPROMISED), lease_time=1, at=NOW)


def test_a_wrong_state_is_a_permission_denied() -> None:
    """One reason on the wire for both (KMIP 1.4, 11.11)."""
    assert ResultReason.PERMISSION_DENIED == WrongState.reason
