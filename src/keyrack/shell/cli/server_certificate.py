"""``keyrack server-certificate``: the certificate that clients see, renewed while the server serves."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keyrack.shell.cli import screen
from keyrack.shell.cli.cert_screen import ALARMS, material_of
from keyrack.shell.cli.consent import Yes, consent
from keyrack.shell.cli.options import ConfigFile, in_office

if TYPE_CHECKING:
    from keyrack.shell.kmip.taken import InForce
    from keyrack.shell.office import Office
    from keyrack.shell.server_pair import ServerPair, Shown

app = typer.Typer(
    name="server-certificate", help="The server's own certificate, which vCenter trusts.", no_args_is_help=True
)

ANEW = (
    "vCenter pins this certificate: from now on it refuses this server, until somebody clicks, for each key provider "
    "that names it: Configure ▸ Key Providers ▸ the provider ▸ the server ▸ Establish Trust ▸ Make vCenter Trust KMS,"
    " then Trust"
)
OVERLAP = (
    "without a gap: let each key provider name two servers. Renew on one, have vCenter trust it anew while it uses the "
    "other, then do the same with the other"
)
Names = Annotated[
    list[str] | None,
    typer.Option(
        "--name",
        metavar="HOST",
        help="Host name or address; may be repeated. Those of the old one without it.",
        show_default=False,
    ),
]


@app.command()
def show(config: ConfigFile = None, json: screen.Json = False) -> None:
    """Show the server's certificate, and which processes show it to clients."""

    async def look(office: "Office") -> "tuple[Shown, InForce, int]":
        found = pair_of(office).shown()
        return found, await _shown_everywhere(office, found), office.now

    found, in_force, now = in_office(config, look)
    if json:
        screen.as_json(shown_json(found, now) | {"in_force": in_force.as_json()})
        return
    _tell(found, now)
    screen.say(_told(in_force))


