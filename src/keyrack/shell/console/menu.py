"""What stands in the menu, in this order, and who sees it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from keyrack.domain.rights import Right
from keyrack.shell.console.words import mark


@dataclass(frozen=True, slots=True)
class Place:
    """One line of the menu."""

    path: str
    title: str
    right: Right
    """Who has it nowhere does not see the line."""
    icon: str
    """A symbol of ``static/icons.svg``."""


MENU: Final[Sequence[Place]] = (
    Place("/", mark("Overview"), Right.INSTANCE_READ, "overview"),
    Place("/instances", mark("Instances"), Right.INSTANCE_READ, "instances"),
    Place("/root-keys", mark("Root keys"), Right.KEY_MANAGER_READ, "root-keys"),
    Place("/activity", mark("Activity"), Right.JOURNAL_READ, "activity"),
    Place("/approvals", mark("Approvals"), Right.APPROVAL_READ, "approvals"),
    Place("/connect", mark("Connect a vCenter"), Right.INSTANCE_READ, "connect"),
    Place("/people", mark("People"), Right.PERSON_READ, "people"),
    Place("/server", mark("Server"), Right.SERVER_READ, "server"),
)
