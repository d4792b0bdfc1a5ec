"""The lifecycle, walked for every pair of state and event (KMIP 1.4, 3.22, 4.19 to 4.21, 11.20 to 11.22)."""

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyrack.domain import lifecycle
from keyrack.domain.errors import IllegalOperation, KmipError, PermissionDenied, WrongState
from keyrack.domain.lifecycle import Event, advance, after, tick
from keyrack.domain.objects import ManagedObject
from keyrack.spec.enumerations import ObjectType, ResultReason, RevocationReasonCode, State
from keyrack.spec.structures import RevocationReason

Made = Callable[..., ManagedObject]

PRE, ACT, DEA, COM, DES, DCO = State
DENIED, ILLEGAL = ResultReason.PERMISSION_DENIED, ResultReason.ILLEGAL_OPERATION

EXPECTED: dict[State, dict[Event, State | ResultReason]] = {
    PRE: {
        Event.ACTIVATE: ACT,
        Event.DEACTIVATE: ILLEGAL,
        Event.COMPROMISE: COM,
        Event.DESTROY: DES,
        Event.RESTORE: DENIED,
        Event.RECOVER: DENIED,
        Event.RECOVER_UNUSED: DENIED,
    },
    ACT: {
        Event.ACTIVATE: DENIED,
        Event.DEACTIVATE: DEA,
        Event.COMPROMISE: COM,
        Event.DESTROY: DENIED,
        Event.RESTORE: DENIED,
        Event.RECOVER: DENIED,
        Event.RECOVER_UNUSED: DENIED,
    },
    DEA: {
        Event.ACTIVATE: DENIED,
        Event.DEACTIVATE: ILLEGAL,
        Event.COMPROMISE: COM,
        Event.DESTROY: DES,
        Event.RESTORE: ACT,
        Event.RECOVER: DENIED,
        Event.RECOVER_UNUSED: DENIED,
    },
    COM: {
        Event.ACTIVATE: DENIED,
        Event.DEACTIVATE: ILLEGAL,
        Event.COMPROMISE: ILLEGAL,
        Event.DESTROY: DCO,
        Event.RESTORE: DENIED,
        Event.RECOVER: DENIED,
        Event.RECOVER_UNUSED: DENIED,
    },
    DES: {
        Event.ACTIVATE: DENIED,
        Event.DEACTIVATE: ILLEGAL,
        Event.COMPROMISE: DCO,
        Event.DESTROY: DENIED,
        Event.RESTORE: DENIED,
        Event.RECOVER: DEA,
        Event.RECOVER_UNUSED: PRE,
    },
    DCO: {
        Event.ACTIVATE: DENIED,
        Event.DEACTIVATE: ILLEGAL,
        Event.COMPROMISE: ILLEGAL,
        Event.DESTROY: DENIED,
        Event.RESTORE: DENIED,
        Event.RECOVER: COM,
        Event.RECOVER_UNUSED: DENIED,
    },
}
"""What each event does in each state: the next state, or the Result Reason of the refusal."""

PAIRS = [(state, event) for state in State for event in Event]
REASON = RevocationReason(
    revocation_reason_code=RevocationReasonCode.KEY_COMPROMISE, revocation_message="seen on a list"
)


def outcome(state: State, event: Event) -> State | ResultReason:
    try:
        return advance(state, event)
    except KmipError as refusal:
        return refusal.reason


@pytest.mark.parametrize(("state", "event"), PAIRS)
def test_every_pair_of_state_and_event_has_the_outcome_of_the_standard(state: State, event: Event) -> None:
    """A step leads where KMIP 1.4, 3.22 says; a step that is not there is refused as 11.20 to 11.22 say."""
    assert EXPECTED[state][event] == outcome(state, event)


def test_destroying_an_active_object_says_what_to_do_first() -> None:
    """A refusal tells the client's administrator the way (KMIP 1.4, 11.22)."""
    with pytest.raises(WrongState, match="the object is Active: revoke it first, then destroy it"):
        advance(State.ACTIVE, Event.DESTROY)


