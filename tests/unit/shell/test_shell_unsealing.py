"""A sealed start: the socket lets in whom it should, and what is brought opens, or does not, in its own time."""

import json
import os
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from keyrack.domain.secret import Secret
from keyrack.embedded.errors import KeystoreLocked
from keyrack.embedded.root_keys import shares
from keyrack.embedded.root_keys.keystore import Keystore
from keyrack.embedded.root_keys.unlock import LEAST_MEMORY, KeyFile, Passphrase, Recovered
from keyrack.shell.config.problems import ConfigError
from keyrack.shell.config.whole import Config, load
from keyrack.shell.sealed import unsealing as room
from keyrack.shell.sealed.asked import AskedOnce
from keyrack.shell.sealed.openers import Question, credential, exchanged, first_line, opened, questions
from keyrack.shell.sealed.unsealing import SealTrouble, Unsealing, Waiting, sealed_of

RIGHT = b"correct horse battery"
TRUTH = bytes(range(32))
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")


def secret(octets: bytes) -> Secret:
    return Secret(bytearray(octets))


@dataclass(slots=True)
class Exchanges:
    """Stands in for the keystore: knows one passphrase and one key, and remembers what it was given."""

    given: list[Passphrase | Recovered] = field(default_factory=list)
    busy: float = 0.0

    def __call__(self, answer: Passphrase | Recovered) -> Recovered:
        self.given.append(answer)
        held = answer.passphrase if isinstance(answer, Passphrase) else answer.key
        right = bytes(held.reveal()) in (RIGHT, TRUTH)
        time.sleep(self.busy)
        answer.wipe()
        if not right:
            raise KeystoreLocked("that is not the one")
        return Recovered(secret(TRUTH))


@dataclass(slots=True)
class Sealed:
    """A server that waits, in a thread."""

    place: Path
    exchanges: Exchanges
    unsealing: Unsealing
    opened: list[Mapping[str, Recovered]] = field(default_factory=list)
    failed: list[BaseException] = field(default_factory=list)
    thread: threading.Thread = field(default_factory=threading.Thread)

    def begin(self) -> None:
        def wait() -> None:
            try:
                self.opened.append(self.unsealing.wait())
            except BaseException as error:
                self.failed.append(error)

        self.thread = threading.Thread(target=wait, daemon=True)
        self.thread.start()
        until = time.monotonic() + 5
        while not room.sealed(self.place) and time.monotonic() < until:
            time.sleep(0.01)

    def bring(self, passphrase: bytes, key_manager: str = "embedded") -> room.Outcome:
        return room.bring_passphrase(self.place, key_manager, bytearray(passphrase))

    @property
    def is_open(self) -> bool:
        self.thread.join(5)
        return bool(self.opened)


@contextmanager
def waiting(
    directory: Path, *names: str, pause: float = 0.0, clock: Callable[[], float] = time.monotonic
) -> Iterator[Sealed]:
    """A sealed server with these key managers."""
    exchanges = Exchanges()
    place = directory / "run" / room.SOCKET
    each = [Waiting(name, f"keystore-of-{name}", exchanges) for name in names or ("embedded",)]
    sealed = Sealed(place, exchanges, Unsealing(place, each, pause=pause, clock=clock))
    sealed.begin()
    try:
        yield sealed
    finally:
        for name in room.sealed(place):  # what a test has left sealed
            sealed.unsealing._attempts.clear()
            sealed.bring(RIGHT, name)
        sealed.thread.join(5)
        assert not sealed.thread.is_alive()


def test_the_right_passphrase_lets_the_start_go_on(tmp_path: Path) -> None:
    """The key of the keystore comes out, and the socket is gone."""
    with waiting(tmp_path) as sealed:
        outcome = sealed.bring(RIGHT)

        assert (outcome.right, list(outcome.sealed)) == (True, [])
        assert sealed.is_open
        assert sealed.opened[0]["embedded"].key.matches(secret(TRUTH))
        assert not sealed.place.exists()


def test_a_wrong_one_is_told_and_the_wait_goes_on(tmp_path: Path) -> None:
    """In the keystore's own words."""
    with waiting(tmp_path) as sealed:
        wrong = sealed.bring(b"battery staple")

        assert (wrong.right, wrong.told, list(wrong.sealed)) == (False, "that is not the one", ["embedded"])
        assert list(room.look(sealed.place)) == ["embedded"]
        assert sealed.bring(RIGHT).right


