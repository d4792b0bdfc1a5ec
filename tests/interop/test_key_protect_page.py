"""The examples of the API's page, run as they stand there."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyrack.testing.certificates import client
from keyrack.testing.key_manager_process import KeyManagerProcess, key_manager_process

PAGE = Path(__file__).parents[2] / "docs" / "key-protect-api.md"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeyManagerProcess]:
    with key_manager_process(tmp_path_factory.mktemp("page")) as process:
        yield process


def example(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_commands_of_curl(running: KeyManagerProcess) -> None:
    told = {
        "url": running.address.url,
        "ca": str(running.address.authority),
        "api_key": running.new_api_key("curl", "Writer"),
        "instance": running.instance,
    }
    done = subprocess.run(
        ["sh", "-eu"], input=example("sh"), env={**os.environ, **told}, capture_output=True, text=True, check=False
    )

    assert (0, "") == (done.returncode, done.stderr)
    assert done.stdout.startswith('{"plaintext":"')


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_commands_that_make_an_instance_for_a_vcenter(running: KeyManagerProcess, tmp_path: Path) -> None:
    """They go on where the first ones end."""
    certificate = client(name="vcenter.example").pem
    (tmp_path / "vcenter.pem").write_bytes(certificate)
    told = {
        "url": running.address.url,
        "ca": str(running.address.authority),
        "api_key": running.new_api_key("adapters", "Manager"),
        "instance": running.instance,
    }
    script = example("sh") + "echo\n" + example("bash")
    done = subprocess.run(
        ["sh", "-eu"],
        input=script,
        env={**os.environ, **told},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (0, "") == (done.returncode, done.stderr)
    [made] = json.loads(done.stdout.splitlines()[1])["resources"]
    assert (made["name"], made["certificate"].strip()) == ("vcenter-1", certificate.decode().strip())
    assert ["vcenter-1"] == [each["name"] for each in running.deployment.read("instance", "list")]


def test_the_program_with_ibms_sdk(running: KeyManagerProcess) -> None:
    told = {
        "IBM_KEY_PROTECT_API_URL": running.address.url,
        "IBM_KEY_PROTECT_API_AUTH_TYPE": "iam",
        "IBM_KEY_PROTECT_API_AUTH_URL": running.address.url,
        "IBM_KEY_PROTECT_API_APIKEY": running.new_api_key("sdk", "Writer"),
        "IBM_KEY_PROTECT_API_BLUEMIX_INSTANCE": running.instance,
        "REQUESTS_CA_BUNDLE": str(running.address.authority),
    }
    words = [sys.executable, "-c", example("python")]
    done = subprocess.run(words, env={**os.environ, **told}, capture_output=True, text=True, check=False)

    assert (0, "swordfish\n") == (done.returncode, done.stdout), done.stderr
