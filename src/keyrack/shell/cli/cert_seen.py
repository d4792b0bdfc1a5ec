"""``keyrack cert seen`` and ``keyrack cert trust``: certificates that knocked, and one command that lets one in."""

from typing import TYPE_CHECKING, Annotated

import typer

from keyrack.shell.cli import enforcing, screen
from keyrack.shell.cli.cert_screen import certificate_json, show
from keyrack.shell.cli.consent import require_person
from keyrack.shell.cli.failures import WrongUse
from keyrack.shell.cli.options import ConfigFile, InstanceName, in_office

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keyrack.domain.instances import SeenCertificate
    from keyrack.service.office.certificates import Offered
    from keyrack.shell.kmip.taken import InForce
    from keyrack.shell.office import Office

LEAST_PREFIX = 8
"""Digits of a fingerprint that have to be typed."""


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(seen)
    app.command()(trust)


def seen(config: ConfigFile = None, json: screen.Json = False) -> None:
    """List certificates that knocked and are not trusted.

    Nothing that they say is proved. 'keyrack cert trust' lets one in.
    """

    async def look(office: "Office") -> "Sequence[SeenCertificate]":
        from keyrack.service.office import authorities

        return await authorities.seen(office.administration, office.catalog)

    found = in_office(config, look)
    if json:
        screen.as_json([_json(each) for each in found])
    elif not found:
        screen.note("No unknown certificate has knocked.")
    else:
        screen.table(
            ("fingerprint", "subject", "from", "first seen", "last seen", "times", "why it was refused"),
            [
                (
                    each.fingerprint[:16],
                    each.subject,
                    each.address,
                    screen.moment(each.first_at),
                    screen.moment(each.last_at),
                    each.count,
                    each.reason,
                )
                for each in found
            ],
            spare=("first seen", "from", "times"),
        )
        screen.note("'keyrack cert trust INSTANCE FINGERPRINT' lets one in.")


def trust(
    instance: InstanceName,
    fingerprint: Annotated[
        str, typer.Argument(metavar="FINGERPRINT", help="Its SHA-256 or the beginning of it; see 'keyrack cert seen'.")
    ],
    typed: Annotated[
        str | None,
        typer.Option(
            "--confirm",
            metavar="FINGERPRINT",
            help="At least 8 digits of the fingerprint, as vCenter shows it; where nobody is at a terminal.",
            show_default=False,
        ),
    ] = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Trust a certificate that knocked, at once.

    It is shown first, and the beginning of its fingerprint has to be typed, as vCenter shows it: anybody can knock with
    any name.
    """

    async def act(office: "Office") -> "tuple[Offered, InForce]":
        from keyrack.service.office import authorities

        found = await office.administration.instance(instance)
        knocked = await authorities.find_seen(office.administration, office.catalog, fingerprint)
        offered = authorities.offered_of(knocked, found, office.now)
        if not json:
            show(offered)
            screen.pairs([("knocked from", f"{knocked.address}, {screen.count(knocked.count, 'time')}")])
        _compare(knocked, typed)
        await authorities.trust_seen(office.administration, found, knocked)
        return offered, await enforcing.taken_everywhere(office)

    offered, in_force = in_office(config, act)
    if json:
        told = {"remarks": list(offered.remarks), "added": True, "in_force": in_force.as_json()}
        screen.as_json(certificate_json(offered.certificate, instance) | told)
        return
    screen.say(f"Trusted: it may use every key of {instance} from now on.")
    enforcing.tell(in_force)


def _compare(knocked: "SeenCertificate", typed: str | None) -> None:
    """A person has looked at the fingerprint on the other side too; raises :class:`WrongUse`."""
    if typed is None:
        require_person("trust it", f"--confirm {knocked.fingerprint[:LEAST_PREFIX]}")
        screen.warn(
            "whoever knocked first may not be who you think: compare the fingerprint with the one that vCenter shows "
            "(Key Providers ▸ the provider ▸ the server ▸ View Certificate)"
        )
        typed = typer.prompt("The first 8 digits of the fingerprint that vCenter shows", err=True)
    digits = typed.replace(":", "").replace(" ", "").lower()
    if len(digits) < LEAST_PREFIX or not knocked.fingerprint.startswith(digits):
        raise WrongUse(
            f"{typed!r} is not how the certificate's fingerprint begins (at least {LEAST_PREFIX} digits); compare it "
            "with what vCenter shows. Nothing was changed"
        )


def _json(each: "SeenCertificate") -> dict[str, object]:
    return {
        "fingerprint": each.fingerprint,
        "subject": each.subject,
        "address": each.address,
        "reason": each.reason,
        "first_at": screen.instant(each.first_at),
        "last_at": screen.instant(each.last_at),
        "count": each.count,
    }
