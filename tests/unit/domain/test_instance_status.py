"""The status of an instance: one table, of which every pair is tried."""

from dataclasses import replace
from itertools import product

import pytest

from keyrack.domain.instance_status import STATUSES, ImpossibleStep, StatusEvent, advance, after
from keyrack.domain.instances import Home, InstanceStatus
from keyrack.testing.catalog_values import instance

INSTALLING, INACTIVE = InstanceStatus.INSTALLING, InstanceStatus.INACTIVE
CONFIGURING, INSTALLED, REMOVING = InstanceStatus.CONFIGURING, InstanceStatus.INSTALLED, InstanceStatus.REMOVING
EXPECTED = {
    StatusEvent.ENTER: {INSTALLING: INACTIVE},
    StatusEvent.CONFIGURE: {INSTALLING: CONFIGURING, INACTIVE: CONFIGURING, CONFIGURING: CONFIGURING},
    StatusEvent.READY: {INSTALLING: INSTALLED, CONFIGURING: INSTALLED},
    StatusEvent.REFUSE: {CONFIGURING: INACTIVE},
    StatusEvent.MOVE: {INSTALLED: CONFIGURING, CONFIGURING: CONFIGURING},
    StatusEvent.DEACTIVATE: {INSTALLED: INACTIVE, CONFIGURING: INACTIVE},
    StatusEvent.ACTIVATE: {INACTIVE: INSTALLED},
    StatusEvent.RESUME: {INACTIVE: CONFIGURING},
    StatusEvent.REMOVE: {INSTALLING: REMOVING, INACTIVE: REMOVING, REMOVING: REMOVING},
    StatusEvent.WITHDRAW: dict.fromkeys(InstanceStatus, REMOVING),
}


@pytest.mark.parametrize(("status", "event"), list(product(InstanceStatus, StatusEvent)), ids=str)
def test_every_pair_leads_where_it_should_or_nowhere(status: InstanceStatus, event: StatusEvent) -> None:
    """What is not a step is refused, and named."""
    expected = EXPECTED[event].get(status)

    if expected is None:
        with pytest.raises(ImpossibleStep, match=f"is {status} cannot be {event.value}"):
            advance(status, event)
    else:
        assert advance(status, event) is expected


def test_the_table_has_no_other_rows() -> None:
    """Nothing is legal by accident."""
    assert {(status, event): to for event, steps in EXPECTED.items() for status, to in steps.items()} == dict(STATUSES)


def test_an_instance_that_is_being_removed_stays_so() -> None:
    """There is no way back from Removing, and only two to Installed: by a proof, or by an administrator."""
    assert {to for (status, _), to in STATUSES.items() if status is REMOVING} == {REMOVING}
    assert {event for (_, event), to in STATUSES.items() if to is INSTALLED} == {
        StatusEvent.READY,
        StatusEvent.ACTIVATE,
    }


def test_only_installed_and_moving_instances_serve() -> None:
    """Configuring means either."""
    former = Home("embedded", "former")
    still = {status for status in InstanceStatus if instance(status=status).serves}
    moving = {status for status in InstanceStatus if replace(instance(status=status), former=former).serves}
    moved = after(instance(), StatusEvent.MOVE, "its keys move")

    assert (still, moving) == ({INSTALLED}, {INSTALLED, CONFIGURING})
    assert (moved.status, moved.reason) == (CONFIGURING, "its keys move")
