"""What changes the state of a key: deleted, restored, purged, disabled, enabled, and authorised for deletion."""

from collections.abc import Callable
from typing import Any, Concatenate

from fastapi import APIRouter

from keyrack.embedded import lifecycle as use
from keyrack.embedded.call import Call
from keyrack.embedded.errors import KeyNotFound
from keyrack.embedded.house import House
from keyrack.embedded.keys import Key
from keyrack.shell.rest.key_protect import shapes
from keyrack.shell.rest.key_protect.answer import Answer
from keyrack.shell.rest.key_protect.calls import Force, operation
from keyrack.shell.rest.key_protect.desk import AtDesk, Desk
from keyrack.shell.rest.key_protect.envelope import collection, vendor
from keyrack.shell.rest.key_protect.resources import Keys

router = APIRouter(tags=["life of keys"])


@operation(
    router,
    "DELETE",
    "/keys/{id}",
    action="kms.secrets.delete",
    failure="Key could not be deleted",
    answer=Keys,
    also=(204,),
    refusals=(404, 409, 410),
)
async def delete_key(desk: AtDesk, id: str, force: Force = False) -> Answer:
    """Delete a key.

    It works no more at once, and can be restored for 30 days. With Prefer: return=representation the answer is the key.
    """
    identifier = await desk.act(_identifier, id)
    used_by = await desk.premises.adapters_of(desk.call.instance, identifier)
    key = await desk.act(use.delete, id, force=force, used_by=used_by)
    return _represented(desk, key)


@operation(
    router,
    "POST",
    "/keys/{id}/restore",
    action="kms.secrets.restore",
    failure="Key could not be restored",
    answer=Keys,
    status=201,
    media=vendor("key"),
    refusals=(404, 409),
)
async def restore_key(desk: AtDesk, id: str) -> Answer:
    """Restore a deleted key.

    A body is not needed, and not read.
    """
    key = await desk.act(use.restore, id)
    told = shapes.minimal_key(key) if desk.minimal else shapes.whole_key(desk.premises, key)
    return Answer(collection("key", [told]), 201, vendor("key"))


@operation(
    router,
    "DELETE",
    "/keys/{id}/purge",
    action="kms.secrets.purge",
    failure="Key could not be purged",
    answer=Keys,
    also=(204,),
    refusals=(404, 409),
)
async def purge_key(desk: AtDesk, id: str) -> Answer:
    """Purge a deleted key, for ever.

    With Prefer: return=representation the answer is the key as it was.
    """
    return _represented(desk, await desk.act(use.purge, id))


def _silent(verb: str, use_case: Callable[Concatenate[House, Call, str, ...], Key], name: str, **told: Any) -> None:
    """An action of keys that answers nothing."""

    async def action(desk: AtDesk, id: str) -> Answer:
        await desk.act(use_case, id)
        return Answer(status=204)

    action.__name__, action.__doc__ = name, told.pop("summary")
    operation(router, "POST", f"/keys/{{id}}/actions/{verb}", status=204, refusals=(404, 409, 410), **told)(action)
    SILENT[verb] = use_case


SILENT: dict[str, Callable[Concatenate[House, Call, str, ...], Key]] = {}
"""The use case of each such action, by the word in the path."""

_silent(
    "disable",
    use.disable,
    "disable_key",
    action="kms.secrets.disable",
    failure="Key could not be disabled",
    summary="Disable a root key: it neither wraps nor unwraps until it is enabled.",
)
_silent(
    "enable",
    use.enable,
    "enable_key",
    action="kms.secrets.enable",
    failure="Key could not be enabled",
    summary="Enable a root key that was disabled.",
)
_silent(
    "setKeyForDeletion",
    use.set_for_deletion,
    "set_key_for_deletion",
    action="kms.secrets.setkeyfordeletion",
    failure="Key could not be set for deletion",
    summary="Authorise the deletion of a key, as the first of two.",
)
_silent(
    "unsetKeyForDeletion",
    use.unset_for_deletion,
    "unset_key_for_deletion",
    action="kms.secrets.unsetkeyfordeletion",
    failure="Key could not be unset for deletion",
    summary="Take the first authorisation of a deletion back.",
)
_silent(
    "sync",
    use.sync,
    "sync_associated_resources",
    action="kms.secrets-event.ack",
    failure="Resources could not be synchronised",
    summary="Tell the resources of a root key again how it stands.",
)


def _represented(desk: Desk, key: Key) -> Answer:
    if not desk.representation:
        return Answer(status=204)
    return Answer(collection("key", [shapes.whole_key(desk.premises, key)]))


def _identifier(house: House, call: Call, name: str) -> str:
    """Of the key of this name, only to ask who uses it: whether the caller may know it is decided later."""
    with house.reading() as reading:
        try:
            return reading.key(call.instance, name).identifier
        except KeyNotFound:
            return name
