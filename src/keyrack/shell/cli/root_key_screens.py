"""What the ``keyrack root-key`` commands show of a root key: in words for people, as JSON for programs."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from keyrack.embedded.keys import KeyState
from keyrack.shell.cli import screen
from keyrack.shell.cli.failures import WrongUse

if TYPE_CHECKING:
    from keyrack.embedded.keys import Key
    from keyrack.shell.cli.root_key_desk import Desk

WORDS: Mapping[KeyState, str] = {
    KeyState.PRE_ACTIVATION: "not active yet",
    KeyState.ACTIVE: "active",
    KeyState.SUSPENDED: "disabled",
    KeyState.DEACTIVATED: "expired",
    KeyState.DESTROYED: "deleted",
}
"""What people call the states."""

_NAMED: Mapping[str, KeyState] = {
    **{word: state for state, word in WORDS.items()},
    **{state.name.lower().replace("_", "-"): state for state in KeyState},
}
_KEEPERS: Mapping[str, str] = {"pkcs11": "HSM (pkcs11)"}
_LISTED = ("id", "name", "state", "version", "created", "rotated", "expires", "kept by", "used by")


def states(text: str | None) -> str | None:
    """The numbers of states that were named in words, for a query; Key Protect's own names will do too."""
    if text is None:
        return None
    words = [word.strip().lower() for word in text.split(",")]
    unknown = [word for word in words if word not in _NAMED]
    if unknown:
        raise WrongUse(f"{unknown[0]!r} is not a state; use one of: {', '.join(WORDS.values())}")
    return ",".join(str(_NAMED[word].value) for word in words)


def as_row(desk: "Desk", key: "Key") -> dict[str, Any]:
    """A root key as JSON, as a list has it."""
    state = key.state_at(desk.house.now)
    return {
        "identifier": key.identifier,
        "name": key.name,
        "state": WORDS[state],
        "state_number": int(state),
        "version": len(key.versions),
        "version_identifier": key.newest.identifier,
        "created_at": screen.instant(key.created_at),
        "rotated_at": screen.instant(key.rotated_at),
        "expires_at": screen.instant(key.expires_at),
        "kept_by": kept_by(key),
        "used_by": [user.name for user in desk.users_of(key)],
        "key_ring": key.ring,
        "aliases": [alias.name for alias in key.aliases],
        "imported": key.imported,
    }


def kept_by(key: "Key") -> list[str]:
    """The keepers of its versions, that of the newest first."""
    return list(dict.fromkeys(version.keeper for version in reversed(key.versions)))


def show_list(rows: Sequence[Mapping[str, Any]]) -> None:
    """The table of root keys."""
    screen.table(
        _LISTED,
        [
            (
                screen.shortened(row["identifier"]),
                row["name"],
                row["state"],
                row["version"],
                *(screen.brief(row[f"{when}_at"]) for when in ("created", "rotated", "expires")),
                ", ".join(_KEEPERS.get(keeper, keeper) for keeper in row["kept_by"]),
                ", ".join(row["used_by"]),
            )
            for row in rows
        ],
    )


def as_json(desk: "Desk", key: "Key") -> dict[str, Any]:
    """All of a root key as JSON; never its material."""
    mark = key.set_for_deletion
    return as_row(desk, key) | {
        "description": key.description,
        "tags": list(key.tags),
        "key_manager": desk.key_manager,
        "instance": {"identifier": desk.instance.identifier, "name": desk.instance.name},
        "created_by": key.created_by,
        "updated_at": screen.instant(key.updated_at),
        "used_by": [{"name": user.name, "keys": user.keys, "clients": user.clients} for user in desk.users_of(key)],
        "rotate_every_months": _months(key),
        "rotates_at": screen.instant(rotates_at(key)),
        "dual_authorisation": key.dual_auth_delete,
        "set_for_deletion": {"by": mark.by, "at": screen.instant(mark.at)} if mark else None,
        "registrations": [each.resource for each in key.registrations],
        "versions": [
            {
                "number": number,
                "identifier": version.identifier,
                "created_at": screen.instant(version.created_at),
                "kept_by": version.keeper,
            }
            for number, version in enumerate(key.versions, start=1)
        ],
        **_deletion_json(desk, key),
    }


def _deletion_json(desk: "Desk", key: "Key") -> dict[str, Any]:
    from keyrack.embedded.lifecycle import deletion

    if key.state is not KeyState.DESTROYED:
        return {}
    found = deletion(desk.house.waits, key, desk.house.now)
    return {
        "deleted_at": screen.instant(key.deleted_at),
        "deleted_by": key.deleted_by,
        "restore_until": screen.instant(found.restore_until),
        "purge_from": screen.instant(found.purge_from),
        "purged_on": screen.instant(found.purge_on),
    }


