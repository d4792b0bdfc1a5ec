"""The commands as their users meet them: real processes, their output, their exit codes."""

import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from keyrack.testing.catalogs import executed, over_postgres
from keyrack.testing.certificates import Identity, client, server
from keyrack.testing.client import Client, ConnectionEnded
from keyrack.testing.process import Deployment, Served, serve
from keyrack.testing.vcenter_frames import discover


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A Keyrack of its own: these tests change what others would stumble over."""
    running = serve(tmp_path_factory.mktemp("commands"))
    yield running
    assert running.deployment is not None
    running.deployment.stop()


@pytest.fixture
def deployment(served: Served) -> Deployment:
    """The same, for commands."""
    assert served.deployment is not None
    return served.deployment


@pytest.fixture
def fresh(tmp_path: Path) -> Deployment:
    """A deployment that does not serve."""
    made = Deployment(directory=tmp_path / "fresh")
    made.run("init", "--directory", str(made.directory), "--yes", configured=False)
    return made


def told(done: subprocess.CompletedProcess[str]) -> tuple[int, str]:
    """Exit code and what was told on standard error."""
    assert "Traceback" not in done.stdout + done.stderr
    return done.returncode, done.stderr.strip()


def offered(deployment: Deployment, name: str) -> tuple[Identity, str]:
    """A new client, and the file of its certificate."""
    identity = client(deployment.authority, name)
    path = deployment.directory / f"{name}.pem"
    path.write_bytes(identity.pem)
    return identity, str(path)


def is_let_in(served: Served, identity: Identity) -> bool:
    """Whether the listener answers this client."""
    try:
        with served.connect(identity=identity) as conversation:
            return bool(conversation.exchange(discover()))
    except (ConnectionEnded, OSError):
        return False


def within(seconds: float, what: object) -> bool:
    """Whether ``what()`` comes true in time."""
    assert callable(what)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if what():
            return True
        time.sleep(0.02)
    return False


def test_init_makes_private_files_and_names_the_next_commands(tmp_path: Path) -> None:
    """Whoever reads keystore, key file, catalog or server key has too much."""
    directory = tmp_path / "k"
    new = Deployment(directory=directory)

    done = new.run("init", "--directory", str(directory), "--yes", "--name", "kms.example.com", configured=False)

    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in directory.rglob("*")}
    secret = {"catalog.db", "keystore", "keystore.key", "ca.key", "server.key", "keyrack.toml"}
    assert {modes[name] for name in secret} == {"0o600"}
    assert modes["tls"] == "0o700"
    assert "kms.example.com" in done.stdout
    assert re.search(r"SHA-256 +([0-9A-F]{2}:){31}[0-9A-F]{2}$", done.stdout, re.MULTILINE)
    assert f"keyrack serve --config {directory}/keyrack.toml" in done.stdout


def test_programs_of_this_machine_verify_the_certificate_too(tmp_path: Path) -> None:
    """The key manager's API listens on 127.0.0.1, unless it is told otherwise."""
    new = Deployment(directory=tmp_path / "new")
    words = ("init", "--directory", str(new.directory), "--yes", "--name", "kms.example.com")
    new.run(*words, configured=False)

    certificate = x509.load_pem_x509_certificate((new.directory / "tls" / "server.pem").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["kms.example.com", "localhost"]
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]


@pytest.mark.parametrize(
    "words",
    [("--protect", "key-file", "--hsm", "/lib/x.so", "--token", "t", "--pin-file", "p"), ("--hsm", "/lib/x.so")]
    + [("--protect", kind, "--passphrase-file", "p") for kind in ("key-file", "hsm")],
)
def test_init_leaves_out_nothing_that_was_asked_for(tmp_path: Path, words: tuple[str, ...]) -> None:
    """An option that would not count is refused: somebody relies on the HSM, or on the passphrase."""
    new = Deployment(directory=tmp_path / "new")
    done = new.run("init", "--directory", str(new.directory), "--yes", *words, configured=False, check=False)

    assert told(done)[0] == 2
    assert not new.directory.exists()


def test_init_overwrites_nothing(fresh: Deployment) -> None:
    """What is in the way is named, and how much more, and all stays as it was."""
    before = {path: path.read_bytes() for path in fresh.directory.rglob("*") if path.is_file()}

    done = fresh.run("init", "--directory", str(fresh.directory), "--yes", configured=False, check=False)

    assert told(done)[0] == 1
    assert f"{fresh.directory}/keyrack.toml is there already, and " in done.stderr
    assert {path: path.read_bytes() for path in before} == before


def test_init_leaves_nothing_half_made(tmp_path: Path) -> None:
    """A configuration that cannot be written undoes the rest."""
    blocked = tmp_path / "file"
    blocked.touch()
    new = Deployment(directory=tmp_path / "k")
    options = ("--directory", str(new.directory), "--config", str(blocked / "keyrack.toml"), "--yes")

    done = new.run("init", *options, configured=False, check=False)

    assert done.returncode == 1
    assert not new.directory.exists()


