"""What commands print of names that clients and tenants have chosen."""

import pytest

from keyrack.shell.cli import screen

HOSTILE = "a\x1b[2J\x1b]0;title\x07\nb\x9b2J\u202e"


@pytest.mark.parametrize("told", [[("name", HOSTILE)], [(HOSTILE, "value")], [("several", [HOSTILE])]])
def test_pairs_send_no_control_character(told: list[tuple[str, object]], capsys: pytest.CaptureFixture[str]) -> None:
    """``keyrack key show`` tells the attributes that a KMIP client gave its key, their names too."""
    screen.pairs(told)

    (line,) = capsys.readouterr().out.removesuffix("\n").split("\n")
    assert line.isprintable()


def test_tables_send_none_either(capsys: pytest.CaptureFixture[str]) -> None:
    screen.table(("name",), [[HOSTILE]])

    assert all(line.isprintable() for line in capsys.readouterr().out.splitlines())
