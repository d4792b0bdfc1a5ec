"""What pages say of root keys: their states, and what each act does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from keyrack.domain.rights import Right
from keyrack.ports.back_office import RootKeyTold
from keyrack.shell.console.words import mark


@dataclass(frozen=True, slots=True)
class State:
    """A state of a root key, in words."""

    title: str
    kind: str
    """How its mark looks: ``good``, ``warn``, ``bad`` or nothing."""
    means: str


STATES: Final[Mapping[int, State]] = {
    0: State(mark("Pre-activation"), "warn", mark("It is not active yet: it neither wraps nor unwraps.")),
    1: State(mark("Active"), "good", mark("It wraps and unwraps.")),
    2: State(
        mark("Suspended"),
        "bad",
        mark("It was disabled: no key under it is handed out, until it is enabled."),
    ),
    3: State(
        mark("Deactivated"),
        "warn",
        mark("It has expired: it wraps no new keys, and goes on unwrapping those that it has wrapped."),
    ),
    5: State(
        mark("Destroyed"),
        "bad",
        mark("It was deleted: no key under it is handed out, unless it is restored."),
    ),
}
"""By Key Protect's numbers, with IBM's words for them."""
UNKNOWN: Final = State(mark("Unknown"), "", mark("Its key manager tells a state that is not known here."))


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One act on a root key, and its page."""

    name: str
    title: str
    happens: Sequence[str]
    right: Right
    states: frozenset[int]
    """In which it can be done."""
    stops: bool = False
    """Whether it may stop machines: then it shows what, and its words are typed."""
    done: str

    def possible(self, told: RootKeyTold) -> bool:
        """Whether the root key is in such a state."""
        return told.state in self.states


ACTS: Final[Mapping[str, Act]] = {
    act.name: act
    for act in (
        Act(
            name="rotate",
            title=mark("Rotate"),
            happens=(
                mark("The root key gets a new version, which wraps from now on."),
                mark("The older versions stay, and go on unwrapping what they have wrapped."),
                mark(
                    "The keys under older versions are rewrapped in the background. Each is opened and compared "
                    "before it is kept, and clients are served meanwhile."
                ),
                mark("Nothing needs to be done in vCenter: its keys stay the same, and nothing is encrypted anew."),
            ),
            right=Right.ROOT_KEY_ROTATE,
            states=frozenset({1, 3}),
            done=mark("The root key has a new version."),
        ),
        Act(
            name="disable",
            title=mark("Disable"),
            happens=(
                mark("No key under this root key is handed out any more, until it is enabled."),
                mark("No new key can be created in the instances that use it."),
            ),
            right=Right.ROOT_KEY_DISABLE,
            states=frozenset({1}),
            stops=True,
            done=mark("The root key is disabled."),
        ),
        Act(
            name="enable",
            title=mark("Enable"),
            happens=(
                mark("The keys under this root key are handed out again, at once."),
                mark("Machines that did not start meanwhile can be started again."),
            ),
            right=Right.ROOT_KEY_RESTORE,
            states=frozenset({2}),
            done=mark("The root key is enabled."),
        ),
        Act(
            name="delete",
            title=mark("Delete"),
            happens=(
                mark("No key under this root key is handed out any more."),
                mark("For 30 days it can be restored, with all its versions."),
                mark(
                    "Once it is purged, 90 days after its deletion, every key under it is lost for ever, and with it "
                    "all that was encrypted under it."
                ),
            ),
            right=Right.ROOT_KEY_DELETE,
            states=frozenset({0, 1, 2, 3}),
            stops=True,
            done=mark("The root key is deleted."),
        ),
        Act(
            name="keep",
            title=mark("Unset for deletion"),
            happens=(mark("The root key is not set for deletion any more. It works as before."),),
            right=Right.ROOT_KEY_DELETE,
            states=frozenset({0, 1, 2, 3}),
            done=mark("The root key is not set for deletion any more."),
        ),
        Act(
            name="restore",
            title=mark("Restore"),
            happens=(
                mark("The root key is active again, with all its versions and policies."),
                mark("The keys under it are handed out again, at once."),
            ),
            right=Right.ROOT_KEY_RESTORE,
            states=frozenset({5}),
            done=mark("The root key is restored."),
        ),
    )
}
"""By the last part of their addresses."""
