"""A machine is lost, and its deployment comes back on another one: from one backup, and the files of the other safe."""

import json
import shutil
from pathlib import Path

import pytest

from keyrack.testing.catalogs import over_postgres
from keyrack.testing.certificates import client
from keyrack.testing.client import Client
from keyrack.testing.process import Deployment
from keyrack.testing.two_nodes import created, got

pytestmark = pytest.mark.skipif(over_postgres(), reason="PostgreSQL has backups of its own: docs/backup.md")


def test_a_deployment_comes_back_on_another_machine(tmp_path: Path) -> None:
    """Nothing of the old machine is there but the backup, what opens the keystore, and the server's key."""
    old = Deployment(directory=tmp_path / "old").initialise()
    identity = client(old.authority, "prod")
    old.add_client("prod", identity, create=True)
    context = old.context(identity)
    with Client(old.start(), context) as talking:
        key = created(talking)
        material = got(talking, key)
    made = old.read("backup", "create", "--out", str(tmp_path / "safe.backup"))
    with Client(old.await_address(lambda: True), context) as talking:
        lost = created(talking)
    old.stop()
    other_safe = tmp_path / "other"
    for name in made["left_out"]:
        (other_safe / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(old.directory / name, other_safe / name)
    shutil.rmtree(old.directory)

    new = Deployment(directory=tmp_path / "new", authority=old.authority)
    told = new.run("backup", "restore", made["file"], "--directory", str(new.directory), configured=False).stdout
    assert all(name in told for name in made["left_out"])
    assert 'directory = "."' in new.configuration.read_text()
    for name in made["left_out"]:
        if name != "journal/signing.key":
            (new.directory / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(other_safe / name, new.directory / name)

    with Client(new.start(), context) as talking:
        assert got(talking, key) == material
    refused = new.run("backup", "agree", "--json", check=False)
    account = json.loads(refused.stdout)
    assert (refused.returncode, account["words"], account["ended"]) == (3, "what nobody knows", False)
    assert len(account["unknown"]) == 2  # The key of the journal, and whatever came after the copy.
    new.run("backup", "agree", "--accept-loss", "what nobody knows")
    with Client(new.await_address(lambda: True), context) as talking:
        assert got(talking, created(talking)) != material
        assert got(talking, key) == material
        with pytest.raises(AssertionError, match="ITEM_NOT_FOUND"):
            got(talking, lost)
    new.run("recover", "prove")
    new.stop()
