"""``keyrack rebuild --from-catalog``: standard keys that are missing or spoilt, put again once a person has agreed."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from keyrack.shell.cli import OK, UNHEALTHY, copies, screen
from keyrack.shell.cli.consent import require_person
from keyrack.shell.cli.failures import Failed
from keyrack.shell.cli.options import in_office
from keyrack.shell.cli.progress import watched

if TYPE_CHECKING:
    from keyrack.service.copies.restoring import Due, Restoring
    from keyrack.service.moves.walk import Outcome
    from keyrack.shell.office import Office


def from_catalog(name: str, rate: float | None, config: Path | None, *, dry_run: bool, yes: bool, json: bool) -> None:
    """Put the standard keys of the named instance again that are missing or spoilt; leave with the exit code."""
    from keyrack.service.copies.restoring import Restoring

    async def act(office: "Office") -> "tuple[Sequence[Due], Outcome, Outcome | None]":
        instance = await office.administration.instance(name)
        work = Restoring(
            office.catalog,
            office.administration,
            office.vault,
            office.key_managers,
            instance,
            clock=lambda: office.now,
        )
        with watched("Looking for standard keys") as (report,):
            due, looked = await work.look(report=report, rate=rate)
        if not json:
            _tell_due(due)
        if dry_run or not due:
            return due, looked, None
        _agree(instance.name, due, yes=yes)
        return due, looked, await _put(work, due, rate)

    due, looked, outcome = in_office(config, act, root_keys=True)
    failures = [*looked.failures, *(outcome.failures if outcome else ())]
    stopped = looked.stopped or (outcome is not None and outcome.stopped)
    if json:
        put = {"dry_run": dry_run, "put": outcome.changed if outcome else 0, "stopped": stopped}
        screen.as_json(put | {"due": _due_json(due), "failures": copies.failures_json(failures)})
    else:
        copies.failures(failures)
        if outcome is not None:
            screen.say(f"{screen.count(outcome.changed, 'standard key')} put again; their keys are served again.")
        elif due and dry_run:
            screen.say(
                f"Nothing was changed: without --dry-run, 'keyrack rebuild --from-catalog {name}' puts them again."
            )
        elif not due and not failures:
            screen.say(f"Every standard key of {name} is there.")
    raise typer.Exit(UNHEALTHY if failures or stopped else OK)


async def _put(work: "Restoring", due: "Sequence[Due]", rate: float | None) -> "Outcome":
    with watched("Putting standard keys") as (report,):
        return await work.put_again(due, report=report, rate=rate)


def _tell_due(due: "Sequence[Due]") -> None:
    for flaw, those in copies.grouped(due, lambda each: each.flawed.flaw).items():
        screen.say(f"{screen.mark('warning')} {screen.count(len(those), 'key')} {flaw}")
        copies.listed(those, _line)


def _line(each: "Due") -> str:
    since = f"withheld since {screen.moment(each.thing.withheld_at)}" if each.thing.withheld_at else each.flawed.told
    return f"{each.thing.unique_identifier}  {each.name or '-'}  {since}"


def _agree(name: str, due: "Sequence[Due]", *, yes: bool) -> None:
    """A standard key that was deleted is a key that was revoked, unless somebody says that it was not meant so."""
    revoked = sum(each.revoked for each in due)
    if yes or not revoked:
        return
    require_person("put them again", "--yes")
    screen.note(
        f"{screen.count(revoked, 'standard key')} of {name} {'was' if revoked == 1 else 'were'} deleted in the key "
        "manager. Whoever did it has revoked these keys; put again, they are served again."
    )
    typed = typer.prompt(f"Type the name of the instance ({name}) to put them again", err=True)
    if typed.strip() != name:
        raise Failed(f"that is not {name!r}; nothing was changed")


def _due_json(due: "Sequence[Due]") -> list[dict[str, Any]]:
    return [
        {
            "unique_identifier": each.thing.unique_identifier,
            "name": each.name or None,
            "flaw": str(each.flawed.flaw),
            "revoked": each.revoked,
            "withheld_since": screen.instant(each.thing.withheld_at),
        }
        for each in due
    ]
