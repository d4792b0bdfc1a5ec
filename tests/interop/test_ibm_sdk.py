"""IBM's own SDK drives what IBM's suite skips, and what it does not look at."""

import base64
import os
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from keyprotect.ibm_key_protect_api_v2 import (
    DeleteKey,
    GetInstancePolicyAllowedIPResourcesItem,
    GetKey,
    GetKeyMetadata,
    KeyAlias,
    ListKeyRingsWithTotalCount,
    ListKeys,
    ListKeyVersions,
    PurgeKey,
)
from tests.interop.ibm_client import Person, Place, a_place, collection, octets, text

from keyrack.embedded.iam.rights import Role
from keyrack.testing.key_houses import OTHER_INSTANCE, an_instance

DAY = 86_400


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One key manager for all tests; each makes keys of its own."""
    with a_place(tmp_path_factory.mktemp("ibm")) as made:
        yield made


@pytest.fixture
def manager(place: Place) -> Person:
    return place.manager


def test_a_deleted_key_is_purged_after_four_hours_by_whoever_has_that_role_alone(place: Place) -> None:
    """Manager does not include it."""
    manager, purger = place.manager, place.person(Role.KEY_PURGE)
    key = manager.create("to-be-purged")
    deleted = manager.call("delete_key", id=key, prefer="return=representation")
    assert (409, "REQ_TOO_EARLY_ERR") == purger.refused("purge_key", id=key)
    place.go_on(4 * 3600)
    manager.log_in()
    purger.log_in()
    assert (401, "UNAUTHORIZED_ERR") == manager.refused("purge_key", id=key)

    purged = purger.call("purge_key", id=key, prefer="return=representation")

    (told,) = DeleteKey.from_dict(deleted).to_dict()["resources"]
    assert (5, True, True, False) == (
        told["state"],
        told["deleted"],
        told["restoreAllowed"],
        told["purgeAllowed"],
    )
    (gone,) = PurgeKey.from_dict(purged).to_dict()["resources"]
    assert (key, True) == (gone["id"], gone["purgeAllowed"])
    assert (404, "KEY_NOT_FOUND_ERR") == manager.refused("get_key_metadata", id=key)


def test_two_service_ids_delete_a_key_under_dual_authorisation(place: Place) -> None:
    """The first one sets it for deletion, and it is the other one who deletes it."""
    first, second = place.manager, place.manager
    key = first.create("precious")
    first.set_key_policy(key, dualAuthDelete={"enabled": True})
    assert (409, "AUTHORIZATIONS_NOT_MET") == second.refused("delete_key", id=key)

    assert 204 == first.detailed("set_key_for_deletion", id=key).get_status_code()
    told = first.one("get_key_metadata", id=key)["dualAuthDelete"]
    assert (409, "AUTHORIZATIONS_NOT_MET") == first.refused("delete_key", id=key)
    assert 204 == second.detailed("delete_key", id=key).get_status_code()

    assert (True, True) == (told["enabled"], told["keySetForDeletion"])
    assert "authExpiration" in told
    assert (410, "KEY_DELETED_ERR") == second.refused("delete_key", id=key)


def test_an_authorisation_is_taken_back(place: Place, manager: Person) -> None:
    other = place.manager
    key = manager.create("wavering")
    manager.set_key_policy(key, dualAuthDelete={"enabled": True})
    manager.call("set_key_for_deletion", id=key)

    assert 204 == other.detailed("unset_key_for_deletion", id=key).get_status_code()

    assert {"enabled": True, "keySetForDeletion": False} == manager.one("get_key_metadata", id=key)["dualAuthDelete"]
    assert (409, "AUTHORIZATIONS_NOT_MET") == other.refused("delete_key", id=key)


def test_the_port_for_allowed_addresses_is_told_where_there_is_such_a_policy(place: Place) -> None:
    """And nothing without one."""
    an_instance(place.house, instance := str(uuid.uuid4()))
    manager = place.person(Role.MANAGER, instance=instance)
    assert "resources" not in manager.call("get_allowed_ip_port")
    manager.set_instance_policy("allowedIP", allowed_ip=["127.0.0.0/8"])

    assert {"private_endpoint_port": place.address.port} == manager.one("get_allowed_ip_port")
    told = GetInstancePolicyAllowedIPResourcesItem.from_dict(manager.one("get_instance_policy", policy="allowedIP"))
    assert ["127.0.0.0/8"] == told.policy_data.attributes.allowed_ip


def test_an_instance_that_shuts_out_our_address_answers_403(place: Place) -> None:
    an_instance(place.house, instance := str(uuid.uuid4()))
    manager = place.person(Role.MANAGER, instance=instance)
    manager.set_instance_policy("allowedIP", allowed_ip=["192.0.2.0/24"])

    assert (403, "FORBIDDEN_ERR") == manager.refused("get_keys")


def test_an_alias_stands_for_the_identifier_everywhere(manager: Person) -> None:
    """In every path that takes a key."""
    key = manager.create("aliased", aliases=["by-this-name"])
    told = KeyAlias.from_dict(manager.call("create_key_alias", id="by-this-name", alias="or-by-that")).to_dict()

    ciphertext = manager.wrap("or-by-that", b"0123456789abcdef", "vm-1")

    assert key == told["resources"][0]["keyId"]
    assert b"0123456789abcdef" == base64.b64decode(
        manager.act("unwrap", "by-this-name", ciphertext=ciphertext, aad=["vm-1"])["plaintext"]
    )
    for name in ("get_key", "get_key_metadata"):
        assert key == manager.one(name, id="by-this-name")["id"]
    assert ["by-this-name", "or-by-that"] == manager.one("get_key", id=key)["aliases"]
    manager.call("delete_key_alias", id=key, alias="or-by-that")
    assert (404, "KEY_NOT_FOUND_ERR") == manager.refused("get_key", id="or-by-that")
    assert 204 == manager.detailed("delete_key", id="by-this-name").get_status_code()


def test_a_key_ring_holds_what_is_made_in_it_and_lets_go_of_what_is_moved(place: Place, manager: Person) -> None:
    manager.call("create_key_ring", key_ring_id="team-a")
    key = manager.create("ringed", ring="team-a")
    assert (404, "KEY_NOT_FOUND_ERR") == manager.refused("get_key", id=key, x_kms_key_ring="default")
    assert (409, "KEY_RING_CONFLICT_ERR") == manager.refused("delete_key_ring", key_ring_id="team-a")
    listed = manager.call("list_key_rings", total_count=True)
    assert ["ringed"] == [each["name"] for each in manager.call("get_keys", x_kms_key_ring="team-a")["resources"]]

    moved = manager.one("patch_key", id=key, x_kms_key_ring="team-a", key_patch_body=octets({"keyRingID": "default"}))
    manager.call("delete_key_ring", key_ring_id="team-a")

    assert ("team-a", "default") == (listed["resources"][1]["id"], moved["keyRingID"])
    assert listed["metadata"]["totalCount"] == len(ListKeyRingsWithTotalCount.from_dict(listed).resources)
    assert (404, "KEY_RING_NOT_FOUND_ERR") == manager.refused("delete_key_ring", key_ring_id="team-a")


def test_keys_are_listed_by_pages_searched_filtered_and_sorted(place: Place) -> None:
    an_instance(place.house, instance := str(uuid.uuid4()))
    manager = place.person(Role.MANAGER, instance=instance)
    for number in range(5):
        manager.create(f"disk-{number}", extractable=number % 2 == 0)
        place.go_on(1)
    manager.create("other", aliases=["a-disk-too"])

    def names(**asked: Any) -> list[str]:
        return [each["name"] for each in manager.call("get_keys", **asked).get("resources", [])]

    assert ["disk-4", "disk-3", "disk-2"] == names(sort="-creationDate", search="name:disk", limit=3)
    assert ["disk-1", "disk-0"] == names(sort="-creationDate", search="name:disk", limit=3, offset=3)
    assert {"disk-0", "disk-2", "disk-4"} == set(names(extractable=True))
    assert {"disk-1", "disk-3", "other"} == set(names(filter="extractable=false"))
    assert ["other"] == names(search="not:name:disk")
    assert ["other"] == names(search="exact:alias:a-disk-too")
    assert [] == names(state=[5])
    found = ListKeys.from_dict(manager.call("get_keys", search="not:exact:disk-1"))
    assert ("disk-1", ["name", "alias"], True, True) == (
        found.metadata.search_query.query,
        found.metadata.search_query.scopes,
        found.metadata.search_query.not_,
        found.metadata.search_query.exact,
    )


def test_keys_are_counted_without_being_listed(place: Place) -> None:
    an_instance(place.house, instance := str(uuid.uuid4()))
    manager = place.person(Role.MANAGER, instance=instance)
    for extractable in (True, True, False):
        manager.create("counted", extractable=extractable)

    told = manager.detailed("get_key_collection_metadata", extractable=True)

    assert (200, "2", None) == (told.get_status_code(), told.get_headers()["Key-Total"], told.get_result())


def test_versions_are_listed_newest_first(place: Place, manager: Person) -> None:
    key = manager.create("rotated")
    before = manager.wrap(key, b"0123456789abcdef")
    place.go_on(1)
    manager.call("rotate_key", id=key)

    told = manager.call("get_key_versions", id=key, total_count=True, limit=1)

    listed = ListKeyVersions.from_dict(told)
    newest = manager.one("get_key_metadata", id=key)["keyVersion"]["id"]
    assert (newest, 1, 2) == (
        listed.resources[0].id,
        told["metadata"]["collectionTotal"],
        told["metadata"]["totalCount"],
    )
    unwrapped = manager.act("unwrap", key, ciphertext=before)
    assert newest == unwrapped["rewrappedKeyVersion"]["id"] != unwrapped["keyVersion"]["id"]
    again = manager.act("rewrap", key, ciphertext=before)
    for ciphertext in (unwrapped["ciphertext"], again["ciphertext"]):
        assert "ciphertext" not in manager.act("unwrap", key, ciphertext=ciphertext)


def test_prefer_says_how_much_of_a_key_is_answered(manager: Person) -> None:
    def created(prefer: str | None) -> dict[str, Any]:
        return manager.one("create_key", key_create_body=_one_key("preferring"), prefer=prefer)

    minimal, usual, whole = created("return=minimal"), created(None), created("return=representation")

    assert {"id", "type"} == set(minimal)
    assert {"id", "type", "name", "state", "extractable", "crn", "imported", "deleted"} == set(usual)
    assert {"lastUpdateDate", "keyVersion", "keyRingID", "dualAuthDelete"} <= set(whole)
    assert 204 == manager.detailed("delete_key", id=usual["id"], prefer="return=minimal").get_status_code()
    assert 200 == manager.detailed("delete_key", id=whole["id"], prefer="return=representation").get_status_code()


def test_the_payload_of_a_standard_key_comes_with_the_key_and_with_nothing_else(manager: Person) -> None:
    payload = os.urandom(2000)
    key = manager.create("kept", extractable=True, payload=text(payload))

    whole, without = manager.call("get_key", id=key), manager.call("get_key_metadata", id=key)

    (told,) = GetKey.from_dict(whole).resources
    assert payload == told.payload
    assert GetKeyMetadata.from_dict(without).resources[0].id == key
    assert "payload" not in without["resources"][0]
    assert all("payload" not in each for each in manager.call("get_keys")["resources"])


@pytest.mark.parametrize("algorithm", ["RSAES_OAEP_SHA_256", "RSAES_OAEP_SHA_1"])
def test_a_root_key_comes_in_encrypted_under_an_import_token(place: Place, algorithm: str) -> None:
    """Key Protect's variant, and that of Hyper Protect Crypto Services."""
    an_instance(place.house, instance := str(uuid.uuid4()))
    manager = place.person(Role.MANAGER, instance=instance)
    manager.call("post_import_token", expiration=600, max_allowed_retrievals=1)
    token = manager.call("get_import_token")
    material = os.urandom(32)

    key = manager.create("from-outside", **sealed(token, material, algorithm))

    assert manager.one("get_key_metadata", id=key)["imported"]
    again = manager.create("in-clear", payload=text(material))
    ciphertext = manager.wrap(key, b"0123456789abcdef")
    assert b"0123456789abcdef" == base64.b64decode(manager.act("unwrap", key, ciphertext=ciphertext)["plaintext"])
    assert (422, "UNPROCESSABLE_CIPHERTEXT_ERR") == manager.refused_action("unwrap", again, ciphertext=ciphertext)
    assert (409, "IMPORT_TOKEN_EXPIRED_ERR") == manager.refused("get_import_token")


