"""``make bench ARGS=admin``: what administrators wait for, and how soon what they do counts.

Certificates are added and removed over REST while clients ask without rest, with one process that serves and with two;
then lists, searches and log-ins, with many keys and a long journal.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict

from bench import servers
from bench.admin_lists import Cost, costs, full
from bench.admin_trust import CONNECTIONS, RATE, Round, rounds
from bench.key_manager import workplace
from bench.measured import digits
from bench.published import PUBLISHED, publish
from bench.run import RESULTS, machine, say

TITLE = "Administration"
WORKERS = (1, 2)
SOON = 1000.0
"""Milliseconds within which a change counts on every process."""
FIGURES: Sequence[tuple[str, Callable[[Round], float], bool]] = (
    ("added: first good request", lambda each: each.first_good, True),
    ("added: last handshake that was refused", lambda each: each.last_refused, True),
    ("added: answer to the administrator", lambda each: each.added_answer, False),
    ("removed: last key served", lambda each: each.last_served, True),
    ("removed: last connection closed", lambda each: each.closed, True),
    ("removed: answer to the administrator", lambda each: each.removed_answer, False),
)
"""Name, seconds, and whether it is promised within :data:`SOON`."""


def options(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench admin", description=__doc__)
    parser.add_argument("--rounds", type=int, default=50, help="certificates that are added and removed")
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--records", type=int, default=100_000, help="of the journal")
    parser.add_argument("--seconds", type=float, default=10.0, help="measured time of one kind of request")
    parser.add_argument("--parts", default="trust,lists")
    parser.add_argument("--quick", action="store_true", help="few and short: to see that all works")
    parser.add_argument("--publish", action="store_true", help=f"also write the section of {PUBLISHED.name}")
    given = parser.parse_args(words)
    if given.quick:
        given.rounds, given.keys, given.records, given.seconds = 3, 2000, 2000, 1.0
    return given


def at(waits: Sequence[float], percent: int) -> float:
    """A percentile of what is sorted, in milliseconds."""
    return waits[min(len(waits) * percent // 100, len(waits) - 1)] * 1000


def trust_table(made: dict[int, list[Round]]) -> Iterator[str]:
    """How soon a change counts."""
    yield "| from the administrator's request on | processes | to reach | p50 ms | p99 ms | most ms | |"
    yield "|---|---:|---:|---:|---:|---:|---|"
    for name, seconds, promised in FIGURES:
        for workers, some in made.items():
            waits = sorted(map(seconds, some))
            told = " | ".join(digits(at(waits, percent)) for percent in (50, 99, 100))
            verdict = ("met" if at(waits, 100) <= SOON else "missed") if promised else ""
            yield f"| {name} | {workers} | {f'≤ {SOON:,.0f} ms' if promised else '–'} | {told} | {verdict} |"
    for workers, some in made.items():
        late = sum(each.late for each in some)
        told = "met" if not late else "missed"
        name = "keys served, and handshakes refused, after the answer"
        yield f"| {name} | {workers} | 0 | – | – | {late} in all | {told} |"


def cost_table(found: Sequence[Cost]) -> Iterator[str]:
    """What lists, searches and log-ins cost."""
    yield "| over REST | times | CPU ms | p50 ms | p99 ms | most ms |"
    yield "|---|---:|---:|---:|---:|---:|"
    for each in found:
        waits, count = each.spent.waits, each.spent.operations
        told = " | ".join(digits(at(waits, percent)) for percent in (50, 99, 100))
        yield f"| {each.name} | {count:,} | {digits(each.spent.cpu / count * 1000)} | {told} |"


def notes(given: argparse.Namespace, found: Sequence[Cost], load: tuple[float, float]) -> Iterator[str]:
    yield (
        f"certificates: {given.rounds} rounds for each number of processes, beside another client's {RATE:.0f} Gets/s "
        "on 8 connections; who is added knocks each 10 ms, and who is removed asks for keys on "
        f"{CONNECTIONS} connections without rest"
    )
    yield "the answer to the administrator waits until every process has taken the change"
    yield f"lists, searches, log-ins: one connection that stays open, {given.seconds:g} s each; CPU of the web process"
    yield "a log-in is argon2id with 64 MiB and 3 passes: it costs that much of a purpose"
    if found:
        others = sorted(each.disturbed for each in found)
        yield f"others used {others[0]:.2f} to {others[-1]:.2f} of the machine's cores meanwhile"
    yield f"load average of the machine before it {load[0]:.1f}, after it {load[1]:.1f}"


def report(made: dict[int, list[Round]], found: Sequence[Cost], how: Sequence[str]) -> str:
    """The section, in Markdown."""
    lines = ["Run by `make bench ARGS='admin --publish'`.", ""]
    lines += ["### How soon certificates count", "", *trust_table(made), ""] if made else []
    lines += ["### Lists, searches, log-ins", "", *cost_table(found), ""] if found else []
    return "\n".join([*lines, "### How", "", *(f"- {each}" for each in how), ""])


def main(words: Sequence[str]) -> None:
    given = options(words)
    servers.build()
    made: dict[int, list[Round]] = {}
    found: list[Cost] = []
    before = os.getloadavg()[0]
    with workplace() as work:
        for workers in WORKERS if "trust" in given.parts else ():
            say(f"certificates, {workers} processes")
            made[workers] = rounds(work, workers, given.rounds)
        if "lists" in given.parts:
            say(f"{given.keys:,} keys, {given.records:,} records")
            with full(work, given.keys, given.records) as on:
                found = list(costs(on, given.keys, given.records, given.seconds))
    facts = machine()
    how = [*(f"{name}: {value}" for name, value in facts.items()), *notes(given, found, (before, os.getloadavg()[0]))]
    text = report(made, found, how)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{time.strftime('%Y%m%d-%H%M%S')}-admin.json"
    told = {"certificates": {n: [asdict(each) for each in some] for n, some in made.items()}}
    told_costs = [{"name": each.name, "disturbed": each.disturbed, **asdict(each.spent)} for each in found]
    path.write_text(json.dumps({"machine": facts, **told, "lists": told_costs}, indent=1))
    if given.publish:
        publish(TITLE, text)
    print(text)
    say(f"all of it is in {path}")