def test_a_refusal_names_the_states_that_the_event_needs() -> None:
    """Where there is no better advice, the refusal lists the states that would do."""
    with pytest.raises(WrongState, match="Restore needs an object that is Deactivated"):
        advance(State.ACTIVE, Event.RESTORE)


def test_activation_sets_the_activation_date(made: Made) -> None:
    """Activate makes the object Active from now on (KMIP 1.4, 4.19)."""
    active = after(made({"Activation Date": 9_000}), Event.ACTIVATE, at=2_000)

    assert (State.ACTIVE, 2_000, 2_000, 2) == (
        active.state,
        active.value("Activation Date"),
        active.value("Last Change Date"),
        active.version,
    )


def test_deactivation_sets_date_and_reason(made: Made) -> None:
    """Revoke for another reason deactivates the object now (KMIP 1.4, 4.20)."""
    reason = RevocationReason(revocation_reason_code=RevocationReasonCode.SUPERSEDED)

    over = after(made(state=State.ACTIVE), Event.DEACTIVATE, at=2_000, revocation_reason=reason)

    assert (State.DEACTIVATED, 2_000, reason) == (
        over.state,
        over.value("Deactivation Date"),
        over.value("Revocation Reason"),
    )


def test_a_compromise_sets_both_its_dates_and_the_reason(made: Made) -> None:
    """The Compromise Date is now, the Compromise Occurrence Date what the client says (KMIP 1.4, 4.20)."""
    spoilt = after(
        made(state=State.ACTIVE), Event.COMPROMISE, at=2_000, revocation_reason=REASON, compromise_occurrence_date=6
    )

    assert (State.COMPROMISED, 2_000, 6, REASON) == (
        spoilt.state,
        spoilt.value("Compromise Date"),
        spoilt.value("Compromise Occurrence Date"),
        spoilt.value("Revocation Reason"),
    )


def test_a_compromise_of_unknown_time_may_be_as_old_as_the_object(made: Made) -> None:
    """Without a Compromise Occurrence Date, the Initial Date stands in (KMIP 1.4, 4.20)."""
    spoilt = after(made(), Event.COMPROMISE, at=2_000, revocation_reason=REASON)

    assert 1_000 == spoilt.value("Compromise Occurrence Date")


def test_destruction_keeps_the_attributes(made: Made) -> None:
    """A destroyed object keeps its attributes and gains a Destroy Date (KMIP 1.4, 3.28 and 4.21)."""
    key = made()

    gone = after(key, Event.DESTROY, at=2_000)

    assert set(key.attributes) | {"Destroy Date"} == set(gone.attributes)
    assert (State.DESTROYED, 2_000) == (gone.state, gone.value("Destroy Date"))


def test_a_restored_object_is_not_deactivated_again_by_its_old_date(made: Made) -> None:
    """What the administrator restores stays Active."""
    over = after(made(state=State.ACTIVE), Event.DEACTIVATE, at=2_000, revocation_reason=REASON)

    restored = tick(after(over, Event.RESTORE, at=3_000), 4_000)

    assert State.ACTIVE == restored.state
    assert not {"Deactivation Date", "Revocation Reason"} & set(restored.attributes)


@pytest.mark.parametrize("event", [Event.ACTIVATE, Event.DEACTIVATE, Event.COMPROMISE])
def test_a_template_is_neither_activated_nor_revoked(made: Made, event: Event) -> None:
    """Templates have no lifecycle of keys: Illegal Operation (KMIP 1.4, 11.20 and 11.21)."""
    with pytest.raises(IllegalOperation):
        after(made(object_type=ObjectType.TEMPLATE), event, at=2_000)


def test_an_opaque_object_is_not_activated(made: Made) -> None:
    """Opaque Objects have no State (KMIP 1.4, 3.22): Illegal Operation (11.20)."""
    with pytest.raises(IllegalOperation):
        after(made(object_type=ObjectType.OPAQUE_OBJECT), Event.ACTIVATE, at=2_000)


