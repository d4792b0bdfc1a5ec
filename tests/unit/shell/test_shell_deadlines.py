"""Deadlines: rung in order, once, and not when they were disarmed."""

import asyncio

from keyrack.shell.kmip.deadlines import Deadlines


class Guest:
    """Notes when it expired."""

    def __init__(self, rung: list["Guest"]) -> None:
        self._rung = rung

    def expired(self) -> None:
        self._rung.append(self)


async def test_deadlines_ring_in_order_of_time_whatever_their_duration() -> None:
    """Short ones that were armed later ring first."""
    rung: list[Guest] = []
    deadlines = Deadlines(asyncio.get_running_loop())
    long, short, shorter = Guest(rung), Guest(rung), Guest(rung)
    for guest, seconds in ((long, 0.5), (short, 0.25), (shorter, 0.02)):
        deadlines.arm(guest, seconds)

    await asyncio.sleep(0.8)

    assert [shorter, short, long] == rung
    assert 0 == len(deadlines)


async def test_a_disarmed_deadline_does_not_ring() -> None:
    """Disarming twice does no harm."""
    rung: list[Guest] = []
    deadlines = Deadlines(asyncio.get_running_loop())
    kept, spared = Guest(rung), Guest(rung)
    deadlines.arm(spared, 0.02)
    deadlines.arm(kept, 0.02)
    deadlines.disarm(spared)
    deadlines.disarm(spared)

    await asyncio.sleep(0.15)

    assert [kept] == rung


async def test_arming_again_takes_the_place_of_the_first() -> None:
    """Once, at the later time."""
    rung: list[Guest] = []
    deadlines = Deadlines(asyncio.get_running_loop())
    guest = Guest(rung)
    deadlines.arm(guest, 0.02)
    deadlines.arm(guest, 0.2)

    await asyncio.sleep(0.12)
    before = list(rung)
    await asyncio.sleep(0.2)

    assert ([], [guest]) == (before, rung)


async def test_a_guest_may_arm_itself_anew_when_it_expires() -> None:
    """A refused client that lingers gets a new, shorter time."""
    rung: list[Guest] = []
    deadlines = Deadlines(asyncio.get_running_loop())

    class Again(Guest):
        def expired(self) -> None:
            super().expired()
            if len(rung) < 3:
                deadlines.arm(self, 0.01)

    guest = Again(rung)
    deadlines.arm(guest, 0.01)

    await asyncio.sleep(0.4)

    assert [guest] * 3 == rung


async def test_closed_deadlines_ring_no_more() -> None:
    """All is forgotten."""
    rung: list[Guest] = []
    deadlines = Deadlines(asyncio.get_running_loop())
    deadlines.arm(Guest(rung), 0.01)
    deadlines.close()

    await asyncio.sleep(0.12)

    assert ([], 0) == (rung, len(deadlines))