def test_an_instance_knows_nothing_of_another(place: Place, manager: Person) -> None:
    """Neither does somebody with a right over one see the other, nor is a foreign key told from one that never was."""
    an_instance(place.house, OTHER_INSTANCE)
    neighbour = place.person(Role.MANAGER, instance=OTHER_INSTANCE)
    key = manager.create("mine", aliases=["mine-alone"])

    strangers = [(404, "KEY_NOT_FOUND_ERR")] * 3
    assert strangers == [neighbour.refused("get_key", id=name) for name in (key, "mine-alone", str(uuid.uuid4()))]
    assert (404, "KEY_NOT_FOUND_ERR") == neighbour.refused_action("wrap", key)
    assert key not in [each["id"] for each in neighbour.call("get_keys").get("resources", [])]
    trespasser = Person(place.address, neighbour.api_key, manager.instance)
    assert (401, "UNAUTHORIZED_ERR") == trespasser.refused("get_key", id=key)
    assert (401, "UNAUTHORIZED_ERR") == trespasser.refused("get_keys")


ACTS = ("list", "wrap", "read", "create", "set", "delete", "policy", "adapters", "purge")
MAY = {
    Role.READER: {"list", "wrap"},
    Role.READER_PLUS: {"list", "wrap", "read"},
    Role.WRITER: {"list", "wrap", "read", "create", "set"},
    Role.MANAGER: {"list", "wrap", "read", "create", "set", "delete", "policy", "adapters"},
    Role.KMIP_ADAPTER_MANAGER: {"list", "adapters"},
    Role.KEY_PURGE: {"purge"},
}