def test_a_wrong_one_is_answered_late(tmp_path: Path) -> None:
    """The right one at once."""
    with waiting(tmp_path, pause=0.5) as sealed:
        times = []
        for passphrase in (b"wrong", RIGHT):
            began = time.monotonic()
            sealed.bring(passphrase)
            times.append(time.monotonic() - began)

        assert times[0] > 0.5 > times[1]


def test_there_are_five_attempts_a_minute(tmp_path: Path) -> None:
    """The sixth is not even tried, though it is the right one; a minute later it is."""
    now = [1000.0]
    with waiting(tmp_path, clock=lambda: now[0]) as sealed:
        for _ in range(room.MOST_ATTEMPTS):
            sealed.bring(b"wrong")
            now[0] += 2
        sixth = sealed.bring(RIGHT)

        assert not sixth.right
        assert "try again in 50 seconds" in sixth.told
        assert room.MOST_ATTEMPTS == len(sealed.exchanges.given)
        now[0] += 51
        assert sealed.bring(RIGHT).right


def test_what_was_brought_is_wiped(tmp_path: Path) -> None:
    """Right or wrong."""
    with waiting(tmp_path) as sealed:
        sealed.bring(b"wrong")
        sealed.bring(RIGHT)

        held = [each.passphrase for each in sealed.exchanges.given if isinstance(each, Passphrase)]
        assert [0, 0] == [len(each) for each in held]


def test_two_keystores_are_opened_one_after_the_other(tmp_path: Path) -> None:
    """The server starts once the last one is open; one that is open already is no mistake."""
    with waiting(tmp_path, "one", "two") as sealed:
        first = sealed.bring(RIGHT, "two")
        again = sealed.bring(RIGHT, "two")

        assert (first.right, list(first.sealed)) == (True, ["one"])
        assert (again.right, again.told) == (True, "the keystore 'two' is not sealed")
        assert not sealed.opened
        assert sealed.bring(RIGHT, "one").right
        assert sealed.is_open


def test_shares_unseal_too(tmp_path: Path) -> None:
    """As many as are needed, as their files are; too few and mistyped ones are told."""
    made = shares.split(secret(TRUTH), keystore="0" * 36, needed=2, total=3, at=1)
    texts = [share.text() for share in made]
    broken = bytearray(texts[1])
    broken[-40] ^= 1
    with waiting(tmp_path) as sealed:
        few = room.bring_shares(sealed.place, "embedded", texts[:1])
        mistyped = room.bring_shares(sealed.place, "embedded", [texts[0], broken])
        enough = room.bring_shares(sealed.place, "embedded", texts[1:])

        assert "1 of the 2 shares" in few.told
        assert "the share that was given as number 2" in mistyped.told
        assert (few.right, mistyped.right, enough.right) == (False, False, True)


def test_the_socket_is_its_owners_alone(tmp_path: Path) -> None:
    """Mode 0600, whatever the umask is."""
    before = os.umask(0)
    try:
        with waiting(tmp_path) as sealed:
            assert stat.S_IMODE(sealed.place.stat().st_mode) == 0o600
    finally:
        os.umask(before)


CALL_AS_NOBODY = """
import os, socket, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
    server.settimeout(5)
    server.connect(sys.argv[1])
    print(len(server.recv(1000)))
"""


@root_only
def test_another_user_gets_nowhere(tmp_path: Path) -> None:
    """Not through the mode, and not through a socket whose mode was loosened: the kernel says who calls."""
    for directory in (*list(tmp_path.parents)[:-2], tmp_path):
        if str(directory).startswith("/tmp/"):
            directory.chmod(0o755)
    with waiting(tmp_path) as sealed:
        closed = subprocess.run(
            [sys.executable, "-c", CALL_AS_NOBODY, str(sealed.place)], capture_output=True, text=True, check=False
        )
        sealed.place.chmod(0o666)
        loosened = subprocess.run(
            [sys.executable, "-c", CALL_AS_NOBODY, str(sealed.place)], capture_output=True, text=True, check=False
        )

        assert "PermissionError" in closed.stderr
        assert loosened.stdout.strip() == "0"
        assert list(room.look(sealed.place)) == ["embedded"]


