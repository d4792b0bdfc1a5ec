"""``python -m bench capacity``: a model of growth against real catalogs of 10^3, 10^5 and 10^6 keys, and a real storm.

Ten minutes on a quiet machine; ``--quick`` is 10^3 keys in SQLite and no server. ``--publish`` writes docs/capacity.md
and its plots.
"""

import argparse
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from bench import capacity_page, load, servers
from bench.capacity_ground import DATABASES, Specimen, grounds, specimen
from bench.capacity_model import DATABASES as ON_PAPER
from bench.capacity_model import Costs, Model
from bench.capacity_points import Point, cached_key, point
from bench.key_manager import workplace
from bench.measured import busy, cpu_of
from bench.run import RESULTS, machine, say

TABLES = ("object", "attribute", "journal")
AT_ONCE, CALM = 64, 8
STORM_KEYS = 1000


@dataclass(frozen=True, slots=True)
class Deviation:
    """One thing on paper and in fact."""

    what: str
    model: float
    measured: float
    unit: str

    @property
    def percent(self) -> float:
        """How far the model is off."""
        return (self.model / self.measured - 1) * 100


@dataclass(frozen=True, slots=True)
class Stormed:
    """Connections with Discover Versions and Get, so many at a time; CPU is the server's for one, in seconds."""

    connections: int
    at_once: int
    seconds: float
    cpu: float
    p99: float
    """Milliseconds."""
    disturbed: float


def options(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench capacity", description=__doc__)
    parser.add_argument("--keys", type=int, nargs="+", default=[1_000, 100_000, 1_000_000])
    parser.add_argument(
        "--records", type=int, default=1_000_000, help="most records of the journal; else 3 for each key"
    )
    parser.add_argument("--databases", default=",".join(DATABASES))
    parser.add_argument("--seconds", type=float, default=2.0, help="measured time of one kind of act")
    parser.add_argument("--storm", type=int, default=4000, help="connections of the storm; 0: none")
    parser.add_argument("--quick", action="store_true", help="10^3 keys in SQLite, no server, no storm")
    parser.add_argument("--publish", action="store_true", help=f"also write {capacity_page.PAGE.name} and its plots")
    given = parser.parse_args(words)
    if given.quick:
        given.keys, given.databases, given.seconds, given.storm = [1_000], "sqlite", 0.2, 0
    return given


def points(held: Specimen, given: argparse.Namespace, work: Path) -> Iterator[Point]:
    """Each database, deeper and deeper."""
    for kind in given.databases.split(","):
        with grounds(kind, held, work) as ground:
            for keys in sorted(given.keys):
                say(f"{kind}: {keys:,} keys …")
                yield point(ground, keys, min(3 * keys, given.records), given.seconds, serve=not given.quick)


def deviations(model: Model, made: Sequence[Point], storm: Sequence[Stormed]) -> Iterator[Deviation]:
    """Model and measurement side by side."""
    for each in made:
        paper = asdict(ON_PAPER[each.database](model.shape))
        for table in TABLES:
            count = each.records if table == "journal" else each.keys
            one = "record" if table == "journal" else "key"
            what = f"{each.database}, {each.keys:,} keys: {table}"
            yield Deviation(what, paper[table], each.bytes[table] / count, f"bytes a {one}")
        whole = (
            paper["empty"]
            + paper["object"] * each.keys
            + paper["attribute"] * each.keys
            + paper["journal"] * each.records
        )
        yield Deviation(f"{each.database}, {each.keys:,} keys: database", whole / 1e6, each.bytes[""] / 1e6, "MB")
    if len(storm) == 2:
        calm, big = storm
        told = replace(model, costs=replace(model.costs, fetch_cpu=calm.cpu))
        expected = told.storm_of(big.connections, big.connections, STORM_KEYS, big.cpu * big.connections / big.seconds)
        what = f"storm: {big.connections:,} connections, {big.at_once} at a time, on the part of a core that it got"
        yield Deviation(what, expected.seconds, big.seconds, "s")


def stormed(count: int, work: Path) -> list[Stormed]:
    """A calm run, from which the model has its cost of a connection, and a storm."""
    servers.build()
    pki = work / "pki"
    servers.make_certificates(pki)
    server = servers.keyrack("rsa", work, pki)
    try:
        load.make_keys(server, pki, STORM_KEYS, work / "keys")
        load.touch_keys(server, pki, STORM_KEYS)
        return [_storm(server, pki, count // 2, CALM), _storm(server, pki, count, AT_ONCE)]
    finally:
        server.stop()


def _storm(server: servers.Server, pki: Path, count: int, at_once: int) -> Stormed:
    say(f"storm: {count:,} connections, {at_once} at a time …")
    mode = [
        "cold-get",
        "--discover",
        *server.keys,
        "--uid-order",
        "seq",
        "-c",
        str(at_once),
        "-n",
        str(count),
        "-w",
        "0",
    ]
    own = server.process.pid
    others, began = busy() - cpu_of(own), time.perf_counter()
    told = load.run(server, pki, [*mode, "-d", "120", "--timeout", "60"], "1.2")
    took = time.perf_counter() - began
    spent = busy() - cpu_of(own) - others - float(told["client"]["cpu_s"] if "client" in told else 0)
    return Stormed(
        told["units"],
        at_once,
        float(told["elapsed_s"]),
        float(told["server"]["cpu_s_per_1000"]) / 1000,
        float(told["latency_us"]["unit"]["p99"]) / 1000,
        max(spent, 0.0) / took,
    )


def measured(given: argparse.Namespace) -> tuple[Model, list[Point], list[Stormed]]:
    """Everything; the model with the costs of this machine."""
    with workplace() as work:
        held = specimen(work)
        costs = replace(Costs(), key_memory=cached_key(held.sealed))
        made = list(points(held, given, work))
        storm = stormed(given.storm, work) if given.storm else []
    if storm:
        # Get Attributes (State) is a third request on the connection, which the load generator does not send.
        costs = replace(costs, fetch_cpu=storm[0].cpu * 1.1)
    if known := [each.memory for each in made if each.memory]:
        costs = replace(costs, base_memory=max(known))
    return Model(held.shape, held.talk, costs), made, storm


def main(words: Sequence[str]) -> None:
    given = options(words)
    began = time.time()
    model, made, storm = measured(given)
    told = list(deviations(model, made, storm))
    facts = machine() | {"took": f"{time.time() - began:.0f} s", "load": f"{os.getloadavg()[0]:.1f} at the end"}
    print("\n".join(capacity_page.against(told)))
    print("\n".join(capacity_page.acts(made)))
    data = {
        "machine": facts,
        "model": asdict(model),
        "points": [asdict(each) for each in made],
        "storm": [asdict(each) for each in storm],
        "deviations": [{**asdict(each), "percent": each.percent} for each in told],
    }
    if not given.quick:
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{time.strftime('%Y%m%d-%H%M%S')}-capacity.json"
        path.write_text(json.dumps(data, indent=1) + "\n")
        say(f"written: {path}")
    if given.publish:
        capacity_page.publish(model, made, storm, told, facts)
        say(f"written: {capacity_page.PAGE}")
