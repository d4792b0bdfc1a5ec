"""An HSM that dies, hangs, vanishes and comes back: requests fail in time with a text, or work; nothing is mixed up.

The process that holds SoftHSM2 is killed and stopped under load, its token is pulled out and put back, and libraries
are put in its place that crash and hang. What is refused for ever (a ciphertext that does not open) is never confused
with what is lost for now: the former makes Keyrack forget keys.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from keyrack.domain.secret import Secret
from keyrack.embedded.errors import KeeperUnavailable
from keyrack.embedded.root_keys.pkcs11 import Pkcs11Keeper
from keyrack.embedded.root_keys.port import VersionName
from keyrack.testing.softhsm import SoftHsm, absent

pytestmark = [pytest.mark.skipif(absent() is not None, reason=str(absent())), pytest.mark.alone]

CALLERS = 64
WRAPS = 10_000
KILLS, KILLS_LONG = 6, 300
LIVES = (0.0, 0.6)
"""Seconds between two kills, at random: a process needs about 0.2 to start."""
DEADLINE = 1.0
SLACK = 1.5
"""Seconds over a deadline that a loaded test machine is granted."""


def a_version() -> VersionName:
    return VersionName(str(uuid.uuid4()), str(uuid.uuid4()), str(uuid.uuid4()))


@pytest.fixture
def hsm(tmp_path: Path) -> SoftHsm:
    return SoftHsm.create(tmp_path / "hsm")


@pytest.fixture
def keeper(hsm: SoftHsm) -> Iterator[Pkcs11Keeper]:
    keeper = Pkcs11Keeper(hsm.settings(timeout=20.0))
    yield keeper
    keeper.close()


def round_trip(keeper: Pkcs11Keeper, version: VersionName) -> None:
    """Encipher something of one's own and get it back; another's plaintext would not match."""
    mine = os.urandom(48)
    enciphered = keeper.encipher(version, b"", Secret(bytearray(mine)), mine[:8])
    with keeper.decipher(version, b"", enciphered, mine[:8]) as plaintext:
        assert mine == plaintext.reveal()


def pid_of(keeper: Pkcs11Keeper) -> int | None:
    process = keeper._line._process
    return None if process is None else process.pid


def kill(pid: int) -> None:
    """End a process, unless it has just ended."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    assert ended(pid)


