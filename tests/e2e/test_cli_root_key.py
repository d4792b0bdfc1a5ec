"""``keyrack root-key`` as an administrator meets it: real processes, a running server, a terminal, an HSM."""

import base64
import io
import json
import os
import pty
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from keyrack.embedded import lifecycle, tenancy
from keyrack.embedded.call import Call, Caller
from keyrack.embedded.house import House
from keyrack.embedded.root_keys.unlock import KeyFile
from keyrack.shell.cli import run
from keyrack.spec.tags import Tag
from keyrack.testing import softhsm, vcenter_frames
from keyrack.testing.client import answers
from keyrack.testing.process import Deployment, Served, serve
from keyrack.testing.softhsm import SoftHsm

COLUMNS = ["ID", "NAME", "STATE", "VERSION", "CREATED", "ROTATED", "EXPIRES", "KEPT", "BY", "USED", "BY"]
WITHIN = 10.0
"""Seconds for what counts at once: a loaded test machine is slow."""
WAITS = "\n[key_managers.embedded.waits]\nstate_change_seconds = 0\nrotate_seconds = 0\npurge_seconds = 0\n"

Here = Callable[..., tuple[int, str]]


def impatient(deployment: Deployment) -> Deployment:
    """Nothing has to wait."""
    with deployment.configuration.open("a") as configuration:
        configuration.write(WAITS)
    return deployment


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """One that does not serve, for all tests that name their own keys."""
    return impatient(Deployment(directory=tmp_path_factory.mktemp("root-keys") / "k").initialise())


