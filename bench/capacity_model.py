"""How a site grows, on paper: machines, hosts and rekeys to keys, rows, bytes, handshakes, calls and money.

Nothing here measures or imports Keyrack. ``bench.capacity`` holds it against real catalogs.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

YEAR = 365 * 24 * 3600
MONTHS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What somebody knows of a site. Rates are per year; of a machine, a host or a cluster each."""

    name: str
    vcenters: int = 1
    hosts: int
    machines: int
    """Encrypted virtual machines, those with a vTPM among them."""
    vsan_clusters: int = 0
    rekeys: float = 1.0
    """Shallow rekeys of a machine and of a vSAN cluster: each makes a new key, and none goes away."""
    turnover: float = 0.2
    """New machines in the place of others, whose keys stay."""
    reboots: float = 4.0
    """Of each host; after each of them its keys are fetched again."""
    new_host_keys: float = 1.0
    """Host keys that a reboot makes: between 0 and 1, VMware does not say which."""
    endpoints: int = 2
    """Nodes, each listed in every vCenter's key provider."""
    workers: int = 1
    """Serving processes of each node."""
    root_keys: int = 1
    storm_machines: float = 1.0
    """Share of the machines that start at the same time after a power cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """What clients say for one task, as counted by playing a pretended vCenter against a real server."""

    made_connections: float = 4
    made_records: float = 20
    """Journal records of a key that is made, tagged, fetched and activated: every operation is one."""
    fetched_connections: float = 1
    fetched_records: float = 3
    """Discover Versions, Get, Get Attributes (State)."""
    booted_connections: float = 1
    """Connections of a host that boots, beside those for its keys."""
    polled_connections: float = 2
    polled_records: float = 2
    poll_seconds: float = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What one thing costs, measured on one core (``bench/RESULTS.md``, section KMIP server)."""

    fetch_cpu: float = 0.0024
    """Seconds of server CPU for a connection with Discover Versions, Get and Get Attributes (RSA-2048, TLS 1.2)."""
    made_cpu: float = 0.0085
    """The same for a key that is made: four connections, sixteen requests."""
    key_memory: float = 515
    """Bytes of one unwrapped key in memory."""
    base_memory: float = 76e6
    """Bytes of a serving process that has none."""
    unwrap_seconds: float = 0.0
    """One unwrap at the key manager; 0 where it is in this process."""
    unwraps_at_once: int = 16
    """Calls at one time: ``connections`` of the key manager's table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """Money, as a parameter: what is public is IBM's price of a key version, and none for calls was found."""

    key_version_month: float = 1.0
    """US$ of a key version for a month in Key Protect: a root key's, and a standard key's."""
    million_calls: float = 0.0
    """No price was found; put your contract's in."""
    crypto_unit_hour: float = 2.13
    """US$ of Hyper Protect Crypto Services, each unit."""
    crypto_units: int = 2


@dataclass(frozen=True, slots=True)
class Shape:
    """One key and one journal record in bytes, without what a database adds."""

    key: float
    """The row of ``object``: all its texts and blobs."""
    identifier: float
    instance: float
    attributes: Sequence[float]
    """Names and values of what Locate finds, a row each."""
    record: float
    chain: float = 8
    compressible: float = 0
    """Bytes of ``key`` in columns that PostgreSQL compresses, should the row be long."""


@dataclass(frozen=True, slots=True)
class Bytes:
    """What a database takes, each table with its indexes."""

    object: float
    """For a key."""
    attribute: float
    """For all attributes of a key that Locate finds."""
    journal: float
    """For a record."""
    empty: float
    """Of a database with neither."""

    @property
    def key(self) -> float:
        """A key with all that belongs to it."""
        return self.object + self.attribute


MIXED: float = 0.69
"""How full the pages of a tree are whose entries come in any order."""


def sqlite(shape: Shape) -> Bytes:
    """Pages of 4,096 bytes. Rows lie whole in them, in order; trees of entries in any order are two thirds full."""
    page = 4088

    def rows(payload: float) -> float:
        return page / math.floor(page / (payload + 7))

    attributes = sum(each + shape.instance + 12 for each in shape.attributes) / 0.8
    indexes = (shape.identifier + 10) / MIXED + (shape.instance + 14) / 0.95
    return Bytes(rows(shape.key) + indexes, attributes, (shape.record + 7) / 0.94 + shape.chain + 12, 3e5)


def postgres(shape: Shape) -> Bytes:
    """Pages of 8,192 bytes, rows with a head of 28 bytes, indexes of aligned entries. A row over 2,032 bytes has its
    longest columns compressed, to about 60 %. Attributes come in many places of one tree, whose pages are half full.
    """
    page, ordered, places = 8168, 0.9, 0.55

    def row(payload: float, compressible: float = 0) -> float:
        whole = payload + 28
        return page / math.floor(page / (whole if whole <= 2036 else whole - 0.4 * compressible))

    def entry(payload: float, fill: float) -> float:
        return (math.ceil((8 + payload) / 8) * 8 + 4) / fill

    texts = [each + shape.instance + 11 for each in shape.attributes]
    indexes = entry(8, ordered) + entry(shape.identifier + 1, MIXED) + entry(shape.instance + 9, ordered)
    return Bytes(
        row(shape.key, shape.compressible) + indexes,
        sum(row(each) + entry(each, places) for each in texts),
        row(shape.record) + entry(8, ordered) + entry(shape.chain + 9, ordered),
        10e6,
    )


