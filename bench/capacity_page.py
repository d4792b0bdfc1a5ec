"""docs/capacity.md and its plots, from a model and what it was held against."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from bench.capacity_model import DATABASES, SITES, Model, Site
from bench.capacity_points import Point
from bench.plots import Axis, Line, plot

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "capacity.md"
PLOTS = DOCS / "capacity"
YEARS = 5
CORES = (2, 8, 32)
MUCH = 0.25
"""Cores that others used, from which on a figure is marked."""


class Held(Protocol):
    """A figure on paper and in fact."""

    what: str
    model: float
    measured: float
    unit: str

    @property
    def percent(self) -> float:
        """How far off."""
        ...


class Storm(Protocol):
    """A storm that was run."""

    connections: int
    at_once: int
    seconds: float
    cpu: float
    p99: float
    disturbed: float


def number(value: float) -> str:
    """With three digits or so."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def size(value: float) -> str:
    """Bytes."""
    for limit, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= limit:
            return f"{value / limit:.3g} {unit}"
    return f"{value:.0f} B"


def span(seconds: float) -> str:
    """Time."""
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def against(told: Sequence[Held]) -> Iterator[str]:
    """Model and measurement."""
    yield "| | model | measured | | deviation |"
    yield "|---|---:|---:|---|---:|"
    for each in told:
        yield f"| {each.what} | {number(each.model)} | {number(each.measured)} | {each.unit} | {each.percent:+.0f} % |"


def acts(made: Sequence[Point]) -> Iterator[str]:
    """How catalogs of each size answer."""
    kinds = list(made[0].waits) if made else []
    yield ""
    yield f"| catalog | keys | records | {' | '.join(f'{kind}, p50 / p99 ms' for kind in kinds)} | start s | memory |"
    yield f"|---|---:|---:|{'---:|' * (len(kinds) + 2)}"
    for each in made:
        waits = [f"{number(each.waits[kind].p50)} / {number(each.waits[kind].p99)}" for kind in kinds]
        mark = " *" if each.disturbed > MUCH else ""
        start = f"{each.start:.1f}" if each.start else "–"
        memory = size(each.memory) if each.memory else "–"
        row = " | ".join(waits)
        yield f"| {each.database}{mark} | {each.keys:,} | {each.records:,} | {row} | {start} | {memory} |"
    if any(each.disturbed > MUCH for each in made):
        yield ""
        yield "\\* Others used the machine meanwhile: its times are worth little, its sizes are as good as any."


def sites(model: Model, chosen: Sequence[Site] = SITES) -> Iterator[str]:
    """What grows, for each site."""
    yield "| | " + " | ".join(site.name for site in chosen) + " |"
    yield "|---|" + "---:|" * len(chosen)
    rows: Mapping[str, Sequence[object]] = {
        "vCenters": [site.vcenters for site in chosen],
        "hosts": [f"{site.hosts:,}" for site in chosen],
        "encrypted machines": [f"{site.machines:,}" for site in chosen],
        "vSAN clusters": [site.vsan_clusters for site in chosen],
        "**keys** at first": [f"{model.keys(site, 0):,}" for site in chosen],
        f"keys after {YEARS} years": [f"{model.keys(site, YEARS):,}" for site in chosen],
        "journal records a year": [f"{model.records_each_year(site):,}" for site in chosen],
        **{
            f"{name}: journal a year": [
                size(model.grown(site, YEARS, paper(model.shape)).journal_each_year) for site in chosen
            ]
            for name, paper in DATABASES.items()
        },
        **{
            f"{name}: **database after {YEARS} years**, all journal kept": [
                size(model.grown(site, YEARS, paper(model.shape)).database) for site in chosen
            ]
            for name, paper in DATABASES.items()
        },
        "memory of a process with all present keys": [
            size(model.grown(site, 0, DATABASES["sqlite"](model.shape)).memory) for site in chosen
        ],
        "**boot storm**: connections": [f"{model.storm(site, 2).connections:,}" for site in chosen],
        **{f"on {cores} cores": [span(model.storm(site, cores).seconds) for site in chosen] for cores in CORES},
        f"handshakes and Gets a second, on {CORES[0]} cores": [
            number(model.storm(site, CORES[0]).each_second) for site in chosen
        ],
        "**key manager**: calls a year, at most": [f"{model.calls(site, 1).catalog:,}" for site in chosen],
        "the same, wrapped keys there too": [f"{model.calls(site, 1).key_manager:,}" for site in chosen],
        f"US$ a month after {YEARS} years, Key Protect": [
            number(model.calls(site, YEARS).catalog_month) for site in chosen
        ],
        "the same, wrapped keys there too (storage `key_manager`)": [
            number(model.calls(site, YEARS).key_manager_month) for site in chosen
        ],
    }
    for name, values in rows.items():
        yield f"| {name} | " + " | ".join(map(str, values)) + " |"


