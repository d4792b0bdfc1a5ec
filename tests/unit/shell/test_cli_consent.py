"""The one rule about what cannot be taken back: a person agrees, or a script has said so, or nothing is done."""

import io
import sys

import pytest
import typer

from keyrack.shell.cli.consent import consent
from keyrack.shell.cli.failures import WrongUse


class Terminal(io.StringIO):
    """Somebody who types."""

    def isatty(self) -> bool:
        return True


def agree(*, yes: bool = False) -> None:
    consent("remove it", "Remove it?", yes=yes)


@pytest.mark.parametrize("typed", ["", "y\n", "yes\n"])
def test_where_nobody_can_be_asked_nothing_is_done(monkeypatch: pytest.MonkeyPatch, typed: str) -> None:
    """Whatever comes through the pipe: that is no person."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))

    with pytest.raises(
        WrongUse, match=r"nobody is at a terminal.*; say --yes to remove it\. Nothing was changed"
    ) as no:
        agree()

    assert no.value.code == 2


def test_a_script_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is asked then, at a terminal neither."""
    for stdin in (io.StringIO(), Terminal()):
        monkeypatch.setattr(sys, "stdin", stdin)
        agree(yes=True)

    assert capsys.readouterr() == ("", "")


def test_a_person_is_asked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """On standard error, so that what a command prints stays its result alone; a no and an empty line stop it."""
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    agree()
    for typed in ("n\n", "\n", ""):
        monkeypatch.setattr(sys, "stdin", Terminal(typed))
        with pytest.raises(typer.Abort):
            agree()

    output, beside = capsys.readouterr()
    assert (output.strip(), "Remove it? [y/N]" in beside) == ("", True)
