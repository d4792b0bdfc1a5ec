"""``keyrack status``: is all well? Exit code 0 when it is, 3 when not."""

from typing import TYPE_CHECKING, Any

import typer

from keyrack.shell.cli import OK, UNHEALTHY, screen
from keyrack.shell.cli.options import ConfigFile, administrator

if TYPE_CHECKING:
    from keyrack.service.health.health import Health
    from keyrack.shell.config.whole import Config


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(status)


def status(config: ConfigFile = None, json: screen.Json = False) -> None:
    """Tell whether all is well.

    Exit code 0 when it is, 3 when something failed.
    """
    import asyncio

    from keyrack.shell.config.whole import find, load

    file = find(config)
    loaded = load(file)
    health = asyncio.run(_examine(loaded))
    if json:
        screen.as_json(_json(loaded, health))
    else:
        screen.say(f"{loaded.deployment.id}, configured by {file}")
        for finding in health.findings:
            screen.hanging(f"  {screen.mark(finding.level)} {finding.what:<24} ", 29, str(finding))
        for name, fingerprint in _fingerprints(loaded).items():
            screen.say(f"  · {'server ' + name:<24} {fingerprint}")
        if not health.ok:
            screen.say(screen.paint("unhealthy", "red"))
    raise typer.Exit(OK if health.ok else UNHEALTHY)


async def _examine(config: "Config") -> "Health":
    from keyrack.ports.catalog import CatalogUnavailable
    from keyrack.service.health.health import Finding, Health, Level
    from keyrack.shell.config.problems import ConfigError
    from keyrack.shell.inspection import inspection, now
    from keyrack.shell.nodes.database_findings import look_at_database
    from keyrack.shell.probe import look_at_api, look_at_certificate, look_at_listener, look_at_processes, look_at_web

    at = now()
    certificate = look_at_certificate(config.path(config.kmip.certificate), at)
    findings = [look_at_listener(config), *look_at_web(config), *look_at_api(config), certificate]
    findings += await look_at_processes(config)
    findings += await look_at_database(config)
    try:
        async with inspection(config, administrator()) as opened:
            health = await opened.health(at)
            return Health([*findings, *opened.closed, *health.findings], health.numbers)
    except (CatalogUnavailable, ConfigError) as error:
        return Health([*findings, Finding("catalog", Level.FAILED, str(error))], {"instances": []})


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


def _json(config: "Config", health: "Health") -> dict[str, Any]:
    from keyrack.shell.sealed.unsealing import SOCKET, sealed

    return {
        "healthy": health.ok,
        "sealed": list(sealed(config.run_directory / SOCKET)),
        "deployment": config.deployment.id,
        "server_certificate": _fingerprints(config),
        "findings": [
            {"what": each.what, "level": str(each.level), "told": each.told, "act": each.act, "cause": each.cause}
            for each in health.findings
        ],
        **health.numbers,
    }