@pytest.mark.parametrize("role", MAY)
def test_a_role_may_over_the_wire_what_ibms_matrix_says_and_nothing_else(place: Place, role: Role) -> None:
    """A sample of each row; the whole matrix is tried where it is decided."""
    owner, somebody = place.manager, place.person(role)
    root, standard = owner.create("tried"), owner.create("tried", extractable=True)
    guarded, gone = owner.create("tried"), owner.create("tried")
    owner.set_key_policy(guarded, dualAuthDelete={"enabled": True})
    owner.call("delete_key", id=gone)
    acts = {
        "list": lambda: somebody.call("get_keys"),
        "wrap": lambda: somebody.act("wrap", root),
        "read": lambda: somebody.call("get_key", id=standard),
        "create": lambda: somebody.create("made"),
        "set": lambda: somebody.call("set_key_for_deletion", id=guarded),
        "policy": lambda: somebody.call("get_instance_policy"),
        "delete": lambda: somebody.call("delete_key", id=standard),
        "adapters": lambda: somebody.call("get_kmip_adapters"),
        "purge": lambda: somebody.call("purge_key", id=gone),
    }

    statuses = {act: _status(acts[act]) for act in ACTS}

    assert MAY[role] == {act for act, status in statuses.items() if status != 401}, statuses