@pytest.fixture
def fresh(tmp_path: Path) -> Deployment:
    """One of its own."""
    return impatient(Deployment(directory=tmp_path / "k").initialise())


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A server with the instance "tests" and its root key."""
    running = serve(tmp_path / "k")
    assert running.deployment is not None
    running.deployment.stop()
    running.address = impatient(running.deployment).start()
    yield running
    running.deployment.stop()


@pytest.fixture(scope="module")
def living(deployment: Deployment) -> Deployment:
    """With an active root key "living"."""
    deployment.run("root-key", "create", "living")
    return deployment


@pytest.fixture
def here(capsys: pytest.CaptureFixture[str]) -> Here:
    """Run a command within this process, which is quicker; exit code and what was told on standard error."""

    def run_here(deployment: Deployment, *words: str) -> tuple[int, str]:
        code = run(["root-key", *words, "--config", str(deployment.configuration)])
        said = capsys.readouterr().err.strip()
        assert "Traceback" not in said
        return code, said

    return run_here


def told(done: subprocess.CompletedProcess[str]) -> tuple[int, str]:
    """Exit code and what was told on standard error."""
    assert "Traceback" not in done.stdout + done.stderr
    return done.returncode, done.stderr.strip()


def read(deployment: Deployment, *words: str) -> Any:
    """The answer of a command for machines; within this process, which is quicker, where its environment will do."""
    if deployment.environment:
        return deployment.read("root-key", *words)
    with redirect_stdout(io.StringIO()) as out:
        code = run(["root-key", *words, "--json", "--config", str(deployment.configuration)])
    assert code == 0
    return json.loads(out.getvalue())


def typed(deployment: Deployment, answer: str, *words: str) -> tuple[int, str]:
    """Run a command at a terminal where somebody types ``answer``; exit code and all that was printed."""
    terminal, line = pty.openpty()
    with os.fdopen(terminal, "wb", buffering=0) as keyboard, os.fdopen(line, "rb", buffering=0) as stdin:
        keyboard.write(f"{answer}\n".encode())
        done = subprocess.run(
            [*deployment.command, *words, "--config", str(deployment.configuration)],
            stdin=stdin,
            env=deployment.served_environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    return done.returncode, done.stdout + done.stderr


@contextmanager
def opened(deployment: Deployment) -> Iterator[tuple[House, Call]]:
    """The key manager, as another person opens it."""
    unlock = KeyFile(deployment.directory / "keystore.key")
    house = House.open(deployment.directory / "keystore", unlock)
    try:
        instance = tenancy.instances(house)[0].identifier
        yield house, Call(caller=Caller(identity="local-user-another"), instance=instance)
    finally:
        house.close()


def test_a_root_key_is_made_listed_and_shown(deployment: Deployment) -> None:
    """With all that it was given, and the instance that uses it."""
    options = ("--alias", "made-one", "--rotate-every", "3", "--expires", "2090-01-02", "--description", "for tests")
    made = read(deployment, "create", "made", *options)
    deployment.run("instance", "create", "user-of-it", "--root-key", "made-one")

    row = next(each for each in read(deployment, "list") if each["name"] == "made")
    shown = read(deployment, "show", "made")

    assert (row["identifier"], row["state"], row["version"], row["used_by"]) == (
        made["identifier"],
        "active",
        1,
        ["user-of-it"],
    )
    assert (shown["rotate_every_months"], shown["expires_at"]) == (3, "2090-01-02T00:00:00Z")
    assert (shown["description"], shown["aliases"], shown["kept_by"]) == ("for tests", ["made-one"], ["software"])
    assert shown["used_by"] == [{"name": "user-of-it", "keys": 0, "clients": 0}]


def test_the_answers_for_people_say_what_comes_next(deployment: Deployment) -> None:
    """Through a pipe they are plain."""
    made = deployment.run("root-key", "create", "plain").stdout
    listed = deployment.run("root-key", "list").stdout
    shown = deployment.run("root-key", "show", "plain").stdout

    assert made.startswith("Root key plain is active.\n")
    assert "keyrack instance create NAME --root-key " in made
    assert listed.splitlines()[0].split() == COLUMNS
    assert "used by         no instance of Keyrack" in shown
    assert "\x1b" not in made + listed + shown


def test_a_list_is_narrowed(fresh: Deployment) -> None:
    """By state, by a part of the name, by number."""
    for name in ("alpha", "beta", "gamma"):
        fresh.run("root-key", "create", name)
    fresh.run("root-key", "delete", "beta", "--yes", "beta")

    def names(*words: str) -> list[str]:
        return [row["name"] for row in read(fresh, "list", *words)]

    assert names() == ["alpha", "gamma"]
    assert names("--state", "deleted") == ["beta"]
    assert names("--state", "active,deleted") == ["alpha", "beta", "gamma"]
    assert names("--search", "amm") == ["gamma"]
    assert names("--limit", "1") == ["alpha"]
    assert "1 deleted root key not shown; --state deleted shows them." in fresh.run("root-key", "list").stderr


@pytest.mark.parametrize("way", ["file", "pipe"])
def test_material_of_ones_own_is_imported(deployment: Deployment, tmp_path: Path, way: str) -> None:
    """Raw from a file, in base64 through a pipe; it is rotated with new material alone."""
    octets = os.urandom(32)
    path = tmp_path / "material"
    path.write_bytes(octets if way == "file" else base64.b64encode(octets) + b"\n")
    path.chmod(0o600)
    words = ["root-key", "import", f"from-{way}", "--material", str(path) if way == "file" else "-", "--json"]

    with path.open("rb") as pipe:
        done = subprocess.run(
            [*deployment.command, *words, "--config", str(deployment.configuration)],
            stdin=pipe,
            capture_output=True,
            check=True,
        )
    made = json.loads(done.stdout)
    code, line = told(deployment.run("root-key", "rotate", f"from-{way}", check=False))
    rotated = read(deployment, "rotate", f"from-{way}", "--material", str(path))

    assert (made["imported"], made["version"]) == (True, 1)
    assert (code, "Key material is required" in line) == (1, True)
    assert rotated["version"] == 2
    assert octets not in (deployment.directory / "keystore.db").read_bytes()


def test_what_is_no_material_makes_no_key(deployment: Deployment, tmp_path: Path) -> None:
    """Exit code 2, and nothing of it is told."""
    path = tmp_path / "material"
    path.write_text("hunter2")

    code, line = told(deployment.run("root-key", "import", "none", "--material", str(path), check=False))

    assert (code, "give 16, 24 or 32 bytes" in line, "hunter2" in line) == (2, True, False)
    assert "none" not in {row["name"] for row in read(deployment, "list")}


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("create", "x"), "must be: 2 to 90 characters"),
        (("create", "past", "--expires", "2020-01-01"), "must be in the future"),
        (("create", "elsewhere", "--key-ring", "none"), "no key ring 'none'"),
        (("rotate", "absent"), "see 'keyrack root-key list'"),
        (("list", "--instance", "none"), "use one of default"),
        (("restore", "living"), "restore is refused"),
        (("purge", "living", "--yes", "living"), "purge is refused"),
        (("enable", "living"), "enable is refused"),
        (("set-for-deletion", "living"), "not dual auth enabled"),
    ],
)
def test_a_refusal_is_a_line(living: Deployment, here: Here, words: tuple[str, ...], line: str) -> None:
    """And exit code 1."""
    code, said = here(living, *words)

    assert (code, said.count("\n"), line in said) == (1, 0, True), said


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("create", "twelve", "--rotate-every", "13"), "less than or equal to 12"),
        (("create", "when", "--expires", "tomorrow"), "is not a date"),
        (("list", "--state", "gone"), "is not a state"),
        (("list", "--key-manager", "none"), "there is no key manager 'none'"),
        (("move",), "missing option '--to'"),
        (("move", "--to", "hsm"), "say which root keys to move"),
        (("move", "--all", "--to", "hsm"), "no HSM is configured"),
    ],
)
def test_wrong_use_is_exit_code_2(deployment: Deployment, here: Here, words: tuple[str, ...], line: str) -> None:
    """With what to write instead."""
    code, said = here(deployment, *words)

    assert (code, line in said) == (2, True), said


@pytest.mark.parametrize("act", ["disable", "delete", "purge"])
def test_nothing_that_may_stop_a_machine_is_done_unasked(deployment: Deployment, act: str) -> None:
    """Without a terminal and without the name: exit code 2, and the key is as it was."""
    read(deployment, "create", f"kept-from-{act}")

    code, said = told(deployment.run("root-key", act, f"kept-from-{act}", check=False))
    wrong = deployment.run("root-key", act, f"kept-from-{act}", "--yes", "another", check=False)

    assert (code, f"--yes kept-from-{act}" in said, "Nothing was changed" in said) == (2, True, True)
    assert wrong.returncode == 2
    assert read(deployment, "show", f"kept-from-{act}")["state"] == "active"


def test_whoever_disables_types_the_name(deployment: Deployment) -> None:
    """After reading which instances it concerns."""
    read(deployment, "create", "typed", "--alias", "typed-one")
    deployment.run("instance", "create", "concerned", "--root-key", "typed-one")

    refused = typed(deployment, "yes", "root-key", "disable", "typed")
    before = read(deployment, "show", "typed")["state"]
    done = typed(deployment, "typed", "root-key", "disable", "typed")

    assert refused[0] == 1
    assert "concerned  0     0" in refused[1]
    assert "A running ESXi host keeps its keys until it restarts." in refused[1]
    assert "nothing was changed" in refused[1]
    assert (before, done[0]) == ("active", 0)
    assert "No key of concerned can be fetched until it is enabled." in done[1]
    assert read(deployment, "enable", "typed")["state"] == "active"


def test_a_key_is_deleted_restored_and_purged(deployment: Deployment) -> None:
    """Each time it says what can still be done."""
    read(deployment, "create", "mortal")

    deleted = deployment.run("root-key", "delete", "mortal", "--yes", "mortal").stdout
    shown = read(deployment, "show", "mortal")
    restored = read(deployment, "restore", "mortal")
    deployment.run("root-key", "delete", "mortal", "--yes", "mortal")
    purged = read(deployment, "purge", "mortal", "--yes", "mortal")

    assert deleted.startswith("Root key mortal is deleted.\nIt can be restored until ")
    assert (shown["state"], "restore_until" in shown, "purge_from" in shown) == ("deleted", True, True)
    assert (restored["state"], purged["purged"]) == ("active", True)
    assert told(deployment.run("root-key", "show", "mortal", check=False))[0] == 1


def test_a_purge_says_first_what_would_be_lost(deployment: Deployment) -> None:
    """At a terminal too it is not asked for."""
    read(deployment, "create", "lost", "--alias", "lost-one")
    deployment.run("instance", "create", "loser", "--root-key", "lost-one")
    deployment.run("root-key", "delete", "lost", "--yes", "lost")

    code, said = typed(deployment, "lost", "root-key", "purge", "lost")

    assert code == 2
    assert "loser     0     0" in said
    assert "destroys it for ever" in said
    assert read(deployment, "show", "lost")["state"] == "deleted"


def test_two_persons_delete_under_dual_authorisation(deployment: Deployment) -> None:
    """The first only sets the mark; the same person again is refused, another one deletes."""
    read(deployment, "create", "guarded", "--dual-authorisation")

    first = deployment.run("root-key", "delete", "guarded", "--yes", "guarded")
    again = told(deployment.run("root-key", "delete", "guarded", "--yes", "guarded", check=False))
    between = read(deployment, "show", "guarded")
    with opened(deployment) as (house, call):
        lifecycle.delete(house, call, between["identifier"])

    assert "is set for deletion, and works as before." in first.stdout
    assert "another one has to delete it until " in first.stdout
    assert (again[0], "another person has to delete it" in again[1]) == (1, True)
    assert (between["state"], between["set_for_deletion"]["by"].startswith("local-user-")) == ("active", True)
    assert read(deployment, "show", "guarded")["deleted_by"] == "local-user-another"


def test_another_persons_mark_lets_one_delete_and_can_be_taken_back(deployment: Deployment) -> None:
    """Whoever has set it."""
    made = read(deployment, "create", "marked", "--dual-authorisation")
    with opened(deployment) as (house, call):
        lifecycle.set_for_deletion(house, call, made["identifier"])
    unset = read(deployment, "unset-for-deletion", "marked")
    with opened(deployment) as (house, call):
        lifecycle.set_for_deletion(house, call, made["identifier"])

    deleted = read(deployment, "delete", "marked", "--yes", "marked")

    assert (unset["set_for_deletion"], deleted["state"]) == (None, "deleted")


def is_given_out(served: Served, identifier: str) -> bool:
    """Whether a client gets the key."""
    with served.connect() as conversation:
        _, (answer,) = answers(conversation.exchange(vcenter_frames.get(identifier)))
    return answer.ok


def within(seconds: float, what: Callable[[], bool]) -> bool:
    """Whether it comes true in time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if what():
            return True
        time.sleep(0.05)
    return False


