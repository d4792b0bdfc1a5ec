"""``keyrack cert``: which client certificates may use the keys of an instance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from keyrack.shell.cli import cert_rotating, cert_seen, cert_signing, enforcing, screen
from keyrack.shell.cli.cert_screen import ALARMS, admitted_json, certificate_json, material_of, show
from keyrack.shell.cli.consent import Confirm, Yes, confirmed, consent
from keyrack.shell.cli.failures import Failed
from keyrack.shell.cli.options import ConfigFile, InstanceName, in_office

if TYPE_CHECKING:
    from keyrack.domain.instances import ClientCertificate, Instance, SeenCertificate
    from keyrack.service.office.certificates import Offered
    from keyrack.shell.kmip.taken import InForce
    from keyrack.shell.office import Office

    Listed = tuple[Sequence[ClientCertificate], Sequence[SeenCertificate], Mapping[str, str], Mapping[str, str], int]

app = typer.Typer(name="cert", help="Client certificates of instances.", no_args_is_help=True)

for room in (cert_signing, cert_seen, cert_rotating):
    room.register(app)


@app.command()
def add(
    instance: InstanceName,
    file: Annotated[
        str, typer.Argument(metavar="FILE|-", help="The certificate in PEM or DER; '-' reads it from standard input.")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what the certificate is; add nothing.")] = False,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Add a client certificate, at once.

    What it is gets shown before it counts; no restart is needed.
    """
    from keyrack.service.office.certificates import UnusableCertificate, read

    material = material_of(file)

    async def act(office: "Office") -> "tuple[Offered, InForce | None]":
        found = await office.administration.instance(instance)
        try:
            offered = read(material, instance=found.identifier, at=office.now)
        except UnusableCertificate as error:
            raise Failed(f"{'standard input' if file == '-' else file}: {error}") from error
        if not json:
            show(offered)
        if dry_run:
            return offered, None
        await office.administration.add_certificate(offered.certificate)
        return offered, await enforcing.taken_everywhere(office)

    offered, in_force = in_office(config, act)
    if json:
        told: dict[str, object] = {"remarks": list(offered.remarks), "added": not dry_run}
        told["in_force"] = in_force.as_json() if in_force else None
        screen.as_json(certificate_json(offered.certificate, instance) | told)
    elif in_force is None:
        screen.say("Nothing was added.")
    else:
        screen.say(f"Added: it may use every key of {instance} from now on.")
        enforcing.tell(in_force)