def test_a_passphrase_opens_the_keystore(tmp_path: Path) -> None:
    """The right one from its file; the wrong one is told in a line, and so is a file that others can read."""
    secret = tmp_path / "passphrase"
    secret.write_text("correct horse battery\nnot part of it\n")
    secret.chmod(0o644)
    new = Deployment(directory=tmp_path / "k")
    words = ("init", "--directory", str(new.directory), "--yes", "--passphrase-file", str(secret))
    assert f"warning: others can read {secret}" in new.run(*words, configured=False).stderr

    right = new.run("instance", "create", "one")
    secret.write_text("incorrect horse battery\n")
    wrong = new.run("instance", "create", "two", check=False)

    assert right.returncode == 0
    code, line = told(wrong)
    assert (code, line.count("\n")) == (2, 0)
    assert "the passphrase is not the one that seals it" in line


def test_status_is_healthy_while_the_server_serves(deployment: Deployment) -> None:
    """Exit code 0, and the numbers for machines."""
    found = deployment.read("status")

    assert found["healthy"] is True
    assert {each["what"] for each in found["findings"]} >= {"listener", "server certificate", "catalog", "journal"}


def test_status_is_unhealthy_when_nobody_listens(fresh: Deployment) -> None:
    """Exit code 3, and the line says how to start."""
    done = fresh.run("status", check=False)

    assert done.returncode == 3
    assert "the server does not run; start it with 'keyrack serve'" in done.stdout


@pytest.mark.sqlite("its file is gone")
def test_status_is_unhealthy_without_its_catalog(fresh: Deployment) -> None:
    """And still looks at the rest."""
    (fresh.directory / "catalog.db").unlink()

    done = fresh.run("status", check=False)

    assert done.returncode == 3
    assert "✓ server certificate" in done.stdout
    assert "catalog.db is not there" in done.stdout


def test_a_certificate_counts_within_a_second_and_stops_counting_as_fast(
    served: Served, deployment: Deployment
) -> None:
    """On an open connection too, and no restart."""
    identity, path = offered(deployment, "coming-and-going")
    assert not is_let_in(served, identity)

    deployment.run("cert", "add", "tests", path)
    assert within(1, lambda: is_let_in(served, identity))
    with served.connect(identity=identity) as conversation:
        deployment.run("cert", "remove", "tests", identity.fingerprint[:16], "--yes")
        assert within(1, lambda: _is_cut(conversation))
    assert not is_let_in(served, identity)


def _is_cut(conversation: Client) -> bool:
    try:
        conversation.exchange(discover())
    except (ConnectionEnded, OSError):
        return True
    return False


def test_a_certificate_stays_where_nobody_can_be_asked(deployment: Deployment) -> None:
    """Without a terminal --yes is needed; exit code 2, and it is in force as before."""
    identity, path = offered(deployment, "staying")
    deployment.run("cert", "add", "tests", path)

    code, line = told(deployment.run("cert", "remove", "tests", identity.fingerprint, check=False))

    assert code == 2
    assert line == ("keyrack: nobody is at a terminal to be asked; say --yes to remove it. Nothing was changed")
    assert identity.fingerprint in {each["fingerprint"] for each in deployment.read("cert", "list", "tests")}
    deployment.run("cert", "remove", "tests", identity.fingerprint, "--yes")


def test_a_certificate_is_shown_before_it_counts(deployment: Deployment) -> None:
    """From standard input, as it is pasted; a dry run adds nothing."""
    identity, path = offered(deployment, "pasted")
    words = ["cert", "add", "tests", "-", "--dry-run", "--config", str(deployment.configuration)]

    done = subprocess.run([*deployment.command, *words], input=Path(path).read_bytes(), capture_output=True, check=True)

    assert "CN=pasted" in done.stdout.decode()
    assert "Nothing was added." in done.stdout.decode()
    assert identity.fingerprint not in {each["fingerprint"] for each in deployment.read("cert", "list")}


def test_a_certificate_is_added_once(deployment: Deployment) -> None:
    """The second time is told as what it is."""
    _, path = offered(deployment, "twice")
    deployment.run("cert", "add", "tests", path)

    done = deployment.run("cert", "add", "tests", path, check=False)

    assert told(done) == (1, "keyrack: this certificate is in force for this instance already; nothing is to be done")


def test_a_private_key_is_not_taken(deployment: Deployment) -> None:
    """Whatever stands beside it."""
    identity, _ = offered(deployment, "careless")
    path = deployment.directory / "both.pem"
    path.write_bytes(identity.key_pem + identity.pem)

    code, line = told(deployment.run("cert", "add", "tests", str(path), check=False))

    assert code == 1
    assert line.startswith(f"keyrack: {path}: the input holds a private key: Keyrack never needs a client's key;")


def test_an_issued_pair_is_let_in(served: Served, deployment: Deployment, tmp_path: Path) -> None:
    """Its key is readable for its owner alone."""
    deployment.run("cert", "issue", "tests", "--out", str(tmp_path / "pair"))

    from keyrack.testing.certificates import client_context  # noqa: PLC0415 - here alone

    context = client_context(None, [served.authority.pem])
    context.load_cert_chain(tmp_path / "pair/client.pem", tmp_path / "pair/client.key")
    assert (tmp_path / "pair/client.key").stat().st_mode & 0o777 == 0o600
    time.sleep(0.5)
    with Client(served.address, context) as conversation:
        assert conversation.exchange(discover())


