"""Every code that Key Protect documents and that can be provoked, provoked with IBM's own SDK: status and code."""

import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from ibm_cloud_sdk_core import ApiException
from tests.interop.ibm_client import KEY, Person, Place, a_place, collection, octets, policies, refusal, text
from tests.interop.test_ibm_sdk import sealed

from keyrack.embedded.creation import put_standard_keys
from keyrack.embedded.iam.rights import Role
from keyrack.embedded.keys import Registration
from keyrack.embedded.search import MOST
from keyrack.testing.key_houses import a_call, an_instance

Provoke = Callable[[Place, Person], tuple[int, str]]
DAY = 86_400
DUAL = {"dualAuthDelete": {"enabled": True}}
TYPE = "application/vnd.ibm.kms.policy+json"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One key manager for all."""
    with a_place(tmp_path_factory.mktemp("ibm")) as made:
        yield made


@pytest.fixture
def manager(place: Place) -> Person:
    """A manager of an instance of its own."""
    an_instance(place.house, instance := str(uuid.uuid4()))
    return place.person(Role.MANAGER, instance=instance)


def _create(manager: Person, *resources: dict[str, Any], total: int | None = None) -> tuple[int, str]:
    return manager.refused("create_key", key_create_body=collection(*resources, total=total))


def _key(**told: Any) -> dict[str, Any]:
    return {"name": "refused", "extractable": False, "type": KEY, **told}


def _unknown_field(place: Place, manager: Person) -> tuple[int, str]:
    return _create(manager, _key(surprise=True))


def _two_keys(place: Place, manager: Person) -> tuple[int, str]:
    return _create(manager, _key(), _key())


def _no_body(place: Place, manager: Person) -> tuple[int, str]:
    return manager.refused("create_key", key_create_body=b"")


def _unwrap_without_a_body(place: Place, manager: Person) -> tuple[int, str]:
    key = manager.create()
    return manager.refused("unwrap_key", id=key, key_action_unwrap_body=b"null")


def _wrong_total(place: Place, manager: Person) -> tuple[int, str]:
    return _create(manager, _key(), total=2)


def _no_resources(place: Place, manager: Person) -> tuple[int, str]:
    return _create(manager)


def _policy_of_another_kind(place: Place, manager: Person) -> tuple[int, str]:
    body = policies({"type": TYPE, "rotation": {"enabled": True, "interval_month": 3}})
    return manager.refused("put_policy", id=manager.create(), key_policy_put_body=body, policy="dualAuthDelete")


def _short_name(place: Place, manager: Person) -> tuple[int, str]:
    return _create(manager, _key(name="x"))


def _no_base64(place: Place, manager: Person) -> tuple[int, str]:
    return manager.refused_action("wrap", manager.create(), plaintext="***")


def _thirteen_months(place: Place, manager: Person) -> tuple[int, str]:
    body = policies({"policy_type": "rotation", "policy_data": {"enabled": True, "attributes": {"interval_month": 13}}})
    return manager.refused("put_instance_policy", instance_policy_put_body=body, policy="rotation")


def _attributes_that_there_are_not(place: Place, manager: Person) -> tuple[int, str]:
    data = {"enabled": True, "attributes": {"interval_month": 3}}
    body = policies({"policy_type": "dualAuthDelete", "policy_data": data})
    return manager.refused("put_instance_policy", instance_policy_put_body=body)


def _too_many_keys_in_a_page(place: Place, manager: Person) -> tuple[int, str]:
    return manager.refused("get_keys", limit=5001)


def _state_twice(place: Place, manager: Person) -> tuple[int, str]:
    return manager.refused("get_keys", state=[1], filter="state=1")


def _payload_for_a_generated_key(place: Place, manager: Person) -> tuple[int, str]:
    return manager.refused_action("rotate", manager.create(), payload=text(os.urandom(32)))


def _wrap_with_a_standard_key(place: Place, manager: Person) -> tuple[int, str]:
    return manager.refused_action("wrap", manager.create(extractable=True))


def _disable_a_standard_key(place: Place, manager: Person) -> tuple[int, str]:
    return manager.refused("disable_key", id=manager.create(extractable=True))


def _rotate_a_standard_key_by_policy(place: Place, manager: Person) -> tuple[int, str]:
    rotation = {"rotation": {"enabled": True, "interval_month": 3}}
    body = collection(_key(extractable=True, **rotation))
    return manager.refused("create_key_with_policies_overrides", key_with_policy_overrides_create_body=body)


def _rotate_an_imported_key_without_material(place: Place, manager: Person) -> tuple[int, str]:
    return manager.refused("rotate_key", id=manager.create(payload=text(os.urandom(32))))


def _expired_before_it_is_made(place: Place, manager: Person) -> tuple[int, str]:
    return _create(manager, _key(expirationDate="2001-01-01T00:00:00Z"))


def _restored_after_a_month(place: Place, manager: Person) -> tuple[int, str]:
    key = manager.create()
    manager.call("delete_key", id=key)
    place.go_on(30 * DAY + 1)
    manager.log_in()
    return manager.refused("restore_key", id=key)


def _nonce_of_another(place: Place, manager: Person) -> tuple[int, str]:
    manager.call("post_import_token")
    token = manager.call("get_import_token")
    return _create(manager, _key(**sealed(token, os.urandom(32), "RSAES_OAEP_SHA_256", nonce=os.urandom(12))))


def _nonce_under_another_iv(place: Place, manager: Person) -> tuple[int, str]:
    manager.call("post_import_token")
    material = sealed(manager.call("get_import_token"), os.urandom(32), "RSAES_OAEP_SHA_256")
    return _create(manager, _key(**material | {"iv": text(os.urandom(12))}))


def _search_through_too_many(place: Place, manager: Person) -> tuple[int, str]:
    many = [(f"name-{number}", b"x") for number in range(MOST + 1)]
    put_standard_keys(place.house, a_call(instance=manager.instance), many)
    return manager.refused("get_keys", search="name")


def _no_instance(place: Place, manager: Person) -> tuple[int, str]:
    return refusal(lambda: manager.sdk.get_keys(bluemix_instance="no-uuid"))


def _reader_who_creates(place: Place, manager: Person) -> tuple[int, str]:
    return place.person(Role.READER, instance=manager.instance).refused(
        "create_key", key_create_body=collection(_key())
    )


def _shut_out(place: Place, manager: Person) -> tuple[int, str]:
    manager.set_instance_policy("allowedIP", allowed_ip=["192.0.2.1/32"])
    return manager.refused("get_keys")


def _nothing_of_this_name(place: Place, manager: Person) -> tuple[int, str]:
    return manager.refused("get_key", id=str(uuid.uuid4()))


def _wrap_with_a_disabled_key(place: Place, manager: Person) -> tuple[int, str]:
    key = manager.create()
    manager.call("disable_key", id=key)
    return manager.refused_action("wrap", key)


def _purge_what_was_not_deleted(place: Place, manager: Person) -> tuple[int, str]:
    return place.person(Role.KEY_PURGE, instance=manager.instance).refused("purge_key", id=manager.create())


def _registered(place: Place, manager: Person, *, keeping: bool) -> str:
    """A key that a service has registered a resource for; there is no call for it."""
    key = manager.create()
    with place.house.database.change() as unit:
        registration = Registration(
            resource="crn:v1:bluemix:public:cloud-object-storage:global:a/1:2:bucket:3",
            prevent_key_deletion=keeping,
            created_at=place.house.now,
            created_by="iam-ServiceId-cos",
        )
        unit.put_key(replace(unit.key(manager.instance, key), registrations=(registration,)))
    return key


def _delete_what_protects_a_resource(place: Place, manager: Person) -> tuple[int, str]:
    return manager.refused("delete_key", id=_registered(place, manager, keeping=False))


def _delete_what_a_resource_forbids(place: Place, manager: Person) -> tuple[int, str]:
    return manager.refused("delete_key", id=_registered(place, manager, keeping=True), force=True)


def _delete_alone(place: Place, manager: Person) -> tuple[int, str]:
    key = manager.create()
    manager.set_key_policy(key, **DUAL)
    return manager.refused("delete_key", id=key)


def _set_for_deletion_for_nothing(place: Place, manager: Person) -> tuple[int, str]:
    return manager.refused("set_key_for_deletion", id=manager.create())


def _import_where_it_is_forbidden(place: Place, manager: Person) -> tuple[int, str]:
    manager.set_instance_policy("keyCreateImportAccess", import_root_key=False)
    return _create(manager, _key(payload=text(os.urandom(32))))


def _token_that_is_over(place: Place, manager: Person) -> tuple[int, str]:
    manager.call("post_import_token", expiration=300)
    place.go_on(301)
    return manager.refused("get_import_token")


def _enable_at_once(place: Place, manager: Person) -> tuple[int, str]:
    key = manager.create()
    manager.call("disable_key", id=key)
    return manager.refused("enable_key", id=key)


def _restore_at_once(place: Place, manager: Person) -> tuple[int, str]:
    key = manager.create()
    manager.call("delete_key", id=key)
    return manager.refused("restore_key", id=key)


def _rotate_twice(place: Place, manager: Person) -> tuple[int, str]:
    key = manager.create()
    manager.call("rotate_key", id=key)
    return manager.refused("rotate_key", id=key)


def _alias_of_another(place: Place, manager: Person) -> tuple[int, str]:
    manager.create(aliases=["taken"])
    return manager.refused("create_key_alias", id=manager.create(), alias="taken")


def _sixth_alias(place: Place, manager: Person) -> tuple[int, str]:
    key = manager.create(aliases=[f"alias-{number}" for number in range(5)])
    return manager.refused("create_key_alias", id=key, alias="one-too-many")


def _wrap_with_a_deleted_key(place: Place, manager: Person) -> tuple[int, str]:
    key = manager.create()
    manager.call("delete_key", id=key)
    return manager.refused_action("wrap", key)


def _delete_twice(place: Place, manager: Person) -> tuple[int, str]:
    key = manager.create()
    manager.call("delete_key", id=key)
    return manager.refused("delete_key", id=key)


def _too_long_a_body(place: Place, manager: Person) -> tuple[int, str]:
    return manager.refused("create_key", key_create_body=octets({"metadata": "x" * 70_000}))


def _ciphertext_of_another_key(place: Place, manager: Person) -> tuple[int, str]:
    ciphertext = manager.wrap(manager.create(), b"0123456789abcdef")
    return manager.refused_action("unwrap", manager.create(), ciphertext=ciphertext)


def _other_strings(place: Place, manager: Person) -> tuple[int, str]:
    key = manager.create()
    ciphertext = manager.wrap(key, b"0123456789abcdef", "vm-1")
    return manager.refused_action("unwrap", key, ciphertext=ciphertext, aad=["vm-2"])


REFUSALS: Mapping[Provoke, tuple[int, str]] = {
    _unknown_field: (400, "BAD_BODY_ERR"),
    _two_keys: (400, "BAD_BODY_ERR"),
    _attributes_that_there_are_not: (400, "BAD_BODY_ERR"),
    _no_body: (400, "NO_BODY_ERR"),
    _unwrap_without_a_body: (400, "NO_BODY_ERR"),
    _wrong_total: (400, "COLLECTION_TOTAL_MISMATCH_ERR"),
    _no_resources: (400, "NUM_COLLECTION_RESOURCE_ERR"),
    _policy_of_another_kind: (400, "BODY_QUERY_PARAM_MISMATCH_ERR"),
    _short_name: (400, "INVALID_FIELD_ERR"),
    _no_base64: (400, "INVALID_FIELD_ERR"),
    _thirteen_months: (400, "INVALID_FIELD_ERR"),
    _too_many_keys_in_a_page: (400, "INVALID_QUERY_PARAM_ERR"),
    _state_twice: (400, "INVALID_QUERY_PARAM_ERR"),
    _payload_for_a_generated_key: (400, "INVALID_QUERY_PARAM_ERR"),
    _wrap_with_a_standard_key: (400, "KEY_ROOT_REQ_ERR"),
    _disable_a_standard_key: (400, "KEY_ROOT_REQ_ERR"),
    _rotate_a_standard_key_by_policy: (400, "KEY_ROOT_REQ_ERR"),
    _rotate_an_imported_key_without_material: (400, "KEY_PAYLOAD_REQ_ERR"),
    _expired_before_it_is_made: (400, "KEY_EXPIRED_ERR"),
    _restored_after_a_month: (400, "KEY_RESTORE_EXPIRED"),
    _nonce_of_another: (400, "INCORRECT_NONCE_ERR"),
    _nonce_under_another_iv: (400, "INCORRECT_NONCE_IV_ERR"),
    _search_through_too_many: (400, "KEY_SEARCH_TOO_BROAD"),
    _no_instance: (400, "INVALID_INSTANCE_ERR"),
    _reader_who_creates: (401, "UNAUTHORIZED_ERR"),
    _shut_out: (403, "FORBIDDEN_ERR"),
    _nothing_of_this_name: (404, "KEY_NOT_FOUND_ERR"),
    _wrap_with_a_disabled_key: (409, "KEY_ACTION_INVALID_STATE_ERR"),
    _purge_what_was_not_deleted: (409, "KEY_ACTION_INVALID_STATE_ERR"),
    _delete_what_protects_a_resource: (409, "PROTECTED_RESOURCE_ERR"),
    _delete_what_a_resource_forbids: (409, "PREV_KEY_DEL_ERR"),
    _delete_alone: (409, "AUTHORIZATIONS_NOT_MET"),
    _set_for_deletion_for_nothing: (409, "NOT_DUAL_AUTH_ERR"),
    _import_where_it_is_forbidden: (409, "KEY_CREATE_IMPORT_ACCESS_ERR"),
    _token_that_is_over: (409, "IMPORT_TOKEN_EXPIRED_ERR"),
    _enable_at_once: (409, "REQ_TOO_EARLY_ERR"),
    _restore_at_once: (409, "REQ_TOO_EARLY_ERR"),
    _rotate_twice: (409, "KEY_ROTATION_NOT_PERMITTED"),
    _alias_of_another: (409, "KEY_ALIAS_NOT_UNIQUE_ERR"),
    _sixth_alias: (409, "KEY_ALIAS_QUOTA_ERR"),
    _wrap_with_a_deleted_key: (410, "KEY_DELETED_ERR"),
    _delete_twice: (410, "KEY_DELETED_ERR"),
    _too_long_a_body: (413, "BODY_TOO_LONG_ERR"),
    _ciphertext_of_another_key: (422, "UNPROCESSABLE_CIPHERTEXT_ERR"),
    _other_strings: (422, "UNPROCESSABLE_CIPHERTEXT_ERR"),
}


@pytest.mark.parametrize("provoke", REFUSALS, ids=lambda provoke: provoke.__name__.strip("_"))
def test_a_refusal_has_ibms_status_and_code(place: Place, manager: Person, provoke: Provoke) -> None:
    assert REFUSALS[provoke] == provoke(place, manager)


def test_the_envelope_of_a_refusal_is_ibms(manager: Person) -> None:
    """As their documents show it."""
    with pytest.raises(ApiException) as caught:
        manager.act("rotate", manager.create(payload=text(os.urandom(32))))
    answer = caught.value.http_response

    assert {"collectionType": "application/vnd.ibm.kms.error+json", "collectionTotal": 1} == answer.json()["metadata"]
    (told,) = answer.json()["resources"]
    assert (
        "Bad Request: Key could not be rotated: Please see `reasons` for more details (KEY_PAYLOAD_REQ_ERR)"
        == told["errorMsg"]
    )
    (reason,) = told["reasons"]
    assert ("KEY_PAYLOAD_REQ_ERR", 400, {"type": "field", "name": "payload"}) == (
        reason["code"],
        reason["status"],
        reason["target"],
    )
    assert answer.headers["correlation-id"]
