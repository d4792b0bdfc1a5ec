"""Policies of keys and of instances: who sets them, what they may say, and that they are kept."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from keyrack.embedded.creation import NewKey, create
from keyrack.embedded.house import House
from keyrack.embedded.iam.rights import Role
from keyrack.embedded.instances import PolicyType
from keyrack.embedded.keys import RotationPolicy
from keyrack.embedded.policies import (
    instance_policies,
    key_policies,
    set_instance_policies,
    set_key_policies,
)
from keyrack.testing.key_houses import OTHER_INSTANCE, a_call, a_caller, a_house, an_instance, go_on, revision
from keyrack.testing.some_keys import a_root_key, a_standard_key, journal_of, kept, refusal

INVALID = (400, "INVALID_FIELD_ERR")
BAD_BODY = (400, "BAD_BODY_ERR")
UNAUTHORISED = (401, "UNAUTHORIZED_ERR")
EVERYTHING: Mapping[PolicyType, Mapping[str, Any]] = {
    PolicyType.ALLOWED_NETWORK: {"allowed_network": "private-only"},
    PolicyType.DUAL_AUTH_DELETE: {},
    PolicyType.ALLOWED_IP: {"allowed_ip": ["192.0.2.0/24", "2001:db8::/32", "198.51.100.7/32"]},
    PolicyType.KEY_CREATE_IMPORT_ACCESS: {
        "create_root_key": True,
        "create_standard_key": True,
        "import_root_key": False,
        "import_standard_key": True,
        "enforce_token": True,
    },
    PolicyType.METRICS: {},
    PolicyType.ROTATION: {"interval_month": 12},
}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = a_house(tmp_path)
    yield house
    house.close()


# --- of a key


def test_a_key_gets_both_policies_at_once_or_one_after_the_other(house: House) -> None:
    """With who and when; setting one again keeps its identifier and its maker."""
    key = a_root_key(house)
    manager = a_caller(house, Role.MANAGER)
    both = set_key_policies(
        house, a_call(), key.identifier, dual_auth_delete=True, rotation=RotationPolicy(enabled=True, months=3)
    )
    first = both.rotation_record
    assert first is not None
    at = house.now
    go_on(house, 10)
    after = set_key_policies(house, a_call(manager), key.identifier, rotation=RotationPolicy(enabled=False, months=6))

    assert (RotationPolicy(enabled=False, months=6), True) == (after.rotation, after.dual_auth_delete)
    assert both.dual_auth_record == after.dual_auth_record
    record = after.rotation_record
    assert record is not None
    assert (first.identifier, at, "local-user-test") == (record.identifier, record.created_at, record.created_by)
    assert (at + 10, manager.identity) == (record.updated_at, record.updated_by)
    assert after == key_policies(house, a_call(manager), key.identifier)
    assert ["dualAuthDelete,rotation", "rotation"] == [each["detail"]["policies"] for each in journal_of(house)]


def test_dual_authorisation_stays_on(house: House) -> None:
    """Switched off where it never was on, it is simply off."""
    key = a_standard_key(house)
    off = set_key_policies(house, a_call(), key.identifier, dual_auth_delete=False)
    assert (False, True) == (off.dual_auth_delete, off.dual_auth_record is not None)
    set_key_policies(house, a_call(), key.identifier, dual_auth_delete=True)
    set_key_policies(house, a_call(), key.identifier, dual_auth_delete=True)
    assert (409, "CONFLICT_ERR") == refusal(set_key_policies, house, a_call(), key.identifier, dual_auth_delete=False)
    assert kept(house, key).dual_auth_delete


@pytest.mark.parametrize("enabled", [False, True])
def test_only_a_generated_root_key_rotates_by_policy(house: House, enabled: bool) -> None:
    """And what comes with a policy that is refused is not set either."""
    rotation = RotationPolicy(enabled=enabled)
    standard, imported = a_standard_key(house), a_root_key(house, imported=True)
    for key, refused in ((standard, (400, "KEY_ROOT_REQ_ERR")), (imported, INVALID)):
        assert refused == refusal(
            set_key_policies, house, a_call(), key.identifier, dual_auth_delete=True, rotation=rotation
        )
        assert key == kept(house, key)


@pytest.mark.parametrize("months", [-1, 0, 13, 10**9])
def test_a_rotation_has_1_to_12_months(house: House, months: int) -> None:
    """Both ends included."""
    key = a_root_key(house)
    for good in (1, 12):
        set_key_policies(house, a_call(), key.identifier, rotation=RotationPolicy(enabled=True, months=good))
    wrong = RotationPolicy(enabled=True, months=months)
    assert INVALID == refusal(set_key_policies, house, a_call(), key.identifier, rotation=wrong)


def test_a_request_without_a_policy_is_refused(house: House) -> None:
    """It would look like one that has done something."""
    assert BAD_BODY == refusal(set_key_policies, house, a_call(), a_root_key(house).identifier)
    assert BAD_BODY == refusal(set_instance_policies, house, a_call(), {})


@pytest.mark.parametrize("role", Role)
def test_policies_are_for_managers_alone(house: House, role: Role) -> None:
    """Even to read them."""
    key, call = a_root_key(house), a_call(a_caller(house, role))
    metrics: dict[PolicyType, tuple[bool, dict[str, Any]]] = {PolicyType.METRICS: (True, {})}
    if role is Role.MANAGER:
        set_key_policies(house, call, key.identifier, dual_auth_delete=True)
        assert key_policies(house, call, key.identifier).dual_auth_delete
        set_instance_policies(house, call, metrics)
        assert {PolicyType.METRICS} == set(instance_policies(house, call))
    else:
        assert UNAUTHORISED == refusal(set_key_policies, house, call, key.identifier, dual_auth_delete=True)
        assert UNAUTHORISED == refusal(key_policies, house, call, key.identifier)
        assert UNAUTHORISED == refusal(set_instance_policies, house, call, metrics)
        assert UNAUTHORISED == refusal(instance_policies, house, call)


def test_a_manager_of_a_ring_has_no_say_over_the_instance(house: House) -> None:
    """Over the policies of its keys he has."""
    an_instance(house, rings=("first",))
    call = a_call(a_caller(house, Role.MANAGER, ring="first"))
    set_key_policies(house, call, a_root_key(house, ring="first").identifier, dual_auth_delete=True)
    assert UNAUTHORISED == refusal(set_instance_policies, house, call, {PolicyType.METRICS: (True, {})})
    assert UNAUTHORISED == refusal(instance_policies, house, call)


# --- of an instance


def test_all_instance_policies_are_set_in_one_body(house: House) -> None:
    """And read back, all or one; who set them first, and who last, is kept."""
    an_instance(house, OTHER_INSTANCE)
    assert {} == instance_policies(house, a_call())
    set_instance_policies(house, a_call(), {kind: (True, attributes) for kind, attributes in EVERYTHING.items()})
    at = house.now
    go_on(house, 10)
    manager = a_caller(house, Role.MANAGER)
    set_instance_policies(house, a_call(manager), {PolicyType.METRICS: (False, {})})

    found = instance_policies(house, a_call())
    assert EVERYTHING == {kind: policy.attributes for kind, policy in found.items()}
    metrics = instance_policies(house, a_call(), PolicyType.METRICS)
    assert {PolicyType.METRICS: found[PolicyType.METRICS]} == metrics
    policy = metrics[PolicyType.METRICS]
    assert (False, at, "local-user-test") == (policy.enabled, policy.created_at, policy.created_by)
    assert (at + 10, manager.identity) == (policy.updated_at, policy.updated_by)
    assert {} == instance_policies(house, a_call(instance=OTHER_INSTANCE))
    assert "metrics" == journal_of(house)[-1]["detail"]["policies"]


def test_what_is_left_out_of_key_create_import_access_has_its_default(house: House) -> None:
    """Everything may be made and imported, without a token."""
    kind = PolicyType.KEY_CREATE_IMPORT_ACCESS
    set_instance_policies(house, a_call(), {kind: (True, {"create_root_key": False})})
    attributes = instance_policies(house, a_call())[kind].attributes
    assert {"create_root_key", "enforce_token"} == {name for name, value in attributes.items() if not value}
    assert set(EVERYTHING[kind]) == set(attributes)


@pytest.mark.parametrize("kind", PolicyType)
def test_attributes_belong_to_a_policy_that_is_enabled(house: House, kind: PolicyType) -> None:
    """Switched off, it forgets them; given with one that is off, not at all, or to the wrong type, they are refused."""
    attributes = EVERYTHING[kind]
    set_instance_policies(house, a_call(), {kind: (True, attributes)})
    if attributes:
        assert BAD_BODY == refusal(set_instance_policies, house, a_call(), {kind: (False, attributes)})
        assert BAD_BODY == refusal(set_instance_policies, house, a_call(), {kind: (True, {})})
    for enabled in (True, False):
        wrong = {kind: (enabled, {**attributes, "extra_field": 1})}
        assert BAD_BODY == refusal(set_instance_policies, house, a_call(), wrong)
    set_instance_policies(house, a_call(), {kind: (False, {})})
    policy = instance_policies(house, a_call())[kind]
    assert (False, {}) == (policy.enabled, policy.attributes)


@pytest.mark.parametrize(
    ("kind", "attributes", "refused"),
    [
        (PolicyType.ALLOWED_NETWORK, {"allowed_network": "public-only"}, INVALID),
        (PolicyType.ALLOWED_NETWORK, {"allowed_network": ""}, INVALID),
        (PolicyType.ALLOWED_NETWORK, {"allowed_network": True}, BAD_BODY),
        (PolicyType.ALLOWED_NETWORK, {"allowed_network": None}, BAD_BODY),
        (PolicyType.ALLOWED_IP, {"allowed_ip": []}, INVALID),
        (PolicyType.ALLOWED_IP, {"allowed_ip": [f"192.0.{n // 256}.{n % 256}/32" for n in range(501)]}, INVALID),
        (PolicyType.ALLOWED_IP, {"allowed_ip": "192.0.2.0/24"}, BAD_BODY),
        (PolicyType.ALLOWED_IP, {"allowed_ip": ["192.0.2.0/24", 7]}, BAD_BODY),
        *(
            (PolicyType.ALLOWED_IP, {"allowed_ip": ["192.0.2.0/24", subnet]}, INVALID)
            for subnet in (
                "",
                "192.0.2.1",
                "192.0.2.0/33",
                "192.0.2.0/-1",
                "192.0.2.0/255.255.255.0",
                "192.0.2.0/0.0.0.255",
                "192.0.2/24",
                "192.0.2.256/24",
                "2001:db8::/129",
                "fe80::1%eth0/64",
                "2001:db8::",
                " 192.0.2.0/24",
                "192.0.2.0/24\n",
                "192.0.2.0/٢٤",
                "example.com/24",
            )
        ),
        (PolicyType.KEY_CREATE_IMPORT_ACCESS, {"enforce_token": 1}, BAD_BODY),
        (PolicyType.KEY_CREATE_IMPORT_ACCESS, {"enforce_token": "true"}, BAD_BODY),
        (PolicyType.KEY_CREATE_IMPORT_ACCESS, {"create_root_key": None}, BAD_BODY),
        (PolicyType.ROTATION, {"interval_month": 0}, INVALID),
        (PolicyType.ROTATION, {"interval_month": 13}, INVALID),
        (PolicyType.ROTATION, {"interval_month": True}, BAD_BODY),
        (PolicyType.ROTATION, {"interval_month": 1.0}, BAD_BODY),
        (PolicyType.ROTATION, {"interval_month": "1"}, BAD_BODY),
    ],
)
def test_a_wrong_value_is_told_from_a_wrong_type(
    house: House, kind: PolicyType, attributes: dict[str, Any], refused: tuple[int, str]
) -> None:
    """And where one policy of a body is wrong, none of it is set."""
    wanted = {PolicyType.METRICS: (True, {}), kind: (True, attributes)}
    assert refused == refusal(set_instance_policies, house, a_call(), wanted)
    assert {} == instance_policies(house, a_call())


def test_policies_of_an_instance_count_for_keys_made_later(house: House) -> None:
    """The keys that are there stay as they are."""
    before = create(house, a_call(), NewKey(name="before", extractable=False))
    wanted = {PolicyType.ROTATION: (True, {"interval_month": 2}), PolicyType.DUAL_AUTH_DELETE: (True, {})}
    set_instance_policies(house, a_call(), wanted)
    after = create(house, a_call(), NewKey(name="after", extractable=False))
    assert (None, False) == (kept(house, before).rotation, kept(house, before).dual_auth_delete)
    assert (RotationPolicy(enabled=True, months=2), True) == (after.rotation, after.dual_auth_delete)


def test_reading_policies_writes_nothing(house: House) -> None:
    """However often."""
    key = a_root_key(house)
    before = revision(house)
    key_policies(house, a_call(), key.identifier)
    instance_policies(house, a_call())
    assert before == revision(house)
