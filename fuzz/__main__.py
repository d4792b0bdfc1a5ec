"""``python -m fuzz [N]``: N mutated messages (a million, unless told); exit code 1 at the first that breaks."""

import argparse
import sys
import time
import traceback
from collections import Counter
from random import Random

from fuzz import targets
from fuzz.mutate import mutated
from fuzz.seeds import Seed, seeds

MILLION = 1_000_000


def main() -> int:
    """Mutate, read, count; say how to repeat what broke."""
    parser = argparse.ArgumentParser(prog="fuzz", description="Feed mutated messages to the codec.")
    parser.add_argument("count", nargs="?", type=int, default=MILLION, help="how many (default: a million)")
    parser.add_argument("--seed", type=int, default=None, help="repeat a run exactly (default: a new one each time)")
    options = parser.parse_args()
    number = options.seed if options.seed is not None else time.time_ns() & 0xFFFFFFFF
    started = time.monotonic()
    counted = run(options.count, number)
    if counted is None:
        return 1
    took = time.monotonic() - started
    print(f"{options.count} messages in {took:.0f} s, seed {number}: {counted[True]} read, {counted[False]} refused")
    return 0


def run(count: int, number: int) -> Counter[bool] | None:
    """Read ``count`` mutated messages; ``None`` at the first that breaks something, which is then printed."""
    random, beginnings = Random(number), seeds(number)
    counted: Counter[bool] = Counter()
    for done in range(count):
        chosen = random.choice(beginnings)
        data = mutated(random, chosen.data, random.choice(beginnings).data)
        try:
            counted[_read(chosen, data)] += 1
        except Exception:
            traceback.print_exc()
            print(f"message {done} of seed {number}, {chosen.cls} in {chosen.version}: {data.hex()}", file=sys.stderr)
            return None
    return counted


def _read(chosen: Seed, data: bytes) -> bool:
    if chosen.cls is not None:
        return targets.structure(chosen.cls, chosen.version, data)
    targets.any_tree(data)
    return targets.request(data)


if __name__ == "__main__":
    sys.exit(main())
