"""``keyrack init``: a few questions, each with a default and an option; then ``keyrack serve`` runs what it made."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from keyrack.shell.cli import init_ibm as ibm
from keyrack.shell.cli import screen
from keyrack.shell.cli.failures import Failed, WrongUse
from keyrack.shell.cli.options import account
from keyrack.shell.cli.options import administrator as operator
from keyrack.shell.cli.protection import HsmOptions, chosen
from keyrack.shell.protections import KINDS, Protection

if TYPE_CHECKING:
    from keyrack.shell.deployment import Made, Plan


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(init)


def init(
    directory: Annotated[
        Path | None,
        typer.Option("--directory", "-d", metavar="DIR", help="Where everything is kept.", show_default=False),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", metavar="FILE", help="The configuration to write.", show_default=False),
    ] = None,
    names: Annotated[
        list[str] | None,
        typer.Option(
            "--name",
            metavar="HOST",
            help="Host name or address of the server certificate; may be repeated.",
            show_default=False,
        ),
    ] = None,
    deployment: Annotated[
        str | None, typer.Option(metavar="ID", help="Name of the deployment.", show_default=False)
    ] = None,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen on.")] = "0.0.0.0",
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port to listen on.", show_default=False)] = None,
    api_host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address that the administration API listens on.")
    ] = "127.0.0.1",
    api_port: Annotated[int, typer.Option(min=0, max=65535, help="Its port.")] = 8443,
    catalog: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="A prepared PostgreSQL database in the place of a SQLite file: postgresql://keyrack@HOST/DB.",
            show_default=False,
        ),
    ] = None,
    catalog_password_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File with the password of its role; else PGPASSFILE.", show_default=False),
    ] = None,
    key_manager: Annotated[
        Literal["embedded", "key-protect", "hpcs"] | None,
        typer.Option(
            help="Where root keys are: in a keystore or HSM here, or in IBM's cloud; embedded without it.",
            show_default=False,
        ),
    ] = None,
    region: ibm.Region = None,
    url: ibm.Url = None,
    network: ibm.Network = None,
    kms_instance: ibm.KmsInstance = None,
    key_ring: ibm.KeyRing = None,
    api_key_file: ibm.ApiKeyFile = None,
    trusted_profile: ibm.TrustedProfile = None,
    cr_token_file: ibm.CrTokenFile = None,
    token_file: ibm.TokenFile = None,
    iam_url: ibm.IamUrl = None,
    ca_bundle: ibm.CaBundle = None,
    proxy: ibm.Proxy = None,
    protect: Annotated[
        Literal["key-file", "passphrase", "unseal", "hsm"] | None,
        typer.Option(help="What opens the keystore.", show_default=False),
    ] = None,
    passphrase_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File whose first line is the passphrase; implies --protect passphrase."),
    ] = None,
    hsm: Annotated[
        Path | None,
        typer.Option(metavar="LIBRARY", help="PKCS#11 library of an HSM; implies --protect hsm.", show_default=False),
    ] = None,
    token: Annotated[
        str | None, typer.Option(metavar="LABEL", help="Label of the HSM's token.", show_default=False)
    ] = None,
    pin_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File whose first line is the token's PIN.", show_default=False),
    ] = None,
    administrator: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Name of the first person; else made of the account's.", show_default=False),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing: take options and defaults.")] = False,
    json: screen.Json = False,
) -> None:
    """Make a deployment, with a few questions.

    Configuration, certificates and catalog, and the keystore of an embedded key manager. Nothing is ever overwritten.
    With a key manager of IBM's nothing is asked there: 'keyrack key-manager check' does.
    """
    from keyrack.shell import deployment as room
    from keyrack.shell import planning

    ask = not yes and sys.stdin.isatty()
    place = directory or Path(_ask(ask, "Directory", str(planning.home())))
    target = place.expanduser().absolute()
    listed = names or planning.listed(_ask(ask, "Host names and addresses of this server", ",".join(room.own_names())))
    first = administrator or _ask(ask, "Name of the first administrator", _own_name())
    chosen_port = port if port is not None else _port(_ask(ask, "Port", "5696"))
    cloud = ibm.IbmOptions(
        region=region,
        url=url,
        network=network,
        kms_instance=kms_instance,
        key_ring=key_ring,
        api_key_file=api_key_file,
        trusted_profile=trusted_profile,
        cr_token_file=cr_token_file,
        token_file=token_file,
        iam_url=iam_url,
        ca_bundle=ca_bundle,
        proxy=proxy,
    )
    device = HsmOptions(library=hsm, token=token, pin_file=pin_file)
    _refuse_mixed(key_manager, cloud, protect=protect, passphrase_file=passphrase_file, device=device)
    keeping: Protection | ibm.IbmChoice
    if key_manager in ibm.TYPES:
        keeping = ibm.chosen_ibm(str(key_manager), target, cloud, ask=ask)
    else:
        kind = protect or _implied(passphrase_file, device) or _ask(ask, _OPENED_WITH, KINDS[0])
        keeping = chosen(kind, target, passphrase_file, device, ask=ask)
    plan = room.Plan(
        deployment=deployment or planning.label_of_machine(),
        directory=target,
        config=(config or planning.config_in(target, named=directory is not None)).expanduser().absolute(),
        names=listed,
        host=host,
        port=chosen_port,
        api_host=api_host,
        api_port=api_port,
        key_manager=_tables(keeping),
        opener=keeping.opener if isinstance(keeping, Protection) else None,
        first_person=first.strip().lower(),
        by=operator(),
        catalog_url=catalog or "",
        catalog_password_file=catalog_password_file and catalog_password_file.expanduser().absolute(),
    )
    _check(plan)
    try:
        made = room.make(plan)
    finally:
        if isinstance(keeping, Protection):
            keeping.close()
    _print(plan, made, keeping, json)


def _refuse_mixed(
    key_manager: str | None,
    cloud: ibm.IbmOptions,
    *,
    protect: str | None,
    passphrase_file: Path | None,
    device: HsmOptions,
) -> None:
    """Refuse what would be left out in silence: somebody relies on it."""
    given = cloud.given()
    if key_manager not in ibm.TYPES and given:
        verb = "goes" if len(given) == 1 else "go"
        raise WrongUse(f"{', '.join(given)} {verb} with --key-manager key-protect or hpcs alone")
    if key_manager in ibm.TYPES and (protect or passphrase_file or device.given()):
        raise WrongUse(
            f"with --key-manager {key_manager} no keystore is made here: leave out --protect, --passphrase-file, "
            "--hsm, --token and --pin-file"
        )


def _tables(keeping: "Protection | ibm.IbmChoice") -> str:
    from keyrack.shell.deployment import embedded_tables

    return embedded_tables(keeping.unlock, keeping.hsm) if isinstance(keeping, Protection) else keeping.tables


def _implied(passphrase_file: Path | None, device: HsmOptions) -> str | None:
    """What the options say without being asked for it."""
    if device.given():
        return "hsm"
    return "passphrase" if passphrase_file else None


_OPENED_WITH = f"Open the keystore with {', '.join(KINDS[:-1])} or {KINDS[-1]}"


def _ask(interactive: bool, question: str, default: str) -> str:
    return str(typer.prompt(question, default=default, err=True)) if interactive else default


def _own_name() -> str:
    from keyrack.shell.first_person import name_of_account

    return name_of_account(account())


def _port(text: str) -> int:
    from keyrack.service.office.refusals import Unusable
    from keyrack.shell.planning import port_of

    try:
        return port_of(text)
    except Unusable as error:
        raise WrongUse(str(error)) from None


def _check(plan: "Plan") -> None:
    from keyrack.service.office.refusals import Unusable
    from keyrack.service.people.persons import check_name
    from keyrack.shell import planning
    from keyrack.shell.cli.database import require_driver

    if plan.first_person is not None:
        check_name(plan.first_person)
    try:
        planning.check(plan)
    except Unusable as error:
        raise WrongUse(f"{_OPTIONS.get(error.field, '')}{error}") from None
    if plan.catalog_url:
        require_driver()
    if taken := plan.taken():
        there = taken[0] == plan.config
        raise Failed(
            f"{taken[0]} is there already{_others(len(taken) - 1)}, and nothing is ever overwritten; use another "
            + (
                f"--directory, or 'keyrack serve --config {plan.config}' to run what is there"
                if there
                else "--directory"
            )
        )


_OPTIONS = {"catalog_url": "--catalog: "}
"""The options whose refusals do not say what they are about."""


def _others(number: int) -> str:
    return f", and {number} more of what would be made" if number else ""


def _print(plan: "Plan", made: "Made", keeping: Protection | ibm.IbmChoice, json: bool) -> None:
    from keyrack.shell.cli.person_desk import show_link
    from keyrack.shell.config.whole import load
    from keyrack.shell.links import api_name
    from keyrack.shell.pki import spaced
    from keyrack.shell.planning import searched

    here = isinstance(keeping, Protection)
    if json:
        screen.as_json(
            {
                "deployment": plan.deployment,
                "config": str(plan.config),
                "directory": str(plan.directory),
                "names": plan.certified,
                "host": plan.host,
                "port": plan.port,
                "api_host": plan.api_host,
                "api_port": plan.api_port,
                "server_certificate_sha256": made.server.fingerprint,
                "first_person": {"name": plan.first_person, "link": made.link},
                "key_manager": "embedded" if here else ibm.NAME,
            }
        )
        return
    keystore = ("  keystore", f"{plan.directory / 'keystore'}, opened by {keeping.told}")
    screen.say(f"Made deployment {plan.deployment}:")
    screen.pairs(
        [
            ("  configuration", plan.config),
            ("  catalog", plan.catalog_url or plan.directory / "catalog.db"),
            keystore if here else ("  key manager", keeping.told),
            *([] if here else [("  integrity root", plan.directory / "integrity.key")]),
            ("  certificates", plan.directory / "tls"),
            ("  server names", ", ".join(plan.certified)),
            ("  administration", f"https://{api_name(load(plan.config, {}))}/api/v1"),
            ("  server SHA-256", spaced(made.server.fingerprint)),
        ]
    )
    screen.warn(keeping.warning)
    screen.say()
    option = "" if plan.config in searched() else f" --config {plan.config}"
    screen.say(
        f"The first person, {plan.first_person}, is administrator and security officer, and has no password yet."
    )
    show_link(load(plan.config), str(plan.first_person), str(made.link), option)
    screen.say()
    screen.say("Next:")
    usual = [f"keyrack {words}{option}" for words in ("serve", "instance create prod", "cert add prod vcenter.pem")]
    for step in keeping.next_steps(option) if isinstance(keeping, ibm.IbmChoice) else usual:
        screen.say(f"  {step}")
