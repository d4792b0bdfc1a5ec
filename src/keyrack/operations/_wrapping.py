"""Wrapping a key with another key of the instance, for Get (KMIP 1.4, 2.1.5 and 2.1.6)."""

import os
from dataclasses import replace
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import aes_key_wrap, aes_key_wrap_with_padding

from keyrack.domain import access
from keyrack.domain.errors import (
    EncodingOptionError,
    FeatureNotSupported,
    IllegalOperation,
    InvalidField,
    ItemNotFound,
    PermissionDenied,
)
from keyrack.domain.objects import ManagedObject
from keyrack.operations._context import Context
from keyrack.spec.enumerations import (
    BlockCipherMode,
    CryptographicAlgorithm,
    CryptographicUsageMask,
    EncodingOption,
    ObjectType,
    WrappingMethod,
)
from keyrack.spec.structures import CryptographicParameters
from keyrack.wire.attributes import Attribute
from keyrack.wire.codec import encode
from keyrack.wire.objects import KeyBlock, KeyValue, KeyWrappingData, KeyWrappingSpecification

GCM_NONCE: Final = 12
"""Bytes of the nonce, random for each wrapping (NIST SP 800-38D, 8.2.2)."""
GCM_TAG: Final = 16
"""Bytes of the tag, which follows the ciphertext."""
MODES: Final = frozenset({BlockCipherMode.NISTKEYWRAP, BlockCipherMode.AESKEYWRAPPADDING, BlockCipherMode.GCM})


async def wrap(
    block: KeyBlock,
    specification: KeyWrappingSpecification,
    attributes: tuple[Attribute, ...],
    context: Context,
) -> KeyBlock:
    """The key block with its Key Value encrypted as the specification asks.

    ``attributes`` are those that the specification names, to travel inside. Every failure is one of KMIP 1.4, 11.12.
    """
    if (
        specification.wrapping_method != WrappingMethod.ENCRYPT
        or specification.mac_signature_key_information is not None
    ):
        raise FeatureNotSupported("Keyrack wraps with the Wrapping Method Encrypt alone")
    information = specification.encryption_key_information
    if information is None:
        raise InvalidField("the Key Wrapping Specification names no Encryption Key Information")
    wrapping_key = await context.find(information.unique_identifier)
    mode = _mode(wrapping_key, information.cryptographic_parameters, context.now)
    encoding = specification.encoding_option or EncodingOption.TTLV_ENCODING
    if encoding != EncodingOption.TTLV_ENCODING and specification.attribute_name:
        raise EncodingOptionError(
            "attributes travel only inside a TTLV-encoded Key Value; leave out the Encoding Option"
        )
    plain = _plain(block, encoding, attributes, context)
    spent = access.spend(wrapping_key, octets=len(plain), at=context.now)
    if spent is not wrapping_key:
        context.change(spent)
    kek = await context.open(wrapping_key)
    nonce = os.urandom(GCM_NONCE) if mode == BlockCipherMode.GCM else None
    return replace(
        block,
        key_value=bytearray(_encrypt(mode, bytes(kek.reveal()), plain, nonce)),
        key_wrapping_data=KeyWrappingData(
            wrapping_method=WrappingMethod.ENCRYPT,
            encryption_key_information=information,
            iv_counter_nonce=nonce,
            encoding_option=specification.encoding_option,
        ),
    )


def _mode(wrapping_key: ManagedObject, asked: CryptographicParameters | None, now: int) -> BlockCipherMode:
    """The mode to wrap in, once the wrapping key has been found fit for it."""
    if wrapping_key.object_type != ObjectType.SYMMETRIC_KEY or wrapping_key.form.wrapped:
        raise IllegalOperation("the object of the Encryption Key Information is not a key that Keyrack can wrap with")
    access.check_usage(wrapping_key, CryptographicUsageMask.WRAP_KEY, at=now)
    if wrapping_key.value("Cryptographic Algorithm") != CryptographicAlgorithm.AES:
        raise PermissionDenied("Keyrack wraps with AES keys")
    mode = asked.block_cipher_mode if asked and asked.block_cipher_mode else BlockCipherMode.NISTKEYWRAP
    held = wrapping_key.attributes.get("Cryptographic Parameters", ())
    if held and not any(each.value.block_cipher_mode in (None, mode) for each in held):
        raise ItemNotFound("the wrapping key has no Cryptographic Parameters like those that were asked for")
    if mode not in MODES:
        raise FeatureNotSupported("Keyrack wraps with NISTKeyWrap, AESKeyWrapPadding or GCM")
    return BlockCipherMode(mode)


def _plain(block: KeyBlock, encoding: int, attributes: tuple[Attribute, ...], context: Context) -> bytes:
    value = block.key_value
    if not isinstance(value, KeyValue):
        raise IllegalOperation("the object is kept wrapped already; get it without a Key Wrapping Specification")
    if encoding == EncodingOption.TTLV_ENCODING:
        return bytes(encode(replace(value, attribute=attributes), context.version))
    if encoding != EncodingOption.NO_ENCODING:
        raise EncodingOptionError("Keyrack knows the Encoding Options No Encoding and TTLV Encoding")
    if not isinstance(value.key_material, bytearray):
        raise EncodingOptionError("No Encoding needs Key Material that is a byte string; ask for the format Raw")
    return bytes(value.key_material)


def _encrypt(mode: BlockCipherMode, kek: bytes, plain: bytes, nonce: bytes | None) -> bytes:
    if nonce is not None:
        return AESGCM(kek).encrypt(nonce, plain, None)
    if mode == BlockCipherMode.AESKEYWRAPPADDING:
        return aes_key_wrap_with_padding(kek, plain)
    if len(plain) % 8 or len(plain) < 16:
        raise EncodingOptionError("NISTKeyWrap takes multiples of 8 bytes; ask for TTLV Encoding or AESKeyWrapPadding")
    return aes_key_wrap(kek, plain)
