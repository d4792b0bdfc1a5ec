"""``make bench``: Keyrack beside the C floor and PyKMIP, interleaved in one run, as ratios of server CPU.

Every round runs every case against every server, one after the other, so that a slow minute of the machine meets all of
them alike. Client and servers share the machine: read the ratios, not the rates.
"""

import argparse
import json
import platform
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from bench import servers
from bench.cases import CASES, CONNECTIONS, STORM_CONNECTS, STORM_GETS, Case
from bench.load import arguments, finish, make_keys, run, start, touch_keys
from bench.published import PUBLISHED, publish
from bench.report import Run, as_data, figures, markdown, rows
from bench.servers import Server

RESULTS = servers.HERE / "results"


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="measured time of one run")
    parser.add_argument("--quick", action="store_true", help="one short round, fewer keys: to see that all works")
    parser.add_argument("--kinds", default="rsa,ec", help="server certificates: rsa, ec")
    parser.add_argument("--tls", default="1.2,1.3")
    parser.add_argument("--servers", default="floor,pykmip,keyrack")
    parser.add_argument("--cases", default="", help="parts of the names of cases; also storm, size")
    parser.add_argument("--keys", type=int, default=1000, help="keys that Keyrack holds")
    parser.add_argument("--many", type=int, default=100_000, help="keys that the second Keyrack holds")
    parser.add_argument("--publish", action="store_true", help=f"also write {PUBLISHED.name}")
    given = parser.parse_args()
    if given.quick:
        given.rounds, given.seconds, given.many = 1, min(given.seconds, 0.5), min(given.many, 5000)
    return given


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Bench:
    """One run of the benchmark, in a directory that goes away with it."""

    def __init__(self, given: argparse.Namespace, work: Path, stack: ExitStack) -> None:
        self.given, self.work, self.stack = given, work, stack
        self.pki = work / "pki"
        self.runs: list[Run] = []
        self.wanted = [word.strip() for word in given.cases.lower().split(",") if word.strip()]

    def wants(self, name: str) -> bool:
        return not self.wanted or any(word in name.lower() for word in self.wanted)

    def launch(self) -> list[Server]:
        servers.make_certificates(self.pki)
        makers = {"floor": servers.floor, "pykmip": servers.pykmip, "keyrack": servers.keyrack}
        held = []
        for kind in self.given.kinds.split(","):
            for name in self.given.servers.split(","):
                say(f"starting {name} with an {kind} certificate")
                server = makers[name](kind, self.work, self.pki)
                self.stack.callback(server.stop)
                if name != "floor":
                    count = self.given.keys if name == "keyrack" else 20
                    make_keys(server, self.pki, count, self.work / f"keys-{name}-{kind}")
                    touch_keys(server, self.pki, count)
                held.append(server)
        return held

    def cells(self, held: list[Server]) -> Iterator[tuple[Case, str, str, Server]]:
        for kind in self.given.kinds.split(","):
            for tls in self.given.tls.split(","):
                for case in CASES:
                    for server in held:
                        if server.kind == kind and tls in server.tls and self.wants(case.name):
                            yield case, kind, tls, server

    def load_of(self, case: Case, server: Server) -> list[str]:
        keys = server.keys if case.keys else []
        time_of_it = ["-c", str(CONNECTIONS), "-d", str(self.given.seconds), "-w", "0.3"]
        return [*case.arguments("floor" if server.name == "floor" else server.name), *keys, *time_of_it]

    def round(self, number: int, held: list[Server]) -> None:
        for case, kind, tls, server in self.cells(held):
            result = run(server, self.pki, self.load_of(case, server), tls)
            self.note(Run(number, case.name, kind, tls, server.name, result))
        if self.wants("storm"):
            for server in held:
                if server.name != "pykmip":
                    self.storm(number, server)

    def note(self, made: Run) -> None:
        self.runs.append(made)
        say(
            f"{made.round}: {made.case}, {made.kind}, TLS {made.tls}, {made.server}: {made.cpu:.4f} ms, "
            f"{made.rate:.0f}/s, p99 {made.p99():.2f} ms, others used {made.disturbed:.2f} cores"
        )

    def storm(self, number: int, server: Server) -> None:
        """Gets on open connections on a schedule, while hosts boot and connect."""
        tls = server.tls[-1] if self.given.tls.endswith("1.3") else "1.2"
        seconds = str(max(self.given.seconds, 1) * 2)
        gets = ["get", *server.keys, "-c", "32", "--rate", str(STORM_GETS), "-d", seconds, "-w", "1"]
        boots = [
            *("cold-get", *(["--discover"] if server.name != "floor" else []), *server.keys, "-c", "64"),
            *("--rate", str(STORM_CONNECTS), "-d", seconds, "-w", "1", "--src", "20"),
        ]
        both = [start(arguments(server, self.pki, mode, tls)) for mode in (gets, boots)]
        for process, what in zip(both, ("Get", "connect and Get"), strict=True):
            result = finish(process, f"boot storm, {server.name}-{server.kind}")
            self.note(Run(number, f"boot storm: {what}", server.kind, tls, server.name, result))

    def sizes(self) -> None:
        """The same work with few keys and with many, on two Keyracks side by side."""
        kind, tls = self.given.kinds.split(",")[-1], self.given.tls.split(",")[-1]
        pair = []
        for name, count in (("few keys", self.given.keys), ("many keys", self.given.many)):
            server = servers.keyrack(kind, self.work, self.pki, f"keyrack-{name.split()[0]}")
            self.stack.callback(server.stop)
            server.name = f"keyrack, {name}"
            say(f"making {count} keys")
            make_keys(server, self.pki, count, self.work / f"keys-{name.split()[0]}")
            touch_keys(server, self.pki, count)
            pair.append(server)
        for number in range(1, self.given.rounds + 1):
            for case in CASES[1:]:
                for server in pair:
                    result = run(server, self.pki, self.load_of(case, server), tls)
                    self.note(Run(number, f"{case.name}, few and many keys", kind, tls, server.name, result))


