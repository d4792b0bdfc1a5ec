"""Shares, recovery, another unlock and the sealed start, as people do them: real processes, files and sockets."""

import contextlib
import hashlib
import json
import os
import pty
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyrack.shell.cli import run
from keyrack.testing import softhsm
from keyrack.testing.canaries import in_files, in_memory, in_text
from keyrack.testing.process import Deployment
from keyrack.testing.softhsm import SoftHsm

PASSPHRASE = "correct horse battery staple"
NEW_PASSPHRASE = "an altogether different one"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """A deployment with a root key, and five shares of its keystore of which three are needed."""
    made = Deployment(directory=tmp_path_factory.mktemp("model") / "d").initialise()
    made.run("root-key", "create", "vmware")
    exported(made, "shares")
    return made


@pytest.fixture
def fresh(model: Deployment, tmp_path: Path) -> Deployment:
    """A copy of it, which does not serve."""
    return model.copied(tmp_path / "d", {})


@pytest.fixture
def shares(fresh: Deployment) -> list[str]:
    """Its shares."""
    return [str(path) for path in sorted((fresh.directory / "shares").iterdir())]


def exported(deployment: Deployment, name: str, *options: str) -> list[str]:
    """The files of a new export."""
    directory = str(deployment.directory / name)
    paths: list[str] = deployment.read("keystore", "export", "--directory", directory, *options)["shares"]
    return paths


def told(done: subprocess.CompletedProcess[str]) -> tuple[int, str]:
    """Exit code and what was told on standard error."""
    assert "Traceback" not in done.stdout + done.stderr
    return done.returncode, done.stderr.strip()


def written(path: Path, text: str) -> str:
    """A private file with this line."""
    path.touch(mode=0o600)
    path.write_text(f"{text}\n")
    return str(path)


def with_another_letter(share: str) -> str:
    """A share with another letter in it, which is one that may stand there: whatever letters were drawn for it."""
    body = share.splitlines()[8]
    return share.replace(body, f"{body[:7]}{'B' if body[7] == 'A' else 'A'}{body[8:]}")


def state_of(directory: Path) -> dict[str, str]:
    """Every file but the lock, by its content."""
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in directory.rglob("*")
        if path.is_file() and path.suffix != ".lock"
    }


def unlocked_by(deployment: Deployment, line: str) -> None:
    """Change the configuration's line, as the command has said."""
    before = deployment.configuration.read_text()
    (old,) = [each for each in before.splitlines() if each.startswith("unlock")]
    deployment.configuration.write_text(before.replace(old, line))


def root_keys(deployment: Deployment) -> list[str]:
    """The names of the root keys: a keystore that opens."""
    return [each["name"] for each in deployment.read("root-key", "list")]


def test_an_export_is_proved_before_it_is_said_to_be_done(fresh: Deployment) -> None:
    """All ten choices of three among five; the files are their owner's, and how to keep them is told."""
    done = fresh.run("keystore", "export", "--directory", str(fresh.directory / "out"))

    files = sorted((fresh.directory / "out").iterdir())
    assert [f"embedded-share-{number}-of-5.txt" for number in range(1, 6)] == [path.name for path in files]
    assert {0o600} == {path.stat().st_mode & 0o777 for path in files}
    assert "Proved: 10 choices of 3 shares gave the key" in done.stdout
    assert f"Back up {fresh.directory / 'keystore.db'} and {fresh.directory / 'keystore'} as well" in done.stdout
    assert "keyrack keystore verify" in done.stdout


def test_an_export_is_in_the_journal_and_shows_no_share(fresh: Deployment) -> None:
    """Its identifier, how many shares, and who; nothing of the shares themselves."""
    done = fresh.run(
        "keystore", "export", "--directory", str(fresh.directory / "out"), "--shares", "3", "--needed", "2"
    )

    entry = [each for each in fresh.read("audit", "list") if each["action"] == "keyrack.keystore.export"][-1]
    texts = [path.read_text() for path in (fresh.directory / "out").iterdir()]
    assert entry["target"]["id"] in texts[0]
    assert entry["initiator"]["id"].startswith("local-user-")
    assert (2, 3) == (entry["requestData"]["needed"], entry["requestData"]["shares"])
    assert not [text for text in texts if text.splitlines()[8] in done.stdout + done.stderr + json.dumps(entry)]


def test_without_a_journal_nothing_is_exported(fresh: Deployment) -> None:
    """No record, no shares."""
    (fresh.directory / "keystore.db").unlink()

    done = fresh.run("keystore", "export", "--directory", str(fresh.directory / "out"), check=False)

    assert told(done)[0] in (1, 2)
    assert "keystore.db" in done.stderr
    assert not (fresh.directory / "out").exists()


