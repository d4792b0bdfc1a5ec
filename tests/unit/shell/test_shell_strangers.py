"""The list of certificates that were seen and not trusted."""

import pytest

from keyrack.shell.kmip.strangers import LONGEST_SUBJECT, Strangers, subject_of
from keyrack.testing.certificates import issue


def test_a_stranger_is_counted() -> None:
    """Once in the list, however often it comes."""
    strangers = Strangers()
    for _ in range(2):
        strangers.remember("f", b"")

    told = strangers.remember("f", b"")

    assert (3, (told,)) == (told.count, strangers.all())


def test_strangers_are_few_and_the_oldest_goes_first() -> None:
    """A flood of certificates does not grow the list; the last seen come first."""
    strangers = Strangers(capacity=3)
    for name in "abcda":
        strangers.remember(name, b"")

    assert ["a", "d", "c"] == [each.fingerprint for each in strangers.all()]


def test_a_stranger_that_is_trusted_is_forgotten() -> None:
    """And one that was never there is no error."""
    strangers = Strangers()
    strangers.remember("a", b"")
    strangers.forget("a")
    strangers.forget("b")

    assert () == strangers.all()


@pytest.mark.parametrize("der", [b"", b"\x30\x00", b"\x30\x82\xff\xff", bytes(64)])
def test_a_subject_that_cannot_be_read_is_empty(der: bytes) -> None:
    """Whatever a stranger sends, reading it for display never fails."""
    assert "" == subject_of(der)


def test_a_subject_is_short_and_has_no_control_characters() -> None:
    """It goes to terminals and logs."""
    subject = subject_of(issue("\x1b[31m" + "x" * 40 + "\n").der)

    assert subject.isprintable()
    assert "CN=?[31m" + "x" * 40 + "?" == subject
    assert LONGEST_SUBJECT >= len(subject)