@app.command()
def renew(
    names: Names = None,
    days: Annotated[int, typer.Option(min=1, max=7300, help="How long it is valid.")] = 3650,
    yes: Yes = False,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Make a new key and certificate with the deployment's own authority, without a restart.

    vCenter has to trust the new one.
    """

    async def act(office: "Office") -> "tuple[Shown, InForce, int]":
        from keyrack.service.office.server_certificates import require_change, written_down
        from keyrack.shell import pki
        from keyrack.shell.issuing import authority_of
        from keyrack.shell.server_pair import today

        require_change(office.administration)
        pair = pair_of(office)
        before = pair.shown()
        listed = names or before.names
        _consent(before, yes=yes)
        authority = authority_of(office.config)
        made = pki.issue_server(authority, listed, now=today(office.now), key=pki.make_key("rsa-2048"), days=days)
        chain = made.certificate_pem + authority.certificate_pem
        new = pair.replace(chain, bytearray(made.key_pem), at=office.now)
        await written_down(office.administration, "server-certificate.renew", before.lapsing, new.lapsing)
        return new, await _shown_everywhere(office, new), office.now

    _replaced(in_office(config, act), json=json)


@app.command()
def replace(
    certificate: Annotated[
        str, typer.Option(metavar="FILE|-", help="The certificate in PEM, followed by its issuers if there are any.")
    ],
    key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Its private key in PEM; without it, that of the last request.", show_default=False
        ),
    ] = None,
    yes: Yes = False,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Show clients another certificate, without a restart.

    A pair that does not fit is refused, and the old one is kept aside. vCenter has to trust the new one.
    """
    material = material_of(certificate)

    async def act(office: "Office") -> "tuple[Shown, InForce, int]":
        from keyrack.service.office.server_certificates import require_change, written_down
        from keyrack.shell.cli.failures import Failed
        from keyrack.shell.server_pair import checked

        require_change(office.administration)
        pair = pair_of(office)
        if key is None and not pair.pending.exists():
            raise Failed("no request waits for this certificate, so its key is not here; say --key FILE")
        private = bytearray((key or pair.pending).read_bytes())
        before, offered = pair.shown(), checked(material, private, at=office.now)
        if not json:
            _tell(offered, office.now)
        _consent(before, yes=yes)
        new = pair.replace(material, private, at=office.now)
        if key is None:
            pair.pending.unlink(missing_ok=True)
        await written_down(office.administration, "server-certificate.install", before.lapsing, new.lapsing)
        return new, await _shown_everywhere(office, new), office.now

    _replaced(in_office(config, act), json=json)


@app.command()
def request(
    names: Names = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where the request goes; else it is printed.", show_default=False),
    ] = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Make a key and a signing request for another authority; the old certificate serves on.

    'keyrack server-certificate replace --certificate FILE' takes what comes back.
    """

    async def act(office: "Office") -> bytes:
        from keyrack.service.office.server_certificates import requested, require_change

        require_change(office.administration)
        pair = pair_of(office)
        made = pair.request(names or pair.shown().names or ["localhost"])
        await requested(office.administration)
        return made

    pem = in_office(config, act)
    if out is not None:
        from keyrack.shell.pki import write_new

        write_new(out, pem)
    if json:
        screen.as_json({"pem": pem.decode(), "file": str(out) if out else None})
        return
    if out is None:
        screen.say(pem.decode().rstrip())
    screen.note("Have it signed, then: keyrack server-certificate replace --certificate FILE")


def pair_of(office: "Office") -> "ServerPair":
    """The pair of the KMIP listener; a replacement that was cut in two is completed first."""
    from keyrack.shell.server_pair import ServerPair

    kmip = office.config.kmip
    pair = ServerPair(office.config.path(kmip.certificate), office.config.path(kmip.key))
    pair.finish()
    return pair


async def _shown_everywhere(office: "Office", shown: "Shown") -> "InForce":
    from keyrack.shell.kmip.taken import certificate_shown, in_force

    return await in_force(office.config.run_directory, certificate_shown(shown.fingerprint))


def _consent(before: "Shown", *, yes: bool) -> None:
    print(screen.printable(ANEW) + ".", file=sys.stderr)
    print(screen.printable(OVERLAP[:1].upper() + OVERLAP[1:]) + ".", file=sys.stderr)
    consent("replace it", f"Replace {before.fingerprint[:16]} ({before.subject})?", yes=yes)


def _replaced(done: "tuple[Shown, InForce, int]", *, json: bool) -> None:
    new, in_force, now = done
    if json:
        screen.as_json(shown_json(new, now) | {"in_force": in_force.as_json(), "warning": ANEW})
        return
    _tell(new, now)
    screen.say(_told(in_force))
    screen.say("The old pair is kept beside it, with .before behind its name.")
    screen.warn("vCenter has to trust it now; compare the SHA-256 above with what its dialog shows")


def _told(in_force: "InForce") -> str:
    told = in_force.told().replace("in force on", "shown by").replace("it counts", "it is shown")
    return f"{told[:1].upper()}{told[1:]}."


def _tell(found: "Shown", now: int) -> None:
    from keyrack.service.office.certificates import alarm_due, days_left
    from keyrack.shell.pki import spaced

    left = days_left(found, now)
    screen.pairs(
        [
            ("subject", found.subject or "(none)"),
            ("issuer", found.issuer or "(none)"),
            ("serial", f"{found.serial:X}"),
            ("names", ", ".join(found.names) or "(none)"),
            ("SHA-256", spaced(found.fingerprint)),
            ("valid", f"{screen.moment(found.not_before)} to {screen.moment(found.not_after)} ({left} days left)"),
            ("key", found.key),
        ]
    )
    to_do = ALARMS[alarm_due(found, now)]
    if to_do:
        screen.warn(f"{left} days are left: {to_do}")


def shown_json(found: "Shown", now: int) -> dict[str, object]:
    """A server's certificate as JSON."""
    from keyrack.service.office.certificates import alarm_due, days_left

    return {
        "fingerprint": found.fingerprint,
        "subject": found.subject,
        "issuer": found.issuer,
        "serial": f"{found.serial:X}",
        "names": list(found.names),
        "not_before": screen.instant(found.not_before),
        "not_after": screen.instant(found.not_after),
        "key": found.key,
        "days_left": days_left(found, now),
        "alarm": alarm_due(found, now),
    }
