"""The files in which serving processes say how far they are: nobody else on the machine can lock or lead them."""

import os
import stat
from pathlib import Path

import pytest

from keyrack.shell.kmip.taken import DIRECTORY, Taken, serving


def test_only_the_servers_own_user_can_lock_them(tmp_path: Path) -> None:
    """A lock is all that tells a process that lives from one that is dead."""
    with Taken(tmp_path):
        (file,) = (tmp_path / DIRECTORY).iterdir()
        modes = [stat.S_IMODE(each.stat().st_mode) for each in (file, file.parent)]
        assert [each.pid for each in serving(tmp_path)] == [os.getpid()]
    assert modes == [0o600, 0o700]


def test_a_link_in_the_place_of_the_file_is_not_followed(tmp_path: Path) -> None:
    """Whoever could put one there must not have another file written."""
    other = tmp_path / "other"
    other.write_text("as it was")
    (tmp_path / DIRECTORY).mkdir()
    (tmp_path / DIRECTORY / f"{os.getpid()}.json").symlink_to(other)

    with pytest.raises(OSError, match="symbolic links"):
        Taken(tmp_path).open()
    assert other.read_text() == "as it was"
