"""What a vCenter sent on the wire, sent again to the real process: every exchange succeeds."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from keyrack.spec.enumerations import Operation
from keyrack.spec.tags import Tag
from keyrack.spec.versions import V1_1
from keyrack.testing import vcenter_frames as frames
from keyrack.testing.client import answers
from keyrack.testing.process import Served, serve
from keyrack.testing.transcripts import Capture, Played, read, replay
from keyrack.testing.ttlv import parse
from keyrack.testing.vcenter import VCenter

CAPTURES = read(Path(__file__).parents[2] / "vectors" / "vcenter-7.0.3-requests.json")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A Keyrack of its own, so that the list of keys holds what vCenter made and nothing else."""
    running = serve(tmp_path_factory.mktemp("vcenter"), instance="cluster")
    yield running
    assert running.deployment is not None
    running.deployment.stop()


@pytest.fixture(scope="module", params=CAPTURES, ids=lambda capture: capture.name)
def played(house: Served, request: pytest.FixtureRequest) -> tuple[Capture, list[Played]]:
    """A capture, and how it went when it was played again."""
    return request.param, list(replay(request.param, lambda: house.connect(V1_1)))


def test_every_exchange_succeeds(played: tuple[Capture, list[Played]]) -> None:
    """All of them, batch items and all."""
    capture, exchanges = played

    problems = [(each.exchange.at, each.answers) for each in exchanges if not each.ok]

    assert [] == problems
    assert len(capture.exchanges) == len(exchanges)


def test_batch_item_identifiers_are_those_of_the_request(played: tuple[Capture, list[Played]]) -> None:
    """Echoed verbatim where there was one, absent where there was none."""
    for each in played[1]:
        asked = [
            item.octets(Tag.UNIQUE_BATCH_ITEM_ID) if item.find(Tag.UNIQUE_BATCH_ITEM_ID) else None
            for item in parse(each.sent).all(Tag.BATCH_ITEM)
        ]

        assert asked == [answer.batch_id for answer in each.answers]


def test_answers_are_of_the_version_of_the_request(played: tuple[Capture, list[Played]]) -> None:
    """KMIP 1.1 throughout, and no element that is newer."""
    versions = {answers(each.received)[0] for each in played[1]}

    assert {V1_1} == versions


def test_an_absent_attribute_is_success_without_it(played: tuple[Capture, list[Played]]) -> None:
    """vCenter asks for each of its attributes before it writes them."""
    for each in played[1]:
        for answer in each.answers:
            if answer.operation == Operation.GET_ATTRIBUTES and b"x-" in each.sent:
                assert answer.payload.find(Tag.ATTRIBUTE) is None


def test_the_names_of_vcenter_stand_in_the_key_list(house: Served, played: tuple[Capture, list[Played]]) -> None:
    """The administrator sees whose keys they are."""
    if played[0].name != "encrypt-vm":
        pytest.skip("no keys are made in this capture")
    assert house.deployment is not None

    listed = house.deployment.run("key", "list", "cluster").stdout

    assert ["test01", "172.16.220.132", "Virtual Machine", "ESXi Server"] == [
        name for name in ("test01", "172.16.220.132", "Virtual Machine", "ESXi Server") if name in listed
    ]


def test_a_key_is_there_on_another_connection_at_once(house: Served) -> None:
    """The moment Create is answered, a connection that was open before finds it, and one that opens now."""
    with house.connect(V1_1) as maker, house.connect(V1_1) as other:
        _, made = answers(maker.exchange(frames.create()))
        uid = made[0].payload.string(Tag.UNIQUE_IDENTIFIER)
        _, seen = answers(other.exchange(frames.get(uid)))
        with house.connect(V1_1) as late:
            _, seen_late = answers(late.exchange(frames.get(uid)))

    path = (Tag.SYMMETRIC_KEY, Tag.KEY_BLOCK, Tag.KEY_VALUE, Tag.KEY_MATERIAL)
    assert seen[0].payload.octets(*path) == seen_late[0].payload.octets(*path)


def test_a_whole_cluster_gets_its_keys(house: Served) -> None:
    """The pretended vCenter encrypts five machines on two hosts, reboots the hosts, and everything fits."""
    report = VCenter(house.address, house.context()).play(virtual_machines=5, hosts=2)

    assert [] == [step for step in report.steps if not step.ok]
    assert 7 == len({key.digest for key in report.keys})


def test_nothing_that_vcenter_does_is_an_error_in_the_log(house: Served) -> None:
    """Bare connections, polls and all: no error, no warning, no traceback."""
    assert house.deployment is not None
    VCenter(house.address, house.context()).play(virtual_machines=1, hosts=1)

    log = house.deployment.log.read_text().lower()

    assert [] == [line for line in log.splitlines() if "error" in line or "warning" in line or "traceback" in line]
