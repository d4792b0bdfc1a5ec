"""What IBM's clients are used to be forgiven: each leniency on its own, over a real connection."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from keyrack.embedded.house import House
from keyrack.embedded.iam.rights import Role
from keyrack.testing.key_houses import INSTANCE, a_house
from keyrack.testing.key_protect import Address, Told, User, key_protect, new_user

KEY = "application/vnd.ibm.kms.key+json"
PLAINTEXT = base64.b64encode(b"0123456789abcdef").decode()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    made = a_house(tmp_path_factory.mktemp("keyrack"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def address(house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    with key_protect(house, tmp_path_factory.mktemp("api")) as served:
        yield served


@pytest.fixture(scope="module")
def manager(address: Address, house: House) -> User:
    return new_user(address, house, Role.MANAGER)


def new_key(**told: Any) -> dict[str, Any]:
    key = {"name": "lenient", "extractable": False, **told}
    return {"metadata": {"collectionType": KEY, "collectionTotal": 1}, "resources": [key]}


@pytest.fixture
def key(manager: User) -> str:
    """A root key."""
    return str(manager.ask("POST", "/keys", new_key()).resource["id"])


@pytest.mark.parametrize(
    "media",
    [None, "", "application/json", KEY, "application/octet-stream", "text/plain; charset=latin-1", "nonsense"],
)
def test_any_media_type_will_do(manager: User, media: str | None) -> None:
    """IBM's client in Go sends none at all."""
    headers = {} if media is None else {"Content_Type": media}

    assert 201 == manager.ask("POST", "/keys", new_key(), **headers).status


@pytest.mark.parametrize("body", [b"", b"null", b" null\n", b"{}"])
@pytest.mark.parametrize("action", ["wrap", "rotate"])
def test_an_action_that_needs_no_body_takes_nothing_in_any_form(
    manager: User, key: str, action: str, body: bytes
) -> None:
    assert manager.ask("POST", f"/keys/{key}/actions/{action}", body).status in (200, 204)


@pytest.mark.parametrize("body", [b"", b"null", b"{}", b"anything at all"])
def test_an_action_without_a_body_looks_at_none(manager: User, key: str, body: bytes) -> None:
    assert 204 == manager.ask("POST", f"/keys/{key}/actions/disable", body).status


@pytest.mark.parametrize("verb", ["wrap", "rotate", "disable", "sync"])
def test_the_deprecated_form_does_the_same(manager: User, key: str, verb: str) -> None:
    told = manager.ask("POST", f"/keys/{key}?action={verb}", b"null")

    assert told.status == (200 if verb == "wrap" else 204)
    if verb == "wrap":
        assert "application/vnd.ibm.kms.key_action+json" == told.headers["content-type"]


def test_the_deprecated_form_of_all_that_answers_something(manager: User, key: str, house: House) -> None:
    wrapped = manager.ask("POST", f"/keys/{key}?action=wrap", {"plaintext": PLAINTEXT}).json
    opened = manager.ask("POST", f"/keys/{key}?action=unwrap", {"ciphertext": wrapped["ciphertext"]}).json
    again = manager.ask("POST", f"/keys/{key}?action=rewrap", {"ciphertext": wrapped["ciphertext"]}).json
    manager.ask("DELETE", f"/keys/{key}")
    house.clock.go_on(31)  # type: ignore[attr-defined]  # the clock of a test
    restored = manager.ask("POST", f"/keys/{key}?action=restore")

    assert "plaintext" not in wrapped
    assert PLAINTEXT == opened["plaintext"]
    assert {"ciphertext", "keyVersion", "rewrappedKeyVersion"} == set(again)
    assert (201, key) == (restored.status, restored.resource["id"])


def test_an_action_that_there_is_not_is_a_wrong_parameter(manager: User, key: str) -> None:
    missing, wrong = manager.ask("POST", f"/keys/{key}"), manager.ask("POST", f"/keys/{key}?action=explode")

    assert [(400, "INVALID_QUERY_PARAM_ERR")] * 2 == [(told.status, told.code) for told in (missing, wrong)]


def test_a_chunked_body_is_a_body(manager: User) -> None:
    connection = manager.address.connect()
    pieces = (piece.encode() for piece in json.dumps(new_key()))
    headers = {"Authorization": f"Bearer {manager.token}", "Bluemix-Instance": INSTANCE}
    try:
        connection.request("POST", "/api/v2/keys", pieces, headers, encode_chunked=True)
        assert 201 == connection.getresponse().status
    finally:
        connection.close()


