"""``make bench ARGS=outage``: what clients notice of a key manager that hangs, and when a revocation reaches them.

Each figure has its normal beside it, taken in the same run: phases without and with the hang take turns. The server,
the key manager and the proxies between them are processes of their own; leases and deadlines are everybody's.
"""

import argparse
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from bench import servers
from bench.key_manager import workplace
from bench.outage_ground import ground
from bench.outage_phases import RATE, WARM, Beside, Outage, Phase
from bench.outage_revocations import EVERY, Revocation, revocations
from bench.published import PUBLISHED, publish
from bench.run import RESULTS, machine, say

TITLE = "Outages and revocations"
NORMAL, HANG, BESIDE = 40.0, 60.0, 8.0
"""Seconds of the phases; a hang is longer than the lease of 30 s, so that the grace bridges its second half."""
SLOWER, OTHERS, REFUSED, BACK = 10.0, 0.90, 2.0, 10.0
"""What is to be reached: milliseconds more, a ratio, and seconds."""


def options(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench outage", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="normal and hang, in turns")
    parser.add_argument("--parts", default="hang,beside,revocation")
    parser.add_argument("--quick", action="store_true", help="one short round: to see that all works")
    parser.add_argument("--publish", action="store_true", help=f"also write the section of {PUBLISHED.name}")
    given = parser.parse_args(words)
    given.normal, given.hang, given.beside = NORMAL, HANG, BESIDE
    if given.quick:
        given.rounds, given.normal, given.hang, given.beside = 1, 5.0, 8.0, 2.0
    return given


def rounds(outage: Outage, given: argparse.Namespace) -> list[tuple[Phase, Phase]]:
    """Normal and hang in turns."""
    made = []
    for number in range(1, given.rounds + 1):
        normal, hang = outage.phase(given.normal, hang=False), outage.phase(given.hang, hang=True)
        made.append((normal, hang))
        say(f"round {number}: p99 {normal.p99:.2f} and {hang.p99:.2f} ms, back after {hang.back_after:.2f} s")
    return made


def rounds_beside(outage: Outage, given: argparse.Namespace) -> list[tuple[Beside, Beside]]:
    """The same for the other instance, in more and shorter rounds: each other one begins with the hang."""
    made = []
    for number in range(1, 4 * given.rounds + 1):
        first = outage.beside(given.beside, hang=bool(number % 2))
        second = outage.beside(given.beside, hang=not number % 2)
        normal, hang = (second, first) if first.hang else (first, second)
        made.append((normal, hang))
        say(f"beside, round {number}: {normal.rate:.0f} and {hang.rate:.0f} Gets/s")
    return made


def _verdict(met: bool) -> str:
    return "met" if met else "missed"


def _range(values: Sequence[float], unit: str) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f}){unit}"


def outage_table(made: Sequence[tuple[Phase, Phase]]) -> Iterator[str]:
    """What clients of the key manager that hangs notice."""
    more = [hang.p99 - normal.p99 for normal, hang in made]
    refusals = [each for _, hang in made for each in hang.refusals]
    backs = [hang.back_after or 0.0 for _, hang in made]
    normal, hang = (_range([pair[which].p99 for pair in made], " ms") for which in (0, 1))
    told = f"{normal} | {hang} | {_verdict(statistics.median(more) <= SLOWER)}"
    yield f"| warm Gets: p99 | ≤ {SLOWER:.0f} ms more | {told}: {_range(more, ' ms')} more |"
    told = f"{statistics.median(refusals):.2f} s, {max(refusals):.2f} s at most | {_verdict(max(refusals) <= REFUSED)}"
    yield f"| {len(refusals)} cold Gets: refused | ≤ {REFUSED:.0f} s | – | {told} |"
    told = f"{_range(backs, ' s')} | {_verdict(max(backs) <= BACK)}"
    yield f"| after it: cold Gets work again | ≤ {BACK:.0f} s | – | {told} |"


