"""The status of an instance: one table of every legal step, and the line that tells people why it is where it is.

- ``StatusEvent``: what can happen to an instance.
- ``STATUSES``: from which status what leads where; what is not here is refused.
- ``advance(status, event) -> InstanceStatus``: the next status, or :class:`ImpossibleStep`.
- ``after(instance, event, reason) -> Instance``: the instance there, with its new reason.
"""

from collections.abc import Mapping
from dataclasses import replace
from enum import Enum
from typing import Final

from keyrack.domain.instances import Instance, InstanceStatus

_INSTALLING, _INACTIVE = InstanceStatus.INSTALLING, InstanceStatus.INACTIVE
_CONFIGURING, _INSTALLED, _REMOVING = InstanceStatus.CONFIGURING, InstanceStatus.INSTALLED, InstanceStatus.REMOVING


class StatusEvent(Enum):
    """What can happen to an instance; the value goes on behind "cannot be"."""

    ENTER = "entered"
    """It is there, and has no key manager yet."""
    CONFIGURE = "configured"
    """A root key was named for it, and is being proved."""
    READY = "put into service"
    """Its root key was proved, or its keys have all come to the new one."""
    REFUSE = "refused its root key"
    """The root key that was named for it was not proved."""
    MOVE = "moved to another root key"
    """Its keys go to another root key, and clients are served all the while."""
    DEACTIVATE = "deactivated"
    ACTIVATE = "activated"
    RESUME = "activated in the middle of a move"
    REMOVE = "removed"
    """In the safe order: nothing hangs on it any more."""
    WITHDRAW = "taken away by its key manager's tenant"
    """As a KMIP adapter, by Key Protect's rules: with its certificates, and with what is left of destroyed keys."""


STATUSES: Final[Mapping[tuple[InstanceStatus, StatusEvent], InstanceStatus]] = {
    (_INSTALLING, StatusEvent.ENTER): _INACTIVE,
    (_INSTALLING, StatusEvent.CONFIGURE): _CONFIGURING,
    (_INSTALLING, StatusEvent.READY): _INSTALLED,
    (_INSTALLING, StatusEvent.REMOVE): _REMOVING,
    (_INSTALLING, StatusEvent.WITHDRAW): _REMOVING,
    (_INACTIVE, StatusEvent.CONFIGURE): _CONFIGURING,
    (_INACTIVE, StatusEvent.ACTIVATE): _INSTALLED,
    (_INACTIVE, StatusEvent.RESUME): _CONFIGURING,
    (_INACTIVE, StatusEvent.REMOVE): _REMOVING,
    (_INACTIVE, StatusEvent.WITHDRAW): _REMOVING,
    (_CONFIGURING, StatusEvent.CONFIGURE): _CONFIGURING,
    (_CONFIGURING, StatusEvent.MOVE): _CONFIGURING,
    (_CONFIGURING, StatusEvent.READY): _INSTALLED,
    (_CONFIGURING, StatusEvent.REFUSE): _INACTIVE,
    (_CONFIGURING, StatusEvent.DEACTIVATE): _INACTIVE,
    (_CONFIGURING, StatusEvent.WITHDRAW): _REMOVING,
    (_INSTALLED, StatusEvent.MOVE): _CONFIGURING,
    (_INSTALLED, StatusEvent.DEACTIVATE): _INACTIVE,
    (_INSTALLED, StatusEvent.WITHDRAW): _REMOVING,
    (_REMOVING, StatusEvent.REMOVE): _REMOVING,
    (_REMOVING, StatusEvent.WITHDRAW): _REMOVING,
}
"""Every legal step."""


class ImpossibleStep(Exception):
    """There is no such step from the instance's status; the text names both."""

    def __init__(self, status: InstanceStatus, event: StatusEvent) -> None:
        """Name them."""
        super().__init__(f"an instance that is {status} cannot be {event.value}")
        self.status = status
        self.event = event


def advance(status: InstanceStatus, event: StatusEvent) -> InstanceStatus:
    """The status that ``event`` leads to; raises :class:`ImpossibleStep`."""
    try:
        return STATUSES[status, event]
    except KeyError:
        raise ImpossibleStep(status, event) from None


def after(instance: Instance, event: StatusEvent, reason: str = "") -> Instance:
    """The instance after ``event``, which it is where it is for ``reason``; raises :class:`ImpossibleStep`."""
    return replace(instance, status=advance(instance.status, event), reason=reason)
