"""Bodies of requests: lenient where IBM is, exact in everything else, and never repeating what came in."""

import base64
from typing import Any

import pytest

from keyrack.embedded.errors import (
    BadBody,
    BodyQueryParamMismatch,
    CollectionTotalMismatch,
    InvalidField,
    NumCollectionResource,
    Refusal,
)
from keyrack.embedded.instances import PolicyType
from keyrack.embedded.keys import RotationPolicy
from keyrack.shell.rest.key_protect.envelope import vendor
from keyrack.shell.rest.key_protect.intake import Vault
from keyrack.shell.rest.key_protect.key_bodies import (
    CreateKey,
    CreateKeyWithOverrides,
    NewImportToken,
    Rotate,
    Rotation,
    Unwrap,
    Wrap,
)
from keyrack.shell.rest.key_protect.policy_bodies import SetInstancePolicies, SetKeyPolicies

CANARY = "Q0FOQVJZLUNBTkFSWQ=="


def keys(*resources: Any, total: int | None = None, kind: str = "key") -> dict[str, Any]:
    metadata = {"collectionType": vendor(kind), "collectionTotal": len(resources) if total is None else total}
    return {"metadata": metadata, "resources": list(resources)}


def refused(kind: Any, value: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        kind.of(value, Vault())
    return caught.value


def test_names_are_matched_in_any_case() -> None:
    """As Go's decoder does it, which IBM uses."""
    told = {
        "METADATA": {"CollectionType": vendor("key"), "collectiontotal": 1},
        "Resources": [{"NAME": "ab", "Extractable": True, "ExpirationDate": "2030-01-02T15:04:05.5+01:00"}],
    }

    wanted = CreateKey.of(told, Vault()).wanted()

    assert ("ab", True, 1893593045) == (wanted.name, wanted.extractable, wanted.expires_at)


def test_null_and_empty_strings_stand_for_nothing_where_something_may_be_missing() -> None:
    """Both come from IBM's clients in Go."""
    empty = {"description": "", "payload": "", "expirationDate": "", "encryptedNonce": "", "iv": "", "type": None}
    lists = {"tags": None, "aliases": None}

    wanted = CreateKey.of(keys({"name": "ab", "extractable": False, **empty, **lists}), Vault()).wanted()

    assert ("", None, None, None, [], []) == (
        wanted.description,
        wanted.payload,
        wanted.expires_at,
        wanted.encrypted,
        wanted.tags,
        wanted.aliases,
    )


@pytest.mark.parametrize("name", ["", None])
def test_what_is_needed_is_not_nothing(name: Any) -> None:
    refusal = refused(CreateKey, keys({"name": name, "extractable": False}))

    assert isinstance(refusal, InvalidField | BadBody)


@pytest.mark.parametrize(
    ("value", "kind", "told"),
    [
        (keys({"name": "ab", "extractable": False, CANARY: 1}), BadBody, f'json: unknown field "{CANARY}"'),
        (keys({"name": "ab", "extractable": CANARY}), BadBody, "`extractable` must be true or false"),
        (keys({"name": 7, "extractable": False}), BadBody, "`name` must be a string"),
        (keys({"name": "ab"}), InvalidField, "`extractable` is required"),
        (keys({"name": "ab", "extractable": False, "payload": 7}), BadBody, "`payload` must be"),
        (keys({"name": "ab", "extractable": False, "payload": "*"}), InvalidField, "a base64 encoded key material"),
        (keys({"name": "ab", "extractable": False, "iv": "*"}), InvalidField, "base64 encoded"),
        (keys({"name": "ab", "extractable": False, "tags": ["a"] * 31}), InvalidField, "at most 30 long"),
        (keys({"name": "ab", "extractable": False, "tags": CANARY}), BadBody, "`tags` must be an array"),
        (keys({"name": "ab", "extractable": False, "expirationDate": "2030-13-01T00:00:00Z"}), InvalidField, "date"),
        (keys({"name": "ab", "extractable": False, "expirationDate": "2030-01-01"}), InvalidField, "RFC 3339"),
        (keys({"name": "ab", "extractable": False, "type": CANARY}), InvalidField, "`type` must be"),
        ([], BadBody, "must be a JSON object"),
        (CANARY, BadBody, "must be a JSON object"),
        ({"metadata": CANARY, "resources": []}, BadBody, "`metadata` must be an object"),
        ({"resources": []}, InvalidField, "`metadata` is required"),
    ],
)
def test_a_mistake_is_told_in_ibms_words(value: Any, kind: type[Refusal], told: str) -> None:
    refusal = refused(CreateKey, value)

    assert type(refusal) is kind
    assert told in str(refusal)


def test_a_refusal_repeats_no_value_and_chains_no_error_that_does() -> None:
    """pydantic's own errors hold what came in; a log that prints causes must not get hold of them."""
    refusal = refused(CreateKey, keys({"name": CANARY * 20, "extractable": CANARY, "payload": CANARY + "*"}))

    assert CANARY not in str(refusal)
    assert (None, None) == (refusal.__cause__, refusal.__context__)


def test_a_long_unknown_name_is_cut() -> None:
    assert len(str(refused(Wrap, {"x" * 10_000: 1}))) < 300


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (keys({"name": "ab", "extractable": False}, total=2), CollectionTotalMismatch),
        (keys({"name": "ab", "extractable": False}, {"name": "ab", "extractable": False}), BadBody),
        (keys(), NumCollectionResource),
        (keys({"name": "ab", "extractable": False}, kind="policy"), InvalidField),
    ],
)
def test_the_metadata_describe_the_resources(value: Any, kind: type[Refusal]) -> None:
    body = CreateKey.of(value, Vault())

    with pytest.raises(Refusal) as caught:
        body.wanted()

    assert type(caught.value) is kind


