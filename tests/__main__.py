"""All tests, in turns: ``python -m tests`` and any options of pytest's, which each turn gets.

What keeps to itself runs on every core, the quick rooms first; what measures time or memory (``alone``) runs afterwards
with the machine to itself. What is asked of KMIP and of REST is asked once more over PostgreSQL, where that is
installed. With paths among the options there are no turns: pytest runs those and nothing else.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from keyrack.testing.catalogs import SWITCH, over_postgres
from keyrack.testing.postgres import binaries

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
BY_FILE: Final = ["--numprocesses", str((os.cpu_count() or 1) + 1), "--dist", "loadfile"]
"""One more than there are cores: a page is mostly waited for. In a turn of its own: Playwright keeps an event loop in
its thread, in which no other test could have one."""
OVER_POSTGRES: Final = [
    "tests/e2e/test_vcenter_replay.py",
    "tests/e2e/test_four_ways_in.py",
    "tests/interop/test_interop_mongocrypt.py",
    "tests/interop/test_interop_pykmip_client.py",
    *sorted(str(each.relative_to(ROOT)) for each in ROOT.glob("tests/unit/shell/test_rest_v1_*.py")),
]
"""What a client or an administrator sees, which must not hang on the database; all else runs over it by
``KEYRACK_TEST_CATALOG=postgres make test``."""
WAITING: Final = ["-m", "waits and not slow", "tests/e2e", "tests/interop"]
"""What mostly waits for a clock, in a process of its own beside the quick rooms, which need the cores."""
TURNS: Final[Sequence[tuple[str, Sequence[str]]]] = (
    ("the quick rooms, on every core", [*CORES, *QUICK]),
    ("whole processes, on every core", [*CORES, "-m", "not slow and not alone and not waits", *SLOWER]),
    ("the console in a browser", [*BY_FILE, "-m", "not slow and not alone", "tests/console"]),
    ("what measures, alone", ["-m", "alone and not slow", *SLOWER, "tests/console"]),
)
NOTHING_TO_DO: Final = 5
"""How pytest ends where the options leave a turn no test."""


def main(options: Sequence[str]) -> int:
    """All turns, also after one that has failed; 0 if none has, and at least one had something to do."""
    if any(Path(each.partition("::")[0]).exists() for each in options):
        return _pytest(options)
    ends = {}
    with tempfile.TemporaryFile("w+") as said:
        waiting = subprocess.Popen(_command([*WAITING, *options]), cwd=ROOT, stdout=said, stderr=said)
        for number, (told, chosen) in enumerate(TURNS):
            print(f"\n{told}:", flush=True)  # noqa: T201 - it stands over pytest's own output
            ends[told] = _pytest([*chosen, *options])
            if number == 0:
                ends[told := "what waits, beside them"] = waiting.wait()
                said.seek(0)
                print(f"\n{told}:\n{said.read()}", flush=True)  # noqa: T201
    if binaries() is not None and not over_postgres():
        told = "KMIP and REST once more, over PostgreSQL"
        print(f"\n{told}:", flush=True)  # noqa: T201
        chosen = [*CORES, "-m", "not slow and not alone", *OVER_POSTGRES]
        ends[told] = _pytest([*chosen, *options], {SWITCH: "postgres"})
    failed = {told: end for told, end in ends.items() if end not in {0, NOTHING_TO_DO}}
    for told in failed:
        print(f"not green: {told}")  # noqa: T201 - the summary above may be far away
    return max(failed.values(), default=min(ends.values()))


def _pytest(options: Sequence[str], more: Mapping[str, str] | None = None) -> int:
    surroundings = {**os.environ, **(more or {})}
    return subprocess.run(_command(options), cwd=ROOT, check=False, env=surroundings).returncode


def _command(options: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "pytest", *options]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
