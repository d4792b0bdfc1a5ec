"""PyKMIP's high-level client does all that it can do with what Keyrack offers, in every version of the protocol."""

import datetime as dt
import os
import uuid
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives import keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from kmip.core import enums
from kmip.core.exceptions import OperationFailure
from kmip.core.factories.attributes import AttributeFactory
from kmip.core.objects import Attribute
from kmip.pie import objects
from kmip.pie.client import ProxyKmipClient
from kmip.pie.exceptions import KmipOperationFailure

from keyrack.spec.enumerations import EncodingOption, Operation, WrappingMethod
from keyrack.spec.tags import Tag
from keyrack.testing.certificates import authority
from keyrack.testing.process import Served
from keyrack.testing.ttlv import enumeration, structure, text

AES = enums.CryptographicAlgorithm.AES
BOTH = [enums.CryptographicUsageMask.ENCRYPT, enums.CryptographicUsageMask.DECRYPT]
WRAPS = [enums.CryptographicUsageMask.WRAP_KEY, enums.CryptographicUsageMask.UNWRAP_KEY]
FACTORY = AttributeFactory()


def fresh(what: str) -> str:
    return f"{what}-{uuid.uuid4()}"


def values(proxy: ProxyKmipClient, uid: str, *names: str) -> dict[str, object]:
    """Attributes of an object by name, the first of each."""
    _, attributes = proxy.get_attributes(uid, list(names))
    return {
        each.attribute_name.value: getattr(each.attribute_value, "value", each.attribute_value)
        for each in reversed(attributes)
    }


def named(name: str) -> Attribute:
    return FACTORY.create_attribute(enums.AttributeType.NAME, name)


@pytest.fixture
def key(proxy: ProxyKmipClient) -> str:
    """An AES-256 key that was made for this test."""
    uid: str = proxy.create(AES, 256, name=fresh("key"), cryptographic_usage_mask=BOTH)
    return uid


