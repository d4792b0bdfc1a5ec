"""Makes a change that another node has made: the same puts and removals, through the same unit."""

import base64
from collections.abc import Callable, Mapping
from typing import Final

from keyrack.embedded.errors import KeystoreDamaged, KeystoreDiverged
from keyrack.embedded.iam.records import ServiceId
from keyrack.embedded.instances import KeyManagerInstance
from keyrack.embedded.keys import Key
from keyrack.embedded.store.change_log import Change
from keyrack.embedded.store.codec import decode
from keyrack.embedded.store.unit import Act, Unit


def replay(unit: Unit, change: Change) -> None:
    """Make the change in a unit that is behind the change before it.

    Raises :class:`KeystoreDiverged` where the records are others than on the node that has made it, before or after:
    nothing of the unit may be kept then.
    """
    if unit.comes_to != change.before:
        raise KeystoreDiverged(
            f"change {change.revision} of the key manager was made of other records than this node has: one of the two "
            "was put back from a backup; give this node a whole copy with 'keyrack node refresh'"
        )
    for act, *told in change.acts:
        try:
            _ACTS[Act(act)](unit, *told)
        except (ValueError, TypeError, KeystoreDamaged) as error:
            raise KeystoreDiverged(
                f"change {change.revision} of the key manager says what this version of keyrack does not know, or what "
                f"does not fit its records: update this node ({error})"
            ) from None
    if unit.comes_to != change.after or not unit.changes_records:
        raise KeystoreDiverged(
            f"change {change.revision} of the key manager gives other records here than where it was made: see that "
            "all nodes are of one version, and give this one a whole copy with 'keyrack node refresh'"
        )


def _remove_key(unit: Unit, identifier: str) -> None:
    (key,) = unit.select("id = ?", (identifier,))
    unit.remove_key(key)


_ACTS: Final[Mapping[Act, Callable[..., None]]] = {
    Act.PUT_KEY: lambda unit, text: unit.put_key(decode(Key, text)),
    Act.REMOVE_KEY: _remove_key,
    Act.PUT_INSTANCE: lambda unit, text: unit.put_instance(decode(KeyManagerInstance, text)),
    Act.PUT_SERVICE_ID: lambda unit, text: unit.put_service_id(decode(ServiceId, text)),
    Act.REMOVE_SERVICE_ID: lambda unit, identifier: unit.remove_service_id(identifier),
    Act.PUT_SEALED_VALUE: lambda unit, name, value: unit.put_sealed_value(name, base64.b64decode(value, validate=True)),
    Act.NOTE: lambda unit, text: unit.note_text(text),
}
