"""``keyrack status``: what it finds of key managers, of the API and of root keys, and its exit code."""

import json
import re
from pathlib import Path

import pytest

from keyrack.testing.process import Deployment


@pytest.fixture
def fresh(tmp_path: Path) -> Deployment:
    """A deployment that does not serve."""
    return Deployment(directory=tmp_path / "fresh").initialise()


def test_status_is_unhealthy_when_the_keystore_does_not_open(fresh: Deployment) -> None:
    """The server's next start would fail."""
    (fresh.directory / "keystore.key").rename(fresh.directory / "elsewhere")

    found = json.loads(fresh.run("status", "--json", check=False).stdout)
    [finding] = [each for each in found["findings"] if each["what"] == "key manager"]

    assert finding["level"] == "failed"
    assert "there is no key file" in finding["told"]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{ unseal = true }", "its passphrase is typed at each start"),
        ('{ passphrase_environment = "NOWHERE" }', "$NOWHERE, which opens it, is not set here"),
        ('{ credential = "keystore.key" }', "it opens with a credential of the service alone"),
    ],
)
def test_status_only_warns_of_a_keystore_that_it_has_no_means_to_open(fresh: Deployment, line: str, why: str) -> None:
    """The server may have it open."""
    text = fresh.configuration.read_text()
    fresh.configuration.write_text(re.sub(r"unlock = .*", f"unlock = {line}", text))

    found = json.loads(fresh.run("status", "--json", check=False).stdout)
    [finding] = [each for each in found["findings"] if each["what"] == "key manager"]

    assert (finding["level"], why in finding["told"]) == ("warning", True)


def test_status_looks_at_the_api_where_it_is_enabled(fresh: Deployment) -> None:
    with fresh.configuration.open("a") as configuration:
        configuration.write("\n[key_manager_api]\nenabled = true\nport = 0\n")
    idle = fresh.run("status", check=False).stdout
    fresh.start()
    serving = fresh.read("status")
    fresh.stop()

    assert "key manager API          the server does not run; start it with 'keyrack serve'" in idle
    [finding] = [each for each in serving["findings"] if each["what"] == "key manager API"]
    assert finding["level"] == "ok"


def test_status_says_what_brings_a_root_key_back(fresh: Deployment) -> None:
    """A disabled one, and a deleted one."""
    with fresh.configuration.open("a") as configuration:
        configuration.write("\n[key_managers.embedded.waits]\nstate_change_seconds = 0\n")
    fresh.run("root-key", "create", "ours", "--alias", "ours")
    fresh.run("instance", "create", "one", "--root-key", "ours")
    fresh.run("root-key", "disable", "ours", "--yes", "ours")
    disabled = fresh.run("status", check=False).stdout
    fresh.run("root-key", "delete", "ours", "--yes", "ours")
    deleted = fresh.run("status", check=False).stdout

    assert re.search(r"is disabled: .* no key is handed out.*; 'keyrack root-key enable \S+' brings them", disabled)
    assert re.search(r"no key is handed out, and none is made; 'keyrack root-key restore \S+' brings them", deleted)
