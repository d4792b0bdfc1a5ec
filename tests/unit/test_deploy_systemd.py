"""The units of systemd: its own tools read them, and they are hardened as they say."""

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

from keyrack.shell.cli.app import command

UNITS = Path(__file__).parents[2] / "deploy" / "systemd"
SERVICES = sorted(each.name for each in UNITS.glob("*.service"))
TIMERS = sorted(each.name for each in UNITS.glob("*.timer"))
PROGRAM = "/opt/keyrack/bin/keyrack"
MOST_EXPOSED = "20"
"""Tenths of what ``systemd-analyze security`` calls exposure, of 100; 20 and less it calls OK."""

with_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd: apt-get install")


def unit(name: str) -> dict[str, list[tuple[str, str]]]:
    """The settings of each section, in order: a name may be there more than once."""
    sections: dict[str, list[tuple[str, str]]] = {}
    for line in (UNITS / name).read_text().splitlines():
        if line.startswith("["):
            sections[line.strip("[]")] = []
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            list(sections.values())[-1].append((key, value))
    return sections


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units, with a program that is there."""
    program = tmp_path / "keyrack"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for each in (*SERVICES, *TIMERS):
        (tmp_path / each).write_text((UNITS / each).read_text().replace(PROGRAM, str(program)))
    return tmp_path


@with_systemd
def test_systemd_understands_every_line(installed: Path) -> None:
    """An unknown setting is a warning only, and no protection: so nothing at all may be said."""
    files = [str(installed / each) for each in (*SERVICES, *TIMERS)]
    told = subprocess.run(["systemd-analyze", "verify", "--man=no", *files], capture_output=True, text=True, check=True)

    assert [] == [line for line in told.stderr.splitlines() if str(installed) in line]


@with_systemd
@pytest.mark.parametrize("name", SERVICES)
def test_little_is_left_open(installed: Path, name: str) -> None:
    """As systemd counts it; its examples of drop-ins change no more than they say."""
    words = ["systemd-analyze", "security", "--offline=true", "--no-pager", f"--threshold={MOST_EXPOSED}"]

    told = subprocess.run([*words, str(installed / name)], capture_output=True, text=True, check=False)

    assert told.returncode == 0, told.stdout[-2000:]


@with_systemd
@pytest.mark.parametrize("example", sorted(each.name for each in (UNITS / "keyrack.service.d").iterdir()))
def test_drop_ins_are_understood(installed: Path, example: str) -> None:
    """Each beside the unit, under the name that it is to have there."""
    place = installed / "keyrack.service.d"
    place.mkdir()
    shutil.copy(UNITS / "keyrack.service.d" / example, place / example.removesuffix(".example"))

    told = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(installed / "keyrack.service")],
        capture_output=True,
        text=True,
        check=True,
    )

    assert [] == [line for line in told.stderr.splitlines() if "keyrack" in line]


@pytest.mark.parametrize("name", SERVICES)
def test_memory_and_files_stay_private(name: str) -> None:
    """Never in a core file or in swap, and nothing is written but what the service owns."""
    settings = unit(name)["Service"]

    assert {
        ("User", "keyrack"),
        ("NoNewPrivileges", "true"),
        ("ProtectSystem", "strict"),
        ("SystemCallFilter", "@system-service"),
        ("CapabilityBoundingSet", ""),
        ("LimitCORE", "0"),
        ("LimitMEMLOCK", "infinity"),
        ("MemorySwapMax", "0"),
        ("UMask", "0077"),
        ("StateDirectoryMode", "0700"),
    } <= set(settings)


def test_the_server_comes_back_and_holds_its_connections() -> None:
    """It says READY=1 itself, and is not watched for what it does not send."""
    settings = dict(unit("keyrack.service")["Service"])

    assert settings["Type"] == "notify"
    assert settings["Restart"] == "always"
    assert dict(unit("keyrack.service")["Unit"])["StartLimitIntervalSec"] == "0"
    assert int(settings["LimitNOFILE"]) > 2 * 4096
    assert "WatchdogSec" not in settings


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_started_is_a_command(name: str) -> None:
    """Its words and its options, as the command line knows them."""
    program, *words = dict(unit(name)["Service"])["ExecStart"].split()

    assert program == PROGRAM
    here = command()
    for word in words:
        if word.startswith("-"):
            assert word in {name for each in here.params for name in each.opts}
        elif not word.startswith("/"):
            assert word in here.commands
            here = here.commands[word]


@pytest.mark.parametrize("name", TIMERS)
def test_every_timer_has_its_service(name: str) -> None:
    """And a night that was missed is made up for."""
    assert name.replace(".timer", ".service") in SERVICES
    assert dict(unit(name)["Timer"])["Persistent"] == "true"


@pytest.mark.skipif(shutil.which("systemd-tmpfiles") is None, reason="needs systemd: apt-get install systemd")
def test_account_and_directories(tmp_path: Path) -> None:
    """systemd's own tools make them, in a root of their own; secrets are root's."""
    (tmp_path / "etc").mkdir()
    for words in (
        ["systemd-sysusers", f"--root={tmp_path}", str(UNITS / "keyrack.sysusers.conf")],
        ["systemd-tmpfiles", f"--root={tmp_path}", "--create", str(UNITS / "keyrack.tmpfiles.conf")],
    ):
        told = subprocess.run(words, capture_output=True, text=True, check=False)
        if "Permission denied" in told.stderr or "not permitted" in told.stderr:
            pytest.skip("only root can give files to another account")
        assert told.returncode == 0, told.stderr
    shown = configparser.ConfigParser(delimiters=(":",), allow_no_value=True, interpolation=None)
    shown.read_string("[passwd]\n" + (tmp_path / "etc" / "passwd").read_text())

    assert shown["passwd"]["keyrack"].endswith("/usr/sbin/nologin")
    assert {"etc/keyrack", "etc/keyrack/secrets", "var/lib/keyrack", "var/backups/keyrack"} <= {
        str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")
    }
    assert (tmp_path / "etc/keyrack/secrets").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "etc/keyrack/secrets").stat().st_uid == 0
    assert (tmp_path / "var/lib/keyrack").stat().st_mode & 0o777 == 0o700
