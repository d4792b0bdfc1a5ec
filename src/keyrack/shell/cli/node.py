"""``keyrack node``: the endpoints that share a catalog, and how another one comes to be."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keyrack.shell.cli import screen
from keyrack.shell.cli.failures import Failed, WrongUse
from keyrack.shell.cli.options import ConfigFile, account, ask_passphrase, in_office

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyrack.embedded.root_keys.unlock import Passphrase
    from keyrack.ports.cluster import Node
    from keyrack.shell.nodes.invitations import Invitation
    from keyrack.shell.nodes.joining import Joined
    from keyrack.shell.office import Office
    from keyrack.shell.sealed.openers import AskPassphrase

app = typer.Typer(
    name="node", help="Endpoints that share a catalog, and how another one comes to be.", no_args_is_help=True
)

PassphraseFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE|-",
        help="File whose first line is the invitation's passphrase; '-' reads it from standard input. Else it is "
        "asked for.",
        show_default=False,
    ),
]
InvitationFile = Annotated[Path, typer.Argument(metavar="FILE", help="The invitation.", show_default=False)]


@app.command("list")
def list_all(config: ConfigFile = None, json: screen.Json = False) -> None:
    """List the nodes that serve from the catalog.

    A node that was stopped is not there any more; one that has crashed is, with when it was seen last.
    """

    async def look(office: "Office") -> "tuple[list[Node], int]":
        return list(await office.catalog.nodes()), office.now

    found, now = in_office(config, look)
    if json:
        screen.as_json([_as_json(each, now) for each in found])
        return
    rows = [
        [each.name, each.address, each.version, screen.brief(screen.instant(each.started_at)), _seen(each, now)]
        for each in found
    ]
    screen.table(["name", "address", "version", "started", "seen"], rows, spare=["started"])


@app.command()
def invite(
    node: Annotated[str, typer.Argument(metavar="NODE", help="Name that the new node is to have.", show_default=False)],
    names: Annotated[
        list[str] | None,
        typer.Option(
            "--name",
            metavar="HOST",
            help="Host name or address of its server certificate; may be repeated.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The file to write; NODE.keyrack without it.", show_default=False),
    ] = None,
    passphrase_file: PassphraseFile = None,
    again: Annotated[
        bool, typer.Option("--again", help="The node is there already: for 'keyrack node refresh' on it.")
    ] = False,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Write all that an equal node needs into one sealed file.

    Whoever has the file and its passphrase has every key of the deployment. Take it to the new machine, run 'keyrack
    node join' there, and remove it.
    """
    import dataclasses

    from keyrack.shell.config.whole import find, load
    from keyrack.shell.nodes.invitations import write

    file = find(config)
    target = (out or Path(f"{node}.keyrack")).expanduser().absolute()
    _check_new(node, names, target)
    _require_shared(load(file).catalog_path)

    async def gather(office: "Office") -> "Invitation":
        return await _gathered(office, file, node, names or [], again=again)

    made = in_office(config, gather)
    write(made, _new_passphrase(passphrase_file), target)
    if json:
        told = {"node": made.node, "deployment": made.deployment, "file": str(target), "names": made.names}
        told |= {"server_certificate_sha256": made.fingerprint, "elsewhere": made.elsewhere}
        copied = {name: dataclasses.asdict(each) for name, each in made.key_managers.items()}
        screen.as_json(told | {"made_at": screen.instant(made.made_at), "key_managers": copied})
        return
    _tell_invitation(made, target, again=again)


