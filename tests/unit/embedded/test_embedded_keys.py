"""The law of a root key's states, and what its ciphertexts are bound to."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyrack.embedded.actions import encoded
from keyrack.embedded.errors import InvalidField, KeyActionInvalidState, KeyDeleted
from keyrack.embedded.keys import Action, KeyState, KeyVersion, RootKeyRecord

STRINGS = st.lists(st.text(max_size=6), max_size=5)

# IBM's table of key states, written down again by hand: P pre-activation, A active, S suspended, D deactivated.
ALLOWED = {
    Action.WRAP: "A",
    Action.UNWRAP: "AD",
    Action.REWRAP: "AD",
    Action.ROTATE: "AD",
    Action.DISABLE: "A",
    Action.ENABLE: "S",
    Action.DELETE: "PASD",
}
LETTERS = {"P": KeyState.PRE_ACTIVATION, "A": KeyState.ACTIVE, "S": KeyState.SUSPENDED, "D": KeyState.DEACTIVATED}


def a_root_key(state: KeyState) -> RootKeyRecord:
    version = KeyVersion(identifier="v1", created_at=1)
    return RootKeyRecord(identifier="key", name="name", state=state, created_at=1, versions=(version,))


@pytest.mark.parametrize(("state", "action"), list(product(KeyState, Action)))
def test_every_action_in_every_state(state: KeyState, action: Action) -> None:
    """Allowed, or refused as Key Protect refuses: 410 for what was deleted, 409 for the rest."""
    key = a_root_key(state)
    refusal = KeyDeleted if state is KeyState.DESTROYED else KeyActionInvalidState

    if state in {LETTERS[letter] for letter in ALLOWED[action]}:
        key.allow(action)
    else:
        with pytest.raises(refusal) as refused:
            key.allow(action)
        assert (410 if state is KeyState.DESTROYED else 409) == refused.value.status


def test_what_an_action_leads_to() -> None:
    """Disable suspends, enable activates, delete destroys."""
    active = a_root_key(KeyState.ACTIVE)

    suspended = active.after(Action.DISABLE)

    assert KeyState.SUSPENDED is suspended.state
    assert active == suspended.after(Action.ENABLE)
    assert KeyState.DESTROYED is suspended.after(Action.DELETE).state


@given(STRINGS, STRINGS)
def test_two_sequences_of_strings_never_look_alike(one: list[str], other: list[str]) -> None:
    """What a ciphertext is bound to can be read in one way only."""
    assert (one == other) == (encoded(one) == encoded(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [((), ("",)), (("ab", "c"), ("a", "bc")), (("1:a",), ("1", "a")), (("0,0:",), ("", ""))],
)
def test_strings_made_to_deceive_do_not_look_alike(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    """With the signs of the encoding itself in them."""
    assert encoded(one) != encoded(other)


def test_there_is_a_limit_to_strings() -> None:
    """Key Protect's: 126 of 255 characters."""
    encoded(["é" * 255] * 126)

    for refused in ([""] * 127, ["x" * 256]):
        with pytest.raises(InvalidField):
            encoded(refused)
