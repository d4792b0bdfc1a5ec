"""The tests' own TTLV is strict, or it would let the server's mistakes pass."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyrack.testing.ttlv import Item, Kind, NotTtlv, integer, parse, structure, text

TAGS = st.integers(min_value=0x420001, max_value=0x42FFFF)


def _signed(bits: int) -> st.SearchStrategy[int]:
    return st.integers(min_value=-(1 << bits - 1), max_value=(1 << bits - 1) - 1)


_VALUES: dict[Kind, st.SearchStrategy[int | str | bytes]] = {
    Kind.INTEGER: _signed(32),
    Kind.LONG_INTEGER: _signed(64),
    Kind.BIG_INTEGER: _signed(500),
    Kind.ENUMERATION: st.integers(min_value=0, max_value=0xFFFFFFFF),
    Kind.BOOLEAN: st.integers(min_value=0, max_value=1),
    Kind.TEXT_STRING: st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    Kind.BYTE_STRING: st.binary(max_size=40),
    Kind.DATE_TIME: _signed(64),
    Kind.INTERVAL: st.integers(min_value=0, max_value=0xFFFFFFFF),
}
SCALARS = st.sampled_from(sorted(_VALUES)).flatmap(lambda kind: st.builds(Item, TAGS, st.just(kind), _VALUES[kind]))
TREES = st.recursive(
    SCALARS, lambda inner: st.builds(lambda tag, items: structure(tag, *items), TAGS, st.lists(inner, max_size=4))
)


@given(TREES)
def test_a_tree_survives_writing_and_reading(tree: Item) -> None:
    """Any tree of any types comes back as it was."""
    again = parse(tree.encode())

    assert tree == again


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(integer(0x420001, 5).encode()[:-1], id="cut short"),
        pytest.param(integer(0x420001, 5).encode() + bytes(8), id="something after it"),
        pytest.param(text(0x420001, "abc").encode()[:-1] + b"x", id="padding that is not zero"),
        pytest.param(bytes.fromhex("4200010b00000000"), id="a type that is unknown"),
        pytest.param(bytes.fromhex("420001020000000800000000") + bytes(4), id="an Integer of eight bytes"),
        pytest.param(bytes.fromhex("42000106000000080000000000000002"), id="a Boolean of two"),
        pytest.param(bytes.fromhex("4200010700000001ff") + bytes(7), id="text that is not UTF-8"),
    ],
)
def test_what_is_not_ttlv_is_refused(broken: bytes) -> None:
    """Nothing malformed is read as if it were well."""
    with pytest.raises(NotTtlv):
        parse(broken)
