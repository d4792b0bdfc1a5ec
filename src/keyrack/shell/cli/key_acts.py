"""``keyrack key activate``, ``deactivate``, ``compromise``, ``restore``, ``destroy``, ``recover`` and ``purge``."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keyrack.shell.cli import FAILED, screen
from keyrack.shell.cli.consent import Confirm, Yes, confirmed
from keyrack.shell.cli.failures import WrongUse
from keyrack.shell.cli.moments import HELP, moment
from keyrack.shell.cli.options import ConfigFile, InstanceName, in_office

if TYPE_CHECKING:
    from keyrack.domain.instances import Instance
    from keyrack.ports.key_affairs import KeyRow
    from keyrack.shell.office import Office
    from keyrack.spec.enumerations import RevocationReasonCode

    Doing = Callable[[Office, Instance, str | None], Awaitable[Sequence[KeyRow]]]

Keys = Annotated[
    list[str], typer.Argument(metavar="KEY", help="Unique Identifiers, or the beginnings of them; all or none.")
]
Why = Annotated[str, typer.Option(metavar="TEXT", help="Why, for the journal.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (activate, deactivate, compromise, restore, destroy, recover, purge):
        app.command()(command)


def activate(instance: InstanceName, keys: Keys, config: ConfigFile = None, json: screen.Json = False) -> None:
    """Activate keys that are Pre-Active."""

    async def do(office: "Office", owner: "Instance", words: str | None) -> "Sequence[KeyRow]":
        from keyrack.service.office import key_acts

        return await key_acts.activate(office.administration, office.catalog, owner, keys)

    _act(config, instance, do, "Activated", json=json)


def deactivate(
    instance: InstanceName,
    keys: Keys,
    reason: Annotated[
        str,
        typer.Option(
            metavar="REASON",
            help="unspecified, affiliation-changed, superseded, cessation-of-operation or privilege-withdrawn.",
        ),
    ] = "cessation-of-operation",
    why: Why = "",
    yes: Yes = False,
    confirm: Confirm = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Deactivate keys that are Active; 'key restore' takes it back."""

    async def do(office: "Office", owner: "Instance", words: str | None) -> "Sequence[KeyRow]":
        from keyrack.service.office import key_acts

        code = _reason(reason, key_acts.REASONS)
        return await key_acts.deactivate(
            office.administration, office.catalog, owner, keys, reason=code, why=why, confirmation=words
        )

    _act(config, instance, do, "Deactivated", yes=yes, confirm=confirm, json=json)


def compromise(
    instance: InstanceName,
    keys: Keys,
    reason: Annotated[str, typer.Option(metavar="REASON", help="key-compromise or ca-compromise.")] = "key-compromise",
    occurred: Annotated[
        str | None, typer.Option(metavar="TIME", help=f"Since when, if that is known: {HELP}.", show_default=False)
    ] = None,
    why: Why = "",
    yes: Yes = False,
    confirm: Confirm = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Mark keys as compromised; nothing takes that back."""

    async def do(office: "Office", owner: "Instance", words: str | None) -> "Sequence[KeyRow]":
        from keyrack.service.office import key_acts

        code = _reason(reason, key_acts.COMPROMISES)
        return await key_acts.compromise(
            office.administration,
            office.catalog,
            owner,
            keys,
            reason=code,
            occurred_at=moment(occurred, office.now),
            why=why,
            confirmation=words,
        )

    _act(config, instance, do, "Marked as compromised", yes=yes, confirm=confirm, json=json)


def restore(
    instance: InstanceName, keys: Keys, why: Why = "", config: ConfigFile = None, json: screen.Json = False
) -> None:
    """Restore keys that are Deactivated to Active, so that machines use them again."""

    async def do(office: "Office", owner: "Instance", words: str | None) -> "Sequence[KeyRow]":
        from keyrack.service.office import key_acts

        return await key_acts.restore(office.administration, office.catalog, owner, keys, why=why)

    _act(config, instance, do, "Restored to active", json=json)


def destroy(
    instance: InstanceName,
    keys: Keys,
    why: Why = "",
    yes: Yes = False,
    confirm: Confirm = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Destroy keys: no client gets them any more; for some weeks 'key recover' takes it back."""

    async def do(office: "Office", owner: "Instance", words: str | None) -> "Sequence[KeyRow]":
        from keyrack.service.office import key_acts
        from keyrack.shell.office import windows_of

        windows = windows_of(office.config)
        return await key_acts.destroy(
            office.administration, office.catalog, owner, keys, windows=windows, why=why, confirmation=words
        )

    _act(config, instance, do, "Destroyed", yes=yes, confirm=confirm, json=json)


def recover(
    instance: InstanceName, keys: Keys, why: Why = "", config: ConfigFile = None, json: screen.Json = False
) -> None:
    """Recover destroyed keys that are not purged yet, each to the state that its dates tell."""

    async def do(office: "Office", owner: "Instance", words: str | None) -> "Sequence[KeyRow]":
        from keyrack.service.office import key_acts

        return await key_acts.recover(office.administration, office.catalog, owner, keys, why=why)

    _act(config, instance, do, "Recovered", json=json)


def purge(
    instance: InstanceName,
    keys: Keys,
    why: Why = "",
    yes: Yes = False,
    confirm: Confirm = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Purge destroyed keys now, for good: nothing brings them back."""

    async def do(office: "Office", owner: "Instance", words: str | None) -> "Sequence[KeyRow]":
        from keyrack.service.office import key_acts
        from keyrack.shell.office import windows_of

        windows = windows_of(office.config)
        return await key_acts.purge(
            office.administration, office.catalog, owner, keys, windows=windows, why=why, confirmation=words
        )

    _act(config, instance, do, "Purged", yes=yes, confirm=confirm, json=json)


def _act(
    config: Path | None,
    instance: str,
    do: "Doing",
    done: str,
    *,
    json: bool,
    yes: bool = False,
    confirm: str | None = None,
) -> None:
    if yes and confirm is None:
        raise WrongUse(
            "--yes is not enough here: --confirm WORDS has to repeat whose key it is; without --yes this command says "
            "which words, and whom it may stop. Nothing was changed"
        )

    async def act(office: "Office") -> "tuple[Sequence[KeyRow], int] | dict[str, object]":
        from keyrack.service.office.refusals import SecondPersonNeeded

        owner = await office.administration.instance(instance)
        try:
            return await confirmed(lambda words: do(office, owner, words), confirm), office.now
        except SecondPersonNeeded as waits:
            if not json:
                raise
            return {"waits_for_a_second_person": dict(waits.more), "told": str(waits)}

    came = in_office(config, act)
    if isinstance(came, dict):
        screen.as_json(came)
        raise typer.Exit(FAILED)
    _tell(*came, done, json=json)


def _tell(rows: "Sequence[KeyRow]", now: int, done: str, *, json: bool) -> None:
    from keyrack.shell.cli.key_screen import cells, listed

    told = [listed(row, now) for row in rows]
    if json:
        screen.as_json(told)
        return
    screen.say(f"{done}: {screen.count(len(told), 'key')}.")
    columns = ("id", "state", "algorithm", "created", "name", "component", "x-Identifier", "last fetch")
    screen.table(columns, [cells(row) for row in told], spare=("x-Identifier", "algorithm", "created"))


def _reason(text: str, known: "Sequence[RevocationReasonCode]") -> "RevocationReasonCode":
    named = {code.title.lower().replace(" ", "-"): code for code in known}
    if text.lower() not in named:
        raise WrongUse(f"{text!r} is not a reason; use one of: {', '.join(named)}")
    return named[text.lower()]
