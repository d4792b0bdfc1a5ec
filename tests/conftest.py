"""What all rooms of the tests share: a real server on loopback.

``KEYRACK_TEST_AGAINST=pykmip`` puts PyKMIP's own server in the place of Keyrack, to see whether a test is wrong or the
server is; PyKMIP cannot do all that is asked. ``KEYRACK_TEST_CATALOG=postgres`` puts fresh PostgreSQL databases in the
place of SQLite files.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from keyrack.testing.catalogs import over_postgres
from keyrack.testing.catalogs import server as server_of_tests
from keyrack.testing.certificates import Algorithm, authority, client, server
from keyrack.testing.postgres import Cluster
from keyrack.testing.postgres_catalogs import Fresh
from keyrack.testing.process import READY_WITHIN, Served, serve

# An example that takes long on a busy machine shows nothing.
settings.register_profile("keyrack", deadline=None)
settings.load_profile("keyrack")

# A shell makes what runs in its background deaf to Ctrl-C, and with it the commands that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

PYKMIP = Path(__file__).parents[1] / "bench" / "pykmip_server.py"


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--update``: what is compared with a file is written to it."""
    parser.addoption("--update", action="store_true", help="write the transcripts of commands anew")


def pytest_configure(config: pytest.Config) -> None:
    """Say what the mark means."""
    config.addinivalue_line("markers", "sqlite(why): looks into SQLite's own file, and is skipped over PostgreSQL")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is SQLite's own, where ``KEYRACK_TEST_CATALOG=postgres`` has put another database in its place."""
    if not over_postgres():
        return
    for item in items:
        if (mark := item.get_closest_marker("sqlite")) is not None:
            item.add_marker(pytest.mark.skip(reason=f"SQLite's own: {mark.args[0]}"))


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One running Keyrack with one instance and one client, for all tests that leave others alone."""
    directory = tmp_path_factory.mktemp("served")
    if os.environ.get("KEYRACK_TEST_AGAINST") == "pykmip":
        yield from _pykmip(directory)
        return
    running = serve(directory)
    assert running.deployment is not None
    try:
        yield running
    finally:
        running.deployment.stop()


def _pykmip(directory: Path) -> Iterator[Served]:
    root = authority()
    certificate, key = server(root, algorithm=Algorithm.RSA_2048).write(directory, "server")
    (directory / "ca.pem").write_bytes(root.pem)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    files = ["--certificate", str(certificate), "--key", str(key), "--ca", str(directory / "ca.pem")]
    process = subprocess.Popen([sys.executable, str(PYKMIP), str(directory), "--port", str(port), *files])
    try:
        until = time.monotonic() + READY_WITHIN
        while time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield Served(address=("127.0.0.1", port), authority=root, client=client(root, "pykmip"), directory=directory)
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="session")
def postgres_cluster() -> Cluster:
    """One PostgreSQL server with a database that is ready to be copied."""
    return server_of_tests()


@pytest.fixture
def postgres(postgres_cluster: Cluster) -> Iterator[Fresh]:
    """A database of its own for each test."""
    fresh = Fresh(postgres_cluster)
    yield fresh
    fresh.drop()
