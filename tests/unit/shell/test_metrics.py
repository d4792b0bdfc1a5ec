"""Metrics: what requests, calls and the catalog come to, in Prometheus's words, for those who may see it."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from keyrack.adapters.key_managers.memory import MemoryKeyManager
from keyrack.adapters.key_managers.registry import KeyManagers
from keyrack.domain.instances import ClientCertificate
from keyrack.domain.journal import Entry
from keyrack.domain.rights import Grant, Role
from keyrack.operations.get import GetRequest
from keyrack.ports.catalog import JournalRecord, Unit
from keyrack.ports.key_manager import KeyManagerRefused, RootKeyAdministration
from keyrack.ports.whole_catalog import WholeCatalog
from keyrack.service.metering import AT_ONCE, MOST_INSTANCES, NOBODY, OTHER, Meter, Timing
from keyrack.shell.config.telemetry import Metrics
from keyrack.shell.metrics import table
from keyrack.shell.metrics.calls import metered
from keyrack.shell.metrics.deployment import DeploymentNumbers
from keyrack.shell.metrics.journal_tail import JournalTail
from keyrack.shell.metrics.scrape import Scrape, WebMeter
from keyrack.shell.metrics.serving import serving
from keyrack.shell.metrics.sheet import Sheet, exposed, merged
from keyrack.shell.reasons import MOST, count_reason
from keyrack.spec.enumerations import Operation, ResultReason, ResultStatus
from keyrack.testing.conversation import create
from keyrack.testing.house import Refused, memory_house
from keyrack.testing.rest import Face, NobodyThere, open_face
from keyrack.wire.messages import ResponseBatchItem

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def read(text: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


class Listener:
    """What a listener has counted."""

    connections = 3

    def __init__(self) -> None:
        self.counts = Counter({"accepted": 5, "established": 4, "refused": 1, "refused: certificate not trusted": 1})


def answered(operation: int | None, reason: ResultReason | None = None) -> ResponseBatchItem:
    status = ResultStatus.SUCCESS if reason is None else ResultStatus.OPERATION_FAILED
    return ResponseBatchItem(operation=operation, unique_batch_item_id=None, result_status=status, result_reason=reason)


async def test_requests_are_counted_by_instance_operation_and_outcome() -> None:
    house = memory_house()
    await house.admit("a")
    made = await house.ask(*create())
    for _ in range(AT_ONCE):
        await house.ask(Operation.GET, GetRequest(unique_identifier=made.unique_identifier))
    with pytest.raises(Refused):
        await house.ask(Operation.GET, GetRequest(unique_identifier="nobody's"))

    text = serving("kmip-0", meter=house.desk.meter, listener=Listener(), managers={}, memory=house.vault).text()
    samples = read(text)

    common = {"process": "kmip-0", "kmip_instance": "a"}
    assert AT_ONCE == value(samples, "keyrack_requests_total", operation="Get", outcome="success", **common)
    assert 1 == value(samples, "keyrack_requests_total", operation="Create", outcome="success", **common)
    assert 1 == value(samples, "keyrack_requests_total", operation="Get", outcome="Item Not Found", **common)
    assert AT_ONCE + 1 == value(samples, "keyrack_request_seconds_count", process="kmip-0", operation="Get")
    whole = sum(number for (name, _), number in samples.items() if name == "keyrack_request_seconds_sum")
    parts = sum(number for (name, _), number in samples.items() if name == "keyrack_request_part_seconds_sum")
    assert parts == pytest.approx(whole)
    assert AT_ONCE + 2 == value(samples, "keyrack_request_part_seconds_count", process="kmip-0", part="catalog")
    assert 1 == value(samples, "keyrack_request_part_seconds_count", process="kmip-0", part="key_manager")
    assert 1 == value(samples, "keyrack_cache_entries", process="kmip-0")
    assert made.unique_identifier not in text


async def test_a_message_of_several_items_is_timed_once_and_counted_item_by_item() -> None:
    house = memory_house()
    await house.admit("a")
    await house.batch([create(), create()])

    meter = house.desk.meter
    meter.settle()

    assert {("a", int(Operation.CREATE), int(ResultStatus.SUCCESS), 0): 2} == meter.requests
    assert [1] == [sum(spread.counts) for spread in meter.seconds.values()]


async def test_what_a_stranger_asks_is_counted_for_nobody() -> None:
    house = memory_house()
    await house.admit("a")
    house.peers["a"] = replace(house.peers["a"], fingerprint="f" * 64)
    with pytest.raises(Refused):
        await house.ask(*create())

    house.desk.meter.settle()

    assert [NOBODY] == [instance for instance, *_ in house.desk.meter.requests]


def test_labels_stay_few_whatever_clients_send() -> None:
    """Operations that are none, and more instances than are told apart."""
    meter = Meter()
    for number in range(1000):
        timing = Timing()
        timing.instance = f"instance-{number}"
        meter.answered(timing, [answered(0x80000000 + number)])
        meter.answered(timing, [answered(0x80000000 + number), answered(None)])
    meter.settle()

    assert MOST_INSTANCES + 1 == len(meter.requests)
    assert OTHER in {instance for instance, *_ in meter.requests}
    assert 3000 == sum(meter.requests.values())
    assert 2 == len(meter.seconds)


def test_reasons_of_refusals_stay_few_and_name_nobody() -> None:
    counts: Counter[str] = Counter()
    for number in range(200):
        count_reason(counts, "refused: ", f"reason {number}")
        count_reason(counts, "refused: ", f"not one of its names: CN=host-{number}")
    count_reason(counts, "refused: ", "")

    assert MOST + 1 == len(counts)
    assert 200 == counts["refused: not one of its names"]


class Configured(MemoryKeyManager):
    """One that stands in a configuration."""

    async def close(self) -> None:
        """Nothing is open."""


class Moody(Configured):
    """Refuses to unwrap."""

    async def unwrap(self, *arguments: Any) -> Any:
        raise KeyManagerRefused("no")


async def test_calls_to_key_managers_are_counted_and_keep_their_powers() -> None:
    meter, manager = Meter(), Moody()
    managers = KeyManagers({"kp": manager})
    managers.watch(metered(meter))
    root_key = await manager.create_root_key("a")
    await managers["kp"].probe(root_key.identifier)
    with pytest.raises(KeyManagerRefused):
        await managers["kp"].unwrap(root_key.identifier, b"", ())
    assert [] == [each async for each in managers["kp"].list_standard_keys("")]

    told = {kind: sum(spread.counts) for kind, spread in meter.calls.items()}

    assert isinstance(managers["kp"], RootKeyAdministration)
    assert 1 == told["kp", "unwrap", "refused"]
    assert 1 == told["kp", "probe", "success"]
    assert 1 == told["kp", "list_standard_keys", "success"]
    assert time.time() - 5 < meter.unwrapped_at["kp"] <= time.time()


async def test_a_call_that_is_given_up_is_told_apart() -> None:
    class Slow(Configured):
        async def probe(self, root_key: str) -> None:
            await asyncio.sleep(60)

    meter, manager = Meter(), Slow()
    KeyManagers({"kp": manager}).watch(metered(meter))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await manager.probe("one")

    assert [("kp", "probe", "cancelled")] == list(meter.calls)
    assert {} == meter.unwrapped_at


def test_sheets_of_several_processes_make_one_in_which_each_metric_stands_once() -> None:
    texts = []
    for process in ("kmip-0", "kmip-1"):
        meter = Meter()
        meter.answered(meter.begin(), [answered(Operation.GET)])
        texts.append(serving(process, meter=meter, listener=Listener(), managers={}, memory=Silent()).text())

    text = exposed(merged(["".join(texts)]))

    assert 1 == text.count("# TYPE keyrack_requests_total counter")
    samples = read(text)
    for process in ("kmip-0", "kmip-1"):
        assert 3 == value(samples, "keyrack_connections", process=process)
        assert 1 == value(samples, "keyrack_request_seconds_count", process=process, operation="Get")


class Silent:
    """A vault that keeps nothing."""

    def kept(self) -> int:
        return 0

    def lease_ages(self) -> dict[str, list[float]]:
        return {"kp": [3.0, 70.0]}


def test_a_sheet_takes_no_name_that_is_not_in_the_table() -> None:
    with pytest.raises(KeyError):
        Sheet().put("keyrack_unheard_of", 1)


def test_no_label_is_a_key() -> None:
    labels = {label for each in table.METRICS.values() for label in each.labels}

    assert not labels & {"key", "key_id", "root_key", "unique_identifier", "fingerprint", "person", "address"}


async def test_the_journals_end_is_watched() -> None:
    """Each link: an edit, a gap and a cut are flaws; what was there before the first look is not judged."""

    class Records:
        def __init__(self) -> None:
            self.records: list[JournalRecord] = []

        async def journal(self, after: int = 0, limit: int = 500) -> list[JournalRecord]:
            return [each for each in self.records if each.number > after][:limit]

    with_flaws, house = Records(), memory_house()
    await house.admit("a")
    for _ in range(4):
        await house.ask(*create())
    with_flaws.records = list(await house.catalog.journal())
    tail = JournalTail()
    assert 0 == await tail.look(with_flaws, len(with_flaws.records))
    for _ in range(3):
        await house.ask(*create())
    with_flaws.records = list(await house.catalog.journal())
    *_, third, _, _ = with_flaws.records
    with_flaws.records[third.number - 1] = replace(third, text=third.text.replace("Create", "Delete"))

    assert 1 == await tail.look(with_flaws, len(with_flaws.records))
    del with_flaws.records[2:]
    assert 2 == await tail.look(with_flaws, 2)


@pytest.fixture
async def face(tmp_path: Path) -> AsyncIterator[Face]:
    async with open_face(tmp_path) as opened:
        opened.app.premises.scrape = scrape_of(opened.catalog, tmp_path, opened.app.premises.meter)
        yield opened


class OneThere(NobodyThere):
    """A back office with one serving process."""

    async def metrics(self) -> str:
        return serving("kmip-0", meter=Meter(), listener=Listener(), managers={}, memory=Silent()).text()


def scrape_of(catalog: WholeCatalog, directory: Path, meter: WebMeter, **settings: Any) -> Scrape:
    return Scrape(
        table=Metrics(**settings),
        token_file=directory / "token",
        back_office=OneThere(),
        deployment=DeploymentNumbers(catalog=catalog, server_certificate=directory / "server.pem"),
        meter=meter,
    )


async def test_metrics_are_answered_to_this_machine_to_whoever_may_and_to_the_token(face: Face, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a token that is long enough\n")
    viewer = await face.person("vera", Grant(Role.VIEWER))
    of_one = await face.person("olga", Grant(Role.OPERATOR, "one instance"))
    here = ("127.0.0.1", 40000)

    assert 200 == (await face.ask("GET", "/metrics", address=here)).status
    assert 200 == (await face.ask("GET", "/metrics", viewer)).status
    assert 200 == (await face.ask("GET", "/metrics", "a token that is long enough")).status
    assert (401, "unauthenticated") == _short(await face.ask("GET", "/metrics"))
    assert (401, "unauthenticated") == _short(await face.ask("GET", "/metrics", "another token, as long"))
    assert (403, "forbidden") == _short(await face.ask("GET", "/metrics", of_one))
    (tmp_path / "token").write_text("short")
    assert 401 == (await face.ask("GET", "/metrics", "short")).status


def _short(answer: Any) -> tuple[int, str]:
    return answer.status, answer.code


async def test_metrics_can_be_switched_off_and_this_machine_kept_out(face: Face, tmp_path: Path) -> None:
    premises, here = face.app.premises, ("127.0.0.1", 40000)
    premises.scrape = scrape_of(face.catalog, tmp_path, premises.meter, allow=())
    assert 401 == (await face.ask("GET", "/metrics", address=here)).status
    premises.scrape = scrape_of(face.catalog, tmp_path, premises.meter, enabled=False)
    assert 404 == (await face.ask("GET", "/metrics", address=here)).status


async def test_the_deployment_is_told_from_the_catalog(face: Face) -> None:
    made = await face.instance("prod")
    now = int(time.time())
    certificate = ClientCertificate(
        fingerprint="a" * 64,
        instance=made.identifier,
        subject="CN=vcenter",
        not_before=0,
        not_after=now + 20 * 86_400 + 43_200,
        der=b"der",
        added_at=now,
    )
    entry = Entry(at=1, action="certificate.add", outcome="success", initiator="local-user-a", address="local")
    await face.catalog.commit(Unit(entries=(entry,), certificates=(certificate,)))
    await face.ask("GET", "/api/v1/instances/prod")

    answer = await face.ask("GET", "/metrics", address=("127.0.0.1", 40000))
    samples = read(answer.body.decode())

    assert "text/plain" in answer.headers["content-type"]
    assert 1 == value(samples, "keyrack_instances", status="Installed")
    assert 20.5 == pytest.approx(value(samples, "keyrack_certificate_days_left", kmip_instance="prod"), abs=0.01)
    assert 1 == value(samples, "keyrack_certificates", kmip_instance="prod")
    assert 1 / 200 == value(samples, "keyrack_quota_used_ratio", kmip_instance="prod", quota="certificates")
    assert 1 == value(samples, "keyrack_journal_records_total")
    assert 0 == value(samples, "keyrack_journal_flaws")
    assert 1 == value(samples, "keyrack_back_office_up")
    assert 3 == value(samples, "keyrack_connections", process="kmip-0")
    requests = {labels: number for (name, labels), number in samples.items() if name == "keyrack_web_requests_total"}
    (labels,) = [dict(each) for each in requests]
    assert ("GET", "401") == (labels["method"], labels["status"])
    assert "prod" not in labels["route"]


async def test_nobody_in_the_back_office_is_told_by_a_zero(face: Face) -> None:
    scrape = face.app.premises.scrape
    assert scrape is not None
    scrape.back_office = NobodyThere()

    samples = read((await face.ask("GET", "/metrics", address=("127.0.0.1", 40000))).body.decode())

    assert 0 == value(samples, "keyrack_back_office_up")
    assert 0 == value(samples, "keyrack_people", standing="active")


def test_addresses_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="neither an address nor a network"):
        Metrics(allow=("everybody",))
    assert ("10.0.0.0/8", "::1") == Metrics.model_validate({"allow": "10.0.0.0/8, ::1"}).allow
