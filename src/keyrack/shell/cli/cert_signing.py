"""``keyrack cert issue`` and ``keyrack cert sign``: certificates that the deployment's own authority signs."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from keyrack.shell.cli import enforcing, screen
from keyrack.shell.cli.cert_screen import certificate_json, material_of, show
from keyrack.shell.cli.consent import Yes, consent
from keyrack.shell.cli.failures import WrongUse
from keyrack.shell.cli.options import ConfigFile, InstanceName, in_office

if TYPE_CHECKING:
    from keyrack.service.office.requests import OfferedRequest
    from keyrack.shell.issuing import Issued
    from keyrack.shell.kmip.taken import InForce
    from keyrack.shell.office import Office

Days = Annotated[int, typer.Option(min=1, max=7300, help="How long it is valid.")]
_LEAST_PASSWORD = 8
_NAMES = {"certificate": "client.pem", "private_key": "client.key", "issuer": "ca.pem", "pkcs12": "client.p12"}
_TOLD = {"certificate": "certificate", "private_key": "private key", "issuer": "issuer", "pkcs12": "PKCS #12"}


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(issue)
    app.command()(sign)


def issue(
    instance: InstanceName,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Directory for the files; it is made if it is missing.")],
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Common name; the instance's name without it.")
    ] = None,
    days: Days = 3650,
    form: Annotated[
        Literal["pem", "pkcs12"], typer.Option("--format", help="Two PEM files, or one PKCS #12 file under a password.")
    ] = "pem",
    password_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where the password of the PKCS #12 file is; else it is asked for."),
    ] = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Make a certificate and key, and add it.

    For vCenter's method "KMS certificate and private key", and for other KMIP clients. The key is handed out once and
    not kept.
    """
    password = _password(password_file) if form == "pkcs12" else None

    async def act(office: "Office") -> "tuple[Issued, InForce]":
        from keyrack.shell import issuing

        found = await office.administration.instance(instance)
        authority = issuing.authority_of(office.config)
        issued = issuing.issue(authority, found, name=name, days=days, at=office.now, password=password)
        out.mkdir(parents=True, exist_ok=True)
        files = {
            out / _NAMES[what]: (content, what in {"private_key", "pkcs12"})
            for what, content in issued.files.items()
            if what != "issuer"
        }
        with issuing.written(files):
            await issuing.enter(office.administration, issued)
        return issued, await enforcing.taken_everywhere(office)

    issued, in_force = in_office(config, act)
    places = {what: str(out / _NAMES[what]) for what in issued.files if what != "issuer"}
    if json:
        # The old name of the private key's path stays.
        named = {"key" if what == "private_key" else what: place for what, place in places.items()}
        told = certificate_json(issued.offered.certificate, instance)
        screen.as_json(told | named | {"in_force": in_force.as_json()})
        return
    show(issued.offered)
    screen.pairs([(_TOLD[what], place) for what, place in places.items()])
    screen.say(
        f"Issued and added: it may use every key of {instance} from now on. Keep its key secret: there is no copy."
    )
    enforcing.tell(in_force)


def _password(file: Path | None) -> bytes:
    """From a file, or from the terminal, twice."""
    if file is not None:
        password = file.read_bytes().rstrip(b"\r\n")
    elif sys.stdin.isatty():
        import getpass

        password = getpass.getpass("Password for the PKCS #12 file: ").encode()
        if getpass.getpass("Once more: ").encode() != password:
            raise WrongUse("the two passwords differ; nothing was issued")
    else:
        raise WrongUse("nobody is at a terminal to be asked for a password; say --password-file. Nothing was issued")
    if len(password) < _LEAST_PASSWORD:
        raise WrongUse(f"the password has less than {_LEAST_PASSWORD} characters; choose a longer one")
    return password


def sign(
    instance: InstanceName,
    file: Annotated[
        str,
        typer.Argument(metavar="FILE|-", help="The signing request in PEM or DER; '-' reads it from standard input."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where the certificate goes; else it is printed.", show_default=False),
    ] = None,
    days: Days = 3650,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what is asked for; sign nothing.")] = False,
    yes: Yes = False,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Sign a certificate signing request, and add the certificate.

    For vCenter's method "New Certificate Signing Request (CSR)". The key stays where it is.
    """
    from keyrack.service.office.requests import read_request

    request = read_request(material_of(file, "signing request"))
    if not json:
        _show_request(request)
    if dry_run:
        if json:
            screen.as_json(_request_json(request) | {"signed": False})
        else:
            screen.say("Nothing was signed.")
        return
    consent("sign it", f"Sign it, and let it use every key of {instance}?", yes=yes)

    async def act(office: "Office") -> "tuple[Issued, InForce]":
        from keyrack.shell import issuing

        found = await office.administration.instance(instance)
        signed = issuing.sign(issuing.authority_of(office.config), found, request, days=days, at=office.now)
        with issuing.written({out: (signed.files["certificate"], False)} if out else {}):
            await issuing.enter(office.administration, signed)
        return signed, await enforcing.taken_everywhere(office)

    signed, in_force = in_office(config, act)
    pem = signed.files["certificate"].decode()
    if json:
        told = certificate_json(signed.offered.certificate, instance) | _request_json(request)
        screen.as_json(told | {"signed": True, "pem": pem, "in_force": in_force.as_json()})
        return
    show(signed.offered)
    if out is None:
        screen.say(pem.rstrip())
    else:
        screen.pairs([("certificate", out)])
    screen.say(f"Signed and added: it may use every key of {instance} from now on.")
    enforcing.tell(in_force)
    screen.say("In vCenter: the key provider ▸ Establish Trust ▸ Upload Signed CSR Certificate.")


def _show_request(request: "OfferedRequest") -> None:
    names = _names(request)
    rows = [("subject", request.told or "(none)"), ("key", request.key)]
    screen.pairs([*rows, ("also named", ", ".join(names))] if names else rows)
    for remark in request.remarks:
        screen.warn(remark)


def _request_json(request: "OfferedRequest") -> dict[str, object]:
    return {
        "requested_subject": request.told,
        "requested_key": request.key,
        "alternative_names": _names(request),
        "remarks": list(request.remarks),
    }


def _names(request: "OfferedRequest") -> list[str]:
    return [str(each.value) for each in request.alternative] if request.alternative is not None else []
