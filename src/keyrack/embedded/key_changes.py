"""One change of one key: authorised, decided, written and journaled in one transaction."""

from collections.abc import Callable

from keyrack.embedded.call import Call
from keyrack.embedded.house import House
from keyrack.embedded.iam.rights import Right
from keyrack.embedded.keys import Key
from keyrack.embedded.store.unit import Unit

Law = Callable[[Unit, Key], Key]
"""What a change makes of a key; raises the refusal, and then nothing is written."""


def changed(house: House, call: Call, name: str, right: Right, law: Law, **detail: str) -> Key:
    """The key after ``law``, if the caller has ``right`` over it; ``detail`` goes into the journal."""
    with house.change(call, "") as unit:
        key = unit.key_for(call, name, right)
        after = law(unit, key)
        if after is not key:
            unit.put_key(after)
        if call.journaled:
            unit.note(house.entry(call, right.value, key.identifier, **detail))
    return after
