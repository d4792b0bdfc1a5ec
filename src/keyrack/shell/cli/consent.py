"""What cannot be taken back is done only once a person has agreed, or a script has said so: one rule for every command.

At a terminal the person is asked. Elsewhere nobody can be asked, and a script says it with ``--yes``; without that,
nothing is done and the exit code is 2.
"""

import sys
from typing import Annotated

import typer

from keyrack.shell.cli.failures import WrongUse

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask. Needed where nobody is at a terminal.")]


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
