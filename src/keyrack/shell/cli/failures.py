"""How a failure reaches the user: one line for each mistake on standard error, and an exit code; never a traceback."""

import errno
import os
import sys
import traceback
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import typer

from keyrack.shell.cli import FAILED, OK, USAGE
from keyrack.shell.cli.screen import printable


class Failed(Exception):
    """A command that could not do what was asked; the text is told to the user as it stands."""

    code = FAILED


class WrongUse(Failed):
    """A command line that makes no sense; the text says what to write instead."""

    code = USAGE


# By name, so that nothing is imported for a command that fails before it needed them, or because of them.
FORESEEN: Mapping[str, int] = {
    "keyrack.shell.config.problems.ConfigError": USAGE,
    "keyrack.service.office.refusals.Refused": FAILED,
    "keyrack.service.office.certificates.UnusableCertificate": FAILED,
    "keyrack.ports.catalog.CatalogUnavailable": FAILED,
    "keyrack.ports.key_manager.KeyManagerRefused": FAILED,
    "keyrack.ports.key_manager.KeyManagerUnavailable": FAILED,
    "keyrack.embedded.errors.KeystoreError": FAILED,
    "keyrack.embedded.errors.Refusal": FAILED,
    "keyrack.service.vault.generation.UnhealthyGenerator": FAILED,
    "keyrack.shell.sealed.unsealing.SealTrouble": FAILED,
    "keyrack.shell.backups.manifest.BadBackup": FAILED,
    "keyrack.shell.nodes.catalog_moving.NotMoved": FAILED,
    "keyrack.shell.nodes.databases.NotPrepared": FAILED,
    "keyrack.adapters.catalogs.moving.rows.Different": FAILED,
    "keyrack.shell.nodes.invitations.BadInvitation": FAILED,
    "keyrack.shell.nodes.joining.CannotJoin": FAILED,
}
"""Exceptions of other rooms whose text is told as it stands, and the exit code of each."""
ADVICE: Mapping[str, str] = {
    "KeyPayloadRequired": "hand it over with --material FILE",
    "KeyDeleted": "'keyrack root-key restore' brings it back while that can be done",
    "KeyManagerFailed": "'keyrack key-manager check' tries out step by step what has to be changed",
}
"""What to do on a command line about failures whose text is Key Protect's, by the name of their kind."""


SAID_ALL = frozenset({"state", "request", "deleted", "absent", "overloaded"})
"""Reasons of a key manager after which nothing is left to be tried out: its words say what is in the way."""


def tell(error: Exception, *, debug: bool) -> int:
    """Say what went wrong and answer the exit code."""
    if debug:
        traceback.print_exception(error)
    lines, code = _known(error)
    if code is None:
        details = "it is printed above" if debug else _logged(error)
        lines, code = [f"unexpected {type(error).__name__}; {details}"], FAILED
    for line in lines:
        # What a key manager or a client has called something may be in it.
        _print(f"keyrack: {printable(line)}")
    return code


def broken_pipe() -> int:
    """Whoever read the output has seen enough; nothing is wrong, and nothing may complain at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return OK


def _known(error: Exception) -> tuple[list[str], int | None]:
    """The lines that tell a foreseen failure, and its exit code; ``None`` for one that nobody foresaw."""
    from typer._click.exceptions import ClickException

    if isinstance(error, Failed):
        return str(error).splitlines(), error.code
    if isinstance(error, typer.Abort):
        _print("")  # The cursor stands behind the question.
        return ["stopped; nothing was changed"], FAILED
    if isinstance(error, ClickException):
        return _misused(error)
    for kind in type(error).__mro__:
        code = FORESEEN.get(f"{kind.__module__}.{kind.__qualname__}")
        if code is not None:
            advice = _advice(error)
            told = f"{error}; {advice}" if advice else str(error)
            return told.splitlines() or [kind.__name__], code
    return ([_system(error)], FAILED) if isinstance(error, OSError) else ([], None)


def _advice(error: Exception) -> str | None:
    reason = str(getattr(error, "reason", ""))
    if reason in SAID_ALL:
        return None
    if reason == "permission":
        return "which role it needs is in 'Who may do what' of docs/ibm-key-protect.md"
    return next((ADVICE[each.__name__] for each in type(error).__mro__ if each.__name__ in ADVICE), None)


def _misused(error: Any) -> tuple[list[str], int]:
    """What the reader of the command line has against it; a command without its sub-command gets its help."""
    from typer._click.exceptions import NoArgsIsHelpError, UsageError

    if isinstance(error, NoArgsIsHelpError):
        print(error.format_message(), file=sys.stderr)
        return [], USAGE
    if isinstance(error, UsageError):
        where = error.ctx.command_path if error.ctx else "keyrack"
        told = _sentence(error.format_message())
        return [f"{told} See '{where} --help'" if told.endswith("?") else f"{told}; see '{where} --help'"], USAGE
    return [_sentence(error.format_message())], FAILED


def _system(error: OSError) -> str:
    what = f"{error.filename}: " if error.filename else ""
    advice = {
        errno.EACCES: "run it as the user that owns the deployment",
        errno.EPERM: "run it as the user that owns the deployment",
        errno.ENOENT: "check the path",
        errno.EISDIR: "name a file in it",
        errno.EEXIST: "nothing is overwritten; name another place",
        errno.EADDRINUSE: "something else listens there; stop it, or choose another, by --port or the configuration",
        errno.ENOSPC: "make room on the disk",
    }.get(error.errno or 0, "see the system's log")
    return f"{what}{(error.strerror or str(error)).lower()}; {advice}"


def _sentence(text: str) -> str:
    text = " ".join(text.split()).rstrip(".")
    for said, meant in ((": Value error, ", ": "), (": Input should be", ": it has to be")):
        text = text.replace(said, meant)
    return text[:1].lower() + text[1:]


def _logged(error: Exception) -> str:
    """Keep the traceback for whoever mends it, where only this user can read it."""
    home = Path(os.environ.get("XDG_STATE_HOME") or Path(os.environ.get("HOME", "/tmp")) / ".local/state")
    path = home / "keyrack" / "failures.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "w") as file:
            file.write(f"--- {datetime.now().astimezone().isoformat(timespec='seconds')}\n")
            file.writelines(traceback.format_exception(error))
    except OSError:
        return "run it again with --debug to see where"
    return f"the details are in {path}; --debug prints them"


def _print(line: str) -> None:
    print(line, file=sys.stderr)
