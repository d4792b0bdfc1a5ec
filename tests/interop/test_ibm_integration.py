"""IBM's own integration suite of the Key Protect SDK, unedited, against a Keyrack in a process of its own.

The suite lies in the ``keyprotect`` wheel and waits twice for the 31 seconds that Key Protect asks for, really.
"""

import os
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path
from xml.etree import ElementTree

import pytest

from keyrack.testing.key_manager_process import KeyManagerProcess, key_manager_process

pytestmark = pytest.mark.waits

SUITE = "test/integration/test_ibm_key_protect_api_v2.py"
SKIPPED = {
    "test_purge_key",
    "test_set_key_for_deletion",
    "test_unset_key_for_deletion",
    "test_get_allowed_ip_port",
    "test_get_kmip_object",
    "test_delete_kmip_object",
}
"""What IBM's file skips by itself, on its own account; ``test_ibm_sdk.py`` drives these calls."""
PASSED = 40
TIMEOUT = 280.0
"""Seconds."""


def test_ibms_integration_suite_passes(tmp_path: Path) -> None:
    """Every test of it that it does not itself skip."""
    suite = Path(str(distribution("keyprotect").locate_file(SUITE)))
    with key_manager_process(tmp_path / "keyrack") as running:
        told = _run(suite, running, tmp_path)

    outcomes = {case.get("name"): _outcome(case) for case in ElementTree.parse(tmp_path / "told.xml").iter("testcase")}
    assert set() == {name for name, outcome in outcomes.items() if outcome == "failed"}, told[-8000:]
    assert SKIPPED == {name for name, outcome in outcomes.items() if outcome == "skipped"}
    assert PASSED == sum(outcome == "passed" for outcome in outcomes.values())


def _run(suite: Path, running: KeyManagerProcess, directory: Path) -> str:
    """Run the suite as its authors do: with a file of the environment in the working directory."""
    api_key = running.new_api_key("ibm", "Manager", "KeyPurge")
    (directory / "ibm_key_protect_api_v2.env").write_text(
        f"IBM_KEY_PROTECT_API_URL={running.address.url}\n"
        "IBM_KEY_PROTECT_API_AUTH_TYPE=iam\n"
        f"IBM_KEY_PROTECT_API_AUTH_URL={running.address.url}\n"
        f"IBM_KEY_PROTECT_API_APIKEY={api_key}\n"
        f"IBM_KEY_PROTECT_API_BLUEMIX_INSTANCE={running.instance}\n"
    )
    words = [sys.executable, "-m", "pytest", str(suite), "--rootdir", str(directory), "-p", "no:cacheprovider"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("IBM_", "PYTEST_"))}
    try:
        done = subprocess.run(
            [*words, "-v", "--junitxml=told.xml"],
            cwd=directory,
            env={**environment, "REQUESTS_CA_BUNDLE": str(running.address.authority)},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        pytest.fail(f"IBM's suite took longer than {TIMEOUT} seconds: {late.output!r}")
    return done.stdout + done.stderr


def _outcome(case: ElementTree.Element) -> str:
    if case.find("skipped") is not None:
        return "skipped"
    return "passed" if case.find("failure") is None and case.find("error") is None else "failed"