@pytest.mark.parametrize(
    ("algorithm", "length"),
    [
        (AES, 128),
        (AES, 192),
        (AES, 256),
        # PyKMIP's objects count the bits of parity; 168, as the standard counts, they refuse to read.
        (enums.CryptographicAlgorithm.TRIPLE_DES, 192),
        (enums.CryptographicAlgorithm.HMAC_SHA256, 256),
        (enums.CryptographicAlgorithm.HMAC_SHA512, 512),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_created_key_comes_back_with_its_length(
    proxy: ProxyKmipClient, algorithm: enums.CryptographicAlgorithm, length: int
) -> None:
    """Create, then Get: the material has the length that was asked for."""
    uid = proxy.create(algorithm, length, cryptographic_usage_mask=BOTH)

    got = proxy.get(uid)

    assert (algorithm, length) == (got.cryptographic_algorithm, 8 * len(got.value))


def test_a_key_is_the_same_at_every_get(proxy: ProxyKmipClient, key: str) -> None:
    """Two Gets, one material."""
    first, second = proxy.get(key), proxy.get(key)

    assert first.value == second.value


def rsa_pair() -> tuple[bytes, bytes]:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pkcs1 = private.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)
    pkcs8 = private.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pkcs1, pkcs8


def symmetric() -> objects.ManagedObject:
    return objects.SymmetricKey(AES, 256, os.urandom(32), BOTH, fresh("registered"))


def public() -> objects.ManagedObject:
    masks = [enums.CryptographicUsageMask.VERIFY]
    return objects.PublicKey(
        enums.CryptographicAlgorithm.RSA, 2048, rsa_pair()[0], enums.KeyFormatType.PKCS_1, masks, fresh("public")
    )


def private() -> objects.ManagedObject:
    masks = [enums.CryptographicUsageMask.SIGN]
    return objects.PrivateKey(
        enums.CryptographicAlgorithm.RSA, 2048, rsa_pair()[1], enums.KeyFormatType.PKCS_8, masks, fresh("private")
    )


def certificate() -> objects.ManagedObject:
    return objects.X509Certificate(authority().der, [enums.CryptographicUsageMask.VERIFY], fresh("certificate"))


def secret() -> objects.ManagedObject:
    masks = [enums.CryptographicUsageMask.DERIVE_KEY]
    return objects.SecretData(b"correct horse battery", enums.SecretDataType.PASSWORD, masks, fresh("secret"))


def opaque() -> objects.ManagedObject:
    return objects.OpaqueObject(os.urandom(50), enums.OpaqueDataType.NONE, fresh("opaque"))


@pytest.mark.parametrize("make", [symmetric, public, private, certificate, secret, opaque])
def test_a_registered_object_comes_back_as_it_was(
    proxy: ProxyKmipClient, make: Callable[[], objects.ManagedObject]
) -> None:
    """Register, then Get: same kind, same bytes."""
    given = make()
    uid = proxy.register(given)

    got = proxy.get(uid)

    assert (given.object_type, given.value) == (got.object_type, got.value)


def test_pykmips_form_of_a_wrapped_key_is_refused(proxy: ProxyKmipClient) -> None:
    """It wraps the material inside a plain structure (KMIP 1.4, 2.1.4 wants a byte string): no key, so no success."""
    data = {
        "wrapping_method": enums.WrappingMethod.ENCRYPT,
        "encryption_key_information": {
            "unique_identifier": "1",
            "cryptographic_parameters": {"block_cipher_mode": enums.BlockCipherMode.NIST_KEY_WRAP},
        },
        "encoding_option": enums.EncodingOption.NO_ENCODING,
    }
    sealed = keywrap.aes_key_wrap(os.urandom(32), os.urandom(32))

    with pytest.raises(KmipOperationFailure) as refusal:
        proxy.register(objects.SymmetricKey(AES, 256, sealed, BOTH, fresh("wrapped"), key_wrapping_data=data))

    # PyKMIP sends Encoding Option, which is of 1.1, in 1.0 too.
    assert refusal.value.reason in {enums.ResultReason.INVALID_FIELD, enums.ResultReason.INVALID_MESSAGE}


def test_a_get_wraps_under_a_key_of_pykmip(proxy: ProxyKmipClient, served: Served) -> None:
    """What comes wrapped opens, with the wrapping key that PyKMIP registered, to what PyKMIP gets in clear.

    The wrapped answer is read by ourselves: PyKMIP expects a structure where the standard has a byte string.
    """
    wrapping_key = os.urandom(32)
    wrapper = proxy.register(objects.SymmetricKey(AES, 256, wrapping_key, WRAPS, fresh("wrapper")))
    proxy.activate(wrapper)
    uid = proxy.create(AES, 256, name=fresh("wrapped"), cryptographic_usage_mask=BOTH)
    specification = structure(
        Tag.KEY_WRAPPING_SPECIFICATION,
        enumeration(Tag.WRAPPING_METHOD, WrappingMethod.ENCRYPT),
        structure(Tag.ENCRYPTION_KEY_INFORMATION, text(Tag.UNIQUE_IDENTIFIER, wrapper)),
        enumeration(Tag.ENCODING_OPTION, EncodingOption.NO_ENCODING),
    )

    with served.connect() as raw:
        payload = raw.ask(Operation.GET, text(Tag.UNIQUE_IDENTIFIER, uid), specification)

    sealed = payload.octets(Tag.SYMMETRIC_KEY, Tag.KEY_BLOCK, Tag.KEY_VALUE)
    assert proxy.get(uid).value == keywrap.aes_key_unwrap(wrapping_key, sealed)


def test_attributes_say_what_was_asked_for(proxy: ProxyKmipClient, key: str) -> None:
    """Get Attributes of some names answers these and no others."""
    wanted = {"Cryptographic Algorithm": AES, "Cryptographic Length": 256, "State": enums.State.PRE_ACTIVE}

    got = values(proxy, key, *wanted)

    assert wanted == got


def test_all_attributes_are_those_of_the_list(proxy: ProxyKmipClient, key: str, version: enums.KMIPVersion) -> None:
    """Get Attributes has each attribute that Get Attribute List names, as far as PyKMIP can read them."""
    # It wants 1.1's Digest in 1.0 too, and does not know this attribute of 1.3.
    beyond = {"Random Number Generator"} | ({"Digest"} if version is enums.KMIPVersion.KMIP_1_0 else set())
    listed = set(proxy.get_attribute_list(key)) - beyond

    got = values(proxy, key, *listed)

    assert listed == set(got)


def test_an_absent_attribute_is_left_out(proxy: ProxyKmipClient, key: str) -> None:
    """Success without it, as vCenter needs it."""
    got = values(proxy, key, "x-Nothing", "State")

    assert {"State": enums.State.PRE_ACTIVE} == got


def test_an_attribute_is_changed_in_place(proxy: ProxyKmipClient, key: str) -> None:
    """Modify Attribute at index 0 of Name."""
    name = fresh("changed")

    proxy.modify_attribute(key, attribute=named(name))

    assert name == str(values(proxy, key, "Name")["Name"])


def test_an_attribute_is_deleted(proxy: ProxyKmipClient, key: str) -> None:
    """Delete Attribute by name and index; the list has it no more."""
    proxy.delete_attribute(key, attribute_name="Name", attribute_index=0)

    assert "Name" not in proxy.get_attribute_list(key)


def test_an_attribute_that_must_stay_is_not_deleted(proxy: ProxyKmipClient, key: str) -> None:
    """Cryptographic Length is not the client's to delete."""
    with pytest.raises(OperationFailure) as refusal:
        proxy.delete_attribute(key, attribute_name="Cryptographic Length", attribute_index=0)

    assert enums.ResultStatus.OPERATION_FAILED == refusal.value.status


def test_locate_by_name_finds_the_one(proxy: ProxyKmipClient) -> None:
    """Of several keys, the named one."""
    name = fresh("to be found")
    proxy.create(AES, 256, name=fresh("another"))
    uid = proxy.create(AES, 256, name=name)

    found = proxy.locate(attributes=[named(name)])

    assert [uid] == found


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (enums.AttributeType.OBJECT_TYPE, enums.ObjectType.SYMMETRIC_KEY),
        (enums.AttributeType.CRYPTOGRAPHIC_ALGORITHM, AES),
        (enums.AttributeType.CRYPTOGRAPHIC_LENGTH, 192),
        (enums.AttributeType.STATE, enums.State.ACTIVE),
        (enums.AttributeType.CRYPTOGRAPHIC_USAGE_MASK, BOTH),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_locate_narrows_by_an_attribute(proxy: ProxyKmipClient, kind: enums.AttributeType, value: object) -> None:
    """A name and one more attribute: found if both fit; with another name, nothing."""
    name = fresh("narrow")
    uid = proxy.create(AES, 192, name=name, cryptographic_usage_mask=BOTH)
    proxy.activate(uid)
    wanted = FACTORY.create_attribute(kind, value)

    found = proxy.locate(attributes=[named(name), wanted]), proxy.locate(attributes=[named(fresh("none")), wanted])

    assert ([uid], []) == found


def test_locate_stops_at_the_maximum(proxy: ProxyKmipClient) -> None:
    """Maximum Items holds."""
    for _ in range(3):
        proxy.create(AES, 128)

    found = proxy.locate(maximum_items=2)

    assert 2 == len(found)


def test_locate_skips_what_the_offset_says(proxy: ProxyKmipClient, version: enums.KMIPVersion) -> None:
    """Offset Items, which is of 1.3: page after page gives each object once."""
    if version.value < enums.KMIPVersion.KMIP_1_3.value:
        pytest.skip("Offset Items is of 1.3")
    mark = {"application_namespace": "keyrack-tests", "application_data": fresh("paged")}
    marked = FACTORY.create_attribute(enums.AttributeType.APPLICATION_SPECIFIC_INFORMATION, mark)
    made = {
        proxy.register(objects.SymmetricKey(AES, 128, os.urandom(16), BOTH, fresh("paged"), app_specific_info=[mark]))
        for _ in range(4)
    }

    pages = [proxy.locate(maximum_items=2, offset_items=skip, attributes=[marked]) for skip in (0, 2, 4)]

    assert [2, 2, 0] == [len(page) for page in pages]
    assert made == {uid for page in pages for uid in page}


def test_a_key_lives_and_dies(proxy: ProxyKmipClient, key: str) -> None:
    """Activate, Revoke, Destroy: the State after each; and then there is no key to get."""
    seen = [values(proxy, key, "State")["State"]]
    proxy.activate(key)
    seen.append(values(proxy, key, "State")["State"])
    proxy.revoke(enums.RevocationReasonCode.CESSATION_OF_OPERATION, key, "no longer used")
    seen.append(values(proxy, key, "State")["State"])
    proxy.destroy(key)

    assert [enums.State.PRE_ACTIVE, enums.State.ACTIVE, enums.State.DEACTIVATED] == seen
    with pytest.raises(KmipOperationFailure):
        proxy.get(key)


def test_a_compromised_key_is_compromised(proxy: ProxyKmipClient, key: str) -> None:
    """Revoke because of Key Compromise, with the date when it happened."""
    proxy.activate(key)
    when = int(dt.datetime(2026, 1, 1, tzinfo=dt.UTC).timestamp())

    proxy.revoke(enums.RevocationReasonCode.KEY_COMPROMISE, key, "lost", when)

    assert enums.State.COMPROMISED == values(proxy, key, "State")["State"]


def test_an_active_key_is_not_destroyed(proxy: ProxyKmipClient, key: str) -> None:
    """Destroy before Revoke is refused, and the key is still there."""
    proxy.activate(key)

    with pytest.raises(KmipOperationFailure):
        proxy.destroy(key)

    assert 32 == len(proxy.get(key).value)


def test_check_allows_what_the_mask_allows(proxy: ProxyKmipClient, key: str) -> None:
    """Check of a use that the key is for answers its identifier."""
    proxy.activate(key)

    checked = proxy.check(key, cryptographic_usage_mask=[enums.CryptographicUsageMask.ENCRYPT])

    assert key == checked


def test_an_unknown_identifier_is_item_not_found(proxy: ProxyKmipClient) -> None:
    """The reason that clients look for."""
    with pytest.raises(KmipOperationFailure) as refusal:
        proxy.get(str(uuid.uuid4()))

    assert enums.ResultReason.ITEM_NOT_FOUND == refusal.value.reason


def test_what_is_not_built_says_so(proxy: ProxyKmipClient, key: str) -> None:
    """Operation Not Supported, in an answer that PyKMIP can read."""
    with pytest.raises(KmipOperationFailure) as refusal:
        proxy.rekey(key)

    assert enums.ResultReason.OPERATION_NOT_SUPPORTED == refusal.value.reason


def test_a_password_in_the_message_is_ignored(
    open_proxy: Callable[..., ProxyKmipClient], version: enums.KMIPVersion
) -> None:
    """A credential that nobody asked for does no harm."""
    with open_proxy(version, username="vSphere", password="not asked for") as proxy:
        uid = proxy.create(AES, 256, cryptographic_usage_mask=BOTH)

        assert 32 == len(proxy.get(uid).value)
