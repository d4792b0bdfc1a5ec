"""The documents tell of this program: generated pages are current, commands and links exist."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
PAGES = (
    "configuration.md",
    "journal-events.md",
    "operations.md",
    "attributes.md",
    "lifecycle.md",
    "rights.md",
    "roles.md",
    "key-manager-outcomes.md",
    "cli.md",
    "metrics.md",
    "rest-api.md",
)
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "requirements").glob("*.md"))
)


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    """docs/generate.py."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs/generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", PAGES)
def test_generated_pages_are_current(generator: ModuleType, page: str) -> None:
    """After a change of the program: make docs."""
    assert (ROOT / "docs" / page).read_text(encoding="utf-8") == generator.written(page)


def test_every_generated_page_is_looked_at(generator: ModuleType) -> None:
    """A new page joins the list above."""
    assert tuple(generator.PAGES) == PAGES


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    """Those within the project."""
    text = (ROOT / document).read_text(encoding="utf-8")
    targets = [target.split("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]

    assert [] == [target for target in targets if target and not ((ROOT / document).parent / target).exists()]


def test_every_command_that_a_document_names_is_there() -> None:
    """With its sub-command, as ``--help`` of it answers."""
    named = set()
    for document in DOCUMENTS:
        text = (ROOT / document).read_text(encoding="utf-8")
        named |= set(
            re.findall(
                r"\bkeyrack (demo|init|serve|status|doctor|verify|rebuild|instance [a-z-]+|cert [a-z]+|key [a-z]+"
                r"|audit [a-z]+|iam [a-z-]+"
                r"|root-key [a-z-]+|key-manager [a-z]+|keystore [a-z-]+|unseal)",
                text,
            )
        )
    assert {"demo", "init", "serve", "status", "cert add", "key list"} <= named
    probe = (
        "import sys; from keyrack.shell.cli.app import command; root = command()\n"
        "for words in sys.argv[1:]:\n"
        "    here = root\n"
        "    for word in words.split(): here = here.commands[word]\n"
    )

    subprocess.run([sys.executable, "-c", probe, *sorted(named)], check=True)


def test_every_target_that_the_readme_names_is_in_the_makefile() -> None:
    """And explains itself in ``make help``."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    text = "".join((ROOT / document).read_text(encoding="utf-8") for document in DOCUMENTS)
    named = set(
        re.findall(r"`?\bmake ([a-z]+)\b`?", "\n".join(re.findall(r"(?:^|`)(make [a-z]+)", text, re.MULTILINE)))
    )

    assert {"demo", "test"} <= named
    assert named <= set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))
