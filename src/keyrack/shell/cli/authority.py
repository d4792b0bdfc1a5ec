"""``keyrack authority``: certificate authorities whose clients an instance lets in."""

from typing import TYPE_CHECKING, Annotated

import typer

from keyrack.shell.cli import enforcing, screen
from keyrack.shell.cli.cert_screen import material_of
from keyrack.shell.cli.consent import Confirm, Yes, confirmed, consent
from keyrack.shell.cli.options import ConfigFile, InstanceName, in_office

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from keyrack.domain.instances import TrustedAuthority
    from keyrack.service.office.authorities import OfferedAuthority
    from keyrack.shell.kmip.taken import InForce
    from keyrack.shell.office import Office

app = typer.Typer(
    name="authority", help="Certificate authorities whose clients an instance lets in.", no_args_is_help=True
)


@app.command()
def add(
    instance: InstanceName,
    file: Annotated[
        str, typer.Argument(metavar="FILE|-", help="The authority in PEM or DER; '-' reads it from standard input.")
    ],
    subject: Annotated[
        str,
        typer.Option(
            metavar="PATTERN",
            help="What a client's subject has to be like (RFC 4514, as 'CN=vc*.example.com,O=Example'); '*' stands for "
            "any characters.",
            show_default=False,
        ),
    ] = "",
    san: Annotated[
        str,
        typer.Option(
            metavar="PATTERN",
            help="What one DNS name, address or mail address of a client has to be like.",
            show_default=False,
        ),
    ] = "",
    name: Annotated[
        str, typer.Option(metavar="NAME", help="What to call it; made of its subject without it.", show_default=False)
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show whom it would let in; add nothing.")] = False,
    yes: Yes = False,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Let in the clients of a certificate authority.

    Whom it would let in is shown before it counts. A certificate that is added by itself needs no authority.
    """
    material = material_of(file, "authority's certificate")

    async def act(office: "Office") -> "tuple[OfferedAuthority, InForce | None]":
        from keyrack.service.office import authorities

        found = await office.administration.instance(instance)
        terms = authorities.Terms(subject_pattern=subject, san_pattern=san, name=name)
        own = _own(office)
        offered = authorities.read_authority(material, found, terms, at=office.now, own=own)
        if not json:
            _show(offered)
        if dry_run:
            return offered, None
        consent("trust it", f"Let in {offered.admits}, to every key of {instance}?", yes=yes)
        await authorities.trust(office.administration, offered.authority)
        return offered, await enforcing.taken_everywhere(office)

    offered, in_force = in_office(config, act)
    if json:
        told = {"admits": offered.admits, "remarks": list(offered.remarks), "added": not dry_run}
        shown = {"in_force": in_force.as_json() if in_force else None}
        screen.as_json(authority_json(offered.authority, instance) | told | shown)
    elif in_force is None:
        screen.say("Nothing was added.")
    else:
        screen.say(f"Trusted: its clients may use every key of {instance} from now on.")
        enforcing.tell(in_force)


def _own(office: "Office") -> str:
    from keyrack.shell.pki import fingerprint_of_file

    try:
        return fingerprint_of_file(office.config.directory / "tls/ca.pem")
    except (OSError, ValueError):
        return ""


def _show(offered: "OfferedAuthority") -> None:
    from keyrack.shell.pki import spaced

    authority = offered.authority
    screen.pairs(
        [
            ("subject", authority.subject or "(none)"),
            ("SHA-256", spaced(authority.fingerprint)),
            ("valid", f"{screen.moment(authority.not_before)} to {screen.moment(authority.not_after)}"),
            ("key", offered.key),
            ("lets in", offered.admits),
        ]
    )
    for remark in offered.remarks:
        screen.warn(remark)


@app.command("list")
def list_all(
    instance: Annotated[str | None, typer.Argument(metavar="[INSTANCE]", help="Only this instance's.")] = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """List trusted authorities, and the certificates that are barred from coming in by one."""

    async def look(
        office: "Office",
    ) -> "tuple[Sequence[TrustedAuthority], Sequence[tuple[str, str]], Mapping[str, str]]":
        from keyrack.service.office import authorities

        wanted = await office.administration.instance(instance) if instance else None
        names = {each.identifier: each.name for each in await office.administration.instances()}
        held = await authorities.trusted(office.administration, wanted)
        return held, await office.catalog.barred(wanted.identifier if wanted else None), names

    held, barred, names = in_office(config, look)
    if json:
        screen.as_json(
            {
                "authorities": [authority_json(each, names.get(each.instance, each.instance)) for each in held],
                "barred": [{"instance": names.get(each[0], each[0]), "fingerprint": each[1]} for each in barred],
            }
        )
        return
    if not held:
        screen.note("No authority is trusted; only certificates that were added by themselves come in.")
    else:
        screen.table(
            ("name", "instance", "subject", "subject pattern", "san pattern", "expires"),
            [
                (
                    each.name,
                    names.get(each.instance, each.instance),
                    each.subject,
                    each.subject_pattern,
                    each.san_pattern,
                    screen.moment(each.not_after),
                )
                for each in held
            ],
        )
    for whose, fingerprint in barred:
        screen.say(f"Barred from {names.get(whose, whose)}: {fingerprint}")


@app.command()
def remove(
    instance: InstanceName,
    which: Annotated[
        str, typer.Argument(metavar="NAME|FINGERPRINT", help="Its name, or the beginning of its SHA-256.")
    ],
    yes: Yes = False,
    confirm: Confirm = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Let in nobody by an authority any more, at once.

    It counts on open connections too. Certificates that were added by themselves stay.
    """

    async def act(office: "Office") -> "tuple[TrustedAuthority, InForce]":
        from keyrack.service.office import authorities, client_removal

        found = await office.administration.instance(instance)
        authority = await authorities.find_authority(office.administration, found, which)
        consent("remove it", f"Let in nobody by {authority.name} ({authority.subject}) any more?", yes=yes)

        async def distrust(words: str | None) -> None:
            await client_removal.distrust(office.administration, office.catalog, found, authority, confirmation=words)

        await confirmed(distrust, confirm)
        return authority, await enforcing.taken_everywhere(office)

    removed, in_force = in_office(config, act)
    if json:
        screen.as_json(authority_json(removed, instance) | {"removed": True, "in_force": in_force.as_json()})
        return
    screen.say(f"Removed {removed.name} ({removed.fingerprint[:16]}) from {instance}.")
    enforcing.tell(in_force)


@app.command()
def unbar(
    instance: InstanceName,
    fingerprint: Annotated[str, typer.Argument(metavar="FINGERPRINT", help="Its SHA-256 or the beginning of it.")],
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Let authorities let in a certificate again that was removed."""

    async def act(office: "Office") -> "tuple[str, InForce]":
        from keyrack.service.office import admissions

        found = await office.administration.instance(instance)
        unbarred = await admissions.unbar(office.administration, office.catalog, found, fingerprint)
        return unbarred, await enforcing.taken_everywhere(office)

    unbarred, in_force = in_office(config, act)
    if json:
        told = {"fingerprint": unbarred, "instance": instance, "barred": False}
        screen.as_json(told | {"in_force": in_force.as_json()})
        return
    screen.say(f"Authorities of {instance} may let in {unbarred[:16]} again.")
    enforcing.tell(in_force)


def authority_json(authority: "TrustedAuthority", instance: str) -> dict[str, object]:
    """A trusted authority as JSON."""
    return {
        "fingerprint": authority.fingerprint,
        "instance": instance,
        "name": authority.name,
        "subject": authority.subject,
        "subject_pattern": authority.subject_pattern,
        "san_pattern": authority.san_pattern,
        "not_before": screen.instant(authority.not_before),
        "not_after": screen.instant(authority.not_after),
        "added_at": screen.instant(authority.added_at),
    }
