"""What the plots are drawn from: differences of samples, rings that never grow, and a sampler that misses nothing."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from keyrack.ports.back_office import BackOfficeUnavailable
from keyrack.ports.catalog import Unit
from keyrack.ports.whole_catalog import WholeCatalog
from keyrack.service.metering import Meter
from keyrack.shell.metrics.sampling import Sampler
from keyrack.shell.metrics.series import SPANS, STEP, Point, Rings, between, counts_of, names, rows, standings_of
from keyrack.shell.metrics.serving import put_requests
from keyrack.shell.metrics.sheet import Sheet
from keyrack.testing.catalog_values import entry, instance, key
from keyrack.testing.catalogs import catalog_at
from keyrack.testing.clock import Clock
from keyrack.testing.rest import NobodyThere

TEXT = """# HELP keyrack_requests_total x
keyrack_requests_total{process="kmip-0",kmip_instance="a \\"b\\" {c}",operation="Get",outcome="success"} 7.0
keyrack_requests_total{process="kmip-0",kmip_instance="d",operation="Get",outcome="Item Not Found"} 2.0
keyrack_requests_total{process="kmip-1",kmip_instance="d",operation="Create",outcome="success"} 1.0
keyrack_handshakes_total{process="kmip-0",outcome="established",reason=""} 40.0
keyrack_handshakes_total{process="kmip-0",outcome="refused",reason="not trusted"} 3.0
keyrack_request_part_seconds_sum{process="kmip-0",part="key_manager"} 0.5
keyrack_request_part_seconds_count{process="kmip-0",part="keyrack"} 9.0
keyrack_request_seconds_bucket{process="kmip-0",operation="Get",le="0.001"} 4.0
keyrack_request_seconds_bucket{process="kmip-0",operation="Get",le="+Inf"} 9.0
keyrack_connections{process="kmip-0"} 5.0
"""
LATER = TEXT.replace('operation="Create",outcome="success"} 1.0', 'operation="Create",outcome="success"} 3.0')


def test_counts_are_those_of_requests_and_refused_handshakes_over_all_instances_and_outcomes() -> None:
    assert counts_of(TEXT) == {
        ("kmip-0", "keyrack_requests_total", "Get"): 9,
        ("kmip-1", "keyrack_requests_total", "Create"): 1,
        ("kmip-0", "keyrack_handshakes_total", "not trusted"): 3,
        ("kmip-0", "keyrack_request_part_seconds_sum", "key_manager"): 0.5,
        ("kmip-0", "keyrack_request_part_seconds_count", "keyrack"): 9,
        ("kmip-0", "keyrack_request_seconds_bucket", "0.001"): 4,
        ("kmip-0", "keyrack_request_seconds_bucket", "+Inf"): 9,
    }
    assert standings_of(TEXT) == {"kmip-0": {"keyrack_connections": 5}}


def test_the_real_sheet_of_a_process_is_read() -> None:
    meter = Meter()
    meter.parts[1].add_all((0.002, 0.004))
    meter.parts[0].add_all((0.001, 0.001))
    sheet = Sheet("kmip-0")
    put_requests(sheet, meter)
    point = between({}, counts_of(sheet.text()), at=100, seconds=60)
    assert (point.messages, point.mean("keyrack"), point.mean("key_manager")) == (2, 1.0, 3.0)


def test_a_point_is_the_difference_and_a_process_that_began_anew_counts_from_nothing() -> None:
    before = {("kmip-0", "keyrack_requests_total", "Get"): 100.0, ("kmip-1", "keyrack_requests_total", "Get"): 50.0}
    after = {("kmip-0", "keyrack_requests_total", "Get"): 130.0, ("kmip-1", "keyrack_requests_total", "Get"): 4.0}
    point = between(before, after, at=20, seconds=10)
    assert point.requests == {"Get": 34}
    assert point.a_minute(34) == 204


def test_the_slowest_lie_within_the_class_of_lengths_that_holds_them() -> None:
    point = Point(at=0, seconds=10, lengths={0.001: 90.0, 0.0025: 99.0, 0.005: 100.0, float("inf"): 100.0})
    assert point.slowest(0.01) == pytest.approx(2.5)
    assert point.slowest(0.1) == pytest.approx(1.0)
    assert point.slowest(0.5) == pytest.approx(0.778, abs=0.001)
    assert Point(at=0, seconds=10).slowest(0.01) is None
    assert Point(at=0, seconds=10).mean("keyrack") is None


def test_rings_never_grow_and_a_day_adds_up_what_an_hour_tells_apart() -> None:
    rings = Rings()
    for at in range(STEP, 3 * 86_400, STEP):
        rings.add(Point(at=at, seconds=STEP, requests={"Get": 5.0}, keys=at))
    hour, day = rings.last("hour"), rings.last("day")
    assert len(hour) == SPANS["hour"].points + 1
    assert len(day) == SPANS["day"].points + 1
    assert hour[-1].at == day[-1].at == 3 * 86_400 - STEP
    assert day[1].requests == {"Get": 150}
    assert (day[1].seconds, day[1].a_minute(150)) == (300, 30)
    assert day[-1].keys == 3 * 86_400 - STEP


def test_minutes_are_told_the_newest_first() -> None:
    rings = Rings()
    for at in range(0, 300, STEP):
        rings.add(Point(at=at, seconds=STEP, requests={"Get": 1.0}))
    found = rings.minutes(3)
    assert [each.at for each in found] == [290, 230, 170]
    assert [each.requests for each in found] == [{"Get": 6.0}] * 3


def test_the_rest_of_the_operations_is_one_column() -> None:
    points = [Point(at=1, seconds=60, requests={"Get": 9.0, "Create": 2.0, "Query": 1.0, "Locate": 1.0})]
    shown = names([each.requests for each in points], 2)
    assert shown == ["Get", "Create"]
    assert [told for _, told in rows(points, shown)] == [[9, 2, 2]]


@dataclass(slots=True)
class Told(NobodyThere):
    """A back office that says what the test says."""

    text: str | None = TEXT

    async def metrics(self) -> str:
        """That."""
        if self.text is None:
            raise BackOfficeUnavailable("nobody")
        return self.text


@dataclass(slots=True)
class Ground:
    """A sampler over a catalog."""

    catalog: WholeCatalog
    clock: Clock = field(default_factory=lambda: Clock(1_800_000_000))
    office: Told = field(default_factory=Told)
    sampler: Sampler = field(init=False)

    def __post_init__(self) -> None:
        """Over both."""
        self.sampler = Sampler(catalog=self.catalog, back_office=self.office, clock=self.clock)

    async def wrote(self, action: str, target: str, outcome: str = "success") -> None:
        """An entry of the journal."""
        await self.catalog.commit(Unit(entries=(entry(action, target=target, outcome=outcome),)))


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncIterator[Ground]:
    catalog = await catalog_at(tmp_path / "catalog.db", "web")
    yield Ground(catalog)
    await catalog.close()


async def test_a_process_that_is_silent_for_a_while_leaves_no_peak_behind(ground: Ground) -> None:
    """The first sample is where it begins; what was counted before this process looked is no traffic of now."""
    await ground.sampler.sample()
    assert not ground.sampler.rings.last("hour")
    ground.office.text = None
    ground.clock.now += 10
    await ground.sampler.sample()
    ground.office.text = LATER
    ground.clock.now += 10
    await ground.sampler.sample()
    (point,) = ground.sampler.rings.last("hour")
    assert (point.requests, point.seconds) == ({"Create": 2.0}, 20)
    # Of two processes one does not answer, and is there again.
    ground.office.text = "\n".join(each for each in TEXT.splitlines() if "kmip-1" not in each) + "\n"
    await ground.sampler.sample()
    ground.office.text = LATER
    await ground.sampler.sample()
    assert ground.sampler.rings.last("hour")[-1].requests == {}


async def test_keys_are_counted_with_each_sample_while_somebody_looks(ground: Ground) -> None:
    one = instance()
    await ground.catalog.commit(Unit(entries=(), instances=(one,)))
    await ground.sampler.sample()
    await ground.catalog.commit(Unit(entries=(), inserted=(key(),)))
    for watched, expected in ((False, 0), (True, 1)):
        if watched:
            ground.sampler.watched()
        ground.clock.now += 10
        await ground.sampler.sample()
        assert ground.sampler.rings.last("hour")[-1].keys == expected


async def test_keys_that_changed_state_are_followed_and_nobody_hears_of_foreign_ones(ground: Ground) -> None:
    await ground.wrote("key.destroy", "old")
    await ground.wrote("Get", "fetched")
    await ground.sampler.sample()
    await ground.wrote("Revoke", "revoked")
    await ground.wrote("Destroy", "refused", "Permission Denied")
    await ground.wrote("key.recover", "back")
    await ground.sampler.sample()
    await ground.sampler.sample()
    assert [each.target for each in ground.sampler.changed(lambda _: True, 9)] == ["back", "revoked", "old"]
    assert [each.target for each in ground.sampler.changed(lambda _: True, 1)] == ["back"]
    assert not ground.sampler.changed(lambda each: each == "two", 9)
