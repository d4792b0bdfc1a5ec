"""Patterns on names: ``*`` and nothing else, letter for letter, in time that no pattern can blow up."""

import fnmatch
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyrack.domain.patterns import fits, fits_name


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("", "anything", True),
        ("CN=a", "CN=a", True),
        ("CN=a", "CN=A", False),
        ("CN=a", "CN=ab", False),
        ("CN=*,O=x", "CN=vc1,O=x", True),
        ("CN=*,O=x", r"CN=vc1\,O=x", False),
        (r"CN=a\,b", r"CN=a\,b", True),
        ("CN=a*", "CN=a", True),
        ("*a*b*", "xaxbx", True),
        ("*a*b*", "xbxax", False),
        ("a*a", "a", False),
        ("CN=[ab]?", "CN=a1", False),
    ],
)
def test_a_name_fits_or_does_not(pattern: str, name: str, expected: bool) -> None:
    """What is escaped is one character, and never the end of a part."""
    assert fits_name(pattern, name) is expected


@given(st.text("ab*", max_size=8), st.text("ab", max_size=12))
def test_it_matches_as_a_shell_does(pattern: str, text: str) -> None:
    """An empty pattern apart, which fits all."""
    assert fits(pattern, text) is (not pattern or fnmatch.fnmatchcase(text, pattern))


def test_no_pattern_takes_long() -> None:
    """What makes a regular expression look for hours."""
    began = time.process_time()
    assert not fits_name("*a" * 128, "a" * 100 + "b" * 900)
    assert time.process_time() - began < 0.5