@app.command("list")
def list_all(
    instance: Annotated[str | None, typer.Argument(metavar="[INSTANCE]", help="Only this instance's.")] = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """List the client certificates in force.

    Those that a trusted authority has let in are listed behind them.
    """
    from keyrack.service.office import admissions
    from keyrack.service.office.certificates import alarm_due, days_left

    async def look(office: "Office") -> "Listed":
        wanted = await office.administration.instance(instance) if instance else None
        names = {each.identifier: each.name for each in await office.administration.instances()}
        pinned, admitted = await admissions.listed(office.administration, office.catalog, wanted)
        authorities = {each.fingerprint: each.name for each in await office.catalog.authorities()}
        return pinned, admitted, names, authorities, office.now

    pinned, admitted, names, authorities, now = in_office(config, look)
    if json:
        screen.as_json(
            [
                certificate_json(each, names.get(each.instance, each.instance))
                | {"days_left": days_left(each, now), "alarm": alarm_due(each, now), "authority": None}
                for each in pinned
            ]
            + [admitted_json(each, names.get(each.instance, each.instance)) for each in admitted]
        )
        return
    if not pinned and not admitted:
        screen.note("No client certificate yet; add one with 'keyrack cert add INSTANCE FILE'.")
    if pinned:
        screen.table(
            ("fingerprint", "instance", "subject", "expires", "days left", "to do"),
            [
                (
                    each.fingerprint[:16],
                    names.get(each.instance, each.instance),
                    each.subject,
                    screen.day(each.not_after),
                    days_left(each, now),
                    ALARMS[alarm_due(each, now)],
                )
                for each in pinned
            ],
            spare=("days left",),
        )
    if admitted:
        screen.say("\nLet in by a trusted authority:" if pinned else "Let in by a trusted authority:")
        screen.table(
            ("fingerprint", "instance", "subject", "authority", "last seen", "from"),
            [
                (
                    each.fingerprint[:16],
                    names.get(each.instance, each.instance),
                    each.subject,
                    authorities.get(each.authority, each.authority[:16]),
                    screen.moment(each.last_at),
                    each.address,
                )
                for each in admitted
            ],
            spare=("from", "last seen"),
        )


@app.command()
def remove(
    instance: InstanceName,
    fingerprint: Annotated[str, typer.Argument(metavar="FINGERPRINT", help="Its SHA-256 or the beginning of it.")],
    yes: Yes = False,
    confirm: Confirm = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Remove a client certificate, at once.

    It counts on open connections too. One that a trusted authority lets in is barred: no authority of the instance lets
    it in any more, until 'keyrack authority unbar'.
    """
    from keyrack.service.office.client_removal import take_away as take_away_client

    async def act(office: "Office") -> "tuple[Kept, int, InForce]":
        found = await office.administration.instance(instance)
        kept = await _kept(office, found, fingerprint)
        consent("remove it", f"Remove {kept.subject} ({kept.fingerprint[:16]}) from {instance}?", yes=yes)

        async def take_away(words: str | None) -> None:
            await take_away_client(office.administration, office.catalog, found, kept.fingerprint, confirmation=words)

        await confirmed(take_away, confirm)
        left = len(await office.administration.certificates(found)) + len(
            await office.catalog.authorities(found.identifier)
        )
        return kept, left, await enforcing.taken_everywhere(office)

    removed, left, in_force = in_office(config, act)
    if json:
        told = {"removed": True, "certificates_left": left, "in_force": in_force.as_json()}
        screen.as_json(removed.as_json(instance) | told)
        return
    screen.say(f"Removed {removed.subject} ({removed.fingerprint[:16]}) from {instance}.")
    enforcing.tell(in_force)
    screen.say("A host that holds a key already keeps it until it restarts.")
    if not left:
        screen.warn(f"{instance} has no client certificate left: nobody reaches its keys")


@dataclass(frozen=True, slots=True)
class Kept:
    """A certificate that can be removed: pinned, let in by an authority, or known by its fingerprint alone."""

    fingerprint: str
    subject: str
    pinned: "ClientCertificate | None" = None

    def as_json(self, instance: str) -> dict[str, object]:
        """As far as it is known."""
        if self.pinned is not None:
            return certificate_json(self.pinned, instance)
        return {"fingerprint": self.fingerprint, "instance": instance, "subject": self.subject}


async def _kept(office: "Office", instance: "Instance", prefix: str) -> Kept:
    """What begins with this fingerprint; a whole one is taken as it is, where an authority may let it in."""
    from keyrack.service.office import admissions
    from keyrack.service.office.refusals import NotThere

    whole = prefix.replace(":", "").lower()
    pinned, admitted = await admissions.listed(office.administration, office.catalog, instance)
    held = [Kept(each.fingerprint, each.subject, each) for each in pinned]
    held += [Kept(each.fingerprint, each.subject) for each in admitted]
    nothing = f"instance {instance.name!r} has no certificate"
    try:
        return admissions.one_of(held, prefix, nothing, f"see 'keyrack cert list {instance.name}'")
    except NotThere:
        if len(whole) == WHOLE and await office.catalog.authorities(instance.identifier):
            return Kept(whole, "a certificate that was not seen yet")
        raise


WHOLE = 64
"""Hexadecimal digits of a whole fingerprint."""
