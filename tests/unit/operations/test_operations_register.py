"""Register (KMIP 1.4, 4.3) of every kind of object, and how it fails (11.4)."""

import hashlib
from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from keyrack.spec.enumerations import (
    CertificateType,
    CryptographicAlgorithm,
    DigitalSignatureAlgorithm,
    HashingAlgorithm,
    KeyFormatType,
    LinkType,
    ObjectType,
    ResultReason,
    SecretDataType,
    State,
)
from keyrack.spec.structures import ApplicationSpecificInformation, Digest, Link
from keyrack.spec.versions import V1_0, V1_1
from keyrack.testing import certificates
from keyrack.testing.conversation import (
    Client,
    Item,
    activate,
    destroy,
    get,
    get_attributes,
    key_block,
    name,
    register,
    register_key,
    register_opaque,
    register_password,
)
from keyrack.wire.attributes import Attribute
from keyrack.wire.objects import (
    Certificate,
    KeyValue,
    PrivateKey,
    PublicKey,
    SecretData,
    SymmetricKey,
    Template,
    TransparentKey,
    TransparentSymmetricKey,
)

KEY = bytes(range(32))


@pytest.fixture(scope="module")
def pair() -> rsa.RSAPrivateKey:
    """An RSA key pair."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def private(pair: rsa.RSAPrivateKey, key_format: KeyFormatType = KeyFormatType.PKCS8) -> Item:
    """Register the private half."""
    form = serialization.PrivateFormat.PKCS8 if key_format == KeyFormatType.PKCS8 else None
    octets = pair.private_bytes(
        serialization.Encoding.DER,
        form or serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    block = replace(
        key_block(octets, algorithm=CryptographicAlgorithm.RSA, key_format_type=key_format), cryptographic_length=2048
    )
    return register(ObjectType.PRIVATE_KEY, PrivateKey(key_block=block), {"Cryptographic Usage Mask": 1})


def public(pair: rsa.RSAPrivateKey) -> Item:
    """Register the public half."""
    octets = pair.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)
    block = replace(
        key_block(octets, algorithm=CryptographicAlgorithm.RSA, key_format_type=KeyFormatType.PKCS1),
        cryptographic_length=2048,
    )
    return register(ObjectType.PUBLIC_KEY, PublicKey(key_block=block), {"Cryptographic Usage Mask": 2})


@pytest.mark.parametrize("key_format", [KeyFormatType.PKCS8, KeyFormatType.PKCS1])
async def test_private_and_public_keys_are_kept_in_their_format(
    each: Client, pair: rsa.RSAPrivateKey, key_format: KeyFormatType
) -> None:
    """Byte for byte, in the Key Format Type that they came in."""
    sent = private(pair, key_format)[1].object.key_block
    uid, other = await each.made(private(pair, key_format)), await each.made(public(pair))

    answer, second = await each(get(uid)), await each(get(other))

    assert (ObjectType.PRIVATE_KEY, sent) == (answer.object_type, answer.object.key_block)
    assert public(pair)[1].object == second.object


async def test_a_pair_is_linked_by_its_client(each: Client, pair: rsa.RSAPrivateKey) -> None:
    """Link is an ordinary attribute of several instances."""
    uid, other = await each.made(private(pair)), await each.made(public(pair))
    linked = Link(link_type=LinkType.PUBLIC_KEY_LINK, linked_object_identifier=other)
    given = {"Cryptographic Usage Mask": 1, "Link": linked}
    again = await each.made(register(ObjectType.PRIVATE_KEY, private(pair)[1].object, given))

    assert linked == await each.attribute(again, "Link")
    assert None is await each.attribute(uid, "Link")


# --- certificates ---


def certificate() -> bytes:
    """A leaf certificate in DER."""
    return certificates.client(certificates.authority(), "kms.test").der


def register_certificate(octets: bytes, given: dict[str, Any] | None = None) -> Item:
    """Register it as X.509."""
    managed = Certificate(certificate_type=CertificateType.X_509, certificate_value=octets)
    return register(ObjectType.CERTIFICATE, managed, {"Cryptographic Usage Mask": 1} | (given or {}))


async def test_a_certificate_says_what_it_is(client: Client) -> None:
    """The attributes are read out of it: subject, issuer, serial number, signature, key, length."""
    octets = certificate()
    parsed = x509.load_der_x509_certificate(octets)

    found = await client.attributes(await client.made(register_certificate(octets)))

    assert (CertificateType.X_509, len(octets)) == (found["Certificate Type"], found["Certificate Length"])
    assert parsed.subject.public_bytes() == found["X.509 Certificate Subject"].subject_distinguished_name
    assert parsed.issuer.public_bytes() == found["X.509 Certificate Issuer"].issuer_distinguished_name
    identifier = found["X.509 Certificate Identifier"]
    assert parsed.serial_number == int.from_bytes(identifier.certificate_serial_number, "big")
    assert parsed.subject.rfc4514_string() == found["Certificate Subject"].certificate_subject_distinguished_name
    assert isinstance(found["Digital Signature Algorithm"], DigitalSignatureAlgorithm)
    assert hashlib.sha256(octets).digest() == found["Digest"].digest_value


async def test_a_certificate_comes_back(each: Client) -> None:
    """Byte for byte; in 1.0 without the attributes that came with 1.1."""
    octets = certificate()
    uid = await each.made(register_certificate(octets))

    answer = await each(get(uid))
    found = await each.attributes(uid)

    assert octets == answer.object.certificate_value
    assert (each.version >= V1_1) == ("X.509 Certificate Subject" in found)
    assert "Certificate Subject" in found


async def test_an_odd_certificate_is_kept_all_the_same(each: Client) -> None:
    """What a library cannot read is kept for its bytes, and its length is known."""
    uid = await each.made(register_certificate(b"this is no DER"))

    assert b"this is no DER" == (await each(get(uid))).object.certificate_value
    assert (each.version >= V1_1) == ("Certificate Length" in await each.attributes(uid))


async def test_a_certificate_is_activated_like_a_key(each: Client) -> None:
    """It is a cryptographic object: it has a State."""
    uid = await each.made(register_certificate(certificate()))
    await each(activate(uid))

    assert State.ACTIVE == await each.attribute(uid, "State")


# --- what the server knows of an object ---


async def test_a_digest_is_kept_of_what_was_registered(each: Client) -> None:
    """SHA-256 of the bytes; its Key Format Type is said from 1.1 on."""
    found = await each.attribute(await each.made(register_key(KEY)), "Digest")

    expected = Digest(
        hashing_algorithm=HashingAlgorithm.SHA_256,
        digest_value=hashlib.sha256(KEY).digest(),
        key_format_type=None if each.version == V1_0 else KeyFormatType.RAW,
    )
    assert expected == found


async def test_a_transparent_key_is_the_same_key(each: Client) -> None:
    """Registered transparent, fetched raw."""
    block = key_block(
        KEY,
        key_format_type=KeyFormatType.TRANSPARENT_SYMMETRIC_KEY,
        key_value=KeyValue(key_material=TransparentSymmetricKey(key=bytearray(KEY))),
    )
    uid = await each.made(
        register(ObjectType.SYMMETRIC_KEY, SymmetricKey(key_block=block), {"Cryptographic Usage Mask": 12})
    )

    answer = await each(get(uid))

    assert KeyFormatType.TRANSPARENT_SYMMETRIC_KEY == answer.object.key_block.key_format_type
    assert KEY == await each.material(uid, key_format_type=KeyFormatType.RAW)


async def test_attributes_may_stand_in_the_key_value(each: Client) -> None:
    """Those beside the material count like those in the Template-Attribute (KMIP 1.4, 2.1.4)."""
    inside = (Attribute(attribute_name="Contact Information", attribute_value="Ada"),)
    block = key_block(KEY, key_value=KeyValue(key_material=bytearray(KEY), attribute=inside))

    uid = await each.made(
        register(ObjectType.SYMMETRIC_KEY, SymmetricKey(key_block=block), {"Cryptographic Usage Mask": 12})
    )

    assert "Ada" == await each.attribute(uid, "Contact Information")


async def test_algorithm_and_length_may_stand_in_either_place(client: Client) -> None:
    """In the Key Block or in the Template-Attribute, but they may not differ."""
    block = replace(key_block(KEY), cryptographic_algorithm=None, cryptographic_length=None)
    bare = SymmetricKey(key_block=block)
    said = {"Cryptographic Usage Mask": 12, "Cryptographic Algorithm": 3, "Cryptographic Length": 256}

    uid = await client.made(register(ObjectType.SYMMETRIC_KEY, bare, said))

    assert 256 == await client.attribute(uid, "Cryptographic Length")
    assert ResultReason.INVALID_FIELD == await client.refused(
        register(ObjectType.SYMMETRIC_KEY, bare, {"Cryptographic Usage Mask": 12})
    )
    assert ResultReason.INVALID_FIELD == await client.refused(register_key(KEY, {"Cryptographic Length": 128}))


# --- templates ---


async def test_a_template_is_registered_and_read(each: Client) -> None:
    """Get gives its attributes; it has no State and no Digest."""
    held = (Attribute(attribute_name="Cryptographic Length", attribute_value=128),)
    uid = await each.made(register(ObjectType.TEMPLATE, Template(attribute=held), {"Name": name("mould")}))

    answer = await each(get(uid))
    found = await each.attributes(uid)

    assert ObjectType.TEMPLATE == answer.object_type
    assert {"Cryptographic Length"} <= {each.attribute_name for each in answer.object.attribute}
    assert not {"State", "Digest", "Lease Time"} & set(found)


async def test_a_register_takes_a_templates_attributes(each: Client) -> None:
    """By its name, in Register as in Create."""
    held = (Attribute(attribute_name="Contact Information", attribute_value="Ada"),)
    await each(register(ObjectType.TEMPLATE, Template(attribute=held), {"Name": name("mould")}))
    key = register_key(KEY)[1].object

    uid = await each.made(
        register(ObjectType.SYMMETRIC_KEY, key, {"Cryptographic Usage Mask": 12}, templates=["mould"])
    )

    assert "Ada" == await each.attribute(uid, "Contact Information")
    assert None is await each.attribute(uid, "Name")


# --- how it fails ---

TOO_LONG = b"\x00" * 32


def _mistakes() -> dict[str, tuple[Item, ResultReason]]:
    key = SymmetricKey(key_block=key_block(KEY))
    usage = {"Cryptographic Usage Mask": 12}
    inner_name = (Attribute(attribute_name="Name", attribute_value=name("inner")),)
    transparent = key_block(KEY, key_value=KeyValue(key_material=TransparentKey(content=bytearray())))
    return {
        "another object's type": (register(ObjectType.SECRET_DATA, key, usage), ResultReason.INVALID_FIELD),
        "a template's type": (register(ObjectType.TEMPLATE, key, usage), ResultReason.INVALID_FIELD),
        "a template as a key": (
            register(ObjectType.SYMMETRIC_KEY, Template(attribute=()), usage),
            ResultReason.INVALID_FIELD,
        ),
        "no such template": (
            register(ObjectType.SYMMETRIC_KEY, key, usage, templates=["nobody"]),
            ResultReason.ITEM_NOT_FOUND,
        ),
        "a name inside a template": (
            register(ObjectType.TEMPLATE, Template(attribute=inner_name), {"Name": name("outer")}),
            ResultReason.INVALID_FIELD,
        ),
        "no usage mask": (register(ObjectType.SYMMETRIC_KEY, key), ResultReason.INVALID_FIELD),
        "an attribute of other objects": (
            register_key(KEY, {"Certificate Length": 1}),
            ResultReason.INVALID_FIELD,
        ),
        "a read-only attribute": (register_key(KEY, {"Initial Date": 1}), ResultReason.INVALID_FIELD),
        "too many instances": (
            register_key(KEY, {"Object Group": [str(number) for number in range(257)]}),
            ResultReason.INDEX_OUT_OF_BOUNDS,
        ),
        "data for a namespace": (
            register_key(
                KEY, {"Application Specific Information": ApplicationSpecificInformation(application_namespace="n")}
            ),
            ResultReason.APPLICATION_NAMESPACE_NOT_SUPPORTED,
        ),
        "a format that is not kept": (
            register(ObjectType.SYMMETRIC_KEY, SymmetricKey(key_block=key_block(KEY, key_format_type=4)), usage),
            ResultReason.KEY_FORMAT_TYPE_NOT_SUPPORTED,
        ),
        "another transparent key": (
            register(ObjectType.SYMMETRIC_KEY, SymmetricKey(key_block=transparent), usage),
            ResultReason.KEY_FORMAT_TYPE_NOT_SUPPORTED,
        ),
        "no key value": (
            register(ObjectType.SYMMETRIC_KEY, SymmetricKey(key_block=replace(key_block(KEY), key_value=None)), usage),
            ResultReason.KEY_VALUE_NOT_PRESENT,
        ),
        "wrapped without saying how": (
            register(
                ObjectType.SYMMETRIC_KEY,
                SymmetricKey(key_block=replace(key_block(KEY), key_value=bytearray(40))),
                usage,
            ),
            ResultReason.INVALID_FIELD,
        ),
        "a key that is too short": (
            register(
                ObjectType.SYMMETRIC_KEY,
                SymmetricKey(key_block=replace(key_block(KEY), cryptographic_length=128)),
                usage,
            ),
            ResultReason.INVALID_FIELD,
        ),
        "more than is kept": (register_opaque(bytes(2**20)), ResultReason.INVALID_FIELD),
    }


@pytest.mark.parametrize("why", _mistakes())
async def test_a_register_that_makes_no_sense_is_refused(client: Client, why: str) -> None:
    """Each failure of table 11.4, with its Result Reason, and nothing is kept."""
    item, reason = _mistakes()[why]

    assert reason == await client.refused(item)
    assert [] == await client.located()


async def test_a_name_belongs_to_one_object(each: Client) -> None:
    """Invalid Field for a second one; free again once the first was destroyed."""
    uid = await each.made(register_opaque(b"1", {"Name": name("only")}))
    refused = await each.refused(register_opaque(b"2", {"Name": name("only")}))
    await each(destroy(uid))

    assert ResultReason.INVALID_FIELD == refused
    assert uid != await each.made(register_opaque(b"2", {"Name": name("only")}))


async def test_secret_data_needs_no_attribute(each: Client) -> None:
    """The profiles register a password without any; its usage mask is then empty."""
    block = key_block(b"pw", algorithm=None, key_format_type=KeyFormatType.OPAQUE)
    managed = SecretData(secret_data_type=SecretDataType.SEED, key_block=block)

    uid = await each.made(register(ObjectType.SECRET_DATA, managed))

    assert SecretDataType.SEED == (await each(get(uid))).object.secret_data_type
    assert 0 == await each.attribute(uid, "Cryptographic Usage Mask")


async def test_an_opaque_object_has_no_state(each: Client) -> None:
    """It is no cryptographic object (KMIP 1.4, 3.22)."""
    uid = await each.made(register_opaque(b"1"))

    assert () == (await each(get_attributes(uid, "State"))).attribute
    assert ObjectType.OPAQUE_OBJECT == await each.attribute(uid, "Object Type")


async def test_an_empty_password_is_a_password(each: Client) -> None:
    """No byte at all, and it comes back."""
    uid = await each.made(register_password(b""))

    assert b"" == await each.material(uid)
