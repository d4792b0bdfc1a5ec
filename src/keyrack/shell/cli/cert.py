"""``keyrack cert``: which client certificates may use the keys of an instance."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keyrack.shell.cli import screen
from keyrack.shell.cli.consent import Yes, consent
from keyrack.shell.cli.failures import Failed
from keyrack.shell.cli.options import ConfigFile, InstanceName, in_office

if TYPE_CHECKING:
    from keyrack.domain.instances import ClientCertificate
    from keyrack.service.office.certificates import Offered
    from keyrack.shell.office import Office

app = typer.Typer(name="cert", help="Client certificates of instances.", no_args_is_help=True)

_LARGEST = 1_048_576
"""Bytes of input that are read: a certificate has a few thousand."""


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

    material = _material(file)

    async def act(office: "Office") -> "Offered":
        found = await office.administration.instance(instance)
        try:
            offered = read(material, instance=found.identifier, at=office.now)
        except UnusableCertificate as error:
            raise Failed(f"{'standard input' if file == '-' else file}: {error}") from error
        if not json:
            _show(offered)
        if not dry_run:
            await office.administration.add_certificate(offered.certificate)
        return offered

    offered = in_office(config, act)
    if json:
        screen.as_json(_json(offered.certificate, instance) | {"remarks": list(offered.remarks), "added": not dry_run})
    elif dry_run:
        screen.say("Nothing was added.")
    else:
        screen.say(f"Added: it may use every key of {instance} from now on.")


def _material(file: str) -> bytes:
    if file == "-":
        if sys.stdin.isatty():
            screen.note("Paste the certificate, then press Ctrl-D:")
        return sys.stdin.buffer.read(_LARGEST)
    with open(file, "rb") as opened:
        return opened.read(_LARGEST)


def _show(offered: "Offered") -> None:
    from keyrack.shell.pki import spaced

    certificate = offered.certificate
    screen.pairs(
        [
            ("subject", certificate.subject or "(none)"),
            ("SHA-256", spaced(certificate.fingerprint)),
            ("valid", f"{screen.moment(certificate.not_before)} to {screen.moment(certificate.not_after)}"),
            ("key", offered.key),
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
    """List the client certificates in force."""
    from keyrack.service.office.certificates import days_left

    async def look(office: "Office") -> "tuple[list[tuple[ClientCertificate, str]], int]":
        wanted = await office.administration.instance(instance) if instance else None
        names = {each.identifier: each.name for each in await office.administration.instances()}
        held = await office.administration.certificates(wanted)
        return [
            (certificate, names.get(certificate.instance, certificate.instance)) for certificate in held
        ], office.now

    found, now = in_office(config, look)
    if json:
        screen.as_json(
            [_json(certificate, name) | {"days_left": days_left(certificate, now)} for certificate, name in found]
        )
    elif not found:
        screen.note("No client certificate yet; add one with 'keyrack cert add INSTANCE FILE'.")
    else:
        screen.table(
            ("fingerprint", "instance", "subject", "expires", "days left"),
            [(c.fingerprint[:16], name, c.subject, screen.moment(c.not_after), days_left(c, now)) for c, name in found],
        )


@app.command()
def remove(
    instance: InstanceName,
    fingerprint: Annotated[str, typer.Argument(metavar="FINGERPRINT", help="Its SHA-256 or the beginning of it.")],
    yes: Yes = False,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Remove a client certificate, at once.

    It counts on open connections too.
    """

    async def act(office: "Office") -> "tuple[ClientCertificate, int]":
        found = await office.administration.instance(instance)
        certificate = await office.administration.certificate(found, fingerprint)
        shown = f"{certificate.subject} ({certificate.fingerprint[:16]})"
        consent("remove it", f"Remove {shown} from {instance}?", yes=yes)
        await office.administration.remove_certificate(certificate)
        return certificate, len(await office.administration.certificates(found))

    removed, left = in_office(config, act)
    if json:
        screen.as_json(_json(removed, instance) | {"removed": True, "certificates_left": left})
        return
    screen.say(f"Removed {removed.subject} ({removed.fingerprint[:16]}) from {instance}.")
    screen.say("A host that holds a key already keeps it until it restarts.")
    if not left:
        screen.warn(f"{instance} has no client certificate left: nobody reaches its keys")


@app.command()
def issue(
    instance: InstanceName,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Directory for the two files; it is made if it is missing.")],
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Common name; the instance's name without it.")
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=7300, help="How long it is valid.")] = 3650,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Make a certificate and key, and add it.

    For vCenter's method "KMS certificate and private key", and for other KMIP clients.
    """
    from datetime import UTC, datetime

    from keyrack.service.office.certificates import read
    from keyrack.shell import pki

    async def act(office: "Office") -> "Offered":
        found = await office.administration.instance(instance)
        try:
            authority = pki.read_authority(
                office.config.directory / "tls/ca.pem", office.config.directory / "tls/ca.key"
            )
        except (OSError, ValueError) as error:
            raise Failed(
                f"the authority of this deployment cannot be used: {error}; add a certificate with 'cert add'"
            ) from None
        common_name = name or f"{instance} client"
        key = pki.make_key("rsa-2048")
        pair = pki.issue_client(authority, common_name, now=datetime.fromtimestamp(office.now, UTC), key=key, days=days)
        offered = read(pair.certificate_pem, instance=found.identifier, at=office.now)
        out.mkdir(parents=True, exist_ok=True)
        pair.write(out / "client.pem", out / "client.key")
        await office.administration.add_certificate(offered.certificate)
        return offered

    offered = in_office(config, act)
    files = {"certificate": str(out / "client.pem"), "key": str(out / "client.key")}
    if json:
        screen.as_json(_json(offered.certificate, instance) | files)
        return
    _show(offered)
    screen.pairs([("certificate", files["certificate"]), ("private key", files["key"])])
    screen.say(f"Issued and added: it may use every key of {instance} from now on. Keep its key secret.")


def _json(certificate: "ClientCertificate", instance: str) -> dict[str, object]:
    return {
        "fingerprint": certificate.fingerprint,
        "instance": instance,
        "subject": certificate.subject,
        "not_before": screen.instant(certificate.not_before),
        "not_after": screen.instant(certificate.not_after),
        "added_at": screen.instant(certificate.added_at),
    }
