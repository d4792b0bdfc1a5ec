"""What the commands share that wrap all keys of an instance anew: their options, and how they tell what came of it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from keyrack.shell.cli import screen

if TYPE_CHECKING:
    from keyrack.service.moves.successors import Ground
    from keyrack.shell.office import Office

MOST_TOLD = 20
"""Failures that are told one by one; JSON has them all."""

Rate = Annotated[
    float | None,
    typer.Option(
        metavar="N", min=0.1, help="At most so many keys in a second; without it as fast as it goes, eight at once."
    ),
]


def ground_of(office: "Office") -> "Ground":
    """What wrapping anew stands on, of an office that was opened with root keys."""
    from keyrack.service.moves.successors import Ground
    from keyrack.shell.office import clock

    return Ground(
        catalog=office.catalog,
        vault=office.vault,
        key_managers=office.key_managers,
        administration=office.administration,
        clock=clock,
    )


@contextmanager
def interruptible() -> Iterator[None]:
    """Tell whoever breaks it off that nothing is lost."""
    try:
        yield
    except KeyboardInterrupt:
        screen.note("Broken off. What was done stays, every key opens, and the same command goes on from there.")
        raise


def tell_failures(failures: Sequence[tuple[str, str]]) -> None:
    """What could not be done, and why."""
    for identifier, why in failures[:MOST_TOLD]:
        screen.say(f"  {screen.paint('✗', 'red')} {identifier}: {screen.printable(why)}")
    if len(failures) > MOST_TOLD:
        screen.say(f"  and {len(failures) - MOST_TOLD} more; --json tells them all")


def tell_leftovers(count: int) -> None:
    """Standard keys that could not be deleted."""
    if count:
        screen.say(
            f"  {screen.count(count, 'standard key')} of no use any more could not be deleted yet; a server that runs "
            "tries again. Where the credential may not delete, configure another in [key_managers.NAME.deleting]."
        )
