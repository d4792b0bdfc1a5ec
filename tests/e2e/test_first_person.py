"""The first person, from the link of ``keyrack init`` to the end of a log-in, with the real processes and costs."""

import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from keyrack.testing.process import Deployment
from keyrack.testing.web_process import WITH_API, WebProcess

PASSWORD = "tango fjord whisker"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[WebProcess, str]]:
    """A server, and the token that ``keyrack init`` has printed."""
    directory = tmp_path_factory.mktemp("first")
    deployment = Deployment(directory=directory / "k", environment=WITH_API)
    done = deployment.run(
        "init", "--directory", str(deployment.directory), "--yes", "--administrator", "root", "--json", configured=False
    )
    link = json.loads(done.stdout)["first_person"]["link"]
    assert re.fullmatch(r"https://127\.0\.0\.1:\d+/set-password#krl_[A-Za-z0-9_-]{43}", link)
    deployment.start()
    yield WebProcess(deployment, deployment.directory / "tls" / "ca.pem"), link.partition("#")[2]
    deployment.stop()


def test_the_first_person_gets_in_by_the_link(running: tuple[WebProcess, str], tmp_path: Path) -> None:
    """The page, the password, the log-in, an act, the end; and nothing of it in the log."""
    web, token = running
    assert web.ask("GET", "/set-password").headers["content-type"].startswith("text/html")
    weak = web.ask("POST", "/api/v1/set-password", None, {"token": token, "password": "root-keyrack"})
    assert (weak.status, weak.json()["field"]) == (422, "password")
    body = {"token": token, "password": PASSWORD}
    assert web.ask("POST", "/api/v1/set-password", None, body).json() == {"name": "root"}
    assert web.ask("POST", "/api/v1/set-password", None, body).code == "not-recognised"

    begun = web.ask("POST", "/api/v1/sessions", None, {"name": "root", "password": PASSWORD})
    assert begun.status == 201
    session = begun.json()["token"]
    assert {each["role"] for each in begun.json()["person"]["roles"]} == {"administrator", "security-officer"}
    assert web.ask("POST", "/api/v1/people", session, {"name": "anna", "roles": [{"role": "viewer"}]}).status == 201
    listed = web.deployment.read("session", "list")
    assert [each["person"] for each in listed] == ["root"]
    web.deployment.run("session", "end", "root", listed[0]["identifier"])
    assert web.ask("GET", "/api/v1/me", session).status == 401
    log = web.deployment.log.read_text()
    assert not [each for each in (token, session, PASSWORD, "root-keyrack") if each in log]


def test_guessing_over_the_wire(running: tuple[WebProcess, str]) -> None:
    """Ten at a time, as fast as it goes: what is looked at in that minute is what the wait lets through."""
    web, _ = running
    web.deployment.run("person", "add", "guessed")

    def guess(number: int) -> tuple[int, str]:
        answer = web.ask("POST", "/api/v1/sessions", None, {"name": "guessed", "password": f"guess {number} of many"})
        return answer.status, answer.code

    began = time.monotonic()
    with ThreadPoolExecutor(10) as threads:
        answers = list(threads.map(guess, range(120)))
    took = time.monotonic() - began

    looked_at = sum(status == 401 for status, _ in answers)
    assert {status for status, _ in answers} == {401, 429}
    assert looked_at <= 6 + took / 5
    # Everybody else is answered meanwhile and afterwards.
    assert web.ask("GET", "/health/live").status == 200
