"""From runs to figures: medians, ratios, and whether what was to be reached was reached."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from bench.cases import CASES, SIZE_LIMIT, STORM_P99_MILLISECONDS
from bench.load import Result


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one server, and where it belongs."""

    round: int
    case: str
    kind: str
    tls: str
    server: str
    result: Result

    @property
    def cpu(self) -> float:
        """Server CPU of one operation, milliseconds."""
        value: float = self.result["server"]["cpu_s_per_1000"]
        return value

    @property
    def rate(self) -> float:
        """Operations a second."""
        value: float = self.result["units_per_s"]
        return value

    @property
    def disturbed(self) -> float:
        """Cores that others used meanwhile."""
        return float(self.result["machine"]["other_cpu_s"]) / float(self.result["elapsed_s"])

    def p99(self) -> float:
        """99th percentile of one operation's time, milliseconds."""
        return float(self.result["latency_us"]["unit"]["p99"]) / 1000


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: a server in a case."""

    case: str
    certificate: str
    tls: str
    server: str
    runs: int
    cpu_ms: float
    per_second: float
    p99_ms: float
    to_floor: float | None
    to_pykmip: float | None


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure to reach, what was measured, and the judgement."""

    what: str
    limit: float
    measured: float
    unit: str

    @property
    def verdict(self) -> str:
        """Met, or by how much it was missed."""
        if self.measured <= self.limit:
            return "met"
        return f"missed by {(self.measured / self.limit - 1) * 100:.0f} %"


def ratio(runs: Sequence[Run], server: str, other: str) -> float | None:
    """CPU of one server over that of another: the median over the rounds, each round with itself."""
    cpu = {(run.round, run.server): run.cpu for run in runs}
    pairs = [
        cpu[n, server] / cpu[n, other] for n in {run.round for run in runs} if {(n, server), (n, other)} <= cpu.keys()
    ]
    return statistics.median(pairs) if pairs else None


def rows(runs: Iterable[Run]) -> list[Row]:
    """The table, in the order in which the cells were first measured."""
    cells: dict[tuple[str, str, str], list[Run]] = {}
    for run in runs:
        cells.setdefault((run.case, run.kind, run.tls), []).append(run)
    made = []
    for (case, kind, tls), held in cells.items():
        for server in dict.fromkeys(run.server for run in held):
            own = [run for run in held if run.server == server]
            made.append(
                Row(
                    case=case,
                    certificate=kind,
                    tls=tls,
                    server=server,
                    runs=len(own),
                    cpu_ms=statistics.median(run.cpu for run in own),
                    per_second=statistics.median(run.rate for run in own),
                    p99_ms=statistics.median(run.p99() for run in own),
                    to_floor=ratio(held, server, "floor") if server != "floor" else None,
                    to_pykmip=ratio(held, server, "pykmip") if server == "keyrack" else None,
                )
            )
    return made


def figures(table: Sequence[Row], runs: Sequence[Run]) -> list[Figure]:
    """The figures to reach, the worst cell of each case."""
    made = []
    for case in CASES:
        own = [row for row in table if row.case == case.name and row.server == "keyrack"]
        for name, limit, measured in [
            ("the floor", case.floor_limit, [(row.to_floor, row) for row in own if row.to_floor]),
            ("PyKMIP", case.pykmip_limit, [(row.to_pykmip, row) for row in own if row.to_pykmip]),
        ]:
            for value, row in measured:
                if limit is not None and value is not None:
                    what = f"{case.name}, {row.certificate}, TLS {row.tls}: CPU to {name}"
                    made.append(Figure(what, limit, value, "×"))
    made += [
        Figure(
            f"Get during a boot storm, {row.certificate}, TLS {row.tls}: p99", STORM_P99_MILLISECONDS, row.p99_ms, "ms"
        )
        for row in table
        if row.case == "boot storm: Get" and row.server == "keyrack"
    ]
    for name in [case.name for case in CASES if case.name != "handshake"]:
        held = [run for run in runs if run.case == f"{name}, few and many keys"]
        many = ratio(held, "keyrack, many keys", "keyrack, few keys")
        if many is not None:
            made.append(Figure(f"{name}: CPU with many keys to few", SIZE_LIMIT, many, "×"))
    return made


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    digits = 0 if value >= 100 else 2 if value >= 1 else 4
    return f"{value:,.{digits}f}"


def markdown(table: Sequence[Row], judged: Sequence[Figure], machine: dict[str, str], notes: Sequence[str]) -> str:
    """The report."""
    lines = ["### Figures to reach", "", "| figure | to reach | measured | |", "|---|---:|---:|---|"]
    lines += [
        f"| {each.what} | ≤ {_number(each.limit)} {each.unit} | {_number(each.measured)} {each.unit} | {each.verdict} |"
        for each in judged
    ]
    lines += ["", "### All cells", ""]
    lines += ["| case | certificate | TLS | server | runs | CPU ms/op | op/s | p99 ms | × floor | × PyKMIP |"]
    lines += ["|---|---|---|---|---:|---:|---:|---:|---:|---:|"]
    for row in table:
        values = [_number(each) for each in (row.cpu_ms, row.per_second, row.p99_ms, row.to_floor, row.to_pykmip)]
        lines.append(
            f"| {row.case} | {row.certificate} | {row.tls} | {row.server} | {row.runs} | {' | '.join(values)} |"
        )
    lines += [
        "",
        "### How",
        "",
        *[f"- {name}: {value}" for name, value in machine.items()],
        *[f"- {note}" for note in notes],
    ]
    return "\n".join(lines) + "\n"


def as_data(table: Sequence[Row], judged: Sequence[Figure]) -> dict[str, object]:
    """The same for machines."""
    return {
        "table": [asdict(row) for row in table],
        "figures": [{**asdict(each), "verdict": each.verdict} for each in judged],
    }