def ended(pid: int, within: float = 5.0) -> bool:
    """Whether a process is gone in time; one that waits to be reaped is gone."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.01)
    return False


def all_at_once(act: Callable[[], None]) -> Counter[str]:
    """What came of it when 64 callers do it at the same time."""

    def attempt(_: int) -> str:
        began = time.monotonic()
        try:
            act()
        except KeeperUnavailable:
            return "unavailable" if time.monotonic() - began < DEADLINE + SLACK else "late"
        return "done"

    with ThreadPoolExecutor(CALLERS) as callers:
        return Counter(callers.map(attempt, range(CALLERS)))


def test_ten_thousand_wraps_of_64_callers(keeper: Pkcs11Keeper) -> None:
    """All work, each caller has its turn, and nobody gets another's."""
    version = a_version()
    keeper.generate(version)
    slowest = [0.0] * CALLERS

    def work(number: int) -> None:
        for _ in range(WRAPS // CALLERS // 2 + 1):
            began = time.monotonic()
            round_trip(keeper, version)
            slowest[number] = max(slowest[number], time.monotonic() - began)

    began = time.monotonic()
    with ThreadPoolExecutor(CALLERS) as callers:
        list(callers.map(work, range(CALLERS)))
    rate = (WRAPS // CALLERS // 2 + 1) * CALLERS * 2 / (time.monotonic() - began)

    print(f"{rate:.0f} wraps and unwraps a second, the slowest pair {max(slowest):.3f} s")  # noqa: T201
    assert max(slowest) < 5


@pytest.mark.parametrize("mechanism", ["gcm", "kwp"])
def test_killed_again_and_again_under_load(hsm: SoftHsm, mechanism: str) -> None:
    """Every request works or is unavailable for now, in time; afterwards all work."""
    campaign(hsm, Pkcs11Keeper(hsm.settings(mechanism=mechanism)), KILLS)


@pytest.mark.slow
def test_killed_again_and_again_at_length(hsm: SoftHsm) -> None:
    """Three hundred times."""
    campaign(hsm, Pkcs11Keeper(hsm.settings()), KILLS_LONG)


def campaign(hsm: SoftHsm, keeper: Pkcs11Keeper, kills: int) -> None:
    """Round trips of 64 callers while the process is killed; the seed may be given as ``KEYRACK_TEST_SEED``.

    A kill in the middle of a login loses SoftHSM2's token, which no client of it can help; it is mended.
    """
    seed = os.environ.get("KEYRACK_TEST_SEED") or str(random.SystemRandom().randrange(2**32))
    print(f"KEYRACK_TEST_SEED={seed}")  # noqa: T201 - pytest shows it where the test fails
    chance = random.Random(seed)
    version = a_version()
    keeper.generate(version)
    over = threading.Event()
    results: Counter[str] = Counter()

    def work(_: int) -> None:
        while not over.is_set():
            began = time.monotonic()
            try:
                round_trip(keeper, version)
                results["done"] += 1
            except KeeperUnavailable:
                results["unavailable"] += 1
            assert time.monotonic() - began < 2 * keeper._settings.timeout + SLACK

    with ThreadPoolExecutor(CALLERS) as callers:
        running = [callers.submit(work, number) for number in range(CALLERS)]
        killed: set[int] = set()
        mended = 0
        while len(killed) < kills:
            time.sleep(chance.uniform(*LIVES))
            pid = pid_of(keeper)
            if pid is not None and pid not in killed:
                killed.add(pid)
                kill(pid)
                mended += hsm.mend()
        over.set()
        for each in running:
            each.result()
    print(f"{kills} kills, {dict(results)}, {mended} tokens that SoftHSM2 lost were mended")  # noqa: T201

    for _ in range(50):
        round_trip(keeper, version)
    assert results["done"] > 0
    keeper.close()


def test_a_key_that_is_made_while_the_process_dies_is_whole_or_not_there(hsm: SoftHsm) -> None:
    """What was said to be made works afterwards, however often the process dies meanwhile."""
    keeper = Pkcs11Keeper(hsm.settings(timeout=20.0))
    over = threading.Event()

    def kill_often() -> None:
        chance = random.Random(7)
        while not over.wait(chance.uniform(0.0, 0.03)):
            pid = pid_of(keeper)
            if pid is not None and keeper._line._failures == 0:
                kill(pid)
                hsm.mend()

    killer = threading.Thread(target=kill_often)
    killer.start()
    made: list[VersionName] = []
    while len(made) < 10:
        version = a_version()
        try:
            keeper.generate(version)
        except KeeperUnavailable:
            continue
        made.append(version)
    over.set()
    killer.join()

    for version in made:
        round_trip(keeper, version)
    keeper.close()


def test_what_a_killed_process_leaves_of_a_key_is_not_taken_for_it(hsm: SoftHsm) -> None:
    """SoftHSM2 writes a key in many steps, its value last: without it, the key is made anew; all can be destroyed."""
    keeper = Pkcs11Keeper(hsm.settings(timeout=20.0))
    version, again = a_version(), a_version()
    for each in (version, again):
        keeper.generate(each)
    keeper.close()
    for path in keys_of(hsm):
        path.write_bytes(without_value(path.read_bytes()))
    keeper = Pkcs11Keeper(hsm.settings(timeout=20.0))

    with pytest.raises(KeeperUnavailable, match="does not work"):
        round_trip(keeper, version)
    keeper.generate(version)
    keeper.take(again, Secret(bytearray(32)))

    for each in (version, again):
        round_trip(keeper, each)
        keeper.destroy(each, b"")
    assert [] == keys_of(hsm)
    keeper.close()


def keys_of(hsm: SoftHsm) -> list[Path]:
    """The files of the keys in a token."""
    return [path for path in hsm.tokens.glob("*/*.object") if path.name != "token.object"]


def without_value(stored: bytes) -> bytes:
    """SoftHSM2's file of an object as it is before the value was written: attributes, each with type, kind, content."""
    kept, position = stored[:8], 8
    while position < len(stored):
        attribute, kind = (int.from_bytes(stored[position + at : position + at + 8], "big") for at in (0, 8))
        size = {1: 1, 2: 8}.get(kind) or 8 + int.from_bytes(stored[position + 16 : position + 24], "big")
        if attribute != 0x11:
            kept += stored[position : position + 16 + size]
        position += 16 + size
    assert len(kept) < len(stored)
    return kept


def test_a_hanging_process_keeps_no_deadline_waiting(hsm: SoftHsm) -> None:
    """It is killed when its time is over, the others fail in time too, and the next request works."""
    keeper = Pkcs11Keeper(hsm.settings(timeout=DEADLINE))
    version = a_version()
    keeper.generate(version)
    pid = pid_of(keeper)
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()

    with pytest.raises(KeeperUnavailable, match="did not answer within 1 s"):
        round_trip(keeper, version)

    assert time.monotonic() - began < DEADLINE + SLACK
    assert ended(pid)
    round_trip(keeper, version)
    os.kill(pid_of(keeper) or 0, signal.SIGSTOP)
    results = all_at_once(lambda: round_trip(keeper, version))
    assert results["late"] == 0
    assert results["unavailable"] > 0
    round_trip(keeper, version)
    keeper.close()


def test_a_token_that_is_pulled_out_is_missed_and_found_again(hsm: SoftHsm) -> None:
    """While it is away nothing is refused for good, and nothing is tried by each request; then it works at once."""
    keeper = Pkcs11Keeper(hsm.settings())
    version = a_version()
    keeper.generate(version)
    enciphered = keeper.encipher(version, b"", Secret(bytearray(b"text")), b"")
    hsm.lose()
    began, tries = time.monotonic(), 0
    while time.monotonic() - began < 1.5:
        with pytest.raises(KeeperUnavailable):
            keeper.decipher(version, b"", enciphered, b"")
        tries += 1
    with pytest.raises(KeeperUnavailable):
        keeper.generate(a_version())
    assert {"unavailable": CALLERS} == all_at_once(lambda: round_trip(keeper, version))
    assert tries < 7
    hsm.put_back()

    with keeper.decipher(version, b"", enciphered, b"") as plaintext:
        assert b"text" == plaintext.reveal()
    keeper.close()


def test_a_probe_sees_that_the_token_is_gone(hsm: SoftHsm, keeper: Pkcs11Keeper) -> None:
    """It would otherwise encipher on with a key of the session."""
    keeper.probe()
    hsm.lose()

    with pytest.raises(KeeperUnavailable):
        keeper.probe()

    hsm.put_back()
    keeper.probe()


def library(directory: Path, name: str, body: str) -> Path:
    """A shared library that does ``body`` when it is loaded."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    source = directory / f"{name}.c"
    source.write_text(
        f"#include <unistd.h>\n#include <stdlib.h>\n__attribute__((constructor)) void f(void) {{ {body} }}\n"
    )
    built = directory / f"{name}.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(built), str(source)], check=True)
    return built


@pytest.mark.parametrize("body", ["abort();", "_exit(0);", "*(volatile int *)0 = 1;"])
def test_a_library_that_crashes_costs_a_text_and_not_the_server(hsm: SoftHsm, tmp_path: Path, body: str) -> None:
    """Each request within its time."""
    keeper = Pkcs11Keeper(hsm.settings(library=library(tmp_path, "crash", body), timeout=DEADLINE))

    with pytest.raises(KeeperUnavailable, match="its process ended"):
        keeper.probe()

    assert {"unavailable": CALLERS} == all_at_once(keeper.probe)
    keeper.close()


def test_a_library_that_hangs_is_left_when_the_time_is_over(hsm: SoftHsm, tmp_path: Path) -> None:
    """Although it never gives the interpreter back."""
    keeper = Pkcs11Keeper(hsm.settings(library=library(tmp_path, "hang", "for (;;) pause();"), timeout=DEADLINE))
    began = time.monotonic()

    with pytest.raises(KeeperUnavailable, match="did not answer"):
        keeper.probe()

    assert time.monotonic() - began < DEADLINE + SLACK
    keeper.close()


SERVER = """
import sys, threading, time
from pathlib import Path
from keyrack.embedded.root_keys.pkcs11 import Pkcs11Keeper, TokenSettings
library, pin, conf = sys.argv[1:]
settings = TokenSettings(Path(library), "keyrack", Path(pin), timeout=60.0, environment={"SOFTHSM2_CONF": conf})
keeper = Pkcs11Keeper(settings)
threading.Thread(target=keeper.probe, daemon=True).start()
while keeper._line._process is None: time.sleep(0.01)
time.sleep(0.5)
print(keeper._line._process.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("kind", ["works", "hangs"])
def test_the_process_ends_with_the_server(hsm: SoftHsm, tmp_path: Path, kind: str) -> None:
    """However the server ends, and whatever the library does meanwhile."""
    used = hsm.library if kind == "works" else library(tmp_path, "hang", "for (;;) pause();")
    words = [sys.executable, "-c", SERVER, str(used), str(hsm.pin_file), hsm.environment["SOFTHSM2_CONF"]]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        child = int(server.stdout.readline())
        assert not ended(child, 0.05)

        server.kill()

        assert ended(child)


def test_signals_for_the_whole_group_do_not_end_it(keeper: Pkcs11Keeper) -> None:
    """Ctrl-C and a service manager's SIGTERM go to all processes; the server ends this one when it has finished."""
    version = a_version()
    keeper.generate(version)
    pid = pid_of(keeper)
    assert pid is not None

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(pid, number)

    round_trip(keeper, version)
    assert pid == pid_of(keeper)


MAKES = """
import sys, uuid
from pathlib import Path
from keyrack.embedded.root_keys.pkcs11 import Pkcs11Keeper, TokenSettings
from keyrack.embedded.root_keys.port import VersionName
library, pin, conf = sys.argv[1:]
keeper = Pkcs11Keeper(
    TokenSettings(Path(library), "keyrack", Path(pin), timeout=30.0, environment={"SOFTHSM2_CONF": conf})
)
keeper.probe()
version = VersionName(*(str(uuid.uuid4()) for _ in range(3)))
for _ in range(2):
    keeper.generate(version)
keeper.destroy(version, b"")
keeper.close()
"""


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed: apt install strace")
def test_softhsm2_is_synced_where_it_does_not_sync_itself(hsm: SoftHsm, tmp_path: Path) -> None:
    """After the login, after a new key and when it is asked for again, and after its end."""
    trace = tmp_path / "trace"
    words = [sys.executable, "-c", MAKES, str(hsm.library), str(hsm.pin_file), hsm.environment["SOFTHSM2_CONF"]]

    subprocess.run(["strace", "-f", "-qq", "-e", "trace=sync", "-o", str(trace), *words], check=True, timeout=60)

    assert 4 == trace.read_text().count("sync(")


FORKED = """
import os, sys
from pathlib import Path
from keyrack.embedded.root_keys.pkcs11 import Pkcs11Keeper, TokenSettings
library, pin, conf = sys.argv[1:]
keeper = Pkcs11Keeper(
    TokenSettings(Path(library), "keyrack", Path(pin), timeout=20.0, environment={"SOFTHSM2_CONF": conf})
)
keeper.probe()
first = keeper._line._process.pid
forked = os.fork()
for _ in range(200):
    keeper.probe()
if not forked:
    os._exit(keeper._line._process.pid == first)
assert os.waitpid(forked, 0)[1] == 0
assert keeper._line._process.pid == first
keeper.close()
print("well")
"""


def test_a_forked_server_asks_a_process_of_its_own(hsm: SoftHsm) -> None:
    """Two on one line would hear each other's answers."""
    words = [sys.executable, "-c", FORKED, str(hsm.library), str(hsm.pin_file), hsm.environment["SOFTHSM2_CONF"]]

    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)

    assert "well\n" == done.stdout, done.stderr


class Interrupted(Exception):
    """What a signal's handler raises."""


def test_a_caller_that_is_interrupted_leaves_no_answer_for_the_next(keeper: Pkcs11Keeper) -> None:
    """Its question was asked, and the answer comes when somebody else waits for another."""
    version = a_version()
    keeper.generate(version)

    def interrupt(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for _ in range(3):
            keeper.probe()
            pid = pid_of(keeper)
            assert pid is not None
            os.kill(pid, signal.SIGSTOP)
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            with pytest.raises(Interrupted):
                round_trip(keeper, version)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
            time.sleep(0.1)
            round_trip(keeper, version)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_interruptions_at_any_point_do_no_harm(keeper: Pkcs11Keeper) -> None:
    """Neither a turn nor an answer is lost."""
    version = a_version()
    keeper.generate(version)
    main = threading.get_ident()
    over, armed = threading.Event(), threading.Event()

    def interrupt() -> None:
        while not over.wait(0.002):
            signal.pthread_kill(main, signal.SIGUSR1)

    def stop(*_: object) -> None:
        if armed.is_set():
            armed.clear()
            raise Interrupted

    def be_interrupted() -> None:
        armed.set()
        while True:
            round_trip(keeper, version)

    before = signal.signal(signal.SIGUSR1, stop)
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        for _ in range(20):
            with pytest.raises(Interrupted):
                be_interrupted()
    finally:
        over.set()
        thread.join()
        signal.signal(signal.SIGUSR1, before)
    round_trip(keeper, version)
