"""The lifecycle of an object: one table, and what each step writes down (KMIP 1.4, 3.22).

- ``LIFECYCLE``: every step there is, ``(State, Event) -> State``.
- ``advance(state, event) -> State``: the next state, or a refusal that says what to do.
- ``after(managed, event, *, at, ...) -> ManagedObject``: the object after the step, with its dates set.
- ``recovery_of(managed) -> Event``: which event takes its destruction back.
- ``tick(managed, now) -> ManagedObject``: the object as its dates make it now; to be called whenever one is loaded.
- ``setting(attributes, changes) -> Attributes``: attributes with some single values set or, by ``None``, taken away.
- ``mermaid()``, ``markdown()``: the table as the reference shows it.
"""

from collections.abc import Mapping
from dataclasses import replace
from enum import Enum
from typing import Any, Final

from keyrack.domain.errors import IllegalOperation, KmipError, WrongState
from keyrack.domain.objects import Attributes, Indexed, ManagedObject
from keyrack.spec.enumerations import ObjectType, State
from keyrack.spec.structures import RevocationReason


class Event(Enum):
    """What moves an object from one state to the next; the value is what people call it."""

    ACTIVATE = "Activate, or the Activation Date is reached"
    DEACTIVATE = "Revoke for another reason than a compromise, or the Deactivation Date is reached"
    COMPROMISE = "Revoke for Key Compromise or CA Compromise"
    DESTROY = "Destroy"
    RESTORE = "an administrator restores"
    """Not of KMIP, nor to be had over KMIP: what an administrator does about a key deactivated by mistake."""
    RECOVER = "an administrator takes back the destruction of an object that was in use once"
    """As ``RESTORE``; only while the sealed material is still kept (see ``service.care.purging``)."""
    RECOVER_UNUSED = "an administrator takes back the destruction of an object that was never activated"
    """As ``RECOVER``: its dates tell which of the two it is, see :func:`recovery_of`."""

    @property
    def short(self) -> str:
        """A word or two: ``"Activate"``, ``"Recover unused"``."""
        return self.name.capitalize().replace("_", " ")


LIFECYCLE: Final[Mapping[tuple[State, Event], State]] = {
    (State.PRE_ACTIVE, Event.ACTIVATE): State.ACTIVE,
    (State.PRE_ACTIVE, Event.COMPROMISE): State.COMPROMISED,
    (State.PRE_ACTIVE, Event.DESTROY): State.DESTROYED,
    (State.ACTIVE, Event.DEACTIVATE): State.DEACTIVATED,
    (State.ACTIVE, Event.COMPROMISE): State.COMPROMISED,
    (State.DEACTIVATED, Event.COMPROMISE): State.COMPROMISED,
    (State.DEACTIVATED, Event.DESTROY): State.DESTROYED,
    (State.DEACTIVATED, Event.RESTORE): State.ACTIVE,
    (State.COMPROMISED, Event.DESTROY): State.DESTROYED_COMPROMISED,
    (State.DESTROYED, Event.COMPROMISE): State.DESTROYED_COMPROMISED,
    (State.DESTROYED, Event.RECOVER): State.DEACTIVATED,
    (State.DESTROYED, Event.RECOVER_UNUSED): State.PRE_ACTIVE,
    (State.DESTROYED_COMPROMISED, Event.RECOVER): State.COMPROMISED,
}
"""Every step of the lifecycle; a pair that is not here is refused."""

DESTROYED_STATES: Final = frozenset({State.DESTROYED, State.DESTROYED_COMPROMISED})
"""The object's material is gone, its attributes stay (KMIP 1.4, 4.21)."""

RECOVERIES: Final = frozenset({Event.RECOVER, Event.RECOVER_UNUSED})
"""What takes a destruction back; :func:`recovery_of` tells which of them an object needs."""

STATELESS: Final = frozenset({ObjectType.OPAQUE_OBJECT, ObjectType.TEMPLATE})
"""Not cryptographic objects: they are kept and destroyed, but have no State to show (KMIP 1.4, 3.22)."""

