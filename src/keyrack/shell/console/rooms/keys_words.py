"""What the pages of keys call states, acts and initiators: tables, in English, translated where they are shown."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from keyrack.domain.cadf import CERTIFICATE
from keyrack.domain.lifecycle import DESTROYED_STATES, LIFECYCLE, RECOVERIES, Event
from keyrack.domain.objects import ManagedObject
from keyrack.domain.rights import Right
from keyrack.service.office.key_steps import is_purged
from keyrack.shell.console.showing import tells
from keyrack.shell.console.words import mark
from keyrack.spec.enumerations import State


@dataclass(frozen=True, slots=True)
class StateWords:
    """A state as people read it."""

    title: str
    """As KMIP prints it."""
    meaning: str
    kind: str
    """``good``, ``warn``, ``bad`` or nothing."""


STATES: Final[Mapping[State, StateWords]] = {
    State.PRE_ACTIVE: StateWords(
        mark("Pre-Active"), mark("Made, and not activated yet: nothing is encrypted with it."), ""
    ),
    State.ACTIVE: StateWords(mark("Active"), mark("In use: the clients of this instance are given it."), "good"),
    State.DEACTIVATED: StateWords(
        mark("Deactivated"),
        mark("Taken out of use: vCenter and hosts do not use it any more. It can be restored to active."),
        "warn",
    ),
    State.COMPROMISED: StateWords(
        mark("Compromised"),
        mark("Marked as known to strangers, for ever: what it encrypts should be encrypted with another key."),
        "bad",
    ),
    State.DESTROYED: StateWords(mark("Destroyed"), mark("No client is given it any more."), "bad"),
    State.DESTROYED_COMPROMISED: StateWords(
        mark("Destroyed Compromised"), mark("Marked as compromised, then destroyed: no client is given it."), "bad"
    ),
}
TITLES: Final[Mapping[str, State]] = {state.title: state for state in STATES}


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Something that is done with keys, and what its page says."""

    name: str
    """In addresses; what REST calls it."""
    title: str
    """What the button that leads there says."""
    right: Right
    possible: Callable[[ManagedObject], bool]
    """Whether an object is where it can be done, as far as its state goes."""
    happens: Sequence[str]
    """What it does, a sentence each."""
    done: str
    """Told afterwards."""
    stops: bool = False
    """Whether machines may stop: it is confirmed with words."""
    waits: bool = False
    """Whether a second person may have to agree."""
    for_good: bool = False


def _from(*events: Event) -> Callable[[ManagedObject], bool]:
    states = {state for state, event in LIFECYCLE if event in events}
    return lambda managed: managed.state in states


def _has_material(managed: ManagedObject) -> bool:
    return managed.state in DESTROYED_STATES and not is_purged(managed)


ACTS: Final[Mapping[str, Act]] = {
    act.name: act
    for act in (
        Act(
            name="activate",
            title=mark("Activate"),
            right=Right.KEY_ACTIVATE,
            possible=_from(Event.ACTIVATE),
            happens=(mark("From now on clients may encrypt with it."),),
            done=mark("Activated."),
        ),
        Act(
            name="restore",
            title=mark("Restore to active"),
            right=Right.KEY_RESTORE,
            possible=_from(Event.RESTORE),
            happens=(
                mark("It is Active again at once, and machines that did not start for lack of it start again."),
                mark("This is the remedy for a key that was deactivated by mistake."),
            ),
            done=mark("Restored to active."),
        ),
        Act(
            name="recover",
            title=mark("Undo the destruction"),
            right=Right.KEY_RESTORE,
            possible=lambda managed: _has_material(managed) and _from(*RECOVERIES)(managed),
            happens=(
                mark("It comes back in the state in which it was destroyed, and is given to clients again."),
                mark("A key that was deactivated before can then be restored to active."),
            ),
            done=mark("The destruction was undone."),
        ),
        Act(
            name="deactivate",
            title=mark("Deactivate"),
            right=Right.KEY_DEACTIVATE,
            possible=_from(Event.DEACTIVATE),
            happens=(
                mark("vCenter and hosts do not use a deactivated key: machines that restart may not start."),
                mark("It can be taken back: restore the key to active."),
            ),
            done=mark("Deactivated. It can be restored to active."),
            stops=True,
        ),
        Act(
            name="compromise",
            title=mark("Mark as compromised"),
            right=Right.KEY_DEACTIVATE,
            possible=_from(Event.COMPROMISE),
            happens=(
                mark("vCenter and hosts do not use a compromised key: machines that restart may not start."),
                mark("Nothing takes it back."),
            ),
            done=mark("Marked as compromised."),
            stops=True,
            for_good=True,
        ),
        Act(
            name="destroy",
            title=mark("Destroy"),
            right=Right.KEY_DESTROY,
            possible=_from(Event.DESTROY),
            happens=(mark("No client is given it any more, from this moment on: no machine that needs it starts."),),
            done=mark("Destroyed: no client is given it any more. The destruction can be undone until it is purged."),
            stops=True,
            waits=True,
        ),
        Act(
            name="purge",
            title=mark("Purge"),
            right=Right.KEY_PURGE,
            possible=_has_material,
            happens=(
                mark("Its material is deleted now, and not only when the time for undoing it is over."),
                mark("Whatever it has encrypted is lost for ever, backups of machines too. Nothing brings it back."),
            ),
            done=mark("Purged, for good."),
            stops=True,
            waits=True,
            for_good=True,
        ),
    )
}
tells({f"key-{act.name}": act.done for act in ACTS.values()})

HAPPENED: Final[Mapping[str, str]] = {
    "key.activate": mark("Activated here"),
    "key.reactivate": mark("Restored to active"),
    "key.deactivate": mark("Deactivated here"),
    "key.compromise": mark("Marked as compromised"),
    "key.destroy": mark("Destroyed here"),
    "key.recover": mark("Destruction undone"),
    "key.purge": mark("Purged"),
}
"""Acts of administrators in a key's time line; operations of clients have KMIP's own names."""


@dataclass(frozen=True, slots=True)
class Who:
    """Whoever did something, as a page names them."""

    name: str
    fingerprint: str = ""
    """Of a client's certificate."""


def who(initiator: str, names: Mapping[str, str]) -> Who:
    """From what the journal says; ``names`` are those of client certificates, by fingerprint."""
    if initiator.startswith(CERTIFICATE):
        fingerprint = initiator.removeprefix(CERTIFICATE)
        return Who(names.get(fingerprint, ""), fingerprint)
    return Who(initiator.removeprefix("person-"))


def possible(managed: ManagedObject) -> Sequence[Act]:
    """What can be done with an object as it is."""
    return [act for act in ACTS.values() if act.possible(managed)]