def test_revoking_an_opaque_object_notes_the_reason(made: Made) -> None:
    """Revoke takes Opaque Objects (KMIP 1.4, 4.20), which can still be destroyed without more."""
    opaque = made(object_type=ObjectType.OPAQUE_OBJECT)

    revoked = after(opaque, Event.DEACTIVATE, at=2_000, revocation_reason=REASON)

    assert (REASON, None) == (revoked.value("Revocation Reason"), revoked.value("Deactivation Date"))
    assert State.DESTROYED == after(revoked, Event.DESTROY, at=3_000).state


def test_a_destroyed_opaque_object_is_revoked_as_compromised_only(made: Made) -> None:
    """No other reason makes sense once it is gone (KMIP 1.4, 11.21)."""
    gone = made(object_type=ObjectType.OPAQUE_OBJECT, state=State.DESTROYED)

    with pytest.raises(IllegalOperation):
        after(gone, Event.DEACTIVATE, at=2_000, revocation_reason=REASON)


def test_a_destroyed_template_has_no_destroy_date(made: Made) -> None:
    """Destroy Date is for cryptographic and opaque objects (KMIP 1.4, 3.28)."""
    gone = after(made(object_type=ObjectType.TEMPLATE), Event.DESTROY, at=2_000)

    assert (State.DESTROYED, None) == (gone.state, gone.value("Destroy Date"))


@pytest.mark.parametrize(
    ("dates", "now", "expected"),
    [
        ({}, 5_000, State.PRE_ACTIVE),
        ({"Activation Date": 5_001}, 5_000, State.PRE_ACTIVE),
        ({"Activation Date": 5_000}, 5_000, State.ACTIVE),
        ({"Activation Date": 2_000, "Deactivation Date": 5_001}, 5_000, State.ACTIVE),
        ({"Activation Date": 2_000, "Deactivation Date": 5_000}, 5_000, State.DEACTIVATED),
        ({"Deactivation Date": 2_000}, 5_000, State.PRE_ACTIVE),
    ],
)
def test_the_dates_say_the_state(made: Made, dates: dict[str, int], now: int, expected: State) -> None:
    """Activation and deactivation happen when their dates come, not when someone looks (KMIP 1.4, 3.22)."""
    assert expected == tick(made(dates), now).state


def test_time_alone_is_no_new_version(made: Made) -> None:
    """What follows from the dates is the same for every reader; the change date is the date itself (KMIP 1.4, 3.38)."""
    active = tick(made({"Activation Date": 3_000}), 9_000)

    assert (1, 3_000) == (active.version, active.value("Last Change Date"))


def test_time_leaves_an_object_alone_that_has_nothing_due(made: Made) -> None:
    """The very same object comes back: most loads change nothing."""
    key = made()

    assert key is tick(key, 9_000)


def test_an_activation_date_that_has_come_makes_activate_too_late(made: Made) -> None:
    """The state that time has brought counts: Activate needs Pre-Active (KMIP 1.4, 11.20)."""
    with pytest.raises(PermissionDenied):
        after(made({"Activation Date": 1_500}), Event.ACTIVATE, at=2_000)


def test_an_object_whose_time_is_over_is_not_activated(made: Made) -> None:
    """It would be deactivated at once; a later Deactivation Date can still be set (KMIP 1.4, 3.27)."""
    with pytest.raises(WrongState, match="the Deactivation Date has been reached"):
        after(made({"Deactivation Date": 2_000}), Event.ACTIVATE, at=2_000)


def test_the_dates_of_a_template_are_for_others(made: Made) -> None:
    """A template hands its Activation Date on and has no State itself (KMIP 1.4, 3.22 and 3.24)."""
    template = made({"Activation Date": 1}, object_type=ObjectType.TEMPLATE)

    assert template is tick(template, 5_000)