def test_shares_are_never_overwritten(fresh: Deployment, shares: list[str]) -> None:
    """A second export into the same directory is refused as a whole."""
    Path(shares[0]).unlink()
    before = state_of(fresh.directory)

    done = fresh.run("keystore", "export", "--directory", str(fresh.directory / "shares"), "--shares", "5", check=False)

    code, line = told(done)
    assert (code, "already: name another directory" in line) == (1, True)
    assert before == state_of(fresh.directory)


def test_an_export_that_does_not_open_is_taken_back(
    fresh: Deployment, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A disk that writes something else, for example: no file stays that nobody could use."""
    from keyrack.embedded import files
    from keyrack.shell.sealed import sharing

    def garbled(path: Path, content: bytes | bytearray) -> None:
        files.create(path, with_another_letter(bytes(content).decode()).encode())

    class Garbling:
        create = staticmethod(garbled)

    monkeypatch.setattr(sharing, "files", Garbling)
    directory = fresh.directory / "out"

    code = run(["keystore", "export", "--directory", str(directory), "--config", str(fresh.configuration)])

    assert code == 1
    assert "was mistyped or changed" in capsys.readouterr().err
    assert [] == list(directory.iterdir())


def test_shares_are_verified_without_changing_anything(fresh: Deployment, shares: list[str]) -> None:
    """Exactly as many as are needed, or all."""
    before = state_of(fresh.directory)

    three = fresh.read("keystore", "verify", shares[0], shares[4], shares[2])
    all_of_them = fresh.read("keystore", "verify", *shares)

    assert (three["opens"], three["tried"], all_of_them["tried"]) == (True, 1, 10)
    assert before == state_of(fresh.directory)


@pytest.mark.parametrize("command", ["verify", "recover"])
def test_shares_that_do_not_do_are_told_and_change_nothing(
    fresh: Deployment, shares: list[str], tmp_path: Path, command: str
) -> None:
    """Too few, one twice, one of another export, one of another keystore, one mistyped, one that is none."""
    others = exported(fresh, "again")
    foreign = Deployment(directory=tmp_path / "foreign").initialise()
    foreign_shares = exported(foreign, "shares")
    mistyped = with_another_letter(Path(shares[1]).read_text())
    key_file = fresh.directory / "new.key"
    options = ["--key-file", str(key_file)] if command == "recover" else []
    before = state_of(fresh.directory)
    mistakes = {
        "2 of the 3 shares that are needed were given: 1 more of the export": shares[:2],
        "share 2 was given twice": [shares[1], *shares[:2]],
        "only shares of one export fit together": [*shares[:2], others[2]],
        "is of the keystore": foreign_shares[:3],
        "was mistyped or changed": [shares[0], written(tmp_path / "mistyped.txt", mistyped), shares[2]],
        "is not a share": [*shares[:2], str(fresh.configuration)],
        "no such file or directory": [*shares[:2], "nowhere.txt"],
    }

    for said, given in mistakes.items():
        code, line = told(fresh.run("keystore", command, *given, *options, check=False))
        assert (code, said in line, line.count("\n")) == (1, True, 0), line

    assert not key_file.exists()
    assert before == state_of(fresh.directory)


def test_what_was_lost_is_recovered_with_shares(fresh: Deployment, shares: list[str]) -> None:
    """The key file is gone; three people bring it back, and every root key is there."""
    (fresh.directory / "keystore.key").unlink()
    assert fresh.run("root-key", "list", check=False).returncode == 2
    before = (fresh.directory / "keystore").read_bytes()

    done = fresh.run("keystore", "recover", *shares[:3], "--key-file", str(fresh.directory / "keystore.key"))

    assert ["vmware"] == root_keys(fresh)
    (kept,) = fresh.directory.glob("keystore.before-*")
    assert (before, 0o600) == (kept.read_bytes(), kept.stat().st_mode & 0o777)
    assert str(kept) in done.stdout
    assert "stays as it is" in done.stdout
    assert "keyrack.keystore.recover" in {each["action"] for each in fresh.read("audit", "list")}
    assert fresh.read("keystore", "verify", *shares[2:])["opens"]


def test_recovery_does_without_the_database(fresh: Deployment, shares: list[str]) -> None:
    """The keystore is sealed anew; that the journal has no word of it is told."""
    (fresh.directory / "keystore.db").rename(fresh.directory / "elsewhere")

    done = fresh.run("keystore", "recover", *shares[:3], "--key-file", str(fresh.directory / "new.key"))
    (fresh.directory / "elsewhere").rename(fresh.directory / "keystore.db")

    assert "done, and not in the journal" in done.stderr
    unlocked_by(fresh, 'unlock = { key_file = "new.key" }')
    assert ["vmware"] == root_keys(fresh)


def test_a_key_file_that_is_there_is_not_taken_for_a_new_one(fresh: Deployment, shares: list[str]) -> None:
    """It may open something else."""
    before = state_of(fresh.directory)

    for command in (["recover", *shares[:3]], ["change-unlock"]):
        options = ["--key-file", str(fresh.directory / "keystore.key")]
        code, line = told(fresh.run("keystore", *command, *options, check=False))
        assert (code, "is there already: name another" in line) == (1, True)

    assert before == state_of(fresh.directory)


def test_another_unlock_and_back(fresh: Deployment, shares: list[str], tmp_path: Path) -> None:
    """From key file to passphrase to key file: the line to change is told, and the old way opens no more."""
    file = written(tmp_path / "passphrase", NEW_PASSPHRASE)

    done = fresh.run("keystore", "change-unlock", "--passphrase-file", file)

    line = f'unlock = {{ passphrase_file = "{file}" }}'
    assert f"Now change this line in {fresh.configuration}, under [key_managers.embedded]" in done.stdout
    assert line in done.stdout
    code, told_now = told(fresh.run("root-key", "list", check=False))
    assert (code, "it is sealed by a passphrase, and a key file was given" in told_now) == (2, True)
    unlocked_by(fresh, line)
    assert ["vmware"] == root_keys(fresh)
    assert NEW_PASSPHRASE not in done.stdout + done.stderr

    fresh.run("keystore", "change-unlock", "--key-file", str(fresh.directory / "second.key"))
    assert fresh.run("root-key", "list", check=False).returncode == 2
    unlocked_by(fresh, 'unlock = { key_file = "second.key" }')
    assert ["vmware"] == root_keys(fresh)
    assert not list(fresh.directory.glob("keystore.before-*"))
    assert fresh.read("keystore", "verify", *shares[:3])["opens"]


def test_what_makes_no_sense_is_wrong_use(fresh: Deployment, tmp_path: Path) -> None:
    """Exit code 2, and nothing was changed."""
    short = written(tmp_path / "short", "too short")
    before = state_of(fresh.directory)
    words = {
        "one thing opens a keystore": ("change-unlock", "--key-file", "a", "--hsm"),
        "say what shall open it": ("change-unlock",),
        "at least 12 characters": ("change-unlock", "--passphrase-file", short),
        "4 of 3 shares cannot be had": ("export", "--directory", "d", "--shares", "3", "--needed", "4"),
        "invalid value for '--shares'": ("export", "--directory", "d", "--shares", "17"),
        "missing option '--directory'": ("export",),
        "name one of them with --key-manager": ("verify", "x", "--key-manager", "nope"),
    }

    for said, given in words.items():
        code, line = told(fresh.run("keystore", *given, check=False))
        assert (code, said in line) == (2, True), line
    code, line = told(fresh.run("keystore", "change-unlock", "--hsm", check=False))
    assert (code, "names no HSM" in line) == (1, True)
    assert before == state_of(fresh.directory)


def test_a_credential_opens_the_keystore(fresh: Deployment, tmp_path: Path) -> None:
    """As systemd hands it out; without systemd it is told."""
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    shutil.move(fresh.directory / "keystore.key", credentials / "keyrack")
    (credentials / "keyrack").chmod(0o440)
    unlocked_by(fresh, 'unlock = { credential = "keyrack" }')

    code, line = told(fresh.run("root-key", "list", check=False))
    fresh.environment = {"CREDENTIALS_DIRECTORY": str(credentials)}

    assert (code, "$CREDENTIALS_DIRECTORY is not set" in line) == (2, True)
    assert ["vmware"] == root_keys(fresh)


@pytest.mark.skipif(softhsm.absent() is not None, reason=str(softhsm.absent()))
def test_the_keystore_moves_into_an_hsm_and_out_with_shares(fresh: Deployment, tmp_path: Path) -> None:
    """Sealed by a key of the token; with the token lost only shares open it."""
    hsm = SoftHsm.create(tmp_path / "hsm")
    fresh.environment = dict(hsm.environment)
    table = f'[key_managers.embedded.hsm]\nlibrary = "{hsm.library}"\ntoken = "keyrack"\npin_file = "{hsm.pin_file}"\n'
    fresh.configuration.write_text(fresh.configuration.read_text() + "\n" + table)

    done = fresh.run("keystore", "change-unlock", "--hsm")

    assert "unlock = { hsm = true }" in done.stdout
    unlocked_by(fresh, "unlock = { hsm = true }")
    assert ["vmware"] == root_keys(fresh)
    export = fresh.run("keystore", "export", "--directory", str(tmp_path / "shares"))
    assert "Root keys that the HSM keeps are not in it" in export.stdout
    hsm.lose()
    assert fresh.run("root-key", "list", check=False).returncode == 2
    given = [str(path) for path in sorted((tmp_path / "shares").iterdir())]
    fresh.run("keystore", "recover", *given[1:4], "--key-file", str(fresh.directory / "new.key"))
    unlocked_by(fresh, 'unlock = { key_file = "new.key" }')
    assert ["vmware"] == root_keys(fresh)


# The sealed start ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sealed_model(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """A deployment whose passphrase is typed after each start."""
    directory = tmp_path_factory.mktemp("sealed")
    file = written(directory / "passphrase", PASSPHRASE)
    made = Deployment(directory=directory / "d")
    return made.initialise("--protect", "unseal", "--passphrase-file", file)


@pytest.fixture
def sealed(sealed_model: Deployment, tmp_path: Path) -> Iterator[Deployment]:
    """A server that has started sealed."""
    written(tmp_path / "passphrase", PASSPHRASE)
    made = sealed_model.copied(tmp_path / "d", sealed_model.environment)
    made.environment = {"KEYRACK_LOG__LEVEL": "debug"}
    started(made)
    yield made
    made.stop(signal.SIGKILL)


def started(deployment: Deployment) -> None:
    """Serve, until the server waits."""
    deployment.forget_address()
    with deployment.log.open("ab") as log:
        deployment.process = subprocess.Popen(
            [*deployment.command, "serve", "--config", str(deployment.configuration)],
            env=deployment.served_environment(),
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
        )
    until = time.monotonic() + 20
    while not (deployment.directory / "run" / "unseal").exists():
        assert deployment.process.poll() is None, deployment.log.read_text()
        assert time.monotonic() < until
        time.sleep(0.02)


def opened_by(pid: int) -> set[str]:
    """What a process has open, as /proc names it; what it closes meanwhile is left out."""
    found = set()
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.add(os.readlink(path))
    return found


def serves(deployment: Deployment) -> tuple[str, int]:
    """The address, once it is there."""
    process = deployment.process
    assert process is not None
    return deployment.await_address(lambda: process.poll() is None)


def test_a_sealed_server_says_so_and_serves_nobody(sealed: Deployment) -> None:
    """No listener at all, so that vCenter goes to the other endpoint; status is 3."""
    assert sealed.process is not None
    done = sealed.run("status", check=False)
    found = json.loads(sealed.run("status", "--json", check=False).stdout)
    inodes = opened_by(sealed.process.pid)
    listening = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()

    assert done.returncode == 3
    assert "sealed: the server waits for what opens embedded; bring it with 'keyrack unseal'" in done.stdout
    assert (found["healthy"], found["sealed"]) == (False, ["embedded"])
    assert "sealed; waiting for 'keyrack unseal'" in sealed.log.read_text()
    sockets = {link[8:-1] for link in inodes if link.startswith("socket:")}
    assert not [line for line in listening.splitlines()[1:] if line.split()[9] in sockets]
    assert not (sealed.directory / "run" / "kmip.address").exists()


def test_the_passphrase_lets_it_serve(sealed: Deployment, tmp_path: Path) -> None:
    """A wrong one is told, the right one too, and the start goes on; nothing of either is left anywhere."""
    wrong = written(tmp_path / "wrong", "incorrect horse battery")

    refused = sealed.run("unseal", "--passphrase-file", wrong, check=False)
    done = sealed.run("unseal", "--passphrase-file", str(tmp_path / "passphrase"))

    code, line = told(refused)
    assert (code, "passphrase is not the one that seals it" in line) == (1, True)
    assert "the keystore 'embedded' is open" in done.stdout
    host, port = serves(sealed)
    socket.create_connection((host, port), 5).close()
    assert sealed.run("status", check=False).returncode == 0
    assert [] == sealed.read("status")["sealed"]
    assert not (sealed.directory / "run" / "unseal").exists()
    secrets = [PASSPHRASE.encode(), b"incorrect horse battery"]
    assert [] == in_files(secrets, sealed.directory)
    assert [] == in_text(secrets, done.stdout + done.stderr + refused.stdout + refused.stderr)
    code, line = told(sealed.run("unseal", "--passphrase-file", wrong, check=False))
    assert (code, line) == (1, "keyrack: no server waits to be unsealed; see 'keyrack status'")


@pytest.mark.skipif(os.geteuid() != 0, reason="the server keeps its memory private; only root may look")
def test_no_passphrase_stays_in_the_memory_of_the_server(sealed: Deployment, tmp_path: Path) -> None:
    """Neither the wrong one nor the right one; the search finds what is there."""
    wrong = "a wrong one that is looked for"
    sealed.run("unseal", "--passphrase-file", written(tmp_path / "wrong", wrong), check=False)
    sealed.run("unseal", "--passphrase-file", str(tmp_path / "passphrase"))
    serves(sealed)
    assert sealed.process is not None

    found = in_memory([PASSPHRASE.encode(), wrong.encode(), b"sealed; waiting for 'keyrack"], sealed.process.pid)

    assert [0, 0] == list(found.values())[:2]
    assert list(found.values())[2] > 0


def test_shares_let_it_serve(sealed: Deployment, tmp_path: Path) -> None:
    """As many people as are needed, without the passphrase; two are told that they are too few."""
    sealed.run("unseal", "--passphrase-file", str(tmp_path / "passphrase"))
    serves(sealed)
    sealed.stop()
    unlocked_by(sealed, f'unlock = {{ passphrase_file = "{tmp_path / "passphrase"}" }}')
    shares = exported(sealed, "shares")
    foreign = exported(Deployment(directory=tmp_path / "foreign").initialise(), "shares")
    unlocked_by(sealed, "unlock = { unseal = true }")
    started(sealed)

    few = told(sealed.run("unseal", "--share", shares[0], "--share", shares[1], check=False))
    others = told(sealed.run("unseal", *(f"--share={path}" for path in foreign[:3]), check=False))
    done = sealed.run("unseal", "--share", shares[0], "--share", shares[3], "--share", shares[1])

    assert (few[0], "2 of the 3 shares" in few[1]) == (1, True)
    assert (others[0], "and sealed are:" in others[1]) == (1, True)
    assert "is open" in done.stdout
    serves(sealed)


def test_at_a_terminal_the_passphrase_is_asked_for_without_echo(sealed: Deployment) -> None:
    """Mistyped once, it may be typed again; the screen shows neither."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "keyrack", "unseal", "--config", str(sealed.configuration)],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        env=sealed.served_environment(),
    )
    os.close(slave)
    screen = b""
    try:
        for typed in ("mistyped horse battery", PASSPHRASE):
            while not screen.rstrip().endswith(b"keystore 'embedded':"):
                screen += os.read(master, 4096)
            # The echo is off by now: it is switched off before the question is written.
            os.write(master, typed.encode() + b"\n")
            screen += b"|"
        while process.poll() is None:
            try:
                screen += os.read(master, 4096)
            except OSError:
                break
        assert process.wait(20) == 0
    finally:
        os.close(master)
        process.kill()

    assert b"passphrase is not the one" in screen
    assert b"horse" not in screen
    serves(sealed)


