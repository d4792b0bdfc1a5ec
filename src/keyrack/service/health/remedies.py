"""What it means that a root key cannot be used, and which act of the customer mends it: one table, reason by reason."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from keyrack.ports.key_manager import Reason

_NOTHING: Final = "no key is handed out, and none is made"
_BRIDGED: Final = "keys in memory are served for a while yet, others are not, and none is made"


@dataclass(frozen=True, slots=True)
class Remedy:
    """One reason."""

    means: str
    """What it is to those whose machines run on the keys."""
    act: str
    """What to do where the key manager is an embedded one; those of others bring tables of their own."""


REMEDIES: Final[Mapping[Reason, Remedy]] = {
    Reason.IDENTITY: Remedy(_NOTHING, "look at the key manager's configuration"),
    Reason.PERMISSION: Remedy(_NOTHING, "look at the key manager's configuration"),
    Reason.NETWORK: Remedy(_NOTHING, "look at the key manager's configuration"),
    Reason.POLICY: Remedy(_NOTHING, "look at its policies, as docs/key-protect-api.md tells"),
    Reason.ABSENT: Remedy(
        f"{_NOTHING}: what it has wrapped is lost, unless the key manager's database comes back from a backup",
        "'keyrack root-key list' shows what is there; put keystore and database back, as docs/keystore.md tells",
    ),
    Reason.DELETED: Remedy(_NOTHING, "'keyrack root-key restore {root_key}' brings them back, until it is purged"),
    Reason.STATE: Remedy(_NOTHING, "'keyrack root-key enable {root_key}' brings them back"),
    Reason.CIPHERTEXT: Remedy(
        f"{_NOTHING}: the root key does not open what it has wrapped",
        "put keystore and database back from one backup, as docs/keystore.md tells",
    ),
    Reason.REQUEST: Remedy(_NOTHING, "look at the server's log; this is a mistake of the program"),
    Reason.UNREACHABLE: Remedy(_BRIDGED, "see whether disk and HSM answer"),
    Reason.TRUST: Remedy(_BRIDGED, "look at the key manager's configuration"),
    Reason.OVERLOADED: Remedy(_BRIDGED, "wait a little; if it lasts, give the machine more room"),
    Reason.FAILING: Remedy(_BRIDGED, "the server's log says what fails: the disk, the database or the HSM"),
    Reason.READ_ONLY: Remedy(
        "it unwraps and takes nothing new: running machines and reboots are safe, new keys fail",
        "nothing, as long as no new machine has to be encrypted: it ends by itself when the disk can be written again",
    ),
    Reason.OTHER: Remedy(_NOTHING, "name a configured key manager, or bring its table back into the configuration"),
}

Acts = Mapping[Reason, str]
"""What to do, reason by reason, in a key manager of some kind; what it leaves out is told as for an embedded one."""

BRINGS_BACK: Final[Mapping[int, str]] = {
    2: "'keyrack root-key enable {root_key}' brings them back",
    5: "'keyrack root-key restore {root_key}' brings them back, until it is purged",
}
"""What takes a root key out of Key Protect's states Suspended and Destroyed, in an embedded key manager."""


def remedy(reason: str, root_key: str, state: int, acts: Acts | None) -> Remedy:
    """What the reason of a look at a root key means, and what to do; ``acts`` of its key manager, ``None``: embedded.

    ``state`` is the root key's, as far as it is known.
    """
    known = REMEDIES[Reason(reason)]
    act = known.act
    if acts is not None:
        act = acts.get(Reason(reason), act)
    elif Reason(reason) in {Reason.STATE, Reason.DELETED}:
        act = BRINGS_BACK.get(state, act)
    return Remedy(known.means, act.replace("{root_key}", root_key))
