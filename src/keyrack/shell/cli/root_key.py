"""``keyrack root-key``: the keys on top, from their making to their rotation; how they end is in another file."""

import re
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from keyrack.shell.cli import root_key_abroad, root_key_endings, root_key_moving, root_key_rewrap, screen
from keyrack.shell.cli.failures import WrongUse
from keyrack.shell.cli.options import ConfigFile
from keyrack.shell.cli.root_key_abroad import abroad
from keyrack.shell.cli.root_key_desk import InstanceOf, KeyManagerName, KeyName, KeyRingName, Where, open_desk

if TYPE_CHECKING:
    from keyrack.domain.secret import Secret
    from keyrack.embedded.creation import NewKey
    from keyrack.shell.cli.root_key_desk import Desk

MOST = 5000
"""Root keys that one look at the list may give."""

app = typer.Typer(name="root-key", help="Root keys, which wrap the keys of instances.", no_args_is_help=True)

NewName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the new root key.", show_default=False)]
Description = Annotated[str, typer.Option(metavar="TEXT", help="What it is for.", show_default=False)]
Aliases = Annotated[
    list[str] | None,
    typer.Option("--alias", metavar="ALIAS", help="Another name, which no other key has; may be repeated."),
]
NewRing = Annotated[
    str | None, typer.Option("--key-ring", metavar="RING", help="The key ring it belongs to; 'default' without it.")
]
Expires = Annotated[
    str | None,
    typer.Option(metavar="DATE", help="From then on it wraps nothing new: 2030-01-02, or 2030-01-02T15:04:05Z."),
]
DualAuthorisation = Annotated[bool, typer.Option("--dual-authorisation", help="It takes two persons to delete it.")]
Months = Annotated[
    int | None, typer.Option("--rotate-every", metavar="MONTHS", min=1, max=12, help="Rotate it by itself.")
]
Material = typer.Option(
    metavar="FILE|-", help="File with 16, 24 or 32 bytes, or these in base64; '-' reads them through a pipe."
)


