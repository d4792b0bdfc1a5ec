"""What a ciphertext says, and the strings that it is bound to: one way to write each, and one way to read it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyrack.embedded.ciphertext import LONGEST, Ciphertext, bound_by, read, written
from keyrack.embedded.errors import InvalidField, UnprocessableCiphertext
from keyrack.embedded.root_keys.port import Enciphered

STRINGS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), max_size=5)
CIPHERTEXTS = st.builds(
    Ciphertext, st.uuids().map(str), st.builds(Enciphered, st.binary(max_size=20), st.binary(max_size=60))
)
ONE = Ciphertext("0b7d1c7e-6a53-4f6b-9f0e-2f1d3a5c7e91", Enciphered(b"iv", b"ciphertext"))


@given(STRINGS, STRINGS)
def test_two_sequences_of_strings_never_look_alike(one: list[str], other: list[str]) -> None:
    """What a ciphertext is bound to can be read in one way only."""
    assert (one == other) == (bound_by(one) == bound_by(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [((), ("",)), (("ab", "c"), ("a", "bc")), (("1:a",), ("1", "a")), (("0,0:",), ("", ""))],
)
def test_strings_made_to_deceive_do_not_look_alike(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    """With the signs of the encoding itself in them."""
    assert bound_by(one) != bound_by(other)


def test_there_is_a_limit_to_strings() -> None:
    """Key Protect's: 126 of 255 characters; and what is no text is refused too."""
    bound_by(["é" * 255] * 126)

    for refused in ([""] * 127, ["x" * 256], ["\ud800"]):
        with pytest.raises(InvalidField):
            bound_by(refused)


@given(CIPHERTEXTS)
def test_a_ciphertext_is_read_as_it_was_written(ciphertext: Ciphertext) -> None:
    """Key Protect's four fields."""
    told = written(ciphertext)

    assert ciphertext == read(told)
    assert ["ciphertext", "iv", "version", "handle"] == list(json.loads(told))


@given(st.binary(max_size=40) | st.text().map(str.encode))
def test_other_bytes_are_no_ciphertext(octets: bytes) -> None:
    """One refusal, whatever they are."""
    with pytest.raises(UnprocessableCiphertext):
        read(octets)


@pytest.mark.parametrize(
    "octets",
    [
        written(ONE) + b"\n",
        written(ONE).replace(b'":"', b'": "'),
        written(ONE).replace(b"4.0.0", b"4.0.1"),
        written(ONE).replace(b'"}', b'","more":1}'),
        written(ONE)[:-1] + b',"handle":"x"}',
        written(ONE).replace(b"Y2lwaGVydGV4dA==", b"Y2lwaGVydGV4dB=="),
        b'{"handle":1,"iv":"","ciphertext":""}',
        b'{"handle":{},"iv":[],"ciphertext":null}',
        b"[" * LONGEST,
        b"[" * (LONGEST + 1),
        b"null",
        "é".encode("latin-1"),
    ],
)
def test_another_way_to_write_the_same_is_refused(octets: bytes) -> None:
    """One ciphertext has one form: a changed byte is a changed ciphertext."""
    with pytest.raises(UnprocessableCiphertext):
        read(octets)
