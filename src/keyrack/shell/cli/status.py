"""``keyrack status``: is all well? Exit code 0 when it is, 3 when not."""

from typing import TYPE_CHECKING, Any

import typer

from keyrack.shell.cli import OK, UNHEALTHY, screen
from keyrack.shell.cli.options import ConfigFile, administrator

if TYPE_CHECKING:
    from keyrack.adapters.key_managers.registry import KeyManagers
    from keyrack.service.health import Finding, Health
    from keyrack.shell.config import Config


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(status)


def status(config: ConfigFile = None, json: screen.Json = False) -> None:
    """Tell whether all is well.

    Exit code 0 when it is, 3 when something failed.
    """
    import asyncio

    from keyrack.shell.config import find, load

    file = find(config)
    loaded = load(file)
    health = asyncio.run(_examine(loaded))
    if json:
        screen.as_json(_json(loaded, health))
    else:
        screen.say(f"{loaded.deployment.id}, configured by {file}")
        for finding in health.findings:
            screen.say(f"  {_mark(finding)} {finding.what:<24} {finding.told}")
        for name, fingerprint in _fingerprints(loaded).items():
            screen.say(f"  · {'server ' + name:<24} {fingerprint}")
        if not health.ok:
            screen.say(screen.paint("unhealthy", "red"))
    raise typer.Exit(OK if health.ok else UNHEALTHY)


async def _examine(config: "Config") -> "Health":
    import time

    from keyrack.ports.catalog import CatalogUnavailable
    from keyrack.service.health import Finding, Health, Level, examine
    from keyrack.shell.config_problems import ConfigError
    from keyrack.shell.office import open_office
    from keyrack.shell.probe import look_at_api, look_at_certificate, look_at_listener

    now = int(time.time())
    certificate = look_at_certificate(config.path(config.kmip.certificate), now)
    findings = [look_at_listener(config), *look_at_api(config), certificate]
    try:
        async with open_office(config, administrator()) as office:
            managers, closed = _key_managers(config)
            health = await examine(office.catalog, managers, now)
            findings += [*closed, *health.findings]
            await managers.close()
            return Health(findings, health.numbers)
    except (CatalogUnavailable, ConfigError) as error:
        return Health([*findings, Finding("catalog", Level.FAILED, str(error))], {"instances": []})


def _key_managers(config: "Config") -> "tuple[KeyManagers, list[Finding]]":
    """Those that open without a person. One for which this command lacks the means may be well all the same."""
    from keyrack.adapters.key_managers.registry import Configured, KeyManagers
    from keyrack.service.health import Finding, Level
    from keyrack.shell.config_problems import ConfigError
    from keyrack.shell.office import open_key_manager
    from keyrack.shell.openers import out_of_hand

    opened: dict[str, Configured] = {}
    findings: list[Finding] = []
    for name in config.key_managers:
        if why := out_of_hand(config, name):
            findings.append(Finding("key manager", Level.WARNING, f"{name!r} was not looked at: {why}"))
            continue
        try:
            opened[name] = open_key_manager(config, name)
        except ConfigError as error:
            findings.append(Finding("key manager", Level.FAILED, str(error)))
    return KeyManagers(opened), findings


def _fingerprints(config: "Config") -> dict[str, str]:
    """Of the server certificate, to be compared with what vCenter shows: which of the two depends on its version."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    from keyrack.shell.pki import spaced

    try:
        certificate = x509.load_pem_x509_certificate(config.path(config.kmip.certificate).read_bytes())
    except (OSError, ValueError):
        return {}
    kinds = {"SHA-256": hashes.SHA256(), "SHA-1": hashes.SHA1()}
    return {name: spaced(certificate.fingerprint(kind).hex()) for name, kind in kinds.items()}


def _mark(finding: "Finding") -> str:
    marks = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "failed": ("✗", "red")}
    text, colour = marks[finding.level]
    return screen.paint(text, colour)  # type: ignore[arg-type]


def _json(config: "Config", health: "Health") -> dict[str, Any]:
    from keyrack.shell.unsealing import SOCKET, sealed

    return {
        "healthy": health.ok,
        "sealed": list(sealed(config.run_directory / SOCKET)),
        "deployment": config.deployment.id,
        "server_certificate": _fingerprints(config),
        "findings": [{"what": each.what, "level": str(each.level), "told": each.told} for each in health.findings],
        **health.numbers,
    }
