"""What KMIP adapters ask of the key manager: whether somebody may manage them, and which root key they stand on.

The adapters themselves are Keyrack's instances and live in its catalog.
"""

from keyrack.embedded.call import Call
from keyrack.embedded.errors import CrkNotFound, InvalidCrk, KeyNotFound
from keyrack.embedded.house import House
from keyrack.embedded.iam.rights import Right
from keyrack.embedded.keys import KeyState


def admit(house: House, call: Call, right: Right) -> None:
    """Return when the caller has this right over the KMIP adapters of the instance; raises ``Unauthorised``."""
    with house.reading() as reading:
        reading.allow(call, right)


def root_key_for_adapter(house: House, call: Call, name: str, *, allow_expiring: bool = False) -> str:
    """The identifier of the root key of this identifier or alias, if an adapter can stand on it.

    Raises ``Unauthorised`` for who may create no adapters, :class:`CrkNotFound`, and :class:`InvalidCrk` for a standard
    key, for a root key that is not active, and, unless ``allow_expiring``, for one that will not be for ever.
    """
    target = ("field", "crk_id")
    with house.reading() as reading:
        reading.allow(call, Right.CREATE_KMIP)
        try:
            key = reading.key(call.instance, name)
        except KeyNotFound:
            raise CrkNotFound("The root key (crk_id) is not in this instance", target=target) from None
    if key.extractable:
        raise InvalidCrk("The crk_id must be that of a root key, and this is a standard key", target=target)
    state = key.state_at(house.now)
    if state is not KeyState.ACTIVE:
        raise InvalidCrk(f"The root key (crk_id) must be active, and this one is {state.name.lower()}", target=target)
    if key.expires_at is not None and not allow_expiring:
        raise InvalidCrk(
            "The root key (crk_id) has an expiration date, after which its clients would be cut off: take another one, "
            "or send allowExpiringKey=true",
            target=("query_param", "allowExpiringKey"),
        )
    return key.identifier


def root_key_named(house: House, call: Call, name: str) -> str:
    """The identifier of a key that is named by its alias, to filter by; ``name`` itself where there is no such key.

    Raises ``Unauthorised`` for who may list no adapters.
    """
    with house.reading() as reading:
        reading.allow(call, Right.LIST_KMIP)
        try:
            return reading.key(call.instance, name).identifier
        except KeyNotFound:
            return name
