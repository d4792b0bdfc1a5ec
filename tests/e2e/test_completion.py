"""Completion as a shell asks for it: commands, options, and the names of instances."""

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

KEYRACK = f"{sys.executable} -m keyrack"
ASKS = """
keyrack() { %s "$@"; }
source <(%s completion bash)
COMP_WORDS=(%s) COMP_CWORD=%d
_keyrack_completion keyrack
printf '%%s\\n' "${COMPREPLY[@]}"
"""


def completed(*words: str, environment: dict[str, str] | None = None) -> list[str]:
    """What bash offers for the last of these words, behind ``keyrack``."""
    quoted = " ".join(f"'{word}'" for word in ("keyrack", *words))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "--norc", "-c", ASKS % (KEYRACK, KEYRACK, quoted, len(words))],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PATH": path, **(environment or {})},
    )
    assert not done.stderr
    return done.stdout.split()


def test_bash_completes_commands_and_options() -> None:
    assert ["instance"] == completed("inst")
    assert ["seal"] == completed("instance", "sea")
    assert ["--config"] == completed("status", "--conf")


def test_bash_completes_the_names_of_instances(tmp_path: Path) -> None:
    """And says nothing where there is no catalog, or none that can be read."""
    (tmp_path / "keyrack.toml").write_text(
        '[deployment]\nid = "keyrack-1"\n[key_managers.embedded]\ntype = "embedded"\nunlock = { key_file = "k" }\n'
    )
    configured = {"KEYRACK_CONFIG": str(tmp_path / "keyrack.toml")}
    assert [] == completed("instance", "show", "p", environment=configured)
    catalog = sqlite3.connect(tmp_path / "catalog.db")
    catalog.executescript(
        "CREATE TABLE instance (name TEXT); INSERT INTO instance VALUES ('prod'), ('proof'), ('stage');"
    )
    catalog.close()

    assert ["prod", "proof"] == completed("instance", "show", "pro", environment=configured)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_takes_its_script(shell: str) -> None:
    script = subprocess.run(
        [sys.executable, "-m", "keyrack", "completion", shell], capture_output=True, text=True, check=True
    ).stdout

    assert "_KEYRACK_COMPLETE" in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True)