LISTEN_AS_NOBODY = """
import os, socket, sys
with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
    listener.bind(sys.argv[1])
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
    listener.listen()
    print("ready", flush=True)
    client, _ = listener.accept()
    client.sendall(b'{"sealed": [{"key_manager": "embedded", "keystore": "x"}]}\\n')
    print(len(client.recv(1000)), flush=True)
"""


@root_only
def test_a_passphrase_is_not_told_to_another_user(tmp_path: Path) -> None:
    """Whoever might put a socket of his own there learns nothing."""
    place = tmp_path / "unseal"
    process = subprocess.Popen([sys.executable, "-c", LISTEN_AS_NOBODY, str(place)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"

    with pytest.raises(SealTrouble, match="another user than the deployment's listens"):
        room.bring_passphrase(place, "embedded", bytearray(RIGHT))

    assert process.stdout.readline() == "0\n"
    process.wait(5)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\x00",
        b"\x01\x08",
        b"GET / HTTP/1.1\r\n\r\n",
        struct.pack("!BBB", 9, 8, 1) + b"embedded" + struct.pack("!H", 3) + b"abc",
        struct.pack("!BBB", 1, 8, 2) + b"embedded",
        struct.pack("!BBB", 2, 8, 17) + b"embedded",
        struct.pack("!BBB", 1, 8, 0) + b"embedded",
        struct.pack("!BBB", 1, 8, 1) + b"embedded" + struct.pack("!H", 65_535) + bytes(65_535),
        struct.pack("!BBB", 1, 4, 1) + b"\xff\xfe\xfd\xfc" + struct.pack("!H", 1) + b"x",
        struct.pack("!BBB", 1, 8, 1) + b"embedded" + struct.pack("!H", 30) + b"half",
        struct.pack("!BBB", 2, 8, 1) + b"embedded" + struct.pack("!H", 4) + b"\x00\xff\xfe\x01",
    ],
)
def test_nonsense_ends_nothing(tmp_path: Path, said: bytes) -> None:
    """Whatever a client says, the next one is heard."""
    with waiting(tmp_path) as sealed:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(5)
            client.connect(str(sealed.place))
            assert json.loads(client.recv(1000))["sealed"]
            try:
                client.sendall(said)
                client.shutdown(socket.SHUT_WR)
                client.recv(1000)
            except OSError:
                pass

        assert not sealed.exchanges.given
        assert sealed.bring(RIGHT).right


def test_a_client_that_says_nothing_keeps_nobody_out(tmp_path: Path) -> None:
    """Nor do twenty."""
    with waiting(tmp_path) as sealed:
        silent = [socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) for _ in range(20)]
        for client in silent:
            client.settimeout(5)
            client.connect(str(sealed.place))

        assert sealed.bring(RIGHT).right
        for client in silent:
            client.close()


