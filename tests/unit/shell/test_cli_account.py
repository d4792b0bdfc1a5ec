"""Who sits at the machine: what the kernel says, whatever the environment says."""

import os
import pwd
from pathlib import Path

import pytest

from keyrack.shell.cli.options import account, administrator

MYSELF = pwd.getpwuid(os.getuid()).pw_name


def login(directory: Path, text: str) -> Path:
    path = directory / "loginuid"
    path.write_text(text)
    return path


def test_whoever_logged_in_is_named_behind_sudo_too(tmp_path: Path) -> None:
    """The login's number stays the same when the user changes."""
    other = next(each for each in pwd.getpwall() if each.pw_uid != os.getuid())

    assert account(login(tmp_path, str(other.pw_uid))) == other.pw_name


@pytest.mark.parametrize("text", [str(2**32 - 1), "", "nonsense"])
def test_without_a_login_the_process_tells(tmp_path: Path, text: str) -> None:
    """In a container, under a service manager, where there is no such file."""
    assert account(login(tmp_path, text)) == MYSELF
    assert account(tmp_path / "absent") == MYSELF


def test_an_account_that_is_gone_keeps_its_number(tmp_path: Path) -> None:
    """The journal still tells one from another."""
    assert account(login(tmp_path, "3999999999")) == "3999999999"


def test_the_environment_makes_nobody_another_person(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two persons are not one with two values of LOGNAME."""
    before = administrator().initiator
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(variable, "somebody-else")

    assert administrator().initiator == before
