"""The demonstration: it shows the main job, proves it by its exit code, and leaves nothing behind."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from keyrack.shell.demonstration_console import Way, walked

KEYRACK = (sys.executable, "-m", "keyrack")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Temporary files in a place of the test's own."""
    return {**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}


def test_the_check_plays_all_and_leaves_with_0(environment: dict[str, str], tmp_path: Path) -> None:
    """Every key is there, active, named and fetched; the directory is gone."""
    words = ["demo", "--check", "--json", "--vms", "4", "--port", "0"]

    done = subprocess.run([*KEYRACK, *words], env=environment, capture_output=True, text=True, check=False, timeout=60)

    shown = json.loads(done.stdout)
    assert (done.returncode, shown["ok"], shown["problems"]) == (0, True, [])
    assert {step["ok"] for step in shown["steps"]} == {True}
    names = ["esxi-01.example.com", "esxi-02.example.com", "vm-01", "vm-02", "vm-03", "vm-04"]
    assert sorted(key["name"] for key in shown["keys"]) == names
    assert {key["state"] for key in shown["keys"]} == {"Active"}
    assert list(tmp_path.iterdir()) == []


def test_a_check_that_cannot_be_made_leaves_with_1(environment: dict[str, str], tmp_path: Path) -> None:
    """One line, no traceback, nothing left behind."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        words = ["demo", "--check", "--port", str(taken.getsockname()[1])]
        done = subprocess.run([*KEYRACK, *words], env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr.startswith(f"keyrack: 127.0.0.1:{words[-1]}: address already in use;")
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_it_stays_for_other_commands_until_it_is_told_to_end(environment: dict[str, str], tmp_path: Path) -> None:
    """Each of the commands that it proposes works as it stands."""
    process = subprocess.Popen([*KEYRACK, "demo", "--port", "0"], env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line.strip())
            if line.startswith("Ctrl-C"):
                break
        proposed = [line.split()[1:] for line in lines if line.startswith("keyrack ")]
        link = next(line for line in lines if line.startswith("https://") and "#" in line)
        kept = Path(next(line.split()[-1] for line in lines if line.startswith("everything is in")))
        way = Way(link, "demo", "")
        certificate = (kept / "tls" / "server.pem").read_text()
        walks = [walked(way, certificate, "demo") for _ in range(2)]
        token = link.partition("#")[2].encode()
        told = [path for path in kept.rglob("*") if path.is_file() and token in path.read_bytes()]
        done = [
            subprocess.run(
                [*KEYRACK, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
            )
            for words in proposed
        ]
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(20)

    assert [(each.returncode, each.stderr) for each in done] == [(0, "")] * 4
    assert walks == ["", "the one-time link was answered with 401"], "it logs in, and once"
    assert told == [], "the token is nowhere in catalog, journal and logs"
    assert "never point a real vCenter here" in lines[-2]
    assert code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["my-client"]


def test_what_is_kept_stays(environment: dict[str, str], tmp_path: Path) -> None:
    """In a new directory, and only there."""
    kept = tmp_path / "kept"
    words = [*KEYRACK, "demo", "--check", "--keep", str(kept), "--port", "0"]

    first = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    second = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)

    assert (first.returncode, second.returncode) == (0, 2)
    assert (kept / "catalog.db").is_file()
    assert "is there already" in second.stderr


def test_it_ends_at_once_when_it_is_interrupted(environment: dict[str, str], tmp_path: Path) -> None:
    """In the middle of the conversation, too."""
    words = [*KEYRACK, "demo", "--vms", "500", "--port", "0"]
    process = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if "vm-02" in line:
            break
    process.send_signal(signal.SIGTERM)
    asked = time.monotonic()

    _, errors = process.communicate(timeout=20)

    assert time.monotonic() - asked < 8
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []


def test_help_imports_nothing_of_the_house() -> None:
    """It answers at once because it has nothing to load."""
    probe = (
        "import sys; from keyrack.shell.cli.app import command; command();"
        "print(sorted({'asyncio', 'cryptography', 'pydantic', 'sqlite3', 'OpenSSL', 'rich'} & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