def test_an_encrypted_import_is_whole() -> None:
    parts = {"payload": "QUJD", "encryptedNonce": "QUJD", "iv": "QUJD", "encryptionAlgorithm": "RSAES_OAEP_SHA_256"}
    vault = Vault()

    encrypted = Rotate.of(parts, vault).encrypted()

    assert encrypted is not None
    assert (b"ABC", b"ABC", "RSAES_OAEP_SHA_256") == (encrypted.encrypted_nonce, encrypted.iv, encrypted.algorithm)
    for missing in ("encryptedNonce", "iv"):
        body = Rotate.of({name: part for name, part in parts.items() if name != missing}, vault)
        with pytest.raises(InvalidField):
            body.encrypted()


def test_the_material_of_a_body_is_a_secret() -> None:
    vault = Vault()
    body = Wrap.of({"plaintext": base64.b64encode(b"key material").decode()}, vault)

    assert body.plaintext is not None
    assert "key material" not in repr(body)
    vault.wipe()
    assert 0 == len(body.plaintext)


def test_numbers_may_be_written_with_a_point() -> None:
    """IBM's SDK says they are floats."""
    body = NewImportToken.of({"expiration": 600.0, "maxAllowedRetrievals": 2.0}, Vault())

    assert (600, 2) == (body.expiration, body.max_allowed_retrievals)
    for wrong in (600.5, True, "600", 1e300):
        assert isinstance(refused(NewImportToken, {"expiration": wrong}), BadBody | InvalidField)


def test_a_rotation_that_is_switched_off_keeps_its_interval() -> None:
    off = Rotation.of({"enabled": False}, Vault())

    assert RotationPolicy(enabled=False, months=7) == off.policy(RotationPolicy(enabled=True, months=7))
    assert RotationPolicy(enabled=False, months=1) == off.policy()
    with pytest.raises(InvalidField):
        Rotation.of({"enabled": True}, Vault()).policy()
    assert RotationPolicy(enabled=True, months=3) == Rotation.of({"interval_month": 3}, Vault()).policy()


def test_overrides_are_policies_of_the_key_and_nothing_else_takes_them() -> None:
    key = {"name": "ab", "extractable": False, "dualAuthDelete": {"enabled": True}, "rotation": {"interval_month": 3}}

    wanted = CreateKeyWithOverrides.of(keys(key), Vault()).wanted()

    assert (True, RotationPolicy(enabled=True, months=3)) == (wanted.dual_auth_delete, wanted.rotation)
    assert isinstance(refused(CreateKey, keys(key)), BadBody)


def test_policies_of_a_key_are_given_each_once_and_of_the_kind_that_the_query_names() -> None:
    dual, rotation = {"dualAuthDelete": {"enabled": True}}, {"rotation": {"interval_month": 3}}

    def body(*policies: Any) -> SetKeyPolicies:
        return SetKeyPolicies.of(keys(*policies, kind="policy"), Vault())

    assert all(body(dual, rotation).merged(None))
    assert all(body(dual | rotation).merged(None))
    for wrong, only in (
        (body(dual, rotation), "rotation"),
        (body(dual), "rotation"),
        (body(rotation), "dualAuthDelete"),
    ):
        with pytest.raises(BodyQueryParamMismatch):
            wrong.merged(only)  # type: ignore[arg-type]  # a Literal
    with pytest.raises(InvalidField):
        body(dual, dual).merged(None)


def test_policies_of_an_instance_are_given_each_once_with_attributes_in_any_case() -> None:
    network = {
        "policy_type": "allowedNetwork",
        "policy_data": {"enabled": True, "attributes": {"Allowed_Network": "x"}},
    }
    metrics = {"policy_type": "metrics", "policy_data": {"enabled": True}}

    def body(*policies: Any) -> SetInstancePolicies:
        return SetInstancePolicies.of(keys(*policies, kind="policy"), Vault())

    assert {
        PolicyType.ALLOWED_NETWORK: (True, {"allowed_network": "x"}),
        PolicyType.METRICS: (True, {}),
    } == body(network, metrics).merged(None)
    with pytest.raises(BodyQueryParamMismatch):
        body(network).merged(PolicyType.METRICS)
    with pytest.raises(NumCollectionResource):
        body(network, metrics).merged(PolicyType.METRICS)
    with pytest.raises(InvalidField):
        body(metrics, metrics).merged(None)
    assert isinstance(
        refused(SetInstancePolicies, keys(metrics | {"policy_type": CANARY}, kind="policy")), InvalidField
    )


def test_a_ciphertext_must_be_there() -> None:
    for wrong in ({}, {"ciphertext": "*"}, {"ciphertext": "QUJD="}, {"ciphertext": "ä"}):
        assert isinstance(refused(Unwrap, wrong), InvalidField)
    assert isinstance(refused(Unwrap, {"ciphertext": None}), BadBody)