@app.command()
def create(
    name: NewName,
    description: Description = "",
    aliases: Aliases = None,
    expires: Expires = None,
    rotate_every: Months = None,
    dual_authorisation: DualAuthorisation = False,
    key_ring: NewRing = None,
    instance: InstanceOf = None,
    key_manager: KeyManagerName = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Make a root key; it is usable at once."""
    from keyrack.embedded.creation import NewKey

    where = Where(config, key_manager, instance, key_ring)
    more = {"description": description, "alias": aliases, "expires": expires, "rotate_every": rotate_every}
    if there := abroad(where, **more, dual_authorisation=dual_authorisation):
        root_key_abroad.create(there, name, json=json)
        return
    wanted = NewKey(
        name=name,
        description=description,
        extractable=False,
        aliases=tuple(aliases or ()),
        expires_at=_expiry(expires),
    )
    _make(where, wanted, rotate_every=rotate_every, dual_authorisation=dual_authorisation, json=json)


@app.command("import")
def import_one(
    name: NewName,
    material: Annotated[str, Material],
    description: Description = "",
    aliases: Aliases = None,
    expires: Expires = None,
    dual_authorisation: DualAuthorisation = False,
    key_ring: NewRing = None,
    instance: InstanceOf = None,
    key_manager: KeyManagerName = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Make a root key of material of your own.

    It is never shown again. To rotate it you bring new material.
    """
    from keyrack.embedded.creation import NewKey
    from keyrack.shell.cli.root_key_material import material_of

    where = Where(config, key_manager, instance, key_ring)
    more = {"description": description, "alias": aliases, "expires": expires, "dual_authorisation": dual_authorisation}
    there, expires_at = abroad(where, **more), _expiry(expires)
    with material_of(material) as secret:
        if there is not None:
            root_key_abroad.create(there, name, json=json, material=secret)
            return
        wanted = NewKey(
            name=name,
            description=description,
            extractable=False,
            payload=secret,
            aliases=tuple(aliases or ()),
            expires_at=expires_at,
        )
        _make(where, wanted, rotate_every=None, dual_authorisation=dual_authorisation, json=json)
    if material != "-":
        screen.note(f"{material} is still there: keep a copy where nobody reads it, and remove it here.")


def _make(where: Where, wanted: "NewKey", *, rotate_every: int | None, dual_authorisation: bool, json: bool) -> None:
    from keyrack.embedded.creation import create, create_with_overrides
    from keyrack.shell.cli import root_key_screens as screens

    with open_desk(where) as desk:
        same = _living(desk, wanted.name)
        overrides = _overrides(desk, wanted, rotate_every, dual_authorisation)
        key = (
            create_with_overrides(desk.house, desk.call, overrides)
            if overrides
            else create(desk.house, desk.call, wanted)
        )
        told = screens.as_json(desk, key)
    if same:
        screen.warn(f"another root key is called {wanted.name!r} too: name this one by its identifier or an alias")
    if json:
        screen.as_json(told)
        return
    screen.say(f"Root key {screen.printable(key.name)} is {told['state']}.")
    length = f", imported, {screen.count(len(wanted.payload), 'byte')}" if wanted.payload is not None else ""
    rows = [
        ("identifier", key.identifier),
        ("kept by", f"{key.newest.keeper}{length}"),
        ("key ring", key.ring),
        ("aliases", ", ".join(told["aliases"])),
        ("expires", screen.moment(key.expires_at) if key.expires_at else ""),
        ("rotation", screens.rotation(key)),
        ("deletion takes", "two persons" if key.dual_auth_delete else ""),
    ]
    screen.pairs([(name, value) for name, value in rows if value])
    screen.say()
    option = f" --config {where.config}" if where.config else ""
    screen.say("Next, an instance whose keys it wraps:")
    among = f" --key-manager {where.key_manager}" if where.key_manager else ""
    screen.say(f"  keyrack instance create NAME --root-key {key.identifier}{among}{option}")


def _living(desk: "Desk", name: str) -> bool:
    with desk.house.reading() as reading:
        return bool(
            reading.count(
                "instance = ? AND extractable = 0 AND name = ? AND state <> 5", (desk.instance.identifier, name)
            )
        )


def _overrides(desk: "Desk", wanted: "NewKey", months: int | None, dual_authorisation: bool) -> "NewKey | None":
    """The key with the policies that were asked for; those that were not asked for stay the instance's."""
    from dataclasses import replace

    from keyrack.embedded.instances import PolicyType
    from keyrack.embedded.keys import RotationPolicy

    if months is None and not dual_authorisation:
        return None
    usual = desk.instance.enabled(PolicyType.ROTATION)
    if months is None and usual is not None and wanted.payload is None:
        months = int(str(usual.attributes["interval_month"]))
    return replace(
        wanted,
        dual_auth_delete=dual_authorisation or desk.instance.enabled(PolicyType.DUAL_AUTH_DELETE) is not None,
        rotation=RotationPolicy(enabled=True, months=months) if months is not None else None,
    )


def _expiry(text: str | None) -> int | None:
    from datetime import UTC, datetime

    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is not None and re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        moment = moment.replace(tzinfo=UTC)
    if moment is None or moment.tzinfo is None:
        raise WrongUse(f"{text!r} is not a date; write 2030-01-02, which begins at 00:00 UTC, or 2030-01-02T15:04:05Z")
    return int(moment.timestamp())


@app.command("list")
def list_all(
    state: Annotated[
        str | None, typer.Option(metavar="STATE", help="Only those in this state, or in several: active,disabled.")
    ] = None,
    search: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only those whose name or alias has this in it.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=MOST - 1, help="How many at most.")] = 200,
    key_ring: KeyRingName = None,
    instance: InstanceOf = None,
    key_manager: KeyManagerName = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """List the root keys that are not deleted, oldest first."""
    from keyrack.embedded import lookup
    from keyrack.shell.cli import root_key_screens as screens

    if there := abroad(Where(config, key_manager, instance, key_ring)):
        root_key_abroad.list_all(there, state=state, search=search, limit=limit, json=json)
        return
    wanted = {"extractable": "false", "limit": str(limit + 1), "sort": "creationDate"}
    wanted |= {name: value for name, value in (("state", screens.states(state)), ("search", search)) if value}
    with open_desk(Where(config, key_manager, instance, key_ring)) as desk:
        query = lookup.Query.parse(wanted)
        rows = [screens.as_row(desk, key) for key in lookup.page(desk.house, desk.call, query).keys]
        rows, more = rows[:limit], len(rows) > limit
        deleted = 0 if state else _deleted(desk)
    if json:
        screen.as_json(rows)
        return
    if rows:
        screens.show_list(rows)
    else:
        narrowed = state or search or key_ring
        screen.note(
            "No root key is like that."
            if narrowed
            else "No root key yet; make one with 'keyrack root-key create NAME'."
        )
    if more:
        screen.note(f"There are more than these {limit}; --limit shows them.")
    if deleted:
        screen.note(f"{screen.count(deleted, 'deleted root key')} not shown; --state deleted shows them.")