def beside_table(made: Sequence[tuple[Beside, Beside]]) -> Iterator[str]:
    """What clients of another one notice."""
    ratios = [hang.rate / normal.rate for normal, hang in made]
    normal, hang = (_range([pair[which].rate for pair in made], "") for which in (0, 1))
    told = f"{normal} | {hang} | {_verdict(statistics.median(ratios) >= OTHERS)}: {_range(ratios, ' ×')}"
    yield f"| another key manager's Gets: a second | ≥ {OTHERS:.2f} × | {told} |"
    normal, hang = (_range([pair[which].p99 for pair in made], " ms") for which in (0, 1))
    yield f"| the same: p99 | – | {normal} | {hang} | – |"


def revocation_table(found: Sequence[Revocation]) -> Iterator[str]:
    """How long keys were still to be had."""
    yield "| revoked by | bound | last key served after | first refusal, asked each 0.25 s | | the client is told |"
    yield "|---|---:|---:|---:|---|---|"
    for way in dict.fromkeys(each.way for each in found):
        some = [each for each in found if each.way == way]
        served = [max(each.served, 0.0) for each in some]
        met = _verdict(max(served) <= some[0].bound and all(each.refused < float("inf") for each in some))
        first = min(some, key=lambda each: each.every)
        times = f"{some[0].bound:.0f} s | {max(served):.1f} s at most | {first.refused:.1f} s"
        yield f"| {way} | {times} | {met} | {first.told.replace('|', '/')} |"


def notes(given: argparse.Namespace) -> list[str]:
    return [
        f"{given.rounds} rounds of {given.normal:.0f} s normal and {given.hang:.0f} s hang in turns: {RATE:.0f} Gets/s "
        f"of {WARM} keys on 8 connections, on a schedule, TLS 1.3; medians over the rounds, with the lowest and the "
        "highest",
        f"another key manager: {4 * given.rounds} rounds of {given.beside:.0f} s each, 8 connections without rest, and "
        "five Gets a second of the first instance, whose key manager hangs or not; ratios are taken within each round",
        "the key manager is the HTTPS face of an embedded one, in a process of its own, behind a proxy in another; the "
        "hang is that the proxy answers nothing more",
        "warm Gets: all of them were served, in the second half of each hang by the outage's grace alone",
        f"revocations: each way on {len(EVERY)} instances, whose clients ask for their key each "
        f"{', '.join(f'{each:g}' for each in EVERY)} s; from the beginning of the act, the run of a command included",
        "IBM's own IAM honours a token for up to an hour after its API key was deleted; the embedded one does not",
        "leases, probes, listings, deadlines and grace are the defaults",
    ]


def main(words: Sequence[str]) -> None:
    given = options(words)
    servers.build()
    parts = given.parts.split(",")
    phases: list[tuple[Phase, Phase]] = []
    beside: list[tuple[Beside, Beside]] = []
    found: list[Revocation] = []
    with workplace() as work, ground(work) as on:
        if {"hang", "beside"} & set(parts):
            outage = Outage(on)
            phases = rounds(outage, given) if "hang" in parts else []
            beside = rounds_beside(outage, given) if "beside" in parts else []
            on.deployment.stop()
        found = revocations(on) if "revocation" in parts else []
    facts = machine()
    text = report(phases, beside, found, [*(f"{name}: {value}" for name, value in facts.items()), *notes(given)])
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{time.strftime('%Y%m%d-%H%M%S')}-outage.json"
    pairs = {"phases": phases, "beside": beside}
    told = {name: [[asdict(each) for each in pair] for pair in made] for name, made in pairs.items()}
    path.write_text(json.dumps({"machine": facts, **told, "revocations": [asdict(each) for each in found]}, indent=1))
    if given.publish:
        publish(TITLE, text)
    print(text)
    say(f"all of it is in {path}")


def report(
    phases: Sequence[tuple[Phase, Phase]],
    beside: Sequence[tuple[Beside, Beside]],
    found: Sequence[Revocation],
    how: Sequence[str],
) -> str:
    """The section, in Markdown."""
    lines = ["### A key manager hangs", "", "| figure | to reach | normal | hang | |", "|---|---:|---:|---:|---|"]
    lines += [*(outage_table(phases) if phases else ()), *(beside_table(beside) if beside else ()), ""]
    lines += ["### Revocations", "", *revocation_table(found), ""] if found else []
    lines += ["### How", "", *(f"- {each}" for each in how), ""]
    return "\n".join(lines)