def test_the_picture_shows_every_step() -> None:
    """The reference's diagram has an arrow for each row of the table and no other."""
    arrows = {line.strip() for line in lifecycle.mermaid().splitlines() if "-->" in line and "[*]" not in line}

    assert {f"{a.name} --> {b.name}: {e.short}" for (a, e), b in lifecycle.LIFECYCLE.items()} == arrows


def test_the_table_in_markdown_has_a_row_for_each_state() -> None:
    """The reference's table is the table."""
    rows = [line for line in lifecycle.markdown().splitlines() if line.startswith("| ")]

    assert "| Active |  | Deactivated | Compromised |  |  |  |  |" in rows
    assert len(State) + 1 == len(rows)


@given(events=st.lists(st.tuples(st.sampled_from(Event), st.integers(0, 50)), max_size=30))
def test_a_history_only_goes_forward(made: Made, events: list[tuple[Event, int]]) -> None:
    """Versions grow by one with each step, only recovering leads out of destroyed, a compromise is never forgotten."""
    key, now = made(), 1_000
    for event, later in events:
        now += later
        try:
            following = after(key, event, at=now, revocation_reason=REASON)
        except KmipError:
            assert EXPECTED[key.state][event] in (DENIED, ILLEGAL) or event is not lifecycle.recovery_of(key)
            continue
        assert EXPECTED[key.state][event] == following.state
        assert key.version + 1 == following.version
        if key.state in lifecycle.DESTROYED_STATES and event not in lifecycle.RECOVERIES:
            assert following.state == State.DESTROYED_COMPROMISED
        if key.state is State.COMPROMISED:
            assert following.state == State.DESTROYED_COMPROMISED
        assert now == following.value("Last Change Date")
        key = following


@given(
    events=st.lists(st.tuples(st.sampled_from(Event), st.integers(0, 50)), max_size=12),
    dates=st.dictionaries(st.sampled_from(["Activation Date", "Deactivation Date"]), st.integers(990, 1_300)),
    object_type=st.sampled_from([ObjectType.SYMMETRIC_KEY, ObjectType.OPAQUE_OBJECT, ObjectType.TEMPLATE]),
)
def test_recovering_undoes_a_destruction_and_nothing_else(
    made: Made, events: list[tuple[Event, int]], dates: dict[str, int], object_type: ObjectType
) -> None:
    """Whatever its history, what is destroyed and recovered is in the state that it would be in without either."""
    key, now = tick(made(dates, object_type=object_type), 1_000), 1_000
    for event, later in events:
        now += later
        with contextlib.suppress(KmipError):
            key = after(key, event, at=now, revocation_reason=REASON)
    if key.state in lifecycle.DESTROYED_STATES:
        return
    try:
        gone = after(key, Event.DESTROY, at=now + 10)
    except KmipError:
        return

    back = tick(after(gone, lifecycle.recovery_of(gone), at=now + 400), now + 400)

    assert tick(key, now + 400).state == back.state
    assert back.value("Destroy Date") is None
    for name in ("Activation Date", "Deactivation Date", "Compromise Date", "Revocation Reason"):
        assert key.value(name) == back.value(name)


def test_a_clock_that_was_set_back_makes_no_used_key_an_unused_one(made: Made) -> None:
    """Activated by a node whose clock is ahead, destroyed by one whose clock is right: it was in use all the same."""
    used = after(after(made({}), Event.ACTIVATE, at=1_000), Event.DEACTIVATE, at=940, revocation_reason=REASON)
    gone = after(used, Event.DESTROY, at=950)

    assert 1_000 == gone.value("Destroy Date")
    assert State.DEACTIVATED == after(gone, lifecycle.recovery_of(gone), at=960).state


def test_a_key_found_compromised_once_destroyed_comes_back_as_compromised(made: Made) -> None:
    """Recovering never makes a compromise undone."""
    gone = after(made(), Event.DESTROY, at=2_000)
    spoilt = after(gone, Event.COMPROMISE, at=3_000, revocation_reason=REASON)

    assert State.COMPROMISED == after(spoilt, lifecycle.recovery_of(spoilt), at=4_000).state
