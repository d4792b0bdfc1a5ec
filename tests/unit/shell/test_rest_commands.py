"""``keyrack key-manager`` as a person uses it: instances, a process that serves, and a database that was put back."""

import base64
import json
import os
import shutil
import signal
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyrack.testing.canaries import in_files, in_memory
from keyrack.testing.certificates import Algorithm, server
from keyrack.testing.key_manager_process import KeyManagerProcess, key_manager_process
from keyrack.testing.key_protect import User

OTHER = "6f1c9d3e-93d7-4a39-b1df-6f7e9f9a7a11"
KEY = "application/vnd.ibm.kms.key+json"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeyManagerProcess]:
    """One process for all tests."""
    with key_manager_process(tmp_path_factory.mktemp("key-manager"), KEYRACK_LOG__LEVEL="debug") as process:
        yield process


@pytest.fixture(scope="module")
def manager(running: KeyManagerProcess) -> User:
    return User(running.address, running.new_api_key("manager", "Manager"), running.instance)


def created(user: User, **told: object) -> str:
    key = {"name": "made", "extractable": False, **told}
    body = {"metadata": {"collectionType": KEY, "collectionTotal": 1}, "resources": [key]}
    return str(user.ask("POST", "/keys", body).resource["id"])


def test_instances_are_made_and_listed(running: KeyManagerProcess) -> None:
    """And served at once, each apart from the others."""
    deployment = running.deployment
    made = deployment.read("key-manager", "instance", "create", "second", "--id", OTHER)
    listed = deployment.read("key-manager", "instance", "list")
    again = deployment.run("key-manager", "instance", "create", "second", check=False)

    assert ("second", OTHER) == (made["name"], made["identifier"])
    assert ["default", "second"] == [each["name"] for each in listed]
    assert (1, True) == (again.returncode, "choose another name" in again.stderr)
    assert "second" in deployment.run("key-manager", "instance", "list").stdout
    neighbour = User(running.address, running.new_api_key("neighbour", "Manager", instance="second"), OTHER)
    assert 0 == neighbour.ask("GET", "/keys").json["metadata"]["collectionTotal"]


def test_a_new_certificate_is_shown_after_sighup(running: KeyManagerProcess) -> None:
    """To new connections, without a restart; one that cannot be used changes nothing."""
    tls = running.deployment.directory / "tls"
    before = shown(running)
    pair = server(running.deployment.authority, algorithm=Algorithm.EC_P256)
    (tls / "server.pem").write_bytes(pair.pem)
    (tls / "server.key").write_bytes(pair.key_pem)
    hang_up(running)
    after = shown(running)
    (tls / "server.pem").write_text("nonsense")
    hang_up(running)

    assert before != after == shown(running) == pair.der
    (tls / "server.pem").write_bytes(pair.pem)


def shown(running: KeyManagerProcess) -> bytes:
    pem = ssl.get_server_certificate(
        (running.address.host, running.address.port), ca_certs=str(running.address.authority)
    )
    return ssl.PEM_cert_to_DER_cert(pem)


def hang_up(running: KeyManagerProcess) -> None:
    os.kill(running.process, signal.SIGHUP)
    time.sleep(0.5)


def test_the_memory_of_the_process_is_written_to_no_core_file(running: KeyManagerProcess) -> None:
    (limit,) = [
        line
        for line in Path(f"/proc/{running.process}/limits").read_text().splitlines()
        if line.startswith("Max core file size")
    ]

    assert ["0", "0"] == limit.split()[4:6]


