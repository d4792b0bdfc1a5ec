"""Play seeds: ``python -m keyrack.testing.simulation --seed N`` shows the trace of one, ``--seeds A B`` runs many."""

import argparse
import sys
import time
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

from keyrack.testing.simulation.run import STEPS, run
from keyrack.testing.simulation.sabotages import SABOTAGES, sabotaged


def main() -> int:
    """The command; answers 1 where a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m keyrack.testing.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="play one, and show its trace")
    parser.add_argument("--seeds", type=int, nargs=2, metavar=("FROM", "TO"), help="play many, and show what breaks")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"steps of each run ({STEPS})")
    parser.add_argument("--sabotage", choices=sorted(SABOTAGES), help="with one protection taken out")
    given = parser.parse_args()
    with sabotaged(given.sabotage) if given.sabotage else nullcontext():
        return _played(given, SABOTAGES[given.sabotage].emphasis if given.sabotage else {})


def _played(given: argparse.Namespace, emphasis: Mapping[str, Any]) -> int:
    if given.seed is not None:
        outcome = run(given.seed, given.steps, **emphasis)
        print("\n".join(outcome.trace))  # noqa: T201
        print(f"{outcome.replay}  # {outcome.digest[:16]}")  # noqa: T201
        return bool(outcome.broken)
    first, last = given.seeds or (0, 100)
    began, broken = time.process_time(), 0
    for seed in range(first, last):
        outcome = run(seed, given.steps, **emphasis)
        if outcome.broken:
            broken += 1
            print(outcome.replay, flush=True)  # noqa: T201
    spent = time.process_time() - began
    print(f"{last - first} seeds, {broken} broken, {spent:.1f} s of CPU")  # noqa: T201
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main())
