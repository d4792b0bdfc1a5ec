"""What commands print of names that clients and tenants have chosen."""

import json

import pytest

from keyrack.ports.key_manager import KeyManagerRefused
from keyrack.shell.cli import screen
from keyrack.shell.cli.failures import tell

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


def test_json_sends_none_and_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    """JSON leaves some as they are: a terminal obeys U+009B as it obeys ESC [."""
    screen.as_json({"name": HOSTILE, "é": "ü"})

    told = capsys.readouterr().out
    assert all(line.isprintable() for line in told.splitlines())
    assert {"name": HOSTILE, "é": "ü"} == json.loads(told)
    assert "ü" in told


def test_failures_send_none(capsys: pytest.CaptureFixture[str]) -> None:
    """In the text of a failure stands what somebody has called something."""
    tell(KeyManagerRefused(f"{HOSTILE} is a standard key"), debug=False)

    assert all(line.isprintable() for line in capsys.readouterr().err.split("\n"))
