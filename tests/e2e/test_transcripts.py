"""Every command of the reference, run for real: ``transcripts/*.txt`` tell what each prints, and are played again here.

``pytest tests/e2e/test_transcripts.py --update`` writes them anew; the difference is for a person's eye.
"""

import contextlib
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from keyrack.shell.sealed.unsealing import SOCKET
from keyrack.testing.catalogs import server as server_of_tests
from keyrack.testing.certificates import Identity, authority, client, client_context
from keyrack.testing.cli_page import commands
from keyrack.testing.client import Client
from keyrack.testing.golden import Stage, Step, read, written
from keyrack.testing.postgres import binaries
from keyrack.testing.process import Deployment
from keyrack.testing.vcenter import VCenter, esxi_host, virtual_machine

pytestmark = pytest.mark.sqlite("the transcripts are of the usual catalog")

TRANSCRIPTS = Path(__file__).parent / "transcripts"
FILES = sorted(TRANSCRIPTS.glob("*.txt"))
REFUSED_HERE = {
    "keyrack instance adopt",
    "keyrack instance dual-control off",
    "keyrack key activate",
    "keyrack node invite",
    "keyrack node join",
    "keyrack node refresh",
    "keyrack root-key move",
    "keyrack server-certificate replace",
}
"""Commands that need a second deployment, a second person or another's material: other tests do them to their end."""
ENVIRONMENT = {
    "KEYRACK_CONFIG": "keyrack.toml",
    "KEYRACK_KMIP__PORT": "0",
    "KEYRACK_KMIP__HOST": "127.0.0.1",
    "KEYRACK_API__PORT": "0",
    "KEYRACK_KEY_MANAGER_API__PORT": "0",
    "KEYRACK_LOG__LEVEL": "error",
    "COLUMNS": "110",
    "PYTHONUNBUFFERED": "1",
    "TZ": "UTC",
}
READY = {
    ("serve",): "api.address",
    ("web",): "api.address",
    ("key-manager", "serve"): "key-manager.address",
    ("audit", "follow"): "",
    ("setup",): "",
}
"""The file that each command that goes on leaves in the run directory once it is ready; where it leaves none, it is
ready when it has said something, and is quiet."""
QUIET = 0.3


@dataclass(slots=True)
class Scene:
    """What the acts of a transcript work with."""

    directory: Path
    authority: Identity
    clients: dict[str, Identity] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None
    knows: Callable[[str, str], str] = lambda kind, value: value
    """Gives a value a name in the transcript before anything has printed it."""

    def begin(self, words: Sequence[str]) -> tuple[int, str, str]:
        """Run a command beside this process until it is ready, or over."""
        told = next((file for begin, file in READY.items() if tuple(words[: len(begin)]) == begin), None)
        out, err = self.directory.parent / "out", self.directory.parent / "err"
        with out.open("wb") as stdout, err.open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "keyrack", *words], stdout=stdout, stderr=stderr, stdin=subprocess.DEVNULL
            )
        until = time.monotonic() + 60
        while self.process.poll() is None and time.monotonic() < until:
            said = out.stat()
            if told and ((said.st_size and (self.directory / "run" / told).exists()) or self._is_sealed()):
                break
            if told == "" and said.st_size and time.time() - said.st_mtime > QUIET:
                break
            time.sleep(0.01)
        return self.process.poll() or 0, out.read_text(), err.read_text() if self.process.poll() is not None else ""

    def _is_sealed(self) -> bool:
        """Whether the server waits for somebody who opens its keystore."""
        return (self.directory / "run" / SOCKET).exists()

    def stop(self) -> None:
        """End what was begun."""
        process, self.process = self.process, None
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(20)

    @property
    def address(self) -> tuple[str, int]:
        """Of the KMIP server."""
        host, _, port = (self.directory / "run/kmip.address").read_text().strip().rpartition(":")
        return host, int(port)

    def context(self, name: str) -> ssl.SSLContext:
        """Of a client of this name, which believes the server's certificate as it is."""
        return client_context(self.clients[name], [(self.directory / "tls/server.pem").read_bytes()])


def _write(scene: Scene, words: Sequence[str]) -> None:
    """``write FILE TEXT``: a file with a line of text."""
    path = scene.directory / words[0]
    path.write_text(" ".join(words[1:]) + "\n")
    path.chmod(0o600)


def _certificate(scene: Scene, words: Sequence[str]) -> None:
    """``certificate NAME``: a client's certificate in NAME.pem, of an authority whose own is in authority.pem."""
    (name,) = words
    scene.clients[name] = client(scene.authority, name)
    scene.knows("fingerprint", scene.clients[name].fingerprint)
    (scene.directory / f"{name}.pem").write_bytes(scene.clients[name].pem)
    (scene.directory / "authority.pem").write_bytes(scene.authority.pem)


def _request(scene: Scene, words: Sequence[str]) -> None:
    """``request NAME``: a certificate signing request in NAME.csr."""
    (name,) = words
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    (scene.directory / f"{name}.csr").write_bytes(made.public_bytes(serialization.Encoding.PEM))


def _encrypt(scene: Scene, words: Sequence[str]) -> None:
    """``encrypt CLIENT MACHINE...``: vCenter has keys made and names a virtual machine on each."""
    name, *machines = words
    vcenter = VCenter(scene.address, scene.context(name))
    for machine in machines:
        vcenter.encrypt(virtual_machine(machine), esxi_host("esx-1"))


