"""``keyrack doctor``: one look at everything, with causes and what to do. Exit code 0 when it is well, 3 when not."""

from typing import TYPE_CHECKING, Any

import typer

from keyrack.shell.cli import OK, UNHEALTHY, screen
from keyrack.shell.cli.options import ConfigFile, administrator

if TYPE_CHECKING:
    from keyrack.shell.diagnosis import Diagnosis

_WIDTH = 26


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


def doctor(config: ConfigFile = None, json: screen.Json = False) -> None:
    """Look at everything once, and tell what is not well, why, and what to do.

    The worst comes first. It needs no server, and writes nothing. Exit code 0 when nothing failed, 3 when something
    did.
    """
    import asyncio

    from keyrack.shell.config.problems import ConfigError
    from keyrack.shell.config.whole import find, load
    from keyrack.shell.diagnosis import diagnose, misconfigured

    file = find(config)
    try:
        diagnosis = asyncio.run(diagnose(load(file), file, administrator()))
    except ConfigError as error:
        diagnosis = misconfigured(error)
    if json:
        screen.as_json(_json(diagnosis))
    else:
        _tell(diagnosis)
    raise typer.Exit(OK if diagnosis.ok else UNHEALTHY)


def _tell(diagnosis: "Diagnosis") -> None:
    before = ""
    for finding in diagnosis.findings:
        screen.hanging(f"{screen.mark(finding.level)} {finding.what:<{_WIDTH}} ", _WIDTH + 3, finding.told)
        if finding.act:
            same = finding.act == before
            screen.hanging(f"  {'':<{_WIDTH}} → ", _WIDTH + 5, "the same" if same else finding.act)
        before = finding.act
    failed, warned = (sum(each.level == level for each in diagnosis.findings) for level in ("failed", "warning"))
    screen.say()
    if not failed and not warned:
        screen.say(screen.paint("Everything that was looked at is well.", "green"))
    else:
        told = [screen.count(failed, "failure")] if failed else []
        told += [screen.count(warned, "warning")] if warned else []
        screen.say(screen.paint(" and ".join(told) + ", the worst first.", "red" if failed else "yellow"))


def _json(diagnosis: "Diagnosis") -> dict[str, Any]:
    return {
        "healthy": diagnosis.ok,
        "findings": [
            {"what": each.what, "level": str(each.level), "told": each.told, "act": each.act, "cause": each.cause}
            for each in diagnosis.findings
        ],
        "failures": [
            {
                "action": each.action,
                "outcome": each.outcome,
                "instance": each.instance,
                "cause": each.cause,
                "times": each.times,
                "last_at": screen.instant(each.at),
            }
            for each in diagnosis.mishaps
        ],
        "instances": list(diagnosis.instances),
    }