DATABASES = {"sqlite": sqlite, "postgres": postgres}


@dataclass(frozen=True, slots=True)
class Growth:
    """A site after some years."""

    keys: int
    rows: Mapping[str, int]
    records_each_year: int
    database: float
    """Bytes, with the whole journal kept (``journal.retention_days = 0``)."""
    journal_each_year: float
    """Bytes."""
    memory: float
    """Bytes of one serving process that holds every key of the site's present machines."""


@dataclass(frozen=True, slots=True)
class Storm:
    """All hosts start at once."""

    connections: int
    gets: int
    distinct: int
    seconds: float
    each_second: float


@dataclass(frozen=True, slots=True)
class Calls:
    """Of the key manager in a year, and what they come to in US$ a month."""

    catalog: int
    key_manager: int
    """The same where each wrapped key lies there too, as a standard key."""
    catalog_month: float
    key_manager_month: float


@dataclass(frozen=True, slots=True)
class Model:
    """All of it, for one shape of keys and one database."""

    shape: Shape
    talk: Talk = field(default_factory=Talk)
    costs: Costs = field(default_factory=Costs)
    prices: Prices = field(default_factory=Prices)

    def keys(self, site: Site, years: float) -> int:
        """Keys that were ever made: nothing is destroyed when a machine goes, or has a new key."""
        machines = site.machines * (1 + (site.rekeys + site.turnover) * years)
        hosts = site.hosts * (1 + site.reboots * site.new_host_keys * years)
        return round(machines + hosts + site.vsan_clusters * (2 + site.rekeys * years))

    def made_each_year(self, site: Site) -> int:
        """Keys."""
        return self.keys(site, 1) - self.keys(site, 0)

    def fetched_each_year(self, site: Site) -> int:
        """Keys that are fetched by hosts that boot: its own, those of its machines, and of vSAN the cluster's two."""
        shares = site.machines / site.hosts + 1 + (2 if site.vsan_clusters else 0)
        return round(site.hosts * site.reboots * shares)

    def records_each_year(self, site: Site) -> int:
        """Of the journal."""
        polls = site.vcenters * site.endpoints * YEAR / self.talk.poll_seconds
        return round(
            self.made_each_year(site) * self.talk.made_records
            + self.fetched_each_year(site) * self.talk.fetched_records
            + polls * self.talk.polled_records
        )

    def grown(self, site: Site, years: float, bytes_of: Bytes) -> Growth:
        """After so many years, in a database of such rows."""
        keys, records = self.keys(site, years), self.records_each_year(site)
        first = self.keys(site, 0) * self.talk.made_records
        rows = {
            "object": keys,
            "attribute": keys * len(self.shape.attributes),
            "fetch": keys,
            "journal": round(first + records * years),
        }
        database = bytes_of.empty + keys * bytes_of.key + rows["journal"] * bytes_of.journal
        live = self.keys(site, 0)
        memory = self.costs.base_memory + live * self.costs.key_memory
        return Growth(keys, rows, records, database, records * bytes_of.journal, memory)

    def storm(self, site: Site, cores: float) -> Storm:
        """After a power cut: so many cores serve, on all nodes together."""
        machines = math.ceil(site.machines * site.storm_machines)
        vsan = 2 * site.hosts if site.vsan_clusters else 0
        gets = machines + site.hosts + vsan
        connections = round(gets * self.talk.fetched_connections + site.hosts * self.talk.booted_connections)
        distinct = machines + site.hosts + 2 * site.vsan_clusters
        return self.storm_of(connections, gets, distinct, cores)

    def storm_of(self, connections: int, gets: int, distinct: int, cores: float) -> Storm:
        """The same, of what is fetched: bound by the servers' CPU, or by the key manager's unwraps."""
        computing = connections * self.costs.fetch_cpu / cores
        unwrapping = distinct * self.costs.unwrap_seconds / self.costs.unwraps_at_once
        seconds = max(computing, unwrapping)
        return Storm(connections, gets, distinct, seconds, connections / seconds if seconds else math.inf)

    def calls(self, site: Site, years: float) -> Calls:
        """The most there can be: every fetch cold, and two proofs a minute by each process for each root key."""
        processes = site.endpoints * site.workers
        looks = site.root_keys * YEAR / 60 * (1 + 2 * processes)
        made, keys = self.made_each_year(site), self.keys(site, years)
        fetched = self.fetched_each_year(site)
        catalog = made * 2 + fetched + looks
        listings = YEAR / 60 * math.ceil(keys / 1000)
        both = catalog + made * 2 + listings
        of_calls = self.prices.million_calls / 1e6 / MONTHS
        versions = self.prices.key_version_month
        return Calls(
            round(catalog),
            round(both),
            site.root_keys * versions + catalog * of_calls,
            (site.root_keys + keys) * versions + both * of_calls,
        )


SITES = (
    Site(name="small", hosts=4, machines=50, vsan_clusters=1),
    Site(name="medium", hosts=64, machines=1_500, vsan_clusters=2),
    Site(name="large", vcenters=4, hosts=800, machines=20_000, vsan_clusters=16, workers=2, root_keys=4),
    Site(name="very large", vcenters=20, hosts=5_000, machines=150_000, vsan_clusters=80, workers=8, root_keys=20),
)
