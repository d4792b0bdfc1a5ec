"""The model of growth, and that it agrees with a real catalog; ``python -m bench capacity`` is the long form."""

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from bench.capacity_ground import Specimen, grounds, specimen
from bench.capacity_model import SITES, Costs, Model, Prices, Shape, Site, Talk, postgres, sqlite
from bench.capacity_points import KINDS, Acts, Point, cached_key, point
from bench.plots import Axis, Line, plot

KEYS = 1000
SHAPE = Shape(key=1864, identifier=36, instance=36, attributes=[26, 48, 11, 23, 37, 20], record=426)
MODEL = Model(SHAPE)
ONE = Site(name="one", hosts=10, machines=100, vsan_clusters=1)


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Specimen:
    """What a pretended vCenter leaves in a real server."""
    return specimen(tmp_path_factory.mktemp("specimen"))


@pytest.fixture(scope="module")
def thousand(held: Specimen, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Point]:
    """A SQLite catalog of a thousand keys, measured in short."""
    with grounds("sqlite", held, tmp_path_factory.mktemp("ground")) as ground:
        yield point(ground, KEYS, 3 * KEYS, 0.05, serve=False)


def test_what_clients_say_is_as_the_model_takes_it(held: Specimen) -> None:
    """The numbers of the model were counted once; they are counted again here."""
    assert held.talk == Talk()


def test_a_catalog_takes_what_the_model_says(held: Specimen, thousand: Point) -> None:
    """Each table within a fourth, and the whole."""
    paper = sqlite(held.shape)
    measured = {table: thousand.bytes[table] / KEYS for table in ("object", "attribute")}

    assert paper.object == pytest.approx(measured["object"], rel=0.25)
    assert paper.attribute == pytest.approx(measured["attribute"], rel=0.25)
    assert paper.journal == pytest.approx(thousand.bytes["journal"] / (3 * KEYS), rel=0.25)
    whole = KEYS * (paper.key + 3 * paper.journal)
    assert whole == pytest.approx(thousand.bytes[""], rel=0.4)


def test_every_kind_of_act_was_asked(thousand: Point) -> None:
    """And found what it looked for: :class:`Acts` says so itself."""
    assert set(thousand.waits) == set(KINDS)
    assert all(0 < wait.p50 <= wait.p99 for wait in thousand.waits.values())
    assert all(hasattr(Acts, method) for method, _ in KINDS.values())


def test_an_unwrapped_key_takes_what_the_model_says(held: Specimen) -> None:
    """In memory, with what is kept beside it."""
    assert Costs().key_memory == pytest.approx(cached_key(held.sealed), rel=0.25)


def test_keys_only_become_more() -> None:
    """By the formula of the page."""
    assert MODEL.keys(ONE, 0) == 100 + 10 + 2
    assert MODEL.keys(ONE, 2) == 100 + 100 * 1.2 * 2 + 10 + 10 * 4 * 2 + 2 + 2
    assert MODEL.made_each_year(ONE) == 161
    assert MODEL.fetched_each_year(ONE) == 10 * 4 * (10 + 1 + 2)


def test_records_come_from_what_is_made_fetched_and_polled() -> None:
    """A vCenter that does nothing polls two endpoints."""
    idle = replace(ONE, rekeys=0, turnover=0, reboots=0)

    assert MODEL.records_each_year(idle) == 2 * 105_120 * 2
    assert MODEL.records_each_year(ONE) == 2 * 105_120 * 2 + 161 * 20 + 520 * 3


def test_a_storm_is_bound_by_cores_or_by_the_key_manager() -> None:
    """Whichever takes longer."""
    near = Model(SHAPE, costs=Costs(fetch_cpu=0.002))
    far = Model(SHAPE, costs=Costs(fetch_cpu=0.002, unwrap_seconds=0.05, unwraps_at_once=16))

    assert near.storm(ONE, 2).connections == 100 + 10 + 20 + 10
    assert near.storm(ONE, 2).seconds == pytest.approx(140 * 0.002 / 2)
    assert far.storm(ONE, 2).seconds == pytest.approx(112 * 0.05 / 16)


def test_money_is_of_versions_and_calls() -> None:
    """With the wrapped keys at the key manager each key that was ever made is paid."""
    calls = Model(SHAPE, prices=Prices(million_calls=1.0)).calls(ONE, 5)
    free = MODEL.calls(ONE, 5)

    assert free.catalog_month == 1.0
    assert free.key_manager_month == 1.0 + MODEL.keys(ONE, 5)
    assert calls.catalog_month == pytest.approx(1.0 + calls.catalog / 1e6 / 12)
    assert calls.key_manager > calls.catalog


def test_postgres_takes_more_for_attributes() -> None:
    """A heap and an index, where SQLite has the index alone."""
    assert postgres(SHAPE).attribute > 2 * sqlite(SHAPE).attribute


def test_sites_are_of_growing_size() -> None:
    """Small to very large."""
    assert [site.name for site in SITES] == ["small", "medium", "large", "very large"]
    keys = [MODEL.keys(site, 5) for site in SITES]
    assert keys == sorted(keys)
    assert keys[-1] > 1_000_000


def test_a_plot_is_a_picture() -> None:
    """Well-formed, with every line in it, within its bounds."""
    lines = [Line("a < b", [(1, 10), (1000, 2000)]), Line("dots", [(10, 500)], dots=True, like=0)]

    drawn = ET.fromstring(plot("Title & more", Axis("keys"), Axis("bytes"), lines))

    texts = [each.text for each in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert {"Title & more", "a < b", "dots", "keys", "bytes"} <= set(texts)
    assert len(list(drawn.iter("{http://www.w3.org/2000/svg}polyline"))) == 2
    assert len(list(drawn.iter("{http://www.w3.org/2000/svg}circle"))) == 2


def test_plots_of_the_page_are_there() -> None:
    """The page shows no picture that is not in the repository."""
    docs = Path(__file__).parents[2] / "docs"
    page = (docs / "capacity.md").read_text()

    for each in ("keys", "size", "storm", "waits"):
        assert f"capacity/{each}.svg" in page
        ET.parse(docs / "capacity" / f"{each}.svg")
