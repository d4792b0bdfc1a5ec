"""``keyrack cert rotate``: walks the replacement of a client certificate through, without a gap."""

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from keyrack.shell.cli import enforcing, screen
from keyrack.shell.cli.cert_screen import certificate_json, material_of, show
from keyrack.shell.cli.consent import Yes, consent
from keyrack.shell.cli.failures import Failed, WrongUse
from keyrack.shell.cli.options import ConfigFile, InstanceName, in_office

if TYPE_CHECKING:
    from keyrack.domain.instances import Instance
    from keyrack.service.office.rotation import Rotation, Used
    from keyrack.shell.office import Office

LOOK_EVERY = 1.0
"""Seconds between two looks for the first use of the new certificate."""


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(rotate)


def rotate(
    instance: InstanceName,
    new: Annotated[
        str | None,
        typer.Option(metavar="FILE|-", help="Add this certificate as the new one.", show_default=False),
    ] = None,
    wait: Annotated[
        int, typer.Option(min=0, max=86_400, metavar="SECONDS", help="How long to wait for its first use.")
    ] = 0,
    remove_old: Annotated[
        bool, typer.Option("--remove-old", help="Remove the old ones, once the new one is in use.")
    ] = False,
    yes: Yes = False,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Replace a client certificate without a gap.

    The new one is added, it is seen in use, and the old one is removed. Each step can be done by itself, and whatever
    was left is taken up by calling this again.
    """
    interactive = sys.stdin.isatty() and not json

    async def act(office: "Office") -> "Rotation":
        found = await office.administration.instance(instance)
        rotation = await _look(office, found, tell=not json)
        if new is not None or (interactive and rotation.step == "add"):
            await _add(office, found, new or "-", quiet=json, ask=interactive and not yes)
            rotation = await _look(office, found, tell=False)
        if rotation.step == "wait" and (wait or interactive):
            rotation = await _wait(office, found, rotation, wait or 600)
        if rotation.step == "remove" and (remove_old or interactive):
            await _remove(office, found, rotation, yes=yes)
            return await _look(office, found, tell=False)
        if remove_old:
            _refuse_removal(instance, rotation)
        return rotation

    rotation = in_office(config, act)
    if json:
        screen.as_json(_json(rotation, instance))
    else:
        screen.say(_next(rotation, instance))


async def _look(office: "Office", instance: "Instance", *, tell: bool) -> "Rotation":
    from keyrack.service.office.rotation import standing

    held = await office.administration.certificates(instance)
    uses, _ = await office.catalog.last_uses(instance.identifier)
    rotation = standing(held, uses)
    if tell:
        rows = [(each, "old" if rotation.new else "") for each in rotation.old]
        rows += [(rotation.new, "new")] if rotation.new else []
        screen.table(
            ("fingerprint", "subject", "expires", "added", "last use", ""),
            [
                (
                    each.certificate.fingerprint[:16],
                    each.certificate.subject,
                    screen.moment(each.certificate.not_after),
                    screen.moment(each.certificate.added_at),
                    screen.moment(each.last_use) if each.last_use else "never",
                    what,
                )
                for each, what in rows
            ],
        )
    return rotation


async def _add(office: "Office", instance: "Instance", file: str, *, quiet: bool, ask: bool) -> None:
    """Show the new certificate, and let it in beside the old ones."""
    from keyrack.service.office.certificates import read

    if file == "-" and not quiet:
        screen.note("In vCenter: the key provider ▸ Establish Trust ▸ make the new certificate, and copy it.")
    offered = read(material_of(file), instance=instance.identifier, at=office.now)
    if not quiet:
        show(offered)
    if ask and file != "-":  # what was pasted has used up standard input, and was just chosen by hand
        consent("add it", f"Let it use every key of {instance.name}, beside the old ones?", yes=False)
    await office.administration.add_certificate(offered.certificate)
    in_force = await enforcing.taken_everywhere(office)
    if not quiet:
        screen.say("Added, beside the old ones.")
        enforcing.tell(in_force)


async def _wait(office: "Office", instance: "Instance", rotation: "Rotation", seconds: int) -> "Rotation":
    """Until the new certificate was used, at most so many seconds; only the journal's new records are read."""
    import asyncio

    from keyrack.service.office.rotation import standing

    assert rotation.new is not None
    screen.note(
        f"Waiting up to {seconds} s for the first request with {rotation.new.certificate.fingerprint[:16]}; "
        "Ctrl-C leaves it as it is, and calling this again goes on."
    )
    until = time.monotonic() + seconds
    known, after = await office.catalog.last_uses(instance.identifier)
    uses = dict(known)
    while rotation.step == "wait" and time.monotonic() < until:
        await asyncio.sleep(LOOK_EVERY)
        fresh, after = await office.catalog.last_uses(instance.identifier, after)
        uses |= fresh
        rotation = standing(await office.administration.certificates(instance), uses)
    return rotation


async def _remove(office: "Office", instance: "Instance", rotation: "Rotation", *, yes: bool) -> None:
    from keyrack.service.office.client_removal import take_away

    for each in rotation.still_used:
        screen.warn(
            f"{each.certificate.fingerprint[:16]} was used at {screen.moment(each.last_use)}, after the new one: "
            "something has not changed over yet"
        )
    names = ", ".join(each.certificate.fingerprint[:16] for each in rotation.old)
    consent("remove the old ones", f"Remove {names} from {instance.name}?", yes=yes)
    for each in rotation.old:
        await take_away(office.administration, office.catalog, instance, each.certificate.fingerprint)
    in_force = await enforcing.taken_everywhere(office)
    screen.note(f"Removed {names}. {in_force.told()}.")


def _refuse_removal(instance: str, rotation: "Rotation") -> None:
    if rotation.step == "add":
        raise WrongUse(f"{instance} has no older certificate to remove; hand over the new one first, with --new")
    raise Failed(
        "the new certificate has not been used yet, so the old ones stay; upload it to vCenter, then try again, or "
        f"remove one all the same with 'keyrack cert remove {instance} FINGERPRINT'"
    )


def _next(rotation: "Rotation", instance: str) -> str:
    if rotation.step == "add":
        return f"Next: hand over the new certificate: keyrack cert rotate {instance} --new FILE"
    assert rotation.new is not None
    name = rotation.new.certificate.fingerprint[:16]
    if rotation.step == "wait":
        return f"Next: have vCenter use {name}; then go on with: keyrack cert rotate {instance} --wait 600 --remove-old"
    return f"{name} is in use. Next: keyrack cert rotate {instance} --remove-old"


def _json(rotation: "Rotation", instance: str) -> dict[str, object]:
    def one(used: "Used") -> dict[str, object]:
        return certificate_json(used.certificate, instance) | {"last_use": screen.instant(used.last_use)}

    return {
        "instance": instance,
        "step": str(rotation.step),
        "new": one(rotation.new) if rotation.new else None,
        "old": [one(each) for each in rotation.old],
        "old_still_used": [each.certificate.fingerprint for each in rotation.still_used],
        "next": _next(rotation, instance),
    }
