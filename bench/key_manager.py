"""``make bench ARGS=key-manager``: the embedded key manager beside floors and a peer, interleaved, as ratios.

Every round runs everything once, one after the other, so that a slow minute of the machine meets all of it alike; a
ratio is taken within each round, and then its median over the rounds is told, with the lowest and the highest.
"""

import argparse
import asyncio
import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path

from bench import face, hsm, in_process, storages
from bench.measured import Case, Run, costs_table, measured, ratios_table
from bench.published import PUBLISHED, publish
from bench.run import RESULTS, machine, say
from bench.servers import BUILD

from keyrack.testing.softhsm import absent

TITLE = "Key manager"
FEW = 1000
PARTS = "software,hsm,rest,tokens,lists,kmip"


def options(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench key-manager", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.5, help="measured time of one run")
    parser.add_argument("--quick", action="store_true", help="three short rounds and fewer keys: about a minute")
    parser.add_argument("--parts", default=PARTS, help=f"of {PARTS}")
    parser.add_argument("--many", type=int, default=100_000, help="keys of the larger key manager")
    parser.add_argument("--publish", action="store_true", help=f"also write the section of {PUBLISHED.name}")
    given = parser.parse_args(words)
    if given.quick:
        given.rounds, given.seconds, given.many = 3, min(given.seconds, 0.12), min(given.many, 20_000)
    return given


class Bench:
    """One run of the benchmark, in a directory that goes away with it."""

    def __init__(self, given: argparse.Namespace, work: Path, runner: asyncio.Runner, stack: ExitStack) -> None:
        self.work, self.runner, self.stack = work, runner, stack
        self.many = given.many
        self.parts = given.parts.split(",")
        self.skipped: list[str] = []

    def cases(self) -> Iterator[Case]:
        """What is measured, made ready."""
        makers = {
            "software": self._software,
            "hsm": self._hsm,
            "rest": lambda: face.cases(self.work, self.stack),
            "tokens": self._tokens,
            "lists": self._lists,
            "kmip": self._kmip,
        }
        for part in self.parts:
            say(f"making {part} ready")
            yield from makers[part]()

    def _software(self) -> list[Case]:
        return [in_process.software(self._stocked("software", 1), self.runner)]

    def _tokens(self) -> list[Case]:
        return [in_process.tokens(self._stocked("tokens", 1), self.work)]

    def _lists(self) -> list[Case]:
        return [in_process.lists(self._stocked("few", FEW), self._stocked("many", self.many))]

    def _hsm(self) -> list[Case]:
        if (why := absent()) is not None:
            self.skipped.append(f"root keys in an HSM were not measured: {why}")
            return []
        return hsm.cases(self.work, self.runner, self.stack)

    def _kmip(self) -> list[Case]:
        closing = AsyncExitStack()
        self.stack.callback(lambda: self.runner.run(closing.aclose()))
        return [storages.case(self.work, self.runner, closing)]

    def _stocked(self, name: str, keys: int) -> in_process.Stock:
        made = in_process.stocked(self.work / name, keys)
        self.stack.callback(lambda: self.runner.run(made.manager.close()))
        return made


def rounds(cases: Sequence[Case], given: argparse.Namespace) -> list[Run]:
    """Everything, once in each round, and in every other round backwards; a round before them is not counted."""
    made = []
    for number in range(given.rounds + 1):
        say(f"round {number} of {given.rounds}" if number else "warming up")
        for case in cases:
            for thing in case.things if number % 2 else reversed(case.things):
                run = measured(number, case, thing, given.seconds if number else given.seconds / 4)
                made += [run] if number else []
    return made


def report(cases: Sequence[Case], runs: Sequence[Run], facts: dict[str, str], notes: Sequence[str]) -> str:
    """The section, in Markdown."""
    how = [f"- {name}: {value}" for name, value in facts.items()] + [f"- {note}" for note in notes]
    return "\n".join(
        ["### Ratios", "", *ratios_table(cases, runs), "", "### Costs", "", *costs_table(cases, runs)]
        + ["", "### How", "", *how, ""]
    )


def notes(given: argparse.Namespace, runs: Sequence[Run], skipped: Sequence[str]) -> list[str]:
    disturbed = sorted(run.disturbed for run in runs)
    return [
        f"{given.rounds} interleaved rounds, {given.seconds} s a run; medians over the rounds, with the lowest and the "
        "highest; a ratio is taken within each round",
        f"others used {disturbed[len(disturbed) // 2]:.2f} of the machine's cores in the median run, and up to "
        f"{disturbed[-1]:.2f}: read CPU ratios first, times second, and trust larger gaps alone",
        "CPU is that of the process which does the work, with all its threads, and of the process that holds the HSM; "
        "of REST that of the server alone. Time is the elapsed one for each operation, whoever else had the cores",
        f"{in_process.SIZE} bytes are wrapped; what goes through the port is not journaled a second time (the catalog "
        "has journaled it), every wrap, unwrap, read and creation over REST is, and synced before it is answered",
        "python-pkcs11 has one key, one session and one thread; the keeper asks another process, and looks the key up "
        "in the database each time",
        "the bare face is FastAPI on uvicorn over the same TLS certificate, which answers the same bytes from memory; "
        "it asks for no token and writes nothing",
        "a search for an alias among more than 5,000 keys tells the one key alone, and looks through no others",
        "first Get: the plaintext was let go of before, so that the key manager unwraps; with the storage key_manager "
        "it also reads the standard key and compares",
        *skipped,
    ]


@contextmanager
def workplace() -> Iterator[Path]:
    """A directory on the disk that the repository is on: a sync into memory would cost nothing."""
    BUILD.mkdir(exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="work-", dir=BUILD))
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def main(words: Sequence[str]) -> None:
    given = options(words)
    with workplace() as work, asyncio.Runner() as runner, ExitStack() as stack:
        bench = Bench(given, work, runner, stack)
        cases = list(bench.cases())
        runs = rounds(cases, given)
    facts = machine()
    text = report(cases, runs, facts, notes(given, runs, bench.skipped))
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{time.strftime('%Y%m%d-%H%M%S')}-key-manager.json"
    path.write_text(json.dumps({"machine": facts, "runs": [asdict(run) for run in runs]}, indent=1))
    if given.publish:
        publish(TITLE, text)
    print(text)
    say(f"all of it is in {path}")
