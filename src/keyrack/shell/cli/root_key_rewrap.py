"""``keyrack root-key rewrap``: after a rotation, keys that an older version wraps are wrapped by the newest one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keyrack.shell.cli import UNHEALTHY, screen
from keyrack.shell.cli.options import ConfigFile, in_office
from keyrack.shell.cli.walking import Rate, ground_of, interruptible, tell_failures, tell_leftovers

if TYPE_CHECKING:
    from keyrack.domain.instances import Instance
    from keyrack.service.moves.rewrap import Behind, Rewrapped
    from keyrack.shell.office import Office


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """What came of one instance: one of the three."""

    instance: "Instance"
    behind: "Behind | None" = None
    rewrapped: "Rewrapped | None" = None
    error: str = ""

    @property
    def failures(self) -> Sequence[tuple[str, str]]:
        """Keys that could not be rewrapped, or looked at."""
        if self.rewrapped is not None:
            return self.rewrapped.outcome.failures
        return self.behind.failures if self.behind is not None else ()

    @property
    def is_well(self) -> bool:
        """Nothing has failed."""
        return not self.error and not self.failures


def rewrap(
    instances: Annotated[
        list[str] | None,
        typer.Argument(metavar="INSTANCE", help="The instances; all without it.", show_default=False),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell what there is to do, and what it costs.")
    ] = False,
    rate: Rate = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Wrap keys by the newest version of their root key.

    After a rotation the older versions go on unwrapping: nothing waits for this. Each key is opened and compared before
    anything is changed. Clients go on meanwhile; broken off, the same command goes on where it was.
    """

    async def act(office: "Office") -> list[_Answer]:
        named = [await office.administration.instance(name) for name in instances or ()]
        return [
            await _answer(office, instance, dry_run=dry_run, rate=rate)
            for instance in named or await office.administration.instances()
        ]

    with interruptible():
        answers = in_office(config, act, root_keys=True)
    if json:
        screen.as_json([_json(answer) for answer in answers])
    else:
        for answer in answers:
            _tell(answer)
        if not answers:
            screen.note("No instance yet; create one with 'keyrack instance create NAME'.")
    if not all(answer.is_well for answer in answers):
        raise typer.Exit(UNHEALTHY)


async def _answer(office: "Office", instance: "Instance", *, dry_run: bool, rate: float | None) -> _Answer:
    """One instance; that its key manager is in trouble keeps the others from nothing."""
    from keyrack.ports.key_manager import KeyManagerFailed
    from keyrack.service.moves import rewrap as service
    from keyrack.service.office.refusals import Refused
    from keyrack.shell.cli.progress import watched

    ground = ground_of(office)
    try:
        if dry_run:
            return _Answer(instance=instance, behind=await service.behind(ground, instance))
        with watched(f"Rewrapping {instance.name}") as (report,):
            done = await service.rewrap(ground, instance, rate=rate, report=report)
        return _Answer(instance=instance, rewrapped=done)
    except (KeyManagerFailed, Refused) as error:
        return _Answer(instance=instance, error=str(error))


def _tell(answer: _Answer) -> None:
    name = answer.instance.name
    if answer.error:
        screen.say(f"{screen.paint('✗', 'red')} {name}: {screen.printable(answer.error)}")
        return
    if answer.behind is not None:
        _tell_behind(name, answer.behind)
    elif answer.rewrapped is not None:
        _tell_rewrapped(name, answer.rewrapped)
    tell_failures(answer.failures)


def _tell_behind(name: str, behind: "Behind") -> None:
    if not behind.keys:
        screen.say(f"{name}: nothing to do; the newest version of the root key wraps {_all(behind.total)}.")
        return
    screen.say(f"{name}: {behind.keys} of {screen.count(behind.total, 'key')} to rewrap.")
    if behind.stored:
        screen.say(
            f"  {screen.count(behind.stored, 'standard key')} will be made, and the old ones deleted; a key manager "
            "that bills keys bills both until the old ones are purged."
        )


def _tell_rewrapped(name: str, done: "Rewrapped") -> None:
    outcome = done.outcome
    if not outcome.changed and not outcome.failures:
        screen.say(f"{name}: nothing to do; the newest version of the root key wraps {_all(outcome.done)}.")
    else:
        screen.say(f"{name}: {screen.count(outcome.changed, 'key')} rewrapped by version {done.version}.")
    if outcome.stopped:
        screen.say("  It has stopped, since the key manager failed again and again; run it again when that is mended.")
    tell_leftovers(done.leftovers)


def _all(total: int) -> str:
    return "its only key" if total == 1 else f"all {total} keys" if total else "what will come"


def _json(answer: _Answer) -> dict[str, Any]:
    told: dict[str, Any] = {"instance": answer.instance.name, "identifier": answer.instance.identifier}
    if answer.error:
        return told | {"error": answer.error}
    told["failures"] = [{"key": identifier, "why": why} for identifier, why in answer.failures]
    if answer.behind is not None:
        behind = answer.behind
        return told | {
            "version": behind.version,
            "keys": behind.total,
            "behind": behind.keys,
            "standard_keys_to_make": behind.stored,
        }
    assert answer.rewrapped is not None
    done = answer.rewrapped
    return told | {
        "version": done.version,
        "keys": done.outcome.done,
        "rewrapped": done.outcome.changed,
        "stopped": done.outcome.stopped,
        "standard_keys_left": done.leftovers,
    }
