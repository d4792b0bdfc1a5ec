"""``keyrack backup restore`` and ``agree``: the way back to an older catalog, and from there on."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keyrack.shell.cli import FAILED, UNHEALTHY, copies, screen
from keyrack.shell.cli.consent import Yes, consent
from keyrack.shell.cli.failures import Failed
from keyrack.shell.cli.options import ConfigFile, administrator, in_office
from keyrack.shell.cli.progress import watched

if TYPE_CHECKING:
    from keyrack.service.recovery.agreement import Account
    from keyrack.shell.backups.restoring import Restored
    from keyrack.shell.backups.verifying import Found
    from keyrack.shell.config.whole import Config
    from keyrack.shell.office import Office

MOST_ACTS = 20
"""Acts that a person is shown; JSON has them all."""


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The backup.", show_default=False)],
    directory: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Restore the configuration too, into this empty directory: the machine is a new one.",
            show_default=False,
        ),
    ] = None,
    yes: Yes = False,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Put a backup back. No server may run.

    The catalog that is there is kept aside, keystores and certificates that are there stay. From then on the catalog is
    read-only, in rollback mode, until 'keyrack backup agree' has accounted for what came after the copy.
    """
    import asyncio

    from keyrack.shell.backups import restoring, verifying
    from keyrack.shell.config.whole import find, load

    with watched("Reading (MiB)") as (reading,):
        found = asyncio.run(verifying.verify(file, reading=reading))
    _refuse_flawed(file, found)
    if directory is not None:
        config = restoring.write_configuration(file, directory)
    where = find(config)
    loaded = load(where)
    restoring.refuse_served(loaded)
    if restoring.is_there(loaded):
        told = screen.instant(found.manifest.at)
        question = f"{loaded.catalog_path} is kept aside, and the catalog of {told} takes its place. Go back to it?"
        consent("go back to an older catalog", question, yes=yes)
    done = asyncio.run(restoring.restore(loaded, file, administrator()))
    if json:
        screen.as_json(_restored_json(done))
    else:
        _tell_restored(done, loaded, where, config is not None)


def _refuse_flawed(file: Path, found: "Found") -> None:
    if found.flaws:
        raise Failed(f"{file} is not as it was written: {found.flaws[0]}; nothing was changed, take another backup")


def _tell_restored(done: "Restored", loaded: "Config", where: Path, named: bool) -> None:
    option = f" --config {where}" if named else ""
    screen.say(f"{done.catalog} is the catalog of {screen.instant(done.manifest.at)}: {done.manifest.keys:,} keys.")
    for path in done.aside:
        screen.say(f"kept aside  {path}")
    for path in done.files:
        screen.say(f"put back    {path}")
    missing = [path for each in done.manifest.left_out if not (path := loaded.path(Path(each))).exists()]
    if missing:
        screen.say("Not in the backup, and not here; put them back from where they are kept:")
        for each in missing:
            screen.say(f"  {each}")
    screen.say()
    screen.say("It is read-only, in rollback mode, until what came after it is accounted for:")
    screen.say(f"  keyrack backup agree{option}")


def _restored_json(done: "Restored") -> dict[str, Any]:
    return {
        "catalog": str(done.catalog),
        "made_at": screen.instant(done.manifest.at),
        "keys": done.manifest.keys,
        "kept_aside": [str(each) for each in done.aside],
        "put_back": [str(each) for each in done.files],
        "stays": [str(each) for each in done.kept],
        "rollback_mode": True,
    }


