"""``keyrack approval``: what waits for a second person, and the second person's yes or no."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from keyrack.shell.cli import screen
from keyrack.shell.cli.consent import Confirm, Yes, confirmed
from keyrack.shell.cli.failures import WrongUse
from keyrack.shell.cli.options import ConfigFile, in_office

if TYPE_CHECKING:
    from keyrack.domain.approvals import Approval
    from keyrack.shell.office import Office

app = typer.Typer(name="approval", help="Acts that wait for a second person.", no_args_is_help=True)

Which = Annotated[str, typer.Argument(metavar="APPROVAL", help="Its identifier, or the beginning of it.")]


@app.command("list")
def list_all(
    every: Annotated[bool, typer.Option("--all", help="Also what was done, withdrawn, or has expired.")] = False,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """List what waits for a second person, the newest first."""
    from keyrack.domain.approvals import ApprovalState
    from keyrack.service.office import approvals

    async def look(office: "Office") -> list[dict[str, Any]]:
        found = await approvals.approvals(office.administration, office.catalog)
        shown = [each for each in found if every or each.state(office.now) is ApprovalState.WAITING]
        return [await _json(office, each) for each in shown]

    rows = in_office(config, look)
    if json:
        screen.as_json(rows)
    elif not rows:
        screen.note("Nothing waits for a second person.")
    else:
        columns = ("id", "act", "instance", "keys", "asked by", "expires", "state")
        screen.table(columns, [_cells(row) for row in rows])


@app.command()
def show(approval: Which, config: ConfigFile = None, json: screen.Json = False) -> None:
    """Show one: what was asked for, word for word, by whom, and until when it waits."""
    from keyrack.service.office import approvals

    async def look(office: "Office") -> dict[str, Any]:
        return await _json(office, await approvals.approval(office.administration, office.catalog, approval))

    _show(in_office(config, look), json=json)


@app.command()
def agree(
    approval: Which,
    yes: Yes = False,
    confirm: Confirm = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Agree, as another person than who has asked: it is done at once."""
    from keyrack.service.office import approvals
    from keyrack.service.office.acts import acts

    if yes and confirm is None:
        raise WrongUse(
            "--yes is not enough here: --confirm WORDS has to repeat what is meant; without --yes this command says "
            "which words, and whom it may stop. Nothing was changed"
        )

    async def look(office: "Office") -> bool:
        found = await approvals.approval(office.administration, office.catalog, approval)
        act = acts(_windows(office)).get(found.act)
        return act is not None and act.needs_key_managers

    async def do(office: "Office") -> dict[str, Any]:
        table = acts(_windows(office))
        agreed = await confirmed(
            lambda words: approvals.agree(office.administration, office.catalog, approval, table, confirmation=words),
            confirm,
        )
        return await _json(office, agreed)

    done = in_office(config, do, root_keys=in_office(config, look))
    _show(done, json=json, said="Agreed to, and done:")


@app.command()
def withdraw(approval: Which, config: ConfigFile = None, json: screen.Json = False) -> None:
    """Take back what you have asked for, or turn down what another has; nothing is done."""
    from keyrack.service.office import approvals

    async def do(office: "Office") -> dict[str, Any]:
        return await _json(office, await approvals.withdraw(office.administration, office.catalog, approval))

    _show(in_office(config, do), json=json, said="Withdrawn; nothing was done:")


def _windows(office: "Office") -> Any:
    from keyrack.shell.office import windows_of

    return windows_of(office.config)


async def _json(office: "Office", approval: "Approval") -> dict[str, Any]:
    from keyrack.service.office.key_steps import keys_of

    names = {each.identifier: each.name for each in await office.administration.instances()}
    arguments = {name: value for name, value in approval.arguments.items() if name != "keys"}
    return {
        "identifier": approval.identifier,
        "state": str(approval.state(office.now)),
        "act": approval.act,
        "instance": names.get(approval.instance, approval.instance) or None,
        "target": approval.target or None,
        "keys": list(keys_of(approval.arguments)),
        "arguments": arguments,
        "why": approval.why or None,
        "asked_by": approval.asked_by,
        "asked_at": screen.instant(approval.asked_at),
        "expires_at": screen.instant(approval.expires_at),
        "agreed_by": approval.agreed_by or None,
        "agreed_at": screen.instant(approval.agreed_at),
        "withdrawn_by": approval.withdrawn_by or None,
        "withdrawn_at": screen.instant(approval.withdrawn_at),
    }


def _cells(row: dict[str, Any]) -> list[Any]:
    return [
        screen.shortened(row["identifier"]),
        row["act"],
        row["instance"],
        len(row["keys"]) or None,
        row["asked_by"],
        screen.brief(row["expires_at"]),
        row["state"],
    ]


def _show(row: dict[str, Any], *, json: bool, said: str = "") -> None:
    if json:
        screen.as_json(row)
        return
    if said:
        screen.say(said)
    told = {**row, "keys": ", ".join(row["keys"]), "arguments": None}
    rows = [(name.replace("_", " "), value) for name, value in told.items() if value not in (None, "")]
    screen.pairs(rows + [(name.replace("_", " "), value) for name, value in row["arguments"].items()])
