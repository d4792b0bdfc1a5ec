"""The law of a key's states: every action in every state, of root keys and of standard keys."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyrack.embedded.errors import KeyActionInvalidState, KeyDeleted, KeyRootRequired
from keyrack.embedded.keys import ROOT_ALONE, Action, Key, KeyState

NOW = 1_800_000_000

# IBM's table of key states, written down again by hand: P pre-activation, A active, S suspended, D deactivated,
# X destroyed.
ALLOWED = {
    Action.WRAP: "A",
    Action.UNWRAP: "AD",
    Action.REWRAP: "AD",
    Action.ROTATE: "AD",
    Action.DISABLE: "A",
    Action.ENABLE: "S",
    Action.DELETE: "PASD",
    Action.RESTORE: "X",
    Action.PURGE: "X",
}
LETTERS = dict(zip("PASDX", KeyState, strict=True))


def a_key(state: KeyState, *, extractable: bool = False, expires_at: int | None = None) -> Key:
    return Key(
        identifier="key",
        instance="instance",
        name="name",
        extractable=extractable,
        state=state,
        created_at=1,
        created_by="somebody",
        updated_at=1,
        state_changed_at=1,
        expires_at=expires_at,
    )


@pytest.mark.parametrize(("state", "action"), list(product(KeyState, Action)))
def test_every_action_in_every_state(state: KeyState, action: Action) -> None:
    """Allowed, or refused as Key Protect refuses: 410 for what was deleted, 409 for the rest."""
    key = a_key(state)
    refusal = KeyDeleted if state is KeyState.DESTROYED else KeyActionInvalidState

    if state in {LETTERS[letter] for letter in ALLOWED[action]}:
        key.allow(action, NOW)
    else:
        with pytest.raises(refusal) as refused:
            key.allow(action, NOW)
        assert (410 if state is KeyState.DESTROYED else 409) == refused.value.status


@pytest.mark.parametrize(("state", "action"), list(product(KeyState, sorted(ROOT_ALONE))))
def test_what_root_keys_alone_do_is_refused_to_a_standard_key(state: KeyState, action: Action) -> None:
    """Whatever its state is."""
    with pytest.raises(KeyRootRequired) as refused:
        a_key(state, extractable=True).allow(action, NOW)

    assert (400, "KEY_ROOT_REQ_ERR") == (refused.value.status, refused.value.code)


def test_what_an_action_leads_to() -> None:
    """Disable suspends, enable activates, delete destroys, restore activates; the time of the change is noted."""
    active = a_key(KeyState.ACTIVE)

    suspended = active.after(Action.DISABLE, NOW)
    deleted = suspended.after(Action.DELETE, NOW)

    assert (KeyState.SUSPENDED, NOW, NOW) == (suspended.state, suspended.state_changed_at, suspended.updated_at)
    assert KeyState.ACTIVE is suspended.after(Action.ENABLE, NOW).state
    assert KeyState.DESTROYED is deleted.state
    assert KeyState.ACTIVE is deleted.after(Action.RESTORE, NOW).state


@given(st.sampled_from(list(KeyState)), st.none() | st.integers(NOW - 2, NOW + 2))
def test_an_expiration_deactivates_an_active_key_alone(state: KeyState, expires_at: int | None) -> None:
    """From the second that it names; a suspended or a deleted key stays what it is."""
    told = a_key(state, expires_at=expires_at).state_at(NOW)

    if state is KeyState.ACTIVE and expires_at is not None and expires_at <= NOW:
        assert KeyState.DEACTIVATED is told
    else:
        assert state is told