@app.command()
def join(
    file: InvitationFile,
    directory: Annotated[
        Path, typer.Option("--directory", "-d", metavar="DIR", help="Where everything is to be kept.")
    ],
    passphrase_file: PassphraseFile = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            metavar="FILE",
            help="The configuration to write; keyrack.toml in the directory without it.",
            show_default=False,
        ),
    ] = None,
    json: screen.Json = False,
) -> None:
    """Make this machine a node, of an invitation.

    Its directory, keys and configuration are written, and proved against the catalog that it is to share. Nothing is
    ever overwritten, and where anything fails nothing stays.
    """
    import asyncio

    from keyrack.shell.nodes.joining import join as run

    invitation = _opened(file, passphrase_file)
    target = directory.expanduser().absolute()
    place = (config or target / "keyrack.toml").expanduser().absolute()
    joined = asyncio.run(run(invitation, target, place, _ask()))
    _written_down(place, "node.join", invitation)
    if json:
        told = {"node": invitation.node, "deployment": invitation.deployment, "names": invitation.names}
        told |= {"directory": str(joined.directory), "config": str(joined.config), "missing": joined.missing}
        screen.as_json(told | {"server_certificate_sha256": invitation.fingerprint, "unproved": joined.unproved})
        return
    _tell_joined(invitation, joined, file)


@app.command()
def refresh(
    file: InvitationFile, passphrase_file: PassphraseFile = None, config: ConfigFile = None, json: screen.Json = False
) -> None:
    """Give this node's key managers a whole copy of another node's.

    For a node that was away for too long, or was restored from a backup. Stop its server before, and have an invitation
    made for it with 'keyrack node invite NODE --again'.
    """
    import asyncio

    from keyrack.shell.config.whole import find, load
    from keyrack.shell.nodes.joining import refresh as run

    place = find(config)
    invitation = _opened(file, passphrase_file)
    kept = asyncio.run(run(invitation, load(place), _ask()))
    _written_down(place, "node.refresh", invitation)
    if json:
        screen.as_json({"node": invitation.node, "kept": {name: str(path) for name, path in kept.items()}})
        return
    for name, path in kept.items():
        screen.say(f"Key manager {name} has the copy of {screen.instant(invitation.made_at)}, and all since.")
        screen.say(f"  What it had before is {path}, with what was used on this node alone in its journal.")
    screen.say("Start the server again, and remove the invitation:")
    screen.say(f"  shred -u {file}")


async def _gathered(office: "Office", file: Path, node: str, names: list[str], *, again: bool) -> "Invitation":
    from keyrack.ports.catalog import AlreadyThere, Unit
    from keyrack.ports.cluster import ClusterChanges
    from keyrack.service.office.server_certificates import require_change
    from keyrack.shell.nodes.inviting import Guest, invitation_for
    from keyrack.shell.nodes.joining import taken

    require_change(office.administration)
    other = taken(list(await office.catalog.nodes()), node, office.now)
    if not again and (other is not None or node == office.config.deployment.node):
        raise Failed(f"there is a node {node!r} already; choose another name, or say --again to renew its copy")
    try:
        belongs = ClusterChanges(deployment=office.config.deployment.id)
        await office.catalog.commit(Unit(entries=(), cluster=belongs))
    except AlreadyThere as error:
        raise Failed(f"{error}, and not to this one; correct catalog.url") from error
    made = invitation_for(Guest(node=node, names=names), office.config, file, _ask())
    detail: dict[str, str | int] = {"names": ", ".join(made.names)[:200], "certificate": made.fingerprint}
    await office.administration.commit("node.invite", "", node, detail)
    return made


def _require_shared(sqlite: Path | None) -> None:
    if sqlite is not None:
        raise Failed(
            f"the catalog is {sqlite}, and several nodes need one in PostgreSQL; move it there first, with 'keyrack "
            "migrate-catalog --to postgresql://...'"
        )


def _check_new(node: str, names: list[str] | None, target: Path) -> None:
    import re

    from keyrack.shell.config.key_managers import NAME

    if not re.fullmatch(NAME, node):
        raise WrongUse(f"{node!r} cannot be a node's name; use lower-case letters, digits and hyphens")
    if not names:
        raise WrongUse("say with --name by which host name or address clients reach the new node")
    for name in names:
        if not re.fullmatch(r"[A-Za-z0-9.:_-]+", name):
            raise WrongUse(f"{name!r} is neither a host name nor an address; repeat --name for several")
    if target.exists():
        raise Failed(f"{target} is there already, and nothing is ever overwritten; give another --out")