def test_what_is_done_counts_at_a_running_server(served: Served) -> None:
    """A key is fetched, not while its root key is disabled or deleted, and then again; through a rotation always."""
    deployment = served.deployment
    assert deployment is not None
    with served.connect() as conversation:
        _, (made,) = answers(conversation.exchange(vcenter_frames.create()))
    uid = made.payload.string(Tag.UNIQUE_IDENTIFIER)
    assert is_given_out(served, uid)
    (root_key,) = (row["name"] for row in read(deployment, "list") if row["used_by"] == ["tests"])

    rotated = deployment.run("root-key", "rotate", root_key).stdout
    after_rotation = is_given_out(served, uid)
    gone = []
    back = []
    for out, into in (("disable", "enable"), ("delete", "restore")):
        deployment.run("root-key", out, root_key, "--yes", root_key)
        gone.append(within(WITHIN, lambda: not is_given_out(served, uid)))
        deployment.run("root-key", into, root_key)
        back.append(within(WITHIN, lambda: is_given_out(served, uid)))

    assert "1 key of tests stay wrapped under older versions" in rotated
    assert (after_rotation, gone, back) == (True, [True, True], [True, True])


def test_the_journal_has_both_sides(fresh: Deployment, tmp_path: Path) -> None:
    """What was done with root keys stands among the other records, and is walked with them."""
    made = fresh.read("instance", "create", "berlin")
    fresh.run("root-key", "rotate", made["root_key"])
    fresh.run("root-key", "create", "another")
    heads = tmp_path / "heads.json"
    heads.write_text(fresh.run("audit", "verify", "--json").stdout)

    def actions(*words: str) -> list[str]:
        return [record["action"] for record in fresh.read("audit", "list", *words)]

    everything = actions()
    verdict = json.loads(heads.read_text())

    created = "vmware-solutions.kmip-instance.create"
    assert everything[-3:] == [created, "kms.secrets.rotate", "kms.secrets.create"]
    assert actions("berlin") == ["kms.secrets.create", created, "kms.secrets.rotate"]
    assert created in actions("--catalog-only")
    assert "kms.secrets.create" not in actions("--catalog-only")
    assert (verdict["sound"], verdict["not_looked_at"]) == (True, [])
    assert "key-manager/embedded" in {head["chain"] for head in verdict["heads"]}
    assert fresh.run("audit", "verify", "--against", str(heads)).returncode == 0
    assert fresh.run("audit", "verify", "--against", str(heads), "--catalog-only").returncode == 0
    alone = fresh.run("audit", "verify", "--catalog-only").stdout
    assert "in 1 chain (administration " in alone


