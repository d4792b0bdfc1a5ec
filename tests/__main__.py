"""All tests, in turns: ``python -m tests`` and any options of pytest's, which each turn gets.

What keeps to itself runs on every core, the quick rooms first; what measures time or memory (``alone``) runs afterwards
with the machine to itself. With paths among the options there are no turns: pytest runs those and nothing else.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
QUICK: Final = [
    "tests/test_rooms.py",
    "tests/test_docs.py",
    "tests/unit",
    "tests/contract",
    "tests/vectors",
    "tests/profiles",
]
SLOWER: Final = ["tests/faults", "tests/e2e", "tests/interop"]
"""The longest tests first, so that no core waits for another in the end."""
CORES: Final = ["--numprocesses", str(os.cpu_count() or 1), "--dist", "worksteal"]
TURNS: Final[Sequence[tuple[str, Sequence[str]]]] = (
    ("the quick rooms, on every core", [*CORES, *QUICK]),
    ("whole processes, on every core", [*CORES, "-m", "not slow and not alone", *SLOWER]),
    ("what measures, alone", ["-m", "alone and not slow", *SLOWER]),
)
NOTHING_TO_DO: Final = 5
"""How pytest ends where the options leave a turn no test."""


def main(options: Sequence[str]) -> int:
    """All turns, also after one that has failed; 0 if none has, and at least one had something to do."""
    if any(Path(each.partition("::")[0]).exists() for each in options):
        return _pytest(options)
    ends = {}
    for told, chosen in TURNS:
        print(f"\n{told}:", flush=True)  # noqa: T201 - it stands over pytest's own output
        ends[told] = _pytest([*chosen, *options])
    failed = {told: end for told, end in ends.items() if end not in {0, NOTHING_TO_DO}}
    for told in failed:
        print(f"not green: {told}")  # noqa: T201 - the summary above may be far away
    return max(failed.values(), default=min(ends.values()))


def _pytest(options: Sequence[str]) -> int:
    return subprocess.run([sys.executable, "-m", "pytest", *options], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