def _new_passphrase(file: Path | None) -> "Passphrase":
    from keyrack.domain.secret import Secret
    from keyrack.embedded.root_keys.unlock import Passphrase
    from keyrack.shell.cli.protection import strong, typed

    if file is not None:
        return Passphrase(Secret(strong(_line_of(file))))
    if not sys.stdin.isatty():
        raise WrongUse("nobody is at a terminal to be asked for a passphrase; say --passphrase-file FILE, or '-'")
    return Passphrase(Secret(typed("Passphrase of the invitation")))


def _opened(file: Path, passphrase_file: Path | None) -> "Invitation":
    import getpass

    from keyrack.domain.secret import Secret
    from keyrack.embedded.root_keys.unlock import Passphrase
    from keyrack.shell.nodes.invitations import read

    if passphrase_file is not None:
        typed = _line_of(passphrase_file)
    elif sys.stdin.isatty():
        typed = bytearray(getpass.getpass("Passphrase of the invitation: ").encode())
    else:
        raise WrongUse("nobody is at a terminal to be asked for the passphrase; say --passphrase-file FILE, or '-'")
    return read(file, Passphrase(Secret(typed)))


def _line_of(file: Path) -> bytearray:
    from keyrack.shell.cli.protection import in_file
    from keyrack.shell.sealed.openers import first_line

    return first_line(Path("/dev/stdin")) if file == Path("-") else in_file(file)


def _ask() -> "AskPassphrase | None":
    return ask_passphrase if sys.stdin.isatty() else None


def _written_down(config: Path, action: str, invitation: "Invitation") -> None:
    """Into the journal of the catalog; what is done is done where that cannot be."""
    from keyrack.ports.catalog import CatalogUnavailable

    async def act(office: "Office") -> None:
        await office.administration.commit(action, "", invitation.node, {"by": account()})

    try:
        in_office(config, act)
    except CatalogUnavailable as error:
        screen.warn(f"done, and not in the journal: {error}")


def _tell_invitation(made: "Invitation", target: Path, *, again: bool) -> None:
    from keyrack.shell.pki import spaced

    screen.say(f"Node {made.node} is invited into {made.deployment}: {target}")
    screen.pairs([("  server names", ", ".join(made.names)), ("  server SHA-256", spaced(made.fingerprint))])
    screen.warn("whoever has this file and its passphrase has every key of the deployment; send them on two ways")
    for path in made.elsewhere:
        screen.warn(f"{path} is outside of the deployment's directory, and not in it: put it on the new machine")
    screen.say()
    screen.say("Next, on the machine of the node:")
    what = "node refresh" if again else "node join --directory /var/lib/keyrack"
    screen.say(f"  keyrack {what} {target.name}")


def _tell_joined(invitation: "Invitation", joined: "Joined", file: Path) -> None:
    from keyrack.shell.pki import spaced

    screen.say(f"This is node {invitation.node} of {invitation.deployment}:")
    screen.pairs(
        [
            ("  configuration", joined.config),
            ("  directory", joined.directory),
            ("  server names", ", ".join(invitation.names)),
            ("  server SHA-256", spaced(invitation.fingerprint)),
        ]
    )
    for path in joined.missing:
        screen.warn(f"the configuration names {path}, which is not on this machine: put it there")
    for name, why in joined.unproved.items():
        screen.warn(f"key manager {name} was not opened: {why}")
    screen.say()
    screen.say("Next:")
    screen.say(f"  shred -u {file}")
    screen.say(f"  keyrack serve --config {joined.config}")
    screen.say("  in vCenter, add this node as a second server of the key provider, and compare its fingerprint")


def _seen(node: "Node", now: int) -> str:
    late = max(0, now - node.seen_at)
    return "now" if late <= _NOW else f"{late} s ago"


def _as_json(node: "Node", now: int) -> "Mapping[str, object]":
    return {
        "name": node.name,
        "address": node.address,
        "version": node.version,
        "schema": node.schema,
        "started_at": screen.instant(node.started_at),
        "seen_at": screen.instant(node.seen_at),
        "seconds_since_seen": max(0, now - node.seen_at),
    }


_NOW = 2
"""Seconds within which a node that lives has written."""
