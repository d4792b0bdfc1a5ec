"""``keyrack rebuild --from-key-manager --repair``: keys that are spoilt in the catalog, from their standard keys."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from keyrack.shell.cli import OK, UNHEALTHY, copies, screen
from keyrack.shell.cli.options import in_office
from keyrack.shell.cli.progress import watched

if TYPE_CHECKING:
    from keyrack.service.moves.walk import Outcome
    from keyrack.shell.office import Office


def mend(
    key_manager: str | None,
    rate: float | None,
    config: Path | None,
    *,
    accepts_any_mac: bool,
    dry_run: bool,
    json: bool,
) -> None:
    """Mend every instance, or those of the named key manager, one after the other; leave with the exit code."""
    from keyrack.service.copies.repair import Repair, is_root_lost

    async def act(office: "Office") -> "tuple[dict[str, Outcome], bool]":
        anew = accepts_any_mac or await is_root_lost(office.catalog, office.vault)
        found = {}
        for instance in await office.administration.instances():
            if key_manager in {None, instance.key_manager}:
                work = Repair(
                    office.catalog,
                    office.administration,
                    office.vault,
                    office.key_managers,
                    instance,
                    accepts_any_mac=anew,
                    dry_run=dry_run,
                )
                with watched(f"Mending keys of {instance.name}") as (report,):
                    found[instance.name] = await work.run(report=report, rate=rate)
        return found, anew

    found, anew = in_office(config, act, root_keys=True)
    failures = [failure for outcome in found.values() for failure in outcome.failures]
    mended = {name: outcome.changed for name, outcome in found.items()}
    if json:
        told = {"dry_run": dry_run, "mended": mended, "authenticated_anew": anew}
        screen.as_json(told | {"failures": copies.failures_json(failures)})
    else:
        for name, number in mended.items():
            screen.say(
                f"{screen.mark('ok')} {name}: {screen.count(number, 'key')} {'to mend' if dry_run else 'mended'}"
            )
        if anew and any(mended.values()):
            screen.say(f"{screen.mark('warning')} Keys were authenticated with a new integrity root, once they opened.")
        copies.failures(failures)
    raise typer.Exit(UNHEALTHY if failures or any(outcome.stopped for outcome in found.values()) else OK)