def agree(
    journal: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="JSON lines of a sink, or an exported journal; may be said several times."),
    ] = None,
    accept_loss: Annotated[
        str | None,
        typer.Option(metavar="WORDS", help="What is lost, in the words that are asked for.", show_default=False),
    ] = None,
    rate: Annotated[float | None, typer.Option(min=0.1, metavar="N", help="Keys in a second, at most.")] = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Account for what came after the copy that was restored, and end rollback mode.

    A server may serve meanwhile.

    What was destroyed, removed or revoked stays so. Keys that were made are entered anew from the key managers. What is
    then missing is listed, and given up only by who says so in words.
    """
    words = accept_loss
    try:
        account = _agreed(journal or [], words, rate, config)
    except _Lossy as lossy:
        account = lossy.account
        if json:
            screen.as_json(_account_json(account))
        else:
            _tell(account)
        screen.warn(str(lossy))
        if not sys.stdin.isatty():
            raise typer.Exit(UNHEALTHY) from None
        typed = typer.prompt(f"Type {account.words!r} to go on without", err=True)
        account = _agreed(journal or [], typed.strip(), rate, config)
    if json:
        screen.as_json(_account_json(account))
    else:
        _tell(account)
        screen.say(screen.paint("Rollback mode is over: the catalog takes changes again.", "green"))


class _Lossy(Failed):
    code = FAILED

    def __init__(self, told: str, account: "Account") -> None:
        super().__init__(told)
        self.account = account


def _agreed(journal: list[Path], words: str | None, rate: float | None, config: Path | None) -> "Account":
    async def act(office: "Office") -> "Account":
        from keyrack.domain.rights import Right
        from keyrack.service.journal.notary import ForeignKey, RolledBack
        from keyrack.service.recovery.agreement import LossNotAccepted, Rooms
        from keyrack.service.recovery.agreement import agree as do
        from keyrack.shell.journal_room import clock
        from keyrack.shell.nodes.rolled_back import evidence_of, go_on, notary_for
        from keyrack.shell.rebuilding import searched

        office.administration.require(Right.JOURNAL_CUT)
        notary, made = await notary_for(office.config, office.catalog)
        rooms = Rooms(
            catalog=office.catalog,
            administration=office.administration,
            vault=office.vault,
            key_managers=searched(office.key_managers, None),
            notary=notary,
            key_lost=made is not None,
            deployment=office.config.deployment.id,
            clock=clock,
        )
        try:
            with watched("Reading standard keys", "Entering keys") as (reading, entering):
                evidence = evidence_of(office.config, journal)
                account = await do(rooms, evidence, words=words, reading=reading, entering=entering, rate=rate)
        except LossNotAccepted as error:
            raise _Lossy(str(error), error.account) from None
        except (RolledBack, ForeignKey) as error:
            raise Failed(f"rollback mode goes on: {error}") from None
        if made is not None:
            made.save(office.config.path(office.config.journal.signing_key))
        go_on(office.config, account.through, office.administration.administrator.initiator)
        return account

    return in_office(config, act, root_keys=True)


def _tell(account: "Account") -> None:
    screen.pairs([("in rollback mode since", screen.instant(account.rollback.at)), ("why", account.rollback.why)])
    for what, number in account.settled.applied.told.items():
        screen.say(f"{screen.mark('ok')} done again: {number:,} {what}")
    if account.rebuilt.keys:
        screen.say(f"{screen.mark('ok')} {screen.count(account.rebuilt.keys, 'key')} entered anew from key managers")
    copies.failures(account.rebuilt.failures)
    names = account.instances
    if account.lost_keys:
        screen.say(
            f"{screen.mark('failed')} {screen.count(len(account.lost_keys), 'key')} made after the copy, and lost:"
        )
        copies.listed(
            account.lost_keys, lambda each: f"{names.get(each[1].entry.instance, '-')}  {each[0]}  {_when(each[1].at)}"
        )
    if account.lost_acts:
        screen.say(
            f"{screen.mark('failed')} {screen.count(len(account.lost_acts), 'act')} to be done again by a person:"
        )
        copies.listed(
            account.lost_acts,
            lambda each: f"{_when(each.at)}  {each.entry.action}  {each.entry.target}  by {each.entry.initiator}",
        )
    for told in account.unknown:
        screen.say(f"{screen.mark('failed')} {told}")
    if account.settled.later.quiet:
        screen.say(f"  and {account.settled.later.quiet:,} labels and notes on keys are as they were in the copy")


def _when(seconds: int) -> str:
    return screen.instant(seconds) or ""


def _account_json(account: "Account") -> dict[str, Any]:
    return {
        "ended": account.ended,
        "rolled_back_at": screen.instant(account.rollback.at),
        "why": account.rollback.why,
        "done_again": dict(account.settled.applied.told),
        "keys_entered": account.rebuilt.keys,
        "failures": copies.failures_json(account.rebuilt.failures),
        "lost_keys": [
            {"unique_identifier": uid, "instance": one.entry.instance, "made_at": screen.instant(one.at)}
            for uid, one in account.lost_keys
        ],
        "lost_acts": [
            {
                "at": screen.instant(one.at),
                "action": one.entry.action,
                "instance": one.entry.instance or None,
                "target": one.entry.target,
                "initiator": one.entry.initiator,
            }
            for one in account.lost_acts
        ],
        "unknown": list(account.unknown),
        "words": account.words,
    }
