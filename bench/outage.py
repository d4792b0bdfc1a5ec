"""``make bench ARGS=outage``: what clients notice of a key manager that hangs, and when a revocation reaches them.

Each figure has its normal beside it, taken in the same run: phases without and with the hang take turns. The server,
the key manager and the proxies between them are processes of their own; leases and deadlines are everybody's.
"""

import argparse
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict

from bench import servers
from bench.key_manager import workplace
from bench.outage_ground import ground
from bench.outage_phases import RATE, WARM, Outage, Phase
from bench.outage_revocations import EVERY, Revocation, revocations
from bench.published import PUBLISHED, publish
from bench.run import RESULTS, machine, say

TITLE = "Outages and revocations"
NORMAL, HANG = 40.0, 60.0
"""Seconds of the phases; a hang is longer than the lease of 30 s, so that the grace bridges its second half."""
SLOWER, OTHERS, REFUSED, BACK = 10.0, 1.10, 2.0, 10.0
"""What is to be reached: milliseconds more, a ratio, and seconds."""


def options(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench outage", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="normal and hang, in turns")
    parser.add_argument("--instances", type=int, default=3, help="instances that each way to revoke is tried on")
    parser.add_argument("--parts", default="hang,revocation")
    parser.add_argument("--quick", action="store_true", help="one short round and one instance: to see that all works")
    parser.add_argument("--publish", action="store_true", help=f"also write the section of {PUBLISHED.name}")
    given = parser.parse_args(words)
    given.normal, given.hang = NORMAL, HANG
    if given.quick:
        given.rounds, given.instances, given.normal, given.hang = 1, 1, 5.0, 8.0
    return given


def rounds(outage: Outage, given: argparse.Namespace) -> list[Phase]:
    """Normal and hang in turns, after a round that does not count."""
    outage.phase(given.normal / 4, hang=False)
    made = []
    for number in range(1, given.rounds + 1):
        for hang in (False, True):
            made.append(phase := outage.phase(given.hang if hang else given.normal, hang=hang))
            say(
                f"round {number} of {given.rounds}, {'hang' if hang else 'normal'}: p99 {phase.p99:.2f} ms,"
                f" others {phase.other_p50:.2f} and {phase.other_p99:.2f} ms, back after {phase.back_after}"
            )
    return made


def _verdict(met: bool) -> str:
    return "met" if met else "missed"


def outage_table(phases: Sequence[Phase]) -> Iterator[str]:
    """The figures of the hang, each beside its normal."""

    def median(hang: bool, name: str) -> float:
        return statistics.median(float(getattr(each, name)) for each in phases if each.hang is hang)

    refusals = [each for phase in phases for each in phase.refusals]
    backs = [phase.back_after for phase in phases if phase.back_after is not None]
    more = median(True, "p99") - median(False, "p99")
    ratio = median(True, "other_p50") / median(False, "other_p50")
    yield "| figure | to reach | normal | hang | |"
    yield "|---|---:|---:|---:|---|"
    told = f"{median(False, 'p99'):.2f} ms | {median(True, 'p99'):.2f} ms | {_verdict(more <= SLOWER)}"
    yield f"| warm Gets while their key manager hangs: p99 | ≤ {SLOWER:.0f} ms more | {told} |"
    told = f"{median(False, 'other_p50'):.2f} ms | {median(True, 'other_p50'):.2f} ms ({ratio:.2f} ×)"
    yield f"| Gets of another instance, on another key manager: median | ≤ {OTHERS:.2f} × | {told} | " + (
        f"{_verdict(ratio <= OTHERS)} |"
    )
    told = f"{median(False, 'other_p99'):.2f} ms | {median(True, 'other_p99'):.2f} ms"
    yield f"| the same: p99 | – | {told} | – |"
    told = f"{statistics.median(refusals):.2f} s in the middle, {max(refusals):.2f} s at most"
    verdict = _verdict(max(refusals) <= REFUSED)
    yield f"| {len(refusals)} cold Gets refused | ≤ {REFUSED:.1f} s | – | {told} | {verdict} |"
    told = f"{statistics.median(backs):.2f} s in the middle, {max(backs):.2f} s at most"
    yield f"| cold Gets work again after the hang | ≤ {BACK:.0f} s | – | {told} | {_verdict(max(backs) <= BACK)} |"


def revocation_table(found: Sequence[Revocation]) -> Iterator[str]:
    """How long keys were still to be had."""
    yield "| revoked by | bound | median | at most | | the client is told |"
    yield "|---|---:|---:|---:|---|---|"
    for way in dict.fromkeys(each.way for each in found):
        some = [each for each in found if each.way == way]
        seconds = [each.seconds for each in some]
        met = _verdict(max(seconds) <= some[0].bound + EVERY)
        told = some[0].told.replace("|", "/")[:160]
        times = f"{statistics.median(seconds):.1f} s | {max(seconds):.1f} s"
        yield f"| {way} | {some[0].bound:.0f} s | {times} | {met} | {told} |"


def notes(given: argparse.Namespace) -> list[str]:
    return [
        f"{given.rounds} rounds of {given.normal:.0f} s normal and {given.hang:.0f} s hang in turns; medians over the "
        f"rounds; two loads of {RATE:.0f} Gets/s of {WARM} keys on 8 connections each, on a schedule, TLS 1.3",
        "the key manager is the HTTPS face of an embedded one, in a process of its own, behind a proxy in another; the "
        "hang is that the proxy answers nothing more",
        "warm Gets: all of them were served, in the second half of each hang by the outage's grace alone",
        f"revocations: on {given.instances} instances each, all at the same time, a Get each {EVERY} s; from the "
        "beginning of the act, the run of a command included, to the first refusal",
        "IBM's own IAM honours a token for up to an hour after its API key was deleted; the embedded one does not",
        "leases, probes, listings, deadlines and grace are the defaults",
    ]


def main(words: Sequence[str]) -> None:
    given = options(words)
    servers.build()
    phases: list[Phase] = []
    found: list[Revocation] = []
    with workplace() as work, ExitStack() as stack:
        on = stack.enter_context(ground(work))
        if "hang" in given.parts:
            phases = rounds(Outage(on), given)
            on.deployment.stop()
        if "revocation" in given.parts:
            found = revocations(on, given.instances)
    how = [f"- {name}: {value}" for name, value in machine().items()] + [f"- {note}" for note in notes(given)]
    tables = [*(["### A key manager hangs", "", *outage_table(phases), ""] if phases else [])]
    tables += [*(["### Revocations", "", *revocation_table(found), ""] if found else [])]
    text = "\n".join([*tables, "### How", "", *how, ""])
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{time.strftime('%Y%m%d-%H%M%S')}-outage.json"
    told = {"phases": [asdict(each) for each in phases], "revocations": [asdict(each) for each in found]}
    path.write_text(json.dumps({"machine": machine(), **told}, indent=1))
    if given.publish:
        publish(TITLE, text)
    print(text)
    say(f"all of it is in {path}")