def _knock(scene: Scene, words: Sequence[str]) -> None:
    """``knock CLIENT``: it connects, and is turned away."""
    with (
        contextlib.suppress(OSError, ssl.SSLError, AssertionError),
        Client(scene.address, scene.context(words[0])) as at,
    ):
        at.receive()


def _edit(scene: Scene, words: Sequence[str]) -> None:
    """``append LINE``: a line more in the configuration."""
    with (scene.directory / "keyrack.toml").open("a") as file:
        file.write(" ".join(words) + "\n")


def _damage(scene: Scene, words: Sequence[str]) -> None:
    """``sql STATEMENT``: straight into the catalog, as somebody does who has the machine."""
    import sqlite3

    with sqlite3.connect(scene.directory / "catalog.db") as connection:
        connection.executescript(" ".join(words))
    connection.close()


def _wait(scene: Scene, words: Sequence[str]) -> None:
    """``wait SECONDS``: until others have noticed."""
    time.sleep(float(words[0]))


def _unlock(scene: Scene, words: Sequence[str]) -> None:
    """``unlock TABLE``: what opens the keystore, in the configuration."""
    path = scene.directory / "keyrack.toml"
    path.write_text(re.sub(r"(?m)^unlock = .*$", lambda found: f"unlock = {' '.join(words)}", path.read_text()))


def _postgres(scene: Scene, words: Sequence[str]) -> None:
    """``postgres NAME``: an empty database on a server of this machine, whose port is the usual one meanwhile."""
    running = server_of_tests()
    running.sql(f'DROP DATABASE IF EXISTS "{words[0]}" WITH (FORCE)')
    running.database(words[0])
    os.environ["PGPORT"] = str(running.port)


def _remove(scene: Scene, words: Sequence[str]) -> None:
    """``remove FILE``."""
    (scene.directory / words[0]).unlink()


ACTS: Mapping[str, Callable[[Scene, Sequence[str]], None]] = {
    "write": _write,
    "certificate": _certificate,
    "request": _request,
    "encrypt": _encrypt,
    "knock": _knock,
    "append": _edit,
    "sql": _damage,
    "wait": _wait,
    "unlock": _unlock,
    "remove": _remove,
    "postgres": _postgres,
    "stop": lambda scene, words: scene.stop(),
}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One deployment, of which each transcript has a copy."""
    directory = tmp_path_factory.mktemp("transcripts") / "template"
    deployment = Deployment(directory=directory)
    deployment.run(
        "init", "--directory", str(directory), "--yes", "--deployment", "keyrack-1", "--name", "keyrack.example.com",
        "--administrator", "mara", configured=False,
    )  # fmt: skip
    return directory


@pytest.fixture
def scene(tmp_path: Path, template: Path) -> Iterator[Scene]:
    directory = tmp_path / "deployment"
    shutil.copytree(template, directory)
    configuration = directory / "keyrack.toml"
    configuration.write_text(configuration.read_text().replace(str(template), str(directory)))
    made = Scene(directory, authority())
    yield made
    made.stop()


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_commands_print_what_the_transcript_tells(path: Path, scene: Scene, request: pytest.FixtureRequest) -> None:
    steps = read(path)
    if binaries() is None and any(step.line.startswith("% postgres ") for step in steps):
        pytest.skip("needs PostgreSQL")
    acts = {name: _bound(act, scene) for name, act in ACTS.items()}
    stage = Stage(scene.directory, acts, ENVIRONMENT, scene.begin)
    scene.knows = stage.name
    played = stage.play(steps)

    if request.config.getoption("--update"):
        path.write_text(written(played), encoding="utf-8")
        return
    assert written(steps) == written(played)


def _bound(act: Callable[[Scene, Sequence[str]], None], scene: Scene) -> Callable[[Stage, Sequence[str]], None]:
    return lambda stage, words: act(scene, words)


def test_no_command_is_without_a_transcript_of_its_success() -> None:
    """What only tells how it is refused would not notice a command that does nothing."""
    played = [step.words for path in FILES for step in read(path) if step.words and not _failed(step)]
    lacking = [
        each.name
        for each in commands()
        if not each.group and not any(tuple(words[: len(each.words)]) == each.words for words in played)
    ]

    assert REFUSED_HERE == set(lacking)


def _failed(step: Step) -> bool:
    return any(line.startswith("  ! exit code") for line in step.told)


def test_a_transcript_reads_back_as_it_was_written(tmp_path: Path) -> None:
    text = "# A remark.\n\n% wait 1\n$ keyrack status\n    one line\n    another\n  ! exit code 3\n\n$ keyrack doctor\n"
    (tmp_path / "a.txt").write_text(text)

    assert text == written(read(tmp_path / "a.txt"))
    assert ["status"] == Step("$ keyrack status").words


def test_no_secret_stands_in_a_transcript() -> None:
    """No token, no link that counts, nothing of a private key."""
    secret = re.compile(r"kr[ks]_[0-9A-Za-z_-]{8}|set-password#[^<]|PRIVATE KEY-----\s+[0-9A-Za-z+/]{16}")
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        assert [] == secret.findall(text)
        assert os.sep + "tmp" + os.sep not in text
        assert "Traceback" not in text
