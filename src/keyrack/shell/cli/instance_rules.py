"""``keyrack instance quota``, ``credential`` and ``dual-control``: what an instance is held to."""

import getpass
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keyrack.shell.cli import screen
from keyrack.shell.cli.consent import Yes, consent
from keyrack.shell.cli.failures import WrongUse
from keyrack.shell.cli.options import ConfigFile, InstanceName, in_office, instance_json

if TYPE_CHECKING:
    from keyrack.domain.instances import Instance
    from keyrack.domain.secret import Secret
    from keyrack.shell.office import Office

credential = typer.Typer(
    name="credential", help="A username and password that clients send beside their certificate.", no_args_is_help=True
)
dual_control = typer.Typer(
    name="dual-control", help="Whether two people must want what ends keys.", no_args_is_help=True
)
_MOST = 4096
"""Bytes that are read of a password's file."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(quota)
    app.add_typer(credential)
    app.add_typer(dual_control)


def quota(
    instance: InstanceName,
    keys: Annotated[int | None, typer.Option(help="Keys that are not destroyed.", show_default=False)] = None,
    certificates: Annotated[
        int | None, typer.Option(help="Client certificates and trusted authorities.", show_default=False)
    ] = None,
    requests: Annotated[
        int | None, typer.Option(help="KMIP requests a second, to each server process.", show_default=False)
    ] = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Show what an instance may have and ask for, or change it; what is beyond a new quota stays."""
    from dataclasses import asdict

    from keyrack.service.office import instance_rules

    async def act(office: "Office") -> "tuple[Instance, dict[str, int]]":
        if keys is certificates is requests is None:
            found = await office.administration.instance(instance)
        else:
            found, _ = await instance_rules.set_quotas(
                office.administration, office.catalog, instance, keys=keys, certificates=certificates, requests=requests
            )
        return found, await usage(office, found.identifier)

    found, used = in_office(config, act)
    if json:
        screen.as_json(instance_json(found) | {"usage": used})
    else:
        screen.pairs(quota_rows(asdict(found.quotas), used))


async def usage(office: "Office", identifier: str) -> dict[str, int]:
    """What of its quotas an instance has used."""
    certificates = await office.catalog.certificates(identifier)
    authorities = await office.catalog.authorities(identifier)
    return {
        "keys": await office.catalog.living(identifier),
        "certificates": len(certificates) + len(authorities),
    }


def quota_rows(quotas: Mapping[str, int], used: Mapping[str, int]) -> list[tuple[str, str]]:
    """Use against quota, for people."""
    return [
        ("quota of keys", f"{used['keys']:,} of {quotas['keys']:,}"),
        ("quota of certificates", f"{used['certificates']:,} of {quotas['certificates']:,}, with trusted authorities"),
        ("quota of requests", f"{quotas['requests']:,} a second to each server process"),
    ]


@credential.command("set")
def set_credential(
    instance: InstanceName,
    username: Annotated[str, typer.Option(help="As it is entered in vCenter.", show_default=False)],
    password_file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="The password is the first line of this file, or of standard input for -; else you are asked.",
            show_default=False,
        ),
    ] = None,
    required: Annotated[
        bool,
        typer.Option("--required", help="Refuse requests for keys without it, too; else it is checked when it comes."),
    ] = False,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Have clients prove a username and password; a wrong one is refused from now on.

    Only a hash of the password is kept. The certificate decides all the same who a client is.
    """
    from keyrack.service.office import instance_rules
    from keyrack.service.people.passwords import Passwords

    async def act(office: "Office") -> "Instance":
        with _password(password_file) as password:
            return await instance_rules.set_credential(
                office.administration, Passwords(), instance, username, password, required=required
            )

    found = in_office(config, act)
    if json:
        screen.as_json(instance_json(found))
        return
    screen.say(f"Clients of {found.name} prove themselves as {screen.printable(username)}.")
    if required:
        screen.say("Without it they get and make no key. vCenter: Key Providers ▸ the provider ▸ Edit, each server.")
    else:
        screen.say("One that sends nothing is served as before; --required refuses it.")


def _password(source: str | None) -> "Secret":
    from keyrack.domain.secret import Secret, wipe

    if source is None:
        if not sys.stdin.isatty():
            raise WrongUse("nobody is at a terminal to be asked for the password; use --password-file FILE")
        typed = getpass.getpass("Password: ")
        if typed != getpass.getpass("The same again: "):
            raise WrongUse("these were two different passwords; nothing was changed")
        return Secret(bytearray(typed.encode()))
    if source == "-":
        content = bytearray(sys.stdin.buffer.read(_MOST))
    else:
        path = Path(source).expanduser()
        if os.stat(path).st_mode & 0o077:
            screen.warn(f"others can read {source}")
        with open(path, "rb") as file:
            content = bytearray(file.read(_MOST))
    line = bytearray(memoryview(content)[: (content + b"\n").index(b"\n")])
    wipe(content)
    return Secret(line.rstrip(b"\r")) if line.endswith(b"\r") else Secret(line)


@credential.command("clear")
def clear_credential(
    instance: InstanceName, yes: Yes = False, config: ConfigFile = None, json: screen.Json = False
) -> None:
    """Ask clients for their certificate alone again."""
    from keyrack.service.office import instance_rules

    async def act(office: "Office") -> "tuple[Instance, bool]":
        found = await office.administration.instance(instance)
        if found.credential is not None:
            consent("clear it", f"Ask no password of the clients of {found.name} any more?", yes=yes)
        return await instance_rules.clear_credential(office.administration, found.identifier)

    found, new = in_office(config, act)
    if json:
        screen.as_json(instance_json(found) | {"changed": new})
    else:
        screen.say(f"The certificate alone counts for {found.name}{'' if new else ', as before'}.")


@dual_control.command("on")
def switch_on(instance: InstanceName, config: ConfigFile = None, json: screen.Json = False) -> None:
    """Have two people want what ends keys.

    That is: destroying and purging them, removing the instance or its last certificate, another root key. There
    must be two people who may agree. To switch it off again takes two as well.
    """
    from keyrack.service.office import instance_rules

    found, new = in_office(
        config, lambda office: instance_rules.require_two(office.administration, office.catalog, instance)
    )
    if json:
        screen.as_json(instance_json(found) | {"changed": new})
        return
    screen.say(f"Two people must want what ends keys of {found.name}, since {screen.moment(found.dual_control_at)}.")
    screen.say("'keyrack approval list' shows what waits for the second one.")


@dual_control.command("off")
def switch_off(instance: InstanceName, config: ConfigFile = None, json: screen.Json = False) -> None:
    """Let one person decide again, once a second one has agreed to that."""
    from keyrack.service.office import instance_rules

    found, new = in_office(
        config, lambda office: instance_rules.let_one_decide(office.administration, office.catalog, instance)
    )
    if json:
        screen.as_json(instance_json(found) | {"changed": new})
    else:
        screen.say(f"One person is enough for {found.name}{'' if new else ', as before'}.")
