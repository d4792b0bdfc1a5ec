"""The wrapped key as bytes that describe themselves: the same in the catalog and in the key manager (ADR 5).

::

    "KEK1" format flags, numbers, five text lengths, description length | five texts | description
    | context hash | three lengths | version of the root key | its ciphertext | body | key check value | MAC

All numbers are unsigned and big-endian. Nothing here opens anything; ``service.vault.envelope`` does.
"""

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass

MAGIC = b"KEK1"
FORMAT = 1
MOST_MATERIAL = 2**16
"""Bytes of the longest material that is sealed."""
MOST_DESCRIPTION = 2048
HASH = 32
CHECK = 16
MAC = 32

_ENCIPHERED = 0x01
_REGISTERED_WRAPPED = 0x02
_TWO_LEVEL = 0x04
_UNBOUND = 0x08
_FLAGS = _ENCIPHERED | _REGISTERED_WRAPPED | _TWO_LEVEL | _UNBOUND
_FIXED = struct.Struct(">4sBB8IQ5BH")
_LENGTHS = struct.Struct(">BHI")
_LONGEST = MOST_MATERIAL + 16_384


class Malformed(Exception):
    """The bytes are not a wrapped key of this format. The text says what is wrong and never holds a value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SealContext:
    """What a wrapped key says about its object. Numbers are those of the standard; 0 stands for none."""

    unique_identifier: str
    object_type: int
    created_at: int
    """Seconds since 1970, UTC."""
    key_format_type: int = 0
    key_compression_type: int = 0
    subtype: int = 0
    """Certificate Type, Secret Data Type or Opaque Data Type."""
    registered_wrapped: bool = False
    """The material is a key that its client had wrapped before it came."""
    algorithm: int = 0
    """Cryptographic Algorithm."""
    length: int = 0
    """Cryptographic Length, in bits."""
    usage_mask: int = 0
    """Cryptographic Usage Mask."""
    key_version: int = 1
    description: bytes = b""
    """Names and custom attributes at the creation, at most 2,048 bytes (``service.vault.description``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Everything that the context hash covers: what the key is, whose it is, and which root key wraps it."""

    provider: str
    """Name of the key manager; it tells where the copy is while an instance moves from one to another."""
    deployment: str
    instance: str
    root_key: str
    """What wraps the key: the customer root key, or the instance's wrapping key (``two_level``)."""
    context: SealContext
    enciphered: bool
    """The root key wraps a data key, and the data key enciphers the material."""
    two_level: bool = False
    """``root_key`` is the Unique Identifier of the instance's wrapping key."""
    bound: bool = True
    """The key manager binds ciphertexts to strings; where it does not, the hash in the plaintext alone does."""

    def encode(self) -> bytes:
        """The bytes before the context hash; raises :class:`Malformed` where a field is too long or too large."""
        context = self.context
        flags = self.enciphered * _ENCIPHERED | context.registered_wrapped * _REGISTERED_WRAPPED
        flags |= self.two_level * _TWO_LEVEL | (not self.bound) * _UNBOUND
        if len(context.description) > MOST_DESCRIPTION:
            raise Malformed("the description is too long")
        named = (self.provider, self.deployment, self.instance, context.unique_identifier, self.root_key)
        texts = [text.encode() for text in named]
        try:
            fixed = _FIXED.pack(
                MAGIC,
                FORMAT,
                flags,
                context.object_type,
                context.key_format_type,
                context.key_compression_type,
                context.subtype,
                context.algorithm,
                context.length,
                context.usage_mask & 0xFFFFFFFF,
                context.key_version,
                context.created_at,
                *map(len, texts),
                len(context.description),
            )
        except struct.error:
            raise Malformed("a number is out of its range, or a name is longer than 255 bytes") from None
        return b"".join((fixed, *texts, context.description))

    def aad(self) -> Sequence[str]:
        """The strings that a provider with authenticated data binds to the ciphertext; none where it has none such."""
        if not self.bound:
            return ()
        context = self.context
        return (
            "kek1",
            self.deployment,
            self.instance,
            context.unique_identifier,
            f"v{context.key_version}",
            str(context.algorithm),
            self.root_key,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """A wrapped key, taken apart."""

    header: Header
    context_hash: bytes
    wrapped_by: str
    """Version of the root key that made ``wrapped``; a rewrap changes both."""
    wrapped: bytes
    body: bytes
    """Nonce, ciphertext and tag of the material under the data key; empty where the root key wraps the material."""
    check_value: bytes
    authenticated: bytes
    """Everything before the MAC."""
    mac: bytes

    @property
    def key(self) -> bytes:
        """What it is of, and for whom: a rewrap leaves it as it is, and nothing else does."""
        return self.context_hash + self.check_value


def context_hash(header: bytes) -> bytes:
    """What the wrapped plaintext carries inside: SHA-256 over the encoded header."""
    return hashlib.sha256(header).digest()


def unauthenticated(header: bytes, wrapped_by: str, wrapped: bytes, body: bytes, check_value: bytes) -> bytes:
    """All of a blob but the MAC."""
    version = wrapped_by.encode()
    try:
        lengths = _LENGTHS.pack(len(version), len(wrapped), len(body))
    except struct.error:
        raise Malformed("the key manager's ciphertext or version is too long") from None
    return b"".join((header, context_hash(header), lengths, version, wrapped, body, check_value))


def parse(octets: bytes) -> Blob:
    """Take a blob apart; raises :class:`Malformed` for anything that :func:`unauthenticated` and a MAC do not make.

    A blob that comes out has been checked against its own context hash, and not yet against its MAC.
    """
    if len(octets) > _LONGEST:
        raise Malformed("it is longer than any wrapped key")
    reader = _Reader(octets)
    header = _header(reader)
    hashed = context_hash(octets[: reader.at])
    if reader.take(HASH) != hashed:
        raise Malformed("its context hash does not fit")
    version, wrapped, body = (reader.take(length) for length in _LENGTHS.unpack(reader.take(_LENGTHS.size)))
    if bool(body) != header.enciphered:
        raise Malformed("its body does not fit its flags")
    check_value = reader.take(CHECK)
    authenticated = octets[: reader.at]
    mac = reader.take(MAC)
    if reader.at != len(octets):
        raise Malformed("something follows its end")
    return Blob(
        header=header,
        context_hash=hashed,
        wrapped_by=_text(version),
        wrapped=wrapped,
        body=body,
        check_value=check_value,
        authenticated=authenticated,
        mac=mac,
    )


def _header(reader: "_Reader") -> Header:
    magic, version, flags, *numbers = _FIXED.unpack(reader.take(_FIXED.size))
    if magic != MAGIC:
        raise Malformed("it is not a wrapped key")
    if version != FORMAT or flags & ~_FLAGS:
        raise Malformed("it is of a format that this version of keyrack does not know")
    object_type, form, compression, subtype, algorithm, length, mask, key_version, created_at, *lengths = numbers
    if lengths[-1] > MOST_DESCRIPTION:
        raise Malformed("its description is too long")
    *texts, description = [reader.take(length) for length in lengths]
    provider, deployment, instance, unique_identifier, root_key = [_text(text) for text in texts]
    context = SealContext(
        unique_identifier=unique_identifier,
        object_type=object_type,
        created_at=created_at,
        key_format_type=form,
        key_compression_type=compression,
        subtype=subtype,
        registered_wrapped=bool(flags & _REGISTERED_WRAPPED),
        algorithm=algorithm,
        length=length,
        usage_mask=mask,
        key_version=key_version,
        description=description,
    )
    return Header(
        provider=provider,
        deployment=deployment,
        instance=instance,
        root_key=root_key,
        context=context,
        enciphered=bool(flags & _ENCIPHERED),
        two_level=bool(flags & _TWO_LEVEL),
        bound=not flags & _UNBOUND,
    )


class _Reader:
    """Takes bytes from the front and never past the end."""

    __slots__ = ("_octets", "at")

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self.at = 0

    def take(self, length: int) -> bytes:
        taken = self._octets[self.at : self.at + length]
        if len(taken) != length:
            raise Malformed("it was cut off")
        self.at += length
        return taken


def _text(octets: bytes) -> str:
    try:
        return octets.decode()
    except UnicodeDecodeError:
        raise Malformed("a text in it is not UTF-8") from None
