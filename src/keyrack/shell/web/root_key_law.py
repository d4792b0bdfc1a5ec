"""What the embedded key manager refuses, as an administrator of Keyrack is told of it; and when two must want it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from keyrack.domain.approvals import Approval, Wisher
from keyrack.embedded import errors
from keyrack.embedded.keys import Key
from keyrack.ports.key_manager import KeyManagerRefused
from keyrack.service.office import refusals
from keyrack.service.office.administration import Administration
from keyrack.service.office.approvals import KeyCatalog
from keyrack.service.office.refusals import Refused
from keyrack.service.office.root_keys import User
from keyrack.service.office.second_person import refuse_one_hand

_KINDS: Final[Sequence[tuple[type[errors.Refusal], type[Refused]]]] = (
    (errors.NotFound, refusals.NotThere),
    (errors.TooEarly, refusals.TooEarly),
    (errors.KeyRotationNotPermitted, refusals.TooEarly),
    (errors.AuthorisationsNotMet, refusals.SamePerson),
    (errors.KeyActionInvalidState, refusals.WrongState),
    (errors.KeyDeleted, refusals.WrongState),
    (errors.KeyRestoreExpired, refusals.WrongState),
    (errors.InvalidField, refusals.Unusable),
    (errors.BadBody, refusals.Unusable),
    (errors.KeyExpired, refusals.Unusable),
)
"""The first that fits; the others are refused, and no more is said."""
_FIELDS: Final = {
    "expirationDate": "expires_at",
    "rotation": "rotate_every_months",
    "interval_month": "rotate_every_months",
    "name": "name",
    "description": "description",
}
_HINTS: Final = (
    (errors.KeyPayloadRequired, "bring it at the machine, with 'keyrack root-key rotate KEY --material FILE'"),
    (errors.AuthorisationsNotMet, "let another security officer delete it, or take back that it is to be deleted"),
    (errors.KeyRestoreExpired, "a backup of the key manager has it still, where there is one"),
)


@contextmanager
def refused_as(name: str) -> Iterator[None]:
    """Translate what the key manager refuses within the block; IBM's words stay as they are."""
    try:
        yield
    except KeyManagerRefused as error:
        refusal = error.__cause__
        if not isinstance(refusal, errors.Refusal):
            raise
        kind = next((ours for theirs, ours in _KINDS if isinstance(refusal, theirs)), Refused)
        _, field = refusal.target or ("", "")
        hint = next((each for theirs, each in _HINTS if isinstance(refusal, theirs)), "")
        raise kind(f"root key {name!r}: {refusal}", field=_FIELDS.get(field, ""), hint=hint) from error


async def refuse_alone(administration: Administration, catalog: KeyCatalog, key: Key, users: Sequence[User]) -> None:
    """Return where one person may delete this root key, or where the other of two has set it for deletion.

    Under dual control of an instance two people must want what ends its keys: who deletes its root key ends them all.
    """
    under = [each.instance for each in users if each.instance.dual_control_at is not None]
    if not under:
        return
    if not key.dual_auth_delete:
        names = ", ".join(each.name for each in under)
        raise Refused(
            f"two people must want what ends keys of {names}, and root key {key.name!r} would be deleted by one",
            hint="switch on its dual authorisation first: then two people delete it",
        )
    if (first := key.set_for_deletion) is None:
        return
    who = administration.administrator
    wisher = Wisher(who.initiator, who.actor.person if who.actor is not None else "")
    asked = Approval(
        identifier="", act="root-key.delete", instance="", target="", asked_by=first.by, asked_at=0, expires_at=0
    )
    if asked.wisher.is_same_as(wisher):
        raise refusals.SamePerson("you have set it for deletion yourself, and another person has to delete it")
    for instance in under:
        await refuse_one_hand(catalog, catalog, instance, asked, wisher)