def show(desk: "Desk", key: "Key") -> None:
    """All of a root key, for people."""
    users = desk.users_of(key)
    told = [f"{user.name} ({screen.count(user.keys, 'key')}, {screen.count(user.clients, 'client')})" for user in users]
    rows = [
        ("name", key.name),
        ("identifier", key.identifier),
        ("state", WORDS[key.state_at(desk.house.now)]),
        ("description", key.description),
        ("tags", ", ".join(key.tags)),
        ("aliases", ", ".join(alias.name for alias in key.aliases)),
        ("key manager", f"{desk.key_manager}, instance {desk.instance.name}"),
        ("key ring", key.ring),
        ("imported" if key.imported else "made", f"{screen.moment(key.created_at)} by {key.created_by}"),
        ("used by", "; ".join(told) or "no instance of Keyrack"),
        ("registered", "; ".join(each.resource for each in key.registrations)),
        ("rotation", rotation(key)),
        ("deletion takes", "two persons" if key.dual_auth_delete else "one person"),
        *(("wait", line) for line in waits(desk, key)),
    ]
    screen.pairs([(name, screen.printable(value)) for name, value in rows if value])
    screen.say()
    numbered = reversed(list(enumerate(key.versions, start=1)))
    screen.table(
        ("version", "id", "created", "kept by"),
        [
            (
                number,
                version.identifier,
                screen.moment(version.created_at),
                _KEEPERS.get(version.keeper, version.keeper),
            )
            for number, version in numbered
        ],
    )


def rotation(key: "Key") -> str:
    """Whether it is rotated by itself, and when the next time."""
    months, due = _months(key), rotates_at(key)
    if months is None:
        return "by hand" + (", with new material" if key.imported else "")
    every = "every month" if months == 1 else f"every {months} months"
    return f"{every}, " + ("while it is active" if due is None else f"next on {screen.moment(due)}")


def rotates_at(key: "Key") -> int | None:
    """When its policy rotates it next, in seconds since 1970."""
    from keyrack.embedded.schedule import months_later

    months = _months(key)
    if months is None or key.state is not KeyState.ACTIVE:
        return None
    return months_later(key.created_at if key.rotated_at is None else key.rotated_at, months)


def _months(key: "Key") -> int | None:
    return key.rotation.months if key.rotation is not None and key.rotation.enabled else None


def waits(desk: "Desk", key: "Key") -> Iterator[str]:
    """What has to wait, or ends by itself, in people's words."""
    now, least = desk.house.now, desk.house.waits
    state = key.state_at(now)
    if key.expires_at is not None and state is not KeyState.DESTROYED:
        began = "expired" if key.expires_at <= now else "expires"
        yield f"{began} on {screen.moment(key.expires_at)}: it wraps nothing new from then on, and goes on unwrapping"
    if state in (KeyState.ACTIVE, KeyState.DEACTIVATED) and now - (key.rotated_at or 0) < least.rotate:
        yield f"may be rotated again from {screen.moment((key.rotated_at or 0) + least.rotate)} on"
    if state is KeyState.SUSPENDED and now - key.state_changed_at < least.state_change:
        yield f"may be enabled from {screen.moment(key.state_changed_at + least.state_change)} on"
    mark = key.set_for_deletion
    if mark is not None and now - mark.at < least.dual_authorisation:
        until = screen.moment(mark.at + least.dual_authorisation)
        yield f"set for deletion by {mark.by}; another person may delete it until {until}"
    if state is KeyState.DESTROYED:
        yield from after_deletion(desk, key)


def after_deletion(desk: "Desk", key: "Key") -> Iterator[str]:
    """What can still be done with a deleted root key, and until when."""
    from keyrack.embedded.lifecycle import deletion

    now = desk.house.now
    found = deletion(desk.house.waits, key, now)
    if found.restore_allowed:
        yield f"can be restored until {screen.moment(found.restore_until)}"
    else:
        yield "cannot be restored any more"
    if found.purge_allowed:
        yield f"may be purged now, and is purged by itself on {screen.moment(found.purge_on)}"
    else:
        yield (
            f"may be purged from {screen.moment(found.purge_from)} on, and is purged by itself on "
            f"{screen.moment(found.purge_on)}"
        )


def told(desk: "Desk", key: "Key", lines: Sequence[str], *, json: bool) -> None:
    """Print what has become of a root key; the first of ``lines`` goes on behind its name."""
    if json:
        screen.as_json(as_json(desk, key))
        return
    first, *others = lines
    screen.say(f"Root key {screen.printable(key.name)} {first}")
    for line in others:
        screen.say(line)


def names(desk: "Desk", key: "Key") -> str:
    """The instances whose keys it wraps, as a sentence names them; empty where there are none."""
    return " and ".join(user.name for user in desk.users_of(key))