def test_a_fault_behind_it_ends_nothing_and_shows_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Not even an exception that nobody foresaw, and that holds what was brought."""
    with waiting(tmp_path) as sealed:

        def fails(answer: Passphrase | Recovered) -> Recovered:
            assert isinstance(answer, Passphrase)
            raise RuntimeError(bytes(answer.passphrase.reveal()).decode())

        real = sealed.unsealing._waiting["embedded"]
        sealed.unsealing._waiting["embedded"] = replace(real, exchange=fails)
        with pytest.raises(SealTrouble, match="broke off"):
            sealed.bring(b"a passphrase to look for")
        sealed.unsealing._waiting["embedded"] = real

        assert sealed.bring(RIGHT).right
    assert "unexpected RuntimeError" in caplog.text
    assert "to look for" not in caplog.text


def test_while_one_is_tried_the_state_is_told(tmp_path: Path) -> None:
    """The derivation runs beside the socket, one at a time."""
    with waiting(tmp_path) as sealed:
        sealed.exchanges.busy = 1.0
        trying = [threading.Thread(target=sealed.bring, args=(b"wrong",)) for _ in range(2)]
        for each in trying:
            each.start()
        time.sleep(0.3)
        began = time.monotonic()

        assert list(room.look(sealed.place)) == ["embedded"]

        assert time.monotonic() - began < 0.5
        assert 1 == len(sealed.exchanges.given)
        for each in trying:
            each.join()
        assert 2 == len(sealed.exchanges.given)
        sealed.exchanges.busy = 0


def test_nobody_waits(tmp_path: Path) -> None:
    """Before, or after a server was killed and has left its socket."""
    place = tmp_path / "unseal"
    with pytest.raises(SealTrouble, match="no server waits"):
        room.look(place)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as killed:
        killed.bind(str(place))

    with pytest.raises(SealTrouble, match="no server waits"):
        room.look(place)
    assert () == room.sealed(place)


def test_a_socket_that_was_left_is_replaced_and_one_in_use_is_not(tmp_path: Path) -> None:
    """A second server says so, and takes nothing from the first."""
    (tmp_path / "run").mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as killed:
        killed.bind(str(tmp_path / "run" / room.SOCKET))
    with waiting(tmp_path) as sealed:
        with pytest.raises(SealTrouble, match="another server of this deployment waits"):
            Unsealing(sealed.place, [Waiting("embedded", "x", sealed.exchanges)]).wait()

        assert sealed.bring(RIGHT).right


# What stands around it ----------------------------------------------------------------------------------------------


def deployment(directory: Path, unlock: str) -> Config:
    """A configuration, and a keystore that the right passphrase opens."""
    path = directory / "keyrack.toml"
    path.write_text(f'[deployment]\nid = "k"\n[key_managers.embedded]\ntype = "embedded"\nunlock = {{ {unlock} }}\n')
    if not (directory / "keystore").exists():
        Keystore.create(directory / "keystore", Passphrase(secret(RIGHT), memory=LEAST_MEMORY), at=1).close()
    return load(path, {})


def question(config: Config) -> Question:
    return Question("embedded", config.directory / "keystore")


def test_what_is_sealed_is_told_by_the_configuration(tmp_path: Path) -> None:
    """With the keystore's identifier, as its shares name it; where it is missing the start fails at once."""
    config = deployment(tmp_path, "unseal = true")

    (found,) = sealed_of(config)

    with found.exchange(Passphrase(secret(RIGHT))).key as key:
        keystore = Keystore.open(tmp_path / "keystore", Recovered(key))
        assert (found.key_manager, found.keystore) == ("embedded", keystore.identifier)
    assert [] == sealed_of(deployment(tmp_path, 'key_file = "k"'))
    (tmp_path / "keystore").unlink()
    with pytest.raises(ConfigError, match="it cannot be unsealed: there is no keystore"):
        sealed_of(config)


def test_no_passphrase_stays_in_memory(tmp_path: Path) -> None:
    """It is exchanged for the keystore's key and wiped, right or wrong."""
    config = deployment(tmp_path, "unseal = true")
    right, wrong = Passphrase(secret(RIGHT)), Passphrase(secret(b"wrong"))
    once = AskedOnce(lambda _: right)

    first, second = once(question(config)), once(question(config))
    with pytest.raises(KeystoreLocked):
        exchanged(tmp_path / "keystore", wrong)

    assert (0, 0) == (len(right.passphrase), len(wrong.passphrase))
    assert first.key.matches(second.key)
    Keystore.open(tmp_path / "keystore", first).close()


def test_a_person_is_asked_once(tmp_path: Path) -> None:
    """Before the processes part; at the end the key is wiped."""
    config = deployment(tmp_path, 'passphrase_environment = "KEYRACK_UNIT_TEST_PASSPHRASE"')
    asked: list[Question] = []

    def ask(what: Question) -> Passphrase:
        asked.append(what)
        return Passphrase(secret(RIGHT))

    with AskedOnce(ask) as once:
        once.ask_all(config)
        with opened(config, "embedded", config.embedded["embedded"], once.answers) as unlock:
            Keystore.open(tmp_path / "keystore", unlock).close()
        kept = once._keys["embedded"]

    assert [question(config)] == asked == questions(config)
    assert str(asked[0]) == "Passphrase of the keystore 'embedded'"
    assert 0 == len(kept.key)


def test_a_wrong_passphrase_at_the_terminal_is_told(tmp_path: Path) -> None:
    """As every other thing that keeps a server from starting."""
    config = deployment(tmp_path, "unseal = true")

    with pytest.raises(ConfigError, match=r"key_managers\.embedded: it does not open: .*passphrase is not the one"):
        AskedOnce(lambda _: Passphrase(secret(b"wrong"))).ask_all(config)