def test_a_sealed_server_ends_when_it_is_told_to(sealed: Deployment) -> None:
    """In good order."""
    assert sealed.stop() == 0
    assert not (sealed.directory / "run" / "unseal").exists()
    assert sealed.run("status", check=False).returncode == 3


def test_several_processes_are_unsealed_once(sealed_model: Deployment, tmp_path: Path) -> None:
    """And one that dies is started again without anybody being asked."""
    made = sealed_model.copied(tmp_path / "d", sealed_model.environment)
    made.environment = {"KEYRACK_KMIP__WORKERS": "2"}
    file = written(tmp_path / "passphrase", PASSPHRASE)
    started(made)
    try:
        made.run("unseal", "--passphrase-file", file)
        serves(made)
        assert made.process is not None
        children = Path(f"/proc/{made.process.pid}/task/{made.process.pid}/children")
        before = children.read_text().split()
        os.kill(int(before[1]), signal.SIGKILL)
        until = time.monotonic() + 10
        while (after := children.read_text().split()) == before or len(after) < 2:
            assert time.monotonic() < until
            time.sleep(0.05)
        time.sleep(1.5)

        assert after == children.read_text().split()
        assert "cannot start" not in made.log.read_text()
    finally:
        assert made.stop() == 0


def test_the_terminal_is_needed_where_nobody_is(sealed: Deployment) -> None:
    """A command that would ask says what else it takes."""
    code, line = told(sealed.run("unseal", check=False))

    assert (code, "use --passphrase-file FILE or --share FILE" in line) == (2, True)
