"""``keyrack audit checkpoint``, ``cut``, ``key`` and ``sinks``: what keeps the journal provable."""

from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from keyrack.shell.cli import FAILED, OK, screen
from keyrack.shell.cli.audit_options import milliseconds
from keyrack.shell.cli.consent import Yes, consent
from keyrack.shell.cli.failures import Failed, WrongUse
from keyrack.shell.cli.options import ConfigFile, in_office

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from keyrack.adapters.journals.signing import SigningKey
    from keyrack.domain.checkpoints import SignedCheckpoint
    from keyrack.domain.journal import Entry
    from keyrack.service.journal.forwarding import Lag
    from keyrack.service.journal.retention import Cut
    from keyrack.shell.office import Office


Answer = TypeVar("Answer")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (checkpoint, cut, key, sinks):
        app.command()(command)


def checkpoint(
    accept_older: Annotated[
        bool,
        typer.Option(
            "--accept-older", help="The catalog was put back to an older one on purpose: go on from there, and say so."
        ),
    ] = False,
    yes: Yes = False,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Sign a checkpoint over the journal now; a server does so each minute by itself."""
    if accept_older:
        consent(
            "accept an older journal",
            "What was written after it is gone; the exported checkpoints tell that it was. Accept the older journal?",
            yes=yes,
        )

    async def sign(office: "Office") -> "SignedCheckpoint":
        from keyrack.domain.rights import Right
        from keyrack.shell.journal_room import notary_of

        desk = office.administration
        desk.require(Right.JOURNAL_CUT if accept_older else Right.JOURNAL_VERIFY)
        notary = await notary_of(office.config, office.catalog)
        if not accept_older:
            return await _told(notary.make())
        entries = (_entry(office, "journal.accept"),)
        return await _told(notary.make(accepted_by=desk.administrator.initiator, entries=entries))

    made = in_office(config, sign)
    if json:
        screen.as_json({"number": made.number, "at": screen.instant(made.at // 1000), "hash": made.hash.hex()})
    else:
        covered = made.statement.through
        screen.say(f"Checkpoint {made.number} is signed, over {screen.count(covered, 'record')}: {made.hash.hex()}")


async def _told(making: "Awaitable[Answer]") -> "Answer":
    """What is in the notary's way, as a failure that is told in a line."""
    from keyrack.ports.catalog import Conflict
    from keyrack.service.journal.notary import ForeignKey, RolledBack

    try:
        return await making
    except (RolledBack, ForeignKey) as error:
        raise Failed(f"nothing was signed: {error}") from None
    except Conflict:
        raise Failed("other checkpoints came first; try again") from None


def _entry(office: "Office", action: str, **detail: str | int) -> "Entry":
    from keyrack.domain.journal import Entry
    from keyrack.shell.journal_room import clock

    who = office.administration.administrator
    return Entry(
        at=clock(),
        action=action,
        outcome="success",
        initiator=who.initiator,
        address=who.address,
        detail=detail,
    )


def cut(
    before: Annotated[str, typer.Option(metavar="TIME", help="What is older goes: 2026-01-31, or 400d.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    yes: Yes = False,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Cut records whose retention has ended; what they came to stays signed.

    Only what an exported checkpoint covers, every sink has taken, and is older than 30 days. Export it before.
    """
    until = milliseconds(before, "--before") or 0
    if not dry_run:
        question = f"Records from before {before} go for good; only their proof stays. Cut the journal?"
        consent("cut the journal", question, yes=yes)

    async def do(office: "Office") -> "Cut":
        from keyrack.shell.journal_room import notary_of, retention_of

        notary = await notary_of(office.config, office.catalog)
        retention = retention_of(office.config, office.catalog, notary)
        return await _told(retention.by_hand(office.administration, until, dry_run=dry_run))

    done = in_office(config, do)
    if json:
        told = {"records": done.records, "through_checkpoint": done.through or None, "held_by": done.held_by}
        screen.as_json({**told, "dry_run": dry_run})
        return
    verb = "would go" if dry_run else "are gone"
    what = f"{screen.count(done.records, 'record')} {verb}, up to checkpoint {done.through}" if done.records else ""
    screen.say(
        (what or f"No record from before {before} can go")
        + (f"; no more, because {done.held_by}" if done.held_by else "")
        + "."
    )


def key(
    rotate: Annotated[
        bool, typer.Option("--rotate", help="Make a new key, named by a checkpoint of the old one.")
    ] = False,
    lost: Annotated[
        bool, typer.Option("--lost", help="The old key is lost: make a new one, which nothing vouches for.")
    ] = False,
    yes: Yes = False,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Print the public key that proves checkpoints; keep it where nobody here can change it."""
    if rotate and lost:
        raise WrongUse("--rotate needs the old key, and --lost has none; say one of them")
    if lost:
        question = "Verifications will say that the key was changed without the old one's signature. Make a new key?"
        consent("make a key that the old one does not vouch for", question, yes=yes)

    async def turn(office: "Office") -> "SigningKey":
        from keyrack.adapters.journals.signing import SigningKey
        from keyrack.domain.rights import Right
        from keyrack.shell.journal_room import signing_key

        office.administration.require(Right.JOURNAL_CUT if rotate or lost else Right.JOURNAL_VERIFY)
        if not (rotate or lost):
            return await signing_key(office.config, office.catalog)
        return await (_rotated(office) if rotate else _replaced(office, SigningKey.new()))

    held = in_office(config, turn)
    if json:
        from keyrack.domain.checkpoints import fingerprint

        pem = held.public_pem.decode()
        screen.as_json({"public_key": held.public, "fingerprint": fingerprint(held.public), "pem": pem})
    else:
        screen.say(held.public_pem.decode().strip())


async def _rotated(office: "Office") -> "SigningKey":
    """The new key is kept before anything names it, and takes the old one's place when a checkpoint does."""
    from keyrack.adapters.journals.signing import SigningKey
    from keyrack.shell.journal_room import notary_of, notary_with, signing_key, successor_path

    notary, new = await notary_of(office.config, office.catalog), SigningKey.new()
    new.replace(successor_path(office.config))
    entry = _entry(office, "journal.key", key=new.public)
    await _told(notary.make(entries=(entry,), successor=new.public))
    held = await signing_key(office.config, office.catalog)
    # From here on whoever keeps the new key finds a checkpoint of it.
    await _told(notary_with(office.config, office.catalog, held).make())
    return held


async def _replaced(office: "Office", new: "SigningKey") -> "SigningKey":
    from keyrack.shell.journal_room import notary_with

    notary = notary_with(office.config, office.catalog, new)
    new.replace(office.config.path(office.config.journal.signing_key))
    await _told(notary.make(entries=(_entry(office, "journal.key", key=new.public, lost=1),), lost=True))
    return new


def sinks(config: ConfigFile = None, json: screen.Json = False) -> None:
    """List where the journal is handed on to, and how far each sink has got. Exit code 1 where one takes nothing."""

    async def look(office: "Office") -> "Sequence[Lag]":
        from keyrack.domain.rights import Right
        from keyrack.service.journal.forwarding import lags
        from keyrack.shell.journal_room import clock, required_of

        office.administration.require(Right.JOURNAL_VERIFY)
        return await lags(office.catalog, required_of(office.config), clock())

    found = in_office(config, look)
    if json:
        screen.as_json([_json(each) for each in found])
    elif not found:
        screen.say("The journal is handed on to nobody; [journal.sinks.NAME] of the configuration names sinks.")
    else:
        rows = [
            (each.name, "required" if each.required else "", each.behind, _age(each.seconds), each.trouble)
            for each in found
        ]
        screen.table(("sink", "required", "behind", "oldest", "trouble"), rows)
    raise typer.Exit(FAILED if any(each.trouble for each in found) else OK)


def _age(seconds: float) -> str:
    from keyrack.service.health.findings import ago

    return ago(seconds) if seconds else ""


def _json(lag: "Lag") -> dict[str, Any]:
    return {
        "name": lag.name,
        "required": lag.required,
        "behind": lag.behind,
        "oldest_seconds": round(lag.seconds, 3),
        "taken_at": screen.instant(lag.taken_at // 1000) if lag.taken_at else None,
        "trouble": lag.trouble,
        "trouble_since": screen.instant(lag.since // 1000) if lag.since else None,
    }
