"""Passwords handed to a command: typed twice at the terminal, or the first line of a file; never an argument."""

import getpass
import sys
from pathlib import Path
from typing import Annotated

import typer

from keyrack.shell.cli.failures import Failed, WrongUse

PasswordFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="File whose first line is the password, '-' for standard input; without it you are asked.",
        show_default=False,
    ),
]
_LONGEST_LINE = 4096


def new_password(file: Path | None, whose: str) -> str:
    """The new password; raises :class:`WrongUse` where nobody can be asked for one."""
    if file is not None:
        return _first_line(file)
    if not sys.stdin.isatty():
        raise WrongUse("nobody is at a terminal to be asked; hand the password over with --password-file FILE, or -")
    typed = getpass.getpass(f"New password of {whose} (12 characters or more): ")
    if getpass.getpass("The same again: ") != typed:
        raise Failed("the two are not the same; nothing was changed")
    return typed


def _first_line(file: Path) -> str:
    if str(file) == "-":
        line = sys.stdin.readline(_LONGEST_LINE)
    else:
        with file.open(encoding="utf-8") as opened:
            line = opened.readline(_LONGEST_LINE)
    found = line.rstrip("\r\n")
    if not found:
        raise WrongUse("the password is empty; it is the first line of what --password-file names")
    return found