@pytest.mark.parametrize(
    ("unlock", "told"),
    [
        ("unseal = true", r"unlock\.unseal: nobody is at a terminal to be asked: .*'keyrack unseal'"),
        ('passphrase_environment = "KEYRACK_UNIT_X"', r"\$KEYRACK_UNIT_X is not set: .*; set KEYRACK_UNIT_X, or write"),
        ('credential = "keystore.key"', r"\$CREDENTIALS_DIRECTORY is not set: only systemd hands out credentials"),
    ],
)
def test_what_is_missing_to_open_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unlock: str, told: str
) -> None:
    """With what to do."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    config = deployment(tmp_path, unlock)
    table = config.embedded["embedded"]

    with pytest.raises(ConfigError, match=told), opened(config, "embedded", table, AskedOnce(None).answers):
        pass


def test_a_credential_of_systemd_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under the directory that systemd names, as a key file."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    (tmp_path / "credentials").mkdir()
    KeyFile(tmp_path / "credentials" / "keystore.key").create()
    config = deployment(tmp_path, 'credential = "keystore.key"')

    with opened(config, "embedded", config.embedded["embedded"], None) as unlock:
        assert KeyFile(credential("keystore.key", "here")) == unlock


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"words\nmore\n", b"words"),
        (b"words", b"words"),
        (b"words\r\n", b"words"),
        (b"", b""),
        (b"\n", b""),
        (b" w o \n", b" w o "),
    ],
)
def test_a_passphrase_is_the_first_line_of_its_file(tmp_path: Path, content: bytes, line: bytes) -> None:
    """Whatever ends it; blanks count."""
    (tmp_path / "passphrase").write_bytes(content)

    assert bytearray(line) == first_line(tmp_path / "passphrase")


def test_a_file_that_holds_no_passphrase_is_told(tmp_path: Path) -> None:
    """It is not cut off in silence."""
    (tmp_path / "passphrase").write_bytes(bytes(5000))

    with pytest.raises(KeystoreLocked, match="longer than 4095 bytes"):
        first_line(tmp_path / "passphrase")


def test_a_place_where_no_socket_can_be_is_told(tmp_path: Path) -> None:
    """Too long a path for one, for example."""
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    config = deployment(deep, "unseal = true")

    with pytest.raises(ConfigError, match="no socket can be made at"), AskedOnce(None) as once:
        once.unseal(config)


def test_the_service_manager_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sealed server has started as far as it can: systemd does not give it up after its timeout."""
    config = deployment(tmp_path, "unseal = true")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        once = AskedOnce(None)
        thread = threading.Thread(target=once.unseal, args=(config,))
        thread.start()

        first = manager.recv(1000).decode()
        place = config.run_directory / room.SOCKET
        while not room.sealed(place):
            time.sleep(0.01)
        outcome = room.bring_passphrase(place, "embedded", bytearray(RIGHT))
        thread.join(10)

        assert (first, outcome.right) == ("READY=1\nSTATUS=sealed; waiting for 'keyrack unseal'", True)
        assert manager.recv(1000).decode() == "STATUS=open"
    Keystore.open(tmp_path / "keystore", once(question(config))).close()


def test_a_signal_ends_the_wait(tmp_path: Path) -> None:
    """SIGTERM, as a service manager sends it: in good order, and the socket is gone."""
    place = tmp_path / "unseal"
    program = (
        "import sys; from pathlib import Path;"
        "from keyrack.shell.sealed.unsealing import StillSealed, Unsealing, Waiting\n"
        "try: Unsealing(Path(sys.argv[1]), [Waiting('embedded', 'x', lambda answer: answer)]).wait()\n"
        "except StillSealed as told: print(told)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(place)], stdout=subprocess.PIPE, text=True)
    until = time.monotonic() + 10
    while not room.sealed(place) and time.monotonic() < until:
        time.sleep(0.05)

    process.send_signal(signal.SIGHUP)  # reads certificates again, where there are some
    time.sleep(0.2)
    assert list(room.look(place)) == ["embedded"]
    process.terminate()

    assert process.wait(5) == 0
    assert process.stdout is not None
    assert process.stdout.read() == "stopped while sealed\n"
    assert not place.exists()