def _deleted(desk: "Desk") -> int:
    with desk.house.reading() as reading:
        return reading.count("instance = ? AND extractable = 0 AND state = 5", (desk.instance.identifier,))


@app.command()
def show(
    key: KeyName,
    key_ring: KeyRingName = None,
    instance: InstanceOf = None,
    key_manager: KeyManagerName = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Show everything about a root key.

    Its versions, who uses it, what has to wait and until when. Its material is never shown.
    """
    from keyrack.shell.cli import root_key_screens as screens

    if there := abroad(Where(config, key_manager, instance, key_ring)):
        root_key_abroad.show(there, key, json=json)
        return
    with open_desk(Where(config, key_manager, instance, key_ring)) as desk:
        found = desk.find(key)
        if json:
            screen.as_json(screens.as_json(desk, found))
        else:
            screens.show(desk, found)


@app.command()
def rotate(
    key: KeyName,
    material: Annotated[str | None, Material] = None,
    key_ring: KeyRingName = None,
    instance: InstanceOf = None,
    key_manager: KeyManagerName = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Give a root key another version.

    It wraps from now on; the older ones go on unwrapping. An imported root key takes new --material.
    """
    from keyrack.embedded import lifecycle
    from keyrack.embedded.iam.rights import Right
    from keyrack.shell.cli import root_key_screens as screens
    from keyrack.shell.cli.root_key_material import material_of

    if there := abroad(Where(config, key_manager, instance, key_ring), material=material):
        root_key_abroad.rotate(there, key, json=json)
        return
    with ExitStack() as stack:
        secret: Secret | None = stack.enter_context(material_of(material))
        desk = stack.enter_context(open_desk(Where(config, key_manager, instance, key_ring)))
        found = desk.find(key)
        with desk.journaled(Right.ROTATE, found):
            rotated = lifecycle.rotate(desk.house, desk.call, found.identifier, secret)
        told = screens.as_json(desk, rotated)
        users = [user for user in desk.users_of(rotated) if user.keys]
    if json:
        screen.as_json(told | {"keys_under_older_versions": sum(user.keys for user in users)})
        return
    screen.say(
        f"Root key {screen.printable(rotated.name)} has version {len(rotated.versions)} now, which wraps from now on."
    )
    if users:
        kept = " and ".join(f"{screen.count(user.keys, 'key')} of {user.name}" for user in users)
        screen.say(f"{kept} stay wrapped under older versions, which go on unwrapping them: nothing needs to be done.")
    else:
        screen.say("What older versions have wrapped, they go on unwrapping: nothing needs to be done.")


for command in (
    root_key_endings.disable,
    root_key_endings.enable,
    root_key_endings.delete,
    root_key_endings.set_for_deletion,
    root_key_endings.unset_for_deletion,
    root_key_endings.restore,
    root_key_endings.purge,
    root_key_moving.move,
    root_key_rewrap.rewrap,
):
    app.command()(command)