def test_an_edit_of_the_key_managers_journal_is_found(fresh: Deployment) -> None:
    """One letter."""
    fresh.run("root-key", "create", "noted")
    with sqlite3.connect(fresh.directory / "keystore.db") as database:
        database.execute("UPDATE journal SET text = replace(text, 'create', 'delete') WHERE number = 2")

    done = fresh.run("audit", "verify", check=False)

    assert done.returncode == 1
    assert "✗ key-manager/embedded 2: the hash does not follow" in done.stdout
    assert "1 flaw in" in done.stdout


def test_a_journal_that_cannot_be_looked_at_is_no_sound_one(fresh: Deployment) -> None:
    """Unless it is left out on purpose; a list says what misses."""
    (fresh.directory / "keystore.key").rename(fresh.directory / "elsewhere")

    done = fresh.run("audit", "verify", check=False)
    listed = fresh.run("audit", "list")

    assert done.returncode == 1
    assert "the journal of the key manager 'embedded' was not looked at: there is no key file" in done.stdout
    assert fresh.run("audit", "verify", "--catalog-only").returncode == 0
    assert "what the key manager 'embedded' wrote is missing here" in listed.stderr


@pytest.mark.skipif(softhsm.absent() is not None, reason=softhsm.absent() or "")
def test_root_keys_move_into_an_hsm(fresh: Deployment, tmp_path: Path) -> None:
    """All versions, tried there; the instance goes on working, and a second time there is nothing to do."""
    made = read(fresh, "create", "mobile")
    read(fresh, "rotate", "mobile")
    read(fresh, "create", "later")
    hsm = SoftHsm.create(tmp_path / "hsm")
    fresh.environment = hsm.environment
    with fresh.configuration.open("a") as configuration:
        configuration.write(
            f'\n[key_managers.embedded.hsm]\nlibrary = "{hsm.library}"\ntoken = "{hsm.token}"\n'
            f'pin_file = "{hsm.pin_file}"\n'
        )

    one = fresh.run("root-key", "move", "mobile", "--to", "hsm")
    shown = read(fresh, "show", made["identifier"])
    rest = read(fresh, "move", "--all", "--to", "hsm")
    again = read(fresh, "move", "--all", "--to", "hsm")

    assert "2 versions moved into the HSM" in one.stdout
    assert [version["kept_by"] for version in shown["versions"]] == ["pkcs11", "pkcs11"]
    assert (rest["moved"], rest["there_already"], rest["not_moved"]) == (1, 2, [])
    assert (again["moved"], again["there_already"]) == (0, 3)
    assert read(fresh, "rotate", "mobile")["kept_by"] == ["pkcs11"]