def drawn(model: Model, made: Sequence[Point]) -> Mapping[str, str]:
    """The plots by the names of their files."""
    years = [each / 2 for each in range(2 * 10 + 1)]
    growth = [Line(site.name, [(year, model.keys(site, year)) for year in years]) for site in SITES]
    sizes, waits = [], []
    for place, (name, paper) in enumerate(DATABASES.items()):
        one = paper(model.shape)
        counts = [10.0**power for power in range(3, 8)]
        sizes.append(Line(f"{name}, model", [(n, n * (one.key + one.journal)) for n in counts]))
        own = [each for each in made if each.database == name]
        if own:
            bytes_of = [
                (
                    each.keys,
                    each.bytes["object"] + each.bytes["attribute"] + each.keys * each.bytes["journal"] / each.records,
                )
                for each in own
            ]
            sizes.append(Line(f"{name}, measured", bytes_of, dots=True, like=2 * place))
            for kind in ("Get", "Locate by an attribute"):
                waits.append(Line(f"{name}: {kind.split()[0]}", [(each.keys, each.waits[kind].p50) for each in own]))
    machines = [10.0**power for power in range(2, 6)]
    storms = [
        Line(f"{cores} cores", [(n, model.storm_of(round(n), round(n), round(n), cores).seconds) for n in machines])
        for cores in CORES
    ]
    keys = Axis("keys")
    plots = {
        "keys": plot("Keys of a site", Axis("years", powers=False), keys, growth),
        "size": plot("Database, with one journal record a key", keys, Axis("bytes"), sizes),
        "storm": plot("Boot storm: until the last machine has its key", Axis("machines"), Axis("seconds"), storms),
    }
    if len({each.keys for each in made}) > 1:
        plots["waits"] = plot("Half of all waits are shorter", keys, Axis("milliseconds"), waits)
    return plots


def publish(
    model: Model, made: Sequence[Point], storm: Sequence[Storm], told: Sequence[Held], facts: Mapping[str, str]
) -> None:
    """Write page and plots."""
    PLOTS.mkdir(exist_ok=True)
    for name, picture in drawn(model, made).items():
        (PLOTS / f"{name}.svg").write_text(picture)
    parts = {
        "formula": "\n".join(_formula(model)),
        "sites": "\n".join(sites(model)),
        "against": "\n".join(against(told)),
        "acts": "\n".join(acts(made)).strip(),
        "storm": "\n".join(_storms(storm)),
        "facts": "\n".join(f"- {name}: {value}" for name, value in facts.items()),
        "years": str(YEARS),
    }
    text = (Path(__file__).parent / "capacity.md").read_text()
    for name, part in parts.items():
        text = text.replace("{{" + name + "}}", part)
    PAGE.write_text(text)


def _formula(model: Model) -> Iterator[str]:
    talk, costs = model.talk, model.costs
    yield "| of one | takes |"
    yield "|---|---|"
    yield (
        f"| key that is made | {number(talk.made_connections)} connections, {number(talk.made_records)} records, "
        f"{len(model.shape.attributes)} rows that Locate finds it by |"
    )
    fetched = f"{number(talk.fetched_connections)} connection, {number(talk.fetched_records)} records"
    yield f"| key that is fetched | {fetched} |"
    yield (
        f"| poll, each {number(talk.poll_seconds)} s by each vCenter of each endpoint | "
        f"{number(talk.polled_connections)} connections, {number(talk.polled_records)} records |"
    )
    for name, paper in DATABASES.items():
        one = paper(model.shape)
        yield f"| key, {name} | {one.key:,.0f} bytes: {one.object:,.0f} and {one.attribute:,.0f} of attributes |"
        yield f"| journal record, {name} | {one.journal:,.0f} bytes |"
    memory = f"{costs.key_memory:,.0f} bytes; a process without any {size(costs.base_memory)}"
    yield f"| unwrapped key in memory | {memory} |"
    yield f"| connection of a boot, RSA-2048 | {costs.fetch_cpu * 1000:.2f} ms of one core |"


def _storms(storm: Sequence[Storm]) -> Iterator[str]:
    if not storm:
        yield "No storm was run."
        return
    yield "| connections | at a time | seconds | connections a second | server CPU of one, ms | p99 ms |"
    yield "|---:|---:|---:|---:|---:|---:|"
    for each in storm:
        rate, mark = each.connections / each.seconds, " *" if each.disturbed > MUCH else ""
        how = f"{each.connections:,}{mark} | {each.at_once} | {each.seconds:.1f}"
        yield f"| {how} | {rate:,.0f} | {each.cpu * 1000:.2f} | {each.p99:,.0f} |"