def test_names_in_any_case_and_empty_strings(manager: User) -> None:
    """As IBM's client in Go writes them."""
    key = {"Name": "go", "Extractable": False, "Description": ""}
    body = {"Metadata": {"CollectionType": KEY, "CollectionTotal": 1}, "Resources": [key]}
    told = manager.ask("POST", "/keys", body)
    manager.ask("POST", "/key_rings/go-ring", b"null")

    moved = manager.ask("PATCH", f"/keys/{told.resource['id']}", {"KeyRingID": "go-ring"})

    assert (201, 200, "go-ring") == (told.status, moved.status, moved.resource["keyRingID"])


def test_an_instance_may_be_written_in_capitals(address: Address, manager: User) -> None:
    headers = {"Authorization": f"bEARER {manager.token}", "BLUEMIX-INSTANCE": INSTANCE.upper()}

    assert 200 == address.ask("GET", "/api/v2/keys", headers=headers).status


@pytest.mark.parametrize(
    "instance", [None, "", "x", "0b7d1c7e6a534f6b9f0e2f1d3a5c7e91", f"{{{INSTANCE}}}", INSTANCE[:-1]]
)
def test_what_is_no_instance_gets_ibms_words(address: Address, manager: User, instance: str | None) -> None:
    headers = {"Authorization": f"Bearer {manager.token}"} | (
        {} if instance is None else {"Bluemix-Instance": instance}
    )
    told = address.ask("GET", "/api/v2/keys", headers=headers)

    assert 400 == told.status
    assert "valid Bluemix-Instance Header containing a valid UUID" in told.resource["reasons"][0]["message"]


@pytest.mark.parametrize("ring", ["two words", "a" * 101, "../default"])
def test_what_is_no_key_ring_is_refused(manager: User, ring: str) -> None:
    told = manager.ask("GET", "/keys", X_Kms_Key_Ring=ring)

    assert (400, {"type": "header", "name": "X-Kms-Key-Ring"}) == (told.status, told.resource["reasons"][0]["target"])


@pytest.mark.parametrize(
    "written", ["return=minimal", 'return="minimal"', " Return = Minimal ; x=1", "wait=1, return=minimal"]
)
def test_a_preference_may_be_written_in_any_way(manager: User, written: str) -> None:
    assert {"id", "type"} == set(manager.ask("POST", "/keys", new_key(), Prefer=written).resource)


@pytest.mark.parametrize(
    ("query", "name"),
    [("limit=0", "limit"), ("limit=x", "limit"), ("offset=-1", "offset"), ("totalCount=maybe", "totalCount")],
)
def test_a_wrong_query_parameter_is_named(manager: User, query: str, name: str) -> None:
    """And FastAPI's own form of saying so is never seen."""
    told = manager.ask("GET", f"/key_rings?{query}")

    assert (400, "INVALID_QUERY_PARAM_ERR") == (told.status, told.code)
    assert {"type": "query_param", "name": name} == told.resource["reasons"][0]["target"]
    assert "detail" not in told.json


def test_each_call_answers_the_media_type_that_ibms_own_tests_expect(manager: User, key: str) -> None:
    """Their SDK hands out a bare answer for IBM's own types, and their tests call ``.json()`` on it."""

    def media(told: Told) -> str:
        return told.headers["content-type"]

    wrapped = manager.ask("POST", f"/keys/{key}/actions/wrap", {"plaintext": PLAINTEXT})
    ciphertext = {"ciphertext": wrapped.json["ciphertext"]}
    overridden = manager.ask("POST", "/keys_with_policy_overrides", new_key())

    assert "application/vnd.ibm.kms.key_action_wrap+json" == media(wrapped)
    for action in ("unwrap", "rewrap"):
        told = manager.ask("POST", f"/keys/{key}/actions/{action}", ciphertext)
        assert f"application/vnd.ibm.kms.key_action_{action}+json" == media(told)
    assert KEY == media(overridden) == media(manager.ask("POST", "/keys", new_key()))
    for path in ("/keys", f"/keys/{key}", f"/keys/{key}/versions", "/key_rings", "/instance/policies"):
        assert "application/json" == media(manager.ask("GET", path))