def test_what_is_not_there_is_told_with_the_way_out(deployment: Deployment) -> None:
    """One line and exit code 1."""
    commands = {
        ("key", "list", "nope"): "there is no instance 'nope'; use one of: tests",
        ("key", "show", "tests", "0000"): "no key of 'tests' begins with '0000'; see 'keyrack key list tests'",
        ("cert", "remove", "tests", "00000000"): "instance 'tests' has no certificate that begins with '00000000'; "
        "see 'keyrack cert list tests'",
        ("cert", "add", "tests", "/none.pem"): "/none.pem: no such file or directory; check the path",
    }

    lines = {words: told(deployment.run(*words, check=False)) for words in commands}

    assert lines == {words: (1, f"keyrack: {line}") for words, line in commands.items()}


def test_wrong_use_is_exit_code_2(deployment: Deployment) -> None:
    """With the command whose help tells more."""
    commands = {
        ("serv",): "no such command 'serv'",
        ("cert", "add"): "missing argument 'INSTANCE'; see 'keyrack cert add --help'",
        (
            "key",
            "list",
            "tests",
            "--state",
            "alive",
        ): "'alive' is not a state; use one of: pre-active, active, deactivated",
        ("serve", "--port", "99999"): "see 'keyrack serve --help'",
    }

    for words, line in commands.items():
        code, said = told(deployment.run(*words, configured=False, check=False))
        assert (code, line in said) == (2, True), said


def test_a_bad_configuration_is_exit_code_2_and_all_its_mistakes(deployment: Deployment, tmp_path: Path) -> None:
    """For every command alike."""
    bad = tmp_path / "bad.toml"
    bad.write_text("[kmip]\nworkers = 'x'\nhosts = 'y'\n")

    for words in (("serve",), ("status",), ("key", "list", "tests")):
        code, said = told(deployment.run(*words, "--config", str(bad), configured=False, check=False))
        assert (code, len(said.splitlines())) == (2, 4), said


def test_the_journal_is_found_sound_and_then_not(fresh: Deployment, tmp_path: Path) -> None:
    """One changed letter shows; a cut end shows against the heads that were kept."""
    for name in ("one", "two", "three"):
        fresh.run("instance", "create", name)
    heads = tmp_path / "heads.json"
    heads.write_text(fresh.run("audit", "verify", "--json").stdout)
    executed(fresh.catalog, f"DROP TRIGGER journal_is_not_shortened{' ON journal' * over_postgres()}")
    executed(fresh.catalog, "DELETE FROM journal WHERE number = (SELECT max(number) FROM journal)")
    alone = fresh.run("audit", "verify", check=False)
    against = fresh.run("audit", "verify", "--against", str(heads), check=False)
    executed(fresh.catalog, f"DROP TRIGGER journal_is_not_changed{' ON journal' * over_postgres()}")
    executed(fresh.catalog, "UPDATE journal SET text = replace(text, 'two', 'too')")
    edited = fresh.run("audit", "verify", check=False)

    assert (alone.returncode, against.returncode, edited.returncode) == (0, 1, 1)
    assert "was cut off" in against.stdout
    assert "is not as it was written" in edited.stdout


def test_answers_through_a_pipe_are_plain(deployment: Deployment) -> None:
    """No colours and no lines: other programs read them."""
    done = deployment.run("cert", "list")

    assert "\x1b" not in done.stdout
    assert done.stdout.splitlines()[0].split() == [
        "FINGERPRINT",
        "INSTANCE",
        "SUBJECT",
        "EXPIRES",
        "DAYS",
        "LEFT",
        "TO",
        "DO",
    ]


def test_the_server_certificate_is_read_again_by_itself_and_at_sighup(tmp_path: Path) -> None:
    """And one that is of no use changes nothing."""
    running = serve(tmp_path / "k")
    deployment = running.deployment
    assert deployment is not None
    assert deployment.process is not None
    try:
        pair = server(deployment.authority)
        (deployment.directory / "tls/server.pem").write_bytes(pair.pem)
        (deployment.directory / "tls/server.key").write_bytes(pair.key_pem)
        assert within(2, lambda: deployment.run("status", check=False).returncode == 0)
        (deployment.directory / "tls/server.pem").write_text("nonsense")
        deployment.process.send_signal(signal.SIGHUP)
        assert within(2, lambda: "the server's certificate stays the old one" in deployment.log.read_text())
        assert is_let_in(running, running.client)
    finally:
        code = deployment.stop()
    assert code == 0


def test_the_log_is_one_json_object_a_line(deployment: Deployment) -> None:
    """Where nobody watches; the ready lines for people stand beside it."""
    lines = [line for line in deployment.log.read_text().splitlines() if line.startswith("{")]

    events = [json.loads(line) for line in lines]
    assert "listening" in {event["event"] for event in events}
    assert {"time", "level", "room", "event"} <= set.intersection(*(set(event) for event in events))