def machine() -> dict[str, str]:
    cpu = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        "",
    )
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False, cwd=servers.HERE
    )
    count = len([line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("processor")])
    return {
        "when": time.strftime("%Y-%m-%d %H:%M %Z"),
        "machine": f"{count} × {cpu}, {platform.platform()}",
        "python": f"{platform.python_version()}, its OpenSSL {ssl.OPENSSL_VERSION.split()[1]}",
        "commit": commit.stdout.strip(),
    }


def notes(given: argparse.Namespace, runs: list[Run]) -> list[str]:
    dirty = sum(each.disturbed > 0.12 for each in runs)
    return [
        f"{given.rounds} interleaved rounds, {given.seconds} s a run, {CONNECTIONS} connections",
        "medians; ratios are taken within each round, and then their median",
        f"client and servers share the machine; others used over 0.12 of a core in {dirty} of {len(runs)} runs",
        "during a boot storm CPU and op/s are those of both loads together: look at p99",
        "the floor's way of connect and Get has no Discover Versions; its Create is one write and one fdatasync",
        "Keyrack: audit on, SQLite synchronous=FULL, one process; PyKMIP: TLS 1.2 alone, keys kept in clear",
        f"few and many keys are {given.keys} and {given.many}, each gotten once before",
    ]


def main() -> None:
    given = options()
    servers.build()
    servers.BUILD.mkdir(exist_ok=True)
    with ExitStack() as stack:
        work = Path(tempfile.mkdtemp(prefix="work-", dir=servers.BUILD))
        stack.callback(shutil.rmtree, work, True)
        bench = Bench(given, work, stack)
        held = bench.launch()
        for number in range(1, given.rounds + 1):
            bench.round(number, held)
        if "keyrack" in given.servers and bench.wants("size"):
            bench.sizes()
    table = rows(bench.runs)
    judged = figures(table, bench.runs)
    facts = machine()
    text = markdown(table, judged, facts, notes(given, bench.runs))
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{time.strftime('%Y%m%d-%H%M%S')}.json"
    raw = [{"round": each.round, "case": each.case, "server": each.server, **each.result} for each in bench.runs]
    path.write_text(json.dumps({"machine": facts, **as_data(table, judged), "runs": raw}, indent=1))
    if given.publish:
        publish("KMIP server", text)
    print(text)
    say(f"all of it is in {path}")


if __name__ == "__main__":
    main()
