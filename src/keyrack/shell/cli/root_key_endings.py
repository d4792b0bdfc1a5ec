"""``keyrack root-key``, where a root key goes out of use and comes back: disable, delete, restore, purge.

Each of them may stop a virtual machine from starting. They say so first, and want the name of the key.
"""

from typing import TYPE_CHECKING

from keyrack.shell.cli import root_key_abroad, screen
from keyrack.shell.cli.options import ConfigFile
from keyrack.shell.cli.root_key_abroad import abroad
from keyrack.shell.cli.root_key_desk import (
    InstanceOf,
    KeyManagerName,
    KeyName,
    KeyRingName,
    Where,
    Yes,
    consent,
    impact,
    open_desk,
    require_name,
)

if TYPE_CHECKING:
    from keyrack.embedded.keys import DeletionAuthorisation, Key
    from keyrack.shell.cli.root_key_desk import Desk

_UNREACHABLE = "nobody fetches these keys: a virtual machine or host that starts then stays without its disks."
_LOST = "Purging destroys it for ever: every one of these keys is lost, and with it all that was encrypted under it."
_HOSTS = "A running ESXi host keeps its keys until it restarts."


def disable(
    key: KeyName,
    yes: Yes = None,
    key_ring: KeyRingName = None,
    instance: InstanceOf = None,
    key_manager: KeyManagerName = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Take a root key out of use until it is enabled again.

    First it says which instances use the key, and asks for its name.
    """
    from keyrack.embedded import lifecycle
    from keyrack.embedded.iam.rights import Right
    from keyrack.embedded.keys import Action
    from keyrack.shell.cli import root_key_screens as screens

    if there := abroad(Where(config, key_manager, instance, key_ring)):
        root_key_abroad.disable(there, key, yes, json=json)
        return
    with open_desk(Where(config, key_manager, instance, key_ring)) as desk:
        found = desk.find(key)
        with desk.journaled(Right.DISABLE, found):
            found.allow(Action.DISABLE, desk.house.now)
            consent(desk, found, "disable it", f"While it is disabled {_UNREACHABLE}", yes)
            done = lifecycle.disable(desk.house, desk.call, found.identifier)
        screens.told(desk, done, ["is disabled.", *_out_of_reach(desk, done, "until it is enabled")], json=json)


def enable(
    key: KeyName,
    key_ring: KeyRingName = None,
    instance: InstanceOf = None,
    key_manager: KeyManagerName = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Take a disabled root key into use again.

    That is possible from 30 seconds after it was disabled.
    """
    from keyrack.embedded import lifecycle
    from keyrack.embedded.iam.rights import Right
    from keyrack.shell.cli import root_key_screens as screens

    if there := abroad(Where(config, key_manager, instance, key_ring)):
        root_key_abroad.enable(there, key, json=json)
        return
    with open_desk(Where(config, key_manager, instance, key_ring)) as desk:
        found = desk.find(key)
        with desk.journaled(Right.ENABLE, found):
            done = lifecycle.enable(desk.house, desk.call, found.identifier)
        screens.told(desk, done, ["is active again.", *_in_reach(desk, done)], json=json)


def delete(
    key: KeyName,
    yes: Yes = None,
    key_ring: KeyRingName = None,
    instance: InstanceOf = None,
    key_manager: KeyManagerName = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Delete a root key; for 30 days it can be restored.

    First it says which instances use the key, and asks for its name. Under dual authorisation the first person only
    sets it for deletion, and another one repeats the command within seven days.
    """
    from keyrack.embedded import lifecycle
    from keyrack.embedded.iam.rights import Right
    from keyrack.embedded.keys import Action
    from keyrack.shell.cli import root_key_screens as screens

    if there := abroad(Where(config, key_manager, instance, key_ring)):
        root_key_abroad.delete(there, key, yes, json=json)
        return
    with open_desk(Where(config, key_manager, instance, key_ring)) as desk:
        found = desk.find(key)
        with desk.journaled(Right.DELETE, found):
            found.allow(Action.DELETE, desk.house.now)
            if found.dual_auth_delete and not _set_by_another(desk, found):
                _set(desk, found, yes, json=json)
                return
            consent(desk, found, "delete it", f"Once it is deleted {_UNREACHABLE}", yes)
            used_by = [user.name for user in desk.users_of(found)]
            done = lifecycle.delete(desk.house, desk.call, found.identifier, force=True, used_by=used_by)
        lines = ["is deleted.", *(f"It {line}." for line in screens.after_deletion(desk, done))]
        screens.told(desk, done, [*lines, *_out_of_reach(desk, done, "any more")], json=json)


def set_for_deletion(
    key: KeyName,
    key_ring: KeyRingName = None,
    instance: InstanceOf = None,
    key_manager: KeyManagerName = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Agree to a deletion, as the first of two.

    That is for root keys whose deletion takes two persons. Nothing is deleted by it; another person does it with
    'root-key delete' within seven days.
    """
    from keyrack.embedded import lifecycle
    from keyrack.embedded.iam.rights import Right

    with open_desk(Where(config, key_manager, instance, key_ring), there="ibmcloud kp key schedule-delete") as desk:
        found = desk.find(key)
        with desk.journaled(Right.SET_FOR_DELETION, found):
            done = lifecycle.set_for_deletion(desk.house, desk.call, found.identifier)
        _told_set(desk, done, json=json)


def unset_for_deletion(
    key: KeyName,
    key_ring: KeyRingName = None,
    instance: InstanceOf = None,
    key_manager: KeyManagerName = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Take back that a root key is to be deleted.

    Whoever has agreed to it.
    """
    from keyrack.embedded import lifecycle
    from keyrack.embedded.iam.rights import Right
    from keyrack.shell.cli import root_key_screens as screens

    with open_desk(Where(config, key_manager, instance, key_ring), there="ibmcloud kp key cancel-delete") as desk:
        found = desk.find(key)
        with desk.journaled(Right.UNSET_FOR_DELETION, found):
            done = lifecycle.unset_for_deletion(desk.house, desk.call, found.identifier)
        screens.told(desk, done, ["is not set for deletion any more."], json=json)


def restore(
    key: KeyName,
    key_ring: KeyRingName = None,
    instance: InstanceOf = None,
    key_manager: KeyManagerName = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Bring a deleted root key back as it was.

    That is possible from 30 seconds to 30 days after it was deleted.
    """
    from keyrack.embedded import lifecycle
    from keyrack.embedded.iam.rights import Right
    from keyrack.shell.cli import root_key_screens as screens

    with open_desk(Where(config, key_manager, instance, key_ring), there="ibmcloud kp key restore") as desk:
        found = desk.find(key, deleted=True)
        with desk.journaled(Right.RESTORE, found):
            done = lifecycle.restore(desk.house, desk.call, found.identifier)
        screens.told(desk, done, ["is active again.", *_in_reach(desk, done)], json=json)


def purge(
    key: KeyName,
    yes: Yes = None,
    key_ring: KeyRingName = None,
    instance: InstanceOf = None,
    key_manager: KeyManagerName = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Destroy a deleted root key for ever.

    That is possible from four hours after it was deleted. It never asks: the name has to be given with --yes. Without
    it, it says what would be lost.
    """
    from keyrack.embedded import lifecycle
    from keyrack.embedded.iam.rights import Right
    from keyrack.shell.cli import root_key_screens as screens

    with open_desk(Where(config, key_manager, instance, key_ring), there="ibmcloud kp key purge") as desk:
        found = desk.find(key, deleted=True)
        if yes is None:
            for line in impact(desk, found, _LOST):
                screen.note(line)
        require_name(found, "destroy it for ever", yes, "what is purged cannot be had back, so nobody is asked for it")
        with desk.journaled(Right.PURGE, found):
            done = lifecycle.purge(desk.house, desk.call, found.identifier)
        if json:
            screen.as_json(screens.as_row(desk, done) | {"purged": True})
            return
        screen.say(f"Root key {screen.printable(done.name)} is gone for ever.")
        for user in desk.users_of(done):
            screen.say(f"{screen.count(user.keys, 'key')} of {user.name} can never be unwrapped again.")


def _set_by_another(desk: "Desk", key: "Key") -> bool:
    """Whether another person has set it for deletion; raises ``AuthorisationsNotMet`` where the same one has."""
    from keyrack.embedded.errors import AuthorisationsNotMet

    mark = _mark(desk, key)
    if mark is None:
        return False
    if mark.by == desk.call.caller.identity:
        until = screen.moment(mark.at + desk.house.waits.dual_authorisation)
        raise AuthorisationsNotMet(
            f"you have set it for deletion yourself; another person has to delete it, until {until}. "
            "'keyrack root-key unset-for-deletion' takes it back"
        )
    return True


def _mark(desk: "Desk", key: "Key") -> "DeletionAuthorisation | None":
    mark = key.set_for_deletion
    over = mark is None or desk.house.now - mark.at >= desk.house.waits.dual_authorisation
    return None if over else mark


def _set(desk: "Desk", key: "Key", yes: str | None, *, json: bool) -> None:
    from keyrack.embedded import lifecycle

    consent(desk, key, "set it for deletion", f"Once another person has deleted it too, {_UNREACHABLE}", yes)
    _told_set(desk, lifecycle.set_for_deletion(desk.house, desk.call, key.identifier), json=json)


def _told_set(desk: "Desk", key: "Key", *, json: bool) -> None:
    from keyrack.shell.cli import root_key_screens as screens

    until = screen.moment(desk.house.now + desk.house.waits.dual_authorisation)
    lines = [
        "is set for deletion, and works as before.",
        f"It takes two persons: another one has to delete it until {until}, with 'keyrack root-key delete'.",
        "'keyrack root-key unset-for-deletion' takes it back.",
    ]
    screens.told(desk, key, lines, json=json)


def _out_of_reach(desk: "Desk", key: "Key", how_long: str) -> list[str]:
    from keyrack.shell.cli import root_key_screens as screens

    instances = screens.names(desk, key)
    return [f"No key of {instances} can be fetched {how_long}.", _HOSTS] if instances else []


def _in_reach(desk: "Desk", key: "Key") -> list[str]:
    from keyrack.shell.cli import root_key_screens as screens

    instances = screens.names(desk, key)
    return [f"The keys of {instances} can be fetched again."] if instances else []
