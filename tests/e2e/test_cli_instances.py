"""Instances as their users meet them: real commands beside a server of two processes, and its clients."""

import subprocess
import threading
import time
from collections.abc import Iterator

import pytest

from keyrack.testing.certificates import Identity, client
from keyrack.testing.client import Client, ConnectionEnded
from keyrack.testing.process import Deployment, Served, serve
from keyrack.testing.vcenter_frames import discover


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A Keyrack of two processes, of its own."""
    running = serve(tmp_path_factory.mktemp("instances"), environment={"KEYRACK_KMIP__WORKERS": "2"})
    yield running
    assert running.deployment is not None
    running.deployment.stop()


@pytest.fixture(scope="module")
def deployment(served: Served) -> Deployment:
    """The same, for commands."""
    assert served.deployment is not None
    return served.deployment


def told(done: subprocess.CompletedProcess[str]) -> tuple[int, str]:
    """Exit code and what was told on standard error."""
    assert "Traceback" not in done.stdout + done.stderr
    return done.returncode, done.stderr.strip()


def is_served(conversation: Client) -> bool:
    """Whether an open connection still gets an answer that is none of a refusal."""
    try:
        return b"trusted" not in conversation.exchange(discover())
    except (ConnectionEnded, OSError):
        return False


def test_the_life_of_an_instance(deployment: Deployment) -> None:
    """Without a home, configured, renamed, limited, deactivated, removed: each command says where it is, and why."""
    made = deployment.read("instance", "create", "--later", "--description", "for a test")
    name = made["name"]
    assert (made["status"], made["key_manager"], name[:5], len(name)) == ("Inactive", None, "kmip-", 7)
    code, error = told(deployment.run("instance", "configure", name, check=False))
    assert (code, error.startswith("keyrack: say which root key: --root-key ID, or --new-root-key.")) == (2, True)

    configured = deployment.read("instance", "configure", name, "--new-root-key")
    assert (configured["status"], configured["reason"]) == ("Installed", "")
    assert deployment.read("instance", "rename", name, "prod")["changed"] is True
    assert deployment.read("instance", "quota", "prod", "--keys", "7")["usage"] == {"keys": 0, "certificates": 0}

    code, error = told(deployment.run("instance", "remove", "prod", "--yes", check=False))
    assert (code, "deactivate it first: keyrack instance deactivate prod" in error) == (1, True)
    deployment.run("instance", "deactivate", "prod", "--reason", "no more of it")
    status = deployment.read("instance", "status", "prod")
    assert (status["status"], status["reason"].endswith(": no more of it")) == ("Inactive", True)
    assert deployment.read("instance", "remove", "prod", "--yes")["removed"] is True


def test_a_deactivated_instance_serves_nobody(served: Served, deployment: Deployment) -> None:
    """Not one request after the command's answer, on no connection of either process, and all closed in a second."""
    identity = client(deployment.authority, "busy")
    deployment.add_client("busy", identity, create=True)
    connections = _connected(served, identity, 8)
    over, served_at, lock = threading.Event(), [0.0], threading.Lock()

    def ask(conversation: Client) -> None:
        while not over.is_set() and is_served(conversation):
            with lock:
                served_at[0] = max(served_at[0], time.monotonic())

    threads = [threading.Thread(target=ask, args=(each,), daemon=True) for each in connections]
    for each in threads:
        each.start()
    code, error = told(deployment.run("instance", "deactivate", "busy", check=False))
    assert (code, "say --confirm busy" in error, served_at[0] > 0) == (2, True, True)
    deployment.run("instance", "deactivate", "busy", "--confirm", "busy")
    answered = time.monotonic()
    for each in threads:
        each.join(1.0)
    alive = [each for each in threads if each.is_alive()]
    over.set()

    assert (alive, 0 < served_at[0] <= answered) == ([], True)
    assert not _let_in(served, identity)
    code, error = told(deployment.run("instance", "remove", "busy", "--yes", check=False))
    assert (code, "1 client certificate (busy" in error, "keyrack cert remove busy" in error) == (1, True, True)
    deployment.run("instance", "activate", "busy")
    until = time.monotonic() + 2
    while not _let_in(served, identity):
        assert time.monotonic() < until
        time.sleep(0.05)


def _connected(served: Served, identity: Identity, count: int) -> list[Client]:
    until = time.monotonic() + 5
    while not _let_in(served, identity):
        assert time.monotonic() < until
    return [served.connect(identity=identity) for _ in range(count)]


def _let_in(served: Served, identity: Identity) -> bool:
    try:
        with served.connect(identity=identity) as conversation:
            return is_served(conversation)
    except (ConnectionEnded, OSError):
        return False
