"""schemathesis, a generator of requests, holds the key manager's API against the document that it serves of itself.

No 5xx, no status, header, media type or body that the document does not tell, nothing accepted that it forbids, nothing
answered without a token, nothing left of what was deleted.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from keyrack.testing.key_manager_process import KeyManagerProcess, key_manager_process

SETTINGS = """\
[generation]
# As Key Protect, we look past query parameters that nobody has asked for.
allow-extra-parameters = false

[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 409, 410, 413, 422, 429]

[checks.positive_data_acceptance]
# A 400 is also Key Protect's answer to what a schema cannot tell: KEY_ROOT_REQ_ERR and many others.
enabled = false
"""


def test_the_api_keeps_to_its_document(tmp_path: Path) -> None:
    """A minute of it."""
    with key_manager_process(tmp_path / "keyrack") as running:
        _run(running, tmp_path, "--max-examples", "2")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_api_keeps_to_its_document_for_ten_minutes(tmp_path: Path) -> None:
    """The long form."""
    with key_manager_process(tmp_path / "keyrack") as running:
        _run(running, tmp_path, "--max-time", "600")


def _run(running: KeyManagerProcess, directory: Path, *options: str) -> None:
    token = running.address.login(running.new_api_key("schemathesis", "Manager", "KeyPurge"))
    (directory / "schemathesis.toml").write_text(SETTINGS)
    done = subprocess.run(
        [
            Path(sys.executable).with_name("schemathesis"),
            *("run", f"{running.address.url}/api/v2/openapi.json"),
            *("--tls-verify", str(running.address.authority)),
            *("--header", f"Authorization: Bearer {token}"),
            *("--header", f"Bluemix-Instance: {running.instance}"),
            *("--phases", "coverage,fuzzing,stateful"),
            *("--suppress-health-check", "all"),
            "--no-color",
            *options,
        ],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-10_000:]
    assert "unforeseen" not in (directory / "keyrack" / "key-manager.log").read_text()
