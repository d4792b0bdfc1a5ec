"""What each fault between Keyrack and IBM's key managers comes to, call by call of the port: a table.

``docs/key-manager-outcomes.md`` is written from it, and a test makes every cell happen, with the real adapters and
``keyrack.testing.fault_proxy`` between them and a real key manager.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from keyrack.ports.key_manager import Reason
from keyrack.testing.fault_proxy_rules import Rule

EACH: Final = ""
"""In the place of a kind of key manager: each."""


class Result(StrEnum):
    """How a call ends."""

    WORKS = "works"
    REFUSED = "refused"
    UNAVAILABLE = "unavailable"


class Wait(StrEnum):
    """How long a call that does not work goes on."""

    NONE = ""
    """It ends as soon as it is answered, with the short pauses between repetitions."""
    CONNECT = "after `connect_seconds`"
    """At the earliest; what is repeated goes on, at most to its deadline."""
    DEADLINE = "at its deadline"


class Where(StrEnum):
    """Before whom it happens."""

    KEY_MANAGER = "key manager"
    IAM = "IAM"
    BOTH = "both"


class Kind(StrEnum):
    """Calls that fare alike."""

    READING = "reading"
    """Harmless: it may be made twice."""
    DELETING = "deleting"
    """Harmless as well: that a standard key is gone already is no error."""
    CHANGING = "changing"
    """Never repeated by itself: nobody knows whether it was done."""


METHODS: Final[Mapping[str, Kind]] = {
    "describe_root_key": Kind.READING,
    "wrap": Kind.READING,
    "unwrap": Kind.READING,
    "rewrap": Kind.READING,
    "probe": Kind.READING,
    "binds": Kind.READING,
    "get_standard_key": Kind.READING,
    "list_standard_keys": Kind.READING,
    "find_standard_keys": Kind.READING,
    "list_root_keys": Kind.READING,
    "delete_standard_key": Kind.DELETING,
    "put_standard_key": Kind.CHANGING,
    "create_root_key": Kind.CHANGING,
    "import_root_key": Kind.CHANGING,
    "rotate_root_key": Kind.CHANGING,
    "disable_root_key": Kind.CHANGING,
    "enable_root_key": Kind.CHANGING,
    "delete_root_key": Kind.CHANGING,
}
"""Every call of the port and of its optional powers that goes to the key manager."""
HPCS_ALONE: Final = frozenset({"binds"})
CREATING: Final = frozenset({"put_standard_key", "create_root_key", "import_root_key"})
"""Calls that keep something new."""
LONG: Final = frozenset({"list_standard_keys", "find_standard_keys", "list_root_keys"})
"""Reading calls that have as much time as one that changes something."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One cell."""

    result: Result
    reason: Reason | None = None
    asked: int | None = None
    """How many requests met the fault; ``None``: it depends on the call."""
    wait: Wait = Wait.NONE

    def __str__(self) -> str:
        told = f"{self.result}, {self.reason}" if self.reason else str(self.result)
        often = {None: "", 0: ", not asked"}.get(self.asked, f", asked {self.asked} ×")
        return told + often + (f", {self.wait}" if self.wait else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One fault, and what it comes to."""

    name: str
    told: str
    """What happens between the two."""
    rules: tuple[Rule, ...]
    usual: Mapping[Kind, Outcome]
    besides: Mapping[tuple[str, str], Outcome] = field(default_factory=dict)
    """Cells that differ, by kind of key manager and method."""
    where: Where = Where.KEY_MANAGER
    cold: bool = False
    """Whether the client has no token and no connection yet; else it has both."""
    before: tuple[str, ...] = ()
    """Calls that were made under the fault before, however they ended."""
    patient: bool = False
    """Whether the call needs some seconds for what it does."""

    def outcome(self, key_manager: str, method: str) -> Outcome:
        """The cell of a kind of key manager and a method."""
        for key in ((key_manager, method), (EACH, method)):
            if key in self.besides:
                return self.besides[key]
        return self.usual[METHODS[method]]


def works(asked: int | None = None) -> Outcome:
    """The call does what it should."""
    return Outcome(Result.WORKS, None, asked)


def refused(reason: Reason, asked: int = 1) -> Outcome:
    """The key manager, or IAM, has spoken."""
    return Outcome(Result.REFUSED, reason, asked)


def unavailable(reason: Reason, asked: int | None = 1, wait: Wait = Wait.NONE) -> Outcome:
    """Nobody has spoken."""
    return Outcome(Result.UNAVAILABLE, reason, asked, wait)


def silence(asked: int | None = 1) -> Mapping[Kind, Outcome]:
    """Nobody says anything until the call's time is over."""
    return alike(unavailable(Reason.UNREACHABLE, asked, Wait.DEADLINE))


def alike(outcome: Outcome) -> Mapping[Kind, Outcome]:
    """The same for every call."""
    return dict.fromkeys(Kind, outcome)


def repeated(reason: Reason) -> Mapping[Kind, Outcome]:
    """A fault that lasts: what is harmless is tried anew, what changes something is not."""
    again = unavailable(reason, 3)
    return {Kind.READING: again, Kind.DELETING: again, Kind.CHANGING: unavailable(reason)}


def mended(reason: Reason) -> Mapping[Kind, Outcome]:
    """A fault that strikes once: what is harmless works, what changes something is not repeated."""
    return {Kind.READING: works(1), Kind.DELETING: works(1), Kind.CHANGING: unavailable(reason)}


def for_methods(methods: frozenset[str] | tuple[str, ...], outcome: Outcome) -> Mapping[tuple[str, str], Outcome]:
    """Cells of some methods that differ, whatever the key manager."""
    return {(EACH, method): outcome for method in methods}
