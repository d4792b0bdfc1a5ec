"""Several nodes over one catalog, simulated: a thousand seeds keep every promise, and each sabotage breaks one.

A seed that fails prints how to see it again: ``python -m keyrack.testing.simulation --seed N`` plays it with its trace.
The long form plays ten thousand, with four times the steps.
"""

import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import pytest

from keyrack.testing.simulation.run import STEPS, Outcome, run
from keyrack.testing.simulation.sabotages import SABOTAGES, sabotaged

SEEDS = 1_000
AT_ONCE = 100
"""Seeds of one test."""
MANY = 10_000
LONG = 4 * STEPS
MOST = 150
"""Seeds within which each sabotage is found."""
RARE = {"deleted_before_it_is_settled", "versions_remembered_for_ever"}
"""Sabotages that need more seeds than each run of the tests can spare."""
MOST_OF_RARE = 3_000


def broken(seeds: range, steps: int = STEPS) -> list[str]:
    """How to see each run again that has broken a promise."""
    return [outcome.replay for outcome in (run(seed, steps) for seed in seeds) if outcome.broken]


@pytest.mark.parametrize("first", range(0, SEEDS, AT_ONCE))
def test_a_thousand_seeds_keep_every_promise(first: int) -> None:
    """I1 to I10, at each answer and at rest."""
    assert [] == broken(range(first, first + AT_ONCE))


@pytest.mark.slow
def test_ten_thousand_long_seeds_keep_every_promise() -> None:
    """The same, further on and at length, on every core."""
    some = [range(first, first + AT_ONCE) for first in range(SEEDS, SEEDS + MANY, AT_ONCE)]
    with ProcessPoolExecutor() as pool:
        found = [replay for replays in pool.map(partial(broken, steps=LONG), some) for replay in replays]

    assert [] == found


def test_a_seed_decides_everything() -> None:
    """Whatever was played before, and however strings are hashed: each line of the trace is the same."""
    told = [run(seed).digest for seed in (3, 1, 2, 3)]

    assert told[0] == told[3]
    for salt in ("1", "2"):
        assert told[0][:16] == played(3, salt)


def played(seed: int, salt: str) -> str:
    """The digest of the trace that the command shows, as another process comes to it."""
    command = [sys.executable, "-m", "keyrack.testing.simulation", "--seed", str(seed)]
    salted = {**os.environ, "PYTHONHASHSEED": salt}
    done = subprocess.run(command, env=salted, capture_output=True, text=True, check=True)
    assert f"seed {seed}: " in done.stdout
    return done.stdout.split()[-1]


def found(name: str, most: int) -> Outcome:
    """The first run that a sabotage breaks; it must be one of the promises that it is expected to break."""
    sabotage = SABOTAGES[name]
    with sabotaged(name):
        for seed in range(most):
            outcome = run(seed, **sabotage.emphasis)
            if outcome.broken:
                assert outcome.broken[0].partition(":")[0] in sabotage.breaks, outcome.broken
                return outcome
    raise AssertionError(f"{name} is not found within {most} seeds")


@pytest.mark.parametrize("name", sorted(SABOTAGES.keys() - RARE))
def test_the_simulation_finds_each_protection_that_is_taken_out(name: str) -> None:
    """And says in one line how to see it again."""
    outcome = found(name, MOST)

    assert outcome.replay.startswith(f"replay: python -m keyrack.testing.simulation --seed {outcome.seed} ")


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(RARE))
def test_the_simulation_finds_what_is_rarely_needed(name: str) -> None:
    """Protections against what needs three things to go wrong at once."""
    assert found(name, MOST_OF_RARE).broken
