"""``python -m bench storm``: a data centre boots over two nodes that have just started, and one is killed halfway.

Two nodes over PostgreSQL with a synchronous standby and a key manager over the network, all on this machine. First as
many connections as there are hosts fetch a thousand distinct keys each, which neither node has unwrapped yet; then as
many fetch the same two keys over and over. Who loses its node asks the other one, once. Beside it the C floor answers
the same hosts: it keeps no journal, no key and no second node, so that what is left is TLS, KMIP, and the hosts'
own work on the same cores. Less than five minutes on a quiet machine.
"""

import argparse
import hashlib
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import servers
from bench.published import publish
from bench.run import RESULTS, machine, say

from keyrack.testing.clusters.rig import INSTANCE, rig
from keyrack.testing.clusters.storm import Ground, Storm, storm
from keyrack.testing.clusters.storm_ground import HOST, grown, stormed
from keyrack.testing.postgres import binaries

TWO_TIMES = 250
"""How often each host fetches each of the same two keys."""
FLOORS_KEY = hashlib.sha256(bytes(range(32))).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One storm; milliseconds."""

    what: str
    connections: int
    keys: int
    gets: int
    rate: float
    p50: float
    p99: float
    worst: float
    retries: int
    failures: int


def row(what: str, connections: int, keys: int, seen: Storm) -> Row:
    return Row(
        what=what,
        connections=connections,
        keys=keys,
        gets=seen.gets,
        rate=seen.rate,
        p50=seen.quantile(0.5) * 1e3,
        p99=seen.quantile(0.99) * 1e3,
        worst=seen.times[-1] * 1e3,
        retries=seen.retries,
        failures=len(seen.failures),
    )


def over_nodes(work: Path, keys: int, connections: int) -> list[Row]:
    with rig(work / "rig", cuttable=False) as cluster:
        cluster.new_instance(INSTANCE, HOST)
        cluster.start()
        rows = []
        for what, number, times in (("distinct keys", keys, 1), ("the same two keys", 2, TWO_TIMES)):
            say(f"  {number} keys, {connections} hosts")
            ground = grown(cluster, number)
            rows.append(row(what, connections, number, stormed(cluster, ground, connections, times=times)))
            say(f"    {rows[-1].rate:.0f}/s, {rows[-1].retries} retries, {rows[-1].failures} failures")
        return rows


def over_floor(work: Path, connections: int) -> Row:
    pki = work / "pki"
    servers.make_certificates(pki)
    floor = servers.floor("ec", work, pki)
    try:
        ground = Ground(
            endpoints=[("127.0.0.1", floor.port)],
            authority=pki / "ec-ca.pem",
            identity=(pki / "ec-client.pem", pki / "ec-client.key"),
            keys=[(str(number), FLOORS_KEY) for number in range(500)],
        )
        return row("the C floor", connections, 500, storm(ground, connections))
    finally:
        floor.stop()


def table(rows: Sequence[Row]) -> str:
    floor = rows[-1].rate
    lines = [
        "| storm | hosts | Gets | Gets/s | of the floor | p50 ms | p99 ms | worst ms | retries | failures |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {each.what} ({each.keys}) | {each.connections} | {each.gets:,} | {each.rate:,.0f} "
        f"| {each.rate / floor:.2f} | {each.p50:.1f} | {each.p99:.1f} | {each.worst:,.0f} "
        f"| {each.retries} | {each.failures} |"
        for each in rows
    ]
    return "\n".join(lines)


def main(words: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="bench storm", description=__doc__)
    parser.add_argument("--keys", type=int, default=1000)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--publish", action="store_true", help="write bench/RESULTS.md")
    chosen = parser.parse_args(words)
    if binaries() is None:
        raise servers.CannotMeasure("bench: PostgreSQL is not installed: apt-get install postgresql")
    servers.build()
    with tempfile.TemporaryDirectory(prefix="keyrack-storm-") as given:
        work = Path(given)
        (work / "rig").mkdir()
        rows = [*over_nodes(work, chosen.keys, chosen.connections), over_floor(work, chosen.connections)]
    facts = machine()
    told = "\n".join(f"- {name}: {value}" for name, value in facts.items())
    told += f"\n- {__doc__.split(chr(10) * 2)[1].strip()}\n\n{table(rows)}"
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{time.strftime('%Y%m%d-%H%M%S')}-storm.json"
    path.write_text(json.dumps({"machine": facts, "rows": [asdict(each) for each in rows]}, indent=1))
    if chosen.publish:
        publish("Boot storm over two nodes", told)
    print(told)
    say(f"all of it is in {path}")
    if any(each.failures for each in rows):
        raise SystemExit("bench: some hosts were left without a key")
