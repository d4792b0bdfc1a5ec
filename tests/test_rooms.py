"""The rooms of the house keep their directions and their sizes."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median, quantiles

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "keyrack"

LONGEST_FILE = 400
MEDIAN_FILE = 150
LONGEST_FUNCTION = 60
LONG_FUNCTION_P90 = 25


def test_imports_go_in_the_directions_of_the_design() -> None:
    """Every contract of import-linter in pyproject.toml is kept."""
    lint = Path(sys.executable).with_name("lint-imports")

    told = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)

    assert told.returncode == 0, told.stdout[-3000:]


def test_no_file_is_longer_than_a_room() -> None:
    """A file over 400 lines holds two rooms, and half of all files are 150 lines or shorter."""
    lengths = {path.relative_to(ROOT): len(path.read_text().splitlines()) for path in SOURCE.rglob("*.py")}

    assert {} == {path: length for path, length in lengths.items() if length > LONGEST_FILE}
    assert median(length for length in lengths.values() if length) <= MEDIAN_FILE


def test_functions_stay_on_one_level() -> None:
    """No function's body is over 60 lines, and nine in ten are at most 25."""
    bodies = dict(_bodies())

    assert {} == {name: length for name, length in bodies.items() if length > LONGEST_FUNCTION}
    assert quantiles(bodies.values(), n=10)[-1] <= LONG_FUNCTION_P90


def _bodies() -> Iterator[tuple[str, int]]:
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                statements = node.body[1:] if ast.get_docstring(node) else node.body
                first = statements[0].lineno if statements else node.lineno
                yield f"{path.relative_to(ROOT)}:{node.name}", (node.end_lineno or first) - first + 1


def test_no_room_is_a_drawer() -> None:
    """A thing without a room has not been understood yet."""
    assert [] == [path for path in SOURCE.rglob("*") if path.stem in {"utils", "util", "helpers", "common", "misc"}]
