"""What cannot be taken back is done only once a person has agreed, or a script has said so: one rule for every command.

At a terminal the person is asked. Elsewhere nobody can be asked, and a script says it with ``--yes``; without that,
nothing is done and the exit code is 2.
"""

import shlex
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer

from keyrack.shell.cli.failures import WrongUse

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask. Needed where nobody is at a terminal.")]

Confirm = Annotated[
    str | None,
    typer.Option(
        "--confirm",
        metavar="WORDS",
        help="The words that are asked for, where the act may stop machines.",
        show_default=False,
    ),
]
Answer = TypeVar("Answer")


async def confirmed(act: Callable[[str | None], Awaitable[Answer]], words: str | None) -> Answer:
    """Do what may stop machines: a person is told what, and types the words; a script has to say them.

    ``act`` takes the words, and raises ``ConfirmationNeeded`` without them.
    """
    from keyrack.service.office.refusals import ConfirmationNeeded
    from keyrack.shell.cli.impact_screen import show
    from keyrack.shell.cli.screen import printable

    try:
        return await act(words)
    except ConfirmationNeeded as needed:
        show(needed.impact)
        if not sys.stdin.isatty():
            raise WrongUse(
                f"{needed.told}; say --confirm {shlex.quote(needed.confirmation)} if that is meant. Nothing was changed"
            ) from None
        print(printable(needed.told), file=sys.stderr)
        typed = typer.prompt(f"Type {needed.confirmation} if that is meant", err=True)
        return await act(typed.strip())


def consent(act: str, question: str, *, yes: bool) -> None:
    """Return once it is agreed to; raises :class:`WrongUse` where nobody can be asked, and ``Abort`` after a no.

    ``act`` goes on behind "to", for those who cannot be asked; ``question`` is for those who can.
    """
    if not yes:
        require_person(act, "--yes")
        typer.confirm(question, abort=True, err=True)


def require_person(act: str, words: str) -> None:
    """Return where a person can be asked; raises :class:`WrongUse`, which tells the ``words`` a script says instead."""
    if not sys.stdin.isatty():
        raise WrongUse(f"nobody is at a terminal to be asked; say {words} to {act}. Nothing was changed")
