"""The wrapped key as bytes: it says the same after taking it apart, and nothing else is taken for one."""

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyrack.service.vault import blob
from keyrack.service.vault.blob import Header, Malformed, SealContext

NUMBER = st.integers(0, 2**32 - 1)
TEXT = st.text(max_size=60)

CONTEXTS = st.builds(
    SealContext,
    unique_identifier=TEXT,
    object_type=NUMBER,
    created_at=st.integers(0, 2**64 - 1),
    key_format_type=NUMBER,
    key_compression_type=NUMBER,
    subtype=NUMBER,
    registered_wrapped=st.booleans(),
    algorithm=NUMBER,
    length=NUMBER,
    usage_mask=NUMBER,
    key_version=NUMBER,
    description=st.binary(max_size=100),
)
HEADERS = st.builds(
    Header,
    provider=TEXT,
    deployment=TEXT,
    instance=TEXT,
    root_key=TEXT,
    context=CONTEXTS,
    enciphered=st.booleans(),
)

PLAIN = Header(
    provider="embedded",
    deployment="keyrack-1",
    instance="b2c3",
    root_key="c39e",
    context=SealContext(
        unique_identifier="5112e0d4-c878-4264-a823-3030b5d4208e",
        object_type=2,
        created_at=1_700_000_000,
        key_format_type=1,
        algorithm=3,
        length=256,
        usage_mask=12,
        description=b'{"Name":["vm-1"]}',
    ),
    enciphered=False,
)
GOLDEN = (
    "4b454b31"  # KEK1
    "0100"  # format, flags
    "00000002000000010000000000000000000000030000010000"
    "00000c00000001000000006553f100"  # type, format, compression, subtype, algorithm, length, mask, version, time
    "08090424040011"  # lengths of texts and description
    "656d626564646564"
    "6b65797261636b2d31"
    "62326333"
    "35313132653064342d633837382d343236342d613832332d333033306235643432303865"
    "63333965"
    "7b224e616d65223a5b22766d2d31225d7d"
    "7d4e45862c3404452cc646b3f2d80581534e89f38dbf808ec2abb922ab31c3bb"  # context hash
    "02000300000000"  # lengths of version, ciphertext, body
    "7631"
    "abcdef"
    "11111111111111111111111111111111"  # key check value
    "2222222222222222222222222222222222222222222222222222222222222222"  # MAC
)


def made(header: Header, wrapped: bytes = b"\xab\xcd\xef", body: bytes = b"") -> bytes:
    return blob.unauthenticated(header.encode(), "v1", wrapped, body, b"\x11" * 16) + b"\x22" * 32


def test_the_bytes_of_a_wrapped_key_never_change() -> None:
    """What was written years ago must open: the golden bytes were put together by hand from ADR 5."""
    assert GOLDEN == made(PLAIN).hex()


@given(HEADERS, st.binary(max_size=300), st.binary(min_size=1, max_size=300))
def test_a_wrapped_key_taken_apart_says_what_was_put_in(header: Header, wrapped: bytes, body: bytes) -> None:
    """Every field comes back, and the same bytes are made of it again."""
    octets = made(header, wrapped, body if header.enciphered else b"")

    parsed = blob.parse(octets)

    assert header == parsed.header
    assert (wrapped, "v1", b"\x11" * 16, b"\x22" * 32) == (
        parsed.wrapped,
        parsed.wrapped_by,
        parsed.check_value,
        parsed.mac,
    )
    assert octets == blob.unauthenticated(header.encode(), "v1", wrapped, parsed.body, parsed.check_value) + parsed.mac


@given(st.binary(max_size=400))
def test_other_bytes_are_malformed(octets: bytes) -> None:
    """Whatever they are, with the magic or without."""
    for each in (octets, b"KEK1" + octets, b"KEK1\x01\x00" + octets):
        with pytest.raises(Malformed):
            blob.parse(each)


def test_every_prefix_and_every_longer_form_is_malformed() -> None:
    """Nothing is left out and nothing follows."""
    octets = made(PLAIN)

    for each in (*(octets[:length] for length in range(len(octets))), octets + b"\0"):
        with pytest.raises(Malformed):
            blob.parse(each)


def test_a_changed_byte_is_malformed_or_shows_in_what_is_authenticated() -> None:
    """A parser that reads past a change would let it through the MAC."""
    octets, randomness = made(PLAIN), random.Random(1)

    for _ in range(2000):
        changed = bytearray(octets)
        changed[randomness.randrange(len(octets))] ^= randomness.randrange(1, 256)
        try:
            parsed = blob.parse(bytes(changed))
        except Malformed:
            continue
        assert bytes(changed) == parsed.authenticated + parsed.mac


def test_a_context_hash_that_does_not_fit_is_malformed() -> None:
    """Also where somebody has made a MAC over it."""
    octets = made(PLAIN)
    hashed = blob.context_hash(PLAIN.encode())

    with pytest.raises(Malformed, match="context hash"):
        blob.parse(octets.replace(hashed, bytes(32)))


@pytest.mark.parametrize(
    "context",
    [
        replace(PLAIN.context, description=bytes(2049)),
        replace(PLAIN.context, unique_identifier="é" * 128),
        replace(PLAIN.context, length=2**32),
        replace(PLAIN.context, created_at=-1),
    ],
)
def test_what_does_not_fit_is_not_cut_off_but_refused(context: SealContext) -> None:
    """Too long or too large for its place."""
    with pytest.raises(Malformed):
        replace(PLAIN, context=context).encode()


@pytest.mark.parametrize(("position", "value"), [(0, b"J"), (4, b"\x02"), (5, b"\x04"), (5, b"\x01")])
def test_an_unknown_format_or_flag_is_refused(position: int, value: bytes) -> None:
    """Of a later version perhaps, which this one must not guess at."""
    octets = made(PLAIN)

    with pytest.raises(Malformed):
        blob.parse(octets[:position] + value + octets[position + 1 :])


def test_the_strings_for_the_key_manager_name_everything_that_a_key_is_bound_to() -> None:
    """Deployment, instance, object, version, algorithm and root key."""
    expected = ("kek1", "keyrack-1", "b2c3", "5112e0d4-c878-4264-a823-3030b5d4208e", "v1", "3", "c39e")

    assert expected == PLAIN.aad()