def test_key_material_stands_in_no_file(running: KeyManagerProcess, manager: User) -> None:
    """Not in the log, which tells everything it can here, not in the journal, not in the database."""
    payload, material, plaintext = os.urandom(48), os.urandom(32), os.urandom(32)
    standard = created(manager, extractable=True, payload=base64.b64encode(payload).decode())
    root = created(manager, payload=base64.b64encode(material).decode())
    wrapped = manager.ask("POST", f"/keys/{root}/actions/wrap", {"plaintext": base64.b64encode(plaintext).decode()})
    generated = manager.ask("POST", f"/keys/{root}/actions/wrap").json
    opened = manager.ask("POST", f"/keys/{root}/actions/unwrap", {"ciphertext": wrapped.json["ciphertext"]}).json
    manager.ask("POST", f"/keys/{root}/actions/wrap", {"plaintext": base64.b64encode(plaintext).decode(), "x": 1})
    manager.ask("POST", "/keys", {"payload": base64.b64encode(payload).decode()})

    assert payload == base64.b64decode(manager.ask("GET", f"/keys/{standard}").resource["payload"])
    assert plaintext == base64.b64decode(opened["plaintext"])
    secrets = [payload, material, plaintext, base64.b64decode(generated["plaintext"]), manager.api_key.encode()]
    assert [] == in_files([*secrets, manager.token.rpartition(".")[2].encode()], running.deployment.directory)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root reads the memory of a process that keeps it private")
def test_plaintexts_are_gone_from_memory_once_they_are_answered(running: KeyManagerProcess, manager: User) -> None:
    """As bytes, all of them. As base64 a few may be left, in what HTTP and TLS let go of without wiping it."""
    root = created(manager)
    plaintexts = [os.urandom(32) for _ in range(50)]
    for plaintext in plaintexts:
        body = {"plaintext": base64.b64encode(plaintext).decode()}
        wrapped = manager.ask("POST", f"/keys/{root}/actions/wrap", body).json["ciphertext"]
        manager.ask("POST", f"/keys/{root}/actions/unwrap", {"ciphertext": wrapped})
    for _ in range(5):
        manager.ask("GET", "/keys")

    assert 0 == sum(in_memory(plaintexts, running.process).values())
    digits = in_memory([base64.b64encode(plaintext) for plaintext in plaintexts], running.process)
    assert sum(map(bool, digits.values())) <= len(plaintexts) // 2


def test_an_older_database_is_taken_only_by_a_persons_word(tmp_path: Path) -> None:
    """And that word is in the journal."""
    with key_manager_process(tmp_path) as first:
        user = User(first.address, first.new_api_key("manager", "Manager"), first.instance)
        for name in ("keystore.db", "keystore.db-wal"):
            if (tmp_path / name).exists():
                shutil.copy(tmp_path / name, tmp_path / f"{name}.backup")
        key = created(user)
    deployment = first.deployment
    for name in ("keystore.db", "keystore.db-wal"):
        (tmp_path / name).unlink(missing_ok=True)
        if (tmp_path / f"{name}.backup").exists():
            shutil.copy(tmp_path / f"{name}.backup", tmp_path / name)
    (tmp_path / "keystore.db-shm").unlink(missing_ok=True)

    refused = deployment.run("key-manager", "instance", "list", check=False)
    unasked = deployment.run("key-manager", "accept", check=False)
    accepted = deployment.run("key-manager", "accept", "--yes")

    assert (True, True) == (refused.returncode != 0, "key-manager accept" in refused.stderr)
    assert unasked.returncode != 0
    assert "accepted as it is" in accepted.stdout
    assert ["default"] == [each["name"] for each in deployment.read("key-manager", "instance", "list")]
    assert "kms.database.accept" in json.dumps(_journal(tmp_path))
    assert key not in json.dumps(_journal(tmp_path))


def _journal(directory: Path) -> list[str]:
    import sqlite3

    connection = sqlite3.connect(directory / "keystore.db")
    try:
        return [text for (text,) in connection.execute("SELECT text FROM journal")]
    finally:
        connection.close()


def test_serving_ends_at_sigterm_and_says_in_a_line_why_it_does_not_begin(tmp_path: Path) -> None:
    address = tmp_path / "run" / "key-manager.address"
    with key_manager_process(tmp_path) as process:
        assert f"{process.address.host}:{process.address.port}" == address.read_text().strip()
    (tmp_path / "tls" / "server.key").write_text("nonsense")

    told = process.deployment.run("key-manager", "serve", check=False)

    assert not address.exists()
    assert "stopped" in (tmp_path / "key-manager.log").read_text()
    assert 2 == told.returncode
    assert "key_manager_api.certificate" in told.stderr
    assert "Traceback" not in told.stderr
