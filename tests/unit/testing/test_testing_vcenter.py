"""The pretended vCenter says what the captured one said."""

from pathlib import Path

import pytest

from keyrack.testing import vcenter, vcenter_frames
from keyrack.testing.transcripts import Exchange, read, substituted
from keyrack.testing.ttlv import parse

VECTORS = Path(__file__).parents[3] / "vectors" / "vcenter-7.0.3-requests.json"
CAPTURED = [exchange for capture in read(VECTORS) for exchange in capture.exchanges]

HOST = (
    ("x-Identifier", "8c164d56-7f1c-5960-63e6-4451c6181844"),
    ("x-Component", "ESXi Server"),
    ("x-Name", "172.16.220.132"),
)
MACHINE = (
    ("x-Identifier", "4226f566-3ed5-1c8f-cda3-b0b037b6dc97"),
    ("x-Component", "Virtual Machine"),
    ("x-Name", "test01"),
)
NAMES = [name for name, _ in (*vcenter.PRODUCT, *HOST)]


def made() -> set[bytes]:
    frames = {
        vcenter_frames.discover(),
        vcenter_frames.discover(vcenter_frames.batch_id(1)),
        vcenter_frames.query_server(),
        vcenter_frames.create(),
    }
    for uid in ("1", "2"):
        frames |= {vcenter_frames.get(uid), vcenter_frames.activate(uid)}
        frames |= {vcenter_frames.get_attribute(uid, name) for name in (*NAMES, "State")}
        frames |= {vcenter_frames.add_attributes(uid, each) for each in (vcenter.PRODUCT, HOST, MACHINE)}
    return frames


def test_every_captured_frame_is_one_that_the_pretended_vcenter_makes() -> None:
    """Byte for byte, with the captured keys' identifiers and names."""
    strangers = {exchange.request for exchange in CAPTURED} - made()

    assert set() == strangers


@pytest.mark.parametrize("exchange", CAPTURED, ids=lambda exchange: f"{exchange.connection}@{exchange.at}")
def test_a_captured_frame_survives_reading_and_writing(exchange: Exchange) -> None:
    """The independent TTLV of the tests gives back the very bytes."""
    again = parse(exchange.request).encode()

    assert exchange.request == again


def test_identifiers_are_substituted_and_nothing_else_is() -> None:
    """A longer identifier changes the lengths around it and leaves the rest alone."""
    frame = vcenter_frames.add_attributes("1", MACHINE)

    changed = substituted(parse(frame), {"1": "a-longer-identifier"}).encode()

    assert vcenter_frames.add_attributes("a-longer-identifier", MACHINE) == changed