REFUSALS: Final[Mapping[Event, type[KmipError]]] = {
    Event.ACTIVATE: WrongState,
    Event.DEACTIVATE: IllegalOperation,
    Event.COMPROMISE: IllegalOperation,
    Event.DESTROY: WrongState,
    Event.RESTORE: WrongState,
    Event.RECOVER: WrongState,
    Event.RECOVER_UNUSED: WrongState,
}
"""How a step that is not there is refused: KMIP 1.4, 11.20 and 11.22 say Permission Denied, 11.21 knows only "an object
that is not able to be revoked", Illegal Operation."""

ADVICE: Final[Mapping[tuple[State, Event], str]] = {
    (State.ACTIVE, Event.DESTROY): "revoke it first, then destroy it",
    (State.ACTIVE, Event.ACTIVATE): "it is in use already, nothing needs to be done",
    (State.DEACTIVATED, Event.ACTIVATE): "only an administrator of the server can restore it",
    (State.PRE_ACTIVE, Event.DEACTIVATE): "activate it first, or destroy it, or revoke it as compromised",
    (State.DESTROYED, Event.DESTROY): "it has already been destroyed",
    (State.DESTROYED_COMPROMISED, Event.DESTROY): "it has already been destroyed",
}
"""What to do instead, where that helps."""


def advance(state: State, event: Event) -> State:
    """The state after ``event``.

    Raises :class:`WrongState`, or :class:`IllegalOperation` for a revocation (see :data:`REFUSALS`).
    """
    following = LIFECYCLE.get((state, event))
    if following is None:
        advice = ADVICE.get((state, event), f"{event.short} needs an object that is {_needed(event)}")
        raise REFUSALS[event](f"the object is {state.title}: {advice}")
    return following


def _needed(event: Event) -> str:
    return " or ".join(state.title for state, each in LIFECYCLE if each is event)


def setting(attributes: Attributes, changes: Mapping[str, Any]) -> Attributes:
    """Attributes with each name of ``changes`` set to one value, or taken away where the value is ``None``."""
    result = dict(attributes)
    for name, value in changes.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = (Indexed(0, value),)
    return result


def after(
    managed: ManagedObject,
    event: Event,
    *,
    at: int,
    revocation_reason: RevocationReason | None = None,
    compromise_occurrence_date: int | None = None,
) -> ManagedObject:
    """The object one version on, after ``event`` at ``at`` (seconds since 1970), with the dates that the step sets.

    ``revocation_reason`` goes with a revocation, ``compromise_occurrence_date`` with a compromise; where the client
    does not know when it happened, it may have been any time since the Initial Date (KMIP 1.4, 4.20). Raises what
    :func:`advance` raises, and :class:`IllegalOperation` for an object that has no such event (KMIP 1.4, 11.20, 11.21).
    """
    managed = tick(managed, at)
    _check_able(managed, event, at)
    written: Mapping[Event, Mapping[str, Any]] = {
        Event.ACTIVATE: {"Activation Date": at},
        Event.DEACTIVATE: {"Deactivation Date": at, "Revocation Reason": revocation_reason},
        Event.COMPROMISE: {
            "Compromise Date": at,
            "Compromise Occurrence Date": _occurrence(managed, compromise_occurrence_date),
            "Revocation Reason": revocation_reason,
        },
        Event.DESTROY: {"Destroy Date": _ended(managed, at)},
        # Left standing, the date would deactivate the object again at once.
        Event.RESTORE: {"Deactivation Date": None, "Revocation Reason": None},
        Event.RECOVER: {"Destroy Date": None},
        Event.RECOVER_UNUSED: {"Destroy Date": None},
    }
    if managed.object_type in STATELESS and event is Event.DEACTIVATE:
        # Revoke takes Opaque Objects, which have no State and no Deactivation Date: the reason is all there is.
        state, changes = managed.state, {"Revocation Reason": revocation_reason}
    else:
        state, changes = advance(managed.state, event), dict(written[event])
    if managed.object_type == ObjectType.TEMPLATE:
        changes = {}  # Destroy Date is for cryptographic and opaque objects (KMIP 1.4, 3.28)
    return managed.changed(state=state, attributes=setting(managed.attributes, {**changes, "Last Change Date": at}))


def recovery_of(managed: ManagedObject) -> Event:
    """Which event takes the destruction of this object back: what it was before, its dates tell."""
    if managed.state is State.DESTROYED_COMPROMISED:
        return Event.RECOVER
    if managed.object_type in STATELESS:
        return Event.RECOVER_UNUSED
    # An object is Active by nothing but an Activation Date that has come; and only what is not can be destroyed.
    began, destroyed = managed.value("Activation Date"), managed.value("Destroy Date")
    used = began is not None and (destroyed is None or began <= destroyed)
    return Event.RECOVER if used else Event.RECOVER_UNUSED