def _status(act: Any) -> int:
    from ibm_cloud_sdk_core import ApiException

    try:
        act()
    except ApiException as error:
        return int(error.status_code)
    return 200


def _one_key(name: str, **key: Any) -> bytes:
    return collection({"name": name, "extractable": False, **key})


def sealed(token: dict[str, Any], material: bytes, algorithm: str, nonce: bytes | None = None) -> dict[str, Any]:
    """Key material encrypted as IBM's documents say, for the token's variant of the padding."""
    public = load_pem_public_key(base64.b64decode(token["payload"]))
    assert isinstance(public, RSAPublicKey)
    nonce = base64.b64decode(token["nonce"]) if nonce is None else nonce
    if algorithm == "RSAES_OAEP_SHA_256":
        padding, iv = OAEP(MGF1(SHA256()), SHA256(), None), os.urandom(12)
        proof = AESGCM(material).encrypt(iv, nonce, None)
    else:
        padding, iv = OAEP(MGF1(SHA1()), SHA1(), None), os.urandom(16)
        padder, cipher = PKCS7(128).padder(), Cipher(AES(material), CBC(iv)).encryptor()
        proof = cipher.update(padder.update(nonce) + padder.finalize()) + cipher.finalize()
    return {
        "payload": text(public.encrypt(material, padding)),
        "encryptedNonce": text(proof),
        "iv": text(iv),
        "encryptionAlgorithm": algorithm,
    }
