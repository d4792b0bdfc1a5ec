"""schemathesis, a generator of requests, holds the administration API against the document that it serves of itself.

The real web process beside a real server. No 5xx, no status, header, media type or body that the document does not
tell, nothing accepted that it forbids, nothing answered without a token.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from keyrack.domain.rights import Grant, Role
from keyrack.testing.web_process import WebProcess, web_process

SETTINGS = """\
[checks.negative_data_rejection]
# What is not there may be said before what is wrong, and what was not seen before what is changed.
expected-statuses = [400, 401, 403, 404, 405, 406, 409, 412, 413, 415, 421, 422, 428, 429, 431]

[checks.missing_required_header]
expected-statuses = [400, 401, 403, 404, 406, 415, 422, 428, 429]

[checks.positive_data_acceptance]
# A schema cannot tell which instances there are, nor which names are taken.
enabled = false
"""


@pytest.mark.timeout(240)
def test_the_administration_api_keeps_to_its_document(tmp_path: Path) -> None:
    """A third of a minute of it, over every route."""
    with web_process(tmp_path / "d", KEYRACK_API__REQUESTS_PER_SECOND="10000") as running:
        _run(running, tmp_path, "--phases", "examples,coverage,fuzzing", "--max-examples", "2", "--max-time", "20")


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_administration_api_keeps_to_its_document_for_ten_minutes(tmp_path: Path) -> None:
    """The long form."""
    with web_process(tmp_path / "d", KEYRACK_API__REQUESTS_PER_SECOND="10000") as running:
        _run(running, tmp_path, "--phases", "examples,coverage,fuzzing,stateful", "--max-time", "600")


def _run(running: WebProcess, directory: Path, *options: str) -> None:
    token = running.person("mara", Grant(Role.ADMINISTRATOR), Grant(Role.SECURITY_OFFICER))
    running.deployment.run("instance", "create", "prod")
    host, port = running.address
    (directory / "schemathesis.toml").write_text(SETTINGS)
    done = subprocess.run(
        [
            Path(sys.executable).with_name("schemathesis"),
            *("run", f"https://{host}:{port}/api/v1/openapi.json"),
            *("--tls-verify", str(running.authority)),
            *("--header", f"Authorization: Bearer {token}"),
            *("--suppress-health-check", "all"),
            # It goes on answering until whoever asks has gone; its own tests follow it.
            *("--exclude-operation-id", "follow_journal"),
            "--continue-on-failure",
            "--no-color",
            *options,
        ],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-60_000:]
    log = running.deployment.log.read_text()
    assert "unforeseen" not in log
    # It was known to the end, or to nearly all of its requests: else everything was answered alike.
    statuses = [int(each) for each in re.findall(r'"path": "/api[^}]*?"status": (\d+)', log)]
    assert sum(each == 401 for each in statuses) < len(statuses) / 2, statuses
    assert sum(each < 300 for each in statuses) > len(statuses) / 50
    # Somebody new: whoever was there before may have been locked out by what was tried.
    watcher = running.person("watcher", Grant(Role.AUDITOR))
    assert running.ask("GET", "/api/v1/instances", watcher).status == 200
    assert running.ask("GET", "/health/live").status == 200