def _ended(managed: ManagedObject, at: int) -> int:
    """When it is destroyed; never before it came into use, though a clock was set back since, or another is behind: the
    dates tell :func:`recovery_of` in which state it was."""
    began = managed.value("Activation Date") if managed.state is State.DEACTIVATED else None
    return at if began is None else max(at, began)


def _occurrence(managed: ManagedObject, given: int | None) -> int | None:
    if given is not None:
        return given
    initial: int | None = managed.value("Initial Date")
    return initial


UNABLE: Final[Mapping[Event, frozenset[ObjectType]]] = {
    Event.ACTIVATE: STATELESS,
    Event.DEACTIVATE: frozenset({ObjectType.TEMPLATE}),
    Event.COMPROMISE: frozenset({ObjectType.TEMPLATE}),
    Event.RESTORE: STATELESS,
}
"""Which objects cannot be activated or revoked, whatever their state (KMIP 1.4, 11.20 and 11.21)."""


def _check_able(managed: ManagedObject, event: Event, at: int) -> None:
    if managed.object_type in UNABLE.get(event, ()):
        raise IllegalOperation(f"{event.short} does not go with an object of the type {managed.object_type.title}")
    over = managed.value("Deactivation Date")
    if event is Event.ACTIVATE and managed.state is State.PRE_ACTIVE and over is not None and over <= at:
        raise WrongState("the Deactivation Date has been reached: set a later one, then activate the object")
    if event in RECOVERIES and managed.state in DESTROYED_STATES and event is not recovery_of(managed):
        raise WrongState("the object's dates tell that it was destroyed in another state: recover it to that one")
    if event is Event.DEACTIVATE and managed.object_type in STATELESS and managed.state in DESTROYED_STATES:
        raise IllegalOperation("the object has been destroyed: it can be revoked as compromised only")


STEPS_OF_TIME: Final = (
    (State.PRE_ACTIVE, "Activation Date", Event.ACTIVATE),
    (State.ACTIVE, "Deactivation Date", Event.DEACTIVATE),
)
"""The steps that time takes, in the order in which both may be due."""


def tick(managed: ManagedObject, now: int) -> ManagedObject:
    """The object as its Activation Date and Deactivation Date make it at ``now``; the same object where nothing is due.

    The version stays: what follows from the dates alone is nobody's change, and the next change writes it down.
    The Last Change Date becomes the date of the step, so that every reader sees the same one (KMIP 1.4, 3.38).
    """
    if managed.object_type in STATELESS:
        return managed
    for state, name, event in STEPS_OF_TIME:
        if managed.state is not state:
            continue
        due = managed.value(name)
        if due is not None and due <= now:
            changed = max(due, managed.value("Last Change Date") or due)
            managed = replace(
                managed,
                state=advance(state, event),
                attributes=setting(managed.attributes, {"Last Change Date": changed}),
            )
    return managed


def mermaid() -> str:
    """The table as a state diagram in Mermaid's language, for the reference."""
    lines = [
        "stateDiagram-v2",
        "    [*] --> PRE_ACTIVE",
        "    [*] --> ACTIVE: created with an Activation Date that has come",
    ]
    lines += [f'    state "{state.title}" as {state.name}' for state in State]
    lines += [f"    {state.name} --> {to.name}: {event.short}" for (state, event), to in LIFECYCLE.items()]
    lines += [f"    {state.name} --> [*]: purged" for state in sorted(DESTROYED_STATES)]
    return "\n".join(lines) + "\n"


def markdown() -> str:
    """The table in Markdown: a row for each state, a column for each event, an empty cell for what is refused."""
    lines = ["| State | " + " | ".join(event.short for event in Event) + " |", "|---" * (len(Event) + 1) + "|"]
    for state in State:
        following = (LIFECYCLE.get((state, event)) for event in Event)
        lines.append(f"| {state.title} | " + " | ".join(to.title if to else "" for to in following) + " |")
    lines += ["", *(f"- **{event.short}**: {event.value}." for event in Event)]
    return "\n".join(lines) + "\n"
