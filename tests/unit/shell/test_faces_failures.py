"""How a failure is told: a line for each mistake and an exit code, whatever it was."""

from pathlib import Path

import pytest

from keyrack.ports.catalog import CatalogUnavailable
from keyrack.shell.cli import failures
from keyrack.shell.cli.failures import FORESEEN, tell
from keyrack.shell.config.problems import ConfigError, Problem


def test_each_mistake_of_a_configuration_has_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    """And the exit code of a wrong use."""
    problem = Problem(where="f: a", what="b", why="c", instead="d")

    code = tell(ConfigError([problem, problem]), debug=False)

    assert (code, capsys.readouterr().err) == (2, "keyrack: f: a: b: c; d\n" * 2)


def test_a_kind_of_a_foreseen_kind_is_foreseen(capsys: pytest.CaptureFixture[str]) -> None:
    """The catalog's own exceptions are told by the port's."""

    class Fuller(CatalogUnavailable):
        pass

    assert (tell(Fuller("the disk is full"), debug=False), capsys.readouterr().err) == (
        1,
        "keyrack: the disk is full\n",
    )


def test_every_foreseen_exception_is_there() -> None:
    """They are named by their words, so a renamed class would be told as unexpected."""
    import importlib

    for name in FORESEEN:
        module, _, kind = name.rpartition(".")
        assert issubclass(getattr(importlib.import_module(module), kind), Exception)


def test_the_system_says_what_it_has_with_the_way_out(capsys: pytest.CaptureFixture[str]) -> None:
    """The file's name, the reason, what to do."""
    code = tell(FileNotFoundError(2, "No such file or directory", "/none"), debug=False)

    assert (code, capsys.readouterr().err) == (1, "keyrack: /none: no such file or directory; check the path\n")


def test_what_nobody_foresaw_is_one_line_and_a_private_file(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The traceback is kept for whoever mends it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    log = tmp_path / "keyrack/failures.log"

    code = tell(ZeroDivisionError("odd"), debug=False)

    assert code == 1
    assert capsys.readouterr().err == (
        f"keyrack: unexpected ZeroDivisionError; the details are in {log}; --debug prints them\n"
    )
    assert "ZeroDivisionError: odd" in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    """To whoever asks for it."""
    tell(ZeroDivisionError("odd"), debug=True)

    assert "ZeroDivisionError: odd" in capsys.readouterr().err


def test_a_refusal_to_answer_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-D at a question."""
    import typer

    assert (tell(typer.Abort(), debug=False), capsys.readouterr().err) == (
        1,
        "\nkeyrack: stopped; nothing was changed\n",
    )
    assert issubclass(failures.WrongUse, failures.Failed)
